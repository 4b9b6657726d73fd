"""From the frames of a film to people in motion: found, followed, told apart, smoothed.

clip = recover_video(humanmesh.load(), VideoFile("clip.mp4"))
clip.save("clip.glb")
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Float, Float64
from torch import Tensor

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import SMPL_24
from humanmesh.body.standing import pitch_from_standing
from humanmesh.errors import BadInputError, UnknownNameError
from humanmesh.files.clips import Clip, ClipPerson
from humanmesh.files.images import pixels_of_array
from humanmesh.files.sightings import SeenFrame, SeenPerson
from humanmesh.files.videos import Footage, Frame
from humanmesh.geometry.cameras import PerspectiveCamera, default_focal_length, level_from_camera
from humanmesh.geometry.contacts import reach, resting_places, standing_feet
from humanmesh.geometry.placement import translation_of_best_fit
from humanmesh.geometry.smoothing import (
    OneEuro,
    RotationFilter,
    VectorFilter,
    interpolate_rotations,
    interpolate_vectors,
    local_fit,
    smooth_rotations,
    smooth_vectors,
    weighted_median,
)
from humanmesh.inference import KEYPOINTS_OF_BODY, TRUSTED_DEPTH_RATIO, Recoverer
from humanmesh.person import Person
from humanmesh.photos import SMALLEST_BOX
from humanmesh.tracking import LONGEST_GAP, Sight, Tracker, distinct

LEAST_SCORE = 0.25
"""A followed person below this score is lost."""
FILLED_TRUST = 0.02
"""Trust in a frame that was filled in, in units of a score."""
LEGS = tuple(tuple(f"{side}_{joint}" for joint in ("hip", "knee", "ankle")) for side in ("left", "right"))

_ROTATION_SECONDS = 0.07
"""Bandwidth of the smoothing of rotations at strength 1."""
_PLACE_SECONDS = 0.12
"""The same of the body's place."""
_LIVE_ROTATIONS = OneEuro(minimum_cutoff=1.5, speed_gain=1.0)
_LIVE_PLACE = OneEuro(minimum_cutoff=1.0, speed_gain=2.0)


@dataclass(frozen=True)
class VideoConfig:
    """How a film is worked through."""

    find_every: int = 10
    """Frames from one search for people over the whole frame to the next; between them known people are followed."""
    smoother: str = "zero-lag"
    """A key of `SMOOTHERS`."""
    strength: float = 1.0
    """Of the smoothing: 2 averages over twice the time."""
    foot_lock: bool = False
    """Bend the legs so that feet that stand do not slide; for cameras that do not move, and are level or `upright`."""
    upright: bool = False
    """Find out how far the camera looks down, from people who stand (`body.standing.pitch_from_standing`); it must do so all the time."""
    longest_gap: float = LONGEST_GAP
    """Seconds that a person may be out of sight and still be the same."""
    shortest_stay: int = 5
    """Frames in which a person must be seen to count; all, in a film that has fewer."""
    most: int | None = None
    """Keep so many people at most, those seen in the most frames."""
    focal_length: float | None = None
    """Pixels; the frame's diagonal where None."""

    def __post_init__(self) -> None:
        if self.smoother not in SMOOTHERS:
            raise UnknownNameError("smoother", self.smoother, list(SMOOTHERS))
        for what in ("find_every", "strength", "most"):
            value = getattr(self, what)
            if value is not None and not 0 < value < math.inf:
                raise BadInputError(f"Video, {what}", f"{value}", "Give a positive number.")


