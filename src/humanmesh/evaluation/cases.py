"""People to measure, with their truth, from every data set in one form."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import Skeleton
from humanmesh.data import splits
from humanmesh.data.annotation import Annotation
from humanmesh.evaluation.protocols import Protocol, Selection
from humanmesh.files.images import read_stored


@dataclass(frozen=True)
class Truth3D:
    """Joints of one person."""

    points: Float[np.ndarray, "joints 3"]
    """Metres, camera frame."""
    weights: Float[np.ndarray, "joints"]
    """0 where a joint is not known."""


@dataclass(frozen=True)
class TruthBody:
    """Pose and shape of one person."""

    rotations: Float[np.ndarray, "24 3 3"] | None
    """Matrices, the first in the camera frame; None where `pose` is given."""
    pose: Float[np.ndarray, "72"] | None
    """Axis-angle, the first in the camera frame."""
    shape: Float[np.ndarray, "10"]
    gender: str = ""
    """"male", "female", or empty: the body that the prediction has."""


@dataclass(frozen=True)
class Case:
    """One person to measure."""

    record: str
    """What names the person in the data set."""
    load_pixels: Callable[[], Tensor]
    """Reads the photo, (3, H, W) in [0, 1], as it was annotated (not turned by EXIF)."""
    skeleton: Skeleton
    """Names of the rows of the truth."""
    keypoints_2d: Float[np.ndarray, "joints 2"]
    """Photo pixels."""
    weights_2d: Float[np.ndarray, "joints"]
    """0 where not known, a machine's score where a machine labelled."""
    box: Float[np.ndarray, "4"] | None = None
    """The data set's own."""
    truth_3d: Truth3D | None = None
    body: TruthBody | None = None
    load_mask: Callable[[], np.ndarray] | None = None
    """Reads the person's mask, (H, W) bool."""
    load_parts: Callable[[], np.ndarray] | None = None
    """Reads part labels, (H, W): 0 background, 255 left open."""
    tags: dict[str, str] = field(default_factory=dict)
    image: str = ""
    """Name of the photo's file, by which predictions of other systems may refer to it."""


def is_selected(case: Case, protocol: Protocol) -> bool:
    """Whether a protocol measures this person."""
    selection = protocol.selection
    return (
        _has_tags(case, selection)
        and _has_number(case, selection)
        and (case.load_mask is not None or not selection.with_mask)
        and int((case.weights_2d > protocol.minimum_weight).sum()) >= selection.minimum_joints
        and _has_joints(case, selection.required, protocol.minimum_weight)
        and (not selection.held_out or _is_held_out(case, protocol.data_set))
    )


def _has_tags(case: Case, selection: Selection) -> bool:
    if any(case.tags.get(tag) not in values for tag, values in selection.keep.items()):
        return False
    return not any(
        all(case.tags.get(tag) == value for tag, value in tags.items()) for tags in selection.leave_out
    )


def _has_number(case: Case, selection: Selection) -> bool:
    if selection.every > 1 and (int(case.tags.get("frame", "1")) - 1) % selection.every:
        return False
    if selection.records is None:
        return True
    first, last = selection.records
    return first <= int("".join(filter(str.isdigit, case.record))) <= last


def _has_joints(case: Case, joints: tuple[str, ...], minimum_weight: float) -> bool:
    weights = dict(zip(case.skeleton.joints, case.weights_2d, strict=True))
    return all(weights.get(joint, 0.0) > minimum_weight for joint in joints)


def _is_held_out(case: Case, data_set: str) -> bool:
    stub = Annotation(Path(case.image), case.skeleton, case.keypoints_2d, case.weights_2d, source=data_set)
    return splits.is_held_out(stub)


def case_of(annotation: Annotation) -> Case:
    """A reader's record as a case."""
    truth = body = None
    if annotation.keypoints_3d is not None and annotation.weights_3d is not None:
        truth = Truth3D(annotation.keypoints_3d, annotation.weights_3d)
    if annotation.pose is not None and annotation.shape is not None:
        gender = annotation.tags.get("gender", "")
        body = TruthBody(
            None, annotation.pose, annotation.shape, gender if gender in {"male", "female"} else ""
        )
    return Case(
        record=annotation.record,
        load_pixels=lambda: read_stored(annotation.image),
        skeleton=annotation.skeleton,
        keypoints_2d=annotation.keypoints_2d,
        weights_2d=annotation.weights_2d,
        box=annotation.box,
        truth_3d=truth,
        body=body,
        tags=annotation.tags,
        image=str(annotation.image),
    )
