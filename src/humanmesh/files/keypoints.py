"""Keypoints that other tools found in photos: OpenPose, COCO, MMPose, and the project's own JSON.

Each person's keypoints come out as one of our named sets, with a confidence per keypoint, 0 where it is not known.
What a layout has and no set of ours (feet, fingers, OpenPose's neck, which is the middle of the shoulders) is left out.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Float

from humanmesh.body.skeletons import COCO_17, SKELETONS, Skeleton
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
_FEWEST_COMMON = 6
_SUFFIX_OF_OPENPOSE = "_keypoints"


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
    """Name of the photo; empty where the file does not tell."""


@dataclass(frozen=True)
class BrokenRecord:
    """A person whose keypoints cannot be used."""

    error: HumanMeshError
    image: str = ""
    """Name of the photo; empty where the file does not tell."""


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
        path: JSON of OpenPose, COCO (annotations or results), MMPose, or of `humanmesh predict`.
        axes: 2 for photo pixels, 3 for metres in space.

    Raises:
        BadInputError: where the file is no JSON or of an unknown form.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
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
            records.append(BrokenRecord(error, place.image))
    return records


@dataclass(frozen=True)
class _Place:
    """Where an entry stands in its file."""

    family: str
    """Row of `_LAYOUTS`."""
    names: tuple[str, ...] = ()
    """Names of the keypoints, where the file tells them."""
    image: str = ""


_Reader: TypeAlias = Callable[[Any], Iterator[tuple[dict[str, Any], _Place]]]
"""From the content of a file to its people."""


def _entries(content: Any, path: Path) -> Iterator[tuple[dict[str, Any], _Place]]:
    reader = _reader_of(content)
    if reader is None:
        remedy = "Give the JSON of OpenPose, COCO, MMPose or humanmesh predict."
        raise BadInputError(f"Keypoint file {path}", "a form that nobody here knows", remedy)
    for entry, place in reader(content):
        if not isinstance(entry, dict):
            raise BadInputError(f"Keypoint file {path}", "a person that is no JSON object", "Check the file.")
        yield entry, place


def _reader_of(content: Any) -> _Reader | None:
    readers: dict[str, _Reader] = {
        "people": _openpose_entries, "annotations": _coco_entries, "instance_info": _mmpose_entries,
        "keypoints_2d": _own_entries, "keypoints_3d": _own_entries,
    }  # fmt: skip
    if isinstance(content, dict):
        return next((readers[key] for key in readers if key in content), None)
    return _list_entries if isinstance(content, list) else None


def _openpose_entries(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Place]]:
    for entry in content["people"]:
        yield entry, _Place("openpose")


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
    for frame in content["instance_info"]:
        instances = frame.get("instances", [frame]) if isinstance(frame, dict) else frame
        for entry in instances:
            yield entry, _Place("coco", names)


def _own_entries(content: dict[str, Any]) -> Iterator[tuple[dict[str, Any], _Place]]:
    yield content, _Place("own")


def _list_entries(content: list[Any]) -> Iterator[tuple[dict[str, Any], _Place]]:
    """COCO's results, or MMPose's predictions, which may stand in a list of lists or of frames."""
    for entry in content:
        if isinstance(entry, list):
            yield from _list_entries(entry)
        elif isinstance(entry, dict) and "instances" in entry:
            yield from _list_entries(entry["instances"])
        else:
            image = entry.get("image_id", "") if isinstance(entry, dict) else ""
            yield entry, _Place("coco", image=str(image))


def _record(entry: dict[str, Any], place: _Place, axes: int, source: str) -> KeypointRecord:
    if place.family == "own":
        return _own_record(entry, axes, source)
    table = _table(entry, axes, source)
    names = place.names or _LAYOUTS[place.family].get(len(table), ())
    if not names:
        known = ", ".join(str(number) for number in _LAYOUTS[place.family])
        remedy = f"Known numbers are {known}; or let the file name its keypoints."
        raise BadInputError(f"Keypoints of {source}", f"a layout of {len(table)} keypoints", remedy)
    if place.names and len(place.names) != len(table):
        found = f"{len(table)} keypoints for {len(place.names)} names"
        raise BadInputError(f"Keypoints of {source}", found, "Check the file.")
    return _named(table, names, source, place.image)


def _table(entry: dict[str, Any], axes: int, source: str) -> Float[np.ndarray, "keypoints columns"]:
    """Positions with a last column for the confidence."""
    name = f"Keypoints of {source}"
    keys = (
        ("pose_keypoints_2d", "pose_keypoints", "keypoints")
        if axes == 2
        else ("pose_keypoints_3d", "keypoints")
    )
    key = next((key for key in keys if entry.get(key)), None)
    if key is None:
        raise BadInputError(name, f"none of {', '.join(keys)}", "Check the file.")
    try:
        values = np.asarray(entry[key], np.float64)
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


def _named(
    table: Float[np.ndarray, "keypoints columns"], names: Sequence[str], source: str, image: str
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
    return KeypointRecord(skeleton.name, values[:, :-1], values[:, -1], source, image)


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
