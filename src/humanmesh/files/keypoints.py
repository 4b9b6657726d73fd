"""Keypoints that other tools found in photos: OpenPose, COCO, MMPose, Ultralytics, AlphaPose, and the project's own JSON.

Each person's keypoints come out as one of our named sets, with a confidence per keypoint, 0 where it is not known.
What a layout has and no set of ours (feet, fingers, OpenPose's neck, which is the middle of the shoulders) is left out.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from humanmesh.body.skeletons import COCO_17, H36M_17, SKELETONS, Skeleton
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError
from humanmesh.files.folders import by_numbers

_FACE_AND_ARMS = (
    "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
)  # fmt: skip
_OPENPOSE_25 = (
    "nose", "between_shoulders", *_FACE_AND_ARMS, "between_hips",
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel", "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip
_OPENPOSE_18 = (
    "nose", "between_shoulders", *_FACE_AND_ARMS,
    "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip
_BEGIN_LIKE_COCO = {17: "COCO", 23: "COCO with feet", 26: "Halpe", 133: "COCO-WholeBody", 136: "Halpe"}
_LAYOUTS = {
    "openpose": {25: _OPENPOSE_25, 18: _OPENPOSE_18, 17: COCO_17.joints},
    "coco": dict.fromkeys(_BEGIN_LIKE_COCO, COCO_17.joints),
}
"""Names of the first keypoints, by family and number of keypoints."""
_MMPOSE_H36M = (
    "root", "left_hip", "left_knee", "left_foot", "right_hip", "right_knee", "right_foot", "spine", "thorax",
    "neck_base", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
)  # fmt: skip
"""MMPose's names of H36M_17's joints, in this order (its configs/_base_/datasets/h36m.py): those of the legs, and only
those, have left and right exchanged, as its demos show, which fill the second row with COCO's right hip."""
_FEWEST_COMMON = 6
_LARGEST_SHARE = 1.5
"""No person in pixels is so small; positions given as shares of the photo's sides are, even a little outside it."""
_MIDDLE_OF_HIPS = 0.25
"""Share of the hips' distance; so near to their middle lies Human3.6M's pelvis, and COCO's nose not to that of eye and ear."""
_SUFFIX_OF_OPENPOSE = "_keypoints"


@dataclass(frozen=True)
class FilmFrame:
    """A frame of a film whose people stand in one file."""

    row: int
    """Place among the frames of the file, from 0."""
    count: int
    """Frames in the file, those without people, too."""


@dataclass(frozen=True, eq=False)
class KeypointRecord:
    """The keypoints of one person in one photo."""

    keypoint_set: str
    """Name of the set (`body.skeletons`)."""
    positions: Float[np.ndarray, "keypoints axes"]
    """Photo pixels (two axes), or metres (three)."""
    confidences: Float[np.ndarray, "keypoints"]
    """In [0, 1]; 0 where a keypoint is not known."""
    source: str
    """File and number of the person, for messages."""
    image: str = ""
    """Name of the photo, folders before it with slashes; empty where the file does not tell."""
    frame: FilmFrame | None = None
    """Where the file is that of a film."""


@dataclass(frozen=True)
class BrokenRecord:
    """A person whose keypoints cannot be used."""

    error: HumanMeshError
    image: str = ""
    """Name of the photo; empty where the file does not tell."""
    frame: FilmFrame | None = None
    """Where the file is that of a film."""


def keypoint_files(path: Path) -> list[Path]:
    """The file, or the JSON files of a folder in the order of the numbers in their names.

    Raises:
        MissingAssetError: where there is none.
    """
    if path.is_dir():
        found = sorted(path.glob("*.json"), key=lambda file: by_numbers(file.name))
    else:
        found = [path] if path.is_file() else []
    if not found:
        raise MissingAssetError("keypoint file", path, "Give a JSON file, or a folder of them.")
    return found


def photo_stem(file: Path) -> str:
    """Name without suffix of the photo that a file of one photo belongs to: OpenPose adds "_keypoints" to it."""
    return file.stem.removesuffix(_SUFFIX_OF_OPENPOSE)


