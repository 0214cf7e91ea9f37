"""The network as an ncnn model: a `.param` text and a `.bin` of raw fp32 values."""

from __future__ import annotations

from collections import Counter
from typing import Dict, List, Tuple

import numpy as np

from .errors import ConversionError
from .network import HEADS, LEVELS, ConcatRelu, Conv, Layer, UpsampleAdd, head_name
from .weights_file import Weights
from .wide_layers import Add, DeformConv, MaxPool

_MAGIC = 7767517
_RAW_FP32 = (0).to_bytes(4, "little")  # tag before a weight


def _sources(layer: Layer) -> List[str]:
    if isinstance(layer, Conv):
        return [layer.source]
    if isinstance(layer, MaxPool):
        return [layer.source]
    if isinstance(layer, UpsampleAdd):
        return [layer.fine, layer.coarse, layer.fine]  # twice: ncnn takes the target size from a map
    return list(layer.sources)


class _Writer:
    """Lines of the `.param` file; a value that several layers read is split as ncnn demands."""

    def __init__(self, layers: List[Layer]) -> None:
        self._readers = Counter(source for layer in layers for source in _sources(layer))
        self._used: Dict[str, int] = {}
        self._lines: List[str] = []
        self._blobs = 0

    def write(self, kind: str, name: str, inputs: List[str], outputs: List[str], parameters: str = "") -> None:
        head = f"{kind:<24} {name:<32} {len(inputs)} {len(outputs)}"
        self._lines.append(" ".join([head, *inputs, *outputs, parameters]).rstrip())
        self._blobs += len(outputs)

    def produce(self, kind: str, layer: str, inputs: List[str], value: str, parameters: str = "") -> None:
        """A layer whose output is `value`, and a Split after it where it has several readers."""
        self.write(kind, layer, inputs, [value], parameters)
        readers = self._readers[value]
        if readers > 1:
            self.write("Split", value + ".split", [value], [f"{value}.{index}" for index in range(readers)])

    def take(self, value: str) -> str:
        """The blob through which the next reader gets `value`."""
        if self._readers[value] == 1:
            return value
        index = self._used.get(value, 0)
        self._used[value] = index + 1
        return f"{value}.{index}"

    def text(self) -> str:
        return "\n".join([str(_MAGIC), f"{len(self._lines)} {self._blobs}", *self._lines]) + "\n"


def _conv_parameters(conv: Conv) -> str:
    weight_count = int(np.prod(conv.weight_shape))
    text = f"0={conv.c_out} 1={conv.kernel} 3={conv.stride} 4={conv.padding} 5=1 6={weight_count}"
    if conv.groups > 1:
        text += f" 7={conv.groups}"
    if conv.slope == 0.0:
        text += " 9=1"
    elif conv.slope is not None:
        text += f" 9=2 -23310=1,{conv.slope:e}"
    return text


def export(weights: Weights) -> Tuple[str, bytes]:
    """The texts of the `.param` file and the bytes of the `.bin` file.

    Input `image` [3, height, width] of any size: pixels 0..255 in the profile's channel order less the profile's mean
    (and, for `insightface`, padded).  Outputs: the nine maps `head.pL.class` [4, h, w], `.box` [8, h, w] and
    `.landmark` [20, h, w], L = 3, 4, 5, which is how ncnn users write such networks; activations are part of the
    convolutions, as ncnn's own optimiser would leave them.
    """
    layers = weights.layers()
    writer = _Writer(layers)
    values: List[bytes] = []
    writer.produce("Input", "image", [], "image")
    for layer in layers:
        if isinstance(layer, DeformConv):
            raise ConversionError(f"--ncnn: expected a network without deformable convolution, found {weights.architecture}")
        if isinstance(layer, Conv):
            kind = "Convolution" if layer.groups == 1 else "ConvolutionDepthWise"
            writer.produce(kind, layer.name, [writer.take(layer.source)], layer.name, _conv_parameters(layer))
            values.append(_RAW_FP32)
            values += [
                weights.parameters[f"{layer.name}.{part}"].astype("<f4").tobytes() for part in ("weight", "bias")
            ]
        elif isinstance(layer, MaxPool):
            writer.produce("Pooling", layer.name, [writer.take(layer.source)], layer.name, "0=0 1=3 2=2 3=1 5=1")
        elif isinstance(layer, Add):
            total = layer.name + ".linear" if layer.relu else layer.name
            inputs = [writer.take(source) for source in layer.sources]
            if layer.relu:
                writer.write("BinaryOp", total, inputs, [total], "0=0")
                writer.produce("ReLU", layer.name, [total], layer.name)
            else:
                writer.produce("BinaryOp", total, inputs, layer.name, "0=0")
        elif isinstance(layer, UpsampleAdd):
            upsampled = layer.name + ".upsampled"
            writer.write(
                "Interp", upsampled, [writer.take(layer.coarse), writer.take(layer.fine)], [upsampled], "0=1 5=1"
            )
            writer.produce("BinaryOp", layer.name, [writer.take(layer.fine), upsampled], layer.name, "0=0")
        elif isinstance(layer, ConcatRelu):
            concat = layer.name + ".concat"
            writer.write("Concat", concat, [writer.take(source) for source in layer.sources], [concat], "0=0")
            writer.produce("ReLU", layer.name, [concat], layer.name)
        else:
            raise TypeError(f"unknown layer {layer!r}")
    return writer.text(), b"".join(values)


def output_names() -> List[str]:
    return [head_name(level, head) for head, _ in HEADS for level in LEVELS]
