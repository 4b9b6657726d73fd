"""Joints and keypoints of the free body as sparse averages of vertices that lie round them."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import nnls

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SKELETONS, SMPL_24, SMPL_PARENTS, Skeleton
from humanmesh.geometry.rotations import axis_angle_to_matrix

_SUM_WEIGHT = 30.0  # metres: how dearly a sum of weights other than one is paid in the fit


@dataclass(frozen=True)
class Keypoint:
    """A point of the body: where it lies in the T, and the joints that carry it along when the body moves."""

    place: np.ndarray
    """(adults, 3), metres, in the T."""
    carriers: tuple[str, ...]
    """SMPL joints whose frames carry it; with several, it is the mean of where each would put it."""


@dataclass(frozen=True)
class PosedBodies:
    """Bodies in random poses, to fit and to judge keypoints on."""

    vertices: np.ndarray
    """(bodies, vertices, 3), metres."""
    joints: np.ndarray
    """(bodies, 24, 3), metres."""
    rest_joints: np.ndarray
    """(bodies, 24, 3), metres, of the same bodies in the T."""
    frames: np.ndarray
    """(bodies, 24, 3, 3) rotation of each joint's frame since the T."""
    adults: np.ndarray
    """(bodies,) row of each body among the sampled adults."""

    def carried(self, keypoint: Keypoint) -> np.ndarray:
        """(bodies, 3) where the keypoint should be, metres."""
        places = []
        for joint in keypoint.carriers:
            row = SMPL_24.index[joint]
            offset = keypoint.place[self.adults] - self.rest_joints[:, row]
            places.append(self.joints[:, row] + np.einsum("bij,bj->bi", self.frames[:, row], offset))
        return np.mean(places, axis=0)


def random_poses(count: int, rng: np.random.Generator) -> torch.Tensor:
    """(count, 72) axis-angle, radians: every joint a little, the limbs through their natural range."""
    pose = rng.normal(0, 0.15, (count, 24, 3))
    pose[:, 0] = 0

    def swing(joint: str, axis: int, low: float, high: float) -> None:
        pose[:, SMPL_24.index[joint], axis] += rng.uniform(low, high, count)

    for side, sign in (("left", 1), ("right", -1)):
        swing(f"{side}_knee", 0, 0, 2.0)
        swing(f"{side}_hip", 0, -1.7, 0.4)
        swing(f"{side}_hip", 2, *sorted((-0.3 * sign, 0.7 * sign)))
        swing(f"{side}_elbow", 1, *sorted((-2.0 * sign, 0.0)))
        swing(f"{side}_shoulder", 2, *sorted((-1.3 * sign, 1.0 * sign)))
        swing(f"{side}_shoulder", 1, *sorted((-1.2 * sign, 0.4 * sign)))
        swing(f"{side}_ankle", 0, -0.4, 0.6)
    for joint in ("spine1", "spine2", "spine3", "neck", "head"):
        swing(joint, 0, -0.2, 0.4)
    return torch.from_numpy(pose.reshape(count, 72)).float()


def pose_bodies(
    data: BodyModelData, coefficients: np.ndarray, count: int, rng: np.random.Generator
) -> PosedBodies:
    """Adults, drawn with their shape, in random poses."""
    adults = rng.integers(0, len(coefficients), count)
    shape = torch.from_numpy(coefficients[adults]).float()
    pose = random_poses(count, rng)
    body = BodyModel(data)
    output = body(pose, shape)
    frames = [torch.eye(3).expand(count, 3, 3)]
    rotations = axis_angle_to_matrix(pose.unflatten(1, (24, 3)))
    for joint, parent in enumerate(SMPL_PARENTS[1:], start=1):
        frames.append(frames[parent] @ rotations[:, joint])
    return PosedBodies(
        output.vertices.double().numpy(),
        output.joints.double().numpy(),
        body.rest_joints(shape).double().numpy(),
        torch.stack(frames, 1).double().numpy(),
        adults,
    )


def fit_average(points: np.ndarray, targets: np.ndarray, candidates: np.ndarray, ridge: float) -> np.ndarray:
    """Positive weights of `candidates`, of sum one, whose average of `points` is nearest to `targets`.

    Args:
        points: (bodies, vertices, 3), metres.
        targets: (bodies, 3), metres.
        candidates: rows of the vertices that may take part.
        ridge: metres; larger spreads the weight over more vertices.
    """
    matrix, count = _centred_equations(points, targets, candidates), len(candidates)
    matrix = np.concatenate([matrix, ridge * np.eye(count), np.full((1, count), _SUM_WEIGHT)])
    wanted = np.zeros(len(matrix))
    wanted[-1] = _SUM_WEIGHT
    solution, _ = nnls(matrix, wanted, maxiter=50 * count)
    solution[solution < 1e-3 * solution.max()] = 0
    row = np.zeros(points.shape[1])
    row[candidates] = solution / solution.sum()
    return row


