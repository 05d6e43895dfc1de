"""What a map could find, on its page: said before any test, and first where nothing was found."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from radiogenesis.csv_files import write_csv
from radiogenesis.mapping.conventional.plan import Plan
from radiogenesis.reporting.model import Column, Fact, Section, Table
from radiogenesis.stats.power import TARGET


def plan_fact(plan: Plan) -> Fact:
    """The smallest correlation that is found, beside what others would take."""
    value = f"|ρ| {plan.findable:.2f}" if plan.findable == plan.findable else "–"
    fewer = plan.needed.iloc[1]
    return Fact(
        label=f"Could be found, at {TARGET:.0%} power",
        value=value,
        beside=f"a single link among {plan.tests:,} tests of {plan.patients} patients; {fewer['effect']:g} would take "
        f"{fewer['patients']:.0f} patients.",
    )


def plan_section(plan: Plan, folder: Path) -> Section:
    """How many patients find which effect, and what each feature allows in these patients."""
    write_csv(plan.features, folder / "tables" / "plan.csv")
    write_csv(plan.needed.assign(here=plan.patients), folder / "tables" / "plan_patients.csv")
    shown = plan.features.sort_values("findable", kind="stable")
    write_csv(shown, folder / "tables" / "plan_shown.csv")
    none = int(plan.features["findable"].isna().sum())
    level = np.format_float_positional(plan.level, precision=2, fractional=False, trim="-")
    hopeless = f" With {none} of the features no link at all would be found so." if none else ""
    return Section(
        title="What could be found",
        text=(
            "Settled before any test, from the number of patients, the number of tests and the spread of each feature: "
            f"a single link among {plan.tests:,} tests must reach p < {level}. The figures are what is found at "
            f"{TARGET:.0%} power.{hopeless} Several true links help each other and need less."
        ),
        blocks=(
            Table(
                file="plan_patients.csv",
                caption="Patients that a correlation takes, of a feature that all of them have; and how many are here.",
                columns=(
                    Column(label="True |ρ|", value="effect", format=".1f"),
                    Column(label="Patients needed", value="patients", format="d"),
                    Column(label="Patients here", value="here", format="d"),
                ),
            ),
            Table(
                file="plan_shown.csv", full="plan.csv",
                caption="The smallest effect found with each feature. Where a feature has two values it is the "
                "rank-biserial correlation; the rarer one value is, the larger it must be. Empty: not even the "
                "largest.",
                columns=(
                    Column(label="Feature", value="feature"), Column(label="From", value="family"),
                    Column(label="Patients with a value", value="n", format="d"),
                    Column(label="Rarer of two values", value="rarer", format="%"),
                    Column(label="Smallest effect", value="findable", format=".2f"),
                ),
            ),
        ),
        folded=True,
    )  # fmt: skip
