"""The training loop: steps to the end, with checkpoints whole or not at all."""

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import nn

from humanmesh.data.mixing import Mixture
from humanmesh.training.loading import named_loader_failures, numbered_batches
from humanmesh.training.metrics_log import MetricsLog, Sink
from humanmesh.training.optimization import Progress
from humanmesh.training.pictures import prediction_sheet
from humanmesh.training.stopping import Stopped, first_interrupt_waits
from humanmesh.training.trainer import StepResult, Trainer

CHECKPOINT = "checkpoint.pt"
WEIGHTS = "weights.safetensors"

Watch = Callable[[nn.Module], dict[str, float]]
"""Measures the weights at a checkpoint: network in evaluation mode -> figures for the log."""


class _Diary:
    """What a run leaves in its folder, and shows. The first process alone keeps it."""

    def __init__(self, trainer: Trainer, folder: Path, watch: Watch | None, sinks: Sequence[Sink]) -> None:
        self.trainer, self.folder, self.watch = trainer, folder, watch
        self.sinks = [MetricsLog(folder, trainer.progress.step), *sinks]
        self.saved = time.monotonic()
        self.logged = Progress(**vars(trainer.progress))

    def after_step(self, result: StepResult) -> None:
        """Log, draw and save what is due."""
        config, progress = self.trainer.config, self.trainer.progress
        for sink in self.sinks:
            sink.advance(progress.step, progress.share(config))
        if progress.step % config.log_interval == 0:
            self._write(result.figures | self._pace())
        if config.picture_interval and progress.step % config.picture_interval == 0:
            picture = prediction_sheet(result.batch, result.estimate)
            for sink in self.sinks:
                sink.picture(progress.step, picture)
        if time.monotonic() - self.saved > config.checkpoint_interval:
            self.checkpoint()

    def save(self) -> None:
        """Save the run and its weights."""
        self.trainer.save_weights(self.folder / WEIGHTS, torch.float16)
        self.trainer.save(self.folder / CHECKPOINT)

    def checkpoint(self) -> None:
        """Save the run and its weights, and measure them."""
        self.save()
        if self.watch is not None:
            self._write(self.watch(self.trainer.released.eval()))
            self.trainer.plain_network.train()
        self.saved = time.monotonic()

    def close(self) -> None:
        """Let go of files and the terminal."""
        for sink in self.sinks:
            sink.close()

    def _pace(self) -> dict[str, float]:
        progress, before = self.trainer.progress, self.logged
        self.logged = Progress(**vars(progress))
        steps, seconds = progress.step - before.step, progress.elapsed - before.elapsed
        pace = self.trainer.config.batch_size * steps / seconds
        return {"images_per_second": pace, "elapsed": progress.elapsed}

    def _write(self, figures: dict[str, Any]) -> None:
        for sink in self.sinks if figures else ():
            sink.write(self.trainer.progress.step, figures)


def fit(
    trainer: Trainer, mixture: Mixture, folder: Path, watch: Watch | None = None, sinks: Sequence[Sink] = ()
) -> None:
    """Train to the configured end, with a checkpoint every interval and at the end.

    Raises:
        Stopped: where Ctrl-C ends it before; the step is finished and saved.
    """
    config, progress, fabric = trainer.config, trainer.progress, trainer.fabric
    with ExitStack() as at_end, named_loader_failures():
        diary = _Diary(trainer, folder, watch, sinks) if fabric.is_global_zero else None
        if diary is not None:
            at_end.callback(diary.close)
        batches = numbered_batches(mixture, progress.step, config.loaders)
        last, stops = time.monotonic(), False
        with first_interrupt_waits() as is_interrupted:
            while progress.share(config) < 1 and not stops:
                result = trainer.step(next(batches))
                # The first process's clock and Ctrl-C count, or the processes would part ways over the end of the run.
                elapsed = progress.elapsed + time.monotonic() - last
                progress.elapsed, stops = fabric.broadcast((elapsed, is_interrupted()))
                if diary is not None:
                    diary.after_step(result)
                last = time.monotonic()  # what a checkpoint and its watch take is no training time
        is_finished = progress.share(config) >= 1
        if diary is not None:
            diary.checkpoint() if is_finished else diary.save()
        if not is_finished:
            raise Stopped(f"stopped at step {progress.step:,}; go on with --resume")
