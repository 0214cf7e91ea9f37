#!/usr/bin/env python3
"""Write the tables of `weights/README.md` that follow from the networks' descriptions (`retinaface_weights/network.py`).

    weights_tables.py           write them anew
    weights_tables.py --check   exit with 1 if they are not current
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import Dict, List, Optional, Sequence, Tuple

from retinaface_weights.network import ARCHITECTURES, HEADS, PROFILES, Conv, convolutions

PAGE = Path(__file__).resolve().parents[1] / "weights" / "README.md"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join([_row(header), "|" + "---|" * len(header), *(_row(row) for row in rows)])


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def architectures() -> str:
    """One row a network: name, what it is, size."""
    rows = []
    for architecture in ARCHITECTURES.values():
        convs = convolutions(architecture.layers(0.0))
        parameters = sum(conv.c_out * (conv.c_in // conv.groups * conv.kernel**2 + 1) for conv in convs)
        slope = "the profile's" if architecture.slope is None else f"slope {architecture.slope:g}"
        rows.append([f"`{architecture.name}`", architecture.about, slope, str(len(convs)), f"{parameters:,}"])
    return _table(["architecture", "what", "activation", "convolutions", "values"], rows)


def profiles() -> str:
    """One row a profile: input and decoding."""
    rows = []
    for profile in PROFILES.values():
        border = "no padding" if profile.pad_to == 1 else f"to a multiple of {profile.pad_to}" + (
            "" if profile.pad_pixel is None else f" with pixels of {profile.pad_pixel:g}"
        )
        landmark = profile.variances[0] if profile.landmark_variance is None else profile.landmark_variance
        rows.append(
            [
                f"`{profile.name}`", ", ".join(profile.channels.upper()), _numbers(profile.mean), border,
                f"{profile.slope:g}", f"{_numbers(profile.variances)}, {landmark:g}",
                "that of the cell" if profile.first_centre is None else f"{profile.first_centre:g} px at every level",
            ]
        )  # fmt: skip
    header = ["profile", "channels", "less mean", "padded", "slope", "variances: centre, size, landmark", "first anchor's centre"]
    return _table(header, rows)


def _group(name: str) -> str:
    """A name with the numbers of its level or block left open, so that alike layers share a row."""
    name = re.sub(r"^(context|head)\.p\d", r"\1.pN", name)
    name = re.sub(r"^(backbone\.layer\d)\.[1-9]\d*", r"\1.I", name)
    return re.sub(r"^backbone\.(layer\d+\.)?block\d+", lambda m: f"backbone.{m[1] or ''}blockI", name)


def _shape(conv: Conv) -> str:
    stride = f" /{conv.stride}" if conv.stride > 1 else ""
    return str(list(conv.weight_shape)) + stride


def tensors(name: str) -> str:
    """Rows of one network: tensors, shapes of the weights."""
    groups: Dict[str, List[Conv]] = {}
    for conv in convolutions(ARCHITECTURES[name].layers(0.0)):
        groups.setdefault(_group(conv.name), []).append(conv)
    rows = []
    for group, convs in groups.items():
        places = (re.search(r"block(\d+)|layer\d\.([1-9]\d*)|\.p(\d)", conv.name) for conv in convs)
        indices = [next(filter(None, match.groups())) for match in places if match]
        letter = "I" if "I" in group else "N" if ".pN" in group else ""
        span = f", {letter} = {indices[0]}..{indices[-1]}" if letter else ""
        shapes = Counter(_shape(conv) for conv in convs)
        texts = [shape + (f" x{count}" if count > 1 and len(shapes) > 1 else "") for shape, count in shapes.items()]
        note = dict((f"head.pN.{head}", text) for head, text in _CHANNELS.items()).get(group, "")
        rows.append([f"`{group}`{span}", "; ".join(texts) + note])
    return _table([f"`{name}` (each with `.weight` and `.bias`)", "shape of the weight, /stride"], rows)


_CHANNELS = {
    "class": ", channel = anchor * 2 + {background, face}",
    "box": ", channel = anchor * 4 + {x, y, w, h}",
    "landmark": ", channel = anchor * 10 + point * 2 + {x, y}",
}
assert list(_CHANNELS) == [head for head, _ in HEADS]


def sections() -> Dict[str, str]:
    """The generated parts by name."""
    return {
        "architectures": architectures(),
        "profiles": profiles(),
        "tensors": "\n\n".join(tensors(name) for name in ARCHITECTURES),
    }


def render(text: str) -> str:
    """The page with every generated part anew; each lies between `<!-- NAME: ... -->` and `<!-- end of NAME -->`."""
    for name, body in sections().items():
        pattern = re.compile(rf"(<!-- {name}: [^>]*-->\n).*?(<!-- end of {name} -->)", re.S)
        text, count = pattern.subn(lambda match: match[1] + body + "\n" + match[2], text)
        if count != 1:
            raise SystemExit(f"{PAGE}: expected one place for {name}, found {count}")
    return text


def main(argv: Optional[List[str]] = None) -> int:
    arguments: Tuple[str, ...] = tuple(sys.argv[1:] if argv is None else argv)
    if arguments not in ((), ("--check",)):
        print(__doc__)
        return 2
    text = PAGE.read_text("utf-8")
    current = render(text)
    if arguments and text != current:
        print(f"{PAGE} is not current: run tools/weights_tables.py")
        return 1
    if not arguments:
        PAGE.write_text(current, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
