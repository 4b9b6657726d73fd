"""Measure a system on the people of a protocol, with an account on disk from which to go on."""

import hashlib
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from humanmesh.errors import BadInputError, HumanMeshError
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.measuring import Rows, TruthBodies, measure
from humanmesh.evaluation.predictors import Predictor
from humanmesh.evaluation.protocols import Protocol
from humanmesh.evaluation.results import Result, summarise
from humanmesh.files.images import SMALLEST_SIDE
from humanmesh.files.writing import whole_file

_LOG = logging.getLogger(__name__)

_BATCH = 32
_ROWS = "with plausibility and whether the photo was read"
"""What is measured of each person; a file of other rows is of no use."""
_SAVE_SECONDS = 20.0


def some_of(cases: Sequence[Case], protocol: Protocol, limit: int | None) -> tuple[list[Case], Protocol]:
    """At most `limit` people, evenly spaced, and the protocol that says so: no table mixes them with all people."""
    if limit is None or limit >= len(cases):
        return list(cases), protocol
    chosen = [cases[row * len(cases) // limit] for row in range(limit)]
    sentence = f"{protocol.selection.sentence}, only {limit} of these {len(cases)}"
    return chosen, replace(protocol, selection=replace(protocol.selection, sentence=sentence))


def evaluate(
    cases: Sequence[Case],
    predictor: Predictor,
    protocol: Protocol,
    bodies: TruthBodies,
    *,
    left_out: dict[str, int] | None = None,
    resume: Path | None = None,
    advance: Callable[[int], None] = lambda done: None,
) -> Result:
    """Measure a system on some people. A photo that cannot be read is named in the log, and its person left out.

    Args:
        cases: Whom.
        predictor: The system.
        protocol: How.
        bodies: Bodies of the truth.
        left_out: What the reader could not use, for the account.
        resume: File that keeps what is measured; an interrupted run goes on from it.
        advance: Called with the number of people done so far.

    Raises:
        BadInputError: where no photo can be read, or `resume` is no file of this measurement or cannot be written.
    """
    identity = _identity(cases, predictor.name, protocol)
    parts = _measured_before(resume, identity)
    done = sum(len(part["score"]) for part in parts)
    advance(done)
    saved = time.monotonic()
    for start in range(done, len(cases), _BATCH):
        some = cases[start : start + _BATCH]
        photos = [_Photo(case) for case in some]
        some = [replace(case, load_pixels=photo) for case, photo in zip(some, photos, strict=True)]
        rows = measure(some, predictor.predict(some, protocol), protocol, bodies)
        parts.append(rows | {_IS_READ: torch.tensor([photo.is_read for photo in photos])})
        advance(start + len(some))
        if resume is not None and (time.monotonic() - saved > _SAVE_SECONDS or start + _BATCH >= len(cases)):
            _keep(resume, parts, identity)
            saved = time.monotonic()
    rows, read = _of_read_photos(joined(parts), cases)
    unreadable = Counter({"unreadable photo": len(cases) - len(read)})
    return summarise(rows, read, protocol, predictor.name, dict(Counter(left_out or {}) + unreadable))


class _Photo:
    """Loads a case's photo; a black one takes the place of one that cannot be read, so that the others of its batch are measured."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.is_read = True

    def __call__(self) -> Tensor:
        try:
            return self.case.load_pixels()
        except HumanMeshError as error:
            _LOG.warning("%s, left out: %s", self.case.record, error)
            self.is_read = False
            return torch.zeros(3, SMALLEST_SIDE, SMALLEST_SIDE)


_IS_READ = "is_read"


def _of_read_photos(rows: Rows, cases: Sequence[Case]) -> tuple[Rows, list[Case]]:
    """Rows and people without those whose photo could not be read."""
    is_read = rows.pop(_IS_READ)
    if not is_read.any():
        raise BadInputError(
            f"Photos of {len(cases)} people",
            "none can be read",
            "Mend them, and delete the file of --resume.",
        )
    read = [case for case, kept in zip(cases, is_read.tolist(), strict=True) if kept]
    return {name: values[is_read] for name, values in rows.items()}, read


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several batches, one after the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _identity(cases: Sequence[Case], system: str, protocol: Protocol) -> dict[str, str]:
    first, last = cases[0].record, cases[-1].record
    people = f"{len(cases)}, {first} to {last}"
    return {
        "protocol": protocol.sentence,
        "system": system,
        "people": people,
        "set of labels": _digest(cases),
        "kind of rows": _ROWS,
    }


def _digest(cases: Sequence[Case]) -> str:
    """Changes with any keypoint, weight or box."""
    digest = hashlib.sha256()
    for case in cases:
        for labels in (case.keypoints_2d, case.weights_2d, case.box):
            digest.update(b"none" if labels is None else np.ascontiguousarray(labels).tobytes())
    return digest.hexdigest()[:16]


def _keep(path: Path, parts: list[Rows], identity: dict[str, str]) -> None:
    with whole_file(path) as beside:
        try:
            torch.save({"identity": identity, "rows": joined(parts)}, beside)
        except RuntimeError as error:  # torch's word for a full disk
            raise OSError(str(error).splitlines()[0]) from error


def _measured_before(path: Path | None, wanted: dict[str, str]) -> list[Rows]:
    if path is None or not path.exists():
        return []
    try:
        kept = torch.load(path, weights_only=True)
        identity, rows = kept["identity"], kept["rows"]
    except Exception as error:  # a damaged file can fail in any way
        raise BadInputError(
            f"File to go on from {path}", f"it cannot be read ({error})", "Delete it, or name another."
        ) from error
    for name, value in wanted.items():
        if identity.get(name) != value:
            found = f"it belongs to another {name}: {identity.get(name)}"
            raise BadInputError(
                f"File to go on from {path}", found, f"Delete it, or name another; wanted: {value}"
            )
    return [rows]
