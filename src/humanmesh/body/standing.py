"""People who stand: how they lean before the camera, and how far a camera that sees them so looks down."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.geometry.robust import faded
from humanmesh.geometry.smoothing import weighted_median

TOES_OUT = math.radians(11)
"""Turn of an ankle about the shin, outward: the median of recorded people who stand."""
_FAR_FROM_UPRIGHT = math.radians(30)
"""Angle at which `Stance.uprightness` has fallen to a quarter."""
_FARTHEST_STANDING = math.radians(45)
"""Angle from the camera's vertical up to which somebody stretched is taken to stand."""
_BENT, _STRETCHED = 0.9, 1.1
"""Metres from between the shoulders to between the ankles."""

_ANKLES = [SMPL_24.index["left_ankle"], SMPL_24.index["right_ankle"]]
_SHOULDERS = [SMPL_24.index["left_shoulder"], SMPL_24.index["right_shoulder"]]


@dataclass(frozen=True)
class Stance:
    """How the line from between the ankles to between the shoulders stands in the camera frame."""

    lean: Float[Tensor, "people"]
    """Radians towards the camera; a camera that looks down sees people who stand lean so."""
    aslant: Float[Tensor, "people"]
    """Radians in the picture's plane, towards its left."""
    stretched: Float[Tensor, "people"]
    """From 0, sitting or squatting, to 1."""

    def uprightness(self, expected_lean: float = 0.0) -> Float[Tensor, "people"]:
        """1 for people who lean by `expected_lean` (radians) and not aslant, .01 for those who lie."""
        angle = (self.lean - expected_lean).square() + self.aslant.square()
        return faded(angle, _FAR_FROM_UPRIGHT)


def stance_of(joints: Float[Tensor, "people 24 3"]) -> Stance:
    """The stance of people whose joints are given in metres, axes of the camera frame."""
    down = joints[:, _ANKLES].mean(1) - joints[:, _SHOULDERS].mean(1)
    x, y, z = down.unbind(1)
    stretched = ((down.norm(dim=1) - _BENT) / (_STRETCHED - _BENT)).clamp(0, 1)
    return Stance(torch.atan2(z, y), torch.atan2(x, y), stretched)


def pitch_from_standing(
    joints: Float[Tensor, "people 24 3"], trust: Float[Tensor, "people"] | None = None
) -> float | None:
    """Radians by which a camera looks down that sees these people stand upright: the median of their leans, each by its trust.

    Args:
        joints: metres, axes of the camera frame.
        trust: in each of them, not negative; alike where None.

    Returns:
        None where nobody stands.
    """
    stance = stance_of(joints)
    weights = stance.stretched * (torch.hypot(stance.lean, stance.aslant) < _FARTHEST_STANDING)
    if trust is not None:
        weights = weights * trust
    return float(weighted_median(stance.lean[:, None], weights)) if weights.sum() > 0 else None
