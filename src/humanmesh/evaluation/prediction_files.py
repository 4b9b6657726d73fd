"""Predictions of other systems as they stand in files.

Whatever a file calls its arrays, an adapter brings them to one form: joints of a named keypoint set, vertices, or pose
and shape, which a body turns into vertices.
"""

import io
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float

from humanmesh.body.skeletons import H36M_17, SKELETONS, Skeleton, skeleton_by_name
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError
from humanmesh.files.pickles import PickledRecord, read_pickle
from humanmesh.geometry.rotations import axis_angle_to_matrix

Unit = Literal["m", "mm"]

_LARGEST_PERSON = 20.0
"""Metres; whoever is larger was measured in millimetres."""
_SMALLEST_PERSON = 0.02
"""Metres; whoever is smaller was divided by 1,000 once too often."""

SPIN_H36M = Skeleton(
    "spin_h36m17",
    tuple(
        joint.replace("left", "?").replace("right", "left").replace("?", "right")
        if joint.endswith(("hip", "knee", "ankle"))
        else joint
        for joint in H36M_17.joints
    ),
)
"""Rows of J_regressor_h36m.npy: those of Human3.6M with the left leg first (SPIN's constants, H36M_TO_J17)."""

PLAIN_ARRAYS = """Known arrays, N people each: joints_3d (N, K, 3) and keypoints_2d (N, K, 2) with keypoint_set, vertices
(N, V, 3), pose (N, 72) or rotations (N, 24, 3, 3) with shape (N, 10), translation (N, 3), focal_length (N,),
principal_point (N, 2), score (N,); record or imgname (N,) says who is who, else the order of the data set."""


@dataclass(frozen=True)
class PredictionFile:
    """Predictions as they stand in a file, in one form: a row a person; None where the file has none."""

    joints_3d: Float[np.ndarray, "_ joints 3"] | None = None
    keypoints_2d: Float[np.ndarray, "_ joints 2"] | None = None
    """Photo pixels."""
    skeleton: Skeleton | None = None
    """Names of the joints' rows."""
    vertices: Float[np.ndarray, "_ vertices 3"] | None = None
    rotations: Float[np.ndarray, "_ 24 3 3"] | None = None
    shape: Float[np.ndarray, "_ shapes"] | None = None
    translation: Float[np.ndarray, "_ 3"] | None = None
    """Metres; brings vertices and joints into the photo's camera."""
    focal_length: Float[np.ndarray, "_"] | None = None
    principal_point: Float[np.ndarray, "_ 2"] | None = None
    score: Float[np.ndarray, "_"] | None = None
    record: tuple[str, ...] | None = None
    imgname: tuple[str, ...] | None = None
    of_smpl: bool = False
    """Whether pose, shape and vertices are SMPL's for certain, so that no other body may stand in."""

    @property
    def rows(self) -> int:
        """People in the file."""
        return next(len(value) for value in self._arrays().values())

    def _arrays(self) -> dict[str, Any]:
        others = {"skeleton", "of_smpl"}
        return {name: value for name, value in vars(self).items() if value is not None and name not in others}

    def in_metres(self, unit: Unit) -> "PredictionFile":
        """The same in metres."""
        if unit == "m":
            return self
        spatial = {name: getattr(self, name) for name in ("joints_3d", "vertices", "translation")}
        return replace(self, **{name: value / 1000 for name, value in spatial.items() if value is not None})


def read_predictions(path: Path, unit: Unit = "m") -> PredictionFile:
    """Predictions of SPIN's eval.py, of HMR 2.0, of ROMP, or plain arrays; .npz or .pkl. No pickle runs code.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it holds nothing known, arrays of another shape or of unlike length, or another unit than was said.
    """
    if not path.is_file():
        raise MissingAssetError("predictions", path, "Give an .npz or .pkl file.")
    content = _read_content(path)
    for known, adapter in _ADAPTERS:
        if known <= content.keys():
            found = adapter(content, path)
            break
    else:
        names = ", ".join(sorted(content)) or "nothing"
        raise BadInputError(f"Predictions {path}", f"they hold {names}", PLAIN_ARRAYS)
    _check_lengths(found._arrays(), path)
    found = found.in_metres(unit)
    _check_unit(found, path, unit)
    return found


