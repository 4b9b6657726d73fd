"""People in motion as files: the suffix says which. Fields, units and frames stand in docs/video.md."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32, Int
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData, BodyOutput
from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.arrays import read_arrays
from humanmesh.files.bvh import write_bvh
from humanmesh.files.glb import photo_camera, write_glb
from humanmesh.files.images import bytes_of_pixels, pixels_of_array
from humanmesh.files.rigs import Rig, rig_of_body
from humanmesh.files.videos import Footage, video_writer
from humanmesh.files.writing import whole_file
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle
from humanmesh.render.overlay import PERSON_COLORS, Look, draw_people

CLIP_FORMAT = "humanmesh-clip-1"
"""Version of the fields of NPZ files; it changes when a field changes its meaning or goes away."""

_MAKE_AGAIN = "Make it again."
_SMALL_FRAME = 500_000
"""Pixels up to which the bodies are drawn with two samples a pixel in each direction."""


@dataclass(frozen=True, eq=False)
class ClipPerson:
    """One person from the first frame to the last in which they are known. Camera frame, metres."""

    identity: int
    """1, 2, ... in the order of their coming."""
    first_frame: int
    """Number in the clip of the first row below."""
    rotations: Float[np.ndarray, "frames 24 3 3"]
    """Each joint in its parent's frame; the first takes the body to the camera frame."""
    shape: Float[np.ndarray, "10"]
    """Standard deviations; one for all frames."""
    translation: Float[np.ndarray, "frames 3"]
    """Added to the posed body."""
    scores: Float[np.ndarray, "frames"]
    """In [0, 1]; 0 where the person was not seen, and filled in from the frames around."""

    @property
    def frames(self) -> slice:
        """The person's frames among the clip's."""
        return slice(self.first_frame, self.first_frame + len(self.rotations))


@dataclass(frozen=True, eq=False)
class Clip:
    """The people of a film. Camera frame: x right, y down, z forward; metres."""

    body: BodyModelData
    """The body that poses and shapes belong to."""
    times: Float[np.ndarray, "frames"]
    """Seconds since the first frame, increasing; not always evenly spaced."""
    people: tuple[ClipPerson, ...]
    """Nobody is an answer, too."""
    size: tuple[int, int]
    """Width and height of the frames in pixels, upright."""
    focal_length: float
    """Pixels."""
    principal_point: tuple[float, float]
    """Pixels from the upper left corner."""
    skipped: int = 0
    """Frames that could not be read."""
    footage: Footage | None = None
    """Where the frames can be had again, for the overlay."""
    camera_pitch: float = 0.0
    """Radians by which the camera looks down; GLB and BVH files are turned by it, so that people who stand are upright."""
    bones: tuple[str, ...] = SMPL_24.joints
    """Names of the 24 joints in GLB and BVH files (`files.rig_names`)."""

    @cached_property
    def model(self) -> BodyModel:
        """The body, to pose."""
        return BodyModel(self.body.to(dtype=torch.float32, device="cpu"))

    def pose(self, person: ClipPerson, rows: slice = slice(None)) -> BodyOutput:
        """Vertices and joints (metres, camera frame) of some of a person's frames."""
        translation = torch.from_numpy(person.translation[rows])[:, None]
        shape = torch.from_numpy(person.shape).expand(len(translation), -1)
        posed = self.model(torch.from_numpy(person.rotations[rows]), shape)
        return BodyOutput(posed.vertices + translation, posed.joints + translation)

    def joints(self, person: ClipPerson) -> Float[np.ndarray, "frames 24 3"]:
        """Joints (metres, camera frame) of all of a person's frames, for which no vertex is posed."""
        rest = self.model.rest_joints(torch.from_numpy(person.shape)[None])
        rotations = torch.from_numpy(person.rotations)
        _, joints = self.model.tree(rotations, rest.expand(len(rotations), -1, -1))
        return joints.numpy() + person.translation[:, None]

    def only(self, identity: int) -> "Clip":
        """The clip of one person.

        Raises:
            UnknownNameError: listing the identities that exist.
        """
        people = tuple(person for person in self.people if person.identity == identity)
        if not people:
            raise UnknownNameError("person", str(identity), [str(person.identity) for person in self.people])
        return replace(self, people=people)

    def save(self, path: Path | str) -> list[Path]:
        """Write the clip in the format of the suffix, .glb .bvh .npz or .mp4, each file whole or not at all.

        A BVH holds one person: the second and following go to NAME.2.bvh, NAME.3.bvh and so on. GLB and BVH of nobody
        are not written.

        Returns:
            The files written.

        Raises:
            UnknownNameError: where nobody knows the suffix.
            BadInputError: where a file cannot be written.
        """
        return clip_writer(Path(path).suffix)(Path(path), self)


