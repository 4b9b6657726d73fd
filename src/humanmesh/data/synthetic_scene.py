"""Cameras, light, backgrounds and what stands in the way: from bodies to pictures, all on whole batches."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from humanmesh.data.synthetic_draws import chance, normal, uniform, whole


@dataclass(frozen=True)
class CropCamera:
    """Pinhole camera of a square crop: x2d = focal * X / Z + centre, in crop coordinates [-1, 1]."""

    focal: Float[Tensor, "batch"]
    """Crop half-widths per unit of slope; 1 / tan(half the field of view)."""
    centre: Float[Tensor, "batch 2"]
    """Where the optical axis meets the crop, crop coordinates."""

    def project(self, points: Float[Tensor, "batch points 3"]) -> Float[Tensor, "batch points 2"]:
        """Crop coordinates of points in the camera frame (metres)."""
        return self.focal[:, None, None] * points[..., :2] / points[..., 2:] + self.centre[:, None]


@dataclass(frozen=True)
class CameraConfig:
    """How people are placed before the camera."""

    field_of_view_degrees: tuple[float, float] = (20.0, 70.0)
    """Range of the crop's field of view for a standing person; a person who takes less room is zoomed at."""
    diagonal: tuple[float, float] = (0.6, 0.7)
    """Range of the diagonal of the keypoints' box, as a share of the crop's side."""
    offset: float = 0.06
    """Standard deviation of the box's centre around the crop's, crop half-widths."""
    truncated_share: float = 0.15
    """People who are zoomed at and moved partly out of the picture."""


def place_before_camera(
    keypoints: Float[Tensor, "batch keypoints 3"], config: CameraConfig, generator: torch.Generator
) -> tuple[Float[Tensor, "batch 3"], CropCamera]:
    """Where to put bodies that are turned already, and the camera that sees them in the right size.

    The middle of the keypoints lies on the optical axis. The distance fits a field of view drawn from the range;
    focal length and centre then follow exactly from the wanted box.
    """
    count = len(keypoints)
    low, high = keypoints.aminmax(dim=1)
    degrees = uniform(generator, *config.field_of_view_degrees, count)
    # A standing person of 1.7 m fills two thirds of the side, which is then 2.6 m.
    distance = 1.3 / torch.tan(torch.deg2rad(degrees) / 2)
    translation = -(low + high) / 2
    translation[:, 2] += distance
    placed = keypoints + translation[:, None]
    slopes = placed[..., :2] / placed[..., 2:]
    low, high = slopes.aminmax(dim=1)
    wanted = 2 * uniform(generator, *config.diagonal, count)
    truncated = chance(generator, config.truncated_share, count)
    wanted = wanted * torch.where(truncated, uniform(generator, 1.0, 1.9, count), 1.0)
    focal = wanted / (high - low).norm(dim=1)
    half_size = focal[:, None] * (high - low) / 2
    outward = F.normalize(normal(generator, 1.0, count, 2), dim=1)
    shift = outward * (half_size * uniform(generator, 0.2, 0.8, count, 1) + (1 - half_size).clamp_min(0))
    offset = torch.where(truncated[:, None], shift, normal(generator, config.offset, count, 2))
    return translation, CropCamera(focal, offset - focal[:, None] * (high + low) / 2)


@dataclass(frozen=True)
class Light:
    """One lamp, a bright sky and a darker ground."""

    direction: Float[Tensor, "batch 3"]
    """Towards the lamp, camera frame, unit length."""
    lamp: Float[Tensor, "batch 3"]
    """Linear RGB."""
    sky: Float[Tensor, "batch 3"]
    ground: Float[Tensor, "batch 3"]
    wrap: Float[Tensor, "batch"]
    """0 for a hard lamp, 1 for one that reaches round the whole body."""
    gloss: Float[Tensor, "batch"]
    """Strength of highlights."""


def sample_lights(backdrop: Float[Tensor, "batch 3"], generator: torch.Generator) -> Light:
    """Light that half follows the mean colour of the background (linear RGB), so that people belong to it."""
    count = len(backdrop)
    direction = normal(generator, 1.0, count, 3)
    direction[:, 1] = -direction[:, 1].abs() - 0.2  # from above, mostly
    direction[:, 2] -= 0.6  # rather from the camera's side than from behind
    brightness = backdrop.mean(1, keepdim=True)
    tint = (backdrop + 0.15) / (brightness + 0.15)
    tint = tint.lerp(torch.ones_like(tint), uniform(generator, 0.3, 1, count, 1))
    exposure = (brightness / 0.25).clamp(0.25, 2.2).pow(uniform(generator, 0.2, 0.8, count, 1))
    warmth = 1 + normal(generator, 0.08, count, 1) * torch.tensor([1.0, 0.1, -1.0], device=backdrop.device)
    sky = uniform(generator, 0.25, 0.75, count, 1) * tint * exposure
    return Light(
        direction=F.normalize(direction, dim=1),
        lamp=uniform(generator, 0.3, 1.3, count, 1) * exposure * warmth,
        sky=sky,
        ground=sky * uniform(generator, 0.3, 0.9, count, 1),
        wrap=uniform(generator, 0.0, 0.7, count),
        gloss=uniform(generator, 0.0, 0.25, count),
    )


