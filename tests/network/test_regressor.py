import math
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from humanmesh.body.model import KeypointBody
from humanmesh.body.skeletons import COCOPLUS_19, SMPL_24
from humanmesh.errors import UnknownNameError
from humanmesh.network.encoder import EncoderOutput
from humanmesh.network.regressor import (
    HEATMAP_SHARPNESS,
    NEARNESS,
    Estimate,
    HeatmapKeypoints,
    HmrRegressor,
    KeypointStart,
    ModernRegressor,
    ShapeReader,
    State,
    default_mean_pose,
    depths_of,
    drawn_heatmaps,
    read_heatmaps,
    read_near,
    sample_at,
)
from made_bodies import small_body

CHANNELS = 40


def interpreter(state: State) -> Callable[[torch.Tensor], Estimate]:
    body = KeypointBody(small_body(), "cocoplus19")

    def interpret(values: torch.Tensor) -> Estimate:
        rotations, shape, camera = state.read(values)
        joints, keypoints = body(rotations, shape)
        return Estimate(rotations, shape, camera, joints, keypoints, camera.project(keypoints))

    return interpret


def seen_crops(batch: int = 2) -> EncoderOutput:
    chance = torch.Generator().manual_seed(0)
    return EncoderOutput(
        pooled=torch.rand(batch, CHANNELS, generator=chance),
        features=torch.rand(batch, 24, 12, 12, generator=chance),
        heatmaps=torch.randn(batch, 19, 12, 12, generator=chance),
    )


@pytest.fixture(params=[(HmrRegressor, "axis_angle"), (HmrRegressor, "6d"), (ModernRegressor, "6d")])
def regressor(request: pytest.FixtureRequest) -> HmrRegressor | ModernRegressor:
    kind, rotation = request.param
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return kind(State(rotation), CHANNELS)


def answer(regressor: HmrRegressor | ModernRegressor, encoded: EncoderOutput) -> tuple[Estimate, ...]:
    assert encoded.heatmaps is not None
    return regressor(encoded, read_heatmaps(encoded.heatmaps), interpreter(regressor.state))


def test_three_rounds_are_answered_in_float32(regressor: HmrRegressor | ModernRegressor) -> None:
    rounds = answer(regressor.eval(), seen_crops())
    assert len(rounds) == 3
    for estimate in rounds:
        assert estimate.rotations.shape == (2, 24, 3, 3)
        assert estimate.keypoints_2d.shape == (2, 19, 2)
        assert estimate.rotations.dtype == torch.float32


def test_without_corrections_every_round_is_the_mean(regressor: HmrRegressor | ModernRegressor) -> None:
    torch.nn.init.zeros_(regressor.fc3.weight)
    mean_rotations, _, _ = regressor.state.read(regressor.state.mean[None])
    for estimate in answer(regressor.eval(), seen_crops()):
        assert torch.equal(estimate.rotations, mean_rotations.expand(2, -1, -1, -1))
        assert torch.equal(estimate.shape, torch.zeros(2, 10))
        assert torch.equal(estimate.camera.scale, torch.full((2,), 0.9))
        assert torch.equal(estimate.camera.translation, torch.zeros(2, 2))


def test_a_constant_correction_is_added_once_a_round(regressor: HmrRegressor | ModernRegressor) -> None:
    torch.nn.init.zeros_(regressor.fc3.weight)
    regressor.fc3.bias.data[0] = 0.1  # the camera's scale comes first
    scales = [float(estimate.camera.scale[0].detach()) for estimate in answer(regressor.eval(), seen_crops())]
    assert scales == pytest.approx([1.0, 1.1, 1.2])


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_loss_on_any_round_reaches_every_layer(
    regressor: HmrRegressor | ModernRegressor, number: int
) -> None:
    answer(regressor.eval(), seen_crops())[number].keypoints_2d.square().sum().backward()
    for name, parameter in regressor.named_parameters():
        if name != "state.mean":
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


def test_the_mean_is_learned_from_the_first_round(regressor: HmrRegressor | ModernRegressor) -> None:
    answer(regressor.eval(), seen_crops())[0].keypoints_2d.square().sum().backward()
    assert regressor.state.mean.grad is not None
    assert regressor.state.mean.grad.abs().max() > 0


