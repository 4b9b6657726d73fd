"""Human3.6M (Ionescu et al. 2014) in the layouts that mmpose and SPIN prepare: .npz tables or a COCO-like .json.

2D keypoints are those of the data set, lens distortion and all; up to 2.5 pixels from the pinhole projection.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humanmesh.body.skeletons import H36M_17
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules, need_file
from humanmesh.data.readers.tables import (
    folder_holding,
    metres,
    read_arrays,
    read_json,
    square_box,
    text,
)
from humanmesh.errors import BadInputError
from humanmesh.files.pickles import read_pickle

_JOINTS = len(H36M_17)
_REMEDY = "Give an .npz with imgname, part and S, or the COCO-like .json with keypoints and keypoints_3d."

_FILE_NAME = re.compile(
    r"(?P<sequence>(?P<subject>S\d+)_(?P<action>[A-Za-z]+)(?:[_ ](?P<take>\d))?)\.(?P<camera>\d{8})_(?P<frame>\d+)"
)
_ACTION_NAMES = {"TakingPhoto": "Photo", "WalkingDog": "WalkDog", "WalkingTogether": "WalkTogether"}

# The data set's metadata names the two trials of an action unevenly: mostly "X 1" and then "X", with exceptions.
_NUMBERED_SECOND_TRIALS = {
    "S1": {"Sitting 2"},
    "S2": {"Eating 2", "SittingDown 3"},
    "S3": {"Eating 2", "Posing 2", "Walking 2"},
    "S4": {"SittingDown 2", "WalkTogether 3"},
    "S5": {"Directions 2", "Discussion 3", "Greeting 2", "SittingDown 1", "Photo 2", "Waiting 2"},
    "S6": {"Eating 2", "Sitting 2", "Photo 1"},
    "S7": {"SittingDown 1", "Photo 1", "Waiting 2", "Walking 2"},
    "S8": {"SittingDown 1", "WalkTogether 2"},
    "S9": {"Discussion 2", "SittingDown 1"},
    "S10": {"Discussion 2", "SittingDown 1"},
    "S11": {"Discussion 2", "Phoning 2", "SittingDown 1"},
}
_PLAIN_FIRST_TRIALS = {
    "S5": {"SittingDown", "Photo"},
    "S6": {"Photo"},
    "S7": {"SittingDown", "Photo"},
    "S8": {"SittingDown"},
    "S9": {"SittingDown"},
    "S10": {"SittingDown"},
    "S11": {"SittingDown"},
}


@dataclass(frozen=True)
class StudioCamera:
    """One of the four cameras, as one subject saw it."""

    rotation_camera_from_world: np.ndarray
    """(3, 3)."""
    position_world: np.ndarray
    """(3,) metres."""
    focal_length: float
    """Pixels, the mean of x and y (they differ by less than 0.3 %)."""
    principal_point: tuple[float, float]
    """Pixels."""

    def camera_from_world(self, points: np.ndarray) -> np.ndarray:
        """Points in the camera frame (x right, y down, z forward), metres."""
        return (points - self.position_world) @ self.rotation_camera_from_world.T


def read_h36m(
    annotation_file: Path,
    image_folder: Path | None = None,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
    *,
    camera_file: Path | None = None,
) -> list[Annotation]:
    """Frames of Human3.6M, with 3D joints in the camera frame (metres).

    Tags: subject, action, trial ("0" or "1", in the order of the data set's metadata), camera, frame, sequence.

    Args:
        annotation_file: .npz (S in the camera frame) or .json (keypoints_3d in the world frame; needs cameras).
        image_folder: where the photos are; if None, searched beside the file.
        camera_file: `cameras.pkl` of mmpose's preparation; if None, searched beside the file.
    """
    annotation_file = need_file("Human3.6M annotation file", Path(annotation_file), _REMEDY)
    cameras = _read_cameras(annotation_file, camera_file)
    checks = Checks("h36m", rules, report)
    entries = _json_frames if annotation_file.suffix == ".json" else _npz_frames
    people = [
        checks.person(frame, annotation_file)
        for frame in entries(annotation_file, image_folder, cameras, checks)
    ]
    checks.finish()
    return [person for person in people if person is not None]


def read_h36m_cameras(path: Path) -> dict[tuple[str, str], StudioCamera]:
    """Cameras of mmpose's `cameras.pkl`, by (subject, camera). Its R turns camera into world, its T is the position."""
    cameras = {}
    for key, values in read_pickle(
        need_file("camera file", path, "Give cameras.pkl of mmpose's preparation.")
    ).items():
        cameras[key] = StudioCamera(
            rotation_camera_from_world=np.asarray(values["R"], np.float64).T,
            position_world=metres(np.asarray(values["T"], np.float64).ravel()),
            focal_length=float(np.mean(values["f"])),
            principal_point=(float(np.ravel(values["c"])[0]), float(np.ravel(values["c"])[1])),
        )
    return cameras


def frame_tags(name: str) -> dict[str, str]:
    """Subject, action, trial, camera, frame and sequence from a file name; empty where it is not of the usual form."""
    match = _FILE_NAME.search(name)
    if match is None:
        return {}
    subject, camera, frame = match["subject"], match["camera"], match["frame"]
    action = _ACTION_NAMES.get(match["action"], match["action"])
    trial = _trial(subject, action, match["take"])
    found = {"subject": subject, "action": action, "trial": trial, "camera": camera, "frame": frame}
    return found | {"sequence": match["sequence"]}


def _trial(subject: str, action: str, take: str | None) -> str:
    if take is None:
        return "0" if action in _PLAIN_FIRST_TRIALS.get(subject, ()) else "1"
    return "1" if f"{action} {take}" in _NUMBERED_SECOND_TRIALS.get(subject, ()) else "0"


def _read_cameras(annotation_file: Path, camera_file: Path | None) -> dict[tuple[str, str], StudioCamera]:
    if camera_file is not None:
        return read_h36m_cameras(Path(camera_file))
    near = folder_holding("cameras.pkl", [annotation_file.parent, annotation_file.parent.parent])
    return read_h36m_cameras(near / "cameras.pkl") if (near / "cameras.pkl").is_file() else {}


def _image_folder(annotation_file: Path, image_folder: Path | None, first: str) -> Path:
    if image_folder is not None:
        return Path(image_folder)
    above = annotation_file.parent
    return folder_holding(
        first, [above, above / "images", above.parent / "images", above.parent.parent / "images"]
    )


def _npz_frames(
    file: Path, image_folder: Path | None, cameras: dict[tuple[str, str], StudioCamera], checks: Checks
) -> Iterator[Annotation]:
    arrays = read_arrays(file, {"imgname": (), "part": (_JOINTS, 3)})
    names = [text(name) for name in arrays["imgname"]]
    folder = _image_folder(file, image_folder, names[0] if names else "")
    spatial = arrays.get("S")
    for row, name in enumerate(names):
        box = square_box(arrays["center"][row], arrays["scale"][row]) if "scale" in arrays else None
        labels_3d = (None, None) if spatial is None else _split_3d(metres(spatial[row, :, :3]), spatial[row])
        yield _frame(folder / name, arrays["part"][row], box, labels_3d, cameras, checks)


def _split_3d(points: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points, and weights from the fourth column where there is one."""
    return points, (table[:, 3] if table.shape[1] > 3 else np.ones(len(table))).astype(np.float32)


def _json_frames(
    file: Path, image_folder: Path | None, cameras: dict[tuple[str, str], StudioCamera], checks: Checks
) -> Iterator[Annotation]:
    content = read_json(file, _REMEDY)
    if not cameras:
        raise BadInputError(f"{file} holds joints in the world frame", "no cameras.pkl", "Give camera_file.")
    images = {image["id"]: image for image in content["images"]}
    for entry in content["annotations"]:
        image, record = images.get(entry["image_id"]), entry.get("id")
        if image is None:
            checks.fault("annotation without its photo", file, record, f"no image has id {entry['image_id']}")
        elif len(entry["keypoints"]) != 3 * _JOINTS or len(entry["keypoints_3d"]) != 4 * _JOINTS:
            checks.fault("wrong number of keypoints", file, record, f"{len(entry['keypoints'])} numbers")
        else:
            yield _json_frame(entry, image["file_name"], (file, image_folder), cameras, checks)


def _json_frame(
    entry: dict[str, Any],
    name: str,
    places: tuple[Path, Path | None],
    cameras: dict[tuple[str, str], StudioCamera],
    checks: Checks,
) -> Annotation:
    tags = frame_tags(name)
    nested = f"{tags.get('subject')}/{name.rsplit('_', 1)[0]}/{name}"
    folder = _image_folder(*places, nested)
    table = np.asarray(entry["keypoints_3d"], np.float64).reshape(-1, 4)
    camera = cameras.get((tags.get("subject", ""), tags.get("camera", "")))
    if camera is None:
        raise BadInputError(
            f"{places[0]}, {name}", "its camera is not in cameras.pkl", "Give the camera_file of it."
        )
    x, y, width, height = entry["bbox"]
    return _frame(
        folder / nested if (folder / nested).is_file() else folder / name,
        np.asarray(entry["keypoints"], np.float64).reshape(-1, 3),
        np.array([x, y, x + width, y + height], np.float32),
        _split_3d(camera.camera_from_world(metres(table[:, :3])), table),
        cameras,
        checks,
    )


def _frame(
    image: Path,
    table_2d: np.ndarray,
    box: np.ndarray | None,
    labels_3d: tuple[np.ndarray | None, np.ndarray | None],
    cameras: dict[tuple[str, str], StudioCamera],
    checks: Checks,
) -> Annotation:
    tags = frame_tags(image.name)
    camera = cameras.get((tags.get("subject", ""), tags.get("camera", "")))
    return Annotation(
        image,
        H36M_17,
        table_2d[:, :2],
        table_2d[:, 2],
        box,
        *labels_3d,
        focal_length=camera.focal_length if camera else None,
        principal_point=camera.principal_point if camera else None,
        source=checks.source,
        record=image.stem,
        tags=tags,
    )
