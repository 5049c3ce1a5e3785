"""Layers that somebody drew: label images or contours of a section, read as the classes of this analysis."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from shapely.geometry import MultiPolygon, Polygon

from cytomesh.analyze.layers.classes import BACKGROUND, CLASSES, IGNORE, N_LAYERS
from cytomesh.analyze.layers.config import Class, TruthConfig
from cytomesh.analyze.layers.ribbon import Columns, Grid, signed_distance_px
from cytomesh.core.config import fill_pattern
from cytomesh.core.digests import FileDigests
from cytomesh.core.errors import ConfigError, ContourError, ImageError, MissingStageError
from cytomesh.core.provenance import Inputs, place
from cytomesh.core.reading import reading
from cytomesh.study.annotation import AnnotationImage, check_extent, read_label_image
from cytomesh.study.contour_formats.features import CORNER
from cytomesh.study.contour_formats.registry import read_features
from cytomesh.study.sections import Section
from cytomesh.study.study import Study
from cytomesh.study.tables import read_dicts

MASKS = (".png", ".tif", ".tiff", ".nii", ".nii.gz")
DRAWN_UM = 20.0
"""Contours of layers are looked up on a grid of this size, or of the image's pixels where those are larger."""
MIDDLE = (0.25, 0.75)
LEAST_COVERED = 0.8
MOST_GOING_BACK = 0.5
"""Share of columns: drawn layers may fold back in a crease, but not everywhere."""
COLUMNS = ("brain", "section", "file")
NAMED = 5
"""Sections that an error names."""
KIND = "layers"
"""What truth files are called among the inputs."""

TruthFiles = dict[tuple[str, int], Path]


def truth_files(study: Study, sections: Iterable[Section], settings: TruthConfig) -> TruthFiles:
    """Return the file of each section that has one, by brain and index.

    Raises
    ------
    ConfigError
        If the pattern or the table is none.
    MissingStageError
        If there is no file at all, or one that the table names is not there.
    """
    folder = study.path.parent
    if settings.files.endswith(".tsv"):
        found = _from_table(folder / settings.files)
        known = {(section.brain, section.index): found.get((section.brain, section.index)) for section in sections}
        files = {key: path for key, path in known.items() if path is not None}
        if found and not files:
            named = ", ".join(f"{brain} {index}" for brain, index in list(found)[:NAMED])
            more = ", ..." if len(found) > NAMED else ""
            expected, hint = "sections of the run", "correct its columns brain and section"
            raise ConfigError(folder / settings.files, found=f"only {named}{more}", expected=expected, hint=hint)
        missing = [path for path in files.values() if not path.is_file()]
        if missing:
            raise MissingStageError(missing[0], found="no such file", hint=f"correct {folder / settings.files}")
    else:
        paths = {
            (brain, index): folder / fill_pattern("truth.files", settings.files, brain=brain, section=index)
            for brain, index in ((section.brain, section.index) for section in sections)
        }
        files = {key: path for key, path in paths.items() if path.is_file()}
    if not files:
        hint = "set truth.files: a pattern with {brain} and {section}, or a table of brain, section and file"
        raise MissingStageError(folder / settings.files, found="no file of layers for any section", hint=hint)
    return files


def _from_table(path: Path) -> TruthFiles:
    expected = f"a table with columns {', '.join(COLUMNS[:-1])} and {COLUMNS[-1]}"
    if not path.is_file():
        raise MissingStageError(path, found="no such table", expected=expected, hint="correct truth.files")
    with reading(path, ConfigError, expected=expected, also=(csv.Error,)):
        rows = read_dicts(path)
    found: TruthFiles = {}
    for row in rows:
        if lacking := [name for name in COLUMNS if name not in row]:
            raise ConfigError(path, found=f"no column {', '.join(lacking)}", expected=expected)
        brain, section, file = (row[name] for name in COLUMNS)
        if not section.isdecimal():
            raise ConfigError(path, brain, found=f"section '{section}'", expected="a whole number")
        if (brain, int(section)) in found:
            raise ConfigError(path, brain, found=f"section {section} once more", expected="one file per section")
        found[brain, int(section)] = path.parent / file
    return found


def truth_read(run: Path, study: Study, files: TruthFiles, digests: FileDigests) -> Inputs:
    """Return the inputs of a stage that reads these files."""
    contents = digests.digest_all(files.values())
    named = {
        f"{KIND}: {brain} section {index}": (place(path, run, study.path.parent), content)
        for ((brain, index), path), content in zip(files.items(), contents, strict=True)
    }
    return Inputs(files=named)


def read_truth(path: Path, section: Section, image_shape: tuple[int, int], settings: TruthConfig) -> AnnotationImage:
    """Read a section's layers: `sample` gives classes at pixels of its image, `IGNORE` where nobody knows.

    Raises
    ------
    ImageError
        If a label image cannot be read, is not of the image's extent, or has values that no code takes.
    ContourError
        If contours cannot be read, or have a class that none of `classes` takes.
    """
    if path.name.lower().endswith(MASKS):
        labels = coded(path, read_label_image(path), settings.codes)
        um = settings.um_per_px or section.um_per_px
        truth = AnnotationImage(labels, um, section.um_per_px)
        check_extent(path, truth, image_shape, "set truth.um_per_px to the size of their pixels")
        return truth
    return _painted(path, section, image_shape, settings.classes)


