"""Everything that a training changes, and one step of it: Fabric for device, precision and processes; two optimisers."""

import pickle
import struct
from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from lightning.fabric import Fabric
from torch import Tensor, nn

from humanmesh.data.augmentation import augment
from humanmesh.data.dataset import Batch
from humanmesh.data.pool import BodyPool
from humanmesh.errors import BadInputError
from humanmesh.files.checkpoints import save_checkpoint
from humanmesh.files.writing import whole_file
from humanmesh.network.discriminator import Discriminator
from humanmesh.network.recovery import Recovery, RecoveryOutput
from humanmesh.network.regressor import Estimate
from humanmesh.training.config import TrainConfig
from humanmesh.training.optimization import (
    Progress,
    average_of,
    discriminator_optimizer,
    freeze,
    gradient_norm,
    learning_rate_factor,
    network_optimizer,
    restore_optimizer,
)
from humanmesh.training.resuming import Settings, check_settings
from humanmesh.training.step import (
    OBJECTIVES,
    AdversaryStep,
    Term,
    Terms,
    adversary_step,
    allowed_labels,
    diverged,
    mean_over_people,
    suspects,
    total,
)

_NOT_A_CHECKPOINT = (
    RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, struct.error,
    pickle.UnpicklingError,
)  # fmt: skip
"""What torch raises over a file that holds something else."""

Phase = Callable[[str], AbstractContextManager[Any]]
"""Told which part of a step begins: a stopwatch."""


