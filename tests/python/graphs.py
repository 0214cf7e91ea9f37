"""Models of other engines for the converter's tests: ONNX by torch and node by node, ncnn line by line."""

from __future__ import annotations

import io
import math
import struct
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
from retinaface_weights.network import HEADS, LEVELS, Conv, UpsampleAdd, build_network, head_name


def torch_network(state: Dict[str, np.ndarray], sources: Dict[str, Any], slope: float = 0.1) -> Any:
    """The mobilenet025 network as PyTorch code, with the values of a state dict: (class, box, landmark) rows, raw."""
    import torch
    from torch import nn
    from torch.nn import functional

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.plan = build_network("mobilenet025", "biubug6")
            self.blocks = nn.ModuleDict()
            for conv in self.plan:
                if not isinstance(conv, Conv):
                    continue
                source = sources[conv.name]
                layer = nn.Conv2d(
                    conv.c_in, conv.c_out, conv.kernel, conv.stride, conv.padding, groups=conv.groups,
                    bias=source.bias is not None,
                )  # fmt: skip
                layer.weight.data = torch.from_numpy(state[source.weight].copy())
                parts: List[Any] = [layer]
                if source.bias is not None:
                    layer.bias.data = torch.from_numpy(state[source.bias].copy())
                else:
                    norm = nn.BatchNorm2d(conv.c_out)
                    for name, key in (("weight", "gamma"), ("bias", "beta")):
                        getattr(norm, name).data = torch.from_numpy(state[getattr(source.norm, key)].copy())
                    norm.running_mean = torch.from_numpy(state[source.norm.mean].copy())
                    norm.running_var = torch.from_numpy(state[source.norm.variance].copy())
                    parts.append(norm)
                if conv.slope is not None:
                    parts.append(nn.LeakyReLU(slope) if slope else nn.ReLU())
                self.blocks[conv.name.replace(".", "_")] = nn.Sequential(*parts)
            self.eval()

        def forward(self, image: Any) -> Tuple[Any, Any, Any]:
            values = {"image": image}
            for layer in self.plan:
                if isinstance(layer, Conv):
                    value = self.blocks[layer.name.replace(".", "_")](values[layer.source])
                elif isinstance(layer, UpsampleAdd):
                    fine = values[layer.fine]
                    size = [int(fine.shape[2]), int(fine.shape[3])]
                    value = fine + functional.interpolate(values[layer.coarse], size=size, mode="nearest")
                else:
                    value = functional.relu(torch.cat([values[source] for source in layer.sources], 1))
                values[layer.name] = value
            return tuple(
                torch.cat(
                    [values[head_name(level, head)].permute(0, 2, 3, 1).reshape(1, -1, count) for level in LEVELS], 1
                )
                for head, count in HEADS
            )  # type: ignore[return-value]

    return Network()


def decoding(network: Any, sizes: Any, height: int, width: int) -> Any:
    """Softmax and decoding appended to such a network, the anchors as constants normalised by the image's size."""
    import torch
    from torch import nn

    rows = [
        [(x + 0.5) * stride / width, (y + 0.5) * stride / height, size / width, size / height]
        for stride, level in zip((8, 16, 32), sizes)
        for y in range(math.ceil(height / stride))
        for x in range(math.ceil(width / stride))
        for size in level
    ]

    class Decoded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self.register_buffer("prior", torch.tensor(rows)[None])

        def forward(self, image: Any) -> Tuple[Any, Any, Any]:
            scores, box, landmark = self.network(image)
            centre, size = self.prior[:, :, :2], self.prior[:, :, 2:]
            middle, extent = centre + box[:, :, :2] * 0.1 * size, size * torch.exp(box[:, :, 2:] * 0.2)
            boxes = torch.cat([middle - extent / 2, middle + extent / 2], 2)
            points = [centre + landmark[:, :, 2 * i : 2 * i + 2] * 0.1 * size for i in range(5)]
            return torch.softmax(scores, -1)[:, :, 1], boxes, torch.cat(points, 2)

    return Decoded().eval()


