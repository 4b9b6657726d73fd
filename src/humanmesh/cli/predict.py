"""Recover the people in each photo.

For every photo NAME.jpg it writes into the output folder NAME.overlay.png (the photo with the body over it, and the
bodies from the side), NAME.glb and the other formats asked for, of the largest person; the next one's are NAME.2.glb
and so on, and so those of a photo NAME.2.jpg are called NAME_2. What stands in them, with units and frames, is described in
docs/outputs.md. A photo without a person gives no files and is no error.
"""

import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol, TypeVar, runtime_checkable

import tyro

from humanmesh.cli.commands import SOME_FAILED
from humanmesh.cli.photo_cameras import CameraChoice, SourcedCamera, camera_choice, told_pitch
from humanmesh.cli.predict_video import VideoOptions, run_video, wants_video
from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError

if TYPE_CHECKING:
    from torch import Tensor

    from humanmesh.inference import Recoverer
    from humanmesh.person import Person

BATCH_PHOTOS = 8
"""Photos that go through the network together."""
BATCH_PIXELS = 24_000_000
"""Pixels that are held at a time, unless one photo alone has more."""
SAMPLES = ((1_000_000, 3), (4_000_000, 2), (math.inf, 1))
"""Pixels of a photo up to which its overlay is drawn with so many samples a pixel in each direction."""
GAP_PIXELS = 6
"""Between the photo and the side views."""


@dataclass(frozen=True)
class Arguments:
    """What `humanmesh predict` can be asked."""

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO ...")]
    """Photos (PNG, JPEG, WebP, BMP, TIFF, GIF), or folders of them; or films (MP4, MOV, MKV, WebM, ...)."""
    out: Path = Path("out")
    """Folder to write to; it is made where it is missing."""
    boxes: Path | None = None
    """JSON file with boxes [x0, y0, x1, y1] in photo pixels round each whole person: {"photo.jpg": [[...], ...]}, or
    for one photo only [[...], ...]. Without it everybody is found who can be, the largest first."""
    people: int | None = None
    """Keep so many people at most: of each photo the largest of those found, of a film those seen in the most frames; all
    where None."""
    detector: str | None = None
    """Who finds the people: "rt-detr" (pip install 'humanmesh[detect]'), or the folder of such a model; the bundled
    finder where None."""
    format: str = "glb,npz,json"
    """File formats for each person of a photo, with commas between: glb, npz, json, obj, ply, bvh; or none."""
    rig: Literal["smpl", "mixamo", "unity", "ue4", "ue5"] = "smpl"
    """Whose names the bones of GLB and BVH files carry: SMPL's, Mixamo's, Unity Humanoid's or Unreal's mannequins'."""
    part_colors: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show each of the body's 24 parts in a colour of its own in GLB files of photos."""
    weights: Path | None = None
    """Checkpoint (.safetensors), or "open" for the bundled weights from sources that allow any use; the default ones where None."""
    body: str = "anny"
    """Body: "anny" (bundled) or the path of a body file such as SMPL's."""
    device: str | None = None
    """Device as PyTorch names it, such as cpu or cuda:0; a GPU where there is one, where None."""
    precision: Literal["auto", "float32", "bfloat16"] = "float32"
    """Arithmetic of the network; bfloat16 is faster where the processor or GPU computes in it, which auto finds out."""
    focal: float | None = None
    """Focal length of the photos in pixels; where None, what each photo's EXIF tags say, or else its diagonal."""
    intrinsics: Path | None = None
    """JSON file with the camera of the photos instead: [[fx, 0, cx], [0, fy, cy], [0, 0, 1]] in pixels, or
    {"fx": ..., "fy": ..., "cx": ..., "cy": ...}."""
    height: float | None = None
    """Height of the people in metres; each body and its distance are scaled to it."""
    upright: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Turn mesh files (GLB, BVH, OBJ, PLY) and side views so that people who stand are upright: a camera that looks down sees them lean."""
    overlay: bool = True
    """Write NAME.overlay.png; of a film NAME.overlay.mp4."""
    side_view: bool = True
    """Show the body from the side, too, in NAME.overlay.png of photos."""
    html: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write NAME.html: a page that shows the bodies over the photo and round about; see `humanmesh view`."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the results as JSON on standard output, and nothing else there."""
    video: Annotated[VideoOptions, tyro.conf.arg(name="")] = field(default_factory=VideoOptions)
    """For films."""


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


@dataclass(frozen=True)
class Failure:
    """A photo that could not be used, and why."""

    photo: Path
    error: HumanMeshError


@dataclass(frozen=True)
class _Ready:
    """A photo that was read."""

    job: Job
    pixels: "Tensor"
    taken_by: SourcedCamera


def run(arguments: Arguments) -> int:
    """Do every photo; the exit code is 1 where some of several could not be used.

    Raises:
        HumanMeshError: where nothing can be done, or the only photo cannot be used.
    """
    from humanmesh.files.writing import output_folder

    if wants_video(arguments):
        return run_video(arguments)
    suffixes = suffixes_of(arguments.format)
    choice = camera_choice(arguments.focal, arguments.intrinsics)
    jobs = _jobs(arguments)
    results: list[dict[str, Any]] = []
    failures: list[Failure] = []
    batches = held_together(_ready(jobs, choice, failures), BATCH_PHOTOS)
    first = next(batches, None)  # a photo that is no good is told before time goes into loading the network
    if first is not None:
        writer = Writer(arguments, output_folder(arguments.out), suffixes)
        recoverer = _load(arguments)
        with PatientBar("photos") as bar:
            for batch in itertools.chain([first], batches):
                for ready, people in zip(batch, _recover(recoverer, batch, arguments), strict=True):
                    result = writer.write(ready.job, ready.pixels, people)
                    results.append({**result, "camera": ready.taken_by.fields()})
                    bar(len(results), len(jobs))
    tell(arguments, results, failures, len(jobs))
    if failures and len(jobs) == 1:
        raise failures[0].error
    return SOME_FAILED if failures else 0


