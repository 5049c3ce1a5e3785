"""A process in which the packages of the extras are not installed: `python -m tests.without_extras WHAT ARGUMENTS`."""

import sys
from importlib.machinery import PathFinder

ABSENT = {
    *("plotly", "pyvista", "vtk", "vtkmodules", "nilearn", "pandas", "matplotlib"),
    *("igraph", "leidenalg", "tensorboard"),
}


class WithoutExtras(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in ABSENT else super().find_spec(fullname, path, target)


if __name__ == "__main__":
    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtras
    what, *arguments = sys.argv[1:]
    if what == "chain":
        from pathlib import Path

        from tests.provenance_chain import Chain

        Chain(*map(Path, arguments)).make()
    else:
        from cytomesh.cli.app import main

        main(arguments)
