"""The unpaired bodies that the adversary learns from: poses of motion capture, shapes of the body's distribution."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.arrays import read_arrays
from humanmesh.geometry.rotations import axis_angle_to_matrix, mirror_matrix


@dataclass(frozen=True)
class BodyPool:
    """Bodies that belong to no photo."""

    poses: Float[Tensor, "poses 72"]
    """Axis-angle, radians; the global rotation is never used."""
    chances: Float[Tensor, "poses"]
    """How likely each pose is drawn, so that what was recorded often does not drown the rest."""

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
    return weighted_pool(poses, 1 / np.sqrt(lengths[clips]))


def weighted_pool(poses: np.ndarray, weights: np.ndarray) -> BodyPool:
    """A pool in which each pose is drawn as often as its weight says.

    Args:
        poses: (N, 72) axis-angle.
        weights: (N,) not negative; they need not add up to one.
    """
    weights = weights.astype(np.float64)
    return BodyPool(torch.from_numpy(poses).float(), torch.from_numpy(weights / weights.sum()).float())


def read_pool(path: Path) -> BodyPool:
    """Poses of an .npz as `humanmesh data motion` writes it: `pose` (N, 72), and `weight` (N,) or else `clip` (N,).

    Raises:
        MissingAssetError: where there is no file.
        BadInputError: where it lacks these arrays, or a value is no number, naming its row.
    """
    if not path.is_file():
        raise MissingAssetError("motion capture", path, "Make one with `humanmesh data motion`.")
    what = f"motion capture {path}"
    arrays = read_arrays(path, what, "Make it again.", ("pose", "clip", "weight"))
    _check_arrays(arrays, what)
    if "weight" in arrays:
        return weighted_pool(arrays["pose"], arrays["weight"])
    return balanced_pool(arrays["pose"], arrays["clip"].astype(np.int64))


def _check_arrays(arrays: dict[str, np.ndarray], what: str) -> None:
    shapes = {name: array.shape for name, array in arrays.items()}
    length = len(arrays["pose"]) if arrays.get("pose", np.zeros(())).ndim == 2 else 0
    wanted = {"pose": (length, 72), "clip": (length,), "weight": (length,)}
    fits = all(shape == wanted[name] for name, shape in shapes.items())
    if not length or not fits or not {"clip", "weight"} & set(shapes):
        remedy = "It needs pose (N, 72) and clip (N,) or weight (N,)."
        raise BadInputError(what, f"arrays {shapes or 'of other names'}", remedy)
    for name, array in arrays.items():
        is_good = np.isfinite(array.reshape(length, -1)).all(1) & ((array >= 0) if name != "pose" else True)
        if not is_good.all():
            row = int(np.flatnonzero(~is_good)[0])
            raise BadInputError(what, f"{name} {row} is not finite or negative", "Leave that frame out.")
    if "weight" in arrays and not arrays["weight"].sum() > 0:
        raise BadInputError(what, "every weight is 0", "Give at least one frame a weight.")
