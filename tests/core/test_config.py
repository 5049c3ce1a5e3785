import pytest
import yaml
from pydantic import Field

from cytomesh.core.config import Config, load_config, preset, write_config
from cytomesh.core.errors import ConfigError


class Kernel(Config):
    sigma_mm: float = Field(3.0, gt=0)
    """Width."""


class Settings(Config):
    seed: int = 0
    """Seed."""
    kernel: Kernel = Kernel()
    """Kernel."""
    layers: tuple[Kernel, ...] = ()
    """Layers."""


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
        ("kernel: {sigma_mm: -1}", "kernel.sigma_mm: .*greater than 0"),
        ("kernel: [", "invalid YAML"),
        ("- 1", "a YAML list"),
    ],
)
def test_bad_files_name_file_and_field(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"bad\.yaml.*{message}"):
        load_config(Settings, path)


def test_all_problems_at_once(tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text("sede: 1\nkernel: {sigma_mm: x}\n")
    with pytest.raises(ConfigError, match="kernel.sigma_mm.*sede"):
        load_config(Settings, path)


@pytest.mark.parametrize("override", ["seed", "=1", "seed.a=1"])
def test_bad_overrides(tmp_path, override):
    path = tmp_path / "a.yaml"
    path.write_text("seed: 1")
    with pytest.raises(ConfigError, match="--set"):
        load_config(Settings, path, [override])


def test_presets_are_found_and_near_ones_named():
    assert preset("pretrain", "tiny").name == "tiny.yaml"
    with pytest.raises(ConfigError, match="one of .*tiny"):
        preset("pretrain", "tniy")
