"""Tests of what `tools/convert_weights.py` reads as a graph: ONNX and ncnn, good, tampered with, and damaged."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(Path(__file__).parent)]

from checkpoints import MxnetModel, legacy_file, random_state  # noqa: E402
from graphs import decoding, ncnn_of_mxnet, onnx_of_mxnet, tampered, torch_export, torch_network  # noqa: E402
from retinaface_weights import (  # noqa: E402
    biubug6_names,
    ncnn_export,
    onnx_export,
    plausibility,
    reading,
    seeded,
    weights_file,
)
from retinaface_weights.errors import ConversionError  # noqa: E402
from retinaface_weights.network import ANCHOR_SIZES  # noqa: E402

onnx = pytest.importorskip("onnx")
NETWORKS = [("mobilenet025", "biubug6"), ("mobilenet025_light", "paper"), ("mnet12", "mnet12")]


def difference(found: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]) -> float:
    """The largest, relative to the largest value of its tensor."""
    assert list(found) == list(expected)
    return max(np.abs(found[name] - expected[name]).max() / np.abs(expected[name]).max() for name in expected)


@pytest.fixture(scope="module")
def state() -> Dict[str, np.ndarray]:
    return random_state()


@pytest.fixture(scope="module")
def folded(state: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    return reading.from_torch(legacy_file(state)).parameters


@pytest.fixture(scope="module")
def mxnet() -> MxnetModel:
    return MxnetModel()


@pytest.fixture(scope="module")
def mxnet_as_onnx(mxnet: MxnetModel) -> Any:
    return onnx_of_mxnet(mxnet.nodes, mxnet.heads, mxnet.parameters)


# ONNX.


@pytest.mark.parametrize("way", ["folded", "unfolded", "relu", "decoded", "other anchors", "scaled in the graph"])
def test_exports_by_torch(state: Dict[str, np.ndarray], folded: Dict[str, np.ndarray], way: str) -> None:
    torch = pytest.importorskip("torch")
    network = torch_network(state, biubug6_names.sources("mobilenet025"), 0.0 if way == "relu" else 0.1)
    sizes = ((10, 20), (32, 64), (128, 256)) if way == "other anchors" else ANCHOR_SIZES
    options: Dict[str, Any] = {"opset_version": 11}
    if way == "unfolded":
        options = {"opset_version": 13, "training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    if way in ("decoded", "other anchors"):
        network = decoding(network, sizes, 64, 96)
    if way == "scaled in the graph":
        network = torch.nn.Sequential(_Scaled(), network)
    found = reading.from_onnx(torch_export(network, **options))
    assert (found.architecture, found.assumed.slope) == ("mobilenet025", 0.0 if way == "relu" else 0.1)
    assert found.assumed.min_sizes == sizes
    assert found.assumed.mean == ((10.0, 20.0, 30.0) if "scaled" in way else (104.0, 117.0, 123.0))
    assert found.assumed.std == ((4.0, 4.0, 4.0) if "scaled" in way else (1.0, 1.0, 1.0))
    assert difference(found.parameters, folded) < (1e-9 if way == "unfolded" else 1e-5)


def _Scaled() -> Any:
    torch = pytest.importorskip("torch")

    class Scaled(torch.nn.Module):
        def forward(self, image: Any) -> Any:
            return (image - torch.tensor([10.0, 20.0, 30.0]).view(1, 3, 1, 1)) * 0.25

    return Scaled()


def test_export_of_an_mxnet_network(mxnet: MxnetModel, mxnet_as_onnx: Any) -> None:
    expected = reading.from_mxnet(mxnet.params(), mxnet.symbol())
    found = reading.from_onnx(mxnet_as_onnx.SerializeToString())
    assert found.assumed == expected.assumed  # the order of the class channels is seen in the graph
    assert difference(found.parameters, expected.parameters) < 1e-12


@pytest.mark.parametrize("architecture, profile", NETWORKS)
def test_own_exports_come_back(tmp_path: Path, architecture: str, profile: str) -> None:
    weights = seeded.make_seeded(architecture, profile, 7).rounded("f32")
    weights.licence = "CC0-1.0"
    for maps in (False, True):
        found = reading.from_onnx(onnx_export.export(weights, maps))
        assert (found.architecture, found.assumed.profile, found.licence) == (architecture, profile, "CC0-1.0")
        assert difference(found.parameters, weights.parameters) == 0
    text, values = ncnn_export.export(weights)
    (tmp_path / "net.param").write_text(text)
    (tmp_path / "net.bin").write_bytes(values)
    for given in ("net.param", "net.bin"):
        found = reading.read(tmp_path / given, profile=profile)
        assert (found.architecture, found.assumed.profile) == (architecture, profile)
        assert difference(found.parameters, weights.parameters) == 0


def test_half_precision_and_constants_as_nodes(mxnet_as_onnx: Any) -> None:
    """Weights in fp16 behind Cast nodes, and others as Constant nodes, as some optimisers leave them."""
    expected = reading.from_onnx(mxnet_as_onnx.SerializeToString()).parameters

    def change(model: Any) -> None:
        for index, tensor in enumerate(list(model.graph.initializer)):
            value = onnx.numpy_helper.to_array(tensor)
            if value.dtype != np.float32 or index % 3:
                continue
            name = tensor.name
            model.graph.initializer.remove(tensor)
            stored = value.astype(np.float16) if index % 2 else value
            constant = onnx.helper.make_node("Constant", [], [name + "_raw"], value=onnx.numpy_helper.from_array(stored))
            model.graph.node.insert(0, onnx.helper.make_node("Cast", [name + "_raw"], [name], to=1))
            model.graph.node.insert(0, constant)

    assert difference(reading.from_onnx(tampered(mxnet_as_onnx, change)).parameters, expected) < 2e-3


def _node(model: Any, operator: str, number: int = 0) -> Any:
    return [node for node in model.graph.node if node.op_type == operator][number]


def _set(node: Any, name: str, value: Any) -> None:
    kept = [attribute for attribute in node.attribute if attribute.name != name]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute(name, value)])


def _quantise(model: Any) -> None:
    node = _node(model, "Conv")
    node.op_type = "QLinearConv"


def _external(model: Any) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = 1
    tensor.external_data.add(key="location", value="weights.data")


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda m: _set(_node(m, "Conv"), "strides", [1, 1]), ["stride"]),
        (lambda m: _set(_node(m, "Conv"), "pads", [0, 0, 1, 1]), ["pads", "[1, 1, 1, 1]", "[0, 0, 1, 1]"]),
        (lambda m: _set(_node(m, "Conv"), "dilations", [2, 2]), ["dilations"]),
        (lambda m: _set(_node(m, "Conv"), "auto_pad", "SAME_UPPER"), ["auto_pad"]),
        (lambda m: _set(_node(m, "BatchNormalization"), "epsilon", -1.0), ["epsilon"]),
        (lambda m: setattr(_node(m, "Relu"), "op_type", "Sigmoid"), ["Relu", "Sigmoid"]),
        (lambda m: _set(_node(m, "Resize"), "mode", "linear"), ["mode", "nearest", "linear"]),
        (lambda m: _set(_node(m, "Resize"), "coordinate_transformation_mode", "half_pixel"), ["asymmetric"]),
        (lambda m: _set(_node(m, "Resize"), "nearest_mode", "ceil"), ["asymmetric"]),
        (lambda m: setattr(_node(m, "Add"), "op_type", "Mul"), ["Add", "Mul"]),
        (lambda m: _node(m, "Add").input.pop(0), ["nine heads"]),
        (lambda m: _set(_node(m, "Concat"), "axis", 2), ["axis"]),
        (lambda m: _set(_node(m, "Softmax"), "axis", 3), ["axis"]),
        (lambda m: _node(m, "Concat").input.pop(), ["nine heads"]),
        (lambda m: m.graph.initializer.pop(0), ["expected"]),
        (_external, ["another file"]),
        (_quantise, ["nine heads", "QLinearConv", "quantised"]),
        (lambda m: _node(m, "Conv", 5).input.__setitem__(0, "nowhere"), ["nowhere"]),
        (lambda m: m.graph.ClearField("node"), ["convolutions"]),
        (lambda m: m.ClearField("graph"), ["expected"]),
    ],
)  # fmt: skip
def test_onnx_models_of_other_networks(mxnet_as_onnx: Any, change: Any, words: List[str]) -> None:
    with pytest.raises(ConversionError) as caught:
        reading.from_onnx(tampered(mxnet_as_onnx, change))
    assert any(word in str(caught.value) for word in words), caught.value


def test_the_nearest_network_is_named(mxnet_as_onnx: Any) -> None:
    data = tampered(mxnet_as_onnx, lambda m: _set(_node(m, "Conv", 3), "pads", [0, 0, 0, 0]))
    with pytest.raises(ConversionError, match=r"first difference of the graph from mobilenet025, \d+ of 56 convolutions"):
        reading.from_onnx(data)


# ncnn.


@pytest.fixture(scope="module")
def mxnet_as_ncnn(mxnet: MxnetModel) -> Any:
    return ncnn_of_mxnet(mxnet.nodes, mxnet.parameters)


def test_ncnn_model_of_an_mxnet_network(mxnet: MxnetModel, mxnet_as_ncnn: Any) -> None:
    expected = reading.from_mxnet(mxnet.params(), mxnet.symbol())
    text, values = mxnet_as_ncnn
    found = reading.from_ncnn(text.encode(), values)
    assert found.assumed == expected.assumed
    assert difference(found.parameters, expected.parameters) < 1e-12


def test_ncnn_half_precision() -> None:
    weights = seeded.make_seeded("mobilenet025", "biubug6", 7).rounded("f32")
    text, _ = ncnn_export.export(weights)
    parts = []
    for name in [name[: -len(".weight")] for name in weights.parameters if name.endswith(".weight")]:
        half = weights.parameters[name + ".weight"].astype("<f2").tobytes()
        parts += [(0x01306B47).to_bytes(4, "little"), half, bytes(-len(half) % 4)]
        parts.append(weights.parameters[name + ".bias"].astype("<f4").tobytes())
    found = reading.from_ncnn(text.encode(), b"".join(parts))
    assert found.assumed.profile == "biubug6" and difference(found.parameters, weights.parameters) < 1e-3


def _line(text: str, start: str, number: int = 0) -> str:
    return [line for line in text.splitlines() if line.startswith(start)][number]


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda t, v: (t.replace(" 3=2 ", " 3=1 ", 1), v), "stride"),
        (lambda t, v: (t.replace(" 4=1 ", " 4=0 ", 1), v), "pads"),
        (lambda t, v: (t.replace("Interp", "Interp2", 1), v), "another kind"),
        (lambda t, v: (t.replace("0=1 1=2.0 2=2.0", "0=2 1=2.0 2=2.0", 1), v), "kind"),
        (lambda t, v: (t.replace("0=1 1=2.0 2=2.0", "0=1 1=3.0 2=3.0", 1), v), "scales"),
        (lambda t, v: (t.replace(_line(t, "ReLU"), _line(t, "ReLU").replace("ReLU", "Sigmoid", 1), 1), v), "ReLU"),
        (lambda t, v: (t.replace(_line(t, "BinaryOp"), _line(t, "BinaryOp")[:-1] + "2"), v), "operation"),
        (lambda t, v: (t.replace("Concat", "Eltwise", 1), v), "Concat"),
        (lambda t, v: (t, v[:-40]), "cut short"),
        (lambda t, v: (t, v + b"more"), "more"),
        (lambda t, v: (t[: t.index("BinaryOp")], v), "cut short"),
        (lambda t, v: (t.replace("\n", "\nnonsense\n", 2), v), "expected"),
        (lambda t, v: (t, b"\x12\x34\x56\x78" + v[4:]), "tag"),
        (lambda t, v: (t.replace("5=0 6=216", "5=0 6=217", 1), v), "filters"),
    ],
)  # fmt: skip
def test_ncnn_models_of_other_networks(mxnet_as_ncnn: Any, change: Any, words: str) -> None:
    text, values = change(*mxnet_as_ncnn)
    assert (text, values) != mxnet_as_ncnn
    with pytest.raises(ConversionError) as caught:
        reading.from_ncnn(text.encode(), values)
    assert words in str(caught.value), caught.value


# Damaged files of both kinds.


def test_cut_and_damaged_models(tmp_path: Path, mxnet_as_onnx: Any, mxnet_as_ncnn: Any) -> None:
    """An error of one line or a network, never anything else."""
    model = mxnet_as_onnx.SerializeToString()
    text, values = mxnet_as_ncnn
    random = np.random.RandomState(3)

    def attempt(name: str, data: bytes) -> bool:
        (tmp_path / name).write_bytes(data)
        try:
            with np.errstate(all="ignore"):
                reading.read(tmp_path / name)
            return True
        except ConversionError as error:
            assert str(error)
            return False

    (tmp_path / "net.bin").write_bytes(values)
    for name, data in (("net.onnx", model), ("net.param", text.encode())):
        assert attempt(name, data)
        for cut in (1, 2, 7, 8, 9, 100, 1000, len(data) // 2, len(data) - 300):
            assert not attempt(name, data[:cut])
        for position in random.randint(0, len(data) if name == "net.param" else 20_000, 60):
            damaged = bytearray(data)
            damaged[position] ^= int(random.randint(1, 256))
            attempt(name, bytes(damaged))
    for position in random.randint(0, len(values), 20):
        damaged = bytearray(values)
        damaged[position] ^= 255
        (tmp_path / "net.bin").write_bytes(bytes(damaged))
        attempt("net.param", text.encode())
    (tmp_path / "net.bin").unlink()
    assert not attempt("net.param", text.encode())


def test_weights_file_of_a_graph(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mxnet_as_onnx: Any) -> None:
    """What comes out has the outputs of what went in, run by another engine."""
    runtime = pytest.importorskip("onnxruntime")
    import convert_weights

    # Random numbers find no face.
    monkeypatch.setattr(plausibility, "check", lambda *_: (plausibility.Verdict(1.0, 0.0, 0, 1.0), None))
    (tmp_path / "net.onnx").write_bytes(mxnet_as_onnx.SerializeToString())
    assert convert_weights.main([str(tmp_path / "net.onnx"), "-o", str(tmp_path / "out"), "--quiet"]) == 0
    weights = weights_file.load((tmp_path / "out").read_bytes())
    image = np.random.RandomState(5).randint(0, 256, (64, 96, 3)).astype(np.uint8)
    session = runtime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    maps = session.run(None, {session.get_inputs()[0].name: image.transpose(2, 0, 1)[None].astype(np.float32)})
    boxes = [maps[i][0].reshape(2, 4, *maps[i].shape[2:])[::-1].transpose(2, 3, 0, 1) for i in (7, 4, 1)]
    expected = np.concatenate([part.reshape(-1, 4) for part in boxes])
    assert np.abs(weights.forward(image)["box"] - expected).max() < 1e-3 * np.abs(expected).max()
