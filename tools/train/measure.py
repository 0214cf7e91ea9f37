"""How good detections are: average precision, landmark error, crowds.

House AP: candidates with score > 0.02 after suppression at IoU 0.4; faces with sqrt(area) < 8 px are ignored; every
detection, best score first, takes the face that it overlaps most (IoU without +1): IoU < 0.5 or a face already taken is
a false alarm, an ignored face counts as neither; the AP is the area under the all-point envelope.

On crowds, of which people marked heads, a detection is right if its centre lies in a head that no better one took.
"""

from __future__ import annotations

from collections.abc import Callable
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
import torch

import anchors as anchor_code
from model import Network, prepare
from photos import HEAD_TO_FACE, Photo

SCORE_THRESHOLD = 0.02
NMS_IOU = 0.4
MATCH_IOU = 0.5
IGNORE_BELOW = 8.0
"""Side in pixels of a face under which it is ignored; of a head, `HEAD_TO_FACE` times as much."""
MAX_CANDIDATES = 3000
"""Best candidates an image that enter suppression: early checkpoints yield tens of thousands."""
LANDMARK_SCORE = 0.5
"""Detections count for the landmark error from this score on: the faces that an application would use."""
REFERENCE_SCORE = 0.8
"""A reference network's faces count for the landmark error from this score on."""
SURE_SCORE = 0.9
"""A teacher's faces in a head count for the recall on crowds from this score on."""

Detect = Callable[[np.ndarray], np.ndarray]
"""Pixels [H, W, 3] uint8, R, G, B, to faces [n, 15], best first: score, box, five landmarks, in pixels."""


def suppress(boxes: np.ndarray, scores: np.ndarray, nms_iou: float = NMS_IOU, extra: float = 1.0) -> np.ndarray:
    """Indices kept by greedy suppression, best first. Overlaps are measured with +1 (`extra`), as in the `biubug6` profile."""
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    boxes = boxes[order]
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + extra) * (y2 - y1 + extra)
    alive = np.ones(len(order), bool)
    kept = []
    for k in range(len(order)):
        if not alive[k]:
            continue
        kept.append(order[k])
        w = np.minimum(x2[k], x2[k + 1 :]) - np.maximum(x1[k], x1[k + 1 :]) + extra
        h = np.minimum(y2[k], y2[k + 1 :]) - np.maximum(y1[k], y1[k + 1 :]) + extra
        inter = np.maximum(w, 0) * np.maximum(h, 0)
        alive[k + 1 :] &= inter <= nms_iou * (areas[k] + areas[k + 1 :] - inter)
    return np.array(kept, np.int64)


@torch.inference_mode()
def detect(model: Network, pixels: np.ndarray) -> np.ndarray:
    """Faces [n, 15] of pixels [H, W, 3] that a network in inference mode finds; see `Detect`."""
    device = next(model.parameters()).device
    outputs = model(prepare(torch.from_numpy(np.array(pixels))[None].to(device), model.profile))
    scores = outputs["class"][0].float().softmax(-1)[:, 1].cpu().numpy()
    chosen = np.flatnonzero(scores > SCORE_THRESHOLD)
    anchors = anchor_code.make_anchors(*pixels.shape[:2])[chosen]
    scores = scores[chosen]
    boxes = anchor_code.decode_boxes(outputs["box"][0].float().cpu().numpy()[chosen], anchors)
    points = anchor_code.decode_landmarks(outputs["landmark"][0].float().cpu().numpy()[chosen], anchors)
    kept = suppress(boxes, scores)
    return np.concatenate([scores[kept, None], boxes[kept], points[kept]], axis=1)


def detect_resized(detector: Detect, photo: Photo, scale: float = 1.0) -> np.ndarray:
    """What `detector` finds in a photograph resized by `scale` (bilinear, with a prefilter when shrinking), in pixels of the
    photograph as it is."""
    if scale == 1.0:
        return detector(photo.pixels)
    size = (max(1, round(photo.width * scale)), max(1, round(photo.height * scale)))
    image = Image.fromarray(np.ascontiguousarray(photo.pixels)).resize(size, Image.Resampling.BILINEAR)
    faces = detector(np.asarray(image))
    faces[:, 1:] /= np.tile([size[0] / photo.width, size[1] / photo.height], 7)
    return faces


@dataclass
class Marks:
    """Every detection of one image judged: score [n], outcome [n] (1 found a face, 0 false alarm, -1 neither), the
    face found [n] (index, -1: none), the detection's side [n] in pixels, and the faces that count [f]."""

    scores: np.ndarray
    outcome: np.ndarray
    face: np.ndarray
    sides: np.ndarray
    counted: np.ndarray


def sides_of(boxes: np.ndarray) -> np.ndarray:
    """Square roots of the areas of boxes [n, 4]."""
    return np.sqrt(np.maximum(anchor_code.area(boxes), 0))


