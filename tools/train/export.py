"""From a training's end to a weights file: the running mean, its BatchNorms folded, its scores calibrated."""

from __future__ import annotations

from collections.abc import Sequence
import math
from pathlib import Path

import numpy as np
import torch

import measure
from model import Network, own_names
from photos import Photo
import recipe
from retinaface_weights import weights_file
from retinaface_weights.folding import fold_network
from retinaface_weights.network import LEVELS, head_name

FIXED_SCORE = measure.SCORE_THRESHOLD
"""The score that calibration leaves as it is: the evaluation threshold, so that the AP does not change."""


def fold(model: Network) -> dict[str, np.ndarray]:
    """The network's parameters in double, as a weights file names them, BatchNorms in the convolutions."""
    state = model.state_dict()
    parameters, _ = fold_network(model.architecture, own_names(model.architecture), lambda name: state[name].cpu().numpy())
    return parameters


def calibrate(parameters: dict[str, np.ndarray], score: float) -> None:
    """Rescales the class heads, in place, so that what scored `score` scores 0.5 (Platt scaling).

    The margin (face less background logit) z becomes (z - c) * t with c the margin of `score` and t such that
    `FIXED_SCORE` maps to itself. The order of detections, and so the AP, is unchanged. Training weighs hard negatives
    and positives in a way that makes scores too high for a default threshold of 0.5 to be a good one.
    """
    shift = math.log(score / (1 - score))
    fixed = math.log(FIXED_SCORE / (1 - FIXED_SCORE))
    slope = fixed / (fixed - shift)
    for level in LEVELS:
        head = head_name(level, "class")
        parameters[f"{head}.weight"] *= slope
        bias = parameters[f"{head}.bias"]
        bias *= slope
        bias[0::2] += shift * slope / 2
        bias[1::2] -= shift * slope / 2


def half_score(model: Network, dev: Sequence[Photo], precision: float) -> float:
    """The score of a network in inference mode that should be 0.5: from which on that share of the detections on crowds kept out
    of training (where there are none, on all photographs kept out) is right. In crowds people marked every head; where they drew
    faces, many a detection is a face that they left out."""
    judged = [photo for photo in dev if photo.heads] or dev
    found = [measure.detect(model, photo.pixels) for photo in judged]
    score = measure.threshold_of_precision([measure.judge_photo(f, p) for f, p in zip(found, judged)], precision)
    return min(max(score, 0.05), 0.99)


def export_run(checkpoint: Path, destination: Path, dev: Sequence[Photo], about: recipe.Weights) -> Path:
    """Writes the weights file (fp16) of a checkpoint of `train.py`, calibrated on `dev`, and returns its path."""
    content = torch.load(checkpoint, map_location="cpu", weights_only=True)
    model = Network(content["architecture"], content["profile"])
    model.load_state_dict(content["ema"])
    score = half_score(model.eval(), dev, about.precision)
    parameters = fold(model)
    calibrate(parameters, score)
    weights = weights_file.Weights(
        content["architecture"], content["profile"], parameters, about.version, about.source, about.licence)
    destination.write_bytes(weights_file.dump(weights, "f16"))
    print(f"wrote {destination}: what scored {score:.3f} scores 0.5", flush=True)
    return destination
