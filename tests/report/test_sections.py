import re
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from cytomesh.core.labels import LabelTable
from cytomesh.core.run import finished_folders
from cytomesh.core.tables import Table
from cytomesh.graph.storage import load_graphs
from cytomesh.imaging.normalise import open_run_study
from cytomesh.report.sections import section_part
from cytomesh.surface.gifti import read_labels


def changed(graph, **columns):
    return replace(graph, nodes=Table({**graph.nodes.columns, **columns}))


def test_sections_with_annotations_are_shown(run):
    study, graphs = open_run_study(run), load_graphs(run)
    wanted = {3, 6, 9}
    sparse = [
        changed(graph, annotation=np.where(np.isin(graph.section, list(wanted)), graph.annotation, 0))
        for graph in graphs
    ]
    shown = re.findall(r"Section (\d+), plane", section_part(run, study, sparse).body)
    assert set(map(int, shown)) == wanted
    # without any, they are spread over all, and have the colours of areas that were predicted
    none = [changed(graph, annotation=np.zeros(graph.n_nodes, np.int32)) for graph in graphs]
    first = none[0]
    # whose study has maps of one area, and not all that were predicted
    maps = sp.csr_matrix(np.ones((first.n_nodes, 1), np.float32))
    none[0] = replace(first, labels=LabelTable.from_names(["A"]), nodes=Table({**first.nodes.columns, "pmap": maps}))
    body = section_part(run, study, none).body
    assert len(set(re.findall(r"Section (\d+), plane", body))) == 4
    folder = finished_folders(run, "classify")[0]
    assert f"{graphs[0].name}, which nobody annotated, has areas predicted by {folder.name}." in body
    labels, table = read_labels(folder / f"{graphs[0].name}.label.gii")
    used = {table.name(int(label)) for label in np.unique(labels[graphs[0].is_linked]) if label}
    assert used & set(re.findall(r"<title>(.*?): \d+ links", body))


@pytest.mark.parametrize("factor", [1.0, 0.1])
def test_ticks_are_as_long_as_half_the_cortex_is_thick(run, factor):
    study, graphs = open_run_study(run), load_graphs(run)
    scaled = [changed(graph, thickness_mm=factor * graph.nodes["thickness_mm"]) for graph in graphs]
    body = section_part(run, study, scaled).body
    steps = np.array(re.findall(r"h0l(-?[\d.]+) (-?[\d.]+)", body), float)
    median = np.median(np.concatenate([graph.nodes["thickness_mm"] for graph in graphs]))
    # 250 um/px, and one decimal
    assert np.hypot(*steps.T) == pytest.approx(factor * median / 2 / 0.25, abs=0.15)


def test_ticks_where_no_thickness_is_known(run):
    study, graphs = open_run_study(run), load_graphs(run)
    bare = [changed(graph, thickness_mm=np.full(graph.n_nodes, np.nan)) for graph in graphs]
    steps = np.array(re.findall(r"h0l(-?[\d.]+) (-?[\d.]+)", section_part(run, study, bare).body), float)
    assert (np.hypot(*steps.T) > 1).all()
