"""Acclaim skeletons (.asf) and motions (.amc), as CMU's motion capture database ships them.

Each bone turns about axes of its own; y is up, x the person's left, z forward.
"""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.data.motion import (
    CMU_CORRESPONDENCE,
    Motion,
    SourceMotion,
    SourceSkeleton,
    accumulate_turns,
    require_finite,
    retarget,
    turn_about_axes,
)
from humanmesh.errors import BadInputError, MissingAssetError

METRES_PER_INCH = 0.0254
FRAME_RATE = 120.0
"""Hz of CMU's recordings; an .amc file does not say its own."""


@dataclass(frozen=True)
class AcclaimBone:
    """One bone of an .asf file; the root is a bone of length 0."""

    name: str
    """As the .amc file calls it."""
    parent: str
    """Bone at whose end this one starts; empty for the root."""
    tail: tuple[float, float, float]
    """From the bone's start to its end in the rest pose, in the file's unit of length."""
    axes: tuple[float, float, float]
    """Turn of the bone's own axes about x, then y, then z, in the file's unit of angle."""
    freedoms: tuple[str, ...]
    """What each number of an .amc line is: turns rx, ry, rz (first applied first) or shifts tx, ty, tz, l."""


@dataclass(frozen=True)
class AcclaimSkeleton:
    """An .asf file."""

    bones: tuple[AcclaimBone, ...]
    """Parents before children; the root first."""
    metres_per_unit: float
    """The file's unit of length."""
    radians_per_unit: float
    """The file's unit of angle."""


def read_asf_amc(asf_path: Path, amc_path: Path, frame_rate: float = FRAME_RATE) -> Motion:
    """A clip as SMPL rotations; `frame_rate` in Hz."""
    return retarget(read_asf_amc_source(asf_path, amc_path, frame_rate), CMU_CORRESPONDENCE)


def read_asf_amc_source(asf_path: Path, amc_path: Path, frame_rate: float = FRAME_RATE) -> SourceMotion:
    """A clip on its own skeleton; each joint is named for the bone that starts there.

    Raises:
        MissingAssetError: where a file is not there.
        BadInputError: where a file is cut short, or a frame lacks a bone or has a wrong number.
    """
    skeleton = read_asf(asf_path)
    values = _read_amc(amc_path, skeleton)
    root = skeleton.bones[0]
    tails = {bone.name: bone.tail for bone in skeleton.bones}
    names = tuple(tails)
    parents = tuple(names.index(bone.parent) if bone.parent else -1 for bone in skeleton.bones)
    # A joint stands where its parent's bone ends.
    offsets = [tails.get(bone.parent, (0.0, 0.0, 0.0)) for bone in skeleton.bones]
    local = torch.stack([_turn(bone, values, skeleton.radians_per_unit) for bone in skeleton.bones], 1)
    shifts = values[root.name][:, [root.freedoms.index(name) for name in ("tx", "ty", "tz")]]
    return SourceMotion(
        name=amc_path.stem,
        skeleton=SourceSkeleton(
            names, parents, torch.tensor(offsets, dtype=torch.float64) * skeleton.metres_per_unit
        ),
        world_turns=accumulate_turns(local, parents),
        translation=shifts * skeleton.metres_per_unit,
        frame_rate=frame_rate,
        source=str(amc_path),
    )


def _turn(
    bone: AcclaimBone, values: dict[str, Float[Tensor, "frames freedoms"]], radians_per_unit: float
) -> Float[Tensor, "frames 3 3"]:
    """The bone's turn away from rest relative to its parent's, in the body frame."""
    frames = len(next(iter(values.values())))
    # The first freedom is applied first, so it stands rightmost in the product.
    turns = [name for name in reversed(bone.freedoms) if name.startswith("r")]
    if not turns:
        return torch.eye(3, dtype=torch.float64).expand(frames, 3, 3)
    columns = [bone.freedoms.index(name) for name in turns]
    angles = values[bone.name][:, columns] * radians_per_unit
    axes = turn_about_axes(torch.tensor([bone.axes[::-1]], dtype=torch.float64) * radians_per_unit, "zyx")
    return axes @ turn_about_axes(angles, "".join(name[1] for name in turns)) @ axes.transpose(1, 2)


