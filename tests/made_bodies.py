"""Bodies with SMPL's structure and random numbers, and files of them as SMPL is handed out."""

import pickle
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import scipy.sparse
import torch

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24, SMPL_PARENTS


def smpl_fields(vertices: int, seed: int = 0, shapes: int = 10) -> dict:
    """The fields of an SMPL file: random, of a body's size, with four joints to a vertex and a sparse regressor."""
    rng = np.random.default_rng(seed)
    weights = rng.random((vertices, 24))
    np.put_along_axis(weights, np.argsort(weights, 1)[:, :-4], 0.0, 1)
    regressor = np.zeros((24, vertices))
    for row in regressor:
        row[rng.choice(vertices, 8, replace=False)] = rng.dirichlet(np.ones(8))
    return {
        "v_template": rng.normal(0, 0.4, (vertices, 3)),
        "shapedirs": rng.normal(0, 0.02, (vertices, 3, shapes)),
        "posedirs": rng.normal(0, 0.005, (vertices, 3, 207)),
        "J_regressor": scipy.sparse.csc_matrix(regressor),
        "weights": weights / weights.sum(1, keepdims=True),
        "kintree_table": np.array([SMPL_PARENTS, range(24)]).astype(
            np.uint32
        ),  # the root's parent is 2^32 - 1
        "f": rng.integers(0, vertices, (2 * vertices, 3)).astype(np.uint32),
        "J": rng.normal(size=(24, 3)),
        "bs_style": "lbs",
        "bs_type": "lrotmin",
    }


def write_smpl_pickle(fields: dict, path: Path, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(fields, protocol))
    return path


def made_body(vertices: int = 200, *, correctives: bool = True, seed: int = 0) -> BodyModelData:
    """The same kind of body as values, with one keypoint set; float64."""
    fields = {
        name: torch.from_numpy(np.asarray(value))
        for name, value in _dense(smpl_fields(vertices, seed)).items()
    }
    rng = torch.Generator().manual_seed(seed)
    keypoints = torch.rand(len(COCOPLUS_19), vertices, generator=rng, dtype=torch.float64)
    keypoints = keypoints * (keypoints > 0.9)
    return BodyModelData(
        name="made",
        template=fields["v_template"],
        shape_directions=fields["shapedirs"],
        pose_directions=fields["posedirs"] if correctives else None,
        joint_regressor=fields["J_regressor"],
        skinning_weights=fields["weights"],
        parents=SMPL_PARENTS,
        faces=fields["f"],
        keypoint_regressors={"cocoplus19": keypoints / keypoints.sum(1, keepdim=True)},
        face_parts=torch.randint(len(SMPL_24), (2 * vertices,), generator=rng),
    )


def small_body(seed: int = 0, vertices: int = 40) -> BodyModelData:
    """A body of a few vertices, random, of the size of a person, with the keypoints of the heat maps; float32."""
    chance = torch.Generator().manual_seed(seed)
    weights = torch.rand(vertices, 24, generator=chance)
    joint_regressor = torch.rand(24, vertices, generator=chance)
    keypoint_regressor = torch.zeros(len(COCOPLUS_19), vertices)
    keypoint_regressor[torch.arange(len(COCOPLUS_19)), torch.arange(len(COCOPLUS_19)) * 2] = 1
    return BodyModelData(
        name="made",
        template=torch.randn(vertices, 3, generator=chance) * 0.4,
        shape_directions=torch.randn(vertices, 3, 10, generator=chance) * 0.02,
        pose_directions=None,
        joint_regressor=joint_regressor / joint_regressor.sum(1, keepdim=True),
        skinning_weights=weights / weights.sum(1, keepdim=True),
        parents=SMPL_PARENTS,
        faces=torch.randint(0, vertices, (30, 3), generator=chance),
        keypoint_regressors={"cocoplus19": keypoint_regressor},
    )


def at_most_four(data: BodyModelData) -> BodyModelData:
    """The body with the joints that GLB can hold for each vertex."""
    shares, joints = data.skinning_weights.topk(4, 1)
    weights = torch.zeros_like(data.skinning_weights)
    return replace(data, skinning_weights=weights.scatter_(1, joints, shares / shares.sum(1, keepdim=True)))


def made_pose(
    batch: int, seed: int = 1, dtype: torch.dtype = torch.float64
) -> tuple[torch.Tensor, torch.Tensor]:
    """Axis-angle (batch, 72) in radians, up to about a right angle, and shape (batch, 10)."""
    rng = torch.Generator().manual_seed(seed)
    pose = 0.6 * torch.randn(batch, 72, generator=rng, dtype=torch.float64)
    return pose.to(dtype), torch.randn(batch, 10, generator=rng, dtype=torch.float64).to(dtype)


def _dense(fields: dict) -> dict:
    arrays = {name: value for name, value in fields.items() if not isinstance(value, str)}
    return {**arrays, "J_regressor": fields["J_regressor"].toarray(), "f": fields["f"].astype(np.int64)}


@contextmanager
def pretend_chumpy() -> Generator[tuple[type, type], None, None]:
    """chumpy's classes Ch and Select as a pickle sees them, while chumpy itself is not installed."""
    names = ("chumpy", "chumpy.ch", "chumpy.reordering")
    modules = {name: ModuleType(name) for name in names}
    array = type("Ch", (), {"__module__": "chumpy.ch"})
    select = type("Select", (), {"__module__": "chumpy.reordering"})
    modules["chumpy.ch"].Ch = array  # type: ignore[attr-defined]
    modules["chumpy.reordering"].Select = select  # type: ignore[attr-defined]
    sys.modules.update(modules)
    try:
        yield array, select
    finally:
        for name in names:
            del sys.modules[name]
