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

from humanmesh.body.joint_limits import JointLimits
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.hands import hands_of
from humanmesh.data.reaching import DEEPEST_ARM, Goal, Posed, ReachingBody, reaching
from humanmesh.data.synthetic_draws import chance, uniform
from humanmesh.data.synthetic_poses import PoseLibrary, frames

REACH = 0.04
"""Metres: a palm farther from its place does not touch."""

_TOUCHED = {
    "pelvis": 3.0, "left_hip": 3.0, "spine1": 1.0, "spine2": 1.0, "spine3": 2.5, "neck": 1.5, "head": 2.5, "left_knee": 0.8,
    "right_hip": 1.0, "right_shoulder": 1.5, "right_elbow": 1.0, "left_shoulder": 0.7, "right_hand": 1.0,
}  # fmt: skip
"""Parts on which a left hand is put, and how often, relative to each other."""
_BOTH_ALIKE, _BOTH = 0.4, 0.25
"""Shares of people with both hands at mirrored places, and at two places; of the others one hand touches."""
_INNER_THIGH = -0.1
"""Metres above the pelvis in the rest pose: below it skin that faces the other leg is out of reach."""
_TOUCH, _FACE = 0.01, 3.0
"""Deviations: of a palm from its place (metres), of palm and skin from facing each other (1 + cosine of their normals)."""


@dataclass(frozen=True)
class Touches:
    """Where hands shall lie, the left one first."""

    faces: Int64[Tensor, "people 2"]
    """Row of a face of the body; the place is its middle, and moves with the part that it follows."""
    active: Bool[Tensor, "people 2"]
    """Whether the hand shall lie there, or stay as it was recorded."""


class TouchBody(ReachingBody):
    """The mean body with the faces of its skin."""

    def __init__(self, data: BodyModelData) -> None:
        super().__init__(data)
        corners = data.template[data.faces]
        across = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self.areas = across.norm(dim=1) / 2
        self.normals = F.normalize(across, dim=1)
        self.middles = corners.mean(1)
        self.parts = self.capsules.part[data.faces].mode(1).values
        mirrored = self.middles * self.middles.new_tensor([-1.0, 1.0, 1.0])
        blocks = mirrored.split(1000)  # all distances at once would take 760 MB
        self.mirror = torch.cat([torch.cdist(block, self.middles).argmin(1) for block in blocks])

    def draw_faces(self, count: int, generator: torch.Generator) -> Int64[Tensor, "count"]:
        """Places for left hands: parts by their shares, all skin of a part alike; then the inner sides of legs are left out."""
        shares = torch.tensor([_TOUCHED.get(joint, 0.0) for joint in SMPL_24.joints])
        areas = torch.zeros(len(SMPL_24)).index_add(0, self.parts, self.areas)
        is_inner = (self.middles[:, 1] < self.rest.starts[0, 0, 1] + _INNER_THIGH) & (
            self.normals[:, 0] * self.middles[:, 0] < 0
        )
        weights = shares[self.parts] / areas[self.parts] * self.areas * ~is_inner
        return torch.multinomial(weights, count, replacement=True, generator=generator)

    def places(
        self, posed: Posed, faces: Int64[Tensor, "people 2"]
    ) -> tuple[Float[Tensor, "people 2 3"], Float[Tensor, "people 2 3"]]:
        """Middle of two faces of each body (metres), and the way that they face."""
        people, parts = torch.arange(len(faces))[:, None], self.parts[faces]
        from_joint = self.middles[faces] - self.rest.starts[0, parts]
        world, joints = posed.world[people, parts], posed.joints[people, parts]
        turned = world @ torch.stack([from_joint, self.normals[faces]], -1)
        return joints + turned[..., 0], turned[..., 1]


def touching_poses(
    library: PoseLibrary, body: TouchBody, limits: JointLimits, trials: int, generator: torch.Generator
) -> Float[Tensor, "people 24 3 3"]:
    """Of some trials those that come out, a half or so: every hand that shall touch does, no arm passes through another part, and
    shoulders, elbows and wrists are turned no farther than motion capture shows. All but the arms is as recorded."""
    rotations = frames(library, trials, generator)
    touches = draw_touches(body, trials, generator)
    rotations = reaching(rotations, _goal(touches, body), library, body, limits, generator)
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


def _goal(touches: Touches, body: TouchBody) -> Goal:
    """Palms on the skin, which they face."""

    def misses(posed: Posed) -> Float[Tensor, "people 2"]:
        hands, (places, normals) = hands_of(posed.world, posed.joints), body.places(posed, touches.faces)
        apart = ((hands.palms - places) / _TOUCH).square().sum(-1)
        return apart + (1 + (hands.facing * normals).sum(-1)) / _FACE

    return Goal(touches.active, lambda posed: body.places(posed, touches.faces)[0], misses)


def _lie_there(posed: Posed, touches: Touches, body: TouchBody) -> Bool[Tensor, "people"]:
    """Whether every hand that shall touch does."""
    places = body.places(posed, touches.faces)[0]
    distances = (hands_of(posed.world, posed.joints).palms - places).norm(dim=-1)
    return ((distances < REACH) | ~touches.active).all(1)
