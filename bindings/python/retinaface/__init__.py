"""RetinaFace on the CPU: faces and five landmarks in pictures.

    import retinaface
    from PIL import Image

    detector = retinaface.Detector()
    for face in detector.detect(Image.open("photo.jpg")):
        print(face.score, face.box, face.landmarks)

Coordinates are pixels of the picture, x right, y down; pixel (i, j) covers [i, i + 1) x [j, j + 1).
"""

from __future__ import annotations

import numbers
import os
from pathlib import Path
from typing import Any, Iterable, Iterator, NamedTuple, Optional, Sequence, Union, overload

import numpy as np

from . import _core
from ._core import version as __version__

__all__ = ["Aligned", "Detector", "Error", "Face", "Faces", "Mesh", "MeshEstimator", "Pose", "align", "__version__"]

_WEIGHTS = Path(__file__).parent / "weights"
_CPU = 1  # DLPack's device types
_CHANNELS = {"rgb": False, "bgr": True}
_ROTATIONS = (0, 90, 180, 270)
_AUTOMATIC = -1  # the library's Rotation::automatic


class Error(RuntimeError):
    """What the library cannot do: weights that cannot be read or do not fit, an instruction set that the CPU lacks.

    Arguments out of range are ValueErrors.
    """

    code: str  #: "io", "bad format", "damaged", "mismatch", "unsupported", "out of memory", "no threads" or "unexpected"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, code)
        self.code = code

    def __str__(self) -> str:
        return str(self.args[0])


class Face(NamedTuple):
    """One face. Arrays are views into the Faces that it comes from."""

    score: float  #: 0..1
    box: np.ndarray  #: float32 [4]: x1, y1, x2, y2; may reach out of the picture
    landmarks: np.ndarray  #: float32 [5, 2]: x, y of the eye on the picture's left, on its right, nose tip, mouth corner left, right
    correction: Optional[np.ndarray] = None  #: float32 [54]: as Faces.corrections
    rotation: int = 0  #: as Faces.rotation


class Faces:
    """The faces of one picture, best first: arrays, or a sequence of Face."""

    __slots__ = ("boxes", "scores", "landmarks", "corrections", "rotation")

    boxes: np.ndarray  #: float32 [n, 4]: x1, y1, x2, y2
    scores: np.ndarray  #: float32 [n], 0..1
    landmarks: np.ndarray  #: float32 [n, 5, 2]
    corrections: Optional[np.ndarray]  #: float32 [n, 54] for MeshEstimator, where the weights have a mesh head and looked once; or None
    rotation: int  #: degrees clockwise that the picture was turned by: coordinates are those of the turned picture

    def __init__(
        self,
        boxes: np.ndarray,
        scores: np.ndarray,
        landmarks: np.ndarray,
        corrections: Optional[np.ndarray] = None,
        rotation: int = 0,
    ) -> None:
        self.boxes, self.scores, self.landmarks, self.corrections, self.rotation = boxes, scores, landmarks, corrections, rotation

    def __len__(self) -> int:
        return len(self.scores)

    @overload
    def __getitem__(self, index: int) -> Face: ...
    @overload
    def __getitem__(self, index: Union[slice, Sequence[int], np.ndarray]) -> "Faces": ...
    def __getitem__(self, index: Any) -> Any:
        """One face; of a slice, a list of indices or a mask (faces[faces.scores > 0.9]) the Faces."""
        corrections = None if self.corrections is None else self.corrections[index]
        if np.ndim(self.scores[index]) > 0:
            return Faces(self.boxes[index], self.scores[index], self.landmarks[index], corrections, self.rotation)
        return Face(float(self.scores[index]), self.boxes[index], self.landmarks[index], corrections, self.rotation)

    def __iter__(self) -> Iterator[Face]:
        return (self[i] for i in range(len(self)))

    def __reduce__(self) -> tuple[Any, ...]:
        return Faces, (self.boxes, self.scores, self.landmarks, self.corrections, self.rotation)

    def __repr__(self) -> str:
        return f"<{len(self)} face{'' if len(self) == 1 else 's'}: scores {[round(float(score), 3) for score in self.scores]}>"