def torch_export(network: Any, height: int = 64, width: int = 96, **options: Any) -> bytes:
    """What `torch.onnx.export` writes."""
    import warnings

    import torch

    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, torch.zeros(1, 3, height, width), buffer, input_names=["input0"], **options)
    return buffer.getvalue()


_ONNX_KINDS = {
    "Convolution": "Conv", "BatchNorm": "BatchNormalization", "elemwise_add": "Add", "SoftmaxActivation": "Softmax",
    "UpSampling": "Resize", "Crop": "Slice", "Concat": "Concat", "Activation": "Relu", "Reshape": "Reshape",
    "_minus_scalar": "Sub", "_mul_scalar": "Mul",
}  # fmt: skip


def _tuple(text: str) -> List[int]:
    return [int(part) for part in text.strip("() ").split(",")]


def onnx_of_mxnet(nodes: List[Dict[str, Any]], heads: List[int], parameters: Dict[str, np.ndarray]) -> Any:
    """An MXNet graph as its exporter for ONNX writes it: an `onnx.ModelProto`."""
    import onnx
    from onnx import helper, numpy_helper

    names = [node["name"] for node in nodes]
    made: List[Any] = []
    constants = [numpy_helper.from_array(value, name) for name, value in parameters.items()]

    def constant(name: str, values: Any, dtype: Any) -> str:
        constants.append(numpy_helper.from_array(np.array(values, dtype), name))
        return name

    for node, name in zip(nodes, names):
        if node["op"] == "null":
            continue
        attributes, inputs = node.get("attrs", {}), [names[place[0]] for place in node["inputs"]]
        more: Dict[str, Any] = {}
        if node["op"] == "Convolution":
            pad = _tuple(attributes["pad"])
            more = {
                "kernel_shape": _tuple(attributes["kernel"]), "strides": _tuple(attributes["stride"]), "pads": pad + pad,
                "group": int(attributes.get("num_group", 1)), "dilations": [1, 1],
            }  # fmt: skip
        elif node["op"] == "BatchNorm":
            more = {"epsilon": float(attributes.get("eps", 1e-3))}
            if attributes.get("fix_gamma", "True") == "True":
                inputs[1] = constant(name + "_ones", np.ones_like(parameters[inputs[1]]), np.float32)
        elif node["op"] == "Concat":
            more = {"axis": 1}
        elif node["op"] == "SoftmaxActivation":
            more = {"axis": 1}
        elif node["op"] == "UpSampling":
            inputs = [inputs[0], "", constant(name + "_scales", [1, 1, 2, 2], np.float32)]
            more = {"mode": "nearest", "nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        elif node["op"] == "Crop":
            inputs = [
                inputs[0], constant(name + "_starts", [0, 0], np.int64), constant(name + "_ends", [999, 999], np.int64),
                constant(name + "_axes", [2, 3], np.int64),
            ]  # fmt: skip
        elif node["op"] in ("_minus_scalar", "_mul_scalar"):
            inputs = [inputs[0], constant(name + "_scalar", float(attributes["scalar"]), np.float32)]
        elif node["op"] == "Reshape":
            inputs = [inputs[0], constant(name + "_shape", _tuple(attributes["shape"]), np.int64)]
        made.append(helper.make_node(_ONNX_KINDS[node["op"]], inputs, [name], name=name, **more))
    image = names[next(i for i, node in enumerate(nodes) if node["op"] == "null" and names[i] not in parameters)]
    graph = helper.make_graph(
        made, "mxnet_converted_model", [helper.make_tensor_value_info(image, onnx.TensorProto.FLOAT, [1, 3, "h", "w"])],
        [helper.make_tensor_value_info(names[index], onnx.TensorProto.FLOAT, None) for index in heads], constants,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)])


