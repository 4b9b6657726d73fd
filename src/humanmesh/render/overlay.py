"""Pictures for people to look at: bodies over the photo, seen from the side, skeletons, contact sheets.

Every function takes and returns pictures as (3, height, width) sRGB in [0, 1].
"""

import math
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float, Float32, Int, Int64
from torch import Tensor

from humanmesh.body.skeletons import Skeleton
from humanmesh.render.rasterizer import NEAR, rasterize
from humanmesh.render.shading import (
    CLAY,
    Lights,
    average_samples,
    interpolate_at,
    shade,
    shown_pixels,
    vertex_normals,
)

PERSON_COLORS: tuple[tuple[float, float, float], ...] = (
    CLAY, (0.53, 0.70, 0.86), (0.62, 0.80, 0.58), (0.90, 0.62, 0.62),
    (0.75, 0.65, 0.88), (0.93, 0.83, 0.52), (0.55, 0.80, 0.80), (0.86, 0.66, 0.79),
)  # fmt: skip
"""Colours of the people in a photo, in their order; they repeat after the last."""

LEFT_COLOR = (0.16, 0.55, 0.95)
RIGHT_COLOR = (0.95, 0.35, 0.20)
MIDDLE_COLOR = (0.98, 0.85, 0.25)

_SAMPLES_AT_ONCE = 1 << 20
"""Pictures are drawn in strips of about this many samples, which bounds the memory to about 100 MB."""

_LARGE = 2_000_000
"""Pixels of a body's box above which 2 samples must do, for speed; edges look small in such a photo."""


@dataclass(frozen=True)
class Look:
    """How bodies are drawn."""

    opacity: float = 0.9
    """0 lets the whole photo through, 1 nothing."""
    samples: int = 3
    """Samples a pixel in each direction; more make smoother edges. At most 2 over more than 2 megapixels."""
    lights: Lights = field(default_factory=Lights)

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"opacity must lie in [0, 1], got {self.opacity}")
        if self.samples < 1:
            raise ValueError(f"samples must be at least 1, got {self.samples}")


def draw_body(
    photo: Float[Tensor, "3 height width"],
    vertices_camera: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    focal_length: float | Float[Tensor, "*xy"],
    principal_point: tuple[float, float] | Float[Tensor, "2"],
    face_colors: Float[Tensor, "faces 3"] | None = None,
    look: Look | None = None,
) -> Float32[Tensor, "3 height width"]:
    """The photo with one body over it.

    Args:
        photo: sRGB in [0, 1].
        vertices_camera: metres in the photo's camera frame.
        faces: counter-clockwise seen from outside.
        focal_length: pixels; two where they differ in x and y.
        principal_point: (x, y) in pixels.
        face_colors: sRGB in [0, 1]; clay where None.
        look: opacity, antialiasing and light.
    """
    colors = None if face_colors is None else face_colors[None]
    return draw_people(photo, vertices_camera[None], faces, focal_length, principal_point, colors, look)


