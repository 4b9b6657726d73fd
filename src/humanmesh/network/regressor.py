"""Iterative regressors: from what the encoder saw to a pose, a shape and a camera, in rounds that correct the last.

The state is the paper's Theta in its order: camera (s, tx, ty), pose 24 x 3 axis-angle or 24 x 6, shape 10.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import UnknownNameError
from humanmesh.geometry.cameras import WeakPerspectiveCamera
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_rotation_6d, rotation_6d_to_matrix
from humanmesh.network.encoder import KEYPOINTS, PYRAMID_CHANNELS, EncoderOutput

SHAPE_COEFFICIENTS = 10
_CAMERA_NUMBERS = 3
_MEAN_SCALE = 0.9
"""The paper's first scale, crop half-widths per metre."""
HEATMAP_SHARPNESS = 3.0
"""Factor on the logits before the softmax over a heat map; 3 places MoveNet's keypoints best on average."""

NEARNESS = 0.2
"""Standard deviation, crop half-widths, of where a keypoint may be about where the body has it; .15 to .3 do as well."""
_DRAWN_DEVIATION = 1.0
"""Cells: the standard deviation of the softmax over a map that is drawn."""
_SUREST = 0.99
"""The confidence of a drawn map whose keypoint is trusted wholly."""
_OFFSET_GAIN = 8.0
"""Brings offsets to heat-map keypoints, typically an eighth of a crop half, to the size of the other inputs."""


@dataclass(frozen=True)
class Rotation:
    """One way to write a rotation in the state."""

    numbers: int
    """Numbers a joint."""
    to_matrix: Callable[[Tensor], Tensor]
    """(..., numbers) -> (..., 3, 3)."""
    from_axis_angle: Callable[[Tensor], Tensor]
    """(..., 3) -> (..., numbers)."""


ROTATIONS: dict[str, Rotation] = {
    "axis_angle": Rotation(3, axis_angle_to_matrix, lambda axis_angle: axis_angle),
    "6d": Rotation(
        6, rotation_6d_to_matrix, lambda axis_angle: matrix_to_rotation_6d(axis_angle_to_matrix(axis_angle))
    ),
}


@dataclass(frozen=True)
class Estimate:
    """One round's answer for a batch of crops."""

    rotations: Float[Tensor, "batch 24 3 3"]
    """Rotation of each SMPL joint in its parent's frame; the first takes the body to the camera frame."""
    shape: Float[Tensor, "batch 10"]
    """Standard deviations."""
    camera: WeakPerspectiveCamera
    """Of the crop."""
    joints: Float[Tensor, "batch 24 3"]
    """Metres, axes of the camera frame, origin of the body."""
    keypoints_3d: Float[Tensor, "batch 19 3"]
    """`KEYPOINTS`, metres, axes of the camera frame, origin of the body."""
    keypoints_2d: Float[Tensor, "batch 19 2"]
    """`KEYPOINTS` in crop coordinates."""


Interpret = Callable[[Float[Tensor, "batch state"]], Estimate]
"""Poses the body of a state and projects it; `Recovery` gives it to its regressor."""


def default_mean_pose() -> Float[Tensor, "24 3"]:
    """Standing upright in the camera, arms lowered by 60 degrees, elbows and knees slightly bent; axis-angle."""
    pose = torch.zeros(24, 3)
    bends = {
        "pelvis": (math.pi, 0, 0),
        "left_shoulder": (0, 0, -math.pi / 3), "right_shoulder": (0, 0, math.pi / 3),
        "left_elbow": (0, -0.3, 0), "right_elbow": (0, 0.3, 0),
        "left_hip": (-0.1, 0, 0), "right_hip": (-0.1, 0, 0),
        "left_knee": (0.2, 0, 0), "right_knee": (0.2, 0, 0),
    }  # fmt: skip
    for joint, axis_angle in bends.items():
        pose[SMPL_24.index[joint]] = torch.tensor(axis_angle)
    return pose


