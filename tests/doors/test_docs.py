"""Every code block of the pages under "Ways in" (mkdocs.yml) compiles or runs.

  cpp     a block with main() is built and run with the sample on its standard input; the others of a page are functions of one file, in
          which `detector` and `image` are there, and are compiled
  c       built with -std=c99 against libretinaface, and run
  python  the blocks of a page run one after another in one program, with photo.jpg beside them
  cmake   a project with the block in it, the target `app` and the library under third_party/ configures
  sh      runs in a folder with the repository's files, photo.ppm and libretinaface.so
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import ROOT, from_environment, run
from PIL import Image

CXX = shlex.split(os.environ.get("CXX", "c++"))
CC = shlex.split(os.environ.get("CC", "cc"))
CMAKE = shlex.split(os.environ.get("CMAKE", "cmake"))

PAGES = re.search(r"- Ways in:\n((?: {6}- .*\n?)+)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
assert PAGES is not None
PAGES = ["index.md", *re.findall(r": (\S+\.md)$", PAGES.group(1), flags=re.MULTILINE)]
LANGUAGES = ("cpp", "c", "python", "cmake", "sh")


@dataclass
class Block:
    page: str
    line: int
    language: str
    text: str


def blocks_of(page: str) -> list[Block]:
    found, start, language, lines = [], 0, None, []
    for number, line in enumerate((ROOT / "docs" / page).read_text(encoding="utf-8").splitlines(), 1):
        if line.startswith("```") and language is None:
            start, language, lines = number, line[3:].strip(), []
        elif line.startswith("```"):
            found.append(Block(page, start, language, "\n".join(lines) + "\n"))
            language = None
        elif language is not None:
            lines.append(line)
    return found


BLOCKS = [block for page in PAGES for block in blocks_of(page)]


def blocks(language: str) -> list:
    return [pytest.param(b, id=f"{b.page}:{b.line}") for b in BLOCKS if b.language == language]


def pages(language: str) -> list[str]:
    return [page for page in PAGES if any(b.page == page and b.language == language and "int main" not in b.text for b in BLOCKS)]


@pytest.fixture(scope="module")
def library() -> Path:
    return Path(from_environment("RETINAFACE_C_LIBRARY")[0])


@pytest.fixture(scope="module")
def pkg_config_path(library: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """pkg-config files of the source tree, as the installed ones are of the installed one (those are tested in test_ways.py)."""
    folder = tmp_path_factory.mktemp("pkgconfig")
    (folder / "retinaface.pc").write_text(
        f"Name: retinaface\nDescription: headers\nVersion: 0\nCflags: -I{ROOT}/include -pthread\nLibs: -pthread\n"
    )
    (folder / "retinaface-c.pc").write_text(
        f"Name: retinaface-c\nDescription: C\nVersion: 0\nCflags: -I{ROOT}/bindings/c\n"
        f"Libs: -L{library.parent} -lretinaface -Wl,-rpath,{library.parent}\n"
    )
    return str(folder)


def test_every_block_has_a_language() -> None:
    assert len(BLOCKS) > 20
    for block in BLOCKS:
        assert block.language in LANGUAGES, f"{block.page}:{block.line}: a block in '{block.language}' is not tested"


@pytest.mark.parametrize("block", [b for b in blocks("cpp") if "int main" in b.values[0].text])
def test_cpp_programs(block: Block, tmp_path: Path, sample_ppm: Path) -> None:
    (tmp_path / "program.cpp").write_text(block.text)
    run(*CXX, "-O0", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-I", ROOT / "include", tmp_path / "program.cpp", "-o",
        tmp_path / "program", "-pthread")  # fmt: skip
    with sample_ppm.open("rb") as file:
        assert run(tmp_path / "program", stdin=file).stdout


@pytest.mark.parametrize("page", pages("cpp"))
def test_cpp_snippets(page: str, tmp_path: Path) -> None:
    includes, functions = {"#include <cstdio>", "#include <retinaface.hpp>", "#include <vector>"}, []
    for block in BLOCKS:
        if block.page != page or block.language != "cpp" or "int main" in block.text:
            continue
        lines = block.text.splitlines()
        includes.update(line for line in lines if line.startswith("#include"))
        body = "\n".join("    " + line for line in lines if not line.startswith("#include"))
        functions.append(
            f"void block_{block.line}(const retinaface::Detector& detector, const retinaface::ImageView& image) {{\n{body}\n"
            "    static_cast<void>(detector), static_cast<void>(image);\n}\n"
        )
    source = tmp_path / "snippets.cpp"
    source.write_text("\n".join(sorted(includes)) + "\n" + "\n".join(functions))
    folders = []
    for name, probe in (("opencv2", "/usr/include/opencv4"), ("Eigen", "/usr/include/eigen3")):
        if any(name.lower()[:5] in include.lower() for include in includes):
            if not (Path(probe) / name).is_dir():
                pytest.skip(f"no {name} in {probe}: {page} is not compiled")
            folders += ["-isystem", probe]
    run(*CXX, "-fsyntax-only", "-std=c++17", "-Wall", "-Wextra", "-Wno-double-promotion", "-Werror", "-I", ROOT / "include", *folders, source)


@pytest.mark.parametrize("block", blocks("c"))
def test_c(block: Block, tmp_path: Path, library: Path) -> None:
    (tmp_path / "program.c").write_text(block.text)
    run(*CC, "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", ROOT / "bindings" / "c", tmp_path / "program.c",
        f"-L{library.parent}", "-lretinaface", f"-Wl,-rpath,{library.parent}", "-o", tmp_path / "program")  # fmt: skip
    assert run(tmp_path / "program").stdout


@pytest.mark.parametrize("page", pages("python"))
def test_python(page: str, tmp_path: Path, sample, request: pytest.FixtureRequest) -> None:
    site = request.getfixturevalue("site")
    # A JPEG of the sample, without loss that matters.
    Image.fromarray(sample).save(tmp_path / "photo.jpg", quality=95)
    program = "\n".join(b.text for b in BLOCKS if b.page == page and b.language == "python")
    (tmp_path / "page.py").write_text(program)
    assert run(sys.executable, "page.py", cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(site)}).stdout


@pytest.mark.parametrize("block", blocks("cmake"))
def test_cmake(block: Block, tmp_path: Path) -> None:
    (tmp_path / "third_party").mkdir()
    (tmp_path / "third_party" / "retinaface").symlink_to(ROOT)
    (tmp_path / "main.cpp").write_text("int main() {}\n")
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.16)\nproject(page LANGUAGES CXX)\nadd_executable(app main.cpp)\n{block.text}"
    )
    options = []
    if "find_package" in block.text:
        options.append(f"-DCMAKE_PREFIX_PATH={tmp_path}/prefix")
        run(*CMAKE, "-S", ROOT, "-B", tmp_path / "library", f"-DCMAKE_CXX_COMPILER={CXX[-1]}", f"-DCMAKE_INSTALL_PREFIX={tmp_path}/prefix",
            *(f"-DRETINAFACE_BUILD_{program}=OFF" for program in ("C", "CLI", "EXAMPLES", "TESTS", "BENCH")))  # fmt: skip
        run(*CMAKE, "--install", tmp_path / "library")
    run(*CMAKE, "-S", tmp_path, "-B", tmp_path / "build", f"-DCMAKE_CXX_COMPILER={CXX[-1]}", *options)
    run(*CMAKE, "--build", tmp_path / "build")


@pytest.mark.parametrize("block", blocks("sh"))
def test_sh(block: Block, tmp_path: Path, sample_ppm: Path, library: Path, pkg_config_path: str) -> None:
    if "pkg-config" in block.text and shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config")
    for path in ROOT.iterdir():
        if not path.name.startswith(".") and path.name != "build":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "photo.ppm").symlink_to(sample_ppm)
    (tmp_path / "libretinaface.so").symlink_to(library)
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, command in (("g++", CXX), ("cc", CC)):
        # The build's compilers, quickly: what a block compiles is tested, not how fast it runs.
        (tools / name).write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@" -O0\n')
        (tools / name).chmod(0o755)
    # What the folder's Python is for the blocks is this one.
    (tools / "python3").symlink_to(sys.executable)
    environment = {**os.environ, "PKG_CONFIG_PATH": pkg_config_path, "PATH": f"{tools}:{os.environ['PATH']}"}
    text = block.text.replace("python3 examples", "./bin/python3 examples").replace(" libretinaface.so", " ./libretinaface.so")
    assert float(run("bash", "-euc", text, cwd=tmp_path, env=environment).stdout.split()[0]) > 0.9  # the sample's face


def test_site(tmp_path: Path) -> None:
    if shutil.which("mkdocs") is None:
        pytest.skip("mkdocs is not installed: the site is not built")
    run("mkdocs", "build", "--strict", "-q", "-f", ROOT / "mkdocs.yml", "-d", tmp_path / "site")
    assert (tmp_path / "site" / "python" / "index.html").is_file()
