"""A weights file inside a C++ header.

The whole file is one string literal, in pieces a line: printable characters as they are, the other bytes as octal escapes.
The text has 2.8 characters a byte, which compilers take quickly (0.1 to 0.2 s for a f16 file); a program grows by the file
alone and reads it where it lies.
"""

from __future__ import annotations

import ast
import hashlib
import re
from typing import Dict, List

from .errors import ConversionError

_LINE_BYTES = 65_000
# A question mark is escaped, too: two begin a trigraph.  An escape ends by itself where no octal digit follows.
_SHORT = [chr(byte) if 32 <= byte < 127 and chr(byte) not in '"\\?' else f"\\{byte:o}" for byte in range(256)]
_FULL = [short if short[0] != "\\" else f"\\{byte:03o}" for byte, short in enumerate(_SHORT)]
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
    pieces = [_escaped(data[i : i + _LINE_BYTES]) for i in range(0, len(data), _LINE_BYTES)]
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
        "// -Wpedantic knows compilers that take no more than 65,536 characters.",
        "#if defined(__GNUC__)",
        "#pragma GCC diagnostic push",
        '#pragma GCC diagnostic ignored "-Woverlength-strings"',
        "#endif",
        f"inline constexpr char {symbol}_bytes[] =",
    ]
    lines += [f'    "{piece}"' for piece in pieces]
    lines[-1] += ";"
    lines += [
        "#if defined(__GNUC__)",
        "#pragma GCC diagnostic pop",
        "#endif",
        f'static_assert(sizeof({symbol}_bytes) == {len(data)} + 1, "the file has another size");',
        "",
        "}  // namespace detail",
        "",
        f"inline constexpr EmbeddedFile {symbol}{{detail::{symbol}_bytes, {len(data)}}};",
        "",
        "}  // namespace retinaface::embedded",
        "",
    ]
    return "\n".join(lines)


def read(text: str) -> bytes:
    """The weights file in a header that `export` wrote."""
    stated = re.search(r"^// A weights file of (\d+) bytes, sha256 ([0-9a-f]{64}):$", text, re.MULTILINE)
    pieces = re.findall(r'^    ("(?:[^"\\]|\\[0-7]{1,3})*");?$', text, re.MULTILINE)
    data = b"".join(ast.literal_eval("b" + piece) for piece in pieces)
    if stated is None or len(data) != int(stated[1]) or hashlib.sha256(data).hexdigest() != stated[2]:
        raise ConversionError("header: its text is not the file that its first lines describe")
    return data


def _escaped(data: bytes) -> str:
    backwards: List[str] = []
    following = ""
    for byte in reversed(data):
        following = (_FULL if "0" <= following[:1] <= "7" else _SHORT)[byte]
        backwards.append(following)
    return "".join(reversed(backwards))


def _comment(text: str) -> str:
    """Text that cannot end or continue a comment line."""
    plain = "".join(character if " " <= character <= "~" and character != "\\" else "?" for character in text)
    return plain[:200]
