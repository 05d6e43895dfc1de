"""Phantom brains: their tumors take up contrast in a ring, and no scan has another's scale."""

from __future__ import annotations

import numpy as np
import pytest

from radiogenesis.cohort.scan import Scan
from radiogenesis.phantom.brain import brain_scans
from radiogenesis.phantom.factors import LesionFactors
from radiogenesis.phantom.scanner import Scanner

SCANNER = Scanner("standard", 3.0, 1.6, 1.0, kvp=float("nan"))
RING = LesionFactors(size_mm=36, attenuation_hu=1700, spiculation=0.1, margin_mm=1.5, heterogeneity_hu=30,
                     cavitation=0.6, edema_mm=12)  # fmt: skip


def scans(seed: int) -> tuple[Scan, Scan]:
    return brain_scans("P", RING, SCANNER, np.random.default_rng(seed), "tumor")


def test_a_tumor_is_a_bright_ring_around_a_dead_core_in_a_brain_without_skull() -> None:
    ill, healthy = scans(1)
    again, _ = scans(1)
    np.testing.assert_array_equal(ill.hu, again.hu)
    voxels = np.argwhere(ill.tumor_mask)
    assert ill.volume_ml("tumor") == pytest.approx(np.pi / 6 * 3.6**3, rel=0.1)
    away = np.linalg.norm((voxels - voxels.mean(axis=0)) * ill.spacing_mm, axis=1)
    white = np.median(healthy.hu[healthy.hu > 0])
    level = ill.hu[ill.tumor_mask] / white
    assert np.median(level[(away > 13) & (away < 16)]) > 1.4
    assert level.min() < 0.7
    around = (healthy.hu > 0) & ~ill.tumor_mask
    swollen = (ill.hu[around] / healthy.hu[around]) < 0.85
    assert 0.01 < swollen.mean() < 0.3
    assert (healthy.hu == 0).mean() > 0.15


def test_every_scan_has_a_scale_of_its_own() -> None:
    levels = [np.median(one.hu[one.hu > 0]) for one in (scans(1)[1], scans(2)[1])]
    assert max(levels) > 1.3 * min(levels)
