"""RetinaFace with a MobileNet-0.25 backbone, profile `biubug6`, as a trainable PyTorch module.

The attribute names are the ones of the original state dicts (`body.stage1.0.0.weight`, `ssh1.conv3X3.0.weight`,
`ClassHead.0.conv1x1.weight`, ...), so that checkpoints of this module, the official ones and the project's converter
understand each other without a renaming table.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
import sys

import numpy as np
import torch
from torch import Tensor, nn
import torch.nn.functional as F

sys.path.append(str(Path(__file__).resolve().parent.parent))
from retinaface_weights import biubug6_names, weights_file  # noqa: E402

LEAKY_SLOPE = 0.1
"""Negative slope of every LeakyReLU of the mobilenet0.25 network."""

PIXEL_MEAN_BGR = (104.0, 117.0, 123.0)
"""Subtracted from the 0..255 image, channels in the order B, G, R."""

IMAGENET_MEAN_RGB = (0.485, 0.456, 0.406)
IMAGENET_STD_RGB = (0.229, 0.224, 0.225)


def conv_bn(c_in: int, c_out: int, kernel: int, stride: int = 1, activate: bool = True) -> nn.Sequential:
    """Convolution without bias, BatchNorm and (optionally) LeakyReLU; padding keeps ceil(size / stride)."""
    layers: list[nn.Module] = [
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(c_out),
    ]
    if activate:
        layers.append(nn.LeakyReLU(LEAKY_SLOPE, inplace=True))
    return nn.Sequential(*layers)


def separable(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    """Depthwise 3x3 (indices 0..2) followed by pointwise 1x1 (indices 3..5), each with BatchNorm and LeakyReLU."""
    return nn.Sequential(
        nn.Conv2d(c_in, c_in, 3, stride, 1, groups=c_in, bias=False),
        nn.BatchNorm2d(c_in),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
        nn.Conv2d(c_in, c_out, 1, bias=False),
        nn.BatchNorm2d(c_out),
        nn.LeakyReLU(LEAKY_SLOPE, inplace=True),
    )


class MobileNet025(nn.Module):
    """Backbone; returns the maps at strides 8, 16, 32 with 64, 128, 256 channels."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = nn.Sequential(
            conv_bn(3, 8, 3, stride=2),
            separable(8, 16),
            separable(16, 32, stride=2),
            separable(32, 32),
            separable(32, 64, stride=2),
            separable(64, 64),
        )
        self.stage2 = nn.Sequential(separable(64, 128, stride=2), *[separable(128, 128) for _ in range(5)])
        self.stage3 = nn.Sequential(separable(128, 256, stride=2), separable(256, 256))

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        c3 = self.stage1(image)
        c4 = self.stage2(c3)
        return c3, c4, self.stage3(c4)


class FeaturePyramid(nn.Module):
    """Top-down pyramid: 1x1 laterals to `channels`, nearest upsampling, 3x3 merge on the two finer levels."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.output1 = conv_bn(64, channels, 1)
        self.output2 = conv_bn(128, channels, 1)
        self.output3 = conv_bn(256, channels, 1)
        self.merge1 = conv_bn(channels, channels, 3)
        self.merge2 = conv_bn(channels, channels, 3)

    def forward(self, taps: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        p3, p4, p5 = self.output1(taps[0]), self.output2(taps[1]), self.output3(taps[2])
        p4 = self.merge2(p4 + F.interpolate(p5, size=p4.shape[-2:], mode="nearest"))
        p3 = self.merge1(p3 + F.interpolate(p4, size=p3.shape[-2:], mode="nearest"))
        return p3, p4, p5


class Context(nn.Module):
    """SSH context module: 3x3, 5x5 and 7x7 receptive fields (the larger two as stacked 3x3), concatenated, ReLU."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        half, quarter = channels // 2, channels // 4
        self.conv3X3 = conv_bn(channels, half, 3, activate=False)
        self.conv5X5_1 = conv_bn(channels, quarter, 3)
        self.conv5X5_2 = conv_bn(quarter, quarter, 3, activate=False)
        self.conv7X7_2 = conv_bn(quarter, quarter, 3)
        self.conv7x7_3 = conv_bn(quarter, quarter, 3, activate=False)

    def forward(self, x: Tensor) -> Tensor:
        five = self.conv5X5_1(x)
        seven = self.conv7x7_3(self.conv7X7_2(five))
        return F.relu(torch.cat([self.conv3X3(x), self.conv5X5_2(five), seven], dim=1))


class Head(nn.Module):
    """1x1 convolution; output [B, cells * 2, values]: row-major cells, the two anchors of a cell adjacent."""

    def __init__(self, channels: int, values: int) -> None:
        super().__init__()
        self.values = values
        self.conv1x1 = nn.Conv2d(channels, 2 * values, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1, self.values)


class RetinaFace(nn.Module):
    """The whole network.

    Input: [B, 3, H, W] float, channels B, G, R, pixel values 0..255 minus `PIXEL_MEAN_BGR`; any H and W.
    Output: class logits [B, N, 2] (background, face), boxes [B, N, 4], landmarks [B, N, 10], all raw (undecoded), in
    the order of `anchors.make_anchors(H, W)`.
    """

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.body = MobileNet025()
        self.fpn = FeaturePyramid(channels)
        self.ssh1 = Context(channels)
        self.ssh2 = Context(channels)
        self.ssh3 = Context(channels)
        self.ClassHead = nn.ModuleList([Head(channels, 2) for _ in range(3)])
        self.BboxHead = nn.ModuleList([Head(channels, 4) for _ in range(3)])
        self.LandmarkHead = nn.ModuleList([Head(channels, 10) for _ in range(3)])

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        levels = self.fpn(self.body(image))
        features = [context(level) for context, level in zip((self.ssh1, self.ssh2, self.ssh3), levels)]
        return tuple(
            torch.cat([head(x) for head, x in zip(heads, features)], dim=1)
            for heads in (self.ClassHead, self.BboxHead, self.LandmarkHead)
        )


