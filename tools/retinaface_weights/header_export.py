"""A weights file inside a C++ header.

The whole file travels as base85 in string literals, one a line: compilers take that quickly (0.07 s for a f16 file,
less than for literals of ordinary length), a program grows by 5 bytes for 4 of the file, and no literal is longer than
`-Wpedantic` allows (65,536 characters).
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Dict, List

from .errors import ConversionError

_CHUNK_BYTES = 52 * 1000  # 65,000 characters; a multiple of 4, so that chunks simply follow one another
# Python's base85 (RFC 1924) with a comma in place of the question mark, of which two begin a trigraph.
_FROM_PYTHON, _TO_PYTHON = str.maketrans("?", ","), str.maketrans(",", "?")
_KEYWORDS = frozenset(
    "alignas alignof and asm auto bitand bitor bool break case catch char class compl concept const constexpr continue "
    "decltype default delete do double else enum explicit export extern false float for friend goto if inline int long "
    "mutable namespace new noexcept not nullptr operator or private protected public register requires return short "
    "signed sizeof static struct switch template this throw true try typedef typeid typename union unsigned using "
    "virtual void volatile while xor".split()
)


def check_symbol_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or "__" in name or name in _KEYWORDS:
        raise ConversionError(f"symbol name: expected a C++ identifier, found {name!r:.80}")
    return name


def export(data: bytes, symbol: str, metadata: Dict[str, str], sha256: str) -> str:
    """The text of a header that defines `retinaface::embedded::<symbol>` for the given file."""
    check_symbol_name(symbol)
    pieces = [data[i : i + _CHUNK_BYTES] for i in range(0, len(data), _CHUNK_BYTES)]
    chunks = [base64.b85encode(piece).decode("ascii").translate(_FROM_PYTHON) for piece in pieces]
    told = [f"//   {key}: {_comment(value)}" for key, value in metadata.items()]
    lines: List[str] = [
        "// Made by tools/convert_weights.py --emit-hpp; not to be edited.",
        "//",
        f"// A weights file of {len(data)} bytes, sha256 {sha256}:",
        *told,
        "#pragma once",
        "",
        "#include <retinaface/weights/embedded.hpp>",
        "",
        "namespace retinaface::embedded {",
        "",
        "namespace detail {",
        "",
        "// Base85, to be joined.",
        f"inline constexpr const char* {symbol}_chunks[] = {{",
    ]
    lines += [f'    "{chunk}",' for chunk in chunks]
    lines += [
        "};",
        "",
        "}  // namespace detail",
        "",
        f"inline constexpr EmbeddedFile {symbol}{{detail::{symbol}_chunks, {len(chunks)}, {len(data)}}};",
        "",
        "}  // namespace retinaface::embedded",
        "",
    ]
    return "\n".join(lines)


def read(text: str) -> bytes:
    """The weights file in a header that `export` wrote."""
    stated = re.search(r"^// A weights file of (\d+) bytes, sha256 ([0-9a-f]{64}):$", text, re.MULTILINE)
    chunks = re.findall(r'^    "([^"\\]+)",$', text, re.MULTILINE)
    try:
        data = b"".join(base64.b85decode(chunk.translate(_TO_PYTHON)) for chunk in chunks)
    except ValueError as error:
        raise ConversionError(f"header: not base85: {error}") from error
    if stated is None or len(data) != int(stated[1]) or hashlib.sha256(data).hexdigest() != stated[2]:
        raise ConversionError("header: its text is not the file that its first lines describe")
    return data


def _comment(text: str) -> str:
    """Text that cannot end or continue a comment line."""
    plain = "".join(character if " " <= character <= "~" and character != "\\" else "?" for character in text)
    return plain[:200]
