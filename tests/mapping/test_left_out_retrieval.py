"""Whose lesion is this, when nothing was fitted to the patient: known with a planted map, chance without."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from anndata import AnnData

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.measures.retrieval import retrieval_scores
from radiogenesis.imaging import LUNG_CT
from radiogenesis.mapping.prediction import left_out_retrieval as lr
from radiogenesis.mapping.prediction.settings import PredictionSettings
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.images import images_from_hu
from radiogenesis.pages.mapping.prediction import retrieval_addition
from radiogenesis.stats.resampling import permutation_p

PATIENTS, GENES, SIDE = 48, 30, 32
SETTINGS = PredictionSettings(prediction_folds=4, prediction_bootstrap=200)
ALIGNMENT = CanonicalAlignmentSettings(directions=3, permutations=20)


class Painted:
    """What retrieval asks of a cohort: discs whose size and level are two modules of genes, or are not."""

    lesions = Cohort.lesions

    def __init__(self, *, planted: bool) -> None:
        rng = np.random.default_rng(0)
        size, level = rng.standard_normal((2, PATIENTS))
        genes = 0.5 * rng.standard_normal((PATIENTS, GENES))
        if planted:
            genes[:, :10] += size[:, None]
            genes[:, 10:20] += level[:, None]
        names = [f"P{i:02d}" for i in range(PATIENTS)]
        self.expression = AnnData(
            genes.astype(np.float32),
            obs=pd.DataFrame(index=names),
            var=pd.DataFrame(index=[f"G{i}" for i in range(GENES)]),
        )
        self.slice_patient = np.repeat(names, 2)
        self.imaging = LUNG_CT
        self.slice_lesion = np.zeros(2 * PATIENTS, np.int32)
        radius = np.repeat(7 + 1.5 * np.clip(size, -2, 2), 2)
        distance = np.hypot(*(np.mgrid[:SIDE, :SIDE] - SIDE / 2))
        self.slice_mask = distance[None] < radius[:, None, None]
        hu = np.repeat(-200 + 120 * level, 2)[:, None, None] + 30 * rng.standard_normal((2 * PATIENTS, SIDE, SIDE))
        self.slice_image = np.where(self.slice_mask, hu, -850).astype(np.int16)
        self.names = names
        self.pixel_mm = 1.0


def retrieve(planted: bool) -> lr.LeftOutRetrieval:
    cohort: Any = Painted(planted=planted)
    return lr.left_out_retrieval(cohort, cohort.names, SETTINGS, alignment=ALIGNMENT)


@pytest.fixture(scope="module")
def found() -> lr.LeftOutRetrieval:
    return retrieve(planted=True)


def test_everybody_is_left_out_once_and_found(found: lr.LeftOutRetrieval) -> None:
    assert sorted(found.patients) == sorted(f"P{i:02d}" for i in range(PATIENTS))
    assert set(found.among) == {12}
    rank = found.table.set_index("measure").loc["mean rank"]
    assert rank["chance"] == 6.5
    assert rank["value"] == pytest.approx(found.ranks.mean())
    assert rank["value"] < 3
    assert rank["null_low"] < 6.5 < rank["null_high"]
    assert rank["p"] == pytest.approx(1 / 201)
    assert rank["retrained"] > 4.5
    assert rank["size only"] < 4  # half of what is planted is the size
    assert np.isnan(rank["clinical only"])
    assert rank["gain"] == pytest.approx(rank["size only"] - rank["value"])
    assert rank["gain_low"] < rank["gain"] < rank["gain_high"]


def test_what_the_clinic_knows_is_a_baseline() -> None:
    cohort: Any = Painted(planted=False)
    radius = cohort.slice_mask[::2].sum((1, 2)).astype(float)
    level = np.array([image[mask].mean() for image, mask in zip(cohort.slice_image, cohort.slice_mask, strict=True)])
    clinical = pd.DataFrame({"Size": radius, "Level": level[::2]}, index=cohort.names)
    clinical.iloc[3, 0] = np.nan
    found = lr.left_out_retrieval(cohort, cohort.names, SETTINGS, alignment=ALIGNMENT, clinical=clinical)
    rank = found.table.set_index("measure").loc["mean rank"]
    assert rank["best_baseline"] == "clinical only"
    assert rank["clinical only"] < 3
    assert rank["gain_high"] < 0


def test_the_null_is_of_permutations_within_batches() -> None:
    rng = np.random.default_rng(0)
    scores = rng.standard_normal((6, 6))
    blocks = np.array(list("aabbbb"))
    few = PredictionSettings(prediction_bootstrap=4000)
    null = lr._exchanged([scores], [blocks], few, 0)
    means = [
        scores[np.arange(6), [*first, *(2 + np.array(last))]].mean()
        for first in itertools.permutations(range(2))
        for last in itertools.permutations(range(4))
    ]
    assert set(np.round(null, 9)) == set(np.round(means, 9))  # all 48, those that keep a patient's own among them
    assert null.mean() == pytest.approx(np.mean(means), abs=0.02)


def test_p_values_keep_their_level_with_few_patients() -> None:
    few = PredictionSettings(prediction_bootstrap=200)
    below = []
    for seed in range(400):
        scores = np.random.default_rng(seed).standard_normal((5, 5))
        null = lr._exchanged([scores], [None], few, seed)
        below.append(permutation_p(float(np.diag(scores).mean()), null) < 0.1)
    assert np.mean(below) < 0.13  # with derangements 0.16 and more


def test_without_a_map_it_is_chance() -> None:
    rank = retrieve(planted=False).table.set_index("measure").loc["mean rank"]
    assert 4.5 < rank["value"] < 8.5
    assert rank["p"] > 0.05


@pytest.mark.pictures
def test_the_page_names_the_chance(found: lr.LeftOutRetrieval, tmp_path: Path) -> None:
    for folder in ("tables", "pictures"):
        (tmp_path / folder).mkdir()
    added = retrieval_addition(found, tmp_path)
    assert "among about 12 (chance 6.5" in added.conclusions[0]
    for block in added.sections[0].blocks:
        folder = "pictures" if block.kind == "picture" else "tables"
        assert (tmp_path / folder / block.file).is_file()


def test_slices_near_the_poles_are_not_learned_from(monkeypatch: pytest.MonkeyPatch) -> None:
    cohort: Any = Painted(planted=True)
    cohort.slice_mask = cohort.slice_mask.copy()
    poles = np.arange(len(cohort.slice_mask)) % 2 == 1
    cohort.slice_mask[poles] &= np.hypot(*(np.mgrid[:SIDE, :SIDE] - SIDE / 2)) < 2
    fitted = []
    fit = lr.CanonicalAlignment.fit_described

    def watched(model: Any, slices: Any, patient: Any, genes: Any, seed: int) -> None:
        fitted.append((len(slices.statistics), len(genes)))
        fit(model, slices, patient, genes, seed)

    monkeypatch.setattr(lr.CanonicalAlignment, "fit_described", watched)
    lr.left_out_retrieval(cohort, cohort.names, SETTINGS, alignment=ALIGNMENT)
    assert fitted == [(36, 36)] * 8  # one slice of each training patient; the genes' own and shuffled


def test_describing_all_slices_once_changes_no_score() -> None:
    """What a fold's alignment says of those left out is what one that describes their slices itself says."""
    cohort: Any = Painted(planted=True)
    names = np.array(cohort.names, object)
    train, test = np.arange(12, 48), np.arange(12)
    lesions = lr._Lesions.of(cohort, names, ALIGNMENT)
    fold = lr._Fold.of(cohort.expression, lesions, names, train, test, None, None)
    found, _ = fold.aligned(fold.genes, 3)
    model = CanonicalAlignment(ALIGNMENT, genes=GENES)
    own, others = (cohort.lesions(list(names[rows]), least_area=least) for rows, least in ((train, 0.5), (test, 0.0)))
    shown = images_from_hu(own.image), torch.from_numpy(own.mask).unsqueeze(1), own.place_among(list(names[train]))
    model.fit(*shown, fold.genes[0], 3, pixel_mm=1.0)
    encoded = model.encode_lesions(others.image.astype(np.float32), others.mask)
    expected = retrieval_scores(model.encode(fold.genes[1]), encoded, others.place_among(list(names[test])))["patient"]
    for name, scores in expected.items():
        np.testing.assert_array_equal(found[name], scores)
