"""Pictures of shapes so simple that every pixel is known."""

import pytest
import torch
import trimesh

from humanmesh.body.skeletons import COCO_17, LSP_14, SKELETONS, Skeleton
from humanmesh.render import overlay
from humanmesh.render.overlay import (
    LEFT_COLOR,
    MIDDLE_COLOR,
    RIGHT_COLOR,
    Lights,
    Look,
    contact_sheet,
    draw_body,
    draw_people,
    front_view,
    side_view,
    skeleton_overlay,
)

FLAT = Look(opacity=1.0, samples=2, lights=Lights(key=0.0, fill=0.0, ambient=1.0))
"""Every surface in exactly its own colour."""

SQUARE = torch.tensor([[0, 2, 1], [0, 3, 2]])


def square(left: float, top: float, right: float, bottom: float, depth: float = 1.0) -> torch.Tensor:
    """Covers these pixels under a focal length of 1 and a principal point at the corner (0, 0)."""
    corners = [[left, top, 1], [right, top, 1], [right, bottom, 1], [left, bottom, 1]]
    return depth * torch.tensor(corners)


def photo(height: int, width: int) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))


def one_color(*rgb: float) -> torch.Tensor:
    return torch.tensor([rgb, rgb], dtype=torch.float32)


def red_green_people(near: int) -> torch.Tensor:
    """One pixel that a red and a green square both cover, the nearer one number `near`."""
    depths = [1.0, 1.0]
    depths[near] = 0.5
    people = torch.stack([square(0, 0, 1, 1, depth) for depth in depths])
    colors = torch.stack([one_color(1, 0, 0), one_color(0, 1, 0)])
    return draw_people(torch.zeros(3, 1, 1), people, SQUARE, 1.0, (0.0, 0.0), colors, FLAT)


def test_a_body_covers_its_own_pixels_and_leaves_the_photo_elsewhere():
    before = photo(6, 8)
    after = draw_body(before, square(2, 1, 5, 4), SQUARE, 1.0, (0.0, 0.0), one_color(0.2, 0.4, 0.6), FLAT)
    expected = before.clone()
    expected[:, 1:4, 2:5] = torch.tensor([0.2, 0.4, 0.6])[:, None, None]
    torch.testing.assert_close(after, expected)


def test_drawing_leaves_the_given_photo_as_it_was():
    before = photo(6, 8)
    kept = before.clone()
    draw_body(before, square(2, 1, 5, 4), SQUARE, 1.0, (0.0, 0.0))
    skeleton_overlay(before, torch.full((14, 2), 3.0), LSP_14)
    assert torch.equal(before, kept)


def test_an_edge_through_the_middle_of_a_pixel_gives_half_its_colour():
    after = draw_body(
        torch.zeros(3, 1, 3), square(0, 0, 1.5, 1), SQUARE, 1.0, (0.0, 0.0), one_color(1, 1, 1), FLAT
    )
    torch.testing.assert_close(after[0, 0], torch.tensor([1, 0.5, 0]))


def test_opacity_mixes_body_and_photo():
    look = Look(opacity=0.25, samples=1, lights=FLAT.lights)
    after = draw_body(
        torch.full((3, 1, 1), 0.8), square(0, 0, 1, 1), SQUARE, 1.0, (0.0, 0.0), one_color(0, 0, 0.4), look
    )
    torch.testing.assert_close(after[:, 0, 0], torch.tensor([0.6, 0.6, 0.7]))


def test_focal_length_and_principal_point_place_the_body():
    after = draw_body(
        torch.zeros(3, 6, 8), square(0, 0, 1, 1, 3.0), SQUARE,
        torch.tensor(2.0), torch.tensor([3.0, 1.0]), one_color(1, 1, 1), FLAT,
    )  # fmt: skip
    expected = torch.zeros(6, 8)
    expected[1:3, 3:5] = 1
    torch.testing.assert_close(after[0], expected)


@pytest.mark.parametrize("near", [0, 1])
def test_the_nearer_person_hides_the_farther(near):
    assert red_green_people(near)[:2, 0, 0].tolist() == [1 - near, near]


def test_people_get_different_colours():
    people = torch.stack([square(column, 0, column + 1, 1) for column in range(3)])
    after = draw_people(torch.zeros(3, 1, 3), people, SQUARE, 1.0, (0.0, 0.0), None, FLAT)
    torch.testing.assert_close(after[:, 0].T, torch.tensor(overlay.PERSON_COLORS[:3]))


