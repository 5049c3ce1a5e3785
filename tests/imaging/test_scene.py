"""Scenes of OME-Zarr 0.6: every pixel of every level lies where the study has it, chunks are those of the copies."""

import shutil
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import tifffile
import zarr

from cytomesh.core.errors import ImageError, StudyError
from cytomesh.core.files import read_json
from cytomesh.imaging.convert import convert_image
from cytomesh.imaging.scene import slab_depths, write_scene
from cytomesh.study.planes import SectionPlane
from cytomesh.study.sections import Section
from cytomesh.study.start import Start, start_study
from cytomesh.study.study import Brain, open_study
from cytomesh.study.transforms import ReferenceTransform

UM = 20.0


def brain(folder, n=3, channels=(), version="0.5"):
    """A brain of oblique sections 0.5 mm apart, the second of them mirrored."""
    sections = []
    for i in range(n):
        array = np.random.default_rng(i).integers(0, 255, (700 + i, 600, *channels), np.uint8)
        tifffile.imwrite(folder / f"{i}.tif", array, tile=(128, 128))
        convert_image(folder / f"{i}.tif", folder / f"{i}.ome.zarr", UM, ome_version=version)
        across = np.array([-1.0 if i == 1 else 1.0, 0.0, 0.0])
        down, normal = np.array([0.0, np.sin(0.2), -np.cos(0.2)]), np.array([0.0, np.cos(0.2), np.sin(0.2)])
        to_world = np.column_stack([0.02 * across, 0.021 * down, 0.5 * i * normal + [3.0, -40.0, 5.0]])
        sections.append(Section("B01", i + 1, folder / f"{i}.ome.zarr", UM, SectionPlane(to_world)))
    return Brain("B01", "train", ("L",), tuple(sections), ReferenceTransform())


def matrix(transform):
    """A transformation of NGFF 0.6 as a homogeneous matrix, by its definition."""
    kind = transform["type"]
    if kind == "sequence":
        whole = np.eye(len(transform["transformations"][0]["scale"]) + 1)
        for step in transform["transformations"]:
            whole = matrix(step) @ whole
        return whole
    if kind == "affine":
        return np.vstack([transform["affine"], np.eye(len(transform["affine"][0]))[-1]])
    whole = np.eye(len(transform[kind]) + 1)
    if kind == "scale":
        whole[:-1, :-1] = np.diag(transform["scale"])
    else:
        whole[:-1, -1] = transform["translation"]
    return whole


@pytest.mark.parametrize("channels", [(), (3,)])
def test_every_level_lies_where_the_study_has_it(tmp_path, channels):
    given = brain(tmp_path, channels=channels)
    scene = tmp_path / "scenes" / "B01.ome.zarr"
    assert write_scene(scene, given) == 3
    group = zarr.open_group(scene, mode="r")
    ome = group.attrs["ome"]
    assert ome["version"] == "0.6"
    (world,) = ome["scene"]["coordinateSystems"]
    assert [axis["name"] for axis in world["axes"]][-3:] == ["z", "y", "x"] and world["axes"][-1][
        "unit"
    ] == "millimeter"
    for section, transform in zip(given.sections, ome["scene"]["coordinateTransformations"], strict=True):
        assert transform["output"] == {"name": world["name"]}
        image = group[transform["input"]["path"]]
        (entry,) = image.attrs["ome"]["multiscales"]
        assert [system["name"] for system in entry["coordinateSystems"]] == [transform["input"]["name"]]
        for level in entry["datasets"]:
            (own,) = level["coordinateTransformations"]
            assert own["input"] == {"path": level["path"]} and own["output"] == {"name": transform["input"]["name"]}
            whole = matrix(transform) @ matrix(own)
            column, row, factor = 7.0, 4.0, 2.0 ** int(level["path"])
            at = np.array([*([1.0] if channels else []), 0.0, row, column, 1.0])
            fine = np.array([[column, row]]) * factor + (factor - 1) / 2
            found = (whole @ at)[-4:-1][::-1]
            np.testing.assert_allclose(found, section.plane.world(fine)[0], atol=1e-12)
            # and a step in depth is a section: half a millimetre along the normal
            deeper = (whole @ (at + np.eye(len(at))[-4]))[-4:-1][::-1]
            np.testing.assert_allclose(deeper - found, 0.5 * section.plane.normal, atol=1e-12)
            copied = zarr.open_array(section.image / level["path"], mode="r")[:]
            np.testing.assert_array_equal(np.take(image[level["path"]][:], 0, axis=len(channels)), copied)


