"""How what a generator draws is laid into the background (beyond the papers); one setting for each part."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from radiogenesis.methods.images import HOLLOW_FROM, GrownMask, compose, filled, outside_lung, soften
from radiogenesis.networks.lesion_statistics import core


class Laying(Protocol):
    """The settings that say how; see FusionGANSettings."""

    @property
    def fill(self) -> bool: ...
    @property
    def residual(self) -> bool: ...
    @property
    def stay_in_lung(self) -> bool: ...
    @property
    def compose(self) -> bool: ...
    @property
    def composition_dilation(self) -> int: ...
    @property
    def composition_smoothing(self) -> int: ...


def changed(background: Tensor, output: Tensor, mask: Tensor, barred: Tensor, settings: Laying) -> Tensor:
    """The background as a generator's output changes it; the output itself where it is the image.

    Args:
        background: (B, 1, P, P) in [-1, 1].
        output: (B, 1, P, P) in [-1, 1], the generator's.
        mask: (B, 1, P, P) or (1, 1, P, P) in [0, 1], where a lesion may be hollow but for its edge.
        barred: (B, 1, P, P), 1 outside the lung where lesions are to stay in it, else 0.
        settings: how.
    """
    if settings.fill:
        hollow = core(mask, round(HOLLOW_FROM * background.shape[-1])) * (1 - barred)
        return filled(background, output, hollow)
    image = (background + 2 * output).clamp(-1, 1) if settings.residual else output
    return torch.lerp(image, background, barred) if settings.stay_in_lung else image


def bars(background: Tensor, settings: Laying) -> Tensor:
    """(B, 1, P, P), 1 outside the lung where lesions are to stay in it, else 0."""
    return outside_lung(background) if settings.stay_in_lung else torch.zeros_like(background)


def laid(background: Tensor, output: Tensor, mask: Tensor, settings: Laying) -> tuple[Tensor, GrownMask]:
    """The image with the lesion in it, and the lesion's mask with its dilations. Arguments as for `changed`."""
    barred = bars(background, settings)
    # What is filled may lie over the wall, where there is no air: only the mask ends there, as softly as any.
    mask = mask * (1 - (soften(barred) if settings.fill else barred))
    image, grown = (
        changed(background, output, mask, barred, settings),
        GrownMask(mask, None if settings.fill else barred),
    )
    if settings.compose:
        through = grown.composition(settings.composition_dilation, settings.composition_smoothing)
        image = compose(image, background, through)
    return image, grown