def test_the_papers_regressor_equals_its_recurrence_written_out() -> None:
    regressor = HmrRegressor(State("axis_angle"), CHANNELS).eval()
    torch.nn.init.normal_(regressor.fc3.weight, std=0.05)
    encoded = seen_crops()
    theta = regressor.state.mean.repeat(2, 1)
    weights = dict(regressor.named_parameters())
    for _ in range(3):
        hidden = torch.cat([encoded.pooled, theta], 1)
        for layer in ("fc1", "fc2"):
            hidden = (hidden @ weights[f"{layer}.weight"].T + weights[f"{layer}.bias"]).clamp_min(0)
        theta = theta + hidden @ weights["fc3.weight"].T + weights["fc3.bias"]
    last = answer(regressor, encoded)[-1]
    assert torch.allclose(last.camera.scale, theta[:, 0], atol=1e-5)
    assert torch.allclose(last.camera.translation, theta[:, 1:3], atol=1e-5)
    assert torch.allclose(last.shape, theta[:, 75:], atol=1e-5)


def test_the_papers_head_on_a_resnet50_has_its_parameters() -> None:
    head = HmrRegressor(State("axis_angle"), 2048)
    expected = (2133 * 1024 + 1024) + (1024 * 1024 + 1024) + (1024 * 85 + 85)
    assert sum(parameter.numel() for parameter in head.parameters()) == expected + 85  # and the mean


def test_the_last_layer_starts_within_the_papers_bound(regressor: HmrRegressor | ModernRegressor) -> None:
    outputs, inputs = regressor.fc3.weight.shape
    bound = math.sqrt(3 * 0.01 / ((inputs + outputs) / 2))
    largest = float(regressor.fc3.weight.detach().abs().max())
    assert 0.99 * bound < largest <= bound