def _check_lengths(arrays: dict[str, Any], path: Path) -> None:
    lengths = {name: len(value) for name, value in arrays.items()}
    if len(set(lengths.values())) != 1:
        counts = ", ".join(f"{name} {length}" for name, length in lengths.items())
        raise BadInputError(
            f"Predictions {path}", f"arrays of unlike length ({counts})", "Write a row a person."
        )


def _check_unit(found: PredictionFile, path: Path, unit: Unit) -> None:
    points = found.joints_3d if found.joints_3d is not None else found.vertices
    if points is None:
        return
    finite = points[np.isfinite(points).all((1, 2))]
    if not len(finite):
        raise BadInputError(f"Predictions {path}", "every row holds NaN", "Write them again.")
    size = float(np.median(np.linalg.norm(finite.max(1) - finite.min(1), axis=-1)))
    other = "mm" if unit == "m" else "m"
    if not _SMALLEST_PERSON < size < _LARGEST_PERSON:
        remedy = f"If they are in {other}, give --unit {other}."
        raise BadInputError(f"Predictions {path}", f"people {size:g} m large, read as {unit}", remedy)


def _read_content(path: Path) -> dict[str, Any]:
    content = _read_npz(path) if zipfile.is_zipfile(path) else read_pickle(path)
    if isinstance(content, PickledRecord) or not isinstance(content, dict):
        raise BadInputError(f"Predictions {path}", f"a {type(content).__name__}", PLAIN_ARRAYS)
    return content


def _read_npz(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                content[member.removesuffix(".npy")] = _read_npy(archive.read(member))
    except HumanMeshError:
        raise
    except Exception as error:  # a damaged archive can fail in any way
        raise BadInputError(
            f"Predictions {path}", f"a damaged .npz ({error})", "Write them again."
        ) from error
    only = next(iter(content.values())) if len(content) == 1 else None
    return only if isinstance(only, dict) else content  # ROMP saves one dictionary, named "results"


def _read_npy(data: bytes) -> Any:
    """An array, or what is pickled in place of one."""
    file = io.BytesIO(data)
    try:
        return np.load(file, allow_pickle=False)
    except ValueError:
        file.seek(0)
        version = np.lib.format.read_magic(file)
        (np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0)(
            file
        )
        with tempfile.TemporaryDirectory() as folder:
            pickled = Path(folder) / "object.pkl"
            pickled.write_bytes(file.read())
            content = read_pickle(pickled)
        return content.item() if isinstance(content, np.ndarray) and content.ndim == 0 else content


def _plain(content: dict[str, Any], path: Path) -> PredictionFile:
    joints_3d, keypoints_2d = (_optional(content, name, path) for name in ("joints_3d", "keypoints_2d"))
    rotations = _optional(content, "rotations", path)
    if rotations is None and "pose" in content:
        rotations = _matrices(_array(content, "pose", path))
    return PredictionFile(
        joints_3d=joints_3d,
        keypoints_2d=keypoints_2d,
        skeleton=_skeleton_of(joints_3d if joints_3d is not None else keypoints_2d, content, path),
        vertices=_optional(content, "vertices", path),
        rotations=rotations,
        shape=_optional(content, "shape", path),
        translation=_optional(content, "translation", path),
        focal_length=_optional(content, "focal_length", path),
        principal_point=_optional(content, "principal_point", path),
        score=_optional(content, "score", path),
        record=_names(content, "record"),
        imgname=_names(content, "imgname"),
    )


def _spin(content: dict[str, Any], path: Path) -> PredictionFile:
    """Of SPIN's eval.py --result_file: pred_joints in J_regressor_h36m's order, pose, betas, camera."""
    return PredictionFile(
        joints_3d=_array(content, "pred_joints", path),
        skeleton=SPIN_H36M,
        rotations=_matrices(_array(content, "pose", path)),
        shape=_array(content, "betas", path),
        imgname=_names(content, "imgname"),
        of_smpl=True,
    )


def _hmr2(content: dict[str, Any], path: Path) -> PredictionFile:
    """Of HMR 2.0: pred_smpl_params, a dictionary of matrices and betas, beside pred_vertices."""
    parameters = content["pred_smpl_params"]
    if not isinstance(parameters, dict) or not {"global_orient", "body_pose", "betas"} <= parameters.keys():
        raise BadInputError(
            f"Predictions {path}", "pred_smpl_params without global_orient, body_pose, betas", PLAIN_ARRAYS
        )
    parts = {name: _array(parameters, name, path) for name in ("global_orient", "body_pose")}
    _check_lengths(parts, path)
    return PredictionFile(
        rotations=np.concatenate(list(parts.values()), 1),
        shape=_array(parameters, "betas", path),
        vertices=_optional(content, "pred_vertices", path),
        imgname=_names(content, "imgname"),
        of_smpl=True,
    )


def _romp(content: dict[str, Any], path: Path) -> PredictionFile:
    """Of ROMP: smpl_thetas and smpl_betas; its kinship coefficient and later ones are left out."""
    return PredictionFile(
        rotations=_matrices(_array(content, "smpl_thetas", path)),
        shape=_array(content, "smpl_betas", path)[:, :10],
        vertices=_optional(content, "verts", path),
        imgname=_names(content, "imgname"),
        of_smpl=True,
    )


_ADAPTERS: tuple[tuple[set[str], Callable[[dict[str, Any], Path], PredictionFile]], ...] = (
    ({"pred_joints", "pose", "betas"}, _spin),
    ({"pred_smpl_params"}, _hmr2),
    ({"smpl_thetas", "smpl_betas"}, _romp),
    ({"joints_3d"}, _plain),
    ({"keypoints_2d"}, _plain),
    ({"vertices"}, _plain),
    ({"pose", "shape"}, _plain),
    ({"rotations", "shape"}, _plain),
)
"""By the arrays that tell a kind; the first that fits."""
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "joints_3d": (None, 3),
    "keypoints_2d": (None, 2),
    "vertices": (None, 3),
    "pose": (72,),
    "rotations": (24, 3, 3),
    "shape": (None,),
    "translation": (3,),
    "focal_length": (),
    "principal_point": (2,),
    "score": (),
    "pred_joints": (None, 3),
    "betas": (None,),
    "global_orient": (1, 3, 3),
    "body_pose": (23, 3, 3),
    "pred_vertices": (None, 3),
    "smpl_thetas": (72,),
    "smpl_betas": (None,),
    "verts": (None, 3),
}
"""Shape of one person's row of each array; None for any number."""


