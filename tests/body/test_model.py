import contextlib
import io
import math
from dataclasses import replace
from pathlib import Path

import pytest
import smplx
import torch
from smplx.lbs import lbs

from humanmesh.body.model import BodyModel, KeypointBody, pose_to_rotations
from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import UnknownNameError
from humanmesh.files.smpl import read_smpl
from humanmesh.geometry.rotations import axis_angle_to_matrix
from made_bodies import made_body, made_pose, smpl_fields, write_smpl_pickle

EXACT = {"rtol": 0, "atol": 1e-12}


@pytest.fixture(scope="module")
def smpl_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of SMPL's full size."""
    return write_smpl_pickle(smpl_fields(6890), tmp_path_factory.mktemp("smpl") / "SMPL_NEUTRAL.pkl")


def through_smplx(path: Path, pose: torch.Tensor, shape: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    with contextlib.redirect_stdout(io.StringIO()):
        reference = smplx.SMPL(str(path), dtype=pose.dtype, batch_size=len(pose))
    out = reference(betas=shape, global_orient=pose[:, :3], body_pose=pose[:, 3:])
    return out.vertices, out.joints[:, :24]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_smpl_file_gives_the_vertices_joints_and_gradients_of_smplx(smpl_file, dtype):
    # The file is read in float32; in float64 the reference differs by that rounding alone.
    body = BodyModel(read_smpl(smpl_file)).to(dtype)
    pose, shape = (value.requires_grad_() for value in made_pose(3, dtype=dtype))
    out = body(pose, shape)
    vertices, joints = through_smplx(smpl_file, pose, shape)
    torch.testing.assert_close(out.vertices, vertices, rtol=0, atol=1e-5)
    torch.testing.assert_close(out.joints, joints, rtol=0, atol=1e-5)

    pull = torch.randn(vertices.shape, dtype=dtype, generator=torch.Generator().manual_seed(2)) / len(
        vertices[0]
    )
    ours = torch.autograd.grad((out.vertices * pull).sum() + out.joints.sin().sum(), (pose, shape))
    theirs = torch.autograd.grad((vertices * pull).sum() + joints.sin().sum(), (pose, shape))
    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their, rtol=0, atol=1e-5 * float(their.abs().max()))


def test_a_body_without_correctives_is_smplx_with_correctives_of_zero():
    data = made_body(correctives=False)
    pose, shape = made_pose(4)
    vertices, joints = lbs(
        shape, pose, data.template, data.shape_directions, torch.zeros(207, 600, dtype=torch.float64),
        data.joint_regressor, torch.tensor(data.parents), data.skinning_weights,
    )  # fmt: skip
    out = BodyModel(data)(pose, shape)
    # smplx adds 1e-8 to axis-angle vectors before their norm, which is why this is not closer.
    torch.testing.assert_close(out.vertices, vertices, rtol=0, atol=1e-7)
    torch.testing.assert_close(out.joints, joints, rtol=0, atol=1e-7)


@pytest.mark.parametrize("correctives", [True, False])
def test_the_rest_pose_of_the_mean_shape_is_the_template(correctives):
    data = made_body(correctives=correctives)
    out = BodyModel(data)(torch.zeros(1, 72, dtype=torch.float64), torch.zeros(1, 10, dtype=torch.float64))
    torch.testing.assert_close(out.vertices[0], data.template, **EXACT)
    torch.testing.assert_close(out.joints[0], data.joint_regressor @ data.template, **EXACT)


def test_the_global_rotation_turns_the_body_rigidly_about_its_pelvis():
    body = BodyModel(made_body())
    pose, shape = made_pose(2)
    pose[:, :3] = 0
    turned = pose.clone()
    turned[:, :3] = torch.tensor([0.3, -1.2, 2.0])
    rotation = axis_angle_to_matrix(turned[:, :3])
    pelvis = body.rest_joints(shape)[:, [SMPL_24.index["pelvis"]]]
    expected = (body(pose, shape).vertices - pelvis) @ rotation.transpose(1, 2) + pelvis
    torch.testing.assert_close(body(turned, shape).vertices, expected, **EXACT)