def shade(
    albedo: Float[Tensor, "points 3"],
    normals: Float[Tensor, "points 3"],
    person: Int64[Tensor, "points"],
    light: Light,
    openness: Float[Tensor, "points"],
) -> Float[Tensor, "points 3"]:
    """Linear RGB that reaches the camera; `openness` in [0, 1] tells how much of the surroundings a point sees."""
    linear = albedo.square()  # sRGB to linear, near enough for made-up clothes
    facing = (normals * light.direction[person]).sum(-1)
    wrap = light.wrap[person]
    lit = ((facing + wrap) / (1 + wrap)).clamp_min(0) * (0.4 + 0.6 * openness)
    upward = (0.5 - 0.5 * normals[:, 1:2]) * openness[:, None]
    around = light.ground[person].lerp(light.sky[person], upward) * (0.25 + 0.75 * openness[:, None])
    half = F.normalize(light.direction - torch.tensor([0, 0, 1.0], device=albedo.device), dim=1)
    highlight = (normals * half[person]).sum(-1).clamp_min(0).pow(24) * light.gloss[person]
    lamp = light.lamp[person]
    return linear * (lit[:, None] * lamp + around) + highlight[:, None] * lamp * 0.3


def openness_of(
    depth: Float[Tensor, "batch height width"], reach: int
) -> Float[Tensor, "batch height width"]:
    """How little the neighbourhood stands nearer than each pixel: a cheap stand-in for ambient occlusion.

    Args:
        depth: Metres; +inf outside the body.
        reach: Half side of the neighbourhood, pixels.
    """
    covered = depth.isfinite()
    known = torch.where(covered, depth, 0.0)
    size = 2 * reach + 1
    total = _box_mean(known[:, None], size)[:, 0]
    share = _box_mean(covered[:, None].float(), size)[:, 0]
    nearer = known - total / share.clamp_min(1e-6)
    return 1 - 5 * nearer.clamp(0, 0.12)


