"""What a running training is watched by: 2D accuracy on people that it never sees."""

from collections.abc import Sequence

import torch
from torch import nn

from humanmesh.body.skeletons import COCOPLUS_19, LSP_14
from humanmesh.data.augmentation import NO_AUGMENTATION, plain_crops
from humanmesh.data.dataset import Batch, SampleSource, collate
from humanmesh.losses import root_relative

_THRESHOLDS = (0.05, 0.1, 0.2)
_MEASURED_3D = LSP_14.indices_in(COCOPLUS_19)
"""The joints; the points of the face are left out."""


class HoldOutWatch:
    """PCK of the last round's reprojection, and 3D error where 3D is known, on the first people of each source."""

    def __init__(self, sources: Sequence[SampleSource], crop_size: int, people: int = 500) -> None:
        self.sources, self.crop_size, self.people = sources, crop_size, people
        self.latest: dict[str, float] = {}
        """The figures of the last measurement."""

    @torch.no_grad()
    def __call__(self, network: nn.Module) -> dict[str, float]:
        """Figures by name, each with its source in it."""
        figures: dict[str, float] = {}
        for source in self.sources:
            figures |= {
                f"{source.name}/{name}": value for name, value in self._measure(network, source).items()
            }
        self.latest = figures
        return figures

    def _measure(self, network: nn.Module, source: SampleSource) -> dict[str, float]:
        distances, weights, errors = [], [], []
        device = next(network.parameters()).device
        for start in range(0, min(self.people, len(source)), 50):
            rows = range(start, min(start + 50, len(source), self.people))
            stored = collate([source[row] for row in rows]).to(device)
            batch = plain_crops(stored, self.crop_size)
            estimate = network(batch.images).last
            box_side = 2 / NO_AUGMENTATION.margin
            distances.append((estimate.keypoints_2d - batch.keypoints_2d).norm(dim=-1) / box_side)
            weights.append((batch.weights_2d > 0).float())
            errors.append(_joint_errors(estimate.keypoints_3d, batch))
        figures = _pck(torch.cat(distances), torch.cat(weights))
        error = torch.cat(errors)
        return figures | ({"mpjpe_mm": 1000 * float(error.mean())} if len(error) else {})


def _pck(distances: torch.Tensor, weights: torch.Tensor) -> dict[str, float]:
    seen = weights.sum(0)
    share = {t: ((distances < t) * weights).sum(0)[seen > 0] / seen[seen > 0] for t in _THRESHOLDS}
    return {f"pck@{threshold}": float(value.mean()) for threshold, value in share.items()}


def _joint_errors(keypoints_3d: torch.Tensor, batch: Batch) -> torch.Tensor:
    hips = COCOPLUS_19.index["left_hip"], COCOPLUS_19.index["right_hip"]
    known = batch.weights_3d.bool().all(1)
    difference = root_relative(keypoints_3d, *hips) - root_relative(batch.keypoints_3d, *hips)
    return difference[known][:, _MEASURED_3D].norm(dim=-1).mean(-1)
