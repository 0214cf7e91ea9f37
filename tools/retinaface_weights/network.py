"""The architectures as lists of layers, and the profiles.

Every consumer (converter, forward pass, exporters, validation, random weights, the tables of `weights/README.md`) walks
the same list, so a network is written down once.  A layer reads named values and produces one value that carries the
layer's own name; the input is `image`.

To add a network: describe it as an `Architecture` (in a file of its own where it is of another family), list it in
`ARCHITECTURES`, and say in `names.py` what other people call its tensors.  `tools/weights_tables.py` then writes its
table; a layer of a new kind also needs its line in `forward.py`, `onnx_export.py` and `ncnn_export.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple, Union

from .errors import ConversionError

LEVELS = (3, 4, 5)  # pyramid levels p3, p4, p5: strides 8, 16, 32
ANCHOR_SIZES = ((16.0, 32.0), (64.0, 128.0), (256.0, 512.0))  # pixels of the input, a level
ANCHORS = 2  # a cell
HEADS = (("class", 2), ("box", 4), ("landmark", 10))  # values an anchor
MESH_SHAPE, MESH_CAMERA = 48, 6  # values a cell of the mesh head, which a weights file may have


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
    """What surrounds and parameterises a network, as the library knows it (`include/retinaface/profile.hpp`)."""

    name: str
    channels: str  # order of the input channels
    mean: Tuple[float, float, float]  # subtracted, in that order
    slope: float  # of the activation of backbone, pyramid and context, where the architecture leaves it open
    pad_to: int  # the input is padded right and bottom to a multiple of this
    pad_pixel: Optional[float] = None  # with this pixel value; None: with the mean's own
    variances: Tuple[float, float] = (0.1, 0.2)  # of a box's centre and size
    first_centre: Optional[float] = None  # of the first cell's anchors on every level; None: the centre of that cell
    inclusive: bool = False  # a box of width w spans w - 1
    landmark_variance: Optional[float] = None  # None: that of the centre


PROFILES: Dict[str, Profile] = {
    "biubug6": Profile("biubug6", "bgr", (104.0, 117.0, 123.0), 0.1, 1),
    "insightface": Profile("insightface", "rgb", (0.0, 0.0, 0.0), 0.0, 32, None, (1.0, 1.0), 7.5, True),
    "paper": Profile("paper", "bgr", (104.0, 117.0, 123.0), 0.0, 1),
    "mnet12": Profile("mnet12", "rgb", (127.5, 127.5, 127.5), 0.0, 32, 0.0, (1.0, 1.0), 7.5, True, 0.2),
}


@dataclass(frozen=True)
class Architecture:
    """A network: what it is, and its layers for a given slope of the activation."""

    name: str
    about: str  # for the tables, one line
    layers: Callable[[float], List[Layer]]
    slope: Optional[float] = None  # of the activation, where it belongs to the network and not to the profile
    profile: str = "biubug6"  # of such a network from elsewhere, where nothing says otherwise


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


def neck_and_heads(slope: float, taps: Sequence[Tuple[str, int]], width: int) -> List[Layer]:
    """Feature pyramid of `width` channels over the taps (value, channels) of levels 3, 4, 5; context modules; heads."""
    layers: List[Layer] = []
    for level, (tap, channels) in zip(LEVELS, taps):
        layers.append(Conv(f"fpn.p{level}.lateral", tap, channels, width, 1, slope=slope))
    coarse = "fpn.p5.lateral"
    pyramid = {5: coarse}
    for level in (4, 3):
        layers.append(UpsampleAdd(f"fpn.p{level}.sum", f"fpn.p{level}.lateral", coarse))
        layers.append(Conv(f"fpn.p{level}.merge", f"fpn.p{level}.sum", width, width, 3, slope=slope))
        coarse = pyramid[level] = f"fpn.p{level}.merge"

    half, quarter = width // 2, width // 4
    for level in LEVELS:
        context = f"context.p{level}"
        layers += [
            Conv(f"{context}.conv3", pyramid[level], width, half, 3),
            Conv(f"{context}.conv5_1", pyramid[level], width, quarter, 3, slope=slope),
            Conv(f"{context}.conv5_2", f"{context}.conv5_1", quarter, quarter, 3),
            Conv(f"{context}.conv7_2", f"{context}.conv5_1", quarter, quarter, 3, slope=slope),
            Conv(f"{context}.conv7_3", f"{context}.conv7_2", quarter, quarter, 3),
            ConcatRelu(context, (f"{context}.conv3", f"{context}.conv5_2", f"{context}.conv7_3")),
        ]
        for head, values in HEADS:
            layers.append(Conv(head_name(level, head), context, width, ANCHORS * values, 1))
    return layers


# Depthwise-separable blocks of MobileNet-0.25 from the second on: channels in, channels out, stride.
_BLOCKS: Tuple[Tuple[int, int, int], ...] = (
    (16, 32, 2), (32, 32, 1), (32, 64, 2), (64, 64, 1),
    (64, 128, 2), (128, 128, 1), (128, 128, 1), (128, 128, 1), (128, 128, 1), (128, 128, 1),
    (128, 256, 2), (256, 256, 1),
)  # fmt: skip


def _mobilenet(
    stem: Sequence[Tuple[int, int, int]],
    blocks: Dict[int, Tuple[int, int, int]],
    last: Sequence[int] = (),
) -> Callable[[float], List[Layer]]:
    """Ordinary convolutions (channels, kernel, stride); blocks; 1x1 convolutions; then what all light networks share.

    The pyramid taps blocks 5 and 11 and the end.
    """

    def layers(slope: float) -> List[Layer]:
        result: List[Layer] = []
        value, width = "image", 3
        for index, (channels, kernel, stride) in enumerate(stem):
            result.append(Conv(f"backbone.conv{index}", value, width, channels, kernel, stride, 1, slope))
            value, width = f"backbone.conv{index}", channels
        taps: Dict[int, Tuple[str, int]] = {}
        for index, (c_in, c_out, stride) in blocks.items():
            block = f"backbone.block{index}"
            result.append(Conv(f"{block}.depthwise", value, c_in, c_in, 3, stride, c_in, slope))
            result.append(Conv(f"{block}.pointwise", f"{block}.depthwise", c_in, c_out, 1, slope=slope))
            value, width = f"{block}.pointwise", c_out
            taps[index] = (value, width)
        for index, channels in enumerate(last):
            result.append(Conv(f"backbone.last{index}", value, width, channels, 1, slope=slope))
            value, width = f"backbone.last{index}", channels
        return result + neck_and_heads(slope, (taps[5], taps[11], (value, width)), 64)

    return layers


def _blocks(first: Dict[int, Tuple[int, int, int]]) -> Dict[int, Tuple[int, int, int]]:
    return {**first, **{index: block for index, block in enumerate(_BLOCKS, 2) if index not in first}}


ARCHITECTURES: Dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture(
            "mobilenet025",
            "MobileNet-0.25 (biubug6's mobilenet0.25, insightface's mnet.25)",
            _mobilenet([(8, 3, 2)], _blocks({1: (8, 16, 1)})),
        ),
        Architecture(
            "mobilenet025_light",
            "the paper's light variant: 7x7 stride-4 stem, no block 1",
            _mobilenet([(16, 7, 4)], _blocks({2: (16, 32, 1)})),
            profile="paper",
        ),
        Architecture(
            "mnet12",
            "insightface's retinaface_mnet025 v1 and v2: 16-channel stem, 1x1 convolutions before and after the blocks",
            _mobilenet([(16, 3, 2), (32, 1, 1)], _blocks({2: (32, 32, 2)}), last=[256]),
            slope=0.0,
            profile="mnet12",
        ),
    )
}


from .resnet import NETWORKS  # noqa: E402  (describes its networks in the terms above)

ARCHITECTURES.update({architecture.name: architecture for architecture in NETWORKS})


def build_network(architecture: str, profile: str, slope: Optional[float] = None) -> List[Layer]:
    """The layers of a network in an order in which they can be computed; `slope`: where a file states one."""
    arch = lookup_architecture(architecture)
    if slope is None:
        slope = lookup_profile(profile).slope if arch.slope is None else arch.slope
    return arch.layers(slope)


def convolutions(layers: List[Layer]) -> List[Conv]:
    return [layer for layer in layers if isinstance(layer, Conv)]


def parameter_shapes(architecture: str) -> Dict[str, Tuple[int, ...]]:
    """Name and shape of every parameter tensor, in file order."""
    shapes: Dict[str, Tuple[int, ...]] = {}
    for conv in convolutions(build_network(architecture, "paper")):
        shapes[conv.name + ".weight"] = conv.weight_shape
        shapes[conv.name + ".bias"] = (conv.c_out,)
    return shapes


def mesh_head_shapes(architecture: str) -> Dict[str, Tuple[int, ...]]:
    """Likewise of the mesh head, which a file has whole or not at all."""
    shapes: Dict[str, Tuple[int, ...]] = {}
    for conv in convolutions(build_network(architecture, "paper")):
        level, _, head = conv.name.rpartition(".")
        if head == "class":
            shapes[f"{level}.mesh.weight"] = (MESH_SHAPE + MESH_CAMERA, conv.c_in, 1, 1)
            shapes[f"{level}.mesh.bias"] = (MESH_SHAPE + MESH_CAMERA,)
    return shapes
