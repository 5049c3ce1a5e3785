"""One self-contained page on the quality of a graph: static SVG, no scripts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cytomesh.graph.limits import Verdict, bounds, number
from cytomesh.graph.qc import reconstruction_notes

WIDTH, HEIGHT = 860, 260
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 14, 46
# Okabe and Ito's colours, told apart by readers with colour blindness; lines also differ in dash.
LINES = (("#0072b2", ""), ("#d55e00", "6 3"), ("#009e73", "2 3"))

_STYLE = """
:root { color-scheme: light; }
body { margin: 1.6rem auto; max-width: 900px; padding: 0 1rem; color: #1b1f24; background: #fff;
  font: 15px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .4rem; }
p, figcaption { color: #57606a; margin: .2rem 0 .6rem; } figure { margin: 0; }
svg { width: 100%; height: auto; display: block; } svg text { font-size: 13px; fill: #57606a; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { padding: .22rem .8rem .22rem .3rem; border-bottom: 1px solid #d8dee4; text-align: left; }
td.number, th.number { text-align: right; } .pass { color: #00664b; } .fail { color: #b23c00; font-weight: 700; }
.scroll { overflow-x: auto; }
"""


def quality_page(qc: Mapping[str, Any]) -> str:
    """Return the page of one graph's record, with `verdicts`, as HTML text."""
    verdicts = [Verdict(**item) for item in qc["verdicts"]]
    failed = sum(not verdict.is_passed for verdict in verdicts)
    judged = sum(verdict.is_judged for verdict in verdicts)
    outcome = f"{failed} of {judged} checks failed" if failed else f"all {judged} checks passed"
    sections = qc["sections"]
    left_out = [item for item in sections if item["status"] != "ok"]
    parts = [
        f"<h1>{escape(qc['name'])}: quality of surfaces and links</h1>",
        f"<p>{len(sections)} sections, {len(left_out)} of them missing, damaged or left out;"
        f' <span class="{"fail" if failed else "pass"}">{outcome}</span>.</p>',
        "<h2>Checks</h2>",
        _table(verdicts),
        "<h2>Contours and the surfaces built from them</h2>",
        _distances(sections),
        "<h2>Cortical thickness</h2>",
        _thickness(qc["surfaces"]["thickness_histogram"]),
        "<h2>Linked nodes</h2>",
        _linked(sections),
    ]
    moved = [item for item in sections if "shift_mm" in item]
    if moved:
        parts += ["<h2>Correction of each section</h2>", *_corrections(moved)]
    notes = reconstruction_notes(qc["bridged"], qc["trimmed"], qc["report"], qc["cortex"])
    if notes:
        parts += ["<h2>What the surfaces have and the contours have not</h2>", _list(notes)]
    if left_out:
        parts += ["<h2>Sections without use</h2>", _left_out(left_out, qc["skipped_sections"])]
    title = escape(qc["name"])
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}: quality</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body>{''.join(parts)}</body></html>\n"
    )


def _table(verdicts: Sequence[Verdict]) -> str:
    rows = []
    for verdict in verdicts:
        word = ("pass" if verdict.is_passed else "fail") if verdict.is_judged else ""
        value = f"{number(verdict.value)} {verdict.unit}".rstrip() if verdict.value is not None else "none"
        rows.append(
            f'<tr><td>{escape(verdict.name)}</td><td class="number">{escape(value)}</td>'
            f'<td>{escape(bounds(verdict))}</td><td class="{word}">{word}</td></tr>'
        )
    head = "<tr><th>measured</th><th class='number'>value</th><th>accepted</th><th>verdict</th></tr>"
    return f'<div class="scroll"><table><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table></div>'


def _distances(sections: Sequence[Mapping[str, Any]]) -> str:
    series = {}
    for kind in ("pial", "white"):
        drawn = [item for item in sections if f"{kind}_distance_mm" in item]
        at = np.array([item["position_mm"] for item in drawn])
        for measure, name in (("mean", "mean"), ("p95", "95 %")):
            values = np.array([item[f"{kind}_distance_mm"][measure] for item in drawn], np.float64)
            series[f"{kind}, {name}"] = (at, values)
    styles = [LINES[0], (LINES[0][0], "2 3"), LINES[1], (LINES[1][0], "2 3")]
    chart = _plot(series, styles, "distance, mm")
    return _figure(chart, "Distance of each section's contour points to the surface, along the stack.")


def _thickness(histogram: Mapping[str, Any]) -> str:
    edges, counts = np.asarray(histogram["edges_mm"], np.float64), np.asarray(histogram["counts"], np.float64)
    share = 100.0 * counts / max(counts.sum(), 1.0)
    frame = _Frame((float(edges[0]), float(edges[-1])), (0.0, float(share.max(initial=0.0)) or 1.0))
    bars = "".join(
        f'<rect x="{frame.x(low) + 0.5:.1f}" y="{frame.y(part):.1f}" width="{frame.x(high) - frame.x(low) - 1:.1f}"'
        f' height="{frame.y(0.0) - frame.y(part):.1f}" fill="{LINES[0][0]}"><title>{low:g} to {high:g} mm: {part:.1f} %'
        "</title></rect>"
        for low, high, part in zip(edges[:-1], edges[1:], share, strict=True)
    )
    return _figure(frame.svg(bars, "thickness, mm", "share of nodes, %"), "Length of field lines from white to pial.")


def _linked(sections: Sequence[Mapping[str, Any]]) -> str:
    at = np.array([item["position_mm"] for item in sections])
    counts = np.array([item["n_linked"] for item in sections], np.float64)
    return _figure(
        _plot({"nodes": (at, counts)}, LINES[:1], "nodes linked to the section"),
        "Nodes whose image link leads to each section; none where there is no image or no cortex near.",
    )


def _corrections(sections: Sequence[Mapping[str, Any]]) -> list[str]:
    at = np.array([item["position_mm"] for item in sections])
    shifts = np.array([item["shift_mm"] for item in sections])
    turns = np.array([item["rotation_deg"] for item in sections])
    rows = "".join(
        f'<tr><td class="number">{item["section"]}</td><td class="number">{item["position_mm"]:.2f}</td>'
        f'<td class="number">{item["shift_mm"][0]:+.3f}</td><td class="number">{item["shift_mm"][1]:+.3f}</td>'
        f'<td class="number">{item["rotation_deg"]:+.3f}</td>'
        f"<td>{'' if item['is_measured'] else 'no contours to compare'}</td></tr>"
        for item in sections
    )
    head = (
        "<tr><th>section</th><th>position, mm</th><th>first axis, mm</th><th>second axis, mm</th><th>turn, deg</th>"
        "<th></th></tr>"
    )
    return [
        _figure(
            _plot({"first axis": (at, shifts[:, 0]), "second axis": (at, shifts[:, 1])}, LINES[:2], "shift, mm"),
            "Shift of each section within its plane.",
        ),
        _figure(_plot({"turn": (at, turns)}, LINES[2:], "turn, deg"), "Turn of each section about the stack's axis."),
        f'<details><summary>all {len(sections)} sections</summary><div class="scroll"><table><thead>{head}</thead>'
        f"<tbody>{rows}</tbody></table></div></details>",
    ]


def _left_out(sections: Sequence[Mapping[str, Any]], skipped: Sequence[Mapping[str, Any]]) -> str:
    problems = {item["section"]: item["problem"] for item in skipped}
    return _list(
        [
            f"section {item['section']}: {item['status']}"
            f"{': ' + problems[item['section']] if item['section'] in problems else ''}"
            for item in sections
        ]
    )


def _list(texts: Sequence[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(text)}</li>' for text in texts)}</ul>"


def _figure(svg: str, caption: str) -> str:
    return f"<figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _plot(
    series: Mapping[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    styles: Sequence[tuple[str, str]],
    title: str,
) -> str:
    """Return lines over the stacking axis, broken where a section has no value, with a legend."""
    places = np.concatenate([at for at, _ in series.values()])
    values = np.concatenate([value for _, value in series.values()])
    finite = values[np.isfinite(values)]
    low = min(float(finite.min(initial=0.0)), 0.0)
    high = max(float(finite.max(initial=0.0)), low + 1e-6)
    frame = _Frame((float(places.min()), float(places.max())) if places.size else (0.0, 1.0), (low, high))
    marks = []
    for n, ((name, (at, value)), (colour, dash)) in enumerate(zip(series.items(), styles, strict=True)):
        pen = f'stroke="{colour}" stroke-width="1.8" fill="none"' + (f' stroke-dasharray="{dash}"' if dash else "")
        marks.append(f'<path d="{frame.path(at, value)}" {pen} stroke-linejoin="round" stroke-linecap="round"/>')
        x, y = LEFT + 12 + 150 * n, TOP + 10
        if len(series) > 1:
            marks.append(f'<path d="M{x} {y}h26" {pen}/><text x="{x + 32}" y="{y + 4}">{escape(name)}</text>')
    return frame.svg("".join(marks), "position along the stack, mm", title)


class _Frame:
    """Axes of one chart: data to drawing coordinates, ticks at round numbers."""

    def __init__(self, across: tuple[float, float], up: tuple[float, float]) -> None:
        self._across = across if across[1] > across[0] else (across[0] - 0.5, across[0] + 0.5)
        # room for the legend above the highest point
        self._up = (up[0], up[1] + 0.16 * (up[1] - up[0]))

    def x(self, value: float) -> float:
        low, high = self._across
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        low, high = self._up
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def path(self, at: NDArray[np.float64], values: NDArray[np.float64]) -> str:
        parts, is_drawing = [], False
        for x, y in zip(at, values, strict=True):
            if np.isfinite(y):
                parts.append(f"{'L' if is_drawing else 'M'}{self.x(x):.1f} {self.y(y):.1f}")
            is_drawing = bool(np.isfinite(y))
        return "".join(parts)

    def svg(self, marks: str, x_title: str, y_title: str) -> str:
        grid = []
        for value in _ticks(*self._across):
            x = self.x(value)
            grid.append(f'<path d="M{x:.1f} {HEIGHT - BOTTOM}v5" stroke="#57606a"/>')
            grid.append(f'<text x="{x:.1f}" y="{HEIGHT - BOTTOM + 19}" text-anchor="middle">{value:g}</text>')
        for value in _ticks(*self._up):
            y = self.y(value)
            grid.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#d8dee4"/>')
            grid.append(f'<text x="{LEFT - 7}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>')
        middle = (HEIGHT - BOTTOM + TOP) / 2
        titles = (
            f'<text x="{(WIDTH + LEFT - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{escape(x_title)}</text>'
            f'<text x="14" y="{middle}" text-anchor="middle" transform="rotate(-90 14 {middle})">'
            f"{escape(y_title)}</text>"
        )
        label = escape(f"{y_title} over {x_title}", quote=True)
        return (
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{"".join(grid)}{marks}{titles}</svg>'
        )


def _ticks(low: float, high: float) -> list[float]:
    """Return about six round numbers from low to high."""
    rough = (high - low) / 6.0
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(factor for factor in (1.0, 2.0, 5.0, 10.0) if rough <= factor * power * 1.0001)
    first = int(np.ceil(low / step - 1e-9))
    return [float(round(n * step, 10)) + 0.0 for n in range(first, int(np.floor(high / step + 1e-9)) + 1)]
