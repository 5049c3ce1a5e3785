"""Print where the cells of a file are: `python -m tests.data.read_cells FILE`."""

import sys
from pathlib import Path

from cytomesh.analyze.cells.formats.registry import read_cells
from cytomesh.core.errors import CytomeshError

if __name__ == "__main__":
    try:
        print(read_cells(Path(sys.argv[1])).places.tolist())
    except CytomeshError as error:
        sys.exit(str(error))
