#!/usr/bin/env python3
"""Makes one header of the library: every header that retinaface.hpp reaches, in the order in which a compiler meets them.

    amalgamate.py [--no-weights] [--output FILE] [HEADER...]

HEADER is a path under include/ (default: retinaface.hpp; add retinaface/opencv.hpp or retinaface/eigen.hpp to have those bridges
inside).  --no-weights leaves the embedded weights out and defines RETINAFACE_NO_DEFAULT_WEIGHTS.

What comes out is the same sequence of tokens for the compiler as the folders (tests/doors/test_single_header.py compares them):

- A file with `#pragma once` is written where it is met first.  Where that place lies inside a condition that does not hold at a
  later place, it is written there again, and a macro keeps the two apart.
- A file without `#pragma once` is a body (kernels/generic/*.inl, lists of macros): it is written wherever it is included.
- `#if __has_include("...")` of the project's own files is decided here.
"""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
INCLUDE = ROOT / "include"

DIRECTIVE = re.compile(r"\s*#\s*(\w+)\s*(.*?)\s*$")
INCLUDED = re.compile(r'([<"])([^>"]+)[>"]')
HAS_INCLUDE = re.compile(r'__has_include\("([^"]+)"\)$')
DEFINED = re.compile(r"(!?)\s*defined\s*\(?\s*(\w+)\s*\)?$")


@dataclass
class Condition:
    """An open #if. `branch` tells #if from #elif and #else; `decided`: its directives are not written; `live`: this branch is."""

    identity: int
    branch: int
    decided: bool
    live: bool


class Amalgamation:
    def __init__(self, defined: set[str]) -> None:
        self.defined = defined
        self.lines: list[str] = []
        self.files: set[Path] = set()
        self._conditions: list[Condition] = []
        self._opened = 0
        # Files with #pragma once and headers of the system: the conditions under which they were written.
        self._written: dict[Path | str, list[tuple[tuple[int, int], ...]]] = {}

    def add(self, path: Path) -> None:
        """Appends the file and all that it includes, unless it stands there already."""
        text = path.read_text(encoding="utf-8")
        once = re.search(r"^\s*#\s*pragma\s+once\b", text, re.MULTILINE) is not None
        name = path.relative_to(ROOT).as_posix()
        self.files.add(path)
        if not once:
            self._body(path, text)
            return
        if self._stands(path):
            return
        places = self._note(path)
        guard = "RETINAFACE_SINGLE_" + re.sub(r"\W", "_", name).upper() if self._place() or len(places) > 1 else ""
        self.lines += ["", f"// ---- {name}"]
        if guard:
            self.lines += [f"#if !defined({guard})", f"#define {guard}"]
        self._body(path, text)
        if guard:
            self.lines.append("#endif")

    def _body(self, path: Path, text: str) -> None:
        open_before = len(self._conditions)
        continued = False
        for line in text.splitlines():
            directive = None if continued else DIRECTIVE.match(line)
            continued = line.endswith("\\")
            if directive and self._directive(path, directive.group(1), directive.group(2)):
                continue
            if all(condition.live for condition in self._conditions):
                self.lines.append(line)
        if len(self._conditions) != open_before:
            raise SystemExit(f"{path}: #if without #endif")

    def _directive(self, path: Path, word: str, rest: str) -> bool:
        """Whether the directive is dealt with here; where it is not, its line is written like any other."""
        if word in ("if", "ifdef", "ifndef"):
            value = self._decide(path, word, rest) if all(condition.live for condition in self._conditions) else None
            self._opened += 1
            self._conditions.append(Condition(self._opened, 0, value is not None, value is not False))
            return value is not None
        if word in ("elif", "else", "endif"):
            condition = self._conditions[-1]
            if word == "endif":
                self._conditions.pop()
            else:
                condition.branch += 1
                if condition.decided:
                    if word == "elif":
                        raise SystemExit(f"{path}: #elif after a condition that is decided here")
                    condition.live = not condition.live
            return condition.decided
        if not all(condition.live for condition in self._conditions):
            return False
        if word == "pragma" and rest.split()[:1] == ["once"]:
            return True
        included = INCLUDED.match(rest) if word == "include" else None
        if included is None:
            return False
        found = self._find(path, included.group(2), quoted=included.group(1) == '"')
        if found is not None:
            self.add(found)
            return True
        if included.group(1) == '"':
            raise SystemExit(f'{path}: #include "{included.group(2)}": no such file')
        system = f"<{included.group(2)}>"
        if self._stands(system):
            return True
        self._note(system)
        return False

    def _decide(self, path: Path, word: str, rest: str) -> bool | None:
        has_include = HAS_INCLUDE.match(rest) if word == "if" else None
        if has_include is not None:
            return self._find(path, has_include.group(1), quoted=True) is not None
        defined = DEFINED.match(rest) if word == "if" else DEFINED.match(f"{'!' if word == 'ifndef' else ''}defined({rest})")
        if defined is not None and defined.group(2) in self.defined:
            return not defined.group(1)
        return None

    @staticmethod
    def _find(path: Path, name: str, quoted: bool) -> Path | None:
        for folder in [path.parent, INCLUDE] if quoted else [INCLUDE]:
            if (folder / name).is_file():
                return (folder / name).resolve()
        return None

    def _place(self) -> tuple[tuple[int, int], ...]:
        return tuple((c.identity, c.branch) for c in self._conditions if not c.decided)

    def _stands(self, what: Path | str) -> bool:
        """Whether it was written where whatever holds here held too."""
        here = self._place()
        return any(here[: len(there)] == there for there in self._written.get(what, []))

    def _note(self, what: Path | str) -> list[tuple[tuple[int, int], ...]]:
        places = self._written.setdefault(what, [])
        places.append(self._place())
        return places


def amalgamate(headers: list[str], weights: bool) -> str:
    """The text of the single header."""
    amalgamation = Amalgamation(set() if weights else {"RETINAFACE_NO_DEFAULT_WEIGHTS"})
    for header in headers:
        amalgamation.add(INCLUDE / header)
    config = (ROOT / "kernels/config.hpp").read_text(encoding="utf-8")
    version = ".".join(re.findall(r"define RETINAFACE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", config))
    licence = (ROOT / "LICENSE").read_text(encoding="utf-8").strip()
    head = [f"// retinaface {version} in one header: {', '.join(headers)}{'' if weights else ', without weights'}."]
    head += ["// Made by tools/amalgamate.py; not to be edited.", "//"]
    head += [f"// {line}".rstrip() for line in licence.splitlines()]
    head += ["#pragma once"]
    if not weights:
        # A program may say so itself, before this header.
        head += ["#if !defined(RETINAFACE_NO_DEFAULT_WEIGHTS)", "#define RETINAFACE_NO_DEFAULT_WEIGHTS", "#endif"]
    return "\n".join(head + amalgamation.lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("headers", nargs="*", default=["retinaface.hpp"], metavar="HEADER")
    parser.add_argument("--no-weights", action="store_true", help="leave the embedded weights out")
    parser.add_argument("--output", type=Path, help="file to write (default: standard output)")
    arguments = parser.parse_args()
    for header in arguments.headers:
        if not (INCLUDE / header).is_file():
            parser.error(f"no header {header} under {INCLUDE}")
    text = amalgamate(arguments.headers, not arguments.no_weights)
    if arguments.output is None:
        sys.stdout.write(text)
    else:
        arguments.output.parent.mkdir(parents=True, exist_ok=True)
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
