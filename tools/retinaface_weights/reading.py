"""Any file of weights as a `Network`: the numbers as they are in the file, and what the file says about their meaning."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, TypeVar

import numpy as np

from . import archive, formats, mxnet_file, names, ncnn_file, onnx_file, plausibility, torch_file, weights_file
from .assumptions import NAMED, Assumptions
from .errors import ConversionError
from .folding import Row, expected_tensors, fold_network
from .graph import ANCHOR_MAJOR, CLASS_MAJOR, Found
from .network import ARCHITECTURES, PROFILES

MAX_INPUT = 1 << 30
T = TypeVar("T")


@dataclass
class Network:
    """A network from a file.  `parameters` (canonical names, BatchNorm folded, double) mean what `assumed` says."""

    architecture: str
    parameters: Dict[str, np.ndarray]
    assumed: Assumptions
    stated: Dict[str, Any] = field(default_factory=dict)  # fields of `assumed` that the file itself says
    rows: List[Row] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    inputs: List[Tuple[Path, str]] = field(default_factory=list)  # sha256 of each
    dtype: str = "f32"  # as stored in the input
    weights: Optional[weights_file.Weights] = None  # of a weights file: its metadata
    licence: Optional[str] = None


def read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_INPUT:
            raise ConversionError(f"{path}: expected at most {MAX_INPUT} bytes, found {size}")
        return path.read_bytes()
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read ({error.strerror})") from None


def rename(tensors: Dict[str, T], mapping: Mapping[str, str]) -> Dict[str, T]:
    """Apply `--map`; every entry must be of use and no name may arise twice."""
    unused = [name for name in mapping if name not in tensors]
    if unused:
        raise ConversionError(f"map: expected a tensor {unused[0]!r:.80} in the input, found none")
    result: Dict[str, T] = {}
    for name, tensor in tensors.items():
        new = mapping.get(name, name)
        if new in result:
            raise ConversionError(f"tensor {new!r:.80}: expected once, found twice after --map")
        result[new] = tensor
    return result


def from_state_dict(
    tensors: Mapping[str, Any],
    values: Callable[[Any], np.ndarray],
    architecture: Optional[str],
    mapping: Mapping[str, str],
    notes: List[str],
) -> Network:
    """Tensors (with `shape` and `dtype`) by other people's names; `values` reads one."""
    taken, choice = names.averaged(list(tensors))
    stripped, remarks = names.strip_prefixes(taken)
    remarks = choice + remarks
    renamed = rename({stripped[name]: tensors[name] for name in taken}, mapping)
    needed = {name for naming in names.known(architecture) for name in naming.expected}
    extra = [name for name in renamed if name not in needed and names.allowed_extra(name)]
    used = {name: tensor for name, tensor in renamed.items() if name not in extra}
    naming = names.recognise({name: tuple(tensor.shape) for name, tensor in used.items()}, architecture)
    integers = [name for name, tensor in used.items() if not tensor.is_floating]
    if integers:
        raise ConversionError(f"tensor {integers[0]}: expected floating-point values, found {used[integers[0]].kind}")
    parameters, rows = fold_network(naming.architecture, naming.sources, lambda name: values(used[name]))
    notes = notes + remarks + [f"recognised: {naming.what}"]
    if extra:
        notes.append(f"left out, unused in inference: {names.summarise(extra)}")
    known = ARCHITECTURES[naming.architecture]
    assumed = NAMED[known.profile]
    if known.slope is not None:
        assumed = replace(assumed, slope=known.slope)
    return Network(naming.architecture, parameters, assumed, rows=rows, notes=notes)


def from_torch(data: bytes, architecture: Optional[str] = None, mapping: Mapping[str, str] = {}) -> Network:
    tensors, notes = torch_file.read_state_dict(data)
    return from_state_dict(tensors, lambda tensor: tensor.values(), architecture, mapping, notes)


def from_safetensors(data: bytes, architecture: Optional[str] = None, mapping: Mapping[str, str] = {}) -> Network:
    """A state dict that somebody saved as safetensors."""
    content = archive.load(data, archive.FOREIGN_DTYPES)
    tensors = {name: _Array(value) for name, value in content.tensors.items()}
    return from_state_dict(
        tensors, lambda tensor: tensor.array, architecture, mapping, ["a state dict in a safetensors file"]
    )


