"""The facade: `load()` gives a `Recoverer`, which takes photos and gives people.

model = humanmesh.load()
person = model.recover("photo.jpg")[0]
person.save("person.glb")
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import skeleton_by_name
from humanmesh.errors import BadInputError, MissingAssetError, UnknownNameError
from humanmesh.files.assets import DEFAULT_WEIGHTS, finder_path, weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_checkpoint, load_recovery
from humanmesh.files.detectors import BoxDetector, load_detector
from humanmesh.files.finders import load_finder
from humanmesh.geometry import crops
from humanmesh.geometry.cameras import (
    CropLens,
    PerspectiveCamera,
    PhotoCamera,
    WeakPerspectiveCamera,
    centred_camera,
    centred_lens,
    lens_of,
    translation_camera_from_body,
)
from humanmesh.geometry.placement import translation_of_best_fit
from humanmesh.geometry.rotations import matrix_to_axis_angle
from humanmesh.network.finder import PersonFinder
from humanmesh.network.precision import PRECISIONS, has_fast_bfloat16, round_weights
from humanmesh.network.recovery import Recovery, RecoveryOutput
from humanmesh.person import CropCamera, Person, box_of_points
from humanmesh.photos import (
    SMALLEST_BOX,
    Boxes,
    Keypoints,
    Photo,
    checked_boxes,
    checked_camera,
    checked_keypoints,
    pixels_of,
    tagged_camera,
)
from humanmesh.tracking import Sight, distinct

FOUND_MARGIN = 1.5
"""Side of the first crop of a person found without a box in units of the longer side of the box of the keypoints, which is
less sure than a given one (`crops.KEYPOINTS_MARGIN`)."""
KEYPOINTS_OF_BODY = 0.92
"""Longer side of the box of the keypoints in units of that of the whole body: soles, finger tips and hair lie outside."""
REFINEMENTS = 1
"""Times that the crop of a person found without a box is drawn again round the recovered body."""
KEPT_CONFIDENCE = 0.8
"""Share of the confidence of the first crop that the second must keep, or the first is taken."""
POSSIBLE_SCORE = 0.2
"""The finder's score from which a person is looked at by a network with heat maps."""
CONFIRMED_SCORE = 0.3
"""Geometric mean of the finder's score and the confidence of the heat maps from which the clearest find in a photo is a person
(`tools/measure_people.py`)."""
FURTHER_SCORE = 0.38
"""The same for all others: a photo mostly shows somebody, and in its parts much that looks a little like people."""
FAINT = 0.1
"""Share of a person's highest confidence below which a given keypoint may lie outside the crop."""
WILD = 6.0
"""The same for keypoints that far from the median of all, in their median distance from it: 99.9 % of LSPET's people have none."""
BELIEVED = 0.5
"""Crop half-widths from the heat map's own place within which a given keypoint is believed: others are mostly another person's, or
another limb's (`tools/measure_fit.py`)."""
SMALLEST_SCALE = 0.05
"""Crop half-widths per metre: a smaller answer is raised to it, which keeps people nearer than infinity."""
TRUSTED_DEPTH_RATIO = 1.5
"""How far the depth of the best fit may be from that of the closed form."""

_CHUNK = 16
"""Crops that go through the network at once, which bounds the memory."""


@dataclass(frozen=True)
class _View:
    """A photo and the camera that took it."""

    photo: Float[Tensor, "3 height width"]
    camera: PhotoCamera
    is_camera_known: bool
    """False where it is a convention."""


@dataclass(frozen=True)
class _Candidate:
    """Somebody found in a photo, perhaps twice."""

    person: Person
    certainty: float
    """How sure it is that somebody is there; the surer of two candidates stays."""


@dataclass(frozen=True)
class _Crops:
    """Crops to look at, each of one of some photos."""

    photos: tuple[int, ...]
    """Number of each crop's photo."""
    crop_from_photo: Float[Tensor, "crops 3 3"]
    told: Float[Tensor, "crops 19 3"] | None = None
    """`KEYPOINTS` that are known: photo pixels and confidences; None where the network finds them itself."""

    @property
    def photo_from_crop(self) -> Float[Tensor, "crops 3 3"]:
        return torch.linalg.inv(self.crop_from_photo)


