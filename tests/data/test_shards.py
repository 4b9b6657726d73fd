"""Shards: what was packed comes back, and a damaged tar is named."""

from pathlib import Path

import numpy as np
import pytest
import webdataset

from humanmesh.body.skeletons import LSP_14
from humanmesh.data.annotation import Annotation
from humanmesh.data.shards import STORED_SIZE, ShardSource, sample_of, write_shards
from humanmesh.errors import BadInputError, MissingAssetError
from made_samples import made_sample


def test_samples_come_back_but_for_the_jpeg(tmp_path):
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
    photo = np.zeros((200, 300, 3), np.uint8)
    photo[60:63, 100:103] = 255
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
        sample_of(person, np.zeros((9, 9, 3), np.uint8))


def test_a_truncated_shard_is_named(tmp_path):
    write_shards([made_sample(number) for number in range(3)], tmp_path, "made")
    path = tmp_path / "made-00000.tar"
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(BadInputError, match=r"made-00000\.tar"):
        ShardSource("made", [path])


def test_no_shards_are_refused():
    with pytest.raises(MissingAssetError, match="data pack"):
        ShardSource("made", [])
