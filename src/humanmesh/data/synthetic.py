"""Synthetic people: pictures with exact keypoints, bodies, masks and parts, made in batches.

Poses, shapes and views come from `synthetic_poses`, clothes from `synthetic_appearance`, cameras, light and
backgrounds from `synthetic_scene`; `synthetic_painting` puts them together. Everything is drawn from one
generator, on the generator's device: the same generator gives the same batch.
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.data.hands import hands_of
from humanmesh.data.synthetic_painting import PaintAssets, PaintConfig, paint, paint_assets
from humanmesh.data.synthetic_poses import PoseConfig, PoseLibrary, sample_rotations, sample_shapes
from humanmesh.data.synthetic_props import sample_props
from humanmesh.data.synthetic_scene import CameraConfig, CropCamera, Pictures, place_before_camera


@dataclass(frozen=True)
class SyntheticConfig:
    """What synthetic people look like and how they are seen."""

    poses: PoseConfig = field(default_factory=PoseConfig)
    camera: CameraConfig = field(default_factory=CameraConfig)
    painting: PaintConfig = field(default_factory=PaintConfig)
    holding_share: float = 0.0
    """People who hold something: a bar where both hands could hold it, else a thing in one hand."""

    def __post_init__(self) -> None:
        if not 0 <= self.holding_share <= 1:
            raise ValueError(f"holding_share is a share in [0, 1], got {self.holding_share}")


@dataclass(frozen=True)
class SyntheticAssets:
    """What synthetic people are made from, on one device."""

    body: BodyModel
    poses: PoseLibrary
    painting: PaintAssets


@dataclass(frozen=True)
class SyntheticBatch:
    """Pictures of one person each, with labels that are exact."""

    images: UInt8[Tensor, "batch 3 size size"]
    """RGB."""
    keypoints_2d: Float[Tensor, "batch 19 2"]
    """COCOPLUS_19 in crop coordinates [-1, 1]; 0 where the weight is 0."""
    weights_2d: Float[Tensor, "batch 19"]
    """1 in the picture, be it hidden by the body, by what it holds or by an occluder; 0 outside."""
    keypoints_3d: Float[Tensor, "batch 19 3"]
    """COCOPLUS_19, metres, camera frame."""
    joints_3d: Float[Tensor, "batch 24 3"]
    """SMPL_24, metres, camera frame."""
    rotations: Float[Tensor, "batch 24 3 3"]
    """The first is the global rotation, in the camera frame."""
    shape: Float[Tensor, "batch 10"]
    """Standard deviations."""
    translation: Float[Tensor, "batch 3"]
    """Metres; added to the body of `rotations` and `shape` it stands in the camera frame."""
    camera: CropCamera
    """The camera that took the picture."""
    mask: UInt8[Tensor, "batch size size"]
    """1 where the picture shows the person, with clothes and without what it holds."""
    parts: UInt8[Tensor, "batch size size"]
    """1 + row in SMPL_24 of the part that the picture shows; 0 elsewhere."""


def prepare_assets(
    body: BodyModelData, poses: PoseLibrary, backgrounds: Pictures, textures: Pictures
) -> SyntheticAssets:
    """Bring what is needed to the body's device; measures the body once."""
    device = body.template.device
    return SyntheticAssets(
        BodyModel(body).to(device), poses.to(device), paint_assets(body, backgrounds, textures)
    )


@torch.no_grad()
def synthesize(
    count: int, assets: SyntheticAssets, config: SyntheticConfig, generator: torch.Generator
) -> SyntheticBatch:
    """`count` people in pictures. The generator must be on the device of the assets."""
    rotations = sample_rotations(assets.poses, count, config.poses, generator)
    shape = sample_shapes(count, config.poses, generator)
    output = assets.body(rotations, shape)
    keypoints = assets.body.keypoints(output.vertices, "cocoplus19")
    translation, camera = place_before_camera(keypoints, config.camera, generator)
    keypoints = keypoints + translation[:, None]
    keypoints_2d = camera.project(keypoints)
    vertices = output.vertices + translation[:, None]
    props = None
    if config.holding_share > 0:
        world = assets.body.tree.world_rotations(rotations)
        hands = hands_of(world, output.joints + translation[:, None])
        props = sample_props(hands, config.holding_share, generator)
    painting = paint(vertices, camera, keypoints_2d, assets.painting, config.painting, generator, props)
    inside = (keypoints_2d.abs() <= 1).all(-1)
    return SyntheticBatch(
        images=painting.images,
        keypoints_2d=torch.where(inside[..., None], keypoints_2d, 0.0),
        weights_2d=inside.float(),
        keypoints_3d=keypoints,
        joints_3d=output.joints + translation[:, None],
        rotations=rotations,
        shape=shape,
        translation=translation,
        camera=camera,
        mask=painting.mask.to(torch.uint8),
        parts=painting.parts,
    )
