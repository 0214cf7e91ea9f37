"""Measures a detector: House AP (average precision), by source and face size, landmark error, false alarms.

House AP: candidates with score > 0.02 after suppression at IoU 0.4; faces with sqrt(area) < 8 px are ignored; every
detection, best score first, takes the face that it overlaps most (IoU without +1): IoU < 0.5 or a face already taken is
a false alarm, an ignored face counts as neither; the AP is the area under the all-point envelope.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import dataclass
import json
import math
from pathlib import Path
import sys

import numpy as np
from PIL import Image
import torch

import anchors as anchor_code
import data
from model import PIXEL_MEAN_BGR, RetinaFace, load_detector

SCORE_THRESHOLD = 0.02
NMS_IOU = 0.4
MATCH_IOU = 0.5
IGNORE_BELOW = 8.0
MAX_CANDIDATES = 3000
"""Best candidates an image that enter suppression: early checkpoints yield tens of thousands."""
CROWD_SIDE = 640
"""Pixels a side of the synthetic crowds."""
LARGEST_CLOSE_UP = 4096
"""Of `--close-ups`, pixels."""


def suppress(boxes: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Indices kept by greedy suppression, best first. Overlaps are measured with +1, as in the `biubug6` profile."""
    order = np.argsort(-scores, kind="stable")[:MAX_CANDIDATES]
    boxes = boxes[order]
    x1, y1, x2, y2 = boxes.T
    areas = (x2 - x1 + 1) * (y2 - y1 + 1)
    alive = np.ones(len(order), bool)
    kept = []
    for k in range(len(order)):
        if not alive[k]:
            continue
        kept.append(order[k])
        w = np.minimum(x2[k], x2[k + 1 :]) - np.maximum(x1[k], x1[k + 1 :]) + 1
        h = np.minimum(y2[k], y2[k + 1 :]) - np.maximum(y1[k], y1[k + 1 :]) + 1
        inter = np.maximum(w, 0) * np.maximum(h, 0)
        alive[k + 1 :] &= inter <= NMS_IOU * (areas[k] + areas[k + 1 :] - inter)
    return np.array(kept, np.int64)


