"""How stored pixels, of any type and number of channels, become the 8-bit grey or RGB that everything else sees.

The order is fixed: channels are taken, one linear window brings them to 0 to 255, clipped; then RGB may be mixed to
luminance or to one stain; what comes out is rounded once. Coarser levels that a file lacks are averages of stored
values: light is averaged before it is clipped, and a copy that stores these levels shows the same pixels.
"""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, Field, StrictInt, StrictStr

from cytomesh.core.config import Config
from cytomesh.core.errors import ImageError
from cytomesh.study.image_formats.part import ImagePart
from cytomesh.study.image_formats.reader import ImageHeader, ImageReader
from cytomesh.study.stain import NormaliseKind
from cytomesh.study.unmixing import StainVectors, unmixing

RGB, LUMINANCE = "rgb", "luminance"
STAINS = ("hematoxylin", "eosin", "dab")
"""In the order of scikit-image's `hed_from_rgb` (Ruifrok & Johnston, 2001)."""
# Weights of red, green and blue in the luminance (ITU-R BT.601), as in Pillow's and torchvision's grey images.
BT601 = (0.299, 0.587, 0.114)
# scikit-image counts stains in units of this extinction.
LEAST_LIGHT = 1e-6
BAND_PX = 2**22
# Percentiles of a proposed window, and the digits that it is rounded to.
PERCENTILES = (0.1, 99.9)
DIGITS = 2
SAMPLE_PX, SAMPLES_A_SIDE = 512, 4


def _rising(window: tuple[float, float]) -> tuple[float, float]:
    if not window[0] < window[1]:
        raise ValueError(f"a window from {window[0]:g} to {window[1]:g}: give [low, high], low before high")
    return window


class Plane(Config):
    """Which plane of a stack is seen; numbers count from 0."""

    z: Annotated[StrictInt, Field(ge=0)] | None = None
    """Plane in depth."""
    t: Annotated[StrictInt, Field(ge=0)] | None = None
    """Plane in time."""


class PixelSettings(Config):
    """How the pixels of one image become 8-bit grey or RGB; 8-bit grey and RGB images need no entry."""

    channels: Annotated[StrictInt, Field(ge=0)] | StrictStr | None = None
    """One channel, by its number (from 0) or its name in the file; `rgb`: the three there are; `luminance`: their grey
    (ITU-R BT.601); or a stain of theirs by colour deconvolution, as light that this stain alone lets through:
    `hematoxylin`, `eosin`, `dab`, or one of `stain_vectors`. Absent: the channel of grey images, RGB of 3 x 8 bits."""
    stain_vectors: StainVectors | None = None
    """Own stains for `channels`, in place of those three: name -> optical density of red, green and blue of this stain
    alone, of two or three stains; such as `{cresyl: [0.66, 0.72, 0.20], luxol: [0.81, 0.55, 0.20]}`."""
    window: Annotated[tuple[float, float], AfterValidator(_rising)] | None = None
    """[low, high]: stored values that become 0 and 255, what lies beyond is clipped; one for all sections of a brain,
    as features would change with it. 16-bit and floating point images need one."""

    plane: Plane | None = None
    """Of images with several planes, the one that is seen, such as `{z: 3}`; images without such an axis have one."""

    @property
    def stains(self) -> tuple[str, ...]:
        """Names of the stains that can be told apart."""
        return STAINS if self.stain_vectors is None else tuple(name for name, _ in self.stain_vectors)

    @property
    def facts(self) -> dict[str, Any]:
        """What is set of channels, window and plane, plain values, for JSON."""
        return self.model_dump(mode="json", include=set(PixelSettings.model_fields), exclude_none=True)

    def part(self, scene: int | None = None) -> ImagePart:
        """Return which image of a file is meant: the plane, and a scene."""
        return ImagePart(scene) if self.plane is None else ImagePart(scene, self.plane.z, self.plane.t)


