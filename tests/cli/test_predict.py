import json
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from humanmesh import inference
from humanmesh.cli import main, photo_batches, photo_results
from humanmesh.cli import predict as predict_module
from humanmesh.files.rig_names import bone_names
from mesh_files import Glb

BOXES = [[20, 10, 90, 110], [60, 30, 150, 118]]


@pytest.fixture(scope="module")
def recoverer(weights) -> inference.Recoverer:
    return inference.load(weights, device="cpu")


@pytest.fixture
def quick(recoverer, monkeypatch) -> Mock:
    """Loads the network once for all tests of this module; what is asked of it stands in `recover_pixels` of the mock."""
    asked = Mock(recover_pixels=Mock(wraps=recoverer.recover_pixels), load=Mock(return_value=recoverer))
    monkeypatch.setattr(recoverer, "recover_pixels", asked.recover_pixels)
    monkeypatch.setattr(inference, "load", asked.load)
    return asked


@pytest.fixture
def photo(tmp_path) -> Path:
    y, x = np.mgrid[:120, :160]
    rows = np.stack([x, y, x + y], -1).astype(np.uint8)
    Image.fromarray(rows).save(tmp_path / "person.jpg", quality=95)
    return tmp_path / "person.jpg"


@pytest.fixture
def boxes(tmp_path) -> Path:
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(BOXES[:1]))
    return path


def run(*words: object) -> int:
    return main(["predict", *map(str, words)])


@pytest.mark.usefixtures("quick")
def test_one_photo_gives_its_overlay_and_its_files(photo, boxes, tmp_path, capsys):
    assert run(photo, "--boxes", boxes, "--out", tmp_path / "new" / "out") == 0
    written = {"person.overlay.png", "person.glb", "person.npz", "person.json"}
    assert set(os.listdir(tmp_path / "new" / "out")) == written
    assert "1 person" in capsys.readouterr().out


@pytest.mark.usefixtures("quick")
def test_overlay_is_the_photo_with_the_body_on_it_at_its_own_size(photo, boxes, tmp_path):
    words = (photo, "--boxes", boxes, "--out", tmp_path / "out", "--no-side-view", "--format", "none")
    assert run(*words) == 0
    assert set(os.listdir(tmp_path / "out")) == {"person.overlay.png"}
    picture, original = Image.open(tmp_path / "out" / "person.overlay.png"), Image.open(photo)
    assert picture.size == original.size
    changed = abs(np.asarray(picture).astype(int) - np.asarray(original)).max(2) > 20
    assert changed[10:110, 20:90].mean() > 0.1
    assert changed.mean() < 0.5


@pytest.mark.usefixtures("quick")
def test_side_view_stands_beside_the_photo_at_its_height(photo, boxes, tmp_path):
    assert run(photo, "--boxes", boxes, "--out", tmp_path / "out", "--format", "none") == 0
    with Image.open(tmp_path / "out" / "person.overlay.png") as picture:
        assert picture.size == (160 + photo_results.GAP_PIXELS + 60, 120)


@pytest.mark.usefixtures("quick")
def test_upright_turns_mesh_files_and_the_side_view_and_nothing_else(
    photo, boxes, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr("humanmesh.person.pitch_from_standing", lambda joints, trust: 0.4)
    for folder, options in (("as_seen", ()), ("upright", ("--upright",))):
        words = (photo, "--boxes", boxes, "--out", tmp_path / folder, "--format", "npz,ply", *options)
        assert run(*words) == 0
    before, after = capsys.readouterr().out.splitlines()
    assert ", turned" not in before
    assert "turned upright by 23 degrees" in after
    seen, upright = (np.load(tmp_path / folder / "person.npz") for folder in ("as_seen", "upright"))
    assert (seen["camera_pitch"], upright["camera_pitch"]) == (0, pytest.approx(0.4))
    np.testing.assert_array_equal(seen["vertices"], upright["vertices"])
    meshes = [tmp_path / folder / "person.ply" for folder in ("as_seen", "upright")]
    assert meshes[0].read_bytes() != meshes[1].read_bytes()
    before, after = (
        np.asarray(Image.open(tmp_path / folder / "person.overlay.png")) for folder in ("as_seen", "upright")
    )
    np.testing.assert_array_equal(before[:, :160], after[:, :160])
    assert (before[:, 160:] != after[:, 160:]).any()


@pytest.mark.usefixtures("quick")
def test_where_nobody_stands_upright_says_so_and_turns_nothing(photo, boxes, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("humanmesh.person.pitch_from_standing", lambda joints, trust: None)
    assert run(photo, "--boxes", boxes, "--out", tmp_path / "out", "--format", "npz", "--upright") == 0
    assert "nobody stands: not turned" in capsys.readouterr().out
    assert np.load(tmp_path / "out" / "person.npz")["camera_pitch"] == 0


@pytest.mark.usefixtures("quick")
def test_two_boxes_give_two_people_and_json_says_which_files(photo, tmp_path, capsys):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"person.jpg": BOXES}))
    words = (
        photo,
        "--boxes",
        boxes,
        "--out",
        tmp_path / "out",
        "--format",
        "bvh, .PLY",
        "--no-overlay",
        "--json",
    )
    assert run(*words) == 0
    assert set(os.listdir(tmp_path / "out")) == {"person.bvh", "person.ply", "person.2.bvh", "person.2.ply"}
    result = json.loads(capsys.readouterr().out)
    assert [person["box"] for person in result["photos"][0]["people"]] == BOXES
    assert all(Path(file).is_file() for person in result["photos"][0]["people"] for file in person["files"])
    assert result["failures"] == []


