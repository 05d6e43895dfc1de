"""One lesion in 3-D, drawn into a volume of any voxel size.

The surface is a radius over directions, R(u) = R0 * (1 + lobes(u) + spicules(u)), scaled so that the body has the
volume of the sphere of the wanted diameter. Density falls off across it like the integral of a Gaussian; texture,
cavity and the vessels that ground glass leaves visible lie inside.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from radiogenesis.phantom.factors import LesionFactors

Number = TypeVar("Number", bound=np.number)
Spacing = tuple[float, float, float]

# From 10 to 90 % of the integral of a Gaussian, in its standard deviations.
TEN_TO_NINETY = 2.5631
CAVITY_HU = -960.0
# The denser part of a lesion: its radius within the plane and along the body, as shares of the lesion's radius; how
# much denser it is; and what is left of the lesion's edge at its furthest place.
SOLID_SHARE, SOLID_HEIGHT, SOLID_HU, SOLID_EDGE_MM = 0.35, 0.9, 250.0, 1.0
# Density of a strand outside the body, as a share of the body's.
STRAND_SHARE = 0.45
STRAND_MM = 10.0
# Reach of the box around the lesion: beyond this many standard deviations of the edge nothing is changed.
EDGE_REACH = 3.5


@dataclass(frozen=True)
class Surface:
    """A star-shaped surface: bumps on the unit sphere, each exp(sharpness * (cos(angle to its axis) - 1)).

    Attributes:
        radius_mm: radius where no bump is.
        axes: (K, 3) unit vectors (z, y, x).
        height: (K,) share of the radius added on the axis.
        sharpness: (K,) 1 / angular width^2.
    """

    radius_mm: float
    axes: NDArray[np.float32]
    height: NDArray[np.float32]
    sharpness: NDArray[np.float32]

    def radius(self, directions: NDArray[np.float32]) -> NDArray[np.float32]:
        """Radius in mm in the directions (n, 3), unit vectors."""
        cosine = directions @ self.axes.T  # (n, K)
        cosine -= 1
        cosine *= self.sharpness
        np.exp(cosine, out=cosine)
        bumps = cosine @ self.height  # (n,)
        return np.asarray(self.radius_mm * np.maximum(1 + bumps, 0.3), np.float32)

    @property
    def reach_mm(self) -> float:
        """No point of the surface is further from the center."""
        return float(self.radius(np.concatenate([self.axes, _sphere(600)])).max() * 1.02)


def draw_surface(diameter_mm: float, spiculation: float, rng: np.random.Generator) -> Surface:
    """A surface whose body has the volume of the sphere of `diameter_mm`, whatever its spicules."""
    radius = diameter_mm / 2
    # Spicules are a millimeter or two thick whatever the lesion, and as dense on every slice through it.
    width = float(np.clip(1.5 / radius, 0.10, 0.24))
    spicules, lobes = round(7.0 / width), 14
    widths = width * rng.uniform(0.6, 1.5, spicules)
    # A few long ones among many short ones; their mean and the lobes' height follow spiculation without chance.
    reach, lobe = rng.beta(0.7, 1.5, spicules), rng.standard_normal(lobes)
    reach_mm = spiculation * np.clip(0.4 * radius, 2.2, 5.0) * reach / reach.mean()
    lobe *= (0.05 + 0.11 * spiculation) / np.sqrt(np.mean(lobe**2))
    return _of_volume(
        diameter_mm,
        _directions(spicules + lobes, rng),
        np.concatenate([reach_mm / radius, lobe]),
        np.concatenate([widths**-2, np.full(lobes, 5.0)]),
    )


def draw_strands(body: Surface, spiculation: float, rng: np.random.Generator) -> Surface:
    """Fine strands that run on from the body into the lung: the corona radiata of spiculated lesions."""
    count = round(60 * spiculation)
    length_mm = np.minimum(rng.gamma(3.0, 2.2, count), STRAND_MM)
    thin = np.clip(0.55 / (body.radius_mm + 0.5 * length_mm), 0.02, 0.09)
    return Surface(
        body.radius_mm * 0.9,
        _directions(count, rng).astype(np.float32),
        (length_mm / body.radius_mm).astype(np.float32),
        (thin**-2).astype(np.float32),
    )


def _of_volume(
    diameter_mm: float, axes: NDArray[np.float64], height: NDArray[np.float64], sharpness: NDArray[np.float64]
) -> Surface:
    """The surface with these bumps, scaled to the volume of the sphere of this diameter."""
    single = [values.astype(np.float32) for values in (axes, height, sharpness)]
    volume = np.mean(Surface(1.0, *single).radius(_sphere(4000)).astype(np.float64) ** 3)  # in unit spheres
    return Surface(diameter_mm / 2 / float(volume) ** (1 / 3), *single)


def _directions(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(count, 3) random unit vectors."""
    axes = rng.standard_normal((count, 3))
    unit: NDArray[np.float64] = axes / np.linalg.norm(axes, axis=1, keepdims=True)
    return unit


