import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.errors import UnknownNameError
from humanmesh.files.checkpoints import load_movenet
from humanmesh.network.encoder import (
    MobileNetV2,
    SameConv2d,
    build_encoder,
)


def ones_convolution(stride: int) -> SameConv2d:
    convolution = SameConv2d(1, 1, 3, stride, bias=False)
    torch.nn.init.ones_(convolution.weight)
    return convolution


def test_stride_two_on_an_even_side_pads_right_and_bottom_only() -> None:
    picture = torch.arange(16.0).view(1, 1, 4, 4)
    # rows 0-2 x columns 0-2; rows 0-2 x columns 2-3; rows 2-3 x columns 0-2; rows 2-3 x columns 2-3
    expected = torch.tensor([[45.0, 39.0], [66.0, 50.0]])
    assert torch.equal(ones_convolution(2)(picture)[0, 0], expected)


def test_stride_two_on_an_odd_side_pads_both_sides() -> None:
    picture = torch.ones(1, 1, 3, 3)
    assert torch.equal(ones_convolution(2)(picture)[0, 0], torch.tensor([[4.0, 4.0], [4.0, 4.0]]))


def test_stride_one_keeps_the_size_and_pads_both_sides() -> None:
    picture = torch.ones(1, 1, 3, 3)
    expected = torch.tensor([[4.0, 6.0, 4.0], [6.0, 9.0, 6.0], [4.0, 6.0, 4.0]])
    assert torch.equal(ones_convolution(1)(picture)[0, 0], expected)


@pytest.mark.parametrize("size", [(8, 8), (7, 9), (8, 5), (1, 2)])
def test_a_depthwise_convolution_that_strides_is_the_dense_one_with_the_same_kernels(
    size: tuple[int, int],
) -> None:
    chance = torch.Generator().manual_seed(0)
    depthwise, dense = SameConv2d(3, 3, 3, 2, groups=3), SameConv2d(3, 3, 3, 2)
    with torch.no_grad():
        depthwise.weight.copy_(torch.randn(3, 1, 3, 3, generator=chance))
        dense.weight.zero_()
        for channel in range(3):
            dense.weight[channel, channel] = depthwise.weight[channel, 0]
    picture = torch.randn(2, 3, *size, generator=chance, requires_grad=True)
    by_picture = []
    for convolution in (depthwise, dense):
        answer = convolution(picture)
        by_picture.append((answer, *torch.autograd.grad(answer.square().sum(), picture)))
    for one, other in zip(*by_picture, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)
    without_gradient = picture.detach()
    by_hand = functional.conv2d(
        functional.pad(without_gradient, _tensorflow_padding(size)), depthwise.weight, stride=2, groups=3
    )
    torch.testing.assert_close(depthwise(without_gradient), by_hand, atol=1e-6, rtol=1e-6)


