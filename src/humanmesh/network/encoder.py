"""Image encoders: a crop in, pooled features and, where asked, a stride-4 feature map with keypoint heat maps.

Every encoder takes RGB in [0, 1] and normalises it itself. The ResNets (He et al. 2016) carry torchvision's
parameter names, so its ImageNet weights load. `mobilenet_v2_fpn` (Sandler et al. 2018 with a feature pyramid)
has the shape of MoveNet Lightning, batch norm folded into its convolutions, and pads as TensorFlow does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from humanmesh.body.skeletons import COCO_17, COCOPLUS_19
from humanmesh.errors import UnknownNameError

KEYPOINTS = COCOPLUS_19
"""The heat maps' channels, in this order."""

PYRAMID_CHANNELS = 24
"""Channels of the stride-4 feature map of every encoder."""

_HEAD_CHANNELS = 96


@dataclass(frozen=True)
class EncoderOutput:
    """What an encoder sees in a batch of crops."""

    pooled: Float[Tensor, "batch channels"]
    """Mean over the crop of the deepest features."""
    features: Float[Tensor, "batch features height width"] | None = None
    """Stride-4 map; None without a pyramid."""
    heatmaps: Float[Tensor, "batch 19 height width"] | None = None
    """Logits of each keypoint of `KEYPOINTS` at stride 4; None without a pyramid."""
    center_heatmap: Float[Tensor, "batch 1 height width"] | None = None
    """Logits of a person's centre at stride 4; None without person heads."""
    center_offsets: Float[Tensor, "batch 34 height width"] | None = None
    """At a person's centre: y, x offset in stride-4 cells to each COCO keypoint; None without person heads."""
    depth_maps: Float[Tensor, "batch 19 rows columns"] | None = None
    """Where a keypoint is, how deep it lies, at stride 16: metres along the camera's axis, from the middle of the hips; None without
    a depth head."""
    trunk_features: Float[Tensor, "batch trunk rows columns"] | None = None
    """The trunk's own features at stride 16, before the pyramid; None without one."""


class SameConv2d(nn.Conv2d):
    """A convolution that pads as TensorFlow's "SAME": an odd pixel of padding goes to the right and the bottom."""

    def reset_parameters(self) -> None:
        """Weights that keep the size of a signal through a rectifier (He et al. 2015); zero biases."""
        nn.init.kaiming_normal_(self.weight, nonlinearity="relu")
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, input: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out h w"]:
        """As `nn.Conv2d`; the output has ceil(size / stride) rows and columns."""
        pads = [self._padding(size, axis) for axis, size in enumerate(input.shape[-2:])]
        (top, bottom), (left, right) = pads
        if self._is_strided_depthwise and input.requires_grad:
            # The backward pass of oneDNN's own takes several times as long.
            every = F.conv2d(input, self.weight, self.bias, 1, 1, 1, self.groups)
            return every[..., 1 - top :: 2, 1 - left :: 2].contiguous(memory_format=torch.channels_last)
        kernel = self.weight
        if (top, left) != (bottom, right):
            # Zeros before the kernel stand for the pixel less that is padded before the map, which spares a copy of the map.
            kernel = F.pad(kernel, (right - left, 0, bottom - top, 0))
        return F.conv2d(input, kernel, self.bias, self.stride, (bottom, right), self.dilation, self.groups)

    def _padding(self, size: int, axis: int) -> tuple[int, int]:
        kernel, stride = self.kernel_size[axis], self.stride[axis]
        total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
        return total // 2, total - total // 2

    @property
    def _is_strided_depthwise(self) -> bool:
        return self.groups == self.in_channels and (self.stride, self.kernel_size) == ((2, 2), (3, 3))


def _relu6(x: Tensor) -> Tensor:
    """In place, which spares a pass through memory: convolutions don't need their output to learn."""
    return F.relu6(x, inplace=True)


