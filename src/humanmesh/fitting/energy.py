"""The energy of a body against what is known of a person (SMPLify, Bogo et al. 2016, eq. 1 to 7), with derivatives.

    E = E_keypoints + E_pose + E_shape + E_hinges + E_capsules

Every term is a sum of squares in units of one standard deviation, or such a sum under the Geman-McClure function,
and is given with Gauss and Newton's approximation of its second derivative (`solver.Quadratic`).
Unknowns, in this order: turn of the pelvis in its own frame (3), axis-angle of the joints 1 to 23 (69), shape,
translation (3).
"""

from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.jacobian import keypoint_jacobian
from humanmesh.body.model import KeypointBody
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.priors import Capsules, HingePrior, PosePrior, fit_capsules, hinge_prior
from humanmesh.body.skeletons import SKELETONS, SMPL_24
from humanmesh.fitting.solver import Quadratic
from humanmesh.geometry.cameras import PerspectiveCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix, right_jacobian

NEAREST_DEPTH = 0.1
"""Metres: a body with a keypoint nearer to the camera than this is impossible."""
_POSE = slice(3, 72)


@dataclass(frozen=True)
class BodyState:
    """Bodies that stand before a camera."""

    root: Float[Tensor, "batch 3 3"]
    """Rotation from the body frame to the camera frame."""
    pose: Float[Tensor, "batch 69"]
    """Axis-angle of the joints 1 to 23, radians."""
    shape: Float[Tensor, "batch shapes"]
    """Standard deviations."""
    translation: Float[Tensor, "batch 3"]
    """Metres, added to the turned body."""

    @property
    def rotations(self) -> Float[Tensor, "batch 24 3 3"]:
        """All 24, the root's first."""
        return torch.cat([self.root[:, None], axis_angle_to_matrix(self.pose.unflatten(1, (-1, 3)))], 1)


@dataclass(frozen=True)
class Points:
    """Points of bodies in the camera frame, and how they move with the unknowns."""

    positions: Float[Tensor, "batch points 3"]
    """Metres."""
    jacobian: Float[Tensor, "batch points 3 unknowns"]


@dataclass(frozen=True)
class DataWeights:
    """How far keypoints may be off."""

    deviation: float
    """Standard deviation, in units of `size` of the keypoints."""
    outlier: float
    """Distance in the same unit at which the pull of a keypoint has fallen to a quarter."""


DEPTH_WEIGHTS = DataWeights(0.08, 0.6)
"""How far depths of an estimate may be off, metres; 0.05 and 0.1 do as well."""


@runtime_checkable
class Keypoints(Protocol):
    """Where keypoints are known to be."""

    def term(self, points: Points, weights: DataWeights) -> Quadratic:
        """Their robust distance to a body's."""
        ...


@runtime_checkable
class Evidence(Protocol):
    """Anything else that is known of people."""

    def term(self, state: BodyState) -> Quadratic:
        """Its distance to bodies."""
        ...


@dataclass(frozen=True)
class Keypoints2D:
    """Keypoints seen in photos."""

    positions: Float[Tensor, "batch keypoints 2"]
    """Photo pixels."""
    confidences: Float[Tensor, "batch keypoints"]
    """0 where a keypoint is not known."""
    camera: PerspectiveCamera
    size: Float[Tensor, "batch"]
    """Pixels: half the longer side of the box of the keypoints but for wild ones (`smplify.seen_keypoints`)."""

    def term(self, points: Points, weights: DataWeights) -> Quadratic:
        """Reprojection error."""
        seen, by_point = projected(points.positions, self.camera)
        known = self.confidences > 0
        scale = self.size[:, None, None]
        residual = torch.where(known[..., None], seen - self.positions, 0.0) / scale
        jacobian = (by_point / scale[..., None]) @ points.jacobian
        term = robust_term(residual, jacobian, self.confidences, weights)
        is_behind = (points.positions[..., 2] < NEAREST_DEPTH).any(1)
        return replace(term, energy=torch.where(is_behind, torch.inf, term.energy))


