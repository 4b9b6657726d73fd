import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from humanmesh.cli import main
from humanmesh.errors import BadInputError, MissingAssetError, UnknownNameError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.images import write_png
from humanmesh.web.results import Sources, read_result
from made_people import SIZE, clip_of_two, two_people

WIDTH, HEIGHT = SIZE


@pytest.fixture(scope="module")
def body():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def people(body):
    return two_people(body)


def pages_of(path, photo=None):
    return [result.page for result in read_result(path, Sources(photo=photo))]


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_a_person_read_from_a_file_is_shown_as_the_person_that_was_saved(people, suffix, tmp_path):
    people[0].save(tmp_path / f"one.{suffix}")
    (page,) = pages_of(tmp_path / f"one.{suffix}")
    saved = json.loads(json.dumps(people[0].record().rig().root_positions[0].tolist()))
    root = _glb_document(page.glb)["nodes"][0]["translation"]
    np.testing.assert_allclose(root, saved, atol=1e-5)
    assert page.camera.principal_point == people[0].camera.principal_point
    assert page.people[0].score == pytest.approx(people[0].score)
    assert page.people[0].measurements is not None
    assert page.people[0].measurements.height == pytest.approx(people[0].measurements.height, abs=1e-5)


def _glb_document(glb: bytes) -> dict:
    return json.loads(glb[20 : 20 + int.from_bytes(glb[12:16], "little")])


def test_a_glb_is_shown_as_it_is_in_its_own_camera(people, tmp_path):
    people[0].save(tmp_path / "one.glb")
    (page,) = pages_of(tmp_path / "one.glb")
    assert page.glb == (tmp_path / "one.glb").read_bytes()
    width, height = page.camera.size
    assert width / height == pytest.approx(WIDTH / HEIGHT, rel=1e-3)
    assert page.camera.focal_length / height == pytest.approx(
        people[0].camera.focal_length / HEIGHT, rel=1e-6
    )


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_the_page_of_people_that_were_saved_upright_looks_from_the_photos_camera(suffix, people, tmp_path):
    people[0].save(tmp_path / f"seen.{suffix}")
    replace(people[0], camera_pitch=0.3).save(tmp_path / f"upright.{suffix}")
    seen, upright = (pages_of(tmp_path / f"{name}.{suffix}")[0] for name in ("seen", "upright"))
    assert seen.glb == upright.glb
    assert upright.people[0].fields["camera"]["pitch"] == pytest.approx(0.3)


def test_a_glb_that_stands_upright_cannot_be_laid_over_its_photo(people, tmp_path):
    replace(people[0], camera_pitch=0.3).save(tmp_path / "one.glb")
    with pytest.raises(BadInputError, match="NPZ or JSON"):
        read_result(tmp_path / "one.glb", Sources())


def test_people_of_one_photo_share_a_page_and_other_results_have_their_own(people, body, tmp_path):
    for name in ("crowd", "crowd.2", "crowd.4", "other"):
        people[0].save(tmp_path / f"{name}.json")
        people[0].save(tmp_path / f"{name}.glb")
    clip_of_two(body).save(tmp_path / "film.npz")
    results = read_result(tmp_path, Sources())
    found = {result.path.name: len(result.page.people) for result in results}
    assert found == {"crowd.json": 2, "crowd.4.json": 1, "film.npz": 2, "other.json": 1}


def test_several_people_exported_by_the_page_can_be_read_again(people, tmp_path):
    for number, person in enumerate(people):
        person.save(tmp_path / f"{number}.json")
    everybody = [json.loads((tmp_path / f"{number}.json").read_text()) for number in range(2)]
    path = tmp_path / "both.json"
    path.write_text(json.dumps({"format": "humanmesh-people-1", "people": everybody}))
    (page,) = pages_of(path)
    assert [person.score for person in page.people] == [pytest.approx(0.8), None]


