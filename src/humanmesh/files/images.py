"""Photos in, pictures out. Pixels are RGB, sRGB-coded, in [0, 1]."""

import io
import math
import struct
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.writing import whole_file

SMALLEST_SIDE = 16
"""Pixels; a person in anything narrower cannot be made out."""
LARGEST_AREA = 89_478_485
"""Pixels; Pillow's own guard against files that unpack to fill the memory (a quarter of a gigabyte of RGB)."""
PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""What a folder is searched for."""

FILM_DIAGONAL = math.hypot(36.0, 24.0)
"""Millimetres of 35 mm film, which EXIF's equivalent focal length refers to (CIPA DCG-001)."""
SANE_EQUIVALENTS = (8.0, 1200.0)
"""Millimetres: fields of view of 140 to 2 degrees across the diagonal. What lies outside is no pinhole camera's photo."""
_TURNING = range(2, 9)
"""EXIF's Orientation, where it is not as stored (1)."""
_UNIT_MILLIMETRES = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
"""EXIF's FocalPlaneResolutionUnit."""
_UNCUT = 0.02
"""Share by which the shape of a photo may differ from the one that its camera noted."""

_SAVE_AS = "Save it as PNG, JPEG or WebP."
UNREADABLE = (OSError, SyntaxError, ValueError, struct.error, EOFError, Image.DecompressionBombError)
"""What Pillow raises over a picture that it cannot decode."""


def read_photo(path: Path | str) -> Float[Tensor, "3 height width"]:
    """A photo as people see it: turned by its EXIF tag, in sRGB, transparent parts over white.

    Grey, palette, CMYK and 16-bit pictures become RGB; of an animation the first picture is taken.

    Raises:
        BadInputError: where the file is no picture, damaged, or of a size that cannot be used.
        MissingAssetError: where there is no such file.
    """
    path = Path(path)
    with _opened(path) as image:
        return pixels_of_image(image, f"Photo {path}")


def read_stored(path: Path | str) -> Float[Tensor, "3 height width"]:
    """The same in stored rows and columns, which annotations count in: no EXIF tag turns it.

    Raises:
        BadInputError: where the file is no picture, damaged, or of a size that cannot be used.
        MissingAssetError: where there is no such file.
    """
    with _opened(Path(path)) as image:
        image.load()
        return _rgb_pixels(image)


@dataclass(frozen=True)
class PhotoHead:
    """What can be said of a photo before it is decoded."""

    size: tuple[int, int]
    """Width and height in stored pixels."""
    is_turned: bool
    """Whether `read_photo` turns what `read_stored` does not."""


def read_head(path: Path | str) -> PhotoHead:
    """The head of a photo's file.

    Raises:
        BadInputError: where the file is no picture, or of a size that cannot be used.
        MissingAssetError: where there is no such file.
    """
    with _opened(Path(path)) as image:
        # Pillow turns TIFF files itself, whoever reads them.
        return PhotoHead(image.size, image.format != "TIFF" and _has_turning_tag(image))


@contextmanager
def _opened(path: Path) -> Generator[Image.Image, None, None]:
    """A picture of a size that can be used; what is wrong with it becomes one sentence."""
    name = f"Photo {path}"
    try:
        if not path.exists():
            raise MissingAssetError("photo", path, "Check the path.")
        if path.is_dir():
            raise BadInputError(name, "this is a folder", "Give a picture in it.")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # size and damage are checked below, with words
            with Image.open(path) as image:
                check_size(image.width, image.height, name)
                yield image
    except UnidentifiedImageError as error:
        found = "the file is empty" if path.stat().st_size == 0 else "this is no picture that can be read"
        raise BadInputError(name, found, _SAVE_AS) from error
    except Image.DecompressionBombError as error:
        raise _too_large(name, "far over the limit") from error
    except PermissionError as error:
        raise BadInputError(name, "reading it is not permitted", "Change its permissions.") from error
    except UNREADABLE as error:
        raise _damaged(name, error) from error


def pixels_of_image(image: Image.Image, name: str = "Photo") -> Float[Tensor, "3 height width"]:
    """The pixels of a Pillow image, by the same rules as `read_photo`; `name` stands in error messages.

    Raises:
        BadInputError: where the picture is damaged or of a size that cannot be used.
    """
    check_size(image.width, image.height, name)
    with damage_told(name):
        image.load()
        return _rgb_pixels(_upright(image))


@contextmanager
def damage_told(name: str) -> Generator[None, None, None]:
    """While a picture is opened and decoded: what Pillow raises over it becomes one sentence, which begins with `name`.

    Raises:
        BadInputError: where the picture cannot be decoded.
    """
    try:
        yield
    except UNREADABLE as error:
        raise _damaged(name, error) from error


def pixels_of_array(
    array: UInt8[np.ndarray, "height width 3"], name: str = "Photo"
) -> Float[Tensor, "3 height width"]:
    """The pixels of an RGB array."""
    check_size(array.shape[1], array.shape[0], name)
    rows = np.require(array, requirements=["C", "W"])  # PyTorch warns of what it could not write to
    planes = torch.from_numpy(rows).permute(2, 0, 1)
    return planes.to(torch.float32, memory_format=torch.contiguous_format).div_(255)


def check_size(width: int, height: int, name: str) -> None:
    """Refuse what is too small to show a person or too large to hold.

    Raises:
        BadInputError: naming the size and the limit.
    """
    size = f"{width} x {height} pixels"
    if min(width, height) < SMALLEST_SIDE:
        raise BadInputError(name, f"{size} is too small", f"Each side needs at least {SMALLEST_SIDE} pixels.")
    if width * height > LARGEST_AREA:
        raise _too_large(name, size)


