"""The methods that `train` knows: their settings, presets, and how each is made. A new method is one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from torch import nn

from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.errors import SettingError
from radiogenesis.imaging import ORGANS, Imaging
from radiogenesis.methods import fusion_gan, gene_autoencoder, inpainting_gan, mc_gan, metagene_gan, tumor_unet
from radiogenesis.methods.alignment import Alignment, AlignmentSettings
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.fusion_gan import FusionGAN, FusionGANSettings
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder, GeneAutoencoderSettings
from radiogenesis.methods.inpainting_gan import InpaintingGAN, InpaintingGANSettings
from radiogenesis.methods.mc_gan import MCGAN, MCGANSettings
from radiogenesis.methods.metagene_gan import MetageneGAN, MetageneGANSettings
from radiogenesis.methods.nearest_lesion import NearestLesion, NearestLesionSettings
from radiogenesis.methods.tumor_unet import TumorUNet, TumorUNetSettings
from radiogenesis.training.data import TrainingData
from radiogenesis.training.preparation import (
    prepare_autoencoder,
    prepare_canonical,
    prepare_fusion,
    prepare_mc_gan,
    prepare_metagenes,
    prepare_nearest,
    prepare_nothing,
)

AnyAlignment = Alignment | CanonicalAlignment


@dataclass(frozen=True)
class Entry:
    """One method.

    Attributes:
        settings: its settings dataclass.
        make: (settings, genes, pixels, alignment) -> the torch module; ValueError where they do not fit together.
        presets: name -> values that differ from the defaults.
        prepare: (method, training data, names of the genes, seed) -> the data to train on: fits what the method fits
            before the first step, into its buffers.
        what: one line for the help.
        data: what it is trained on: lesion slices with genes, or whole slices without.
        made_for: preset -> the settings of `cohort build` that it is made for.
        softens: whether it softens the masks that it is given when it is used, and so must be trained on soft ones.
        before: what runs were trained with that were made before a setting was there.
    """

    settings: type[Any]
    make: Callable[[Any, int, int, AnyAlignment | None], nn.Module]
    what: str
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})
    prepare: Callable[[Any, TrainingData, Sequence[str], int], TrainingData] = prepare_nothing
    data: Literal["lesions", "whole slices"] = "lesions"
    made_for: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    softens: bool = False
    before: Mapping[str, Any] = field(default_factory=dict)


SPLIT_8_TO_2 = {"test": 0.2, "validation": 0.0}
"""Patients to train on and to hold out as in Li, Sui et al., section III.C."""

SLICES_AS_THEY_ARE = {"sampling": "epochs", "least_area": 0.0, "augment": False}
"""Epochs over slices, neither turned nor mirrored: Li, Sui et al. leave data augmentation to the future (section V)."""

AS_IN_XU = {**SLICES_AS_THEY_ARE, "soft_masks": False}
"""The same with masks as they are outlined: Xu et al. (sections 2.3 and 3) neither turn, mirror nor soften anything."""

AS_IN_PARK = {**AS_IN_XU, "augment": True, "quarter_turns": False}
"""The same, mirrored from left to right, as in the code of Park et al. (2018), whose crops of 3 % are left out."""

COHORT_OF_XU = {
    "pixels": 128,
    "field_of_view_mm": 60.0,
    "boundary_mm": (5.0, 25.0),
    "slices_per_center": 20,
    "middle_in_lung": False,
    "min_area_mm2": 0.0,
}
"""Xu et al., section 3: all slices with nodule, any slices of a background's volume; the pixels are open there."""

REGIONS_OF_SUI = {"pixels": 128, "field_of_view_mm": 90.0}
"""Li, Sui et al., section III.B: loose regions of 128 pixels of the scan, about 90 mm."""

WHOLE_OF_SUI = {"whole_pixels": 512}
"""Li, Sui et al., section III.B: the CT's own slices."""

