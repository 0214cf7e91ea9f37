"""examples/arcface from end to end: align, embed with a small ONNX network of random weights, verify."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import ASTRONAUT, ROOT, TRIMMED, command
from PIL import Image, ImageEnhance


def write_network(path: Path) -> None:
    """Averages of blocks of 16 x 16 pixels, less their mean, times a random matrix: enough to tell pictures apart."""
    onnx = pytest.importorskip("onnx")
    helper, dice = onnx.helper, np.random.default_rng(1)
    matrix = dice.normal(size=(3 * 7 * 7, 64)).astype(np.float32)
    nodes = [
        helper.make_node("AveragePool", ["x"], ["small"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("Flatten", ["small"], ["flat"]),
        helper.make_node("ReduceMean", ["flat"], ["mean"], axes=[1], keepdims=1),
        helper.make_node("Sub", ["flat", "mean"], ["centred"]),
        helper.make_node("MatMul", ["centred", "matrix"], ["embedding"]),
    ]
    value = helper.make_tensor_value_info
    graph = helper.make_graph(nodes, "random", [value("x", onnx.TensorProto.FLOAT, ["n", 3, 112, 112])],
                              [value("embedding", onnx.TensorProto.FLOAT, ["n", 64])], [onnx.numpy_helper.from_array(matrix, "matrix")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)


@pytest.mark.skipif(TRIMMED, reason="real faces take too long here")
def test_circle(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    tool = command("RETINAFACE_CLI", "bin/retinaface")
    write_network(tmp_path / "network.onnx")
    photograph = Image.open(ASTRONAUT).convert("RGB")
    (tmp_path / "pictures").mkdir()
    dice, pairs = np.random.default_rng(2), []
    # A "person" is the photograph in colours of its own.
    for person in range(6):
        coloured = np.asarray(photograph) * dice.uniform(0.3, 1, 3)
        for shot in range(2):
            picture = Image.fromarray(coloured.astype(np.uint8)).resize((380 + 60 * shot,) * 2)
            ImageEnhance.Brightness(picture).enhance(1 + 0.1 * shot).save(tmp_path / "pictures" / f"{person}_{shot}.jpg", quality=90)
        pairs += [f"{person}_0 {person}_1 1", f"{person}_0 {(person + 1) % 6}_1 0"]
    Image.new("RGB", (200, 200)).save(tmp_path / "pictures" / "nobody.png")
    (tmp_path / "pairs.txt").write_text("\n".join(pairs) + "\n")

    subprocess.run([*tool, "align", "--max-faces", "1", "--out", tmp_path / "crops", "--json", tmp_path / "crops.jsonl", tmp_path / "pictures"], check=True)
    done = subprocess.run([sys.executable, ROOT / "examples" / "arcface" / "embed.py", "--model", tmp_path / "network.onnx", "--crops",
                           tmp_path / "crops.jsonl", "--out", tmp_path / "faces", "--batch", "5"], stdout=subprocess.PIPE, check=True, text=True)
    assert done.stdout.strip() == "13 pictures, 1 without a face, embeddings of 64 numbers"
    assert np.load(tmp_path / "faces.npy").shape == (13, 2, 64)
    done = subprocess.run([*tool, "evaluate", "verify", "--pairs", tmp_path / "pairs.txt", "--folds", "3", "--embeddings", tmp_path / "faces.npy",
                           "--names", tmp_path / "faces.txt", "--json", "-"], stdout=subprocess.PIPE, check=True)
    figures = {(row["figure"], row["faces"]): row["value"] for row in json.loads(done.stdout)["figures"]}
    assert figures["area under ROC", "all"] > 0.9
