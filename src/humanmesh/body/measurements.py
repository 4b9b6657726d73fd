"""What a tailor would measure on a body in its rest pose, a T: lengths, girths, volume.

The terms are those of ISO 8559-1:2017. Levels are found once on the template, at points of its surface that the
shape then carries along, so that a girth is taken at the same place of every body. Two differences from a tailor's
practice remain: the arms are stretched out sideways, which lifts the chest a little, and a body knows no breath.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from torch import Tensor

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SIX_PART_OF_SMPL_JOINT, SIX_PARTS, SMPL_24

BODY_DENSITY = 985.0
"""Kilograms per cubic metre of a living adult, air in the lungs included; people lie within about 5 % of it."""

_SIDEWARDS, _UP, _FORWARD = 0, 1, 2
_LEVELS = 40
"""Heights at which the template's narrowest place is looked for: 10 mm apart, where it changes by 1 mm."""


@dataclass(frozen=True)
class Measurements:
    """Sizes of one body, standing in its rest pose: y up, x to the person's left, z forward."""

    height: float
    """Stature (ISO 8559-1): metres from the soles to the crown, bare-headed and barefoot."""
    arm_span: float
    """Metres from finger tip to finger tip, arms and fingers stretched out sideways."""
    inside_leg: float
    """Inside leg height (ISO 8559-1): metres from the soles up to the crotch."""
    chest: float
    """Bust girth (ISO 8559-1): metres of a level tape at the foremost points of the chest."""
    waist: float
    """Metres of a level tape where the template is narrowest between hip and chest (the natural waist; ISO 8559-1
    takes the middle between lowest rib and hip bone, which no surface shows)."""
    hip: float
    """Hip girth (ISO 8559-1): metres of a level tape at the rearmost points of the buttocks."""
    volume: float
    """Cubic metres inside the skin."""

    def mass(self, density: float = BODY_DENSITY) -> float:
        """Kilograms, were the body of that density (kg per cubic metre); nothing weighs the person."""
        return self.volume * density


def measure(data: BodyModelData, shape: Float[Tensor, "shapes"]) -> Measurements:
    """Sizes of the body of that shape (standard deviations).

    Raises:
        ValueError: where the body's template is no standing person with a trunk, legs and arms.
    """
    template, directions, regressor = (
        values.detach().cpu().double()
        for values in (data.template, data.shape_directions, data.joint_regressor)
    )
    faces = data.faces.cpu().numpy()
    vertices = (template + directions @ shape.to(template)).numpy()
    marks = _Template(template.numpy(), faces, _parts(data), (regressor @ template).numpy())
    trunk = faces[~marks.is_arm]
    lowest, highest = vertices.min(0), vertices.max(0)
    return Measurements(
        height=float(highest[_UP] - lowest[_UP]),
        arm_span=_arm_span(data, vertices, regressor.numpy() @ vertices),
        inside_leg=float(marks.crotch.height_on(vertices) - lowest[_UP]),
        chest=girth(vertices, trunk, marks.chest.height_on(vertices)),
        waist=girth(vertices, trunk, marks.waist.height_on(vertices)),
        hip=girth(vertices, trunk, marks.hip.height_on(vertices)),
        volume=volume(vertices, faces),
    )


def _arm_span(
    data: BodyModelData, vertices: Float[np.ndarray, "vertices 3"], joints: Float[np.ndarray, "24 3"]
) -> float:
    """From knuckle to knuckle, and from both of them to the farthest finger tips, because fingers are bent in the rest pose."""
    hands = [SMPL_24.index["left_hand"], SMPL_24.index["right_hand"]]
    parts = data.skinning_weights.argmax(1).cpu().numpy()
    fingers = [
        np.linalg.norm(vertices[parts == hand] - joints[hand], axis=1).max(initial=0) for hand in hands
    ]
    return float(abs(np.subtract(*joints[hands, _SIDEWARDS])) + sum(fingers))


def girth(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], height: float
) -> float:
    """Length of a level tape round the faces at that height: the perimeter of their section's convex hull.

    Raises:
        ValueError: where the faces do not reach that height.
    """
    from scipy.spatial import ConvexHull  # half a second that whoever measures nobody is spared

    section = _section(vertices, faces, _UP, height).points_on(vertices)
    if len(section) < 3:
        raise ValueError(f"no surface at the height of {height:.3f} to lay a tape round")
    return float(ConvexHull(section[:, [_SIDEWARDS, _FORWARD]]).area)  # in the plane, `area` is the perimeter


