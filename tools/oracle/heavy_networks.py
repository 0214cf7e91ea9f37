#!/usr/bin/env python3
"""The wide networks in PyTorch, with random weights: what the library and the converter are compared with.

    heavy_networks.py resnet50 -o /tmp/r50                                /tmp/r50.pth, /tmp/r50.golden.safetensors
    heavy_networks.py preactivation -o /tmp/r50p                          /tmp/r50p-0000.params, -symbol.json, golden
    heavy_networks.py paper -o /tmp/paper --sizes 640x640 317x243         /tmp/paper.pth, golden
    heavy_networks.py paper -o /tmp/paper --layers --sizes 65x33          the golden also has every layer's output
    heavy_networks.py resnet50 --hashed -o tests/data/resnet50            weights that the test makes again from a hash

The backbones are torchvision's (the pre-activation one is written here from its description), deformable convolution is
torchvision.ops.deform_conv2d; nothing is shared with the converter or the library, so what is compared cannot be wrong in
the same way.  The checkpoint is what the original training code would leave, BatchNorm and all, in float32; the outputs
are computed in float64 (`--single`: float32).  BatchNorm's statistics, biases and offsets are random but not
degenerate: offsets reach +-6 pixels.  Needs torch, torchvision and numpy (Debian: python3-torchvision).

The golden is a safetensors file.  For each image `WxH`: `WxH.image` U8 [H, W, 3] (R, G, B), `WxH.class` F32 [N, 2]
(logits), `.box` [N, 4], `.landmark` [N, 10]; of the paper's network also `.shape_texture` [N, 128], `.camera` [N, 7],
`.light` [N, 9]; with `--layers` also `WxH.layer.NAME` [C, H', W'], NAME as the weights file calls the layer.
"""

from __future__ import annotations

import argparse
import json
import struct
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.ops import deform_conv2d

ANCHOR_VALUES = (("class", 2), ("box", 4), ("landmark", 10), ("shape_texture", 128), ("camera", 7), ("light", 9))
Record = Callable[[str, Tensor], None]


def doubled(coarse: Tensor, like: Tensor) -> Tensor:
    """Twice the size by repetition, cropped to the other map's size."""
    twice = coarse.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
    return twice[:, :, : like.shape[2], : like.shape[3]]


def rows(value: Tensor, width: int) -> Tensor:
    return value[0].permute(1, 2, 0).reshape(-1, width)


def conv_bn(c_in: int, c_out: int, kernel: int, relu: bool, stride: int = 1) -> nn.Sequential:
    layers: List[nn.Module] = [
        nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False), nn.BatchNorm2d(c_out)
    ]  # fmt: skip
    return nn.Sequential(*layers, nn.ReLU()) if relu else nn.Sequential(*layers)


class DeformableBN(nn.Module):
    """Deformable convolution v2 without bias (modulation 2 * sigmoid), BatchNorm, activation where asked for."""

    def __init__(self, c_in: int, c_out: int, relu: bool) -> None:
        super().__init__()
        self.offset = nn.Conv2d(c_in, 27, 3, padding=1)
        self.conv = nn.Conv2d(c_in, c_out, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)
        self.relu = relu
        self.last_offset: Optional[Tensor] = None

    def forward(self, x: Tensor) -> Tensor:
        found = self.offset(x)
        self.last_offset = found
        mask = 2 * torch.sigmoid(found[:, 18:])
        y = self.bn(deform_conv2d(x, found[:, :18].contiguous(), self.conv.weight, None, 1, 1, 1, mask))
        return torch.relu(y) if self.relu else y


class Context(nn.Module):
    """Three receptive fields side by side; names as in Pytorch_Retinaface."""

    def __init__(self, c_in: int, half: int, quarter: int, deformable: bool = False) -> None:
        super().__init__()

        def layer(a: int, b: int, relu: bool) -> nn.Module:
            return DeformableBN(a, b, relu) if deformable else conv_bn(a, b, 3, relu)

        self.conv3X3 = layer(c_in, half, False)
        self.conv5X5_1 = layer(c_in, quarter, True)
        self.conv5X5_2 = layer(quarter, quarter, False)
        self.conv7X7_2 = layer(quarter, quarter, True)
        self.conv7x7_3 = layer(quarter, quarter, False)

    def forward(self, x: Tensor) -> Tensor:
        shared = self.conv5X5_1(x)
        return torch.relu(torch.cat((self.conv3X3(x), self.conv5X5_2(shared), self.conv7x7_3(self.conv7X7_2(shared))), 1))


