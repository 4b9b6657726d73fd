"""Make the weight file that ships from that of a training run: rounded numbers, and notes on what it was trained on.

    python tools/release_weights.py runs/mine/weights.safetensors src/humanmesh/assets/weights_default.safetensors \\
        --notes "trained on" "which data" licence "whose photos"

Large matrices and kernels become int8 with a step a channel, small ones float16 (docs/weights.md).
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated

import torch
import tyro

from humanmesh.files.checkpoints import load_checkpoint, save_checkpoint
from humanmesh.network.recovery import TEST_TIME_SETTINGS
from humanmesh.training.config import MODERN


@dataclass(frozen=True)
class Arguments:
    """What is read, and how it is written."""

    weights: Annotated[Path, tyro.conf.Positional]
    """weights.safetensors of a run with `--preset modern`."""
    out: Annotated[Path, tyro.conf.Positional]
    """File to write, .safetensors."""
    notes: dict[str, str] = field(default_factory=dict)
    """What to write with them, as NAME TEXT pairs, beside the number of steps."""


def main(arguments: Arguments) -> None:
    """Read, round, write; test-time settings are the preset's of today."""
    found = load_checkpoint(arguments.weights)
    config = replace(found.config, **{name: getattr(MODERN.network, name) for name in TEST_TIME_SETTINGS})
    save_checkpoint(
        arguments.out, config, found.state, matrix_dtype=torch.int8, notes=found.notes | arguments.notes,
    )  # fmt: skip
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
