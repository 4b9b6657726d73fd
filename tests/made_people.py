"""People on the free body in front of a camera, as the network would have found them, and a clip of them."""

import math
from collections.abc import Iterator

import numpy as np
import torch

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24
from humanmesh.files.clips import Clip, ClipPerson
from humanmesh.files.videos import Frame
from humanmesh.geometry.cameras import PhotoCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.person import CropCamera, Person

SIZE = (320, 240)
"""Width and height of the photo, pixels."""
CAMERA = PhotoCamera(400.0, (150.0, 125.0))
"""Its principal point is not the middle, so that nobody can take it for the middle."""


def pose_of(**turns: tuple[float, float, float]) -> torch.Tensor:
    """Axis-angle (72) of somebody upright before the camera, with joints turned by name."""
    pose = torch.zeros(24, 3)
    pose[0, 0] = math.pi
    for joint, turn in turns.items():
        pose[SMPL_24.index[joint]] = torch.tensor(turn)
    return pose.flatten()


WALKING = pose_of(
    left_hip=(-0.6, 0, 0), right_hip=(0.4, 0, 0), left_shoulder=(0, 0, -1.2), right_elbow=(0, 1, 0)
)
WAVING = pose_of(right_shoulder=(0, 0, -0.9), left_shoulder=(0, 0, -1.1), left_knee=(0.8, 0, 0))


def person(
    data: BodyModelData, pose: torch.Tensor, translation: tuple[float, float, float], score: float = 0.8
) -> Person:
    """Somebody of a shape of their own."""
    shape = torch.linspace(-1, 1, 10) * translation[2] / 4
    rotations = axis_angle_to_matrix(pose.unflatten(0, (24, 3)))
    posed = BodyModel(data)(rotations[None], shape[None])
    place = np.array(translation, np.float32)
    return Person(
        body=data,
        theta=torch.cat([torch.tensor([0.9, 0.0, 0.0]), pose, shape]).numpy(),
        rotations=rotations.numpy(),
        translation=place,
        vertices=posed.vertices[0].numpy() + place,
        joints=posed.joints[0].numpy() + place,
        box=np.array([10, 20, 110, 220], np.float32),
        score=score,
        camera=CAMERA,
        weak_camera=CropCamera(0.9, (0.0, 0.0), np.eye(3, dtype=np.float32)),
        photo_size=SIZE,
    )


def two_people(data: BodyModelData) -> list[Person]:
    """One walks before the other, who waves."""
    return [person(data, WALKING, (-0.45, 0.1, 3.6)), person(data, WAVING, (0.5, 0.0, 4.6), score=math.nan)]


class GreyFootage:
    """Frames of one grey each, which tells their number; ten a second."""

    name = "Grey film"
    frame_rate = 10.0
    skipped = 0

    def __init__(self, count: int) -> None:
        self.expected_frames: int | None = count

    def frames(self) -> Iterator[Frame]:
        for number in range(self.expected_frames or 0):
            yield Frame(number / 10, np.full((SIZE[1], SIZE[0], 3), grey_of(number), np.uint8))


def grey_of(number: int) -> int:
    return 40 + 12 * number


def clip_of_two(data: BodyModelData, frames: int = 12) -> Clip:
    """Somebody swings an arm in all frames; somebody else comes a third later and goes earlier."""
    later, last = frames // 3, frames - 2
    return Clip(
        body=data,
        times=np.arange(frames) / 10,
        people=(_swinging(data, 1, 0, frames, -0.5), _swinging(data, 2, later, last - later, 0.6)),
        size=SIZE,
        focal_length=CAMERA.focal_length,
        principal_point=CAMERA.principal_point,
        footage=GreyFootage(frames),
    )


def _swinging(data: BodyModelData, identity: int, first: int, frames: int, x: float) -> ClipPerson:
    poses = torch.stack([pose_of(left_shoulder=(0, 0, 0.12 * frame - 1)) for frame in range(frames)])
    places = np.linspace([x, 0.1, 4], [x + 0.3, 0.1, 4.5], frames).astype(np.float32)
    return ClipPerson(
        identity=identity,
        first_frame=first,
        rotations=axis_angle_to_matrix(poses.unflatten(1, (24, 3))).numpy(),
        shape=np.zeros(10, np.float32),
        translation=places,
        scores=np.full(frames, 0.7, np.float32),
    )
