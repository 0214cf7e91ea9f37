#!/usr/bin/env python3
"""Compares raw outputs and faces of two versions of the library to the bit: builds dump.cpp against each and holds the hashes that they print
against each other, for every weights file, image, odd size, instruction set and number of threads.

    compare.py BEFORE AFTER --weights FILE... --images FILE...      BEFORE and AFTER: checkouts (git worktree add ../before 3bb2d83)
    compare.py ... --compiler aarch64-linux-gnu-g++ --run qemu-aarch64     for another architecture

Needs Pillow where images are not PPM. By hand: not part of the tests.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def as_ppm(image: pathlib.Path, folder: pathlib.Path) -> pathlib.Path:
    """The picture as binary PPM."""
    if image.suffix == ".ppm":
        return image
    from PIL import Image

    ppm = folder / f"{image.stem}.ppm"
    with Image.open(image) as picture:
        picture.convert("RGB").save(ppm)
    return ppm


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("before", type=pathlib.Path)
    parser.add_argument("after", type=pathlib.Path)
    parser.add_argument("--weights", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--images", type=pathlib.Path, nargs="+", required=True)
    parser.add_argument("--compiler", default="g++")
    parser.add_argument("--run", default="", help="the command that runs programs of that compiler")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        images = [as_ppm(image, folder) for image in arguments.images]
        lines = []
        for version, checkout in (("before", arguments.before), ("after", arguments.after)):
            program = folder / version
            build = [arguments.compiler, "-std=c++17", "-O2", "-static", f"-I{checkout / 'include'}", str(HERE / "dump.cpp"), "-o", str(program)]
            subprocess.run([*build, "-pthread"], check=True)
            found = []
            for weights in arguments.weights:
                done = subprocess.run([*arguments.run.split(), str(program), str(weights), *map(str, images)], check=True, capture_output=True)
                found += done.stdout.decode().splitlines()
            lines.append(found)
    differing = [pair for pair in zip(*lines) if pair[0] != pair[1]]
    for before, after in differing[:10]:
        print(f"before {before}\nafter  {after}")
    same_count = len(lines[0]) == len(lines[1])
    print(f"{len(lines[0])} comparisons, {len(differing)} differ" + ("" if same_count else f"; AFTER printed {len(lines[1])}"))
    return 0 if same_count and lines[0] and not differing else 1


if __name__ == "__main__":
    sys.exit(main())
