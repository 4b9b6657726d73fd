from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.clips import Clip
from humanmesh.files.videos import Frame
from humanmesh.geometry.rotations import geodesic_angle
from humanmesh.inference import load
from humanmesh.video import SMOOTHERS, VideoConfig, recover_video
from made_films import RATE, Actor, MadeFootage, MadeRecoverer, even_times

STANDING = Actor(lambda number: (0.0, 0.0, 4.0))


def clip_of(*actors: Actor, frames: int = 40, **settings) -> Clip:
    return recover_video(MadeRecoverer(*actors), MadeFootage(even_times(frames)), VideoConfig(**settings))


def errors(clip: Clip, actor: Actor) -> torch.Tensor:
    """Mean angle to the true turns in each frame of the first person, radians."""
    person = clip.people[0]
    numbers = range(person.frames.start, person.frames.stop)
    truth = torch.from_numpy(np.stack([actor.rotations(number) for number in numbers]))
    return geodesic_angle(torch.from_numpy(person.rotations), truth).mean(1)


def jerkiness(clip: Clip) -> float:
    """Mean length of the second differences of the joints, metres."""
    joints = clip.pose(clip.people[0]).joints
    return float((joints[:-2] - 2 * joints[1:-1] + joints[2:]).norm(dim=-1).mean())


def test_somebody_is_followed_from_the_first_frame_to_the_last():
    clip = clip_of(STANDING)
    assert [(person.identity, person.first_frame) for person in clip.people] == [(1, 0)]
    assert len(clip.people[0].scores) == 40
    np.testing.assert_allclose(clip.times, np.arange(40) / RATE)


def test_without_noise_the_unsmoothed_clip_is_the_truth():
    actor = Actor(lambda number: (0.01 * number, 0.1, 4.0 - 0.02 * number), shape=0.5)
    clip = clip_of(actor, smoother="none")
    assert errors(clip, actor).max() < 1e-5
    expected = np.array([actor.place(number) for number in range(40)])
    np.testing.assert_allclose(clip.people[0].translation, expected, atol=1e-3)
    np.testing.assert_allclose(clip.people[0].shape, np.full(10, 0.5), atol=1e-6)


@pytest.mark.parametrize("smoother", ["zero-lag", "one-euro"])
def test_smoothing_calms_the_motion_and_comes_nearer_to_the_truth(smoother):
    actor = replace(STANDING, noise=0.1)
    rough, smooth = (clip_of(actor, smoother=name) for name in ("none", smoother))
    assert jerkiness(smooth) < jerkiness(rough) / 2
    assert errors(smooth, actor).mean() < errors(rough, actor).mean()


def test_more_strength_is_calmer():
    actor = replace(STANDING, noise=0.1)
    assert jerkiness(clip_of(actor, strength=3.0)) < jerkiness(clip_of(actor, strength=0.5))


def test_a_person_has_one_shape_which_bad_frames_do_not_move():
    recoverer = MadeRecoverer(replace(STANDING, shape=1.0))
    honest = recoverer.person

    def sometimes_fat(row: int, number: int):
        person = honest(row, number)
        fat = np.concatenate([person.theta[:75], np.full(10, 9.0, np.float32)])
        return replace(person, theta=fat if number % 5 == 0 else np.float32(np.append(fat[:75], np.ones(10))))

    recoverer.person = sometimes_fat
    clip = recover_video(recoverer, MadeFootage(even_times(20)))
    np.testing.assert_allclose(clip.people[0].shape, np.ones(10))


def test_a_gap_is_filled_from_both_sides_and_its_score_is_zero():
    actor = Actor(lambda number: None if 12 <= number < 20 else (0.005 * number, 0.0, 4.0))
    clip = clip_of(actor)
    assert len(clip.people) == 1
    assert not clip.people[0].scores[12:20].any()
    assert clip.people[0].scores[:12].all()
    assert errors(clip, actor).max() < 0.04
    middle = clip.people[0].translation[16]
    np.testing.assert_allclose(middle, [0.08, 0, 4], atol=0.01)


def test_two_who_cross_keep_their_identities_though_the_nearer_hides_the_farther():
    near = Actor(lambda number: (-1.0 + number / 20, 0.0, 4.0))
    far = Actor(lambda number: None if 16 <= number < 24 else (1.0 - number / 20, 0.0, 5.0))
    clip = clip_of(near, far)
    assert len(clip.people) == 2
    starts = {person.identity: person.translation[[0, -1], 0] for person in clip.people}
    assert sorted(np.sign(ends).tolist() for ends in starts.values()) == [[-1, 1], [1, -1]]


def test_people_are_searched_for_now_and_then_and_followed_in_between():
    recoverer = MadeRecoverer(STANDING)
    recover_video(recoverer, MadeFootage(even_times(25)), VideoConfig(find_every=10))
    assert recoverer.searches == [0, 10, 20]
    assert recoverer.looks == list(range(1, 25))


def test_somebody_who_comes_later_begins_later():
    late = Actor(lambda number: None if number < 15 else (1.2, 0.0, 4.0))
    clip = clip_of(STANDING, late, find_every=10)
    assert [person.first_frame for person in clip.people] == [0, 20]


def test_who_is_seen_in_a_few_frames_only_does_not_count():
    flash = Actor(lambda number: (1.0, 0.0, 4.0) if number in {10, 11} else None)
    assert len(clip_of(STANDING, flash).people) == 1


def test_who_is_recovered_without_a_score_is_followed_all_the_same():
    recoverer = MadeRecoverer(STANDING)
    scored = recoverer.person
    recoverer.person = lambda row, number: replace(scored(row, number), score=float("nan"))
    clip = recover_video(recoverer, MadeFootage(even_times(15)))
    assert clip.people[0].scores.tolist() == [1.0] * 15


