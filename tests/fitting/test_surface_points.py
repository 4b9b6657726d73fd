"""The 91 surface points follow from the body's geometry."""

import re
from dataclasses import replace

import pytest
import torch

from humanmesh.body.model import BodyModel, KeypointBody
from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import BadInputError
from humanmesh.files.body_models import load_body_data
from humanmesh.fitting.surface_points import SURFACE_91, surface_vertices, with_surface_points
from made_bodies import made_pose, small_body


@pytest.fixture(scope="module")
def body():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def rows(body):
    return surface_vertices(body)


def test_there_are_91_different_vertices(rows):
    assert len(SURFACE_91) == len(rows) == len(set(rows.tolist())) == 91


def test_every_part_of_the_body_has_a_point_that_it_moves_most(body, rows):
    movers = body.skinning_weights[rows].argmax(1)
    assert set(movers.tolist()) == set(range(24))
    for name, mover in zip(SURFACE_91.joints, movers.tolist(), strict=True):
        joint = SMPL_24.joints[mover]
        assert re.sub(r"_\d$", "", name) in {joint, f"left_{joint}", f"right_{joint}"}


def test_the_mirror_of_the_names_is_the_mirror_of_the_points(body, rows):
    points = body.template[rows]
    mirrored = points[list(SURFACE_91.mirror)] * torch.tensor([-1.0, 1, 1])
    assert (points - mirrored).norm(dim=1).max() < 0.005


def test_no_two_points_are_nearer_than_a_finger_is_wide(body, rows):
    distances = torch.pdist(body.template[rows].double())
    assert distances.min() > 0.015


def test_the_left_lies_on_the_left(body, rows):
    x = body.template[rows, 0]
    for name, value in zip(SURFACE_91.joints, x.tolist(), strict=True):
        side = 1 if name.startswith("left_") else -1 if name.startswith("right_") else 0
        assert value * side > 0 or (side == 0 and abs(value) < 0.005)


def test_a_shifted_renumbered_body_has_the_same_points(body, rows):
    order = torch.randperm(len(body.template), generator=torch.Generator().manual_seed(0))
    moved = replace(body, template=body.template[order], skinning_weights=body.skinning_weights[order])
    assert torch.equal(order[surface_vertices(moved)], rows)


def test_they_are_a_keypoint_set_of_both_kinds_of_body(body, rows):
    data = with_surface_points(body)
    pose, shape = made_pose(2, dtype=torch.float32)
    vertices = BodyModel(data)(pose, shape).vertices
    _, points = KeypointBody(data, SURFACE_91.name)(pose, shape)
    torch.testing.assert_close(points, vertices[:, rows], atol=2e-5, rtol=0)
    torch.testing.assert_close(BodyModel(data).keypoints(vertices, SURFACE_91.name), vertices[:, rows])


def test_a_body_too_coarse_for_them_is_refused_in_a_sentence():
    with pytest.raises(BadInputError, match="fewer vertices than it should have points"):
        surface_vertices(small_body())
