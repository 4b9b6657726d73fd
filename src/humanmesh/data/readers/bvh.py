"""Biovision hierarchies (.bvh) with the joint names of CMU's conversions, of Mixamo, of Rokoko or of SMPL.

The rest pose must stand: head up, legs down, arms in a T, in an A or hanging. Its own joints tell which axes are up and
left, and its legs tell the unit of length, for a file says neither.
"""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24
from humanmesh.data.motion import (
    CMU_CORRESPONDENCE,
    Correspondence,
    Follows,
    Motion,
    SourceMotion,
    SourceSkeleton,
    accumulate_turns,
    require_finite,
    require_joints,
    retarget,
    turn_about_axes,
)
from humanmesh.errors import BadInputError, MissingAssetError

UNITS_IN_METRES = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)
"""Metre, centimetre, millimetre, inch, and the unit of CMU's files."""
ADULT_LEG = 0.82
"""Hip to ankle in metres: the unit of length is the one that brings a file's legs nearest to it."""

_SIDES = ("left", "right")
_LEG = (("hip", "knee"), ("knee", "ankle"))
_SIDE_OF_LETTER = {"l": "left", "r": "right"}


def _both_sides(table: dict[str, str]) -> dict[str, str]:
    return {f"{side}_{joint}": f"{side}{name}" for joint, name in table.items() for side in _SIDES}


_MIXAMO_NAMES = {
    "pelvis": "hips", "spine1": "spine", "spine2": "spine1", "spine3": "spine2", "neck": "neck", "head": "head",
    **_both_sides({
        "hip": "upleg", "knee": "leg", "ankle": "foot", "foot": "toebase",
        "collar": "shoulder", "shoulder": "arm", "elbow": "forearm", "wrist": "hand",
    }),
}  # fmt: skip
_ROKOKO_NAMES = {
    **_MIXAMO_NAMES,
    "spine1": "spine1", "spine2": "spine2", "spine3": "spine4", **_both_sides({"foot": "toe"}),
}  # fmt: skip
"""Its thighs and shins are renamed before."""
_ALIASES = {
    f"{side}{theirs}": f"{side}{ours}"
    for side in _SIDES
    for theirs, ours in (("thigh", "upleg"), ("shin", "leg"))
}
"""Another name of a joint -> Mixamo's, both as `plain_name` writes them."""
_SEGMENT_ENDS = {
    f"{side}_{joint}": f"{side}_{end}"
    for side in _SIDES
    for joint, end in (("hip", "knee"), ("knee", "ankle"), ("shoulder", "elbow"), ("elbow", "wrist"))
}
_NAMES_OF_CMU_BONES = {
    "root": "hips", "lowerback": "lowerback", "upperback": "spine", "thorax": "spine1",
    "lowerneck": "neck", "upperneck": "neck1", "head": "head",
    **{
        f"{side[0]}{bone}": f"{side}{name}"
        for side in _SIDES
        for bone, name in {
            "femur": "upleg", "tibia": "leg", "foot": "foot", "toes": "toebase", "clavicle": "shoulder",
            "humerus": "arm", "radius": "forearm", "wrist": "hand", "hand": "fingerbase",
        }.items()
    },
}  # fmt: skip
"""CMU's bone -> the joint at its start in the conversions to BVH, as `plain_name` writes it."""


def _renamed(entry: Follows) -> Follows:
    names = _NAMES_OF_CMU_BONES
    return Follows(names[entry.first], names[entry.second] if entry.second else "", entry.share)


FAMILIES: dict[str, Correspondence] = {
    "CMU": Correspondence(
        {joint: _renamed(entry) for joint, entry in CMU_CORRESPONDENCE.follows.items()},
        {joint: _NAMES_OF_CMU_BONES[end] for joint, end in CMU_CORRESPONDENCE.limb_ends.items()},
        CMU_CORRESPONDENCE.twists,
    ),
    "Mixamo": Correspondence(
        {joint: Follows(name) for joint, name in _MIXAMO_NAMES.items()},
        {joint: _MIXAMO_NAMES[end] for joint, end in _SEGMENT_ENDS.items()},
    ),
    "Rokoko": Correspondence(
        {joint: Follows(name) for joint, name in _ROKOKO_NAMES.items()},
        {joint: _ROKOKO_NAMES[end] for joint, end in _SEGMENT_ENDS.items()},
    ),
    # A skeleton with SMPL's names rests in SMPL's T, so its limbs need no turn.
    "SMPL": Correspondence({joint: Follows(joint.replace("_", "")) for joint in SMPL_24.joints}, {}),
}
"""How SMPL's joints follow each family of names, as `plain_name` writes them."""

