"""From fragments to pictures: attributes a pixel, light, part labels, depth."""

import colorsys
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from torch import Tensor

from humanmesh.body.skeletons import SIX_PART_OF_SMPL_JOINT
from humanmesh.render.rasterizer import Fragments

CLAY = (0.80, 0.67, 0.58)
"""Colour of a body that was given none; sRGB in [0, 1]."""


def part_colors(count: int) -> Float32[Tensor, "count 3"]:
    """Colours (sRGB in [0, 1]) for `count` parts, neighbours in number far apart in hue."""
    # Chosen by trial: the least distance between two of 24 colours is 0.15, of 6 colours 0.44.
    saturation, brightness = (0.8, 0.8, 0.35), (0.95, 0.6, 0.95, 0.8)
    rows = [
        colorsys.hsv_to_rgb(0.29 * part % 1, saturation[part % 3], brightness[part % 4])
        for part in range(count)
    ]
    return torch.tensor(rows, dtype=torch.float32).reshape(count, 3)


def shown_pixels(fragments: Fragments) -> Int64[Tensor, "shown"]:
    """Numbers of the pixels that show a face, counted image by image and row by row."""
    return (fragments.face_index.flatten() >= 0).nonzero().squeeze(1)


def interpolate_at(
    shown: Int64[Tensor, "shown"],
    fragments: Fragments,
    faces: Int[Tensor, "faces 3"],
    attributes: Float[Tensor, "batch vertices channels"],
) -> Float[Tensor, "shown channels"]:
    """What the vertices carry, at the given pixels' points of the surface."""
    _, height, width = fragments.face_index.shape
    rows = faces.long().index_select(0, fragments.face_index.flatten().index_select(0, shown))
    image = torch.div(shown, height * width, rounding_mode="floor")
    rows = rows + (image * attributes.shape[1])[:, None]
    weights = fragments.barycentrics.flatten(0, 2).index_select(0, shown).to(attributes.dtype)
    values = attributes.flatten(0, 1)
    # Corner by corner, which keeps the memory at one row a pixel.
    first, second, third = (
        weights[:, corner, None] * values.index_select(0, rows[:, corner]) for corner in range(3)
    )
    return first + second + third


def interpolate(
    fragments: Fragments, faces: Int[Tensor, "faces 3"], attributes: Float[Tensor, "batch vertices channels"]
) -> Float[Tensor, "batch height width channels"]:
    """What the vertices carry, at each pixel's point of the surface; 0 where there is none.

    The gradient flows to the attributes.
    """
    shown = shown_pixels(fragments)
    values = interpolate_at(shown, fragments, faces, attributes)
    shape = fragments.face_index.shape
    picture = attributes.new_zeros(shape.numel(), attributes.shape[-1]).index_copy(0, shown, values)
    return picture.view(*shape, -1)


def vertex_normals(
    vertices: Float[Tensor, "batch vertices 3"], faces: Int[Tensor, "faces 3"]
) -> Float[Tensor, "batch vertices 3"]:
    """Unit normals, the mean over a vertex's faces weighted by their area; outward for faces that are
    counter-clockwise seen from outside. Zero for a vertex without a face of any area.
    """
    faces = faces.long()
    first, second, third = (vertices[:, faces[:, corner]] for corner in range(3))
    doubled_area = torch.linalg.cross(second - first, third - first)
    total = torch.zeros_like(vertices)
    for corner in range(3):
        total = total.index_add(1, faces[:, corner], doubled_area)
    return torch.nn.functional.normalize(total, dim=-1, eps=torch.finfo(vertices.dtype).tiny)


@dataclass(frozen=True)
class Lights:
    """Two distant lamps and light from everywhere, enough to read a shape. Strengths add up to about 1."""

    key_direction: tuple[float, float, float] = (-0.5, -0.7, -1.0)
    """Toward the main lamp, of any length; camera frame, so by default above, left, on the viewer's side."""
    key: float = 0.65
    """Share of the body's colour that a surface facing the main lamp sends back."""
    fill_direction: tuple[float, float, float] = (0.9, 0.1, -0.6)
    """Toward the second lamp."""
    fill: float = 0.20
    ambient: float = 0.38


def shade(
    normals: Float[Tensor, "*batch 3"], colors: Float[Tensor, "*batch 3"], lights: Lights | None = None
) -> Float[Tensor, "*batch 3"]:
    """Lambert's law for both lamps plus ambient light; sRGB in [0, 1]. Normals in the lamps' frame, outward."""
    lights = lights or Lights()
    unit = torch.nn.functional.normalize(normals, dim=-1)
    brightness = torch.full_like(unit[..., :1], lights.ambient)
    for direction, strength in ((lights.key_direction, lights.key), (lights.fill_direction, lights.fill)):
        lamp = torch.nn.functional.normalize(
            torch.tensor(direction, dtype=unit.dtype, device=unit.device), dim=0
        )
        brightness = brightness + strength * (unit @ lamp)[..., None].clamp_min(0)
    return (colors * brightness).clamp(0, 1)


def silhouette(fragments: Fragments) -> Bool[Tensor, "batch height width"]:
    """Where a surface shows."""
    return fragments.face_index >= 0


def part_labels(
    fragments: Fragments, face_parts: Int[Tensor, "faces"]
) -> Int64[Tensor, "batch height width"]:
    """1 + the part of the face in each pixel; 0 is the background."""
    labels = torch.cat([face_parts.new_zeros(1), face_parts + 1]).long()
    return labels[fragments.face_index + 1]


def six_part_labels(
    fragments: Fragments, face_parts: Int[Tensor, "faces"]
) -> Int64[Tensor, "batch height width"]:
    """1 + the row of `skeletons.SIX_PARTS`; 0 is the background.

    Args:
        fragments: What each pixel shows.
        face_parts: The SMPL joint that each face follows (24 parts).
    """
    six = torch.tensor(SIX_PART_OF_SMPL_JOINT, device=face_parts.device)
    return part_labels(fragments, six[face_parts.long()])


def depth_picture(fragments: Fragments) -> Float32[Tensor, "batch height width"]:
    """Each image's depths as grey: the nearest point 1, the farthest 0.2, the background 0."""
    depth, shown = fragments.depth, silhouette(fragments)
    nearest = depth.amin((1, 2), keepdim=True)
    farthest = torch.where(shown, depth, -torch.inf).amax((1, 2), keepdim=True)
    span = torch.where(farthest > nearest, farthest - nearest, 1)
    return torch.where(shown, 1 - 0.8 * (depth - nearest) / span, 0)


def average_samples(
    picture: Float[Tensor, "batch tall wide channels"], samples: int
) -> Float[Tensor, "batch height width channels"]:
    """Each pixel the mean of its `samples` x `samples` samples (antialiasing)."""
    # Adding up strided views takes a third of the time of a mean over two axes.
    total = picture[:, ::samples, ::samples].clone()
    for number in range(1, samples * samples):
        row, column = divmod(number, samples)
        total += picture[:, row::samples, column::samples]
    return total / samples**2
