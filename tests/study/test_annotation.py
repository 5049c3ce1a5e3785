from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from cytomesh.core.errors import AtlasError, ImageError
from cytomesh.core.labels import LabelTable
from cytomesh.study.annotation import read_annotation
from cytomesh.study.sections import read_sections

LABELS = LabelTable.from_names(["V1", "V2", "M1"])


@pytest.fixture
def section(study_folder):
    return read_sections(study_folder.table, "B01")[1]


def test_labels_are_sampled_at_the_nearest_pixel(section):
    annotation = read_annotation(section, LABELS)
    assert annotation.labels.shape == (60, 80) and annotation.labels.dtype == np.int32
    pixels = np.array([[39.4, 30], [39.6, 30], [9.4, 30], [69.4, 49.4], [-3, 5], [500, 5], [-0.5, -0.5], [79.6, 0]])
    np.testing.assert_array_equal(annotation.sample(pixels), [1, 2, 0, 2, 0, 0, 0, 0])


def test_coarser_annotation_shares_the_corner(section, tmp_path):
    coarse = np.zeros((15, 20), np.uint8)
    coarse[5, 5] = 3  # covers columns and rows 20-23 of the image
    Image.fromarray(coarse).save(tmp_path / "coarse.png")
    coarse_section = replace(section, annotation=tmp_path / "coarse.png", annotation_um_per_px=400.0)
    annotation = read_annotation(coarse_section, LABELS)
    columns, rows = np.meshgrid(np.arange(80.0), np.arange(60.0))
    sampled = annotation.sample(np.c_[columns.ravel(), rows.ravel()]).reshape(60, 80)
    np.testing.assert_array_equal(sampled, np.kron(coarse, np.ones((4, 4))).astype(int))


def test_formats_agree(section, tmp_path):
    labels = read_annotation(section, LABELS).labels
    tifffile.imwrite(tmp_path / "a.tif", labels.astype(np.uint16))
    nib.save(nib.Nifti1Image(labels.T[..., None].astype(np.int16), np.eye(4)), tmp_path / "a.nii.gz")
    for name in ("a.tif", "a.nii.gz"):
        read = read_annotation(replace(section, annotation=tmp_path / name), LABELS)
        np.testing.assert_array_equal(read.labels, labels)


def test_unknown_label_is_refused(section):
    with pytest.raises(AtlasError, match=r"areas2.png: found labels outside the label table: \[2\]"):
        read_annotation(section, LabelTable.from_names(["V1"]))


def test_annotation_of_another_size_is_refused(section):
    with pytest.raises(ImageError, match=r"80 x 60 px of 200 um.*annotation_um_per_px"):
        read_annotation(replace(section, annotation_um_per_px=200.0), LABELS)


def test_annotations_that_cannot_be_used(section, tmp_path):
    def refuse(message, path):
        with pytest.raises(ImageError, match=message):
            read_annotation(replace(section, annotation=path), LABELS)

    refuse("no annotation", None)
    refuse("no such annotation", tmp_path / "none.png")
    (tmp_path / "bad.png").write_bytes(b"nothing")
    refuse("cannot be read", tmp_path / "bad.png")
    (tmp_path / "a.txt").write_text("1")
    refuse("unknown format '.txt'", tmp_path / "a.txt")
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(tmp_path / "rgb.png")
    refuse("indices, not colours", tmp_path / "rgb.png")
    tifffile.imwrite(tmp_path / "half.tif", np.full((60, 80), 0.5, np.float32))
    refuse("not whole", tmp_path / "half.tif")
