"""Tests of what `tools/convert_weights.py` makes of other people's files: names, wraps, assumptions, refusals, the look."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
SHARED = Path(os.environ.get("RETINAFACE_SHARED", ROOT.parent / "shared"))
sys.path[:0] = [str(ROOT / "tools"), str(Path(__file__).parent)]

import convert_weights  # noqa: E402
import weights_tables  # noqa: E402
from checkpoints import Invoke, MxnetModel, Name, legacy_file, random_state, zip_file  # noqa: E402
from retinaface_weights import assumptions, biubug6_names, plausibility, reading, weights_file, yakhyo_names  # noqa: E402
from retinaface_weights.assumptions import NAMED  # noqa: E402
from retinaface_weights.errors import ConversionError  # noqa: E402
from retinaface_weights.forward import forward  # noqa: E402
from retinaface_weights.network import ANCHOR_SIZES, PROFILES, build_network  # noqa: E402
from retinaface_weights.png import read_png  # noqa: E402

needs_shared = pytest.mark.skipif(
    not (SHARED / "weights").is_dir(), reason=f"no reference weights: {SHARED} is absent (set RETINAFACE_SHARED)"
)


@pytest.fixture(scope="module")
def state() -> Dict[str, np.ndarray]:
    return random_state()


@pytest.fixture(scope="module")
def expected(state: Dict[str, np.ndarray]) -> Dict[str, np.ndarray]:
    return reading.from_torch(legacy_file(state)).parameters


def same(found: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]) -> bool:
    return list(found) == list(expected) and all(np.array_equal(found[name], expected[name]) for name in expected)


# Names and wraps.


@pytest.mark.parametrize("prefix", ["model.", "net.", "module.module.", "_orig_mod.", "detector.", "model._orig_mod."])
def test_prefixes(state: Dict[str, np.ndarray], expected: Dict[str, np.ndarray], prefix: str) -> None:
    network = reading.from_torch(zip_file({prefix + name: value for name, value in state.items()}))
    assert same(network.parameters, expected)
    assert any("removed" in note for note in network.notes)


def _attributes() -> Any:
    return Invoke(Name("pytorch_lightning.utilities.parsing", "AttributeDict"), ())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda s: {"params": s},
        lambda s: {"ema": s, "model": {name: np.zeros_like(value) for name, value in s.items()}},
        lambda s: {"model_state": s, "optimizer_state": {"lr": 1}},
        lambda s: {"model": {"state_dict": s}},
        lambda s: {"detector": s, "epoch": 3, "best": {"ap": 1}},  # the only one, under a name of its own
        lambda s: {**s, "priors": np.zeros((16800, 4), np.float32)},
        lambda s: {**{f"model.{name}": value for name, value in s.items()}, "criterion.weight": np.ones(2, np.float32)},
        lambda s: {"n_averaged": np.ones((), np.int64), **{f"module.{name}": value for name, value in s.items()}},
        lambda s: {
            "state_dict": {
                **{f"model.{name}": np.zeros_like(value) for name, value in s.items()},
                **{f"ema_model.module.{name}": value for name, value in s.items()},
            }
        },
        lambda s: {
            "state_dict": {"model." + name: value for name, value in s.items()},
            "hyper_parameters": _attributes(),
            "pytorch-lightning_version": "1.9.0",
        },
    ],
)
def test_wraps(state: Dict[str, np.ndarray], expected: Dict[str, np.ndarray], wrap: Any) -> None:
    assert same(reading.from_torch(zip_file(wrap(state))).parameters, expected)


def test_dictionaries_that_are_no_state_dict(state: Dict[str, np.ndarray]) -> None:
    for content, words in (
        ({"first": state, "second": dict(state)}, "found 'first', 'second'"),
        ({"epoch": 3, "lr": 1}, "found 'epoch', 'lr'"),
        (["epoch", 3], "found a list"),
    ):
        with pytest.raises(ConversionError, match=words):
            reading.from_torch(zip_file(content))
    arrays = io.BytesIO()
    pickle.dump({name: value for name, value in state.items()}, arrays, protocol=2)
    with pytest.raises(ConversionError, match="NumPy arrays in a pickle"):
        reading.from_torch(arrays.getvalue())


def test_what_counters_of_operations_leave_behind(state: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]) -> None:
    counted = dict(state)
    for place in ("", "body.", "body.stage1.0.0.", "ClassHead.0."):
        counted[place + "total_ops"] = counted[place + "total_params"] = np.zeros(1, np.float64)
    network = reading.from_torch(legacy_file(counted))
    assert same(network.parameters, expected)
    assert "4 x total_ops" in network.notes[-1] and "47 x num_batches_tracked" in network.notes[-1]


def foreign_safetensors(state: Dict[str, np.ndarray], **metadata: str) -> bytes:
    kinds = {"float32": "F32", "int64": "I64", "float64": "F64"}
    header: Dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    body = b""
    for name, value in state.items():
        header[name] = {
            "dtype": kinds[value.dtype.name], "shape": list(value.shape),
            "data_offsets": [len(body), len(body) + value.nbytes],
        }  # fmt: skip
        body += value.tobytes()
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def test_state_dict_in_safetensors(tmp_path: Path, state: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]) -> None:
    for metadata in ({}, {"format": "pt"}):
        (tmp_path / "pyfeat.safetensors").write_bytes(foreign_safetensors(state, **metadata))
        assert same(reading.read(tmp_path / "pyfeat.safetensors").parameters, expected)


def test_yakhyo_names(state: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]) -> None:
    theirs, ours = yakhyo_names.sources("mobilenet025"), biubug6_names.sources("mobilenet025")
    names = {a: b for key in ours for a, b in zip(ours[key].names(), theirs[key].names())}
    assert names["body.stage1.0.0.weight"] == "fx.stage1.0.0.weight"
    assert names["body.stage2.3.4.running_var"] == "fx.stage2.3.1.1.running_var"
    assert names["BboxHead.2.conv1x1.bias"] == "bbox_head.bbox_head.2.bias"
    assert names["ssh1.conv7x7_3.0.weight"] == "ssh1.conv7x7_3.0.weight"
    network = reading.from_torch(zip_file({names[name]: state[name] for name in names}))
    assert same(network.parameters, expected)
    assert "yakhyo" in network.notes[-1]


@pytest.mark.parametrize("ours, theirs", [("moving", "running"), ("running", "moving")])
def test_mxnet_aliases(ours: str, theirs: str) -> None:
    model = MxnetModel()
    expected = reading.from_mxnet(model.params(), model.symbol())
    for layer in ("backbone.conv0", "fpn.p3.merge"):
        for place, kind in ((3, "mean"), (4, "var")):
            node = model.nodes[model.find(layer, "BatchNorm")["inputs"][place][0]]
            value = model.parameters.pop(node["name"])
            node["name"] = f"{layer}_{ours}_{kind}"
            model.parameters[f"{layer}_{theirs}_{kind}"] = value
    for node in model.nodes:
        if node["op"] == "SoftmaxActivation":
            node.update(op="softmax", attrs={"axis": "1"})
    found = reading.from_mxnet(model.params(), model.symbol())
    assert same(found.parameters, expected.parameters) and found.assumed == expected.assumed


def test_mnet12_by_its_graph() -> None:
    model = MxnetModel("mnet12")
    network = reading.from_mxnet(model.params(), model.symbol())
    assert (network.architecture, network.assumed.profile) == ("mnet12", "mnet12")


# Assumptions.


def _decoded(profile: str, parameters: Dict[str, np.ndarray], image: np.ndarray) -> Any:
    return plausibility.decode(
        forward("mobilenet025", profile, parameters, image), *image.shape[:2], PROFILES[profile]
    )


@pytest.mark.parametrize("profile", ["paper", "insightface"])
def test_anchors_are_folded_exactly(monkeypatch: pytest.MonkeyPatch, profile: str) -> None:
    """Decoded with the anchors it was trained with, a network gives the boxes that the folded one gives with ours."""
    sizes = ((10.0, 20.0), (32.0, 64.0), (128.0, 256.0))
    image = np.random.RandomState(1).randint(0, 256, (64, 96, 3)).astype(np.uint8)
    assumed = replace(NAMED[profile], min_sizes=sizes)
    network = {name: value.astype(np.float64) for name, value in _own().parameters.items()}
    stored, folded, notes = assumptions.fold(network, "mobilenet025", assumed)
    assert stored.name == profile and "exact" in notes[0]
    found = _decoded(profile, folded, image)
    monkeypatch.setattr(plausibility, "ANCHOR_SIZES", sizes)
    for ours, theirs in zip(found, _decoded(profile, network, image)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)


def test_the_input_is_folded(expected: Dict[str, np.ndarray]) -> None:
    """Order and deviation exactly; the mean wherever the first kernel lies inside the image."""
    pixels = np.random.RandomState(2).randint(0, 256, (3, 10, 12)).astype(np.float64)
    weight, bias = (expected[f"backbone.conv0.{part}"] for part in ("weight", "bias"))
    conv = build_network("mobilenet025", "biubug6")[:1]
    mean, std = np.array([123.675, 116.28, 103.53]), np.array([58.395, 57.12, 57.375])

    def first(parameters: Dict[str, np.ndarray], planes: np.ndarray) -> np.ndarray:
        from retinaface_weights.forward import run_layers

        return run_layers(conv, parameters, planes)["backbone.conv0"]

    theirs = first(expected, (pixels - mean[:, None, None]) / std[:, None, None])
    assumed = replace(NAMED["biubug6"], channels="rgb", mean=tuple(mean), std=tuple(std))
    profile, folded, notes = assumptions.fold(expected, "mobilenet025", assumed)
    ours = first(folded, pixels[::-1] - np.array(profile.mean)[:, None, None])
    np.testing.assert_allclose(ours[:, 1:, 1:], theirs[:, 1:, 1:], rtol=1e-9, atol=1e-12)
    assert np.abs(ours[:, 0] - theirs[:, 0]).max() > 0 and "outermost" in notes[-1]
    exact = replace(NAMED["biubug6"], std=(2.0, 2.0, 2.0))
    _, folded, _ = assumptions.fold(expected, "mobilenet025", exact)
    np.testing.assert_allclose(folded["backbone.conv0.weight"] * 2, weight)
    assert np.array_equal(folded["backbone.conv0.bias"], bias)


def test_activation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]
) -> None:
    """A profile with that slope where there is one; else the metadata say it, and the network has it."""
    profile, _, _ = assumptions.fold(expected, "mobilenet025", replace(NAMED["biubug6"], slope=0.0))
    assert profile.name == "paper"
    with pytest.raises(ConversionError, match=r"slope: .*0..1, found 1.5"):
        assumptions.fold(expected, "mobilenet025", replace(NAMED["biubug6"], slope=1.5))
    verdict = plausibility.Verdict(1.0, 0.0, 0, 1.0)
    monkeypatch.setattr(plausibility, "check", lambda *_: (verdict, None))
    (tmp_path / "in.pth").write_bytes(legacy_file(state))
    command = [str(tmp_path / "in.pth"), "-o", str(tmp_path / "out"), "--quiet"]
    assert convert_weights.main([*command, "--slope", "0.2"]) == 0
    weights = weights_file.load((tmp_path / "out").read_bytes())
    assert (weights.profile, weights.extra["slope"]) == ("biubug6", "0.2")
    image = weights_file.self_test_image(0)
    layers = build_network("mobilenet025", "biubug6", 0.2)
    expected_box = forward("mobilenet025", "biubug6", weights.parameters, image, layers)["box"]
    assert np.array_equal(weights.forward(image)["box"], expected_box)
    assert convert_weights.main([*command, "--slope", "0"]) == 0
    weights = weights_file.load((tmp_path / "out").read_bytes())
    assert weights.profile == "paper" and "slope" not in weights.extra


def test_options_and_metadata(tmp_path: Path, capsys: Any, monkeypatch: Any, state: Dict[str, np.ndarray]) -> None:
    verdict = plausibility.Verdict(1.0, 0.0, 0, 1.0)
    monkeypatch.setattr(plausibility, "check", lambda *_: (verdict, None))
    (tmp_path / "in.pth").write_bytes(legacy_file(state))
    command = [str(tmp_path / "in.pth"), "-o", str(tmp_path / "out")]
    options = [
        "--slope", "0", "--min-sizes", "8,16/32,64/128,256", "--channels", "rgb", "--mean", "123,117,104", "--std", "2"
    ]  # fmt: skip
    assert convert_weights.main([*command, *options]) == 0
    printed = capsys.readouterr().out
    weights = weights_file.load((tmp_path / "out").read_bytes())
    told = (
        "slope 0; anchors 8,16 / 32,64 / 128,256; channels rgb; mean 123,117,104; deviation 2,2,2; decoding as biubug6"
    )
    assert weights.extra["assumed"] == told and f"assumed: {told}" in printed
    assert (weights.architecture, weights.profile) == ("mobilenet025", "paper")
    assert convert_weights.main([*command, "--profile", "face-detector-1mb"]) == 0
    assert weights_file.load((tmp_path / "out").read_bytes()).profile == "paper"
    for wrong in (["--min-sizes", "1,2,3"], ["--mean", "1,2"], ["--std", "0"], ["--channels", "gbr"], ["--mean", "x"]):
        with pytest.raises(SystemExit):
            convert_weights.main([*command, *wrong])
    assert convert_weights.main([*command, "--slope", "-1"]) == 1
    source = str(DATA / "seeded_mobilenet025.safetensors")
    assert convert_weights.main([source, "-o", str(tmp_path / "x"), "--slope", "0"]) == 1
    assert "weights file" in capsys.readouterr().err


# The look at the sample picture.


def test_the_sample_picture_is_read() -> None:
    image = pytest.importorskip("PIL.Image")
    assert np.array_equal(read_png(plausibility.PICTURE), np.array(image.open(plausibility.PICTURE).convert("RGB")))


def _own() -> weights_file.Weights:
    """The weights of this project, which serve as a network of which everything is known."""
    return weights_file.load((ROOT / "weights" / "retinaface_mobilenet025.safetensors").read_bytes())


def test_a_good_network_is_plausible() -> None:
    weights = _own()
    verdict, other = plausibility.check(weights.parameters, weights.architecture, NAMED["biubug6"])
    assert verdict.plausible and other is None, verdict


@pytest.mark.parametrize(
    "trained, options",
    [
        (dict(min_sizes=((10.0, 20.0), (32.0, 64.0), (128.0, 256.0))), "--min-sizes 10,20,32,64,128,256"),
        (dict(channels="rgb", mean=(123.0, 117.0, 104.0)), "--channels rgb --mean 123,117,104"),
    ],
)
def test_what_would_fit_is_named(trained: Dict[str, Any], options: str) -> None:
    """A network made for other anchors or another order of channels, taken for an ordinary one."""
    parameters = dict(_own().parameters)
    if "min_sizes" in trained:  # the inverse of what the converter folds
        inverse = tuple(tuple(s * s / t for s, t in zip(a, b)) for a, b in zip(ANCHOR_SIZES, trained["min_sizes"]))
        _, parameters, _ = assumptions.fold(parameters, "mobilenet025", replace(NAMED["biubug6"], min_sizes=inverse))
    else:
        parameters["backbone.conv0.weight"] = parameters["backbone.conv0.weight"][:, ::-1]
    _, other = plausibility.check(parameters, "mobilenet025", NAMED["biubug6"])
    assert other is not None and other.options(NAMED["biubug6"]) == options


def test_a_network_that_finds_nothing(
    tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch, state: Dict[str, np.ndarray]
) -> None:
    (tmp_path / "in.pth").write_bytes(legacy_file(state))
    command = [str(tmp_path / "in.pth"), "-o", str(tmp_path / "out"), "--quiet"]
    assert convert_weights.main([*command, "--strict"]) == 3
    assert not (tmp_path / "out").exists()
    assert "warning: it " in capsys.readouterr().err
    verdict = plausibility.Verdict(1.0, 0.0, 30, 0.1)
    monkeypatch.setattr(plausibility, "check", lambda *_: (verdict, None))
    assert convert_weights.main(command) == 0 and (tmp_path / "out").exists()
    assert "finds 30 faces" in capsys.readouterr().err


@needs_shared
def test_face_detector_1mb(tmp_path: Path, capsys: Any) -> None:
    command = [str(SHARED / "faults" / "weights" / "face_detector_1mb.pth"), "-o", str(tmp_path / "out"), "--strict"]
    assert convert_weights.main(command) == 3
    assert "--profile face-detector-1mb" in capsys.readouterr().err
    assert convert_weights.main([*command, "--profile", "face-detector-1mb"]) == 0


@needs_shared
def test_damage_that_the_self_test_does_not_see(tmp_path: Path, capsys: Any) -> None:
    """A file of the first format, which carries no hash: what is left is the look."""
    source = SHARED / "faults" / "weights" / "one_byte_selftest_blind.safetensors"
    assert convert_weights.main([str(source), "-o", str(tmp_path / "out"), "--strict"]) == 3
    assert "has none" in capsys.readouterr().err and not (tmp_path / "out").exists()


@needs_shared
def test_official_mnet12(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    source = SHARED / "weights" / "insightface_mnet12-0000.params"
    assert convert_weights.main([str(source), "-o", str(tmp_path / "out"), "--strict"]) == 0
    weights = weights_file.load((tmp_path / "out").read_bytes())
    for name in ("tiny", "crowd"):
        pixels = np.array(image.open(SHARED / "golden" / "biubug6" / f"{name}.png").convert("RGB"))
        outputs = weights.forward(pixels)
        golden = np.load(SHARED / "golden" / "insightface_mnet12" / f"{name}.npz")
        rows: Dict[str, List[np.ndarray]] = {"class": [], "box": [], "landmark": []}
        for stride in (8, 16, 32):
            scores = golden[f"face_rpn_cls_prob_reshape_stride{stride}"]
            rows["class"].append(scores.reshape(2, 2, *scores.shape[1:])[:, ::-1].transpose(2, 3, 1, 0).reshape(-1, 2))
            for kind, part, values in (("box", "bbox", 4), ("landmark", "landmark", 10)):
                maps = golden[f"face_rpn_{part}_pred_stride{stride}"]
                maps = maps.reshape(2, values, *maps.shape[1:])[::-1].transpose(2, 3, 0, 1)
                rows[kind].append(maps.reshape(-1, values))
        powers = np.exp(outputs["class"] - outputs["class"].max(axis=1, keepdims=True))
        outputs["class"] = powers / powers.sum(axis=1, keepdims=True)
        for kind, parts in rows.items():
            assert np.abs(outputs[kind] - np.concatenate(parts)).max() < 1e-4


# Refusals.


def _zip(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "name, data, words",
    [
        ("a.tflite", b"\x1c\0\0\0TFL3" + bytes(50), "TensorFlow Lite"),
        ("a.mnn", b"\x18\0\0\0" + bytes(50), "MNN"),
        ("a.caffemodel", b"\x0a\x04face\xa2\x06" + bytes(50), "Caffe"),
        ("a.bin2", b"\x0a\x04face\xa2\x06" + bytes(50), "Caffe"),
        ("a.pt", _zip("a/data.pkl", "a/constants.pkl", "a/code/__torch__.py"), "TorchScript"),
        ("a.npz", _zip("weight.npy"), "NumPy"),
        ("a.zip", _zip("weights/Final.pth"), "unpack"),
        ("a.h5", b"\x89HDF\r\n\x1a\n" + bytes(50), "Keras"),
        ("a.pth", b"version https://git-lfs.github.com/spec/v1\noid sha256:0", "git lfs pull"),
        ("a.pth", b"<!DOCTYPE html><html>Sign in</html>", "web page"),
        ("a-symbol.json", b'{"nodes": [], "heads": []}', ".params"),
        ("a.bin", b"\0\0\0\0" + bytes(50), ".param"),
        ("a.engine", b"ftrt" + bytes(50), "TensorRT"),
    ],
)
def test_other_formats_are_named(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ConversionError) as caught:
        reading.read(tmp_path / name)
    assert words in str(caught.value)


def test_whole_models_are_named(state: Dict[str, np.ndarray]) -> None:
    whole = {"model": Invoke(Name("models.retinaface", "RetinaFace"), ()), "x": Name("torch.nn.modules.conv", "Conv2d")}
    for writer in (legacy_file, zip_file):
        with pytest.raises(ConversionError, match=r"whole model.*models.retinaface.RetinaFace.*state_dict\(\)"):
            reading.from_torch(writer({**state, **whole}))


def test_the_nearest_network_and_the_first_difference(state: Dict[str, np.ndarray]) -> None:
    wider = dict(state)
    wider["fpn.output1.0.weight"] = np.zeros((128, 64, 1, 1), np.float32)
    with pytest.raises(ConversionError) as caught:
        reading.from_torch(legacy_file(wider))
    words = ("fpn.output1.0.weight", "[64, 64, 1, 1]", "[128, 64, 1, 1]", "mobilenet025 in biubug6's names", "252 of 253")
    assert all(word in str(caught.value) for word in words), caught.value


# The page of the format.


def test_tables_of_the_page_are_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "weights_tables.py"), "--check"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout
    assert "[32, 16, 1, 1]" in weights_tables.tensors("mnet12")
