"""An export made again holds what the run holds now, and nothing of others is lost."""

import shutil

import numpy as np
import pytest

from cytomesh.core.errors import DamagedError, StaleError, StorageError
from cytomesh.export.bids import export_bids
from cytomesh.export.exporting import RECORD, exporting
from cytomesh.export.freesurfer import export_freesurfer
from cytomesh.export.results import label_files
from cytomesh.export.workbench import export_workbench
from cytomesh.graph.storage import load_graphs

PROGRAMS = {
    "freesurfer": lambda run, folder: export_freesurfer(run, folder),
    "bids": lambda run, folder: export_bids(run, folder),
    "workbench": lambda run, folder: export_workbench(run),
}


def contents(folder):
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if path.name != RECORD}


@pytest.fixture
def run(small_chain, tmp_path):
    shutil.copytree(small_chain.run, tmp_path / "run", symlinks=True)
    return tmp_path / "run"


@pytest.mark.parametrize("program", PROGRAMS)
def test_files_of_results_that_are_gone_are_gone(run, tmp_path, program):
    export = PROGRAMS[program]
    folder = run / "workbench" if program == "workbench" else tmp_path / "made"
    fresh = folder if program == "workbench" else tmp_path / "fresh"
    export(run, folder)
    before = contents(folder)
    (folder / "own" / "notes").mkdir(parents=True)
    (folder / "own" / "notes" / "mine.txt").write_text("mine")
    shutil.rmtree(run / "parcellate" / "parcels")
    export(run, folder)
    again = contents(folder)
    assert again.pop("own/notes/mine.txt") == b"mine"
    if fresh == folder:
        shutil.rmtree(folder)
    export(run, fresh)
    assert again == contents(fresh)
    assert program == "workbench" or before.keys() - again.keys()
    assert not [path for path in folder.rglob("*") if path.is_dir() and not any(path.iterdir())]


def write(run, folder, **files):
    with exporting(run, folder) as stage:
        for name, text in files.items():
            (stage / "below").mkdir(exist_ok=True)
            (stage / "below" / name).write_text(text)


def test_what_others_wrote_or_changed_is_kept(tmp_path, capsys):
    folder = tmp_path / "made"
    write(tmp_path / "one", folder, a="1", b="1", c="1")
    write(tmp_path / "two", folder, d="2")  # another run's, into the same folder
    (folder / "below" / "b").write_text("corrected by hand")
    write(tmp_path / "one", folder)
    assert "below/b: of results that the run has no more, kept" in capsys.readouterr().err
    assert contents(folder) == {"below/b": b"corrected by hand", "below/d": b"2"}
    write(tmp_path / "two", folder)
    assert contents(folder) == {"below/b": b"corrected by hand"}


@pytest.mark.parametrize(
    ("mine", "found"),
    [
        ("a", "a file of another run, ../one"),
        ("b", "a file that was changed since it was exported"),
        ("c", "something that no export wrote"),
        ("d", "something that no export wrote"),
    ],
)
def test_nothing_of_others_is_replaced(tmp_path, mine, found):
    folder = tmp_path / "made"
    write(tmp_path / "one", folder, a="1")
    write(tmp_path / "two", folder, b="2")
    (folder / "below" / "b").write_text("corrected by hand")
    (folder / "below" / "c").write_text("mine")
    (folder / "below" / "d").mkdir()
    before = contents(folder)
    with pytest.raises(StorageError, match=f"below/{mine}: found {found}.*move away"):
        write(tmp_path / "two", folder, **{"A": "new", mine: "2"})
    assert contents(folder) == before
    write(tmp_path / "two", folder, a="1", b="corrected by hand", c="mine")  # the same as is there


@pytest.mark.parametrize("program", PROGRAMS)
def test_results_of_what_changed_since_are_not_exported(run, tmp_path, program):
    features = run / "features" / "vit" / "T01_hemi-L.npy"
    np.save(features, np.load(features) + 1)
    with pytest.raises(StaleError, match=r"2 stale: classify/linear \(.*or remove them"):
        PROGRAMS[program](run, tmp_path / "made")
    assert not (tmp_path / "made").exists() and not (run / "workbench").exists()


@pytest.mark.parametrize("moved", [0, 1, 2])
def test_an_export_that_was_killed_leaves_nothing_that_the_next_does_not_know(tmp_path, monkeypatch, moved):
    from pathlib import Path

    run, folder = tmp_path / "run", tmp_path / "made"
    write(run, folder, a="1", b="1", z="1")
    left, replace = [moved], Path.replace

    def until_killed(path, target):
        if "-export" in str(path):
            left[0] -= 1
            if left[0] < 0:
                raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", until_killed)
        write(run, folder, a="2", b="2", c="2")
    assert contents(folder).keys() == {"below/a", "below/b", "below/z"}
    write(run, folder, c="3")
    assert contents(folder) == {"below/c": b"3"}


def test_an_export_that_fails_changes_nothing(tmp_path):
    run, folder = tmp_path / "run", tmp_path / "made"
    write(run, folder, a="1")
    with pytest.raises(ZeroDivisionError), exporting(run, folder) as stage:
        (stage / "a").write_text("2")
        raise ZeroDivisionError
    assert contents(folder) == {"below/a": b"1"}
    (folder / RECORD).write_text('{"../run": {"run": "../run", "contents": []}}')
    with pytest.raises(DamagedError, match="files outside the folder.*Way out: remove it"):
        write(run, folder, a="2")
    for damaged in ("{", "[]", '{"a": {"run": 3, "contents": []}}', '{"a": 1}'):
        (folder / RECORD).write_text(damaged)
        with pytest.raises(DamagedError, match=r"cytomesh-export\.json: .*Way out: remove it"):
            write(run, folder, a="2")


def test_no_two_results_have_one_name(run):
    (graph, *_) = load_graphs(run)
    areas, parcels = run / "classify", run / "parcellate"
    n_before = len(label_files(run, graph))
    names = ["classify-linear", "Linear", "annotation", "parcellate-classify-linear"]
    for name in names:
        shutil.copytree(parcels / "parcels", parcels / name)
    files = label_files(run, graph)
    assert len({name.casefold() for name in files}) == len(set(files.values())) == n_before + len(names)
    assert files["classify-linear"].parent == areas / "linear" and files["parcels"].parent == parcels / "parcels"
