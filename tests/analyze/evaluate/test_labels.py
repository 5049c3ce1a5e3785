"""Parcellations from files of vertices and from volumes; what belongs to another mesh is refused."""

import nibabel as nib
import numpy as np
import pytest
from pydantic import ValidationError

from cytomesh.analyze.evaluate.areas import Areas, AreasConfig
from cytomesh.analyze.evaluate.labels import LabelSource, Parcellations, ParcellationsConfig, node_labels
from cytomesh.analyze.evaluate.run import encode
from cytomesh.core.errors import AtlasError, ConfigError, SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.study.atlas import write_labels as write_table
from cytomesh.surface.gifti import write_labels


def write_files(folder, stage):
    """Write the areas of each graph under other numbers; half of the graphs number them backwards."""
    files = {}
    for number, graph in enumerate(stage.graphs):
        names = graph.labels.names if number % 2 else graph.labels.names[::-1]
        table = LabelTable.from_names(names)
        labels = np.array([0, *(table.index(name) for name in graph.labels.names)], np.int32)[graph.annotation]
        files[graph.name] = folder / f"{graph.brain}.label.gii"
        write_labels(files[graph.name], labels, table, "L")
    return files


def test_labels_of_vertices_are_scored_like_areas_whatever_their_numbers(bench, tmp_path):
    stage = bench()
    files = write_files(tmp_path, stage)
    task = Parcellations(ParcellationsConfig(of={"networks": LabelSource(files=files)}))
    outcome, areas = task.score(stage, encode(stage, "good")), Areas(AreasConfig()).score(stage, encode(stage, "good"))

    def found(own):
        return {s.split: s.value for s in own.scores if s.measure == "macro_f1"}

    assert found(outcome).keys() == {"seen", "transfer", "unseen"}
    assert found(outcome) == pytest.approx(found(areas), abs=1e-4)
    assert {place[0] for place in outcome.named} == {"networks"}


def test_graphs_without_a_file_have_no_labels(bench, tmp_path):
    stage = bench()
    files = write_files(tmp_path, stage)
    del files["B03_hemi-L"]
    labels, _ = node_labels(stage, LabelSource(files=files))
    assert not labels[stage.brains == "B03"].any() and labels[stage.brains == "B04"].any()
    assert not labels[~stage.is_linked].any()


def test_labels_of_another_mesh_and_unknown_graphs_are_refused(bench, tmp_path):
    stage = bench()
    path = tmp_path / "other.label.gii"
    write_labels(path, np.ones(162, np.int32), LabelTable.from_names(["one"]), "L")
    with pytest.raises(SurfaceError, match="one for each of the surface's 642 vertices"):
        node_labels(stage, LabelSource(files={"B01_hemi-L": path}))
    with pytest.raises(ConfigError, match="did you mean 'B01_hemi-L'"):
        node_labels(stage, LabelSource(files={"B01_hemi_L": path}))


def test_a_volume_gives_the_label_of_the_voxel_around_each_node(bench, tmp_path):
    stage = bench()
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    affine[:3, 3] = (-60, -60, -60)
    values = np.zeros((31, 31, 31), np.int16)
    values[:16], values[16:] = 3, 8
    path = tmp_path / "halves.nii.gz"
    nib.save(nib.Nifti1Image(values, affine), path)
    labels, table = node_labels(stage, LabelSource(volume=path))
    x = np.concatenate([graph.reference[:, 0] for graph in stage.graphs])
    expected = np.where(x < 2, 3, 8)  # the centre of voxel 15 is at 0 mm, its border at 2 mm
    clear = stage.is_linked & (np.abs(x - 2) > 1e-6)
    np.testing.assert_array_equal(labels[clear], expected[clear])
    assert table.names == ("label 3", "label 8")
    write_table(tmp_path / "names.tsv", LabelTable((3, 8), ("left", "right"), np.ones((2, 4))))
    _, table = node_labels(stage, LabelSource(volume=path, table=tmp_path / "names.tsv"))
    assert table.name(8) == "right"


def test_volumes_that_cannot_be_meant_are_refused(bench, tmp_path):
    stage = bench()
    affine = np.diag([4.0, 4.0, 4.0, 1.0])
    for name, values, message in (
        ("far", np.ones((20, 20, 20), np.int16), "nodes outside of the volume"),
        ("four", np.ones((20, 20, 20, 2), np.int16), "expected three dimensions"),
        ("parts", np.full((31, 31, 31), 0.5, np.float32), "labels that are not whole"),
    ):
        affine[:3, 3] = 500 if name == "far" else -60
        nib.save(nib.Nifti1Image(values, affine), tmp_path / f"{name}.nii")
        with pytest.raises(AtlasError, match=rf"{name}\.nii: .*{message}"):
            node_labels(stage, LabelSource(volume=tmp_path / f"{name}.nii"))
    with pytest.raises(AtlasError, match="no such volume"):
        node_labels(stage, LabelSource(volume=tmp_path / "none.nii"))


def test_a_source_is_files_or_a_volume():
    for given in ({}, {"files": {"a": "b"}, "volume": "c"}, {"files": {"a": "b"}, "table": "c"}):
        with pytest.raises(ValidationError):
            LabelSource.model_validate(given)
