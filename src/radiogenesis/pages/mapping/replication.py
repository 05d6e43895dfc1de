"""Other cohorts on the page of a map: power first, differences between cohorts, then every link with its verdict."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from radiogenesis.csv_files import write_csv
from radiogenesis.mapping.conventional.three_step import ConventionalMap
from radiogenesis.mapping.replication.replication import (
    CONFOUNDED_THERE,
    LINK,
    NOT_MEASURED,
    OPPOSITE,
    REPLICATED,
    Replication,
)
from radiogenesis.pages.mapping.names import in_text, names_of, signed, with_names
from radiogenesis.pages.mapping.output import Addition
from radiogenesis.pages.mapping.replication_pictures import forest, shown_links
from radiogenesis.reporting.figures import save_both
from radiogenesis.reporting.model import Column, Fact, Picture, Section, Table
from radiogenesis.reporting.wording import join

SHOWN = 100
"""Rows of a table that the page shows; the file has all."""


def replication_addition(found: Replication, made: ConventionalMap, folder: Path) -> Addition:
    """Write tables/replication*.csv and the forest plot, and say what to show of them."""
    names = names_of(made.metagenes)
    _write(found, folder / "tables")
    others = found.samples[1:]
    provenance = [(f"Other cohort {one.name}", f"digest {one.digest}") for one in others]
    chosen = ", ".join(f"{name} {value}" for name, value in asdict(found.settings).items())
    provenance += [("Mapped cohort", f"digest {found.samples[0].digest}"), ("Replication settings", chosen)]
    return Addition(
        sections=(_section(found, made, names, folder), _differences_section(found, folder)),
        facts=(_fact(found),) if len(found.links) else (),
        conclusions=tuple(conclusions(found, made)),
        about=f", and its links in {join(one.name for one in others)}",
        numbers={"replication": counts(found)},
        provenance=tuple(provenance),
    )


def counts(found: Replication) -> dict[str, float]:
    """Links asked, and for all other cohorts together how many tests had which end."""
    verdicts = found.tests["verdict"] if len(found.tests) else pd.Series(dtype=str)
    replicated = found.tests[verdicts.isin([REPLICATED])] if len(found.tests) else found.tests
    return {
        "asked": len(found.links),
        "found_before": int(found.found),
        "cohorts": len(found.samples) - 1,
        "replicated": int((verdicts == REPLICATED).sum()),
        "replicated_links": len(replicated[LINK].drop_duplicates()) if len(replicated) else 0,
        "confounded_there": int((verdicts == CONFOUNDED_THERE).sum()),
        "opposite": int((verdicts == OPPOSITE).sum()),
        "not_measured": int((verdicts == NOT_MEASURED).sum()),
        "tests": int(found.tests["p"].notna().sum()) if len(found.tests) else 0,
        "power_sum": float(found.plan["power"].sum()) if len(found.plan) else 0.0,
    }


def conclusions(found: Replication, made: ConventionalMap) -> list[str]:
    """What was expected before, how the cohorts differ, and what held."""
    others, alpha = found.samples[1:], made.settings.alpha
    apart = [*found.said, *(_differing(found, one.name, alpha) for one in others)]
    if not len(found.links):
        names = join(one.name for one in others)
        return [f"No link was found and no candidate was asked about: nothing was looked for in {names}.", *apart]
    said = [_expected(found), *apart]
    said += [_held(found, one.name, alpha) for one in others]
    if len(others) > 1:
        said.append(_together(found, made))
    said += [f"{one.name}: {sentence}" for one in others for sentence in one.said]
    return said


def _what(found: Replication) -> str:
    asked = len(found.links)
    if found.found:
        return f"{asked} link{'s' if asked != 1 else ''} found"
    return f"{asked} strongest candidates (no link is found)"


def _expected(found: Replication) -> str:
    parts = []
    for name, mine in found.plan.groupby("cohort", sort=False):
        known = mine["power"].dropna()
        if not len(known):
            parts.append(f"{name} measures none of them")
            continue
        parts.append(
            f"{name} ({mine['n'].max()} patients with values) would show {known.sum():.1f} of the {len(known)} it "
            f"measures, with a power of {known.min():.2f} to {known.max():.2f} each"
        )
    shrunk = found.links["expected"].abs().median()
    return (
        f"Said before looking, of the {_what(found)}: if they are true with the effects that remain when what "
        f"selection added is taken off (median |ρ| {shrunk:.2f} in place of {found.links['rho'].abs().median():.2f}), "
        f"{'; '.join(parts)}."
    )


def _differing(found: Replication, name: str, alpha: float) -> str:
    mine = found.differences[found.differences["cohort"] == name]
    tested, differ = int(mine["p"].notna().sum()), int((mine["q"] < alpha).sum())
    first = found.samples[0].name
    if not differ:
        return f"{name}: no feature of {tested} is shown to lie at another level than in {first} (q < {alpha:g})."
    most = mine[mine["q"] < alpha].head(3)
    strongest = ", ".join(
        f"{feature} ({verdict})" for feature, verdict in zip(most["feature"], most["verdict"], strict=True)
    )
    return (
        f"{name}: {differ} of {tested} features lie at another level than in {first} (q < {alpha:g}), most of all "
        f"{strongest}: other scanners or other patients."
    )


def _held(found: Replication, name: str, alpha: float) -> str:
    mine = found.tests[found.tests["cohort"] == name]
    measured = mine[mine["verdict"] != NOT_MEASURED]
    count = mine["verdict"].value_counts()
    same = len(measured) - int(count.get(OPPOSITE, 0))
    text = (
        f"{name}: of the {_what(found)}, {len(measured)} are measured there; {count.get(REPLICATED, 0)} are replicated "
        f"(same direction, one-sided permutation p, q < {alpha:g} over these), {same} point the same way (by chance "
        f"{len(measured) / 2:.3g})"
    )
    if trapped := count.get(CONFOUNDED_THERE, 0):
        text += f"; {trapped} pass too, but both sides share a batch variable there"
    return f"{text}."


def _together(found: Replication, made: ConventionalMap) -> str:
    """The surest link over the other cohorts, by random effects; of two cohorts no interval that says anything."""
    known = found.pooled[found.pooled["cohorts"] > 1].sort_values("p", kind="stable")
    if not len(known):
        return "No link is measured in more than one of the other cohorts: nothing is pooled."
    best, alpha = known.iloc[0], made.settings.alpha
    metagene = in_text(names_of(made.metagenes)[best["metagene"]])
    surest = f"{metagene} with {best['feature']}, ρ {signed(best['rho'])}"
    alike = (
        f"the estimates of {int((known['i2'] == 0).sum())} of {len(known)} links differ by no more than chance (I² 0 %)"
    )
    if best["cohorts"] == 2:
        return (
            f"Over the two other cohorts together (random effects) {alike}; two cohorts are too few for an interval of "
            f"their mean, so read them one by one. The surest mean: {surest}."
        )
    return (
        f"Over the other cohorts together (random effects, interval of Hartung and Knapp), "
        f"{int((known['p'] < alpha).sum())} "
        f"of {len(known)} links have p < {alpha:g}, not corrected for their number; {alike}. The surest: {surest} "
        f"({signed(best['low'])} to {signed(best['high'])})."
    )


def _fact(found: Replication) -> Fact:
    n = counts(found)
    return Fact(
        label="Replicated elsewhere",
        value=f"{n['replicated']:.0f} of {n['tests']:.0f}",
        beside=f"tests of {_what(found)} in {n['cohorts']:.0f} other cohort{'s' if n['cohorts'] > 1 else ''}; "
        f"{n['power_sum']:.1f} were expected before looking, if all are true.",
    )


def _write(found: Replication, tables: Path) -> None:
    for name, table in (
        ("replication", found.tests),
        ("replication_plan", found.plan),
        ("replication_links", found.links.drop(columns=["error", "ranks"])),
        ("replication_pooled", found.pooled),
        ("cohort_differences", found.differences),
    ):
        write_csv(table, tables / f"{name}.csv")


def _section(found: Replication, made: ConventionalMap, names: dict[str, str], folder: Path) -> Section:
    first, *others = found.samples
    patients = ", ".join(f"{one.name} ({len(one.material.patients)} patients)" for one in others)
    if not len(found.links):
        return Section(title="In other cohorts", text=f"No link was found, so none was looked for in {patients}.")
    tests = found.tests.merge(
        found.links[[*LINK, "rho"]].rename(columns={"rho": "first"}), on=LINK, how="left", validate="many_to_one"
    )
    write_csv(with_names(tests.head(SHOWN), names, "metagene"), folder / "tables" / "replication_shown.csv")
    light, dark = save_both(lambda theme: forest(found, names, theme), folder / "pictures", "replication")
    drawn = shown_links(found)
    cut = f" {len(drawn)} links, at most two of one metagene." if len(drawn) < len(found.links) else ""
    return Section(
        title="In other cohorts",
        text=(
            f"The {_what(found)} in {first.name} ({len(first.material.patients)} patients), looked for in {patients}. "
            f"Metagenes have the members and signs that they have in {first.name}; nothing of them is fitted again. "
            "Each link is tested once in each cohort, in the direction in which it was found."
        ),
        blocks=(
            Picture(
                file=light, dark=dark, width=1000, alt="Forest plot of links in several cohorts",
                caption=f"Correlations with 95 % intervals.{cut} Hollow: {first.name}, where the link was chosen, so "
                "that it reads too large; the tick is what remains without that. Filled: replicated."
                + " Diamond: random effects over the others, of three and more with an interval." * (len(others) > 1),
            ),
            Table(
                file="replication_shown.csv", full="replication.csv",
                caption=f"Every link in every other cohort{f', the first {SHOWN}' if len(tests) > SHOWN else ''}. "
                "Expected: the correlation in the first cohort without what selection added. Power was computed from "
                "it before looking. q: Benjamini–Hochberg over the links asked in that cohort.",
                columns=(
                    Column(label="Metagene", value="metagene"), Column(label="Feature", value="feature"),
                    Column(label="Cohort", value="cohort", more=len(others) == 1),
                    Column(label="Verdict", value="verdict"),
                    Column(label="ρ, first", value="first", format=".2f", help=f"in {first.name}"),
                    Column(label="ρ there", value="rho", low="low", high="high", format=".2f"),
                    Column(label="q", value="q", format="p"), Column(label="n", value="n", format="d"),
                    Column(label="Power", value="power", format=".2f", help="said before looking", more=True),
                    Column(label="Expected", value="expected", format=".2f", more=True),
                    Column(label="p, one-sided", value="p", format="p", more=True),
                    Column(label="Shared batch there", value="batch", more=True),
                    Column(label="Why not measured", value="why", more=True),
                ),
                strong=("verdict", REPLICATED),
            ),
            *_pooled_table(found, names, folder),
        ),
        notes=(
            "Correlations are of ranks (with covariates: partial ones), also for features of two values, where they "
            "are smaller than the rank-biserial effect in the tables above.",
            "p: patients of the other cohort in another order, within the batches that are held fixed. That both sides "
            "of a link share a batch variable there is tested as in the first cohort.",
            "Heterogeneity I² of two or three cohorts is hardly known; an interval by Hartung and Knapp counts "
            "cohorts, and of two it is very wide.",
        ),
    )  # fmt: skip


def _pooled_table(found: Replication, names: dict[str, str], folder: Path) -> tuple[Table, ...]:
    shown = with_names(found.pooled.head(SHOWN), names, "metagene")
    if not shown["cohorts"].gt(0).any():
        return ()
    write_csv(shown, folder / "tables" / "replication_pooled_shown.csv")
    several = len(found.samples) > 2
    of_others = (
        Column(label="ρ, other cohorts", value="rho", low="low", high="high", format=".2f"),
        Column(label="p", value="p", format="p"),
        *([Column(label="I², others", value="i2", format="%")] if several else []),
    )
    return (
        Table(
            file="replication_pooled_shown.csv", full="replication_pooled.csv",
            caption="Random effects (DerSimonian and Laird, Hartung and Knapp) of Fisher's z: over the other cohorts, "
            "which did not choose the links, and over all, the first included, whose effects are too large.",
            columns=(
                Column(label="Metagene", value="metagene"), Column(label="Feature", value="feature"),
                Column(label="Other cohorts", value="cohorts", format="d"), *of_others,
                Column(label="ρ, all cohorts", value="all_rho", low="all_low", high="all_high", format=".2f"),
                Column(label="I², all", value="all_i2", format="%"),
                Column(label="p of no heterogeneity", value="all_q_p", format="p", more=True),
            ),
        ),
    )  # fmt: skip


def _differences_section(found: Replication, folder: Path) -> Section:
    shown = found.differences[found.differences["p"].notna()].head(SHOWN)
    write_csv(shown, folder / "tables" / "cohort_differences_shown.csv")
    rows = [(one.name, len(one.material.patients), one.scanners, float(np.mean(one.measured))) for one in found.samples]
    table = pd.DataFrame(rows, columns=["cohort", "patients", "scanners", "genes"])
    write_csv(table, folder / "tables" / "cohorts.csv")
    return Section(
        title="How the cohorts differ",
        text=f"Tested before any link was looked for, feature by feature against {found.samples[0].name}. A difference "
        "in level makes or breaks no link inside a cohort, but it says that a feature is measured otherwise or of "
        f"other patients. {' '.join(found.said)}".strip(),
        blocks=(
            Table(
                file="cohorts.csv", caption="The cohorts. Genes: share of each metagene's members measured, the mean.",
                columns=(
                    Column(label="Cohort", value="cohort"), Column(label="Patients", value="patients", format="d"),
                    Column(label="Scanners", value="scanners"), Column(label="Genes", value="genes", format="%"),
                ),
            ),
            Table(
                file="cohort_differences_shown.csv", full="cohort_differences.csv",
                caption="Features as measured, before any harmonisation (Mann–Whitney). Effect: 2 AUC − 1.",
                columns=(
                    Column(label="Cohort", value="cohort"), Column(label="Feature", value="feature"),
                    Column(label="Median there", value="median", format=".3g"),
                    Column(label="Median in the first", value="median_first", format=".3g"),
                    Column(label="Effect", value="effect", format=".2f"), Column(label="q", value="q", format="p"),
                    Column(label="p", value="p", format="p"), Column(label="n there", value="n", format="d"),
                    Column(label="n in the first", value="n_first", format="d"),
                    Column(label="Verdict", value="verdict"),
                ),
            ),
        ),
        folded=True,
    )  # fmt: skip
