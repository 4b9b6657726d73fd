"""What synthetic people wear: skin, hair and clothes as a function of the place on the rest body.

The rest body stands in a T, so a place on it tells trunk, arms and legs apart by coordinates alone: how far
down the leg, how far out on the arm, how high on the trunk. A garment is a region in these coordinates.
"""

from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from humanmesh.body.parameters import BodyModelData
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.data.synthetic_draws import chance, normal, uniform, whole

SKIN, DARK, LIPS, HAIR, BOTTOM, TOP, LINING, SHOES, SOLES, SOCKS, GLOVES = range(11)
"""Materials. `DARK` are eyes and brows; `LINING` is what shows in an open jacket or as a print on the chest."""
MATERIALS = 11

_SKIN_TONES = (
    (0.96, 0.80, 0.69), (0.93, 0.74, 0.61), (0.89, 0.69, 0.54), (0.82, 0.60, 0.45), (0.76, 0.53, 0.38),
    (0.65, 0.43, 0.29), (0.52, 0.33, 0.22), (0.41, 0.26, 0.18), (0.31, 0.20, 0.15),
)  # fmt: skip
_HAIR_TONES = (
    (0.06, 0.05, 0.05), (0.10, 0.07, 0.05), (0.18, 0.11, 0.07), (0.28, 0.18, 0.10), (0.42, 0.28, 0.16),
    (0.66, 0.51, 0.31), (0.80, 0.70, 0.50), (0.50, 0.20, 0.10), (0.55, 0.55, 0.55), (0.85, 0.84, 0.82),
)  # fmt: skip
_CLOTH_TONES = (
    (0.07, 0.07, 0.08), (0.16, 0.16, 0.18), (0.40, 0.40, 0.42), (0.65, 0.65, 0.66), (0.93, 0.93, 0.92),
    (0.12, 0.16, 0.28), (0.22, 0.31, 0.46), (0.42, 0.52, 0.65), (0.45, 0.38, 0.28), (0.76, 0.69, 0.56),
)  # fmt: skip
"""Black, greys, white, navy, denims, khaki, beige: about half of what people wear."""

_WAVES = 4


@dataclass(frozen=True)
class Landmarks:
    """Places of the rest body that garments are measured by (metres, body frame)."""

    hip_y: float
    knee_y: float
    ankle_y: float
    sole_y: float
    neck_y: float
    middle_z: float
    """Half way between breast and back."""
    shoulder_x: float
    wrist_x: float
    ear_y: float
    ear_z: float
    eye_x: float
    eye_y: float
    eye_z: float
    nose_y: float
    nose_z: float


def landmarks_of(body: BodyModelData) -> Landmarks:
    """Measured on the mean body."""
    joints = body.joint_regressor @ body.template
    face = body.keypoint_regressor("cocoplus19") @ body.template

    def joint(name: str, axis: int) -> float:
        return float(joints[SMPL_24.index[name], axis])

    def place(name: str, axis: int) -> float:
        return float(face[COCOPLUS_19.index[name], axis])

    return Landmarks(
        hip_y=joint("left_hip", 1),
        knee_y=joint("left_knee", 1),
        ankle_y=joint("left_ankle", 1),
        sole_y=float(body.template[:, 1].min()),
        neck_y=joint("neck", 1),
        middle_z=_middle_of_trunk(body.template, joint("spine3", 1), joint("neck", 1)),
        shoulder_x=joint("left_shoulder", 0),
        wrist_x=joint("left_wrist", 0),
        ear_y=place("left_ear", 1),
        ear_z=place("left_ear", 2),
        eye_x=place("left_eye", 0),
        eye_y=place("left_eye", 1),
        eye_z=place("left_eye", 2),
        nose_y=place("nose", 1),
        nose_z=place("nose", 2),
    )


def _middle_of_trunk(places: Float[Tensor, "vertices 3"], low: float, high: float) -> float:
    x, y, z = places.unbind(-1)
    lowest, highest = z[(x.abs() < 0.06) & (y > low) & (y < high)].aminmax()
    return float(lowest + highest) / 2