def test_no_pixel_is_copied_and_links_hold_where_the_study_is_moved(tmp_path):
    home = tmp_path / "study"
    home.mkdir()
    write_scene(home / "scenes" / "B01.ome.zarr", brain(home))
    write_scene(home / "scenes" / "B01.ome.zarr", brain(home))  # again, in the place of the first
    home.rename(tmp_path / "moved")
    scene = tmp_path / "moved" / "scenes" / "B01.ome.zarr"
    files = [path for path in scene.rglob("*") if path.is_file() and not path.is_symlink()]
    assert {path.name for path in files} == {"zarr.json"}
    image = zarr.open_group(scene, mode="r")["section-0002/0"]
    np.testing.assert_array_equal(image[0], tifffile.imread(tmp_path / "moved" / "1.tif"))
    shutil.rmtree(scene)
    assert (tmp_path / "moved" / "1.ome.zarr" / "0" / "c" / "0" / "0").is_file()


def test_images_that_are_no_copies_are_refused(tmp_path):
    for number, version in enumerate(("0.4", "0.5")):
        folder = tmp_path / str(number)
        folder.mkdir()
        given = brain(folder, n=1, version=version)
        if version == "0.5":
            given = replace(given, sections=(replace(given.sections[0], image=folder / "0.tif"),))
        said = {"0.4": "found OME-Zarr 0.4.*in another folder: ", "0.5": "found another format.*first: "}[version]
        with pytest.raises(ImageError, match=f"{said}cytomesh images convert"):
            write_scene(folder / "B01.ome.zarr", given)
        assert not (folder / "B01.ome.zarr").exists()


def test_the_command_writes_a_scene_a_brain_beside_the_manifest(small_study, tmp_path, cytomesh):
    shutil.copytree(small_study, tmp_path / "study")
    manifest = tmp_path / "study" / "study.yaml"
    code, said, _ = cytomesh("study", "to-ome-zarr", manifest)
    assert code == 0
    for one in open_study(manifest).brains:
        scene = tmp_path / "study" / "scenes" / f"{one.id}.ome.zarr"
        sections = [section for section in one.sections if section.image is not None]
        assert f"{scene}: {len(sections)} sections" in said
        group = zarr.open_group(scene, mode="r")
        assert len(group.attrs["ome"]["scene"]["coordinateTransformations"]) == len(sections)
        for section in sections[:2]:  # without shards, as the phantom writes them
            image = group[f"section-{section.index:04}/0"]
            np.testing.assert_array_equal(np.take(image[:], 0, image.ndim - 3), zarr.open_array(section.image / "0")[:])
    assert cytomesh("-q", "study", "to-ome-zarr", manifest) == (0, "", "")


@pytest.mark.parametrize("channels", [(), (3,)])
def test_the_schemas_of_ngff_accept_scenes_and_images(tmp_path, channels):
    jsonschema, package = pytest.importorskip("jsonschema"), find_spec("ngff_zarr")  # which has them among its files
    if package is None or package.origin is None:
        pytest.skip("without ngff-zarr")
    from referencing import Registry, Resource

    schemas = [read_json(file) for file in (Path(package.origin).parent / "spec/0.6/schemas").glob("*.schema")]
    registry = Registry().with_resources([(schema["$id"], Resource.from_contents(schema)) for schema in schemas])
    scene_schema, image_schema = (
        jsonschema.Draft202012Validator(schema, registry=registry)
        for name in ("scene", "strict_image")
        for schema in schemas
        if schema["$id"].endswith(f"/0.6/schemas/{name}.schema")
    )
    write_scene(tmp_path / "B01.ome.zarr", brain(tmp_path, channels=channels))
    folder = tmp_path / "B01.ome.zarr"
    scene, *images = (read_json(x)["attributes"] for x in [folder / "zarr.json", *sorted(folder.glob("*/zarr.json"))])
    scene_schema.validate(scene)
    assert len(images) == 3
    for image in images:
        image_schema.validate(image)
    del scene["ome"]["scene"]["coordinateTransformations"][1]["output"]
    del images[0]["ome"]["multiscales"][0]["coordinateSystems"]
    assert not scene_schema.is_valid(scene) and not image_schema.is_valid(images[0])


