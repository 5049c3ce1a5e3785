"""Every kind of bad input through the command line: one clear error that names what is wrong, and exit code 1.

Zero-weight edges are no error: see test_methods and test_spectral.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cytomesh.core.tables import Table, write_table
from cytomesh.graph.features import save_features
from cytomesh.graph.storage import graph_folder, load_graphs, save_graph
from cytomesh.surface.gifti import write_labels, write_surface
from cytomesh.surface.mesh import Mesh

NAME = "B01_hemi-L"
SMALL = ("n_parcels=8", "min_nodes=4", "method=ward", "preparation.hops=1", "evaluation.baselines=[]")


def change_features(change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    """Write features past the check of `save_features`, as a damaged or foreign file would be."""

    def damage(run: Path) -> None:
        path = run / "features" / "planted" / f"{NAME}.npy"
        np.save(path, change(np.load(path)))

    return damage


def nan_row(features: np.ndarray) -> np.ndarray:
    linked = np.flatnonzero(np.isfinite(features[:, 0]))
    features[linked[3]] = np.nan
    return features


def rows_of_another_mesh(run: Path) -> None:
    graph = load_graphs(run)[0]
    fewer = {name: np.asarray(column)[:-1] for name, column in graph.nodes.columns.items()}
    facts = {"brain": "B01", "hemisphere": "L", "brain_role": "train"}
    write_table(graph_folder(run, NAME) / "nodes.parquet", Table(fewer, {}, facts))


def labels_of_another_table(run: Path) -> None:
    graph = load_graphs(run)[0]
    columns = {**graph.nodes.columns, "annotation": graph.annotation + 100}
    facts = {"brain": "B01", "hemisphere": "L", "brain_role": "train"}
    write_table(graph_folder(run, NAME) / "nodes.parquet", Table(columns, {}, facts))


def sphere_of_another_mesh(run: Path) -> None:
    mesh = load_graphs(run)[0].mesh
    fewer = Mesh(mesh.vertices[:42], mesh.faces[(mesh.faces < 42).all(axis=1)])
    write_surface(graph_folder(run, NAME) / "sphere.surf.gii", fewer, "L", "sphere")


def two_hemispheres(run: Path) -> None:
    graph = load_graphs(run)[0]
    n, shift = graph.n_nodes, np.array([150.0, 0.0, 0.0])
    mesh = Mesh(
        np.concatenate([graph.positions - shift, graph.positions + shift]),
        np.concatenate([graph.mesh.faces, graph.mesh.faces + n]),
    )
    columns = {name: np.concatenate([np.asarray(column)] * 2) for name, column in graph.nodes.columns.items()}
    columns["x_mm"] = columns["ref_x_mm"] = mesh.vertices[:, 0]
    both = replace(graph, mesh=mesh, nodes=Table(columns))
    features = np.load(run / "features" / "planted" / f"{NAME}.npy")
    save_graph(run, both, {"pial": mesh, "white": mesh}, {})
    save_features(run, "planted", both, np.concatenate([features] * 2), {})


@pytest.mark.parametrize(
    ("damage", "settings", "says"),
    [
        pytest.param(change_features(nan_row), (), "NaN or infinite values at 1 linked", id="NaN row"),
        pytest.param(change_features(np.ones_like), (), "the same features at every node", id="constant features"),
        pytest.param(change_features(lambda f: f[:-1]), (), "shape (641, 12)", id="features of another mesh"),
        pytest.param(rows_of_another_mesh, (), "641 node rows for 642 mesh vertices", id="nodes of another mesh"),
        pytest.param(labels_of_another_table, (), "annotation", id="labels of another table"),
        pytest.param(sphere_of_another_mesh, (), "sphere.surf.gii", id="sphere of another mesh"),
        pytest.param(two_hemispheres, (), "expected one hemisphere", id="two hemispheres as one"),
        pytest.param(lambda run: None, ("n_parcels=5000",), "n_parcels", id="more parcels than nodes"),
        pytest.param(
            lambda run: None, ("preparation.obliqueness_power=1",), "obliqueness_deg", id="links of unknown quality"
        ),
        pytest.param(
            lambda run: None,
            ("n_parcels=null", "choose=stability", "candidates=[1]"),
            "candidates",
            id="impossible candidate",
        ),
    ],
)
def test_one_clear_error(make_run, cytomesh, damage, settings, says) -> None:
    run = make_run()
    damage(run)
    options = [word for setting in (*SMALL, *settings) for word in ("--set", setting)]
    code, out, err = cytomesh("parcellate", "--out", run, "--name", "bad", *options)
    assert code == 1
    assert says in err
    assert "Traceback" not in out + err
    assert not (run / "parcellate" / "bad" / "metrics.json").exists()


def test_labels_without_an_area_give_no_score(make_run, cytomesh) -> None:
    run = make_run()
    graph = load_graphs(run)[0]
    nothing = np.zeros(graph.n_nodes, np.int32)
    facts = {"brain": "B01", "hemisphere": "L", "brain_role": "train"}
    columns = {**graph.nodes.columns, "annotation": nothing}
    write_table(graph_folder(run, NAME) / "nodes.parquet", Table(columns, {}, facts))
    write_labels(graph_folder(run, NAME) / "annotation.label.gii", nothing, graph.labels, "L")
    options = [word for setting in SMALL for word in ("--set", setting)]
    code, out, err = cytomesh("parcellate", "--out", run, "--name", "free", *options, "--json")
    assert code == 0, err
    assert '"ami' not in out
    assert "halves_ami_over_noise" in out