def ncnn_of_mxnet(nodes: List[Dict[str, Any]], tensors: Dict[str, np.ndarray]) -> Tuple[str, bytes]:
    """The same graph as ncnn's converter writes it: BatchNorm a layer of its own, Split before several readers."""
    names = [node["name"] for node in nodes]
    readers: Dict[str, int] = {}
    for node in nodes:
        for place in node["inputs"]:
            readers[names[place[0]]] = readers.get(names[place[0]], 0) + 1
    used: Dict[str, int] = {}
    lines: List[str] = []
    values: List[bytes] = []

    def take(name: str) -> str:
        if readers.get(name, 0) < 2:
            return name
        used[name] = used.get(name, -1) + 1
        return f"{name}_split_{used[name]}"

    def put(kind: str, name: str, inputs: List[str], parameters: str = "") -> None:
        lines.append(f"{kind} {name} {len(inputs)} 1 {' '.join([*inputs, name])} {parameters}".strip())
        count = readers.get(name, 0)
        if count > 1:
            parts = " ".join(f"{name}_split_{i}" for i in range(count))
            lines.append(f"Split {name}_split 1 {count} {name} {parts}")

    for node, name in zip(nodes, names):
        sources = [names[place[0]] for place in node["inputs"]]
        arrays = [tensors.get(source) for source in sources]
        attributes = node.get("attrs", {})
        if node["op"] == "null":
            if name not in tensors:
                put("Input", name, [])
            continue
        inputs = [take(source) for source, array in zip(sources, arrays) if array is None]
        if node["op"] == "Convolution":
            kernel, stride, pad = (_tuple(attributes[key])[0] for key in ("kernel", "stride", "pad"))
            group, weight = int(attributes.get("num_group", 1)), arrays[1]
            put(
                "Convolution" if group == 1 else "ConvolutionDepthWise", name, inputs,
                f"0={weight.shape[0]} 1={kernel} 3={stride} 4={pad} 5={int(len(arrays) > 2)} 6={weight.size}"
                + (f" 7={group}" if group > 1 else ""),
            )  # fmt: skip
            values.append(struct.pack("<I", 0) + b"".join(array.astype("<f4").tobytes() for array in arrays[1:]))
        elif node["op"] == "BatchNorm":
            gamma, beta, mean, variance = arrays[1:]
            if attributes.get("fix_gamma", "True") == "True":
                gamma = np.ones_like(gamma)
            put("BatchNorm", name, inputs, f"0={gamma.size} 1={float(attributes.get('eps', 1e-3)):e}")
            values.append(b"".join(array.astype("<f4").tobytes() for array in (gamma, mean, variance, beta)))
        elif node["op"] in ("_minus_scalar", "_mul_scalar"):
            put("BinaryOp", name, inputs, f"0={'1' if 'minus' in node['op'] else '2'} 1=1 2={float(attributes['scalar']):e}")
        elif node["op"] == "Reshape":
            two = _tuple(attributes["shape"])[1]
            put("Reshape", name, inputs, f"0=0 1=-1 2={two}")
        else:
            kind, parameters = {
                "Activation": ("ReLU", ""), "Concat": ("Concat", "0=0"), "elemwise_add": ("BinaryOp", "0=0"),
                "UpSampling": ("Interp", "0=1 1=2.0 2=2.0"), "Crop": ("Crop", "0=0 1=0"),
                "SoftmaxActivation": ("Softmax", "0=0 1=1"),
            }[node["op"]]  # fmt: skip
            put(kind, name, inputs, parameters)
    blobs = sum(int(line.split()[3]) for line in lines)
    return "\n".join(["7767517", f"{len(lines)} {blobs}", *lines]) + "\n", b"".join(values)


def tampered(model: Any, change: Callable[[Any], Any]) -> bytes:
    """A copy of an ONNX model with something done to it."""
    import onnx

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    change(copy)
    return copy.SerializeToString()
