"""A network that comes as a graph, whatever the format: followed from its heads to the image and compared, layer by layer,
with the architectures.  Which tensor is which follows from where the graph uses it; names mean nothing.

A format derives from `Matcher` and says how its nodes look; `mxnet_file`, `onnx_file` and `ncnn_file` do.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Callable, Dict, Hashable, List, Mapping, Optional, Sequence, Tuple

import numpy as np

from .errors import ConversionError
from .folding import ConvSource, Norm
from .network import ANCHORS, ARCHITECTURES, HEADS, LEVELS, ConcatRelu, Conv, Layer, UpsampleAdd, head_name
from .wide_layers import Add, MaxPool

Value = Hashable

ANCHOR_MAJOR = "anchor-major"  # channel = anchor * values + value, small anchor first: ours and biubug6's
CLASS_MAJOR = "class-major"  # insightface's: large anchor first, all background channels before all face channels


def head_order(head: str) -> List[int]:
    """For each canonical channel of a head, the channel of a file in class-major order."""
    values = dict(HEADS)[head]
    order = []
    for anchor in range(ANCHORS):
        origin = ANCHORS - 1 - anchor
        for value in range(values):
            order.append(value * ANCHORS + origin if head == "class" else origin * values + value)
    return order


@dataclass
class Found:
    """A network found in a graph, and what the graph says about how it is meant."""

    architecture: str
    sources: Dict[str, ConvSource]
    slope: float
    order: Optional[str]  # of the heads' channels; None: the graph does not say
    mean: Optional[Tuple[float, ...]] = None  # taken from the pixels in the graph
    std: Optional[Tuple[float, ...]] = None
    sizes: Optional[Tuple[Tuple[float, ...], ...]] = None  # of the anchors
    own: bool = False  # written by this project: every deviation is in the weights
    ignored: List[str] = field(default_factory=list)  # variables that mean nothing, such as a fixed gamma
    notes: List[str] = field(default_factory=list)

    def ordered(self, order: str) -> Dict[str, ConvSource]:
        """The sources with the heads' permutation for an order of their channels."""
        if order == ANCHOR_MAJOR:
            return self.sources
        result = dict(self.sources)
        for level in LEVELS:
            for head, _ in HEADS:
                source = result[head_name(level, head)]
                result[head_name(level, head)] = ConvSource(source.weight, source.bias, source.norm, head_order(head))
        return result


class Scaling:
    """What a graph does to pixels before the first convolution, followed from there to the input: (x - mean) / std."""

    def __init__(self) -> None:
        self._mean, self._std = np.zeros(3), np.ones(3)

    def add(self, operation: str, constant: np.ndarray, what: str) -> None:
        """Before what is known so far comes `add`, `sub`, `mul` or `div` with one or three constants."""
        if constant.size not in (1, 3):
            raise ConversionError(f"{what}: expected one or three constants, found {constant.size}")
        constant = constant.astype(np.float64).reshape(-1)
        if operation in ("add", "sub"):
            self._mean = self._mean + (constant if operation == "sub" else -constant)
        else:
            if not (np.abs(constant) > 1e-6).all() or not (np.abs(constant) < 1e6).all():
                raise ConversionError(f"{what}: expected a factor that is neither 0 nor huge, found {constant.tolist()}")
            factor = constant if operation == "mul" else 1 / constant
            self._mean, self._std = self._mean / factor, self._std / factor

    def values(self) -> Optional[Tuple[Tuple[float, ...], Tuple[float, ...]]]:
        """Mean and deviation; None where pixels go in as they are."""
        if not self._mean.any() and (self._std == 1).all():
            return None
        return tuple(self._mean.tolist()), tuple(self._std.tolist())


