#!/usr/bin/env python3
"""`retinaface detect` on 2,000 pictures: jobs, memory, the same bytes; killed at random and resumed."""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from typing import List, Tuple

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from conftest import ASTRONAUT, command  # noqa: E402


def main(arguments: List[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=3, help="interleaved timings of one job and of two")
    options = parser.parse_args(arguments)
    tool = command("RETINAFACE_CLI", "bin/retinaface")

    def detect(jobs: int, out: Path, folder: Path) -> Tuple[float, str]:
        start = time.perf_counter()
        done = subprocess.run([*tool, "detect", "--jobs", str(jobs), "--progress", "--json", str(out), str(folder)], stderr=subprocess.PIPE, check=True, text=True)
        return time.perf_counter() - start, done.stderr.strip().splitlines()[-1]

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "pictures"
        folder.mkdir()
        dice = np.random.default_rng(1)
        photograph = Image.open(ASTRONAUT).convert("RGB")
        for i in range(options.pictures):
            side = int(dice.integers(200, 500))
            x, y = (int(v) for v in dice.integers(0, 512 - side, 2))
            photograph.crop((x, y, x + side, y + side)).save(folder / f"{i:05}.jpg", quality=90)
        times: dict[int, List[float]] = {1: [], 2: []}
        hashes, summaries = set(), {}
        for _ in range(options.rounds):
            for jobs in (1, 2):
                out = Path(name) / f"jobs{jobs}.jsonl"
                seconds, summaries[jobs] = detect(jobs, out, folder)
                times[jobs].append(seconds)
                hashes.add(hashlib.sha256(out.read_bytes()).hexdigest())
        for jobs, summary in summaries.items():
            print(f"--jobs {jobs}: {summary}")
        ratios = [one / two for one, two in zip(times[1], times[2])]
        print(f"one job / two, interleaved: {', '.join(f'{r:.2f}' for r in ratios)}; outputs identical: {len(hashes) == 1}")
        small = Path(name) / "tenth"
        small.mkdir()
        for path in sorted(folder.iterdir())[:: 10]:
            (small / path.name).hardlink_to(path)
        memory = [int(re.search(r"(\d+) MB", text).group(1)) for text in (detect(2, Path(name) / "x.jsonl", small)[1], summaries[2])]
        print(f"memory at most, two jobs: {memory[0]} MB for {options.pictures // 10} pictures, {memory[1]} MB for {options.pictures}")

        whole, out, chance = (Path(name) / "jobs1.jsonl").read_bytes(), Path(name) / "killed.jsonl", random.Random(1)
        budget, kills = min(times[2]), 0
        for _ in range(options.kills):
            with subprocess.Popen([*tool, "detect", "--jobs", "2", "--json", str(out), "--resume", str(folder)], stderr=subprocess.DEVNULL) as process:
                time.sleep(chance.uniform(0.02, 1.5 * budget / options.kills))
                process.send_signal(signal.SIGKILL)
                process.wait()
                kills += process.returncode == -signal.SIGKILL
        done = len(out.read_bytes().splitlines())
        subprocess.run([*tool, "detect", "--jobs", "2", "--json", str(out), "--resume", str(folder)], check=True)
        same = out.read_bytes() == whole
        print(f"killed {kills} times (at {done} of {options.pictures} lines after the last one), resumed: {'equal byte for byte' if same else 'DIFFERENT'}")
        if not same or len(hashes) != 1:
            sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
