"""Random effects against a published worked example and against statsmodels."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.meta_analysis import combine_effects

from radiogenesis.stats.meta_analysis import random_effects

# The BCG vaccine: tuberculosis among vaccinated and controls, 13 trials (Colditz et al. 1994; `dat.bcg` of metafor).
VACCINATED = (
    np.array([4, 6, 3, 62, 33, 180, 8, 505, 29, 17, 186, 5, 27]),
    np.array([123, 306, 231, 13598, 5069, 1541, 2545, 88391, 7499, 1716, 50634, 2498, 16913]),
)
CONTROLS = (
    np.array([11, 29, 11, 248, 47, 372, 10, 499, 45, 65, 141, 3, 29]),
    np.array([139, 303, 220, 12867, 5808, 1451, 629, 88391, 7277, 1665, 27338, 2341, 17854]),
)


def bcg() -> tuple[np.ndarray, np.ndarray]:
    """Log relative risks and their variances."""
    (a, n), (b, m) = VACCINATED, CONTROLS
    return np.log(a / n) - np.log(b / m), 1 / a - 1 / n + 1 / b - 1 / m


def test_the_published_example() -> None:
    """`rma(yi, vi, data = dat, method = "DL", test = "knha")` of metafor."""
    found = random_effects(*bcg())
    assert found.value == pytest.approx(-0.7141, abs=1e-4)
    assert (found.low, found.high) == pytest.approx((-1.1078, -0.3204), abs=1e-4)
    assert found.tau2 == pytest.approx(0.3088, abs=1e-4)
    assert found.i2 == pytest.approx(0.9212, abs=1e-4)
    assert found.q == pytest.approx(152.2330, abs=1e-4)
    assert found.p == pytest.approx(0.0019, abs=1e-4)


@pytest.mark.filterwarnings("ignore:.*requires `nobs`")
def test_as_statsmodels_has_it() -> None:
    y, v = np.array([0.1, 0.5, -0.2, 0.9]), np.array([0.02, 0.03, 0.01, 0.05])
    found, theirs = random_effects(y, v), combine_effects(y, v, method_re="dl", use_t=True)
    row = theirs.summary_frame().loc["random effect wls"]
    assert (found.value, found.low, found.high) == pytest.approx((row["eff"], row["ci_low"], row["ci_upp"]))
    assert (found.tau2, found.q) == pytest.approx((theirs.tau2, theirs.q))


def test_cohorts_that_agree_by_chance_are_not_taken_to_be_sure() -> None:
    y, v = np.array([0.4, 0.4, 0.4]), np.full(3, 0.02)
    found = random_effects(y, v)
    assert (found.tau2, found.i2) == (0, 0)
    assert found.high - found.low == pytest.approx(2 * 4.3027 * np.sqrt(0.02 / 3), rel=1e-4)  # t with 2 df, not 0


def test_one_cohort_has_its_own_interval() -> None:
    found = random_effects([0.5], [0.04])
    assert (found.low, found.high) == pytest.approx((0.5 - 1.96 * 0.2, 0.5 + 1.96 * 0.2), abs=1e-3)
    assert np.isnan(found.i2)
    with pytest.raises(ValueError, match="at least one cohort"):
        random_effects([], [])