def judge(found: np.ndarray, truth: np.ndarray) -> Marks:
    """Applies the House rule to detections [n, 15] (best first) and faces [f, 4] of one image."""
    counted = sides_of(truth) >= IGNORE_BELOW
    marks = Marks(found[:, 0], np.zeros(len(found), np.int64), np.full(len(found), -1), sides_of(found[:, 1:5]), counted)
    if len(truth) and len(found):
        overlap = anchor_code.iou(found[:, 1:5].astype(np.float64), truth.astype(np.float64))
        taken = np.zeros(len(truth), bool)
        for k, best in enumerate(overlap.argmax(axis=1)):
            if overlap[k, best] < MATCH_IOU:
                continue
            if not counted[best]:
                marks.outcome[k] = -1
            elif not taken[best]:
                taken[best] = True
                marks.outcome[k] = 1
                marks.face[k] = best
    return marks


def judge_crowd(found: np.ndarray, heads: np.ndarray) -> Marks:
    """Applies the rule for crowds to detections [n, 15] (best first) and heads [h, 4] of one image.

    A detection takes, of the heads that hold its centre and that no better one took, the one whose centre is nearest. In a
    taken head only, or in none, it is a false alarm; a head too small to count makes it neither.
    """
    counted = sides_of(heads) >= IGNORE_BELOW * HEAD_TO_FACE
    marks = Marks(found[:, 0], np.zeros(len(found), np.int64), np.full(len(found), -1), sides_of(found[:, 1:5]), counted)
    free = np.ones(len(heads), bool)
    middles = (heads[:, :2] + heads[:, 2:]) / 2
    for k, centre in enumerate((found[:, 1:3] + found[:, 3:5]) / 2):
        holds = ((centre >= heads[:, :2]) & (centre <= heads[:, 2:])).all(axis=1) & free
        if holds.any():
            head = int(np.where(holds, ((middles - centre) ** 2).sum(axis=1), np.inf).argmin())
            free[head] = False
            marks.outcome[k] = 1 if counted[head] else -1
            marks.face[k] = head
    return marks


def judge_photo(found: np.ndarray, photo: Photo) -> Marks:
    """Applies the rule for what people marked on the photograph."""
    return (judge_crowd if photo.heads else judge)(found, photo.marked)


def average_precision(scores: np.ndarray, outcome: np.ndarray, faces: int) -> float:
    """Area under the all-point envelope of precision over recall. `outcome` -1 entries take no part."""
    use = outcome >= 0
    scores, outcome = scores[use], outcome[use]
    order = np.argsort(-scores, kind="stable")
    hits = np.cumsum(outcome[order] == 1)
    if not len(hits) or not faces:
        return 0.0
    recall = np.concatenate([[0.0], hits / faces])
    precision = np.concatenate([[0.0], hits / np.arange(1, len(hits) + 1)])
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall) * precision[1:]))


def pooled_ap(marks: list[Marks]) -> float:
    """AP over the detections of all images together."""
    if not marks:
        return 0.0
    return average_precision(
        np.concatenate([m.scores for m in marks]), np.concatenate([m.outcome for m in marks]),
        int(sum(m.counted.sum() for m in marks)),
    )


def at_threshold(marks: list[Marks], threshold: float) -> tuple[float, float]:
    """Recall and precision of the detections with score >= `threshold`."""
    hits = sum(int(((m.outcome == 1) & (m.scores >= threshold)).sum()) for m in marks)
    alarms = sum(int(((m.outcome == 0) & (m.scores >= threshold)).sum()) for m in marks)
    return hits / max(1, sum(int(m.counted.sum()) for m in marks)), hits / max(1, hits + alarms)


def threshold_of_precision(marks: list[Marks], precision: float) -> float:
    """The lowest score such that of the detections that have it or more at least that share is right; 0.5 where there is none."""
    scores = np.concatenate([m.scores for m in marks]) if marks else np.zeros(0)
    outcome = np.concatenate([m.outcome for m in marks]) if marks else np.zeros(0)
    order = np.argsort(-scores, kind="stable")
    order = order[outcome[order] >= 0]
    hits = np.cumsum(outcome[order] == 1)
    enough = np.flatnonzero(hits >= precision * np.arange(1, len(hits) + 1))
    return float(scores[order[enough[-1]]]) if len(enough) else 0.5


SIZE_BUCKETS = ((8, 16), (16, 32), (32, 64), (64, 128), (128, 100000))
"""Face sides in pixels, lower bound included. In units of the image the network saw: resized faces change bucket."""


def bucket_ap(marks: list[Marks], truth: list[np.ndarray], bucket: tuple[float, float], scale: float) -> tuple[float, int]:
    """AP and number of the faces of one size bucket. Faces outside it are ignored; so are false alarms whose own size
    lies outside it, as in COCO's AP by area (they belong to another bucket)."""
    scores, outcome, faces = [], [], 0
    for mark, boxes in zip(marks, truth):
        side = sides_of(boxes) * scale
        inside = mark.counted & (side >= bucket[0]) & (side < bucket[1])
        faces += int(inside.sum())
        result = mark.outcome.copy()
        result[(mark.outcome == 1) & ~inside[np.maximum(mark.face, 0)] if len(inside) else mark.outcome == 1] = -1
        result[(mark.outcome == 0) & ~((mark.sides * scale >= bucket[0]) & (mark.sides * scale < bucket[1]))] = -1
        scores.append(mark.scores)
        outcome.append(result)
    return average_precision(np.concatenate(scores), np.concatenate(outcome), faces), faces


