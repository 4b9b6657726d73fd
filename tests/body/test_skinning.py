import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from humanmesh.body.skinning import KinematicTree, skin
from humanmesh.geometry.rotations import axis_angle_to_matrix


def random_rotations(batch: int, joints: int) -> torch.Tensor:
    rng = torch.Generator().manual_seed(0)
    return axis_angle_to_matrix(2 * torch.randn(batch, joints, 3, generator=rng, dtype=torch.float64))


def test_a_bent_chain_ends_where_paper_and_pencil_say():
    # Three joints in a row along x; the root turns by 90 degrees about z, then the second one by 90 degrees more.
    quarter = axis_angle_to_matrix(torch.tensor([[0.0, 0.0, math.pi / 2]]))[0]
    rotations = torch.stack([quarter, quarter, torch.eye(3)])[None]
    rest = torch.tensor([[[0.0, 0, 0], [1, 0, 0], [2, 0, 0]]])
    world, joints = KinematicTree([-1, 0, 1])(rotations, rest)
    torch.testing.assert_close(
        joints, torch.tensor([[[0.0, 0, 0], [0, 1, 0], [-1, 1, 0]]]), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(world[0, 2], torch.diag(torch.tensor([-1.0, -1.0, 1.0])), atol=1e-6, rtol=0)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 30), min_size=0, max_size=14))
def test_any_tree_agrees_with_products_of_4x4_matrices_one_joint_after_the_other(choices):
    parents = [-1]
    for choice in choices:
        # A new joint may hang from the last one's parent, its sisters after that, or from any joint of that depth.
        lowest = max(parents[-1], 0)
        parents.append(lowest + choice % (len(parents) - lowest))
    rotations = random_rotations(2, len(parents))
    rest = torch.randn(2, len(parents), 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = []
    for joint, parent in enumerate(parents):
        local = torch.eye(4, dtype=torch.float64).repeat(2, 1, 1)
        local[:, :3, :3] = rotations[:, joint]
        local[:, :3, 3] = rest[:, joint] - (rest[:, parent] if parent >= 0 else 0)
        expected.append(expected[parent] @ local if parent >= 0 else local)
    world, joints = KinematicTree(parents).double()(rotations, rest)
    torch.testing.assert_close(world, torch.stack(expected, 1)[..., :3, :3])
    torch.testing.assert_close(joints, torch.stack(expected, 1)[..., :3, 3])


@pytest.mark.parametrize("parents", [[], [0], [-1, -1], [-1, 0, 1, 0], [0, -1]])
def test_a_tree_out_of_order_is_refused(parents):
    with pytest.raises(ValueError, match="order of their depth"):
        KinematicTree(parents)


def test_a_vertex_halfway_between_two_moves_goes_half_of_each():
    vertices = torch.tensor([[[1.0], [0.0], [0.0]]])
    rotations = torch.eye(3).repeat(1, 2, 1, 1)
    translations = torch.tensor([[[0.0, 2.0, 0.0], [0.0, 0.0, 4.0]]])
    moved = skin(vertices, torch.tensor([[0.5], [0.5]]), rotations, translations)
    torch.testing.assert_close(moved, torch.tensor([[[1.0, 1.0, 2.0]]]))


def test_a_batch_larger_than_a_block_gives_what_its_bodies_give_alone():
    rng = torch.Generator().manual_seed(0)
    vertices = torch.randn(5, 3, 30_000, generator=rng)
    weights = torch.rand(2, 30_000, generator=rng)
    rotations, translations = random_rotations(5, 2).float(), torch.randn(5, 2, 3, generator=rng)
    together = skin(vertices, weights, rotations, translations)
    alone = [
        skin(vertices[[row]], weights, rotations[[row]], translations[[row]])[0] for row in range(5)
    ]  # fmt: skip
    torch.testing.assert_close(together, torch.stack(alone))
    assert together.is_contiguous()
