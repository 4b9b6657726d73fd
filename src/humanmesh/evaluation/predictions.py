"""Predictions of other systems, read from files and matched to the people of a protocol.

Whatever a file calls its arrays, an adapter brings them to one form: joints of a named keypoint set, vertices, or pose
and shape, which a body turns into vertices. People without a row are missing, and are counted.
"""

import io
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int, Int64
from torch import Tensor

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import H36M_17, SKELETONS, Skeleton, skeleton_by_name
from humanmesh.errors import BadInputError, HumanMeshError, MissingAssetError
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.predictors import PredictedPose, Prediction, Predictor, View
from humanmesh.evaluation.protocols import Protocol
from humanmesh.files.body_models import BUNDLED_BODIES
from humanmesh.files.pickles import PickledRecord, read_pickle
from humanmesh.geometry.rotations import axis_angle_to_matrix
from humanmesh.render.rasterizer import Fragments, rasterize

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

_PLAIN = """Known arrays, N people each: joints_3d (N, K, 3) and keypoints_2d (N, K, 2) with keypoint_set, vertices
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
        raise BadInputError(f"Predictions {path}", f"they hold {names}", _PLAIN)
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
        raise BadInputError(f"Predictions {path}", f"a {type(content).__name__}", _PLAIN)
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
            f"Predictions {path}", "pred_smpl_params without global_orient, body_pose, betas", _PLAIN
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
        raise BadInputError(what, "no array of numbers", _PLAIN) from error
    wanted = _SHAPES[name]
    fits = array.ndim == 1 + len(wanted) and all(
        size in {None, found} for size, found in zip(wanted, array.shape[1:], strict=True)
    )
    if not fits:
        raise BadInputError(what, f"shape {array.shape}", _PLAIN)
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


@dataclass(frozen=True)
class FilePrediction(Prediction):
    """Some rows of a file; NaN for people whom it lacks."""

    file: PredictionFile
    body: BodyModel | None
    """Turns pose and shape into vertices, and vertices into keypoints."""
    chosen: tuple[int | None, ...]

    @cached_property
    def scores(self) -> Float[Tensor, "people"]:
        """The file's, or NaN."""
        if self.file.score is None:
            return torch.full((len(self.chosen),), torch.nan)
        return self._rows(self.file.score)

    def _rows(self, values: Float[np.ndarray, "rows ..."]) -> Float[Tensor, "people ..."]:
        result = np.full((len(self.chosen), *values.shape[1:]), np.nan, np.float32)
        for place, row in enumerate(self.chosen):
            if row is not None:
                result[place] = values[row]
        return torch.from_numpy(result)

    def points_3d(self, name: str) -> Float[Tensor, "people points 3"]:
        """The file's joints where it has any, NaN for those of the set that it lacks; else those of its mesh."""
        if self.file.joints_3d is not None and self.file.skeleton is not None:
            return _by_name(self._rows(self.file.joints_3d), self.file.skeleton, skeleton_by_name(name))
        return self._body().keypoints(self.vertices, name)

    def points_2d(self, name: str) -> Float[Tensor, "people points 2"]:
        """The file's, else joints seen by its camera."""
        if self.file.keypoints_2d is not None and self.file.skeleton is not None:
            return _by_name(self._rows(self.file.keypoints_2d), self.file.skeleton, skeleton_by_name(name))
        return self._in_photo(self.points_3d(name))[..., :2]

    @cached_property
    def vertices(self) -> Float[Tensor, "people vertices 3"]:
        """The file's, else those of its pose and shape."""
        if self.file.vertices is not None:
            return self._rows(self.file.vertices)
        if self.file.rotations is None or self.file.shape is None:
            raise BadInputError("Predictions", "neither vertices nor pose and shape", _PLAIN)
        return self._body()(self._rows(self.file.rotations), self._rows(self.file.shape)).vertices

    @property
    def pose(self) -> PredictedPose | None:
        """The file's rotations; the body is left open where they are SMPL's and there is no SMPL."""
        if self.file.rotations is None:
            return None
        shape = None if self.file.shape is None else self._rows(self.file.shape)
        is_bundled = self.body is not None and self.body.data.name in BUNDLED_BODIES
        body = None if self.body is None or (self.file.of_smpl and is_bundled) else self.body.data
        return PredictedPose(self._rows(self.file.rotations), shape, body)

    def _body(self) -> BodyModel:
        name = None if self.body is None else self.body.data.name
        if self.body is None or (self.file.of_smpl and name in BUNDLED_BODIES):
            remedy = "Give --body SMPL_FILE, the body that the predictions belong to."
            raise BadInputError(
                "Predictions", f"pose, shape or vertices of SMPL, and the body {name}", remedy
            )
        return self.body

    def view(self, row: int) -> View:
        """One person's mesh before its camera."""
        file, place = self.file, self.chosen[row]
        if (
            place is None
            or file.translation is None
            or file.focal_length is None
            or file.principal_point is None
        ):
            raise BadInputError("Predictions", "no camera to draw a person with", _PLAIN)
        x, y = file.principal_point[place].tolist()
        moved = self.vertices[row] + torch.from_numpy(file.translation[place])
        return View(moved, float(file.focal_length[place]), (x, y))

    @property
    def faces(self) -> Int[Tensor, "faces 3"] | None:
        """Rows of `vertices`; None where the body is not known."""
        return None if self.body is None else self.body.data.faces

    @property
    def face_parts(self) -> Int64[Tensor, "faces"]:
        """The SMPL joint that each face follows."""
        parts = self._body().data.face_parts
        if parts is None:
            raise BadInputError(f"Body {self._body().data.name}", "it has no body parts", "Use another body.")
        return parts.long()

    def _in_photo(self, points: Float[Tensor, "people points 3"]) -> Float[Tensor, "people points 3"]:
        """Photo pixels, and depth."""
        file = self.file
        if file.translation is None or file.focal_length is None or file.principal_point is None:
            found = "no keypoints_2d, and no camera (translation, focal_length, principal_point)"
            raise BadInputError("Predictions", found, _PLAIN)
        moved = points + self._rows(file.translation)[:, None]
        focal = self._rows(file.focal_length)[:, None, None]
        pixels = focal * moved[..., :2] / moved[..., 2:] + self._rows(file.principal_point)[:, None]
        return torch.cat([pixels, moved[..., 2:]], -1)

    def draw(self, row: int, height: int, width: int) -> Fragments:
        """One person's mesh in the photo."""
        screen = self._in_photo(self.vertices)[row : row + 1]
        return rasterize(screen, self._body().data.faces, height, width)


