"""Weights that fade with distance, so that what lies far off pulls little."""

from jaxtyping import Float
from torch import Tensor


def faded(squares: Float[Tensor, "*shape"], quarter: float) -> Float[Tensor, "*shape"]:
    """The Geman-McClure function's weight of squared distances (Geman and McClure 1987): 1 for none, a quarter at the distance `quarter`."""
    return (1 + squares / quarter**2) ** -2
