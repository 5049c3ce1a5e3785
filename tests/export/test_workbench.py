"""Spec files and scenes name the run's files, and Workbench shows what they say."""

import shutil
import subprocess
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from cytomesh.export.results import label_files, surface_files
from cytomesh.export.workbench import export_workbench
from cytomesh.graph.storage import load_graphs

needs_workbench = pytest.mark.skipif(shutil.which("wb_command") is None, reason="Connectome Workbench is not installed")


@pytest.fixture(scope="module")
def moved(small_chain, tmp_path_factory):
    """A run whose files for Workbench were written before it was moved."""
    home = tmp_path_factory.mktemp("workbench")
    shutil.copytree(small_chain.run, home / "run", symlinks=True)
    export_workbench(home / "run")
    (home / "run").rename(home / "moved")
    return home / "moved"


def test_all_files_are_named_relative_to_the_run(moved):
    for brain in {graph.brain for graph in load_graphs(moved)}:
        spec = moved / "workbench" / f"{brain}.spec"
        named = {(spec.parent / file.text).resolve() for file in ElementTree.parse(spec).iter("DataFile")}
        graphs = [graph for graph in load_graphs(moved) if graph.brain == brain]
        for graph in graphs:
            expected = {*surface_files(moved, graph).values(), *label_files(moved, graph).values()}
            assert {path.resolve() for path in expected} <= named
        assert all(path.is_file() for path in named)


def test_there_is_a_scene_a_brain_and_result(moved):
    root = ElementTree.parse(moved / "workbench" / "run.scene").getroot()
    names = [info.findtext("Name") for info in root.iter("SceneInfo")]
    graphs = load_graphs(moved)
    expected = {f"{graph.brain}: {name}" for graph in graphs for name in label_files(moved, graph)}
    assert set(names) == expected and len(names) == len(expected)
    for path in {item.text for item in root.iter("Object") if item.get("Type") == "pathName"}:
        assert (moved / "workbench" / path).is_file()


@needs_workbench
def test_workbench_reads_spec_and_scenes(moved, tmp_path):
    for file in sorted((moved / "workbench").glob("[!.]*")):
        done = subprocess.run(["wb_command", "-file-information", file], capture_output=True, text=True, check=True)
        assert "midthickness.surf.gii" in done.stdout
    specs = sorted((moved / "workbench").glob("*.spec"))
    merged = tmp_path / "both.spec"
    subprocess.run(["wb_command", "-spec-file-merge", specs[0], specs[-1], merged], capture_output=True, check=True)
    assert merged.read_text().count("midthickness.surf.gii") == len({graph.name for graph in load_graphs(moved)})


@needs_workbench
def test_workbench_draws_the_areas_in_their_colours(moved, tmp_path):
    scene = moved / "workbench" / "run.scene"
    names = [info.findtext("Name") for info in ElementTree.parse(scene).iter("SceneInfo")]
    graph = load_graphs(moved)[0]
    pictures = {}
    for name in names[:2]:
        picture = tmp_path / "picture.png"
        command = ["wb_command", "-show-scene", scene, name, picture, "600", "400"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        if not picture.is_file() and "OSMesa" in done.stdout + done.stderr:
            pytest.skip("this Workbench does not render")
        assert done.returncode == 0 and "SEVERE" not in done.stdout + done.stderr, done.stdout + done.stderr
        pictures[name] = np.asarray(Image.open(picture).convert("RGB"), float)
        picture.unlink()
    first, second = pictures.values()
    assert (first != second).any()  # another result, on the same surfaces
    # shading changes brightness, and hue a little: the largest area is there in its colour
    labels, counts = np.unique(graph.annotation[graph.annotation > 0], return_counts=True)
    largest = labels[counts.argmax()]
    row = graph.labels.indices.index(largest)
    colour = graph.labels.colours[row, :3]
    shown = first[first.sum(axis=2) > 60]
    directions = shown / np.linalg.norm(shown, axis=1, keepdims=True)
    assert (directions @ (colour / np.linalg.norm(colour)) > 0.985).mean() > 0.02