def test_strips_do_not_show(monkeypatch):
    mesh = trimesh.creation.icosphere(3, 0.5)
    vertices = torch.tensor(mesh.vertices, dtype=torch.float32) + torch.tensor([0, 0, 2.0])
    arguments = (photo(50, 60), vertices, torch.tensor(mesh.faces), 80.0, (31.0, 22.0))
    expected = draw_body(*arguments)
    monkeypatch.setattr(overlay, "_SAMPLES_AT_ONCE", 7 * 9 * 45)
    torch.testing.assert_close(draw_body(*arguments), expected, rtol=0, atol=1e-5)


BEYOND = {
    "behind the camera": square(0, 0, 4, 4, -1.0),
    "beside the photo": square(20, 0, 24, 4),
    "not numbers": square(0, 0, 4, 4) * float("nan"),
}


@pytest.mark.parametrize("vertices", BEYOND.values(), ids=BEYOND.keys())
def test_a_body_out_of_sight_leaves_the_photo(vertices):
    assert torch.equal(draw_body(photo(6, 8), vertices, SQUARE, 1.0, (0.0, 0.0)), photo(6, 8))


def test_no_people_leave_the_photo():
    assert torch.equal(draw_people(photo(6, 8), torch.zeros(0, 4, 3), SQUARE, 1.0, (0.0, 0.0)), photo(6, 8))


def test_a_look_outside_its_range_is_refused():
    with pytest.raises(ValueError, match="opacity"):
        Look(opacity=1.5)
    with pytest.raises(ValueError, match="samples"):
        Look(samples=0)


def box_toward_the_camera() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """1 wide, 2 high and 1 deep; the side at the camera is red, the rest blue."""
    mesh = trimesh.creation.box((1, 2, 1)).subdivide()
    front = torch.tensor(mesh.face_normals[:, 2] < -0.5)
    colors = torch.where(front[:, None], torch.tensor([1.0, 0, 0]), torch.tensor([0, 0, 1.0]))
    vertices = torch.tensor(mesh.vertices, dtype=torch.float32) + torch.tensor([0.3, 0.1, 5])
    return vertices, torch.tensor(mesh.faces), colors


def shown_box(picture: torch.Tensor) -> tuple[int, int, int, int]:
    """Top, bottom, left and right of what is not ground."""
    row, column = ((picture - picture[:, :1, :1]).abs().sum(0) > 0.1).nonzero(as_tuple=True)
    return int(row.min()), int(row.max()), int(column.min()), int(column.max())


def test_the_front_view_shows_what_faces_the_camera_in_the_middle():
    picture = front_view(*box_toward_the_camera()[:2], 90, 70, box_toward_the_camera()[2], FLAT)
    assert picture[:, 45, 35].tolist() == [1, 0, 0]
    assert not ((picture[2] > 0.9) & (picture[0] < 0.1)).any()
    top, bottom, left, right = shown_box(picture)
    assert abs(top - (89 - bottom)) <= 1
    assert abs(left - (69 - right)) <= 1


@pytest.mark.parametrize(("height", "width"), [(90, 70), (60, 200), (200, 60)])
@pytest.mark.parametrize("view", [front_view, side_view])
def test_views_fit_the_body_into_the_picture(view, height, width):
    vertices, faces, _ = box_toward_the_camera()
    top, bottom, left, right = shown_box(view(vertices, faces, height, width))
    assert top > 0
    assert left > 0
    assert bottom < height - 1
    assert right < width - 1
    assert max((bottom - top) / height, (right - left) / width) > 0.8


def test_the_side_view_shows_neither_the_front_nor_the_back():
    vertices, faces, colors = box_toward_the_camera()
    assert side_view(vertices, faces, 90, 70, colors, FLAT)[:, 45, 35].tolist() == [0, 0, 1]


def test_what_points_at_the_camera_points_right_in_the_side_view():
    vertices = torch.tensor([
        [0, 0, 4.5],
        [0.5, -0.5, 5.5],
        [-0.5, -0.5, 5.5],
        [-0.5, 0.5, 5.5],
        [0.5, 0.5, 5.5],
    ])
    faces = torch.tensor([[0, 1, 2], [0, 2, 3], [0, 3, 4], [0, 4, 1], [1, 3, 2], [1, 4, 3]])
    shown = (side_view(vertices, faces, 90, 90) - 0.93).abs().sum(0) > 0.1
    columns = shown.sum(0)
    left, right = columns.nonzero().flatten()[[0, -1]].tolist()
    assert columns[left + 2] > 50
    assert columns[right - 2] < 15


