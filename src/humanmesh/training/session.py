"""A training from files to files: data, starting weights, loop, weights."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import torch
from lightning.fabric import Fabric

from humanmesh.data.mixing import Mixture
from humanmesh.data.pool import read_pool
from humanmesh.data.shards import HELD_OUT, ShardSource, data_sets_in
from humanmesh.data.streaming import StreamSource, stream_source
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, load_imagenet, load_movenet
from humanmesh.files.priors import bundled_pose_knowledge
from humanmesh.files.writing import output_folder
from humanmesh.network.precision import has_fast_bfloat16
from humanmesh.network.recovery import TEST_TIME_SETTINGS, Recovery, RecoveryConfig, build_recovery
from humanmesh.training.config import SessionConfig, TrainConfig
from humanmesh.training.console import ConsoleBar
from humanmesh.training.loop import CHECKPOINT, WEIGHTS, fit
from humanmesh.training.metrics_log import PictureFile, Sink, TensorBoardLog
from humanmesh.training.resuming import settings_of
from humanmesh.training.trainer import Trainer
from humanmesh.training.watch import HoldOutWatch

ENCODER_STARTS = {
    "mobilenet_v2_fpn": load_movenet,
    "mobilenet_v2_175_fpn": load_movenet,
    "resnet18": load_imagenet,
    "resnet50": load_imagenet,
}
"""How each encoder starts from weights of another task."""


@dataclass(frozen=True)
class Prepared:
    """A training that is ready to go."""

    trainer: Trainer
    """At its start, or where the checkpoint left it."""
    mixture: Mixture
    """This process's rows of the batches."""
    watch: HoldOutWatch
    """Measures the data sets that are not trained on."""


def train(config: TrainConfig, session: SessionConfig) -> dict[str, float]:
    """Train to the end and write the weights; returns what the hold-outs said last, in the first process alone.

    Raises:
        HumanMeshError: where something of it cannot be used, or a resumed run has its length already.
        Stopped: where Ctrl-C ends it; it is saved.
    """
    folder = output_folder(session.out)
    if (folder / CHECKPOINT).exists() and not session.resume:
        raise BadInputError(
            f"folder {folder}", "it holds a run already", "Give --resume to go on, or another --out."
        )
    ready = prepare(config, session)
    trainer = ready.trainer
    _check_length(trainer, folder)
    if not trainer.fabric.is_global_zero:
        fit(trainer, ready.mixture, folder)
        return {}
    fit(trainer, ready.mixture, folder, ready.watch, _sinks(trainer, folder, session))
    trainer.save_weights(folder / WEIGHTS)
    return ready.watch.latest


def _check_length(trainer: Trainer, folder: Path) -> None:
    progress, config = trainer.progress, trainer.config
    if progress.share(config) < 1:
        return
    done = f"{progress.step:,} steps in {progress.elapsed:,.0f} s are done"
    lengths = {"steps": config.steps, "max_time": config.max_time}
    asked = " and ".join(f"{name} {value:,}" for name, value in lengths.items() if value is not None)
    raise BadInputError(
        f"run {folder}", f"{done}, and {asked} asked for", "Give a larger --steps or --max-time to go on."
    )


def _sinks(trainer: Trainer, folder: Path, session: SessionConfig) -> list[Sink]:
    sinks: list[Sink] = [PictureFile(folder)]
    if session.tensorboard:
        sinks.append(TensorBoardLog(folder, trainer.progress.step))
    config = trainer.config
    return [*sinks, ConsoleBar(trainer.progress.share(config))]


def prepare(config: TrainConfig, session: SessionConfig) -> Prepared:
    """Read the data, start the processes, build the networks and fill them from files."""
    _check_network(config, session)
    sources = _sources(session)
    training = {name: source for name, source in sources.items() if not name.endswith(HELD_OUT)}
    watched = [
        source
        for source in sources.values()
        if isinstance(source, ShardSource) and source.name not in training
    ]
    shares = _shares(training, session.shares)
    pool = None if session.motion is None else read_pool(session.motion)
    fabric = _launched(config, session)
    trainer = Trainer(fabric, _network(config, session), config, pool, settings_of(config, session))
    if session.resume:
        _restore(trainer, session.out / CHECKPOINT)
    mixture = Mixture(list(training.values()), shares, config.batch_size, config.seed, trainer.rows)
    return Prepared(trainer, mixture, HoldOutWatch(watched, config.network.crop_size))


