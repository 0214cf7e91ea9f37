"""Faces of a picture by ctypes, without the Python package: detect.py libretinaface.so < photo.ppm"""

import ctypes as c
import sys


class Image(c.Structure):
    _fields_ = [("struct_size", c.c_size_t), ("pixels", c.c_char_p), ("width", c.c_int32), ("height", c.c_int32), ("format", c.c_int32),
                ("full_range", c.c_int32), ("stride", c.c_ssize_t), ("chroma", c.c_char_p), ("chroma_stride", c.c_ssize_t), ("size", c.c_size_t)]


if len(sys.argv) != 2:
    sys.exit("usage: detect.py libretinaface.so < photo.ppm")
library = c.CDLL(sys.argv[1])
library.retinaface_last_error.restype = c.c_char_p
head, _, pixels = sys.stdin.buffer.read().partition(b"\n255\n")
magic, *sides = head.split()
if magic != b"P6" or len(sides) != 2:
    sys.exit("standard input: expected a binary PPM of 8 bits without comments, found something else")
width, height = map(int, sides)
image = Image(c.sizeof(Image), pixels, width, height, size=len(pixels))
faces, count, detector = (c.c_float * 15 * 100)(), c.c_size_t(), c.c_void_p()
if (library.retinaface_detector_create(None, None, c.byref(detector))
        or library.retinaface_detect(detector, c.byref(image), faces, c.c_size_t(60), c.c_size_t(100), c.byref(count))):
    sys.exit(library.retinaface_last_error().decode())
for score, x1, y1, x2, y2, *landmarks in faces[: count.value]:
    print(f"{score:.3f}  {x1:.0f} {y1:.0f} {x2:.0f} {y2:.0f}")
library.retinaface_detector_destroy(detector)