@dataclass(frozen=True)
class KeypointsWithDepths(Keypoints2D):
    """Keypoints of photos whose depths are known, too, less well: as those of an estimate, where a fit starts."""

    depths: Float[Tensor, "batch keypoints"]
    """Metres along the camera's axis, from their mean."""

    def term(self, points: Points, weights: DataWeights) -> Quadratic:
        """Reprojection error and the robust distance of the depths."""
        residual = _from_mean(points.positions[..., 2:]) - self.depths[..., None]
        jacobian = _from_mean(points.jacobian[:, :, 2:])
        of_depths = robust_term(residual, jacobian, torch.ones_like(self.depths), DEPTH_WEIGHTS)
        return super().term(points, weights) + of_depths


def depths_from_mean(points: Float[Tensor, "batch points 3"]) -> Float[Tensor, "batch points"]:
    """Metres along the camera's axis, from the points' mean."""
    return _from_mean(points[..., 2])


def _from_mean(values: Float[Tensor, "batch points *axes"]) -> Float[Tensor, "batch points *axes"]:
    return values - values.mean(1, keepdim=True)


@dataclass(frozen=True)
class Keypoints3D:
    """Keypoints known in space."""

    positions: Float[Tensor, "batch keypoints 3"]
    """Metres, camera frame."""
    confidences: Float[Tensor, "batch keypoints"]
    """0 where a keypoint is not known."""

    def term(self, points: Points, weights: DataWeights) -> Quadratic:
        """Distance in space; `size` is one metre."""
        known = self.confidences > 0
        residual = torch.where(known[..., None], points.positions - self.positions, 0.0)
        return robust_term(residual, points.jacobian, self.confidences, weights)


def projected(
    points: Float[Tensor, "batch points 3"], camera: PerspectiveCamera
) -> tuple[Float[Tensor, "batch points 2"], Float[Tensor, "batch points 2 3"]]:
    """Pixels, and their derivative by the points; finite behind the camera, too, where it has no meaning."""
    depth = points[..., 2].clamp_min(NEAREST_DEPTH)
    slopes = points[..., :2] / depth[..., None]
    pixels_per_metre = camera.focal_xy[:, None] / depth[..., None]
    zero = torch.zeros_like(depth)
    one = torch.ones_like(depth)
    rows = torch.stack([one, zero, -slopes[..., 0], zero, one, -slopes[..., 1]], -1).unflatten(-1, (2, 3))
    pixels = camera.focal_xy[:, None] * slopes + camera.principal_point[:, None]
    return pixels, pixels_per_metre[..., None] * rows


def robust_term(
    residual: Float[Tensor, "batch points axes"],
    jacobian: Float[Tensor, "batch points axes unknowns"],
    confidences: Float[Tensor, "batch points"],
    weights: DataWeights,
) -> Quadratic:
    """sum_k (c_k / deviation)^2 rho(|r_k|),  rho(d) = d^2 / (1 + d^2 / outlier^2)  (Geman and McClure 1987).

    The approximation is that of the reweighted squares, whose slope is exact.
    """
    distance = residual.square().sum(2)
    share = 1 / (1 + distance / weights.outlier**2)
    trust = (confidences / weights.deviation).square()
    pull = (trust * share.square())[..., None]
    flat = jacobian.flatten(1, 2)
    pulled = (pull[..., None] * jacobian).flatten(1, 2)
    return Quadratic(
        (trust * share * distance).sum(1),
        (pulled.transpose(1, 2) @ residual.flatten(1)[..., None]).squeeze(-1),
        pulled.transpose(1, 2) @ flat,
    )


def squares_term(
    residual: Float[Tensor, "batch residuals"], jacobian: Float[Tensor, "batch residuals unknowns"]
) -> Quadratic:
    """Sum of squares."""
    transposed = jacobian.transpose(1, 2)
    slope = (transposed @ residual[..., None]).squeeze(-1)
    return Quadratic(residual.square().sum(1), slope, transposed @ jacobian)


@dataclass(frozen=True)
class Weights:
    """How much each term counts; a stage of a fit."""

    keypoints: DataWeights
    pose: float = 1.0
    """Factor of the pose prior's energy; 1 is its likelihood's."""
    shape: float = 1.0
    """Factor of the sum of squared shape coefficients."""
    hinge_deviation: float = 0.1
    """Radians that an elbow or a knee may bend the wrong way."""
    capsule_deviation: float = 0.02
    """Metres that limbs may pass into each other."""
    moves_pose: bool = True
    """False: only the pelvis' turn and the translation change."""


