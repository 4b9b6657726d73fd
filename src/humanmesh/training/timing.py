"""Where the time of a training step goes."""

import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager

import torch

from humanmesh.data.mixing import Mixture
from humanmesh.training.loading import named_loader_failures, numbered_batches
from humanmesh.training.trainer import Trainer

NETWORK_PHASES = ("forward", "backward")
"""The parts of a step that are the network itself."""


class Stopwatch:
    """Seconds by phase; a phase that is entered again adds up."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def __call__(self, phase: str) -> Generator[None, None, None]:
        """Time what is done inside, to the end of what it has set going on the device."""
        start = time.perf_counter()
        try:
            yield
        finally:
            if self.device.type == "cuda":
                torch.cuda.synchronize(self.device)
            self.seconds[phase] += time.perf_counter() - start


def seconds_by_phase(
    trainer: Trainer, mixture: Mixture, steps: int = 10, warm_up: int = 3
) -> dict[str, float]:
    """Mean seconds of a step by its phases, in their order, over real steps; the trainer is changed by them.

    "data" is the time that the step waits for its batch: reading goes on beside the training.
    """
    with named_loader_failures():
        batches = numbered_batches(mixture, trainer.progress.step, trainer.config.loaders)
        for _ in range(warm_up):
            trainer.step(next(batches))
        watch = trainer.phase = Stopwatch(trainer.fabric.device)
        for _ in range(steps):
            with watch("data"):
                batch = next(batches)
            trainer.step(batch)
    return {phase: seconds / steps for phase, seconds in watch.seconds.items()}