_OPTIONAL = frozenset([
    "spine2", "spine3", "neck",
    *(f"{side}_{joint}" for side in _SIDES for joint in ("foot", "hand", "collar", "wrist")),
])  # fmt: skip
"""SMPL joints that move with their parent where the file has no such joint."""


@dataclass(frozen=True)
class BvhJoint:
    """One joint of the HIERARCHY section."""

    name: str
    """As `plain_names` writes it; an end site is its parent with "end" behind."""
    parent: int
    """Row of the parent; -1 for the root."""
    offset: tuple[float, float, float]
    """From the parent in the rest pose, in the file's unit and frame."""
    channels: tuple[str, ...]
    """What the joint's numbers in a frame are: xposition, zrotation, ..."""


def plain_name(name: str) -> str:
    """A joint's name without name space, punctuation and capitals: "mixamorig:LeftUpLeg" is "leftupleg"."""
    bare = re.sub(r"^mixamorig\d*", "", re.split(r"[:|]", name)[-1])
    bare = re.sub(
        r"^([lr])[_. -]", lambda found: _SIDE_OF_LETTER[found[1].lower()], bare, flags=re.IGNORECASE
    )
    return re.sub(r"[^a-z0-9]", "", bare.lower())


def plain_names(names: Sequence[str]) -> list[str]:
    """A skeleton's names, root first, without what stands before all of them: "Model_LeftThigh" is "leftupleg".

    The root may lack the words that the others share: exporters put one of their own above the skeleton.
    """
    bare = [re.split(r"[:|]", name)[-1] for name in names]
    while prefix := _shared_word(bare[1:]):
        bare = [name.removeprefix(prefix) for name in bare]
    plain = [plain_name(name) for name in bare]
    taken = set(plain)
    renamed = [_ALIASES.get(name, name) for name in plain]
    return [name if new in taken else new for name, new in zip(plain, renamed, strict=True)]


def _shared_word(names: Sequence[str]) -> str:
    """The first word with the underscore behind it where all names have the same, else nothing."""
    words = {word + underscore for word, underscore, _ in (name.partition("_") for name in names)}
    word = words.pop() if len(words) == 1 else ""
    return word if word.endswith("_") else ""


def read_bvh(path: Path) -> Motion:
    """A clip as SMPL rotations."""
    source = read_bvh_source(path)
    return retarget(source, correspondence_of(set(source.skeleton.joints), source.source))


def read_bvh_source(path: Path) -> SourceMotion:
    """A clip on its own skeleton, turned to the body frame and brought to metres.

    Raises:
        MissingAssetError: where there is no such file.
        BadInputError: where the file is cut short, has wrong numbers, lacks a joint, or its rest pose does not stand.
    """
    if not path.is_file():
        raise MissingAssetError("motion file", path, "Give a .bvh file.")
    hierarchy, _, frames = path.read_text(encoding="utf-8", errors="replace").partition("MOTION")
    joints = _read_hierarchy(path, hierarchy)
    frame_time, values = _read_frames(path, frames, joints)
    values = _without_exporters_t_pose(joints, values)
    local, steps = _apply_channels(joints, values)
    parents = tuple(joint.parent for joint in joints)
    skeleton = SourceSkeleton(tuple(joint.name for joint in joints), parents, steps[0])
    correspondence = correspondence_of(set(skeleton.joints), str(path))
    turn, metres = _frame_and_unit(skeleton, correspondence, str(path))
    world = accumulate_turns(local, parents)
    pelvis = skeleton.joints.index(correspondence.follows["pelvis"].first)
    return SourceMotion(
        name=path.stem,
        skeleton=replace(skeleton, offsets=skeleton.offsets @ turn.T * metres),
        # A change of frame acts on both sides of a rotation.
        world_turns=turn @ world @ turn.T,
        translation=_root_positions(pelvis, parents, steps, world) @ turn.T * metres,
        frame_rate=1 / frame_time,
        source=str(path),
    )


def correspondence_of(joints: set[str], source: str) -> Correspondence:
    """How SMPL's joints follow these joints, by the family of names that has most of them.

    Raises:
        BadInputError: naming the file and the joints that are not there.
    """
    family = max(FAMILIES.values(), key=lambda family: len(joints & _followed(family.follows.values())))
    follows = {
        joint: entry
        for joint, entry in family.follows.items()
        if joint not in _OPTIONAL or _followed([entry]) <= joints
    }
    correspondence = replace(family, follows=follows)
    require_joints(joints, correspondence, source)
    return correspondence


