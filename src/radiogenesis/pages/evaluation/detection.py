"""`evaluate` for runs of tumor-unet: tables, pictures and a page of what is found on held-out or on other patients.

OUT/
  evaluation.json      headline, conclusions, cohort, runs, settings, who was left out and why
  page.json            what `radiogenesis report` renders
  tables/*.csv         every measure with its interval, and the numbers of every patient behind it
  pictures/*.png       outlined in red, found in yellow; figure 5 of Li, Sui et al. for each run
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv
from radiogenesis.errors import CohortError, RunError
from radiogenesis.evaluation.detection import (
    BASELINE,
    MEASURES,
    NULL,
    PAIRED,
    UNET,
    detection_table,
    findings,
    outlined_stacks,
    side_by_side,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.tumor_unet import FindSettings, TumorUNet
from radiogenesis.output import json_text, whole_folder
from radiogenesis.pages.evaluation.checklist_facts import detection_facts
from radiogenesis.pages.evaluation.headlines import TUMORS_FOUND
from radiogenesis.pages.evaluation.li_sui_pictures import figure_5
from radiogenesis.reporting.checklists import save_checklists
from radiogenesis.reporting.model import Column, Fact, Page, Picture, Section, Table
from radiogenesis.reporting.overlays import overlay_grid
from radiogenesis.reporting.wording import coverage
from radiogenesis.training.run import Run
from radiogenesis.version import __version__

SHOWN, ENLARGED = 8, 6
"""Patients on the picture of all slices, and in figure 5."""
SIDE_BY_SIDE = "detection_side_by_side.csv"
NOT_FOR_KEPT_SLICES = {"whole_lung_mm2"}
"""Fields of FindSettings that nothing is left to decide by where a cohort has kept its whole slices."""
HELD_OUT, ANOTHER = "held-out patients", "another cohort"


def detects(run: Run) -> bool:
    """Whether the run finds tumors in whole slices."""
    return isinstance(run.method, TumorUNet)


def evaluate_detection(
    runs: Sequence[Run],
    out: Path,
    settings: EvaluationSettings,
    *,
    find: FindSettings | None = None,
    cohort: str | Path | None = None,
) -> dict[str, Any]:
    """Measure runs of tumor-unet and write OUT. Returns what evaluation.json holds.

    Args:
        runs: runs of tumor-unet, measured on one cohort.
        out: the folder to write; does not exist.
        settings: resamples, confidence, seed.
        find: how probabilities become tumors, as of `find-tumor`.
        cohort: another cohort than the one trained on (Li, Sui et al. transfer from one to another): then all its
            outlined patients but those whose names were trained on are measured. By default, and for the cohort
            trained on, the held-out patients.

    Raises:
        RunError: a run of another method; two runs of one name; runs of different cohorts.
        CohortError: no readable cohort, none with whole slices of the right size, or nobody in it who was not trained
            on.
    """
    with whole_folder(out) as partial:
        for folder in ("tables", "pictures"):
            (partial / folder).mkdir()
        detection = measure_detection(runs, partial, settings, find=find, cohort=cohort)
        recorded = detection_facts(detection.cohort, detection.summary, another=ANOTHER in detection.of)
        page = Page(
            title="Where is the tumor?",
            subtitle=f"tumor-unet on {detection.of} of {detection.cohort.path.name}",
            facts=detection.facts,
            conclusions=tuple(detection.summary["conclusions"]),
            sections=(detection.section, save_checklists(recorded, partial / "tables")),
            provenance=(("cohort", detection.cohort.digest), ("radiogenesis", __version__)),
        )
        page.save(partial)
        (partial / "evaluation.json").write_text(json_text(detection.summary), encoding="utf-8")
    return detection.summary


@dataclass(frozen=True)
class Detection:
    """What runs of tumor-unet find in one cohort.

    Attributes:
        cohort: whose patients were looked at.
        of: who they are, in words.
        section: of the page; its tables and pictures are written.
        facts: the headline's numbers for the page.
        summary: headline, conclusions, runs, cohort, settings, find_settings, left_out, versions.
    """

    cohort: Cohort
    of: str
    section: Section
    facts: tuple[Fact, ...]
    summary: dict[str, Any]


def measure_detection(
    runs: Sequence[Run],
    folder: Path,
    settings: EvaluationSettings,
    *,
    find: FindSettings | None = None,
    cohort: str | Path | None = None,
) -> Detection:
    """Measure runs of tumor-unet; write tables/ and pictures/, which are in `folder`. See `evaluate_detection`."""
    names, find = [run.path.resolve().name for run in runs], find or FindSettings()
    if len(set(names)) != len(names) or not all(map(detects, runs)):
        raise RunError(f"{', '.join(names)}: give runs of tumor-unet only, with different names")
    opened = [run.open_cohort() if cohort is None else Cohort.open(cohort) for run in runs]
    digests = {one.digest for one in opened}
    if len(digests) != 1:
        raise RunError(
            f"{len(runs)} runs of {len(digests)} different cohorts cannot stand in one table",
            path=runs[0].path,
            remedy="evaluate the runs of each cohort by themselves, or all on one with --cohort",
        )
    measured = [_measure(*one, opened[0], folder, settings, find) for one in zip(names, runs, strict=True)]
    table = pd.concat([one.table for one in measured])
    beside = [side_by_side(one.table).assign(run=name) for name, one in zip(names, measured, strict=True)]
    for file, frame in (
        ("detection.csv", table),
        (SIDE_BY_SIDE, pd.concat(beside)),
        ("detection_patients.csv", pd.concat([one.each for one in measured])),
    ):
        write_csv(frame, folder / "tables" / file)
    summary = {
        "headline": [_headline(name, one.table) for name, one in zip(names, measured, strict=True)],
        "conclusions": [
            _conclusion(name, one.table) + _left_out(one.left_out) for name, one in zip(names, measured, strict=True)
        ],
        "runs": [
            {
                "name": name,
                "method": run.method_name,
                "held_out": len(run.split.test),
                "trained_on": len(run.split.train),
                "provenance": run.provenance,
                "config": run.config,
            }
            for name, run in zip(names, runs, strict=True)
        ],
        "cohort": {"path": str(opened[0].path), "digest": opened[0].digest},
        "settings": asdict(settings),
        "find_settings": applied(find),
        "left_out": {name: one.left_out for name, one in zip(names, measured, strict=True)},
        "versions": {"radiogenesis": __version__},
    }
    pictures = [picture for one in measured for picture in one.pictures]
    section = _section(pictures, find, several=len(runs) > 1, confidence=settings.confidence)
    of = " and ".join(dict.fromkeys(table["of"]))
    return Detection(opened[0], of, section, _facts(summary, several=len(runs) > 1), summary)


def applied(find: FindSettings) -> dict[str, Any]:
    """Those of the settings that count on whole slices: which slices there are was settled when they were kept."""
    return {name: value for name, value in asdict(find).items() if name not in NOT_FOR_KEPT_SLICES}


@dataclass(frozen=True)
class _Measured:
    """One run: see `detection_table`; who was left out, patient -> why; its pictures."""

    table: pd.DataFrame
    each: pd.DataFrame
    left_out: dict[str, str]
    pictures: tuple[Picture, ...]


def _measure(
    name: str, run: Run, cohort: Cohort, folder: Path, settings: EvaluationSettings, find: FindSettings
) -> _Measured:
    method, pixel_mm = run.method, float(run.config["pixel_mm"])
    assert isinstance(method, TumorUNet)
    of, patients, left_out = whom(run, cohort)
    stacks, without = outlined_stacks(cohort, patients, method.pixels, pixel_mm)
    by_finder = findings(method, stacks, find, seed=settings.seed)
    table, each = detection_table(stacks, by_finder, settings)
    seen = [labels > 0 for labels in by_finder[UNET]]
    rows = [(one.patient, one.image, one.tumor, theirs) for one, theirs in zip(stacks, seen, strict=True)]
    file = f"{name}_found.png"
    overlay_grid(rows[:SHOWN], folder / "pictures" / file)
    enlarged = {patient: (image, tumor, theirs) for patient, image, tumor, theirs in rows[:ENLARGED]}
    pictures = (
        figure_5(enlarged, folder / "pictures", name),
        Picture(
            file=file,
            caption=f"{name}: outlined in red, found in yellow; a row per patient.",
            alt="whole CT slices with outlines",
        ),
    )
    table = table.assign(run=name, of=of, what=table["measure"].map(MEASURES))
    return _Measured(table, each.assign(run=name), left_out | without, pictures)


def whom(run: Run, cohort: Cohort) -> tuple[str, list[str], dict[str, str]]:
    """Whom a run may be measured on: who they are in words, the patients, and patient -> why it may not be.

    In another cohort than the one trained on, patients may return whom the run was trained on, or chosen by: rebuilt
    with other settings, or with new patients added, it has another digest and the same patients.

    Raises:
        CohortError: nobody is left.
    """
    if cohort.digest == run.provenance["cohort_digest"]:
        return HELD_OUT, list(run.split.test), {}
    known = {*run.split.train, *run.split.validation}
    everybody = list(map(str, cohort.patients.index))
    patients = [patient for patient in everybody if patient not in known]
    if not patients:
        raise CohortError(
            f"all of its {len(everybody)} patients have names that {run.path.name} was trained on",
            path=cohort.path,
            remedy="give a cohort of other patients",
        )
    return (
        ANOTHER,
        patients,
        dict.fromkeys((p for p in everybody if p in known), "a patient of this name was trained on"),
    )


def _left_out(left_out: Mapping[str, str]) -> str:
    """Who was left out, as a sentence to add; nothing where nobody was."""
    counts = Counter(left_out.values())
    reasons = ", ".join(f"{count} ({why})" for why, count in counts.items())
    return f" Left out: {reasons}." if counts else ""


def _numbers(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """(finder, measure) -> value, low, high, patients."""
    return {
        (str(row["finder"]), str(row["measure"])): {
            key: float(row[key]) for key in ("value", "low", "high", "patients")
        }
        for row in table.to_dict("records")
    }


def _headline(name: str, table: pd.DataFrame) -> dict[str, Any]:
    numbers = _numbers(table)
    unet = numbers[UNET, "dice"]
    return {
        "run": name,
        "name": TUMORS_FOUND.name,
        "value": unet["value"],
        "low": unet["low"],
        "high": unet["high"],
        "baseline": numbers[BASELINE, "dice"]["value"],
        "null": numbers.get((NULL, "dice"), {"value": float("nan")})["value"],
        "text": f"Dice of the tumors found, {table['of'].iloc[0]}",
    }


def _conclusion(name: str, table: pd.DataFrame) -> str:
    """One sentence that claims no more than the intervals hold."""
    numbers = _numbers(table)
    unet, baseline = numbers[UNET, "dice"], numbers[BASELINE, "dice"]
    less = numbers[PAIRED, "dice"]
    side = "better than" if less["low"] > 0 else "worse than" if less["high"] < 0 else "not shown to differ from"
    return (
        f"{name}, {table['of'].iloc[0]} (n = {unet['patients']:.0f}): Dice {unet['value']:.2f} ({unet['low']:.2f} to "
        f"{unet['high']:.2f}); {side} the baseline's {baseline['value']:.2f} (paired difference {less['value']:.2f}, "
        f"{less['low']:.2f} to {less['high']:.2f}). {numbers[UNET, 'hit']['value']:.0%} of the tumors are touched, "
        f"with {numbers[UNET, 'false_positives']['value']:.1f} false pieces per scan."
    )


def comparison_table(*, confidence: float, several: bool = False) -> Table:
    """Shows SIDE_BY_SIDE: every measure for the U-Net, the baseline, their difference and the null.

    Args:
        confidence: of the intervals.
        several: of more than one run, so that they must be told apart.
    """
    finders = tuple(
        Column(label=finder, value=finder, low=f"{finder}, low", high=f"{finder}, high", format=".2f")
        for finder in (UNET, BASELINE, PAIRED, NULL)
    )
    return Table(
        file=SIDE_BY_SIDE,
        caption=f"Means over patients with {coverage(confidence)} intervals over patients.",
        columns=(
            *([Column(label="Run", value="run")] if several else []),
            Column(label="Measure", value="what"),
            *finders,
            Column(label="Patients", value="patients", format="d"),
        ),
    )


def _facts(summary: dict[str, Any], *, several: bool) -> tuple[Fact, ...]:
    interval = f"{coverage(summary['settings']['confidence'])} interval"
    return tuple(
        TUMORS_FOUND.fact(f"{number['run']}: {number['text']}" if several else number["text"], number, interval)
        for number in summary["headline"]
    )


def _section(pictures: Sequence[Picture], find: FindSettings, *, several: bool, confidence: float) -> Section:
    return Section(
        title="Finding the tumor",
        text=(
            "Stage 1 of Li, Sui et al.: a U-Net looks at every whole slice that contains lung; the lungs are found "
            "without the outline. The baseline takes the largest compact piece inside the lungs that is denser than "
            "-400 HU. The null gives each patient what the U-Net found in another. Only pieces of at least "
            f"{find.smallest_ml:g} ml within {find.lung_mm:g} mm of the lungs count, at most {find.most}, where the "
            f"probability reaches {find.threshold:g}. A tumor of which the kept slices show nothing is a miss. "
            "Intervals are over patients; the baseline is compared patient by patient."
        ),
        blocks=(comparison_table(confidence=confidence, several=several), *pictures),
    )
