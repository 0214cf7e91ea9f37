"""Tests of tools/convert_weights.py.

Reference weights are looked for in $RETINAFACE_SHARED or beside the repository in ../shared; tests that need them, or a
package that is not installed, are skipped and say so.
"""

from __future__ import annotations

import ast
import codecs
import hashlib
import io
import itertools
import json
import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools"
DATA = ROOT / "tests" / "data"
SHARED = Path(os.environ.get("RETINAFACE_SHARED", ROOT.parent / "shared"))
sys.path[:0] = [str(TOOLS), str(Path(__file__).parent)]

import convert_weights  # noqa: E402
from checkpoints import Invoke, MxnetModel, Name, legacy_file, pickle_bytes, random_state, zip_file  # noqa: E402
from retinaface_weights import archive, graph, header_export, plausibility, reading, seeded, weights_file  # noqa: E402
from retinaface_weights.errors import ConversionError  # noqa: E402
from retinaface_weights.forward import gather_heads, prepare_input, run_layers  # noqa: E402
from retinaface_weights.network import LEVELS, PROFILES, build_network, convolutions, mesh_head_shapes  # noqa: E402

NETWORKS = [("mobilenet025", "biubug6"), ("mobilenet025", "insightface"), ("mobilenet025_light", "paper")]
needs_shared = pytest.mark.skipif(
    not (SHARED / "weights").is_dir(), reason=f"no reference weights: {SHARED} is absent (set RETINAFACE_SHARED)"
)


def convert(capsys: Any, *arguments: object) -> str:
    """Run the converter; what it printed."""
    status = convert_weights.main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    assert status == 0, captured.err
    return captured.out


def fails(capsys: Any, *arguments: object) -> str:
    """Run the converter, which must refuse; its one-line message."""
    status = convert_weights.main([str(argument) for argument in arguments])
    message = capsys.readouterr().err
    assert status == 1
    assert message.startswith("convert_weights.py: error: ") and message.count("\n") == 1, message
    return message


def load(path: Path) -> weights_file.Weights:
    return weights_file.load(path.read_bytes())


def seeded_weights(architecture: str, profile: str) -> weights_file.Weights:
    weights = load(DATA / f"seeded_{architecture}.safetensors")
    weights.profile = profile
    return weights


def random_image(width: int, height: int) -> np.ndarray:
    return np.random.RandomState(width + height).randint(0, 256, (height, width, 3)).astype(np.uint8)


def largest_difference(found: Dict[str, np.ndarray], expected: Dict[str, np.ndarray]) -> float:
    assert set(found) == set(expected)
    return max(float(np.abs(found[name] - expected[name]).max()) for name in expected)


@pytest.fixture(autouse=True)
def every_network_is_plausible(request: Any, monkeypatch: Any) -> None:
    """Networks of random numbers find no face; only tests marked `looks` ask whether a network does."""
    if "looks" not in request.keywords:
        verdict = plausibility.Verdict(1.0, 0.0, 0, 1.0)
        monkeypatch.setattr(plausibility, "check", lambda *_: (verdict, None))


@pytest.fixture(scope="module")
def state() -> Dict[str, np.ndarray]:
    return random_state()


# PyTorch files.


def test_all_forms_of_a_state_dict_give_the_same_weights(
    tmp_path: Path, capsys: Any, state: Dict[str, np.ndarray]
) -> None:
    prefixed = {"module." + name: value for name, value in state.items()}
    unused = {**prefixed, "module.body.fc.weight": np.zeros((1000, 256), np.float32)}
    forms = {
        "legacy": legacy_file(state),
        "zip": zip_file(state),
        "legacy_module": legacy_file(prefixed),
        "zip_nested_module_fc": zip_file({"epoch": 3, "state_dict": unused, "optimizer": {"lr": None}}),
        "legacy_nested": legacy_file(
            {"best": np.zeros(1, np.float32), "model": state, "arguments": Invoke(Name("argparse", "Namespace"), ())}
        ),
    }
    results = []
    for name, data in forms.items():
        (tmp_path / name).write_bytes(data)
        printed = convert(capsys, tmp_path / name, "-o", tmp_path / "out")
        assert "num_batches_tracked" in printed and "folded: 47" in printed
        assert ("fc.weight" in printed) == ("fc" in name)
        weights = load(tmp_path / "out")
        assert (weights.architecture, weights.profile) == ("mobilenet025", "biubug6")
        results.append({key: value.tobytes() for key, value in weights.parameters.items()})
    assert all(result == results[0] for result in results)


