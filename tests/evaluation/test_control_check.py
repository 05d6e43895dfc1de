"""The check of the measure passes for who ignores the genes, and fails where control is found that cannot be."""

from __future__ import annotations

import numpy as np
import pandas as pd
from known_cohort import Deaf, Perfect, subject
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.control_check import check_of_control
from radiogenesis.evaluation.drawing import draw, measured
from radiogenesis.evaluation.measures.control import MEAN, TRUTH, control_conclusion, control_table
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.protocols import Synthesis

SETTINGS = EvaluationSettings(backgrounds_per_patient=4, bootstrap=20, permutations=199)


class Bare(Deaf):
    """Gives the background back."""

    def synthesize(self, backgrounds: NDArray, expression: NDArray, *, seed: int) -> Synthesis:
        nothing = np.zeros(backgrounds.shape, np.float32)
        return Synthesis(backgrounds, nothing, nothing, np.asarray(backgrounds, np.float32), seed)


def check(cohort: Cohort, method: object, of: object | None = None) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The control table of a method, and the check with it or with another method in its place."""
    one = subject(cohort, "x", method)
    genes = one.scaler.transform(cohort.expression, one.split.test)
    drawn = draw(one.method, cohort, one.split, genes, SETTINGS)  # type: ignore[arg-type]
    patients = measured(drawn, cohort, one.split, one.scaler, genes)
    assert patients.ignores_genes
    found = check_of_control(of or one.method, cohort, drawn.background_index, genes, patients, SETTINGS)  # type: ignore[arg-type]
    return control_table(patients, SETTINGS), found


def test_who_ignores_the_genes_is_at_chance_though_the_drawings_differ(cohort: Cohort) -> None:
    table, again = check(cohort, Deaf())
    assert again is not None
    line = again[(again["reference"] == TRUTH) & (again["feature"] == MEAN)].iloc[0]
    assert line["rho"] != 0
    assert line["null_low"] <= line["rho"] <= line["null_high"]
    assert "no control is found where there is none" in control_conclusion(
        "x", table, 0.95, ignores_genes=True, check=again
    )


def test_every_lot_is_another_lottery(cohort: Cohort) -> None:
    one = subject(cohort, "x", Deaf())
    genes = one.scaler.transform(cohort.expression, one.split.test)
    drawn = draw(one.method, cohort, one.split, genes, SETTINGS)  # type: ignore[arg-type]
    patients = measured(drawn, cohort, one.split, one.scaler, genes)
    made = [
        check_of_control(one.method, cohort, drawn.background_index, genes, patients, SETTINGS, lot=lot)  # type: ignore[arg-type]
        for lot in (0, 0, 1)
    ]
    first, again, other = (table["rho"].to_numpy() for table in made if table is not None)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_control_where_there_can_be_none_fails_the_measure(cohort: Cohort) -> None:
    """As if the measure let the genes through: in place of the deaf method the perfect one draws the check."""
    table, again = check(cohort, Deaf(), of=subject(cohort, "y").method)
    assert isinstance(subject(cohort, "y").method, Perfect)
    assert "FAILS" in control_conclusion("x", table, 0.95, ignores_genes=True, check=again)


def test_the_same_on_every_background_checks_nothing(cohort: Cohort) -> None:
    table, again = check(cohort, Bare())
    assert again is None
    assert "FAILS" not in control_conclusion("x", table, 0.95, ignores_genes=True, check=again)
