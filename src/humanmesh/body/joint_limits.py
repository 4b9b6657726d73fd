"""How far joints turn: a rotation is within its joint's limits if motion capture holds one like it.

Limits learned from recordings depend on the whole rotation, as in Akhter and Black ("Pose-Conditioned Joint Angle
Limits for 3D Human Pose Reconstruction", CVPR 2015): how far an arm can be twisted depends on where it points. Where
they keep a grid of directions with a range of twist in each, here the limits of a joint are some hundred recorded
rotations, evenly spread, and a tolerance about them. That has no seam and no singular direction.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.geometry.rotations import (
    axis_angle_to_matrix,
    matrix_to_quaternion,
    relative_quaternion,
)

UNRECORDED = ("pelvis", "left_collar", "right_collar", "left_hand", "right_hand")
"""Joints without limits: the pelvis may turn any way, and no recording tells how the others turn."""
LIMITED = tuple(joint for joint in SMPL_24.joints if joint not in UNRECORDED)
"""Joints with limits, in SMPL's order."""
LIMITED_ROWS = [SMPL_24.index[joint] for joint in LIMITED]
"""Their rows among SMPL's joints."""

_QUANTILE = 0.995
"""Share of unseen frames that must lie within the tolerance."""
_LEAST_TOLERANCE = 0.14
"""Radians (8 degrees): recordings of a hinge are exact, and a body's joint is not."""
_WITHIN = 0.98
"""Share of the tolerance to which a joint beyond it is turned back, so that rounding does not carry it out again."""
_SLIPS = 5e-4
"""Share of the frames that may be slips of a recording."""


@dataclass(frozen=True)
class JointLimits:
    """What motion capture says about each joint of `LIMITED`."""

    recorded: Float[Tensor, "joints samples 4"]
    """Unit quaternions (w, x, y, z) of turns relative to the parent; a row may repeat."""
    tolerances: Float[Tensor, "joints"]
    """Largest angle to the nearest recorded rotation that is within the limits, radians."""
    spreads: Float[Tensor, "joints"]
    """`spread` of the recordings, radians."""

    def distances(self, rotations: Float[Tensor, "people 24 3 3"]) -> Float[Tensor, "people joints"]:
        """Angle from each joint's rotation to the nearest recorded one (radians); NaN stays NaN."""
        asked = matrix_to_quaternion(rotations[:, LIMITED_ROWS]).transpose(0, 1)
        recorded = self.recorded.to(asked)
        return torch.stack([angle_to_nearest(*joint) for joint in zip(asked, recorded, strict=True)], 1)

    def excess(self, rotations: Float[Tensor, "people 24 3 3"]) -> Float[Tensor, "people joints 3"]:
        """The turn that brings each joint of `LIMITED` back to its limits, the shortest way to the nearest recorded rotation.

        Axis-angle d (radians) in the joint's own frame: R exp([d]x) is within the limits. 0 where R is.
        """
        asked = matrix_to_quaternion(rotations[:, LIMITED_ROWS])
        recorded = self.recorded.to(asked)
        cosines, rows = (asked.transpose(0, 1) @ recorded.mT).abs().max(2)
        nearest = recorded.gather(1, rows[..., None].expand(-1, -1, 4)).transpose(0, 1)
        beyond = (2 * cosines.clamp(max=1).acos().T - _WITHIN * self.tolerances.to(asked)).clamp_min(0)
        way = relative_quaternion(asked, nearest)
        axis = torch.nn.functional.normalize(way[..., 1:], dim=2) * way[..., :1].sign()
        return axis * beyond[..., None]

    def within(self, rotations: Float[Tensor, "people 24 3 3"]) -> Float[Tensor, "people 24 3 3"]:
        """The rotations with every joint that is turned too far turned back to its limits."""
        turned_back = rotations[:, LIMITED_ROWS] @ axis_angle_to_matrix(self.excess(rotations))
        result = rotations.clone()
        result[:, LIMITED_ROWS] = turned_back
        return result

    def broken(self, rotations: Float[Tensor, "people 24 3 3"]) -> Bool[Tensor, "people joints"]:
        """Whether a joint of `LIMITED` is turned as none was in the recordings."""
        return self.distances(rotations) > self.tolerances.to(rotations)


@dataclass(frozen=True)
class LearnedJoint:
    """The limits of one joint."""

    recorded: Float[Tensor, "samples 4"]
    """Unit quaternions."""
    tolerance: float
    """Radians."""


def angle_to_nearest(
    quaternions: Float[Tensor, "frames 4"], recorded: Float[Tensor, "samples 4"]
) -> Float[Tensor, "frames"]:
    """Angle from each rotation to the nearest of some others (radians, in [0, pi])."""
    return 2 * (quaternions @ recorded.T).abs().amax(1).clamp(max=1).acos()


def spread(rotations: Float[Tensor, "people joints 3 3"]) -> Float[Tensor, "joints"]:
    """Root mean square angle of each joint's rotations about their mean (radians); 0 for a frozen joint.

    The mean is the eigenvector of the largest eigenvalue of the sum of q q^T (Markley et al., "Averaging Quaternions",
    2007).
    """
    quaternions = matrix_to_quaternion(rotations.double())
    moments = torch.einsum("pja,pjb->jab", quaternions, quaternions)
    mean = torch.linalg.eigh(moments).eigenvectors[:, :, -1]
    cosines = torch.einsum("pja,ja->pj", quaternions, mean).abs().clamp(max=1)
    return (2 * cosines.acos()).square().mean(0).sqrt().to(rotations.dtype)


def learn_joint(folds: Sequence[Float[Tensor, "_ 4"]], samples: int) -> LearnedJoint:
    """The limits of one joint from its recorded rotations.

    The tolerance is found by leaving out: it covers 99.5 % of the frames of each fold when the others are all
    that is known, so that a motion which was not recorded is not called impossible.

    Args:
        folds: Unit quaternions, those of one action in one fold.
        samples: At most so many rotations are kept.
    """
    unseen = []
    for row, fold in enumerate(folds):
        others = torch.cat([other for number, other in enumerate(folds) if number != row])
        unseen.append(angle_to_nearest(fold, evenly_spread(others, samples)))
    tolerance = float(torch.cat(unseen).double().quantile(_QUANTILE))
    return LearnedJoint(evenly_spread(torch.cat(list(folds)), samples), max(tolerance, _LEAST_TOLERANCE))


def evenly_spread(
    quaternions: Float[Tensor, "frames 4"], samples: int, slips: float = _SLIPS
) -> Float[Tensor, "kept 4"]:
    """Frames that cover all others evenly, by farthest-point sampling from the first one on.

    The loneliest of them, which stand for less than a share `slips` of all frames together, are taken for slips of the
    recording and left out.
    """
    farthest = 0
    chosen = []
    nearest = torch.full((len(quaternions),), -1.0, dtype=quaternions.dtype)
    cell = torch.zeros(len(quaternions), dtype=torch.long)
    for number in range(min(samples, len(quaternions))):
        chosen.append(farthest)
        cosines = (quaternions @ quaternions[farthest]).abs()
        cell = torch.where(cosines > nearest, number, cell)
        nearest = torch.maximum(nearest, cosines)
        farthest = int(nearest.argmin())
    counts = torch.bincount(cell, minlength=len(chosen))
    order = counts.argsort(stable=True)
    is_slip = counts[order].cumsum(0) < slips * len(quaternions)
    return quaternions[chosen][order[~is_slip]]