def clip_writer(suffix: str) -> Callable[[Path, Clip], list[Path]]:
    """The function that writes files of that suffix, with or without its dot.

    Raises:
        UnknownNameError: listing the suffixes that exist.
    """
    name = suffix.lower().removeprefix(".")
    if name not in CLIP_WRITERS:
        raise UnknownNameError("output format of a clip", name, list(CLIP_WRITERS))
    return CLIP_WRITERS[name]


def _rig(clip: Clip, person: ClipPerson) -> Rig:
    times = clip.times[person.frames]
    rig = rig_of_body(clip.body, person.rotations, person.shape, person.translation, times, clip.camera_pitch)
    return replace(rig, names=clip.bones)


def _save_glb(path: Path, clip: Clip) -> list[Path]:
    if not clip.people:
        return []
    rigs = [_rig(clip, person) for person in clip.people]
    write_glb(path, rigs, photo_camera(clip.focal_length, *clip.size), clip.camera_pitch)
    return [path]


def _save_bvh(path: Path, clip: Clip) -> list[Path]:
    paths = [
        path if number == 1 else path.with_suffix(f".{number}{path.suffix}")
        for number in range(1, len(clip.people) + 1)
    ]
    for each, person in zip(paths, clip.people, strict=True):
        write_bvh(each, _rig(clip, person))
    return paths


def _save_npz(path: Path, clip: Clip) -> list[Path]:
    with whole_file(path) as beside, open(beside, "wb") as file:
        np.savez_compressed(file, **arrays_of(clip))  # pyright: ignore[reportArgumentType]
    return [path]


def _save_mp4(path: Path, clip: Clip) -> list[Path]:
    write_overlay(path, clip)
    return [path]


CLIP_WRITERS: dict[str, Callable[[Path, Clip], list[Path]]] = {
    "glb": _save_glb,
    "bvh": _save_bvh,
    "npz": _save_npz,
    "mp4": _save_mp4,
}


def arrays_of(clip: Clip) -> dict[str, np.ndarray]:
    """The fields of an NPZ file; a person's rows are 0 in frames where `present` is False."""

    def spread(person: ClipPerson, values: np.ndarray) -> np.ndarray:
        everywhere = np.zeros((len(clip.times), *values.shape[1:]), values.dtype)
        everywhere[person.frames] = values
        return everywhere

    def gather(values: list[np.ndarray], *shape: int) -> np.ndarray:
        rows = [spread(person, value) for person, value in zip(clip.people, values, strict=True)]
        return np.stack(rows) if rows else np.zeros((0, len(clip.times), *shape), np.float32)

    poses = [
        matrix_to_axis_angle(torch.from_numpy(person.rotations)).flatten(1).numpy() for person in clip.people
    ]
    return {
        "format": np.array(CLIP_FORMAT),
        "body": np.array(clip.body.name),
        "times": clip.times,
        "photo_size": np.array(clip.size, np.int32),
        "focal_length": np.array(clip.focal_length, np.float32),
        "principal_point": np.array(clip.principal_point, np.float32),
        "camera_pitch": np.array(clip.camera_pitch, np.float32),
        "skipped_frames": np.array(clip.skipped, np.int32),
        "identities": np.array([person.identity for person in clip.people], np.int32),
        "present": gather([np.ones(len(person.scores), bool) for person in clip.people]).astype(bool),
        "scores": gather([person.scores for person in clip.people]).astype(np.float32),
        "poses": gather(poses, 72),
        "betas": np.array([person.shape for person in clip.people], np.float32).reshape(-1, 10),
        "trans": gather([person.translation for person in clip.people], 3),
        "joints": gather([clip.joints(person) for person in clip.people], 24, 3),
        "joint_names": np.array(SMPL_24.joints),
        "joint_parents": np.array(clip.body.parents, np.int32),
    }


def read_clip(path: Path | str, body: BodyModelData) -> Clip:
    """A clip from its NPZ file, without its footage.

    Args:
        path: the file.
        body: the body of the name that stands in the file.

    Raises:
        BadInputError: where the file is no clip, or of another body.
    """
    arrays = read_arrays(path, f"Clip {path}", _MAKE_AGAIN)
    version = str(arrays.get("format", "nothing"))
    if version != CLIP_FORMAT:
        raise BadInputError(f"Clip {path}", f"its format is {version!r}", f"Give a file of {CLIP_FORMAT!r}.")
    made_with = str(arrays.get("body", "nothing"))
    if made_with != body.name:
        raise BadInputError(f"Clip {path}", f"it was made with the body {made_with!r}", "Give that body.")
    arrays = {"camera_pitch": np.array(0.0)} | arrays  # which older files lack
    _check(arrays, f"Clip {path}")
    width, height = arrays["photo_size"].tolist()
    return Clip(
        body=body,
        times=arrays["times"],
        people=tuple(_person(arrays, row) for row in range(len(arrays["identities"]))),
        size=(width, height),
        focal_length=float(arrays["focal_length"]),
        principal_point=(float(arrays["principal_point"][0]), float(arrays["principal_point"][1])),
        skipped=int(arrays["skipped_frames"]),
        camera_pitch=float(arrays["camera_pitch"]),
    )


