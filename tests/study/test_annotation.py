import struct
import zlib
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import tifffile
from PIL import Image

from cytomesh.core.errors import AtlasError, ImageError
from cytomesh.core.labels import LabelTable
from cytomesh.study.annotation import AnnotationImage, read_annotation, read_label_image
from cytomesh.study.sections import read_sections

LABELS = LabelTable.from_names(["V1", "V2", "M1"])


@pytest.fixture
def section(study_folder):
    return read_sections(study_folder.table, "B01")[1]


def test_a_lattice_of_pixels_is_sampled_as_each_of_them_is():
    labels = np.random.default_rng(0).integers(0, 9, (7, 5)).astype(np.int32)
    annotation = AnnotationImage(labels, 50.0, 20.0)
    columns, rows = np.arange(-3.0, 15.0, 0.7), np.arange(-2.0, 19.0, 0.9)  # beyond all four borders
    each = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2)
    found = annotation.sample_lattice(columns, rows)
    np.testing.assert_array_equal(found, annotation.sample(each).reshape(len(rows), len(columns)))
    assert (found == 0).any() and len(np.unique(found)) == 9


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


@pytest.mark.parametrize(("base", "kind"), [(2**32, np.int64), (2**31, np.uint32), (2**53, np.uint64)])
def test_large_region_ids_are_named_and_do_not_wrap(section, tmp_path, base, kind):
    labels = read_annotation(section, LABELS).labels
    large = np.where(labels, labels.astype(kind) + np.array(base, kind), np.array(0, kind))
    tifffile.imwrite(tmp_path / "ids.tif", large)
    with pytest.raises(
        AtlasError, match=rf"ids\.tif: found labels outside the label table: \[{base + 1}, {base + 2}\]"
    ):
        read_annotation(replace(section, annotation=tmp_path / "ids.tif"), LABELS)


@pytest.mark.parametrize("affine", [None, np.eye(4), np.diag([-0.1, -0.1, 1, 1])])
def test_nifti_labels_in_the_order_of_the_image(section, tmp_path, affine):
    labels = read_annotation(section, LABELS).labels
    nib.save(nib.Nifti1Image(labels.T.astype(np.int16), affine), tmp_path / "a.nii.gz")
    read = read_annotation(replace(section, annotation=tmp_path / "a.nii.gz"), LABELS)
    np.testing.assert_array_equal(read.labels, labels)


@pytest.mark.parametrize("affine", [np.diag([0.1, 0.1, 1, 1]), np.diag([-0.1, 0.1, 1, 1]), np.eye(4)[[1, 0, 2, 3]]])
def test_nifti_labels_that_their_header_turns_are_refused(section, tmp_path, affine):
    labels = read_annotation(section, LABELS).labels
    nib.save(nib.Nifti1Image(labels.T.astype(np.int16), affine), tmp_path / "a.nii.gz")
    with pytest.raises(ImageError, match=r"a\.nii\.gz: found a label image that its header turns.*PNG or TIFF"):
        read_annotation(replace(section, annotation=tmp_path / "a.nii.gz"), LABELS)


@pytest.mark.parametrize(
    ("order", "message"),
    [((0, 1, 2), None), ((1, 0, 2), r"label 1 in the colour of label 2 \('V2'\).*export label values"), (None, None)],
)
def test_palettes_are_compared_with_the_colours_of_the_table(section, tmp_path, order, message):
    labels = read_annotation(section, LABELS).labels
    colours = np.rint(255 * LABELS.colours[:, :3]).astype(np.uint8)
    image = Image.fromarray(labels.astype(np.uint8), mode="P")
    other = np.array([[1, 2, 3], [4, 5, 6], [7, 8, 9]], np.uint8)  # colours of no label say nothing
    image.putpalette(
        np.vstack([[[0, 0, 0]], other if order is None else colours[list(order)]]).astype(np.uint8).tobytes()
    )
    image.save(tmp_path / "p.png")
    drawn = replace(section, annotation=tmp_path / "p.png")
    if message is None:
        np.testing.assert_array_equal(read_annotation(drawn, LABELS).labels, labels)
        return
    with pytest.raises(AtlasError, match=rf"p\.png: found {message}"):
        read_annotation(drawn, LABELS)


def _png(path, values, depth):
    """Write a grey PNG of 1, 2 or 4 bits a sample."""
    height, width = values.shape
    bits = np.unpackbits(values[..., None].astype(np.uint8), axis=-1)[..., 8 - depth :].reshape(height, -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits, axis=1))

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


@pytest.mark.parametrize(("depth", "highest"), [(1, 1), (2, 3), (4, 13)])
def test_grey_of_few_bits_is_read_as_stored(tmp_path, depth, highest):
    labels = np.arange(24).reshape(4, 6) % (highest + 1)
    _png(tmp_path / "a.png", labels, depth)
    np.testing.assert_array_equal(read_label_image(tmp_path / "a.png"), labels)


def _turned_png(path, labels):
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(labels).save(path, exif=exif)


@pytest.mark.parametrize(
    ("name", "write", "found"),
    [
        ("a.tif", lambda p, a: tifffile.imwrite(p, a, compression="jpeg"), "compression JPEG"),
        ("a.png", lambda p, a: Image.fromarray(a).save(p, "JPEG"), "a JPEG by the name of a PNG"),
        ("a.tif", lambda p, a: tifffile.imwrite(p, a, extratags=[(274, "H", 1, 4, True)]), "orientation 4"),
        ("a.png", _turned_png, "orientation 6"),
        ("a.tif", lambda p, a: [tifffile.imwrite(p, a[::k, ::k], append=k < 2) for k in (2, 1)], "2 images"),
    ],
)
def test_lossy_turned_or_several_label_images_are_refused(tmp_path, name, write, found):
    write(tmp_path / name, np.tile(np.arange(16, dtype=np.uint8), (16, 1)))
    with pytest.raises(ImageError, match=found):
        read_label_image(tmp_path / name)
