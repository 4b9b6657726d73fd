"""Refinement: it finds what the keypoints say, leaves alone what they do not, and gives no monsters."""

import math
from dataclasses import replace

import pytest
import torch

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.files.priors import bundled_pose_knowledge
from humanmesh.geometry.cameras import UNKNOWN_LENS_DEVIATION, CropPerspectiveCamera, centred_lens
from humanmesh.geometry.rotations import axis_angle_to_matrix, geodesic_angle, matrix_to_axis_angle
from humanmesh.network.posture import as_seen_from_eye_level, standing_of
from humanmesh.network.recovery import RecoveryConfig
from humanmesh.network.refinement import refine
from humanmesh.network.regressor import Estimate, HeatmapKeypoints, default_mean_pose, depths_of

BODY = KeypointBody(load_body_data("anny"), "cocoplus19")
KNOWLEDGE = bundled_pose_knowledge()
LEFT_SHOULDER = 16
LEFT_KNEE = 4


def estimate_of(
    pose: torch.Tensor, scale: float = 0.9, slope: float = 0.0, lens_deviation: float = 0.0
) -> Estimate:
    rotations = axis_angle_to_matrix(pose)[None]
    scales = torch.tensor([scale])
    camera = CropPerspectiveCamera(scales, torch.zeros(1, 2), centred_lens(slope, scales, lens_deviation))
    joints, keypoints = BODY(rotations, torch.zeros(1, 10))
    return Estimate(rotations, torch.zeros(1, 10), camera, joints, keypoints, camera.project(keypoints))


def seen_at(positions: torch.Tensor, confidence: float = 0.8) -> HeatmapKeypoints:
    return HeatmapKeypoints(positions, torch.full((1, 19), confidence), torch.full((1, 19), 0.05))


def seen_in_space(wanted: Estimate) -> HeatmapKeypoints:
    """Places and depths of a body's keypoints."""
    return replace(seen_at(wanted.keypoints_2d), depths=depths_of(wanted.keypoints_3d))


def error(found: Estimate, wanted: Estimate) -> float:
    return float((found.keypoints_2d - wanted.keypoints_2d).norm(dim=-1).mean())


def test_an_estimate_that_agrees_with_its_keypoints_stays():
    start = estimate_of(default_mean_pose())
    found = refine(BODY, start, seen_at(start.keypoints_2d), 3)
    torch.testing.assert_close(found.rotations, start.rotations, atol=1e-5, rtol=0)
    torch.testing.assert_close(found.camera.scale, start.camera.scale, atol=1e-5, rtol=0)


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_a_raised_arm_is_found_from_its_keypoints(slope: float):
    pose = default_mean_pose()
    raised = pose.clone()
    raised[LEFT_SHOULDER, 2] += 0.5
    start, wanted = estimate_of(pose, slope=slope), estimate_of(raised, slope=slope)
    found = refine(BODY, start, seen_at(wanted.keypoints_2d), 3)
    assert error(found, wanted) < 0.35 * error(start, wanted)


def arm_held(forward: float) -> Estimate:
    """The mean pose with the left arm at the side, held toward the camera (degrees), or away from it."""
    pose = default_mean_pose()
    arm = axis_angle_to_matrix(pose[LEFT_SHOULDER])
    turned = axis_angle_to_matrix(torch.tensor([0.0, -math.radians(forward), 0.0])) @ arm
    pose[LEFT_SHOULDER] = matrix_to_axis_angle(turned)
    return estimate_of(pose)


def test_of_two_arms_that_look_alike_depths_tell_which_is_meant():
    toward, away = arm_held(30), arm_held(-60)
    assert error(toward, away) < 0.01

    def wrist_depth(estimate: Estimate) -> float:
        return float(depths_of(estimate.keypoints_3d)[0, COCOPLUS_19.index["left_wrist"]])

    before, wanted = wrist_depth(toward), wrist_depth(away)
    assert before < -0.15 < 0.15 < wanted
    assert wrist_depth(refine(BODY, toward, seen_at(away.keypoints_2d), 8)) < 0.5 * before
    assert wrist_depth(refine(BODY, toward, seen_in_space(away), 8)) > 0.5 * wanted
    unsure = replace(seen_in_space(away), confidences=torch.zeros(1, 19))
    assert wrist_depth(refine(BODY, toward, unsure, 8)) == pytest.approx(before, abs=1e-5)


