"""The landmark refiner's training: its alignment, its augmentation, and a short run whose file is the network that was trained."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools" / "mesh")]
torch = pytest.importorskip("torch")
import refiner  # noqa: E402
import train_refiner  # noqa: E402
from PIL import Image  # noqa: E402
from retinaface_weights import archive  # noqa: E402


def turned(points: np.ndarray, angle: float, scale: float, shift: tuple) -> np.ndarray:
    return points @ (scale * np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])) + shift


def test_alignment_undoes_a_similarity() -> None:
    five = turned(refiner.TEMPLATE, 0.3, 2.5, (40, 70))
    assert refiner.moved(refiner.align(five), five) == pytest.approx(refiner.TEMPLATE)
    assert refiner.moved(refiner.align(five, refiner.STORED), five) == pytest.approx(refiner.TEMPLATE + 24)
    in_torch = train_refiner.alignments(torch.from_numpy(five).float()[None])
    assert in_torch[0].numpy() == pytest.approx(refiner.align(five), abs=1e-4)


def test_crops_and_points_move_together() -> None:
    """A dot in a picture is where its point is: in the stored crop, and in what training sees of it."""
    pixels = np.zeros((120, 140, 3), np.uint8)
    pixels[42:46, 60:64] = 255
    five = turned(refiner.TEMPLATE, -0.2, 0.9, (20, 0))
    to_crop = refiner.align(five, refiner.STORED)
    crop = refiner.warp(Image.fromarray(pixels), to_crop, refiner.STORED)
    rows, columns = np.mgrid[: refiner.STORED, : refiner.STORED] + 0.5

    def centre(image: np.ndarray) -> tuple:
        n = len(image)
        return (image * columns[:n, :n]).sum() / image.sum(), (image * rows[:n, :n]).sum() / image.sum()

    middle = np.array([[62.0, 44.0]])
    assert centre(crop[:, :, 0].astype(float)) == pytest.approx(refiner.moved(to_crop, middle)[0], abs=0.3)
    transform = train_refiner.alignments(torch.from_numpy(turned(refiner.TEMPLATE, 0.1, 1.1, (20, 18))).float()[None])
    seen = train_refiner.sample(torch.from_numpy(crop.copy()).permute(2, 0, 1)[None].float(), transform)[0, 0].numpy()
    expected = train_refiner.place(transform, torch.from_numpy(refiner.moved(to_crop, middle)).float()[None])[0, 0]
    assert centre(seen.astype(float)) == pytest.approx(expected.numpy(), abs=0.3)


def test_mirroring_is_its_own_inverse() -> None:
    assert (train_refiner.MIRRORED[train_refiner.MIRRORED] == np.arange(68)).all()
    for pair in ((0, 16), (36, 45), (39, 42), (48, 54), (31, 35), (17, 26), (60, 64), (8, 8), (30, 30)):
        assert train_refiner.MIRRORED[pair[0]] == pair[1]


def by_file(tensors: dict, x: torch.Tensor) -> torch.Tensor:
    """The network as the library reads its file."""
    def values(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(tensors[name], np.float64))

    for name, kind, c_in, _, stride in refiner.LAYERS:
        if kind == "stem":
            x = torch.relu(torch.conv2d(x, values(f"{name}.weight"), values(f"{name}.bias"), stride, 1))
            continue
        x = torch.relu(torch.conv2d(x, values(f"{name}.depthwise.weight"), values(f"{name}.depthwise.bias"), stride, 1, groups=c_in))
        x = torch.relu(torch.conv2d(x, values(f"{name}.pointwise.weight"), values(f"{name}.pointwise.bias")))
    return x.permute(0, 2, 3, 1).reshape(len(x), -1) @ values("fc.weight").t() + values("fc.bias")


def test_folding() -> None:
    torch.manual_seed(2)
    network = train_refiner.Network()
    torch.nn.init.normal_(network.fc.weight, std=0.5)
    x = 100 * torch.randn(6, 3, refiner.SIDE, refiner.SIDE)
    network(x)  # statistics of its own
    with torch.no_grad():
        expected = network.eval()(x)
    found = by_file(train_refiner.folded(network), x.double())
    assert expected.abs().max() > 0.1
    assert found.numpy() == pytest.approx(expected.double().numpy(), abs=1e-4 * float(expected.abs().max()))


def test_short_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    random = np.random.default_rng(1)
    n = 24
    shape = random.uniform(40, 120, (68, 2))
    five = np.tile(refiner.TEMPLATE + 24, (n, 1, 1)).astype(np.float32)
    np.savez(tmp_path / "faces.npz", crops=random.integers(0, 255, (n, refiner.STORED, refiner.STORED, 3), np.uint8),
             points=np.tile(shape, (n, 1, 1)).astype(np.float32), five=five)
    monkeypatch.setattr(sys, "argv", ["train_refiner.py", str(tmp_path / "faces.npz"), "--out", str(tmp_path / "r.safetensors"),
                                      "--steps", "3", "--batch", "6"])
    train_refiner.main()
    assert "kept out: 68" in capsys.readouterr().out
    content = archive.load((tmp_path / "r.safetensors").read_bytes())
    assert content.metadata["format"] == "retinaface-refiner-2" and content.metadata["architecture"] == "landmarks68"
    assert content.tensors["mean"].shape == (68, 2) and content.tensors["fc.weight"].shape == (136, 392)
    assert len(content.tensors) == 2 + 4 * (len(refiner.LAYERS) - 1) + 2 + 1
