"""Augmentation of whole batches on the device where they lie: one similarity moves picture, 2D and 3D labels alike."""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.data.dataset import Batch
from humanmesh.geometry import crops
from humanmesh.geometry.rotations import mirror_matrix


@dataclass(frozen=True)
class AugmentationConfig:
    """How far training pictures stray from the stored ones."""

    margin: float = crops.KEYPOINTS_MARGIN
    """Side of the crop in units of the longer side of the person's box."""
    scale: float = 0.2
    """Standard deviation of the logarithm of the size of the person; cut at two deviations."""
    shift: float = 0.06
    """Standard deviation of the person's place, in crop sides."""
    rotation: float = 30.0
    """Standard deviation of the turn in degrees; cut at two deviations."""
    rotation_share: float = 0.3
    """Share of pictures that are turned."""
    any_rotation_share: float = 0.03
    """Share of pictures that are turned by any angle, so that upside-down people are no surprise."""
    mirror_share: float = 0.5
    """Share of pictures seen in a mirror."""
    color: float = 0.2
    """Standard deviation of the logarithm of the brightness; 0.4 of it goes to each channel for itself."""
    occlusion_share: float = 0.25
    """Share of pictures with a rectangle cut out."""
    extreme_crop_share: float = 0.05
    """Share of pictures that are cropped to a part of the person."""
    blur_share: float = 0.15
    """Share of pictures at a half or a third of the resolution."""

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if name.endswith("_share") and not 0 <= value <= 1:
                raise ValueError(f"{name} is a share in [0, 1], got {value}")
        if self.margin <= 0:
            raise ValueError(f"margin must be positive, got {self.margin}")

    def times(self, strength: float) -> "AugmentationConfig":
        """So many times as far: every deviation and share, but for the mirror's and for the spread of turns, of which there are more.

        Raises:
            ValueError: where a share would leave [0, 1].
        """
        return replace(self, **{name: strength * getattr(self, name) for name in _STRAYING})


_STRAYING = (
    "scale", "shift", "rotation_share", "any_rotation_share", "color", "occlusion_share", "extreme_crop_share",
    "blur_share",
)  # fmt: skip


HMR_AUGMENTATION = AugmentationConfig(
    scale=0.12, shift=0.05, rotation_share=0.0, any_rotation_share=0.0, color=0.0, occlusion_share=0.0,
    extreme_crop_share=0.0, blur_share=0.0,
)  # fmt: skip
"""The paper's: jitter of place and size, and the mirror."""

NO_AUGMENTATION = replace(HMR_AUGMENTATION, scale=0.0, shift=0.0, mirror_share=0.0)


def plain_crops(batch: Batch, crop_size: int) -> Batch:
    """`augment` without augmentation: the crops as a network is shown them outside training, `crop_size` pixels a side."""
    return augment(batch, NO_AUGMENTATION, crop_size, torch.Generator())


def augment(
    batch: Batch,
    config: AugmentationConfig,
    crop_size: int,
    generator: torch.Generator,
    rows: slice = slice(None),
) -> Batch:
    """Crops of `crop_size` pixels in [0, 1] with all labels moved alike; 2D labels become crop coordinates.

    Args:
        batch: from the data set.
        config: how far to stray.
        crop_size: side in pixels.
        generator: of chance.
        rows: which rows of a larger batch these are, `first::step` as in `Mixture`; each is augmented as it
            would be within that batch, so that processes which share a batch do what one would.
    """
    draw = _Draws(len(batch.images), batch.images.device, generator, rows)
    matrix, angle = _draw_crops(batch, config, draw)
    mirrored = draw.chance(config.mirror_share)
    matrix = torch.where(mirrored[:, None, None], crops.mirror_crop(matrix), matrix)
    images = crops.sample_crops(batch.images.float(), matrix, crop_size) / 255  # fewer pixels to divide
    moved = _move_labels(batch, matrix, angle, mirrored)
    images = _change_colors(images, config, draw)
    images = _blur(images, config, draw)
    return replace(moved, images=_occlude(images, config, draw))


