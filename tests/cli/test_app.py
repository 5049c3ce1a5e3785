import resource
import subprocess
import sys
from importlib.metadata import version

import pytest


def test_help_answers_at_once():
    """Within twice the processor time of an empty typer program; seconds would judge the machine."""
    empty = "import typer; app = typer.Typer(); app.command()(lambda word='': None); app()"
    programs = {"empty": ["-c", empty], "cytomesh": ["-m", "cytomesh"]}
    seconds: dict[str, list[float]] = {name: [] for name in programs}
    for _ in range(3):
        for name, words in programs.items():
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            result = subprocess.run([sys.executable, *words, "--help"], capture_output=True, text=True, check=True)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds[name].append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert "build-graph" in result.stdout
    assert min(seconds["cytomesh"]) < 2 * min(seconds["empty"]), seconds


def test_nothing_heavy_is_imported_for_help():
    heavy = ("torch", "timm", "scipy", "nibabel", "plotly")
    code = f"import sys, cytomesh.cli.app; print([m for m in {heavy} if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_version(cytomesh):
    assert cytomesh("--version")[:2] == (0, version("cytomesh") + "\n")


def test_errors_are_one_message_and_debug_shows_the_traceback(cytomesh, tmp_path):
    code, _, err = cytomesh("classify", "--out", tmp_path / "none")
    assert code == 1
    assert err.startswith("cytomesh: ")
    assert "Traceback" not in err
    with pytest.raises(FileNotFoundError):
        cytomesh("classify", "--out", tmp_path / "none", "--debug")


def test_unknown_command(cytomesh):
    code, _, err = cytomesh("clasify")
    assert code == 2
    assert "clasify" in err