class Pyramid(nn.Module):
    """outputN: laterals, fine to coarse; mergeN: after the sums."""

    def __init__(self, taps: Sequence[int], width: int, deformable: bool = False) -> None:
        super().__init__()
        self.levels = len(taps)
        self.merges = self.levels if deformable else self.levels - 1
        for i, channels in enumerate(taps):
            setattr(self, f"output{i + 1}", conv_bn(channels, width, 1, True))
        for i in range(self.merges):
            setattr(self, f"merge{i + 1}", DeformableBN(width, width, True) if deformable else conv_bn(width, width, 3, True))

    def forward(self, taps: List[Tensor]) -> List[Tensor]:
        found = [getattr(self, f"output{i + 1}")(tap) for i, tap in enumerate(taps)]
        for i in reversed(range(self.levels)):
            if i + 1 < self.levels:
                found[i] = found[i] + doubled(found[i + 1], found[i])
            if i < self.merges:
                found[i] = getattr(self, f"merge{i + 1}")(found[i])
        return found


class Head(nn.Module):
    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv2d(c_in, c_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv1x1(x)


class Body(nn.Module):
    """torchvision's backbone without its classifier; the outputs of the four stages."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        for name in ("conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"):
            setattr(self, name, getattr(net, name))

    def forward(self, x: Tensor) -> List[Tensor]:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        taps = []
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            taps.append(x)
        return taps


class PreactivationUnit(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int, first: bool) -> None:
        super().__init__()
        inner = c_out // 4
        self.bn1 = nn.BatchNorm2d(c_in, 2e-5)
        self.conv1 = nn.Conv2d(c_in, inner, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(inner, 2e-5)
        self.conv2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(inner, 2e-5)
        self.conv3 = nn.Conv2d(inner, c_out, 1, bias=False)
        self.sc = nn.Conv2d(c_in, c_out, 1, stride, bias=False) if first else None

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        """The sum, and the activation before conv2 that the pyramid may tap."""
        act1 = torch.relu(self.bn1(x))
        act2 = torch.relu(self.bn2(self.conv1(act1)))
        out = self.conv3(torch.relu(self.bn3(self.conv2(act2))))
        return out + (x if self.sc is None else self.sc(act1)), act2


class PreactivationBody(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bn_data = nn.BatchNorm2d(3, 2e-5)
        self.conv0 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn0 = nn.BatchNorm2d(64, 2e-5)
        units, width = [], 64
        for stage, (depth, c_out) in enumerate(zip((3, 4, 6, 3), (256, 512, 1024, 2048))):
            group = []
            for position in range(depth):
                group.append(PreactivationUnit(width, c_out, 2 if stage > 0 and position == 0 else 1, position == 0))
                width = c_out
            units.append(nn.ModuleList(group))
        self.stages = nn.ModuleList(units)
        self.bn1 = nn.BatchNorm2d(2048, 2e-5)

    def forward(self, x: Tensor) -> List[Tensor]:
        x = functional.max_pool2d(torch.relu(self.bn0(self.conv0(self.bn_data(x)))), 3, 2, 1)
        taps = []
        for stage, group in enumerate(self.stages):
            for position, unit in enumerate(group):
                x, inner = unit(x)
                if stage >= 2 and position == 0:
                    taps.append(inner)
        taps.append(torch.relu(self.bn1(x)))
        return taps


class ThreeLevels(nn.Module):
    """Resnet50 of Pytorch_Retinaface, or (`preactivation`) insightface's R50."""

    def __init__(self, preactivation: bool) -> None:
        super().__init__()
        if preactivation:
            self.body: nn.Module = PreactivationBody()
            taps, half, quarter = (256, 512, 2048), 256, 128
        else:
            self.body = Body(torchvision.models.resnet50(weights=None))
            taps, half, quarter = (512, 1024, 2048), 128, 64
        self.fpn = Pyramid(taps, 256)
        for i in range(3):
            setattr(self, f"ssh{i + 1}", Context(256, half, quarter))
        width = half + 2 * quarter
        self.ClassHead = nn.ModuleList(Head(width, 4) for _ in range(3))
        self.BboxHead = nn.ModuleList(Head(width, 8) for _ in range(3))
        self.LandmarkHead = nn.ModuleList(Head(width, 20) for _ in range(3))
        if preactivation:  # as MXNet has it, convolutions of the neck have biases
            for module in (*self.fpn.modules(), *(m for i in range(3) for m in getattr(self, f"ssh{i + 1}").modules())):
                if isinstance(module, nn.Conv2d):
                    module.bias = nn.Parameter(torch.zeros(module.out_channels))
                if isinstance(module, nn.BatchNorm2d):
                    module.eps = 2e-5

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        outputs: Dict[str, List[Tensor]] = {"class": [], "box": [], "landmark": []}
        for i, feature in enumerate(self.fpn(self.body(x)[-3:])):
            feature = getattr(self, f"ssh{i + 1}")(feature)
            for kind, heads, width in (
                ("class", self.ClassHead, 2), ("box", self.BboxHead, 4), ("landmark", self.LandmarkHead, 10)
            ):  # fmt: skip
                outputs[kind].append(rows(heads[i](feature), width))
        return {kind: torch.cat(parts) for kind, parts in outputs.items()}


class Paper(nn.Module):
    """ResNet-152, P2 to P6, deformable merges and context modules, one head for all levels."""

    def __init__(self) -> None:
        super().__init__()
        self.body = Body(torchvision.models.resnet152(weights=None))
        self.fpn = Pyramid((256, 512, 1024, 2048), 256, deformable=True)
        self.p6 = conv_bn(2048, 256, 3, True, stride=2)
        for i in range(5):
            setattr(self, f"ssh{i + 1}", Context(256, 128, 64, deformable=True))
        self.heads = nn.ModuleDict({kind: Head(256, 3 * width) for kind, width in ANCHOR_VALUES})

    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        taps = self.body(x)
        levels = self.fpn(taps) + [self.p6(taps[-1])]
        outputs: Dict[str, List[Tensor]] = {kind: [] for kind, _ in ANCHOR_VALUES}
        for i, feature in enumerate(levels):
            feature = getattr(self, f"ssh{i + 1}")(feature)
            for kind, width in ANCHOR_VALUES:
                outputs[kind].append(rows(self.heads[kind](feature), width))
        return {kind: torch.cat(parts) for kind, parts in outputs.items()}


# Random weights.


def randomise(network: nn.Module, seed: int, first_scale: float) -> None:
    """He-scaled convolutions; BatchNorm with statistics, gains and shifts of its own; offsets of some pixels."""
    random = np.random.RandomState(seed)

    def fill(parameter: Tensor, values: np.ndarray) -> None:
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(values.astype(np.float32)).reshape(parameter.shape))

    first = True
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            scale = np.sqrt(2.0 / (module.weight[0].numel()))
            bias = random.uniform(-0.2, 0.2, module.out_channels)
            if first:
                scale, first = scale * first_scale, False
            if name.endswith(".offset"):
                bias = random.uniform(-3.0, 3.0, module.out_channels)
                bias[18:] = random.uniform(-1.0, 1.0, 9)
            if "Head" in name or name.startswith("heads."):
                scale *= 0.5
            fill(module.weight, random.standard_normal(tuple(module.weight.shape)) * scale)
            if module.bias is not None:
                fill(module.bias, bias)
        elif isinstance(module, nn.BatchNorm2d):
            count = module.num_features
            gain = random.uniform(0.6, 1.4, count)
            if name.endswith(".bn3") and name.startswith("body.layer"):
                gain *= 0.3  # sums of many blocks stay of sane size
            fill(module.weight, gain)
            fill(module.bias, random.uniform(-0.2, 0.2, count))
            fill(module.running_mean, random.uniform(-0.2, 0.2, count))
            fill(module.running_var, random.uniform(0.6, 1.4, count))
    if isinstance(network, ThreeLevels) and isinstance(network.body, PreactivationBody):
        fill(network.body.bn_data.running_mean, np.array([120.0, 110.0, 100.0]))
        fill(network.body.bn_data.running_var, np.array([4000.0, 3800.0, 4100.0]))
        for group in network.body.stages:
            for unit in group:
                with torch.no_grad():
                    unit.conv3.weight *= 0.3