@pytest.mark.usefixtures("quick")
def test_no_person_is_an_answer(tmp_path, capsys):
    Image.new("RGB", (200, 160), (120, 120, 120)).save(tmp_path / "wall.png")
    assert run(tmp_path / "wall.png", "--out", tmp_path / "out") == 0
    assert "no person found" in capsys.readouterr().out
    assert set(os.listdir(tmp_path / "out")) == set()


@pytest.mark.usefixtures("quick")
def test_in_a_batch_the_good_are_done_and_the_bad_are_listed(photo, tmp_path, capsys):
    folder = tmp_path / "photos"
    folder.mkdir()
    (folder / "a.jpg").write_bytes(photo.read_bytes())
    (folder / "b.png").write_bytes(b"")
    (folder / "c.jpg").write_bytes(photo.read_bytes()[:400])
    (folder / "notes.txt").write_text("no photo")
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.jpg": BOXES[:1], str(photo): [[500, 0, 600, 90]]}))
    words = (
        folder,
        photo,
        tmp_path / "none.jpg",
        "--boxes",
        boxes,
        "--out",
        tmp_path / "out",
        "--format",
        "json",
    )
    assert run(*words) == 1
    assert set(os.listdir(tmp_path / "out")) == {"a.overlay.png", "a.json"}
    said = capsys.readouterr()
    assert "4 of 5 could not be used" in said.err
    for bad in ("b.png", "c.jpg", "person.jpg", "none.jpg"):
        assert bad in said.err
    assert "Traceback" not in said.err


@pytest.mark.usefixtures("quick")
def test_photos_of_one_name_do_not_overwrite_each_other(photo, tmp_path):
    for suffix in ("png", "webp"):
        Image.open(photo).save(photo.with_suffix(f".{suffix}"))
    paths = [photo, photo.with_suffix(".png"), photo.with_suffix(".webp")]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({path.name: BOXES[:1] for path in paths}))
    assert run(*paths, "--boxes", boxes, "--out", tmp_path / "out", "--format", "npz", "--no-overlay") == 0
    assert set(os.listdir(tmp_path / "out")) == {"person.npz", "person_2.npz", "person_3.npz"}


@pytest.mark.parametrize(
    ("module", "limit", "most"),
    [(predict_module, "BATCH_PHOTOS", 2), (photo_batches, "BATCH_PIXELS", 50_000)],
    ids=["photos", "pixels"],
)
def test_many_photos_go_through_in_small_batches(quick, photo, tmp_path, monkeypatch, module, limit, most):
    monkeypatch.setattr(module, limit, most)
    paths = []
    for number in range(5):
        paths.append(tmp_path / f"p{number}.jpg")
        paths[-1].write_bytes(photo.read_bytes())
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({path.name: BOXES[:1] for path in paths}))
    assert run(*paths, "--boxes", boxes, "--out", tmp_path / "out", "--format", "json", "--no-overlay") == 0
    assert set(os.listdir(tmp_path / "out")) == {f"p{number}.json" for number in range(5)}
    assert [len(call.args[0]) for call in quick.recover_pixels.call_args_list] == [2, 2, 1]


