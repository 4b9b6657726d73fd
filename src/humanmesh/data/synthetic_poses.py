"""Poses, shapes and views of synthetic people: motion capture, varied, seen from all round."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.body.standing import TOES_OUT
from humanmesh.data.synthetic_draws import chance, normal, uniform
from humanmesh.geometry.rotations import axis_angle_to_matrix, mirror_matrix, quaternion_to_matrix

_LEGS = tuple(f"{side}_{joint}" for side in ("left", "right") for joint in ("hip", "knee", "ankle", "foot"))

_LOOSE_JOINTS = {
    "head": 0.25, "neck": 0.15, "left_hand": 0.3, "right_hand": 0.3, "left_wrist": 0.3, "right_wrist": 0.3,
    "left_ankle": 0.2, "right_ankle": 0.2, "left_foot": 0.15, "right_foot": 0.15,
    "left_shoulder": 0.2, "right_shoulder": 0.2, "left_elbow": 0.2, "right_elbow": 0.2,
    "pelvis": 0.1, "spine1": 0.06, "spine2": 0.06, "spine3": 0.06,
}  # fmt: skip
"""Joints whose noise differs from the common one: standard deviation per axis at full strength, radians."""
_COMMON_NOISE = 0.12


@dataclass(frozen=True)
class PoseLibrary:
    """Recorded poses to draw from."""

    poses: Float[Tensor, "frames 72"]
    """Axis-angle of the 24 SMPL joints, radians; the first rotation stands the body in a world whose y is up."""
    weights: Float[Tensor, "frames"]
    """How often each frame is drawn, relative to the others."""

    def to(self, device: torch.device) -> "PoseLibrary":
        """The same poses on another device."""
        return PoseLibrary(self.poses.to(device), self.weights.to(device))


def balanced_over_clips(poses: Float[Tensor, "frames 72"], clips: Int[Tensor, "frames"]) -> PoseLibrary:
    """Every clip alike, however long it is; within a clip every frame alike."""
    _, clip, counts = clips.unique(return_inverse=True, return_counts=True)
    return PoseLibrary(poses, 1.0 / counts[clip].float())


@dataclass(frozen=True)
class PoseConfig:
    """How poses, shapes and views are varied."""

    mixed_share: float = 0.2
    """People whose legs come from another frame than their trunk and arms."""
    mirrored_share: float = 0.5
    """People mirrored, left for right."""
    noise: float = 1.0
    """Largest strength of the noise per joint; 1 is 0.06 (spine) to 0.3 (hand) rad per axis. Each person draws a share of it."""
    arbitrary_view_share: float = 0.15
    """People turned at random in all three dimensions instead of as they were recorded."""
    elevation_degrees: tuple[float, float] = (-20.0, 70.0)
    """Camera below (negative) to above the horizon."""
    level_share: float = 0.6
    """Views within the elevation's range that are drawn near the horizon (8 +- 12 degrees) instead of evenly."""
    roll_degrees: float = 6.0
    """Standard deviation of the camera's roll."""
    wide_shape_share: float = 0.2
    """People whose shape coefficients have a standard deviation of 1.5 instead of 1."""
    feet_share: float = 0.0
    """People whose feet are turned anew, from pulled up to pointed: recorded people walk and stand, and seldom point their toes."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_share") and not 0 <= value <= 1:
                raise ValueError(f"{name} is a share in [0, 1], got {value}")


def sample_rotations(
    library: PoseLibrary, count: int, config: PoseConfig, generator: torch.Generator
) -> Float[Tensor, "count 24 3 3"]:
    """Rotations of `count` bodies; the first one, the global rotation, is given in the camera frame."""
    rotations = frames(library, count, generator)
    others = frames(library, count, generator)
    legs = torch.tensor([name in _LEGS for name in SMPL_24.joints], device=rotations.device)
    mixed = chance(generator, config.mixed_share, count)[:, None] & legs
    rotations = torch.where(mixed[..., None, None], others, rotations)
    mirrored = chance(generator, config.mirrored_share, count)
    rotations = torch.where(mirrored[:, None, None, None], mirrored_rotations(rotations), rotations)
    rotations = _noise(count, config.noise, generator) @ rotations
    if config.feet_share > 0:
        rotations = _with_feet_anew(rotations, config.feet_share, generator)
    body, root = rotations[:, 1:], rotations[:, 0]
    return torch.cat([_camera_from_body(root, config, generator)[:, None], body], 1)


def mirrored_rotations(rotations: Float[Tensor, "batch 24 3 3"]) -> Float[Tensor, "batch 24 3 3"]:
    """The pose seen in a mirror that flips x, with left and right joints exchanged."""
    return mirror_matrix(rotations[:, list(SMPL_24.mirror)])


def sample_shapes(count: int, config: PoseConfig, generator: torch.Generator) -> Float[Tensor, "count 10"]:
    """Shape coefficients, in standard deviations."""
    wide = chance(generator, config.wide_shape_share, count, 1)
    return normal(generator, 1.0, count, 10) * torch.where(wide, 1.5, 1.0)


def frames(library: PoseLibrary, count: int, generator: torch.Generator) -> Float[Tensor, "count 24 3 3"]:
    """Recorded poses, drawn by their weights; the first rotation stands the body in the world."""
    rows = torch.multinomial(library.weights, count, replacement=True, generator=generator)
    return axis_angle_to_matrix(library.poses[rows].unflatten(1, (24, 3)))


def _noise(count: int, strength: float, generator: torch.Generator) -> Float[Tensor, "count 24 3 3"]:
    deviations = [_LOOSE_JOINTS.get(name, _COMMON_NOISE) for name in SMPL_24.joints]
    per_joint = torch.tensor(deviations, device=generator.device)[:, None]
    per_person = uniform(generator, 0, strength, count, 1, 1)
    return axis_angle_to_matrix(normal(generator, 1.0, count, 24, 3) * per_joint * per_person)


def _with_feet_anew(
    rotations: Float[Tensor, "count 24 3 3"], share: float, generator: torch.Generator
) -> Float[Tensor, "count 24 3 3"]:
    """A share of the people with other ankles. Both feet of a person are pitched nearly alike."""
    count = len(rotations)
    pitch = uniform(generator, *_FOOT_PITCH_DEGREES, count, 1)
    turns = normal(generator, 1.0, count, 2, 3) * pitch.new_tensor(_FOOT_NOISE_DEGREES).deg2rad()
    turns[..., 0] += pitch.deg2rad()
    turns[..., 1] += pitch.new_tensor([TOES_OUT, -TOES_OUT])
    ankles = axis_angle_to_matrix(turns)
    chosen = chance(generator, share, count)[:, None, None, None]
    changed = rotations.clone()
    changed[:, _ANKLES] = torch.where(chosen, ankles, rotations[:, _ANKLES])
    return changed


_ANKLES = [SMPL_24.index["left_ankle"], SMPL_24.index["right_ankle"]]
_FOOT_PITCH_DEGREES = (-15.0, 60.0)
"""Of a person, from pulled up to pointed; 0 stands at right angles to the shin. Measured ankles reach some 20 and 50 degrees, and the foot bends, too."""
_FOOT_NOISE_DEGREES = (10.0, 8.0, 5.0)
"""Standard deviations of each foot: its pitch from the person's, its turn about the shin, its roll."""


