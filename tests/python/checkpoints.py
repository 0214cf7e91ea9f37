"""Checkpoints for the converter's tests, written opcode by opcode so that neither PyTorch nor MXNet is needed."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from dataclasses import dataclass
from typing import Any, Dict, List, Tuple

import numpy as np
from retinaface_weights import biubug6_names
from retinaface_weights.folding import expected_tensors
from retinaface_weights.network import LEVELS, ConcatRelu, Conv, UpsampleAdd, build_network
from retinaface_weights.wide_layers import Add, MaxPool

MAGIC = 0x1950A86A20F9469CFC6C


@dataclass
class Name:
    """A global."""

    module: str
    name: str


@dataclass
class Invoke:
    """A call of a global."""

    function: Name
    arguments: Tuple[Any, ...]


@dataclass
class Persistent:
    identifier: Tuple[Any, ...]


def pickle_bytes(value: Any) -> bytes:
    return b"\x80\x02" + _emit(value) + b"."


def _emit(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value  # opcodes as they are
    if value is None:
        return b"N"
    if isinstance(value, bool):
        return b"\x88" if value else b"\x89"
    if isinstance(value, int):
        if -(1 << 31) <= value < 1 << 31:
            return b"J" + struct.pack("<i", value)
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data
    if isinstance(value, str):
        data = value.encode()
        return b"X" + struct.pack("<I", len(data)) + data
    if isinstance(value, tuple):
        return b"(" + b"".join(map(_emit, value)) + b"t"
    if isinstance(value, list):
        return b"](" + b"".join(map(_emit, value)) + b"e"
    if isinstance(value, dict):
        return b"}(" + b"".join(_emit(k) + _emit(v) for k, v in value.items()) + b"u"
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Invoke):
        return _emit(value.function) + _emit(value.arguments) + b"R"
    if isinstance(value, Persistent):
        return _emit(value.identifier) + b"Q"
    raise TypeError(type(value))


def _storage_name(array: np.ndarray) -> Name:
    kinds = {"float32": "FloatStorage", "float16": "HalfStorage", "float64": "DoubleStorage", "int64": "LongStorage"}
    return Name("torch", kinds[array.dtype.name])


def _references(state: Dict[Any, Any], legacy: bool) -> Tuple[Dict[Any, Any], List[np.ndarray]]:
    """The state dict with arrays as rebuilt tensors, and the storages."""
    arrays: List[np.ndarray] = []

    def convert(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: convert(entry) for key, entry in value.items()}
        if not isinstance(value, np.ndarray):
            return value
        arrays.append(np.ascontiguousarray(value))
        identifier = ("storage", _storage_name(value), str(len(arrays) - 1), "cpu", value.size)
        strides, step = [], 1
        for size in reversed(value.shape):
            strides.insert(0, step)
            step *= size
        call = (Persistent((*identifier, None) if legacy else identifier), 0, value.shape, tuple(strides), False)
        return Invoke(
            Name("torch._utils", "_rebuild_tensor_v2"), (*call, Invoke(Name("collections", "OrderedDict"), ()))
        )

    return convert(state), arrays


def legacy_file(state: Dict[Any, Any]) -> bytes:
    """As `torch.save` wrote it up to version 1.5."""
    root, arrays = _references(state, legacy=True)
    system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    parts = [pickle_bytes(part) for part in (MAGIC, 1001, system, root, [str(i) for i in range(len(arrays))])]
    parts += [struct.pack("<q", array.size) + array.tobytes() for array in arrays]
    return b"".join(parts)


def zip_file(state: Dict[Any, Any]) -> bytes:
    """As `torch.save` writes it since."""
    root, arrays = _references(state, legacy=False)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickle_bytes(root))
        archive.writestr("archive/byteorder", "little")
        for index, array in enumerate(arrays):
            archive.writestr(f"archive/data/{index}", array.tobytes())
        archive.writestr("archive/version", "3\n")
    return buffer.getvalue()


def random_tensor(random: np.random.RandomState, name: str, shape: Tuple[int, ...]) -> np.ndarray:
    """A value that suits the tensor's part in a network."""
    if len(shape) == 4:
        values = random.standard_normal(shape) * np.sqrt(2.0 / np.prod(shape[1:]))
    elif name.endswith(("var", ".weight", "gamma")):
        values = random.uniform(0.5, 1.5, shape)
    else:
        values = random.uniform(-0.2, 0.2, shape)
    return values.astype(np.float32)


