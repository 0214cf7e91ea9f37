"""A weights file inside a C++ header.

The whole file travels as base64 in string literals, one a line: compilers take that quickly (0.07 s for a f16 file,
less than for literals of ordinary length), and no literal is longer than `-Wpedantic` allows (65,536 characters).
"""

from __future__ import annotations

import base64
import re
from typing import Dict, List

from .errors import ConversionError

_CHUNK_BYTES = 48 * 1000  # 64,000 characters of base64; a multiple of 3, so that chunks simply follow one another
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
    chunks = [base64.b64encode(data[i : i + _CHUNK_BYTES]).decode("ascii") for i in range(0, len(data), _CHUNK_BYTES)]
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
        "// Base64, to be joined.",
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


def _comment(text: str) -> str:
    """Text that cannot end or continue a comment line."""
    plain = "".join(character if " " <= character <= "~" and character != "\\" else "?" for character in text)
    return plain[:200]
