"""Every setting of a training, typed, with its default and unit. A preset is one of these values."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from humanmesh.data.augmentation import HMR_AUGMENTATION, AugmentationConfig
from humanmesh.network.recovery import RecoveryConfig

Mode = Literal["paired", "unpaired", "no-prior", "no-prior-paired"]
"""paired: 3D labels and the adversary. unpaired: the adversary, no 3D of any photo. no-prior: neither.
no-prior-paired: 3D labels without the adversary."""


def _check_positive(settings: object, *names: str) -> None:
    """Each a finite number above 0, or None."""
    for name in names:
        value = getattr(settings, name)
        if value is not None and not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite, got {value}")


@dataclass(frozen=True)
class LossWeights:
    """Factor of each term of the objective; 0 leaves a term out."""

    reprojection: float = 60.0
    """L1 on visible 2D keypoints, crop half-widths."""
    joints_3d: float = 60.0
    """3D keypoints about the middle of the hips, metres."""
    parameters: float = 60.0
    """Squared difference of rotations and shape together, as in the paper."""
    rotations: float = 0.0
    """Absolute difference of the entries of the rotations."""
    shape: float = 0.0
    """Absolute difference of the shape coefficients, standard deviations."""
    adversarial: float = 1.0
    """Least-squares adversary, sum over its 25 outputs."""
    heatmaps: float = 0.0
    """Focal loss of the keypoint heat maps."""
    seen_keypoints: float = 0.0
    """L1 of the keypoints read off the heat maps, crop half-widths."""
    seen_depths: float = 0.0
    """L1 of the keypoints' depths read off the depth maps, metres."""
    shape_prior: float = 0.0
    """Mean square of the shape coefficients."""
    knees: float = 0.0
    """Hinge on knees that bend forward."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 0:
                raise ValueError(f"the weight of {name} must not be negative, got {value}")


@dataclass(frozen=True)
class OptimizerConfig:
    """Step sizes and their course."""

    name: Literal["adam", "adamw"] = "adam"
    """Optimiser of both networks."""
    learning_rate: float = 1e-5
    """Step size of encoder and regressor."""
    encoder_learning_rate: float | None = None
    """Step size of the encoder where it should differ: small for one that starts from trained weights."""
    discriminator_learning_rate: float = 1e-4
    """Step size of the adversary."""
    weight_decay: float = 0.0
    """AdamW's decay, of encoder and regressor."""
    cosine: bool = False
    """Let the step size fall to a hundredth along half a cosine."""
    warmup_steps: int = 0
    """Steps over which the step size rises from 0."""
    gradient_norm: float | None = None
    """Gradients of a larger norm are shortened to it; None leaves them."""
    ema_decay: float | None = None
    """Decay a step of the moving average of the weights, which is what is released; None keeps no average."""
    frozen_blocks: int = 0
    """MobileNetV2: its stem and so many of its first blocks keep their starting weights; 0 trains all."""

    def __post_init__(self) -> None:
        _check_positive(
            self, "learning_rate", "encoder_learning_rate", "discriminator_learning_rate", "gradient_norm"
        )
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"ema_decay must lie between 0 and 1, got {self.ema_decay}")
        if self.frozen_blocks < 0:
            raise ValueError(f"frozen_blocks must not be negative, got {self.frozen_blocks}")


