"""Body files: the project's own (safetensors) and SMPL's (.pkl, .npz)."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from humanmesh.body.parameters import BodyModelData
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.assets import asset_path
from humanmesh.files.smpl import find_smpl, read_smpl
from humanmesh.files.writing import whole_file

BODY_FORMAT = "humanmesh-body-1"
BUNDLED_BODIES = {"anny": "body_anny.safetensors"}
_INT16_MAX = 32767
_START_OF_SAFETENSORS = b"\0\0\0\0{"  # after four bytes of the header's length: its rest, then the header
_STARTS_OF_SMPL = (
    b"PK",
    b"\x80",
    b"(",
)  # a zip archive (.npz); a pickle of protocol 2 or later, or of 0 or 1
_KEYPOINTS = "keypoints/"
_NEEDED = {
    "template", "shape_directions", "shape_directions.scale", "skinning.joints", "skinning.shares", "parents",
    "faces", *(f"joint_regressor/{part}" for part in ("size", "rows", "columns", "values")),
}  # fmt: skip


def load_body_data(name_or_path: str | Path) -> BodyModelData:
    """The bundled body "anny", or a body file: the project's own, SMPL's .pkl or .npz, or a folder with SMPL in it.

    What a file is, its first bytes tell; names and suffixes do not matter.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is not a body.
    """
    if str(name_or_path) in BUNDLED_BODIES:
        return read_body(asset_path(BUNDLED_BODIES[str(name_or_path)]))
    path = Path(name_or_path)
    if path.is_dir():
        path = find_smpl(path)
    start = _first_bytes(path)
    if start[4:9] == _START_OF_SAFETENSORS:
        return read_body(path)
    if start.startswith(_STARTS_OF_SMPL):
        return read_smpl(path)
    found = "it is neither a body of this project nor SMPL's .pkl or .npz" if start else "it is empty"
    raise BadInputError(f"Body file {path}", found, 'Give one of these, or the name "anny".')


def write_body(data: BodyModelData, path: str | Path, metadata: dict[str, str] | None = None) -> None:
    """Write a body in the project's format; shape directions are rounded to 16 bits (about 2 micrometres)."""
    tensors = {
        "template": data.template.float(),
        "parents": torch.tensor(data.parents, dtype=torch.int8),
        "faces": _small_integers(data.faces),
        **_quantised("shape_directions", data.shape_directions),
        **_weights_as_pairs(data.skinning_weights),
        **_sparse("joint_regressor", data.joint_regressor),
    }
    for name, regressor in data.keypoint_regressors.items():
        tensors |= _sparse(_KEYPOINTS + name, regressor)
    if data.pose_directions is not None:
        tensors["pose_directions"] = data.pose_directions.float()
    if data.face_parts is not None:
        tensors["face_parts"] = data.face_parts.to(torch.uint8)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    notes = {**(metadata or {}), "format": BODY_FORMAT, "name": data.name}
    with whole_file(path) as beside:
        beside.write_bytes(save(tensors, notes))


def read_body(path: str | Path) -> BodyModelData:
    """Read what `write_body` wrote; float32.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is not a body.
    """
    tensors, metadata = _read_safetensors(Path(path))
    try:
        return _assemble(tensors, metadata)
    except (RuntimeError, IndexError, KeyError, ValueError) as error:
        found = f"its parts do not fit together ({error})"
        raise BadInputError(f"Body file {path}", found, "Get a fresh copy of it.") from error


def _assemble(tensors: dict[str, Tensor], metadata: dict[str, str]) -> BodyModelData:
    keypoint_sets = sorted({name.split("/")[1] for name in tensors if name.startswith(_KEYPOINTS)})
    face_parts = tensors.get("face_parts")
    vertices = len(tensors["template"])
    return BodyModelData(
        name=metadata["name"],
        template=tensors["template"],
        shape_directions=tensors["shape_directions"].float() * tensors["shape_directions.scale"],
        pose_directions=tensors.get("pose_directions"),
        joint_regressor=_dense(tensors, "joint_regressor", vertices),
        skinning_weights=_weights_from_pairs(tensors),
        parents=tuple(tensors["parents"].tolist()),
        faces=tensors["faces"].long(),
        keypoint_regressors={name: _dense(tensors, _KEYPOINTS + name, vertices) for name in keypoint_sets},
        face_parts=None if face_parts is None else face_parts.long(),
    )


def read_body_metadata(path: str | Path) -> dict[str, str]:
    """The notes that were written with a body (its source, licence, measured errors)."""
    return _read_safetensors(Path(path))[1]


def _first_bytes(path: Path) -> bytes:
    if not path.is_file():
        raise MissingAssetError("body model", path, 'Give the path of a body file, or the name "anny".')
    try:
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise BadInputError(
            f"Body file {path}", f"cannot be read ({error.strerror})", "Allow reading it."
        ) from error


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    _first_bytes(path)
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            names = file.keys()
            tensors = {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError) as error:
        raise BadInputError(
            f"Body file {path}", f"cannot be read ({error})", "Get a fresh copy of it."
        ) from error
    if metadata.get("format") != BODY_FORMAT:
        found = f"it is of format {metadata.get('format')!r}, not {BODY_FORMAT!r}"
        raise BadInputError(f"Body file {path}", found, "Give a body file, not weights.")
    missing = _NEEDED - tensors.keys()
    if missing:
        raise BadInputError(
            f"Body file {path}", f"it has no {', '.join(sorted(missing))}", "Get a fresh copy of it."
        )
    return tensors, metadata


def _small_integers(values: Tensor) -> Tensor:
    return values.to(torch.int16 if values.numel() == 0 or int(values.max()) <= _INT16_MAX else torch.int32)


def _quantised(name: str, directions: Tensor) -> dict[str, Tensor]:
    """Each direction in 16-bit steps of its own size: twenty times finer than float16 at its largest entries."""
    scale = (directions.abs().amax((0, 1)) / _INT16_MAX).clamp_min(1e-12)
    return {name: (directions / scale).round().to(torch.int16), f"{name}.scale": scale.float()}


def _weights_as_pairs(weights: Tensor) -> dict[str, Tensor]:
    """(vertices, n) joint rows and shares, where n is the largest number of joints that a vertex follows."""
    count = int((weights != 0).sum(1).max())
    shares, joints = weights.topk(count, 1)
    return {"skinning.joints": joints.to(torch.uint8), "skinning.shares": shares.float()}


def _weights_from_pairs(tensors: dict[str, Tensor]) -> Tensor:
    joints, shares = tensors["skinning.joints"].long(), tensors["skinning.shares"]
    return torch.zeros(len(joints), len(tensors["parents"])).scatter_(1, joints, shares)


def _sparse(name: str, matrix: Tensor) -> dict[str, Tensor]:
    rows, columns = matrix.nonzero(as_tuple=True)
    return {
        f"{name}/size": torch.tensor(len(matrix)),
        f"{name}/rows": rows.to(torch.int16),
        f"{name}/columns": columns.to(torch.int32),
        f"{name}/values": matrix[rows, columns].float(),
    }


def _dense(tensors: dict[str, Tensor], name: str, columns: int) -> Tensor:
    matrix = torch.zeros(int(tensors[f"{name}/size"]), columns)
    matrix[tensors[f"{name}/rows"].long(), tensors[f"{name}/columns"].long()] = tensors[f"{name}/values"]
    return matrix
