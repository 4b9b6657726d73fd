"""One photo in, a posed 3D human body mesh out.

model = humanmesh.load()
person = model.recover("photo.jpg")[0]
person.save("person.glb")
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from humanmesh.errors import HumanMeshError

if TYPE_CHECKING:
    from humanmesh.body.model import BodyModel
    from humanmesh.inference import Recoverer
    from humanmesh.person import Person

__all__ = ["HumanMeshError", "load", "load_body", "upright"]


def load(
    weights: str | Path | None = None,
    body: str | Path = "anny",
    device: str | None = None,
    precision: str = "float32",
    detector: str | Path | None = None,
) -> "Recoverer":
    """A `Recoverer`: give it photos, and it gives people.

    Args:
        weights: a checkpoint, or "open" for the bundled one from sources that allow any use; the default one where None.
        body: "anny", the free body that is bundled, or the path of an SMPL file.
        device: torch's name of a device; a GPU where there is one, else the processor.
        precision: "float32" or "bfloat16", the arithmetic of the network, or "auto": bfloat16 where that is fast.
        detector: who finds the people: "rt-detr" (extra `detect`), or the folder of such a model; the bundled finder
            where None.
    """
    from humanmesh import inference  # torch takes a second to import: not before it is needed

    return inference.load(weights, body, device, precision, detector)


def load_body(name_or_path: str | Path) -> "BodyModel":
    """The body of that name ("anny") or file (SMPL .pkl or .npz): (pose, shape) -> vertices and joints."""
    from humanmesh.body.model import BodyModel
    from humanmesh.files.body_models import load_body_data

    return BodyModel(load_body_data(name_or_path))


def upright(people: "Sequence[Person]") -> "list[Person]":
    """The people of one photo, whose GLB, BVH, OBJ and PLY files stand upright in the room if somebody stands in the photo."""
    from humanmesh import person

    return person.upright(people)
