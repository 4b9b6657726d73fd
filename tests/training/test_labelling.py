"""3D labels from fits: whose, where from, how far they are trusted."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.augmentation import NO_AUGMENTATION, augment
from humanmesh.data.dataset import Sample, collate
from humanmesh.errors import BadInputError
from humanmesh.geometry.cameras import WeakPerspectiveCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.network.encoder import EncoderOutput
from humanmesh.network.recovery import Recovery, RecoveryOutput
from humanmesh.network.regressor import Estimate
from humanmesh.training.labelling import (
    FAR,
    JOINT_WEIGHT,
    NEAR,
    POSE_WEIGHT,
    LabelReport,
    agreement,
    with_fitted_labels,
)
from made_bodies import small_body
from made_samples import made_sample

ROW = COCOPLUS_19.index
HALF_BOX = NO_AUGMENTATION.margin / 2
"""Boxes in a crop half-width."""


class TruthTeller(Recovery):
    """Answers with one body, whose keypoints lie where they were told to be but for an offset in boxes."""

    def __init__(self, offset: float | Tensor = 0.0, scale: float = 1.0) -> None:
        nn.Module.__init__(self)
        self.place = nn.Parameter(torch.zeros(1))
        self.offset, self.scale = offset, scale
        self.told_people = 0

    def told(self, crops: Tensor, keypoints: Tensor, weights: Tensor) -> RecoveryOutput:
        self.told_people += len(crops)
        rotations = axis_angle_to_matrix(0.1 * torch.ones(len(crops), 24, 3))
        shape = torch.zeros(len(crops), 10)
        joints, body_keypoints = KeypointBody(small_body(), "cocoplus19")(rotations, shape)
        camera = WeakPerspectiveCamera(torch.full((len(crops),), self.scale), torch.zeros(len(crops), 2))
        places = keypoints.clone()
        places[..., 0] += self.offset / HALF_BOX
        estimate = Estimate(rotations, shape, camera, joints, body_keypoints, places)
        return RecoveryOutput((estimate,), EncoderOutput(torch.zeros(len(crops), 1)), None)


def labelled(samples: list[Sample], network: Recovery) -> tuple[list[Sample], LabelReport]:
    report = LabelReport()
    return list(with_fitted_labels(samples, network, 64, report)), report


def test_people_without_3d_get_that_of_the_fit_and_the_others_keep_theirs() -> None:
    samples = [made_sample(number, known_3d=number % 3 == 0) for number in range(40)]
    network = TruthTeller()
    results, report = labelled(samples, network)
    assert (report.people, report.known, report.labelled) == (40, 14, 26)
    assert network.told_people == 26
    for before, after in zip(samples, results, strict=True):
        assert np.array_equal(after.image, before.image)
        assert np.array_equal(after.keypoints_2d, before.keypoints_2d)
        if before.pose_weight:
            assert after is before
            continue
        assert after.record == before.record
        np.testing.assert_allclose(after.weights_3d, JOINT_WEIGHT)
        assert after.pose_weight == POSE_WEIGHT
        np.testing.assert_allclose(after.pose, 0.1, atol=1e-5)
        assert after.shape_weight == 0
        hips = after.keypoints_3d[[ROW["left_hip"], ROW["right_hip"]]]
        np.testing.assert_allclose(hips.sum(0), 0, atol=1e-6)


@pytest.mark.parametrize(
    ("offset", "expected"),
    [
        (0.0, 1.0),
        (0.9 * NEAR, 1.0),
        ((NEAR + FAR) / 2, 0.5),
        (0.25 * NEAR + 0.75 * FAR, 0.25),
        (1.1 * FAR, 0.0),
    ],
)
def test_a_joint_is_trusted_by_its_distance_from_the_label_in_boxes(offset: float, expected: float) -> None:
    person = made_sample(known_3d=False)
    weights = np.linspace(0.1, 1, 19, dtype=np.float32)
    batch = augment(collate([replace(person, weights_2d=weights)]), NO_AUGMENTATION, 64, torch.Generator())
    fit = TruthTeller(offset).told(batch.images, batch.keypoints_2d, batch.weights_2d).last
    torch.testing.assert_close(agreement(fit, batch)[0], expected * torch.from_numpy(weights))


@pytest.mark.parametrize(
    ("missing", "people"),
    [
        ((), 1),
        (("left_wrist", "right_wrist", "left_ankle", "right_ankle"), 1),  # eight are left
        (("left_wrist", "right_wrist", "left_ankle", "right_ankle", "left_knee"), 0),
        (("left_hip",), 0),
        (("neck", "head_top", "nose", "left_eye", "right_eye", "left_ear", "right_ear"), 1),
    ],
)
def test_a_fit_that_meets_too_few_joints_labels_nobody(missing: tuple[str, ...], people: int) -> None:
    offset = torch.zeros(19)
    offset[[ROW[joint] for joint in missing]] = 2 * FAR
    person = made_sample(known_3d=False)
    (result,), report = labelled([person], TruthTeller(offset))
    assert report.labelled == people
    if not people:
        assert not result.weights_3d.any()
        assert result.pose_weight == 0
        return
    assert not result.weights_3d[offset > 0].any()
    assert not result.keypoints_3d[offset > 0].any()
    np.testing.assert_allclose(result.weights_3d[offset == 0], JOINT_WEIGHT)


def test_a_body_seen_in_a_mirror_labels_nobody() -> None:
    person = made_sample(known_3d=False)
    (result,), report = labelled([person], TruthTeller(scale=-1.0))
    assert report.labelled == 0
    assert not result.weights_3d.any()


def test_answers_that_are_no_bodies_are_refused() -> None:
    with pytest.raises(BadInputError, match="no body"):
        labelled([made_sample(known_3d=False)], TruthTeller(math.nan))


def test_labels_of_an_earlier_fit_are_made_anew_and_go_where_the_fit_misses() -> None:
    (first,), _ = labelled([made_sample(known_3d=False)], TruthTeller())
    (second,), report = labelled([first], TruthTeller())
    assert (report.labelled, report.known) == (1, 0)
    np.testing.assert_array_equal(second.keypoints_3d, first.keypoints_3d)
    (third,), report = labelled([first], TruthTeller(2 * FAR))
    assert (report.labelled, report.known) == (0, 0)
    assert not third.weights_3d.any()
    assert third.pose_weight == 0
