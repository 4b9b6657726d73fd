"""Fit a body to keypoints that another tool found: OpenPose, COCO, MMPose, Ultralytics, AlphaPose (docs/fitting.md).

For every photo it writes what `humanmesh predict` writes: an overlay, and for each person the formats asked for. A
person to whom no body can be fitted is reported with the reason, and the others are done; so are photos without keypoints.
"""

import json
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from humanmesh.cli.commands import SOME_FAILED
from humanmesh.cli.photo_batches import Failure, held_together, photos_in, unique_names
from humanmesh.cli.photo_cameras import CameraChoice, SourcedCamera
from humanmesh.cli.photo_results import Job, Writer, suffixes_of, tell
from humanmesh.cli.predict_video import clip_suffixes
from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from humanmesh.files.keypoints import BrokenRecord, KeypointRecord
    from humanmesh.fitting.people import PersonFitter, SeenPerson
    from humanmesh.inference import Recoverer
    from humanmesh.person import Person

BATCH_PHOTOS = 16
"""Photos whose people are fitted together, unless they have more than `BATCH_PIXELS`."""
_MOTION_SUFFIXES = {".npz", ".bvh", ".amc", ".txt"}
"""Of files whose points move."""
CANVAS = 512
"""Side in pixels of the white picture on which points without a photo are drawn."""


@dataclass(frozen=True)
class Arguments:
    """What `humanmesh fit` can be asked."""

    photos: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="PHOTO ...")] = ()
    """Photos, or folders of them, such as the frames of a film."""
    keypoints: Path | None = None
    """JSON file of OpenPose, COCO, MMPose, Ultralytics, AlphaPose or humanmesh predict; or a folder with a file for each photo,
    of the same name (OpenPose's "_keypoints" may follow it), or as many files as photos, in order."""
    keypoints_3d: Path | None = None
    """Keypoints in space (metres) instead of photos, in a frame whose y axis points up or down: JSON of humanmesh predict, or in
    the forms above with z; or a motion, which becomes a clip: .npz with joints_3d (frames, keypoints, 3) and keypoint_set,
    .bvh, .amc beside its .asf, AMASS's .npz, exponential maps .npz beside skeleton.json, DeepMimic's .txt."""
    amc_frame_rate: float = 120.0
    """Hz of .amc files, which do not say it: that of CMU's own; give 30 for those that were thinned to it."""
    frames: str = ""
    """Frames of a motion to fit, START:STOP:STEP as in Python; all where empty."""
    clip_format: str = "glb,bvh,npz"
    """File formats for a motion, with commas between: glb, bvh, npz; or none."""
    mask: Path | None = None
    """Picture of the person's silhouette, white on black, of the photo's size; for one photo of one person."""
    start: Literal["network", "mean"] = "network"
    """Where to start: from what the network, told the keypoints, sees in the photo, or from the mean pose, seen from four sides."""
    out: Path = Path("out")
    """Folder to write to; it is made where it is missing."""
    format: str = "glb,npz,json"
    """File formats for each person, with commas between: glb, npz, json, obj, ply, bvh; or none."""
    rig: Literal["smpl", "mixamo", "unity", "ue4", "ue5"] = "smpl"
    """Whose names the bones of GLB and BVH files carry."""
    part_colors: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show each of the body's 24 parts in a colour of its own in GLB files."""
    weights: Path | None = None
    """Checkpoint (.safetensors), or "open", for --start network; the default weights where None."""
    body: str = "anny"
    """Body: "anny" (bundled) or the path of a body file such as SMPL's."""
    device: str | None = None
    """Device of the network as PyTorch names it; a GPU where there is one, where None. The fit runs on the CPU."""
    focal: float | None = None
    """Focal length of the photos in pixels; that of the photo's EXIF tags, or the photo's diagonal, where None."""
    upright: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Turn mesh files (GLB, BVH, OBJ, PLY) and side views so that people who stand are upright: a camera that looks down sees them lean."""
    overlay: bool = True
    """Write NAME.overlay.png."""
    side_view: bool = True
    """Show the body from the side, too, in NAME.overlay.png."""
    html: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Write NAME.html: a page that shows the bodies over the photo and round about."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print the results as JSON on standard output, and nothing else there."""