def _by_name(
    points: Float[Tensor, "people joints axes"], skeleton: Skeleton, wanted: Skeleton
) -> Float[Tensor, "people points axes"]:
    """Points of one skeleton in the order of another; NaN for those that the first lacks."""
    result = points.new_full((len(points), len(wanted), points.shape[2]), torch.nan)
    shared = [joint for joint in wanted.joints if joint in skeleton.index]
    result[:, [wanted.index[joint] for joint in shared]] = points[
        :, [skeleton.index[joint] for joint in shared]
    ]
    return result


class FilePredictor(Predictor):
    """A system whose predictions stand in a file."""

    def __init__(
        self, name: str, file: PredictionFile, people: Sequence[Case], body: BodyModel | None = None
    ) -> None:
        """Match the file's rows to all people of the protocol.

        Raises:
            BadInputError: where nobody is matched, or the numbers differ and no names are given.
        """
        self.name = name
        self.file = file
        self.body = body
        self.row_of = _matched(name, file, people)

    def predict(self, cases: Sequence[Case], protocol: Protocol) -> FilePrediction:
        """The rows of these people.

        Raises:
            BadInputError: where the file lacks joints that the protocol measures.
        """
        skeleton = self.file.skeleton
        if skeleton is not None:
            lacking = [joint for joint in (*protocol.joints, *protocol.root) if joint not in skeleton.index]
            if lacking:
                found = f"its joints ({skeleton.name}) lack {', '.join(dict.fromkeys(lacking))}"
                raise BadInputError(
                    f"Predictions {self.name}", found, f"The protocol {protocol.name} measures them."
                )
        return FilePrediction(self.file, self.body, tuple(self.row_of.get(case.record) for case in cases))


def _matched(name: str, file: PredictionFile, people: Sequence[Case]) -> dict[str, int]:
    """Row of each person by record."""
    if file.record is not None:
        known = {record: row for row, record in enumerate(file.record)}
        matched = {case.record: known[case.record] for case in people if case.record in known}
    elif file.imgname is not None:
        matched = _matched_by_photo(name, file.imgname, people)
    elif file.rows == len(people):
        return {case.record: row for row, case in enumerate(people)}
    else:
        found = f"{file.rows} rows without record or imgname, for {len(people)} people"
        raise BadInputError(f"Predictions {name}", found, "Store record or imgname in the file.")
    if not matched:
        stored = (file.record or file.imgname or ("",))[0]
        found = f"none of {file.rows} rows is of the {len(people)} people; a row is {stored!r}, a person {people[0].record!r}"
        raise BadInputError(f"Predictions {name}", found, "Store the names that the data set uses.")
    return matched


def _matched_by_photo(name: str, photos: Sequence[str], people: Sequence[Case]) -> dict[str, int]:
    """By the last parts of the photos' paths, as many as the file gives."""
    row_of: dict[tuple[str, ...], int] = {}
    lengths = {len(PurePosixPath(photo).parts) for photo in photos}
    for row, photo in enumerate(photos):
        parts = PurePosixPath(photo).parts
        if parts in row_of:
            found = f"photo {photo!r} twice, so that its people cannot be told apart"
            raise BadInputError(f"Predictions {name}", found, "Store record instead of imgname.")
        row_of[parts] = row
    matched = {}
    for case in people:
        parts = PurePosixPath(Path(case.image).as_posix()).parts
        hits = [row_of[parts[-length:]] for length in lengths if parts[-length:] in row_of]
        if hits:
            matched[case.record] = hits[0]
    return matched
