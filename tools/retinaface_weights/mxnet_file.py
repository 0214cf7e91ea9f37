"""MXNet models: an NDArray list (`.params`) and the graph that says what it means (`-symbol.json`).

Two orders differ from the canonical ones.  Levels: the graph's nine outputs come coarse to fine.  Channels: MXNet files
have the large anchor first and, for the class head, all background channels before all face channels.
"""

from __future__ import annotations

import json
import math
import re
import struct
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .errors import ConversionError
from .folding import ConvSource, Norm
from .graph import CLASS_MAJOR, Found, Matcher, Scaling, Value, find_network
from .network import ANCHORS, HEADS, LEVELS, Conv, Layer, head_name

_LIST_MAGIC = 0x112
_ARRAY_V1, _ARRAY_V2, _ARRAY_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DTYPES = {0: "<f4", 1: "<f8", 2: "<f2"}
_MAX_ARRAYS = 1 << 16
_SCALARS = {
    "_minus_scalar": "sub", "_MinusScalar": "sub", "_plus_scalar": "add", "_PlusScalar": "add",
    "_mul_scalar": "mul", "_MulScalar": "mul", "_div_scalar": "div", "_DivScalar": "div",
}  # fmt: skip
_SUMS = ("elemwise_add", "_Plus", "_plus", "broadcast_add")


def is_params(data: bytes) -> bool:
    return data[:8] == _LIST_MAGIC.to_bytes(8, "little")


