"""A split by cutting plane, on a study of coronal and sagittal brains."""

import shutil

import numpy as np
import pytest
import yaml

from cytomesh.analyze.evaluate.config import EvaluateConfig
from cytomesh.analyze.evaluate.heads import name_nodes
from cytomesh.analyze.evaluate.planes import Planes, PlanesConfig
from cytomesh.analyze.evaluate.run import encode
from cytomesh.analyze.evaluate.task import Bench
from cytomesh.classify.splits import BrainSplit
from cytomesh.core.run import write_study_path
from cytomesh.graph.storage import load_graphs
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section, write_sections

CORONAL = np.array([[0.25, 0, -60.0], [0, 0, 0], [0, -0.25, 60.0]])
SAGITTAL = np.array([[0, 0, 0], [0.25, 0, -60.0], [0, -0.25, 60.0]])


def with_study(run, planes):
    """Write a study that says in which plane each brain was cut."""
    brains = []
    for brain, to_world in planes.items():
        steps = (np.array([[0, 0, i], [0, 0, i], [0, 0, 0]]) for i in range(3))
        planes_of = [SectionPlane(to_world + step) for step in steps]
        own = [Section(brain, i, None, 250.0, plane, status="missing") for i, plane in enumerate(planes_of)]
        write_sections(run / "study" / f"{brain}.tsv", own)
        brains.append({"id": brain, "role": "train", "hemispheres": ["L"], "sections": f"{brain}.tsv"})
    manifest = {"name": "planes", "species": "x", "stain": "y", "space": {"name": "world"}, "brains": brains}
    (run / "study" / "study.yaml").write_text(yaml.safe_dump(manifest))
    write_study_path(run, run / "study" / "study.yaml")
    return Bench(run, load_graphs(run), EvaluateConfig())


def test_heads_learn_in_one_plane_and_are_tested_in_the_others(four_brains, tmp_path):
    shutil.copytree(four_brains, tmp_path / "run")
    planes = {"B01": CORONAL, "B02": SAGITTAL, "B03": CORONAL, "B04": SAGITTAL}
    stage = with_study(tmp_path / "run", planes)
    task, encoded = Planes(PlanesConfig()), encode(stage, "good")
    assert task.why_absent(stage) == ""
    outcome = task.score(stage, encoded)
    assert {s.split for s in outcome.scores} == {"coronal to others", "sagittal to others"}
    split = BrainSplit(kind="brain", train=["B01"], test=["B02", "B04"], validation=0.0)
    by_hand = name_nodes(stage, encoded, stage.annotation, stage.graphs[0].labels, "areas", split)
    (expected,) = [s.value for s in by_hand.scores if s.measure == "macro_f1"]
    (found,) = [s.value for s in outcome.scores if (s.split, s.measure) == ("coronal to others", "macro_f1")]
    assert found == pytest.approx(expected)


def test_one_plane_or_no_study_is_said(bench, four_brains, tmp_path):
    task = Planes(PlanesConfig())
    assert "no study" in task.why_absent(bench())
    shutil.copytree(four_brains, tmp_path / "run")
    stage = with_study(tmp_path / "run", dict.fromkeys(("B01", "B02", "B03", "B04"), CORONAL))
    assert task.why_absent(stage) == "all annotated brains are cut in one plane (coronal)"
