"""Lesions planted into REAL lungs, their appearance driven by REAL expression: the positive control.

Before a map between genes and images is believed, the same data should give back a map that is known. So every patient
of an expression table is given a lesion, in a real scan, whose appearance follows genes of that very table:

    complete genes -> one co-expressed module per factor -> scores -> physical factors -> a lesion in a healthy place

Which scan a patient gets is drawn by chance, not by expression, and is recorded: a model that reads the scanner
instead of the lesion gains nothing. A scan is used again and again, at other places, mirrored or not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import ndimage

from radiogenesis.cohort.build import find_scans
from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings, TableSettings, read_expression
from radiogenesis.cohort.patient_parts import patient_rng, read_scan
from radiogenesis.cohort.sampling.lungs import lung_mask
from radiogenesis.cohort.sampling.slices import SamplingSettings, background_slices, draw_centers, nodule_slices
from radiogenesis.cohort.sampling.whole_slices import blind_lungs, whole_slices
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import ReadSettings, Source
from radiogenesis.cohort.store import Cohort, PatientData, Truth
from radiogenesis.cohort.writer import CohortWriter
from radiogenesis.errors import ExpressionError, ScanError, SettingError, may_pass
from radiogenesis.output import check_place
from radiogenesis.phantom.factors import (
    FACTORS,
    LesionFactors,
    factor_table,
    factors_from_scores,
    scores_from_expression,
)
from radiogenesis.phantom.lesion import plant_lesion
from radiogenesis.progress import Progress, silent

BOX_MM = 48.0  # half a side of the box that a lesion is planted in: beyond any lesion, and beyond the 60 mm image
SEEDS = 400  # so many genes are tried as the seed of a module
ALONE = 2.0  # how much a module's independence of the others counts beside its coherence


@dataclass(frozen=True, kw_only=True)
class PlantSettings:
    """How genes drive the lesions, and where these are planted."""

    strength: float = 0.9
    """Share of each factor's variance over patients that the genes explain, 0 to 1; the rest is chance."""
    module_genes: int = 20
    """Genes that drive each factor: a seed gene and those most correlated with it."""
    depth_mm: tuple[float, float] = (6.0, 25.0)
    """Least and greatest distance of a lesion's center from the boundary of healthy lung, in mm; a large lesion lies at
    least its own radius deep, so that it is seen whole."""
    aerated: float = 0.85
    """Least share of the place that must be as light as lung: nothing is planted onto a hilum or a consolidation."""
    apart_mm: float = 20.0
    """Distance in mm that lesions and backgrounds keep from what is outlined on the scan."""
    mirror: bool = True
    """Whether every other patient, by chance, gets the scan mirrored from left to right."""

    def __post_init__(self) -> None:
        if not 0 <= self.strength <= 1:
            raise ValueError(f"strength {self.strength}: a share of variance, from 0 to 1")
        if self.module_genes < 1:
            raise ValueError(f"module_genes {self.module_genes}: at least 1")
        if not 0 < self.depth_mm[0] < self.depth_mm[1]:
            raise ValueError(f"depth_mm {self.depth_mm}: two distances above 0, the smaller first")
        if not 0 <= self.aerated <= 1:
            raise ValueError(f"aerated {self.aerated}: a share, from 0 to 1")
        if not self.apart_mm >= 0:
            raise ValueError(f"apart_mm {self.apart_mm}: not below 0")


