"""Tiny data sets and predictions whose figures are worked out by hand in the tests."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.io
import torch
from PIL import Image

from humanmesh.body.model import BodyModel
from humanmesh.body.parameters import BodyModelData
from humanmesh.data.readers import ReadReport
from humanmesh.evaluation.benchmark import evaluate
from humanmesh.evaluation.cases import Case
from humanmesh.evaluation.data_sets import load_cases
from humanmesh.evaluation.measuring import TruthBodies
from humanmesh.evaluation.prediction_files import read_predictions
from humanmesh.evaluation.predictions import FilePredictor
from humanmesh.evaluation.protocols import PROTOCOLS
from humanmesh.evaluation.results import Result
from humanmesh.geometry.rotations import axis_angle_to_matrix
from made_bodies import small_body
from photo_layouts import COCO, HEIGHT, LSP, WIDTH, points, write_json, write_photo


def cases_of(protocol: str, path: Path) -> list[Case]:
    return load_cases(PROTOCOLS[protocol], path, ReadReport())


def write_predictions(path: Path, **arrays: object) -> Path:
    np.savez(path, **{name: np.asarray(value) for name, value in arrays.items()})
    return path


def measured(
    protocol: str, data: Path, predictions: Path, body: BodyModelData | None = None, unit: str = "m"
) -> Result:
    people = cases_of(protocol, data)
    model = BodyModel(body or small_body())
    predictor = FilePredictor("theirs", read_predictions(predictions, unit), people, model)
    return evaluate(people, predictor, PROTOCOLS[protocol], TruthBodies({"": model}))


def write_lspet_hold_out(folder: Path, people: int = 3) -> Path:
    """im08001 and the next, all with the same joints; the second person has no left wrist."""
    joints = np.zeros((14, 3, 8000 + people))
    for number in range(8000, 8000 + people):
        write_photo(folder / "images" / f"im{number + 1:05d}.jpg")
        joints[:, :2, number] = points(LSP)
        joints[:, 2, number] = 1
    joints[LSP.index("left_wrist"), :, 8001:8002] = 0
    scipy.io.savemat(folder / "joints.mat", {"joints": joints})
    return folder


def write_ccp_hold_out(folder: Path) -> Path:
    """Photo 5 with a person in rows 10 to 30 and columns 20 to 40, photo 6 for training, photo 10 without labels."""
    for name in ("0005", "0006", "0010"):
        write_photo(folder / "images" / f"{name}.jpg")
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    labels[10:30, 20:40] = 41
    labels[50:60, 50:60] = 2  # a bag
    (folder / "labels").mkdir()
    for name in ("0005", "0006"):
        Image.fromarray(labels).save(folder / "labels" / f"{name}.png")
    keypoints = np.concatenate([points(COCO), np.full((17, 1), 2)], 1).ravel().tolist()
    people = [
        {"id": number, "image_id": number, "category_id": 1, "bbox": [1, 2, 30, 40], "keypoints": keypoints}
        for number in (1, 2, 3)
    ]
    photos = [
        {"id": number, "file_name": f"{name}.jpg", "width": WIDTH, "height": HEIGHT}
        for number, name in ((1, "0005"), (2, "0006"), (3, "0010"))
    ]
    categories = [{"id": 1, "name": "person", "keypoints": COCO}]
    write_json(folder / "keypoints.json", {"images": photos, "annotations": people, "categories": categories})
    return folder


def square_body(**parts: object) -> BodyModelData:
    """A body whose faces are two triangles over its first four vertices."""
    return replace(small_body(), faces=torch.tensor([[0, 1, 2], [0, 2, 3]]), **parts)


def square_vertices(x0: float, y0: float, x1: float, y1: float, vertices: int = 40) -> np.ndarray:
    """(1, V, 3): a square one metre before a camera of focal length 1, so that metres are pixels."""
    corners = np.array([[x0, y0, 1], [x1, y0, 1], [x1, y1, 1], [x0, y1, 1]], np.float32)
    return np.concatenate([corners, np.tile(corners[:1], (vertices - 4, 1))])[None]


UNIT_CAMERA = {
    "translation": np.zeros((1, 3)),
    "focal_length": np.ones(1),
    "principal_point": np.zeros((1, 2)),
}


def synthetic_pose(people: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    rotations = axis_angle_to_matrix(0.4 * torch.randn(people, 24, 3, generator=generator))
    return rotations, torch.randn(people, 10, generator=generator)


def write_synthetic(path: Path, people: int = 3) -> Path:
    """People of the made body in pictures of 32 pixels, their keypoints spread over the picture."""
    rotations, shape = synthetic_pose(people)
    body = BodyModel(small_body())
    vertices = body(rotations, shape).vertices
    keypoints = body.keypoints(vertices, "cocoplus19")
    spread = torch.linspace(-0.5, 0.5, 19)
    mask = torch.zeros(people, 32, 32, dtype=torch.uint8)
    mask[:, 8:24, 8:24] = 1
    arrays = {
        "images": torch.full((people, 3, 32, 32), 128, dtype=torch.uint8),
        "keypoints_2d": torch.stack([spread, spread], 1).expand(people, 19, 2).clone(),
        "weights_2d": torch.ones(people, 19),
        "keypoints_3d": keypoints + torch.tensor([0.1, 0.2, 4.0]),
        "rotations": rotations,
        "shape": shape,
        "mask": mask,
    }
    torch.save(arrays, path)
    return path


def lspet_side() -> float:
    """Longer side of the box of the joints that `write_lspet_hold_out` writes."""
    return float((points(LSP).max(0) - points(LSP).min(0)).max())
