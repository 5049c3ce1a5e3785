import pickle

from cytomesh.core.errors import ContourError, CytomeshError, ImageError, MissingStageError


def test_message_names_file_place_expectation_and_way_out():
    error = ContourError(
        "sub-01.geojson",
        "feature 3 ('pial_L')",
        found="a ring of two points",
        expected="closed rings",
        hint="draw it again",
    )
    assert str(error) == (
        "sub-01.geojson: feature 3 ('pial_L'): found a ring of two points, expected closed rings."
        " Way out: draw it again"
    )


def test_a_question_ends_as_one():
    error = CytomeshError("--set", found="unknown key 'depth', did you mean 'depths'?", hint="correct it")
    assert str(error) == "--set: found unknown key 'depth', did you mean 'depths'? Way out: correct it"


def test_errors_are_also_builtins():
    assert issubclass(ContourError, ValueError)
    assert isinstance(ImageError("a.png", found="nothing"), OSError)
    assert str(MissingStageError("runs/x", found="no graph")) == "runs/x: found no graph"


def test_errors_cross_process_boundaries():
    for kind in (CytomeshError, ContourError, ImageError):
        error = kind("a", "b", found="c", expected="d", hint="e")
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is kind
        assert str(copy) == str(error)


def test_paths_are_shown_as_people_write_them(tmp_path):
    (tmp_path / "study").mkdir()
    (tmp_path / "far" / "study").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far" / "study")
    path = tmp_path / "study" / ".." / "images" / "s1.png"
    assert CytomeshError(path).source == f"{tmp_path}/images/s1.png"
    behind = tmp_path / "link" / ".." / "images" / "s1.png"  # in far/images
    assert CytomeshError(behind).source == str(behind)
    for other in ("../images/s1.png", "https://host/study/../s1.png", "label table"):
        assert CytomeshError(other).source == other
