"""What every reader of photos demands of a record, and the account of what it left out."""

import logging
from collections import Counter
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from humanmesh.data.annotation import Annotation
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.images import PHOTO_SUFFIXES, PhotoHead, read_head

_LOG = logging.getLogger(__name__)

FAULTS: dict[str, str] = {
    "unreadable record": "the record is left out",
    "wrong number of keypoints": "the record is left out",
    "unknown category": "the record is left out",
    "unknown joint name": "the joint is not used",
    "duplicate id": "the later record is left out",
    "annotation without its photo": "the record is left out",
    "unreadable photo": "the record is left out",
    "photo of another size": "the record is left out",
    "photo that a tag turns": "the photo is taken as stored",
    "photo without annotation": "the photo is not used",
    "keypoint not finite": "the keypoint gets weight 0",
    "keypoint outside the photo": "the keypoint gets weight 0",
    "too few visible joints": "the record is left out",
}
"""What can be wrong, and what a reader does about it unless the rules refuse it."""

CHOICES: dict[str, str] = {
    "crowd": "a box round many people is left out",
    "no keypoints": "a box or an outline without keypoints is left out",
    "marked invalid": "a record that its data set itself marks as unusable is left out",
    "not selected": "a record outside the asked-for part is left out",
    "no box": "somebody whom the data set gives no box is left out by protocols that need one",
}
"""Records that are as they should be and are left out all the same; rules cannot refuse these."""

_EXAMPLES_KEPT = 20
_TURN = "its EXIF tag turns it, so turn the file first if it was annotated turned"


@dataclass(frozen=True)
class ReadRules:
    """When a reader of photos leaves a record out, and when it stops."""

    minimum_joints: int = 6
    """A person with fewer visible joints is left out."""
    outside_margin: float = 0.0
    """Keypoints up to this far outside the photo count as inside; share of the photo's longer side."""
    refuse: frozenset[str] = frozenset()
    """Faults (keys of `FAULTS`) that end the reading with an error instead of being counted."""

    def __post_init__(self) -> None:
        if self.minimum_joints < 0 or self.outside_margin < 0:
            raise ValueError(f"minimum_joints and outside_margin must not be negative, got {self}")
        unknown = sorted(self.refuse - set(FAULTS))
        if unknown:
            raise ValueError(f"refuse names unknown faults {unknown}; known are {sorted(FAULTS)}")

    @classmethod
    def strict(cls) -> "ReadRules":
        """Rules that stop at the first fault of any kind."""
        return cls(refuse=frozenset(FAULTS))


DEFAULT_RULES = ReadRules()
"""Skip and count every fault."""


@dataclass
class ReadReport:
    """How many records were kept and how many were not, with reasons. Hand one to a reader to have it filled."""

    kept: int = 0
    """Records that came through."""
    counts: Counter[str] = field(default_factory=Counter)
    """Records with each fault or choice; keys of `FAULTS` and `CHOICES`."""
    examples: dict[str, list[str]] = field(default_factory=dict)
    """The first twenty of each, as "file, record: what was found"."""

    def __str__(self) -> str:
        lines = [f"{self.kept} people read"]
        for reason, count in self.counts.most_common():
            effect = FAULTS.get(reason) or CHOICES[reason]
            lines.append(f"{reason}: {count} ({effect}), first: {self.examples[reason][0]}")
        return "; ".join(lines)