def random_state(architecture: str = "mobilenet025", seed: int = 0) -> Dict[str, np.ndarray]:
    """A state dict with BatchNorm, as biubug6's training leaves it."""
    random = np.random.RandomState(seed)
    shapes = expected_tensors(architecture, biubug6_names.sources(architecture))
    state: Dict[str, np.ndarray] = {name: random_tensor(random, name, shape) for name, shape in shapes.items()}
    counters = [name for name in shapes if name.endswith("running_mean")]
    for name in counters:
        state[name.replace("running_mean", "num_batches_tracked")] = np.array(7, np.int64)
    return state


class MxnetModel:
    """A symbol graph and its parameters with names that say nothing; `nodes` may be tampered with before writing."""

    def __init__(self, architecture: str = "mobilenet025", seed: int = 0) -> None:
        self._random = np.random.RandomState(seed)
        self.nodes: List[Dict[str, Any]] = []
        self.parameters: Dict[str, np.ndarray] = {}
        self.places: Dict[str, int] = {"image": self._node("null", [])}
        for layer in build_network(architecture, "insightface"):
            if isinstance(layer, Conv):
                self.places[layer.name] = self._convolution(layer)
            elif isinstance(layer, UpsampleAdd):
                doubled = self._node(
                    "UpSampling", [self.places[layer.coarse]], scale="2", sample_type="nearest", num_args="1"
                )
                crop = self._node("Crop", [doubled, self.places[layer.fine]], num_args="2")
                self.places[layer.name] = self._node("elemwise_add", [self.places[layer.fine], crop])
            elif isinstance(layer, ConcatRelu):
                joined = self._node("Concat", [self.places[s] for s in layer.sources], dim="1", num_args="3")
                self.places[layer.name] = self._node("Activation", [joined], act_type="relu")
        self.heads = [
            self.places[f"head.p{level}.{head}"] for level in reversed(LEVELS) for head in ("class", "box", "landmark")
        ]

    def _node(self, operator: str, inputs: List[int], **attributes: str) -> int:
        node = {"op": operator, "name": f"n{len(self.nodes)}", "inputs": [[i, 0, 0] for i in inputs]}
        if attributes:
            node["attrs"] = attributes
        self.nodes.append(node)
        return len(self.nodes) - 1

    def _variable(self, kind: str, shape: Tuple[int, ...]) -> int:
        index = self._node("null", [])
        self.parameters[self.nodes[index]["name"]] = random_tensor(self._random, kind, shape)
        return index

    def _convolution(self, conv: Conv) -> int:
        neck = not conv.name.startswith("backbone.")
        inputs = [self.places[conv.source], self._variable("weight", conv.weight_shape)]
        if neck:
            inputs.append(self._variable("bias", (conv.c_out,)))
        value = self._node(
            "Convolution", inputs, kernel=f"({conv.kernel}, {conv.kernel})", stride=f"({conv.stride}, {conv.stride})",
            pad=f"({conv.padding}, {conv.padding})", num_filter=str(conv.c_out), num_group=str(conv.groups),
            no_bias=str(not neck),
        )  # fmt: skip
        if conv.name.startswith("head."):
            if conv.name.endswith(".class"):
                value = self._node("Reshape", [value], shape="(0, 2, -1, 0)")
                value = self._node("SoftmaxActivation", [value], mode="channel")
                value = self._node("Reshape", [value], shape="(0, 4, -1, 0)")
            return value
        norm = [self._variable(kind, (conv.c_out,)) for kind in ("gamma", "beta", "mean", "var")]
        value = self._node("BatchNorm", [value, *norm], eps="2e-05" if neck else "1e-05", fix_gamma="False")
        return value if conv.slope is None else self._node("Activation", [value], act_type="relu")

    def find(self, layer: str, operator: str) -> Dict[str, Any]:
        """The nearest node of that operator at or before a layer's value."""
        index = self.places[layer]
        while self.nodes[index]["op"] != operator:
            index = self.nodes[index]["inputs"][0][0]
        return self.nodes[index]

    def crop_in(self, layer: str) -> Dict[str, Any]:
        """The crop that a pyramid sum reads."""
        return self.nodes[self.nodes[self.places[layer]]["inputs"][1][0]]

    def rewire(self, node: Dict[str, Any], position: int, layer: str) -> None:
        """Let a node read another layer's value."""
        node["inputs"][position] = [self.places[layer], 0, 0]

    def symbol(self) -> bytes:
        heads = [[index, 0, 0] for index in self.heads]
        return json.dumps({"nodes": self.nodes, "heads": heads, "attrs": {"mxnet_version": ["int", 10300]}}).encode()

    def params(self) -> bytes:
        parts = [struct.pack("<QQQ", 0x112, 0, len(self.parameters))]
        for array in self.parameters.values():
            parts.append(struct.pack("<IiI", 0xF993FAC9, 0, array.ndim) + struct.pack(f"<{array.ndim}q", *array.shape))
            parts.append(struct.pack("<iii", 1, 0, 0) + array.tobytes())
        parts.append(struct.pack("<Q", len(self.parameters)))
        for name in self.parameters:
            raw = f"arg:{name}".encode()
            parts.append(struct.pack("<Q", len(raw)) + raw)
        return b"".join(parts)


