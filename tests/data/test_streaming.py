"""Streams: every sample once a round, readers that share, and failures that say which tar."""

import gzip
import importlib
import signal
import subprocess
import tarfile
from itertools import islice, pairwise
from pathlib import Path

import pytest

from humanmesh.data.shards import ShardSource, write_shards
from humanmesh.data.streaming import StreamSource, read_stream, stream_source
from humanmesh.errors import BadInputError
from made_samples import made_sample


@pytest.fixture
def tars(tmp_path):
    """Three tars of four people, numbered from 0 to 11."""
    for shard in range(3):
        write_shards([made_sample(4 * shard + row) for row in range(4)], tmp_path, f"far{shard}")
    return [str(path) for path in sorted(tmp_path.glob("*.tar"))]


def records(source: StreamSource, count: int, part: int = 0, parts: int = 1, seed: int = 0) -> list[int]:
    return [int(sample.record) for sample in islice(source.samples(seed, part, parts), count)]


@pytest.mark.parametrize("form", ["{}", "file:{}", "pipe:cat {}", "pipe:cat {} | cat"])
def test_a_tar_is_the_same_from_a_path_and_from_a_pipe(tars, form):
    numbered = ShardSource("far", [Path(tars[0])])
    read = list(read_stream(form.format(tars[0])))
    assert [record["__key__"] for record in read] == [f"far0-00000-{row:04d}" for row in range(4)]
    (sample,) = islice(StreamSource("far", (form.format(tars[0]),), buffer=1).samples(0), 1)
    assert (sample.image == numbered[0].image).all()
    assert (sample.keypoints_3d == numbered[0].keypoints_3d).all()


def test_a_round_shows_every_sample_once_and_rounds_differ(tars):
    source = StreamSource("far", tuple(tars), buffer=1)
    shown = records(source, 36)
    rounds = [shown[at : at + 12] for at in (0, 12, 24)]
    assert all(sorted(one) == list(range(12)) for one in rounds)
    assert len({tuple(one) for one in rounds}) > 1


def test_the_buffer_mixes_samples_of_different_tars(tars):
    shown = records(StreamSource("far", tuple(tars), buffer=12), 12)
    assert shown != sorted(shown)
    assert any(abs(first - second) > 4 for first, second in pairwise(shown))


def test_the_seed_decides_the_order(tars):
    source = StreamSource("far", tuple(tars), buffer=6)
    assert records(source, 30, seed=5) == records(source, 30, seed=5)
    assert records(source, 30, seed=5) != records(source, 30, seed=6)


@pytest.mark.parametrize("parts", [2, 3, 4, 5])
def test_readers_share_a_data_set_without_meeting(tars, parts):
    source = StreamSource("far", tuple(tars), buffer=1)
    own = [set(records(source, 12, part, parts, seed=part)) for part in range(parts)]
    if parts <= 3:
        assert sum(len(one) for one in own) == 12
    else:  # fewer tars than readers: they meet when a round ends, for 12 people do not divide among them
        first = [set(records(source, 2, part, parts, seed=part)) for part in range(parts)]
        assert sum(len(one) for one in first) == len(set().union(*first))
    assert set().union(*own) == set(range(12))


def broken(tars, kind: str) -> str:
    """An address of a tar of three people that is damaged in some way."""
    path = tars[0]
    with open(path, "rb") as file:
        data = file.read()
    with tarfile.open(path) as tar:
        third, inside = tar.getmembers()[4].offset, tar.getmembers()[5].offset_data + 100
    changed = {
        "cut between records": data[:third],
        "cut within a record": data[:inside],
        "empty": b"",
        "compressed": gzip.compress(data),
        "no tar": b"<html>Not found</html>" * 100,
        "two in one": data * 2,
    }
    with open(path, "wb") as file:
        file.write(changed[kind])
    return path


@pytest.mark.parametrize("form", ["{}", "pipe:cat {}"])
@pytest.mark.parametrize(
    "kind", ["cut between records", "cut within a record", "empty", "compressed", "no tar", "two in one"]
)
def test_a_damaged_tar_is_named_and_ends_the_stream(tars, kind, form):
    address = form.format(broken(tars, kind))
    with pytest.raises(BadInputError, match="far0-00000"):
        records(StreamSource("far", (address,), buffer=1), 100)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("nowhere.tar", "nowhere.tar"),
        ("pipe:cat nowhere.tar 2>/dev/null", "exit code 1"),
        ("pipe:exit 3", "exit code 3"),
        ("nothing://host/a.tar", "no gopen handler"),
    ],
)
def test_an_address_that_cannot_be_read_is_named(address, found):
    with pytest.raises(BadInputError, match=f"shard {address.split(' ')[0]}.*{found}"):
        list(read_stream(address))


def test_a_command_that_fails_after_its_last_byte_is_named(tars):
    with pytest.raises(BadInputError, match="exit code 7"):
        list(read_stream(f"pipe:cat {tars[0]}; exit 7"))


def test_a_stream_may_be_left_at_any_moment_and_its_command_ends(tars, monkeypatch):
    started = []

    def kept(*words: object, **options: object) -> subprocess.Popen:
        started.append(subprocess.Popen(*words, **options))
        return started[-1]

    # A function of the package has the module's name.
    monkeypatch.setattr(importlib.import_module("webdataset.gopen"), "Popen", kept)
    stream = StreamSource("far", (f"pipe:cat {tars[0]}; exec sleep 60",), buffer=1).samples(0)
    next(stream)
    stream.close()
    assert [process.returncode for process in started] == [-signal.SIGKILL]


def test_a_record_of_other_files_is_named(tmp_path):
    with tarfile.open(tmp_path / "other.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("a.png"))
    with pytest.raises(BadInputError, match=r"record a: it has \['png'\]"):
        records(StreamSource("other", (str(tmp_path / "other.tar"),), buffer=1), 1)


def test_a_data_set_without_samples_ends_instead_of_searching_for_ever(tmp_path):
    with tarfile.open(tmp_path / "empty.tar", "w"):
        pass
    with pytest.raises(BadInputError, match="data set far: no samples"):
        records(StreamSource("far", (str(tmp_path / "empty.tar"),)), 1)


def test_a_line_of_addresses_is_spelt_out():
    assert stream_source("far", "a-{08..11}.tar::b.tar").addresses == (
        "a-08.tar", "a-09.tar", "a-10.tar", "a-11.tar", "b.tar",
    )  # fmt: skip
    with pytest.raises(BadInputError, match="no address"):
        stream_source("far", " ")
