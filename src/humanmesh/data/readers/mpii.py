"""MPII Human Pose (Andriluka et al. 2014): the official .mat, and the JSON lists that most code bases share.

Both count pixels from one, as MATLAB does: a coordinate of 1 is the centre of the first pixel, 0.5 here.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io

from humanmesh.body.skeletons import MPII_16
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules, need_file
from humanmesh.data.readers.tables import square_box
from humanmesh.errors import BadInputError

_FROM_ONE_BASED_CENTRES = -0.5
_REMEDY = (
    "Give mpii_human_pose_v1_u12_1.mat, or a JSON list with image, joints, joints_vis, center and scale."
)


def read_mpii(
    annotation_file: Path,
    image_folder: Path | None = None,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
) -> list[Annotation]:
    """People of MPII, by the suffix of the file: .mat (training people; the others have no joints) or .json.

    Weight 1 for every annotated joint, hidden or not. The box is MPII's square of 200 pixels times its scale.

    Args:
        image_folder: where the photos are; if None, `images/` beside the file or above it, or the file's own folder.
    """
    annotation_file = need_file("MPII annotation file", Path(annotation_file), _REMEDY)
    folder = Path(image_folder) if image_folder is not None else _find_image_folder(annotation_file)
    checks = Checks("mpii", rules, report)
    entries = _matlab_people if annotation_file.suffix == ".mat" else _json_people
    people = [checks.person(entry, annotation_file) for entry in entries(annotation_file, folder, checks)]
    checks.finish()
    return [person for person in people if person is not None]


def _find_image_folder(annotation_file: Path) -> Path:
    candidates = [annotation_file.parent / "images", annotation_file.parent.parent / "images"]
    return next((folder for folder in candidates if folder.is_dir()), annotation_file.parent)


def _json_people(file: Path, folder: Path, checks: Checks) -> Iterator[Annotation]:
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BadInputError(f"{file} should be JSON", str(error), _REMEDY) from error
    if not isinstance(entries, list):
        raise BadInputError(f"{file} should be a list of people", type(entries).__name__, _REMEDY)
    for number, entry in enumerate(entries):
        person = _json_person(entry, number, (file, folder), checks)
        if person is not None:
            yield person


def _json_person(
    entry: dict[str, Any], number: int, places: tuple[Path, Path], checks: Checks
) -> Annotation | None:
    file, folder = places
    lacking = {"image", "joints", "joints_vis"} - set(entry)
    if lacking:
        checks.fault("unreadable record", file, number, f"no {', '.join(sorted(lacking))}")
        return None
    if len(entry["joints"]) != len(MPII_16) or len(entry["joints_vis"]) != len(MPII_16):
        found = f"{len(entry['joints'])} joints, {len(MPII_16)} wanted"
        checks.fault("wrong number of keypoints", file, number, found)
        return None
    points = np.asarray(entry["joints"], np.float64) + _FROM_ONE_BASED_CENTRES
    weights = (np.asarray(entry["joints_vis"], np.float64) > 0).astype(np.float32)
    return _annotation(folder / entry["image"], points, weights, _square(entry), f"{entry['image']}/{number}")


def _square(entry: dict[str, Any]) -> np.ndarray | None:
    if "center" not in entry or "scale" not in entry:
        return None
    return square_box(
        np.asarray(entry["center"], np.float64) + _FROM_ONE_BASED_CENTRES, float(entry["scale"])
    )


def _matlab_people(file: Path, folder: Path, checks: Checks) -> Iterator[Annotation]:
    release = _read_release(file)
    is_training = np.atleast_1d(release.img_train)
    for photo, training in zip(np.atleast_1d(release.annolist), is_training, strict=True):
        name = str(photo.image.name)
        people = np.atleast_1d(photo.annorect)
        if not training:
            checks.fault("not selected", file, name, "a test photo, which has no joints")
            continue
        labelled = 0
        for number, entry in enumerate(people):
            person = _matlab_person(entry, folder / name, f"{name}/{number}")
            if person is not None:
                labelled += 1
                yield person
        if not labelled:
            checks.fault("photo without annotation", file, name, "nobody with joints")


def _read_release(file: Path) -> Any:
    content = scipy.io.loadmat(file, struct_as_record=False, squeeze_me=True)
    release = content.get("RELEASE")
    if not hasattr(release, "annolist") or not hasattr(release, "img_train"):
        raise BadInputError(
            f"{file} should hold RELEASE with annolist and img_train", f"{sorted(content)}", _REMEDY
        )
    return release


def _matlab_person(entry: Any, image: Path, record: str) -> Annotation | None:
    """None where the person has a head box only, or nothing."""
    labels = np.atleast_1d(getattr(getattr(entry, "annopoints", None), "point", ()))
    if labels.size == 0:
        return None
    points, weights = np.zeros((len(MPII_16), 2)), np.zeros(len(MPII_16), np.float32)
    for label in labels:
        points[int(label.id)] = float(label.x), float(label.y)
        weights[int(label.id)] = 1
    return _annotation(image, points + _FROM_ONE_BASED_CENTRES, weights, _matlab_square(entry), record)


def _matlab_square(entry: Any) -> np.ndarray | None:
    position, scale = getattr(entry, "objpos", None), getattr(entry, "scale", None)
    if not hasattr(position, "x") or np.size(scale) != 1:
        return None
    center = np.array([position.x, position.y], np.float64) + _FROM_ONE_BASED_CENTRES
    return square_box(center, float(np.asarray(scale).item()))


def _annotation(
    image: Path, points: np.ndarray, weights: np.ndarray, box: np.ndarray | None, record: str
) -> Annotation:
    return Annotation(image, MPII_16, points, weights, box, source="mpii", record=record)
