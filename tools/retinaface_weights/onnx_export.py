"""The network as an ONNX graph; needs the `onnx` package."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from .errors import ConversionError
from .network import HEADS, LEVELS, ConcatRelu, Conv, Layer, UpsampleAdd, head_name, lookup_profile
from .resnet import DENSE
from .weights_file import Weights
from .wide_layers import Add, DeformConv, MaxPool, Rows

_OPSET = 13
_DEFORM_OPSET = 19  # has DeformConv
_IR_VERSION = 8  # what goes with that opset; the package's own default would shut older runtimes out


class _Graph:
    """Collects nodes and constants."""

    def __init__(self, onnx: Any) -> None:
        self._onnx = onnx
        self.nodes: List[Any] = []
        self.initializers: List[Any] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.append(self._onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, operator: str, inputs: List[str], output: str, **attributes: Any) -> str:
        self.nodes.append(self._onnx.helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def add(self, layer: Layer, weights: Weights) -> None:
        if isinstance(layer, DeformConv):
            self._add_deformable(layer, weights)
        elif isinstance(layer, Conv):
            self._add_conv(layer, weights)
        elif isinstance(layer, MaxPool):
            self.node("MaxPool", [layer.source], layer.name, kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4)
        elif isinstance(layer, Add):
            total = layer.name + ".linear" if layer.relu else layer.name
            self.node("Add", list(layer.sources), total)
            if layer.relu:
                self.node("Relu", [total], layer.name)
        elif isinstance(layer, Rows):
            shape = self.constant(layer.name + ".shape", np.array([1, 0, 1, -1], np.int64))
            flat = [self.node("Reshape", [source, shape], source + ".flat") for source in layer.sources]
            self.node("Concat", flat, layer.name, axis=3)
        elif isinstance(layer, UpsampleAdd):
            self._add_upsample(layer)
        elif isinstance(layer, ConcatRelu):
            self.node("Concat", list(layer.sources), layer.name + ".concat", axis=1)
            self.node("Relu", [layer.name + ".concat"], layer.name)
        else:
            raise TypeError(f"unknown layer {layer!r}")

    def _add_conv(self, conv: Conv, weights: Weights) -> None:
        parameters = [
            self.constant(name, weights.parameters[name].astype(np.float32))
            for name in (conv.name + ".weight", conv.name + ".bias")
        ]
        linear = conv.name if conv.slope is None else conv.name + ".linear"
        self.node(
            "Conv", [conv.source, *parameters], linear,
            kernel_shape=[conv.kernel] * 2, strides=[conv.stride] * 2, pads=[conv.padding] * 4, group=conv.groups,
        )  # fmt: skip
        if conv.slope == 0.0:
            self.node("Relu", [linear], conv.name)
        elif conv.slope is not None:
            self.node("LeakyRelu", [linear], conv.name, alpha=conv.slope)

    def _add_deformable(self, conv: DeformConv, weights: Weights) -> None:
        """Offsets and modulation from the channels of `conv.offsets`: the operator has neither the factor nor the sigmoid."""
        taps = conv.kernel * conv.kernel
        ends = [self.constant(f"{conv.name}.at{end}", np.array([end], np.int64)) for end in (0, 2 * taps, 3 * taps)]
        axis = self.constant(conv.name + ".axis", np.array([1], np.int64))
        offset = self.node("Slice", [conv.offsets, ends[0], ends[1], axis], conv.name + ".offsets")
        logits = self.node("Slice", [conv.offsets, ends[1], ends[2], axis], conv.name + ".logits")
        factor = self.constant(conv.name + ".factor", np.array(2, np.float32))
        mask = self.node("Mul", [self.node("Sigmoid", [logits], conv.name + ".sigmoid"), factor], conv.name + ".mask")
        weight, bias = (
            self.constant(name, weights.parameters[name].astype(np.float32))
            for name in (conv.name + ".weight", conv.name + ".bias")
        )
        linear = conv.name if conv.slope is None else conv.name + ".linear"
        self.node(
            "DeformConv", [conv.source, weight, offset, bias, mask], linear,
            kernel_shape=[conv.kernel] * 2, strides=[conv.stride] * 2, pads=[conv.padding] * 4, group=1, offset_group=1,
        )  # fmt: skip
        if conv.slope == 0.0:
            self.node("Relu", [linear], conv.name)

    def _add_upsample(self, layer: UpsampleAdd) -> None:
        """Nearest to the finer map's exact size.

        A coarse size n goes with a fine one of 2n or 2n - 1; floor(i * n / fine) is then i >> 1 for every i.
        """
        name = layer.name
        channels = self.node(
            "Slice", [self.node("Shape", [layer.coarse], name + ".coarse_shape"), "zero", "two"], name + ".channels"
        )
        size = self.node(
            "Slice", [self.node("Shape", [layer.fine], name + ".fine_shape"), "two", "four"], name + ".size"
        )
        target = self.node("Concat", [channels, size], name + ".target", axis=0)
        self.node(
            "Resize", [layer.coarse, "", "", target], name + ".upsampled",
            mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        self.node("Add", [layer.fine, name + ".upsampled"], name)


def export(weights: Weights, raw_maps: bool = False) -> bytes:
    """The bytes of an ONNX model.

    Input `image` [1, 3, height, width], both dynamic: pixels 0..255 in the profile's channel order *less the profile's
    mean* (and, for `insightface`, padded).  Outputs `class` [1, N, 2] (logits), `box` [1, N, 4], `landmark` [1, N, 10]
    in the order of `weights/README.md`, or with `raw_maps` the nine maps `head.pL.class` [1, 4, h, w] and so on.
    """
    try:
        import onnx
    except ImportError:
        raise ConversionError("--onnx: expected the Python package onnx (pip install onnx), found none") from None

    graph = _Graph(onnx)
    for name, value in (("zero", 0), ("two", 2), ("four", 4)):
        graph.constant(name, np.array([value], np.int64))
    layers = weights.layers()
    for layer in layers:
        graph.add(layer, weights)
    deformable = any(isinstance(layer, DeformConv) for layer in layers)
    shared = any(isinstance(layer, Rows) for layer in layers)  # one head for all levels, and the dense branch
    if shared and raw_maps:
        raise ConversionError(f"--onnx-maps: expected a network with heads of each level, found {weights.architecture}")

    def tensor(name: str, shape: List[Any]) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    outputs: List[Any] = []
    for head, values in (*HEADS, *DENSE) if shared else HEADS:
        maps = [f"head.{head}"] if shared else [head_name(level, head) for level in LEVELS]
        if raw_maps:
            outputs += [
                tensor(name, [1, 2 * values, f"height_p{level}", f"width_p{level}"])
                for level, name in zip(LEVELS, maps)
            ]
            continue
        shape = graph.constant(f"{head}.shape", np.array([1, -1, values], np.int64))
        rows = []
        for name in maps:
            graph.node("Transpose", [name], name + ".nhwc", perm=[0, 2, 3, 1])
            rows.append(graph.node("Reshape", [name + ".nhwc", shape], name + ".rows"))
        graph.node("Concat", rows, head, axis=1)
        outputs.append(tensor(head, [1, "anchors", values]))

    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes, f"retinaface_{weights.architecture}", [tensor("image", [1, 3, "height", "width"])], outputs,
            initializer=graph.initializers,
        ),
        opset_imports=[onnx.helper.make_opsetid("", _DEFORM_OPSET if deformable else _OPSET)],
        ir_version=_IR_VERSION,
        producer_name="retinaface convert_weights.py",
    )  # fmt: skip
    onnx.helper.set_model_props(model, {**weights.metadata(), **input_description(weights)})
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def input_description(weights: Weights) -> Dict[str, str]:
    """What the exported network expects, for the other engine's user."""
    profile = lookup_profile(weights.profile)
    return {
        "input_channels": profile.channels,
        "input_mean": " ".join(f"{value:g}" for value in profile.mean),
        "input_padded_to_multiple_of": str(profile.pad_to),
    }
