"""Kinds that others may add: cytomesh's own implementations by name, and those of installed packages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, TypeVar, Union, cast, get_args

from pydantic import Field, GetCoreSchemaHandler, SerializerFunctionWrapHandler, create_model, model_serializer
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_after_validator_function, nullable_schema

from cytomesh.core.config import Config
from cytomesh.core.errors import PluginError, did_you_mean
from cytomesh.core.renamed import say_renamed

KindT = TypeVar("KindT")
ConfigT = TypeVar("ConfigT", bound=Config)


class Registry(Mapping[str, type[KindT]], Generic[KindT]):
    """The implementations of one kind of thing, by name; each is imported when it is first asked for.

    Another package adds one with an entry point, whose name is the one that settings use::

        [project.entry-points."cytomesh.classifiers"]
        forest = "my_package.forest:Forest"

    Parameters
    ----------
    group : str
        Group of the entry points.
    base : type
        What every implementation derives from.
    own : mapping of str to str
        Name -> "module:class" of those that cytomesh brings.

    Attributes
    ----------
    own : frozenset of str
        Names of those that cytomesh brings.
    """

    def __init__(self, group: str, base: type, own: Mapping[str, str]) -> None:
        self.group, self.base = group, base
        self._places = {name: EntryPoint(name, place, group) for name, place in own.items()}
        self.own = frozenset(own)
        self._found = False
        self._loaded: dict[str, type[KindT]] = {}

    def __getitem__(self, name: str) -> type[KindT]:
        """Return an implementation.

        Raises
        ------
        KeyError
            If there is none of this name.
        PluginError
            If another package's cannot be imported, or is none.
        """
        if name not in self._loaded:
            self._loaded[name] = self._load(self._entries()[name])
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())

    def __contains__(self, name: object) -> bool:
        return name in self._entries()

    def packages(self, *names: str) -> dict[str, str]:
        """Return the package and version that brings each of some implementations: results depend on them.

        What cytomesh brings, and what is not here, is passed over.
        """
        entries = self._entries()
        added = {name: entries[name].dist for name in names if name in entries and name not in self.own}
        return {f"package of {name}": f"{dist.name} {dist.version}" for name, dist in added.items() if dist}

    def _entries(self) -> dict[str, EntryPoint]:
        if not self._found:
            found = dict(self._places)
            for entry in entry_points(group=self.group):
                if entry.name in found:
                    other, hint = found[entry.name], "give it another name, or remove one of the packages"
                    what = f"'{entry.name}', which is there already ({_place(other) if other.dist else other.value})"
                    raise PluginError(_place(entry), found=what, hint=hint)
                found[entry.name] = entry
            self._places, self._found = found, True
        return self._places

    def _load(self, entry: EntryPoint) -> type[KindT]:
        if entry.name in self.own:
            return cast("type[KindT]", getattr(import_module(entry.module), entry.attr))
        hint = "mend or remove this package"
        try:
            kind = entry.load()
        except (Exception, SystemExit) as cause:  # whatever goes wrong in somebody else's module
            raise PluginError(_place(entry), found=f"{type(cause).__name__}: {cause}", hint=hint) from cause
        if not (isinstance(kind, type) and issubclass(kind, self.base)):
            raise PluginError(_place(entry), found=repr(kind), expected=f"a {self.base.__name__}", hint=hint)
        if "suffixes" in getattr(self.base, "__annotations__", {}):
            ends = getattr(kind, "suffixes", None)
            if not (isinstance(ends, tuple) and all(isinstance(e, str) and e == e.lower() for e in ends)):
                expected = "a tuple of ends of names in lower case"
                raise PluginError(_place(entry), "suffixes", found=repr(ends), expected=expected, hint=hint)
        config = getattr(kind, "Config", None)
        if config is not None and not (isinstance(config, type) and issubclass(config, Config)):
            raise PluginError(_place(entry), "Config", found=repr(config), expected="a cytomesh Config", hint=hint)
        return cast("type[KindT]", kind)


def by_suffix(readers: Mapping[str, type[KindT]], path: Path) -> type[KindT] | None:
    """Return the reader with the longest of the `suffixes` that a file's name ends with, None if there is none.

    Raises
    ------
    PluginError
        If two readers have this one: which of them is meant?
    """
    fitting: dict[str, list[str]] = {}
    for name, reader in readers.items():
        for end in reader.suffixes:  # type: ignore[attr-defined]
            if path.name.lower().endswith(end):
                fitting.setdefault(end, []).append(name)
    if not fitting:
        return None
    longest = max(fitting, key=len)
    names = fitting[longest]
    if len(names) > 1:
        found, hint = f"readers {' and '.join(names)} of files '{longest}'", "remove one of the packages"
        raise PluginError(path, found=found, expected="one", hint=hint)
    return readers[names[0]]


class OneOf:
    """Annotation of a setting that holds the settings of one of the implementations, told apart by their `kind`.

    `Annotated[ModelConfig, OneOf(CLASSIFIERS)]` validates like the union of the `Config` classes of all classifiers.

    Parameters
    ----------
    *sources : Registry or type of Config
        Settings that belong to no registry stand for themselves.
    """

    def __init__(self, *sources: Registry[Any] | type[Config]) -> None:
        self.sources = sources

    def configs(self) -> tuple[type[Config], ...]:
        """Return the settings' classes, each once.

        Raises
        ------
        PluginError
            If the `kind` of an implementation's settings does not hold its name, or two registries have this name.
        """
        found: dict[type[Config], None] = {}
        groups: dict[str, str] = {}
        for registry in self.sources:
            if not isinstance(registry, Registry):
                found[registry] = None
                continue
            for name, kind in registry.items():
                if name in groups:
                    what, hint = f"'{name}', which {groups[name]} has, too", "remove the package that adds it"
                    raise PluginError(f"{registry.group}: {name}", found=what, hint=hint)
                groups[name] = registry.group
                config = kind.Config
                if config is None:
                    hint = f"give it a Config with the field kind: Literal['{name}']"
                    raise PluginError(f"{registry.group}: {name}", found="no Config", expected="settings", hint=hint)
                known = get_args(config.model_fields["kind"].annotation) if "kind" in config.model_fields else ()
                if name not in known:
                    hint = f"give it the field kind: Literal['{name}']"
                    raise PluginError(f"{registry.group}: {name}", config.__name__, found=f"kind {known}", hint=hint)
                found[config] = None
        return tuple(found)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the schema of the union; None is one of the values where the annotation says so."""
        union = handler.generate_schema(Annotated[Union[self.configs()], Field(discriminator="kind")])  # noqa: UP007
        return nullable_schema(union) if type(None) in get_args(source) else union


