"""All images of a study at once, and tables that name the copies."""

import shutil

import numpy as np
import pytest
from PIL import Image

from cytomesh.core.errors import StudyError
from cytomesh.imaging.convert_study import convert_study
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.study import open_study
from tests.pretrain.pretrain_study import write_run


@pytest.fixture
def manifest(tmp_path):
    write_run(tmp_path)
    return tmp_path / "study" / "study.yaml"


def images(manifest):
    return [section.image for brain in open_study(manifest).brains for section in brain.sections if section.image]


def test_tables_name_the_copies_and_nothing_else_changes(manifest, tmp_path, cytomesh):
    before = open_study(manifest)
    tables = sorted(manifest.parent.rglob("*.tsv"))
    first = {table: table.read_text().splitlines() for table in tables}
    code, out, _ = cytomesh("images", "convert", manifest, "--out", tmp_path / "copies", "--update-study", "-j", 1)
    assert code == 0 and f"tables written  {len(tables)}" in out
    after = open_study(manifest)
    for old, new in zip(before.brains, after.brains, strict=True):
        for was, now in zip(old.sections, new.sections, strict=True):
            if was.image is None:
                assert now.image is None
                continue
            assert now.image.resolve().is_relative_to(tmp_path / "copies" / old.id)
            with open_image(was.image) as one, open_image(now.image) as two:
                np.testing.assert_array_equal(
                    one.read(0, 0, *(one.shape[0], 0, one.shape[1])), two.read(0, 0, *(two.shape[0], 0, two.shape[1]))
                )
                assert two.um_per_px == now.um_per_px == was.um_per_px
    for table in tables:
        for was, now in zip(first[table], table.read_text().splitlines(), strict=True):
            differing = [a for a, b in zip(was.split("\t"), now.split("\t"), strict=True) if a != b]
            assert len(differing) <= 1 and all(cell.endswith(".png") for cell in differing)
    assert cytomesh("study", "check", manifest, "--quick")[1].count("problem") == 1
    code, out, _ = cytomesh("images", "convert", manifest, "--out", tmp_path / "again", "-j", 1, "--json")
    assert code == 0 and '"failed": 0' in out


def test_one_bad_image_does_not_keep_the_others_from_it_nor_change_a_table(manifest, tmp_path, cytomesh):
    bad, *good = images(manifest)
    bad.write_bytes(b"nothing")
    before = {table: table.read_bytes() for table in manifest.parent.rglob("*.tsv")}
    code, _, err = cytomesh("images", "convert", manifest, "--out", tmp_path / "copies", "--update-study", "-j", 1)
    assert code == 1 and bad.name in err and "section tables stay as they were" in err
    assert len(list((tmp_path / "copies").glob("*/*.ome.zarr"))) == len(good)
    assert {table: table.read_bytes() for table in before} == before
    shutil.copyfile(good[0], bad)
    done = convert_study(manifest, tmp_path / "copies", update=True)
    assert done.n_kept == len(good) and not done.problems and done.tables


def test_two_images_of_one_name_are_refused(manifest, tmp_path):
    brain = open_study(manifest).brains[0]
    one, two = [section.image for section in brain.sections if section.image][:2]
    (one.parent / "other").mkdir()
    Image.open(two).save(one.parent / "other" / one.name)
    table = next(path for path in manifest.parent.rglob("*.tsv") if two.name in path.read_text())
    table.write_text(table.read_text().replace(f"{two.name}\t", f"other/{one.name}\t", 1))
    with pytest.raises(StudyError, match="one image of each name"):
        convert_study(manifest, tmp_path / "copies")
