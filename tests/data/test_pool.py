"""The pool of bodies: drawn as the weights say, and damaged files named with their row."""

import numpy as np
import pytest
import torch

from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.pool import BodyPool, read_pool
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.geometry.rotations import axis_angle_to_matrix

POSES = np.arange(4 * 72, dtype=np.float32).reshape(4, 72) / 1000
CLIPS = np.array([0, 0, 0, 1])


def written(path, **arrays):
    np.savez(path / "motion.npz", **arrays)
    return path / "motion.npz"


def test_poses_are_drawn_as_their_weights_say(tmp_path):
    pool = read_pool(written(tmp_path, pose=POSES, clip=CLIPS, weight=np.array([2.0, 0, 1, 1])))
    torch.testing.assert_close(pool.chances, torch.tensor([0.5, 0, 0.25, 0.25]))
    rotations, _ = pool.sample(400, torch.Generator().manual_seed(0))
    angle = torch.linalg.vector_norm(torch.from_numpy(POSES[1, :3]))
    drawn = torch.acos((rotations[:, 0].diagonal(dim1=1, dim2=2).sum(1) - 1) / 2)
    assert ((drawn - angle).abs() > 1e-3).all()  # the pose of weight 0 never comes


def test_half_of_the_bodies_are_mirrored_and_shapes_are_standard_normal():
    left, right = SMPL_24.index["left_knee"], SMPL_24.index["right_knee"]
    pose, in_mirror = torch.zeros(2, 24, 3)
    pose[left] = torch.tensor([1.0, 0.3, -0.2])
    in_mirror[right] = torch.tensor([1.0, -0.3, 0.2])
    rotations, shapes = BodyPool(pose.reshape(1, 72), torch.ones(1)).sample(
        4000, torch.Generator().manual_seed(0)
    )
    is_mirrored = (rotations[:, left] == torch.eye(3)).flatten(1).all(1)
    expected = axis_angle_to_matrix(torch.where(is_mirrored[:, None, None], in_mirror, pose))
    torch.testing.assert_close(rotations, expected)
    assert float(is_mirrored.float().mean()) == pytest.approx(0.5, abs=0.03)
    assert float(shapes.mean()) == pytest.approx(0, abs=0.02)
    assert float(shapes.std()) == pytest.approx(1, abs=0.02)


def test_without_weights_a_clip_counts_by_the_root_of_its_length(tmp_path):
    chances = read_pool(written(tmp_path, pose=POSES, clip=CLIPS)).chances
    assert float(chances[:3].sum() / chances[3]) == pytest.approx(3**0.5)


def with_row(array: np.ndarray, row: int, value: float) -> np.ndarray:
    changed = array.astype(np.float32)
    changed[row] = value
    return changed


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({"pose": with_row(POSES, 2, np.nan), "clip": CLIPS}, "pose 2"),
        ({"pose": POSES, "weight": with_row(np.ones(4), 1, np.inf)}, "weight 1"),
        ({"pose": POSES, "weight": with_row(np.ones(4), 3, -1.0)}, "weight 3"),
        ({"pose": POSES, "clip": np.array([0, -1, 0, 0])}, "clip 1"),
        ({"pose": POSES, "weight": np.zeros(4)}, "every weight is 0"),
        ({"pose": POSES, "clip": CLIPS[:3]}, "needs pose"),
        ({"pose": POSES[:, :69], "clip": CLIPS}, "needs pose"),
        ({"pose": POSES[:0], "clip": CLIPS[:0]}, "needs pose"),
        ({"pose": POSES}, "needs pose"),
        ({"trans": POSES}, "needs pose"),
        ({"pose": np.array([{}, {}]), "clip": CLIPS}, "plain arrays"),
    ],
)
def test_a_damaged_file_is_named_with_its_row(tmp_path, arrays, found):
    with pytest.raises(BadInputError, match=rf"motion\.npz: .*{found}"):
        read_pool(written(tmp_path, **arrays))


def test_a_file_that_is_missing_or_no_npz_is_named(tmp_path):
    with pytest.raises(MissingAssetError, match="humanmesh data motion"):
        read_pool(tmp_path / "nowhere.npz")
    (tmp_path / "text.npz").write_text("poses")
    with pytest.raises(BadInputError, match="no whole NPZ file"):
        read_pool(tmp_path / "text.npz")
