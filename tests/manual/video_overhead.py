#!/usr/bin/env python3
"""What `retinaface video` costs beside the detector: raw frames of 640 x 480 through a pipe, against the detector's own time on them."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import List

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from conftest import ASTRONAUT, command  # noqa: E402


def main(arguments: List[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--frames", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved")
    parser.add_argument("--track", action="store_true", help="with --track --smooth")
    options = parser.parse_args(arguments)
    tool = command("RETINAFACE_CLI", "bin/retinaface")

    photograph = np.asarray(Image.open(ASTRONAUT).convert("RGB").resize((700, 700)))
    distinct = 50
    frames = [np.ascontiguousarray(photograph[10 + k : 490 + k, k : 640 + k]) for k in range(distinct)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        raw = folder / "frames.rgb"
        raw.write_bytes(b"".join(frame.tobytes() for frame in frames) * (options.frames // distinct))
        with open(folder / "truth.jsonl", "w", encoding="utf-8") as truth:
            for i in range(options.frames):
                path = folder / f"{i % distinct}.ppm"
                if i < distinct:
                    Image.fromarray(frames[i]).save(path)
                print(json.dumps({"file": path.name, "boxes": []}), file=truth)
        extra = ["--track", "--smooth"] if options.track else []
        ratios = []
        for _ in range(options.rounds):
            done = subprocess.run([*tool, "evaluate", "faces", "--truth", folder / "truth.jsonl", "--images", folder, "--candidates", "0.5", "--json", "-"], stdout=subprocess.PIPE, check=True)
            own = next(row["value"] for row in json.loads(done.stdout)["figures"] if row["figure"] == "ms a picture")
            # Through a real pipe, the start of the program left out by a first frame's answer.
            with subprocess.Popen(["cat", raw], stdout=subprocess.PIPE) as source:
                with subprocess.Popen([*tool, "video", "--raw", "rgb24", "--size", "640x480", *extra], stdin=source.stdout, stdout=subprocess.PIPE) as video:
                    video.stdout.readline()
                    start = time.perf_counter()
                    count = sum(1 for _ in video.stdout)
                    milliseconds = 1000 * (time.perf_counter() - start) / count
            assert count == options.frames - 1
            ratios.append(milliseconds / own)
            print(f"{options.frames} frames: {milliseconds:.3f} ms each, the detector alone {own:.3f} ms")
        print(f"cost over the detector's own time: {', '.join(f'{100 * (r - 1):+.1f} %' for r in ratios)}")


if __name__ == "__main__":
    main(sys.argv[1:])
