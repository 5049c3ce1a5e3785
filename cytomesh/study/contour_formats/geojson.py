"""QuPath GeoJSON: the main form of contour files."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np
from shapely.affinity import translate
from shapely.geometry import MultiPolygon, mapping

from cytomesh.core.errors import ContourError
from cytomesh.core.files import write_text
from cytomesh.study.contour_formats.features import (
    CORNER,
    MAX_FEATURES,
    Colour,
    ContourFeature,
    Ring,
    composed,
    too_many_features,
)

RINGS = ("Polygon", "MultiPolygon")
LINES = ("LineString", "MultiLineString")


def geojson_features(path: Path, document: Any) -> list[ContourFeature]:
    """Return the features of a QuPath GeoJSON export: a FeatureCollection, a bare list of features, or one feature.

    Objects within others (`childObjects`, of an export with the hierarchy) are features like any other. The class is
    the classification's name; of one with several parts ("Cortex: left"), the whole or any part that is known.

    Parameters
    ----------
    document : object
        The parsed file (see `load_json`).

    Raises
    ------
    ContourError
        If it is not GeoJSON, or has more than `MAX_FEATURES` features.
    """
    features = document
    if isinstance(document, dict):
        features = [document] if document.get("type") == "Feature" else document.get("features")
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise ContourError(
            path,
            found="no list of features",
            expected="a GeoJSON FeatureCollection (or MicroDraw's Regions)",
            hint="in QuPath: File > Export objects as GeoJSON",
        )
    found: list[ContourFeature] = []
    for place, feature in _with_children(features):
        if len(found) >= MAX_FEATURES:
            raise too_many_features(path, len(found) + 1)
        found.append(_feature(place, feature))
    return found


def write_geojson(
    path: Path, named: Mapping[str, MultiPolygon], colours: Mapping[str, Sequence[int]] | None = None
) -> None:
    """Write polygons (pixels, centres at integers) as QuPath annotations of these classes, whole or not at all.

    Members are those that QuPath 0.6 writes (qupath.lib.io.QuPathTypeAdapters); identifiers are the same each time.

    Parameters
    ----------
    colours : mapping, optional
        Red, green and blue (0 to 255) of a class; QuPath chooses those of others.
    """
    colours = colours or {}
    features = [
        {
            "type": "Feature",
            "id": str(uuid5(NAMESPACE_URL, f"{path.name}/{name}/{number}")),
            "geometry": mapping(translate(polygon, CORNER, CORNER)),
            "properties": {"objectType": "annotation", "classification": _classification(name, colours.get(name))},
        }
        for name, polygons in named.items()
        for number, polygon in enumerate(polygons.geoms)
    ]
    write_text(path, json.dumps({"type": "FeatureCollection", "features": features}))


def _classification(name: str, colour: Sequence[int] | None) -> dict[str, Any]:
    return {"name": name} if colour is None else {"name": name, "color": list(colour)}


def _with_children(features: list[dict[str, Any]], within: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (place, feature) of the features and of all objects within them; the file's depth is bounded."""
    for number, feature in enumerate(features):
        place = f"{within}.{number}" if within else f"feature {number}"
        yield place, feature
        yield from _with_children(objects_within(feature), place)


def objects_within(feature: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the objects that an export with the hierarchy has within another: QuPath keeps them in its properties."""
    properties = feature.get("properties")
    for place in (properties if isinstance(properties, dict) else {}, feature):
        children = place.get("childObjects")
        if isinstance(children, list):
            return [child for child in children if isinstance(child, dict)]
    return []


def _feature(place: str, feature: dict[str, Any]) -> ContourFeature:
    properties = feature.get("properties")
    classification = properties.get("classification") if isinstance(properties, dict) else None
    names, colour, odd = _class_names(classification), *_class_colour(classification)
    place = f"{place} ('{names[0]}')" if names else place
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or kind not in (*RINGS, *LINES):
        fault = f"a {kind or 'feature without geometry'}"
        return ContourFeature(place, names, fault=fault, colour=colour, odd_colour=odd)
    try:
        coordinates = geometry["coordinates"]
        if kind in LINES:
            coordinates = [[coordinates]] if kind == "LineString" else [[line] for line in coordinates]
        polygons = tuple(
            tuple(map(_ring, polygon)) for polygon in ([coordinates] if kind == "Polygon" else coordinates)
        )
        plane = _plane(geometry.get("plane"))
    except (ValueError, TypeError, KeyError, IndexError, OverflowError) as cause:
        return ContourFeature(place, names, fault=f"a ring that cannot be read ({cause})")
    if not polygons or not all(polygons):
        return ContourFeature(place, names, fault=f"a {kind} without a ring")
    return ContourFeature(place, names, polygons, f"a {kind}" if kind in LINES else "", plane, colour, odd)


def _class_names(classification: Any) -> tuple[str, ...]:
    """Return the class as QuPath shows it, then its parts: written as a string, as "name", or as a list "names"."""
    if isinstance(classification, dict):
        classification = classification.get("names") or classification.get("name")
    parts = classification if isinstance(classification, list) else str(classification or "").split(":")
    whole = ": ".join(map(str, parts)) if isinstance(classification, list) else str(classification or "")
    return tuple(dict.fromkeys(name for part in (whole, *parts) for name in [composed(str(part))] if name))


def _class_colour(classification: Any) -> tuple[Colour | None, str]:
    """Return the colour of a class: [red, green, blue], or as QuPath up to 0.2 wrote it, one integer of 32 bits.

    Of what is none, its text is returned.
    """
    facts = classification if isinstance(classification, dict) else {}
    colour = written = facts.get("color", facts.get("colorRGB"))
    if isinstance(colour, int) and -(2**31) <= colour < 2**32:
        colour = [(colour >> shift) & 255 for shift in (16, 8, 0)]  # of the bits above, the opacity, nothing is seen
    if (
        not isinstance(colour, list)
        or [type(value) for value in colour] != [int] * 3
        or not all(0 <= value <= 255 for value in colour)
    ):
        return None, "" if written is None else json.dumps(written)
    return (colour[0], colour[1], colour[2]), ""


def _plane(plane: Any) -> str:
    # QuPath leaves the plane of single images out; the channel is no place
    place = plane if isinstance(plane, dict) else {}
    return f"z = {int(place.get('z', 0))}, t = {int(place.get('t', 0))}"


def _ring(points: list[list[float]]) -> Ring:
    ring = np.asarray(points, np.float64)
    if ring.ndim != 2 or ring.shape[1] < 2:
        raise ValueError(f"an array of shape {ring.shape} instead of (points, 2)")
    return ring[:, :2]
