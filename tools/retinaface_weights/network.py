"""The architectures as lists of layers, and the profiles.

Every consumer (forward pass, exporters, validation, random weights) walks the same list, so a network is written down
once.  A layer reads named values and produces one value that carries the layer's own name; the input is `image`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple, Union

from .errors import ConversionError

LEVELS = (3, 4, 5)  # pyramid levels p3, p4, p5: strides 8, 16, 32
ANCHORS = 2  # a cell
HEADS = (("class", 2), ("box", 4), ("landmark", 10))  # values an anchor


@dataclass(frozen=True)
class Conv:
    """A convolution with bias and zero padding of (kernel - 1) / 2, then leaky ReLU with `slope` (None: nothing)."""

    name: str
    source: str
    c_in: int
    c_out: int
    kernel: int
    stride: int = 1
    groups: int = 1
    slope: Optional[float] = None

    @property
    def padding(self) -> int:
        return (self.kernel - 1) // 2

    @property
    def weight_shape(self) -> Tuple[int, int, int, int]:
        return (self.c_out, self.c_in // self.groups, self.kernel, self.kernel)


@dataclass(frozen=True)
class UpsampleAdd:
    """fine + upsampled coarse: source index = destination index >> 1, cropped to the finer map's size."""

    name: str
    fine: str
    coarse: str


@dataclass(frozen=True)
class ConcatRelu:
    """Channels of all sources one after the other, then plain ReLU."""

    name: str
    sources: Tuple[str, ...]


Layer = Union[Conv, UpsampleAdd, ConcatRelu]


@dataclass(frozen=True)
class Profile:
    """What surrounds and parameterises a network; anchors and decoding live in the C++ library."""

    name: str
    channels: str  # order of the input channels
    mean: Tuple[float, float, float]  # subtracted, in that order
    slope: float  # of the activation of backbone, pyramid and context
    pad_to: int  # the input is padded right and bottom with 0 (after the mean) to a multiple of this


PROFILES: Dict[str, Profile] = {
    "biubug6": Profile("biubug6", "bgr", (104.0, 117.0, 123.0), 0.1, 1),
    "insightface": Profile("insightface", "rgb", (0.0, 0.0, 0.0), 0.0, 32),
    "paper": Profile("paper", "bgr", (104.0, 117.0, 123.0), 0.0, 1),
}

# Depthwise-separable blocks 1..13 of MobileNet-0.25: channels in, channels out, stride.
_BLOCKS: Tuple[Tuple[int, int, int], ...] = (
    (8, 16, 1), (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1),
    (64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 128, 1), (128, 128, 1), (128, 128, 1),
    (128, 256, 2), (256, 256, 1),
)  # fmt: skip
_TAPS = {3: (5, 64), 4: (11, 128), 5: (13, 256)}  # level: block whose output is taken, its channels


@dataclass(frozen=True)
class Architecture:
    """A stem convolution and the blocks that follow; neck, context and heads are common."""

    name: str
    stem_channels: int
    stem_kernel: int
    stem_stride: int
    first_block: int
    first_block_stride: int

    def blocks(self) -> List[Tuple[int, int, int, int]]:
        """(index, channels in, channels out, stride) of every block."""
        result = [(index, *_BLOCKS[index - 1]) for index in range(self.first_block, len(_BLOCKS) + 1)]
        index, c_in, c_out, _ = result[0]
        result[0] = (index, c_in, c_out, self.first_block_stride)
        return result


ARCHITECTURES: Dict[str, Architecture] = {
    "mobilenet025": Architecture("mobilenet025", 8, 3, 2, 1, 1),
    "mobilenet025_light": Architecture("mobilenet025_light", 16, 7, 4, 2, 1),
}


def lookup_profile(name: str) -> Profile:
    if name not in PROFILES:
        raise ConversionError(f"profile: expected one of {', '.join(PROFILES)}, found {name!r}")
    return PROFILES[name]


def lookup_architecture(name: str) -> Architecture:
    if name not in ARCHITECTURES:
        raise ConversionError(f"architecture: expected one of {', '.join(ARCHITECTURES)}, found {name!r}")
    return ARCHITECTURES[name]


def head_name(level: int, head: str) -> str:
    return f"head.p{level}.{head}"


def build_network(architecture: str, profile: str) -> List[Layer]:
    """The layers of a network in an order in which they can be computed."""
    arch = lookup_architecture(architecture)
    slope = lookup_profile(profile).slope
    layers: List[Layer] = [
        Conv("backbone.conv0", "image", 3, arch.stem_channels, arch.stem_kernel, arch.stem_stride, 1, slope)
    ]
    value = "backbone.conv0"
    for index, c_in, c_out, stride in arch.blocks():
        block = f"backbone.block{index}"
        layers.append(Conv(f"{block}.depthwise", value, c_in, c_in, 3, stride, c_in, slope))
        layers.append(Conv(f"{block}.pointwise", f"{block}.depthwise", c_in, c_out, 1, slope=slope))
        value = f"{block}.pointwise"

    for level in LEVELS:
        block_index, channels = _TAPS[level]
        tap = f"backbone.block{block_index}.pointwise"
        layers.append(Conv(f"fpn.p{level}.lateral", tap, channels, 64, 1, slope=slope))
    coarse = "fpn.p5.lateral"
    pyramid = {5: coarse}
    for level in (4, 3):
        layers.append(UpsampleAdd(f"fpn.p{level}.sum", f"fpn.p{level}.lateral", coarse))
        layers.append(Conv(f"fpn.p{level}.merge", f"fpn.p{level}.sum", 64, 64, 3, slope=slope))
        coarse = pyramid[level] = f"fpn.p{level}.merge"

    for level in LEVELS:
        context = f"context.p{level}"
        layers += [
            Conv(f"{context}.conv3", pyramid[level], 64, 32, 3),
            Conv(f"{context}.conv5_1", pyramid[level], 64, 16, 3, slope=slope),
            Conv(f"{context}.conv5_2", f"{context}.conv5_1", 16, 16, 3),
            Conv(f"{context}.conv7_2", f"{context}.conv5_1", 16, 16, 3, slope=slope),
            Conv(f"{context}.conv7_3", f"{context}.conv7_2", 16, 16, 3),
            ConcatRelu(context, (f"{context}.conv3", f"{context}.conv5_2", f"{context}.conv7_3")),
        ]
        for head, values in HEADS:
            layers.append(Conv(head_name(level, head), context, 64, ANCHORS * values, 1))
    return layers


def convolutions(layers: List[Layer]) -> List[Conv]:
    return [layer for layer in layers if isinstance(layer, Conv)]


def parameter_shapes(architecture: str) -> Dict[str, Tuple[int, ...]]:
    """Name and shape of every parameter tensor, in file order."""
    shapes: Dict[str, Tuple[int, ...]] = {}
    for conv in convolutions(build_network(architecture, "paper")):
        shapes[conv.name + ".weight"] = conv.weight_shape
        shapes[conv.name + ".bias"] = (conv.c_out,)
    return shapes
