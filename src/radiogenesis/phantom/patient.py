"""One phantom patient: a chest or a brain, a lesion in it, a scanner, and the slices that are cut out of the scan."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.sampling.organ_mask import organ_mask
from radiogenesis.cohort.sampling.scale import on_scale
from radiogenesis.cohort.sampling.slices import (
    Backgrounds,
    NoduleSlices,
    SamplingSettings,
    background_slices,
    nodule_slices,
)
from radiogenesis.cohort.scan import Scan
from radiogenesis.imaging import LUNG_CT, Imaging, OrganName
from radiogenesis.phantom.brain import brain_scans
from radiogenesis.phantom.chest import draw_chest
from radiogenesis.phantom.factors import LesionFactors
from radiogenesis.phantom.lesion import plant_lesion
from radiogenesis.phantom.scanner import acquire, average_slices, draw_scanner
from radiogenesis.phantom.thorax import Thorax, draw_thorax

TUMOR = "tumor"
CHEST, SAMPLING = 0, 1  # what a patient's random streams are for
EDGE_DEPTH = (0.75, 1.0)  # depth of their centers as a share of their radius: a small cap of the volume is cut off


@dataclass(frozen=True)
class PatientPlan:
    """All that a process needs to know to make one patient."""

    patient: str
    factors: LesionFactors
    kernel: str
    seed: int
    whole: bool = False
    """A whole chest; else half of one."""
    at_the_edge: float = 0.0
    """Chance that the tumor touches the lung's surface; else it lies deep in the lung."""
    stream: str = ""
    """What the patient's chance follows beside the seed; "" for the name."""
    organ: OrganName = "lung"
    """lung or brain."""


def patient_rng(seed: int, plan: PatientPlan, purpose: int) -> np.random.Generator:
    """A stream of the patient's own for each purpose, whatever the order in which patients are made."""
    return np.random.default_rng([seed, zlib.crc32((plan.stream or plan.patient).encode()), purpose])


def make_scans(plan: PatientPlan) -> tuple[Scan, Scan]:
    """The patient's scan, with the lesion outlined, and the same lung or brain before the lesion was there."""
    rng = patient_rng(plan.seed, plan, CHEST)
    scanner = draw_scanner(plan.kernel, rng)
    if plan.organ == "brain":
        return brain_scans(plan.patient, plan.factors, replace(scanner, kvp=float("nan")), rng, TUMOR)
    thorax = (draw_chest if plan.whole else draw_thorax)(scanner.fine_spacing_mm, rng)
    edge = plan.at_the_edge > 0 and rng.random() < plan.at_the_edge
    center = _lesion_center(thorax, plan.factors.size_mm / 2, rng, edge=edge)
    ill, body = plant_lesion(thorax.hu, thorax.spacing_mm, center, plan.factors, rng, lungs=thorax.inside_mm > 0)
    affine = np.eye(4)[:, [2, 1, 0, 3]] * [*scanner.spacing_mm, 1.0]  # (z, y, x) -> (x, y, z) mm
    mask = average_slices(body.astype(np.float32), scanner) > 0.5
    healthy = Scan(
        patient=plan.patient, hu=acquire(thorax.hu, scanner, rng), affine=affine, acquisition=scanner.acquisition
    )
    scan = Scan(
        patient=plan.patient, hu=acquire(ill, scanner, rng), affine=affine, acquisition=scanner.acquisition
    ).with_mask(TUMOR, mask, tumor=True)
    return scan, healthy


def sample_patient(
    plan: PatientPlan, settings: SamplingSettings, imaging: Imaging = LUNG_CT
) -> tuple[Scan, NoduleSlices, Backgrounds]:
    """The scan and its slices, by the same sampling code as for real scans.

    Backgrounds come from the lung before the lesion was there: no background shows a part of one.
    """
    scan, healthy = make_scans(plan)
    rng = patient_rng(settings.seed, plan, SAMPLING)
    organ = organ_mask(healthy, imaging)
    scan, healthy = on_scale(scan, imaging, organ), on_scale(healthy, imaging, organ)
    return scan, nodule_slices(scan, settings), background_slices(healthy, organ, settings, rng, imaging)


def _lesion_center(
    thorax: Thorax, radius_mm: float, rng: np.random.Generator, *, edge: bool = False
) -> NDArray[np.float64]:
    """An array index (z, y, x): away from the hilum, near the middle plane, deep enough in the lung for the lesion, or
    at its edge."""
    step = np.array(thorax.spacing_mm)
    middle = (len(thorax.hu) - 1) / 2
    reach = int(6.0 / step[0])
    first = int(middle) - reach
    slab = thorax.inside_mm[first : first + 2 * reach + 1, :, slice(*thorax.half)]
    z, y, x = (np.arange(n, dtype=np.float32) * np.float32(s) for n, s in zip(slab.shape, step, strict=True))
    origin = thorax.hilum_mm - [first * step[0], 0, thorax.half[0] * step[2]]
    hilum = np.sqrt(
        (z[:, None, None] - origin[0]) ** 2 + (y[:, None] - origin[1]) ** 2 + (x - origin[2]) ** 2, dtype=np.float32
    )
    # How much room is left beyond what the lesion needs; where there is none, the roomiest places.
    if edge:
        low, high = (share * radius_mm for share in EDGE_DEPTH)
        places = np.argwhere((slab >= low) & (slab <= high) & (hilum >= radius_mm + 10.0))
    if not edge or not len(places):
        room = np.minimum(slab - radius_mm - 1.0, hilum - radius_mm - 10.0)
        places = np.argwhere(room >= min(0.0, float(np.quantile(room, 0.999))))
    chosen = places[rng.integers(len(places))] + [first, 0, thorax.half[0]]
    return chosen.astype(np.float64)
