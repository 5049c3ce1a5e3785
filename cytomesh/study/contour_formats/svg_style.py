"""What a style says of an SVG element: whether it is drawn, and where.

Style sheets are read as far as drawing programs write them: rules for an element, a class or an id. A rule that this
reader cannot apply is refused where it would hide or move something, and passed over where it would not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# All that matters here of a style.
PROPERTIES = ("display", "visibility", "transform", "transform-origin")
SELECTOR = re.compile(r"(\*|[A-Za-z][\w-]*)?((?:[.#][^\s.#:,>+~\[\]()*]+)*)")
IMPORTANT = re.compile(r"\s*!\s*important$")


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of a style sheet for the elements of a name ("" for any), with all these classes and ids."""

    element: str
    classes: frozenset[str]
    ids: frozenset[str]
    properties: dict[str, str]

    def applies(self, element: str, classes: frozenset[str], identifier: str) -> bool:
        """Whether the rule is for this element."""
        return self.element in ("", element) and self.classes <= classes and self.ids <= {identifier}

    @property
    def specificity(self) -> tuple[int, int, int]:
        """What decides between rules for one element (CSS 2.1, 6.4.3)."""
        return len(self.ids), len(self.classes), int(bool(self.element))


def parse_rules(text: str) -> tuple[Rule, ...]:
    """Return the rules of a style sheet that hide or move something, the strongest last.

    Raises
    ------
    ValueError
        If such a rule is for something else than an element, a class or an id, or depends on the medium; or if rules
        are in another file (@import).
    """
    text = _without_comments(text)
    if match := re.search(r"@import\b[^;{}]{0,60}", text, re.IGNORECASE):
        raise ValueError(f"a style sheet in another file ({match[0].strip()})")
    rules: list[Rule] = []
    for block in text.split("}")[:-1]:
        selectors, _, body = block.rpartition("{")
        properties = parse_properties(body)
        if not properties:
            continue
        if re.search(r"@(media|supports|layer|container)", text):
            raise ValueError("a style sheet that hides or moves elements under conditions (@media and the like)")
        # what ends with a semicolon before the selectors is an at-rule without a block, such as @charset
        for selector in selectors.rpartition(";")[2].split(","):
            match = SELECTOR.fullmatch(selector.strip())
            if match is None or not selector.strip():
                raise ValueError(f"a style rule for '{selector.strip()}' that sets {', '.join(properties)}")
            parts = re.findall(r"([.#])([^.#]+)", match[2])
            classes, ids = (frozenset(name for sign, name in parts if sign == kind) for kind in ".#")
            rules.append(Rule("" if match[1] in (None, "*") else match[1], classes, ids, properties))
    return tuple(sorted(rules, key=lambda rule: rule.specificity))


def parse_properties(text: str) -> dict[str, str]:
    """Return those declarations ("display: none; fill: red") that hide or move, with "!important" where it stands."""
    pairs = (item.partition(":") for item in _without_comments(text).split(";"))
    return {name: value.strip() for key, _, value in pairs for name in [key.strip().lower()] if name in PROPERTIES}


def style_of(element: str, attributes: Mapping[str, str], rules: Sequence[Rule]) -> dict[str, str]:
    """Return the properties of an element: its attributes, then rules by strength, then its `style`, the last one wins.

    A declaration with "!important" wins over all others.
    """
    classes, identifier = frozenset(attributes.get("class", "").split()), attributes.get("id", "")
    layers = [
        {name: attributes[name] for name in PROPERTIES if name in attributes},
        *(rule.properties for rule in rules if rule.applies(element, classes, identifier)),
        parse_properties(attributes.get("style", "")),
    ]
    found: dict[str, str] = {}
    for layer in layers:
        for name, value in layer.items():
            if not IMPORTANT.search(found.get(name, "")) or IMPORTANT.search(value):
                found[name] = value
    return {name: IMPORTANT.sub("", value).strip() for name, value in found.items()}


def _without_comments(text: str) -> str:
    # no regular expression: one for what begins and never ends takes the square of the text's length
    first, *others = text.replace("<!--", " ").replace("-->", " ").split("/*")
    return " ".join([first, *(part.partition("*/")[2] for part in others)])
