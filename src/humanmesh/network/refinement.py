"""A few Gauss-Newton steps that pull an estimate's projected keypoints onto those of the heat maps.

The regressor knows what bodies do; the heat maps know where joints are. The steps minimise

    sum_k  c_k^2 rho(|x_k - h_k|) / sigma^2  +  sum_k  c_k^2 rho(z_k - m_k) / zeta^2  +  sum_i |d_i'|^2 / tau_i^2
        +  |b|^2  +  l^2 / lambda^2  +  w E(pose)  +  sum_i |e_i|^2 / eta^2  +  sum_knees  rho(f - f_0) / kappa^2

over small rotations d of the joints (radians, each in its own frame) and changes of the camera, of the lens where nobody knows it (l,
of its slope's logarithm, by a deviation of lambda) and of the shape (b, standard deviations), with projected keypoints x, heat-map
keypoints h and their confidences c, and the Geman-McClure function rho, so that one wrong keypoint pulls little. z are depths of
keypoints, m those of the depth maps, where there are any.
E is the energy of the pose under a mixture of Gaussians (`body.priors`), e the turns beyond the joints' limits
(`body.joint_limits`); what still lies beyond them at the end is turned back. f is how far a knee is bent: people who stand
lock their knees, which no Gaussian says, while the pull on knees that are clearly bent fades. tau says how far the
regressor may be wrong: arms and legs more than the spine, hands and feet hardly; and
turns in the picture's plane, which keypoints show, more than turns in depth (d' is d in the camera's axes), by which a
body would lean or crouch to make up for a limb that is longer than the person's.

What keypoints do not show is set before the steps and after them (`network.posture`).
"""

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.jacobian import KeypointJacobian, keypoint_jacobian
from humanmesh.body.joint_limits import LIMITED_ROWS, JointLimits
from humanmesh.body.model import KeypointBody
from humanmesh.body.priors import PosePrior
from humanmesh.body.skeletons import SMPL_24
from humanmesh.geometry.cameras import WeakPerspectiveCamera
from humanmesh.geometry.robust import faded
from humanmesh.geometry.rotations import (
    axis_angle_to_matrix,
    inverse_right_jacobian,
    matrix_to_axis_angle,
)
from humanmesh.network.posture import (
    CLEARLY_BENT,
    as_seen_from_eye_level,
    standing_of,
    with_feet_forward,
    with_level_soles,
    with_unseen_legs_straight,
)
from humanmesh.network.regressor import Estimate, HeatmapKeypoints, depths_of

KEYPOINT_DEVIATION = 0.012
"""sigma, crop half-widths: how far a confident heat-map keypoint may be off."""
OUTLIER_DISTANCE = 0.24
"""Distance in crop half-widths at which a keypoint's pull has fallen to a quarter."""
DEPTH_DEVIATION = 0.05
"""zeta, metres: how far a confident keypoint's depth may be off. Depth maps err by more, but the estimate, which saw them, is tied too."""
OUTLIER_DEPTH = 0.6
"""Distance in metres at which a depth's pull has fallen to a quarter."""
STEP_LENGTH = 0.7
"""Share of each Gauss-Newton step that is gone: whole ones overshoot where the weights change."""
_LIMIT_DEVIATION = 0.05
"""eta, radians."""
_PRIOR_SHARE = 0.3
"""w: the heat maps' keypoints hang together, so that they know less than as many independent ones would."""
_STANDING_FLEXION = math.radians(3)
"""f_0, of a knee that carries its person."""
_STANDING_DEVIATION = math.radians(8)
"""kappa."""
_CAMERA_DEVIATION = 0.15
"""Of the logarithm of the scale, and of the offset in metres."""
_SHAPE_DEVIATION = 1.0
"""Of each coefficient, in standard deviations of people: shapes are read roughly. More freedom meets LSPET's keypoints better, and keeps
rendered people's shapes worse (docs/weights.md)."""
_TURNS, _CAMERA, _LENS = slice(0, 72), slice(72, 76), 75
"""Rows of the changes: the camera's are the logarithm of its scale, its offset and the logarithm of its lens's slope; the rest are the
shape's."""
_LEAST_LENS_DEVIATION = 1e-4
"""Stands for a lens that is known."""


@dataclass(frozen=True)
class PoseKnowledge:
    """What refinement knows of bodies beside the regressor's estimate."""

    limits: JointLimits
    prior: PosePrior


_LIMBS = ("knee", "shoulder", "elbow")
_SPINE = ("spine1", "spine2", "spine3", "neck", "head")


def _deviations(joint: str) -> tuple[float, float]:
    """Radians: in the picture's plane, and in depth."""
    if joint == "pelvis":
        return 0.5, 0.05
    if joint in _SPINE:
        return 0.3, 0.05
    if joint.endswith("hip"):
        return 0.9, 0.1
    return (0.9, 0.3) if joint.endswith(_LIMBS) else (0.2, 0.05)


