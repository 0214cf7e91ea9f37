"""Every way in for a C++ program but the installed CMake package (tests/consumer/run.cmake) and the bare -I (plain_build): a Debian
package, pkg-config, add_subdirectory, FetchContent; and the recipes in packaging/."""

from __future__ import annotations

import ast
import json
import os
import re
import shlex
import shutil
from pathlib import Path

import pytest
from conftest import ROOT, detect, run

CMAKE = shlex.split(os.environ.get("CMAKE", "cmake"))
CTEST = shlex.split(os.environ.get("CTEST", "ctest"))
CXX = shlex.split(os.environ.get("CXX", "c++"))
CC = shlex.split(os.environ.get("CC", "cc"))
CONSUMER = ROOT / "tests" / "consumer"
WEIGHTS = ROOT / "tests" / "data" / "seeded_mobilenet025.safetensors"


def version() -> str:
    config = (ROOT / "kernels" / "config.hpp").read_text(encoding="utf-8")
    return ".".join(re.findall(r"define RETINAFACE_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", config))


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What libretinaface-dev puts under /usr."""
    build = os.environ.get("RETINAFACE_BUILD", "")
    if not build:
        pytest.skip("$RETINAFACE_BUILD is not set: run these tests by ctest")
    if shutil.which("dpkg-deb") is None:
        pytest.skip("no dpkg-deb: not a Debian")
    folder = tmp_path_factory.mktemp("package")
    cpack = Path(CMAKE[0]).with_name("cpack")
    run(cpack if cpack.is_file() else "cpack", "-G", "DEB", "-D", "CPACK_COMPONENTS_ALL=dev", "-B", folder, cwd=build)
    (deb,) = folder.glob("libretinaface-dev_*.deb")
    fields = run("dpkg-deb", "--field", deb).stdout
    assert f"Version: {version()}" in fields and "Package: libretinaface-dev" in fields and "libc6" in fields
    run("dpkg-deb", "-x", deb, folder / "root")
    return folder / "root" / "usr"


def pkg_config(prefix: Path, *arguments: str) -> list[str]:
    if shutil.which("pkg-config") is None:
        pytest.skip("no pkg-config")
    folders = [str(path) for path in prefix.rglob("pkgconfig")]
    return run("pkg-config", *arguments, env={**os.environ, "PKG_CONFIG_PATH": ":".join(folders)}).stdout.split()


def test_pkg_config(package: Path, tmp_path: Path) -> None:
    assert pkg_config(package, "--modversion", "retinaface") == [version()]
    flags = pkg_config(package, "--cflags", "--libs", "retinaface")
    run(*CXX, "-O0", "-std=c++17", CONSUMER / "main.cpp", CONSUMER / "other.cpp", *flags, "-o", tmp_path / "program")
    assert "ran on" in run(tmp_path / "program", WEIGHTS).stdout


@pytest.mark.parametrize("static", [False, True])
def test_pkg_config_c(package: Path, tmp_path: Path, sample_ppm: Path, expected: str, static: bool) -> None:
    flags = pkg_config(package, "--cflags", "--libs", *(["--static"] if static else []), "retinaface-c")
    (library,) = package.rglob("libretinaface.a" if static else "libretinaface.so")
    if static:
        flags = [str(library) if flag == "-lretinaface" else flag for flag in flags]
    run(*CC, "-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", ROOT / "examples" / "c" / "detect.c", *flags,
        f"-Wl,-rpath,{library.parent}", "-o", tmp_path / "program")  # fmt: skip
    assert detect([str(tmp_path / "program")], sample_ppm) == expected


@pytest.mark.parametrize("way", [
    ("add_subdirectory", f"-DRETINAFACE_SOURCE={ROOT}"),
    ("FetchContent", f"-DFETCHCONTENT_SOURCE_DIR_RETINAFACE={ROOT}"),
])  # fmt: skip
def test_source_tree(tmp_path: Path, way: tuple[str, str]) -> None:
    run(*CMAKE, "-S", CONSUMER, "-B", tmp_path, f"-DRETINAFACE_WAY={way[0]}", way[1], f"-DCMAKE_CXX_COMPILER={CXX[-1]}",
        "-DCMAKE_BUILD_TYPE=None", "-DCMAKE_CXX_FLAGS=-O0", f"-DRETINAFACE_TEST_WEIGHTS={WEIGHTS}")  # fmt: skip
    run(*CMAKE, "--build", tmp_path)
    run(*CTEST, "--output-on-failure", cwd=tmp_path)
    # Nothing of this project's own programs, and none of its options, in a user's build.
    made = {path.name for path in tmp_path.rglob("*") if path.is_file() and os.access(path, os.X_OK)}
    assert "retinaface" not in made and "quickstart" not in made


def test_recipes() -> None:
    port = ROOT / "packaging" / "vcpkg" / "ports" / "retinaface"
    manifest = json.loads((port / "vcpkg.json").read_text(encoding="utf-8"))
    assert manifest["name"] == "retinaface" and manifest["version-semver"] == version()
    portfile = (port / "portfile.cmake").read_text(encoding="utf-8")
    conan = (ROOT / "packaging" / "conan" / "conanfile.py").read_text(encoding="utf-8")
    ast.parse(conan)
    options = set(re.findall(r"option\((RETINAFACE_\w+)", (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")))
    (programs,) = re.findall(r"for program in \(([^)]*)\)", conan)
    named = set(re.findall(r"RETINAFACE_BUILD_[A-Z]+", portfile)) | {f"RETINAFACE_BUILD_{program}" for program in re.findall(r"\w+", programs)}
    assert named and named <= options, named - options
