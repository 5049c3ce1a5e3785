"""`{command} NAME`: what a command does and its options, as its `--help` says."""

from __future__ import annotations

from enum import Enum
from functools import cache
from typing import Any

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.testing import CliRunner

from cytomesh.cli.app import app as program
from docs._ext.settings import entry, text_nodes

SHARED = frozenset(
    {"--config", "--set", "--seed", "--resume", "--json", "--workers", "--scheduler", "--scheduler-file"}
)
"""Options that mean the same in every command: they are on the page of the command line."""


@cache
def commands() -> dict[str, Any]:
    """Return every command by its full name, such as `images cut`."""
    found: dict[str, Any] = {}

    def walk(command: Any, words: list[str]) -> None:
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*words, name])
        if not hasattr(command, "commands"):
            found[" ".join(words)] = command

    walk(typer.main.get_command(program), [])
    return found


class Command(SphinxDirective):
    """One command: its line, its words, its own options."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the documentation of a command."""
        command = commands()[self.arguments[0]]
        arguments = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
        options = [p for p in command.params if p.param_type_name == "option" and not SHARED & {*p.opts}]
        words = [_metavar(argument) for argument in arguments]
        needed = [f"{option.opts[0]} {_metavar(option)}" for option in options if option.required]
        line = " ".join(["cytomesh", self.arguments[0], *words, *needed, "[OPTIONS]"])
        entries = [entry([nodes.literal("", _metavar(a))], *text_nodes(a.help or "")) for a in arguments]
        entries += [entry(_head(option), *text_nodes(option.help or "")) for option in options]
        block = nodes.literal_block(line, line, language="console")
        paragraphs = [nodes.paragraph("", "", *text_nodes(part)) for part in (command.help or "").split("\n\n")]
        return [block, *paragraphs, nodes.definition_list("", *entries, classes=["settings"])]


class Output(SphinxDirective):
    """What a command prints, as it prints it today."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        """Return the command and what it says."""
        done = CliRunner().invoke(program, self.arguments[0].split(), catch_exceptions=False)
        text = f"$ cytomesh {self.arguments[0]}\n{done.output.rstrip()}"
        return [nodes.literal_block(text, text, language="text")]


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper().removesuffix("_")).strip("[]")


def _choices(option: Any) -> list[str]:
    """Return the words that an option takes, if it takes only some."""
    kind = getattr(getattr(option, "type_descriptor", None), "annotation", None)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return [str(choice.value) for choice in kind]
    return [str(choice) for choice in getattr(getattr(option, "type", None), "choices", ())]  # Typer on Click


def _head(option: Any) -> list[nodes.Node]:
    names = ", ".join([*option.opts, *option.secondary_opts])
    if option.is_flag:
        return [nodes.literal("", names)]
    value = "|".join(_choices(option)) or _metavar(option)
    head: list[nodes.Node] = [nodes.literal("", f"{names} {value}")]
    default = getattr(option.default, "value", option.default)
    if default not in (None, (), []):
        head += [nodes.Text(" = "), nodes.literal("", str(default))]
    return head


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directives."""
    app.add_directive("command", Command)
    app.add_directive("output", Output)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