def calibrate_offsets(network: nn.Module) -> None:
    """Scales the offsets' convolutions so that, with their biases, offsets reach about 6 pixels on a picture."""

    def scale(module: nn.Module, inputs: Tuple[Tensor, ...]) -> None:
        found = module.offset(inputs[0]) - module.offset.bias.reshape(1, -1, 1, 1)
        module.offset.weight *= 5.0 / float(found.abs().max())

    hooks = [m.register_forward_pre_hook(scale) for m in network.modules() if isinstance(m, DeformableBN)]
    with torch.no_grad():
        network(network_input(make_image(200, 150), False).float())
    for hook in hooks:
        hook.remove()


# Weights that a test can make by itself (tests/seeded_networks.hpp): the same hash, here in numpy.


def folded_parts(network: nn.Module) -> List[Tuple[str, Optional[nn.Conv2d], Optional[nn.BatchNorm2d]]]:
    """(name in a weights file, convolution, BatchNorm) of every layer with parameters; either may be missing."""
    parts: List[Tuple[str, Optional[nn.Conv2d], Optional[nn.BatchNorm2d]]] = []
    body = network.body
    if isinstance(body, PreactivationBody):
        parts += [("backbone.input", None, body.bn_data), ("backbone.conv0", body.conv0, body.bn0)]
        for stage, group in enumerate(body.stages):
            for position, unit in enumerate(group):
                name = f"backbone.layer{stage + 1}.{position}"
                parts += [(f"{name}.norm", None, unit.bn1), (f"{name}.conv1", unit.conv1, unit.bn2)]
                parts += [(f"{name}.conv2", unit.conv2, unit.bn3), (f"{name}.conv3", unit.conv3, None)]
                if unit.sc is not None:
                    parts.append((f"{name}.shortcut", unit.sc, None))
        parts.append(("backbone.norm", None, body.bn1))
    else:
        parts.append(("backbone.conv0", body.conv1, body.bn1))
        for stage in range(1, 5):
            for position, block in enumerate(getattr(body, f"layer{stage}")):
                name = f"backbone.layer{stage}.{position}"
                parts += [(f"{name}.conv{i}", getattr(block, f"conv{i}"), getattr(block, f"bn{i}")) for i in (1, 2, 3)]
                if block.downsample is not None:
                    parts.append((f"{name}.shortcut", block.downsample[0], block.downsample[1]))
    levels = range(2, 7) if isinstance(network, Paper) else range(3, 6)
    names = canonical_names(network)
    for name, module in network.named_modules():
        layer = names.get(name, "")
        if not layer.startswith(("fpn.", "context.")):
            continue
        if isinstance(module, DeformableBN):
            parts += [(layer, module.conv, module.bn), (f"{layer}.offset", module.offset, None)]
        elif isinstance(module, nn.Sequential):
            parts.append((layer, module[0], module[1]))
    if isinstance(network, Paper):
        parts += [(f"head.{kind}", head.conv1x1, None) for kind, head in network.heads.items()]
    else:
        for kind, heads in (("class", network.ClassHead), ("box", network.BboxHead), ("landmark", network.LandmarkHead)):
            parts += [(f"head.p{level}.{kind}", head.conv1x1, None) for level, head in zip(levels, heads)]
    return parts


