"""The files that `tests.mutations` spoils, by kind, and the program's own readers of each."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from tests.mutations import readers
from tests.mutations.content import Mutation, bomb, content, json_mutations, text_mutations, value_mutations
from tests.mutations.formats import (
    gifti_mutations,
    nifti_mutations,
    npy_mutations,
    npz_mutations,
    parquet_mutations,
    png_mutations,
    safetensors_mutations,
    set_words,
    torch_mutations,
    yaml_bombs,
)
from tests.mutations.harness import Target

GRAPH = "T01_hemi-L"
RUN = "own/run"
Reader = Callable[[Path], Any]
NOTHING: frozenset[str] = frozenset()
TYPE = frozenset({"type"})
CUT = frozenset({"cut", "type"})
CHECKED = CUT | {"zeroed"}
ALL = CHECKED | {"flip", "insert"}
"""Harms that a format lets a reader notice: of text, not even its end is known; what has checksums shows all."""


class Samples:
    """Targets by the format of their file; what is spoilt in each is derived from the sound one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rng = random.Random(0)

    def content(self, name: str) -> bytes:
        return (self.folder / name).read_bytes()

    def text(self, name: str) -> list[Mutation]:
        return text_mutations(self.content(name), self.rng)

    def json(self, name: str) -> list[Mutation]:
        return json_mutations(self.content(name), self.rng)

    def yaml(self, name: str) -> list[Mutation]:
        def dump(value: Any) -> bytes:
            return yaml.safe_dump(value).encode()

        return [*yaml_bombs(), *value_mutations(yaml.safe_load(self.content(name)), dump, self.rng, 70)]

    def safetensors(self, name: str) -> list[Mutation]:
        return safetensors_mutations(self.content(name))

    def table(self, name: str) -> list[Mutation]:
        return parquet_mutations(self.content(name))


def all_kinds(folder: Path) -> dict[str, list[Target]]:
    """Return what is spoilt, by kind."""
    readers.import_everything()
    samples = Samples(folder)
    return {
        **_settings(samples),
        **_contours(samples),
        **_images(samples),
        **_volumes(samples),
        **_cells(samples),
        **_own(samples),
    }


def _target(
    path: str, read: Reader, own: Sequence[Mutation], guards: frozenset[str], n: int = 100, **more: str
) -> Target:
    return Target(path, lambda folder: read(folder / path), own, guards, n=n, **more)


def _settings(samples: Samples) -> dict[str, list[Target]]:
    manifest, table, labels = (f"study/{name}" for name in ("study.yaml", "sections.tsv", "labels.tsv"))
    return {
        "study YAML": [_target(manifest, readers.study, samples.yaml(manifest), TYPE, named="/study/")],
        "config YAML": [_target("config.yaml", readers.config, samples.yaml("config.yaml"), NOTHING)],
        "--set": [_target("set", readers.set_word, set_words(), NOTHING, named="--set")],
        "section table": [_target(table, readers.sections, samples.text(table), TYPE)],
        "label table": [_target(labels, readers.label_table, samples.text(labels), TYPE)],
    }


def _contours(samples: Samples) -> dict[str, list[Target]]:
    def contour(name: str, own: Sequence[Mutation], guards: frozenset[str], n: int = 100) -> Target:
        return _target(f"study/{name}", readers.contours, own, guards, n)

    return {
        "GeoJSON": [contour("c.geojson", samples.json("study/c.geojson"), CUT)],
        "MicroDraw": [contour("m.json", samples.json("study/m.json"), CUT)],
        "ImageJ ROI": [contour("c.roi", [], TYPE, 60), contour("c.zip", [], CHECKED, 60)],
        "SVG": [contour("c.svg", samples.text("study/c.svg"), CUT)],
        "CSL": [contour("c.csl", samples.text("study/c.csl"), TYPE)],
        "mask": [
            contour("mask.png", png_mutations(samples.content("study/mask.png")), ALL, 60),
            contour("mask.tif", [], TYPE, 50),
        ],
    }


def _images(samples: Samples) -> dict[str, list[Target]]:
    def image(name: str, own: Sequence[Mutation], guards: frozenset[str]) -> list[Target]:
        return [_target(f"study/{name}", readers.pixels, own, guards)]

    zarr = "study/i.ome.zarr"
    chunks = (path for path in sorted((samples.folder / zarr / "0" / "c").rglob("*")) if path.is_file())
    chunk = next(chunks).relative_to(samples.folder).as_posix()
    metadata = [f"{zarr}/zarr.json", f"{zarr}/0/zarr.json"]
    parts = [(name, samples.json(name), TYPE) for name in metadata]

    def read(folder: Path) -> Any:
        return readers.pixels(folder / zarr)

    return {
        "PNG": image("i.png", png_mutations(samples.content("study/i.png")), ALL),
        "JPEG": image("i.jpg", [], CUT),
        "TIFF": image("i.tif", [], CUT),
        "OME-TIFF": image("i.ome.tif", [], CUT),
        "OME-Zarr": [
            Target(name, read, own, guards, "i.ome.zarr", 45) for name, own, guards in [*parts, (chunk, [], CUT)]
        ],
    }


