import shutil
from pathlib import Path

import pytest
import yaml

from cytomesh.core.errors import StudyError
from cytomesh.study.check import check_study
from cytomesh.study.roots import is_below
from cytomesh.study.study import open_study


@pytest.mark.parametrize("kind", ["relative", "absolute", "hidden"])
def test_files_outside_the_study_are_refused_unless_its_manifest_allows_them(study_folder, tmp_path, kind):
    name = {
        "relative": "../../raw/section1.png",
        "absolute": str(tmp_path / "raw" / "section1.png"),
        "hidden": "../sub-B01/../../raw/section1.png",
    }[kind]
    (tmp_path / "raw").mkdir()
    shutil.move(study_folder.image(1), tmp_path / "raw")
    study_folder.change_table("section1.png", name)
    (problem,) = check_study(study_folder.manifest).problems
    assert problem.place == "section 1, image" and problem.source == str(study_folder.table)
    assert "a file outside the study" in problem.found and problem.hint.endswith("data_roots: [../raw]")
    with pytest.raises(StudyError, match="outside the study"):
        open_study(study_folder.manifest)
    study_folder.change(data_roots=["../raw"])
    assert check_study(study_folder.manifest).problems == ()
    study_folder.change(data_roots=["../ra"])
    assert len(check_study(study_folder.manifest).problems) == 1


def test_many_files_outside_are_said_once_with_what_they_have_in_common(study_folder, tmp_path):
    for index, folder in ((1, "raw/a"), (2, "raw/b"), (4, "raw/b")):
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        shutil.move(study_folder.contours(index), tmp_path / folder)
        study_folder.change_table(f"section{index}.geojson", f"../../{folder}/section{index}.geojson")
    (problem,) = check_study(study_folder.manifest).problems
    assert "and 2 more files" in problem.found and problem.hint.endswith("data_roots: [../raw]")
    study_folder.change(data_roots=[yaml.safe_load(problem.hint.partition("data_roots: ")[2])[0]])
    assert check_study(study_folder.manifest).problems == ()


def test_what_the_manifest_itself_names_and_links_may_lie_anywhere(study_folder, tmp_path):
    table = tmp_path / "elsewhere" / "B01"
    shutil.move(study_folder.table.parent, table)
    data = yaml.safe_load(study_folder.manifest.read_text())
    study_folder.change(brains=[{**data["brains"][0], "sections": str(table / "sections.tsv")}])
    shutil.move(table / "section1.png", tmp_path / "annexed.png")
    (table / "section1.png").symlink_to(tmp_path / "annexed.png")
    assert check_study(study_folder.manifest).problems == ()


def test_loops_of_links_are_one_message(study_folder):
    image, contours = study_folder.image(1), study_folder.contours(2)
    for path in (image, contours):
        path.unlink()
        path.symlink_to(path.name)
    found = {problem.source: str(problem) for problem in check_study(study_folder.manifest).problems}
    assert set(found) == {str(image), str(contours)}
    assert all("Too many levels of symbolic links" in text for text in found.values())
    study_folder.table.unlink()
    study_folder.table.symlink_to(study_folder.table.name)
    with pytest.raises(StudyError, match=r"sections.tsv: .*symbolic links"):
        open_study(study_folder.manifest)


def test_below():
    assert is_below(Path("/a/b/c"), [Path("/a/b")]) and is_below(Path("/a/b"), [Path("/x"), Path("/a/b")])
    assert not is_below(Path("/a/bc"), [Path("/a/b")]) and not is_below(Path("/a/b/../c"), [Path("/a/b")])
    assert is_below(Path("/anything"), [Path("/")])


def test_copies_that_tables_could_not_name_are_refused_before_they_are_made(study_folder, cytomesh, tmp_path):
    words = ("images", "convert", study_folder.manifest, "--out", tmp_path / "copies", "--update-study", "-j", 1)
    code, _, err = cytomesh(*words)
    assert code == 1 and "data_roots: [../copies]" in err and not (tmp_path / "copies").exists()
    study_folder.change(data_roots=["../copies"])
    assert cytomesh(*words)[0] == 0 and check_study(study_folder.manifest).problems == ()
