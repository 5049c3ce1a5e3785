"""`cytomesh init`: what it writes is a study at once, or as soon as the TODOs are filled in."""

import json
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from roifile import ImagejRoi
from shapely.geometry import MultiPolygon, box

from cytomesh.core.errors import StudyError
from cytomesh.study import start_labels
from cytomesh.study.annotation import read_label_image
from cytomesh.study.check import check_study
from cytomesh.study.contour_formats.geojson import write_geojson
from cytomesh.study.contours import read_contours
from cytomesh.study.drawn_areas import read_drawn_areas
from cytomesh.study.start import AXES, Start, axes_text, start_study
from cytomesh.study.study import open_study

SPECIES = ("--species", "Homo sapiens", "--stain", "Nissl")


@pytest.fixture
def folders(tmp_path):
    """Three sections without pixel size, 7 to 9; contours and areas of a laboratory's own names."""
    random = np.random.default_rng(0)
    for name in ("images", "contours", "areas"):
        (tmp_path / name).mkdir()
    for index in (7, 8, 9):
        image = random.integers(0, 255, (60, 80), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / "images" / f"B1_s{index:03d}.png")
        rings = {"Cortex": MultiPolygon([box(10, 10, 70, 50)]), "white_R": MultiPolygon([box(20, 20, 60, 40)])}
        write_geojson(tmp_path / "contours" / f"{index}.geojson", rings)
        areas = {"V1": MultiPolygon([box(12, 12, 18, 48)]), "V2": MultiPolygon([box(62, 12, 68, 48)])}
        write_geojson(tmp_path / "areas" / f"{index}.geojson", areas | {"Ignore*": MultiPolygon([box(0, 0, 5, 5)])})
    return tmp_path


def test_the_phantom_s_own_files_make_a_study_without_any_fault(small_study, tmp_path, cytomesh):
    shutil.copytree(small_study / "sub-T01" / "micr", tmp_path / "images")
    for name, pattern in (("contours", "*contours.geojson"), ("areas", "*_dseg.png")):
        (tmp_path / name).mkdir()
        for path in (small_study / "derivatives").rglob(f"sub-T01{pattern}"):
            shutil.copy(path, tmp_path / name)
    shutil.copy(small_study / "atlas" / "labels.tsv", tmp_path)
    given = [word for name in ("images", "contours") for word in (f"--{name}", tmp_path / name)]
    given += ["--annotations", tmp_path / "areas", "--spacing-mm", -8, "--labels", tmp_path / "labels.tsv", *SPECIES]
    code, said, errors = cytomesh("init", tmp_path, *given)
    assert code == 0, errors
    assert "Nothing is left to fill in" in said and f"cytomesh build-graph {tmp_path / 'study.yaml'}" in said
    code, said, _ = cytomesh("study", "check", tmp_path / "study.yaml", "--workers", 1)
    assert (code, "No problem found." in said) == (0, True), said
    (brain,) = open_study(tmp_path / "study.yaml").brains
    (truth, *_) = open_study(small_study / "study.yaml").brains
    assert brain.hemispheres == ("L",) and brain.role == "train"
    theirs = {section.index: section for section in truth.sections}
    assert len(brain.sections) == len(list((tmp_path / "images").glob("*.zarr")))
    for section in brain.sections:
        other = theirs[section.index]
        assert section.um_per_px == other.um_per_px and section.annotation_um_per_px == other.annotation_um_per_px
        assert read_contours(section)["L"].pial.equals(read_contours(other)["L"].pial)
        y_mm = -8.0 * (section.index - brain.sections[-1].index)  # sections come by their place
        np.testing.assert_allclose(section.plane.to_world[1], [0, 0, y_mm], atol=1e-12)
    code, _, errors = cytomesh("init", tmp_path, *given)
    assert code == 1 and "study.yaml: found a file that is there already" in errors


