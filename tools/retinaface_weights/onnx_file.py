"""ONNX models: exports of the known networks, whatever wrote them.

BatchNorm may be folded or not; the input may be scaled in the graph; anything may follow the heads (reordering, softmax,
decoding, suppression): it is only looked at for the order of the channels and the anchors' sizes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .assumptions import Sizes
from .errors import ConversionError
from .folding import Norm
from .graph import ANCHOR_MAJOR, CLASS_MAJOR, Found, HeadConv, Matcher, Scaling, Value, arrange_heads, find_network
from .network import ANCHORS, LEVELS, Conv, Layer
from .protobuf import Message

_DTYPES = {1: "<f4", 2: "u1", 3: "i1", 5: "<i2", 6: "<i4", 7: "<i8", 9: "u1", 10: "<f2", 11: "<f8", 16: "<u2"}
_BFLOAT16 = 16
_TRANSPARENT = ("Identity", "Dropout", "Cast")  # what they output is what they read, as far as weights are concerned
_ADD = ("Add", "Sum")


def is_onnx(data: bytes) -> bool:
    """Whether a file looks like an ONNX model: it begins with a version of the format and holds a graph."""
    if data[:1] != b"\x08":
        return False
    try:
        model = Message(memoryview(data))
        return model.has(7) and 0 < model.number(1) < 1000
    except ConversionError:
        # A damaged one; PyTorch, MXNet and the like begin with other bytes.
        return b"Conv" in data or b"ir_version" in data or b"onnx" in data[:200]


def _tensor(message: Message, what: str) -> np.ndarray:
    if message.has(13) or message.number(14) == 1:
        raise ConversionError(f"{what}: expected its values in the file, found a reference to another file")
    kind = message.number(2)
    if kind not in _DTYPES:
        raise ConversionError(f"{what}: expected a type of numbers that weights have, found ONNX type {kind}")
    dtype: "np.dtype[Any]" = np.dtype(_DTYPES[kind])
    shape = message.numbers(1)
    if len(shape) > 8 or any(size < 0 for size in shape) or math.prod(shape) > 1 << 28:
        raise ConversionError(f"{what}: expected at most 8 sizes of moderate size, found {shape!r:.60}")
    count = math.prod(shape)
    if message.has(9):
        raw = bytes(message.bytes(9))
        if len(raw) != count * dtype.itemsize:
            raise ConversionError(f"{what}: expected {count * dtype.itemsize} bytes for {shape}, found {len(raw)}")
        values = np.frombuffer(raw, dtype)
    elif kind in (1, 11):
        raw = b"".join(bytes(part) for part in message.list(4 if kind == 1 else 10))
        values = np.frombuffer(raw[: len(raw) // dtype.itemsize * dtype.itemsize], dtype)
    elif kind == 7:
        values = np.array(message.numbers(7), np.int64)
    else:
        numbers = np.array(message.numbers(5), np.int64)
        values = numbers.astype("<u2").view("<f2") if kind == 10 else numbers.astype(dtype)
    if values.size != count:
        raise ConversionError(f"{what}: expected {count} values for {shape}, found {values.size}")
    if kind == _BFLOAT16:
        values = (values.astype("<u4") << 16).view("<f4")
    return values.reshape(shape)


@dataclass
class _Node:
    operator: str
    name: str
    inputs: List[str]
    outputs: List[str]
    attributes: Dict[str, Message]
    what: str = field(init=False)

    def __post_init__(self) -> None:
        self.what = f"graph node {self.name or self.outputs[0]!r:.60} ({self.operator:.40})"

    def integers(self, name: str, default: Sequence[int]) -> List[int]:
        return self.attributes[name].numbers(8) if name in self.attributes else list(default)

    def integer(self, name: str, default: int) -> int:
        return self.attributes[name].number(3) if name in self.attributes else default

    def number(self, name: str, default: float) -> float:
        return self.attributes[name].float(2, 0.0) if name in self.attributes else default

    def text(self, name: str, default: str) -> str:
        return self.attributes[name].text(4) if name in self.attributes else default

    def expect(self, what: str, expected: Any, found: Any) -> None:
        if expected != found:
            raise ConversionError(f"{self.what}: expected {what} {expected}, found {found}")


class OnnxModel:
    """A model's graph: nodes by what they output, constants by name."""

    def __init__(self, data: bytes) -> None:
        model = Message(memoryview(data))
        if not model.has(7):
            raise ConversionError("ONNX model: expected a graph, found none")
        graph = Message(model.bytes(7))
        self.metadata = {entry.text(1): entry.text(2) for entry in model.messages(14)}
        self.constants: Dict[str, np.ndarray] = {}
        for message in graph.messages(5):
            name = message.text(8)
            if name in self.constants:
                raise ConversionError(f"tensor {name!r:.80}: expected once, found twice")
            self.constants[name] = _tensor(message, f"tensor {name!r:.80}")
        if graph.has(15):
            raise ConversionError("ONNX model: expected dense tensors, found sparse ones")
        self.outputs = [message.text(1) for message in graph.messages(12)]
        self.inputs = [name for name in (message.text(1) for message in graph.messages(11)) if name not in self.constants]
        self.nodes: List[_Node] = []
        self.makers: Dict[str, _Node] = {}
        self.readers: Dict[str, List[_Node]] = {}
        for message in graph.messages(1):
            attributes = {attribute.text(1): attribute for attribute in message.messages(5)}
            outputs = [name for name in message.texts(2) if name]
            if not outputs:
                raise ConversionError(f"graph node {message.text(3)!r:.60}: expected an output, found none")
            node = _Node(message.text(4), message.text(3), message.texts(1), outputs, attributes)
            self._add(node)
        if not any(node.operator == "Conv" for node in self.nodes):
            kinds = ", ".join(sorted({node.operator for node in self.nodes})[:6]) or "none"
            raise ConversionError(f"ONNX model: expected convolutions (Conv), found nodes of other kinds: {kinds}")

    def _add(self, node: _Node) -> None:
        for name in node.outputs:
            if name in self.makers or name in self.constants:
                raise ConversionError(f"{node.what}: expected an output of its own, found {name!r:.60} made twice")
        for name in node.inputs:
            if name and name not in self.makers and name not in self.constants and name not in self.inputs:
                raise ConversionError(f"{node.what}: expected inputs from earlier nodes, found {name!r:.60}")
        self.nodes.append(node)
        for name in node.outputs:
            self.makers[name] = node
        for name in node.inputs:
            self.readers.setdefault(name, []).append(node)
        if node.operator == "Constant":
            value = node.attributes
            if "value" in value:
                tensor = _tensor(Message(value["value"].bytes(5)), node.what)
            elif "value_float" in value:
                tensor = np.array(value["value_float"].float(2, 0.0))
            elif "value_int" in value:
                tensor = np.array(value["value_int"].number(3))
            elif "value_ints" in value:
                tensor = np.array(value["value_ints"].numbers(8), np.int64)
            else:
                return  # texts, sparse values, lists of floats: no weights
            self.constants[node.outputs[0]] = tensor
        elif node.operator in _TRANSPARENT and node.inputs and node.inputs[0] in self.constants:
            self.constants[node.outputs[0]] = self.constants[node.inputs[0]]

    def behind(self, value: str) -> str:
        """The value without nodes that change nothing."""
        while value in self.makers and self.makers[value].operator in _TRANSPARENT:
            value = self.makers[value].inputs[0]
        return value


