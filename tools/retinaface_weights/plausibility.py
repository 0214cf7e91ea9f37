"""Does a network find the face in the repository's own sample picture, and if not, under which assumptions would it?"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Dict, Iterable, Mapping, Optional, Tuple

import numpy as np

from .assumptions import NAMED, Assumptions, fold, neighbours, other_inputs, stated_slope
from .errors import ConversionError
from .forward import forward
from .network import ANCHOR_SIZES, Profile, build_network
from .png import read_png
from .resnet import NETWORKS

WIDE = tuple(architecture.name for architecture in NETWORKS)

PICTURE = Path(__file__).resolve().parents[2] / "examples" / "images" / "astronaut.png"
_FACE = np.array([173.0, 61.0, 277.0, 168.0])
_POINTS = np.array([[203.7, 102.8], [245.0, 104.2], [224.4, 129.1], [202.7, 139.0], [244.8, 140.1]])
_CORNER = 96  # the tiles are cut from (96, 0) of the picture, 256 x 256 pixels
# Copies of the face on one sheet: divisor of the size, contrast, brightness.  The first two are easy; how many of the
# others a network still finds tells how well its assumptions fit it.
_COPIES = (
    (2, 1.0, 0.0), (4, 1.0, 0.0),
    (4, 0.35, 0.0), (4, 0.4, 150.0), (6, 1.0, 0.0), (6, 0.35, 0.0), (8, 1.0, 0.0), (8, 0.4, 150.0), (10, 1.0, 0.0),
)  # fmt: skip
_EASY = 2
_PLACES = ((0, 0), *((x, y) for y in (0, 64) for x in (128, 192)), *((x, 128) for x in (0, 64, 128, 192)))
_SHEET = (192, 256)
SCORE = 0.5
_NMS = 0.4
_OTHERS = 5  # detections beside the faces that are nothing to worry about
_LANDMARK_ERROR = 0.15  # mean distance, of the face's side
CLEARLY_BETTER = 0.1  # of the evidence


@lru_cache(maxsize=1)
def sheet() -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """U8 [192, 256, 3] with copies of the sample picture's face; their boxes [n, 4] and landmarks [n, 5, 2]."""
    pixels = read_png(PICTURE).astype(np.float64)[:256, _CORNER : _CORNER + 256]
    image = np.full((*_SHEET, 3), 110.0)
    boxes, points = [], []
    for (divisor, contrast, brightness), (x, y) in zip(_COPIES, _PLACES):
        side = 256 // divisor
        cut = pixels[: side * divisor, : side * divisor]
        tile = cut.reshape(side, divisor, side, divisor, 3).mean((1, 3))
        image[y : y + side, x : x + side] = tile * contrast + brightness
        boxes.append((_FACE - [_CORNER, 0, _CORNER, 0]) / divisor + [x, y, x, y])
        points.append((_POINTS - [_CORNER, 0]) / divisor + [x, y])
    return np.clip(np.round(image), 0, 255).astype(np.uint8), np.array(boxes), np.array(points)