@dataclass(frozen=True)
class _Task:
    """One photo with the people in it."""

    job: Job
    records: "list[KeypointRecord]"
    pixels: "Tensor"
    camera: SourcedCamera


def run(arguments: Arguments) -> int:
    """Do every photo; the exit code is 1 where some people or photos of several could not be used.

    Raises:
        HumanMeshError: where nothing can be done.
    """
    from humanmesh.files.writing import output_folder

    _check(arguments)
    suffixes = suffixes_of(arguments.format)
    failures: list[Failure] = []
    writer = Writer(arguments, output_folder(arguments.out), suffixes)
    if _is_motion(arguments.keypoints_3d):
        return _fit_motion(arguments)
    if arguments.keypoints_3d is not None:
        return _finished(arguments, _fit_points(arguments, writer, failures), failures)
    paired = _paired(arguments, failures)
    count = sum(len(records) for _, records in paired)
    if arguments.mask is not None and count > 1:
        raise BadInputError(
            "Mask", f"one for {count} people", "Give the keypoints of one person with a mask."
        )
    fitters = _Fitters(arguments)
    results: list[dict[str, Any]] = []
    with PatientBar("photos") as bar:
        for batch in held_together(_tasks(paired, arguments.focal, failures), BATCH_PHOTOS):
            for task, people in zip(batch, fitters.fit(batch, failures), strict=True):
                results.append(writer.write(task.job, task.pixels, people))
                bar(len(results), len(paired))
    return _finished(arguments, results, failures)


def _finished(arguments: Arguments, results: list[dict[str, Any]], failures: list[Failure]) -> int:
    photos = {result["photo"] for result in results} | {str(failure.photo) for failure in failures}
    total = max(sum(len(result["people"]) for result in results) + len(failures), len(photos))
    if failures and total == 1:
        raise failures[0].error
    tell(arguments, results, failures, total)
    return SOME_FAILED if failures else 0


def _is_motion(file: Path | None) -> bool:
    return file is not None and file.suffix.lower() in _MOTION_SUFFIXES


def _fit_motion(arguments: Arguments) -> int:
    """Write a clip for each person or clip of a file of points that move; the exit code is 1 where some could not be fitted."""
    from humanmesh.data.motion_files import MotionRules
    from humanmesh.data.point_tracks import read_point_tracks
    from humanmesh.files.rig_names import bone_names
    from humanmesh.fitting.tracks import fit_track

    assert arguments.keypoints_3d is not None
    chosen = _slice_of(arguments.frames)
    suffixes = clip_suffixes(arguments.clip_format)
    rules = MotionRules(arguments.amc_frame_rate)
    fitters = _Fitters(arguments)
    body = fitters.body
    tracks = read_point_tracks(
        arguments.keypoints_3d,
        lambda pose, shape: body(pose, shape).joints,
        rules.amc_frame_rate,
        body.data.name,
    )
    results: list[dict[str, Any]] = []
    failures: list[Failure] = []
    for track in tracks:
        try:
            fitting = fitters.of_set(track.keypoint_set).fitting
            with PatientBar("frames") as bar:
                clip = fit_track(fitting, fitters.body.data, track.only(chosen), CANVAS, bar)
        except HumanMeshError as error:
            failures.append(Failure(arguments.keypoints_3d, error))
            continue
        clip = replace(clip, bones=bone_names(arguments.rig))
        files = [path for suffix in suffixes for path in clip.save(arguments.out / f"{track.name}.{suffix}")]
        fitted = int((clip.people[0].scores > 0).sum())
        results.append({
            "clip": track.name,
            "frames": len(clip.times),
            "fitted_frames": fitted,
            "files": [str(f) for f in files],
        })
    if failures and not results:
        raise failures[0].error
    _tell_clips(arguments, results, failures)
    return SOME_FAILED if failures else 0


def _tell_clips(arguments: Arguments, results: list[dict[str, Any]], failures: list[Failure]) -> None:
    if arguments.json:
        failed = [{"file": str(failure.photo), "error": str(failure.error)} for failure in failures]
        print(json.dumps({"clips": results, "failures": failed}, indent=1))
    else:
        for result in results:
            names = ", ".join(Path(file).name for file in result["files"]) or "no files"
            print(
                f"{result['clip']}: {result['fitted_frames']} of {result['frames']} frames fitted -> {names}"
            )
    for failure in failures:
        print(f"humanmesh: {failure.error}", file=sys.stderr)