TWO_ARMS = Skeleton(
    "two arms",
    ("left_elbow", "left_wrist", "right_elbow", "right_wrist", "neck", "head_top"),
    (("left_elbow", "left_wrist"), ("right_elbow", "right_wrist"), ("neck", "head_top")),
)
ARMS = torch.tensor([[5.5, 5.5], [35.5, 5.5], [5.5, 15.5], [35.5, 15.5], [5.5, 25.5], [35.5, 25.5]])


def test_bones_take_the_colour_of_their_side():
    drawn = skeleton_overlay(torch.zeros(3, 30, 40), ARMS, TWO_ARMS, thickness=3.0)
    expected = torch.tensor([LEFT_COLOR, RIGHT_COLOR, MIDDLE_COLOR])
    torch.testing.assert_close(drawn[:, [5, 15, 25], 20].T, expected)
    assert (drawn[:, 10, 20] == 0).all()


def test_a_line_is_as_thick_as_asked():
    drawn = skeleton_overlay(torch.zeros(3, 30, 40), ARMS, TWO_ARMS, thickness=4.0)
    # Antialiasing spreads the border over a pixel and keeps the sum.
    coverage = drawn[2, 0:11, 20].sum() / LEFT_COLOR[2]
    assert coverage.item() == pytest.approx(4.0, abs=1e-4)


def test_keypoints_that_are_not_visible_or_not_numbers_are_left_out():
    visible = torch.tensor([True, False, True, True, True, True])
    keypoints = ARMS.clone()
    keypoints[3] = float("nan")
    drawn = skeleton_overlay(torch.zeros(3, 30, 40), keypoints, TWO_ARMS, visible, thickness=2.0)
    assert (drawn[:, :20, 20] == 0).all()
    assert (drawn[:, 25, 20] > 0).any()
    assert (drawn[:, 5, 5] > 0).any()
    assert (drawn[:, 5, 35] == 0).all()


def test_skeletons_may_leave_the_picture():
    far = torch.tensor([[-1e6, 20.0], [1e6, 20.0]]).repeat(9, 1)[:17]
    drawn = skeleton_overlay(torch.zeros(3, 30, 40), far, COCO_17, thickness=2.0)
    assert (drawn[:, 20] > 0).any(0).all()
    assert (drawn[:, 10] == 0).all()


@pytest.mark.parametrize("skeleton", SKELETONS.values(), ids=SKELETONS.keys())
def test_every_skeleton_can_be_drawn(skeleton):
    keypoints = 40 * torch.rand(len(skeleton), 2, generator=torch.Generator().manual_seed(0))
    drawn = skeleton_overlay(torch.zeros(3, 300, 40), keypoints * torch.tensor([1.0, 7.0]), skeleton)
    assert drawn.min() >= 0
    assert drawn.max() <= 1
    assert (drawn[:, 200:] > 0).any()


def test_a_contact_sheet_places_its_pictures_row_by_row():
    pictures = [torch.full((3, 2, 3), shade) for shade in (0.1, 0.2, 0.3)]
    sheet = contact_sheet(pictures, columns=2, gap=1)
    assert sheet.shape == (3, 1 + 2 * 3, 1 + 2 * 4)
    torch.testing.assert_close(sheet[0, 1], torch.tensor([1, 0.1, 0.1, 0.1, 1, 0.2, 0.2, 0.2, 1]))
    torch.testing.assert_close(sheet[0, 4], torch.tensor([1, 0.3, 0.3, 0.3, 1, 1, 1, 1, 1]))


def test_a_contact_sheet_centres_smaller_pictures():
    sheet = contact_sheet([torch.zeros(3, 5, 5), torch.zeros(3, 1, 3)], columns=5, gap=0)
    assert sheet.shape == (3, 5, 10)
    assert (sheet[0, :, 5:] == 0).nonzero().tolist() == [[2, 1], [2, 2], [2, 3]]


def test_a_contact_sheet_of_nothing_is_refused():
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([], columns=2)
    with pytest.raises(ValueError, match="columns"):
        contact_sheet([torch.zeros(3, 1, 1)], columns=0)
