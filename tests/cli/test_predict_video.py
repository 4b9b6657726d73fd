import json
import os
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from humanmesh import inference
from humanmesh.body.skeletons import SMPL_24
from humanmesh.cli import main, predict_video
from humanmesh.files.clips import read_clip
from humanmesh.files.videos import Frame, VideoFile, video_writer
from humanmesh.video import SMOOTHERS
from made_films import HEIGHT, WIDTH, Actor, MadeRecoverer, even_times, made_pixels
from mesh_files import read_bvh

pytest.importorskip("av")

FRAMES = 12
WALKING = Actor(lambda number: (0.01 * number, 0.0, 4.0))
WAITING = Actor(lambda number: (1.2, 0.0, 4.5))


@pytest.fixture
def recoverer(monkeypatch) -> MadeRecoverer:
    """Stands for the network."""
    made = MadeRecoverer(WALKING, WAITING)
    monkeypatch.setattr(inference, "load", lambda *_: made)
    return made


@pytest.fixture
def film(tmp_path) -> Path:
    path = tmp_path / "walk.mp4"
    with video_writer(path, WIDTH, HEIGHT, 30.0) as writer:
        for number, time in enumerate(even_times(FRAMES)):
            writer.write(float(time), made_pixels(number))
    return path


def run(*words: object) -> int:
    return main(["predict", *map(str, words)])


def test_a_film_gives_its_files_and_says_so(recoverer, film, tmp_path, capsys):
    assert run(film, "--out", tmp_path / "o") == 0
    assert set(os.listdir(tmp_path / "o")) == {
        "walk.glb",
        "walk.bvh",
        "walk.2.bvh",
        "walk.npz",
        "walk.overlay.mp4",
    }
    said = capsys.readouterr().out
    assert "2 people in 12 frames" in said
    assert "frames/s" in said
    clip = read_clip(tmp_path / "o" / "walk.npz", recoverer.body.data)
    assert [len(person.scores) for person in clip.people] == [FRAMES, FRAMES]
    assert len(list(VideoFile(tmp_path / "o" / "walk.overlay.mp4").frames())) == FRAMES


def test_json_tells_all_and_nothing_else_is_printed(recoverer, film, tmp_path, capsys):
    assert run(film, "--out", tmp_path, "--json", "--no-overlay", "--clip-format", "none") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["failures"] == []
    assert told["films"][0]["frames"] == FRAMES
    assert [person["seen_frames"] for person in told["films"][0]["people"]] == [FRAMES, FRAMES]


def test_a_film_of_nobody_is_no_error(recoverer, film, tmp_path, capsys):
    recoverer.actors = ()
    assert run(film, "--out", tmp_path / "o") == 0
    assert "no person found" in capsys.readouterr().out
    assert set(os.listdir(tmp_path / "o")) == {"walk.npz"}


def test_bones_and_formats_are_those_asked_for(recoverer, film, tmp_path):
    assert run(film, "--out", tmp_path / "o", "--clip-format", "BVH", "--no-overlay", "--rig", "mixamo") == 0
    assert set(os.listdir(tmp_path / "o")) == {"walk.bvh", "walk.2.bvh"}
    names = read_bvh(tmp_path / "o" / "walk.bvh")[0]
    assert not set(SMPL_24.joints) & set(names)


def test_a_film_named_like_somebodys_file_of_another_film_does_not_overwrite_it(recoverer, film, tmp_path):
    other = film.with_name("walk.2.mp4")
    other.write_bytes(film.read_bytes())
    assert run(film, other, "--out", tmp_path / "o", "--clip-format", "bvh", "--no-overlay") == 0
    assert set(os.listdir(tmp_path / "o")) == {"walk.bvh", "walk.2.bvh", "walk_2.bvh", "walk_2.2.bvh"}


def test_a_folder_of_frames_is_a_film_where_it_is_said_to_be(recoverer, tmp_path):
    folder = tmp_path / "shots"
    folder.mkdir()
    for number in range(FRAMES):
        Image.fromarray(made_pixels(number)).save(folder / f"{number}.png")
    assert run(folder, "--frames", "--fps", 10, "--out", tmp_path / "o", "--no-overlay") == 0
    clip = read_clip(tmp_path / "o" / "shots.npz", recoverer.body.data)
    np.testing.assert_allclose(clip.times, np.arange(FRAMES) / 10)


def test_interrupted_work_is_kept_and_resumed(recoverer, film, tmp_path, monkeypatch):
    honest = recoverer.recover_pixels

    def interrupted(photos, *rest):
        if len(recoverer.looks) == 6:
            raise KeyboardInterrupt
        return honest(photos, *rest)

    recoverer.recover_pixels = interrupted
    assert run(film, "--out", tmp_path / "o") == 130
    assert set(os.listdir(tmp_path / "o")) == {"walk.partial.npz"}
    recoverer.recover_pixels = honest
    recoverer.looks.clear()
    assert run(film, "--out", tmp_path / "o", "--resume", "--no-overlay") == 0
    assert recoverer.looks == [7, 8, 9, 10, 11]
    assert "walk.partial.npz" not in os.listdir(tmp_path / "o")
    clip = read_clip(tmp_path / "o" / "walk.npz", recoverer.body.data)
    assert [len(person.scores) for person in clip.people] == [FRAMES, FRAMES]


def test_work_that_is_interrupted_while_files_are_written_is_kept(recoverer, film, tmp_path, monkeypatch):
    def interrupted(*_) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("humanmesh.files.clips.write_overlay", interrupted)
        assert run(film, "--out", tmp_path / "o") == 130
    recoverer.looks.clear()
    assert run(film, "--out", tmp_path / "o", "--resume", "--no-overlay") == 0
    assert recoverer.looks == []
    assert "walk.partial.npz" not in os.listdir(tmp_path / "o")