def plant_lesion(
    hu: NDArray[Number],
    spacing_mm: Spacing,
    center_zyx: tuple[float, float, float] | NDArray[np.floating],
    factors: LesionFactors,
    rng: np.random.Generator,
    *,
    lungs: NDArray[np.bool_] | None = None,
    hollow: float = CAVITY_HU,
) -> tuple[NDArray[Number], NDArray[np.bool_]]:
    """A copy of the volume with one lesion in it. Only a box around the lesion is touched.

    Args:
        hu: (Z, Y, X) HU, float32 or int16.
        spacing_mm: distance between voxel centers along (z, y, x).
        center_zyx: the lesion's center as an array index, fractions allowed.
        factors: what it looks like.
        rng: draws what the factors leave open: shape, orientation, texture, place of the cavity.
        lungs: (Z, Y, X) bool; the lesion does not grow out of them. None: it grows anywhere.
        hollow: of what is in its cavity: air, or the dead core of a tumor of the brain.

    Returns:
        hu with the lesion (same dtype), and its body (Z, Y, X) bool: where its density is above half, spicules and
        cavity included.

    Raises:
        ValueError: the center is outside the volume.
    """
    center = np.asarray(center_zyx, np.float64)
    if hu.ndim != 3 or not ((center >= 0) & (center <= np.array(hu.shape) - 1)).all():
        raise ValueError(f"center {center.tolist()} is not inside a volume of shape {hu.shape}")
    surface = draw_surface(factors.size_mm, factors.spiculation, rng)
    sigma = factors.margin_mm / TEN_TO_NINETY
    box = _box(center, max(surface.reach_mm, surface.radius_mm + STRAND_MM) + EDGE_REACH * sigma, spacing_mm, hu.shape)
    offset = _offsets(box, center, spacing_mm)  # (Z, Y, X, 3) mm
    depth = _depth(offset, surface, EDGE_REACH * sigma)
    weight = ndtr(depth / np.float32(sigma))
    if lungs is not None:
        weight *= lungs[box]
    body = weight >= 0.5
    if factors.spiculation > 0:
        strands = _depth(offset, draw_strands(surface, factors.spiculation, rng), EDGE_REACH * sigma)
        strand = STRAND_SHARE * ndtr(strands / np.float32(max(sigma, 0.8)))
        weight = np.maximum(weight, strand if lungs is None else strand * lungs[box])

    before = hu[box].astype(np.float32)
    tissue = factors.attenuation_hu + factors.heterogeneity_hu * _texture(body, spacing_mm, rng)
    # Vessels denser than the lesion stay visible through it.
    inside = np.maximum(tissue, before) if factors.attenuation_hu < -200 else tissue
    inside = _with_solid_part(inside, offset, factors, surface)
    inside = _hollow(inside, offset, factors, surface, rng, hollow) + _scan_noise(before, spacing_mm)
    after = before + weight * (inside - before)

    planted, mask = hu.copy(), np.zeros(hu.shape, bool)
    planted[box] = np.rint(after).astype(hu.dtype) if np.issubdtype(hu.dtype, np.integer) else after.astype(hu.dtype)
    mask[box] = body
    return planted, mask


def _box(
    center: NDArray[np.float64], reach_mm: float, spacing_mm: Spacing, shape: tuple[int, ...]
) -> tuple[slice, slice, slice]:
    reach = reach_mm / np.array(spacing_mm)
    low = np.maximum(np.floor(center - reach), 0).astype(int)
    high = np.minimum(np.ceil(center + reach) + 1, shape).astype(int)
    z, y, x = (slice(int(a), int(b)) for a, b in zip(low, high, strict=True))
    return z, y, x


