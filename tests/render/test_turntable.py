"""Views of known solids: where they must lie, who hides whom, and that nothing leaves the picture."""

import itertools
import math

import pytest
import torch
import trimesh

from humanmesh.render.overlay import PERSON_COLORS, Look
from humanmesh.render.turntable import (
    FRONT,
    GROUND,
    SIDE,
    TOP,
    View,
    captioned,
    fitted,
    turntable,
    view_people,
)

FAST = Look(opacity=1.0, samples=1)
SIZE = (60, 60)


def solid(width: float, height: float, depth: float) -> tuple[torch.Tensor, torch.Tensor]:
    mesh = trimesh.creation.box((width, height, depth))
    return torch.tensor(mesh.vertices).float(), torch.tensor(mesh.faces)


def is_drawn(picture: torch.Tensor) -> torch.Tensor:
    return ((picture - torch.tensor(GROUND)[:, None, None]).abs() > 0.02).any(0)


def extent(picture: torch.Tensor) -> tuple[int, int]:
    """Columns and rows that show somebody."""
    shown = is_drawn(picture)
    return int(shown.any(0).sum()), int(shown.any(1).sum())


def hue(picture: torch.Tensor) -> torch.Tensor:
    """Of each pixel the person of nearest colour, the lamps aside; -1 on the ground."""
    colors = torch.nn.functional.normalize(torch.tensor(PERSON_COLORS[:2]), dim=1)
    unit = torch.nn.functional.normalize(picture, dim=0)
    nearest = torch.einsum("pc,chw->phw", colors, unit).argmax(0)
    return torch.where(is_drawn(picture), nearest, -1)


def test_each_side_of_a_box_shows_its_own_two_edges():
    vertices, faces = solid(0.4, 1.6, 0.2)
    shapes = {
        name: extent(view_people(vertices[None], faces, view, SIZE, FAST))
        for name, view in {"front": FRONT, "side": SIDE, "top": TOP}.items()
    }
    assert shapes["front"][0] / shapes["front"][1] == pytest.approx(0.4 / 1.6, abs=0.06)
    assert shapes["side"][0] / shapes["side"][1] == pytest.approx(0.2 / 1.6, abs=0.06)
    assert shapes["top"][0] / shapes["top"][1] == pytest.approx(0.4 / 0.2, abs=0.2)
    assert shapes["front"][1] == pytest.approx(shapes["side"][1], abs=3)


def test_the_nearer_of_two_hides_the_farther_and_half_a_turn_later_it_is_the_other_way_round():
    vertices, faces = solid(0.5, 1.0, 0.2)
    far = vertices + torch.tensor([0.0, 0.0, 4.0])
    people = torch.stack([vertices + torch.tensor([0.0, 0.0, 3.0]), far])
    front = hue(view_people(people, faces, FRONT, SIZE, FAST))
    back = hue(view_people(people, faces, View(turn=math.pi), SIZE, FAST))
    assert set(front.unique().tolist()) == {-1, 0}
    assert set(back.unique().tolist()) == {-1, 1}


def test_after_a_quarter_what_faced_the_camera_faces_the_right():
    vertices, faces = solid(0.2, 1.0, 0.2)
    people = torch.stack([vertices, vertices + torch.tensor([0.0, 0.0, 1.0])])
    seen = hue(view_people(people, faces, SIDE, SIZE, FAST))
    near, far = ((seen == person).any(0).nonzero().float().mean() for person in (0, 1))
    assert near > far + 10


def test_from_above_the_head_hides_the_feet_and_what_faced_the_camera_lies_below():
    vertices, faces = solid(0.3, 0.3, 0.3)
    head = vertices + torch.tensor([0.0, -1.0, 0.0])
    seen = hue(view_people(torch.stack([head, vertices]), faces, TOP, SIZE, FAST))
    assert not bool((seen == 1).any())
    behind = vertices + torch.tensor([0.0, 0.0, 1.0])
    seen = hue(view_people(torch.stack([vertices, behind]), faces, TOP, SIZE, FAST))
    near, far = ((seen == person).any(1).nonzero().float().mean() for person in (0, 1))
    assert near > far + 10


@pytest.mark.parametrize("size", [(60, 60), (40, 80), (80, 40)])
@pytest.mark.parametrize("box", [(1.8, 0.4, 0.3), (0.3, 1.8, 0.3), (0.2, 0.2, 2.0)])
def test_nobody_ever_leaves_the_picture_or_gets_small(box, size):
    vertices, faces = solid(*box)
    largest = 0.0
    pictures = [
        *turntable(vertices[None], faces, size, 8, FAST),
        view_people(vertices[None], faces, TOP, size, FAST),
    ]
    for picture in pictures:
        shown = is_drawn(picture)
        assert not bool(torch.cat([shown[0], shown[-1], shown[:, 0], shown[:, -1]]).any())
        wide, tall = extent(picture)
        largest = max(largest, wide / size[1], tall / size[0])
    assert largest > 0.7


def test_a_turntable_begins_in_front_and_shows_every_side_at_one_scale():
    vertices, faces = solid(0.4, 1.0, 0.2)
    frames = list(turntable(vertices[None], faces, (120, 120), 4, FAST))
    widths, heights = zip(*map(extent, frames), strict=True)
    assert max(heights) - min(heights) <= 6
    for width, height, edge in zip(widths, heights, [0.4, 0.2, 0.4, 0.2], strict=True):
        assert width / height == pytest.approx(edge, abs=0.03)


def test_no_two_frames_of_a_turn_are_the_same():
    vertices, faces = solid(0.4, 1.0, 0.2)
    frames = list(turntable(vertices[None], faces, SIZE, 5, FAST))
    assert all(not torch.equal(one, other) for one, other in itertools.combinations(frames, 2))


def test_where_a_person_stands_does_not_change_the_picture():
    vertices, faces = solid(0.4, 1.0, 0.2)
    here = view_people(vertices[None], faces, SIDE, SIZE, FAST)
    there = view_people(vertices[None] + torch.tensor([3.0, -2.0, 8.0]), faces, SIDE, SIZE, FAST)
    assert float((here - there).abs().mean()) < 1e-3


def test_a_caption_stands_above_and_is_cut_at_the_edge():
    picture = torch.zeros(3, 10, 80)
    short, cut = captioned(picture, "one"), captioned(picture, "one" * 40)
    assert short.shape == cut.shape
    assert torch.equal(short[:, -10:], picture)
    strip = slice(0, short.shape[1] - 10)
    assert float(short[:, strip].min()) < 0.5
    assert bool((cut[:, strip, -2:] == 1).all()), "the caption runs over the edge"
    assert bool((captioned(picture, "")[:, strip] == 1).all())


@pytest.mark.parametrize("size", [(20, 40), (40, 20), (37, 200)])
def test_a_fitted_picture_is_whole_in_the_middle_of_a_square(size):
    picture = torch.zeros(3, *size)
    square = fitted(picture, 50)
    assert square.shape == (3, 50, 50)
    wide, tall = extent(square)
    assert max(wide, tall) == 50
    assert wide / tall == pytest.approx(size[1] / size[0], rel=0.06)
