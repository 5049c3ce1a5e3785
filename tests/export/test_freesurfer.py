"""FreeSurfer's layout: what nibabel reads of it is what the run has, in its place and with its names."""

from pathlib import Path

import nibabel as nib
import nibabel.freesurfer as fs
import numpy as np
import pytest

from cytomesh.core.errors import StorageError
from cytomesh.export.exporting import RECORD
from cytomesh.export.freesurfer import export_freesurfer
from cytomesh.export.results import label_files, surface_files
from cytomesh.graph.storage import load_graphs
from cytomesh.surface.annot import read_annot
from cytomesh.surface.any_surface import read_any_surface
from cytomesh.surface.gifti import read_labels
from cytomesh.surface.mesh import mean_curvature

SIDE = {"L": "lh", "R": "rh"}


@pytest.fixture(scope="module")
def exported(small_chain, tmp_path_factory):
    subjects = tmp_path_factory.mktemp("subjects")
    return small_chain.run, subjects, export_freesurfer(small_chain.run, subjects)


def test_every_file_that_is_named_is_there_and_no_other(exported):
    run, subjects, written = exported
    assert set(written) == {graph.brain for graph in load_graphs(run)}
    found = {path.relative_to(subjects).as_posix() for path in subjects.rglob("*") if path.is_file()}
    assert found == {RECORD, *(name for names in written.values() for name in names)}


def test_surfaces_have_the_coordinates_of_the_run_for_every_reader(exported):
    run, subjects, _ = exported
    for graph in load_graphs(run):
        files = surface_files(run, graph)
        assert {"pial", "white", "midthickness"} <= set(files)
        for kind, path in files.items():
            exact = read_any_surface(path, is_sphere="sphere" in kind)
            copy = subjects / graph.brain / "surf" / f"{SIDE[graph.hemisphere]}.{kind}"
            if not copy.exists():
                assert kind == "sphere.reg"
                continue
            vertices, faces, volume = fs.read_geometry(copy, read_metadata=True)
            np.testing.assert_array_equal(vertices.astype(np.float32), exact.vertices.astype(np.float32))
            np.testing.assert_array_equal(faces, exact.faces)
            # FreeSurfer's tools add c_ras to get scanner coordinates, and turn the volume's axes by tkregister's
            np.testing.assert_array_equal(volume["cras"], 0)
            axes = np.column_stack([volume["xras"], volume["yras"], volume["zras"]])
            np.testing.assert_array_equal(axes, [[-1, 0, 0], [0, 0, 1], [0, -1, 0]])
            again = read_any_surface(copy, is_sphere="sphere" in kind, hemisphere=graph.hemisphere)
            np.testing.assert_allclose(again.vertices, exact.vertices, atol=1e-5)


def test_curvature_has_freesurfer_s_sign(exported):
    fetch = pytest.importorskip("nilearn.datasets").fetch_surf_fsaverage
    fsaverage = fetch("fsaverage5")  # shipped, from FreeSurfer's own lh.curv
    own = mean_curvature(read_any_surface(Path(fsaverage["white_left"])))
    theirs = nib.load(fsaverage["curv_left"]).darrays[0].data
    assert np.corrcoef(own, theirs)[0, 1] < -0.8
    run, subjects, _ = exported
    for graph in load_graphs(run):
        surf = subjects / graph.brain / "surf"
        curvature, depth = (fs.read_morph_data(surf / f"{SIDE[graph.hemisphere]}.{name}") for name in ("curv", "sulc"))
        np.testing.assert_allclose(curvature, -np.nan_to_num(graph.nodes["curvature_per_mm"]), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(depth, np.nan_to_num(graph.nodes["sulcal_depth_mm"]), rtol=1e-5, atol=1e-7)


def test_labels_keep_names_colours_and_vertices(exported):
    run, subjects, _ = exported
    for graph in load_graphs(run):
        files = label_files(run, graph)
        assert len(files) > 2
        for name, path in files.items():
            labels, table = read_labels(path)
            copy = subjects / graph.brain / "label" / f"{SIDE[graph.hemisphere]}.{name}.annot"
            rows, colours, names = fs.read_annot(copy)
            names = [word.decode() for word in names]
            assert names == ["unknown", *table.names]
            index = {0: 0, **{index: row for row, index in enumerate(table.indices, start=1)}}
            np.testing.assert_array_equal(rows, [index[label] for label in labels])
            # colours are told apart by blue, where two areas have one
            expected = np.rint(255 * table.colours[:, :2])
            np.testing.assert_array_equal(colours[1:, :2], expected)
            again, own = read_annot(copy)
            assert [own.name(i) if i else "" for i in again] == [table.name(i) if i else "" for i in labels]


def test_measures_and_cortex(exported):
    run, subjects, _ = exported
    for graph in load_graphs(run):
        folder, side = subjects / graph.brain, SIDE[graph.hemisphere]
        thickness = fs.read_morph_data(folder / "surf" / f"{side}.thickness")
        np.testing.assert_array_equal(thickness, np.nan_to_num(graph.nodes["thickness_mm"]).astype(np.float32))
        np.testing.assert_array_equal(
            np.sort(fs.read_label(folder / "label" / f"{side}.cortex.label")), np.flatnonzero(graph.is_cortex)
        )


def test_the_command_and_results_of_one_name_in_two_stages(small_chain, tmp_path, cytomesh):
    import shutil

    run = tmp_path / "run"
    shutil.copytree(small_chain.run, run, symlinks=True)
    (graph, *_) = load_graphs(run)
    names = set(label_files(run, graph))
    areas = next(name for name in names if (run / "classify" / name).is_dir())
    parcels = next(name for name in names if (run / "parcellate" / name).is_dir())
    (run / "parcellate" / parcels).rename(run / "parcellate" / areas)
    assert {f"classify-{areas}", f"parcellate-{areas}"} <= set(label_files(run, graph))
    code, said, _ = cytomesh("export", "freesurfer", "--out", run, "--to", tmp_path / "subjects")
    assert code == 0 and graph.brain in said
    label = tmp_path / "subjects" / graph.brain / "label"
    assert (label / f"{SIDE[graph.hemisphere]}.classify-{areas}.annot").is_file()


def test_a_subject_of_somebody_elses_stays(exported, tmp_path):
    run, _, written = exported
    own = tmp_path / list(written)[-1] / "surf" / "lh.pial"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"\xff\xff\xfecreated by recon-all\n\n")
    with pytest.raises(StorageError, match="somebody else's"):
        export_freesurfer(run, tmp_path)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [own]
    own.unlink()
    assert [export_freesurfer(run, tmp_path) for _ in range(2)] == [written] * 2


@pytest.mark.parametrize("program", ["freesurfer", "bids"])
def test_no_export_lies_among_the_results_of_the_run(exported, cytomesh, program):
    run = exported[0]
    for place in ("classify", "parcellate/exported"):
        code, _, said = cytomesh("export", program, "--out", run, "--to", run / place)
        assert code == 1 and "where the run has its results" in said
    assert not (run / "parcellate" / "exported").exists()