def test_what_it_cannot_know_is_marked_and_a_study_once_filled_in(folders, cytomesh):
    study = folders / "new" / "study.yaml"
    given = ["--images", folders / "images", "--contours", folders / "contours", "--spacing-mm", 0.5]
    code, _, errors = cytomesh("init", study.parent, *given)
    assert code == 1 and "no pixel size in B1_s007.png and 2 more" in errors and "--um-per-px" in errors
    assert not study.parent.exists() or not any(study.parent.iterdir())
    given += ["--um-per-px", 100, "--annotations", folders / "areas"]
    code, said, _ = cytomesh("init", study.parent, *given)
    assert code == 0 and "marked TODO: 3" in said
    marked = [line for line in study.read_text().splitlines() if "TODO" in line][1:]
    assert marked == ["species: TODO", "stain: TODO", '  classes: {"Cortex": TODO}']
    found = "\n".join(map(str, check_study(study).problems))
    for field in ("contours.classes.Cortex", "species", "stain"):
        assert found.count(f"{field}: found TODO, left by cytomesh init") == 1
    filled = study.read_text().replace('"Cortex": TODO', "Cortex: pial_R").replace(": TODO", ": Nissl")
    study.write_text(filled)
    assert check_study(study).problems == ()
    opened = open_study(study)
    assert opened.labels.names == ("V1", "V2")
    (brain,) = opened.brains
    assert [section.index for section in brain.sections] == [7, 8, 9] and brain.hemispheres == ("R",)
    np.testing.assert_allclose([section.plane.to_world[1, 2] for section in brain.sections], [0, 0.5, 1.0])
    centre = brain.sections[0].plane.to_world @ [39.5, 29.5, 1]
    np.testing.assert_allclose(centre, 0, atol=1e-12)
    assert opened.manifest.data_roots == [Path("../images"), Path("../contours"), Path("../areas")]


def test_sides_that_no_class_names_are_left_to_fill_in(folders):
    for path in (folders / "contours").iterdir():
        path.write_text(path.read_text().replace("white_R", "White"))
    start = Start("block", folders / "images", 1.0, folders / "contours", um_per_px=100.0, species="x", stain="y")
    text = start_study(folders / "new", start)
    assert "marked TODO: 2." in text
    assert "    hemispheres: [L, R]  # TODO those that contours.classes (of masks: contours.labels) name\n" in text


SVG = """<svg xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape"
 viewBox="0 0 40 30"><g id="layer1" inkscape:label="{pial}"><path id="path101" d="M1 1h30v20h-30z"/></g>
 <g id="layer2"><path id="path102" inkscape:label="{white}-2" d="M5 5h20v10h-20z"/></g></svg>"""


@pytest.mark.parametrize(
    ("pial", "white", "sides", "classes"),
    [("pial_L", "white_L", "[L]\n", ""), ("Cortex", "WM", "[L, R]  # TODO", '{"Cortex": TODO, "WM": TODO}')],
)
@pytest.mark.parametrize("form", ["svg", "zip", "json"])
def test_classes_are_read_of_every_format_that_names_them(folders, form, pial, white, sides, classes):
    """Of SVG drawings in other units than pixels, too, which cannot be put on their images yet."""
    for path in (folders / "contours").iterdir():
        path.unlink()
        if form == "svg":
            path.with_suffix(".svg").write_text(SVG.format(pial=pial, white=white))
        elif form == "zip":
            rings = {pial: [[1, 1], [31, 1], [31, 21]], f"{white}-2": [[5, 5], [25, 5], [25, 15]]}
            with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
                for name, ring in rings.items():
                    archive.writestr(f"{name}.roi", ImagejRoi.frompoints(ring, name=name).tobytes())
        else:
            segments = [[1, 1], [31, 1], [31, 21]]
            drawn = [
                {"annotation": {"name": name}, "path": ["Path", {"segments": segments, "closed": True}]}
                for name in (pial, f"{white}-2")
            ]
            path.with_suffix(".json").write_text(json.dumps({"Regions": drawn}))
    start = Start("block", folders / "images", 1.0, folders / "contours", um_per_px=100.0, species="x", stain="y")
    text = start_study(folders / "new", start)
    assert f"    hemispheres: {sides}" in text
    assert (f"\n  classes: {classes}\n" in text) if classes else "TODO" not in text