def test_bending_the_left_elbow_moves_nothing_but_what_hangs_on_it():
    body = BodyModel(made_body())
    shape = torch.zeros(1, 10, dtype=torch.float64)
    pose = torch.zeros(1, 24, 3, dtype=torch.float64)
    rest = body(pose.flatten(1), shape).joints[0]
    pose[0, SMPL_24.index["left_elbow"], 1] = math.pi / 2
    moved = (body(pose.flatten(1), shape).joints[0] - rest).norm(dim=1) > 1e-9
    assert {name for name, has_moved in zip(SMPL_24.joints, moved, strict=True) if has_moved} == {
        "left_wrist",
        "left_hand",
    }


def test_axis_angle_and_its_matrices_give_the_same_body():
    body = BodyModel(made_body())
    pose, shape = made_pose(2)
    matrices = axis_angle_to_matrix(pose.unflatten(1, (24, 3)))
    torch.testing.assert_close(body(matrices, shape).vertices, body(pose, shape).vertices, **EXACT)
    assert pose_to_rotations(matrices) is matrices


def test_derivatives_in_pose_and_shape_agree_with_finite_differences():
    body = BodyModel(made_body(30))
    pose, shape = (value.requires_grad_() for value in made_pose(1))
    assert torch.autograd.gradcheck(lambda p, s: body(p, s).vertices, (pose, shape), fast_mode=True)


@pytest.mark.parametrize("name", ["cocoplus19", "smpl24"])
@pytest.mark.parametrize("correctives", [True, False])
def test_the_keypoint_body_gives_the_full_bodys_keypoints_and_gradients(name, correctives):
    data = made_body(correctives=correctives)
    body, short_cut = BodyModel(data), KeypointBody(data, name)
    pose, shape = (value.requires_grad_() for value in made_pose(3))
    out = body(pose, shape)
    expected = body.keypoints(out.vertices, name)
    joints, keypoints = short_cut(pose, shape)
    torch.testing.assert_close(joints, out.joints, **EXACT)
    torch.testing.assert_close(keypoints, expected, **EXACT)
    ours = torch.autograd.grad(keypoints.sin().sum(), (pose, shape))
    theirs = torch.autograd.grad(expected.sin().sum(), (pose, shape))
    torch.testing.assert_close(ours, theirs, **EXACT)


def test_keypoints_are_their_regressor_times_the_vertices():
    data = made_body()
    vertices = BodyModel(data)(*made_pose(2)).vertices
    expected = data.keypoint_regressors["cocoplus19"] @ vertices
    torch.testing.assert_close(BodyModel(data).keypoints(vertices, "cocoplus19"), expected, **EXACT)


def test_a_keypoint_set_that_the_body_lacks_is_an_error_that_names_those_it_has():
    body = BodyModel(made_body())
    with pytest.raises(UnknownNameError, match=r"'coco17'.*cocoplus19, smpl24"):
        body.keypoints(torch.zeros(1, 200, 3), "coco17")
    with pytest.raises(UnknownNameError, match="'coco17'"):
        KeypointBody(made_body(), "coco17")


def test_a_network_that_holds_a_body_saves_nothing_of_it():
    assert not BodyModel(made_body()).state_dict()
    assert not KeypointBody(made_body(), "cocoplus19").state_dict()


def test_a_body_follows_to_another_floating_point_type():
    body = BodyModel(made_body()).float()
    out = body(*made_pose(1, dtype=torch.float32))
    assert out.vertices.dtype == out.joints.dtype == torch.float32
    assert body.faces.dtype == torch.int64


def test_an_empty_batch_gives_an_empty_body():
    out = BodyModel(made_body())(*made_pose(0))
    assert out.vertices.shape == (0, 200, 3)
    assert out.joints.shape == (0, 24, 3)


def test_moving_a_body_along_moves_its_joints_along():
    data = made_body()
    away = replace(data, template=data.template + torch.tensor([0.0, 5.0, 0.0]))
    pose, shape = made_pose(2)
    out, out_away = BodyModel(data)(pose, shape), BodyModel(away)(pose, shape)
    step = torch.tensor([0.0, 5.0, 0.0], dtype=torch.float64)
    torch.testing.assert_close(out_away.joints, out.joints + step, **EXACT)
    torch.testing.assert_close(out_away.vertices, out.vertices + step, **EXACT)
