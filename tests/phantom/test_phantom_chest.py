"""The whole chest: two lungs that the lung mask of real scans finds, a midline, and tumors where they are wanted."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from radiogenesis.cohort.sampling.lungs import lung_mask
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.scan import Scan
from radiogenesis.phantom import patient as making
from radiogenesis.phantom.chest import draw_chest
from radiogenesis.phantom.factors import LesionFactors
from radiogenesis.phantom.patient import TUMOR, make_scans
from radiogenesis.phantom.phantom import make_patient, plan_cohort
from radiogenesis.phantom.settings import PhantomSettings
from radiogenesis.phantom.thorax import Thorax

COARSE = (4.0, 3.0, 3.0)  # the lung mask needs no less
COARSER = (8.0, 6.0, 6.0)
ROUND = LesionFactors(
    size_mm=24.0, attenuation_hu=0.0, spiculation=0.0, margin_mm=2.0, heterogeneity_hu=20.0, cavitation=0.0
)


@pytest.fixture(scope="module")
def chests() -> list[Thorax]:
    return [draw_chest(COARSER, np.random.default_rng(seed)) for seed in range(6)]


@pytest.fixture(scope="module")
def finer() -> list[Thorax]:
    return [draw_chest(COARSE, np.random.default_rng(seed)) for seed in range(2)]


def test_both_lungs_lie_where_the_lung_mask_of_real_scans_finds_them(finer: list[Thorax]) -> None:
    for thorax in finer:
        affine = np.diag([*COARSE, 1.0])[:, [2, 1, 0, 3]]
        hu = np.rint(thorax.hu).astype(np.int16)
        found, true = lung_mask(Scan(patient="p", hu=hu, affine=affine)), thorax.inside_mm > 0
        assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.9
        middle = thorax.hu.shape[2] // 2
        halves = found[:, :, :middle].sum(), found[:, :, middle:].sum()
        assert min(halves) > 0.5 * max(halves)


def test_the_body_is_as_large_as_a_body_and_stands_clear_of_the_image(chests: list[Thorax]) -> None:
    for thorax in chests:
        tissue = ndimage.binary_opening(thorax.hu[-1] > -300, iterations=1)
        rows, columns = (np.flatnonzero(tissue.any(axis=axis)) for axis in (1, 0))
        assert 260 < 6.0 * (columns[-1] - columns[0]) < 420
        assert 170 < 6.0 * (rows[-1] - rows[0]) < 320
        assert (thorax.hu[:, :, :1] < -700).mean() > 0.95


def test_a_chest_is_drawn_in_single_precision(chests: list[Thorax]) -> None:
    assert {thorax.hu.dtype for thorax in chests} == {
        np.dtype(np.float32)
    }  # double doubles a scanner's time and memory


def test_the_hilum_belongs_to_the_half_that_is_named(chests: list[Thorax]) -> None:
    sides = set()
    for thorax in chests:
        first, last = thorax.half
        assert last is not None
        column = thorax.hilum_mm[2] / COARSER[2]
        assert first <= column < last
        sides.add(first > 0)
    assert sides == {False, True}


def test_some_slabs_show_the_diaphragm_and_others_do_not(chests: list[Thorax]) -> None:
    shares = [float((thorax.inside_mm[0] > 0).mean() / (thorax.inside_mm[-1] > 0).mean()) for thorax in chests]
    assert min(shares) < 0.7
    assert max(shares) > 0.9


def test_tumors_lie_at_the_edge_and_away_from_it(finer: list[Thorax]) -> None:
    thorax = finer[0]
    for edge in (False, True):
        depths = []
        for seed in range(5):
            at = making._lesion_center(thorax, 12.0, np.random.default_rng(seed), edge=edge)
            z, y, x = at.astype(int)
            assert thorax.half[0] <= x < (thorax.half[1] or 0)
            depths.append(float(thorax.inside_mm[z, y, x]))
        assert (max(depths) <= 12.0) if edge else (min(depths) >= 12.0)
    with pytest.raises(ValueError, match="attenuation_hu"):
        PhantomSettings(attenuation_hu=(40.0, -600.0))
    with pytest.raises(ValueError, match="size_mm"):
        PhantomSettings(size_mm=(20.0, 10.0))


@pytest.mark.slow
def test_a_patient_of_a_whole_cohort_contributes_whole_slices() -> None:
    settings = PhantomSettings(
        patients=2, genes=200, modules=8, pixels=16, slices_per_center=2, whole_pixels=64, whole_every_mm=8.0, seed=1
    )
    plan = plan_cohort(settings).patients[0]
    assert plan.whole
    data = make_patient(replace(plan, factors=ROUND), settings)
    assert data.whole is not None
    scan, _ = make_scans(replace(plan, factors=ROUND))
    pixel_ml = (settings.whole_field_mm / 64) ** 2 * np.diff(data.whole.to_patient[:, 2, 2]).mean() / 1000
    assert data.whole.tumor.sum() * pixel_ml == pytest.approx(scan.volume_ml(TUMOR), rel=0.35)
    assert scan.volume_ml(TUMOR) == pytest.approx(np.pi / 6 * 24**3 / 1000, rel=0.15)
    assert (data.whole.lungs.mean(axis=(1, 2)) > 0.01).all()


def test_settings_at_their_defaults_leave_the_digest_of_earlier_cohorts() -> None:
    plan = plan_cohort(PhantomSettings(patients=2, genes=200, modules=8))
    assert not any(patient.whole for patient in plan.patients)
    named = ("size_mm", "attenuation_hu", "middle_in_lung")
    assert not any(name.startswith("whole") or name in named for name in plan.truth.settings)
    assert SamplingSettings().whole_pixels == 0
