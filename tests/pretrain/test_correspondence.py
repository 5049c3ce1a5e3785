"""Patches on the mean midsurface of registered brains."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from pretrain_study import RADIUS_MM, write_run

from cytomesh.core.config import load_config, preset
from cytomesh.core.distributed import world
from cytomesh.core.errors import ConfigError, MissingStageError
from cytomesh.core.files import read_json
from cytomesh.core.run import read_study_path
from cytomesh.core.tables import Table
from cytomesh.graph.storage import load_graphs
from cytomesh.pretrain.config import PretrainConfig
from cytomesh.pretrain.correspondence import place_by_registration
from cytomesh.pretrain.pool import build_pool
from cytomesh.pretrain.run import pretrain_run
from cytomesh.pretrain.template import open_geodesics
from cytomesh.study.study import open_study
from tests.registrations import unit_sphere, write_registration

ROLES = ("train", "transfer")
SETTINGS = (
    "schedule.steps=2", "schedule.warmup_steps=1", "sampling.seeds_per_batch=6", "sampling.radius_mm=12",
    "objectives={spatial_nce: {distance: geodesic, registration: folding, sigma_mm: 6, reach_mm: 18}}",
    "encoder.options={stem_width: 4, channels: [4, 6, 6, 8]}",
)  # fmt: skip


def turned(graph):
    """A graph whose reference positions are turned by 20 degrees about z: 7 mm beside those of the others."""
    angle = np.radians(20)
    turn = np.array([[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    places = graph.reference @ turn.T
    columns = {f"ref_{axis}_mm": places[:, i] for i, axis in enumerate("xyz")}
    return replace(graph, nodes=Table({**graph.nodes.columns, **columns}))


@pytest.fixture(params=["L", "R"])
def run(request, tmp_path):
    run = write_run(tmp_path, hemisphere=request.param)
    write_registration(run, "folding", {graph.name: unit_sphere(graph.mesh) for graph in load_graphs(run)})
    return run


def test_what_corresponds_is_one_place_and_distances_are_those_around_the_sphere(run):
    one, two = (graph for graph in load_graphs(run) if graph.brain_role in ROLES)
    graphs = [one, turned(two)]
    pool = build_pool(open_study(read_study_path(run)), graphs, ROLES)
    placed, surface = place_by_registration(pool, run, "folding", graphs)
    # the mean of a sphere and itself, turned a little: as large as each, about as round
    n_sides = 1 + int(pool.is_right.any())
    assert surface.n_vertices == n_sides * 40_962
    assert surface.vertex_areas.sum() == pytest.approx(n_sides * 4 * np.pi * RADIUS_MM**2, rel=0.02)
    assert (placed.vertex >= 40_962).all() == pool.is_right.all()
    first, second = (placed.vertex[pool.brain == number] for number in (0, 1))
    np.testing.assert_array_equal(first, second)  # one mesh, at one place of the sphere
    with world("cpu", threads=1) as here:
        geodesics = open_geodesics(run, placed, surface, 12.0, here)
    places = one.mesh.vertices[one.is_linked]
    apart = np.linalg.norm(places[:, None] - places[None], axis=2)
    i, j = np.nonzero((apart > 3) & (apart < 9))
    along = geodesics.between(first[i], second[j])
    around = 2 * RADIUS_MM * np.arcsin(apart[i, j] / 2 / RADIUS_MM)
    # nodes stand for vertices half a millimetre off, and the mean is 1.5 % narrower about the axis than along it
    np.testing.assert_allclose(along, around, rtol=0.05, atol=0.6)


@pytest.mark.parametrize("run", ["L"], indirect=True)
def test_training_with_it(run):
    settings = load_config(PretrainConfig, preset("pretrain", "tiny"), SETTINGS)
    pretrain_run(run, "along", settings)
    record = read_json(run / "encoders" / "along" / "provenance.json")
    assert any(name.startswith("registration: T01") for name in record["inputs"]["products"])
    before = (run / "encoders" / "along" / "provenance.json").read_text()
    pretrain_run(run, "along", settings)
    assert (run / "encoders" / "along" / "provenance.json").read_text() == before


@pytest.mark.parametrize("run", ["L"], indirect=True)
def test_what_cannot_be(run):
    with pytest.raises(ConfigError, match="distance: geodesic"):
        load_config(PretrainConfig, preset("pretrain", "tiny"), ["objectives={spatial_nce: {registration: folding}}"])
    changes = [change.replace("registration: folding", "registration: nothing") for change in SETTINGS]
    settings = load_config(PretrainConfig, preset("pretrain", "tiny"), changes)
    with pytest.raises(MissingStageError, match="--name nothing"):
        pretrain_run(run, "new", settings)
