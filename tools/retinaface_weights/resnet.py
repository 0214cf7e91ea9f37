"""The wide networks as lists of layers: ResNet-50 as in Pytorch_Retinaface, insightface's pre-activation R50, the paper's network.

`preactivation` keeps the BatchNorms that no convolution can take up (of the image, after sums) as 1x1 convolutions of
one channel each.  Shapes of blocks: He et al., 2015 (torchvision's form, the stride in the 3x3) and 2016.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

from .network import ANCHORS, HEADS, LEVELS, Architecture, ConcatRelu, Conv, Layer, UpsampleAdd, head_name
from .wide_layers import Add, DeformConv, MaxPool, Rows

DEPTHS = {50: (3, 4, 6, 3), 152: (3, 8, 36, 3)}
WIDTHS = (256, 512, 1024, 2048)  # of the four stages' outputs
PAPER_LEVELS = (2, 3, 4, 5, 6)
PAPER_ANCHORS = 3  # a cell
DENSE = (("shape_texture", 128), ("camera", 7), ("light", 9))  # values an anchor, after those of HEADS
OFFSETS = 27  # of a modulated 3x3: (dy, dx) and a logit of each tap


def _block(index: int, position: int) -> str:
    return f"backbone.layer{index + 1}.{position}"


def _residual_backbone(depths: Sequence[int]) -> Tuple[List[Layer], List[Tuple[str, int]]]:
    """Bottlenecks: 1x1, 3x3 with the stride, 1x1, sum, ReLU; the outputs of the four stages."""
    layers: List[Layer] = [Conv("backbone.conv0", "image", 3, 64, 7, 2, 1, 0.0), MaxPool("backbone.pool", "backbone.conv0")]
    value, width, taps = "backbone.pool", 64, []
    for stage, (depth, c_out) in enumerate(zip(depths, WIDTHS)):
        for position in range(depth):
            block, inner = _block(stage, position), c_out // 4
            stride = 2 if stage > 0 and position == 0 else 1
            shortcut = value
            if position == 0:
                shortcut = f"{block}.shortcut"
                layers.append(Conv(shortcut, value, width, c_out, 1, stride))
            layers += [
                Conv(f"{block}.conv1", value, width, inner, 1, slope=0.0),
                Conv(f"{block}.conv2", f"{block}.conv1", inner, inner, 3, stride, 1, 0.0),
                Conv(f"{block}.conv3", f"{block}.conv2", inner, c_out, 1),
                Add(block, (f"{block}.conv3", shortcut), relu=True),
            ]
            value, width = block, c_out
        taps.append((value, width))
    return layers, taps


def _preactivation_backbone(depths: Sequence[int]) -> Tuple[List[Layer], List[Tuple[str, int]]]:
    """Units: norm + ReLU of the sum before; 1x1, 3x3 with the stride, 1x1; sum.  The taps lie inside the next stage's first unit."""
    layers: List[Layer] = [
        Conv("backbone.input", "image", 3, 3, 1, 1, 3),
        Conv("backbone.conv0", "backbone.input", 3, 64, 7, 2, 1, 0.0),
        MaxPool("backbone.pool", "backbone.conv0"),
    ]
    value, width, taps = "backbone.pool", 64, []
    for stage, (depth, c_out) in enumerate(zip(depths, WIDTHS)):
        for position in range(depth):
            block, inner = _block(stage, position), c_out // 4
            stride = 2 if stage > 0 and position == 0 else 1
            norm = f"{block}.norm"
            layers += [
                Conv(norm, value, width, width, 1, 1, width, 0.0),
                Conv(f"{block}.conv1", norm, width, inner, 1, slope=0.0),
                Conv(f"{block}.conv2", f"{block}.conv1", inner, inner, 3, stride, 1, 0.0),
                Conv(f"{block}.conv3", f"{block}.conv2", inner, c_out, 1),
            ]
            shortcut = value
            if position == 0:
                shortcut = f"{block}.shortcut"
                layers.append(Conv(shortcut, norm, width, c_out, 1, stride))
                if stage >= 2:
                    taps.append((f"{block}.conv1", inner))
            layers.append(Add(block, (f"{block}.conv3", shortcut), relu=False))
            value, width = block, c_out
    layers.append(Conv("backbone.norm", value, width, width, 1, 1, width, 0.0))
    taps.append(("backbone.norm", width))
    return layers, taps


