import math
from dataclasses import replace

import numpy as np
import torch

from humanmesh.body.capsules import CapsuleBody
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.files.body_models import load_body_data
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.training.labelled_poses import poses_in_world, trusted_poses
from made_samples import made_sample


def with_trust(trust, **fewer):
    weights = np.full(19, trust, np.float32)
    for joint, weight in fewer.items():
        weights[COCOPLUS_19.index[joint]] = weight
    return replace(made_sample(), weights_3d=weights, pose_weight=0.3)


def test_taken_is_who_has_arms_and_legs_that_are_trusted():
    taken = [
        with_trust(0.4),
        with_trust(0.5),
        with_trust(0.5, left_wrist=0),
        with_trust(0.5, nose=0, left_ear=0),
    ]
    assert len(list(trusted_poses(taken))) == 4
    others = [
        made_sample(known_3d=True),  # rendered or measured
        made_sample(known_3d=False),
        with_trust(0.5, left_wrist=0, left_elbow=0),
        with_trust(0.2),
        replace(with_trust(0.5), pose_weight=0.0),
    ]
    assert list(trusted_poses(others)) == []


def pose_of(**turns):
    pose = torch.zeros(24, 3)
    pose[0, 0] = math.pi  # upright in a camera whose y points down
    for joint, turn in turns.items():
        pose[SMPL_24.index[joint]] = torch.tensor(turn)
    return pose.flatten()


def test_who_stands_before_a_level_camera_stands_in_the_world():
    body = CapsuleBody(load_body_data("anny"))
    turned = pose_of()
    turned[:3] = torch.tensor([0.0, 0.0, math.pi])  # upright with the back to the camera
    kept = poses_in_world(torch.stack([pose_of(left_elbow=[0.0, -1.0, 0.0]), turned]), body)
    bent = axis_angle_to_matrix(torch.tensor([0.0, -1.0, 0.0]))
    assert torch.allclose(kept[0, SMPL_24.index["left_elbow"]], bent, atol=1e-5)
    assert torch.allclose(kept[0, 0], torch.eye(3), atol=1e-5)
    assert torch.allclose(kept[1, 0], torch.diag(torch.tensor([-1.0, 1, -1])), atol=1e-5)


def test_a_head_turned_too_far_and_legs_through_each_other_are_left_out():
    body = CapsuleBody(load_body_data("anny"))
    crossed = pose_of(left_hip=[0.0, 0.0, -0.4], right_hip=[0.0, 0.0, 0.4])
    broken = pose_of(head=[0.0, 2.0, 0.0])
    for pose in (crossed, broken):
        assert len(poses_in_world(pose[None], body)) == 0
    assert len(poses_in_world(torch.stack([crossed, pose_of(), broken]), body)) == 1
