"""Anchors, matching and the box and landmark codes of the `biubug6` profile. NumPy, pixels, boxes as x1, y1, x2, y2."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

STRIDES = (8, 16, 32)
SIZES = ((16, 32), (64, 128), (256, 512))
VARIANCE_CENTRE = 0.1
VARIANCE_SIZE = 0.2

IGNORED = -1
"""Class target of an anchor that takes part in no class loss."""


@lru_cache(maxsize=64)
def make_anchors(height: int, width: int) -> np.ndarray:
    """Anchors [N, 4] as centre x, centre y, width, height; level by level, row-major, small size first. Read-only."""
    levels = []
    for stride, sizes in zip(STRIDES, SIZES):
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


def iou_of_pairs(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union [N] of corner-form boxes a[k] and b[k]."""
    sides = np.minimum(a[:, 2:], b[:, 2:]) - np.maximum(a[:, :2], b[:, :2])
    inter = np.maximum(sides, 0).prod(axis=1)
    return inter / np.maximum(area(a) + area(b) - inter, 1e-9)


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


def match(
    anchors: np.ndarray,
    boxes: np.ndarray,
    ignored: np.ndarray,
    positive_iou: float = 0.35,
    band_iou: float = 0.27,
    min_anchors: int = 3,
) -> tuple[np.ndarray, np.ndarray]:
    """Assigns faces to anchors.

    An anchor is positive for the face it overlaps best when IoU >= `positive_iou`. A face with fewer than
    `min_anchors` of those also takes its best anchors up to that number, wherever IoU >= 0.1: an 8-pixel face reaches
    at most IoU 0.25 with a 16-pixel anchor, and would otherwise be trained on one anchor or none. Anchors in the band
    `band_iou`..`positive_iou`, and those on `ignored` regions, take part in no class loss.

    Returns the class target [N] (1 face, 0 background, `IGNORED`) and the index [N] of the face.
    """
    shapes = corners(anchors)
    label = np.zeros(len(anchors), np.int64)
    index = np.zeros(len(anchors), np.int64)
    if len(ignored):
        inter = intersection(shapes, ignored)
        own = area(shapes)[:, None]
        union = own + area(ignored)[None] - inter
        label[((inter >= 0.5 * own) | (inter >= 0.15 * union)).any(axis=1)] = IGNORED
    if not len(boxes):
        return label, index
    overlap = iou(shapes, boxes)
    best = overlap.max(axis=1)
    index = overlap.argmax(axis=1)
    label[(best >= band_iou) & (best < positive_iou)] = IGNORED
    positive = best >= positive_iou
    count = np.bincount(index[positive], minlength=len(boxes))
    # Large faces first, so that where two faces compete for an anchor the smaller one, which has fewer, wins.
    for face in np.argsort(-area(boxes)):
        if count[face] >= min_anchors:
            continue
        column = overlap[:, face]
        top = np.argpartition(-column, min_anchors)[:min_anchors] if len(column) > min_anchors else np.arange(len(column))
        top = top[(column[top] >= 0.1) & ~(positive[top] & (best[top] > column[top] + 0.1))]
        index[top] = face
        positive[top] = True
    label[positive] = 1
    return label, index
