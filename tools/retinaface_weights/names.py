"""Which state dict is which network: tables of other people's names, and what their files carry beside the weights.

A family of names is a module with `ARCHITECTURES` (the networks it names) and `sources(architecture)`, canonical
convolution name -> where it is.  To add one, list it in `FAMILIES`.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Dict, List, Mapping, Optional, Tuple

from . import biubug6_names, resnet_names, yakhyo_names
from .errors import ConversionError
from .folding import ConvSource, expected_tensors

FAMILIES = {"biubug6": biubug6_names, "torchvision": resnet_names, "yakhyo": yakhyo_names}
# A classifier's last layer; counters of BatchNorm and of averaging; what the package thop leaves behind when it has counted operations;
# anchors of one size of image that somebody registered as a buffer; a loss that was saved with the network.
_UNUSED = re.compile(
    r"((body\.|fx\.)?fc\.(weight|bias))|(criterion|loss|loss_fn)\..*"
    r"|(.*\.)?(num_batches_tracked|n_averaged|total_ops|total_params|priors?|prior_data|prior_boxes|anchors)"
)
_AVERAGED = ("ema_model", "model_ema", "ema", "averaged_model", "module_ema")
_WRAPPERS = ("module", "model", "net", "network", "_orig_mod")
_COUNTERS = ("num_batches_tracked", "total_ops", "total_params")


def allowed_extra(name: str) -> bool:
    """Tensors that such files carry and that inference does not need."""
    return _UNUSED.fullmatch(name) is not None


@dataclass(frozen=True)
class Naming:
    """A known network under a known family of names."""

    architecture: str
    family: str
    sources: Dict[str, ConvSource]
    expected: Dict[str, Tuple[int, ...]]

    @property
    def what(self) -> str:
        return f"architecture {self.architecture} in {self.family}'s names"


def known(architecture: Optional[str] = None) -> List[Naming]:
    """Every known network (or the one) under every family of names that has it."""
    result = []
    for family, module in FAMILIES.items():
        for name in module.ARCHITECTURES:
            if architecture in (None, name):
                sources = module.sources(name)
                result.append(Naming(name, family, sources, expected_tensors(name, sources)))
    return result


def recognise(shapes: Mapping[str, Tuple[int, ...]], architecture: Optional[str]) -> Naming:
    """The known network with exactly these tensors; else an error that names the nearest and the first difference."""
    candidates = known(architecture)
    if not candidates:
        raise ConversionError(f"architecture {architecture}: no table says what state dicts call its tensors")

    def agreeing(naming: Naming) -> int:
        return sum(shapes.get(name) == shape for name, shape in naming.expected.items())

    best = max(candidates, key=agreeing)
    agree = agreeing(best)
    unexpected = [name for name in shapes if name not in best.expected]
    if agree == len(best.expected) and not unexpected:
        return best
    near = f"nearest known network: {best.what}, {agree} of {len(best.expected)} tensors agree"
    for name, shape in best.expected.items():
        if name not in shapes:
            missing = [n for n in best.expected if n not in shapes]
            also = f"; {listed(unexpected)} found that it does not have" if unexpected else ""
            raise ConversionError(
                f"missing: expected {listed(missing)} for {best.what}, found no such tensor{also} ({near})"
            )
        if shapes[name] != shape:
            raise ConversionError(
                f"tensor {name}: expected shape {list(shape)}, found {list(shapes[name])} (first difference; {near})"
            )
    raise ConversionError(f"unexpected: {best.what} has no {listed(unexpected)} ({near})")


def listed(names: List[str]) -> str:
    shown = ", ".join(f"{name!r:.80}" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def averaged(names: List[str]) -> Tuple[List[str], List[str]]:
    """Of a network and its running average in one dictionary, the average's names; remarks."""
    for root in _AVERAGED:
        own = [name for name in names if name.startswith(root + ".")]
        if 3 * len(own) > len(names) > len(own):
            return own, [f"two networks in the file: the averaged one, {root!r}, is taken"]
    return names, []


def strip_prefixes(names: List[str]) -> Tuple[Dict[str, str], List[str]]:
    """Names without what wrappers put before them (`module.`, `model.`, `_orig_mod.`, several at once); remarks.

    A first component that no family knows is a wrapper's if it is a customary one or more than half of the names share it.
    """
    roots = {name.split(".")[0] for naming in known() for name in naming.expected}
    result = {name: name for name in names}
    notes = []
    while True:
        firsts = Counter(name.split(".")[0] for name in result.values() if "." in name)
        wrappers = [f for f, n in firsts.items() if f not in roots and (f in _WRAPPERS or 2 * n > len(result))]
        if not wrappers:
            break
        prefix = wrappers[0] + "."
        notes.append(f"prefix {prefix!r} removed from {firsts[wrappers[0]]} names")
        result = {old: new[len(prefix) :] if new.startswith(prefix) else new for old, new in result.items()}
    seen: Dict[str, str] = {}
    for old, new in result.items():
        if new in seen:
            raise ConversionError(
                f"tensor {new!r:.80}: expected once, found with and without a prefix ({seen[new]!r:.80}, {old!r:.80})"
            )
        seen[new] = old
    return result, notes


def summarise(names: List[str]) -> str:
    """A list of left-out tensors, counters counted."""
    parts = [name for name in names if name.rsplit(".", 1)[-1] not in _COUNTERS]
    for counter in _COUNTERS:
        count = sum(name.rsplit(".", 1)[-1] == counter for name in names)
        parts += [f"{count} x {counter}"] if count else []
    return ", ".join(parts)
