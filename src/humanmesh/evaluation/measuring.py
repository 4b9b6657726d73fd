"""What a protocol's tasks measure, one row a person; figures are made from the rows afterwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import Skeleton, skeleton_by_name
from humanmesh.errors import BadInputError
from humanmesh.evaluation import metrics
from humanmesh.evaluation.cases import Case, TruthBody
from humanmesh.evaluation.plausibility import LIMBS, pose_rows, swapped_limbs
from humanmesh.evaluation.predictors import Prediction, given_boxes, keypoint_boxes
from humanmesh.evaluation.protocols import Protocol, Task
from humanmesh.files.joint_limits import bundled_joint_limits
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.render.shading import silhouette, six_part_labels

Rows = dict[str, Tensor]
"""What was measured: name -> one row a person."""


@dataclass(frozen=True)
class TruthBodies:
    """Bodies that the truth's pose and shape belong to."""

    by_gender: dict[str, BodyModel]
    """"male", "female", and "" for people without a gender."""

    def vertices(self, bodies: Sequence[TruthBody]) -> Float[Tensor, "people vertices 3"]:
        """Posed vertices, each by the body of its gender.

        Raises:
            BadInputError: where there is no body of a gender.
        """
        posed = []
        for truth in bodies:
            model = self.model(truth.gender)
            pose, shape = _pose_of(truth)
            posed.append(model(pose[None], shape[None, : model.data.shape_directions.shape[2]]).vertices[0])
        return torch.stack(posed)

    def model(self, gender: str) -> BodyModel:
        """The body of a gender.

        Raises:
            BadInputError: where there is none.
        """
        if gender not in self.by_gender:
            found = f"{gender or 'neutral'} people, and no body for them"
            raise BadInputError("Truth", found, "Give --truth-bodies with SMPL's male and female files.")
        return self.by_gender[gender]


def _pose_of(truth: TruthBody) -> tuple[Float[Tensor, "24 3 3"], Float[Tensor, "shapes"]]:
    shape = torch.from_numpy(np.asarray(truth.shape)).float()
    if truth.rotations is not None:
        return torch.from_numpy(np.asarray(truth.rotations)).float(), shape
    return axis_angle_to_matrix(torch.from_numpy(np.asarray(truth.pose)).float().unflatten(0, (24, 3))), shape


@dataclass(frozen=True)
class _Batch:
    """Some people, their truth and their prediction."""

    cases: Sequence[Case]
    prediction: Prediction
    protocol: Protocol
    bodies: TruthBodies

    @property
    def skeleton(self) -> Skeleton:
        return self.cases[0].skeleton

    @cached_property
    def true_vertices(self) -> Float[Tensor, "people vertices 3"]:
        return self.bodies.vertices([_need(case.body, case, "pose and shape") for case in self.cases])

    def true_body_points(self) -> Float[Tensor, "people points 3"]:
        """The protocol's keypoint set of the true bodies."""
        rows = [
            self.bodies.model(_need(case.body, case, "pose and shape").gender).keypoints(
                vertices[None], self.protocol.keypoint_set
            )
            for case, vertices in zip(self.cases, self.true_vertices, strict=True)
        ]
        return torch.cat(rows)


def _need(value: Any, case: Case, what: str) -> Any:
    if value is None:
        remedy = "Take a protocol that does without, or data that has it."
        raise BadInputError(f"Record {case.record}", f"the data set gives no {what}", remedy)
    return value


def _measure_keypoints(batch: _Batch) -> Rows:
    protocol = batch.protocol
    truth, weights = _rows_2d(batch)
    set_rows = _rows_in(protocol.joints, protocol.keypoint_set)
    predicted = batch.prediction.points_2d(protocol.keypoint_set)[:, set_rows]
    unit = protocol.size_factor * _sizes(batch)
    errors = metrics.in_units_of(metrics.point_errors(predicted.cpu(), truth), unit)
    known = (weights > protocol.minimum_weight) & _has_size(batch)
    return {"keypoint_errors": errors, "keypoint_known": known}


def _rows_in(joints: Sequence[str], name: str) -> list[int]:
    skeleton = skeleton_by_name(name)
    return [skeleton.index[joint] for joint in joints]


def _rows_2d(batch: _Batch) -> tuple[Float[Tensor, "people joints 2"], Float[Tensor, "people joints"]]:
    """The truth in the protocol's order; joints that the data set lacks have weight 0."""
    joints, skeleton = batch.protocol.joints, batch.skeleton
    points = torch.zeros(len(batch.cases), len(joints), 2)
    weights = torch.zeros(len(batch.cases), len(joints))
    shared = [(row, skeleton.index[joint]) for row, joint in enumerate(joints) if joint in skeleton.index]
    for person, case in enumerate(batch.cases):
        for row, origin in shared:
            points[person, row] = torch.from_numpy(np.asarray(case.keypoints_2d[origin]))
            weights[person, row] = float(case.weights_2d[origin])
    return points, weights


