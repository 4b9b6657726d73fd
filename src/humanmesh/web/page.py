"""One HTML file that shows people over their photo, and round about: no server, no network, opened from the disk."""

import base64
import gzip
import html
import io
import itertools
import json
import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from humanmesh.body.measurements import BODY_DENSITY, Measurements, measure
from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import BadInputError
from humanmesh.files.clips import CLIP_FORMAT, Clip, ClipPerson
from humanmesh.files.glb import photo_camera, write_glb
from humanmesh.files.images import bytes_of_pixels
from humanmesh.files.meshes import fields_of
from humanmesh.files.rigs import Rig, rig_of_body
from humanmesh.files.writing import whole_file
from humanmesh.geometry.rotations import matrix_to_axis_angle
from humanmesh.person import Person
from humanmesh.render.overlay import LEFT_COLOR, MIDDLE_COLOR, PERSON_COLORS, RIGHT_COLOR
from humanmesh.render.shading import part_colors

PEOPLE_FORMAT = "humanmesh-people-1"
"""Version of a JSON file of several people: {"format": ..., "people": [the fields of each]}."""
MODULES = (
    "app.js", "exports.js", "film.js", "glb.js", "panel.js", "person.js", "pointer.js", "stage.js", "stick.js", "timeline.js", "times.js",
)  # fmt: skip
"""The page's own modules, in `web/static`."""

LARGEST_SIDE = 2048
"""Pixels of the photo in the page; a larger photo is made smaller."""
LARGEST_FILM_SIDE = 640
"""The same of the frames of a film."""
FILM_FRAMES = 300
"""Frames of a film in the page at most: of a longer one every second, third and so on."""
_PHOTO_QUALITY, _FILM_QUALITY = 90, 75
"""Of JPEG, in [0, 100]."""
_DIGITS = 5
"""Decimals of a clip's numbers in the JSON that the page exports: 0.01 mm."""


@dataclass(frozen=True, eq=False)
class PageCamera:
    """The camera of the photo, or of the frames of a film."""

    focal_length: float
    """Pixels; in x, where the pixels are not square."""
    principal_point: tuple[float, float]
    """Pixels from the upper left corner."""
    size: tuple[int, int]
    """Width and height in pixels."""
    pitch: float = 0.0
    """Radians by which it looks down; views from the sides stand upright in the room."""
    pixel_aspect: float = 1.0
    """Focal length in y over that in x."""


@dataclass(frozen=True, eq=False)
class PagePerson:
    """What the page says of one person."""

    name: str
    color: tuple[float, float, float]
    """sRGB in [0, 1]."""
    score: float | None
    """In [0, 1]; None where nothing measured it."""
    measurements: Measurements | None
    """None where the shape is not known."""
    fields: dict[str, Any]
    """What the page's JSON export says of the person."""


@dataclass(frozen=True, eq=False)
class FilmFrame:
    """What stands behind the people from a moment of a film on."""

    time: float
    """Seconds since the first frame with anybody in it; negative before."""
    jpeg: bytes


@dataclass(frozen=True, eq=False)
class Page:
    """The content of a page."""

    title: str
    camera: PageCamera
    people: tuple[PagePerson, ...]
    glb: bytes
    """The same people in the same order, as `files.glb` writes them."""
    photo: Float[Tensor, "3 height width"] | None = None
    """sRGB in [0, 1]; None where there is none to show."""
    film: tuple[FilmFrame, ...] = ()
    """Frames of one size, in the order of their times."""


def photo_page(
    title: str, people: Sequence[Person], photo: Float[Tensor, "3 height width"] | None = None
) -> Page:
    """The page of the people of one photo, at least one.

    Raises:
        BadInputError: where nobody is given.
    """
    _need_somebody(title, people)
    records = [person.record() for person in people]
    # The page looks from the photo's camera, and turns the viewer instead of the people.
    rigs = [replace(record, camera_pitch=0.0).rig() for record in records]
    first, lens = people[0], people[0].camera
    camera = PageCamera(
        lens.focal_length, lens.principal_point, first.photo_size, first.camera_pitch, lens.pixel_aspect
    )
    shown = tuple(
        PagePerson(
            name=f"Person {number + 1}",
            color=PERSON_COLORS[number % len(PERSON_COLORS)],
            score=None if math.isnan(person.score) else person.score,
            measurements=person.measurements,
            fields=fields_of(record),
        )
        for number, (person, record) in enumerate(zip(people, records, strict=True))
    )
    return Page(title, camera, shown, _glb(rigs, camera), photo)


def clip_page(title: str, clip: Clip, photo: Float[Tensor, "3 height width"] | None = None) -> Page:
    """The page of the people of a film, at least one.

    Args:
        title: what stands over it.
        clip: its footage, where it has any, stands behind the people.
        photo: stands there where the clip has no footage.

    Raises:
        BadInputError: where nobody is in the clip.
    """
    _need_somebody(title, clip.people)
    camera = PageCamera(clip.focal_length, clip.principal_point, clip.size, clip.camera_pitch)
    rigs = [
        rig_of_body(clip.body, person.rotations, person.shape, person.translation, clip.times[person.frames])
        for person in clip.people
    ]
    shown = tuple(
        PagePerson(
            name=f"Person {person.identity}",
            color=PERSON_COLORS[(person.identity - 1) % len(PERSON_COLORS)],
            score=float(person.scores.mean()),
            measurements=measure(clip.body, torch.from_numpy(person.shape)),
            fields=_clip_fields(clip, person),
        )
        for person in clip.people
    )
    film = _film(clip)
    return Page(title, camera, shown, _glb(rigs, camera), None if film else photo, film)


