"""The methods that `train` knows: their settings, presets, and how each is made. A new method is one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from radiogenesis.errors import SettingError
from radiogenesis.methods import fusion_gan
from radiogenesis.methods.alignment import Alignment, AlignmentSettings
from radiogenesis.methods.fusion_gan import FusionGAN, FusionGANSettings


@dataclass(frozen=True)
class Entry:
    """One method.

    Attributes:
        settings: its settings dataclass.
        make: (settings, genes, pixels, alignment) -> the torch module; ValueError where they do not fit together.
        presets: name -> values that differ from the defaults.
        what: one line for the help.
    """

    settings: type[Any]
    make: Callable[[Any, int, int, Alignment | None], nn.Module]
    what: str
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})


METHODS: dict[str, Entry] = {
    "alignment": Entry(
        AlignmentSettings,
        lambda settings, genes, pixels, alignment: Alignment(settings, genes=genes),
        "genes and lesions in one space: which patient's genes belong to this lesion?",
    ),
    "fusion-gan": Entry(
        FusionGANSettings,
        lambda settings, genes, pixels, alignment: FusionGAN(settings, genes=genes, pixels=pixels, alignment=alignment),
        "draws a patient's nodule from the patient's genes into a background (Xu et al. 2020)",
        fusion_gan.PRESETS,
    ),
}


def entry(method: str) -> Entry:
    """The entry of a method. Raises SettingError that lists the methods there are."""
    if method not in METHODS:
        raise SettingError(f"there is no method {method!r}", remedy=f"choose from: {', '.join(METHODS)}")
    return METHODS[method]
