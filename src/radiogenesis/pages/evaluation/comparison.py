"""The sections that compare methods: the one table, its differences and leaders, and the space of gene codes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path

from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv
from radiogenesis.evaluation.all_measures import NUMBERS
from radiogenesis.evaluation.comparison import Row, differences, leaders, tidy, wide
from radiogenesis.evaluation.gene_codes import CodeSpace
from radiogenesis.evaluation.measures.base import FIDELITY, PATIENTS, REALISM, REST
from radiogenesis.evaluation.results import RunResults
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.pages.evaluation import pictures
from radiogenesis.reporting.model import Column, Fact, Picture, Section, Table
from radiogenesis.reporting.page import shown
from radiogenesis.reporting.wording import coverage

FEWEST = Column(
    label="Images, fewest", value="images", format="d", help="drawings behind the number of the row that has fewest"
)
SEEN = Column(label="Images seen", value="images_seen", format="d", help="in training: steps times batch")
TABLES = tuple(dict.fromkeys([FIDELITY, REALISM, REST, *(number.table for number in NUMBERS.values())]))


def method_facts(rows: Sequence[Row], settings: EvaluationSettings) -> tuple[Fact, ...]:
    """The page's first numbers where methods have several seeds: of each method, not of each run."""
    facts = []
    headline = [name for name, number in NUMBERS.items() if number.beside]
    lines = {(line["method"], line["measure"]): line for line in tidy(rows, settings).to_dict("records")}
    for method, name in product([row.label for row in rows], headline):
        if (method, name) not in lines:
            continue
        line, number = lines[method, name], NUMBERS[name]
        value, low, high, least, most, reference, null = (
            shown(line[part], number.format)
            for part in ("value", "low", "high", "runs_low", "runs_high", "reference", "null")
        )
        facts.append(
            Fact(
                label=f"{line['method']}: {number.label}",
                value=value,
                beside=(
                    f"{coverage(settings.confidence)} interval {low} to {high}"
                    + (f"; {line['runs']} runs, {least} to {most}." if line["runs"] > 1 else ".")
                    + " "
                    + number.beside.format(reference=reference, null=null)
                ),
                share=line["value"] / line["reference"] if number.of_reference else None,
            )
        )
    return tuple(facts)


def comparison_section(
    runs: Sequence[RunResults], rows: Sequence[Row], cohort: Cohort, settings: EvaluationSettings, folder: Path
) -> list[Section]:
    """One row per method; nothing where only one run draws."""
    if not rows:
        return []
    lines = tidy(rows, settings)
    write_csv(lines, folder / "tables" / "comparison_tidy.csv")
    table = wide(lines)
    write_csv(table, folder / "tables" / "comparison.csv")
    if sum(len(row.runs) for row in rows) < 2:
        return []
    of = coverage(settings.confidence)
    blocks: list[Table | Picture] = []
    for title in TABLES:
        known = [name for name, number in NUMBERS.items() if number.table == title and name in table]
        columns = [Column(label="Method", value="method"), Column(label="Runs", value="runs", format="d"), SEEN]
        columns += [
            Column(
                label=f"{NUMBERS[name].label} {_arrow(NUMBERS[name].better)}".strip(),
                value=name,
                low=f"{name}_low",
                high=f"{name}_high",
                format=NUMBERS[name].format,
                help=NUMBERS[name].help,
            )
            for name in known
        ]
        columns += [PATIENTS, FEWEST]
        blocks.append(
            Table(
                file="comparison.csv",
                caption=(
                    f"{title}. ↑ more is better, ↓ less is better. Brackets: {of} intervals over patients. The last "
                    "rows are what a column is read beside: a reference, which the column's heading explains, and what "
                    "comes out of nothing. The next table shows which differences between methods are decided."
                ),
                columns=tuple(columns),
            )
        )
    if len(rows) > 1:
        apart = differences(rows, settings)
        write_csv(
            apart.assign(measure=[NUMBERS[name].label for name in apart["measure"]]),
            folder / "tables" / "comparison_differences.csv",
        )
        blocks.append(
            Table(
                file="comparison_differences.csv",
                caption=(
                    f"Each method minus {rows[0].label}, paired by patient: the same resample of patients for "
                    "both. Decided "
                    f"where the {of} interval leaves out 0; not corrected for the number of measures."
                ),
                columns=(
                    Column(label="Method", value="method"),
                    Column(label="Measure", value="measure"),
                    Column(label="Difference", value="difference", low="low", high="high", format=".3f"),
                    Column(label="The method is", value="verdict"),
                ),
            )
        )
        if len(rows) > 2:
            blocks.append(_leader_table(rows, settings, folder))
    several = lines[lines["runs"] > 1]
    if len(several):
        write_csv(
            several.assign(measure=[NUMBERS[name].label for name in several["measure"]]),
            folder / "tables" / "comparison_seeds.csv",
        )
        blocks.append(
            Table(
                file="comparison_seeds.csv",
                caption=(
                    "Spread over seeds: mean over the runs with its interval over patients, and the range over runs."
                ),
                columns=(
                    Column(label="Method", value="method"),
                    Column(label="Measure", value="measure"),
                    Column(label="Mean", value="value", low="low", high="high", format=".3f"),
                    Column(label="Lowest run", value="runs_low", format=".3f"),
                    Column(label="Highest run", value="runs_high", format=".3f"),
                    Column(label="Runs", value="runs", format="d"),
                ),
            )
        )
    first = dict(zip([row.label for row in rows], first_runs(runs, rows), strict=True))
    if len(first) > 1 and len({run.subject.split for run in first.values()}) == 1:
        blocks.insert(0, pictures.figure_3_methods(first, cohort, folder / "pictures"))
    same = len({run.subject.split for run in runs if run.scores}) == 1
    return [
        Section(
            title="The methods side by side",
            text=(
                "Every method draws the same held-out patients on the same backgrounds, and is measured by the "
                "same means."
                if same
                else "The runs held out different patients: their numbers are not of the same work."
            ),
            blocks=tuple(blocks),
            notes=("Runs that differ in nothing but their seed share a row: the mean over seeds.",),
        )
    ]