def test_an_estimate_that_agrees_with_its_depths_stays():
    start = arm_held(30)
    found = refine(BODY, start, seen_in_space(start), 3)
    torch.testing.assert_close(found.rotations, start.rotations, atol=1e-5, rtol=0)


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_a_wrong_scale_is_found(slope: float):
    pose = default_mean_pose()
    start, wanted = estimate_of(pose, 0.8, slope), estimate_of(pose, 0.9, slope)
    found = refine(BODY, start, seen_at(wanted.keypoints_2d), 3)
    assert float(found.camera.scale[0]) == pytest.approx(0.9, abs=0.02)


@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_other_proportions_move_the_shape_toward_them(slope: float):
    shape = torch.zeros(1, 10)
    shape[0, 2:4] = torch.tensor([2.0, -1.5])
    start = estimate_of(default_mean_pose(), slope=slope)
    _, keypoints = BODY(start.rotations, shape)
    found = refine(BODY, start, seen_at(start.camera.project(keypoints)), 8)
    # The camera and the joints take their part of what is to be explained.
    assert float((found.shape - shape).norm()) < 0.8 * float(shape.norm())
    before = float((start.keypoints_3d - keypoints).norm(dim=-1).mean())
    assert float((found.keypoints_3d - keypoints).norm(dim=-1).mean()) < 0.9 * before


def test_keypoints_without_confidence_change_nothing():
    start = estimate_of(default_mean_pose())
    found = refine(BODY, start, seen_at(start.keypoints_2d + 1, confidence=0.0), 3)
    torch.testing.assert_close(found.rotations, start.rotations)


def test_one_keypoint_at_the_other_end_of_the_crop_pulls_little():
    start = estimate_of(default_mean_pose())
    positions = start.keypoints_2d.clone()
    positions[0, 6] = torch.tensor([0.95, -0.95])
    found = refine(BODY, start, seen_at(positions), 3)
    assert math.degrees(float(geodesic_angle(found.rotations, start.rotations).max())) < 25


def test_shins_that_look_shorter_than_the_bodys_do_not_become_a_crouch():
    start = estimate_of(default_mean_pose())
    positions = start.keypoints_2d.clone()
    for side in ("left", "right"):
        knee, ankle = (COCOPLUS_19.index[f"{side}_{joint}"] for joint in ("knee", "ankle"))
        positions[0, ankle] -= 0.06 * (positions[0, ankle] - positions[0, knee])
    found = refine(BODY, start, seen_at(positions), 4)
    # Shins that explained it all by themselves would turn by acos(0.94), 20 degrees.
    turned = geodesic_angle(found.rotations, start.rotations)[0]
    assert math.degrees(float(turned.max())) < 7


def test_a_lens_keeps_people_whom_a_camera_looks_down_at_from_bending_their_shins():
    """Legs seen from above stand farther off and look smaller: a bend explains it, where nothing else may."""
    pose = default_mean_pose()
    pose[0] = torch.tensor([math.pi + math.radians(8), 0.0, 0.0])
    seen = seen_at(estimate_of(pose, slope=0.3).keypoints_2d)
    turned = [
        geodesic_angle(refine(BODY, start, seen, 6).rotations, start.rotations)[0]
        for start in (estimate_of(pose, slope=0.3), estimate_of(pose))
    ]
    near, far = (math.degrees(float(angles[SMPL_24.index["left_knee"]])) for angles in turned)
    assert near < 1
    assert far > 4 * near


@pytest.mark.parametrize("slope", [0.15, 0.45])
def test_a_lens_that_nobody_knows_is_found_from_keypoints_and_depths_and_a_known_one_stays(slope: float):
    pose = default_mean_pose()
    pose[0] = torch.tensor([math.pi + math.radians(35), 0.0, 0.0])
    seen = seen_in_space(estimate_of(pose, slope=slope))
    guessed = estimate_of(pose, slope=0.25, lens_deviation=UNKNOWN_LENS_DEVIATION)
    known = estimate_of(pose, slope=0.25)
    found, kept = (refine(BODY, start, seen, 8) for start in (guessed, known))
    far = abs(math.log(slope / 0.25))
    assert abs(math.log(slope_of(found) / slope)) < 0.5 * far
    assert slope_of(kept) == pytest.approx(0.25, rel=1e-4)
    turned, bent = (
        float(geodesic_angle(answer.rotations, known.rotations).max()) for answer in (found, kept)
    )
    assert turned < 0.6 * bent


def slope_of(estimate: Estimate) -> float:
    assert isinstance(estimate.camera, CropPerspectiveCamera)
    return float(estimate.camera.lens.slope)


