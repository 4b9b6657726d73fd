"""Films of a few pixels, and a recoverer that knows who is in them: the frame's number stands in its brightness."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.files.videos import Frame
from humanmesh.geometry.cameras import PhotoCamera
from humanmesh.inference import Recoverer
from humanmesh.person import CropCamera, Person
from made_bodies import small_body

WIDTH, HEIGHT = 96, 64
RATE = 30.0
STEP = 5
"""Brightness of a frame over that of the last."""


def made_pixels(number: int) -> np.ndarray:
    return np.full((HEIGHT, WIDTH, 3), STEP * number, np.uint8)


class MadeFootage:
    """Frames at given times; `stop` frames can be read before an error comes."""

    name = "Made film"
    frame_rate = RATE
    skipped = 0

    def __init__(self, times: Sequence[float], stop: int | None = None) -> None:
        self.times = times
        self.expected_frames: int | None = len(times)
        self.stop = stop

    def frames(self) -> Iterator[Frame]:
        for number, time in enumerate(self.times):
            if number == self.stop:
                raise KeyboardInterrupt
            yield Frame(float(time), made_pixels(number))


def even_times(count: int) -> np.ndarray:
    return np.arange(count) / RATE


@dataclass(frozen=True)
class Actor:
    """Somebody in a film."""

    place: Callable[[int], tuple[float, float, float] | None]
    """Number of the frame -> metres in the camera frame; None where they are hidden."""
    noise: float = 0.0
    """Standard deviation of the recovered turns, radians."""
    shape: float = 0.0
    """All shape coefficients."""
    sway: float = 0.3
    """Radians by which the joints turn to and fro."""
    pitch: float = 0.0
    """Radians by which the camera looks down on them."""

    def rotations(self, number: int) -> np.ndarray:
        """The true turns: slow waves."""
        phases = np.arange(72).reshape(24, 3)
        turns = self.sway * np.sin(0.1 * number + phases)
        turns[0] = [np.pi - 0.1, 0.2 * np.sin(0.05 * number), 0]
        rotations = Rotation.from_rotvec(turns).as_matrix()
        rotations[0] = Rotation.from_euler("x", self.pitch).as_matrix() @ rotations[0]
        return rotations.astype(np.float32)


class MadeRecoverer(Recoverer):
    """Recovers the actors, with noise; `searches` and `looks` are the frames in which it was asked for all, or by boxes."""

    def __init__(self, *actors: Actor, body: BodyModelData | None = None) -> None:
        self.actors = actors
        self.body = BodyModel(small_body() if body is None else body)
        self.searches: list[int] = []
        self.looks: list[int] = []

    def recover_pixels(self, photos, boxes=None, focal_length=None) -> list[list[Person]]:
        number = round(float(photos[0][0, 0, 0]) * 255 / STEP)
        everybody = [
            self.person(row, number)
            for row, actor in enumerate(self.actors)
            if actor.place(number) is not None
        ]
        if boxes is None or boxes[0] is None:
            self.searches.append(number)
            return [everybody]
        self.looks.append(number)
        return [[person for box in boxes[0] if (person := _in_box(everybody, box)) is not None]]

    def person(self, row: int, number: int) -> Person:
        actor = self.actors[row]
        chance = np.random.default_rng((row, number))
        rotations = actor.rotations(number)
        wrong = Rotation.from_rotvec(actor.noise * chance.normal(size=(24, 3))).as_matrix()
        rotations = (rotations @ wrong).astype(np.float32)
        shape = np.full(10, actor.shape + actor.noise * chance.normal(), np.float32)
        translation = np.array(actor.place(number), np.float32)
        posed = self.body(torch.from_numpy(rotations)[None], torch.from_numpy(shape)[None])
        camera = PhotoCamera(float(np.hypot(WIDTH, HEIGHT)), (WIDTH / 2, HEIGHT / 2))
        vertices = posed.vertices[0].numpy() + translation
        points = camera.project(vertices)
        return Person(
            body=self.body.data,
            theta=np.concatenate([np.zeros(75, np.float32), shape]),
            rotations=rotations,
            translation=translation,
            vertices=vertices,
            joints=posed.joints[0].numpy() + translation,
            box=np.concatenate([points.min(0), points.max(0)]).astype(np.float32),
            score=0.8,
            camera=camera,
            weak_camera=CropCamera(1.0, (0.0, 0.0), np.eye(3, dtype=np.float32)),
            photo_size=(WIDTH, HEIGHT),
        )


def _in_box(people: list[Person], box: np.ndarray) -> Person | None:
    """The nearest person whose middle the box holds, as a crop would show them."""
    x0, y0, x1, y1 = box
    inside = []
    for person in people:
        x, y = person.keypoints_2d("cocoplus19").mean(0)
        if x0 <= x <= x1 and y0 <= y <= y1:
            inside.append(person)
    return min(inside, key=lambda person: person.translation[2], default=None)