def test_the_photo_is_found_beside_the_result_or_above_it_if_its_size_is_right(people, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    people[0].save(folder / "one.npz")
    assert pages_of(folder / "one.npz")[0].photo is None
    write_png(tmp_path / "one.png", torch.zeros(3, HEIGHT, WIDTH))
    (page,) = pages_of(folder / "one.npz")
    assert page.title == "one.png"
    assert page.photo is not None
    write_png(folder / "one.png", torch.zeros(3, HEIGHT, WIDTH + 1))
    assert pages_of(folder / "one.npz")[0].title == "one.png"
    with pytest.raises(BadInputError, match="321 x 240 pixels, the result's had 320 x 240"):
        pages_of(folder / "one.npz", folder / "one.png")


def test_photos_are_found_in_the_folder_that_is_named_and_nowhere_else(people, tmp_path):
    out, photos, empty = (tmp_path / name for name in ("out", "photos", "empty"))
    for folder in (out, photos, empty):
        folder.mkdir()
    for name in ("one", "other"):
        people[0].save(out / f"{name}.npz")
        write_png(photos / f"{name}.png", torch.zeros(3, HEIGHT, WIDTH))
    write_png(out / "one.png", torch.zeros(3, HEIGHT, WIDTH))
    assert [page.title for page in pages_of(out, photos)] == ["one.png", "other.png"]
    assert [page.photo for page in pages_of(out, empty)] == [None, None]


def test_the_photo_of_files_that_were_renamed_is_found(people, tmp_path):
    people[0].save(tmp_path / "one_2.npz")  # as `humanmesh predict` calls the files of one.2.png
    write_png(tmp_path / "one.2.png", torch.zeros(3, HEIGHT, WIDTH))
    assert pages_of(tmp_path / "one_2.npz")[0].title == "one.2.png"


def test_what_is_no_result_is_refused_with_words(people, tmp_path):
    with pytest.raises(MissingAssetError, match="No result"):
        pages_of(tmp_path / "nothing.npz")
    with pytest.raises(BadInputError, match="no result in it"):
        pages_of(tmp_path)
    (tmp_path / "a.txt").write_text("words")
    with pytest.raises(UnknownNameError, match=r"\.glb, \.json, \.npz"):
        pages_of(tmp_path / "a.txt")
    for name, content in {
        "empty.npz": b"",
        "words.npz": b"words",
        "words.json": b"words",
        "list.json": b"[]",
        "nobody.json": b'{"format": "humanmesh-people-1", "people": []}',
        "null.json": b'{"format": "humanmesh-people-1", "people": null}',
        "deep.json": b"[" * 100_000,
        "words.glb": b"words of more than twenty letters",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInputError, match=name):
            pages_of(tmp_path / name)


@pytest.mark.parametrize("suffix", ["npz", "json", "glb"])
def test_a_file_that_was_cut_short_is_refused(people, suffix, tmp_path):
    path = tmp_path / f"cut.{suffix}"
    people[0].save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInputError, match="no whole"):
        pages_of(path)


@pytest.mark.parametrize(
    "lens", [{"yfov": 0.0}, {"yfov": 4.0}, {"aspectRatio": -1.0}, {"aspectRatio": math.inf}]
)
def test_a_glb_whose_camera_can_see_nothing_is_refused(people, lens, tmp_path):
    people[0].save(tmp_path / "one.glb")
    content = (tmp_path / "one.glb").read_bytes()
    length = int.from_bytes(content[12:16], "little")
    document = json.loads(content[20 : 20 + length])
    document["cameras"][0]["perspective"] |= lens
    changed = json.dumps(document, separators=(",", ":")).encode()
    changed += b" " * (-len(changed) % 4)
    body = b"".join([len(changed).to_bytes(4, "little"), b"JSON", changed, content[20 + length :]])
    (tmp_path / "one.glb").write_bytes(content[:8] + (12 + len(body)).to_bytes(4, "little") + body)
    with pytest.raises(BadInputError, match="no whole GLB"):
        pages_of(tmp_path / "one.glb")


def test_a_glb_without_its_numbers_is_refused(people, tmp_path):
    people[0].save(tmp_path / "one.glb")
    content = (tmp_path / "one.glb").read_bytes()
    end = 20 + int.from_bytes(content[12:16], "little")
    (tmp_path / "one.glb").write_bytes(content[:8] + end.to_bytes(4, "little") + content[12:end])
    with pytest.raises(BadInputError, match="no whole GLB"):
        pages_of(tmp_path / "one.glb")