def test_sides_of_masks_are_left_to_fill_in(folders):
    for path in (folders / "contours").iterdir():
        path.unlink()
        Image.fromarray(np.ones((60, 80), np.uint8)).save(path.with_suffix(".png"))
    start = Start("block", folders / "images", 1.0, folders / "contours", um_per_px=100.0, species="x", stain="y")
    assert "marked TODO: 1." in start_study(folders / "new", start)


def test_one_that_was_killed_is_finished_and_nothing_is_overwritten(folders):
    start = Start("block", folders / "images", 1.0, annotations=folders / "areas", um_per_px=100.0)
    whole, tables = folders / "whole", ("labels.tsv", "sections.tsv")
    text = start_study(whole, start)
    for kept in range(len(tables) + 1):
        folder = folders / f"killed-{kept}"
        shutil.copytree(whole, folder, ignore=shutil.ignore_patterns("study.yaml", *tables[kept:]))
        assert start_study(folder, start).count("TODO") == text.count("TODO")
        assert {path.name for path in folder.iterdir()} == {"study.yaml", *tables}
    for name in tables:
        (whole / "study.yaml").unlink(missing_ok=True)
        own = (whole / name).read_bytes()
        (whole / name).write_bytes(own + b"\n")
        with pytest.raises(StudyError, match=f"{name}: found a file that is there already"):
            start_study(whole, start)
        assert (whole / name).read_bytes() == own + b"\n" and not (whole / "study.yaml").exists()
        (whole / name).write_bytes(own)


def test_rings_and_areas_in_one_file_of_each_section(folders):
    """As QuPath exports all objects of an image: what is an area is no ring, and sections without areas have none."""
    drawn = folders / "drawn"
    drawn.mkdir()
    rings = {"pial_R": MultiPolygon([box(10, 10, 70, 50)]), "white_R": MultiPolygon([box(20, 20, 60, 40)])}
    for index in (7, 8, 9):
        areas = {"V1": MultiPolygon([box(12, 12, 18, 48)]), "Ignore*": MultiPolygon([box(0, 0, 5, 5)])}
        write_geojson(drawn / f"{index}.geojson", rings if index == 8 else rings | areas)
    text = start_study(
        folders / "new",
        Start("block", folders / "images", 1.0, drawn, drawn, um_per_px=100.0, species="Macaca", stain="Nissl"),
    )
    assert '  classes: {"V1": ignore}\n' in text and "TODO" not in text
    assert check_study(folders / "new" / "study.yaml").problems == ()
    sections = open_study(folders / "new" / "study.yaml").brains[0].sections
    assert [section.annotation is not None for section in sections] == [True, False, True]
    assert [section.role for section in sections] == ["train", "none", "train"]


def test_rings_under_a_laboratory_s_own_names_are_no_areas(folders):
    drawn = folders / "drawn"
    drawn.mkdir()
    rings = {"Cortex left": MultiPolygon([box(10, 10, 70, 50)]), "WM": MultiPolygon([box(20, 20, 60, 40)])}
    for index in (7, 8, 9):
        areas = {"Motor cortex": MultiPolygon([box(12, 12, 18, 48)])}
        write_geojson(drawn / f"{index}.geojson", rings if index == 8 else rings | areas)
    start = Start("block", folders / "images", 1.0, drawn, drawn, um_per_px=100.0, species="Macaca", stain="Nissl")
    text = start_study(folders / "new", start)
    assert 'classes: {"Cortex left": TODO, "WM": TODO, "Motor cortex": ignore}\n' in text
    study = folders / "new" / "study.yaml"
    study.write_text(text.replace('left": TODO, "WM": TODO', 'left": pial_L, "WM": white_L').replace("[L, R]", "[L]"))
    assert check_study(study).problems == ()
    opened = open_study(study)
    assert opened.labels.names == ("Motor cortex",)
    assert [section.annotation is not None for section in opened.brains[0].sections] == [True, False, True]
    # of annotations alone, any name is that of an area
    start_study(folders / "other", Start("block", folders / "images", 1.0, annotations=drawn, um_per_px=100.0))
    assert open_study(folders / "other" / "study.yaml").labels.names == ("Cortex left", "Motor cortex", "WM")


