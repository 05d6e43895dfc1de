"""The page of an analysis: tables, the ROC curves, what may be concluded.

OUT/report.html   the page; OUT/page.json what it is made from
OUT/tables/       every number as CSV, unrounded; OUT/pictures/ the curves
OUT/readers.json  settings, digests, conclusions
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from radiogenesis.cohort.digest import file_digest
from radiogenesis.csv_files import write_csv
from radiogenesis.output import json_text, whole_folder
from radiogenesis.readers.analysis import (
    PAIRED,
    AnalysisSettings,
    Answered,
    Found,
    analyzed,
    one_shot_error,
    times,
)
from radiogenesis.readers.answers import read_answers, read_key
from radiogenesis.readers.conclusions import conclusions
from radiogenesis.readers.wording import said_of_study
from radiogenesis.reporting.figures import Theme, save_both, style_axes
from radiogenesis.reporting.model import Column, Fact, Page, Picture, Section, Table
from radiogenesis.reporting.page import write_report
from radiogenesis.reporting.wording import coverage, percent
from radiogenesis.stats import mrmc
from radiogenesis.stats.mrmc import ReaderMean
from radiogenesis.version import __version__

TASKS = {"rate": "rating", "drawn": "which is drawn", "high": "which has it high"}


def analyze(paths: Sequence[Path], key_path: Path, out: Path, settings: AnalysisSettings) -> list[str]:
    """Analyze the answers into a folder, whole or not at all. Returns what may be concluded.

    Raises:
        InputError: answers or a key that cannot be used. OutputError: something is already there.
    """
    key = read_key(key_path)
    answers = read_answers(paths, key)
    found = analyzed(answers, settings)
    said = conclusions(found, settings)
    with whole_folder(out) as folder:
        for name in ("tables", "pictures"):
            (folder / name).mkdir()
        page = _page(found, answers, key, folder, settings, said)
        page.save(folder)
        record = {
            "study": key["study"], "settings": asdict(settings), "radiogenesis": __version__, "conclusions": said,
            "key_sha256": file_digest(key_path),
            "answers": [{"file": path.name, "sha256": file_digest(path)} for path in paths],
            "run_weights": key.get("weights"), "cohort_digest": key.get("cohort_digest"), "seed": _seed(key),
        }  # fmt: skip
        (folder / "readers.json").write_text(json_text(record), encoding="utf-8")
        write_report(folder)
    return said


def _seed(key: Mapping[str, Any]) -> Any:
    return (key.get("settings") or {}).get("seed")


def _page(
    found: Found, answers: pd.DataFrame, key: Mapping[str, Any], folder: Path, settings: AnalysisSettings,
    said: Sequence[str],
) -> Page:  # fmt: skip
    sections = [
        *_ratings(found, folder, settings), *_pairs(found, folder, settings), *_properties(found, folder, settings),
        _readers(found, answers, folder, settings), _what_was_shown(key, found),
    ]  # fmt: skip
    readers, patients = answers["reader"].nunique(), {p for mine in answers["patients"] for p in mine}
    provenance = {
        "Study": key["study"], "Run": f"{key.get('run')}, weights sha256 {str(key.get('weights'))[:12]}",
        "Cohort's digest": str(key.get("cohort_digest"))[:12],
        "Run with shuffled genes": str(key.get("null_run") or "–"),
        "Seed of the study": str(_seed(key)), "Confidence": coverage(settings.confidence),
        "Made by": f"radiogenesis {key.get('radiogenesis')}, analyzed by {__version__}",
    }  # fmt: skip
    return Page(
        title="What readers see",
        subtitle=f"{readers} reader{'s' if readers > 1 else ''}, {len(answers):,} answers on "
        f"{answers['item'].nunique()} questions, images of {len(patients)} held-out patients. Intervals: other "
        "readers, other patients.",
        facts=_facts(found), conclusions=tuple(said), sections=tuple(sections), provenance=tuple(provenance.items()),
    )  # fmt: skip


def _facts(found: Found) -> tuple[Fact, ...]:
    facts = []
    for name, (_, mean) in found.ratings.items():
        if name.startswith("drawn"):
            beside = f"interval {mean.low:.2f} to {mean.high:.2f}, chance 0.50, {mean.readers} readers"
            facts.append(Fact(label=f"AUC, {name}", value=f"{mean.value:.2f}", beside=beside, share=mean.value))
    for name, (_, mean) in found.pairs.items():
        beside = f"interval {percent(mean.low)} to {percent(mean.high)}, chance 50 %"
        facts.append(Fact(label=f"Right: {name}", value=percent(mean.value), beside=beside, share=mean.value))
    return tuple(facts)


def _row(name: str, one: Answered, mean: ReaderMean, settings: AnalysisSettings) -> dict[str, Any]:
    seen = math.nan if math.isnan(mean.error) else 0.5 + mean.detectable(settings.power, 1 - settings.confidence)
    return {
        "comparison": name, "value": mean.value, "low": mean.low, "high": mean.high, "error": mean.error, "df": mean.df,
        "detectable": seen, "readers": mean.readers, "patients": mean.patients, "cases": one.values.shape[1],
        "kappa": one.kappa, "between_readers": mean.between, "error_variance": mean.own, "shared": mean.shared,
    }  # fmt: skip


def _columns(value: str, form: str, settings: AnalysisSettings) -> tuple[Column, ...]:
    return (
        Column(label="Comparison", value="comparison"),
        Column(label=value, value="value", low="low", high="high", format=form,
               help=f"mean over readers, {coverage(settings.confidence)} interval for other readers and patients"),
        Column(label="Would have been told", value="detectable", format=form,
               help=f"the least that the study tells from chance with a power of {percent(settings.power)}"),
        Column(label="Readers", value="readers", format="d"), Column(label="Patients", value="patients", format="d"),
        Column(label="Cases", value="cases", format="d"),
        Column(label="κ", value="kappa", format=".2f", help="Fleiss' kappa: agreement of the readers beyond chance"),
        Column(label="Error", value="error", format=".3f", more=True,
               help="standard error, Obuchowski-Rockette with a jackknife over patients"),
        Column(label="df", value="df", format=".1f", help="degrees of freedom (Hillis 2007)", more=True),
    )  # fmt: skip


def _ratings(found: Found, folder: Path, settings: AnalysisSettings) -> list[Section]:
    if not found.ratings:
        return []
    rows = [
        _row(name, one, mean, settings) | {"one_shot": one_shot_error(one)}
        for name, (one, mean) in found.ratings.items()
    ]
    write_csv(pd.DataFrame(rows), folder / "tables" / "ratings.csv")
    more = Column(label="One-shot", value="one_shot", format=".3f", more=True,
                  help="standard error by the U-statistics of Gallas (2006), cases taken as independent")  # fmt: skip
    table = Table(file="ratings.csv", columns=(*_columns("AUC", ".2f", settings), more), caption=(
        "Area under the ROC curve of the ratings: how often a drawn lesion is rated higher than a real one. Chance "
        "0.50. Readers and patients are random, several images of a patient count as one patient's."))  # fmt: skip
    notes = _left_out(found.ratings)
    text = (
        "Each image was rated from 1, surely real, to 6, surely drawn. The pasted real lesions lie on backgrounds of "
        "the same patients by the same composition as the drawn ones, so that only the lesion differs; the original "
        "ones show what composition and background add. Pasted against original says what the composition alone gives "
        "away."
    )
    return [Section(title="Real or drawn?", text=text, blocks=(_roc_picture(found, folder), table), notes=tuple(notes))]


def _left_out(tables: Mapping[str, tuple[Answered, ReaderMean]]) -> list[str]:
    return [f"{name}: left out: {one.left_out}." for name, (one, _) in tables.items() if one.left_out]


def _roc_picture(found: Found, folder: Path) -> Picture:
    shown = {name: one for name, (one, _) in found.ratings.items()}

    def draw(theme: Theme) -> Figure:
        figure = Figure(figsize=(2.6 * len(shown) + 0.6, 3.0))
        for place, (name, one) in enumerate(shown.items()):
            axes = figure.add_subplot(1, len(shown), place + 1)
            style_axes(axes, theme)
            axes.plot([0, 1], [0, 1], color=theme.mute, linewidth=1, linestyle=":")
            grid = np.linspace(0, 1, 101)
            curves = [mrmc.roc(row, one.positive) for row in one.values]
            for false, true in curves:
                axes.plot(false, true, color=theme.soft, linewidth=0.8, alpha=0.6)
            mean = np.mean([np.interp(grid, false, true) for false, true in curves], axis=0)
            axes.plot(np.concatenate([[0], grid]), np.concatenate([[0], mean]), color=theme.accent, linewidth=2.2)
            axes.set_title(name, color=theme.ink, fontsize=9)
            axes.set_aspect("equal")
            axes.set_xlabel("false positives", fontsize=8)
            if not place:
                axes.set_ylabel("true positives", fontsize=8)
        figure.tight_layout()
        return figure

    light, dark = save_both(draw, folder / "pictures", "roc")
    return Picture(file=light, dark=dark, alt="ROC curves of every reader and their mean", width=240 * len(shown) + 60,
                   caption="ROC curves: every reader thin, their mean (of true positives) thick, chance dotted.",
                   )  # fmt: skip


def _pairs(found: Found, folder: Path, settings: AnalysisSettings) -> list[Section]:
    if not found.pairs:
        return []
    rows = [_row(name, one, mean, settings) for name, (one, mean) in found.pairs.items()]
    write_csv(pd.DataFrame(rows), folder / "tables" / "pairs.csv")
    table = Table(file="pairs.csv", columns=_columns("Right", "%", settings),
                  caption="Share of pairs in which the right one was picked. Chance 50 %.")  # fmt: skip
    notes = _left_out(found.pairs)
    text = "Two images side by side, sides by lot. Nobody could answer with “I do not know”."
    return [Section(title="One of two", text=text, blocks=(table,), notes=tuple(notes))]


def _properties(found: Found, folder: Path, settings: AnalysisSettings) -> list[Section]:
    if not found.properties:
        return []
    rows = []
    for name, (own, control, apart) in found.properties.items():
        row: dict[str, Any] = {"property": name, "patients": own.patients}
        for prefix, mean in (("run", own), ("control", control), ("difference", apart)):
            row |= {f"{prefix}{end}": getattr(mean, of) if mean else math.nan
                    for end, of in (("", "value"), ("_low", "low"), ("_high", "high"))}  # fmt: skip
        rows.append(row)
    write_csv(pd.DataFrame(rows), folder / "tables" / "properties.csv")
    columns = [Column(label="Property or pathway", value="property")]
    for label, prefix in (("Right", "run"), ("Shuffled genes", "control"), ("Difference", "difference")):
        columns.append(Column(label=label, value=prefix, low=f"{prefix}_low", high=f"{prefix}_high", format="%"))
    columns.append(Column(label="Patients", value="patients", format="d"))
    table = Table(file="properties.csv", columns=tuple(columns), caption=(
        "Share of pairs in which readers picked the drawing whose genes say more of it, beside the same pairs drawn by "
        f"a run with shuffled genes. {coverage(settings.confidence)} intervals, not corrected for the number of rows."
    ))  # fmt: skip
    text = (
        "One patient, one background, one noise; only the genes differ. Of a property they were moved as the training "
        "patients with most and with least of it differ, of a pathway by standard deviations of its genes."
    )
    return [Section(title="Does it follow the genes?", text=text, blocks=(table,))]


def _readers(found: Found, answers: pd.DataFrame, folder: Path, settings: AnalysisSettings) -> Section:
    write_csv(found.readers, folder / "tables" / "readers.csv")
    clock = times(answers)
    clock["task"] = clock["task"].map(TASKS)
    write_csv(clock, folder / "tables" / "times.csv")
    blocks = (
        Table(file="readers.csv", caption=(
            "Every reader by itself: share of right answers with its exact interval (Clopper and Pearson), which takes "
            "cases as independent; of ratings, 4 to 6 say drawn."
        ), columns=(
            Column(label="Comparison", value="comparison"), Column(label="Reader", value="reader"),
            Column(label="Right", value="accuracy", low="low", high="high", format="%"),
            Column(label="AUC", value="auc", format=".2f"), Column(label="Answers", value="answers", format="d"),
        )),
        Table(file="times.csv", caption="Seconds per answer while the page was seen: median and quartiles.", columns=(
            Column(label="Part", value="task"), Column(label="Reader", value="reader"),
            Column(label="Median", value="median", low="quarter", high="three_quarters", format=".1f"),
            Column(label="Answers", value="answers", format="d"),
        )),
    )  # fmt: skip
    return Section(
        title="The readers", blocks=blocks, notes=(f"Intervals of accuracy: {coverage(settings.confidence)}.",)
    )


def _what_was_shown(key: Mapping[str, Any], found: Found) -> Section:
    pairs = [PAIRED["run"]] if PAIRED["run"] in found.pairs else []
    blind = (
        "The page holds no answers: images lie in it in random order, questions under names that say nothing, and the "
        "key stayed with whoever made it. A reader who reads the pixels with a program can still compare images."
    )
    notes = [blind] + (["Property and direction of a pair came from the training patients alone."] if pairs else [])
    return Section(title="What was shown", text=" ".join(said_of_study(key)), notes=tuple(notes), folded=True)