def _precision(
    world: Float[Tensor, "batch 24 3 3"], camera: WeakPerspectiveCamera, shapes: int
) -> Float[Tensor, "batch changes changes"]:
    """Inverse covariance of the changes; `world` takes each joint's own axes to the camera's."""
    planar, deep = torch.tensor([_deviations(joint) for joint in SMPL_24.joints]).to(world).pow(-2).unbind(1)
    of_turns = world.mT @ (torch.stack([deep, deep, planar], 1)[..., None] * world)
    deviations = world.new_tensor([1.0] * 72 + [_CAMERA_DEVIATION] * 3 + [1.0] + [_SHAPE_DEVIATION] * shapes)
    precision = deviations.pow(-2).diag().repeat(len(world), 1, 1)
    precision[:, _LENS, _LENS] = camera.lens_deviation.clamp_min(_LEAST_LENS_DEVIATION).pow(-2)
    blocks = precision[:, _TURNS, _TURNS].unflatten(2, (24, 3)).unflatten(1, (24, 3))
    blocks.diagonal(dim1=1, dim2=3).copy_(of_turns.permute(0, 2, 3, 1))
    return precision


@torch.no_grad()
def refine(
    body: KeypointBody,
    estimate: Estimate,
    seen: HeatmapKeypoints,
    steps: int,
    knowledge: PoseKnowledge | None = None,
) -> Estimate:
    """The estimate after `steps` Gauss-Newton steps; no gradient flows through it.

    Args:
        body: joints and keypoints, as in `Recovery`.
        estimate: where to start.
        seen: where the keypoints are, with confidences, and how deep they lie, where that is known.
        steps: 5 bring it near enough to convergence.
        knowledge: what poses are likely and possible; None leaves that to the estimate alone.
    """
    if knowledge is not None:
        standing = standing_of(estimate.joints)
        estimate, seen = as_seen_from_eye_level(estimate, seen, standing)
        rotations = with_feet_forward(with_unseen_legs_straight(estimate.rotations, seen), standing)
        estimate = replace(estimate, rotations=rotations)
    world, _ = body.tree(estimate.rotations, body.rest_joints(estimate.shape))
    precision = _precision(world, estimate.camera, estimate.shape.shape[1])
    prior = None if knowledge is None else knowledge.prior.to(estimate.shape)
    change = torch.zeros_like(precision[:, 0])
    for _ in range(steps):
        rotations, camera, shape = _changed(estimate, change)
        # Every d moves its joint as a right-multiplied turn does, but for terms of second order in it.
        found = keypoint_jacobian(body, rotations, shape)
        projected, jacobian = _projected(found, camera)
        residual = projected - seen.positions
        squares = residual.square().sum(-1)
        weights = _robust_weights(squares, seen.confidences, KEYPOINT_DEVIATION, OUTLIER_DISTANCE)
        weighted = (weights[..., None, None] * jacobian).flatten(1, 2).mT
        normal = weighted @ jacobian.flatten(1, 2) + precision
        slope = weighted @ residual.flatten(1)[..., None] + precision @ change[..., None]
        _pull_to_depths(found, seen, normal, slope)
        if knowledge is not None and prior is not None:
            _pull_within(knowledge.limits, rotations, normal, slope)
            _pull_to_likely_poses(prior, rotations, normal, slope)
            _pull_to_straight_knees(rotations, normal, slope)
        change = change - STEP_LENGTH * torch.linalg.solve(normal, slope).squeeze(2)
    rotations, camera, shape = _changed(estimate, change)
    if knowledge is not None:
        rotations = knowledge.limits.within(with_level_soles(body, rotations, shape))
    joints, keypoints = body(rotations, shape)
    return Estimate(rotations, shape, camera, joints, keypoints, camera.project(keypoints))


def _changed(
    estimate: Estimate, change: Float[Tensor, "batch changes"]
) -> tuple[Float[Tensor, "batch 24 3 3"], WeakPerspectiveCamera, Float[Tensor, "batch shapes"]]:
    turns, of_camera, of_shape = change[:, _TURNS], change[:, _CAMERA], change[:, _CAMERA.stop :]
    rotations = estimate.rotations @ axis_angle_to_matrix(turns.unflatten(1, (24, 3)))
    camera = estimate.camera.changed(of_camera[:, 0], of_camera[:, 1:3], of_camera[:, 3])
    return rotations, camera, estimate.shape + of_shape


