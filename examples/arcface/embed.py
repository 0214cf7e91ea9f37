#!/usr/bin/env python3
"""Embeddings of aligned faces by an ONNX recogniser, for `retinaface evaluate verify`.

    retinaface align --max-faces 1 --out crops --json crops.jsonl PICTURES
    python examples/arcface/embed.py --model arcface.onnx --crops crops.jsonl --out lfw
    retinaface evaluate verify --pairs pairs.txt --embeddings lfw.npy --names lfw.txt

Writes OUT.npy, float32 [faces, 2, dimension] (the crop and its mirror), OUT.txt with the names of the pictures, a line a row, and OUT.scores.txt, whose
last word is the score of the detection (`--detection-scores` of the IJB protocol). Pictures without a face keep a row of zeros, so that
every pair can be judged, and are counted. Needs NumPy, Pillow and ONNX Runtime.

ArcFace's networks take RGB (x - 127.5) / 127.5 or / 128 in N C H W; --mean, --scale and --bgr say what others take.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import sys
from typing import Iterator, List, Tuple

import numpy as np
import onnxruntime
from PIL import Image


def best_faces(path: Path) -> Iterator[Tuple[str, float, Path | None]]:
    """The picture's name, the score of its best face and the crop of that (None: no face), for every line of `align --json`."""
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            faces = [face for face in row.get("faces", []) if "crop" in face]
            yield row["file"], faces[0]["score"] if faces else 0.0, Path(faces[0]["crop"]) if faces else None


def load(crop: Path, size: Tuple[int, int], bgr: bool, mean: float, scale: float) -> np.ndarray:
    """The network's input [2, 3, height, width]: the crop and its mirror."""
    with Image.open(crop) as image:
        pixels = np.asarray(image.convert("RGB").resize(size, Image.BILINEAR) if image.size != size else image.convert("RGB"), np.float32)
    pixels = ((pixels[:, :, ::-1] if bgr else pixels) - mean) / scale
    return np.stack([pixels, pixels[:, ::-1]]).transpose(0, 3, 1, 2)


def main(arguments: List[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="ONNX file: one picture input N C H W, the embedding its first output")
    parser.add_argument("--crops", type=Path, required=True, help="JSON lines of `retinaface align`")
    parser.add_argument("--out", type=Path, required=True, help="OUT.npy, OUT.txt, OUT.scores.txt")
    parser.add_argument("--mean", type=float, default=127.5)
    parser.add_argument("--scale", type=float, default=127.5)
    parser.add_argument("--bgr", action="store_true", help="the network takes B, G, R")
    parser.add_argument("--batch", type=int, default=32, help="crops a run")
    options = parser.parse_args(arguments)

    session = onnxruntime.InferenceSession(str(options.model), providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    height, width = (side if isinstance(side, int) else 112 for side in entry.shape[2:])
    one_by_one = isinstance(entry.shape[0], int) and entry.shape[0] == 1

    def run(crops: List[np.ndarray]) -> List[np.ndarray]:
        """Embeddings [2, dimension] of inputs [2, 3, height, width]."""
        pixels = np.concatenate(crops).astype(np.float32)
        parts = [pixels[i : i + 1] for i in range(len(pixels))] if one_by_one else [pixels]
        found = np.concatenate([session.run(None, {entry.name: part})[0] for part in parts])
        return list(found.reshape(len(crops), 2, -1))

    names, scores, rows, waiting = [], [], [], []
    for name, score, crop in best_faces(options.crops):
        names.append(name)
        scores.append(score)
        rows.append(None)
        if crop is not None:
            waiting.append((len(rows) - 1, load(crop, (width, height), options.bgr, options.mean, options.scale)))
        if len(waiting) >= options.batch:
            for (index, _), embedding in zip(waiting, run([pixels for _, pixels in waiting])):
                rows[index] = embedding
            waiting = []
    if waiting:
        for (index, _), embedding in zip(waiting, run([pixels for _, pixels in waiting])):
            rows[index] = embedding
    known = next((row for row in rows if row is not None), None)
    if known is None:
        sys.exit(f"{options.crops}: no crops in it")
    without = sum(row is None for row in rows)
    matrix = np.stack([np.zeros_like(known) if row is None else row for row in rows]).astype(np.float32)
    np.save(options.out.with_suffix(".npy"), matrix)
    options.out.with_suffix(".txt").write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    options.out.with_suffix(".scores.txt").write_text("".join(f"{n} {s!r}\n" for n, s in zip(names, scores)), encoding="utf-8")
    print(f"{len(rows)} pictures, {without} without a face, embeddings of {matrix.shape[2]} numbers")


if __name__ == "__main__":
    main(sys.argv[1:])
