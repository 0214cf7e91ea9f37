"""ncnn models: the `.param` text and the `.bin` of the known networks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .errors import ConversionError
from .folding import Norm
from .graph import ANCHOR_MAJOR, CLASS_MAJOR, Found, HeadConv, Matcher, Scaling, Value, arrange_heads, find_network
from .network import Conv, Layer

_MAGIC = b"7767517"
_CONVOLUTIONS = ("Convolution", "ConvolutionDepthWise")
# Layers without values in the `.bin` that networks of this kind are written with, before or behind the heads.
_PLAIN = (
    "Input", "Split", "ReLU", "Concat", "BinaryOp", "Eltwise", "Interp", "Crop", "Softmax", "Reshape", "Permute", "Slice",
    "Noop", "Dropout", "Sigmoid", "Clip", "ExpandDims", "Squeeze", "Flatten", "UnaryOp", "Padding", "Exp", "Power", "Pooling",
)  # fmt: skip
_FP32, _RAW_FP32, _FP16 = 0, 0x0002C056, 0x01306B47
_TRANSPARENT = ("Split", "Noop", "Dropout")
_SCALARS = {0: "add", 1: "sub", 2: "mul", 3: "div"}  # BinaryOp's operations
_MAX_LAYERS = 20_000


def is_param(data: bytes) -> bool:
    return data[:7] == _MAGIC and data[7:8] in (b"\n", b"\r", b" ")


@dataclass
class _Layer:
    operator: str
    name: str
    inputs: List[str]
    outputs: List[str]
    parameters: Dict[int, str]

    @property
    def what(self) -> str:
        return f"layer {self.name!r:.60} ({self.operator:.40})"

    def integer(self, key: int, default: int = 0) -> int:
        return int(self.number(key, default))

    def number(self, key: int, default: float = 0.0) -> float:
        try:
            value = float(self.parameters[key]) if key in self.parameters else float(default)
            if not math.isfinite(value) or abs(value) > 1 << 31:
                raise ValueError
            return value
        except ValueError:
            raise ConversionError(f"{self.what}: expected a number as parameter {key}, found others") from None

    def numbers(self, key: int) -> List[float]:
        """An array: its length, then the values."""
        try:
            parts = [float(part) for part in self.parameters.get(key, "0").split(",")]
            if len(parts) != int(parts[0]) + 1:
                raise ValueError
            return parts[1:]
        except ValueError:
            raise ConversionError(f"{self.what}: expected an array as parameter {key}, found others") from None

    def expect(self, what: str, expected: Any, found: Any) -> None:
        if expected != found:
            raise ConversionError(f"{self.what}: expected {what} {expected}, found {found}")


def _read_param(data: bytes) -> List[_Layer]:
    try:
        lines = data.decode("ascii").splitlines()
        counts = [int(part) for part in lines[1].split()]
    except (UnicodeDecodeError, ValueError, IndexError):
        raise ConversionError("ncnn param: expected a text with the numbers of layers and blobs, found others") from None
    if len(counts) != 2 or not 0 < counts[0] <= _MAX_LAYERS:
        raise ConversionError(f"ncnn param: expected 1 to {_MAX_LAYERS} layers, found {lines[1]!r:.40}")
    layers: List[_Layer] = []
    made: set = set()
    for number, line in enumerate(lines[2:], 3):
        parts = line.split()
        if not parts:
            continue
        try:
            inputs, outputs = int(parts[2]), int(parts[3])
            names = parts[4 : 4 + inputs + outputs]
            pairs = [part.split("=", 1) for part in parts[4 + inputs + outputs :]]
            if inputs < 0 or outputs < 0 or len(names) != inputs + outputs:
                raise ValueError
            parameters = {int(key): value for key, value in pairs}
        except (ValueError, IndexError):
            raise ConversionError(f"ncnn param: expected a layer in line {number}, found {line!r:.60}") from None
        layer = _Layer(parts[0], parts[1], names[:inputs], names[inputs:], parameters)
        for name in layer.inputs:
            if name not in made:
                raise ConversionError(f"{layer.what}: expected inputs from earlier layers, found {name!r:.60}")
        for name in layer.outputs:
            if name in made:
                raise ConversionError(f"{layer.what}: expected an output of its own, found {name!r:.60} made twice")
            made.add(name)
        layers.append(layer)
    if len(layers) != counts[0]:
        raise ConversionError(f"ncnn param: expected {counts[0]} layers, found {len(layers)} (file cut short?)")
    return layers


class _Bin:
    """The values, one layer after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def _take(self, count: int, what: str) -> bytes:
        part = self._data[self._position : self._position + count]
        if count < 0 or len(part) != count:
            raise ConversionError(f"{what}: expected {count} bytes of values, found {len(part)} (file cut short?)")
        self._position += count
        return part

    def plain(self, count: int, what: str) -> np.ndarray:
        return np.frombuffer(self._take(4 * count, what), "<f4")

    def tagged(self, count: int, what: str) -> np.ndarray:
        """A weight, with the tag that says how it is stored."""
        tag = int.from_bytes(self._take(4, what), "little")
        if tag in (_FP32, _RAW_FP32):
            return self.plain(count, what)
        if tag == _FP16:
            data = self._take((2 * count + 3) // 4 * 4, what)
            return np.frombuffer(data[: 2 * count], "<f2")
        raise ConversionError(f"{what}: expected values as float32 or float16, found tag {tag:#x} (8-bit or a table)")

    def finish(self) -> None:
        left = len(self._data) - self._position
        if left:
            raise ConversionError(f"ncnn bin: expected {self._position} bytes, found {left} more")


def _read_bin(layers: Sequence[_Layer], data: bytes) -> Dict[str, np.ndarray]:
    """The values of every layer that has some, as `<layer>.<what>`."""
    tensors: Dict[str, np.ndarray] = {}
    values = _Bin(data)

    def store(layer: _Layer, kind: str, array: np.ndarray) -> None:
        name = f"{layer.name}.{kind}"
        if name in tensors:
            raise ConversionError(f"{layer.what}: expected a name of its own, found it twice")
        tensors[name] = array

    for layer in layers:
        if layer.operator in _CONVOLUTIONS:
            channels, size = layer.integer(0), layer.integer(6)
            kernel = (layer.integer(11, layer.integer(1)), layer.integer(1))
            area = kernel[0] * kernel[1]
            if channels < 1 or area < 1 or size < 1 or size % (channels * area):
                raise ConversionError(f"{layer.what}: expected a weight of whole filters, found {size} values")
            if layer.integer(8):
                raise ConversionError(f"{layer.what}: expected float32 or float16 weights, found 8-bit ones")
            weight = values.tagged(size, layer.what)
            store(layer, "weight", weight.reshape(channels, size // (channels * area), *kernel))
            if layer.integer(5):
                store(layer, "bias", values.plain(channels, layer.what))
        elif layer.operator == "BatchNorm":
            for kind in ("gamma", "mean", "variance", "beta"):
                store(layer, kind, values.plain(layer.integer(0), layer.what))
        elif layer.operator == "PReLU":
            store(layer, "slope", values.plain(layer.integer(0), layer.what))
        elif layer.operator not in _PLAIN:
            raise ConversionError(f"{layer.what}: expected layers of a known network, found one of another kind")
    values.finish()
    return tensors


class _Net:
    """Layers by what they output; a fused activation as a layer of its own."""

    def __init__(self, layers: Sequence[_Layer], tensors: Dict[str, np.ndarray]) -> None:
        self.tensors = tensors
        self.layers: List[_Layer] = []
        self.makers: Dict[str, _Layer] = {}
        self.readers: Dict[str, List[_Layer]] = {}
        for layer in layers:
            activation = layer.integer(9) if layer.operator in _CONVOLUTIONS else 0
            if activation == 0:
                self._add(layer)
                continue
            if activation not in (1, 2):
                raise ConversionError(f"{layer.what}: expected ReLU, leaky or not, found activation {activation}")
            slope = layer.numbers(-23310)[0] if activation == 2 and layer.numbers(-23310) else 0.0
            output = layer.outputs[0]
            before = output + " before its activation"
            self._add(_Layer(layer.operator, layer.name, layer.inputs, [before], layer.parameters))
            self._add(_Layer("ReLU", layer.name, [before], [output], {0: repr(slope)}))

    def _add(self, layer: _Layer) -> None:
        if layer.operator != "Input" and not layer.inputs:
            raise ConversionError(f"{layer.what}: expected an input, found none")
        self.layers.append(layer)
        for name in layer.outputs:
            self.makers[name] = layer
        for name in layer.inputs:
            self.readers.setdefault(name, []).append(layer)

    def behind(self, value: str) -> str:
        while self.makers[value].operator in _TRANSPARENT:
            value = self.makers[value].inputs[0]
        return value


class _Matcher(Matcher):
    """How ncnn writes a network; a value is a blob's name."""

    def __init__(self, net: _Net, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        self._net = net

    def match(self, name: str, value: Value) -> None:
        super().match(name, self._net.behind(str(value)))

    def describe(self, value: Value) -> str:
        return self._net.makers[str(value)].what

    def _maker(self, value: Value, *operators: str) -> _Layer:
        layer = self._net.makers[self._net.behind(str(value))]
        if layer.operator not in operators:
            raise ConversionError(f"{layer.what}: expected {' or '.join(operators)} there")
        return layer

    def activation(self, value: Value) -> Tuple[float, Value]:
        layer = self._maker(value, "ReLU", "PReLU")
        if layer.operator == "ReLU":
            return float(f"{layer.number(0):.6g}"), layer.inputs[0]
        slopes = self._net.tensors[f"{layer.name}.slope"]
        if slopes.size == 0 or slopes.min() != slopes.max():
            raise ConversionError(f"{layer.what}: expected one slope, found {slopes.size} different ones")
        return float(f"{slopes[0]:.6g}"), layer.inputs[0]

    def norm(self, value: Value) -> Tuple[Optional[Norm], Value]:
        layer = self._net.makers[self._net.behind(str(value))]
        if layer.operator != "BatchNorm":
            return None, value
        names = [f"{layer.name}.{kind}" for kind in ("gamma", "beta", "mean", "variance")]
        return Norm(*names, layer.number(1)), layer.inputs[0]

    def convolution(self, value: Value, conv: Conv) -> Tuple[str, Optional[str], Value]:
        layer = self._maker(value, *_CONVOLUTIONS)
        weight, bias = f"{layer.name}.weight", f"{layer.name}.bias"
        layer.expect("a weight of shape", list(conv.weight_shape), list(self._net.tensors[weight].shape))
        stride, pad, dilation = layer.integer(3, 1), layer.integer(4), layer.integer(2, 1)
        layer.expect("strides", [conv.stride] * 2, [layer.integer(13, stride), stride])
        pads = [layer.integer(14, pad), pad, layer.integer(16, layer.integer(14, pad)), layer.integer(15, pad)]
        layer.expect("pads", [conv.padding] * 4, pads)
        layer.expect("dilations", [1, 1], [layer.integer(12, dilation), dilation])
        layer.expect("groups", conv.groups, layer.integer(7, 1))
        return weight, bias if bias in self._net.tensors else None, layer.inputs[0]

    def concatenated(self, value: Value, count: int) -> List[Value]:
        layer = self._maker(value, "Concat")
        layer.expect("axis", 0, layer.integer(0))
        layer.expect("inputs", count, len(layer.inputs))
        return list(layer.inputs)

    def upsampled_sum(self, value: Value) -> Tuple[Value, Value]:
        layer = self._maker(value, "BinaryOp", "Eltwise")
        self._expect_sum(layer)
        fine, coarse = layer.inputs
        if not is_upsampled(self._net, coarse):
            fine, coarse = coarse, fine
        crop = self._net.makers[self._net.behind(coarse)]
        if crop.operator == "Crop":
            offsets = [crop.integer(key) for key in (0, 1, 2)]
            if any(offset not in (0, -233) for offset in offsets):
                raise ConversionError(f"{crop.what}: expected a crop from 0 on, found offsets {offsets}")
            coarse = crop.inputs[0]
        resize = self._maker(coarse, "Interp")
        resize.expect("the kind", 1, resize.integer(0))  # nearest
        if len(resize.inputs) == 1 and not resize.integer(3) and not resize.integer(4):
            resize.expect("scales", [2.0, 2.0], [resize.number(1, 1.0), resize.number(2, 1.0)])
        return fine, resize.inputs[0]

    def sum(self, value: Value) -> List[Value]:
        layer = self._maker(value, "BinaryOp", "Eltwise")
        self._expect_sum(layer)
        return list(layer.inputs)

    def _expect_sum(self, layer: _Layer) -> None:
        layer.expect("the operation", 0 if layer.operator == "BinaryOp" else 1, layer.integer(0))
        layer.expect("inputs", 2, len(layer.inputs))
        if layer.operator == "Eltwise" and any(factor != 1 for factor in layer.numbers(-23301)):
            raise ConversionError(f"{layer.what}: expected a plain sum, found factors")

    def max_pool(self, value: Value) -> Value:
        layer = self._maker(value, "Pooling")
        layer.expect("the kind (maximum)", 0, layer.integer(0))
        layer.expect("a global one", 0, layer.integer(4))
        kernel, stride, pad = layer.integer(1), layer.integer(2, 1), layer.integer(3)
        layer.expect("kernel", [3, 3], [layer.integer(11, kernel), kernel])
        layer.expect("strides", [2, 2], [layer.integer(12, stride), stride])
        layer.expect("pads", [1] * 4, [pad, layer.integer(13, pad), layer.integer(14, pad), layer.integer(15, pad)])
        layer.expect("padding of mode", 1, layer.integer(5))  # as given: no more outputs than whole steps give
        return layer.inputs[0]

    def image(self, value: Value) -> None:
        """The input, or the input with scalars added and multiplied."""
        scaling = Scaling()
        layer = self._net.makers[self._net.behind(str(value))]
        while layer.operator == "BinaryOp" and layer.integer(1):
            operation = layer.integer(0)
            if operation not in _SCALARS or len(layer.inputs) != 1:
                raise ConversionError(f"{layer.what}: expected a scalar added, subtracted, multiplied or divided by there")
            scaling.add(_SCALARS[operation], np.array(layer.number(2)), layer.what)
            layer = self._net.makers[self._net.behind(layer.inputs[0])]
        if layer.operator != "Input":
            raise ConversionError(f"{layer.what}: expected the input there")
        self.scaling = scaling.values()


def is_upsampled(net: _Net, value: str) -> bool:
    layer = net.makers[net.behind(value)]
    if layer.operator == "Crop":
        layer = net.makers[net.behind(layer.inputs[0])]
    return layer.operator == "Interp"


def _stride(net: _Net, value: str) -> int:
    """Of a map, in pixels of the input: along the finer of two added maps."""
    stride = 1
    while net.makers[value].operator != "Input":
        layer = net.makers[value]
        if layer.operator in _CONVOLUTIONS:
            stride *= max(1, layer.integer(3, 1))
        elif layer.operator == "Pooling":
            stride *= max(1, layer.integer(2, 1))
        following = layer.inputs[0]
        if layer.operator in ("BinaryOp", "Eltwise") and is_upsampled(net, following) and len(layer.inputs) > 1:
            following = layer.inputs[1]
        value = following
    return stride


def _last_convolutions(net: _Net) -> List[HeadConv]:
    """Convolutions from which no other one is reached."""
    reached: set = set()
    for layer in reversed(net.layers):  # readers come after what they read
        if layer.operator in _CONVOLUTIONS or reached.intersection(layer.outputs):
            reached.update(layer.inputs)
    return [
        HeadConv(layer.outputs[0], net.behind(layer.inputs[0]), layer.integer(0), _stride(net, layer.inputs[0]))
        for layer in net.layers
        if layer.operator in _CONVOLUTIONS and layer.outputs[0] not in reached
    ]


def _order(net: _Net, head: str, value: str) -> Optional[str]:
    """The order of a class head's channels, from its name or from what is done with it."""
    if value == head:  # as this project writes it
        return ANCHOR_MAJOR
    readers = net.readers.get(value, [])
    while len(readers) == 1 and readers[0].operator in _TRANSPARENT:
        readers = net.readers.get(readers[0].outputs[0], [])
    if len(readers) != 1:
        return None
    if readers[0].operator == "Permute":
        readers[0].expect("order", 3, readers[0].integer(0))  # channels last
        return ANCHOR_MAJOR
    following = net.readers.get(readers[0].outputs[0], [])
    if readers[0].operator == "Reshape" and len(following) == 1 and following[0].operator == "Softmax":
        following[0].expect("axis", 0, following[0].integer(0))
        return CLASS_MAJOR
    return None


def read_model(param: bytes, values: bytes, architecture: Optional[str] = None) -> Tuple[Found, Dict[str, np.ndarray]]:
    """Find a known network (or the one named) in a model: where it is, and the values."""
    layers = _read_param(param)
    tensors = _read_bin(layers, values)
    net = _Net(layers, tensors)
    heads = arrange_heads(_last_convolutions(net), "ncnn model")
    name, matcher = find_network(lambda parts: _Matcher(net, parts), heads, architecture, "the model")
    orders = {_order(net, head, str(value)) for head, value in heads.items() if head.endswith(".class")}
    if len(orders) > 1:
        raise ConversionError("ncnn model: expected the three class heads treated alike, found differences")
    notes = [f"model of {len(layers)} layers agrees with {name}, slope {matcher.slope():g}"]
    own = set(heads) == set(heads.values())
    mean, std = matcher.scaling or (None, None)
    return Found(name, matcher.sources, matcher.slope(), orders.pop(), mean, std, own=own, notes=notes), tensors
