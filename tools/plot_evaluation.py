#!/usr/bin/env python3
"""Draws the curves of a report that `retinaface evaluate ... --json` wrote: plot_evaluation.py REPORT.json|- OUT.svg|png|pdf

`--plot` of the tool runs this script, whose text it carries. One axes for all curves of the same two quantities.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Tuple

NO_MATPLOTLIB = 3
"""Exit code that the tool puts into words."""


def draw(report: Dict[str, Any], path: Path) -> None:
    """Draws `report` to `path`, whose extension chooses the format."""
    try:
        import matplotlib
    except ImportError:
        sys.exit(NO_MATPLOTLIB)
    matplotlib.use("Agg")
    from matplotlib import pyplot

    groups: Dict[Tuple[str, str], List[Dict[str, Any]]] = {}
    for curve in report["curves"]:
        if curve["points"]:
            groups.setdefault((curve["x"], curve["y"]), []).append(curve)
    if not groups:
        sys.exit("plot_evaluation.py: the report has no curves")
    figure, axes = pyplot.subplots(1, len(groups), figsize=(6 * len(groups), 5), squeeze=False)
    values = {(row["figure"], row["faces"]): row["value"] for row in report["figures"]}
    for ax, ((x, y), curves) in zip(axes[0], groups.items()):
        for curve in curves:
            value = values.get(("AP@.5", curve["name"]))
            label = curve["name"] if value is None else f"{curve['name']} (AP {value:.3f})"
            ax.plot(*zip(*curve["points"]), label=label)
        if x == "false accept rate":
            ax.set_xscale("symlog", linthresh=1e-6)
        ax.set(xlabel=x, ylabel=y, ylim=(0, 1.02))
        ax.set_xlim(left=0)
        ax.grid(alpha=0.3)
        ax.legend(loc="lower left" if y == "precision" else "lower right")
    conditions = report["figures"][0]["conditions"] if report["figures"] else ""
    figure.suptitle(f"{report['protocol']}: {conditions}", fontsize=8, wrap=True)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main(arguments: List[str]) -> None:
    """Command line."""
    if len(arguments) != 2:
        sys.exit("usage: plot_evaluation.py REPORT.json|- OUT.svg|png|pdf")
    text = sys.stdin.read() if arguments[0] == "-" else Path(arguments[0]).read_text(encoding="utf-8")
    draw(json.loads(text), Path(arguments[1]))


if __name__ == "__main__":
    main(sys.argv[1:])
