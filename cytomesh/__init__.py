"""Map the cerebral cortex from microscopy.

The program works on run directories; these functions and classes work on arrays and small values. Each is imported
when it is first asked for: `import cytomesh` takes a few milliseconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from cytomesh.analyze.layers.order import order_layers
    from cytomesh.analyze.layers.scores import layer_scores
    from cytomesh.classify.area_classifier import AreaClassifier
    from cytomesh.core.errors import CytomeshError
    from cytomesh.core.labels import LabelTable
    from cytomesh.graph.features import load_features
    from cytomesh.graph.imports import import_graphs
    from cytomesh.graph.links import LinkSection, Ribbon, link_positions
    from cytomesh.graph.lookup import open_lookup
    from cytomesh.graph.neighbourhoods import neighbour_means
    from cytomesh.graph.nulls import rotations, spin_sources
    from cytomesh.graph.storage import CortexGraph, load_graphs
    from cytomesh.graph.vertex_graph import mesh_graph
    from cytomesh.imaging.normalise import normalised, open_run_study
    from cytomesh.imaging.patches import read_patches
    from cytomesh.imaging.pyramid import open_image, open_section
    from cytomesh.parcellate.nodes import parcellate_nodes
    from cytomesh.pretrain.batch import PatchBatch
    from cytomesh.pretrain.export import load_encoder
    from cytomesh.pretrain.info_nce import weighted_info_nce
    from cytomesh.pretrain.objectives.probability_guided import ProbabilityGuided
    from cytomesh.pretrain.objectives.simclr import SimCLR
    from cytomesh.pretrain.objectives.spatial_nce import SpatialNCE
    from cytomesh.pretrain.objectives.supervised_contrastive import SupervisedContrastive
    from cytomesh.report.views import surface_views
    from cytomesh.study.contours import read_contours
    from cytomesh.study.pixels import ImageSettings
    from cytomesh.study.planes import SectionPlane
    from cytomesh.study.study import open_study
    from cytomesh.surface.any_surface import read_any_surface
    from cytomesh.surface.config import SurfaceConfig
    from cytomesh.surface.mesh import Mesh
    from cytomesh.surface.reconstruct import reconstruct
    from cytomesh.surface.stack import PlaneContours
    from cytomesh.surface.vertex_data import read_vertex_data, read_vertex_labels


_HOMES = {
    "AreaClassifier": "classify.area_classifier",
    "CortexGraph": "graph.storage",
    "CytomeshError": "core.errors",
    "ImageSettings": "study.pixels",
    "LabelTable": "core.labels",
    "LinkSection": "graph.links",
    "Mesh": "surface.mesh",
    "PatchBatch": "pretrain.batch",
    "PlaneContours": "surface.stack",
    "ProbabilityGuided": "pretrain.objectives.probability_guided",
    "Ribbon": "graph.links",
    "SectionPlane": "study.planes",
    "SimCLR": "pretrain.objectives.simclr",
    "SpatialNCE": "pretrain.objectives.spatial_nce",
    "SurfaceConfig": "surface.config",
    "SupervisedContrastive": "pretrain.objectives.supervised_contrastive",
    "import_graphs": "graph.imports",
    "link_positions": "graph.links",
    "load_encoder": "pretrain.export",
    "load_features": "graph.features",
    "load_graphs": "graph.storage",
    "mesh_graph": "graph.vertex_graph",
    "neighbour_means": "graph.neighbourhoods",
    "layer_scores": "analyze.layers.scores",
    "normalised": "imaging.normalise",
    "open_image": "imaging.pyramid",
    "open_lookup": "graph.lookup",
    "open_run_study": "imaging.normalise",
    "open_section": "imaging.pyramid",
    "open_study": "study.study",
    "order_layers": "analyze.layers.order",
    "parcellate_nodes": "parcellate.nodes",
    "read_any_surface": "surface.any_surface",
    "read_contours": "study.contours",
    "read_patches": "imaging.patches",
    "read_vertex_data": "surface.vertex_data",
    "read_vertex_labels": "surface.vertex_data",
    "reconstruct": "surface.reconstruct",
    "rotations": "graph.nulls",
    "spin_sources": "graph.nulls",
    "surface_views": "report.views",
    "weighted_info_nce": "pretrain.info_nce",
}
__all__ = [
    "AreaClassifier",
    "CortexGraph",
    "CytomeshError",
    "ImageSettings",
    "LabelTable",
    "LinkSection",
    "Mesh",
    "PatchBatch",
    "PlaneContours",
    "ProbabilityGuided",
    "Ribbon",
    "SectionPlane",
    "SimCLR",
    "SpatialNCE",
    "SupervisedContrastive",
    "SurfaceConfig",
    "import_graphs",
    "layer_scores",
    "link_positions",
    "load_encoder",
    "load_features",
    "load_graphs",
    "mesh_graph",
    "neighbour_means",
    "normalised",
    "open_image",
    "open_lookup",
    "open_run_study",
    "open_section",
    "open_study",
    "order_layers",
    "parcellate_nodes",
    "read_any_surface",
    "read_contours",
    "read_patches",
    "read_vertex_data",
    "read_vertex_labels",
    "reconstruct",
    "rotations",
    "spin_sources",
    "surface_views",
    "weighted_info_nce",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("cytomesh")
    # torch takes seconds to import; `import cytomesh` must not.
    if name in _HOMES:
        import importlib

        return getattr(importlib.import_module(f"cytomesh.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'cytomesh' has no attribute '{name}'")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
