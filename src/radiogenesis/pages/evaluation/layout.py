"""How an evaluation is laid out on the page: sections, tables with their nulls, captions in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis.backends.opened import drawn_by
from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv
from radiogenesis.evaluation.all_measures import MEASURES
from radiogenesis.evaluation.comparison import Row
from radiogenesis.evaluation.gene_codes import CodeSpace
from radiogenesis.evaluation.measures.base import RUN
from radiogenesis.evaluation.measures.fidelity import keeps_background
from radiogenesis.evaluation.other_cohort import Placed
from radiogenesis.evaluation.results import RunResults
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.pages.evaluation import pictures
from radiogenesis.pages.evaluation.checklist_facts import evaluation_facts
from radiogenesis.pages.evaluation.comparison import (
    code_sections,
    comparison_section,
    method_facts,
)
from radiogenesis.pages.evaluation.headlines import headline_of, shown_by_method
from radiogenesis.pages.evaluation.li_sui import framework_sections
from radiogenesis.reporting.checklists import save_checklists
from radiogenesis.reporting.model import Column, Fact, Page, Picture, Section, Table
from radiogenesis.reporting.wording import coverage, join


def build_page(
    runs: Sequence[RunResults],
    rows: Sequence[Row],
    codes: CodeSpace | None,
    where: Placed,
    summary: dict[str, Any],
    settings: EvaluationSettings,
    folder: Path,
) -> Page:
    """Write the tables and lay out the page."""
    tables, cohort = folder / "tables", where.cohort
    sections = [_cohort_section(where.described, tables, folder / "pictures")]
    sections += comparison_section(runs, rows, cohort, settings, folder)
    sections += _drawn_sections(runs)
    for measure in MEASURES:
        if mine := measure.of(runs):
            sections += measure.sections(mine, tables, settings)
    sections += _retrieval_sections(runs, tables)
    sections += framework_sections(runs, tables)
    sections += code_sections(codes, cohort, settings, folder)
    sections += _training_sections(runs)  # loss curves come last: they say how it was made, not what is found
    sections.append(save_checklists(evaluation_facts(runs, rows, where, summary), tables))
    methods = ", ".join(sorted({one.subject.method_name for one in runs}))
    elsewhere = f", trained on {where.own.path.name}, on {where.described.path.name}:" if where.own else " on"
    planted = ", whose gene–image map was planted and is therefore known" if cohort.truth is not None else ""
    return Page(
        title="Which genes show in the scan?",
        subtitle=f"{methods}{elsewhere} {_counted(where.described)}{planted}.",
        facts=_facts(rows, summary, settings),
        conclusions=tuple(summary["conclusions"]),
        sections=tuple(sections),
        provenance=_provenance(runs, where, summary),
    )


def _counted(cohort: Cohort) -> str:
    with_lesions = int((cohort.patients["n_slices"] > 0).sum())
    return f"{with_lesions} patients with {len(cohort.slice_image):,} slices of their tumors"


def _facts(rows: Sequence[Row], summary: dict[str, Any], settings: EvaluationSettings) -> tuple[Fact, ...]:
    """The numbers that matter, run by run; of what draws method by method where one has several seeds."""
    numbers, by_method = summary["headline"], any(len(row.runs) > 1 for row in rows)
    if by_method:
        numbers = [number for number in numbers if not shown_by_method(headline_of(number))]
    facts = tuple(_fact(number, summary) for number in numbers)
    return (*method_facts(rows, settings), *facts) if by_method else facts


def _fact(number: dict[str, Any], summary: dict[str, Any]) -> Fact:
    several = len(summary["runs"]) > 1
    label = f"{number['run']}: {number['text']}" if several else f"{number['text'][0].upper()}{number['text'][1:]}"
    if not math.isfinite(number["value"]):
        return Fact(label=label, value="–", beside="Not measured: nothing that can be measured was drawn.")
    interval = f"{coverage(summary['settings']['confidence'])} interval"
    return headline_of(number).fact(label, number, interval)


def _save(table: pd.DataFrame, folder: Path, file: str) -> None:
    write_csv(table, folder / file)


def _cohort_section(cohort: Cohort, tables: Path, folder: Path) -> Section:
    patients, audit = cohort.patients, cohort.audit
    _save(patients.reset_index(), tables, "cohort_patients.csv")
    _save(audit, tables, "audit.csv")
    # Reasons often name files; what is shown is how many patients each reason concerns, the commonest first.
    counts = audit.fillna({"reason": ""}).groupby(["status", "reason"]).size().reset_index(name="patients")
    counts = counts.sort_values(["status", "patients"], ascending=[True, False]).head(20)
    _save(counts, tables, "audit_counts.csv")
    blocks: list[Table | Picture] = [pictures.cohort_picture(cohort, folder)]
    blocks.append(
        Table(
            file="audit_counts.csv",
            caption="Every patient in the scans or the tables, and why some were left out; by patient in "
            "tables/audit.csv.",
            columns=(
                Column(label="Status", value="status"),
                Column(label="Reason", value="reason"),
                Column(label="Patients", value="patients", format="d"),
            ),
        )
    )
    scanners = _scanners(patients)
    if len(scanners) > 1:
        _save(scanners, tables, "scanners.csv")
        blocks.append(
            Table(
                file="scanners.csv",
                caption="How the scans were made: where a batch effect may hide. The commonest first.",
                columns=(
                    Column(label="Kernel", value="kernel"),
                    Column(label="Manufacturer", value="manufacturer"),
                    Column(label="Slice thickness, mm", value="thickness"),
                    Column(label="Patients", value="patients", format="d"),
                ),
            )
        )
    genes = cohort.expression
    text = (
        f"{_counted(cohort)}, {len(cohort.background_image):,} backgrounds, {cohort.pixels} × {cohort.pixels} pixels "
        f"over {cohort.field_of_view_mm:g} mm; expression of {genes.n_vars:,} genes in {genes.n_obs} patients."
    )
    if cohort.truth is not None:
        effects = cohort.truth.gene_effects
        text += (
            f" Planted: {len(effects)} effects of genes on {effects['factor'].nunique()} lesion properties. What is "
            "drawn can be compared with what was planted, which real patients never allow."
        )
    return Section(title="The cohort", text=text, blocks=tuple(blocks))


def _scanners(patients: pd.DataFrame) -> pd.DataFrame:
    """Counts of kernels and manufacturers, with the range of slice thickness."""
    named = patients.assign(
        kernel=patients["kernel"].replace("", "not stated"),
        manufacturer=patients["manufacturer"].replace("", "not stated"),
    )
    grouped = named.groupby(["kernel", "manufacturer"])["slice_thickness_mm"]
    table = grouped.agg(["size", "min", "max"]).reset_index()
    span = [
        "not stated" if pd.isna(a) else (f"{a:g}" if a == b else f"{a:g} to {b:g}")
        for a, b in zip(table["min"], table["max"], strict=True)
    ]
    table = table.assign(thickness=span).rename(columns={"size": "patients"})
    return table[["kernel", "manufacturer", "thickness", "patients"]].sort_values("patients", ascending=False).head(12)


def _training_sections(runs: Sequence[RunResults]) -> list[Section]:
    blocks = [run.pictures["curves"] for run in runs if "curves" in run.pictures]
    if not blocks:
        return []
    lines: dict[str, list[str]] = {}
    for run in runs:
        split = run.subject.split
        counts = f"{len(split.train)} patients, {len(split.validation)} for validation, {len(split.test)} held out"
        if run.subject.images_seen:
            counts += f", {run.subject.images_seen:,} images seen"
        lines.setdefault(counts, []).append(run.subject.name)
    text = " ".join(f"{join(names)}: trained on {counts}." for counts, names in lines.items())
    same = len({run.subject.split for run in runs}) == 1
    text += " Patients are split, never slices" + (
        "; the split is the same for all runs." if same and len(runs) > 1 else "."
    )
    if not same:
        text += " The runs held out different patients, so their numbers are not of the same work."
    return [Section(title="Training", text=text, blocks=tuple(blocks))]


def _drawn_sections(runs: Sequence[RunResults]) -> list[Section]:
    drawing = [run for run in runs if run.scores]
    if not drawing:
        return []
    keeping = [run for run in drawing if keeps_background(run.subject.method)]  # the others have no weight map either
    grids = [run.pictures["figure 3"] for run in drawing] + [run.pictures["figure 2"] for run in keeping]
    return [
        Section(
            title="What it draws",
            text="Lesions drawn for patients who took no part in training, from their genes alone.",
            blocks=tuple(grids),
            notes=("A picture shows what is possible, not how often. The numbers follow.",),
        )
    ]


def _retrieval_sections(runs: Sequence[RunResults], tables: Path) -> list[Section]:
    aligned = [run for run in runs if run.retrieval is not None]
    if not aligned:
        return []
    table = pd.concat([run.retrieval.assign(run=run.subject.name) for run in aligned if run.retrieval is not None])
    _save(table, tables, "retrieval.csv")
    each = [
        run.retrieval_patients.assign(run=run.subject.name) for run in aligned if run.retrieval_patients is not None
    ]
    _save(pd.concat(each), tables, "retrieval_patients.csv")
    several = len(aligned) > 1
    blocks: list[Table | Picture] = [run.pictures["ranks"] for run in aligned]
    blocks.append(
        Table(
            file="retrieval.csv",
            caption=(
                "Among all held-out patients' genes, those of the right patient. By patient: the lesion's embedding "
                "averaged over the patient's slices; by slice: each slice alone, averaged over the patient. Null: "
                "genes exchanged between patients."
            ),
            columns=(
                *([RUN] if several else []),
                Column(label="By", value="level"),
                Column(label="Measure", value="measure"),
                Column(label="Found", value="value", low="low", high="high", format=".2f"),
                Column(label="Chance", value="chance", format=".2f"),
                Column(label="Null", value="null_mean", low="null_low", high="null_high", format=".2f"),
                Column(label="p", value="p", format="p"),
                Column(label="q", value="q", format="p"),
                Column(label="Patients", value="patients", format="d"),
                Column(label="Slices", value="slices", format="d"),
            ),
            strong=("measure", "mean rank"),
        )
    )
    return [
        Section(
            title="Whose genes belong to this lesion?",
            text=(
                "An alignment, contrastive or canonical, puts lesions and genes into one space. For each held-out "
                "patient the genes of all held-out patients are ordered by how near they lie to the lesion; the rank "
                "of the right ones is counted."
            ),
            blocks=tuple(blocks),
        )
    ]


def _provenance(runs: Sequence[RunResults], where: Placed, summary: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    cohort, own = where.described, where.own
    lines = [
        ("cohort", f"{cohort.path.name}, sha256 {cohort.digest}"),
        *([("cohort trained on", f"{own.path.name}, sha256 {own.digest}")] if own else []),
        ("cohort made", ", ".join(f"{k} {v}" for k, v in cohort.provenance.items() if isinstance(v, str))),
        ("evaluation settings", ", ".join(f"{k} {v}" for k, v in summary["settings"].items())),
        ("versions", ", ".join(f"{k} {v}" for k, v in summary["versions"].items())),
    ]
    for run in runs:
        recorded = ", ".join(f"{k} {v}" for k, v in run.subject.provenance.items() if isinstance(v, str | int | float))
        lines.append((f"run {run.subject.name}", f"{run.subject.method_name}, {recorded}"))
        if run.drawn is not None:
            lines.append((f"{run.subject.name} drawn by", drawn_by(run.subject.method).words))
        settings = run.subject.config.get("settings") or {}
        if settings:
            lines.append((f"settings of {run.subject.name}", ", ".join(f"{k} {v}" for k, v in settings.items())))
    return tuple(lines)