@dataclass(frozen=True)
class Borders:
    """Where each person's garments begin and end."""

    hem: Float[Tensor, "*people"]
    """Lower border of the top: 0 at the hips, 1 at the neck; negative down the legs."""
    sleeve: Float[Tensor, "*people"]
    """End of the sleeve: 0 at the shoulder, 1 at the wrist; strongly negative without a top."""
    collar: Float[Tensor, "*people"]
    """Depth of the neckline below the neck in front, metres."""
    opening: Float[Tensor, "*people"]
    """Half width of the front of an open jacket or of a print, metres; 0 without."""
    print_low: Float[Tensor, "*people"]
    """Lower border of that opening or print on the trunk (0 hips, 1 neck)."""
    strap: Float[Tensor, "*people"]
    """Half distance of the outer borders of a tank top's straps as a share of the shoulders; large for others."""
    waist: Float[Tensor, "*people"]
    """Upper border of trousers on the trunk."""
    trouser: Float[Tensor, "*people"]
    """End of trousers: 0 at the hip, 1 at the ankle."""
    tucked: Bool[Tensor, "*people"]
    """Trousers over the top."""
    shoe: Float[Tensor, "*people"]
    """Upper border of shoes on the leg (1 at the ankle); above 2 for bare feet."""
    sock: Float[Tensor, "*people"]
    """Upper border of socks on the leg."""
    glove: Float[Tensor, "*people"]
    """Border of gloves on the arm; above 2 without."""
    fringe: Float[Tensor, "*people"]
    """Height of the hairline above the eyes in front, metres."""
    temple: Float[Tensor, "*people"]
    """Height of the hairline above the ears, metres."""
    nape: Float[Tensor, "*people"]
    """Lower end of the hair behind, metres below the ears."""
    beard: Float[Tensor, "*people"]
    """Upper border of a beard below the nose, metres; large without."""

    def of(self, person: Int[Tensor, "*points"]) -> "Borders":
        """The borders at points of these people."""
        return Borders(**{entry.name: getattr(self, entry.name)[person] for entry in fields(self)})


@dataclass(frozen=True)
class Outfit:
    """What each person wears: borders of garments, and per material colours and pattern."""

    borders: Borders
    colours: Float[Tensor, "people materials 3"]
    """Main sRGB colour of each material."""
    second_colours: Float[Tensor, "people materials 3"]
    """The pattern's sRGB colour."""
    stripes: Float[Tensor, "people materials 3"]
    """Wave vector of a stripe pattern, radians per metre of the rest body."""
    sharpness: Float[Tensor, "people materials"]
    """From soft waves (1) to hard stripes (large)."""
    strength: Float[Tensor, "people materials"]
    """How much of the pattern shows; 0 for plain cloth."""
    checks: Bool[Tensor, "people materials"]
    """Stripes both ways."""
    prints: Float[Tensor, "people materials"]
    """How much of a picture shows on the cloth."""
    bulge: Float[Tensor, "people materials"]
    """Thickness of the material over the body, metres."""
    waves: Float[Tensor, "people waves 3"]
    """Wave vectors of folds and stains, radians per metre of the rest body."""
    phases: Float[Tensor, "people waves"]


def sample_outfits(count: int, generator: torch.Generator) -> Outfit:
    """Clothes, hair and colours of `count` people."""
    borders = Borders(**_top(count, generator), **_legs(count, generator), **_hair(count, generator))
    return Outfit(
        borders=borders,
        **_colours(count, generator),
        **_patterns(count, generator),
        bulge=_bulges(count, generator),
        waves=normal(generator, 22.0, count, _WAVES, 3),
        phases=uniform(generator, 0, 6.283, count, _WAVES),
    )


def _pick(
    generator: torch.Generator, count: int, options: list[tuple[float | int, float | int, float | int]]
) -> Float[Tensor, "count"]:
    """One of the ranges by its weight (weight, low, high), then even within it."""
    table = torch.tensor(options, device=generator.device)
    row = torch.multinomial(table[:, 0], count, replacement=True, generator=generator)
    low, high = table[row, 1], table[row, 2]
    return low + (high - low) * uniform(generator, 0, 1, count)


