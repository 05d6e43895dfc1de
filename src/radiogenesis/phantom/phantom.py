"""A cohort whose gene-image map is known: genes drive six appearance factors, and these draw lesions in lungs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy.stats import zscore

from radiogenesis.cohort.processes import Died, in_processes
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sampling.whole_slices import blind_lungs, whole_slices
from radiogenesis.cohort.store import Cohort, PatientData, Truth
from radiogenesis.cohort.writer import CohortWriter, room_of
from radiogenesis.errors import SettingError
from radiogenesis.output import ROOM, check_place
from radiogenesis.phantom import expression as genes
from radiogenesis.phantom.factors import (
    ATTENUATION_HU,
    FACTORS,
    SIZE_MM,
    UNLISTED,
    factor_table,
    factors_from_scores,
    scores_from_expression,
)
from radiogenesis.phantom.patient import TUMOR, PatientPlan, sample_patient
from radiogenesis.phantom.scanner import KERNELS
from radiogenesis.phantom.settings import PhantomSettings
from radiogenesis.progress import Progress, silent

WORKERS = 2
EDGE_OF_WHOLE = 0.5  # share of the tumors in whole chests that touch the lung's surface
# Where a kernel stands between smooth (-1) and sharp (+1): what the batch effect follows.
SHARPNESS = {"smooth": -1.0, "standard": 0.0, "sharp": 1.0}


@dataclass(frozen=True)
class Plan:
    """The whole cohort before any image is made."""

    patients: tuple[PatientPlan, ...]
    expression: AnnData
    truth: Truth


def plan_cohort(settings: PhantomSettings) -> Plan:
    """Draw genes, factors and scanners: all that patients have to do with each other."""
    streams = [np.random.default_rng([settings.seed, part]) for part in range(5)]
    of_genes = np.random.default_rng([settings.seed if settings.genes_seed is None else settings.genes_seed, 0])
    numbers = [f"{i:04d}" for i in range(1, settings.patients + 1)]
    # Patients of another seed are others, whom nothing that goes by names may take for these.
    names = [f"PH{settings.seed}-{number}" if settings.seed else f"PH{number}" for number in numbers]
    planted = (*FACTORS, UNLISTED) if settings.unlisted else FACTORS
    model = genes.gene_model(settings.genes, settings.modules, of_genes, planted)
    activity = genes.draw_activity(model, settings.patients, streams[1])
    scores = scores_from_expression(zscore(activity), model.weights, settings.strength, streams[2])
    factors = factors_from_scores(
        scores.set_index(pd.Index(names)), size_mm=settings.size_mm, attenuation_hu=settings.attenuation_hu
    )

    kernels = np.resize(list(KERNELS), settings.patients)
    streams[3].shuffle(kernels)
    followers = genes.batch_genes(model, settings.batch_share if settings.batch_effect else 0.0, streams[3])
    sharpness = np.array([SHARPNESS[kernel] for kernel in kernels])
    activity[:, followers] += settings.batch_effect / 2 * sharpness[:, None]
    activity[genes.missing_values(model, settings.patients, settings.missing_fraction, streams[4])] = np.nan

    facts = {**_told(settings), "batch_genes": [model.genes[i] for i in followers]}
    whole = settings.whole_pixels > 0
    at_the_edge = max(settings.at_the_edge, EDGE_OF_WHOLE if whole else 0.0)
    return Plan(
        patients=tuple(
            PatientPlan(
                name, factors[name], str(kernel), settings.seed, whole, at_the_edge=at_the_edge, stream=f"PH{number}"
            )
            for number, name, kernel in zip(numbers, names, kernels, strict=True)
        ),
        expression=genes.to_anndata(activity, model, names),
        truth=Truth(factor_table(factors), model.gene_effects, model.modules, facts),
    )


def make_phantom(
    path: str | Path, settings: PhantomSettings, *, workers: int = WORKERS, progress: Progress = silent
) -> Cohort:
    """Make a phantom cohort and write it; the result does not depend on `workers`.

    Args:
        path: the new cohort.
        settings: sizes, strength, traps, sampling, seed.
        workers: processes that make patients side by side.
        progress: is told of every patient.

    Raises:
        CohortError: something is already at `path`.
    """
    check_place(Path(path), room=max(ROOM, room_of(settings.patients, settings)))
    plan = plan_cohort(settings)
    with CohortWriter(path, settings=_by_room(settings), provenance={"source": "phantom"}) as writer:
        for done, data in enumerate(_make_patients(plan.patients, settings, workers), start=1):
            writer.add(data)
            progress("phantom patients", done, len(plan.patients))
        audit = pd.DataFrame({"patient": [p.patient for p in plan.patients], "status": "in", "reason": "planted"})
        return writer.finish(expression=plan.expression, audit=audit, truth=plan.truth)


def make_patient(plan: PatientPlan, settings: PhantomSettings) -> PatientData:
    """What one phantom patient contributes to the cohort."""
    scan, nodules, backgrounds = sample_patient(plan, settings)
    return PatientData(
        patient=plan.patient,
        slices=nodules,
        backgrounds=backgrounds,
        acquisition=scan.acquisition,
        spacing_mm=scan.spacing_mm,
        tumor_volume_ml=scan.volume_ml(TUMOR),
        whole=whole_slices(scan, blind_lungs(scan), settings) if settings.whole_pixels else None,
    )


def _make_patients(plans: Sequence[PatientPlan], settings: PhantomSettings, workers: int) -> Iterator[PatientData]:
    """The patients in their order, made in `workers` processes."""
    make = partial(make_patient, settings=settings)
    if workers <= 1:
        yield from map(make, plans)
        return
    early: dict[int, PatientData] = {}  # made before those who come first
    following = 0
    for number, made in in_processes(make, plans, workers):
        if isinstance(made, Died):
            raise SettingError(f"the process of {plans[number].patient} {made} twice", remedy="try fewer --workers")
        early[number] = made
        while following in early:
            yield early.pop(following)
            following += 1


def _by_room(settings: PhantomSettings) -> dict[str, Any]:
    """The settings, those of sampling apart, as in every cohort."""
    values = _plain(settings)
    sampling = {field.name for field in dataclasses.fields(SamplingSettings)}
    return {
        "sampling": {name: value for name, value in values.items() if name in sampling},
        "phantom": {name: value for name, value in values.items() if name not in sampling},
    }


def _told(settings: PhantomSettings) -> dict[str, Any]:
    """The settings that stand in the truth, and so in the digest: without those that change nothing."""
    without = {name for name in _plain(settings) if name.startswith("whole_") and not settings.whole_pixels}
    without |= {name for name in ("unlisted", "at_the_edge") if not getattr(settings, name)}
    if settings.genes_seed is None:
        without.add("genes_seed")
    if settings.middle_in_lung:
        without.add("middle_in_lung")
    if settings.size_mm == SIZE_MM:
        without.add("size_mm")
    if settings.attenuation_hu == ATTENUATION_HU:
        without.add("attenuation_hu")
    return {name: value for name, value in _plain(settings).items() if name not in without}


def _plain(settings: PhantomSettings) -> dict[str, Any]:
    """Settings as JSON knows them."""
    return {name: list(v) if isinstance(v, tuple) else v for name, v in dataclasses.asdict(settings).items()}
