"""MediaPipe Face Mesh's landmarks of one face (mediapipe==0.10.14, Apache-2.0): a teacher and a yardstick."""

from __future__ import annotations

from typing import Optional, Sequence

import mediapipe
import numpy as np
from PIL import Image

IBUG = [
    *(127, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 356),
    *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 1, 98, 97, 2, 326, 327),
    *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
    *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
]
"""The customary choice of iBUG's 68 points out of MediaPipe's 468."""

MARGIN = 0.4
"""Of the box's longer side, around it: what MediaPipe sees of the picture."""


class FaceMesh:
    """Finds the face in a box of a picture."""

    def __init__(self) -> None:
        self.solver = mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1, min_detection_confidence=0.3)

    def points(self, picture: Image.Image, box: Sequence[float]) -> Optional[np.ndarray]:
        """iBUG's points [68, 3] of the face in (x1, y1, x2, y2), in pixels of the picture (RGB), z in the same unit; None: not found."""
        x1, y1, x2, y2 = box
        margin = MARGIN * max(x2 - x1, y2 - y1)
        left, top = int(x1 - margin), int(y1 - margin)
        crop = picture.crop((left, top, int(x2 + margin), int(y2 + margin)))
        found = self.solver.process(np.ascontiguousarray(crop)).multi_face_landmarks
        if not found:
            return None
        width, height = crop.size
        return np.array([[p.x * width + left, p.y * height + top, p.z * width] for p in found[0].landmark])[IBUG]


def five_of(points: np.ndarray) -> np.ndarray:
    """The detector's five points of 68 landmarks: eyes (image left first), nose tip, mouth corners."""
    return np.array([points[36:42].mean(0), points[42:48].mean(0), points[30], points[48], points[54]])