class State(nn.Module):
    """The state's layout and its mean, which is learned."""

    def __init__(self, rotation: str, mean_pose: Float[Tensor, "24 3"] | None = None) -> None:
        super().__init__()
        if rotation not in ROTATIONS:
            raise UnknownNameError("rotation", rotation, list(ROTATIONS))
        self.rotation = ROTATIONS[rotation]
        self.size = _CAMERA_NUMBERS + 24 * self.rotation.numbers + SHAPE_COEFFICIENTS
        pose = self.rotation.from_axis_angle(default_mean_pose() if mean_pose is None else mean_pose)
        camera = torch.tensor([_MEAN_SCALE, 0.0, 0.0])
        self.mean = nn.Parameter(torch.cat([camera, pose.flatten(), torch.zeros(SHAPE_COEFFICIENTS)]))

    def read(
        self, state: Float[Tensor, "batch state"]
    ) -> tuple[Float[Tensor, "batch 24 3 3"], Float[Tensor, "batch 10"], WeakPerspectiveCamera]:
        """Rotations, shape and camera of a state."""
        camera, pose, shape = state.split(
            [_CAMERA_NUMBERS, 24 * self.rotation.numbers, SHAPE_COEFFICIENTS], -1
        )
        rotations = self.rotation.to_matrix(pose.unflatten(-1, (24, self.rotation.numbers)))
        return rotations, shape, WeakPerspectiveCamera(camera[:, 0], camera[:, 1:])


@dataclass(frozen=True)
class HeatmapKeypoints:
    """Keypoints read off the heat maps."""

    positions: Float[Tensor, "batch 19 2"]
    """Crop coordinates: the mean of the softmax over the map."""
    confidences: Float[Tensor, "batch 19"]
    """Sigmoid of the map's highest logit."""
    spreads: Float[Tensor, "batch 19"]
    """Standard deviation of the softmax about its mean, crop half-widths."""
    depths: Float[Tensor, "batch 19"] | None = None
    """Metres along the camera's axis from the middle of the hips; None without depth maps."""


def read_heatmaps(
    heatmaps: Float[Tensor, "batch 19 height width"],
    depth_maps: Float[Tensor, "batch 19 h w"] | None = None,
) -> HeatmapKeypoints:
    """Keypoints as the mean of the softmax over each map (integral regression, Sun et al. 2018), in float32 under autocast too.

    Depths are the mean of their maps under the same softmax (location maps, Mehta et al. 2017); heat maps are a whole number of
    times as fine.
    """
    with torch.autocast(heatmaps.device.type, enabled=False):
        logits = heatmaps.float()
        height, width = logits.shape[-2:]
        share = _softmax(logits)
        x, y = _cell_centers(width, logits.device), _cell_centers(height, logits.device)
        share_x, share_y = share.sum(-2), share.sum(-1)
        positions = torch.stack([share_x @ x, share_y @ y], -1)
        squares = share_x @ x.square() + share_y @ y.square() - positions.square().sum(-1)
        # A map that is one single cell has no spread and no slope there; half a cell stands for both.
        spreads = squares.clamp_min((1 / width) ** 2).sqrt()
        depths = None if depth_maps is None else _mean_depths(share, depth_maps.float())
        return HeatmapKeypoints(positions, logits.flatten(2).amax(-1).sigmoid(), spreads, depths)