def test_files_written_by_torch(tmp_path: Path, capsys: Any, state: Dict[str, np.ndarray]) -> None:
    torch = pytest.importorskip("torch")
    tensors = {name: torch.from_numpy(np.array(value)) for name, value in state.items()}
    # Strides, an offset into a shared storage and a Parameter, as real checkpoints have them.
    name = "body.stage2.0.3.weight"
    tensors[name] = tensors[name].permute(1, 0, 2, 3).contiguous().permute(1, 0, 2, 3)
    pair = torch.cat([tensors["fpn.output1.1.weight"], tensors["fpn.output1.1.bias"]])
    tensors["fpn.output1.1.weight"], tensors["fpn.output1.1.bias"] = pair[:64], pair[64:]
    tensors["ssh1.conv3X3.0.weight"] = torch.nn.Parameter(tensors["ssh1.conv3X3.0.weight"])
    (tmp_path / "plain").write_bytes(legacy_file(state))
    convert(capsys, tmp_path / "plain", "-o", tmp_path / "expected")
    expected = load(tmp_path / "expected").parameters
    for zipped in (False, True):
        torch.save(tensors, tmp_path / "in.pth", _use_new_zipfile_serialization=zipped)
        convert(capsys, tmp_path / "in.pth", "-o", tmp_path / "out")
        found = load(tmp_path / "out").parameters
        assert all(found[key].tobytes() == expected[key].tobytes() for key in expected)
    torch.save({key: t.bfloat16() if t.is_floating_point() else t for key, t in tensors.items()}, tmp_path / "bf16.pth")
    convert(capsys, tmp_path / "bf16.pth", "-o", tmp_path / "out")
    name = "head.p3.box.weight"  # not folded: exactly the rounded values
    rounded = tensors["BboxHead.0.conv1x1.weight"].bfloat16().float().numpy()
    assert np.array_equal(load(tmp_path / "out").parameters[name], rounded)


def test_folding_agrees_with_the_formula(state: Dict[str, np.ndarray]) -> None:
    network = reading.from_torch(legacy_file(state))
    p = {name: value.astype(np.float64) for name, value in state.items()}
    scale = p["fpn.merge1.1.weight"] / np.sqrt(p["fpn.merge1.1.running_var"] + 1e-5)
    bias = p["fpn.merge1.1.bias"] - p["fpn.merge1.1.running_mean"] * scale
    folded = network.parameters
    np.testing.assert_allclose(
        folded["fpn.p3.merge.weight"], p["fpn.merge1.0.weight"] * scale.reshape(-1, 1, 1, 1), rtol=1e-14
    )
    np.testing.assert_allclose(folded["fpn.p3.merge.bias"], bias, rtol=1e-13)


def test_light_architecture_from_a_state_dict(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "in.pth").write_bytes(zip_file(random_state("mobilenet025_light")))
    message = fails(capsys, tmp_path / "in.pth", "-o", tmp_path / "out", "--architecture", "mobilenet025")
    assert "body.stage1.0.0.weight" in message and "nearest" in message
    convert(capsys, tmp_path / "in.pth", "-o", tmp_path / "out")
    weights = load(tmp_path / "out")
    assert (weights.architecture, weights.profile) == ("mobilenet025_light", "paper")
    assert weights.parameters["backbone.conv0.weight"].shape == (16, 3, 7, 7)


def _with(state: Dict[str, np.ndarray], **changes: Any) -> Dict[str, Any]:
    changed: Dict[str, Any] = dict(state)
    for key, value in changes.items():
        name = key.replace("__", ".")
        if value is None:
            del changed[name]
        else:
            changed[name] = value
    return changed


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"fpn__output1__0__weight": None}, ["missing", "fpn.output1.0.weight"]),
        ({"extra__weight": np.zeros(3, np.float32)}, ["unexpected", "extra.weight"]),
        (
            {"fpn__output1__0__weight": np.zeros((64, 32, 1, 1), np.float32)},
            ["fpn.output1.0.weight", "[64, 64, 1, 1]", "[64, 32, 1, 1]"],
        ),
        ({"fpn__output1__1__running_var": np.full(64, -1, np.float32)}, ["running_var", "at least 0", "-1"]),
        ({"fpn__output1__1__bias": np.full(64, np.nan, np.float32)}, ["fpn.output1.1.bias", "finite", "nan"]),
        (
            {"module__fpn__output1__1__bias": np.zeros(64, np.float32)},
            ["fpn.output1.1.bias", "with and without", "module."],
        ),
        ({"fpn__output1__1__bias": np.zeros(64, np.int64)}, ["fpn.output1.1.bias", "floating", "torch.LongStorage"]),
        ({"fpn__output1__1__bias": "text"}, ["fpn.output1.1.bias", "tensor", "str"]),
        ({"ClassHead__0__conv1x1__bias": np.full(4, 1e39, np.float64)}, ["head.p3.class.bias", "f32", "1e+39"]),
    ],
)
def test_wrong_state_dicts(
    tmp_path: Path, capsys: Any, state: Dict[str, np.ndarray], changes: Dict[str, Any], words: List[str]
) -> None:
    (tmp_path / "in.pth").write_bytes(legacy_file(_with(state, **changes)))
    message = fails(capsys, tmp_path / "in.pth", "-o", tmp_path / "out")
    assert all(word in message for word in words), message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("writer", [legacy_file, zip_file])
@pytest.mark.parametrize(
    "attack",
    [
        Invoke(Name("posix", "system"), ("touch {marker}",)),
        Invoke(Name("os", "system"), ("touch {marker}",)),
        Invoke(Name("builtins", "eval"), ("open('{marker}', 'w')",)),
        Invoke(Name("builtins", "getattr"), (Name("collections", "OrderedDict"), "__init__")),
        Invoke(Name("torch.hub", "load"), ("{marker}",)),
        # protocol 4: names from the stack
        b"\x8c\x02os\x8c\x06system\x93\x8c\x0etouch {marker}\x85R",
    ],
)
def test_nothing_is_executed(
    tmp_path: Path, capsys: Any, state: Dict[str, np.ndarray], writer: Any, attack: Any
) -> None:
    marker = tmp_path / "executed"

    def fill(value: Any) -> Any:
        if isinstance(value, bytes):
            command = f"touch {marker}".encode()
            return value.replace(b"\x8c\x0etouch {marker}", b"X" + struct.pack("<I", len(command)) + command)
        if isinstance(value, Invoke):
            return Invoke(
                value.function, tuple(a.format(marker=marker) if isinstance(a, str) else a for a in value.arguments)
            )
        return value

    for content in ({**state, "payload": fill(attack)}, {"state_dict": state, "payload": fill(attack)}):
        (tmp_path / "in.pth").write_bytes(writer(content))
        message = fails(capsys, tmp_path / "in.pth", "-o", tmp_path / "out")
        assert "nothing was executed" in message
        assert not marker.exists() and not (tmp_path / "out").exists()


