"""From keypoints to people: what comes out is before the photo's camera, and a fault of one is not a fault of others."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.errors import BadInputError, HumanMeshError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.images import read_photo
from humanmesh.files.priors import load_pose_prior
from humanmesh.fitting.people import KnownPoints, PersonFitter, SeenPerson, refine_person
from humanmesh.geometry.cameras import PhotoCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.inference import Recoverer, load
from humanmesh.person import Person

BODY = BodyModel(load_body_data("anny"))
FITTER = PersonFitter(BODY, "cocoplus19")
CAMERA = PhotoCamera(400.0, (150.0, 160.0))
SIZE = (300, 320)


def truth() -> np.ndarray:
    """Keypoints of a person 3.5 m away, (19, 3), camera frame."""
    root = axis_angle_to_matrix(torch.tensor([[torch.pi, 0.0, 0.0]])) @ axis_angle_to_matrix(
        torch.tensor([[0.0, 0.5, 0.0]])
    )
    pose = axis_angle_to_matrix(load_pose_prior().means[2].unflatten(0, (23, 3)))
    vertices = BODY(torch.cat([root, pose])[None], torch.zeros(1, 10)).vertices
    return BODY.keypoints(vertices, "cocoplus19")[0].numpy() + np.array([0.1, 0.0, 3.5], np.float32)


SEEN = SeenPerson(CAMERA.project(truth()).astype(np.float32), np.ones(19, np.float32), CAMERA, SIZE)
BLIND = replace(SEEN, confidences=np.zeros(19, np.float32), name="Keypoints of file, person 2")


class MadeRecoverer(Recoverer):
    """Sees the same person in every photo; `cameras` are those that it was told."""

    has_heatmaps = False

    def __init__(self, person: Person) -> None:
        self.body = BODY
        self.person = person
        self.cameras: list[PhotoCamera] = []

    def recover_pixels(self, photos, boxes=None, focal_length=None, *, cameras, most=None):
        self.cameras += cameras
        return [[self.person]]


@pytest.fixture(scope="module")
def fitted() -> Person:
    (person,) = FITTER.fit([SEEN])
    assert isinstance(person, Person)
    return person


def misfit(person: Person) -> float:
    """Mean distance of the keypoints, pixels."""
    return float(np.linalg.norm(person.keypoints_2d("cocoplus19") - SEEN.positions, axis=1).mean())


def test_a_fitted_person_is_seen_where_its_keypoints_are(fitted):
    assert misfit(fitted) < 1.5


def test_the_parts_of_a_fitted_person_agree(fitted):
    rotations = torch.from_numpy(fitted.rotations)[None]
    posed = BODY(rotations, torch.from_numpy(fitted.shape)[None]).vertices[0].numpy()
    np.testing.assert_allclose(posed + fitted.translation, fitted.vertices, atol=1e-5)
    crop = fitted.weak_camera
    origin = crop.scale * np.array(crop.translation)
    in_photo = crop.photo_from_crop[:2, :2] @ origin + crop.photo_from_crop[:2, 2]
    np.testing.assert_allclose(in_photo, CAMERA.project(fitted.translation[None])[0], atol=1e-2)


def test_refinement_brings_a_person_to_keypoints_that_moved(fitted):
    moved = SEEN.positions.copy()
    moved[COCOPLUS_19.index["left_wrist"]] += (4, -9)
    before = np.linalg.norm(fitted.keypoints_2d("cocoplus19") - moved, axis=1).max()
    refined = MadeRecoverer(fitted).refine(fitted, moved, "cocoplus19")
    assert np.linalg.norm(refined.keypoints_2d("cocoplus19") - moved, axis=1).max() < 0.5 * before
    assert refined.camera == fitted.camera


def test_a_refined_person_keeps_the_height_that_was_given(fitted):
    tall = fitted.scaled_to_height(2.0)
    refined = refine_person(BODY, tall, SEEN.positions, "cocoplus19")
    assert refined.measurements.height == pytest.approx(2.0)
    assert refined.body_scale == pytest.approx(tall.body_scale, rel=0.05)
    assert refined.translation[2] == pytest.approx(tall.translation[2], rel=0.05)
    assert misfit(refined) < 1.5


def test_from_what_the_network_sees_a_person_comes_to_the_keypoints_and_a_bad_one_stops_nobody(fitted):
    network = MadeRecoverer(replace(fitted, translation=fitted.translation + np.float32([0.1, 0, 0.4])))
    first, second = FITTER.fit_with(network, [torch.zeros(3, 320, 300)] * 2, [SEEN, BLIND])
    assert isinstance(first, Person)
    assert misfit(first) < 1.5
    assert isinstance(second, BadInputError)
    assert network.cameras == [CAMERA]


def test_the_network_is_told_the_keypoints_that_a_fit_starts_from():
    photo = Path(__file__).parents[2] / "docs/pictures/photo.jpg"
    model = load(device="cpu")
    known = model.recover(photo)[0].keypoints_2d("cocoplus19").copy()
    known[COCOPLUS_19.index["left_wrist"]] += (25, -30)  # photo pixels
    (told,) = model.recover_keypoints(photo, known[None], "cocoplus19")
    seen = SeenPerson(known, np.ones(19, np.float32), told.camera, told.photo_size, is_camera_known=False)
    (person,) = PersonFitter(model.body, "cocoplus19").fit_with(model, [read_photo(photo)], [seen])
    assert isinstance(person, Person)
    assert np.linalg.norm(person.keypoints_2d("cocoplus19") - known, axis=1).mean() < 3
    depths, start = (some.joints[:, 2] - some.joints[:, 2].mean() for some in (person, told))
    assert np.abs(depths - start).max() < 0.15  # metres: the hand, whose keypoint was moved
    assert np.median(np.abs(depths - start)) < 0.03


def test_one_bad_person_does_not_stop_the_others():
    first, second = FITTER.fit([SEEN, BLIND])
    assert isinstance(first, Person)
    assert isinstance(second, BadInputError)
    assert "person 2" in str(second)


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.ones((10, 10), bool), "a mask of 10 x 10 pixels"),
        (np.arange(320)[:, None] + np.zeros(300) > 315, "none of them on the mask"),
    ],
)
def test_a_mask_that_is_not_this_persons_is_refused(mask, sentence):
    (found,) = FITTER.fit([replace(SEEN, mask=mask)])
    assert isinstance(found, HumanMeshError)
    assert sentence in str(found)


def test_points_with_y_up_give_an_upright_person():
    upward = truth() * np.array([1, -1, -1], np.float32)
    (person,) = FITTER.fit_points([KnownPoints(upward, np.ones(19, np.float32))], 256)
    assert isinstance(person, Person)
    head, foot = (
        person.keypoints_3d("cocoplus19")[COCOPLUS_19.index[name]] for name in ("nose", "left_ankle")
    )
    assert head[1] < foot[1] - 1
    assert person.vertices[:, 2].min() > 0


def test_points_that_no_body_goes_through_are_refused_in_their_own_unit():
    in_millimetres = KnownPoints(1000 * truth(), np.ones(19, np.float32))
    (error,) = FITTER.fit_points([in_millimetres], 256)
    assert "unit (metres)" in str(error)
    (error,) = FITTER.fit([replace(SEEN, positions=SEEN.positions[::-1].copy())])
    assert "unit (pixels)" in str(error)


def test_people_in_space_stay_apart_as_they_were_and_one_who_cannot_be_fitted_stops_nobody():
    apart = np.array([1.5, 0, 0.5], np.float32)
    trust = np.ones(19, np.float32)
    known = [
        KnownPoints(truth(), trust),
        KnownPoints(truth(), 0 * trust, "Nobody"),
        KnownPoints(truth() + apart, trust),
    ]
    first, nobody, second = FITTER.fit_points(known, 256)
    assert isinstance(first, Person)
    assert isinstance(second, Person)
    assert "Nobody" in str(nobody)
    np.testing.assert_allclose(second.joints - first.joints, np.tile(apart, (24, 1)), atol=0.005)
    for person in (first, second):
        seen = person.camera.project(person.vertices)
        assert (seen > 0).all()
        assert (seen < 256).all()
