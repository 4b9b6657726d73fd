"""A z-buffer in plain torch: which face each pixel shows, where on that face, and how far away.

Every triangle lists the pixels of its bounding box, the candidates. Those whose centre lies inside send
(depth, face) packed into one integer to their pixel, and `scatter_reduce` keeps the smallest. A positive
float orders like its bit pattern, so the depth is packed whole, without quantisation.

No gradient flows through it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from torch import Tensor

NEAR = 1e-3
"""Triangles with a vertex at this depth or nearer are dropped (metres)."""

_EMPTY = (0x7F800000 << 32) | 0xFFFFFFFF
"""Infinite depth, face -1: loses against every surface and unpacks to what an empty pixel holds."""
_CANDIDATES_AT_ONCE = 1 << 17
"""This and the next two bound the working memory to about 100 MB beside the picture."""
_TRIANGLES_AT_ONCE = 1 << 18
_PIXELS_AT_ONCE = 1 << 19


@dataclass(frozen=True)
class Fragments:
    """What each pixel shows."""

    face_index: Int64[Tensor, "batch height width"]
    """Row of the nearest face; -1 where there is none."""
    barycentrics: Float32[Tensor, "batch height width 3"]
    """Perspective-correct weights of the face's three vertices at the pixel's centre; 0 where there is none."""
    depth: Float32[Tensor, "batch height width"]
    """Depth (z) of the surface at the pixel's centre; +inf where there is none. Metres."""


