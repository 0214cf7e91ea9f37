#!/usr/bin/env python3
"""Convert RetinaFace weights to the library's file, and from it to other engines.

    convert_weights.py mobilenet0.25_Final.pth -o model.safetensors     PyTorch (biubug6 and its like), zip or plain pickle
    convert_weights.py model.safetensors --dtype f16 -o half.safetensors
    convert_weights.py --seed 1 --architecture mobilenet025 --profile biubug6 -o random.safetensors

Nothing that a file contains is ever executed.  Python 3.9 or newer and numpy.  Exit code 1: the input is wrong; 2: the
command line is.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from retinaface_weights import biubug6_names, seeded, torch_file, weights_file
from retinaface_weights.archive import MAX_HEADER
from retinaface_weights.errors import ConversionError
from retinaface_weights.folding import ConvSource, Row, expected_tensors, fold_network
from retinaface_weights.network import ARCHITECTURES, PROFILES
from retinaface_weights.weights_file import DTYPES, Weights

MAX_INPUT = 1 << 30


@dataclass
class Conversion:
    """Weights, and what there is to tell about how they came to be."""

    weights: Weights
    dtype: str = "f32"  # as stored in the input
    rows: List[Row] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)


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


def rename(tensors: Dict[str, object], mapping: Dict[str, str]) -> Dict[str, object]:
    """Apply `--map`; every entry must be of use and no name may arise twice."""
    unused = [name for name in mapping if name not in tensors]
    if unused:
        raise ConversionError(f"map: expected a tensor {unused[0]!r:.80} in the input, found none")
    result: Dict[str, object] = {}
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
    parameters, rows = fold_network(architecture, sources, lambda name: used[name].values())
    if extra:
        notes.append(f"left out, unused in inference: {summarise(extra)}")
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
    if torch_file.is_torch(data):
        conversion = convert_torch(data, args.architecture or "mobilenet025", args.profile or "biubug6", mapping)
    elif data[8:9] == b"{" and int.from_bytes(data[:8], "little") <= MAX_HEADER:
        if mapping:
            raise ConversionError("map: expected an input with other names, found a weights file")
        return convert_weights_file(data, args.architecture, args.profile)
    else:
        raise ConversionError(
            f"{args.input}: expected a PyTorch file or a weights file, found something else (starts with {data[:8]!r})"
        )
    conversion.weights.source = f"converted from {args.input.name}"
    conversion.weights.extra["source_sha256"] = hashlib.sha256(data).hexdigest()
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
        description=__doc__.split("\n\n")[0], epilog=__doc__.split("\n\n", 1)[1], formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("input", nargs="?", type=Path, help="a PyTorch file (.pth) or a weights file (.safetensors)")
    parser.add_argument("-o", "--output", type=Path, help="weights file to write")
    parser.add_argument("--architecture", choices=sorted(ARCHITECTURES), help="default: mobilenet025, or as the weights file says")
    parser.add_argument("--profile", choices=sorted(PROFILES), help="default: biubug6 for PyTorch files, or as the weights file says")
    parser.add_argument("--version", help="metadata: version of the weights")
    parser.add_argument("--source", help="metadata: where the values come from")
    parser.add_argument("--licence", help="metadata: terms of the values")
    parser.add_argument("--dtype", choices=sorted(DTYPES), help="how values are stored (default: as in a weights file, else f32)")
    parser.add_argument("--map", type=Path, metavar="FILE", help="JSON object that renames tensors: name in the file -> expected name")
    parser.add_argument("--seed", type=int, help="make a random network for tests instead of reading one")
    parser.add_argument("--quiet", action="store_true", help="print no table")
    args = parser.parse_args(argv)
    if (args.input is None) == (args.seed is None):
        parser.error("exactly one of an input file and --seed is needed")
    if args.seed is not None and not 0 <= args.seed < 1 << 32:
        parser.error("--seed takes a number from 0 to 4294967295")
    if args.output is None:
        parser.error("nothing to do: give -o")
    return args


def run(args: argparse.Namespace) -> None:
    conversion = convert(args)
    weights = conversion.weights
    for name in ("version", "source", "licence"):
        if getattr(args, name) is not None:
            setattr(weights, name, getattr(args, name))
    output = weights_file.dump(weights, args.dtype or conversion.dtype) if args.output else b""

    if not args.quiet:
        print_table(conversion.rows)
        folded = sum(row.folded and row.name.endswith(".weight") for row in conversion.rows)
        print(f"\nfolded: {folded} BatchNorms into their convolutions, in double")
        for note in conversion.notes:
            print(f"note: {note}")
    if args.input is not None:
        print(f"input:  {hashlib.sha256(read_bytes(args.input)).hexdigest()}  {args.input}")
    if args.output is not None:
        write_bytes(args.output, output)
        print(f"output: {hashlib.sha256(output).hexdigest()}  {args.output} ({len(output)} bytes)")


def main(argv: Optional[List[str]] = None) -> int:
    args = parse_arguments(argv)
    try:
        run(args)
    except ConversionError as error:
        print("convert_weights.py: error: " + " ".join(str(error).split()), file=sys.stderr)
        return 1
    except MemoryError:
        print("convert_weights.py: error: expected an input that fits into memory, found one that does not", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
