"""Train a network on packed photos, with or without 3D labels, on this machine's processor or its GPUs.

The folder of shards holds tars named DATASET-NUMBER.tar; a data set whose name ends in `_held_out` is never
trained on and measured at every checkpoint. The run's folder holds checkpoint.pt and weights.safetensors, both
written at every checkpoint, metrics.jsonl, predictions.png and TensorBoard's files. Needs humanmesh[train].
"""

import importlib.util
import json
import os
import signal
import sys
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
import tyro

from humanmesh.cli.commands import USER_ERROR
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError
from humanmesh.training.config import PRESETS, Mode, SessionConfig, TrainConfig
from humanmesh.training.stopping import Stopped


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
    """What the training may know. paired: 3D labels and the adversary; unpaired: the adversary alone; no-prior-paired: 3D labels alone;
    no-prior: neither."""
    shares: dict[str, float] = field(default_factory=dict)
    """Share of each data set in a batch, as NAME SHARE pairs; by the square root of its size where not given."""
    streams: dict[str, str] = field(default_factory=dict)
    """Data sets that are streamed, as NAME ADDRESSES pairs: paths, http, gs, "pipe:COMMAND", {00000..00063} for numbers."""
    motion: Path | None = None
    """.npz of motion-capture poses (`pose`, `clip`) for the adversary; needed by the paired and unpaired modes."""
    weights: str | None = None
    """A checkpoint of this project to start from; "default" and "open" name the bundled ones."""
    encoder_weights: Path | None = None
    """Weights for the encoder alone: MoveNet's safetensors (Lightning for mobilenet_v2_fpn, Thunder for mobilenet_v2_175_fpn), ImageNet's
    for a ResNet. Beside it --weights gives the regressor alone."""
    encoder: str | None = None
    """mobilenet_v2_fpn, mobilenet_v2_175_fpn (its channels times 1.75), resnet18 or resnet50; that of --weights, or the preset's, where None."""
    crop_size: int | None = None
    """Side of the crops in pixels, a multiple of 32; that of --weights, or the preset's, where None."""
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
    augmentation: float = 1.0
    """How far pictures stray from the stored ones, in units of the preset's: 0 leaves only the mirror, 0.5 suits the last of a training."""
    seed: int = 0
    """Seed of batches, augmentation and initial weights."""
    freeze_encoder_blocks: int = 0
    """Stem and first blocks of a MobileNetV2 (of 17) that keep their starting weights; 6 make a step a quarter shorter."""
    checkpoint_interval: float | None = None
    """Seconds between checkpoints, the most that a killed run loses; the preset's where None."""
    log_interval: int | None = None
    """Steps between lines of metrics.jsonl; the preset's where None."""
    picture_interval: int | None = None
    """Steps between pictures of predictions, 0 for none; the preset's where None."""
    tensorboard: bool = True
    """Write TensorBoard's files too."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on from the checkpoint in the run's folder."""
    profile: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Train nothing: run a few real steps and show where their time goes."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the result as JSON."""
    device: str = "auto"
    """Fabric's accelerator: auto, cpu, cuda, mps."""
    devices: int = 1
    """Processes, each with a device of its own; they share every batch."""
    strategy: str = "auto"
    """Fabric's strategy: auto, ddp."""
    nodes: int = 1
    """Machines."""
    loaders: int | None = None
    """Processes that read batches ahead, for each process that trains; the preset's where None."""


def run(arguments: Arguments) -> int:
    """Train; the weights lie in the run's folder at the end.

    Raises:
        HumanMeshError: in the first process, where something cannot be used.
    """
    try:
        figures = _profile(arguments) if arguments.profile else _train(arguments)
    except HumanMeshError as error:
        if _is_first_process():
            raise
        if torch.distributed.is_initialized():  # before that the first process meets it too, and says it
            print(f"humanmesh (process {torch.distributed.get_rank()}): {error}", file=sys.stderr)
        return USER_ERROR
    except Stopped as stopped:
        if not _is_first_process():
            return 0  # the launcher would kill the first process, which saves
        print(f"humanmesh: {stopped}", file=sys.stderr)
        return 128 + signal.SIGINT
    if _is_first_process():
        print(json.dumps(figures, indent=2) if arguments.json else _table(figures, arguments))
    return 0


