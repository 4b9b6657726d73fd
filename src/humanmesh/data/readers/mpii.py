"""MPII Human Pose (Andriluka et al. 2014): the official .mat, and the JSON lists that most code bases share.

Both count pixels from one, as MATLAB does: a coordinate of 1 is the centre of the first pixel, 0.5 here.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from humanmesh.body.skeletons import MPII_16
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules, need_file
from humanmesh.data.readers.tables import read_json, read_mat, square_box
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
    entries = read_json(file, _REMEDY)
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
    is_training = np.ravel(release.img_train)
    for photo, training in zip(release.annolist.ravel(), is_training, strict=True):
        name = str(_only(_only(photo.image).name))
        if not training:
            checks.fault("not selected", file, name, "a test photo, which has no joints")
            continue
        labelled = 0
        for number, entry in enumerate(np.ravel(photo.annorect)):
            labels = _matlab_labels(entry)
            if labels and all(0 <= label[0] < len(MPII_16) for label in labels):
                labelled += 1
                yield _matlab_person(entry, labels, folder / name, f"{name}/{number}")
            elif labels:
                checks.fault("wrong number of keypoints", file, f"{name}/{number}", "a joint beyond the 16")
        if not labelled:
            checks.fault("photo without annotation", file, name, "nobody with joints")


def _read_release(file: Path) -> Any:
    content = read_mat(file, _REMEDY)
    release = _only(content.get("RELEASE"))
    if not hasattr(release, "annolist") or not hasattr(release, "img_train"):
        raise BadInputError(
            f"{file} should hold RELEASE with annolist and img_train", f"{sorted(content)}", _REMEDY
        )
    return release


def _only(values: Any) -> Any:
    """The one entry of a MATLAB array; None where it is empty."""
    return next(iter(np.ravel(values)), None)


def _matlab_labels(entry: Any) -> list[tuple[int, float, float]]:
    """Joint, x and y; none where the person has a head box only, or nothing."""
    labels = np.ravel(getattr(_only(getattr(entry, "annopoints", ())), "point", ()))
    return [(int(_only(label.id)), float(_only(label.x)), float(_only(label.y))) for label in labels]


def _matlab_person(
    entry: Any, labels: list[tuple[int, float, float]], image: Path, record: str
) -> Annotation:
    points, weights = np.zeros((len(MPII_16), 2)), np.zeros(len(MPII_16), np.float32)
    for row, x, y in labels:
        points[row], weights[row] = (x, y), 1
    return _annotation(image, points + _FROM_ONE_BASED_CENTRES, weights, _matlab_square(entry), record)


def _matlab_square(entry: Any) -> np.ndarray | None:
    position, scale = _only(getattr(entry, "objpos", ())), _only(getattr(entry, "scale", ()))
    if position is None or scale is None:
        return None
    center = np.array([_only(position.x), _only(position.y)], np.float64) + _FROM_ONE_BASED_CENTRES
    return square_box(center, float(scale))


def _annotation(
    image: Path, points: np.ndarray, weights: np.ndarray, box: np.ndarray | None, record: str
) -> Annotation:
    return Annotation(image, MPII_16, points, weights, box, source="mpii", record=record)