def test_napari_places_sections_as_the_study_does(tmp_path):
    reader = pytest.importorskip("napari_ome_zarr")
    given = brain(tmp_path)
    write_scene(tmp_path / "B01.ome.zarr", given)
    layers = reader.napari_get_reader(str(tmp_path / "B01.ome.zarr"))(str(tmp_path / "B01.ome.zarr"))
    assert len(layers) == 3
    for section, (levels, facts, _) in zip(given.sections, layers, strict=True):
        np.testing.assert_array_equal(np.asarray(levels[0])[0], zarr.open_array(section.image / "0", mode="r")[:])
        scaled = np.array([0.0, 11.0, 5.0]) * facts["scale"]
        placed = np.asarray(facts["affine"].affine_matrix) @ [*scaled, 1.0]
        np.testing.assert_allclose(placed[:3][::-1], section.plane.world(np.array([[5.0, 11.0]]))[0], atol=1e-9)


def test_scenes_among_images_are_no_sections(tmp_path, capsys):
    given = brain(tmp_path, n=2)
    write_scene(tmp_path / "B01.ome.zarr", given)
    for path in tmp_path.glob("*.tif"):
        path.unlink()
    start_study(tmp_path / "new", Start("block", tmp_path, 0.5, species="Macaca", stain="Nissl"))
    (opened,) = open_study(tmp_path / "new" / "study.yaml").brains
    assert [section.image.name for section in opened.sections] == ["0.ome.zarr", "1.ome.zarr"]
    assert "B01.ome.zarr: left out: a scene" in capsys.readouterr().err


def test_something_else_is_never_replaced(tmp_path):
    given = brain(tmp_path, n=1)
    other = tmp_path / "own.ome.zarr"
    other.mkdir()
    (other / "notes.txt").write_text("precious")
    for path in (other, tmp_path / "0.ome.zarr"):  # a folder of somebody's own; the image itself
        before = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
        with pytest.raises(StudyError, match="something else there"):
            write_scene(path, given)
        assert {file: file.read_bytes() for file in path.rglob("*") if file.is_file()} == before
    scene = tmp_path / "scenes" / "B01.ome.zarr"
    assert [write_scene(scene, given) for _ in range(2)] == [1, 1]


def test_folders_may_be_links(tmp_path):
    (tmp_path / "disk" / "deep").mkdir(parents=True)
    (tmp_path / "home").symlink_to(tmp_path / "disk" / "deep")
    given = brain(tmp_path / "home", n=1)
    for folder in (tmp_path / "home", tmp_path / "elsewhere"):
        write_scene(folder / "scenes" / "B01.ome.zarr", given)
        pixels = zarr.open_group(folder / "scenes" / "B01.ome.zarr", mode="r")["section-0001/0"][0]
        np.testing.assert_array_equal(pixels, tifffile.imread(tmp_path / "home" / "0.tif"))


def test_two_sections_in_one_plane_are_slabs_of_some_depth(tmp_path):
    given = brain(tmp_path)
    first, second, third = given.sections
    same = [first, replace(second, plane=first.plane), replace(third, plane=second.plane)]
    np.testing.assert_allclose(slab_depths(same), [0.5, 0.5, 0.5])
    np.testing.assert_allclose(slab_depths(same[:2]), [UM / 1000] * 2)
