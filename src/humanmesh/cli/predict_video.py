"""Films, folders of frames and webcams for `humanmesh predict`: people in motion instead of people in photos.

For a film NAME.mp4 it writes into the output folder NAME.overlay.mp4, NAME.glb (everybody, animated), NAME.bvh (and NAME.2.bvh and so
on, one a person) and NAME.npz, and NAME.html where a page is asked for. What stands in them is described in docs/video.md.
"""

import json
import signal
import sys
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol, runtime_checkable

import tyro

from humanmesh.cli.commands import SOME_FAILED
from humanmesh.cli.photo_cameras import told_pitch
from humanmesh.cli.photo_results import formats_in
from humanmesh.cli.progress import PatientBar
from humanmesh.errors import BadInputError, HumanMeshError, UnknownNameError

if TYPE_CHECKING:
    from humanmesh.files.clips import Clip
    from humanmesh.files.sightings import SeenFrame
    from humanmesh.files.videos import Footage, Frame, Webcam
    from humanmesh.inference import Recoverer

KEEP_EVERY = 20.0
"""Seconds of work after which the frames done so far are written down."""


@dataclass(frozen=True)
class VideoOptions:
    """Options of films, which photos do not use.

    Of the other options films refuse `--boxes`, `--intrinsics` and `--height`, and do not use `--format`, `--part-colors` and
    `--side-view`.
    """

    frames: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Take each folder for the frames of one film, in the order of the numbers in their names."""
    fps: float = 30.0
    """Frames a second of such a folder."""
    webcam: int | None = None
    """Number of a webcam, 0 for the first, instead of a film; stop it with Ctrl-C."""
    seconds: float | None = None
    """Stop the webcam after so many seconds."""
    clip_format: str = "glb,bvh,npz"
    """File formats for a film, with commas between: glb, bvh, npz; or none."""
    smoother: str = "zero-lag"
    """Smoothing of a film: zero-lag, one-euro (as a live view must, from the past alone) or none."""
    smoothing: float = 1.0
    """Strength of the smoothing: 2 averages over twice the time; 0 is none."""
    foot_lock: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Keep feet that stand from sliding, for a camera that does not move."""
    find_every: int = 10
    """Frames of a film from one search for people to the next; between them they are followed."""
    resume: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Go on with a film that was interrupted."""


@runtime_checkable
class VideoArguments(Protocol):
    """What of the arguments of `humanmesh predict` films use."""

    @property
    def photos(self) -> tuple[Path, ...]: ...
    @property
    def out(self) -> Path: ...
    @property
    def boxes(self) -> Path | None: ...
    @property
    def people(self) -> int | None: ...
    @property
    def detector(self) -> str | None: ...
    @property
    def rig(self) -> str: ...
    @property
    def weights(self) -> Path | None: ...
    @property
    def body(self) -> str: ...
    @property
    def device(self) -> str | None: ...
    @property
    def precision(self) -> str: ...
    @property
    def focal(self) -> float | None: ...
    @property
    def intrinsics(self) -> Path | None: ...
    @property
    def height(self) -> float | None: ...
    @property
    def upright(self) -> bool: ...
    @property
    def overlay(self) -> bool: ...
    @property
    def html(self) -> bool: ...
    @property
    def json(self) -> bool: ...
    @property
    def video(self) -> VideoOptions: ...


def is_video(path: Path) -> bool:
    """Whether a path is a film by its name."""
    from humanmesh.files.videos import VIDEO_SUFFIXES

    return path.suffix.lower() in VIDEO_SUFFIXES


def wants_video(arguments: VideoArguments) -> bool:
    """Whether there is a film among what is asked for, or a webcam, or folders of frames."""
    options = arguments.video
    return options.webcam is not None or options.frames or any(map(is_video, arguments.photos))


def run_video(arguments: VideoArguments) -> int:
    """Do every film; the exit code is 1 where some of several could not be used.

    Raises:
        HumanMeshError: where nothing can be done, or the only film cannot be used.
    """
    from humanmesh.files.writing import output_folder

    suffixes = clip_suffixes(arguments.video.clip_format)
    _refuse_options_of_photos(arguments)
    config = _config(arguments)
    sources = _sources(arguments)
    footages: list[tuple[str, Footage]] = []
    failures: list[HumanMeshError] = []
    for name, source in sources:
        try:
            footages.append((name, _footage(source, arguments)))
        except HumanMeshError as error:
            failures.append(error)
    worker = None
    results = []
    for name, footage in footages:
        worker = worker or _Worker(
            arguments, config, output_folder(arguments.out), suffixes, _load(arguments)
        )
        try:
            results.append(worker.work(name, footage))
        except HumanMeshError as error:
            failures.append(error)
    _tell(arguments, results, failures)
    if failures and len(sources) == 1:
        raise failures[0]
    return SOME_FAILED if failures else 0


def clip_suffixes(formats: str) -> list[str]:
    """File formats of clips named with commas between.

    Raises:
        UnknownNameError: where one of them is none; mp4, too, since NAME.mp4 may be the film itself.
    """
    from humanmesh.files.clips import CLIP_WRITERS

    known = [name for name in CLIP_WRITERS if name != "mp4"]
    names = formats_in(formats)
    for name in names:
        if name not in known:
            raise UnknownNameError("output format of a clip", name, known)
    return names


def _refuse_options_of_photos(arguments: VideoArguments) -> None:
    """Say so where what is known of photos would be without effect."""
    for name in ("boxes", "intrinsics", "height"):
        if getattr(arguments, name) is not None:
            raise BadInputError(f"Option --{name}", "it is for photos, not for films", "Leave it out.")


def _config(arguments: VideoArguments) -> Any:
    from humanmesh.video import VideoConfig

    options = arguments.video
    is_smooth = options.smoothing != 0
    return VideoConfig(
        find_every=options.find_every,
        smoother=options.smoother if is_smooth else "none",
        strength=options.smoothing if is_smooth else 1.0,
        foot_lock=options.foot_lock,
        upright=arguments.upright,
        most=arguments.people,
        focal_length=arguments.focal,
    )


def _sources(arguments: VideoArguments) -> list[tuple[str, Path | int]]:
    """Name of the output files, and a film, a folder or the number of a webcam."""
    from humanmesh.files.result_names import result_name

    webcam = arguments.video.webcam
    if webcam is not None:
        if arguments.photos:
            raise BadInputError("Webcam", "films or photos were given as well", "Give one or the other.")
        return [(f"webcam{webcam}", webcam)]
    if not arguments.photos:
        raise BadInputError("Frames", "no folder was given", "Give one or more folders of frames.")
    for path in arguments.photos:
        if not (is_video(path) or arguments.video.frames):
            remedy = "Do photos and films one after the other; give --frames for a folder of frames."
            raise BadInputError(f"Input {path}", "it is no film, and others are", remedy)
    stems = [path.resolve().name if path.is_dir() else path.stem for path in arguments.photos]
    names = [result_name(stem) for stem in stems]
    doubled = {name for name in names if names.count(name) > 1}
    if doubled:
        raise BadInputError("Films", f"two are called {min(doubled)}", "Give them one after the other.")
    return list(zip(names, arguments.photos, strict=True))


def _footage(source: Path | int, arguments: VideoArguments) -> "Footage":
    from humanmesh.files.videos import FrameFolder, VideoFile, Webcam

    if isinstance(source, int):
        return Webcam(source)
    if source.is_dir():
        return FrameFolder(source, arguments.video.fps)
    return VideoFile(source)


def _load(arguments: VideoArguments) -> "Recoverer":
    from humanmesh.inference import load

    return load(arguments.weights, arguments.body, arguments.device, arguments.precision, arguments.detector)


class _Notebook:
    """Writes the frames done so far to a file now and then, and when the work is interrupted."""

    def __init__(self, path: Path, made_from: str) -> None:
        self.path = path
        self.made_from = made_from
        self.frames: list[SeenFrame] = []
        self._written = time.monotonic()

    def read(self) -> "list[SeenFrame]":
        from humanmesh.files.sightings import read_sightings

        return read_sightings(self.path, self.made_from) if self.path.exists() else []

    def keep(self, frames: "list[SeenFrame]") -> None:
        self.frames = frames
        if time.monotonic() - self._written > KEEP_EVERY:
            self.write()

    def write(self) -> None:
        from humanmesh.files.sightings import write_sightings

        if self.frames:
            write_sightings(self.path, self.frames, self.made_from)
        self._written = time.monotonic()


@dataclass(frozen=True)
class _Worker:
    """Does one film after the other."""

    arguments: VideoArguments
    config: Any
    folder: Path
    suffixes: list[str]
    recoverer: "Recoverer"

    def work(self, name: str, footage: "Footage") -> dict[str, Any]:
        """Follow the people of one film, write its files, and return what there is to say about it."""
        from humanmesh.files.rig_names import bone_names

        made_from = _made_from(footage, self.arguments)
        notebook = _Notebook(self.folder / f"{name}.partial.npz", made_from)
        try:
            clip, rate = self._seen(name, footage, notebook)
            files = self._save(name, replace(clip, bones=bone_names(self.arguments.rig)))
        except BaseException:
            with suppress(HumanMeshError):  # a full disk: what was kept before stays
                notebook.write()
            raise
        notebook.path.unlink(missing_ok=True)
        pitch = {"camera_pitch": clip.camera_pitch} if self.arguments.upright and clip.people else {}
        return {
            "film": footage.name,
            "frames": len(clip.times),
            "skipped_frames": clip.skipped,
            "frames_per_second": None if rate is None else round(rate, 1),
            "people": [
                {
                    "identity": person.identity,
                    "first_frame": person.first_frame,
                    "frames": len(person.scores),
                    "seen_frames": int((person.scores > 0).sum()),
                }
                for person in clip.people
            ],
            "files": [str(path) for path in files],
            **pitch,
        }

    def _seen(self, name: str, footage: "Footage", notebook: _Notebook) -> "tuple[Clip, float | None]":
        """What `_follow` gives; a webcam is recorded meanwhile."""
        from humanmesh.files.videos import VideoFile, Webcam

        if not isinstance(footage, Webcam):
            return self._follow(footage, notebook, notebook.read() if self.arguments.video.resume else [])
        path = self.folder / f"{name}.mp4"
        with _interrupts() as interrupted:
            recording = _Recording(footage, path, self.arguments.video.seconds, interrupted)
            clip, rate = self._follow(recording, notebook, [])
        return replace(clip, footage=VideoFile(path)), rate

    def _follow(
        self, footage: "Footage", notebook: _Notebook, done: "list[SeenFrame]"
    ) -> "tuple[Clip, float | None]":
        """The clip, and how many frames a second it took to see (reading, finding, recovering, following)."""
        from humanmesh.video import recover_video

        start = time.monotonic()
        last = start
        with PatientBar("frames") as bar:

            def advance(frames: "list[SeenFrame]") -> None:
                nonlocal last
                last = time.monotonic()
                bar(len(frames), footage.expected_frames or len(frames))
                notebook.keep(frames)

            clip = recover_video(self.recoverer, footage, self.config, done, advance)
        new = len(clip.times) - len(done)
        return clip, new / (last - start) if new > 0 and last > start else None

    def _save(self, name: str, clip: "Clip") -> "list[Path]":
        from humanmesh.files.clips import write_overlay
        from humanmesh.web.page import clip_page, write_page

        files: list[Path] = []
        for suffix in self.suffixes:
            files += clip.save(self.folder / f"{name}.{suffix}")
        if self.arguments.overlay and clip.people:
            path = self.folder / f"{name}.overlay.mp4"
            with PatientBar("frames drawn") as bar:
                write_overlay(path, clip, bar)
            files.append(path)
        if self.arguments.html and clip.people:
            path = self.folder / f"{name}.html"
            write_page(path, clip_page(name, clip))
            files.append(path)
        return files


def _made_from(footage: "Footage", arguments: VideoArguments) -> str:
    """What the sightings of a film depend on, in words."""
    from humanmesh.files.videos import VideoFile

    options = arguments.video
    parts = [footage.name, footage.frame_rate, footage.expected_frames, options.find_every]
    parts += [arguments.weights, arguments.body, arguments.focal, arguments.precision, arguments.detector]
    if isinstance(footage, VideoFile):
        parts.append(footage.path.stat().st_size)
    return "; ".join(map(str, parts))


class _Interrupted:
    """Whether Ctrl-C was pressed."""

    def __init__(self) -> None:
        self.is_set = False

    def set(self, *signal_and_frame: object) -> None:
        self.is_set = True


@contextmanager
def _interrupts() -> Generator[_Interrupted, None, None]:
    """Ctrl-C ends the recording instead of the program."""
    interrupted = _Interrupted()
    before = signal.signal(signal.SIGINT, interrupted.set)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


class _Recording:
    """A webcam whose frames are kept in a film until it is stopped."""

    def __init__(
        self, webcam: "Webcam", path: Path, seconds: float | None, interrupted: _Interrupted
    ) -> None:
        self.webcam = webcam
        self.path = path
        self.seconds = seconds
        self.interrupted = interrupted
        self.name = webcam.name
        self.frame_rate = webcam.frame_rate
        self.expected_frames: int | None = None

    @property
    def skipped(self) -> int:
        return self.webcam.skipped

    def frames(self) -> "Iterator[Frame]":
        from humanmesh.files.videos import video_writer

        live = self.webcam.frames()
        first = next(live, None)
        if first is None:
            return
        height, width = first.pixels.shape[:2]
        with video_writer(self.path, width, height, self.frame_rate) as writer:
            writer.write(first.time, first.pixels)
            yield first
            for frame in live:
                if self.interrupted.is_set or (self.seconds is not None and frame.time > self.seconds):
                    break
                writer.write(frame.time, frame.pixels)
                yield frame


def _tell(arguments: VideoArguments, results: list[dict[str, Any]], failures: list[HumanMeshError]) -> None:
    if arguments.json:
        print(json.dumps({"films": results, "failures": [str(error) for error in failures]}, indent=1))
    else:
        for result in results:
            print(_sentence(result))
    if failures and len(results) + len(failures) > 1:
        print(f"humanmesh: {len(failures)} films could not be used:", file=sys.stderr)
        for error in failures:
            print(f"  {error}", file=sys.stderr)


def _sentence(result: dict[str, Any]) -> str:
    people = len(result["people"])
    count = {0: "no person found", 1: "1 person"}.get(people, f"{people} people")
    skipped = f", {result['skipped_frames']} unreadable frames left out" if result["skipped_frames"] else ""
    rate = f" at {result['frames_per_second']:.1f} frames/s" if result["frames_per_second"] else ""
    files = ", ".join(Path(file).name for file in result["files"]) or "no files"
    found = f"{count} in {result['frames']} frames{skipped}{rate}{told_pitch(result)}"
    return f"{result['film']}: {found} -> {files}"
