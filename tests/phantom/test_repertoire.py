import json

import numpy as np
import pytest
import scipy.sparse as sp
from PIL import Image

from cytomesh.core.errors import ConfigError
from cytomesh.phantom.areas import draw_atlas
from cytomesh.phantom.config import PhantomBrainConfig, SectionConfig
from cytomesh.phantom.repertoire import Repertoire, change_repertoire
from cytomesh.phantom.write import write_phantom
from cytomesh.study.annotation import read_annotation
from cytomesh.study.study import open_study
from cytomesh.surface.gifti import read_labels, read_surface


@pytest.fixture(scope="module")
def atlas(cortex):
    return draw_atlas(cortex, 24, 0)[0]


def pieces(labels, cortex, area):
    """Sizes of the connected pieces of an area, the largest first."""
    own = np.flatnonzero(labels == area)
    edges = cortex.edges[np.isin(cortex.edges, own).all(axis=1)]
    graph = sp.csr_matrix((np.ones(len(edges)), edges.T), shape=(len(labels),) * 2)
    _, piece = sp.csgraph.connected_components(graph, directed=False)
    return sorted(np.unique(piece[own], return_counts=True)[1].tolist(), reverse=True)


def test_neighbours_take_the_place_of_missing_areas(cortex, atlas):
    labels, found = change_repertoire(atlas, cortex, 2, 0, 0, "B01")
    assert len(found.missing) == 2 and not found.doubled
    assert not np.isin(labels, found.missing).any()
    gone = np.isin(atlas, found.missing)
    assert (labels[~gone] == atlas[~gone]).all()
    i, j = cortex.edges.T
    beside = np.concatenate([atlas[i[gone[j]]], atlas[j[gone[i]]]])
    assert np.isin(labels[gone], beside).all()
    assert all(len(pieces(labels, cortex, area)) == 1 for area in np.unique(labels[labels > 0]))


def test_doubled_areas_have_a_second_patch_that_does_not_touch_the_first(cortex, atlas):
    labels, found = change_repertoire(atlas, cortex, 0, 2, 0, "B01")
    assert len({area for area, _ in found.doubled}) == 2
    for area, host in found.doubled:
        assert len(pieces(labels, cortex, area)) == 2
        assert (atlas[(labels == area) & (atlas != area)] == host).all()
        assert len(pieces(labels, cortex, host)) == 1
    others = np.setdiff1d(np.arange(1, 25), [area for area, _ in found.doubled])
    assert all(len(pieces(labels, cortex, area)) == 1 for area in others)


def test_drawn_from_the_seed_and_the_brain(cortex, atlas):
    drawn = [change_repertoire(atlas, cortex, 2, 1, *which)[1] for which in ((0, "B01"), (0, "B01"), (0, "B02"))]
    assert drawn[0] == drawn[1] != drawn[2]


def test_as_many_as_there_are(cortex):
    few, _ = draw_atlas(cortex, 4, 0)
    with pytest.raises(ConfigError, match=r"phantom brain B01.*raise areas\.count"):
        change_repertoire(few, cortex, 1, 2, 0, "B01")
    same, nothing = change_repertoire(few, cortex, 0, 0, 0, "B01")
    assert same is few and nothing == Repertoire()


def test_truth_and_annotations_say_so(small_settings, tmp_path):
    brain = PhantomBrainConfig(id="S01", role="train", missing_areas=1, doubled_areas=1)
    coarse = SectionConfig(
        um_per_px=500, annotation_um_per_px=500, truth_um_per_px=500, distance_um=1500, spacing_mm=12
    )
    write_phantom(tmp_path, small_settings.model_copy(update={"brains": (brain,), "sections": coarse}), workers=1)
    told = json.loads((tmp_path / "truth/sub-S01/repertoire.json").read_text())
    names = [*told["missing"], *told["doubled"][0].values()]
    missing, area, host = (int(name.removeprefix("P")) for name in names)
    atlas, _ = read_labels(tmp_path / "truth/atlas.label.gii")
    areas, _ = read_labels(tmp_path / "truth/sub-S01/hemi-L_areas.label.gii")
    assert (atlas == missing).any() and not (areas == missing).any()
    # the second patch is where the host is in the atlas, or near it
    midsurface = read_surface(tmp_path / "truth/sub-S01/hemi-L_midthickness.surf.gii").vertices
    patch = (areas == area) & (atlas == host)
    study = open_study(tmp_path / "study.yaml")
    found, inside = [], []
    for section in study.brains[0].sections:
        if section.annotation is not None:
            annotation = read_annotation(section, study.labels)
            found.append(np.unique(np.asarray(Image.open(section.annotation))))
            near = patch & (np.abs(section.plane.distance(midsurface)) < 0.5)
            inside.append(annotation.sample(section.plane.pixels(midsurface[near])))
    assert missing not in np.concatenate(found)
    assert len(np.concatenate(inside)) > 20
    assert (np.concatenate(inside) == area).mean() > 0.8
