"""People without their photo: from any side on plain ground, and all the way round. Pictures as in `render.overlay`.

The viewer and the lamps stand still and the people turn, as on a turntable, at one scale all the way round. Several
people keep their places to each other and hide each other rightly.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Int
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from humanmesh.render.overlay import Look, draw_people

GROUND = (0.945, 0.945, 0.955)
"""Colour behind the people; sRGB in [0, 1]."""
_FILLED = 0.92
"""Share of the picture that the people take, whichever way they are turned."""
_DISTANCE = 3.0
"""From the viewer to the people's middle, in units of their size: a mild perspective."""
_INK = (40, 40, 48)


@dataclass(frozen=True)
class View:
    """Where the viewer stands: 0, 0 is where the camera stood."""

    turn: float = 0.0
    """Radians by which the people turn about the vertical; after a positive quarter, what faced the camera faces the
    right of the picture."""
    rise: float = 0.0
    """Radians by which the viewer rises above the horizon; a quarter looks straight down, what faced the camera below."""


FRONT = View()
SIDE = View(turn=math.pi / 2)
TOP = View(rise=math.pi / 2)
VIEWS = {"front": FRONT, "side": SIDE, "top": TOP}


def view_people(
    vertices_camera: Float[Tensor, "people vertices 3"],
    faces: Int[Tensor, "faces 3"],
    view: View,
    size: tuple[int, int],
    look: Look | None = None,
) -> Float32[Tensor, "3 height width"]:
    """Some people on plain ground, as large as they fit.

    Args:
        vertices_camera: metres, y down.
        faces: counter-clockwise seen from outside.
        view: from where.
        size: height and width in pixels.
        look: opaque, with 3 samples a pixel in each direction, where None.
    """
    turned = vertices_camera @ _rotation(view).to(vertices_camera).T
    middle, half_extent = _middle_and_half_extent(turned)
    return _draw(turned - middle, faces, half_extent, size, look)


def turntable(
    vertices_camera: Float[Tensor, "people vertices 3"],
    faces: Int[Tensor, "faces 3"],
    size: tuple[int, int],
    frames: int,
    look: Look | None = None,
) -> Iterator[Float32[Tensor, "3 height width"]]:
    """The pictures of one whole turn, the first as the camera saw the people; the last leads on to the first."""
    middle, half_extent = _middle_and_half_extent(vertices_camera)
    centred = vertices_camera - middle
    radius = centred[..., [0, 2]].norm(dim=-1).max()
    half_extent = torch.stack([radius, half_extent[1], radius])
    for frame in range(frames):
        turned = centred @ _rotation(View(turn=2 * math.pi * frame / frames)).to(centred).T
        yield _draw(turned, faces, half_extent, size, look)


def _middle_and_half_extent(
    vertices: Float[Tensor, "people vertices 3"],
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    lowest, highest = vertices.flatten(0, 1).aminmax(dim=0)
    return (lowest + highest) / 2, (highest - lowest) / 2


def _draw(
    centred: Float[Tensor, "people vertices 3"],
    faces: Int[Tensor, "faces 3"],
    half_extent: Float[Tensor, "3"],
    size: tuple[int, int],
    look: Look | None,
) -> Float32[Tensor, "3 height width"]:
    """People round the origin, at the scale at which a box of that half extent fits."""
    height, width = size
    half_wide, half_tall, half_deep = half_extent.tolist()
    distance = 2 * _DISTANCE * max(half_wide, half_tall, half_deep)
    # What lies before the middle looks larger than what lies beside it.
    focal_length = _FILLED * (distance - half_deep) * min(width / 2 / half_wide, height / 2 / half_tall)
    placed = centred + centred.new_tensor([0.0, 0.0, distance])
    ground = torch.tensor(GROUND)[:, None, None].expand(-1, height, width)
    look = look or Look(opacity=1.0)
    return draw_people(ground, placed, faces, focal_length, (width / 2, height / 2), look=look)


def _rotation(view: View) -> Float[Tensor, "3 3"]:
    """From the camera frame (y down, z forward) to the viewer's: first the turn, then the rise."""
    cosine, sine = math.cos(view.turn), math.sin(view.turn)
    about_vertical = torch.tensor([[cosine, 0.0, -sine], [0.0, 1.0, 0.0], [sine, 0.0, cosine]])
    cosine, sine = math.cos(view.rise), math.sin(view.rise)
    about_horizontal = torch.tensor([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])
    return about_horizontal @ about_vertical


def fitted(picture: Float[Tensor, "3 height width"], side: int) -> Float32[Tensor, "3 side side"]:
    """The whole picture in the middle of a square of plain ground."""
    share = side / max(picture.shape[1:])
    tall, wide = (max(1, round(share * length)) for length in picture.shape[1:])
    small = torch.nn.functional.interpolate(
        picture.float()[None], (tall, wide), mode="bilinear", antialias=True
    )[0]
    square = torch.tensor(GROUND)[:, None, None].repeat(1, side, side)
    top, left = (side - tall) // 2, (side - wide) // 2
    square[:, top : top + tall, left : left + wide] = small
    return square


def captioned(
    picture: Float[Tensor, "3 height width"], caption: str, font_size: int = 16
) -> Float32[Tensor, "3 tall width"]:
    """The picture with a line of text above it; what is too long ends in dots."""
    width = picture.shape[2]
    font = ImageFont.load_default(font_size)
    strip = Image.new("RGB", (width, round(1.6 * font_size)), "white")
    draw = ImageDraw.Draw(strip)
    shown = caption
    while shown and draw.textlength(shown, font) > width - font_size / 2:
        shown = shown.rstrip("…")[:-1] + "…" if len(shown) > 1 else ""
    draw.text((font_size / 4, 0.8 * font_size), shown, _INK, font, anchor="lm")
    text = torch.frombuffer(bytearray(strip.tobytes()), dtype=torch.uint8)
    return torch.cat([text.view(strip.height, width, 3).permute(2, 0, 1) / 255, picture], 1)
