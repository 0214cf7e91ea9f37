"""python -m retinaface detect ...: the command-line tool in the package."""

import os
import sys
from pathlib import Path

tool = Path(__file__).parent / "bin" / "retinaface"
if not tool.is_file():
    sys.exit(
        "retinaface: this package was built without the command-line tool; its headers (Debian: libcli11-dev nlohmann-json3-dev libstb-dev) "
        "and `pip install` again put it in"
    )
os.execv(tool, [str(tool), *sys.argv[1:]])
