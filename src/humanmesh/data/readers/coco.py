"""COCO person keypoints (Lin et al. 2014), and every file in its form: CrowdPose-like exports, machine-made labels."""

import math
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19, Skeleton
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules, photos_in
from humanmesh.data.readers.tables import read_json
from humanmesh.errors import BadInputError

_REMEDY = "Give a COCO keypoint file: JSON with images, annotations and categories."
_MALFORMED = (TypeError, ValueError, KeyError, AttributeError)
"""What an entry of another form than COCO's raises."""
_HEAD_AND_NECK = {"head_top": "head_top", "head_bottom": "neck"}
"""Our names of what PoseTrack has and COCO has not (its `head_bottom` stands where LSP's neck does)."""
_FEWEST_NAMES = 2
"""A category that names fewer of our joints is no person's."""


@dataclass(frozen=True)
class _Photo:
    path: Path
    size: tuple[int, int] | None
    """Width and height as the file states them; None where it does not."""


@dataclass(frozen=True)
class _Columns:
    """The keypoint lists of a category."""

    places: dict[str, int]
    """Place of each of our joints in the list."""
    length: int
    """Keypoints in the list."""


@dataclass(frozen=True)
class _Tables:
    """What annotations refer to by id, and what holds for all of them."""

    photos: dict[Any, _Photo]
    columns: dict[Any, _Columns | None]
    """None where the category is not a person."""
    third_is_score: bool
    """Whether the third number of a keypoint is a machine's score instead of COCO's flag (0, 1 or 2)."""

    @cached_property
    def skeleton(self) -> Skeleton:
        """COCO's; with neck and head top where any category names one of them, since a file is measured as a whole."""
        named = {joint for columns in self.columns.values() if columns for joint in columns.places}
        return COCO_17 if named <= set(COCO_17.joints) else COCOPLUS_19


def read_coco(
    annotation_file: Path,
    image_folder: Path | None = None,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
    *,
    source: str = "coco",
) -> list[Annotation]:
    """People of a COCO keypoint file, on COCO_17; on COCOPLUS_19 where it names head top or neck, as PoseTrack does.

    The weight is 1 for a labelled joint, hidden or not, or its score where a machine made the labels: its entry in
    `keypoint_scores`, or the third number of each keypoint in a file where some of these are fractional.
    Whole-numbered coordinates name pixels, as in COCO itself, and move to the pixel's centre (+ 0.5);
    fractional ones are taken as they are.

    Args:
        image_folder: where the photos are; if None, `images/`, COCO's own `../train2017` or the folder of the file.
        source: name of the data set in the annotations.
    """
    file = Path(annotation_file)
    content = _read_content(file)
    folder = Path(image_folder) if image_folder is not None else find_image_folder(file)
    checks = Checks(source, rules, report)
    photos = _photos_by_id(content["images"], file, folder, checks)
    columns = _columns_by_category(content["categories"], file, checks)
    tables = _Tables(photos, columns, _third_is_score(content["annotations"]))
    people = list(_people(content["annotations"], tables, file, checks))
    listed = {photo.path for photo in photos.values()}
    named = {photo.path for entry in content["annotations"] if (photo := _photo_of(entry, photos))}
    checks.unused_photos(sorted((listed | photos_in(folder)) - named), file)
    checks.finish()
    return people


def find_image_folder(annotation_file: Path) -> Path:
    """The folder that holds the photos of a COCO file, by the usual layouts; the file's own where none fits."""
    split = annotation_file.stem.rsplit("_", 1)[-1]
    candidates = [
        annotation_file.parent / "images",
        annotation_file.parent.parent / split,
        annotation_file.parent.parent / "images" / split,
        annotation_file.parent.parent / "images",
    ]
    return next((folder for folder in candidates if folder.is_dir()), annotation_file.parent)


