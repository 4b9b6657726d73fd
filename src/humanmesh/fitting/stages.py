"""Where a fit starts and how it goes on: rough, wide and stiff first; fine and loose at the end."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24, SMPL_PARENTS
from humanmesh.fitting.energy import (
    BodyState,
    DataWeights,
    FittingBody,
    FittingEnergy,
    Keypoints,
    Keypoints2D,
    Keypoints3D,
    Weights,
)
from humanmesh.fitting.solver import joined, minimise, taken
from humanmesh.geometry.alignment import rigid_between
from humanmesh.geometry.rotations import axis_angle_to_matrix, matrix_to_axis_angle, shortest_turn

VIEWS = 4
"""Directions from which the mean pose is tried, evenly round the upright axis."""


@dataclass(frozen=True)
class Stage:
    """Some steps under the same weights."""

    weights: Weights
    steps: int
    kept: int
    """Candidates of a person that go on after it."""


RIGID = Stage(Weights(DataWeights(0.1, 1.0), moves_pose=False), 8, 100)
ROUGH = Stage(Weights(DataWeights(0.05, 0.5)), 12, 4)
MIDDLE = Stage(Weights(DataWeights(0.02, 0.5)), 12, 1)
FINE_STEPS = 30
FLIPS = 2
"""Times that every limb of the best candidate is tried with its bones mirrored in depth."""

STAGES_3D = (
    Stage(Weights(DataWeights(0.1, 1.0), moves_pose=False), 8, 100),
    Stage(Weights(DataWeights(0.05, 0.5)), 12, 2),
    Stage(Weights(DataWeights(0.01, 0.2)), 12, 1),
    Stage(Weights(DataWeights(0.003, 0.2)), 12, 1),
)
"""Deviations are metres here."""


@dataclass(frozen=True)
class Candidates:
    """Bodies of several people, several of each."""

    state: BodyState
    people: Int64[Tensor, "candidates"]
    """Row of each candidate's person; sorted."""
    energy: Float[Tensor, "candidates"]


def run_stage(candidates: Candidates, body: FittingBody, keypoints: Keypoints, stage: Stage) -> Candidates:
    """Minimise every candidate, and keep the best of each person."""
    energy = FittingEnergy(body, taken(keypoints, candidates.people), stage.weights)
    solution = minimise(energy, candidates.state, stage.steps)
    return best_of(replace(candidates, state=solution.state, energy=solution.energies[-1]), stage.kept)


def best_of(candidates: Candidates, kept: int) -> Candidates:
    """The candidates of each person with the least energies."""
    order = candidates.energy.argsort(stable=True)
    order = order[candidates.people[order].argsort(stable=True)]
    people = candidates.people[order]
    first = torch.searchsorted(people, people)
    rank = torch.arange(len(people), device=people.device) - first
    return taken(candidates, order[rank < kept])


def from_views(keypoints: Keypoints2D, body: FittingBody, poses: Float[Tensor, "poses 69"]) -> Candidates:
    """Upright bodies in some poses, seen from `VIEWS` sides, where the keypoints say that they stand."""
    people, device = len(keypoints.positions), poses.device
    turns = torch.arange(VIEWS, device=device) * (2 * math.pi / VIEWS)
    about_y = torch.nn.functional.one_hot(torch.tensor(1, device=device), 3).to(poses) * turns[:, None].to(
        poses
    )
    half_turn = torch.tensor([math.pi, 0.0, 0.0]).to(poses)
    views = axis_angle_to_matrix(half_turn) @ axis_angle_to_matrix(about_y)
    count = VIEWS * len(poses)
    shapes = body.keypoints.joint_directions.shape[0]
    start = BodyState(
        views.repeat(len(poses), 1, 1).repeat(people, 1, 1),
        poses.repeat_interleave(VIEWS, 0).repeat(people, 1),
        poses.new_zeros(people * count, shapes),
        poses.new_zeros(people * count, 3),
    )
    row = torch.arange(people, device=device).repeat_interleave(count)
    known = taken(keypoints, row)
    points = body.keypoints(start.rotations, start.shape)[1][:, : known.positions.shape[1]]
    state = replace(start, translation=guessed_translation(points, known, body.torso))
    return Candidates(state, row, poses.new_zeros(len(row)))