@torch.no_grad()
def draw_people(
    photo: Float[Tensor, "3 height width"],
    vertices_camera: Float[Tensor, "people vertices 3"],
    faces: Int[Tensor, "faces 3"],
    focal_length: float | Float[Tensor, "*xy"],
    principal_point: tuple[float, float] | Float[Tensor, "2"],
    face_colors: Float[Tensor, "people faces 3"] | None = None,
    look: Look | None = None,
) -> Float32[Tensor, "3 height width"]:
    """The photo with several bodies over it, the nearer hiding the farther; arguments as in `draw_body`."""
    picture = photo.float().clamp(0, 1)
    if not len(vertices_camera):
        return picture.clone()
    scene = _scene(vertices_camera, faces, focal_length, principal_point, face_colors)
    look = look or Look()
    top, bottom, left, right = _box_of(scene.screen, *photo.shape[1:])
    if (bottom - top) * (right - left) > _LARGE:
        look = replace(look, samples=min(look.samples, 2))
    picture = picture.clone() if picture is photo else picture
    rows = max(1, _SAMPLES_AT_ONCE // max(1, (right - left) * look.samples**2))
    for start in range(top, bottom, rows):
        window = _Window(start, left, min(rows, bottom - start), right - left)
        layer = _draw_window(scene, window, look)
        alpha = look.opacity * layer[3]
        under = picture[:, start : start + window.height, left:right]
        under.mul_(1 - alpha).add_(layer[:3], alpha=look.opacity)
    return picture


@dataclass(frozen=True)
class _Scene:
    """All people as one mesh, ready to draw."""

    screen: Float32[Tensor, "vertices 3"]
    normals: Float32[Tensor, "vertices 3"]
    faces: Int64[Tensor, "faces 3"]
    colors: Float32[Tensor, "faces 3"]


@dataclass(frozen=True)
class _Window:
    """A rectangle of whole pixels."""

    top: int
    left: int
    height: int
    width: int


def _scene(
    vertices: Float[Tensor, "people vertices 3"],
    faces: Int[Tensor, "faces 3"],
    focal_length: float | Float[Tensor, "*xy"],
    principal_point: tuple[float, float] | Float[Tensor, "2"],
    face_colors: Float[Tensor, "people faces 3"] | None,
) -> _Scene:
    people, count = vertices.shape[:2]
    vertices, faces = vertices.float(), faces.long().to(vertices.device)
    offsets = count * torch.arange(people, device=vertices.device)
    if face_colors is None:
        palette = torch.tensor([PERSON_COLORS[person % len(PERSON_COLORS)] for person in range(people)])
        face_colors = palette[:, None].expand(-1, len(faces), -1)
    principal = torch.as_tensor(principal_point, dtype=vertices.dtype, device=vertices.device)
    points = vertices.flatten(0, 1)
    screen = torch.cat([focal_length * points[:, :2] / points[:, 2:] + principal, points[:, 2:]], 1)
    return _Scene(
        screen=screen,
        normals=vertex_normals(vertices, faces).flatten(0, 1),
        faces=(faces + offsets[:, None, None]).flatten(0, 1),
        colors=face_colors.to(vertices).flatten(0, 1),
    )


def _box_of(screen: Float32[Tensor, "vertices 3"], height: int, width: int) -> tuple[int, int, int, int]:
    """Top, bottom, left, right of the pixels that the mesh can touch; empty ranges where it touches none."""
    drawable = screen[(screen[:, 2] > NEAR) & screen.isfinite().all(1)]
    if not len(drawable):
        return 0, 0, 0, 0
    x0, y0 = drawable[:, :2].amin(0).tolist()
    x1, y1 = drawable[:, :2].amax(0).tolist()
    left, right = max(0, math.floor(x0)), min(width, math.ceil(x1))
    top, bottom = max(0, math.floor(y0)), min(height, math.ceil(y1))
    return (top, bottom, left, right) if left < right and top < bottom else (0, 0, 0, 0)


def _draw_window(scene: _Scene, window: _Window, look: Look) -> Float32[Tensor, "4 height width"]:
    """Colour times coverage, and coverage."""
    origin = scene.screen.new_tensor([window.left, window.top, 0])
    scale = scene.screen.new_tensor([look.samples, look.samples, 1])
    screen = (scene.screen - origin) * scale
    tall, wide = window.height * look.samples, window.width * look.samples
    fragments = rasterize(screen[None], scene.faces, tall, wide)
    shown = shown_pixels(fragments)
    normals = interpolate_at(shown, fragments, scene.faces, scene.normals[None])
    colors = scene.colors.index_select(0, fragments.face_index.flatten().index_select(0, shown))
    lit = torch.nn.functional.pad(shade(normals, colors, look.lights), (0, 1), value=1.0)
    samples = lit.new_zeros(tall * wide, 4).index_copy_(0, shown, lit).view(1, tall, wide, 4)
    return average_samples(samples, look.samples)[0].permute(2, 0, 1)


def front_view(
    vertices_camera: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    height: int,
    width: int,
    face_colors: Float[Tensor, "faces 3"] | None = None,
    look: Look | None = None,
) -> Float32[Tensor, "3 height width"]:
    """The body as the camera sees it, alone on plain ground and framed to fit."""
    return _alone(vertices_camera, vertices_camera, faces, (height, width), face_colors, look)


def side_view(
    vertices_camera: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    height: int,
    width: int,
    face_colors: Float[Tensor, "faces 3"] | None = None,
    look: Look | None = None,
) -> Float32[Tensor, "3 height width"]:
    """The body turned by a quarter about the vertical, as large as in `front_view`.

    What faced the camera then faces the right of the picture.
    """
    x, y, z = vertices_camera.unbind(-1)
    turned = torch.stack([-z, y, x], -1)
    return _alone(turned, vertices_camera, faces, (height, width), face_colors, look)


_GROUND = 0.93
_FILLED = 0.92
"""Share of the picture's height or width that a framed body takes."""
_DISTANCE = 4.0
"""From the viewer to a framed body's centre, in units of its largest extent: a mild perspective."""


def _alone(
    turned: Float[Tensor, "vertices 3"],
    vertices_camera: Float[Tensor, "vertices 3"],
    faces: Int[Tensor, "faces 3"],
    size: tuple[int, int],
    face_colors: Float[Tensor, "faces 3"] | None,
    look: Look | None,
) -> Float32[Tensor, "3 height width"]:
    """The turned body on plain ground, at the scale that fits the body's front view and its side view."""
    height, width = size
    extent = _middle_and_extent(vertices_camera)[1]
    largest, horizontal = extent.amax(), torch.maximum(extent[0], extent[2])
    distance = _DISTANCE * largest
    offset = torch.stack([torch.zeros_like(distance), torch.zeros_like(distance), distance])
    # The nearest point of the box lies half an extent before the centre, and looks larger by that.
    nearest = distance - horizontal / 2
    focal_length = _FILLED * nearest * torch.minimum(width / horizontal, height / extent[1])
    ground = torch.full((3, height, width), _GROUND, device=turned.device)
    centred = turned - _middle_and_extent(turned)[0] + offset
    look = look or Look(opacity=1.0)
    return draw_body(ground, centred, faces, focal_length, (width / 2, height / 2), face_colors, look)


def _middle_and_extent(
    vertices: Float[Tensor, "vertices 3"],
) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
    lowest, highest = vertices.aminmax(dim=0)
    return (lowest + highest) / 2, highest - lowest


@torch.no_grad()
def skeleton_overlay(
    picture: Float[Tensor, "3 height width"],
    keypoints: Float[Tensor, "keypoints 2"],
    skeleton: Skeleton,
    visible: Bool[Tensor, "keypoints"] | None = None,
    thickness: float | None = None,
) -> Float32[Tensor, "3 height width"]:
    """The picture with a skeleton's bones as lines and its joints as discs.

    The person's left is blue, the right orange, the middle yellow.

    Args:
        picture: sRGB in [0, 1].
        keypoints: (x, y) in pixels, in the skeleton's order; those that are not finite are left out.
        skeleton: joints by name, and the bones between them.
        visible: keypoints to draw; all where None.
        thickness: of a bone in pixels; 1 / 150 of the longer side, at least 1.5, where None.
    """
    canvas = picture.float().clamp(0, 1).clone()
    thickness = thickness or max(1.5, max(picture.shape[1:]) / 150)
    shown = keypoints.isfinite().all(1) & (True if visible is None else visible)
    points = {
        joint: tuple(keypoints[row].tolist()) for joint, row in skeleton.index.items() if bool(shown[row])
    }
    for first, second in skeleton.bones:
        if first in points and second in points:
            _draw_line(canvas, points[first], points[second], thickness, _color_of(first, second))
    for joint, point in points.items():
        _draw_line(canvas, point, point, 2 * thickness, _color_of(joint))
    return canvas


def _color_of(*joints: str) -> tuple[float, float, float]:
    sides = {joint.split("_")[0] for joint in joints}
    if "left" in sides and "right" not in sides:
        return LEFT_COLOR
    if "right" in sides and "left" not in sides:
        return RIGHT_COLOR
    return MIDDLE_COLOR


_ROWS_OF_A_LINE = 128


def _draw_line(
    canvas: Float32[Tensor, "3 height width"],
    start: tuple[float, float],
    end: tuple[float, float],
    thickness: float,
    color: tuple[float, float, float],
) -> None:
    """Draws onto the canvas a line with round ends; a disc where start and end agree."""
    height = canvas.shape[1]
    (_, y0), (_, y1) = start, end
    reach = thickness / 2 + 1
    top, bottom = max(0, math.floor(min(y0, y1) - reach)), min(height, math.ceil(max(y0, y1) + reach))
    for row in range(top, bottom, _ROWS_OF_A_LINE):
        _draw_line_in_rows(canvas, (row, min(row + _ROWS_OF_A_LINE, bottom)), (start, end), thickness, color)


def _draw_line_in_rows(
    canvas: Float32[Tensor, "3 height width"],
    rows: tuple[int, int],
    line: tuple[tuple[float, float], tuple[float, float]],
    thickness: float,
    color: tuple[float, float, float],
) -> None:
    (x0, y0), (x1, y1) = line
    dx, dy = x1 - x0, y1 - y0
    reach = thickness / 2 + 1
    # The part of the line that passes near these rows bounds the columns.
    shares = [(limit - y0) / dy for limit in (rows[0] - reach, rows[1] + reach)] if dy else [0, 1]
    crossed = [x0 + dx * min(1, max(0, share)) for share in shares]
    left = max(0, math.floor(min(crossed) - reach))
    right = min(canvas.shape[2], math.ceil(max(crossed) + reach))
    if left >= right:
        return
    y = torch.arange(*rows, device=canvas.device)[:, None] + 0.5
    x = torch.arange(left, right, device=canvas.device) + 0.5
    length_squared = dx * dx + dy * dy
    along = ((x - x0) * dx + (y - y0) * dy) / length_squared if length_squared else torch.zeros_like(x + y)
    along = along.clamp(0, 1)
    distance = torch.hypot(x - x0 - along * dx, y - y0 - along * dy)
    coverage = (thickness / 2 + 0.5 - distance).clamp(0, 1)
    tint = torch.tensor(color, device=canvas.device)[:, None, None]
    canvas[:, rows[0] : rows[1], left:right].lerp_(tint, coverage)


def contact_sheet(pictures: list[Tensor], columns: int, gap: int = 4) -> Float32[Tensor, "3 height width"]:
    """The pictures row by row on white, each in the middle of a cell as large as the largest.

    Args:
        pictures: each (3, height, width), of any sizes.
        columns: pictures in a row.
        gap: pixels between cells and around them.
    """
    if not pictures:
        raise ValueError("a contact sheet needs at least one picture, got none")
    if columns < 1:
        raise ValueError(f"columns must be at least 1, got {columns}")
    tall, wide = (max(picture.shape[axis] for picture in pictures) for axis in (1, 2))
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    size = (3, gap + rows * (tall + gap), gap + columns * (wide + gap))
    sheet = torch.ones(size, device=pictures[0].device)
    for number, picture in enumerate(pictures):
        _, height, width = picture.shape
        top = gap + number // columns * (tall + gap) + (tall - height) // 2
        left = gap + number % columns * (wide + gap) + (wide - width) // 2
        sheet[:, top : top + height, left : left + width] = picture.clamp(0, 1)
    return sheet
