"""MPI-INF-3DHP (Mehta et al. 2017): the official .mat files of training and test, and mmpose's .npz of both."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from humanmesh.body.skeletons import MPI_INF_3DHP_17
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules, need_file
from humanmesh.data.readers.tables import (
    folder_holding,
    metres,
    read_arrays,
    read_mat,
    square_box,
    text,
)
from humanmesh.errors import BadInputError
from humanmesh.files.pickles import read_pickle

_JOINTS = len(MPI_INF_3DHP_17)
_ALL_28 = (
    "spine3", "spine4", "spine2", "spine", "pelvis", "neck", "head", "head_top",
    "left_clavicle", "left_shoulder", "left_elbow", "left_wrist", "left_hand",
    "right_clavicle", "right_shoulder", "right_elbow", "right_wrist", "right_hand",
    "left_hip", "left_knee", "left_ankle", "left_foot", "left_toe",
    "right_hip", "right_knee", "right_ankle", "right_foot", "right_toe",
)  # fmt: skip
"""Order of the training annotations; the test set has the 17 alone."""
_ROWS_17 = [_ALL_28.index(joint) for joint in MPI_INF_3DHP_17.joints]

HMR_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
"""The cameras at chest height and above that HMR and SPIN train on."""
_TEST_ACTIONS = ("", "stand", "exercise", "sit", "reach_crouch", "on_floor", "sports", "misc")
"""Names of `activity_annotation` 1 to 7."""

_REMEDY = "Give the folder of MPI-INF-3DHP, with the photos extracted from its videos."

Labels3D = Literal["annot3", "univ_annot3"]
"""`annot3` is metric; `univ_annot3` is scaled to one height, and what the published protocol measures against."""


@dataclass(frozen=True)
class _Intrinsics:
    focal_length: float | None = None
    principal_point: tuple[float, float] | None = None


def read_mpi_inf_3dhp_train(
    folder: Path,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
    *,
    cameras: tuple[int, ...] = HMR_CAMERAS,
    labels_3d: Labels3D = "annot3",
    minimum_motion: float = 0.0,
) -> list[Annotation]:
    """Frames of S*/Seq*/annot.mat, photos in imageFrames/video_K/frame_NNNNNN.jpg (from 000001, or 000000 if there).

    Args:
        folder: the folder that holds S1, S2, ..., or one Seq folder.
        cameras: numbers of the videos to read.
        labels_3d: which 3D annotation to read.
        minimum_motion: leave out a frame in which no joint moved this far since the last kept one (metres; HMR: 0.2).
    """
    folder = Path(folder)
    files = sorted(folder.glob("S*/Seq*/annot.mat")) or sorted(folder.glob("annot.mat"))
    _need_any(files, folder, "S*/Seq*/annot.mat")
    checks = Checks("mpi_inf_3dhp", rules, report)
    people = []
    for file in files:
        content = read_mat(file, _REMEDY)
        for camera in cameras:
            frames = _train_frames(content, (file, camera), labels_3d, minimum_motion, checks)
            people += [checks.person(frame, file) for frame in frames]
    checks.finish()
    return [person for person in people if person is not None]


def read_mpi_inf_3dhp_test(
    folder: Path,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
    *,
    labels_3d: Labels3D = "univ_annot3",
) -> list[Annotation]:
    """Valid frames of TS*/annot_data.mat, photos in imageSequence/img_NNNNNN.jpg. Tags: sequence, frame, action.

    The official files are MATLAB 7.3 (HDF5), which needs the package h5py.
    """
    folder = Path(folder)
    files = sorted(folder.rglob("annot_data.mat"))
    _need_any(files, folder, "TS*/annot_data.mat")
    checks = Checks("mpi_inf_3dhp", rules, report)
    people = [checks.person(frame, file) for file in files for frame in _test_frames(file, labels_3d, checks)]
    checks.finish()
    return [person for person in people if person is not None]


def read_mpi_inf_3dhp_npz(
    annotation_file: Path,
    image_folder: Path | None = None,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
    *,
    camera_file: Path | None = None,
) -> list[Annotation]:
    """Frames of mmpose's tables: imgname, center, scale, part (17 x 3), S (17 x 4, camera frame, metres).

    Args:
        image_folder: where the photos are; if None, searched beside the file.
        camera_file: `cameras_train.pkl` or `cameras_test.pkl`; if None, the one beside the file that names the frames.
    """
    file = Path(annotation_file)
    arrays = read_arrays(
        file, {"imgname": (), "center": (2,), "scale": (), "part": (_JOINTS, 3), "S": (_JOINTS, 4)}
    )
    names = [text(name) for name in arrays["imgname"]]
    near = folder_holding(names[0], [file.parent, file.parent / "images", file.parent.parent / "images"])
    folder = near if image_folder is None else Path(image_folder)
    cameras = _read_cameras(file, camera_file)
    checks = Checks("mpi_inf_3dhp", rules, report)
    people = []
    for row, name in enumerate(names):
        view = Path(name).stem.rpartition("_")[0]
        annotation = _annotation(
            folder / name,
            (arrays["part"][row, :, :2], arrays["part"][row, :, 2]),
            (metres(arrays["S"][row, :, :3]), arrays["S"][row, :, 3]),
            cameras.get(view, _Intrinsics()),
            _npz_tags(Path(name).stem) | {"record": Path(name).stem},
            square_box(arrays["center"][row], float(arrays["scale"][row])),
        )
        people.append(checks.person(annotation, file))
    checks.finish()
    return [person for person in people if person is not None]


def _need_any(files: list[Path], folder: Path, pattern: str) -> None:
    if not files:
        raise BadInputError(f"{folder} should hold {pattern}", "no such file", _REMEDY)


def _train_frames(
    content: dict[str, Any],
    place: tuple[Path, int],
    labels_3d: Labels3D,
    minimum_motion: float,
    checks: Checks,
) -> Iterator[Annotation]:
    file, camera = place
    tags = {"subject": file.parent.parent.name, "sequence": file.parent.name, "camera": str(camera)}
    view = "/".join(tags.values())
    folder = file.parent / "imageFrames" / f"video_{camera}"
    if not folder.is_dir():
        checks.fault("annotation without its photo", file, view, f"no folder {folder}")
        return
    first = 0 if (folder / "frame_000000.jpg").is_file() else 1
    points_2d = content["annot2"][camera, 0].reshape(-1, 28, 2)[:, _ROWS_17]
    points_3d = content[labels_3d][camera, 0].reshape(-1, 28, 3)[:, _ROWS_17] / 1000
    lens = _calibration(file.parent / "camera.calibration").get(camera, _Intrinsics())
    known = np.ones(_JOINTS, np.float32)
    for row in _moving_rows(points_3d, minimum_motion):
        frame = row + first
        labels = {"frame": str(frame), "record": f"{view}/{frame}"}
        image = folder / f"frame_{frame:06d}.jpg"
        yield _annotation(image, (points_2d[row], known), (points_3d[row], known), lens, tags | labels)


def _moving_rows(points: np.ndarray, minimum_motion: float) -> Iterator[int]:
    last: np.ndarray | None = None
    for row, joints in enumerate(points):
        if last is None or np.linalg.norm(joints - last, axis=-1).max() >= minimum_motion:
            last = joints
            yield row


def _calibration(file: Path) -> dict[int, _Intrinsics]:
    """Focal length and principal point of each camera of a Skeletool calibration file; empty without the file."""
    lenses: dict[int, _Intrinsics] = {}
    camera = -1
    for line in file.read_text(encoding="utf-8").splitlines() if file.is_file() else ():
        key, _, values = line.strip().partition(" ")
        if key == "name":
            camera = int(values)
        elif key == "intrinsic":
            matrix = np.array(values.split(), np.float64).reshape(4, 4)
            center = (float(matrix[0, 2]), float(matrix[1, 2]))
            lenses[camera] = _Intrinsics(float((matrix[0, 0] + matrix[1, 1]) / 2), center)
    return lenses


def _test_frames(file: Path, labels_3d: Labels3D, checks: Checks) -> Iterator[Annotation]:
    content = read_mat(file, _REMEDY)
    sequence = file.parent.name
    points_2d = _frames_first(content["annot2"], 2)
    points_3d = _frames_first(content[labels_3d], 3) / 1000
    actions = content.get("activity_annotation", np.zeros(len(points_2d))).ravel().astype(int)
    known = np.ones(_JOINTS, np.float32)
    for row, valid in enumerate(content["valid_frame"].ravel()):
        record = f"{sequence}/{row + 1}"
        if not valid:
            checks.fault("marked invalid", file, record, "valid_frame = 0")
            continue
        tags = {
            "sequence": sequence,
            "frame": str(row + 1),
            "action": _TEST_ACTIONS[actions[row]],
            "record": record,
        }
        image = file.parent / "imageSequence" / f"img_{row + 1:06d}.jpg"
        yield _annotation(image, (points_2d[row], known), (points_3d[row], known), _Intrinsics(), tags)


def _frames_first(array: np.ndarray, coordinates: int) -> np.ndarray:
    """(frames, 17, coordinates) from MATLAB's (coordinates, 17, 1, frames)."""
    return array.reshape(coordinates, _JOINTS, -1).transpose(2, 1, 0).astype(np.float64)