class ImageSettings(PixelSettings):
    """How the pixels of a study's images become 8-bit grey or RGB that looks alike in all sections of a brain.

    Examples
    --------
    >>> neurons = ImageSettings(channels="NeuN", window=(110, 3900))
    >>> neurons.window, neurons.normalise
    ((110.0, 3900.0), 'none')
    """

    normalise: NormaliseKind = "none"
    """Bright-field sections that are lighter or darker than their brain's others: `background` scales each until its
    glass is as light as in the median section; `stain` scales the optical density of its tissue, too, until its darkest
    twentieth is as dense as there; channel by channel. Measured on thumbnails; `none` leaves pixels as they are."""

    def overridden(self, own: ImageSettings | None) -> ImageSettings:
        """Return these settings with those that a brain has of its own."""
        return self if own is None else self.model_copy(update=own.model_dump(exclude_unset=True))


class PixelView:
    """Stored pixels of one image as 8-bit grey or RGB; made by `pixel_view`.

    Parameters
    ----------
    header : ImageHeader
        What is stored.
    settings : PixelSettings
        With a window, unless the pixels are 8-bit.

    Attributes
    ----------
    n_channels : int
        1 (grey) or 3 (RGB).
    channels : slice
        Stored channels that are seen.

    Raises
    ------
    ImageError
        If the channel is not there, or the window lies outside what the pixels can be.
    """

    def __init__(self, header: ImageHeader, settings: PixelSettings) -> None:
        self._taken = taken_channels(header, settings)
        self._window = settings.window
        self._stain = settings.stains.index(str(self._taken)) if self._taken in settings.stains else None
        self._vectors = settings.stain_vectors
        self.n_channels: int = 3 if self._taken == RGB else 1
        self.channels = slice(self._taken, self._taken + 1) if isinstance(self._taken, int) else slice(0, 3)
        if self._window is not None and header.dtype != "float32":
            most = int(np.iinfo(header.dtype).max)
            if not 0 <= self._window[0] < self._window[1] <= most:
                found = f"image.window [{self._window[0]:g}, {self._window[1]:g}] for {header.dtype}"
                hint = "8-bit images need no window" if header.dtype == "uint8" else "window is in stored values"
                raise ImageError(header.path, found=found, expected=f"a window within 0 to {most}", hint=hint)

    def __call__(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """Return (h, w, n_channels) uint8 of the stored pixels of `channels`; 8-bit ones stay without settings."""
        if self._window is None and (self._taken == RGB or isinstance(self._taken, int)):
            return stored
        out = np.empty((*stored.shape[:2], self.n_channels), np.uint8)
        step = max(1, BAND_PX // max(1, stored.shape[1]))
        for top in range(0, len(stored), step):
            light = self._windowed(stored[top : top + step].astype(np.float32))
            out[top : top + step] = np.rint(self._mixed(light))
        return out

    def _windowed(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        if self._window is None:
            return values
        low, high = self._window
        return np.clip((values - np.float32(low)) * np.float32(255 / (high - low)), 0, 255)

    def _mixed(self, light: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what is made of windowed channels, (h, w, n_channels) of 0 to 255."""
        if isinstance(self._taken, int) or self._taken == RGB:
            return light
        if self._taken == LUMINANCE:
            return (light @ np.array(BT601, np.float32))[..., None]
        from skimage.color import hed_from_rgb, separate_stains

        matrix = hed_from_rgb if self._vectors is None else unmixing(self._vectors)
        amount = separate_stains(light / np.float32(255), matrix)[..., self._stain, None]
        return 255 * np.power(np.float32(LEAST_LIGHT), amount)


def pixel_view(reader: ImageReader, settings: PixelSettings) -> PixelView:
    """Return how an image's pixels are seen.

    Raises
    ------
    ImageError
        If the channel is not there, the window cannot be one of these pixels, or pixels of more than 8 bits have none:
        then one is proposed from the data.
    """
    proposed = lacking_window(reader, settings)
    if proposed is not None:
        found = f"{reader.header.dtype} pixels and no window in which they are seen"
        expected = "image.window in the manifest, one for all sections of a brain"
        hint = f"{window_text(proposed)} holds percentiles {PERCENTILES[0]} to {PERCENTILES[1]} of this image"
        raise ImageError(reader.header.path, found=found, expected=expected, hint=hint)
    return PixelView(reader.header, settings)


def lacking_window(reader: ImageReader, settings: PixelSettings) -> tuple[float, float] | None:
    """Return a window for an image that needs one and has none, from its pixels; raises as `PixelView` does."""
    view = PixelView(reader.header, settings)
    if not needs_window(reader.header, settings):
        return None
    return propose_window(sample(reader)[..., view.channels])


def needs_window(header: ImageHeader, settings: PixelSettings) -> bool:
    """Return whether pixels of more than 8 bits have no window."""
    return settings.window is None and header.dtype != "uint8"


def window_text(window: tuple[float, float]) -> str:
    """Return what is to be written in a manifest for a window."""
    return f"image: {{window: [{window[0]:g}, {window[1]:g}]}}"


def taken_channels(header: ImageHeader, settings: PixelSettings) -> int | str:
    """Return the number of the channel that is taken, or "rgb", "luminance" or a stain.

    Raises
    ------
    ImageError
        If it is not there, or none is named and there are several.
    """
    n, wanted = header.n_channels, settings.channels
    if wanted is None:
        if n == 1:
            return 0
        wanted = None if needs_channel(header) else RGB
    elif wanted in header.channel_names:
        return header.channel_names.index(str(wanted))
    if isinstance(wanted, int) and wanted < n:
        return wanted
    if isinstance(wanted, str) and n == 3 and wanted in (RGB, LUMINANCE, *settings.stains):
        return wanted
    known = ", ".join(known_channels(header, settings))
    found = f"{n} channels, and none named" if wanted is None else f"no channel {wanted!r} among {n}"
    raise ImageError(header.path, found=found, expected=f"image.channels in the manifest: one of {known}")


def known_channels(header: ImageHeader, settings: PixelSettings) -> list[str]:
    """Return what `image.channels` may be for an image."""
    return [*channel_list(header), *((RGB, LUMINANCE, *settings.stains) if header.n_channels == 3 else ())]


def needs_channel(header: ImageHeader) -> bool:
    """Return whether an image has several channels, of which one is to be named."""
    return header.n_channels > 1 and not (header.n_channels == 3 and header.dtype == "uint8")


def n_seen(header: ImageHeader, settings: PixelSettings) -> int:
    """Return how many channels, 1 or 3, an image is seen in; raises as `taken_channels` does."""
    return 3 if taken_channels(header, settings) == RGB else 1


def channel_list(header: ImageHeader) -> list[str]:
    """Return the channels as they can be written in a manifest: numbers, with names where the file gives them."""
    names = [f" ({name})" for name in header.channel_names] or [""] * header.n_channels
    return [f"{i}{name}" for i, name in enumerate(names)]


def sample(reader: ImageReader) -> NDArray[Any]:
    """Return stored pixels (n, n_channels) from all over an image: of its coarsest level, at most 16 windows of it."""
    index = len(reader.header.levels) - 1
    height, width = reader.header.levels[index].shape
    side = SAMPLES_A_SIDE * SAMPLE_PX
    if reader.decodes_whole or height * width <= side**2:
        pixels = reader.read(index, slice(0, height), slice(0, width))
        return pixels.reshape(-1, pixels.shape[2])
    starts = [np.linspace(0, max(0, n - SAMPLE_PX), SAMPLES_A_SIDE).astype(int) for n in (height, width)]
    windows = [
        reader.read(index, slice(top, min(top + SAMPLE_PX, height)), slice(left, min(left + SAMPLE_PX, width)))
        for top in starts[0].tolist()
        for left in starts[1].tolist()
    ]
    return np.concatenate([window.reshape(-1, window.shape[2]) for window in windows])


def propose_window(values: NDArray[Any]) -> tuple[float, float]:
    """Return a window that holds nearly all of some stored values, rounded outwards to two digits.

    Examples
    --------
    >>> propose_window(np.arange(1030, 3971, dtype=np.uint16))
    (1000.0, 4000.0)
    """
    low, high = (float(value) for value in np.percentile(values, PERCENTILES))
    step = 10.0 ** (np.floor(np.log10(max(high - low, abs(high), LEAST_LIGHT))) - DIGITS + 1)
    lower, upper = float(np.floor(low / step) * step), float(np.ceil(high / step) * step)
    if values.dtype.kind == "u":
        lower, upper = max(lower, 0.0), min(upper, float(np.iinfo(values.dtype).max))
    return lower, upper if upper > lower else lower + float(step)
