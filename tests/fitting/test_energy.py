"""Every term's slope is its derivative, and each says what it should about a body that a child could judge."""

from dataclasses import replace

import pytest
import torch

from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.files.priors import load_pose_prior
from humanmesh.fitting.energy import (
    BodyState,
    DataWeights,
    FittingEnergy,
    Keypoints2D,
    Keypoints3D,
    KeypointsWithDepths,
    Points,
    Weights,
    capsule_term,
    depths_from_mean,
    fitting_body,
    nearest_shares,
    posed_points,
)
from humanmesh.geometry.cameras import PerspectiveCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix

BODY = fitting_body(load_body_data("anny").to(dtype=torch.float64), "cocoplus19", load_pose_prior())
CAMERA = PerspectiveCamera(
    torch.tensor([300.0, 400.0], dtype=torch.float64), torch.full((2, 2), 112.0, dtype=torch.float64)
)


def made_state(seed: int = 0, spread: float = 0.4) -> BodyState:
    rng = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=rng, dtype=torch.float64)

    upright = axis_angle_to_matrix(torch.tensor([torch.pi, 0.0, 0.0], dtype=torch.float64) + 0.1 * draw(2, 3))
    place = torch.tensor([0.1, 0.2, 3.0], dtype=torch.float64) + 0.1 * draw(2, 3)
    return BodyState(upright, spread * draw(2, 69), draw(2, 10), place)


def positions(state: BodyState) -> torch.Tensor:
    return posed_points(BODY.keypoints, state).positions[:, :19]


def keypoints_2d(state: BodyState) -> Keypoints2D:
    ones = torch.ones(2, 19, dtype=torch.float64)
    return Keypoints2D(CAMERA.project(positions(state)), ones, CAMERA, ones[:, 0] * 80)


def keypoints_3d(state: BodyState) -> Keypoints3D:
    return Keypoints3D(positions(state), torch.ones(2, 19, dtype=torch.float64))


def keypoints_with_depths(state: BodyState) -> KeypointsWithDepths:
    return KeypointsWithDepths(**vars(keypoints_2d(state)), depths=depths_from_mean(positions(state)))


@pytest.mark.parametrize("make", [keypoints_2d, keypoints_3d, keypoints_with_depths])
def test_the_slope_is_half_the_derivative_of_the_energy(make):
    weights = Weights(DataWeights(0.05, 0.3), hinge_deviation=0.1, capsule_deviation=0.02)
    energy = FittingEnergy(BODY, make(made_state(1)), weights)
    state = made_state()
    slope = energy.quadratic(state).slope
    step = 1e-6
    for column in [0, 1, 2, 3, 12, 13, 40, 53, 56, 60, 72, 75, 82, 83, 84]:
        change = torch.zeros(2, 85, dtype=torch.float64)
        change[:, column] = step
        above = energy.quadratic(energy.moved(state, change)).energy
        below = energy.quadratic(energy.moved(state, -change)).energy
        torch.testing.assert_close(slope[:, column], (above - below) / (4 * step), rtol=2e-3, atol=1e-2)


def test_a_keypoint_without_confidence_has_no_say():
    seen = keypoints_2d(made_state())
    blind = seen.confidences.clone()
    blind[:, 3] = 0
    moved = seen.positions.clone()
    moved[:, 3] += 1000
    weights = Weights(DataWeights(0.02, 0.3))
    first = FittingEnergy(BODY, replace(seen, confidences=blind), weights).quadratic(made_state(2))
    second = FittingEnergy(BODY, replace(seen, confidences=blind, positions=moved), weights).quadratic(
        made_state(2)
    )
    torch.testing.assert_close(first.energy, second.energy)
    torch.testing.assert_close(first.slope, second.slope)


def test_depths_count_from_their_mean_so_that_the_distance_of_the_body_is_free():
    state, weights = made_state(), Weights(DataWeights(1e9, 0.3))
    known = keypoints_with_depths(state)
    away = replace(state, translation=state.translation + torch.tensor([0.3, -0.2, 2.0]))
    plain = FittingEnergy(BODY, keypoints_2d(state), weights).quadratic(away).energy
    torch.testing.assert_close(FittingEnergy(BODY, known, weights).quadratic(away).energy, plain)
    turned = replace(state, pose=state.pose + 0.1)
    plain = FittingEnergy(BODY, keypoints_2d(state), weights).quadratic(turned).energy
    assert bool((FittingEnergy(BODY, known, weights).quadratic(turned).energy > plain + 0.1).all())


def test_at_the_truth_only_the_priors_count():
    state = made_state()
    nothing = FittingEnergy(BODY, keypoints_2d(state), Weights(DataWeights(1e9, 0.3)))
    exact = FittingEnergy(BODY, keypoints_2d(state), Weights(DataWeights(0.01, 0.3)))
    torch.testing.assert_close(exact.quadratic(state).energy, nothing.quadratic(state).energy)


def test_a_body_behind_the_camera_is_impossible():
    state = made_state()
    energy = FittingEnergy(BODY, keypoints_2d(state), Weights(DataWeights(0.02, 0.3)))
    behind = replace(state, translation=state.translation * torch.tensor([1.0, 1.0, -1.0]))
    assert bool(energy.quadratic(behind).energy.isinf().all())


def test_where_the_pose_stays_only_seven_numbers_of_the_change_move():
    energy = FittingEnergy(
        BODY, keypoints_2d(made_state(1)), Weights(DataWeights(0.02, 0.3), moves_pose=False)
    )
    slope = energy.quadratic(made_state()).slope
    assert not bool(slope[:, 3:-3].any())
    assert float(slope[:, :3].abs().min()) > 0


def test_capsules_say_nothing_of_a_body_at_rest_and_resist_a_hand_in_the_belly():
    rest = replace(made_state(spread=0.0), shape=torch.zeros(2, 10, dtype=torch.float64))
    at_rest = posed_points(BODY.keypoints, rest)
    joints = Points(at_rest.positions[:, 19:], at_rest.jacobian[:, 19:])
    assert not bool(capsule_term(joints, BODY.capsules, 0.02).energy.any())
    moved = joints.positions.clone()
    belly = moved[:, SMPL_24.index["spine1"]]
    for joint in ("left_wrist", "left_hand"):
        moved[:, SMPL_24.index[joint]] = belly
    assert float(capsule_term(replace(joints, positions=moved), BODY.capsules, 0.02).energy.min()) > 1


def test_the_nearest_points_of_two_crossing_sticks():
    def point(*values: float) -> torch.Tensor:
        return torch.tensor([[values]], dtype=torch.float64)

    first, second = nearest_shares(point(0, 0, 0), point(4, 0, 0), point(1, -1, 1), point(1, 3, 1))
    assert (float(first), float(second)) == pytest.approx((0.25, 0.25))


def test_the_torso_is_known_by_name():
    sides = {(COCOPLUS_19.joints[upper], COCOPLUS_19.joints[lower]) for upper, lower in BODY.torso}
    assert sides == {("left_shoulder", "left_hip"), ("right_shoulder", "right_hip")}