def _array(content: dict[str, Any], name: str, path: Path) -> Float[np.ndarray, "..."]:
    what = f"Predictions {path}, {name}"
    try:
        array = np.asarray(content[name], np.float32)
    except (TypeError, ValueError) as error:
        raise BadInputError(what, "no array of numbers", PLAIN_ARRAYS) from error
    wanted = _SHAPES[name]
    fits = array.ndim == 1 + len(wanted) and all(
        size in {None, found} for size, found in zip(wanted, array.shape[1:], strict=True)
    )
    if not fits:
        raise BadInputError(what, f"shape {array.shape}", PLAIN_ARRAYS)
    return array


def _optional(content: dict[str, Any], name: str, path: Path) -> Float[np.ndarray, "..."] | None:
    return _array(content, name, path) if name in content else None


def _names(content: dict[str, Any], name: str) -> tuple[str, ...] | None:
    if name not in content:
        return None
    return tuple(
        value.decode() if isinstance(value, bytes) else str(value) for value in np.atleast_1d(content[name])
    )


def _matrices(pose: Float[np.ndarray, "rows 72"]) -> Float[np.ndarray, "rows 24 3 3"]:
    return axis_angle_to_matrix(torch.from_numpy(pose).reshape(len(pose), 24, 3)).numpy()


def _skeleton_of(
    joints: Float[np.ndarray, "rows joints axes"] | None, content: dict[str, Any], path: Path
) -> Skeleton | None:
    if joints is None:
        return None
    if "keypoint_set" in content:
        skeleton = skeleton_by_name(str(np.asarray(content["keypoint_set"]).reshape(-1)[0]))
        if len(skeleton) != joints.shape[1]:
            found = f"{joints.shape[1]} joints, and {skeleton.name} has {len(skeleton)}"
            raise BadInputError(f"Predictions {path}", found, "Name the right keypoint_set.")
        return skeleton
    fitting = [skeleton for skeleton in SKELETONS.values() if len(skeleton) == joints.shape[1]]
    if len(fitting) != 1:
        names = ", ".join(skeleton.name for skeleton in fitting) or "no known set"
        found = f"{joints.shape[1]} joints and no keypoint_set; of that number there is {names}"
        raise BadInputError(f"Predictions {path}", found, "Store keypoint_set, the set's name, in the file.")
    return fitting[0]
