"""MXNet models: an NDArray list (`.params`) and the graph that says what it means (`-symbol.json`).

The graph is followed from its nine outputs to the image and compared, node by node, with the architecture.  Which
tensor is which follows from where the graph uses it; names mean nothing.

Two orders differ from the canonical ones.  Levels: the graph's outputs come coarse to fine.  Channels: MXNet files have
the large anchor first and, for the class head, all background channels before all face channels; `head_order` gives
the permutation to small anchor first and anchor * 2 + {background, face}.
"""

from __future__ import annotations

import json
import math
import re
import struct
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .errors import ConversionError
from .folding import ConvSource, Norm
from .network import ANCHORS, HEADS, LEVELS, ConcatRelu, Conv, Layer, UpsampleAdd, build_network, head_name

_LIST_MAGIC = 0x112
_ARRAY_V1, _ARRAY_V2, _ARRAY_V3 = 0xF993FAC8, 0xF993FAC9, 0xF993FACA
_DTYPES = {0: "<f4", 1: "<f8", 2: "<f2"}
_MAX_ARRAYS = 1 << 16


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


def head_order(head: str) -> List[int]:
    """For each canonical channel of a head, the channel of an MXNet file; see above."""
    values = dict(HEADS)[head]
    order = []
    for anchor in range(ANCHORS):
        origin = ANCHORS - 1 - anchor
        for value in range(values):
            order.append(value * ANCHORS + origin if head == "class" else origin * values + value)
    return order


class _Matcher:
    """Follows the graph from its outputs and finds every layer of the architecture in it."""

    def __init__(self, nodes: List[_Node], layers: Sequence[Layer]) -> None:
        self._nodes = nodes
        self._layers = {layer.name: layer for layer in layers}
        self._places: Dict[str, int] = {}
        self._visited: set = set()
        self.sources: Dict[str, ConvSource] = {}
        self.ignored: List[str] = []  # variables that mean nothing, such as a fixed gamma
        self.epsilons: set = set()

    def _node(self, index: int) -> _Node:
        self._visited.add(index)
        return self._nodes[index]

    def _variable(self, index: int) -> str:
        node = self._node(index)
        node.expect_operator("null")
        return node.name

    def match(self, name: str, index: int) -> None:
        """The value at node `index` must be that of layer `name`."""
        known = self._places.get(name)
        if known is not None:
            if known != index:
                raise ConversionError(
                    f"{self._nodes[index].what}: expected {self._nodes[known].name!r:.60} there, which is {name}"
                )
            return
        self._places[name] = index
        if name == "image":
            self._node(index).expect_operator("null")
            return
        layer = self._layers[name]
        if isinstance(layer, Conv):
            if layer.name.startswith("head."):
                if layer.name.endswith(".class"):
                    index = self._skip_softmax(index, layer.c_out)
                self._match_convolution(layer, index, None, head_order(layer.name.rsplit(".", 1)[1]))
            else:
                if layer.slope is not None:
                    index = self._skip_relu(index)
                self._match_normalised(layer, index)
        elif isinstance(layer, ConcatRelu):
            node = self._node(self._skip_relu(index))
            node.expect_operator("Concat")
            node.expect_inputs(len(layer.sources))
            node.expect("dim", 1, 1)
            for source, place in zip(layer.sources, node.inputs):
                self.match(source, place)
        else:
            self._match_upsample(layer, index)

    def _skip_relu(self, index: int) -> int:
        node = self._node(index)
        node.expect_operator("Activation", "relu")
        node.expect_inputs(1)
        if node.operator == "Activation":
            node.expect("act_type", "relu", "")
        return node.inputs[0]

    def _skip_softmax(self, index: int, channels: int) -> int:
        """Reshape to two channels, softmax over them, reshape back: background channels come first."""
        for operator, key, expected in (
            ("Reshape", "shape", (0, channels, -1, 0)),
            ("SoftmaxActivation", "mode", "channel"),
            ("Reshape", "shape", (0, 2, -1, 0)),
        ):
            node = self._node(index)
            node.expect_operator(operator)
            node.expect_inputs(1)
            node.expect(key, expected, () if isinstance(expected, tuple) else "")
            index = node.inputs[0]
        return index

    def _match_normalised(self, conv: Conv, index: int) -> None:
        node = self._node(index)
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
        self._match_convolution(
            conv, node.inputs[0], Norm(None if fixed else gamma, beta, mean, variance, epsilon), None
        )

    def _match_convolution(self, conv: Conv, index: int, norm: Optional[Norm], order: Optional[List[int]]) -> None:
        node = self._node(index)
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
        bias = self._variable(node.inputs[2]) if biased else None
        self.sources[conv.name] = ConvSource(weight, bias, norm, order)
        self.match(conv.source, node.inputs[0])

    def _match_upsample(self, layer: UpsampleAdd, index: int) -> None:
        node = self._node(index)
        node.expect_operator("elemwise_add", "_Plus", "_plus", "broadcast_add")
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
        self.match(layer.fine, fine)
        self.match(layer.coarse, upsampling.inputs[0])

    def finish(self) -> None:
        """Nothing may be left over, and no tensor may serve two layers."""
        left = [node for index, node in enumerate(self._nodes) if index not in self._visited]
        if left:
            raise ConversionError(f"{left[0].what}: expected no further node, found {len(left)} that no output needs")
        names = [name for source in self.sources.values() for name in source.names()]
        for name in names:
            if names.count(name) > 1:
                raise ConversionError(f"tensor {name!r:.80}: expected in one layer, found in several")


def read_graph(text: bytes, architecture: str) -> Tuple[Dict[str, ConvSource], List[str], List[str]]:
    """Check a symbol graph against the architecture.

    Returns where each canonical convolution is, the names of tensors without effect, and remarks.
    """
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
    expected = [head_name(level, head) for level in reversed(LEVELS) for head, _ in HEADS]
    if len(heads) != len(expected):
        raise ConversionError(f"graph: expected {len(expected)} outputs, found {len(heads)}")
    # ReLU throughout, which is the insightface profile's network.
    matcher = _Matcher(nodes, build_network(architecture, "insightface"))
    for name, head in zip(expected, heads):
        if not isinstance(head, list) or not head or type(head[0]) is not int or not 0 <= head[0] < len(nodes):
            raise ConversionError(f"graph: expected an output that is a node, found {head!r:.60}")
        matcher.match(name, head[0])
    matcher.finish()
    notes = [
        f"graph of {len(nodes)} nodes agrees with {architecture}",
        "BatchNorm eps in the graph: " + ", ".join(f"{value:g}" for value in sorted(matcher.epsilons)),
        "heads permuted: class channels (background, background, face, face) large anchor first -> anchor * 2 + "
        "{background, face}, small anchor first; box and landmark channels likewise",
    ]
    return matcher.sources, matcher.ignored, notes
