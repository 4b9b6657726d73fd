"""Fits of people in photos: from keypoints in pixels to a `Person`, and from a person to a better one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanmesh.body.model import BodyModel, KeypointBody
from humanmesh.errors import BadInputError, HumanMeshError
from humanmesh.files.priors import load_pose_prior
from humanmesh.fitting.energy import BodyState, Keypoints2D, Keypoints3D, fitting_body
from humanmesh.fitting.silhouette import silhouette_of, surface_body
from humanmesh.fitting.smplify import (
    LARGEST_MISFIT,
    Fit,
    check_keypoints,
    fit,
    fit_from,
    fit_outline,
    fit_points,
    seen_keypoints,
    with_depths,
)
from humanmesh.fitting.solver import joined, taken
from humanmesh.geometry import crops
from humanmesh.geometry.cameras import PerspectiveCamera, PhotoCamera, centred_camera, weak_perspective_of
from humanmesh.geometry.rotations import matrix_to_axis_angle
from humanmesh.inference import KEYPOINTS_OF_BODY, Recoverer
from humanmesh.person import CropCamera, Person, box_of_points
from humanmesh.photos import SMALLEST_BOX

_STANDING_DEPTH = 4.0
"""Metres before its camera at which a person without a photo stands."""


@dataclass(frozen=True, eq=False)
class SeenPerson:
    """What is known of one person in a photo."""

    positions: Float[np.ndarray, "keypoints 2"]
    """Photo pixels."""
    confidences: Float[np.ndarray, "keypoints"]
    """0 where a keypoint is not known."""
    camera: PhotoCamera
    photo_size: tuple[int, int]
    """Width and height in pixels."""
    name: str = "Keypoints"
    """For messages."""
    mask: Bool[np.ndarray, "height width"] | None = None
    """Where the photo shows the person; None where that is not known."""
    is_camera_known: bool = True
    """False where `camera` is a convention, so that a network may judge the distance by itself."""


@dataclass(frozen=True, eq=False)
class KnownPoints:
    """What is known of one person in space."""

    positions: Float[np.ndarray, "keypoints 3"]
    """Metres."""
    confidences: Float[np.ndarray, "keypoints"]
    """0 where a keypoint is not known."""
    name: str = "Keypoints"
    """For messages."""


class PersonFitter:
    """Fits one body to one keypoint set."""

    def __init__(self, body: BodyModel, keypoint_set: str) -> None:
        """Sum the body up for this set.

        Raises:
            UnknownNameError: listing the sets that the body has.
        """
        self.body = body
        self.keypoint_set = keypoint_set
        self.device = body.template.device
        self.fitting = fitting_body(body.data, keypoint_set, load_pose_prior())

    def fit(self, seen: Sequence[SeenPerson]) -> list[Person | HumanMeshError]:
        """A person for each, from the mean pose, or why there is none."""

        def work(rows: list[int], known: Keypoints2D) -> tuple[Fit, Keypoints2D]:
            return fit(self.fitting, known), known

        return self._each(seen, work, [_photo_from_crop(person) for person in seen])

    def refine(self, people: Sequence[Person], seen: Sequence[SeenPerson]) -> list[Person | HumanMeshError]:
        """The same from an estimate of each person; `seen` has the estimate's camera. Who was given a height keeps it."""
        states = [state_of(person) for person in people]

        def work(rows: list[int], known: Keypoints2D) -> tuple[Fit, Keypoints2D]:
            estimate = joined([states[row] for row in rows])
            return fit_from(self.fitting, known, estimate), with_depths(known, self.fitting, estimate)

        results = self._each(seen, work, [person.weak_camera.photo_from_crop for person in people])
        return [
            _as_tall_as(person, refined) if isinstance(refined, Person) else refined
            for person, refined in zip(people, results, strict=True)
        ]

    def fit_with(
        self, recoverer: Recoverer, photos: Sequence[Tensor], seen: Sequence[SeenPerson]
    ) -> list[Person | HumanMeshError]:
        """The same from what the network, told the keypoints, sees in a photo (3, H, W) of each person."""
        results: list[Person | HumanMeshError] = []
        for photo, person in zip(photos, seen, strict=True):
            try:
                _keypoints(person)
                _check_mask(person)
                results.append(self._start(recoverer, photo, person))
            except BadInputError as error:
                results.append(error)
        rows = [row for row, start in enumerate(results) if isinstance(start, Person)]
        starts = [start for start in results if isinstance(start, Person)]
        for row, refined in zip(rows, self.refine(starts, [seen[row] for row in rows]), strict=True):
            results[row] = refined
        return results

    def _start(self, recoverer: Recoverer, photo: Tensor, person: SeenPerson) -> Person:
        """What the network sees, told the keypoints where it has heat maps and enough of them are its own."""
        camera = person.camera if person.is_camera_known else None
        told = np.c_[person.positions, person.confidences][None]
        try:
            return recoverer.recover_keypoints_in(photo, told, self.keypoint_set, camera=camera)[0]
        except BadInputError:
            return recoverer.recover_pixels([photo], [_box(person)], cameras=[camera])[0][0]

    def fit_points(self, known: Sequence[KnownPoints], canvas: int) -> list[Person | HumanMeshError]:
        """A person through each set of points in space, or why there is none.

        The people stand upright, placed as they are to each other, before one camera.

        Args:
            known: of people in one frame of reference, whose y axis points up or down.
            canvas: side of that camera's picture in pixels.
        """
        results: list[Person | HumanMeshError | None] = [None] * len(known)
        usable = []
        for row, points in enumerate(known):
            try:
                usable.append((row, _keypoints_3d(points)))
            except BadInputError as error:
                results[row] = error
        if not usable:
            return [error for error in results if error is not None]
        found = fit_points(self.fitting, joined([points for _, points in usable]))
        camera = centred_camera(canvas, canvas)
        nowhere = np.zeros((known[0].positions.shape[0], 2), np.float32)
        seen = {
            row: SeenPerson(nowhere, known[row].confidences, camera, (canvas, canvas), known[row].name)
            for row, _ in usable
        }
        sound = [(place, row) for place, (row, _) in enumerate(usable) if not bool(found.is_failed[place])]
        for place, (row, _) in enumerate(usable):
            results[row] = _failure(known[row].name, float(found.misfit[place]), "metres")
        if sound:
            chosen = taken(found, torch.tensor([place for place, _ in sound]))
            half = canvas / 2
            whole = torch.tensor([[half, 0.0, half], [0.0, half, half], [0.0, 0.0, 1.0]])
            people = self._people(
                [seen[row] for _, row in sound],
                replace(chosen, state=_before_camera(chosen.state)),
                whole.expand(len(sound), 3, 3),
            )
            for (_, row), person in zip(sound, people, strict=True):
                results[row] = person
        return [result for result in results if result is not None]

    def _each(
        self,
        seen: Sequence[SeenPerson],
        work: Callable[[list[int], Keypoints2D], tuple[Fit, Keypoints2D]],
        photo_from_crop: Sequence[np.ndarray],
    ) -> list[Person | HumanMeshError]:
        """Fit those who can be fitted, all at once; `work` gives fits, and what it knew of the keypoints."""
        usable: dict[int, Keypoints2D] = {}
        results: dict[int, Person | HumanMeshError] = {}
        for row, person in enumerate(seen):
            try:
                usable[row] = _keypoints(person)
                _check_mask(person)
            except BadInputError as error:
                usable.pop(row, None)
                results[row] = error
        if usable:
            rows = list(usable)
            found, known = work(rows, joined(list(usable.values())))
            found = self._to_masks([seen[row] for row in rows], known, found)
            crops_of_rows = torch.from_numpy(np.stack([photo_from_crop[row] for row in rows])).float()
            people = self._people([seen[row] for row in rows], found, crops_of_rows)
            for row, person, misfit in zip(rows, people, found.misfit.tolist(), strict=True):
                results[row] = (
                    person if misfit <= LARGEST_MISFIT else _failure(seen[row].name, misfit, "pixels")
                )
        return [results[row] for row in range(len(seen))]

    def _to_masks(self, seen: Sequence[SeenPerson], known: Keypoints2D, found: Fit) -> Fit:
        """The same fits, gone on to the masks of those who have one."""
        fits = []
        for row, person in enumerate(seen):
            one = torch.tensor([row])
            alone = taken(found, one)
            if person.mask is not None:
                outline = silhouette_of(person.mask, person.name)
                alone = fit_outline(self.fitting, taken(known, one), alone.state, outline, self.surface)
            fits.append(alone)
        return joined(fits)

    @cached_property
    def surface(self) -> KeypointBody:
        """Points of the skin, for masks."""
        return surface_body(self.body.data)

    def _people(
        self, seen: Sequence[SeenPerson], found: Fit, photo_from_crop: Float[Tensor, "people 3 3"]
    ) -> list[Person]:
        state = found.state
        rotations, translation = state.rotations, state.translation
        posed = self.body(rotations.to(self.device), state.shape.to(self.device))
        all_vertices = posed.vertices.cpu() + translation[:, None]
        joints = posed.joints.cpu() + translation[:, None]
        weak = weak_perspective_of(translation, photo_from_crop, _camera(seen))
        axis_angle = matrix_to_axis_angle(rotations).flatten(1)
        theta = torch.cat([weak.scale[:, None], weak.translation, axis_angle, state.shape], 1)
        people = []
        for row, known in enumerate(seen):
            vertices = all_vertices[row].numpy()
            tx, ty = weak.translation[row].tolist()
            people.append(
                Person(
                    body=self.body.data,
                    theta=theta[row].numpy(),
                    rotations=rotations[row].numpy(),
                    translation=translation[row].numpy(),
                    vertices=vertices,
                    joints=joints[row].numpy(),
                    box=box_of_points(known.camera.project(vertices), known.photo_size),
                    score=float(known.confidences[known.confidences > 0].mean().clip(0, 1)),
                    camera=known.camera,
                    weak_camera=CropCamera(float(weak.scale[row]), (tx, ty), photo_from_crop[row].numpy()),
                    photo_size=known.photo_size,
                )
            )
        return people


