"""Augmentation of patch batches on the device they are on: one affine resampling, then blur, intensity and noise."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from cytomesh.core.config import Config

# Standard deviations at which a blur ends.
BLUR_REACH = 3


class AugmentConfig(Config):
    """Ranges of random changes; 0 (the default of each but the normalisation) means off."""

    rotation_deg: float = Field(default=0.0, ge=0, le=180)
    """Rotation about the centre, uniform in +- this angle."""
    scale: float = Field(default=0.0, ge=0, lt=1)
    """Magnification, log-uniform between 1 / (1 + scale) and 1 + scale."""
    shear_deg: float = Field(default=0.0, ge=0, lt=60)
    """Shear along the cortex, uniform in +- this angle."""
    shift: float = Field(default=0.0, ge=0, le=0.5)
    """Shift along both axes, uniform in +- this share of the patch's side."""
    flip_probability: float = Field(default=0.0, ge=0, le=1)
    """Probability of mirroring along the cortex (left-right; pial stays up)."""
    blur_px: float = Field(default=0.0, ge=0)
    """Standard deviation of a Gaussian blur, uniform between 0 and this, pixels."""
    blur_probability: float = Field(default=0.5, ge=0, le=1)
    """Share of the patches that are blurred, if `blur_px` is not 0."""
    intensity_scale: float = Field(default=0.0, ge=0, lt=1)
    """Contrast: darkness is multiplied by a factor, uniform in 1 +- this."""
    intensity_offset: float = Field(default=0.0, ge=0, le=1)
    """Brightness: uniform in +- this (the full range is 1) is added."""
    gamma: float = Field(default=0.0, ge=0)
    """Exponent of the intensity, log-uniform between 1 / (1 + gamma) and 1 + gamma."""
    noise: float = Field(default=0.0, ge=0)
    """Standard deviation of Gaussian noise, uniform between 0 and this (the full range is 1)."""
    erase: float = Field(default=0.0, ge=0, le=1)
    """Probability of overwriting a square of a quarter of the side to half of it with background."""
    background: float = Field(default=1.0, ge=0, le=1)
    """Intensity of what comes into view from outside the patch (1 = white)."""
    mean: float = 0.5
    """Subtracted at the end."""
    std: float = Field(default=0.25, gt=0)
    """Divided by at the end."""


@dataclass(frozen=True, slots=True)
class Draws:
    """What chance has chosen for the patches of a batch.

    Parameters
    ----------
    uniform : (n, 16) float32 tensor
        0 to 1.
    noise_seed : int
        Of the noise, which is drawn where the patches are.
    blur_radius_px : int
        Of the widest blur; known here, so that no device has to be asked.
    """

    uniform: Tensor
    noise_seed: int
    blur_radius_px: int

    def to(self, device: torch.device) -> Draws:
        """Return them for patches on a device."""
        return replace(self, uniform=self.uniform.to(device, non_blocking=True))


