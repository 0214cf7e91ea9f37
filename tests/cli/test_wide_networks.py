"""Checkpoints of ResNet-50 as people have them, through the converter and the tool: biubug6's .pth, insightface's .params with its symbol.

The weights are random.  What the tool finds is held against the network as numpy computes it, from the converted file.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict

import numpy as np
import pytest
from conftest import ROOT, detect, is_one_line, run
from PIL import Image

sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "python")]

from checkpoints import WideMxnetModel, random_tensor, zip_file  # noqa: E402
from retinaface_weights import names, weights_file  # noqa: E402

IMAGE = np.random.default_rng(1).integers(0, 256, (33, 40, 3), dtype=np.uint8)


def convert(checkpoint: Path, model: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, str(ROOT / "tools" / "convert_weights.py"), str(checkpoint), "-o", str(model), "--quiet"]
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def tame(tensors: Dict[str, np.ndarray]) -> None:
    """Random weights would be certain of everything, with outputs of thousands: less of the image, and of every unit's sum."""
    for name, value in tensors.items():
        if value.shape == (64, 3, 7, 7):
            tensors[name] = value / np.float32(64)
        elif value.ndim == 4 and value.shape[0] == 4 * value.shape[1] and value.shape[2:] == (1, 1):
            tensors[name] = value / np.float32(8)
        elif value.shape[0] == 4 and value.shape[2:] == (1, 1):  # class logits
            tensors[name] = value / np.float32(4)


@pytest.fixture(scope="module")
def state() -> Dict[str, np.ndarray]:
    random = np.random.RandomState(5)
    state = {name: random_tensor(random, name, shape) for name, shape in names.known("resnet50")[0].expected.items()}
    tame(state)
    return state


def check_tool(model: Path, picture: Path, architecture: str) -> None:
    info = run("info", model)
    assert info.returncode == 0, info.stderr.decode()
    assert architecture in info.stdout.decode()
    outputs = weights_file.load(model.read_bytes()).forward(IMAGE)
    rows = outputs["class"].reshape(-1, 2)  # background, face
    scores = 1 / (1 + np.exp(rows[:, 0].astype(float) - rows[:, 1]))
    (line,) = detect("--score", "0.001", picture, model=model)
    assert line["faces"]
    assert abs(line["faces"][0]["score"] - scores.max()) < 1e-4
    assert 0.001 < scores.max() < 0.9999


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("picture") / "noise.png"
    Image.fromarray(IMAGE).save(path)
    return path


def test_a_pth_of_resnet50(state: Dict[str, np.ndarray], tmp_path: Path, picture: Path) -> None:
    checkpoint, model = tmp_path / "Resnet50_Final.pth", tmp_path / "resnet50.safetensors"
    checkpoint.write_bytes(zip_file(state))
    done = convert(checkpoint, model)
    assert done.returncode == 0, done.stderr.decode()
    check_tool(model, picture, "resnet50")


def test_a_params_file_with_its_symbol(tmp_path: Path, picture: Path) -> None:
    graph = WideMxnetModel()
    tame(graph.parameters)
    (tmp_path / "R50-0000.params").write_bytes(graph.params())
    (tmp_path / "R50-symbol.json").write_bytes(graph.symbol())
    model = tmp_path / "r50.safetensors"
    done = convert(tmp_path / "R50-0000.params", model)
    assert done.returncode == 0, done.stderr.decode()
    check_tool(model, picture, "resnet50_preactivation")


@pytest.mark.parametrize(
    "tensor, change",
    [
        ("body.layer2.3.conv2.weight", lambda state, name: state.pop(name)),
        ("body.layer9.weight", lambda state, name: state.update({name: np.zeros(1, np.float32)})),
        ("body.layer3.5.bn2.running_var", lambda state, name: state.update({"body.layer3.5.bn2.variance": state.pop(name)})),
        ("fpn.output2.0.weight", lambda state, name: state.update({name: state[name][:64]})),
    ],
    ids=["missing", "extra", "renamed", "mis-shaped"],
)
def test_what_is_wrong_is_named(state: Dict[str, np.ndarray], tensor: str, change: Callable[..., None], tmp_path: Path) -> None:
    wrong = dict(state)
    change(wrong, tensor)
    checkpoint = tmp_path / "wrong.pth"
    checkpoint.write_bytes(zip_file(wrong))
    done = convert(checkpoint, tmp_path / "out.safetensors")
    message = done.stderr.decode()
    assert done.returncode == 1 and tensor in message and is_one_line(message), message
    assert not (tmp_path / "out.safetensors").exists()


@pytest.mark.parametrize("kind", ["missing", "extra", "mis-shaped"])
def test_what_is_wrong_in_params_is_named(kind: str, tmp_path: Path) -> None:
    graph = WideMxnetModel()
    name = next(n for n, value in graph.parameters.items() if value.shape == (512, 512, 3, 3))
    if kind == "missing":
        del graph.parameters[name]
    elif kind == "extra":
        name = "n999999"
        graph.parameters[name] = np.zeros(1, np.float32)
    else:
        graph.parameters[name] = graph.parameters[name][:256]
    (tmp_path / "R50-0000.params").write_bytes(graph.params())
    (tmp_path / "R50-symbol.json").write_bytes(graph.symbol())
    done = convert(tmp_path / "R50-0000.params", tmp_path / "out.safetensors")
    message = done.stderr.decode()
    assert done.returncode == 1 and name in message and is_one_line(message), message
