"""A rendered person before a known camera: every way to tell that camera brings the 2D keypoints and the distance back."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from humanmesh.body.skeletons import SMPL_24
from humanmesh.cli import main
from humanmesh.files.images import FILM_DIAGONAL, bytes_of_pixels
from humanmesh.geometry.cameras import PhotoCamera
from humanmesh.inference import Recoverer, load
from humanmesh.render.overlay import draw_body

SIZE = (480, 640)
CENTRED = PhotoCamera(700.0, (240.0, 320.0))
STRANGE = PhotoCamera(760.0, (180.0, 380.0), pixel_aspect=0.92)
PLACE = np.float32([0.15, -0.1, 4.2])
TOLERANCE = 0.06
"""Mean distance of the keypoints in units of the person's height in the photo: what the bundled weights reach."""


@pytest.fixture(scope="module")
def model() -> Recoverer:
    return load(device="cpu")


class Scene:
    """A person with the arms down, rendered before a camera."""

    def __init__(self, model: Recoverer, camera: PhotoCamera) -> None:
        pose = torch.zeros(1, 24, 3)
        pose[0, 0, 0] = torch.pi
        for name, turn in (("left_shoulder", -1.1), ("right_shoulder", 1.1)):
            pose[0, SMPL_24.index[name], 2] = turn
        vertices = model.body(pose.flatten(1), torch.zeros(1, 10)).vertices[0].numpy() + PLACE
        shade = torch.linspace(0.55, 0.75, SIZE[1])[None, :, None].expand(3, -1, SIZE[0])
        picture = draw_body(
            shade.contiguous(), torch.from_numpy(vertices), model.body.data.faces,
            torch.tensor(camera.focal_xy), camera.principal_point,
        )  # fmt: skip
        self.pixels = bytes_of_pixels(picture)
        seen = camera.project(vertices)
        self.box = np.concatenate([seen.min(0), seen.max(0)]).tolist()
        regressor = model.body.data.keypoint_regressor("coco17").numpy()
        self.keypoints = camera.project(regressor @ vertices)

    def error(self, person) -> float:
        away = np.linalg.norm(person.keypoints_2d("coco17") - self.keypoints, axis=1)
        return float(away.mean()) / (self.box[3] - self.box[1])


@pytest.fixture(scope="module")
def scene(model) -> Scene:
    return Scene(model, CENTRED)


def check(scene: Scene, people: list) -> None:
    assert len(people) == 1
    assert scene.error(people[0]) < TOLERANCE
    away = np.abs(people[0].translation / people[0].measurements.height - PLACE / 1.7)
    assert away[2] < 0.3
    assert away[:2].max() < 0.1


def test_through_a_box_and_the_focal_length(model, scene):
    check(scene, model.recover(scene.pixels, [scene.box], focal_length=700.0))


def test_through_the_finder_and_the_focal_length(model, scene):
    check(scene, model.recover(scene.pixels, focal_length=700.0))


def test_through_exif(model, scene, tmp_path):
    path = tmp_path / "tagged.jpg"
    save_tagged(path, scene.pixels)
    people = model.recover(path)
    check(scene, people)
    assert people[0].camera.focal_length == pytest.approx(700, rel=0.02)


def save_tagged(path: Path, pixels: np.ndarray) -> None:
    exif = Image.Exif()
    millimetres = round(700 / np.hypot(*SIZE) * FILM_DIAGONAL)
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = millimetres
    Image.fromarray(pixels).save(path, exif=exif, quality=95)


@pytest.mark.parametrize("has_box", [True, False])
def test_through_a_camera_with_oblong_pixels_and_its_axis_aside(has_box, model):
    scene = Scene(model, STRANGE)
    people = model.recover(scene.pixels, [scene.box] if has_box else None, camera=STRANGE)
    check(scene, people)
    assert people[0].camera == STRANGE


def test_a_given_focal_length_goes_before_exif(model, scene, tmp_path):
    path = tmp_path / "tagged.jpg"
    save_tagged(path, scene.pixels)
    assert model.recover(path, [scene.box], focal_length=1400.0)[0].camera.focal_length == pytest.approx(1400)


def test_predict_says_which_camera_it_took(scene, tmp_path, capsys):
    save_tagged(tmp_path / "p.jpg", scene.pixels)
    (tmp_path / "k.json").write_text(json.dumps(STRANGE.matrix.tolist()))
    for words, source, focal in (
        ([], "exif", 698.1),
        (["--focal", "900"], "focal", 900.0),
        (["--intrinsics", str(tmp_path / "k.json")], "intrinsics", 760.0),
    ):
        command = ["predict", str(tmp_path / "p.jpg"), "--out", str(tmp_path), "--format", "json", "--json"]
        assert main([*command, "--no-overlay", "--height", "1.8", *words]) == 0
        result = json.loads(capsys.readouterr().out)["photos"][0]
        assert result["camera"]["source"] == source
        assert result["camera"]["focal_length"] == pytest.approx(focal, rel=0.01)
        written = json.loads((tmp_path / "p.json").read_text())
        assert written["camera"]["focal_length"] == pytest.approx(focal, rel=0.01)
        assert written["translation"] == pytest.approx(result["people"][0]["translation"], abs=1e-3)


def test_a_given_height_scales_body_and_distance_and_leaves_the_picture(model, scene):
    person = model.recover(scene.pixels, [scene.box], focal_length=700.0)[0]
    tall = person.scaled_to_height(2.0)
    assert tall.measurements.height == pytest.approx(2.0)
    np.testing.assert_allclose(tall.keypoints_2d("coco17"), person.keypoints_2d("coco17"), atol=1e-2)
    factor = 2.0 / person.measurements.height
    np.testing.assert_allclose(tall.translation, factor * person.translation, rtol=1e-5)
    posed = model.body(torch.from_numpy(tall.pose[None]), torch.from_numpy(tall.shape[None])).vertices[0]
    np.testing.assert_allclose(tall.vertices - tall.translation, tall.body_scale * posed.numpy(), atol=1e-4)
    assert tall.theta[0] * factor == pytest.approx(person.theta[0], rel=1e-5)
    assert tall.scaled_to_height(person.measurements.height).body_scale == pytest.approx(1)