@dataclass(frozen=True)
class StepResult:
    """What one step leaves behind."""

    figures: dict[str, Tensor]
    """What there is to log, of the whole batch."""
    batch: Batch
    """This process's rows, as the network saw them."""
    estimate: Estimate
    """Its last round."""


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
    """Everything that a run changes, and how one step changes it.

    With several processes each has the rows `rows` of every batch, and the networks change as one process would
    change them with the whole batch; normalisation layers alone see their process's rows.
    """

    def __init__(
        self,
        fabric: Fabric,
        network: Recovery,
        config: TrainConfig,
        pool: BodyPool | None,
        settings: Settings | None = None,
    ) -> None:
        """Begin.

        Args:
            fabric: device, precision and processes.
            network: with its starting weights.
            config: of the training.
            pool: real bodies for the adversary, where there is one.
            settings: stored in checkpoints; `restore` refuses one that was stored with others.
        """
        if config.batch_size % fabric.world_size:
            raise BadInputError(
                f"batch of {config.batch_size}", f"cannot be shared evenly by {fabric.world_size} processes",
                "Give a --batch-size that is a multiple of their number.",
            )  # fmt: skip
        self.fabric, self.config, self.pool, self.settings = fabric, config, pool, settings or {}
        self.rows = slice(fabric.global_rank, None, fabric.world_size)
        self.progress = Progress()
        self.phase: Phase = lambda _: nullcontext()
        self.plain_network = network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        freeze(network.encoder, config.optimizer.frozen_blocks)
        self.network, self.optimizer = fabric.setup(
            _Wrapped(self.plain_network), network_optimizer(self.plain_network, config.optimizer)
        )
        discriminator = Discriminator()
        self.discriminator, self.discriminator_optimizer = fabric.setup(
            discriminator, discriminator_optimizer(discriminator, config.optimizer)
        )
        self.average = average_of(self.plain_network, config.optimizer.ema_decay)

    @property
    def released(self) -> nn.Module:
        """The weights to keep: the moving average where there is one."""
        return self.plain_network if self.average is None else self.average.module

    def step(self, stored: Batch) -> StepResult:
        """One update of both networks on this process's rows of a stored batch."""
        generator = self._chance()
        with self.phase("augmentation"):
            batch = self._augmented(stored, generator)
        with self.phase("forward"):
            output = self.network(batch.images.contiguous(memory_format=torch.channels_last)).get()
        with self.phase("objective"):
            terms: Terms = OBJECTIVES[self.config.objective](output, batch)
        with self.phase("adversary"):
            adversary = self._adversary(output, generator)
            if adversary is not None:
                terms["adversarial"] = mean_over_people(adversary.encoder_term, batch)
        with self.phase("objective"):
            terms = self._of_the_whole_batch(terms)
            loss = total(terms, self.config.losses)
            figures = self._figures(terms, loss, adversary)
            self._check(figures, terms, lambda: suspects(batch, output))
        self._set_learning_rates()
        figures |= self._update_network(loss, batch)
        if adversary is not None:
            with self.phase("adversary"):
                figures |= self._update_discriminator(adversary)
        self.progress.step += 1
        return StepResult(figures, batch, output.last)

    def _chance(self) -> torch.Generator:
        """Chance of this step: the same for all processes, but for dropout, and for a resumed run."""
        seed = self.config.seed * 1_000_003 + self.progress.step
        # Dropout draws from torch's own generators, which no argument can replace.
        torch.manual_seed(seed * 1009 + self.fabric.global_rank)
        return torch.Generator().manual_seed(seed)

    def _augmented(self, stored: Batch, generator: torch.Generator) -> Batch:
        stored = allowed_labels(stored.to(self.fabric.device), self.config.mode)
        size = self.config.network.crop_size
        return augment(stored, self.config.augmentation, size, generator, self.rows)

    def _adversary(self, output: RecoveryOutput, generator: torch.Generator) -> AdversaryStep | None:
        if self.pool is None or self.config.mode.startswith("no-prior"):
            return None
        count = len(output.rounds) * self.config.batch_size
        rotations, shapes = (values[self.rows] for values in self.pool.sample(count, generator))
        device = self.fabric.device
        return adversary_step(self.discriminator, output, rotations.to(device), shapes.to(device))

    def _of_the_whole_batch(self, terms: Terms) -> Terms:
        """Terms scaled so that their mean over the processes, and that of their gradients, is the whole batch's."""
        own = torch.stack([term.weight for term in terms.values()])
        whole = _reduced(self.fabric, own, "sum")
        factors = self.fabric.world_size * own / torch.where(whole == 0, 1, whole)
        return {
            name: Term(factor * term.value, term.weight)
            for (name, term), factor in zip(terms.items(), factors, strict=True)
        }

    def _figures(self, terms: Terms, loss: Tensor, adversary: AdversaryStep | None) -> dict[str, Tensor]:
        own = {name: term.value for name, term in terms.items()} | {"loss": loss}
        if adversary is not None:
            own |= {
                "discriminator": adversary.discriminator_loss,
                "real_scores": adversary.real_scores,
                "fake_scores": adversary.fake_scores,
            }
        flat = torch.cat([value.detach().reshape(-1) for value in own.values()])
        whole = _reduced(self.fabric, flat, "mean")
        parts = whole.split([value.numel() for value in own.values()])
        return {name: part.view_as(value) for (name, value), part in zip(own.items(), parts, strict=True)}

    def _check(
        self, figures: dict[str, Tensor], names: Collection[str], records: Callable[[], tuple[str, ...]]
    ) -> None:
        """Stop before a value that is no number reaches the weights; every process sees it and stops alike."""
        if torch.stack([figures[name] for name in names]).isfinite().all():
            return
        broken = next(name for name in names if not figures[name].isfinite())
        raise diverged(broken.replace("_", " "), figures[broken].item(), _from_all(self.fabric, records()))

    def _update_network(self, loss: Tensor, batch: Batch) -> dict[str, Tensor]:
        with self.phase("backward"):
            self.optimizer.zero_grad(set_to_none=True)
            self.fabric.backward(loss)
        with self.phase("optimiser"):
            norms = self._shorten_gradients()
            self._check(norms, norms, lambda: batch.records)
            self.optimizer.step()
        with self.phase("average"):
            if self.average is not None:
                self.average.update_parameters(self.plain_network)
        return norms

    def _shorten_gradients(self) -> dict[str, Tensor]:
        """Bring the gradient of encoder and regressor to at most the configured norm; returns what norms it had."""
        encoder = gradient_norm(self.plain_network.encoder)
        regressor = gradient_norm(self.plain_network.regressor)
        norm = torch.hypot(encoder, regressor)
        longest = self.config.optimizer.gradient_norm
        if longest is not None:
            factor = (longest / norm).clamp(max=1)
            for parameter in self.plain_network.parameters():
                if parameter.grad is not None:
                    parameter.grad.mul_(factor)
        return {
            "gradient_norm": norm,
            "gradient_norm_encoder": encoder,
            "gradient_norm_regressor": regressor,
        }

    def _update_discriminator(self, adversary: AdversaryStep) -> dict[str, Tensor]:
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(adversary.discriminator_loss)
        self.discriminator_optimizer.step()
        return {"gradient_norm_discriminator": gradient_norm(self.discriminator)}

    def _set_learning_rates(self) -> None:
        factor = learning_rate_factor(self.progress, self.config)
        for optimizer in (self.optimizer, self.discriminator_optimizer):
            for group in optimizer.param_groups:
                group["lr"] = factor * group["full_rate"]

    def save(self, path: Path) -> None:
        """Write the whole state beside, then rename: a kill at any moment leaves the last whole checkpoint.

        Raises:
            BadInputError: where it cannot be written.
        """
        state = {
            "network": self.plain_network.state_dict(),
            "average": None if self.average is None else self.average.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "discriminator_optimizer": self.discriminator_optimizer.state_dict(),
            "progress": vars(self.progress),
            "settings": self.settings,
        }
        with whole_file(path) as beside:
            try:
                torch.save(state, beside)
            except RuntimeError as error:  # torch's word for a full disk
                raise OSError(_first_line(error)) from error

    def restore(self, path: Path) -> None:
        """Go on where `save` left off; rates, decay and the like are the configuration's, not the file's.

        Raises:
            BadInputError: where the file is no checkpoint, or is one of another network or of a training with other settings.
        """
        try:
            state = torch.load(path, map_location=self.fabric.device, weights_only=True)
            check_settings(path, state.get("settings", {}), self.settings)  # older files have none
            self.plain_network.load_state_dict(state["network"])
            if self.average is not None:
                self.average.load_state_dict(state["average"])
            self.discriminator.load_state_dict(state["discriminator"])
            restore_optimizer(self.optimizer, state["optimizer"])
            restore_optimizer(self.discriminator_optimizer, state["discriminator_optimizer"])
        except _NOT_A_CHECKPOINT as error:
            raise BadInputError(
                f"checkpoint {path}", f"does not fit this training ({_first_line(error)})",
                "Resume with the options that the run was started with.",
            ) from error  # fmt: skip
        self.progress = Progress(**state["progress"])

    def save_weights(self, path: Path, matrix_dtype: torch.dtype = torch.float32) -> None:
        """Write the weights to keep, as `load_recovery` reads them."""
        notes = {"steps": str(self.progress.step)}
        state = self.released.state_dict()
        save_checkpoint(path, self.config.network, state, matrix_dtype=matrix_dtype, notes=notes)


def _reduced(fabric: Fabric, values: Tensor, how: str) -> Tensor:
    """Sum or mean over the processes."""
    whole = fabric.all_reduce(values.clone(), reduce_op=how)  # in place
    assert isinstance(whole, Tensor)
    return whole


def _from_all(fabric: Fabric, records: tuple[str, ...]) -> tuple[str, ...]:
    """What each process names, together."""
    named: list[Any] = [records] * fabric.world_size
    if fabric.world_size > 1:
        torch.distributed.all_gather_object(named, records)
    return tuple(record for records in named for record in records)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0]