def coded(path: Path, labels: NDArray[np.generic], codes: Mapping[Class, list[int]]) -> NDArray[np.int32]:
    """Return the classes of a label image, (h, w) int32.

    Raises
    ------
    ImageError
        If it has a value that no code takes; 0 is background unless named.
    """
    meaning = {0: BACKGROUND} | {value: number(name) for name, values in codes.items() for value in values}
    values, at = np.unique(labels, return_inverse=True)
    unknown = [value for value in values.tolist() if value not in meaning]
    if unknown:
        expected = ", ".join(f"{name} {codes[name]}" for name in codes)
        hint = "say what they mean in truth.codes; `ignore` takes those that mean nothing"
        raise ImageError(path, found=f"values {unknown[:10]} that no layer takes", expected=expected, hint=hint)
    table = np.array([meaning[value] for value in values.tolist()], np.int32)
    return np.asarray(table[at].reshape(labels.shape))


def number(name: Class) -> int:
    """Return the number of a class."""
    return IGNORE if name == "ignore" else CLASSES.index(name)


def _painted(
    path: Path, section: Section, image_shape: tuple[int, int], classes: Mapping[str, Class]
) -> AnnotationImage:
    um = max(section.um_per_px, DRAWN_UM)
    grid = Grid.of(image_shape, section.um_per_px, um)
    labels = np.full(grid.shape, BACKGROUND, np.int32)
    for feature in read_features(replace(section, contours=path), frozenset(classes)):
        name = next((name for name in feature.names if name in classes), None)
        if name is None or feature.fault:
            found = feature.fault or f"unknown class '{feature.names[0] if feature.names else ''}'"
            expected = "a closed ring of " + ", ".join(classes)
            raise ContourError(
                path, feature.place, found=found, expected=expected, hint="name it in truth.classes, or delete it"
            )
        shapes = [Polygon(rings[0] - CORNER, [ring - CORNER for ring in rings[1:]]) for rings in feature.polygons]
        labels[signed_distance_px(MultiPolygon(shapes), grid) > 0] = number(classes[name])
    return AnnotationImage(labels, um, section.um_per_px)


def on_grid(truth: AnnotationImage, grid: Grid) -> NDArray[np.int32]:
    """Return the classes at the pixels of a grid, (h, w); 0 outside of what was drawn."""
    rows, columns = (grid.image_pixels(np.arange(n, dtype=np.float64)) for n in grid.shape)
    return truth.sample_lattice(columns, rows)


def column_truth(path: Path, section: Section, truth: AnnotationImage, columns: Columns) -> NDArray[np.int32]:
    """Return the layer at each sample of columns, (n, k): 0 to 5, `IGNORE` where there is none.

    Raises
    ------
    ImageError
        If a good part of the middle of the cortex is not labelled as cortex: contours and layers are then of different
        images, or only some cortex has been drawn and the rest should be said to be ignored. If most columns do not
        have layers in their order: some are then called by the names of others.
    """
    n, k, _ = columns.points.shape
    classes = truth.sample(columns.points.reshape(-1, 2).astype(np.float64)).reshape(n, k)
    middle = classes[:, round(MIDDLE[0] * k) : round(MIDDLE[1] * k)]
    known = middle != IGNORE
    is_layer = (classes >= 1) & (classes <= N_LAYERS)
    covered = is_layer[:, round(MIDDLE[0] * k) : round(MIDDLE[1] * k)][known].mean() if known.any() else 1.0
    if covered < LEAST_COVERED:
        raise ImageError(
            path,
            section.name,
            found=f"layers in {covered:.0%} of the middle of the cortex that the contours show",
            expected=f"at least {LEAST_COVERED:.0%}",
            hint="check their pixel size and place; where only some cortex was drawn, give the rest a value or class "
            "that truth.codes or truth.classes take for ignore",
        )
    step_back = is_layer[:, :-1] & is_layer[:, 1:] & (classes[:, 1:] < classes[:, :-1])
    goes_back = step_back[is_layer.any(axis=1)].any(axis=1)
    if goes_back.size and goes_back.mean() > MOST_GOING_BACK:
        raise ImageError(
            path,
            section.name,
            found=f"layers that go back along depth in {goes_back.mean():.0%} of the columns through the cortex",
            expected="I at the pial side to VI at the white",
            hint="do truth.codes or truth.classes call the layers as they were drawn?",
        )
    return np.where(is_layer, classes - 1, IGNORE)


def filled_in(truth: NDArray[np.int32]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Return truth at columns as probabilities, (n, k, 6), and which columns have it, (n,).

    Samples without a layer at the ends of a column, a pixel beyond the drawn boundary, take any.
    """
    known = truth != IGNORE
    one_hot = np.where(known[..., None], np.eye(N_LAYERS, dtype=np.float32)[np.maximum(truth, 0)], 1.0 / N_LAYERS)
    return one_hot.astype(np.float32), known.mean(axis=1) >= LEAST_COVERED
