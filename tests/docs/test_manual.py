"""The manual: it builds without a warning, has a page for every command, and says what the code and its files say."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import get_args
from urllib.parse import unquote

import pytest
import yaml

import cytomesh
from cytomesh.cli.settings import PLACES, Stage
from cytomesh.core.config import load_config, models_of
from cytomesh.core.doctor import Finding, findings_table
from cytomesh.core.extras import EXTRAS
from cytomesh.core.settings_text import is_empty
from cytomesh.report.status import State, Status, status_table
from cytomesh.study.atlas import COLUMNS
from cytomesh.study.sections import OPTIONAL, REQUIRED

pytest.importorskip("sphinx", reason="the manual is not built without cytomesh[docs]")

from docs._ext.columns import read_tables
from docs._ext.commands import SHARED, commands
from docs._ext.kinds import REGISTRIES, registries
from docs._ext.settings import model_of
from docs.figures.draw import FIGURES
from tests.docs.documented import TABLES, documented, undocumented
from tests.processes import run_module

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [path for part in ("stages", "methods", "reference", "api") for path in (DOCS / part).glob("*.md")]


def said(name: str) -> list[str]:
    """Return the arguments of a directive, on all pages."""
    return [word for page in PAGES for word in re.findall(rf"^```\{{{name}\}} (.+)$", page.read_text(), re.M)]


@pytest.fixture(scope="session")
def html(tmp_path_factory) -> Path:
    """The manual without the gallery's examples, built from a copy: what is generated stays out of the checkout."""
    home = tmp_path_factory.mktemp("manual")
    shutil.copytree(DOCS, home / "docs", ignore=shutil.ignore_patterns("generated", "used", "examples", "__pycache__"))
    for name in ("CHANGELOG.md", "benchmarks", "cytomesh", "configs", "tests"):
        (home / name).symlink_to(ROOT / name)
    options = ("-W", "--keep-going", "-q", "-D", "plot_gallery=0")
    done = run_module("sphinx", *options, home / "docs", home / "html")
    assert done.returncode == 0, done.stderr
    return home / "html"


@pytest.mark.slow
def test_it_builds_without_a_warning(html):
    page = (html / "stages" / "classify.html").read_text()
    assert ">gat_plus<" in page and ">training.epochs<" in page
    assert "<math" in (html / "methods" / "objectives.html").read_text()


@pytest.mark.slow
def test_it_needs_no_network(html):
    pages = "".join(path.read_text() for path in html.rglob("*.html"))
    assert not re.findall(r'(?:src|data-src)="https?://[^"]*|<link[^>]*href="https?://[^"]*', pages)


@pytest.mark.slow
def test_every_link_within_it_leads_somewhere(html):
    pages = {path: path.read_text() for path in html.rglob("*.html") if path.parent.name != "_static"}
    places = {path: set(re.findall(r'\bid="([^"]+)"', page)) for path, page in pages.items()}
    dead = []
    for path, page in pages.items():
        for link in re.findall(r'(?:href|src)="(?![a-z]+:)([^"]+)"', page):
            name, _, place = unquote(link).partition("#")
            target = (path.parent / name.partition("?")[0]).resolve() if name else path
            if not target.exists() or (place and place not in places.get(target, {place})):
                dead.append((path.name, link))
    assert len(pages) > 90 and dead == []


@pytest.mark.slow
def test_every_setting_of_every_stage_has_an_entry(html):
    pages = "".join(path.read_text() for path in (html / "stages").glob("*.html"))
    entries = set(re.findall(r'id="([^"]+)"', pages))
    wanted = {f"{stage.value}-{path}" for stage in Stage for path in _paths(model_of(stage.value))}
    assert wanted - entries == set()