def test_work_for_other_settings_is_not_resumed(recoverer, film, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(predict_video, "KEEP_EVERY", 0.0)
    monkeypatch.setattr(predict_video._Worker, "_save", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run(film, "--out", tmp_path / "o") == 130
    monkeypatch.undo()
    monkeypatch.setattr(inference, "load", lambda *_: recoverer)
    assert run(film, "--out", tmp_path / "o", "--resume", "--find-every", 3) == 2
    assert "other settings" in capsys.readouterr().err


def test_one_bad_film_of_two_is_told_and_the_other_is_done(recoverer, film, tmp_path, capsys):
    (tmp_path / "bad.mp4").write_text("no film")
    assert run(tmp_path / "bad.mp4", film, "--out", tmp_path / "o", "--no-overlay") == 1
    assert "bad.mp4" in capsys.readouterr().err
    assert "walk.npz" in os.listdir(tmp_path / "o")


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["none.mp4"], "No video"),
        (["walk.mp4", "--clip-format", "fbx"], "fbx"),
        (["walk.mp4", "--clip-format", "mp4"], "mp4"),  # it could be written over the film itself
        (["walk.mp4", "--smoother", "butter"], "butter"),
        (["walk.mp4", "--find-every", "0"], "find_every"),
        (["walk.mp4", "photo.jpg"], "no film"),
        (["walk.mp4", "--webcam", "0"], "Webcam"),
        (["walk.mp4", "--height", "1.8"], "for photos"),
        (["walk.mp4", "--people", "0"], "most"),
        (["--frames"], "no folder was given"),
        ([".", "--frames", "--fps", "0"], "frames a second"),
        (["--webcam", "99"], "Webcam 99"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_sentence(
    words, reason, recoverer, film, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert run(*words, "--out", tmp_path / "o") == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1


def test_of_a_film_so_many_people_are_kept_as_are_asked_for(recoverer, film, tmp_path):
    assert run(film, "--out", tmp_path / "o", "--no-overlay", "--people", 1) == 0
    assert len(read_clip(tmp_path / "o" / "walk.npz", recoverer.body.data).people) == 1


def test_the_detector_and_the_focal_length_are_handed_on_for_films(recoverer, film, tmp_path, monkeypatch):
    load = Mock(return_value=recoverer)
    look = Mock(wraps=recoverer.recover_pixels)
    monkeypatch.setattr(inference, "load", load)
    monkeypatch.setattr(recoverer, "recover_pixels", look)
    words = ["--no-overlay", "--clip-format", "none", "--detector", "rt-detr", "--focal", 150]
    assert run(film, "--out", tmp_path / "o", *words) == 0
    assert load.call_args.args[-1] == "rt-detr"
    assert {call.args[2] for call in look.call_args_list} == {150.0}


def test_a_page_reads_the_film_once_more(recoverer, film, tmp_path, monkeypatch):
    readings = []
    honest = VideoFile.frames
    monkeypatch.setattr("humanmesh.web.page.measure", lambda *_: None)  # the made body is too thin for it
    monkeypatch.setattr(VideoFile, "frames", lambda footage: readings.append(footage) or honest(footage))
    assert run(film, "--out", tmp_path / "o", "--no-overlay", "--clip-format", "none", "--html") == 0
    assert set(os.listdir(tmp_path / "o")) == {"walk.html"}
    assert len(readings) == 2


def test_a_webcam_without_a_frame_is_told(recoverer, tmp_path, monkeypatch, capsys):
    class DarkWebcam:
        name, skipped, frame_rate, expected_frames = "Webcam 0", 0, 30.0, None

        def __init__(self, index: int) -> None:
            pass

        def frames(self):
            return iter(())

    monkeypatch.setattr("humanmesh.files.videos.Webcam", DarkWebcam)
    assert run("--webcam", 0, "--out", tmp_path / "o") == 2
    assert "Webcam 0: none of its frames could be read" in capsys.readouterr().err


def test_a_webcam_is_recorded_until_its_seconds_are_over(recoverer, tmp_path, monkeypatch):
    class MadeWebcam:
        skipped = 0
        frame_rate = 30.0
        expected_frames = None

        def __init__(self, index: int) -> None:
            self.name = f"Webcam {index}"

        def frames(self):
            for number in range(1000):
                yield Frame(number / 30, made_pixels(number % 50))

    monkeypatch.setattr("humanmesh.files.videos.Webcam", MadeWebcam)
    assert run("--webcam", 0, "--seconds", 0.32, "--out", tmp_path / "o") == 0
    recorded = list(VideoFile(tmp_path / "o" / "webcam0.mp4").frames())
    assert len(recorded) == 10
    clip = read_clip(tmp_path / "o" / "webcam0.npz", recoverer.body.data)
    assert len(clip.times) == 10
    assert (tmp_path / "o" / "webcam0.overlay.mp4").exists()


def test_no_smoothing_is_smoothing_of_strength_nought(recoverer, film, tmp_path):
    recoverer.actors = (Actor(WALKING.place, noise=0.1),)
    results = []
    for name, words in (("a", ["--smoothing", 0]), ("b", ["--smoother", "none"]), ("c", [])):
        run(film, "--out", tmp_path / name, "--no-overlay", "--clip-format", "npz", *words)
        results.append(read_clip(tmp_path / name / "walk.npz", recoverer.body.data).people[0].rotations)
    assert np.array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() > 1e-3
    assert "none" in SMOOTHERS