def _is_first_process() -> bool:
    """Whether this is the process that was started by hand: the others are told their numbers by Fabric."""
    return all(
        os.environ.get(name, "0") == "0" for name in ("LOCAL_RANK", "NODE_RANK", "GROUP_RANK", "SLURM_PROCID")
    )


def _train(arguments: Arguments) -> dict[str, float]:
    config = _checked(arguments)
    from humanmesh.training.session import train

    return train(config, _session(arguments))


def _profile(arguments: Arguments) -> dict[str, float]:
    config = _checked(arguments)
    from humanmesh.training.session import prepare
    from humanmesh.training.timing import seconds_by_phase

    ready = prepare(config, _session(arguments))
    return seconds_by_phase(ready.trainer, ready.mixture)


def _checked(arguments: Arguments) -> TrainConfig:
    """The configuration, after a look at what a user can mend."""
    if importlib.util.find_spec("lightning") is None:
        raise HumanMeshError("Training needs the package lightning. Install humanmesh[train].")
    if arguments.mode in {"paired", "unpaired"} and arguments.motion is None:
        raise BadInputError(
            f"mode {arguments.mode}", "no motion capture for the adversary",
            "Give --motion FILE.npz, or --mode no-prior to train without one.",
        )  # fmt: skip
    if not arguments.shards.is_dir():
        raise MissingAssetError("folder of shards", arguments.shards, "Write one with `humanmesh data pack`.")
    try:
        return configured(arguments)
    except ValueError as error:
        raise HumanMeshError(f"These options do not go together: {error}.") from error


def _table(figures: dict[str, float], arguments: Arguments) -> str:
    if not arguments.profile:
        lines = [f"{name:40} {value:10.4g}" for name, value in figures.items()]
        return "\n".join([f"Weights: {arguments.out / 'weights.safetensors'}", *lines])
    from humanmesh.training.timing import NETWORK_PHASES

    whole = sum(figures.values())
    lines = [f"{phase:14} {1000 * time:8.1f} ms {time / whole:6.1%}" for phase, time in figures.items()]
    network = sum(figures[phase] for phase in NETWORK_PHASES) / whole
    lines.append(f"{'step':14} {1000 * whole:8.1f} ms; the network itself (forward, backward) {network:.1%}")
    return "\n".join(lines)


def _session(arguments: Arguments) -> SessionConfig:
    return SessionConfig(**{entry.name: getattr(arguments, entry.name) for entry in fields(SessionConfig)})


def configured(arguments: Arguments) -> TrainConfig:
    """The preset with the network of the weights that the run starts from, and the options laid over both."""
    from humanmesh.training.session import network_to_go_on_with

    preset = PRESETS[arguments.preset]
    optimizer = replace(preset.optimizer, frozen_blocks=arguments.freeze_encoder_blocks)
    if arguments.learning_rate is not None:
        optimizer = replace(optimizer, learning_rate=arguments.learning_rate)
    found = network_to_go_on_with(_session(arguments))
    network = preset.network if found is None or found.regressor != preset.network.regressor else found
    network = replace(network, **_given(arguments, ("encoder", "crop_size")))
    given = _given(arguments, _OVER_THE_PRESET)
    if "max_time" in given or "steps" in given:  # a length that is given replaces the preset's
        given = {"max_time": None, "steps": None} | given
    return replace(
        preset,
        mode=arguments.mode,
        seed=arguments.seed,
        network=network,
        optimizer=optimizer,
        augmentation=preset.augmentation.times(arguments.augmentation),
        **given,
    )


def _given(arguments: Arguments, names: tuple[str, ...]) -> dict[str, Any]:
    values = {name: getattr(arguments, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


_OVER_THE_PRESET = (
    "max_time",
    "steps",
    "batch_size",
    "checkpoint_interval",
    "log_interval",
    "picture_interval",
    "loaders",
)
"""Options that replace the preset's setting of their name where they are given."""
