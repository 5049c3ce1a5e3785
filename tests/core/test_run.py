import shutil

import pytest

from cytomesh.core.config import Config
from cytomesh.core.errors import ConfigError, CytomeshError, MissingStageError
from cytomesh.core.provenance import RECORD, Inputs
from cytomesh.core.run import (
    NO_RECORD,
    UNFINISHED,
    Product,
    check_name,
    lock,
    product,
    product_folders,
    read_study_path,
    write_study_path,
)


class Settings(Config):
    a: int = 1
    """A number."""


def inputs(a: int = 1, image: str = "x") -> Inputs:
    return Inputs({"a": a}, files={"image: s1": ("study:1.png", image)})


def make(result: Product, now: Inputs, text: str = "made", **options) -> None:
    with result.open(), result.writing(now, Settings(a=now.settings["a"]), 4, **options) as work:
        (work.folder / "result.txt").write_text(text)
        work.finish({"result": text})


def test_settings_versions_and_outputs_lie_beside_the_result(tmp_path):
    result = product(tmp_path, "classify", "gat")
    make(result, inputs(a=2))
    assert (result.folder / "config.yaml").read_text() == "a: 2\n"
    record = result.record
    assert record is not None and record.outputs == {"result": "made"}
    assert (record.stage, record.name, record.made["seed"]) == ("classify", "gat", 4)
    assert record.made["packages"]["numpy"][0].isdigit()
    assert result.is_current(inputs(a=2))
    assert sorted(path.name for path in result.folder.iterdir()) == ["config.yaml", RECORD, "result.txt"]


def test_why_it_is_not_current(tmp_path):
    result = product(tmp_path, "classify", "gat")
    assert not result.is_current(inputs()) and result.changes(inputs()) == []
    make(result, inputs())
    assert result.changes(inputs(a=3)) == ["a 1 -> 3"]
    assert result.changes(inputs(image="y")) == ["image of s1 changed"]
    (result.folder / RECORD).unlink()
    assert result.changes(inputs()) == [NO_RECORD]


def test_a_result_that_is_to_be_replaced_is_announced_with_the_way_to_keep_it(tmp_path, capsys):
    result = product(tmp_path, "classify", "gat")
    make(result, inputs())
    result.announce(inputs(a=3), "trained again")
    again, keep = capsys.readouterr().err.splitlines()
    assert again == "classify/gat: trained again: a 1 -> 3"
    settings = result.folder / "config.yaml"
    assert keep == f"classify/gat: to keep it, stop this and add --config {settings}, or use another --name"
    # no settings would keep what is out of date
    result.announce(inputs(image="y"), "trained again")
    assert capsys.readouterr().err == "classify/gat: trained again: image of s1 changed\n"


def test_a_result_stays_until_its_successor_is_finished(tmp_path):
    result = product(tmp_path, "classify", "gat")
    make(result, inputs(), "old")
    with (
        pytest.raises(ValueError, match="broken"),
        result.open(),
        result.writing(inputs(a=2), Settings(a=2), 0) as work,
    ):
        (work.folder / "result.txt").write_text("new")
        raise ValueError("broken")
    assert (result.folder / "result.txt").read_text() == "old" and (
        result.folder / "config.yaml"
    ).read_text() == "a: 1\n"
    assert result.unfinished.made["error"] == "broken" and result.is_current(inputs())
    assert [path.name for path in product_folders(tmp_path, "classify")] == ["gat"]
    make(result, inputs(a=2), "new")
    assert (result.folder / "result.txt").read_text() == "new"
    assert [path.name for path in (tmp_path / "classify").iterdir()] == ["gat"]


def test_what_was_begun_goes_on_with_the_same_inputs_only(tmp_path):
    result = product(tmp_path, "encoders", "vit")

    def begin(now: Inputs, **options) -> bool:
        """Whether the half of an earlier attempt is still there; leaves a half behind."""
        with result.open(), result.writing(now, Settings(), 0, **options) as work:
            is_there = (work.folder / "half").is_file()
            (work.folder / "half").touch()
        return is_there

    assert not begin(inputs())
    assert result.begun == inputs() and not result.is_finished
    assert begin(inputs())
    assert not begin(inputs(a=2))
    assert begin(inputs(a=3), is_same=lambda before: before.settings["a"] == 2)
    assert not begin(inputs(a=3), is_same=lambda _: False)