def _read_content(path: Path) -> dict[str, Any]:
    content = read_json(path, _REMEDY)
    lists = {"categories": [{"id": 1, "name": "person"}]} | (content if isinstance(content, dict) else {})
    lacking = [
        name for name in ("images", "annotations", "categories") if not isinstance(lists.get(name), list)
    ]
    if lacking:
        found = f"no list of {', '.join(lacking)}"
        raise BadInputError(f"{path} should be a COCO keypoint file", found, _REMEDY)
    return lists


def _photos_by_id(images: list[Any], file: Path, folder: Path, checks: Checks) -> dict[Any, _Photo]:
    photos: dict[Any, _Photo] = {}
    named = {image["file_name"] for image in images if _is_image(image)}
    bare = Counter(_slashed(name).name for name in named)
    for row, image in enumerate(images):
        if not _is_image(image):
            checks.fault("unreadable record", file, f"image row {row}", "no id or no file_name")
        elif image["id"] in photos:
            found = f"{image['file_name']} is the second of it"
            checks.fault("duplicate id", file, f"image {image['id']}", found)
        else:
            name = _slashed(image["file_name"])
            places = [folder / name, file.parent / name, file.parent.parent / name]
            if bare[name.name] == 1:
                places.append(folder / name.name)
            path = next((place for place in places if place.is_file()), places[0])
            photos[image["id"]] = _Photo(path, _stated_size(image))
    return photos


def _slashed(name: str) -> Path:
    """A photo's name, which may have folders before it, from whatever system wrote it."""
    return Path(name.replace("\\", "/"))


def _stated_size(image: dict[str, Any]) -> tuple[int, int] | None:
    """Width and height; None where they are not told, which some tools write as 0."""
    try:
        width, height = int(image["width"]), int(image["height"])
    except (*_MALFORMED, OverflowError):
        return None
    return (width, height) if width > 0 and height > 0 else None


def _is_image(image: Any) -> bool:
    return (
        isinstance(image, dict)
        and isinstance(image.get("id"), int | float | str)
        and isinstance(image.get("file_name"), str)
    )


def _photo_of(entry: Any, photos: dict[Any, _Photo]) -> _Photo | None:
    """The photo that an annotation names, whatever else is wrong with it."""
    name = entry.get("image_id") if isinstance(entry, dict) else None
    return photos.get(name) if isinstance(name, Hashable) else None


def _columns_by_category(categories: list[Any], file: Path, checks: Checks) -> dict[Any, _Columns | None]:
    try:
        return {category["id"]: _columns(category, file, checks) for category in categories}
    except _MALFORMED as error:
        found = f"a category that is none ({error!r})"
        raise BadInputError(f"{file} should be a COCO keypoint file", found, _REMEDY) from error


def _columns(category: Any, file: Path, checks: Checks) -> _Columns | None:
    """None where neither name nor keypoints are a person's: annotation tools call people "default", "pose", ..."""
    names = category.get("keypoints") or COCO_17.joints
    places = _places(names)
    is_named = str(category.get("name", "person")).casefold() == "person"
    if not is_named and (len(places) < _FEWEST_NAMES or not category.get("keypoints")):
        return None
    if len(places) < _FEWEST_NAMES:
        remedy = f"Rename them to {', '.join(COCO_17.joints)}."
        raise BadInputError(f"{file} should name COCO's joints", ", ".join(map(str, names)), remedy)
    for place, name in enumerate(names):
        if place not in places.values():
            found = f"{name} is none of COCO's"
            checks.fault("unknown joint name", file, f"category {category['id']}", found)
    return _Columns(places, len(names))


def _places(names: Sequence[Any]) -> dict[str, int]:
    """Place of each of our joints. A `neck` without a `head_top` is OpenPose's, the middle of the shoulders: not ours."""
    ours = {joint: joint for joint in COCO_17.joints} | _HEAD_AND_NECK
    if "head_top" in names:
        ours["neck"] = "neck"
    return {ours[name]: place for place, name in enumerate(names) if name in ours}


