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

_EMPTY = torch.iinfo(torch.int64).max
_CANDIDATES_AT_ONCE = 1 << 17
"""Bounds the working memory to about 20 MB and keeps a chunk in the processor's cache."""
_TRIANGLES_AT_ONCE = 1 << 18


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
    batch = len(vertices_screen)
    vertices_screen, faces = vertices_screen.float(), faces.to(vertices_screen.device).long()
    nearest = torch.full((batch * height * width,), _EMPTY, dtype=torch.int64, device=vertices_screen.device)
    images_at_once = max(1, _TRIANGLES_AT_ONCE // max(1, len(faces)))
    for first in range(0, batch, images_at_once):
        block = nearest[first * height * width : (first + images_at_once) * height * width]
        some_vertices = vertices_screen[first : first + images_at_once]
        triangles = _visible_triangles(some_vertices, faces, height, width, cull_backfaces=cull_backfaces)
        for pixel, packed in _hits(triangles, height, width):
            block.scatter_reduce_(0, pixel, packed, "amin")
    return _unpack(nearest.view(batch, height, width), vertices_screen, faces)


@dataclass(frozen=True)
class _Triangles:
    """Triangles that may show a pixel, of all images one after the other."""

    corners: Float32[Tensor, "9 triangles"]
    """x0 y0 x1 y1 x2 y2 in pixels, then the inverse depths."""
    face: Int64[Tensor, "triangles"]
    first_pixel: Int64[Tensor, "triangles"]
    """Number of the top left candidate in the block of images."""
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
    batch, count = len(vertices), len(faces)
    by_axis = vertices.permute(2, 0, 1)
    x, y, z = (by_axis[axis][:, faces.T].transpose(0, 1).reshape(3, -1) for axis in range(3))
    left, right = _pixel_range(x, width)
    top, bottom = _pixel_range(y, height)
    keep = _drawable(x, y, z, cull_backfaces=cull_backfaces) & (right >= left) & (bottom >= top)
    rows = keep.nonzero().squeeze(1)
    x, y, z = x[:, rows], y[:, rows], z[:, rows]
    left, right, top, bottom = left[rows].long(), right[rows].long(), top[rows].long(), bottom[rows].long()
    image = torch.arange(batch, device=vertices.device).repeat_interleave(count)[rows]
    columns = right - left + 1
    return _Triangles(
        corners=torch.cat([torch.stack([x, y], 1).flatten(0, 1), 1 / z]),
        face=torch.arange(count, device=vertices.device).repeat(batch)[rows],
        first_pixel=(image * height + top) * width + left,
        columns=columns,
        candidates=columns * (bottom - top + 1),
    )


def _pixel_range(
    coordinate: Float32[Tensor, "3 triangles"], size: int
) -> tuple[Float32[Tensor, "triangles"], Float32[Tensor, "triangles"]]:
    """First and last pixel whose centre lies between the smallest and the largest coordinate."""
    smallest, largest = coordinate.aminmax(dim=0)
    return (smallest - 0.5).ceil().clamp_min(0), (largest - 0.5).floor().clamp_max(size - 1)


def _drawable(
    x: Float32[Tensor, "3 triangles"],
    y: Float32[Tensor, "3 triangles"],
    z: Float32[Tensor, "3 triangles"],
    *,
    cull_backfaces: bool,
) -> Bool[Tensor, "triangles"]:
    # With x right and y down, a face that is counter-clockwise to the viewer has a negative area.
    area = (x[1] - x[0]) * (y[2] - y[0]) - (x[2] - x[0]) * (y[1] - y[0])
    has_area = area < 0 if cull_backfaces else area != 0
    # NaN and infinite coordinates make an area that is not finite; comparisons with a NaN depth are false.
    return has_area & area.isfinite() & (z.amin(0) > NEAR) & (z.amax(0) < torch.inf)


def _hits(
    triangles: _Triangles, height: int, width: int
) -> Iterator[tuple[Int64[Tensor, "hits"], Int64[Tensor, "hits"]]]:
    """Chunk by chunk: the pixels whose centre a triangle covers, with the packed (depth, face)."""
    ends = triangles.candidates.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, _CANDIDATES_AT_ONCE):
        stop = min(start + _CANDIDATES_AT_ONCE, total)
        yield _hits_between(triangles, ends, (start, stop), height, width)


