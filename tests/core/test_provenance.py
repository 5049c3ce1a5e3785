from pydantic import Field

from cytomesh.core.config import Config
from cytomesh.core.digests import FileDigests
from cytomesh.core.provenance import (
    Inputs,
    Record,
    find,
    flat_settings,
    look_again,
    place,
    read_record,
    write_record,
)


class Schedule(Config):
    steps: int = 300
    rate: float = 0.1


class Settings(Config):
    schedule: Schedule = Schedule()
    sizes: tuple[int, ...] = (1, 2)
    classes: dict[str, int] = Field(default_factory=dict)
    device: str = "cpu"


INPUTS = Inputs(
    {"schedule.steps": 300, "sizes": (1, 2)},
    {"row: B01 section 1": "r1", "affine": [[1.0, 0.0]]},
    {f"image: B01 section {i}": (f"study:{i}.png", f"d{i}") for i in range(6)},
    {"image links: B01_hemi-L": ("graphs/B01_hemi-L", "image links", "p")},
)


def test_settings_are_flat_and_without_what_changes_nothing():
    assert flat_settings(Settings(), {"device"}) == {
        "schedule.steps": 300,
        "schedule.rate": 0.1,
        "sizes": [1, 2],
        "classes": {},
    }


def test_the_key_depends_on_content_not_on_places_or_order():
    moved = {name: ("file:/elsewhere.png", content) for name, (_, content) in reversed(INPUTS.files.items())}
    assert Inputs(INPUTS.settings, INPUTS.values, moved, INPUTS.products).key == INPUTS.key
    others = [
        Inputs({**INPUTS.settings, "sizes": (1, 3)}, INPUTS.values, INPUTS.files, INPUTS.products),
        Inputs(INPUTS.settings, {**INPUTS.values, "row: B01 section 1": "r2"}, INPUTS.files, INPUTS.products),
        Inputs(INPUTS.settings, INPUTS.values, dict(list(INPUTS.files.items())[1:]), INPUTS.products),
        Inputs(INPUTS.settings, INPUTS.values, INPUTS.files, {}),
    ]
    assert len({INPUTS.key, *(other.key for other in others)}) == 5


def test_a_record_comes_back_as_it_was(tmp_path):
    record = Record("classify", "gat", INPUTS, {"model": "m"}, {"a.json": 3}, {"seed": 3}, 1.5)
    write_record(tmp_path / "provenance.json", record)
    again = read_record(tmp_path / "provenance.json")
    assert again is not None and again.inputs.key == INPUTS.key and again.inputs.changes(INPUTS) == []
    assert INPUTS.changes(again.inputs) == [] and again.outputs == {"model": "m"} and again.made == {"seed": 3}


def test_changes_in_words():
    files = {name: (where, content + "!") for name, (where, content) in INPUTS.files.items()}
    now = Inputs({"schedule.steps": 160, "sizes": [1, 2], "rate": None}, INPUTS.values, files, {})
    assert INPUTS.changes(now) == [
        "schedule.steps 300 -> 160",
        "image of B01 section 0, B01 section 1, B01 section 2 and 3 more changed",
        "image links of B01_hemi-L gone",
    ]
    assert now.changed_data(INPUTS)[-1] == "image links of B01_hemi-L new"
    maps = Inputs(files={"probability maps": ("study:a", "1")})
    assert maps.changes(Inputs(files={"probability maps": ("study:a", "2")})) == ["probability maps changed"]
    own, new = (Inputs(files={"imported file: features 1": ("file:/data/lh.values.npy", c)}) for c in "12")
    assert own.changes(new) == ["imported file of features 1 (lh.values.npy) changed"]


def test_parts_of_inputs():
    assert INPUTS.without("sizes").settings == {"schedule.steps": 300}
    some = INPUTS.of_kinds("image links", "row")
    assert (list(some.settings), list(some.values), list(some.files)) == ([], ["row: B01 section 1"], [])
    assert list(some.products) == ["image links: B01_hemi-L"]
    both = some.merge(Inputs({"a": 1}, files={"image: x": ("run:x", "d")}))
    assert both.settings == {"a": 1} and list(both.files) == ["image: x"] and both.products == some.products


def test_places_move_with_run_and_study(tmp_path):
    run, study = tmp_path / "run", tmp_path / "study"
    for folder in (run, study, tmp_path / "images"):
        folder.mkdir()
    paths = [run / "graphs" / "a", study / "sub" / "1.png", tmp_path / "images" / "2.png"]
    places = [place(path, run, study) for path in paths]
    assert places == ["run:graphs/a", "study:sub/1.png", "study:../images/2.png"]
    assert [find(where, run, study).resolve() for where in places] == paths  # type: ignore[union-attr]
    assert find("study:1.png", run, None) is None
    assert place(study / "w.safetensors", run) == f"file:{study / 'w.safetensors'}"


def test_look_again_sees_files_of_now(tmp_path):
    run, study = tmp_path / "run", tmp_path / "study"
    for folder in (run, study):
        folder.mkdir()
    digests = FileDigests()
    (study / "1.png").write_text("1")
    inputs = Inputs({"a": 1}, files={"image: s1": ("study:1.png", digests.digest(study / "1.png"))})
    assert inputs.changes(look_again(inputs, run, study, digests)) == []
    (study / "1.png").write_text("2")
    assert inputs.changes(look_again(inputs, run, study, digests)) == ["image of s1 changed"]
    assert inputs.changes(look_again(inputs, run, None, digests)) == []  # not here: nothing can be said
