"""Configuration: YAML files and `--set a.b=c` overrides into frozen pydantic models that refuse unknown keys."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from cytomesh.core.errors import ConfigError, CytomeshError, did_you_mean
from cytomesh.core.progress import warn
from cytomesh.core.reading import regular_size
from cytomesh.core.renamed import say_renamed
from cytomesh.core.shipped import shipped
from cytomesh.core.yaml_loader import load_yaml

# The largest manifests, of thousands of brains, have one; PyYAML reads some hundred kilobytes a second.
MAX_BYTES = 4_000_000
CHOICES = {"literal_error": "expected", "enum": "expected", "union_tag_invalid": "expected_tags"}
"""Kinds of pydantic's problems with a word that is none of several, and where they list those."""


class Config(BaseModel):
    """Base of every configuration model: frozen, unknown keys refused, field docstrings are the documentation."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)
    renamed: ClassVar[Mapping[str, str]] = {}
    """Names that fields had before, and those that they have now."""
    presets: ClassVar[str] = ""
    """Folder of shipped settings, `configs/<presets>/`, of models that are the settings of a command."""

    @model_validator(mode="before")
    @classmethod
    def _by_current_names(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not cls.renamed.keys() & data.keys():
            return data
        for old, new in cls.renamed.items():
            if old in data and new in data:
                raise ValueError(f"both {new} and {old}, its former name")
            if old in data:
                say_renamed(old, new)
        return {cls.renamed.get(name, name): value for name, value in data.items()}


Seed = Annotated[int, Field(ge=0, lt=2**63)]
"""Seed of a stage's random numbers."""

Size = Annotated[int, Field(ge=1, le=65536)]
"""What arrays are allocated by: the side of a patch, the width of a layer, the patches of a batch."""


ConfigT = TypeVar("ConfigT", bound=BaseModel)


