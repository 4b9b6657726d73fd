"""Whether predicted bodies could be people: joints beyond their limits, parts inside each other, left taken for right.

None of this needs 3D truth, so every protocol can say it.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from humanmesh.body.capsules import CapsuleBody
from humanmesh.body.joint_limits import LIMITED, JointLimits, spread
from humanmesh.body.skeletons import SMPL_24
from humanmesh.evaluation.predictors import PredictedPose
from humanmesh.geometry.rotations import matrix_to_quaternion, quaternion_to_matrix

DEEP = 0.05
"""Metres that two parts may lie deeper in each other than in the rest pose: flesh gives way, and capsules are no mesh."""
SWAP_MARGIN = 0.1
"""How much better the exchanged limbs must fit, as a share of the person's size: seen from the side, left and right
limbs lie on each other."""
ENDS = {"wrists": ("left_wrist", "right_wrist"), "ankles": ("left_ankle", "right_ankle")}
"""Joints that a network without knowledge of them leaves as they are."""
LIMBS = {
    "arms": (("left_elbow", "right_elbow"), ("left_wrist", "right_wrist")),
    "legs": (("left_knee", "right_knee"), ("left_ankle", "right_ankle")),
}
"""Pairs of joints that are exchanged together."""

_END_JOINTS = [joint for joints in ENDS.values() for joint in joints]
_END_ROWS = [SMPL_24.index[joint] for joint in _END_JOINTS]


def pose_rows(pose: PredictedPose, limits: JointLimits) -> dict[str, Tensor]:
    """What the poses say, one row a person; NaN for people without one.

    `broken_joints` (people, joints of `LIMITED`), 1 where beyond the limits; `part_depth` (people,) metres;
    `end_turns` (people, 4, 4) quaternions of wrists and ankles.
    """
    rotations = pose.rotations.cpu().float()
    is_known = rotations.isfinite().all(3).all(2).all(1)
    broken = torch.where(is_known[:, None], limits.broken(rotations).float(), torch.nan)
    ends = matrix_to_quaternion(rotations[:, _END_ROWS])
    depth = torch.full((len(rotations),), torch.nan)
    if pose.shape is not None and pose.body is not None:
        depth = CapsuleBody(pose.body.to(device="cpu")).deepest(rotations, pose.shape.cpu().float())
    return {"broken_joints": broken, "part_depth": depth, "end_turns": ends}


def swapped_limbs(
    predicted: Float[Tensor, "people joints 2"],
    truth: Float[Tensor, "people joints 2"],
    known: Float[Tensor, "people joints"],
    sizes: Float64[Tensor, "people"],
    names: Sequence[str],
) -> Float[Tensor, "people"]:
    """1 where both arms, or both legs, fit the truth clearly better when left and right are exchanged, else 0.

    NaN where no arm and no leg is known on both sides.

    Args:
        predicted: Photo pixels.
        truth: Photo pixels.
        known: Larger than 0 where the truth is known.
        sizes: Of each person, photo pixels.
        names: Of the joints.
    """
    gains = []
    for pairs in LIMBS.values():
        left = [names.index(pair[0]) for pair in pairs]
        right = [names.index(pair[1]) for pair in pairs]
        both = (known[:, left] > 0) & (known[:, right] > 0)
        straight = _distances(predicted, truth, left, left) + _distances(predicted, truth, right, right)
        exchanged = _distances(predicted, truth, left, right) + _distances(predicted, truth, right, left)
        gain = torch.where(both, (straight - exchanged) / 2, torch.nan).nanmean(1)
        gains.append(gain / sizes)
    best = torch.stack(gains, 1)
    is_swapped = (best > SWAP_MARGIN).any(1).float()
    return torch.where(best.isnan().all(1), torch.nan, is_swapped)


def _distances(
    predicted: Float[Tensor, "people joints 2"],
    truth: Float[Tensor, "people joints 2"],
    rows: list[int],
    true_rows: list[int],
) -> Float[Tensor, "people pairs"]:
    return (predicted[:, rows] - truth[:, true_rows]).norm(dim=-1)


def end_spreads(turns: Float[Tensor, "people 4 4"], limits: JointLimits) -> dict[str, float]:
    """Spread of the predicted turns of wrists and ankles in units of the recordings' own; near 0 where they are frozen."""
    known = turns[turns.isfinite().all(2).all(1)]
    if not len(known):
        return {}
    ours = dict(zip(_END_JOINTS, spread(quaternion_to_matrix(known)).tolist(), strict=True))
    recorded = dict(zip(LIMITED, limits.spreads.tolist(), strict=True))
    return {
        end: sum(ours[joint] / recorded[joint] for joint in joints) / len(joints)
        for end, joints in ENDS.items()
    }
