"""How yakhyo/retinaface-pytorch names the tensors of a MobileNet-0.25 network.

As biubug6 does, but for the backbone (`fx.`, each half of a block a module of its own) and the heads.
"""

from __future__ import annotations

import re
from typing import Dict

from . import biubug6_names
from .folding import ConvSource

ARCHITECTURES = ("mobilenet025",)
_HALVES = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1"}  # index in a block there -> here
_HEADS = {"ClassHead": "class_head", "BboxHead": "bbox_head", "LandmarkHead": "landmark_head"}


def _rename(name: str) -> str:
    block = re.fullmatch(r"body\.(stage\d\.\d+)\.(\d)\.(\w+)", name)
    if block is not None:
        stage, index, kind = block.groups()
        return f"fx.{stage}.{index if stage == 'stage1.0' else _HALVES[index]}.{kind}"
    head = re.fullmatch(r"(\w+Head)\.(\d)\.conv1x1\.(\w+)", name)
    if head is not None:
        module = _HEADS[head[1]]
        return f"{module}.{module}.{head[2]}.{head[3]}"
    return name


def sources(architecture: str) -> Dict[str, ConvSource]:
    """Canonical convolution name -> where it is in a state dict."""
    return {name: source.renamed(_rename) for name, source in biubug6_names.sources(architecture).items()}
