"""Poses of people who hold a bar with both hands, made from recorded poses: on the shoulders, before the chest, overhead, before the thighs.

Barbells, rakes, handlebars and chin-up bars tie both hands to one line, and hands behind the neck are hidden by what they
hold. Motion capture has hardly any; here each person is given a line, and the arms are bent (`reaching`) until both hands could
hold a bar along it.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from humanmesh.body.capsules import segment_distance
from humanmesh.body.joint_limits import JointLimits
from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.hands import Hands, hands_of
from humanmesh.data.reaching import DEEPEST_ARM, Goal, Posed, ReachingBody, reaching
from humanmesh.data.synthetic_draws import normal, uniform
from humanmesh.data.synthetic_poses import PoseLibrary, frames

GRIP = 0.04
"""Metres: a hand farther from its place does not hold the bar."""

_DEEPEST_BAR = 0.03
"""Metres that the middle of a bar may lie in a part's capsule."""
_HOLD, _TURN = 0.01, 0.15
"""Deviations: of a hand from its place (metres) and of its hold from the bar's direction (sine of the angle)."""
_SHOULDERS = [SMPL_24.index["left_shoulder"], SMPL_24.index["right_shoulder"]]
_CROSSED = [
    SMPL_24.index[joint]
    for joint in (
        "pelvis", "spine1", "spine2", "spine3", "neck", "head", "left_hip", "right_hip", "left_knee", "right_knee",
    )
]  # fmt: skip
"""Parts that a bar must not pass through."""


@dataclass(frozen=True)
class _Kind:
    """A way to hold a bar; metres in the chest's frame, x to the left, y up, z forward, from the middle of the shoulders."""

    share: float
    height: tuple[float, float]
    front: tuple[float, float]
    half_grip: tuple[float, float]
    tilt: float
    """Standard deviation of the bar's slope."""


_KINDS = (
    _Kind(0.28, (-0.02, 0.08), (-0.15, -0.08), (0.22, 0.45), 0.04),  # on the shoulders, behind the neck
    _Kind(0.14, (-0.06, 0.10), (0.12, 0.22), (0.14, 0.32), 0.05),  # before the neck
    _Kind(0.18, (0.25, 0.60), (-0.12, 0.20), (0.12, 0.50), 0.06),  # overhead
    _Kind(0.24, (-0.40, 0.25), (0.20, 0.60), (0.05, 0.45), 0.25),  # before the chest
    _Kind(0.16, (-0.72, -0.40), (0.10, 0.35), (0.08, 0.40), 0.15),  # before the thighs
)


@dataclass(frozen=True)
class Bars:
    """Lines that hands shall hold, in the chest's frame of each person (metres from its joint)."""

    middle: Float[Tensor, "people 3"]
    direction: Float[Tensor, "people 3"]
    """From the right hand to the left, unit length."""
    half_grip: Float[Tensor, "people"]
    """Half the way from hand to hand."""

    def ends(self, posed: Posed) -> Float[Tensor, "people 2 3"]:
        """Where the left and the right hand hold it, metres in the body's frame."""
        along = self.half_grip[:, None] * self.direction
        return posed.chest_to_body(torch.stack([self.middle + along, self.middle - along], 1))


def holding_poses(
    library: PoseLibrary, body: ReachingBody, limits: JointLimits, trials: int, generator: torch.Generator
) -> Float[Tensor, "people 24 3 3"]:
    """Of some trials those that come out, five sixths or so: both hands of the mean body could hold one bar, which passes trunk, head
    and legs by, no arm passes through another part, and shoulders, elbows and wrists are turned no farther than motion capture
    shows. All but the arms is as recorded."""
    rotations = frames(library, trials, generator)
    bars = draw_bars(body, trials, generator)
    rotations = reaching(rotations, _goal(bars), library, body, limits, generator)
    posed = body.posed(rotations)
    hands = hands_of(posed.world, posed.joints)
    is_outside = (body.too_deep(posed) < DEEPEST_ARM).all(1) & _passes_by(hands, posed, body)
    return rotations[_hold(bars, hands, posed) & is_outside]


def draw_bars(body: ReachingBody, count: int, generator: torch.Generator) -> Bars:
    """Bars of all kinds."""
    device = generator.device
    shares = torch.tensor([kind.share for kind in _KINDS], device=device)
    kinds = torch.multinomial(shares, count, replacement=True, generator=generator)

    def drawn(ranges: list[tuple[float, float]]) -> Float[Tensor, "count"]:
        low, high = torch.tensor(ranges, device=device)[kinds].unbind(1)
        return low + (high - low) * uniform(generator, 0, 1, count)

    aside = normal(generator, 0.02, count)
    height, front = drawn([kind.height for kind in _KINDS]), drawn([kind.front for kind in _KINDS])
    posed = body.posed(torch.eye(3, device=device).expand(1, 24, 3, 3))
    shoulders = posed.from_chest(posed.joints[:, _SHOULDERS]).mean(1)
    tilts = torch.tensor([kind.tilt for kind in _KINDS], device=device)
    slopes = normal(generator, 1.0, count, 2) * tilts[kinds, None]
    direction = F.normalize(F.pad(slopes, (1, 0), value=1.0), dim=1)
    half_grip = drawn([kind.half_grip for kind in _KINDS])
    return Bars(shoulders + torch.stack([aside, height, front], 1), direction, half_grip)


def _goal(bars: Bars) -> Goal:
    """Both hands on the bar, which lies across them."""

    def misses(posed: Posed) -> Float[Tensor, "people 2"]:
        hands, ends = hands_of(posed.world, posed.joints), bars.ends(posed)
        apart = ((hands.grips() - ends) / _HOLD).square().sum(-1)
        return apart + (1 - hands.cosines(ends[:, 0] - ends[:, 1]).square()) / _TURN**2

    both = torch.ones(len(bars.middle), 2, dtype=torch.bool, device=bars.middle.device)
    return Goal(both, bars.ends, misses)


def _hold(bars: Bars, hands: Hands, posed: Posed) -> Bool[Tensor, "people"]:
    is_there = (hands.grips() - bars.ends(posed)).norm(dim=-1) < GRIP
    return is_there.all(1) & hands.hold_one_bar()


def _passes_by(hands: Hands, posed: Posed, body: ReachingBody) -> Bool[Tensor, "people"]:
    """Whether the bar that lies in both hands passes trunk, head, thighs and shins by, between the hands and a little beyond."""
    left, right = hands.grips().unbind(1)
    beyond = 0.1 * F.normalize(left - right, dim=-1)
    capsules = body.rest.moved(posed.world, posed.joints)
    starts, ends, radii = (part[:, _CROSSED] for part in (capsules.starts, capsules.ends, capsules.radii))
    first, last = (end[:, None].expand_as(starts) for end in (left + beyond, right - beyond))
    return (radii - segment_distance(first, last, starts, ends) < _DEEPEST_BAR).all(1)
