"""What a file of weights does not say about itself, and how it becomes part of the weights.

A state dict holds no activation, no anchors and no input normalisation.  What is assumed of them is an `Assumptions`;
the library knows a few combinations, its profiles.  `fold` turns the parameters of a network under any assumptions into
those of the same network under a profile:

- *Anchors.*  Box centres and landmarks are in units of the anchor's size: their head's rows are scaled by the ratio of
  the sizes.  Widths and heights are logarithms: the logarithm of the ratio goes to the bias.  Exact.
- *Channel order, deviation.*  The first convolution's input channels are permuted and divided.  Exact.
- *Mean.*  The difference goes to the first convolution's bias.  Exact where the kernel lies inside the image; where it
  reaches over the border, zero padding means the mean's colour, which is now the profile's: the outermost outputs of that
  convolution (for 3x3 the first row and column, the last too where the size is odd) are off by the difference of means.
- *Activation.*  Not foldable: a profile with that slope is taken; where none has it, the metadata state it (`slope`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Dict, List, Mapping, Optional, Tuple

import numpy as np

from .errors import ConversionError
from .network import ANCHOR_SIZES, LEVELS, PROFILES, Profile, build_network, convolutions, head_name, lookup_architecture

Triple = Tuple[float, float, float]
Sizes = Tuple[Tuple[float, ...], ...]


@dataclass(frozen=True)
class Assumptions:
    """How a network's numbers are meant; the decoding is that of `profile`."""

    profile: str
    slope: float
    min_sizes: Sizes
    channels: str
    mean: Triple  # of the pixels 0..255, in the order of `channels`
    std: Triple

    def options(self, beside: Assumptions) -> str:
        """The converter's options that lead from other assumptions to these."""
        if self in NAMED.values():
            return "--profile " + next(name for name, value in NAMED.items() if value == self)
        parts = []
        if _family(self) != _family(beside):
            parts.append(f"--profile {self.profile}")
            beside = NAMED[self.profile]
        if self.slope != beside.slope:
            parts.append(f"--slope {self.slope:g}")
        if self.min_sizes != beside.min_sizes:
            parts.append("--min-sizes " + _numbers([size for level in self.min_sizes for size in level]))
        if self.channels != beside.channels:
            parts.append(f"--channels {self.channels}")
        if self.mean != beside.mean:
            parts.append(f"--mean {_numbers(self.mean)}")
        if self.std != beside.std:
            parts.append(f"--std {_numbers(self.std)}")
        return " ".join(parts)


def _numbers(values: object) -> str:
    return ",".join(f"{value:g}" for value in values)  # type: ignore[attr-defined]


def _of_profile(profile: Profile) -> Assumptions:
    return Assumptions(
        profile.name, profile.slope, ANCHOR_SIZES, profile.channels, profile.mean, (1.0, 1.0, 1.0)
    )


# What `--profile` takes: the library's profiles as they are, and networks of others that become one of them.
NAMED: Dict[str, Assumptions] = {name: _of_profile(profile) for name, profile in PROFILES.items()}
NAMED["face-detector-1mb"] = replace(  # biubug6/Face-Detector-1MB-with-landmark
    NAMED["paper"], min_sizes=((10.0, 20.0), (32.0, 64.0), (128.0, 256.0))
)
NAMED["mnet12"] = replace(NAMED["mnet12"], std=(128.0, 128.0, 128.0))

