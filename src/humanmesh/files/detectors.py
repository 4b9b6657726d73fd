"""Person detectors of other makers, read from disk or from the Hugging Face hub by `transformers` (extra `detect`)."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from humanmesh.errors import BadInputError, MissingAssetError, UnknownNameError

DETECTORS = {"rt-detr": "PekingU/rtdetr_r50vd_coco_o365"}
"""Name -> model on the hub (Zhao et al., "DETRs Beat YOLOs on Real-time Object Detection", 2023; Apache-2.0)."""
DETECTOR_PIXELS = 640
"""Sides of the square that a photo is squeezed into, as RT-DETR was trained."""
DETECTOR_SCORE = 0.5
"""Score from which a detection is a person."""
SMALLEST_SIDE = 8.0
"""Pixels of a box."""


@dataclass(frozen=True)
class FoundBoxes:
    """The people in one photo, the clearest first."""

    boxes: Float[Tensor, "people 4"]
    """x0, y0, x1, y1 round the visible body, photo pixels."""
    scores: Float[Tensor, "people"]
    """In [0, 1]."""


@runtime_checkable
class BoxDetector(Protocol):
    """Whatever finds people by boxes."""

    def find(self, photos: Sequence[Tensor]) -> list[FoundBoxes]:
        """The people in each photo (3, height, width), RGB in [0, 1]."""
        ...


class RtDetr:
    """RT-DETR of `transformers`: every class but its people is left out."""

    def __init__(self, model: Any, device: torch.device) -> None:
        """Take over a model.

        Args:
            model: an `RTDetrForObjectDetection`.
            device: where it runs.

        Raises:
            BadInputError: where it knows no people.
        """
        labels = {str(label).lower(): int(number) for number, label in model.config.id2label.items()}
        if "person" not in labels:
            found = f"its {len(labels)} classes have no person among them"
            raise BadInputError("Detector", found, "Give a model trained on COCO.")
        self.person = labels["person"]
        self.model = model.to(device).eval()
        self.device = device

    @torch.no_grad()
    def find(self, photos: Sequence[Tensor]) -> list[FoundBoxes]:
        """The people in each photo (3, height, width), RGB in [0, 1]."""
        return [self._find(photo) for photo in photos]

    def _find(self, photo: Float[Tensor, "3 height width"]) -> FoundBoxes:
        size = (DETECTOR_PIXELS, DETECTOR_PIXELS)
        squeezed = F.interpolate(photo[None], size, mode="bilinear", antialias=True, align_corners=False)
        output = self.model(pixel_values=squeezed.to(self.device))
        scores = output.logits[0, :, self.person].sigmoid().float().cpu()
        middle, sides = output.pred_boxes[0].float().cpu().split(2, 1)
        height, width = photo.shape[1:]
        pixels = torch.tensor([width, height, width, height])
        boxes = torch.cat([middle - sides / 2, middle + sides / 2], 1).clamp(0, 1) * pixels
        is_person = (scores >= DETECTOR_SCORE) & ((boxes[:, 2:] - boxes[:, :2]) >= SMALLEST_SIDE).all(1)
        order = scores[is_person].argsort(descending=True)
        return FoundBoxes(boxes[is_person][order], scores[is_person][order])


def load_detector(name_or_folder: str | Path, device: torch.device) -> BoxDetector:
    """A detector by its name, or from a folder that `save_pretrained` wrote.

    Raises:
        MissingAssetError: where the model can neither be found nor fetched.
        UnknownNameError: where it is neither a known name nor a folder.
        BadInputError: where transformers is not installed, or the model knows no people.
    """
    name = str(name_or_folder)
    if name not in DETECTORS and not Path(name).is_dir():
        raise UnknownNameError("detector", name, [*DETECTORS, "a folder"])
    try:
        from transformers import RTDetrForObjectDetection  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        found = "the package transformers is not installed"
        raise BadInputError(
            f"Detector {name}", found, "Install it with: pip install 'humanmesh[detect]'"
        ) from error
    source = DETECTORS.get(name, name)
    try:
        model = RTDetrForObjectDetection.from_pretrained(source)
    except (OSError, ValueError) as error:
        remedy = (
            f"Connect to the internet once, or give a folder with the model ({str(error).splitlines()[0]})"
        )
        raise MissingAssetError("detector", source, remedy) from error
    return RtDetr(model, device)
