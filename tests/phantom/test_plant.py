"""Planting: the genes that drive, the places, the truth; on chests made of ellipsoids, and on real lungs."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage
from scipy.stats import spearmanr

from radiogenesis.cli import cohort_plant
from radiogenesis.cohort.expression import TableSettings
from radiogenesis.cohort.folders.find import find_volumes
from radiogenesis.cohort.nifti import read_nifti, write_nifti
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import ExpressionError, OutputError, ScanError
from radiogenesis.phantom.factors import FACTORS, LesionFactors
from radiogenesis.phantom.plant import Host, PlantSettings, choose_modules, plant_cohort, plant_patient

SPACING = (3.0, 2.0, 2.0)
SHAPE = (60, 120, 160)  # 180 x 240 x 320 mm
AFFINE = np.array([[0, 0, 2.0, -160], [0, 2.0, 0, -120], [3.0, 0, 0, 500], [0, 0, 0, 1]])
PATIENTS = [f"T{i:02d}" for i in range(18)]
SETTINGS = PlantSettings(module_genes=6)
GENES_IN_ROWS = TableSettings(orientation="genes-in-rows")


def ellipsoid(center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
    """Center and radii in mm along (z, y, x), from the middle of the volume."""
    axes = np.ogrid[tuple(slice(0, n) for n in SHAPE)]
    parts = zip(axes, SHAPE, SPACING, center, radii, strict=True)
    return sum((((axis - (n - 1) / 2) * step - c) / r) ** 2 for axis, n, step, c, r in parts) <= 1


def write_chest(folder: Path, patient: str, *, tumor: bool, lungs: bool = True) -> None:
    hu = np.full(SHAPE, -1000.0)
    hu[ellipsoid((0, 0, 0), (1e4, 100, 145))] = 30
    if lungs:
        for side in (-70, 70):
            hu[ellipsoid((0, 0, side), (100, 75, 55))] = -850
    mask = ellipsoid((0, 0, 70), (20, 20, 20))
    if tumor:
        hu[mask] = 40
        write_nifti(folder / f"{patient}_mask.nii.gz", mask, AFFINE)
    hu += np.random.default_rng(len(patient)).normal(0, 25, SHAPE)
    write_nifti(folder / f"{patient}_image.nii.gz", hu.astype(np.int16), AFFINE)


def write_table(path: Path, patients: list[str] = PATIENTS) -> pd.DataFrame:
    """80 genes: 8 clusters of 8 that do not correlate with each other, 16 of noise; every fifth gene lacks a value."""
    rng = np.random.default_rng(0)
    drawn = rng.standard_normal((len(patients), 8))
    clusters = np.linalg.qr(drawn - drawn.mean(axis=0))[0].T * len(patients) ** 0.5
    values = np.concatenate(
        [
            np.repeat(clusters, 8, axis=0) + 0.4 * rng.standard_normal((64, len(patients))),
            rng.normal(size=(16, len(patients))),
        ]
    )
    table = pd.DataFrame(values, index=[f"G{i:02d}" for i in range(80)], columns=patients)
    table.iloc[::5, 2] = np.nan
    table.to_csv(path)
    return table


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three scans: with a tumor, without, and one of a belly."""
    folder = tmp_path_factory.mktemp("ct")
    write_chest(folder, "outlined", tumor=True)
    write_chest(folder, "clean", tumor=False)
    write_chest(folder, "zz_belly", tumor=False, lungs=False)
    return folder


