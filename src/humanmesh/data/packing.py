"""From photos in any form that a reader knows, and from synthetic people, to shards: a training part and a hold-out."""

import inspect
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from humanmesh.data.annotation import Annotation
from humanmesh.data.dataset import Sample
from humanmesh.data.readers import READERS, ReadReport, ReadRules
from humanmesh.data.readers.checks import Checks
from humanmesh.data.shards import HELD_OUT, check_name, sample_of, write_data_sets
from humanmesh.data.splits import HOLD_OUTS, is_held_out
from humanmesh.data.synthetic import SyntheticAssets
from humanmesh.data.synthetic_recipe import SynthesisJob, drawn_parts, samples_of
from humanmesh.errors import BadInputError, HumanMeshError, UnknownNameError
from humanmesh.files.images import read_stored

USUAL_HOLD_OUT = 0.1
"""Share of the photos that is kept out of training where neither the data set nor the user says otherwise."""

Advance = Callable[[int, int], None]
"""Told after each person: people done, people in all."""


@dataclass(frozen=True)
class PackJob:
    """A data set to pack."""

    format: str
    """Key of `READERS`."""
    path: Path
    """Annotation file or folder, as the reader wants it."""
    out: Path
    """Folder for the shards."""
    name: str
    """Of the data set."""
    images: Path | None = None
    """Folder of the photos, where the reader should not look for it."""
    hold_out: float | None = None
    """Share of the photos, in [0, 1), that goes to NAME_held_out; if None, by the rule of the data set, or a tenth. Nothing is divided
    off, and no share may be given, where NAME itself ends so."""
    rules: ReadRules = field(default_factory=ReadRules)
    """What is left out, and what is refused."""


@dataclass(frozen=True)
class Packed:
    """What came of a job."""

    people: dict[str, int]
    """Of each data set written."""
    report: ReadReport
    """What was left out, and why."""


def pack(job: PackJob, advance: Advance) -> Packed:
    """Read the annotations, cut the people out of their photos, write the shards.

    Raises:
        UnknownNameError: where there is no such format.
        BadInputError: where the files cannot be read, nobody is left to train on, or the rules refuse a record.
    """
    _check_hold_out(job)
    report = ReadReport()
    checks = Checks(check_name(job.name), job.rules, report)
    people = in_mixed_order(read_people(job, report))
    training, held_out = divide(people, job)
    done = iter(range(1, len(people) + 1))
    parts = {job.name: training}
    if not job.name.endswith(HELD_OUT):
        parts[job.name + HELD_OUT] = held_out
    samples = {
        name: cut_out(part, name, checks, lambda: advance(next(done), len(people)))
        for name, part in parts.items()
    }
    samples[job.name] = _at_least_one(samples[job.name], job, report, len(held_out))
    return Packed(write_data_sets(samples, job.out), report)


def _check_hold_out(job: PackJob) -> None:
    if job.hold_out is None:
        return
    if not 0 <= job.hold_out < 1:
        raise BadInputError("hold-out", f"{job.hold_out}", "Give a share from 0 to below 1.")
    if job.name.endswith(HELD_OUT):
        found = f"all of {job.name} is held out"
        raise BadInputError(f"hold-out {job.hold_out}", found, "Leave out --hold-out, or give another name.")


def read_people(job: PackJob, report: ReadReport) -> list[Annotation]:
    """Everybody whom the reader finds.

    Raises:
        UnknownNameError: where there is no such format.
        BadInputError: where the files are not of this format.
    """
    if job.format not in READERS:
        raise UnknownNameError("format", job.format, list(READERS))
    read = READERS[job.format]
    takes = inspect.signature(read).parameters
    options: dict[str, object] = {"rules": job.rules, "report": report}
    if "source" in takes:
        options["source"] = job.name
    if job.images is not None:
        if "image_folder" not in takes:
            remedy = "Leave out --images: this format has its photos in the folder itself."
            raise BadInputError(f"format {job.format}", f"images {job.images}", remedy)
        if not job.images.is_dir():
            raise BadInputError(
                "A folder of photos was wanted", f"nothing at {job.images}", "Check --images."
            )
        options["image_folder"] = job.images
    return read(job.path, **options)


def in_mixed_order(people: Iterable[Annotation]) -> list[Annotation]:
    """People in an order that has nothing to do with the data set's, those of one photo side by side.

    A stream is shuffled in a window alone, and consecutive frames are nearly one picture.
    """
    return sorted(people, key=lambda person: (_hash(_photo(person)), str(person.image), person.record))


def divide(people: Iterable[Annotation], job: PackJob) -> tuple[list[Annotation], list[Annotation]]:
    """(training, held out); all people of a photo, and all frames of a sequence, stand on the same side."""
    training: list[Annotation] = []
    held_out: list[Annotation] = []
    for person in people:
        (held_out if _is_held_out(person, job) else training).append(person)
    return training, held_out


def _is_held_out(person: Annotation, job: PackJob) -> bool:
    if job.name.endswith(HELD_OUT):  # nobody is for training, so there is nothing to divide off
        return False
    if job.hold_out is None and person.source in HOLD_OUTS:
        return is_held_out(person)
    share = USUAL_HOLD_OUT if job.hold_out is None else job.hold_out
    return _hash(_recording(person)) % 10_000 < share * 10_000


def _hash(name: str) -> int:
    return zlib.crc32(os.fsencode(name))  # the bytes on disk, where they are no UTF-8


def _recording(person: Annotation) -> str:
    """What may not stand on both sides: the sequence where the data set has them, the photo elsewhere."""
    if "sequence" in person.tags:
        return "/".join(person.tags.get(tag, "") for tag in ("subject", "sequence"))
    return person.image.name


def _photo(person: Annotation) -> str:
    return f"{_recording(person)}/{person.image.name}"


def cut_out(
    people: Iterable[Annotation], name: str, checks: Checks, advance: Callable[[], None]
) -> Iterator[Sample]:
    """The people as samples of the data set `name`; whoever cannot be used is counted.

    Args:
        advance: called after each person.
    """
    for path, group in groupby(people, key=lambda person: person.image):
        try:
            pixels, damage = read_stored(path), ""
        except HumanMeshError as error:
            pixels, damage = None, str(error)
        for person in group:
            sample = None if pixels is None else _cut(person, pixels, checks)
            if pixels is None:
                checks.fault("unreadable photo", path, person.record, damage)
            if sample is not None:
                yield replace(sample, source=name)
            advance()


def _cut(person: Annotation, pixels: Float[Tensor, "3 height width"], checks: Checks) -> Sample | None:
    try:
        return sample_of(person, pixels)
    except BadInputError:
        checks.fault("too few visible joints", person.image, person.record, "its joints lie on one point")
        return None


def _at_least_one(
    samples: Iterable[Sample], job: PackJob, report: ReadReport, held_out: int
) -> Iterator[Sample]:
    is_empty = True
    for sample in samples:
        is_empty = False
        yield sample
    if is_empty and held_out:
        found = f"all {held_out} people belong to the hold-out"
        raise BadInputError(f"Nobody in {job.path} to train on", found, "Give --hold-out 0.")
    if is_empty:
        raise BadInputError(f"Nobody in {job.path} can be used", str(report), "Mend the data set.")


def synthetic_people(job: SynthesisJob, assets: SyntheticAssets, name: str) -> Iterator[Sample]:
    """The people whom `synthetic_recipe.run` would draw, in the same order, as samples of the data set `name`."""
    for number, arrays in enumerate(drawn_parts(job, assets)):
        yield from samples_of(arrays, name, f"part_{number:03d}")
