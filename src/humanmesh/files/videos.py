"""Films, folders of frames and webcams in, films out. Needs PyAV (`pip install "humanmesh[video]"`) but for folders.

Frames come upright, with square pixels, with their own times, in RGB. A frame that cannot be decoded is skipped and counted.
"""

import math
import platform
import time
from collections.abc import Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError
from humanmesh.files.folders import by_numbers, readable
from humanmesh.files.images import PHOTO_SUFFIXES, bytes_of_pixels, check_size, read_photo
from humanmesh.files.writing import whole_file

VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".flv", ".3gp", ".ts", ".mts", ".m2ts", ".ogv",
})  # fmt: skip
"""What is taken for a film by its name."""
FRAME_RATE = 30.0
"""Frames a second where nothing says how many."""

_TICKS = 90_000
"""A second in written films: whole numbers for all common frame rates."""
_WEBCAM_FORMATS = {"Linux": ("v4l2", "/dev/video{}"), "Darwin": ("avfoundation", "{}:none")}
"""Operating system -> FFmpeg's input format and the name of webcam number {}."""


@dataclass(frozen=True)
class Frame:
    """One picture of a film."""

    time: float
    """Seconds since the first frame; increasing."""
    pixels: UInt8[np.ndarray, "height width 3"]
    """RGB, upright, with square pixels."""


@runtime_checkable
class Footage(Protocol):
    """Where frames come from."""

    @property
    def name(self) -> str:
        """For people, such as "Video clip.mp4"."""
        ...

    @property
    def frame_rate(self) -> float:
        """Frames a second, on average, as far as is known."""
        ...

    @property
    def expected_frames(self) -> int | None:
        """How many frames there should be; None where nothing says so."""
        ...

    @property
    def skipped(self) -> int:
        """Frames so far that could not be read."""
        ...

    def frames(self) -> Iterator[Frame]:
        """The frames from the first on."""
        ...


class VideoFile:
    """A film in a file."""

    def __init__(self, path: Path | str) -> None:
        """Open it for a look.

        Raises:
            MissingAssetError: where there is no such file, or no PyAV.
            BadInputError: where the file is no film, damaged, or of a size that cannot be used.
        """
        self.path = Path(path)
        self.name = f"Video {path}"
        self.skipped = 0
        with readable(self.name):
            is_there = self.path.exists()
        if not is_there:
            raise MissingAssetError("video", path, "Check the path.")
        with _opened(self.name, str(self.path)) as container:
            stream = container.streams.video[0]
            check_size(*_square_size(stream.width, stream.height, _pixel_aspect(stream)), self.name)
            self.frame_rate = float(stream.average_rate or stream.guessed_rate or FRAME_RATE)
            self.expected_frames: int | None = stream.frames or None

    def frames(self) -> Iterator[Frame]:
        """The frames from the first on, turned as the film's rotation says."""
        self.skipped = 0
        with _opened(self.name, str(self.path)) as container:
            yield from _timed(_decoded(container, self), 1 / self.frame_rate)


class FrameFolder:
    """A folder of pictures, one a frame, in the order of the numbers in their names."""

    def __init__(self, path: Path | str, frame_rate: float = FRAME_RATE) -> None:
        """Look what is in it.

        Raises:
            BadInputError: where no picture is in it, it cannot be read, or the frame rate is no positive number.
        """
        self.path = Path(path)
        self.name = f"Folder {path}"
        self.skipped = 0
        self.frame_rate = frame_rate
        if not 0 < frame_rate < math.inf:
            raise BadInputError(self.name, f"{frame_rate} frames a second", "Give a positive number.")
        with readable(self.name):
            found = [entry for entry in self.path.iterdir() if entry.suffix.lower() in PHOTO_SUFFIXES]
        self.paths = sorted(found, key=lambda file: by_numbers(file.name))
        self.expected_frames: int | None = len(self.paths)
        if not self.paths:
            kinds = ", ".join(sorted(PHOTO_SUFFIXES))
            raise BadInputError(self.name, "no picture in it", f"Looked for files that end in {kinds}.")

    def frames(self) -> Iterator[Frame]:
        """The pictures, each at its number divided by the frame rate; those that cannot be read leave a gap.

        Raises:
            BadInputError: where a picture has another size than the first.
        """
        self.skipped = 0
        size = None
        for number, path in enumerate(self.paths):
            try:
                pixels = bytes_of_pixels(read_photo(path))
            except HumanMeshError:
                self.skipped += 1
                continue
            size = size or pixels.shape
            if pixels.shape != size:
                found = f"{path.name} has {pixels.shape[1]} x {pixels.shape[0]} pixels, the first {size[1]} x {size[0]}"
                raise BadInputError(self.name, found, "Give frames of one size.")
            yield Frame(number / self.frame_rate, pixels)