def _third_is_score(entries: list[Any]) -> bool:
    numbers = [
        entry.get("keypoints")
        for entry in entries
        if isinstance(entry, dict) and not entry.get("keypoint_scores")
    ]
    thirds = (third for some in numbers if isinstance(some, list) for third in some[2::3])
    return any(isinstance(third, float) and math.isfinite(third) and third % 1 > 0 for third in thirds)


def _people(entries: list[Any], tables: _Tables, file: Path, checks: Checks) -> Iterator[Annotation]:
    for row, entry in enumerate(entries):
        record = f"row {row}"
        try:
            record = record if entry.get("id") is None else str(entry["id"])
            person = _person(entry, record, tables, file, checks)
        except _MALFORMED as error:
            checks.fault("unreadable record", file, record, f"not of COCO's form ({error})")
            continue
        if person is not None:
            kept = checks.person(person, file, tables.photos[entry["image_id"]].size)
            if kept is not None:
                yield kept


def _person(
    entry: dict[str, Any], record: str, tables: _Tables, file: Path, checks: Checks
) -> Annotation | None:
    columns = tables.columns.get(entry.get("category_id", 1))
    numbers = len(entry.get("keypoints") or ())
    scores = len(entry.get("keypoint_scores") or ())
    photo = _photo_of(entry, tables.photos)
    if not numbers:
        checks.fault("no keypoints", file, record, "a box or an outline alone")
    elif columns is None:
        found = f"category {entry.get('category_id')} is neither called person nor names two of COCO's joints"
        checks.fault("unknown category", file, record, found)
    elif entry.get("iscrowd"):
        checks.fault("crowd", file, record, "iscrowd = 1")
    elif numbers != 3 * columns.length or scores not in {0, columns.length}:
        found = f"{numbers} numbers and {scores} scores, {3 * columns.length} and {columns.length} wanted"
        checks.fault("wrong number of keypoints", file, record, found)
    elif photo is None:
        checks.fault("annotation without its photo", file, record, f"no image has id {entry.get('image_id')}")
    else:
        points, weights = _keypoints(entry, columns, tables)
        return Annotation(
            photo.path, tables.skeleton, points, weights, _box(entry), source=checks.source, record=record
        )
    return None


def _keypoints(entry: dict[str, Any], columns: _Columns, tables: _Tables) -> tuple[np.ndarray, np.ndarray]:
    """(K, 2) and (K,), in the order of the file's skeleton."""
    table = np.asarray(entry["keypoints"], np.float64).reshape(-1, 3)
    weights = _weights(table[:, 2], entry.get("keypoint_scores"), tables)
    visible = table[(weights > 0) & np.isfinite(table).all(1), :2]
    points = table[:, :2] + (0.5 if (visible == np.round(visible)).all() else 0.0)
    skeleton = tables.skeleton
    rows, places = [skeleton.index[joint] for joint in columns.places], list(columns.places.values())
    keypoints_2d, weights_2d = np.zeros((len(skeleton), 2), np.float32), np.zeros(len(skeleton), np.float32)
    keypoints_2d[rows], weights_2d[rows] = points[places], weights[places]
    return keypoints_2d, weights_2d


def _weights(thirds: np.ndarray, scores: Any, tables: _Tables) -> np.ndarray:
    if scores:
        return (thirds > 0) * np.asarray(scores, np.float64)
    return thirds.clip(0, 1) if tables.third_is_score else (thirds > 0).astype(np.float64)


def _box(entry: dict[str, Any]) -> np.ndarray | None:
    """Corners; None where the entry has no box, or one that holds nothing."""
    box = np.array(entry.get("bbox"), np.float64)
    is_box = box.shape == (4,) and np.isfinite(box).all() and (box[2:] > 0).all()
    return np.concatenate([box[:2], box[:2] + box[2:]]).astype(np.float32) if is_box else None
