"""What synthetic people hold: bars with and without plates in both hands, dumbbells and sticks in one.

Each is a surface of revolution about the line along which a hand holds it, so a short profile tells its whole shape.
"""

import math
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from humanmesh.data.hands import Hands
from humanmesh.data.synthetic_draws import chance, uniform, whole

_SIDES = 16
_PLATED, _DUMBBELLS = 0.6, 0.6
"""Shares of bars with plates, and of dumbbells among what one hand holds."""
_BEYOND_HANDS = 0.04
"""Metres: a bar is at least so much longer than from hand to hand on each side, and plates are so far from the hands."""
_RINGS = 12
"""So many does `_revolved` make."""
_WEIGHT_RINGS = (2, 3, 4, 6, 7, 8)
"""Rings after which a plate's, or a dumbbell's head's, surface follows."""


@dataclass(frozen=True)
class Props:
    """One thing for each person, or none."""

    vertices: Float[Tensor, "batch vertices 3"]
    """In the frame that the hands are given in, metres; not numbers where there is nothing."""
    faces: Int64[Tensor, "faces 3"]
    """Counter-clockwise seen from outside."""
    is_weight: Bool[Tensor, "faces"]
    """Whether a face belongs to a plate or a head, which have a colour of their own; these have no area where there is none."""
    colours: Float[Tensor, "batch 2 3"]
    """sRGB in [0, 1] of bars and handles, and of plates and heads."""


@dataclass(frozen=True)
class _Sizes:
    """Of things that are alike on both sides of their middle; metres."""

    half_length: Float[Tensor, "batch"]
    radius: Float[Tensor, "batch"]
    """Of bar or handle."""
    weight_at: Float[Tensor, "batch"]
    """From the middle to the near side of a plate."""
    weight_width: Float[Tensor, "batch"]
    """0 where there are no weights, and their radius that of the bar."""
    weight_radius: Float[Tensor, "batch"]
    shift: Float[Tensor, "batch"]
    """From where it is held to its middle, along it."""


def sample_props(hands: Hands, share: float, generator: torch.Generator) -> Props:
    """Something to hold for a share of the people: one bar for both hands where these could hold it, else a thing for one hand."""
    count = len(hands.palms)
    places, in_both = hands.grips(), hands.hold_one_bar()
    hand = whole(generator, 2, count)[:, None, None].expand(-1, 1, 3)
    between = places[:, 0] - places[:, 1]
    axis = torch.where(in_both[:, None], F.normalize(between, dim=1), hands.across.gather(1, hand)[:, 0])
    held_at = torch.where(in_both[:, None], places.mean(1), places.gather(1, hand)[:, 0])
    bars, things = _bars(between.norm(dim=1) / 2, generator), _things(count, generator)
    sizes = {
        entry.name: torch.where(in_both, getattr(bars, entry.name), getattr(things, entry.name))
        for entry in fields(_Sizes)
    }
    vertices = _revolved(_Sizes(**sizes), held_at, axis)
    is_held = chance(generator, share, count)
    faces, is_weight = _faces(vertices.device)
    return Props(
        torch.where(is_held[:, None, None], vertices, torch.nan), faces, is_weight, _colours(count, generator)
    )


def _bars(half_grip: Float[Tensor, "batch"], generator: torch.Generator) -> _Sizes:
    """For two hands: rods, barbells, short bars of machines."""
    count = len(half_grip)
    radius = uniform(generator, 0.010, 0.022, count)
    has_plates = chance(generator, _PLATED, count)
    least = half_grip + _BEYOND_HANDS
    weight_at = torch.maximum(least, uniform(generator, 0.25, 0.68, count))
    width = uniform(generator, 0.02, 0.16, count) * has_plates
    plain = least + uniform(generator, 0.0, 0.6, count)
    plated = weight_at + width + uniform(generator, 0.01, 0.25, count)
    return _Sizes(
        half_length=torch.where(has_plates, plated, plain),
        radius=radius,
        weight_at=torch.where(has_plates, weight_at, least),
        weight_width=width,
        weight_radius=torch.where(has_plates, uniform(generator, 0.07, 0.225, count), radius),
        shift=torch.zeros_like(radius),
    )


