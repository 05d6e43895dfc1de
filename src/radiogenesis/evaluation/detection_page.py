"""`evaluate` for runs of tumor-unet: tables, a picture and a page of what is found on held-out or on other patients.

OUT/
  evaluation.json      headline, conclusions, cohort, runs, settings
  page.json            what `radiogenesis report` renders
  tables/*.csv         every measure with its interval, and the numbers of every patient behind it
  pictures/*.png       outlined in red, found in yellow
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis import __version__
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError
from radiogenesis.evaluation.detection import (
    MEASURES,
    NULL,
    PAIRED,
    RIVAL,
    UNET,
    detection_table,
    found_in,
    outlined_stacks,
    side_by_side,
)
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.methods.tumor_unet import FindSettings, TumorUNet
from radiogenesis.output import whole_folder
from radiogenesis.reporting.model import Column, Fact, Page, Picture, Section, Table
from radiogenesis.reporting.overlays import overlay_grid
from radiogenesis.training.run import Run

SHOWN = 8
"""Patients on the picture."""
SIDE_BY_SIDE = "detection_side_by_side.csv"


def detects(run: Run) -> bool:
    """Whether the run finds tumours in whole slices."""
    return isinstance(run.method, TumorUNet)


def evaluate_detection(
    runs: Sequence[Run], out: Path, settings: EvaluationSettings, *, cohort: str | Path | None = None
) -> dict[str, Any]:
    """Measure runs of tumor-unet and write OUT. Returns what evaluation.json holds.

    Args:
        runs: runs of tumor-unet.
        out: the folder to write; does not exist.
        settings: resamples, confidence, seed.
        cohort: another cohort than the one trained on: then all its outlined patients are measured (Li, Sui et al.
            transfer from one cohort to another). By default, and for the cohort trained on, the held-out patients.

    Raises:
        RunError: a run of another method; two runs of one name.
        CohortError: no readable cohort, or none with whole slices of the right size.
    """
    names = [run.path.resolve().name for run in runs]
    if len(set(names)) != len(names) or not all(map(detects, runs)):
        raise RunError(f"{', '.join(names)}: give runs of tumor-unet only, with different names")
    with whole_folder(out) as partial:
        for folder in ("tables", "pictures"):
            (partial / folder).mkdir()
        opened = [Cohort.open(cohort or run.config["cohort"]) for run in runs]
        measured = [_measure(*one, partial, settings) for one in zip(names, runs, opened, strict=True)]
        table = pd.concat([one[0] for one in measured])
        summary = {
            "headline": [_headline(name, one[0]) for name, one in zip(names, measured, strict=True)],
            "conclusions": [_conclusion(name, one[0]) for name, one in zip(names, measured, strict=True)],
            "runs": [{"name": name, "config": run.config} for name, run in zip(names, runs, strict=True)],
            "cohort": {"path": str(opened[0].path), "digest": opened[0].digest},
            "settings": asdict(settings),
            "versions": {"radiogenesis": __version__},
        }
        table.to_csv(partial / "tables" / "detection.csv", index=False)
        beside = [side_by_side(one[0]).assign(run=name) for name, one in zip(names, measured, strict=True)]
        pd.concat(beside).to_csv(partial / "tables" / SIDE_BY_SIDE, index=False)
        pd.concat([one[1] for one in measured]).to_csv(partial / "tables" / "detection_patients.csv", index=False)
        _page(names, table, opened[0], summary).save(partial)
        (partial / "evaluation.json").write_text(json.dumps(summary, indent=1, default=str) + "\n", encoding="utf-8")
    return summary


def _measure(
    name: str, run: Run, cohort: Cohort, folder: Path, settings: EvaluationSettings
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of one run, and its picture."""
    method, find, pixel_mm = run.method, FindSettings(), float(run.config["pixel_mm"])
    assert isinstance(method, TumorUNet)
    trained_on = cohort.digest == run.provenance["cohort_digest"]
    patients = list(run.split.test) if trained_on else list(map(str, cohort.patients.index))
    table, each = detection_table(method, pixel_mm, cohort, patients, find=find, settings=settings)
    shown = outlined_stacks(cohort, patients, method.pixels, pixel_mm)[:SHOWN]
    rows = [(s.patient, s.image, s.tumour, found_in(method, s, find) > 0) for s in shown]
    overlay_grid(rows, folder / "pictures" / f"{name}_found.png")
    of = "held-out patients" if trained_on else "another cohort"
    return table.assign(run=name, of=of, what=table["measure"].map(MEASURES)), each.assign(run=name)


