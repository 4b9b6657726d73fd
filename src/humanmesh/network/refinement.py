"""A few Gauss-Newton steps that pull an estimate's projected keypoints onto those of the heat maps.

The regressor knows what bodies do; the heat maps know where joints are. The steps minimise

    sum_k  c_k^2 rho(|x_k - h_k|) / sigma^2  +  sum_i (d_i / tau_i)^2

over small rotations d of the joints (radians, each in its own frame) and a change of the camera, with projected keypoints x,
heat-map keypoints h and their confidences c, and the Geman-McClure function rho, so that one wrong keypoint pulls little.
The shape stays. tau says how far the regressor may be wrong: arms and legs more than the spine, hands and feet hardly.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.jacobian import keypoint_jacobian
from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import SMPL_24
from humanmesh.geometry.cameras import WeakPerspectiveCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.network.regressor import Estimate, HeatmapKeypoints

KEYPOINT_DEVIATION = 0.045
"""sigma, crop half-widths: how far a confident heat-map keypoint may be off."""
OUTLIER_DISTANCE = 0.4
"""Distance in crop half-widths at which a keypoint's pull has fallen to a quarter."""
STEP_LENGTH = 0.7
"""Share of each Gauss-Newton step that is gone: whole ones overshoot where the weights change."""
_LIMB_DEVIATION, _ROOT_DEVIATION, _SPINE_DEVIATION, _OTHER_DEVIATION = 0.5, 0.35, 0.2, 0.1
_CAMERA_DEVIATION = 0.15
"""Of the logarithm of the scale, and of the offset in metres."""

_LIMBS = ("hip", "knee", "shoulder", "elbow")
_SPINE = ("spine1", "spine2", "spine3", "neck", "head")


def _deviation(joint: str) -> float:
    if joint == "pelvis":
        return _ROOT_DEVIATION
    if joint in _SPINE:
        return _SPINE_DEVIATION
    return _LIMB_DEVIATION if joint.endswith(_LIMBS) else _OTHER_DEVIATION


def _precisions() -> Float[Tensor, "75"]:
    rotations = [_deviation(joint) for joint in SMPL_24.joints for _ in range(3)]
    return torch.tensor([*rotations, *[_CAMERA_DEVIATION] * 3]) ** -2


@torch.no_grad()
def refine(body: KeypointBody, estimate: Estimate, seen: HeatmapKeypoints, steps: int) -> Estimate:
    """The estimate after `steps` Gauss-Newton steps; no gradient flows through it.

    Args:
        body: joints and keypoints, as in `Recovery`.
        estimate: where to start.
        seen: where the keypoints are, with confidences.
        steps: 4 bring it near enough to convergence.
    """
    precision = _precisions().to(estimate.shape)
    change = torch.zeros(len(estimate.shape), 75).to(estimate.shape)
    for _ in range(steps):
        current = _changed(body, estimate, change)
        # Every d moves its joint as a right-multiplied turn does, but for terms of second order in it.
        jacobian = _jacobian(body, current)
        residual = current.keypoints_2d - seen.positions
        weighted = _weights(residual, seen.confidences)[..., None, None] * jacobian
        normal = torch.einsum("bkdi,bkdj->bij", weighted, jacobian) + torch.diag(precision)
        slope = torch.einsum("bkdi,bkd->bi", weighted, residual) + precision * change
        change = change - STEP_LENGTH * torch.linalg.solve(normal, slope)
    return _changed(body, estimate, change)


def _jacobian(body: KeypointBody, estimate: Estimate) -> Float[Tensor, "batch keypoints 2 75"]:
    """Projected keypoints by the joints' turns, the logarithm of the scale and the camera's offset."""
    scale = estimate.camera.scale[:, None, None, None]
    by_turn = scale * keypoint_jacobian(body, estimate.rotations, estimate.shape).by_turn[:, :, :2]
    by_offset = (scale * torch.eye(2).to(scale)).expand(*by_turn.shape[:2], 2, 2)
    return torch.cat([by_turn, estimate.keypoints_2d[..., None], by_offset], 3)


def _weights(
    residual: Float[Tensor, "batch keypoints 2"], confidences: Float[Tensor, "batch keypoints"]
) -> Float[Tensor, "batch keypoints"]:
    """Weights of the squared residuals: those of the iteratively reweighted Geman-McClure function."""
    distance_squared = residual.square().sum(-1)
    robust = (1 + distance_squared / OUTLIER_DISTANCE**2) ** -2
    return (confidences / KEYPOINT_DEVIATION).square() * robust


def _changed(body: KeypointBody, estimate: Estimate, change: Float[Tensor, "batch 75"]) -> Estimate:
    rotations = estimate.rotations @ axis_angle_to_matrix(change[:, :72].unflatten(1, (24, 3)))
    scale = estimate.camera.scale * change[:, 72].exp()
    camera = WeakPerspectiveCamera(scale, estimate.camera.translation + change[:, 73:])
    joints, keypoints = body(rotations, estimate.shape)
    return Estimate(rotations, estimate.shape, camera, joints, keypoints, camera.project(keypoints))