class Detector:
    """Finds faces. Immutable: threads may share one (the interpreter's lock is released), and it pickles, weights included.

    model             None for the weights in the package, the path of a weights file, or its bytes
    score             0..1; faces with a greater score are reported
    nms               0..1; of two boxes whose IoU is greater, the lower score is suppressed
    max_faces         the best that many; 0: no limit
    size              at which size the network sees a picture: None as it is; a number shrinks its longest side to that many pixels;
                      (width, height) fits it into exactly that, enlarging if need be
    shortest_side     in place of size: resizes to a shortest side of that many pixels
    rotation          0, 90, 180 or 270: degrees clockwise that turn pictures upright; "auto": whichever of these a small look finds most
                      faces after. Results are in pixels of the upright picture; Faces.rotation says how it was turned
    scales, flip      several looks at one picture: factors of its size, and mirrored
    voting            "none", "paper" or "insightface": what becomes of the boxes that a face suppresses
    voting_threshold  0..1; boxes whose IoU with the face is greater take part
    min_face, max_face  sides of the faces wanted in pixels of the picture; they choose the scales
    clip              boxes end at the picture's edges
    isa               "auto", or the kernels to run: "avx512", "avx2", "neon", "portable", "reference"
    threads           threads one call may use; results do not depend on it

    Raises TypeError for an argument of another kind, ValueError for one out of range, Error for weights that cannot be used.
    """

    def __init__(
        self,
        model: Union[str, os.PathLike, bytes, None] = None,
        score: float = 0.5,
        threads: int = 1,
        *,
        nms: float = 0.4,
        max_faces: int = 0,
        size: Union[int, tuple[int, int], None] = None,
        shortest_side: int | None = None,
        rotation: Union[int, str] = 0,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        voting: str = "none",
        voting_threshold: float = 0.4,
        min_face: float = 0,
        max_face: float = 0,
        clip: bool = False,
        isa: str = "auto",
    ) -> None:
        if size is not None and shortest_side is not None:
            raise ValueError("options: size and shortest_side exclude each other")
        policy, width, height = "original", 0, 0
        if shortest_side is not None:
            policy, width = "shortest_side", shortest_side
        elif isinstance(size, (tuple, list)):
            if len(size) != 2:
                raise ValueError(f"options: size must be a number or (width, height), found {size!r}")
            policy, (width, height) = "exact", size
        elif size is not None:
            policy, width = "longest_side", size
        self._model = _checked_model(model)
        self._options = dict(
            score=score, nms=nms, max_faces=max_faces, size_policy=policy, width=width, height=height, rotation=rotation,
            scales=list(scales), flip=flip, voting=voting, voting_threshold=voting_threshold, min_face=min_face, max_face=max_face,
            clip=clip, isa=isa, threads=threads,
        )  # fmt: skip
        if isinstance(rotation, str) and rotation == "auto":
            self._options["rotation"] = _AUTOMATIC
        elif isinstance(rotation, numbers.Integral) and rotation not in _ROTATIONS:
            raise ValueError(f"options: rotation must be 0, 90, 180, 270 or 'auto', found {rotation}")
        _check_kinds(self._options)
        self._core = _core.Detector(_model_or(self._model, "mobilenet025"), **self._options)

    def detect(self, image: Any, channels: str = "rgb") -> Faces:
        """The faces of one picture.

        image     uint8 [height, width, 3], [height, width, 4] (alpha is ignored), [height, width, 1] or [height, width] (grey), in numpy
                  or anything on the CPU with DLPack, the buffer protocol or __array_interface__; or a PIL image.  Rows may lie at any
                  distance, channels in reverse ([..., ::-1]) or before a fourth: those are read where they lie; others are copied.
        channels  "rgb" or "bgr" (as OpenCV reads); a PIL image has its own

        Raises ValueError for another type, shape or size.
        """
        array, bgr = _array_of(image, channels)
        return Faces(*self._core.detect(array, bgr))

    def detect_batch(self, images: Iterable[Any], channels: str = "rgb") -> list[Faces]:
        """The faces of several pictures, of any sizes: those that detect() gives for each.

        With threads = n > 1, n pictures are looked at side by side, which is faster than one after the other on n threads (as those
        of rotation="auto" are).
        """
        arrays = [_array_of(image, channels) for image in images]
        return [Faces(*found) for found in self._core.detect_batch([a for a, _ in arrays], [bgr for _, bgr in arrays])]

    @property
    def isa(self) -> str:
        """The instruction set that runs."""
        return self._core.isa

    @property
    def architecture(self) -> str:
        """The network that the weights are for."""
        return self._core.architecture

    def __reduce__(self) -> tuple[Any, ...]:
        return _detector_of, (_travelling(self._model), self._options)

    def __repr__(self) -> str:
        return f"<retinaface.Detector: {self.architecture}, {self.isa}, {self._options['threads']} thread(s)>"


