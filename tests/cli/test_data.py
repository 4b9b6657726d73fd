"""`humanmesh data`: from files to files, its account of what was left out, and its sentences."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import humanmesh
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.cli import main
from humanmesh.data.dataset import unlabelled_3d
from humanmesh.data.pool import read_pool
from humanmesh.data.readers import READERS
from humanmesh.data.shards import STORED_SIZE, ShardSource, data_sets_in, write_shards
from humanmesh.data.synthetic_poses import mirrored_rotations
from humanmesh.data.synthetic_recipe import is_held_out
from humanmesh.evaluation.data_sets import read_synthetic_part
from humanmesh.evaluation.metrics import aligned, point_errors
from humanmesh.geometry.rotations import axis_angle_to_matrix
from made_samples import made_sample
from photo_layouts import LAYOUTS, coco_content, write_json, write_lsp, write_photo


def result_of(capsys, *words: str) -> dict:
    assert main(["data", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def sentence_of(capsys, *words: str) -> str:
    """The one line that a refused command prints."""
    assert main(["data", *words]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    return said.err


def write_photos(folder: Path, count: int) -> Path:
    """A COCO file of photos with one person each."""
    content = coco_content()
    person = content["annotations"][0]
    for number in range(count):
        write_photo(folder / "photos" / f"{number:03d}.jpg")
    images = [{"id": number, "file_name": f"{number:03d}.jpg"} for number in range(count)]
    people = [person | {"id": number, "image_id": number} for number in range(count)]
    return write_json(folder / "mine.json", content | {"images": images, "annotations": people})


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_format_packs(tmp_path, capsys, layout):
    reader, write = LAYOUTS[layout]
    path = write(tmp_path / "data")
    result = result_of(capsys, "pack", reader, str(path), "--out", str(tmp_path / "out"), "--hold-out", "0")
    people = len(READERS[reader](path))
    assert result["people"] == {reader: people, f"{reader}_held_out": 0}
    source = ShardSource(reader, data_sets_in(tmp_path / "out")[reader])
    assert len(source) == people
    assert {source[row].source for row in range(people)} == {reader}


def test_help_names_every_format(capsys):
    assert main(["data", "pack", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert all(name in said for name in READERS)


def test_own_photos_are_packed_under_their_name_with_a_tenth_held_out(tmp_path, capsys):
    file = write_photos(tmp_path, 60)
    words = ("pack", "coco", str(file), "--images", str(tmp_path / "photos"), "--name", "mine")
    result = result_of(capsys, *words, "--out", str(tmp_path / "out"))
    assert sum(result["people"].values()) == 60
    assert 1 <= result["people"]["mine_held_out"] <= 14
    found = data_sets_in(tmp_path / "out")
    records = {name: {s.record for s in (ShardSource(name, paths))} for name, paths in found.items()}
    assert not records["mine"] & records["mine_held_out"]


def test_what_was_left_out_is_told_with_file_and_record(tmp_path, capsys):
    file = write_photos(tmp_path, 12)
    (tmp_path / "photos" / "003.jpg").unlink()
    damaged = tmp_path / "photos" / "005.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-60])
    write_photo(tmp_path / "photos" / "unnamed.jpg")
    words = ["pack", "coco", str(file), "--images", str(tmp_path / "photos"), "--out", str(tmp_path / "out")]
    assert main(["data", *words]) == 0
    said = capsys.readouterr().out
    assert f"annotation without its photo: 1 (the record is left out); the first: {file}, 3" in said
    assert f"unreadable photo: 1 (the record is left out); the first: {damaged}, 5" in said
    assert "photo without annotation: 1" in said
    assert "unnamed.jpg" in said
    result = result_of(capsys, *words)
    assert sum(result["people"].values()) == 10
    assert result["left_out"]["unreadable photo"] == 1
    before = sorted(path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir())
    assert "annotation without its photo" in sentence_of(capsys, *words, "--strict")
    assert sorted(path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["pack", "coco", "nowhere.json"], "nowhere.json"),
        (["pack", "cocoo", "mine.json"], "Unknown format 'cocoo'"),
        (["pack", "coco", "mine.json", "--images", "nowhere"], "nowhere"),
        (["pack", "lsp", "lsp", "--images", "photos"], "Leave out --images"),
        (["pack", "coco", "mine.json", "--hold-out", "1"], "from 0 to below 1"),
        (["pack", "coco", "mine.json", "--name", "a_held_out", "--hold-out", "0.3"], "all of a_held_out"),
        (["pack", "coco", "mine.json", "--name", "a.b"], "not a name for files"),
        (["pack", "coco", "mine.json", "--minimum-joints", "1"], "--minimum-joints"),
        (["pack", "coco", "mine.json", "--minimum-joints", "18"], "too few visible joints: 9"),
        (["pack", "coco", "mine.json", "--hold-out", "0.9999"], "Give --hold-out 0"),
        (["pack", "coco", "mine.json", "--name", "ccp", "--images", "letters"], "(--hold-out SHARE)"),
        (["pack", "coco", "empty.json"], "0 people read"),
        (["motion", "nowhere"], "nowhere"),
        (["motion", "photos"], "no .amc, .bvh"),
    ],
)
def test_what_a_user_can_mend_is_one_sentence_and_leaves_nothing(
    tmp_path, capsys, monkeypatch, words, expected
):
    monkeypatch.chdir(tmp_path)
    file = write_photos(tmp_path, 9)
    write_lsp(tmp_path / "lsp")
    if "letters" in words:
        content = json.loads(file.read_text())
        write_photo(tmp_path / "letters" / "a.jpg")
        content["images"][0]["file_name"] = "a.jpg"
        write_json(file, content)
    write_json(tmp_path / "empty.json", {"images": [], "annotations": []})
    if words[0] == "pack" and words[2] == "mine.json" and "--images" not in words:
        words = [*words, "--images", "photos"]
    assert expected in sentence_of(capsys, *words, "--out", "out")
    assert not [path for path in tmp_path.rglob("*.tar")]


BVH = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
}
"""


