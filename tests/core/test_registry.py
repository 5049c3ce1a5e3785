"""Registries find what installed packages add, and name what is wrong with it."""

from __future__ import annotations

import sys
from typing import Annotated, Literal

import pytest
from pydantic import ValidationError

from cytomesh.core.config import Config, validate
from cytomesh.core.errors import ConfigError, PluginError
from cytomesh.core.registry import EachOf, NameOf, OneOf, Registry, Sections

GROUP = "cytomesh.tests"


class ShapeConfig(Config):
    kind: str


class Shape:
    Config = ShapeConfig


class CircleConfig(ShapeConfig):
    kind: Literal["circle"]
    radius: float = 1.0


class Circle(Shape):
    Config = CircleConfig


class SquareConfig(ShapeConfig):
    kind: Literal["square"]
    side: float = 1.0


class Square(Shape):
    Config = SquareConfig


OWN = {"circle": f"{__name__}:Circle", "square": f"{__name__}:Square"}


@pytest.fixture(autouse=True)
def this_module(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Put a package with entry points and a module on the path, as pip does."""

    def put(entries: str, module: str = "") -> Registry[Shape]:
        facts = tmp_path / "shapes_plugin-1.0.dist-info"
        facts.mkdir()
        (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: shapes-plugin\nVersion: 1.0\n")
        (facts / "entry_points.txt").write_text(f"[{GROUP}]\n{entries}\n")
        (tmp_path / "shapes_plugin.py").write_text(module)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "shapes_plugin", raising=False)
        return Registry(GROUP, Shape, OWN)

    return put


STAR = f"""
import sys
from typing import Literal
base = sys.modules[{__name__!r}]
class StarConfig(base.ShapeConfig):
    kind: Literal["star"]
    points: int = 5
class Star(base.Shape):
    Config = StarConfig
"""


def test_own_ones_are_there_without_any_package():
    registry = Registry(GROUP, Shape, OWN)
    assert list(registry) == ["circle", "square"]
    assert registry["circle"] is Circle
    assert "star" not in registry
    with pytest.raises(KeyError):
        registry["star"]


def test_a_package_s_stands_beside_them_and_in_the_settings(install):
    registry = install("star = shapes_plugin:Star", STAR)
    assert list(registry) == ["circle", "square", "star"]

    class Drawing(Config):
        shape: Annotated[ShapeConfig, OneOf(registry)]

    drawing = Drawing.model_validate({"shape": {"kind": "star", "points": 7}})
    assert drawing.shape.points == 7
    assert drawing.model_dump() == {"shape": {"kind": "star", "points": 7}}
    with pytest.raises(ConfigError, match="unknown key 'shape.star.point', did you mean 'points'"):
        validate(Drawing, {"shape": {"kind": "star", "point": 7}}, "x", ConfigError)


@pytest.mark.parametrize(
    ("entries", "module", "message"),
    [
        ("circle = shapes_plugin:Star", STAR, "circle.*which is there already"),
        ("star = shapes_plugin:Star", "import no_such_module", "shapes-plugin.*star.*no_such_module"),
        ("star = shapes_plugin:Moon", STAR, "shapes-plugin.*Moon"),
        ("star = shapes_plugin:Star", "class Star: pass", "expected a Shape"),
        ("star = shapes_plugin:Star", STAR.replace("Config = StarConfig", "Config = dict"), "a cytomesh Config"),
    ],
)
def test_what_cannot_be_used_names_the_package(install, entries, module, message):
    registry = install(entries, module)
    with pytest.raises(PluginError, match=message):
        registry["star"]


def test_settings_of_another_name_are_refused(install):
    registry = install("sun = shapes_plugin:Star", STAR)
    with pytest.raises(PluginError, match=r"sun.*Literal\['sun'\]"):
        OneOf(registry).configs()


def test_two_packages_of_one_name_are_both_named_again_and_again(install, tmp_path):
    registry = install("star = shapes_plugin:Star", STAR)
    facts = tmp_path / "other_plugin-2.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: other-plugin\nVersion: 2.0\n")
    (facts / "entry_points.txt").write_text(f"[{GROUP}]\nstar = shapes_plugin:Star\n")
    for _ in range(2):
        with pytest.raises(PluginError) as raised:
            registry["star"]
        assert "shapes-plugin" in str(raised.value) and "other-plugin" in str(raised.value)


def test_settings_of_two_registries_have_different_names():
    with pytest.raises(PluginError, match=r"cytomesh\.more: circle: found 'circle', which cytomesh\.tests has, too"):
        OneOf(Registry(GROUP, Shape, OWN), Registry("cytomesh.more", Shape, OWN)).configs()


def test_a_name_is_checked(caplog):
    class Choice(Config):
        shape: Annotated[str, NameOf(Registry(GROUP, Shape, OWN), "none", renamed={"round": "circle"})] = "circle"

    assert Choice(shape="none").shape == "none"
    assert Choice(shape="round").shape == "circle"
    with pytest.raises(ValidationError, match="did you mean 'square'"):
        Choice(shape="squar")


def test_sections_and_what_is_not_asked_for(install):
    each = EachOf(install("star = shapes_plugin:Star", STAR), __name__, "ShapesConfig")

    class Picture(Config):
        shapes: Annotated[Sections, each]

    picture = Picture.model_validate({"shapes": {"circle": {"kind": "circle"}}})
    assert list(picture.shapes.named()) == ["circle"]
    assert picture.shapes.of(CircleConfig).radius == 1.0
    assert picture.shapes.of(SquareConfig) is None
    # cytomesh's own are in the settings as they were; nothing goes stale by the installation of a package
    assert picture.model_dump() == {"shapes": {"circle": {"kind": "circle", "radius": 1.0}, "square": None}}
    with pytest.raises(ConfigError, match="unknown key 'shapes.stars', did you mean 'star'"):
        validate(Picture, {"shapes": {"stars": {}}}, "x", ConfigError)
