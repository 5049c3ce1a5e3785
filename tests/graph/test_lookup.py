import dataclasses

import numpy as np
import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import GraphError
from cytomesh.graph.build import build_graphs
from cytomesh.graph.config import BuildGraphConfig
from cytomesh.graph.lookup import open_lookup
from cytomesh.study.sections import read_sections, write_sections
from cytomesh.study.warps import InPlaneWarp
from tests.warp_files import write_warp

NAME = "B01_hemi-L"
SETTINGS = ("surface.voxel_mm=0.7", "surface.edge_length_mm=1.5")


@pytest.fixture(scope="module", params=["displaced", "aligned"])
def run(request, tmp_path_factory, write_ellipsoids):
    """A run whose sections are displaced within their planes, or shaken and aligned."""
    folder = tmp_path_factory.mktemp(request.param)
    manifest = write_ellipsoids(folder / "study")
    table = manifest.parent / "sections.tsv"
    rng = np.random.default_rng(0)
    sections = []
    for section in read_sections(table, "B01"):
        if request.param == "aligned":
            matrix = section.plane.to_world.copy()
            matrix[[0, 2], 2] += rng.uniform(-0.3, 0.3, 2)
            sections.append(dataclasses.replace(section, plane=dataclasses.replace(section.plane, to_world=matrix)))
            continue
        rows, columns = np.meshgrid(np.arange(16), np.arange(16), indexing="ij")
        values = 4.0 * np.stack([np.sin(rows / 3.0 + section.index), np.cos(columns / 3.0)], axis=-1)
        path = manifest.parent / "fields" / f"{section.index}.npz"
        write_warp(path, InPlaneWarp(values, np.zeros(2), np.full(2, 20.0)))
        sections.append(dataclasses.replace(section, displacement=path))
    write_sections(table, sections)
    overrides = [*SETTINGS, f"alignment.enabled={str(request.param == 'aligned').lower()}"]
    build_graphs(manifest, folder / "run", load_config(BuildGraphConfig, None, overrides), workers=1)
    return folder / "run"


def test_nodes_to_pixels_and_back(run):
    lookup = open_lookup(run, NAME)
    section, pixels = lookup.pixels(np.arange(lookup.graph.n_nodes))
    assert (np.isnan(pixels[:, 0]) == (section < 0)).all()
    n_found = 0
    for index in np.unique(section[section >= 0]):
        here = np.flatnonzero(section == index)
        places = lookup.places(int(index), pixels[here])
        inside = places.is_inside
        n_found += int(inside.sum())
        assert places.depth[inside] == pytest.approx(0.5, abs=0.01)
        again = lookup.planes[int(index)].pixels(places.world(lookup.ribbon)[inside])
        assert np.abs(again - pixels[here][inside]).max() < 0.5
        nodes = places.nodes(lookup.ribbon)[inside]
        away = np.linalg.norm(lookup.graph.positions[nodes] - lookup.graph.positions[here][inside], axis=1)
        assert away.max() < 4.0
    assert n_found > 0.95 * (section >= 0).sum()


def test_an_unknown_section_is_named(run):
    with pytest.raises(GraphError, match="found section 99"):
        open_lookup(run, NAME).places(99, np.zeros((1, 2)))


def test_boundaries_are_where_depth_begins_and_ends(run):
    lookup = open_lookup(run, NAME)
    index = int(np.median(lookup.graph.section[lookup.graph.is_linked]))
    for ends, depth in zip(lookup.boundaries(index), (0.0, 1.0), strict=True):
        places = lookup.places(index, ends.reshape(-1, 2))
        assert len(ends) > 20 and places.is_inside.mean() > 0.9
        assert places.depth[places.is_inside] == pytest.approx(depth, abs=0.05)
    with pytest.raises(GraphError, match="section 99"):
        lookup.boundaries(99)