def _pull_to_likely_poses(
    prior: PosePrior,
    rotations: Float[Tensor, "batch 24 3 3"],
    normal: Float[Tensor, "batch changes changes"],
    slope: Float[Tensor, "batch changes 1"],
) -> None:
    """Add the pose's energy under its nearest Gaussian to the normal equations."""
    pose = matrix_to_axis_angle(rotations[:, 1:])
    component, residual, _ = prior.nearest(pose.flatten(1))
    # Turns by d change the axis-angle by the inverse of the right Jacobian.
    factor = prior.factors[component].unflatten(1, (23, 3))
    by_turn = (inverse_right_jacobian(pose).mT @ factor).flatten(1, 2)  # (batch, turns, residuals)
    slope[:, 3:72] += _PRIOR_SHARE * (by_turn @ residual[..., None])
    normal[:, 3:72, 3:72] += _PRIOR_SHARE * (by_turn @ by_turn.mT)


def _pull_to_straight_knees(
    rotations: Float[Tensor, "batch 24 3 3"],
    normal: Float[Tensor, "batch changes changes"],
    slope: Float[Tensor, "batch changes 1"],
) -> None:
    """Add the cost of knees that are bent a little to the normal equations."""
    knees = matrix_to_axis_angle(rotations[:, _KNEES])
    excess = knees[..., 0] - _STANDING_FLEXION
    weights = faded(excess.square(), CLEARLY_BENT) / _STANDING_DEVIATION**2
    by_turn = inverse_right_jacobian(knees)[..., 0, :]
    for number, knee in enumerate(_KNEES):
        turns, direction = slice(3 * knee, 3 * knee + 3), by_turn[:, number, :, None]
        weighted = weights[:, number, None, None] * direction
        slope[:, turns] += weighted * excess[:, number, None, None]
        normal[:, turns, turns] += weighted @ direction.mT


_KNEES = [SMPL_24.index["left_knee"], SMPL_24.index["right_knee"]]


def _pull_within(
    limits: JointLimits,
    rotations: Float[Tensor, "batch 24 3 3"],
    normal: Float[Tensor, "batch changes changes"],
    slope: Float[Tensor, "batch changes 1"],
) -> None:
    """Add the cost of turns beyond the limits to the normal equations."""
    excess = limits.excess(rotations)
    is_beyond = (excess != 0).any(2, keepdim=True).expand_as(excess)
    slope[:, _LIMITED_TURNS] -= excess.flatten(1)[..., None] / _LIMIT_DEVIATION**2
    normal.diagonal(dim1=1, dim2=2)[:, _LIMITED_TURNS] += is_beyond.flatten(1) / _LIMIT_DEVIATION**2


_LIMITED_TURNS = [3 * row + axis for row in LIMITED_ROWS for axis in range(3)]
"""Their numbers among the changes."""


def _projected(
    found: KeypointJacobian, camera: WeakPerspectiveCamera
) -> tuple[Float[Tensor, "batch keypoints 2"], Float[Tensor, "batch keypoints 2 changes"]]:
    """Keypoints in the crop, and their derivative by the joints' turns, the logarithm of the scale, the camera's offset, the logarithm
    of the lens's slope and the shape."""
    seen = camera.linearised(found.keypoints)
    in_space = torch.cat([found.by_turn, found.by_shape], 3)
    in_crop = seen.by_xy[..., None, None] * in_space[:, :, :2]
    in_crop = torch.addcmul(in_crop, seen.by_depth[..., None], in_space[:, :, 2:])
    by_turn, by_shape = in_crop.split([72, found.by_shape.shape[3]], 3)
    by_scale = seen.points_2d * (seen.by_xy / camera.scale[:, None])[..., None]
    by_offset = seen.by_xy[..., None, None] * torch.eye(2).to(in_crop)
    changes = [by_turn, by_scale[..., None], by_offset, seen.by_lens[..., None], by_shape]
    return seen.points_2d, torch.cat(changes, 3)


def _pull_to_depths(
    found: KeypointJacobian,
    seen: HeatmapKeypoints,
    normal: Float[Tensor, "batch changes changes"],
    slope: Float[Tensor, "batch changes 1"],
) -> None:
    """Add the cost of keypoints at other depths than those seen to the normal equations; without depths nothing."""
    if seen.depths is None:
        return
    residual = depths_of(found.keypoints) - seen.depths
    weights = _robust_weights(residual.square(), seen.confidences, DEPTH_DEVIATION, OUTLIER_DEPTH)
    by_turn, by_shape = (
        depths_of(derivative.movedim(2, 3)) for derivative in (found.by_turn, found.by_shape)
    )
    by_camera = by_turn.new_zeros(*by_turn.shape[:2], _CAMERA.stop - _CAMERA.start)
    jacobian = torch.cat([by_turn, by_camera, by_shape], 2)
    weighted = (weights[..., None] * jacobian).mT
    normal += weighted @ jacobian
    slope += weighted @ residual[..., None]


def _robust_weights(
    squares: Float[Tensor, "batch keypoints"],
    confidences: Float[Tensor, "batch keypoints"],
    deviation: float,
    outlier: float,
) -> Float[Tensor, "batch keypoints"]:
    """Weights of squared residuals: those of the iteratively reweighted Geman-McClure function."""
    return (confidences / deviation).square() * faded(squares, outlier)
