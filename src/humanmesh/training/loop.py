"""The training loop: Fabric for device, precision and processes; two optimisers; checkpoints whole or not at all."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset

from humanmesh.data.augmentation import augment
from humanmesh.data.dataset import Batch
from humanmesh.data.mixing import Mixture
from humanmesh.data.pool import BodyPool
from humanmesh.network.discriminator import Discriminator
from humanmesh.network.recovery import Recovery, RecoveryOutput
from humanmesh.training.config import OptimizerConfig, TrainConfig
from humanmesh.training.metrics_log import MetricsLog
from humanmesh.training.step import OBJECTIVES, AdversaryStep, Terms, adversary_step, allowed_labels, total

CHECKPOINT = "checkpoint.pt"

Watch = Callable[[nn.Module], dict[str, float]]
"""Measures the weights at a checkpoint: network in evaluation mode -> figures for the log."""


@dataclass
class Progress:
    """Where the run stands."""

    step: int = 0
    """Optimiser steps done."""
    elapsed: float = 0.0
    """Seconds of training, over all resumed parts."""

    def share(self, config: TrainConfig) -> float:
        """Share of the run that is done, in [0, 1]."""
        by_steps = self.step / config.steps if config.steps else 0.0
        by_time = self.elapsed / config.max_time if config.max_time else 0.0
        return min(max(by_steps, by_time), 1.0)


class _Output(NamedTuple):
    """Carries a network's output through Fabric, which copies dataclasses and cannot copy frozen ones."""

    get: Callable[[], RecoveryOutput]


class _Wrapped(nn.Module):
    def __init__(self, network: Recovery) -> None:
        super().__init__()
        self.network = network

    def forward(self, crops: Tensor) -> _Output:
        output = self.network(crops)
        return _Output(lambda: output)


