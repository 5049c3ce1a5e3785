"""A process in which the packages of the extras are not installed: `python -m tests.without_extras STUDY FOLDER`.

All stages run, then commands that lack something; what these say goes to FOLDER/NUMBER.txt, with their exit code.
"""

import sys
from contextlib import redirect_stderr, redirect_stdout
from importlib.machinery import PathFinder
from pathlib import Path

ABSENT = {
    *("plotly", "pyvista", "vtk", "vtkmodules", "nilearn", "pandas", "matplotlib"),
    *("igraph", "leidenalg", "tensorboard"),
}


class WithoutExtras(PathFinder):
    @classmethod
    def find_spec(cls, fullname, path=None, target=None):
        return None if fullname.partition(".")[0] in ABSENT else super().find_spec(fullname, path, target)

    @classmethod
    def find_distributions(cls, *context):
        return (found for found in super().find_distributions(*context) if found.name not in ABSENT)


def hide_extras() -> None:
    """Let this process find none of them from now on, neither to import nor by name."""
    sys.meta_path[sys.meta_path.index(PathFinder)] = WithoutExtras


if __name__ == "__main__":
    hide_extras()
    from cytomesh.cli.app import main
    from tests.provenance_chain import Chain

    study, folder = map(Path, sys.argv[1:])
    run = folder / "run"
    Chain(study, run).make()
    config = run / "parcellate" / "parcels" / "config.yaml"
    commands = (
        ("parcellate", "--out", run, "--name", "parcels", "--config", config, "--json"),
        ("report", "--out", run),
        ("phantom", "--out", folder / "phantom"),
    )
    for number, words in enumerate(commands):
        with (
            (folder / f"{number}.txt").open("w") as errors,
            (folder / f"{number}.json").open("w") as output,
            redirect_stderr(errors),
            redirect_stdout(output),
        ):
            try:
                main([str(word) for word in words])
                code = 0
            except SystemExit as stop:
                code = stop.code
            print(f"exit {code}", file=errors)
