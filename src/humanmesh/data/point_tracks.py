"""Points in space that move: joints of motion capture, or those that another tool found, frame by frame."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import SKELETONS, SMPL_24
from humanmesh.data.motion import Motion
from humanmesh.data.motion_files import read_motion_file
from humanmesh.data.readers.asf_amc import FRAME_RATE as AMC_FRAME_RATE
from humanmesh.errors import BadInputError, MissingAssetError, UnknownNameError
from humanmesh.files.arrays import read_arrays

PosedJoints = Callable[
    [Float[Tensor, "frames 24 3 3"], Float[Tensor, "frames 10"]], Float[Tensor, "frames 24 3"]
]
"""SMPL's joints (metres) of a body in poses and shapes."""
_SMPL_NAME = "smpl"
"""`BodyModelData.name` of the body on which motion capture's shapes mean what they say."""
_DEFAULT_FRAME_RATE = 30.0
_NAMES = ("joints_3d", "keypoint_set", "confidences", "frame_rate")
"""Arrays of a file of points."""


@dataclass(frozen=True)
class PointTrack:
    """Keypoints of one person, frame by frame."""

    name: str
    keypoint_set: str
    """A name of `body.skeletons`."""
    positions: Float[Tensor, "frames keypoints 3"]
    """Metres, in a frame whose y axis points up or down; 0 where the confidence is 0."""
    confidences: Float[Tensor, "frames keypoints"]
    """0 where a keypoint is not known."""
    frame_rate: float
    """Hz."""

    def only(self, frames: slice) -> "PointTrack":
        """Some frames.

        Raises:
            BadInputError: where none is left.
        """
        kept = range(len(self.positions))[frames]
        if not len(kept):
            found = f"{len(self.positions)} frames, and none of them chosen"
            raise BadInputError(
                f"Points of {self.name}", found, "Choose others with --frames START:STOP:STEP."
            )
        rows = torch.tensor(kept)
        return replace(
            self,
            positions=self.positions[rows],
            confidences=self.confidences[rows],
            frame_rate=self.frame_rate / kept.step,
        )


def read_point_tracks(
    path: Path,
    posed_joints: PosedJoints,
    amc_frame_rate: float = AMC_FRAME_RATE,
    body_name: str | None = None,
) -> list[PointTrack]:
    """The people or clips of a file.

    Known are .npz with `joints_3d` (frames, keypoints, 3) in metres, `keypoint_set` and, where known, `confidences`
    (frames, keypoints) and `frame_rate`; and motion capture as `humanmesh data motion` reads it, whose 24 joints are those of
    a body in its poses: in the file's shape where body and shape are SMPL's, else in the mean shape.

    Args:
        path: the file.
        posed_joints: poses the body.
        amc_frame_rate: Hz of .amc files, which do not say it.
        body_name: the body's `BodyModelData.name`; None where it is not known.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is none of these, or damaged.
        HumanMeshError: where motion capture cannot be read.
    """
    if not path.is_file():
        raise MissingAssetError("file of points", path, "Give .json, .npz, .bvh, .amc or .txt.")
    arrays = _point_arrays(path) if path.suffix.lower() == ".npz" else None
    if arrays is not None:
        return [_track_of_arrays(path, arrays)]
    motions = read_motion_file(path, amc_frame_rate)
    if not motions:
        raise BadInputError(
            f"File of points {path}",
            f"a {path.suffix or 'nameless'} file",
            "Give .json, .npz, .bvh, .amc or .txt.",
        )
    if body_name != _SMPL_NAME:  # each body has shape components of its own
        motions = [replace(motion, shape=None) for motion in motions]
    return [_track_of_motion(motion, posed_joints) for motion in motions]


def _point_arrays(path: Path) -> dict[str, np.ndarray] | None:
    """The arrays of a file of points; None where it holds something else."""
    arrays = read_arrays(path, f"File of points {path}", "Write it again.", _NAMES)
    return arrays if "joints_3d" in arrays else None


def _track_of_arrays(path: Path, arrays: dict[str, np.ndarray]) -> PointTrack:
    if "keypoint_set" not in arrays:
        raise BadInputError(
            f"File of points {path}", "no keypoint_set", f"Add one of {', '.join(SKELETONS)}."
        )
    name, points = str(arrays["keypoint_set"]), np.asarray(arrays["joints_3d"])
    if name not in SKELETONS:
        raise UnknownNameError("keypoint set", name, list(SKELETONS))
    wanted = (len(SKELETONS[name]), 3)
    if points.ndim != 3 or points.shape[1:] != wanted or points.dtype.kind not in "fiu":
        found = f"joints_3d of shape {points.shape} and type {points.dtype}"
        raise BadInputError(
            f"File of points {path}", found, f"{name} wants (frames, {wanted[0]}, 3) numbers."
        )
    trust = np.asarray(arrays.get("confidences", np.ones(points.shape[:2])))
    if trust.shape != points.shape[:2]:
        found = f"confidences of shape {trust.shape}"
        raise BadInputError(f"File of points {path}", found, f"Give {points.shape[:2]}, like joints_3d.")
    known = np.isfinite(points).all(2) & np.isfinite(trust) & (trust > 0)
    return PointTrack(
        path.stem,
        name,
        torch.from_numpy(np.where(known[..., None], points, 0).astype(np.float32)),
        torch.from_numpy(np.where(known, trust, 0).astype(np.float32)),
        _frame_rate(path, arrays),
    )


def _frame_rate(path: Path, arrays: dict[str, np.ndarray]) -> float:
    rate = arrays.get("frame_rate", np.array(_DEFAULT_FRAME_RATE))
    if rate.size != 1 or rate.dtype.kind not in "fiu" or not 0 < rate.item() < math.inf:
        raise BadInputError(f"File of points {path}", f"frame_rate {rate}", "Give one positive number (Hz).")
    return float(rate.item())


def _track_of_motion(motion: Motion, posed_joints: PosedJoints) -> PointTrack:
    frames = len(motion.rotations)
    shape = torch.zeros(10) if motion.shape is None else motion.shape.float()
    joints = posed_joints(motion.rotations.float(), shape.expand(frames, -1))
    # The root of the source stands where ours does.
    joints = joints - joints[:, :1] + motion.translation.float()[:, None]
    name = motion.name.replace("/", "_")
    return PointTrack(name, SMPL_24.name, joints, torch.ones(frames, len(SMPL_24)), motion.frame_rate)