def hashed_values(name: str, count: int) -> np.ndarray:
    """Multiples of 2^-23 in [-1, 1)."""
    start = 0xCBF29CE484222325
    for byte in name.encode():
        start = ((start ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(start) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return ((z >> np.uint64(40)).astype(np.int64) - (1 << 23)).astype(np.float64) / (1 << 23)


def hashed_scale(name: str, shape: Tuple[int, ...]) -> float:
    offset = ".offset." in name
    if name.endswith(".bias"):
        return 4.0 if offset else 0.25
    scale = 1.0
    while scale * scale * shape[1] * shape[2] * shape[3] > 8:
        scale /= 2
    if name == "backbone.conv0.weight":
        scale /= 64
    if name.startswith("backbone.") and name.endswith(".conv3.weight"):
        scale /= 4
    return scale / 4 if offset else scale


def hashed_tensor(name: str, shape: Tuple[int, ...]) -> np.ndarray:
    values = hashed_values(name, int(np.prod(shape)))
    if len(shape) == 4 and shape[1] == 1:  # a BatchNorm's gain
        values = 1 / 64 + values / 256 if name == "backbone.input.weight" else 0.75 + values / 4
    else:
        values = values * hashed_scale(name, shape)
    return values.reshape(shape)


def hash_parameters(network: nn.Module) -> Dict[str, Tuple[int, ...]]:
    """Gives a network in double hashed parameters; name and shape of each tensor."""
    shapes: Dict[str, Tuple[int, ...]] = {}

    def value(name: str, shape: Tuple[int, ...]) -> Tensor:
        shapes[name] = shape
        return torch.from_numpy(hashed_tensor(name, shape))

    with torch.no_grad():
        for name, conv, norm in folded_parts(network):
            channels = norm.num_features if conv is None else conv.out_channels
            weight = value(f"{name}.weight", (channels, 1, 1, 1) if conv is None else tuple(conv.weight.shape))
            bias = value(f"{name}.bias", (channels,))
            if norm is None:
                conv.bias = nn.Parameter(bias)
            else:  # leaves what it reads alone, but for the bias
                norm.running_mean.zero_()
                norm.running_var.fill_(1)
                norm.weight.fill_(float(np.sqrt(1 + norm.eps)))
                norm.bias.copy_(bias)
            if conv is None:
                norm.weight.mul_(weight.reshape(-1))
            else:
                conv.weight.copy_(weight)
                if norm is not None and conv.bias is not None:
                    conv.bias.zero_()
    return shapes


# Every layer's value, under the name that the weights file has for the layer.


def canonical_names(network: nn.Module) -> Dict[str, str]:
    """Module whose output is a layer's value -> the layer's name."""
    levels = range(2, 7) if isinstance(network, Paper) else range(3, 6)
    names: Dict[str, str] = {}
    body = network.body
    if isinstance(body, PreactivationBody):
        names["body.bn_data"] = "backbone.input"
        for stage, group in enumerate(body.stages):
            for position in range(len(group)):
                names[f"body.stages.{stage}.{position}"] = f"backbone.layer{stage + 1}.{position}"
    else:
        names["body.relu"] = "backbone.conv0"
        names["body.maxpool"] = "backbone.pool"
        for stage in range(1, 5):
            for position in range(len(getattr(body, f"layer{stage}"))):
                names[f"body.layer{stage}.{position}"] = f"backbone.layer{stage}.{position}"
    for i, level in enumerate(levels):
        names[f"fpn.output{i + 1}"] = f"fpn.p{level}.lateral"
        names[f"fpn.merge{i + 1}"] = f"fpn.p{level}.merge"
        names[f"fpn.merge{i + 1}.offset"] = f"fpn.p{level}.merge.offset"
        names[f"ssh{i + 1}"] = f"context.p{level}"
        for original, name in (
            ("conv3X3", "conv3"), ("conv5X5_1", "conv5_1"), ("conv5X5_2", "conv5_2"), ("conv7X7_2", "conv7_2"),
            ("conv7x7_3", "conv7_3"),
        ):  # fmt: skip
            names[f"ssh{i + 1}.{original}"] = f"context.p{level}.{name}"
            names[f"ssh{i + 1}.{original}.offset"] = f"context.p{level}.{name}.offset"
    names["p6"] = "fpn.p6"
    return names


def record_layers(network: nn.Module, record: Record) -> List[Any]:
    """Hooks that hand over each named layer's output."""
    hooks = []
    names = canonical_names(network)
    for name, module in network.named_modules():
        if name in names:

            def hook(_: nn.Module, __: Any, output: Any, layer: str = names[name]) -> None:
                record(layer, output[0] if isinstance(output, tuple) else output)

            hooks.append(module.register_forward_hook(hook))
    return hooks


# Files.


def write_safetensors(path: Path, metadata: Dict[str, str], tensors: Dict[str, np.ndarray]) -> None:
    header: Dict[str, Any] = {"__metadata__": metadata}
    position = 0
    for name, tensor in tensors.items():
        size = tensor.nbytes
        dtype = {"float32": "F32", "uint8": "U8"}[str(tensor.dtype)]
        header[name] = {"dtype": dtype, "shape": list(tensor.shape), "data_offsets": [position, position + size]}
        position += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).tobytes())


