"""Where a body stands before a photo's camera, given where its points should be seen."""

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.geometry.cameras import PerspectiveCamera


def translation_of_best_fit(
    points_body: Float[Tensor, "batch points 3"],
    points_photo: Float[Tensor, "batch points 2"],
    camera: PerspectiveCamera,
) -> Float[Tensor, "batch 3"]:
    """Metres to add to points with the camera's axes so that it sees them nearest to where they should be (pixels).

    The least squares of focal * (X + tx) - u (Z + tz), with u the pixel from the principal point: linear in the
    translation, pixel errors weighted by depth. At least two points must be seen apart.
    """
    u = (points_photo - camera.principal_point[:, None]).to(torch.float64) / camera.focal_xy[:, None]
    points = points_body.to(torch.float64)
    wanted = u * points[..., 2:] - points[..., :2]  # = t_xy - u t_z
    mean_u, mean_wanted = u.mean(1), wanted.mean(1)
    spread = u - mean_u[:, None]
    # With t_xy = mean(wanted + u t_z) put in, depth is the slope of a line through the origin.
    depth = -(spread * (wanted - mean_wanted[:, None])).sum((1, 2)) / spread.square().sum((1, 2))
    offset = mean_wanted + mean_u * depth[:, None]
    return torch.cat([offset, depth[:, None]], 1).to(points_body.dtype)
