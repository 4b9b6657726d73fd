"""SMPL's own files: .pkl of every version, .npz, and the regressors that come beside them."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import COCOPLUS_19, H36M_17, SMPL_24, SMPL_PARENTS
from humanmesh.body.smpl_keypoints import EXTRA_JOINTS, SMPL_VERTEX_COUNT, smpl_keypoint_regressors
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.folders import readable
from humanmesh.files.pickles import PickledRecord, read_pickle

SMPL_FILE_NAMES = (
    "SMPL_NEUTRAL", "basicModel_neutral_lbs_10_207_0_v1.0.0", "basicmodel_neutral_lbs_10_207_0_v1.1.0",
    "neutral_smpl_with_cocoplus_reg", "SMPL_MALE", "basicmodel_m_lbs_10_207_0_v1.0.0",
    "basicmodel_m_lbs_10_207_0_v1.1.0", "SMPL_FEMALE", "basicModel_f_lbs_10_207_0_v1.0.0",
    "basicmodel_f_lbs_10_207_0_v1.1.0",
)  # fmt: skip
"""Names under which SMPL is handed out, in the order in which a folder is searched; upper or lower case."""

REGRESSOR_FILES = {
    COCOPLUS_19.name: (("cocoplus_regressor.npy", "J_regressor_cocoplus.npy"), len(COCOPLUS_19)),
    H36M_17.name: (("J_regressor_h36m.npy", "J_regressor_h36m_correct.npy"), len(H36M_17)),
    "extra": (("J_regressor_extra.npy",), len(EXTRA_JOINTS)),
}
"""Keypoint regressors beside a body file: (names, keypoints)."""

_SHAPES = 10
_POSE_FEATURES = 9 * (len(SMPL_24) - 1)
_REMEDY = 'Give SMPL\'s file as it comes from https://smpl.is.tue.mpg.de (not SMPL-H or SMPL-X), or use the body "anny".'
_SUFFIXES = (".pkl", ".npz", ".txt")


def find_smpl(folder: Path) -> Path:
    """SMPL's file in a folder or in its subfolder "smpl", the neutral body first.

    Raises:
        MissingAssetError: where none of the known names is there.
        BadInputError: where the folder cannot be read.
    """
    for place in (folder, folder / "smpl"):
        with readable(f"Folder {place}"):
            found = {file.name.lower(): file for file in place.iterdir()} if place.is_dir() else {}
        for name in SMPL_FILE_NAMES:
            for suffix in _SUFFIXES:
                if name.lower() + suffix in found:
                    return found[name.lower() + suffix]
    raise MissingAssetError(
        "SMPL file", folder, f"A known name is {SMPL_FILE_NAMES[0]}.pkl; or give the file itself."
    )


def read_smpl(path: Path, regressor_folder: Path | None = None) -> BodyModelData:
    """SMPL from a .pkl or .npz file, with its first ten shape directions, in float32.

    Args:
        regressor_folder: where `REGRESSOR_FILES` may be; None: beside the body.

    Raises:
        BadInputError: where the file is damaged, not SMPL, or asks to run code.
    """
    fields = _read_fields(path)
    template = _array(fields, "v_template", (None, 3), path)
    vertices = len(template)
    regressor = _array(fields, "J_regressor", (len(SMPL_24), vertices), path)
    weights = _array(fields, "weights", (vertices, len(SMPL_24)), path)
    faces = _faces(fields, vertices, path)
    _check_tree(fields, path)
    return BodyModelData(
        name="smpl",
        template=template,
        shape_directions=_shape_directions(fields, vertices, path),
        pose_directions=_array(fields, "posedirs", (vertices, 3, _POSE_FEATURES), path),
        joint_regressor=regressor,
        skinning_weights=weights,
        parents=SMPL_PARENTS,
        faces=faces,
        keypoint_regressors=_keypoint_regressors(
            template, regressor, fields, path, regressor_folder or path.parent
        ),
        face_parts=weights[faces].sum(1).argmax(1),
    )


def _read_fields(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        is_archive = file.read(2) == b"PK"
    content = _read_npz(path) if is_archive else read_pickle(path)
    needed = {"v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f"}
    missing = needed - content.keys() if isinstance(content, dict) else needed
    if missing:
        raise BadInputError(f"SMPL file {path}", f"it has no {', '.join(sorted(missing))}", _REMEDY)
    return content


def _read_npz(path: Path) -> dict[str, np.ndarray]:
    try:
        # Opened here, because np.load leaves a damaged archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except Exception as error:  # a damaged archive can fail in any way
        raise BadInputError(
            f"SMPL file {path}", f"it is damaged ({error})", "Get a fresh copy of it."
        ) from error


def _array(fields: dict[str, Any], name: str, shape: tuple[int | None, ...], path: Path) -> Tensor:
    """A field as float32, after a check of its shape (None fits any length) and of its numbers."""
    values = _plain_array(fields[name])
    if values is None or values.dtype.kind not in "fiu":
        raise BadInputError(f"SMPL file {path}", f"its {name} is no array of numbers", _REMEDY)
    fits = len(values.shape) == len(shape) and all(
        want in {None, have} for want, have in zip(shape, values.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise BadInputError(f"SMPL file {path}", f"its {name} is {values.shape}, wanted ({wanted})", _REMEDY)
    if not np.isfinite(values).all():
        raise BadInputError(f"SMPL file {path}", f"its {name} holds numbers that are not finite", _REMEDY)
    return torch.from_numpy(np.ascontiguousarray(values, dtype=np.float32))


def _plain_array(value: object) -> np.ndarray | None:
    """The array that a pickled value stands for; None where it stands for none."""
    if isinstance(value, np.ndarray):
        return value
    if not isinstance(value, PickledRecord):
        return None
    state, kind = value.state, value.pickled_class.rsplit(".", 1)[-1]
    try:
        if kind == "Ch":
            return _plain_array(state["x"])
        if kind == "Select":  # chumpy.reordering: some entries of another array
            chosen = np.asarray(_plain_array(state["a"])).ravel()[state["idxs"]]
            return chosen.reshape(state["preferred_shape"])
        return _dense(kind, state)
    except (KeyError, IndexError, TypeError, ValueError, MemoryError):
        return None


def _dense(kind: str, state: dict[str, Any]) -> np.ndarray | None:
    """A pickled matrix of scipy.sparse (csc, csr or coo) as a full one."""
    matrix = np.zeros(state["_shape"] if "_shape" in state else state["shape"])
    if kind.startswith("coo"):
        row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
    elif kind.startswith(("csc", "csr")):
        inner = state["indices"]
        outer = np.repeat(np.arange(len(state["indptr"]) - 1), np.diff(state["indptr"]))
        row, column = (inner, outer) if kind.startswith("csc") else (outer, inner)
    else:
        return None
    np.add.at(matrix, (row, column), state["data"])
    return matrix


def _shape_directions(fields: dict[str, Any], vertices: int, path: Path) -> Tensor:
    """The first ten; version 1.1.0 has 300."""
    directions = _array(fields, "shapedirs", (vertices, 3, None), path)
    if directions.shape[2] < _SHAPES:
        found = f"it has {directions.shape[2]} shape directions, wanted {_SHAPES}"
        raise BadInputError(f"SMPL file {path}", found, _REMEDY)
    return directions[..., :_SHAPES].contiguous()


def _faces(fields: dict[str, Any], vertices: int, path: Path) -> Tensor:
    faces = _array(fields, "f", (None, 3), path).long()
    if faces.numel() and not 0 <= int(faces.min()) <= int(faces.max()) < vertices:
        raise BadInputError(
            f"SMPL file {path}", f"its faces name vertices outside 0 to {vertices - 1}", _REMEDY
        )
    return faces


def _check_tree(fields: dict[str, Any], path: Path) -> None:
    table = _plain_array(fields["kintree_table"])
    parents = () if table is None or table.ndim != 2 else tuple(table[0].tolist())
    if parents[1:] != SMPL_PARENTS[1:]:
        found = f"its {len(parents)} joints hang together otherwise than SMPL's {len(SMPL_24)}"
        raise BadInputError(f"SMPL file {path}", found, _REMEDY)


def _keypoint_regressors(
    template: Tensor, joint_regressor: Tensor, fields: dict[str, Any], path: Path, folder: Path
) -> dict[str, Tensor]:
    vertices = len(template)
    if vertices != SMPL_VERTEX_COUNT:
        return {}
    given = {}
    if "cocoplus_regressor" in fields:  # HMR's own copy of SMPL carries it
        given[COCOPLUS_19.name] = _array(fields, "cocoplus_regressor", (len(COCOPLUS_19), vertices), path)
    for name, (files, keypoints) in REGRESSOR_FILES.items():
        file = next((folder / file for file in files if (folder / file).is_file()), None)
        if file is not None:
            given[name] = _read_regressor(file, (keypoints, vertices))
    return smpl_keypoint_regressors(template, joint_regressor, given)


def _read_regressor(path: Path, shape: tuple[int, int]) -> Tensor:
    remedy = "Give the right file, or move this one away."
    try:
        values = np.load(path, allow_pickle=False)
    except Exception as error:  # a damaged array can fail in any way
        raise BadInputError(f"Regressor {path}", f"it is no plain array ({error})", remedy) from error
    if values.shape != shape or values.dtype.kind not in "fiu" or not np.isfinite(values).all():
        found = f"it is {values.shape} of {values.dtype}, wanted {shape} finite numbers"
        raise BadInputError(f"Regressor {path}", found, remedy)
    return torch.from_numpy(values.astype(np.float32))
