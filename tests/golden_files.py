#!/usr/bin/env python3
"""Reference weights and goldens as files that the tests read.

    golden_files.py SHARED OUT

Converts the official weights with tools/convert_weights.py and every golden of SHARED (`golden/*/NAME.npz` with its
picture and detections) to OUT/<profile>_NAME.safetensors.  $RETINAFACE_SHARED takes the place of SHARED.  Exit code
77: the folder or numpy is missing.
"""

import json
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

TOOLS = Path(__file__).resolve().parent.parent / "tools"
sys.path.insert(0, str(TOOLS))

try:
    import numpy as np
    from retinaface_weights import archive
except ImportError as error:
    print(f"SKIPPED: {error}")
    sys.exit(77)

SOURCES = {
    "biubug6": "weights/biubug6_mobilenet0.25_Final.pth",
    "m2man": "weights/m2man_mobilenet0.25_Final.pth",
    "insightface": "weights/insightface_mnet.25-0000.params",
    "insightface_mnet12": "weights/insightface_mnet12-0000.params",
}


def read_png(path):
    """8-bit RGB, not interlaced -> [H, W, 3].  The filters are undone along diagonals, all rows at a time."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n", path
    position, compressed = 8, b""
    while position < len(data):
        length, kind = int.from_bytes(data[position : position + 4], "big"), data[position + 4 : position + 8]
        body = data[position + 8 : position + 8 + length]
        if kind == b"IHDR":
            width, height = int.from_bytes(body[:4], "big"), int.from_bytes(body[4:8], "big")
            assert body[8:] == b"\x08\x02\0\0\0", f"{path}: not 8-bit RGB"
        elif kind == b"IDAT":
            compressed += body
        position += 12 + length
    rows = np.frombuffer(zlib.decompress(compressed), np.uint8).reshape(height, 1 + 3 * width)
    kind = rows[:, 0].astype(int)
    raw = rows[:, 1:].reshape(height, width, 3).astype(int)
    out = np.zeros((height + 1, width + 1, 3), int)  # a border of zeros above and left
    for diagonal in range(height + width - 1):
        y = np.arange(max(0, diagonal - width + 1), min(height, diagonal + 1))
        x = diagonal - y
        left, up, corner = out[y + 1, x], out[y, x + 1], out[y, x]
        p = left + up - corner
        dl, du, dc = abs(p - left), abs(p - up), abs(p - corner)
        paeth = np.where((dl <= du) & (dl <= dc), left, np.where(du <= dc, up, corner))
        predicted = np.choose(kind[y][:, None], [np.zeros_like(left), left, up, (left + up) // 2, paeth])
        out[y + 1, x + 1] = (raw[y, x] + predicted) & 255
    return out[1:, 1:].astype(np.uint8)


def faces(detections):
    """[K, 15]: score, box, landmarks."""
    rows = [[d["score"], *d["box"], *np.ravel(d["landmarks"])] for d in detections]
    return np.array(rows, np.float32).reshape(-1, 15)


def biubug6_tensors(folder, name):
    golden = np.load(folder / f"{name}.npz")
    detections = json.loads((folder / f"{name}.json").read_text())["detections"]
    tensors = {"box": golden["loc"], "probability": golden["conf"], "landmark": golden["landms"]}
    for threshold, found in detections.items():
        tensors[f"faces.{threshold}"] = faces(found)
    for key in golden.files:
        if key.startswith("act."):
            tensors[key] = golden[key]
    return tensors


def insightface_tensors(golden):
    """The nine maps as rows: levels fine to coarse, anchors small first, class as anchor * 2 + {background, face}."""

    def rows(name, values, anchor_last):
        parts = []
        for stride in (8, 16, 32):
            maps = golden[f"face_rpn_{name}_stride{stride}"]
            shape = (values, 2) if anchor_last else (2, values)
            maps = maps.reshape(*shape, *maps.shape[1:])
            maps = maps.transpose(2, 3, 1, 0) if anchor_last else maps.transpose(2, 3, 0, 1)  # [h, w, anchor, value]
            parts.append(maps[:, :, ::-1].reshape(-1, values))
        return np.concatenate(parts)

    return {
        "probability": rows("cls_prob_reshape", 2, True),
        "box": rows("bbox_pred", 4, False),
        "landmark": rows("landmark_pred", 10, False),
    }


def main():
    shared, out = Path(os.environ.get("RETINAFACE_SHARED", sys.argv[1])), Path(sys.argv[2])
    shutil.rmtree(out, ignore_errors=True)
    if not (shared / "golden").is_dir() or not all((shared / source).is_file() for source in SOURCES.values()):
        print(f"SKIPPED: {shared} has no golden files")
        return 77
    out.mkdir(parents=True)
    for name, source in SOURCES.items():
        command = [sys.executable, str(TOOLS / "convert_weights.py"), str(shared / source), "--quiet"]
        subprocess.run([*command, "-o", str(out / f"{name}.safetensors")], check=True)
    for profile in ("biubug6", "insightface", "insightface_mnet12"):
        for path in sorted((shared / "golden" / profile).glob("*.npz")):
            pictures = shared / "golden" / "biubug6"
            tensors = {"image": read_png(pictures / f"{path.stem}.png")}
            if profile == "biubug6":
                tensors.update(biubug6_tensors(path.parent, path.stem))
            else:
                tensors.update(insightface_tensors(np.load(path)))
            (out / f"{profile}_{path.stem}.safetensors").write_bytes(archive.dump(archive.Archive({}, tensors)))
            print(f"{profile} {path.stem}: {len(tensors)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
