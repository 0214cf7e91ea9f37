#!/usr/bin/env python3
"""Writes the single header into a folder, and beside it for each header that it contains one of that path which includes it: sources
that include <retinaface/face.hpp> and the like compile against the single header alone.

    single_header.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import amalgamate  # noqa: E402


def main() -> None:
    folder = Path(sys.argv[1])
    amalgamation = amalgamate.Amalgamation(set())
    amalgamation.add(amalgamate.INCLUDE / "retinaface.hpp")
    for header in amalgamation.files:
        if amalgamate.INCLUDE in header.parents and header.name != "retinaface.hpp":
            stand_in = folder / header.relative_to(amalgamate.INCLUDE)
            stand_in.parent.mkdir(parents=True, exist_ok=True)
            stand_in.write_text("#include <retinaface.hpp>\n", encoding="utf-8")
    (folder / "retinaface.hpp").write_text(amalgamate.amalgamate(["retinaface.hpp"], weights=True), encoding="utf-8")


if __name__ == "__main__":
    main()