def test_the_papers_regressor_drops_half_of_the_hidden_layer_in_training_only() -> None:
    regressor = HmrRegressor(State("axis_angle"), CHANNELS)
    assert regressor.dropout.p == pytest.approx(0.5)
    first, second = (answer(regressor.train(), seen_crops())[-1].shape for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (answer(regressor.eval(), seen_crops())[-1].shape for _ in range(2))
    assert torch.equal(first, second)


def test_the_modern_regressor_looks_where_its_keypoints_fall() -> None:
    """A change of the feature map away from every projected keypoint changes nothing; at one, it does."""
    regressor = ModernRegressor(State("6d"), CHANNELS, rounds=1).eval()
    torch.nn.init.normal_(regressor.fc3.weight, std=0.05)
    encoded = seen_crops(1)
    points = interpreter(regressor.state)(regressor.state.mean[None]).keypoints_2d[0].detach()
    cells = ((points + 1) * 6 - 0.5).round().long()  # column, row of the nearest cell of 12 x 12
    before = answer(regressor, encoded)[0].keypoints_2d
    far = torch.ones(12, 12, dtype=torch.bool)
    for column, row in cells.tolist():
        far[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3] = False
    inside = ((cells >= 0) & (cells < 12)).all(1)
    assert far.any()
    assert inside.any()
    assert encoded.features is not None
    encoded.features[:, :, far] += 1
    assert torch.equal(answer(regressor, encoded)[0].keypoints_2d, before)
    column, row = cells[inside][0].tolist()
    encoded.features[:, :, row, column] += torch.rand(24)
    assert not torch.equal(answer(regressor, encoded)[0].keypoints_2d, before)


def test_the_modern_regressor_asks_for_a_pyramid() -> None:
    regressor = ModernRegressor(State("6d"), CHANNELS)
    with pytest.raises(ValueError, match="pyramid=True"):
        regressor(EncoderOutput(torch.zeros(1, CHANNELS)), None, interpreter(regressor.state))


def test_depths_are_the_means_of_their_maps_where_the_heat_maps_peak() -> None:
    logits, depth_maps = torch.full((1, 19, 8, 8), -20.0), torch.zeros(1, 19, 2, 2)
    logits[0, 0, 1, 6] = logits[0, 1, 7, 0] = logits[0, 1, 7, 7] = 20.0
    depth_maps[0, :, 0, 1], depth_maps[0, :, 1, 0], depth_maps[0, :, 1, 1] = 0.3, -0.2, 0.6
    depths = read_heatmaps(logits, depth_maps).depths
    assert depths is not None
    # The first lies in the upper right quarter, the second half in the lower left, half in the lower right.
    torch.testing.assert_close(depths[0, :2], torch.tensor([0.3, 0.2]))


def reader_of_shapes() -> ShapeReader:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        reader = ShapeReader(7)
        torch.nn.init.normal_(reader.last.weight)
    return reader.eval()


def test_a_shape_is_read_where_the_body_is_and_halfway_between_its_keypoints() -> None:
    reader, keypoints = reader_of_shapes(), torch.full((1, 19, 2), 9.0)  # outside the crop
    hip, knee = COCOPLUS_19.index["left_hip"], COCOPLUS_19.index["left_knee"]
    keypoints[0, hip], keypoints[0, knee] = torch.tensor([-0.75, -0.75]), torch.tensor([-0.75, 0.75])
    maps = torch.zeros(3, 7, 4, 4)
    maps[1, :, 1:3, 0] = 1.0  # halfway down the thigh
    maps[2, :, :, 2:] = 1.0  # elsewhere
    nothing, thigh, elsewhere = reader(maps, keypoints.expand(3, -1, -1))
    assert (thigh - nothing).abs().max() > 1e-3
    assert torch.equal(elsewhere, nothing)


def test_a_body_gets_the_shape_that_is_read_and_keeps_its_pose_place_and_size_in_the_crop() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        regressor = ModernRegressor(State("6d"), CHANNELS, shape_channels=7).eval()
    regressor.shape_reader = reader_of_shapes()
    encoded = replace(seen_crops(), trunk_features=torch.rand(2, 7, 3, 3))
    assert encoded.heatmaps is not None
    *_, before, last = regressor(encoded, read_heatmaps(encoded.heatmaps), interpreter(regressor.state))
    torch.testing.assert_close(
        last.shape, regressor.shape_reader(encoded.trunk_features, before.keypoints_2d)
    )
    assert torch.equal(last.rotations, before.rotations)
    sizes = [(e.camera.scale[:, None, None] * e.keypoints_3d).std(1).norm(dim=1) for e in (before, last)]
    torch.testing.assert_close(sizes[0], sizes[1])
    torch.testing.assert_close(last.keypoints_2d.mean(1), before.keypoints_2d.mean(1))
    assert (last.camera.scale - before.camera.scale).abs().min() > 1e-3


def test_training_leaves_the_reader_of_shapes_alone() -> None:
    regressor = ModernRegressor(State("6d"), CHANNELS, shape_channels=7).train()
    encoded = replace(seen_crops(), trunk_features=torch.rand(2, 7, 3, 3))
    assert encoded.heatmaps is not None
    rounds = regressor(encoded, read_heatmaps(encoded.heatmaps), interpreter(regressor.state))
    assert len(rounds) == regressor.rounds
    assert not any(parameter.requires_grad for parameter in regressor.shape_reader.parameters())


def test_depths_count_from_the_middle_of_the_hips() -> None:
    keypoints = torch.randn(2, 19, 3)
    hips = [COCOPLUS_19.index["left_hip"], COCOPLUS_19.index["right_hip"]]
    depths = depths_of(keypoints)
    torch.testing.assert_close(depths[:, hips].sum(1), torch.zeros(2))
    torch.testing.assert_close(depths, depths_of(keypoints + torch.tensor([1.0, 2.0, 3.0])))
    torch.testing.assert_close(depths.diff(dim=1), keypoints[..., 2].diff(dim=1))


def test_depths_turn_the_answer_and_learn_from_their_own_loss_alone() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        regressor = ModernRegressor(State("6d"), CHANNELS, lifted_start=True, depths=True).eval()
    encoded, depth_maps = seen_crops(), torch.zeros(2, 19, 3, 3, requires_grad=True)
    assert encoded.heatmaps is not None
    interpret = interpreter(regressor.state)
    flat = regressor(encoded, read_heatmaps(encoded.heatmaps, depth_maps), interpret)
    deep = regressor(encoded, read_heatmaps(encoded.heatmaps, depth_maps + 0.2), interpret)
    for before, after in zip(flat, deep, strict=True):
        assert not torch.equal(before.rotations, after.rotations)
    flat[-1].keypoints_3d.sum().backward()
    assert depth_maps.grad is None


def lifted(start: KeypointStart, seen: HeatmapKeypoints, state: State) -> Estimate:
    return interpreter(state)(start(seen, state.mean))


def trained_start(state: State) -> KeypointStart:
    """A start whose answer depends on its input, as after a training."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        start = KeypointStart(state.size).eval()
        torch.nn.init.normal_(start.last[2].weight, std=0.01)
    return start


def seen_people(batch: int = 3) -> HeatmapKeypoints:
    chance = torch.Generator().manual_seed(2)
    return HeatmapKeypoints(
        torch.rand(batch, 19, 2, generator=chance) - 0.5,
        torch.rand(batch, 19, generator=chance),
        0.1 * torch.rand(batch, 19, generator=chance),
    )


def test_moved_and_scaled_keypoints_lift_to_the_same_body_with_a_moved_and_scaled_camera() -> None:
    state = State("6d")
    start, seen = trained_start(state), seen_people()
    moved = HeatmapKeypoints(
        1.5 * seen.positions + torch.tensor([0.2, -0.3]), seen.confidences, 1.5 * seen.spreads
    )
    before, after = lifted(start, seen, state), lifted(start, moved, state)
    torch.testing.assert_close(after.rotations, before.rotations, atol=1e-5, rtol=0)
    torch.testing.assert_close(after.shape, before.shape, atol=1e-5, rtol=0)
    expected = 1.5 * before.keypoints_2d + torch.tensor([0.2, -0.3])
    torch.testing.assert_close(after.keypoints_2d, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("confidence", [0.0, 1.0])
def test_keypoints_that_all_lie_in_one_place_lift_to_finite_numbers(confidence: float) -> None:
    state = State("6d")
    seen = HeatmapKeypoints(torch.full((2, 19, 2), 0.1), torch.full((2, 19), confidence), torch.zeros(2, 19))
    estimate = lifted(trained_start(state), seen, state)
    assert estimate.keypoints_2d.isfinite().all()


def test_a_lifted_start_is_the_first_of_the_estimates_and_learns_from_its_own_loss() -> None:
    regressor = ModernRegressor(State("6d"), CHANNELS, lifted_start=True).eval()
    assert regressor.start is not None
    estimates = answer(regressor, seen_crops())
    assert len(estimates) == 4
    estimates[0].keypoints_3d.square().sum().backward()
    for name, parameter in regressor.start.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert regressor.fc1.weight.grad is None


def test_an_unknown_rotation_is_named_with_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="6d, axis_angle"):
        State("quaternion")


@pytest.mark.parametrize("rotation", ["axis_angle", "6d"])
def test_the_mean_stands_upright_in_the_camera_with_lowered_arms(rotation: str) -> None:
    state = State(rotation)
    rotations, shape, camera = state.read(state.mean.detach()[None])
    assert torch.allclose(rotations[0, 0], torch.diag(torch.tensor([1.0, -1.0, -1.0])), atol=1e-6)
    # In the T the left arm points to +x; lowered by 60 degrees it points to (cos 60, -sin 60).
    left = rotations[0, SMPL_24.index["left_shoulder"]] @ torch.tensor([1.0, 0.0, 0.0])
    right = rotations[0, SMPL_24.index["right_shoulder"]] @ torch.tensor([-1.0, 0.0, 0.0])
    assert torch.allclose(left, torch.tensor([0.5, -math.sqrt(0.75), 0.0]), atol=1e-6)
    assert torch.allclose(right, torch.tensor([-0.5, -math.sqrt(0.75), 0.0]), atol=1e-6)
    # Forearms bend to the front (+z), shins to the back (-z).
    assert (rotations[0, SMPL_24.index["left_elbow"]] @ torch.tensor([1.0, 0.0, 0.0]))[2] > 0.2
    assert (rotations[0, SMPL_24.index["right_elbow"]] @ torch.tensor([-1.0, 0.0, 0.0]))[2] > 0.2
    for knee in ("left_knee", "right_knee"):
        assert (rotations[0, SMPL_24.index[knee]] @ torch.tensor([0.0, -1.0, 0.0]))[2] < -0.1
    assert torch.equal(shape, torch.zeros(1, 10))
    assert camera.scale.tolist() == pytest.approx([0.9])


def test_another_mean_pose_takes_the_place_of_the_default() -> None:
    pose = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(State("axis_angle", pose).mean[3:75], pose.flatten())
    assert torch.equal(State("axis_angle").mean[3:75], default_mean_pose().flatten())


def test_one_hot_cell_is_read_at_its_centre() -> None:
    heatmaps = torch.full((1, 19, 12, 24), -9.0)
    heatmaps[0, :, 3, 20] = 5
    seen = read_heatmaps(heatmaps)
    # column 20 of 24: (20.5 / 24) * 2 - 1; row 3 of 12: (3.5 / 12) * 2 - 1
    assert torch.allclose(seen.positions, torch.tensor([0.708333, -0.416667]).expand(1, 19, 2), atol=1e-4)
    assert torch.allclose(seen.confidences, torch.tensor(5.0).sigmoid().expand(1, 19))


def test_two_equal_peaks_are_read_halfway_with_half_their_distance_as_spread() -> None:
    heatmaps = torch.full((1, 19, 16, 16), -20.0)
    heatmaps[0, :, 8, 2] = 5
    heatmaps[0, :, 8, 12] = 5
    seen = read_heatmaps(heatmaps)
    assert torch.allclose(seen.positions[..., 0], torch.full((1, 19), -0.0625), atol=1e-5)
    assert torch.allclose(seen.spreads, torch.full((1, 19), 5 / 8), atol=1e-5)


def test_a_flat_map_is_read_in_the_middle() -> None:
    seen = read_heatmaps(torch.full((1, 19, 16, 16), -7.0))
    assert torch.allclose(seen.positions, torch.zeros(1, 19, 2), atol=1e-5)


@pytest.mark.parametrize("height", [0.0, 1.0, 30.0, 1e4])
def test_gradients_stay_finite_from_flat_to_razor_sharp_maps(height: float) -> None:
    heatmaps = torch.zeros(1, 19, 8, 8, dtype=torch.bfloat16)
    heatmaps[0, :, 2, 5] = height
    heatmaps.requires_grad_()
    seen = read_heatmaps(heatmaps)
    (seen.positions.sum() + seen.spreads.sum() + seen.confidences.sum()).backward()
    assert heatmaps.grad is not None
    assert heatmaps.grad.isfinite().all()
    assert all(value.isfinite().all() for value in (seen.positions, seen.spreads, seen.confidences))


def test_maps_are_read_as_well_under_autocast() -> None:
    heatmaps = torch.randn(2, 19, 32, 32, generator=torch.Generator().manual_seed(0))
    alone = read_heatmaps(heatmaps)
    with torch.autocast("cpu", torch.bfloat16):
        under = read_heatmaps(heatmaps)
        near = read_near(heatmaps, under, torch.zeros(2, 19, 2))
    assert torch.equal(under.positions, alone.positions)
    assert torch.equal(under.spreads, alone.spreads)
    assert torch.equal(near.positions, read_near(heatmaps, alone, torch.zeros(2, 19, 2)).positions)


def bell(mean: tuple[float, float], deviation: float, cells: int = 64) -> torch.Tensor:
    """Logits of maps whose softmax is a round Gaussian about a place."""
    centers = (torch.arange(cells) + 0.5) * (2 / cells) - 1
    distances = (centers - mean[0]).square() + (centers - mean[1]).square()[:, None]
    return (-distances / (2 * deviation**2 * HEATMAP_SHARPNESS)).expand(1, 19, cells, cells)


def test_near_a_body_a_gaussian_is_read_where_the_product_of_both_gaussians_lies() -> None:
    heatmaps, deviation = bell((0.1, -0.2), 0.1), 0.1
    body = torch.tensor([0.3, 0.05])
    near = read_near(heatmaps, read_heatmaps(heatmaps), body.expand(1, 19, 2))
    share = NEARNESS**2 / (NEARNESS**2 + deviation**2)
    expected = share * torch.tensor([0.1, -0.2]) + (1 - share) * body
    assert torch.allclose(near.positions, expected.expand(1, 19, 2), atol=1e-4)


@pytest.mark.parametrize(("body", "column"), [(-0.4, 2), (0.5, 12)])
def test_of_two_equal_peaks_the_one_near_the_body_is_read(body: float, column: int) -> None:
    heatmaps = torch.full((1, 19, 16, 16), -20.0)
    heatmaps[0, :, 8, 2] = 5
    heatmaps[0, :, 8, 12] = 5
    near = read_near(heatmaps, read_heatmaps(heatmaps), torch.tensor([body, 0.0]).expand(1, 19, 2))
    assert torch.allclose(near.positions[..., 0], torch.tensor((column + 0.5) / 8 - 1), atol=1e-3)


def test_a_body_outside_the_crop_or_far_from_every_peak_is_read_finitely_and_inside() -> None:
    heatmaps = torch.full((1, 19, 16, 16), -1e4)
    heatmaps[0, :, 15, 15] = 1e4
    far = torch.tensor([-1e6, -1e6]).expand(1, 19, 2)
    near = read_near(heatmaps, read_heatmaps(heatmaps), far)
    assert torch.allclose(near.positions, torch.full((1, 19, 2), 0.9375))  # the only peak, however far
    flat = torch.zeros(1, 19, 16, 16)
    assert read_near(flat, read_heatmaps(flat), far).positions.abs().max() < 1


def test_only_places_are_read_near_a_body_and_nothing_is_learned_from_them() -> None:
    heatmaps = torch.randn(1, 19, 8, 8, generator=torch.Generator().manual_seed(0)).requires_grad_()
    seen = read_heatmaps(heatmaps)
    near = read_near(heatmaps, seen, torch.zeros(1, 19, 2, requires_grad=True))
    assert near.confidences is seen.confidences
    assert near.spreads is seen.spreads
    assert not near.positions.requires_grad


def test_moving_a_peak_moves_its_keypoint() -> None:
    heatmaps = torch.zeros(1, 19, 8, 8, requires_grad=True)
    read_heatmaps(heatmaps).positions[0, 4, 0].backward()
    gradient = heatmaps.grad[0]
    assert gradient[4, :, 7].min() > 0 > gradient[4, :, 0].max()
    assert gradient[3].abs().max() == 0


def test_sampling_a_ramp_gives_the_crop_coordinates_back() -> None:
    centers = (torch.arange(10) + 0.5) / 5 - 1
    ramp = torch.stack(torch.meshgrid(centers, centers, indexing="xy"))[None]
    points = torch.rand(1, 30, 2, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    assert torch.allclose(sample_at(ramp, points), points, atol=1e-6)


def test_sampling_outside_the_crop_gives_zero() -> None:
    points = torch.tensor([[[1.5, 0.0], [0.0, -1.5]]])
    assert torch.equal(sample_at(torch.ones(1, 3, 8, 8), points), torch.zeros(1, 2, 3))


def test_integral_regression_agrees_with_a_sum_over_cells() -> None:
    heatmaps = torch.randn(2, 19, 6, 8, generator=torch.Generator().manual_seed(0))
    share = functional.softmax(3 * heatmaps.reshape(2, 19, 48), -1)
    expected = torch.zeros(2, 19, 2)
    for row in range(6):
        for column in range(8):
            place = torch.tensor([(column + 0.5) / 4 - 1, (row + 0.5) / 3 - 1])
            expected += share[:, :, row * 8 + column, None] * place
    assert torch.allclose(read_heatmaps(heatmaps).positions, expected, atol=1e-6)


def test_drawn_maps_are_read_where_the_keypoints_are_known_with_their_weights_for_confidence() -> None:
    chance = torch.Generator().manual_seed(0)
    logits, depth_maps = torch.randn(3, 19, 48, 48, generator=chance), torch.zeros(3, 19, 12, 12)
    depth_maps[..., :6], depth_maps[..., 6:] = -0.4, 0.7  # metres, left and right half
    keypoints = 1.6 * torch.rand(3, 19, 2, generator=chance) - 0.8
    weights = torch.rand(3, 19, generator=chance)
    seen = read_heatmaps(drawn_heatmaps(logits, keypoints, weights), depth_maps)
    assert torch.allclose(seen.positions, keypoints, atol=2e-3)
    # The highest cell is at most half a diagonal away: 0.5 / 6 below the peak's logit, a quarter of that in its sigmoid.
    assert torch.allclose(seen.confidences, 0.99 * weights.clamp_min(0.01), atol=0.5 / 6 / 4)
    is_clear = keypoints[..., 0].abs() > 0.2
    sides = torch.where(keypoints[..., 0] < 0, -0.4, 0.7)
    assert seen.depths is not None
    assert torch.allclose(seen.depths[is_clear], sides[is_clear], atol=1e-3)


def test_maps_of_keypoints_that_are_unknown_or_outside_stay() -> None:
    logits = torch.randn(2, 19, 12, 12)
    keypoints, weights = torch.zeros(2, 19, 2), torch.ones(2, 19)
    weights[0], keypoints[1, :, 0] = 0, 1.2
    assert torch.equal(drawn_heatmaps(logits, keypoints, weights), logits)
