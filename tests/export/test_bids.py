"""A BIDS derivative of a run: the validator's word, and the labels of the run."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cytomesh.core.errors import StudyError
from cytomesh.export.bids import export_bids, label
from cytomesh.export.results import label_files
from cytomesh.graph.storage import load_graphs
from cytomesh.study.tables import read_dicts
from cytomesh.surface.gifti import read_labels, read_surface


@pytest.fixture(scope="module")
def exported(small_chain, tmp_path_factory):
    folder = tmp_path_factory.mktemp("bids") / "derivative"
    return small_chain.run, folder, export_bids(small_chain.run, folder)


def validate(folder):
    """Codes of the errors and of the warnings that BIDS's own validator finds."""
    program = Path(sys.executable).parent / "bids-validator-deno"
    said = subprocess.run([program, "--json", folder], capture_output=True, text=True, timeout=200, check=False)
    issues = json.loads(said.stdout)["issues"]["issues"]
    return [{issue["code"] for issue in issues if (issue["severity"] == "error") == is_error} for is_error in (1, 0)]


def test_the_validator_of_bids_finds_no_error(exported, tmp_path):
    _, folder, written = exported
    errors, warnings = validate(folder)
    assert errors == set() and "ATLAS_DESCRIPTION_RECOMMENDED" not in warnings
    # and it would have found one
    shutil.copytree(folder, tmp_path / "wrong")
    (labels,) = [name for name in next(iter(written.values())) if name.endswith("seg-annotation_dseg.label.gii")]
    (tmp_path / "wrong" / labels).rename(tmp_path / "wrong" / labels.replace("_seg-", "_parcels-"))
    (tmp_path / "wrong" / "atlas-areas_description.json").unlink()
    errors, warnings = validate(tmp_path / "wrong")
    assert errors and "ATLAS_DESCRIPTION_RECOMMENDED" in warnings


def test_labels_tables_and_surfaces_are_those_of_the_run(exported):
    run, folder, written = exported
    found = {path.relative_to(folder).as_posix() for path in folder.glob("sub-*/**/*") if path.is_file()}
    assert found == {name for names in written.values() for name in names}
    for graph in load_graphs(run):
        anat, stem = folder / f"sub-{graph.brain}" / "anat", f"sub-{graph.brain}_hemi-{graph.hemisphere}"
        mesh = read_surface(anat / f"{stem}_midthickness.surf.gii")
        np.testing.assert_array_equal(mesh.vertices, graph.mesh.vertices)
        for name, path in label_files(run, graph).items():
            atlas = "" if path.parent.parent.name == "parcellate" else "_atlas-areas"
            target = anat / f"{stem}{atlas}_seg-{label(name)}_dseg.label.gii"
            labels, table = read_labels(path)
            again, own = read_labels(target)
            np.testing.assert_array_equal(again, labels)
            assert own.names == table.names
            rows = read_dicts(target.with_name(target.name.replace(".label.gii", ".tsv")), "n/a")
            assert [(int(row["index"]), row["name"]) for row in rows] == list(
                zip(table.indices, table.names, strict=True)
            )
            first = np.rint(255 * table.colours[0, :3]).astype(int)
            assert [int(rows[0]["color"][i : i + 2], 16) for i in (1, 3, 5)] == first.tolist()


@pytest.mark.parametrize(
    ("name", "expected"), [("gat-plus", "gatPlus"), ("B01", "B01"), ("a_b c", "aBC"), ("Ä-1", "1"), ("ä", "x")]
)
def test_labels_have_letters_and_digits_only(name, expected):
    assert label(name) == expected


def test_other_datasets_stay(small_chain, small_study, tmp_path, cytomesh):
    shutil.copytree(small_study, tmp_path / "study")
    with pytest.raises(StudyError, match="another dataset"):
        export_bids(small_chain.run, tmp_path / "study")
    code, _, said = cytomesh("export", "bids", "--out", small_chain.run, "--to", tmp_path)
    assert code == 1 and "no BIDS dataset" in said
    target = tmp_path / "study" / "derivatives" / "areas"
    for _ in range(2):
        assert cytomesh("export", "bids", "--out", small_chain.run, "--to", target)[0] == 0


def test_an_export_that_was_killed_is_finished_by_the_next(exported, tmp_path):
    run, folder, written = exported
    shutil.copytree(folder, tmp_path / "whole")
    first = min(tmp_path.glob("whole/*.json"), key=lambda path: path.stat().st_mtime_ns)
    (tmp_path / "stopped").mkdir()
    shutil.copy2(first, tmp_path / "stopped")
    (tmp_path / "stopped" / ".partial-1-dataset_description.json").touch()
    assert export_bids(run, tmp_path / "stopped") == written


def test_an_annotation_that_was_predicted_is_not_called_manual(small_chain, tmp_path):
    shutil.copytree(small_chain.run, tmp_path / "run")
    (tmp_path / "run" / "classify" / "linear").rename(tmp_path / "run" / "classify" / "annotation")
    graph = load_graphs(tmp_path / "run")[0]
    assert {"annotation", "classify-annotation"} <= label_files(tmp_path / "run", graph).keys()
    unlabelled = SimpleNamespace(name=graph.name, annotation=np.zeros_like(graph.annotation))
    assert label_files(tmp_path / "run", unlabelled).keys() == {"classify-annotation", "parcels"}