def _recover(recoverer: "Recoverer", batch: list[_Ready], arguments: Arguments) -> "list[list[Person]]":
    everybody = recoverer.recover_pixels(
        [ready.pixels for ready in batch],
        [ready.job.boxes for ready in batch],
        cameras=[ready.taken_by.camera for ready in batch],
        most=arguments.people,
    )
    height = arguments.height
    if height is None:
        return everybody
    return [[person.scaled_to_height(height) for person in people] for people in everybody]


def suffixes_of(formats: str) -> list[str]:
    """File formats named with commas between.

    Raises:
        UnknownNameError: where nobody knows one of them.
    """
    from humanmesh.files.meshes import writer_of

    names = [name.strip().lower().removeprefix(".") for name in formats.split(",") if name.strip()]
    names = [] if names == ["none"] else names
    for name in names:
        writer_of(name)
    return list(dict.fromkeys(names))


def _jobs(arguments: Arguments) -> list[Job]:
    paths = [path for given in arguments.photos for path in photos_in(given)]
    if not paths:
        raise BadInputError("Photos", "none were given", "Give one or more photos, or a folder of them.")
    boxes = _boxes_of(arguments.boxes, paths)
    jobs = [Job(*job) for job in zip(paths, unique_names(paths), boxes, strict=True)]
    return jobs


def photos_in(path: Path) -> list[Path]:
    """The photo, or those of a folder in the order of the numbers in their names.

    Raises:
        BadInputError: where the folder has none, or cannot be read.
    """
    from humanmesh.files.folders import by_numbers, readable
    from humanmesh.files.images import PHOTO_SUFFIXES

    with readable(f"Input {path}"):
        if not path.is_dir():
            return [path]
        found = [entry for entry in path.iterdir() if entry.suffix.lower() in PHOTO_SUFFIXES]
    if not found:
        kinds = ", ".join(sorted(PHOTO_SUFFIXES))
        raise BadInputError(f"Folder {path}", "no photo in it", f"Looked for files that end in {kinds}.")
    return sorted(found, key=lambda file: by_numbers(file.name))


def _boxes_of(file: Path | None, paths: list[Path]) -> list[list[Any] | None]:
    """For each photo its boxes, or None where it is to be searched."""
    if file is None:
        return [None] * len(paths)
    if not file.is_file():
        raise MissingAssetError("file of boxes", file, "Check the path.")
    shape = 'It should hold {"photo.jpg": [[x0, y0, x1, y1], ...]}, or for one photo only the list.'
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise BadInputError(f"File of boxes {file}", f"it is no JSON ({error})", shape) from error
    if isinstance(content, list) and len(paths) == 1:
        content = {paths[0].name: content}
    if not isinstance(content, dict):
        raise BadInputError(
            f"File of boxes {file}", f"a {type(content).__name__} for {len(paths)} photos", shape
        )
    for name, some in content.items():
        if not isinstance(some, list):
            raise BadInputError(f"File of boxes {file}", f"no list of boxes for {name!r}", shape)
    unknown = set(content) - {path.name for path in paths} - {str(path) for path in paths}
    if unknown:
        remedy = "Name photos as they are given on the command line."
        raise BadInputError(f"File of boxes {file}", f"{min(unknown)!r} is none of the photos", remedy)
    return [content.get(str(path), content.get(path.name)) for path in paths]


def _load(arguments: Arguments) -> "Recoverer":
    from humanmesh.inference import load

    return load(arguments.weights, arguments.body, arguments.device, arguments.precision, arguments.detector)


@runtime_checkable
class _WithPixels(Protocol):
    @property
    def pixels(self) -> "Tensor": ...


_Photo = TypeVar("_Photo", bound=_WithPixels)


def held_together(photos: Iterable[_Photo], most: int) -> Iterator[list[_Photo]]:
    """Photos in order, `most` at a time or as many as have `BATCH_PIXELS`; one that alone has more is alone."""
    batch: list[_Photo] = []
    held = 0
    for photo in photos:
        size = photo.pixels.shape[1] * photo.pixels.shape[2]
        if batch and (len(batch) == most or held + size > BATCH_PIXELS):
            yield batch
            batch, held = [], 0
        batch.append(photo)
        held += size
    if batch:
        yield batch


def _ready(jobs: list[Job], choice: CameraChoice, failures: list[Failure]) -> Iterator[_Ready]:
    """Photos with their pixels; those that cannot be used go to `failures`."""
    from humanmesh.files.images import read_photo
    from humanmesh.photos import checked_boxes

    for job in jobs:
        try:
            pixels = read_photo(job.path)
            taken_by = choice.of(job.path, pixels.shape[2], pixels.shape[1])
            if job.boxes is not None:
                checked_boxes(job.boxes, pixels.shape[2], pixels.shape[1], f"Photo {job.path}")
        except HumanMeshError as error:
            failures.append(Failure(job.path, error))
            continue
        yield _Ready(job, pixels, taken_by)


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


def unique_names(paths: Sequence[Path]) -> list[str]:
    """What each photo's files are named by: its stem, with a number where a photo of another folder or format has it already.

    A stem that ends as the files of a further person do, NAME.2, becomes NAME_2.
    """
    from humanmesh.files.result_names import result_name

    names: dict[str, None] = {}
    for path in paths:
        numbers = itertools.count(2)
        name = stem = result_name(path.stem)
        while name in names:
            name = f"{stem}_{next(numbers)}"
        names[name] = None
    return list(names)


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
