"""One half of a chest in 3-D, in HU, before any scanner has blurred it.

Coordinates are (z, y, x) in mm: z along the body, y from front to back, x from the outer chest wall to the mediastinum
(mirrored for a left lung). Everything is a function of the signed distance to the lung's surface.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from radiogenesis.phantom import vessels

Volume = NDArray[np.float32]
Spacing = tuple[float, float, float]

HEIGHT_MM = 66.0
DEPTH_MM = 170.0
WIDTH_MM = 148.0
_ASIDE = np.array([0.3, 0.75, 0.59])  # where an artery's airway lies, a unit vector
BLOOD_HU, FAT_HU, MUSCLE_HU, AIR_HU = 45.0, -100.0, 50.0, -1000.0


@dataclass(frozen=True)
class Thorax:
    """A half chest.

    Attributes:
        hu: (Z, Y, X) float32, no noise.
        inside_mm: (Z, Y, X) float32, distance to the lung's surface, positive in the lung.
        spacing_mm: (z, y, x).
        hilum_mm: (3,) where the vessels enter.
        half: first column, and the column after the last, of the side that the hilum belongs to.
    """

    hu: Volume
    inside_mm: Volume
    spacing_mm: Spacing
    hilum_mm: NDArray[np.float64]
    half: tuple[int, int | None] = (0, None)


def draw_thorax(spacing_mm: Spacing, rng: np.random.Generator) -> Thorax:
    """Chest wall, ribs, mediastinum, and a lung with its texture, vessels, airways and fissure."""
    shape = tuple(round(size / step) for size, step in zip((HEIGHT_MM, DEPTH_MM, WIDTH_MM), spacing_mm, strict=True))
    axes = [np.arange(n, dtype=np.float32) * np.float32(step) for n, step in zip(shape, spacing_mm, strict=True)]
    z, y, x = np.meshgrid(*axes, indexing="ij", sparse=True)
    hilum = np.array([HEIGHT_MM / 2 + rng.uniform(-12, 12), 88 + rng.uniform(-8, 8), 113 + rng.uniform(-5, 3)])

    wall, medial = wall_distance(z, y, x, rng), medial_distance(z, y, x, rng)
    wobble = random_field(shape, spacing_mm, 9.0, rng)
    inside = smooth_min(wall, medial, 6.0) + np.float32(0.9) * wobble
    coarse = random_field(shape, spacing_mm, 4.0, rng)
    hu = chest_wall(z, y, wall, coarse, rng)
    hu = mix(hu, mediastinum(z, y, x, medial, wobble, coarse, rng), np.clip((wall - medial) / 3 + 0.5, 0, 1))
    lung = trees(parenchyma(z, y, x, shape, spacing_mm, rng), spacing_mm, inside, hilum, rng)
    hu = mix(hu, lung, np.clip(inside / 0.8 + 0.5, 0, 1))
    if rng.random() < 0.5:  # a left lung
        hu, inside = hu[:, :, ::-1], inside[:, :, ::-1]
        hilum[2] = (shape[2] - 1) * spacing_mm[2] - hilum[2]
    return Thorax(np.ascontiguousarray(hu), np.ascontiguousarray(inside), spacing_mm, hilum)


def wall_distance(z: Volume, y: Volume, x: Volume, rng: np.random.Generator) -> Volume:
    """Distance inside the rib cage, mm: an ellipse that widens downwards."""
    grow = 1 + np.float32(rng.uniform(0, 0.0015)) * (HEIGHT_MM / 2 - z)
    depth, width = 60 * rng.uniform(0.93, 1.05), 94 * rng.uniform(0.92, 1.05)
    v = (y - 85) / (np.float32(depth) * grow)
    u = (x - 122) / (np.float32(width) * grow)
    squared = v * v + u * u
    rho = np.sqrt(squared) + np.float32(1e-4)
    gradient = np.sqrt((v / (depth * grow)) ** 2 + (u / (width * grow)) ** 2) / rho + np.float32(1e-4)
    distance: Volume = np.minimum((1 - rho) / gradient, 60).astype(np.float32)
    return distance


def medial_distance(z: Volume, y: Volume, x: Volume, rng: np.random.Generator) -> Volume:
    """Distance outside the mediastinum, mm: heart in front, spine and aorta behind, hilum between."""
    heart = rng.uniform(4, 22) * np.exp(-(((y - rng.uniform(52, 66)) / 22) ** 2)) * (1 - z / (1.6 * HEIGHT_MM))
    spine = rng.uniform(8, 16) * np.exp(-(((y - rng.uniform(128, 138)) / 16) ** 2))
    distance: Volume = (rng.uniform(116, 124) - heart - spine - x).astype(np.float32)
    return distance


def chest_wall(z: Volume, y: Volume, wall: Volume, coarse: Volume, rng: np.random.Generator) -> Volume:
    """Pleura, ribs between muscles, fat, an outer muscle, skin, air: by depth outside the lung."""
    depth = -wall + np.float32(0.7) * coarse
    thick = rng.uniform(18, 30)
    muscle = rng.uniform(4, 9)
    hu = np.full(depth.shape, FAT_HU, np.float32) + 12 * coarse
    hu = mix(hu, MUSCLE_HU + 8 * coarse, _band(depth, 0.4, 10.0))
    middle, half = 10 + (thick - 10) * 0.45, muscle / 2
    hu = mix(hu, MUSCLE_HU + 10 * coarse, _band(depth, middle - half, middle + half))
    hu = mix(hu, np.float32(20), _band(depth, thick - 1.8, thick))
    # Ribs run obliquely: each plane of the scan cuts them at another place along the wall.
    spacing, slope = rng.uniform(24, 30), rng.uniform(0.45, 0.75) * (1 if rng.random() < 0.8 else 0.6)
    phase = (z + slope * (y - 85) + rng.uniform(0, spacing)) / spacing
    across = (phase - np.round(phase)) * spacing
    rho = np.sqrt((across / 7.0) ** 2 + ((depth - 6.0) / 3.6) ** 2)
    bone = np.where(rho > 0.72, rng.uniform(550, 900), rng.uniform(80, 260) + 60 * coarse).astype(np.float32)
    hu = mix(hu, bone, np.clip((1 - rho) * 4 + 0.5, 0, 1))
    return mix(hu, np.float32(AIR_HU), np.clip((depth - thick) / 0.9 + 0.5, 0, 1))


def mediastinum(
    z: Volume, y: Volume, x: Volume, medial: Volume, wobble: Volume, coarse: Volume, rng: np.random.Generator
) -> Volume:
    """Heart and vessels in fat, a vertebra behind."""
    tissue = np.float32(rng.uniform(35, 70)) + 8 * coarse
    hu = mix(tissue, FAT_HU + 10 * coarse, np.clip(1.2 * (wobble - rng.uniform(0.2, 0.8)) + 0.5, 0, 1))
    spine = np.sqrt(((y - 136) / 17) ** 2 + ((x - 140) / 21) ** 2 + 0 * z)
    bone = np.where(spine > 0.88, rng.uniform(400, 600), rng.uniform(120, 220) + 50 * coarse).astype(np.float32)
    return mix(hu, bone, np.clip((1 - spine) * 8 + 0.5, 0, 1))


def parenchyma(
    z: Volume, y: Volume, x: Volume, shape: tuple[int, ...], spacing_mm: Spacing, rng: np.random.Generator
) -> Volume:
    """Lung with gravity, texture and emphysema; a fissure."""
    base, gravity = rng.uniform(-885, -815), rng.uniform(10, 45)
    lobules = random_field(shape, spacing_mm, 2.2, rng)
    hu = (base + gravity * (y - 85) / 60 + rng.uniform(10, 20) * lobules).astype(np.float32)
    if rng.random() < 0.35:
        holes = random_field(shape, spacing_mm, rng.uniform(2.5, 4.0), rng)
        hu = mix(hu, np.float32(-955), rng.uniform(0.4, 0.8) * np.clip(holes - rng.uniform(0.8, 1.6), 0, 1))
    if rng.random() < 0.7:
        tilt, bend = rng.uniform(0.4, 1.0), rng.uniform(-6, 6)
        sheet = (y - rng.uniform(70, 105)) - tilt * (z - HEIGHT_MM / 2) + bend * np.sin(x / 25)
        hu += rng.uniform(60, 160) * np.exp(-((sheet / 1.1) ** 2))
    return hu


def trees(
    hu: Volume, spacing_mm: Spacing, inside: Volume, hilum: NDArray[np.float64], rng: np.random.Generator
) -> Volume:
    """Arteries with their airways, and veins."""
    blood = BLOOD_HU + rng.uniform(-10, 25)
    thin, thick = np.zeros(hu.shape, np.float32), np.zeros(hu.shape, np.float32)
    wall, lumen = np.zeros(hu.shape, np.float32), np.zeros(hu.shape, np.float32)
    border = 1.3 * spacing_mm[1]
    density = rng.uniform(0.8, 1.25)
    for kind in ("artery", "vein"):
        root = hilum + rng.normal(0, 6, 3)
        tree = vessels.grow_tree(root, _targets(inside, spacing_mm, round(1050 * density), rng), rng)
        vessels.splat_thin(thin, spacing_mm, vessels.sample_tubes(tree, 0.6, (0.0, border)))
        position, radius, _ = vessels.sample_tubes(tree, 0.9, (border, np.inf))
        vessels.stamp_balls(thick, spacing_mm, position, np.minimum(radius, 6.5))
        if kind == "artery":
            position, radius, _ = vessels.sample_tubes(tree, 0.8, (1.4, np.inf))
            bronchus = 0.8 * np.minimum(radius, 4.0)
            beside = position + _ASIDE * (np.minimum(radius, 6.5) + bronchus + 0.3)[:, None]
            vessels.stamp_balls(wall, spacing_mm, beside, bronchus + 0.5 + 0.1 * bronchus)
            vessels.stamp_balls(lumen, spacing_mm, beside, bronchus)
    hu = mix(hu, np.float32(-350), wall)
    hu = mix(hu, np.float32(AIR_HU + 30), lumen)
    return mix(hu, np.float32(blood), np.maximum(np.clip(thin, 0, 1), thick))


def _targets(inside: Volume, spacing_mm: Spacing, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Points (count, 3) in mm spread over the lung, at least 2 mm from its surface."""
    found = np.empty((0, 3))
    while len(found) < count:
        tried = rng.random((4 * count, 3)) * inside.shape
        at = tuple(tried.astype(int).T)
        found = np.concatenate([found, tried[inside[at] > 2.0]])
    return found[:count] * np.array(spacing_mm)


