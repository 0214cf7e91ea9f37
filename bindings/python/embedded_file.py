"""Takes the weights file out of a header that `tools/convert_weights.py --emit-hpp` made: embedded_file.py HEADER FILE"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tools"))
from retinaface_weights import header_export  # noqa: E402

header, file = map(Path, sys.argv[1:])
data = header_export.read(header.read_text(encoding="ascii"))
file.parent.mkdir(parents=True, exist_ok=True)
file.write_bytes(data)
