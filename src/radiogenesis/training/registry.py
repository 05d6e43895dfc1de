"""The methods that `train` knows: their settings, presets, and how each is made. A new method is one entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import nn

from radiogenesis.errors import SettingError
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
        paper_pixels: side of the images that the preset `paper` is made for; 0 where it fits any.
    """

    settings: type[Any]
    make: Callable[[Any, int, int, AnyAlignment | None], nn.Module]
    what: str
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"default": {}})
    prepare: Callable[[Any, TrainingData, Sequence[str], int], TrainingData] = prepare_nothing
    data: Literal["lesions", "whole slices"] = "lesions"
    paper_pixels: int = 0


SPLIT_8_TO_2 = {"test": 0.2, "validation": 0.0}
"""Patients to train on and to hold out as in Li, Sui et al., section III.C."""

SLICES_AS_THEY_ARE = {"sampling": "slices", "least_area": 0.0, "augment": False}
"""Epochs over slices, neither turned nor mirrored: Li, Sui et al. leave data augmentation to the future (section V)."""

EPOCHS_OF_SLICES = {"sampling": "slices", "least_area": 0.0}
"""Batches evenly over all slices, as the epochs of Xu et al. draw them (METHODS.md section 1)."""

METHODS: dict[str, Entry] = {
    "canonical-alignment": Entry(
        CanonicalAlignmentSettings,
        lambda settings, genes, pixels, alignment: CanonicalAlignment(settings, genes=genes),
        "what genes predict of a lesion's named properties and of its looks beyond them, in closed form: seconds",
        prepare=prepare_canonical,
    ),
    "alignment": Entry(
        AlignmentSettings,
        lambda settings, genes, pixels, alignment: Alignment(settings, genes=genes),
        "the same by contrastive networks: which patient's genes belong to this lesion?",
    ),
    "fusion-gan": Entry(
        FusionGANSettings,
        lambda settings, genes, pixels, alignment: FusionGAN(settings, genes=genes, pixels=pixels, alignment=alignment),
        "draws a patient's nodule from the patient's genes into a background (Xu et al. 2020)",
        {**fusion_gan.PRESETS, "paper": {**fusion_gan.PAPER, **EPOCHS_OF_SLICES}},
        prepare_fusion,
        paper_pixels=128,
    ),
    "mc-gan": Entry(
        MCGANSettings,
        lambda settings, genes, pixels, alignment: MCGAN(settings, genes=genes, pixels=pixels, alignment=alignment),
        "the baseline: genes enter at the start of the generator only (Park et al. 2018)",
        {**mc_gan.PRESETS, "paper": {**mc_gan.PAPER, **EPOCHS_OF_SLICES}},
        prepare_mc_gan,
        paper_pixels=128,
    ),
    "inpainting-gan": Entry(
        InpaintingGANSettings,
        lambda settings, genes, pixels, alignment: InpaintingGAN(settings, pixels=pixels),
        "erases the centre of a slice and fills it with a lesion, without genes (Jin et al. 2018, in 2-D)",
        {**inpainting_gan.PRESETS, "paper": {**inpainting_gan.PAPER, **EPOCHS_OF_SLICES}},
    ),
    "nearest-lesion": Entry(
        NearestLesionSettings,
        lambda settings, genes, pixels, alignment: NearestLesion(settings, genes=genes, pixels=pixels),
        "the rival without a network: pastes the training lesion that is nearest to what genes predict: seconds",
        prepare=prepare_nearest,
    ),
    "gene-autoencoder": Entry(
        GeneAutoencoderSettings,
        lambda settings, genes, pixels, alignment: GeneAutoencoder(settings, genes=genes),
        "a tumour's image to the patient's genes and back (Li, Sui et al.)",
        {**gene_autoencoder.PRESETS, "paper": {**gene_autoencoder.PAPER, **SPLIT_8_TO_2, **SLICES_AS_THEY_ARE}},
        prepare_autoencoder,
        paper_pixels=128,
    ),
    "metagene-gan": Entry(
        MetageneGANSettings,
        lambda settings, genes, pixels, alignment: MetageneGAN(settings, genes=genes, pixels=pixels),
        "draws tumour regions from metagenes, without a background (Li, Sui et al.)",
        {**metagene_gan.PRESETS, "paper": {**metagene_gan.PAPER, **SPLIT_8_TO_2, **SLICES_AS_THEY_ARE}},
        prepare_metagenes,
        paper_pixels=128,
    ),
    "tumor-unet": Entry(
        TumorUNetSettings,
        lambda settings, genes, pixels, alignment: TumorUNet(settings, pixels=pixels),
        "finds the tumour in whole CT slices; needs a cohort with --whole_pixels (Li, Sui et al. 2021, stage 1)",
        {**tumor_unet.PRESETS, "paper": {**tumor_unet.PAPER, **SLICES_AS_THEY_ARE}},
        data="whole slices",
    ),
}


def entry(method: str) -> Entry:
    """The entry of a method. Raises SettingError that lists the methods there are."""
    if method not in METHODS:
        raise SettingError(f"there is no method {method!r}", remedy=f"choose from: {', '.join(METHODS)}")
    return METHODS[method]
