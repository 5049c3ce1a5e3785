"""The program's own readers, each giving values that can be compared."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np

GRAPH = "T01_hemi-L"


def import_everything() -> None:
    """Import what readers need, so that forked processes have it."""
    import nibabel
    import roifile
    import skimage.measure
    import tifffile
    import zarr

    import cytomesh.analyze.cells.drawn
    import cytomesh.classify.predict
    import cytomesh.graph.lookup
    import cytomesh.imaging.pyramid
    import cytomesh.pretrain.embed
    import cytomesh.report.results
    import cytomesh.study.check
    import cytomesh.study.volume

    assert all((nibabel, roifile, skimage.measure, tifffile, zarr, cytomesh))


def study(path: Path) -> Any:
    from cytomesh.study.study import open_study

    found = open_study(path)
    brains = [(brain.id, brain.role, brain.hemispheres, len(brain.sections)) for brain in found.brains]
    return [found.name, found.manifest.model_dump(mode="json"), brains]


def config(path: Path) -> Any:
    from cytomesh.core.config import load_config
    from cytomesh.pretrain.config import PretrainConfig

    return load_config(PretrainConfig, path).model_dump(mode="json")


def set_word(path: Path) -> Any:
    from cytomesh.core.config import load_config
    from cytomesh.core.errors import ConfigError
    from cytomesh.pretrain.config import PretrainConfig

    if not path.is_file() or path.stat().st_size > 10**6:
        raise ConfigError("--set", found="no word")
    word = path.read_bytes().decode("latin-1")
    base = path.with_name("config.yaml")
    return load_config(PretrainConfig, base, [word]).model_dump(mode="json")


def sections(path: Path) -> Any:
    from cytomesh.study.sections import read_sections

    return [(s.index, s.um_per_px, s.plane.to_world, s.role, s.status) for s in read_sections(path, "B01")]


def label_table(path: Path) -> Any:
    from cytomesh.study.atlas import read_labels

    table = read_labels(path)
    return [table.indices, table.names, table.colours]


def contours(path: Path) -> Any:
    from cytomesh.study.contours import read_contours
    from cytomesh.study.manifest import ContourSettings
    from cytomesh.study.planes import SectionPlane
    from cytomesh.study.sections import Section

    plane = SectionPlane(np.array([[0.1, 0, 0], [0, 0, 0.5], [0, -0.1, 0]]))
    settings = ContourSettings(labels={"pial_L": [1, 2], "white_L": [2]}, classes={"Outer": "pial_L"})
    section = Section("B01", 0, path.with_name("s0.png"), 100.0, plane, path, contour_settings=settings)
    return {side: (h.pial.wkt, h.white.wkt) for side, h in read_contours(section).items()}


def pixels(path: Path) -> Any:
    from cytomesh.imaging.pyramid import open_image

    with open_image(path) as image:
        found = []
        for level in range(2):
            height, width = image.levels[level].shape if level < len(image.levels) else (0, 0)
            if height * width > 10**8:  # it would be read in windows
                found.append(image.read(level, height - 64, height, width - 64, width))
            elif height:
                found.append(image.read(level, 0, height, 0, width))
        return [*found, image.um_per_px]


def cells(path: Path) -> Any:
    from cytomesh.analyze.cells.formats.registry import read_cells

    table = read_cells(path)
    facts = [table.unit, table.is_corner, table.size_unit, table.um_per_px]
    return [table.places, dict(table.measures), table.layer, table.section, *facts]


def drawn_layers(path: Path) -> Any:
    from cytomesh.analyze.cells.drawn import read_drawn

    found = read_drawn(path)
    return [found.mm2, found.thickness_mm]


def maps(path: Path) -> Any:
    from cytomesh.core.labels import LabelTable
    from cytomesh.study.atlas import Atlas

    atlas = Atlas(LabelTable.from_names(["V1", "V2"]), path, "here")
    atlas.check()
    return atlas.sample(np.random.default_rng(0).uniform(-4, 4, (50, 3))).toarray()


def field(path: Path) -> Any:
    from cytomesh.study.transforms import read_displacement

    found = read_displacement(path)
    return [found.values, found.affine]


def warp(path: Path) -> Any:
    from cytomesh.study.warps import read_warp

    found = read_warp(path, 100.0)
    return [found.values, found.origin_px, found.step_px]


def label_image(path: Path) -> Any:
    from cytomesh.core.labels import LabelTable
    from cytomesh.study.annotation import read_annotation
    from cytomesh.study.planes import SectionPlane
    from cytomesh.study.sections import Section

    plane = SectionPlane(np.array([[0.1, 0, 0], [0, 0, 0.5], [0, -0.1, 0]]))
    section = Section("B01", 0, path.with_name("s0.png"), 100.0, plane, None, path)
    return read_annotation(section, LabelTable.from_names(["V1", "V2"])).labels


def volume(path: Path) -> Any:
    from cytomesh.study.volume import VolumeCut, cut_volume

    out = path.with_name("cut")
    shutil.rmtree(out, ignore_errors=True)
    cut_volume(path, VolumeCut(1, (1,), (2,)), out)
    return [(out / "sections.tsv").read_text(), *(p.read_text() for p in sorted(out.glob("contours/*")))]


def surface(path: Path) -> Any:
    from cytomesh.surface.gifti import read_surface

    mesh = read_surface(path)
    return [mesh.vertices, mesh.faces]


def gifti_labels(path: Path) -> Any:
    from cytomesh.surface.gifti import read_labels

    labels, table = read_labels(path)
    return [labels, table.names, table.indices, table.colours]


def scalars(path: Path) -> Any:
    from cytomesh.surface.gifti import read_scalars

    return read_scalars(path)


def graph(run: Path) -> Any:
    from cytomesh.graph.storage import load_graph

    found = load_graph(run / "graphs" / GRAPH)
    columns = {n: c.toarray() if hasattr(c, "toarray") else np.asarray(c) for n, c in found.nodes.columns.items()}
    facts = [found.name, found.brain_role, found.labels.names, found.mesh.vertices, found.mesh.faces]
    return [columns, facts, found.digest, found.reference, found.section_role, found.is_linked]


def lookup(run: Path) -> Any:
    from cytomesh.graph.lookup import open_lookup

    return [plane.to_world for plane in open_lookup(run, GRAPH).planes.values()]


def study_path(run: Path) -> Any:
    from cytomesh.core.run import read_study_path

    return str(read_study_path(run))


def _check(run: Path, inputs: Any) -> None:
    """Ask, as every stage does before it reads, whether what it builds on is as it was written."""
    from cytomesh.core.digests import FileDigests
    from cytomesh.graph.freshness import Freshness

    Freshness(run, FileDigests()).check(inputs, allow_stale=False)


def features(run: Path) -> Any:
    from cytomesh.graph.features import load_features
    from cytomesh.graph.storage import load_graph

    found = load_graph(run / "graphs" / GRAPH)
    values = np.array(load_features(run, "small", found))
    try:
        from cytomesh.core.digests import FileDigests
        from cytomesh.graph.provenance import features_read
    except ImportError:  # before there were records
        return values
    _check(run, features_read(run, [found], ["small"], FileDigests()))
    return values


def encoder(run: Path) -> Any:
    import torch

    from cytomesh.pretrain.export import load_encoder

    folder = run / "encoders" / "small"
    found = load_encoder(folder)
    size = found.patches.size_px
    patches = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (2, 1, size, size), np.uint8))
    values = [found.embed(patches).numpy(), size, found.patches.um_per_px]
    try:
        from cytomesh.core.digests import FileDigests
        from cytomesh.pretrain.export import encoder_read
    except ImportError:
        return values
    _check(run, encoder_read(run, folder, found, FileDigests()))
    return values


def checkpoint(run: Path) -> Any:
    from cytomesh.pretrain.checkpoints import load_checkpoint

    found = load_checkpoint(run / "encoders/small/checkpoints/step-00000003.pt")
    tensors = {name: np.asarray(value) for name, value in found.model.items()}
    return [found.step, found.key, tensors, repr(found.optimizer), repr(found.scaler), repr(found.score)]


def best(run: Path) -> Any:
    from cytomesh.pretrain.checkpoints import load_best

    return {name: np.asarray(value) for name, value in load_best(run / "encoders/small/checkpoints", "key").items()}


def classifier(run: Path) -> Any:
    from cytomesh.classify.config import PredictConfig
    from cytomesh.classify.predict import predict_run
    from cytomesh.core.tables import read_table

    shutil.rmtree(run / "classify" / "again", ignore_errors=True)
    predict_run(run, run / "classify" / "mlp", "again", PredictConfig(outlines=False))
    table = read_table(run / "classify" / "again" / "predictions" / f"{GRAPH}.parquet")
    return [np.asarray(table[name]) for name in ("area", "confidence", "input_quantile")]


def metrics(run: Path) -> Any:
    """Call the stage again, with the same settings: it keeps what is whole, and else makes it anew."""
    from cytomesh.classify.config import ClassifyConfig
    from cytomesh.classify.run import classify_run
    from cytomesh.core.config import load_config
    from cytomesh.report.results import read_models
    from tests.data.write_format import CLASSIFIERS

    found = classify_run(run, "lda", load_config(ClassifyConfig, None, CLASSIFIERS["lda"]))
    read_models(run)
    return {name: value for name, value in found.items() if name != "seconds"}


def predictions(run: Path) -> Any:
    from cytomesh.core.tables import read_table

    table = read_table(run / "classify" / "lda" / "predictions" / f"{GRAPH}.parquet", needs=("area", "confidence"))
    return [np.asarray(table[name]) for name in ("area", "confidence")]


def status(run: Path) -> Any:
    """Ask for everything's state, as `cytomesh status` does, and whether a classifier would be kept."""
    from cytomesh.classify.config import ClassifyConfig
    from cytomesh.classify.run import classify_inputs
    from cytomesh.core.config import load_config
    from cytomesh.core.digests import FileDigests
    from cytomesh.core.run import product
    from cytomesh.graph.storage import load_graphs
    from cytomesh.report.status import run_status
    from tests.data.write_format import CLASSIFIERS

    states = [(item.product, item.state) for item in run_status(run)]
    settings = load_config(ClassifyConfig, None, CLASSIFIERS["lda"])
    inputs = classify_inputs(run, load_graphs(run), settings, FileDigests())
    _check(run, inputs)
    return [states, product(run, "classify", "lda").is_current(inputs)]