class InvertedResidual(nn.Module):
    """MobileNetV2's block: widen, filter each channel, narrow; added to its input where the shapes agree."""

    def __init__(self, channels: int, out_channels: int, *, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = channels * expansion
        self.expand = SameConv2d(channels, hidden, 1) if expansion != 1 else None
        self.depthwise = SameConv2d(hidden, hidden, 3, stride, groups=hidden)
        self.project = SameConv2d(hidden, out_channels, 1)
        self.is_residual = stride == 1 and channels == out_channels

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out h w"]:
        """The block's output, at 1 / stride of the size."""
        hidden = x if self.expand is None else _relu6(self.expand(x))
        out = self.project(_relu6(self.depthwise(hidden)))
        return x + out if self.is_residual else out


def _separable(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        SameConv2d(channels, channels, 3, groups=channels), SameConv2d(channels, out_channels, 1), nn.ReLU()
    )


def _head(channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(*_separable(channels, _HEAD_CHANNELS), SameConv2d(_HEAD_CHANNELS, out_channels, 1))


_COARSE_CHANNELS = 64
"""Channels of the pyramid at stride 16."""


class FeaturePyramid(nn.Module):
    """Brings maps of falling resolution together at the finest one (Lin et al. 2017), with MoveNet's light layers."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        widths = (PYRAMID_CHANNELS, 32, _COARSE_CHANNELS)
        self.top = SameConv2d(channels[3], widths[2], 1)
        self.laterals = nn.ModuleList(SameConv2d(channels[level], widths[level], 1) for level in range(3))
        outputs = (PYRAMID_CHANNELS, PYRAMID_CHANNELS, widths[1])
        self.smooths = nn.ModuleList(_separable(widths[level], outputs[level]) for level in range(3))

    def forward(
        self, maps: list[Tensor]
    ) -> tuple[Float[Tensor, "batch features height width"], Float[Tensor, "batch 64 h w"]]:
        """The map at the size of `maps[0]`, and the coarse one at that of `maps[2]`; `maps` runs from stride 4 to the coarsest."""
        x = self.top(maps[3])
        sums = []
        for level in (2, 1, 0):
            lateral = self.laterals[level](maps[level])
            upsampled = F.interpolate(x, size=lateral.shape[-2:], mode="bilinear", align_corners=False)
            sums.append(upsampled + lateral)
            x = self.smooths[level](sums[-1])
        return x, sums[0]


class Neck(nn.Module):
    """The feature pyramid and the heads that read it: depths at stride 16, all others at stride 4."""

    def __init__(
        self, channels: tuple[int, ...], *, person_heads: bool = False, depth_head: bool = False
    ) -> None:
        super().__init__()
        self.trunk_channels = channels[2]
        self.pyramid = FeaturePyramid(channels)
        self.keypoint_head = _head(PYRAMID_CHANNELS, len(KEYPOINTS))
        self.depth_head = _head(_COARSE_CHANNELS, len(KEYPOINTS)) if depth_head else None
        self.center_head = _head(PYRAMID_CHANNELS, 1) if person_heads else None
        self.offset_head = _head(PYRAMID_CHANNELS, 2 * len(COCO_17)) if person_heads else None

    def forward(self, pooled: Float[Tensor, "batch channels"], maps: list[Tensor]) -> EncoderOutput:
        """All outputs; `maps` runs from stride 4 to the coarsest."""
        features, coarse = self.pyramid(maps)
        depths = None if self.depth_head is None else self.depth_head(coarse)
        center = None if self.center_head is None else self.center_head(features)
        offsets = None if self.offset_head is None else self.offset_head(features)
        return EncoderOutput(pooled, features, self.keypoint_head(features), center, offsets, depths, maps[2])


class Encoder(nn.Module):
    """What every encoder shares: named levels of feature maps, their pooling and an optional neck."""

    channels: int
    """Length of the pooled features."""

    neck: Neck | None
    """None: pooled features alone."""

    def levels(self, crops: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Feature maps of RGB crops in [0, 1], from stride 4 to the coarsest."""
        raise NotImplementedError

    def forward(self, crops: Float[Tensor, "batch 3 height width"]) -> EncoderOutput:
        """Features of RGB crops in [0, 1]; both sides a multiple of 32 pixels."""
        maps = self.levels(crops)
        pooled = maps[-1].mean((-2, -1))
        return EncoderOutput(pooled) if self.neck is None else self.neck(pooled, maps)


_MOBILENET_STAGES = (
    # expansion, channels, blocks, stride of the first
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
_MOBILENET_TAPS = (2, 5, 9)
"""Blocks whose outputs feed the pyramid: strides 4, 8 and 16."""


def _widened(channels: int, width: float) -> int:
    """The nearest multiple of 8 (Sandler et al. 2018, the authors' code), never less than nine tenths of what was asked."""
    asked = channels * width
    nearest = int(asked + 4) // 8 * 8
    return nearest if nearest >= 0.9 * asked else nearest + 8


class MobileNetV2(Encoder):
    """MobileNetV2 without normalisation layers: they are folded into the convolutions. `width` multiplies its channels."""

    channels = 1280

    def __init__(self, width: float = 1.0, *, pyramid: bool = True, **heads: bool) -> None:
        super().__init__()
        channels = _widened(32, width)
        self.stem = SameConv2d(3, channels, 3, 2)
        blocks, tapped = [], []
        for expansion, base_channels, count, stride in _MOBILENET_STAGES:
            out_channels = _widened(base_channels, width)
            for number in range(count):
                step = stride if number == 0 else 1
                blocks.append(InvertedResidual(channels, out_channels, stride=step, expansion=expansion))
                channels = out_channels
                if len(blocks) - 1 in _MOBILENET_TAPS:
                    tapped.append(channels)
        self.blocks = nn.ModuleList(blocks)
        self.last = SameConv2d(channels, self.channels, 1)
        self.neck = Neck((*tapped, self.channels), **heads) if pyramid else None

    def levels(self, crops: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Strides 4, 8, 16 and 32."""
        x = _relu6(self.stem(2 * crops - 1))
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in _MOBILENET_TAPS:
                maps.append(x)
        return [*maps, _relu6(self.last(x))]


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut (ResNet-18 and -34)."""

    expansion = 1

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _shortcut(channels, width * self.expansion, stride)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out h w"]:
        """The block's output, at 1 / stride of the size."""
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


class Bottleneck(nn.Module):
    """Narrow, 3 x 3, widen, beside a shortcut (ResNet-50 and deeper); the 3 x 3 convolution strides, as torchvision's."""

    expansion = 4

    def __init__(self, channels: int, width: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.downsample = _shortcut(channels, width * self.expansion, stride)

    def forward(self, x: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch out h w"]:
        """The block's output, at 1 / stride of the size."""
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        return F.relu(out + (x if self.downsample is None else self.downsample(x)))


def _shortcut(channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    if stride == 1 and channels == out_channels:
        return None
    convolution = nn.Conv2d(channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(out_channels))


_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_STD = (0.229, 0.224, 0.225)


class ResNet(Encoder):
    """ResNet v1 with torchvision's parameter names, less the classifier.

    The paper's is the pre-activation variant; this one is what later work (SPIN and on) compares with.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        counts: tuple[int, int, int, int],
        *,
        pyramid: bool = True,
        **heads: bool,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        widths = (64, 128, 256, 512)
        channels = tuple(width * block.expansion for width in widths)
        before = (64, *channels)
        stages = [
            _stage(block, before[level], widths[level], counts[level], 1 if level == 0 else 2)
            for level in range(4)
        ]
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        self.channels = channels[3]
        for name, value in (("mean", _IMAGENET_MEAN), ("std", _IMAGENET_STD)):
            self.register_buffer(name, torch.tensor(value)[:, None, None], persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.neck = Neck(channels, **heads) if pyramid else None

    def levels(self, crops: Float[Tensor, "batch 3 height width"]) -> list[Tensor]:
        """Strides 4, 8, 16 and 32."""
        x = F.relu(self.bn1(self.conv1((crops - self.mean) / self.std)))
        x = F.max_pool2d(x, 3, 2, padding=1)
        maps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            maps.append(x)
        return maps


def _stage(
    block: type[BasicBlock] | type[Bottleneck], channels: int, width: int, count: int, stride: int
) -> nn.Sequential:
    first = block(channels, width, stride)
    rest = [block(width * block.expansion, width, 1) for _ in range(count - 1)]
    return nn.Sequential(first, *rest)


ENCODERS: dict[str, Callable[..., Encoder]] = {
    "mobilenet_v2_fpn": MobileNetV2,
    "mobilenet_v2_175_fpn": partial(MobileNetV2, 1.75),
    "resnet18": partial(ResNet, BasicBlock, (2, 2, 2, 2)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3)),
}


def build_encoder(
    name: str, *, pyramid: bool = True, person_heads: bool = False, depth_head: bool = False
) -> Encoder:
    """The encoder of that name, with random weights.

    Args:
        name: a key of `ENCODERS`.
        pyramid: also give the stride-4 features and the keypoint heat maps.
        person_heads: also give the maps that find people in a whole photo; needs the pyramid.
        depth_head: also give the maps that keypoints' depths are read from; needs the pyramid.

    Raises:
        UnknownNameError: listing the names that exist.
    """
    if name not in ENCODERS:
        raise UnknownNameError("encoder", name, list(ENCODERS))
    return ENCODERS[name](pyramid=pyramid, person_heads=person_heads, depth_head=depth_head)