def guessed_translation(
    points: Float[Tensor, "batch keypoints 3"], keypoints: Keypoints2D, torso: Sequence[tuple[int, int]]
) -> Float[Tensor, "batch 3"]:
    """Metres: as far away as the torso's length in the photo says, the middle of the keypoints over theirs."""
    camera = keypoints.camera
    slopes = (keypoints.positions - camera.principal_point[:, None]) / camera.focal_xy[:, None]
    known = (keypoints.confidences > 0).to(points)
    share = (known / known.sum(1, keepdim=True))[..., None]
    middle, middle_seen = (share * points).sum(1), (share * slopes).sum(1)
    spread = (share * (points - middle[:, None]).square()).sum((1, 2))
    spread_seen = (share * (slopes - middle_seen[:, None]).square()).sum((1, 2))
    if torso:
        first, second = torch.tensor(torso, device=points.device).T
        whole = known[:, first] * known[:, second]
        length = (whole * (points[:, first] - points[:, second]).square().sum(2)).sum(1)
        length_seen = (whole * (slopes[:, first] - slopes[:, second]).square().sum(2)).sum(1)
        spread = torch.where(length_seen > 0, length, spread)
        spread_seen = torch.where(length_seen > 0, length_seen, spread_seen)
    depth = (spread / spread_seen).sqrt()
    return torch.cat([middle_seen * depth[:, None], depth[:, None]], 1) - middle


_LIMBS = (("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"))


def flipped(candidates: Candidates, body: FittingBody) -> Candidates:
    """For every candidate and limb three more, with its upper bone, its lower bone or both mirrored in depth.

    A bone that points towards the camera and one that points as far away from it look nearly alike: these are the
    other answers that one view leaves open.
    """
    found = [candidates]
    for joints in _LIMBS:
        for side in ("left", "right"):
            limb = [SMPL_24.index[f"{side}_{joint}"] for joint in joints]
            found += [
                replace(candidates, state=mirrored_bones(candidates.state, body, limb, which))
                for which in ((True, False), (False, True), (True, True))
            ]
    merged = joined(found)
    return taken(merged, merged.people.argsort(stable=True))


def mirrored_bones(
    state: BodyState, body: FittingBody, limb: Sequence[int], which: tuple[bool, bool]
) -> BodyState:
    """Some bones of a limb of three joints turned so that they are mirrored in the plane square to the line of sight."""
    rotations = state.rotations
    world, joints = body.keypoints.tree(rotations, body.keypoints.rest_joints(state.shape))
    seen_from_camera = joints + state.translation[:, None]
    turned = list(rotations.unbind(1))
    above = world[:, SMPL_PARENTS[limb[0]]]
    for joint, child, is_mirrored in zip(limb[:2], limb[1:], which, strict=True):
        wanted = world[:, joint]
        if is_mirrored:
            bone = joints[:, child] - joints[:, joint]
            sight = torch.nn.functional.normalize(seen_from_camera[:, joint], dim=1)
            along = (bone * sight).sum(1, keepdim=True)
            wanted = shortest_turn(bone, bone - 2 * along * sight) @ wanted
        turned[joint] = above.transpose(1, 2) @ wanted
        above = wanted
    pose = matrix_to_axis_angle(torch.stack(turned[1:], 1)).flatten(1)
    return replace(state, pose=pose)


def from_points(keypoints: Keypoints3D, body: FittingBody) -> Candidates:
    """The mean pose of each component of the prior, turned to lie nearest to points in space."""
    people, poses = len(keypoints.positions), body.pose_prior.means
    count = len(poses)
    row = torch.arange(people, device=poses.device).repeat_interleave(count)
    known = taken(keypoints, row)
    shapes = body.keypoints.joint_directions.shape[0]
    upright = torch.eye(3).to(poses).expand(people * count, 3, 3)
    no_shape, nowhere = poses.new_zeros(people * count, shapes), poses.new_zeros(people * count, 3)
    state = BodyState(upright, poses.repeat(people, 1), no_shape, nowhere)
    joints, points = body.keypoints(state.rotations, state.shape)
    motion = rigid_between(points[:, : known.positions.shape[1]], known.positions, known.confidences)
    # The root turns about the pelvis, a rigid motion about the origin.
    pelvis = joints[:, 0]
    moved = motion.translation + (motion.rotation @ pelvis[..., None]).squeeze(-1) - pelvis
    state = replace(state, root=motion.rotation, translation=moved)
    return Candidates(state, row, poses.new_zeros(len(row)))
