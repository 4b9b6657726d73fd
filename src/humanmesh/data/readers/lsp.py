"""Leeds Sports Pose (Johnson and Everingham, BMVC 2010) and its extension (CVPR 2011).

Both keep one `joints.mat`, with different layouts and opposite flags: LSP (3, 14, N), flag 1 = hidden; the
extension (14, 3, N), flag 1 = annotated. The data sets do not say where in a pixel their coordinates stand; they
are taken as they are (half a pixel is far below the spread of the annotators).
"""

from pathlib import Path

import numpy as np

from humanmesh.body.skeletons import LSP_14
from humanmesh.data.annotation import Annotation
from humanmesh.data.readers.checks import DEFAULT_RULES, Checks, ReadReport, ReadRules
from humanmesh.data.readers.tables import read_mat
from humanmesh.errors import BadInputError

_REMEDY = "Give the folder that holds joints.mat and images/."


def read_lspet(
    folder: Path, rules: ReadRules = DEFAULT_RULES, report: ReadReport | None = None
) -> list[Annotation]:
    """LSP extended: weight 1 for an annotated joint, 0 for a missing one."""
    joints = _read_joints(Path(folder), (14, 3))
    points = joints[:, :2].transpose(2, 0, 1)
    weights = joints[:, 2].T
    return _read(Path(folder), "lspet", points, weights, Checks("lspet", rules, report))


def read_lsp(
    folder: Path,
    rules: ReadRules = DEFAULT_RULES,
    report: ReadReport | None = None,
    *,
    hidden_weight: float = 1.0,
) -> list[Annotation]:
    """LSP, whose annotators placed hidden joints as well.

    Args:
        hidden_weight: weight of a hidden joint; HMR trained with 0, SPIN with 1.
    """
    joints = _read_joints(Path(folder), (3, 14))
    points = joints[:2].transpose(2, 1, 0)
    weights = np.where(joints[2].T > 0, hidden_weight, 1.0)
    return _read(Path(folder), "lsp", points, weights, Checks("lsp", rules, report))


def _read_joints(folder: Path, layout: tuple[int, int]) -> np.ndarray:
    path = folder / "joints.mat"
    joints = read_mat(path, _REMEDY).get("joints")
    found = None if joints is None else joints.shape
    if joints is None or joints.ndim != 3 or joints.shape[:2] != layout:
        wanted = f"{path}: an array 'joints' of shape ({layout[0]}, {layout[1]}, N) was wanted"
        raise BadInputError(
            wanted, f"{found}", "LSP is (3, 14, N), its extension (14, 3, N): name the right one."
        )
    return joints.astype(np.float32)


def _read(
    folder: Path, source: str, points: np.ndarray, weights: np.ndarray, checks: Checks
) -> list[Annotation]:
    file = folder / "joints.mat"
    photos = sorted((folder / "images").glob("im*.jpg"))
    digits = len(photos[0].stem) - 2 if photos else 5
    people = []
    for row, (person, weight) in enumerate(zip(points, weights, strict=True), start=1):
        name = f"im{row:0{digits}d}"
        annotation = Annotation(
            folder / "images" / f"{name}.jpg", LSP_14, person, weight, source=source, record=name
        )
        people.append(checks.person(annotation, file))
    checks.unused_photos(photos, file)
    checks.finish()
    return [person for person in people if person is not None]