@torch.no_grad()
def read_near(
    heatmaps: Float[Tensor, "batch 19 height width"],
    seen: HeatmapKeypoints,
    points: Float[Tensor, "batch 19 2"],
) -> HeatmapKeypoints:
    """The keypoints with their places read again, each where its map and a body agree, without gradient.

    Where a map has several peaks, its mean lies between them, on none. Here each map is multiplied by a Gaussian about where the body has the
    keypoint (`points`, crop coordinates; at the crop's edge where they lie outside), of deviation `NEARNESS`, before its mean is taken.
    """
    height, width = heatmaps.shape[-2:]
    x, y = _cell_centers(width, heatmaps.device), _cell_centers(height, heatmaps.device)
    near_x, near_y = (
        -(cells - place.float().clamp(-1, 1)[..., None]).square() / (2 * NEARNESS**2)
        for cells, place in zip((x, y), points.unbind(-1), strict=True)
    )
    share = _softmax(heatmaps.float(), near_x[..., None, :] + near_y[..., None])
    with torch.autocast(heatmaps.device.type, enabled=False):
        return replace(seen, positions=torch.stack([share.sum(-2) @ x, share.sum(-1) @ y], -1))


def drawn_heatmaps(
    heatmaps: Float[Tensor, "batch 19 height width"],
    keypoints: Float[Tensor, "batch 19 2"],
    weights: Float[Tensor, "batch 19"],
) -> Float[Tensor, "batch 19 height width"]:
    """The maps' logits with those of known keypoints drawn anew: their softmax is a Gaussian there, their confidence the weight.

    Args:
        heatmaps: logits; kept where a weight is 0 or the keypoint lies outside the crop.
        keypoints: crop coordinates.
        weights: in [0, 1].
    """
    height, width = heatmaps.shape[-2:]
    x, y = _cell_centers(width, heatmaps.device), _cell_centers(height, heatmaps.device)
    from_x, from_y = (x - keypoints[..., :1]).square(), (y - keypoints[..., 1:]).square()
    squares = from_x[..., None, :] + from_y[..., None]
    scale = 2 * HEATMAP_SHARPNESS * (_DRAWN_DEVIATION * 2 / width) ** 2
    peaks = torch.logit(weights.clamp(1 - _SUREST, 1) * _SUREST)
    is_known = (weights > 0) & (keypoints.abs() < 1).all(-1)
    return torch.where(is_known[..., None, None], peaks[..., None, None] - squares / scale, heatmaps.float())


def _softmax(
    logits: Float[Tensor, "batch 19 height width"],
    known: Float[Tensor, "batch 19 height width"] | float = 0.0,
) -> Float[Tensor, "batch 19 height width"]:
    """Each map's probabilities of its cells, with the logarithm of what else is known of them."""
    return (HEATMAP_SHARPNESS * logits + known).flatten(2).softmax(-1).view_as(logits)


def _mean_depths(
    share: Float[Tensor, "batch 19 height width"], depth_maps: Float[Tensor, "batch 19 h w"]
) -> Float[Tensor, "batch 19"]:
    cells = share.shape[-1] // depth_maps.shape[-1]
    return (cells**2 * F.avg_pool2d(share, cells) * depth_maps).sum((2, 3))


def _cell_centers(count: int, device: torch.device) -> Float[Tensor, "count"]:
    return (torch.arange(count, device=device, dtype=torch.float32) + 0.5) * (2 / count) - 1


def sample_at(
    features: Float[Tensor, "batch channels height width"], points: Float[Tensor, "batch points 2"]
) -> Float[Tensor, "batch points channels"]:
    """The map's values at points in crop coordinates, bilinear; zero outside the crop."""
    sampled = F.grid_sample(features.float(), points[:, None].float(), align_corners=False)
    return sampled[:, :, 0].transpose(1, 2)


def depths_of(keypoints: Float[Tensor, "batch 19 *rest 3"]) -> Float[Tensor, "batch 19 *rest"]:
    """Depths of `KEYPOINTS`, or of their derivatives, metres along the camera's axis from the middle of the hips."""
    depths = keypoints[..., 2]
    return depths - depths[:, _HIPS].mean(1, keepdim=True)


_HIPS = [KEYPOINTS.index["left_hip"], KEYPOINTS.index["right_hip"]]