def _damaged(name: str, error: Exception) -> BadInputError:
    return BadInputError(name, f"the picture is damaged ({error})", "Get the file again.")


def _too_large(name: str, size: str) -> BadInputError:
    limit = f"Scale it down to at most {LARGEST_AREA // 1_000_000} megapixels."
    return BadInputError(name, f"{size} is too large", limit)


def _upright(image: Image.Image) -> Image.Image:
    """The loaded image turned by its EXIF tag; an unreadable tag counts as none."""
    try:
        return ImageOps.exif_transpose(image) if _has_turning_tag(image) else image
    except UNREADABLE:
        return image


def _has_turning_tag(image: Image.Image) -> bool:
    try:
        # The class's own method: that of a PNG file would decode the picture to look for the tag behind it.
        return Image.Image.getexif(image).get(ExifTags.Base.Orientation) in _TURNING
    except UNREADABLE:
        return False


def _rgb_pixels(image: Image.Image) -> Float[Tensor, "3 height width"]:
    if image.mode == "F":
        raise ValueError("its values are floating-point numbers of unknown range; save it with 8 or 16 bits")
    if image.mode.startswith("I"):  # one channel of 16 bits, in Pillow's several ways
        grey = torch.from_numpy(np.asarray(image).astype(np.float32)).div_(65535).clamp_(0, 1)
        return grey.expand(3, -1, -1).contiguous()
    return pixels_of_array(np.asarray(_to_srgb(_over_white(image))))


def read_focal_length(path: Path | str) -> float | None:
    """Focal length in pixels by the EXIF tags of a photo; None where there are none, or none that can be."""
    try:
        with Image.open(path) as image:
            return focal_length_of_image(image)
    except UNREADABLE:
        return None


def focal_length_of_image(image: Image.Image) -> float | None:
    """The same of a Pillow image, for as many pixels as it has.

    The equivalent of 35 mm film counts first, over the diagonal; then the focal length with the density of the
    sensor's pixels. A photo that was cut after it was taken, or a lens that is no pinhole's, gives None.
    """
    try:
        tags = dict(image.getexif().get_ifd(ExifTags.IFD.Exif))
    except UNREADABLE:
        return None
    diagonal = math.hypot(*image.size)
    noted = [
        _positive(tags.get(tag)) for tag in (ExifTags.Base.ExifImageWidth, ExifTags.Base.ExifImageHeight)
    ]
    if all(noted) and abs(noted[0] / noted[1] * image.height / image.width - 1) > _UNCUT:
        return None
    equivalent = _positive(tags.get(ExifTags.Base.FocalLengthIn35mmFilm))
    equivalent = equivalent or _equivalent_by_sensor(tags, noted[0] or image.width, image)
    least, most = SANE_EQUIVALENTS
    return equivalent / FILM_DIAGONAL * diagonal if least <= equivalent <= most else None


def _equivalent_by_sensor(tags: dict[int, Any], width: float, image: Image.Image) -> float:
    """Millimetres on 35 mm film, 0 where the tags do not say; `width` in pixels when the density was noted."""
    focal = _positive(tags.get(ExifTags.Base.FocalLength))
    density = _positive(tags.get(ExifTags.Base.FocalPlaneXResolution))
    unit = _UNIT_MILLIMETRES.get(tags.get(ExifTags.Base.FocalPlaneResolutionUnit, 2), 0.0)
    if not (focal and density and unit):
        return 0.0
    sensor_width = width * unit / density  # millimetres
    return focal * FILM_DIAGONAL / (sensor_width * math.hypot(*image.size) / image.width)


def _positive(value: Any) -> float:
    """The number, 0 where it is none, unknown or not positive."""
    try:
        number = float(value)
    except (TypeError, ValueError, ArithmeticError):
        return 0.0
    return number if 0 < number < math.inf else 0.0


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image
    colours = image.convert("RGBA")
    white = Image.new("RGBA", image.size, "white")
    flat = Image.alpha_composite(white, colours).convert("RGB")
    flat.info["icc_profile"] = image.info.get("icc_profile")
    return flat


def _to_srgb(image: Image.Image) -> Image.Image:
    """Colours of an embedded profile (Display P3, Adobe RGB, a press) in sRGB; a profile that does not fit is left out."""
    profile: bytes = image.info.get("icc_profile") or b""
    is_srgb = not profile or b"sRGB" in profile or "sRGB".encode("utf-16-be") in profile
    if is_srgb or image.mode not in {"RGB", "CMYK"}:
        return image.convert("RGB")
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        target = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, source, target, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        converted = None
    return converted or image.convert("RGB")


def write_png(path: Path | str, pixels: Float[Tensor, "3 height width"]) -> None:
    """RGB in [0, 1] as an 8-bit PNG, whole or not at all.

    Raises:
        BadInputError: where the file cannot be written.
    """
    image = Image.fromarray(bytes_of_pixels(pixels))
    with whole_file(path) as beside:
        image.save(beside, format="PNG", compress_level=4)


def bytes_of_pixels(pixels: Float[Tensor, "3 height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """RGB in [0, 1] as rows of 8-bit pixels, rounded; what lies outside is clipped."""
    return (
        pixels
        .detach()
        .mul(255)
        .round_()
        .clamp_(0, 255)
        .to(torch.uint8)
        .permute(1, 2, 0)
        .contiguous()
        .cpu()
        .numpy()
    )