def _followed(entries: Iterable[Follows]) -> set[str]:
    return {name for entry in entries for name in (entry.first, entry.second) if name}


def _without_exporters_t_pose(
    joints: list[BvhJoint], values: Float[Tensor, "frames channels"]
) -> Float[Tensor, "kept channels"]:
    """CMU's conversions put a T pose, whose root is not turned at all, before the recording."""
    is_cmu = any(joint.name == "lowerback" for joint in joints)
    turned = [column for column, name in enumerate(joints[0].channels) if name.endswith("rotation")]
    if is_cmu and not values[0, turned].any() and values[:, turned].any():
        return values[1:]
    return values


def _frame_and_unit(
    skeleton: SourceSkeleton, correspondence: Correspondence, source: str
) -> tuple[Float[Tensor, "3 3"], float]:
    """Turn from the file's frame to the body frame, and the file's unit in metres, both from the rest pose."""
    places = dict(zip(skeleton.joints, skeleton.rest_positions(), strict=True))
    at = {joint: places[entry.first] for joint, entry in correspondence.follows.items()}
    _require_lengths(places, correspondence, source)
    up = _nearest_axis(at["head"] - at["pelvis"])
    left = _nearest_axis(at["left_hip"] - at["right_hip"])
    legs = [at[f"{side}_ankle"] - at[f"{side}_hip"] for side in _SIDES]
    if left @ up != 0 or any(-leg @ up < 0.8 * leg.norm() for leg in legs):
        raise BadInputError(
            f"Motion {source} needs a rest pose that stands upright",
            "its offsets give another",
            "Export it with a T pose.",
        )
    length = float(sum(
        (at[f"{side}_{joint}"] - at[f"{side}_{end}"]).norm() / 2
        for side in _SIDES
        for joint, end in _LEG
    ))  # fmt: skip
    metres = min(UNITS_IN_METRES, key=lambda unit: abs(math.log(length * unit / ADULT_LEG)))
    return torch.stack([left, up, torch.linalg.cross(left, up)]), metres


def _require_lengths(
    places: dict[str, Float[Tensor, "3"]], correspondence: Correspondence, source: str
) -> None:
    """Refuse a rest pose whose legs or limbs have no length, or whose hips have no width.

    Raises:
        BadInputError: naming the file and the first two joints that stand at one place.
    """
    follows = correspondence.follows
    bones = {f"{side}_{joint}": f"{side}_{end}" for joint, end in _LEG for side in _SIDES}
    pairs = [(follows[joint].first, follows[end].first) for joint, end in bones.items()]
    pairs += [(follows[joint].first, end) for joint, end in correspondence.limb_ends.items()]
    for first, second in [(follows["left_hip"].first, follows["right_hip"].first), *pairs]:
        if torch.equal(places[first], places[second]):
            raise BadInputError(
                f"Motion {source} needs a rest pose whose limbs have a length",
                f"its offsets put {first} and {second} at one place",
                "Export it with the offsets of its skeleton.",
            )


