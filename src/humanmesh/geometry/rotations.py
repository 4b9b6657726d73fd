"""Rotations as axis-angle, 6D and matrices. Matrices act on column vectors.

The 6D form (Zhou et al. 2019, "On the Continuity of Rotation Representations") is the first two columns of
the matrix, one after the other: (r11, r21, r31, r12, r22, r32). SPIN stores the same six numbers row by row;
converting its weights permutes them (`files.checkpoints`).
"""

import torch
from jaxtyping import Float
from torch import Tensor

_SMALL_ANGLE_SQUARED = 1e-2
"""Below this squared angle (radians^2) the Taylor series replaces the closed form."""


def sine_over_angle(angle_squared: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """sin(t) / t as a smooth function of t^2, so that value and gradient are exact at t = 0."""
    x = angle_squared
    is_small = x < _SMALL_ANGLE_SQUARED
    taylor = 1 - x / 6 * (1 - x / 20 * (1 - x / 42 * (1 - x / 72)))  # next term: x^5 / 11! < 3e-18
    # The inner `where` keeps sqrt away from 0: its infinite slope would turn the gradient into NaN.
    angle = torch.where(is_small, 1.0, x).sqrt()
    return torch.where(is_small, taylor, angle.sin() / angle)


def one_minus_cosine_over_angle_squared(angle_squared: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """(1 - cos t) / t^2 as a smooth function of t^2."""
    x = angle_squared
    is_small = x < _SMALL_ANGLE_SQUARED
    taylor = 0.5 - x / 24 * (1 - x / 30 * (1 - x / 56 * (1 - x / 90)))  # next term: x^5 / 12! < 3e-19
    safe = torch.where(is_small, 1.0, x)
    half = (safe.sqrt() / 2).sin()
    return torch.where(is_small, taylor, 2 * half.square() / safe)


def cross_product_matrix(vector: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The matrix [v]x with [v]x w = v x w."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], -1).unflatten(-1, (3, 3))


def axis_angle_to_matrix(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Rodrigues' formula, exact at and near the zero rotation (radians)."""
    angle_squared = axis_angle.square().sum(-1)[..., None, None]
    cross = cross_product_matrix(axis_angle)
    outer = axis_angle[..., :, None] * axis_angle[..., None, :]
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    # [v]x^2 = v v^T - |v|^2 I, which saves a matrix product.
    square = outer - angle_squared * identity
    return (
        identity
        + sine_over_angle(angle_squared) * cross
        + one_minus_cosine_over_angle_squared(angle_squared) * square
    )


def matrix_to_quaternion(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 4"]:
    """Unit quaternion (w, x, y, z) with w >= 0, from the best-conditioned of Shepperd's four forms.

    These are the rows of 4 q q^T, whose entries are sums of the matrix's; the one with the largest diagonal is best.
    """
    transposed = matrix.transpose(-1, -2)
    trace = matrix.diagonal(dim1=-2, dim2=-1).sum(-1)[..., None, None]
    identity = torch.eye(3, dtype=matrix.dtype, device=matrix.device)
    of_vector = matrix + transposed + (1 - trace) * identity
    mixed = (matrix - transposed).flatten(-2)[..., _AXIAL, None]
    top = torch.cat([1 + trace, mixed.transpose(-1, -2)], -1)
    forms = torch.cat([top, torch.cat([mixed, of_vector], -1)], -2)
    best = forms.diagonal(dim1=-2, dim2=-1).argmax(-1)[..., None, None]
    row = forms.gather(-2, best.expand(*best.shape[:-1], 4)).squeeze(-2)
    quaternion = torch.nn.functional.normalize(row, dim=-1)
    return torch.where(quaternion[..., :1] < 0, -quaternion, quaternion)


_AXIAL = [7, 2, 3]
"""Entries (2, 1), (0, 2) and (1, 0) of a flattened matrix: the axial vector of an antisymmetric one."""


def relative_quaternion(
    start: Float[Tensor, "*batch 4"], end: Float[Tensor, "*batch 4"]
) -> Float[Tensor, "*batch 4"]:
    """The quaternion (w, x, y, z) that takes one to the other when multiplied from the right: start^-1 end."""
    w, v, other_w, other_v = start[..., :1], start[..., 1:], end[..., :1], end[..., 1:]
    scalar = (start * end).sum(-1, keepdim=True)
    return torch.cat([scalar, w * other_v - other_w * v - torch.linalg.cross(v, other_v)], -1)


def quaternion_to_matrix(quaternion: Float[Tensor, "*batch 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Rotation of a quaternion (w, x, y, z) of any length but zero."""
    w, x, y, z = torch.nn.functional.normalize(quaternion, dim=-1).unbind(-1)
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return torch.stack(rows, -1).unflatten(-1, (3, 3))


def matrix_to_axis_angle(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3"]:
    """Axis-angle with an angle in [0, pi] (radians); the inverse of `axis_angle_to_matrix` there."""
    quaternion = matrix_to_quaternion(matrix)
    w, vector = quaternion[..., :1], quaternion[..., 1:]
    sine_squared = vector.square().sum(-1, keepdim=True)
    is_small = sine_squared < 1e-8
    sine = torch.where(is_small, 1.0, sine_squared).sqrt()
    angle_over_sine = torch.where(is_small, 2 / w.clamp_min(0.5), 2 * torch.atan2(sine, w) / sine)
    return vector * angle_over_sine


def rotation_6d_to_matrix(columns: Float[Tensor, "*batch 6"]) -> Float[Tensor, "*batch 3 3"]:
    """Gram-Schmidt on two columns (Zhou et al. 2019, eq. 15)."""
    first = torch.nn.functional.normalize(columns[..., :3], dim=-1)
    second = columns[..., 3:]
    second = torch.nn.functional.normalize(second - (first * second).sum(-1, keepdim=True) * first, dim=-1)
    return torch.stack([first, second, torch.linalg.cross(first, second)], -1)


def matrix_to_rotation_6d(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 6"]:
    """The first two columns, one after the other."""
    return matrix[..., :2].transpose(-1, -2).flatten(-2)


def mirror_matrix(matrix: Float[Tensor, "*batch 3 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The rotation seen in a mirror that flips x: diag(-1, 1, 1) R diag(-1, 1, 1)."""
    sign = torch.tensor([-1.0, 1.0, 1.0], dtype=matrix.dtype, device=matrix.device)
    return sign[:, None] * matrix * sign


def shortest_turn(
    start: Float[Tensor, "*batch 3"], end: Float[Tensor, "*batch 3"]
) -> Float[Tensor, "*batch 3 3"]:
    """The smallest rotation that takes one direction to another, which is not its opposite; vectors of any length."""
    cross = torch.linalg.cross(start, end)
    angle = torch.atan2(cross.norm(dim=-1, keepdim=True), (start * end).sum(-1, keepdim=True))
    return axis_angle_to_matrix(torch.nn.functional.normalize(cross, dim=-1) * angle)


def geodesic_angle(
    first: Float[Tensor, "*batch 3 3"], second: Float[Tensor, "*batch 3 3"]
) -> Float[Tensor, "*batch"]:
    """Angle in radians, in [0, pi], of the rotation that takes one matrix to the other."""
    relative = first.transpose(-1, -2) @ second
    cross = torch.stack(
        [
            relative[..., 2, 1] - relative[..., 1, 2],
            relative[..., 0, 2] - relative[..., 2, 0],
            relative[..., 1, 0] - relative[..., 0, 1],
        ],
        -1,
    )
    trace = relative.diagonal(dim1=-2, dim2=-1).sum(-1)
    return torch.atan2(cross.norm(dim=-1), trace - 1)


def right_jacobian(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """J with  exp(v + d) = exp(v) exp(J d)  to first order in d (radians).

    J = I - (1 - cos t) / t^2 [v]x + (t - sin t) / t^3 [v]x^2 with t = |v|.
    """
    x = axis_angle.square().sum(-1)[..., None, None]
    is_small = x < _SMALL_ANGLE_SQUARED
    taylor = (1 - x / 20 * (1 - x / 42 * (1 - x / 72))) / 6  # next term: x^4 / 11! < 3e-16
    closed = (1 - sine_over_angle(x)) / torch.where(is_small, 1.0, x)
    cross = cross_product_matrix(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    linear = one_minus_cosine_over_angle_squared(x) * cross
    return identity - linear + torch.where(is_small, taylor, closed) * (cross @ cross)


def inverse_right_jacobian(axis_angle: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """The inverse of `right_jacobian`, for angles below 2 pi (radians).

    J^-1 = I + [v]x / 2 + (1 - t / 2 cot(t / 2)) / t^2 [v]x^2 with t = |v|.
    """
    x = axis_angle.square().sum(-1)[..., None, None]
    is_small = x < _SMALL_ANGLE_SQUARED
    taylor = (1 + x / 60 * (1 + x / 42 * (1 + x / 40))) / 12  # next term: x^4 / 4e8
    safe = torch.where(is_small, 1.0, x)
    half = safe.sqrt() / 2
    closed = (1 - half / half.tan()) / safe
    cross = cross_product_matrix(axis_angle)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + cross / 2 + torch.where(is_small, taylor, closed) * (cross @ cross)