class _Matcher(Matcher):
    """How an ONNX graph writes a network; a value is its name."""

    def __init__(self, model: OnnxModel, layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        self._model = model

    def describe(self, value: Value) -> str:
        node = self._model.makers.get(str(value))
        return f"graph input {value!r:.60}" if node is None else node.what

    def _maker(self, value: Value, *operators: str) -> _Node:
        name = self._model.behind(str(value))
        node = self._model.makers.get(name)
        if node is None or node.operator not in operators:
            raise ConversionError(f"{self.describe(name)}: expected {' or '.join(operators)} there")
        if not node.inputs:
            raise ConversionError(f"{node.what}: expected an input, found none")
        return node

    def _is(self, value: Value, *operators: str) -> bool:
        node = self._model.makers.get(self._model.behind(str(value)))
        return node is not None and node.operator in operators

    def _constant(self, node: _Node, position: int) -> np.ndarray:
        name = node.inputs[position] if position < len(node.inputs) else ""
        if name not in self._model.constants:
            raise ConversionError(f"{node.what}: expected a constant as input {position}, found {name or 'none'!r:.60}")
        return self._model.constants[name]

    def match(self, name: str, value: Value) -> None:
        super().match(name, self._model.behind(str(value)))

    def activation(self, value: Value) -> Tuple[float, Value]:
        node = self._maker(value, "Relu", "LeakyRelu", "PRelu")
        if node.operator == "Relu":
            return 0.0, node.inputs[0]
        if node.operator == "LeakyRelu":
            return float(f"{node.number('alpha', 0.01):.6g}"), node.inputs[0]
        slopes = self._constant(node, 1)
        if slopes.size == 0 or slopes.min() != slopes.max():
            raise ConversionError(f"{node.what}: expected one slope, found {slopes.size} different ones")
        return float(f"{slopes.flat[0]:.6g}"), node.inputs[0]

    def norm(self, value: Value) -> Tuple[Optional[Norm], Value]:
        if not self._is(value, "BatchNormalization"):
            return None, value
        node = self._maker(value, "BatchNormalization")
        if len(node.inputs) != 5:
            raise ConversionError(f"{node.what}: expected 5 inputs, found {len(node.inputs)}")
        for position in range(1, 5):
            self._constant(node, position)
        epsilon = node.number("epsilon", 1e-5)
        if not 0 < epsilon < 1e-2:
            raise ConversionError(f"{node.what}: expected an epsilon of 0..0.01, found {epsilon:g}")
        # As written: 1e-5, not the float32 next to it.
        return Norm(*node.inputs[1:], float(f"{epsilon:.6g}")), node.inputs[0]

    def convolution(self, value: Value, conv: Conv) -> Tuple[str, Optional[str], Value]:
        node = self._maker(value, "Conv")
        node.expect("auto_pad", "NOTSET", node.text("auto_pad", "NOTSET"))
        weight = self._constant(node, 1)
        node.expect("a weight of shape", list(conv.weight_shape), list(weight.shape))
        node.expect("strides", [conv.stride] * 2, node.integers("strides", (1, 1)))
        node.expect("pads", [conv.padding] * 4, node.integers("pads", (0,) * 4))
        node.expect("dilations", [1, 1], node.integers("dilations", (1, 1)))
        node.expect("group", conv.groups, node.integer("group", 1))
        bias = node.inputs[2] if len(node.inputs) > 2 and node.inputs[2] else None
        if bias is not None:
            self._constant(node, 2)
        return node.inputs[1], bias, node.inputs[0]

    def concatenated(self, value: Value, count: int) -> List[Value]:
        node = self._maker(value, "Concat")
        node.expect("axis", 1, node.integer("axis", 1) % 4)
        node.expect("inputs", count, len(node.inputs))
        return list(node.inputs)

    def upsampled_sum(self, value: Value) -> Tuple[Value, Value]:
        node = self._maker(value, *_ADD)
        node.expect("inputs", 2, len(node.inputs))
        fine, coarse = node.inputs
        if not is_upsampled(self._model, coarse):
            fine, coarse = coarse, fine
        while self._is(coarse, "Slice"):
            self._check_crop(self._maker(coarse, "Slice"))
            coarse = self._maker(coarse, "Slice").inputs[0]
        resize = self._maker(coarse, "Resize", "Upsample")
        resize.expect("mode", "nearest", resize.text("mode", "nearest"))
        place = 2 if len(resize.inputs) > 2 else 1
        scales = self._model.constants.get(resize.inputs[place]) if len(resize.inputs) > place else None
        if scales is not None and scales.dtype.kind == "f" and scales.size == 4:
            found = [float(scale) for scale in scales]
            if found[:2] != [1, 1] or not 1 <= min(found[2:]) <= max(found[2:]) <= 2:  # 2n - 1 from n: a little under 2
                raise ConversionError(f"{resize.what}: expected scales of 1, 1, 2, 2, found {found}")
        if resize.operator == "Resize" and len(resize.inputs) > 2:  # opset 11; before, there was only this way
            rounding = resize.text("nearest_mode", "round_prefer_floor")
            way = resize.text("coordinate_transformation_mode", "half_pixel")
            if not _repeats(way, rounding):
                raise ConversionError(f"{resize.what}: expected every pixel twice (asymmetric, floor), found {way}, {rounding}")
        return fine, resize.inputs[0]

    def sum(self, value: Value) -> List[Value]:
        node = self._maker(value, *_ADD)
        node.expect("inputs", 2, len(node.inputs))
        return list(node.inputs)

    def max_pool(self, value: Value) -> Value:
        node = self._maker(value, "MaxPool")
        node.expect("auto_pad", "NOTSET", node.text("auto_pad", "NOTSET"))
        for what, expected, default in (
            ("kernel_shape", [3, 3], ()), ("strides", [2, 2], (1, 1)), ("pads", [1] * 4, (0,) * 4), ("dilations", [1, 1], (1, 1)),
        ):  # fmt: skip
            node.expect(what, expected, node.integers(what, default))
        node.expect("ceil_mode", 0, node.integer("ceil_mode", 0))
        return node.inputs[0]

    def _check_crop(self, node: _Node) -> None:
        if len(node.inputs) > 1:
            starts = self._constant(node, 1).tolist()
        else:
            starts = node.integers("starts", ())
        if any(start != 0 for start in starts):
            raise ConversionError(f"{node.what}: expected a crop from 0 on, found starts {starts}")

    def image(self, value: Value) -> None:
        """The input, or the input less a mean, by a factor or a deviation; maybe with channels last before."""
        scaling = Scaling()
        name = self._model.behind(str(value))
        while name in self._model.makers:
            node = self._maker(name, "Sub", "Add", "Mul", "Div", "Transpose")
            if node.operator == "Transpose":
                node.expect("perm", [0, 3, 1, 2], node.integers("perm", ()))
                name = self._model.behind(node.inputs[0])
                continue
            node.expect("inputs", 2, len(node.inputs))
            position = 1 if node.inputs[1] in self._model.constants else 0
            constant = self._constant(node, position)
            if position == 0 and node.operator in ("Sub", "Div"):
                raise ConversionError(f"{node.what}: expected pixels first and constants second, found the reverse")
            scaling.add(node.operator.lower(), constant, node.what)
            name = self._model.behind(node.inputs[1 - position])
        if name not in self._model.inputs:
            raise ConversionError(f"{self.describe(value)}: expected the graph's input, found {name!r:.60}")
        self.scaling = scaling.values()


def _repeats(way: str, rounding: str) -> bool:
    """Whether an upsampling by 2 takes source pixel i >> 1 for pixel i."""
    index = np.arange(1, 8)
    if way == "half_pixel":
        source = (index + 0.5) / 2 - 0.5
    elif way == "asymmetric":
        source = index / 2
    else:
        return False
    rounded = {
        "floor": np.floor(source), "ceil": np.ceil(source), "round_prefer_floor": np.ceil(source - 0.5),
        "round_prefer_ceil": np.floor(source + 0.5),
    }.get(rounding)  # fmt: skip
    return rounded is not None and bool((rounded == index >> 1).all())


def is_upsampled(model: OnnxModel, value: str) -> bool:
    node = model.makers.get(model.behind(value))
    while node is not None and node.operator == "Slice":
        node = model.makers.get(model.behind(node.inputs[0]))
    return node is not None and node.operator in ("Resize", "Upsample")


def _stride(model: OnnxModel, value: str) -> int:
    """Of a map, in pixels of the input: along the finer of two added maps."""
    stride = 1
    for _ in range(len(model.nodes) + 1):
        node = model.makers.get(value)
        if node is None:
            break
        if node.operator in ("Conv", "MaxPool"):
            stride *= max(1, *node.integers("strides", (1, 1)))
        following = node.inputs[0] if node.inputs else ""
        if node.operator in _ADD and len(node.inputs) > 1 and is_upsampled(model, following):
            following = node.inputs[1]
        value = following
    return stride


def _last_convolutions(model: OnnxModel) -> List[HeadConv]:
    """Convolutions from which no other one is reached."""
    reached: set = set()  # values that some convolution's input depends on
    stack = [node.inputs[0] for node in model.nodes if node.operator == "Conv" and node.inputs]
    while stack:
        value = stack.pop()
        if value in reached:
            continue
        reached.add(value)
        maker = model.makers.get(value)
        stack += [name for name in maker.inputs if name] if maker is not None else []
    result = []
    for node in model.nodes:
        if node.operator == "Conv" and len(node.inputs) > 1 and node.outputs[0] not in reached:
            weight = model.constants.get(node.inputs[1])
            channels = 0 if weight is None or weight.ndim != 4 else weight.shape[0]
            source = model.behind(node.inputs[0])
            result.append(HeadConv(node.outputs[0], source, channels, _stride(model, source)))
    return result


def _next(model: OnnxModel, value: str) -> Optional[_Node]:
    """The one node that does something with a value."""
    readers = model.readers.get(value, [])
    while len(readers) == 1 and readers[0].operator in _TRANSPARENT:
        readers = model.readers.get(readers[0].outputs[0], [])
    return readers[0] if len(readers) == 1 else None


def _order(model: OnnxModel, head: str, value: str) -> Optional[str]:
    """The order of a class head's channels, from its name or from what is done with it."""
    if value == head:  # as this project writes it
        return ANCHOR_MAJOR
    node = _next(model, value)
    if node is None:
        return None
    if node.operator == "Transpose":
        node.expect("perm", [0, 2, 3, 1], node.integers("perm", ()))
        return ANCHOR_MAJOR
    if node.operator == "Reshape":
        following = _next(model, node.outputs[0])
        if following is not None and following.operator == "Softmax":
            following.expect("axis", 1, following.integer("axis", -1) % 4)
            return CLASS_MAJOR
    return None


def _anchor_sizes(model: OnnxModel) -> Optional[Sizes]:
    """The sizes of anchors that are constants of the decoding: [N, 4] or [N, 2] and [N, 2], normalised by the input's size."""
    pairs = []
    for value in model.constants.values():
        flat = value.reshape(-1, value.shape[-1]) if value.ndim in (2, 3) and value.shape[-1] in (2, 4) else None
        if flat is not None and flat.dtype.kind == "f" and len(flat) > 100:
            pairs += [flat[:, 2 * i : 2 * i + 2].astype(np.float64) for i in range(flat.shape[1] // 2)]
    count = len(LEVELS) * ANCHORS
    for centres in pairs:
        for sizes in pairs:
            kinds = np.unique(np.round(sizes, 6), axis=0)
            if len(sizes) == len(centres) and len(kinds) == count and 0 < centres[0, 0] < 1 and 0 < centres[0, 1] < 1:
                width, height = 4 / centres[0]  # the first centre is at (4, 4)
                pixels = kinds * [width, height]
                if np.allclose(pixels[:, 0], pixels[:, 1], rtol=1e-3):
                    found = sorted(float(round(size, 1)) for size in pixels[:, 0])
                    return tuple(tuple(found[ANCHORS * i : ANCHORS * (i + 1)]) for i in range(len(LEVELS)))
    return None


def read_model(data: bytes, architecture: Optional[str] = None) -> Tuple[Found, Dict[str, np.ndarray], Dict[str, str]]:
    """Find a known network (or the one named) in a model: where it is, the model's constants, and its metadata."""
    model = OnnxModel(data)
    quantised = [node for node in model.nodes if node.operator in ("QLinearConv", "DequantizeLinear", "ConvInteger")]
    if quantised:
        raise ConversionError(f"{quantised[0].what}: expected weights as they were trained, found quantised ones")
    heads = arrange_heads(_last_convolutions(model), "ONNX model")
    name, matcher = find_network(lambda layers: _Matcher(model, layers), heads, architecture, "the graph")
    orders = {_order(model, head, str(value)) for head, value in heads.items() if head.endswith(".class")}
    if len(orders) > 1:
        raise ConversionError("ONNX model: expected the three class heads treated alike, found differences")
    mean, std = matcher.scaling or (None, None)
    notes = [f"graph of {len(model.nodes)} nodes agrees with {name}, slope {matcher.slope():g}"]
    found = Found(name, matcher.sources, matcher.slope(), orders.pop(), mean, std, notes=notes)
    found.sizes = _anchor_sizes(model)
    found.own = set(heads) == set(heads.values())
    return found, model.constants, model.metadata
