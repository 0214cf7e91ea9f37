"""The dense part of the paper's loss (section 3.2 and equation 3): faces drawn from the network's numbers, held against their pixels.

Of an anchor that found a face the head gives 128 shape and colour numbers, 7 of a camera, relative to the face's box, and 9 of a light. The
shipped mesh decoder makes them a coloured mesh, the library's rasteriser says which triangle every pixel of the face's piece of the
photograph shows, and PyTorch computes the colours of those pixels again, so that they have gradients: through albedo and shading, and
through where in its triangle a pixel lies.
"""

from __future__ import annotations

from pathlib import Path
import sys

import numpy as np
import torch
from torch import Tensor, nn
import torch.nn.functional as F

sys.path.append(str(Path(__file__).resolve().parents[1] / "mesh"))
from anchors import VARIANCE_SIZE, area, decode_boxes, decode_landmarks, make_anchors  # noqa: E402
from mesh_file import five_points  # noqa: E402
from raster import DEFAULT_LIGHT, Library  # noqa: E402
from recipe import Loss  # noqa: E402
from retinaface_weights import archive  # noqa: E402
from retinaface_weights.network import ANCHOR_SIZES  # noqa: E402
import seeded  # noqa: E402

LATENT, CAMERA, LIGHT = 128, 7, 9
"""Outputs of an anchor."""

SIDE = 32
"""Pixels of a drawn face's side."""

MARGIN = 1.3
"""Side of the piece of a photograph that a face is drawn over, beside the root of the area of the face's box."""

FACE = 16.3
"""The root of the area of the box of the model's face, centimetres."""

CENTRE = (0.0, 1.4, 10.0)
"""What the camera looks at while its numbers are 0: between hairline and chin, in centimetres."""

DISTANCE = 100.0
"""Of the camera from there, centimetres, as MeshEstimator::kDistance."""

CAMERA_UNITS = (30.0, 30.0, 30.0, 4.0, 4.0, 4.0, 0.3)
"""What 1 moves the location (a third of a radian about the head) and the target by, in centimetres, and the focal length's logarithm."""

LIGHT_UNITS = (60.0, 60.0, 60.0, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2)
"""What 1 adds to the light's position, in centimetres, its colour and the ambient colour."""

CAMERA_PRIOR = 10.0
"""What the camera's numbers count in the prior beside the others: without it faces slide off to where pixels are easier, such as
clothes."""

FARTHEST = 2.0
"""Largest camera number: beyond, a face is seen from behind."""

GAMMA = 2.2
"""Photographs' grey levels are about this root of the light that albedo and shading are about."""


