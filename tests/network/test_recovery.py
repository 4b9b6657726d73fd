from pathlib import Path

import pytest
import torch

from humanmesh.body.model import BodyModel
from humanmesh.errors import UnknownNameError
from humanmesh.files.assets import weights_path
from humanmesh.files.body_models import load_body_data
from humanmesh.files.checkpoints import load_recovery
from humanmesh.files.images import read_photo
from humanmesh.geometry import crops as crop_geometry
from humanmesh.geometry.cameras import CropLens, CropPerspectiveCamera, centred_lens
from humanmesh.network.encoder import KEYPOINTS
from humanmesh.network.recovery import Recovery, RecoveryConfig, build_recovery
from made_bodies import small_body

PHOTO = Path(__file__).parents[2] / "docs/pictures/photo.jpg"
BOX = torch.tensor([[160.0, 57.0, 502.0, 496.0]])
"""Of the person in it, pixels."""


def network(encoder: str = "mobilenet_v2_fpn", regressor: str = "modern", rotation: str = "6d") -> Recovery:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return build_recovery(RecoveryConfig(encoder, regressor, rotation), small_body())


def crops(count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_the_papers_network_has_the_papers_parameters() -> None:
    papers = network("resnet50", "hmr", "axis_angle")
    numbers = sum(parameter.numel() for parameter in papers.parameters())
    assert numbers == 23_508_032 + 3_321_941 + 85  # encoder, head, mean
    assert round(numbers / 1e4) == 2683


def test_the_small_network_fits_in_fourteen_megabytes_of_float16() -> None:
    assert 2 * sum(parameter.numel() for parameter in network().parameters()) < 14e6


@pytest.mark.parametrize(
    "build",
    [("resnet18", "modern", "6d"), ("resnet18", "hmr", "6d"), ("mobilenet_v2_fpn", "hmr", "axis_angle")],
)
def test_every_encoder_serves_every_regressor(build: tuple[str, str, str]) -> None:
    output = network(*build).eval()(crops())
    assert len(output.rounds) == 3
    assert output.last.keypoints_2d.shape == (2, 19, 2)
    assert (output.seen is None) == (build[1] == "hmr")


def test_an_estimate_is_its_own_body_seen_by_its_own_camera() -> None:
    output = network().eval()(crops())
    body = BodyModel(small_body())
    for estimate in output.rounds:
        posed = body(estimate.rotations, estimate.shape)
        keypoints = body.keypoints(posed.vertices, "cocoplus19")
        scale, offset = estimate.camera.scale[:, None, None], estimate.camera.translation[:, None]
        assert torch.allclose(estimate.joints, posed.joints, atol=1e-5)
        assert torch.allclose(estimate.keypoints_3d, keypoints, atol=1e-5)
        assert torch.allclose(estimate.keypoints_2d, scale * (keypoints[..., :2] + offset), atol=1e-5)


def test_crops_are_seen_through_the_lens_that_is_given_or_the_networks_own() -> None:
    looking = network().eval()
    looking.lens_slope = 0.25
    lens = CropLens(torch.tensor([0.1, 0.4]), torch.tensor([[0.0, 0.0], [0.3, -0.2]]), torch.zeros(2))
    for given, used in ((lens, lens), (None, centred_lens(0.25, torch.zeros(2)))):
        last = looking(crops(), given).last
        camera = CropPerspectiveCamera(last.camera.scale, last.camera.translation, used)
        assert torch.allclose(last.keypoints_2d, camera.project(last.keypoints_3d), atol=1e-6)


def test_heat_maps_of_a_mirrored_crop_are_the_mirrored_heat_maps() -> None:
    looking = network().eval()
    looking.mirrored = True
    output, mirrored = looking(crops()), looking(crops().flip(-1))
    expected = output.encoded.heatmaps.flip(-1)[:, list(KEYPOINTS.mirror)]
    assert torch.allclose(mirrored.encoded.heatmaps, expected, atol=1e-5)
    assert torch.equal(output.encoded.features, network().eval()(crops()).encoded.features)


def test_depths_of_a_mirrored_crop_are_those_of_the_other_side() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        looking = build_recovery(RecoveryConfig(depths=True, mirrored=True), small_body()).eval()
    seen, mirrored = looking(crops()).seen, looking(crops().flip(-1)).seen
    assert torch.allclose(mirrored.depths, seen.depths[:, list(KEYPOINTS.mirror)], atol=1e-4)
    assert not torch.allclose(mirrored.depths, seen.depths, atol=1e-2)


@pytest.mark.parametrize("setting", ["depths", "shapes", "lifted_start"])
def test_what_reads_maps_needs_the_modern_regressor(setting: str) -> None:
    with pytest.raises(ValueError, match=setting):
        RecoveryConfig("resnet50", "hmr", "axis_angle", **{setting: True})


def test_a_network_that_reads_shapes_ends_its_rounds_with_the_one_it_reads() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        looking = build_recovery(RecoveryConfig(shapes=True), small_body()).eval()
        torch.nn.init.normal_(looking.regressor.shape_reader.last.weight)
    output = looking(crops())
    before, last = output.rounds[-2:]
    read = looking.regressor.shape_reader(output.encoded.trunk_features, before.keypoints_2d)
    assert torch.equal(last.shape, read)
    assert read.std() > 0.1


def test_only_heat_maps_are_averaged_with_their_mirror() -> None:
    with pytest.raises(ValueError, match="mirrored"):
        RecoveryConfig("resnet50", "hmr", "axis_angle", mirrored=True)


@pytest.mark.parametrize("slope", [-0.1, 1.0])
def test_a_lens_of_no_camera_is_refused(slope: float) -> None:
    with pytest.raises(ValueError, match="lens_slope"):
        RecoveryConfig(lens_slope=slope)


def idle_parameters(trained: Recovery) -> set[str]:
    return {name for name, value in trained.named_parameters() if value.grad is None or not value.grad.any()}


def test_a_loss_on_all_rounds_reaches_every_parameter_but_those_of_the_heat_maps() -> None:
    trained = network().train()
    output = trained(crops(3))
    loss = torch.stack([estimate.keypoints_2d.square().mean() for estimate in output.rounds]).sum()
    loss.backward(retain_graph=True)
    head = {name for name, _ in trained.named_parameters() if "keypoint_head" in name}
    assert idle_parameters(trained) == head != set()
    assert output.seen is not None
    output.seen.positions.square().mean().backward()
    assert idle_parameters(trained) == set()


def test_a_told_keypoint_moves_its_limb_there_and_the_others_stay() -> None:
    data = load_body_data("anny")
    knowing = load_recovery(weights_path("default"), data)
    photo = read_photo(PHOTO)
    side = crop_geometry.margin_crop_side(BOX, crop_geometry.KEYPOINTS_MARGIN)
    matrix = crop_geometry.crop_from_photo(crop_geometry.box_center(BOX), side)
    seen = crop_geometry.sample_crop(photo, matrix[0], 224)[None]
    with torch.no_grad():
        answer = knowing(seen).last.keypoints_2d
        wrist = KEYPOINTS.index["left_wrist"]
        moved = answer.clone()
        moved[:, wrist] += torch.tensor([0.1, -0.1])
        told = knowing.told(seen, moved, torch.ones(1, 19)).last.keypoints_2d
    distances = (told - moved).norm(dim=-1)[0]
    assert distances[wrist] < 0.07  # half of the way, at least
    assert distances[torch.arange(19) != wrist].max() < 0.05


def test_only_a_network_with_heat_maps_can_be_told_keypoints() -> None:
    papers = network("resnet18", "hmr", "axis_angle").eval()
    with pytest.raises(ValueError, match="heat maps"):
        papers.told(crops(), torch.zeros(2, 19, 2), torch.ones(2, 19))


def test_geometry_stays_in_float32_under_autocast() -> None:
    recovery = network().eval()
    with torch.autocast("cpu", torch.bfloat16):
        last = recovery(crops()).last
    for value in (last.rotations, last.shape, last.joints, last.keypoints_2d, last.camera.scale):
        assert value.dtype == torch.float32
    identity = last.rotations @ last.rotations.mT
    assert torch.allclose(identity, torch.eye(3).expand_as(identity), atol=1e-5)
    joints, keypoints = recovery.body(last.rotations, last.shape)
    assert torch.equal(last.joints, joints)
    assert torch.equal(last.keypoints_2d, last.camera.project(keypoints))


def test_the_body_is_no_part_of_the_weights() -> None:
    recovery = network()
    assert not [name for name in recovery.state_dict() if name.startswith("body")]
    other = build_recovery(RecoveryConfig(), small_body(seed=1))
    other.load_state_dict(recovery.state_dict())
    first, second = recovery.eval()(crops()), other.eval()(crops())
    assert not torch.allclose(first.last.keypoints_3d, second.last.keypoints_3d)


def test_more_rounds_begin_as_fewer_do() -> None:
    three = network().eval()
    five = build_recovery(RecoveryConfig(rounds=5), small_body()).eval()
    five.load_state_dict(three.state_dict())
    for first, second in zip(three(crops()).rounds, five(crops()).rounds, strict=False):
        assert torch.equal(first.keypoints_2d, second.keypoints_2d)


@pytest.mark.parametrize("setting", [{"encoder": "vgg"}, {"regressor": "best"}, {"rotation": "euler"}])
def test_an_unknown_name_in_the_configuration_is_refused(setting: dict[str, str]) -> None:
    with pytest.raises(UnknownNameError, match=next(iter(setting.values()))):
        RecoveryConfig(**setting)


@pytest.mark.parametrize(("setting", "value"), [("rounds", 0), ("crop_size", 200), ("crop_size", 0)])
def test_an_impossible_number_in_the_configuration_is_refused(setting: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"{setting}.*{value}"):
        RecoveryConfig(**{setting: value})