def _offsets(box: tuple[slice, ...], center: NDArray[np.float64], spacing_mm: Spacing) -> NDArray[np.float32]:
    """(Z, Y, X, 3): where each voxel of the box lies from the lesion's center, (z, y, x) in mm."""
    axes = [
        ((np.arange(edge.start, edge.stop) - c) * step).astype(np.float32)
        for edge, c, step in zip(box, center, spacing_mm, strict=True)
    ]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def _depth(offset: NDArray[np.float32], surface: Surface, reach_mm: float) -> NDArray[np.float32]:
    """(Z, Y, X): how far inside the surface each voxel lies along its own radius, mm; outside negative."""
    distance = np.linalg.norm(offset, axis=-1)  # (Z, Y, X)
    depth = (surface.radius_mm - distance).astype(np.float32)
    near = (distance < surface.reach_mm + reach_mm) & (distance > 1e-3)
    depth[near] = surface.radius(offset[near] / distance[near, None]) - distance[near]
    return depth


def _texture(body: NDArray[np.bool_], spacing_mm: Spacing, rng: np.random.Generator) -> NDArray[np.float32]:
    """A random field of mean 0 and standard deviation 1 inside the body, correlated over 3 to 4 mm."""
    sigma = rng.uniform(3.0, 4.4) / 2 / np.array(spacing_mm)
    field = gaussian_filter(rng.standard_normal(body.shape, np.float32), sigma)
    inside = field[body] if body.sum() > 1 else field
    field -= inside.mean()
    field /= max(float(inside.std()), 1e-6)
    return np.clip(field, -2.5, 2.5)


def _with_solid_part(
    tissue: NDArray[np.float32], offset: NDArray[np.float32], factors: LesionFactors, surface: Surface
) -> NDArray[np.float32]:
    """The tissue with a denser part, off the middle within the plane, so that it shows on every slice."""
    if factors.solid_offset is None:
        return tissue
    radius = SOLID_SHARE * surface.radius_mm
    # Which way follows the lesion's shape, which is random: no further chance is drawn.
    along = surface.axes[0, 1:] / max(float(np.linalg.norm(surface.axes[0, 1:])), 1e-6)
    aside = factors.solid_offset * (surface.radius_mm - radius - SOLID_EDGE_MM) * along
    across = np.hypot(offset[..., 1] - aside[0], offset[..., 2] - aside[1])
    distance = np.hypot(across, offset[..., 0] * (SOLID_SHARE / SOLID_HEIGHT))
    denser: NDArray[np.float32] = tissue + SOLID_HU * ndtr((radius - distance) / np.float32(0.8))
    return denser


def _hollow(
    tissue: NDArray[np.float32],
    offset: NDArray[np.float32],
    factors: LesionFactors,
    surface: Surface,
    rng: np.random.Generator,
    level: float,
) -> NDArray[np.float32]:
    """The tissue with its cavity: lobulated air, off the middle but with a wall all around."""
    diameter = factors.cavitation * factors.size_mm
    cavity = _of_volume(diameter, _directions(9, rng), 0.16 * rng.standard_normal(9), np.full(9, 4.0))
    aside = _directions(1, rng)[0] * rng.uniform(0, 0.45) * (surface.radius_mm - cavity.radius_mm)
    if factors.cavitation <= 0:
        return tissue
    depth = _depth(offset - aside.astype(np.float32), cavity, 3.0)
    hollow: NDArray[np.float32] = tissue + ndtr(depth / np.float32(0.5)) * (level - tissue)
    return hollow


def _scan_noise(before: NDArray[np.float32], spacing_mm: Spacing) -> NDArray[np.float32]:
    """The scan's own noise in the box, so that a lesion planted in a real lung is not smoother than the lung.

    What a blur of 1.5 mm in the plane removes, without what is too strong for noise (vessels and edges: beyond 2.5
    robust standard deviations).
    """
    blur = [0.0, 1.5 / spacing_mm[1], 1.5 / spacing_mm[2]]
    detail = before - gaussian_filter(before, blur)
    spread = 1.4826 * float(np.median(np.abs(detail)))
    noise: NDArray[np.float32] = np.where(np.abs(detail) < 2.5 * spread, detail, np.float32(0))
    return noise


def _sphere(count: int) -> NDArray[np.float32]:
    """(count, 3) unit vectors spread evenly (Fibonacci lattice)."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + 5**0.5) * index
    ring = np.sqrt(1 - z**2)
    return np.stack([z, ring * np.sin(angle), ring * np.cos(angle)], axis=1).astype(np.float32)
