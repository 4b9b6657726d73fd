"""Mixtures: quotas, epochs, and batches that only their number decides."""

import pytest
import torch

from humanmesh.data.mixing import Mixture, quotas
from humanmesh.errors import BadInputError
from made_samples import MadeSource

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