def _camera_from_body(
    world_from_body: Float[Tensor, "count 3 3"], config: PoseConfig, generator: torch.Generator
) -> Float[Tensor, "count 3 3"]:
    count = len(world_from_body)
    yaw = uniform(generator, -math.pi, math.pi, count)
    roll = normal(generator, math.radians(config.roll_degrees), count)
    view = _about(2, roll) @ _about(0, _elevation(count, config, generator) + math.pi) @ _about(1, yaw)
    anywhere = quaternion_to_matrix(normal(generator, 1.0, count, 4))
    arbitrary = chance(generator, config.arbitrary_view_share, count)
    return torch.where(arbitrary[:, None, None], anywhere, view @ world_from_body)


def _elevation(count: int, config: PoseConfig, generator: torch.Generator) -> Float[Tensor, "count"]:
    """Radians by which the camera stands above the person's horizon."""
    low, high = config.elevation_degrees
    level = (8 + normal(generator, 12.0, count)).clamp(low, high)
    even = uniform(generator, low, high, count)
    return torch.where(chance(generator, config.level_share, count), level, even).deg2rad()


def _about(axis: int, angle: Float[Tensor, "count"]) -> Float[Tensor, "count 3 3"]:
    """Rotations about one axis of the frame (radians)."""
    return axis_angle_to_matrix(torch.nn.functional.one_hot(torch.tensor(axis), 3).to(angle) * angle[:, None])
