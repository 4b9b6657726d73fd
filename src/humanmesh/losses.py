"""The terms of the objective, as pure functions of predictions, targets and weights.

A missing label is a weight of zero: it adds nothing to a term and nothing to its gradient.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def weighted_mean(values: Float[Tensor, "*shape"], weights: Float[Tensor, "*shape"]) -> Float[Tensor, ""]:
    """Mean of `values` under `weights`; 0 with zero gradient where all weights are 0."""
    total = weights.sum()
    # Dividing by a tiny number instead would overflow in the backward pass, and inf * 0 is NaN.
    return (values * weights).sum() / torch.where(total > 0, total, 1)


def reprojection_loss(
    predicted: Float[Tensor, "batch keypoints 2"],
    target: Float[Tensor, "batch keypoints 2"],
    weights: Float[Tensor, "batch keypoints"],
) -> Float[Tensor, ""]:
    """L1 distance in crop units, mean over the coordinates of visible keypoints (Kanazawa et al. 2018, section 3.2)."""
    return weighted_mean((predicted - target).abs().mean(-1), weights)


def depth_loss(
    predicted: Float[Tensor, "batch keypoints"],
    target: Float[Tensor, "batch keypoints"],
    weights: Float[Tensor, "batch keypoints"],
) -> Float[Tensor, ""]:
    """Mean absolute difference of depths, metres."""
    return weighted_mean((predicted - target).abs(), weights)


def root_relative(
    points: Float[Tensor, "batch points 3"], left_hip: int, right_hip: int
) -> Float[Tensor, "batch points 3"]:
    """Points with the middle of the two hips at the origin."""
    return points - (points[:, left_hip] + points[:, right_hip])[:, None] / 2


def squared_joint_loss(
    predicted: Float[Tensor, "batch joints 3"],
    target: Float[Tensor, "batch joints 3"],
    weights: Float[Tensor, "batch joints"],
) -> Float[Tensor, ""]:
    """Half the mean squared coordinate difference, metres^2 (the paper's 3D joint loss, with the factor of the authors' code)."""
    return 0.5 * weighted_mean((predicted - target).square().mean(-1), weights)


def absolute_joint_loss(
    predicted: Float[Tensor, "batch joints 3"],
    target: Float[Tensor, "batch joints 3"],
    weights: Float[Tensor, "batch joints"],
) -> Float[Tensor, ""]:
    """Mean absolute coordinate difference, metres."""
    return weighted_mean((predicted - target).abs().mean(-1), weights)


def squared_parameter_loss(
    rotations: Float[Tensor, "batch joints 3 3"],
    target_rotations: Float[Tensor, "batch joints 3 3"],
    shape: Float[Tensor, "batch shapes"],
    target_shape: Float[Tensor, "batch shapes"],
    weights: Float[Tensor, "batch"],
) -> Float[Tensor, ""]:
    """Half the mean squared difference of the 216 entries of the rotations and the 10 of shape (the paper's SMPL loss)."""
    difference = torch.cat([(rotations - target_rotations).flatten(1), shape - target_shape], 1)
    return 0.5 * weighted_mean(difference.square().mean(1), weights)


def rotation_loss(
    rotations: Float[Tensor, "batch joints 3 3"],
    target: Float[Tensor, "batch joints 3 3"],
    weights: Float[Tensor, "batch joints"],
) -> Float[Tensor, ""]:
    """Mean absolute difference of the entries of the rotation matrices, over joints by their weights."""
    return weighted_mean((rotations - target).abs().mean((2, 3)), weights)


def shape_loss(
    shape: Float[Tensor, "batch shapes"],
    target: Float[Tensor, "batch shapes"],
    weights: Float[Tensor, "batch"],
) -> Float[Tensor, ""]:
    """Mean absolute difference of shape coefficients, standard deviations."""
    return weighted_mean((shape - target).abs().mean(1), weights)


def shape_prior(shape: Float[Tensor, "batch shapes"]) -> Float[Tensor, ""]:
    """Mean square of the shape coefficients: minus the log-likelihood of a standard normal, up to scale."""
    return shape.square().mean()


def hinge_prior(rotations: Float[Tensor, "batch joints 3 3"], knees: list[int]) -> Float[Tensor, ""]:
    """Penalty for shins that bend forward: the hinge below zero of the knees' flexion, sin^2 of the angle.

    In the rest pose a knee bends about +x, which sends the shin (-y) backward (-z): row z, column y of the
    rotation is the sine of the flexion.
    """
    sine_of_flexion = rotations[:, knees, 2, 1]
    return F.relu(-sine_of_flexion).square().mean()


def gaussian_heatmaps(
    keypoints: Float[Tensor, "batch keypoints 2"], size: int, sigma: float
) -> Float[Tensor, "batch keypoints size size"]:
    """Gaussians of height 1 at the cell nearest to each keypoint (crop coordinates); empty where it lies outside.

    Args:
        sigma: standard deviation in cells.
    """
    cell = ((keypoints + 1) * (size / 2)).floor()
    inside = ((cell >= 0) & (cell < size)).all(-1)
    steps = torch.arange(size, dtype=keypoints.dtype, device=keypoints.device)
    distance_squared = (steps - cell[..., None]).square()
    x, y = torch.exp(-distance_squared / (2 * sigma**2)).unbind(-2)
    return y[..., :, None] * x[..., None, :] * inside[..., None, None]


def heatmap_loss(
    logits: Float[Tensor, "batch keypoints size size"],
    target: Float[Tensor, "batch keypoints size size"],
    weights: Float[Tensor, "batch keypoints"],
) -> Float[Tensor, ""]:
    """Penalty-reduced focal loss (Law and Deng 2018, eq. 1), a mean over keypoints by weight; one peak of 1 a map, or none."""
    height, cell = target.flatten(2).max(2, keepdim=True)
    # Beside the peak the factor (1 - target)^4 is the penalty's own; at the peak it is 0, and the peak's term stands alone.
    beside = ((1 - target).square().square() * logits.sigmoid().square() * F.softplus(logits)).sum((2, 3))
    at_peak = logits.flatten(2).gather(2, cell)
    peak = -(at_peak.neg().sigmoid().square() * F.logsigmoid(at_peak) * (height >= 1)).squeeze(2)
    return weighted_mean(beside + peak, weights)


def encoder_adversarial_loss(scores: Float[Tensor, "samples discriminators"]) -> Float[Tensor, ""]:
    """sum_i E[(D_i(E(I)) - 1)^2] (Kanazawa et al. 2018, section 3.3)."""
    return (scores - 1).square().sum(1).mean()


def discriminator_loss(
    real: Float[Tensor, "reals discriminators"], fake: Float[Tensor, "fakes discriminators"]
) -> Float[Tensor, ""]:
    """sum_i E_data[(D_i - 1)^2] + E_E[D_i^2] (Kanazawa et al. 2018, section 3.3)."""
    return (real - 1).square().sum(1).mean() + fake.square().sum(1).mean()
