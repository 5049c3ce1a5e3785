"""Files of several images: planes by the manifest's `image.plane`, scenes by the section table."""

import json

import numpy as np
import pytest
import tifffile
import zarr
from pylibCZIrw import czi

from cytomesh.core.errors import ImageError
from cytomesh.imaging.pyramid import open_image, open_section
from cytomesh.study.check import check_study
from cytomesh.study.image_formats.part import ImagePart
from cytomesh.study.image_formats.registry import check_pixels, decode_all, read_header
from cytomesh.study.pixels import ImageSettings, Plane
from cytomesh.study.study import open_study

T, C, Z, HEIGHT, WIDTH = 2, 3, 4, 60, 80
STACK = np.random.default_rng(0).integers(0, 256, (T, C, Z, HEIGHT, WIDTH), np.uint8)


def write_zarr(path):
    group = zarr.create_group(store=str(path), zarr_format=3)
    for level, array in enumerate((STACK, STACK[..., ::2, ::2])):
        group.create_array(str(level), data=array, chunks=(1, 1, 1, 32, 32), config={"write_empty_chunks": True})
    kinds = {"t": "time", "c": "channel"}
    axes = [{"name": name, "type": kinds.get(name, "space")} for name in "tczyx"]
    datasets = [
        {"path": str(i), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, 2.0**i, 2.0**i]}]}
        for i in (0, 1)
    ]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}


def write_tiff(path):
    tifffile.imwrite(path, STACK, metadata={"axes": "TCZYX"}, tile=(32, 32), ome=True, photometric="minisblack")


def write_czi(path):
    with czi.create_czi(str(path), exist_ok=True) as image:
        for t, c, z in np.ndindex(T, C, Z):
            image.write(STACK[t, c, z][..., None], plane={"T": t, "C": c, "Z": z})
        image.write_metadata("a", scale_x=1e-6, scale_y=1e-6)


WRITERS = {"a.ome.zarr": write_zarr, "a.ome.tif": write_tiff, "a.czi": write_czi}


@pytest.mark.parametrize("name", WRITERS)
def test_the_plane_that_is_named_is_read(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    for t, z in ((0, 0), (1, 3), (1, 1)):
        for channel in (0, 2):
            settings = ImageSettings(channels=channel, plane=Plane(z=z, t=t))
            with open_image(path, 0, settings) as image:
                assert image.shape == (HEIGHT, WIDTH)
                np.testing.assert_array_equal(image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0], STACK[t, channel, z])
                window = image.read(0, 7, 50, 33, 34)[..., 0]
                np.testing.assert_array_equal(window, STACK[t, channel, z, 7:50, 33:34])
    header = read_header(path, ImagePart(z=1, t=1))
    check_pixels(header)
    decode_all(header)


@pytest.mark.parametrize("name", WRITERS)
def test_several_planes_of_which_none_is_named_are_listed(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)

    def refused(part, *texts):
        with pytest.raises(ImageError, match="Way out") as caught:
            read_header(path, part)
        assert all(text in str(caught.value) for text in (str(path), *texts)), caught.value

    refused(ImagePart(), "2 of t", "4 of z", "expected one plane", "image: {plane: {", "z: 0", "z 0 to 3", "t 0 to 1")
    refused(ImagePart(t=1), "2 of t", "image: {plane: {z: 0}} (z 0 to 3)")
    refused(ImagePart(z=4, t=0), "no plane z = 4", "z from 0 to 3")
    if name != "a.czi":
        refused(ImagePart(scene=0, z=0, t=0), "scene 0 asked for")


def test_only_chunks_of_the_plane_must_be_there(tmp_path):
    write_zarr(tmp_path / "a.ome.zarr")
    (tmp_path / "a.ome.zarr" / "0" / "c" / "1" / "2" / "3" / "1" / "0").unlink()
    check_pixels(read_header(tmp_path / "a.ome.zarr", ImagePart(z=3, t=0)))
    with pytest.raises(ImageError, match=r"1 of 18 chunks not stored at level 0 \(c/1/2/3/1/0\)"):
        check_pixels(read_header(tmp_path / "a.ome.zarr", ImagePart(z=3, t=1)))


def test_axes_that_no_manifest_names_are_to_be_exported(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0, 0], photometric="minisblack", metadata=None)
    with pytest.raises(ImageError, match=r"planes: 4 of [a-z], expected one plane. Way out: export one 2D plane"):
        read_header(tmp_path / "a.tif", ImagePart(z=1))


