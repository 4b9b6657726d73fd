"""What the network sees and says, as a picture: the same people with their given and their predicted keypoints."""

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.dataset import Batch
from humanmesh.network.regressor import Estimate
from humanmesh.render.overlay import contact_sheet, skeleton_overlay

PEOPLE = 8


@torch.no_grad()
def prediction_sheet(
    batch: Batch, estimate: Estimate, people: int = PEOPLE
) -> Float[Tensor, "3 height width"]:
    """The first people of an augmented batch: given keypoints in the upper row, predicted ones in the lower."""
    images = batch.images[:people].cpu()
    visible = batch.weights_2d[:people].cpu() > 0
    half = images.shape[-1] / 2
    given, predicted = (
        (points[:people].float().cpu() + 1) * half for points in (batch.keypoints_2d, estimate.keypoints_2d)
    )
    upper = [
        skeleton_overlay(image, points, COCOPLUS_19, seen)
        for image, points, seen in zip(images, given, visible, strict=True)
    ]
    lower = [
        skeleton_overlay(image, points, COCOPLUS_19) for image, points in zip(images, predicted, strict=True)
    ]
    return contact_sheet(upper + lower, len(images))