class Matcher:
    """Finds every layer of an architecture in a graph; the methods after `match` are the format's."""

    def __init__(self, layers: Sequence[Layer]) -> None:
        self._layers = {layer.name: layer for layer in layers}
        self._places: Dict[str, Value] = {}
        self.sources: Dict[str, ConvSource] = {}
        self.slopes: Dict[float, str] = {}  # of the activations, each with the first place where it is
        self.scaling: Optional[Tuple[Tuple[float, ...], Tuple[float, ...]]] = None  # mean and deviation, in the graph

    def match(self, name: str, value: Value) -> None:
        """`value` must be that of layer `name`."""
        known = self._places.get(name)
        if known is not None:
            if known != value:
                raise ConversionError(
                    f"{self.describe(value)}: expected {self.describe(known)} there, which is {name}"
                )
            return
        self._places[name] = value
        if name == "image":
            self.image(value)
            return
        layer = self._layers[name]
        if isinstance(layer, Conv):
            self._match_conv(layer, value)
        elif isinstance(layer, ConcatRelu):
            slope, value = self.activation(value)
            if slope != 0:
                raise ConversionError(f"{self.describe(value)}: expected ReLU after it, found a slope of {slope:g}")
            for source, place in zip(layer.sources, self.concatenated(value, len(layer.sources))):
                self.match(source, place)
        elif isinstance(layer, UpsampleAdd):
            fine, coarse = self.upsampled_sum(value)
            self.match(layer.fine, fine)
            self.match(layer.coarse, coarse)
        elif isinstance(layer, Add):
            if layer.relu:
                slope, value = self.activation(value)
                self.slopes.setdefault(slope, self.describe(value))
            for source, place in zip(layer.sources, self.sum(value)):
                self.match(source, place)
        elif isinstance(layer, MaxPool):
            self.match(layer.source, self.max_pool(value))
        else:
            raise TypeError(f"unknown layer {layer!r}")

    def _match_conv(self, layer: Conv, value: Value) -> None:
        if layer.slope is not None:
            slope, value = self.activation(value)
            self.slopes.setdefault(slope, self.describe(value))
        norm, value = self.norm(value)
        if layer.kernel == 1 and layer.groups > 1 and norm is not None:  # a BatchNorm that no convolution can take up
            self.sources[layer.name] = ConvSource(None, norm=norm)
            self.match(layer.source, value)
            return
        weight, bias, source = self.convolution(value, layer)
        self.sources[layer.name] = ConvSource(weight, bias, norm)
        self.match(layer.source, source)

    def describe(self, value: Value) -> str:
        """What an error calls a node."""
        raise NotImplementedError

    def activation(self, value: Value) -> Tuple[float, Value]:
        """The slope of the activation that makes a value, and what it reads; an error if none does."""
        raise NotImplementedError

    def norm(self, value: Value) -> Tuple[Optional[Norm], Value]:
        """The BatchNorm that makes a value, if one does, and the value before it."""
        raise NotImplementedError

    def convolution(self, value: Value, conv: Conv) -> Tuple[str, Optional[str], Value]:
        """Weight, bias and input of the convolution that makes a value; an error if it is not of this kind."""
        raise NotImplementedError

    def concatenated(self, value: Value, count: int) -> List[Value]:
        """The `count` maps whose channels follow one another in a value."""
        raise NotImplementedError

    def upsampled_sum(self, value: Value) -> Tuple[Value, Value]:
        """The finer map and the coarser one, doubled by repetition and cropped, whose sum a value is."""
        raise NotImplementedError

    def sum(self, value: Value) -> List[Value]:
        """The two maps of one size whose sum a value is."""
        raise NotImplementedError

    def max_pool(self, value: Value) -> Value:
        """What the 3x3 maximum of stride 2 that makes a value reads."""
        raise NotImplementedError

    def image(self, value: Value) -> None:
        """The value must be the graph's input, or the input scaled (`scaling`)."""
        raise NotImplementedError

    def slope(self) -> float:
        """The one slope of the network's activations."""
        if len(self.slopes) != 1:
            places = ", ".join(f"{slope:g} after {place}" for slope, place in self.slopes.items())
            raise ConversionError(f"activations: expected one slope, found {places}")
        return next(iter(self.slopes))


def find_network(
    matcher: Callable[[Sequence[Layer]], Any],
    heads: Mapping[str, Value],
    architecture: Optional[str],
    what: str,
) -> Tuple[str, Any]:
    """The architecture (the one asked for, or any) that a graph with these heads is, and its matcher.

    Of what fits nowhere the nearest network is named, and the first difference from it.
    """
    nearest: Optional[Tuple[int, int, str, ConversionError]] = None
    for name, candidate in ARCHITECTURES.items():
        if architecture not in (None, name):
            continue
        layers = candidate.layers(0.0)
        if not set(heads) <= {layer.name for layer in layers}:
            continue  # one head for all levels: in no format but state dicts
        attempt = matcher(layers)
        try:
            for head, value in heads.items():
                attempt.match(head, value)
            slope = attempt.slope()
            if candidate.slope is not None and slope != candidate.slope:
                raise ConversionError(f"activations: expected slope {candidate.slope:g}, found {slope:g}")
            return name, attempt
        except ConversionError as error:
            total = sum(isinstance(layer, Conv) for layer in layers)
            if nearest is None or len(attempt.sources) > nearest[0]:
                nearest = (len(attempt.sources), total, name, error)
    if nearest is None:
        raise ConversionError(f"architecture {architecture}: no network of this name that a graph can be")
    found, total, name, error = nearest
    raise ConversionError(f"{error} (first difference of {what} from {name}, {found} of {total} convolutions found)")


@dataclass
class HeadConv:
    """A convolution after which no other comes."""

    value: Value  # its output
    source: Value  # its input
    channels: int
    stride: int  # of its map, in pixels of the image


def arrange_heads(convs: Sequence[HeadConv], what: str) -> Dict[str, Value]:
    """Which of the last convolutions is which head: by the stride of its map and its number of channels."""
    kinds = {ANCHORS * values: head for head, values in HEADS}
    result: Dict[str, Value] = {}
    found = ", ".join(f"{conv.channels} channels at stride {conv.stride}" for conv in convs[:12]) or "none"
    for conv in convs:
        level = {8 << index: level for index, level in enumerate(LEVELS)}.get(conv.stride)
        head = kinds.get(conv.channels)
        if level is None or head is None or head_name(level, head) in result:
            break
        result[head_name(level, head)] = conv.value
    expected = [head_name(level, head) for level in LEVELS for head, _ in HEADS]
    if sorted(result) != sorted(expected) or len(convs) != len(expected):
        raise ConversionError(
            f"{what}: expected nine heads (last convolutions of {', '.join(map(str, kinds))} channels at strides 8, 16 and "
            f"32), found {len(convs)}: {found}"
        )
    return {name: result[name] for name in expected}