def _launched(config: TrainConfig, session: SessionConfig) -> Fabric:
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.utilities.rank_zero").setLevel(logging.WARNING)
    precision = fastest_precision(session.device) if config.precision == "auto" else config.precision
    try:
        fabric = Fabric(
            accelerator=session.device, devices=session.devices, strategy=session.strategy,
            num_nodes=session.nodes, precision=precision,
        )  # fmt: skip
    except Exception as error:  # Lightning has many kinds for what it does not find or know
        found = (str(error) or type(error).__name__).strip().splitlines()[0].rstrip(".")
        remedy = "Mend --device, --devices, --strategy or --nodes; --device auto takes what there is."
        raise BadInputError(f"Training on {session.device!r}", found, remedy) from error
    fabric.launch()
    return fabric


def fastest_precision(accelerator: str) -> Literal["32-true", "bf16-mixed"]:
    """bfloat16 where the device has instructions for it.

    Args:
        accelerator: Fabric's name of it; auto takes a GPU where there is one, as Fabric does.
    """
    if accelerator in {"auto", "gpu", "cuda"} and torch.cuda.is_available():
        device = "cuda"
    else:
        device = "cpu" if accelerator == "auto" else accelerator
    return (
        "bf16-mixed" if device in {"cpu", "cuda"} and has_fast_bfloat16(torch.device(device)) else "32-true"
    )


def _sources(session: SessionConfig) -> dict[str, ShardSource | StreamSource]:
    """The data sets by name: those of the folder, and those that are streamed."""
    found = data_sets_in(session.shards)
    held_out = [name for name in session.streams if name.endswith(HELD_OUT)]
    if held_out:
        raise BadInputError(
            f"stream {held_out[0]}", "its name says that it is held out", "Only files can be held out."
        )
    if not session.streams and all(name.endswith(HELD_OUT) for name in found):
        raise MissingAssetError(
            "shards to train on", session.shards, "Write them with `humanmesh data pack`."
        )
    here = {name: ShardSource(name, paths) for name, paths in sorted(found.items())}
    return here | {name: stream_source(name, addresses) for name, addresses in session.streams.items()}


def _shares(sources: dict[str, ShardSource | StreamSource], given: dict[str, float]) -> dict[str, float]:
    unknown = [name for name in given if name not in sources]
    if unknown:
        raise BadInputError(
            f"share of {', '.join(unknown)}",
            f"the data sets to train on are {', '.join(sources)}",
            "Name data sets that are there.",
        )
    if given:
        return given
    endless = [name for name, source in sources.items() if isinstance(source, StreamSource)]
    if endless and len(sources) > 1:
        raise BadInputError(
            f"shares of a batch with the stream {endless[0]}",
            "none given",
            "Nobody can know how long a stream is: give --shares NAME SHARE for every data set.",
        )
    return {name: 1.0 if name in endless else len(source) ** 0.5 for name, source in sources.items()}  # pyright: ignore[reportArgumentType]


def _network(config: TrainConfig, session: SessionConfig) -> Recovery:
    torch.manual_seed(config.seed)  # initial weights and dropout of this process, which is ours
    # In eval mode alone: the hold-outs are measured as the weights will be used.
    knowledge = bundled_pose_knowledge()
    network = build_recovery(config.network, load_body_data(session.body), knowledge=knowledge)
    if session.resume:
        return network
    if session.weights is not None:
        state = load_checkpoint(weights_path(session.weights)).state
        if session.encoder_weights is not None:
            state = network.state_dict() | {
                name: value for name, value in state.items() if name.startswith("regressor.")
            }
        network.load_state_dict(state)
    if session.encoder_weights is not None:
        ENCODER_STARTS[config.network.encoder](session.encoder_weights, network.encoder)
    return network


def network_to_go_on_with(session: SessionConfig) -> RecoveryConfig | None:
    """The network of the run's own weights where it is resumed, else of those that it starts from; None where there are none."""
    own = session.out / WEIGHTS
    if session.resume and own.is_file():
        return load_checkpoint(own).config
    return None if session.weights is None else load_checkpoint(weights_path(session.weights)).config


def _check_network(config: TrainConfig, session: SessionConfig) -> None:
    """The configured network must be the one that the weights were made for, but for what is no part of weights."""
    found = network_to_go_on_with(session)
    if found is None:
        return
    apart = _NO_PART_OF_WEIGHTS
    if session.encoder_weights is not None and not session.resume:
        apart = (*apart, "encoder")
    if replace(found, **{name: getattr(config.network, name) for name in apart}) != config.network:
        raise BadInputError(
            f"weights {session.out / WEIGHTS if session.resume else session.weights}",
            f"made for {found}",
            f"This training's is {config.network}; choose another preset or encoder.",
        )


_NO_PART_OF_WEIGHTS = ("crop_size", "lens_slope", *TEST_TIME_SETTINGS)
"""Settings of `RecoveryConfig` that the same weights serve whatever they are."""


def _restore(trainer: Trainer, path: Path) -> None:
    if not path.is_file():
        raise MissingAssetError("checkpoint to resume", path, "Leave out --resume to start anew.")
    trainer.restore(path)