def _paths(kind, path="", seen=()):
    """Every setting that a model and those in it have, as `--set` names them; what a model has is said once."""
    seen = set(seen) | {kind}
    for name, field in kind.model_fields.items():
        if not is_empty(field):
            yield f"{path}{name}"
            inner = "[]." if isinstance(field.get_default(call_default_factory=True), list | tuple) else "."
            if len(found := models_of(field)) == 1 and found[0] not in seen:
                yield from _paths(found[0], f"{path}{name}{inner}", seen)
                seen.add(found[0])


def test_every_command_has_a_page_once():
    assert sorted(said("command")) == sorted(commands())


def test_every_stage_with_settings_has_them_on_a_page():
    assert {word for word in said("settings") if ":" not in word} == {stage.value for stage in PLACES}


def test_shared_options_are_explained_on_the_page_of_the_program():
    page = (DOCS / "stages" / "program.md").read_text()
    assert [option for option in SHARED if f"`{option}`" not in page] == []


def test_errors_that_are_explained_are_those_of_the_code():
    source = "\n".join(path.read_text() for path in (ROOT / "cytomesh").rglob("*.py"))
    for page in (DOCS / "stages").glob("*.md"):
        _, _, errors = page.read_text().partition("## What goes wrong\n")
        for text in re.findall(r"^`([^`\n]+)`$", errors.partition("\n## ")[0], re.M):
            assert text in source, f"{page.name}: {text}"


def test_every_public_name_has_a_page_and_an_example():
    listed = re.findall(r"^   (\w+)$", (DOCS / "api" / "index.md").read_text(), re.M)
    assert sorted(listed) == cytomesh.__all__
    assert [name for name in cytomesh.__all__ if ">>>" not in getattr(cytomesh, name).__doc__] == []


def test_every_kind_that_can_be_added_is_listed():
    source = "\n".join(path.read_text() for path in (ROOT / "cytomesh").rglob("*.py"))
    made = re.findall(r"^\w+: Registry\[\w+\] = Registry\(\s*\"([\w.]+)\"", source, re.M)
    assert len(REGISTRIES) == len(made)
    assert {registry.group for registry in registries().values()} == set(made)


def test_tables_of_a_study_are_those_that_are_read():
    sections, labels = read_tables(TABLES / "study.yaml")
    assert [column.name for column in sections.columns] == [*REQUIRED, *OPTIONAL]
    assert {column.name for column in sections.columns if column.when} == set(OPTIONAL)
    assert tuple(column.name for column in labels.columns) == COLUMNS


def test_a_run_has_the_columns_that_are_documented(small_chain):
    kinds = documented(small_chain.run) | documented(small_chain.study)
    assert {"graphs/<graph>/nodes.parquet", "parcellate/<name>/<graph>_nulls.parquet"} <= kinds


def test_json_files_of_a_run_and_a_study_have_the_keys_that_are_documented(small_chain, tmp_path):
    assert undocumented(small_chain.run) == undocumented(small_chain.study) == []
    # and it would have been found
    shutil.copytree(small_chain.run / "graphs" / "T02_hemi-L", tmp_path / "graphs" / "T02_hemi-L")
    path = tmp_path / "graphs" / "T02_hemi-L" / "qc.json"
    changed = json.loads(path.read_text())
    del changed["seconds"]
    changed["links"] |= {"colour": "red", "n_linked": "many"}
    path.write_text(json.dumps(changed))
    (tmp_path / "graphs" / "new.json").write_text("{}")
    place = "graphs/<graph>/qc.json: "
    faults = ["links/colour is not documented", "links/n_linked is str", "there is no seconds"]
    assert set(undocumented(tmp_path)) == {"graphs/new.json is not documented", *(place + fault for fault in faults)}


def shown(page: str, command: str) -> list[str]:
    """Return what a page says that a command prints."""
    blocks = re.findall(r"^```console\n(.*?)^```", (DOCS / "stages" / page).read_text(), re.M | re.S)
    (block,) = (block for block in blocks if block.startswith(f"$ {command}\n"))
    return block.rstrip().splitlines()[1:]


