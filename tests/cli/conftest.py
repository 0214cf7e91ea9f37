"""What the tests of the command-line tool share.

ctest sets RETINAFACE_CLI (the command that runs the tool, an emulator included) and RETINAFACE_QUICKSTART; by hand:

    RETINAFACE_CLI=build/release/bin/retinaface pytest tests/cli
"""

from __future__ import annotations

import functools
import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any, Dict, List

import pytest

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RETINAFACE_SHARED") or ROOT.parent / "shared")
MODEL = ROOT / "tests" / "data" / "seeded_mobilenet025.safetensors"
ASTRONAUT = ROOT / "examples" / "images" / "astronaut.png"
TRIMMED = os.environ.get("RETINAFACE_TEST_TRIM") == "1"


def command(variable: str, fallback: str) -> List[str]:
    return shlex.split(os.environ.get(variable) or str(ROOT / "build" / "release" / fallback))


def run(*arguments: Any, **options: Any) -> subprocess.CompletedProcess:
    line = command("RETINAFACE_CLI", "bin/retinaface") + [str(a) for a in arguments]
    return subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300, **options)


def detect(*arguments: Any, model: Path = MODEL, code: int = 0, **options: Any) -> List[Dict[str, Any]]:
    """The parsed lines of `detect --json -`; the exit code must be `code`."""
    done = run("detect", "--model", model, "--json", "-", *arguments, **options)
    assert done.returncode == code, done.stderr.decode()
    return [json.loads(line) for line in done.stdout.decode().splitlines()]


@pytest.fixture(autouse=True)
def reads_png(request: pytest.FixtureRequest) -> None:
    """Most tests here write PNG; a build without libpng (for another machine, say) reads PNM, and test_pictures.py with it."""
    if request.module.__name__ != "test_pictures" and not _reads_png():
        pytest.skip("this build reads no PNG")


@functools.lru_cache(maxsize=None)
def _reads_png() -> bool:
    return b"built without" not in run("detect", "--model", MODEL, ASTRONAUT).stderr


def is_one_line(text: str) -> bool:
    return bool(text.strip()) and len(text.strip().splitlines()) == 1


@pytest.fixture(scope="session")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The official network, converted from the reference material."""
    checkpoint = SHARED / "weights" / "biubug6_mobilenet0.25_Final.pth"
    if not checkpoint.exists():
        pytest.skip(f"{checkpoint} is not there")
    model = tmp_path_factory.mktemp("official") / "model.safetensors"
    done = subprocess.run(
        ["python3", str(ROOT / "tools" / "convert_weights.py"), str(checkpoint), "-o", str(model)], stdout=subprocess.PIPE
    )
    assert done.returncode == 0
    return model
