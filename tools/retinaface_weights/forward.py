"""A forward pass in numpy, in double unless told otherwise: slow, plain, and the measure for everything else."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Optional

import numpy as np

from .network import (
    HEADS,
    LEVELS,
    ConcatRelu,
    Conv,
    Layer,
    Profile,
    UpsampleAdd,
    build_network,
    convolutions,
    head_name,
    lookup_profile,
)
from .wide_layers import Add, DeformConv, MaxPool, Rows


def prepare_input(image: np.ndarray, profile: Profile) -> np.ndarray:
    """U8 pixels [H, W, 3] in the order R, G, B -> float64 [3, H', W'] as the first convolution reads them."""
    pixels = image.astype(np.float64).transpose(2, 0, 1)
    if profile.channels == "bgr":
        pixels = pixels[::-1]
    mean = np.array(profile.mean)[:, None, None]
    height, width = pixels.shape[1:]
    inside = (slice(None), slice(height), slice(width))
    padded = np.zeros((3, height + -height % profile.pad_to, width + -width % profile.pad_to))
    if profile.pad_pixel is not None:
        padded += profile.pad_pixel - mean
    padded[inside] = pixels - mean
    return padded


def _convolve(value: np.ndarray, conv: Conv, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """One tap of the kernel at a time: a product of matrices, or of elements where the convolution is depthwise."""
    height, width = value.shape[1:]
    out_height = (height - 1) // conv.stride + 1
    out_width = (width - 1) // conv.stride + 1
    pad = conv.padding
    padded = np.pad(value, ((0, 0), (pad, pad), (pad, pad)))
    result = np.repeat(bias, out_height * out_width).reshape(conv.c_out, out_height, out_width)
    for dy in range(conv.kernel):
        for dx in range(conv.kernel):
            rows = slice(dy, dy + (out_height - 1) * conv.stride + 1, conv.stride)
            columns = slice(dx, dx + (out_width - 1) * conv.stride + 1, conv.stride)
            window = padded[:, rows, columns]
            if conv.groups == 1:
                product = weight[:, :, dy, dx] @ window.reshape(conv.c_in, -1)
                result += product.reshape(result.shape)
            else:
                result += weight[:, 0, dy, dx][:, None, None] * window
    return result


def run_layers(
    layers: List[Layer], parameters: Mapping[str, np.ndarray], image: np.ndarray, dtype: Any = np.float64
) -> Dict[str, np.ndarray]:
    """Every layer's output [C, H, W], by name."""
    values: Dict[str, np.ndarray] = {"image": image.astype(dtype)}
    for layer in layers:
        if isinstance(layer, (MaxPool, Add, Rows)):
            result = layer.compute(values)
        elif isinstance(layer, Conv):
            weight = parameters[layer.name + ".weight"].astype(dtype)
            bias = parameters[layer.name + ".bias"].astype(dtype)
            if isinstance(layer, DeformConv):
                result = layer.compute(values, weight, bias)
            else:
                result = _convolve(values[layer.source], layer, weight, bias)
            if layer.slope is not None:
                result = np.where(result > 0, result, result * layer.slope)
        elif isinstance(layer, UpsampleAdd):
            fine = values[layer.fine]
            rows, columns = np.arange(fine.shape[1]) >> 1, np.arange(fine.shape[2]) >> 1
            result = fine + values[layer.coarse][:, rows[:, None], columns[None, :]]
        elif isinstance(layer, ConcatRelu):
            result = np.maximum(np.concatenate([values[source] for source in layer.sources]), 0.0)
        else:
            raise TypeError(f"unknown layer {layer!r}")
        values[layer.name] = result
    return values


def gather_heads(values: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    """Head maps [A * k, H, W] -> {"class": [N, 2], "box": [N, 4], "landmark": [N, 10]}, p3 first, row-major."""
    outputs = {}
    for head, count in HEADS:
        if f"head.{head}" in values:  # one head for all levels
            outputs[head] = values[f"head.{head}"].transpose(1, 2, 0).reshape(-1, count)
            continue
        maps = [values[head_name(level, head)] for level in LEVELS]
        outputs[head] = np.concatenate([m.transpose(1, 2, 0).reshape(-1, count) for m in maps])
    return outputs


def mesh_of_last_cells(
    layers: List[Layer], parameters: Mapping[str, np.ndarray], values: Mapping[str, np.ndarray]
) -> Dict[str, np.ndarray]:
    """{"mesh": [levels, 54]}, what a mesh head says of the last cell of each level; {} where the parameters have none."""
    rows = []
    for conv in convolutions(layers):
        level, _, head = conv.name.rpartition(".")
        if head == "class" and f"{level}.mesh.weight" in parameters:
            weight, bias = (parameters[f"{level}.mesh.{part}"].astype(np.float64) for part in ("weight", "bias"))
            rows.append(weight[:, :, 0, 0] @ values[conv.source][:, -1, -1] + bias)
    return {"mesh": np.stack(rows)} if rows else {}


def forward(
    architecture: str,
    profile: str,
    parameters: Mapping[str, np.ndarray],
    image: np.ndarray,
    layers: Optional[List[Layer]] = None,
    dtype: Any = np.float64,
) -> Dict[str, np.ndarray]:
    """Raw outputs (class logits, box, landmark; mesh as mesh_of_last_cells) for U8 pixels [H, W, 3] in the order R, G, B."""
    layers = build_network(architecture, profile) if layers is None else layers
    values = run_layers(layers, parameters, prepare_input(image, lookup_profile(profile)), dtype)
    return {**gather_heads(values), **mesh_of_last_cells(layers, parameters, values)}