@dataclass(frozen=True)
class _Answers:
    """What the network makes of each crop."""

    rotations: Float[Tensor, "crops 24 3 3"]
    shape: Float[Tensor, "crops 10"]
    scale: Float[Tensor, "crops"]
    translation: Float[Tensor, "crops 2"]
    keypoints_body: Float[Tensor, "crops keypoints 3"]
    """Metres, axes of the camera frame, origin of the body."""
    keypoints_crop: Float[Tensor, "crops keypoints 2"]
    confidences: Float[Tensor, "crops"]
    """Mean height of the peaks of the keypoint heat maps; NaN where the network has none."""


class Recoverer:
    """Weights, body and device, ready for photos. Made by `load()`."""

    def __init__(
        self,
        network: Recovery,
        body: BodyModel,
        finder: PersonFinder | None,
        *,
        crop_size: int,
        precision: str = "float32",
        detector: BoxDetector | None = None,
    ) -> None:
        self.network = network.eval()
        self.body = body.eval()
        self.finder = None if finder is None else finder.eval()
        self.crop_size = crop_size
        self.detector = detector
        self.device = next(network.parameters()).device
        self.arithmetic = PRECISIONS[precision]

    def recover(
        self,
        photo: Photo,
        boxes: Boxes | None = None,
        focal_length: float | None = None,
        *,
        camera: PhotoCamera | None = None,
        most: int | None = None,
    ) -> list[Person]:
        """The people in a photo.

        Args:
            photo: a path, a Pillow image or an (H, W, 3) uint8 RGB array.
            boxes: (x0, y0, x1, y1) in photo pixels round each whole person: one Person a box, in this order.
                Without them everybody is found who can be, the largest first; an empty list where there is nobody.
            focal_length: pixels; where None, that of the photo's EXIF tags, or the photo's diagonal.
            camera: the photo's camera instead, with its principal point.
            most: keep so many people at most, the largest, of those found without boxes.

        Raises:
            HumanMeshError: where the photo, a box or the camera cannot be used.
        """
        return self.recover_batch([photo], [boxes], focal_length, cameras=[camera], most=most)[0]

    def recover_batch(
        self,
        photos: Sequence[Photo],
        boxes: Sequence[Boxes | None] | None = None,
        focal_length: float | None = None,
        *,
        cameras: Sequence[PhotoCamera | None] | None = None,
        most: int | None = None,
    ) -> list[list[Person]]:
        """The people in each of several photos, of any sizes; `boxes` and `cameras` hold an entry for each photo.

        Raises:
            HumanMeshError: where a photo, a box or a camera cannot be used.
        """
        pixels = [pixels_of(photo) for photo in photos]
        given = _one_each("Cameras", cameras, len(photos))
        if focal_length is None:
            sizes = [(some.shape[2], some.shape[1]) for some in pixels]
            tagged = [tagged_camera(photo, *size) for photo, size in zip(photos, sizes, strict=True)]
            given = [camera or tag for camera, tag in zip(given, tagged, strict=True)]
        return self.recover_pixels(pixels, boxes, focal_length, cameras=given, most=most)

    def recover_keypoints(
        self,
        photo: Photo,
        keypoints: Keypoints,
        keypoint_set: str = "coco17",
        focal_length: float | None = None,
        *,
        camera: PhotoCamera | None = None,
    ) -> list[Person]:
        """People whose keypoints are known, as from a better detector: one Person each, in their order.

        The network is told the keypoints and sees the rest: depth, shape and joints that are not known. `refine` brings a person
        nearer to the keypoints. A keypoint that is far from where the network sees it is not believed.

        Args:
            photo: as in `recover`, and so are `focal_length` and `camera`.
            keypoints: (people, K, 2 or 3): x, y in photo pixels, with a confidence from 0 to 1 where there is one; 0 where a keypoint is
                not known. At least six of COCO's and LSP's must be. Their mean confidence is each Person's `score`.
            keypoint_set: its name (`body.skeletons`).
            focal_length: pixels.
            camera: the photo's camera.

        Raises:
            HumanMeshError: where photo, keypoints or camera cannot be used, or the network has no heat maps.
        """
        pixels = pixels_of(photo)
        if focal_length is None and camera is None:
            camera = tagged_camera(photo, pixels.shape[2], pixels.shape[1])
        return self.recover_keypoints_in(pixels, keypoints, keypoint_set, focal_length, camera=camera)

    @torch.no_grad()
    def recover_keypoints_in(
        self,
        pixels: Float[Tensor, "3 height width"],
        keypoints: Keypoints,
        keypoint_set: str = "coco17",
        focal_length: float | None = None,
        *,
        camera: PhotoCamera | None = None,
    ) -> list[Person]:
        """The same for pixels as `files.images.read_photo` gives them: RGB in [0, 1].

        Raises:
            HumanMeshError: where keypoints or camera cannot be used, or the network has no heat maps.
        """
        if not self.has_heatmaps:
            raise BadInputError("Weights", "a network without heat maps", "Use recover() with boxes.")
        view = _View(pixels, _camera(pixels, focal_length, camera), (focal_length or camera) is not None)
        told = checked_keypoints(keypoints, skeleton_by_name(keypoint_set), pixels.shape[2], pixels.shape[1])
        if not len(told):
            return []
        crop_from_photo = _crops_round(told[..., :2], crops.KEYPOINTS_MARGIN, _held(told))
        seen = _Crops((0,) * len(told), crop_from_photo, told)
        return self._people([view], seen, self._ask([view], seen), None)

    def refine(
        self, person: Person, keypoints: Float[np.ndarray, "keypoints axes"], keypoint_set: str = "coco17"
    ) -> Person:
        """The person fitted to keypoints that are known: (x, y) in photo pixels, with a confidence where there is one.

        Raises:
            HumanMeshError: where there are too few keypoints, or no body fits them.
        """
        from humanmesh.fitting.people import refine_person  # which imports this module

        return refine_person(self.body, person, keypoints, keypoint_set)

    @torch.no_grad()
    def recover_pixels(
        self,
        photos: Sequence[Tensor],
        boxes: Sequence[Boxes | None] | None = None,
        focal_length: float | None = None,
        *,
        cameras: Sequence[PhotoCamera | None] | None = None,
        most: int | None = None,
    ) -> list[list[Person]]:
        """The same for pixels as `files.images.read_photo` gives them: (3, H, W), RGB in [0, 1].

        Raises:
            HumanMeshError: where a box or a camera cannot be used.
        """
        if most is not None and most < 1:
            raise BadInputError("People", f"{most} at most", "Ask for one at least.")
        wanted = _one_each("Boxes", boxes, len(photos))
        checked = [
            None if some is None else checked_boxes(some, photo.shape[2], photo.shape[1])
            for some, photo in zip(wanted, photos, strict=True)
        ]
        given = _one_each("Cameras", cameras, len(photos))
        views = [
            _View(photo, _camera(photo, focal_length, camera), (focal_length or camera) is not None)
            for photo, camera in zip(photos, given, strict=True)
        ]
        people: list[list[Person]] = [[] for _ in photos]
        self._recover_boxes(views, checked, people)
        searched = [number for number, some in enumerate(checked) if some is None]
        for number, found in zip(searched, self._recover_found([views[n] for n in searched]), strict=True):
            people[number] = found[:most]
        return people

    def _recover_boxes(
        self, views: list["_View"], boxes: list[Tensor | None], people: list[list[Person]]
    ) -> None:
        rows = [(number, box) for number, some in enumerate(boxes) if some is not None for box in some]
        if not rows:
            return
        all_boxes = torch.stack([box for _, box in rows])
        seen = _crops_in_boxes([number for number, _ in rows], all_boxes)
        scores = None
        if not self.has_heatmaps and self.finder is not None:
            scores = self.finder.scores_of([views[number].photo for number, _ in rows], all_boxes)
        built = self._people(views, seen, self._ask(views, seen), scores)
        for (number, box), person in zip(rows, built, strict=True):
            people[number].append(replace(person, box=box.numpy()))

    def _recover_found(self, views: list["_View"]) -> list[list[Person]]:
        """Everybody in each photo, once each, the largest first."""
        if not views:
            return []
        find = self._found_people if self.detector is None else self._detected_people
        people: list[list[Person]] = []
        for candidates in find(views):
            sights = [Sight(one.person.keypoints_2d("coco17"), one.certainty) for one in candidates]
            kept = [candidates[row].person for row in distinct(sights)]
            people.append(sorted(kept, key=_box_area, reverse=True))
        return people

    def _found_people(self, views: list["_View"]) -> list[list["_Candidate"]]:
        """Whom the bundled finder sees and the network confirms."""
        if self.finder is None:
            remedy = "Give a box round each person, or reinstall the package."
            raise MissingAssetError("person finder", "the bundled files", remedy)
        least = POSSIBLE_SCORE if self.has_heatmaps else self.finder.person_score
        everyone = self.finder.find([view.photo for view in views], least)
        numbers = [number for number, some in enumerate(everyone) for _ in some]
        found = [person for some in everyone for person in some]
        candidates: list[list[_Candidate]] = [[] for _ in views]
        if not found:
            return candidates
        seen = _Crops(
            tuple(numbers), _crops_round(torch.stack([person.keypoints for person in found]), FOUND_MARGIN)
        )
        answers = self._ask(views, seen)
        for _ in range(REFINEMENTS):
            seen, answers = self._look_again(views, seen, answers)
        scores = torch.tensor([person.score for person in found])
        certainties = (scores * answers.confidences).sqrt() if self.has_heatmaps else scores
        for row, person in enumerate(self._people(views, seen, answers, scores)):
            candidates[numbers[row]].append(_Candidate(person, float(certainties[row])))
        return [_confirmed(some) for some in candidates] if self.has_heatmaps else candidates

    def _detected_people(self, views: list["_View"]) -> list[list["_Candidate"]]:
        """Whom the detector sees, in its boxes."""
        assert self.detector is not None
        everyone = self.detector.find([view.photo for view in views])
        numbers = [number for number, some in enumerate(everyone) for _ in some.scores]
        candidates: list[list[_Candidate]] = [[] for _ in views]
        if not numbers:
            return candidates
        boxes = torch.cat([some.boxes for some in everyone])
        scores = torch.cat([some.scores for some in everyone])
        seen = _crops_in_boxes(numbers, boxes)
        built = self._people(views, seen, self._ask(views, seen), scores)
        for number, box, score, person in zip(numbers, boxes, scores, built, strict=True):
            candidates[number].append(_Candidate(replace(person, box=box.numpy()), float(score)))
        return candidates

    def _look_again(self, views: list["_View"], seen: _Crops, answers: _Answers) -> tuple[_Crops, _Answers]:
        """The answers for crops round the recovered bodies; the old ones where the person got lost there."""
        keypoints = crops.apply(seen.photo_from_crop, answers.keypoints_crop)
        round_body = _crops_round(keypoints, crops.KEYPOINTS_MARGIN)
        again = _Crops(seen.photos, round_body)
        new = self._ask(views, again)
        is_lost = new.confidences < KEPT_CONFIDENCE * answers.confidences
        matrix = torch.where(is_lost[:, None, None], seen.crop_from_photo, round_body)
        kept = {
            entry.name: torch.where(
                is_lost.view(-1, *[1] * (getattr(new, entry.name).dim() - 1)),
                getattr(answers, entry.name),
                getattr(new, entry.name),
            )
            for entry in fields(_Answers)
        }
        return _Crops(seen.photos, matrix), _Answers(**kept)

    @property
    def has_heatmaps(self) -> bool:
        """Whether the network sees keypoints by themselves, and can be told them."""
        return self.network.regressor.needs_pyramid

    def _ask(self, views: list["_View"], seen: _Crops) -> _Answers:
        parts = []
        for start in range(0, len(seen.photos), _CHUNK):
            rows = range(start, min(start + _CHUNK, len(seen.photos)))
            pixels = [
                crops.sample_crop(views[seen.photos[row]].photo, seen.crop_from_photo[row], self.crop_size)
                for row in rows
            ]
            crops_seen = torch.stack(pixels).to(self.device, memory_format=torch.channels_last)
            # Body, camera and refinement leave autocast by themselves and stay in float32.
            lens = self._lens([views[seen.photos[row]] for row in rows], seen.photo_from_crop[rows])
            with torch.autocast(self.device.type, self.arithmetic, enabled=self.arithmetic != torch.float32):
                parts.append(_answers(self._output(crops_seen, lens, seen, rows)))
        return _Answers(**{
            entry.name: torch.cat([getattr(part, entry.name) for part in parts]) for entry in fields(_Answers)
        })

    def _output(
        self,
        crops_seen: Float[Tensor, "some 3 height width"],
        lens: CropLens | None,
        seen: _Crops,
        rows: range,
    ) -> RecoveryOutput:
        if seen.told is None:
            return self.network(crops_seen, lens)
        positions, confidences = seen.told[rows][..., :2], seen.told[rows][..., 2]
        in_crop = crops.apply(seen.crop_from_photo[rows], positions)
        known = in_crop.to(self.device), confidences.to(self.device)
        return self.network.told(crops_seen, *known, lens, believed=BELIEVED)

    def _lens(self, views: list["_View"], photo_from_crop: Float[Tensor, "crops 3 3"]) -> CropLens | None:
        """The lens of each crop: its photo's where that is known, else the network's own."""
        slope = self.network.lens_slope
        if not slope:  # a network that was taught weak perspective
            return None
        photos = lens_of(photo_from_crop, _cameras_of(views))
        known = torch.tensor([view.is_camera_known for view in views])
        own = centred_lens(slope, photos.slope)
        lens = CropLens(
            torch.where(known, photos.slope, own.slope),
            torch.where(known[:, None], photos.principal_point, own.principal_point),
            torch.where(known, photos.deviation, own.deviation),
        )
        return lens.to(photo_from_crop.to(self.device))  # in float32, whatever the weights are rounded to

    def _people(
        self,
        views: list["_View"],
        seen: _Crops,
        answers: _Answers,
        scores: Float[Tensor, "crops"] | None,
    ) -> list[Person]:
        _check_answers(answers)
        cameras = [views[number].camera for number in seen.photos]
        camera = _cameras_of([views[number] for number in seen.photos])
        photo_from_crop = seen.photo_from_crop
        translation = _place(answers, photo_from_crop, camera)
        posed = self.body(answers.rotations.to(self.device), answers.shape.to(self.device))
        axis_angle = matrix_to_axis_angle(answers.rotations).flatten(1)
        theta = torch.cat([answers.scale[:, None], answers.translation, axis_angle, answers.shape], 1)
        if scores is None or self.has_heatmaps:
            scores = answers.confidences
        vertices = posed.vertices.cpu() + translation[:, None]
        joints = posed.joints.cpu() + translation[:, None]
        people = []
        for row, photo_camera in enumerate(cameras):
            height, width = views[seen.photos[row]].photo.shape[1:]
            tx, ty = answers.translation[row].tolist()
            people.append(
                Person(
                    body=self.body.data,
                    theta=theta[row].numpy(),
                    rotations=answers.rotations[row].numpy(),
                    translation=translation[row].numpy(),
                    vertices=vertices[row].numpy(),
                    joints=joints[row].numpy(),
                    box=box_of_points(photo_camera.project(vertices[row].numpy()), (width, height)),
                    score=float(scores[row]),
                    camera=photo_camera,
                    weak_camera=CropCamera(float(answers.scale[row]), (tx, ty), photo_from_crop[row].numpy()),
                    photo_size=(width, height),
                )
            )
        return people