def _slice_of(frames: str) -> slice:
    """START:STOP:STEP as a slice.

    Raises:
        BadInputError: where it is none.
    """
    parts = frames.split(":") if frames else [""]
    try:
        numbers = [int(part) if part.strip() else None for part in parts]
        if len(numbers) > 3 or (frames and len(numbers) < 2) or (numbers[2:] and not (numbers[2] or 1) > 0):
            raise ValueError
    except ValueError:
        raise BadInputError(
            "Frames", frames, "Give START:STOP or START:STOP:STEP, with a step above 0."
        ) from None
    return slice(*numbers) if frames else slice(None)


def _fit_points(arguments: Arguments, writer: Writer, failures: list[Failure]) -> list[dict[str, Any]]:
    """Write the people of each file of points in space, drawn before white."""
    import torch

    from humanmesh.files.keypoints import BrokenRecord, keypoint_files, read_keypoints
    from humanmesh.fitting.people import KnownPoints

    assert arguments.keypoints_3d is not None
    fitters = _Fitters(arguments)
    results = []
    files = keypoint_files(arguments.keypoints_3d)
    for file, name in zip(files, unique_names(files), strict=True):
        try:
            records = read_keypoints(file, 3)
        except HumanMeshError as error:
            failures.append(Failure(file, error))
            continue
        failures += [Failure(file, record.error) for record in records if isinstance(record, BrokenRecord)]
        usable = [record for record in records if not isinstance(record, BrokenRecord)]
        people = []
        for keypoint_set in dict.fromkeys(record.keypoint_set for record in usable):
            known = [
                KnownPoints(record.positions, record.confidences, f"Keypoints of {record.source}")
                for record in usable
                if record.keypoint_set == keypoint_set
            ]
            for found in fitters.of_set(keypoint_set).fit_points(known, CANVAS):
                if isinstance(found, HumanMeshError):
                    failures.append(Failure(file, found))
                else:
                    people.append(found)
        results.append(writer.write(Job(file, name, None), torch.ones(3, CANVAS, CANVAS), people))
    return results


def _check(arguments: Arguments) -> None:
    given = [value for value in (arguments.keypoints, arguments.keypoints_3d) if value is not None]
    if len(given) != 1:
        found = "neither of --keypoints and --keypoints-3d" if not given else "both"
        raise BadInputError("Keypoints", found, "Give one of --keypoints FILE and --keypoints-3d FILE.")
    if arguments.frames and not _is_motion(arguments.keypoints_3d):
        raise BadInputError(
            "Frames", arguments.frames, "They belong to a motion: --keypoints-3d FILE.bvh and the like."
        )
    if arguments.upright and arguments.keypoints is None:
        remedy = "Leave it out: points in space say which way is down."
        raise BadInputError("Option --upright", "given with --keypoints-3d", remedy)
    if arguments.mask is not None and arguments.keypoints is None:
        raise BadInputError("Mask", "given with --keypoints-3d", "A mask goes with a photo and --keypoints.")
    if (arguments.keypoints is None) == bool(arguments.photos):
        found = "none were given" if not arguments.photos else "some were given with --keypoints-3d"
        raise BadInputError("Photos", found, "Give photos with --keypoints, and none with --keypoints-3d.")
    if arguments.focal is not None and not 0 < arguments.focal < float("inf"):
        raise BadInputError("Focal length", f"{arguments.focal} pixels", "Give a positive number.")


