"""The methods of the paper's tables, each as a `Method` of a comparison."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.priors import PosePrior
from humanmesh.errors import BadInputError
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.comparison import JOINT_TASKS, KnownSurface, Method
from humanmesh.evaluation.prediction_files import PredictionFile
from humanmesh.evaluation.predictions import FilePrediction
from humanmesh.evaluation.predictors import NetworkPrediction, NetworkPredictor
from humanmesh.evaluation.protocols import Protocol
from humanmesh.fitting.energy import BodyState, FittingBody, Keypoints2D, fitting_body
from humanmesh.fitting.forest import Forest, camera_of_best_fit
from humanmesh.fitting.lifting import JOINTS, Lifter
from humanmesh.fitting.projected_people import FEWEST_POINTS
from humanmesh.fitting.silhouette import Silhouette, silhouette_of, surface_body
from humanmesh.fitting.smplify import fit, fit_from, fit_outline, seen_keypoints
from humanmesh.fitting.solver import joined, taken
from humanmesh.fitting.surface_points import SURFACE_91, surface_vertices, with_surface_points
from humanmesh.geometry.cameras import (
    PerspectiveCamera,
    WeakPerspectiveCamera,
    default_focal_length,
    translation_camera_from_body,
)
from humanmesh.geometry.rotations import matrix_to_axis_angle

_FAR = 20_000.0
"""Focal length in pixels of a camera that is nearly parallel, as a weak-perspective one is."""


@dataclass(frozen=True)
class Sighting:
    """2D points of people, photo pixels."""

    points: Float[Tensor, "people points 2"]
    """0 where the weight is 0."""
    weights: Float[Tensor, "people points"]
    """Confidence; 0 where a point is not known."""

    @property
    def able(self) -> Int64[Tensor, "able"]:
        """Rows of people of whom so much is known that a method can say something."""
        return ((self.weights > 0).sum(1) >= FEWEST_POINTS).nonzero().squeeze(1)


def hmr(network: NetworkPredictor) -> Method:
    """The network of this project, on the crop that the protocol shows."""
    return Method("HMR", ("photo",), network.predict)


def hmr_refined(network: NetworkPredictor, prior: PosePrior) -> Method:
    """The network's body, then fitted to the true 2D joints."""
    body_for = _fitting_bodies(network.body.data, prior)

    @torch.no_grad()
    def run(cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        lens = lens_of(cases)
        sighting = known_joints(cases, cases[0].skeleton.joints)
        start = start_of(network.predict(cases, protocol), lens)

        def solve(body: FittingBody, seen: Keypoints2D, rows: Int64[Tensor, "able"]) -> BodyState:
            return fit_from(body, seen, taken(start, rows)).state

        return _fitted(network.body, body_for(cases[0].skeleton.name), sighting, lens, solve)

    return Method("HMR, refined by fitting", ("photo", "2D joints"), run)


def start_of(prediction: NetworkPrediction, lens: PerspectiveCamera) -> BodyState:
    """The network's bodies before the photos' cameras, where the crops' cameras see them."""
    last = prediction.output.last
    weak = WeakPerspectiveCamera(last.camera.scale.cpu(), last.camera.translation.cpu())
    rotations = last.rotations.cpu()
    pose = matrix_to_axis_angle(rotations[:, 1:]).flatten(1)
    translation = translation_camera_from_body(weak, prediction.photo_from_crop.cpu(), lens)
    return BodyState(rotations[:, 0], pose, last.shape.cpu(), translation)


def smplify(body: BodyModel, prior: PosePrior) -> Method:
    """SMPLify from the true 2D joints, all that the data set has."""
    body_for = _fitting_bodies(body.data, prior)

    @torch.no_grad()
    def run(cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        sighting = known_joints(cases, cases[0].skeleton.joints)
        return _fitted(body, body_for(cases[0].skeleton.name), sighting, lens_of(cases), _from_mean)

    return Method("SMPLify", ("2D joints",), run)


def smplify_oracle(body: BodyModel, prior: PosePrior) -> Method:
    """SMPLify from the true 2D joints, then on to the true silhouette as well."""
    body_for = _fitting_bodies(body.data, prior)
    skin = surface_body(body.data)

    @torch.no_grad()
    def run(cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        def solve(points: FittingBody, seen: Keypoints2D, rows: Int64[Tensor, "able"]) -> BodyState:
            state = fit(points, seen).state
            outlined, outlines = _outlines([cases[row] for row in rows.tolist()])
            if outlines is None:
                return state
            some = taken(seen, outlined)
            better = fit_outline(points, some, taken(state, outlined), outlines, skin).state
            return _replaced(state, outlined, better)

        sighting = known_joints(cases, cases[0].skeleton.joints)
        return _fitted(body, body_for(cases[0].skeleton.name), sighting, lens_of(cases), solve)

    return Method("SMPLify oracle", ("2D joints", "mask"), run)


def _outlines(cases: Sequence[Case]) -> tuple[Int64[Tensor, "outlined"], Silhouette | None]:
    """Rows of people whose masks are large enough, and these; None where nobody's is."""
    found = {}
    for row, case in enumerate(cases):
        if case.load_mask is not None:
            with suppress(BadInputError):
                found[row] = silhouette_of(case.load_mask(), case.record)
    return torch.tensor(list(found), dtype=torch.int64), joined(list(found.values())) if found else None


def _replaced(state: BodyState, rows: Int64[Tensor, "some"], by: BodyState) -> BodyState:
    pairs = {name: (value, getattr(by, name)) for name, value in vars(state).items()}
    return BodyState(**{name: value.index_copy(0, rows, other) for name, (value, other) in pairs.items()})


def smplify_from_surface(body: BodyModel, prior: PosePrior, surface: KnownSurface) -> Method:
    """SMPLify from the true 91 surface points."""
    points = fitting_body(with_surface_points(body.data), SURFACE_91.name, prior)

    @torch.no_grad()
    def run(cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        return _fitted(body, points, Sighting(*surface.of(cases)), lens_of(cases), _from_mean)

    return Method("SMPLify from 91 points", ("91 points",), run)


def forest(trees: Forest, body: BodyModel, surface: KnownSurface) -> Method:
    """The regression forest from the true surface points; its rendering is the "Decision Forests" of the LSP table."""
    rows = surface_vertices(body.data)

    @torch.no_grad()
    def run(cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        sighting = Sighting(*surface.of(cases))
        some = taken(sighting, sighting.able)
        answer = trees.predict(some.points, some.weights)
        points = body(answer.rotations, answer.shape).vertices[:, rows]
        weak = camera_of_best_fit(points, some.points, some.weights)
        people = len(some.points)
        lens = PerspectiveCamera(torch.full((people,), _FAR), torch.zeros(people, 2))
        translation = translation_camera_from_body(weak, torch.eye(3).expand(people, 3, 3), lens)
        bodies = _bodies(answer.rotations, answer.shape, translation, lens)
        return _prediction(body, bodies, sighting)

    return Method("Regression Forest from 91 points", ("91 points",), run)


def lifting(lifter: Lifter) -> Method:
    """Martinez et al.'s network from the true 2D joints of LSP; no mesh."""

    @torch.no_grad()
    def run(cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        sighting = known_joints(cases, JOINTS.joints)
        some = taken(sighting, sighting.able)
        joints = lifter(some.points, some.weights)
        return _prediction(None, PredictionFile(joints_3d=joints.numpy(), skeleton=JOINTS), sighting)

    return Method("Lifting (Martinez et al.)", ("2D joints",), run, JOINT_TASKS)


def known_joints(cases: Sequence[Case], joints: Sequence[str]) -> Sighting:
    """Joints by name as they are known of people; weight 0 where a data set lacks one."""
    points = np.zeros((len(cases), len(joints), 2), np.float32)
    weights = np.zeros((len(cases), len(joints)), np.float32)
    for row, case in enumerate(cases):
        for number, joint in enumerate(joints):
            origin = case.skeleton.index.get(joint)
            if origin is not None and case.weights_2d[origin] > 0:
                points[row, number] = case.keypoints_2d[origin]
                weights[row, number] = case.weights_2d[origin]
    return Sighting(torch.from_numpy(points), torch.from_numpy(weights))


def lens_of(cases: Sequence[Case]) -> PerspectiveCamera:
    """The camera that each photo is taken to have: focal length the diagonal, the axis through its middle."""
    sizes = [case.load_pixels().shape[:0:-1] for case in cases]  # width, height
    focal = torch.tensor([default_focal_length(*size) for size in sizes])
    return PerspectiveCamera(focal, torch.tensor(sizes) / 2)


def _fitting_bodies(data: BodyModelData, prior: PosePrior) -> Callable[[str], FittingBody]:
    """The body ready to be fitted to a keypoint set by name, each made once."""
    return cache(lambda keypoint_set: fitting_body(data, keypoint_set, prior))


_Solve = Callable[[FittingBody, Keypoints2D, Int64[Tensor, "able"]], BodyState]
"""From what is seen of the people who can be fitted, and their rows among all, to their bodies."""


def _from_mean(body: FittingBody, seen: Keypoints2D, rows: Int64[Tensor, "able"]) -> BodyState:
    return fit(body, seen).state


def _fitted(
    body: BodyModel, points: FittingBody, sighting: Sighting, lens: PerspectiveCamera, solve: _Solve
) -> FilePrediction:
    rows = sighting.able
    some, lens = taken(sighting, rows), taken(lens, rows)
    state = solve(points, seen_keypoints(some.points, some.weights, lens), rows)
    bodies = _bodies(state.rotations, state.shape, state.translation, lens)
    return _prediction(body, bodies, sighting)


def _bodies(
    rotations: Float[Tensor, "people 24 3 3"],
    shape: Float[Tensor, "people shapes"],
    translation: Float[Tensor, "people 3"],
    lens: PerspectiveCamera,
) -> PredictionFile:
    return PredictionFile(
        rotations=rotations.numpy(),
        shape=shape.numpy(),
        translation=translation.numpy(),
        focal_length=lens.focal_length.numpy(),
        principal_point=lens.principal_point.numpy(),
    )


def _prediction(body: BodyModel | None, answers: PredictionFile, sighting: Sighting) -> FilePrediction:
    """Answers for those who can be answered, in their order, and none for the others."""
    row_of = {person: row for row, person in enumerate(sighting.able.tolist())}
    return FilePrediction(answers, body, tuple(row_of.get(person) for person in range(len(sighting.points))))
