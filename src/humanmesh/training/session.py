"""A training from files to files: data, starting weights, loop, weights."""

import logging
from collections import defaultdict
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
from humanmesh.files.checkpoints import load_checkpoint, load_imagenet, load_movenet, save_checkpoint
from humanmesh.network.recovery import Recovery, build_recovery
from humanmesh.training.config import SessionConfig, TrainConfig
from humanmesh.training.loop import CHECKPOINT, Trainer, fit
from humanmesh.training.watch import HoldOutWatch

WEIGHTS = "weights.safetensors"
ENCODER_STARTS = {"mobilenet_v2_fpn": load_movenet, "resnet18": load_imagenet, "resnet50": load_imagenet}
"""How each encoder starts from weights of another task."""
_HELD_OUT = "_held_out"


def train(config: TrainConfig, session: SessionConfig) -> dict[str, float]:
    """Train to the end and write the weights; returns what the hold-outs said last."""
    sources = shard_sources(session.shards)
    training = {name: source for name, source in sources.items() if not name.endswith(_HELD_OUT)}
    watched = [source for name, source in sources.items() if name.endswith(_HELD_OUT)]
    logging.getLogger("lightning.pytorch.utilities.rank_zero").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=session.device, devices=session.devices, strategy=session.strategy,
        num_nodes=session.nodes, precision=config.precision,
    )  # fmt: skip
    fabric.launch()
    mixture = Mixture(
        list(training.values()),
        _shares(training, session.shares),
        config.batch_size,
        config.seed,
        slice(fabric.global_rank, None, fabric.world_size),
    )
    pool = None if session.motion is None else read_pool(session.motion)
    trainer = Trainer(fabric, _network(config, session), config, pool)
    if session.resume:
        _restore(trainer, session.out / CHECKPOINT)
    watch = HoldOutWatch(watched, config.network.crop_size)
    fit(trainer, mixture, session.out, watch)
    if fabric.is_global_zero:
        released = trainer.released.state_dict()
        save_checkpoint(
            session.out / WEIGHTS, config.network, released, notes={"steps": str(trainer.progress.step)}
        )
    return watch(trainer.released.eval())


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
        start = load_checkpoint(weights_path(session.weights))
        if start.config != config.network:
            raise BadInputError(
                f"weights {session.weights}", f"made for {start.config}", "Train with that network."
            )
        network.load_state_dict(start.state)
    return network


def _restore(trainer: Trainer, path: Path) -> None:
    if not path.is_file():
        raise MissingAssetError("checkpoint to resume", path, "Leave out --resume to start anew.")
    trainer.restore(path)