class WideMxnetModel(MxnetModel):
    """The pre-activation network as a graph with names that say nothing."""

    def __init__(self) -> None:
        self._random = np.random.RandomState(3)
        self.nodes = []
        self.parameters = {}
        self.places = {"image": self._node("null", [])}
        for layer in build_network("resnet50_preactivation", "insightface"):
            if isinstance(layer, Conv):
                self.places[layer.name] = self._wide(layer)
            elif isinstance(layer, MaxPool):
                self.places[layer.name] = self._node(
                    "Pooling", [self.places[layer.source]], kernel="(3, 3)", stride="(2, 2)", pad="(1, 1)", pool_type="max"
                )
            elif isinstance(layer, Add):
                self.places[layer.name] = self._node("elemwise_add", [self.places[s] for s in layer.sources])
            elif isinstance(layer, UpsampleAdd):
                doubled = self._node("UpSampling", [self.places[layer.coarse]], scale="2", sample_type="nearest")
                crop = self._node("Crop", [doubled, self.places[layer.fine]], num_args="2")
                self.places[layer.name] = self._node("elemwise_add", [self.places[layer.fine], crop])
            elif isinstance(layer, ConcatRelu):
                joined = self._node("Concat", [self.places[s] for s in layer.sources], dim="1")
                self.places[layer.name] = self._node("Activation", [joined], act_type="relu")
        self.heads = [
            self.places[f"head.p{level}.{head}"] for level in reversed(LEVELS) for head in ("class", "box", "landmark")
        ]

    def _wide(self, layer: Conv) -> int:
        if layer.kernel == 1 and layer.groups > 1:
            value = self._norm(self.places[layer.source], layer.c_out)
        elif layer.slope is None and layer.name.startswith("backbone."):
            value = self._node(
                "Convolution", [self.places[layer.source], self._variable("weight", layer.weight_shape)],
                kernel=f"({layer.kernel}, {layer.kernel})", stride=f"({layer.stride}, {layer.stride})",
                num_filter=str(layer.c_out), no_bias="True",
            )  # fmt: skip
        else:
            return self._convolution(layer)
        return value if layer.slope is None else self._node("Activation", [value], act_type="relu")

    def _norm(self, source: int, channels: int) -> int:
        tensors = [self._variable(kind, (channels,)) for kind in ("gamma", "beta", "mean", "var")]
        return self._node("BatchNorm", [source, *tensors], eps="2e-05", fix_gamma="False")
