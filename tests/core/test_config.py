from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import Field, model_validator

from cytomesh.core.config import Config, Seed, fill_pattern, load_config, preset, validate_stored, write_config
from cytomesh.core.errors import CheckpointError, ConfigError
from cytomesh.core.progress import speak


class Kernel(Config):
    sigma_mm: float = Field(3.0, gt=0)
    """Width."""


class Round(Config):
    kind: Literal["round"]
    radius_mm: float = 1.0
    """Radius."""


class Square(Config):
    kind: Literal["square"]
    side_mm: float = 1.0
    """Side."""


class Range(Config):
    low: float = 0.0
    """Low."""
    high: float = 1.0
    """High."""

    @model_validator(mode="after")
    def _ordered(self):
        if self.low > self.high:
            raise ValueError(f"low is above high ({self.low:g} > {self.high:g})")
        return self


class Settings(Config):
    range: Range = Range()
    """Range."""
    seed: Seed = 0
    """Seed."""
    kernel: Kernel = Kernel()
    """Kernel."""
    layers: tuple[Kernel, ...] = ()
    """Layers."""
    names: tuple[str, ...] = ()
    """Names."""
    shape: Annotated[Round | Square, Field(discriminator="kind")] = Round(kind="round")
    """Shape."""


def test_file_then_overrides(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("seed: 3\nkernel: {sigma_mm: 2}\n")
    settings = load_config(Settings, path, ["kernel.sigma_mm=1.5"])
    assert (settings.seed, settings.kernel.sigma_mm) == (3, 1.5)
    assert yaml.safe_load(write_config(settings))["kernel"] == {"sigma_mm": 1.5}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede: 1", "unknown key 'sede', did you mean 'seed'"),
        ("kernel: {sigma: 1}", "unknown key 'kernel.sigma', did you mean 'sigma_mm'"),
        ("layers: [{sigma: 1}]", "unknown key 'layers.0.sigma', did you mean 'sigma_mm'"),
        ("sigma_mm: 1", r"unknown key 'sigma_mm', did you mean 'kernel\.sigma_mm'\?"),
        ("kernel: {sigma_mm: -1}", "kernel.sigma_mm: .*greater than 0"),
        ("kernel: [", "invalid YAML"),
        ("seed: 1\nkernel: {}\nseed: 2", "line 3: found invalid YAML .key 'seed' is given twice, first in line 1"),
        (
            "shape: {kind: no}",
            "'False'.*YAML reads yes, no, on and off as true and false: a name like that needs quotes",
        ),
        ("seed: -1", "seed: .*greater than or equal to 0"),
        ("kernel: {sigma_mm: .inf}", "kernel.sigma_mm: .*finite"),
        ("kernel: {sigma_mm: .nan}", "kernel.sigma_mm: .*finite"),
        ("names: [c1:]", r"names.0: .*text with a colon needs quotes.*got \"{'c1': None}\""),
        ("- 1", "a YAML list"),
    ],
)
def test_bad_files_name_file_and_field(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"bad\.yaml.*{message}"):
        load_config(Settings, path)


def test_what_concerns_several_fields_is_said_in_its_own_words():
    with pytest.raises(ConfigError, match=r"^--set: found range: low is above high \(3 > 1\)\. Way out"):
        load_config(Settings, None, ["range.low=3"])
    with pytest.raises(ConfigError, match=r"^--set: found low is above high \(3 > 1\)\. Way out"):
        load_config(Range, None, ["low=3"])


def test_patterns_of_file_names_say_which_word_is_unknown():
    assert fill_pattern("files", "maps/{graph}.csv", graph="B01_L") == "maps/B01_L.csv"
    with pytest.raises(ConfigError, match=r"files: maps/{grph}: found unknown word {grph}.*did you mean 'graph'"):
        fill_pattern("files", "maps/{grph}", graph="B01_L")


