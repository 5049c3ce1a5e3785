"""Figures for print: the same bytes for the same drawing, lines that are told apart in grey."""

import pytest

from cytomesh.page.print_figures import new_figure, pen, print_style, save_figure

pytest.importorskip("matplotlib")


def draw(folder):
    folder.mkdir()
    with print_style():
        figure = new_figure(2.0, 1.5)
        panel = figure.subplots()
        for order in range(3):
            panel.errorbar([0, 1], [order, order + 1], [0.1, 0.2], label=f"line {order}, $x^{{$", **pen(order))
        panel.legend()
        save_figure(folder / "lines.svg", figure)
    return (folder / "lines.svg").read_bytes()


def test_the_same_drawing_is_the_same_file(tmp_path):
    first = draw(tmp_path / "a")
    assert first == draw(tmp_path / "b")
    assert b">line 1, $x^{$<" in first


def test_lines_differ_in_more_than_their_colour():
    pens = [pen(order) for order in range(7)]
    assert len({p["marker"] for p in pens}) == len({p["color"] for p in pens}) == 7
    assert len({(p["marker"], p["linestyle"]) for p in (pen(order) for order in range(28))}) == 28
