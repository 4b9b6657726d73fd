"""What people do and no keypoint shows, in closed form: legs that the photo cuts off, feet, and the lean of those who stand.

Legs that the photo cuts off are straightened: the regressor, which reads keypoints of them off empty heat maps, would make their people
sit. Feet point forward, and who stands does so on the soles: no keypoint says where feet point, and in street photos the regressor turns
both inward, one across the other, and the left one down; feet that carry somebody who squats, bends over or sits on a chair are turned
until their soles are level. And people who stand stretched are turned about the camera's x axis toward how a camera held nearly level
sees them, because keypoints hardly tell whether a person leans toward the camera.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import SMPL_24
from humanmesh.body.standing import TOES_OUT, stance_of
from humanmesh.geometry.robust import faded
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from humanmesh.network.encoder import KEYPOINTS
from humanmesh.network.regressor import Estimate, HeatmapKeypoints, default_mean_pose, depths_of

_UNSEEN, _SEEN = 0.15, 0.21
"""Confidences of a leg: at most the first where the photo cuts both legs off (43 of the 55 photos of the exercises where MoveNet sees neither,
49 below the second), at least the second nearly everywhere else (140 of 143 where it sees both)."""
_OTHER_LEG = 0.5
"""Share that the other leg has in a leg's confidence: photos that cut off one mostly cut off both."""
CLEARLY_BENT = math.radians(20)
"""Bend of a knee at which the trust that its leg is stretched, and the pull that stretches it, have fallen to a quarter."""
_LIFTED = math.radians(40)
"""Bend of a knee at which the trust that its foot stands on its sole has fallen to a quarter."""
_EYE_LEVEL = math.radians(7)
"""By how much a body that stands upright leans in the picture of a camera held at eye level: atan(0.75 / 6), from the eyes to the
middle of a person six metres away."""
_LEVEL_SHARE = 0.6
"""Share of the lean beyond it that is taken away: 1 / (1 + (6 / 7.5)^2), where cameras are held level to 6 degrees, which is a guess,
and the estimate's lean is right to 7.5 (250 rendered people who stand); less of leans far from it (`Stance.uprightness`)."""
_OFF_THE_GROUND = 0.12
"""Metres above the lower ankle at which the trust that the other foot carries has fallen to a quarter."""
_SLANTED = math.radians(60)
"""Angle of a shin to the vertical at which the trust that its foot carries has fallen to a quarter."""
_ON_THE_FLOOR, _SQUATTING = 0.3, 0.45
"""Metres of the hips above the lower ankle: at most the first where feet carry nobody, at least the second where they may."""
_SIDES = ("left", "right")
_LEGS = torch.tensor([
    [SMPL_24.index[f"{side}_{joint}"] for joint in ("hip", "knee", "ankle")] for side in _SIDES
])
_LEG_KEYPOINTS = torch.tensor([
    [KEYPOINTS.index[f"{side}_{joint}"] for joint in ("knee", "ankle")] for side in _SIDES
])
_HIPS, _KNEES, _ANKLES = _LEGS.T.tolist()
_UP = torch.tensor([0.0, -math.cos(_EYE_LEVEL), -math.sin(_EYE_LEVEL)])
"""What is up in the frame of a camera at eye level."""


def standing_of(joints: Float[Tensor, "batch 24 3"]) -> Float[Tensor, "batch"]:
    """From 0 to 1: how surely somebody stands stretched, as a camera at eye level sees them."""
    stance = stance_of(joints)
    return stance.uprightness(_EYE_LEVEL) * stance.stretched


def as_seen_from_eye_level(
    estimate: Estimate, seen: HeatmapKeypoints, standing: Float[Tensor, "batch"]
) -> tuple[Estimate, HeatmapKeypoints]:
    """Bodies that stand stretched, turned about the camera's x axis toward the lean that a camera at eye level sees, and depths with them."""
    beyond = stance_of(estimate.joints).lean - _EYE_LEVEL
    turn = estimate.joints.new_zeros(len(estimate.joints), 3)
    turn[:, 0] = -_LEVEL_SHARE * standing * beyond
    turned = axis_angle_to_matrix(turn)
    rotations = torch.cat([turned[:, None] @ estimate.rotations[:, :1], estimate.rotations[:, 1:]], 1)
    if seen.depths is not None:
        keypoints = estimate.keypoints_3d
        change = depths_of(keypoints @ turned.mT) - depths_of(keypoints)
        seen = replace(seen, depths=seen.depths + change)
    return replace(estimate, rotations=rotations), seen


