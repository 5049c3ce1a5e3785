import json

import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image
from shapely.geometry import MultiPolygon, box

from cytomesh.core.labels import LabelTable
from cytomesh.imaging.ome_zarr import write_ome_zarr
from cytomesh.study.atlas import write_labels
from cytomesh.study.check import check_study
from cytomesh.study.contours import HemisphereContours, SectionContours, write_contours


def places(report):
    return [f"{problem.source.rsplit('/', 1)[-1]}|{problem.place}|{problem.found}" for problem in report.problems]


def test_a_good_study_has_no_problem(study_folder):
    report = check_study(study_folder.manifest)
    assert report.problems == ()
    brain = report.brains[0]
    assert (brain.n_sections, brain.n_images, brain.n_contours, brain.n_annotations, brain.n_missing) == (4, 3, 3, 1, 1)
    assert (brain.first_mm, brain.last_mm) == (0.5, 2.0)
    assert report.n_areas == 3 and report.has_probability_maps
    assert report.to_dict()["brains"][0]["id"] == "B01"


def test_every_problem_is_found_at_once(study_folder):
    """One of each kind, in one study: none hides another."""
    study_folder.change(specis="Homo", contours={"repair": False, "clases": {}})
    study_folder.change_table("\ttrain\t", "\ttrian\t")
    study_folder.image(1).write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    study_folder.image(4).unlink()
    write_contours(study_folder.contours(1), _contours(white=box(60, 20, 90, 40)))
    write_labels(study_folder.folder / "atlas" / "labels.tsv", LabelTable.from_names(["V1"]))
    found = places(check_study(study_folder.manifest))
    expected = (
        "study.yaml|specis|unknown key 'specis'",
        "study.yaml|contours.clases|unknown key 'contours.clases'",
        "pmaps.nii.gz||shape (11, 11, 11, 3)",
        "sections.tsv|line 3 (section 2), role|unknown role 'trian'",
        "section1.png||an image that cannot be read",
        "section1.geojson|'white_L'|66.7 % of the white matter outside",
        "section4.png||no such image",
    )
    for start in expected:
        assert sum(text.startswith(start) for text in found) == 1, (start, found)
    assert len(found) == len(expected)


def test_annotation_with_unknown_area_and_image_reported_once(study_folder):
    write_labels(study_folder.folder / "atlas" / "labels.tsv", LabelTable.from_names(["V1"]))
    study_folder.change(atlas={"labels": "atlas/labels.tsv", "space": "MNI"})
    report = check_study(study_folder.manifest)
    assert places(report) == ["areas2.png||labels outside the label table: [2]"]
    study_folder.image(2).unlink()
    write_labels(study_folder.folder / "atlas" / "labels.tsv", LabelTable.from_names(["V1", "V2"]))
    assert places(check_study(study_folder.manifest)) == ["section2.png||no such image"]


def test_pixel_size_and_channels_are_compared(study_folder):
    array = np.zeros((60, 80), np.uint8)
    write_ome_zarr(study_folder.folder / "sub-B01" / "section1.ome.zarr", array, 50.0)
    study_folder.change_table("section1.png", "section1.ome.zarr")
    Image.fromarray(np.zeros((60, 80, 3), np.uint8)).save(study_folder.image(4))
    found = places(check_study(study_folder.manifest))
    assert found == [
        "section1.ome.zarr|B01 section 1|50 um/px in the image, 100 um/px in the section table".replace(
            "100 um/px", "100"
        ),
        "section4.png||3 channels",
    ]


@pytest.mark.parametrize(
    ("step", "unit", "found"),
    [
        ((50.0, 50.0), "\u03bcm", "50 um/px in the image, 100 in the section table"),
        ((0.05, 0.05), "millimetre", "50 um/px in the image, 100 in the section table"),
        ((200.0, 100.0), "micrometer", "pixels of 100 x 200 um (width x height)"),
        ((100.0, 101.0), "micrometer", None),
        ((50.0, 50.0), "pixel", None),
    ],
)
def test_width_and_height_of_pixels_are_compared_in_any_unit(study_folder, step, unit, found):
    path = study_folder.folder / "sub-B01" / "section1.zarr"
    write_ome_zarr(path, np.full((60, 80), 9, np.uint8), 1.0)
    facts = json.loads((path / "zarr.json").read_text())
    image = facts["attributes"]["ome"]["multiscales"][0]
    image["axes"] = [axis | {"unit": unit} for axis in image["axes"]]
    image["datasets"][0]["coordinateTransformations"] = [{"type": "scale", "scale": step}]
    (path / "zarr.json").write_text(json.dumps(facts))
    study_folder.change_table("section1.png", "section1.zarr")
    problems = check_study(study_folder.manifest).problems
    assert [problem.found for problem in problems] == ([] if found is None else [found])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_an_image_that_was_cut_off_is_named_once(study_folder, share):
    data = study_folder.image(2).read_bytes()
    study_folder.image(2).write_bytes(data[: int(share * len(data))])
    found = places(check_study(study_folder.manifest))
    assert len(found) == 1 and found[0].startswith("section2.png||an image that is damaged or cut off")