def _nearest_axis(vector: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    axis = torch.zeros_like(vector)
    largest = vector.abs().argmax()
    axis[largest] = vector[largest].sign()
    return axis


def _apply_channels(
    joints: list[BvhJoint], values: Float[Tensor, "frames channels"]
) -> tuple[Float[Tensor, "frames joints 3 3"], Float[Tensor, "frames joints 3"]]:
    """Turns and positions relative to the parent, in the file's frame and unit.

    A joint without positions stands at its offset; so does one whose positions are zero throughout.
    """
    steps = torch.tensor([joint.offset for joint in joints], dtype=torch.float64).repeat(len(values), 1, 1)
    turns = []
    first = 0
    for row, joint in enumerate(joints):
        own = values[:, first : first + len(joint.channels)]
        first += len(joint.channels)
        turned = [column for column, name in enumerate(joint.channels) if name.endswith("rotation")]
        turns.append(turn_about_axes(own[:, turned].deg2rad(), "".join(joint.channels[c][0] for c in turned)))
        moved = [column for column, name in enumerate(joint.channels) if name.endswith("position")]
        if own[:, moved].any():
            steps[:, row, ["xyz".index(joint.channels[c][0]) for c in moved]] = own[:, moved]
    return torch.stack(turns, 1), steps


def _root_positions(
    pelvis: int,
    parents: Sequence[int],
    steps: Float[Tensor, "frames joints 3"],
    world_turns: Float[Tensor, "frames joints 3 3"],
) -> Float[Tensor, "frames 3"]:
    """Where the root must stand for the pelvis to be where the file puts it, in the file's frame and unit.

    Bones keep the length of the first frame, so a root above a pelvis with positions of its own is taken along.
    """
    kept = steps[:1].clone()
    kept[:, 0] = 0
    return _placed(pelvis, parents, steps, world_turns) - _placed(pelvis, parents, kept, world_turns)


def _placed(
    joint: int,
    parents: Sequence[int],
    steps: Float[Tensor, "steps joints 3"],
    world_turns: Float[Tensor, "frames joints 3 3"],
) -> Float[Tensor, "frames 3"]:
    """Position of one joint: the steps from the root to it, each turned with its parent; one step may serve all frames."""
    place = torch.zeros(len(world_turns), 3, dtype=steps.dtype)
    while joint >= 0:
        parent = parents[joint]
        step = steps[:, joint]
        place = place + (step if parent < 0 else (world_turns[:, parent] @ step[..., None])[..., 0])
        joint = parent
    return place


_CHANNELS = {f"{axis}{kind}" for axis in "xyz" for kind in ("position", "rotation")}


def _read_hierarchy(path: Path, text: str) -> list[BvhJoint]:
    joints: list[BvhJoint] = []
    open_rows: list[int] = []
    try:
        for line in text.splitlines():
            words = line.split()
            keyword = words[0].upper() if words else ""
            if keyword in ("ROOT", "JOINT", "END"):
                parent = open_rows[-1] if open_rows else -1
                name = " ".join(words[1:]) if keyword != "END" else ""
                open_rows.append(len(joints))
                joints.append(BvhJoint(name, parent, (0.0, 0.0, 0.0), ()))
            elif keyword == "OFFSET":
                x, y, z = (float(word) for word in words[1:4])
                joints[open_rows[-1]] = replace(joints[open_rows[-1]], offset=(x, y, z))
            elif keyword == "CHANNELS":
                channels = tuple(word.lower() for word in words[2:])
                joints[open_rows[-1]] = replace(joints[open_rows[-1]], channels=_known(channels))
            elif keyword == "}":
                open_rows.pop()
        joints = _plainly_named(joints)
    except (ValueError, IndexError) as error:
        raise BadInputError(
            f"Motion {path} has a broken HIERARCHY", str(error), "Fetch the file again."
        ) from error
    names = [joint.name for joint in joints]
    if not joints or open_rows or len(set(names)) < len(names) or [j.parent for j in joints].count(-1) != 1:
        raise BadInputError(
            f"Motion {path} needs one closed tree of joints with names of their own",
            f"{len(joints)} joints, {len(open_rows)} left open, {len(names) - len(set(names))} named twice",
            "Export one person a file.",
        )
    return joints


def _plainly_named(joints: list[BvhJoint]) -> list[BvhJoint]:
    """The same joints, whose names are still the file's, and those of end sites empty."""
    plain = iter(plain_names([joint.name for joint in joints if joint.name]))
    named: list[BvhJoint] = []
    for joint in joints:
        name = next(plain) if joint.name else named[joint.parent].name + "end"
        named.append(replace(joint, name=name))
    return named


def _known(channels: tuple[str, ...]) -> tuple[str, ...]:
    unknown = set(channels) - _CHANNELS
    if unknown:
        raise ValueError(f"unknown channel {', '.join(sorted(unknown))}")
    return channels


def _read_frames(
    path: Path, text: str, joints: list[BvhJoint]
) -> tuple[float, Float[Tensor, "frames channels"]]:
    """Seconds from frame to frame, and the numbers of each frame."""
    columns = [f"{joint.name} {channel}" for joint in joints for channel in joint.channels]
    lines = [line for line in text.splitlines() if line.strip()]
    try:
        count = int(lines[0].partition(":")[2])
        frame_time = float(lines[1].partition(":")[2])
        rows = [[float(word) for word in line.split()] for line in lines[2 : 2 + count]]
    except (ValueError, IndexError) as error:
        raise BadInputError(
            f"Motion {path} has a broken MOTION section", str(error), "Fetch it again."
        ) from error
    for number, row in enumerate(rows):
        if len(row) != len(columns):
            raise BadInputError(
                f"Motion {path}, frame {number} needs {len(columns)} numbers",
                f"{len(row)} found",
                "Fetch it again.",
            )
    if len(rows) < max(count, 1) or not frame_time > 0:
        raise BadInputError(
            f"Motion {path} needs {count} frames and a frame time",
            f"{len(rows)} frames, {frame_time} s",
            "Fetch it again.",
        )
    values = torch.tensor(rows, dtype=torch.float64)
    require_finite(values, columns, str(path))
    return frame_time, values
