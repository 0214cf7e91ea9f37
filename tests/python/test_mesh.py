"""The mesh decoder and the rasteriser through ctypes: decoded against PyTorch's sparse algebra, files broken in every way refused.

ctest sets RETINAFACE_MESH_LIBRARY; by hand: RETINAFACE_MESH_LIBRARY=build/release/lib/retinaface_mesh_python.so pytest tests/python/test_mesh.py
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "tools" / "mesh")]
torch = pytest.importorskip("torch")
import seeded  # noqa: E402
from decoder import chebyshev  # noqa: E402
from hierarchy import Csr  # noqa: E402
from raster import Library, MeshError  # noqa: E402
from retinaface_weights import archive  # noqa: E402

LIBRARY = os.environ.get("RETINAFACE_MESH_LIBRARY", str(ROOT / "build" / "release" / "lib" / "retinaface_mesh_python.so"))
ASTRONAUT = [[202.6, 101.2], [247.8, 102.3], [223.8, 129.1], [202.6, 140.3], [245.6, 141.2]]
"""Five points of the face in the sample picture."""
pytestmark = pytest.mark.skipif(not Path(LIBRARY).exists(), reason=f"{LIBRARY} is not built")


def decode_by_torch(data: bytes, latents: np.ndarray) -> np.ndarray:
    """The layer list written out, from the file alone, in double precision."""
    tensors = archive.load(data).tensors

    def values(name: str) -> torch.Tensor:
        return torch.from_numpy(np.array(tensors[name], np.float64))

    def csr(name: str, columns: int):
        counts = np.array(tensors[f"{name}.counts"], np.int64)
        indices = np.ascontiguousarray(tensors[f"{name}.indices"]).view("<u2")[:, 0].astype(np.int64)
        starts = torch.from_numpy(np.concatenate([[0], np.cumsum(counts)]))
        matrix = torch.sparse_csr_tensor(starts, torch.from_numpy(indices), values(f"{name}.values"), (len(counts), columns))

        def multiply(x: torch.Tensor) -> torch.Tensor:
            return (matrix @ x.reshape(x.shape[0], -1)).reshape(-1, *x.shape[1:])

        return len(counts), multiply

    fc = values("fc.weight")
    x = torch.einsum("nfl,bl->nbf", fc, torch.from_numpy(latents.astype(np.float64))) + values("fc.bias")[:, None]

    def weights(name: str, features: int) -> torch.Tensor:
        stored = values(name)
        return stored.reshape(features, -1, stored.shape[1]).permute(1, 0, 2)

    level = 0
    laplacian = None
    while f"level{level}.weight" in tensors:
        rows, upsample = csr(f"level{level}.upsample", x.shape[0])
        _, laplacian = csr(f"level{level}.laplacian", rows)
        x = upsample(x)
        x = torch.relu(chebyshev(laplacian, x, weights(f"level{level}.weight", x.shape[2])) + values(f"level{level}.bias"))
        level += 1
    out = chebyshev(laplacian, x, weights("last.weight", x.shape[2])) + values("mean")[:, None]
    return out.permute(1, 0, 2).numpy()


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(Path(LIBRARY))


def test_shipped_decoder_is_torchs(library: Library) -> None:
    data = seeded.shipped_file()
    latents = np.random.default_rng(0).standard_normal((3, 128)).astype(np.float32)
    found, expected = library.decode(data, latents), decode_by_torch(data, latents)
    assert found.shape == (3, 9409, 6)
    # Its ReLUs are held open by 16.
    assert np.abs(found - expected).max() < 1e-5 * (16 + np.abs(expected).max())


@pytest.mark.parametrize("filters,terms", [("16,16", 6), ("16,32,32,64", 3), ("5,9", 1)])
def test_seeded_decoders_are_torchs(library: Library, tmp_path: Path, filters: str, terms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "seeded.safetensors"
    monkeypatch.setattr(sys, "argv", ["seeded.py", "--out", str(out), "--vertices", "700", "--filters", filters, "--terms", str(terms)])
    # A piece of the shipped mesh: decimating all of it takes seconds.
    vertices, triangles = seeded.shipped_mesh()
    piece = (triangles < 1200).all(1)
    monkeypatch.setattr(seeded, "shipped_mesh", lambda: (vertices[:1200], triangles[piece]))
    seeded.main()
    latents = np.random.default_rng(1).standard_normal((9, 128)).astype(np.float32)
    found, expected = library.decode(out.read_bytes(), latents), decode_by_torch(out.read_bytes(), latents)
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max()


def broken(change) -> bytes:
    file = archive.load(seeded.shipped_file())
    tensors = {name: np.array(value) for name, value in file.tensors.items()}
    change(tensors)
    return archive.dump(archive.Archive(file.metadata, tensors))


@pytest.mark.parametrize(
    "change,message",
    [
        (lambda t: t.pop("fc.bias"), "tensor 'fc.bias': expected shape [511, 6], found none"),
        (lambda t: t["triangles"].__setitem__((5, 1), (255, 255)), "tensor 'triangles': expected indices below 9409, found 65535"),
        (lambda t: t["level1.laplacian.indices"].__setitem__(7, (255, 255)), "expected indices below 9409, found 65535"),
        (lambda t: t["level0.upsample.counts"].__setitem__(3, 4), "tensor 'level0.upsample.indices': expected shape"),
        (lambda t: t.update(extra=np.zeros(3, np.float32)), "tensor 'extra' does not belong to a mesh decoder"),
        (lambda t: t.update({"last.weight": np.zeros((95, 6), np.float16)}), "tensor 'last.weight': expected 16 x K rows"),
        (lambda t: t["mean"].__setitem__((3, 3), np.inf), "tensor 'mean': value 21 is not finite"),
    ],
)
def test_broken_files_are_refused(library: Library, change, message: str) -> None:
    with pytest.raises(MeshError) as error:
        library.decode(broken(change), np.zeros((1, 128), np.float32))
    assert message in str(error.value)


def test_render(library: Library) -> None:
    vertices = np.array([[-1, -1, 0], [1, -1, 0], [0, 1, 0]], np.float32)
    camera = [0, 0, 4, 0, 0, 0, 40]
    drawn = library.render(vertices, np.array([[0, 1, 2]]), camera, 32, 24)
    assert drawn.mask.sum() == np.isfinite(drawn.depth).sum() > 100
    assert np.allclose(drawn.depth[drawn.mask == 1], 4, atol=1e-5)
    assert np.allclose(drawn.normals[drawn.mask == 1], [0, 0, 1])
    with pytest.raises(MeshError, match="expected indices below 3, found 7"):
        library.render(vertices, np.array([[0, 1, 7]]), camera, 32, 24)


def test_mesh_head_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    """A short run on one face, whose landmarks are all moved: the head learns the shift, and the file is a detector's still."""
    import refiner
    import train_mesh_head
    from PIL import Image
    from retinaface_weights import weights_file

    shipped = ROOT / "weights" / "retinaface_mobilenet025.safetensors"
    to_crop = refiner.align(np.array(ASTRONAUT), refiner.STORED)
    crop = refiner.warp(Image.open(ROOT / "examples" / "images" / "astronaut.png").convert("RGB"), to_crop, refiner.STORED)
    five = refiner.moved(to_crop, np.array(ASTRONAUT))
    drawn, model, rotation = Library(LIBRARY).fit_five(seeded.shipped_file(), five[None])
    assert drawn.shape == model.shape == (1, 68, 3) and np.linalg.det(rotation[0]) == pytest.approx(1)
    points = drawn[0, :, :2] + [5, -3]
    n = 80
    np.savez(tmp_path / "faces.npz", crops=np.tile(crop, (n, 1, 1, 1)), points=np.tile(points, (n, 1, 1)))
    monkeypatch.setattr(train_mesh_head, "CANVASES", ((160, 60, 110, 1.0),))
    out = tmp_path / "with_head.safetensors"
    monkeypatch.setattr(sys, "argv", ["train_mesh_head.py", str(tmp_path / "faces.npz"), "--weights", str(shipped), "--library", LIBRARY,
                                      "--version", "test", "--out", str(out), "--steps", "150"])  # fmt: skip
    train_mesh_head.main()
    was, now = (float(text) for text in re.search(r"kept out: 68 ([\d.]+) to ([\d.]+) %", capsys.readouterr().out).groups())
    assert now < was / 2
    weights, before = weights_file.load(out.read_bytes()), weights_file.load(shipped.read_bytes())
    assert weights.version == "test" and weights.parameters["head.p4.mesh.weight"].shape == (54, 64, 1, 1)
    assert all(np.array_equal(weights.parameters[name], value) for name, value in before.parameters.items() if ".mesh." not in name)
