"""What a reader of contour files is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from cytomesh.core.errors import ContourError
from cytomesh.study.contour_formats.features import ContourFeature
from cytomesh.study.manifest import ContourLabels
from cytomesh.study.sections import Section


@dataclass(frozen=True, slots=True)
class Drawing:
    """A contour file, and what is known of the section that it belongs to.

    Parameters
    ----------
    path : Path
    section : Section
    known : frozenset of str
        Names of classes: of an element with several names, the one that is meant.
    image_shape : (int, int) or None
        Rows and columns of the section's image, where it has a readable one.
    """

    path: Path
    section: Section
    known: frozenset[str]
    image_shape: tuple[int, int] | None

    @property
    def labels(self) -> ContourLabels:
        """What numbers in the file mean (`contours.labels`); raises ContourError if nothing is said of it."""
        if not self.section.contour_settings.labels:
            hint = "such as contours: {labels: {pial_L: [1, 2], white_L: [2]}} for 1 grey and 2 white matter"
            expected = "contours.labels in the manifest"
            raise ContourError(self.path, found="labels without a meaning", expected=expected, hint=hint)
        return self.section.contour_settings.labels


class ContourReader(ABC):
    """Reads the contour files of some suffixes."""

    suffixes: ClassVar[tuple[str, ...]]
    """Ends of file names, lower case."""
    is_labelled: ClassVar[bool] = False
    """Whether numbers stand for classes, as `contours.labels` says, in the place of names."""

    @abstractmethod
    def read(self, drawing: Drawing) -> list[ContourFeature]:
        """Return what is drawn, in pixels of the full-resolution image, counted from its corner.

        Raises
        ------
        ContourError
            If the file cannot be read; it names the file, the place in it, what was expected and a way out.
        """
