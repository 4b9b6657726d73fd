"""People to learn from: where their points are seen, and what is not accepted."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from made_poses import made_library

from humanmesh.body.model import KeypointBody
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.fitting.projected_people import (
    FEWEST_POINTS,
    points_in_box,
    project_people,
    read_training_poses,
)
from made_bodies import small_body

COORDINATES = torch.rand(3, 19, 2, generator=torch.Generator().manual_seed(0))


def people(count=200):
    body = KeypointBody(small_body(), "cocoplus19")
    return project_people(count, body, made_library(), torch.Generator().manual_seed(0))


def test_everybody_has_enough_known_points_and_unknown_ones_are_zero():
    some = people()
    assert (some.weights.sum(1) >= FEWEST_POINTS).all()
    assert (some.points_2d[some.weights == 0] == 0).all()
    assert (some.points_2d.abs() <= 1).all()
    assert 0 < (some.weights == 0).float().mean() < 0.5  # some are cut off by the picture's edge


def test_the_3d_points_are_those_of_the_pose_and_shape():
    some = people(20)
    _, points = KeypointBody(small_body(), "cocoplus19")(some.rotations, some.shape)
    torch.testing.assert_close(some.points_3d, points)


@given(st.floats(0.1, 50), st.floats(-500, 500), st.floats(-500, 500))
def test_size_and_place_in_the_photo_do_not_matter(scale, x, y):
    weights = torch.ones(3, 19)
    moved = points_in_box(scale * COORDINATES.double() + torch.tensor([x, y]), weights.double())
    torch.testing.assert_close(moved.float(), points_in_box(COORDINATES, weights), atol=1e-4, rtol=0)


def test_the_longer_side_of_the_box_of_the_known_points_runs_from_minus_1_to_1():
    weights = torch.ones(3, 19)
    weights[:, 12:] = 0
    seen = points_in_box(COORDINATES, weights)
    assert (seen[:, 12:] == 0).all()
    low, high = seen[:, :12].aminmax(dim=1)
    torch.testing.assert_close((high - low).amax(1), torch.full((3,), 2.0))
    torch.testing.assert_close(high + low, torch.zeros(3, 2), atol=1e-6, rtol=0)


def test_too_few_points_and_points_in_one_place_are_refused():
    with pytest.raises(BadInputError, match="5 of 19 known"):
        points_in_box(COORDINATES, torch.ones(3, 19).index_fill(1, torch.arange(5, 19), 0))
    with pytest.raises(BadInputError, match="all in one place"):
        points_in_box(torch.ones(1, 19, 2), torch.ones(1, 19))
    with pytest.raises(BadInputError, match="NaN"):
        points_in_box(COORDINATES * torch.nan, torch.ones(3, 19))


def test_a_motion_file_that_is_missing_empty_or_of_another_kind_is_refused(tmp_path):
    with pytest.raises(MissingAssetError):
        read_training_poses(tmp_path / "none.npz")
    with (tmp_path / "one.npy").open("wb") as file:
        np.save(file, np.zeros(3))
    one = (tmp_path / "one.npy").read_bytes()
    for name, content in (("empty.npz", b""), ("text.npz", b"hello"), ("one.npz", one)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadInputError, match="cannot be read"):
            read_training_poses(tmp_path / name)
    np.savez(tmp_path / "other.npz", vertices=np.zeros(3))
    with pytest.raises(BadInputError, match="clip_names"):
        read_training_poses(tmp_path / "other.npz")


def test_a_motion_file_without_frames_is_refused(tmp_path):
    arrays = {
        "pose": np.zeros((0, 72), np.float32),
        "clip": np.zeros(0, np.int32),
        "clip_names": np.array(["a"]),
    }
    np.savez(tmp_path / "motion.npz", **arrays)
    with pytest.raises(BadInputError, match="no clip for this purpose"):
        read_training_poses(tmp_path / "motion.npz")
