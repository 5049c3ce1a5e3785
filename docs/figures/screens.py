"""Figures that another program draws of a run's files."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from PIL import Image

CHROMIUM = "chromium --headless --no-sandbox --disable-gpu --use-gl=swiftshader --enable-unsafe-swiftshader"


def report(run: Path) -> Any:
    """Show the top of the report, without its tables."""
    with tempfile.TemporaryDirectory() as folder:
        picture, page = Path(folder) / "report.png", Path(folder) / "report.html"
        text = (run / "report.html").read_text(encoding="utf-8")
        page.write_text(
            text.replace("</head>", "<style>header > .cards ~ * { display: none }</style></head>", 1), "utf-8"
        )
        size = "--window-size=1000,1000 --virtual-time-budget=20000 --hide-scrollbars"
        words = (*CHROMIUM.split(), *size.split(), f"--user-data-dir={folder}/user", f"--screenshot={picture}")
        _call(*words, page.as_uri())
        return _picture(picture, 7.2)


def export(run: Path) -> Any:
    """Show the first scene in Workbench, with letters of orientation."""
    with tempfile.TemporaryDirectory() as folder:
        picture, scene = Path(folder) / "scene.png", run / "workbench" / "run.scene"
        _call("wb_command", "-show-scene", scene, "1", picture, "1000", "600")
        figure = _picture(picture, 7.2)
    (axes,) = figure.axes
    for x, letters in ((0.0, "AP"), (0.5, "PA")):
        for y in (0.75, 0.25):
            for place, letter in zip((x + 0.03, x + 0.47), letters, strict=True):
                axes.text(place, y, letter, transform=axes.transAxes, color="0.8", ha="center", va="center")
    return figure


def _call(*words: object) -> None:
    subprocess.run([str(word) for word in words], check=True, capture_output=True)


def _picture(path: Path, width_inch: float) -> Any:
    """Return a figure that is one picture, edge to edge."""
    pixels = np.asarray(Image.open(path).convert("RGB"))
    height, width = pixels.shape[:2]
    figure = plt.figure(figsize=(width_inch, width_inch * height / width))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels, aspect="auto", interpolation="lanczos", interpolation_stage="rgba")
    axes.axis("off")
    return figure
