"""The sentences of "What may be concluded", made from the numbers. No test passed, no claim."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

import pandas as pd

from radiogenesis.evaluation.control import MEAN, OWN, TRUTH

ALPHA = 0.05


def control_conclusion(label: str, table: pd.DataFrame) -> str:
    """A sentence or two on one run's control, from its rows of `control_table`; the truth before the own slices."""
    reference = TRUTH if (table["reference"] == TRUTH).any() else OWN
    rows = table[table["reference"] == reference]
    single, mean = rows[rows["feature"] != MEAN], rows[rows["feature"] == MEAN].to_dict("records")[0]
    followed = list(single.loc[(single["q"] < ALPHA) & (single["rho"] > 0), "feature"])
    rest = [feature for feature in single["feature"] if feature not in followed]
    against = "what was planted" if reference == TRUTH else "the patients' own slices"
    patients = int(mean["patients"])
    if followed:
        tests = int(table.loc[table["feature"] != MEAN, "p"].notna().sum())
        text = (
            f"{label}: on {patients} held-out patients the {join(followed)} of drawn lesions "
            f"{'follows' if len(followed) == 1 else 'follow'} the patient's genes, judged against {against} "
            f"(genes exchanged between patients; q < {ALPHA} among {tests} tests)"
        )
        text += f"; for {join(rest)} this is not shown." if rest else "."
    else:
        text = (
            f"{label}: on {patients} held-out patients no property of drawn lesions is shown to follow the patient's "
            f"genes (no q < {ALPHA})."
        )
    return text + _share_text(mean)


def _share_text(mean: dict[Hashable, Any]) -> str:
    """The mean's share of the ceiling, if there is a ceiling."""
    if pd.isna(mean["share"]):
        return ""
    text = (
        f" Over all properties the drawings reach {percent(mean['share'])} of what a ridge regression reads from the "
        "genes"
    )
    if pd.notna(mean["share_low"]):
        text += f" (95 % interval {percent(mean['share_low'])} to {percent(mean['share_high'])})"
    return text + "."


def retrieval_conclusion(label: str, table: pd.DataFrame) -> str:
    """One sentence on one alignment, from its rows of `retrieval_table`."""
    row = table[(table["level"] == "patient") & (table["measure"] == "mean rank")].iloc[0]
    figures = (
        f"the right patient's genes rank {row['value']:.1f} of {int(row['patients'])} on average "
        f"(95 % interval {row['low']:.1f} to {row['high']:.1f}; chance {row['chance']:.1f})"
    )
    if row["p"] < ALPHA:
        return (
            f"{label}: a held-out lesion points to its own patient's genes: {figures}, better than with genes "
            f"exchanged between patients ({p_text(row['p'])})."
        )
    return (
        f"{label}: it is not shown that a held-out lesion points to its own patient's genes: {figures} "
        f"({p_text(row['p'])})."
    )


def scope(known_truth: bool) -> str:
    """What the cohort allows to be said at all."""
    if known_truth:
        return (
            "The link between genes and lesions of this cohort was planted. That a planted link is found says that the "
            "method can find one; it says nothing about real tumours."
        )
    return (
        "These are associations on held-out patients of one cohort. They are not causes, scanner and site were not "
        "adjusted for here, and they need a second cohort."
    )


def join(words: Iterable[str]) -> str:
    """a, b and c."""
    listed = list(words)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def p_text(p: float) -> str:
    """p = 0.012, p < 0.001."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def percent(share: float) -> str:
    """0.913 -> 91 %."""
    return f"{100 * share:.0f} %"
