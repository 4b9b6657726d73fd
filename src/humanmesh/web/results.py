"""Results of `humanmesh predict`, read again to be looked at."""

import itertools
import json
import math
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError, UnknownNameError
from humanmesh.files.arrays import read_arrays
from humanmesh.files.body_models import BUNDLED_BODIES, load_body_data
from humanmesh.files.clips import CLIP_FORMAT, read_clip
from humanmesh.files.images import LARGEST_AREA, PHOTO_SUFFIXES, read_photo
from humanmesh.files.meshes import PERSON_FORMAT
from humanmesh.files.result_names import photo_stems
from humanmesh.geometry.cameras import PhotoCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.person import CropCamera, Person
from humanmesh.render.overlay import PERSON_COLORS
from humanmesh.web.page import PEOPLE_FORMAT, Page, PageCamera, PagePerson, clip_page, photo_page

_MAKE_AGAIN = "Make it again with `humanmesh predict`."
_NOMINAL_HEIGHT = 1000
"""Pixels that a GLB's picture is taken to have where no photo says it."""
_LARGEST_NUMBER = 1e6
"""Of any field of a person."""
_WIDEST = 1000.0
"""Aspect ratio beyond which a GLB's camera takes no picture."""
_SAME_ASPECT = 0.01
"""Share by which the aspect ratio of a photo and of a GLB's camera may differ."""

_SHAPES: dict[str, tuple[int, ...]] = {
    "theta": (85,), "trans": (1, 3), "focal_length": (), "principal_point": (2,), "photo_size": (2,),
    "photo_from_crop": (3, 3), "box": (4,), "score": (), "body_scale": (), "pixel_aspect": (), "camera_pitch": (),
}  # fmt: skip
"""What a person's file must hold, by the names of NPZ files."""
_DEFAULTS = {"body_scale": np.array(1.0), "pixel_aspect": np.array(1.0), "camera_pitch": np.array(0.0)}
"""What older files lack."""


@dataclass(frozen=True)
class Sources:
    """Where to find what a result does not hold."""

    body: str | None = None
    """Path of the body that it was made with, unless that is bundled."""
    photo: Path | None = None
    """The photo, or the folder where one of the result's name lies; where None, that is beside the result or in the folder above."""


@dataclass(frozen=True, eq=False)
class Result:
    """A page to be, and where it comes from."""

    path: Path
    """The file, the first of several people's."""
    page: Page


def read_result(path: Path, sources: Sources) -> list[Result]:
    """The pages of a result: one for a file, one for each photo or film of an output folder.

    Raises:
        MissingAssetError: where there is no such result, or no such photo.
        UnknownNameError: where nobody reads files of that suffix.
        BadInputError: where a file is damaged or none of ours.
    """
    if not path.exists():
        raise MissingAssetError("result", path, "Check the path.")
    groups = _groups(path) if path.is_dir() else [[path]]
    if sources.photo is not None and not sources.photo.is_dir() and len(groups) > 1:
        found = f"one photo for {len(groups)} results"
        raise BadInputError(
            f"Folder {path}", found, "Give the folder of their photos, or one result with its photo."
        )
    return [Result(group[0], _page(group, sources)) for group in groups]


def _groups(folder: Path) -> list[list[Path]]:
    """The files of the results in a folder, those of one photo together, each in its best format."""
    best: dict[str, Path] = {}
    for suffix in READERS:
        for path in sorted(folder.glob(f"*{suffix}")):
            best.setdefault(path.stem, path)
    if not best:
        kinds = ", ".join(READERS)
        raise BadInputError(f"Folder {folder}", "no result in it", f"Looked for files that end in {kinds}.")
    return by_photo(best.values())


def by_photo(paths: Iterable[Path]) -> list[list[Path]]:
    """The files of people, those of one photo together: NAME, NAME.2, NAME.3 and so on of one folder."""
    groups = {path.with_suffix(""): [path] for path in paths}
    names = list(groups)
    for name in names:
        for other in (name.with_name(f"{name.name}.{number}") for number in range(2, len(names) + 1)):
            if name not in groups or other not in groups:
                break
            if ".glb" in {groups[name][0].suffix, groups[other][0].suffix}:
                break
            groups[name] += groups.pop(other)
    return [groups[name] for name in sorted(groups)]