@dataclass(frozen=True)
class _Array:
    array: np.ndarray

    @property
    def shape(self) -> Tuple[int, ...]:
        return self.array.shape

    @property
    def kind(self) -> str:
        return str(self.array.dtype)

    @property
    def is_floating(self) -> bool:
        return self.array.dtype.kind == "f"


def _from_graph(
    found: Found, tensors: Mapping[str, np.ndarray], profile: Optional[str], notes: Sequence[str] = ()
) -> Network:
    """A network found in a graph; `profile`: what is asked for or what the file's metadata says, if anything does."""

    def parameters(order: str) -> Tuple[Dict[str, np.ndarray], List[Row]]:
        return fold_network(found.architecture, found.ordered(order), lambda name: tensors[name])

    stated: Dict[str, Any] = {"slope": found.slope}
    if found.mean is not None and found.std is not None:
        stated.update(mean=found.mean, std=found.std)
    if found.own:
        stated.update(std=(1.0, 1.0, 1.0))
    if found.sizes is not None:
        stated.update(min_sizes=found.sizes)
    by_order = {
        ANCHOR_MAJOR: NAMED["biubug6" if found.slope else "paper"],
        CLASS_MAJOR: NAMED["mnet12" if ARCHITECTURES[found.architecture].profile == "mnet12" else "insightface"],
    }
    remarks = [*found.notes, *notes]
    if found.order is not None:
        candidates = {found.order: [by_order[found.order]]}
        if found.order == ANCHOR_MAJOR and profile is None and found.slope == 0:
            candidates[ANCHOR_MAJOR] = [NAMED["paper"], NAMED["insightface"]]
    else:
        candidates = {order: [assumed] for order, assumed in by_order.items()}
    if profile is not None:
        order = found.order or (CLASS_MAJOR if profile in ("insightface", "mnet12") else ANCHOR_MAJOR)
        candidates = {order: [NAMED[profile]]}
    choices = [(order, replace(assumed, **stated)) for order, several in candidates.items() for assumed in several]
    order, assumed = choices[0]
    if len(choices) > 1:
        evidence = []
        for order, assumed in choices:
            verdicts = plausibility.compare(parameters(order)[0], found.architecture, [assumed])
            evidence.append(max((verdict.evidence for verdict in verdicts.values()), default=-1.0))
        order, assumed = choices[int(np.argmax(evidence))]
        remarks.append(
            f"the file does not say how its outputs are meant: of {', '.join(a.profile for _, a in choices)} the sample picture "
            f"fits {assumed.profile} best ({order} channels)"
        )
    if order == CLASS_MAJOR:
        remarks.append(
            "heads permuted: class channels (background, background, face, face) large anchor first -> anchor * 2 + "
            "{background, face}, small anchor first; box and landmark channels likewise"
        )
    values, rows = parameters(order)
    return Network(found.architecture, values, assumed, stated, rows, remarks)


def from_mxnet(
    data: bytes,
    graph: bytes,
    architecture: Optional[str] = None,
    mapping: Mapping[str, str] = {},
    profile: Optional[str] = None,
) -> Network:
    tensors = rename(mxnet_file.read_params(data), mapping)
    found = mxnet_file.read_graph(graph, architecture)
    expected = expected_tensors(found.architecture, found.sources)
    tensors = mxnet_file.rename_aliases(tensors, expected)
    extra = [name for name in tensors if name in found.ignored and name not in expected]
    used = {name: tensor for name, tensor in tensors.items() if name not in extra}
    weights_file.check_shapes({name: tensor.shape for name, tensor in used.items()}, expected, "the graph")
    notes = [f"left out, without effect (fix_gamma): {names.listed(extra)}"] if extra else []
    return _from_graph(found, used, profile, notes)


def from_onnx(data: bytes, architecture: Optional[str] = None, profile: Optional[str] = None) -> Network:
    found, constants, metadata = onnx_file.read_model(data, architecture)
    ours = metadata.get("format") in (archive.FORMAT, weights_file.UNHASHED_FORMAT) and metadata.get("profile") in PROFILES
    network = _from_graph(found, _checked(found, constants), profile or (metadata["profile"] if ours else None))
    if ours:
        network.licence = metadata.get("licence")
        network.notes.append(f"metadata: written by this converter, profile {metadata['profile']}")
    return network


def from_ncnn(
    param: bytes, values: bytes, architecture: Optional[str] = None, profile: Optional[str] = None
) -> Network:
    found, tensors = ncnn_file.read_model(param, values, architecture)
    return _from_graph(found, _checked(found, tensors), profile)