def load_config(kind: type[ConfigT], path: Path | None = None, overrides: Sequence[str] = ()) -> ConfigT:
    """Read a YAML file, or the preset of that name, apply `a.b=c` overrides (values are YAML) and validate.

    Raises
    ------
    ConfigError
        With every problem found, each with its field, and the nearest known key for an unknown one; of a name that is
        neither a file nor a preset, the nearest one.
    """
    path = path and _file_or_preset(kind, path)
    source = str(path) if path else "--set"
    data = read_yaml(path, ConfigError) if path else {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or not key:
            raise ConfigError("--set", override, expected="KEY.SUBKEY=VALUE")
        try:
            value = load_yaml(text)
        except yaml.YAMLError as cause:
            found = f"a value that is not YAML ({_fault(cause)[1]})"
            hint = "put text in quotes: KEY='\"text\"'"
            raise ConfigError("--set", override, found=found, expected="KEY.SUBKEY=VALUE", hint=hint) from cause
        _assign(data, key.split("."), value, override)
    if path and overrides:
        source = f"{path} with --set {' '.join(overrides)}"[:500]
    return validate(kind, data, source, ConfigError)


def preset(stage: str, name: str) -> Path:
    """Return the path of a shipped settings file, `configs/<stage>/<name>.yaml`."""
    known = presets(stage)
    if name not in known:
        hint = did_you_mean(name, known, "check the name")
        expected = f"one of {', '.join(known)}"
        raise ConfigError(name, found=f"neither a file nor a preset of {stage}", expected=expected, hint=hint)
    return known[name]


def presets(stage: str) -> dict[str, Path]:
    """Return the shipped settings files of a stage by name."""
    return {file.stem: file for file in sorted((shipped("configs") / stage).glob("*.yaml"))}


def _file_or_preset(kind: type[BaseModel], path: Path) -> Path:
    """Return a file as it is, and the shipped one for a bare name that is none."""
    stage = kind.presets if issubclass(kind, Config) else ""
    if path.is_file() or not presets(stage) or path.name != str(path):
        return path
    return preset(stage, path.name.removesuffix(".yaml"))


def read_yaml(path: Path, error: type[CytomeshError]) -> dict[str, Any]:
    """Read a YAML mapping; an empty file is an empty mapping.

    Raises
    ------
    CytomeshError
        Of the kind `error`, with the line: what `load_yaml` refuses, and files larger than `MAX_BYTES`.
    """
    try:
        size = regular_size(path)
        if size > MAX_BYTES:
            found = f"a file of {size / 1e6:,.0f} MB"
            raise error(
                path, found=found, expected=f"settings, at most {MAX_BYTES / 1e6:,.0f} MB", hint="check the path"
            )
        data = load_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as cause:
        raise error(path, found="no such file", hint="check the path") from cause
    except (OSError, UnicodeDecodeError) as cause:
        raise error(path, found=f"a file that cannot be read as text ({cause})") from cause
    except yaml.YAMLError as cause:
        place, text = _fault(cause)
        raise error(path, place, found=f"invalid YAML ({text})", hint="correct this line") from cause
    if data is None:
        return {}
    if not isinstance(data, dict):
        raise error(path, found=f"a YAML {type(data).__name__}", expected="keys and values")
    return data


def validate(kind: type[ConfigT], data: dict[str, Any], source: str, error: type[CytomeshError]) -> ConfigT:
    """Validate `data`, turning pydantic's list of problems into one error that names each field."""
    try:
        return kind.model_validate(data)
    except ValidationError as cause:
        hint = "correct the keys named above"
        raise error(source, found="; ".join(describe(kind, cause)), hint=hint) from cause


def validate_stored(kind: type[ConfigT], data: dict[str, Any], source: str, error: type[CytomeshError]) -> ConfigT:
    """Validate settings that a result was stored with: unknown keys, of another version, are left out and logged.

    Never for settings that a user gives, where an unknown key is a mistake.
    """
    try:
        return kind.model_validate(data)
    except ValidationError as cause:
        unknown = [item["loc"] for item in cause.errors() if item["type"] == "extra_forbidden"]
    known = copy.deepcopy(data)
    for location in unknown:
        _remove(known, location)
    if unknown:
        warn(f"{source}: unknown keys, left out: {', '.join('.'.join(map(str, location)) for location in unknown)}")
    return validate(kind, known, source, error)


def describe(kind: type[BaseModel], cause: ValidationError) -> list[str]:
    """Return one line per problem, each with its field, and the nearest known key for an unknown one."""
    return [_problem(kind, item["loc"], item) for item in cause.errors()]


def fill_pattern(setting: str, pattern: str, **words: str | int) -> str:
    """Fill words into a pattern of file names, "maps/{graph}.csv".

    Raises
    ------
    ConfigError
        If it has other words, or is none.
    """
    try:
        return pattern.format(**words)
    except (KeyError, IndexError, ValueError, AttributeError) as cause:
        expected = f"a pattern with {' and '.join(f'{{{word}}}' for word in words)}"
        if numbers := [word for word, value in words.items() if isinstance(value, int)]:
            expected += f", or {{{numbers[0]}:04d}} for four digits"
        unknown = isinstance(cause, KeyError)
        found = f"unknown word {{{cause.args[0]}}}" if unknown else f"{type(cause).__name__}: {cause}"
        hint = did_you_mean(cause.args[0], words) if unknown else ""
        raise ConfigError(setting, pattern, found=found, expected=expected, hint=hint) from cause


def ascending(numbers: list[int], least: int, what: str) -> list[int]:
    """Refuse numbers out of order, for validators."""
    if numbers != sorted(set(numbers)) or min(numbers, default=least) < least:
        raise ValueError(f"{what} must be ascending, {least} or more")
    return numbers


def write_config(settings: BaseModel) -> str:
    """Return the resolved configuration as YAML text."""
    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _fault(cause: yaml.YAMLError) -> tuple[str, str]:
    """Return the place of a fault, if it has one, and what it is."""
    mark = getattr(cause, "problem_mark", None)
    text = (getattr(cause, "problem", None) or str(cause)) if mark else str(cause)
    return (f"line {mark.line + 1}" if mark else "", " ".join(text.split())[:200])


def _assign(data: dict[str, Any], keys: list[str], value: Any, override: str) -> None:
    for key in keys[:-1]:
        data = data.setdefault(key, {})
        if not isinstance(data, dict):
            raise ConfigError("--set", override, found=f"'{key}' is a value", expected="a group of keys")
    data[keys[-1]] = value


def _remove(data: Any, location: tuple[int | str, ...]) -> None:
    for part in location[:-1]:
        if isinstance(part, int) or part in data:  # the tag of a union is in the location, not in the data
            data = data[part]
    del data[location[-1]]


def _problem(kind: type[BaseModel], location: tuple[int | str, ...], item: Any) -> str:
    field = ".".join(str(part) for part in location)
    if item["type"] != "extra_forbidden":
        said = str(item["ctx"]["error"]) if item["type"] == "value_error" else item["msg"]
        if item["type"] == "string_type" and isinstance(item["input"], dict):
            said += "; text with a colon needs quotes, '[\"name:column\"]'"
        if item["type"] in CHOICES:
            facts = item["ctx"]
            words = re.findall("'([^']*)'", facts[CHOICES[item["type"]]])
            near = did_you_mean(str(facts.get("tag", item["input"])), words)
            said += f"; {near}" if near else ""
        if item["type"] == "union_tag_invalid":
            if facts["tag"] in ("True", "False"):
                said += "; YAML reads yes, no, on and off as true and false: a name like that needs quotes"
            said += "; a kind that another package adds needs that package installed"
        # what concerns several fields names them itself
        if item["type"] not in ("value_error", "missing") or not isinstance(item["input"], dict | BaseModel):
            said += f" (got {str(item['input'])[:60]!r})"
        return f"{field}: {said}" if field else said
    known, own = _known_keys(kind, location[:-1]), str(location[-1])
    if deeper := _paths_of(own, kind):
        return f"unknown key '{field}', did you mean {' or '.join(map(repr, deeper))}?"
    way_out = did_you_mean(own, known, f"known: {', '.join(known) or 'none'}")
    return f"unknown key '{field}', {way_out}"


def _paths_of(name: str, kind: type[BaseModel], above: tuple[type[BaseModel], ...] = ()) -> list[str]:
    """Return where settings have a key of a name, as `--set` takes it; items of lists have no such name."""
    found = [name] if name in kind.model_fields else []
    for key, field in kind.model_fields.items():
        is_list = get_origin(field.annotation) in (list, tuple, dict)
        below = [] if is_list else [model for model in models_of(field) if model not in (kind, *above)]
        found += [f"{key}.{path}" for model in below for path in _paths_of(name, model, (kind, *above))]
    return list(dict.fromkeys(found))


def _known_keys(kind: type[BaseModel], location: tuple[int | str, ...]) -> list[str]:
    models = [kind]
    for part in location:
        fields = [m.model_fields[part] for m in models if isinstance(part, str) and part in m.model_fields]
        # list indices, mapping keys and union tags in the location do not change the model
        models = [model for field in fields for model in models_of(field)] or models
    return sorted({name for model in models for name in model.model_fields})


def models_of(field: FieldInfo) -> list[type[BaseModel]]:
    """Return the models that a setting may hold: of every implementation where a registry knows them."""
    kinds = [model for item in field.metadata if hasattr(item, "configs") for model in item.configs()]
    return kinds or _models_in(field.annotation)


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _models_in(argument)]