def _page(paths: list[Path], sources: Sources) -> Page:
    suffix = paths[0].suffix.lower()
    if suffix not in READERS:
        raise UnknownNameError("kind of result", suffix, list(READERS))
    return READERS[suffix](paths, sources)


def _npz_page(paths: list[Path], sources: Sources) -> Page:
    everybody = [_arrays(path) for path in paths]
    if str(everybody[0].get("format")) == CLIP_FORMAT:
        clip = read_clip(paths[0], _body(everybody[0], paths[0], sources))
        return clip_page(paths[0].stem, clip, _photo(paths[0], clip.size, sources).pixels)
    return _people_page(everybody, paths, sources)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    return read_arrays(path, f"Result {path}", _MAKE_AGAIN)


def _json_page(paths: list[Path], sources: Sources) -> Page:
    everybody, origins = [], []
    for path in paths:
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError) as error:
            raise BadInputError(f"Result {path}", "it is no whole JSON file", _MAKE_AGAIN) from error
        is_list = isinstance(content, dict) and content.get("format") == PEOPLE_FORMAT
        entries = content.get("people") if is_list else [content]
        if not isinstance(entries, list):
            raise BadInputError(f"Result {path}", "it holds no list of people", _MAKE_AGAIN)
        for fields in entries:
            everybody.append(_arrays_of_fields(fields, path))
            origins.append(path)
    if not everybody:
        raise BadInputError(f"Result {paths[0]}", "nobody is in it", _MAKE_AGAIN)
    return _people_page(everybody, origins, sources)


def _arrays_of_fields(fields: Any, path: Path) -> dict[str, np.ndarray]:
    """The fields of a person's JSON file by the names of the NPZ file."""
    try:
        photo, camera = fields["photo"], fields["camera"]
        return {
            "format": np.array(fields["format"]),
            "body": np.array(fields["body"]),
            "theta": np.array(fields["theta"], np.float32),
            "trans": np.array([fields["translation"]], np.float32),
            "focal_length": np.array(camera["focal_length"], np.float32),
            "principal_point": np.array(camera["principal_point"], np.float32),
            "photo_size": np.array([photo["width"], photo["height"]], np.int32),
            "photo_from_crop": np.array(fields["weak_camera"]["photo_from_crop"], np.float32),
            "box": np.array(fields["box"], np.float32),
            "score": np.array(math.nan if fields["score"] is None else fields["score"], np.float32),
            "body_scale": np.array(fields.get("body_scale", 1.0), np.float32),
            "pixel_aspect": np.array(camera.get("pixel_aspect", 1.0), np.float32),
            "camera_pitch": np.array(camera.get("pitch", 0.0), np.float32),
        }
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BadInputError(
            f"Result {path}", f"it is no person of format {PERSON_FORMAT!r}", _MAKE_AGAIN
        ) from error


def read_people(paths: list[Path], sources: Sources) -> "PhotoResult":
    """The people of one photo from their NPZ files, and the photo where it can be found.

    Raises:
        BadInputError: where a file is damaged or no person of a photo.
    """
    everybody = [_arrays(path) for path in paths]
    for arrays, path in zip(everybody, paths, strict=True):
        if str(arrays.get("format")) == CLIP_FORMAT:
            raise BadInputError(f"Result {path}", "it is that of a film", "Give those of photos.")
    return _photo_result(everybody, paths, sources)


def _people_page(everybody: list[dict[str, np.ndarray]], paths: list[Path], sources: Sources) -> Page:
    result = _photo_result(everybody, paths, sources)
    return photo_page(result.photo.name, list(result.people), result.photo.pixels)


def _photo_result(
    everybody: list[dict[str, np.ndarray]], paths: list[Path], sources: Sources
) -> "PhotoResult":
    everybody = [_DEFAULTS | arrays for arrays in everybody]
    for arrays, path in zip(everybody, paths, strict=True):
        _check(arrays, path)
    bodies = sorted({str(arrays["body"]) for arrays in everybody})
    if len(bodies) > 1:
        found = f"its people have unlike bodies ({', '.join(bodies)})"
        raise BadInputError(f"Result {paths[0]}", found, "Give those of one body.")
    body = _body(everybody[0], paths[0], sources)
    people = _people(everybody, body)
    return PhotoResult(tuple(people), _photo(paths[0], people[0].photo_size, sources))