def volume(vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"]) -> float:
    """What a closed surface encloses, by the divergence theorem; faces counter-clockwise seen from outside."""
    first, second, third = (vertices[faces[:, corner]] for corner in range(3))
    return float((first * np.cross(second, third)).sum() / 6)


@dataclass(frozen=True)
class _EdgePoints:
    """Points of a surface, each on an edge: they follow the surface wherever it goes."""

    ends: Int[np.ndarray, "points 2"]
    """Rows of the vertices at both ends."""
    shares: Float[np.ndarray, "points"]
    """0 at the first end, 1 at the second."""

    def points_on(self, vertices: Float[np.ndarray, "vertices 3"]) -> Float[np.ndarray, "points 3"]:
        """Where they are on a surface of the same topology."""
        first, second = vertices[self.ends[:, 0]], vertices[self.ends[:, 1]]
        return first + self.shares[:, None] * (second - first)

    def height_on(self, vertices: Float[np.ndarray, "vertices 3"]) -> float:
        """Their mean height on a surface of the same topology."""
        return float(self.points_on(vertices)[:, _UP].mean())

    def where(self, kept: Bool[np.ndarray, "points"]) -> "_EdgePoints":
        """Some of them."""
        return _EdgePoints(self.ends[kept], self.shares[kept])


def _section(
    vertices: Float[np.ndarray, "vertices 3"], faces: Int[np.ndarray, "faces 3"], axis: int, level: float
) -> _EdgePoints:
    """Where the edges of the faces cross the plane on which the coordinate `axis` has the value `level`."""
    edges = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    above = vertices[edges, axis] - level
    crosses = (above[:, 0] > 0) != (above[:, 1] > 0)
    edges, above = edges[crosses], above[crosses]
    return _EdgePoints(edges, above[:, 0] / (above[:, 0] - above[:, 1]))


@dataclass(frozen=True)
class _Template:
    """The template, and the places on it where the tape goes."""

    vertices: Float[np.ndarray, "vertices 3"]
    faces: Int[np.ndarray, "faces 3"]
    parts: Int[np.ndarray, "faces"]
    """Row of `SIX_PARTS` for each face."""
    joints: Float[np.ndarray, "24 3"]

    @cached_property
    def is_arm(self) -> Bool[np.ndarray, "faces"]:
        """Faces of both arms, from the shoulder joint on."""
        return np.isin(self.parts, [SIX_PARTS.index("left_arm"), SIX_PARTS.index("right_arm")])

    @cached_property
    def crotch(self) -> _EdgePoints:
        """The lowest point of the middle plane, which no leg of the template touches."""
        middle = _section(self.vertices, self.faces, _SIDEWARDS, self._joint("pelvis")[_SIDEWARDS])
        heights = middle.points_on(self.vertices)[:, _UP]
        if not len(heights):
            raise ValueError("the body has no surface in its middle plane, so no crotch to measure from")
        return middle.where(heights == heights.min())

    @cached_property
    def hip(self) -> _EdgePoints:
        """The rearmost points between the crotch and the first joint of the spine."""
        return self._extreme(self.crotch.height_on(self.vertices), self._joint("spine1")[_UP], -1)

    @cached_property
    def waist(self) -> _EdgePoints:
        """The ring where the trunk is narrowest between the hip and the armpits."""
        trunk = self.faces[~self.is_arm]
        heights = np.linspace(self.hip.height_on(self.vertices), self._armpit, _LEVELS)
        narrowest = heights[np.argmin([girth(self.vertices, trunk, height) for height in heights])]
        return _section(self.vertices, trunk, _UP, narrowest)

    @cached_property
    def chest(self) -> _EdgePoints:
        """The foremost points between the waist and the armpits."""
        return self._extreme(self.waist.height_on(self.vertices), self._armpit, 1)

    @cached_property
    def _armpit(self) -> float:
        """Height of the lowest points of the arms."""
        if not self.is_arm.any():
            raise ValueError("the body has no arms, so no armpits to measure below")
        return float(self.vertices[self.faces[self.is_arm], _UP].min())

    def _joint(self, name: str) -> Float[np.ndarray, "3"]:
        return self.joints[SMPL_24.index[name]]

    def _extreme(self, low: float, high: float, sign: int) -> _EdgePoints:
        """The vertices of the trunk, one on each side, farthest forward (sign 1) or back (-1) between two heights."""
        rows = np.unique(self.faces[~self.is_arm])
        points = self.vertices[rows]
        sideward = points[:, _SIDEWARDS] - self._joint("pelvis")[_SIDEWARDS]
        is_between = (points[:, _UP] > low) & (points[:, _UP] < high)
        sides = [rows[is_between & (side * sideward >= 0)] for side in (-1, 1)]
        if not all(map(len, sides)):
            raise ValueError(f"the body has no trunk between the heights {low:.3f} and {high:.3f}")
        chosen = [some[np.argmax(sign * self.vertices[some, _FORWARD])] for some in sides]
        return _EdgePoints(np.array([chosen, chosen]).T, np.zeros(2))


def _parts(data: BodyModelData) -> Int[np.ndarray, "faces"]:
    """Row of `SIX_PARTS` for each face: that of the joint whose share in its corners is largest."""
    joints = data.face_parts
    if joints is None:
        joints = data.skinning_weights[data.faces].sum(1).argmax(1)
    return np.array(SIX_PART_OF_SMPL_JOINT)[joints.cpu().numpy()]
