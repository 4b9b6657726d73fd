"""Mix two weight files of one network: a mean of weights from before and after a training often sees 2D better than either.

    python tools/mix_weights.py before.safetensors after.safetensors mixed.safetensors --share 1 --shares encoder 0.5

The share is the second file's: 0 gives the first, 1 the second.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from humanmesh.errors import BadInputError
from humanmesh.files.checkpoints import load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class Arguments:
    """What is mixed, and how."""

    first: Annotated[Path, tyro.conf.Positional]
    """Weights, .safetensors."""
    second: Annotated[Path, tyro.conf.Positional]
    """Weights of the same network, whose settings and notes the mixture gets."""
    out: Annotated[Path, tyro.conf.Positional]
    """File to write, .safetensors."""
    share: float = 0.5
    """Of the second."""
    shares: dict[str, float] = field(default_factory=dict)
    """Other shares for weights whose names begin so, as NAME SHARE pairs, such as encoder 0.5."""


def main(arguments: Arguments) -> None:
    """Read, mix, write."""
    first, second = load_checkpoint(arguments.first).state, load_checkpoint(arguments.second)
    shapes, others = ({name: value.shape for name, value in state.items()} for state in (first, second.state))
    if shapes != others:
        raise BadInputError(
            f"Weights {arguments.second}",
            f"they are of another network than {arguments.first}",
            "Mix weights of one.",
        )
    mixed = {
        name: first[name].lerp(value, _share(name, arguments)) if value.is_floating_point() else value
        for name, value in second.state.items()
    }
    save_checkpoint(arguments.out, second.config, mixed, notes=second.notes)


def _share(name: str, arguments: Arguments) -> float:
    return next(
        (share for start, share in arguments.shares.items() if name.startswith(start)), arguments.share
    )


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
