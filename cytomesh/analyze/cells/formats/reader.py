"""What reads a file of cells."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar

from cytomesh.analyze.cells.table import CellTable


class CellReader(ABC):
    """Reads the cells of files of some suffixes."""

    suffixes: ClassVar[tuple[str, ...]]
    """Ends of file names, lower case; the longest that fits decides."""

    @abstractmethod
    def read(self, path: Path) -> CellTable:
        """Return the cells as the file has them; it is a regular file.

        Raises
        ------
        CellError
            If they cannot be read; it names the file, the place in it, what was expected and a way out.
        """
