"""The paper's adversary: 25 critics that tell poses and shapes of real people from those of the regressor."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

JOINTS = 23
"""All of SMPL's joints but the root, whose rotation is the view's and no property of a pose."""

_FEATURES = 32


class Discriminator(nn.Module):
    """One critic a joint, one of all joints together and one of the shape (Kanazawa et al. 2018, section 3.3).

    Scores are for a least-squares loss: 1 real, 0 made up, no sigmoid.
    """

    def __init__(self) -> None:
        super().__init__()
        self.shared = nn.Sequential(
            nn.Linear(9, _FEATURES), nn.ReLU(), nn.Linear(_FEATURES, _FEATURES), nn.ReLU()
        )
        # 23 separate layers of 32 -> 1, as one product with a weight row a joint.
        bound = _FEATURES**-0.5
        self.joint_weights = nn.Parameter(torch.empty(JOINTS, _FEATURES).uniform_(-bound, bound))
        self.joint_biases = nn.Parameter(torch.zeros(JOINTS))
        self.pose = nn.Sequential(
            nn.Linear(JOINTS * _FEATURES, 1024),
            nn.ReLU(),
            nn.Linear(1024, 1024),
            nn.ReLU(),
            nn.Linear(1024, 1),
        )
        self.shape = nn.Sequential(nn.Linear(10, 10), nn.ReLU(), nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 1))

    def forward(
        self, rotations: Float[Tensor, "batch 23 3 3"], shape: Float[Tensor, "batch 10"]
    ) -> Float[Tensor, "batch 25"]:
        """Scores of the 23 joints (all but the root), of the whole pose and of the shape, in this order."""
        features = self.shared(rotations.flatten(2))
        joints = (features * self.joint_weights).sum(-1) + self.joint_biases
        return torch.cat([joints, self.pose(features.flatten(1)), self.shape(shape)], -1)
