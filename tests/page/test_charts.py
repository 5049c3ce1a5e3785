import json
import re
import shutil
import subprocess

import numpy as np
import pytest

from cytomesh.page.charts import (
    axis,
    bar_marker,
    beside,
    category_axis,
    chart,
    chart_scripts,
    curve,
    dot_marker,
    dots,
    histogram,
    numbers,
)
from cytomesh.page.document import document


def test_a_chart_carries_its_data() -> None:
    html = chart([curve("a <b>", [0, 1], [2, np.nan], 7)], axis("x", "mm"), axis("y"), caption="c", barmode="group")
    figure = json.loads(re.search(r"<script[^>]*>(.*?)</script>", html)[1])
    (line,) = figure["data"]
    assert (line["name"], line["y"], line["line"]["dash"]) == ("a &lt;b&gt;", [2.0, None], "dash")
    assert figure["layout"]["xaxis"]["title"]["text"] == "x (mm)" and figure["layout"]["barmode"] == "group"


def test_no_series_hides_another() -> None:
    places = [beside([0, 1], order, 3) for order in range(3)]
    low, high = category_axis("t", ["a", "b"])["range"]
    assert len({round(x, 9) for row in places for x in row}) == 6
    assert low < min(map(min, places)) and max(map(max, places)) < high
    assert [round(x) for x in places[2]] == [0, 1]


def test_bars_are_drawn_where_there_is_a_spread() -> None:
    assert "error_y" not in dots("a", [0], [1], None, {})
    assert dots("a", [0], [1], [0.5], {})["error_y"]["array"] == [0.5]


def test_shares_are_of_all_values() -> None:
    steps = histogram("a", np.array([0.5, 1.5, 1.5, 9.0]), np.array([0.0, 1.0, 2.0]), 0, "mm")
    assert steps["x"] == [0.5, 1.5] and steps["y"] == [25.0, 50.0] and steps["line"]["shape"] == "hvh"


def test_numbers_are_short() -> None:
    assert numbers([1.23456789, np.inf], 3) == [1.23, None]


def test_long_axis_titles_are_wrapped_with_their_unit() -> None:
    title = axis("signed distance of the node from its section plane", "mm")["title"]["text"]
    assert title == "signed distance of the node from its<br>section plane (mm)"


def test_no_two_series_look_alike() -> None:
    assert len({tuple(dot_marker(order).values()) for order in range(35)}) == 35
    assert len({str(bar_marker(order)) for order in range(28)}) == 28


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
@pytest.mark.parametrize("n", [2, 30])
def test_a_browser_names_every_series_and_leaves_room_to_draw(tmp_path, n) -> None:
    names = [f"a model with a long name, number {order}" for order in range(n)]
    traces = [dots(name, [order], [0.5], None, dot_marker(order)) for order, name in enumerate(names)]
    body = chart(traces, axis("x"), axis("y"), caption="c", height_px=320)
    (tmp_path / "page.html").write_text(document("t", body, chart_scripts()), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--window-size=800,600", "--virtual-time-budget=4000"]
    command = ["chromium", *options, f"--user-data-dir={tmp_path}/u", "--dump-dom", f"file://{tmp_path}/page.html"]
    drawn = subprocess.run(command, check=True, capture_output=True, timeout=120, text=True).stdout.split("<svg", 1)[1]
    assert all(f">{name}</text>" in drawn for name in names)
    shown = float(re.search(r'<rect class="bg"[^>]* height="([0-9.]+)"', drawn)[1])
    assert shown > 19 * n / 3 - 5  # at most three fit beside each other, each of 19 px
    assert float(re.search(r'<rect class="nsewdrag[^>]* height="([0-9.]+)"', drawn)[1]) > 150