def _things(count: int, generator: torch.Generator) -> _Sizes:
    """For one hand: dumbbells, and sticks, which it holds anywhere."""
    is_dumbbell = chance(generator, _DUMBBELLS, count)
    handle = uniform(generator, 0.05, 0.075, count)
    width = uniform(generator, 0.03, 0.09, count) * is_dumbbell
    stick = uniform(generator, 0.1, 0.7, count)
    radius = uniform(generator, 0.008, 0.02, count)
    return _Sizes(
        half_length=torch.where(is_dumbbell, handle + width + 0.005, stick),
        radius=radius,
        weight_at=handle,
        weight_width=width,
        weight_radius=torch.where(is_dumbbell, uniform(generator, 0.03, 0.085, count), radius),
        shift=torch.where(is_dumbbell, 0.0, stick * uniform(generator, -0.9, 0.9, count)),
    )


def _revolved(
    sizes: _Sizes, held_at: Float[Tensor, "batch 3"], axis: Float[Tensor, "batch 3"]
) -> Float[Tensor, "batch vertices 3"]:
    """Rings about the axis: the end, twice, the far and the near side of a plate, each twice, and the same beyond the middle."""
    near, far, end = sizes.weight_at, sizes.weight_at + sizes.weight_width, sizes.half_length
    thin, wide, nothing = sizes.radius, sizes.weight_radius, torch.zeros_like(sizes.radius)
    positions = torch.stack([near, near, far, far, end, end], 1)
    radii = torch.stack([thin, wide, wide, thin, thin, nothing], 1)
    positions = torch.cat([-positions.flip(1), positions], 1)
    radii = torch.cat([radii.flip(1), radii], 1)
    # Any two directions at right angles to the axis will do.
    helper = F.one_hot(axis.abs().argmin(1), 3).to(axis)
    first = F.normalize(torch.linalg.cross(axis, helper), dim=1)
    second = torch.linalg.cross(axis, first)
    angle = torch.arange(_SIDES, device=axis.device) * (2 * math.pi / _SIDES)
    outward = angle.cos()[None, :, None] * first[:, None] + angle.sin()[None, :, None] * second[:, None]
    along = held_at[:, None] + (sizes.shift[:, None] + positions)[..., None] * axis[:, None]
    return (along[:, :, None] + radii[..., None, None] * outward[:, None]).flatten(1, 2)


def _faces(device: torch.device) -> tuple[Int64[Tensor, "faces 3"], Bool[Tensor, "faces"]]:
    """Of every prop, and which belong to plates."""
    ring, side = torch.meshgrid(torch.arange(_RINGS - 1), torch.arange(_SIDES), indexing="ij")
    a, b = ring * _SIDES + side, ring * _SIDES + (side + 1) % _SIDES
    c, d = a + _SIDES, b + _SIDES
    faces = torch.stack([torch.stack([a, b, c], -1), torch.stack([b, d, c], -1)], 2).reshape(-1, 3)
    is_weight = torch.isin(ring.flatten().repeat_interleave(2), torch.tensor(_WEIGHT_RINGS))
    return faces.to(device), is_weight.to(device)


def _colours(count: int, generator: torch.Generator) -> Float[Tensor, "batch 2 3"]:
    """Greys, from black to chrome; a third of the weights, and a tenth of the bars, are coloured."""
    grey = uniform(generator, 0.05, 0.9, count, 2, 1).expand(-1, -1, 3)
    is_coloured = chance(generator, 1 / 3, count, 2, 1)
    is_coloured[:, 0] &= chance(generator, 0.3, count, 1)
    return torch.where(is_coloured, uniform(generator, 0, 1, count, 2, 3), grey)