@torch.no_grad()
def rasterize(
    vertices_screen: Float[Tensor, "batch vertices 3"],
    faces: Int[Tensor, "faces 3"],
    height: int,
    width: int,
    *,
    cull_backfaces: bool = False,
) -> Fragments:
    """The nearest face in each pixel of `height` x `width`.

    A pixel belongs to a triangle when its centre (at half integers) lies inside or on an edge, so faces that
    share an edge leave no hole between them. Faces with a vertex that is not finite or not beyond `NEAR`, and
    faces without area, are left out; nothing is clipped against the camera plane.

    Args:
        vertices_screen: x right and y down in pixels, z the depth in metres.
        faces: counter-clockwise seen from outside; matters only for culling.
        height: Rows of the picture.
        width: Columns of the picture.
        cull_backfaces: Leave out the faces that turn away. The same picture of a closed body, for less work.
    """
    batch, pixels = len(vertices_screen), height * width
    vertices_screen, faces = vertices_screen.float(), faces.to(vertices_screen.device).long()
    nearest = torch.full((batch * pixels,), _EMPTY, device=vertices_screen.device)
    images_at_once = max(1, _TRIANGLES_AT_ONCE // max(1, len(faces)))
    for first in range(0, batch, images_at_once):
        block = nearest[first * pixels : (first + images_at_once) * pixels]
        some_vertices = vertices_screen[first : first + images_at_once]
        triangles = _visible_triangles(some_vertices, faces, height, width, cull_backfaces=cull_backfaces)
        for pixel, packed in _hits(triangles, width):
            block.scatter_reduce_(0, pixel, packed, "amin")
    return _unpack(nearest.view(batch, height, width), vertices_screen, faces)


@dataclass(frozen=True)
class _Triangles:
    """Triangles that may show a pixel, of all images one after the other."""

    corners: Float32[Tensor, "11 triangles"]
    """x0 x1 x2 y0 y1 y2 in pixels, three inverse depths, and x and y of the first candidate's centre."""
    face: Int64[Tensor, "triangles"]
    first_pixel: Int64[Tensor, "triangles"]
    """Number of the first candidate, top left of the bounding box, in the block of images."""
    columns: Int64[Tensor, "triangles"]
    """Width of the box of candidates."""
    candidates: Int64[Tensor, "triangles"]
    """Pixel centres in the bounding box."""


def _visible_triangles(
    vertices: Float32[Tensor, "batch vertices 3"],
    faces: Int64[Tensor, "faces 3"],
    height: int,
    width: int,
    *,
    cull_backfaces: bool,
) -> _Triangles:
    # Everywhere here `index_select` takes a fifth of the time of indexing.
    corners = vertices.permute(2, 0, 1).contiguous().index_select(2, faces.T.flatten())
    corners = corners.unflatten(2, (3, len(faces)))  # axis, image, corner, face
    left, right = _pixel_range(corners[0], width)
    top, bottom = _pixel_range(corners[1], height)
    keep = _drawable(corners, cull_backfaces=cull_backfaces) & (right >= left) & (bottom >= top)
    kept = keep.flatten().nonzero().squeeze(1)
    image = torch.div(kept, len(faces), rounding_mode="floor")
    face = kept - image * len(faces)
    left, right, top, bottom = (edge.flatten().index_select(0, kept) for edge in (left, right, top, bottom))
    columns = (right - left).long() + 1
    by_axis = corners.flatten(1)
    rows = [kept + (2 * image + corner) * len(faces) for corner in range(3)]
    x, y, z = torch.stack([by_axis.index_select(1, row) for row in rows], 1)
    return _Triangles(
        corners=torch.cat([x, y, 1 / z, left[None] + 0.5, top[None] + 0.5]),
        face=face,
        first_pixel=(image * height + top.long()) * width + left.long(),
        columns=columns,
        candidates=columns * ((bottom - top).long() + 1),
    )


def _pixel_range(
    coordinate: Float32[Tensor, "batch 3 faces"], size: int
) -> tuple[Float32[Tensor, "batch faces"], Float32[Tensor, "batch faces"]]:
    """First and last pixel whose centre lies between the smallest and the largest coordinate."""
    smallest, largest = _range_of(coordinate)
    return (smallest - 0.5).ceil().clamp_min(0), (largest - 0.5).floor().clamp_max(size - 1)


def _range_of(
    values: Float32[Tensor, "batch 3 faces"],
) -> tuple[Float32[Tensor, "batch faces"], Float32[Tensor, "batch faces"]]:
    """Smallest and largest of the three corners' values; NaN where one is NaN. Faster than `aminmax`."""
    first, second, third = values.unbind(1)
    return first.minimum(second).minimum(third), first.maximum(second).maximum(third)


def _drawable(
    corners: Float32[Tensor, "3 batch 3 faces"], *, cull_backfaces: bool
) -> Bool[Tensor, "batch faces"]:
    (x0, x1, x2), (y0, y1, y2) = corners[0].unbind(1), corners[1].unbind(1)
    # With x right and y down, a face that is counter-clockwise to the viewer has a negative area.
    area = (x1 - x0) * (y2 - y0) - (x2 - x0) * (y1 - y0)
    has_area = area < 0 if cull_backfaces else area != 0
    nearest, farthest = _range_of(corners[2])
    # NaN and infinite coordinates make an area that is not finite; comparisons with a NaN depth are false.
    return has_area & area.isfinite() & (nearest > NEAR) & (farthest < torch.inf)


def _hits(triangles: _Triangles, width: int) -> Iterator[tuple[Int64[Tensor, "hits"], Int64[Tensor, "hits"]]]:
    """Chunk by chunk: the pixels whose centre a triangle covers, with the packed (depth, face)."""
    ends = triangles.candidates.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, _CANDIDATES_AT_ONCE):
        yield _hits_between(triangles, ends, start, min(start + _CANDIDATES_AT_ONCE, total), width)


def _hits_between(
    triangles: _Triangles, ends: Int64[Tensor, "triangles"], start: int, stop: int, width: int
) -> tuple[Int64[Tensor, "hits"], Int64[Tensor, "hits"]]:
    """Hits among the candidates number `start` to `stop`, counted through all triangles."""
    triangle, candidate = _owners(triangles.candidates, ends, start, stop)
    columns = triangles.columns.index_select(0, triangle)
    row = torch.div(candidate, columns, rounding_mode="floor")
    column = candidate - row * columns
    corners = triangles.corners.index_select(1, triangle)
    inverse_depth = _inverse_depth_inside(corners[:9], corners[9] + column, corners[10] + row)
    hit = (inverse_depth > 0).nonzero().squeeze(1)
    depth_bits = (1 / inverse_depth.index_select(0, hit)).view(torch.int32).long()
    triangle, row, column = (numbers.index_select(0, hit) for numbers in (triangle, row, column))
    pixel = triangles.first_pixel.index_select(0, triangle) + row * width + column
    return pixel, (depth_bits << 32) | triangles.face.index_select(0, triangle)


