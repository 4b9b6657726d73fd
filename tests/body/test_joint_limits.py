"""Limits learned from made recordings, whose true limits are known."""

import math

import pytest
import torch
from scipy.spatial.transform import Rotation

from humanmesh.body.joint_limits import (
    LIMITED,
    JointLimits,
    angle_to_nearest,
    evenly_spread,
    learn_joint,
    spread,
)
from humanmesh.body.skeletons import SMPL_24
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_quaternion


def turns(axis: int, degrees: torch.Tensor) -> torch.Tensor:
    axis_angle = torch.zeros(len(degrees), 3)
    axis_angle[:, axis] = degrees.deg2rad()
    return axis_angle_to_matrix(axis_angle)


def quaternions_about_x(low: float, high: float, frames: int = 500) -> torch.Tensor:
    return matrix_to_quaternion(turns(0, torch.linspace(low, high, frames)))


def everywhere(matrix: torch.Tensor) -> torch.Tensor:
    """(people, 24, 3, 3) with this turn in every joint."""
    return matrix[:, None].expand(-1, 24, 3, 3)


@pytest.fixture(scope="module")
def hinge() -> JointLimits:
    """Every joint bends about x by 0 to 90 degrees."""
    learned = learn_joint([quaternions_about_x(0, 90), quaternions_about_x(0, 90)], 60)
    rows = len(LIMITED)
    return JointLimits(
        learned.recorded.expand(rows, -1, 4), torch.full((rows,), learned.tolerance), torch.ones(rows)
    )


@pytest.mark.parametrize(
    ("axis", "degrees", "is_broken"),
    [(0, 45, False), (0, 95, False), (0, 110, True), (0, -20, True), (1, 45, True), (2, 5, False)],
)
def test_a_hinge_is_broken_beyond_its_ends_and_across(hinge, axis, degrees, is_broken):
    broken = hinge.broken(everywhere(turns(axis, torch.tensor([float(degrees)]))))
    assert broken.shape == (1, len(LIMITED))
    assert bool(broken.all()) == is_broken
    assert bool(broken.any()) == is_broken


def test_only_the_joint_that_is_turned_is_broken(hinge):
    rotations = torch.eye(3).repeat(1, 24, 1, 1)
    rotations[0, SMPL_24.index["left_knee"]] = turns(1, torch.tensor([90.0]))[0]
    broken = hinge.broken(rotations)[0]
    assert [joint for joint, is_broken in zip(LIMITED, broken, strict=True) if is_broken] == ["left_knee"]


def test_a_quaternion_and_its_negative_are_one_rotation():
    quaternions = quaternions_about_x(0, 90)
    assert angle_to_nearest(-quaternions, quaternions).max() < 2e-3  # what arccos leaves of float32 near 1


def test_motion_that_no_other_action_shows_widens_the_tolerance():
    narrow = learn_joint([quaternions_about_x(0, 90), quaternions_about_x(0, 90)], 60)
    wide = learn_joint([quaternions_about_x(0, 60), quaternions_about_x(0, 90)], 60)
    assert math.degrees(narrow.tolerance) == pytest.approx(8, abs=0.1)  # the least
    assert math.degrees(wide.tolerance) == pytest.approx(30, abs=1.5)


def test_a_slip_of_the_recording_is_no_limit():
    slip = matrix_to_quaternion(turns(1, torch.tensor([170.0])))
    frames = torch.cat([quaternions_about_x(0, 90, 5000), slip])
    assert angle_to_nearest(slip, evenly_spread(frames, 50)) > 2
    assert angle_to_nearest(slip, evenly_spread(frames, 50, slips=0.0)) < 2e-3


def test_every_frame_is_near_a_chosen_one():
    frames = quaternions_about_x(0, 90, 4000)
    # 31 chosen of 90 degrees lie 3 degrees apart, if they were perfect; farthest points are within a factor of 2.
    assert angle_to_nearest(frames, evenly_spread(frames, 31, slips=0.0)).rad2deg().max() < 3.2


def test_spread_of_turns_to_both_sides_is_their_angle():
    both = turns(2, torch.tensor([-30.0, 30.0] * 10))
    assert float(spread(both[:, None]).rad2deg()) == pytest.approx(30, abs=1e-2)
    assert float(spread(turns(2, torch.full((5,), 70.0))[:, None])) == pytest.approx(0, abs=1e-3)


def test_spread_agrees_with_scipy():
    axis_angle = 0.8 * torch.randn(200, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rotations = Rotation.from_rotvec(axis_angle.numpy())
    angles = (rotations.mean().inv() * rotations).magnitude()
    ours = spread(axis_angle_to_matrix(axis_angle)[:, None])
    assert float(ours) == pytest.approx(math.sqrt((angles**2).mean()), abs=1e-9)


@pytest.mark.parametrize("degrees", [-180.0, -40.0, 0.0, 60.0, 110.0, 179.0])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_what_is_turned_back_is_within_the_limits_and_stays_there(hinge, axis, degrees):
    asked = everywhere(turns(axis, torch.tensor([degrees])))
    within = hinge.within(asked)
    assert not hinge.broken(within).any()
    torch.testing.assert_close(hinge.within(within), within, atol=2e-3, rtol=0)


def test_a_knee_bent_too_far_comes_back_by_just_the_excess(hinge):
    """Bent by 130 degrees where recordings end at 90: back to 90 and 98 % of the tolerance."""
    back = hinge.within(everywhere(turns(0, torch.tensor([130.0]))))[0, SMPL_24.index["left_knee"]]
    expected = math.radians(90) + 0.98 * float(hinge.tolerances[0])
    assert Rotation.from_matrix(back.numpy()).magnitude() == pytest.approx(expected, abs=1e-3)


def test_joints_within_their_limits_and_joints_without_limits_are_left_alone(hinge):
    asked = everywhere(turns(0, torch.tensor([45.0]))).clone()
    asked[0, SMPL_24.index["pelvis"]] = turns(1, torch.tensor([120.0]))[0]
    torch.testing.assert_close(hinge.within(asked), asked, atol=1e-6, rtol=0)
