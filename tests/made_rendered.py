"""Synthetic people of the bundled body in a file such as `humanmesh data synthesize` writes, but small."""

import math
from pathlib import Path

import torch
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.data.synthetic_scene import CropCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.render.rasterizer import rasterize
from humanmesh.render.shading import part_labels, silhouette

SIDE = 48
"""Pixels."""


def rendered_people(body: BodyModel, people: int = 3) -> dict[str, Tensor]:
    """People who stand 4 m before the camera, in the middle of grey pictures."""
    chance = torch.Generator().manual_seed(0)
    turns = 0.15 * torch.randn(people, 24, 3, generator=chance)
    turns[:, 0] = torch.tensor([math.pi, 0, 0])
    rotations = axis_angle_to_matrix(turns)
    shape = 0.5 * torch.randn(people, 10, generator=chance)
    posed = body(rotations, shape)
    keypoints = body.keypoints(posed.vertices, "cocoplus19")
    translation = torch.tensor([0, 0, 4.0]) - (keypoints.amin(1) + keypoints.amax(1)) / 2
    camera = CropCamera(torch.full((people,), 3.0), torch.zeros(people, 2))
    vertices = posed.vertices + translation[:, None]
    keypoints = keypoints + translation[:, None]
    screen = torch.cat([(camera.project(vertices) + 1) * SIDE / 2, vertices[..., 2:]], 2)
    fragments = rasterize(screen, body.data.faces, SIDE, SIDE)
    return {
        "images": torch.full((people, 3, SIDE, SIDE), 128, dtype=torch.uint8),
        "keypoints_2d": camera.project(keypoints),
        "weights_2d": torch.ones(people, 19),
        "keypoints_3d": keypoints,
        "joints_3d": posed.joints + translation[:, None],
        "rotations": rotations,
        "shape": shape,
        "translation": translation,
        "mask": silhouette(fragments).to(torch.uint8),
        "parts": part_labels(fragments, body.data.face_parts).to(torch.uint8),
        "focal": camera.focal,
        "centre": camera.centre,
    }


def write_rendered(path: Path, body: BodyModel, people: int = 3, **changes: Tensor) -> Path:
    torch.save({**rendered_people(body, people), **changes}, path)
    return path
