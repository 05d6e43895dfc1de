"""ComBat against frozen values of neuroCombat 0.2.12, and on features whose batches are known."""

from __future__ import annotations

import numpy as np
import pytest

from radiogenesis.stats.combat import combat

MEASURED = np.array([
    [0.35, 44.11, -293.39, 1.61], [0.91, 42.23, -310.74, 2.17], [0.36, 41.47, -299.43, 2.16],
    [-0.74, 39.19, -309.64, 2.18], [1.04, 43.54, -305.64, 2.92], [1.01, 43.62, -264.12, 3.3],
    [-1.71, 35.55, -293.5, 2.87], [1.21, 46.09, -247.64, 2.67], [-0.38, 50.21, -287.07, 2.2],
    [-0.51, 31.76, -296.65, 2.03], [-1.23, 36.58, -301.44, 1.72],
])  # fmt: skip
BATCHES = np.array(list("aaaabbbbccc"))
# neuroCombat(dat=MEASURED.T, covars=DataFrame({"batch": BATCHES}), batch_col="batch")["data"].T
THEIRS = np.array([
    [0.34755535, 45.5660320, -278.397227, 1.85167465], [1.06635944, 42.6728218, -303.726386, 2.43063095],
    [0.360391137, 41.5032263, -287.214986, 2.42029245], [-1.05154547, 37.9944395, -302.120503, 2.44096946],
    [0.372671449, 41.5220835, -311.052730, 2.40541295], [0.351865238, 41.5844759, -282.814126, 2.68921896],
    [-1.53456456, 35.2906356, -302.796067, 2.36807005], [0.490573312, 43.5108434, -271.605740, 2.21869847],
    [0.346616067, 49.7387823, -279.332604, 2.45949351], [0.203958574, 36.6788346, -289.808785, 2.30342728],
    [-0.586144464, 40.0907017, -295.046875, 2.01883592],
])  # fmt: skip


def test_values_are_those_of_neurocombat() -> None:
    made, done = combat(MEASURED, BATCHES)
    assert done.all()
    assert np.abs((made - THEIRS) / MEASURED.std(axis=0)).max() < 1e-5


def test_batches_go_and_what_lies_within_them_stays() -> None:
    rng = np.random.default_rng(0)
    batch = np.arange(200) % 2
    truth = rng.standard_normal((200, 6))
    seen = truth * np.where(batch[:, None] == 1, 2.0, 1.0) + 3.0 * batch[:, None]
    made, _ = combat(seen, batch)
    apart = np.abs(made[batch == 1].mean(0) - made[batch == 0].mean(0))
    assert (apart < 0.25).all()
    assert (np.abs(seen[batch == 1].mean(0) - seen[batch == 0].mean(0)) > 2.5).all()
    for part in (batch == 0, batch == 1):
        same = [np.corrcoef(made[part, f], truth[part, f])[0, 1] for f in range(6)]
        assert same == pytest.approx([1.0] * 6)


def test_missing_values_stay_missing_and_what_cannot_be_done_is_left() -> None:
    seen = np.random.default_rng(1).standard_normal((12, 4))
    seen[0, 1] = np.nan
    seen[:6, 2] = 5.0  # does not vary in one batch
    seen[2:6, 3] = np.nan  # hardly known in one batch
    made, done = combat(seen, np.repeat(["a", "b"], 6))
    assert done.tolist() == [True, True, False, False]
    assert np.isnan(made[0, 1])
    assert np.array_equal(made[:, 2:], seen[:, 2:], equal_nan=True)
    alone, done = combat(seen, np.repeat("a", 12))
    assert not done.any()
    assert np.array_equal(alone, seen, equal_nan=True)