class MxnetWriter:
    """The pre-activation network as MXNet's graph and parameters, node by node."""

    def __init__(self, network: ThreeLevels) -> None:
        self.nodes: List[Dict[str, Any]] = []
        self.tensors: Dict[str, np.ndarray] = {}
        body = network.body
        assert isinstance(body, PreactivationBody)
        data = self._null("data")
        value = self._norm("bn_data", data, body.bn_data, fixed=True)
        value = self._relu("relu0", self._norm("bn0", self._conv("conv0", value, body.conv0), body.bn0))
        value = self._node("Pooling", "pooling0", [value], kernel="(3, 3)", stride="(2, 2)", pad="(1, 1)", pool_type="max")
        taps = []
        for stage, group in enumerate(body.stages):
            for position, unit in enumerate(group):
                name = f"stage{stage + 1}_unit{position + 1}"
                act1 = self._relu(f"{name}_relu1", self._norm(f"{name}_bn1", value, unit.bn1))
                act2 = self._relu(
                    f"{name}_relu2", self._norm(f"{name}_bn2", self._conv(f"{name}_conv1", act1, unit.conv1), unit.bn2)
                )
                if stage >= 2 and position == 0:
                    taps.append(act2)
                act3 = self._relu(
                    f"{name}_relu3", self._norm(f"{name}_bn3", self._conv(f"{name}_conv2", act2, unit.conv2), unit.bn3)
                )
                out = self._conv(f"{name}_conv3", act3, unit.conv3)
                shortcut = value if unit.sc is None else self._conv(f"{name}_sc", act1, unit.sc)
                value = self._node("elemwise_add", f"{name}_plus", [out, shortcut])
        taps.append(self._relu("relu1", self._norm("bn1", value, body.bn1)))

        lateral = [self._block(f"rf_c{i + 1}_lateral", tap, getattr(network.fpn, f"output{i + 1}"), True) for i, tap in enumerate(taps)]
        levels = [0, 0, lateral[2]]
        for i in (1, 0):
            up = self._node("UpSampling", f"rf_c{i + 2}_upsampling", [levels[i + 1]], scale="2", sample_type="nearest", num_args="1")
            crop = self._node("Crop", f"crop{i}", [up, lateral[i]], num_args="2")
            total = self._node("elemwise_add", f"plus{i}", [lateral[i], crop])
            levels[i] = self._block(f"rf_c{i + 1}_aggr", total, getattr(network.fpn, f"merge{i + 1}"), True)
        self.heads: List[int] = []
        for i in (2, 1, 0):
            stride, context = (8, 16, 32)[i], getattr(network, f"ssh{i + 1}")
            name = f"rf_c{i + 1}_det"
            first = self._block(f"{name}_conv1", levels[i], context.conv3X3, False)
            shared = self._block(f"{name}_context_conv1", levels[i], context.conv5X5_1, True)
            second = self._block(f"{name}_context_conv2", shared, context.conv5X5_2, False)
            third = self._block(f"{name}_context_conv3_1", shared, context.conv7X7_2, True)
            third = self._block(f"{name}_context_conv3_2", third, context.conv7x7_3, False)
            joined = self._node("Concat", f"{name}_concat", [first, second, third], dim="1", num_args="3")
            feature = self._relu(f"{name}_concat_relu", joined)
            score = self._head(f"face_rpn_cls_score_stride{stride}", feature, network.ClassHead[i].conv1x1, "class")
            score = self._node("Reshape", f"face_rpn_cls_score_reshape_stride{stride}", [score], shape="(0, 2, -1, 0)")
            score = self._node("SoftmaxActivation", f"face_rpn_cls_prob_stride{stride}", [score], mode="channel")
            self.heads.append(self._node("Reshape", f"face_rpn_cls_prob_reshape_stride{stride}", [score], shape="(0, 4, -1, 0)"))
            self.heads.append(self._head(f"face_rpn_bbox_pred_stride{stride}", feature, network.BboxHead[i].conv1x1, "box"))
            self.heads.append(self._head(f"face_rpn_landmark_pred_stride{stride}", feature, network.LandmarkHead[i].conv1x1, "landmark"))

    def _node(self, operator: str, name: str, inputs: List[int], **attributes: str) -> int:
        node: Dict[str, Any] = {"op": operator, "name": name, "inputs": [[i, 0, 0] for i in inputs]}
        if attributes:
            node["attrs"] = attributes
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _null(self, name: str, value: Optional[Tensor] = None, kind: str = "arg") -> int:
        if value is not None:
            self.tensors[f"{kind}:{name}"] = value.detach().numpy().astype("<f4")
        return self._node("null", name, [])

    def _conv(self, name: str, source: int, conv: nn.Conv2d, order: Optional[List[int]] = None) -> int:
        pick = (lambda t: t) if order is None else (lambda t: t[order])
        inputs = [source, self._null(f"{name}_weight", pick(conv.weight))]
        if conv.bias is not None:
            inputs.append(self._null(f"{name}_bias", pick(conv.bias)))
        pair = lambda v: f"({v[0]}, {v[1]})"  # noqa: E731
        return self._node(
            "Convolution", name, inputs, kernel=pair(conv.kernel_size), stride=pair(conv.stride), pad=pair(conv.padding),
            num_filter=str(conv.out_channels), no_bias=str(conv.bias is None), workspace="256",
        )  # fmt: skip

    def _head(self, name: str, source: int, conv: nn.Conv2d, kind: str) -> int:
        """Channels as MXNet has them: large anchor first; of the classes all backgrounds before all faces."""
        values = {"class": 2, "box": 4, "landmark": 10}[kind]
        if kind == "class":
            order = [2 + 0, 0 + 0, 2 + 1, 0 + 1]  # background large, background small, face large, face small
        else:
            order = [values + i for i in range(values)] + list(range(values))
        return self._conv(name, source, conv, order)

    def _norm(self, name: str, source: int, norm: nn.BatchNorm2d, fixed: bool = False) -> int:
        inputs = [
            source,
            self._null(f"{name}_gamma", norm.weight),
            self._null(f"{name}_beta", norm.bias),
            self._null(f"{name}_moving_mean", norm.running_mean, "aux"),
            self._null(f"{name}_moving_var", norm.running_var, "aux"),
        ]
        return self._node("BatchNorm", name, inputs, eps=repr(norm.eps), fix_gamma=str(fixed), momentum="0.9")

    def _relu(self, name: str, source: int) -> int:
        return self._node("Activation", name, [source], act_type="relu")

    def _block(self, name: str, source: int, block: nn.Sequential, relu: bool) -> int:
        value = self._norm(f"{name}_bn", self._conv(name, source, block[0]), block[1])
        return self._relu(f"{name}_relu", value) if relu else value

    def write(self, prefix: Path) -> None:
        arguments = [i for i, node in enumerate(self.nodes) if node["op"] == "null"]
        graph = {"nodes": self.nodes, "arg_nodes": arguments, "heads": [[i, 0, 0] for i in self.heads], "attrs": {"mxnet_version": ["int", 10400]}}
        prefix.with_name(prefix.name + "-symbol.json").write_text(json.dumps(graph))
        with prefix.with_name(prefix.name + "-0000.params").open("wb") as file:
            file.write(struct.pack("<QQQ", 0x112, 0, len(self.tensors)))
            for tensor in self.tensors.values():
                file.write(struct.pack("<IiI", 0xF993FAC9, 0, tensor.ndim) + struct.pack(f"<{tensor.ndim}q", *tensor.shape))
                file.write(struct.pack("<iii", 1, 0, 0) + tensor.tobytes())
            file.write(struct.pack("<Q", len(self.tensors)))
            for name in self.tensors:
                file.write(struct.pack("<Q", len(name)) + name.encode())


