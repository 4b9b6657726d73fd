"""Arms that bring both hands, or one, where they shall be: recorded arms that come near, bent until they arrive."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanmesh.body.capsules import CapsuleBody
from humanmesh.body.joint_limits import JointLimits
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.hands import hands_of
from humanmesh.data.synthetic_poses import PoseLibrary, mirrored_rotations
from humanmesh.geometry.rotations import axis_angle_to_matrix

DEEPEST_ARM = 0.04
"""Metres: an arm that lies so much deeper in another part than in the rest pose passes through it."""

_LEFT_ARM = ("left_collar", "left_shoulder", "left_elbow", "left_wrist")
_ARMS = tuple(
    [SMPL_24.index[joint.replace("left", side)] for joint in _LEFT_ARM] for side in ("left", "right")
)
_HANDS = [SMPL_24.index["left_hand"], SMPL_24.index["right_hand"]]
_CHEST = SMPL_24.index["spine3"]

_CANDIDATES, _NEAREST, _NEAR = 12_000, 24, 0.03
"""Recorded arms that are looked at, each also in a mirror; nearest ones among which one is drawn; metres by which a farther one
is drawn less often."""
_STEPS, _STEP_SIZE = 120, 0.03
_DEPTH, _LIMIT, _STAY = 0.01, 0.05, 1.0
"""Deviations: of depths (metres), of a joint from its limits and from the recorded arm (radians)."""


@dataclass(frozen=True)
class Posed:
    """Joints of posed bodies, in the body's frame."""

    world: Float[Tensor, "people 24 3 3"]
    """Rotation of each joint from the rest pose."""
    joints: Float[Tensor, "people 24 3"]
    """Metres."""

    def from_chest(self, points: Float[Tensor, "people points 3"]) -> Float[Tensor, "people points 3"]:
        """The points as the chest sees them."""
        return (points - self.joints[:, _CHEST, None]) @ self.world[:, _CHEST]

    def chest_to_body(self, points: Float[Tensor, "people points 3"]) -> Float[Tensor, "people points 3"]:
        """The inverse of `from_chest`."""
        return points @ self.world[:, _CHEST].mT + self.joints[:, _CHEST, None]


class ReachingBody:
    """The mean body, each part of which moves rigidly: joints and capsules."""

    def __init__(self, data: BodyModelData) -> None:
        self.capsules = CapsuleBody(data)
        self.rest = self.capsules.rest(data.template.new_zeros(1, data.shape_directions.shape[2]))
        moving = {*_HANDS, *(row for arm in _ARMS for row in arm[1:])}
        pairs = self.capsules.pairs
        self.pairs = pairs[[bool(moving & set(pair)) for pair in pairs.tolist()]]
        self.rest_depths = self.rest.depths(self.pairs).clamp_min(0)

    def posed(self, rotations: Float[Tensor, "people 24 3 3"]) -> Posed:
        """Joints of the mean body in these poses."""
        return Posed(*self.capsules.tree(rotations, self.rest.starts.expand(len(rotations), -1, -1)))

    def too_deep(self, posed: Posed) -> Float[Tensor, "people pairs"]:
        """By how much arms lie deeper in other parts than in the rest pose, metres."""
        depths = self.rest.moved(posed.world, posed.joints).depths(self.pairs)
        return (depths - self.rest_depths).clamp_min(0)


@dataclass(frozen=True)
class Goal:
    """Where hands shall come."""

    active: Bool[Tensor, "people 2"]
    """Whether the left and the right hand shall, or stay as they were recorded."""
    places: Callable[[Posed], Float[Tensor, "people 2 3"]]
    """About where the palms of these bodies shall lie, metres in the body's frame; recorded arms are chosen by it."""
    misses: Callable[[Posed], Float[Tensor, "people 2"]]
    """By how much hands miss: an energy, 1 where they miss by a deviation."""


def reaching(
    rotations: Float[Tensor, "people 24 3 3"],
    goal: Goal,
    library: PoseLibrary,
    body: ReachingBody,
    limits: JointLimits,
    generator: torch.Generator,
) -> Float[Tensor, "people 24 3 3"]:
    """The poses with the active arms taken from those of the library that come nearest, and bent toward the goal."""
    rotations = _with_nearest_arms(rotations, goal, library, body, generator)
    return _bent(rotations, goal, body, limits)


def _with_nearest_arms(
    rotations: Float[Tensor, "people 24 3 3"],
    goal: Goal,
    library: PoseLibrary,
    body: ReachingBody,
    generator: torch.Generator,
) -> Float[Tensor, "people 24 3 3"]:
    """The poses with recorded arms whose palms come near the places, as the chest sees both."""
    rows = torch.multinomial(library.weights, _CANDIDATES, replacement=True, generator=generator)
    recorded = axis_angle_to_matrix(library.poses[rows].unflatten(1, (24, 3)))
    recorded = torch.cat([recorded, mirrored_rotations(recorded)])
    posed = body.posed(recorded)
    palms = posed.from_chest(hands_of(posed.world, posed.joints).palms)
    posed = body.posed(rotations)
    places = posed.from_chest(goal.places(posed))
    result = rotations.clone()
    for hand, arm in enumerate(_ARMS):
        nearest = torch.cdist(places[:, hand], palms[:, hand]).topk(_NEAREST, largest=False)
        chances = torch.softmax(-(nearest.values / _NEAR).square(), 1)
        chosen = nearest.indices.gather(1, torch.multinomial(chances, 1, generator=generator))[:, 0]
        is_active = goal.active[:, hand, None, None, None]
        result[:, arm] = torch.where(is_active, recorded[chosen][:, arm], rotations[:, arm])
    return result


def _bent(
    rotations: Float[Tensor, "people 24 3 3"], goal: Goal, body: ReachingBody, limits: JointLimits
) -> Float[Tensor, "people 24 3 3"]:
    """The poses with active arms turned, by gradient descent: toward the goal, within limits, out of other parts."""
    turns = rotations.new_zeros(len(rotations), 2, len(_LEFT_ARM), 3).requires_grad_()
    optimizer = torch.optim.Adam([turns], lr=_STEP_SIZE)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        moved = _turned(rotations, turns, goal)
        posed = body.posed(moved)
        beyond = (moved - _with_arms_within(limits, moved.detach())) / _LIMIT
        deep = body.too_deep(posed) / _DEPTH
        energy = (goal.misses(posed) * goal.active).sum() + sum(
            term.square().sum() for term in (turns / _STAY, beyond, deep)
        )
        energy.backward()
        optimizer.step()
    return _with_arms_within(limits, _turned(rotations, turns.detach(), goal))


def _with_arms_within(
    limits: JointLimits, rotations: Float[Tensor, "people 24 3 3"]
) -> Float[Tensor, "people 24 3 3"]:
    arms = [row for arm in _ARMS for row in arm]
    result = rotations.clone()
    result[:, arms] = limits.within(rotations)[:, arms]
    return result


def _turned(
    rotations: Float[Tensor, "people 24 3 3"], turns: Float[Tensor, "people 2 joints 3"], goal: Goal
) -> Float[Tensor, "people 24 3 3"]:
    active = turns * goal.active[..., None, None]
    moved = rotations.clone()
    for hand, arm in enumerate(_ARMS):
        moved[:, arm] = rotations[:, arm] @ axis_angle_to_matrix(active[:, hand])
    return moved
