"""The inside of a lesion, in a description that a new background, place, size or turn of it does not reach.

Lesions are compared pixel by pixel: eroded by one pixel, since the outermost ones are blended with the background;
centered; brought to one size; in standard deviations about their mean, 0 outside. Two lesions agree by the correlation
of these pixels, the highest of the eight turns of a square. Found best on a phantom among insides eroded by 0, 1 and 2
pixels, smoothed or not, of one size or of their own: it parts pasted training lesions from lesions never seen (99.8 %
of the first have a higher excess, see `memorization`, than 99 % of the second), and still does where the copies were
blurred by 1 pixel (97 %) or enlarged by a tenth (93 %; without one size for all: 31 %). Among 59 real patients all
pasted training lesions are beyond.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion, generate_binary_structure
from torch import Tensor
from torch.nn import functional as F

from radiogenesis.window import WINDOW_HU

SIDE = 24
"""Pixels across the standard size; a disc fills three quarters of it."""
FEWEST = 20
"""Pixels inside, below which a lesion has too little in it to be recognized."""
CHUNK = 256  # images at a time


def interiors(image: NDArray[Any], mask: NDArray[Any]) -> NDArray[np.float32]:
    """Images (N, P, P) in HU with masks (lesion where at least 0.5) -> (N, SIDE * SIDE) of length 1; nan where the
    inside is smaller than `FEWEST` pixels or does not vary."""
    cross = generate_binary_structure(2, 1)[None]
    chunks = [np.empty((0, SIDE * SIDE), np.float32)]
    for start in range(0, len(image), CHUNK):
        lesion = np.asarray(mask[start : start + CHUNK]) >= 0.5
        inside = torch.from_numpy(binary_erosion(lesion, cross).astype(np.float32))
        hu = torch.from_numpy(np.clip(np.asarray(image[start : start + CHUNK], np.float32), *WINDOW_HU))
        chunks.append(_described(hu, inside, torch.from_numpy(lesion.astype(np.float32))).numpy())
    return np.concatenate(chunks)


def _described(hu: Tensor, inside: Tensor, lesion: Tensor) -> Tensor:
    area = lesion.sum((1, 2)).clamp_min(1)  # (B,)
    line = torch.arange(hu.shape[-1], dtype=torch.float32)
    middle = torch.stack([(lesion.sum(axis) * line).sum(1) / area for axis in (1, 2)], dim=1)  # (B, 2): x, y
    step = (area / torch.pi).sqrt() / (0.75 * SIDE / 2)
    places = torch.arange(SIDE) - (SIDE - 1) / 2
    grid = torch.stack(torch.meshgrid(places, places, indexing="xy"), dim=-1)  # (S, S, 2): x, y
    where = middle[:, None, None] + step[:, None, None, None] * grid
    where = where * (2 / (hu.shape[-1] - 1)) - 1
    seen = F.grid_sample(hu[:, None], where, padding_mode="border", align_corners=True)[:, 0]
    weight = (F.grid_sample(inside[:, None], where, align_corners=True)[:, 0] >= 0.5).float()
    mean = (seen * weight).sum((1, 2)) / weight.sum((1, 2)).clamp_min(1)
    apart = ((seen - mean[:, None, None]) * weight).flatten(1)
    length = apart.norm(dim=1)
    usable = (inside.sum((1, 2)) >= FEWEST) & (length > 1e-3 * SIDE)  # a thousandth of a HU each is rounding
    return torch.where(usable[:, None], apart / length.clamp_min(1e-6)[:, None], torch.nan)


def agreement(x: NDArray[np.float32], y: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, SIDE * SIDE), (M, SIDE * SIDE) -> (N, M): correlation of every two, the highest of the eight turns; nan where
    one of them is."""
    squares = y.reshape(-1, SIDE, SIDE)
    best = np.full((len(x), len(y)), -1, np.float32)
    for turn in range(8):
        turned = np.rot90(squares, turn % 4, (1, 2))
        turned = turned[:, :, ::-1] if turn >= 4 else turned
        np.maximum(best, x @ turned.reshape(len(y), -1).T, out=best)
    return best