def _tensorflow_padding(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Of a 3 x 3 kernel that strides by 2: left, right, top, bottom; an even side needs one pixel, behind it."""
    (top, bottom), (left, right) = ((0, 1) if side % 2 == 0 else (1, 1) for side in size)
    return left, right, top, bottom


def parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_resnet50_has_torchvisions_tensors_less_the_classifier() -> None:
    state = build_encoder("resnet50", pyramid=False).state_dict()
    assert len(state) == 318  # torchvision: 320 with fc.weight and fc.bias
    shapes = {
        "conv1.weight": (64, 3, 7, 7),
        "bn1.running_var": (64,),
        "bn1.num_batches_tracked": (),
        "layer1.0.conv1.weight": (64, 64, 1, 1),
        "layer1.0.downsample.0.weight": (256, 64, 1, 1),
        "layer1.0.downsample.1.bias": (256,),
        "layer2.0.conv1.weight": (128, 256, 1, 1),
        "layer3.5.conv2.weight": (256, 256, 3, 3),
        "layer4.2.bn3.weight": (2048,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert "layer1.1.downsample.0.weight" not in state


def test_resnet18_has_torchvisions_tensors_less_the_classifier() -> None:
    state = build_encoder("resnet18", pyramid=False).state_dict()
    assert len(state) == 120  # torchvision: 122 with fc.weight and fc.bias
    shapes = {
        "layer1.0.conv1.weight": (64, 64, 3, 3),
        "layer2.0.downsample.0.weight": (128, 64, 1, 1),
        "layer4.1.conv2.weight": (512, 512, 3, 3),
        "layer4.1.bn2.running_mean": (512,),
    }
    assert {name: tuple(state[name].shape) for name in shapes} == shapes
    assert "layer1.0.downsample.0.weight" not in state


def test_trunks_have_the_published_numbers_of_parameters() -> None:
    # torchvision's 25,557,032 and 11,689,512 less classifiers of 2048 x 1000 + 1000 and 512 x 1000 + 1000.
    assert parameters(build_encoder("resnet50", pyramid=False)) == 23_508_032
    assert parameters(build_encoder("resnet18", pyramid=False)) == 11_176_512
    # Keras' 2,257,984 without its top hold four numbers a channel of 17,056 normalised channels: folded, one is left.
    assert parameters(build_encoder("mobilenet_v2_fpn", pyramid=False)) == 2_257_984 - 3 * 17_056


def test_a_wider_mobilenet_has_the_published_channels() -> None:
    # Keras' MobileNetV2 with alpha 1.4; MoveNet Thunder's last block has 560, as tools/movenet_from_tfjs.py finds.
    encoder = MobileNetV2(1.4, pyramid=False)
    outputs = [block.project.out_channels for block in encoder.blocks]
    assert encoder.stem.out_channels == 48
    assert [outputs[number] for number in (0, 1, 3, 6, 10, 13, 16)] == [24, 32, 48, 88, 136, 224, 448]
    assert MobileNetV2(1.75).blocks[16].get_submodule("project").out_channels == 560


def test_bottlenecks_stride_in_the_three_by_three_convolution() -> None:
    encoder = build_encoder("resnet50", pyramid=False)
    assert encoder.get_submodule("layer2.0.conv1").stride == (1, 1)
    assert encoder.get_submodule("layer2.0.conv2").stride == (2, 2)


def test_a_grey_of_imagenets_mean_enters_a_resnet_as_zero() -> None:
    encoder = build_encoder("resnet18", pyramid=False).eval()
    grey = torch.tensor([0.485, 0.456, 0.406])[:, None, None].expand(1, 3, 32, 32)
    entered = []
    encoder.get_submodule("conv1").register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
    encoder(grey)
    assert torch.equal(entered[0], torch.zeros_like(grey))


def test_an_unknown_encoder_is_named_with_those_that_exist() -> None:
    with pytest.raises(UnknownNameError, match="mobilenet_v2_175_fpn, mobilenet_v2_fpn, resnet18, resnet50"):
        build_encoder("vgg")


def letterboxed(photo: Image.Image, side: int = 192) -> tuple[torch.Tensor, float, tuple[int, int]]:
    """The photo at the middle of a black square, its scale and the place of its corner."""
    scale = side / max(photo.size)
    small = photo.resize((round(photo.width * scale), round(photo.height * scale)), Image.Resampling.BILINEAR)
    corner = (side - small.width) // 2, (side - small.height) // 2
    square = Image.new("RGB", (side, side))
    square.paste(small, corner)
    return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 255, scale, corner


@pytest.mark.data
def test_with_movenets_weights_people_and_keypoints_are_where_movenet_sees_them(shared_data) -> None:
    encoder = MobileNetV2(person_heads=True).eval()
    load_movenet(shared_data / "weights" / "movenet_lightning.safetensors", encoder)
    folder = shared_data / "clothing_coparsing"
    labels = json.loads((folder / "keypoints.json").read_text())
    names = {image["id"]: image["file_name"] for image in labels["images"]}
    rows = COCO_17.indices_in(COCOPLUS_19)
    misses = []
    for label in labels["annotations"][:60:5]:
        photo = next(folder.rglob(names[label["image_id"]].rsplit("/", 1)[-1]))
        crop, scale, corner = letterboxed(Image.open(photo).convert("RGB"))
        with torch.inference_mode():
            output = encoder(crop[None])
        sure = torch.tensor(label["keypoint_scores"]) > 0.3
        truth = torch.tensor(label["keypoints"]).view(17, 3)[:, :2] * scale + torch.tensor(corner)
        cells = output.heatmaps[0, rows].flatten(1).argmax(1)
        found = torch.stack([cells % 48, cells // 48], 1) * 4 + 2
        misses.append((found - truth).norm(dim=1)[sure])
        center = int(output.center_heatmap.argmax())
        found_center = torch.tensor([center % 48, center // 48])
        assert (found_center * 4 + 2 - truth[sure].mean(0)).norm() < 16
        offsets = output.center_offsets[0, :, center // 48, center % 48].view(17, 2).flip(1)
        assert ((found_center + offsets) * 4 - truth).norm(dim=1)[sure].median() < 8
    assert (torch.cat(misses) < 6).float().mean() > 0.85
