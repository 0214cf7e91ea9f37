"""Anchors, matching and the box and landmark codes of the `biubug6` profile. NumPy, pixels, boxes as x1, y1, x2, y2."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
import math
from pathlib import Path
import sys

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))
from retinaface_weights.network import ANCHOR_SIZES, LEVELS, PROFILES  # noqa: E402

STRIDES = tuple(2**level for level in LEVELS)
VARIANCE_CENTRE, VARIANCE_SIZE = PROFILES["biubug6"].variances

IGNORED = -1
"""Class target of an anchor that takes part in no class loss."""


@lru_cache(maxsize=64)
def make_anchors(height: int, width: int) -> np.ndarray:
    """Anchors [N, 4] as centre x, centre y, width, height; level by level, row-major, small size first. Read-only."""
    levels = []
    for stride, sizes in zip(STRIDES, ANCHOR_SIZES):
        rows, columns = -(-height // stride), -(-width // stride)
        cy, cx, size = np.meshgrid(
            (np.arange(rows) + 0.5) * stride, (np.arange(columns) + 0.5) * stride, np.array(sizes, float), indexing="ij"
        )
        levels.append(np.stack([cx, cy, size, size], axis=-1).reshape(-1, 4))
    anchors = np.concatenate(levels).astype(np.float32)
    anchors.setflags(write=False)
    return anchors


def corners(anchors: np.ndarray) -> np.ndarray:
    """Centre form [N, 4] to corner form [N, 4]."""
    half = anchors[:, 2:] / 2
    return np.concatenate([anchors[:, :2] - half, anchors[:, :2] + half], axis=1)


def intersection(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection areas [len(a), len(b)] of corner-form boxes."""
    # Axis by axis: several times faster than one three-dimensional array.
    width = np.minimum(a[:, 2, None], b[None, :, 2]) - np.maximum(a[:, 0, None], b[None, :, 0])
    height = np.minimum(a[:, 3, None], b[None, :, 3]) - np.maximum(a[:, 1, None], b[None, :, 1])
    return np.maximum(width, 0) * np.maximum(height, 0)


def area(boxes: np.ndarray) -> np.ndarray:
    """Areas [N] of corner-form boxes."""
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union [len(a), len(b)], continuous coordinates (no +1)."""
    inter = intersection(a, b)
    return inter / np.maximum(area(a)[:, None] + area(b)[None] - inter, 1e-9)


def encode_boxes(boxes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Regression targets [N, 4] of corner-form boxes [N, 4] for their anchors [N, 4] (centre form)."""
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    return np.concatenate(
        [
            (centre - anchors[:, :2]) / (VARIANCE_CENTRE * anchors[:, 2:]),
            np.log(size / anchors[:, 2:]) / VARIANCE_SIZE,
        ],
        axis=1,
    )


