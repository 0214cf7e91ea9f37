#!/usr/bin/env python3
"""`retinaface evaluate verify` on as much as IJB-C 1:1: how long it takes, and in how much memory."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
import subprocess
import sys
import tempfile
import time
from typing import List

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from conftest import command  # noqa: E402


def main(arguments: List[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="of IJB-C's sizes")
    options = parser.parse_args(arguments)
    faces, templates, pairs = (int(options.scale * n) for n in (469_375, 23_124, 15_658_489))
    dice = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        embeddings = np.lib.format.open_memmap(folder / "e.npy", "w+", np.float32, (faces, 512))
        template = np.concatenate([np.arange(templates), dice.integers(0, templates, faces - templates)])
        centres = dice.normal(size=(templates // 7 + 1, 512)).astype(np.float32)
        for begin in range(0, faces, 10_000):
            part = template[begin : begin + 10_000] // 7
            embeddings[begin : begin + 10_000] = centres[part] + 2 * dice.normal(size=(len(part), 512))
        embeddings.flush()
        with open(folder / "tid_mid.txt", "w", encoding="utf-8") as lines:
            lines.writelines(f"{i}.jpg {t} {m}\n" for i, (t, m) in enumerate(zip(template, dice.integers(0, 50, faces))))
        with open(folder / "scores.txt", "w", encoding="utf-8") as lines:
            lines.writelines(f"{i}.jpg {s:.6f}\n" for i, s in enumerate(dice.uniform(0.5, 1, faces)))
        a = dice.integers(0, templates, pairs)
        b = np.where(np.arange(pairs) % 800 == 0, np.minimum(a // 7 * 7 + dice.integers(0, 7, pairs), templates - 1), dice.integers(0, templates, pairs))
        with open(folder / "pairs.txt", "w", encoding="utf-8") as lines:
            lines.writelines(f"{x} {y} {int(x // 7 == y // 7)}\n" for x, y in zip(a, b))
        start = time.perf_counter()
        process = subprocess.Popen([*command("RETINAFACE_CLI", "bin/retinaface"), "evaluate", "verify", "--templates", folder / "tid_mid.txt", "--pairs", folder / "pairs.txt",
                                    "--embeddings", folder / "e.npy", "--detection-scores", folder / "scores.txt"])
        _, status, usage = os.wait4(process.pid, 0)
        print(f"{faces} faces, {templates} templates, {pairs} pairs: {time.perf_counter() - start:.1f} s, {usage.ru_maxrss // 1024} MB (the mapped embeddings included)")
        if status != 0:
            sys.exit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
