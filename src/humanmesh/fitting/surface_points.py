"""91 named points on the skin of any body with SMPL's structure, as one more keypoint set, "surface91".

Lassner et al. 2017 ("Unite the People") fit bodies to 91 points of SMPL's surface, whose list is bound to SMPL's mesh.
These follow a rule instead, so every body has them: each of the 24 parts gets a fixed number of points, each point the
vertex of its part that is farthest, on the rest body, from all points before it; what is chosen on the left is mirrored.
"""

import math
from dataclasses import replace

import torch
from jaxtyping import Float64, Int64
from torch import Tensor

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24, Skeleton
from humanmesh.errors import BadInputError

_PAIRS_OF_LIMB = {
    "hip": 6, "knee": 5, "ankle": 3, "foot": 3, "collar": 2, "shoulder": 5, "elbow": 4, "wrist": 3, "hand": 4,
}  # fmt: skip
"""Points on the left (and on the right) of each part of the limbs."""
_PAIRS_OF_TRUNK = {"pelvis": 1, "spine1": 1, "spine2": 1, "spine3": 2, "neck": 1, "head": 2}
"""Points on the left (and on the right) of each part in the middle."""
_ON_MIDLINE = ("pelvis", "spine1", "spine2", "spine3", "head")
"""Parts with one more point, in the plane that mirrors the body."""
_MIDLINE_WIDTH = 0.002
"""Metres: a vertex as near to the mirror's plane as the part's nearest one, up to this, lies in it."""


def _names() -> tuple[str, ...]:
    names: list[str] = list(_ON_MIDLINE)
    for part, pairs in {**_PAIRS_OF_TRUNK, **_PAIRS_OF_LIMB}.items():
        names += [f"{side}_{part}_{number}" for number in range(1, pairs + 1) for side in ("left", "right")]
    return tuple(names)


SURFACE_91 = Skeleton("surface91", _names())
"""Named by side, part of SMPL's 24 and number; a part's name alone is its point on the midline."""


def with_surface_points(data: BodyModelData) -> BodyModelData:
    """The same body with the keypoint set "surface91", a one per row of its regressor.

    Raises:
        BadInputError: where a part has fewer vertices than points.
    """
    rows = surface_vertices(data)
    regressor = data.template.new_zeros(len(SURFACE_91), len(data.template))
    regressor[torch.arange(len(SURFACE_91)), rows] = 1
    return replace(data, keypoint_regressors={**data.keypoint_regressors, SURFACE_91.name: regressor})


def surface_vertices(data: BodyModelData) -> Int64[Tensor, "91"]:
    """Vertex of each point, in the order of `SURFACE_91`.

    Raises:
        BadInputError: where a part has fewer vertices than points.
    """
    search = _Search(data)
    found: dict[str, int] = {part: search.on_midline(part) for part in _ON_MIDLINE}
    for part, pairs in {**_PAIRS_OF_TRUNK, **_PAIRS_OF_LIMB}.items():
        for number in range(1, pairs + 1):
            found[f"left_{part}_{number}"], found[f"right_{part}_{number}"] = search.pair(part)
    return torch.tensor([found[name] for name in SURFACE_91.joints])


class _Search:
    """Chooses vertex after vertex; each is the farthest of its part from those before it."""

    def __init__(self, data: BodyModelData) -> None:
        self.body = data.name
        self.points: Float64[Tensor, "vertices 3"] = data.template.detach().cpu().double()
        self.part = data.skinning_weights.argmax(1).cpu()
        self.distance = (self.points - self.points.mean(0)).norm(dim=1)
        self.is_first = True

    def on_midline(self, part: str) -> int:
        rows = self._rows(part)
        offset = self.points[rows, 0].abs()
        return self._take(rows[offset <= offset.min() + _MIDLINE_WIDTH])

    def pair(self, part: str) -> tuple[int, int]:
        """A vertex on the left and the one nearest to its mirror image."""
        if part in SMPL_24.index:
            rows = self._rows(part)
            is_left = self.points[rows, 0] > 0
            left_rows, right_rows = rows[is_left], rows[~is_left]
        else:
            left_rows, right_rows = self._rows(f"left_{part}"), self._rows(f"right_{part}")
        # Both of the pair come at once, so a vertex near the mirror's plane is near its partner.
        left = self._take(left_rows, 2 * self.points[left_rows, 0])
        mirrored = self.points[left] * self.points.new_tensor([-1, 1, 1])
        nearest = (self.points[right_rows] - mirrored).norm(dim=1).argmin()
        return left, self._take(right_rows[nearest][None])

    def _rows(self, part: str) -> Int64[Tensor, "vertices"]:
        return (self.part == SMPL_24.index[part]).nonzero().squeeze(1)

    def _take(
        self, rows: Int64[Tensor, "vertices"], most: Float64[Tensor, "vertices"] | float = math.inf
    ) -> int:
        distance = self.distance[rows].clamp_max(most)
        if not len(rows) or not bool(distance.max() > 0):
            found = "a part with fewer vertices than it should have points"
            raise BadInputError(f"Surface points of the body {self.body}", found, "Use a finer mesh.")
        vertex = int(rows[distance.argmax()])
        to_vertex = (self.points - self.points[vertex]).norm(dim=1)
        self.distance = to_vertex if self.is_first else torch.minimum(self.distance, to_vertex)
        self.is_first = False
        return vertex