def plant_cohort(
    ct_folder: str | Path,
    table: str | Path,
    out: str | Path,
    *,
    settings: PlantSettings | None = None,
    sampling: SamplingSettings | None = None,
    tables: TableSettings | None = None,
    read: ReadSettings | None = None,
    tell: Progress = silent,
) -> Cohort:
    """A cohort with a planted lesion for every patient of an expression table, and the truth in it.

    Peak memory is that of one scan: scans are taken one after the other, each with its share of the patients. A scan
    that cannot be used leaves its patients to the others; a patient for whom no place is found stands in the audit.

    Args:
        ct_folder: DICOM or NIfTI of chests; outlined tumors are kept away from.
        table: expression, as `cohort build` reads it.
        out: the cohort; must not exist yet.
        settings, sampling, tables, read: settings; all that is drawn derives from `sampling.seed`.
        tell: is told of the progress.

    Raises:
        CohortError: something is at `out`.
        ExpressionError: the table cannot be used, or has too few complete genes.
        ScanError: no scan in the folder can be used.
        SettingError: another organ than the lung, or another scale than HU, is asked for.
    """
    settings, sampling = settings or PlantSettings(), sampling or SamplingSettings()
    tables, read = tables or TableSettings(), read or ReadSettings()
    read.require_hu("cohort plant")
    if sampling.organ != "lung" or sampling.window is not None:
        raise SettingError(
            "organ, window: cohort plant puts lesions into lungs, in HU", remedy="leave --organ and --window out"
        )
    check_place(Path(out))
    findings = find_scans(Path(ct_folder), read)
    if not findings.sources:
        raise ScanError("holds no scan that can be used", path=ct_folder, remedy="give a folder of chest CT")
    expression = read_expression(table, settings=tables)
    factors, truth = appearance(expression, settings, sampling.seed)

    about = {"sampling": asdict(sampling), "plant": asdict(settings), "expression": asdict(tables)}
    provenance = {"verb": "cohort plant", "ct_folder": Path(ct_folder).resolve().name, "table": Path(table).name}
    refused = list(findings.refused)
    with CohortWriter(out, settings=about, provenance=provenance) as writer:
        audit = []
        planted = _planted(findings.sources, refused, factors, settings, sampling, read, tell)
        for done, (patient, outcome) in enumerate(planted, start=1):
            if isinstance(outcome, PatientData):
                writer.add(outcome)
                audit.append((patient, "in", outcome.acquisition.chosen_because))
            else:
                audit.append((patient, "out", outcome))
            tell(f"patient {patient}", done, len(factors))
        audit += [(host, "out", f"lends no lungs: {why}") for host, why in refused if host not in factors]
        rows = pd.DataFrame(audit, columns=["patient", "status", "reason"]).sort_values("patient", ignore_index=True)
        return writer.finish(expression=expression, audit=rows, truth=truth)


def appearance(expression: AnnData, settings: PlantSettings, seed: int) -> tuple[dict[str, LesionFactors], Truth]:
    """What every patient's lesion looks like, and by which genes.

    Genes with a missing value drive nothing (Xu et al. 2020 leave them out); the others count as z-scores over all
    patients, after the logarithm if the table needs it.
    """
    patients = [str(patient) for patient in expression.obs_names]
    scaler = ExpressionScaler.fit(expression, patients, ExpressionSettings(missing="drop"))
    values = scaler.transform(expression).astype(np.float64)
    rng = np.random.default_rng([seed, len(FACTORS)])
    weights = choose_modules(pd.DataFrame(values, index=patients, columns=list(scaler.genes)), settings, rng)
    scores = scores_from_expression(values, weights, settings.strength, rng)
    scores.index = pd.Index(patients, name="patient")
    factors = factors_from_scores(scores)

    gene, factor = np.nonzero(weights.to_numpy())
    effects = pd.DataFrame({"gene": weights.index[gene], "factor": np.array(FACTORS)[factor]})
    effects["weight"] = weights.to_numpy()[gene, factor]
    module = dict(zip(effects["gene"], factor.tolist(), strict=True))
    modules = pd.DataFrame({"gene": list(map(str, expression.var_names))})
    modules["module"] = [module.get(name, -1) for name in modules["gene"]]
    told = asdict(settings) | {"seed": seed, "complete_genes": len(scaler.genes)}
    return factors, Truth(factor_table(factors), effects.reset_index(drop=True), modules, told)


def choose_modules(values: pd.DataFrame, settings: PlantSettings, rng: np.random.Generator) -> pd.DataFrame:
    """For each factor the genes that drive it: a seed gene and those most correlated with it, of either sign.

    Seeds are tried at random; taken is the one whose module hangs together best and goes least with the modules already
    taken: mean |r| within, minus twice the greatest |r| of its mean with theirs. No gene drives two factors.

    Args:
        values: patients x genes, z-scores.
        settings: how many genes.
        rng: draws the seeds, the order of the factors and the weights.

    Returns:
        genes x FACTORS, weights of length 1, 0 where a gene has no effect.

    Raises:
        ExpressionError: too few genes or patients.
    """
    z, size = values.to_numpy(), settings.module_genes
    if z.shape[1] < size * len(FACTORS) or len(z) < 3:
        raise ExpressionError(
            f"{z.shape[1]} complete genes of {len(z)} patients are too few for {len(FACTORS)} modules of {size}",
            remedy="lower module_genes, or give a table with more complete genes",
        )
    free = np.ones(z.shape[1], bool)
    means: list[NDArray[np.float64]] = []
    weights = pd.DataFrame(0.0, index=pd.Index(values.columns, name="gene"), columns=list(FACTORS))
    for factor in rng.permutation(np.array(FACTORS)):
        seeds = rng.permutation(np.flatnonzero(free))[:SEEDS]
        r = np.where(free, z[:, seeds].T @ z / len(z), 0)  # (seeds, genes)
        genes = np.argsort(-np.abs(r), axis=1)[:, :size]  # (seeds, size)
        signed = np.take_along_axis(r, genes, axis=1)
        mean = np.stack([z[:, chosen] @ np.sign(row) for chosen, row in zip(genes, signed, strict=True)], axis=1)
        with_others = np.max([np.abs(_correlation(mean, other)) for other in means] or [np.zeros(len(seeds))], axis=0)
        best = int(np.argmax(np.abs(signed).mean(axis=1) - ALONE * with_others))
        drawn = np.sign(signed[best]) * rng.uniform(0.5, 1.5, size)
        weights.loc[values.columns[genes[best]], factor] = drawn / np.linalg.norm(drawn)
        free[genes[best]] = False
        means.append(mean[:, best])
    return weights