def test_what_is_asked_reaches_the_network(quick, photo, tmp_path):
    words = [
        "--weights", "mine.safetensors", "--body", "smpl.pkl", "--device", "cuda:0", "--precision", "bfloat16",
        "--detector", "rt-detr", "--people", 1, "--focal", 300,
    ]  # fmt: skip
    assert run(photo, "--out", tmp_path / "out", *words) == 0
    quick.load.assert_called_once_with(Path("mine.safetensors"), "smpl.pkl", "cuda:0", "bfloat16", "rt-detr")
    asked = quick.recover_pixels.call_args.kwargs
    assert asked["most"] == 1
    assert [camera.focal_length for camera in asked["cameras"]] == [300]


@pytest.mark.usefixtures("quick")
def test_files_have_the_bones_colours_page_and_height_that_are_asked_for(photo, boxes, tmp_path):
    words = (photo, "--boxes", boxes, "--no-overlay", "--format", "glb,npz")
    assert run(*words, "--out", tmp_path / "usual") == 0
    more = ("--rig", "mixamo", "--part-colors", "--html", "--height", 1.8)
    assert run(*words, "--out", tmp_path / "asked", *more) == 0
    assert set(os.listdir(tmp_path / "asked")) == {"person.glb", "person.npz", "person.html"}
    document = Glb(tmp_path / "asked" / "person.glb").document
    bones = [document["nodes"][joint]["name"] for joint in document["skins"][0]["joints"]]
    assert bones == list(bone_names("mixamo"))
    assert "COLOR_0" in document["meshes"][0]["primitives"][0]["attributes"]
    usual, asked = (np.load(tmp_path / folder / "person.npz") for folder in ("usual", "asked"))
    assert asked["body_scale"] != 1
    np.testing.assert_allclose(asked["trans"], asked["body_scale"] * usual["trans"], rtol=1e-5)
    np.testing.assert_allclose(
        asked["vertices"], asked["body_scale"] * usual["vertices"], rtol=1e-5, atol=1e-6
    )


def png(size: tuple[int, int]):
    return lambda path: Image.new("L", size).save(path)


