import itertools
import resource
import struct
import sys
from contextlib import nullcontext
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files import images, videos
from humanmesh.files.videos import Footage, FrameFolder, VideoFile, Webcam, video_writer

av = pytest.importorskip("av")

WIDTH, HEIGHT = 96, 64


def made_frames(count: int) -> list[np.ndarray]:
    """Grey that grows lighter, with a red upper left corner."""
    frames = [np.full((HEIGHT, WIDTH, 3), 30 * number, np.uint8) for number in range(count)]
    for frame in frames:
        frame[:20, :30] = [255, 0, 0]
    return frames


def write_film(path: Path, frames: list[np.ndarray], times: list[float]) -> Path:
    height, width = frames[0].shape[:2]
    with video_writer(path, width, height, 25.0) as writer:
        for time, frame in zip(times, frames, strict=True):
            writer.write(time, frame)
    return path


def is_red(pixel: np.ndarray) -> bool:
    return bool(pixel[0] > 200 and pixel[1] < 60 and pixel[2] < 60)


def noisy_film(path: Path) -> Path:
    chance = np.random.default_rng(0)
    frames = [chance.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8) for _ in range(20)]
    return write_film(path, frames, [number / 25 for number in range(20)])


def test_a_film_comes_back_with_its_uneven_times(tmp_path):
    times = [0.0, 0.04, 0.08, 0.2, 0.24, 0.5]
    footage = VideoFile(write_film(tmp_path / "a.mp4", made_frames(6), times))
    frames = list(footage.frames())
    np.testing.assert_allclose([frame.time for frame in frames], times, atol=1e-4)
    for number, frame in enumerate(frames):
        assert abs(int(frame.pixels[50, 70, 1]) - 30 * number) <= 3
        assert is_red(frame.pixels[5, 5])
    assert footage.expected_frames == 6
    assert footage.skipped == 0
    assert isinstance(footage, Footage)


def test_frames_can_be_read_again(tmp_path):
    footage = VideoFile(write_film(tmp_path / "a.mp4", made_frames(3), [0.0, 0.04, 0.08]))
    first, second = (np.stack([frame.pixels for frame in footage.frames()]) for _ in range(2))
    assert np.array_equal(first, second)


# Rows a b u, c d v, x y w of the track header's matrix (ISO 14496-12): x' = a x + c y, y' = b x + d y.
QUARTER_RIGHT = (0, 1, -1, 0)
QUARTER_LEFT = (0, -1, 1, 0)
HALF = (-1, 0, 0, -1)


def turn_track(path: Path, matrix: tuple[int, int, int, int]) -> None:
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 4 + 5 * 4 + 16
    a, b, c, d = (65536 * value for value in matrix)
    content[place : place + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("matrix", "corner", "size"),
    [
        (QUARTER_RIGHT, (5, -5), (WIDTH, HEIGHT)),
        (QUARTER_LEFT, (-5, 5), (WIDTH, HEIGHT)),
        (HALF, (-5, -5), (HEIGHT, WIDTH)),
    ],
)
def test_a_turned_phone_film_comes_upright(matrix, corner, size, tmp_path):
    path = write_film(tmp_path / "a.mp4", made_frames(2), [0.0, 0.04])
    turn_track(path, matrix)
    frame = next(iter(VideoFile(path).frames()))
    assert frame.pixels.shape[:2] == size
    assert is_red(frame.pixels[corner])


def disc_film(path: Path, size: tuple[int, int], aspect: Fraction) -> Path:
    """A white disc that is round where pixels are `aspect` times as wide as high."""
    width, height = size
    column, row = np.arange(width) + 0.5 - width / 2, np.arange(height) + 0.5 - height / 2
    disc = (column * float(aspect)) ** 2 + row[:, None] ** 2 < 30**2
    pixels = np.repeat(np.where(disc, 255, 0).astype(np.uint8)[..., None], 3, 2)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.sample_aspect_ratio = aspect
        for _ in range(2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize(
    ("aspect", "stored", "square"),
    [
        (Fraction(4, 3), (144, 108), (192, 108)),  # HDV's
        (Fraction(8, 9), (144, 96), (144, 108)),  # NTSC's
        (Fraction(16, 15), (144, 116), (154, 116)),  # PAL's: 153.6 columns
        (Fraction(1), (144, 108), (144, 108)),
    ],
)
def test_a_film_whose_pixels_are_not_square_comes_stretched_to_such(suffix, aspect, stored, square, tmp_path):
    frames = list(VideoFile(disc_film(tmp_path / f"a{suffix}", stored, aspect)).frames())
    assert {frame.pixels.shape for frame in frames} == {(square[1], square[0], 3)}
    white = frames[0].pixels[..., 0] > 128
    across, down = int(white.any(0).sum()), int(white.any(1).sum())
    scale = square[1] / stored[1]
    assert across == pytest.approx(60 * scale, abs=2)
    assert down == pytest.approx(60 * scale, abs=2)


def test_a_film_turned_and_with_wide_pixels_is_stretched_before_it_is_turned(tmp_path):
    path = disc_film(tmp_path / "a.mp4", (144, 108), Fraction(4, 3))
    turn_track(path, QUARTER_RIGHT)
    assert next(iter(VideoFile(path).frames())).pixels.shape == (192, 108, 3)


def test_a_film_is_judged_by_the_size_that_its_frames_will_have(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "LARGEST_AREA", 150 * 108)
    with pytest.raises(BadInputError, match="192 x 108 pixels is too large"):
        VideoFile(disc_film(tmp_path / "a.mp4", (144, 108), Fraction(4, 3)))


def test_a_damaged_frame_in_the_middle_is_skipped_and_counted(tmp_path):
    path = noisy_film(tmp_path / "a.mp4")
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 4000] = (
        np.random.default_rng(1).integers(0, 255, 4000).astype(np.uint8).tobytes()
    )
    path.write_bytes(content)
    footage = VideoFile(path)
    frames = list(footage.frames())
    assert footage.skipped >= 1
    assert 15 <= len(frames) == 20 - footage.skipped
    assert (np.diff([frame.time for frame in frames]) > 0).all()


