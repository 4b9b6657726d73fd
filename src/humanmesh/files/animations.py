"""Moving pictures: GIF and APNG by Pillow, MP4 by PyAV where it is installed. The suffix says which."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.videos import video_writer
from humanmesh.files.writing import whole_file

_GIF_TICK = 0.01
"""Seconds: GIF counts in hundredths, and browsers play what is shorter than two of them slowly."""
_PALETTE_FRAMES = 8
"""Frames from which a GIF's one palette is taken."""

Frames = Iterable[UInt8[np.ndarray, "height width 3"]]


def write_animation(path: Path | str, frames: Frames, frame_rate: float) -> None:
    """Pictures of one size, shown one after the other, without end where the format can (GIF, APNG).

    Args:
        path: .gif, .png or .apng, or .mp4; whole or not at all.
        frames: at least one.
        frame_rate: frames a second; GIF rounds the time of a frame to hundredths of a second.

    Raises:
        UnknownNameError: where nobody knows the suffix.
        BadInputError: where the file cannot be written, or there is no frame.
        MissingAssetError: where an MP4 is wanted and there is no PyAV.
    """
    writer = animation_writer(Path(path).suffix)
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise BadInputError(f"Animation {path}", "no frame", "Give at least one.")
    writer(Path(path), itertools.chain([first], rest), frame_rate)


def animation_writer(suffix: str) -> Callable[[Path, Iterator[np.ndarray], float], None]:
    """The function that writes animations of that suffix, with or without its dot.

    Raises:
        UnknownNameError: listing the suffixes that exist.
    """
    name = suffix.lower().removeprefix(".")
    if name not in ANIMATION_WRITERS:
        raise UnknownNameError("format of an animation", name, list(ANIMATION_WRITERS))
    return ANIMATION_WRITERS[name]


def _write_gif(path: Path, frames: Iterator[np.ndarray], frame_rate: float) -> None:
    """One palette for all frames and no dithering, or the ground would flicker."""
    pictures = [Image.fromarray(frame) for frame in frames]
    palette = _palette(pictures)
    first, *rest = (picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures)
    ticks = max(2, round(1 / (frame_rate * _GIF_TICK)))
    with whole_file(path) as beside:
        first.save(
            beside, "GIF", save_all=True, append_images=rest, duration=10 * ticks, loop=0, optimize=False
        )


def _palette(pictures: list[Image.Image]) -> Image.Image:
    step = max(1, len(pictures) // _PALETTE_FRAMES)
    some = np.concatenate([np.asarray(picture) for picture in pictures[::step]])
    return Image.fromarray(some).quantize(256, Image.Quantize.MEDIANCUT)


def _write_apng(path: Path, frames: Iterator[np.ndarray], frame_rate: float) -> None:
    first, *rest = (Image.fromarray(frame) for frame in frames)
    with whole_file(path) as beside:
        first.save(beside, "PNG", save_all=True, append_images=rest, duration=1000 / frame_rate, loop=0)


def _write_mp4(path: Path, frames: Iterator[np.ndarray], frame_rate: float) -> None:
    first = next(frames)
    height, width = first.shape[:2]
    with video_writer(path, width, height, frame_rate) as writer:
        for number, frame in enumerate(itertools.chain([first], frames)):
            writer.write(number / frame_rate, frame)


ANIMATION_WRITERS: dict[str, Callable[[Path, Iterator[np.ndarray], float], None]] = {
    "gif": _write_gif,
    "png": _write_apng,
    "apng": _write_apng,
    "mp4": _write_mp4,
}