def test_a_file_with_a_flipped_byte_is_refused(people, tmp_path, capsys):
    people[0].save(tmp_path / "one.npz")
    content = bytearray((tmp_path / "one.npz").read_bytes())
    content[len(content) // 2] ^= 0xFF
    (tmp_path / "one.npz").write_bytes(content)
    assert main(["view", str(tmp_path / "one.npz")]) == 2
    assert "it cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_people_of_one_photo_with_unlike_bodies_are_refused(people, body, suffix, tmp_path):
    people[0].save(tmp_path / f"crowd.{suffix}")
    replace(people[1], body=replace(body, name="other")).save(tmp_path / f"crowd.2.{suffix}")
    with pytest.raises(BadInputError, match=r"unlike bodies \(anny, other\)"):
        pages_of(tmp_path)


@pytest.mark.parametrize("suffix", ["npz", "json"])
def test_pixels_that_are_not_square_stay_so_on_the_page(people, suffix, tmp_path):
    camera = replace(people[0].camera, pixel_aspect=0.8)
    replace(people[0], camera=camera).save(tmp_path / f"one.{suffix}")
    (page,) = pages_of(tmp_path / f"one.{suffix}")
    assert page.camera.pixel_aspect == pytest.approx(0.8)
    replace(people[0], camera=camera).save(tmp_path / "one.glb")
    saved = _glb_document((tmp_path / "one.glb").read_bytes())
    lenses = [document["cameras"][0]["perspective"] for document in (saved, _glb_document(page.glb))]
    assert lenses[0] == pytest.approx(lenses[1])


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("theta", np.zeros(84, np.float32), "'theta' is missing or of a wrong shape"),
        ("trans", np.full((1, 3), np.nan, np.float32), "'trans' holds what is no sensible number"),
        ("camera_pitch", np.array(np.nan, np.float32), "'camera_pitch' holds what is no sensible number"),
        ("theta", np.full(85, 1e30, np.float32), "'theta' holds what is no sensible number"),
        ("theta", np.zeros(85, np.complex64), "'theta' is missing or of a wrong shape"),
        ("focal_length", np.array(0.0, np.float32), "its camera has no sensible size"),
        ("photo_size", np.array([320.5, 240]), "its camera has no sensible size"),
        ("photo_size", np.array([99_999, 99_999]), "its camera has no sensible size"),
        ("body_scale", np.array(0.0), "its body or its pixels have no size"),
        ("score", np.array(np.inf), "its score lies outside 0 to 1"),
        ("body", np.array("smpl"), "'smpl', which is not bundled"),
        ("format", np.array("humanmesh-person-9"), "its format is 'humanmesh-person-9'"),
    ],
)
def test_wrong_fields_are_named(people, tmp_path, name, value, words):
    people[0].save(tmp_path / "good.npz")
    arrays = dict(np.load(tmp_path / "good.npz")) | {name: value}
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(BadInputError, match=words):
        pages_of(tmp_path / "bad.npz")


def test_view_writes_the_page_beside_the_result_and_says_where(people, tmp_path, capsys):
    people[0].save(tmp_path / "one.npz")
    assert main(["view", str(tmp_path / "one.npz"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"pages": [{"page": str(tmp_path / "one.html"), "people": 1, "photo": None}]}
    assert (tmp_path / "one.html").read_text().startswith("<!doctype html>")


def test_view_of_what_is_missing_is_one_sentence_and_exit_code_2(tmp_path, capsys):
    assert main(["view", str(tmp_path / "nothing.npz")]) == 2
    told = capsys.readouterr().err
    assert told.startswith("humanmesh: No result at")
    assert told.count("\n") == 1


def test_a_page_that_cannot_be_written_leaves_nothing_behind(people, tmp_path, capsys):
    people[0].save(tmp_path / "one.npz")
    assert main(["view", str(tmp_path / "one.npz"), "--out", str(tmp_path / "no" / "one.html")]) == 2
    assert "Cannot write" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["one.npz"]