def _conv3(name: str, source: str, c_in: int, c_out: int, deformable: bool, relu: bool) -> List[Layer]:
    """A 3x3 convolution, or a deformable one behind the ordinary one that makes its offsets."""
    slope = 0.0 if relu else None
    if not deformable:
        return [Conv(name, source, c_in, c_out, 3, slope=slope)]
    offset = f"{name}.offset"
    return [
        Conv(offset, source, c_in, OFFSETS, 3),
        DeformConv(name, source, c_in, c_out, 3, slope=slope, offsets=offset),
    ]


def _neck(
    taps: Dict[int, Tuple[str, int]], width: int, deformable: bool
) -> Tuple[List[Layer], Dict[int, str]]:
    """Feature pyramid and context modules over the taps (value, channels) by level; the modules' outputs.

    The coarsest level has no sum.  It is merged all the same where merges are deformable.
    """
    layers: List[Layer] = []
    pyramid: Dict[int, str] = {}
    for level, (tap, channels) in taps.items():
        layers.append(Conv(f"fpn.p{level}.lateral", tap, channels, width, 1, slope=0.0))
    coarse = ""
    for level in sorted(taps, reverse=True):
        value = f"fpn.p{level}.lateral"
        if coarse:
            layers.append(UpsampleAdd(f"fpn.p{level}.sum", value, coarse))
            value = f"fpn.p{level}.sum"
        if coarse or deformable:
            layers += _conv3(f"fpn.p{level}.merge", value, width, width, deformable, relu=True)
            value = f"fpn.p{level}.merge"
        coarse = pyramid[level] = value
    return layers, pyramid


def _context(level: int, source: str, width: int, widths: Tuple[int, int], deformable: bool) -> List[Layer]:
    context = f"context.p{level}"
    half, quarter = widths
    return [
        *_conv3(f"{context}.conv3", source, width, half, deformable, relu=False),
        *_conv3(f"{context}.conv5_1", source, width, quarter, deformable, relu=True),
        *_conv3(f"{context}.conv5_2", f"{context}.conv5_1", quarter, quarter, deformable, relu=False),
        *_conv3(f"{context}.conv7_2", f"{context}.conv5_1", quarter, quarter, deformable, relu=True),
        *_conv3(f"{context}.conv7_3", f"{context}.conv7_2", quarter, quarter, deformable, relu=False),
        ConcatRelu(context, (f"{context}.conv3", f"{context}.conv5_2", f"{context}.conv7_3")),
    ]


def _three_levels(
    backbone: Tuple[List[Layer], List[Tuple[str, int]]], context_widths: Tuple[int, int]
) -> List[Layer]:
    layers, taps = backbone
    neck, pyramid = _neck(dict(zip(LEVELS, taps[-3:])), 256, deformable=False)
    layers += neck
    for level in LEVELS:
        layers += _context(level, pyramid[level], 256, context_widths, deformable=False)
        for head, values in HEADS:
            layers.append(Conv(head_name(level, head), f"context.p{level}", sum(context_widths) + context_widths[1], ANCHORS * values, 1))
    return layers


def _paper() -> List[Layer]:
    layers, taps = _residual_backbone(DEPTHS[152])
    neck, pyramid = _neck(dict(zip(PAPER_LEVELS, taps)), 256, deformable=True)
    layers += neck
    layers.append(Conv("fpn.p6", taps[-1][0], taps[-1][1], 256, 3, 2, 1, 0.0))
    pyramid[6] = "fpn.p6"
    for level in PAPER_LEVELS:
        layers += _context(level, pyramid[level], 256, (128, 64), deformable=True)
    layers.append(Rows("features", tuple(f"context.p{level}" for level in PAPER_LEVELS)))
    for head, values in (*HEADS, *DENSE):
        layers.append(Conv(f"head.{head}", "features", 256, PAPER_ANCHORS * values, 1))
    return layers


NETWORKS = (
    Architecture(
        "resnet50",
        "ResNet-50 (biubug6's Resnet50): torchvision's backbone, neck and context modules of 256 channels",
        lambda slope: _three_levels(_residual_backbone(DEPTHS[50]), (128, 64)),
        slope=0.0,
    ),
    Architecture(
        "resnet50_preactivation",
        "insightface's R50: pre-activation ResNet-50, context modules of 512 channels",
        lambda slope: _three_levels(_preactivation_backbone(DEPTHS[50]), (256, 128)),
        slope=0.0,
        profile="insightface",
    ),
    Architecture(
        "resnet152_deformable",
        "the paper's network: ResNet-152, levels P2 to P6, deformable merges and context modules, one head of 160 outputs an anchor",
        lambda slope: _paper(),
        slope=0.0,
        profile="paper",
    ),
)