@dataclass(frozen=True)
class TrainConfig:
    """One training."""

    network: RecoveryConfig = field(default_factory=RecoveryConfig)
    augmentation: AugmentationConfig = field(default_factory=AugmentationConfig)
    losses: LossWeights = field(default_factory=LossWeights)
    optimizer: OptimizerConfig = field(default_factory=OptimizerConfig)
    objective: Literal["hmr", "modern"] = "hmr"
    """Which terms: the paper's on the last round, or L1 terms on all rounds."""
    mode: Mode = "paired"
    """What the training may know."""
    batch_size: int = 64
    """Pictures a step, over all processes."""
    steps: int | None = None
    """Length in optimiser steps; None trains for `max_time`."""
    max_time: float | None = None
    """Length in seconds over all resumed parts; None trains for `steps`."""
    checkpoint_interval: float = 180.0
    """Seconds between checkpoints; 0 writes one after every step."""
    log_interval: int = 20
    """Steps between lines of the log."""
    seed: int = 0
    """Seed of batches, augmentation and initial weights."""
    precision: Literal["auto", "32-true", "bf16-mixed"] = "32-true"
    """Fabric's name of the arithmetic of the network; the body is always in float32. auto: bf16-mixed where the device has
    instructions for it; elsewhere it is emulated (one step took 13 times as long)."""
    picture_interval: int = 500
    """Steps between pictures of predictions; 0 draws none."""
    loaders: int = 1
    """Processes that read batches ahead, for each process that trains."""

    def __post_init__(self) -> None:
        if self.steps is None and self.max_time is None:
            raise ValueError("give steps, max_time or both: a training must end")
        _check_positive(self, "steps", "max_time")
        if not 0 <= self.checkpoint_interval < math.inf:
            raise ValueError(
                f"checkpoint_interval must be finite and not negative, got {self.checkpoint_interval}"
            )
        for name, least in (("batch_size", 1), ("log_interval", 1), ("loaders", 1), ("picture_interval", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")


HMR = TrainConfig(
    network=RecoveryConfig("resnet50", "hmr", "axis_angle", 3, 224),
    augmentation=HMR_AUGMENTATION,
    steps=667_589,
)
"""The paper's numbers (Kanazawa et al. 2018 and the authors' training script)."""

MODERN = TrainConfig(
    network=RecoveryConfig(refinements=5, mirrored=True, lifted_start=True, lens_slope=0.25, depths=True),
    losses=LossWeights(
        parameters=0.0,
        rotations=20.0,
        shape=0.3,
        adversarial=0.25,
        heatmaps=3.0,
        seen_keypoints=40.0,
        seen_depths=40.0,
        shape_prior=0.05,
        knees=10.0,
    ),
    optimizer=OptimizerConfig(
        "adamw",
        5e-4,
        1.5e-4,
        2e-4,
        weight_decay=1e-2,
        cosine=True,
        warmup_steps=200,
        gradient_norm=20.0,
        ema_decay=0.998,
    ),
    objective="modern",
    batch_size=48,
    max_time=3600.0,
    precision="auto",
)
"""What works best today on a laptop."""

PRESETS: dict[str, TrainConfig] = {"hmr": HMR, "modern": MODERN}


@dataclass(frozen=True)
class SessionConfig:
    """Where a training finds what it needs, and on what it runs."""

    shards: Path
    """Folder of tars named DATASET-NUMBER.tar."""
    out: Path
    """Folder of the run: checkpoint.pt, weights.safetensors, metrics.jsonl, predictions.png, tensorboard."""
    shares: dict[str, float] = field(default_factory=dict)
    """Share of each data set in a batch, by name; by the square root of its size where not given."""
    streams: dict[str, str] = field(default_factory=dict)
    """Addresses of data sets that are streamed, by name, as WebDataset writes them."""
    motion: Path | None = None
    """.npz of poses (`pose` (N, 72), `clip` (N,)) for the adversary."""
    weights: str | None = None
    """A checkpoint of this project to start from, made for the same network: a path, or the name of a bundled one: "default" or "open"."""
    encoder_weights: Path | None = None
    """Weights of another task for the encoder alone: MoveNet or ImageNet. Beside it `weights` gives the regressor alone."""
    body: str = "anny"
    """"anny", or the path of an SMPL file."""
    resume: bool = False
    """Go on from the checkpoint in `out`."""
    device: str = "auto"
    """Fabric's accelerator."""
    devices: int = 1
    """Processes a machine."""
    strategy: str = "auto"
    """Fabric's strategy."""
    nodes: int = 1
    """Machines."""
    tensorboard: bool = True
    """Write TensorBoard's files too."""