def _small_last_layer(inputs: int, outputs: int) -> nn.Linear:
    """The paper's: variance scaling by 0.01 over the mean of fan-in and fan-out, uniform."""
    layer = nn.Linear(inputs, outputs)
    bound = math.sqrt(3 * 0.01 / ((inputs + outputs) / 2))
    nn.init.uniform_(layer.weight, -bound, bound)
    nn.init.zeros_(layer.bias)
    return layer


def _xavier_layer(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class KeypointStart(nn.Module):
    """The first state, from the heat maps' keypoints alone: lifting (Martinez et al. 2017) as a start of the rounds.

    It needs no picture, so motion capture seen by drawn cameras teaches it (`tools/train_start.py`). Moving or scaling the keypoints moves
    and scales the camera and leaves the body as it is. With `depths` it sees those of the depth maps, too.
    """

    def __init__(self, state_size: int, *, width: int = 512, blocks: int = 2, depths: bool = False) -> None:
        super().__init__()
        self.first = nn.Linear((5 if depths else 4) * len(KEYPOINTS), width)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width),
                nn.LayerNorm(width), nn.ReLU(), nn.Linear(width, width),
            )
            for _ in range(blocks)
        )  # fmt: skip
        self.last = nn.Sequential(nn.LayerNorm(width), nn.ReLU(), _small_last_layer(width, state_size))

    def forward(self, seen: HeatmapKeypoints, mean: Float[Tensor, "state"]) -> Float[Tensor, "batch state"]:
        """The mean state, corrected; no gradient reaches the heat maps."""
        positions, confidences = seen.positions.detach(), seen.confidences.detach()
        center, size = _place_and_size(positions, confidences)
        relative = (positions - center[:, None]) / size[:, None, None]
        spreads = seen.spreads.detach() / size[:, None]
        parts = [relative.clamp(-5, 5).flatten(1), confidences, spreads.clamp(max=5)]
        if seen.depths is not None:
            parts.append(seen.depths.detach())
        hidden = self.first(torch.cat(parts, 1))
        for block in self.blocks:
            hidden = hidden + block(hidden)
        state = mean + self.last(hidden).float()
        scale = state[:, :1] * size[:, None]
        # The camera's offset is added before its scale.
        offset = state[:, 1:_CAMERA_NUMBERS] + center / scale.clamp_min(_LEAST_SCALE)
        return torch.cat([scale, offset, state[:, _CAMERA_NUMBERS:]], 1)


_LEAST_SCALE = 0.05
"""Crop half-widths per metre, below which an offset in crop units has no sensible length in metres."""


def _place_and_size(
    positions: Float[Tensor, "batch 19 2"], confidences: Float[Tensor, "batch 19"]
) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch"]]:
    """Mean of the keypoints and their root mean square distance from it, weighted by confidence."""
    share = (confidences / confidences.sum(1, keepdim=True).clamp_min(1e-3))[..., None]
    center = (share * positions).sum(1)
    variance = (share * (positions - center[:, None]).square()).sum((1, 2))
    return center, variance.clamp_min(_LEAST_SIZE**2).sqrt()


_LEAST_SIZE = 0.05
"""Crop half-widths; keypoints that lie together more closely than this are nobody's."""


class ShapeReader(nn.Module):
    """The shape, read off the trunk's features at stride 16 at a body's keypoints and halfway between them.

    Rounds, whose features say where things are, learn next to nothing of the shape. This is taught by itself (`tools/train_shape.py`), once
    the trunk is trained: a training leaves it as it is.
    """

    def __init__(self, channels: int, *, numbers: int = 12, hidden: int = 24) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(channels, numbers, 1)
        self.first = nn.Linear((len(KEYPOINTS) + len(_FIRST)) * numbers, hidden)
        self.last = nn.Linear(hidden, SHAPE_COEFFICIENTS)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(
        self,
        features: Float[Tensor, "batch channels height width"],
        keypoints_2d: Float[Tensor, "batch 19 2"],
    ) -> Float[Tensor, "batch 10"]:
        """The shape (standard deviations) of the body whose `KEYPOINTS` lie there (crop coordinates); outside the crop nothing is read."""
        halfway = (keypoints_2d[:, _FIRST] + keypoints_2d[:, _SECOND]) / 2
        read = sample_at(self.reduce(features), torch.cat([keypoints_2d, halfway], 1))
        return self.last(F.relu(self.first(read.flatten(1)))).float()