class Trainer:
    """Everything that a run changes, and how one step changes it."""

    def __init__(self, fabric: Fabric, network: Recovery, config: TrainConfig, pool: BodyPool | None) -> None:
        self.fabric, self.config, self.pool = fabric, config, pool
        self.progress = Progress()
        self.plain_network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        settings = config.optimizer
        self.network, self.optimizer = fabric.setup(
            _Wrapped(self.plain_network), _optimizer(self.plain_network, settings)
        )
        discriminator = Discriminator()
        self.discriminator, self.discriminator_optimizer = fabric.setup(
            discriminator, _discriminator_optimizer(discriminator, settings)
        )
        self.average = _average_of(self.plain_network, settings.ema_decay)

    @property
    def released(self) -> nn.Module:
        """The weights to keep: the moving average where there is one."""
        return self.plain_network if self.average is None else self.average.module

    def step(self, stored: Batch) -> dict[str, Tensor]:
        """One update of both networks on a stored batch; returns what there is to log."""
        generator = torch.Generator().manual_seed(self.config.seed * 1_000_003 + self.progress.step)
        stored = allowed_labels(stored.to(self.fabric.device), self.config.mode)
        batch = augment(stored, self.config.augmentation, self.config.network.crop_size, generator)
        self._set_learning_rates()
        output = self.network(batch.images.contiguous(memory_format=torch.channels_last)).get()
        terms: Terms = OBJECTIVES[self.config.objective](output, batch)
        adversary = self._adversary(output, generator)
        if adversary is not None:
            terms["adversarial"] = adversary.encoder_term
        loss = total(terms, self.config.losses, batch.records)
        norm = self._update_network(loss)
        if adversary is not None:
            self._update_discriminator(adversary)
        self.progress.step += 1
        return _figures(terms, loss, norm, adversary)

    def _adversary(self, output: RecoveryOutput, generator: torch.Generator) -> AdversaryStep | None:
        if self.pool is None or self.config.mode.startswith("no-prior"):
            return None
        count = self.config.network.rounds * self.config.batch_size // self.fabric.world_size
        rotations, shapes = self.pool.sample(count, generator)
        device = self.fabric.device
        return adversary_step(self.discriminator, output, rotations.to(device), shapes.to(device))

    def _update_network(self, loss: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        longest = self.config.optimizer.gradient_norm or math.inf
        norm = nn.utils.clip_grad_norm_(self.plain_network.parameters(), longest)
        self.optimizer.step()
        if self.average is not None:
            self.average.update_parameters(self.plain_network)
        return norm

    def _update_discriminator(self, adversary: AdversaryStep) -> None:
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(adversary.discriminator_loss)
        self.discriminator_optimizer.step()

    def _set_learning_rates(self) -> None:
        factor = _learning_rate_factor(self.progress, self.config)
        for optimizer in (self.optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = factor * group["full_rate"]

    def save(self, path: Path) -> None:
        """Write the whole state beside, then rename: a kill at any moment leaves the last whole checkpoint."""
        state = {
            "network": self.plain_network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "progress": vars(self.progress),
            "random": torch.get_rng_state(),
        }
        partial = path.with_suffix(".part")
        torch.save(state, partial)
        partial.replace(path)

    def restore(self, path: Path) -> None:
        """Go on where `save` left off."""
        state = torch.load(path, map_location=self.fabric.device, weights_only=True)
        self.plain_network.load_state_dict(state["network"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.discriminator_optimizer.load_state_dict(state["discriminator_optimizer"])
        self.progress = Progress(**state["progress"])
        torch.set_rng_state(state["random"].cpu())


def fit(trainer: Trainer, mixture: Mixture, folder: Path, watch: Watch | None = None) -> None:
    """Train to the configured end, with a checkpoint every interval and at the end."""
    config, progress, log = trainer.config, trainer.progress, MetricsLog(folder)
    last = saved = time.monotonic()
    for batch in _batches(mixture, progress.step):
        if progress.share(config) >= 1:
            break
        figures = trainer.step(batch)
        now = time.monotonic()
        progress.elapsed += now - last
        if progress.step % config.log_interval == 0:
            pace = {"images_per_second": config.batch_size / (now - last), "elapsed": progress.elapsed}
            log.write(progress.step, figures | pace)
        if now - saved > config.checkpoint_interval:
            _checkpoint(trainer, folder, log, watch)
            saved = time.monotonic()
        last = time.monotonic()  # what a checkpoint and its watch take is no training time
    _checkpoint(trainer, folder, log, watch)


def _checkpoint(trainer: Trainer, folder: Path, log: MetricsLog, watch: Watch | None) -> None:
    trainer.save(folder / CHECKPOINT)
    if watch is not None:
        log.write(trainer.progress.step, watch(trainer.released.eval()))
        trainer.plain_network.train()


class _NumberedBatches(Dataset):
    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __getitem__(self, number: int) -> Batch:
        return self.mixture[number]


def _batches(mixture: Mixture, start: int) -> Iterator[Batch]:
    """Batches from number `start` on, loaded by one process ahead of the training."""
    loader = DataLoader(
        _NumberedBatches(mixture),
        batch_size=None,
        sampler=range(start, 2**31),
        num_workers=1,
        prefetch_factor=4,
        generator=torch.Generator(),  # its own, or the loader would draw from the one that dropout uses
    )
    return iter(loader)


def _optimizer(network: Recovery, settings: OptimizerConfig) -> torch.optim.Optimizer:
    encoder_rate = settings.encoder_learning_rate or settings.learning_rate
    groups = [
        {"params": list(network.encoder.parameters()), "full_rate": encoder_rate},
        {"params": list(network.regressor.parameters()), "full_rate": settings.learning_rate},
    ]
    if settings.name == "adam":
        return torch.optim.Adam(groups)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)


def _discriminator_optimizer(discriminator: nn.Module, settings: OptimizerConfig) -> torch.optim.Optimizer:
    return torch.optim.Adam([
        {"params": list(discriminator.parameters()), "full_rate": settings.discriminator_learning_rate}
    ])


def _average_of(network: nn.Module, decay: float | None) -> AveragedModel | None:
    if decay is None:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _learning_rate_factor(progress: Progress, config: TrainConfig) -> float:
    settings = config.optimizer
    warmup = min((progress.step + 1) / settings.warmup_steps, 1.0) if settings.warmup_steps else 1.0
    if not settings.cosine:
        return warmup
    return warmup * (0.01 + 0.99 * (1 + math.cos(math.pi * progress.share(config))) / 2)


def _figures(terms: Terms, loss: Tensor, norm: Tensor, adversary: AdversaryStep | None) -> dict[str, Tensor]:
    figures = {name: value.detach() for name, value in terms.items()} | {
        "loss": loss.detach(),
        "gradient_norm": norm,
    }
    if adversary is not None:
        figures |= {
            "discriminator": adversary.discriminator_loss.detach(),
            "real_scores": adversary.real_scores,
            "fake_scores": adversary.fake_scores,
        }
    return figures
