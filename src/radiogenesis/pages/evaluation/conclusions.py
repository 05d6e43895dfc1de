"""The sentences of "What may be concluded", made from the numbers. No test passed, no claim."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import Any

import pandas as pd

from radiogenesis.evaluation.measures.control import MEAN, OWN, TRUTH
from radiogenesis.pages.wording import coverage, join, p_text, percent
from radiogenesis.stats.resampling import ALPHA

CHECK_ALPHA = 0.01  # of a check that is made again and again, and should not fail one time in twenty
COLLAPSED = 0.5  # share of the real spread; a choice of ours
POWERFUL = 0.8  # share of resamples in which a test must see what is there, for its silence to say something


def control_conclusion(
    label: str,
    table: pd.DataFrame,
    confidence: float,
    *,
    ignores_genes: bool = False,
    check: pd.DataFrame | None = None,
) -> str:
    """A sentence or two on one run's control, from its rows of `control_table`; the truth before the own slices.

    A run that draws the same for everybody is a check of the measure, from its rows of `check_of_control`. Here and
    below, `confidence` is that of the table's intervals.
    """
    reference = TRUTH if (table["reference"] == TRUTH).any() else OWN
    rows = table[table["reference"] == reference]
    single, mean = rows[rows["feature"] != MEAN], rows[rows["feature"] == MEAN].to_dict("records")[0]
    if rows["rho"].isna().all():
        return (
            f"{label}: in what was drawn for {int(mean['patients'])} held-out patients no lesion could be measured, so "
            "nothing can be said about control."
        )
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
        if pd.notna(mean.get("null_high")) and not ignores_genes:
            text += f" A mean rank correlation above {mean['null_high']:.2f} would have stood out."
    return text + (_check_text(check) if ignores_genes else _share_text(mean, confidence))


def _check_text(check: pd.DataFrame | None) -> str:
    """Whether control is found where there is none."""
    text = " It draws the same whatever the genes"
    mean = None if check is None else check[check["feature"] == MEAN].iloc[0]
    if mean is None or pd.isna(mean["p"]):
        return text + ", and on all backgrounds: nothing to check the measure by."
    opposite = max(1 - mean["p"], 0.001)  # a measure that finds the opposite fails too; permutations say no more
    p = min(1.0, 2 * min(mean["p"], opposite))
    figures = f"ρ = {mean['rho']:.2f} (null {mean['null_low']:.2f} to {mean['null_high']:.2f}; both sides, {p_text(p)})"
    text += f"; on other backgrounds for each patient, as a check of the measure, {figures}: ".replace("-", "−")
    if p <= CHECK_ALPHA:
        return text + "the measure FAILS: it finds control where there is none."
    return text + "no control is found where there is none."


def _share_text(mean: dict[Hashable, Any], confidence: float) -> str:
    """The mean over that of the regression, where this finds anything."""
    if pd.isna(mean["share"]):
        return ""
    text = (
        f" Over all properties the drawings rank the patients {percent(mean['share'])} as well as a ridge regression "
        "from the same genes"
    )
    if pd.notna(mean["share_low"]):
        text += f" ({coverage(confidence)} interval {percent(mean['share_low'])} to {percent(mean['share_high'])})"
    return text + "."


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


MAIN = ("psnr_outside", "mse", "ssim", "psnr", "kid", "frechet", "control", "usefulness")
"""The measures in which methods are said to be ahead or behind."""
NAMES = {
    "psnr_outside": "the background outside the lesion (PSNR)",
    "mse": "the whole image (MSE)",
    "psnr": "the whole image (PSNR)",
    "ssim": "the whole image (SSIM)",
    "kid": "realism (KID)",
    "frechet": "realism (radiomic features)",
    "control": "control",
    "usefulness": "usefulness",
}
SEAM = (
    "PSNR outside the lesion says how a lesion is laid over its background, not how good the lesion is: through a "
    "narrow seam whatever is drawn comes out high."
)
UNITS = {"psnr_outside": ".1f", "psnr": ".1f", "mse": ".4f", "frechet": ".2f", "control": ".2f"}
"""How their differences are written; else with three decimals."""


def comparison_conclusions(table: pd.DataFrame, confidence: float) -> list[str]:
    """One sentence for each method against the first, from `comparison.differences`."""
    sentences = []
    for method, rows in table[table["measure"].isin(MAIN)].groupby("method", sort=False):
        against = rows["against"].iloc[0]
        if not rows["same_patients"].all():
            sentences.append(f"{against} and {method} held out different patients: not compared.")
            continue
        by = {
            verdict: [NAMES[m] for m in rows.loc[rows["verdict"] == verdict, "measure"]]
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
    rows = table[table["measure"].isin(MAIN)]
    ahead = [f"{r['best']} in {NAMES[r['measure']]}" for r in rows[rows["verdict"] == "ahead"].to_dict("records")]
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
    form = UNITS.get(str(row["measure"]), ".3f")
    low, high = sorted((sign * row["low"], sign * row["high"]))
    figures = f"{sign * row['difference']:z{form}}, {low:z{form}} to {high:z{form}}".replace("-", "−")
    return f"{NAMES[row['measure']]} ({figures})"


def realism_conclusion(label: str, table: pd.DataFrame, confidence: float) -> str:
    """One sentence on how real the drawn lesions look, from `Found.realism`."""
    drawn, pasted, own, null = table[table["distance"] == "kid"].to_dict("records")
    of = coverage(confidence)
    times = ""
    if pd.notna(drawn["times"]):
        most = f" to {drawn['times_high']:.1f}" if math.isfinite(drawn["times_high"]) else " or more"
        times = f"{drawn['times']:.1f} times ({drawn['times_low']:.1f}{most}) "
    figures = (
        f"KID {drawn['value']:.3f} ({of} interval {drawn['low']:.3f} to {drawn['high']:.3f}), {times or 'beside '}"
        f"the {pasted['value']:.3f} ({pasted['low']:.3f} to {pasted['high']:.3f}) of real lesions of training patients "
        f"pasted onto the same backgrounds, which a perfect method would reach; on their own backgrounds these have "
        f"{own['value']:.3f} ({own['low']:.3f} to {own['high']:.3f}), lesions with shuffled pixels {null['value']:.3f}"
    ).replace("-", "−")
    if drawn["more_low"] > 0:
        return f"{label}: drawn lesions are told apart from real ones: {figures}."
    more = f"; difference {drawn['more']:z.3f}, {drawn['more_low']:z.3f} to {drawn['more_high']:z.3f}"
    return (
        f"{label}: that drawn lesions look less real than real ones on the same backgrounds is not shown: {figures}"
        + (more.replace("-", "−") + ".")
    )


def diversity_conclusion(label: str, table: pd.DataFrame, confidence: float) -> str:
    """One sentence on mode collapse, from `diversity_table`."""
    noise, both, patients = table[table["measure"] == "distance"].to_dict("records")
    text = (
        f"{label}: lesions drawn for one patient differ by {percent(both['ratio'])} of what the patient's own slices "
        f"differ by ({coverage(confidence)} interval {percent(both['ratio_low'])} to {percent(both['ratio_high'])}), "
        f"by {percent(noise['ratio'])} through noise alone"
    )
    text += f"; between patients drawings differ by {percent(patients['ratio'])} of what real lesions do."
    if patients["ratio_high"] < COLLAPSED:
        text += " It draws the same for everybody."
    if both["ratio_high"] < COLLAPSED:
        text += " For one patient it draws one lesion only: mode collapse."
    return text


def copies(table: pd.DataFrame) -> bool:
    """Whether the test of `memorisation` speaks for copies."""
    return bool(table["p"].iloc[0] < ALPHA)


def memorisation_conclusion(label: str, table: pd.DataFrame, confidence: float, *, by_design: bool = False) -> str:
    """A sentence or two on copies of training lesions, with what the test would have seen.

    Args:
        by_design: the method pastes training lesions, whatever the test says.
    """
    drawn, pasted, real = table.to_dict("records")
    made = " Its lesions are copies of training lesions, as it is made." if by_design else ""
    if pd.isna(drawn["p"]):
        return f"{label}: whether lesions are copies cannot be asked: too little is inside the lesions.{made}"
    figures = (
        f"{percent(drawn['near'])} of the drawings ({coverage(confidence)} interval {percent(drawn['low'])} to "
        f"{percent(drawn['high'])}) are nearer to a training lesion than 99 of 100 real lesions never trained on "
        f"({p_text(drawn['p'])}); of such real lesions {percent(real['near'])}, of pasted training lesions "
        f"{percent(pasted['near'])}"
    )
    if copies(table):
        how = "drawn lesions are" if drawn["low"] > 0.5 else "some drawn lesions may be"
        return f"{label}: {how} copies of training lesions: {figures}.{made}"
    seen = {name: drawn[name] for name in drawn if str(name).startswith("seen_")}
    if not seen["seen_100"] >= POWERFUL:
        return (
            f"{label}: whether training lesions were copied cannot be said: had all drawings been copies, the test "
            f"would have seen it in {percent(seen['seen_100'])} of resamples only; {figures}.{made}"
        )
    first, *rest = ((str(name).removeprefix("seen_"), percent(often)) for name, often in seen.items())
    return (
        f"{label}: no sign that training lesions were copied: {figures}. Had {first[0]} % of the drawings been "
        f"copies, the test would have seen it in {first[1]} of resamples of patients"
        + "".join(f"; had {share} %, in {often}" for share, often in rest)
        + f". Of lesions never trained on it says that they are copies in {percent(real['false_alarms'])}.{made}"
    )


def usefulness_conclusion(label: str, table: pd.DataFrame, confidence: float) -> str:
    """One sentence on segmentation with drawings added."""
    row = table.iloc[0]
    figures = (
        f"Dice {row['with']:.3f} with drawings, {row['without']:.3f} without, difference {row['difference']:+.3f} "
        f"({coverage(confidence)} interval {row['low']:+.3f} to {row['high']:+.3f}; {p_text(row['p'])}, "
        f"{int(row['steps'])} steps each)"
    ).replace("-", "−")
    if row["low"] > 0 and row["p"] < ALPHA:
        return f"{label}: adding drawn lesions helps a segmentation network on held-out patients: {figures}."
    if row["high"] < 0:
        return f"{label}: adding drawn lesions harms a segmentation network on held-out patients: {figures}."
    return f"{label}: that adding drawn lesions helps a segmentation network is not shown: {figures}."


def code_conclusion(clusters: pd.DataFrame, mantel: pd.DataFrame) -> str:
    """What figure 4 shows and what it does not: held-out patients only."""
    held_out = mantel[mantel["part"] == "held out"]
    linked = [f"{r['space']} (ρ = {r['rho']:.2f})" for r in held_out.to_dict("records") if r["q"] < ALPHA]
    rest = [str(space) for space in held_out.loc[~(held_out["q"] < ALPHA), "space"]]
    text = "Held-out patients who lie near to each other "
    text += f"in {join(linked)} have lesions that look alike (Mantel test, q < {ALPHA})" if linked else ""
    text += ("; for " if rest else ".") if linked else "are not shown to have lesions that look alike in "
    text += f"{join(rest)}{' this is not shown' if linked else ''}." if rest else ""
    found = clusters[(clusters["part"] == "held out") & (clusters["q"] < ALPHA)]
    if len(found):
        spaces = join(map(str, found["space"]))
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


def scope(known_truth: bool) -> str:
    """What the cohort allows to be said at all."""
    if known_truth:
        return (
            "The link between genes and lesions of this cohort was planted. That a planted link is found says that the "
            "method can find one; it says nothing about real tumors."
        )
    return (
        "These are associations on held-out patients of one cohort. They are not causes, scanner and site were not "
        "adjusted for here, and they need a second cohort."
    )
