import numpy as np
import pytest

from humanmesh.tracking import Sight, Tracker, count_switches, distinct, similarity

RATE = 30
BODY = np.random.default_rng(0).uniform(-1, 1, (19, 2)) * [30, 80]
"""Pixels about the body's middle."""


def sight(x: float, y: float = 100.0, score: float = 0.8, noise: float = 0.0, seed: int = 0) -> Sight:
    wobble = noise * np.random.default_rng(seed).normal(size=BODY.shape)
    return Sight(BODY + np.array([x, y]) + wobble, score)


def identities_of(tracks: list, tracker: Tracker | None = None) -> list[dict[int, int]]:
    """For each frame, true person -> identity; a track gives x at a time, or None where it is hidden."""
    tracker = tracker or Tracker()
    frames = []
    for number in range(3 * RATE):
        time = number / RATE
        seen = [(person, track(time)) for person, track in enumerate(tracks) if track(time) is not None]
        order = np.random.default_rng(number).permutation(len(seen))
        sights = [sight(seen[row][1], noise=2, seed=100 * number + int(row)) for row in order]
        identities = tracker.update(time, sights)
        frames.append({seen[row][0]: identity for row, identity in zip(order, identities, strict=True)})
    return frames


def test_two_who_walk_past_each_other_keep_their_identities():
    frames = identities_of([lambda t: 100 + 150 * t, lambda t: 550 - 150 * t])
    assert count_switches(frames) == 0
    assert {identity for frame in frames for identity in frame.values()} == {1, 2}


def test_who_is_hidden_while_another_walks_past_comes_back_as_themselves():
    frames = identities_of([lambda t: 100 + 150 * t, lambda t: None if 1.1 < t < 1.9 else 550 - 150 * t])
    assert count_switches(frames) == 0


@pytest.mark.parametrize(("gap", "people"), [(0.9, 1), (1.2, 2)])
def test_a_gap_of_up_to_a_second_is_bridged_and_a_longer_one_is_not(gap, people):
    frames = identities_of([lambda t: None if 1 < t <= 1 + gap else 200 + 60 * t])
    assert len({identity for frame in frames for identity in frame.values()}) == people


def test_who_is_seen_in_every_frame_is_known_however_slow_the_film():
    tracker = Tracker()
    for number in range(6):
        time = 2.5 * number
        assert tracker.update(time, [sight(400 - 8 * number), sight(100 + 8 * number)]) == [1, 2]
    assert tracker.update(15.0, []) == []
    assert tracker.update(17.5, [sight(148)]) == [3]


def test_five_in_a_row_keep_their_identities_in_any_order_of_sights():
    tracks = [lambda t, start=start: start + 40 * t for start in range(100, 1100, 200)]
    assert count_switches(identities_of(tracks)) == 0


def test_who_comes_far_away_is_somebody_new():
    tracker = Tracker()
    assert tracker.update(0.0, [sight(100)]) == [1]
    assert tracker.update(1 / RATE, [sight(101), sight(500)]) == [1, 2]


def test_expected_keypoints_move_on_at_constant_velocity():
    tracker = Tracker()
    for number in range(3):
        tracker.update(number / RATE, [sight(100 + 5 * number)])
    np.testing.assert_allclose(tracker.expected(6 / RATE)[1], BODY + np.array([130, 100]), atol=1e-9)
    tracker.update(0.5, [])
    assert tracker.expected(2.0) == {}


def test_similarity_is_one_for_the_same_and_none_for_the_far_and_does_not_depend_on_size():
    near = similarity(BODY, BODY + 5)
    assert similarity(BODY, BODY) == 1
    assert similarity(BODY, BODY + 1000) < 1e-6
    assert 0 < near < 1
    assert similarity(3 * BODY, 3 * (BODY + 5)) == pytest.approx(near)


def test_of_one_person_seen_twice_the_clearer_sight_stays():
    sights = [sight(100, score=0.5), sight(400, score=0.4), sight(102, score=0.9)]
    assert distinct(sights) == [1, 2]


def test_switches_by_hand():
    assert count_switches([{0: 1, 1: 2}, {0: 1, 1: 2}]) == 0
    assert count_switches([{0: 1, 1: 2}, {0: 2, 1: 1}]) == 2
    assert count_switches([{0: 1}, {}, {0: 1}]) == 0
    assert count_switches([{0: 1}, {}, {0: 7}, {0: 7}]) == 1
