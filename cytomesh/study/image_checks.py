"""What `study check` looks at in images: whether they are whole, of the size that is said, and how they are seen."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from cytomesh.core.counted import counted
from cytomesh.core.errors import CytomeshError, ImageError, StudyError
from cytomesh.study.image_formats.reader import ImageHeader, named
from cytomesh.study.image_formats.registry import check_pixels, decode_all, open_reader, read_header
from cytomesh.study.pixels import PixelView, lacking_window, needs_window, window_text
from cytomesh.study.problems import attempt
from cytomesh.study.sections import Section
from cytomesh.study.units import PIXEL_SIZE_TOLERANCE

# Rows and columns: fewer show no cortex at any resolution.
LEAST_PX = 8

Depth = Literal["quick", "usual", "thorough"]
"""Of images: headers only; the places, too, where a file that was cut off ends; or every pixel."""


@dataclass(frozen=True, slots=True)
class CheckedImage:
    """An image that is whole, as far as was looked.

    Parameters
    ----------
    header : ImageHeader
    n_channels : int
        In how many it is seen, 1 or 3; 0 if the study's `image.channels` or `image.window` are not for it.
    window : (float, float) or None
        What it could have, if it needs a window and has none.
    """

    header: ImageHeader
    n_channels: int
    window: tuple[float, float] | None

    @property
    def is_seen(self) -> bool:
        """Whether its pixels can be looked at."""
        return self.n_channels > 0 and self.window is None


def check_image(section: Section, depth: Depth, problems: list[CytomeshError]) -> CheckedImage | None:
    """Read as much of a section's image as `depth` says; None if there is none, or it is not whole."""
    image = section.image
    header = None if image is None else attempt(problems, partial(read_header, image, section.image_part))
    if image is None or header is None:
        return None
    if min(header.shape) < LEAST_PX:
        found = f"{header.shape[1]} x {header.shape[0]} px"
        hint = "export the image again, or write n/a for it"
        problems.append(ImageError(image, section.name, found=found, expected="an image of a section", hint=hint))
        return None
    stated = header.um_per_px
    before = len(problems)
    check = {"quick": None, "usual": check_pixels, "thorough": decode_all}[depth]
    if check is not None:
        attempt(problems, partial(check, header))
    is_whole = len(problems) == before
    if stated and abs(stated / section.um_per_px - 1) > PIXEL_SIZE_TOLERANCE:
        found = f"{stated:g} um/px in the image, {section.um_per_px:g} in the section table"
        hint = "correct um_per_px and to_world (both are of the full-resolution level), or the image's metadata"
        problems.append(ImageError(image, section.name, found=found, expected="the same pixel size", hint=hint))
    if not is_whole:
        return None
    return attempt(problems, partial(_see, section, header)) or CheckedImage(header, 0, None)


def _see(section: Section, header: ImageHeader) -> CheckedImage:
    settings = section.image_settings
    n_channels = PixelView(header, settings).n_channels
    if not needs_window(header, settings):
        return CheckedImage(header, n_channels, None)
    with named(header.path, "pixels that cannot be decoded"), closing(open_reader(header)) as reader:
        return CheckedImage(header, n_channels, lacking_window(reader, settings))


def check_windows(manifest: Path, brain: str, images: Sequence[CheckedImage]) -> list[CytomeshError]:
    """Images of more than 8 bits need a window, one for all sections of a brain: said once, not for each."""
    windows = [image.window for image in images if image.window is not None]
    if not windows:
        return []
    proposed = proposed_window(images)
    if proposed is None:
        hint = "export them alike: one window is for images of one type"
        return [StudyError(manifest, f"brains.{brain}", found=kinds(images), expected="images of one kind", hint=hint)]
    dtypes = " and ".join(sorted({image.header.dtype for image in images if image.window is not None}))
    found = f"{len(windows)} images of type {dtypes} and no window in which their pixels are seen"
    hint = f"{window_text(proposed)}, for the study or for this brain, holds nearly all values of these images"
    expected = "image.window, one for all sections"
    return [StudyError(manifest, f"brains.{brain}", found=found, expected=expected, hint=hint)]


def proposed_window(images: Sequence[CheckedImage]) -> tuple[float, float] | None:
    """Return one window for all images that need one; None if there are none, or 8-bit images that none is for."""
    windows = [image.window for image in images if image.window is not None]
    if not windows or any(image.header.dtype == "uint8" for image in images):
        return None
    return min(low for low, _ in windows), max(high for _, high in windows)


def kinds(images: Sequence[CheckedImage]) -> str:
    """Return how many images have which type and channels, with one of each; "" if all are of one kind."""
    names: dict[str, list[str]] = {}
    for header in (image.header for image in images):
        names.setdefault(f"of {counted(header.n_channels, 'channel')}, {header.dtype}", []).append(header.path.name)
    said = [f"{len(own)} {kind} (such as {own[0]})" for kind, own in names.items()]
    return " and ".join(said) if len(said) > 1 else ""


def check_channels(images: Sequence[CheckedImage]) -> list[CytomeshError]:
    """One study has grey or colour images, not both: the encoder has one number of input channels."""
    counts = [image.n_channels for image in images if image.n_channels]
    if len(set(counts)) < 2:
        return []
    usual = max(set(counts), key=counts.count)
    expected = f"{usual}, as most images of the study have"
    return [
        ImageError(image.header.path, found=counted(image.n_channels, "channel"), expected=expected)
        for image in images
        if image.n_channels not in (0, usual)
    ]
