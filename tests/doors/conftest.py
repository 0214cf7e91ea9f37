"""What the tests of the doors share: the sample picture, and what the quickstart program finds in it."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "examples" / "images" / "astronaut.png"


def from_environment(name: str) -> list[str]:
    """The command in an environment variable that the build sets; the test is skipped without it."""
    command = os.environ.get(name, "").split()
    if not command:
        pytest.skip(f"${name} is not set: run these tests by ctest")
    return command


def run(*command: str | Path, **options) -> subprocess.CompletedProcess[str]:
    """Runs a command that must succeed; its output is in the failure."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done


@pytest.fixture(scope="session")
def sample() -> np.ndarray:
    """The sample picture, RGB."""
    return np.asarray(Image.open(SAMPLE).convert("RGB"))


@pytest.fixture(scope="session")
def sample_ppm(sample: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sample") / "astronaut.ppm"
    Image.fromarray(sample).save(path)
    return path


def detect(command: list[str], picture: Path) -> str:
    """What a program like the quickstart prints for a picture."""
    with picture.open("rb") as file:
        return run(*command, stdin=file).stdout


@pytest.fixture(scope="session")
def expected(sample_ppm: Path) -> str:
    """The lines of the quickstart program, built from the headers as they lie."""
    found = detect(from_environment("RETINAFACE_QUICKSTART"), sample_ppm)
    assert len(found.splitlines()) == 1 and float(found.split()[0]) > 0.9
    return found


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python package; what needs it is skipped where it cannot be built."""
    for module in ("nanobind", "scikit_build_core"):
        pytest.importorskip(module, reason=f"{module} is not installed: the Python package is not tested")
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        pytest.skip("no Python.h (Debian: python3-dev): the Python package is not tested")
    folder = tmp_path_factory.mktemp("wheel")
    tool = from_environment("RETINAFACE_PACKAGED_CLI")[-1]
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", folder, f"--config-settings=build-dir={folder}/build",
        f"--config-settings=cmake.define.RETINAFACE_PYTHON_TOOL={tool}", ROOT / "bindings" / "python")  # fmt: skip
    (wheel,) = folder.glob("retinaface-*.whl")
    return wheel


@pytest.fixture(scope="session")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH with the package in it."""
    folder = tmp_path_factory.mktemp("site")
    run(sys.executable, "-m", "pip", "install", "--no-deps", "-q", "--target", folder, wheel)
    return folder