def _top(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    # T-shirt, long sleeves, sleeveless, none
    sleeve = _pick(
        generator, count, [(0.42, 0.2, 0.45), (0.38, 0.85, 1.0), (0.13, -0.3, -0.05), (0.07, -9, -9)]
    )
    # over the waist, long, cropped, dress
    hem = _pick(
        generator, count, [(0.65, -0.12, 0.1), (0.15, -0.35, -0.12), (0.08, 0.3, 0.6), (0.12, -1.1, -0.4)]
    )
    opening = _pick(generator, count, [(0.6, 0, 0), (0.15, 0.01, 0.06), (0.25, 0.04, 0.12)])
    return {
        "sleeve": sleeve,
        "hem": hem,
        "collar": _pick(generator, count, [(0.5, 0.02, 0.06), (0.3, 0.06, 0.16), (0.2, -0.06, 0.0)]),
        "opening": opening,
        "print_low": _pick(generator, count, [(0.4, -9, -9), (0.6, 0.45, 0.7)]),
        "strap": torch.where(sleeve < 0, uniform(generator, 0.75, 1.0, count), 9.0),
    }


def _legs(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    return {
        "waist": _pick(generator, count, [(1.0, 0.08, 0.35)]),
        # shorts, knee, trousers, briefs
        "trouser": _pick(
            generator, count, [(0.28, 0.2, 0.48), (0.1, 0.5, 0.7), (0.54, 0.88, 1.03), (0.08, 0.02, 0.08)]
        ),
        "tucked": chance(generator, 0.35, count),
        # shoes, boots, barefoot
        "shoe": _pick(generator, count, [(0.62, 0.94, 1.0), (0.15, 0.65, 0.92), (0.23, 9, 9)]),
        "sock": _pick(generator, count, [(0.5, 9, 9), (0.4, 0.8, 0.95), (0.1, 0.55, 0.75)]),
        "glove": _pick(generator, count, [(0.96, 9, 9), (0.04, 0.95, 1.05)]),
    }


def _hair(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    bald = chance(generator, 0.07, count)
    return {
        "fringe": torch.where(
            bald, 9.0, _pick(generator, count, [(0.7, 0.035, 0.06), (0.15, 0.015, 0.035), (0.15, 0.06, 0.09)])
        ),
        "temple": torch.where(bald, 9.0, uniform(generator, 0.0, 0.03, count)),
        # short, chin, shoulders
        "nape": torch.where(
            bald, -9.0, _pick(generator, count, [(0.62, 0.03, 0.08), (0.13, 0.08, 0.16), (0.25, 0.16, 0.36)])
        ),
        "beard": _pick(generator, count, [(0.85, 9, 9), (0.15, 0.005, 0.03)]),
    }


def _colours(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    cloth = _cloth_colours(count, generator)
    skin = _tone(_SKIN_TONES, count, generator) * (1 + normal(generator, 0.04, count, 3))
    hair = _tone(_HAIR_TONES, count, generator) * (1 + normal(generator, 0.1, count, 3))
    colours = cloth.clone()
    colours[:, SKIN] = skin
    colours[:, DARK] = hair * 0.4 + 0.02
    colours[:, LIPS] = skin * torch.tensor([0.85, 0.58, 0.58], device=skin.device)
    hair = hair * (1.4 * skin.mean(1, keepdim=True)).clamp(0.2, 1)  # dark hair goes with dark skin
    # A cap, a scarf or dyed hair now and then
    covered = chance(generator, 0.12, count)[:, None]
    colours[:, HAIR] = torch.where(covered, cloth[:, HAIR], hair)
    suit = chance(generator, 0.2, count)[:, None]
    colours[:, BOTTOM] = torch.where(suit, colours[:, TOP], colours[:, BOTTOM])
    pale = chance(generator, 0.5, count)[:, None]
    colours[:, SOLES] = torch.where(pale, 0.85, colours[:, SHOES] * 0.5)
    second = _cloth_colours(count, generator)
    second[:, [SKIN, HAIR]] = colours[:, [SKIN, HAIR]] * 0.75
    return {"colours": colours.clamp(0.02, 0.97), "second_colours": second}


def _cloth_colours(count: int, generator: torch.Generator) -> Float[Tensor, "count materials 3"]:
    neutral = _tone(_CLOTH_TONES, count * MATERIALS, generator)
    bright = _hsv_to_rgb(
        uniform(generator, 0, 1, count * MATERIALS),
        uniform(generator, 0.25, 0.95, count * MATERIALS),
        uniform(generator, 0.2, 0.95, count * MATERIALS),
    )
    colours = torch.where(chance(generator, 0.5, count * MATERIALS, 1), neutral, bright)
    return colours.unflatten(0, (count, MATERIALS))


def _tone(
    tones: tuple[tuple[float, ...], ...], count: int, generator: torch.Generator
) -> Float[Tensor, "count 3"]:
    """A colour on the way between two neighbours of the palette."""
    palette = torch.tensor(tones, device=generator.device)
    row = whole(generator, len(tones) - 1, count)
    return palette[row].lerp(palette[row + 1], uniform(generator, 0, 1, count, 1))


def _hsv_to_rgb(
    hue: Float[Tensor, "count"], saturation: Float[Tensor, "count"], value: Float[Tensor, "count"]
) -> Float[Tensor, "count 3"]:
    offset = torch.tensor([5.0, 3.0, 1.0], device=hue.device)
    k = (offset + 6 * hue[:, None]) % 6
    return value[:, None] * (1 - saturation[:, None] * torch.minimum(k, 4 - k).clamp(0, 1))


def _patterns(count: int, generator: torch.Generator) -> dict[str, Tensor]:
    patterned = chance(generator, 0.35, count, MATERIALS)
    patterned[:, [SKIN, DARK, LIPS, SOLES]] = False
    printed = chance(generator, 0.25, count, MATERIALS)
    printed[:, [SKIN, DARK, LIPS, SOLES, HAIR]] = False
    wavelength = uniform(generator, 0.015, 0.12, count, MATERIALS, 1)
    wavelength[:, HAIR] *= 0.3
    axis = whole(generator, 4, count, MATERIALS)
    directions = torch.tensor([[0, 1, 0], [0, 1, 0], [1, 0, 0], [0.7, 0.7, 0.1]], device=generator.device)
    strength = patterned * uniform(generator, 0.3, 1.0, count, MATERIALS)
    strength[:, HAIR] = 0.5
    return {
        "stripes": directions[axis] * 6.283 / wavelength,
        "sharpness": uniform(generator, 1.0, 9.0, count, MATERIALS),
        "strength": strength,
        "checks": chance(generator, 0.25, count, MATERIALS),
        "prints": printed * uniform(generator, 0.3, 1.0, count, MATERIALS),
    }


def _bulges(count: int, generator: torch.Generator) -> Float[Tensor, "count materials"]:
    bulge = torch.zeros(count, MATERIALS, device=generator.device)
    loose = uniform(generator, 0, 1, count).square()
    bulge[:, TOP] = 0.003 + 0.018 * loose
    bulge[:, LINING] = bulge[:, TOP]
    bulge[:, BOTTOM] = 0.003 + 0.014 * uniform(generator, 0, 1, count).square()
    bulge[:, HAIR] = uniform(generator, 0.003, 0.028, count)
    bulge[:, [SHOES, SOLES]] = uniform(generator, 0.004, 0.012, count, 1)
    return bulge


def materials_at(
    places: Float[Tensor, "*points 3"], person: Int[Tensor, "*points"], outfit: Outfit, marks: Landmarks
) -> Int[Tensor, "*points"]:
    """What covers each place of the rest body (metres) on each person."""
    wear = outfit.borders.of(person)
    trunk = (places[..., 1] - marks.hip_y) / (marks.neck_y - marks.hip_y)
    leg = (marks.hip_y - places[..., 1]) / (marks.hip_y - marks.ankle_y)
    arm = (places[..., 0].abs() - marks.shoulder_x) / (marks.wrist_x - marks.shoulder_x)
    arm = torch.where(trunk > 0.6, arm, -1.0)
    material = torch.zeros_like(person)

    def cover(region: Bool[Tensor, "*points"], number: int) -> None:
        material.masked_fill_(region, number)

    bottom = (trunk < wear.waist) & (leg < _trouser_end(wear, places, marks))
    top = _is_top(wear, places, trunk, arm, marks)
    cover(leg > wear.sock, SOCKS)
    cover(bottom & ~wear.tucked, BOTTOM)
    cover(top, TOP)
    front = (places[..., 0].abs() < wear.opening) & (places[..., 2] > marks.middle_z)
    cover(top & front & (trunk > wear.print_low) & (trunk < 0.92), LINING)
    cover(bottom & wear.tucked, BOTTOM)
    cover(leg > wear.shoe, SHOES)
    cover((places[..., 1] < marks.sole_y + 0.02) & (wear.shoe < 2), SOLES)
    cover(arm > wear.glove, GLOVES)
    _cover_head(cover, places, wear, marks)
    return material


def _trouser_end(
    wear: Borders, places: Float[Tensor, "*points 3"], marks: Landmarks
) -> Float[Tensor, "*points"]:
    """Briefs are cut higher at the sides."""
    side = places[..., 0].abs() / marks.shoulder_x
    return torch.where(wear.trouser < 0.1, wear.trouser + 0.08 - 0.25 * side, wear.trouser)


def _is_top(
    wear: Borders,
    places: Float[Tensor, "*points 3"],
    trunk: Float[Tensor, "*points"],
    arm: Float[Tensor, "*points"],
    marks: Landmarks,
) -> Bool[Tensor, "*points"]:
    across = places[..., 0].abs()
    in_front = torch.where(places[..., 2] > marks.middle_z, 1.0, 0.25)
    depth = wear.collar * in_front * (1 - across / 0.1).clamp_min(0)
    below_neckline = places[..., 1] < marks.neck_y + 0.02 - depth
    within_straps = (trunk < 0.72) | (across < wear.strap * marks.shoulder_x)
    return (trunk > wear.hem) & (arm < wear.sleeve) & below_neckline & within_straps


def _cover_head(cover, places: Float[Tensor, "*points 3"], wear: Borders, marks: Landmarks) -> None:
    """Face marks, then hair over them."""
    x, y, z = places.unbind(-1)
    across = x.abs()
    is_face = (z > marks.ear_z) & (y > marks.neck_y) & (across < 0.12)
    eye = ((across - marks.eye_x) / 0.014).square() + ((y - marks.eye_y) / 0.009).square() < 1
    brow = ((across - marks.eye_x).abs() < 0.018) & ((y - marks.eye_y - 0.02).abs() < 0.004)
    mouth = ((x / 0.026).square() + ((y - marks.nose_y + 0.036) / 0.009).square()) < 1
    cover(is_face & (eye | brow), DARK)
    cover(is_face & (y < marks.nose_y - wear.beard) & (z > marks.ear_z + 0.02), HAIR)
    cover(is_face & mouth, LIPS)
    # 0 at the ears, 1 at the eyes, negative behind the ears
    forward = ((z - marks.ear_z) / (marks.eye_z - marks.ear_z)).clamp(-1, 1)
    before = (
        marks.ear_y
        + wear.temple
        + forward.clamp_min(0).sqrt() * (marks.eye_y + wear.fringe - marks.ear_y - wear.temple)
    )
    behind = marks.ear_y - wear.nape
    line = torch.where(forward > 0, before, torch.where(forward > -0.25, marks.ear_y + wear.temple, behind))
    cover((y > line) & (across < 0.13) & (y > behind), HAIR)


def albedo_at(
    places: Float[Tensor, "points 3"],
    person: Int[Tensor, "points"],
    material: Int[Tensor, "points"],
    outfit: Outfit,
    prints: Float[Tensor, "people 3 size size"],
) -> Float[Tensor, "points 3"]:
    """sRGB colour of each place, before light.

    Args:
        places: On the rest body, metres.
        person: Row of the person.
        material: As `materials_at` tells.
        outfit: What the people wear.
        prints: A picture a person, in [0, 1]; repeats over the cloth.
    """
    row = person * MATERIALS + material

    def of(name: str) -> Tensor:
        return getattr(outfit, name).flatten(0, 1)[row]

    phase = places * of("stripes")
    along = phase.sum(-1).sin()
    both = 0.5 * (along + ((phase[..., 1] + places[..., 0] * 60).cos()))
    wave = torch.where(of("checks"), both, along)
    share = (0.5 + 0.5 * wave * of("sharpness")).clamp(0, 1) * of("strength")
    colour = of("colours").lerp(of("second_colours"), share[:, None])
    size = prints.shape[-1]
    column = (places[:, 0] * (1.6 * size)).long() % size
    line = (-places[:, 1] * (1.6 * size)).long() % size
    picture = prints.permute(0, 2, 3, 1).reshape(-1, 3)[(person * size + line) * size + column]
    return colour.lerp(picture, of("prints")[:, None])


def folds_at(
    places: Float[Tensor, "vertices 3"], outfit: Outfit
) -> tuple[Float[Tensor, "people vertices"], Float[Tensor, "people vertices 3"]]:
    """Smooth noise in about [-1, 1] over the rest body of each person, and what to tilt the normal by."""
    phase = places @ outfit.waves.transpose(1, 2) + outfit.phases[:, None]
    tilt = phase.cos() @ F.normalize(outfit.waves, dim=-1) / _WAVES
    return phase.sin().mean(-1), tilt