def test_findings_on_the_page_are_printed_like_that():
    lines = shown("program.md", "cytomesh doctor")
    at, end = lines[0].index("torch"), re.search(r"(?<=\S)  +", lines[0][9:])
    start = 9 + end.end()
    found = []
    for line in lines[:-1]:
        if line[:at].strip():
            found.append(Finding(line[at:start].strip(), line[:at].strip(), line[start:]))
        else:
            found[-1] = replace(found[-1], advice=line[start:].removeprefix("-> "))
    assert findings_table(found).splitlines() == lines
    source = (ROOT / "cytomesh" / "core" / "doctor.py").read_text()
    named = {f"[{extra}]" for extra in EXTRAS} | set(re.findall(r'(?:Finding|_by_amount)\("([^"]+)"', source))
    assert {item.subject for item in found} <= named


def test_states_on_the_page_are_printed_like_that():
    head, *lines = shown("report.md", "cytomesh status --out RUN")
    row = re.compile(r"(\S+) +(\w+) +([\d.]+) MB +([\d.]+) s  (\S+ \S+)(?:  (.+))?")
    rows = [row.fullmatch(line).groups() for line in lines]
    states = [
        Status(name, state, (why,) if why else (), float(size), float(took), begun)
        for name, state, size, took, begun, why in rows
    ]
    assert status_table(states).splitlines() == [head, *lines]
    assert {"done", "stale", "stopped"} == {state.state for state in states} <= set(get_args(State))


def test_every_stage_has_a_figure_or_what_it_prints():
    pages = {path.name: path.read_text() for path in (DOCS / "stages").glob("*.md") if path.stem != "index"}
    assert [name for name, text in pages.items() if "```{figure}" not in text and "```{output}" not in text] == []


def test_figures_are_drawn_described_small_and_shown():
    files = list((DOCS / "figures").glob("*.png"))
    assert {path.stem for path in files} == set(FIGURES)
    assert [path.name for path in files if path.stat().st_size > 150_000] == []
    blocks = [
        block for page in PAGES for block in re.findall(r"^```\{figure\} (.*?)^```", page.read_text(), re.M | re.S)
    ]
    assert [block for block in blocks if not re.search(r"^:alt: \S", block, re.M)] == []
    assert {Path(block.split()[0]).stem for block in blocks} == set(FIGURES)


def _lines():
    for page in PAGES:
        for block in re.findall(r"^```console\n(.*?)^```", page.read_text(), re.M | re.S):
            for line in re.findall(r"^\$ (.+)$", block.replace("\\\n", " "), re.M):
                yield page.name, line


@pytest.mark.parametrize(("page", "line"), [(page, line) for page, line in _lines() if "COMMAND" not in line])
def test_commands_on_the_pages_are_commands_of_the_program(page, line):
    words = shlex.split(line)
    start = words.index("cytomesh") + 1
    known = commands()
    name = max(
        (" ".join(words[start : start + n]) for n in (1, 2) if " ".join(words[start : start + n]) in known), key=len
    )
    options = {option for parameter in known[name].params for option in (*parameter.opts, *parameter.secondary_opts)}
    assert [word for word in words[start:] if word.startswith("--") and word not in options] == []
    if name in set(Stage):
        module = model_of(name)
        given = {words[i]: words[i + 1] for i in range(start, len(words) - 1) if words[i] == "--config"}
        overrides = [words[i + 1] for i in range(start, len(words)) if words[i] == "--set"]
        load_config(module, given.get("--config") and Path(given["--config"]), overrides)


def test_manifests_on_the_pages_are_manifests(tmp_path):
    from cytomesh.study.manifest import Manifest

    page = (DOCS / "reference" / "study-files.md").read_text()
    (text,) = re.findall(r"^```yaml\n(.*?)^```", page, re.M | re.S)
    assert Manifest.model_validate(yaml.safe_load(text)).brains[0].id == "B01"