@pytest.mark.parametrize("kind", ["hemispheres", "block", "surfaces", "new-brain"])
def test_every_kind_is_a_study(folders, kind):
    surfaces = folders / "surf"
    surfaces.mkdir()
    for name in ("lh.pial", "lh.white", "sub-1.R.pial.surf.gii", "sub-1_hemi-R_white.surf.gii", "lh.curv.pial"):
        (surfaces / name).write_bytes(b"")
    own = surfaces if kind == "surfaces" else None
    folder = folders / kind
    start = Start(kind, folders / "images", 1.0, um_per_px=50.0, surfaces=own, species="Macaca", stain="Nissl")
    text = start_study(folder, start)
    (brain,) = open_study(folder / "study.yaml").brains
    assert brain.role == ("unseen" if kind == "new-brain" else "train")
    assert ("--config block" in text) == (kind == "block") and ("classify-predict" in text) == (kind == "new-brain")
    if kind == "surfaces":
        assert brain.surfaces["L"].pial == folder / "../surf/lh.pial"
        assert brain.surfaces["R"].files == {
            "pial": folder / "../surf/sub-1.R.pial.surf.gii",
            "white": folder / "../surf/sub-1_hemi-R_white.surf.gii",
        }
        assert "TODO put in the table where sections lie" in text
    else:
        assert not brain.surfaces and "TODO contours of each section" in text


def test_surfaces_that_are_not_found_are_left_to_fill_in(folders):
    text = start_study(folders / "new", Start("surfaces", folders / "images", 1.0, um_per_px=50.0))
    assert '      L: {"pial": "TODO", "white": "TODO"}\n      R: {"pial": "TODO", "white": "TODO"}\n' in text


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (("--spacing-mm", 0), "--spacing-mm: found 0, expected a distance in mm, not 0"),
        (("--spacing-mm", "nan"), "--spacing-mm: found nan"),
        (("--um-per-px", -50), "--um-per-px: found -50"),
        (("--labels", "none.tsv"), "none.tsv: found no such label table. Way out: correct --labels"),
        (("--surfaces", "none"), "none: found no such folder"),
        (("--surfaces", "images"), "images: found no surface that names its side and kind"),
    ],
)
def test_what_makes_no_study_is_refused(folders, cytomesh, option, said):
    words = {"--images": folders / "images", "--spacing-mm": 1, "--um-per-px": 100}
    name, value = option
    words[name] = folders / value if name in ("--surfaces", "--labels") else value
    code, _, errors = cytomesh("init", folders / "new", *(word for pair in words.items() for word in pair))
    assert code == 1 and said in errors and "Traceback" not in errors
    assert not (folders / "new").exists()


def test_the_next_commands_can_be_copied(folders, cytomesh):
    new = folders / "my study"
    words = ["--images", folders / "images", "--spacing-mm", 1, "--um-per-px", 100, *SPECIES]
    _, said, _ = cytomesh("init", new, *words)
    (check,) = [line for line in said.splitlines() if "study check" in line]
    assert shlex.split(check) == ["cytomesh", "study", "check", str(new / "study.yaml")]
    shutil.copy(folders / "images" / "B1_s007.png", folders / "images" / "overview.png")
    _, _, errors = cytomesh("init", folders / "other", *words)
    assert "no number in overview" in errors and "take out what is no section" in errors


def test_images_of_16_bits_get_a_window(tmp_path):
    (tmp_path / "images").mkdir()
    values = np.random.default_rng(0).integers(100, 4000, (3, 60, 80)).astype(np.uint16)
    for index, image in enumerate(values, start=1):
        size = {"axes": "YX", "PhysicalSizeX": 5, "PhysicalSizeY": 5}
        tifffile.imwrite(tmp_path / "images" / f"s{index}.ome.tif", image, metadata=size)
    start_study(tmp_path, Start("block", tmp_path / "images", 0.04, species="Mus musculus", stain="NeuN"))
    opened = open_study(tmp_path / "study.yaml")
    low, high = opened.manifest.image.window
    assert 90 <= low < high <= 4000 and opened.brains[0].sections[0].um_per_px == 5.0


