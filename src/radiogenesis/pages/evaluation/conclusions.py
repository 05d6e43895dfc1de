"""The sentences of "What may be concluded", made from the numbers. No test passed, no claim."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from radiogenesis.evaluation.all_measures import NUMBERS
from radiogenesis.reporting.wording import coverage, join, p_text
from radiogenesis.stats.resampling import ALPHA

IN_WORDS = {name: number.words for name, number in NUMBERS.items() if number.words}
"""The numbers in which methods are said to be ahead or behind, and what they are called then."""


def retrieval_conclusion(label: str, table: pd.DataFrame, confidence: float) -> str:
    """One sentence on one alignment, from its rows of `retrieval_table`."""
    row = table[(table["level"] == "patient") & (table["measure"] == "mean rank")].iloc[0]
    figures = (
        f"the right patient's genes rank {row['value']:.1f} of {int(row['patients'])} on average "
        f"({coverage(confidence)} interval {row['low']:.1f} to {row['high']:.1f}; chance {row['chance']:.1f})"
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


def comparison_conclusions(table: pd.DataFrame, confidence: float) -> list[str]:
    """One sentence for each method against the first, from `comparison.differences`."""
    sentences = []
    for method, rows in table[table["measure"].isin(IN_WORDS)].groupby("method", sort=False):
        against = rows["against"].iloc[0]
        if not rows["same_patients"].all():
            sentences.append(f"{against} and {method} held out different patients: not compared.")
            continue
        by = {
            verdict: [IN_WORDS[m] for m in rows.loc[rows["verdict"] == verdict, "measure"]]
            for verdict in ("worse", "better")
        }
        text = f"{against} against {method}, on the same patients: "
        text += f"ahead in {join(by['worse'])}" if by["worse"] else "ahead in nothing"
        text += f"; behind in {join(by['better'])}" if by["better"] else "; behind in nothing"
        open_ = rows[rows["verdict"] == "not decided"].to_dict("records")
        text += f"; not decided in {join(_difference(row, -1) for row in open_)}" if open_ else ""
        sentences.append(text + f" ({coverage(confidence)} intervals of the paired differences).")
    return sentences


def leader_conclusions(table: pd.DataFrame, confidence: float) -> list[str]:
    """Of three methods or more, who is ahead of all others, from `comparison.leaders`."""
    if not len(table):
        return []
    rows = table[table["measure"].isin(IN_WORDS)]
    ahead = [f"{r['best']} in {IN_WORDS[r['measure']]}" for r in rows[rows["verdict"] == "ahead"].to_dict("records")]
    text = f"Ahead of all other methods: {join(ahead)}." if ahead else "No method is ahead of all others in anything."
    open_ = [
        f"{_difference(r, 1)} between {join([r['best'], *str(r['within_reach']).split('; ')])}"
        for r in rows[rows["verdict"] == "not decided"].to_dict("records")
    ]
    if open_:
        text += f" Not decided: {'; '.join(open_)}"
        text += f" (best minus nearest, {coverage(confidence)} intervals of the paired differences)."
    return [text]


def _difference(row: dict[Hashable, Any], sign: int) -> str:
    """control (0.03, −0.02 to 0.08): a measure, the difference and its interval."""
    form = NUMBERS[str(row["measure"])].difference
    low, high = sorted((sign * row["low"], sign * row["high"]))
    figures = f"{sign * row['difference']:z{form}}, {low:z{form}} to {high:z{form}}".replace("-", "−")
    return f"{IN_WORDS[row['measure']]} ({figures})"


def code_conclusion(clusters: pd.DataFrame, mantel: pd.DataFrame) -> str:
    """What figure 4 shows and what it does not: held-out patients only."""
    held_out = mantel[mantel["part"] == "held out"]
    linked = [f"{r['space']} (ρ = {r['rho']:.2f})" for r in held_out.to_dict("records") if r["q"] < ALPHA]
    rest = [str(space) for space in held_out.loc[~(held_out["q"] < ALPHA), "space"]]
    text = "Held-out patients who lie near to each other "
    text += f"in {join(linked)} have lesions that look alike (Mantel test, q < {ALPHA})" if linked else ""
    text += ("; for " if rest else ".") if linked else "are not shown to have lesions that look alike in "
    text += f"{join(rest)}{' this is not shown' if linked else ''}." if rest else ""
    enriched = clusters[(clusters["part"] == "held out") & (clusters["q"] < ALPHA)]
    if len(enriched):
        spaces = join(map(str, enriched["space"]))
        return text + f" Clusters are tighter than shuffled genes and Gaussian codes give in {spaces}."
    return text + " No clusters of held-out patients are shown: shuffled genes or Gaussian codes give as tight ones."


def shared_scans(series: pd.Series, held_out: Sequence[str], training: Sequence[str]) -> str:
    """A sentence where held-out patients lie in scans that were trained on (lesions planted into a few lungs), else "".

    Args:
        series: each patient's series UID, index patient; "" where there is none.
    """
    trained = set(series.reindex(list(training)).dropna()) - {""}
    shared = int(series.reindex(list(held_out)).isin(trained).sum())
    if not shared:
        return ""
    scans = series.reindex(list(held_out)).nunique()
    return (
        f"{shared} of {len(held_out)} held-out patients lie in scans that training patients lie in too "
        f"({scans} scans): their lesions are new to the methods, their lungs are not."
    )


def scope(known_truth: bool, *, another: bool = False) -> str:
    """What the cohort allows to be said at all; `another` than the one that was trained on."""
    if known_truth:
        return (
            "The link between genes and lesions of this cohort was planted. That a planted link is found says that the "
            "method can find one; it says nothing about real tumors."
        )
    if another:
        return (
            "These are associations on patients of another cohort than the one trained on. They are not causes; "
            "scanner and site were not adjusted for here, and a failure may be theirs."
        )
    return (
        "These are associations on held-out patients of one cohort. They are not causes, scanner and site were not "
        "adjusted for here, and they need a second cohort."
    )