class Augmentation:
    """Apply random changes to a batch, each patch its own; see `AugmentConfig`.

    All random numbers come from the generator, in an order that does not depend on the values of the settings.
    """

    def __init__(self, config: AugmentConfig) -> None:
        self.config = config

    def __call__(self, batch: Tensor, generator: torch.Generator, border_px: int = 0) -> Tensor:
        """Augment and normalise by what a generator on the CPU gives; see `apply`."""
        return self.apply(batch, self.draw(len(batch), generator).to(batch.device), border_px)

    def draw(self, n: int, generator: torch.Generator) -> Draws:
        """Draw for n patches, on the generator's device."""
        uniform = torch.rand(n, 16, generator=generator, device=generator.device)
        noise_seed = int(torch.randint(2**62, (1,), generator=generator, device=generator.device))
        sigma = self._blur_sigma(uniform)
        return Draws(uniform, noise_seed, math.ceil(BLUR_REACH * float(sigma.max())) if n else 0)

    def apply(self, batch: Tensor, draws: Draws, border_px: int = 0) -> Tensor:
        """Augment and normalise.

        Parameters
        ----------
        batch : (n, c, s, s) uint8 or float tensor
            Floats are intensities in 0..1.
        draws : Draws
            On the batch's device.
        border_px : int
            Width of a border that may come into view and is cut off; more than it is of use to is never computed.

        Returns
        -------
        (n, c, s - 2 border_px, s - 2 border_px) float32 tensor, (intensity in 0..1 - mean) / std.
        """
        config, uniform, n = self.config, draws.uniform, len(batch)
        if not n:  # affine_grid refuses empty batches
            return self.normalise(crop(batch, border_px))
        margin = min(border_px, draws.blur_radius_px)  # what the blur sees of the border
        if config.rotation_deg or config.scale or config.shear_deg or config.shift or config.flip_probability:
            images = self._warp(batch, uniform, border_px - margin)
        else:
            images = to_unit(crop(batch, border_px - margin))
        if config.blur_px:
            images = blur(images, self._blur_sigma(uniform), draws.blur_radius_px)
        images = self._intensities(crop(images, margin), uniform)
        if config.noise:
            own = torch.Generator(images.device).manual_seed(draws.noise_seed)
            noise = torch.randn(images.shape, generator=own, device=images.device)
            images = images.addcmul(noise, (config.noise * uniform[:, 11]).view(n, 1, 1, 1)).clamp_(0, 1)
        if config.erase:
            images = self._erase(images, uniform)
        return (images - config.mean).div_(config.std)

    def normalise(self, batch: Tensor) -> Tensor:
        """Return the batch as the encoder sees it, without random changes."""
        return (to_unit(batch) - self.config.mean) / self.config.std

    def _blur_sigma(self, uniform: Tensor) -> Tensor:
        return self.config.blur_px * uniform[:, 6] * (uniform[:, 7] < self.config.blur_probability)

    def _warp(self, batch: Tensor, uniform: Tensor, cut_px: int) -> Tensor:
        """Resample once with the product of flip, scale, shear, rotation and shift (output to input), less a border."""
        config = self.config
        centred = 2 * uniform - 1
        angle = centred[:, 0] * math.radians(config.rotation_deg)
        zoom = torch.exp(-centred[:, 1] * math.log1p(config.scale))
        shear = torch.tan(centred[:, 2] * math.radians(config.shear_deg))
        mirror = torch.where(uniform[:, 3] < config.flip_probability, -1.0, 1.0)
        cosine, sine = torch.cos(angle), torch.sin(angle)
        # rotation @ shear @ diag(mirror, 1), times zoom
        first = torch.stack([cosine * mirror, cosine * shear - sine], dim=1)
        second = torch.stack([sine * mirror, sine * shear + cosine], dim=1)
        matrix = torch.stack([first, second], dim=1) * zoom.view(-1, 1, 1)
        shift = 2 * config.shift * centred[:, 4:6]
        rows, columns = (_pixel_centres(side, cut_px, batch.device).unsqueeze(1) for side in batch.shape[-2:])
        down = rows * matrix[:, None, :, 1] + shift.unsqueeze(1)
        grid = down.unsqueeze(2) + (columns * matrix[:, None, :, 0]).unsqueeze(1)  # affine_grid's takes far longer
        # grid_sample pads with 0: shift intensities so that 0 is the background.
        images = to_unit(batch).sub_(config.background)
        return functional.grid_sample(images, grid, mode="bilinear", align_corners=False).add_(config.background)

    def _intensities(self, images: Tensor, uniform: Tensor) -> Tensor:
        config, n = self.config, len(images)

        def factors(column: int) -> Tensor:
            return (2 * uniform[:, column] - 1).view(n, 1, 1, 1)

        if config.intensity_scale:  # about white: background stays background
            contrast = 1 + config.intensity_scale * factors(8)
            images = torch.addcmul(1 - contrast, images, contrast).clamp_(0, 1)
        if config.intensity_offset:
            images = (images + config.intensity_offset * factors(9)).clamp_(0, 1)
        if config.gamma:
            images = images.clamp(0, 1) ** torch.exp(math.log1p(config.gamma) * factors(10))
        return images

    def _erase(self, images: Tensor, uniform: Tensor) -> Tensor:
        size = images.shape[-1]
        side = (0.25 + 0.25 * uniform[:, 12]) * size
        corner = uniform[:, 13:15] * (size - side).unsqueeze(1)
        at = torch.arange(size, device=images.device)
        rows, columns = ((at >= corner[:, i : i + 1]) & (at < corner[:, i : i + 1] + side[:, None]) for i in (0, 1))
        is_erased = uniform[:, 15] < self.config.erase
        mask = rows[:, :, None] & columns[:, None, :] & is_erased[:, None, None]
        return images.masked_fill(mask.unsqueeze(1), self.config.background)


