"""Packages that only some tasks need."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from cytomesh.core.errors import PackageError

EXTRAS = {
    "report": "pages with charts and surfaces (report, inspect, parcels.html)",
    "phantom": "the built-in study (phantom, demo, doctor --self-test)",
    "register": "spheres and registration (register, demo)",
    "leiden": "parcels by the Leiden method",
    "umap": "a UMAP of the features (inspect, method: umap)",
    "tensorboard": "curves of training in TensorBoard (metrics.jsonl has them without)",
    "openslide": "images of slide scanners (.svs, .ndpi, .mrxs, ...)",
    "czi": "images in Zeiss' .czi",
    "dask": "sections over a Dask cluster (--scheduler)",
    "cloud": "images at https://, s3:// and gs://",
}
"""What each extra is for; those of developers, and `all`, apart."""


def optional(module: str, install: str) -> Any:
    """Import a module of a package that may be absent.

    Parameters
    ----------
    module : str
        Such as "plotly.offline".
    install : str
        What pip is to be given, such as "cytomesh[report]".

    Raises
    ------
    PackageError
        If the package is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as cause:
        package = module.partition(".")[0]
        if cause.name is None or cause.name.partition(".")[0] != package:
            raise  # the package is there, and one that it needs is not
        hint = f"pip install '{install}'"
        raise PackageError(package, found="a package that is not installed", hint=hint) from cause