def best_overlaps(faces: np.ndarray, boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every box [k, 4] the detection [n, 15] that overlaps it most: index [k] and IoU [k] (0 where there is none)."""
    if not len(faces) or not len(boxes):
        return np.zeros(len(boxes), np.int64), np.zeros(len(boxes))
    overlap = anchor_code.iou(boxes.astype(np.float64), faces[:, 1:5].astype(np.float64))
    return overlap.argmax(axis=1), overlap.max(axis=1)


def landmark_errors(found: list[np.ndarray], photos: list[Photo]) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the five points from those of the photographs' teacher.

    Its faces with score >= `REFERENCE_SCORE` are compared with the detection that overlaps them most (IoU >= 0.5, score >=
    `LANDMARK_SCORE`). Returns the error [n] (mean point distance / sqrt of the teacher's box's area; NaN where the face was
    not found) and the teacher's faces' sides [n] in pixels.
    """
    errors, sides = [np.zeros(0)], [np.zeros(0)]
    for faces, photo in zip(found, photos):
        truth = photo.teacher[photo.teacher[:, 0] >= REFERENCE_SCORE].astype(np.float64)
        faces = faces[faces[:, 0] >= LANDMARK_SCORE]
        which, overlap = best_overlaps(faces, truth[:, 1:5])
        side = sides_of(truth[:, 1:5])
        error = np.full(len(truth), np.nan)
        hit = overlap >= MATCH_IOU
        distance = (faces[which[hit], 5:] - truth[hit, 5:]).reshape(-1, 5, 2)
        error[hit] = np.hypot(distance[..., 0], distance[..., 1]).mean(axis=1) / side[hit]
        errors.append(error)
        sides.append(side)
    return np.concatenate(errors), np.concatenate(sides)


def sure_recall(found: list[np.ndarray], photos: list[Photo], threshold: float) -> tuple[float, int]:
    """Recall of the teacher's faces of score >= `SURE_SCORE` and side >= `IGNORE_BELOW` by detections of score >=
    `threshold` (IoU >= 0.5), and their number."""
    hits = faces = 0
    for detections, photo in zip(found, photos):
        boxes = photo.teacher[photo.teacher[:, 0] >= SURE_SCORE, 1:5]
        boxes = boxes[sides_of(boxes) >= IGNORE_BELOW]
        _, overlap = best_overlaps(detections[detections[:, 0] >= threshold], boxes)
        hits += int((overlap >= MATCH_IOU).sum())
        faces += len(boxes)
    return hits / max(1, faces), faces


def bootstrap(ours: list[Marks], theirs: list[Marks], rounds: int = 1000, seed: int = 1) -> tuple[float, float, float, float]:
    """Paired bootstrap over images of AP(ours) - AP(theirs): mean, 2.5 % and 97.5 % points, share of rounds above 0."""
    generator = np.random.default_rng(seed)
    differences = np.empty(rounds)
    tables = []
    for marks in (ours, theirs):
        image = np.concatenate([np.full(len(m.scores), k) for k, m in enumerate(marks)])
        scores = np.concatenate([m.scores for m in marks])
        outcome = np.concatenate([m.outcome for m in marks])
        order = np.argsort(-scores, kind="stable")
        order = order[outcome[order] >= 0]
        tables.append((image[order], outcome[order] == 1))
    faces = np.array([m.counted.sum() for m in ours])
    for k in range(rounds):
        weight = np.bincount(generator.integers(0, len(ours), len(ours)), minlength=len(ours))
        values = []
        for image, hit in tables:
            drawn = weight[image]
            hits = np.cumsum(drawn * hit)
            precision = hits / np.maximum(np.cumsum(drawn), 1)
            precision = np.maximum.accumulate(precision[::-1])[::-1]
            values.append(float(np.sum(drawn * hit * precision)) / max(1, int((weight * faces).sum())))
        differences[k] = values[0] - values[1]
    low, high = np.percentile(differences, (2.5, 97.5))
    return float(differences.mean()), float(low), float(high), float((differences > 0).mean())


def append_progress(path: Path, step: int, crops: int, model: Network, dev: dict[str, list[Photo]]) -> None:
    """Adds a row to a CSV during training: AP of every collection's dev photographs, those with faces that people drew also
    at half their size."""
    row: dict[str, float] = {"step": step, "crops": crops}
    for name, photos in dev.items():
        for scale in (1.0,) if photos[0].heads else (1.0, 0.5):
            found = [detect_resized(lambda pixels: detect(model, pixels), photo, scale) for photo in photos]
            row[f"{name} x{scale:g}"] = round(pooled_ap([judge_photo(f, p) for f, p in zip(found, photos)]), 4)
    fresh = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    print("AP  " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
