"""What lesions are compared by: one fixed network, the same for every method, trained on nothing.

Why random weights. Inception needs weights that cannot be assumed to be there, and was trained on photographs. The
alignments would be unfair: one of them is the critic that our own generator was trained to please, so a distance
in its space would reward our method for its training, not for its drawings. Networks with random weights see textures
and edges all the same, and rank generators better than ImageNet's where images are no photographs (Naeem et al. 2020,
"Reliable fidelity and diversity metrics for generative models", section 4). Neither weights nor architecture here are
those of any method, and the only thing that is fitted, the scale of each number, comes from training patients.

Turned and mirrored lesions are the same lesion: each kernel is applied in all eight orientations and the responses are
averaged, so a training image that was memorized with its augmentation is found as what it is.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.networks.lesion_statistics import masked_statistics, rim
from radiogenesis.stats.resampling import Floats
from radiogenesis.window import scaled

WIDTHS = (8, 12, 16)  # channels at 1/1, 1/2 and 1/4 of the resolution
RIM_MM = 3.0
SEED = 20200401
BATCH = 128


class LesionEmbedding(nn.Module):
    """Slices (B, 1, P, P) in [-1, 1] and masks (B, 1, P, P) in {0, 1} -> (B, 144).

    At each of three scales: mean and deviation of random features over the lesion and over its rim. P must be a
    multiple of 4.
    """

    def __init__(self, rim_pixels: int) -> None:
        super().__init__()
        self.rim_pixels = rim_pixels
        rng = np.random.default_rng(SEED)  # never torch's: its streams may change between versions
        incoming = 2
        for level, channels in enumerate(WIDTHS):
            kernel = rng.normal(0, np.sqrt(2 / (9 * incoming)), (channels, incoming, 3, 3))
            turned = [np.rot90(k, turns, (2, 3)) for k in (kernel, kernel[..., ::-1]) for turns in range(4)]
            orbit = np.stack(turned, axis=1).reshape(-1, incoming, 3, 3).copy()
            self.register_buffer(f"kernel{level}", torch.from_numpy(orbit).float())
            bias = np.repeat(rng.uniform(-0.5, 0.5, channels), 8)
            self.register_buffer(f"bias{level}", torch.from_numpy(bias).float())
            incoming = channels

    @torch.no_grad()
    def forward(self, x: Tensor, m: Tensor) -> Tensor:
        regions = torch.cat([m, rim(m, self.rim_pixels)], dim=1)
        h = torch.cat([x, m], dim=1)
        pooled = []
        for level in range(len(WIDTHS)):
            if level:
                h, regions = F.avg_pool2d(h, 2), F.avg_pool2d(regions, 2)
            h = F.pad(h, (1, 1, 1, 1), mode="replicate")
            h = F.relu(F.conv2d(h, self.get_buffer(f"kernel{level}"), self.get_buffer(f"bias{level}")))
            h = h.unflatten(1, (-1, 8)).mean(2)
            pooled.append(masked_statistics(h, regions))
        return torch.cat(pooled, dim=1)


@cache
def _network(rim_pixels: int) -> LesionEmbedding:
    return LesionEmbedding(rim_pixels).eval()


def embed(image: NDArray[Any], mask: NDArray[Any], pixel_mm: float) -> Floats:
    """Slices (B, P, P) in HU and masks (lesion where at least 0.5) -> (B, E), not yet scaled; nan without a lesion."""
    network = _network(max(1, round(RIM_MM / pixel_mm)))
    parts = [np.zeros((0, 4 * sum(WIDTHS)))]
    for start in range(0, len(image), BATCH):
        x = torch.from_numpy(2 * scaled(image[start : start + BATCH]) - 1).float()[:, None]
        m = torch.from_numpy(np.asarray(mask[start : start + BATCH], np.float32) >= 0.5).float()[:, None]
        embedded = network(x, m).double()
        embedded[m.flatten(1).sum(1) == 0] = torch.nan
        parts.append(embedded.numpy())
    return np.concatenate(parts)
