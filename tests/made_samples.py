"""Stored samples with random pictures and labels, for tests of what stands on them."""

import numpy as np

from humanmesh.data.dataset import Sample


def made_sample(number: int = 0, size: int = 64, source: str = "made", *, known_3d: bool = True) -> Sample:
    """A person in the middle half of a picture, every label known unless `known_3d` is False."""
    rng = np.random.default_rng(number)
    keypoints = rng.uniform(size / 4, 3 * size / 4, (19, 2)).astype(np.float32)
    known = float(known_3d)
    return Sample(
        image=rng.integers(0, 255, (3, size, size), np.uint8),
        keypoints_2d=keypoints,
        weights_2d=np.ones(19, np.float32),
        box=np.concatenate([keypoints.min(0), keypoints.max(0)]),
        keypoints_3d=rng.normal(0, 0.4, (19, 3)).astype(np.float32) * np.float32(known),
        weights_3d=np.full(19, known, np.float32),
        pose=rng.normal(0, 0.5, 72).astype(np.float32) * np.float32(known),
        pose_weight=known,
        shape=rng.normal(0, 1, 10).astype(np.float32) * np.float32(known),
        shape_weight=known,
        source=source,
        record=str(number),
    )


class MadeSource:
    """A data set of made samples."""

    def __init__(self, name: str, count: int, *, known_3d: bool = True) -> None:
        self.name, self.count, self.known_3d = name, count, known_3d

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Sample:
        return made_sample(row, source=self.name, known_3d=self.known_3d)
