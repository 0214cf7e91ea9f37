#!/usr/bin/env python3
"""`retinaface evaluate wider` on as much as WIDER FACE's validation set: equal to NumPy, and how long it takes."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
import resource
import subprocess
import sys
import tempfile
import time
from typing import List

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "cli"))
from conftest import command  # noqa: E402
from test_protocols import LISTS, Wider  # noqa: E402


def main(arguments: List[str]) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--pictures", type=int, default=3226)
    parser.add_argument("--predictions", type=int, default=2_000_000)
    options = parser.parse_args(arguments)

    events = 61
    case = Wider(1, events=events, pictures=-(-options.pictures // events))
    del case.names[options.pictures :], case.faces[options.pictures :], case.found[options.pictures :]
    dice = np.random.default_rng(2)
    each = -(-options.predictions // sum(i % 17 != 5 for i in range(options.pictures)))  # the others are written without any
    for i, faces in enumerate(case.faces):
        boxes = np.concatenate([dice.uniform(0, 900, (each, 2)), dice.uniform(5, 100, (each, 2))], 1)
        if len(faces):
            near = dice.integers(0, len(faces), each // 4)
            boxes[: len(near)] = faces[near] + dice.normal(0, 3, (len(near), 4))
            boxes[:, 2:] = np.maximum(boxes[:, 2:], 1)
        case.found[i] = np.concatenate([boxes, dice.beta(0.4, 2, (each, 1))], 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        case.write_text(folder)
        predictions = case.write_predictions(folder / "found")
        count = sum(len(found) for found in case.found)
        start = time.perf_counter()
        done = subprocess.run([*command("RETINAFACE_CLI", "bin/retinaface"), "evaluate", "wider", "--truth", folder, "--predictions", predictions, "--json", "-"],
                              stdout=subprocess.PIPE, check=True)
        seconds = time.perf_counter() - start
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures = {(row["figure"], row["faces"]): row["value"] for row in json.loads(done.stdout)["figures"]}
    print(f"{len(case.names)} pictures, {count} predictions: {seconds:.1f} s ({usage.ru_utime + usage.ru_stime:.1f} s of one core), {usage.ru_maxrss // 1024} MB")
    worst = 0.0
    for list_name in LISTS:
        expected, _ = case.average_precision(list_name)
        difference = abs(figures["AP@.5", list_name] - expected)
        worst = max(worst, difference)
        print(f"{list_name:8s} AP {figures['AP@.5', list_name]:.6f}, NumPy {expected:.6f}, mAP {figures['mAP@.5:.95', list_name]:.6f}")
    print(f"largest difference {worst:.1e}")
    if worst > 1e-6:
        sys.exit("not equal")


if __name__ == "__main__":
    main(sys.argv[1:])
