"""COCO person keypoints (Lin et al. 2014), and every file in its form: CrowdPose-like exports, machine-made labels."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from humanmesh.body.skeletons import COCO_17
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules, photos_in
from humanmesh.data.readers.tables import read_json
from humanmesh.errors import BadInputError

_REMEDY = "Give a COCO keypoint file: JSON with images, annotations and categories."


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
    annotation_file = Path(annotation_file)
    content = _read_content(annotation_file)
    folder = Path(image_folder) if image_folder is not None else find_image_folder(annotation_file)
    checks = Checks(source, rules, report)
    people = list(_people(content, annotation_file, folder, checks))
    listed = {folder / image["file_name"] for image in content["images"] if "file_name" in image}
    checks.unused_photos(sorted(listed | photos_in(folder)), annotation_file)
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
    missing = {"images", "annotations"} - set(content if isinstance(content, dict) else ())
    if missing:
        raise BadInputError(
            f"{path} should be a COCO keypoint file", f"no {', '.join(sorted(missing))}", _REMEDY
        )
    return content


def _people(content: dict[str, Any], file: Path, folder: Path, checks: Checks) -> Iterator[Annotation]:
    images = _images_by_id(content, file, checks)
    columns_of = {
        category["id"]: _columns(category)
        for category in content.get("categories", [{"id": 1, "name": "person"}])
    }
    for entry in content["annotations"]:
        person = _person(entry, images, columns_of, (file, folder), checks)
        if person is not None:
            yield person


def _images_by_id(content: dict[str, Any], file: Path, checks: Checks) -> dict[Any, dict[str, Any]]:
    images: dict[Any, dict[str, Any]] = {}
    for image in content["images"]:
        if "id" not in image or "file_name" not in image:
            checks.fault("unreadable record", file, f"image {image.get('id')}", "no id or no file_name")
        elif image["id"] in images:
            checks.fault(
                "duplicate id", file, f"image {image['id']}", f"{image['file_name']} is the second of it"
            )
        else:
            images[image["id"]] = image
    return images


def _columns(category: dict[str, Any]) -> dict[str, int] | None:
    """Place of each joint in the keypoint list of a category; None where it is not a person."""
    if category.get("name", "person") != "person":
        return None
    return {name: place for place, name in enumerate(category.get("keypoints") or COCO_17.joints)}


def _person(
    entry: dict[str, Any],
    images: dict[Any, dict[str, Any]],
    columns_of: dict[Any, dict[str, int] | None],
    places: tuple[Path, Path],
    checks: Checks,
) -> Annotation | None:
    file, folder = places
    record = str(entry.get("id"))
    columns = columns_of.get(entry.get("category_id", 1))
    numbers = len(entry.get("keypoints") or ())
    scores = len(entry.get("keypoint_scores") or ())
    image = images.get(entry.get("image_id"))
    if columns is None:
        checks.fault("unknown category", file, record, f"category {entry.get('category_id')} is no person")
    elif entry.get("iscrowd"):
        checks.fault("crowd", file, record, "iscrowd = 1")
    elif numbers != 3 * len(columns) or scores not in {0, len(columns)}:
        found = f"{numbers} numbers and {scores} scores, {3 * len(columns)} and {len(columns)} wanted"
        checks.fault("wrong number of keypoints", file, record, found)
    elif image is None:
        checks.fault("annotation without its photo", file, record, f"no image has id {entry.get('image_id')}")
    else:
        annotation = _annotation(entry, folder / image["file_name"], columns, checks.source)
        size = (image["width"], image["height"]) if "width" in image and "height" in image else None
        return checks.person(annotation, file, size)
    return None


def _annotation(entry: dict[str, Any], image: Path, columns: dict[str, int], source: str) -> Annotation:
    table = np.asarray(entry["keypoints"], np.float64).reshape(-1, 3)
    weights = (table[:, 2] > 0) * np.asarray(entry.get("keypoint_scores") or np.ones(len(table)), np.float64)
    visible = table[weights > 0, :2]
    points = table[:, :2] + (0.5 if (visible == np.round(visible)).all() else 0.0)
    known = [(row, columns[joint]) for row, joint in enumerate(COCO_17.joints) if joint in columns]
    rows, places = [row for row, _ in known], [place for _, place in known]
    keypoints_2d, weights_2d = np.zeros((len(COCO_17), 2), np.float32), np.zeros(len(COCO_17), np.float32)
    keypoints_2d[rows], weights_2d[rows] = points[places], weights[places]
    return Annotation(
        image, COCO_17, keypoints_2d, weights_2d, _box(entry), source=source, record=str(entry.get("id"))
    )


def _box(entry: dict[str, Any]) -> np.ndarray | None:
    if len(entry.get("bbox") or ()) != 4:
        return None
    x, y, width, height = entry["bbox"]
    return np.array([x, y, x + width, y + height], np.float32)