def _numbers(table: pd.DataFrame) -> dict[tuple[str, str], dict[str, float]]:
    """(finder, measure) -> value, low, high, patients."""
    return {
        (str(row["finder"]), str(row["measure"])): {
            key: float(row[key]) for key in ("value", "low", "high", "patients")
        }
        for row in table.to_dict("records")
    }


def _headline(name: str, table: pd.DataFrame) -> dict[str, Any]:
    found = _numbers(table)
    unet = found[UNET, "dice"]
    return {
        "run": name,
        "name": "detection",
        "value": unet["value"],
        "low": unet["low"],
        "high": unet["high"],
        "rival": found[RIVAL, "dice"]["value"],
        "null": found.get((NULL, "dice"), {"value": float("nan")})["value"],
        "text": f"Dice of the tumours found, {table['of'].iloc[0]}",
    }


def _conclusion(name: str, table: pd.DataFrame) -> str:
    """One sentence that claims no more than the intervals hold."""
    found = _numbers(table)
    unet, rival = found[UNET, "dice"], found[RIVAL, "dice"]
    less = found[PAIRED, "dice"]
    side = "better than" if less["low"] > 0 else "worse than" if less["high"] < 0 else "not shown to differ from"
    return (
        f"{name}, {table['of'].iloc[0]} (n = {unet['patients']:.0f}): Dice {unet['value']:.2f} ({unet['low']:.2f} to "
        f"{unet['high']:.2f}); {side} the rival's {rival['value']:.2f} (paired difference {less['value']:.2f}, "
        f"{less['low']:.2f} to {less['high']:.2f}). {found[UNET, 'hit']['value']:.0%} of the tumours are touched, with "
        f"{found[UNET, 'false_positives']['value']:.1f} false pieces per scan."
    )


def comparison_table(*, several: bool = False) -> Table:
    """Shows SIDE_BY_SIDE: every measure for the U-Net, the rival, their difference and the null.

    Args:
        several: of more than one run, so that they must be told apart.
    """
    finders = tuple(
        Column(label=finder, value=finder, low=f"{finder}, low", high=f"{finder}, high", format=".2f")
        for finder in (UNET, RIVAL, PAIRED, NULL)
    )
    return Table(
        file=SIDE_BY_SIDE,
        caption="Means over patients with 95 % intervals over patients.",
        columns=(
            *([Column(label="Run", value="run")] if several else []),
            Column(label="Measure", value="what"),
            *finders,
            Column(label="Patients", value="patients", format="d"),
        ),
    )


def _page(names: Sequence[str], table: pd.DataFrame, cohort: Cohort, summary: dict[str, Any]) -> Page:
    facts = tuple(
        Fact(
            label=number["text"],
            value=f"{number['value']:.2f}",
            beside=(
                f"{number['low']:.2f} to {number['high']:.2f}; rival {number['rival']:.2f}, null {number['null']:.2f}"
            ),
        )
        for number in summary["headline"]
    )
    shown = tuple(
        Picture(
            file=f"{name}_found.png",
            caption=f"{name}: outlined in red, found in yellow; a row per patient.",
            alt="whole CT slices with outlines",
        )
        for name in names
    )
    section = Section(
        title="Finding the tumour",
        text=(
            "A U-Net looks at every whole slice that contains lung; the lungs are found without the outline. The rival "
            "takes the largest compact piece inside the lungs that is denser than -400 HU. The null gives each patient "
            "what the U-Net found in another. Only pieces at the lungs count. Intervals are over patients; the rival "
            "is compared patient by patient."
        ),
        blocks=(
            comparison_table(several=len(names) > 1),
            *shown,
        ),
    )
    return Page(
        title="Where is the tumour?",
        subtitle=f"tumor-unet on {table['of'].iloc[0]} of {cohort.path.name}",
        facts=facts,
        conclusions=tuple(summary["conclusions"]),
        sections=(section,),
        provenance=(("cohort", cohort.digest), ("radiogenesis", __version__)),
    )