@dataclass
class Checks:
    """One reading of one data set: every record passes through `person`, every fault through `fault`."""

    source: str
    """Data set, as the reader names itself."""
    rules: ReadRules
    """What to demand."""
    given_report: ReadReport | None
    """Where to count; None makes a report of its own, which `finish` writes to the log."""
    _records: set[str] = field(default_factory=set)
    _photos: dict[Path, PhotoHead | tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def report(self) -> ReadReport:
        """Where this reading counts."""
        return self.given_report if self.given_report is not None else ReadReport()

    def fault(self, reason: str, file: Path, record: object, found: str) -> None:
        """Count a record with a fault or a choice of the data set; raise where the rules refuse it."""
        place = f"{file}, {record}: {found.removesuffix('.')}"
        if reason in self.rules.refuse:
            raise BadInputError(
                f"{self.source}: {reason}", place, "Mend the record, or let the reader skip it."
            )
        self.report.counts[reason] += 1
        examples = self.report.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES_KEPT:
            examples.append(place)

    def is_new(self, file: Path, record: str) -> bool:
        """True at the first sight of this id; a second sight is a fault."""
        if record in self._records:
            self.fault("duplicate id", file, record, "this id was read before")
            return False
        self._records.add(record)
        return True

    def person(
        self, annotation: Annotation, file: Path, stated_size: tuple[int, int] | None = None
    ) -> Annotation | None:
        """The record with clean values, or None (counted) where it cannot be used.

        Args:
            file: where the record stands, for the report.
            stated_size: width and height of the photo where the data set states them.
        """
        if not self.is_new(file, annotation.record):
            return None
        head = self._head(annotation, file)
        if head is None:
            return None
        if stated_size is not None and stated_size != head.size:
            found = f"{annotation.image} is {_by(head.size)}, stated {_by(stated_size)}"
            found = f"{found}; {_TURN}" if head.is_turned else found
            self.fault("photo of another size", file, annotation.record, found)
            return None
        annotation = self._with_usable_keypoints(annotation, file, head.size)
        visible = int((annotation.weights_2d > 0).sum())
        if visible < self.rules.minimum_joints:
            found = f"{visible} visible, {self.rules.minimum_joints} needed"
            self.fault("too few visible joints", file, annotation.record, found)
            return None
        self.report.kept += 1
        return annotation

    def _head(self, annotation: Annotation, file: Path) -> PhotoHead | None:
        """None (counted) where the photo cannot be used; a tag that turns it is counted once a photo."""
        image, record = annotation.image, annotation.record
        if image not in self._photos:
            self._photos[image] = head = _head_or_fault(image)
            if isinstance(head, PhotoHead) and head.is_turned:
                self.fault("photo that a tag turns", file, record, f"{image}: {_TURN}")
        head = self._photos[image]
        if isinstance(head, PhotoHead):
            return head
        reason, found = head
        self.fault(reason, file, record, found)
        return None

    def _with_usable_keypoints(self, annotation: Annotation, file: Path, size: tuple[int, int]) -> Annotation:
        weights = annotation.weights_2d.astype(np.float32)
        finite = np.isfinite(annotation.keypoints_2d).all(-1) & np.isfinite(weights)
        self._count_rows(annotation, file, "keypoint not finite", ~finite & (weights != 0))
        weights = np.where(finite, weights, 0)
        points = np.where(finite[:, None], annotation.keypoints_2d, 0)
        margin = self.rules.outside_margin * max(size)
        inside = ((points >= -margin) & (points <= np.asarray(size) + margin)).all(-1)
        self._count_rows(annotation, file, "keypoint outside the photo", ~inside & (weights > 0))
        weights = np.where(inside, weights, 0).clip(0, 1)
        return replace(
            annotation,
            keypoints_2d=np.where(weights[:, None] > 0, points, 0).astype(np.float32),
            weights_2d=weights.astype(np.float32),
            **self._usable_3d(annotation),
        )

    def _count_rows(self, annotation: Annotation, file: Path, reason: str, rows: np.ndarray) -> None:
        if rows.any():
            names = [joint for joint, bad in zip(annotation.skeleton.joints, rows, strict=True) if bad]
            self.fault(reason, file, annotation.record, ", ".join(names))

    @staticmethod
    def _usable_3d(annotation: Annotation) -> dict[str, np.ndarray]:
        if annotation.keypoints_3d is None or annotation.weights_3d is None:
            return {}
        finite = np.isfinite(annotation.keypoints_3d).all(-1)
        weights = np.where(finite, annotation.weights_3d, 0).astype(np.float32)
        points = np.where(weights[:, None] > 0, annotation.keypoints_3d, 0).astype(np.float32)
        return {"keypoints_3d": points, "weights_3d": weights}

    def unused_photos(self, photos: list[Path], file: Path) -> None:
        """Count the photos of the data set that no record names."""
        for photo in photos:
            if photo not in self._photos:
                self.fault("photo without annotation", file, photo.name, "no record names it")

    def finish(self) -> None:
        """Write the account to the log where the caller did not ask for it."""
        if self.given_report is None and self.report.counts:
            _LOG.warning("%s: %s", self.source, self.report)


def _head_or_fault(image: Path) -> PhotoHead | tuple[str, str]:
    try:
        return read_head(image)
    except MissingAssetError as error:
        return "annotation without its photo", str(error)
    except BadInputError as error:
        return "unreadable photo", str(error)


def _by(size: tuple[int, int]) -> str:
    return f"{size[0]} x {size[1]}"


def need_file(kind: str, path: Path, remedy: str) -> Path:
    """The path, if there is a file.

    Raises:
        BadInputError: where there is none, saying what to do.
    """
    if not path.is_file():
        raise BadInputError(f"A {kind} was wanted", f"nothing at {path}", remedy)
    return path


def photos_in(folder: Path) -> set[Path]:
    """The photos right in a folder, by their suffix."""
    return {path for path in folder.glob("*") if path.suffix.lower() in PHOTO_SUFFIXES}