class _Cursor:
    """Reads little-endian fields; running out of bytes is an error that says where."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def take(self, count: int) -> bytes:
        end = self._position + count
        if end > len(self._data):
            raise ConversionError(
                f"NDArray list: expected {count} bytes at offset {self._position}, "
                f"found {len(self._data) - self._position} (file cut short?)"
            )
        part = self._data[self._position : end]
        self._position = end
        return part

    def unpack(self, form: str) -> int:
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))[0]

    def at_end(self) -> bool:
        return self._position == len(self._data)


def _read_array(cursor: _Cursor, index: int) -> np.ndarray:
    magic = cursor.unpack("I")
    if magic not in (_ARRAY_V1, _ARRAY_V2, _ARRAY_V3):
        raise ConversionError(f"NDArray {index}: expected a magic number of version 1, 2 or 3, found {magic:#x}")
    if magic != _ARRAY_V1 and cursor.unpack("i") != 0:
        raise ConversionError(f"NDArray {index}: expected dense storage, found sparse")
    dimensions = cursor.unpack("i")
    if not 1 <= dimensions <= 8:
        raise ConversionError(f"NDArray {index}: expected 1 to 8 dimensions, found {dimensions}")
    shape = tuple(cursor.unpack("q") for _ in range(dimensions))
    if min(shape) < 1:
        raise ConversionError(f"NDArray {index}: expected sizes of at least 1, found {list(shape)}")
    cursor.take(8)  # the device it was on
    kind = cursor.unpack("i")
    if kind not in _DTYPES:
        raise ConversionError(f"NDArray {index}: expected a floating-point type (0, 1, 2), found type {kind}")
    dtype = np.dtype(_DTYPES[kind])
    return np.frombuffer(cursor.take(math.prod(shape) * dtype.itemsize), dtype).reshape(shape)


def read_params(data: bytes) -> Dict[str, np.ndarray]:
    """Tensors by name, the prefixes `arg:` and `aux:` removed."""
    cursor = _Cursor(data)
    if cursor.unpack("Q") != _LIST_MAGIC:
        raise ConversionError("NDArray list: expected MXNet's magic number, found another")
    cursor.unpack("Q")  # reserved
    count = cursor.unpack("Q")
    if count > _MAX_ARRAYS:
        raise ConversionError(f"NDArray list: expected at most {_MAX_ARRAYS} arrays, found {count}")
    arrays = [_read_array(cursor, index) for index in range(count)]
    names = cursor.unpack("Q")
    if names != count:
        raise ConversionError(f"NDArray list: expected {count} names, found {names}")
    result: Dict[str, np.ndarray] = {}
    for array in arrays:
        raw = cursor.take(cursor.unpack("Q"))
        try:
            name = raw.decode("utf-8")
        except UnicodeDecodeError:
            raise ConversionError(f"NDArray list: expected names in UTF-8, found {raw[:40]!r}") from None
        name = re.sub(r"^(arg|aux):", "", name)
        if name in result:
            raise ConversionError(f"tensor {name!r:.80}: expected once, found twice")
        result[name] = array
    if not cursor.at_end():
        raise ConversionError("NDArray list: expected the file to end after the names, found more bytes")
    return result


# The graph.


class _Node:
    """One node of the symbol graph with typed access to its attributes."""

    def __init__(self, index: int, raw: Any) -> None:
        if not isinstance(raw, dict) or not isinstance(raw.get("op"), str) or not isinstance(raw.get("name"), str):
            raise ConversionError(f"graph node {index}: expected op and name, found something else")
        self.operator: str = raw["op"]
        self.name: str = raw["name"]
        self.what = f"graph node {self.name!r:.60} ({self.operator:.40})"
        attributes = raw.get("attrs", raw.get("attr", raw.get("param"))) or {}
        if not isinstance(attributes, dict) or not all(isinstance(value, str) for value in attributes.values()):
            raise ConversionError(f"{self.what}: expected attributes as strings, found something else")
        self._attributes: Dict[str, str] = attributes
        self.inputs: List[int] = []
        inputs = raw.get("inputs", [])
        if not isinstance(inputs, list):
            raise ConversionError(f"{self.what}: expected a list of inputs, found something else")
        for reference in inputs:
            if (
                not isinstance(reference, list)
                or len(reference) not in (2, 3)
                or not all(type(number) is int for number in reference)
                or not 0 <= reference[0] < index
                or reference[1] != 0
            ):
                raise ConversionError(f"{self.what}: expected inputs from earlier nodes, found {reference!r:.60}")
            self.inputs.append(reference[0])

    def expect_operator(self, *operators: str) -> None:
        if self.operator not in operators:
            raise ConversionError(f"{self.what}: expected {' or '.join(operators)} there, found {self.operator!r:.40}")

    def expect_inputs(self, count: int) -> None:
        if len(self.inputs) != count:
            raise ConversionError(f"{self.what}: expected {count} inputs, found {len(self.inputs)}")

    def expect(self, key: str, expected: Any, default: Any) -> None:
        """An attribute must have this value; `default` is what MXNet takes where it is not given."""
        found = self.value(key, default)
        if found != expected:
            raise ConversionError(f"{self.what}: expected {key} {expected}, found {found}")

    def value(self, key: str, default: Any) -> Any:
        """The attribute in the type of `default`."""
        text = self._attributes.get(key)
        if text is None or (text == "None" and key in ("layout", "axis")):
            return default
        try:
            if isinstance(default, bool):
                return {"True": True, "1": True, "False": False, "0": False}[text]
            if isinstance(default, tuple):
                return tuple(
                    int(number.strip().rstrip("L")) for number in text.strip("()[] ").split(",") if number.strip()
                )
            if isinstance(default, (int, float)):
                return type(default)(text)
            return text
        except (KeyError, ValueError):
            raise ConversionError(f"{self.what}: expected {key} like {default}, found {text!r:.40}") from None


class _Matcher(Matcher):
    """How an MXNet graph writes a network; a value is the index of a node."""

    def __init__(self, nodes: List[_Node], layers: Sequence[Layer]) -> None:
        super().__init__(layers)
        self._nodes = nodes
        self.visited: set = set()
        self.ignored: List[str] = []  # variables that mean nothing, such as a fixed gamma
        self.epsilons: set = set()

    def _node(self, index: int) -> _Node:
        self.visited.add(index)
        return self._nodes[index]

    def _variable(self, index: int) -> str:
        node = self._node(index)
        node.expect_operator("null")
        return node.name

    def describe(self, value: Value) -> str:
        return self._nodes[value].what

    def image(self, value: Value) -> None:
        """The input, or the input with scalars added and multiplied."""
        scaling = Scaling()
        node = self._node(value)
        while node.operator in _SCALARS:
            node.expect_inputs(1)
            scaling.add(_SCALARS[node.operator], np.array(node.value("scalar", 0.0)), node.what)
            node = self._node(node.inputs[0])
        node.expect_operator("null")
        self.scaling = scaling.values()

    def activation(self, value: Value) -> Tuple[float, Value]:
        node = self._node(value)
        node.expect_operator("Activation", "relu", "LeakyReLU")
        node.expect_inputs(1)
        if node.operator == "Activation":
            node.expect("act_type", "relu", "")
        if node.operator == "LeakyReLU":
            node.expect("act_type", "leaky", "leaky")
            return node.value("slope", 0.25), node.inputs[0]
        return 0.0, node.inputs[0]

    def skip_softmax(self, index: int, channels: int) -> int:
        """Reshape to two channels, softmax over them, reshape back: background channels come first."""
        for operators, key, expected in (
            (("Reshape", "reshape"), "shape", (0, channels, -1, 0)),
            (("SoftmaxActivation", "softmax"), "mode", "channel"),
            (("Reshape", "reshape"), "shape", (0, 2, -1, 0)),
        ):
            node = self._node(index)
            node.expect_operator(*operators)
            node.expect_inputs(1)
            if node.operator == "softmax":
                node.expect("axis", 1, -1)
            else:
                node.expect(key, expected, () if isinstance(expected, tuple) else "")
            index = node.inputs[0]
        return index

    def norm(self, value: Value) -> Tuple[Optional[Norm], Value]:
        node = self._node(value)
        if node.operator != "BatchNorm":  # folded already, a head, or what another layer would have to be
            return None, value
        node.expect_operator("BatchNorm")
        node.expect_inputs(5)
        node.expect("axis", 1, 1)
        epsilon = node.value("eps", 1e-3)
        if not 0 < epsilon < 1e-2:
            raise ConversionError(f"{node.what}: expected an eps of 0..0.01, found {epsilon}")
        self.epsilons.add(epsilon)
        gamma, beta, mean, variance = (self._variable(place) for place in node.inputs[1:])
        fixed = node.value("fix_gamma", True)
        if fixed:
            self.ignored.append(gamma)
        return Norm(None if fixed else gamma, beta, mean, variance, epsilon), node.inputs[0]

    def convolution(self, value: Value, conv: Conv) -> Tuple[str, Optional[str], Value]:
        node = self._node(value)
        node.expect_operator("Convolution")
        node.expect("kernel", (conv.kernel,) * 2, ())
        node.expect("stride", (conv.stride,) * 2, (1, 1))
        node.expect("pad", (conv.padding,) * 2, (0, 0))
        node.expect("dilate", (1, 1), (1, 1))
        node.expect("num_group", conv.groups, 1)
        node.expect("num_filter", conv.c_out, 0)
        node.expect("layout", "NCHW", "NCHW")
        biased = not node.value("no_bias", False)
        node.expect_inputs(3 if biased else 2)
        weight = self._variable(node.inputs[1])
        return weight, self._variable(node.inputs[2]) if biased else None, node.inputs[0]

    def concatenated(self, value: Value, count: int) -> List[Value]:
        node = self._node(value)
        node.expect_operator("Concat")
        node.expect_inputs(count)
        node.expect("dim", 1, 1)
        return list(node.inputs)

    def upsampled_sum(self, value: Value) -> Tuple[Value, Value]:
        node = self._node(value)
        node.expect_operator(*_SUMS)
        node.expect_inputs(2)
        fine, cropped = node.inputs
        if self._nodes[fine].operator == "Crop":
            fine, cropped = cropped, fine
        crop = self._node(cropped)
        crop.expect_operator("Crop")
        crop.expect_inputs(2)
        crop.expect("offset", (0, 0), (0, 0))
        crop.expect("center_crop", False, False)
        if crop.inputs[1] != fine:
            raise ConversionError(f"{crop.what}: expected a crop to {self._nodes[fine].name!r:.60}, found another map")
        upsampling = self._node(crop.inputs[0])
        upsampling.expect_operator("UpSampling")
        upsampling.expect_inputs(1)
        upsampling.expect("sample_type", "nearest", "")
        upsampling.expect("scale", 2, 0)
        return fine, upsampling.inputs[0]

    def sum(self, value: Value) -> List[Value]:
        node = self._node(value)
        node.expect_operator(*_SUMS)
        node.expect_inputs(2)
        return list(node.inputs)

    def max_pool(self, value: Value) -> Value:
        node = self._node(value)
        node.expect_operator("Pooling")
        node.expect_inputs(1)
        for key, expected in (("kernel", (3, 3)), ("stride", (2, 2)), ("pad", (1, 1))):
            node.expect(key, expected, ())
        node.expect("pool_type", "max", "max")
        node.expect("pooling_convention", "valid", "valid")
        node.expect("global_pool", False, False)
        return node.inputs[0]

    def finish(self) -> None:
        """Nothing may be left over, and no tensor may serve two layers."""
        left = [node for index, node in enumerate(self._nodes) if index not in self.visited]
        if left:
            raise ConversionError(f"{left[0].what}: expected no further node, found {len(left)} that no output needs")
        names = [name for source in self.sources.values() for name in source.names()]
        for name in names:
            if names.count(name) > 1:
                raise ConversionError(f"tensor {name!r:.80}: expected in one layer, found in several")


def read_graph(text: bytes, architecture: Optional[str] = None) -> Found:
    """Find a known network (or the one named) in a symbol graph."""
    try:
        graph = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"graph: expected JSON, found a text that is none ({error})") from None
    if (
        not isinstance(graph, dict)
        or not isinstance(graph.get("nodes"), list)
        or not isinstance(graph.get("heads"), list)
    ):
        raise ConversionError("graph: expected an object with nodes and heads, found something else")
    nodes = [_Node(index, raw) for index, raw in enumerate(graph["nodes"])]
    heads = graph["heads"]
    expected = [(level, head, values) for level in reversed(LEVELS) for head, values in HEADS]
    if len(heads) != len(expected):
        raise ConversionError(f"graph: expected {len(expected)} outputs, found {len(heads)}")
    for head in heads:
        if not isinstance(head, list) or not head or type(head[0]) is not int or not 0 <= head[0] < len(nodes):
            raise ConversionError(f"graph: expected an output that is a node, found {head!r:.60}")
    places: Dict[str, int] = {}
    visited: set = set()
    for (level, head, values), (index, *_) in zip(expected, heads):
        if head == "class":
            softmax = _Matcher(nodes, [])
            index = softmax.skip_softmax(index, ANCHORS * values)
            visited |= softmax.visited
        places[head_name(level, head)] = index
    name, matcher = find_network(lambda layers: _Matcher(nodes, layers), places, architecture, "the graph")
    matcher.visited |= visited
    matcher.finish()
    notes = [
        f"graph of {len(nodes)} nodes agrees with {name}",
        "BatchNorm eps in the graph: " + ", ".join(f"{value:g}" for value in sorted(matcher.epsilons)),
    ]
    mean, std = matcher.scaling or (None, None)
    return Found(
        name, matcher.sources, matcher.slope(), CLASS_MAJOR, mean, std, ignored=matcher.ignored, notes=notes
    )


def rename_aliases(tensors: Mapping[str, np.ndarray], expected: Mapping[str, object]) -> Dict[str, np.ndarray]:
    """The tensors, those that one half of MXNet calls `moving_*` and the other `running_*` as the graph calls them."""
    result = dict(tensors)
    for name in expected:
        for ours, theirs in (("moving_", "running_"), ("running_", "moving_")):
            alias = name.replace(ours, theirs)
            if name not in result and alias in result and alias not in expected:
                result[name] = result.pop(alias)
    return result
