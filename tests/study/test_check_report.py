"""Equal problems as one line; only files that exist are counted."""

import json

from cytomesh.core.errors import ContourError, ImageError, StudyError
from cytomesh.study.check import check_study
from cytomesh.study.check_report import grouped


def test_problems_that_differ_in_place_and_numbers_only_are_one_line():
    problems = [
        *(ImageError(f"/a/s{i}.png", found=f"{i}0 px in a row", hint="cut it again") for i in range(1, 6)),
        StudyError("/a/t.tsv", "line 2", found="'x'", expected="a number"),
        *(ContourError("/a/c.geojson", f"feature {i}", found=f"unknown class 'V{i}'") for i in (1, 2)),
        *(StudyError("/a/t.tsv", f"line {i}", found="'x'", expected="a number") for i in (5, 9, 11)),
    ]
    assert [str(problem) for problem in grouped(problems)] == [
        "(5 times) /a/s1.png; s2.png; s3.png; ...: found 10 px in a row. Way out: cut it again",
        "(4 times) /a/t.tsv: line 2; line 5; line 9; ...: found 'x', expected a number",
        "/a/c.geojson: feature 1: found unknown class 'V1'",  # what is in names is no number
        "/a/c.geojson: feature 2: found unknown class 'V2'",
    ]
    assert grouped([]) == []


def test_areas_of_another_label_table_are_one_problem():
    hint = "did you mean 'V1'? add such areas"
    expected = "an area of the label table (V1, V2)"
    problems = [
        ContourError(
            f"/a/{i % 2}.geojson", f"feature {i}", found=f"unknown class '{name}'", expected=expected, hint=hint
        )
        for i, name in enumerate(("V10", "hOc1", "4a", "V11", "hOc1", "4a"))
    ]
    other = ContourError("/a/0.geojson", "feature 9", found="unknown class 'Pia'", expected="one of pial_L")
    (one, kept) = grouped([*problems[1:], other, problems[0]])
    assert kept is other
    assert str(one) == (
        "(6 times) /a/1.geojson: feature 1; 0.geojson: feature 2; 1.geojson: feature 3; ...: found 4 unknown classes: "
        "'4a', 'V10', 'V11', 'hOc1', expected an area of the label table (V1, V2). Way out: add such areas"
    )


def test_only_files_that_exist_are_counted(study_folder):
    study_folder.image(1).unlink()
    study_folder.contours(2).unlink()
    (study_folder.folder / "sub-B01" / "areas2.png").unlink()
    (brain,) = check_study(study_folder.manifest).brains
    assert (brain.n_sections, brain.n_images, brain.n_contours, brain.n_annotations) == (4, 2, 2, 0)


def test_unknown_areas_of_many_sections_are_one_line(study_folder, cytomesh):
    ring = [[12, 12], [18, 12], [18, 48], [12, 12]]
    feature = {"type": "Feature", "geometry": {"type": "Polygon", "coordinates": [ring]}}
    drawn = [feature | {"properties": {"classification": {"name": name}}} for name in ("V9", "V9", "Glia")]
    table = study_folder.table.read_text().replace("areas2.png", "n/a").splitlines()
    column = table[0].split("\t").index("annotation")
    for line, index in ((1, 1), (2, 2), (4, 4)):
        cells = table[line].split("\t")
        cells[column] = f"areas{index}.geojson"
        table[line] = "\t".join(cells)
        (study_folder.table.parent / cells[column]).write_text(json.dumps({"features": drawn}))
    study_folder.table.write_text("\n".join(table))
    code, said, _ = cytomesh("study", "check", study_folder.manifest, "--quick", "--workers", 1)
    assert code == 1 and "9 problems of 2 kinds:" in said
    lines = said.splitlines()
    assert lines[-2].startswith("1. (6 times) ") and "areas1.geojson: feature 0 ('V9'); " in lines[-2]
    assert "found unknown class 'V9', expected an area of the label table (V1, V2, M1)" in lines[-2]
    assert lines[-1].startswith("2. (3 times) ") and "found unknown class 'Glia'" in lines[-1]
