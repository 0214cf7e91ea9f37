#!/usr/bin/env python3
"""Convert RetinaFace weights to the library's file, and from it to other engines.

    convert_weights.py mobilenet0.25_Final.pth -o model.safetensors   a PyTorch state dict (zip, pickle or safetensors)
    convert_weights.py mnet.25-0000.params -o model.safetensors       MXNet, graph beside it or --symbol
    convert_weights.py FaceDetector.onnx -o model.safetensors         ONNX, with or without decoding
    convert_weights.py face.param -o model.safetensors                ncnn, .bin beside it
    convert_weights.py other.pth --profile face-detector-1mb -o model.safetensors
    convert_weights.py model.safetensors --dtype f16 -o half.safetensors
    convert_weights.py model.safetensors --onnx model.onnx --ncnn model --emit-hpp model.hpp
    convert_weights.py --seed 1 --architecture mobilenet025 --profile biubug6 -o random.safetensors

Nothing that a file contains is ever executed.  Python 3.9 or newer and numpy; the package onnx for --onnx.  Exit code
1: the input is wrong; 2: the command line is; 3, with --strict: the network does not find the face in the sample picture.

A state dict does not say what activation, anchors and input it was trained with.  --profile names what is assumed of
them, --slope, --min-sizes, --channels, --mean and --std change it; docs/weights.md tells what becomes of each.  After a
conversion the network looks at the sample picture, and what would fit it better is named.

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
from dataclasses import replace
from pathlib import Path
from typing import Callable, Dict, List, Optional, Tuple

import numpy as np
from retinaface_weights import assumptions, header_export, ncnn_export, onnx_export, plausibility, reading, seeded, weights_file
from retinaface_weights.assumptions import NAMED, Assumptions
from retinaface_weights.errors import ConversionError
from retinaface_weights.folding import Row
from retinaface_weights.network import ARCHITECTURES, PROFILES
from retinaface_weights.reading import Network
from retinaface_weights.weights_file import DTYPES, Weights


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
        mapping = json.loads(reading.read_bytes(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConversionError(f"{path}: expected JSON, found a text that is none ({error})") from None
    if not isinstance(mapping, dict) or not all(isinstance(value, str) for value in mapping.values()):
        raise ConversionError(f"{path}: expected an object of strings, old name -> expected name")
    return mapping


def settle(args: argparse.Namespace, network: Network) -> Assumptions:
    """What is assumed of a network: the file's own word, else the options', else what is usual for its kind."""
    assumed = network.assumed if args.profile is None else replace(NAMED[args.profile], **network.stated)
    for option in ("slope", "min_sizes", "channels", "mean", "std"):
        value = getattr(args, option)
        if value is None:
            continue
        stated = network.stated.get(option)
        if stated is not None and stated != value:
            raise ConversionError(f"--{option.replace('_', '-')}: expected {stated} as the file says, found {value}")
        assumed = replace(assumed, **{option: value})
    return assumed


def describe(assumed: Assumptions) -> str:
    """One line, as the metadata keep it."""
    def numbers(values: Tuple[float, ...]) -> str:
        return ",".join(f"{value:g}" for value in values)

    sizes = " / ".join(numbers(level) for level in assumed.min_sizes)
    return (
        f"slope {assumed.slope:g}; anchors {sizes}; channels {assumed.channels}; mean {numbers(assumed.mean)}; "
        f"deviation {numbers(assumed.std)}; decoding as {assumed.profile}"
    )


def convert(args: argparse.Namespace) -> Tuple[Network, Weights]:
    """Whatever the input is, and what becomes of it: canonical weights in double."""
    if args.seed is not None:
        profile = args.profile or "biubug6"
        weights = seeded.make_seeded(args.architecture or "mobilenet025", profile, args.seed)
        notes = [f"random network of seed {args.seed}"]
        return Network(weights.architecture, weights.parameters, NAMED[profile], notes=notes, weights=weights), weights
    network = reading.read(args.input, args.architecture, args.profile, read_map(args.map), args.symbol)
    if network.weights is not None:
        weights = network.weights
        if args.profile is not None:
            weights.profile = args.profile
        given = [name for name in ("slope", "min_sizes", "channels", "mean", "std") if getattr(args, name) is not None]
        if given:
            raise ConversionError(
                f"--{given[0].replace('_', '-')}: expected a file that does not say what it means, found a weights file"
            )
        return network, weights
    assumed = settle(args, network)
    profile, parameters, notes = assumptions.fold(network.parameters, network.architecture, assumed)
    network.assumed = assumed
    network.notes += notes
    weights = Weights(network.architecture, profile.name, parameters)
    name, digest = network.inputs[0]
    weights.source = f"converted from {name.name}"
    if network.licence is not None:
        weights.licence = network.licence
    weights.extra["source_sha256"] = digest
    weights.extra["assumed"] = describe(assumed)
    slope = assumptions.stated_slope(assumed, network.architecture, profile)
    if slope is not None:
        weights.extra["slope"] = f"{slope:g}"
    return network, weights


def look(network: Network) -> Tuple[bool, str]:
    """Whether a converted network finds the face in the sample picture, and what to tell."""
    if network.architecture == "resnet152_deformable":
        return True, "not looked at: no trained weights of this network were ever published"
    verdict, fitting = plausibility.check(network.parameters, network.architecture, network.assumed)
    text = str(verdict)
    if fitting is not None:
        options = fitting.options(network.assumed)
        if verdict.plausible:
            text = f"{text}, but clearly more with {describe(fitting)}"
        else:
            text += f"; looks like {describe(fitting)}"
        return False, f"{text}: {options}"
    if not verdict.plausible:
        text += "; no known activation, anchors and input would do better"
    return verdict.plausible, text


def print_table(rows: List[Row]) -> None:
    def cells(row: Row) -> Tuple[str, str, str, str]:
        return row.name, "x".join(map(str, row.shape)), "yes" if row.folded else "-", " ".join(row.sources)

    table = [("tensor", "shape", "folded", "from"), *map(cells, rows)]
    widths = [max(len(line[column]) for line in table) for column in range(3)]
    for line in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths)) + "  " + line[3])


def parsed(parse: Callable[[str], object]) -> Callable[[str], object]:
    """A type for argparse that tells what was expected."""
    def convert_text(text: str) -> object:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"expected {error}, found {text!r}") from None

    return convert_text


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
        help="a PyTorch file (.pth), safetensors, MXNet parameters (.params), an ONNX or ncnn model, or a weights file",
    )
    parser.add_argument("-o", "--output", type=Path, help="weights file to write")
    parser.add_argument(
        "--architecture", choices=sorted(ARCHITECTURES), help="default: the one that the file's tensors or graph are"
    )
    parser.add_argument(
        "--profile",
        choices=sorted(NAMED),
        help="what is assumed of the network (default: what the file says, else what is usual for its kind)",
    )
    assumed = parser.add_argument_group("assumptions about the network, which replace the profile's")
    assumed.add_argument("--slope", type=float, metavar="S", help="of the leaky ReLU; 0: ReLU")
    assumed.add_argument(
        "--min-sizes",
        type=parsed(assumptions.parse_sizes),
        metavar="A,B,C,D,E,F",
        help="sides of the anchors in pixels, two for each of the strides 8, 16, 32",
    )
    assumed.add_argument("--channels", choices=("rgb", "bgr"), help="order of the input's channels")
    assumed.add_argument(
        "--mean", type=parsed(assumptions.parse_triple), metavar="A,B,C", help="subtracted from pixels 0..255, in that order"
    )
    assumed.add_argument(
        "--std", type=parsed(assumptions.parse_deviation), metavar="A,B,C", help="then divided by, in that order"
    )
    parser.add_argument(
        "--strict", action="store_true", help="write nothing and exit with 3 where the network does not find the sample face"
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
    if args.seed is not None and args.profile not in (None, *PROFILES):
        parser.error(f"--seed takes a profile of {', '.join(PROFILES)}")
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


def run(args: argparse.Namespace) -> int:
    network, weights = convert(args)
    for name in ("version", "source", "licence"):
        if getattr(args, name) is not None:
            setattr(weights, name, getattr(args, name))
    files = render(args, weights, args.dtype or network.dtype)
    # A weights file of this project's was looked at when it was made; without a hash it may have been damaged since.
    known = network.weights is not None and network.weights.hashed
    fits, told = (True, "") if known else look(network)

    if not args.quiet:
        print_table(network.rows)
        folded = sum(row.folded and row.name.endswith(".weight") for row in network.rows)
        print(f"\nfolded: {folded} BatchNorms into their convolutions, in double")
        if "assumed" in weights.extra:
            print(f"assumed: {weights.extra['assumed']}")
            print(f"stored as: architecture {weights.architecture}, profile {weights.profile}")
        for note in network.notes:
            print(f"note: {note}")
        if fits and told:
            print(f"look: {told}")
    if not fits:
        print(f"convert_weights.py: warning: {told}", file=sys.stderr)
        if args.strict:
            return 3
    for path, digest in network.inputs:
        print(f"input:  {digest}  {path}")
    for path, data in files:
        write_bytes(path, data)
        print(f"output: {hashlib.sha256(data).hexdigest()}  {path} ({len(data)} bytes)")
    return 0


def main(argv: Optional[List[str]] = None) -> int:
    args = parse_arguments(argv)
    try:
        with np.errstate(all="ignore"):  # what is not finite is found and named, without numpy's remarks
            return run(args)
    except ConversionError as error:
        text = " ".join(str(error).split())
        if args.input is not None and args.input.name not in text:
            text = f"{args.input}: {text}"
        print(f"convert_weights.py: error: {text}", file=sys.stderr)
        return 1
    except MemoryError:
        print(
            "convert_weights.py: error: expected an input that fits into memory, found one that does not",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    sys.exit(main())
