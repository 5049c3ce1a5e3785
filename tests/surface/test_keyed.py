"""What label tables call none is none, in every format; keys are whole numbers."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.cifti2.cifti2_axes import BrainModelAxis, LabelAxis
from nibabel.gifti import GiftiDataArray, GiftiImage, GiftiLabel, GiftiLabelTable

from cytomesh.core.errors import AtlasError, SurfaceError
from cytomesh.core.labels import LabelTable
from cytomesh.surface.annot import write_annot
from cytomesh.surface.keyed import is_no_area, keyed_labels
from cytomesh.surface.vertex_data import read_vertex_labels

WALL = "Background+FreeSurfer_Defined_Medial_Wall"
KEYS = np.array([0, 1, 2, 2, 5, 0])


def entries(*names):
    return [(key, name, (1.0, 0.1 * key, 0.0, 1.0)) for key, name in zip((0, 1, 2, 5), names, strict=True)]


def write(path: Path, keys, rows) -> Path:
    if path.name.endswith(".dlabel.nii"):
        models = BrainModelAxis.from_surface(np.arange(len(keys)), len(keys), name="CortexLeft")
        axis = LabelAxis(["areas"], [{key: (name, rgba) for key, name, rgba in rows}])
        nib.save(nib.Cifti2Image(np.asarray(keys, np.float32)[None], header=(axis, models)), path)
        return path
    table = GiftiLabelTable()
    for key, name, rgba in rows:
        label = GiftiLabel(key, *rgba)
        label.label = name
        table.labels.append(label)
    values = np.asarray(keys, np.float32)
    nib.save(GiftiImage(darrays=[GiftiDataArray(values, intent="NIFTI_INTENT_LABEL")], labeltable=table), path)
    return path


@pytest.mark.parametrize("name", ["a.label.gii", "a.dlabel.nii", "A.LABEL.GII", "a.label.gii.gz"])
def test_the_wall_is_no_area(tmp_path, name):
    path = write(tmp_path / name, KEYS, entries(WALL, "V1", "corpuscallosum", "V2"))
    labels, table = read_vertex_labels(path, len(KEYS), "L")
    assert labels.tolist() == [0, 1, 0, 0, 5, 0] and table.names == ("V1", "V2")


@pytest.mark.parametrize("name", ["a.label.gii", "a.dlabel.nii"])
def test_an_area_with_key_0_and_labels_between_keys_are_refused(tmp_path, name):
    rows = entries("V0", "V1", "V2", "V5")
    with pytest.raises(SurfaceError, match=f"{name}: found an area with key 0, 'V0'"):
        read_vertex_labels(write(tmp_path / name, KEYS, rows), len(KEYS), "L")
    with pytest.raises(SurfaceError, match=r"found 1\.5 at vertex 1"):
        read_vertex_labels(write(tmp_path / name, KEYS + 0.5 * (KEYS == 1), rows), len(KEYS), "L")


@pytest.mark.parametrize("name", ["a.label.gii", "a.dlabel.nii"])
def test_transparency_tells_key_0_apart_where_it_is_the_only_transparent_one(tmp_path, name, caplog):
    rows = [(key, area, (*rgba[:3], 0.0)) for key, area, rgba in entries("V0", "V1", "V2", "V5")]
    with pytest.raises(SurfaceError, match=f"{name}: found an area with key 0, 'V0'.*'\\?\\?\\?' if it is no area"):
        read_vertex_labels(write(tmp_path / name, KEYS, rows), len(KEYS), "L")
    assert caplog.messages == []
    rows[1:] = entries("V0", "V1", "V2", "V5")[1:]
    labels, table = read_vertex_labels(write(tmp_path / name, KEYS, rows), len(KEYS), "L")
    assert labels.tolist() == KEYS.tolist() and table.names == ("V1", "V2", "V5")
    assert "2 vertices of key 0, 'V0', have no area" in caplog.text


def test_keys_without_a_name_or_a_colour(tmp_path):
    path = write(
        tmp_path / "a.label.gii", KEYS, [(0, "???", (1, 1, 1, 0)), (1, "V1", (1, 0, 0, 1)), (2, "V2", (0,) * 4)]
    )
    text = path.read_text().replace('<Label Key="2" Red="0" Green="0" Blue="0" Alpha="0">V2</Label>', "{}")
    path.write_text(text.replace("{}", '<Label Key="2" /><Label Key="5">V5</Label>'))
    with pytest.raises(SurfaceError, match=r"a\.label\.gii: label table: found key 2 of 2 vertices without a name"):
        read_vertex_labels(path, len(KEYS), "L")
    path.write_text(text.replace("{}", '<Label Key="2">V2</Label><Label Key="5">V5</Label>'))
    labels, table = read_vertex_labels(path, len(KEYS), "L")
    assert labels.tolist() == KEYS.tolist() and table.names == ("V1", "V2", "V5")
    assert table.colours[0].tolist() == [1, 0, 0, 1]
    assert np.isfinite(table.colours).all() and len(np.unique(table.colours, axis=0)) == 3


def test_the_wall_in_annot(tmp_path):
    write_annot(tmp_path / "lh.a.annot", np.array([1, 2, 3, 0]), LabelTable.from_names([WALL, "V1", "???"]))
    labels, table = read_vertex_labels(tmp_path / "lh.a.annot", 4, "L")
    assert labels.tolist() == [0, 1, 0, 0] and table.names == ("V1",)


def test_one_map_of_a_cifti_file_is_taken_by_a_command(tmp_path):
    models = BrainModelAxis.from_surface(np.arange(2), 2, name="CortexLeft")
    axis = LabelAxis(["a", "b"], [{1: ("V1", (1, 0, 0, 1))}] * 2)
    nib.save(nib.Cifti2Image(np.ones((2, 2), np.float32), header=(axis, models)), tmp_path / "a.dlabel.nii")
    command = f"wb_command -cifti-merge ONE.dlabel.nii -cifti {tmp_path / 'a.dlabel.nii'} -column 1"
    with pytest.raises(SurfaceError, match=command):
        read_vertex_labels(tmp_path / "a.dlabel.nii", 2, "L")


NONE = (
    *(WALL, "FreeSurfer_Defined_Medial_Wall", "corpuscallosum", "Corpus callosum", "???", "L_???", "", "Unknown"),
    *("Medial_wall", "MedialWall", "MEDIAL.WALL", "lh.unknown", "ctx-rh-unknown", "[none]", "R_Medial_Wall"),
)


@pytest.mark.parametrize("name", NONE)
def test_names_of_no_area(name):
    assert is_no_area(name)


@pytest.mark.parametrize("name", ["V1", "area 0", "unknown sulcus", "MW1", "subcallosum", "Æ"])
def test_names_of_areas(name):
    assert not is_no_area(name)


def test_keys_without_a_name():
    with pytest.raises(AtlasError, match="outside the label table"):
        keyed_labels(Path("/a"), KEYS, entries("none", "V1", "V2", "V5")[:2])
