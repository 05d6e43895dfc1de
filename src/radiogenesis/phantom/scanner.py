"""What a scanner makes of a chest: reconstruction kernel, noise, slice thickness.

In each plane the image's spectrum is multiplied by the kernel's transfer function, and noise is added whose power grows
with frequency until the kernel cuts it off, as filtered back-projection makes it (Kijewski and Judy 1987).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from radiogenesis.cohort.scan import AIR_HU, Acquisition


@dataclass(frozen=True)
class Kernel:
    """A reconstruction kernel."""

    blur_mm: float
    """Standard deviation of its point spread, mm."""
    enhancement: float
    """Height of the bump that lifts middle frequencies above 1: bright rims along edges."""
    noise_hu: float
    """Standard deviation of the noise at a slice thickness of 2 mm, HU."""


KERNELS = {
    "smooth": Kernel(0.70, 0.0, 14.0),
    "standard": Kernel(0.55, 0.10, 24.0),
    "sharp": Kernel(0.36, 0.55, 46.0),
}
# Slice spacing in mm, and how many planes are drawn and averaged for one slice.
SLICES = {1.0: 1, 1.25: 1, 1.5: 1, 2.0: 1, 2.5: 2, 3.0: 2}
PIXEL_MM = (0.74, 0.94)
MAKER, MODEL = "radiogenesis", "phantom"


@dataclass(frozen=True)
class Scanner:
    """How one patient is scanned."""

    kernel: str
    slice_mm: float
    pixel_mm: float
    dose: float
    """Factor on the kernel's noise."""
    kvp: float = 120.0
    """Tube voltage; nan for MR."""

    @property
    def fine_spacing_mm(self) -> tuple[float, float, float]:
        """Of the planes that are averaged into slices, (z, y, x)."""
        return self.slice_mm / SLICES[self.slice_mm], self.pixel_mm, self.pixel_mm

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        """Of the scan, (z, y, x)."""
        return self.slice_mm, self.pixel_mm, self.pixel_mm

    @property
    def acquisition(self) -> Acquisition:
        """What a header would say."""
        return Acquisition(
            manufacturer=MAKER, model=MODEL, kernel=self.kernel, slice_thickness_mm=self.slice_mm, kvp=self.kvp
        )


def draw_scanner(kernel: str, rng: np.random.Generator) -> Scanner:
    """A scanner with this kernel: slices, pixels and dose vary between patients."""
    return Scanner(
        kernel, float(rng.choice(list(SLICES))), round(float(rng.uniform(*PIXEL_MM)), 3), float(rng.uniform(0.8, 1.25))
    )


def average_slices(fine: NDArray[np.float32], scanner: Scanner) -> NDArray[np.float32]:
    """Means of as many planes as make one slice; planes left over at the end are dropped."""
    count = SLICES[scanner.slice_mm]
    whole = fine[: len(fine) // count * count]
    averaged: NDArray[np.float32] = whole.reshape(-1, count, *fine.shape[1:]).mean(axis=1)
    return averaged


def acquire(fine: NDArray[np.float32], scanner: Scanner, rng: np.random.Generator) -> NDArray[np.int16]:
    """The scan of a chest: (planes, Y, X) without noise -> (slices, Y, X) HU."""
    kernel = KERNELS[scanner.kernel]
    slices = average_slices(fine, scanner)
    frequency = _frequencies(slices.shape[1:], scanner.pixel_mm)  # cycles per mm
    transfer = np.exp(-2 * (np.pi * kernel.blur_mm * frequency) ** 2)
    transfer *= 1 + kernel.enhancement * np.exp(-(((frequency - 0.45) / 0.22) ** 2))
    transfer /= transfer[0, 0]  # HU of uniform tissue are kept
    shape = np.sqrt(frequency) * transfer
    spectrum = fft.rfft2(slices, overwrite_x=True)
    spectrum *= transfer.astype(np.float32)
    noise = fft.rfft2(rng.standard_normal(slices.shape, np.float32))
    sigma = kernel.noise_hu * scanner.dose * np.sqrt(2.0 / scanner.slice_mm)
    noise *= (shape * sigma / _white_gain(shape, slices.shape[2])).astype(np.float32)
    hu = fft.irfft2(spectrum + noise, slices.shape[1:])
    return np.rint(np.clip(hu, AIR_HU, 3071)).astype(np.int16)


def _frequencies(shape: tuple[int, ...], pixel_mm: float) -> NDArray[np.float64]:
    """Radial frequency of each coefficient of `rfft2`, cycles per mm."""
    return np.hypot(fft.fftfreq(shape[0], pixel_mm)[:, None], fft.rfftfreq(shape[1], pixel_mm))


def _white_gain(shape: NDArray[np.float64], columns: int) -> float:
    """Standard deviation of white noise of deviation 1 after this filter."""
    power = shape**2
    twice = np.full(shape.shape[1], 2.0)
    twice[0] = 1.0
    if columns % 2 == 0:
        twice[-1] = 1.0
    return float(np.sqrt((power * twice).sum() / (shape.shape[0] * columns)))
