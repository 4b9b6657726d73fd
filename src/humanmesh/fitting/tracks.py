"""Bodies through points in space that move: every frame fitted by itself, then all frames with one shape."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from humanmesh.body.parameters import BodyModelData
from humanmesh.data.point_tracks import PointTrack
from humanmesh.errors import BadInputError
from humanmesh.files.clips import Clip, ClipPerson
from humanmesh.fitting.energy import BodyState, FittingBody, FittingEnergy, Keypoints3D
from humanmesh.fitting.smplify import BATCH, FEWEST_KEYPOINTS, Fit, check_keypoints, fit_points
from humanmesh.fitting.solver import Quadratic, joined, minimise, taken
from humanmesh.fitting.stages import STAGES_3D

_SHAPE_DEVIATION = 1e-3
"""Standard deviations by which a frame's shape may differ from that of all frames."""
_STANDING_DEPTH = 4.0
"""Metres before the camera at which the person of the first frame stands."""


@dataclass(frozen=True)
class KnownShape:
    """Evidence: the shape of each person is known."""

    shape: Float[Tensor, "shapes"]
    """Standard deviations."""

    def term(self, state: BodyState) -> Quadratic:
        """Squared distance from the known shape."""
        stiffness = _SHAPE_DEVIATION**-2
        difference = state.shape - self.shape
        slope = state.shape.new_zeros(len(state.shape), 72 + len(self.shape) + 3)
        normal = torch.zeros_like(slope)
        slope[:, 72:-3] = stiffness * difference
        normal[:, 72:-3] = stiffness
        return Quadratic(stiffness * difference.square().sum(1), slope, torch.diag_embed(normal))


def fit_track(
    fitting: FittingBody,
    data: BodyModelData,
    track: PointTrack,
    size: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Clip:
    """A clip of one body through the points. Frames without enough known points, or with points that no body fits, take the pose of the nearest other.

    Args:
        fitting: for the track's keypoint set.
        data: the same body.
        track: points in space.
        size: side in pixels of the picture that the clip's camera takes.
        advance: told after each batch how many frames are done, of how many.

    Raises:
        BadInputError: where no body can be fitted to any frame, or a confidence is above 1.
    """
    usable = ((track.confidences > 0).sum(1) >= FEWEST_KEYPOINTS).nonzero().squeeze(1)
    if not len(usable):
        reason = f"in none of {len(track.positions)} frames {FEWEST_KEYPOINTS} points are known"
        raise BadInputError(f"Points of {track.name}", reason, "Give more of them.")
    keypoints = Keypoints3D(track.positions[usable], track.confidences[usable])
    check_keypoints(keypoints.positions, keypoints.confidences, f"Points of {track.name}")
    fits = []
    for rows in torch.arange(len(usable)).split(BATCH):
        fits.append(fit_points(fitting, taken(keypoints, rows)))
        advance(int(rows[-1]) + 1, len(usable))
    found: Fit = joined(fits)
    good = (~found.is_failed).nonzero().squeeze(1)
    if not len(good):
        reason = f"no body goes through them in any of {len(usable)} frames"
        raise BadInputError(
            f"Points of {track.name}", reason, "Check their order, their names and their unit (metres)."
        )
    state = _with_one_shape(fitting, taken(keypoints, good), taken(found.state, good))
    seen, rows = _nearest(usable[good], len(track.positions))
    return _clip(data, track, taken(_before_camera(state), rows), seen, size)


def _with_one_shape(fitting: FittingBody, keypoints: Keypoints3D, state: BodyState) -> BodyState:
    """The same bodies with the median of their shapes, fitted again."""
    shape = state.shape.median(0).values
    energy = FittingEnergy(fitting, keypoints, STAGES_3D[-1].weights, (KnownShape(shape),))
    states = []
    for rows in torch.arange(len(state.shape)).split(BATCH):
        some = replace(energy, keypoints=taken(keypoints, rows))
        states.append(minimise(some, taken(state, rows), STAGES_3D[-1].steps).state)
    return replace(joined(states), shape=shape.expand_as(state.shape))


def _nearest(
    known: Int64[Tensor, "known"], frames: int
) -> tuple[Bool[Tensor, "frames"], Int64[Tensor, "frames"]]:
    """Whether each frame is known, and the row of the known frame nearest to it, the earlier of two."""
    numbers = torch.arange(frames)
    rows = torch.bucketize(2 * numbers, known[1:] + known[:-1])  # twice the middles between known frames
    return known[rows] == numbers, rows


def _before_camera(state: BodyState) -> BodyState:
    """The same motion where y points down, its first frame in the middle of the picture."""
    points_up = bool((state.root[:, 1, 1] > 0).float().mean() > 0.5)
    turn = (
        torch.diag(torch.tensor([1.0, -1.0, -1.0])).to(state.root)
        if points_up
        else torch.eye(3).to(state.root)
    )
    translation = state.translation @ turn.T
    middle = translation.new_tensor([0.0, 0.0, _STANDING_DEPTH])
    return replace(state, root=turn @ state.root, translation=translation - translation[0] + middle)


def _clip(
    data: BodyModelData, track: PointTrack, state: BodyState, seen: Bool[Tensor, "frames"], size: int
) -> Clip:
    person = ClipPerson(
        1,
        0,
        state.rotations.numpy(),
        state.shape[0].numpy(),
        state.translation.numpy(),
        seen.float().numpy(),
    )
    times = (torch.arange(len(seen), dtype=torch.float64) / track.frame_rate).numpy()
    return Clip(data, times, (person,), (size, size), size * 2**0.5, (size / 2, size / 2))
