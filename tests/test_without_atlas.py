"""A study without areas: no `atlas:`, no annotation; through every command, with a classifier from another study."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from cytomesh.core.tables import read_table
from cytomesh.study.sections import read_sections, write_sections
from cytomesh.surface.gifti import read_labels
from tests.graph.conftest import write_study
from tests.pretrain.pretrain_study import write_run

PRETRAIN = ["--config", "configs/pretrain/tiny.yaml", "--set", "schedule.steps=2", "--set", "schedule.warmup_steps=1"]
PARCELS = ["--config", "configs/parcellate/tiny.yaml", "--set", "evaluation={spins: 2, tilings: 2, baselines: []}"]


def without_atlas(manifest, is_annotated):
    table = manifest.parent / "sections.tsv"
    if not is_annotated:
        write_sections(table, [replace(section, annotation=None) for section in read_sections(table, "B01")])
    study = yaml.safe_load(manifest.read_text())
    del study["atlas"]
    manifest.write_text(yaml.safe_dump(study))


def test_annotations_without_a_label_table_are_named_once(tmp_path, cytomesh):
    manifest = write_study(tmp_path)
    without_atlas(manifest, is_annotated=True)
    code, out, _ = cytomesh("study", "check", manifest)
    assert code == 1 and "1 problem:" in out
    assert "annotations of 20 sections of B01, and nothing that names their areas" in " ".join(out.split())
    code, _, err = cytomesh("build-graph", manifest, "--out", tmp_path / "run", "--set", "surface.voxel_mm=1")
    assert code == 1 and "name the areas in a label table, atlas.labels of the manifest" in err


@pytest.mark.slow
def test_a_study_without_areas_goes_through_every_command(tmp_path, cytomesh):
    def run(*arguments):
        code, out, err = cytomesh(*arguments)
        assert code == 0, err
        return out

    named = write_run(tmp_path / "named")
    run("pretrain", "--out", named, "--name", "vit", *PRETRAIN)
    run("embed", "--out", named, "--encoder", "vit")
    run("classify", "--out", named, "--name", "linear", "--set", "inputs.names=[features:vit]", "--set", "n_seeds=1")

    manifest = write_study(tmp_path / "plain")
    without_atlas(manifest, is_annotated=False)
    plain = tmp_path / "plain" / "run"
    assert "No problem found" in run("study", "check", manifest)
    coarse = ["--set", "surface.voxel_mm=1", "--set", "surface.edge_length_mm=2", "--set", "checks.max_area_error=null"]
    run("build-graph", manifest, "--out", plain, *coarse)
    run("pretrain", "--out", plain, "--name", "own", *PRETRAIN)
    run("embed", "--out", plain, "--encoder", named / "encoders" / "vit")
    run("classify-predict", "--out", plain, "--model", named / "classify" / "linear")
    run("parcellate", "--out", plain, "--name", "parcels", "--set", "encoder=vit", *PARCELS)
    run("report", "--out", plain)

    areas, table = read_labels(plain / "classify" / "predicted" / "B01_hemi-L.label.gii")
    assert table.names == ("A1", "A2", "A3", "A4") and set(np.unique(areas)) <= {0, *table.indices} and areas.any()
    predicted = read_table(plain / "classify" / "predicted" / "predictions" / "B01_hemi-L.parquet")
    assert len(predicted) == len(areas)
    assert list((plain / "classify" / "predicted" / "outlines").glob("*.geojson"))
    assert (plain / "parcellate" / "parcels" / "parcels.html").is_file() and (plain / "report.html").is_file()
    assert "stale" not in run("status", "--out", plain)
