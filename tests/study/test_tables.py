import csv
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cytomesh.study.tables import named_file, read_cells, read_dicts, table_text

CELL = st.text(st.characters(exclude_characters="\t\n\r", exclude_categories=["Cs"]), max_size=6)


@given(st.lists(st.lists(CELL, min_size=2, max_size=4), max_size=4))
def test_cells_come_back(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("table") / "t.tsv"
    path.write_text("head\n" + table_text(rows), encoding="utf-8")
    assert read_cells(path)[1:] == rows


def test_quotes_of_excel_and_of_people(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(b'a\tb\r\n"1,2"\t"say ""x"""\r\n3" wide\t"torn\r\n\r\nx\r\n')
    assert read_cells(path) == [["a", "b"], ["1,2", 'say "x"'], ['3" wide', "torn"], [], ["x"]]
    assert read_dicts(path, "n/a")[-1] == {"a": "x", "b": "n/a"}


def test_names_that_macos_wrote(tmp_path):
    composed, apart = (unicodedata.normalize(form, "Schnittgr\u00f6\u00dfe.geojson") for form in ("NFC", "NFD"))
    assert named_file(tmp_path, composed) == tmp_path / composed
    (tmp_path / apart).touch()
    assert named_file(tmp_path, composed).exists() and named_file(tmp_path, apart).exists()


def test_a_column_given_twice_is_refused(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_text("a\tb\ta \n1\t2\t3\n")
    with pytest.raises(csv.Error, match="a: columns given twice"):
        read_dicts(path)
