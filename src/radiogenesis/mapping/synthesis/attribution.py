"""Gradient attribution: how lesion features answer to every single gene at once, through generator and features.

One drawing and one backward pass per feature give d feature / d gene for all genes, where finite changes would need two
drawings for each. What it says is checked against finite changes, feature by feature (`mapping.synthesis.synthesis`).

A gradient needs features that change smoothly. Those of `phenotypes.lesion` do so in part:

- attenuation, margin, heterogeneity: the features themselves, differentiated through the image; outline and regions
  stay where the drawing has them, so that a change of theirs is not seen;
- size: the diameter of the area of the mask, its edge sharpened to a sigmoid instead of a step;
- spiculation: the feature itself, of that mask;
- cavitation: the share of the core that is darker than half-way between air and wall, by a sigmoid instead of a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from radiogenesis.mapping.synthesis.perturbation import EvaluationSet, GeneSets, Progress
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.methods.images import images_from_hu, to_hu
from radiogenesis.methods.mc_gan import MCGAN
from radiogenesis.methods.metagene_gan import MetageneGAN
from radiogenesis.phenotypes.lesion import AIR_HU, FEATURES, lesion_features, per_number
from radiogenesis.phenotypes.morphology import blur_within, count, quantile, signed_distance
from radiogenesis.phenotypes.shape import spiculation
from radiogenesis.stats.resampling import Floats, nanmean

Draw = Callable[[Tensor, Tensor, int], tuple[Tensor, Tensor]]
"""Backgrounds (B, 1, P, P) in [-1, 1], scaled genes (B, G), and the number of the first drawing -> image (B, 1, P, P)
in HU and mask (B, 1, P, P) in [0, 1], differentiable in the genes."""

SHARPNESS = 0.2  # of the mask's edge, in units of the mask
DARKNESS_HU = 50.0  # over which the air of a cavity counts in part
BATCH = 32


def differentiable(method: object, seed: int) -> Draw | None:
    """The method as something that a gradient passes through, with the noise of `synthesize`; None if it is not."""
    if isinstance(method, FusionGAN):
        return lambda background, genes, first: _fusion(method, background, genes, first, seed)
    if isinstance(method, MCGAN):
        return lambda background, genes, first: _mc(method, background, genes, first, seed)
    if isinstance(method, MetageneGAN) and method.settings.mask == "drawn":  # no slope passes through a threshold
        return lambda background, genes, first: method.region(genes, first, seed)
    return None


def _fusion(method: FusionGAN, background: Tensor, genes: Tensor, first: int, seed: int) -> tuple[Tensor, Tensor]:
    g = method.shown(genes)
    aligned = method.alignment.code(g) if method.alignment is not None and method.part.embedding else None
    noise = method.seeded_noise(first, len(g), seed, g.device)
    drawn = method.part(background, method.part.code(g, aligned), noise)
    return to_hu(drawn.image), drawn.mask


def _mc(method: MCGAN, background: Tensor, genes: Tensor, first: int, seed: int) -> tuple[Tensor, Tensor]:
    drawn = method.drawn(background, genes, first, seed)
    return to_hu(drawn.image), drawn.mask


def smooth_features(image: Tensor, mask: Tensor, pixel_mm: float, *, darker: bool = False) -> tuple[Tensor, ...]:
    """Image (B, 1, P, P) in HU and mask (B, 1, P, P) in [0, 1] -> F times (B,), in the order of FEATURES.

    nan where the lesion is too small to be measured. They are not stacked: through a stack the infinite slope of one
    feature at its floor would make nan of all the others' gradients.
    """
    hard = (mask.detach() >= 0.5).float()
    features = lesion_features(image, hard, pixel_mm)
    edge = 1 / (1 + math.exp(0.5 / SHARPNESS))  # what the sigmoid makes of a mask of 0
    lesion = (torch.sigmoid((mask[:, 0] - 0.5) / SHARPNESS) - edge) / (1 - 2 * edge)  # (B, P, P)
    area = lesion.flatten(1).sum(1)
    soft = {
        "size": 2 * (area / torch.pi).sqrt() * pixel_mm,
        "spiculation": spiculation(lesion),
        "cavitation": _soft_cavity(image[:, 0], hard[:, 0] > 0.5, pixel_mm),
    }
    known = torch.isfinite(features["size"])
    features |= {name: torch.where(known, value, torch.nan).float() for name, value in soft.items()}
    return tuple(features[name] for name in FEATURES)


def _soft_cavity(hu: Tensor, lesion: Tensor, pixel_mm: float) -> Tensor:
    """(B,) share of the lesion that is core and dark, by a sigmoid; see `phenotypes.lesion` for the step."""
    depth = signed_distance(lesion, max(4, round(8.0 / pixel_mm))) * pixel_mm
    wall = quantile(hu.detach(), depth < -0.9, 0.7).nan_to_num(0.0)
    half = ((wall + AIR_HU) / 2)[:, None, None]
    dark = torch.sigmoid((half - blur_within(hu, lesion, 0.7)) / DARKNESS_HU)
    return torch.where(depth < -2.0, dark, 0.0).flatten(1).sum(1) / count(lesion).clamp_min(1.0)


def gene_gradients(draw: Draw, stage: EvaluationSet, progress: Progress = lambda done, total: None) -> Floats:
    """(n, G, F): d feature / d gene in each patient, mean over the backgrounds; per unit of scaled expression.

    nan where a feature cannot be measured on any background.
    """
    n, places, genes = len(stage.genes), len(stage.backgrounds), stage.genes.shape[1]
    backgrounds = images_from_hu(np.tile(stage.backgrounds, (n, 1, 1)))
    expression = torch.from_numpy(np.repeat(stage.genes, places, axis=0))
    gradients = np.full((n * places, genes, len(FEATURES)), np.nan, np.float32)
    for start in range(0, n * places, BATCH):
        rows = slice(start, min(start + BATCH, n * places))
        g = expression[rows].clone().requires_grad_(True)
        darker = stage.imaging.may_be_darker
        values = smooth_features(*draw(backgrounds[rows], g, start), stage.pixel_mm, darker=darker)
        for f, value in enumerate(values):
            (slope,) = torch.autograd.grad(value.sum(), g, retain_graph=True)
            level = value.detach()[:, None]
            slope = torch.where(level == 0, 0.0, slope)  # at its floor a feature does not move
            gradients[rows, :, f] = torch.where(torch.isfinite(level), slope, torch.nan).numpy()
        progress(rows.stop, n * places)
    gradients *= per_number(stage.imaging)
    return nanmean(gradients.reshape(n, places, genes, -1).astype(np.float64), axis=1)


def set_effects(gradients: Floats, sets: GeneSets) -> Floats:
    """(n, S, F) first-order change of each feature when each set goes up by one standard deviation."""
    pairs = zip(sets.members, sets.signs, sets.deviation, strict=True)
    return np.stack([d * np.einsum("m,nmf->nf", w, gradients[:, m]) for m, w, d in pairs], axis=1)
