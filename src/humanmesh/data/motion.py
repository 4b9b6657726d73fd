"""Motion capture as SMPL rotations, and the way there from any other skeleton.

A pose means the same on every body: the rest pose is a T (arms along +-x, legs straight down, y up, z forward)
in which the axes of all 24 joints agree with the body frame. A joint's rotation is its turn relative to its
parent's.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from humanmesh.body.skeletons import SMPL_24, SMPL_PARENTS
from humanmesh.errors import BadInputError
from humanmesh.geometry.rotations import (
    axis_angle_to_matrix,
    geodesic_angle,
    matrix_to_axis_angle,
    mirror_matrix,
)


@dataclass(frozen=True)
class Motion:
    """A clip on SMPL's 24 joints."""

    name: str
    """Name of the clip."""
    rotations: Float[Tensor, "frames 24 3 3"]
    """Turn of each joint relative to its parent; the pelvis' is relative to a world with y up."""
    translation: Float[Tensor, "frames 3"]
    """Position of the joint that the pelvis follows (AMASS: of the body's origin) in a world with y up, metres."""
    frame_rate: float
    """Frames per second."""
    source: str
    """File that the clip came from."""
    shape: Float[Tensor, "10"] | None = None
    """The person's shape on SMPL, standard deviations; None where the source does not know it."""

    @property
    def pose(self) -> Float[Tensor, "frames 72"]:
        """The rotations as axis-angle, radians."""
        return matrix_to_axis_angle(self.rotations).flatten(1)


@dataclass(frozen=True)
class SourceSkeleton:
    """A skeleton as its file gives it, turned to the body frame and brought to metres."""

    joints: tuple[str, ...]
    """Names; a parent stands before its children."""
    parents: tuple[int, ...]
    """Row of each joint's parent; -1 for the root."""
    offsets: Float[Tensor, "joints 3"]
    """Position relative to the parent in the rest pose, metres."""

    def rest_positions(self) -> Float[Tensor, "joints 3"]:
        """Joints of the rest pose, root at its own offset."""
        unturned = torch.eye(3, dtype=self.offsets.dtype).expand(1, len(self.joints), 3, 3)
        return place_joints(self.offsets, self.parents, unturned)[0]


@dataclass(frozen=True)
class SourceMotion:
    """A clip on its own skeleton."""

    name: str
    """Name of the clip."""
    skeleton: SourceSkeleton
    world_turns: Float[Tensor, "frames joints 3 3"]
    """Turn of each joint away from its rest pose, relative to the world."""
    translation: Float[Tensor, "frames 3"]
    """Position of the root, metres."""
    frame_rate: float
    """Frames per second."""
    source: str
    """File that the clip came from."""

    def positions(self) -> Float[Tensor, "frames joints 3"]:
        """Joints in the world, metres."""
        offsets = self.skeleton.offsets.clone()
        offsets[0] = 0
        return place_joints(offsets, self.skeleton.parents, self.world_turns) + self.translation[:, None]


@dataclass(frozen=True)
class Follows:
    """The source joints that one SMPL joint takes its orientation from."""

    first: str
    """Joint that is followed where `share` is 0."""
    second: str = ""
    """Joint that is followed where `share` is 1; none if empty."""
    share: float = 0.0
    """How far of the way from the first joint's turn to the second's, 0 to 1."""


@dataclass(frozen=True)
class Correspondence:
    """How SMPL's joints follow the joints of another skeleton."""

    follows: Mapping[str, Follows]
    """SMPL joint -> joints of the source; an SMPL joint that is not here moves with its parent."""
    limb_ends: Mapping[str, str]
    """SMPL joint at the root of a limb segment -> source joint at the segment's end."""
    twists: Mapping[str, float] = field(default_factory=dict)
    """SMPL joint -> turn about x, radians, that brings SMPL's rest pose to the twist of the source's."""


_T_POSE_DIRECTIONS: dict[str, tuple[float, float, float]] = {
    "left_hip": (0.0, -1.0, 0.0), "right_hip": (0.0, -1.0, 0.0),
    "left_knee": (0.0, -1.0, 0.0), "right_knee": (0.0, -1.0, 0.0),
    "left_shoulder": (1.0, 0.0, 0.0), "right_shoulder": (-1.0, 0.0, 0.0),
    "left_elbow": (1.0, 0.0, 0.0), "right_elbow": (-1.0, 0.0, 0.0),
}  # fmt: skip
"""Where SMPL's limb segments point in the rest pose."""

_ALIGNMENT_HEIRS = {
    "left_ankle": "left_knee", "right_ankle": "right_knee", "left_foot": "left_knee", "right_foot": "right_knee",
    "left_wrist": "left_elbow", "right_wrist": "right_elbow", "left_hand": "left_elbow", "right_hand": "right_elbow",
}  # fmt: skip
"""Joints whose rest pose is square to a limb: they share the limb's alignment."""


