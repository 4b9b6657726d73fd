"""Draw the 91 surface points on a body, to look at: are they spread over the skin, is left the mirror of right?

    python tools/draw_surface_points.py docs/pictures/surface_points.png [BODY]

BODY is "anny" or the path of a body file. Front, back and left side, a colour for each of the 24 parts; points whose skin
faces away are left out.
"""

import colorsys
import math
import sys

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import Skeleton
from humanmesh.files.body_models import load_body_data
from humanmesh.files.images import write_png
from humanmesh.fitting.surface_points import SURFACE_91, surface_vertices
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.render.overlay import Look, draw_body, skeleton_overlay
from humanmesh.render.shading import vertex_normals

_HEIGHT = 840  # pixels
_VIEWS = ((0.0, 800), (math.pi, 800), (-math.pi / 2, 240))
"""Turn about the vertical and width in pixels: front, back, the person's left side."""
_WIDTH = max(width for _, width in _VIEWS)
_FOCAL = 6 * 460.0  # a body 6 m away is drawn at 460 pixels a metre


def main() -> None:
    """Draw the three views and write the sheet."""
    path, name = sys.argv[1], (sys.argv[2:] or ["anny"])[0]
    data = load_body_data(name)
    rows = surface_vertices(data)
    body = BodyModel(data)
    rest = body(torch.zeros(1, 72), torch.zeros(1, data.shape_directions.shape[2])).vertices[0]
    colors = torch.tensor([_color_of(part) for part in range(24)])
    face_colors = colors[data.skinning_weights[data.faces].sum(1).argmax(1)]
    views = [_view(rest, rows, data.faces, face_colors, turn)[:, :, _cut(width)] for turn, width in _VIEWS]
    write_png(path, torch.cat(views, 2))
    print(f"{path}: {len(rows)} points")


def _cut(width: int) -> slice:
    left = (_WIDTH - width) // 2
    return slice(left, left + width)


def _color_of(part: int) -> tuple[float, float, float]:
    """Neighbouring parts far apart on the colour circle, all of them pale."""
    return colorsys.hsv_to_rgb(part * 0.381966 % 1, 0.35, 0.95)


def _view(
    rest: Float[Tensor, "vertices 3"],
    rows: Tensor,
    faces: Tensor,
    face_colors: Float[Tensor, "faces 3"],
    turn: float,
) -> Float[Tensor, "3 height width"]:
    middle = (rest.amin(0) + rest.amax(0)) / 2
    camera_from_body = torch.diag(torch.tensor([1.0, -1, -1])) @ axis_angle_to_matrix(
        torch.tensor([0, turn, 0])
    )
    vertices = (rest - middle) @ camera_from_body.T + torch.tensor([0, 0, 6.0])
    centre = (_WIDTH / 2, _HEIGHT / 2)
    ground = torch.full((3, _HEIGHT, _WIDTH), 0.97)
    picture = draw_body(ground, vertices, faces, _FOCAL, centre, face_colors, Look(opacity=1.0))
    faces_viewer = vertex_normals(vertices[None], faces)[0, rows, 2] < 0.1
    points = _FOCAL * vertices[rows, :2] / vertices[rows, 2:] + torch.tensor(centre)
    dots = Skeleton("dots", SURFACE_91.joints)
    return skeleton_overlay(picture, points, dots, visible=faces_viewer, thickness=4)


if __name__ == "__main__":
    main()
