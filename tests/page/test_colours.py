import numpy as np
import pytest

from cytomesh.page.colours import LINES, OKABE_ITO, css_colour, css_variables, line_colour, table_colours


def test_colours_are_those_of_the_table() -> None:
    assert css_colour(np.array([1.0, 128 / 255, 0.0, 1.0])) == "#ff8000"
    assert [css_colour(rgba) for rgba in table_colours(*LINES)] == list(LINES)
    assert table_colours("#ff0080") == pytest.approx(np.array([[1.0, 0.0, 128 / 255, 1.0]]))


def test_lines_have_colours_of_their_own() -> None:
    assert len({line_colour(order) for order in range(7)}) == 7
    assert line_colour(7) == line_colour(0) == OKABE_ITO["blue"]
    assert "--sky: #56b4e9;" in css_variables()
