"""Runs that draw what is known: bright discs in dark lung, whose diameter and attenuation follow the first two genes;
for the control, nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.methods.protocols import Synthesis
from radiogenesis.readers.settings import StudySettings
from radiogenesis.testing import train_toy
from radiogenesis.training.run import Run

SMALL = StudySettings(
    rated=8, pairs=6, property_pairs=4, properties=("size", "attenuation"), controls=4, network_steps=80
)


@dataclass(frozen=True)
class Painter:
    """Discs of 4 + tanh(g0) pixels and 50 tanh(g1) HU, with the texture that real discs have; or deaf to the genes."""

    deaf: bool = False
    texture: float = 20.0

    def synthesize(self, backgrounds: NDArray, expression: NDArray, *, seed: int) -> Synthesis:
        rng = np.random.default_rng(seed)
        noise = rng.normal(size=backgrounds.shape)
        said = np.zeros((len(backgrounds), 2)) if self.deaf else np.tanh(np.asarray(expression)[:, :2])
        pixels = backgrounds.shape[-1]
        y, x = np.mgrid[:pixels, :pixels] - pixels / 2
        mask = np.hypot(y, x)[None] < 6 + 2 * said[:, :1, None]
        level = 50 * said[:, 1:, None] + self.texture * noise
        image, soft = np.where(mask, level, backgrounds).astype(np.float32), mask.astype(np.float32)
        return Synthesis(image, soft, soft, np.asarray(backgrounds, np.float32), seed)


def painted_run(cohort: Cohort, path: Path, painter: Painter) -> Run:
    """A run that draws with `painter`, whatever was trained."""
    run = train_toy("inpainting-gan", cohort, path, steps=1, checkpoint_every=1)
    return drawing_with(run, painter)


def drawing_with(run: Run, painter: object) -> Run:
    """The same run with another drawer."""
    other = replace(run)
    other.__dict__["method"] = painter
    return other


@dataclass(frozen=True)
class Copier:
    """Draws lesions that it has seen, over whatever background."""

    image: NDArray
    mask: NDArray

    def synthesize(self, backgrounds: NDArray, expression: NDArray, *, seed: int) -> Synthesis:
        chosen = np.random.default_rng(seed).integers(len(self.image), size=len(backgrounds))
        soft = self.mask[chosen].astype(np.float32)
        image = np.where(self.mask[chosen], self.image[chosen], backgrounds).astype(np.float32)
        return Synthesis(image, soft, soft, np.asarray(backgrounds, np.float32), seed)
