"""A brain in MR after a contrast agent, without its skull, and a tumor in it that takes up the agent in a ring.

Signal is in thousandths of white matter's, before a scanner puts it on a scale of its own: there is no unit, and the
same tissue differs from scan to scan, so that nothing can be learned from it before it is normalized. The tumor is
that of `phantom.lesion`, its rim bright and its core dead instead of dense and hollow; around it the white matter is
swollen.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtr

from radiogenesis.cohort.scan import Scan
from radiogenesis.phantom.factors import FACTORS, LesionFactors
from radiogenesis.phantom.lesion import plant_lesion
from radiogenesis.phantom.scanner import Scanner, acquire, average_slices
from radiogenesis.phantom.thorax import Spacing, Volume, mix, random_field

EDEMA = "edema"
"""The seventh factor: how wide the swelling around the tumor is. It lies outside the outline, and none of the six
properties measures it."""
SIZE_MM = (16.0, 44.0)
WHITE, GRAY, FLUID, DEAD, SWOLLEN = 1000.0, 760.0, 320.0, 480.0, 690.0
BOX_MM = (72.0, 196.0, 156.0)  # a slab through the ventricles, (z, y, x)
HALF_MM = (74.0, 86.0, 67.0)  # of the ellipsoid that the brain is
GAIN = (0.15, 2.5)
"""What white matter's 1000 is multiplied by in a scan."""


def brain_factors(scores: pd.DataFrame, size_mm: tuple[float, float]) -> dict[str, LesionFactors]:
    """Monotone maps from scores (patients x FACTORS and EDEMA) to what tumors look like; a third have no dead core."""
    rank = pd.DataFrame(ndtr(scores.to_numpy(np.float64)), scores.index, list(scores.columns))
    return {
        str(patient): LesionFactors(
            size_mm=size_mm[0] * (size_mm[1] / size_mm[0]) ** row["size"],
            attenuation_hu=1200 + 700 * row["attenuation"],
            spiculation=row["spiculation"],
            margin_mm=1.2 * (5.0 / 1.2) ** row["margin"],
            heterogeneity_hu=25 * (180 / 25) ** row["heterogeneity"],
            cavitation=0.8 * max(0.0, (row["cavitation"] - 0.33) / 0.67),
            edema_mm=18 * row[EDEMA],
        )
        for patient, row in rank.iterrows()
    }


def brain_table(factors: dict[str, LesionFactors]) -> pd.DataFrame:
    """Patients x FACTORS and EDEMA: mm, signal in thousandths of white matter's, shares."""
    rows = [
        (f.size_mm, f.attenuation_hu, f.spiculation, f.margin_mm, f.heterogeneity_hu, f.cavitation, f.edema_mm)
        for f in factors.values()
    ]
    return pd.DataFrame(np.array(rows, np.float64), pd.Index(list(factors), name="patient"), [*FACTORS, EDEMA])


def brain_scans(
    patient: str, factors: LesionFactors, scanner: Scanner, rng: np.random.Generator, tumor: str
) -> tuple[Scan, Scan]:
    """The patient's scan with the tumor outlined, and the same brain before; both float32 on one scale of their own."""
    step = scanner.fine_spacing_mm
    signal, inside = draw_brain(step, rng)
    center = _center(inside, step, factors.size_mm / 2, rng)
    swollen = _with_edema(signal, inside, step, center, factors, rng)
    ill, body = plant_lesion(swollen, step, center, factors, rng, lungs=inside > 0, hollow=DEAD)
    mask = average_slices(body.astype(np.float32), scanner) > 0.5
    brain = average_slices((inside > 0).astype(np.float32), scanner) > 0.5
    scale = np.float32(rng.uniform(*GAIN)) * _coil(brain.shape, scanner.spacing_mm, rng)
    affine = np.eye(4)[:, [2, 1, 0, 3]] * [*scanner.spacing_mm, 1.0]  # (z, y, x) -> (x, y, z) mm
    seen = [np.where(brain, np.abs(acquire(one, scanner, rng)) * scale, np.float32(0)) for one in (ill, signal)]
    scans = [Scan(patient=patient, hu=one, affine=affine, acquisition=scanner.acquisition) for one in seen]
    return scans[0].with_mask(tumor, mask, tumor=True), scans[1]