def write_amass(path: Path, frames: int = 5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(frames)
    np.savez(
        path, poses=rng.normal(0, 0.2, (frames, 156)), trans=np.zeros((frames, 3)), betas=np.zeros(16),
        mocap_framerate=np.array(60.0), gender=np.array("male"),
    )  # fmt: skip


def test_motion_of_a_folder_becomes_a_pool_and_what_is_damaged_is_named(tmp_path, capsys):
    write_amass(tmp_path / "in" / "one" / "walk.npz")
    write_amass(tmp_path / "in" / "two" / "run.npz", 7)
    (tmp_path / "in" / "bad.bvh").write_text(BVH)
    out = tmp_path / "in" / "motion.npz"
    for _ in range(2):  # its own output is no input
        result = result_of(capsys, "motion", str(tmp_path / "in"), "--out", str(out))
        assert (result["files"], result["clips"], result["frames"]) == (2, 2, 12)
        assert "bad.bvh" in result["files_left_out"][0]
    with np.load(out) as arrays:
        assert len(arrays["clip_names"]) == 2
        np.testing.assert_allclose(arrays["weight"].sum(), 1, rtol=1e-5)
        assert arrays["pose"].shape == (12, 72)
    assert len(read_pool(out).poses) == 12
    assert "bad.bvh" in sentence_of(capsys, "motion", str(tmp_path / "in"), "--out", str(out), "--strict")
    assert main(["data", "motion", str(tmp_path / "in"), "--out", str(out)]) == 0
    assert "12 poses of 2 clips from 2 files" in capsys.readouterr().out


def test_the_benchmarks_clips_can_be_left_out(tmp_path, capsys):
    write_amass(tmp_path / "in" / "walk.npz")
    write_amass(tmp_path / "in" / "dance_b.npz", 7)
    out = tmp_path / "motion.npz"
    words = ("--out", str(out), "--without-benchmark")
    assert result_of(capsys, "motion", str(tmp_path / "in"), *words)["frames"] == 5
    (tmp_path / "in" / "walk.npz").unlink()
    assert "--without-benchmark" in sentence_of(capsys, "motion", str(tmp_path / "in"), *words)


def test_motion_with_nan_is_named_and_leaves_no_file(tmp_path, capsys):
    write_amass(tmp_path / "walk.npz")
    with np.load(tmp_path / "walk.npz") as arrays:
        changed = dict(arrays)
    changed["poses"][3, 7] = np.nan
    np.savez(tmp_path / "walk.npz", **changed)
    said = sentence_of(capsys, "motion", str(tmp_path / "walk.npz"), "--out", str(tmp_path / "out.npz"))
    assert "walk.npz" in said
    assert "3" in said
    assert not (tmp_path / "out.npz").exists()


@pytest.fixture
def scene(tmp_path):
    """Motion and backgrounds to draw people from; the words that name them."""
    write_amass(tmp_path / "mocap" / "walk.npz")
    assert main(["data", "motion", str(tmp_path / "mocap"), "--out", str(tmp_path / "motion.npz")]) == 0
    (tmp_path / "rooms").mkdir()
    for number in range(3):
        Image.new("RGB", (40, 30), (60 * number, 90, 120)).save(tmp_path / "rooms" / f"{number}.png")
    return [
        "synthesize", "--motion", str(tmp_path / "motion.npz"), "--backgrounds", str(tmp_path / "rooms"),
        "--textures", str(tmp_path / "rooms"),
    ]  # fmt: skip


def test_synthetic_people_go_straight_to_shards(tmp_path, capsys, scene):
    capsys.readouterr()
    result = result_of(capsys, *scene, "--count", "3", "--out", str(tmp_path / "out"))
    source = ShardSource("synthetic", data_sets_in(tmp_path / "out")["synthetic"])
    assert len(source) == result["people"]["synthetic"]
    sample = source[0]
    assert sample.image.shape == (3, STORED_SIZE, STORED_SIZE)
    assert (sample.pose_weight, sample.shape_weight) == (1, 1)
    assert sample.weights_3d.all()
    before = (tmp_path / "out" / "synthetic-00000.tar").read_bytes()
    result_of(capsys, *scene, "--count", "3", "--out", str(tmp_path / "out"))
    assert (tmp_path / "out" / "synthetic-00000.tar").read_bytes() == before


def test_wrong_motion_or_a_device_that_is_not_there_is_one_sentence(tmp_path, capsys, scene):
    capsys.readouterr()
    (tmp_path / "notes.txt").write_text("not motion")
    words = [*scene, "--out", str(tmp_path / "out"), "--count", "1"]
    assert "notes.txt: it cannot be read" in sentence_of(
        capsys, *words, "--motion", str(tmp_path / "notes.txt")
    )
    assert "no clip_names" in sentence_of(capsys, *words, "--motion", str(tmp_path / "mocap" / "walk.npz"))
    assert "Device 'toaster': it cannot be used" in sentence_of(capsys, *words, "--device", "toaster")


def test_an_output_that_cannot_be_written_is_told_before_motion_is_read(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("humanmesh.data.motion_files.read_motion_folder", None)
    (tmp_path / "file").touch()
    said = sentence_of(capsys, "motion", str(tmp_path), "--out", str(tmp_path / "file" / "motion.npz"))
    assert "Cannot make the output folder" in said


def test_the_benchmark_is_written_as_its_protocol_reads_it(tmp_path, capsys, scene):
    capsys.readouterr()
    result = result_of(capsys, *scene, "--count", "2", "--out", str(tmp_path / "parts"), "--benchmark")
    (file,) = result["files"]
    assert len(read_synthetic_part(Path(file))["mask"]) == 2


def test_synthesis_without_motion_or_people_is_refused(tmp_path, capsys, scene):
    capsys.readouterr()
    out = ["--out", str(tmp_path / "out")]
    assert "--count" in sentence_of(capsys, *scene, *out, "--count", "0")
    assert "--holding-share" in sentence_of(capsys, *scene, *out, "--holding-share", "nan")
    assert "--feet-share" in sentence_of(capsys, *scene, *out, "--feet-share", "1.5")
    assert "humanmesh data motion" in sentence_of(capsys, *scene, *out, "--motion", "nowhere.npz")
    assert "no clip" in sentence_of(capsys, *scene, *out, "--count", "2", "--held-out")


@pytest.mark.parametrize(
    ("command", "options"), [("touch", ["--feet-share", "1"]), ("hold", ["--holding-share", "0.8"])]
)
def test_recorded_arms_are_bent_and_people_pose_like_that(
    command, options, tmp_path, capsys, scene, monkeypatch
):
    monkeypatch.setattr("humanmesh.cli.data_poses._TRIALS", 50)
    capsys.readouterr()
    made = tmp_path / "made.npz"
    words = [command, "--motion", str(tmp_path / "motion.npz"), "--out", str(made), "--count", "2"]
    assert result_of(capsys, *words) == {"poses": 2}
    poses = np.load(made)["pose"]
    assert poses.shape == (2, 72)
    words = [*scene, "--motion", str(made), "--count", "3", "--out", str(tmp_path / "out")]
    result_of(capsys, *words, "--exact-poses", "--name", "bent", *options)
    source = ShardSource("bent", data_sets_in(tmp_path / "out")["bent"])
    drawn = axis_angle_to_matrix(torch.from_numpy(source[0].pose).view(24, 3))[None]
    either = torch.cat([drawn, mirrored_rotations(drawn)])[:, None, 1:]
    given = axis_angle_to_matrix(torch.from_numpy(poses).view(2, 24, 3))[:, 1:]
    differences = (either - given).abs().amax((3, 4))
    ankles = [SMPL_24.index[f"{side}_ankle"] - 1 for side in ("left", "right")]
    assert (differences[..., ankles].min() > 1e-2) == ("--feet-share" in options)
    differences[..., ankles] = 0
    assert differences.amax(2).min() < 1e-3


def test_poses_that_cannot_be_made_are_one_sentence(tmp_path, capsys, scene):
    capsys.readouterr()
    out, motion = ["--out", str(tmp_path / "poses.npz")], ["--motion", str(tmp_path / "motion.npz")]
    assert "--count: 0" in sentence_of(capsys, "touch", *motion, *out, "--count", "0")
    assert "no clip" in sentence_of(capsys, "touch", *motion, *out, "--held-out")
    assert "nowhere.npz" in sentence_of(capsys, "touch", "--motion", "nowhere.npz", *out)
    write_shards([made_sample(size=STORED_SIZE, known_3d=False)], tmp_path / "mine", "mine")
    assert "humanmesh data label" in sentence_of(capsys, "poses", str(tmp_path / "mine"), *out)
    assert "nowhere" in sentence_of(capsys, "poses", str(tmp_path / "nowhere"), *out)
    write_shards([made_sample(size=STORED_SIZE)], tmp_path / "held", "a_held_out")
    assert "hold-outs alone" in sentence_of(capsys, "poses", str(tmp_path / "held"), *out)
    assert "no hold-out" in sentence_of(capsys, "poses", str(tmp_path / "mine"), "--held-out", *out)
    tar = str(tmp_path / "held" / "a_held_out-00000.tar")
    assert "Give the folder" in sentence_of(capsys, "poses", tar, *out)
    assert not (tmp_path / "poses.npz").exists()


def test_a_sheet_shows_people_with_their_keypoints(tmp_path, capsys):
    file = write_photos(tmp_path, 9)
    shards, picture = tmp_path / "out", tmp_path / "sheet.png"
    words = ["pack", "coco", str(file), "--images", str(tmp_path / "photos"), "--hold-out", "0.4"]
    result_of(capsys, *words, "--out", str(shards))
    result = result_of(capsys, "show", str(shards), "--out", str(picture), "--count", "2", "--columns", "3")
    assert {name: len(shown) for name, shown in result["records"].items()} == {"coco": 2, "coco_held_out": 2}
    with Image.open(picture) as sheet:
        assert sheet.size == (4 + 3 * (STORED_SIZE + 4), 4 + 2 * (STORED_SIZE + 4))
        colours = np.asarray(sheet.convert("RGB"))[4 : 4 + STORED_SIZE, 4 : 4 + STORED_SIZE]
    background = np.array([90, 120, 150])
    assert (np.abs(colours.astype(int) - background).max(-1) > 60).any()  # the skeleton
    assert list(
        result_of(capsys, "show", str(shards), "--out", str(picture), "--name", "coco")["records"]
    ) == ["coco"]
    tar = shards / "coco-00000.tar"
    assert len(result_of(capsys, "show", str(tar), "--out", str(picture))["records"]) == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "data pack"),
        (["."], "no tar in it"),
        ([".", "--name", "mine"], "Unknown data set"),
        ([".", "--count", "0"], "at least 1"),
    ],
)
def test_a_sheet_of_nothing_is_refused(tmp_path, capsys, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    assert expected in sentence_of(capsys, "show", *words, "--out", "sheet.png")


def packed_photo(folder: Path) -> Path:
    """Shards of the photo of the README, with the keypoints that the bundled weights find, and of random pictures held out."""
    photo = Path(__file__).parents[2] / "docs/pictures/photo.jpg"
    person = humanmesh.load().recover(photo)[0]
    content = coco_content()
    points = np.c_[person.keypoints_2d("coco17"), np.full(17, 2)].round(2)
    record = content["annotations"][0] | {"id": 0, "image_id": 0, "keypoints": points.flatten().tolist()}
    image = {"id": 0, "file_name": photo.name}
    write_json(folder / "one.json", content | {"images": [image], "annotations": [record]})
    words = ["pack", "coco", str(folder / "one.json"), "--images", str(photo.parent), "--name", "one"]
    assert main(["data", *words, "--hold-out", "0", "--out", str(folder / "shards")]) == 0
    file = write_photos(folder, 3)
    words = ["pack", "coco", str(file), "--images", str(folder / "photos"), "--name", "all_held_out"]
    assert main(["data", *words, "--out", str(folder / "shards")]) == 0
    return folder / "shards"


def test_packed_people_get_the_3d_of_the_bundled_weights_and_hold_outs_stay(tmp_path, capsys):
    shards = packed_photo(tmp_path)
    capsys.readouterr()
    held_out = (shards / "all_held_out-00000.tar").read_bytes()
    picture = ShardSource("one", data_sets_in(shards)["one"]).encoded(0).picture
    result = result_of(capsys, "label", str(shards))
    assert result["people"] == {"one": {"people": 1, "labelled": 1, "known": 0}}
    assert (shards / "all_held_out-00000.tar").read_bytes() == held_out
    source = ShardSource("one", data_sets_in(shards)["one"])
    assert source.encoded(0).picture == picture
    sample = source[0]
    person = humanmesh.load().recover(Path(__file__).parents[2] / "docs/pictures/photo.jpg")[0]
    limbs = ["left_elbow", "right_elbow", "left_knee", "right_knee", "left_shoulder", "right_shoulder"]
    found, expected = (
        torch.from_numpy(points[[names.index[joint] for joint in limbs]]).float()[None]
        for points, names in (
            (sample.keypoints_3d, COCOPLUS_19), (person.keypoints_3d("cocoplus19"), COCOPLUS_19),
        )
    )  # fmt: skip
    assert point_errors(aligned(found, expected), expected).mean() < 0.03  # metres
    poses = tmp_path / "poses.npz"
    assert result_of(capsys, "poses", str(shards), "--out", str(poses)) == {"people": 1, "poses": 1}
    assert np.allclose(np.load(poses)["pose"][0, 3:], sample.pose[3:], atol=1e-3)
    (tmp_path / "held").mkdir()
    write_shards([replace(sample, **unlabelled_3d())], tmp_path / "held", "one_held_out")
    before = (tmp_path / "held/one_held_out-00000.tar").read_bytes()
    words = ["poses", str(tmp_path / "held"), "--held-out", "--out", str(poses)]
    assert result_of(capsys, *words) == {"people": 1, "poses": 1}
    assert np.allclose(
        np.load(poses)["pose"][0, 3:], sample.pose[3:], atol=0.02
    )  # the picture is packed anew
    assert is_held_out(str(np.load(poses)["clip_names"][0]))
    assert (tmp_path / "held/one_held_out-00000.tar").read_bytes() == before
    assert main(["data", "label", str(shards), "--name", "one"]) == 0
    assert "one: 1 of 1 people got 3D labels; that of 0 was known" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["nowhere"], "nowhere"),
        (["empty"], "no tar in it"),
        (["held"], "Folder held: hold-outs alone"),
        (["held", "--name", "a_held_out"], "Data set a_held_out: hold-outs alone"),
        (["held/a_held_out.tar"], "Give the folder"),
        (["held", "--name", "b"], "Unknown data set 'b'"),
        (["mine", "--weights", "nowhere.safetensors"], "nowhere.safetensors"),
        (["mine", "--device", "cuda:7"], "cuda:7"),
    ],
)
def test_labels_that_cannot_be_made_are_one_sentence(tmp_path, capsys, monkeypatch, words, expected):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_shards([made_sample(size=STORED_SIZE)], tmp_path / "mine", "mine")
    write_shards([made_sample(size=STORED_SIZE)], tmp_path / "held", "a_held_out")
    (tmp_path / "held/a_held_out-00000.tar").rename(tmp_path / "held/a_held_out.tar")
    assert expected in sentence_of(capsys, "label", *words)
