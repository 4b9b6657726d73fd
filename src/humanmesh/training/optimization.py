"""Optimisers, frozen blocks, the moving average, and the step size over a run."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from humanmesh.errors import BadInputError
from humanmesh.network.encoder import Encoder, MobileNetV2
from humanmesh.network.recovery import Recovery
from humanmesh.training.config import OptimizerConfig, TrainConfig


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


def freeze(encoder: Encoder, blocks: int) -> None:
    """Leave the stem and the first blocks of a MobileNetV2 as they are.

    Raises:
        BadInputError: where the encoder has fewer blocks, or none.
    """
    if not blocks:
        return
    there = len(encoder.blocks) if isinstance(encoder, MobileNetV2) else 0
    if blocks > there:
        raise BadInputError(
            f"{blocks} encoder blocks to freeze", f"this encoder has {there} that can be",
            "Use a MobileNetV2, or freeze fewer.",
        )  # fmt: skip
    assert isinstance(encoder, MobileNetV2)
    for module in (encoder.stem, *encoder.blocks[:blocks]):
        module.requires_grad_(requires_grad=False)


def network_optimizer(network: Recovery, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """Of encoder and regressor, each at its own step size (`full_rate`)."""
    encoder_rate = settings.encoder_learning_rate or settings.learning_rate
    groups = [
        {"params": list(network.encoder.parameters()), "full_rate": encoder_rate},
        {"params": list(network.regressor.parameters()), "full_rate": settings.learning_rate},
    ]
    if settings.name == "adam":
        return torch.optim.Adam(groups)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=True)


def discriminator_optimizer(discriminator: nn.Module, settings: OptimizerConfig) -> torch.optim.Optimizer:
    """Of the adversary."""
    return torch.optim.Adam([
        {"params": list(discriminator.parameters()), "full_rate": settings.discriminator_learning_rate}
    ])


def average_of(network: nn.Module, decay: float | None) -> AveragedModel | None:
    """The exponential moving average of the weights; None without a decay."""
    if decay is None:
        return None
    return AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def learning_rate_factor(progress: Progress, config: TrainConfig) -> float:
    """Share of the full step sizes: a linear warm-up, then, where it is asked for, half a cosine down to a hundredth at the end of the run."""
    settings = config.optimizer
    warmup = min((progress.step + 1) / settings.warmup_steps, 1.0) if settings.warmup_steps else 1.0
    if not settings.cosine:
        return warmup
    return warmup * (0.01 + 0.99 * (1 + math.cos(math.pi * progress.share(config))) / 2)


def restore_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """Fill in what an optimiser has gathered; its settings stay those of now."""
    now = optimizer.state_dict()["param_groups"]
    groups = [
        saved | {name: value for name, value in group.items() if name != "params"}
        for saved, group in zip(state["param_groups"], now, strict=True)
    ]
    optimizer.load_state_dict(state | {"param_groups": groups})


def gradient_norm(module: nn.Module) -> Tensor:
    """Euclidean norm over all gradients there are."""
    norms = [p.grad.norm() for p in module.parameters() if p.grad is not None]
    return torch.linalg.vector_norm(torch.stack(norms))
