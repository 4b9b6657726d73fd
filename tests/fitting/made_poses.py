"""Poses and points for the tests of what learns from projected people."""

import torch

from humanmesh.data.synthetic_poses import PoseLibrary


def made_library(frames: int = 40, seed: int = 0) -> PoseLibrary:
    """Small turns of every joint, the person upright."""
    poses = 0.2 * torch.randn(frames, 72, generator=torch.Generator().manual_seed(seed))
    poses[:, :3] = 0
    return PoseLibrary(poses, torch.ones(frames))
