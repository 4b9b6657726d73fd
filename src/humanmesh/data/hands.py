"""Hands of posed bodies: where their palms are, and what they could hold."""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from humanmesh.body.skeletons import SMPL_24

_ALONG = 0.93
"""Cosine of the angle between a bar and the way in which a hand would hold one: where it is less, the hand does not hold it."""

_WRISTS = [SMPL_24.index["left_wrist"], SMPL_24.index["right_wrist"]]
_PALMS = ((0.085, -0.025, 0.0), (-0.085, -0.025, 0.0))
"""Middle of the skin of the mean body's left and right palm from the wrist in the rest pose, a T with palms down; metres."""
_FROM_PALM = 0.02
"""Metres from the skin of the palm to the middle of a bar that is held."""
_NEAREST_HANDS = 0.08
"""Metres from hand to hand: nearer ones hold no common bar."""


@dataclass(frozen=True)
class Hands:
    """Hands of some people, the left one first, in the frame of the joints that they were found from."""

    palms: Float[Tensor, "people 2 3"]
    """Middle of the skin of each palm, metres."""
    facing: Float[Tensor, "people 2 3"]
    """The way that each palm faces, unit length."""
    across: Float[Tensor, "people 2 3"]
    """The way in which a rod lies that the hand holds, from the little finger to the thumb, unit length."""

    def grips(self) -> Float[Tensor, "people 2 3"]:
        """Middle of a bar that each hand would hold, metres."""
        return self.palms + _FROM_PALM * self.facing

    def hold_one_bar(self) -> Bool[Tensor, "people"]:
        """Whether one straight bar could lie in both hands."""
        left, right = self.grips().unbind(1)
        is_apart = (left - right).norm(dim=1) > _NEAREST_HANDS
        return is_apart & (self.cosines(left - right).abs() > _ALONG).all(1)

    def cosines(self, line: Float[Tensor, "people 3"]) -> Float[Tensor, "people 2"]:
        """Of the angles between a line and the ways in which both hands would hold a bar."""
        return (self.across * F.normalize(line, dim=1)[:, None]).sum(-1)


def hands_of(world: Float[Tensor, "people 24 3 3"], joints: Float[Tensor, "people 24 3"]) -> Hands:
    """Hands of bodies whose joints are turned (from the rest pose) and placed (metres) like this; palms are the mean body's."""
    turned = world[:, _WRISTS]
    palms = joints[:, _WRISTS] + (turned @ world.new_tensor(_PALMS)[..., None])[..., 0]
    return Hands(palms, -turned[..., 1], turned[..., 2])