def _checked(found: Found, tensors: Mapping[str, np.ndarray]) -> Dict[str, np.ndarray]:
    expected = expected_tensors(found.architecture, found.sources)
    used = {name: tensors[name] for name in expected if name in tensors}
    weights_file.check_shapes({name: value.shape for name, value in used.items()}, expected, "the graph")
    integers = [name for name, value in used.items() if value.dtype.kind != "f"]
    if integers:
        raise ConversionError(
            f"tensor {integers[0]!r:.80}: expected floating-point values, found {used[integers[0]].dtype}"
        )
    return used


def from_weights_file(data: bytes, architecture: Optional[str] = None, profile: Optional[str] = None) -> Network:
    weights = weights_file.load(data)
    notes = ["input is a weights file; its self-test was run"]
    if architecture is not None and architecture != weights.architecture:
        raise ConversionError(f"architecture: expected {architecture}, found {weights.architecture} in the file")
    if profile is not None and profile != weights.profile:
        notes.append(f"profile changed from {weights.profile} to {profile}: values are the same, their meaning is not")
    half = all(value.dtype == weights_file.DTYPES["f16"] for value in weights.parameters.values())
    rows = [Row(name, value.shape, (name,), False) for name, value in weights.parameters.items()]
    stored = replace(NAMED[profile or weights.profile], std=(1.0, 1.0, 1.0))
    return Network(
        weights.architecture, weights.parameters, stored, rows=rows, notes=notes, dtype="f16" if half else "f32",
        weights=weights,
    )  # fmt: skip


def _symbol_beside(params: Path) -> Path:
    """The graph beside a `.params` file: NAME-symbol.json for NAME-0000.params."""
    stem = re.sub(r"-\d{4}$", "", params.stem)
    symbol = params.with_name(stem + "-symbol.json")
    if not symbol.is_file():
        raise ConversionError(f"graph: expected {symbol} beside the parameters, found none (give it with --symbol)")
    return symbol


def _ncnn_pair(path: Path, data: bytes, symbol: Optional[Path]) -> Tuple[Path, Path]:
    """The `.param` and the `.bin` of an ncnn model of which one was given."""
    if ncnn_file.is_param(data):
        param, values = path, path.with_suffix(".bin")
    else:
        param, values = symbol or path.with_suffix(".param"), path
    for part, other in ((param, values), (values, param)):
        if not part.is_file():
            raise ConversionError(f"ncnn model: expected {part} beside {other.name}, found none")
    return param, values


def read(
    path: Path,
    architecture: Optional[str] = None,
    profile: Optional[str] = None,
    mapping: Mapping[str, str] = {},
    symbol: Optional[Path] = None,
) -> Network:
    """The network in a file of any kind that is known; `profile` matters where the file does not say how it is meant."""
    data = read_bytes(path)
    if not data:
        raise ConversionError(f"{path}: expected weights, found an empty file")
    inputs = [path]
    with_symbol, with_map = False, True
    if torch_file.is_torch(data):
        formats.refuse_torch_relatives(path, data)
        network = from_torch(data, architecture, mapping)
    elif mxnet_file.is_params(data):
        graph = symbol or _symbol_beside(path)
        inputs.append(graph)
        with_symbol = True
        network = from_mxnet(data, read_bytes(graph), architecture, mapping, profile)
    elif data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= archive.MAX_HEADER:
        if archive.is_foreign(data):
            network = from_safetensors(data, architecture, mapping)
        else:
            network, with_map = from_weights_file(data, architecture, profile), False
    elif onnx_file.is_onnx(data):
        network, with_map = from_onnx(data, architecture, profile), False
    elif ncnn_file.is_param(data) or (path.suffix == ".bin" and path.with_suffix(".param").is_file()):
        param, values = _ncnn_pair(path, data, symbol)
        inputs = [param, values]
        with_symbol, with_map = True, False
        network = from_ncnn(read_bytes(param), read_bytes(values), architecture, profile)
    else:
        raise ConversionError(f"{path}: {formats.explain(path, data)}")
    if symbol is not None and not with_symbol:
        raise ConversionError(f"{path}: expected MXNet parameters with --symbol, found another kind of file")
    if mapping and not with_map:
        raise ConversionError("map: expected an input whose tensors have names of their own, found a graph or a weights file")
    network.inputs = [(part, hashlib.sha256(read_bytes(part)).hexdigest()) for part in inputs]
    return network
