"""The figures of the stages, from a finished demo: `python -m docs.figures.draw RUN [NAME ...]`.

Written beside this file; the manual shows them as they are, so that it builds without a run. Stages that the demo does
not have are run first, in the same folder. `report` needs Chromium, `export` Workbench.
"""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
from PIL import Image

from docs.figures import cortex, curves, screens, sections

HERE = Path(__file__).parent
MORE = {
    "cells": (
        "analyze/cells/metrics.json",
        "phantom-cells RUN/phantom --brain B01",
        "cells --out RUN --config phantom",
    ),
    "evaluate": ("analyze/evaluate/metrics.json", "evaluate --out RUN --config demo"),
    "finetune": ("encoders/tuned/summary.json", "finetune --out RUN --config demo"),
    "own_maps": (
        "own/graphs",
        "phantom-maps --out RUN/own/maps",
        "graph init RUN/own/maps.yaml --from RUN/own/maps --brain fsaverage5",
        "graph import RUN/own/maps.yaml --out RUN/own",
    ),
    "export": ("workbench/run.scene", "export workbench --out RUN"),
}
"""What a figure needs beside the demo, and the commands that make it."""
FIGURES: dict[str, Callable[[Path], Any]] = {
    draw.__name__: draw
    for draw in (
        sections.study,
        sections.images,
        sections.surfaces,
        sections.patch,
        sections.phantom,
        sections.layers,
        sections.cells,
        cortex.own_maps,
        cortex.register,
        cortex.embed,
        cortex.classify,
        cortex.parcellate,
        curves.pretrain,
        curves.finetune,
        curves.variation,
        curves.inspect,
        curves.evaluate,
        screens.report,
        screens.export,
    )
}


def main(run: Path, names: list[str]) -> None:
    """Write the figures as small PNG files."""
    mpl.use("Agg")
    mpl.rcParams.update({"font.size": 9, "axes.titlesize": "medium"})
    for name in names or FIGURES:
        needed, *commands = MORE.get(name, ("",))
        for command in commands if not (run / needed).exists() else ():
            words = [word.replace("RUN", str(run)) for word in command.split()]
            subprocess.run([sys.executable, "-m", "cytomesh", "--quiet", *words], check=True)
        drawn = io.BytesIO()
        FIGURES[name](run).savefig(drawn, dpi=110)
        plt.close("all")
        image = Image.open(drawn).convert("RGB")
        image.quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(
            HERE / f"{name}.png", optimize=True
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
