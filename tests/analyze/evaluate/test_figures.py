"""Figures for print: one a kind of result, the same for the same numbers."""

import re

from cytomesh.analyze.evaluate.figures import write_figures


def row(measure, split, level=None, **means):
    spread = {"sd": 0.05, "n": 3, "low": None, "high": None}
    scores = {name: {"mean": mean, **spread} for name, mean in means.items()}
    facts = {"task": "t", "target": "areas", "split": split, "measure": measure, "title": measure}
    return {**facts, "level": level, "level_name": "annotated sections", "scores": scores}


def test_what_the_table_has_is_drawn_with_every_encoder_in_the_legend(tmp_path):
    rows = [row("macro_f1", "seen", one=0.5), row("r2", "left-out blocks", one=0.5, two=-0.4)]
    rows += [row("macro_f1", "unseen", level, one=0.1 * level, two=0.2) for level in (4, 1, 2)]
    write_figures(tmp_path, {"rows": rows, "encoders": ["one", "two"]})
    first = {path.name: path.read_bytes() for path in tmp_path.glob("*.svg")}
    assert first.keys() == {"few_shot.svg", "names.svg", "variation.svg"}
    for name, drawn in first.items():
        text = drawn.decode()
        assert all(re.search(f">{word}<", text) for word in ("one", "two")), name
    assert re.search(r">annotated sections<.*", first["few_shot.svg"].decode())
    assert ">areas, left-out blocks<" in first["variation.svg"].decode()
    write_figures(tmp_path, {"rows": rows, "encoders": ["one", "two"]})
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.svg")} == first


def test_nothing_is_drawn_of_nothing(tmp_path):
    write_figures(tmp_path, {"rows": [row("auroc", "seen", one=0.5)], "encoders": ["one"]})
    assert not list(tmp_path.iterdir())