def with_unseen_legs_straight(
    rotations: Float[Tensor, "batch 24 3 3"], seen: HeatmapKeypoints
) -> Float[Tensor, "batch 24 3 3"]:
    """Legs of which no heat map shows the knee or the ankle, turned to the mean pose's."""
    surest = seen.confidences[:, _LEG_KEYPOINTS].amax(2)
    surest = torch.lerp(surest, surest.flip(1), _OTHER_LEG)
    unseen = ((_SEEN - surest) / (_SEEN - _UNSEEN)).clamp(0, 1)
    if not unseen.any():
        return rotations
    straight = axis_angle_to_matrix(default_mean_pose().to(rotations)[_LEGS])
    turns = matrix_to_axis_angle(rotations[:, _LEGS].mT @ straight)
    changed = rotations.clone()
    changed[:, _LEGS] = rotations[:, _LEGS] @ axis_angle_to_matrix(unseen[..., None, None] * turns)
    return changed


def with_feet_forward(
    rotations: Float[Tensor, "batch 24 3 3"], standing: Float[Tensor, "batch"]
) -> Float[Tensor, "batch 24 3 3"]:
    """Feet turned to where those of recorded people point, as no keypoint says: at the ankle always, at the hip of a stretched leg; and
    under the stretched legs of people who stand at right angles to the shin.
    """
    hips, knees, ankles = matrix_to_axis_angle(rotations[:, _LEGS]).unbind(2)
    bend = knees[..., 0].square()
    hips[..., 1] *= 1 - faded(bend, CLEARLY_BENT)
    ankles[..., 0] *= 1 - faded(bend, _LIFTED) * standing[:, None]
    ankles[..., 1] = hips.new_tensor([TOES_OUT, -TOES_OUT])
    changed = rotations.clone()
    changed[:, _LEGS] = axis_angle_to_matrix(torch.stack([hips, knees, ankles], 2))
    return changed


def with_level_soles(
    body: KeypointBody,
    rotations: Float[Tensor, "batch 24 3 3"],
    shape: Float[Tensor, "batch shapes"],
) -> Float[Tensor, "batch 24 3 3"]:
    """Feet that carry their person, turned about the ankles until the soles are level as a camera at eye level sees them.

    Feet carry as far as they are the lowest, hips are well above them, and shins are not far from upright. Of stretched legs of people
    who stand `with_feet_forward` has said as much, whatever the camera's height.
    """
    world, joints = body.tree(rotations, body.rest_joints(shape))
    up = _UP.to(joints)
    heights = joints @ up
    lowest = heights[:, _ANKLES].amin(1, keepdim=True)
    aslant = torch.acos((world[:, _KNEES, :, 1] @ up).clamp(-1, 1))
    carries = faded((heights[:, _ANKLES] - lowest).square(), _OFF_THE_GROUND) * faded(
        aslant.square(), _SLANTED
    )
    hips = heights[:, _HIPS].mean(1, keepdim=True) - lowest
    carries = carries * ((hips - _ON_THE_FLOOR) / (_SQUATTING - _ON_THE_FLOOR)).clamp(0, 1)
    bend = matrix_to_axis_angle(rotations[:, _KNEES])[..., 0].square()
    carries = carries * (1 - faded(bend, _LIFTED) * standing_of(joints)[:, None])
    feet = world[:, _ANKLES]
    turns = matrix_to_axis_angle(feet.mT @ _levelled(feet[..., 0], up))
    changed = rotations.clone()
    changed[:, _ANKLES] = rotations[:, _ANKLES] @ axis_angle_to_matrix(carries[..., None] * turns)
    return changed


def _levelled(left: Float[Tensor, "batch feet 3"], up: Float[Tensor, "3"]) -> Float[Tensor, "batch feet 3 3"]:
    """Axes (left, up, forward) of feet on level ground whose left is that way: it tells where toes point even when they point down."""
    upward = up.expand_as(left)
    forward = torch.nn.functional.normalize(torch.linalg.cross(left, upward), dim=-1)
    return torch.stack([torch.linalg.cross(upward, forward), upward, forward], -1)
