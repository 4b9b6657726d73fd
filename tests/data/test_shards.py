"""Shards: what was packed comes back, and a damaged tar is named."""

import gzip
import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import webdataset

from humanmesh.body.skeletons import LSP_14
from humanmesh.data.annotation import Annotation
from humanmesh.data.dataset import Sample
from humanmesh.data.shards import (
    SHAPES,
    STORED_SIZE,
    Encoded,
    ShardSource,
    data_sets_in,
    decode_sample,
    encode_sample,
    sample_of,
    write_data_sets,
    write_shards,
)
from humanmesh.errors import BadInputError, MissingAssetError
from made_samples import made_sample


def test_samples_come_back_but_for_the_jpeg_and_without_what_windows_lacks(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "pread", raising=False)
    samples = [made_sample(number) for number in range(3)]
    assert write_shards(samples, tmp_path, "made") == 3
    source = ShardSource("made", tmp_path.glob("made-*.tar"))
    assert len(source) == 3
    for row, sample in enumerate(samples):
        for name, value in vars(source[row]).items():
            expected = getattr(sample, name)
            if name != "image" and isinstance(value, np.ndarray):
                assert value.dtype == np.float32
                np.testing.assert_allclose(value, expected, atol=1e-5)
            elif name != "image":
                assert value == expected


def test_webdataset_reads_the_same_tars(tmp_path):
    write_shards([made_sample(number) for number in range(2)], tmp_path, "made")
    with (tmp_path / "made-00000.tar").open("rb") as tar:
        files = [dict(file, __url__="") for file in webdataset.tariterators.tar_file_iterator(tar)]
    records = list(webdataset.tariterators.group_by_keys(files))
    assert [record["__key__"] for record in records] == ["made-00000-0000", "made-00000-0001"]
    assert all({"jpg", "json"} <= set(record) for record in records)


def test_the_person_is_cut_out_twice_its_box_wide():
    photo = torch.zeros(3, 200, 300)
    photo[:, 60:63, 100:103] = 1
    keypoints = np.zeros((14, 2), np.float32)
    keypoints[:2] = [[101.5, 61.5], [181.5, 101.5]]
    weights = np.zeros(14, np.float32)
    weights[:2] = 1
    person = Annotation(image=Path("x.jpg"), skeleton=LSP_14, keypoints_2d=keypoints, weights_2d=weights)
    sample = sample_of(person, photo)
    assert sample.image.shape == (3, STORED_SIZE, STORED_SIZE)
    np.testing.assert_allclose(sample.box[2] - sample.box[0], STORED_SIZE / 2, rtol=1e-5)
    x, y = sample.keypoints_2d[0].astype(int)
    assert sample.image[:, y, x].min() > 200
    assert sample.weights_2d.sum() == 2
    assert sample.pose_weight == 0


def test_a_person_of_one_keypoint_is_refused():
    weights = np.eye(1, 14, dtype=np.float32)[0]
    person = Annotation(
        image=Path("x.jpg"),
        skeleton=LSP_14,
        keypoints_2d=np.zeros((14, 2), np.float32),
        weights_2d=weights,
        source="lsp",
        record="7",
    )
    with pytest.raises(BadInputError, match="lsp/7"):
        sample_of(person, torch.zeros(3, 9, 9))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.7])
def test_a_truncated_shard_is_named(tmp_path, share):
    write_shards([made_sample(number) for number in range(3)], tmp_path, "made")
    path = tmp_path / "made-00000.tar"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(BadInputError, match=r"made-00000\.tar"):
        ShardSource("made", [path])


def test_a_shard_that_was_cut_between_two_records_is_named(tmp_path):
    write_shards([made_sample(number) for number in range(3)], tmp_path, "made")
    path = tmp_path / "made-00000.tar"
    with tarfile.open(path) as tar:
        third = tar.getmembers()[4].offset
    path.write_bytes(path.read_bytes()[:third])
    with tarfile.open(path) as tar:
        assert len(tar.getmembers()) == 4  # tarfile itself sees nothing wrong
    with pytest.raises(BadInputError, match=r"made-00000\.tar.*its end is missing"):
        ShardSource("made", [path])


def test_a_compressed_shard_is_refused_because_it_cannot_be_read_by_number(tmp_path):
    write_shards([made_sample()], tmp_path, "made")
    path = tmp_path / "made-00000.tar"
    path.write_bytes(gzip.compress(path.read_bytes()))
    with pytest.raises(BadInputError, match="not a whole tar"):
        ShardSource("made", [path])


