"""The gallery's examples: each in a process of its own, without network, and without a file that it leaves behind."""

from __future__ import annotations

import ast
import os
import runpy
import sys
import tempfile
from pathlib import Path

import pytest

import cytomesh
from tests.processes import CONTEXT

GALLERY = Path(__file__).parents[2] / "docs" / "gallery"
EXAMPLES = sorted(GALLERY.glob("plot_*.py"))


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs_and_shows_figures(example, tmp_path):
    said, work, temporary = tmp_path / "said.txt", tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    process = CONTEXT.Process(target=_run, args=(example, said, work, temporary))
    process.start()
    process.join()
    assert process.exitcode == 0, said.read_text()
    assert said.read_text().splitlines()[-1].startswith("figures: ")
    assert list(work.iterdir()) == list(temporary.iterdir()) == []


def _run(example: Path, said: Path, work: Path, temporary: Path) -> None:
    os.environ.update(TMPDIR=str(temporary))
    tempfile.tempdir = None
    os.chdir(work)
    with said.open("w") as stream:
        os.dup2(stream.fileno(), 1)
        os.dup2(stream.fileno(), 2)
    import matplotlib.pyplot as plt
    from pytest_socket import disable_socket

    plt.switch_backend("Agg")

    disable_socket(allow_unix_socket=True)
    n_shown = 0

    def show() -> None:
        nonlocal n_shown
        for number in plt.get_fignums():
            figure = plt.figure(number)
            figure.canvas.draw()
            assert _words(figure), "a figure without a word"
            n_shown += 1
        plt.close("all")

    plt.show = show
    runpy.run_path(str(example), run_name="__main__")
    assert not plt.get_fignums(), "a figure that is not shown"
    assert n_shown
    print(f"figures: {n_shown}")
    sys.stdout.flush()


def _words(figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(match=lambda item: hasattr(item, "get_text")) if text.get_text()]


def test_there_are_examples_enough_each_with_a_title():
    assert len(EXAMPLES) >= 8
    for example in EXAMPLES:
        first, title, rule = example.read_text().splitlines()[:3]
        assert first == '"""' and title and rule == "=" * len(title), example.name
        assert "plt.show()" in example.read_text()


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_uses_public_names_and_simulated_data_only(example):
    imports = [
        node for node in ast.walk(ast.parse(example.read_text())) if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    for node in imports:
        if isinstance(node, ast.Import):
            assert not any(each.name.startswith("cytomesh") for each in node.names)
        elif node.module == "cytomesh":
            assert {each.name for each in node.names} <= set(cytomesh.__all__)
        elif node.module.startswith("cytomesh"):
            assert node.module.startswith("cytomesh.phantom."), (
                "a reader has own data in the place of the phantom's only"
            )
