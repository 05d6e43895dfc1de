"""What some methods do with the training patients before the first step: what they fit is saved among their weights,
what they return is what they are trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.split import Split
from radiogenesis.errors import RunError, SettingError
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
from radiogenesis.methods.mc_gan import MCGAN
from radiogenesis.methods.metagene_gan import MetageneGAN
from radiogenesis.methods.nearest_lesion import NearestLesion
from radiogenesis.stats.metagenes import Metagenes
from radiogenesis.training.data import TrainingData


def prepare_nothing(method: Any, data: TrainingData, names: Sequence[str], seed: int) -> TrainingData:
    """Most methods fit nothing before the first step."""
    return data


def prepare_canonical(method: CanonicalAlignment, data: TrainingData, names: Sequence[str], seed: int) -> TrainingData:
    """All of the canonical alignment."""
    shown = data.image, data.mask, data.patient.numpy()
    method.fit(*shown, data.genes.numpy(), seed, pixel_mm=data.pixel_mm, darker=data.darker)
    return data


def prepare_nearest(method: NearestLesion, data: TrainingData, names: Sequence[str], seed: int) -> TrainingData:
    """All of the nearest lesions."""
    lesions = data.image[:], data.mask[:], data.patient.numpy()  # they are what is drawn: all are kept
    method.fit(*lesions, data.genes.numpy(), seed, pixel_mm=data.pixel_mm, darker=data.darker)
    return data


def prepare_fusion(method: FusionGAN, data: TrainingData, names: Sequence[str], seed: int) -> TrainingData:
    """Rescales each training patient's code, as the alignment reads it from the genes, to the variance of patients who
    were not trained on; or, with `calibrated`, replaces it by what the other patients' genes predict."""
    alignment = method.alignment
    if not isinstance(alignment, CanonicalAlignment):
        return data
    if not method.settings.calibrated:
        return replace(data, genes=alignment.in_sample_genes(data.genes))
    shown = data.image, data.mask, data.patient.numpy()
    lesions = alignment.lesion_side(*shown, pixel_mm=data.pixel_mm, darker=data.darker)
    alignment.follows.copy_(alignment.cross_validated)
    return replace(data, genes=alignment.out_of_sample_genes(data.genes, lesions, seed))


def prepare_mc_gan(method: MCGAN, data: TrainingData, names: Sequence[str], seed: int) -> TrainingData:
    """Rescales each training patient's code to the variance of patients who were not trained on, where the method
    builds on a canonical alignment, as for the fusion GAN."""
    return replace(data, genes=torch.from_numpy(genes_of_trained(method, data.genes.numpy())))


def genes_as_trained(
    method: object, scaler: ExpressionScaler, split: Split, expression: AnnData, patients: Sequence[str]
) -> NDArray[np.float32]:
    """Scaled genes (n, G) of any patients, to be drawn or encoded by the method: those of patients that it was trained
    on as it was given them, so that all codes are on one scale. See `genes_of_trained`.

    Args:
        method: a trained one, with its own scaler and split.
        expression: raw values.
        patients: rows of `expression`.
    """
    scaled = np.asarray(scaler.transform(expression, list(patients)), np.float32)
    trained = np.isin(list(patients), list(split.train))
    scaled[trained] = genes_of_trained(method, scaled[trained])
    return scaled


def genes_of_trained(method: object, genes: NDArray[Any]) -> NDArray[np.float32]:
    """Scaled genes (n, G) of patients that a method was trained on, as it was given them, to draw or encode these
    patients: as they are, but for a canonical alignment and a method that reads its code, which is wider in-sample."""
    alignment = method if isinstance(method, CanonicalAlignment) else getattr(method, "alignment", None)
    given = np.asarray(genes, np.float32)
    if not isinstance(alignment, CanonicalAlignment) or not len(given):
        return given
    return alignment.in_sample_genes(torch.from_numpy(given).to(alignment.in_sample_deviation.device)).cpu().numpy()


def prepare_autoencoder(method: GeneAutoencoder, data: TrainingData, names: Sequence[str], seed: int) -> TrainingData:
    """The scale of every gene; the features of the perceptual loss are loaded, or refused, here.

    Args:
        data: slices and scaled genes of the training patients.
        names: of the genes.
        seed: of the training.
    """
    method.begin(data.genes.numpy())
    return data


def prepare_metagenes(method: MetageneGAN, data: TrainingData, names: Sequence[str], seed: int) -> TrainingData:
    """The metagenes. Raises SettingError where the genes cannot be clustered so."""
    s, genes = method.settings, data.genes.numpy()
    try:
        fitted = Metagenes.fit(genes, names, clusters=s.metagenes, method=s.clustering, seed=seed)
    except ValueError as error:
        raise SettingError(f"no metagenes can be made of the training patients' genes: {error}") from error
    layer = method.metagenes
    for name in ("label", "sign", "strength", "homogeneity"):
        buffer = getattr(layer, name)
        buffer.copy_(torch.from_numpy(np.asarray(getattr(fitted, name))).to(buffer.dtype))
    values = layer.members_mean(torch.from_numpy(np.asarray(genes, np.float32)))
    layer.mean.copy_(values.mean(0))
    layer.deviation.copy_(values.std(0, correction=0).clamp_min(1e-6))
    return data


def metagenes_of(method: object, names: Sequence[str]) -> Metagenes:
    """The metagenes that a trained method was given. Raises RunError for a method without any."""
    if not isinstance(method, MetageneGAN):
        raise RunError("the method has no metagenes", remedy="give a run of metagene-gan")
    layer = method.metagenes
    sign, strength, homogeneity = (
        getattr(layer, name).double().cpu().numpy() for name in ("sign", "strength", "homogeneity")
    )
    label, clustering = layer.label.cpu().numpy(), method.settings.clustering
    return Metagenes(tuple(map(str, names)), label, sign, strength, homogeneity, clustering)
