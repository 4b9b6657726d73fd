"""From posed bodies before a camera to pictures: clothes on, light, background, occluders, wear of the picture."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from humanmesh.body.parameters import BodyModelData
from humanmesh.data.synthetic_appearance import (
    SKIN,
    Landmarks,
    Outfit,
    albedo_at,
    folds_at,
    landmarks_of,
    materials_at,
    sample_outfits,
)
from humanmesh.data.synthetic_draws import chance, normal, uniform
from humanmesh.data.synthetic_props import Props
from humanmesh.data.synthetic_scene import (
    CropCamera,
    Light,
    Pictures,
    blur,
    compress,
    cut_pictures,
    darkened_by,
    moved,
    occluders,
    openness_of,
    pick_point,
    sample_lights,
    shade,
    vary_colours,
    with_probability,
)
from humanmesh.render.rasterizer import Fragments, rasterize


@dataclass(frozen=True)
class PaintConfig:
    """How the pictures of synthetic people are made."""

    size: int = 224
    """Side of the pictures, pixels."""
    supersampling: int = 2
    """Samples per pixel along each side; 1 leaves jagged borders."""
    cloth: float = 1.0
    """Strength of the bulge of clothes and hair over the body; 0 draws the bare surface."""
    occluded_share: float = 0.25
    """People with a box or an ellipse in front."""
    companion_share: float = 0.12
    """Pictures with another person behind, who has no labels."""
    noise: float = 0.03
    """Largest standard deviation of the pixel noise, in [0, 1]."""
    blur: float = 1.2
    """Largest standard deviation of the blur of the whole picture, pixels."""
    compressed_share: float = 0.4
    """Pictures degraded as by JPEG."""


@dataclass(frozen=True)
class PaintAssets:
    """What the painter needs to know of the body, and the pictures it cuts from."""

    places: Float[Tensor, "vertices 3"]
    """The rest body, which garments are measured on."""
    faces: Int64[Tensor, "faces 3"]
    face_parts: Int64[Tensor, "faces"]
    neighbours: Int64[Tensor, "vertices degree"]
    """Faces at each vertex; the number of faces stands where there are no more."""
    landmarks: Landmarks
    backgrounds: Pictures
    textures: Pictures
    """For cloth and occluders."""


@dataclass(frozen=True)
class Painting:
    """What the painter returns."""

    images: UInt8[Tensor, "batch 3 size size"]
    mask: Bool[Tensor, "batch size size"]
    """Where the picture shows the person, without what it holds."""
    parts: UInt8[Tensor, "batch size size"]
    """1 + row of the part that the picture shows; 0 elsewhere."""


@dataclass(frozen=True)
class _Surface:
    """The samples of the supersampled picture that a body covers, of all pictures one after the other."""

    sample: Int64[Tensor, "points"]
    """Number of the sample through all pictures."""
    person: Int64[Tensor, "points"]
    places: Float[Tensor, "points 3"]
    """On the rest body, metres."""
    normals: Float[Tensor, "points 3"]
    """Camera frame, unit length; tilted by the folds."""
    folds: Float[Tensor, "points"]
    """From about -1 in a fold to 1 on its back."""
    parts: Int64[Tensor, "points"]
    openness: Float[Tensor, "points"]


def paint_assets(body: BodyModelData, backgrounds: Pictures, textures: Pictures) -> PaintAssets:
    """Measure the body and bring all to its device."""
    device = body.template.device
    faces = body.faces.long()
    parts = body.skinning_weights.argmax(1)[faces[:, 0]] if body.face_parts is None else body.face_parts
    return PaintAssets(
        places=body.template,
        faces=faces,
        face_parts=parts.long(),
        neighbours=_faces_at_vertices(faces.cpu(), len(body.template)).to(device),
        landmarks=landmarks_of(body),
        backgrounds=backgrounds.to(device),
        textures=textures.to(device),
    )


def paint(
    vertices: Float[Tensor, "batch vertices 3"],
    camera: CropCamera,
    targets: Float[Tensor, "batch keypoints 2"],
    assets: PaintAssets,
    config: PaintConfig,
    generator: torch.Generator,
    props: Props | None = None,
) -> Painting:
    """Pictures of bodies and of what they hold in the camera frame (metres); `targets` (crop coordinates) are what occluders stand at."""
    backgrounds = _backgrounds(len(vertices), assets, config, generator)
    person, parts, bare = _draw_people(vertices, props, camera, backgrounds, assets, config, generator)
    cover = _cover(targets, assets, config, generator)
    mask = (bare * (1 - cover[:, 3])) > 0.5
    images = _degrade(_compose(backgrounds, person, cover, config, generator), config, generator)
    return Painting(images, mask, parts * mask)


def _backgrounds(
    count: int, assets: PaintAssets, config: PaintConfig, generator: torch.Generator
) -> Float[Tensor, "batch 3 size size"]:
    cut = cut_pictures(assets.backgrounds, count, config.size, (0.5, 1.0), generator)
    out_of_focus = uniform(generator, 0, 2.5, count) * chance(generator, 0.4, count)
    return blur(vary_colours(cut, 0.7, generator), out_of_focus)


def _draw_people(
    vertices: Float[Tensor, "batch vertices 3"],
    props: Props | None,
    camera: CropCamera,
    backgrounds: Float[Tensor, "batch 3 size size"],
    assets: PaintAssets,
    config: PaintConfig,
    generator: torch.Generator,
) -> tuple[
    Float[Tensor, "batch 4 size size"], UInt8[Tensor, "batch size size"], Float[Tensor, "batch size size"]
]:
    """Linear RGB times coverage, and coverage, of people with what they hold; the parts; and the coverage of people alone."""
    count = len(vertices)
    outfit = sample_outfits(count, generator)
    light = sample_lights(backgrounds.mean((2, 3)).square(), generator)
    prints = cut_pictures(assets.textures, count, 64, (0.4, 1.0), generator)
    dressed, looks = _dress(vertices, outfit, assets, config)
    fragments = _visible(dressed, props, camera, assets, config)
    openness = _openness(fragments, config)
    surface = _body_surface(fragments, looks, openness, assets, config)
    material = materials_at(surface.places, surface.person, outfit, assets.landmarks)
    albedo = albedo_at(surface.places, surface.person, material, outfit, prints)
    albedo = albedo * (1 + 0.08 * surface.folds)[:, None]
    colour = shade(albedo, surface.normals, surface.person, light, surface.openness)
    # Pixels gather their samples: a picture as fine as the samples is never stored.
    pixel = _pixel_of_sample(surface.sample, config)
    picture = colour.new_zeros(count * config.size**2, 4)
    picture.index_add_(0, pixel, F.pad(colour, (0, 1), value=1.0) / config.supersampling**2)
    parts = torch.zeros(len(picture), dtype=torch.uint8, device=vertices.device)
    parts[pixel] = (surface.parts + 1).to(torch.uint8)
    bare = picture[:, 3].clone()
    if props is not None:
        pixel, colour = _prop_surface(fragments, props, light, openness, assets, config)
        picture.index_add_(0, pixel, F.pad(colour, (0, 1), value=1.0) / config.supersampling**2)
    shape = (count, config.size, config.size)
    return picture.view(*shape, 4).permute(0, 3, 1, 2), parts.view(shape), bare.view(shape)


def _pixel_of_sample(sample: Int64[Tensor, "points"], config: PaintConfig) -> Int64[Tensor, "points"]:
    """Numbers through all pictures: of the pixel that a sample lies in."""
    fine = config.size * config.supersampling
    line = torch.div(sample, fine, rounding_mode="floor")
    column = sample - line * fine
    line, column = (torch.div(value, config.supersampling, rounding_mode="floor") for value in (line, column))
    return line * config.size + column


def _dress(
    vertices: Float[Tensor, "batch vertices 3"], outfit: Outfit, assets: PaintAssets, config: PaintConfig
) -> tuple[Float[Tensor, "batch vertices 3"], Float[Tensor, "batch vertices 7"]]:
    """Vertices pushed out by what covers them, and their looks: place on the rest body, normal, folds."""
    count = len(vertices)
    person = torch.arange(count, device=vertices.device)[:, None].expand(-1, len(assets.places))
    places = assets.places.expand(count, -1, -1)
    material = materials_at(places, person, outfit, assets.landmarks)
    fold, tilt = folds_at(assets.places, outfit)
    thickness = outfit.bulge.gather(1, material) * (1 + 0.8 * fold) * config.cloth
    dressed = vertices + _normals(vertices, assets) * thickness[..., None]
    roughness = torch.where(material > SKIN, 0.45, 0.1)[..., None]
    normals = _normals(dressed, assets) + roughness * tilt
    return dressed, torch.cat([places, normals, fold[..., None]], -1)


def _normals(
    vertices: Float[Tensor, "batch vertices 3"], assets: PaintAssets
) -> Float[Tensor, "batch vertices 3"]:
    """Unit normals at the vertices: the sum over their faces, by area."""
    a, b, c = (vertices[:, assets.faces[:, corner]] for corner in range(3))
    of_faces = F.pad(torch.linalg.cross(b - a, c - a), (0, 0, 0, 1))  # a zero stands for "no more faces"
    total = of_faces[:, assets.neighbours[:, 0]]
    for column in assets.neighbours.T[1:]:
        total += of_faces[:, column]
    return F.normalize(total, dim=-1)


def _faces_at_vertices(faces: Int[Tensor, "faces 3"], vertices: int) -> Int64[Tensor, "vertices degree"]:
    owners, order = faces.flatten().sort(stable=True)
    counts = torch.bincount(owners, minlength=vertices)
    within = torch.arange(len(owners)) - (counts.cumsum(0) - counts)[owners]
    table = torch.full((vertices, int(counts.max())), len(faces))
    table[owners, within] = order // 3
    return table


def _visible(
    vertices: Float[Tensor, "batch vertices 3"],
    props: Props | None,
    camera: CropCamera,
    assets: PaintAssets,
    config: PaintConfig,
) -> Fragments:
    """What the samples show: faces of the body, and after their rows those of the props."""
    faces = assets.faces
    if props is not None:
        faces = torch.cat([faces, props.faces + vertices.shape[1]])
        vertices = torch.cat([vertices, props.vertices], 1)
    fine = config.size * config.supersampling
    screen = (camera.project(vertices) + 1) * (fine / 2)
    screen = torch.cat([screen, vertices[..., 2:]], -1)
    return rasterize(screen, faces, fine, fine, cull_backfaces=True)


def _openness(fragments: Fragments, config: PaintConfig) -> Float[Tensor, "pixels"]:
    """Of all pictures one after the other."""
    coarse = fragments.depth[:, :: config.supersampling, :: config.supersampling]
    return openness_of(coarse, config.size // 40).flatten()


def _body_surface(
    fragments: Fragments,
    looks: Float[Tensor, "batch vertices 7"],
    openness: Float[Tensor, "pixels"],
    assets: PaintAssets,
    config: PaintConfig,
) -> _Surface:
    faces = fragments.face_index.flatten()
    sample = ((faces >= 0) & (faces < len(assets.faces))).nonzero().squeeze(1)
    person = _person_of_sample(sample, config)
    face = faces[sample]
    rows = (person * len(assets.places))[:, None] + assets.faces[face]
    weights, table = fragments.barycentrics.view(-1, 3)[sample], looks.flatten(0, 1)
    blended = table[rows[:, 0]] * weights[:, :1]
    for corner in (1, 2):
        blended.addcmul_(table[rows[:, corner]], weights[:, corner : corner + 1])
    return _Surface(
        sample=sample,
        person=person,
        places=blended[:, :3],
        normals=F.normalize(blended[:, 3:6], dim=1),
        folds=blended[:, 6],
        parts=assets.face_parts[face],
        openness=openness[_pixel_of_sample(sample, config)],
    )


def _prop_surface(
    fragments: Fragments,
    props: Props,
    light: Light,
    openness: Float[Tensor, "pixels"],
    assets: PaintAssets,
    config: PaintConfig,
) -> tuple[Int64[Tensor, "points"], Float[Tensor, "points 3"]]:
    """Pixels of the samples that show props, and the linear RGB there."""
    faces = fragments.face_index.flatten()
    sample = (faces >= len(assets.faces)).nonzero().squeeze(1)
    person, face = _person_of_sample(sample, config), faces[sample] - len(assets.faces)
    a, b, c = (props.vertices[person, props.faces[face, corner]] for corner in range(3))
    normals = F.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    albedo = props.colours[person, props.is_weight[face].long()]
    pixel = _pixel_of_sample(sample, config)
    return pixel, shade(albedo, normals, person, light, openness[pixel])


def _person_of_sample(sample: Int64[Tensor, "points"], config: PaintConfig) -> Int64[Tensor, "points"]:
    return sample // (config.size * config.supersampling) ** 2


def _cover(
    targets: Float[Tensor, "batch keypoints 2"],
    assets: PaintAssets,
    config: PaintConfig,
    generator: torch.Generator,
) -> Float[Tensor, "batch 4 size size"]:
    """sRGB and coverage of what stands in front."""
    shapes = occluders(config.size, pick_point(targets, generator), generator)
    alpha = with_probability(shapes, config.occluded_share, generator)
    of_texture = cut_pictures(assets.textures, len(targets), config.size, (0.5, 1.0), generator)
    of_background = cut_pictures(assets.backgrounds, len(targets), config.size, (0.2, 0.6), generator)
    is_texture = chance(generator, 0.6, len(targets), 1, 1, 1)
    return torch.cat([torch.where(is_texture, of_texture, of_background), alpha[:, None]], 1)


def _compose(
    backgrounds: Float[Tensor, "batch 3 size size"],
    person: Float[Tensor, "batch 4 size size"],
    cover: Float[Tensor, "batch 4 size size"],
    config: PaintConfig,
    generator: torch.Generator,
) -> Float[Tensor, "batch 3 size size"]:
    """Background, companion, shadow, person, occluder: from back to front, in sRGB at the end."""
    scene = backgrounds.square()
    companion = _companions(person, config, generator)
    scene = scene * (1 - companion[:, 3:]) + companion[:, :3]
    scene = darkened_by(scene, person[:, 3:], generator)
    scene = scene * (1 - person[:, 3:]) + person[:, :3]
    picture = scene.clamp(0, 1).sqrt()
    return picture.lerp(cover[:, :3], cover[:, 3:])


def _companions(
    person: Float[Tensor, "batch 4 size size"], config: PaintConfig, generator: torch.Generator
) -> Float[Tensor, "batch 4 size size"]:
    """The next picture's person, moved aside and scaled."""
    count = len(person)
    aside = uniform(generator, 0.35, 1.1, count) * torch.where(chance(generator, 0.5, count), -1.0, 1.0)
    offset = torch.stack([aside, normal(generator, 0.1, count)], 1)
    other = moved(person.roll(1, 0), offset, uniform(generator, 0.6, 1.1, count))
    return with_probability(other, config.companion_share, generator)


def _degrade(
    pictures: Float[Tensor, "batch 3 size size"], config: PaintConfig, generator: torch.Generator
) -> UInt8[Tensor, "batch 3 size size"]:
    """Blur, colour, noise and compression, different for each picture."""
    count = len(pictures)
    pictures = blur(pictures, uniform(generator, 0, config.blur, count))
    pictures = vary_colours(pictures, 0.4, generator)
    grain = normal(generator, 1.0, *pictures.shape) * uniform(generator, 0, 1, count, 1, 1, 1).square()
    pictures = pictures + config.noise * grain
    coarse = uniform(generator, 0, 8 / 255, count) * chance(generator, config.compressed_share, count)
    return (compress(pictures, coarse) * 255).round().clamp(0, 255).to(torch.uint8)