_BETWEEN = (
    *((f"{side}_{upper}", f"{side}_{lower}") for side in ("left", "right") for upper, lower in (
        ("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"), ("shoulder", "hip"),
    )),
    ("left_hip", "right_hip"), ("left_shoulder", "right_shoulder"), ("left_shoulder", "right_hip"), ("nose", "neck"),
)  # fmt: skip
"""Pairs of `KEYPOINTS` between which limbs, trunk and head are looked at."""
_FIRST, _SECOND = ([KEYPOINTS.index[joint] for joint in joints] for joints in zip(*_BETWEEN, strict=True))


class HmrRegressor(nn.Module):
    """The paper's: pooled features and the last state through two hidden layers, the same weights every round."""

    needs_pyramid = False

    def __init__(self, state: State, channels: int, *, rounds: int = 3) -> None:
        super().__init__()
        self.state = state
        self.rounds = rounds
        self.fc1 = _xavier_layer(channels + state.size, 1024)
        self.fc2 = _xavier_layer(1024, 1024)
        self.fc3 = _small_last_layer(1024, state.size)
        self.dropout = nn.Dropout(0.5)

    def forward(
        self, encoded: EncoderOutput, seen: HeatmapKeypoints | None, interpret: Interpret
    ) -> tuple[Estimate, ...]:
        """One estimate a round; `seen` is not looked at."""
        state = self.state.mean.expand(len(encoded.pooled), -1)
        estimates = []
        for _ in range(self.rounds):
            hidden = self.dropout(F.relu(self.fc1(torch.cat([encoded.pooled, state], -1))))
            hidden = self.dropout(F.relu(self.fc2(hidden)))
            state = state + self.fc3(hidden).float()
            estimates.append(interpret(state))
        return tuple(estimates)