@dataclass(frozen=True)
class FittingBody:
    """What a body brings to a fit."""

    keypoints: KeypointBody
    """The keypoints that are known, then SMPL's 24 joints."""
    pose_prior: PosePrior
    hinges: HingePrior
    capsules: Capsules
    torso: tuple[tuple[int, int], ...]
    """Rows of keypoints at the upper and the lower end of each side of the trunk; none where the set names none."""


def _torso(keypoint_set: str) -> tuple[tuple[int, int], ...]:
    index = SKELETONS[keypoint_set].index if keypoint_set in SKELETONS else {}
    sides = [(f"{side}_shoulder", f"{side}_hip") for side in ("left", "right")]
    return tuple((index[upper], index[lower]) for upper, lower in sides if upper in index and lower in index)


def fitting_body(data: BodyModelData, keypoint_set: str, pose_prior: PosePrior) -> FittingBody:
    """A body ready to be fitted to a keypoint set that it has.

    Raises:
        UnknownNameError: listing the sets that it has.
    """
    both = torch.cat([data.keypoint_regressor(keypoint_set), data.keypoint_regressor(SMPL_24.name)])
    extended = replace(data, keypoint_regressors={"fit": both})
    return FittingBody(
        KeypointBody(extended, "fit"),
        pose_prior.to(data.template),
        hinge_prior(),
        fit_capsules(data),
        _torso(keypoint_set),
    )


@dataclass(frozen=True)
class FittingEnergy:
    """The energy of bodies against what is known of as many people; what `solver.minimise` takes."""

    body: FittingBody
    keypoints: Keypoints
    weights: Weights
    more: tuple[Evidence, ...] = ()
    """What else is known of them."""

    def quadratic(self, state: BodyState) -> Quadratic:
        """The sum of all terms."""
        points = posed_points(self.body.keypoints, state)
        known = points.positions.shape[1] - len(SMPL_24)
        of_keypoints = Points(points.positions[:, :known], points.jacobian[:, :known])
        total = self.keypoints.term(of_keypoints, self.weights.keypoints)
        total = total + self._priors(state)
        joints = Points(points.positions[:, known:], points.jacobian[:, known:])
        total = total + capsule_term(joints, self.body.capsules, self.weights.capsule_deviation)
        for evidence in self.more:
            total = total + evidence.term(state)
        return total if self.weights.moves_pose else _without_pose(total)

    def _priors(self, state: BodyState) -> Quadratic:
        shapes = state.shape.shape[1]
        unknowns = 72 + shapes + 3
        prior = self.body.pose_prior
        component, residual, energy = prior.nearest(state.pose)
        factor = prior.factors[component]
        violation = self.body.hinges.violations(state.pose)
        stiffness = self.weights.hinge_deviation**-2
        is_bent_back = (violation > 0).to(violation) * stiffness
        columns = self.body.hinges.columns
        slope = state.pose.new_zeros(len(state.pose), unknowns)
        slope[:, _POSE] = self.weights.pose * (factor @ residual[..., None]).squeeze(-1)
        slope[:, 3 + columns] += -stiffness * violation * self.body.hinges.signs
        slope[:, 72:-3] = self.weights.shape * state.shape
        normal = state.pose.new_zeros(len(state.pose), unknowns, unknowns)
        normal[:, _POSE, _POSE] = self.weights.pose * (factor @ factor.transpose(1, 2))
        diagonal = normal.diagonal(dim1=1, dim2=2)
        diagonal[:, 3 + columns] += is_bent_back
        diagonal[:, 72:-3] += self.weights.shape
        total = self.weights.pose * energy + stiffness * violation.square().sum(1)
        return Quadratic(total + self.weights.shape * state.shape.square().sum(1), slope, normal)

    def moved(self, state: BodyState, change: Float[Tensor, "batch unknowns"]) -> BodyState:
        """The state after a change of the unknowns."""
        return BodyState(
            state.root @ axis_angle_to_matrix(change[:, :3]),
            state.pose + change[:, _POSE],
            state.shape + change[:, 72:-3],
            state.translation + change[:, -3:],
        )


