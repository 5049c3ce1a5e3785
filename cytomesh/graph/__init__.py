"""Attributed cortical graphs: image links, measures, quality, storage.

Both directions of an image link are public: `links.link_positions` (positions on the cortex to pixels) and
`locate.CortexLocator.pixels` (pixels to places in the cortex and their depth); `lookup.open_lookup` gives both for a
finished graph.
"""

from cytomesh.graph.links import ImageLinks, LinkSection, Ribbon, link_positions
from cytomesh.graph.locate import CortexLocator, CorticalPlaces
from cytomesh.graph.lookup import CortexLookup, open_lookup

__all__ = [
    "CortexLocator",
    "CortexLookup",
    "CorticalPlaces",
    "ImageLinks",
    "LinkSection",
    "Ribbon",
    "link_positions",
    "open_lookup",
]
