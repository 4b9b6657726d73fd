"""Train a network on packed photos, with or without 3D labels, on this machine's processor or its GPUs.

The folder of shards holds tars named DATASET-NUMBER.tar; a data set whose name ends in `_held_out` is never
trained on and measured at every checkpoint. The run's folder holds checkpoint.pt, metrics.jsonl and weights.safetensors.
"""

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Literal

import tyro

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.training.config import PRESETS, Mode, SessionConfig, TrainConfig


@dataclass(frozen=True)
class Arguments:
    """Options of `humanmesh train`."""

    shards: Annotated[Path, tyro.conf.Positional]
    """Folder of packed data sets."""
    out: Path = Path("runs/latest")
    """Folder of the run."""
    preset: Literal["hmr", "modern"] = "modern"
    """The paper's numbers, or what works best today."""
    mode: Mode = "paired"
    """What the training may know: 3D labels, the adversary, both or neither."""
    shares: dict[str, float] = field(default_factory=dict)
    """Share of each data set in a batch, as NAME SHARE pairs; by the square root of its size where not given."""
    motion: Path | None = None
    """.npz of motion-capture poses (`pose`, `clip`) for the adversary; needed by the paired and unpaired modes."""
    weights: str | None = None
    """A checkpoint of this project to start from; "default" names the bundled one."""
    encoder_weights: Path | None = None
    """Weights for the encoder alone: MoveNet Lightning's safetensors for mobilenet_v2_fpn, ImageNet's for a ResNet."""
    body: str = "anny"
    """"anny", or the path of an SMPL file."""
    max_time: float | None = None
    """Seconds of training over all resumed parts; the preset's where None."""
    steps: int | None = None
    """Optimiser steps; the preset's where None."""
    batch_size: int | None = None
    """Pictures a step; the preset's where None."""
    learning_rate: float | None = None
    """Step size of encoder and regressor; the preset's where None."""
    seed: int = 0
    """Seed of batches, augmentation and initial weights."""
    resume: bool = False
    """Go on from the checkpoint in the run's folder."""
    device: str = "auto"
    """Fabric's accelerator: auto, cpu, cuda, mps."""
    devices: int = 1
    """Processes, each with a device of its own."""
    strategy: str = "auto"
    """Fabric's strategy: auto, ddp."""
    nodes: int = 1
    """Machines."""


def run(arguments: Arguments) -> int:
    """Train; the weights lie in the run's folder at the end."""
    from humanmesh.training.session import train

    config = configured(arguments)
    if arguments.mode in ("paired", "unpaired") and arguments.motion is None:
        raise BadInputError(
            f"mode {arguments.mode}", "no motion capture for the adversary",
            "Give --motion FILE.npz, or --mode no-prior to train without one.",
        )  # fmt: skip
    if not arguments.shards.is_dir():
        raise MissingAssetError("folder of shards", arguments.shards, "Write one with `humanmesh data pack`.")
    figures = train(config, _session(arguments))
    print(json.dumps(figures, indent=2))
    return 0


def _session(arguments: Arguments) -> SessionConfig:
    return SessionConfig(**{entry.name: getattr(arguments, entry.name) for entry in fields(SessionConfig)})


def configured(arguments: Arguments) -> TrainConfig:
    """The preset with the options laid over it."""
    preset = PRESETS[arguments.preset]
    optimizer = preset.optimizer
    if arguments.learning_rate is not None:
        optimizer = replace(optimizer, learning_rate=arguments.learning_rate)
    given = {"max_time": arguments.max_time, "steps": arguments.steps, "batch_size": arguments.batch_size}
    given = {name: value for name, value in given.items() if value is not None}
    if "max_time" in given or "steps" in given:  # a length that is given replaces the preset's
        given = {"max_time": None, "steps": None} | given
    return replace(preset, mode=arguments.mode, seed=arguments.seed, optimizer=optimizer, **given)
