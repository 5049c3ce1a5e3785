"""Safe YAML without what it takes silently or for ever: keys given twice, deep nesting, aliases of aliases."""

from __future__ import annotations

import re
from typing import Any

import yaml

# Settings are a few levels deep; PyYAML calls itself for each, and Python stops at about a thousand.
MAX_DEPTH = 100
# Values after aliases have been put in: a hundred bytes can stand for a billion values.
MAX_VALUES = 1_000_000
OCTAL = re.compile(r"[-+]?0\d+")


def load_yaml(text: str) -> Any:
    """Return the value of one YAML document.

    Raises
    ------
    yaml.YAMLError
        With the line: what is no YAML, a key given twice, more than `MAX_DEPTH` levels or `MAX_VALUES` values, an
        alias of what it stands in, and a value that its type does not have (such as 2020-13-45).
    """
    return yaml.load(text, Loader=_Loader)  # noqa: S506 (a SafeLoader)


class _Loader(yaml.SafeLoader):
    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._level = 0
        self._extents: dict[int, tuple[int, int]] = {}  # by node: values, levels

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        is_alias = self.check_event(yaml.AliasEvent)
        if not is_alias and self._level == MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"more than {MAX_DEPTH} levels", mark)
        self._level += 1
        node = super().compose_node(parent, index)
        self._level -= 1
        if node is None:
            return None
        if not is_alias:
            self._extents[id(node)] = self._extent(node)
        elif id(node) not in self._extents:
            raise yaml.composer.ComposerError(None, None, "an alias of what it stands in", mark)
        values, levels = self._extents[id(node)]
        if values > MAX_VALUES:
            raise yaml.composer.ComposerError(None, None, f"more than {MAX_VALUES:,} values", mark)
        if self._level + levels > MAX_DEPTH:
            raise yaml.composer.ComposerError(None, None, f"more than {MAX_DEPTH} levels", mark)
        return node

    def _extent(self, node: yaml.Node) -> tuple[int, int]:
        """Return how many values and levels a node has; of a mapping, that no key is given twice, too."""
        if isinstance(node, yaml.MappingNode):
            seen: dict[tuple[str, str], int] = {}
            for key, _ in node.value:
                if not isinstance(key, yaml.ScalarNode):
                    continue
                name = key.tag, key.value
                if name in seen:
                    problem = f"key '{key.value}' is given twice, first in line {seen[name]}"
                    raise yaml.composer.ComposerError(None, None, problem, key.start_mark)
                seen[name] = key.start_mark.line + 1
            parts = [part for pair in node.value for part in pair]
        else:
            parts = list(node.value) if isinstance(node, yaml.SequenceNode) else []
        extents = [self._extents[id(part)] for part in parts]
        return 1 + sum(values for values, _ in extents), 1 + max((levels for _, levels in extents), default=0)

    def refuse_number(self, node: yaml.ScalarNode) -> Any:
        """Construct a number, unless it is one of YAML 1.1 that no reader of the file would take it for."""
        text = node.value.replace("_", "")
        if ":" in text:
            problem = f"'{node.value}' is a number to base 60 in YAML: write the number, or put quotes around text"
        elif OCTAL.fullmatch(text):
            problem = f"'{node.value}' is a number to base 8 in YAML: write it without zeros before, or in quotes"
        else:
            kind = node.tag.rpartition(":")[2]
            return self.construct_yaml_int(node) if kind == "int" else self.construct_yaml_float(node)
        raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, AttributeError, ArithmeticError) as cause:
            kind = node.tag.rpartition(":")[2]
            problem = f"'{str(node.value)[:60]}' is no {kind}"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from cause


for _kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{_kind}", _Loader.refuse_number)
