"""The dense part of the training's loss: drawn pixels and their gradients against the library's renderer and finite differences,
short runs. ctest sets RETINAFACE_MESH_LIBRARY; without it the release build's is taken.
"""

from __future__ import annotations

import os
from pathlib import Path
import re
import signal

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: training is not tested")
from test_train import ROOT, RECIPE, drawn_data, run_of, write_recipe  # noqa: E402, F401

import anchors  # noqa: E402
import dense  # noqa: E402
import recipe  # noqa: E402
import table3  # noqa: E402

LIBRARY = os.environ.get("RETINAFACE_MESH_LIBRARY", str(ROOT / "build" / "release" / "lib" / "retinaface_mesh_python.so"))
pytestmark = pytest.mark.skipif(not Path(LIBRARY).exists(), reason=f"{LIBRARY} is not built")


def painter_of(dtype: torch.dtype = torch.float32) -> dense.Painter:
    return dense.Painter(dense.Library(Path(LIBRARY)), dtype=dtype)


def random_outputs(count: int) -> torch.Tensor:
    """Numbers of faces, the first of which is the mean."""
    sizes = torch.cat([torch.full((dense.LATENT,), 0.7), torch.full((dense.CAMERA,), 0.3), torch.ones(dense.LIGHT)])
    outputs = torch.randn(count, len(sizes), generator=torch.Generator().manual_seed(1)) * sizes
    outputs[0] = 0
    return outputs


def test_painted_pixels_are_the_librarys() -> None:
    painter = painter_of()
    latent, cameras, lights = painter.parameters(random_outputs(6))
    meshes = painter.meshes(latent)
    exact = painter.library.decode(dense.seeded.shipped_file(), latent.numpy())
    assert np.abs(exact - meshes.numpy()).max() < 5e-3
    colours, covered = painter.paint(meshes, cameras, lights, painter.nearest(meshes, cameras))
    found = torch.zeros(6, dense.SIDE, dense.SIDE, 3)
    found[covered] = colours
    for mesh, camera, light, picture in zip(meshes.numpy(), cameras.numpy(), lights.numpy(), found.numpy()):
        drawn = painter.library.render(
            mesh[:, :3], painter.triangles.numpy(), camera, dense.SIDE, dense.SIDE, np.ascontiguousarray(mesh[:, 3:]), light)
        assert 0.2 < drawn.mask.mean() < 0.9
        # The library's corners lie on a grid of 1 / 256 pixel.
        assert np.abs(drawn.colours - picture).mean() < 2e-4 and np.abs(drawn.colours - picture).max() < 2e-2


def test_gradients_are_those_of_finite_differences() -> None:
    painter = painter_of(torch.float64)
    outputs = random_outputs(3)[1:].double().requires_grad_()
    latent, cameras, _ = painter.parameters(outputs)
    nearest = painter.nearest(painter.meshes(latent), cameras)
    factors = torch.randn(int((nearest >= 0).sum()), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(2))

    def value(numbers: torch.Tensor) -> torch.Tensor:
        latent, cameras, lights = painter.parameters(numbers)
        meshes = painter.meshes(latent)
        return (painter.paint(meshes, cameras, lights, nearest)[0] * factors).sum() + painter.five(meshes, cameras).sum()

    gradient, = torch.autograd.grad(value(outputs), outputs)
    assert (gradient != 0).all()
    for k in (0, 7, 121, 127, *range(128, 144)):
        step = torch.zeros_like(outputs)
        step[:, k] = 1e-5
        with torch.no_grad():
            slope = (value(outputs + step) - value(outputs - step)) / 2e-5
        assert float(gradient[:, k].sum()) == pytest.approx(float(slope), rel=1e-3, abs=1e-4)


def test_pieces_are_squares_around_boxes_with_their_outside_marked() -> None:
    image = torch.zeros(2, 60, 80, 3, dtype=torch.uint8)
    image[1, 20:40, 30:50] = 255
    boxes = np.array([[30, 20, 50, 40], [-10, -10, 10, 10]], np.float32)
    planes, inside, squares = dense.pieces(image, torch.tensor([1, 0]), boxes)
    assert squares.tolist() == [[27, 17, 26], [-13, -13, 26]]
    assert inside[0].all() and inside[1].float().mean().item() == (15 / 32) ** 2  # half-way pixels do not count
    assert planes[0].mean().item() == pytest.approx((20 / 26) ** 2, abs=0.01) and planes[1].sum() == 0


def face_target(side: float, size: int, landmarks: np.ndarray | None = None) -> dict[str, torch.Tensor]:
    """A face in the middle of a picture, of one anchor."""
    table = anchors.make_anchors(size, size)
    box = np.array([[(size - side) / 2, (size - side) / 2, (size + side) / 2, (size + side) / 2]], np.float32)
    best = int(anchors.iou(anchors.corners(table), box).argmax())
    target = {"label": torch.zeros(1, len(table), dtype=torch.int64), "centred": torch.ones(1, len(table)),
              "box": torch.zeros(1, len(table), 4), "landmark": torch.zeros(1, len(table), 10),
              "has_landmark": torch.full((1, len(table)), landmarks is not None)}
    target["label"][0, best] = 1
    target["box"][0, best] = torch.from_numpy(anchors.encode_boxes(box, table[best : best + 1])[0])
    if landmarks is not None:
        target["landmark"][0, best] = torch.from_numpy(anchors.encode_landmarks(landmarks, table[best : best + 1])[0])
    return target