def draw_brain(spacing_mm: Spacing, rng: np.random.Generator) -> tuple[Volume, Volume]:
    """Signal without noise, 0 outside, and how far inside the brain each voxel lies, in mm; (Z, Y, X) each."""
    shape = tuple(round(size / step) for size, step in zip(BOX_MM, spacing_mm, strict=True))
    axes = [
        (np.arange(n, dtype=np.float32) - (n - 1) / 2) * np.float32(s) for n, s in zip(shape, spacing_mm, strict=True)
    ]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    half = np.array(HALF_MM) * rng.uniform(0.94, 1.03, 3)
    rho = np.sqrt((z / half[0]) ** 2 + (y / half[1]) ** 2 + (x / half[2]) ** 2)
    folds, coarse = random_field(shape, spacing_mm, 3.0, rng), random_field(shape, spacing_mm, 6.0, rng)
    inside = ((1 - rho) * half[2] + 0.8 * folds).astype(np.float32)
    fissure = (np.abs(x) + 0.6 * coarse) + 4 * np.clip(1 - np.abs(y) / (0.55 * half[1]), 0, 1)
    depth = np.minimum(inside, fissure) - 5 * np.clip(folds, 0, 2) * np.exp(-np.clip(inside, 0, None) / 12)  # sulci
    signal = np.full(shape, np.float32(WHITE)) * (1 + np.float32(0.02) * coarse)
    signal = mix(signal, np.float32(GRAY), np.clip((5.5 - depth) / 1.5 + 0.5, 0, 1))
    signal = mix(signal, np.float32(FLUID), np.clip((0.8 - depth) / 1.2 + 0.5, 0, 1))
    wide = rng.uniform(5.0, 9.0)
    for side in (-1, 1):
        nuclei = np.sqrt(((x - side * 17) / 11) ** 2 + ((y + 4) / 19) ** 2 + (z / 16) ** 2)
        signal = mix(signal, np.float32(GRAY), np.clip((1 - nuclei) * 6 + 0.5, 0, 1))
        ventricle = np.sqrt(((x - side * (7 + 0.004 * y * y)) / wide) ** 2 + ((y - 6) / 34) ** 2 + ((z - 8) / 17) ** 2)
        signal = mix(signal, np.float32(FLUID), np.clip((1 - ventricle) * 5 + 0.5, 0, 1))
    return np.where(inside > 0, signal, 0).astype(np.float32), inside


def _center(inside: Volume, spacing_mm: Spacing, radius_mm: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """An array index (z, y, x) near the middle plane, deep enough for the tumor and off the midline."""
    middle, reach = len(inside) // 2, int(8.0 / spacing_mm[0])
    slab = inside[middle - reach : middle + reach + 1]
    aside = np.abs((np.arange(inside.shape[2]) - (inside.shape[2] - 1) / 2) * spacing_mm[2])
    room = np.minimum(slab - radius_mm - 2, aside - 0.6 * radius_mm - 4)
    places = np.argwhere(room >= min(0.0, float(np.quantile(room, 0.998))))
    return (places[rng.integers(len(places))] + [middle - reach, 0, 0]).astype(np.float64)


def _with_edema(
    signal: Volume, inside: Volume, spacing_mm: Spacing, center: NDArray[np.float64], factors: LesionFactors,
    rng: np.random.Generator,
) -> Volume:  # fmt: skip
    """White matter swollen around the tumor, in fingers; cortex and fluid are not."""
    offsets = [(np.arange(n) - c) * s for n, c, s in zip(signal.shape, center, spacing_mm, strict=True)]
    z, y, x = np.meshgrid(*(o.astype(np.float32) for o in offsets), indexing="ij", sparse=True)
    beyond = np.sqrt(z * z + y * y + x * x) - np.float32(factors.size_mm / 2)
    fingers = random_field(signal.shape, spacing_mm, 5.0, rng)
    swelling = ndtr((factors.edema_mm * (1 + 0.35 * fingers) - beyond) / 1.5) * (factors.edema_mm > 0)
    white = np.clip((signal - 0.93 * WHITE) / (0.05 * WHITE), 0, 1) * (inside > 3)
    return mix(signal, np.float32(SWOLLEN), (0.9 * swelling * white).astype(np.float32))


def _coil(shape: tuple[int, ...], spacing_mm: Spacing, rng: np.random.Generator) -> Volume:
    """How unevenly the coil receives: a slow change of some percent across the head."""
    slopes = rng.normal(0, 0.0006, 3)
    offsets = [(np.arange(n) - (n - 1) / 2) * s for n, s in zip(shape, spacing_mm, strict=True)]
    z, y, x = np.meshgrid(*offsets, indexing="ij", sparse=True)
    uneven: Volume = np.exp(slopes[0] * z + slopes[1] * y + slopes[2] * x).astype(np.float32)
    return uneven
