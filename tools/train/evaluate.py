"""Measures detectors on photographs kept out of training, and prints a table, a column a detector.

    python evaluate.py OFFICIAL.pth ../../weights/retinaface_mobilenet025.safetensors scrfd_500m_kps.onnx --data DATA

The photographs are `val`, the held part of `crowds` and the held part of `negatives`, looked at once a finished run; with
`--part dev` those that are for choices inside a run. `measure.py` says what the figures mean. The first line decides: the mean
of AP on faces that people drew, on the same at half their size, and on crowds.
"""

from __future__ import annotations

import argparse
from pathlib import Path
import sys
import tempfile

import numpy as np
import torch

import measure
from measure import Detect, Marks
from model import load_detector
import photos as photo_code
from photos import Photo, Store
from recipe import Collection
import scrfd

SCALES = (1.0, 0.5, 1.5)
THRESHOLD = 0.5
"""The default of the library's options."""
CLOSE_UPS = (300, 600, 800)
"""Sides in pixels to which the largest face of photographs that have a large one is brought."""
SHRUNK = 640
"""Longest side in pixels to which close-ups are shrunk, beside being looked at as they are: a size policy."""
CROWD_SCALE = 2.0
"""By which crowds are enlarged, beside being looked at as they are."""
CLOSE_UP_FACE = 128.0
"""Side in pixels from which on a photograph's largest face is large enough to be enlarged to a close-up."""
FEWEST = 10
"""Faces without which a figure is left out."""

Rows = dict[str, float]


def load(path: Path) -> Detect:
    """A detector: whatever `model.load_detector` reads, or an SCRFD model (`.onnx`)."""
    if path.suffix == ".onnx":
        return scrfd.load(path)
    model = load_detector(path).eval().to(memory_format=torch.channels_last)
    return lambda pixels: measure.detect(model, pixels)


def bucket_name(bucket: tuple[float, float]) -> str:
    """As tables have it: 8-16 px."""
    return f"{bucket[0]:g}-{bucket[1]:g} px" if bucket[1] < 9999 else f"{bucket[0]:g}- px"


def measure_drawn(detector: Detect, photos: list[Photo], rows: Rows) -> list[Marks]:
    """Figures on photographs with faces that people drew; returns the marks at stored size."""
    stored: list[Marks] = []
    truth = [photo.marked for photo in photos]
    for scale in SCALES:
        found = [measure.detect_resized(detector, photo, scale) for photo in photos]
        marks = [measure.judge_photo(f, p) for f, p in zip(found, photos)]
        tag = "" if scale == 1.0 else f", resized by {scale:g}"
        rows[f"AP{tag}"] = measure.pooled_ap(marks)
        if scale == 1.0:
            stored = marks
            for source in sorted({photo.source for photo in photos}):
                rows[f"AP, {source}"] = measure.pooled_ap([m for m, p in zip(marks, photos) if p.source == source])
            rows[f"recall at {THRESHOLD}"], rows[f"precision at {THRESHOLD}"] = measure.at_threshold(marks, THRESHOLD)
        for bucket in measure.SIZE_BUCKETS:
            value, faces = measure.bucket_ap(marks, truth, bucket, scale)
            if faces >= FEWEST:
                rows[f"AP{tag}, faces of {bucket_name(bucket)} ({faces})"] = value
        errors, sides = measure.landmark_errors(found, photos)
        rows[f"landmark error{tag}"] = float(np.nanmean(errors))
        for bucket in measure.SIZE_BUCKETS:
            inside = (sides * scale >= bucket[0]) & (sides * scale < bucket[1]) & ~np.isnan(errors)
            if scale == 1.0 and inside.sum() >= FEWEST:
                rows[f"landmark error, faces of {bucket_name(bucket)}"] = float(errors[inside].mean())
    for side in CLOSE_UPS:
        large = [(p, side / measure.sides_of(p.marked).max()) for p in photos
                 if len(p.marked) and measure.sides_of(p.marked).max() >= CLOSE_UP_FACE]
        for tag, scales in (("", [s for _, s in large]),
                            (f", shrunk to {SHRUNK}", [min(s, SHRUNK / max(p.width, p.height)) for p, s in large])):
            marks = [measure.judge_photo(measure.detect_resized(detector, p, s), p) for (p, _), s in zip(large, scales)]
            if sum(m.counted.sum() for m in marks) >= FEWEST:
                rows[f"AP, close-ups of {side} px{tag} ({len(large)} photographs)"] = measure.pooled_ap(marks)
    return stored