def test_feet_that_the_estimate_turns_inward_point_forward():
    """Hips and ankles of a stretched leg turned about the leg: no keypoint tells, and the feet of those who stand do not overlap."""
    pose = default_mean_pose()
    for side, sign in (("left", -1), ("right", 1)):
        pose[SMPL_24.index[f"{side}_hip"], 1] = sign * 0.3
        pose[SMPL_24.index[f"{side}_ankle"], 1] = sign * 0.4
    start = estimate_of(pose)
    found = refine(BODY, start, seen_at(start.keypoints_2d), 5, KNOWLEDGE)
    assert toes_out(start) < -30
    assert abs(toes_out(found)) < 15


@pytest.mark.parametrize(("lifted", "least", "most"), [(0.0, -8, 8), (1.6, 22, 45)])
def test_feet_of_people_who_stand_stand_on_their_soles_and_lifted_ones_hang(lifted, least, most):
    pose = default_mean_pose()
    pose[SMPL_24.index["left_knee"], 0] = lifted
    pose[SMPL_24.index["left_ankle"], 0] = math.radians(35)
    start = estimate_of(pose)
    found = refine(BODY, start, seen_at(start.keypoints_2d), 5, KNOWLEDGE)
    bend = matrix_to_axis_angle(found.rotations[0, SMPL_24.index["left_ankle"]])[0]
    assert least < math.degrees(bend) < most


def toes_out(estimate: Estimate) -> float:
    """Degrees by which both feet point away from each other, seen from above; the body faces +z before the camera turns it."""
    joints, _ = BODY(torch.cat([torch.eye(3)[None, None], estimate.rotations[:, 1:]], 1), estimate.shape)
    foot = [
        joints[0, SMPL_24.index[f"{side}_foot"]] - joints[0, SMPL_24.index[f"{side}_ankle"]]
        for side in ("left", "right")
    ]
    return (
        math.degrees(
            math.atan2(float(foot[0][0]), float(foot[0][2]))
            - math.atan2(float(foot[1][0]), float(foot[1][2]))
        )
        / 2
    )


def test_rotations_stay_rotations_and_no_gradient_flows():
    start = estimate_of(default_mean_pose().requires_grad_())
    found = refine(BODY, start, seen_at(start.keypoints_2d.detach() + 0.1), 3)
    product = found.rotations @ found.rotations.transpose(-1, -2)
    torch.testing.assert_close(product, torch.eye(3).expand_as(product), atol=1e-5, rtol=0)
    assert not found.keypoints_2d.requires_grad


def test_keypoints_that_ask_for_a_broken_knee_do_not_get_one():
    """Shins that point forward, as no knee bends: within the limits, the body gives what it can."""
    limits = KNOWLEDGE.limits
    pose = default_mean_pose()
    broken = pose.clone()
    for side in ("left", "right"):
        broken[SMPL_24.index[f"{side}_knee"]] = torch.tensor([0.0, 0.0, 0.9])
    start, wanted = estimate_of(pose), estimate_of(broken)
    free = refine(BODY, start, seen_at(wanted.keypoints_2d), 6)
    held = refine(BODY, start, seen_at(wanted.keypoints_2d), 6, KNOWLEDGE)
    assert limits.broken(free.rotations).any()
    assert not limits.broken(held.rotations).any()
    assert error(held, wanted) < error(start, wanted)


@pytest.mark.parametrize(("bent", "least", "most"), [(15.0, 3.0, 11.0), (90.0, 75.0, 95.0)])
def test_knees_that_bend_a_little_come_straight_and_bent_ones_stay(bent: float, least: float, most: float):
    pose = default_mean_pose()
    pose[[LEFT_KNEE, LEFT_KNEE + 1], 0] = math.radians(bent)
    start = estimate_of(pose)
    found = refine(BODY, start, seen_at(start.keypoints_2d, confidence=0.22), 4, KNOWLEDGE)
    flexion = matrix_to_axis_angle(found.rotations[0, [LEFT_KNEE, LEFT_KNEE + 1]])[:, 0].rad2deg()
    assert (flexion > least).all()
    assert (flexion < most).all()


def test_one_leg_in_doubt_beside_one_that_is_seen_stays():
    pose = default_mean_pose()
    pose[LEFT_KNEE, 0] = math.radians(80)
    start = estimate_of(pose)
    seen = seen_at(start.keypoints_2d)
    seen.confidences[:, [COCOPLUS_19.index["left_knee"], COCOPLUS_19.index["left_ankle"]]] = 0.1
    found = refine(BODY, start, seen, 4, KNOWLEDGE)
    assert math.degrees(float(matrix_to_axis_angle(found.rotations[0, LEFT_KNEE])[0])) > 60


