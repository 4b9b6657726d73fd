"""Measure a system on the people of a protocol, with an account on disk from which to go on."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from humanmesh.errors import BadInputError
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.measuring import Rows, TruthBodies, measure
from humanmesh.evaluation.predictors import Predictor
from humanmesh.evaluation.protocols import Protocol
from humanmesh.evaluation.results import Result, summarise
from humanmesh.files.writing import whole_file

_BATCH = 32
_ROWS = "with plausibility"
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
    """Measure a system on some people.

    Args:
        cases: Whom.
        predictor: The system.
        protocol: How.
        bodies: Bodies of the truth.
        left_out: What the reader could not use, for the account.
        resume: File that keeps what is measured; an interrupted run goes on from it.
        advance: Called with the number of people done so far.
    """
    parts = _measured_before(resume, cases, predictor.name, protocol)
    done = sum(len(part["score"]) for part in parts)
    advance(done)
    saved = time.monotonic()
    for start in range(done, len(cases), _BATCH):
        some = cases[start : start + _BATCH]
        parts.append(measure(some, predictor.predict(some, protocol), protocol, bodies))
        advance(start + len(some))
        if resume is not None and (time.monotonic() - saved > _SAVE_SECONDS or start + _BATCH >= len(cases)):
            _keep(resume, parts, cases, predictor.name, protocol)
            saved = time.monotonic()
    return summarise(joined(parts), cases, protocol, predictor.name, left_out)


def joined(parts: Sequence[Rows]) -> Rows:
    """Rows of several batches, one after the other."""
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _identity(cases: Sequence[Case], system: str, protocol: Protocol) -> dict[str, str]:
    first, last = cases[0].record, cases[-1].record
    people = f"{len(cases)}, {first} to {last}"
    return {"protocol": protocol.sentence, "system": system, "people": people, "kind of rows": _ROWS}


def _keep(path: Path, parts: list[Rows], cases: Sequence[Case], system: str, protocol: Protocol) -> None:
    with whole_file(path) as beside:
        torch.save({"identity": _identity(cases, system, protocol), "rows": joined(parts)}, beside)


def _measured_before(path: Path | None, cases: Sequence[Case], system: str, protocol: Protocol) -> list[Rows]:
    if path is None or not path.exists():
        return []
    try:
        kept = torch.load(path, weights_only=True)
        identity, rows = kept["identity"], kept["rows"]
    except Exception as error:  # a damaged file can fail in any way
        raise BadInputError(
            f"File to go on from {path}", f"it cannot be read ({error})", "Delete it, or name another."
        ) from error
    wanted = _identity(cases, system, protocol)
    for name, value in wanted.items():
        if identity.get(name) != value:
            found = f"it belongs to another {name}: {identity.get(name)}"
            raise BadInputError(
                f"File to go on from {path}", found, f"Delete it, or name another; wanted: {value}"
            )
    return [rows]