def refine_signed(
    row: np.ndarray, points: np.ndarray, targets: np.ndarray, candidates: np.ndarray, ridge: float
) -> np.ndarray:
    """`row` plus small weights of either sign, of sum zero, that bring its average nearer to `targets`."""
    matrix = _centred_equations(points, targets, np.arange(points.shape[1])[candidates])
    left = -_centred_equations(points, targets, np.flatnonzero(row)) @ row[row != 0]
    count = len(candidates)
    matrix = np.concatenate([matrix, ridge * np.eye(count), np.full((1, count), _SUM_WEIGHT)])
    change = np.linalg.lstsq(matrix, np.concatenate([left, np.zeros(count + 1)]), rcond=None)[0]
    out = row.copy()
    np.add.at(out, candidates, change)
    return out / out.sum()


def _centred_equations(points: np.ndarray, targets: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Relative to its target, every body says that the average is zero: (3 bodies, candidates)."""
    offsets = points[:, candidates] - targets[:, None]
    return offsets.transpose(0, 2, 1).reshape(-1, len(candidates)) / np.sqrt(len(points))


def ring(mean: np.ndarray, place: np.ndarray, moves: np.ndarray, each: int) -> np.ndarray:
    """Vertices on every side of a place: in each of the eight octants round it the `each` nearest that `moves` allows."""
    offset = mean - place
    octant = (offset > 0) @ [1, 2, 4]
    ranked = np.argsort(np.linalg.norm(offset, axis=1))
    ranked = ranked[moves[ranked]]
    return np.concatenate([ranked[octant[ranked] == one][:each] for one in range(8)])


def with_mirror_images(rows: dict[str, np.ndarray], mirror: np.ndarray) -> dict[str, np.ndarray]:
    """Left rows mirrored to the right, middle rows made their own mirror images."""
    out: dict[str, np.ndarray] = {}
    for name, row in rows.items():
        if "left_" in name:
            out[name] = row
            out[name.replace("left_", "right_")] = row[mirror]
        else:
            out[name] = (row + row[mirror]) / 2
    return out


def allowed_vertices(joints: tuple[str, ...], weights: np.ndarray, *, left: np.ndarray | None) -> np.ndarray:
    """(vertices,) whether a vertex follows one of the joints, or a joint next to one, by at least 0.3."""
    rows = {SMPL_24.index[joint] for joint in joints}
    near = (
        rows
        | {SMPL_PARENTS[row] for row in rows if row}
        | {child for child, parent in enumerate(SMPL_PARENTS) if parent in rows}
    )
    moves = weights[:, sorted(near)].sum(1) >= 0.3
    return moves if left is None else moves & left


def fit_keypoints(
    keypoints: dict[str, Keypoint], posed: PosedBodies, data: BodyModelData, mirror: np.ndarray
) -> dict[str, np.ndarray]:
    """(vertices,) weights of each keypoint, left ones fitted and mirrored."""
    mean, weights = data.template.numpy(), data.skinning_weights.numpy()
    left = mean[:, 0] > -1e-6
    rows = {}
    for name, keypoint in keypoints.items():
        moves = allowed_vertices(keypoint.carriers, weights, left=left if "left_" in name else None)
        candidates = ring(mean, keypoint.place.mean(0), moves, 20 if name in _ON_SURFACE else 30)
        if "left_" not in name:
            candidates = np.unique(np.concatenate([candidates, mirror[candidates]]))
        rows[name] = fit_average(posed.vertices, posed.carried(keypoint), candidates, ridge=0.004)
    return with_mirror_images(rows, mirror)


_ON_SURFACE = ("nose", "left_eye", "left_ear", "head_top")


def define_keypoints(
    joints: np.ndarray, coco: dict[str, np.ndarray], crown: np.ndarray
) -> dict[str, Keypoint]:
    """Every keypoint that some set needs, middle and left; docs/body.md gives the reasons.

    Args:
        joints: (adults, 24, 3), metres, in the T.
        coco: Anny's own COCO keypoints, name -> (adults, 3), metres, in the T.
        crown: (adults, 3), metres, the top of the head in the T.
    """
    at = {name: joints[:, row] for name, row in SMPL_24.index.items()}
    half_way = {part: (coco[f"left_{part}"] + at[f"left_{part}"]) / 2 for part in ("elbow", "wrist")}
    shoulder = at["left_shoulder"] + [0, _SHOULDER_ABOVE, 0]
    neck = at["neck"] - [0, _NECK_BELOW, 0]
    hip = at["left_hip"] + (coco["left_hip"] - at["left_hip"]) * [0.5, 0.25, 0.5]
    marker_hip = at["left_hip"] * [_WIDE_HIP, 1, 1] + [0, _MARKER_HIP_ABOVE, 0]
    out = {
        f"{joint}/joint": Keypoint(at[joint], (joint,)) for joint in SMPL_24.joints if "right_" not in joint
    }
    for part, carrier in (("nose", "head"), ("left_eye", "head"), ("left_ear", "head")):
        out[part] = Keypoint(coco[part], (carrier,))
    return out | {
        "left_shoulder": Keypoint(shoulder, ("left_collar",)),
        "left_elbow": Keypoint(half_way["elbow"], ("left_shoulder", "left_elbow")),
        "left_wrist": Keypoint(half_way["wrist"], ("left_elbow", "left_wrist")),
        "left_hip": Keypoint(hip, ("pelvis", "left_hip")),
        "left_hip/wide": Keypoint(at["left_hip"] * [_WIDE_HIP, 1, 1], ("pelvis", "left_hip")),
        "left_hip/marker": Keypoint(marker_hip, ("pelvis",)),
        "left_knee": Keypoint(coco["left_knee"], ("left_hip", "left_knee")),
        "left_ankle": Keypoint(coco["left_ankle"], ("left_knee", "left_ankle")),
        "neck": Keypoint(neck, ("spine3", "neck")),
        "neck/upper": Keypoint((at["neck"] + at["head"]) / 2, ("neck",)),
        "thorax": Keypoint(shoulder * [0, 1, 1], ("spine3",)),
        "spine": Keypoint((marker_hip * [0, 1, 1] + neck) / 2, ("spine2", "spine3")),
        "jaw": Keypoint(at["head"] + [0, -0.01, 0.045], ("head",)),
        "head_top": Keypoint(crown, ("head",)),
        "head_top/marker": Keypoint((crown + at["head"]) / 2 + [0, 0, 0.01], ("head",)),
        "head": Keypoint(at["head"], ("neck", "head")),
    }


_SHOULDER_ABOVE = 0.009
"""Metres: annotated shoulders stand a little above the joint."""
_NECK_BELOW = 0.01
"""Metres: annotated necks stand a little below the neck joint."""
_WIDE_HIP = 1.15
"""LSP's and the marker sets' hips stand further apart than the heads of Anny's thigh bones."""
_MARKER_HIP_ABOVE = 0.06
"""Metres: Human3.6M's and MPI-INF-3DHP's hips stand higher than the hip joint."""

_WIDE = {"left_hip": "left_hip/wide", "right_hip": "right_hip/wide"}
_MARKER = {"left_hip": "left_hip/marker", "right_hip": "right_hip/marker", "pelvis": "pelvis/marker"}
_ROW_OF: dict[str, dict[str, str]] = {
    "smpl24": {joint: f"{joint}/joint" for joint in SMPL_24.joints},
    "lsp14": _WIDE,
    "coco17": {},
    "cocoplus19": _WIDE,
    "mpii16": {**_WIDE, "pelvis": "pelvis/wide", "neck": "neck/upper"},
    "h36m17": {**_MARKER, "head_top": "head_top/marker"},
    "mpi_inf_3dhp17": _MARKER,
}
"""Where a set's keypoint is not the one of that name in `define_keypoints`."""


def keypoint_sets(rows: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Set name -> (keypoints, vertices)."""
    for kind in ("wide", "marker"):
        rows = {**rows, f"pelvis/{kind}": (rows[f"left_hip/{kind}"] + rows[f"right_hip/{kind}"]) / 2}

    def stacked(skeleton: Skeleton) -> np.ndarray:
        names = _ROW_OF[skeleton.name]
        return np.stack([rows[names.get(joint, joint)] for joint in skeleton.joints])

    return {name: stacked(skeleton) for name, skeleton in SKELETONS.items()}