def turn_about_axes(angles: Float[Tensor, "frames turns"], axes: str) -> Float[Tensor, "frames 3 3"]:
    """Product of turns about coordinate axes, leftmost first: "zxy" gives Rz Rx Ry (radians)."""
    product = torch.eye(3, dtype=angles.dtype).expand(len(angles), 3, 3)
    for column, axis in enumerate(axes):
        vector = torch.zeros(len(angles), 3, dtype=angles.dtype)
        vector[:, "xyz".index(axis)] = angles[:, column]
        product = product @ axis_angle_to_matrix(vector)
    return product


def accumulate_turns(
    local: Float[Tensor, "frames joints 3 3"], parents: Sequence[int]
) -> Float[Tensor, "frames joints 3 3"]:
    """World turns from turns relative to the parent; a parent stands before its children."""
    world: list[Tensor] = []
    for joint, parent in enumerate(parents):
        world.append(local[:, joint] if parent < 0 else world[parent] @ local[:, joint])
    return torch.stack(world, 1)


def place_joints(
    offsets: Float[Tensor, "joints 3"],
    parents: Sequence[int],
    world_turns: Float[Tensor, "frames joints 3 3"],
) -> Float[Tensor, "frames joints 3"]:
    """Forward kinematics: each joint stands at its offset, turned with its parent."""
    offsets = offsets.to(world_turns.dtype)
    placed: list[Tensor] = []
    for joint, parent in enumerate(parents):
        if parent < 0:
            placed.append(offsets[joint].expand(len(world_turns), 3))
        else:
            placed.append(placed[parent] + world_turns[:, parent] @ offsets[joint])
    return torch.stack(placed, 1)


def shortest_turn(start: Float[Tensor, "3"], end: Float[Tensor, "3"]) -> Float[Tensor, "3 3"]:
    """The smallest rotation that takes one direction to the other; about z where they are opposite, or else about x."""
    start, end = start / start.norm(), end / end.norm()
    cross = torch.linalg.cross(start, end)
    if start @ end < 0 and cross.norm() < 1e-6:
        # The cross product of nearly opposite directions is all rounding error; that of nearly equal ones does no harm.
        half_turn = axis_angle_to_matrix(math.pi * _axis_across(start))
        return shortest_turn(-start, end) @ half_turn
    angle = torch.atan2(cross.norm(), start @ end)
    return axis_angle_to_matrix(cross / torch.where(cross.norm() > 0, cross.norm(), 1) * angle)