class DenseHead(nn.Module):
    """The 1 x 1 convolutions that give the numbers, computed for chosen anchors only; all numbers are 0 at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        kinds = sum(len(sizes) for sizes in ANCHOR_SIZES)
        self.weight = nn.Parameter(torch.zeros(kinds, channels, LATENT + CAMERA + LIGHT))
        self.bias = nn.Parameter(torch.zeros(kinds, LATENT + CAMERA + LIGHT))

    def forward(self, features: Tensor, kind: Tensor) -> Tensor:
        """[n, 144] of the features [n, channels] of the anchors' cells, and which of a level's anchors each is, over all levels."""
        return torch.einsum("nc,nco->no", features, self.weight[kind]) + self.bias[kind]


class Painter:
    """Colours of drawn faces, with gradients. Thread rule: one thread at a time."""

    def __init__(self, library: Library, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.library = library
        file = seeded.shipped_file()
        step = 0.5
        # The decoder is linear to a few hundredths of a millimetre: its ReLUs are held open.
        mean = library.decode(file, np.zeros((1, LATENT), np.float32))[0]
        moved = np.concatenate([
            library.decode(file, step * np.eye(LATENT, dtype=np.float32)[i : i + 16]) for i in range(0, LATENT, 16)])
        self.mean = torch.from_numpy(mean).to(device, dtype)  # [n, 6]
        self.basis = torch.from_numpy((moved - mean) / step).to(device, dtype)  # [128, n, 6]
        triangles, self.landmarks = (
            np.ascontiguousarray(archive.load(file).tensors[name]).view("<u2")[..., 0].astype(np.int32)
            for name in ("triangles", "landmarks68.indices"))
        self.triangles = torch.from_numpy(triangles.astype(np.int64)).to(device)  # [t, 3]
        self._drawn_triangles = triangles
        self._camera_units, self._light_units, self._centre, self._light = (
            torch.tensor(v, device=device, dtype=dtype) for v in (CAMERA_UNITS, LIGHT_UNITS, CENTRE, DEFAULT_LIGHT))

    def parameters(self, outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Latents [n, 128], cameras [n, 7] and lights [n, 9], as the library takes them, of outputs [n, 144]."""
        latent, camera, light = outputs.split([LATENT, CAMERA, LIGHT], 1)
        moved = camera.clamp(-FARTHEST, FARTHEST) * self._camera_units
        away = torch.zeros_like(self._centre)
        away[2] = DISTANCE
        focal = SIDE / (MARGIN * FACE) * DISTANCE * moved[:, 6:].exp()
        camera = torch.cat([self._centre + away + moved[:, :3], self._centre + moved[:, 3:6], focal], 1)
        return latent, camera, self._light + light * self._light_units

    def meshes(self, latent: Tensor) -> Tensor:
        """Positions and colours [n, vertices, 6]."""
        return self.mean + torch.tensordot(latent, self.basis, 1)

    def seen(self, points: Tensor, cameras: Tensor) -> Tensor:
        """Points [n, k, 3] as cameras see them, [n, k, 3]: x and y, times the depth, in pixels from the middle, and the depth. As
        Camera::projection has it: up is (0, 1, 0), the principal point the middle."""
        location, target, focal = cameras[:, :3], cameras[:, 3:6], cameras[:, 6:]
        z = F.normalize(location - target, dim=1)
        x = F.normalize(torch.stack([z[:, 2], torch.zeros_like(z[:, 0]), -z[:, 0]], 1), dim=1)
        axes = torch.stack([focal * x, -focal * torch.cross(z, x, dim=1), -z], 1)
        return (points - location[:, None]) @ axes.transpose(1, 2)

    def five(self, meshes: Tensor, cameras: Tensor) -> Tensor:
        """The meshes' five landmarks [n, 5, 2] in pixels of the piece."""
        points = five_points(meshes[:, self.landmarks, :3].transpose(0, 1)).transpose(0, 1)
        seen = self.seen(points, cameras)
        return seen[..., :2] / seen[..., 2:] + SIDE / 2

    @torch.no_grad()
    def nearest(self, meshes: Tensor, cameras: Tensor) -> Tensor:
        """Which triangle every pixel shows, or -1: [n, SIDE, SIDE]."""
        drawn = [
            self.library.render(mesh[:, :3], self._drawn_triangles, camera, SIDE, SIDE).triangles
            for mesh, camera in zip(meshes.float().cpu().numpy(), cameras.float().cpu().numpy())]
        return torch.from_numpy(np.stack(drawn).astype(np.int64)).to(meshes.device)

    def paint(self, meshes: Tensor, cameras: Tensor, lights: Tensor, nearest: Tensor) -> tuple[Tensor, Tensor]:
        """Colours [m, 3] of the covered pixels, and which [n, SIDE, SIDE] bool they are, as mesh/rasteriser.hpp has them."""
        covered = nearest >= 0
        face, row, column = covered.nonzero(as_tuple=True)
        corners = self.triangles[nearest[covered]]  # [m, 3]
        points = meshes[..., :3]
        at = self.seen(points, cameras)[face[:, None], corners]  # [m, 3, 3]
        # Relative to the pixel's ray: the shares of the corners, corrected for perspective, are the areas of what lies opposite.
        u = at[..., 0] - (column + 0.5 - SIDE / 2)[:, None] * at[..., 2]
        v = at[..., 1] - (row + 0.5 - SIDE / 2)[:, None] * at[..., 2]
        shares = u.roll(-1, 1) * v.roll(-2, 1) - u.roll(-2, 1) * v.roll(-1, 1)
        total = shares.sum(1, keepdim=True)
        shares = (shares / torch.where(total.abs() < 1e-6, torch.full_like(total, 1e-6), total))[..., None]

        sides = points[:, self.triangles]  # [n, t, 3, 3]
        by_area = torch.cross(sides[:, :, 1] - sides[:, :, 0], sides[:, :, 2] - sides[:, :, 0], dim=2)
        normals = torch.zeros_like(points)
        for corner in range(3):
            normals = normals.index_add(1, self.triangles[:, corner], by_area)
        mixed = lambda values: (shares * values[face[:, None], corners]).sum(1)  # noqa: E731
        light, colour, ambient = lights[face].split(3, 1)
        to_light = F.normalize(light - mixed(points), dim=1)
        lambert = (F.normalize(mixed(normals), dim=1) * to_light).sum(1, keepdim=True).clamp(min=0)
        return mixed(meshes[..., 3:]) * (ambient + colour * lambert), covered


