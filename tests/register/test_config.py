"""Settings of the stage."""

import pytest

from cytomesh.core.config import load_config
from cytomesh.core.errors import ConfigError
from cytomesh.register.config import Driver, RegisterConfig


def test_by_default_folds_onto_fsaverage():
    settings = load_config(RegisterConfig, None, [])
    assert (settings.template, settings.spheres, settings.drivers) == ("fsaverage", "given", [])


def test_drivers_are_read():
    settings = load_config(RegisterConfig, None, ["drivers=[{name: myelin, weight: 2}, {name: 'features:vit'}]"])
    assert settings.drivers == [Driver(name="myelin", weight=2.0), Driver(name="features:vit", weight=1.0)]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("templates=study", "template"),
        ("template=mni", "fsaverage"),
        ("stiffness=0", "stiffness"),
        ("drivers=[{name: myelin, weight: 0}]", "weight"),
        ("drivers=[{name: myelin, components: 0}]", "components"),
        ("limits.area_log2=-1", "area_log2"),
        ("limits.folding_correlation=2", "folding_correlation"),
    ],
)
def test_what_cannot_be_is_refused(change, words):
    with pytest.raises(ConfigError, match=words):
        load_config(RegisterConfig, None, [change])