def _pixel_centres(side: int, cut_px: int, device: torch.device) -> Tensor:
    """Return where pixel centres lie along a side from -1 to 1, less those of a border, (side - 2 cut_px,)."""
    return (2 * torch.arange(cut_px, side - cut_px, device=device) + 1) / side - 1


def crop(images: Tensor, border_px: int) -> Tensor:
    """Cut the border off (..., h, w) images."""
    return images[..., border_px : images.shape[-2] - border_px, border_px : images.shape[-1] - border_px]


def to_unit(batch: Tensor) -> Tensor:
    """Return intensities in 0..1 as a float32 tensor of its own; uint8 is divided by 255."""
    return batch.float().div_(255) if batch.dtype == torch.uint8 else batch.to(torch.float32, copy=True)


def blur(images: Tensor, sigma: Tensor, radius_px: int) -> Tensor:
    """Blur each image of an (n, c, h, w) batch with its own Gaussian.

    Separable: on a CPU a sum of shifted images, on a GPU a convolution with a group per image; either is several times
    as fast as the other there. Kernels are cut at the radius and renormalised; edges are repeated.

    Parameters
    ----------
    images : (n, c, h, w) float tensor
    sigma : (n,) float tensor
        Standard deviations in pixels; 0 leaves an image as it is.
    radius_px : int
        `BLUR_REACH` of the widest.
    """
    height, width = images.shape[-2:]
    if radius_px < 1:
        return images
    at = torch.arange(-radius_px, radius_px + 1, device=images.device, dtype=images.dtype)
    kernels = torch.exp(-0.5 * (at / sigma.to(images.dtype).clamp_min(1e-3).unsqueeze(1)) ** 2)
    kernels = kernels / kernels.sum(dim=1, keepdim=True)
    for axis, length in ((3, width), (2, height)):
        padding = (radius_px, radius_px, 0, 0) if axis == 3 else (0, 0, radius_px, radius_px)
        padded = functional.pad(images, padding, mode="replicate")
        images = _by_groups(padded, kernels, axis) if images.is_cuda else _by_shifts(padded, kernels, axis, length)
    return images


def _by_shifts(padded: Tensor, kernels: Tensor, axis: int, length: int) -> Tensor:
    taps = kernels.T.reshape(-1, len(padded), 1, 1, 1)
    images = taps[0] * padded.narrow(axis, 0, length)
    for k in range(1, len(taps)):
        images.addcmul_(taps[k], padded.narrow(axis, k, length))
    return images


def _by_groups(padded: Tensor, kernels: Tensor, axis: int) -> Tensor:
    n, c, height, width = padded.shape
    weight = kernels.repeat_interleave(c, dim=0).reshape(n * c, 1, *((1, -1) if axis == 3 else (-1, 1)))
    found = functional.conv2d(padded.reshape(1, n * c, height, width), weight, groups=n * c)
    return found.reshape(n, c, *found.shape[-2:])