def write_page(path: Path | str, page: Page) -> None:
    """Write the page, whole or not at all.

    Raises:
        BadInputError: where the file cannot be written.
    """
    text = html_of(page)
    with whole_file(path) as beside:
        beside.write_text(text, encoding="utf-8")


def html_of(page: Page) -> str:
    """The page as one text, in which no title can end an element or start a script."""
    return Template(_static("page.html")).substitute(
        title=html.escape(page.title),
        style=_static("page.css"),
        licence="three.js " + _static("three.LICENSE.txt"),
        imports=_json({"imports": _imports()}),
        data=_json(_data_of(page)),
    )


def _need_somebody(title: str, people: Sequence[object]) -> None:
    if not people:
        raise BadInputError(f"Page {title!r}", "there is nobody to show", "Give a photo with a person in it.")


def _glb(rigs: Sequence[Rig], camera: PageCamera) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "people.glb"
        write_glb(path, rigs, photo_camera(camera.focal_length, *camera.size, camera.pixel_aspect))
        return path.read_bytes()


def _film(clip: Clip) -> tuple[FilmFrame, ...]:
    if clip.footage is None:
        return ()
    start = min(float(clip.times[person.first_frame]) for person in clip.people)
    count = len(clip.times)
    return tuple(
        FilmFrame(frame.time - start, _jpeg(Image.fromarray(frame.pixels), LARGEST_FILM_SIDE, _FILM_QUALITY))
        for frame in itertools.islice(clip.footage.frames(), 0, count, math.ceil(count / FILM_FRAMES))
    )


def _clip_fields(clip: Clip, person: ClipPerson) -> dict[str, Any]:
    """What the NPZ file of the clip says of one person, with the names that stand there."""
    poses = matrix_to_axis_angle(torch.from_numpy(person.rotations)).flatten(1).numpy()
    numbers = {
        "times": clip.times[person.frames],
        "scores": person.scores,
        "poses": poses,
        "betas": person.shape,
        "trans": person.translation,
    }
    return {
        "format": CLIP_FORMAT,
        "body": clip.body.name,
        "identity": person.identity,
        "photo": {"width": clip.size[0], "height": clip.size[1]},
        "camera": {
            "focal_length": clip.focal_length,
            "principal_point": list(clip.principal_point),
            "pitch": clip.camera_pitch,
        },
        **{name: np.round(values.astype(np.float64), _DIGITS).tolist() for name, values in numbers.items()},
    }


def _data_of(page: Page) -> dict[str, Any]:
    """What the page's modules find in it."""
    width, height = page.camera.size
    return {
        "title": page.title,
        "format": PEOPLE_FORMAT,
        "camera": {
            "focalLength": page.camera.focal_length,
            "pixelAspect": page.camera.pixel_aspect,
            "principalPoint": page.camera.principal_point,
            "width": width,
            "height": height,
            "pitch": page.camera.pitch,
        },
        "photo": None if page.photo is None else _photo_url(page.photo),
        "film": [{"time": frame.time, "source": _data_url("image/jpeg", frame.jpeg)} for frame in page.film],
        "glb": _packed(page.glb),
        "fields": _packed(json.dumps([person.fields for person in page.people], allow_nan=False).encode()),
        "people": [_person_data(person) for person in page.people],
        "measurementsNote": f"Of the recovered body in its rest pose; mass at {BODY_DENSITY:.0f} kg/m³.",
        "partColors": [_hex(color) for color in part_colors(len(SMPL_24)).tolist()],
        "jointColors": [_hex(_side_color(joint)) for joint in SMPL_24.joints],
    }


def _person_data(person: PagePerson) -> dict[str, Any]:
    return {
        "name": person.name,
        "color": _hex(person.color),
        "score": person.score,
        "measurements": [] if person.measurements is None else _rows(person.measurements),
    }


def _rows(sizes: Measurements) -> list[tuple[str, str]]:
    lengths = {
        "Height": sizes.height,
        "Arm span": sizes.arm_span,
        "Inside leg": sizes.inside_leg,
        "Chest": sizes.chest,
        "Waist": sizes.waist,
        "Hip": sizes.hip,
    }
    return [
        *((name, f"{100 * metres:.1f} cm") for name, metres in lengths.items()),
        ("Volume", f"{1000 * sizes.volume:.1f} l"),
        ("Mass", f"{sizes.mass():.0f} kg"),
    ]


def _side_color(joint: str) -> tuple[float, float, float]:
    colors = {"left": LEFT_COLOR, "right": RIGHT_COLOR}
    return colors.get(joint.split("_")[0], MIDDLE_COLOR)


def _hex(color: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * value):02x}" for value in color)


def _photo_url(photo: Float[Tensor, "3 height width"]) -> str:
    image = Image.fromarray(bytes_of_pixels(photo))
    return _data_url("image/jpeg", _jpeg(image, LARGEST_SIDE, _PHOTO_QUALITY))


def _jpeg(image: Image.Image, largest_side: int, quality: int) -> bytes:
    image.thumbnail((largest_side, largest_side), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    image.save(stream, format="JPEG", quality=quality, subsampling=0)
    return stream.getvalue()


def _packed(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _imports() -> dict[str, str]:
    """Where the page's modules find each other: in the page itself, because a file may load no other file."""
    names = {"three": "three.js", **{f"humanmesh/{name}": name for name in MODULES}}
    return {name: _data_url("text/javascript", _static(file).encode()) for name, file in names.items()}


def _json(value: object) -> str:
    """JSON that stands in a script element: nothing in it can end the element."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _static(name: str) -> str:
    return (files("humanmesh.web") / "static" / name).read_text(encoding="utf-8")
