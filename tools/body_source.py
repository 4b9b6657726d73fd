"""What the free body is made from: adults of Anny, posed into SMPL's T.

Anny (PyPI `anny`): code Apache-2.0, body data CC0 (MakeHuman, MPFB2). Only its own topology is used here; the SMPL
and SMPL-X topologies that it can download are for non-commercial use and stay out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import anny
import torch
from anny.face_segmentation import get_face_segmentation_mask
from anny.shape_distribution import SimpleShapeDistribution
from torch import Tensor

# Anny: z up, the face toward -y, x to the person's left. SMPL: y up, z forward.
_BODY_FROM_ANNY = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]], dtype=torch.float64)
_SIDES = {"L": 1.0, "R": -1.0}
_CHUNK = 50


@dataclass(frozen=True)
class Adults:
    """Sampled adults in the T, pelvis at the origin, body frame."""

    vertices: Tensor
    """(adults, vertices, 3), metres, of the skin in the vertex order of Anny; fingers stretched and spread."""
    relaxed: Tensor
    """The same with fingers bent a little and side by side, as hands hang or hold."""
    heads: Tensor
    """(adults, bones, 3), metres: where each bone of the rig begins."""
    heights: Tensor
    """(adults,), metres, standing as Anny stands at rest."""


class AnnySource:
    """The adult bodies of Anny with its full MakeHuman rig, in SMPL's frame."""

    def __init__(self) -> None:
        self.model = anny.Anny(
            rig="makehuman",
            topology="anny-quads",
            local_changes="none",
            facial_actions="none",
            phenotypes="default",
            skinning_method="lbs",
        ).to(dtype=torch.float64)
        self.bones: list[str] = list(self.model.bone_labels)
        self.quads: Tensor = self.model.faces
        weights = torch.zeros(len(self.model.template_vertices), len(self.bones), dtype=torch.float64)
        self.weights = weights.scatter_add(1, self.model.vertex_bone_indices, self.model.vertex_bone_weights)

    @cached_property
    def coco_regressor(self) -> dict[str, Tensor]:
        """Anny's own COCO keypoints: name -> (vertices,), as they ship."""
        regressor = anny.KeypointsRegressor.coco(self.model)
        return dict(zip(regressor.labels, regressor.regression_weights, strict=True))

    def quads_of(self, parts: Sequence[str]) -> Tensor:
        """(quads,) whether each quad belongs to one of these parts of Anny's segmentation."""
        return get_face_segmentation_mask(self.model, list(parts))

    def sample_adults(self, count: int, seed: int) -> Adults:
        """Adults aged 16 to 80, uniform in age and gender, the rest as Anny is calibrated."""
        ages = torch.distributions.Uniform(
            torch.tensor(16.0, dtype=torch.float64), torch.tensor(80.0, dtype=torch.float64)
        )
        # torch.distributions draws from the global generator; the fork leaves that as it was.
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            _, phenotypes = SimpleShapeDistribution(self.model, ages).sample(count)
        columns = torch.stack([phenotypes[label] for label in self.model.phenotype_labels], dim=1)
        chunks = [self._in_the_t(chunk) for chunk in columns.split(_CHUNK)]
        return Adults(*(torch.cat(values) for values in zip(*chunks, strict=True)))

    def _in_the_t(self, phenotypes: Tensor) -> tuple[Tensor, ...]:
        rest = self.model(phenotype_kwargs=phenotypes)
        vertices = rest["rest_vertices"] @ _BODY_FROM_ANNY.T
        heads = rest["rest_bone_heads"] @ _BODY_FROM_ANNY.T
        posed, posed_heads = self._posed(vertices, heads, self._t_rotations(heads, relaxed=False))
        relaxed, _ = self._posed(vertices, heads, self._t_rotations(heads, relaxed=True))
        pelvis = posed_heads[:, self.bones.index("pelvis.L")].clone()
        pelvis[:, 0] = 0
        heights = vertices[..., 1].amax(1) - vertices[..., 1].amin(1)
        return *((points - pelvis[:, None]).float() for points in (posed, relaxed, posed_heads)), heights

    def _posed(self, vertices: Tensor, heads: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
        """Vertices and bone heads under these world rotations, metres."""
        posed_heads = self._chain(heads, rotations)
        offsets = posed_heads - (rotations @ heads[..., None]).squeeze(-1)
        posed = torch.zeros_like(vertices)
        for group in self._rigid_groups:
            share = self.weights[:, group].sum(1)
            touched = share.nonzero().squeeze(1)
            moved = vertices[:, touched] @ rotations[:, group[0]].mT + offsets[:, group[0], None]
            posed[:, touched] += share[touched, None] * moved
        return posed, posed_heads

    def _chain(self, heads: Tensor, rotations: Tensor) -> Tensor:
        """Posed bone heads: each stays where it is in the frame of its parent."""
        posed = [heads[:, 0]]
        for bone, parent in enumerate(self.model.bone_parents[1:], start=1):
            offset = (rotations[:, parent] @ (heads[:, bone] - heads[:, parent])[..., None]).squeeze(-1)
            posed.append(posed[parent] + offset)
        return torch.stack(posed, dim=1)

    @cached_property
    def _turned_bone(self) -> list[str | None]:
        """For each bone, the nearest bone at or above it that the T turns."""
        turned: list[str | None] = []
        for bone, parent in zip(self.bones, self.model.bone_parents, strict=True):
            stem = bone.split(".")[0]
            turned.append(bone if stem in _TURNED else turned[parent] if parent >= 0 else None)
        return turned

    @cached_property
    def _rigid_groups(self) -> list[list[int]]:
        """Bones that move as one: the same rotation and no joint turned between them."""
        groups: dict[str | None, list[int]] = {}
        for bone, turned in enumerate(self._turned_bone):
            groups.setdefault(turned, []).append(bone)
        return list(groups.values())

    def _t_rotations(self, heads: Tensor, *, relaxed: bool) -> Tensor:
        """(adults, bones, 3, 3) world rotations that take the rest pose to the T, with stretched or relaxed fingers."""
        world = {None: torch.eye(3, dtype=torch.float64).expand(len(heads), 3, 3)}
        for side, sign in _SIDES.items():
            for stem, rotation in self._side_rotations(heads, side, sign).items():
                world[f"{stem}.{side}"] = rotation
            palm = world[f"wrist.{side}"]
            for stem, rotation in self._finger_rotations(heads, palm, side, sign).items():
                world[f"{stem}.{side}"] = rotation if relaxed else palm
        return torch.stack([world[turned] for turned in self._turned_bone], dim=1)

    def _finger_rotations(self, heads: Tensor, palm: Tensor, side: str, sign: float) -> dict[str, Tensor]:
        """World rotations of the fingers' bones; `palm` (adults, 3, 3) is the hand's, in which it lies flat in the T."""
        down = torch.tensor([0.0, -1, 0], dtype=torch.float64)
        world = {}
        for finger, (spread, *bends) in _RELAXED.items():
            first, second = (heads[:, self.bones.index(f"finger{finger}-{bone}.{side}")] for bone in (1, 2))
            along = (palm @ (second - first)[..., None]).squeeze(-1)
            yaw, bend = torch.tensor([spread, bends[0]], dtype=torch.float64).deg2rad()
            target = torch.stack([sign * yaw.cos() * bend.cos(), -bend.sin(), yaw.sin() * bend.cos()])
            rotation = _shortest_turn(along / along.norm(dim=1, keepdim=True), target) @ palm
            hinge = torch.linalg.cross(target, down)
            hinge = hinge / hinge.norm()
            world[f"finger{finger}-1"] = rotation
            for bone, more in enumerate(bends[1:], start=2):
                rotation = _rotation_about((hinge * more).deg2rad()[None]) @ rotation
                world[f"finger{finger}-{bone}"] = rotation
        thumb = _rotation_about(
            torch.tensor([[_THUMB[0], sign * _THUMB[1], 0]], dtype=torch.float64).deg2rad()
        )
        return world | {f"finger1-{bone}": thumb @ palm for bone in (1, 2, 3)}

    def _side_rotations(self, heads: Tensor, side: str, sign: float) -> dict[str, Tensor]:
        def along(start: str, end: str) -> Tensor:
            begin, stop = (heads[:, self.bones.index(f"{name}.{side}")] for name in (start, end))
            return (stop - begin) / (stop - begin).norm(dim=1, keepdim=True)

        outward = torch.tensor([sign, 0, 0], dtype=torch.float64)
        down, forward = (torch.tensor(axis, dtype=torch.float64) for axis in ([0.0, -1, 0], [0.0, 0, 1]))
        upper, fore = along("upperarm01", "lowerarm01"), along("lowerarm01", "wrist")
        hand = along("wrist", "finger3-1")
        # The elbow bends a little at rest: that plane becomes the horizontal one, so that the elbow's hinge is y.
        upper_arm = _turn(upper, fore, outward, forward)
        forearm = _turn(fore, -upper, outward, forward)
        palm_down = _turn(hand, along("finger5-1", "finger2-1"), outward, forward)
        thigh = _shortest_turn(along("upperleg01", "lowerleg01"), down)
        shin = _shortest_turn(along("lowerleg01", "foot"), down)
        shoulder_raise = torch.full((len(heads), 1), _CLAVICLE_RAISE, dtype=torch.float64).deg2rad()
        clavicle = _rotation_about(torch.tensor([0, 0, sign], dtype=torch.float64) * shoulder_raise)
        upper_swing = _shortest_turn(upper, outward)
        return {
            "clavicle": clavicle,
            "upperarm01": _between(upper_swing, upper_arm, 0.5),
            "upperarm02": upper_arm,
            "lowerarm01": _between(forearm, _same_axis(forearm, palm_down, fore), 1 / 3),
            "lowerarm02": _between(forearm, _same_axis(forearm, palm_down, fore), 2 / 3),
            "wrist": palm_down,
            "upperleg01": thigh,
            "lowerleg01": shin,
            "foot": torch.eye(3, dtype=torch.float64).expand(len(heads), 3, 3),
        }


_TURNED = frozenset({
    "clavicle", "upperarm01", "upperarm02", "lowerarm01", "lowerarm02", "wrist",
    "upperleg01", "lowerleg01", "foot",
    *(f"finger{finger}-{bone}" for finger in range(1, 6) for bone in range(1, 4)),
})  # fmt: skip
"""Bones, without their side, that the T turns by themselves; the others follow."""
_RELAXED = {2: (6.0, 15, 22, 11), 3: (1.0, 18, 26, 13), 4: (-4.0, 21, 28, 14), 5: (-10.0, 24, 30, 14)}
"""Fingers from the index to the little one: degrees from straight on toward the thumb; down from the palm, and at the next two joints."""
_THUMB = (22.0, 12.0)
"""Degrees by which the thumb is turned down from the palm's plane, and toward the index finger."""
_CLAVICLE_RAISE = 15.0  # degrees; SMPL's shoulders stand above its collar joints in the T


def _frame(first: Tensor, second: Tensor) -> Tensor:
    """(batch, 3, 3) orthonormal columns: `first`, then what of `second` is perpendicular to it."""
    first = first / first.norm(dim=-1, keepdim=True)
    second = second - (second * first).sum(-1, keepdim=True) * first
    second = second / second.norm(dim=-1, keepdim=True)
    return torch.stack([first, second, torch.linalg.cross(first, second)], dim=-1)


def _turn(first: Tensor, second: Tensor, to_first: Tensor, to_second: Tensor) -> Tensor:
    """Rotation that takes `first` to `to_first` and `second` as near as it can to `to_second`."""
    return _frame(to_first.expand_as(first), to_second.expand_as(first)) @ _frame(first, second).mT


def _shortest_turn(direction: Tensor, target: Tensor) -> Tensor:
    axis = torch.linalg.cross(direction, target.expand_as(direction))
    sine = axis.norm(dim=-1, keepdim=True)
    angle = torch.atan2(sine, (direction * target).sum(-1, keepdim=True))
    return _rotation_about(axis / sine.clamp_min(1e-12) * angle)


def _rotation_about(axis_angle: Tensor) -> Tensor:
    x, y, z = axis_angle.unbind(-1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))
    return torch.linalg.matrix_exp(cross)


def _same_axis(forearm: Tensor, palm_down: Tensor, fore: Tensor) -> Tensor:
    """The hand's rotation, but swung so that the forearm keeps its direction: only the twist differs."""
    target = (forearm @ fore[..., None]).squeeze(-1)
    swung = (palm_down @ fore[..., None]).squeeze(-1)
    return _shortest_turn(swung, target) @ palm_down


def _between(start: Tensor, end: Tensor, share: float) -> Tensor:
    """The rotation `share` of the way from start to end, by the shortest turn."""
    relative = end @ start.mT
    vector = torch.stack(
        [
            relative[:, 2, 1] - relative[:, 1, 2],
            relative[:, 0, 2] - relative[:, 2, 0],
            relative[:, 1, 0] - relative[:, 0, 1],
        ],
        dim=-1,
    )
    sine = vector.norm(dim=-1, keepdim=True)
    trace = relative.diagonal(dim1=-2, dim2=-1).sum(-1, keepdim=True)
    angle = torch.atan2(sine, trace - 1)
    return _rotation_about(vector / sine.clamp_min(1e-12) * angle * share) @ start
