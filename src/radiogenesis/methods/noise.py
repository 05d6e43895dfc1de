"""Noise for drawing that depends on the seed and on a drawing's own number only, on any device, in any chunk."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def seeded_normals(numbers: int, *, first: int, count: int, seed: int) -> Tensor:
    """Standard normal (count, numbers) for the drawings `first` to `first + count`, drawn on the CPU."""
    rows = []
    for drawing in range(first, first + count):
        stream = int(np.random.SeedSequence([seed, drawing]).generate_state(1)[0])
        rows.append(torch.randn(numbers, generator=torch.Generator().manual_seed(stream)))
    return torch.stack(rows)