def pieces(image: Tensor, photo: Tensor, boxes: np.ndarray) -> tuple[Tensor, Tensor, np.ndarray]:
    """The squares around some faces' boxes [n, 4], of the photographs `photo` [n] of image [B, H, W, 3] uint8, as light:
    [n, SIDE, SIDE, 3] in 0..1, which of their pixels lie in the photograph [n, SIDE, SIDE], and the squares [n, 3]: left, top, side."""
    sides = np.maximum(np.round(MARGIN * np.sqrt(area(boxes))), 1)
    corners = np.round((boxes[:, :2] + boxes[:, 2:] - sides[:, None]) / 2)
    squares = np.concatenate([corners, sides[:, None]], 1)
    found = []
    for which, (left, top, side) in zip(photo.tolist(), squares.astype(int).tolist()):
        rows, columns = (torch.arange(begin, begin + side, device=image.device) for begin in (top, left))
        inside = [(line >= 0) & (line < length) for line, length in zip((rows, columns), image.shape[1:3])]
        kept = (inside[0][:, None] & inside[1]).float()[..., None]
        piece = image[which, rows.clamp(0, image.shape[1] - 1)][:, columns.clamp(0, image.shape[2] - 1)]
        planes = torch.cat([(piece.float() / 255) ** GAMMA, kept], 2).permute(2, 0, 1)[None]
        found.append(F.interpolate(planes, size=(SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True))
    planes = torch.cat(found).permute(0, 2, 3, 1)
    return planes[..., :3], planes[..., 3] > 0.99, squares


def choose(target: dict[str, Tensor], anchors: Tensor, options: Loss) -> tuple[Tensor, Tensor]:
    """Photographs and anchors, [n] each, of at most `pixel_faces` faces, one anchor a face as nearly as may be: well centred, and of a
    face of `pixel_least` pixels at least. Spread over the batch, the same ones for the same batch."""
    side = anchors[:, 2] * torch.exp(VARIANCE_SIZE * target["box"][..., 2:].mean(2))
    photo, anchor = ((target["label"] == 1) & (target["centred"] > 0.999) & (side >= options.pixel_least)).nonzero(as_tuple=True)
    spread = torch.linspace(0, max(0, len(photo) - 1), min(len(photo), options.pixel_faces), device=photo.device).round().long()
    return photo[spread], anchor[spread]


def pixel_loss(
    head: DenseHead, painter: Painter, features: Tensor, image: Tensor, target: dict[str, Tensor], options: Loss
) -> tuple[Tensor, Tensor]:
    """The loss to add, and the mean distance of drawn from photographed pixels in it, detached; both scalars. The mean is over the pixels
    drawn, where equation 3 divides by all: then it would pay to draw less.

    features [B, cells, channels] in the order of the anchors' cells, image [B, H, W, 3] uint8 (R, G, B), target as `multi_task_loss` has
    it. What is added is the distance, `pixel_prior` times the mean squares of a face's numbers and, where landmarks are taught,
    `pixel_points` times how far the mesh's own five points are from them, as a share of the piece.
    """
    table = make_anchors(*image.shape[1:3])
    photo, anchor = choose(target, torch.from_numpy(np.array(table)).to(image.device), options)
    if not len(photo):
        nothing = 0 * (head.weight.sum() + head.bias.sum())
        return nothing, nothing.detach()
    chosen, codes, marks = table[anchor.cpu().numpy()], target["box"][photo, anchor], target["landmark"][photo, anchor]
    kind = torch.from_numpy(np.log2(chosen[:, 2] / ANCHOR_SIZES[0][0]).round().astype(np.int64)).to(image.device)
    cells = anchor // len(ANCHOR_SIZES[0])
    outputs = head(features[photo, cells].float(), kind)
    latent, cameras, lights = painter.parameters(outputs)
    meshes = painter.meshes(latent)
    colours, covered = painter.paint(meshes, cameras, lights, painter.nearest(meshes, cameras))
    piece, inside, squares = pieces(image, photo, decode_boxes(codes.cpu().numpy(), chosen))
    distance = (colours - piece[covered]).abs().mean(1) * inside[covered]
    face = covered.nonzero()[:, 0]
    count = torch.zeros(len(photo), device=image.device).index_add(0, face, inside[covered].float())
    each = torch.zeros(len(photo), device=image.device).index_add(0, face, distance) / count.clamp(min=1)
    loss = each.mean()
    groups = outputs.split([LATENT, CAMERA, LIGHT], 1)
    prior = sum(weight * group.square().mean() for weight, group in zip((1.0, CAMERA_PRIOR, 1.0), groups))
    added = loss + options.pixel_prior * prior
    if options.landmark_weight:
        # Where landmarks are taught, the mesh's own five are held to them.
        points = torch.from_numpy(decode_landmarks(marks.cpu().numpy(), chosen).reshape(-1, 5, 2)).to(image.device)
        frame = torch.from_numpy(squares).to(image.device).float()
        points = (points - frame[:, None, :2]) * (SIDE / frame[:, None, 2:])
        apart = torch.linalg.norm(painter.five(meshes, cameras) - points, dim=2).mean(1) / SIDE
        known = target["has_landmark"][photo, anchor].float()
        added = added + options.pixel_points * (apart * known).mean()
    return added, loss.detach()