class Follower:
    """Sees a film frame by frame: the finder looks now and then, and known people are followed in between.

    A person's crop lies where constant velocity takes the last frame's body.
    """

    def __init__(self, recoverer: Recoverer, config: VideoConfig) -> None:
        self.recoverer = recoverer
        self.config = config
        self.tracker = Tracker(config.longest_gap)
        self._frames = 0

    def skip(self, seen: SeenFrame) -> None:
        """Go on after a frame that was seen before."""
        self.tracker.update(seen.time, [Sight(person.keypoints, person.score) for person in seen.people])
        self._frames += 1

    def see(self, frame: Frame) -> SeenFrame:
        """The people in the next frame."""
        pixels = pixels_of_array(frame.pixels)
        height, width = pixels.shape[1:]
        boxes = _usable_boxes(list(self.tracker.expected(frame.time).values()), width, height)
        found = self._recover(pixels, boxes) if boxes else []
        people = [person for person in found if person.trust >= LEAST_SCORE]
        if self._frames % self.config.find_every == 0:
            people += self._recover(pixels, None)
        seen = [_seen(person) for person in people]
        kept = distinct([Sight(person.keypoints, person.score) for person in seen])
        result = SeenFrame(frame.time, tuple(seen[row] for row in kept))
        self.skip(result)
        return result

    def _recover(
        self, pixels: Float[Tensor, "3 height width"], boxes: list[np.ndarray] | None
    ) -> list[Person]:
        return self.recoverer.recover_pixels([pixels], [boxes], self.config.focal_length)[0]


def _seen(person: Person) -> SeenPerson:
    return SeenPerson(
        rotations=person.rotations,
        shape=person.shape,
        translation=person.translation,
        keypoints=person.keypoints_2d("cocoplus19").astype(np.float32),
        score=person.trust,
    )


def _usable_boxes(expected: list[np.ndarray], width: int, height: int) -> list[np.ndarray]:
    """Boxes round the whole bodies of keypoints, of those that can be in the frame."""
    boxes = []
    for keypoints in expected:
        low, high = keypoints.min(0), keypoints.max(0)
        middle, half = (low + high) / 2, (high - low) / 2 / KEYPOINTS_OF_BODY
        low, high = middle - half, middle + half
        is_inside = (high > 0).all() and (low < np.array([width, height])).all()
        if is_inside and ((high - low) >= SMALLEST_BOX).all():
            boxes.append(np.concatenate([low, high]).astype(np.float32))
    return boxes


def recover_video(
    recoverer: Recoverer,
    footage: Footage,
    config: VideoConfig | None = None,
    done: Sequence[SeenFrame] = (),
    advance: Callable[[list[SeenFrame]], None] = lambda frames: None,
) -> Clip:
    """The people of a film in motion.

    Args:
        recoverer: weights and body.
        footage: the frames.
        config: how to go about it.
        done: frames seen before, which are not looked at again.
        advance: told after each new frame all frames seen so far, to keep them or to show progress.

    Raises:
        BadInputError: where no frame can be read.
    """
    config = config or VideoConfig()
    seen: list[SeenFrame] = list(done)
    size = (0, 0)
    follower = Follower(recoverer, config)
    for number, frame in enumerate(footage.frames()):
        size = frame.pixels.shape[1], frame.pixels.shape[0]
        if number < len(done):
            follower.skip(done[number])
            continue
        seen.append(follower.see(frame))
        advance(seen)
    if not seen:
        found = f"none of its frames could be read ({footage.skipped} are damaged)"
        raise BadInputError(footage.name, found, "Give a film that plays.")
    return assemble(recoverer, seen, size, config, footage)


def assemble(
    recoverer: Recoverer, seen: list[SeenFrame], size: tuple[int, int], config: VideoConfig, footage: Footage
) -> Clip:
    """The clip of frames that were seen: identities, gaps filled, one shape a person, smoothed."""
    focal_length = config.focal_length or default_focal_length(*map(float, size))
    clip = Clip(
        body=recoverer.body.data,
        times=np.array([frame.time for frame in seen]),
        people=(),
        size=size,
        focal_length=focal_length,
        principal_point=(size[0] / 2, size[1] / 2),
        skipped=footage.skipped,
        footage=footage,
    )
    stage = _Stage(clip, KeypointBody(clip.body.to(device="cpu"), "cocoplus19"), config)
    tracks = identify(seen, config.longest_gap)
    least = min(config.shortest_stay, len(seen))
    longest = sorted(tracks, key=lambda identity: -len(tracks[identity]))[: config.most]
    stays = [track for identity, track in tracks.items() if identity in longest and len(track) >= least]
    if config.upright:
        stage = stage.with_camera_pitch([person for track in stays for person in track.values()])
    people = [stage.person(number, track) for number, track in enumerate(stays, 1)]
    return replace(stage.clip, people=tuple(people))


