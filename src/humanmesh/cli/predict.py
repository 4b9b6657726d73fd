"""Recover the people in photos, and in films (docs/video.md).

For every photo NAME.jpg it writes into the output folder NAME.overlay.png (the photo with the body over it, and the
bodies from the side), NAME.glb, .npz and .json (--format) of the largest person; the next one's are NAME.2.glb
and so on, and so those of a photo NAME.2.jpg are called NAME_2. What stands in them, with units and frames, is described in
docs/outputs.md. A photo without a person gives no files and is no error.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from humanmesh.cli.commands import SOME_FAILED
from humanmesh.cli.photo_batches import Failure, held_together, photos_in, unique_names
from humanmesh.cli.photo_cameras import CameraChoice, SourcedCamera, camera_choice
from humanmesh.cli.photo_results import Job, Writer, suffixes_of, tell
from humanmesh.cli.predict_video import VideoOptions, run_video, wants_video
from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError

if TYPE_CHECKING:
    from torch import Tensor

    from humanmesh.inference import Recoverer
    from humanmesh.person import Person

BATCH_PHOTOS = 8
"""Photos that go through the network together."""


@dataclass(frozen=True)
class Arguments:
    """What `humanmesh predict` can be asked."""

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO ...")]
    """Photos (PNG, JPEG, WebP, BMP, TIFF, GIF), or folders of them (not of folders or films); or films (MP4, MOV, MKV, WebM, ...)."""
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


def _jobs(arguments: Arguments) -> list[Job]:
    paths = [path for given in arguments.photos for path in photos_in(given)]
    if not paths:
        raise BadInputError("Photos", "none were given", "Give one or more photos, or a folder of them.")
    boxes = _boxes_of(arguments.boxes, paths)
    jobs = [Job(*job) for job in zip(paths, unique_names(paths), boxes, strict=True)]
    return jobs


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