def test_all_problems_at_once(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("sede: 1\nkernel: {sigma_mm: x}\n")
    with pytest.raises(ConfigError, match="kernel.sigma_mm.*sede"):
        load_config(Settings, path)


def test_files_too_large_for_settings_are_not_read(tmp_path):
    path = tmp_path / "large.yaml"
    with path.open("wb") as stream:
        stream.truncate(100_000_000)
    with pytest.raises(ConfigError, match=r"large\.yaml: found a file of 100 MB, expected settings"):
        load_config(Settings, path)


SETTINGS = [
    "seed",
    "=1",
    "seed.a=1",
    "seed=[",
    "seed=*x",
    "seed=-1",
    "seed=inf",
    "seed=.inf",
    "seed='",
    "seed={a: 1, a: 2}",
]
SETTINGS += [
    "seed=2020-13-45",
    "seed=!!python/name:os",
    "seed=\0",
    "seed=" + "[" * 3000,
    "a..b=1",
    ".=1",
    "kernel.sigma_mm=.nan",
]


@pytest.mark.parametrize("override", SETTINGS)
def test_bad_overrides(tmp_path, override):
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1")
    with pytest.raises(ConfigError) as caught:
        load_config(Settings, path, [override])
    assert ("--set" in str(caught.value) or str(path) in str(caught.value)) and "\n" not in str(caught.value)


def test_presets_are_found_and_near_ones_named():
    assert preset("pretrain", "tiny").name == "tiny.yaml"
    with pytest.raises(ConfigError, match=r"one of .*simclr.*, tiny.*did you mean 'tiny'\?"):
        preset("pretrain", "tniy")


class Tiny(Settings):
    presets = "tiny"


def test_a_bare_name_is_a_preset_unless_there_is_such_a_file(tmp_path, monkeypatch):
    monkeypatch.setattr("cytomesh.core.shipped.__file__", str(tmp_path / "cytomesh" / "core" / "shipped.py"))
    monkeypatch.chdir(tmp_path)
    for name, seed in (("a", 1), ("b", 2)):
        file = tmp_path / "cytomesh" / "configs" / "tiny" / f"{name}.yaml"  # as in a wheel
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"seed: {seed}")
    for given in ("a", "a.yaml"):
        assert load_config(Tiny, Path(given), ["kernel.sigma_mm=2"]) == Tiny(seed=1, kernel=Kernel(sigma_mm=2.0))
    Path("a").write_text("seed: 7")
    assert load_config(Tiny, Path("a")).seed == 7
    Path("b").mkdir()  # such as a run of that name
    assert load_config(Tiny, Path("b")).seed == 2
    for other in (Path("sub/b"), tmp_path / "c"):  # paths are never names
        with pytest.raises(ConfigError, match="no such file"):
            load_config(Tiny, other)
    with pytest.raises(ConfigError, match="neither a file nor a preset of tiny, expected one of a, b"):
        load_config(Tiny, Path("c"))
    with pytest.raises(ConfigError, match="no such file"):
        load_config(Settings, Path("c"))  # without presets


STORED = {
    "seed": 3,
    "sede": 1,
    "kernel": {"sigma_mm": 2.0, "sigma": 1},
    "layers": [{"sigma_mm": 1.0}, {"sigma_mm": 2.0, "old": {"a": 1}}],
    "shape": {"kind": "square", "side_mm": 4.0, "corners": 4},
}


def test_unknown_keys_of_stored_settings_are_left_out_and_logged(capsys):
    speak()
    before = str(STORED)
    settings = validate_stored(Settings, STORED, "model.json", CheckpointError)
    assert (settings.seed, settings.kernel.sigma_mm, settings.layers[1].sigma_mm) == (3, 2.0, 2.0)
    assert settings.shape == Square(kind="square", side_mm=4.0)
    assert str(STORED) == before
    expected = "model.json: unknown keys, left out: kernel.sigma, layers.1.old, shape.square.corners, sede\n"
    assert capsys.readouterr().err == expected
    validate_stored(Settings, {"seed": 1}, "model.json", CheckpointError)
    assert capsys.readouterr().err == ""


def test_wrong_values_of_stored_settings_are_refused():
    with pytest.raises(CheckpointError, match=r"model\.json: found kernel\.sigma_mm: .*greater than 0"):
        validate_stored(Settings, {"sede": 1, "kernel": {"sigma_mm": -1.0}}, "model.json", CheckpointError)