def load(
    weights: str | Path | None = None,
    body: str | Path = "anny",
    device: str | torch.device | None = None,
    precision: str = "float32",
    detector: str | Path | None = None,
) -> Recoverer:
    """A recoverer with the bundled weights and body, or with others.

    Args:
        weights: a checkpoint (.safetensors), or the name of a bundled one: "default", or "open", made from sources that allow any
            use alone; the default one where None.
        body: "anny", or the path of a body file such as SMPL's.
        device: as PyTorch names it; a CUDA device where there is one, else the CPU, where None.
        precision: "float32", or "bfloat16", which lets a large encoder run about twice as fast on a processor or
            GPU that computes in it, or "auto": bfloat16 on these and float32 elsewhere; body and camera stay in float32.
        detector: who finds the people: "rt-detr" (`pip install humanmesh[detect]`), or the folder of such a model;
            the bundled finder where None.

    Raises:
        HumanMeshError: where a file is missing or damaged, or there is no such device, precision or detector.
    """
    place = usable_device(device)
    if precision == "auto":
        precision = "bfloat16" if has_fast_bfloat16(place) else "float32"
    if precision not in PRECISIONS:
        raise UnknownNameError("precision", precision, ["auto", *PRECISIONS])
    data = load_body_data(body)
    path = weights_path(weights or DEFAULT_WEIGHTS)
    crop_size = load_checkpoint(path).config.crop_size
    network = load_recovery(path, data).to(place, memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    round_weights(network, PRECISIONS[precision])
    posed = BodyModel(data).to(place)
    return Recoverer(
        network,
        posed,
        _bundled_finder(weights or DEFAULT_WEIGHTS, place),
        crop_size=crop_size,
        precision=precision,
        detector=None if detector is None else load_detector(detector, place),
    )


def usable_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; a CUDA device where there is one, else the CPU, where None.

    Raises:
        BadInputError: where there is none of that name here.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise BadInputError(f"Device {str(name)!r}", f"it cannot be used ({reason})", 'Try "cpu".') from error
    return device


def _bundled_finder(weights: str | Path, device: torch.device) -> PersonFinder | None:
    try:
        return load_finder(finder_path(weights)).to(device)
    except MissingAssetError:
        return None


def _cameras_of(views: list[_View]) -> PerspectiveCamera:
    return PerspectiveCamera(
        torch.tensor([view.camera.focal_xy for view in views]),
        torch.tensor([view.camera.principal_point for view in views]),
    )


def _camera(photo: Tensor, focal_length: float | None, camera: PhotoCamera | None) -> PhotoCamera:
    """The camera of a photo, of the two that may be given."""
    height, width = photo.shape[1:]
    if focal_length is not None and camera is not None:
        raise BadInputError("Camera", "a focal length was given as well", "Give one of the two.")
    return checked_camera(camera or centred_camera(width, height, focal_length), width, height)


def _one_each(what: str, given: Sequence[Any] | None, photos: int) -> list[Any]:
    """The entry of each photo; None for each where none were given."""
    entries = [None] * photos if given is None else list(given)
    if len(entries) != photos:
        remedy = "Give one entry, or None, for each photo."
        raise BadInputError(what, f"{len(entries)} lists for {photos} photos", remedy)
    return entries


def _crops_in_boxes(photos: Sequence[int], boxes: Float[Tensor, "crops 4"]) -> _Crops:
    """Crops round boxes of whole bodies."""
    side = crops.margin_crop_side(boxes, crops.KEYPOINTS_MARGIN * KEYPOINTS_OF_BODY)
    return _Crops(tuple(photos), crops.crop_from_photo(crops.box_center(boxes), side))


def _crops_round(
    keypoints: Float[Tensor, "crops keypoints 2"],
    margin: float,
    weights: Float[Tensor, "crops keypoints"] | None = None,
) -> Float[Tensor, "crops 3 3"]:
    box = crops.box_of_keypoints(
        keypoints, torch.ones_like(keypoints[..., 0]) if weights is None else weights
    )
    side = crops.margin_crop_side(box, margin).clamp_min(SMALLEST_BOX)
    return crops.crop_from_photo(crops.box_center(box), side)


def _held(told: Float[Tensor, "people 19 3"]) -> Float[Tensor, "people 19"]:
    """1 for keypoints that a crop must hold, 0 for faint ones and those far from all others."""
    positions, confidences = told[..., :2], told[..., 2]
    is_clear = confidences > FAINT * confidences.amax(1, keepdim=True)
    clear = torch.where(is_clear[..., None], positions, torch.nan)
    distances = (clear - clear.nanmedian(1, keepdim=True).values).norm(dim=2)
    usual = distances.nanmedian(1, keepdim=True).values
    return ((distances <= WILD * usual) | (is_clear & (usual == 0))).float()


def _answers(output: RecoveryOutput) -> _Answers:
    last = output.last
    seen = output.seen
    confidences = torch.full_like(last.camera.scale, math.nan) if seen is None else seen.confidences.mean(1)
    # A negative scale is the same picture as a positive one of a body turned by half a turn about the optical axis:
    # s (X + t) = -s (-X - t), and x and y of the body change their signs in that turn.
    sign = torch.where(last.camera.scale < 0, -1.0, 1.0)
    half_turn = torch.stack([sign, sign, torch.ones_like(sign)], 1)
    rotations = torch.cat([half_turn[:, None, :, None] * last.rotations[:, :1], last.rotations[:, 1:]], 1)
    return _Answers(
        rotations=rotations.cpu(),
        shape=last.shape.cpu(),
        scale=last.camera.scale.abs().clamp_min(SMALLEST_SCALE).cpu(),
        translation=(sign[:, None] * last.camera.translation).cpu(),
        keypoints_body=(half_turn[:, None] * last.keypoints_3d).cpu(),
        keypoints_crop=last.keypoints_2d.cpu(),
        confidences=confidences.cpu(),
    )


def _place(
    answers: _Answers, photo_from_crop: Float[Tensor, "crops 3 3"], camera: PerspectiveCamera
) -> Float[Tensor, "crops 3"]:
    """Metres in the photo's camera: where it sees the keypoints nearest to where the crop's camera does.

    Where that depth is far from the closed form (a body closer than its own length), the closed form stands.
    """
    weak = WeakPerspectiveCamera(answers.scale, answers.translation)
    simple = translation_camera_from_body(weak, photo_from_crop, camera)
    wanted = crops.apply(photo_from_crop, answers.keypoints_crop)
    best = translation_of_best_fit(answers.keypoints_body, wanted, camera)
    ratio = best[:, 2:] / simple[:, 2:]
    return torch.where((ratio > 1 / TRUSTED_DEPTH_RATIO) & (ratio < TRUSTED_DEPTH_RATIO), best, simple)


def _check_answers(answers: _Answers) -> None:
    """Refuse what no body can stand for; only broken weights answer so."""
    values = torch.cat([answers.rotations.flatten(1), answers.shape, answers.translation], 1)
    if not bool(values.isfinite().all() and answers.scale.isfinite().all()):
        raise BadInputError("Weights", "their answer is no body", "Use weights whose training went well.")


def _confirmed(candidates: list[_Candidate]) -> list[_Candidate]:
    """Who is sure enough: the clearest, and others that are surer than it need be."""
    clearest = max((one.certainty for one in candidates), default=0.0)
    least = min(FURTHER_SCORE, max(CONFIRMED_SCORE, clearest))
    return [one for one in candidates if one.certainty >= least]


def _box_area(person: Person) -> float:
    return float((person.box[2] - person.box[0]) * (person.box[3] - person.box[1]))
