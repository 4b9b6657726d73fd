"""The true silhouette as evidence: SMPLify's "oracle" in Kanazawa et al. 2018 (Lassner et al. 2017, eq. 3).

Distances go both ways. Points of the body's surface that are seen outside the mask are drawn to it; every point of the
mask's outline is drawn to by the surface point that is seen nearest to it.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import ndimage
from torch import Tensor

from humanmesh.body.model import KeypointBody
from humanmesh.body.parameters import BodyModelData
from humanmesh.errors import BadInputError
from humanmesh.fitting.energy import (
    BodyState,
    DataWeights,
    posed_points,
    projected,
    robust_term,
)
from humanmesh.fitting.solver import Quadratic
from humanmesh.geometry.cameras import PerspectiveCamera

SURFACE_POINTS = 600
"""Vertices of the body that are compared with the mask."""
OUTLINE_POINTS = 150
"""Points of the mask's outline that are compared with the body."""
_GRID = 128
"""Cells on a side of the grid of distances, over twice the side of the mask's box."""
_WORTH = 40.0
"""Independent measurements that each of the two directions counts for, however many points there are."""


@dataclass(frozen=True)
class Silhouette:
    """Masks of people in photos, prepared for distances."""

    distances: Float[Tensor, "batch cells cells"]
    """Pixels from the middle of a cell to the mask; 0 inside."""
    corner: Float[Tensor, "batch 2"]
    """Photo pixel of the grid's upper left corner."""
    cell: Float[Tensor, "batch"]
    """Side of a cell in photo pixels."""
    outline: Float[Tensor, "batch samples 2"]
    """Photo pixels of points on the outline."""

    def sampled(
        self, points: Float[Tensor, "batch points 2"]
    ) -> tuple[Float[Tensor, "batch points"], Float[Tensor, "batch points 2"]]:
        """Distance to the mask at photo pixels (bilinear), and its derivative; at the grid's edge beyond the grid."""
        side = self.distances.shape[1]
        place = ((points - self.corner[:, None]) / self.cell[:, None, None] - 0.5).clamp(0, side - 1.001)
        low = place.floor().long()
        x, y = (place - low).unbind(2)
        flat = self.distances.flatten(1)
        corners = [
            flat.gather(1, (low[..., 1] + down) * side + low[..., 0] + right)
            for down in (0, 1)
            for right in (0, 1)
        ]
        upper_left, upper_right, lower_left, lower_right = corners
        upper, lower = torch.lerp(upper_left, upper_right, x), torch.lerp(lower_left, lower_right, x)
        by_x = torch.lerp(upper_right - upper_left, lower_right - lower_left, y)
        by_place = torch.stack([by_x, lower - upper], 2)
        return torch.lerp(upper, lower, y), by_place / self.cell[:, None, None]


def silhouette_of(mask: Bool[np.ndarray, "height width"], name: str = "Mask") -> Silhouette:
    """The mask of one person.

    Raises:
        BadInputError: where the mask is empty, or has no outline.
    """
    rows, columns = np.nonzero(mask)
    if len(rows) < OUTLINE_POINTS or len(rows) == mask.size:
        found = "all pixels white" if len(rows) == mask.size else f"only {len(rows)} white pixels"
        remedy = "Give a picture that is white where the person is and black elsewhere."
        raise BadInputError(name, found, remedy)
    low = np.array([columns.min(), rows.min()], np.float64)
    high = np.array([columns.max() + 1, rows.max() + 1], np.float64)
    side = 2 * float((high - low).max())
    corner, cell = (low + high) / 2 - side / 2, side / _GRID
    middles = (np.arange(_GRID) + 0.5) * cell
    x, y = np.floor(corner[0] + middles).astype(int), np.floor(corner[1] + middles).astype(int)
    inside_photo = ((y >= 0) & (y < mask.shape[0]))[:, None] & ((x >= 0) & (x < mask.shape[1]))
    on_grid = mask[y.clip(0, mask.shape[0] - 1)[:, None], x.clip(0, mask.shape[1] - 1)] & inside_photo
    cells_away: Any = ndimage.distance_transform_edt(~on_grid)
    return Silhouette(
        torch.from_numpy(cells_away * cell).float()[None],
        torch.from_numpy(corner).float()[None],
        torch.tensor([cell], dtype=torch.float32),
        torch.from_numpy(_outline(mask)).float()[None],
    )


def _outline(mask: Bool[np.ndarray, "height width"]) -> Float[np.ndarray, "samples 2"]:
    """Middles of mask pixels with a neighbour outside, evenly taken; the photo's own edge is no outline."""
    inner = np.asarray(ndimage.binary_erosion(mask, border_value=1), bool)
    rows, columns = np.nonzero(mask & ~inner)
    angle = np.arctan2(rows - rows.mean(), columns - columns.mean())
    order = np.argsort(angle, kind="stable")
    chosen = order[np.linspace(0, len(order) - 1, OUTLINE_POINTS).round().astype(int)]
    return np.stack([columns[chosen] + 0.5, rows[chosen] + 0.5], 1)


def surface_body(data: BodyModelData) -> KeypointBody:
    """Some vertices of the body, evenly spread: each the farthest from those before it."""
    points = data.template
    distance = (points - points.mean(0)).norm(dim=1)
    chosen = []
    for _ in range(min(SURFACE_POINTS, len(points))):
        row = int(distance.argmax())
        chosen.append(row)
        distance = torch.minimum(distance, (points - points[row]).norm(dim=1))
    regressor = points.new_zeros(len(chosen), len(points))
    regressor[torch.arange(len(chosen)), torch.tensor(chosen)] = 1
    return KeypointBody(replace(data, keypoint_regressors={"surface": regressor}), "surface")


@dataclass(frozen=True)
class SilhouetteTerm:
    """Squared distances between outlines, both ways, in units of `weights.deviation` of the person's size."""

    surface: KeypointBody
    silhouette: Silhouette
    camera: PerspectiveCamera
    size: Float[Tensor, "batch"]
    """Pixels, as of the keypoints."""
    weights: DataWeights

    def term(self, state: BodyState) -> Quadratic:
        """The term at a state."""
        points = posed_points(self.surface, state)
        seen, by_point = projected(points.positions, self.camera)
        scale = self.size[:, None, None]
        jacobian = by_point / scale[..., None] @ points.jacobian
        distance, by_pixel = self.silhouette.sampled(seen)
        by_unknown = by_pixel[:, :, None] @ jacobian
        trust = distance.new_full(distance.shape, (_WORTH / seen.shape[1]) ** 0.5)
        outside = robust_term(distance[..., None] / scale, by_unknown, trust, self.weights)
        return outside + self._to_outline(seen, jacobian)

    def _to_outline(
        self, seen: Float[Tensor, "batch points 2"], jacobian: Float[Tensor, "batch points 2 unknowns"]
    ) -> Quadratic:
        outline = self.silhouette.outline
        nearest = torch.cdist(outline, seen).argmin(2)
        batch = torch.arange(len(seen), device=seen.device)[:, None]
        residual = (seen[batch, nearest] - outline) / self.size[:, None, None]
        trust = residual.new_full(residual.shape[:2], (_WORTH / outline.shape[1]) ** 0.5)
        return robust_term(residual, jacobian[batch, nearest], trust, self.weights)