def _check(arrays: dict[str, np.ndarray], what: str) -> None:
    """Refuse what is no clip."""
    frames, people = (np.size(arrays.get(name, ())) for name in ("times", "identities"))
    shapes = {
        "times": (frames,), "photo_size": (2,), "focal_length": (), "principal_point": (2,), "camera_pitch": (),
        "skipped_frames": (), "identities": (people,), "present": (people, frames), "scores": (people, frames),
        "poses": (people, frames, 72), "betas": (people, 10), "trans": (people, frames, 3),
    }  # fmt: skip
    for name, shape in shapes.items():
        values = arrays.get(name)
        if values is None or values.shape != shape or values.dtype.kind not in "biuf":
            raise BadInputError(what, f"its field {name!r} is missing or of a wrong shape", _MAKE_AGAIN)
        if not np.isfinite(values).all():
            raise BadInputError(what, f"its field {name!r} holds what is no number", _MAKE_AGAIN)
    if arrays["focal_length"] <= 0 or (arrays["photo_size"] <= 0).any():
        raise BadInputError(what, "its camera has no size", _MAKE_AGAIN)
    if (np.diff(arrays["times"]) <= 0).any():
        raise BadInputError(what, "its times do not increase", _MAKE_AGAIN)
    for identity, present in zip(arrays["identities"], arrays["present"], strict=True):
        rows = present.nonzero()[0]
        if not len(rows) or rows[-1] - rows[0] + 1 != len(rows):
            raise BadInputError(
                what, f"person {identity} is in no frames that follow one another", _MAKE_AGAIN
            )


def _person(arrays: dict[str, np.ndarray], row: int) -> ClipPerson:
    rows = arrays["present"][row].nonzero()[0]

    def numbers(name: str) -> np.ndarray:
        return arrays[name][row].astype(np.float32)

    poses = torch.from_numpy(numbers("poses")[rows]).unflatten(1, (24, 3))
    return ClipPerson(
        identity=int(arrays["identities"][row]),
        first_frame=int(rows[0]),
        rotations=axis_angle_to_matrix(poses).numpy(),
        shape=numbers("betas"),
        translation=numbers("trans")[rows],
        scores=numbers("scores")[rows],
    )


def write_overlay(
    path: Path | str, clip: Clip, advance: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """The film with the bodies over it, each person in a colour of their own (H.264 in MP4).

    Args:
        path: the file, whole or not at all.
        clip: with its footage.
        advance: told after each frame how many are done, of how many.

    Raises:
        BadInputError: where the clip has no footage, or the file cannot be written.
        MissingAssetError: where there is no PyAV.
    """
    if clip.footage is None:
        raise BadInputError("Overlay", "the clip does not know its film", "Recover it from the film again.")
    look = Look(samples=2 if clip.size[0] * clip.size[1] <= _SMALL_FRAME else 1)
    count = len(clip.times)
    with video_writer(path, *clip.size, clip.footage.frame_rate) as writer:
        for row, frame in zip(range(count), clip.footage.frames(), strict=False):
            picture = _with_bodies(pixels_of_array(frame.pixels), clip, row, look)
            writer.write(frame.time, bytes_of_pixels(picture))
            advance(row + 1, count)


def _with_bodies(
    picture: Float[Tensor, "3 height width"], clip: Clip, row: int, look: Look
) -> Float32[Tensor, "3 height width"]:
    people = [person for person in clip.people if person.frames.start <= row < person.frames.stop]
    if not people:
        return picture
    faces: Int[Tensor, "faces 3"] = clip.body.faces
    rows = [slice(row - person.first_frame, row - person.first_frame + 1) for person in people]
    vertices = torch.cat([clip.pose(*each).vertices for each in zip(people, rows, strict=True)])
    colors = torch.tensor([PERSON_COLORS[(person.identity - 1) % len(PERSON_COLORS)] for person in people])
    face_colors = colors[:, None].expand(-1, len(faces), -1)
    return draw_people(picture, vertices, faces, clip.focal_length, clip.principal_point, face_colors, look)
