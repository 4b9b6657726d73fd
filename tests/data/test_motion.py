import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from humanmesh.body.skeletons import SMPL_24, SMPL_PARENTS
from humanmesh.data.motion import (
    CMU_CORRESPONDENCE,
    Correspondence,
    Follows,
    Motion,
    SourceMotion,
    SourceSkeleton,
    accumulate_turns,
    mirror_pose,
    place_joints,
    plausible_frames,
    rarity_weights,
    relative_turns,
    rest_alignments,
    retarget,
    sample_poses,
    shortest_turn,
    turn_about_axes,
    turn_between,
    with_straighter_knees,
)
from humanmesh.errors import BadInputError
from humanmesh.geometry.rotations import axis_angle_to_matrix

HIP, KNEE = SMPL_24.index["left_hip"], SMPL_24.index["left_knee"]


def random_rotations(frames: int, joints: int, seed: int = 0) -> torch.Tensor:
    matrices = Rotation.random(frames * joints, random_state=seed).as_matrix()
    return torch.from_numpy(matrices).reshape(frames, joints, 3, 3)


def one_leg(knee: tuple[float, float, float]) -> SourceSkeleton:
    """Hip, knee and ankle, with the shin in line with the thigh."""
    return SourceSkeleton(
        ("hip", "knee", "ankle"), (-1, 0, 1), torch.tensor([(0.0, 0.0, 0.0), knee, knee], dtype=torch.float64)
    )


LEG = Correspondence(
    follows={"left_hip": Follows("hip"), "left_knee": Follows("knee"), "left_ankle": Follows("ankle")},
    limb_ends={"left_hip": "knee", "left_knee": "ankle"},
)
LEG_BODY = Correspondence({"pelvis": Follows("pelvis"), **LEG.follows}, LEG.limb_ends)


def leg_motion(knee: tuple[float, float, float], world_turns: torch.Tensor) -> SourceMotion:
    leg = one_leg(knee)
    skeleton = SourceSkeleton(
        ("pelvis", *leg.joints), (-1, 0, 1, 2), torch.cat([torch.zeros(1, 3).double(), leg.offsets])
    )
    pelvis = torch.eye(3).double().expand(len(world_turns), 1, 3, 3)
    turns = torch.cat([pelvis, world_turns], 1)
    return SourceMotion("leg", skeleton, turns, torch.zeros(len(turns), 3).double(), 30.0, "leg.amc")


@pytest.mark.parametrize("axes", ["zxy", "zyx", "xyz", "yx", "z"])
def test_turns_about_axes_agree_with_scipy(axes):
    angles = torch.from_numpy(np.random.default_rng(0).uniform(-3, 3, (20, len(axes))))
    expected = Rotation.from_euler(axes.upper(), angles.numpy()).as_matrix()
    np.testing.assert_allclose(turn_about_axes(angles, axes), expected, atol=1e-12)


@given(st.tuples(*[st.floats(-1, 1)] * 6))
@settings(deadline=None, max_examples=50)
def test_the_shortest_turn_takes_one_direction_to_the_other(numbers):
    start, end = torch.tensor(numbers[:3]).double(), torch.tensor(numbers[3:]).double()
    if min(start.norm(), end.norm()) < 1e-3:
        return
    turn = shortest_turn(start, end)
    np.testing.assert_allclose(turn @ (start / start.norm()), end / end.norm(), atol=1e-7)
    np.testing.assert_allclose(torch.linalg.det(turn), 1, atol=1e-9)


def test_the_shortest_turn_between_opposite_arms_goes_about_z():
    turn = shortest_turn(torch.tensor([1.0, 0, 0]).double(), torch.tensor([-1.0, 0, 0]).double())
    np.testing.assert_allclose(turn, np.diag([-1.0, -1, 1]), atol=1e-12)


