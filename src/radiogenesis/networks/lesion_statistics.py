"""What a lesion looks like in numbers that need no training, and that a gradient can pass through.

At four scales: the mask's shape, mean and deviation of the image over lesion, rim and core, and of its texture where
the lesion is solid; how much of it is hollow, how like neighbors are inside, the profile across the outline, and where
inside it is dense.
Coarser scales, and neighbors, are freer of the scanner's noise. The critics of the fusion GAN see lesions in these.
"""

from __future__ import annotations

import math
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional as F

SCALES = 4
LAGS = (1, 2, 3, 4)  # pixels
REACHES = (2, 3)  # pixels by which the lesion is eroded to the inside whose grain is measured
RINGS = 5  # one pixel wide, to either side of the outline
ORDERS = tuple((n, m) for n in range(1, 7) for m in range(n % 2, n + 1, 2))
"""Degree and angular order of the Zernike polynomials that say where inside a lesion is dense."""
SIZES = (3 * SCALES, 8 * SCALES + 1, 24 * SCALES, len(LAGS) * len(REACHES), 4 * RINGS, len(ORDERS))
"""How many statistics `appearance` has of each kind: shape, level, texture, grain, profile, layout."""
FEWEST_PIXELS = 4.0
"""A region smaller than this says little: its statistics are drawn towards the whole lesion's."""


def appearance(x: Tensor, m: Tensor) -> Tensor:
    """Image (B, 1, P, P) in [-1, 1] and soft mask (B, 1, P, P) -> (B, 184) float32, by kind, then by scale."""
    with torch.autocast(x.device.type, enabled=False):  # differences of like numbers: 8 bits would drown them
        x, m = x.float(), m.float()
        inner, outer = shells(m)
        hole = air(x, m, inner[0])
        wall = 1 - dilate(hole, 5)  # a cavity is no texture: it would outweigh all other
        solid_core = inner[2] * wall
        regions = torch.cat([m, outer[2] - inner[2], inner[2], solid_core], dim=1)  # lesion, rim, core, solid core
        profile = across_the_outline(x, m, inner, outer)
        layout = zernike_moments(x, inner[1] * wall, m)
        grain = [neighbor_covariance(x, inner[reach - 1] * wall) for reach in REACHES]
        shape, level, texture = [], [], []
        for scale in range(SCALES):
            if scale:
                x, regions = F.avg_pool2d(x, 2), F.avg_pool2d(regions, 2)
            shape.append(mask_shape(regions[:, :1]))
            level.append(masked_statistics(x, regions, fewest=FEWEST_PIXELS, floor=1e-3))
            texture.append(masked_statistics(texture_maps(x), regions[:, [0, 1, 3]], fewest=FEWEST_PIXELS, floor=1e-3))
        hollow = hole.sum((1, 2, 3)) / (m.sum((1, 2, 3)) + FEWEST_PIXELS)
    return torch.cat([*shape, *level, hollow[:, None], *texture, *grain, *profile, layout], dim=1)