def test_attributes_and_unknown_opcodes_are_refused(tmp_path: Path, capsys: Any) -> None:
    build = b"ccollections\nOrderedDict\n}X\x08\x00\x00\x00__init__Nsb"  # attributes for the class itself
    instance = b"(S'touch x'\nios\nsystem\n"  # INST of protocol 0
    extension = b"\x82\x01"  # EXT1
    for opcodes in (build, instance, extension):
        (tmp_path / "in.pth").write_bytes(legacy_file({"a": opcodes}))
        fails(capsys, tmp_path / "in.pth", "-o", tmp_path / "out")


def test_bombs_are_refused(tmp_path: Path, capsys: Any, state: Dict[str, np.ndarray]) -> None:
    # A tensor of 2^40 values over a storage of one, with strides of 0.
    data = legacy_file({**state, "fc.weight": np.zeros((1,), np.float32)})
    wide = data.replace(
        pickle_bytes((1,))[2:-1] * 2, pickle_bytes((1 << 20, 1 << 20))[2:-1] + pickle_bytes((0, 0))[2:-1]
    )
    assert wide != data
    (tmp_path / "in.pth").write_bytes(wide)
    assert "fc.weight" in fails(capsys, tmp_path / "in.pth", "-o", tmp_path / "out")
    # A compressed entry.
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bomb:
        bomb.writestr("archive/data.pkl", b"\0" * 10_000_000)
    (tmp_path / "in.pth").write_bytes(buffer.getvalue())
    assert "compressed" in fails(capsys, tmp_path / "in.pth", "-o", tmp_path / "out")


