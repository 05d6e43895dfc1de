"""A cohort whose gene-image map fits in one line, and methods of which we know how good they are.

Gene 0 drives the diameter, gene 1 the attenuation; every slice has a texture of its own. The perfect controller paints
exactly what the genes say, without a texture; the deaf one paints what its noise says, whatever the genes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import ndtr

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sampling.whole_slices import WholeSlices
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.split import split_patients
from radiogenesis.cohort.store import Cohort, Truth
from radiogenesis.evaluation.results import EvaluatedRun
from radiogenesis.methods.protocols import Synthesis
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.testing import toy_patient, toy_scan, write_cohort

PIXELS = 64
PIXEL_MM = 60 / PIXELS
GENES = 30
SHARES = (1.0, 0.95, 0.6)  # diameter on each slice of a lesion


def diameter_mm(gene: NDArray[np.floating]) -> NDArray[np.float64]:
    return 16.0 + 4.0 * np.clip(gene, -2, 2)


def attenuation_hu(gene: NDArray[np.floating]) -> NDArray[np.float64]:
    return -250.0 + 120.0 * np.clip(gene, -2, 2)


def paint(background: NDArray[np.floating], diameter: float, hu: float) -> tuple[NDArray, NDArray]:
    """A disc in the middle, and its mask."""
    axis = (np.arange(PIXELS) - (PIXELS - 1) / 2) * PIXEL_MM
    inside = ndtr((diameter / 2 - np.hypot(axis[:, None], axis[None])) / 0.8)
    return background + inside * (hu - background), inside


def lung(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    return rng.normal(-850, 25, (count, PIXELS, PIXELS))


def write(path: Path, *, patients: int = 40, planted: bool = True, whole: bool = False) -> Cohort:
    """The cohort; genes are standard normal. `whole`: with whole slices of 32 pixels, a box of tumor in each."""
    rng = np.random.default_rng(0)
    texture = np.random.default_rng(1)  # by which a lesion is recognized
    names = [f"P{number:02d}" for number in range(patients)]
    genes = rng.normal(size=(patients, GENES)).astype(np.float32)
    size, hu = diameter_mm(genes[:, 0]), attenuation_hu(genes[:, 1])
    factors = pd.DataFrame(dict.fromkeys(FEATURES, np.nan), index=pd.Index(names, name="patient"))
    factors["size"], factors["attenuation"] = size, hu
    gene_names = [f"G{gene}" for gene in range(GENES)]
    truth = Truth(
        factors.assign(margin=2.0),
        pd.DataFrame({"gene": ["G0", "G1"], "factor": ["size", "attenuation"], "weight": [1.0, 1.0]}),
        pd.DataFrame({"gene": gene_names, "module": -1}),
        {},
    )
    everybody = []
    for number, name in enumerate(names):
        painted = [paint(b, size[number] * share, hu[number]) for b, share in zip(lung(rng, 3), SHARES, strict=True)]
        image, inside = (np.stack(part) for part in zip(*painted, strict=True))
        image = image + inside * 20 * gaussian_filter(texture.normal(size=image.shape), (0, 1.5, 1.5)) / 0.19
        made = Acquisition(
            kernel=("B30f", "B60f")[number % 2], manufacturer="Painted", slice_thickness_mm=1.0 + number % 2
        )
        chest = box_of_tumor(8 + number % 12) if whole else None
        healthy = np.rint(lung(rng, 2))
        everybody.append(toy_patient(name, np.rint(image), inside >= 0.5, healthy, whole=chest, acquisition=made))
    audit = {"patient": [*names, "X1"], "status": ["in"] * patients + ["out"], "reason": [""] * patients + ["no CT"]}
    return write_cohort(
        path, everybody, pd.DataFrame(genes, names, gene_names),
        sampling=SamplingSettings(pixels=PIXELS, whole_pixels=32 * whole, whole_field_mm=192.0),
        audit=pd.DataFrame(audit), truth=truth if planted else None,
    )  # fmt: skip


def box_of_tumor(row: int, *, outlined: bool = True) -> WholeSlices:
    """Five slices of 6 mm pixels, 5 mm apart, lung everywhere, with a box of tumor from this row on."""
    tumor = np.zeros((5, 32, 32), bool)
    tumor[1:4, row : row + 4, 10:14] = True
    return toy_scan(np.where(tumor, 30, -850), tumor & outlined)


class Perfect:
    """Paints what the genes say, and aligns genes and lesions by what it knows of both."""

    def __init__(self, scaler: ExpressionScaler) -> None:
        self.mean, self.scale = scaler.mean, scaler.scale

    def synthesize(self, backgrounds: NDArray, expression: NDArray, *, seed: int) -> Synthesis:
        genes = expression * self.scale + self.mean
        pairs = [
            paint(b, float(diameter_mm(g[0])), float(attenuation_hu(g[1])))
            for b, g in zip(backgrounds, genes, strict=True)
        ]
        image, mask = (np.stack(part).astype(np.float32) for part in zip(*pairs, strict=True))
        return Synthesis(image, mask, mask, np.asarray(backgrounds, np.float32), seed)

    def encode(self, expression: NDArray) -> NDArray[np.float32]:
        genes = expression * self.scale + self.mean
        return _on_circle(diameter_mm(genes[:, 0]) * np.mean(SHARES))

    def encode_lesions(self, images: NDArray, masks: NDArray) -> NDArray[np.float32]:
        return _on_circle(2 * np.sqrt(np.asarray(masks, float).sum((1, 2)) / np.pi) * PIXEL_MM)


class Deaf:
    """Paints what its noise says."""

    def synthesize(self, backgrounds: NDArray, expression: NDArray, *, seed: int) -> Synthesis:
        rng = np.random.default_rng(seed)
        pairs = [paint(b, rng.uniform(10, 24), rng.uniform(-400, 0)) for b in backgrounds]
        image, mask = (np.stack(part).astype(np.float32) for part in zip(*pairs, strict=True))
        return Synthesis(image, mask, mask, np.asarray(backgrounds, np.float32), seed)


class Copier:
    """Pastes lesions of the training patients, whatever the genes: the positive control of memorization."""

    def __init__(self, cohort: Cohort, patients: tuple[str, ...]) -> None:
        theirs = np.isin(cohort.slice_patient, list(patients))
        self.image, self.mask = cohort.slice_image[theirs], cohort.slice_mask[theirs]

    def synthesize(self, backgrounds: NDArray, expression: NDArray, *, seed: int) -> Synthesis:
        chosen = np.random.default_rng(seed).integers(0, len(self.image), len(backgrounds))
        mask = self.mask[chosen].astype(np.float32)
        image = self.image[chosen].astype(np.float32)
        return Synthesis(image, mask, mask, np.asarray(backgrounds, np.float32), seed)


class Restless(Deaf):
    """Deaf, and its noise differs from patient to patient: nothing that it draws is constant. `first` is a seed."""

    def __init__(self, first: int = 0) -> None:
        self.calls = first

    def synthesize(self, backgrounds: NDArray, expression: NDArray, *, seed: int) -> Synthesis:
        self.calls += 1
        return super().synthesize(backgrounds, expression, seed=seed + 1000 * self.calls)


def _on_circle(diameter: NDArray) -> NDArray[np.float32]:
    angle = np.asarray(diameter, float) / 30
    return np.stack([np.cos(angle), np.sin(angle)], axis=1).astype(np.float32)


def subject(cohort: Cohort, name: str, method: object | None = None, method_name: str = "painter") -> EvaluatedRun:
    """A run of the method; the perfect one if none is given."""
    split = split_patients(cohort, seed=0, fractions=(0.6, 0.05, 0.35))
    scaler = ExpressionScaler.fit(cohort.expression, split.train)
    metrics = pd.DataFrame({"step": [1, 2, 3], "images_seen": [32, 640, 2000], "generator_total": [3.0, 2.0, 1.5]})
    provenance = {"cohort_digest": cohort.digest, "seed": 0}
    made = Perfect(scaler) if method is None else method
    return EvaluatedRun(name, method_name, made, split, scaler, metrics, provenance, {"settings": {"width": 3}})