class ModernRegressor(nn.Module):
    """Sees its own error: features at its projected keypoints and their way to the heat maps' keypoints, read near them.

    The first round starts from the mean state or, with `lifted_start`, from `KeypointStart`; with `shape_channels`, the channels of the trunk's
    features at stride 16, the shape is read from the picture after the last round (`ShapeReader`). Every round starts from the last state without its gradient, so put a loss on every round.
    """

    needs_pyramid = True

    def __init__(
        self,
        state: State,
        channels: int,
        *,
        rounds: int = 3,
        hidden: int = 1024,
        lifted_start: bool = False,
        depths: bool = False,
        shape_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.state = state
        self.rounds = rounds
        self.start = KeypointStart(state.size, depths=depths) if lifted_start else None
        self.reduce = nn.Sequential(nn.Linear(channels, 512), nn.LayerNorm(512), nn.ReLU())
        sampled = len(KEYPOINTS) * PYRAMID_CHANNELS
        self.sampled_norm = nn.LayerNorm(sampled)
        evidence = len(KEYPOINTS) * (2 + 2 + 2 + 1 + 1 + depths)
        self.fc1 = nn.Linear(512 + state.size + sampled + evidence, hidden)
        self.fc2 = nn.Linear(hidden, hidden)
        self.norm1, self.norm2 = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        self.fc3 = _small_last_layer(hidden, state.size)
        self.dropout = nn.Dropout(0.1)
        self.shape_reader = None if shape_channels is None else ShapeReader(shape_channels)
        if self.shape_reader is not None:
            self.shape_reader.requires_grad_(requires_grad=False)

    def forward(
        self, encoded: EncoderOutput, seen: HeatmapKeypoints | None, interpret: Interpret
    ) -> tuple[Estimate, ...]:
        """One estimate a round, after that of a lifted start; in eval mode one more with the shape that is read.

        Raises:
            ValueError: where the encoder was built without a pyramid.
        """
        if encoded.features is None or encoded.heatmaps is None or seen is None:
            raise ValueError("the modern regressor needs an encoder with pyramid=True")
        batch = len(encoded.pooled)
        pooled = self.reduce(encoded.pooled)
        estimates = []
        if self.start is None:
            state = self.state.mean.expand(batch, -1)
            last = interpret(state.detach())
        else:
            state = self.start(seen, self.state.mean)
            last = interpret(state)
            estimates.append(last)
            state = state.detach()
        for _ in range(self.rounds):
            # The mean says nothing of where this body's keypoints are; every estimate does.
            near = read_near(encoded.heatmaps, seen, last.keypoints_2d) if estimates else seen
            evidence = self._evidence(encoded.features, near, last)
            hidden = torch.cat([pooled, state, evidence], -1)
            hidden = self.dropout(F.relu(self.norm1(self.fc1(hidden))))
            hidden = self.dropout(F.relu(self.norm2(self.fc2(hidden))))
            state = state + self.fc3(hidden).float()
            last = interpret(state)
            estimates.append(last)
            state = state.detach()
        if self.shape_reader is not None and not self.training:
            if encoded.trunk_features is None:
                raise ValueError("a shape is read off the trunk's features, and the encoder gave none")
            shape = self.shape_reader(encoded.trunk_features, last.keypoints_2d)
            estimates.append(_with_shape(state, shape, last, interpret))
        return tuple(estimates)

    def _evidence(
        self,
        features: Float[Tensor, "batch channels height width"],
        seen: HeatmapKeypoints,
        last: Estimate,
    ) -> Float[Tensor, "batch evidence"]:
        # The heat maps learn where keypoints are, not what would suit the regressor: no gradient flows into them.
        projected = last.keypoints_2d.detach()
        positions, confidences = seen.positions.detach(), seen.confidences.detach()[..., None]
        parts = [
            self.sampled_norm(sample_at(features, projected).flatten(1)),
            projected.clamp(-2, 2),
            positions,
            _OFFSET_GAIN * confidences * (positions - projected).clamp(-2, 2),
            confidences,
            seen.spreads.detach()[..., None],
        ]
        if seen.depths is not None:
            parts.append(_OFFSET_GAIN * (seen.depths - depths_of(last.keypoints_3d)).detach())
        return torch.cat([part.flatten(1) for part in parts], -1)


def _with_shape(
    state: Float[Tensor, "batch state"],
    shape: Float[Tensor, "batch 10"],
    last: Estimate,
    interpret: Interpret,
) -> Estimate:
    """The body of another shape in the same pose, as large in the crop as the last one and at its place."""
    state = torch.cat([state[:, :-SHAPE_COEFFICIENTS], shape], 1)
    middles, sizes = zip(
        *(_middle_and_size(points) for points in (last.keypoints_3d, interpret(state).keypoints_3d)),
        strict=True,
    )
    ratio = sizes[0] / sizes[1]
    offset = (state[:, 1:_CAMERA_NUMBERS] + middles[0]) / ratio - middles[1]
    return interpret(torch.cat([ratio * state[:, :1], offset, state[:, _CAMERA_NUMBERS:]], 1))


def _middle_and_size(
    points: Float[Tensor, "batch points 3"],
) -> tuple[Float[Tensor, "batch 2"], Float[Tensor, "batch 1"]]:
    """Mean x and y of the points, and their root mean square distance from their mean."""
    middle = points.mean(1, keepdim=True)
    return middle[:, 0, :2], (points - middle).square().sum(2).mean(1, keepdim=True).sqrt()


REGRESSORS: dict[str, type[HmrRegressor] | type[ModernRegressor]] = {
    "hmr": HmrRegressor,
    "modern": ModernRegressor,
}
