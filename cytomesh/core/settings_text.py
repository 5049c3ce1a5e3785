"""Every setting of a stage as YAML: names, defaults, and what they mean."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined, to_jsonable_python

from cytomesh.core.config import Config, models_of, presets
from cytomesh.core.registry import NameOf, Sections

WIDTH = 120
INDENT = "  "


def settings_text(kind: type[Config], values: Config | None = None) -> str:
    """Return a YAML file of all settings, at their defaults or as given, with their documentation as comments.

    It can be given as it is, or with lines changed or removed. What is not chosen (another model, another objective)
    is commented out.
    """
    lines = _comment(kind.__doc__ or "")
    if kind.presets:
        lines += _comment(f"Presets, for --config: {', '.join(presets(kind.presets))}.")
    lines.append("")
    for name, field in kind.model_fields.items():
        if is_empty(field):
            continue
        lines += [*_setting(name, field, default_of(field) if values is None else getattr(values, name)), ""]
    return "\n".join(lines)


def _setting(name: str, field: FieldInfo, value: Any) -> Iterator[str]:
    yield from _comment(f"{field.description or ''}{choices(field)}")
    chosen = None
    if isinstance(value, BaseModel):
        chosen = type(value)
        yield from _group(name, chosen, value, about_of(field, chosen))
    elif isinstance(value, list | tuple) and value and isinstance(value[0], BaseModel):
        yield f"{_key(name)}:"
        yield from (f"- {flow(item)}" for item in value)
    elif not (value is None and models_of(field)):
        yield f"# {name}: (to be given)" if value is PydanticUndefined else f"{_key(name)}: {flow(value)}"
    for other in models_of(field):
        if other is not chosen:
            yield from (f"# {line}" for line in _group(name, other, None, about_of(field, other)))


def _group(name: str, kind: type[BaseModel], values: BaseModel | None, about: str) -> Iterator[str]:
    yield f"{_key(name)}:"
    yield from (f"{INDENT}{line}" for line in _comment(about))
    for key, field in kind.model_fields.items():
        value = default_of(field) if values is None else getattr(values, key)
        if is_empty(field):
            if isinstance(values, Sections) and value is not None:  # chosen, without settings of its own
                yield f"{INDENT}{_key(key)}: {{}}"
            continue
        yield from (f"{INDENT}{line}" for line in _setting(key, field, value))


def about_of(field: FieldInfo, kind: type[BaseModel]) -> str:
    """Return what a model is, where its setting may hold others, or does not say it."""
    has_alternatives = len(models_of(field)) > 1
    return (kind.__doc__ or "").partition("\n")[0] if has_alternatives or not field.description else ""


def is_empty(field: FieldInfo) -> bool:
    """Whether there is nothing to set: settings of other packages where none is installed."""
    models = models_of(field)
    return bool(models) and not any(model.model_fields for model in models)


def _key(name: str) -> str:
    """Return a name as YAML reads it, `null` as well."""
    return name if yaml.safe_load(name) == name else f"'{name}'"


def default_of(field: FieldInfo) -> Any:
    """Return the default; of what tells kinds of settings apart, its (first) value."""
    value = field.get_default(call_default_factory=True)
    if value is PydanticUndefined and get_origin(field.annotation) is Literal:
        return get_args(field.annotation)[0]
    return value


def choices(field: FieldInfo) -> str:
    """Return the words that can be chosen, where the documentation does not name them all."""
    literals = [part for part in (field.annotation, *get_args(field.annotation)) if get_origin(part) is Literal]
    names = [str(word) for part in literals for word in get_args(part)]
    for item in field.metadata:
        if isinstance(item, NameOf):
            names += [*item.registry, *item.others]
    known = field.description or ""
    return "" if len(names) < 2 or all(word in known for word in names) else f" One of: {', '.join(names)}."


def flow(value: Any) -> str:
    """Return a value as YAML, in one line."""
    plain = to_jsonable_python(value)
    text = yaml.safe_dump([plain], default_flow_style=True, allow_unicode=True, width=10**6, sort_keys=False)
    return text.strip()[1:-1]


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(" ".join(text.split()), WIDTH - 2)]
