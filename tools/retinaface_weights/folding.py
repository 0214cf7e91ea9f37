"""From a convolution, its BatchNorm and their names elsewhere to one canonical convolution with bias."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Callable, Dict, List, Optional, Sequence, Tuple

import numpy as np

from .errors import ConversionError
from .network import build_network, convolutions


@dataclass(frozen=True)
class Norm:
    """Names of a BatchNorm's tensors; gamma None means 1 whatever is stored."""

    gamma: Optional[str]
    beta: str
    mean: str
    variance: str
    epsilon: float


@dataclass(frozen=True)
class ConvSource:
    """Where one convolution comes from; `order` lists, per output channel here, the channel there.

    Without a weight it is a BatchNorm alone: the 1x1 convolution of each channel by itself.
    """

    weight: Optional[str]
    bias: Optional[str] = None
    norm: Optional[Norm] = None
    order: Optional[Sequence[int]] = None

    def names(self) -> List[str]:
        norm = [self.norm.gamma, self.norm.beta, self.norm.mean, self.norm.variance] if self.norm else []
        return [name for name in (self.weight, self.bias, *norm) if name is not None]

    def renamed(self, rename: Callable[[str], str]) -> ConvSource:
        """The same under other names."""
        norm = self.norm
        if norm is not None:
            gamma = None if norm.gamma is None else rename(norm.gamma)
            norm = Norm(gamma, rename(norm.beta), rename(norm.mean), rename(norm.variance), norm.epsilon)
        bias = None if self.bias is None else rename(self.bias)
        return ConvSource(None if self.weight is None else rename(self.weight), bias, norm, self.order)

    def shapes(self, weight_shape: Tuple[int, ...]) -> Dict[str, Tuple[int, ...]]:
        return {name: weight_shape if name == self.weight else weight_shape[:1] for name in self.names()}


@dataclass(frozen=True)
class Row:
    """What became of what, for the printed table."""

    name: str
    shape: Tuple[int, ...]
    sources: Tuple[str, ...]
    folded: bool


def expected_tensors(architecture: str, sources: Dict[str, ConvSource]) -> Dict[str, Tuple[int, ...]]:
    """Name and shape of every tensor that has to be there."""
    shapes: Dict[str, Tuple[int, ...]] = {}
    for conv in convolutions(build_network(architecture, "paper")):
        shapes.update(sources[conv.name].shapes(conv.weight_shape))
    return shapes


def fold(
    weight: np.ndarray, bias: Optional[np.ndarray], source: ConvSource, get: Callable[[str], np.ndarray]
) -> Tuple[np.ndarray, np.ndarray]:
    """Weight and bias in double with the BatchNorm in them."""
    bias = np.zeros(weight.shape[0]) if bias is None else bias
    norm = source.norm
    if norm is None:
        return weight, bias
    variance = get(norm.variance)
    if (variance < 0).any():
        raise ConversionError(f"tensor {norm.variance}: expected variances of at least 0, found {variance.min():g}")
    gamma = np.ones_like(variance) if norm.gamma is None else get(norm.gamma)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return weight * scale[:, None, None, None], (bias - get(norm.mean)) * scale + get(norm.beta)


def fold_network(
    architecture: str, sources: Dict[str, ConvSource], read: Callable[[str], np.ndarray]
) -> Tuple[Dict[str, np.ndarray], List[Row]]:
    """All canonical parameters in double; `read` yields a tensor whose shape has been checked."""

    def get(name: str) -> np.ndarray:
        values = read(name).astype(np.float64)
        if not np.isfinite(values).all():
            raise ConversionError(f"tensor {name}: expected finite values, found {values[~np.isfinite(values)][0]}")
        return values

    parameters: Dict[str, np.ndarray] = {}
    rows: List[Row] = []
    for conv in convolutions(build_network(architecture, "paper")):
        source = sources[conv.name]
        given = np.ones(conv.weight_shape) if source.weight is None else get(source.weight)
        weight, bias = fold(given, get(source.bias) if source.bias else None, source, get)
        if source.order is not None:
            weight, bias = weight[list(source.order)], bias[list(source.order)]
        for kind, value in (("weight", weight), ("bias", bias)):
            if not np.isfinite(value).all():
                raise ConversionError(f"tensor {conv.name}.{kind}: expected finite values after folding, found others")
            parameters[f"{conv.name}.{kind}"] = value
        norm = [name for name in source.names() if name not in (source.weight, source.bias)]
        bias_names = [name for name in (source.bias, *norm) if name]
        norm_names = [source.norm.gamma, source.norm.variance] if source.norm else []
        weight_names = [n for n in (source.weight, *norm_names) if n]
        rows.append(Row(conv.name + ".weight", weight.shape, tuple(weight_names), bool(norm)))
        rows.append(Row(conv.name + ".bias", bias.shape, tuple(bias_names), bool(norm)))
    return parameters, rows
