"""Shape: the lesion's outline as a polygon (marching squares) and as a cloud of pixels.

IBSI defines shape in three dimensions only; these are its definitions in the plane (as in PyRadiomics, shape2D), and
have no code.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from radiogenesis.phenotypes.radiomics.feature import Feature
from radiogenesis.phenotypes.radiomics.lesions import Lesions

_ROWS = (
    ("mesh_area", "mm2", "area of the polygon that joins the middles between inner and outer pixels"),
    ("pixel_area", "mm2", "area of the pixels"),
    ("perimeter", "mm", "length of the polygon, holes included"),
    ("perimeter_to_area", "1/mm", "perimeter over the polygon's area"),
    ("sphericity", "", "perimeter of the circle of equal area over the perimeter: 1 for a circle"),
    ("maximum_diameter", "mm", "largest distance between two corners of the polygon"),
    ("major_axis", "mm", "4 standard deviations of the pixels along their longest axis"),
    ("minor_axis", "mm", "the same across"),
    ("elongation", "", "minor over major axis: 1 for a circle; nan for a single pixel"),
)
FEATURES = {f"shape_{name}": Feature("shape", None, *row) for name, *row in _ROWS}


def outline_shape(lesions: Lesions) -> dict[str, Tensor]:
    """The features of `FEATURES`, (B,) float64 each; without meaning where the lesion is empty."""
    side = lesions.pixel_mm
    lesion = lesions.outline
    pixels = lesion.flatten(1).sum(1).double()
    area, perimeter = _polygon(lesion)
    area, perimeter = area * side**2, perimeter * side
    minor, major = (4 * side * root for root in _standard_deviations(lesion, pixels))
    features = {
        "mesh_area": area,
        "pixel_area": pixels * side**2,
        "perimeter": perimeter,
        "perimeter_to_area": perimeter / area,
        "sphericity": 2 * (math.pi * area).sqrt() / perimeter,
        "maximum_diameter": _largest_distance(lesion) * side,
        "major_axis": major,
        "minor_axis": minor,
        "elongation": minor / major,
    }
    return {f"shape_{name}": value for name, value in features.items()}


def _polygon(lesion: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) area and perimeter in pixels, summed over the squares between 4 pixel centers.

    A square with 1 pixel of the lesion holds a triangle of 1/8, with 2 a half, with 3 all but 1/8; two pixels in
    opposite corners are two triangles.
    """
    a, b, c, d = lesion[:, :-1, :-1], lesion[:, :-1, 1:], lesion[:, 1:, 1:], lesion[:, 1:, :-1]
    inside = a.byte() + b + c + d
    two, same = inside == 2, a == c
    one, half, three, all_four, opposite = (
        kind.flatten(1).count_nonzero(1).double()
        for kind in (inside == 1, two & ~same, inside == 3, inside == 4, two & same)
    )
    area = one / 8 + half / 2 + three * 7 / 8 + all_four + opposite / 4
    return area, half + (one + three) * math.sqrt(1 / 2) + opposite * math.sqrt(2)


def _standard_deviations(lesion: Tensor, pixels: Tensor) -> tuple[Tensor, Tensor]:
    """(B,) smaller and larger standard deviation of the pixels' centers along their principal axes, in pixels."""
    y, x = (torch.arange(size, dtype=torch.float64, device=lesion.device) for size in lesion.shape[1:])
    rows, columns = lesion.sum(2).double(), lesion.sum(1).double()  # (B, h), (B, w)
    y = y - (rows @ y / pixels)[:, None]  # (B, h), centered
    x = x - (columns @ x / pixels)[:, None]
    yy, xx = (rows * y.square()).sum(1) / pixels, (columns * x.square()).sum(1) / pixels
    xy = torch.einsum("bh,bhw,bw->b", y, lesion.double(), x) / pixels
    middle, spread = (yy + xx) / 2, torch.hypot((yy - xx) / 2, xy)
    return (middle - spread).clamp_min(0.0).sqrt(), (middle + spread).sqrt()


def _largest_distance(lesion: Tensor) -> Tensor:
    """(B,) largest distance between corners of the polygon, in pixels.

    The corners lie half a pixel beside, above and below the pixels' centers, so two pixels dx and dy apart have corners
    sqrt(max((dx + 1)^2 + dy^2, dx^2 + (dy + 1)^2)) apart. In each row only the outermost pixels can be the ends.
    """
    y, x = (torch.arange(float(size), device=lesion.device) for size in lesion.shape[1:])
    left = torch.where(lesion, x, 1e4).amin(2)  # (B, h); exact in float32 for images of less than 2,900 pixels
    right = torch.where(lesion, x, -1e4).amax(2)
    dx = right[:, :, None] - left[:, None, :]  # (B, h, h); negative where a row is empty
    dy = (y[:, None] - y).abs()
    squared = dx.square() + dy.square() + 2 * torch.maximum(dx, dy) + 1
    return torch.where(dx >= 0, squared, 0.0).flatten(1).amax(1).double().sqrt()
