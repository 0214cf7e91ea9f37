#!/usr/bin/env python3
"""Thousands of damaged pictures through the command-line tool, by hand; meant for a build with sanitizers:

    cmake --preset asan-ubsan && cmake --build --preset asan-ubsan --target retinaface_cli
    tests/cli/mutated_pictures.py build/asan-ubsan/bin/retinaface --count 10000

Every mutant must give one line, every good picture between them its face, and no run may end but by itself.
"""

from __future__ import annotations

import argparse
import collections
import io
import json
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Dict

import numpy as np
from PIL import Image, features

ROOT = Path(__file__).resolve().parents[2]
BATCH = 250


def seeds() -> Dict[str, bytes]:
    """Small pictures in every format that Pillow writes, and the committed ones."""
    portrait = Image.open(ROOT / "examples" / "images" / "astronaut.png").convert("RGB").crop((160, 40, 288, 192)).resize((64, 76))
    exif = Image.Exif()
    exif[0x0112] = 6
    encodings = {
        "baseline.jpg": ("JPEG", portrait, {"exif": exif}),
        "progressive.jpg": ("JPEG", portrait, {"progressive": True, "quality": 90}),
        "cmyk.jpg": ("JPEG", portrait.convert("CMYK"), {}),
        "rgb.png": ("PNG", portrait, {"exif": exif}),
        "palette.png": ("PNG", portrait.convert("P"), {}),
        "bits.png": ("PNG", portrait.convert("1"), {}),
        "image.bmp": ("BMP", portrait, {}),
        "palette.bmp": ("BMP", portrait.convert("P"), {}),
        "image.ppm": ("PPM", portrait, {}),
        "image.gif": ("GIF", portrait, {}),
        "image.tif": ("TIFF", portrait, {}),
        "lzw.tif": ("TIFF", portrait, {"compression": "tiff_lzw"}),
        "jpeg.tif": ("TIFF", portrait, {"compression": "jpeg"}),
    }
    if features.check("webp"):
        encodings["lossy.webp"] = ("WEBP", portrait, {"exif": exif})
        encodings["lossless.webp"] = ("WEBP", portrait.convert("RGBA"), {"lossless": True})
    files = {}
    for name, (kind, image, options) in encodings.items():
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        files[name] = buffer.getvalue()
    for path in sorted((ROOT / "tests" / "data" / "pictures").iterdir()):
        files[path.name] = path.read_bytes()
    # Palettes and run lengths of BMP, the plain kinds of PNM.
    width, height = 8, 8
    rle = b"\x08\x01\x00\x00" * height + b"\x00\x01"
    header = np.array([40, width, height, 1 | 8 << 16, 1, len(rle), 0, 0, 0, 0], "<u4").tobytes()
    files["rle.bmp"] = b"BM" + np.array([0, 0, 54 + 1024], "<u4").tobytes() + header + bytes(range(256)) * 4 + rle
    files["plain.pgm"] = b"P2 8 8 4095 " + b" ".join(b"%d" % (v * 60) for v in range(64))
    files["image.pam"] = b"P7\nWIDTH 8\nHEIGHT 8\nDEPTH 4\nMAXVAL 255\nTUPLTYPE RGB_ALPHA\nENDHDR\n" + bytes(256)
    return files


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    values = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        at = int(rng.integers(len(values))) if rng.random() < 0.5 else int(rng.integers(min(len(values), 200)))
        kind = rng.integers(6)
        if kind == 0:
            values[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            values[at] = int(rng.choice([0, 1, 0x7F, 0x80, 0xFF, rng.integers(256)]))
        elif kind == 2:
            del values[at : at + int(rng.integers(1, 20))]
        elif kind == 3:
            values[at:at] = values[at : at + int(rng.integers(1, 40))]
        elif kind == 4:
            values[at : at + 4] = int(rng.choice([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 65536])).to_bytes(4, rng.choice(["big", "little"]))
        elif len(values) > 40 and rng.random() < 0.2:
            del values[at:]
        if not values:
            break
    return bytes(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("--count", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    files = seeds()
    names = list(files)
    outcomes: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory() as directory:
        good = Path(directory) / "good.ppm"
        Image.open(ROOT / "examples" / "images" / "astronaut.png").convert("RGB").save(good)
        for first in range(0, arguments.count, BATCH):
            paths = [good]
            for i in range(first, min(first + BATCH, arguments.count)):
                name = names[i % len(names)]
                path = Path(directory) / f"{i}_{name}"
                path.write_bytes(mutate(files[name], rng))
                paths.append(path)
                if i % 50 == 0:
                    paths.append(good)
            command = [str(arguments.binary), "detect", "--json", "-", "--max-side", "128", "--max-memory", "200MB", *map(str, paths)]
            environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=0"}
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, timeout=3000)
            lines = [json.loads(line) for line in done.stdout.decode().splitlines()]
            if done.returncode not in (0, 1) or len(lines) != len(paths):
                kept = Path("mutated_picture_failure")
                kept.mkdir(exist_ok=True)
                if len(lines) < len(paths):
                    (kept / paths[len(lines)].name).write_bytes(paths[len(lines)].read_bytes())
                raise SystemExit(f"exit code {done.returncode} at {paths[len(lines)]}, kept in {kept}\n{done.stderr.decode()[-4000:]}")
            for path, line in zip(paths, lines):
                kind = "read" if "faces" in line else "refused"
                if path == good:
                    assert len(line["faces"]) == 1, "a good picture between the mutants lost its face"
                    kind = "found"
                outcomes[f"{path.suffix[1:]} {kind}"] += 1
            for path in paths:
                if path != good:
                    path.unlink()
    for outcome, count in sorted(outcomes.items()):
        print(f"{outcome}: {count}")
    print(f"{arguments.count} mutants, every one answered, no finding")


if __name__ == "__main__":
    main()
