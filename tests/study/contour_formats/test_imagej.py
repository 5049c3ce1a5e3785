import zipfile

import numpy as np
import pytest
from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi, roiwrite

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats import imagej
from cytomesh.study.contours import read_contours

from .contour_section import section

PIAL = [[10, 10], [70, 10], [70, 50], [10, 50]]
WHITE = [[20.25, 20.5], [60, 20.5], [60, 40], [20.25, 40]]


def roi(name, points):
    return ImagejRoi.frompoints(points, name=name)


def test_zip_of_rois_counts_from_the_corner(tmp_path):
    path = tmp_path / "RoiSet.zip"
    roiwrite(path, [roi("pial_L", PIAL), roi("white_L-2", WHITE)])
    contours = read_contours(section(path))
    assert contours["L"].pial.bounds == (9.5, 9.5, 69.5, 49.5)
    assert contours["L"].white.bounds == (19.75, 20.0, 59.5, 39.5)


def test_single_roi_without_a_name_takes_that_of_its_file(tmp_path):
    path = tmp_path / "pial_R.roi"
    roiwrite(path, roi("", PIAL))
    assert read_contours(section(path))["R"].pial.area == 2400


def test_rectangle_and_composite_with_a_hole(tmp_path):
    rectangle = ImagejRoi(roitype=ROI_TYPE.RECT, left=1, top=2, right=5, bottom=9, name="pial_R", version=228)
    outline = [op for ring in (PIAL, WHITE) for i, (x, y) in enumerate(ring) for op in (float(i > 0), x, y)]
    split = 3 * len(PIAL)
    path_data = np.array([*outline[:split], 4.0, *outline[split:], 4.0], np.float32)
    composite = ImagejRoi(
        roitype=ROI_TYPE.RECT, multi_coordinates=path_data, shape_roi_size=len(path_data), name="pial_L", version=228,
        right=1, bottom=1,
    )  # fmt: skip
    path = tmp_path / "RoiSet.zip"
    roiwrite(path, [rectangle, composite])
    contours = read_contours(section(path))
    assert contours["R"].pial.bounds == (0.5, 1.5, 4.5, 8.5)
    (polygon,) = contours["L"].pial.geoms
    assert len(polygon.interiors) == 1 and polygon.area == pytest.approx(2400 - 39.75 * 19.5)


def test_open_and_curved_regions_are_named(tmp_path):
    line, spline = roi("pial_L", PIAL), roi("white_L", WHITE)
    line.roitype = ROI_TYPE.POLYLINE
    spline.options |= ROI_OPTIONS.SPLINE_FIT
    path = tmp_path / "RoiSet.zip"
    roiwrite(path, [line, spline])
    with pytest.raises(ContourError, match=r"ROI 'pial_L': an open or curved ROI .polyline.*fitted spline"):
        read_contours(section(path))


def test_damaged_files_and_bombs(tmp_path, monkeypatch):
    path = tmp_path / "pial_L.roi"
    path.write_bytes(roi("pial_L", PIAL).tobytes()[:70])
    with pytest.raises(ContourError, match="cannot be read"):
        read_contours(section(path))
    bomb = tmp_path / "RoiSet.zip"
    bomb.write_bytes(b"PK nothing")
    with pytest.raises(ContourError, match="BadZipFile"):
        read_contours(section(bomb))
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pial_L.roi", bytes(200 * 2**20))
    assert bomb.stat().st_size < 2**20
    with pytest.raises(ContourError, match="ROIs of 200 MiB, unpacked, expected at most 128 MiB"):
        read_contours(section(bomb))
    with zipfile.ZipFile(bomb, "w") as archive:
        archive.writestr("readme.txt", "x")
    with pytest.raises(ContourError, match="a ZIP without ROIs"):
        read_contours(section(bomb))
    monkeypatch.setattr(imagej, "MAX_POINTS", 3)
    roiwrite(bomb, [roi("pial_L", PIAL)], mode="w")
    with pytest.raises(ContourError, match="limit MAX_POINTS"):
        read_contours(section(bomb))


def test_members_of_one_name_and_numbers_in_brackets(tmp_path):
    path = tmp_path / "RoiSet.zip"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        for shift in (0, 100):
            archive.writestr("pial_L.roi", roi("pial_L", np.add(PIAL, shift)).tobytes())
    assert len(read_contours(section(path))["L"].pial.geoms) == 2


@pytest.mark.parametrize(
    ("first", "second", "planes"),
    [
        ({"position": 3}, {"position": 4}, "2 planes of a stack: slice 4 .1.; slice 5 .1."),
        ({"z": 1, "t": 0, "c": 0}, {"z": 2, "t": 0, "c": 0}, "z = 2, t = 1 .1.; z = 3, t = 1 .1."),
        ({"z": 1, "t": 0, "c": 0}, {"z": 1, "t": 0, "c": 5}, None),
        ({"position": 3}, {"position": 3}, None),
        # without a position a ROI is shown on every slice
        ({"position": 3}, {}, None),
    ],
)
def test_regions_of_several_slices(tmp_path, first, second, planes):
    path = tmp_path / "RoiSet.zip"
    rois = [ImagejRoi.frompoints(p, name=n, **at) for p, n, at in ((PIAL, "pial_L", first), (WHITE, "white_L", second))]
    roiwrite(path, rois)
    if planes is None:
        assert not read_contours(section(path))["L"].white.is_empty
        return
    with pytest.raises(ContourError, match=f"found objects on .*{planes}.*Way out: export.*Remove"):
        read_contours(section(path))
    # what is not used does not count
    assert "L" in read_contours(section(path, classes={"white_L": "ignore"}))