METHODS: dict[str, Entry] = {
    "canonical-alignment": Entry(
        CanonicalAlignmentSettings,
        lambda settings, genes, pixels, alignment: CanonicalAlignment(settings, genes=genes),
        "what genes predict of a lesion's named properties and of its looks beyond them, in closed form: seconds",
        prepare=prepare_canonical,
        before={"statistics_pixels": 0},
    ),
    "alignment": Entry(
        AlignmentSettings,
        lambda settings, genes, pixels, alignment: Alignment(settings, genes=genes),
        "the same by contrastive networks: which patient's genes belong to this lesion?",
        softens=True,
    ),
    "fusion-gan": Entry(
        FusionGANSettings,
        lambda settings, genes, pixels, alignment: FusionGAN(settings, genes=genes, pixels=pixels, alignment=alignment),
        "draws a patient's nodule from the patient's genes into a background (Xu et al. 2020)",
        {**fusion_gan.PRESETS, "paper": {**fusion_gan.PAPER, **AS_IN_XU}},
        prepare_fusion,
        made_for={"paper": COHORT_OF_XU, "pixels-128": {"pixels": 128}},
        before={"fill": False, "covariance": 0.0},
    ),
    "mc-gan": Entry(
        MCGANSettings,
        lambda settings, genes, pixels, alignment: MCGAN(settings, genes=genes, pixels=pixels, alignment=alignment),
        "the baseline: genes enter at the start of the generator only (Park et al. 2018)",
        {**mc_gan.PRESETS, "paper": {**mc_gan.PAPER, **AS_IN_PARK}},
        prepare_mc_gan,
        made_for={"paper": COHORT_OF_XU},
    ),
    "inpainting-gan": Entry(
        InpaintingGANSettings,
        lambda settings, genes, pixels, alignment: InpaintingGAN(settings, pixels=pixels),
        "erases the center of a slice and fills it with a lesion, without genes (Jin et al. 2018, in 2-D)",
        {**inpainting_gan.PRESETS, "paper": {**inpainting_gan.PAPER, **AS_IN_XU}},
        made_for={"paper": COHORT_OF_XU},
    ),
    "nearest-lesion": Entry(
        NearestLesionSettings,
        lambda settings, genes, pixels, alignment: NearestLesion(settings, genes=genes, pixels=pixels),
        "the baseline without a network: pastes the training lesion that is nearest to what genes predict: seconds",
        prepare=prepare_nearest,
    ),
    "gene-autoencoder": Entry(
        GeneAutoencoderSettings,
        lambda settings, genes, pixels, alignment: GeneAutoencoder(settings, genes=genes),
        "a tumor's image to the patient's genes and back (Li, Sui et al.)",
        {**gene_autoencoder.PRESETS, "paper": {**gene_autoencoder.PAPER, **SPLIT_8_TO_2, **SLICES_AS_THEY_ARE}},
        prepare_autoencoder,
        made_for={"paper": REGIONS_OF_SUI},
        softens=True,
    ),
    "metagene-gan": Entry(
        MetageneGANSettings,
        lambda settings, genes, pixels, alignment: MetageneGAN(settings, genes=genes, pixels=pixels),
        "draws tumor regions from metagenes, without a background (Li, Sui et al.)",
        {**metagene_gan.PRESETS, "paper": {**metagene_gan.PAPER, **SPLIT_8_TO_2, **SLICES_AS_THEY_ARE}},
        prepare_metagenes,
        made_for={"paper": REGIONS_OF_SUI},
    ),
    "tumor-unet": Entry(
        TumorUNetSettings,
        lambda settings, genes, pixels, alignment: TumorUNet(settings, pixels=pixels),
        "finds the tumor in whole CT slices; needs a cohort with --whole_pixels (Li, Sui et al. 2021, stage 1)",
        {**tumor_unet.PRESETS, "paper": {**tumor_unet.PAPER, **SLICES_AS_THEY_ARE}},
        data="whole slices",
        made_for={"paper": WHOLE_OF_SUI},
    ),
}


FOR_LUNGS = {"fill": "draws lesions as air that is filled", "stay_in_lung": "keeps lesions in the lung"}
"""Settings of any method that are made for CT of lungs, and what they do."""


def own_defaults(method: str, preset: str, imaging: Imaging, pixel_mm: float) -> dict[str, Any]:
    """What a preset of a method changes on a cohort: where that shows no lungs, what is made for them is off, and what
    is composed reaches as far around a lesion as lesions of the organ change their surroundings."""
    made = dict(entry(method).presets[preset])
    if imaging.of_lungs:
        return made
    known = {one.name: one.default for one in fields(entry(method).settings)}
    off: dict[str, Any] = {name: False for name in FOR_LUNGS if name in known}
    if made.get("compose", known.get("compose", False)):
        around = 2 * round(ORGANS[imaging.organ].around_mm / pixel_mm) + 1
        off |= {"composition_dilation": around, "erosion": around, "in_tissue": True}
    return {**made, **off}


def refuse_for_lungs(settings: Any, imaging: Imaging) -> None:
    """Raises SettingError where a setting asks of a cohort without lungs in HU what is made for them alone."""
    for name, what in FOR_LUNGS.items():
        if getattr(settings, name, False) and not imaging.of_lungs:
            raise SettingError(
                f"{name} {what}, on CT of lungs from -1000 to 500 HU alone, and this cohort shows {imaging.organ}, "
                f"{imaging.window_text}",
                remedy=f"--{name} false",
            )


def entry(method: str) -> Entry:
    """The entry of a method. Raises SettingError that lists the methods there are."""
    if method not in METHODS:
        raise SettingError(f"there is no method {method!r}", remedy=f"choose from: {', '.join(METHODS)}")
    return METHODS[method]


def unlike_its_cohort(method: str, preset: str, sampling: Mapping[str, Any]) -> str:
    """What a cohort has otherwise than the one that a preset of a method is made for, in one line with the options of
    `cohort build` that would make that; empty where it is that one, or the preset fits any.

    Args:
        method, preset: their names.
        sampling: how the cohort was sampled; what an older cohort does not know has its default.
    """
    known = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in (asdict(SamplingSettings()) | dict(sampling)).items()
    }
    others = {name: value for name, value in entry(method).made_for.get(preset, {}).items() if known[name] != value}
    if not others:
        return ""
    differ = ", ".join(f"{name} {_written(known[name])} and not {_written(value)}" for name, value in others.items())
    options = " ".join(f"--{name} {_written(value)}" for name, value in others.items())
    what = ": what is trained on it is not what the paper describes" if preset == "paper" else ""
    return (
        f"{method}: the preset {preset} is made for another cohort, and this one has {differ}{what}; "
        f"build one with {options}"
    )


def _written(value: object) -> str:
    """A value as it is given on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(_written, value))
    return str(value).lower() if isinstance(value, bool) else f"{value:g}" if isinstance(value, float) else str(value)
