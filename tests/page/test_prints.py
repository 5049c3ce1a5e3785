"""Figures for print."""

import matplotlib.pyplot as plt
import pytest

from cytomesh.core.errors import PackageError
from cytomesh.page import prints


@prints.printed("stage")
def draw(folder, scale=1.0):
    score = {"mean": 0.4 * scale, "sd": 0.1}
    rows = [("x^{$y", {"one": score, "two": score | {"low": 0.2, "high": 0.5}}), ("curvature", {"two": score})]
    prints.save(folder, "dots", prints.dots(rows, ["one", "two"], "R2"))


def test_both_formats_the_same_for_the_same_numbers(tmp_path):
    draw(tmp_path)
    first = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert first.keys() == {"dots.svg", "dots.pdf"}
    text = first["dots.svg"].decode()
    assert all(f">{word}<" in text for word in ("one", "two", "x^{$y", "curvature", "R2"))
    draw(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == first
    draw(tmp_path, scale=0.5)
    assert (tmp_path / "dots.pdf").read_bytes() != first["dots.pdf"]


def test_lines_are_told_apart_without_colour():
    pens = [prints.pen(order) for order in range(12)]
    assert len({(own["marker"], own["linestyle"]) for own in pens}) == 12
    assert plt.rcParams["font.size"] == plt.rcParamsDefault["font.size"]  # a style holds while it draws


def test_without_matplotlib_nothing_is_drawn_and_said(tmp_path, monkeypatch, capsys):
    def absent(*names):
        raise PackageError(names[0], found="not installed")

    monkeypatch.setattr(prints, "optional", absent)
    draw(tmp_path)
    assert not list(tmp_path.iterdir())
    assert "stage: no figures: matplotlib" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("score", "bars"), [({"sd": 0.1}, [0.1, 0.1]), ({"mean": 1.0, "low": 0.5, "high": 2.0}, [0.5, 1.0])]
)
def test_bars_are_an_interval_or_else_one_sd(score, bars):
    assert [own[0] for own in prints._bars(score)] == pytest.approx(bars)


def test_bars_end_within_the_frame():
    rows = [
        ("a", {"one": {"mean": 0.3, "sd": 0.1, "low": -0.4, "high": 1.3}}),
        ("b", {"one": {"mean": 0.9, "sd": 0.05}}),
    ]
    low, high = prints.dots(rows, ["one"], "R2").axes[0].get_xlim()
    assert low < -0.4 and high > 1.3