class Webcam:
    """A camera of this computer, until it is unplugged or the reader stops."""

    def __init__(self, index: int) -> None:
        """Look whether it answers.

        Raises:
            BadInputError: where there is none of that number.
            MissingAssetError: where there is no PyAV.
        """
        self.name = f"Webcam {index}"
        self.skipped = 0
        self.expected_frames: int | None = None
        self.frame_rate = FRAME_RATE
        system = platform.system()
        if system not in _WEBCAM_FORMATS:
            raise BadInputError(self.name, f"webcams of {system} are not supported", "Record a film first.")
        self._format, name = _WEBCAM_FORMATS[system]
        self._device = name.format(index)
        with self._connected():
            pass

    def _connected(self) -> AbstractContextManager[Any]:
        remedy = "Check that it is plugged in and that no other program uses it."
        return _opened(self.name, self._device, remedy, self._format)

    def frames(self) -> Iterator[Frame]:
        """Frames as they come, at the times when they come."""
        with self._connected() as container:
            first = None
            for _, pixels in _decoded(container, self):
                now = time.monotonic()
                first = now if first is None else first
                yield Frame(now - first, pixels)


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        remedy = 'Run: pip install "humanmesh[video]"'
        raise MissingAssetError("video reader (PyAV)", "this installation of Python", remedy) from error
    return av


@contextmanager
def _opened(
    name: str, source: str, remedy: str = "Give a film that plays.", kind: str | None = None
) -> Generator[Any, None, None]:
    """The container, with at least one stream of pictures in it."""
    av = _av()
    try:
        container = av.open(source, format=kind)
    except (av.error.FFmpegError, OSError) as error:
        reason = str(error.strerror or error)
        raise BadInputError(name, f"it cannot be opened ({reason})", remedy) from error
    with container:
        if not container.streams.video:
            raise BadInputError(name, "no pictures in it", remedy)
        yield container


def _decoded(container: Any, footage: VideoFile | Webcam) -> Iterator[tuple[float | None, np.ndarray]]:
    """Times and pixels of what can be read; the footage counts the rest."""
    unreadable = _av().error.FFmpegError
    stream = container.streams.video[0]
    aspect = _pixel_aspect(stream)
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except unreadable:  # the file ends in the middle of a frame, or the webcam was unplugged
            footage.skipped += 1
            return
        try:
            frames = packet.decode()
        except unreadable:
            footage.skipped += 1
            continue
        for frame in frames:
            if frame.is_corrupt:
                footage.skipped += 1
            else:
                yield frame.time, _upright(frame, aspect)


def _pixel_aspect(stream: Any) -> Fraction:
    """Width of a pixel divided by its height, before the film is turned; 1 where the film does not say."""
    aspect = stream.sample_aspect_ratio
    return aspect if aspect is not None and aspect > 0 else Fraction(1)


def _square_size(width: int, height: int, aspect: Fraction) -> tuple[int, int]:
    """Width and height with square pixels: the side along which pixels are too few becomes longer, and even."""
    if aspect > 1:
        return 2 * round(width * aspect / 2), height
    if aspect < 1:
        return width, 2 * round(height / aspect / 2)
    return width, height


def _upright(frame: Any, aspect: Fraction) -> UInt8[np.ndarray, "height width 3"]:
    width, height = _square_size(frame.width, frame.height, aspect)
    pixels = frame.to_ndarray(format="rgb24", width=width, height=height)
    quarters = round(frame.rotation / 90) % 4
    return np.ascontiguousarray(np.rot90(pixels, quarters)) if quarters else pixels


def _timed(decoded: Iterator[tuple[float | None, np.ndarray]], usual: float) -> Iterator[Frame]:
    """Frames with times from 0 on; where a time is missing or not after the last, the usual distance follows the last."""
    first = last = None
    for stamp, pixels in decoded:
        if first is None or last is None:
            first, now = stamp or 0.0, 0.0
        else:
            now = last + usual if stamp is None or stamp - first <= last else stamp - first
        last = now
        yield Frame(now, pixels)


class VideoWriter:
    """Takes frames for a film; made by `video_writer`."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._container = container
        self._stream = stream

    def write(self, time: float, pixels: UInt8[np.ndarray, "height width 3"]) -> None:
        """One more frame, shown from `time` (seconds, increasing) on."""
        height, width = pixels.shape[:2]
        even = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = _av().VideoFrame.from_ndarray(even, format="rgb24")
        frame.time_base = Fraction(1, _TICKS)
        frame.pts = round(time * _TICKS)
        self._container.mux(self._stream.encode(frame))

    def flush(self) -> None:
        """Write what is still being encoded."""
        self._container.mux(self._stream.encode())


@contextmanager
def video_writer(
    path: Path | str, width: int, height: int, frame_rate: float
) -> Generator[VideoWriter, None, None]:
    """A film (H.264 in MP4) to fill frame by frame; it is there when the block ends well, or not at all.

    A side of odd length gets one more row or column, as the format wants.

    Raises:
        MissingAssetError: where there is no PyAV.
        BadInputError: where the file cannot be written, for lack of room too.
    """
    av = _av()
    with whole_file(path) as beside:
        try:
            with av.open(str(beside), "w", format="mp4") as container:
                rate = Fraction(frame_rate).limit_denominator(1001)
                stream = container.add_stream(
                    "libx264", rate=rate, options={"crf": "20", "preset": "veryfast"}
                )
                stream.width, stream.height = width + width % 2, height + height % 2
                stream.pix_fmt = "yuv420p"
                stream.codec_context.time_base = Fraction(1, _TICKS)
                writer = VideoWriter(container, stream)
                yield writer
                writer.flush()
        except av.error.FFmpegError as error:
            raise OSError(error.errno, error.strerror) from error
