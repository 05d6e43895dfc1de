"""Where nothing is planted, p values are uniform: a small part of what benchmarks/map_calibration.py does."""

from __future__ import annotations

import numpy as np

from radiogenesis.stats.association import associate
from simulated import null_cohort


def test_five_percent_of_the_p_values_are_below_five_percent() -> None:
    rates, family = [], []
    for cohort in range(60):
        genes, features = null_cohort(60, 150, 12, seed=cohort)
        found = associate(genes, features, range_names(genes), range_names(features), permutations=100, seed=cohort)
        rates.append(float((found.p < 0.05).mean()))
        family.append(float(found.p_max.min()) < 0.05)
    # 60 cohorts of correlated tests: the standard error of the mean rate is about 0.003.
    assert 0.04 < np.mean(rates) < 0.06
    assert np.mean(family) < 0.15


def range_names(values: np.ndarray) -> list[str]:
    return [str(i) for i in range(values.shape[1])]
