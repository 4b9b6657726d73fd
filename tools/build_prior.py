"""Make `assets/pose_prior.safetensors`: a mixture of Gaussians over poses of motion capture.

    humanmesh data motion ... --out motion.npz
    python tools/build_prior.py motion.npz

Each action counts alike, every pose also mirrored; clips of the benchmark (`is_held_out`) take no part.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from sklearn.mixture import GaussianMixture

from humanmesh.body.priors import PosePrior
from humanmesh.data.synthetic_poses import mirrored_rotations
from humanmesh.data.synthetic_recipe import read_pose_library
from humanmesh.files.priors import save_pose_prior
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle

ASSET = Path(__file__).resolve().parents[1] / "src" / "humanmesh" / "assets" / "pose_prior.safetensors"
COMPONENTS = 8
POSES = 8_000
LEAST_VARIANCE = 0.06**2
"""Radians^2 added to every variance while the mixture is fitted."""
UNSEEN_VARIANCE = 0.12**2
"""Radians^2 added to every variance afterwards: people do more than a few hours of recordings show."""


def main() -> None:
    """Fit and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("motion", type=Path, help=".npz that `humanmesh data motion` wrote")
    parser.add_argument("--out", type=Path, default=ASSET)
    arguments = parser.parse_args()
    poses = training_poses(arguments.motion, POSES)
    mixture = GaussianMixture(COMPONENTS, reg_covar=LEAST_VARIANCE, random_state=0)
    mixture.fit(poses)
    prior = PosePrior(
        torch.from_numpy(mixture.means_).float(),
        torch.from_numpy(
            np.linalg.cholesky(np.linalg.inv(mixture.covariances_ + UNSEEN_VARIANCE * np.eye(poses.shape[1])))
        ).float(),
        torch.from_numpy(mixture.weights_).float(),
    )
    energy = prior.energy(torch.from_numpy(poses).float())
    save_pose_prior(arguments.out, prior)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB, shares {mixture.weights_.round(3)}")
    print(f"energy of the poses: median {energy.median():.1f}, 99 % below {energy.quantile(0.99):.1f}")


def training_poses(motion: Path, count: int) -> np.ndarray:
    """Axis-angle of joints 1 to 23, (2 * count, 69) radians: poses drawn by their weight, and their mirror images."""
    library = read_pose_library(motion, held_out=False)
    chance = torch.Generator().manual_seed(0)
    rows = torch.multinomial(library.weights, count, replacement=True, generator=chance)
    rotations = axis_angle_to_matrix(library.poses[rows].unflatten(1, (24, 3)))
    both = torch.cat([rotations, mirrored_rotations(rotations)])
    return matrix_to_axis_angle(both[:, 1:]).flatten(1).numpy()


if __name__ == "__main__":
    main()
