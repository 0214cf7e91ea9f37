"""How biubug6/Pytorch_Retinaface names the tensors of a MobileNet-0.25 network."""

from __future__ import annotations

import re
from typing import Dict

from .folding import ConvSource, Norm
from .network import LEVELS, lookup_architecture

EPSILON = 1e-5
_UNUSED = re.compile(r"(body\.)?fc\.(weight|bias)")
_COUNTER = re.compile(r".*\.num_batches_tracked")
_CONTEXT = {
    "conv3": "conv3X3", "conv5_1": "conv5X5_1", "conv5_2": "conv5X5_2", "conv7_2": "conv7X7_2", "conv7_3": "conv7x7_3",
}  # fmt: skip
_HEADS = {"class": "ClassHead", "box": "BboxHead", "landmark": "LandmarkHead"}
_STAGE_STARTS = {6: "body.stage2", 12: "body.stage3"}


def allowed_extra(name: str) -> bool:
    """Tensors that such files carry and that inference does not need."""
    return _UNUSED.fullmatch(name) is not None or _COUNTER.fullmatch(name) is not None


def _conv_norm(prefix: str, conv_index: int = 0) -> ConvSource:
    norm = f"{prefix}.{conv_index + 1}"
    return ConvSource(
        f"{prefix}.{conv_index}.weight",
        norm=Norm(f"{norm}.weight", f"{norm}.bias", f"{norm}.running_mean", f"{norm}.running_var", EPSILON),
    )


def sources(architecture: str) -> Dict[str, ConvSource]:
    """Canonical convolution name -> where it is in a state dict."""
    result = {"backbone.conv0": _conv_norm("body.stage1.0")}
    stage, position = "body.stage1", 1
    for index, *_ in lookup_architecture(architecture).blocks():
        if index in _STAGE_STARTS:
            stage, position = _STAGE_STARTS[index], 0
        result[f"backbone.block{index}.depthwise"] = _conv_norm(f"{stage}.{position}", 0)
        result[f"backbone.block{index}.pointwise"] = _conv_norm(f"{stage}.{position}", 3)
        position += 1
    for number, level in enumerate(LEVELS):
        result[f"fpn.p{level}.lateral"] = _conv_norm(f"fpn.output{number + 1}")
        if number < 2:
            result[f"fpn.p{level}.merge"] = _conv_norm(f"fpn.merge{number + 1}")
        for name, original in _CONTEXT.items():
            result[f"context.p{level}.{name}"] = _conv_norm(f"ssh{number + 1}.{original}")
        for name, original in _HEADS.items():
            head = f"{original}.{number}.conv1x1"
            result[f"head.p{level}.{name}"] = ConvSource(f"{head}.weight", f"{head}.bias")
    return result
