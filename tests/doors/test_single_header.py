"""tools/amalgamate.py: the compiler sees the tokens of the folders, and the quickstart finds the same face."""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest
from conftest import ROOT, detect, run

CXX = shlex.split(os.environ.get("CXX", "c++"))
TOOL = ROOT / "tools" / "amalgamate.py"

# What decides which kernels are compiled, and how.
FLAGS = [[], ["-march=x86-64-v4"], ["-DRETINAFACE_STATIC_DISPATCH", "-mavx2", "-mfma"]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Holds retinaface.hpp and retinaface_no_weights.hpp, made by the tool."""
    folder = tmp_path_factory.mktemp("single")
    run(TOOL, "--output", folder / "retinaface.hpp")
    run(TOOL, "--no-weights", "--output", folder / "retinaface_no_weights.hpp")
    return folder


def tokens(source: str, *flags: str | Path) -> tuple[list[str], list[str]]:
    """Words and #pragma lines after preprocessing."""
    # NDEBUG: assert() writes the file's name.
    text = run(*CXX, "-std=c++17", "-DNDEBUG", "-E", "-P", *flags, "-x", "c++", "-", input=source).stdout
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE).split(), re.findall(r"^\s*(#.*\S)\s*$", text, flags=re.MULTILINE)


def test_same_tokens(folder: Path) -> None:
    source = "#include <retinaface.hpp>\n"
    assert tokens(source, "-I", folder) == tokens(source, "-I", ROOT / "include")
    flag_sets = FLAGS if os.uname().machine == "x86_64" else FLAGS[:1]
    for flags in flag_sets:
        bare = tokens("#include <retinaface_no_weights.hpp>\n", *flags, "-I", folder)
        assert bare == tokens(source, *flags, "-DRETINAFACE_NO_DEFAULT_WEIGHTS", "-I", ROOT / "include"), flags


def test_sizes(folder: Path) -> None:
    assert (folder / "retinaface.hpp").stat().st_size < 3_200_000
    assert (folder / "retinaface_no_weights.hpp").stat().st_size < 1_200_000
    assert '#include "' not in (folder / "retinaface.hpp").read_text(encoding="utf-8")


def test_same_faces(folder: Path, tmp_path: Path, sample_ppm: Path, expected: str) -> None:
    with_weights, without = tmp_path / "with_weights", tmp_path / "without"
    program = ROOT / "examples" / "quickstart.cpp"
    run(*CXX, "-O0", "-std=c++17", "-I", folder, program, "-o", with_weights, "-pthread")
    assert detect([str(with_weights)], sample_ppm) == expected
    source = program.read_text(encoding="utf-8")
    source = source.replace("<retinaface.hpp>", "<retinaface_no_weights.hpp>")
    source = source.replace("int main()", "int main(int, char** argv)")
    source = source.replace("Detector detector;", "Detector detector{retinaface::Weights::load(argv[1])};")
    (tmp_path / "without.cpp").write_text(source, encoding="utf-8")
    run(*CXX, "-O0", "-std=c++17", "-I", folder, tmp_path / "without.cpp", "-o", without, "-pthread")
    weights = ROOT / "weights" / "retinaface_mobilenet025.safetensors"
    assert detect([str(without), str(weights)], sample_ppm) == expected


def test_bodies_and_conditions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body is written at each place, a guarded file once, or again where the first place may be compiled out."""
    import sys

    sys.path.insert(0, str(ROOT / "tools"))
    import amalgamate

    (tmp_path / "body.inl").write_text("int NAME;\n")
    (tmp_path / "once.hpp").write_text("#pragma once\nint once;\n")
    (tmp_path / "root.hpp").write_text(
        "#pragma once\n#define NAME a\n#include \"body.inl\"\n#undef NAME\n#define NAME b\n#include \"body.inl\"\n"
        "#if defined(X)\n#include \"once.hpp\"\n#endif\n#if !defined(X)\n#include \"once.hpp\"\n#endif\n"
        "#if __has_include(\"nothing.hpp\")\n#include \"nothing.hpp\"\n#else\nint other;\n#endif\n#include \"once.hpp\"\n#include \"once.hpp\"\n"
    )
    monkeypatch.setattr(amalgamate, "ROOT", tmp_path)
    monkeypatch.setattr(amalgamate, "INCLUDE", tmp_path)
    for defined in ([], ["-DX"]):
        made = amalgamate.Amalgamation(set())
        made.add(tmp_path / "root.hpp")
        words, _ = tokens("\n".join(made.lines), *defined)
        assert words == ["int", "a;", "int", "b;", "int", "once;", "int", "other;"]
    (tmp_path / "root.hpp").write_text('#pragma once\n#include "missing.hpp"\n')
    with pytest.raises(SystemExit, match="missing.hpp"):
        amalgamate.Amalgamation(set()).add(tmp_path / "root.hpp")
