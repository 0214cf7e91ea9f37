#!/usr/bin/env python3
"""Convert RetinaFace weights to the library's file, and from it to other engines.

    convert_weights.py mobilenet0.25_Final.pth -o model.safetensors   PyTorch (biubug6 and its like), zip or pickle
    convert_weights.py mnet.25-0000.params -o model.safetensors       MXNet (insightface), graph beside it or --symbol
    convert_weights.py model.safetensors --dtype f16 -o half.safetensors
    convert_weights.py model.safetensors --onnx model.onnx --ncnn model --emit-hpp model.hpp
    convert_weights.py --seed 1 --architecture mobilenet025 --profile biubug6 -o random.safetensors

Nothing that a file contains is ever executed.  Python 3.9 or newer and numpy; the package onnx for --onnx.  Exit code
1: the input is wrong; 2: the command line is.

The exported networks take pixels 0..255 in the profile's channel order less the profile's mean: B, G, R less 104, 117,
123 (biubug6, paper) or R, G, B as they are, padded right and bottom with 0 to a multiple of 32 (insightface).  ONNX:
input `image` [1, 3, H, W] of any size, outputs `class` [1, N, 2] (logits, no softmax), `box` [1, N, 4], `landmark`
[1, N, 10], or with --onnx-maps the nine maps of the heads.  ncnn: the nine maps.  Rows and channels are in the order
that weights/README.md gives.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple, TypeVar

import numpy as np
from retinaface_weights import (
    biubug6_names,
    header_export,
    mxnet_file,
    ncnn_export,
    onnx_export,
    seeded,
    torch_file,
    weights_file,
)
from retinaface_weights.archive import MAX_HEADER
from retinaface_weights.errors import ConversionError
from retinaface_weights.folding import Row, expected_tensors, fold_network
from retinaface_weights.network import ARCHITECTURES, PROFILES
from retinaface_weights.weights_file import DTYPES, Weights

MAX_INPUT = 1 << 30
T = TypeVar("T")


@dataclass
class Conversion:
    """Weights, and what there is to tell about how they came to be."""

    weights: Weights
    dtype: str = "f32"  # as stored in the input
    rows: List[Row] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    inputs: List[Tuple[Path, str]] = field(default_factory=list)  # sha256 of each


def read_bytes(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_INPUT:
            raise ConversionError(f"{path}: expected at most {MAX_INPUT} bytes, found {size}")
        return path.read_bytes()
    except OSError as error:
        raise ConversionError(f"{path}: cannot be read ({error.strerror})") from None


def write_bytes(path: Path, data: bytes) -> None:
    """Write all of a file or nothing."""
    temporary: Optional[str] = None
    try:
        handle, temporary = tempfile.mkstemp(dir=str(path.parent), prefix=path.name + ".")
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, str(path))
    except OSError as error:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
        raise ConversionError(f"{path}: cannot be written ({error.strerror})") from None


def read_map(path: Optional[Path]) -> Dict[str, str]:
    """`--map`: a JSON object, name in the file -> name this converter expects."""
    if path is None:
        return {}
    try:
        mapping = json.loads(read_bytes(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: expected JSON, found a text that is none ({error})") from None
    if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
        raise ConversionError(f"{path}: expected an object of strings, old name -> expected name")
    return mapping


def rename(tensors: Dict[str, T], mapping: Dict[str, str]) -> Dict[str, T]:
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


def convert_torch(data: bytes, architecture: str, profile: str, mapping: Dict[str, str]) -> Conversion:
    tensors, notes = torch_file.read_state_dict(data)
    tensors = rename(tensors, mapping)
    sources = biubug6_names.sources(architecture)
    expected = expected_tensors(architecture, sources)
    extra = [name for name in tensors if name not in expected and biubug6_names.allowed_extra(name)]
    used = {name: tensor for name, tensor in tensors.items() if name not in extra}
    weights_file.check_shapes(
        {name: tensor.shape for name, tensor in used.items()}, expected, f"architecture {architecture}"
    )
    integers = [name for name, tensor in used.items() if not tensor.is_floating]
    if integers:
        kind = used[integers[0]].storage.kind
        raise ConversionError(f"tensor {integers[0]}: expected floating-point values, found {kind}")
    parameters, rows = fold_network(architecture, sources, lambda name: used[name].values())
    if extra:
        notes.append(f"left out, unused in inference: {summarise(extra)}")
    return Conversion(Weights(architecture, profile, parameters), rows=rows, notes=notes)


def find_symbol(params: Path) -> Path:
    """The graph beside a `.params` file: NAME-symbol.json for NAME-0000.params."""
    stem = re.sub(r"-\d{4}$", "", params.stem)
    symbol = params.with_name(stem + "-symbol.json")
    if not symbol.is_file():
        raise ConversionError(f"graph: expected {symbol} beside the parameters, found none (give it with --symbol)")
    return symbol


def convert_mxnet(data: bytes, graph: bytes, architecture: str, profile: str, mapping: Dict[str, str]) -> Conversion:
    tensors = rename(mxnet_file.read_params(data), mapping)
    sources, ignored, notes = mxnet_file.read_graph(graph, architecture)
    expected = expected_tensors(architecture, sources)
    extra = [name for name in tensors if name in ignored and name not in expected]
    used = {name: tensor for name, tensor in tensors.items() if name not in extra}
    weights_file.check_shapes({name: tensor.shape for name, tensor in used.items()}, expected, "the graph")
    parameters, rows = fold_network(architecture, sources, lambda name: used[name])
    if extra:
        notes.append(f"left out, without effect (fix_gamma): {', '.join(extra)}")
    return Conversion(Weights(architecture, profile, parameters), rows=rows, notes=notes)


def summarise(names: List[str]) -> str:
    counters = [name for name in names if name.endswith("num_batches_tracked")]
    others = [name for name in names if name not in counters]
    parts = others + ([f"{len(counters)} x num_batches_tracked"] if counters else [])
    return ", ".join(parts)


def convert_weights_file(data: bytes, architecture: Optional[str], profile: Optional[str]) -> Conversion:
    weights = weights_file.load(data)
    notes = ["input is a weights file; its self-test was run"]
    if architecture is not None and architecture != weights.architecture:
        raise ConversionError(f"architecture: expected {architecture}, found {weights.architecture} in the file")
    if profile is not None and profile != weights.profile:
        notes.append(f"profile changed from {weights.profile} to {profile}: values are the same, their meaning is not")
        weights.profile = profile
    half = all(value.dtype == DTYPES["f16"] for value in weights.parameters.values())
    rows = [Row(name, value.shape, (name,), False) for name, value in weights.parameters.items()]
    return Conversion(weights, "f16" if half else "f32", rows, notes)


def convert(args: argparse.Namespace) -> Conversion:
    """Whatever the input is, as canonical weights in double."""
    if args.seed is not None:
        weights = seeded.make_seeded(args.architecture or "mobilenet025", args.profile or "biubug6", args.seed)
        return Conversion(weights, notes=[f"random network of seed {args.seed}"])
    data = read_bytes(args.input)
    if not data:
        raise ConversionError(f"{args.input}: expected weights, found an empty file")
    mapping = read_map(args.map)
    if args.symbol is not None and not mxnet_file.is_params(data):
        raise ConversionError(f"{args.input}: expected MXNet parameters with --symbol, found another kind of file")
    if torch_file.is_torch(data):
        conversion = convert_torch(data, args.architecture or "mobilenet025", args.profile or "biubug6", mapping)
    elif mxnet_file.is_params(data):
        symbol = args.symbol or find_symbol(args.input)
        graph = read_bytes(symbol)
        conversion = convert_mxnet(
            data, graph, args.architecture or "mobilenet025", args.profile or "insightface", mapping
        )
        conversion.inputs.append((symbol, hashlib.sha256(graph).hexdigest()))
    elif data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= MAX_HEADER:
        if mapping:
            raise ConversionError("map: expected an input with other names, found a weights file")
        conversion = convert_weights_file(data, args.architecture, args.profile)
        conversion.inputs.append((args.input, hashlib.sha256(data).hexdigest()))
        return conversion
    else:
        raise ConversionError(
            f"{args.input}: expected a PyTorch, MXNet or weights file, found something else (starts with {data[:8]!r})"
        )
    digest = hashlib.sha256(data).hexdigest()
    conversion.inputs.insert(0, (args.input, digest))
    conversion.weights.source = f"converted from {args.input.name}"
    conversion.weights.extra["source_sha256"] = digest
    return conversion


def print_table(rows: List[Row]) -> None:
    def cells(row: Row) -> Tuple[str, str, str, str]:
        return row.name, "x".join(map(str, row.shape)), "yes" if row.folded else "-", " ".join(row.sources)

    table = [("tensor", "shape", "folded", "from"), *map(cells, rows)]
    widths = [max(len(line[column]) for line in table) for column in range(3)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)) + "  " + line[3])


def parse_arguments(argv: Optional[List[str]]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n\n")[0],
        epilog=__doc__.split("\n\n", 1)[1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "input",
        nargs="?",
        type=Path,
        help="a PyTorch file (.pth), MXNet parameters (.params) or a weights file (.safetensors)",
    )
    parser.add_argument("-o", "--output", type=Path, help="weights file to write")
    parser.add_argument(
        "--architecture", choices=sorted(ARCHITECTURES), help="default: mobilenet025, or as the weights file says"
    )
    parser.add_argument(
        "--profile",
        choices=sorted(PROFILES),
        help="default: biubug6 for PyTorch files, insightface for MXNet files, or as the weights file says",
    )
    parser.add_argument("--version", help="metadata: version of the weights")
    parser.add_argument("--source", help="metadata: where the values come from")
    parser.add_argument("--licence", help="metadata: terms of the values")
    parser.add_argument(
        "--dtype", choices=sorted(DTYPES), help="how values are stored (default: as in a weights file, else f32)"
    )
    parser.add_argument(
        "--map", type=Path, metavar="FILE", help="JSON object that renames tensors: name in the file -> expected name"
    )
    parser.add_argument(
        "--symbol",
        type=Path,
        metavar="FILE",
        help="the graph of MXNet parameters (default: NAME-symbol.json beside them)",
    )
    parser.add_argument("--onnx", type=Path, metavar="OUT.onnx", help="also write the network as an ONNX model")
    parser.add_argument(
        "--onnx-maps", action="store_true", help="the ONNX model's outputs are the heads' nine maps instead of rows"
    )
    parser.add_argument("--ncnn", type=Path, metavar="PREFIX", help="also write PREFIX.param and PREFIX.bin for ncnn")
    parser.add_argument(
        "--emit-hpp",
        type=Path,
        metavar="OUT.hpp",
        help="also write a C++ header with the weights (f16 unless --dtype says f32)",
    )
    parser.add_argument(
        "--symbol-name", metavar="NAME", help="what --emit-hpp calls the weights (default: from the header's name)"
    )
    parser.add_argument("--seed", type=int, help="make a random network for tests instead of reading one")
    parser.add_argument("--quiet", action="store_true", help="print no table")
    args = parser.parse_args(argv)
    if (args.input is None) == (args.seed is None):
        parser.error("exactly one of an input file and --seed is needed")
    if args.seed is not None and not 0 <= args.seed < 1 << 32:
        parser.error("--seed takes a number from 0 to 4294967295")
    if args.output is None and args.onnx is None and args.ncnn is None and args.emit_hpp is None:
        parser.error("nothing to do: give -o, --onnx, --ncnn or --emit-hpp")
    return args


def render(args: argparse.Namespace, weights: Weights, dtype: str) -> List[Tuple[Path, bytes]]:
    """Every file asked for; nothing is written before all of them could be made."""
    files: List[Tuple[Path, bytes]] = []
    if args.output is not None:
        files.append((args.output, weights_file.dump(weights, dtype)))
    stored = weights.rounded(dtype)
    if args.onnx is not None:
        files.append((args.onnx, onnx_export.export(stored, args.onnx_maps)))
    if args.ncnn is not None:
        text, values = ncnn_export.export(stored)
        files.append((args.ncnn.with_name(args.ncnn.name + ".param"), text.encode("ascii")))
        files.append((args.ncnn.with_name(args.ncnn.name + ".bin"), values))
    if args.emit_hpp is not None:
        embedded = weights_file.dump(weights, args.dtype or "f16")
        symbol = args.symbol_name or re.sub(r"[^A-Za-z0-9]+", "_", args.emit_hpp.stem).strip("_")
        text = header_export.export(embedded, symbol, weights.metadata(), hashlib.sha256(embedded).hexdigest())
        files.append((args.emit_hpp, text.encode("ascii")))
    return files


def run(args: argparse.Namespace) -> None:
    conversion = convert(args)
    weights = conversion.weights
    for name in ("version", "source", "licence"):
        if getattr(args, name) is not None:
            setattr(weights, name, getattr(args, name))
    files = render(args, weights, args.dtype or conversion.dtype)

    if not args.quiet:
        print_table(conversion.rows)
        folded = sum(row.folded and row.name.endswith(".weight") for row in conversion.rows)
        print(f"\nfolded: {folded} BatchNorms into their convolutions, in double")
        for note in conversion.notes:
            print(f"note: {note}")
    for path, digest in conversion.inputs:
        print(f"input:  {digest}  {path}")
    for path, data in files:
        write_bytes(path, data)
        print(f"output: {hashlib.sha256(data).hexdigest()}  {path} ({len(data)} bytes)")


def main(argv: Optional[List[str]] = None) -> int:
    args = parse_arguments(argv)
    try:
        with np.errstate(all="ignore"):  # what is not finite is found and named, without numpy's remarks
            run(args)
    except ConversionError as error:
        print("convert_weights.py: error: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    except MemoryError:
        print(
            "convert_weights.py: error: expected an input that fits into memory, found one that does not",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