def read_asf(path: Path) -> AcclaimSkeleton:
    """The skeleton of an .asf file.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where it is cut short or not an .asf file.
    """
    if not path.is_file():
        raise MissingAssetError("skeleton file", path, "Give the .asf of the same subject as the .amc.")
    try:
        sections = _sections(path.read_text(encoding="utf-8", errors="replace"))
        units = dict(line.split()[:2] for line in sections["units"])
        described = {"root": _root_bone(sections["root"])}
        described |= {bone.name: bone for bone in _bones(sections["bonedata"])}
        bones = _in_hierarchy(described, sections["hierarchy"])
        metres = METRES_PER_INCH / float(units["length"])
    except (KeyError, ValueError, ZeroDivisionError) as error:
        raise BadInputError(
            f"Skeleton {path} is not a whole .asf file",
            f"{type(error).__name__} at {error}",
            "Fetch it again.",
        ) from error
    return AcclaimSkeleton(bones, metres, math.radians(1) if units.get("angle") == "deg" else 1.0)


def _sections(text: str) -> dict[str, list[str]]:
    sections: dict[str, list[str]] = {}
    current: list[str] = []
    for raw in text.splitlines():
        line = raw.split("#")[0].strip()
        if line.startswith(":"):
            current = sections.setdefault(line[1:].split()[0].lower(), [])
        elif line:
            current.append(line)
    return sections


def _root_bone(lines: list[str]) -> AcclaimBone:
    fields = dict(line.split(None, 1) for line in lines)
    freedoms = tuple(word.lower() for word in fields["order"].split())
    return AcclaimBone("root", "", (0.0, 0.0, 0.0), _three_numbers(fields["orientation"]), freedoms)


def _bones(lines: list[str]) -> list[AcclaimBone]:
    bones = []
    fields: dict[str, str] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        if word == "begin":
            fields = {}
        elif word == "end":
            x, y, z = _three_numbers(fields["direction"])
            length = float(fields["length"])
            tail = (x * length, y * length, z * length)
            freedoms = tuple(fields.get("dof", "").lower().split())
            bones.append(
                AcclaimBone(fields["name"].strip(), "", tail, _three_numbers(fields["axis"]), freedoms)
            )
        else:
            fields[word] = rest
    return bones


def _in_hierarchy(described: dict[str, AcclaimBone], lines: list[str]) -> tuple[AcclaimBone, ...]:
    bones = [described["root"]]
    for line in lines:
        parent, *children = line.split()
        bones += [replace(described[child], parent=parent) for child in children]
    return tuple(bones)


def _three_numbers(text: str) -> tuple[float, float, float]:
    x, y, z = (float(word) for word in text.split()[:3])
    return x, y, z


def _read_amc(path: Path, skeleton: AcclaimSkeleton) -> dict[str, Float[Tensor, "frames freedoms"]]:
    """Numbers of each bone that can move, by name."""
    if not path.is_file():
        raise MissingAssetError("motion file", path, "Give an .amc file.")
    movable = {bone.name: bone.freedoms for bone in skeleton.bones if bone.freedoms}
    rows: dict[str, list[list[float]]] = {name: [] for name in movable}
    number, frames = "", 0
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if not words or words[0][0] in "#:":
            continue
        if len(words) == 1 and words[0].isdigit():
            _require_whole_frame(path, number, rows, frames)
            number, frames = words[0], frames + 1
            continue
        rows.setdefault(words[0], []).append(_amc_row(path, number, words, movable))
    _require_whole_frame(path, number, rows, frames)
    if not frames:
        raise BadInputError(f"Motion {path} needs frames", "it has none", "Fetch the file again.")
    values = {name: torch.tensor(row, dtype=torch.float64) for name, row in rows.items()}
    for name, freedoms in movable.items():
        require_finite(values[name], [f"{name} {freedom}" for freedom in freedoms], str(path))
    return values


def _amc_row(path: Path, number: str, words: list[str], movable: dict[str, tuple[str, ...]]) -> list[float]:
    name = words[0]
    where = f"Motion {path}, frame {number}"
    if name not in movable:
        raise BadInputError(
            f"{where} names a bone", f"the skeleton has no {name} that moves", "Give its own .asf."
        )
    try:
        values = [float(word) for word in words[1:]]
    except ValueError as error:
        raise BadInputError(f"{where}, {name} needs numbers", str(error), "Fetch the file again.") from error
    if len(values) != len(movable[name]):
        raise BadInputError(
            f"{where}, {name} needs {len(movable[name])} numbers",
            f"{len(values)} found",
            "Fetch the file again.",
        )
    return values


def _require_whole_frame(path: Path, number: str, rows: dict[str, list[list[float]]], frames: int) -> None:
    missing = [name for name, values in rows.items() if len(values) != frames]
    if missing:
        raise BadInputError(
            f"Motion {path}, frame {number} needs each bone once",
            f"{', '.join(missing)} is not there or there twice",
            "The file may be cut short: fetch it again, or cut the frame out.",
        )
