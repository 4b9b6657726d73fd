"""Learn how far joints turn from motion capture, and write the bundled file.

    python tools/build_joint_limits.py --motion mocap.npz

`mocap.npz` is what `humanmesh data motion` writes. Clips of the benchmark are left out and measured afterwards; every
pose counts as itself and as its mirror image.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from humanmesh.body.joint_limits import LIMITED, JointLimits, learn_joint, spread
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.motion import mirror_pose
from humanmesh.data.synthetic_recipe import is_held_out
from humanmesh.files.joint_limits import JOINT_LIMITS, STORED, read_joint_limits, write_joint_limits
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_quaternion

FOLDS = 5
SAMPLES = 400
ASSET = Path(__file__).resolve().parents[1] / "src" / "humanmesh" / "assets" / JOINT_LIMITS


def main() -> None:
    """Learn, write, and measure the clips that were left out."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--motion", type=Path, required=True, help=".npz of `humanmesh data motion`")
    parser.add_argument("--out", type=Path, default=ASSET, help="the file to write")
    options = parser.parse_args()
    rotations, folds, held_out = read_frames(options.motion)
    limits = learn(with_mirror(rotations[~held_out]), folds[~held_out].repeat(2))
    notes = {"source": "motion capture of docs/datasets.md", "frames": str(int((~held_out).sum()))}
    write_joint_limits(limits, options.out, notes)
    report(read_joint_limits(options.out), rotations[held_out])


def read_frames(
    path: Path,
) -> tuple[Float[Tensor, "frames 24 3 3"], Int[Tensor, "frames"], Tensor]:
    """Rotations, the fold of each frame (all clips of an action in one), and whether it belongs to the benchmark."""
    with np.load(path) as motion:
        names, clips, poses = motion["clip_names"].tolist(), motion["clip"], motion["pose"]
    _, actions = np.unique([name.split("/")[0] for name in names], return_inverse=True)
    held_out = np.array([is_held_out(name) for name in names])[clips]
    rotations = axis_angle_to_matrix(torch.from_numpy(poses).float().unflatten(1, (24, 3)))
    return rotations, torch.from_numpy(actions[clips] % FOLDS), torch.from_numpy(held_out)


def with_mirror(rotations: Float[Tensor, "frames 24 3 3"]) -> Float[Tensor, "both 24 3 3"]:
    """Every pose, and then every pose seen in a mirror."""
    return torch.cat([rotations, mirror_pose(rotations)])


def learn(rotations: Float[Tensor, "frames 24 3 3"], folds: Int[Tensor, "frames"]) -> JointLimits:
    """The limits of the joints of `STORED`."""
    learned = []
    for joint in STORED:
        quaternions = matrix_to_quaternion(rotations[:, SMPL_24.index[joint]])
        learned.append(learn_joint([quaternions[folds == fold] for fold in range(FOLDS)], SAMPLES))
        print(f"{joint}: within {np.rad2deg(learned[-1].tolerance):.1f} degrees")
    length = max(len(joint.recorded) for joint in learned)
    # Every joint gets as many rows as the longest: the first one repeats.
    recorded = [
        torch.cat([joint.recorded, joint.recorded[:1].expand(length - len(joint.recorded), 4)])
        for joint in learned
    ]
    rows = [SMPL_24.index[joint] for joint in STORED]
    tolerances = torch.tensor([joint.tolerance for joint in learned])
    return JointLimits(torch.stack(recorded), tolerances, spread(rotations[:, rows]))


def report(limits: JointLimits, unseen: Float[Tensor, "frames 24 3 3"]) -> None:
    """Print how often the limits are broken in clips that they were not learned from, and by chance."""
    generator = torch.Generator().manual_seed(0)
    random = axis_angle_to_matrix(_uniform_turns(1000, generator))
    for name, rotations in (("clips left out", unseen), ("random turns", random)):
        broken = limits.broken(rotations).float()
        print(f"{name}: {100 * float(broken.mean()):.2f} % of joints beyond their limits")
        print(
            "  "
            + ", ".join(
                f"{joint} {100 * share:.1f}" for joint, share in zip(LIMITED, broken.mean(0), strict=True)
            )
        )


def _uniform_turns(people: int, generator: torch.Generator) -> Float[Tensor, "people 24 3"]:
    """Axis-angle of rotations that are uniform over all rotations."""
    quaternions = torch.nn.functional.normalize(torch.randn(people, 24, 4, generator=generator), dim=-1)
    angles = 2 * quaternions[..., :1].clamp(-1, 1).acos()
    return torch.nn.functional.normalize(quaternions[..., 1:], dim=-1) * angles


if __name__ == "__main__":
    main()
