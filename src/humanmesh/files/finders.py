"""The person finder on disk: safetensors with the encoder's name inside."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.rounding import rounded, unrounded
from humanmesh.files.writing import whole_file
from humanmesh.network.encoder import build_encoder
from humanmesh.network.finder import PersonFinder

FINDER_FORMAT = "humanmesh-finder-1"


def save_finder(path: Path | str, encoder_name: str, encoder: nn.Module, notes: dict[str, str]) -> None:
    """Write an encoder with person heads, its large kernels as int8; `notes` say source and licence."""
    tensors = {}
    for name, value in encoder.state_dict().items():
        tensors |= rounded(name, value, torch.int8)
    with whole_file(path) as beside:
        beside.write_bytes(save(tensors, {**notes, "format": FINDER_FORMAT, "encoder": encoder_name}))


def load_finder(path: Path | str) -> PersonFinder:
    """Read what `save_finder` wrote, as float32, in eval mode.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is not a person finder of this version.
    """
    if not Path(path).is_file():
        raise MissingAssetError(
            "person finder", path, "Reinstall the package, or give a box round each person."
        )
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            tensors = unrounded({name: file.get_tensor(name) for name in names})
        if metadata.get("format") != FINDER_FORMAT:
            raise ValueError(f"its format is {metadata.get('format')!r}, not {FINDER_FORMAT!r}")
        encoder = build_encoder(metadata["encoder"], person_heads=True)
        encoder.load_state_dict(tensors)
    except (SafetensorError, OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BadInputError(
            f"Person finder {path}", f"cannot be used ({reason})", "Reinstall the package."
        ) from error
    return PersonFinder(encoder).eval()