def _volumes(samples: Samples) -> dict[str, list[Target]]:
    packed, plain = nifti_mutations(True), nifti_mutations(False)
    bombs = [content("bomb of its values", "type", lambda data: data[:352] + bomb())]
    npz = npz_mutations(samples.content("study/warp.npz"))
    return {
        "NIfTI maps": [
            _target("study/maps.nii.gz", readers.maps, [*packed, *bombs], ALL),
            _target("study/maps.nii", readers.maps, plain, CUT),
        ],
        "NIfTI fields, warp.npz": [
            _target("study/field.nii.gz", readers.field, packed, ALL, 60),
            _target("study/warp.nii.gz", readers.warp, packed, ALL, 60),
            _target("study/warp.npz", readers.warp, npz, CHECKED, 60),
        ],
        "NIfTI labels, volumes": [
            _target("study/labels.nii", readers.label_image, plain, CUT, 60),
            _target("study/volume.nii.gz", readers.volume, packed, ALL, 60),
        ],
    }


def _cells(samples: Samples) -> dict[str, list[Target]]:
    """What segmenters write, without sums over their content but for PNG and ZIP."""

    def cells(name: str, own: Sequence[Mutation], guards: frozenset[str]) -> Target:
        return _target(f"cells/{name}", readers.cells, own, guards, 30)

    info = "cells/layerinfo.txt"
    texts = ("c.tsv", "segments.txt")
    outlines = "c_cp_outlines.txt"
    return {
        "cells": [
            *(cells(name, samples.text(f"cells/{name}"), TYPE) for name in texts),
            cells(outlines, samples.text(f"cells/{outlines}"), NOTHING),  # an empty one has no cells
            cells("c.parquet", samples.table("cells/c.parquet"), CUT),
            cells("c.geojson", samples.json("cells/c.geojson"), CUT),
            cells("c.zip", [], CHECKED),
            cells("c_cp_masks.png", png_mutations(samples.content("cells/c_cp_masks.png")), ALL),
            _target(info, readers.drawn_layers, samples.text(info), TYPE, 30),
        ]
    }


def _own(samples: Samples) -> dict[str, list[Target]]:
    run, graph = RUN, f"{RUN}/graphs/{GRAPH}"
    features, encoder, results = f"{run}/features/small/{GRAPH}", f"{run}/encoders/small", f"{run}/classify/lda"
    mlp, steps = f"{run}/classify/mlp", samples.folder / encoder / "checkpoints"

    def own(
        path: str, read: Reader, mutations: Sequence[Mutation], guards: frozenset[str], n: int, **more: str
    ) -> Target:
        """What is read as part of the run."""
        return Target(path, lambda folder: read(folder / run), mutations, guards, n=n, **more)

    records = [f"{encoder}/provenance.json", f"{features}.provenance.json", f"{results}/provenance.json"]
    metrics, predictions = f"{results}/metrics.json", f"{results}/predictions/{GRAPH}.parquet"
    gifti = gifti_mutations()
    npy = npy_mutations(samples.content(f"{features}.npy"))
    kinds = {
        "GIFTI": [
            _target(f"{graph}/pial.surf.gii", readers.surface, gifti, CUT),
            _target(f"{graph}/annotation.label.gii", readers.gifti_labels, gifti, CUT, 60),
            _target(f"{graph}/thickness.shape.gii", readers.scalars, gifti, CUT, 50),
        ],
        "graph": [
            own(f"{graph}/nodes.parquet", readers.graph, samples.table(f"{graph}/nodes.parquet"), ALL, 100),
            own(f"{graph}/midthickness.surf.gii", readers.graph, gifti, CUT, 60),
            own(f"{graph}/labels.tsv", readers.graph, samples.text(f"{graph}/labels.tsv"), TYPE, 50, named=GRAPH),
            own(f"{graph}/qc.json", readers.lookup, samples.json(f"{graph}/qc.json"), TYPE, 60),
        ],
        "study.json": [own(f"{run}/study.json", readers.study_path, samples.json(f"{run}/study.json"), TYPE, 80)],
        "features": [
            own(f"{features}.npy", readers.features, npy, ALL, 80),
            own(f"{features}.json", readers.features, samples.json(f"{features}.json"), ALL, 60, named=GRAPH),
        ],
        "encoder": [
            own(path, readers.encoder, mutations, guards, 70, named="encoders/small")
            for path, mutations, guards in (
                (f"{encoder}/model.safetensors", samples.safetensors(f"{encoder}/model.safetensors"), ALL),
                (f"{encoder}/config.yaml", samples.yaml(f"{encoder}/config.yaml"), NOTHING),
            )
        ],
        "checkpoints": [
            own(f"{encoder}/checkpoints/{name}", read, torch_mutations(steps / name), ALL, 60)
            for name, read in (("step-00000003.pt", readers.checkpoint), ("best.pt", readers.best))
        ],
        "classifier": [
            own(f"{mlp}/{name}", readers.classifier, mutations(f"{mlp}/{name}"), ALL, 50, named="classify/mlp")
            for name, mutations in (
                ("model.json", samples.json),
                ("seed-0.safetensors", samples.safetensors),
                ("scaling.safetensors", samples.safetensors),
            )
        ],
        "classifier: results": [
            own(metrics, readers.metrics, samples.json(metrics), ALL, 40, writes=f"{run}/classify"),
            own(predictions, readers.predictions, samples.table(predictions), CUT, 60),
        ],
    }  # fmt: skip
    if all((samples.folder / path).is_file() for path in records):  # not before there were any
        kinds["provenance.json"] = [
            own(path, readers.status, samples.json(path), NOTHING, 40, named="small") for path in records
        ]
    return kinds
