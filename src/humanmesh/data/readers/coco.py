"""COCO person keypoints (Lin et al. 2014), and every file in its form: CrowdPose-like exports, machine-made labels."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from humanmesh.body.skeletons import COCO_17
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules, photos_in
from humanmesh.data.readers.tables import read_json
from humanmesh.errors import BadInputError

_REMEDY = "Give a COCO keypoint file: JSON with images, annotations and categories."
_MALFORMED = (TypeError, ValueError, KeyError, AttributeError)
"""What an entry of another form than COCO's raises."""


@dataclass(frozen=True)
class _Photo:
    path: Path
    size: tuple[int, int] | None
    """Width and height as the file states them."""


@dataclass(frozen=True)
class _Tables:
    """What annotations refer to by id."""

    photos: dict[Any, _Photo]
    columns: dict[Any, dict[str, int] | None]
    """Place of each joint in the keypoint list of a category; None where it is not a person."""


def read_coco(
    annotation_file: Path,
    image_folder: Path | None = None,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
    *,
    source: str = "coco",
) -> list[Annotation]:
    """People of a COCO keypoint file.

    The weight is 1 for a labelled joint, hidden or not, or its entry in `keypoint_scores` where a machine made the
    labels. Whole-numbered coordinates name pixels, as in COCO itself, and move to the pixel's centre (+ 0.5);
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
    people = list(_people(content["annotations"], _Tables(photos, columns), file, checks))
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
    for row, image in enumerate(images):
        if not _is_image(image):
            checks.fault("unreadable record", file, f"image row {row}", "no id or no file_name")
        elif image["id"] in photos:
            found = f"{image['file_name']} is the second of it"
            checks.fault("duplicate id", file, f"image {image['id']}", found)
        else:
            size = (image.get("width"), image.get("height"))
            photos[image["id"]] = _Photo(folder / image["file_name"], None if None in size else size)
    return photos


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


def _columns_by_category(
    categories: list[Any], file: Path, checks: Checks
) -> dict[Any, dict[str, int] | None]:
    try:
        return {category["id"]: _columns(category, file, checks) for category in categories}
    except _MALFORMED as error:
        found = f"a category that is none ({error!r})"
        raise BadInputError(f"{file} should be a COCO keypoint file", found, _REMEDY) from error


def _columns(category: Any, file: Path, checks: Checks) -> dict[str, int] | None:
    if category.get("name", "person") != "person":
        return None
    names = category.get("keypoints") or COCO_17.joints
    unknown = [name for name in names if name not in COCO_17.index]
    if len(names) - len(unknown) < 2:
        remedy = f"Rename them to {', '.join(COCO_17.joints)}."
        raise BadInputError(f"{file} should name COCO's joints", ", ".join(map(str, names)), remedy)
    for name in unknown:
        checks.fault("unknown joint name", file, f"category {category['id']}", f"{name} is none of COCO's")
    return {name: place for place, name in enumerate(names)}


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
    if columns is None:
        checks.fault("unknown category", file, record, f"category {entry.get('category_id')} is no person")
    elif entry.get("iscrowd"):
        checks.fault("crowd", file, record, "iscrowd = 1")
    elif numbers != 3 * len(columns) or scores not in {0, len(columns)}:
        found = f"{numbers} numbers and {scores} scores, {3 * len(columns)} and {len(columns)} wanted"
        checks.fault("wrong number of keypoints", file, record, found)
    elif photo is None:
        checks.fault("annotation without its photo", file, record, f"no image has id {entry.get('image_id')}")
    else:
        points, weights = _keypoints(entry, columns)
        return Annotation(
            photo.path, COCO_17, points, weights, _box(entry), source=checks.source, record=record
        )
    return None


def _keypoints(entry: dict[str, Any], columns: dict[str, int]) -> tuple[np.ndarray, np.ndarray]:
    """(17, 2) and (17,)."""
    table = np.asarray(entry["keypoints"], np.float64).reshape(-1, 3)
    weights = (table[:, 2] > 0) * np.asarray(entry.get("keypoint_scores") or np.ones(len(table)), np.float64)
    visible = table[(weights > 0) & np.isfinite(table).all(1), :2]
    points = table[:, :2] + (0.5 if (visible == np.round(visible)).all() else 0.0)
    known = [(row, columns[joint]) for row, joint in enumerate(COCO_17.joints) if joint in columns]
    rows, places = [row for row, _ in known], [place for _, place in known]
    keypoints_2d, weights_2d = np.zeros((len(COCO_17), 2), np.float32), np.zeros(len(COCO_17), np.float32)
    keypoints_2d[rows], weights_2d[rows] = points[places], weights[places]
    return keypoints_2d, weights_2d


def _box(entry: dict[str, Any]) -> np.ndarray | None:
    """Corners; None where the entry has no box, or one that holds nothing."""
    box = np.array(entry.get("bbox"), np.float64)
    is_box = box.shape == (4,) and np.isfinite(box).all() and (box[2:] > 0).all()
    return np.concatenate([box[:2], box[:2] + box[2:]]).astype(np.float32) if is_box else None