def test_a_wrong_brain_does_not_hide_the_others(study_folder):
    brain = yaml.safe_load(study_folder.manifest.read_text())["brains"][0]
    wrong = {"id": "B02", "role": "tarin", "sections": "sub-B02/sections.tsv"}
    study_folder.change(brains=[wrong, brain, brain], stain=None)
    study_folder.image(1).unlink()
    found = places(check_study(study_folder.manifest))
    assert [text.split("|")[1] for text in found] == ["stain", "brains.0.role", ""]


def test_atlas_in_another_space_and_missing_template(study_folder):
    study_folder.change(space={"name": "Colin27", "template": {"L": {"pial": "p.gii", "white": "w.gii"}}})
    found = places(check_study(study_folder.manifest))
    assert [text.split("|")[1] for text in found] == ["space.template.L.pial", "space.template.L.white", "atlas.space"]


def test_a_manifest_that_is_none(tmp_path):
    assert len(check_study(tmp_path / "none.yaml").problems) == 1
    (tmp_path / "study.yaml").write_text("brains: [")
    assert "invalid YAML" in places(check_study(tmp_path / "study.yaml"))[0]
    (tmp_path / "study.yaml").write_text("name: x\n")
    assert {text.split("|")[1] for text in places(check_study(tmp_path / "study.yaml"))} == {
        "species", "stain", "space", "brains",
    }  # fmt: skip


def _contours(white, pial=None):
    return SectionContours(
        {"L": HemisphereContours(MultiPolygon([pial or box(10, 10, 70, 50)]), MultiPolygon([white]))}
    )


def test_annotations_outside_the_cortex_are_named_with_their_share(study_folder):
    path = study_folder.folder / "sub-B01" / "areas2.png"
    assert check_study(study_folder.manifest).problems == ()
    low = _contours(white=box(20, 40, 60, 50), pial=box(10, 32, 70, 58))
    for index in (1, 2, 4):
        write_contours(study_folder.contours(index), low)
    areas = np.zeros((60, 80), np.uint8)
    areas[33:57, 12:68] = 1
    Image.fromarray(areas).save(path)
    assert check_study(study_folder.manifest).problems == ()
    Image.fromarray(areas[::-1]).save(path)  # upside down
    (problem,) = check_study(study_folder.manifest).problems
    slow = [y for y in range(60) for x in range(80) if areas[::-1][y, x] and not (10 < x < 70 and 32 < y < 58)]
    assert problem.source == str(path) and problem.place == "B01 section 2"
    assert (
        problem.found == f"{len(slow) / np.count_nonzero(areas):.0%} of the labelled pixels outside every pial contour"
    )


def test_one_plane_across_the_others_does_not_stop_the_check(study_folder):
    study_folder.change_table("0.1,0.0,-4.0,0.0,0.0,1.0,0.0,-0.1,3.0", "0.0,0.0,-4.0,0.1,0.0,1.0,0.0,-0.1,3.0")
    found = places(check_study(study_folder.manifest))
    assert found == ["sections.tsv|section 2, to_world|a plane at 90 degrees to those of the other sections"]


def test_no_white_matter_anywhere(study_folder):
    pial = SectionContours({"L": HemisphereContours(MultiPolygon([box(10, 10, 70, 50)]))})
    for index in (1, 4):
        write_contours(study_folder.contours(index), pial)
    # towards the poles there is none
    assert check_study(study_folder.manifest).problems == ()
    write_contours(study_folder.contours(2), pial)
    (problem,) = check_study(study_folder.manifest).problems
    assert problem.source == str(study_folder.table) and problem.found == "no white_L in any of 3 sections with pial_L"
    assert "contours.classes" in problem.hint
    # it may be drawn where a section is at fault
    study_folder.contours(1).write_text("{")
    assert [problem.source for problem in check_study(study_folder.manifest).problems] == [
        str(study_folder.contours(1))
    ]


def test_quick_reads_no_pixels_and_thorough_all(study_folder):
    """Damage in the middle of a tiled image is beyond what the usual check decodes."""
    pixels = np.random.default_rng(0).integers(0, 256, (60, 80), np.uint8)
    path = study_folder.image(1).with_suffix(".tif")
    tifffile.imwrite(path, pixels, tile=(16, 16), compression="zlib", photometric="minisblack")
    study_folder.change_table(study_folder.image(1).name, path.name)
    with tifffile.TiffFile(path) as tiff:
        start, size = tiff.pages[0].dataoffsets[3], tiff.pages[0].databytecounts[3]
    data = bytearray(path.read_bytes())
    data[start : start + size] = bytes(size)
    path.write_bytes(data)
    assert check_study(study_folder.manifest).problems == ()
    (problem,) = check_study(study_folder.manifest, "thorough").problems
    assert problem.source == str(path) and "cannot be decoded" in problem.found
    # the end of the file is gone: quick looks at headers alone
    last = study_folder.image(2)
    last.write_bytes(last.read_bytes()[:-20])
    assert check_study(study_folder.manifest, "quick").problems == ()
    assert [problem.source for problem in check_study(study_folder.manifest).problems] == [str(last)]


def test_processes_find_what_one_finds(study_folder, monkeypatch):
    monkeypatch.setattr("cytomesh.study.section_checks.FEW_SECTIONS", 0)
    study_folder.image(1).unlink()
    alone, several = (places(check_study(study_folder.manifest, workers=n)) for n in (1, 2))
    assert alone == several and len(alone) == 1
