"""Where a training's figures and pictures go: a file of lines, a picture, TensorBoard."""

import json
import math
import warnings
from pathlib import Path
from typing import Any

from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.errors import BadInputError, HumanMeshError
from humanmesh.files.images import write_png
from humanmesh.files.writing import whole_file
from humanmesh.training.config import LossWeights

PICTURE = "predictions.png"
TENSORBOARD = "tensorboard"

CRITICS = (*SMPL_24.joints[1:], "all_joints", "shape")
"""What each of the adversary's 25 outputs looks at."""


class Sink:
    """Takes what a training tells; each kind overrides what it can show."""

    def advance(self, step: int, share: float) -> None:
        """A step is done, and a share of the run in [0, 1]."""

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Figures by name: numbers, or tensors of one or more."""

    def picture(self, step: int, picture: Tensor) -> None:
        """A picture (3, height, width) in [0, 1]."""

    def close(self) -> None:
        """Nothing more will come."""


class MetricsLog(Sink):
    """metrics.jsonl in a run's folder: one JSON object a line, flushed, so that a killed run keeps what it measured."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        """Go on after `step`; lines of later steps, which a killed run wrote after its checkpoint, are taken back."""
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        if self.path.exists():
            lines = self.path.read_text().splitlines()
            kept = [line for line in lines if _step_of(line) <= step]
            with whole_file(self.path) as beside:
                beside.write_text("".join(f"{line}\n" for line in kept))

    def write(self, step: int, values: dict[str, Any]) -> None:
        """Append one line.

        Raises:
            BadInputError: where it cannot be written.
        """
        line = {"step": step} | {name: _plain(value) for name, value in values.items()}
        try:
            with self.path.open("a") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            reason = error.strerror or str(error)
            raise BadInputError(f"Cannot write {self.path}", reason, "Make room for it.") from error


def _step_of(line: str) -> float:
    """The step of a line; a line cut short belongs to none."""
    try:
        return json.loads(line)["step"]
    except ValueError:
        return math.inf


def _plain(value: object) -> object:
    if isinstance(value, Tensor):
        return [round(v, 5) for v in value.tolist()] if value.ndim else round(float(value), 5)
    return round(value, 5) if isinstance(value, float) else value


class PictureFile(Sink):
    """predictions.png in a run's folder: the latest picture, whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / PICTURE

    def picture(self, step: int, picture: Tensor) -> None:
        """Take the place of the last one."""
        write_png(self.path, picture)


class TensorBoardLog(Sink):
    """The same figures and pictures for TensorBoard, the adversary's by joint name."""

    def __init__(self, folder: Path, step: int = 0) -> None:
        """Go on after `step`.

        Raises:
            HumanMeshError: where TensorBoard is not installed.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # its own, of modules that it imports
                from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise HumanMeshError(
                "TensorBoard is not installed. Install humanmesh[train], or give --no-tensorboard."
            ) from error
        self.writer = SummaryWriter(str(folder / TENSORBOARD), purge_step=step + 1, flush_secs=30)

    def write(self, step: int, values: dict[str, Any]) -> None:
        """One point on the curve of each figure."""
        for name, value in values.items():
            if isinstance(value, Tensor) and value.ndim:
                for critic, score in zip(CRITICS, value.tolist(), strict=True):
                    self.writer.add_scalar(f"{name}/{critic}", score, step)
            else:
                self.writer.add_scalar(_tag(name), float(value), step)

    def picture(self, step: int, picture: Tensor) -> None:
        """One more in the series."""
        self.writer.add_image("predictions", picture, step)

    def close(self) -> None:
        """Write what is left."""
        self.writer.close()


def _tag(name: str) -> str:
    if name in vars(LossWeights()):
        return f"terms/{name}"
    if name.startswith("gradient_norm"):
        return f"gradients/{name.removeprefix('gradient_norm').lstrip('_') or 'all'}"
    return name if "/" in name else f"run/{name}"