def _axis_across(direction: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """The unit vector at right angles to a direction that is nearest to z; x where the direction is z itself."""
    x, _, z = torch.eye(3, dtype=direction.dtype)
    beside = z if (z @ direction).abs() < 1 - 1e-6 else x
    across = beside - (beside @ direction) * direction
    return across / across.norm()


def rest_alignments(
    skeleton: SourceSkeleton, correspondence: Correspondence
) -> dict[str, Float[Tensor, "3 3"]]:
    """For each SMPL joint the turn from SMPL's T to the source's rest pose.

    Legs that are splayed and arms that hang are turned by the smallest rotation, which brings in no twist.
    Feet and hands share the turn of the shin and of the forearm. The trunk needs none.
    """
    alignments = {joint: torch.eye(3, dtype=torch.float64) for joint in SMPL_24.joints}
    positions = skeleton.rest_positions().double()
    row = {joint: number for number, joint in enumerate(skeleton.joints)}
    for joint, end in correspondence.limb_ends.items():
        start = correspondence.follows[joint].first
        direction = positions[row[end]] - positions[row[start]]
        alignments[joint] = shortest_turn(torch.tensor(_T_POSE_DIRECTIONS[joint]).double(), direction)
    for heir, limb in _ALIGNMENT_HEIRS.items():
        alignments[heir] = alignments[limb]
    for joint, angle in correspondence.twists.items():
        about_x = torch.tensor([angle, 0.0, 0.0], dtype=torch.float64)
        alignments[joint] = alignments[joint] @ axis_angle_to_matrix(about_x)
    return alignments


def retarget(motion: SourceMotion, correspondence: Correspondence) -> Motion:
    """The same motion on SMPL's joints: each limb points, frame by frame, where the source's limb points.

    Raises:
        BadInputError: where the source lacks a joint that the correspondence names.
    """
    row = {joint: number for number, joint in enumerate(motion.skeleton.joints)}
    require_joints(set(row), correspondence, motion.source)
    alignments = rest_alignments(motion.skeleton, correspondence)
    turns = motion.world_turns.double()
    world: list[Tensor] = []
    for joint, parent in zip(SMPL_24.joints, SMPL_PARENTS, strict=True):
        follows = correspondence.follows.get(joint)
        if follows is None:
            world.append(world[parent])
            continue
        turn = turns[:, row[follows.first]]
        if follows.second:
            turn = turn_between(turn, turns[:, row[follows.second]], follows.share)
        world.append(turn @ alignments[joint])
    return Motion(
        name=motion.name,
        rotations=relative_turns(torch.stack(world, 1)).float(),
        # A root may stand above the pelvis, and need not move.
        translation=motion.positions()[:, row[correspondence.follows["pelvis"].first]].float(),
        frame_rate=motion.frame_rate,
        source=motion.source,
    )


def turn_between(
    first: Float[Tensor, "frames 3 3"], second: Float[Tensor, "frames 3 3"], share: float
) -> Float[Tensor, "frames 3 3"]:
    """A share of the way, 0 to 1, along the shortest turn from the first rotation to the second."""
    return first @ axis_angle_to_matrix(share * matrix_to_axis_angle(first.transpose(1, 2) @ second))


def relative_turns(world: Float[Tensor, "frames 24 3 3"]) -> Float[Tensor, "frames 24 3 3"]:
    """Turns of SMPL's joints relative to their parents, from turns relative to the world."""
    local = world[:, list(SMPL_PARENTS[1:])].transpose(-1, -2) @ world[:, 1:]
    return torch.cat([world[:, :1], local], 1)


def require_joints(joints: set[str], correspondence: Correspondence, source: str) -> None:
    """Refuse a skeleton without a joint that the correspondence follows.

    Raises:
        BadInputError: naming the file and the joints.
    """
    followed = {
        name for entry in correspondence.follows.values() for name in (entry.first, entry.second) if name
    }
    missing = sorted((followed | set(correspondence.limb_ends.values())) - joints)
    if missing:
        raise BadInputError(
            f"Motion {source} needs every joint that SMPL's joints follow",
            f"it has no {', '.join(missing)}",
            "Export the clip with its whole skeleton, or rename its joints.",
        )


def require_finite(values: Float[Tensor, "frames numbers"], columns: Sequence[str], source: str) -> None:
    """Refuse numbers that are NaN or infinite.

    Raises:
        BadInputError: naming the file, the first such frame (the first frame is 0) and the column.
    """
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        frame, column = bad[0].tolist()
        raise BadInputError(
            f"Motion {source} needs finite numbers",
            f"{columns[column]} is {values[frame, column].item()} in frame {frame}",
            "Cut the frame out, or export the clip again.",
        )


def mirror_pose(rotations: Float[Tensor, "*frames 24 3 3"]) -> Float[Tensor, "*frames 24 3 3"]:
    """The pose seen in a mirror: left and right change places."""
    return mirror_matrix(rotations[..., list(SMPL_24.mirror), :, :])


_LEGS = (("left_hip", "left_knee", "left_ankle"), ("right_hip", "right_knee", "right_ankle"))
_UNBIASED_FLEXION = math.radians(120)


def with_straighter_knees(
    rotations: Float[Tensor, "frames 24 3 3"], offset: float
) -> Float[Tensor, "frames 24 3 3"]:
    """The same poses without a bias of the recorded knees.

    Solvers that put a skeleton into markers make legs that are a little too long, and bend them: in CMU's recordings people who
    stand bend their knees by 30 degrees (median). A flexion f becomes f - min(f, offset (1 - f / 120 degrees)): straight legs
    become straight, deeply bent ones stay. Thigh and shin turn by half of it each, so that the line from hip to ankle
    and the foot stay as they were, as nearly as thigh and shin are of one length.

    Args:
        offset: radians, below 120 degrees; 0 changes nothing.
    """
    changed = rotations.clone()
    for joints in _LEGS:
        hip, knee, ankle = (SMPL_24.index[joint] for joint in joints)
        turn = matrix_to_axis_angle(rotations[:, knee])
        flexion = turn.norm(dim=1)
        less = torch.minimum(flexion, offset * (1 - flexion / _UNBIASED_FLEXION).clamp_min(0))
        less = less * (turn[:, 0] > 0)  # a knee that bends the wrong way is no standing knee
        back = -turn * (less / torch.where(flexion > 0, flexion, 1))[:, None]
        changed[:, knee] = rotations[:, knee] @ axis_angle_to_matrix(back)
        half = torch.zeros_like(turn)
        half[:, 0] = less / 2
        half_turn = axis_angle_to_matrix(half)
        changed[:, hip] = rotations[:, hip] @ half_turn
        changed[:, ankle] = half_turn @ rotations[:, ankle]
    return changed


_WIDEST_TURNS = {
    "hip": 155.0, "knee": 165.0, "ankle": 90.0, "foot": 90.0, "spine1": 100.0, "spine2": 60.0, "spine3": 60.0,
    "neck": 80.0, "head": 80.0, "collar": 60.0, "elbow": 165.0, "wrist": 120.0, "hand": 90.0,
}  # fmt: skip
"""Largest turn relative to the parent that a body can make, generously, in degrees; shoulders turn any way."""


def plausible_frames(rotations: Float[Tensor, "frames 24 3 3"]) -> Bool[Tensor, "frames"]:
    """Frames in which no joint is turned further than a body can: where a recording's solver has not slipped."""
    limits = [_WIDEST_TURNS.get(joint.split("_")[-1], 180.0) for joint in SMPL_24.joints]
    angles = geodesic_angle(rotations, torch.eye(3, dtype=rotations.dtype).expand_as(rotations)).rad2deg()
    return (angles <= torch.tensor(limits) + 1e-3).all(1)


_TELLING_JOINTS = (
    "left_hip", "right_hip", "left_knee", "right_knee", "spine1", "spine2", "spine3", "neck",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow",
)  # fmt: skip


def rarity_weights(
    rotations: Float[Tensor, "frames 24 3 3"], generator: torch.Generator, cells: int = 512
) -> Float[Tensor, "frames"]:
    """How often to draw each frame, so that rare poses come more often than they were recorded; sums to 1.

    Farthest-point sampling spreads cells evenly over the turns of trunk and limbs (global rotation left aside);
    a cell is drawn by the square root of its number of frames. Drawing clips alike would not do: most are walks.
    """
    features = rotations[:, [SMPL_24.index[joint] for joint in _TELLING_JOINTS]].flatten(1)
    newest = int(torch.randint(len(features), (), generator=generator))
    distance = torch.full((len(features),), torch.inf, dtype=features.dtype)
    cell = torch.zeros(len(features), dtype=torch.long)
    for number in range(min(cells, len(features))):
        to_newest = (features - features[newest]).square().sum(1)
        cell = torch.where(to_newest < distance, number, cell)
        distance = torch.minimum(distance, to_newest)
        newest = int(distance.argmax())
    weights = torch.bincount(cell)[cell].to(features.dtype).rsqrt()
    return weights / weights.sum()


def sample_poses(
    poses: Float[Tensor, "frames 72"],
    weights: Float[Tensor, "frames"],
    count: int,
    generator: torch.Generator,
) -> Float[Tensor, "count 72"]:
    """Poses drawn with replacement, each frame as often as its weight says."""
    return poses[torch.multinomial(weights, count, replacement=True, generator=generator)]


CMU_ARM_TWISTS = {
    "left_shoulder": -math.pi / 6, "right_shoulder": -math.pi / 6,
    "left_elbow": -math.pi / 12, "right_elbow": -math.pi / 12,
}  # fmt: skip
"""In CMU's rest pose the elbow bends 30 degrees upwards of straight ahead, with the palm down; SMPL's elbow bends
straight ahead, about y. So SMPL's upper arm is turned to meet it; its hand is not, and the forearm by half."""

CMU_CORRESPONDENCE = Correspondence(
    follows={
        "pelvis": Follows("root"),
        "left_hip": Follows("lfemur"), "right_hip": Follows("rfemur"),
        "left_knee": Follows("ltibia"), "right_knee": Follows("rtibia"),
        "left_ankle": Follows("lfoot"), "right_ankle": Follows("rfoot"),
        "left_foot": Follows("ltoes"), "right_foot": Follows("rtoes"),
        "spine1": Follows("lowerback"), "spine2": Follows("upperback"), "spine3": Follows("thorax"),
        # CMU's lower neck leans back as far as its upper neck leans forward; SMPL's one neck joint stands between.
        "neck": Follows("lowerneck", "upperneck", 0.5), "head": Follows("head"),
        "left_collar": Follows("lclavicle"), "right_collar": Follows("rclavicle"),
        "left_shoulder": Follows("lhumerus"), "right_shoulder": Follows("rhumerus"),
        # The forearm's own twist sits in CMU's wrist bone; half of it goes to SMPL's elbow, as in a real forearm.
        "left_elbow": Follows("lradius", "lwrist", 0.5), "right_elbow": Follows("rradius", "rwrist", 0.5),
        "left_wrist": Follows("lhand"), "right_wrist": Follows("rhand"),
    },
    limb_ends={
        "left_hip": "ltibia", "right_hip": "rtibia", "left_knee": "lfoot", "right_knee": "rfoot",
        "left_shoulder": "lradius", "right_shoulder": "rradius", "left_elbow": "lwrist", "right_elbow": "rwrist",
    },
    twists=CMU_ARM_TWISTS,
)  # fmt: skip
"""CMU's bones, named as in its ASF files."""