def refine_person(
    body: BodyModel,
    person: Person,
    keypoints: Float[np.ndarray, "keypoints axes"],
    keypoint_set: str = "coco17",
) -> Person:
    """The person moved so that its keypoints are seen where these are.

    Args:
        body: that of the person's name, as a layer.
        person: where to start, and whose camera is used; a height that it was given stays.
        keypoints: photo pixels, with a third column where confidences are known; 0 where a keypoint is not.
        keypoint_set: its name (`body.skeletons`).

    Raises:
        BadInputError: where there are too few keypoints, or the fit failed: better no body than a monster.
        UnknownNameError: where the body has no such set.
    """
    confidences = keypoints[:, 2] if keypoints.shape[1] > 2 else np.ones(len(keypoints))
    seen = SeenPerson(
        keypoints[:, :2].astype(np.float32),
        confidences.astype(np.float32),
        person.camera,
        person.photo_size,
    )
    refined = PersonFitter(body, keypoint_set).refine([person], [seen])[0]
    if isinstance(refined, HumanMeshError):
        raise refined
    return replace(refined, camera_pitch=person.camera_pitch)


def _keypoints(person: SeenPerson) -> Keypoints2D:
    positions = torch.from_numpy(person.positions)[None].float()
    confidences = torch.from_numpy(person.confidences)[None].float()
    return seen_keypoints(positions, confidences, _camera([person]), person.name)