# Ways in which people are known to feed such networks, beside those above: channels, mean, deviation.
INPUTS: Tuple[Tuple[str, Triple, Triple], ...] = (
    ("rgb", (104.0, 117.0, 123.0), (1.0, 1.0, 1.0)),
    ("rgb", (123.0, 117.0, 104.0), (1.0, 1.0, 1.0)),
    ("rgb", (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    ("rgb", (0.0, 0.0, 0.0), (255.0, 255.0, 255.0)),
    ("bgr", (127.5, 127.5, 127.5), (128.0, 128.0, 128.0)),
)


def _family(assumptions: Assumptions) -> Tuple[object, ...]:
    profile = PROFILES[assumptions.profile]
    return profile.variances, profile.first_centre, profile.inclusive, profile.landmark_variance


def neighbours(assumed: Assumptions) -> List[Assumptions]:
    """The likeliest mistakes: the other channel order, the other activation, the other anchors."""
    order = {"rgb": "bgr", "bgr": "rgb"}[assumed.channels]
    slopes = dict.fromkeys(a.slope for a in NAMED.values() if _family(a) == _family(assumed))
    sizes = dict.fromkeys(a.min_sizes for a in NAMED.values())
    result = [replace(assumed, channels=order)]
    result += [replace(assumed, slope=slope) for slope in slopes if slope != assumed.slope]
    return result + [replace(assumed, min_sizes=s) for s in sizes if s != assumed.min_sizes]


def other_inputs(assumed: Assumptions) -> List[Assumptions]:
    """The same network fed in every other known way."""
    inputs = dict.fromkeys([*((a.channels, a.mean, a.std) for a in NAMED.values()), *INPUTS])
    return [replace(assumed, channels=channels, mean=mean, std=std) for channels, mean, std in inputs]


def library_profile(assumptions: Assumptions, architecture: str) -> Profile:
    """The profile of the library that decodes alike, has the nearest input and, if there is one, this activation."""
    fixed = lookup_architecture(architecture).slope
    if fixed is not None and assumptions.slope != fixed:
        raise ConversionError(f"slope: expected {fixed:g} for architecture {architecture}, found {assumptions.slope:g}")
    if not 0 <= assumptions.slope <= 1:
        raise ConversionError(f"slope: expected one in 0..1, found {assumptions.slope:g}")
    alike = [p for p in PROFILES.values() if _family(NAMED[p.name]) == _family(assumptions)]
    fitting = [p for p in alike if fixed is not None or p.slope == assumptions.slope] or alike

    def cost(profile: Profile) -> Tuple[bool, bool]:
        mean = profile.mean if profile.channels == assumptions.channels else profile.mean[::-1]
        return mean != assumptions.mean, profile.name != assumptions.profile

    return min(fitting, key=cost)


def stated_slope(assumptions: Assumptions, architecture: str, profile: Profile) -> Optional[float]:
    """What the metadata have to say of the activation: nothing where architecture or profile has that slope."""
    fixed = lookup_architecture(architecture).slope
    return None if assumptions.slope == (profile.slope if fixed is None else fixed) else assumptions.slope


def fold(
    parameters: Mapping[str, np.ndarray], architecture: str, assumptions: Assumptions
) -> Tuple[Profile, Dict[str, np.ndarray], List[str]]:
    """The profile to store, the parameters for it, and remarks about what was folded."""
    profile = library_profile(assumptions, architecture)
    result = dict(parameters)
    notes = []
    if assumptions.min_sizes != ANCHOR_SIZES:
        _fold_anchors(result, assumptions.min_sizes, profile)
        found = " / ".join(_numbers(level) for level in assumptions.min_sizes)
        notes.append(f"anchors {found} folded into the heads: exact")
    notes += _fold_input(result, architecture, assumptions, profile)
    return profile, result, notes


def _fold_anchors(parameters: Dict[str, np.ndarray], sizes: Sizes, profile: Profile) -> None:
    for level, trained, stored in zip(LEVELS, sizes, ANCHOR_SIZES):
        ratio = np.array(trained) / np.array(stored)
        one = np.ones_like(ratio)
        for head, scales in (("box", np.stack([ratio, ratio, one, one], 1)), ("landmark", np.stack([ratio] * 10, 1))):
            name = head_name(level, head)
            scale = scales.reshape(-1)
            parameters[f"{name}.weight"] = parameters[f"{name}.weight"] * scale[:, None, None, None]
            parameters[f"{name}.bias"] = parameters[f"{name}.bias"] * scale
        shift = np.zeros((len(ratio), 4))
        shift[:, 2:] = np.log(ratio)[:, None] / profile.variances[1]
        name = head_name(level, "box") + ".bias"
        parameters[name] = parameters[name] + shift.reshape(-1)


def _fold_input(
    parameters: Dict[str, np.ndarray], architecture: str, assumptions: Assumptions, profile: Profile
) -> List[str]:
    first = convolutions(build_network(architecture, profile.name))[0].name
    weight = parameters[first + ".weight"]
    mean, std = np.array(assumptions.mean), np.array(assumptions.std)
    notes = []
    if assumptions.channels != profile.channels:
        weight, mean, std = weight[:, ::-1], mean[::-1], std[::-1]
        notes.append(f"channels {assumptions.channels} -> {profile.channels} in {first}: exact")
    if (std != 1).any():
        weight = weight / std[:, None, None]
        notes.append(f"deviation {_numbers(assumptions.std)} folded into {first}: exact")
    difference = np.array(profile.mean) - mean
    if difference.any():
        parameters[first + ".bias"] = parameters[first + ".bias"] + (weight.sum((2, 3)) * difference).sum(1)
        notes.append(
            f"mean {_numbers(assumptions.mean)} folded into {first}: exact but in the outermost outputs of that convolution"
        )
    parameters[first + ".weight"] = np.ascontiguousarray(weight)
    return notes


def parse_sizes(text: str) -> Sizes:
    """`--min-sizes`: two a level, fine to coarse, separated by commas or slashes."""
    values = _floats(text.replace("/", ","), 2 * len(LEVELS))
    if not all(0 < value < 1e5 for value in values):
        raise ValueError("sizes of more than 0 pixels")
    return tuple(tuple(values[2 * i : 2 * i + 2]) for i in range(len(LEVELS)))


def parse_triple(text: str) -> Triple:
    """`--mean`, `--std`: three numbers in the order of the channels, or one for all."""
    values = _floats(text, 3 if "," in text else 1)
    return (values[0], values[-2 if len(values) == 3 else 0], values[-1])


def parse_deviation(text: str) -> Triple:
    """`--std`: as the mean, but nothing divides by 0."""
    values = parse_triple(text)
    if not all(value > 0 for value in values):
        raise ValueError("deviations above 0")
    return values


def _floats(text: str, count: int) -> List[float]:
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(math.isfinite(value) for value in values):
        raise ValueError(f"{count} numbers")
    return values