def anchors(height: int, width: int, profile: Profile) -> np.ndarray:
    """[N, 3]: centre and size in pixels of the input, in output order."""
    rows = []
    for index, sizes in enumerate(ANCHOR_SIZES):
        stride = 8 << index
        first = 0.5 * stride if profile.first_centre is None else profile.first_centre
        y, x, size = np.meshgrid(
            np.arange(-(-height // stride)) * stride + first, np.arange(-(-width // stride)) * stride + first, sizes,
            indexing="ij",
        )  # fmt: skip
        rows.append(np.stack([x, y, size], -1).reshape(-1, 3))
    return np.concatenate(rows)


def decode(
    outputs: Mapping[str, np.ndarray], height: int, width: int, profile: Profile
) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores [N], boxes [N, 4] and landmarks [N, 5, 2] in pixels of an image; nothing clipped, nothing suppressed."""
    padded = [side + -side % profile.pad_to for side in (height, width)]
    prior = anchors(padded[0], padded[1], profile)
    centre_scale, size_scale = profile.variances
    size = prior[:, 2:]
    centre = prior[:, :2] + outputs["box"][:, :2] * centre_scale * size
    half = (size * np.exp(np.minimum(outputs["box"][:, 2:] * size_scale, 20.0)) - profile.inclusive) / 2
    landmark_scale = centre_scale if profile.landmark_variance is None else profile.landmark_variance
    points = prior[:, None, :2] + outputs["landmark"].reshape(-1, 5, 2) * landmark_scale * size[:, None]
    margin = np.clip(np.diff(outputs["class"].astype(np.float64))[:, 0], -500.0, 500.0)
    return 1 / (1 + np.exp(-margin)), np.concatenate([centre - half, centre + half], 1), points


def overlap(box: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """IoU of one box with several."""
    corner = np.maximum(box[:2], boxes[:, :2])
    inside = np.clip(np.minimum(box[2:], boxes[:, 2:]) - corner, 0, None).prod(1)
    area = np.clip(boxes[:, 2:] - boxes[:, :2], 0, None).prod(1)
    return inside / np.maximum((box[2:] - box[:2]).prod() + area - inside, 1e-9)


@dataclass(frozen=True)
class Verdict:
    """What a network makes of the sheet."""

    score: float  # of the weaker of the two easy faces
    landmark_error: float  # the worse of their points' mean distances, of the face's side
    others: int  # detections of score 0.5 that are on no face, after suppression
    evidence: float  # mean over all faces of score times overlap, 0..1

    @property
    def plausible(self) -> bool:
        return self.score >= SCORE and self.others <= _OTHERS and self.landmark_error <= _LANDMARK_ERROR

    def __str__(self) -> str:
        if self.score < SCORE:
            also = f", but {self.others} where none is" if self.others else ""
            return f"it does not find the face of {PICTURE.name}{also}"
        if self.others > _OTHERS:
            return f"it finds {self.others} faces where {PICTURE.name} has none"
        if self.landmark_error > _LANDMARK_ERROR:
            return f"its landmarks in {PICTURE.name} are {self.landmark_error:.0%} of the face's side off"
        return (
            f"finds the face of {PICTURE.name}: score {self.score:.3f}, landmarks {self.landmark_error:.1%} off, "
            f"{self.evidence:.2f} over its small, dark and pale copies"
        )


def judge(
    architecture: str, profile: Profile, parameters: Mapping[str, np.ndarray], slope: Optional[float] = None
) -> Verdict:
    """Run a network on the sheet; `slope`: of its activation, where that is not the profile's."""
    image, faces, true_points = sheet()
    outputs = forward(
        architecture, profile.name, parameters, image, build_network(architecture, profile.name, slope), np.float32
    )
    scores, boxes, points = decode(outputs, *_SHEET, profile)
    scores = np.where(np.isfinite(scores) & np.isfinite(boxes).all(1), scores, 0.0)
    overlaps = np.stack([overlap(face, boxes) for face in faces])
    best = (scores * overlaps).argmax(1)
    evidence = (scores * overlaps)[np.arange(len(faces)), best]
    easy = best[:_EASY]
    on_face = [overlaps[i, index] >= 0.4 for i, index in enumerate(easy)]
    score = min(float(scores[index]) if on else 0.0 for index, on in zip(easy, on_face))
    sides = np.sqrt((faces[:, 2:] - faces[:, :2]).prod(1))
    errors = [np.linalg.norm(points[index] - true_points[i], axis=1).mean() / sides[i] for i, index in enumerate(easy)]
    candidates = np.flatnonzero((scores >= SCORE) & (overlaps.max(0) < 0.2))
    candidates = candidates[np.argsort(-scores[candidates], kind="stable")]
    others = 0
    while len(candidates) and others < 99:
        others += 1
        keep = overlap(boxes[candidates[0]], boxes[candidates]) <= _NMS
        keep[0] = False  # whatever its size
        candidates = candidates[keep]
    return Verdict(score, float(max(errors)), others, float(evidence.mean()))


def compare(
    parameters: Mapping[str, np.ndarray], architecture: str, variants: Iterable[Assumptions]
) -> Dict[Assumptions, Verdict]:
    """The verdict on a network (parameters as in its file) under each of several assumptions that the library can express."""
    result: Dict[Assumptions, Verdict] = {}
    for variant in variants:
        try:
            profile, folded, _ = fold(parameters, architecture, variant)
        except ConversionError:
            continue
        slope = stated_slope(variant, architecture, profile)
        result[variant] = judge(architecture, profile, folded, slope)
    return result


def check(
    parameters: Mapping[str, np.ndarray], architecture: str, assumed: Assumptions
) -> Tuple[Verdict, Optional[Assumptions]]:
    """The verdict on a network under what was assumed, and what would fit clearly better, if anything known does."""
    if architecture in WIDE:  # looks once: a hundred looks would take minutes
        return compare(parameters, architecture, [assumed])[assumed], None
    verdicts = compare(parameters, architecture, [assumed, *neighbours(assumed)])
    verdict = verdicts[assumed]

    def best() -> Assumptions:
        top = max(v.evidence for v in verdicts.values())
        return next(a for a, v in verdicts.items() if v.evidence > top - 0.02)  # the simplest of equals

    if verdict.plausible and verdicts[best()].evidence < verdict.evidence + CLEARLY_BETTER:
        return verdict, None
    verdicts = {**compare(parameters, architecture, NAMED.values()), **verdicts}  # named ones first
    verdicts.update(compare(parameters, architecture, [v for v in other_inputs(best()) if v not in verdicts]))
    fitting = best()
    clearly = verdicts[fitting].evidence >= verdict.evidence + CLEARLY_BETTER
    return verdict, fitting if verdicts[fitting].plausible and clearly else None
