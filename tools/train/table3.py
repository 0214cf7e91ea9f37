"""The paper's table 3 in small: what the landmark loss and the pixel loss do to detection, by short runs of one recipe.

    python table3.py recipes/mobilenet025.toml --data DATA --backbone mobilenetV1X0.25_pretrain.tar \\
        --library ../../build/release/lib/retinaface_mesh_python.so --out runs/table3

Four runs a seed, which see the same crops: neither loss, each, both. Prints AP of `val`, of its large faces and of the held crowds. A
run that is there already goes on, or is measured.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
import multiprocessing
from pathlib import Path

import numpy as np
import torch

import evaluate
import measure
import photos as photo_code
import recipe as recipe_code
from recipe import Recipe
import train

ARMS = {"class and box": (False, False), "+ landmarks": (True, False), "+ pixels": (False, True), "+ both": (True, True)}
"""Whether landmarks are taught, and pixels."""

PIXEL_WEIGHT = 2.0

FIGURES = ("AP", "AP, faces of 128 px and more", "crowds: AP")


def arm(recipe: Recipe, name: str, options: argparse.Namespace) -> Recipe:
    """The recipe of one arm."""
    landmarks, pixels = ARMS[name]
    return replace(
        recipe, schedule=replace(recipe.schedule.of_length(options.steps), batch=options.batch, ema=options.ema),
        loss=replace(recipe.loss, teacher_weight=0.0, landmark_weight=recipe.loss.landmark_weight if landmarks else 0.0,
                     pixel_weight=PIXEL_WEIGHT if pixels else 0.0))


def run(options: argparse.Namespace, name: str, seed: int) -> list[float]:
    """Trains one arm on one seed, and measures it: `FIGURES`."""
    folder = options.out / f"{name.replace(' ', '_').replace('+_', '')}_{seed}"
    run_options = argparse.Namespace(**{
        **vars(options), "out": folder, "seed": seed, "detector": None, "networks": None, "processes": 1, "workers": 0, "save_minutes": 5.0,
        "snapshot_steps": options.steps})
    detector = evaluate.load(train.train(run_options, arm(recipe_code.load(options.recipe), name, options)))
    store = photo_code.Store(options.pixels)
    drawn = photo_code.read(options.data, recipe_code.Collection("val", "boxes"), store)
    crowds = photo_code.read(options.data, recipe_code.Collection("crowds", "heads"), store, ("held",))
    marks = [measure.judge_photo(detector(photo.pixels), photo) for photo in drawn]
    large, _ = measure.bucket_ap(marks, [photo.marked for photo in drawn], measure.SIZE_BUCKETS[-1], 1.0)
    return [measure.pooled_ap(marks), large, measure.pooled_ap([measure.judge_photo(detector(p.pixels), p) for p in crowds])]


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--backbone", type=Path, required=True)
    parser.add_argument("--library", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pixels", type=Path, help="folder for decoded photographs (default: OUT/pixels)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--steps", type=int, default=900)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--ema", type=float, default=0.99)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, a thread each")
    options = parser.parse_args(arguments)
    options.pixels = options.pixels or options.out / "pixels"
    # Before, once: runs share the pixels.
    store = photo_code.Store(options.pixels)
    for collection in [*recipe_code.load(options.recipe).collections, recipe_code.Collection("val", "boxes")]:
        photo_code.read(options.data, collection, store, ())
    runs = [(name, seed) for seed in options.seeds for name in ARMS]
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        pending = [pool.submit(run, options, name, seed) for name, seed in runs]
        values = dict(zip(runs, (future.result() for future in pending)))
    columns = [*(f"seed {seed}" for seed in options.seeds), "mean"]
    print(f"{options.steps} steps of {options.batch} crops\n")
    print("| | " + " | ".join(f"{figure}: {column}" for figure in FIGURES for column in columns) + " |")
    print("|---" * (1 + len(FIGURES) * len(columns)) + "|")
    for name in ARMS:
        found = np.array([values[name, seed] for seed in options.seeds])  # [seeds, figures]
        row = np.concatenate([found, found.mean(0, keepdims=True)]).T.flatten()
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in row) + " |")


if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        raise SystemExit(str(error)) from None