def _without_pose(total: Quadratic) -> Quadratic:
    """The same energy where only the pelvis' turn and the translation are unknown."""
    is_free = torch.ones_like(total.slope[0])
    is_free[3:-3] = 0
    normal = total.normal * is_free[:, None] * is_free + torch.diag(1 - is_free)
    return Quadratic(total.energy, total.slope * is_free, normal)


def posed_points(body: KeypointBody, state: BodyState) -> Points:
    """The keypoints of a body in the camera frame, with their derivative by the unknowns."""
    found = keypoint_jacobian(body, state.rotations, state.shape)
    by_pose = found.by_turn[..., 3:].unflatten(3, (23, 3))
    turns = right_jacobian(state.pose.unflatten(1, (23, 3)))
    by_pose = torch.einsum("bkxit,bitu->bkxiu", by_pose, turns).flatten(3)
    by_translation = torch.eye(3).to(by_pose).expand(*by_pose.shape[:2], 3, 3)
    jacobian = torch.cat([found.by_turn[..., :3], by_pose, found.by_shape, by_translation], 3)
    return Points(found.keypoints + state.translation[:, None], jacobian)


def capsule_term(joints: Points, capsules: Capsules, deviation: float) -> Quadratic:
    """Squared depth by which capsules pass into each other, in units of `deviation` (metres).

    The nearest points of two axes are taken to stay where they are on their axes: moving them along changes the
    distance only to second order.
    """
    first, second = capsules.first, capsules.second
    starts, ends = joints.positions[:, capsules.starts], joints.positions[:, capsules.ends]
    share_first, share_second = nearest_shares(
        starts[:, first], ends[:, first], starts[:, second], ends[:, second]
    )
    gap = _along(starts[:, first], ends[:, first], share_first) - _along(
        starts[:, second], ends[:, second], share_second
    )
    distance = gap.norm(dim=2)
    depth = (capsules.radii[first] + capsules.radii[second] - distance).clamp_min(0)
    touching = (depth > 0).any(0).nonzero().squeeze(1)
    direction = gap[:, touching] / distance[:, touching, None].clamp_min(1e-6)
    start_slopes, end_slopes = joints.jacobian[:, capsules.starts], joints.jacobian[:, capsules.ends]
    first, second = first[touching], second[touching]
    by_gap = _along(start_slopes[:, first], end_slopes[:, first], share_first[:, touching]) - _along(
        start_slopes[:, second], end_slopes[:, second], share_second[:, touching]
    )
    by_distance = (direction[:, :, None] @ by_gap).squeeze(2)
    depth = depth[:, touching]
    is_touching = (depth > 0).to(depth)
    return squares_term(depth / deviation, -is_touching[..., None] * by_distance / deviation)


def _along(
    start: Float[Tensor, "batch pairs *axes"],
    end: Float[Tensor, "batch pairs *axes"],
    share: Float[Tensor, "batch pairs"],
) -> Float[Tensor, "batch pairs *axes"]:
    return torch.lerp(start, end, share.view(*share.shape, *[1] * (start.dim() - 2)))


def nearest_shares(
    start: Float[Tensor, "batch pairs 3"],
    end: Float[Tensor, "batch pairs 3"],
    other_start: Float[Tensor, "batch pairs 3"],
    other_end: Float[Tensor, "batch pairs 3"],
) -> tuple[Float[Tensor, "batch pairs"], Float[Tensor, "batch pairs"]]:
    """How far along two segments (0 to 1) the points lie that are nearest to each other (Ericson 2005, 5.1.9)."""
    axis, other_axis, between = end - start, other_end - other_start, start - other_start
    a, e = axis.square().sum(2), other_axis.square().sum(2)
    b, c, f = (axis * other_axis).sum(2), (axis * between).sum(2), (other_axis * between).sum(2)
    denominator = a * e - b * b
    parallel = denominator <= 1e-9 * a * e
    share = torch.where(parallel, 0.0, (b * f - c * e) / torch.where(parallel, 1.0, denominator)).clamp(0, 1)
    other_share = ((b * share + f) / e).clamp(0, 1)
    return ((b * other_share - c) / a).clamp(0, 1), other_share