def random_field(shape: tuple[int, ...], spacing_mm: Spacing, sigma_mm: float, rng: np.random.Generator) -> Volume:
    """A random field of mean 0 and standard deviation 1, smooth over `sigma_mm`: drawn coarsely and interpolated."""
    step = np.maximum(np.floor(0.9 * sigma_mm / np.array(spacing_mm)), 1)
    small = tuple(int(np.ceil(n / s)) + 2 for n, s in zip(shape, step, strict=True))
    sigma = sigma_mm / (step * np.array(spacing_mm))
    field = gaussian_filter(rng.standard_normal(small, np.float32), sigma, truncate=3)
    field /= field.std()
    for axis, (count, every) in enumerate(zip(shape, step, strict=True)):
        field = _interpolate(field, axis, np.arange(count, dtype=np.float32) / np.float32(every))
    return field


def _interpolate(field: Volume, axis: int, at: Volume) -> Volume:
    """Linear interpolation along one axis at the given positions."""
    low = np.minimum(at.astype(np.intp), field.shape[axis] - 2)
    share = (at - low).astype(np.float32).reshape([-1 if i == axis else 1 for i in range(3)])
    below = field.take(low, axis)
    return below + share * (field.take(low + 1, axis) - below)


def _band(depth: Volume, low: float, high: float) -> Volume:
    """1 between the two depths, soft over a millimeter."""
    return np.clip(depth - low + 0.5, 0, 1) * np.clip(high - depth + 0.5, 0, 1)


def smooth_min(a: Volume, b: Volume, width: float) -> Volume:
    """The smaller of two distances, rounded where they meet."""
    mixed = np.clip(0.5 + 0.5 * (b - a) / width, 0, 1)
    return b + (a - b) * mixed - width * mixed * (1 - mixed)


def mix(below: Volume, above: Volume | np.float32, share: Volume) -> Volume:
    return below + share * (above - below)
