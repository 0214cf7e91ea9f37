"""SCRFD as a yardstick: an ONNX model of insightface, with five points, through ONNX Runtime. Measured, never trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from measure import SCORE_THRESHOLD, Detect, suppress

STRIDES = (8, 16, 32)
ANCHORS = 2
NMS_IOU = 0.4


def load(path: Path) -> Detect:
    """A detector from a model with inputs RGB (x - 127.5) / 128 of any size that is a multiple of 32, and outputs for every
    stride: scores [n, 1], distances of a box's sides [n, 4] and offsets of five points [n, 10], in strides, from the cell's
    corner (column, row) x stride; two anchors a cell.

    Raises ValueError if ONNX Runtime is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise ValueError(f"{path}: expected the Python package onnxruntime, found none") from None
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def detect(pixels: np.ndarray) -> np.ndarray:
        height, width = (-(-side // 32) * 32 for side in pixels.shape[:2])
        padded = np.zeros((height, width, 3), np.float32)
        padded[: pixels.shape[0], : pixels.shape[1]] = pixels
        outputs = session.run(None, {name: ((padded - 127.5) / 128).transpose(2, 0, 1)[None]})
        return decode(outputs, height, width)

    return detect


def decode(outputs: list[np.ndarray], height: int, width: int) -> np.ndarray:
    """Faces [n, 15], best first, from the outputs of an input of that size: scores of every stride, boxes of every stride,
    points of every stride."""
    levels = [values.reshape(-1, values.shape[-1]) for values in outputs]
    faces = []
    for k, stride in enumerate(STRIDES):
        scores, boxes, points = (levels[k + kind * len(STRIDES)] for kind in range(3))
        row, column, _ = np.indices((height // stride, width // stride, ANCHORS)).reshape(3, -1)
        corner = np.stack([column, row], axis=1) * float(stride)
        if len(corner) != len(scores):
            raise ValueError(f"expected {len(corner)} anchors of stride {stride}, found {len(scores)}")
        chosen = np.flatnonzero(scores[:, 0] > SCORE_THRESHOLD)
        corner, sides = corner[chosen], boxes[chosen] * stride
        faces.append(np.concatenate([
            scores[chosen], corner - sides[:, :2], corner + sides[:, 2:],
            (points[chosen].reshape(-1, 5, 2) * stride + corner[:, None]).reshape(-1, 10)], axis=1))
    found = np.concatenate(faces).astype(np.float64)
    return found[suppress(found[:, 1:5], found[:, 0], NMS_IOU, extra=0.0)]
