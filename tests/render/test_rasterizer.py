"""The rasteriser against trimesh's ray caster, against laws, and against numbers counted by hand."""

import numpy as np
import pytest
import torch
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import ConvexHull
from trimesh.ray.ray_triangle import ray_triangle_id

from humanmesh.render import rasterizer
from humanmesh.render.rasterizer import Fragments, rasterize

FOCAL, SIZE = 60.0, 64


def to_screen(vertices: torch.Tensor) -> torch.Tensor:
    xy = FOCAL * vertices[..., :2] / vertices[..., 2:] + SIZE / 2
    return torch.cat([xy, vertices[..., 2:]], -1)


def tensors_of(mesh: trimesh.Trimesh) -> tuple[torch.Tensor, torch.Tensor]:
    """Vertices and faces."""
    return torch.tensor(mesh.vertices, dtype=torch.float32), torch.tensor(np.asarray(mesh.faces))


def tilted_torus(distance: float = 2.0) -> trimesh.Trimesh:
    mesh = trimesh.creation.torus(0.5, 0.2, major_sections=40, minor_sections=24)
    mesh.apply_transform(trimesh.transformations.rotation_matrix(1.2, [1, 0.3, 0]))
    mesh.apply_translation([0.05, 0.02, distance])
    return mesh


def sphere(radius: float = 0.6, subdivisions: int = 4) -> trimesh.Trimesh:
    mesh = trimesh.creation.icosphere(subdivisions, radius)
    mesh.apply_translation([0.03, -0.04, 2])
    return mesh


def pixel_centres() -> np.ndarray:
    """(SIZE * SIZE, 2), x and y, row by row."""
    row, column = np.divmod(np.arange(SIZE * SIZE), SIZE)
    return np.stack([column + 0.5, row + 0.5], -1)


class BoxSearch:
    """What trimesh asks of an rtree, without the package: the boxes that overlap a box."""

    def __init__(self, triangles: np.ndarray) -> None:
        self.lowest, self.highest = triangles.min(1), triangles.max(1)
        self.bounds = np.concatenate([self.lowest.min(0), self.highest.max(0)])

    def intersection(self, box: np.ndarray) -> np.ndarray:
        overlaps = (self.lowest <= box[3:]) & (self.highest >= box[:3])
        return np.flatnonzero(overlaps.all(1))


def cast_rays(mesh: trimesh.Trimesh) -> tuple[np.ndarray, np.ndarray]:
    """Nearest face and its depth for each pixel centre; -1 and inf where the ray meets none."""
    rays = np.concatenate([(pixel_centres() - SIZE / 2) / FOCAL, np.ones((SIZE * SIZE, 1))], 1)
    triangles = np.asarray(mesh.triangles)
    face, ray, point = ray_triangle_id(
        triangles, np.zeros_like(rays), rays, mesh.face_normals, BoxSearch(triangles), multiple_hits=True
    )
    nearest_last = np.argsort(-point[:, 2])
    faces, depths = np.full(len(rays), -1), np.full(len(rays), np.inf)
    faces[ray[nearest_last]] = face[nearest_last]
    depths[ray[nearest_last]] = point[nearest_last, 2]
    return faces, depths


def assert_same(first: Fragments, second: Fragments) -> None:
    torch.testing.assert_close(first.face_index, second.face_index)
    torch.testing.assert_close(first.depth, second.depth, rtol=0, atol=0)
    torch.testing.assert_close(first.barycentrics, second.barycentrics, rtol=0, atol=0)


def draw(triangles: list[list[list[float]]], height: int, width: int) -> Fragments:
    """Separate triangles given by their corners' screen coordinates."""
    vertices = torch.tensor(triangles, dtype=torch.float32).reshape(1, -1, 3)
    return rasterize(vertices, torch.arange(vertices.shape[1]).view(-1, 3), height, width)


@pytest.mark.parametrize("make", [tilted_torus, sphere])
def test_pixels_agree_with_a_ray_caster(make):
    mesh = make()
    vertices, faces = tensors_of(mesh)
    fragments = rasterize(to_screen(vertices)[None], faces, SIZE, SIZE)
    expected_face, expected_depth = cast_rays(mesh)
    face, depth = fragments.face_index.flatten().numpy(), fragments.depth.flatten().numpy()
    both = (face >= 0) & (expected_face >= 0)
    same_depth = np.zeros_like(both)
    same_depth[both] = np.abs(depth[both] - expected_depth[both]) < 1e-4
    assert ((face == expected_face) | same_depth).mean() >= 0.995
    assert 500 < both.sum() < 4000


@pytest.mark.parametrize("subdivisions", [1, 3, 5])
def test_a_convex_body_fills_exactly_the_hull_of_its_outline(subdivisions):
    vertices, faces = tensors_of(sphere(subdivisions=subdivisions))
    screen = to_screen(vertices)
    shown = (rasterize(screen[None], faces, SIZE, SIZE).face_index >= 0).flatten().numpy()
    hull = ConvexHull(screen[:, :2].double().numpy())
    outside = (pixel_centres() @ hull.equations[:, :2].T + hull.equations[:, 2]).max(1)
    assert shown[outside < -1e-4].all()
    assert not shown[outside > 1e-4].any()


