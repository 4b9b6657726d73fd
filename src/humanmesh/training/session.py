"""A training from files to files: data, starting weights, loop, weights."""

import logging
from collections import defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from lightning.fabric import Fabric

from humanmesh.data.mixing import Mixture
from humanmesh.data.pool import BodyPool, balanced_pool
from humanmesh.data.shards import ShardSource
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, load_imagenet, load_movenet
from humanmesh.files.writing import output_folder
from humanmesh.network.recovery import Recovery, RecoveryConfig, build_recovery
from humanmesh.training.config import SessionConfig, TrainConfig
from humanmesh.training.console import ConsoleBar
from humanmesh.training.loop import CHECKPOINT, WEIGHTS, Trainer, fit
from humanmesh.training.metrics_log import PictureFile, Sink, TensorBoardLog
from humanmesh.training.watch import HoldOutWatch

ENCODER_STARTS = {"mobilenet_v2_fpn": load_movenet, "resnet18": load_imagenet, "resnet50": load_imagenet}
"""How each encoder starts from weights of another task."""
_HELD_OUT = "_held_out"


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
    """Train to the end and write the weights; returns what the hold-outs said last, in the first process alone."""
    folder = output_folder(session.out)
    if (folder / CHECKPOINT).exists() and not session.resume:
        raise BadInputError(
            f"folder {folder}", "it holds a run already", "Give --resume to go on, or another --out."
        )
    ready = prepare(config, session)
    trainer = ready.trainer
    if not trainer.fabric.is_global_zero:
        fit(trainer, ready.mixture, folder)
        return {}
    fit(trainer, ready.mixture, folder, ready.watch, _sinks(trainer, folder, session))
    trainer.save_weights(folder / WEIGHTS)
    return ready.watch(trainer.released.eval())


def _sinks(trainer: Trainer, folder: Path, session: SessionConfig) -> list[Sink]:
    sinks: list[Sink] = [PictureFile(folder)]
    if session.tensorboard:
        sinks.append(TensorBoardLog(folder, trainer.progress.step))
    config = trainer.config
    return [*sinks, ConsoleBar(trainer.progress.share(config))]


def prepare(config: TrainConfig, session: SessionConfig) -> Prepared:
    """Read the data and start the processes; files are read before, so that what is wrong is said once."""
    config = replace(config, network=_network_config(config, session))
    sources = shard_sources(session.shards)
    training = {name: source for name, source in sources.items() if not name.endswith(_HELD_OUT)}
    watched = [source for name, source in sources.items() if name.endswith(_HELD_OUT)]
    shares = _shares(training, session.shares)
    pool = None if session.motion is None else read_pool(session.motion)
    fabric = _launched(config, session)
    trainer = Trainer(fabric, _network(config, session), config, pool)
    if session.resume:
        _restore(trainer, session.out / CHECKPOINT)
    mixture = Mixture(list(training.values()), shares, config.batch_size, config.seed, trainer.rows)
    return Prepared(trainer, mixture, HoldOutWatch(watched, config.network.crop_size))


def _launched(config: TrainConfig, session: SessionConfig) -> Fabric:
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric.utilities.rank_zero").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=session.device, devices=session.devices, strategy=session.strategy,
        num_nodes=session.nodes, precision=config.precision,
    )  # fmt: skip
    fabric.launch()
    return fabric


def shard_sources(folder: Path) -> dict[str, ShardSource]:
    """The data sets of a folder by name; tars are named NAME-NUMBER.tar."""
    paths: dict[str, list[Path]] = defaultdict(list)
    for path in folder.glob("*.tar"):
        paths[path.stem.rpartition("-")[0] or path.stem].append(path)
    if not any(not name.endswith(_HELD_OUT) for name in paths):
        raise MissingAssetError("shards to train on", folder, "Write them with `humanmesh data pack`.")
    return {name: ShardSource(name, found) for name, found in sorted(paths.items())}


def _shares(sources: dict[str, ShardSource], given: dict[str, float]) -> dict[str, float]:
    unknown = [name for name in given if name not in sources]
    if unknown:
        raise BadInputError(
            f"share of {', '.join(unknown)}",
            f"the folder has {', '.join(sources)}",
            "Name data sets that are there.",
        )
    return given if given else {name: len(source) ** 0.5 for name, source in sources.items()}


def read_pool(path: Path) -> BodyPool:
    """Poses for the adversary from an .npz with `pose` (N, 72) and `clip` (N,)."""
    if not path.is_file():
        raise MissingAssetError("motion capture", path, "Make one with `humanmesh data motion`.")
    with np.load(path) as arrays:
        missing = {"pose", "clip"} - set(arrays)
        if missing or arrays["pose"].ndim != 2 or arrays["pose"].shape[1] != 72:
            raise BadInputError(
                f"motion capture {path}", f"arrays {sorted(arrays)}", "It needs pose (N, 72) and clip (N,)."
            )
        pose, clip = arrays["pose"], arrays["clip"]
    if not np.isfinite(pose).all():
        row = int(np.flatnonzero(~np.isfinite(pose).all(1))[0])
        raise BadInputError(f"motion capture {path}", f"pose {row} is not finite", "Leave it out.")
    return balanced_pool(pose, clip)


def _network(config: TrainConfig, session: SessionConfig) -> Recovery:
    torch.manual_seed(config.seed)  # initial weights and dropout of this process, which is ours
    network = build_recovery(config.network, load_body_data(session.body))
    if session.resume:
        return network
    if session.encoder_weights is not None:
        ENCODER_STARTS[config.network.encoder](session.encoder_weights, network.encoder)
    if session.weights is not None:
        network.load_state_dict(load_checkpoint(weights_path(session.weights)).state)
    return network


def _network_config(config: TrainConfig, session: SessionConfig) -> RecoveryConfig:
    """The network as the run's own weights, or those that it starts from, describe it.

    It must be the configured one but for the refinements, which are no part of the weights.
    """
    own = session.out / WEIGHTS
    if session.resume and own.is_file():
        path = own
    elif session.weights is not None:
        path = weights_path(session.weights)
    else:
        return config.network
    found = load_checkpoint(path).config
    if replace(found, refinements=config.network.refinements) != config.network:
        raise BadInputError(
            f"weights {path}",
            f"made for {found}",
            f"This training's is {config.network}; choose another preset.",
        )
    return found


def _restore(trainer: Trainer, path: Path) -> None:
    if not path.is_file():
        raise MissingAssetError("checkpoint to resume", path, "Leave out --resume to start anew.")
    trainer.restore(path)