def _keypoints_3d(known: KnownPoints) -> Keypoints3D:
    points, trust = torch.from_numpy(known.positions)[None].float(), torch.from_numpy(known.confidences)[None]
    check_keypoints(points, trust.float(), known.name)
    return Keypoints3D(torch.where(trust[..., None] > 0, points, 0.0), trust.float())


def _before_camera(state: BodyState) -> BodyState:
    """The same bodies, upright where the camera's y axis points down, their middle in its middle and all in its view."""
    root, place = state.root, state.translation - state.translation.mean(0)
    if float(root[:, 1, 1].mean()) > 0:
        half_turn = torch.diag(torch.tensor([1.0, -1.0, -1.0]))
        root, place = half_turn @ root, place @ half_turn
    nearest, widest = float(place[:, 2].min()), float(place[:, :2].abs().max())
    depth = _STANDING_DEPTH * (1 + widest) - nearest
    return replace(state, root=root, translation=place + torch.tensor([0.0, 0.0, depth]))


def _box(person: SeenPerson) -> list[list[float]]:
    """Round the whole body, from its keypoints."""
    known = person.positions[person.confidences > 0]
    low, high = known.min(0), known.max(0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2 / KEYPOINTS_OF_BODY, SMALLEST_BOX / 2)
    return [[*(middle - half).tolist(), *(middle + half).tolist()]]


