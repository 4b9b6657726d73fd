"""Random numbers for synthetic people, on the device of the generator that is given."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def uniform(
    generator: torch.Generator, low: float | int, high: float | int, *shape: int
) -> Float[Tensor, "*shape"]:
    """Even between `low` and `high`."""
    return torch.rand(*shape, generator=generator, device=generator.device) * (high - low) + low


def normal(generator: torch.Generator, deviation: float | int, *shape: int) -> Float[Tensor, "*shape"]:
    """Normal around 0."""
    return torch.randn(*shape, generator=generator, device=generator.device) * deviation


def chance(generator: torch.Generator, probability: float | int, *shape: int) -> Bool[Tensor, "*shape"]:
    """True with this probability."""
    return torch.rand(*shape, generator=generator, device=generator.device) < probability


def whole(generator: torch.Generator, limit: int, *shape: int) -> Int[Tensor, "*shape"]:
    """Whole numbers from 0 to `limit` - 1."""
    return torch.randint(limit, shape, generator=generator, device=generator.device)