def test_so_many_people_are_kept_as_are_asked_for_those_seen_the_most():
    late = Actor(lambda number: None if number < 15 else (1.2, 0.0, 4.0))
    clip = clip_of(late, STANDING, most=1)
    assert [person.first_frame for person in clip.people] == [0]


def test_a_film_of_nobody_is_an_answer():
    clip = clip_of()
    assert clip.people == ()
    assert len(clip.times) == 40


@pytest.mark.parametrize("smoother", list(SMOOTHERS))
def test_a_film_of_one_frame_is_a_clip(smoother):
    clip = clip_of(STANDING, frames=1, smoother=smoother, foot_lock=True)
    assert errors(clip, STANDING).max() < 1e-5


def test_times_of_the_film_are_kept_however_uneven():
    times = np.cumsum(np.random.default_rng(0).uniform(0.01, 0.08, 30))
    actor = replace(STANDING, noise=0.05)
    clip = recover_video(MadeRecoverer(actor), MadeFootage(times))
    assert np.array_equal(clip.times, times)
    assert len(clip.people[0].scores) == 30


def test_everybody_is_followed_in_a_film_of_a_frame_in_two_seconds():
    recoverer = MadeRecoverer(STANDING)
    clip = recover_video(recoverer, MadeFootage(2.0 * np.arange(12)))
    assert [len(person.scores) for person in clip.people] == [12]
    assert recoverer.looks == list(range(1, 12))


def test_a_film_without_a_readable_frame_is_refused():
    with pytest.raises(BadInputError, match="Made film"):
        recover_video(MadeRecoverer(), MadeFootage([]))


def test_frames_done_before_are_not_looked_at_again_and_the_clip_is_the_same():
    actor = replace(STANDING, noise=0.1)
    kept: list = []
    with pytest.raises(KeyboardInterrupt):
        recover_video(
            MadeRecoverer(actor),
            MadeFootage(even_times(30), stop=17),
            advance=lambda frames: kept.__setitem__(slice(None), frames),
        )
    assert len(kept) == 17
    recoverer = MadeRecoverer(actor)
    resumed = recover_video(recoverer, MadeFootage(even_times(30)), done=kept)
    whole = clip_of(actor, frames=30)
    assert min(recoverer.looks) == 17
    np.testing.assert_allclose(resumed.people[0].rotations, whole.people[0].rotations, atol=1e-6)
    np.testing.assert_allclose(resumed.people[0].translation, whole.people[0].translation, atol=1e-6)


@pytest.mark.parametrize("pitch", [0.0, 0.4])
def test_the_foot_lock_keeps_the_feet_of_who_stands_and_moves_nothing_but_the_legs(pitch):
    actor = replace(STANDING, noise=0.02, sway=0.02, pitch=pitch)
    recoverer = MadeRecoverer(actor, body=load_body_data("anny"))
    free, locked = (
        recover_video(recoverer, MadeFootage(even_times(25)), VideoConfig(foot_lock=lock, upright=True))
        for lock in (False, True)
    )
    ankles = [SMPL_24.index["left_ankle"], SMPL_24.index["right_ankle"]]
    spread = [
        clip.pose(clip.people[0]).joints[:, ankles].std(0).norm(dim=-1).mean() for clip in (free, locked)
    ]
    assert spread[1] < spread[0] / 3
    others = [row for row, name in enumerate(SMPL_24.joints) if "_hip" not in name and "_knee" not in name]
    others = [row for row in others if row not in ankles]
    np.testing.assert_allclose(
        locked.people[0].rotations[:, others], free.people[0].rotations[:, others], atol=1e-6
    )
    np.testing.assert_allclose(locked.people[0].translation, free.people[0].translation)


def test_people_who_stand_tell_how_far_the_films_camera_looks_down():
    tilted = replace(STANDING, pitch=0.15)
    body = load_body_data("anny")
    level, down = (
        recover_video(MadeRecoverer(actor, body=body), MadeFootage(even_times(8)), VideoConfig(upright=True))
        for actor in (STANDING, tilted)
    )
    assert down.camera_pitch - level.camera_pitch == pytest.approx(0.15, abs=1e-3)
    assert clip_of(tilted, frames=8).camera_pitch == 0
    assert clip_of(frames=8, upright=True).camera_pitch == 0


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"smoother": "butter"}, UnknownNameError),
        ({"find_every": 0}, BadInputError),
        ({"strength": -1.0}, BadInputError),
        ({"strength": float("inf")}, BadInputError),
        ({"most": 0}, BadInputError),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, error):
    with pytest.raises(error):
        VideoConfig(**settings)


@pytest.mark.data
def test_somebody_in_a_street_photo_that_moves_a_little_is_one_person(shared_data):
    path = next((shared_data / "clothing_coparsing").rglob("0001.jpg"))
    with Image.open(path) as photo:
        still = np.asarray(photo.convert("RGB").resize((200, 300)))

    class Shaken:
        name, frame_rate, expected_frames, skipped = "Shaken photo", 30.0, 4, 0

        def frames(self):
            for number in range(4):
                yield Frame(number / 30, np.roll(still, 2 * number, axis=1))

    clip = recover_video(load(device="cpu"), Shaken())
    assert [len(person.scores) for person in clip.people] == [4]
    person = clip.people[0]
    assert (person.scores > 0.25).all()
    moved = person.translation[-1, :2] - person.translation[0, :2]
    pixels = moved * clip.focal_length / person.translation[0, 2]
    np.testing.assert_allclose(pixels, [6, 0], atol=3)