def _correlation(columns: NDArray[np.float64], with_one: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson's r of every column with one vector; all have mean 0."""
    norms = np.linalg.norm(columns, axis=0) * np.linalg.norm(with_one)
    r: NDArray[np.float64] = with_one @ columns / np.maximum(norms, 1e-12)
    return r


def _planted(
    sources: list[Source],
    refused: list[tuple[str, str]],
    factors: dict[str, LesionFactors],
    settings: PlantSettings,
    sampling: SamplingSettings,
    read: ReadSettings,
    tell: Progress,
) -> Iterator[tuple[str, PatientData | str]]:
    """Every patient with what was planted, or why nothing was, scan after scan; scans of no use go to `refused`."""
    shuffled = np.random.default_rng([sampling.seed, len(factors)]).permutation(np.array(list(factors)))
    waiting = [str(patient) for patient in shuffled]
    while waiting:
        usable = []
        for left, source in zip(range(len(sources), 0, -1), sources, strict=True):
            tell(f"scan of {source.patient}", len(factors) - len(waiting), len(factors))
            try:
                host = Host.of(read_scan(source, read), settings)
            except ScanError as error:
                if may_pass(error):  # without this scan others would lend their lungs: another cohort
                    raise
                refused.append((source.patient, str(error)))
                continue
            usable.append(source)
            share = math.ceil(len(waiting) / left)
            for patient in waiting[:share]:
                rng = patient_rng(sampling.seed, patient)
                try:
                    yield patient, plant_patient(patient, host, factors[patient], settings, sampling, rng)
                except ScanError as error:
                    yield patient, str(error)
            waiting = waiting[share:]
        if not usable:
            raise ScanError("no scan lends its lungs", remedy="; ".join(why for _, why in refused[:3]))
        sources = usable


@dataclass(frozen=True)
class Host:
    """A real scan cut down to its lungs.

    Attributes:
        scan: the scan around its lungs.
        lungs: (Z, Y, X) bool, both lungs.
        healthy: (Z, Y, X) bool, the lungs away from what is outlined.
    """

    scan: Scan
    lungs: NDArray[np.bool_]
    healthy: NDArray[np.bool_]

    @classmethod
    def of(cls, scan: Scan, settings: PlantSettings) -> Host:
        """Find the lungs. Raises ScanError where there are none."""
        lungs = lung_mask(scan)
        box = _grown(_bounds(lungs), BOX_MM, scan)
        scan, lungs = cropped(scan, box), lungs[box].copy()
        return cls(scan, lungs, lungs & ~_near(scan.outlined_mask, settings.apart_mm, scan))

    def mirrored(self) -> Host:
        """Left and right exchanged in the images; the affine follows, so that places in the patient stay true."""
        affine = self.scan.affine.copy()
        affine[:, 3] += (self.scan.hu.shape[2] - 1) * affine[:, 2]
        affine[:, 2] *= -1
        masks = {name: mask[:, :, ::-1] for name, mask in self.scan.masks.items()}
        scan = replace(self.scan, hu=self.scan.hu[:, :, ::-1], affine=affine, masks=masks)
        return Host(scan, self.lungs[:, :, ::-1], self.healthy[:, :, ::-1])


def plant_patient(
    patient: str,
    host: Host,
    factors: LesionFactors,
    settings: PlantSettings,
    sampling: SamplingSettings,
    rng: np.random.Generator,
) -> PatientData:
    """One lesion in one scan, cut like any other; backgrounds from healthy lung away from it.

    Raises:
        ScanError: no place for the lesion, or none for a background.
    """
    mirror = settings.mirror and bool(rng.random() < 0.5)
    if mirror:
        host = host.mirrored()
    place = _place(patient, host, factors, settings, rng)
    spacing = host.scan.spacing_mm
    box = _grown(tuple(slice(int(i), int(i) + 1) for i in place), BOX_MM, host.scan)
    around = cropped(host.scan, box)
    center = place - [edge.start for edge in box]
    hu, lesion = plant_lesion(around.hu, spacing, center.astype(np.float64), factors, rng, lungs=host.lungs[box])
    planted = replace(around, hu=hu, masks={"lesion": lesion}, tumor="lesion", patient=patient)

    free = host.healthy.copy()
    free[box] &= ~_near(lesion, settings.apart_mm, around)
    backgrounds = background_slices(replace(host.scan, patient=patient, masks={}, tumor=None), free, sampling, rng)
    whole = None
    if sampling.whole_pixels:
        chest = _with_lesion(replace(host.scan, patient=patient), box, hu, lesion)
        whole = whole_slices(chest, blind_lungs(chest), sampling)
    came_from = f"planted into the scan of {host.scan.patient}" + (", mirrored" if mirror else "")
    return PatientData(
        patient=patient,
        slices=nodule_slices(planted, sampling),
        backgrounds=backgrounds,
        acquisition=replace(host.scan.acquisition, chosen_because=came_from),
        spacing_mm=spacing,
        tumor_volume_ml=planted.volume_ml("lesion"),
        whole=whole,
    )


def _with_lesion(host: Scan, box: tuple[slice, ...], hu: NDArray[np.int16], lesion: NDArray[np.bool_]) -> Scan:
    """The whole host with the lesion in its box. What was outlined on the host before is tumor too."""
    planted, mask = host.hu.copy(), host.tumor_mask.copy()
    planted[box] = hu
    mask[box] |= lesion
    return replace(host, hu=planted, masks={"lesion": mask}, tumor="lesion")


def _place(
    patient: str, host: Host, factors: LesionFactors, settings: PlantSettings, rng: np.random.Generator
) -> NDArray[np.intp]:
    """A voxel of healthy lung, deep enough for the lesion, light all around. Raises ScanError where none is found."""
    radius = factors.size_mm / 2
    low = max(settings.depth_mm[0], radius)
    places, _ = draw_centers(host.healthy, host.scan.spacing_mm, (low, max(settings.depth_mm[1], low + 5)), 30, rng)
    dz, last = host.scan.spacing_mm[0], len(host.lungs) - 1
    for place in places:
        box = _grown(tuple(slice(int(i), int(i) + 1) for i in place), radius, host.scan)
        whole = min(place[0], last - place[0]) * dz >= low  # the end of the stack cuts no lesion
        if whole and np.mean(host.scan.hu[box] < -500) >= settings.aerated:
            return place
    raise ScanError(
        f"patient {patient}: the scan of {host.scan.patient} has no place for a lesion of {factors.size_mm:.0f} mm",
        remedy="give scans with more healthy lung, or lower depth_mm and aerated",
    )


def cropped(scan: Scan, box: tuple[slice, ...]) -> Scan:
    """A part of a scan that keeps its place in the patient; arrays are copied, so that the whole can be released."""
    affine = scan.affine.copy()
    affine[:3, 3] = scan.to_patient(np.array([float(edge.start) for edge in box]))
    masks = {name: mask[box].copy() for name, mask in scan.masks.items()}
    return replace(scan, hu=scan.hu[box].copy(), affine=affine, masks=masks)


def _bounds(mask: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The smallest box around a mask that is not empty."""
    box: tuple[slice, ...] = ndimage.find_objects(mask.view(np.uint8))[0]
    return box


def _grown(box: tuple[slice, ...], by_mm: float, scan: Scan) -> tuple[slice, ...]:
    """The box with `by_mm` more on every side, as far as the scan goes."""
    reach = [math.ceil(by_mm / step) for step in scan.spacing_mm]
    return tuple(
        slice(max(edge.start - more, 0), min(edge.stop + more, n))
        for edge, more, n in zip(box, reach, scan.hu.shape, strict=True)
    )


def _near(mask: NDArray[np.bool_], distance_mm: float, scan: Scan) -> NDArray[np.bool_]:
    """The mask and what lies within `distance_mm` of it."""
    near = np.zeros(mask.shape, bool)
    if mask.any():
        box = _grown(_bounds(mask), distance_mm, scan)
        near[box] = ndimage.distance_transform_edt(~mask[box], sampling=scan.spacing_mm) <= distance_mm
    return near
