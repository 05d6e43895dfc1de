"""Toy cohorts and trainings of a second: to test a method, in this repository or outside it.

Images are computed, no scan is read. `toy_cohort` and `train_toy` are enough for most tests; `toy_patient`, `toy_scan`
and `write_cohort` make a cohort of other lesions and other genes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort.sampling.slices import Backgrounds, NoduleSlices, SamplingSettings
from radiogenesis.cohort.sampling.whole_slices import WholeSlices
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.cohort.store import Cohort, PatientData
from radiogenesis.cohort.writer import CohortWriter

if TYPE_CHECKING:
    from radiogenesis.training.run import Run

__all__ = ["SMALL", "toy_cohort", "toy_patient", "toy_scan", "train_toy", "write_cohort"]

_FEW: dict[str, Any] = {"steps": 6, "batch": 4}
_QUICK: dict[str, Any] = {"checkpoint_every": 2, "accelerator": "cpu", "precision": "float32"}
SMALL: dict[str, dict[str, Any]] = {
    "canonical-alignment": {"directions": 3, "permutations": 20},
    "alignment": {**_FEW, "widths": (4, 4, 4, 4), "hidden": 8, "embedding": 8},
    "fusion-gan": {**_FEW, "width": 4, "discriminator_width": 4, "code": 8, "hidden": 8},
    "mc-gan": {**_FEW, "width": 2, "discriminator_width": 2, "code": 8, "noise": 4},
    "inpainting-gan": {**_FEW, "width": 2, "discriminator_width": 2},
    "nearest-lesion": {},
    "gene-autoencoder": {**_FEW, "ltr_pixels": 16, "widths": (2, 2, 2), "code": 3, "hidden": 4},
    "metagene-gan": {**_FEW, "region_pixels": 16, "metagenes": 3, "noise": 4, "width": 2, "discriminator_width": 2},
    "tumor-unet": {**_FEW, "widths": (2, 2, 2, 2, 2), "validation": 0.0},
}
"""Method -> settings with which it trains on a toy cohort in about a second."""


def toy_cohort(
    path: str | Path, *, patients: int = 12, genes: int = 20, slices: int = 4, pixels: int = 32, seed: int = 0,
    prefix: str = "P",
) -> Cohort:  # fmt: skip
    """A cohort of bright discs in dark lung, whose size follows the first gene; no other gene says anything.

    Args:
        path: where it is written; must not exist yet.
        patients: they are called P-00, P-01, ...
        genes: standard normal; they are called G0, G1, ...
        slices: of the tumor of each patient, and as many backgrounds.
        pixels: per side of an image, which is 60 mm wide.
        seed: the same seed makes the same cohort.
        prefix: of the patients' names; two cohorts of other names have no patient in common.

    Raises:
        OutputError: something is already at `path`.

    Example:
        >>> cohort = toy_cohort("toy.zarr", patients=5)
        >>> cohort.slice_image.shape, cohort.expression.shape
        ((20, 32, 32), (5, 20))
    """
    rng = np.random.default_rng(seed)
    names = [f"{prefix}-{number:02d}" for number in range(patients)]
    values = rng.normal(size=(patients, genes)).astype(np.float32)
    y, x = np.mgrid[:pixels, :pixels] - pixels / 2

    def made() -> Iterator[PatientData]:
        for name, own in zip(names, values, strict=True):
            radius = pixels / 32 * (6 + 2 * np.tanh(own[0]) + rng.normal(scale=0.3, size=slices))
            mask = np.hypot(y, x)[None] < radius[:, None, None]
            noise = rng.normal(scale=20, size=(2, *mask.shape))
            yield toy_patient(name, np.where(mask, 0, -850) + noise[0], mask, noise[1] - 850)

    frame = pd.DataFrame(values, names, [f"G{number}" for number in range(genes)])
    return write_cohort(path, made(), frame, sampling=SamplingSettings(pixels=pixels))


def toy_patient(
    name: str,
    image: NDArray[Any] | None = None,
    mask: NDArray[np.bool_] | None = None,
    background: NDArray[Any] | None = None,
    *,
    whole: WholeSlices | None = None,
    acquisition: Acquisition | None = None,
) -> PatientData:
    """One patient as `write_cohort` takes it.

    Args:
        name: the patient's identifier.
        image: (N, P, P) slices of the tumor in HU, whose fractions are cut off; None for a patient without a tumor.
        mask: (N, P, P) where the tumor is.
        background: (M, P, P) slices of lung in HU; None for none.
        whole: whole slices of the scan, see `toy_scan`.
        acquisition: how the scan was made; unknown by default.

    Example:
        >>> toy_patient("P-00", np.zeros((2, 16, 16)), np.ones((2, 16, 16), bool)).slices.image.dtype
        dtype('int16')
    """
    slices = backgrounds = None
    if image is not None and mask is not None:
        slices = NoduleSlices(image.astype(np.int16), mask, np.arange(len(image), dtype=np.float32), np.zeros(3))
    if background is not None:
        count = len(background)
        backgrounds = Backgrounds(background.astype(np.int16), np.zeros((count, 3)), np.full(count, 10, np.float32))
    return PatientData(name, slices, backgrounds, acquisition or Acquisition(), (1.0, 1.0, 1.0), 4.0, whole)


def toy_scan(
    image: NDArray[Any], tumor: NDArray[np.bool_], lungs: NDArray[np.bool_] | None = None, *, pixel_mm: float = 6.0
) -> WholeSlices:
    """Whole slices 5 mm apart, all of (N, S, S): the image in HU, the tumor, and the lungs, by default everywhere.

    Example:
        >>> toy_scan(np.zeros((3, 32, 32)), np.zeros((3, 32, 32), bool)).to_patient[2] @ [10, 10, 1]
        array([60., 60., 10.])
    """
    planes = np.arange(len(image), dtype=np.int32)
    to_patient = np.zeros((len(image), 3, 3))
    to_patient[:, 0, 1] = to_patient[:, 1, 0] = pixel_mm
    to_patient[:, 2, 2] = 5.0 * planes
    return WholeSlices(
        image.astype(np.int16), tumor, np.ones_like(tumor) if lungs is None else lungs, planes, to_patient
    )


def write_cohort(
    path: str | Path,
    patients: Iterable[PatientData],
    genes: pd.DataFrame | None = None,
    *,
    sampling: SamplingSettings | None = None,
    **tables: Any,
) -> Cohort:
    """Write a cohort of these patients.

    Args:
        path: where it is written; must not exist yet.
        patients: see `toy_patient`; the images of all have one size.
        genes: patients x genes, raw values; None for a cohort without expression.
        sampling: sizes of the images: `pixels`, and where there are whole slices `whole_pixels` and `whole_field_mm`;
            images of 32 pixels by default.
        tables: whatever `CohortWriter.finish` takes besides; by default the audit says that everybody is in.

    Raises:
        OutputError: something is already at `path`.

    Example:
        >>> one = toy_patient("P-00", background=np.full((2, 32, 32), -850))
        >>> write_cohort("backgrounds.zarr", [one]).background_image.shape
        (2, 32, 32)
    """
    names = []
    settings = asdict(sampling or SamplingSettings(pixels=32))
    with CohortWriter(path, settings={"sampling": settings}, provenance={"verb": "toy"}) as writer:
        for patient in patients:
            writer.add(patient)
            names.append(patient.patient)
        expression = AnnData(obs=pd.DataFrame(index=[])) if genes is None else AnnData(genes.astype(np.float32))
        everybody = pd.DataFrame({"patient": names, "status": "in", "reason": ""})
        return writer.finish(expression=expression, **{"audit": everybody, **tables})


def train_toy(
    method: str,
    cohort: Cohort,
    path: str | Path,
    *,
    alignment: Run | None = None,
    resume: bool = False,
    **settings: Any,
) -> Run:
    """Train a method of the registry for a few steps on a CPU.

    Args:
        method: its name in `radiogenesis.training.registry.METHODS`; a method of your own is entered there first.
        cohort: see `toy_cohort`.
        path: the run folder; must not exist unless `resume`.
        alignment, resume: as `radiogenesis.train` takes them.
        settings: the method's and the training's, one keyword each; what is left out is as in `SMALL`, and for a
            method that is not there as its own defaults have it.

    Raises:
        RadiogenesisError: as `radiogenesis.train`.

    Example:
        >>> run = train_toy("inpainting-gan", toy_cohort("discs.zarr"), "run", steps=2)
        >>> drawn = run.synthesizer().synthesize(np.zeros((1, 32, 32)), np.zeros((1, 20)), seed=0)
        >>> run.config["steps"], drawn.mask.shape
        (2, (1, 32, 32))
    """
    from radiogenesis.cohort.expression import ExpressionSettings  # Lightning and torch take seconds to import
    from radiogenesis.training import fit
    from radiogenesis.training.registry import entry
    from radiogenesis.training.settings import TrainSettings

    given = {**_QUICK, **SMALL.get(method, {}), **settings}
    shared = {name: given.pop(name) for name in [*given] if name in TrainSettings.__dataclass_fields__}
    return fit.train(
        method, cohort, path, method_settings=entry(method).settings(**given), settings=TrainSettings(**shared),
        expression_settings=ExpressionSettings(), alignment=alignment, resume=resume,
    )  # fmt: skip
