"""Whole phantom cohorts: what was planted is what is seen, and nothing depends on who made it when."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import ndimage
from scipy.special import ndtri
from scipy.stats import spearmanr

from radiogenesis.cohort.dicom.folder import find_dicom
from radiogenesis.cohort.expression import read_expression
from radiogenesis.cohort.sampling.slices import SamplingSettings, nodule_slices
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import OutputError
from radiogenesis.methods.images import images_from_hu, outside_lung
from radiogenesis.phantom.dicom import write_dicom
from radiogenesis.phantom.factors import FACTORS, UNLISTED, LesionFactors
from radiogenesis.phantom.patient import TUMOR, PatientPlan, make_scans, sample_patient
from radiogenesis.phantom.phantom import make_phantom, plan_cohort
from radiogenesis.phantom.settings import PhantomSettings
from radiogenesis.phenotypes.lesion import lesion_features

SMALL = PhantomSettings(patients=3, genes=200, modules=8, pixels=32, slices_per_center=4, seed=7)
MIDDLE = LesionFactors(
    size_mm=24.0, attenuation_hu=-150.0, spiculation=0.2, margin_mm=2.5, heterogeneity_hu=25.0, cavitation=0.0
)
LADDERS = {
    "size": ("size_mm", np.linspace(13, 36, 4)),
    "attenuation": ("attenuation_hu", np.linspace(-600, 40, 4)),
    "spiculation": ("spiculation", np.linspace(0.0, 1.0, 4)),
    "margin": ("margin_mm", np.linspace(1.5, 7.0, 4)),
    "heterogeneity": ("heterogeneity_hu", np.linspace(15, 150, 4)),
    "cavitation": ("cavitation", np.linspace(0.15, 0.6, 4)),
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return make_phantom(tmp_path_factory.mktemp("phantom") / "cohort", SMALL, workers=1)


@pytest.mark.parametrize("name", FACTORS)
def test_what_is_planted_is_what_is_measured(name: str, one_chest: Callable[[], AbstractContextManager[None]]) -> None:
    field, ladder = LADDERS[name]
    measured = []
    for value in ladder:
        factors = replace(MIDDLE, **{field: float(value)})
        with one_chest():
            slices = nodule_slices(make_scans(PatientPlan("p", factors, "standard", 3))[0], SamplingSettings())
        area = slices.mask.sum(axis=(1, 2))
        large = area > 0.6 * area.max()
        image, mask = (torch.from_numpy(x[large].astype(np.float32))[:, None] for x in (slices.image, slices.mask))
        measured.append(float(lesion_features(image, mask, 60 / 64)[name].nanmean()))
    assert spearmanr(ladder, measured)[0] > 0.99, measured


@pytest.mark.parametrize("size", [14.0, 20.0, 34.0])
def test_the_outlined_volume_is_that_of_the_sphere(size: float) -> None:
    for seed in (1, 2):
        scan, healthy = make_scans(PatientPlan("p", replace(MIDDLE, size_mm=size), "smooth", seed))
        assert scan.volume_ml(TUMOR) == pytest.approx(np.pi / 6 * size**3 / 1000, rel=0.08)
        assert healthy.tumor is None
        assert np.abs(scan.hu[scan.tumor_mask].mean() - healthy.hu[scan.tumor_mask].mean()) > 300


@pytest.mark.parametrize(("share", "least", "most"), [(0.0, 0.0, 0.06), (1.0, 0.1, 0.9)])
def test_tumors_touch_the_chest_wall_where_they_are_asked_to(share: float, least: float, most: float) -> None:
    """Share of the chest wall and mediastinum in a band of 3 mm around the tumor; 0.12 in 62 real patients."""
    found = []
    for seed in range(3):
        _, slices, _ = sample_patient(PatientPlan("p", MIDDLE, "standard", seed, at_the_edge=share), SamplingSettings())
        k = int(slices.mask.sum(axis=(1, 2)).argmax())
        band = ndimage.binary_dilation(slices.mask[k], iterations=3) & ~slices.mask[k]
        lung = np.where(slices.mask[k], -850.0, slices.image[k])[None]
        found.append(float(outside_lung(images_from_hu(lung))[0, 0].numpy()[band].mean()))
    assert least <= np.mean(found) <= most, found


def test_the_cohort_holds_everything(cohort: Cohort) -> None:
    cohort.verify()
    assert list(cohort.patients.index) == ["PH7-0001", "PH7-0002", "PH7-0003"]
    assert cohort.expression.shape == (3, 200)
    assert (cohort.patients["n_backgrounds"] == 4).all()
    assert (cohort.patients["n_slices"] > 2).all()
    assert cohort.pixels == 32
    assert cohort.truth is not None
    assert list(cohort.truth.factors.columns) == list(FACTORS)
    assert set(cohort.truth.gene_effects["factor"]) == set(FACTORS)
    assert cohort.truth.settings["seed"] == 7
    assert set(cohort.patients["kernel"]) <= {"smooth", "standard", "sharp"}
    sphere_ml = np.pi / 6 * cohort.truth.factors["size"] ** 3 / 1000
    np.testing.assert_allclose(cohort.patients["tumour_volume_ml"], sphere_ml, rtol=0.15)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_cohort_with_any_number_of_workers(cohort: Cohort, tmp_path: Path) -> None:
    assert make_phantom(tmp_path / "again", SMALL, workers=2).digest == cohort.digest
    _, other, _ = sample_patient(plan_cohort(replace(SMALL, seed=8)).patients[0], SMALL)
    assert not np.array_equal(other.image, cohort.slice_image[cohort.slice_patient == "PH7-0001"])


def test_cohorts_of_different_seeds_share_no_names(tmp_path: Path) -> None:
    """A run drops patients of the names it was trained on: in another phantom it took everybody for one."""
    plans = {seed: plan_cohort(replace(SMALL, patients=12, seed=seed)) for seed in (0, 1, 3, 31)}
    names = {seed: [patient.patient for patient in plan.patients] for seed, plan in plans.items()}
    assert (names[0][0], names[3][0], names[31][11]) == ("PH0001", "PH3-0001", "PH31-0012")
    assert len({name for listed in names.values() for name in listed}) == 48
    for seed, plan in plans.items():
        assert names[seed] == sorted(names[seed])
        assert names[seed] == list(plan.expression.obs_names) == list(plan.truth.factors.index)
    write_dicom(tmp_path / "dicom", plans[3], 1)
    (source,) = find_dicom(tmp_path / "dicom", ReadSettings()).sources
    assert source.patient == "PH3-0001"
    assert read_expression(tmp_path / "dicom" / "expression.csv", patients=names[3]).n_obs == 12


def test_the_seed_in_a_name_changes_no_image() -> None:
    plan = plan_cohort(SMALL).patients[1]
    (scan, slices, backgrounds), (same, same_slices, same_backgrounds) = (
        sample_patient(one, SMALL) for one in (plan, replace(plan, patient="PH0002", stream=""))
    )
    np.testing.assert_array_equal(scan.hu, same.hu)
    np.testing.assert_array_equal(slices.image, same_slices.image)
    np.testing.assert_array_equal(backgrounds.image, same_backgrounds.image)


def test_an_existing_cohort_is_not_overwritten(cohort: Cohort) -> None:
    with pytest.raises(OutputError, match="already exists"):
        make_phantom(cohort.path, SMALL, workers=1)


def genes_and_factors(settings: PhantomSettings) -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    plan = plan_cohort(settings)
    return plan.expression.to_df(), plan.truth.factors, plan.truth.gene_effects


@pytest.mark.parametrize(("strength", "low", "high"), [(0.0, -0.1, 0.1), (0.9, 0.87, 1.0)])
def test_genes_tell_as_much_as_the_strength_says(strength: float, low: float, high: float) -> None:
    expression, factors, effects = genes_and_factors(
        PhantomSettings(patients=300, genes=400, modules=8, strength=strength, seed=1)
    )
    z = (expression - expression.mean()) / expression.std()
    for name in FACTORS:
        mine = effects[effects["factor"] == name].set_index("gene")["weight"]
        assert low < spearmanr(z[mine.index] @ mine, factors[name])[0] < high


def test_the_batch_effect_is_there_only_when_asked() -> None:
    settings = PhantomSettings(patients=150, genes=400, modules=8, batch_share=0.1)
    for wanted in (0.0, 2.0):
        plan = plan_cohort(replace(settings, batch_effect=wanted))
        kernel = np.array([patient.kernel for patient in plan.patients])
        x = plan.expression.to_df()
        shift = (x[kernel == "sharp"].mean() - x[kernel == "smooth"].mean()) / x[kernel == "smooth"].std()
        followers = plan.truth.settings["batch_genes"]
        assert len(followers) == (40 if wanted else 0)
        if wanted:
            assert shift[followers].mean() == pytest.approx(wanted, abs=0.25)
            assert not set(followers) & set(plan.truth.gene_effects["gene"])
        assert abs(shift.drop(index=followers).mean()) < 0.15
    assert kernel.tolist() == [p.kernel for p in plan_cohort(settings).patients], "the effect changes no scanner"


def test_missing_values_are_in_the_expression_and_not_in_the_factors() -> None:
    settings = PhantomSettings(patients=40, genes=400, modules=8)
    complete, factors, _ = genes_and_factors(settings)
    holes, same_factors, _ = genes_and_factors(replace(settings, missing_fraction=0.05))
    assert holes.isna().to_numpy().mean() == pytest.approx(0.05)
    pd.testing.assert_frame_equal(holes.fillna(complete), complete)
    pd.testing.assert_frame_equal(factors, same_factors)


@pytest.mark.parametrize(
    "wrong",
    [
        {"patients": 1},
        {"genes": 100},
        {"modules": 5},
        {"strength": 1.5},
        {"missing_fraction": 0.5},
        {"batch_share": 0.0},
        {"pixels": 2},
    ],
)
def test_impossible_settings_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PhantomSettings(**wrong)


def test_a_seventh_factor_is_driven_by_a_module_of_its_own_only_when_asked() -> None:
    settings = replace(SMALL, patients=200, strength=0.6)
    assert UNLISTED not in plan_cohort(settings).truth.factors
    plan = plan_cohort(replace(settings, unlisted=True))
    factors = plan.truth.factors
    assert list(factors) == [*FACTORS, UNLISTED]
    assert factors[UNLISTED].between(0, 1).all()
    assert [p.factors.solid_offset for p in plan.patients] == factors[UNLISTED].tolist()
    effects = plan.truth.gene_effects
    module = plan.truth.modules.set_index("gene")["module"]
    driving = {factor: set(module[mine["gene"]]) for factor, mine in effects.groupby("factor")}
    assert driving == {factor: {k} for k, factor in enumerate([*FACTORS, UNLISTED])}
    assert np.abs(np.corrcoef(factors.rank().T)[-1, :-1]).max() < 0.3  # it goes with no property
    mine = effects[effects["factor"] == UNLISTED].set_index("gene")["weight"]
    genes = plan.expression[:, mine.index].X
    genetic = ((genes - genes.mean(0)) / genes.std(0)) @ mine.to_numpy()
    assert np.corrcoef(genetic, ndtri(factors[UNLISTED]))[0, 1] ** 2 == pytest.approx(0.6, abs=0.02)
    with pytest.raises(ValueError, match="modules 6: at least 7, one for each factor"):
        replace(settings, modules=6, unlisted=True)


def test_phantoms_of_one_genes_seed_are_other_patients_of_one_truth() -> None:
    few = PhantomSettings(patients=3, genes=200, modules=8, seed=1)
    one, other, apart = (
        plan_cohort(replace(few, seed=seed, genes_seed=genes)) for seed, genes in ((1, 7), (2, 7), (2, None))
    )
    pd.testing.assert_frame_equal(one.truth.gene_effects, other.truth.gene_effects)
    assert not one.truth.gene_effects.equals(apart.truth.gene_effects)
    assert not set(one.truth.factors.index) & set(other.truth.factors.index)
    assert not np.array_equal(one.expression.X, other.expression.X)
    assert "genes_seed" not in apart.truth.settings  # what is not asked for changes no digest