BAD_PHOTOS = {
    "words.jpg": lambda path: path.write_text("no picture"),
    "empty.png": lambda path: path.touch(),
    "pixel.png": png((1, 1)),
    "ribbon.png": png((20000, 10)),
    "missing.jpg": lambda path: None,
    "folder.jpg": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("name", BAD_PHOTOS)
def test_bad_photo_is_one_sentence_that_names_it_and_exit_code_2(name, tmp_path, capsys):
    BAD_PHOTOS[name](tmp_path / name)
    assert run(tmp_path / name, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert name in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


BAD_BOXES = {
    "outside": ("[[500, 10, 600, 60]]", "outside"),
    "no size": ("[[50, 10, 50, 60]]", "less than"),
    "NaN": ("[[NaN, 10, 60, 60]]", "not all of it is a number"),
    "three numbers": ("[[1, 2, 3]]", "3 numbers"),
    "words": ('[["a", "b", "c", "d"]]', "something else"),
    "a number": ('{"person.jpg": 7}', "no list"),
    "another photo": ('{"other.jpg": []}', "other.jpg"),
    "no JSON": ("[[1, 2,", "no JSON"),
    "a string": ('"person"', "should hold"),
}


@pytest.mark.parametrize("kind", BAD_BOXES)
def test_bad_box_is_one_sentence_and_exit_code_2(kind, photo, tmp_path, capsys):
    content, reason = BAD_BOXES[kind]
    boxes = tmp_path / "boxes.json"
    boxes.write_text(content)
    assert run(photo, "--boxes", boxes, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.strip().splitlines()) == 1


def test_missing_files_are_named(photo, tmp_path, capsys):
    none = tmp_path / "none"
    for option in ("--boxes", "--weights", "--body"):
        assert run(photo, "--out", tmp_path / "out", option, none) == 2
        assert str(none) in capsys.readouterr().err


def test_corrupt_weights_and_body_are_named(photo, weights, tmp_path, capsys):
    corrupt = tmp_path / "corrupt.safetensors"
    corrupt.write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00garbage.")
    for words in (("--weights", corrupt), ("--weights", weights, "--body", corrupt)):
        assert run(photo, "--out", tmp_path / "out", *words) == 2
        said = capsys.readouterr().err
        assert str(corrupt) in said
        assert "Traceback" not in said


def test_unknown_device_format_and_option_are_user_errors(photo, weights, tmp_path, capsys):
    assert run(photo, "--out", tmp_path / "out", "--weights", weights, "--device", "toaster") == 2
    assert "toaster" in capsys.readouterr().err
    assert run(photo, "--out", tmp_path / "out", "--format", "fbx") == 2
    assert "glb" in capsys.readouterr().err
    assert run(photo, "--colour", "red") == 2
    assert run() == 2


@pytest.mark.usefixtures("quick")
def test_output_folder_that_cannot_be_is_named(photo, boxes, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert run(photo, "--boxes", boxes, "--out", tmp_path / "file") == 2
    assert "in the way" in capsys.readouterr().err
    assert run(photo, "--boxes", boxes, "--out", "/proc/out") == 2
    assert "/proc/out" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_folder_without_photos_is_named(tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert run(tmp_path / "empty", "--out", tmp_path / "out") == 2
    assert "no photo in it" in capsys.readouterr().err


BAD_CAMERAS = {
    "no JSON": (["--intrinsics", "{file}"], "f = 3", "no JSON"),
    "singular": (["--intrinsics", "{file}"], "[[0, 0, 1], [0, 9, 1], [0, 0, 1]]", "singular"),
    "NaN": (["--intrinsics", "{file}"], '{"fx": NaN, "cx": 1, "cy": 1}', "nan"),
    "two": (["--intrinsics", "{file}", "--focal", "300"], "[]", "both"),
    "negative": (["--focal", "-5"], "", "positive"),
    "millimetres": (["--focal", "4.2"], "", "not millimetres"),
}


@pytest.mark.parametrize("kind", BAD_CAMERAS)
def test_bad_camera_is_one_sentence_and_exit_code_2(kind, photo, tmp_path, capsys):
    words, content, reason = BAD_CAMERAS[kind]
    (tmp_path / "camera.json").write_text(content)
    words = [word.format(file=tmp_path / "camera.json") for word in words]
    assert run(photo, "--out", tmp_path / "out", *words) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize(("option", "value"), [("--height", "175"), ("--people", "0")])
def test_height_of_nobody_and_nobody_at_most_are_user_errors(option, value, photo, boxes, tmp_path, capsys):
    assert run(photo, "--boxes", boxes, "--out", tmp_path / "out", option, value) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("option", ["--boxes", "--height", "--intrinsics"])
def test_options_of_photos_are_refused_for_films(option, tmp_path, capsys):
    assert run(tmp_path / "clip.mp4", "--out", tmp_path / "out", option, "1") == 2
    assert "not for films" in capsys.readouterr().err


@pytest.mark.usefixtures("quick")
def test_files_of_more_people_from_an_earlier_run_are_told_and_kept(photo, boxes, tmp_path, capsys):
    out, both = tmp_path / "out", tmp_path / "both.json"
    both.write_text(json.dumps(BOXES))
    assert run(photo, "--boxes", both, "--out", out, "--format", "npz,json") == 0
    assert "earlier" not in capsys.readouterr().out
    assert run(photo, "--boxes", boxes, "--out", out, "--format", "npz", "--json") == 0
    told = json.loads(capsys.readouterr().out)["photos"][0]["earlier_files"]
    assert told == [str(out / "person.2.json"), str(out / "person.2.npz")]
    assert run(photo, "--boxes", boxes, "--out", out, "--format", "npz") == 0
    assert "of an earlier run: person.2.json, person.2.npz" in capsys.readouterr().out
    assert all(Path(file).is_file() for file in told)


def test_names_of_files_are_unlike_those_of_a_further_person():
    photos = ["photo.jpg", "photo.2.jpg", "photo_2.jpg", "b/photo.jpg", "shot.0002.png", "v1.10.gif"]
    names = photo_batches.unique_names([Path(photo) for photo in photos])
    assert names == ["photo", "photo_2", "photo_2_2", "photo_3", "shot.0002", "v1_10"]


def test_a_folder_that_may_not_be_read_is_one_sentence(tmp_path, monkeypatch, capsys):
    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", closed)
    assert run(tmp_path, "--out", tmp_path / "out") == 2
    said = capsys.readouterr().err
    assert f"Input {tmp_path}: it cannot be read (Permission denied)" in said
    assert len(said.strip().splitlines()) == 1
