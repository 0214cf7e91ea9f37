"""Takes the weights file out of a header that `tools/convert_weights.py --emit-hpp` made: embedded_file.py HEADER FILE"""

import base64
import hashlib
import re
import sys
from pathlib import Path

header, file = map(Path, sys.argv[1:])
text = header.read_text(encoding="ascii")
stated = re.search(r"^// A weights file of (\d+) bytes, sha256 ([0-9a-f]{64}):$", text, flags=re.MULTILINE)
# Pieces are encoded one by one: each may end in padding.
data = b"".join(base64.b64decode(piece) for piece in re.findall(r'^    "([A-Za-z0-9+/=]+)"', text, flags=re.MULTILINE))
if stated is None or len(data) != int(stated[1]) or hashlib.sha256(data).hexdigest() != stated[2]:
    sys.exit(f"{header}: its text is not the file that its first lines describe")
file.parent.mkdir(parents=True, exist_ok=True)
file.write_bytes(data)
