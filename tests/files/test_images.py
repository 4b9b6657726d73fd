import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image, ImageCms
from PIL.TiffImagePlugin import IFDRational

from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError
from humanmesh.files.images import (
    LARGEST_AREA,
    PhotoHead,
    bytes_of_pixels,
    focal_length_of_image,
    pixels_of_array,
    pixels_of_image,
    read_focal_length,
    read_head,
    read_photo,
    read_stored,
    write_png,
)

HEIGHT, WIDTH = 20, 32


@pytest.fixture
def picture() -> np.ndarray:
    """A different colour in each quarter, so that any turn or swap of channels shows."""
    rows = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    rows[:10, :16], rows[:10, 16:], rows[10:, :16], rows[10:, 16:] = (
        (250, 10, 20), (10, 240, 30), (20, 30, 230), (200, 210, 40),
    )  # fmt: skip
    return rows


def quarters(pixels: torch.Tensor) -> list[list[int]]:
    """The middle colour of each quarter, row by row."""
    _, height, width = pixels.shape
    rows, columns = (height // 4, 3 * height // 4), (width // 4, 3 * width // 4)
    return [[round(v * 255) for v in pixels[:, r, c].tolist()] for r in rows for c in columns]


def test_png_gives_its_very_bytes(picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.png")
    pixels = read_photo(tmp_path / "a.png")
    assert pixels.dtype == torch.float32
    assert np.array_equal(bytes_of_pixels(pixels), picture)


@pytest.mark.parametrize("suffix", ["jpg", "webp", "bmp", "tiff"])
def test_other_formats_give_the_same_colours(suffix, picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / f"a.{suffix}", quality=95)
    read = np.array(quarters(read_photo(tmp_path / f"a.{suffix}")))
    expected = np.array(quarters(pixels_of_array(picture)))
    assert abs(read - expected).max() <= 12


# What undoes each orientation, from the EXIF 2.3 standard: where row 0 and column 0 of the stored picture lie.
STORED = {
    1: lambda upright: upright,
    2: lambda upright: upright[:, ::-1],
    3: lambda upright: upright[::-1, ::-1],
    4: lambda upright: upright[::-1],
    5: lambda upright: upright.transpose(1, 0, 2),
    6: lambda upright: np.rot90(upright, 1),
    7: lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
    8: lambda upright: np.rot90(upright, -1),
}


@pytest.mark.parametrize("orientation", range(1, 9))
def test_photo_is_turned_by_its_exif_tag(orientation, picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(STORED[orientation](picture))
    Image.fromarray(stored).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(bytes_of_pixels(read_photo(tmp_path / "a.png")), picture)


@pytest.mark.parametrize(
    ("file", "orientation", "is_turned"),
    [("a.png", 6, True), ("a.png", 1, False), ("a.png", 0, False), ("a.tiff", 6, False)],
    ids=["turned", "upright", "unknown", "turned by Pillow"],
)
def test_stored_pixels_are_not_turned_and_the_head_says_so(file, orientation, is_turned, picture, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(picture).save(tmp_path / file, exif=exif)
    stored, upright = (bytes_of_pixels(read(tmp_path / file)) for read in (read_stored, read_photo))
    assert read_head(tmp_path / file) == PhotoHead(stored.shape[1::-1], is_turned)
    assert np.array_equal(stored, picture if is_turned else upright)


def test_reading_leaves_the_callers_image_as_it_was(picture):
    image = Image.fromarray(picture)
    image.getexif()[0x0112] = 6
    assert pixels_of_image(image).shape == (3, WIDTH, HEIGHT)
    assert image.size == (WIDTH, HEIGHT)


def test_grey_becomes_three_equal_channels(tmp_path):
    Image.new("L", (WIDTH, HEIGHT), 100).save(tmp_path / "a.png")
    assert quarters(read_photo(tmp_path / "a.png"))[0] == [100, 100, 100]


def test_sixteen_bit_grey_keeps_its_brightness(tmp_path):
    values = np.linspace(0, 65535, HEIGHT * WIDTH).astype(np.uint16).reshape(HEIGHT, WIDTH)
    Image.fromarray(values).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_photo(tmp_path / "a.png")[1].numpy(), values / 65535, atol=1e-6)


def test_sixteen_bit_rgb_is_read(tmp_path):
    import cv2

    values = np.full((HEIGHT, WIDTH, 3), 0, np.uint16)
    values[..., 2] = 51400  # OpenCV's order: red comes last; 51400 / 257 = 200
    cv2.imwrite(str(tmp_path / "a.png"), values)
    assert quarters(read_photo(tmp_path / "a.png"))[0] == [200, 0, 0]


def test_transparent_parts_show_white(picture, tmp_path):
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, 16:] = 0
    Image.fromarray(np.concatenate([picture, alpha], 2)).save(tmp_path / "a.png")
    colours = quarters(read_photo(tmp_path / "a.png"))
    assert colours == [[250, 10, 20], [255] * 3, [20, 30, 230], [255] * 3]


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_palette_is_looked_up(suffix, picture, tmp_path):
    Image.fromarray(picture).convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / f"a.{suffix}")
    read = np.array(quarters(read_photo(tmp_path / f"a.{suffix}")))
    assert abs(read - np.array(quarters(pixels_of_array(picture)))).max() <= 2


def test_transparent_palette_entry_shows_white(tmp_path):
    image = Image.new("P", (WIDTH, HEIGHT), 0)
    image.putpalette([10, 20, 30] + [0] * 765)
    image.save(tmp_path / "a.png", transparency=0)
    assert quarters(read_photo(tmp_path / "a.png"))[0] == [255, 255, 255]


def test_cmyk_jpeg_becomes_rgb(tmp_path):
    Image.new("CMYK", (WIDTH, HEIGHT), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=95)
    red, green, blue = quarters(read_photo(tmp_path / "a.jpg"))[0]
    assert red > 240
    assert green < 15
    assert blue < 15


def test_embedded_profile_is_converted_to_srgb(picture, tmp_path):
    # A Lab profile cannot describe RGB; linear-light XYZ can be made by hand only with difficulty, so the profile
    # of sRGB itself stands in: nothing may change, whatever its description says.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    hidden = profile.replace("sRGB".encode("utf-16-be"), "abcd".encode("utf-16-be")).replace(b"sRGB", b"abcd")
    Image.fromarray(picture).save(tmp_path / "a.png", icc_profile=hidden)
    assert abs(bytes_of_pixels(read_photo(tmp_path / "a.png")).astype(int) - picture).max() <= 2


def test_broken_profile_is_left_out(picture, tmp_path):
    Image.fromarray(picture).save(tmp_path / "a.png", icc_profile=b"nonsense")
    assert np.array_equal(bytes_of_pixels(read_photo(tmp_path / "a.png")), picture)


def jpeg_bytes(picture: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.kron(picture, np.ones((8, 8, 1), np.uint8))).save(stream, "JPEG")
    return stream.getvalue()


def png_bytes(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("1", size).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"not a picture at all, only words", "no picture"),
        (b"\x89PNG\r\n\x1a\n", "no picture"),
        (b"\xff\xd8\xff\xe0\x00\x10JFIF", "damaged"),
        (png_bytes((1, 1)), "1 x 1 pixels is too small"),
        (png_bytes((20000, 10)), "20000 x 10 pixels is too small"),
        (png_bytes((LARGEST_AREA // 1000 + 1, 1000)), "too large"),
        (png_bytes((LARGEST_AREA // 500, 2000)), "too large"),
    ],
    ids=["empty", "text", "png-head", "jpeg-head", "one-pixel", "ribbon", "large", "bomb"],
)
def test_bad_file_is_refused_in_one_sentence_that_names_it(content, reason, tmp_path):
    path = tmp_path / "strange.jpg"
    path.write_bytes(content)
    with pytest.raises(BadInputError, match=reason) as caught:
        read_photo(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_truncated_picture_is_refused(suffix, picture, tmp_path):
    path = tmp_path / f"half.{suffix}"
    noisy = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noisy).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(BadInputError, match=r"half\."):
        read_photo(path)


def test_folder_and_missing_file_are_named(tmp_path):
    with pytest.raises(BadInputError, match="folder"):
        read_photo(tmp_path)
    with pytest.raises(MissingAssetError, match=r"none\.jpg"):
        read_photo(tmp_path / "none.jpg")


def test_a_photo_in_a_place_that_one_may_not_look_into_is_refused_in_a_sentence(tmp_path, monkeypatch):
    def may_not(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "exists", may_not)
    with pytest.raises(BadInputError, match=r"locked/a\.jpg: reading it is not permitted"):
        read_photo(tmp_path / "locked" / "a.jpg")


def test_written_png_comes_back_and_clips(tmp_path):
    pixels = torch.rand(3, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(0)) * 1.4 - 0.2
    write_png(tmp_path / "a.png", pixels)
    np.testing.assert_allclose(read_photo(tmp_path / "a.png"), pixels.clamp(0, 1), atol=0.5 / 255 + 1e-6)
    assert os.listdir(tmp_path) == ["a.png"]


def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def full_disk(self, fp, *args, **kwargs):
        Path(fp).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full_disk)
    with pytest.raises(HumanMeshError, match="No space left") as caught:
        write_png(target, torch.zeros(3, HEIGHT, WIDTH))
    assert str(target) in str(caught.value)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.png"]


def test_writing_into_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(BadInputError, match="Cannot write"):
        write_png(tmp_path / "none" / "a.png", torch.zeros(3, HEIGHT, WIDTH))


EXIF = ExifTags.Base


def tagged(size: tuple[int, int], tags: dict[int, object]) -> Image.Image:
    """A picture that went through a JPEG file with these tags."""
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif).update(tags)
    stream = io.BytesIO()
    Image.new("RGB", size).save(stream, "JPEG", exif=exif)
    return Image.open(stream)


def test_focal_length_on_35_mm_film_is_of_the_diagonal():
    # 43.27 mm is the diagonal of 35 mm film, and 500 pixels that of this photo: 43 mm are 497 pixels.
    focal = focal_length_of_image(tagged((400, 300), {EXIF.FocalLengthIn35mmFilm: 43}))
    assert focal == pytest.approx(43 / 43.2666 * 500, rel=1e-4)


@pytest.mark.parametrize(("unit", "density"), [(2, 2540.0), (3, 1000.0), (4, 100.0)])
def test_focal_length_by_the_density_of_the_sensors_pixels(unit, density):
    # 100 pixels a millimetre: 6 mm are 600 pixels of the sensor, whose 800 columns became 400.
    tags = {
        EXIF.FocalLength: 6.0,
        EXIF.FocalPlaneXResolution: density,
        EXIF.FocalPlaneResolutionUnit: unit,
        EXIF.ExifImageWidth: 800,
        EXIF.ExifImageHeight: 600,
    }
    assert focal_length_of_image(tagged((400, 300), tags)) == pytest.approx(300, rel=1e-4)


@pytest.mark.parametrize(
    "tags",
    [
        {},
        {EXIF.FocalLengthIn35mmFilm: 0},
        {EXIF.FocalLengthIn35mmFilm: 2},
        {EXIF.FocalLengthIn35mmFilm: 9999},
        {EXIF.FocalLength: 6.0},
        {EXIF.FocalLength: IFDRational(0, 0), EXIF.FocalPlaneXResolution: 1000.0},
        {EXIF.FocalLength: 6.0, EXIF.FocalPlaneXResolution: 1e9},
        {EXIF.FocalLengthIn35mmFilm: 43, EXIF.ExifImageWidth: 400, EXIF.ExifImageHeight: 400},
    ],
    ids=["none", "unknown", "fisheye", "telescope", "no sensor", "0 / 0", "no size", "cut"],
)
def test_tags_that_tell_no_pinhole_camera_are_left_out(tags):
    assert focal_length_of_image(tagged((400, 300), tags)) is None


def test_focal_length_of_a_file_is_that_of_its_picture_and_of_a_broken_one_none(tmp_path):
    picture = tagged((400, 300), {EXIF.FocalLengthIn35mmFilm: 43})
    picture.save(tmp_path / "a.jpg", exif=picture.getexif())
    assert read_focal_length(tmp_path / "a.jpg") == pytest.approx(496.9, abs=0.1)
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:30])
    assert read_focal_length(tmp_path / "b.jpg") is None