@pytest.fixture(scope="module")
def one_scan(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scan without a tumor alone: most of the time of planting is what is found out of each scan."""
    alone = tmp_path_factory.mktemp("one")
    shutil.copy(folder / "clean_image.nii.gz", alone)
    return alone


@pytest.fixture(scope="module")
def cohort(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    base = tmp_path_factory.mktemp("cohort")
    write_table(base / "table.csv")
    return plant_cohort(folder, base / "table.csv", base / "planted", settings=SETTINGS, tables=GENES_IN_ROWS)


def test_everybody_has_a_lesion_backgrounds_genes_and_a_truth(cohort: Cohort) -> None:
    assert sorted(cohort.patients.index) == PATIENTS
    assert (cohort.patients["n_slices"] >= 3).all()
    assert (cohort.patients["n_backgrounds"] == 20).all()
    assert cohort.patients["has_expression"].all()
    assert sorted(cohort.truth.factors.index) == PATIENTS
    assert list(cohort.truth.factors.columns) == list(FACTORS)
    assert np.isnan(np.asarray(cohort.expression.X)).sum() == 16  # raw, as it came


def test_the_audit_names_the_scan_of_everybody_and_the_scan_that_lends_nothing(cohort: Cohort) -> None:
    audit = cohort.audit.set_index("patient")
    assert (audit.loc[PATIENTS, "status"] == "in").all()
    hosts = audit.loc[PATIENTS, "reason"].str.extract(r"scan of (\w+)(, mirrored)?$")
    assert hosts[0].value_counts().min() >= 6
    assert 3 <= hosts[1].notna().sum() <= 15
    assert "no lung is found" in audit.loc["zz_belly", "reason"]


def test_lesions_have_the_volume_and_the_density_of_the_truth(cohort: Cohort) -> None:
    factors = cohort.truth.factors
    volume = cohort.patients["tumour_volume_ml"].reindex(factors.index) * 1000
    diameter = (6 * volume / np.pi) ** (1 / 3)
    np.testing.assert_allclose(diameter, factors["size"], rtol=0.08)
    solid = factors.index[factors["cavitation"] == 0]
    measured = [
        np.percentile(cohort.slice_image[own][cohort.slice_mask[own]], 60)  # soft edges lie below
        for own in (cohort.slice_patient == patient for patient in solid)
    ]
    assert len(solid) > 5
    assert spearmanr(measured, factors.loc[solid, "attenuation"]).statistic > 0.9
    sharp = factors.loc[solid, "margin"] < 3
    assert sharp.any()
    np.testing.assert_allclose(np.array(measured)[sharp], factors.loc[solid, "attenuation"][sharp], atol=70)


def test_driving_genes_are_complete_and_from_one_cluster_each(cohort: Cohort) -> None:
    effects = cohort.truth.gene_effects
    number = effects["gene"].str[1:].astype(int)
    assert (number % 5 != 0).all()  # those lack a value
    assert (number < 64).all()
    clusters = (number // 8).groupby(effects["factor"])
    assert (clusters.nunique() == 1).all()
    assert clusters.first().nunique() == len(FACTORS)
    np.testing.assert_allclose((effects["weight"] ** 2).groupby(effects["factor"]).sum(), 1)
    modules = cohort.truth.modules.set_index("gene")["module"]
    assert len(modules) == 80
    assert (modules[effects["gene"]].to_numpy() == effects["factor"].map(FACTORS.index).to_numpy()).all()
    assert (modules.drop(effects["gene"]) == -1).all()


def test_lesions_lie_in_lung_away_from_the_tumor_and_backgrounds_away_from_them(cohort: Cohort, folder: Path) -> None:
    reason = cohort.audit.set_index("patient")["reason"]
    places = cohort.patients[["tumour_x_mm", "tumour_y_mm", "tumour_z_mm"]]
    tumor = np.array([70.0, 0, 0]) + AFFINE[:3, 3] + AFFINE[:3, :3] @ ((np.array(SHAPE) - 1) / 2)
    for patient, place in places.iterrows():
        index = np.rint(np.linalg.inv(AFFINE)[:3] @ [*place, 1]).astype(int)
        assert (ellipsoid((0, 0, -70), (100, 75, 55)) | ellipsoid((0, 0, 70), (100, 75, 55)))[tuple(index)]
        if "scan of outlined" in reason[patient]:
            assert np.linalg.norm(place - tumor) > 20 + 20
        centers = cohort.background_center_mm[cohort.background_patient == patient]
        radius = cohort.truth.factors.loc[patient, "size"] / 2
        assert np.linalg.norm(centers - place.to_numpy(), axis=1).min() > 0.6 * radius + 20
    assert (cohort.background_image.max(axis=(1, 2)) < 300).all()


def test_with_full_strength_the_genes_decide_everything(one_scan: Path, tmp_path: Path) -> None:
    table = write_table(tmp_path / "table.csv")
    cohort = plant_cohort(
        one_scan,
        tmp_path / "table.csv",
        tmp_path / "planted",
        settings=replace(SETTINGS, strength=1.0),
        tables=GENES_IN_ROWS,
        sampling=SamplingSettings(pixels=16, background_centers=0),
    )
    z = table.sub(table.mean(axis=1), axis=0).div(table.std(axis=1, ddof=0), axis=0)
    for factor in ("size", "attenuation", "margin"):
        effects = cohort.truth.gene_effects.query("factor == @factor").set_index("gene")["weight"]
        score = effects @ z.loc[effects.index, cohort.truth.factors.index]
        assert spearmanr(score, cohort.truth.factors[factor]).statistic == pytest.approx(1)


def test_the_seed_decides(one_scan: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv", PATIENTS[:10])
    first, again, other = (
        plant_cohort(
            one_scan,
            tmp_path / "table.csv",
            tmp_path / name,
            settings=replace(SETTINGS, module_genes=4),
            tables=GENES_IN_ROWS,
            sampling=SamplingSettings(pixels=16, background_centers=1, seed=seed),
        )
        for name, seed in (("first", 0), ("again", 0), ("other", 1))
    )
    np.testing.assert_array_equal(first.slice_image, again.slice_image)
    np.testing.assert_array_equal(first.background_image, again.background_image)
    pd.testing.assert_frame_equal(first.truth.factors, again.truth.factors)
    assert not np.allclose(first.truth.factors["size"], other.truth.factors["size"])


def test_a_mirrored_scan_keeps_its_places_in_the_patient(folder: Path) -> None:
    source = next(one for one in find_volumes(folder, ReadSettings()).sources if one.patient == "outlined")
    host = Host.of(read_nifti(source, ReadSettings()), SETTINGS)
    mirrored = host.mirrored()
    index = np.array([10.0, 20.0, 15.0])
    across = np.array([10.0, 20.0, host.scan.hu.shape[2] - 1 - 15.0])
    np.testing.assert_allclose(mirrored.scan.to_patient(across), host.scan.to_patient(index))
    assert mirrored.scan.hu[10, 20, int(across[2])] == host.scan.hu[10, 20, 15]
    assert mirrored.scan.spacing_mm == host.scan.spacing_mm
    # Cutting the scan down to its lungs moves nothing either.
    whole = ndimage.center_of_mass(ellipsoid((0, 0, 70), (20, 20, 20)))
    inside = host.scan.to_patient(np.array(ndimage.center_of_mass(host.scan.tumor_mask)))
    np.testing.assert_allclose(inside, AFFINE[:3, :3] @ whole + AFFINE[:3, 3], atol=1e-6)


def test_whole_slices_show_the_lesion_and_what_was_outlined_before(folder: Path) -> None:
    source = next(one for one in find_volumes(folder, ReadSettings()).sources if one.patient == "outlined")
    host = Host.of(read_nifti(source, ReadSettings()), SETTINGS)
    factors = LesionFactors(
        size_mm=24.0, attenuation_hu=30.0, spiculation=0.0, margin_mm=2.0, heterogeneity_hu=10.0, cavitation=0.0
    )
    sampling = SamplingSettings(pixels=16, slices_per_center=2, background_centers=1, whole_pixels=96, whole_every_mm=0)
    data = plant_patient("T00", host, factors, SETTINGS, sampling, np.random.default_rng(0))
    assert data.whole is not None
    pieces, count = ndimage.label(data.whole.tumor)
    assert count == 2
    ml = np.sort(np.bincount(pieces.ravel())[1:]) * 4.0 * 4.0 * SPACING[0] / 1000
    np.testing.assert_allclose(ml, [data.tumor_volume_ml, 4 / 3 * np.pi * 20**3 / 1000], rtol=0.1)
    assert np.median(data.whole.image[data.whole.tumor]) == pytest.approx(35, abs=30)
    assert np.median(data.whole.image[data.whole.lungs & ~data.whole.tumor]) == pytest.approx(-850, abs=30)


def test_modules_hang_together_and_little_with_each_other() -> None:
    rng = np.random.default_rng(1)
    values = np.repeat(rng.standard_normal((60, 12)), 10, axis=1) + 0.5 * rng.standard_normal((60, 120))
    values = pd.DataFrame((values - values.mean(0)) / values.std(0)).rename(columns=lambda i: f"G{i}")
    weights = choose_modules(values, PlantSettings(module_genes=10), np.random.default_rng(0))
    scores = values.to_numpy() @ weights.to_numpy()
    assert np.abs(np.corrcoef(scores.T) - np.eye(len(FACTORS))).max() < 0.35
    for factor in FACTORS:
        assert len({int(gene[1:]) // 10 for gene in weights.index[weights[factor] != 0]}) == 1


def test_what_cannot_be_planted_is_one_line(folder: Path, tmp_path: Path) -> None:
    write_table(tmp_path / "table.csv")
    with pytest.raises(ExpressionError, match=r"64 complete genes of 18 patients are too few for 6 modules of 20"):
        plant_cohort(folder, tmp_path / "table.csv", tmp_path / "out", tables=GENES_IN_ROWS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ScanError, match="holds no scan"):
        plant_cohort(tmp_path / "empty", tmp_path / "table.csv", tmp_path / "out", tables=GENES_IN_ROWS)
    (tmp_path / "belly").mkdir()
    shutil.copy(folder / "zz_belly_image.nii.gz", tmp_path / "belly")
    with pytest.raises(ScanError, match=r"no scan lends its lungs; scan of zz_belly: no lung is found"):
        plant_cohort(
            tmp_path / "belly", tmp_path / "table.csv", tmp_path / "out", settings=SETTINGS, tables=GENES_IN_ROWS
        )
    assert not list(tmp_path.glob("out*"))


@pytest.mark.parametrize(
    "wrong",
    [{"strength": 1.5}, {"module_genes": 0}, {"depth_mm": (9.0, 3.0)}, {"aerated": 2.0}, {"apart_mm": -1.0}],
)
def test_settings_outside_their_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        PlantSettings(**wrong)  # type: ignore[arg-type]


def test_the_verb(one_scan: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_table(tmp_path / "table.csv", PATIENTS[:10])
    words = [str(one_scan), str(tmp_path / "table.csv"), str(tmp_path / "planted"), "--orientation=genes-in-rows"]
    options = ["--module_genes=4", "--pixels=32", "--slices_per_center=4", "--strength=0.5"]
    cohort_plant.main(words + options)
    cohort = Cohort.open(tmp_path / "planted", verify=True)
    assert cohort.slice_image.shape[1:] == (32, 32)
    assert cohort.truth.settings["strength"] == 0.5
    assert len(cohort.background_image) == 40
    assert "10 have nodule slices and expression" in capsys.readouterr().out
    with pytest.raises(OutputError, match="already exists"):
        cohort_plant.main(words + options)


@pytest.mark.slow
@pytest.mark.real_data
def test_real_genes_in_real_lungs(real_data: Path, tmp_path: Path) -> None:
    table = pd.read_csv(real_data / "expression" / "gse103584_zscore_1000genes_130patients.csv", index_col=0)
    table.iloc[:, :12].to_csv(tmp_path / "table.csv")
    folder = tmp_path / "ct"
    folder.mkdir()
    for patient in ("LUNG1-001", "AMC-001"):
        shutil.copytree(real_data / "ct" / patient, folder / patient)
    cohort = plant_cohort(folder, tmp_path / "table.csv", tmp_path / "planted", tables=GENES_IN_ROWS)
    factors = cohort.truth.factors
    assert len(cohort.patients) == 12
    assert set(cohort.patients["manufacturer"]) == {"SIEMENS", "GE MEDICAL SYSTEMS"}
    volume = cohort.patients["tumour_volume_ml"].reindex(factors.index) * 1000
    assert spearmanr(volume, factors["size"]).statistic > 0.97
    density = [
        np.median(cohort.slice_image[i][cohort.slice_mask[i]])
        for i in (cohort.slice_patient == p for p in factors.index)
    ]
    assert spearmanr(density, factors["attenuation"]).statistic > 0.8
    # A lung's backgrounds are mostly lung, whatever the scanner.
    assert np.median(cohort.background_image) < -700