def strip_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Removes the `module.` that DataParallel puts before every name."""
    return {name.removeprefix("module."): value for name, value in state.items()}


def load_weights_file(path: str | Path) -> RetinaFace:
    """Reads a weights file of the library (`.safetensors`). What it holds is folded: every BatchNorm becomes one that
    only adds the bias. See `restore_norms` before training goes on from it.

    Raises ConversionError if the file is not valid, ValueError if it holds another network.
    """
    weights = weights_file.load(Path(path).read_bytes())
    if (weights.architecture, weights.profile) != ("mobilenet025", "biubug6"):
        raise ValueError(f"{path}: expected mobilenet025 of profile biubug6, found {weights.architecture} of {weights.profile}")
    tensors = weights.parameters
    model = RetinaFace()
    state = model.state_dict()
    for name, source in biubug6_names.sources("mobilenet025").items():
        weight, bias = (torch.from_numpy(tensors[f"{name}.{kind}"].astype(np.float32)) for kind in ("weight", "bias"))
        state[source.weight] = weight
        if source.norm is None:
            state[source.bias] = bias
        else:
            state[source.norm.gamma] = torch.sqrt(state[source.norm.variance] + source.norm.epsilon)
            state[source.norm.beta] = bias
    model.load_state_dict(state)
    return model


TRAINED_FILTER = 0.25
"""Root mean square of a filter before a BatchNorm after some runs: about the rate times the root of the number of steps, as
nothing but AdamW's own steps, at a right angle to it, changes its length."""


@torch.no_grad()
def restore_norms(model: RetinaFace, image: Tensor) -> None:
    """Gives a folded detector, in place, BatchNorms that normalise, so that it can be trained; its outputs stay.

    Every filter gets the root mean square `TRAINED_FILTER`, without which the steps of AdamW would be of any size beside it,
    and every BatchNorm the statistics that its input has on `image` [B, 3, H, W].
    """
    def measure(norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
        mean, variance = inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3), unbiased=False)
        slope = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        norm.bias += slope * (mean - norm.running_mean)
        norm.weight.copy_(slope * torch.sqrt(variance + norm.eps))
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)

    hooks = []
    for block in [module for module in model.modules() if isinstance(module, nn.Sequential)]:
        for conv, norm in zip(block, list(block)[1:]):
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                factor = TRAINED_FILTER / conv.weight.square().mean((1, 2, 3)).sqrt().clamp(min=1e-6)
                conv.weight *= factor[:, None, None, None]
                norm.weight /= factor
                norm.running_mean *= factor
                hooks.append(norm.register_forward_pre_hook(measure))
    model.eval()(image)
    for hook in hooks:
        hook.remove()


def load_detector(path: str) -> RetinaFace:
    """Reads a whole detector: an official `.pth`, one exported by `export.py`, a training checkpoint (its EMA), or a weights
    file of the library (`.safetensors`)."""
    if Path(path).suffix == ".safetensors":
        return load_weights_file(path)
    content = torch.load(path, map_location="cpu", weights_only=True)
    state = content.get("ema", content) if isinstance(content, dict) else content
    model = RetinaFace()
    model.load_state_dict(strip_prefix(state))
    return model


def load_mean(paths: Sequence[str | Path], shares: Sequence[float] | None = None) -> RetinaFace:
    """A detector whose every value is the weighted mean of those of several, which must come from one another by
    training (`shares`, equal unless given, are divided by their sum). BatchNorm's counters are the last one's.

    Raises ValueError if there are not as many shares as paths, or if one of several is a weights file: its folded values are
    on another scale than those of the checkpoint that it came from.
    """
    if len(paths) > 1 and any(Path(path).suffix == ".safetensors" for path in paths):
        raise ValueError("the mean of several detectors needs checkpoints, found a weights file (.safetensors)")
    shares = [1.0] * len(paths) if shares is None else shares
    if len(shares) != len(paths):
        raise ValueError(f"the mean of {len(paths)} detectors needs as many shares, found {len(shares)}")
    states = [load_detector(str(path)).state_dict() for path in paths]
    total = sum(shares)
    model = RetinaFace()
    model.load_state_dict({
        name: sum(state[name] * (share / total) for state, share in zip(states, shares))
        if value.is_floating_point() else value for name, value in states[-1].items()
    })
    return model


def load_imagenet_backbone(model: RetinaFace, path: str) -> None:
    """Starts the backbone from an ImageNet classifier (keys `module.stage1...` inside `state_dict`).

    The classifier was trained on RGB scaled to (x / 255 - mean) / deviation; this network gets BGR minus 104, 117,
    123, which is nearly 255 * mean. So the first convolution's input channels are flipped and divided by
    255 * deviation; the mean's remaining difference (under half a grey level) is left to training.
    """
    content = torch.load(path, map_location="cpu", weights_only=False)
    state = strip_prefix(content.get("state_dict", content))
    body = {name: value for name, value in state.items() if name.startswith("stage")}
    first = body["stage1.0.0.weight"]
    std = torch.tensor(IMAGENET_STD_RGB).view(1, 3, 1, 1)
    body["stage1.0.0.weight"] = (first / (255.0 * std)).flip(1)
    model.body.load_state_dict(body)