class Aligned(NamedTuple):
    """Crops for face recognition."""

    crops: np.ndarray  #: uint8 [n, size, size, 3], channels in the order of the picture's
    to_crop: np.ndarray  #: float64 [n, 2, 3]: from the picture's pixels to the crop's (whole numbers are pixel centres)


def align(image: Any, faces: Any, size: int = 112, margin: float = 0.0, channels: str = "rgb", rotation: Optional[int] = None) -> Aligned:
    """Crops of faces, turned and scaled as ArcFace and its like expect.

    image, channels  as Detector.detect() takes them
    faces            Faces, one Face, a sequence of Face, or landmarks [n, 5, 2] or [5, 2] in pixels of the picture
    size             pixels a side: a multiple of 112 or 128
    margin           shows that much of the template's size more on every side
    rotation         degrees clockwise after which the landmarks were found; None: as the faces say, of bare landmarks 0

    Raises ValueError, also for landmarks that resemble no face.
    """
    landmarks = _landmarks_of("align", faces)
    array, bgr = _array_of(image, channels)
    return Aligned(*_core.align(array, bgr, landmarks, size, margin, _rotation_of("align", faces, rotation)))


class Pose(NamedTuple):
    """Which way a head faces: degrees, all 0 for a frontal, upright face."""

    yaw: float  #: -90..90, positive when the face turns to the picture's right
    pitch: float  #: -180..180, positive up
    roll: float  #: -180..180, positive clockwise in the picture


class Mesh(NamedTuple):
    """The mesh of one face: n vertices, in the order of MeshEstimator.triangles. Arrays are float32 and the caller's."""

    vertices: np.ndarray  #: [n, 3]: x right, y up, z out of the picture, in centimetres, without the pose
    projected: np.ndarray  #: [n, 3]: x, y in pixels of the picture; z in the same unit, nearer smaller
    colours: np.ndarray  #: [n, 3], red, green, blue, 0..1: the picture's, or the model's where there is no picture
    landmarks68: np.ndarray  #: [68, 3]: as projected, in the order of iBUG
    pose: Pose
    latent: np.ndarray  #: [128]: shape and texture, what the mesh decoder made the vertices of
    residual: float  #: how far the landmarks (five, or 68 refined) are from those of the mesh: root mean square, pixels


