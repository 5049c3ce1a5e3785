"""The wheel, installed outside the checkout, has all that the program needs."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

from cytomesh.core.files import write_text

ROOT = Path(__file__).parents[1]
# Packages are those of this interpreter: they are gigabytes. Its own .pth files, an editable cytomesh among them, are
# not read from there.
PACKAGES = sysconfig.get_path("purelib")
# Tells which files of the checkout the program opens.
WATCH = f"""
import sys

def watch(event, arguments):
    if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str):
        path = arguments[0]
        if path.startswith({str(ROOT) + os.sep!r}) and not path.startswith({PACKAGES!r}):
            print("CHECKOUT", path, file=sys.stderr)

sys.addaudithook(watch)
"""


def run(*words: object, cwd: Path) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    command = [str(word) for word in words]
    done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert "CHECKOUT" not in done.stderr
    return done.stdout


def hatchling(*words: object, cwd: Path) -> str:
    site = Path(pytest.importorskip("hatchling").__file__).parents[1]
    pytest.importorskip("hatch_vcs")
    start = f"import sys; sys.path.append({str(site)!r}); from hatchling.cli import hatchling; hatchling()"
    return run(sys.executable, "-c", start, *words, cwd=cwd).strip()


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Return the scripts of a new environment with the wheel, an empty folder, and the version."""
    home = tmp_path_factory.mktemp("wheel")
    hatchling("build", "-t", "sdist", "-d", home, cwd=ROOT)
    (archive,) = home.glob("*.tar.gz")
    with tarfile.open(archive) as files:
        files.extractall(home, filter="data")
    # of the source distribution, which has to be complete, too
    source = home / archive.name.removesuffix(".tar.gz")
    hatchling("build", "-t", "wheel", "-d", home, cwd=source)
    (wheel,) = home.glob("*.whl")
    venv.create(home / "env", with_pip=False)
    scripts = home / "env" / "bin"
    options = ["--quiet", "--no-deps", "--no-index", "--disable-pip-version-check"]
    run(sys.executable, "-m", "pip", "--python", scripts / "python", "install", *options, wheel, cwd=home)
    (site,) = (home / "env").glob("lib/python*/site-packages")
    write_text(site / "packages.pth", f"{PACKAGES}\n")
    write_text(site / "sitecustomize.py", WATCH)
    (home / "work").mkdir()
    return scripts, home / "work"


def test_it_is_the_wheel_that_is_imported(installed):
    scripts, work = installed
    say = "import cytomesh, importlib.metadata as m; print(cytomesh.__file__, m.version('cytomesh'))"
    file, version = run(scripts / "python", "-c", say, cwd=work).split()
    assert Path(file).is_relative_to(scripts.parent)
    assert (work.parent / f"cytomesh-{version}.tar.gz").is_file()  # no git where the wheel was built
    assert run(scripts / "cytomesh", "--version", cwd=work).strip() == version


def test_files_of_the_checkout_would_be_noticed(installed):
    scripts, work = installed
    with pytest.raises(AssertionError, match="CHECKOUT"):
        run(scripts / "python", "-c", f"open({str(ROOT / 'README.md')!r})", cwd=work)


def test_presets_and_templates_come_with_it(installed):
    scripts, work = installed
    assert "kind: gat" in run(scripts / "cytomesh", "settings", "classify", "--config", "gat", cwd=work)
    (work / "images").mkdir()
    for number in (1, 2):
        tifffile.imwrite(work / "images" / f"section_{number:04}.tif", np.full((64, 64), 200, np.uint8))
    run(scripts / "cytomesh", "init", "study", "--images", "images", "--spacing-mm", 0.5, "--um-per-px", 20, cwd=work)
    assert yaml.safe_load((work / "study" / "study.yaml").read_text())
    shipped = {path.relative_to(ROOT).as_posix() for folder in ("configs", "data_manifests") for path in files(folder)}
    inside = next((scripts.parent).glob("lib/python*/site-packages/cytomesh"))
    assert shipped == {path for path in shipped if (inside / path).is_file()}
    modules = {path.relative_to(ROOT / "cytomesh") for path in files("cytomesh")}
    assert modules == {path for path in modules if (inside / path).is_file()}


def files(folder: str) -> list[Path]:
    return [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]


@pytest.mark.slow
def test_it_maps_a_brain_and_leaves_nothing(installed):
    scripts, work = installed
    before = sorted(work.iterdir())
    words = ["doctor", work / "not" / "there", "--self-test", "--json"]
    (result,) = [
        item for item in json.loads(run(scripts / "cytomesh", *words, cwd=work)) if item["subject"] == "self-test"
    ]
    assert result["level"] == "ok", result
    assert "one phantom brain, a graph of 4," in result["found"] and "macro-F1 0.9" in result["found"]
    assert sorted(work.iterdir()) == before


def test_the_version_is_that_of_the_tag(tmp_path):
    source, archive = tmp_path / "source", tmp_path / "archive"
    for folder in (source, archive):
        folder.mkdir()
    for name in ("pyproject.toml", "README.md", ".gitattributes", ".git_archival.txt"):
        write_text(source / name, (ROOT / name).read_text())
    assert hatchling("version", cwd=source) == "0.0"

    git = ["git", "-c", "user.name=someone", "-c", "user.email=someone@example.org", "-C", source]
    run(*git, "init", "--quiet", cwd=source)
    run(*git, "add", ".", cwd=source)
    run(*git, "commit", "--quiet", "-m", "first", cwd=source)
    assert hatchling("version", cwd=source).startswith("0.1.dev1+g")
    run(*git, "tag", "v1.2.3", cwd=source)
    assert hatchling("version", cwd=source) == "1.2.3"
    run(*git, "archive", "-o", tmp_path / "source.tar", "HEAD", cwd=source)
    with tarfile.open(tmp_path / "source.tar") as files:
        files.extractall(archive, filter="data")
    assert hatchling("version", cwd=archive) == "1.2.3"
    run(*git, "commit", "--quiet", "--allow-empty", "-m", "second", cwd=source)
    commit = run(*git, "rev-parse", "--short=9", "HEAD", cwd=source).strip()
    assert hatchling("version", cwd=source) == f"1.2.4.dev1+g{commit}"


def test_the_citation_is_of_the_version_that_is_released_next():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    (first, *_) = re.findall(r"^## (\S+) ", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert citation["version"] == first
