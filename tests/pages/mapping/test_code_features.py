"""Figure 6 with an encoder whose features we know: one follows a gene, the others are noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from radiogenesis.cohort import store
from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.split import Split
from radiogenesis.errors import CohortError
from radiogenesis.imaging import LUNG_CT
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.pages.mapping import figure_6 as cf

QUICK = MapSettings(permutations=100, shuffles=3, clusters=6)
PATIENTS, GENES, SIDE = 60, 24, 16
NAMES = tuple(f"P{i:02d}" for i in range(PATIENTS))
SPLIT = Split(NAMES[:30], (), NAMES[30:])


class Cohort:
    """What the map asks of a cohort: two slices each, whose level is the patient's first module of genes."""

    path = Path("known")
    imaging = LUNG_CT
    lesions = store.Cohort.lesions

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        modules = rng.normal(size=(PATIENTS, 4))
        values = np.repeat(modules, GENES // 4, axis=1) + 0.3 * rng.normal(size=(PATIENTS, GENES))
        genes = pd.DataFrame(index=pd.Index([f"G{i}" for i in range(GENES)]))
        self.expression = AnnData(values.astype(np.float32), obs=pd.DataFrame(index=pd.Index(NAMES)), var=genes)
        self.slice_patient = np.repeat(np.array(NAMES), 2)
        self.slice_lesion = np.zeros(len(self.slice_patient), np.int32)
        level = np.repeat(modules[:, 0], 2)[:, None, None]
        self.slice_image = np.broadcast_to(-300 + 100 * level, (2 * PATIENTS, SIDE, SIDE)).astype(np.int16)
        self.slice_mask = np.zeros((2 * PATIENTS, SIDE, SIDE), bool)
        side = rng.integers(3, 7, PATIENTS).repeat(2)
        for mask, reach in zip(self.slice_mask, side, strict=True):
            mask[8 - reach : 8 + reach, 8 - reach : 8 + reach] = True
        self.pixel_mm = 1.0
        self.patients = pd.DataFrame({"kernel": ["a", "b"] * (PATIENTS // 2), "study_date": ""}, index=NAMES)
        self.clinical = None


class Encoder:
    """Feature 0 is the image's level, the others are noise."""

    feature_names = ("level", "noise_1", "noise_2")

    def image_features(self, images: np.ndarray, masks: np.ndarray) -> np.ndarray:
        noise = np.random.default_rng(1).normal(size=(len(images), 2))
        return np.column_stack([images.mean((1, 2)), noise]).astype(np.float32)


@pytest.fixture(scope="module")
def made() -> cf.CodeFeatureMap:
    cohort: Any = Cohort()
    scaler = ExpressionScaler.fit(cohort.expression, SPLIT.train)
    encoder: Any = Encoder()
    return cf.code_feature_map(encoder, cohort, SPLIT, scaler, QUICK)


def test_the_planted_link_is_found_on_held_out_patients_and_no_other(made: cf.CodeFeatureMap) -> None:
    assert made.patients == 30
    found = made.links[made.links["verdict"] == cf.FOUND]
    assert set(found["feature"]) == {"level"}
    assert found["p_max"].iloc[0] == pytest.approx(1 / 101)
    first = made.links.iloc[0]
    members = set(first["genes"].split(", "))
    assert members <= {f"G{i}" for i in range(GENES // 4)}  # the first module, which drives the level
    assert abs(first["effect"]) > 0.8
    assert first["p_given_size"] < 0.001  # size is independent of it here
    assert made.shuffled.mean() < len(found)


def test_metagenes_are_those_of_the_training_patients(made: cf.CodeFeatureMap) -> None:
    cohort: Any = Cohort()
    scaler = ExpressionScaler.fit(cohort.expression, SPLIT.train)
    genes = scaler.transform(cohort.expression, SPLIT.train)
    expected = cf.Metagenes.fit(genes, scaler.genes, clusters=6)
    np.testing.assert_array_equal(made.metagenes.label, expected.label)


def test_features_are_means_over_a_patients_slices() -> None:
    cohort: Any = Cohort()
    encoder: Any = Encoder()
    found = cf.encoder_features(encoder, cohort, SPLIT.test)
    theirs = cohort.slice_patient == SPLIT.test[3]
    assert found.shape == (30, 3)
    assert found[3, 0] == pytest.approx(cohort.slice_image[theirs].mean(), rel=1e-5)


def test_conclusion_counts_what_was_found_and_claims_nothing_else(made: cf.CodeFeatureMap) -> None:
    n = int((made.links["verdict"] == cf.FOUND).sum())
    assert f"{n} of 18 associations found on 30 held-out patients" in cf.conclusion(made)
    import dataclasses

    nothing = dataclasses.replace(made, links=made.links.assign(verdict=cf.NOT_FOUND))
    assert "none of 18 associations is found" in cf.conclusion(nothing)


@pytest.mark.pictures
def test_the_section_has_its_files(made: cf.CodeFeatureMap, tmp_path: Path) -> None:
    for folder in ("pictures", "tables"):
        (tmp_path / folder).mkdir()
    section = cf.code_section(made, tmp_path)
    picture, table = section.blocks
    assert (tmp_path / "pictures" / picture.file).is_file()
    shown = pd.read_csv(tmp_path / "tables" / table.file)
    assert {column.value for column in table.columns} <= set(shown.columns)  # type: ignore[union-attr]
    assert len(pd.read_csv(tmp_path / "tables" / "code_features.csv")) == 18


def test_too_few_held_out_patients_are_refused() -> None:
    cohort: Any = Cohort()
    scaler = ExpressionScaler.fit(cohort.expression, SPLIT.train)
    few = Split(SPLIT.train, (), SPLIT.test[:5])
    encoder: Any = Encoder()
    with pytest.raises(CohortError, match="only 5 held-out patients; figure 6 needs at least 8"):
        cf.code_feature_map(encoder, cohort, few, scaler, QUICK)


def test_within_a_batch_that_makes_both_sides_the_link_is_gone() -> None:
    cohort: Any = Cohort()
    second = np.arange(PATIENTS) % 2
    cohort.expression.X[:, :6] = np.random.default_rng(3).normal(size=(PATIENTS, 6)) + 3 * second[:, None]
    level = -300 + 300 * second + 40 * np.random.default_rng(4).normal(size=PATIENTS)
    cohort.slice_image = np.broadcast_to(np.repeat(level, 2)[:, None, None], cohort.slice_image.shape).astype(np.int16)
    scaler = ExpressionScaler.fit(cohort.expression, SPLIT.train)
    encoder: Any = Encoder()
    q = {}
    for within in ("", "kernel"):
        found = cf.code_feature_map(encoder, cohort, SPLIT, scaler, replace(QUICK, within=within))
        links = found.links[found.links["feature"] == "level"]
        q[within] = links["q"].min()
        assert set(links.loc[links["q"] < 0.05, "verdict"]) <= {cf.CONFOUNDED}
    assert q[""] < 0.001
    assert q["kernel"] > 0.05
