"""Batches read ahead of the training by other processes, whose failures come back as sentences."""

import multiprocessing
import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch.utils.data import DataLoader, Dataset

from humanmesh.data.dataset import Batch
from humanmesh.data.mixing import Mixture
from humanmesh.errors import BadInputError, HumanMeshError

_PATIENCE = 600.0
"""Seconds for one batch, after which its reader counts as hung."""


class UnreadableBatchError(HumanMeshError):
    """A batch that could not be read."""


@dataclass(frozen=True)
class _Unreadable:
    """Travels from a reading process in the place of a batch; an exception would arrive as another one."""

    message: str


class _NumberedBatches(Dataset):
    def __init__(self, mixture: Mixture) -> None:
        self.mixture = mixture

    def __getitem__(self, number: int) -> Batch | _Unreadable:
        try:
            return self.mixture[number]
        except HumanMeshError as error:
            return _Unreadable(str(error))
        except (OSError, ValueError, KeyError, TypeError) as error:
            remedy = "A shard was damaged or changed after the training began; pack it again."
            return _Unreadable(f"Batch {number} could not be read: {type(error).__name__}: {error}. {remedy}")


def numbered_batches(mixture: Mixture, start: int, loaders: int = 1) -> Iterator[Batch]:
    """Batches from number `start` on, without end.

    Raises:
        UnreadableBatchError: where a sample cannot be read.
        BadInputError: where a reading process died while it handed a batch over.
    """
    loader = DataLoader(
        _NumberedBatches(mixture),
        batch_size=None,
        sampler=range(start, 2**31),
        num_workers=loaders,
        prefetch_factor=4,
        timeout=_PATIENCE,
        worker_init_fn=_leave_interrupts_to_the_training,
        generator=torch.Generator(),  # its own: the loader would draw from torch's, which is dropout's
    )
    arriving = iter(loader)
    while True:
        try:
            batch = next(arriving)
        except (OSError, EOFError) as error:  # what cannot be read arrives as a value: this is the connection
            _await_the_dead()
            raise _failed(f"its connection broke ({error or 'it ended'})") from error
        if isinstance(batch, _Unreadable):
            raise UnreadableBatchError(batch.message)
        yield batch


def _leave_interrupts_to_the_training(_: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the training may still want a batch."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _await_the_dead() -> None:
    """A broken connection is seen before its process is dead: the DataLoader's word of it would come in its clean-up."""
    for process in multiprocessing.active_children():
        process.join(1.0)


@contextmanager
def named_loader_failures() -> Generator[None, None, None]:
    """Says in one sentence that a reading process is gone.

    The DataLoader notices by a signal, so its error comes up anywhere in the training: put this around all of it.

    Raises:
        BadInputError: where a reading process died or hangs.
    """
    try:
        yield
    except RuntimeError as error:
        found = str(error).strip().splitlines()[0].rstrip(".") if str(error) else ""
        if not found.startswith("DataLoader"):
            raise
        raise _failed(found) from error


def _failed(found: str) -> BadInputError:
    remedy = "Look for a lack of memory or a slow disk, then go on with --resume."
    return BadInputError("A process that reads batches failed", found, remedy)
