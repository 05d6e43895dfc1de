"""A drawer whose map is known in closed form: discs whose diameter and attenuation are linear in two sums over genes.

Diameter 20 mm + 3 mm for each unit of code 0, attenuation -250 HU + 100 HU for each unit of code 1; code = genes @
weights. The mask's edge is soft over a pixel; noise is a shift of the brightness by the place's own number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiogenesis.methods.noise import seeded_normals
from radiogenesis.methods.protocols import Synthesis

PIXELS, PIXEL_MM = 64, 60 / 64
MM, HU = 3.0, 100.0


@dataclass(frozen=True)
class Drawer:
    """Implements Synthesizer and GeneEncoder, and draws with a gradient too."""

    weights: NDArray[np.float64]
    seed: int = 0
    curved: bool = False

    def encode(self, expression: NDArray) -> NDArray[np.float32]:
        code = np.asarray(expression, np.float64) @ self.weights
        return (np.tanh(code) if self.curved else code).astype(np.float32)

    def draw(self, background: Tensor, genes: Tensor, first: int, seed: int) -> tuple[Tensor, Tensor]:
        """(B, 1, P, P) in HU and (B, G) -> image in HU, mask."""
        code = genes.double() @ torch.from_numpy(self.weights)
        code = torch.tanh(code) if self.curved else code
        axis = (torch.arange(PIXELS) - (PIXELS - 1) / 2) * PIXEL_MM
        radius = torch.hypot(axis[:, None], axis[None])[None].double()
        edge = (10 + MM / 2 * code[:, :1, None]) - radius  # (B, P, P) mm inside the edge
        mask = torch.special.ndtr(edge / 0.8)[:, None]
        noise = 20 * seeded_normals(1, first=first, count=len(genes), seed=seed)[:, :, None, None]
        level = -250 + HU * code[:, 1, None, None, None] + noise
        return torch.lerp(background.double(), level.expand_as(mask), mask), mask

    def synthesize(self, backgrounds: NDArray, expression: NDArray, *, seed: int) -> Synthesis:
        with torch.no_grad():
            background = torch.from_numpy(np.asarray(backgrounds, np.float32))[:, None]
            image, mask = self.draw(background, torch.from_numpy(np.asarray(expression)), 0, seed)
        drawn = [part[:, 0].numpy().astype(np.float32) for part in (image, mask)]
        return Synthesis(*drawn, drawn[1], np.asarray(backgrounds, np.float32), seed)