def test_a_study_of_planes(study_folder, cytomesh):
    """The plane is part of what is seen; copies have it alone, and the manifest stays as it is."""
    for index in (1, 2, 4):
        path = study_folder.image(index).with_suffix(".ome.zarr")
        write_zarr(path)
        study_folder.change_table(study_folder.image(index).name, path.name)
    problems = check_study(study_folder.manifest).problems
    assert len(problems) == 3 and all("image: {plane: {t: 0, z: 0}}" in problem.hint for problem in problems)
    study_folder.change(image={"plane": {"z": 2, "t": 1}, "channels": 1})
    assert check_study(study_folder.manifest).problems == ()
    section = open_study(study_folder.manifest).brains[0].sections[0]
    with open_section(section, 0) as image:
        np.testing.assert_array_equal(image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0], STACK[1, 1, 2])
    assert section.image_settings.facts == {"channels": 1, "plane": {"z": 2, "t": 1}}
    out = study_folder.folder / "copies"
    code, _, err = cytomesh("images", "convert", study_folder.manifest, "--out", out, "--update-study", "-j", 1)
    assert code == 0, err
    section = open_study(study_folder.manifest).brains[0].sections[0]
    assert section.image.parent.parent.resolve() == out and read_header(section.image, section.image_part).axes == "cyx"
    with open_section(section, 0) as image:
        np.testing.assert_array_equal(image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0], STACK[1, 1, 2])


def test_sections_that_are_scenes_of_one_file(study_folder, cytomesh):
    slide = study_folder.folder / "sub-B01" / "slide.czi"
    with czi.create_czi(str(slide)) as image:
        for scene in range(3):
            image.write(STACK[0, scene, 0][..., None], location=(500 * scene, 0), scene=scene)
        image.write_metadata("a", scale_x=1e-4, scale_y=1e-4)
    rows = study_folder.table.read_text().splitlines()
    column = rows[0].split("\t").index("scene")
    for i, scene in ((1, "2"), (2, "0"), (4, "1")):
        cells = rows[i].split("\t")
        cells[1], cells[column] = slide.name, scene
        rows[i] = "\t".join(cells)
    study_folder.table.write_text("\n".join(rows) + "\n")
    assert check_study(study_folder.manifest).problems == ()
    sections = [section for section in open_study(study_folder.manifest).brains[0].sections if section.image]
    for section, scene in zip(sections, (2, 0, 1), strict=True):
        with open_section(section, 0) as image:
            np.testing.assert_array_equal(image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0], STACK[0, scene, 0])
    out = study_folder.folder / "copies"
    code, _, err = cytomesh("images", "convert", study_folder.manifest, "--out", out, "--update-study", "-j", 1)
    assert code == 0, err
    sections = [section for section in open_study(study_folder.manifest).brains[0].sections if section.image]
    assert [section.image.name for section in sections] == [f"slide_scene-{n}.ome.zarr" for n in (2, 0, 1)]
    assert all(section.scene is None for section in sections)
    for section, scene in zip(sections, (2, 0, 1), strict=True):
        with open_section(section, 0) as image:
            np.testing.assert_array_equal(image.read(0, 0, HEIGHT, 0, WIDTH)[..., 0], STACK[0, scene, 0])
    assert rows[1].endswith("\t2")
    study_folder.table.write_text("\n".join([rows[0], rows[1][:-1] + "x", *rows[2:]]) + "\n")
    (problem,) = check_study(study_folder.manifest, depth="quick").problems
    assert "line 2 (section 1), scene" in problem.place and problem.found == "'x'"


def test_commands_take_planes(tmp_path, cytomesh):
    write_tiff(tmp_path / "a.ome.tif")
    code, _, err = cytomesh("images", "info", tmp_path / "a.ome.tif")
    assert code == 1 and "planes: " in err
    code, out, _ = cytomesh("images", "info", tmp_path / "a.ome.tif", "--z", 3, "--t", 1, "--json")
    assert code == 0 and json.loads(out)["axes"] == "tczyx"
    target = tmp_path / "copy.ome.zarr"
    words = [
        "images",
        "convert",
        tmp_path / "a.ome.tif",
        "--um-per-px",
        1,
        "--out",
        target,
        "--z",
        3,
        "--t",
        1,
        "-j",
        1,
    ]
    assert cytomesh(*words)[0] == 0
    with open_image(target, 0) as image:
        np.testing.assert_array_equal(np.moveaxis(image.read(0, 0, HEIGHT, 0, WIDTH), 2, 0), STACK[1, :, 3])