def read_keypoints(path: Path, axes: int = 2) -> list[KeypointRecord | BrokenRecord]:
    """The people of a keypoint file, in its order; a person who cannot be used does not stop the others.

    Args:
        path: JSON of OpenPose, COCO (annotations or results), MMPose, Ultralytics, AlphaPose, or of `humanmesh predict`.
        axes: 2 for photo pixels, 3 for metres in space.

    Raises:
        BadInputError: where the file is no JSON or of an unknown form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))  # with or without a byte-order mark
    except (ValueError, OSError) as error:
        raise BadInputError(
            f"Keypoint file {path}", f"it is no JSON ({error})", "Give another file."
        ) from error
    try:
        entries = list(_entries(content, path))
    except (TypeError, AttributeError, ValueError) as error:  # a list where an object should be, and the like
        raise BadInputError(
            f"Keypoint file {path}", f"a damaged form ({error})", "Check the file."
        ) from error
    records: list[KeypointRecord | BrokenRecord] = []
    for number, (entry, place) in enumerate(entries, 1):
        source = f"{path}, person {number}"
        try:
            records.append(_record(entry, place, axes, source))
        except BadInputError as error:
            records.append(BrokenRecord(error, place.image, place.frame))
    return records


@dataclass(frozen=True)
class _Place:
    """Where an entry stands in its file."""

    family: str
    """Row of `_LAYOUTS`."""
    names: tuple[str, ...] = ()
    """Names of the keypoints, where the file tells them."""
    image: str = ""
    frame: FilmFrame | None = None


_Reader: TypeAlias = Callable[[Any], Iterator[tuple[dict[str, Any], _Place]]]
"""From the content of a file to its people."""


def _entries(content: Any, path: Path) -> Iterator[tuple[dict[str, Any], _Place]]:
    reader = _reader_of(content)
    if reader is None:
        remedy = "Give the JSON of OpenPose, COCO, MMPose, Ultralytics, AlphaPose or humanmesh predict."
        raise BadInputError(f"Keypoint file {path}", "a form that nobody here knows", remedy)
    for entry, place in reader(content):
        if not isinstance(entry, dict):
            raise BadInputError(f"Keypoint file {path}", "a person that is no JSON object", "Check the file.")
        yield entry, replace(place, image=place.image.replace("\\", "/"))


def _reader_of(content: Any) -> _Reader | None:
    readers: dict[str, _Reader] = {
        "people": _openpose_entries, "bodies": _openpose_entries, "annotations": _coco_entries,
        "instance_info": _mmpose_entries, "keypoints_2d": _own_entries, "keypoints_3d": _own_entries,
    }  # fmt: skip
    if isinstance(content, dict):
        photos = list(content.values())
        is_by_photo = bool(photos) and all(isinstance(photo, dict) and _is_frame(photo) for photo in photos)
        by_photo = _by_photo_entries if is_by_photo else None
        return next((readers[key] for key in readers if key in content), by_photo)
    return _list_entries if isinstance(content, list) else None


def _openpose_entries(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Place]]:
    for entry in content["people" if "people" in content else "bodies"]:
        yield entry, _Place("openpose")


def _by_photo_entries(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Place]]:
    """AlphaPose's `--format open` and `cmu`: the people of each photo under its name."""
    for image, photo in content.items():
        for entry, place in _people_of(photo, ()):
            yield entry, replace(place, image=image)


def _coco_entries(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Place]]:
    images = {image.get("id"): str(image.get("file_name", "")) for image in content.get("images", [])}
    names = {
        category.get("id"): tuple(category.get("keypoints") or ())
        for category in content.get("categories", [])
    }
    for entry in content["annotations"]:
        category = names.get(entry.get("category_id"), ())
        yield entry, _Place("coco", category, images.get(entry.get("image_id"), ""))


def _mmpose_entries(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Place]]:
    numbered = (content.get("meta_info") or {}).get("keypoint_id2name") or {}
    names = tuple(numbered[key] for key in sorted(numbered, key=int))
    yield from _list_entries(content["instance_info"], names)


def _own_entries(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Place]]:
    yield content, _Place("own")


def _list_entries(content: list[Any], names: tuple[str, ...] = ()) -> Iterator[tuple[dict[str, Any], _Place]]:
    """The people of a photo (COCO's results, MMPose, Ultralytics), or frames of them (MMPose, OpenPose in ComfyUI)."""
    is_film = len(content) > 1 and all(map(_is_frame, content))
    for row, entry in enumerate(content):
        for person, place in _people_of(entry, names):
            yield person, replace(place, frame=FilmFrame(row, len(content))) if is_film else place