def test_a_picture_without_labels_is_named(tmp_path):
    with tarfile.open(tmp_path / "made-00000.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("alone.jpg"))
    with pytest.raises(BadInputError, match="record alone"):
        ShardSource("made", tmp_path.glob("*.tar"))


def test_a_tar_without_records_is_named(tmp_path):
    with tarfile.open(tmp_path / "made-00000.tar", "w"):
        pass
    with pytest.raises(BadInputError, match="no samples in"):
        ShardSource("made", tmp_path.glob("*.tar"))


def test_a_damaged_record_is_named_with_its_shard_and_number(tmp_path):
    samples = [made_sample(number) for number in range(3)]
    write_shards(
        [samples[0], replace(samples[1], pose=np.full(72, np.nan, np.float32)), samples[2]], tmp_path, "made"
    )
    source = ShardSource("made", tmp_path.glob("*.tar"))
    assert source[2].record == "2"
    with pytest.raises(BadInputError, match=r"made-00000\.tar, record 1: .*pose is not finite"):
        source[1]


ENCODED = encode_sample(made_sample())
LABELS = json.loads(ENCODED.labels)


@pytest.mark.parametrize(
    ("encoded", "found"),
    [
        (Encoded(ENCODED.picture[:900], ENCODED.labels), "truncated"),
        (Encoded(b"", ENCODED.labels), "cannot identify"),
        (Encoded(ENCODED.picture, ENCODED.labels[:40]), "no sample"),
        (Encoded(ENCODED.picture, b"[1, 2]"), "no sample"),
        (Encoded(ENCODED.picture, json.dumps(LABELS | {"shape": [1.0]}).encode()), "shape has shape"),
        (Encoded(ENCODED.picture, json.dumps(LABELS | {"caption": "a man"}).encode()), "caption"),
        (
            Encoded(ENCODED.picture, json.dumps({k: v for k, v in LABELS.items() if k != "box"}).encode()),
            "box",
        ),
    ],
)
def test_what_is_no_sample_is_refused_by_place(encoded, found):
    with pytest.raises(BadInputError, match=f"^here: .*{found}"):
        decode_sample(encoded, "here")


def test_labels_hold_every_array_of_a_sample():
    sample = made_sample()
    assert {name for name, value in vars(sample).items() if isinstance(value, np.ndarray)} == {
        *SHAPES,
        "image",
    }
    assert all(getattr(sample, name).shape == shape for name, shape in SHAPES.items())


def broken_off(count: int) -> Iterator[Sample]:
    yield from (made_sample(number) for number in range(count))
    raise BadInputError("the third", "it is bad", "Mend it.")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_same_samples_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_shards([made_sample(number) for number in range(3)], tmp_path / name, "made")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_data_set_that_fails_leaves_the_older_one_and_nothing_else(tmp_path):
    write_shards([made_sample(7)], tmp_path, "made")
    before = contents(tmp_path)
    with pytest.raises(BadInputError, match="the third"):
        write_shards(broken_off(2), tmp_path, "made")
    assert contents(tmp_path) == before


def test_two_data_sets_take_their_places_together_or_not_at_all(tmp_path):
    with pytest.raises(BadInputError, match="the third"):
        write_data_sets({"a": [made_sample()], "b": broken_off(1)}, tmp_path)
    assert contents(tmp_path) == {}
    assert write_data_sets({"a": [made_sample()], "b": []}, tmp_path) == {"a": 1, "b": 0}
    assert list(contents(tmp_path)) == ["a-00000.tar"]


def test_a_smaller_data_set_leaves_no_tar_of_the_larger_one(tmp_path, monkeypatch):
    monkeypatch.setattr("humanmesh.data.shards._SAMPLES_PER_SHARD", 2)
    write_shards([made_sample(number) for number in range(5)], tmp_path, "made")
    write_shards([made_sample(9)], tmp_path, "made-other")
    assert len(data_sets_in(tmp_path)["made"]) == 3
    assert [ShardSource("made", data_sets_in(tmp_path)["made"])[row].record for row in (0, 4)] == ["0", "4"]
    write_shards([made_sample(number) for number in range(3)], tmp_path, "made")
    assert {name: len(paths) for name, paths in data_sets_in(tmp_path).items()} == {
        "made": 2,
        "made-other": 1,
    }


def test_what_a_killed_process_left_is_neither_read_nor_kept(tmp_path):
    (tmp_path / ".made.part").mkdir()
    (tmp_path / ".made.part" / "made-00000.tar").touch()
    assert data_sets_in(tmp_path) == {}
    write_shards([made_sample()], tmp_path, "made")
    assert list(contents(tmp_path)) == ["made-00000.tar"]


def test_tars_belong_to_the_data_set_before_their_number(tmp_path):
    for name in ("a-00000", "a-00001", "a-b-00000", "c-d", "e"):
        (tmp_path / f"{name}.tar").touch()
    found = {name: [path.stem for path in paths] for name, paths in data_sets_in(tmp_path).items()}
    assert found == {"a": ["a-00000", "a-00001"], "a-b": ["a-b-00000"], "c-d": ["c-d"], "e": ["e"]}


@pytest.mark.parametrize("name", ["", "a.b", "../a", "a b", "-a", "*"])
def test_a_name_that_cannot_name_files_is_refused(tmp_path, name):
    with pytest.raises(BadInputError, match="not a name for files"):
        write_shards([made_sample()], tmp_path, name)


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInputError, match="file"):
        write_shards([made_sample()], tmp_path / "file", "made")


def test_no_shards_are_refused():
    with pytest.raises(MissingAssetError, match="data pack"):
        ShardSource("made", [])
