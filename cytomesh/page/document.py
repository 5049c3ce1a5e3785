"""The page around its content: head, table of contents, style, scripts; nothing is loaded from anywhere."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from cytomesh.page.colours import css_variables
from cytomesh.page.html import Html, Part, join, tag

# The browser itself refuses every request: the page works offline and tells nobody that it was opened.
POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "font-src data:; form-action 'none'"
)


def page(title: str, head: Html, parts: Sequence[Part], scripts: Sequence[str] = ()) -> str:
    """Return a whole page of parts with a table of contents.

    Parameters
    ----------
    title : str
        Title of the window.
    head : Html
        What comes before the first part.
    parts : sequence of Part
        In the order in which they are read.
    scripts : sequence of str
        What selectors, sortable tables and plotly charts need, see `charts.chart_scripts`; a page without them is
        small and static.
    """
    contents = tag("nav", tag("ol", *(_entry(part) for part in parts)), aria_label="contents")
    body = [tag("section", tag("h2", part.title), part.body, id=part.anchor) for part in parts]
    return document(title, tag("div", contents, tag("main", tag("header", head), *body), class_="layout"), scripts)


def document(title: str, body: Html, scripts: Sequence[str] = (), style: str = "") -> str:
    """Return a whole page around its body, with the common style sheet and what a kind of page adds to it."""
    # an end tag inside a string literal would end the script element
    safe = [Html(script.replace("</script", "<\\/script")) for script in scripts]
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Html(css_variables() + asset("cytomesh.page", "page.css") + style)),
    )
    whole = tag("html", head, tag("body", body, *(tag("script", script) for script in safe)), lang="en")
    return str(join([Html("<!doctype html>\n"), whole, "\n"]))


def asset(package: str, name: str) -> str:
    """Return the text of a style sheet or script that comes with a package."""
    return files(package).joinpath("assets", name).read_text(encoding="utf-8")


def _entry(part: Part) -> Html:
    return tag("li", tag("a", part.title, href=f"#{part.anchor}", class_="absent" if part.is_absent else None))
