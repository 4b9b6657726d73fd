"""The whole network: crop -> encoder -> regressor -> body -> camera."""

import math
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from humanmesh.body.model import KeypointBody
from humanmesh.body.parameters import BodyModelData
from humanmesh.errors import UnknownNameError
from humanmesh.geometry.cameras import CropLens, CropPerspectiveCamera, centred_lens
from humanmesh.network.encoder import ENCODERS, KEYPOINTS, Encoder, EncoderOutput, build_encoder
from humanmesh.network.refinement import PoseKnowledge, refine
from humanmesh.network.regressor import (
    REGRESSORS,
    ROTATIONS,
    Estimate,
    HeatmapKeypoints,
    HmrRegressor,
    ModernRegressor,
    State,
    drawn_heatmaps,
    read_heatmaps,
    read_near,
)


@dataclass(frozen=True)
class RecoveryConfig:
    """All that is needed to build the network again; stored with its weights."""

    encoder: str = "mobilenet_v2_fpn"
    """A key of `ENCODERS`."""
    regressor: str = "modern"
    """A key of `REGRESSORS`."""
    rotation: str = "6d"
    """A key of `ROTATIONS`: how the state writes a rotation."""
    rounds: int = 3
    """Estimates made, each correcting the last."""
    crop_size: int = 192
    """Side of the crop that the weights were trained on, pixels; a multiple of 32."""
    refinements: int = 0
    """Gauss-Newton steps toward the heat maps' keypoints after the last round, in eval mode only."""
    lifted_start: bool = False
    """Start the rounds of the modern regressor from a body lifted from the heat maps' keypoints, instead of the mean."""
    mirrored: bool = False
    """Average the heat maps with those of the mirrored crop, in eval mode only."""
    lens_slope: float = 0.0
    """Perspective in which crops are seen whose camera nobody knows (`geometry.cameras.CropLens`), until refinement changes it; 0 is the
    paper's none."""
    depths: bool = False
    """Also read each keypoint's depth from the picture, for the modern regressor."""
    shapes: bool = False
    """Also read the shape from the picture, after the rounds of the modern regressor."""
    person_heads: bool = False
    """Also the maps that find people in a whole photo."""

    def __post_init__(self) -> None:
        for kind, name, known in (
            ("encoder", self.encoder, ENCODERS),
            ("regressor", self.regressor, REGRESSORS),
            ("rotation", self.rotation, ROTATIONS),
        ):
            if name not in known:
                raise UnknownNameError(kind, name, list(known))
        if self.refinements < 0:
            raise ValueError(f"refinements must not be negative, got {self.refinements}")
        for name in ("refinements", "mirrored", "lifted_start", "depths", "shapes"):
            if getattr(self, name) and not REGRESSORS[self.regressor].needs_pyramid:
                raise ValueError(f"{name} needs heat maps: the modern regressor")
        if not 0 <= self.lens_slope < 1:
            raise ValueError(f"lens_slope must be at least 0 and less than 1, got {self.lens_slope}")
        if self.rounds < 1:
            raise ValueError(f"rounds must be at least 1, got {self.rounds}")
        if self.crop_size < 32 or self.crop_size % 32:
            raise ValueError(f"crop_size must be a multiple of 32 pixels, got {self.crop_size}")


TEST_TIME_SETTINGS = ("refinements", "mirrored")
"""Settings of `RecoveryConfig` that change answers and no training."""


@dataclass(frozen=True)
class RecoveryOutput:
    """Every round's estimate, and what the encoder saw."""

    rounds: tuple[Estimate, ...]
    """First to last; the adversary of the paper sees them all. In eval mode a shape that is read makes one more, and refinement the last."""
    encoded: EncoderOutput
    """Feature maps and heat-map logits."""
    seen: HeatmapKeypoints | None
    """Keypoints read off the heat maps; None without a pyramid."""

    @property
    def last(self) -> Estimate:
        """The answer."""
        return self.rounds[-1]


