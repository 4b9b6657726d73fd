"""A tiny training as one of several processes: python processes.py OUT PROCESSES."""

import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from lightning.fabric import Fabric

from humanmesh.data.mixing import Mixture
from humanmesh.data.pool import BodyPool
from humanmesh.network.recovery import RecoveryConfig, build_recovery
from humanmesh.training.config import MODERN
from humanmesh.training.loop import fit
from humanmesh.training.trainer import Trainer
from made_bodies import small_body
from made_samples import MadeSource

CONFIG = replace(
    MODERN, network=RecoveryConfig(crop_size=64), batch_size=4, steps=3, max_time=None, log_interval=1,
    precision="32-true",
)  # fmt: skip


def train(out: Path, processes: int) -> None:
    """Three steps, with labels that the processes' halves of a batch have unequally many of."""
    torch.set_num_threads(1)
    fabric = Fabric(accelerator="cpu", devices=processes, strategy="ddp" if processes > 1 else "auto")
    fabric.launch()
    torch.manual_seed(0)
    network = build_recovery(CONFIG.network, small_body())
    network.regressor.dropout.p = 0.0  # each process draws its own
    poses = torch.randn(9, 72, generator=torch.Generator().manual_seed(0))
    trainer = Trainer(fabric, network, CONFIG, BodyPool(poses, torch.full((9,), 1 / 9)))
    sources = [MadeSource("labelled", 9), MadeSource("not_labelled", 5, known_3d=False)]
    mixture = Mixture(sources, {"labelled": 3.0, "not_labelled": 1.0}, CONFIG.batch_size, 0, trainer.rows)
    fit(trainer, mixture, out)


if __name__ == "__main__":
    train(Path(sys.argv[1]), int(sys.argv[2]))
