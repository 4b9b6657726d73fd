"""Attributes, light and labels of pictures that can be worked out by hand."""

import pytest
import torch
import trimesh

from humanmesh.body.skeletons import SIX_PART_OF_SMPL_JOINT, SIX_PARTS, SMPL_24
from humanmesh.render.rasterizer import Fragments, rasterize
from humanmesh.render.shading import (
    Lights,
    average_samples,
    depth_picture,
    interpolate,
    part_colors,
    part_labels,
    shade,
    silhouette,
    six_part_labels,
    vertex_normals,
)

FOCAL, CENTRE = 30.0, 16.0


def slanted_square() -> tuple[torch.Tensor, torch.Tensor, Fragments]:
    """A square seen in perspective, its vertices in the camera frame, and what 32 x 32 pixels show of it."""
    vertices = torch.tensor([[[-1.0, -1, 2], [1, -1, 4], [1, 1, 4], [-1, 1, 2]]])
    faces = torch.tensor([[0, 2, 1], [0, 3, 2]])
    screen = torch.cat([FOCAL * vertices[..., :2] / vertices[..., 2:] + CENTRE, vertices[..., 2:]], -1)
    return vertices, faces, rasterize(screen, faces, 32, 32)


def test_interpolated_positions_project_back_to_their_pixels():
    vertices, faces, fragments = slanted_square()
    points = interpolate(fragments, faces, vertices)[0]
    shown = silhouette(fragments)[0]
    row, column = shown.nonzero(as_tuple=True)
    expected = torch.stack([column, row], 1) + 0.5
    torch.testing.assert_close(FOCAL * points[shown][:, :2] / points[shown][:, 2:] + CENTRE, expected)
    torch.testing.assert_close(points[..., 2][shown], fragments.depth[0][shown])
    assert (points[~shown] == 0).all()
    assert 100 < shown.sum() < 900


def test_gradient_of_an_interpolated_sum_is_the_sum_of_the_weights():
    _, faces, fragments = slanted_square()
    attributes = torch.zeros(1, 4, 1, requires_grad=True)
    interpolate(fragments, faces, attributes).sum().backward()
    assert attributes.grad is not None
    shown = silhouette(fragments)[0]
    weights = fragments.barycentrics[0][shown]
    expected = torch.zeros(4).index_add(0, faces[fragments.face_index[0][shown]].flatten(), weights.flatten())
    torch.testing.assert_close(attributes.grad[0, :, 0], expected)


def test_each_image_of_a_batch_takes_its_own_attributes():
    vertices, faces, fragments = slanted_square()
    pair = Fragments(*(torch.cat([values, values]) for values in vars(fragments).values()))
    picture = interpolate(pair, faces, torch.cat([vertices, 10 * vertices]))
    torch.testing.assert_close(picture[1], 10 * picture[0])


def test_normals_of_a_sphere_point_outward_from_its_centre():
    mesh = trimesh.creation.icosphere(3, 0.7)
    vertices = torch.tensor(mesh.vertices)[None]
    normals = vertex_normals(vertices + 5, torch.tensor(mesh.faces))
    assert (normals * vertices / 0.7).sum(-1).min() > 0.9998  # cosine of a degree


def test_a_vertex_without_faces_has_a_zero_normal():
    vertices = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [9, 9, 9]]])
    normals = vertex_normals(vertices, torch.tensor([[0, 1, 2], [1, 1, 2]]))
    assert normals[0].tolist() == [[0, 0, 1]] * 3 + [[0, 0, 0]]


def test_a_surface_facing_one_lamp_sends_back_that_lamps_share():
    lights = Lights(
        key_direction=(0.0, 0.0, -2.0), key=0.5, fill_direction=(1.0, 0.0, 0.0), fill=0.25, ambient=0.125
    )
    normals = torch.tensor([[0.0, 0, -1], [3, 0, 0], [0, 0, 1], [0, 0.6, -0.8]])
    seen = shade(normals, torch.tensor([1.0, 0.5, 0]).expand(4, 3), lights)
    brightness = torch.tensor([0.625, 0.375, 0.125, 0.525])
    torch.testing.assert_close(seen, brightness[:, None] * torch.tensor([1.0, 0.5, 0]))


def test_light_never_leaves_the_range_of_colours():
    normals = torch.nn.functional.normalize(
        torch.randn(200, 3, generator=torch.Generator().manual_seed(0)), dim=1
    )
    seen = shade(normals, torch.ones(200, 3), Lights(key=3.0))
    assert seen.min() >= 0
    assert seen.max() == 1


def fragments_of_faces(face_index: list[list[int]], depth: list[list[float]] | None = None) -> Fragments:
    index = torch.tensor([face_index])
    depths = torch.ones(index.shape) if depth is None else torch.tensor([depth])
    return Fragments(index, torch.zeros(*index.shape, 3), depths)


def test_labels_count_parts_from_one_and_call_the_background_zero():
    head, knee = SMPL_24.index["head"], SMPL_24.index["left_knee"]
    fragments = fragments_of_faces([[-1, 0], [1, 2]])
    face_parts = torch.tensor([head, knee, 0])
    assert part_labels(fragments, face_parts)[0].tolist() == [[0, 1 + head], [1 + knee, 1]]
    expected = [
        [0, 1 + SIX_PARTS.index("head")],
        [1 + SIX_PARTS.index("left_leg"), 1 + SIX_PARTS.index("torso")],
    ]
    assert six_part_labels(fragments, face_parts.int())[0].tolist() == expected
    assert silhouette(fragments)[0].tolist() == [[False, True], [True, True]]


def test_depth_pictures_run_from_white_near_to_dark_far_on_black():
    inf = float("inf")
    fragments = fragments_of_faces([[0, 0, 0, -1]], [[2.0, 3, 4, inf]])
    torch.testing.assert_close(depth_picture(fragments)[0, 0], torch.tensor([1.0, 0.6, 0.2, 0]))
    nothing = fragments_of_faces([[-1, -1]], [[inf, inf]])
    assert depth_picture(nothing)[0].tolist() == [[0, 0]]
    flat = fragments_of_faces([[0, 0]], [[2.0, 2]])
    assert depth_picture(flat)[0].tolist() == [[1, 1]]


def test_averaging_samples_agrees_with_average_pooling():
    picture = torch.rand(2, 6, 9, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.nn.functional.avg_pool2d(picture.permute(0, 3, 1, 2), 3).permute(0, 2, 3, 1)
    torch.testing.assert_close(average_samples(picture, 3), expected)
    torch.testing.assert_close(average_samples(picture, 1), picture)


@pytest.mark.parametrize("count", [0, 6, 24])
def test_part_colours_differ_from_each_other(count):
    colors = part_colors(count)
    assert colors.shape == (count, 3)
    apart = torch.cdist(colors, colors) + torch.eye(count)
    assert not count or apart.min() > 0.1


def test_the_neck_belongs_to_the_torso_and_the_skull_to_the_head_as_in_upi_s1h():
    part_of = dict(zip(SMPL_24.joints, SIX_PART_OF_SMPL_JOINT, strict=True))
    assert SIX_PARTS[part_of["neck"]] == SIX_PARTS[part_of["left_collar"]] == "torso"
    assert SIX_PARTS[part_of["head"]] == "head"