def make_image(width: int, height: int) -> np.ndarray:
    """Blotches of a few pixels with noise on them."""
    random = np.random.RandomState(width * 1000 + height)
    blotches = random.randint(0, 200, (height // 7 + 1, width // 7 + 1, 3))
    image = blotches.repeat(7, axis=0).repeat(7, axis=1)[:height, :width]
    return (image + random.randint(0, 56, image.shape)).astype(np.uint8)


def network_input(image: np.ndarray, preactivation: bool) -> Tensor:
    pixels = torch.from_numpy(image.copy()).double().permute(2, 0, 1)[None]
    if preactivation:  # R, G, B as they are, padded right and bottom to a multiple of 32
        return functional.pad(pixels, (0, -image.shape[1] % 32, 0, -image.shape[0] % 32))
    return pixels.flip(1) - torch.tensor([104.0, 117.0, 123.0], dtype=torch.float64).reshape(1, 3, 1, 1)


def make(kind: str, seed: int) -> nn.Module:
    network = Paper() if kind == "paper" else ThreeLevels(kind == "preactivation")
    randomise(network, seed, 1.0 if kind == "preactivation" else 1 / 64)
    if kind == "preactivation":  # MXNet fixes that gain at 1, whatever the file says
        with torch.no_grad():
            network.body.bn_data.weight.fill_(1.0)
    network.eval()
    if kind == "paper":
        calibrate_offsets(network)
    return network


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n", 1)[1],
                                     formatter_class=argparse.RawDescriptionHelpFormatter)  # fmt: skip
    parser.add_argument("network", choices=("resnet50", "preactivation", "paper"))
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="PREFIX")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sizes", nargs="*", default=["65x33", "1x1"], metavar="WxH")
    parser.add_argument("--layers", action="store_true", help="write every layer's output too")
    parser.add_argument("--single", action="store_true", help="compute in float32")
    parser.add_argument("--legacy", action="store_true", help="write the .pth as PyTorch did before 1.6")
    parser.add_argument("--hashed", action="store_true", help="weights as tests/seeded_networks.hpp makes them; no checkpoint")
    args = parser.parse_args(argv)

    network = make(args.network, args.seed)
    metadata = {"network": args.network, "seed": str(args.seed), "precision": "float32" if args.single else "float64"}
    if args.hashed:
        shapes = hash_parameters(network.double())
        metadata = {
            "tool": "tools/oracle/heavy_networks.py",
            "tensors": " ".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items()),
        }
    elif args.network == "preactivation":
        MxnetWriter(network).write(args.output)
    else:
        torch.save(network.state_dict(), args.output.with_name(args.output.name + ".pth"), _use_new_zipfile_serialization=not args.legacy)
    if not args.single:
        network = network.double()

    tensors: Dict[str, np.ndarray] = {}
    for size in args.sizes:
        width, height = map(int, size.split("x"))
        image = make_image(width, height)
        tensors[f"{size}.image"] = image

        def record(name: str, value: Tensor, size: str = size) -> None:
            tensors[f"{size}.layer.{name}"] = value[0].numpy().astype(np.float32)

        hooks = record_layers(network, record) if args.layers else []
        with torch.no_grad():
            pixels = network_input(image, args.network == "preactivation")
            outputs = network(pixels.float() if args.single else pixels)
        for hook in hooks:
            hook.remove()
        for kind, value in outputs.items():
            tensors[f"{size}.{kind}"] = value.numpy().astype(np.float32)
        spread = ", ".join(f"{kind} {float(value.abs().max()):.3g}" for kind, value in outputs.items())
        print(f"{size}: {len(outputs['class'])} anchors, largest {spread}")
        offsets = [m.last_offset[:, :18] for m in network.modules() if isinstance(m, DeformableBN) and m.last_offset is not None]
        if offsets:
            flat = torch.cat([o.flatten() for o in offsets]).abs()
            print(f"  offsets: mean {float(flat.mean()):.2f} px, largest {float(flat.max()):.2f} px, {float((flat > 1).double().mean()):.0%} over 1 px")
    write_safetensors(args.output.with_name(args.output.name + ".golden.safetensors"), metadata, tensors)
    return 0


if __name__ == "__main__":
    sys.exit(main())
