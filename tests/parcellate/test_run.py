"""The stage on run directories, through the library and the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import networkx as nx
import nibabel as nib
import numpy as np
import pytest
from nibabel.freesurfer import read_annot

from cytomesh.core.config import load_config
from cytomesh.core.errors import FeatureError, GraphError, MissingStageError
from cytomesh.core.files import read_json
from cytomesh.core.labels import LabelTable
from cytomesh.core.provenance import RECORD
from cytomesh.core.run import UNFINISHED
from cytomesh.core.tables import Table, read_table
from cytomesh.graph.features import load_features, save_features
from cytomesh.graph.storage import CortexGraph, load_graphs, save_graph
from cytomesh.parcellate.config import ParcellateConfig
from cytomesh.parcellate.connect import pieces
from cytomesh.parcellate.run import parcellate_run
from cytomesh.surface.gifti import read_labels, read_scalars
from cytomesh.surface.mesh import Mesh

CONFIGS = Path(__file__).parents[2] / "configs" / "parcellate"


def tiny(*overrides: str) -> ParcellateConfig:
    return load_config(ParcellateConfig, CONFIGS / "tiny.yaml", ["n_parcels=8", *overrides])


ALONE = "evaluation={spins: 2, tilings: 2, baselines: [], stability: {splits: 0}}"


def test_files_fit_each_other(make_run) -> None:
    run = make_run(hemispheres="LR")
    summary = parcellate_run(run, "feature_clusters", tiny())
    folder = run / "parcellate" / "feature_clusters"
    assert set(summary) == {"B01_hemi-L", "B01_hemi-R"}
    for graph in load_graphs(run):
        labels, table = read_labels(folder / f"{graph.name}.label.gii")
        assert table.indices == tuple(range(1, 9))
        rows = read_table(folder / f"{graph.name}.parquet")
        np.testing.assert_array_equal(labels, rows["parcel"])
        assert rows.metadata["graph_digest"] == graph.digest
        inside = labels > 0
        assert inside[graph.is_linked].all()
        assert pieces(labels[inside].astype(np.int64), graph.adjacency[inside][:, inside]).max() == 7
        rows, _, names = read_annot(folder / f"{graph.hemisphere.lower()}h.{graph.name}.annot")
        np.testing.assert_array_equal(rows, labels)
        assert [name.decode() for name in names[1:]] == list(table.names)
        dense = nib.load(folder / f"{graph.name}.dlabel.nii").get_fdata()
        np.testing.assert_array_equal(dense[0], labels)
        cards = read_json(folder / f"{graph.name}_parcels.json")
        assert [card["n_nodes"] for card in cards] == np.bincount(labels)[1:].tolist()
        assert set(nx.read_graphml(folder / f"{graph.name}_parcels.graphml", node_type=int)) == set(table.indices)
        # parcels that are areas leave no strong border inside one
        assert all(entry["contrast"] > 0 for entry in read_json(folder / f"{graph.name}_subdivisions.json"))
        # from the front to the back
        y = [graph.positions[labels == parcel, 1].mean() for parcel in table.indices]
        assert y == sorted(y, reverse=True)
        maps = read_scalars(folder / f"{graph.name}_gradients.func.gii")
        assert list(maps) == ["gradient 1", "gradient 2", "gradient 3"]
        assert all(np.isfinite(values).all() and values.std() > 0 for values in maps.values())
        metrics = read_json(folder / "metrics.json")["graphs"][graph.name]
        assert metrics["n_parcels"] == metrics["n_pieces"] == 8
        assert metrics["n_masked"] == int((~inside).sum())
        assert set(metrics["baselines"]) == {"spectral", "ward"}
        ami = metrics["areas"]["ami"]
        assert ami["score"] > 0.85
        assert ami["over_spin"] > 0.1
        assert metrics["areas"]["border_distance_mm"]["over_spin"] > 0.0
        assert metrics["variance_explained"]["over_geometry"] > 0.05
        assert min(metrics["dice_of_areas"].values()) > 0.5
        confidence = read_table(folder / f"{graph.name}.parquet")["confidence"]
        np.testing.assert_array_equal(np.isfinite(confidence), inside)
        map_ = read_scalars(folder / f"{graph.name}_confidence.func.gii")["confidence"]
        np.testing.assert_array_equal(map_, np.nan_to_num(confidence))
        again = metrics["stability"]["parcels"]["co_assignment"]
        assert again["score"] == pytest.approx(confidence[inside].mean(), abs=1e-6)
        assert again["over_noise"] > 0.1
        assert cards[0]["confidence"] == pytest.approx(confidence[labels == 1].mean(), abs=1e-6)
        for card in cards:  # in order though the file's keys are sorted
            assert [e["distance"] for e in card["most_similar"]] == sorted(e["distance"] for e in card["most_similar"])
            assert [e["share"] for e in card["overlaps"]] == sorted(
                (e["share"] for e in card["overlaps"]), reverse=True
            )
            assert all("over_null" in entry for entry in card["most_similar"])
    assert (folder / "config.yaml").is_file()
    assert (folder / "provenance.json").is_file()


def test_spun_features_know_nothing_of_the_areas(make_run) -> None:
    run = make_run()
    parcellate_run(
        run, "cut", tiny("method=spectral", "evaluation={spins: 8, tilings: 2, baselines: [random_spectral]}")
    )
    metrics = read_json(run / "parcellate" / "cut" / "metrics.json")["graphs"]["B01_hemi-L"]
    random = metrics["baselines"]["random_spectral"]["areas"]["ami"]
    assert random["over_spin"] < 0.5 * metrics["areas"]["ami"]["over_spin"]


def test_without_a_sphere_the_null_is_geometry(make_run) -> None:
    summary = parcellate_run(make_run(has_sphere=False), "feature_clusters", tiny(ALONE))["B01_hemi-L"]
    assert "ami_over_geometry" in summary
    assert "ami_over_spin" not in summary


def test_every_printed_score_has_its_null(make_run) -> None:
    summary = parcellate_run(make_run(), "feature_clusters", tiny())["B01_hemi-L"]
    for name in summary:
        if name.endswith(("ami", "ari", "nmi")):
            assert f"{name}_over_{'noise' if name.startswith('halves') else 'spin'}" in summary
    assert "halves_ami" in summary


def test_two_brains_are_compared(make_run) -> None:
    run = make_run()
    graph = load_graphs(run)[0]
    other = replace(graph, brain="B02")
    save_graph(run, other, {"pial": graph.mesh, "white": graph.mesh}, {})
    save_features(run, "planted", other, load_features(run, "planted", graph), {})
    summary = parcellate_run(run, "two", tiny("method=ward", "evaluation={tilings: 2, baselines: [], spins: 2}"))
    (pair,) = read_json(run / "parcellate" / "two" / "metrics.json")["brains"]
    assert pair["graphs"] == ["B01_hemi-L", "B02_hemi-L"]
    assert pair["ami"]["score"] == pytest.approx(1.0)
    assert summary["B01_hemi-L"]["brains_ami_over_noise"] == pytest.approx(pair["ami"]["over_noise"])
    assert pair["ami"]["over_noise"] > 0.1
    # without stability there is no noise to compare with, and no map of an earlier run is left
    parcellate_run(run, "two", tiny("method=ward", ALONE))
    (pair,) = read_json(run / "parcellate" / "two" / "metrics.json")["brains"]
    assert "over_geometry" in pair["ami"]
    assert "over_noise" not in pair["ami"]
    assert not list((run / "parcellate" / "two").glob("*_confidence.func.gii"))


def test_finished_graphs_are_kept_and_new_settings_redo_them(make_run) -> None:
    run = make_run(hemispheres="LR")
    parcellate_run(run, "a", tiny(ALONE))
    paths = [run / "parcellate" / "a" / f"B01_hemi-{side}.label.gii" for side in "LR"]
    before = [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths]
    folder = run / "parcellate" / "a"
    (folder / RECORD).rename(folder / UNFINISHED)  # as if killed in between
    (folder / "B01_hemi-R.json").unlink()
    parcellate_run(run, "a", tiny(ALONE))
    after = [(path.stat().st_mtime_ns, path.read_bytes()) for path in paths]
    assert after[0] == before[0]
    assert after[1][0] != before[1][0]
    assert after[1][1] == before[1][1]
    parcellate_run(run, "a", tiny(ALONE, "n_parcels=5"))
    assert len(read_labels(paths[0])[1]) == 5


@pytest.mark.parametrize("preset", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_presets_run_through_the_command_line(make_run, cytomesh, preset: Path) -> None:
    run = make_run()
    small = ("--set", "n_parcels=8", "--set", "min_nodes=4", "--set", "evaluation.spins=3")
    code, out, err = cytomesh("parcellate", "--out", run, "--name", preset.stem, "--config", preset, *small, "--json")
    assert code == 0, err
    summary = json.loads(out)["B01_hemi-L"]
    assert summary["n_parcels"] == 8
    assert (run / "parcellate" / preset.stem / "metrics.json").is_file()


def test_eigengap_through_the_stage(make_run) -> None:
    run = make_run()
    summary = parcellate_run(run, "free", tiny(ALONE, "n_parcels=null", "max_parcels=20"))["B01_hemi-L"]
    assert 2 <= summary["n_parcels"] <= 20


def test_features_of_another_graph_are_refused(make_run, tmp_path) -> None:
    run = make_run(hemispheres="LR")
    folder = run / "features" / "planted"
    for suffix in (".npy", ".json"):
        (folder / f"B01_hemi-L{suffix}").write_bytes((folder / f"B01_hemi-R{suffix}").read_bytes())
    record = read_json(folder / "B01_hemi-L.json")
    (folder / "B01_hemi-L.json").write_text(json.dumps({**record, "graph_digest": "0" * 16}))
    with pytest.raises(FeatureError, match="another graph"):
        parcellate_run(run, "feature_clusters", tiny())


def test_nothing_is_lost_by_an_impossible_number(make_run) -> None:
    run = make_run()
    parcellate_run(run, "feature_clusters", tiny(ALONE))
    labels = run / "parcellate" / "feature_clusters" / "B01_hemi-L.label.gii"
    before = labels.read_bytes()
    with pytest.raises(GraphError, match="n_parcels"):
        parcellate_run(run, "feature_clusters", tiny("n_parcels=100000"))
    assert labels.read_bytes() == before


def test_features_must_be_there_and_unambiguous(make_run) -> None:
    run = make_run()
    with pytest.raises(MissingStageError, match="embed"):
        parcellate_run(run, "feature_clusters", tiny("encoder=other"))
    (run / "features" / "second").mkdir()
    with pytest.raises(MissingStageError, match="planted, second"):
        parcellate_run(run, "feature_clusters", tiny())
    with pytest.raises(MissingStageError, match="build-graph"):
        parcellate_run(run / "empty", "feature_clusters", tiny("encoder=planted"))


@pytest.mark.real
def test_bigbrain_finds_more_than_geometry(real_data, tmp_path) -> None:
    data = np.load(real_data / "bigbrain" / "nodes" / "bigbrain_L_10k.npz", allow_pickle=False)
    mesh, valid = Mesh(data["vertices"], data["faces"]), data["valid"].astype(bool)
    n = mesh.n_vertices
    columns = {
        **{f"{prefix}{axis}_mm": mesh.vertices[:, i] for prefix in ("", "ref_") for i, axis in enumerate("xyz")},
        **{name: np.zeros(n) for name in ("column_px", "row_px", "angle_deg")},
        "section": np.where(valid, 0, -1).astype(np.int32),
        "section_role": np.where(valid, "train", "none"),
        "is_linked": valid,
        "annotation": np.where(valid, data["economo"], 0).astype(np.int32),
    }
    table = LabelTable.from_names([f"E{i}" for i in range(1, int(data["economo"].max()) + 1)])
    graph = CortexGraph("bigbrain", "L", "train", mesh, Table(columns), table)
    save_graph(tmp_path, graph, {"sphere": Mesh(data["sphere"], data["faces"])}, {})
    features = np.hstack([data["profiles"], data["layer_thickness"]]).astype(np.float32)
    features[~valid] = np.nan
    save_features(tmp_path, "profiles", graph, features, {})
    settings = load_config(ParcellateConfig, CONFIGS / "bigbrain.yaml", ["evaluation.baselines=[]"])
    summary = parcellate_run(tmp_path, "parcels", settings)[graph.name]
    assert summary["n_parcels"] == 43
    # Ward on smoothed features: +0.042; normalised cut of mesh edges: +0.011
    assert summary["ami_over_spin"] > 0.065
    assert summary["ami_over_spin_sd"] > 4.0