def _owners(
    counts: Int64[Tensor, "triangles"], ends: Int64[Tensor, "triangles"], start: int, stop: int
) -> tuple[Int64[Tensor, "candidates"], Int64[Tensor, "candidates"]]:
    """The triangle of each candidate from `start` to `stop`, and the candidate's number within it."""
    limits = torch.tensor([start, stop - 1], device=ends.device)
    first, last = torch.searchsorted(ends, limits, right=True).tolist()
    begins = ends[first : last + 1] - counts[first : last + 1]
    here = ends[first : last + 1].clamp_max(stop) - begins.clamp_min(start)
    local = torch.arange(len(here), device=ends.device).repeat_interleave(here, output_size=stop - start)
    candidate = torch.arange(start, stop, device=ends.device) - begins.index_select(0, local)
    return local + first, candidate


def _inverse_depth_inside(
    corners: Float32[Tensor, "9 points"], x: Float32[Tensor, "points"], y: Float32[Tensor, "points"]
) -> Float32[Tensor, "points"]:
    """1 / z of the triangle at the point (x, y); 0 where the point lies outside."""
    first, second, third = _edge_functions(corners, x, y)
    lowest, highest = first.minimum(second).minimum(third), first.maximum(second).maximum(third)
    weighted = first * corners[6] + second * corners[7] + third * corners[8]
    return torch.where((lowest >= 0) | (highest <= 0), weighted / (first + second + third), 0)


def _edge_functions(
    corners: Float32[Tensor, "9 points"], x: Float32[Tensor, "points"], y: Float32[Tensor, "points"]
) -> tuple[Float32[Tensor, "points"], Float32[Tensor, "points"], Float32[Tensor, "points"]]:
    """Twice the signed areas that the point (x, y) makes with the edges opposite to each corner.

    Swapping an edge's ends changes exactly the sign, rounding included, and both faces at an edge see the same
    corners: a point that one face rejects at their edge, the other accepts.
    """
    x0, x1, x2 = (corners[:3] - x).unbind()
    y0, y1, y2 = (corners[3:6] - y).unbind()
    return x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0


def _unpack(
    nearest: Int64[Tensor, "batch height width"],
    vertices: Float32[Tensor, "batch vertices 3"],
    faces: Int64[Tensor, "faces 3"],
) -> Fragments:
    face_index = (nearest << 32) >> 32  # sign-extended
    depth = (nearest >> 32).int().view(torch.float32)
    barycentrics = vertices.new_zeros(nearest.numel(), 3)
    for shown in (face_index.flatten() >= 0).nonzero().squeeze(1).split(_PIXELS_AT_ONCE):
        barycentrics.index_copy_(0, shown, _barycentrics_at(shown, face_index, vertices, faces))
    return Fragments(face_index, barycentrics.view(*nearest.shape, 3), depth)


def _barycentrics_at(
    shown: Int64[Tensor, "shown"],
    face_index: Int64[Tensor, "batch height width"],
    vertices: Float32[Tensor, "batch vertices 3"],
    faces: Int64[Tensor, "faces 3"],
) -> Float32[Tensor, "shown 3"]:
    """Perspective-correct weights at the centres of the pixels with these numbers, all of which show a face."""
    _, height, width = face_index.shape
    row_of_all = torch.div(shown, width, rounding_mode="floor")
    image = torch.div(row_of_all, height, rounding_mode="floor")
    x, y = shown - row_of_all * width + 0.5, row_of_all - image * height + 0.5
    corner_rows = faces.index_select(0, face_index.flatten().index_select(0, shown)).T
    vertex = (corner_rows + image * vertices.shape[1]).flatten()
    corners = vertices.flatten(0, 1).T.contiguous().index_select(1, vertex).unflatten(1, (3, len(shown)))
    flat = torch.cat([corners[0], corners[1], 1 / corners[2]])
    weights = [edge * flat[6 + corner] for corner, edge in enumerate(_edge_functions(flat, x, y))]
    total = weights[0] + weights[1] + weights[2]
    return torch.stack([weight / total for weight in weights], 1)
