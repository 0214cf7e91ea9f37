"""insightface's mnet.25 and mnet12: the tool's faces against a decoder written here from that project's conventions, which starts from the
original network's outputs: levels coarse to fine, large anchors first, corners that include their pixel, all deviations 1 (of mnet12's
landmarks 0.2)."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import pytest
from conftest import ROOT, SHARED, TRIMMED, detect
from PIL import Image

ANCHORS = {32: [(-248, 263), (-120, 135)], 16: [(-56, 71), (-24, 39)], 8: [(-8, 23), (0, 15)]}
PICTURES = ["tiny", "vga"] if TRIMMED else ["tiny", "vga", "five", "crowd"]


def decode(
    outputs: Dict[str, np.ndarray], width: int, height: int, threshold: float, landmark_deviation: float
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    scores, boxes, points = [], [], []
    for stride, squares in ANCHORS.items():
        probability = outputs[f"face_rpn_cls_prob_reshape_stride{stride}"]
        delta = outputs[f"face_rpn_bbox_pred_stride{stride}"]
        landmark = outputs[f"face_rpn_landmark_pred_stride{stride}"]
        for i in range(probability.shape[1]):
            for j in range(probability.shape[2]):
                for a, (low, high) in enumerate(squares):
                    score = probability[2 + a, i, j]
                    if score < threshold:
                        continue
                    x1, y1, x2, y2 = low + stride * j, low + stride * i, high + stride * j, high + stride * i
                    w, h = x2 - x1 + 1.0, y2 - y1 + 1.0
                    cx, cy = x1 + 0.5 * (w - 1), y1 + 0.5 * (h - 1)
                    dx, dy, dw, dh = delta[4 * a : 4 * a + 4, i, j].astype(np.float64)
                    x, y, nw, nh = dx * w + cx, dy * h + cy, np.exp(dw) * w, np.exp(dh) * h
                    box = [x - 0.5 * (nw - 1), y - 0.5 * (nh - 1), x + 0.5 * (nw - 1), y + 0.5 * (nh - 1)]
                    limits = [width - 1, height - 1, width - 1, height - 1]
                    boxes.append([min(max(v, 0), limit) for v, limit in zip(box, limits)])
                    five = landmark[10 * a : 10 * a + 10, i, j].astype(np.float64).reshape(5, 2) * landmark_deviation
                    points.append(five * [w, h] + [cx, cy])
                    scores.append(score)
    return np.array(scores, np.float64), np.array(boxes).reshape(-1, 4), np.array(points).reshape(-1, 5, 2)


def suppress(scores: np.ndarray, boxes: np.ndarray, threshold: float) -> List[int]:
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    order = np.argsort(-scores, kind="stable")
    kept = []
    while len(order):
        k, rest = order[0], order[1:]
        kept.append(int(k))
        w = np.maximum(0, np.minimum(x2[k], x2[rest]) - np.maximum(x1[k], x1[rest]) + 1)
        h = np.maximum(0, np.minimum(y2[k], y2[rest]) - np.maximum(y1[k], y1[rest]) + 1)
        order = rest[w * h / (areas[k] + areas[rest] - w * h) < threshold]
    return kept


@pytest.fixture(scope="module", params=["mnet.25", "mnet12"])
def mnet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tuple[str, Path]:
    """A network's name, and its converted weights."""
    source = SHARED / "weights" / f"insightface_{request.param}-0000.params"
    if not source.exists():
        pytest.skip(f"{source} is not there")
    model = tmp_path_factory.mktemp("mnet") / "model.safetensors"
    done = subprocess.run(["python3", str(ROOT / "tools" / "convert_weights.py"), str(source), "-o", str(model)], stdout=subprocess.PIPE)
    assert done.returncode == 0
    return request.param, model


@pytest.mark.parametrize("threshold", [0.02, 0.5])
@pytest.mark.parametrize("name", PICTURES)
def test_faces(name: str, threshold: float, mnet: Tuple[str, Path]) -> None:
    network, model = mnet
    picture = SHARED / "golden" / "biubug6" / f"{name}.png"
    golden = SHARED / "golden" / {"mnet.25": "insightface", "mnet12": "insightface_mnet12"}[network] / f"{name}.npz"
    if not picture.exists() or not golden.exists():
        pytest.skip(f"{golden} is not there")
    with Image.open(picture) as image:
        width, height = image.size
    scores, boxes, points = decode(dict(np.load(golden)), width, height, threshold, 0.2 if network == "mnet12" else 1.0)
    kept = suppress(scores, boxes, 0.4)
    (line,) = detect("--score", threshold, picture, model=model)
    found = line["faces"]
    assert len(found) == len(kept)
    for face, k in zip(found, kept):
        assert face["score"] == pytest.approx(scores[k], abs=1e-4)
    # Scores nearer to each other than that may change places.
    left = list(kept)
    for face in found:
        k = min(left, key=lambda i: np.abs(boxes[i] - face["box"]).max() + np.abs(points[i] - face["landmarks"]).max())
        np.testing.assert_allclose(face["box"], boxes[k], atol=0.02)
        np.testing.assert_allclose(face["landmarks"], points[k], atol=0.02)
        assert face["score"] == pytest.approx(scores[k], abs=1e-4)
        left.remove(k)
