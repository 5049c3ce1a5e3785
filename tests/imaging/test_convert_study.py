"""All images of a study at once, and tables that name the copies."""

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from cytomesh.core.errors import StudyError
from cytomesh.core.section_log import SectionLog
from cytomesh.imaging.convert_study import convert_study
from cytomesh.imaging.pyramid import open_image
from cytomesh.study.study import open_study
from tests.pretrain.pretrain_study import write_run


@pytest.fixture
def manifest(tmp_path):
    write_run(tmp_path)
    path = tmp_path / "study" / "study.yaml"
    path.write_text(path.read_text() + "data_roots: [../copies]\n")
    return path


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
    assert code == 0 and '"left out": 0' in out


def test_the_same_command_keeps_what_the_tables_name_already(manifest, tmp_path, cytomesh):
    """Else each call would convert the copies into themselves, and make all results stale."""
    command = ("images", "convert", manifest, "--out", tmp_path / "copies", "--update-study", "-j", 1, "--json")
    bad, *good = images(manifest)
    kept = bad.read_bytes()
    bad.write_bytes(b"nothing")
    assert cytomesh(*command, "--on-bad-section", "skip")[0] == 0
    bad.write_bytes(kept)
    made = {path: path.read_bytes() for path in (tmp_path / "copies").rglob("*") if path.is_file()}
    code, out, _ = cytomesh(*command)
    assert code == 0 and json.loads(out) == {"converted": 1, "kept": len(good), "left out": 0, "tables written": 1}
    tables = {table: table.stat().st_mtime_ns for table in manifest.parent.rglob("*.tsv")}
    for words in ((), ("--no-resume",)):
        code, out, said = cytomesh(*command, *words)
        facts = {"converted": 0, "kept": len(good) + 1, "left out": 0, "tables written": 0}
        assert code == 0 and json.loads(out) == facts
        assert "stale" not in said
    assert tables == {table: table.stat().st_mtime_ns for table in tables}
    assert all(path.read_bytes() == content for path, content in made.items() if path.name != ".sections.jsonl")


def test_a_bad_image_stops_and_changes_no_table_or_is_left_out(manifest, tmp_path, cytomesh):
    bad, *good = images(manifest)
    kept = bad.read_bytes()
    bad.write_bytes(b"nothing")
    before = {table: table.read_bytes() for table in manifest.parent.rglob("*.tsv")}
    words = ["images", "convert", manifest, "--out", tmp_path / "copies", "--update-study", "-j", 1]
    code, _, err = cytomesh(*words)
    assert code == 1 and bad.name in err
    assert {table: table.read_bytes() for table in before} == before
    code, out, err = cytomesh(*words, "--on-bad-section", "skip")
    assert code == 0 and "left out        1" in out and f"is left out: {bad}" in err
    assert len(list((tmp_path / "copies").glob("*/*.ome.zarr"))) == len(good)
    assert images(manifest)[0] == bad and not set(images(manifest)) & set(good)
    for table, text in before.items():
        table.write_bytes(text)
    bad.write_bytes(kept)
    done = convert_study(manifest, tmp_path / "copies", update=True)
    assert done.n_kept == len(good) and not done.left_out and done.tables
    states = SectionLog(tmp_path / "copies").states.values()
    assert sorted(state.attempts for state in states) == [1] * len(good) + [3]


def test_what_was_converted_is_made_again_where_it_changed(manifest, tmp_path):
    first, second = images(manifest)[:2]
    assert convert_study(manifest, tmp_path / "copies").n_kept == 0
    shutil.rmtree(next(tmp_path.glob(f"copies/*/{first.stem}.ome.zarr")))
    Image.open(images(manifest)[2]).save(second)
    done = convert_study(manifest, tmp_path / "copies")
    assert done.n_kept == len(done.copies) - 2
    with open_image(second) as one, open_image(done.copies[second, None]) as two:
        box = (0, one.shape[0], 0, one.shape[1])
        np.testing.assert_array_equal(one.read(0, *box), two.read(0, *box))


def test_two_images_of_one_name_are_refused(manifest, tmp_path):
    brain = open_study(manifest).brains[0]
    one, two = [section.image for section in brain.sections if section.image][:2]
    (one.parent / "other").mkdir()
    Image.open(two).save(one.parent / "other" / one.name)
    table = next(path for path in manifest.parent.rglob("*.tsv") if two.name in path.read_text())
    table.write_text(table.read_text().replace(f"{two.name}\t", f"other/{one.name}\t", 1))
    with pytest.raises(StudyError, match="one image of each name"):
        convert_study(manifest, tmp_path / "copies")