def _sizes(batch: _Batch) -> Float64[Tensor, "people"]:
    if batch.protocol.size == "keypoints box":
        return metrics.box_side(keypoint_boxes(batch.cases, batch.protocol))
    if batch.protocol.size == "data set's box":
        return metrics.box_side(given_boxes(batch.cases))
    first, second = _SPANS[batch.protocol.size]
    points = torch.from_numpy(np.stack([case.keypoints_2d for case in batch.cases]))
    return metrics.span(points, batch.skeleton.index[first], batch.skeleton.index[second])


_SPANS = {"torso": ("left_shoulder", "right_hip"), "head": ("neck", "head_top")}


def _has_size(batch: _Batch) -> Bool[Tensor, "people 1"]:
    """Whether the joints that a size is taken from are known; without them the person has no unit."""
    if batch.protocol.size not in _SPANS:
        return torch.ones(len(batch.cases), 1, dtype=torch.bool)
    rows = [batch.skeleton.index[joint] for joint in _SPANS[batch.protocol.size]]
    return torch.tensor([[bool((case.weights_2d[rows] > 0).all())] for case in batch.cases])


def _hidden_share(cases: Sequence[Case]) -> Float[Tensor, "people"]:
    """Share of the data set's joints that are not annotated: covered, cut off or forgotten."""
    return torch.tensor([float((case.weights_2d <= 0).mean()) for case in cases])


_NEAREST = 0.3
"""Metres; whose truth lies nearer, or behind the camera, stands about its own root and not before the camera."""


def _distances(cases: Sequence[Case]) -> Float[Tensor, "people"]:
    """Mean depth of the known joints, metres; NaN where the truth does not tell."""
    depths = []
    for case in cases:
        truth = case.truth_3d
        known = None if truth is None else truth.points[truth.weights > 0, 2]
        depth = float("nan") if known is None or not len(known) else float(known.mean())
        depths.append(depth if depth > _NEAREST else float("nan"))
    return torch.tensor(depths)


def _measure_pose(batch: _Batch) -> Rows:
    predicted, truth, weights = _joints_3d(batch)
    errors = metrics.point_errors(predicted, truth)
    aligned = metrics.point_errors(metrics.aligned(predicted, truth, weights), truth)
    return {"joint_errors": errors, "aligned_joint_errors": aligned, "joint_known": weights > 0}


def _joints_3d(
    batch: _Batch,
) -> tuple[
    Float64[Tensor, "people joints 3"], Float64[Tensor, "people joints 3"], Float[Tensor, "people joints"]
]:
    """Prediction and truth, each about its own root, and the weights of the truth."""
    protocol = batch.protocol
    truth, weights, skeleton = _true_joints(batch)
    guess_rows = _rows_in(protocol.joints, protocol.keypoint_set)
    guess_root = _rows_in(protocol.root, protocol.keypoint_set)
    guess = batch.prediction.points_3d(protocol.keypoint_set).cpu()
    rows = [skeleton[protocol.truth_name(joint)] for joint in protocol.joints]
    if protocol.root:
        guess = metrics.about(guess, guess_root)
        truth = metrics.about(truth, [skeleton[protocol.truth_name(joint)] for joint in protocol.root])
    return guess.double()[:, guess_rows], truth.double()[:, rows], weights[:, rows]


def _true_joints(
    batch: _Batch,
) -> tuple[Float[Tensor, "people joints 3"], Float[Tensor, "people joints"], dict[str, int]]:
    """True joints, their weights, and which row is which joint."""
    if batch.protocol.truth_joints == "of the body":
        points = batch.true_body_points().cpu()
        return points, torch.ones(points.shape[:2]), skeleton_by_name(batch.protocol.keypoint_set).index
    truths = [_need(case.truth_3d, case, "3D joints") for case in batch.cases]
    points = torch.from_numpy(np.stack([truth.points for truth in truths]))
    weights = torch.from_numpy(np.stack([truth.weights for truth in truths])).float()
    return points, weights, batch.skeleton.index


def _measure_mesh(batch: _Batch) -> Rows:
    _check_same_mesh(batch)
    truth, guess = batch.true_vertices.cpu(), batch.prediction.vertices.cpu()
    root = _rows_in(batch.protocol.root, batch.protocol.keypoint_set)
    true_root = batch.true_body_points().cpu()[:, root].mean(1, keepdim=True)
    guess_root = batch.prediction.points_3d(batch.protocol.keypoint_set).cpu()[:, root].mean(1, keepdim=True)
    rows = {"vertex_error": metrics.point_errors(guess - guess_root, truth - true_root).mean(1)}
    pose = batch.prediction.pose
    if pose is not None and pose.shape is not None and pose.body is not None:
        rest = pose.body.to(device="cpu").rest_vertices(pose.shape.cpu().float())
        truth = torch.cat([_true_rest_vertices(batch, case) for case in batch.cases]).cpu()
        alike = metrics.same_size_and_place(rest, truth)
        rows["rest_vertex_error"] = metrics.point_errors(alike, truth).mean(1)
    return rows


