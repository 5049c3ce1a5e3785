import json
import re

import numpy as np

from cytomesh.page.charts import axis, beside, category_axis, chart, curve, dots, histogram, numbers


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
