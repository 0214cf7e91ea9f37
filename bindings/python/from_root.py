"""The build backend of the repository's root, for a `pip install` in bindings/python."""

import os
from pathlib import Path

os.chdir(Path(__file__).resolve().parents[2])

from scikit_build_core.build import *  # noqa: E402, F403
