"""Matrices and kernels in fewer bytes: float16, or int8 with a step for each output channel of large ones."""

import torch
from jaxtyping import Float, Int8
from torch import Tensor

_STEPS = ".steps"
"""Ends the name of the step lengths of a matrix that is kept as int8."""
_MOST_STEPS = 127
_UPWARD = 1 + 2**-11
"""Lets the step as float16 be no shorter than it was, so that the channel's largest number is still at most `_MOST_STEPS` of them; of
steps below float16's normal range, 6e-5, it is cut to that."""
_LARGE = 9_000
"""Numbers from which int8 is worth its error: smaller kernels, depthwise ones above all, cost accuracy and hardly weigh."""


def rounded(name: str, value: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    """A tensor as it is written, by name: in `dtype`, as int8 with its steps beside it.

    Vectors (biases, the mean state, statistics of normalisation layers) and whole numbers stay as they are. Where int8 is asked
    for, what is smaller than `_LARGE` becomes float16.
    """
    kept = value.detach().cpu()
    if not kept.is_floating_point() or kept.dim() < 2:
        return {name: kept.contiguous()}
    if dtype == torch.int8 and kept.numel() < _LARGE:
        dtype = torch.float16
    if dtype != torch.int8:
        return {name: kept.to(dtype).contiguous()}
    whole, steps = _in_steps(kept)
    return {name: whole, name + _STEPS: steps}


def _in_steps(
    matrix: Float[Tensor, "channels *rest"],
) -> tuple[Int8[Tensor, "channels *rest"], Float[Tensor, "channels"]]:
    """The nearest whole number of steps, and the length of each channel's steps, float16."""
    steps = (matrix.abs().flatten(1).amax(1) * (_UPWARD / _MOST_STEPS)).half()
    column = steps.float().view(-1, *[1] * (matrix.dim() - 1))
    whole = (matrix / torch.where(column > 0, column, 1)).round().clamp(-_MOST_STEPS, _MOST_STEPS)
    return whole.to(torch.int8).contiguous(), steps


def unrounded(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What `rounded` wrote, floating-point numbers and all that was kept in steps as float32."""
    found = {
        name: value.float() if value.is_floating_point() else value
        for name, value in tensors.items()
        if not name.endswith(_STEPS)
    }
    for name in found:
        if name + _STEPS in tensors:
            steps = tensors[name + _STEPS].float()
            found[name] = found[name] * steps.view(-1, *[1] * (found[name].dim() - 1))
    return found
