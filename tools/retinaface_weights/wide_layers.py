"""Kinds of layers that only the wide networks have (`resnet.py`).  Each computes its own value in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Mapping, Tuple

import numpy as np

from .network import Conv

Values = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class MaxPool:
    """3x3 maximum, stride 2, padding 1."""

    name: str
    source: str

    def compute(self, values: Values) -> np.ndarray:
        value = values[self.source]
        height, width = (value.shape[1] + 1) // 2, (value.shape[2] + 1) // 2
        padded = np.pad(value, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        windows = [
            padded[:, dy : dy + 2 * height - 1 : 2, dx : dx + 2 * width - 1 : 2] for dy in range(3) for dx in range(3)
        ]
        return np.maximum.reduce(windows)


@dataclass(frozen=True)
class Add:
    """Sum of two maps of one size, then ReLU where asked for."""

    name: str
    sources: Tuple[str, str]
    relu: bool

    def compute(self, values: Values) -> np.ndarray:
        total = values[self.sources[0]] + values[self.sources[1]]
        return np.maximum(total, 0.0) if self.relu else total


@dataclass(frozen=True)
class Rows:
    """The cells of all sources one after the other, as one map of height 1: what a shared head reads."""

    name: str
    sources: Tuple[str, ...]

    def compute(self, values: Values) -> np.ndarray:
        return np.concatenate([values[source].reshape(len(values[source]), 1, -1) for source in self.sources], axis=2)


@dataclass(frozen=True)
class DeformConv(Conv):
    """A deformable convolution, version 2: `offsets` has (dy, dx) of each tap, then a logit of each tap.

    A tap counts 2 * sigmoid(logit) times; it is bilinear, each of its four neighbours 0 outside the map.
    """

    offsets: str = ""

    def gather(self, values: Values) -> np.ndarray:
        """The taps of every output pixel [kernel^2, C, H', W'], interpolated and modulated."""
        value, offsets = values[self.source], values[self.offsets]
        channels, height, width = value.shape
        taps = self.kernel * self.kernel
        out_height, out_width = offsets.shape[1:]
        padded = np.pad(value, ((0, 0), (1, 1), (1, 1)))  # one ring of zeros: neighbours outside
        y, x = np.mgrid[0:out_height, 0:out_width] * self.stride - self.padding
        result = np.empty((taps, channels, out_height, out_width))
        for tap in range(taps):
            at_y = y + tap // self.kernel + offsets[2 * tap]
            at_x = x + tap % self.kernel + offsets[2 * tap + 1]
            inside = (at_y > -1) & (at_y < height) & (at_x > -1) & (at_x < width)
            at_y, at_x = np.where(inside, at_y, 0.0), np.where(inside, at_x, 0.0)
            top, left = np.floor(at_y).astype(int), np.floor(at_x).astype(int)
            down, right = at_y - top, at_x - left
            modulation = np.where(inside, 2.0 / (1.0 + np.exp(-offsets[2 * taps + tap])), 0.0)
            result[tap] = modulation * (
                (1 - down) * (1 - right) * padded[:, top + 1, left + 1]
                + (1 - down) * right * padded[:, top + 1, left + 2]
                + down * (1 - right) * padded[:, top + 2, left + 1]
                + down * right * padded[:, top + 2, left + 2]
            )
        return result

    def compute(self, values: Values, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
        taps = self.gather(values)
        flat = taps.transpose(1, 0, 2, 3).reshape(self.c_in * len(taps), -1)
        product = weight.reshape(self.c_out, -1) @ flat + bias[:, None]
        return product.reshape(self.c_out, *taps.shape[2:])