@dataclass(frozen=True)
class _Draws:
    """Random numbers for one batch, one per picture, on its device: those of its rows of the whole batch."""

    count: int
    device: torch.device
    generator: torch.Generator
    rows: slice

    @property
    def whole(self) -> int:
        """Pictures in the whole batch."""
        return self.count * (self.rows.step or 1)

    def normal(self, *shape: int) -> Tensor:
        values = torch.randn(self.whole, *shape, generator=self.generator)[self.rows]
        return values.clamp(-2, 2).to(self.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(self.whole, *shape, generator=self.generator)[self.rows].to(self.device)

    def chance(self, share: float) -> Tensor:
        return self.uniform() < share


def _draw_crops(
    batch: Batch, config: AugmentationConfig, draw: _Draws
) -> tuple[Float[Tensor, "batch 3 3"], Float[Tensor, "batch"]]:
    """Crop matrices from the pixels of the stored pictures, and their turns in radians."""
    box = batch.boxes
    is_part = draw.chance(config.extreme_crop_share)
    box = torch.where(is_part[:, None], _part_of(box, draw), box)
    side = crops.margin_crop_side(box, config.margin).clamp_min(8) * (config.scale * draw.normal()).exp()
    center = crops.box_center(box) + config.shift * side[:, None] * draw.normal(2)
    turn = math.radians(config.rotation) * draw.normal() * draw.chance(config.rotation_share)
    any_turn = (2 * draw.uniform() - 1) * math.pi
    angle = torch.where(draw.chance(config.any_rotation_share), any_turn, turn)
    return crops.crop_from_photo(center, side, angle), angle


def _part_of(box: Float[Tensor, "batch 4"], draw: _Draws) -> Float[Tensor, "batch 4"]:
    """A random half to whole of each box, along both axes."""
    size = box[:, 2:] - box[:, :2]
    share = 0.5 + 0.5 * draw.uniform(2)
    low = box[:, :2] + (1 - share) * size * draw.uniform(2)
    return torch.cat([low, low + share * size], 1)


def _move_labels(
    batch: Batch,
    matrix: Float[Tensor, "batch 3 3"],
    angle: Float[Tensor, "batch"],
    mirrored: Tensor,
) -> Batch:
    """Labels under the crop: points by the matrix, 3D by its turn about the optical axis and by the mirror."""
    zero = torch.zeros(len(angle), 2, dtype=angle.dtype, device=angle.device)
    turn = crops.similarity(torch.ones_like(angle), angle, zero)  # about z, from x toward y: the same matrix
    keypoints_2d = crops.apply(matrix, batch.keypoints_2d) * (batch.weights_2d > 0)[..., None]
    keypoints_3d = batch.keypoints_3d @ turn.transpose(1, 2)
    rotations = torch.cat([(turn @ batch.rotations[:, 0])[:, None], batch.rotations[:, 1:]], 1)
    swapped, swap = list(COCOPLUS_19.mirror), mirrored[:, None]
    sign = torch.tensor([-1.0, 1.0, 1.0], dtype=angle.dtype, device=angle.device)
    mirrored_rotations = mirror_matrix(rotations[:, list(SMPL_24.mirror)])
    return replace(
        batch,
        keypoints_2d=torch.where(swap[..., None], keypoints_2d[:, swapped], keypoints_2d),
        weights_2d=torch.where(swap, batch.weights_2d[:, swapped], batch.weights_2d),
        keypoints_3d=torch.where(swap[..., None], keypoints_3d[:, swapped] * sign, keypoints_3d),
        weights_3d=torch.where(swap, batch.weights_3d[:, swapped], batch.weights_3d),
        rotations=torch.where(swap[..., None, None], mirrored_rotations, rotations),
    )


def _change_colors(
    images: Float[Tensor, "batch 3 size size"], config: AugmentationConfig, draw: _Draws
) -> Float[Tensor, "batch 3 size size"]:
    gain = (config.color * (0.4 * draw.normal(3, 1, 1) + draw.normal(1, 1, 1))).exp()
    is_grey = (draw.uniform() < 0.2 * config.color)[:, None, None, None]
    images = torch.where(is_grey, images.mean(1, keepdim=True), images) if config.color else images
    return (images * gain).clamp(0, 1)


def _blur(
    images: Float[Tensor, "batch 3 size size"], config: AugmentationConfig, draw: _Draws
) -> Float[Tensor, "batch 3 size size"]:
    chance = draw.uniform()
    for factor, low in ((2, 0.0), (3, config.blur_share / 2)):
        chosen = ((chance >= low) & (chance < low + config.blur_share / 2)).nonzero().squeeze(1)
        if len(chosen):
            small = F.avg_pool2d(images[chosen], factor)
            images[chosen] = F.interpolate(small, images.shape[-2:], mode="bilinear", align_corners=False)
    return images


def _occlude(
    images: Float[Tensor, "batch 3 size size"], config: AugmentationConfig, draw: _Draws
) -> Float[Tensor, "batch 3 size size"]:
    """A rectangle of a flat colour, or of the picture itself turned by 180 degrees, over a part of some pictures."""
    size = images.shape[-1]
    steps = (torch.arange(size, device=images.device) + 0.5) / size
    extent = 0.1 + 0.3 * draw.uniform(2)
    center = draw.uniform(2)
    near = (steps - center[..., None]).abs() < extent[..., None] / 2
    cover = near[:, 0, None, :] & near[:, 1, :, None] & draw.chance(config.occlusion_share)[:, None, None]
    flat = draw.uniform(3, 1, 1).expand_as(images)
    filling = torch.where(draw.chance(0.5)[:, None, None, None], images.flip(-1, -2), flat)
    return torch.where(cover[:, None], filling, images)