def _is_frame(entry: Any) -> bool:
    return isinstance(entry, list) or (
        isinstance(entry, dict) and not entry.keys().isdisjoint({"instances", "people", "bodies"})
    )


def _people_of(entry: Any, names: tuple[str, ...]) -> Iterator[tuple[dict[str, Any], _Place]]:
    if isinstance(entry, list):
        yield from _list_entries(entry, names)
    elif isinstance(entry, dict) and "instances" in entry:
        yield from _list_entries(entry["instances"], names)
    elif _is_frame(entry):
        yield from _openpose_entries(entry)
    else:
        image = entry.get("image_id", "") if isinstance(entry, dict) else ""
        yield entry, _Place("coco", names, str(image))


def _record(entry: dict[str, Any], place: _Place, axes: int, source: str) -> KeypointRecord:
    record = (
        _own_record(entry, axes, source) if place.family == "own" else _others(entry, place, axes, source)
    )
    known = record.positions[record.confidences > 0]
    if axes == 2 and len(known) and (abs(known) <= _LARGEST_SHARE).all():
        remedy = "Give pixels: multiply x by the photo's width and y by its height."
        raise BadInputError(f"Keypoints of {source}", f"no position above {_LARGEST_SHARE}", remedy)
    return record


def _others(entry: dict[str, Any], place: _Place, axes: int, source: str) -> KeypointRecord:
    """A record of another tool."""
    table = _table(entry, axes, source)
    if axes == 3 and not place.names and _is_like_h36m(table):
        remedy = (
            'Name them as MMPose\'s demo does with --save-predictions, or give {"keypoints_3d": {"h36m17": [[x, y, z], ...]}}'
            " with y up or down."
        )
        raise BadInputError(f"Keypoints of {source}", "17 points of Human3.6M without names", remedy)
    if place.names == _MMPOSE_H36M:
        place = replace(place, names=H36M_17.joints)
        table = table if axes == 2 else _turned_back(table)
    names = place.names or _LAYOUTS[place.family].get(len(table), ())
    if not names:
        known = ", ".join(str(number) for number in _LAYOUTS[place.family])
        remedy = f"Known numbers are {known}; or let the file name its keypoints."
        raise BadInputError(f"Keypoints of {source}", f"a layout of {len(table)} keypoints", remedy)
    if place.names and len(place.names) != len(table):
        found = f"{len(table)} keypoints for {len(place.names)} names"
        raise BadInputError(f"Keypoints of {source}", found, "Check the file.")
    return _named(table, names, source, place)


def _is_like_h36m(table: Float[np.ndarray, "keypoints columns"]) -> bool:
    """Whether 17 points in space begin with a pelvis between two hips, as MMPose's unnamed predictions do."""
    if len(table) != len(H36M_17):
        return False
    pelvis, right, left = (table[H36M_17.index[joint], :3] for joint in ("pelvis", "right_hip", "left_hip"))
    off_middle = np.linalg.norm(pelvis - (right + left) / 2)
    return bool(off_middle < _MIDDLE_OF_HIPS * np.linalg.norm(right - left))


def _turned_back(table: Float[np.ndarray, "keypoints 4"]) -> Float[np.ndarray, "keypoints 4"]:
    """Points in a camera's frame (y down), from MMPose's, which writes (-x, z, -y): z up, and mirrored."""
    return table[:, [0, 2, 1, 3]] * np.array([-1.0, -1.0, 1.0, 1.0])


