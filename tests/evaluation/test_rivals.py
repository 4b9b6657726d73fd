"""Each rival gets what it is said to get, and gives it the form that is measured."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import COCO_17, LSP_14
from humanmesh.evaluation import rivals
from humanmesh.evaluation.comparison import compare, synthetic_contest
from humanmesh.evaluation.predictors import NetworkPredictor
from humanmesh.evaluation.protocols import PROTOCOLS
from humanmesh.files.body_models import load_body_data
from humanmesh.files.priors import load_pose_prior
from humanmesh.fitting.forest import Forest
from humanmesh.fitting.lifting import Lifter
from humanmesh.geometry.rotations import matrix_to_rotation_6d
from humanmesh.network.recovery import RecoveryConfig, build_recovery
from made_rendered import SIDE, rendered_people, write_rendered

SYNTHETIC = PROTOCOLS["synthetic"]


@pytest.fixture(scope="module")
def body():
    return BodyModel(load_body_data("anny"))


@pytest.fixture(scope="module")
def people(body, tmp_path_factory):
    return synthetic_contest(
        write_rendered(tmp_path_factory.mktemp("people") / "people.pt", body), body, None
    )


@pytest.fixture(scope="module")
def smplify(body):
    return rivals.smplify(body, load_pose_prior())


@pytest.fixture(scope="module")
def oracle(body):
    return rivals.smplify_oracle(body, load_pose_prior())


def with_few_joints(case):
    """Only legs and hips, of which the lifter and the fits want more."""
    weights = case.weights_2d * (np.arange(19) < 4)
    return replace(case, weights_2d=weights)


def one_leaf(body, person: int) -> Forest:
    """A forest that always answers with one person's truth."""
    arrays = rendered_people(body)
    six = matrix_to_rotation_6d(arrays["rotations"][person]).flatten()
    zero = np.zeros(1, np.int32)
    values = torch.cat([six, arrays["shape"][person]])[None].numpy()
    return Forest(zero, zero, np.zeros(1), zero, zero, zero, values)


def test_a_forest_that_knows_the_body_puts_it_where_the_points_are(body, people):
    case = people.contest.cases[1]
    contest = replace(people.contest, cases=(case,))
    (entry,) = compare([rivals.forest(one_leaf(body, 1), body, people.surface)], contest).entries
    assert entry.result.value("reconstruction error") == pytest.approx(0, abs=0.05)
    assert entry.result.value("PCK@0.05") == 100  # the true camera has perspective, this one has none
    assert entry.result.value("accuracy") > 97


def test_a_fit_to_the_true_joints_lies_on_them(smplify, people):
    (entry,) = compare([smplify], replace(people.contest, cases=people.contest.cases[:1])).entries
    assert smplify.given == ("2D joints",)
    assert entry.result.value("PCK@0.05") == 100
    assert entry.result.value("accuracy") > 95


def test_the_true_silhouette_brings_the_silhouette_nearer(smplify, oracle, people):
    contest = replace(people.contest, cases=people.contest.cases[1:2])
    first, second = compare([smplify, oracle], contest).entries
    assert second.method.given == ("2D joints", "mask")
    assert second.result.value("F1") > first.result.value("F1")


def test_whoever_has_no_usable_mask_keeps_the_fit_without_it(smplify, oracle, people):
    case = replace(people.contest.cases[0], load_mask=lambda: np.zeros((SIDE, SIDE), bool))
    found = [method.predict([case], SYNTHETIC).vertices for method in (oracle, smplify)]
    assert torch.equal(*found)


def test_a_fit_to_the_true_surface_points_is_nearer_than_one_to_joints_is_wide(body, people):
    method = rivals.smplify_from_surface(body, load_pose_prior(), people.surface)
    (entry,) = compare([method], replace(people.contest, cases=people.contest.cases[:1])).entries
    assert entry.result.value("reconstruction error") < 50


def test_people_of_whom_too_little_is_known_are_left_out_and_the_others_go_on(smplify, people):
    first, second, third = people.contest.cases
    cases = [first, with_few_joints(second), third]
    for method in (rivals.lifting(Lifter().eval()), smplify):
        points = method.predict(cases, SYNTHETIC).points_3d("cocoplus19")[:, : len(LSP_14)]
        assert points.isfinite().all((1, 2)).tolist() == [True, False, True]
        alone = method.predict([third], SYNTHETIC).points_3d("cocoplus19")[:, : len(LSP_14)]
        torch.testing.assert_close(points[2:], alone, atol=2e-3, rtol=0)


def test_the_lifter_gets_the_joints_of_the_case_by_name(people):
    case = people.contest.cases[0]
    coco = replace(
        case,
        skeleton=COCO_17,
        keypoints_2d=np.arange(34.0).reshape(17, 2),
        weights_2d=np.ones(17, np.float32),
    )
    seen = rivals.known_joints([coco], LSP_14.joints)
    for joint in ("left_ankle", "right_shoulder"):
        row = COCO_17.index[joint]
        assert seen.points[0, LSP_14.index[joint]].tolist() == [2 * row, 2 * row + 1]
    unknown = [joint for joint in LSP_14.joints if seen.weights[0, LSP_14.index[joint]] == 0]
    assert unknown == ["neck", "head_top"]


def test_the_camera_of_a_photo_looks_through_its_middle(people):
    wide = replace(people.contest.cases[0], load_pixels=lambda: torch.zeros(3, 30, 40))
    lens = rivals.lens_of([wide, people.contest.cases[1]])
    assert lens.principal_point.tolist() == [[20, 15], [SIDE / 2, SIDE / 2]]
    torch.testing.assert_close(lens.focal_length, torch.tensor([50, SIDE * 2**0.5]))


@torch.no_grad()
def test_the_refinement_starts_where_the_network_sees_the_body(body, people):
    torch.manual_seed(0)
    network = build_recovery(RecoveryConfig(crop_size=64, rounds=1), body.data).eval()
    prediction = NetworkPredictor("random", network, body, 64).predict(people.contest.cases, SYNTHETIC)
    lens = rivals.lens_of(people.contest.cases)
    start = rivals.start_of(prediction, lens)
    posed = body(start.rotations, start.shape)
    torch.testing.assert_close(posed.vertices, prediction.vertices, atol=1e-4, rtol=0)
    # Both cameras agree in the plane of the body's origin.
    flat = torch.cat([posed.vertices[..., :2], torch.zeros_like(posed.vertices[..., :1])], 2)
    camera = prediction.output.last.camera
    seen = torch.einsum("bij,bkj->bki", prediction.photo_from_crop[:, :2, :2], camera.project(flat))
    seen = seen + prediction.photo_from_crop[:, None, :2, 2]
    torch.testing.assert_close(lens.project(flat + start.translation[:, None]), seen, atol=0.05, rtol=1e-3)