class Recovery(nn.Module):
    """Pose, shape and camera of the person in each crop.

    The body is a keypoint body for `KEYPOINTS`: (rotations, shape) -> (joints, keypoints). It is no part of the
    state dict, so the same weights serve every body of SMPL's structure.
    """

    def __init__(
        self,
        encoder: Encoder,
        regressor: HmrRegressor | ModernRegressor,
        body: KeypointBody,
        *,
        refinements: int = 0,
        mirrored: bool = False,
        knowledge: PoseKnowledge | None = None,
        lens_slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.refinements = refinements
        self.mirrored = mirrored
        self.lens_slope = lens_slope
        self.knowledge = knowledge
        self.encoder = encoder
        self.regressor = regressor
        self.body = body

    def forward(
        self, crops: Float[Tensor, "batch 3 height width"], lens: CropLens | None = None
    ) -> RecoveryOutput:
        """Estimates for RGB crops in [0, 1]. Under autocast the body and the camera stay in float32.

        `lens` tells of the photos' cameras; without it all crops have the network's own.
        """
        return self._recovered(*self.see(crops), lens)

    def told(
        self,
        crops: Float[Tensor, "batch 3 height width"],
        keypoints: Float[Tensor, "batch 19 2"],
        weights: Float[Tensor, "batch 19"],
        lens: CropLens | None = None,
        *,
        believed: float = math.inf,
    ) -> RecoveryOutput:
        """Estimates for people whose keypoints are known: rounds and refinement read these, and not the crop's heat maps.

        Args:
            crops: as in `forward`.
            keypoints: `KEYPOINTS` in crop coordinates.
            weights: in [0, 1], how far each is trusted; 0 leaves it to its heat map.
            lens: as in `forward`.
            believed: crop half-widths; a keypoint farther than that from where the crop's own heat map has it is left to the map.

        Raises:
            ValueError: for a network without heat maps.
        """
        encoded, seen = self.see(crops)
        if encoded.heatmaps is None or seen is None:
            raise ValueError("a network without heat maps cannot be told keypoints")
        weights = weights * ((keypoints - seen.positions).norm(dim=-1) <= believed)
        heatmaps = drawn_heatmaps(encoded.heatmaps, keypoints, weights)
        seen = read_heatmaps(heatmaps, encoded.depth_maps)
        return self._recovered(replace(encoded, heatmaps=heatmaps), seen, lens)

    def _recovered(
        self, encoded: EncoderOutput, seen: HeatmapKeypoints | None, lens: CropLens | None
    ) -> RecoveryOutput:
        rounds = self.regressor(encoded, seen, partial(self.interpret, lens=lens))
        if self.refinements and not self.training:
            with torch.autocast(encoded.pooled.device.type, enabled=False):
                rounds = (*rounds, self._refined(rounds[-1], encoded, seen))
        return RecoveryOutput(rounds, encoded, seen)

    def _refined(self, estimate: Estimate, encoded: EncoderOutput, seen: HeatmapKeypoints | None) -> Estimate:
        if seen is None or encoded.heatmaps is None:
            raise ValueError("refinements need heat maps")
        near = read_near(encoded.heatmaps, seen, estimate.keypoints_2d)
        return refine(self.body, estimate, near, self.refinements, self.knowledge)

    def see(
        self, crops: Float[Tensor, "batch 3 height width"]
    ) -> tuple[EncoderOutput, HeatmapKeypoints | None]:
        """What the encoder sees in the crops, and the keypoints of its heat maps; no body yet."""
        twice = self.mirrored and not self.training
        encoded = _encoded_twice(self.encoder, crops) if twice else self.encoder(crops)
        if encoded.heatmaps is None:
            return encoded, None
        return encoded, read_heatmaps(encoded.heatmaps, encoded.depth_maps)

    def interpret(self, state: Float[Tensor, "batch state"], lens: CropLens | None = None) -> Estimate:
        """Pose the body of a state and project its keypoints, without a lens by the network's own."""
        with torch.autocast(state.device.type, enabled=False):
            rotations, shape, camera = self.regressor.state.read(state)
            if lens is not None or self.lens_slope:
                lens = centred_lens(self.lens_slope, shape) if lens is None else lens
                camera = CropPerspectiveCamera(camera.scale, camera.translation, lens)
            joints, keypoints = self.body(rotations, shape)
            return Estimate(rotations, shape, camera, joints, keypoints, camera.project(keypoints))


def _encoded_twice(encoder: Encoder, crops: Float[Tensor, "batch 3 height width"]) -> EncoderOutput:
    """The crops' encoding, its heat maps and depth maps averaged with those of the mirrored crops."""
    both = encoder(torch.cat([crops, crops.flip(-1)]))
    outputs = {field.name: getattr(both, field.name) for field in fields(both)}
    halves = {name: output.chunk(2) for name, output in outputs.items() if output is not None}
    of_keypoints = {
        name: (maps + mirrored.flip(-1)[:, list(KEYPOINTS.mirror)]) / 2
        for name, (maps, mirrored) in halves.items()
        if name in _MAPS_OF_KEYPOINTS
    }
    return EncoderOutput(**{name: output for name, (output, _) in halves.items()} | of_keypoints)


_MAPS_OF_KEYPOINTS = ("heatmaps", "depth_maps")


def build_recovery(
    config: RecoveryConfig,
    body_data: BodyModelData,
    *,
    mean_pose: Float[Tensor, "24 3"] | None = None,
    knowledge: PoseKnowledge | None = None,
) -> Recovery:
    """The network of a configuration, with random weights.

    Args:
        config: what to build.
        body_data: a body with keypoint regressors for `KEYPOINTS`.
        mean_pose: axis-angle where the first round starts; `default_mean_pose()` where it is None.
        knowledge: what poses are likely and possible, for refinements.
    """
    regressor = REGRESSORS[config.regressor]
    encoder = build_encoder(
        config.encoder,
        pyramid=regressor.needs_pyramid,
        person_heads=config.person_heads,
        depth_head=config.depths,
    )
    state = State(config.rotation, mean_pose)
    body = KeypointBody(body_data, KEYPOINTS.name)
    chosen = {"lifted_start": config.lifted_start, "depths": config.depths}
    options: dict[str, Any] = {name: True for name, is_asked in chosen.items() if is_asked}
    if config.shapes:
        assert encoder.neck is not None  # `RecoveryConfig` asks for a regressor with a pyramid
        options["shape_channels"] = encoder.neck.trunk_channels
    iterations = regressor(state, encoder.channels, rounds=config.rounds, **options)
    return Recovery(
        encoder,
        iterations,
        body,
        refinements=config.refinements,
        mirrored=config.mirrored,
        knowledge=knowledge,
        lens_slope=config.lens_slope,
    )