def decode_boxes(codes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Inverse of `encode_boxes`."""
    centre = anchors[:, :2] + codes[:, :2] * VARIANCE_CENTRE * anchors[:, 2:]
    half = anchors[:, 2:] * np.exp(codes[:, 2:] * VARIANCE_SIZE) / 2
    return np.concatenate([centre - half, centre + half], axis=1)


def encode_landmarks(points: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Targets [N, 10] of five points x, y each [N, 10] for their anchors."""
    offset = points.reshape(-1, 5, 2) - anchors[:, None, :2]
    return (offset / (VARIANCE_CENTRE * anchors[:, None, 2:])).reshape(-1, 10)


def decode_landmarks(codes: np.ndarray, anchors: np.ndarray) -> np.ndarray:
    """Inverse of `encode_landmarks`."""
    offset = codes.reshape(-1, 5, 2) * (VARIANCE_CENTRE * anchors[:, None, 2:])
    return (offset + anchors[:, None, :2]).reshape(-1, 10)


@dataclass(frozen=True)
class Pairs:
    """Anchors and boxes that overlap: indices of both, intersection and union of each pair [n]."""

    anchor: np.ndarray
    box: np.ndarray
    intersection: np.ndarray
    union: np.ndarray


def overlapping(boxes: np.ndarray, height: int, width: int, smallest: float = 0.0, largest: float = math.inf) -> Pairs:
    """Every pair of an anchor of a picture of that size and a box [n, 4] that it overlaps, if the box's area is `smallest` to
    `largest` times the anchor's.

    Only cells within reach of a box are looked at: a crowd has hundreds of faces, each of which few anchors overlap.
    """
    found = []
    first = 0
    for stride, sizes in zip(STRIDES, ANCHOR_SIZES):
        shape = np.array([-(-width // stride), -(-height // stride)])
        for position, size in enumerate(sizes):
            # Cells (column, row) whose anchor reaches into the box, from `low` up to `high`.
            low = np.maximum(np.floor((boxes[:, :2] - size / 2) / stride - 0.5).astype(np.int64) + 1, 0)
            high = np.minimum(np.ceil((boxes[:, 2:] + size / 2) / stride - 0.5).astype(np.int64), shape)
            share = area(boxes) / size**2
            counts = np.maximum(high - low, 0) * ((share >= smallest) & (share <= largest))[:, None]
            cells = counts.prod(axis=1)
            box = np.repeat(np.arange(len(boxes)), cells)
            inner = np.arange(len(box)) - np.repeat(np.cumsum(cells) - cells, cells)
            column = low[box, 0] + inner % counts[box, 0]
            row = low[box, 1] + inner // counts[box, 0]
            x, y = (column + 0.5) * stride, (row + 0.5) * stride
            half, corner = size / 2, boxes[box]
            inter = (np.minimum(x + half, corner[:, 2]) - np.maximum(x - half, corner[:, 0])) * (
                np.minimum(y + half, corner[:, 3]) - np.maximum(y - half, corner[:, 1]))
            found.append((first + (row * shape[0] + column) * len(sizes) + position, box, inter, size**2 + area(corner) - inter))
        first += int(shape.prod()) * len(sizes)
    return Pairs(*(np.concatenate(values) for values in zip(*found)))


def match(
    height: int, width: int, boxes: np.ndarray, ignored: np.ndarray, positive_iou: float = 0.35, band_iou: float = 0.27,
    min_anchors: int = 3,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Assigns faces to the anchors of a picture.

    An anchor is positive for the face it overlaps best when IoU >= `positive_iou`. A face with fewer than
    `min_anchors` of those also takes its best anchors up to that number, wherever IoU >= 0.1: an 8-pixel face reaches
    at most IoU 0.25 with a 16-pixel anchor, and would otherwise be trained on one anchor or none. Anchors in the band
    `band_iou`..`positive_iou`, and those on `ignored` regions, take part in no class loss.

    Returns the class target [N] (1 face, 0 background, `IGNORED`), the index [N] of the face, and the IoU [N] with it.
    """
    count = len(make_anchors(height, width))
    label = np.zeros(count, np.int64)
    index = np.zeros(count, np.int64)
    overlap = np.zeros(count)
    if len(ignored):
        pairs = overlapping(ignored, height, width, smallest=0.15)
        own = make_anchors(height, width)[pairs.anchor, 2] ** 2
        label[pairs.anchor[(pairs.intersection >= 0.5 * own) | (pairs.intersection >= 0.15 * pairs.union)]] = IGNORED
    if not len(boxes):
        return label, index, overlap
    pairs = overlapping(boxes, height, width, smallest=0.1, largest=10)
    iou_of = pairs.intersection / pairs.union
    order = np.flatnonzero(iou_of >= 0.1)
    order = order[np.argsort(iou_of[order], kind="stable")]
    anchor, face, value = pairs.anchor[order], pairs.box[order], iou_of[order]
    # In ascending order the last write, which stays, is the best.
    index[anchor] = face
    overlap[anchor] = value
    label[(overlap >= band_iou) & (overlap < positive_iou)] = IGNORED
    positive = overlap >= positive_iou
    has = np.bincount(index[positive], minlength=len(boxes))
    by_face = np.argsort(face, kind="stable")
    ends = np.cumsum(np.bincount(face, minlength=len(boxes)))
    # Large faces first, so that where two faces compete for an anchor the smaller one, which has fewer, wins.
    for k in np.argsort(-area(boxes)):
        if has[k] >= min_anchors:
            continue
        best = by_face[ends[k - 1] if k else 0 : ends[k]][-min_anchors:]
        top, mine = anchor[best], value[best]
        free = ~(positive[top] & (overlap[top] > mine + 0.1))
        top, mine = top[free], mine[free]
        index[top] = k
        overlap[top] = mine
        positive[top] = True
    label[positive] = 1
    return label, index, overlap