def _check_mask(person: SeenPerson) -> None:
    if person.mask is None:
        return
    width, height = person.photo_size
    if person.mask.shape != (height, width):
        found = f"a mask of {person.mask.shape[1]} x {person.mask.shape[0]} pixels"
        remedy = f"Give one of the photo's {width} x {height} pixels."
        raise BadInputError(person.name, found, remedy)
    pixels = person.positions[person.confidences > 0].astype(int)
    inside = pixels[((pixels >= 0) & (pixels < (width, height))).all(1)]
    if not person.mask[inside[:, 1], inside[:, 0]].any():
        raise BadInputError(person.name, "none of them on the mask", "Give the mask of this person.")


def _camera(seen: Sequence[SeenPerson]) -> PerspectiveCamera:
    return PerspectiveCamera(
        torch.tensor([person.camera.focal_xy for person in seen], dtype=torch.float32),
        torch.tensor([person.camera.principal_point for person in seen], dtype=torch.float32),
    )


def _as_tall_as(person: Person, refined: Person) -> Person:
    """Scaled to the person's height, if that was given: the shape, and with it the fitted body's own, may have changed."""
    if person.body_scale == 1:
        return refined
    return refined.scaled(person.measurements.height / refined.measurements.height)


def state_of(person: Person) -> BodyState:
    """Where a fit of one person starts; of the body of the usual size."""
    rotations = torch.from_numpy(person.rotations)[None]
    return BodyState(
        rotations[:, 0],
        matrix_to_axis_angle(rotations[:, 1:]).flatten(1),
        torch.from_numpy(person.shape)[None],
        torch.from_numpy(person.translation / np.float32(person.body_scale))[None],
    )


def _photo_from_crop(person: SeenPerson) -> Float[np.ndarray, "3 3"]:
    """The crop that the network would be given of this person."""
    points = torch.from_numpy(person.positions)[None].float()
    known = torch.from_numpy(person.confidences)[None] > 0
    known = known & points.isfinite().all(2)
    if not bool(known.any()):
        return np.eye(3, dtype=np.float32)
    box = crops.box_of_keypoints(torch.where(known[..., None], points, 0.0), known.float())
    side = crops.margin_crop_side(box, crops.KEYPOINTS_MARGIN)
    return torch.linalg.inv(crops.crop_from_photo(crops.box_center(box), side))[0].numpy()


def _failure(name: str, misfit: float, unit: str) -> BadInputError:
    found = f"no body fits these keypoints (energy {misfit:.0f} a keypoint, {LARGEST_MISFIT:.0f} at most)"
    return BadInputError(
        name, found, f"Check their order, their unit ({unit}) and whether they are of one person."
    )