def identify(seen: Sequence[SeenFrame], longest_gap: float) -> dict[int, dict[int, SeenPerson]]:
    """Identity -> number of the frame -> the person there."""
    tracker = Tracker(longest_gap)
    tracks: dict[int, dict[int, SeenPerson]] = {}
    for number, frame in enumerate(seen):
        sights = [Sight(person.keypoints, person.score) for person in frame.people]
        for identity, person in zip(tracker.update(frame.time, sights), frame.people, strict=True):
            tracks.setdefault(identity, {})[number] = person
    return tracks


@dataclass(frozen=True)
class Course:
    """A person's motion as a smoother takes and gives it."""

    times: Float64[Tensor, "frames"]
    """Seconds, increasing."""
    trust: Float[Tensor, "frames"]
    """Positive; the score, and little where the frame was filled in."""
    rotations: Float[Tensor, "frames 24 3 3"]
    """Each joint in its parent's frame."""
    place: Float[Tensor, "frames 3"]
    """Direction (x / z, y / z) and logarithm of the depth (metres)."""


def _unsmoothed(course: Course, strength: float) -> Course:
    return course


def _without_lag(course: Course, strength: float) -> Course:
    """Fits of each moment to both sides; the film must be at its end."""
    turns = local_fit(course.times, course.trust, _ROTATION_SECONDS * strength)
    places = local_fit(course.times, course.trust, _PLACE_SECONDS * strength)
    return replace(
        course,
        rotations=smooth_rotations(course.rotations, turns),
        place=smooth_vectors(course.place, places),
    )


def _live(course: Course, strength: float) -> Course:
    """What `LiveSmoother` would have shown."""
    smoother = LiveSmoother(strength)
    steps = [
        smoother(float(time), rotations, place)
        for time, rotations, place in zip(course.times, course.rotations, course.place, strict=True)
    ]
    rotations, places = zip(*steps, strict=True)
    return replace(course, rotations=torch.stack(rotations), place=torch.stack(places))


class LiveSmoother:
    """One person's motion, smoothed as it comes (One-Euro)."""

    def __init__(self, strength: float = 1.0) -> None:
        self._rotations = RotationFilter(_gentler(_LIVE_ROTATIONS, strength))
        self._place = VectorFilter(_gentler(_LIVE_PLACE, strength))

    def __call__(
        self, time: float, rotations: Float[Tensor, "24 3 3"], place: Float[Tensor, "3"]
    ) -> tuple[Float[Tensor, "24 3 3"], Float[Tensor, "3"]]:
        """The smoothed rotations and place, as `Course` has them, after one more frame at `time` (seconds)."""
        return self._rotations(time, rotations), self._place(time, place)


def _gentler(constants: OneEuro, strength: float) -> OneEuro:
    return replace(
        constants,
        minimum_cutoff=constants.minimum_cutoff / strength,
        speed_gain=constants.speed_gain / strength,
    )


SMOOTHERS: dict[str, Callable[[Course, float], Course]] = {
    "zero-lag": _without_lag,
    "one-euro": _live,
    "none": _unsmoothed,
}
"""What can be done to a person's motion, given the strength."""


