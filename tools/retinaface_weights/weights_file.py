"""A network's weights as the library stores them; see `weights/README.md`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Iterable, List, Mapping, Optional, Tuple

import numpy as np

from . import archive
from .errors import ConversionError
from .forward import forward
from .network import Layer, build_network, lookup_architecture, lookup_profile, mesh_head_shapes, parameter_shapes

UNHASHED_FORMAT = "retinaface-weights-1"  # read, no longer written: without a hash of its bytes
REQUIRED_METADATA = ("format", "architecture", "profile", "version", "source", "licence")
# Height and width of the self-test's images, which differ in all they can. Of the first, level 5 is 2 x 2 under a 3 x 4 level 4, so the
# upsampling crops.
SELF_TEST_SIZES = ((48, 64), (72, 40), (40, 56))
SELF_TEST_TOLERANCE = 1e-4
DTYPES: Dict[str, "np.dtype[Any]"] = {"f32": np.dtype("<f4"), "f16": np.dtype("<f2")}
_SELF_TEST = ("image", "class", "box", "landmark")  # and "mesh", where there is a mesh head


@dataclass
class Weights:
    """Parameters (canonical names and order, BatchNorm folded) and what is said about them."""

    architecture: str
    profile: str
    parameters: Dict[str, np.ndarray]
    version: str = "1"
    source: str = "not stated"
    licence: str = "not stated"
    extra: Dict[str, str] = field(default_factory=dict)
    hashed: bool = True  # the file that they come from carried a hash, or they come from none

    def metadata(self) -> Dict[str, str]:
        return {
            "format": archive.FORMAT,
            "architecture": self.architecture,
            "profile": self.profile,
            "version": self.version,
            "source": self.source,
            "licence": self.licence,
            **self.extra,
        }

    @property
    def slope(self) -> Optional[float]:
        """The activation's slope where the metadata state one that is not the profile's."""
        if "slope" not in self.extra:
            return None
        try:
            slope = float(self.extra["slope"])
        except ValueError:
            slope = -1.0
        if not 0 <= slope <= 1:
            raise ConversionError(f"metadata slope: expected a number in 0..1, found {self.extra['slope']!r:.40}")
        return slope

    def layers(self) -> List[Layer]:
        return build_network(self.architecture, self.profile, self.slope)

    def forward(self, image: np.ndarray) -> Dict[str, np.ndarray]:
        return forward(self.architecture, self.profile, self.parameters, image, self.layers())

    def rounded(self, dtype: str) -> Weights:
        """The same weights with values as a file of that dtype (f32, f16) holds them."""
        parameters = {}
        for name, value in self.parameters.items():
            with np.errstate(over="ignore"):
                stored = value.astype(DTYPES[dtype])
            if not np.isfinite(stored).all():
                raise ConversionError(
                    f"tensor {name}: expected values that {dtype} can hold, found {np.abs(value).max():g}"
                )
            parameters[name] = stored
        return Weights(
            self.architecture, self.profile, parameters, self.version, self.source, self.licence, dict(self.extra)
        )


def check_shapes(found: Mapping[str, Tuple[int, ...]], expected: Mapping[str, Tuple[int, ...]], what: str) -> None:
    """Every name once, with its shape, and nothing else."""
    _check_names(found, expected, what)
    for name, shape in expected.items():
        if tuple(found[name]) != tuple(shape):
            raise ConversionError(f"tensor {name}: expected shape {list(shape)}, found {list(found[name])}")


def _check_parameters(architecture: str, parameters: Mapping[str, np.ndarray]) -> Dict[str, Tuple[int, ...]]:
    """Name and shape of every tensor, in file order."""
    shapes = parameter_shapes(architecture)
    mesh = mesh_head_shapes(architecture)
    if any(name in mesh for name in parameters):
        shapes.update(mesh)
    check_shapes({name: value.shape for name, value in parameters.items()}, shapes, f"architecture {architecture}")
    return shapes


def _check_names(found: Iterable[str], expected: Iterable[str], what: str) -> None:
    missing = [name for name in expected if name not in set(found)]
    unexpected = [name for name in found if name not in set(expected)]
    if missing:
        also = f"; {_list(unexpected)} found that {what} does not have" if unexpected else ""
        raise ConversionError(f"missing: expected {_list(missing)} for {what}, found no such tensor{also}")
    if unexpected:
        raise ConversionError(f"unexpected: {what} has no {_list(unexpected)}")


def _list(names: List[str]) -> str:
    shown = ", ".join(f"{name!r:.80}" for name in names[:3])
    return shown if len(names) <= 3 else f"{shown} and {len(names) - 3} more"


def self_test_image(index: int) -> np.ndarray:
    """A deterministic U8 image [H, W, 3]. 0: gradients, a bright ellipse with dark spots, integer noise. 1: noise over the whole range.
    2: black and saturated blocks."""
    height, width = SELF_TEST_SIZES[index]
    y, x = np.mgrid[0:height, 0:width].astype(np.int64)
    if index == 1:
        mixed = (x[..., None] * 7919 + y[..., None] * 104729 + np.arange(3) * 1299709 + 1) * 2654435761 % (1 << 32)
        return ((mixed ^ mixed >> 13) * 2246822519 % (1 << 32) >> 24).astype(np.uint8)
    if index == 2:
        colours = np.stack([(x // 5 + y // 9) % 3 == 0, (x // 7 + y // 4) % 4 == 1, (x // 3 + y // 11) % 5 < 2], axis=-1)
        return (colours * 255).astype(np.uint8)
    noise = (x * 7919 + y * 104729 + x * y * 31 + (x * x + 3 * y) * 17) % 61
    inside = (2 * x - width) ** 2 * height * height + (2 * y - height) ** 2 * width * width < (height * width) ** 2 // 2
    spots = ((x * 8 // width) % 3 == 1) & ((y * 8 // height) % 4 == 2)
    red = 40 + x * 100 // width + noise + inside * 70 - spots * 40
    green = 60 + y * 90 // height + noise // 2 + inside * 50 - spots * 45
    blue = 150 - x * 60 // width + (noise * 3) % 37 - spots * 30
    return np.clip(np.stack([red, green, blue], axis=-1), 0, 255).astype(np.uint8)


def _self_test_name(kind: str, index: int) -> str:
    """`selftest.image`, then `selftest.image.2` and so on."""
    return f"selftest.{kind}" + (f".{index + 1}" if index > 0 else "")


def make_self_test(weights: Weights) -> Dict[str, np.ndarray]:
    tensors: Dict[str, np.ndarray] = {}
    for index in range(len(SELF_TEST_SIZES)):
        image = self_test_image(index)
        outputs = weights.forward(image)
        tensors[_self_test_name("image", index)] = image
        for kind, value in outputs.items():
            tensors[_self_test_name(kind, index)] = value.astype("<f4")
    return tensors


def dump(weights: Weights, dtype: str) -> bytes:
    """The bytes of a weights file; the self-test is made from the values as stored."""
    shapes = _check_parameters(weights.architecture, weights.parameters)
    stored = weights.rounded(dtype)
    ordered = {name: stored.parameters[name] for name in shapes}
    self_test = make_self_test(stored)
    archive.check_finite(self_test)
    return archive.dump(archive.Archive(weights.metadata(), {**ordered, **self_test}))


def load(data: bytes) -> Weights:
    """Read and validate a weights file and run its self-test."""
    content = archive.load(data)
    metadata = dict(content.metadata)
    for key in REQUIRED_METADATA:
        if key not in metadata:
            raise ConversionError(f"metadata: expected key {key!r}, found none")
    if metadata["format"] not in (archive.FORMAT, UNHASHED_FORMAT):
        raise ConversionError(f"metadata format: expected {archive.FORMAT!r}, found {metadata['format']!r:.80}")
    lookup_architecture(metadata["architecture"])
    lookup_profile(metadata["profile"])

    self_test = {name: t for name, t in content.tensors.items() if name.startswith("selftest.")}
    parameters = {name: t for name, t in content.tensors.items() if name not in self_test}
    shapes = _check_parameters(metadata["architecture"], parameters)
    for name, tensor in parameters.items():
        if tensor.dtype.kind != "f":
            raise ConversionError(f"tensor {name}: expected F32 or F16, found U8")
    archive.check_finite(content.tensors)
    weights = Weights(
        architecture=metadata["architecture"],
        profile=metadata["profile"],
        parameters={name: parameters[name] for name in shapes},
        version=metadata["version"],
        source=metadata["source"],
        licence=metadata["licence"],
        extra={key: value for key, value in metadata.items() if key not in REQUIRED_METADATA},
        hashed=metadata["format"] == archive.FORMAT,
    )
    if self_test:
        images = max(1, sum(name.startswith("selftest.image") for name in self_test))
        has_head = any(name in mesh_head_shapes(weights.architecture) for name in parameters)
        kinds = _SELF_TEST + (("mesh",) if has_head and "selftest.mesh" in self_test else ())
        names = [_self_test_name(kind, index) for index in range(images) for kind in kinds]
        _check_names(self_test, names, "a self-test")
        run_self_test(weights, self_test)
    return weights


def run_self_test(weights: Weights, self_test: Mapping[str, np.ndarray]) -> float:
    """Compare with the stored outputs; the largest difference, or an error where it is too large."""
    worst = 0.0
    index = 0
    while _self_test_name("image", index) in self_test:
        name = _self_test_name("image", index)
        image = self_test[name]
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape or image.size > 1 << 22:
            raise ConversionError(f"{name}: expected U8 [H, W, 3] of moderate size, found {list(image.shape)}")
        for kind, value in weights.forward(image).items():
            name = _self_test_name(kind, index)
            if kind == "mesh" and name not in self_test:
                continue  # files of before have none
            stored = self_test[name]
            if stored.dtype != np.dtype("<f4") or stored.shape != value.shape:
                raise ConversionError(
                    f"{name}: expected F32 {list(value.shape)}, found {stored.dtype} {list(stored.shape)}"
                )
            difference = float(np.abs(stored - value).max())
            allowed = SELF_TEST_TOLERANCE * max(1.0, float(np.abs(value).max()))
            if not difference <= allowed:  # true for NaN as well
                raise ConversionError(
                    f"self-test: expected {name} within {allowed:g} of the stored outputs, found {difference:g} off"
                )
            worst = max(worst, difference)
        index += 1
    return worst
