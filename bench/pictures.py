#!/usr/bin/env python3
"""Pictures a second through `retinaface detect`, of two builds side by side, on JPEGs made here.

    bench/pictures.py --before OLD/bin/retinaface --after build/release/bin/retinaface [--pictures 300] [--threads 1 2] [--megapixels 12 1]

`--before` is any other build of the tool: an older one, or one of today with RETINAFACE_PICTURE_LIBRARIES=OFF (which reads JPEG only
where stb_image is 2.29 or newer). Runs are interleaved; the medians are compared, and the faces that the two builds find.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Dict, List

import numpy as np
from PIL import Image

ASTRONAUT = Path(__file__).resolve().parents[1] / "examples" / "images" / "astronaut.png"
SIZES = {"12": (4000, 3000), "1": (1152, 864)}  # megapixels


def make_pictures(directory: Path, size: tuple[int, int], count: int, distinct: int = 4) -> List[Path]:
    """`count` names of `distinct` grainy photographs with faces, about 0.3 bytes a pixel, as phones write them."""
    portrait = Image.open(ASTRONAUT).convert("RGB")
    rng = np.random.default_rng(1)
    paths = []
    for i in range(distinct):
        scene = Image.new("RGB", size, (90, 110, 120))
        side = size[1] // 2
        for x in range(0, size[0], side):
            for y in range(0, size[1], side):
                turned = portrait.rotate(float(rng.uniform(-10, 10)), Image.BICUBIC).resize((side, side), Image.BICUBIC)
                scene.paste(turned, (x, y))
        grain = rng.normal(0, 7, (size[1], size[0], 1)) + rng.normal(0, 3, (size[1], size[0], 3))
        pixels = np.clip(np.asarray(scene) + grain, 0, 255).astype(np.uint8)
        path = directory / f"photograph_{i}.jpg"
        Image.fromarray(pixels).save(path, quality=80)
        paths.append(path)
    return [paths[i % distinct] for i in range(count)]


def run(binary: Path, arguments: List[str], pictures: List[Path]) -> tuple[float, List[List[Dict]]]:
    command = [str(binary), "detect", "--json", "-", *arguments, *map(str, pictures)]
    started = time.perf_counter()
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    seconds = time.perf_counter() - started
    return len(pictures) / seconds, [json.loads(line)["faces"] for line in done.stdout.splitlines()]


def agreement(one: List[List[Dict]], other: List[List[Dict]]) -> str:
    """How many faces of one lie on a face of the other, and how well."""
    overlaps, total = [], 0
    for faces, others in zip(one, other):
        total += max(len(faces), len(others))
        for face in faces:
            a = face["box"]
            best = 0.0
            for b in (f["box"] for f in others):
                shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(0, min(a[3], b[3]) - max(a[1], b[1]))
                best = max(best, shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared))
            if best > 0.5:
                overlaps.append(best)
    return f"{len(overlaps)} of {total} faces the same, mean IoU {np.mean(overlaps or [0]):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True)
    parser.add_argument("--after", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=300, help="of each size and number of threads, over all runs")
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--megapixels", nargs="+", choices=list(SIZES), default=list(SIZES))
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--max-side", type=int, default=640)
    parser.add_argument("--option", default="--threads", help="what --threads is called: --jobs decodes several pictures at a time")
    arguments = parser.parse_args()

    print(f"{'megapixels':>10} {'KB':>6} {arguments.option:>10} {'before/s':>9} {'after/s':>9} {'times':>6}")
    for megapixels in arguments.megapixels:
        size = SIZES[megapixels]
        with tempfile.TemporaryDirectory() as directory:
            pictures = make_pictures(Path(directory), size, arguments.pictures // arguments.runs)
            kilobytes = pictures[0].stat().st_size // 1024
            for threads in arguments.threads:
                rates: Dict[str, List[float]] = {"before": [], "after": []}
                faces = {}
                for _ in range(arguments.runs):
                    for name in rates:
                        given = ["--max-side", str(arguments.max_side)]
                        given += [arguments.option if name == "after" else "--threads", str(threads)]
                        rate, faces[name] = run(getattr(arguments, name), given, pictures)
                        rates[name].append(rate)
                before, after = (statistics.median(rates[name]) for name in ("before", "after"))
                print(
                    f"{megapixels:>10} {kilobytes:>6} {threads:>10} {before:>9.1f} {after:>9.1f} {after / before:>6.2f}"
                    f"   {agreement(faces['before'], faces['after'])}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