@pytest.mark.parametrize("points", [False, True])
def test_a_drawn_face_is_found_again(points: bool) -> None:
    """A picture of another face, seen from elsewhere in other light: the loss leads to its colours, and, with landmarks, to where it is."""
    painter = painter_of()
    truth = torch.zeros(1, 144)
    truth[0, :4], truth[0, 120], truth[0, 128], truth[0, 132], truth[0, 139] = torch.tensor([1.0, -1.0, 0.5, 1.0]), 1.5, 0.8, 0.4, -1.5
    latent, cameras, lights = painter.parameters(truth)
    meshes = painter.meshes(latent)
    colours, covered = painter.paint(meshes, cameras, lights, painter.nearest(meshes, cameras))
    size, side = 64, 64 / dense.MARGIN
    picture = torch.zeros(1, dense.SIDE, dense.SIDE, 3)
    picture[covered] = colours
    larger = torch.nn.functional.interpolate(picture.permute(0, 3, 1, 2).clamp(0, 1) ** (1 / dense.GAMMA), scale_factor=2)
    image = (255 * larger.permute(0, 2, 3, 1)).round().byte()
    marks = (painter.five(meshes, cameras)[0] * 2).numpy().reshape(1, 10)
    target = face_target(side, size, marks if points else None)
    options = recipe.Loss(landmark_weight=float(points), pixel_least=20, pixel_prior=1e-3)
    head = dense.DenseHead(4)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.03)
    features = torch.ones(1, len(anchors.make_anchors(size, size)) // 2, 4)
    kind = torch.tensor([int(np.log2(anchors.make_anchors(size, size)[int(target["label"].argmax()), 2] / 16))])

    def apart() -> float:
        """How far the five landmarks are off, in pixels of the piece."""
        latent, cameras, _ = painter.parameters(head(features[:, 0], kind))
        return float(torch.linalg.norm(painter.five(painter.meshes(latent), cameras) - torch.from_numpy(marks).reshape(1, 5, 2) / 2,
                                       dim=2).mean())

    distances, before = [], apart()
    for _ in range(60):
        loss, distance = dense.pixel_loss(head, painter, features, image, target, options)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        distances.append(float(distance))
    assert distances[-1] < 0.4 * distances[0], distances
    if points:
        assert apart() < 0.3 * before


def test_without_a_large_face_there_is_no_dense_loss() -> None:
    head = dense.DenseHead(4)
    target = face_target(20, 64)
    loss, distance = dense.pixel_loss(head, painter_of(), torch.ones(1, 84, 4), torch.zeros(1, 64, 64, 3, dtype=torch.uint8), target,
                                      recipe.Loss(pixel_least=24))
    loss.backward()
    assert float(distance) == 0 and (head.weight.grad == 0).all()


def test_a_run_with_pixels_goes_on_as_if_it_had_not_stopped(  # noqa: F811
    tmp_path: Path, drawn_data: Path, monkeypatch: pytest.MonkeyPatch  # noqa: F811
) -> None:
    settings = write_recipe(tmp_path / "short.toml", steps=3, batch=4, sides=[128], shares=[1.0])
    settings.write_text(settings.read_text().replace("[loss]", "[loss]\npixel_weight = 1.0"))
    with pytest.raises(ValueError, match="expected --library, which draws faces, found none"):
        run_of(drawn_data, settings, tmp_path / "none")
    run_of(drawn_data, settings, tmp_path / "whole", "--library", LIBRARY)
    calls = []

    def stop_at_second(*arguments: object) -> tuple:
        calls.append(1)
        if len(calls) == 2:
            signal.raise_signal(signal.SIGTERM)
        return pixel_loss(*arguments)

    pixel_loss = dense.pixel_loss
    monkeypatch.setattr(dense, "pixel_loss", stop_at_second)
    for _ in range(2):
        run_of(drawn_data, settings, tmp_path / "parts", "--library", LIBRARY)
    assert len(calls) == 3
    whole, parts = (torch.load(tmp_path / name / "last.pt", weights_only=True) for name in ("whole", "parts"))
    assert (whole["dense"]["bias"] != 0).any()
    for kind in ("dense", "ema"):
        for name, value in whole[kind].items():
            assert torch.equal(value, parts[kind][name]), name


def test_the_third_table(tmp_path: Path, drawn_data: Path, capfd: pytest.CaptureFixture[str]) -> None:  # noqa: F811
    settings = write_recipe(tmp_path / "short.toml", sides=[128], shares=[1.0])
    table3.main([str(settings), "--data", str(drawn_data), "--backbone", str(drawn_data / "backbone.pth"), "--library", LIBRARY,
                 "--out", str(tmp_path / "t"), "--steps", "2", "--batch", "4", "--seeds", "3", "--device", "cpu"])
    table = capfd.readouterr().out
    for name in table3.ARMS:
        assert re.search(rf"(?m)^\| {re.escape(name)} \|( \d\.\d{{3}} \|){{6}}$", table), table
    states = {
        arm: torch.load(tmp_path / "t" / f"{arm}_3" / "last.pt", weights_only=True) for arm in ("class_and_box", "landmarks", "pixels")}
    heads = {arm: state["model"]["head.p3.landmark.weight"] for arm, state in states.items()}
    assert not torch.equal(heads["class_and_box"], heads["landmarks"])
    assert len(list((tmp_path / "t").rglob("*.pixels"))) == 4  # a collection each, once
    assert states["pixels"]["dense"] and not states["landmarks"]["dense"]
