"""What is known of sections: added line by line, read again, and not believed where it is damaged."""

import json

import pytest

from cytomesh.core.errors import ContourError
from cytomesh.core.section_log import SectionLog, file_key, stamp


@pytest.fixture
def known(tmp_path):
    states = SectionLog(tmp_path)
    (tmp_path / "a.json").write_text("a")
    states.add_failed("A", "key", ContourError("a.geojson", found="nothing"))
    states.add_done("A", "key", 1.5, tmp_path / "a.json")
    states.add_failed("B", "key", ContourError("b.geojson", found="nothing"))
    return states


def test_states_are_read_again_with_attempts_and_reasons(known, tmp_path):
    again = SectionLog(tmp_path)
    assert again.states == known.states
    a, b = again.states["A"], again.states["B"]
    assert (a.state, a.attempts, a.result, a.reason) == ("done", 2, 1.5, "")
    assert (b.state, b.attempts, b.reason) == ("failed", 1, "b.geojson: found nothing")
    assert len(again.path.read_text().splitlines()) == 3  # what was said before is gone
    assert SectionLog(tmp_path, resume=False).states == {}


def test_done_is_what_was_made_from_the_same_and_is_there_as_it_was(known, tmp_path):
    output = tmp_path / "a.json"
    assert known.is_done("A", "key", output)
    assert not known.is_done("A", "other", output) and not known.is_done("B", "key", None)
    assert not known.is_done("C", "key", None)
    output.write_text("edited")
    assert not known.is_done("A", "key", output)
    output.unlink()
    assert not known.is_done("A", "key", output)
    known.add_done("A", "", 1.5, None)
    assert not known.is_done("A", "", None)


@pytest.mark.parametrize("damage", ["cut", "binary", "line", "head", "version", "list", "state"])
def test_damaged_lines_are_not_believed(known, tmp_path, damage, capsys):
    whole = known.path.read_bytes()
    head, a, *rest = whole.split(b"\n")
    known.path.write_bytes(
        {
            "cut": whole[:-20],
            "binary": b"\x80\x00\xff" * 30,
            "line": b"\n".join([head, a[:30], *rest]),
            "head": b"\n".join([b"", a, *rest]),
            "version": whole.replace(b'"format": 1', b'"format": 99'),
            "list": b"\n".join([head, b"[]", b'{"section": 1, "state": "done", "attempts": "x"}', *rest]),
            "state": whole.replace(b'"failed"', b'"fine"'),
        }[damage]
    )
    again = SectionLog(tmp_path)
    assert (
        set(again.states)
        == {
            "cut": {"A"},
            "binary": set(),
            "line": {"A", "B"},
            "head": {"A", "B"},
            "version": set(),
            "list": {"A", "B"},
            "state": {"A"},
        }[damage]
    )
    err = capsys.readouterr().err
    assert ("processed again" in err) == (damage != "cut")
    assert json.loads(again.path.read_text().splitlines()[0])["format"] == 1
    assert SectionLog(tmp_path).states == again.states


def test_keys_follow_files_and_facts(tmp_path):
    image = tmp_path / "s.png"
    image.write_bytes(b"1234")
    key = file_key(image, um_per_px=1.0)
    assert key == file_key(image, um_per_px=1.0) != file_key(image, um_per_px=2.0)
    image.write_bytes(b"12345")
    assert file_key(image, um_per_px=1.0) != key
    assert file_key(tmp_path) == "" and stamp(tmp_path / "nothing") is None