def test_images_of_several_kinds_are_said_and_no_window_is_proposed_that_does_not_fit_them_all(tmp_path, cytomesh):
    (tmp_path / "images").mkdir()
    words = ["--images", tmp_path / "images", "--spacing-mm", 1, "--um-per-px", 50, *SPECIES]
    random = np.random.default_rng(0)
    for index in range(1, 6):
        shape = (60, 80, 3) if index == 2 else (60, 80)
        image = random.integers(0, 256 if index < 4 else 4096, shape, np.uint8 if index < 4 else np.uint16)
        tifffile.imwrite(tmp_path / "images" / f"s{index}.tif", image)
    code, _, said = cytomesh("init", tmp_path / "new", *words)
    kinds = (
        "2 of 1 channel, uint8 (such as s1.tif) and 1 of 3 channels, uint8 (such as s2.tif) and "
        "2 of 1 channel, uint16 (such as s4.tif)"
    )
    assert code == 0 and f"images of several kinds: {kinds}" in said and said.count("\n") == 1
    study = tmp_path / "new" / "study.yaml"
    assert open_study(study).manifest.image.window is None
    mixed, other = check_study(study).problems
    assert mixed.found == kinds and mixed.hint == "export them alike: one window is for images of one type"
    assert other.source.endswith("s2.tif") and other.found == "3 channels"


def test_of_images_with_several_channels_one_is_left_to_name(tmp_path, cytomesh):
    (tmp_path / "images").mkdir()
    for index in (1, 2):
        image = np.random.default_rng(index).integers(100, 4000, (2, 60, 80)).astype(np.uint16)
        size = {"axes": "CYX", "PhysicalSizeX": 5, "PhysicalSizeY": 5, "Channel": {"Name": ["DAPI", "NeuN"]}}
        tifffile.imwrite(tmp_path / "images" / f"s{index}.ome.tif", image, metadata=size)
    code, said, _ = cytomesh("init", tmp_path, "--images", tmp_path / "images", "--spacing-mm", 1, *SPECIES)
    assert code == 0 and "image: {channels: TODO}  # TODO one of 0 (DAPI), 1 (NeuN); `study check`" in said
    (problem, _) = check_study(tmp_path / "study.yaml").problems
    assert "no channel 'TODO' among 2" in problem.found
    text = (tmp_path / "study.yaml").read_text()
    (tmp_path / "study.yaml").write_text(text.replace("channels: TODO}", "channels: NeuN}"))
    (problem,) = check_study(tmp_path / "study.yaml").problems
    assert "image: {window: [100, 4000]}" in problem.hint


def test_numbers_of_label_images_become_areas_without_names(folders):
    areas = folders / "labels"
    areas.mkdir()
    Image.fromarray(np.kron([[0, 3], [12, 12]], np.ones((15, 20))).astype(np.uint8)).save(areas / "s8.png")
    text = start_study(
        folders / "new", Start("block", folders / "images", 1.0, annotations=areas, um_per_px=50.0, cut="sagittal")
    )
    assert "labels: labels.tsv  # TODO the names of the areas" in text
    opened = open_study(folders / "new" / "study.yaml")
    assert opened.labels.indices == (3, 12) and opened.labels.names == ("area 3", "area 12")
    section = opened.brains[0].section(8)
    assert section.annotation_um_per_px == 100.0 and section.role == "train"
    assert opened.brains[0].section(7).annotation is None


