"""The wide networks through the converter: files of others in, a weights file and ONNX out.

Checkpoints are those of `tools/oracle/heavy_networks.py` in small: the same tensors, values by numpy.  The comparison with PyTorch is
run by hand (docs/wide-networks.md); here the numpy forward pass stands between the file and what comes out.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, Tuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(Path(__file__).parent)]

from checkpoints import WideMxnetModel  # noqa: E402
from retinaface_weights import mxnet_file, names, ncnn_export, onnx_export, reading, resnet, seeded  # noqa: E402
from retinaface_weights.errors import ConversionError  # noqa: E402
from retinaface_weights.folding import expected_tensors, fold_network  # noqa: E402
from retinaface_weights.forward import prepare_input, run_layers  # noqa: E402
from retinaface_weights.network import PROFILES, Conv, build_network  # noqa: E402
from retinaface_weights.wide_layers import DeformConv  # noqa: E402

IMAGE = np.random.RandomState(1).randint(0, 256, (9, 17, 3)).astype(np.uint8)


def shapes(architecture: str) -> Dict[str, Tuple[int, ...]]:
    """The state dict that such a network's training leaves."""
    naming = names.known(architecture)[0]
    return dict(naming.expected)


@pytest.mark.parametrize("architecture", ["resnet50", "resnet152_deformable"])
def test_a_state_dict_is_recognised(architecture: str) -> None:
    expected = shapes(architecture)
    naming = names.recognise(expected, None)
    assert naming.architecture == architecture
    assert "body.layer3.5.bn2.running_var" in expected and "body.layer1.0.downsample.0.weight" in expected
    if architecture == "resnet50":
        assert expected["ssh1.conv7x7_3.0.weight"] == (64, 64, 3, 3)
        assert expected["LandmarkHead.2.conv1x1.weight"] == (20, 256, 1, 1)
    else:
        assert expected["fpn.merge1.offset.weight"] == (27, 256, 3, 3)
        assert expected["heads.shape_texture.conv1x1.weight"] == (384, 256, 1, 1)


@pytest.mark.parametrize(
    "change, words",
    [
        (lambda state: state.pop("body.layer2.3.conv2.weight"), "body.layer2.3.conv2.weight"),
        (lambda state: state.update({"body.layer9.weight": (1,)}), "body.layer9.weight"),
        (lambda state: state.update({"fpn.output2.0.weight": (64, 1024, 1, 1)}), "fpn.output2.0.weight"),
    ],
)
def test_a_wrong_state_dict_is_named(change: Any, words: str) -> None:
    state = shapes("resnet50")
    change(state)
    with pytest.raises(ConversionError, match=words.replace(".", r"\.")):
        names.recognise(state, "resnet50")


@pytest.fixture(scope="module")
def mxnet_model() -> WideMxnetModel:
    return WideMxnetModel()


def test_the_graph_is_followed(mxnet_model: WideMxnetModel) -> None:
    found = mxnet_file.read_graph(mxnet_model.symbol())
    assert found.architecture == "resnet50_preactivation"
    tensors = mxnet_file.read_params(mxnet_model.params())
    expected = expected_tensors(found.architecture, found.sources)
    assert set(expected) == set(tensors)
    parameters, _ = fold_network(found.architecture, found.sources, lambda name: tensors[name])
    # What BatchNorm does to the image: nothing folds it into the convolution, which pads with zeros after it.
    gamma, beta, mean, variance = (tensors[name] for name in found.sources["backbone.input"].names())
    layers = build_network(found.architecture, "insightface")
    image = prepare_input(IMAGE, PROFILES["insightface"])
    value = run_layers(layers[:1], parameters, image)["backbone.input"]
    scale = (gamma / np.sqrt(variance.astype(float) + 2e-5))[:, None, None]
    assert np.allclose(value, (image - mean[:, None, None]) * scale + beta[:, None, None], rtol=1e-6)
    assert image.shape[1:] == (32, 32)


@pytest.mark.parametrize("operator, attribute, value", [("Pooling", "pool_type", "avg"), ("Pooling", "pad", "(0, 0)")])
def test_a_changed_graph_is_refused(operator: str, attribute: str, value: str) -> None:
    model = WideMxnetModel()
    next(node for node in model.nodes if node["op"] == operator)["attrs"][attribute] = value
    with pytest.raises(ConversionError, match=attribute):
        mxnet_file.read_graph(model.symbol(), "resnet50_preactivation")


def test_every_deformable_convolution_has_its_offsets() -> None:
    layers = build_network("resnet152_deformable", "paper")
    steered = [layer for layer in layers if isinstance(layer, DeformConv)]
    assert len(steered) == 4 + 5 * 5
    by_name = {layer.name: layer for layer in layers}
    for layer in steered:
        offset = by_name[layer.offsets]
        assert isinstance(offset, Conv) and offset.source == layer.source and offset.c_out == resnet.OFFSETS


def test_onnx_of_the_pre_activation_network_computes_the_same(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    weights = seeded.make_seeded("resnet50_preactivation", "insightface", 1)
    session = runtime.InferenceSession(onnx_export.export(weights), providers=["CPUExecutionProvider"])
    image = prepare_input(IMAGE, PROFILES["insightface"])
    found = dict(zip((o.name for o in session.get_outputs()), session.run(None, {"image": image[None].astype(np.float32)})))
    for name, value in weights.forward(IMAGE).items():
        assert np.abs(found[name][0] - value).max() <= 1e-4 * np.abs(value).max()


@pytest.mark.parametrize("architecture, profile", [("resnet50", "biubug6"), ("resnet50_preactivation", "insightface")])
def test_own_exports_come_back(architecture: str, profile: str) -> None:
    """Residual sums, the maximum after the stem and a BatchNorm of its own, in both graph formats."""
    pytest.importorskip("onnx")
    weights = seeded.make_seeded(architecture, profile, 1).rounded("f32")
    text, values = ncnn_export.export(weights)
    for found in (reading.from_onnx(onnx_export.export(weights)), reading.from_ncnn(text.encode(), values, profile=profile)):
        assert (found.architecture, found.assumed.profile) == (architecture, profile)
        assert all(np.array_equal(found.parameters[name], value) for name, value in weights.parameters.items())


def test_onnx_of_the_papers_network_is_well_formed() -> None:
    onnx = pytest.importorskip("onnx")
    from retinaface_weights.weights_file import Weights
    from retinaface_weights.network import parameter_shapes

    zeros = {name: np.zeros(shape, np.float32) for name, shape in parameter_shapes("resnet152_deformable").items()}
    model = onnx.load_from_string(onnx_export.export(Weights("resnet152_deformable", "paper", zeros)))
    assert model.opset_import[0].version == 19
    assert sum(node.op_type == "DeformConv" for node in model.graph.node) == 29
    assert [output.name for output in model.graph.output] == ["class", "box", "landmark", "shape_texture", "camera", "light"]
