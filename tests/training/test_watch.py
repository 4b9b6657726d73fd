"""The figures that a training is watched by, by hand."""

from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.augmentation import NO_AUGMENTATION, augment
from humanmesh.data.dataset import collate
from humanmesh.training.watch import HoldOutWatch
from made_samples import MadeSource, made_sample


class Scripted(nn.Module):
    """Answers with prepared keypoints, whatever it is shown."""

    def __init__(self, keypoints_2d: Tensor, keypoints_3d: Tensor) -> None:
        super().__init__()
        self.anything = nn.Parameter(torch.zeros(1))
        self.answer = SimpleNamespace(
            last=SimpleNamespace(keypoints_2d=keypoints_2d, keypoints_3d=keypoints_3d)
        )

    def forward(self, crops: Tensor) -> SimpleNamespace:
        return self.answer


def test_the_first_people_of_each_source_are_measured_in_2d_and_where_it_is_known_in_3d():
    labels = augment(
        collate([made_sample(number) for number in range(3)]), NO_AUGMENTATION, 64, torch.Generator()
    )
    ankle, nose = COCOPLUS_19.index["left_ankle"], COCOPLUS_19.index["nose"]
    keypoints_2d, keypoints_3d = labels.keypoints_2d.clone(), labels.keypoints_3d + 0.5
    keypoints_2d[:, ankle, 0] += 0.07 * 2 / NO_AUGMENTATION.margin  # 7 % of the box
    keypoints_3d[:, ankle, 2] += 0.14
    keypoints_3d[:, nose] += 9  # a point of the face, no joint
    sources = [MadeSource("known", 5), MadeSource("flat", 5, known_3d=False)]
    watch = HoldOutWatch(sources, 64, people=3)
    flat = {"pck@0.05": 18 / 19, "pck@0.1": 1, "pck@0.2": 1}
    expected = {f"{name}/{key}": value for name in ("known", "flat") for key, value in flat.items()}
    expected["known/mpjpe_mm"] = 140 / 14
    assert watch(Scripted(keypoints_2d, keypoints_3d)) == pytest.approx(expected, abs=1e-3)
    assert watch.latest.keys() == expected.keys()
