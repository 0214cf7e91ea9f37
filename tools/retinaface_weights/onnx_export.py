"""The network as an ONNX graph; needs the `onnx` package."""

from __future__ import annotations

from typing import Any, Dict, List

import numpy as np

from .errors import ConversionError
from .network import HEADS, LEVELS, ConcatRelu, Conv, Layer, UpsampleAdd, head_name, lookup_profile
from .weights_file import Weights

_OPSET = 13
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
        if isinstance(layer, Conv):
            self._add_conv(layer, weights)
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
    for layer in weights.layers():
        graph.add(layer, weights)

    def tensor(name: str, shape: List[Any]) -> Any:
        return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)

    outputs: List[Any] = []
    for head, values in HEADS:
        maps = [head_name(level, head) for level in LEVELS]
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
        opset_imports=[onnx.helper.make_opsetid("", _OPSET)],
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
