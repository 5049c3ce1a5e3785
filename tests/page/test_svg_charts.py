import re
from xml.etree import ElementTree

import numpy as np
import pytest

from cytomesh.page.svg_charts import DASHED, Axis, Line, bar_chart, line_chart, round_step, ticks

X, Y = Axis("place", "mm"), Axis("<share>", "%")


def test_lines_break_where_there_is_no_value() -> None:
    x = np.arange(4.0)
    lines = [Line("one", x, np.array([1.0, np.nan, 2.0, 3.0])), Line("two", x, x, 1, DASHED)]
    drawing = ElementTree.fromstring(line_chart(lines, X, Y, "c & d"))
    assert [text.text for text in drawing.iter("text")][-4:] == ["one", "two", "place, mm", "<share>, %"]
    paths = [path.get("d") for path in drawing.iter("path") if path.get("class") == "line"]
    assert [path.count("M") for path in paths] == [2, 1, 1, 1]  # each followed by its legend
    assert drawing.find("figcaption").text == "c & d"


def test_one_line_needs_no_legend() -> None:
    assert "only" not in line_chart([Line("only", np.zeros(0), np.zeros(0))], X, Y, "nothing measured")


def test_bars_are_as_high_as_their_share() -> None:
    html = bar_chart(np.array([0.0, 1.0, 2.0]), np.array([20.0, 40.0]), X, Y, "c")
    low, high = (float(value) for value in re.findall(r'height="([\d.]+)" fill', html))
    assert high == pytest.approx(2 * low, abs=0.2)
    assert "1 to 2 mm: 40.0 %" in html


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-0.31, 0.29), (-60.0, 78.0), (1e-7, 3e-7), (0.0, 48211.0)])
def test_ticks_are_round_and_inside(low, high):
    places = np.array(ticks(low, high))
    assert 3 <= len(places) <= 8
    assert places.min() >= low - 1e-9 and places.max() <= high + 1e-9
    assert np.diff(places) == pytest.approx(places[1] - places[0])


@pytest.mark.parametrize(("most", "step"), [(1.0, 1.0), (1.99, 1.0), (0.07, 0.05), (340.0, 200.0)])
def test_steps_are_of_the_series(most, step):
    assert round_step(most) == pytest.approx(step)