@torch.inference_mode()
def detect(model: RetinaFace, image: Image.Image, scale: float = 1.0, pad: int = 1) -> np.ndarray:
    """Faces [n, 15] of an RGB image, best first: score, box, five landmarks, in pixels of the image as given.

    The image is resized by `scale` first (bilinear, with a prefilter when shrinking). `pad` > 1 fills the right and the
    bottom up to a multiple with the mean colour: fewer distinct shapes, which saves time when only the trend matters.
    """
    if scale != 1.0:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        factors = np.array([size[0] / image.width, size[1] / image.height], np.float32)
        image = image.resize(size, Image.Resampling.BILINEAR)
    else:
        factors = np.ones(2, np.float32)
    pixels = np.asarray(image, np.float32)[:, :, ::-1] - np.array(PIXEL_MEAN_BGR, np.float32)
    height, width = (-(-side // pad) * pad for side in pixels.shape[:2])
    padded = np.zeros((height, width, 3), np.float32)
    padded[: pixels.shape[0], : pixels.shape[1]] = pixels
    device = next(model.parameters()).device
    logits, boxes, points = model(torch.from_numpy(padded).to(device).permute(2, 0, 1)[None])
    scores = logits[0].float().softmax(-1)[:, 1].cpu().numpy()
    chosen = np.flatnonzero(scores > SCORE_THRESHOLD)
    anchors = anchor_code.make_anchors(height, width)[chosen]
    scores = scores[chosen]
    boxes = anchor_code.decode_boxes(boxes[0].float().cpu().numpy()[chosen], anchors) / np.tile(factors, 2)
    points = anchor_code.decode_landmarks(points[0].float().cpu().numpy()[chosen], anchors) / np.tile(factors, 5)
    kept = suppress(boxes, scores)
    return np.concatenate([scores[kept, None], boxes[kept], points[kept]], axis=1)


@dataclass
class Marks:
    """Every detection of one image judged: score [n], outcome [n] (1 found a face, 0 false alarm, -1 neither), the
    face found [n] (index, -1: none), the detection's side [n] in pixels, and the faces that count [f]."""

    scores: np.ndarray
    outcome: np.ndarray
    face: np.ndarray
    sides: np.ndarray
    counted: np.ndarray


def judge(found: np.ndarray, truth: np.ndarray, match_iou: float = MATCH_IOU) -> Marks:
    """Applies the House rule to detections [n, 15] (best first) and faces [f, 4] of one image."""
    size = np.sqrt(np.maximum(anchor_code.area(truth), 0)) if len(truth) else np.zeros(0)
    counted = size >= IGNORE_BELOW
    outcome = np.zeros(len(found), np.int64)
    face = np.full(len(found), -1)
    if len(truth) and len(found):
        overlap = anchor_code.iou(found[:, 1:5].astype(np.float64), truth.astype(np.float64))
        taken = np.zeros(len(truth), bool)
        for k in range(len(found)):
            best = int(overlap[k].argmax())
            if overlap[k, best] < match_iou:
                continue
            if not counted[best]:
                outcome[k] = -1
            elif not taken[best]:
                taken[best] = True
                outcome[k] = 1
                face[k] = best
    sides = np.sqrt(np.maximum(anchor_code.area(found[:, 1:5]), 0))
    return Marks(found[:, 0], outcome, face, sides, counted)


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


def append_progress(
    path: Path, step: int, crops: int, model: RetinaFace, sets: dict[str, list[data.Photo]], limit: int
) -> None:
    """Adds a row to a CSV of AP during training: every set at stored size and resized by 0.5."""
    model.eval()
    row: dict[str, float] = {"step": step, "crops": crops}
    for name, photos in sets.items():
        for scale in (1.0, 0.5):
            marks = [judge(detect(model, p.image, scale, pad=64), p.boxes) for p in photos[:limit]]
            row[f"{name}@{scale}"] = round(pooled_ap(marks), 4)
    fresh = not path.exists()
    with open(path, "a", newline="", encoding="utf-8") as lines:
        writer = csv.DictWriter(lines, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)
    print("AP  " + "  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def at_threshold(marks: list[Marks], threshold: float) -> tuple[float, float]:
    """Recall and precision of the detections with score >= `threshold`."""
    hits = sum(int(((m.outcome == 1) & (m.scores >= threshold)).sum()) for m in marks)
    alarms = sum(int(((m.outcome == 0) & (m.scores >= threshold)).sum()) for m in marks)
    return hits / max(1, sum(int(m.counted.sum()) for m in marks)), hits / max(1, hits + alarms)


def threshold_for_recall(marks: list[Marks], recall: float) -> float:
    """The highest score threshold at which `recall` is reached; 0 where it never is."""
    scores = np.sort(np.concatenate([m.scores[m.outcome == 1] for m in marks]))[::-1]
    needed = int(np.ceil(recall * sum(int(m.counted.sum()) for m in marks) - 1e-9))
    return float(scores[needed - 1]) if 0 < needed <= len(scores) else 0.0


SIZE_BUCKETS = ((8, 16), (16, 32), (32, 64), (64, 128), (128, 100000))
"""Face sides in pixels, lower bound included. In units of the image the network saw: resized faces change bucket."""


def bucket_ap(marks: list[Marks], photos: list[data.Photo], bucket: tuple[float, float], scale: float) -> tuple[float, int]:
    """AP and number of the faces of one size bucket. Faces outside it are ignored; so are false alarms whose own size
    lies outside it, as in COCO's AP by area (they belong to another bucket)."""
    scores, outcome, faces = [], [], 0
    for mark, photo in zip(marks, photos):
        side = np.sqrt(np.maximum(anchor_code.area(photo.boxes), 0)) * scale
        inside = mark.counted & (side >= bucket[0]) & (side < bucket[1])
        faces += int(inside.sum())
        result = mark.outcome.copy()
        result[(mark.outcome == 1) & ~inside[np.maximum(mark.face, 0)] if len(inside) else mark.outcome == 1] = -1
        result[(mark.outcome == 0) & ~((mark.sides * scale >= bucket[0]) & (mark.sides * scale < bucket[1]))] = -1
        scores.append(mark.scores)
        outcome.append(result)
    return average_precision(np.concatenate(scores), np.concatenate(outcome), faces), faces


LANDMARK_SCORE = 0.5
"""Detections count for the landmark error from this score on: the faces that an application would use."""

REFERENCE_SCORE = 0.8
"""A reference network's faces count from this score on."""


def landmark_errors(found: list[np.ndarray], reference: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distances of the five points from those of a reference network's faces.

    `reference`: per image [k, 15]; its faces with score >= `REFERENCE_SCORE` are compared with the detection that overlaps them most
    (IoU >= 0.5, score >= `LANDMARK_SCORE`). Returns the error [n] (mean point distance / sqrt of the reference box's area; NaN where
    the face was not found) and the reference faces' sides [n] in pixels.
    """
    errors, sides = [], []
    for faces, truth in zip(found, reference):
        truth = truth[truth[:, 0] >= REFERENCE_SCORE]
        faces = faces[faces[:, 0] >= LANDMARK_SCORE]
        overlap = anchor_code.iou(truth[:, 1:5], faces[:, 1:5]) if len(faces) else np.zeros((len(truth), 0))
        for k, face in enumerate(truth):
            side = float(np.sqrt(max(0.0, (face[3] - face[1]) * (face[4] - face[2]))))
            sides.append(side)
            if not len(faces) or overlap[k].max() < MATCH_IOU:
                errors.append(np.nan)
                continue
            points = faces[overlap[k].argmax(), 5:].reshape(5, 2)
            errors.append(float(np.linalg.norm(points - face[5:].reshape(5, 2), axis=1).mean()) / side)
    return np.array(errors), np.array(sides)


def confirmed(reference: list[np.ndarray], photos: list[data.Photo]) -> np.ndarray:
    """Which of the reference faces that `landmark_errors` compares, in its order, people drew too, [n] bool: those that are,
    with IoU >= 0.5, the best of one drawn face. The others are mostly the reference network's own false alarms: a part of
    a face, or one found between two."""
    result = []
    for faces, photo in zip(reference, photos):
        faces = faces[faces[:, 0] >= REFERENCE_SCORE]
        drawn = np.zeros(len(faces), bool)
        if len(faces) and len(photo.boxes):
            overlap = anchor_code.iou(photo.boxes.astype(np.float64), faces[:, 1:5])
            best = overlap.argmax(axis=1)
            drawn[best[overlap.max(axis=1) >= MATCH_IOU]] = True
        result.append(drawn)
    return np.concatenate(result)


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


def mean_interval(values: np.ndarray, rounds: int = 2000, seed: int = 1) -> tuple[float, float, float]:
    """Mean of the values [n], and the 2.5 % and 97.5 % points of the mean of n drawn with replacement."""
    generator = np.random.default_rng(seed)
    means = values[generator.integers(0, len(values), (rounds, len(values)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def mean_ap_over_iou(found: list[np.ndarray], photos: list[data.Photo]) -> float:
    """AP averaged over the IoU thresholds .5:.05:.95."""
    return float(np.mean([
        pooled_ap([judge(f, p.boxes, float(t)) for f, p in zip(found, photos)]) for t in np.arange(0.5, 0.951, 0.05)
    ]))


def crowd_sheets(photos: list[data.Photo], side: int, tiles: int, count: int, seed: int = 5) -> list[data.Photo]:
    """Synthetic crowds: photographs shrunk and tiled `tiles` x `tiles` into a square of `side` pixels.

    People drew the boxes on the larger photographs, so the tiny faces of the result have labels that no network would
    have found at this size.
    """
    generator = np.random.default_rng(seed)
    cell = side // tiles
    sheets = []
    for number in range(count):
        image = Image.new("RGB", (side, side), (123, 117, 104))
        boxes = []
        for k in range(tiles * tiles):
            photo = photos[int(generator.integers(len(photos)))]
            scale = cell / max(photo.image.size)
            size = (max(1, round(photo.image.width * scale)), max(1, round(photo.image.height * scale)))
            origin = (k % tiles * cell, k // tiles * cell)
            image.paste(photo.image.resize(size, Image.Resampling.BILINEAR), origin)
            boxes.append(photo.boxes * scale + np.tile(np.array(origin, np.float32), 2))
        sheets.append(data.Photo(
            f"crowd_{number}", image, np.concatenate(boxes).astype(np.float32), np.zeros((0, 10), np.float32)))
    return sheets


CLOSE_UP_FACE = 128.0
"""Side in pixels from which on a photograph's largest face is large enough to be enlarged to a close-up."""


def close_up_scales(photos: list[data.Photo], side: float) -> dict[int, float]:
    """The photographs with a large face, by index, and the scale at which their largest face has `side` pixels."""
    largest = {k: math.sqrt(anchor_code.area(p.boxes).max()) for k, p in enumerate(photos) if len(p.boxes)}
    return {k: side / length for k, length in largest.items() if length >= CLOSE_UP_FACE}


def close_ups(
    model: RetinaFace, photos: list[data.Photo], reference: list[np.ndarray], side: float
) -> tuple[float, int, float]:
    """AP of photographs enlarged until their largest face has `side` pixels, their faces, and the landmark error."""
    scales = close_up_scales(photos, side)
    found = [detect(model, photos[k].image, scale) for k, scale in scales.items()]
    marks = [judge(f, photos[k].boxes) for f, k in zip(found, scales)]
    errors, _ = landmark_errors(found, [reference[k] for k in scales])
    errors = errors[~np.isnan(errors)]
    return pooled_ap(marks), int(sum(m.counted.sum() for m in marks)), float(errors.mean()) if len(errors) else math.nan


def save_close_ups(photos: list[data.Photo], side: int, folder: Path) -> None:
    """Writes the photographs that `close_ups` looks at to `folder`/`side`/, and their boxes to `folder`/`side`.jsonl, as
    `retinaface evaluate faces --images --truth` reads them."""
    images = folder / str(side)
    images.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{side}.jsonl", "w", encoding="utf-8") as truth:
        for k, scale in close_up_scales(photos, side).items():
            image, name = photos[k].image, f"{Path(photos[k].name).stem}_{k}.png"
            size = (round(image.width * scale), round(image.height * scale))
            image.resize(size, Image.Resampling.BILINEAR).save(images / name, compress_level=1)
            factors = np.tile(np.array(size) / np.array(image.size), 2)
            row = {"file": name, "width": size[0], "height": size[1], "boxes": (photos[k].boxes * factors).tolist()}
            truth.write(json.dumps(row) + "\n")


def read_reference(path: Path, photos: list[data.Photo]) -> list[np.ndarray]:
    """A reference network's faces [k, 15] for every photograph."""
    faces = {row["file"]: row["faces"] for row in data.read_json_lines(path)}
    return [np.array(faces.get(p.name, []), np.float64).reshape(-1, 15) for p in photos]


def report(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Measures every model given and prints one line a figure. Returns {model: {figure: value}}."""
    folder: Path = arguments.data
    if arguments.part == "val":
        photos = data.read_tar(folder / "val.tar", folder / "val.jsonl", limit=arguments.limit)
        reference = read_reference(folder / "val.teacher.jsonl", photos)
    else:
        photos = data.read_tar(folder / "train.tar", folder / "train.jsonl", limit=arguments.limit)
        photos = [p for p in photos if data.name_hash(p.name) < arguments.dev_share]
        reference = read_reference(folder / "train.teacher.jsonl", photos)
    if arguments.source:
        keep = [k for k, p in enumerate(photos) if p.source == arguments.source]
        photos, reference = [photos[k] for k in keep], [reference[k] for k in keep]
    if arguments.save_close_ups is not None:
        for side in arguments.close_ups:
            save_close_ups(photos, side, arguments.save_close_ups)
    negatives = data.read_tar(folder / "negatives.tar", folder / "negatives.jsonl", limit=arguments.limit)
    negatives = [p for p in negatives if data.name_hash(p.name) >= 0.5]
    sources = sorted({p.source for p in photos})
    results: dict[str, dict[str, float]] = {}
    all_marks: dict[tuple[str, float], list[Marks]] = {}
    all_errors: dict[float, list[np.ndarray]] = {scale: [] for scale in arguments.scales}
    base_recall = None
    for path in arguments.models:
        model = load_detector(path).eval()
        name = Path(path).stem
        row: dict[str, float] = {}
        for scale in arguments.scales:
            found = [detect(model, p.image, scale) for p in photos]
            marks = [judge(f, p.boxes) for f, p in zip(found, photos)]
            all_marks[name, scale] = marks
            tag = f"x{scale:g}"
            row[f"AP {tag}"] = pooled_ap(marks)
            for source in sources:
                row[f"AP {tag} {source}"] = pooled_ap([m for m, p in zip(marks, photos) if p.source == source])
            for bucket in SIZE_BUCKETS:
                value, faces = bucket_ap(marks, photos, bucket, scale)
                if faces >= 10:
                    row[f"AP {tag} {bucket[0]}..{bucket[1] if bucket[1] < 9999 else ''} px ({faces})"] = value
            errors, sides = landmark_errors(found, reference)
            all_errors[scale].append(errors)
            row[f"landmark error {tag}"] = float(np.nanmean(errors))
            row[f"landmark faces found {tag}"] = float(np.mean(~np.isnan(errors)))
            for bucket in SIZE_BUCKETS:
                inside = (sides * scale >= bucket[0]) & (sides * scale < bucket[1])
                if inside.sum() >= 10 and (~np.isnan(errors[inside])).any():
                    label = f"landmark error {tag} {bucket[0]}..{bucket[1] if bucket[1] < 9999 else ''} px"
                    row[label] = float(np.nanmean(errors[inside]))
                    row[f"{label}, median"] = float(np.nanmedian(errors[inside]))
            if scale == 1.0:
                row["AP .5:.95 x1"] = mean_ap_over_iou(found, photos)
                recall, precision = at_threshold(marks, 0.5)
                row["recall at 0.5"], row["precision at 0.5"] = recall, precision
                base_recall = recall if base_recall is None else base_recall
                threshold = threshold_for_recall(marks, base_recall)
                row["threshold of equal recall"] = threshold
                alarms = np.concatenate([detect(model, p.image)[:, 0] for p in negatives])
                row[f"false alarms at equal recall, {len(negatives)} negatives"] = float((alarms >= threshold).sum())
                row[f"false alarms at 0.5, {len(negatives)} negatives"] = float((alarms >= 0.5).sum())
        for tiles in arguments.crowds:
            sheets = crowd_sheets([p for p in photos if p.source == "groups"] or photos, CROWD_SIDE, tiles, 12)
            marks = [judge(detect(model, p.image), p.boxes) for p in sheets]
            row[f"AP crowd {tiles}x{tiles} in {CROWD_SIDE} px ({sum(int(m.counted.sum()) for m in marks)} faces)"] = pooled_ap(marks)
        for side in arguments.close_ups:
            value, faces, error = close_ups(model, photos, reference, side)
            if faces:
                row[f"AP close-up, largest face {side} px ({faces} faces)"] = value
                row[f"landmark error close-up {side} px"] = error
        results[name] = row
        print(f"measured {path}", file=sys.stderr, flush=True)
    names = list(results)
    drawn = confirmed(reference, photos)
    comparisons = []
    for scale, errors in all_errors.items():
        by_all = drawn & ~np.isnan(errors).any(axis=0)
        for bucket in SIZE_BUCKETS:
            inside = by_all & (sides * scale >= bucket[0]) & (sides * scale < bucket[1])
            if inside.sum() >= 10:
                label = f"drawn and found by all x{scale:g} {bucket[0]}..{bucket[1] if bucket[1] < 9999 else ''} px ({inside.sum()})"
                for name, values in zip(names, errors):
                    results[name][f"landmark error {label}"] = float(values[inside].mean())
                for name, values in zip(names[1:], errors[1:]):
                    mean, low, high = mean_interval(values[inside] - errors[0][inside])
                    comparisons.append(f"landmark error({name}) - landmark error({names[0]}), {label}: {mean:+.4f}, "
                                       f"95 % {low:+.4f} .. {high:+.4f} (bootstrap over faces)")
    print(f"{len(photos)} photographs, float32 PyTorch {torch.__version__}, scores > {SCORE_THRESHOLD}, NMS {NMS_IOU}")
    print(f"{'':64s}" + "".join(f"{n[:16]:>18s}" for n in names))
    for key in results[names[0]]:
        print(f"{key:64s}" + "".join(f"{results[n].get(key, float('nan')):18.4f}" for n in names))
    for name in names[1:]:
        for scale in arguments.scales:
            mean, low, high, share = bootstrap(all_marks[name, scale], all_marks[names[0], scale])
            print(f"AP({name}) - AP({names[0]}) x{scale:g}: {mean:+.4f}, 95 % {low:+.4f} .. {high:+.4f}, "
                  f"above 0 in {share:.1%} of 1000 paired bootstrap rounds over images")
    for line in comparisons:
        print(line)
    return results


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("models", nargs="+", help="detectors (.pth, training checkpoints, weights files); the first "
                        "is the yardstick")
    parser.add_argument("--data", type=Path, required=True, help="folder with val.tar, val.jsonl, negatives.tar, ...")
    parser.add_argument("--part", choices=("val", "dev"), default="val", help="dev: the slice of train.tar that "
                        "train.py keeps out (same --dev-share)")
    parser.add_argument("--dev-share", type=float, default=0.03)
    parser.add_argument("--source", help="photographs of this source only")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 0.5, 1.5])
    parser.add_argument("--crowds", type=int, nargs="*", default=[5, 8], help="tiles a side of synthetic crowds (none: leave "
                        "them out)")
    parser.add_argument("--close-ups", type=int, nargs="*", default=[300, 600], help="sides in pixels to which the "
                        "largest face of photographs that have a large one is enlarged")
    parser.add_argument("--save-close-ups", type=Path, metavar="DIR", help="also write these photographs to DIR/SIDE/, their "
                        "boxes to DIR/SIDE.jsonl, for `retinaface evaluate faces`")
    parser.add_argument("--limit", type=int)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    if min(options.scales) <= 0:
        parser.error(f"--scales are above 0, found {min(options.scales):g}")
    for tiles in options.crowds:
        if not 1 <= tiles <= CROWD_SIDE:
            parser.error(f"--crowds has 1 to {CROWD_SIDE} tiles a side, found {tiles}")
    for side in options.close_ups:
        if not 1 <= side <= LARGEST_CLOSE_UP:
            parser.error(f"--close-ups are 1 to {LARGEST_CLOSE_UP} px, found {side}")
    if options.save_close_ups is not None and not options.close_ups:
        parser.error("--save-close-ups writes the photographs of --close-ups, found no size there")
    torch.set_num_threads(options.threads)
    report(options)


if __name__ == "__main__":
    main()