def test_a_film_that_breaks_off_gives_what_there_is(tmp_path):
    """Matroska, which keeps no table at its end."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        chance = np.random.default_rng(0)
        for _ in range(20):
            pixels = chance.integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert 2 < len(list(VideoFile(path).frames())) < 15


def test_what_is_no_film_is_refused_in_words(tmp_path):
    with pytest.raises(MissingAssetError, match="video"):
        VideoFile(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("this is no film " * 100)
    with pytest.raises(BadInputError, match="cannot be opened"):
        VideoFile(tmp_path / "text.mp4")
    whole = write_film(tmp_path / "a.mp4", made_frames(5), [number / 25 for number in range(5)]).read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInputError, match="cannot be opened"):
        VideoFile(tmp_path / "half.mp4")


def test_a_recording_of_sound_alone_is_refused(tmp_path):
    path = tmp_path / "sound.wav"
    samples = np.zeros(8000, "<i2").tobytes()
    head = struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 36 + len(samples), b"WAVE", b"fmt ", 16, 1, 1, 8000, 16000, 2, 16, b"data", len(samples))  # fmt: skip
    path.write_bytes(head + samples)
    with pytest.raises(BadInputError, match="no pictures"):
        VideoFile(path)


def test_without_pyav_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    path = write_film(tmp_path / "a.mp4", made_frames(2), [0.0, 0.04])
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(MissingAssetError, match=r'pip install "humanmesh\[video\]"'):
        VideoFile(path)


def test_a_side_of_odd_length_gets_one_more(tmp_path):
    frames = [np.full((63, 95, 3), 90, np.uint8)] * 2
    footage = VideoFile(write_film(tmp_path / "a.mp4", frames, [0.0, 0.04]))
    assert next(iter(footage.frames())).pixels.shape == (64, 96, 3)


def test_a_film_that_does_not_fit_on_the_disk_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(BadInputError, match="Cannot write"):
            noisy_film(tmp_path / "a.mp4")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


def test_a_film_whose_maker_fails_leaves_nothing(tmp_path):
    def fail() -> None:
        with video_writer(tmp_path / "a.mp4", WIDTH, HEIGHT, 25.0) as writer:
            writer.write(0.0, made_frames(1)[0])
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_folder_is_read_by_the_numbers_in_its_names(tmp_path):
    for number in (10, 9, 1):
        Image.new("RGB", (32, 24), (number, 0, 0)).save(tmp_path / f"frame{number}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    footage = FrameFolder(tmp_path, 10.0)
    frames = list(footage.frames())
    assert [frame.pixels[0, 0, 0] for frame in frames] == [1, 9, 10]
    np.testing.assert_allclose([frame.time for frame in frames], [0, 0.1, 0.2])
    assert footage.expected_frames == 3


def test_a_broken_picture_in_a_folder_leaves_a_gap_in_time(tmp_path):
    for number in range(4):
        Image.new("RGB", (32, 24)).save(tmp_path / f"{number}.png")
    (tmp_path / "1.png").write_bytes(b"broken")
    footage = FrameFolder(tmp_path, 10.0)
    np.testing.assert_allclose([frame.time for frame in footage.frames()], [0, 0.2, 0.3])
    assert footage.skipped == 1


def test_a_folder_of_two_sizes_or_of_no_pictures_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="no picture"):
        FrameFolder(tmp_path)
    for number, width in enumerate((32, 40)):
        Image.new("RGB", (width, 24)).save(tmp_path / f"{number}.png")
    with pytest.raises(BadInputError, match="40 x 24"):
        list(FrameFolder(tmp_path).frames())


@pytest.mark.parametrize("rate", [0.0, -25.0, float("nan"), float("inf")])
def test_a_frame_rate_that_is_no_positive_number_is_refused(tmp_path, rate):
    Image.new("RGB", (32, 24)).save(tmp_path / "0.png")
    with pytest.raises(BadInputError, match="frames a second"):
        FrameFolder(tmp_path, rate)


def test_a_folder_that_is_missing_or_closed_is_refused(tmp_path, monkeypatch):
    with pytest.raises(BadInputError, match="No such file"):
        FrameFolder(tmp_path / "missing")

    def closed(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "iterdir", closed)
    with pytest.raises(BadInputError, match="Permission denied"):
        FrameFolder(tmp_path)


def test_a_webcam_that_is_not_there_is_told(monkeypatch):
    with pytest.raises(BadInputError, match="Webcam 99"):
        Webcam(99)
    monkeypatch.setattr("platform.system", lambda: "Plan9")
    with pytest.raises(BadInputError, match="Plan9"):
        Webcam(0)


def test_a_webcams_times_begin_with_its_first_frame_however_long_it_took_to_start(monkeypatch):
    clock = itertools.count(100.0, 0.04)
    monkeypatch.setattr(videos, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr(videos, "_opened", lambda *_: nullcontext())
    monkeypatch.setattr(videos, "_decoded", lambda *_: [(None, np.zeros((4, 4, 3), np.uint8))] * 3)
    np.testing.assert_allclose([frame.time for frame in Webcam(0).frames()], [0, 0.04, 0.08])
