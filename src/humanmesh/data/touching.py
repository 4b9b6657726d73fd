"""Poses of people whose hands touch their own body, made from recorded poses, which have few of them.

A hand on the hip, in a pocket or behind the neck is seen from one side alone, and a network that never met one reaches
forward instead. Here each hand is given a place on the skin; the arm is taken from the recorded pose whose palm comes
nearest to it, and bent until palm and place meet. Muller et al. ("On Self-Contact and Human Pose", CVPR 2021)
show what poses in contact are worth; theirs are scans and people who mimic them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from humanmesh.body.capsules import CapsuleBody
from humanmesh.body.joint_limits import JointLimits
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.synthetic_draws import chance, uniform
from humanmesh.data.synthetic_poses import PoseLibrary, mirrored_rotations
from humanmesh.geometry.rotations import axis_angle_to_matrix

REACH = 0.04
"""Metres: a palm farther from its place does not touch."""
DEEPEST_ARM = 0.04
"""Metres: an arm that lies so much deeper in another part than in the rest pose passes through it."""

_TOUCHED = {
    "pelvis": 3.0, "left_hip": 3.0, "spine1": 1.0, "spine2": 1.0, "spine3": 2.5, "neck": 1.5, "head": 2.5, "left_knee": 0.8,
    "right_hip": 1.0, "right_shoulder": 1.5, "right_elbow": 1.0, "left_shoulder": 0.7, "right_hand": 1.0,
}  # fmt: skip
"""Parts on which a left hand is put, and how often, relative to each other."""
_BOTH_ALIKE, _BOTH = 0.4, 0.25
"""Shares of people with both hands at mirrored places, and at two places; of the others one hand touches."""
_LEFT_ARM = ("left_collar", "left_shoulder", "left_elbow", "left_wrist")
_ARMS = tuple(
    [SMPL_24.index[joint.replace("left", side)] for joint in _LEFT_ARM] for side in ("left", "right")
)
_WRISTS = [arm[-1] for arm in _ARMS]
_HANDS = [SMPL_24.index["left_hand"], SMPL_24.index["right_hand"]]
_CHEST = SMPL_24.index["spine3"]
_PALMS = ((0.085, -0.025, 0.0), (-0.085, -0.025, 0.0))
"""Middle of the skin of the left and the right palm from the wrist in the rest pose, a T with palms down; metres."""
_INNER_THIGH = -0.1
"""Metres above the pelvis in the rest pose: below it skin that faces the other leg is out of reach."""

_CANDIDATES, _NEAREST, _NEAR = 12_000, 24, 0.03
"""Recorded arms that are looked at, each also in a mirror; nearest ones among which one is drawn; metres by which a farther one
is drawn less often."""
_STEPS, _STEP_SIZE = 120, 0.03
_TOUCH, _DEPTH, _LIMIT, _STAY, _FACE = 0.01, 0.01, 0.05, 1.0, 3.0
"""Deviations: of a palm from its place and of depths (metres), of a joint from its limits and from the recorded arm (radians), of
palm and skin from facing each other (1 + cosine of their normals)."""


@dataclass(frozen=True)
class Touches:
    """Where hands shall lie, the left one first."""

    faces: Int64[Tensor, "people 2"]
    """Row of a face of the body; the place is its middle, and moves with the part that it follows."""
    active: Bool[Tensor, "people 2"]
    """Whether the hand shall lie there, or stay as it was recorded."""


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


class TouchBody:
    """The mean body, each part of which moves rigidly: joints, capsules, palms, and the faces of its skin."""

    def __init__(self, data: BodyModelData) -> None:
        self.capsules = CapsuleBody(data)
        self.rest = self.capsules.rest(data.template.new_zeros(1, data.shape_directions.shape[2]))
        corners = data.template[data.faces]
        across = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.areas = across.norm(dim=1) / 2
        self.normals = F.normalize(across, dim=1)
        self.middles = corners.mean(1)
        self.parts = self.capsules.part[data.faces].mode(1).values
        mirrored = self.middles * self.middles.new_tensor([-1.0, 1.0, 1.0])
        blocks = mirrored.split(1000)  # all distances at once would take 760 MB
        self.mirror = torch.cat([torch.cdist(block, self.middles).argmin(1) for block in blocks])
        moving = {*_HANDS, *(row for arm in _ARMS for row in arm[1:])}
        pairs = self.capsules.pairs
        self.pairs = pairs[[bool(moving & set(pair)) for pair in pairs.tolist()]]
        self.rest_depths = self.rest.depths(self.pairs).clamp_min(0)

    def draw_faces(self, count: int, generator: torch.Generator) -> Int64[Tensor, "count"]:
        """Places for left hands: parts by their shares, all skin of a part alike; then the inner sides of legs are left out."""
        shares = torch.tensor([_TOUCHED.get(joint, 0.0) for joint in SMPL_24.joints])
        areas = torch.zeros(len(SMPL_24)).index_add(0, self.parts, self.areas)
        is_inner = (self.middles[:, 1] < self.rest.starts[0, 0, 1] + _INNER_THIGH) & (
            self.normals[:, 0] * self.middles[:, 0] < 0
        )
        weights = shares[self.parts] / areas[self.parts] * self.areas * ~is_inner
        return torch.multinomial(weights, count, replacement=True, generator=generator)

    def posed(self, rotations: Float[Tensor, "people 24 3 3"]) -> Posed:
        """Joints of the mean body in these poses."""
        return Posed(*self.capsules.tree(rotations, self.rest.starts.expand(len(rotations), -1, -1)))

    def palms(self, posed: Posed) -> tuple[Float[Tensor, "people 2 3"], Float[Tensor, "people 2 3"]]:
        """Middle of both palms (metres), and the way that they face."""
        world, joints = posed.world[:, _WRISTS], posed.joints[:, _WRISTS]
        return joints + (world @ world.new_tensor(_PALMS)[..., None])[..., 0], -world[..., 1]

    def places(
        self, posed: Posed, faces: Int64[Tensor, "people 2"]
    ) -> tuple[Float[Tensor, "people 2 3"], Float[Tensor, "people 2 3"]]:
        """Middle of two faces of each body (metres), and the way that they face."""
        people, parts = torch.arange(len(faces))[:, None], self.parts[faces]
        from_joint = self.middles[faces] - self.rest.starts[0, parts]
        world, joints = posed.world[people, parts], posed.joints[people, parts]
        turned = world @ torch.stack([from_joint, self.normals[faces]], -1)
        return joints + turned[..., 0], turned[..., 1]

    def too_deep(self, posed: Posed) -> Float[Tensor, "people pairs"]:
        """By how much arms lie deeper in other parts than in the rest pose, metres."""
        depths = self.rest.moved(posed.world, posed.joints).depths(self.pairs)
        return (depths - self.rest_depths).clamp_min(0)


def touching_poses(
    library: PoseLibrary, body: TouchBody, limits: JointLimits, trials: int, generator: torch.Generator
) -> Float[Tensor, "people 24 3 3"]:
    """Of some trials those that come out, a half or so: every hand that shall touch does, and no arm passes through another part or
    is turned farther than motion capture shows. All but the arms is as recorded."""
    bases = torch.multinomial(library.weights, trials, replacement=True, generator=generator)
    rotations = axis_angle_to_matrix(library.poses[bases].unflatten(1, (24, 3)))
    touches = draw_touches(body, trials, generator)
    rotations = _with_nearest_arms(rotations, touches, library, body, generator)
    rotations = _bent(rotations, touches, body, limits)
    posed = body.posed(rotations)
    is_outside = (body.too_deep(posed) < DEEPEST_ARM).all(1)
    return rotations[_lie_there(posed, touches, body) & is_outside]


def draw_touches(body: TouchBody, count: int, generator: torch.Generator) -> Touches:
    """Places for one hand or both of each person."""
    left, other = body.draw_faces(count, generator), body.draw_faces(count, generator)
    kind = uniform(generator, 0, 1, count)
    right = body.mirror[torch.where(kind < _BOTH_ALIKE, left, other)]
    both, is_left = kind < _BOTH_ALIKE + _BOTH, chance(generator, 0.5, count)
    return Touches(torch.stack([left, right], 1), torch.stack([both | is_left, both | ~is_left], 1))


def _lie_there(posed: Posed, touches: Touches, body: TouchBody) -> Bool[Tensor, "people"]:
    """Whether every hand that shall touch does."""
    distances = (body.palms(posed)[0] - body.places(posed, touches.faces)[0]).norm(dim=-1)
    return ((distances < REACH) | ~touches.active).all(1)


def _with_nearest_arms(
    rotations: Float[Tensor, "people 24 3 3"],
    touches: Touches,
    library: PoseLibrary,
    body: TouchBody,
    generator: torch.Generator,
) -> Float[Tensor, "people 24 3 3"]:
    """The poses with recorded arms whose palms come near the places, as the chest sees both."""
    rows = torch.multinomial(library.weights, _CANDIDATES, replacement=True, generator=generator)
    recorded = axis_angle_to_matrix(library.poses[rows].unflatten(1, (24, 3)))
    recorded = torch.cat([recorded, mirrored_rotations(recorded)])
    posed = body.posed(recorded)
    palms = posed.from_chest(body.palms(posed)[0])
    posed = body.posed(rotations)
    places = posed.from_chest(body.places(posed, touches.faces)[0])
    result = rotations.clone()
    for hand, arm in enumerate(_ARMS):
        nearest = torch.cdist(places[:, hand], palms[:, hand]).topk(_NEAREST, largest=False)
        chances = torch.softmax(-(nearest.values / _NEAR).square(), 1)
        chosen = nearest.indices.gather(1, torch.multinomial(chances, 1, generator=generator))[:, 0]
        is_active = touches.active[:, hand, None, None, None]
        result[:, arm] = torch.where(is_active, recorded[chosen][:, arm], rotations[:, arm])
    return result


def _bent(
    rotations: Float[Tensor, "people 24 3 3"], touches: Touches, body: TouchBody, limits: JointLimits
) -> Float[Tensor, "people 24 3 3"]:
    """The poses with active arms turned, by gradient descent: palms to their places, within limits, out of other parts."""
    turns = torch.zeros(len(rotations), 2, len(_LEFT_ARM), 3, requires_grad=True)
    optimizer = torch.optim.Adam([turns], lr=_STEP_SIZE)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        moved = _turned(rotations, turns, touches)
        posed = body.posed(moved)
        (palms, facing), (places, normals) = body.palms(posed), body.places(posed, touches.faces)
        apart = ((palms - places) / _TOUCH).square().sum(-1) + (1 + (facing * normals).sum(-1)) / _FACE
        beyond = (moved - _with_arms_within(limits, moved.detach())) / _LIMIT
        deep = body.too_deep(posed) / _DEPTH
        energy = (apart * touches.active).sum() + sum(
            term.square().sum() for term in (turns / _STAY, beyond, deep)
        )
        energy.backward()
        optimizer.step()
    return _with_arms_within(limits, _turned(rotations, turns.detach(), touches))


def _with_arms_within(
    limits: JointLimits, rotations: Float[Tensor, "people 24 3 3"]
) -> Float[Tensor, "people 24 3 3"]:
    arms = [row for arm in _ARMS for row in arm]
    result = rotations.clone()
    result[:, arms] = limits.within(rotations)[:, arms]
    return result


def _turned(
    rotations: Float[Tensor, "people 24 3 3"], turns: Float[Tensor, "people 2 joints 3"], touches: Touches
) -> Float[Tensor, "people 24 3 3"]:
    active = turns * touches.active[..., None, None]
    moved = rotations.clone()
    for hand, arm in enumerate(_ARMS):
        moved[:, arm] = rotations[:, arm] @ axis_angle_to_matrix(active[:, hand])
    return moved
