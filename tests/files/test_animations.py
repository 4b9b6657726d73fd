"""Animations read again by Pillow and PyAV."""

import numpy as np
import pytest
from PIL import Image

from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.animations import write_animation

COLORS = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (230, 230, 230)]


def frames():
    """A still ground and a square that changes its colour."""
    for color in COLORS:
        frame = np.full((30, 40, 3), 240, np.uint8)
        frame[8:20, 10:30] = color
        yield frame


@pytest.mark.parametrize("suffix", ["gif", "png", "apng"])
def test_pillow_reads_every_frame_its_time_and_an_endless_loop(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    write_animation(path, frames(), 20)
    with Image.open(path) as image:
        assert image.n_frames == len(COLORS)
        assert image.info["loop"] == 0
        for number, expected in enumerate(frames()):
            image.seek(number)
            assert image.info["duration"] == pytest.approx(50)
            np.testing.assert_allclose(np.asarray(image.convert("RGB")), expected, atol=4)


def test_the_still_part_of_a_gif_does_not_flicker(tmp_path):
    chance = np.random.default_rng(0)
    ground = chance.integers(100, 140, (30, 40, 3), np.uint8)
    noisy = [np.where(np.arange(40)[None, :, None] < 20, ground, 255 - 20 * number) for number in range(6)]
    write_animation(tmp_path / "a.gif", (frame.astype(np.uint8) for frame in noisy), 10)
    with Image.open(tmp_path / "a.gif") as image:
        shown = []
        for number in range(6):
            image.seek(number)
            shown.append(np.asarray(image.convert("RGB"))[:, :20].copy())
    assert all(np.array_equal(shown[0], other) for other in shown[1:])


def test_pyav_reads_every_frame_of_an_mp4_and_its_rate(tmp_path):
    av = pytest.importorskip("av")
    write_animation(tmp_path / "a.mp4", frames(), 25)
    with av.open(str(tmp_path / "a.mp4")) as container:
        read = list(container.decode(video=0))
        assert float(container.streams.video[0].average_rate) == pytest.approx(25)
    assert [frame.time for frame in read] == pytest.approx([0, 0.04, 0.08, 0.12])
    for frame, color in zip(read, COLORS, strict=True):
        np.testing.assert_allclose(frame.to_ndarray(format="rgb24")[14, 20], color, atol=25)  # H.264 is lossy


def test_unknown_suffix_is_answered_with_those_that_exist(tmp_path):
    with pytest.raises(UnknownNameError, match="apng, gif, mp4, png"):
        write_animation(tmp_path / "a.webm", frames(), 25)


def test_no_frame_is_no_animation_and_leaves_no_file(tmp_path):
    with pytest.raises(BadInputError, match="no frame"):
        write_animation(tmp_path / "a.gif", iter([]), 25)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", ["gif", "png", "mp4"])
def test_a_frame_that_fails_leaves_nothing_half_written(suffix, tmp_path):
    def failing():
        yield from frames()
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_animation(tmp_path / f"a.{suffix}", failing(), 25)
    assert list(tmp_path.iterdir()) == []