@pytest.mark.parametrize(("confidence", "least", "most"), [(0.05, 0.0, 12.0), (0.5, 60.0, 90.0)])
def test_legs_that_the_photo_cuts_off_stand(confidence: float, least: float, most: float):
    pose = default_mean_pose()
    pose[[LEFT_KNEE - 3, LEFT_KNEE - 2], 0] = math.radians(-80)
    pose[[LEFT_KNEE, LEFT_KNEE + 1], 0] = math.radians(80)
    start = estimate_of(pose)
    seen = seen_at(start.keypoints_2d)
    legs = [COCOPLUS_19.index[f"{side}_{joint}"] for side in ("left", "right") for joint in ("knee", "ankle")]
    seen.confidences[:, legs] = confidence
    found = refine(BODY, start, seen, 4, KNOWLEDGE)
    bent = (
        matrix_to_axis_angle(found.rotations[0, LEFT_KNEE - 3 : LEFT_KNEE + 2])
        .norm(dim=1)
        .rad2deg()[[0, 1, 3, 4]]
    )
    assert (bent >= least).all()
    assert (bent <= most).all()


def lean(joints: torch.Tensor) -> float:
    """Degrees that the ankles are farther away than the shoulders stand above them."""
    height = joints[0, [7, 8]].mean(0) - joints[0, [16, 17]].mean(0)
    return math.degrees(math.atan2(height[2], height[1]))


def leaning(degrees: float) -> Estimate:
    """The mean pose, turned about the camera's x axis until it leans so."""
    pose = default_mean_pose()
    upright = lean(estimate_of(pose).joints)
    turn = torch.tensor([[math.radians(degrees - upright), 0.0, 0.0]])
    pose[0] = matrix_to_axis_angle(axis_angle_to_matrix(turn) @ axis_angle_to_matrix(pose[:1]))[0]
    return estimate_of(pose)


# By hand: 7 degrees stay; of 15 more 0.6 (1 + (15/30)^2)^-2 = 0.384 are taken away; of 40 more, 0.6 (1 + (40/30)^2)^-2 = 0.078.
@pytest.mark.parametrize(("before", "after"), [(7.0, 7.0), (22.0, 16.24), (-8.0, -2.24), (47.0, 43.89)])
def test_people_who_stand_are_turned_toward_what_a_level_camera_sees(before: float, after: float):
    start = leaning(before)
    assert lean(start.joints) == pytest.approx(before, abs=0.01)
    turned, seen = as_seen_from_eye_level(start, seen_in_space(start), standing_of(start.joints))
    joints, keypoints = BODY(turned.rotations, start.shape)
    assert lean(joints) == pytest.approx(after, abs=0.01)
    assert torch.equal(turned.rotations[:, 1:], start.rotations[:, 1:])
    assert seen.depths is not None
    torch.testing.assert_close(seen.depths, depths_of(keypoints), atol=1e-5, rtol=0)


def test_people_who_crouch_or_stand_on_their_hands_are_not_turned():
    pose = default_mean_pose()
    pose[[LEFT_KNEE - 3, LEFT_KNEE - 2], 0] = math.radians(-90)
    pose[[LEFT_KNEE, LEFT_KNEE + 1], 0] = math.radians(120)
    for start in (estimate_of(pose), leaning(180.0)):
        turned, _ = as_seen_from_eye_level(start, seen_at(start.keypoints_2d), standing_of(start.joints))
        assert geodesic_angle(turned.rotations[:, 0], start.rotations[:, 0]).rad2deg() < 0.6


def test_between_two_poses_that_look_alike_the_likelier_one_is_taken():
    """The same keypoints, the estimate's spine bent unlike anybody's: knowledge takes some of the bend away."""
    prior = KNOWLEDGE.prior
    likely = torch.cat([default_mean_pose()[:1], prior.means[0].unflatten(0, (23, 3))])
    odd = likely.clone()
    odd[SMPL_24.index["spine2"]] += torch.tensor([0.0, 0.9, 0.0])
    start = estimate_of(odd)
    held = refine(BODY, start, seen_at(start.keypoints_2d), 6, KNOWLEDGE)
    before, after = (
        float(prior.energy(matrix_to_axis_angle(estimate.rotations[:, 1:]).flatten(1)))
        for estimate in (start, held)
    )
    assert after < 0.8 * before
    assert error(held, start) < 0.03


def test_refinement_without_heat_maps_is_refused():
    with pytest.raises(ValueError, match="heat maps"):
        RecoveryConfig("resnet50", "hmr", refinements=3)
