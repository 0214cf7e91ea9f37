"""The C library: its test program, the examples in C and ctypes, what it exports."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from conftest import ROOT, detect, from_environment, run


def test_interface(sample_ppm: Path) -> None:
    programs = os.environ.get("RETINAFACE_C_PROGRAMS", "")
    if not programs:
        pytest.skip("$RETINAFACE_C_PROGRAMS is not set: run these tests by ctest")
    for program in programs.split(","):
        assert "all passed" in run(*program.split(), sample_ppm).stdout


def test_example(sample_ppm: Path, expected: str) -> None:
    assert detect(from_environment("RETINAFACE_C_DETECT"), sample_ppm) == expected


def test_ctypes(sample_ppm: Path, expected: str) -> None:
    (library,) = from_environment("RETINAFACE_C_LIBRARY")
    if os.environ.get("RETINAFACE_EMULATED"):
        pytest.skip("the library is for another machine than this Python")
    if any(name in run("ldd", library).stdout for name in ("libasan", "libtsan")):
        pytest.skip("a sanitized library cannot be loaded into Python")
    assert detect([sys.executable, str(ROOT / "examples" / "c" / "detect.py"), library], sample_ppm) == expected


def test_exports() -> None:
    (library,) = from_environment("RETINAFACE_C_LIBRARY")
    (nm,) = from_environment("RETINAFACE_NM")
    names = [line.split()[-1] for line in run(nm, "-D", "--defined-only", library).stdout.splitlines()]
    header = (ROOT / "bindings" / "c" / "retinaface.h").read_text(encoding="utf-8")
    assert names and all(f"{name}(" in header for name in names), names
    assert len(names) == header.count("RETINAFACE_API ") - header.count("#define RETINAFACE_API "), names