@pytest.mark.parametrize("slant", [0.0, 1e-12, 1e-8, 5e-7, 2e-6, 1e-3])
@pytest.mark.parametrize("start", [(0.0, 0, 1), (1.0, 0, 0), (0.3, -0.5, 0.8), (1e-4, 0, 1)])
def test_the_shortest_turn_holds_where_directions_are_nearly_opposite(start, slant):
    start = torch.tensor(start, dtype=torch.float64)
    end = -2 * start + torch.tensor([0.0, slant, 0], dtype=torch.float64)
    turn = shortest_turn(start, end)
    np.testing.assert_allclose(turn @ (start / start.norm()), end / end.norm(), atol=1e-9)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)


def test_half_way_between_no_turn_and_a_quarter_turn_is_an_eighth():
    quarter = turn_about_axes(torch.tensor([[math.pi / 2]]), "y")
    half = turn_between(torch.eye(3)[None], quarter, 0.5)
    np.testing.assert_allclose(half, turn_about_axes(torch.tensor([[math.pi / 4]]), "y"), atol=1e-6)


def test_relative_and_accumulated_turns_undo_each_other():
    local = random_rotations(5, 24)
    np.testing.assert_allclose(relative_turns(accumulate_turns(local, SMPL_PARENTS)), local, atol=1e-12)


def test_a_child_stands_at_its_offset_turned_with_its_parent():
    quarter = turn_about_axes(torch.tensor([[math.pi / 2]]), "z")[:, None].expand(1, 2, 3, 3)
    places = place_joints(torch.tensor([(1.0, 1, 1), (2.0, 0, 0)]), (-1, 0), quarter)
    np.testing.assert_allclose(places[0], [(1, 1, 1), (1, 3, 1)], atol=1e-6)


def test_a_source_that_rests_splayed_gives_splayed_hips_and_straight_knees():
    degrees_20 = math.radians(20)
    motion = retarget(
        leg_motion(
            (math.sin(degrees_20), -math.cos(degrees_20), 0.0), torch.eye(3).double().expand(1, 3, 3, 3)
        ),
        LEG_BODY,
    )
    np.testing.assert_allclose(motion.pose.reshape(24, 3)[HIP], [0, 0, degrees_20], atol=1e-6)
    np.testing.assert_allclose(np.delete(motion.pose.reshape(24, 3).numpy(), HIP, 0), 0, atol=1e-6)


@pytest.mark.parametrize("knee", [(0.0, -0.4, 0.0), (0.2, -0.4, 0.1), (0.4, 0.0, 0.0), (0.0, 0.4, 0.0)])
def test_retargeted_limbs_point_where_the_source_points(knee):
    source = leg_motion(knee, random_rotations(10, 3, seed=1))
    world = accumulate_turns(retarget(source, LEG_BODY).rotations, SMPL_PARENTS)
    places = source.positions()
    down = torch.tensor([0.0, -1.0, 0.0])
    for row, start in ((HIP, 1), (KNEE, 2)):
        direction = (places[:, start + 1] - places[:, start]) / torch.tensor(knee).norm()
        np.testing.assert_allclose(world[:, row] @ down, direction, atol=1e-6)


def test_a_foot_shares_the_turn_of_its_shin_from_rest_to_rest():
    alignments = rest_alignments(one_leg((0.2, -0.4, 0.0)), LEG)
    np.testing.assert_allclose(alignments["left_ankle"], alignments["left_knee"])
    np.testing.assert_allclose(alignments["spine1"], np.eye(3))


def test_a_skeleton_without_a_needed_joint_is_named():
    source = leg_motion((0.0, -0.4, 0.0), random_rotations(1, 3))
    with pytest.raises(BadInputError, match=r"leg\.amc.*lfemur"):
        retarget(source, CMU_CORRESPONDENCE)


def test_two_mirrors_give_the_pose_back():
    rotations = random_rotations(4, 24)
    np.testing.assert_array_equal(mirror_pose(mirror_pose(rotations)), rotations)


