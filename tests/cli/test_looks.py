"""Options for several looks at a picture: what they are called, that they take effect, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import MODEL, detect, run
from PIL import Image

LOW = ("--score", "0.3")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("looks") / "noise.png"
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (97, 130, 3), dtype=np.uint8)).save(path)
    return path


def count(picture: Path, *arguments: str) -> int:
    return len(detect(*LOW, *arguments, picture)[0]["faces"])


def test_every_look_adds(picture: Path) -> None:
    one = count(picture)
    assert one > 0
    assert count(picture, "--scales", "1") == one
    assert count(picture, "--scales", "1,1.5,2") > one
    assert count(picture, "--flip") > one
    assert count(picture, "--voting", "none") == one


def test_voting_moves_boxes_and_keeps_scores(picture: Path) -> None:
    plain, voted = (detect(*LOW, *more, picture)[0]["faces"] for more in ((), ("--voting", "paper")))
    assert [f["score"] for f in plain] == [f["score"] for f in voted]
    assert [f["box"] for f in plain] != [f["box"] for f in voted]
    assert 0 < count(picture, "--voting", "insightface") < len(plain)


def test_faces_of_interest_choose_the_size(picture: Path) -> None:
    assert detect(*LOW, "--min-face", "40", picture) == detect(*LOW, "--scales", "0.5", picture)
    assert detect(*LOW, "--shortest-side", "97", picture) == detect(*LOW, picture)


@pytest.mark.parametrize(
    "arguments",
    [
        ["--scales", "0"],
        ["--scales", "1,17"],
        ["--scales", "1,1,1,1,1,1,1,1,1"],
        ["--scales", "x"],
        ["--voting", "most"],
        ["--min-face", "-3"],
        ["--min-face", "30", "--scales", "1,2"],
        ["--max-face", "300", "--max-side", "640"],
        ["--shortest-side", "0"],
        ["--shortest-side", "300", "--size", "64x64"],
    ],
    ids=" ".join,
)
def test_refusals(arguments: list, picture: Path) -> None:
    assert run("detect", "--model", MODEL, *arguments, picture).returncode == 2


def test_small_after_large_is_refused(picture: Path) -> None:
    assert run("detect", "--model", MODEL, "--min-face", "50", "--max-face", "40", picture).returncode == 2