def _paired(
    arguments: Arguments, failures: list[Failure]
) -> "list[tuple[Path, list[KeypointRecord | BrokenRecord]]]":
    """Each photo with its people; photos and files that cannot be used go to `failures`."""
    from humanmesh.files.keypoints import keypoint_files, photo_stem, read_keypoints

    photos = [path for given in arguments.photos for path in photos_in(given)]
    assert arguments.keypoints is not None
    files = keypoint_files(arguments.keypoints)
    if not arguments.keypoints.is_dir():
        return _shared_out(photos, read_keypoints(files[0]), arguments.keypoints, failures)
    by_stem = {photo_stem(file): file for file in files}
    if not any(photo.stem in by_stem for photo in photos) and len(files) == len(photos):
        by_stem = dict(zip((photo.stem for photo in photos), files, strict=True))
    stems = Counter(photo.stem for photo in photos)
    paired = []
    for photo in photos:
        try:
            if stems[photo.stem] > 1:
                found = f"{stems[photo.stem]} photos have this name, and keypoint files go by name"
                raise BadInputError(f"Photo {photo}", found, "Fit one folder at a time.")
            if photo.stem not in by_stem:
                remedy = f"Name it {photo.stem}_keypoints.json or {photo.stem}.json."
                raise MissingAssetError(f"keypoint file for {photo}", arguments.keypoints, remedy)
            records = read_keypoints(by_stem[photo.stem])
            _check_frames(records, 1, by_stem[photo.stem])
            paired.append((photo, records))
        except HumanMeshError as error:
            failures.append(Failure(photo, error))
    return paired


def _shared_out(
    photos: list[Path],
    records: "list[KeypointRecord | BrokenRecord]",
    file: Path,
    failures: list[Failure],
) -> "list[tuple[Path, list[KeypointRecord | BrokenRecord]]]":
    """The people of one file, by the names of the photos in it or the order of its frames; all of them where there is
    one photo without names."""
    if not records:
        raise BadInputError(f"Keypoint file {file}", "nobody in it", "Give a file with people.")
    if _is_film(records):
        _check_frames(records, len(photos), file)
        by_row: dict[int, list[KeypointRecord | BrokenRecord]] = {}
        for record in records:
            by_row.setdefault(record.frame.row if record.frame else 0, []).append(record)
        return [(photo, by_row.get(row, [])) for row, photo in enumerate(photos)]
    by_image: dict[str | None, list[KeypointRecord | BrokenRecord]] = {}
    for record in records:
        by_image.setdefault(_number(record.image) or Path(record.image).name, []).append(record)
    keys = [
        next((key for key in (photo.name, _number(photo.stem), photo.stem) if key in by_image), None)
        for photo in photos
    ]
    found = [by_image.get(key, []) for key in keys]
    if not any(found):
        if len(photos) == 1 and len(by_image) == 1 and _may_be_of(records[0].image, photos[0]):
            return [(photos[0], records)]
        remedy = "Give a folder with a file for each photo, or a file that names its photos."
        wanted = photos[0].name if len(photos) == 1 else f"any of {len(photos)} photos"
        raise BadInputError(f"Keypoint file {file}", f"nobody in {wanted}", remedy)
    claims = Counter(keys)
    paired = []
    for photo, key, people in zip(photos, keys, found, strict=True):
        if people and (claims[key] > 1 or len({person.image for person in people}) > 1):
            people = [person for person in people if _ends_like(photo, person.image)]
            if not people:
                told = f"other photos have this name, here or in {file}"
                error = BadInputError(f"Photo {photo}", told, "Give photos of one folder, and a file of it.")
                failures.append(Failure(photo, error))
                continue
        paired.append((photo, people))
    return paired


def _is_film(records: "list[KeypointRecord | BrokenRecord]") -> bool:
    return bool(records) and all(record.frame is not None and not record.image for record in records)


def _check_frames(records: "list[KeypointRecord | BrokenRecord]", photos: int, file: Path) -> None:
    """Refuse the frames of a film that are more or fewer than the photos."""
    frame = records[0].frame if _is_film(records) else None
    if frame is not None and frame.count != photos:
        found = f"{frame.count} frames of a film for {photos} photo{'' if photos == 1 else 's'}"
        raise BadInputError(
            f"Keypoint file {file}", found, "Give its frames as photos, all of them, in order."
        )


def _number(name: str) -> str | None:
    """COCO's number of a photo, without the zeros before it; None where the name is none."""
    return str(int(name)) if name.isdecimal() else None


def _may_be_of(image: str, photo: Path) -> bool:
    """Whether a file that calls its only photo so may mean one of another name."""
    return not Path(image).suffix and not (_number(image) and _number(photo.stem))


