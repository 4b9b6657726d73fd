"""Batches from other processes: in order, and their failures as sentences."""

import os
import signal

import pytest

from humanmesh.data.dataset import Sample
from humanmesh.data.mixing import Mixture
from humanmesh.errors import BadInputError
from humanmesh.training.loading import UnreadableBatchError, named_loader_failures, numbered_batches
from made_samples import MadeSource


class BrokenSource(MadeSource):
    """Breaks at one record, in a way of its own."""

    def __init__(self, how) -> None:
        super().__init__("broken", 10)
        self.how = how

    def __getitem__(self, row: int) -> Sample:
        if row == 3:
            self.how()
        return super().__getitem__(row)


def raiser(error: Exception):
    def fail() -> None:
        raise error

    return fail


def read_all(source: MadeSource, batches: int = 5, loaders: int = 1) -> list[tuple[str, ...]]:
    reading = numbered_batches(Mixture([source], {source.name: 1.0}, 2, seed=0), 0, loaders)
    return [next(reading).records for _ in range(batches)]


def test_two_readers_give_the_batches_of_one():
    assert read_all(MadeSource("made", 10), loaders=2) == read_all(MadeSource("made", 10))


def test_a_users_error_keeps_its_sentence():
    broken = BrokenSource(raiser(BadInputError("record 3", "no picture", "Pack it again.")))
    with pytest.raises(UnreadableBatchError, match=r"^record 3: no picture\. Pack it again\.$"):
        read_all(broken)


def test_a_shard_that_vanished_is_a_sentence():
    with pytest.raises(UnreadableBatchError, match=r"Batch \d could not be read: FileNotFoundError: gone"):
        read_all(BrokenSource(raiser(FileNotFoundError("gone"))))


def test_our_own_mistake_stays_a_traceback():
    with pytest.raises(RuntimeError, match="ours"), named_loader_failures():
        read_all(BrokenSource(raiser(RuntimeError("ours"))))


# The file is torch's, where the signal comes amid its checks; amid a clean-up its error cannot be raised, and is a warning.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_reader_that_dies_is_one_sentence_and_no_hang():
    broken = BrokenSource(lambda: os.kill(os.getpid(), signal.SIGKILL))
    with (
        pytest.raises(BadInputError, match=r"(killed|broke|exited).*go on with --resume"),
        named_loader_failures(),
    ):
        read_all(broken)