def test_faces_whose_corners_and_edges_meet_pixel_centres_leave_no_holes():
    row, column = torch.meshgrid(torch.arange(9), torch.arange(9), indexing="ij")
    corners = torch.stack([column + 0.5, row + 0.5, torch.full_like(row, 2.0, dtype=torch.float)], -1)
    corner = (9 * row + column)[:8, :8].flatten()
    faces = torch.cat([
        torch.stack([corner, corner + 9, corner + 1], 1),
        torch.stack([corner + 1, corner + 9, corner + 10], 1),
    ])
    fragments = rasterize(corners.reshape(1, -1, 3), faces, 9, 9)
    assert (fragments.face_index >= 0).all()


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_fan_around_any_point_leaves_no_holes(seed):
    draws = torch.Generator().manual_seed(seed)
    angles = torch.linspace(0, 2 * torch.pi, 12)[:-1] + 0.4 * torch.rand(11, generator=draws)
    rim = 300 + 40 * torch.stack([angles.cos(), angles.sin()], -1)
    middle = 300 + 4 * torch.rand(1, 2, generator=draws)
    depths = 1 + torch.rand(12, 1, generator=draws)
    vertices = torch.cat([torch.cat([middle, rim]), depths], 1)
    number = torch.arange(11)
    faces = torch.stack([torch.zeros_like(number), 1 + number, 1 + (number + 1) % 11], 1)
    window = torch.tensor([285.0, 285.0, 0.0])
    assert (rasterize((vertices - window)[None], faces, 30, 30).face_index >= 0).all()


def test_a_right_triangle_covers_the_pixels_counted_by_hand():
    fragments = draw([[[0, 0, 1], [4, 0, 1], [0, 4, 1]]], 5, 6)
    # Centres on the slanted edge (x + y = 4) belong to it.
    shown = [[1, 1, 1, 1, 0, 0], [1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0], [0] * 6]
    assert (fragments.face_index[0] + 1).tolist() == shown
    torch.testing.assert_close(fragments.barycentrics[0, 0, 0], torch.tensor([0.75, 0.125, 0.125]))
    assert (fragments.depth[0, 0, 0], fragments.depth[0, 0, 5]) == (1, torch.inf)
    assert fragments.barycentrics[0, 0, 5].tolist() == [0, 0, 0]


def test_halfway_on_the_screen_is_nearer_than_halfway_in_space():
    # From depth 1 to depth 3 the middle of the screen lies at 1 / ((1 + 1/3) / 2) = 1.5, a quarter of the way.
    fragments = draw([[[0, -10, 1], [1, -10, 3], [1, 10, 3]], [[0, -10, 1], [1, 10, 3], [0, 10, 1]]], 1, 1)
    assert fragments.depth.item() == pytest.approx(1.5, rel=1e-6)


def test_barycentrics_lead_back_to_the_pixel_centre():
    vertices, faces = tensors_of(tilted_torus())
    fragments = rasterize(to_screen(vertices)[None], faces, SIZE, SIZE)
    shown = fragments.face_index[0] >= 0
    weights = fragments.barycentrics[0][shown]
    points = (weights[:, :, None] * vertices[faces[fragments.face_index[0][shown]]]).sum(1)
    expected = torch.tensor(pixel_centres(), dtype=torch.float32)[shown.flatten()]
    torch.testing.assert_close(to_screen(points)[:, :2], expected, rtol=0, atol=1e-3)
    torch.testing.assert_close(points[:, 2], fragments.depth[0][shown], rtol=1e-5, atol=0)
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)))
    assert weights.min() >= 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_the_nearer_of_two_faces_shows_whatever_their_order(order):
    pair = [[[0, 0, 2], [9, 0, 2], [0, 9, 2]], [[0, 0, 1], [9, 0, 1], [0, 9, 1]]]
    fragments = draw([pair[number] for number in order], 4, 4)
    assert (fragments.depth == 1).all()
    assert (fragments.face_index == order.index(1)).all()


def test_depths_a_hair_apart_keep_their_order():
    near, far = 2.0, float(np.nextafter(np.float32(2), np.float32(3)))
    fragments = draw(
        [[[0, 0, far], [8, 0, far], [0, 8, far]], [[0, 0, near], [8, 0, near], [0, 8, near]]], 2, 2
    )
    assert (fragments.face_index == 1).all()


