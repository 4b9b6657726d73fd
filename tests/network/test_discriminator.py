import pytest
import torch

from humanmesh.network.discriminator import Discriminator


@pytest.fixture
def discriminator() -> Discriminator:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Discriminator()


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    chance = torch.Generator().manual_seed(0)
    return torch.linalg.qr(torch.randn(2, 23, 3, 3, generator=chance)).Q, torch.randn(2, 10, generator=chance)


def test_it_has_the_papers_parameters(discriminator: Discriminator) -> None:
    shared = (9 * 32 + 32) + (32 * 32 + 32)
    joints = 23 * (32 + 1)
    pose = (23 * 32 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 + 1)
    shape = (10 * 10 + 10) + (10 * 5 + 5) + (5 + 1)
    assert shared + joints + pose + shape == 1_807_619
    assert sum(parameter.numel() for parameter in discriminator.parameters()) == 1_807_619


def changed(before: torch.Tensor, after: torch.Tensor) -> list[int]:
    return (before != after).any(0).nonzero().flatten().tolist()


@pytest.mark.parametrize("joint", [0, 11, 22])
def test_a_joint_moves_its_own_score_and_that_of_the_whole_pose_alone(
    discriminator: Discriminator, joint: int
) -> None:
    rotations, shape = inputs()
    before = discriminator(rotations, shape)
    rotations[:, joint] = torch.eye(3)
    assert changed(before, discriminator(rotations, shape)) == [joint, 23]


def test_the_shape_moves_the_last_score_alone(discriminator: Discriminator) -> None:
    rotations, shape = inputs()
    assert changed(discriminator(rotations, shape), discriminator(rotations, shape + 1)) == [24]


def test_joints_share_features_but_not_critics(discriminator: Discriminator) -> None:
    scores = discriminator(torch.eye(3).expand(1, 23, 3, 3), torch.zeros(1, 10))[0, :23]
    assert len(set(scores.tolist())) == 23


def test_gradients_reach_every_parameter_and_the_pose(discriminator: Discriminator) -> None:
    rotations, shape = inputs()
    rotations.requires_grad_()
    discriminator(rotations, shape).square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in discriminator.parameters())
    assert rotations.grad.abs().amax((0, 2, 3)).min() > 0
