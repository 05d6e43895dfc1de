"""What counts as a planted link, and the area under precision and recall by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from radiogenesis.cohort.store import Truth
from radiogenesis.mapping.synthesis.planted_links import (
    average_precision,
    planted_links,
    planted_metagenes,
    precision_recall,
)
from radiogenesis.phantom.factors import FACTORS
from radiogenesis.stats.association import associate
from radiogenesis.stats.metagenes import Metagenes
from simulated import MEASURED, planted_cohort

TRUTH = Truth(
    factors=pd.DataFrame(columns=["size"]),
    gene_effects=pd.DataFrame({"gene": ["a", "b"], "factor": ["size", "size"], "weight": [1.0, -1.0]}),
    modules=pd.DataFrame({"gene": list("abcde"), "module": [3, 3, 3, 4, -1]}),
    settings={},
)


def test_a_decoy_is_linked_by_its_module_and_not_by_an_effect() -> None:
    assert planted_links(TRUTH, list("edcba"), ["size"], "module")[:, 0].tolist() == [False, False, True, True, True]
    assert planted_links(TRUTH, list("edcba"), ["size"], "effect")[:, 0].tolist() == [False, False, False, True, True]


def test_a_metagene_is_linked_by_the_majority_of_its_genes() -> None:
    label = np.array([0, 0, 1, 1, 0])
    one = np.ones(5)
    metagenes = Metagenes(tuple("abcde"), label, one, one, np.ones(2))
    assert planted_metagenes(TRUTH, metagenes, ["size"])[:, 0].tolist() == [True, False]  # 2 of 3, and 1 of 2


def test_average_precision_by_hand() -> None:
    score = np.array([[-9.0], [7.0], [5.0], [np.nan]])
    linked = np.array([[True], [False], [True], [True]])
    # ranks 1, 3, 4: (1/1 + 2/3 + 3/4) / 3
    assert average_precision(score, linked) == pytest.approx((1 + 2 / 3 + 3 / 4) / 3)
    assert np.isnan(average_precision(score, np.zeros((4, 1), bool)))
    curve = precision_recall(score, linked)
    assert curve["recall"].iloc[0] == 1.0
    assert curve["precision"].iloc[-1] == 1.0


def test_strong_effects_are_found_and_none_where_there_is_none() -> None:
    precision = {}
    for strength in (0.0, 0.9):
        cohort = planted_cohort(80, 600, strength, modules=10, seed=1)
        found = associate(cohort.genes, cohort.features, cohort.names, FACTORS)
        precision[strength] = average_precision(found.z, planted_links(cohort.truth, cohort.names, FACTORS, "module"))
    assert precision[0.9] > 0.95
    assert precision[0.0] < 0.1


def test_simulated_features_are_measured_as_well_as_it_says() -> None:
    cohort = planted_cohort(3000, 200, 0.5, modules=8)
    for f, factor in enumerate(FACTORS):
        rho = pd.Series(cohort.features[:, f]).corr(cohort.truth.factors[factor].reset_index(drop=True), "spearman")
        # Below the smallest score there is no cavity at all, which costs ranks.
        assert rho == pytest.approx(MEASURED[factor], abs=0.05 if factor == "cavitation" else 0.025)