def _hits_between(
    triangles: _Triangles, ends: Int64[Tensor, "triangles"], span: tuple[int, int], height: int, width: int
) -> tuple[Int64[Tensor, "hits"], Int64[Tensor, "hits"]]:
    """Hits among the candidates number `span[0]` to `span[1]`, counted through all triangles."""
    start, stop = span
    triangle, candidate = _owners(triangles.candidates, ends, start, stop)
    columns = triangles.columns[triangle]
    row = torch.div(candidate, columns, rounding_mode="floor")
    pixel = triangles.first_pixel[triangle] + row * (width - columns) + candidate
    inverse_depth = _inverse_depth_inside(triangles.corners[:, triangle], pixel, height, width)
    hit = (inverse_depth > 0).nonzero().squeeze(1)
    depth_bits = (1 / inverse_depth[hit]).view(torch.int32).long()
    return pixel[hit], (depth_bits << 32) | triangles.face[triangle[hit]]


def _owners(
    counts: Int64[Tensor, "triangles"], ends: Int64[Tensor, "triangles"], start: int, stop: int
) -> tuple[Int64[Tensor, "candidates"], Int64[Tensor, "candidates"]]:
    """The triangle of each candidate from `start` to `stop`, and the candidate's number within it."""
    limits = torch.tensor([start, stop - 1], device=ends.device)
    first, last = torch.searchsorted(ends, limits, right=True).tolist()
    within = slice(first, last + 1)
    begins = ends[within] - counts[within]
    here = ends[within].clamp_max(stop) - begins.clamp_min(start)
    local = torch.arange(len(here), device=ends.device).repeat_interleave(here, output_size=stop - start)
    candidate = torch.arange(start, stop, device=ends.device) - begins[local]
    return local + first, candidate


def _inverse_depth_inside(
    corners: Float32[Tensor, "9 points"], pixel: Int64[Tensor, "points"], height: int, width: int
) -> Float32[Tensor, "points"]:
    """1 / z of the triangle at the pixel's centre; 0 where the centre lies outside."""
    row = torch.div(pixel, width, rounding_mode="floor")
    x, y = (pixel - row * width).float() + 0.5, (row % height).float() + 0.5
    weights = _edge_functions(corners, x, y)
    lowest, highest = weights.aminmax(dim=0)
    inverse_depth = (weights * corners[6:]).sum(0) / weights.sum(0)
    return torch.where((lowest >= 0) | (highest <= 0), inverse_depth, 0)


def _edge_functions(
    corners: Float32[Tensor, "9 points"], x: Float32[Tensor, "points"], y: Float32[Tensor, "points"]
) -> Float32[Tensor, "3 points"]:
    """Twice the signed areas that the point (x, y) makes with the edges opposite to each corner.

    Swapping an edge's ends changes exactly the sign, rounding included, and both faces at an edge see the same
    corners: a point that one face rejects at their edge, the other accepts.
    """
    x0, x1, x2 = (corners[0:6:2] - x).unbind()
    y0, y1, y2 = (corners[1:6:2] - y).unbind()
    return torch.stack([x1 * y2 - x2 * y1, x2 * y0 - x0 * y2, x0 * y1 - x1 * y0])


def _unpack(
    nearest: Int64[Tensor, "batch height width"],
    vertices: Float32[Tensor, "batch vertices 3"],
    faces: Int64[Tensor, "faces 3"],
) -> Fragments:
    image, row, column = (nearest != _EMPTY).nonzero(as_tuple=True)
    packed = nearest[image, row, column]
    face = packed & 0xFFFFFFFF
    corners = vertices[image[:, None], faces[face]]
    inverse_depths = 1 / corners[..., 2]
    flat = torch.cat([corners[..., :2].flatten(1), inverse_depths], 1).T
    weights = _edge_functions(flat, column.float() + 0.5, row.float() + 0.5).T * inverse_depths
    barycentrics = nearest.new_zeros((*nearest.shape, 3), dtype=torch.float32)
    barycentrics[image, row, column] = weights / weights.sum(-1, keepdim=True)
    face_index = torch.full_like(nearest, -1)
    face_index[image, row, column] = face
    depth = torch.full(nearest.shape, torch.inf, device=nearest.device)
    depth[image, row, column] = (packed >> 32).int().view(torch.float32)
    return Fragments(face_index, barycentrics, depth)
