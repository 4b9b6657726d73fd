"""The body's parts as capsules, to tell how deep they lie in each other.

A capsule is all that lies within a radius of a segment. Each of the 24 parts gets one: its segment runs from the part's
joint through the middle of its vertices as far again, and its radius is their mean distance from that segment.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24
from humanmesh.body.skinning import KinematicTree

_TRUNK = ("pelvis", "spine1", "spine2", "spine3", "neck", "left_collar", "right_collar")
"""Parts of one soft piece: they are not compared with each other."""


@dataclass(frozen=True)
class PosedCapsules:
    """The capsules of some people's parts."""

    starts: Float[Tensor, "people parts 3"]
    """Metres."""
    ends: Float[Tensor, "people parts 3"]
    radii: Float[Tensor, "people parts"]

    def depths(self, pairs: Int64[Tensor, "pairs 2"]) -> Float[Tensor, "people pairs"]:
        """How deep two parts lie in each other, metres; negative where there is air between them."""
        first, second = pairs.unbind(1)
        gap = segment_distance(
            self.starts[:, first], self.ends[:, first], self.starts[:, second], self.ends[:, second]
        )
        return self.radii[:, first] + self.radii[:, second] - gap

    def moved(
        self, world: Float[Tensor, "people parts 3 3"], joints: Float[Tensor, "people parts 3"]
    ) -> "PosedCapsules":
        """These of the rest pose, of each person or of one body for all, turned by `world` and begun at the joints (metres)."""
        turned = (world @ (self.ends - self.starts)[..., None]).squeeze(-1)
        return PosedCapsules(joints, joints + turned, self.radii.expand(len(joints), -1))


def segment_distance(
    start_a: Float[Tensor, "*batch 3"],
    end_a: Float[Tensor, "*batch 3"],
    start_b: Float[Tensor, "*batch 3"],
    end_b: Float[Tensor, "*batch 3"],
) -> Float[Tensor, "*batch"]:
    """Shortest distance between two segments (Ericson, "Real-Time Collision Detection", 2005, section 5.1.9).

    The nearest points lie inside both segments, or one of them is an end; the least of these five distances is taken.
    """
    along_a, along_b, between = end_a - start_a, end_b - start_b, start_a - start_b
    aa, bb, ab = _dot(along_a, along_a), _dot(along_b, along_b), _dot(along_a, along_b)
    a_between, b_between = _dot(along_a, between), _dot(along_b, between)
    determinant = aa * bb - ab.square()
    is_parallel = determinant <= 1e-9 * aa * bb
    safe = torch.where(is_parallel, 1.0, determinant)
    s = (ab * b_between - a_between * bb) / safe
    t = (aa * b_between - ab * a_between) / safe
    is_inside = ~is_parallel & (s >= 0) & (s <= 1) & (t >= 0) & (t <= 1)
    inner = (between + s[..., None] * along_a - t[..., None] * along_b).norm(dim=-1)
    at_ends = torch.stack([
        _distance_from_segment(start_a, start_b, along_b),
        _distance_from_segment(end_a, start_b, along_b),
        _distance_from_segment(start_b, start_a, along_a),
        _distance_from_segment(end_b, start_a, along_a),
    ]).amin(0)  # fmt: skip
    return torch.where(is_inside, inner, at_ends)


def _dot(first: Float[Tensor, "*batch 3"], second: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch"]:
    return (first * second).sum(-1)


def _distance_from_segment(
    point: Float[Tensor, "*batch 3"], start: Float[Tensor, "*batch 3"], along: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch"]:
    smallest = torch.finfo(point.dtype).tiny
    share = (_dot(point - start, along) / _dot(along, along).clamp_min(smallest)).clamp(0, 1)
    return (point - start - share[..., None] * along).norm(dim=-1)


class CapsuleBody:
    """A body whose parts are capsules."""

    def __init__(self, data: BodyModelData) -> None:
        self.data = data
        self.tree = KinematicTree(data.parents).to(data.template)
        part = data.skinning_weights.argmax(1)
        shares = torch.nn.functional.one_hot(part, len(data.parents)).to(data.template).T
        self.part = part
        self.mean_over_part = shares / shares.sum(1, keepdim=True).clamp_min(1)

    @cached_property
    def pairs(self) -> Int64[Tensor, "pairs 2"]:
        """Parts that are compared: those that share no joint, the trunk being one piece, and have vertices."""
        parts = [row for row in range(len(self.data.parents)) if self.mean_over_part[row].any()]
        apart = [(a, b) for a in parts for b in parts if b < a and self._bones_between(a, b) > 1]
        return torch.tensor(apart, device=self.part.device)

    def _bones_between(self, first: int, second: int) -> int:
        """Bones on the way from one joint to another; those within the trunk do not count."""
        way = set(self._to_root(first)) ^ set(self._to_root(second))
        return sum(
            not {SMPL_24.joints[row], SMPL_24.joints[self.data.parents[row]]} <= set(_TRUNK) for row in way
        )

    def _to_root(self, joint: int) -> list[int]:
        """The joint and all above it."""
        path = []
        while joint >= 0:
            path.append(joint)
            joint = self.data.parents[joint]
        return path

    def rest(self, shape: Float[Tensor, "people shapes"]) -> PosedCapsules:
        """The capsules of the rest pose."""
        vertices = self.data.rest_vertices(shape)
        starts = self.data.joint_regressor @ vertices
        ends = 2 * (self.mean_over_part @ vertices) - starts
        along = (ends - starts)[:, self.part]
        distances = _distance_from_segment(vertices, starts[:, self.part], along)
        return PosedCapsules(starts, ends, distances @ self.mean_over_part.T)

    def posed(self, rest: PosedCapsules, rotations: Float[Tensor, "people 24 3 3"]) -> PosedCapsules:
        """The capsules of the rest pose moved as the joints move."""
        world, joints = self.tree(rotations, rest.starts)
        return rest.moved(world, joints)

    def deepest(
        self, rotations: Float[Tensor, "people 24 3 3"], shape: Float[Tensor, "people shapes"]
    ) -> Float[Tensor, "people"]:
        """How much deeper the worst pair of parts lies in each other than in the rest pose, metres; 0 if none does."""
        rest = self.rest(shape)
        before = rest.depths(self.pairs).clamp_min(0)
        after = self.posed(rest, rotations).depths(self.pairs)
        return (after - before).amax(1).clamp_min(0)