def test_drawings_without_an_image_are_named(folders):
    for path in (folders / "contours").iterdir():
        path.write_text(path.read_text().replace("Cortex", "pial_R"))
    (folders / "contours" / "9.geojson").rename(folders / "contours" / "12.geojson")
    given = {"contours": folders / "contours", "um_per_px": 100.0, "species": "x", "stain": "y"}
    with pytest.raises(StudyError, match=r"12.geojson of section 12, expected sections that have an image") as raised:
        start_study(folders / "new", Start("block", folders / "images", 1.0, **given))
    # what it advises makes a study
    assert "write its row of sections.tsv by hand, image n/a" in raised.value.hint
    (folders / "contours" / "12.geojson").rename(folders / "12.geojson")
    start_study(folders / "new", Start("block", folders / "images", 1.0, **given))
    (folders / "12.geojson").rename(folders / "contours" / "12.geojson")
    table = folders / "new" / "sections.tsv"
    _, image, um_per_px, to_world, *rest = table.read_text().splitlines()[-1].split("\t")
    by_hand = ["12", "n/a", um_per_px, to_world.replace(",2.0,", ",5.0,"), "../contours/12.geojson", *rest[1:]]
    table.write_text(table.read_text() + "\t".join(by_hand) + "\n")
    assert image != "n/a" and by_hand[3] != to_world
    assert check_study(folders / "new" / "study.yaml").problems == ()
    assert open_study(folders / "new" / "study.yaml").brains[0].section(12).image is None


def test_axes_are_said_as_they_are():
    assert axes_text("coronal", 0.1) == "columns to the right, rows to inferior, numbers to anterior"
    assert axes_text("sagittal", 0.1) == "columns to the anterior, rows to inferior, numbers to right"
    assert axes_text("coronal", -0.1) == "columns to the right, rows to inferior, numbers to posterior"
    assert axes_text("sagittal", -0.1) == "columns to the anterior, rows to inferior, numbers to left"
    assert axes_text("horizontal", -0.1) == "columns to the right, rows to posterior, numbers to inferior"
    for axes in AXES.values():
        assert abs(np.linalg.det(axes)) == 1


def test_sections_that_a_row_of_numbers_leaves_out_are_said(tmp_path, cytomesh):
    (tmp_path / "images").mkdir()
    for number in (*range(410, 460, 10), 470):
        Image.new("L", (40, 30)).save(tmp_path / "images" / f"s{number}.png")
    code, _, said = cytomesh(
        "init", tmp_path / "new", "--images", tmp_path / "images", "--spacing-mm", 0.02, "--um-per-px", 50, *SPECIES
    )
    assert code == 0 and "no image of section 460, left out of an even row of numbers" in said


def test_the_direction_of_numbers_is_that_of_the_table(folders):
    text = start_study(folders / "new", Start("block", folders / "images", -0.1, um_per_px=50.0))
    assert "numbers to posterior" in text
    sections = open_study(folders / "new" / "study.yaml").brains[0].sections
    assert {section.index: section.plane.to_world[1, 2] for section in sections} == {7: 0.0, 8: -0.1, 9: -0.2}
    assert "-0.0," not in (folders / "new" / "sections.tsv").read_text()