class MeshEstimator:
    """Meshes and poses of faces, from their five landmarks. It pickles; threads may share one, but take turns: one each is faster.

    model   None for the decoder in the package, the path of a mesh file, or its bytes
    isa     as of Detector
    refine  look for 68 landmarks in the picture with a second network, and fit meshes (not poses()) to these

    Raises Error for a file that is no mesh decoder.
    """

    def __init__(self, model: Union[str, os.PathLike, bytes, None] = None, *, isa: str = "auto", refine: bool = False) -> None:
        self._model, self._isa, self._refine = _checked_model(model), isa, refine
        _check_kinds({"isa": isa, "refine": refine})
        self._core = _core.MeshEstimator(_model_or(model, "mesh_decoder"), _model_or(None, "landmarks68") if refine else None, isa)

    def estimate(self, image: Any, faces: Any, channels: str = "rgb", rotation: Optional[int] = None) -> list[Mesh]:
        """The mesh of each face.

        image, channels  as Detector.detect() takes them, for the colours and the refinement; None: the model's own, and none
        faces            as align() takes them; those that detect() gives, with their corrections, are fitted closer than bare landmarks
        rotation         as align() takes it

        Raises ValueError for landmarks that coincide or are not finite. The interpreter's lock is released.
        """
        array, bgr = (None, False) if image is None else _array_of(image, channels)
        turn = _rotation_of("mesh", faces, rotation)
        meshes = self._core.estimate(array, bgr, _landmarks_of("mesh", faces), _corrections_of(faces), turn)
        return [Mesh(*parts[:4], Pose(*parts[4]), *parts[5:]) for parts in meshes]

    def poses(self, faces: Any) -> list[Pose]:
        """The pose of each face, for which no mesh is made; faces as of estimate()."""
        landmarks = _landmarks_of("pose", faces)
        return [Pose(*map(float, angles)) for angles in self._core.estimate_poses(landmarks, _corrections_of(faces))]

    @property
    def triangles(self) -> np.ndarray:
        """int32 [t, 3]: indices of vertices, counter-clockwise seen from outside. A view that cannot be written to."""
        return self._core.triangles()

    def __reduce__(self) -> tuple[Any, ...]:
        return _mesh_estimator_of, (_travelling(self._model), self._isa, self._refine)

    def __repr__(self) -> str:
        return f"<retinaface.MeshEstimator: {len(self.triangles)} triangles>"


def _landmarks_of(what: str, faces: Any) -> np.ndarray:
    """float32 [n, 5, 2], rows packed."""
    faces = getattr(faces, "landmarks", faces)
    if isinstance(faces, (list, tuple)):
        faces = [getattr(face, "landmarks", face) for face in faces] or np.zeros((0, 5, 2))
    try:
        landmarks = np.asarray(faces, dtype=np.float32)
    except (TypeError, ValueError):
        raise ValueError(f"{what}: expected Faces, a Face, a sequence of Face, or landmarks, found {type(faces).__name__}") from None
    if landmarks.ndim == 2:
        landmarks = landmarks[None]
    if landmarks.ndim != 3 or landmarks.shape[1:] != (5, 2):
        raise ValueError(f"{what}: expected landmarks [n, 5, 2], found {list(landmarks.shape)}")
    return np.ascontiguousarray(landmarks)


def _rotation_of(what: str, faces: Any, rotation: Optional[int]) -> int:
    """What align() and estimate() were told, or else what the faces (as of _landmarks_of) say."""
    if rotation is not None:
        return rotation
    several = [faces] if isinstance(faces, Face) or not isinstance(faces, (list, tuple)) else faces
    turns = sorted({getattr(face, "rotation", 0) for face in several})
    if len(turns) > 1:
        raise ValueError(f"{what}: expected faces of one picture, found rotations {', '.join(map(str, turns))}")
    return turns[0] if turns else 0


def _corrections_of(faces: Any) -> Optional[np.ndarray]:
    """What faces (as of _landmarks_of) carry for a MeshEstimator: float32 [n, 54], or None where not all do."""
    if isinstance(faces, Face):
        faces = [faces]
    if isinstance(faces, (list, tuple)):
        each = [getattr(face, "correction", None) for face in faces]
        return None if not each or any(one is None for one in each) else np.array(each, np.float32)
    corrections = getattr(faces, "corrections", None)
    return None if corrections is None else np.ascontiguousarray(corrections, np.float32)


