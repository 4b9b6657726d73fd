"""A body of a few made-up vertices, for tests of what stands on a body."""

import torch

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_PARENTS


def made_body(seed: int = 0, vertices: int = 40) -> BodyModelData:
    """Random, of the size of a person, with the keypoints of the heat maps."""
    chance = torch.Generator().manual_seed(seed)
    weights = torch.rand(vertices, 24, generator=chance)
    joint_regressor = torch.rand(24, vertices, generator=chance)
    keypoint_regressor = torch.zeros(len(COCOPLUS_19), vertices)
    keypoint_regressor[torch.arange(len(COCOPLUS_19)), torch.arange(len(COCOPLUS_19)) * 2] = 1
    return BodyModelData(
        name="made",
        template=torch.randn(vertices, 3, generator=chance) * 0.4,
        shape_directions=torch.randn(vertices, 3, 10, generator=chance) * 0.02,
        pose_directions=None,
        joint_regressor=joint_regressor / joint_regressor.sum(1, keepdim=True),
        skinning_weights=weights / weights.sum(1, keepdim=True),
        parents=SMPL_PARENTS,
        faces=torch.randint(0, vertices, (30, 3), generator=chance),
        keypoint_regressors={"cocoplus19": keypoint_regressor},
    )
