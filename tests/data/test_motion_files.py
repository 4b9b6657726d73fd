"""Motion capture from a folder: what is read, what is named, and the arrays of the file."""

import json

import numpy as np
import pytest
import torch

from humanmesh.data.motion import Motion
from humanmesh.data.motion_files import (
    MotionReport,
    MotionRules,
    pose_arrays,
    read_motion_file,
    read_motion_folder,
    write_motion,
)
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.geometry.rotations import axis_angle_to_matrix


def motion(name: str, angles: list[float]) -> Motion:
    """The left knee bent by so many radians, frame by frame."""
    pose = torch.zeros(len(angles), 24, 3)
    pose[:, 4, 0] = torch.tensor(angles)
    return Motion(name, axis_angle_to_matrix(pose), torch.zeros(len(angles), 3), 30.0, f"{name}.bvh")


def test_clips_stand_one_after_the_other():
    arrays = pose_arrays([motion("walk", [0.1, 0.2]), motion("kick", [1.5])])
    np.testing.assert_allclose(arrays["pose"][:, 12], [0.1, 0.2, 1.5], atol=1e-5)
    assert arrays["clip"].tolist() == [0, 0, 1]
    assert arrays["clip_names"].tolist() == ["walk", "kick"]
    assert arrays["frame_rate"].tolist() == [30, 30]
    assert {name: len(arrays[name]) for name in ("translation", "weight")} == {"translation": 3, "weight": 3}


def test_rare_poses_weigh_more():
    weights = pose_arrays([motion("stand", [0.0] * 99 + [1.5])])["weight"]
    assert weights[-1] == pytest.approx(99**0.5 * weights[0], rel=1e-4)


def test_frames_of_no_body_are_left_out_and_the_rest_keeps_its_clip():
    arrays = pose_arrays([motion("slip", [0.1, 3.1]), motion("walk", [0.2])])
    np.testing.assert_allclose(arrays["pose"][:, 12], [0.1, 0.2], atol=1e-5)
    assert arrays["clip"].tolist() == [0, 1]
    with pytest.raises(BadInputError, match="all 1 frames"):
        pose_arrays([motion("slip", [3.1])])


def test_a_file_is_written_whole_under_any_suffix(tmp_path):
    write_motion(tmp_path / "poses", {"pose": np.ones((2, 72))})
    assert [path.name for path in tmp_path.iterdir()] == ["poses"]
    with np.load(tmp_path / "poses") as arrays:
        assert arrays["pose"].shape == (2, 72)
    with pytest.raises(BadInputError, match="Cannot write"):
        write_motion(tmp_path / "nowhere" / "poses.npz", {})


def write_clip(path, frames: int = 2) -> None:
    np.savez(path, poses=np.zeros((frames, 156)), trans=np.zeros((frames, 3)), mocap_framerate=np.array(60.0))


def test_other_files_are_passed_over_and_damaged_ones_named(tmp_path):
    write_clip(tmp_path / "walk.npz")
    (tmp_path / "photo.jpg").touch()
    (tmp_path / "notes.txt").write_text("Recorded on Monday.")
    (tmp_path / "walk.bvh").touch()
    report = MotionReport()
    clips = read_motion_folder(tmp_path, MotionRules(), report)
    assert [len(clip.rotations) for clip in clips] == [2]
    assert report.files == 1
    assert ["notes.txt" in report.left_out[0], "walk.bvh" in report.left_out[1]] == [True, True]
    assert read_motion_file(tmp_path / "photo.jpg") == []


def test_a_single_file_is_read_too(tmp_path):
    write_clip(tmp_path / "walk.npz", 3)
    (clip,) = read_motion_folder(tmp_path / "walk.npz", MotionRules(), MotionReport())
    assert len(clip.rotations) == 3


def test_nothing_to_read_is_refused_by_name(tmp_path):
    with pytest.raises(MissingAssetError, match="nowhere"):
        read_motion_folder(tmp_path / "nowhere", MotionRules(), MotionReport())
    with pytest.raises(BadInputError, match=r"no \.amc"):
        read_motion_folder(tmp_path, MotionRules(), MotionReport())
    (tmp_path / "skeleton.json").write_text(json.dumps({}))
    (tmp_path / "walk.npz").write_text("")
    with pytest.raises(BadInputError, match="No motion in"):
        read_motion_folder(tmp_path, MotionRules(), MotionReport())


@pytest.mark.data
def test_genuine_motion_of_two_kinds_is_read_from_one_folder(tmp_path, shared_data):
    mocap = shared_data / "mocap"
    files = ("cmu_asfamc/02/02.asf", "cmu_asfamc/02/02_05.amc", "deepmimic/humanoid3d_cartwheel.txt")
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).symlink_to(mocap / file)
    report = MotionReport()
    arrays = pose_arrays(read_motion_folder(tmp_path, MotionRules(), report))
    assert report.files == 2
    assert not report.left_out
    assert len(arrays["clip_names"]) == 2
    assert np.isfinite(arrays["pose"]).all()