def _box_mean(
    values: Float[Tensor, "batch channels height width"], size: int
) -> Float[Tensor, "batch channels height width"]:
    """Mean of a square neighbourhood, one direction after the other; zeros outside."""
    rows = F.avg_pool2d(values, (size, 1), 1, (size // 2, 0))
    return F.avg_pool2d(rows, (1, size), 1, (0, size // 2))


@dataclass(frozen=True)
class Pictures:
    """Pictures of one size, to cut backgrounds and cloth from."""

    pixels: UInt8[Tensor, "pictures 3 height width"]
    """Stretched to one size."""
    aspect: Float[Tensor, "pictures"]
    """Width over height of the original."""

    def to(self, device: torch.device) -> "Pictures":
        """The same pictures on another device."""
        return Pictures(self.pixels.to(device), self.aspect.to(device))


def cut_pictures(
    pictures: Pictures, count: int, size: int, zoom: tuple[float, float], generator: torch.Generator
) -> Float[Tensor, "count 3 size size"]:
    """Random square cuts in [0, 1], flipped at random; `zoom` is the cut's share of the shorter side."""
    row = whole(generator, len(pictures.pixels), count)
    aspect = pictures.aspect[row]
    share = uniform(generator, *zoom, count)
    span = torch.stack([share / aspect.clamp_min(1), share * aspect.clamp_max(1)], 1)
    corner = uniform(generator, -1, 1, count, 2) * (1 - span)
    flip = torch.where(chance(generator, 0.5, count), -1.0, 1.0)
    transform = torch.zeros(count, 2, 3, device=share.device)
    transform[:, 0, 0], transform[:, 1, 1], transform[:, :, 2] = span[:, 0] * flip, span[:, 1], corner
    grid = F.affine_grid(transform, [count, 3, size, size], align_corners=False)
    cut = F.grid_sample(pictures.pixels[row].float(), grid, align_corners=False, padding_mode="reflection")
    return cut / 255


def vary_colours(
    pictures: Float[Tensor, "batch 3 height width"], strength: float, generator: torch.Generator
) -> Float[Tensor, "batch 3 height width"]:
    """Brightness, contrast, saturation and tint, drawn per picture; 0 changes nothing."""
    count = len(pictures)

    def factor(spread: float) -> Tensor:
        return 1 + strength * uniform(generator, -spread, spread, count, 1, 1, 1)

    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * factor(0.5)
    middle = grey.mean((2, 3), keepdim=True)
    pictures = middle + (pictures - middle) * factor(0.35)
    tint = 1 + strength * normal(generator, 0.05, count, 3, 1, 1)
    return (pictures * factor(0.35) * tint).clamp(0, 1)


def blur(
    pictures: Float[Tensor, "batch channels height width"], deviation: Float[Tensor, "batch"]
) -> Float[Tensor, "batch channels height width"]:
    """Gaussian blur, each picture by its own standard deviation (pixels, up to 3)."""
    batch, channels, height, width = pictures.shape
    offsets = torch.arange(-4, 5, device=pictures.device).float()
    kernel = torch.exp(-offsets.square() / (2 * deviation.clamp_min(0.05).square()[:, None]))
    kernel = (kernel / kernel.sum(1, keepdim=True)).repeat_interleave(channels, 0)
    flat = F.pad(pictures.reshape(1, batch * channels, height, width), (4, 4, 4, 4), mode="replicate")
    flat = F.conv2d(flat, kernel[:, None, :, None], groups=batch * channels)
    flat = F.conv2d(flat, kernel[:, None, None, :], groups=batch * channels)
    return flat.view(batch, channels, height, width)


def occluders(
    size: int, targets: Float[Tensor, "batch 2"], generator: torch.Generator
) -> Float[Tensor, "batch size size"]:
    """Soft-edged turned boxes and ellipses near the targets (crop coordinates): 1 where something is in the way."""
    count = len(targets)
    centre = targets + normal(generator, 0.2, count, 2)
    half = uniform(generator, 0.07, 0.35, count, 2)
    angle = uniform(generator, 0, math.pi, count)
    steps = (torch.arange(size, device=targets.device) + 0.5) * 2 / size - 1
    x = steps[None, None, :] - centre[:, :1, None]
    y = steps[None, :, None] - centre[:, 1:, None]
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    across = ((cosine * x + sine * y) / half[:, :1, None]).abs()
    along = ((cosine * y - sine * x) / half[:, 1:, None]).abs()
    box = torch.maximum(across, along)
    ellipse = (across.square() + along.square()).sqrt()
    is_box = chance(generator, 0.6, count)[:, None, None]
    # The border is about a pixel and a half wide.
    distance = (1 - torch.where(is_box, box, ellipse)) * half.amin(1)[:, None, None]
    return (distance * size / 3 + 0.5).clamp(0, 1)


def moved(
    pictures: Float[Tensor, "batch channels height width"],
    offset: Float[Tensor, "batch 2"],
    scale: Float[Tensor, "batch"],
) -> Float[Tensor, "batch channels height width"]:
    """Pictures moved by an offset (crop coordinates) and scaled; empty outside."""
    transform = torch.zeros(len(offset), 2, 3, device=offset.device)
    transform[:, 0, 0] = transform[:, 1, 1] = 1 / scale
    transform[:, :, 2] = -offset / scale[:, None]
    grid = F.affine_grid(transform, list(pictures.shape), align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)


_DCT = torch.cos(math.pi / 8 * (torch.arange(8)[None, :] + 0.5) * torch.arange(8)[:, None]) / 2
_DCT[0] /= math.sqrt(2)
_STEPS = 1 + 1.6 * (torch.arange(8)[:, None] + torch.arange(8)[None, :]).float()
"""Grows with the frequency like JPEG's luminance table (its first entry is 16 at quality 50)."""


def compress(
    pictures: Float[Tensor, "batch 3 height width"], coarseness: Float[Tensor, "batch"]
) -> Float[Tensor, "batch 3 height width"]:
    """Rounds the cosine transform of 8 x 8 blocks, as JPEG does; `coarseness` 8 / 255 is about quality 50, 0 none."""
    batch, _, height, width = pictures.shape
    if height % 8 or width % 8:
        return pictures
    basis = _DCT.to(pictures)
    blocks = pictures.reshape(batch, 3, height // 8, 8, width // 8, 8).permute(0, 1, 2, 4, 3, 5)
    waves = basis @ blocks @ basis.T
    steps = (coarseness[:, None, None] * _STEPS.to(pictures)).clamp_min(1e-6)[:, None, None, None]
    blocks = basis.T @ ((waves / steps).round() * steps) @ basis
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(batch, 3, height, width)


def darkened_by(
    backgrounds: Float[Tensor, "batch 3 height width"],
    alpha: Float[Tensor, "batch 1 height width"],
    generator: torch.Generator,
) -> Float[Tensor, "batch 3 height width"]:
    """A soft shadow of the person on what is behind, shifted away from the lamp at random."""
    count = len(alpha)
    small = F.avg_pool2d(alpha, 8, ceil_mode=True)
    offset = torch.stack([normal(generator, 0.08, count), uniform(generator, 0.0, 0.12, count)], 1)
    shadow = moved(_box_mean(small, 3), offset, torch.ones(count, device=alpha.device))
    shadow = F.interpolate(shadow, backgrounds.shape[-2:], mode="bilinear", align_corners=False)
    return backgrounds * (1 - shadow * uniform(generator, 0, 0.5, count, 1, 1, 1))


def pick_point(
    keypoints: Float[Tensor, "batch keypoints 2"], generator: torch.Generator
) -> Float[Tensor, "batch 2"]:
    """A random keypoint of each person."""
    row = whole(generator, keypoints.shape[1], len(keypoints))
    return keypoints[torch.arange(len(keypoints), device=keypoints.device), row]


def with_probability(
    values: Float[Tensor, "batch *rest"], probability: float, generator: torch.Generator
) -> Float[Tensor, "batch *rest"]:
    """The values of some of the batch, zero for the others."""
    kept: Bool[Tensor, "batch"] = chance(generator, probability, len(values))
    return values * kept.view(-1, *[1] * (values.ndim - 1))
