"""First-order features: the distribution of HU in the lesion (IBSI intensity-based statistics and histogram)."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from radiogenesis.phenotypes.radiomics.feature import Feature
from radiogenesis.phenotypes.radiomics.lesions import Lesions

_ROWS = (
    ("mean", "Q4LE", "HU", "mean"),
    ("variance", "ECT3", "HU2", "variance over the pixels (divided by their number)"),
    ("skewness", "KE2A", "", "third standardized moment; 0 where the variance is 0"),
    ("kurtosis", "IPH6", "", "fourth standardized moment less 3 (PyRadiomics keeps the 3); 0 where the variance is 0"),
    ("median", "Y12H", "HU", "median"),
    ("minimum", "1GSF", "HU", "lowest value"),
    ("percentile_10", "QG58", "HU", "10th percentile, linear between the values"),
    ("percentile_90", "8DWT", "HU", "90th percentile, linear between the values"),
    ("maximum", "84IY", "HU", "highest value"),
    ("interquartile_range", "SALO", "HU", "75th less 25th percentile"),
    ("range", "2OJQ", "HU", "highest less lowest value"),
    ("mean_absolute_deviation", "4FUA", "HU", "mean distance from the mean"),
    ("robust_mean_absolute_deviation", "1128", "HU", "the same within the 10th to 90th percentile"),
    ("median_absolute_deviation", "N72L", "HU", "mean distance from the median"),
    ("coefficient_of_variation", "7TET", "", "standard deviation over mean; unstable where the mean is near 0 HU"),
    ("quartile_coefficient_of_dispersion", "9S40", "", "interquartile range over the quartiles' sum; unstable at 0 HU"),
    ("energy", "N8CA", "HU2", "sum of the squared values"),
    ("root_mean_square", "5ZWQ", "HU", "root of the mean squared value"),
    ("entropy", "TLU2", "bit", "entropy of the grey levels"),
    ("uniformity", "BJ5W", "", "sum of the squared shares of the grey levels"),
)  # fmt: skip
FEATURES = {f"firstorder_{name}": Feature("firstorder", *row) for name, *row in _ROWS}


def first_order(lesions: Lesions) -> dict[str, Tensor]:
    """The features of `FEATURES`, (B,) float64 each; without meaning where the mask is empty."""
    x, inside, n = lesions.rows, lesions.inside, lesions.pixels.double()  # (B, N), (B, N), (B,)

    average = x.sum(1) / n
    centered = (x - average[:, None]) * inside
    square = centered.square()
    variance, third, fourth = (value.sum(1) / n for value in (square, square * centered, square.square()))
    flat = variance == 0
    spread = torch.where(flat, 1.0, variance)

    ascending = _sorted(x, inside)
    lowest, p10, p25, median, p75, p90, highest = (
        _percentile(ascending, n, q) for q in (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
    )
    central = inside & (x >= p10[:, None]) & (x <= p90[:, None])
    central_n = central.sum(1)
    central_mean = (x * central).sum(1) / central_n
    squares = x.square().sum(1)
    shares = _histogram(lesions) / n[:, None]  # (B, Ng)
    features = {
        "mean": average,
        "variance": variance,
        "skewness": torch.where(flat, 0.0, third / spread**1.5),
        "kurtosis": torch.where(flat, 0.0, fourth / spread**2 - 3),
        "median": median,
        "minimum": lowest,
        "percentile_10": p10,
        "percentile_90": p90,
        "maximum": highest,
        "interquartile_range": p75 - p25,
        "range": highest - lowest,
        "mean_absolute_deviation": centered.abs().sum(1) / n,
        "robust_mean_absolute_deviation": ((x - central_mean[:, None]) * central).abs().sum(1) / central_n,
        "median_absolute_deviation": ((x - median[:, None]) * inside).abs().sum(1) / n,
        "coefficient_of_variation": variance.sqrt() / average,
        "quartile_coefficient_of_dispersion": (p75 - p25) / (p75 + p25),
        "energy": squares,
        "root_mean_square": (squares / n).sqrt(),
        "entropy": torch.special.entr(shares).sum(1) / math.log(2),
        "uniformity": shares.square().sum(1),
    }
    return {f"firstorder_{name}": value for name, value in features.items()}


def _sorted(x: Tensor, inside: Tensor) -> Tensor:
    """(B, N) the values of each row that are inside, ascending, then the others."""
    last = x.detach().masked_fill(~inside, torch.inf).cpu().numpy()
    order = torch.from_numpy(np.argsort(last, axis=1)).to(x.device)  # several times as fast as torch's on a CPU
    return x.gather(1, order)


def _percentile(ascending: Tensor, n: Tensor, q: float) -> Tensor:
    """(B,) percentile of the first n of each ascending row, linear between the neighboring values."""
    place = q * (n - 1).clamp_min(0)
    below = ascending.gather(1, place.floor().long()[:, None])[:, 0]
    above = ascending.gather(1, place.ceil().long()[:, None])[:, 0]
    return torch.lerp(below, above, place - place.floor())


def _histogram(lesions: Lesions) -> Tensor:
    """(B, Ng) float64, pixels at each grey level."""
    batch, bins = len(lesions.pixels), lesions.highest_level
    counts = torch.bincount(lesions.owners * bins + lesions.level - 1, minlength=batch * bins)
    return counts.view(batch, bins).double()
