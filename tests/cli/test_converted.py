"""The same network in every form that people have it in, through the converter and the tool: the same faces. Broken files of each kind: refused,
with the file named and nothing written."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List, Tuple

import numpy as np
import pytest
from conftest import ASTRONAUT, ROOT, SHARED, TRIMMED, detect, is_one_line

sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tests" / "python")]

import convert_weights  # noqa: E402
from checkpoints import MxnetModel  # noqa: E402
from graphs import decoding, ncnn_of_mxnet, onnx_of_mxnet, tampered, torch_export, torch_network  # noqa: E402
from retinaface_weights import biubug6_names, mxnet_file, torch_file  # noqa: E402

pytestmark = pytest.mark.skipif(TRIMMED, reason="the converter is the same Python on every machine")
PICTURES = [ASTRONAUT, *(SHARED / "golden" / "biubug6" / f"{name}.png" for name in ("crowd", "five", "vga"))]


def convert(source: Path, *arguments: Any, code: int = 0) -> str:
    """Standard error of `convert_weights.py SOURCE -o ...`; the exit code must be `code`."""
    line = [sys.executable, str(ROOT / "tools" / "convert_weights.py"), str(source), *map(str, arguments)]
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=300)
    assert done.returncode == code, done.stderr.decode()
    return done.stderr.decode()


def faces(source: Path, work: Path, *arguments: Any) -> List[List[Dict[str, Any]]]:
    """What the tool finds with a model of any kind, which the converter must think plausible."""
    model = work / f"{source.name}.safetensors"
    convert(source, "-o", model, "--strict", *arguments)
    return [line["faces"] for line in detect(*PICTURES, model=model)]


def values(face: Dict[str, Any]) -> np.ndarray:
    return np.array([*face["box"], *np.ravel(face["landmarks"])])


def assert_same(found: List[List[Dict[str, Any]]], expected: List[List[Dict[str, Any]]]) -> None:
    """As many faces in every picture, each where one of the others is."""
    assert sum(map(len, expected)) > 30
    assert [len(picture) for picture in found] == [len(picture) for picture in expected]
    for picture, others in zip(found, expected):
        left = list(others)
        for face in picture:
            nearest = min(left, key=lambda other: float(np.abs(values(face) - values(other)).max()))
            assert np.abs(values(face) - values(nearest)).max() < 0.05
            assert face["score"] == pytest.approx(nearest["score"], abs=2e-5)
            left.remove(nearest)


def reference(name: str) -> Path:
    path = SHARED / "weights" / name
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path


# biubug6's network, exported by torch.


@pytest.fixture(scope="module")
def official_faces(tmp_path_factory: pytest.TempPathFactory) -> List[List[Dict[str, Any]]]:
    return faces(reference("biubug6_mobilenet0.25_Final.pth"), tmp_path_factory.mktemp("official"))


def export(way: str) -> bytes:
    torch = pytest.importorskip("torch")
    tensors, _ = torch_file.read_state_dict(reference("biubug6_mobilenet0.25_Final.pth").read_bytes())
    state = {name.replace("module.", "", 1): tensor.values() for name, tensor in tensors.items()}
    network = torch_network(state, biubug6_names.sources("mobilenet025"))
    if way == "unfolded":
        mode = torch.onnx.TrainingMode.PRESERVE
        return torch_export(network, opset_version=13, training=mode, do_constant_folding=False)
    return torch_export(decoding(network, ((16, 32), (64, 128), (256, 512)), 64, 96) if way == "decoded" else network, opset_version=11)


@pytest.mark.parametrize("way", ["folded", "unfolded", "decoded"])
def test_exports_of_the_official_network(way: str, tmp_path: Path, official_faces: List[List[Dict[str, Any]]]) -> None:
    pytest.importorskip("onnx")
    (tmp_path / "FaceDetector.onnx").write_bytes(export(way))
    assert_same(faces(tmp_path / "FaceDetector.onnx", tmp_path), official_faces)


def test_ncnn_model_of_the_official_network(tmp_path: Path, official_faces: List[List[Dict[str, Any]]]) -> None:
    convert(reference("biubug6_mobilenet0.25_Final.pth"), "--ncnn", tmp_path / "face")
    assert_same(faces(tmp_path / "face.param", tmp_path), official_faces)


# insightface's networks, as the exporters of MXNet and ncnn write them.


def mxnet(name: str) -> Tuple[List[Dict[str, Any]], List[int], Dict[str, np.ndarray]]:
    """Nodes, outputs and parameters of a released model."""
    parameters = mxnet_file.read_params(reference(f"insightface_{name}-0000.params").read_bytes())
    graph = json.loads(reference(f"insightface_{name}-symbol.json").read_text())
    return graph["nodes"], [head[0] for head in graph["heads"]], parameters


@pytest.fixture(scope="module", params=["mnet.25", "mnet12"])
def insightface(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tuple[str, List[List[Dict[str, Any]]]]:
    source = reference(f"insightface_{request.param}-0000.params")
    return request.param, faces(source, tmp_path_factory.mktemp("insightface"))


def test_onnx_model_of_insightface(tmp_path: Path, insightface: Tuple[str, List[List[Dict[str, Any]]]]) -> None:
    pytest.importorskip("onnx")
    name, expected = insightface
    (tmp_path / "retinaface.onnx").write_bytes(onnx_of_mxnet(*mxnet(name)).SerializeToString())
    assert_same(faces(tmp_path / "retinaface.onnx", tmp_path), expected)


def test_ncnn_model_of_insightface(tmp_path: Path, insightface: Tuple[str, List[List[Dict[str, Any]]]]) -> None:
    name, expected = insightface
    nodes, _, parameters = mxnet(name)
    text, numbers = ncnn_of_mxnet(nodes, parameters)
    (tmp_path / "retinaface.param").write_text(text)
    (tmp_path / "retinaface.bin").write_bytes(numbers)
    assert_same(faces(tmp_path / "retinaface.param", tmp_path), expected)


# Broken files.


def node_of(model: Any, operator: str, number: int = 0) -> Any:
    return [node for node in model.graph.node if node.op_type == operator][number]


def put(node: Any, **attributes: Any) -> None:
    onnx = pytest.importorskip("onnx")
    kept = [attribute for attribute in node.attribute if attribute.name not in attributes]
    del node.attribute[:]
    node.attribute.extend([*kept, *(onnx.helper.make_attribute(name, value) for name, value in attributes.items())])


def scaled(model: Any, number: int, factor: float) -> None:
    """Values of a tensor times a factor."""
    onnx = pytest.importorskip("onnx")
    tensor = [tensor for tensor in model.graph.initializer if tensor.data_type == 1][number]
    tensor.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(tensor) * np.float32(factor), tensor.name))


ONNX_FAULTS: Dict[str, Tuple[Callable[[Any], Any], str]] = {
    "another stride": (lambda m: put(node_of(m, "Conv"), strides=[1, 1]), "stride"),
    "no padding": (lambda m: put(node_of(m, "Conv", 3), pads=[0, 0, 0, 0]), "pads"),
    "another activation": (lambda m: setattr(node_of(m, "Relu"), "op_type", "Sigmoid"), "Sigmoid"),
    "bilinear upsampling": (lambda m: put(node_of(m, "Resize"), mode="linear"), "linear"),
    "a product for a sum": (lambda m: setattr(node_of(m, "Add"), "op_type", "Mul"), "Mul"),
    "a weight that is missing": (lambda m: m.graph.initializer.pop(0), "expected"),
    "weights that are not finite": (lambda m: scaled(m, 0, np.inf), "finite"),
    "quantised": (lambda m: setattr(node_of(m, "Conv"), "op_type", "QLinearConv"), "QLinearConv"),
    "an input from nowhere": (lambda m: node_of(m, "Conv", 5).input.__setitem__(0, "nowhere"), "nowhere"),
    "half of the file": (lambda m: None, "cut short|ends|expected"),
}


@pytest.fixture(scope="module")
def stranger() -> MxnetModel:
    return MxnetModel()


@pytest.mark.parametrize("fault", ONNX_FAULTS)
def test_broken_onnx_files(fault: str, tmp_path: Path, stranger: MxnetModel, capsys: Any) -> None:
    pytest.importorskip("onnx")
    change, words = ONNX_FAULTS[fault]
    data = tampered(onnx_of_mxnet(stranger.nodes, stranger.heads, stranger.parameters), change)
    (tmp_path / "broken.onnx").write_bytes(data[: len(data) // 2] if fault == "half of the file" else data)
    assert_refused(tmp_path / "broken.onnx", words, capsys)


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.startswith(start))


NCNN_FAULTS: Dict[str, Tuple[Callable[[str, bytes], Tuple[str, bytes]], str]] = {
    "another stride": (lambda t, v: (t.replace(" 3=2 ", " 3=1 ", 1), v), "stride"),
    "no padding": (lambda t, v: (t.replace(" 4=1 ", " 4=0 ", 1), v), "pads"),
    "another activation": (lambda t, v: (t.replace("\nReLU", "\nSigmoid", 1), v), "ReLU"),
    "bilinear upsampling": (lambda t, v: (t.replace("0=1 1=2.0 2=2.0", "0=2 1=2.0 2=2.0", 1), v), "kind"),
    "a product for a sum": (lambda t, v: (t.replace(line_of(t, "BinaryOp"), line_of(t, "BinaryOp")[:-1] + "2"), v), "operation"),
    "values cut short": (lambda t, v: (t, v[:-40]), "cut short"),
    "values too many": (lambda t, v: (t, v + b"more"), "more"),
    "quantised": (lambda t, v: (t, b"\x4b\x30\x0d\x00" + v[4:]), "tag|int8|quantised"),
    "an unknown layer": (lambda t, v: (t.replace("\nConcat", "\nEltwise", 1), v), "Concat"),
    "half of the text": (lambda t, v: (t[: len(t) // 2], v), "cut short|expected"),
}


@pytest.mark.parametrize("fault", NCNN_FAULTS)
def test_broken_ncnn_files(fault: str, tmp_path: Path, stranger: MxnetModel, capsys: Any) -> None:
    change, words = NCNN_FAULTS[fault]
    text, numbers = change(*ncnn_of_mxnet(stranger.nodes, stranger.parameters))
    (tmp_path / "broken.param").write_text(text)
    (tmp_path / "broken.bin").write_bytes(numbers)
    assert_refused(tmp_path / "broken.param", words, capsys)


def assert_refused(source: Path, words: str, capsys: Any) -> None:
    """One line that names the file and what is wrong; nothing is written."""
    model = source.with_name("model.safetensors")
    assert convert_weights.main([str(source), "-o", str(model)]) == 1
    message = capsys.readouterr().err
    assert is_one_line(message) and source.name in message, message
    assert any(word in message for word in words.split("|")), message
    assert not model.exists()