@pytest.mark.parametrize(
    ("form", "colour"),
    [
        ({"color": [200, 0, 10]}, (200, 0, 10)),
        ({"colorRGB": -3670006}, (200, 0, 10)),
        ({"colorRGB": 0x0000FF}, (0, 0, 255)),
    ],
)
def test_the_label_table_has_the_colours_of_qupath_s_classes(folders, capsys, form, colour):
    def drawn(names, form, x):
        ring = [[x, 12], [x + 5, 12], [x + 5, 40], [x, 12]]
        properties = {"objectType": "annotation", "classification": names | form}
        return {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}, "properties": properties}

    v1, nested = {"name": "V1"}, {"names": ["V2", "deep"]}
    files = {
        7: [
            drawn(v1, form, 12),
            drawn(v1, {"color": [1, 2, 3]}, 20),
            drawn(nested, form, 30),
            drawn({"name": "V3"}, {}, 40),
        ],
        8: [
            drawn(v1, form, 12),
            drawn({"name": "V2: deep"}, {}, 20),
            drawn({"name": "V4"}, {"color": [1, 2.5, "x"]}, 40),
        ],
        9: [drawn({"name": "Ignore*"}, {"color": [9, 9, 9]}, 12)],
    }
    for index, features in files.items():
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (folders / "areas" / f"{index}.geojson").write_text(text)
    start = Start(
        "block", folders / "images", 1.0, annotations=folders / "areas", um_per_px=100.0, species="x", stain="y"
    )
    start_study(folders / "new", start)
    said = capsys.readouterr().err
    assert said.count("several colours") == 1
    shown = "#" + bytes(colour).hex()
    assert f"area 'V1' was drawn in several colours: {shown} (2 polygons) is taken, not #010203 (1)" in said
    study = open_study(folders / "new" / "study.yaml")
    assert study.labels.names == ("V1", "V2: deep", "V3", "V4")
    colours = [tuple(row) for row in np.rint(255 * study.labels.colours).astype(int).tolist()]
    assert colours[:2] == [(*colour, 255)] * 2
    assert len(set(colours)) == 3  # of classes without colour, one of their own
    assert [section.annotation is not None for section in study.brains[0].sections] == [True, True, False]
    assert check_study(folders / "new" / "study.yaml").problems == ()
    # and they go back to QuPath as they came
    areas = read_drawn_areas(study.brains[0].sections[0], study.labels)
    write_geojson(folders / "back.geojson", {"V1": MultiPolygon(areas.polygons[:1])}, {"V1": colours[0][:3]})
    (feature,) = json.loads((folders / "back.geojson").read_text())["features"]
    assert feature["properties"]["classification"] == {"name": "V1", "color": list(colour)}


def test_names_on_several_lines_and_what_is_no_colour(folders, cytomesh):
    """Class names with line breaks or tabs are one cell of the label table, and are found in the drawings again."""
    classes = [
        {"name": "V1\nleft", "color": [300, 0, 0]},
        {"name": "V1 \t left", "colorRGB": -(2**40)},
        {"name": "V2", "color": [1, 2, 3, 4]},
        {"name": "V3", "color": -1},
    ]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[[x, 12], [x + 8, 12], [x + 8, 40], [x, 12]]]},
            "properties": {"objectType": "annotation", "classification": one},
        }
        for x, one in zip((12, 25, 40, 50), classes, strict=True)
    ]
    for index in (7, 8, 9):
        text = json.dumps({"type": "FeatureCollection", "features": features})
        (folders / "areas" / f"{index}.geojson").write_text(text)
    words = ["--images", folders / "images", "--annotations", folders / "areas", "--um-per-px", 100, "--spacing-mm", 1]
    code, _, said = cytomesh("init", folders / "new", *words, *SPECIES)
    assert code == 0 and said.count("\n") == 3
    assert "area 'V1 left' was drawn in [300, 0, 0]: no colour" in said and "'V1 left' was drawn in -1099" in said
    assert "area 'V2' was drawn in [1, 2, 3, 4]: no colour" in said
    study = open_study(folders / "new" / "study.yaml")
    assert study.labels.names == ("V1 left", "V2", "V3") and (study.labels.colours[2] == 1).all()
    assert read_drawn_areas(study.brains[0].sections[0], study.labels).labels.tolist() == [1, 1, 2, 3]
    assert check_study(folders / "new" / "study.yaml").problems == ()


def test_areas_that_a_table_lacks_are_said(folders, cytomesh):
    table = folders / "labels.tsv"
    table.write_text("index\tname\tr\tg\tb\ta\n1\tV2\t1\t2\t3\t255\n3\tM1\t1\t9\t3\t255\n")
    Image.fromarray(np.full((60, 80), 5, np.uint8)).save(folders / "areas" / "9.png")
    (folders / "areas" / "9.geojson").unlink()
    given = ["--images", folders / "images", "--annotations", folders / "areas", "--labels", table]
    code, _, errors = cytomesh("init", folders / "new", *given, "--um-per-px", 100, "--spacing-mm", 1)
    assert code == 0, errors
    assert "labels.tsv: 2 of 3 annotated areas not in the table: 'V1', label 5; it has 'V2', 'M1': add" in errors


