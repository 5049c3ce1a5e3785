"""Outcomes on disk: what is read is what was written, of the same inputs and undamaged."""

import math

import numpy as np

from cytomesh.analyze.evaluate.pieces import NODES, drop_others, load_piece, piece_folder, save_piece
from cytomesh.analyze.evaluate.task import Named, Outcome, Score


def outcome():
    scores = (Score("areas", "seen", "margin", 0.25, math.inf), Score("areas", "seen", "macro_f1", 0.5, repeat=2))
    named = {("areas", "seen"): Named(np.array([4, 4]), np.array([0, 1]), np.array([1, 1]))}
    return Outcome(scores, named, ("said",))


def test_an_outcome_comes_back_unless_its_inputs_or_files_have_changed(tmp_path):
    save_piece(tmp_path, "key", outcome())
    found = load_piece(tmp_path, "key")
    assert tuple(found.scores) == outcome().scores and found.notes == ("said",)
    for name in ("section", "truth", "predicted"):
        own = outcome().named["areas", "seen"]
        np.testing.assert_array_equal(getattr(found.named["areas", "seen"], name), getattr(own, name))
    assert load_piece(tmp_path, "other") is None
    assert load_piece(tmp_path / "none", "key") is None
    path = tmp_path / NODES
    path.write_bytes(path.read_bytes()[:-40])
    assert load_piece(tmp_path, "key") is None


def test_an_outcome_without_anything_comes_back_empty(tmp_path):
    save_piece(tmp_path, "key", Outcome(notes=("absent",)))
    found = load_piece(tmp_path, "key")
    assert (list(found.scores), dict(found.named), found.notes) == ([], {}, ("absent",))


def test_pieces_of_others_are_removed(tmp_path):
    for task, encoder in (("areas", "a"), ("areas", "b"), ("probes", "a")):
        save_piece(piece_folder(tmp_path, task, encoder), "key", outcome())
    drop_others(tmp_path, [("areas", "b")])
    assert [path.relative_to(tmp_path).as_posix() for path in sorted(tmp_path.glob("pieces/*/*"))] == ["pieces/areas/b"]
    assert not (tmp_path / "pieces" / "probes").exists()
