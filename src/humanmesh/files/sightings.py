"""What was seen in a film, frame by frame, before it is smoothed: kept in a file so that work can go on later."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from humanmesh.errors import BadInputError
from humanmesh.files.arrays import read_arrays
from humanmesh.files.writing import whole_file


@dataclass(frozen=True, eq=False)
class SeenPerson:
    """One person in one frame, as recovered from this frame alone."""

    rotations: Float[np.ndarray, "24 3 3"]
    """Each joint in its parent's frame; the first takes the body to the camera frame."""
    shape: Float[np.ndarray, "10"]
    """Standard deviations."""
    translation: Float[np.ndarray, "3"]
    """Metres, camera frame; added to the posed body."""
    keypoints: Float[np.ndarray, "19 2"]
    """COCOPLUS_19, pixels of the frame."""
    score: float
    """In [0, 1]."""


@dataclass(frozen=True, eq=False)
class SeenFrame:
    """Everybody in one frame."""

    time: float
    """Seconds since the first frame."""
    people: tuple[SeenPerson, ...]
    """In no order."""


def write_sightings(path: Path | str, frames: Sequence[SeenFrame], made_from: str) -> None:
    """Keep the frames done so far, whole or not at all.

    Args:
        path: an .npz file.
        frames: from the first on.
        made_from: film and settings in words; who reads the file must give the same.

    Raises:
        BadInputError: where the file cannot be written.
    """
    people = [person for frame in frames for person in frame.people]
    arrays = {
        "made_from": np.array(made_from),
        "times": np.array([frame.time for frame in frames]),
        "counts": np.array([len(frame.people) for frame in frames]),
        "rotations": np.array([person.rotations for person in people], np.float32).reshape(-1, 24, 3, 3),
        "shapes": np.array([person.shape for person in people], np.float32).reshape(-1, 10),
        "translations": np.array([person.translation for person in people], np.float32).reshape(-1, 3),
        "keypoints": np.array([person.keypoints for person in people], np.float32).reshape(-1, 19, 2),
        "scores": np.array([person.score for person in people]),
    }
    with whole_file(path) as beside, open(beside, "wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]


def read_sightings(path: Path | str, made_from: str) -> list[SeenFrame]:
    """The frames that `write_sightings` kept.

    Raises:
        BadInputError: where the file is damaged, or was made from another film or with other settings.
    """
    remedy = "Start again without --resume."
    try:
        arrays = read_arrays(path, f"File {path}", remedy)
        if str(arrays["made_from"]) != made_from:
            raise BadInputError(f"File {path}", "it belongs to another film or other settings", remedy)
        return _frames(arrays)
    except (ValueError, KeyError, IndexError) as error:
        raise BadInputError(f"File {path}", f"it is damaged ({error})", remedy) from error


def _frames(arrays: dict[str, np.ndarray]) -> list[SeenFrame]:
    people = [
        SeenPerson(
            arrays["rotations"][row],
            arrays["shapes"][row],
            arrays["translations"][row],
            arrays["keypoints"][row],
            float(arrays["scores"][row]),
        )
        for row in range(len(arrays["scores"]))
    ]
    ends = np.cumsum(arrays["counts"])
    return [
        SeenFrame(float(time), tuple(people[end - count : end]))
        for time, count, end in zip(arrays["times"], arrays["counts"], ends, strict=True)
    ]
