"""Stored samples as batches. A batch is named by its number: the same number gives the same batch, on any machine."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.geometry.rotations import axis_angle_to_matrix


@dataclass(frozen=True)
class Sample:
    """One person, cut out of a picture and stored: a square picture and what is known, in COCOPLUS_19's order."""

    image: np.ndarray
    """(3, S, S) uint8, RGB."""
    keypoints_2d: np.ndarray
    """(19, 2) float32, pixels of the stored picture; 0 where the weight is 0."""
    weights_2d: np.ndarray
    """(19,) float32 in [0, 1]."""
    box: np.ndarray
    """(4,) float32 x0, y0, x1, y1 of the person's visible keypoints, pixels of the stored picture."""
    keypoints_3d: np.ndarray
    """(19, 3) float32, metres, camera frame."""
    weights_3d: np.ndarray
    """(19,) float32 in [0, 1]."""
    pose: np.ndarray
    """(72,) float32 axis-angle in radians, the global rotation in the camera frame."""
    pose_weight: float
    """1 where the pose is known, less where it is guessed (`training.labelling`), 0 where there is none."""
    shape: np.ndarray
    """(10,) float32."""
    shape_weight: float
    """1 where the shape is known, else 0."""
    source: str
    """Data set."""
    record: str
    """Name of the record in its data set."""

    @property
    def has_known_3d(self) -> bool:
        """Whether anything in 3D is measured or rendered, and not guessed."""
        return self.pose_weight in (0, 1) and bool(
            self.weights_3d.any() or self.pose_weight or self.shape_weight
        )


@dataclass(frozen=True)
class Batch:
    """Samples side by side. From the data set in pixels of the stored pictures; from `augment` in crop coordinates."""

    images: Float[Tensor, "batch 3 size size"] | UInt8[Tensor, "batch 3 size size"]
    keypoints_2d: Float[Tensor, "batch 19 2"]
    weights_2d: Float[Tensor, "batch 19"]
    boxes: Float[Tensor, "batch 4"]
    keypoints_3d: Float[Tensor, "batch 19 3"]
    weights_3d: Float[Tensor, "batch 19"]
    rotations: Float[Tensor, "batch 24 3 3"]
    pose_weights: Float[Tensor, "batch"]
    shapes: Float[Tensor, "batch 10"]
    shape_weights: Float[Tensor, "batch"]
    records: tuple[str, ...] = ()
    """"source/record" of each sample, for messages."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on another device."""
        moved = {
            entry.name: getattr(self, entry.name).to(device, non_blocking=True)
            for entry in fields(self)
            if entry.name != "records"
        }
        return Batch(**moved, records=self.records)


def collate(samples: Sequence[Sample]) -> Batch:
    """A batch of stored samples."""

    def stack(name: str) -> Tensor:
        return torch.from_numpy(np.stack([np.asarray(getattr(s, name)) for s in samples]))

    def number(name: str) -> Tensor:
        return torch.tensor([getattr(s, name) for s in samples], dtype=torch.float32)

    return Batch(
        images=stack("image"),
        keypoints_2d=stack("keypoints_2d"),
        weights_2d=stack("weights_2d"),
        boxes=stack("box"),
        keypoints_3d=stack("keypoints_3d"),
        weights_3d=stack("weights_3d"),
        rotations=axis_angle_to_matrix(stack("pose").unflatten(1, (24, 3))),
        pose_weights=number("pose_weight"),
        shapes=stack("shape"),
        shape_weights=number("shape_weight"),
        records=tuple(f"{s.source}/{s.record}" for s in samples),
    )


@runtime_checkable
class SampleSource(Protocol):
    """Stored samples by number."""

    name: str

    def __len__(self) -> int: ...

    def __getitem__(self, row: int) -> Sample: ...


def unlabelled_3d() -> dict[str, np.ndarray | float]:
    """The 3D fields of a sample of which only the picture and 2D keypoints are known."""
    keypoints = len(COCOPLUS_19)
    return {
        "keypoints_3d": np.zeros((keypoints, 3), np.float32),
        "weights_3d": np.zeros(keypoints, np.float32),
        "pose": np.zeros(72, np.float32),
        "pose_weight": 0.0,
        "shape": np.zeros(10, np.float32),
        "shape_weight": 0.0,
    }