def _ends_like(photo: Path, image: str) -> bool:
    """Whether a photo lies in the folder that a file names with it; the file may leave out the photo's suffix."""
    parts = Path(image).parts
    whole = photo.absolute()
    ends = {path.parts[-len(parts) :] for path in (whole, whole.with_suffix(""))}
    return len(parts) > 1 and parts in ends


def _tasks(
    paired: "list[tuple[Path, list[KeypointRecord | BrokenRecord]]]",
    focal_length: float | None,
    failures: list[Failure],
) -> Iterator[_Task]:
    """Photos with their pixels and people; people and photos that cannot be used go to `failures`."""
    from humanmesh.files.images import read_photo
    from humanmesh.files.keypoints import BrokenRecord

    choice = CameraChoice(focal_length, None)
    names = unique_names([photo for photo, _ in paired])
    for name, (photo, records) in zip(names, paired, strict=True):
        failures += [Failure(photo, record.error) for record in records if isinstance(record, BrokenRecord)]
        try:
            pixels = read_photo(photo)
            height, width = pixels.shape[1:]
            camera = choice.of(photo, width, height)
        except HumanMeshError as error:
            failures.append(Failure(photo, error))
            continue
        usable = [record for record in records if not isinstance(record, BrokenRecord)]
        yield _Task(Job(photo, name, None), usable, pixels, camera)


def _read_mask(path: Path) -> "np.ndarray":
    from humanmesh.files.images import read_photo

    return (read_photo(path).mean(0) > 0.5).numpy()


class _Fitters:
    """The body, ready for any keypoint set, and the network where it is asked for its view."""

    def __init__(self, arguments: Arguments) -> None:
        from humanmesh.body.model import BodyModel
        from humanmesh.files.body_models import load_body_data
        from humanmesh.inference import load

        self.arguments = arguments
        self.mask = None if arguments.mask is None else _read_mask(arguments.mask)
        self.recoverer: Recoverer | None = None
        if arguments.start == "network" and arguments.keypoints is not None:
            self.recoverer = load(arguments.weights, arguments.body, arguments.device)
            self.body = self.recoverer.body
        else:
            self.body = BodyModel(load_body_data(arguments.body))
        self.known: dict[str, PersonFitter] = {}

    def of_set(self, keypoint_set: str) -> "PersonFitter":
        from humanmesh.fitting.people import PersonFitter

        if keypoint_set not in self.known:
            self.known[keypoint_set] = PersonFitter(self.body, keypoint_set)
        return self.known[keypoint_set]

    def fit(self, batch: list[_Task], failures: list[Failure]) -> "list[list[Person]]":
        """The people of each photo; those to whom no body can be fitted go to `failures`."""
        everyone = [(task, record) for task in batch for record in task.records]
        seen = [self._seen(task, record) for task, record in everyone]
        found: list[Person | HumanMeshError | None] = [None] * len(everyone)
        for keypoint_set in dict.fromkeys(record.keypoint_set for _, record in everyone):
            rows = [row for row, (_, record) in enumerate(everyone) if record.keypoint_set == keypoint_set]
            some = self._fit_set(
                keypoint_set, [everyone[row][0] for row in rows], [seen[row] for row in rows]
            )
            for row, person in zip(rows, some, strict=True):
                found[row] = person
        people: dict[int, list[Person]] = {id(task): [] for task in batch}
        for (task, _), person in zip(everyone, found, strict=True):
            if isinstance(person, HumanMeshError):
                failures.append(Failure(task.job.path, person))
            elif person is not None:
                people[id(task)].append(person)
        return [people[id(task)] for task in batch]

    def _fit_set(
        self, keypoint_set: str, tasks: list[_Task], seen: "list[SeenPerson]"
    ) -> "list[Person | HumanMeshError]":
        fitter = self.of_set(keypoint_set)
        if self.recoverer is None:
            return fitter.fit(seen)
        return fitter.fit_with(self.recoverer, [task.pixels for task in tasks], seen)

    def _seen(self, task: _Task, record: "KeypointRecord") -> "SeenPerson":
        from humanmesh.fitting.people import SeenPerson

        height, width = task.pixels.shape[1:]
        return SeenPerson(
            record.positions,
            record.confidences,
            task.camera.camera,
            (width, height),
            f"Keypoints of {record.source}",
            self.mask,
            task.camera.is_known,
        )