def _mesh_estimator_of(model: Union[bytes, None], isa: str, refine: bool) -> MeshEstimator:
    """What a pickled MeshEstimator becomes."""
    return MeshEstimator(model, isa=isa, refine=refine)


def _detector_of(model: Union[bytes, None], options: dict[str, Any]) -> Detector:
    """What a pickled Detector becomes."""
    detector = Detector.__new__(Detector)
    detector._model, detector._options = model, options
    detector._core = _core.Detector(_model_or(model, "mobilenet025"), **options)
    return detector


_KINDS = {
    **dict.fromkeys(("score", "nms", "voting_threshold", "min_face", "max_face"), (numbers.Real, "a number")),
    **dict.fromkeys(("max_faces", "width", "height", "threads"), (numbers.Integral, "a whole number")),
    "rotation": (numbers.Integral, "a whole number or 'auto'"),
    **dict.fromkeys(("flip", "clip", "refine"), ((bool, np.bool_), "True or False")),
    **dict.fromkeys(("voting", "isa"), (str, "a name")),
}
"""Of arguments: the type, and what it is called. Two of them are sides of `size` or `shortest_side`."""


def _check_kinds(arguments: dict[str, Any]) -> None:
    """Raises TypeError that names the argument, what was expected and what was found."""
    for name, (kind, expected) in _KINDS.items():
        if name in arguments and not isinstance(arguments[name], kind):
            shown = "size" if name in ("width", "height") else name
            raise TypeError(f"options: {shown} must be {expected}, found {arguments[name]!r}")
    for factor in arguments.get("scales", ()):
        if not isinstance(factor, numbers.Real):
            raise TypeError(f"options: scales must be numbers, found {factor!r}")


def _checked_model(model: Any) -> Union[str, os.PathLike, bytes, None]:
    """The model itself. Raises TypeError where it is no path and no bytes."""
    if model is None or isinstance(model, (str, bytes, os.PathLike)):
        return model
    raise TypeError(f"model must be a path, the bytes of a file or None, found {type(model).__name__}")


def _model_or(model: Union[str, os.PathLike, bytes, None], shipped: str) -> Union[str, bytes]:
    """What _core takes: the model, or the file of that name in the package."""
    if model is None:
        return str(_WEIGHTS / f"{shipped}.safetensors")
    return os.fspath(model) if isinstance(model, os.PathLike) else model


def _travelling(model: Union[str, os.PathLike, bytes, None]) -> Union[bytes, None]:
    """A model for a pickle: a path may mean nothing where that is read, so the weights travel."""
    return model if model is None or isinstance(model, bytes) else Path(model).read_bytes()


def _array_of(image: Any, channels: str) -> tuple[Any, bool]:
    """The image as something that _core takes, and whether its channels are bgr."""
    bgr = _CHANNELS.get(channels)
    if bgr is None:
        raise ValueError(f"image: channels must be 'rgb' or 'bgr', found {channels!r}")
    if isinstance(image, np.ndarray):
        return image, bgr
    if hasattr(image, "__dlpack_device__"):
        device = image.__dlpack_device__()
        if device[0] != _CPU:
            raise ValueError(f"image: expected memory of the CPU, found DLPack device {tuple(map(int, device))}")
        return image, bgr
    if hasattr(image, "mode") and hasattr(image, "convert"):  # PIL, which need not be installed
        if image.mode.startswith("I;16"):  # convert() would clip it to white
            return (np.asarray(image) >> 8).astype(np.uint8), False
        if image.mode in ("I", "F"):
            raise ValueError(f"image: expected a PIL image of bytes or of mode I;16, found mode {image.mode}")
        return np.asarray(image if image.mode in ("L", "RGB", "RGBA") else image.convert("RGB")), False
    if hasattr(image, "__array_interface__"):
        return np.asarray(image), bgr
    try:
        return np.asarray(memoryview(image)), bgr
    except TypeError:
        raise ValueError(f"image: expected an array or a PIL image, found {type(image).__name__}") from None
