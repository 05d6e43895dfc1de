"""Noise for drawing that depends on the seed and on a drawing's own number only, on any device, in any chunk."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Noise:
    """The vector n (B, N) and one map (B, 1, side, side) per block of the generator, coarse to fine; or no maps."""

    vector: Tensor
    maps: list[Tensor]

    @classmethod
    def drawn(cls, count: int, length: int, sides: Sequence[int], device: torch.device) -> Noise:
        """Noise for `count` drawings while training, by torch's own generator."""
        vector = torch.randn(count, length, device=device)
        return cls(vector, [torch.randn(count, 1, side, side, device=device) for side in sides])

    @classmethod
    def seeded(
        cls, length: int, sides: Sequence[int], *, first: int, count: int, seed: int, device: torch.device
    ) -> Noise:
        """Noise for the drawings `first` to `first + count`; see `seeded_normals`."""
        shapes = [(length,), *((1, side, side) for side in sides)]
        sizes = [math.prod(shape) for shape in shapes]
        parts = seeded_normals(sum(sizes), first=first, count=count, seed=seed).to(device).split(sizes, dim=1)
        vector, *maps = (part.reshape(count, *shape) for part, shape in zip(parts, shapes, strict=True))
        return cls(vector, maps)