BAD = {
    "behind the camera": [[1, 1, -1], [5, 1, -1], [1, 5, -1]],
    "through the camera plane": [[1, 1, 1], [5, 1, -1], [1, 5, 1]],
    "on the camera plane": [[1, 1, 0], [5, 1, 1], [1, 5, 1]],
    "not a number in x": [[float("nan"), 1, 1], [5, 1, 1], [1, 5, 1]],
    "not a number in depth": [[1, 1, float("nan")], [5, 1, 1], [1, 5, 1]],
    "infinite in y": [[1, 1, 1], [5, float("inf"), 1], [1, 5, 1]],
    "infinitely far": [[1, 1, float("inf")], [5, 1, 1], [1, 5, 1]],
    "too large to have an area": [[-3e38, -3e38, 1], [3e38, 0, 1], [0, 3e38, 1]],
    "a point": [[2.5, 2.5, 1]] * 3,
    "a line": [[0.5, 0.5, 1], [2.5, 2.5, 1], [4.5, 4.5, 1]],
    "left of the picture": [[-9, 1, 1], [-5, 1, 1], [-9, 5, 1]],
    "below the picture": [[1, 70, 1], [5, 70, 1], [1, 90, 1]],
    "between pixel centres": [[1.6, 1.6, 1], [2.4, 1.6, 1], [1.6, 2.4, 1]],
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_a_face_that_cannot_show_leaves_the_picture_as_it_was(bad):
    good = [[0, 0, 3], [4, 0, 3], [0, 4, 3]]
    with_bad, alone = draw([good, bad], 8, 8), draw([good], 8, 8)
    assert_same(with_bad, alone)
    assert (draw([bad], 8, 8).face_index == -1).all()


def test_a_face_far_larger_than_the_picture_fills_it():
    fragments = draw([[[-1e6, -1e6, 2], [3e6, -1e6, 2], [-1e6, 3e6, 2]]], 50, 40)
    assert (fragments.face_index == 0).all()
    torch.testing.assert_close(fragments.depth, torch.full((1, 50, 40), 2.0))


def test_no_faces_and_no_images_give_empty_pictures():
    vertices = torch.rand(2, 5, 3)
    empty = rasterize(vertices, torch.zeros(0, 3, dtype=torch.int64), 3, 4)
    assert empty.face_index.shape == (2, 3, 4)
    assert (empty.face_index == -1).all()
    faces = torch.tensor([[0, 1, 2]])
    assert rasterize(vertices[:0], faces, 3, 4).depth.shape == (0, 3, 4)


def three_views() -> tuple[torch.Tensor, torch.Tensor]:
    vertices, faces = tensors_of(tilted_torus())
    moved = torch.stack([vertices, vertices + torch.tensor([0.2, 0, 0.5]), vertices.flip(0) * 0.9])
    return to_screen(moved), faces


def test_a_batch_draws_what_each_image_draws_alone():
    screens, faces = three_views()
    together = rasterize(screens, faces, 40, SIZE)
    for number, screen in enumerate(screens):
        alone = rasterize(screen[None], faces, 40, SIZE)
        assert_same(Fragments(*(values[number : number + 1] for values in vars(together).values())), alone)


@pytest.mark.parametrize(("candidates", "triangles"), [(7, 1 << 18), (1000, 1), (1 << 17, 2000)])
def test_the_size_of_the_chunks_does_not_change_the_picture(monkeypatch, candidates, triangles):
    vertices, faces = tensors_of(tilted_torus().convex_hull if candidates == 7 else tilted_torus())
    screens = to_screen(torch.stack([vertices, vertices * 1.1]))
    size = 24 if candidates == 7 else SIZE
    expected = rasterize(screens, faces, size, size)
    monkeypatch.setattr(rasterizer, "_CANDIDATES_AT_ONCE", candidates)
    monkeypatch.setattr(rasterizer, "_TRIANGLES_AT_ONCE", triangles)
    monkeypatch.setattr(rasterizer, "_PIXELS_AT_ONCE", candidates)
    assert_same(rasterize(screens, faces, size, size), expected)


def test_moving_by_whole_pixels_moves_the_picture():
    vertices, faces = tensors_of(tilted_torus())
    # Multiples of 1/256 pixel stay exact when whole pixels are added.
    screen = (to_screen(vertices) * 256).round() / 256
    first = rasterize(screen[None], faces, SIZE, SIZE)
    moved = rasterize((screen + torch.tensor([5.0, 3.0, 0.0]))[None], faces, SIZE + 3, SIZE + 5)
    torch.testing.assert_close(moved.face_index[:, 3:, 5:], first.face_index)
    torch.testing.assert_close(moved.depth[:, 3:, 5:], first.depth, rtol=0, atol=0)


def test_culling_changes_nothing_in_the_picture_of_a_closed_body():
    screens, faces = three_views()
    assert_same(
        rasterize(screens[:2], faces, SIZE, SIZE, cull_backfaces=True),
        rasterize(screens[:2], faces, SIZE, SIZE),
    )


def test_culling_keeps_the_face_that_is_counter_clockwise_to_the_viewer():
    # Up the screen is -y: right, then up, then back is counter-clockwise.
    vertices = torch.tensor([[[0.0, 8, 1], [8, 8, 1], [0, 0, 1]]])
    toward, away = torch.tensor([[0, 1, 2]]), torch.tensor([[0, 2, 1]])
    assert (rasterize(vertices, toward, 8, 8, cull_backfaces=True).face_index == 0).any()
    assert (rasterize(vertices, away, 8, 8, cull_backfaces=True).face_index == -1).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_other_number_types_are_drawn_as_float32(dtype):
    screens, faces = three_views()
    fragments = rasterize(screens.to(dtype), faces.int(), SIZE, SIZE)
    assert_same(fragments, rasterize(screens.to(dtype).float(), faces, SIZE, SIZE))
