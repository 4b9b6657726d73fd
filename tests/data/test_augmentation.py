"""Augmentation moves picture, 2D and 3D labels alike."""

from dataclasses import fields, replace

import pytest
import torch

from humanmesh.body.skeletons import COCOPLUS_19
from humanmesh.data.augmentation import NO_AUGMENTATION, AugmentationConfig, augment
from humanmesh.data.dataset import Batch, collate
from made_samples import made_sample

GEOMETRY_ONLY = replace(
    AugmentationConfig(), color=0.0, occlusion_share=0.0, blur_share=0.0, extreme_crop_share=0.0
)


def batch(count: int = 6) -> Batch:
    return collate([made_sample(number) for number in range(count)])


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def marked(keypoint: int) -> Batch:
    """Black pictures with a bright square of 3 x 3 pixels round one keypoint."""
    stored = batch()
    images = torch.zeros_like(stored.images)
    keypoints = stored.keypoints_2d.floor() + 0.5
    for row, (x, y) in enumerate(keypoints[:, keypoint].long().tolist()):
        images[row, :, y - 1 : y + 2, x - 1 : x + 2] = 255
    return replace(stored, images=images, keypoints_2d=keypoints)


def test_the_same_generator_gives_the_same_batch():
    first, second = (augment(batch(), AugmentationConfig(), 32, generator(3)) for _ in range(2))
    torch.testing.assert_close(first.images, second.images)
    torch.testing.assert_close(first.keypoints_2d, second.keypoints_2d)


@pytest.mark.parametrize(
    ("setting", "moves"),
    [
        ({"color": 0.3}, False), ({"blur_share": 1.0}, False), ({"occlusion_share": 1.0}, False),
        ({"scale": 0.2}, True), ({"shift": 0.06}, True), ({"extreme_crop_share": 1.0}, True),
        ({"rotation_share": 1.0}, True), ({"any_rotation_share": 1.0}, True),
    ],
    ids=str,
)  # fmt: skip
def test_each_setting_changes_every_picture_by_chance_and_moves_labels_if_it_moves_people(setting, moves):
    plain = augment(batch(), NO_AUGMENTATION, 32, generator())
    one, other = (
        augment(batch(), replace(NO_AUGMENTATION, **setting), 32, generator(seed)) for seed in (0, 1)
    )
    assert (one.images != plain.images).flatten(1).any(1).all()
    assert (one.keypoints_2d != plain.keypoints_2d).flatten(1).any(1).tolist() == [moves] * 6
    assert not torch.equal(one.images, other.images)


def test_a_keypoint_stays_on_what_it_marks():
    nose = COCOPLUS_19.index["nose"]
    moved = augment(marked(nose), replace(GEOMETRY_ONLY, scale=0.05, any_rotation_share=0.5), 64, generator())
    for image, (x, y) in zip(moved.images, moved.keypoints_2d[:, nose].tolist(), strict=True):
        rows, columns = torch.meshgrid(torch.arange(64.0) + 0.5, torch.arange(64.0) + 0.5, indexing="ij")
        mass = image[0].sum()
        assert float((image[0] * columns).sum() / mass) == pytest.approx((x + 1) * 32, abs=0.7)
        assert float((image[0] * rows).sum() / mass) == pytest.approx((y + 1) * 32, abs=0.7)


def test_a_mirror_swaps_left_and_right_and_twice_is_the_identity():
    only_mirror = replace(NO_AUGMENTATION, mirror_share=1.0)
    plain = augment(batch(), NO_AUGMENTATION, 32, generator())
    mirrored = augment(batch(), only_mirror, 32, generator())
    left, right = COCOPLUS_19.index["left_wrist"], COCOPLUS_19.index["right_wrist"]
    sign = torch.tensor([-1.0, 1.0])
    torch.testing.assert_close(mirrored.keypoints_2d[:, left], plain.keypoints_2d[:, right] * sign)
    torch.testing.assert_close(mirrored.images, plain.images.flip(-1), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        mirrored.keypoints_3d[:, left], plain.keypoints_3d[:, right] * torch.tensor([-1.0, 1, 1])
    )


def test_3d_turns_with_the_picture():
    """2D labels made from 3D by a weak-perspective camera stay its projection after the turn and the mirror."""
    stored = batch()
    stored = replace(stored, keypoints_2d=32 + 10 * stored.keypoints_3d[..., :2])
    stored = replace(stored, boxes=torch.tensor([[16.0, 16, 48, 48]]).expand(6, 4))
    config = replace(GEOMETRY_ONLY, scale=0.0, shift=0.0, any_rotation_share=1.0, mirror_share=0.5)
    moved = augment(stored, config, 32, generator())
    scale = 10 / (32 * config.margin / 2)
    torch.testing.assert_close(moved.keypoints_2d, scale * moved.keypoints_3d[..., :2], atol=1e-5, rtol=1e-5)


def test_the_global_rotation_turns_with_3d_keypoints():
    stored = batch()
    spine = stored.keypoints_3d[:, :1]
    body_frame = spine @ stored.rotations[:, 0]
    moved = augment(stored, replace(GEOMETRY_ONLY, any_rotation_share=1.0, mirror_share=0.0), 32, generator())
    torch.testing.assert_close(
        body_frame @ moved.rotations[:, 0].transpose(1, 2), moved.keypoints_3d[:, :1], atol=1e-5, rtol=1e-5
    )


def test_rotations_stay_rotations():
    moved = augment(batch(), AugmentationConfig(), 32, generator())
    product = moved.rotations @ moved.rotations.transpose(-1, -2)
    torch.testing.assert_close(product, torch.eye(3).expand_as(product), atol=1e-5, rtol=0)


def test_missing_keypoints_stay_at_zero():
    stored = batch()
    weights = stored.weights_2d.clone()
    weights[:, 3] = 0
    moved = augment(
        replace(stored, weights_2d=weights), AugmentationConfig(mirror_share=0.0), 32, generator()
    )
    assert (moved.keypoints_2d[:, 3] == 0).all()


def test_pictures_stay_in_range():
    moved = augment(
        batch(), AugmentationConfig(color=1.0, occlusion_share=1.0, blur_share=1.0), 32, generator()
    )
    assert 0 <= moved.images.min() <= moved.images.max() <= 1


@pytest.mark.parametrize("value", [-0.1, 1.5])
@pytest.mark.parametrize(
    "name", [field.name for field in fields(AugmentationConfig) if field.name.endswith("_share")]
)
def test_a_share_outside_zero_to_one_is_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} is a share"):
        AugmentationConfig(**{name: value})


def test_augmentation_of_no_strength_leaves_the_mirror_alone():
    none = AugmentationConfig().times(0)
    assert none.mirror_share == AugmentationConfig().mirror_share
    still = augment(batch(), replace(none, mirror_share=0.0), 32, generator())
    torch.testing.assert_close(still.images, augment(batch(), NO_AUGMENTATION, 32, generator()).images)


def test_half_the_augmentation_moves_people_half_as_far():
    only_shift = replace(NO_AUGMENTATION, shift=0.06)
    plain, half, whole = (
        augment(batch(), config, 32, generator()).keypoints_2d
        for config in (NO_AUGMENTATION, only_shift.times(0.5), only_shift)
    )
    torch.testing.assert_close(half - plain, (whole - plain) / 2)


@pytest.mark.parametrize("strength", [-1, 5, float("nan"), float("inf")])
def test_a_strength_that_leaves_no_sensible_shares_is_refused(strength):
    with pytest.raises(ValueError, match="_share is a share"):
        AugmentationConfig().times(strength)