def test_a_left_leg_kicked_out_to_the_left_is_in_a_mirror_a_right_leg_kicked_out_to_the_right():
    pose = torch.eye(3).repeat(24, 1, 1)
    pose[HIP] = turn_about_axes(torch.tensor([[math.radians(40)]]), "z")[0]  # down to the person's left
    mirrored = mirror_pose(pose)
    thigh = mirrored[SMPL_24.index["right_hip"]] @ torch.tensor([0.0, -1, 0])
    np.testing.assert_allclose(
        thigh, [-math.sin(math.radians(40)), -math.cos(math.radians(40)), 0], atol=1e-6
    )
    np.testing.assert_array_equal(mirrored[HIP], np.eye(3))


def test_the_pose_of_a_motion_is_its_axis_angle():
    rotations = turn_about_axes(torch.tensor([[0.3]]), "y").expand(1, 24, 3, 3)
    motion = Motion("still", rotations, torch.zeros(1, 3), 30.0, "nowhere")
    np.testing.assert_allclose(motion.pose.reshape(24, 3), np.tile([0, 0.3, 0], (24, 1)), atol=1e-6)


def test_a_foot_turned_sole_up_is_no_bodys_and_a_handstand_is():
    rotations = torch.eye(3).repeat(3, 24, 1, 1)
    rotations[1, SMPL_24.index["left_ankle"]] = torch.diag(torch.tensor([-1.0, -1, 1]))
    rotations[2, SMPL_24.index["pelvis"]] = torch.diag(torch.tensor([-1.0, -1, 1]))
    assert plausible_frames(rotations).tolist() == [True, False, True]


def test_a_rare_pose_weighs_more_than_a_common_one():
    rotations = torch.eye(3).repeat(100, 24, 1, 1)
    rotations[99, KNEE] = turn_about_axes(torch.tensor([[1.0]]), "x")[0]
    weights = rarity_weights(rotations, torch.Generator().manual_seed(0))
    np.testing.assert_allclose(weights.sum(), 1, atol=1e-6)
    np.testing.assert_allclose(weights[99] / weights[0], math.sqrt(99), rtol=1e-5)


def test_poses_are_drawn_by_their_weights_and_repeatably():
    poses = torch.arange(3.0)[:, None].expand(3, 72)
    weights = torch.tensor([0.0, 1.0, 3.0])
    drawn = sample_poses(poses, weights, 4000, torch.Generator().manual_seed(1))
    again = sample_poses(poses, weights, 4000, torch.Generator().manual_seed(1))
    assert torch.equal(drawn, again)
    counts = torch.bincount(drawn[:, 0].long(), minlength=3)
    assert counts[0] == 0
    assert abs(counts[2] / 4000 - 0.75) < 0.03  # four standard deviations


def bent_legs(degrees: float) -> torch.Tensor:
    """(1, 24, 3, 3): hips and ankles flexed by half of what the knees are, so that hip and ankle are in one plumb line."""
    pose = torch.zeros(24, 3)
    flexion = math.radians(degrees)
    for side in ("left", "right"):
        pose[SMPL_24.index[f"{side}_hip"], 0] = -flexion / 2
        pose[SMPL_24.index[f"{side}_knee"], 0] = flexion
        pose[SMPL_24.index[f"{side}_ankle"], 0] = -flexion / 2
    return axis_angle_to_matrix(pose)[None]


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0, 0), (10, 0), (30, 15), (60, 50), (120, 120), (140, 140)]
)
def test_knees_of_people_who_stand_are_straightened_and_bent_ones_stay(degrees, expected):
    changed = with_straighter_knees(bent_legs(degrees), math.radians(20))
    torch.testing.assert_close(changed, bent_legs(expected), atol=1e-5, rtol=0)


def test_knees_that_bend_the_wrong_way_and_an_offset_of_zero_change_nothing():
    assert torch.equal(with_straighter_knees(bent_legs(-15), math.radians(20)), bent_legs(-15))
    assert torch.equal(with_straighter_knees(bent_legs(50), 0.0), bent_legs(50))