def _table(entry: dict[str, Any], axes: int, source: str) -> Float[np.ndarray, "keypoints columns"]:
    """Positions with a last column for the confidence."""
    name = f"Keypoints of {source}"
    keys = (
        ("pose_keypoints_2d", "pose_keypoints", "keypoints", "joints")
        if axes == 2
        else ("pose_keypoints_3d", "keypoints")
    )
    key = next((key for key in keys if entry.get(key)), None)
    if key is None:
        raise BadInputError(name, f"none of {', '.join(keys)}", "Check the file.")
    try:
        is_columns = axes == 2 and isinstance(entry[key], dict)
        values = np.asarray(_rows_of_columns(entry[key]) if is_columns else entry[key], np.float64)
        scores = np.asarray(entry.get("keypoint_scores") or [], np.float64)
    except (TypeError, ValueError) as error:
        raise BadInputError(name, "something else than numbers", "Check the file.") from error
    if values.ndim == 1 and len(values) % (axes + 1) == 0:
        values = values.reshape(-1, axes + 1)
    if values.ndim != 2 or values.shape[1] not in {axes, axes + 1}:
        found = f"numbers of the shape {values.shape}"
        raise BadInputError(name, found, f"Wanted are {axes} coordinates and a confidence for each keypoint.")
    if scores.shape not in {(0,), (len(values),)}:
        found = f"scores of the shape {scores.shape} for {len(values)} keypoints"
        raise BadInputError(name, found, "Check the file.")
    last = values[:, axes] if values.shape[1] > axes else np.ones(len(values))
    trust = np.where(last > 0, scores, 0.0) if len(scores) else last
    return np.concatenate([values[:, :axes], trust.clip(0, 1)[:, None]], 1)


def _rows_of_columns(keypoints: dict[str, Any]) -> Float[np.ndarray, "keypoints 3"]:
    """Ultralytics' {"x": [...], "y": [...], "visible": [...]}; it puts what it hardly sees at (0, 0), with its confidence."""
    x, y = (np.asarray(keypoints.get(axis), np.float64) for axis in "xy")
    visible = np.asarray(keypoints.get("visible", np.ones(x.shape)), np.float64)
    return np.stack([x, y, np.where((x == 0) & (y == 0), 0.0, visible)], 1)


def _named(
    table: Float[np.ndarray, "keypoints columns"], names: Sequence[str], source: str, place: _Place
) -> KeypointRecord:
    """The rows under names that the best of our sets has."""
    skeleton = _best_set(names)
    common = [joint for joint in skeleton.joints if joint in names]
    if len(common) < _FEWEST_COMMON:
        remedy = f"Known names are those of {COCO_17.name}: {', '.join(COCO_17.joints)}."
        raise BadInputError(f"Keypoints of {source}", f"only {len(common)} names that are known", remedy)
    places = {name: row for row, name in enumerate(names)}
    values = np.zeros((len(skeleton), table.shape[1]), np.float32)
    values[[skeleton.index[joint] for joint in common]] = table[[places[joint] for joint in common]]
    return KeypointRecord(skeleton.name, values[:, :-1], values[:, -1], source, place.image, place.frame)


def _best_set(names: Sequence[str]) -> Skeleton:
    def agreement(skeleton: Skeleton) -> tuple[int, int]:
        return len(set(skeleton.joints) & set(names)), -len(skeleton)

    return max(SKELETONS.values(), key=agreement)


def _own_record(entry: dict[str, Any], axes: int, source: str) -> KeypointRecord:
    """The largest set in the JSON of `humanmesh predict`: {"keypoints_2d": {"coco17": {"nose": [x, y], ...}}}.

    A joint that is left out is not known; a list of all joints in their order will do, too.
    """
    sets = entry.get(f"keypoints_{axes}d")
    found = [name for name in SKELETONS if isinstance(sets, dict) and name in sets]
    if not isinstance(sets, dict) or not found:
        remedy = f"Name one of {', '.join(SKELETONS)}."
        raise BadInputError(f"Keypoints of {source}", f"no known set under keypoints_{axes}d", remedy)
    skeleton = max((SKELETONS[name] for name in found), key=len)
    given = sets[skeleton.name]
    if not isinstance(given, dict | list):
        found_in = f"a {type(given).__name__} under {skeleton.name}"
        raise BadInputError(f"Keypoints of {source}", found_in, "Give an object or a list of joints.")
    by_joint = given if isinstance(given, dict) else dict(zip(skeleton.joints, given, strict=False))
    known = [joint for joint in skeleton.joints if joint in by_joint]
    try:
        values = np.asarray([by_joint[joint] for joint in known], np.float32).reshape(len(known), axes)
    except (TypeError, ValueError) as error:
        found_in = f"something else than {axes} numbers for each joint of {skeleton.name}"
        raise BadInputError(f"Keypoints of {source}", found_in, "Check the file.") from error
    rows = [skeleton.index[joint] for joint in known]
    positions = np.zeros((len(skeleton), axes), np.float32)
    confidences = np.zeros(len(skeleton), np.float32)
    positions[rows], confidences[rows] = values, 1.0
    return KeypointRecord(skeleton.name, positions, confidences, source)
