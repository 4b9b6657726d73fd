"""What commands write and say of the people of a photo."""

import json
import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from humanmesh.cli.photo_batches import Failure
from humanmesh.cli.photo_cameras import told_pitch

if TYPE_CHECKING:
    from torch import Tensor

    from humanmesh.person import Person
SAMPLES = ((1_000_000, 3), (4_000_000, 2), (math.inf, 1))
"""Pixels of a photo up to which its overlay is drawn with so many samples a pixel in each direction."""
GAP_PIXELS = 6
"""Between the photo and the side views."""


@runtime_checkable
class WriterArguments(Protocol):
    """What a command asks of `Writer`; the fields of `Arguments` of the same names tell what they mean."""

    @property
    def upright(self) -> bool: ...
    @property
    def overlay(self) -> bool: ...
    @property
    def side_view(self) -> bool: ...
    @property
    def html(self) -> bool: ...
    @property
    def json(self) -> bool: ...
    @property
    def rig(self) -> str: ...
    @property
    def part_colors(self) -> bool: ...


@dataclass(frozen=True)
class Job:
    """One photo to do."""

    path: Path
    name: str
    """Beginning of the names of its files."""
    boxes: list[Any] | None


def formats_in(words: str) -> list[str]:
    """File formats named with commas between, once each; of "none" none."""
    names = [name.strip().lower().removeprefix(".") for name in words.split(",") if name.strip()]
    return [] if names == ["none"] else list(dict.fromkeys(names))


def suffixes_of(formats: str) -> list[str]:
    """File formats of people, named with commas between.

    Raises:
        UnknownNameError: where nobody knows one of them.
    """
    from humanmesh.files.meshes import writer_of

    names = formats_in(formats)
    for name in names:
        writer_of(name)
    return names


@dataclass(frozen=True)
class Writer:
    """Writes what was asked for."""

    arguments: WriterArguments
    folder: Path
    suffixes: list[str]

    def write(self, job: Job, pixels: "Tensor", people: "list[Person]") -> dict[str, Any]:
        """Write the files of one photo, and return what there is to say about it."""
        from humanmesh.files.result_names import files_of_more
        from humanmesh.person import upright

        result: dict[str, Any] = {"photo": str(job.path), "people": []}
        if self.arguments.upright and people:
            people = upright(people)
            result["camera_pitch"] = people[0].camera_pitch
        if self.arguments.overlay and people:
            path = self.folder / f"{job.name}.overlay.png"
            _draw(path, pixels, people, has_side_view=self.arguments.side_view)
            result["overlay"] = str(path)
        if self.arguments.html and people:
            result["page"] = str(_write_page(self.folder / f"{job.name}.html", job, pixels, people))
        for number, person in enumerate(people, 1):
            name = job.name if number == 1 else f"{job.name}.{number}"
            paths = [self.folder / f"{name}.{suffix}" for suffix in self.suffixes]
            for path in paths:
                person.save(path, self.arguments.rig, part_colors=self.arguments.part_colors)
            result["people"].append({
                "box": [round(value, 2) for value in person.box.tolist()],
                "score": None if math.isnan(person.score) else round(person.score, 4),
                "translation": [round(value, 4) for value in person.translation.tolist()],
                "files": [str(path) for path in paths],
            })
        earlier = files_of_more(self.folder, job.name, len(people))
        if earlier:
            result["earlier_files"] = [str(path) for path in earlier]
        return result


def _write_page(path: Path, job: Job, pixels: "Tensor", people: "list[Person]") -> Path:
    from humanmesh.web.page import photo_page, write_page

    write_page(path, photo_page(job.path.name, people, pixels))
    return path


def _draw(path: Path, pixels: "Tensor", people: "list[Person]", *, has_side_view: bool) -> None:
    import torch

    from humanmesh.files.images import write_png
    from humanmesh.render.overlay import Look, draw_people, side_view

    height, width = pixels.shape[1:]
    samples = next(samples for limit, samples in SAMPLES if height * width <= limit)
    camera = people[0].camera
    faces = torch.from_numpy(people[0].faces)
    vertices = torch.stack([torch.from_numpy(person.vertices) for person in people])
    look = Look(samples=samples)
    focal = torch.tensor(camera.focal_xy)
    pictures = [draw_people(pixels, vertices, faces, focal, camera.principal_point, look=look)]
    if has_side_view:
        look = Look(opacity=1.0, samples=samples)
        gap = torch.ones(3, height, GAP_PIXELS)
        for person in people:
            body = torch.from_numpy(person.level_vertices)
            pictures += [gap, side_view(body, faces, height, height // 2, look=look)]
    write_png(path, torch.cat(pictures, 2))


def tell(
    arguments: WriterArguments, results: list[dict[str, Any]], failures: list[Failure], total: int
) -> None:
    """Print what was done, and on standard error what could not be used."""
    if arguments.json:
        failed = [{"photo": str(failure.photo), "error": str(failure.error)} for failure in failures]
        print(json.dumps({"photos": results, "failures": failed}, indent=1))
    else:
        for result in results:
            print(_sentence(result))
    if failures and total > 1:
        print(f"humanmesh: {len(failures)} of {total} could not be used:", file=sys.stderr)
        for failure in failures:
            print(f"  {failure.error}", file=sys.stderr)


def _sentence(result: dict[str, Any]) -> str:
    people = result["people"]
    earlier = _names(result.get("earlier_files", []))
    note = f" (of an earlier run: {earlier})" if earlier else ""
    if not people:
        return f"{result['photo']}: no person found{note}."
    scores = ", ".join(
        "unknown" if person["score"] is None else f"{person['score']:.2f}" for person in people
    )
    files = [
        result.get("overlay"),
        result.get("page"),
        *(file for person in people for file in person["files"]),
    ]
    written = _names(file for file in files if file)
    count = "1 person" if len(people) == 1 else f"{len(people)} people"
    return f"{result['photo']}: {count} (score {scores}){told_pitch(result)} -> {written or 'no files'}{note}"


def _names(files: Iterable[str]) -> str:
    return ", ".join(Path(file).name for file in files)