@pytest.mark.parametrize("kind", ["legacy", "zip", "params", "safetensors"])
def test_cut_and_damaged_files(tmp_path: Path, capsys: Any, state: Dict[str, np.ndarray], kind: str) -> None:
    arguments: Tuple[object, ...] = ()
    if kind == "params":
        model = MxnetModel()
        (tmp_path / "graph.json").write_bytes(model.symbol())
        data, arguments = model.params(), ("--symbol", tmp_path / "graph.json")
    elif kind == "safetensors":
        data = (DATA / "seeded_mobilenet025.safetensors").read_bytes()
    else:
        data = (legacy_file if kind == "legacy" else zip_file)(state)
    cuts = [1, 2, 7, 8, 9, 20, 100, 1000, 20_000, len(data) // 2, len(data) - 5000, len(data) - 1]
    for cut in cuts:
        (tmp_path / "in").write_bytes(data[:cut])
        fails(capsys, tmp_path / "in", "-o", tmp_path / "out", *arguments)
    # Single flipped bytes: an error of one line or a conversion, never anything else.
    random = np.random.RandomState(1)
    start = min(len(data), 30_000)
    for position in [*random.randint(0, start, 60), *random.randint(len(data) - 9000, len(data), 20)]:
        damaged = bytearray(data)
        damaged[position] ^= int(random.randint(1, 256))
        (tmp_path / "in").write_bytes(bytes(damaged))
        assert convert_weights.main([str(a) for a in (tmp_path / "in", "-o", tmp_path / "out", *arguments)]) in (0, 1)
        assert capsys.readouterr().err.count("\n") <= 1


def test_other_files_are_refused(tmp_path: Path, capsys: Any) -> None:
    for content in (b"", b"hello\n", b"\x89PNG\r\n\x1a\n" + bytes(40), bytes(4000), b"\xff" * 64):
        (tmp_path / "in").write_bytes(content)
        fails(capsys, tmp_path / "in", "-o", tmp_path / "out")
    fails(capsys, tmp_path / "absent", "-o", tmp_path / "out")
    fails(capsys, tmp_path, "-o", tmp_path / "out")
    fails(capsys, DATA / "seeded_mobilenet025.safetensors", "-o", tmp_path / "no" / "folder")


def test_usage_errors() -> None:
    for arguments in (
        [],
        ["a"],
        ["-o", "b"],
        ["a", "--seed", "1", "-o", "b"],
        ["a", "-o", "b", "--dtype", "f8"],
        ["--seed", "-1", "-o", "b"],
    ):
        with pytest.raises(SystemExit) as caught:
            convert_weights.main(arguments)
        assert caught.value.code == 2


def test_as_a_program(tmp_path: Path) -> None:
    source = DATA / "seeded_mobilenet025.safetensors"
    command = [sys.executable, str(TOOLS / "convert_weights.py"), str(source), "-o", str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0 and "head.p5.landmark.bias" in done.stdout
    assert re.search(r"input: +[0-9a-f]{64} .*\noutput: [0-9a-f]{64} ", done.stdout)
    assert (tmp_path / "out").read_bytes()[:300] == source.read_bytes()[:300]
    done = subprocess.run([*command[:2], str(tmp_path / "no"), *command[3:]], capture_output=True, text=True)
    assert done.returncode == 1 and "Traceback" not in done.stderr


def test_map(tmp_path: Path, capsys: Any, state: Dict[str, np.ndarray]) -> None:
    renamed = {("neck.a" if name == "fpn.output1.0.weight" else name): value for name, value in state.items()}
    (tmp_path / "in.pth").write_bytes(legacy_file(renamed))
    mapping = tmp_path / "map.json"
    mapping.write_text(json.dumps({"neck.a": "fpn.output1.0.weight"}))
    convert(capsys, tmp_path / "in.pth", "-o", tmp_path / "out", "--map", mapping)
    for wrong, words in (
        ({"neck.b": "fpn.output1.0.weight"}, "neck.b"),
        ({"neck.a": "fpn.output2.0.weight"}, "twice"),
        ([], "object of strings"),
    ):
        mapping.write_text(json.dumps(wrong))
        assert words in fails(capsys, tmp_path / "in.pth", "-o", tmp_path / "out", "--map", mapping)


# The weights file.


def test_half_precision(tmp_path: Path, capsys: Any) -> None:
    weights = seeded.make_seeded("mobilenet025", "biubug6", 5)
    single = tmp_path / "single"
    single.write_bytes(weights_file.dump(weights, "f32"))
    assert single.stat().st_size < 2_000_000
    half = tmp_path / "half"
    convert(capsys, single, "-o", half, "--dtype", "f16", "--version", "2", "--licence", "MIT", "--source", "here")
    found = load(half)
    assert (found.version, found.licence, found.source) == ("2", "MIT", "here")
    assert half.stat().st_size < 1_000_000
    for name, value in load(single).parameters.items():
        assert np.array_equal(found.parameters[name], value.astype(np.float16))
    convert(capsys, half, "-o", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == half.read_bytes()
    weights.parameters["fpn.p3.lateral.bias"][3] = 70_000
    with pytest.raises(ConversionError, match=r"fpn.p3.lateral.bias.*f16.*70000"):
        weights_file.dump(weights, "f16")


def test_self_test_is_of_the_stored_values() -> None:
    for dtype in ("f32", "f16"):
        data = weights_file.dump(seeded.make_seeded("mobilenet025_light", "paper", 3), dtype)
        content = archive.load(data)
        outputs = weights_file.load(data).forward(content.tensors["selftest.image"])
        for name, value in outputs.items():
            assert np.array_equal(content.tensors[f"selftest.{name}"], value.astype(np.float32))


def test_self_test_notices_a_changed_value() -> None:
    content = archive.load((DATA / "seeded_mobilenet025.safetensors").read_bytes())
    content.tensors["backbone.block7.pointwise.bias"] = content.tensors["backbone.block7.pointwise.bias"] + np.float16(
        0.25
    )
    with pytest.raises(ConversionError, match="self-test"):
        weights_file.load(archive.dump(content))


def _broken_archives() -> Dict[str, Tuple[bytes, str]]:
    """Name -> (file, words of the message)."""
    content = archive.load((DATA / "seeded_mobilenet025.safetensors").read_bytes())
    content.metadata["format"] = weights_file.UNHASHED_FORMAT  # or every change would be damage first of all
    data = archive.dump(content)
    length = int.from_bytes(data[:8], "little")
    header, body = json.loads(data[8 : 8 + length]), data[8 + length :]

    def build(text: bytes, rest: bytes = body) -> bytes:
        return len(text).to_bytes(8, "little") + text + rest

    def edited(name: str, **changes: Any) -> bytes:
        return build(json.dumps({**header, name: {**header[name], **changes}}).encode())

    def metadata(**changes: Any) -> bytes:
        values = {key: value for key, value in {**header["__metadata__"], **changes}.items() if value is not None}
        return build(json.dumps({**header, "__metadata__": values}).encode())

    first = "backbone.conv0.weight"
    text = json.dumps(header).encode()
    infinite = bytearray(body)
    infinite[0:2] = b"\x00\x7c"
    return {
        "length": ((1 << 62).to_bytes(8, "little") + b"{" + data[9:], "expected"),
        "long header": (((1 << 20) + 1).to_bytes(8, "little") + text, "expected"),
        "json": (build(text[:-1]), "JSON"),
        "deep json": (build(b'{"a":' + b"[" * 100_000), "JSON"),
        "twice": (build(text[:-1] + b',"' + first.encode() + b'":{}}'), "twice"),
        "dtype": (edited(first, dtype="F64"), "dtype"),
        "shape": (edited(first, shape=[8, 3, 9, 1]), "shape"),
        "size": (edited(first, shape=[8, 3, 3]), "bytes"),
        "negative": (edited(first, shape=[-8, -3, 3, 3]), "sizes"),
        "overlap": (edited("backbone.block1.depthwise.weight", data_offsets=[440, 584]), "overlap"),
        "offsets": (edited(first, data_offsets=[0]), "data_offsets"),
        "extra bytes": (build(text, body + b"\0"), "bytes of data"),
        "too short": (build(text, body[:-1]), "bytes of data"),
        "infinite": (build(text, bytes(infinite)), "finite"),
        "no version": (metadata(version=None), "version"),
        "format": (metadata(format="other"), "format"),
        "architecture": (metadata(architecture="resnet"), "architecture"),
        "profile": (metadata(profile="none"), "profile"),
        "number": (metadata(version=1), "strings"),
        "name": (build(text.replace(b"fpn.p3.merge.bias", b"fpn.p9.merge.bias")), "missing"),
        "self-test": (build(text.replace(b"selftest.box", b"selftest.cox")), "missing"),
        "self-test dtype": (build(text.replace(b"selftest.class", b"selftest.clazz")), "missing"),
    }


@pytest.mark.parametrize("name", sorted(_broken_archives()))
def test_broken_weights_files(tmp_path: Path, capsys: Any, name: str) -> None:
    data, words = _broken_archives()[name]
    (tmp_path / "in").write_bytes(data)
    assert words in fails(capsys, tmp_path / "in", "-o", tmp_path / "out")


def test_weights_file_as_input(tmp_path: Path, capsys: Any) -> None:
    source = DATA / "seeded_mobilenet025.safetensors"
    assert "expected mobilenet025_light" in fails(
        capsys, source, "-o", tmp_path / "out", "--architecture", "mobilenet025_light"
    )
    assert "profile changed" in convert(capsys, source, "-o", tmp_path / "out", "--profile", "insightface")
    changed = load(tmp_path / "out")
    assert changed.profile == "insightface"
    assert weights_file.make_self_test(changed)["selftest.class"].shape == (168, 2)  # padded to 64 x 64


def test_seeded_files_are_reproducible() -> None:
    for architecture, profile, seed in (("mobilenet025", "biubug6", 1), ("mobilenet025_light", "paper", 2)):
        made = seeded.make_seeded(architecture, profile, seed).rounded("f16").parameters
        stored = load(DATA / f"seeded_{architecture}.safetensors").parameters
        assert all(np.array_equal(made[name], stored[name]) for name in stored)


# The numbers.


@pytest.mark.parametrize("architecture, profile", NETWORKS)
def test_forward_equals_pytorch_goldens(architecture: str, profile: str) -> None:
    golden = archive.load((DATA / f"golden_{architecture}_{profile}.safetensors").read_bytes()).tensors
    weights = seeded_weights(architecture, profile)
    for size in {name.split(".")[0] for name in golden}:
        expected = {kind: golden[f"{size}.{kind}"] for kind in ("class", "box", "landmark")}
        assert largest_difference(weights.forward(golden[f"{size}.image"]), expected) < 2e-6


@pytest.mark.parametrize("architecture, profile", NETWORKS)
def test_goldens_are_what_the_script_makes(tmp_path: Path, architecture: str, profile: str) -> None:
    pytest.importorskip("torch")
    command = [sys.executable, TOOLS / "seeded_golden.py", DATA / f"seeded_{architecture}.safetensors"]
    subprocess.run([*command, "--profile", profile, "-o", tmp_path / "out"], check=True, stdout=subprocess.DEVNULL)
    found = archive.load((tmp_path / "out").read_bytes())
    stored = archive.load((DATA / f"golden_{architecture}_{profile}.safetensors").read_bytes())
    assert found.metadata == stored.metadata
    assert largest_difference(found.tensors, stored.tensors) < 2e-6


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _read_png(path: Path) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.array(image.open(path).convert("RGB"))


@needs_shared
def test_official_biubug6_network(tmp_path: Path, capsys: Any) -> None:
    convert(capsys, SHARED / "weights" / "biubug6_mobilenet0.25_Final.pth", "-o", tmp_path / "out")
    golden = np.load(SHARED / "golden" / "biubug6" / "tiny.npz")
    outputs = load(tmp_path / "out").forward(_read_png(SHARED / "golden" / "biubug6" / "tiny.png"))
    assert np.abs(outputs["box"] - golden["loc"]).max() < 1e-4
    assert np.abs(outputs["landmark"] - golden["landms"]).max() < 1e-4
    assert np.abs(_softmax(outputs["class"]) - golden["conf"]).max() < 2e-5


@needs_shared
def test_other_biubug6_network(tmp_path: Path, capsys: Any) -> None:
    convert(capsys, SHARED / "weights" / "m2man_mobilenet0.25_Final.pth", "-o", tmp_path / "out")
    message = fails(capsys, SHARED / "weights" / "mobilenetV1X0.25_pretrain.tar", "-o", tmp_path / "out")
    assert "missing" in message  # a backbone alone


@needs_shared
def test_official_insightface_network(tmp_path: Path, capsys: Any) -> None:
    convert(capsys, SHARED / "weights" / "insightface_mnet.25-0000.params", "-o", tmp_path / "out")
    weights = load(tmp_path / "out")
    assert weights.profile == "insightface"
    outputs = weights.forward(_read_png(SHARED / "golden" / "biubug6" / "tiny.png"))
    golden = np.load(SHARED / "golden" / "insightface" / "tiny.npz")
    rows: Dict[str, List[np.ndarray]] = {"class": [], "box": [], "landmark": []}
    for stride in (8, 16, 32):
        scores = golden[f"face_rpn_cls_prob_reshape_stride{stride}"]  # background large, small, face large, small
        rows["class"].append(scores.reshape(2, 2, *scores.shape[1:])[:, ::-1].transpose(2, 3, 1, 0).reshape(-1, 2))
        for kind, name, values in (("box", "bbox", 4), ("landmark", "landmark", 10)):
            maps = golden[f"face_rpn_{name}_pred_stride{stride}"]  # large, small
            rows[kind].append(maps.reshape(2, values, *maps.shape[1:])[::-1].transpose(2, 3, 0, 1).reshape(-1, values))
    expected = {kind: np.concatenate(parts) for kind, parts in rows.items()}
    assert largest_difference({**outputs, "class": _softmax(outputs["class"])}, expected) < 1e-4


# MXNet graphs.


def convert_model(model: MxnetModel) -> reading.Network:
    return reading.from_mxnet(model.params(), model.symbol())


def test_mxnet_network_by_its_graph(tmp_path: Path, capsys: Any) -> None:
    model = MxnetModel()
    (tmp_path / "x-0012.params").write_bytes(model.params())
    assert "x-symbol.json" in fails(capsys, tmp_path / "x-0012.params", "-o", tmp_path / "out")
    (tmp_path / "x-symbol.json").write_bytes(model.symbol())
    assert "agrees with mobilenet025" in convert(capsys, tmp_path / "x-0012.params", "-o", tmp_path / "out")
    weights = load(tmp_path / "out")
    conv = model.find("context.p4.conv7_3", "Convolution")
    norm = model.find("context.p4.conv7_3", "BatchNorm")
    weight, bias = (model.parameters[model.nodes[conv["inputs"][i][0]]["name"]].astype(np.float64) for i in (1, 2))
    gamma, beta, mean, variance = (
        model.parameters[model.nodes[i[0]]["name"].lower()].astype(np.float64) for i in norm["inputs"][1:]
    )
    scale = gamma / np.sqrt(variance + 2e-5)
    np.testing.assert_allclose(
        weights.parameters["context.p4.conv7_3.weight"], weight * scale.reshape(-1, 1, 1, 1), rtol=1e-6
    )
    np.testing.assert_allclose(
        weights.parameters["context.p4.conv7_3.bias"], (bias - mean) * scale + beta, rtol=1e-5, atol=1e-7
    )
    head = model.find("head.p3.class", "Convolution")
    origin = model.parameters[model.nodes[head["inputs"][1][0]]["name"]]
    # Rows there: background large, background small, face large, face small.
    assert np.array_equal(weights.parameters["head.p3.class.weight"], origin[[1, 3, 0, 2]])


def test_mxnet_fixed_gamma_is_one() -> None:
    model = MxnetModel()
    norm = model.find("backbone.conv0", "BatchNorm")
    norm["attrs"]["fix_gamma"] = "True"
    free = convert_model(model).parameters["backbone.conv0.weight"]
    model.parameters[model.nodes[norm["inputs"][1][0]]["name"]][:] = 1
    norm["attrs"]["fix_gamma"] = "False"
    assert np.array_equal(free, convert_model(model).parameters["backbone.conv0.weight"])


def _swap(items: List[Any], first: int, second: int) -> None:
    items[first], items[second] = items[second], items[first]


@pytest.mark.parametrize(
    "tamper, words",
    [
        (lambda m: m.find("backbone.conv0", "Convolution")["attrs"].update(kernel="(5, 5)"), "kernel"),
        (lambda m: m.find("backbone.block4.depthwise", "Convolution")["attrs"].update(stride="(1, 1)"), "stride"),
        (lambda m: m.find("fpn.p3.merge", "Convolution")["attrs"].update(pad="(0, 0)"), "pad"),
        (lambda m: m.find("backbone.block3.depthwise", "Convolution")["attrs"].update(num_group="1"), "num_group"),
        (lambda m: m.find("fpn.p3.merge", "Convolution")["attrs"].update(dilate="(2, 2)"), "dilate"),
        (lambda m: m.find("fpn.p3.merge", "Convolution")["attrs"].update(no_bias="True"), "inputs"),
        (lambda m: m.find("fpn.p3.merge", "BatchNorm")["attrs"].update(axis="3"), "axis"),
        (lambda m: m.find("fpn.p3.merge", "BatchNorm")["attrs"].update(eps="-1"), "eps"),
        (lambda m: m.find("fpn.p3.merge", "Activation")["attrs"].update(act_type="tanh"), "act_type"),
        (lambda m: _swap(m.find("context.p3", "Concat")["inputs"], 1, 2), "expected"),
        (lambda m: _swap(m.find("context.p3", "Concat")["inputs"], 0, 1), "expected"),
        (lambda m: m.find("context.p3", "Concat")["attrs"].update(dim="2"), "dim"),
        (lambda m: m.rewire(m.find("fpn.p3.lateral", "Convolution"), 0, "backbone.block4.pointwise"), "expected"),
        (lambda m: m.rewire(m.crop_in("fpn.p4.sum"), 1, "fpn.p3.lateral"), "crop"),
        (lambda m: m.crop_in("fpn.p4.sum")["attrs"].update(center_crop="True"), "center_crop"),
        (lambda m: m.nodes[m.places["fpn.p4.sum"]].update(op="elemwise_mul"), "elemwise_mul"),
        (lambda m: _swap(m.heads, 0, 3), "expected"),
        (lambda m: _swap(m.heads, 1, 2), "num_filter"),
        (lambda m: m.heads.pop(), "outputs"),
        (lambda m: m.nodes.append({"op": "null", "name": "left over", "inputs": []}), "left over"),
        (lambda m: m.nodes[5].update(inputs=[[9, 0, 0]]), "inputs"),
        (lambda m: m.nodes[5].update(inputs=3), "inputs"),
        (lambda m: m.nodes[5].pop("op"), "op and name"),
        (lambda m: m.parameters.update(other=np.zeros(3, np.float32)), "other"),
        (lambda m: m.parameters.pop("n1"), "n1"),
        (lambda m: m.parameters.update(n1=np.zeros((8, 3, 3, 4), np.float32)), "[8, 3, 3, 4]"),
    ],
)  # fmt: skip
def test_mxnet_graphs_of_other_networks(tamper: Any, words: str) -> None:
    model = MxnetModel()
    tamper(model)
    with pytest.raises(ConversionError) as caught:
        convert_model(model)
    assert words in str(caught.value)


def test_head_permutation_is_one() -> None:
    for head, channels in (("class", 4), ("box", 8), ("landmark", 20)):
        assert sorted(graph.head_order(head)) == list(range(channels))


# Other engines.


@pytest.mark.parametrize("architecture, profile", NETWORKS)
def test_onnx(tmp_path: Path, capsys: Any, architecture: str, profile: str) -> None:
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1
    weights = seeded_weights(architecture, profile)
    source = DATA / f"seeded_{architecture}.safetensors"
    convert(capsys, source, "--profile", profile, "--onnx", tmp_path / "rows.onnx")
    convert(capsys, source, "--profile", profile, "--onnx", tmp_path / "maps.onnx", "--onnx-maps")
    rows = runtime.InferenceSession(str(tmp_path / "rows.onnx"), options, providers=["CPUExecutionProvider"])
    maps = runtime.InferenceSession(str(tmp_path / "maps.onnx"), options, providers=["CPUExecutionProvider"])
    for width, height in ((1, 1), (64, 48), (131, 75), (97, 129)):
        image = random_image(width, height)
        feed = {"image": prepare_input(image, PROFILES[profile]).astype(np.float32)[None]}
        expected = weights.forward(image)
        found = {node.name: value[0] for node, value in zip(rows.get_outputs(), rows.run(None, feed))}
        assert largest_difference(found, expected) < 1e-4
        nine = {node.name: value[0] for node, value in zip(maps.get_outputs(), maps.run(None, feed))}
        assert largest_difference(gather_heads(nine), expected) < 1e-4


def test_onnx_is_asked_for_by_name(tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "pip install onnx" in fails(capsys, DATA / "seeded_mobilenet025.safetensors", "--onnx", tmp_path / "out")


@pytest.mark.parametrize("architecture, profile", NETWORKS)
def test_ncnn(tmp_path: Path, capsys: Any, architecture: str, profile: str) -> None:
    ncnn = pytest.importorskip("ncnn")
    weights = seeded_weights(architecture, profile)
    convert(capsys, DATA / f"seeded_{architecture}.safetensors", "--profile", profile, "--ncnn", tmp_path / "net")
    net = ncnn.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = net.opt.use_bf16_storage = False
    assert net.load_param(str(tmp_path / "net.param")) == 0 and net.load_model(str(tmp_path / "net.bin")) == 0
    names = [f"head.p{level}.{head}" for level in LEVELS for head in ("class", "box", "landmark")]
    for width, height in ((1, 1), (64, 48), (131, 75), (97, 129)):
        image = random_image(width, height)
        blob = np.ascontiguousarray(prepare_input(image, PROFILES[profile]).astype(np.float32))
        extractor = net.create_extractor()
        extractor.input("image", ncnn.Mat(blob).clone())
        values = {name: np.array(extractor.extract(name)[1]) for name in names}
        assert largest_difference(gather_heads(values), weights.forward(image)) < 1e-4


def test_mesh_head(tmp_path: Path, capsys: Any) -> None:
    """A file may have one, whole; it is kept, and the outputs are those without it."""
    plain = seeded.make_seeded("mobilenet025", "biubug6", 1)
    whole = seeded.make_seeded("mobilenet025", "biubug6", 1)
    for name, shape in mesh_head_shapes("mobilenet025").items():
        whole.parameters[name] = np.full(shape, 0.25, np.float32)
    assert len(whole.parameters) == len(plain.parameters) + 6
    (tmp_path / "head").write_bytes(weights_file.dump(whole, "f32"))
    convert(capsys, tmp_path / "head", "-o", tmp_path / "again", "--dtype", "f16")
    again = load(tmp_path / "again")
    assert again.parameters["head.p5.mesh.weight"].shape == (54, 64, 1, 1) and again.parameters["head.p5.mesh.bias"][53] == 0.25
    image = random_image(40, 30)
    outputs = whole.forward(image)
    assert outputs.pop("mesh").shape == (3, 54)
    assert largest_difference(outputs, plain.forward(image)) == 0

    # Its self-test: of weights that are not those it was made with, and of a file of before, which has none of the head.
    content = archive.load((tmp_path / "head").read_bytes())
    assert content.tensors["selftest.mesh.3"].shape == (3, 54)
    content.tensors["head.p4.mesh.bias"] = content.tensors["head.p4.mesh.bias"] + np.float32(0.125)
    with pytest.raises(ConversionError, match="selftest.mesh"):
        weights_file.load(archive.dump(content))
    headless = {name: t for name, t in content.tensors.items() if ".mesh." not in name or name.startswith("selftest")}
    with pytest.raises(ConversionError, match="a self-test has no 'selftest.mesh'"):
        weights_file.load(archive.dump(archive.Archive(content.metadata, headless)))
    for name in ("selftest.mesh", "selftest.mesh.2", "selftest.mesh.3"):
        del content.tensors[name]
    weights_file.load(archive.dump(content))

    del whole.parameters["head.p4.mesh.bias"]
    with pytest.raises(ConversionError, match="head.p4.mesh.bias"):
        weights_file.dump(whole, "f32")
    assert list(mesh_head_shapes("resnet152_deformable").values())[0] == (54, 256, 1, 1)


# The C++ header.


def decode_header(text: str) -> Tuple[str, bytes]:
    """The name and the bytes that a header defines; the size it states is checked."""
    pieces = re.findall(r'^    "(.*)";?$', text, re.M)
    name, size = re.search(r"EmbeddedFile (\w+)\{detail::\w+_bytes, (\d+)\}", text).groups()
    data = b"".join(codecs.escape_decode(piece.encode("ascii"))[0] for piece in pieces)
    assert len(data) == int(size) and not any(mark in piece for piece in pieces for mark in '"?')
    return name, data


def test_header(tmp_path: Path, capsys: Any) -> None:
    source = tmp_path / "single"
    source.write_bytes(weights_file.dump(seeded.make_seeded("mobilenet025", "biubug6", 1), "f32"))
    convert(capsys, source, "--emit-hpp", tmp_path / "my-net.hpp", "-o", tmp_path / "same", "--licence", "a\\\nb")
    name, data = decode_header((tmp_path / "my-net.hpp").read_text())
    assert name == "my_net"
    assert {t.dtype.name for n, t in archive.load(data).tensors.items() if "selftest" not in n} == {"float16"}
    assert load(tmp_path / "same").parameters["backbone.conv0.bias"].dtype == np.float32
    convert(capsys, source, "--emit-hpp", tmp_path / "x.hpp", "--symbol-name", "other", "--dtype", "f32")
    name, data = decode_header((tmp_path / "x.hpp").read_text())
    assert name == "other" and data == source.read_bytes()
    for wrong in ("1a", "a-b", "class", "a__b", "a;b"):
        assert "identifier" in fails(capsys, source, "--emit-hpp", tmp_path / "x.hpp", "--symbol-name", wrong)


@pytest.mark.parametrize("compiler", ["g++", "clang++", "clang++-14"])
def test_header_compiles(tmp_path: Path, capsys: Any, compiler: str) -> None:
    if shutil.which(compiler) is None:
        pytest.skip(f"{compiler} is not installed")
    convert(capsys, DATA / "seeded_mobilenet025.safetensors", "--emit-hpp", tmp_path / "net.hpp")
    stub = tmp_path / "retinaface" / "weights"
    stub.mkdir(parents=True)
    (stub / "embedded.hpp").write_text(
        "#pragma once\n#include <cstddef>\nnamespace retinaface::embedded {\n"
        "struct EmbeddedFile { const char* bytes; std::size_t size; };\n}\n"
    )
    (tmp_path / "main.cpp").write_text(
        '#include "net.hpp"\n#include <cstdio>\nint main() {\n'
        "    std::fwrite(retinaface::embedded::net.bytes, 1, retinaface::embedded::net.size, stdout);\n}\n"
    )
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-I", str(tmp_path)]
    subprocess.run([compiler, *flags, str(tmp_path / "main.cpp"), "-o", str(tmp_path / "main")], check=True)
    printed = subprocess.run([str(tmp_path / "main")], check=True, capture_output=True).stdout
    assert printed == (DATA / "seeded_mobilenet025.safetensors").read_bytes()


def test_header_bytes() -> None:
    data = bytes(range(256)) + bytes(itertools.chain.from_iterable((a, b) for a in (0, 7, 8, 63, 255) for b in b'0789"\\?a\x00'))
    text = header_export.export(data, "net", {"format": "x"}, hashlib.sha256(data).hexdigest())
    assert decode_header(text) == ("net", data)
    assert header_export.read(text) == data
    with pytest.raises(ConversionError, match="first lines"):
        header_export.read(text.replace("abc", "abd", 1))


# The code itself.


def test_layers_are_computable_in_order() -> None:
    for architecture, profile in NETWORKS:
        layers = build_network(architecture, profile)
        weights = seeded_weights(architecture, profile)
        values = run_layers(layers, weights.parameters, np.zeros((3, 5, 9)))
        assert list(values)[1:] == [layer.name for layer in layers]
        assert len(convolutions(layers)) == len(weights.parameters) // 2


def test_python_39_can_read_the_sources() -> None:
    for path in [*TOOLS.glob("*.py"), *(TOOLS / "retinaface_weights").glob("*.py")]:
        ast.parse(path.read_text(), feature_version=(3, 9))


def test_damage_is_noticed() -> None:
    data = (DATA / "seeded_mobilenet025.safetensors").read_bytes()
    length = int.from_bytes(data[:8], "little")
    rng = np.random.default_rng(1)
    positions = [*range(8, 8 + 160), *rng.integers(8, 8 + length, 100), *rng.integers(8 + length, len(data), 100)]
    for position in positions:
        changed = bytearray(data)
        changed[position] ^= 1 << int(rng.integers(8))
        with pytest.raises(ConversionError, match="damaged"):
            weights_file.load(bytes(changed))


def test_files_without_a_hash_are_read() -> None:
    content = archive.load((DATA / "seeded_mobilenet025.safetensors").read_bytes())
    content.metadata["format"] = weights_file.UNHASHED_FORMAT
    old = archive.dump(content)
    assert b'"hash"' not in old
    hashed = weights_file.dump(weights_file.load(old), "f16")
    assert hashed == (DATA / "seeded_mobilenet025.safetensors").read_bytes()