def _read_cameras(file: Path, camera_file: Path | None) -> dict[str, _Intrinsics]:
    files = [camera_file] if camera_file is not None else sorted(file.parent.glob("cameras_*.pkl"))
    cameras: dict[str, _Intrinsics] = {}
    for path in files:
        for view, values in read_pickle(need_file("camera file", Path(path), _REMEDY)).items():
            center = np.ravel(values["c"])
            cameras[view] = _Intrinsics(float(np.mean(values["f"])), (float(center[0]), float(center[1])))
    return cameras


def _npz_tags(stem: str) -> dict[str, str]:
    """From S4_Seq2_Cam0_001033 or TS1_002001."""
    parts = stem.split("_")
    if not parts[-1].isdigit():
        return {}
    if parts[0].startswith("TS"):
        return {"sequence": parts[0], "frame": str(int(parts[-1]))}
    names = dict(zip(("subject", "sequence", "camera"), parts[:-1], strict=False))
    names["camera"] = names.get("camera", "").removeprefix("Cam")
    return names | {"frame": str(int(parts[-1]))}


def _annotation(
    image: Path,
    labels_2d: tuple[np.ndarray, np.ndarray],
    labels_3d: tuple[np.ndarray, np.ndarray],
    lens: _Intrinsics,
    tags: dict[str, str],
    box: np.ndarray | None = None,
) -> Annotation:
    return Annotation(
        image,
        MPI_INF_3DHP_17,
        *labels_2d,
        box,
        *labels_3d,
        focal_length=lens.focal_length,
        principal_point=lens.principal_point,
        source="mpi_inf_3dhp",
        record=tags["record"],
        tags={name: value for name, value in tags.items() if name != "record"},
    )