@dataclass(frozen=True)
class _Stage:
    """What the motion of all people of a clip is worked out with."""

    clip: Clip
    """Without people."""
    body: KeypointBody
    config: VideoConfig

    def with_camera_pitch(self, sights: list[SeenPerson]) -> "_Stage":
        """With a camera that looks down as far as people who stand say; as before where nobody does."""
        if not sights:
            return self
        shapes = _stacked([person.shape for person in sights])
        _, joints = self.body.tree(
            _stacked([person.rotations for person in sights]), self.body.rest_joints(shapes)
        )
        pitch = pitch_from_standing(joints, torch.tensor([person.score for person in sights]))
        return replace(self, clip=replace(self.clip, camera_pitch=pitch or 0.0))

    def person(self, identity: int, track: dict[int, SeenPerson]) -> ClipPerson:
        """The person of a track: number of the frame -> what was seen there."""
        numbers = np.array(sorted(track))
        seen = [track[number] for number in numbers]
        frames = np.arange(numbers[0], numbers[-1] + 1)
        scores = np.zeros(len(frames), np.float32)
        scores[numbers - numbers[0]] = [person.score for person in seen]
        known, times = torch.from_numpy(self.clip.times[numbers]), torch.from_numpy(self.clip.times[frames])
        shape = weighted_median(
            _stacked([person.shape for person in seen]), torch.from_numpy(scores[numbers - numbers[0]])
        )
        turns = _stacked([person.rotations for person in seen])
        places = _place(self._translations(seen, turns, shape))
        course = Course(
            times=times,
            trust=torch.from_numpy(scores).clamp_min(FILLED_TRUST),
            rotations=interpolate_rotations(known, turns, times),
            place=interpolate_vectors(known, places, times),
        )
        course = SMOOTHERS[self.config.smoother](course, self.config.strength)
        translation = _translation(course.place)
        if self.config.foot_lock:
            course = replace(course, rotations=self._with_feet_locked(course, translation, shape))
        return ClipPerson(
            identity=identity,
            first_frame=int(numbers[0]),
            rotations=course.rotations.numpy(),
            shape=shape.numpy(),
            translation=translation.numpy(),
            scores=scores,
        )

    def _translations(
        self,
        seen: list[SeenPerson],
        rotations: Float[Tensor, "frames 24 3 3"],
        shape: Float[Tensor, "10"],
    ) -> Float[Tensor, "frames 3"]:
        """Where the body of the one shape is seen where each frame's body was; metres.

        As for a photo, the frame's own depth stands where the fit's is far from it.
        """
        count = len(seen)
        camera = PerspectiveCamera(
            torch.full((count,), self.clip.focal_length),
            torch.tensor(self.clip.principal_point).expand(count, -1),
        )
        points = self.body(rotations, shape.expand(count, -1))[1]
        own = _stacked([person.translation for person in seen])
        best = translation_of_best_fit(points, _stacked([person.keypoints for person in seen]), camera)
        ratio = best[:, 2:] / own[:, 2:]
        return torch.where((ratio > 1 / TRUSTED_DEPTH_RATIO) & (ratio < TRUSTED_DEPTH_RATIO), best, own)

    def _with_feet_locked(
        self, course: Course, translation: Float[Tensor, "frames 3"], shape: Float[Tensor, "10"]
    ) -> Float[Tensor, "frames 24 3 3"]:
        """The rotations with the legs bent so that feet that stand stay where they are."""
        rest = self.body.rest_joints(shape.expand(len(translation), -1))
        world, joints = self.body.tree(course.rotations, rest)
        joints = joints + translation[:, None]
        ankles = joints[:, [SMPL_24.index[leg[2]] for leg in LEGS]]
        down = level_from_camera(self.clip.camera_pitch)[1]
        standing = standing_feet(course.times, ankles, joints[:, 0], down)
        places = resting_places(course.times, ankles, standing)
        rotations = course.rotations.clone()
        for leg, place in zip(LEGS, places.unbind(1), strict=True):
            hip, knee, ankle = (SMPL_24.index[name] for name in leg)
            thigh, shin = reach(joints[:, [hip, knee, ankle]], world[:, knee], place)
            turned_hip, turned_knee = thigh @ world[:, hip], shin @ world[:, knee]
            rotations[:, hip] = world[:, 0].transpose(1, 2) @ turned_hip
            rotations[:, knee] = turned_hip.transpose(1, 2) @ turned_knee
            rotations[:, ankle] = turned_knee.transpose(1, 2) @ world[:, ankle]
        return rotations


def _stacked(arrays: list[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.stack(arrays))


def _place(translation: Float[Tensor, "frames 3"]) -> Float[Tensor, "frames 3"]:
    depth = translation[:, 2:].clamp_min(1e-3)
    return torch.cat([translation[:, :2] / depth, depth.log()], 1)


def _translation(place: Float[Tensor, "frames 3"]) -> Float[Tensor, "frames 3"]:
    depth = place[:, 2:].exp()
    return torch.cat([place[:, :2] * depth, depth], 1)
