"""What the README and the gallery of settings show can be run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main

from cytomesh.cli.app import app
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import save_graph
from tests.conftest import sphere_graph

REPOSITORY = Path(__file__).parents[1]
PAGES = ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")
GROUP = typer.main.get_command(app)


def blocks(page: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", (REPOSITORY / page).read_text(), re.M | re.S)


def commands() -> list[str]:
    found = []
    for page in PAGES:
        text = (REPOSITORY / page).read_text()
        lines = [line for block in blocks(page, "") for line in block.splitlines()]
        shown = [*lines, *(" ".join(code.split()) for code in re.findall(r"`(cytomesh [^`]+)`", text))]
        found += [
            part for line in shown for part in re.findall(r"cytomesh [a-z-]+(?: [^#|&]*)?", line.partition("#")[0])
        ]
    words = {command.strip() for command in found if re.match(r"cytomesh [a-z-]+", command)}
    return sorted(word for word in words if "..." not in word and "…" not in word)


@pytest.mark.parametrize("line", commands())
def test_commands_have_the_options_that_are_shown(line):
    words = shlex.split(line)[1:]
    command = GROUP
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        assert words[0] in command.commands, line
        command = command.commands[words.pop(0)]
    known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
    known |= {"--quiet", "-q", "--debug", "--help"}
    assert [word for word in words if word.startswith("-") and word.partition("=")[0] not in known] == []


@pytest.mark.parametrize("page", PAGES)
def test_files_and_benchmarks_that_are_named_exist(page):
    text = (REPOSITORY / page).read_text()
    for path in re.findall(r"\b((?:configs|data_manifests|benchmarks|docs|tests)/[\w./-]+\w)", text):
        assert (REPOSITORY / path).exists(), path
    for module in re.findall(r"-m (benchmarks\.[\w.]+)", text):
        path = REPOSITORY / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


def test_python_runs(tmp_path):
    graph = sphere_graph(subdivisions=2)
    save_graph(tmp_path, graph, {}, {})
    features = np.random.default_rng(0).normal(size=(graph.n_nodes, 8)).astype(np.float32)
    features[~graph.is_linked] = np.nan
    save_features(tmp_path, "vit", graph, features, {})
    names = {
        "model": torch.nn.Linear(4, 8),
        "images": torch.randn(16, 4),
        "position_mm": 10 * torch.rand(16, 3),
        "run": tmp_path,
        "graph": graph,
        "features": np.nan_to_num(features),
    }
    for code in blocks("README.md", "python"):
        exec(compile(code, "README.md", "exec"), names)
    assert names["data"].x.shape == (graph.n_nodes, 8)
    assert len(names["table"]) == graph.n_nodes
