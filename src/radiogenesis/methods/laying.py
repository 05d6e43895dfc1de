"""How what a generator draws is laid into the background (beyond the papers); one setting for each part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from radiogenesis.methods.images import (
    BLUR,
    HOLLOW_FROM,
    GrownMask,
    compose,
    filled,
    outside_lung,
    smoothed,
    soften,
    turned,
)
from radiogenesis.networks.lesion_statistics import core

BLACK = 0.05
"""So far above the lower end of what is shown, of its half width, an image is tissue; below, it is outside the body."""


class Laying(Protocol):
    """The settings that say how; see FusionGANSettings."""

    @property
    def fill(self) -> bool: ...
    @property
    def residual(self) -> bool: ...
    @property
    def in_tissue(self) -> bool: ...
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
        hollow = core(mask, round(HOLLOW_FROM * int(background.shape[-1]))) * (1 - barred)
        return filled(background, output, hollow)
    change = 2 * output
    if settings.in_tissue:
        change = smoothed(change, BLUR * int(background.shape[-1])) * ((background + 1) / BLACK).clamp(0, 1)
    image = (background + change).clamp(-1, 1) if settings.residual else output
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


def pasted(
    image: Tensor, outline: Tensor, turns: Sequence[int], background: Tensor, *,
    dilation: int, smoothing: int, barred: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Lesions cut out of slices and laid over backgrounds as drawings are: through the softened mask.

    Args:
        image: (B, 1, P, P) in [-1, 1].
        outline: (B, 1, P, P), 1 inside the lesion, else 0.
        turns: (B,) how image and outline are turned, 0 to 7.
        background: (B, 1, P, P) in [-1, 1].
        dilation, smoothing: of the mask before composing, in pixels and odd.
        barred: (B, 1, P, P), 1 where nothing may be laid, else 0; None for nowhere.

    Returns:
        The images, their soft masks, and what was composed through, (B, 1, P, P) each.
    """
    over, hard = (
        torch.cat([turned(one[None], int(turn)) for one, turn in zip(part, turns, strict=True)])
        for part in (image, outline)
    )
    soft = soften(hard.float())
    soft = soft if barred is None else soft * (1 - barred)
    through = GrownMask(soft, barred).composition(dilation, smoothing)
    return compose(over, background, through), soft, through
