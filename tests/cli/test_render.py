"""`humanmesh render`, as a user runs it, on made people; and what `humanmesh view` refuses as it does."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from humanmesh.cli.commands import USER_ERROR, main
from humanmesh.files.body_models import load_body_data
from humanmesh.files.images import bytes_of_pixels, read_photo
from humanmesh.render.overlay import draw_people
from made_people import CAMERA, SIZE, WALKING, WAVING, person

WIDTH, HEIGHT = SIZE


@pytest.fixture(scope="module")
def people():
    data = load_body_data("anny")
    return person(data, WALKING, (-0.1, 0.1, 3.6)), person(data, WAVING, (0.2, 0.0, 4.6), score=math.nan)


@pytest.fixture
def folder(people, tmp_path) -> Path:
    """What `predict` leaves of a photo of two people."""
    chance = np.random.default_rng(0)
    Image.fromarray(chance.integers(0, 255, (HEIGHT, WIDTH, 3), np.uint8)).save(tmp_path / "park.png")
    for name, somebody in zip(("park", "park.2"), people, strict=True):
        somebody.save(tmp_path / f"{name}.npz")
    return tmp_path


def render(*words: object) -> int:
    return main(["render", *map(str, words)])


def test_overlay_has_the_photos_size_and_shows_both_people_with_the_nearer_in_front(folder, people):
    assert render(folder / "park.npz", folder / "park.2.npz", "--out", folder / "out.png") == 0
    photo = read_photo(folder / "park.png")
    vertices = torch.stack([torch.from_numpy(somebody.vertices) for somebody in people])
    expected = draw_people(photo, vertices, people[0].body.faces, CAMERA.focal_length, CAMERA.principal_point)
    found = read_photo(folder / "out.png")
    assert found.shape == (3, HEIGHT, WIDTH)
    np.testing.assert_allclose(bytes_of_pixels(found), bytes_of_pixels(expected), atol=1)


def test_a_person_of_given_height_fills_the_same_pixels(folder, people):
    assert render(folder / "park.npz", "--out", folder / "usual.png") == 0
    people[0].scaled_to_height(1.2).save(folder / "park.npz")
    assert render(folder / "park.npz", "--out", folder / "small.png") == 0
    usual, small = (read_photo(folder / f"{name}.png") for name in ("usual", "small"))
    assert float((usual - small).abs().mean()) < 1e-3


def test_a_folder_of_one_photo_is_its_people(folder, capsys):
    assert render(folder, "--view", "front", "--size", 64, "--out", folder / "out.png") == 0
    assert "2 people" in capsys.readouterr().out
    with Image.open(folder / "out.png") as image:
        assert image.size == (64, 64)


def test_a_turntable_turns_once_in_the_asked_time(folder):
    words = ["--view", "turntable", "--size", 48, "--seconds", 0.5, "--out", folder / "turn.gif"]
    assert render(folder / "park.npz", *words) == 0
    with Image.open(folder / "turn.gif") as image:
        assert image.n_frames == 10
        assert image.info["duration"] == 50
        assert image.size == (48, 48)


def test_a_sheet_has_a_row_a_photo_and_four_pictures_a_row(folder, people):
    people[0].save(folder / "forest.npz")
    assert render(folder, "--view", "sheet", "--size", 64, "--out", folder / "sheet.png") == 0
    with Image.open(folder / "sheet.png") as image:
        width, height = image.size
    assert width == 4 * (64 + 4) + 4
    assert 2 * 64 < height < 2 * 128


def test_without_its_photo_a_person_stands_on_plain_ground(folder):
    (folder / "park.png").unlink()
    assert render(folder / "park.npz", "--out", folder / "out.png") == 0
    found = bytes_of_pixels(read_photo(folder / "out.png"))
    assert found.shape == (HEIGHT, WIDTH, 3)
    assert len(np.unique(found[:20, :20])) <= 3


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["render", "missing.npz"], "missing.npz"),
        (["render", "park.npz", "--out", "a.bmp"], "bmp"),
        (["render", "park.npz", "--view", "turntable", "--out", "a.webm"], "apng, gif, mp4, png"),
        (["render", "park.png"], "no NPZ file"),
        (["render", "park.npz", "--size", "5"], "from 32 to 4096"),
        (["render", "park.npz", "forest.npz"], "2 photos"),
        (["render", "broken.npz"], "no whole NPZ"),
        (["render", "clip.npz"], "that of a film"),
        (["render"], "none were given"),
        (["render", "empty"], "Folder empty: no result in it"),
        (["render", "park.npz", "--photo", "small.png"], "it has 50 x 40 pixels, the result's had 320 x 240"),
        (["view", "park.npz", "--photo", "small.png"], "it has 50 x 40 pixels, the result's had 320 x 240"),
        (["view", "people", "--out", "page.html"], "one page for 2 results"),
    ],
)
def test_what_cannot_be_drawn_is_told_in_a_sentence(words, reason, folder, people, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    people[0].save(folder / "forest.npz")
    (folder / "broken.npz").write_bytes((folder / "park.npz").read_bytes()[:500])
    np.savez(folder / "clip.npz", format=np.array("humanmesh-clip-1"))
    (folder / "empty").mkdir()
    (folder / "people").mkdir()
    for name in ("park", "forest"):
        people[0].save(folder / "people" / f"{name}.npz")
    Image.new("RGB", (50, 40)).save(folder / "small.png")
    assert main(words) == USER_ERROR
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert not list(folder.glob("render.png"))
    assert not list(folder.glob("*.html"))