def _check(arrays: dict[str, np.ndarray], path: Path) -> None:
    """Refuse what is no person."""
    what = f"Result {path}"
    if str(arrays.get("format")) != PERSON_FORMAT or "body" not in arrays:
        found = f"its format is {str(arrays.get('format', 'unknown'))!r}"
        raise BadInputError(what, found, f"Give a file of format {PERSON_FORMAT!r} or {CLIP_FORMAT!r}.")
    for name, shape in _SHAPES.items():
        values = arrays.get(name)
        if values is None or values.shape != shape or values.dtype.kind not in "iuf":
            raise BadInputError(what, f"its field {name!r} is missing or of a wrong shape", _MAKE_AGAIN)
        if name != "score" and not (abs(values) < _LARGEST_NUMBER).all():
            raise BadInputError(what, f"its field {name!r} holds what is no sensible number", _MAKE_AGAIN)
    size = arrays["photo_size"].astype(float)
    if arrays["focal_length"] <= 0 or (size < 1).any() or (size % 1).any() or size.prod() > LARGEST_AREA:
        raise BadInputError(what, "its camera has no sensible size", _MAKE_AGAIN)
    if arrays["body_scale"] <= 0 or arrays["pixel_aspect"] <= 0:
        raise BadInputError(what, "its body or its pixels have no size", _MAKE_AGAIN)
    if not (np.isnan(arrays["score"]) or 0 <= arrays["score"] <= 1):
        raise BadInputError(what, "its score lies outside 0 to 1", _MAKE_AGAIN)


def _body(arrays: dict[str, np.ndarray], path: Path, sources: Sources) -> BodyModelData:
    name = str(arrays.get("body"))
    if sources.body is None and name not in BUNDLED_BODIES:
        found = f"it was made with the body {name!r}, which is not bundled"
        raise BadInputError(f"Result {path}", found, "Give the body's file with --body.")
    body = load_body_data(sources.body or name)
    if body.name != name:
        found = f"it was made with the body {name!r}, not {body.name!r}"
        raise BadInputError(f"Result {path}", found, "Give that body's file with --body.")
    return body


def _people(everybody: list[dict[str, np.ndarray]], body: BodyModelData) -> list[Person]:
    theta = torch.from_numpy(np.stack([arrays["theta"] for arrays in everybody]).astype(np.float32))
    rotations = axis_angle_to_matrix(theta[:, 3:75].unflatten(1, (24, 3)))
    posed = BodyModel(body.to(dtype=torch.float32, device="cpu"))(rotations, theta[:, 75:])
    people = []
    for row, arrays in enumerate(everybody):
        translation = arrays["trans"][0].astype(np.float32)
        body_scale, pixel_aspect, pitch = (
            float(arrays[name]) for name in ("body_scale", "pixel_aspect", "camera_pitch")
        )
        scale, tx, ty = theta[row, :3].tolist()
        x, y = arrays["principal_point"].tolist()
        width, height = arrays["photo_size"].tolist()
        people.append(
            Person(
                body=body if body_scale == 1 else body.scaled(body_scale),
                body_scale=body_scale,
                theta=theta[row].numpy(),
                rotations=rotations[row].numpy(),
                translation=translation,
                vertices=body_scale * posed.vertices[row].numpy() + translation,
                joints=body_scale * posed.joints[row].numpy() + translation,
                box=arrays["box"].astype(np.float32),
                score=float(arrays["score"]),
                camera=PhotoCamera(float(arrays["focal_length"]), (x, y), pixel_aspect),
                weak_camera=CropCamera(scale, (tx, ty), arrays["photo_from_crop"].astype(np.float32)),
                photo_size=(width, height),
                camera_pitch=pitch,
            )
        )
    return people