class NameOf:
    """Annotation of a setting that names one of the implementations.

    Parameters
    ----------
    registry : Registry
    *others : str
        Names that are allowed beside those.
    renamed : mapping of str to str
        Former names, and those of today.
    """

    def __init__(self, registry: Registry[Any], *others: str, renamed: Mapping[str, str]) -> None:
        self.registry, self.others, self.renamed = registry, others, renamed

    def _check(self, name: str | None) -> str | None:
        if name is None:  # where the annotation allows it
            return None
        if name in self.renamed:
            say_renamed(name, self.renamed[name])
            return self.renamed[name]
        known = [*self.registry, *self.others]
        if name not in known:
            raise ValueError(f"unknown name '{name}', {did_you_mean(name, known, f'known: {known}')}")
        return name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the schema of a string that is checked."""
        return no_info_after_validator_function(self._check, handler(source))


class EachOf:
    """Annotation of settings with an optional section for each of the implementations, by name.

    `Annotated[Sections, EachOf(OBJECTIVES)]` validates like a model with the fields `simclr: SimCLR.Config | None` and
    so on.

    Parameters
    ----------
    registry : Registry
    module, name : str
        Where the class of the settings is found, by other processes as well: an attribute `name` of this module.
    """

    def __init__(self, registry: Registry[Any], module: str, name: str) -> None:
        self.registry, self.module, self.name = registry, module, name

    @cached_property
    def model(self) -> type[Sections]:
        """The class of the settings."""
        kinds = {name: self.registry[name] for name in self._names()}
        sections: Any = {name: (kind.Config | None, None) for name, kind in kinds.items() if kind.Config}
        model = create_model(self.name, __base__=Sections, __module__=self.module, **sections)
        model._own = self.registry.own
        return model

    def attribute(self, name: str) -> Any:
        """Return the class as an attribute of its module (`__getattr__`): made when asked for, as it imports all."""
        if name == self.name:
            return self.model
        raise AttributeError(f"module '{self.module}' has no attribute '{name}'")

    def _names(self) -> list[str]:
        return list(self.registry)

    def configs(self) -> tuple[type[Config], ...]:
        """Return the class of the settings, for hints on unknown keys."""
        return (self.model,)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the schema of the class."""
        return handler.generate_schema(self.model)


class EachAdded(EachOf):
    """As `EachOf`, for what other packages add; cytomesh's own have their settings elsewhere, or none."""

    def _names(self) -> list[str]:
        return [name for name in self.registry if name not in self.registry.own]


class Sections(Config):
    """Settings of some of a registry's implementations, by name."""

    _own: ClassVar[frozenset[str]] = frozenset()

    def named(self) -> dict[str, Any]:
        """Return the sections that are given."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: section for name, section in found.items() if section is not None}

    def of(self, kind: type[ConfigT]) -> ConfigT | None:
        """Return the section with settings of one class, if it is given."""
        return next((section for section in self.named().values() if type(section) is kind), None)

    @model_serializer(mode="wrap")
    def _without_others(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # what another package could add, and nobody asked for, is no setting: nothing goes stale by an installation
        return {k: v for k, v in handler(self).items() if v is not None or k in self._own}


def _place(entry: EntryPoint) -> str:
    package = entry.dist.name if entry.dist else "an installed package"
    return f"{package}, entry point {entry.name} = {entry.value} of {entry.group}"