def test_areas_that_look_alike_are_said(folders, cytomesh):
    for index in (7, 8, 9):
        names = ("hOc1", "hoc 1", "hOc2") if index == 8 else ("hOc1", "hOc2")
        areas = {name: MultiPolygon([box(12 + 8 * n, 12, 18 + 8 * n, 48)]) for n, name in enumerate(names)}
        colours = {"hOc1": (200, 0, 0), "hOc2": (200, 0, 0), "hoc 1": (0, 0, 200)}
        path = folders / "areas" / f"{index}.geojson"
        write_geojson(path, areas, {name: colours[name] for name in names})
    words = ["--images", folders / "images", "--annotations", folders / "areas", "--um-per-px", 100, "--spacing-mm", 1]
    code, _, said = cytomesh("init", folders / "new", *words, *SPECIES)
    assert code == 0 and "areas 'hOc1', 'hoc 1' differ only in case or spaces" in said
    assert "areas 'hOc1', 'hOc2' have one colour, #c80000" in said and said.count("\n") == 2
    report = check_study(folders / "new" / "study.yaml")
    (warning,) = report.warnings
    assert report.problems == () and warning.source.endswith("labels.tsv")
    assert warning.found == "areas hOc1, hoc 1"


def test_label_images_are_read_once_and_drawn_areas_come_after_their_labels(folders, monkeypatch):
    for index in (7, 8):
        (folders / "areas" / f"{index}.geojson").unlink()
        labels = np.zeros((30, 40), np.uint8)
        labels[5:9, 5:9] = 3 * (index - 6)
        Image.fromarray(labels).save(folders / "areas" / f"{index}.png")
    read = []
    monkeypatch.setattr(start_labels, "read_label_image", lambda path: read.append(path.name) or read_label_image(path))
    start_study(
        folders / "new", Start("block", folders / "images", 1.0, annotations=folders / "areas", um_per_px=100.0)
    )
    assert read == ["7.png", "8.png"]
    study = open_study(folders / "new" / "study.yaml")
    assert dict(zip(study.labels.indices, study.labels.names, strict=True)) == {
        3: "area 3",
        6: "area 6",
        7: "V1",
        8: "V2",
    }
    assert [section.annotation_um_per_px for section in study.brains[0].sections] == [200.0, 200.0, None]


def test_all_files_that_cannot_be_read_are_named_at_once_and_folders_are_left_out(folders, cytomesh):
    words = ["init", folders / "new", "--images", folders / "images", "--spacing-mm", 1, "--um-per-px", 100]
    (folders / "images" / "B1_s010.tif").mkdir()
    code, _, said = cytomesh(*words)
    assert code == 0 and "B1_s010.tif: left out: a folder, and no OME-Zarr image" in said
    shutil.rmtree(folders / "new")
    image = folders / "images" / "B1_s007.png"
    tifffile.imwrite(folders / "images" / "B1_s011.tif", np.zeros((90, 90), np.uint8))
    cut_off = (folders / "images" / "B1_s011.tif").read_bytes()[:2000]
    (folders / "images" / "B1_s011.tif").write_bytes(cut_off)
    whole = image.read_bytes()
    image.write_bytes(b"")
    code, _, said = cytomesh(*words)
    assert code == 1 and said.count("\n") == 2  # and the folder's line
    assert "B1_s007.png: found 2 problems" in said and "B1_s011.tif: a file cut off after 2000" in said
    image.write_bytes(whole)
    (folders / "images" / "B1_s011.tif").unlink()
    (folders / "areas" / "7.geojson").write_text("")
    (folders / "areas" / "8.geojson").unlink()
    tifffile.imwrite(folders / "areas" / "8.tif", np.full((60, 80), -1, np.int16))
    code, _, said = cytomesh(*words, "--annotations", folders / "areas")
    assert code == 1 and "7.geojson: found 2 problems" in said and "8.tif: label -1" in said
    assert not (folders / "new").exists()
