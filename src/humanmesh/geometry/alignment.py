"""The one Procrustes: the similarity or rigid motion that brings one set of points nearest to another."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Similarity:
    """x -> scale * R x + t on column vectors."""

    scale: Float[Tensor, "batch"]
    rotation: Float[Tensor, "batch 3 3"]
    translation: Float[Tensor, "batch 3"]

    def apply(self, points: Float[Tensor, "batch points 3"]) -> Float[Tensor, "batch points 3"]:
        """The points moved."""
        rotated = points @ self.rotation.transpose(1, 2)
        return self.scale[:, None, None] * rotated + self.translation[:, None]


def similarity_between(
    source: Float[Tensor, "batch points 3"],
    target: Float[Tensor, "batch points 3"],
    weights: Float[Tensor, "batch points"] | None = None,
) -> Similarity:
    """Least-squares similarity from source to target (Umeyama 1991), a proper rotation, never a reflection.

    A source that is a single point keeps scale 1. Without weights every point counts alike; a point of weight 0
    does not count, and with no point at all the result is the identity.
    """
    weights = torch.ones_like(source[..., 0]) if weights is None else weights
    total = weights.sum(-1, keepdim=True)
    share = weights / torch.where(total > 0, total, 1)
    mean_source = (share[..., None] * source).sum(1)
    mean_target = (share[..., None] * target).sum(1)
    centered_source = source - mean_source[:, None]
    centered_target = target - mean_target[:, None]
    covariance = centered_target.transpose(1, 2) @ (share[..., None] * centered_source)
    u, singular, vh = torch.linalg.svd(covariance)
    sign = torch.ones_like(singular)
    sign[:, 2] = torch.where(torch.linalg.det(u @ vh) < 0, -1.0, 1.0)
    rotation = (u * sign[:, None]) @ vh
    variance = (share * centered_source.square().sum(-1)).sum(-1)
    scale = torch.where(variance > 0, (singular * sign).sum(-1) / torch.where(variance > 0, variance, 1), 1)
    translation = mean_target - scale[:, None] * (rotation @ mean_source[..., None]).squeeze(-1)
    return Similarity(scale, rotation, translation)


def rigid_between(
    source: Float[Tensor, "batch points 3"],
    target: Float[Tensor, "batch points 3"],
    weights: Float[Tensor, "batch points"] | None = None,
) -> Similarity:
    """Least-squares rotation and translation from source to target (Kabsch 1976); scale 1."""
    best = similarity_between(source, target, weights)
    weights = torch.ones_like(source[..., 0]) if weights is None else weights
    total = weights.sum(-1, keepdim=True)
    share = (weights / torch.where(total > 0, total, 1))[..., None]
    mean_source, mean_target = (share * source).sum(1), (share * target).sum(1)
    translation = mean_target - (best.rotation @ mean_source[..., None]).squeeze(-1)
    return Similarity(torch.ones_like(best.scale), best.rotation, translation)