def _leader_table(rows: Sequence[Row], settings: EvaluationSettings, folder: Path) -> Table:
    """Who is ahead of all others."""
    best = leaders(rows, settings)
    write_csv(
        best.assign(measure=[NUMBERS[name].label for name in best["measure"]]),
        folder / "tables" / "comparison_leaders.csv",
    )
    return Table(
        file="comparison_leaders.csv",
        caption=(
            "Who is ahead of all others. Nearest: the other method that is least decided against the best, with the "
            f"paired difference, best minus nearest. Not decided where its {coverage(settings.confidence)} interval "
            "holds 0."
        ),
        columns=(
            Column(label="Measure", value="measure"),
            Column(label="Best value", value="best"),
            Column(label="Nearest", value="nearest"),
            Column(label="Difference", value="difference", low="low", high="high", format=".3f"),
            Column(label="The best is", value="verdict"),
            Column(label="Not decided against", value="within_reach"),
        ),
    )


def first_runs(runs: Sequence[RunResults], rows: Sequence[Row]) -> list[RunResults]:
    """One run of each row, the first."""
    by_name = {run.subject.name: run for run in runs}
    return [by_name[row.runs[0]] for row in rows]


def _arrow(better: str) -> str:
    return {"higher": "↑", "lower": "↓"}.get(better, "")


def code_sections(codes: CodeSpace | None, cohort: Cohort, settings: EvaluationSettings, folder: Path) -> list[Section]:
    """Figure 4 and its tests."""
    if codes is None:
        return []
    tables = folder / "tables"
    for name, table in (
        ("code_clusters", codes.clusters),
        ("code_mantel", codes.mantel),
        ("code_places", codes.places),
    ):
        write_csv(table, tables / f"{name}.csv")
    where = (Column(label="Space", value="space"), Column(label="Patients of", value="part"))
    clusters = Table(
        file="code_clusters.csv",
        caption=(
            "Silhouette of k-means clusters of each space itself, beside two nulls: every gene shuffled between "
            "patients, and Gaussian codes of the same mean and covariance, since a gradient that many genes share "
            "stands out from shuffled genes as groups do. p: the larger of the two. Last, silhouette of the clusters "
            f"of {codes.reference} seen in each space. 1 is far apart, 0 none."
        ),
        columns=(
            *where,
            Column(label="Silhouette", value="silhouette", format=".2f"),
            Column(label="Shuffled genes", value="null_mean", low="null_low", high="null_high", format=".2f"),
            Column(label="Gaussian", value="gaussian_mean", low="gaussian_low", high="gaussian_high", format=".2f"),
            Column(label="p", value="p", format="p"),
            Column(label="q", value="q", format="p"),
            Column(label=f"Of {codes.reference}'s clusters", value="of_reference", format=".2f"),
            PATIENTS,
        ),
    )
    mantel = Table(
        file="code_mantel.csv",
        caption=(
            "Mantel test: Spearman's ρ between distance in code and distance in the radiomic features of the patients' "
            "own lesions. Null: patients permuted. On training patients it may be overfitted; only held-out "
            "patients say something."
        ),
        columns=(
            *where,
            Column(label="ρ", value="rho", low="low", high="high", format=".2f"),
            Column(label=f"Null, {coverage(settings.confidence)} from", value="null_low", format=".2f"),
            Column(label="to", value="null_high", format=".2f"),
            Column(label="p", value="p", format="p"),
            Column(label="q", value="q", format="p"),
            PATIENTS,
        ),
    )
    return [
        Section(
            title="Do patients with similar genes have similar tumors?",
            text=(
                "Raw genes and the codes that the methods make of them, in two dimensions, and whether what is "
                "seen is there."
            ),
            blocks=(*pictures.figure_4(codes, cohort, folder / "pictures"), clusters, mantel),
        )
    ]
