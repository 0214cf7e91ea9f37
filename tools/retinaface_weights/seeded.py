"""Random networks for tests: reproducible to the bit, activations of sane size."""

from __future__ import annotations

from typing import Dict

import numpy as np

from .network import Conv, build_network, convolutions
from .weights_file import Weights

_PIXEL_SCALE = 1.0 / 64.0  # pixels less the mean are of about this inverse size
_HEAD_SCALE = {"class": 2.0, "box": 0.5, "landmark": 0.5}


def _fan_in(conv: Conv) -> int:
    return conv.c_in // conv.groups * conv.kernel * conv.kernel


def make_seeded(architecture: str, profile: str, seed: int) -> Weights:
    """He-scaled weights with a gain per output channel, as a folded BatchNorm leaves it, and biases.

    Numpy's legacy generator is used because its stream is frozen; values are multiples of 2^-12 of their layer's scale
    so that no library's rounding of a logarithm can show.
    """
    random = np.random.RandomState(seed)
    parameters: Dict[str, np.ndarray] = {}
    for conv in convolutions(build_network(architecture, profile)):
        gain = 2.0 if conv.slope is not None else 1.0
        scale = np.sqrt(gain / _fan_in(conv))
        if conv.name == "backbone.conv0":
            scale *= _PIXEL_SCALE
        kind = conv.name.rsplit(".", 1)[1]
        if conv.name.startswith("head."):
            scale *= _HEAD_SCALE.get(kind, 0.5)
        weight = np.round(random.standard_normal(conv.weight_shape) * 4096) / 4096 * scale
        channel_gain = random.randint(48, 81, conv.c_out) / 64.0
        if conv.name.endswith(".conv3") and conv.name.startswith("backbone."):
            weight /= 4  # sums of many blocks stay of sane size
        weight *= channel_gain[:, None, None, None]
        bias = random.randint(-64, 65, conv.c_out) / 256.0
        if kind == "offset":  # some pixels
            weight, bias = weight / 4, bias * 16
        if kind == "class" and conv.name.startswith("head."):
            bias += np.tile([0.75, -0.75], conv.c_out // 2)  # faces are rarer than background
        parameters[conv.name + ".weight"] = weight
        parameters[conv.name + ".bias"] = bias
    return Weights(
        architecture,
        profile,
        parameters,
        version=f"seed {seed}",
        source=f"random numbers, seed {seed}: a network for tests that finds nothing",
        licence="CC0-1.0",
    )
