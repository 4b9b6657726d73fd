"""Mixtures: quotas, epochs, and batches that only their number decides."""

import pytest
import torch

from humanmesh.data.mixing import Mixture, quotas
from humanmesh.data.shards import write_shards
from humanmesh.data.streaming import StreamSource
from humanmesh.errors import BadInputError
from made_samples import MadeSource, made_sample

SOURCES = [MadeSource("a", 7), MadeSource("b", 3)]


def test_quotas_add_up_and_keep_the_shares():
    assert quotas([0.5, 0.3, 0.2], 10) == [5, 3, 2]
    assert sum(quotas([1, 1, 1], 64)) == 64


def test_every_batch_has_each_sources_quota():
    batch = Mixture(SOURCES, {"a": 3, "b": 1}, 8, seed=0)[5]
    assert [record.split("/")[0] for record in batch.records].count("a") == 6


def test_an_epoch_shows_every_sample_once():
    mixture = Mixture([SOURCES[0]], {"a": 1}, 7, seed=1)
    for epoch in range(3):
        assert sorted(mixture[epoch].records) == [f"a/{row}" for row in range(7)]
    assert mixture[0].records != mixture[1].records


def test_a_batch_is_the_same_whenever_it_is_asked_for():
    first = Mixture(SOURCES, {"a": 1, "b": 1}, 6, seed=4)
    for number in (9, 0, 40):
        first[number]
    assert first[9].records == Mixture(SOURCES, {"a": 1, "b": 1}, 6, seed=4)[9].records


def test_two_processes_share_a_batch():
    whole = Mixture(SOURCES, {"a": 1, "b": 1}, 6, seed=4)[2]
    parts = [Mixture(SOURCES, {"a": 1, "b": 1}, 6, seed=4, rows=slice(rank, None, 2))[2] for rank in range(2)]
    assert sorted(whole.records) == sorted(parts[0].records + parts[1].records)
    torch.testing.assert_close(parts[1].images, whole.images[1::2])


def test_an_empty_data_set_and_a_share_of_zero_are_refused_by_name():
    with pytest.raises(BadInputError, match="empty"):
        Mixture([MadeSource("empty", 0)], {"empty": 1}, 4, seed=0)
    with pytest.raises(BadInputError, match="share of data set a"):
        Mixture([SOURCES[0]], {"a": 0}, 4, seed=0)


def test_pictures_of_two_sizes_are_refused_by_name(tmp_path):
    write_shards([made_sample(0, 96, "large")], tmp_path, "large")
    large = StreamSource("large", (str(tmp_path / "large-00000.tar"),))
    with pytest.raises(BadInputError, match="pictures of large and a: 96 and 64"):
        Mixture([SOURCES[0], large], {"a": 1, "large": 1}, 4, seed=0)[0]


@pytest.fixture
def stream(tmp_path):
    for shard in range(2):
        write_shards([made_sample(10 * shard + n, source="far") for n in range(5)], tmp_path, f"far{shard}")
    return StreamSource("far", tuple(str(path) for path in sorted(tmp_path.glob("*.tar"))), buffer=4)


def test_a_stream_gives_its_quota_beside_numbered_data(stream):
    mixture = Mixture([SOURCES[0], stream], {"a": 3, "far": 1}, 8, seed=0)
    alone = Mixture([SOURCES[0]], {"a": 1}, 6, seed=0)
    shown = [mixture[number].records for number in range(10)]
    assert all([record.split("/")[0] for record in records].count("far") == 2 for records in shown)
    assert [records[:6] for records in shown] == [alone[number].records for number in range(10)]
    far = [record for records in shown[:5] for record in records[6:]]
    assert len(set(far)) > 5  # ten draws of ten people, shuffled in a window


def test_a_stream_is_the_same_again_from_the_same_start_and_another_from_a_later_one(stream):
    def shown(start: int) -> list[tuple[str, ...]]:
        mixture = Mixture([stream], {"far": 1}, 5, seed=3)
        return [mixture[number].records for number in range(start, start + 4)]

    assert shown(0) == shown(0)
    assert shown(0) != shown(4)


def test_two_processes_share_a_stream(stream):
    parts = [Mixture([stream], {"far": 1}, 4, seed=4, rows=slice(rank, None, 2)) for rank in range(2)]
    shown = [{record for number in range(20) for record in part[number].records} for part in parts]
    assert not shown[0] & shown[1]
    assert len(shown[0] | shown[1]) == 10