@pytest.mark.parametrize("moment", ["before the old is aside", "old is aside", "new is in place"])
def test_a_kill_during_the_replacement_loses_neither(tmp_path, moment):
    result = product(tmp_path, "encoders", "vit")
    make(result, inputs(), "old")
    shutil.copytree(result.folder, tmp_path / "copy")
    make(result, inputs(a=2), "new")
    beside, old = (result.folder.with_name(f"{mark}vit") for mark in (".next-", ".old-"))
    if moment == "new is in place":
        shutil.copytree(tmp_path / "copy", old)
    else:
        result.folder.rename(beside)
        shutil.copytree(tmp_path / "copy", result.folder if moment == "before the old is aside" else old)
    with result.open():
        assert (result.folder / "result.txt").read_text() == "new" and result.is_current(inputs(a=2))
    assert not beside.exists() and not old.exists()


def test_leftovers_are_cleared_and_a_damaged_record_is_none(tmp_path):
    result = product(tmp_path, "classify", "gat")
    make(result, inputs())
    (result.folder / "predictions").mkdir()
    (result.folder / "predictions" / ".partial-1-a.parquet").touch()
    with result.open():
        assert not list(result.folder.rglob(".partial-*"))
    for damaged in ('{"key": ', "[]", '{"inputs": {"settings": 3}}'):
        (result.folder / RECORD).write_text(damaged)
        assert result.changes(inputs()) == [NO_RECORD]


def test_lost_and_cut_files_are_noticed(tmp_path):
    result = product(tmp_path, "classify", "gat")
    make(result, inputs(), "whole")
    (result.folder / "later.html").touch()  # what others add is theirs
    assert result.is_current(inputs())
    (result.folder / "result.txt").write_text("who")
    assert result.changes(inputs()) == ["result.txt changed"]
    (result.folder / "result.txt").unlink()
    assert result.changes(inputs()) == ["result.txt gone"]


def test_one_writer_at_a_time(tmp_path):
    result = product(tmp_path, "classify", "gat")
    with result.open(), pytest.raises(CytomeshError, match="another cytomesh process"), result.open():
        pass
    with result.open(), product(tmp_path, "classify", "mlp").open(), lock(tmp_path, "graphs"):
        pass


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../..", "/abs", "a/b", "a\\b", ".hidden", "-x", "a b", "x" * 101, "a\n"]
)
def test_names_that_are_no_names(tmp_path, name):
    with pytest.raises(ConfigError, match="--name"):
        product(tmp_path, "classify", name)
    assert check_name("gat-plus_2.1+x") == "gat-plus_2.1+x"


def test_unfinished_work_in_place_is_not_finished(tmp_path):
    result = product(tmp_path, "classify", "gat")
    with result.open(), result.writing(inputs(), Settings(), 0) as work:
        (work.folder / "result.txt").touch()
    assert (result.folder / UNFINISHED).is_file() and not result.is_finished
    make(result, inputs())
    assert result.is_current(inputs()) and not (result.folder / UNFINISHED).exists()


def test_study_path_survives_a_move_of_run_and_study(tmp_path):
    with pytest.raises(MissingStageError, match="build-graph"):
        read_study_path(tmp_path)
    manifest = tmp_path / "all" / "study" / "study.yaml"
    manifest.parent.mkdir(parents=True)
    manifest.write_text("name: x")
    run = tmp_path / "all" / "run"
    write_study_path(run, manifest)
    assert read_study_path(run) == manifest
    (tmp_path / "all").rename(tmp_path / "moved")
    run = tmp_path / "moved" / "run"
    assert read_study_path(run) == tmp_path / "moved" / "study" / "study.yaml"
    read_study_path(run).unlink()
    with pytest.raises(MissingStageError, match="does not exist"):
        read_study_path(run)
