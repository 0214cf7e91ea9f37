"""The landmark refiner: a small network that finds 68 landmarks in a crop aligned by five points. `include/retinaface/mesh/refiner.hpp` runs it.

Input: the crop, SIDE x SIDE, R, G, B less MEAN. Output: 68 x 2 numbers, a landmark's place in the crop as MEAN_SHAPE + OUTPUT_SCALE * number.
"""

from __future__ import annotations

from typing import Sequence

import numpy as np
from PIL import Image

SIDE = 112
"""Pixels of the network's crop."""
STORED = 160
"""Pixels of the crops that training keeps: the same scale as SIDE's, with room around."""
MEAN = 127.5
OUTPUT_SCALE = 10.0
"""Pixels."""

# ArcFace's template (image left first) around its middle, shrunk and lifted: the whole face with its jaw must fit.
_ARCFACE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
TEMPLATE = (_ARCFACE - [56.0, 72.0]) * 0.72 + [56.0, 60.0]
"""Where the five points lie in the crop, [5, 2]."""

LAYERS = (
    # name, kind, channels in, channels out, stride
    ("layer0", "stem", 3, 16, 2),
    ("layer1", "separable", 16, 32, 2),
    ("layer2", "separable", 32, 64, 1),
    ("layer3", "separable", 64, 64, 2),
    ("layer4", "separable", 64, 96, 1),
    ("layer5", "separable", 96, 96, 1),
    ("layer6", "separable", 96, 128, 2),
    ("layer7", "separable", 128, 128, 1),
    ("layer8", "separable", 128, 8, 1),
)
"""All followed by ReLU; then a fully connected layer from the 7 x 7 x 8 values to 136."""


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The similarity [2, 3] of least squares from points [n, 2] to points [n, 2] (Umeyama, without mirroring)."""
    a, b = source - source.mean(0), target - target.mean(0)
    za, zb = a @ [1, 1j], b @ [1, 1j]
    turn = np.vdot(za, zb) / np.vdot(za, za)
    linear = np.array([[turn.real, -turn.imag], [turn.imag, turn.real]])
    return np.concatenate([linear, (target.mean(0) - linear @ source.mean(0))[:, None]], 1)


def align(five: np.ndarray, side: int = SIDE) -> np.ndarray:
    """From pixels of the picture to those of a crop of `side`, in whose middle lies that of SIDE."""
    return similarity(five, TEMPLATE + (side - SIDE) / 2)


def moved(transform: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ transform[:, :2].T + transform[:, 2]


def warp(picture: Image.Image, to_crop: np.ndarray, side: int) -> np.ndarray:
    """The crop [side, side, 3]. Where it has fewer than half the picture's pixels, these are averaged first, as the Aligner does."""
    scale = float(np.hypot(to_crop[0, 0], to_crop[1, 0]))
    corners = (np.array([[0, 0], [side, 0], [0, side], [side, side]]) - to_crop[:, 2]) @ np.linalg.inv(to_crop[:, :2]).T
    left, top = np.floor(corners.min(0)).astype(int) - 2
    right, bottom = np.ceil(corners.max(0)).astype(int) + 2
    region = picture.crop((left, top, right, bottom))
    factor = max(1, int(0.5 / scale + 0.5)) if scale < 0.5 else 1
    if factor > 1:
        region = region.reduce(factor)
    inverse = np.linalg.inv(to_crop[:, :2])
    offset = (-inverse @ to_crop[:, 2] - [left, top]) / factor
    matrix = inverse / factor
    return np.asarray(region.transform((side, side), Image.Transform.AFFINE, (*matrix[0], offset[0], *matrix[1], offset[1]),
                                       Image.Resampling.BILINEAR))


def multiply_adds(layers: Sequence[tuple] = LAYERS) -> int:
    """Of a crop."""
    total, side = 0, SIDE
    for _, kind, c_in, c_out, stride in layers:
        side //= stride
        total += side * side * (9 * c_in * c_out if kind == "stem" else 9 * c_in + c_in * c_out)
    return total + side * side * layers[-1][3] * 136