def measure_crowds(detector: Detect, photos: list[Photo], rows: Rows) -> list[Marks]:
    """Figures on photographs with heads that people marked; returns the marks."""
    found = [detector(photo.pixels) for photo in photos]
    marks = [measure.judge_photo(f, p) for f, p in zip(found, photos)]
    rows["crowds: AP"] = measure.pooled_ap(marks)
    for source in sorted({photo.source for photo in photos}):
        rows[f"crowds: AP, {source}"] = measure.pooled_ap([m for m, p in zip(marks, photos) if p.source == source])
    recall, precision = measure.at_threshold(marks, THRESHOLD)
    rows[f"crowds: recall of heads at {THRESHOLD}"], rows[f"crowds: precision at {THRESHOLD}"] = recall, precision
    recall, faces = measure.sure_recall(found, photos, THRESHOLD)
    rows[f"crowds: recall at {THRESHOLD} of the teacher's faces >= {measure.SURE_SCORE} ({faces})"] = recall
    enlarged = [measure.judge_photo(measure.detect_resized(detector, p, CROWD_SCALE), p) for p in photos]
    rows[f"crowds: AP, resized by {CROWD_SCALE:g}"] = measure.pooled_ap(enlarged)
    return marks


def report(models: list[Path], data: Path, pixels: Path, part: str) -> dict[str, Rows]:
    """Measures every detector and prints the table. Returns {detector: {figure: value}}."""
    store = Store(pixels)
    every = ("train", "dev", "held")
    drawn = (photo_code.read(data, Collection("val", "boxes"), store, every) if part == "held" else
             photo_code.read(data, Collection("train", "boxes"), store, ("dev",)))
    crowds = photo_code.read(data, Collection("crowds", "heads"), store, (part,)) if (data / "crowds.tar").exists() else []
    negatives = []
    if part == "held" and (data / "negatives.tar").exists():
        negatives = photo_code.read(data, Collection("negatives", "none"), store, ("held",))
    results: dict[str, Rows] = {}
    marks: dict[str, tuple[list[Marks], list[Marks]]] = {}
    labels = [path.stem for path in models]
    if len(set(labels)) < len(labels):
        labels = [str(path) for path in models]
    for label, path in zip(labels, models):
        detector, rows = load(path), {"decides": float("nan")}
        marks[label] = (measure_drawn(detector, drawn, rows), measure_crowds(detector, crowds, rows) if crowds else [])
        deciding = [rows[name] for name in ("AP", "AP, resized by 0.5", "crowds: AP") if name in rows]
        rows["decides"] = float(np.mean(deciding))
        if negatives:
            scores = np.concatenate([detector(photo.pixels)[:, 0] for photo in negatives])
            rows[f"false alarms at {THRESHOLD}, {len(negatives)} photographs without a face"] = float((scores >= THRESHOLD).sum())
        results[label] = rows
        print(f"measured {path}", file=sys.stderr, flush=True)
    names = list(results)
    print(f"{len(drawn)} photographs with {sum(len(p.marked) for p in drawn)} drawn faces, {len(crowds)} of crowds with "
          f"{sum(len(p.marked) for p in crowds)} heads ({part}); float32 PyTorch {torch.__version__}\n")
    print("| | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
    for key in results[names[0]]:
        digits = 0 if key.startswith("false alarms") else 4 if key.startswith("landmark") else 3
        print(f"| {key} | " + " | ".join(f"{results[n].get(key, float('nan')):.{digits}f}" for n in names) + " |")
    print()
    for name in names[1:]:
        for what, ours, theirs in zip(("AP", "crowds: AP"), marks[name], marks[names[0]]):
            if ours:
                mean, low, high, share = measure.bootstrap(ours, theirs)
                print(f"{what}({name}) - {what}({names[0]}): {mean:+.4f}, 95 % {low:+.4f} .. {high:+.4f}, above 0 in "
                      f"{share:.1%} of 1000 paired bootstrap rounds over photographs")
    return results


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path, help="detectors: weights files, checkpoints, original .pth, SCRFD "
                        ".onnx; the others are compared with the first")
    parser.add_argument("--data", type=Path, required=True, help="folder with val.tar, val.jsonl, crowds.tar, ...")
    parser.add_argument("--part", choices=("held", "dev"), default="held")
    parser.add_argument("--pixels", type=Path, help="folder for decoded photographs (default: one that is removed at the end)")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        report(options.models, options.data, options.pixels or Path(temporary), options.part)


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
