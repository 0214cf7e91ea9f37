"""How biubug6/Pytorch_Retinaface names the tensors of a MobileNet-0.25 network."""

from __future__ import annotations

from typing import Dict

from .folding import ConvSource, Norm
from .network import LEVELS, build_network, convolutions

ARCHITECTURES = ("mobilenet025", "mobilenet025_light")
EPSILON = 1e-5
_CONTEXT = {
    "conv3": "conv3X3", "conv5_1": "conv5X5_1", "conv5_2": "conv5X5_2", "conv7_2": "conv7X7_2", "conv7_3": "conv7x7_3",
}  # fmt: skip
_HEADS = {"class": "ClassHead", "box": "BboxHead", "landmark": "LandmarkHead"}
_STAGE_STARTS = {6: "body.stage2", 12: "body.stage3"}


def conv_norm(prefix: str, conv_index: int = 0) -> ConvSource:
    """A convolution without bias and the BatchNorm that follows it in a `Sequential`."""
    norm = f"{prefix}.{conv_index + 1}"
    return ConvSource(
        f"{prefix}.{conv_index}.weight",
        norm=Norm(f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var", EPSILON),
    )


def neck_and_heads() -> Dict[str, ConvSource]:
    """Pyramid, context modules and heads, which are named alike whatever the backbone."""
    result: Dict[str, ConvSource] = {}
    for number, level in enumerate(LEVELS):
        result[f"fpn.p{level}.lateral"] = conv_norm(f"fpn.output{number + 1}")
        if number < 2:
            result[f"fpn.p{level}.merge"] = conv_norm(f"fpn.merge{number + 1}")
        for name, original in _CONTEXT.items():
            result[f"context.p{level}.{name}"] = conv_norm(f"ssh{number + 1}.{original}")
        for name, original in _HEADS.items():
            head = f"{original}.{number}.conv1x1"
            result[f"head.p{level}.{name}"] = ConvSource(f"{head}.weight", f"{head}.bias")
    return result


def sources(architecture: str) -> Dict[str, ConvSource]:
    """Canonical convolution name -> where it is in a state dict."""
    result = {"backbone.conv0": conv_norm("body.stage1.0")}
    stage, position = "body.stage1", 1
    for conv in convolutions(build_network(architecture, "paper")):
        if not conv.name.endswith(".depthwise"):
            continue
        block = conv.name[: -len(".depthwise")]
        index = int(block[len("backbone.block") :])
        if index in _STAGE_STARTS:
            stage, position = _STAGE_STARTS[index], 0
        result[f"{block}.depthwise"] = conv_norm(f"{stage}.{position}", 0)
        result[f"{block}.pointwise"] = conv_norm(f"{stage}.{position}", 3)
        position += 1
    return {**result, **neck_and_heads()}