def _glb_page(paths: list[Path], sources: Sources) -> Page:
    path = paths[0]
    try:
        content = path.read_bytes()
        document = _glb_document(content)
        lens = document["cameras"][0]["perspective"]
        aspect, field_of_view = float(lens["aspectRatio"]), float(lens["yfov"])
        count = len(document["skins"])
        is_ours = document["asset"]["generator"] == "humanmesh" and count > 0
        is_turned = any("camera" in node and "rotation" in node for node in document["nodes"])
        if not (0 < field_of_view < math.pi and 1 / _WIDEST < aspect < _WIDEST):
            raise ValueError("no picture has such a camera")
    except (OSError, ValueError, KeyError, TypeError, IndexError, RecursionError, struct.error) as error:
        raise BadInputError(f"Result {path}", "it is no whole GLB file of a photo", _MAKE_AGAIN) from error
    if not is_ours:
        raise BadInputError(
            f"Result {path}", "another program wrote it", "Give a GLB file that humanmesh wrote."
        )
    if is_turned:
        remedy = "Give the NPZ or JSON file, or make it again without --upright."
        raise BadInputError(f"Result {path}", "it stands upright instead of as the photo shows it", remedy)
    photo = _photo(path, (round(aspect * _NOMINAL_HEIGHT), _NOMINAL_HEIGHT), sources, is_size_known=False)
    width, height = photo.size
    camera = PageCamera(height / 2 / math.tan(field_of_view / 2), (width / 2, height / 2), (width, height))
    people = tuple(
        PagePerson(f"Person {row + 1}", PERSON_COLORS[row % len(PERSON_COLORS)], None, None, {})
        for row in range(count)
    )
    return Page(photo.name, camera, people, content, photo.pixels)


def _glb_document(content: bytes) -> dict[str, Any]:
    """The JSON half of a GLB file, whose other half is its numbers (glTF 2.0, section 4.4)."""
    magic, _, total, length, kind = struct.unpack_from("<4sIII4s", content)
    numbers, kind_of_numbers = struct.unpack_from("<I4s", content, 20 + length)
    if (magic, kind, kind_of_numbers) != (b"glTF", b"JSON", b"BIN\0") or not total == len(
        content
    ) == 28 + length + numbers:
        raise ValueError("not a whole GLB file")
    return json.loads(content[20 : 20 + length])


READERS: dict[str, Callable[[list[Path], Sources], Page]] = {
    ".npz": _npz_page,
    ".json": _json_page,
    ".glb": _glb_page,
}
"""By suffix, the best first: a folder may hold the same person in several."""


@dataclass(frozen=True, eq=False)
class Photo:
    """The photo of a result, or what is known without it."""

    name: str
    size: tuple[int, int]
    """Width and height in pixels."""
    pixels: Float[Tensor, "3 height width"] | None


@dataclass(frozen=True, eq=False)
class PhotoResult:
    """The people of one photo."""

    people: tuple[Person, ...]
    photo: Photo


def _photo(result: Path, size: tuple[int, int], sources: Sources, *, is_size_known: bool = True) -> Photo:
    """The photo that was named, or one of the result's name and size that lies in the folder that was named, or near the result."""

    def read(path: Path) -> Photo:
        pixels = read_photo(path)
        found = (pixels.shape[2], pixels.shape[1])
        fits = found == size if is_size_known else _same_aspect(found, size)
        if not fits:
            sizes = f"it has {found[0]} x {found[1]} pixels, the result's had {size[0]} x {size[1]}"
            raise BadInputError(f"Photo {path}", sizes, "Give the photo that the result was made from.")
        return Photo(path.name, found, pixels)

    folders = (result.parent, result.parent.parent)
    if sources.photo is not None:
        if not sources.photo.is_dir():
            return read(sources.photo)
        folders = (sources.photo,)
    for folder, stem, suffix in itertools.product(folders, photo_stems(result.stem), sorted(PHOTO_SUFFIXES)):
        try:
            return read(folder / f"{stem}{suffix}")
        except HumanMeshError:
            continue
    return Photo(result.stem, size, None)


def _same_aspect(found: tuple[int, int], wanted: tuple[int, int]) -> bool:
    return abs(found[0] * wanted[1] / (found[1] * wanted[0]) - 1) < _SAME_ASPECT