def across_the_outline(x: Tensor, m: Tensor, inner: list[Tensor], outer: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The profile: mean and deviation in bands of a pixel, inside and outside in turn, (B, 2 RINGS) each."""
    bands = [m]
    for smaller, larger, within, beyond in zip([m, *inner], [m, *outer], inner, outer, strict=False):
        bands += [smaller - within, beyond - larger]
    mean, deviation = masked_statistics(x, torch.cat(bands, dim=1), fewest=FEWEST_PIXELS, floor=1e-3).chunk(2, dim=1)
    return mean[:, 1:], deviation[:, 1:]  # the whole lesion is among the levels


def masked_statistics(features: Tensor, regions: Tensor, *, fewest: float = 0.0, floor: float = 1e-4) -> Tensor:
    """Mean and standard deviation over each region.

    Both come from two matrix products, E f and E f^2: an order of magnitude less memory traffic than masking.

    Args:
        features: (B, C, H, W).
        regions: (B, R, H, W) weights, not negative; an empty region gives mean and deviation near zero.
        fewest: weight, in pixels, of the first region's moments in every region's: what an all but empty region says
            would else be noise, and its gradient steep.
        floor: added to the variances before their root.

    Returns:
        (B, 2RC) float32: the means of every region, then the deviations.
    """
    with torch.autocast(features.device.type, enabled=False):  # the difference of two moments needs 24 bits
        f = features.permute(0, 2, 3, 1).flatten(1, 2).float()  # (B, HW, C)
        w = regions.flatten(2).float()  # (B, R, HW)
        area = w.sum(2, keepdim=True)
        sums = w @ torch.cat([f, f.square()], dim=2)  # (B, R, 2C)
        first = sums[:, :1] / (area[:, :1] + 1e-3)
        mean, square = ((sums + fewest * first) / (area + fewest + 1e-3)).chunk(2, dim=2)
        variance = (square - mean.square()).clamp_min(0)
    return torch.cat([mean.flatten(1), (variance + floor).sqrt().flatten(1)], dim=1)


def air(x: Tensor, mask: Tensor, inside: Tensor) -> Tensor:
    """Where a lesion is hollow: how surely each pixel inside is nearer to air than to the wall, (B, 1, P, P) in [0, 1].

    The wall's level is that of the brightest inside: a mean with weights exp(x / 75 HU). `inside` is the mask without
    its outermost pixels, whose darkness is the lung's.
    """
    bright = inside * torch.exp(x.detach() / 0.1)
    wall = (bright * x).sum((1, 2, 3), keepdim=True) / (bright.sum((1, 2, 3), keepdim=True) + 1e-6)
    smooth = gaussian(x * mask, 0.75) / (gaussian(mask, 0.75) + 1e-2)
    return inside * torch.sigmoid(((wall.detach() - 1) / 2 - smooth) / 0.05)


def neighbor_covariance(x: Tensor, region: Tensor, smoothing: float = 3.0, limit: float = 0.2) -> Tensor:
    """Root of the covariance of pixels LAGS apart inside a region, negative where it is negative: (B, len(LAGS)).

    Neighbors share texture, which is millimeters wide, and little of the noise. Level and slow change are taken away
    first, as a mean over a Gaussian window inside the region.

    Args:
        x: (B, 1, P, P).
        region: (B, 1, P, P) weights in [0, 1].
        smoothing: deviation of the window in pixels.
        limit: what is much further off than this, a vessel or the wall of a cavity, counts as if it were so far off.
    """
    rest = x - gaussian(x * region, smoothing) / (gaussian(region, smoothing) + 1e-2)
    rest = region * rest / (1 + (rest / limit).square()).sqrt()
    found = []
    for lag in LAGS:
        products = lagged_product(rest, lag) / (lagged_product(region, lag) + 2 * FEWEST_PIXELS)
        found.append(products.sign() * ((products.abs() + 1e-4).sqrt() - 1e-2))
    return torch.stack(found, dim=1)


def zernike_moments(x: Tensor, region: Tensor, m: Tensor, limit: float = 0.2) -> Tensor:
    """Where inside a lesion it is denser than on average: Z_n0 and |Z_nm| for ORDERS, (B, len(ORDERS)).

    The magnitudes of Zernike moments do not change when the lesion is turned or mirrored (Khotanzad and Hong 1990), and
    up to their degree they hold its layout: a dense part off the middle, in the middle or around it, along a line.

        Z_nm = sum w (x - mean) R_nm(rho) exp(-i m theta) / sum w,   rho = 1 where the disc of the lesion's area ends

    Args:
        x: (B, 1, P, P).
        region: (B, 1, P, P) weights w in [0, 1]: the lesion without its edge and its cavities.
        m: (B, 1, P, P) the lesion's mask, which says where its middle is and how large it is.
        limit: what is much further off than this, a vessel through ground glass, counts as if it were so far off.
    """
    side = x.shape[-1]
    place = torch.arange(side, device=x.device, dtype=x.dtype)
    area = m.sum((1, 2, 3)) + FEWEST_PIXELS  # (B,)
    middle = [(m.sum(other)[:, 0] @ place + FEWEST_PIXELS * (side - 1) / 2) / area for other in (3, 2)]  # rows, columns
    radius = (area / torch.pi).sqrt()[:, None]
    v, u = ((place - at[:, None]) / radius for at in middle)  # (B, P)
    v, u = v[:, :, None], u[:, None, :]
    square = v.square() + u.square() + 1e-8  # (B, P, P)
    beyond = square.clamp(min=1.0).rsqrt()  # what is further out counts as if it lay on the circle
    square, x_turn, y_turn = square.clamp(max=1.0), u * beyond, v * beyond
    weight = region[:, 0]
    total = weight.sum((1, 2), keepdim=True) + 2 * FEWEST_PIXELS
    rest = x[:, 0] - (weight * x[:, 0]).sum((1, 2), keepdim=True) / total
    rest = weight * rest / (1 + (rest / limit).square()).sqrt() / total
    turns = [torch.ones_like(square), x_turn, y_turn]
    for _ in range(2, ORDERS[-1][1] + 1):  # rho^m exp(i m theta), one order after the other
        c, s = turns[-2:]
        turns += [c * x_turn - s * y_turn, s * x_turn + c * y_turn]
    powers = [rest]
    for _ in range(ORDERS[-1][0] // 2):
        powers.append(powers[-1] * square)
    # All sums of rest rho^(2j) rho^m exp(i m theta) in one product: (B, 1 + 3, 1 + 2 6).
    sums = torch.stack(powers, dim=1).flatten(2) @ torch.stack(turns, dim=1).flatten(2).transpose(1, 2)
    radial, cosine, sine, turning, degree = _polynomials(x.device)
    along, across = ((sums[:, :, column] * radial).sum(1) for column in (cosine, sine))  # (B, len(ORDERS))
    size = (along.square() + across.square() + 1e-6).sqrt() - 1e-3
    return torch.where(turning, size, along) * (degree + 1)


@lru_cache(maxsize=8)
def _polynomials(device: torch.device) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """What `zernike_moments` knows of ORDERS, on a device: the coefficients of R_nm from that of rho^m on, (1 + 3,
    len(ORDERS)); the columns of cos(m theta) and of sin(m theta) among the turns; whether m is above 0; and n."""
    with torch.inference_mode(False):
        radial = torch.zeros(ORDERS[-1][0] // 2 + 1, len(ORDERS))
        for column, (n, m) in enumerate(ORDERS):
            coefficients = zernike_radial(n, m)
            radial[: len(coefficients), column] = torch.tensor(coefficients)
        degree, order = torch.tensor(ORDERS).unbind(1)
        parts = radial, (2 * order - 1).clamp_min(0), 2 * order, order > 0, degree
        return tuple(part.to(device) for part in parts)  # type: ignore[return-value]


def zernike_radial(n: int, m: int) -> list[float]:
    """The coefficients of rho^m, rho^(m + 2), ..., rho^n in R_nm, where for k from 0 on that of rho^(n - 2k) is
    (-1)^k (n - k)! / (k! ((n + m) / 2 - k)! ((n - m) / 2 - k)!)."""
    found = []
    for k in range((n - m) // 2, -1, -1):
        below = math.factorial(k) * math.factorial((n + m) // 2 - k) * math.factorial((n - m) // 2 - k)
        found.append((-1) ** k * math.factorial(n - k) / below)
    return found


def lagged_product(x: Tensor, lag: int) -> Tensor:
    """Sum of the products of all pixels `lag` apart along rows and along columns: (B, 1, H, W) -> (B,)."""
    down, right = x[:, :, lag:] * x[:, :, :-lag], x[..., lag:] * x[..., :-lag]
    return down.sum((1, 2, 3)) + right.sum((1, 2, 3))


def gaussian(x: Tensor, deviation: float) -> Tensor:
    """Gaussian smoothing to three deviations, zero outside the image: (B, 1, H, W) -> (B, 1, H, W).

    As two matrix products: backward, a convolution of so few channels takes ten times as long.
    """

    def band(side: int) -> Tensor:
        place = torch.arange(side, device=x.device, dtype=x.dtype)
        distance = (place[:, None] - place[None, :]).abs()
        reach = round(3 * deviation)
        steps = torch.arange(-reach, reach + 1, device=x.device, dtype=x.dtype)
        total = torch.exp(-steps.square() / (2 * deviation**2)).sum()
        return torch.exp(-distance.square() / (2 * deviation**2)) * (distance <= reach) / total

    return band(x.shape[2]) @ x @ band(x.shape[3])


def lesion_regions(mask: Tensor, reach: int = 3) -> Tensor:
    """Lesion, rim and core (B, 3, P, P); see `rim` and `core`, whose erosion is done once here."""
    eroded = core(mask, reach)
    return torch.cat([mask, dilate(mask, 2 * reach + 1) - eroded, eroded], dim=1)


def rim(mask: Tensor, reach: int = 3) -> Tensor:
    """The band around the edge: dilated minus eroded mask, `reach` pixels to either side. (B, 1, P, P)."""
    return dilate(mask, 2 * reach + 1) + dilate(1 - mask, 2 * reach + 1) - 1


def core(mask: Tensor, reach: int = 3) -> Tensor:
    """The lesion without its rim, eroded by `reach` pixels: texture apart from the edge. (B, 1, P, P)."""
    return -dilate(-mask, 2 * reach + 1)


def shells(mask: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    """The mask eroded and dilated by 1, 2, ... RINGS pixels: (B, 1, P, P) each."""
    inner, outer = [core(mask, 1)], [dilate(mask, 3)]
    for _ in range(RINGS - 1):
        inner.append(core(inner[-1], 1))
        outer.append(dilate(outer[-1], 3))
    return inner, outer


def dilate(mask: Tensor, pixels: int) -> Tensor:
    """Gray dilation of (B, 1, H, W) by a square of `pixels` (odd), along one axis after the other."""
    if not mask.requires_grad:
        return _line_maximum(_line_maximum(mask, pixels, 2), pixels, 3)
    # Slower forward, quicker backward; and among equals one pixel alone gets the gradient.
    reach = pixels // 2
    rows = F.max_pool2d(mask, (pixels, 1), 1, (reach, 0))
    return F.max_pool2d(rows, (1, pixels), 1, (0, reach))


def _line_maximum(x: Tensor, pixels: int, dim: int) -> Tensor:
    """The maximum of `pixels` (odd) neighbors along an axis, of 2, 4, 8, ... of them in turn."""
    ends = torch.full_like(x.narrow(dim, 0, 1), float("-inf")).repeat_interleave(pixels // 2, dim)
    x, reached = torch.cat([ends, x, ends], dim), 1
    while reached < pixels:
        step = min(reached, pixels - reached)
        rest = x.shape[dim] - step
        x = torch.maximum(x.narrow(dim, 0, rest), x.narrow(dim, step, rest))
        reached += step
    return x


def texture_maps(x: Tensor) -> Tensor:
    """Local contrast and gradient of an image, each at two saturation levels: (B, 1, H, W) -> (B, 4, H, W).

    v / (v + t) with t of 22 and 75 HU: what is far above t counts once, however strong, so that a vessel through ground
    glass or the wall of a cavity does not outweigh the texture of the tissue.
    """
    smooth = F.avg_pool2d(F.pad(x, (1, 1, 1, 1), mode="replicate"), 3, 1)
    contrast = (x - smooth).abs()
    dy, dx = F.pad(x.diff(dim=2), (0, 0, 0, 1)), F.pad(x.diff(dim=3), (0, 1, 0, 0))
    gradient = (dy.square() + dx.square() + 1e-8).sqrt()
    strengths = torch.cat([contrast, gradient], dim=1)
    return torch.cat([strengths / (strengths + 0.03), strengths / (strengths + 0.1)], dim=1)


def mask_shape(mask: Tensor) -> Tensor:
    """Square root of the area, perimeter, and perimeter over that of the circle of equal area: (B, 3) float32.

    The perimeter is the total variation of the (soft) mask; lengths are in units of the image's side.
    """
    mask = mask.float()
    side = mask.shape[-1]
    root_area = (mask.mean((1, 2, 3)) + 1e-6).sqrt()
    dy = F.pad(mask.diff(dim=2), (0, 0, 0, 1))
    dx = F.pad(mask.diff(dim=3), (0, 1, 0, 0))
    perimeter = (dy.square() + dx.square() + 1e-8).sqrt().sum((1, 2, 3)) / side
    return torch.stack([root_area * 4, perimeter, perimeter / (3.545 * root_area)], dim=1)  # 3.545 = 2 sqrt(pi)
