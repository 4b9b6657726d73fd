"""The unpaired bodies that the adversary learns from: poses of motion capture, shapes of the body's distribution."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.geometry.rotations import axis_angle_to_matrix, mirror_matrix


@dataclass(frozen=True)
class BodyPool:
    """Bodies that belong to no photo."""

    poses: Float[Tensor, "poses 72"]
    """Axis-angle, radians; the global rotation is never used."""
    chances: Float[Tensor, "poses"]
    """How likely each pose is drawn, so that long clips do not drown short ones."""

    def sample(
        self, count: int, generator: torch.Generator
    ) -> tuple[Float[Tensor, "count 24 3 3"], Float[Tensor, "count 10"]]:
        """Rotations and shapes: half of the poses seen in a mirror, shapes standard normal."""
        rows = torch.multinomial(self.chances, count, replacement=True, generator=generator)
        rotations = axis_angle_to_matrix(self.poses[rows].unflatten(1, (24, 3)))
        mirrored = mirror_matrix(rotations[:, list(SMPL_24.mirror)])
        swap = torch.rand(count, generator=generator) < 0.5
        shapes = torch.randn(count, 10, generator=generator)
        return torch.where(swap[:, None, None, None], mirrored, rotations), shapes


def balanced_pool(poses: np.ndarray, clips: np.ndarray) -> BodyPool:
    """A pool in which a clip counts by the square root of its length.

    Args:
        poses: (N, 72) axis-angle.
        clips: (N,) number of the clip of each pose.
    """
    lengths = np.bincount(clips)
    chances = 1 / np.sqrt(lengths[clips])
    return BodyPool(torch.from_numpy(poses).float(), torch.from_numpy(chances / chances.sum()).float())
