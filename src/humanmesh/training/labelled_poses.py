"""Poses of people in photos, from the 3D labels that `training.labelling` guessed, to render people in them: acrobats and gymnasts that no motion capture holds.

A pose that was guessed for one view need not be what the photo shows; rendered anew it is exact, from every side.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.capsules import CapsuleBody
from humanmesh.data.dataset import Sample
from humanmesh.data.motion import plausible_frames
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.training.labelling import LIMBS

FEWEST_MET = 11
"""Of the twelve joints of arms and legs so many must have a 3D label."""
LEAST_TRUST = 0.3
"""Mean of these joints' weights; a fit that meets all its keypoints has 0.5."""
DEEPEST_PART = 0.06
"""Metres by which parts may lie deeper in each other than in the rest pose."""

_BLOCK = 500
"""People whose parts are compared at once."""


def trusted_poses(samples: Iterable[Sample]) -> Iterator[np.ndarray]:
    """The poses (72 numbers, camera frame, radians) of people whose guessed 3D meets the keypoints of their arms and legs."""
    for sample in samples:
        trust = sample.weights_3d[LIMBS]
        is_guessed = sample.pose_weight > 0 and not sample.has_known_3d
        if is_guessed and (trust > 0).sum() >= FEWEST_MET and trust.mean() > LEAST_TRUST:
            yield sample.pose


def poses_in_world(poses: Float[Tensor, "people 72"], body: CapsuleBody) -> Float[Tensor, "kept 24 3 3"]:
    """The poses that a body can take, in a world whose y is up, as if each camera had looked level.

    Left out are those with a joint turned farther than a body can, and those whose parts pass through each other.
    """
    rotations = axis_angle_to_matrix(poses.unflatten(1, (24, 3)))
    world_from_camera = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
    rotations = torch.cat([world_from_camera @ rotations[:, :1], rotations[:, 1:]], 1)
    shape = torch.zeros(len(rotations), body.data.shape_directions.shape[2])
    blocks = zip(rotations.split(_BLOCK), shape.split(_BLOCK), strict=True)
    depths = torch.cat([body.deepest(*block) for block in blocks])
    return rotations[plausible_frames(rotations) & (depths < DEEPEST_PART)]
