import pytest

from cytomesh.core.config import Config
from cytomesh.core.errors import CytomeshError, MissingStageError
from cytomesh.core.files import read_json
from cytomesh.core.run import is_finished, mark_finished, read_study_path, stage_directory, write_study_path


class Settings(Config):
    a: int = 1
    """A number."""


def test_settings_and_versions_lie_beside_the_output(tmp_path):
    with stage_directory(tmp_path / "classify" / "gat", Settings(a=2), seed=4) as folder:
        assert (folder / "config.yaml").read_text() == "a: 2\n"
        facts = read_json(folder / "provenance.json")
    assert facts["seed"] == 4
    assert facts["packages"]["numpy"][0].isdigit()


def test_one_writer_at_a_time(tmp_path):
    with (
        stage_directory(tmp_path, Settings(), 0),
        pytest.raises(CytomeshError, match="another cytomesh process"),
        stage_directory(tmp_path, Settings(), 0),
    ):
        pass


def test_finished_pieces_are_known_by_key(tmp_path):
    marker = tmp_path / "piece.json"
    assert not is_finished(marker, "k1")
    mark_finished(marker, "k1")
    assert is_finished(marker, "k1")
    assert not is_finished(marker, "k2")
    marker.write_text('{"key": ')
    assert not is_finished(marker, "k1")


def test_study_path(tmp_path):
    with pytest.raises(MissingStageError, match="build-graph"):
        read_study_path(tmp_path)
    manifest = tmp_path / "study.yaml"
    manifest.write_text("name: x")
    write_study_path(tmp_path, manifest)
    assert read_study_path(tmp_path) == manifest
    manifest.unlink()
    with pytest.raises(MissingStageError, match="does not exist"):
        read_study_path(tmp_path)