def _true_rest_vertices(batch: _Batch, case: Case) -> Float[Tensor, "1 vertices 3"]:
    truth = _need(case.body, case, "pose and shape")
    body = batch.bodies.model(truth.gender).data
    shape = torch.from_numpy(np.asarray(truth.shape)).float()[None, : body.shape_directions.shape[2]]
    return body.rest_vertices(shape.to(body.template))


def _check_same_mesh(batch: _Batch) -> None:
    """Refuse to compare vertices of unlike meshes: the bundled body and SMPL have equally many."""
    true_body = batch.bodies.model(_need(batch.cases[0].body, batch.cases[0], "pose and shape").gender).data
    faces = batch.prediction.faces
    same = len(true_body.template) == batch.prediction.vertices.shape[1]
    if not same or (faces is not None and not torch.equal(faces.cpu(), true_body.faces.cpu())):
        found = f"another mesh than the truth's, which is {true_body.name}"
        raise BadInputError("Predicted mesh", found, "Use the same body for both.")


def _measure_silhouette(batch: _Batch) -> Rows:
    counts = []
    for row, case in enumerate(batch.cases):
        mask = torch.from_numpy(np.asarray(_need(case.load_mask, case, "mask")()))
        drawn = silhouette(batch.prediction.draw(row, *mask.shape))[0].cpu()
        counts.append(_flat(metrics.confusion(drawn, mask, 2)))
    return {"mask_counts": torch.stack(counts), "is_drawn": _is_drawn(batch)}


def _measure_parts(batch: _Batch) -> Rows:
    counts = []
    for row, case in enumerate(batch.cases):
        labels = torch.from_numpy(np.array(_need(case.load_parts, case, "part labels")())).long()
        fragments = batch.prediction.draw(row, *labels.shape)
        drawn = six_part_labels(fragments, batch.prediction.face_parts.to(fragments.face_index.device))[
            0
        ].cpu()
        counts.append(_flat(metrics.confusion(drawn, labels, 7)))
    return {"part_counts": torch.stack(counts), "is_drawn": _is_drawn(batch)}


def _is_drawn(batch: _Batch) -> Bool[Tensor, "people"]:
    """Whether there is a whole body to draw."""
    return batch.prediction.vertices.isfinite().all((1, 2)).cpu()


def _flat(counted: metrics.Confusion) -> Float64[Tensor, "counts"]:
    tail = torch.tensor([counted.ignored, counted.ignored_background])
    return torch.cat([counted.counts.flatten(), tail]).double()


_MEASURES: dict[Task, Callable[[_Batch], Rows]] = {
    "keypoints": _measure_keypoints,
    "pose": _measure_pose,
    "volume": _measure_pose,
    "mesh": _measure_mesh,
    "silhouette": _measure_silhouette,
    "parts": _measure_parts,
}


@torch.no_grad()
def measure(cases: Sequence[Case], prediction: Prediction, protocol: Protocol, bodies: TruthBodies) -> Rows:
    """What the protocol's tasks measure of some people, one row each."""
    batch = _Batch(cases, prediction, protocol, bodies)
    rows: Rows = {
        "score": prediction.scores.detach().cpu(),
        "hidden": _hidden_share(cases),
        "size": metrics.box_side(keypoint_boxes(cases, protocol)),
        "distance": _distances(cases),
    }
    for function in dict.fromkeys(_MEASURES[task] for task in protocol.tasks):
        rows |= function(batch)
    return rows | _measure_plausibility(batch)


def _measure_plausibility(batch: _Batch) -> Rows:
    rows: Rows = {"swapped": _swapped(batch)}
    if batch.prediction.pose is not None:
        rows |= pose_rows(batch.prediction.pose, bundled_joint_limits())
    return rows


def _swapped(batch: _Batch) -> Float[Tensor, "people"]:
    """`swapped_limbs` by the protocol's keypoint set; NaN for systems that say nothing in 2D."""
    names = [joint for pairs in LIMBS.values() for pair in pairs for joint in pair]
    whole = replace(batch, protocol=replace(batch.protocol, joints=tuple(names)))
    try:
        predicted = batch.prediction.points_2d(batch.protocol.keypoint_set)
    except BadInputError:
        return torch.full((len(batch.cases),), torch.nan)
    predicted = predicted[:, _rows_in(names, batch.protocol.keypoint_set)].cpu()
    truth, weights = _rows_2d(whole)
    known = (weights > batch.protocol.minimum_weight).float()
    return swapped_limbs(
        predicted, truth, known, metrics.box_side(keypoint_boxes(batch.cases, batch.protocol)), names
    )
