"""How PyTorch code names the tensors of the wide networks.

`resnet50` as in Pytorch_Retinaface: torchvision's backbone under `body.`, then that repository's neck and heads.  For
`resnet152_deformable`, which nobody published, the same words: levels count from 1 (P2), a deformable convolution is
`conv` and `bn` beside the `offset` that steers it, `p6`, and `heads.KIND`.
"""

from __future__ import annotations

from typing import Dict

from .folding import ConvSource, Norm
from .network import Conv, build_network, convolutions

ARCHITECTURES = ("resnet50", "resnet152_deformable")
EPSILON = 1e-5
_CONTEXT = {
    "conv3": "conv3X3", "conv5_1": "conv5X5_1", "conv5_2": "conv5X5_2", "conv7_2": "conv7X7_2", "conv7_3": "conv7x7_3",
}  # fmt: skip
_HEADS = {"class": "ClassHead", "box": "BboxHead", "landmark": "LandmarkHead"}


def _with_norm(conv: str, norm: str) -> ConvSource:
    names = (f"{norm}.{part}" for part in ("weight", "bias", "running_mean", "running_var"))
    return ConvSource(f"{conv}.weight", norm=Norm(*names, EPSILON))


def _sequential(prefix: str) -> ConvSource:
    return _with_norm(f"{prefix}.0", f"{prefix}.1")


def _neck(path: str, paper: bool) -> ConvSource:
    """A convolution of the neck; its offsets' where the name ends in `.offset`."""
    if path.endswith(".offset"):
        return ConvSource(f"{path}.weight", f"{path}.bias")
    return _with_norm(f"{path}.conv", f"{path}.bn") if paper else _sequential(path)


def _source(conv: Conv, architecture: str) -> ConvSource:
    paper = architecture == "resnet152_deformable"
    first = 2 if paper else 3
    parts = conv.name.split(".")
    if conv.name == "backbone.conv0":
        return _with_norm("body.conv1", "body.bn1")
    if parts[0] == "backbone":
        block = f"body.{parts[1]}.{parts[2]}"
        if parts[3] == "shortcut":
            return _sequential(f"{block}.downsample")
        return _with_norm(f"{block}.{parts[3]}", f"{block}.bn{parts[3][-1]}")
    if conv.name == "fpn.p6":
        return _sequential("p6")
    if parts[0] == "head":
        if paper:
            return ConvSource(f"heads.{parts[1]}.conv1x1.weight", f"heads.{parts[1]}.conv1x1.bias")
        head = f"{_HEADS[parts[2]]}.{int(parts[1][1:]) - first}.conv1x1"
        return ConvSource(f"{head}.weight", f"{head}.bias")
    number = int(parts[1][1:]) - first + 1
    offset = ".offset" if parts[-1] == "offset" else ""
    if parts[0] == "context":
        return _neck(f"ssh{number}.{_CONTEXT[parts[2]]}{offset}", paper)
    if parts[2] == "lateral":
        return _sequential(f"fpn.output{number}")
    return _neck(f"fpn.merge{number}{offset}", paper)


def sources(architecture: str) -> Dict[str, ConvSource]:
    """Canonical convolution name -> where it is in a state dict."""
    return {conv.name: _source(conv, architecture) for conv in convolutions(build_network(architecture, "paper"))}
