"""The sections that compare methods: the one table, realism, diversity, memorisation, usefulness, code space."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation import pictures
from radiogenesis.evaluation.comparison import MEASURES, Row, differences, tidy, wide
from radiogenesis.evaluation.gene_codes import CodeSpace
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.evaluation.subject import Found
from radiogenesis.evaluation.wording import coverage
from radiogenesis.reporting.model import Column, Fact, Picture, Section, Table
from radiogenesis.reporting.page import shown

RUN = Column(label="Run", value="run")
PATIENTS = Column(label="Patients", value="patients", format="d")
IMAGES = Column(label="Images", value="images", format="d")
FEWEST = Column(
    label="Images, fewest", value="images", format="d", help="drawings behind the number of the row that has fewest"
)
SEEN = Column(label="Images seen", value="images_seen", format="d", help="in training: steps times batch")
SHOWN = (
    ("Fidelity", ("mse", "ssim", "psnr", "psnr_outside")),
    ("Fidelity near the lesion, and realism", ("psnr_band", "psnr_near", "kid", "frechet", "empty")),
    (
        "Control, diversity, memorisation, usefulness",
        ("control", "share", "diversity", "memorisation", "preference", "usefulness"),
    ),
)
HEADLINE = ("control", "kid", "psnr_outside")
"""Of each method on the page's top, where methods have several seeds."""


def method_facts(rows: Sequence[Row], settings: EvaluationSettings) -> tuple[Fact, ...]:
    """The page's first numbers where methods have several seeds: of each method, not of each run."""
    facts = []
    lines = {(line["method"], line["measure"]): line for line in tidy(rows, settings).to_dict("records")}
    for method, name in product([row.label for row in rows], HEADLINE):
        if (method, name) not in lines:
            continue
        line, measure = lines[method, name], MEASURES[name]
        value, low, high, least, most, ceiling, null = (
            shown(line[name], measure.format)
            for name in ("value", "low", "high", "runs_low", "runs_high", "ceiling", "null")
        )
        facts.append(
            Fact(
                label=f"{line['method']}: {measure.label}",
                value=value,
                beside=(
                    f"{coverage(settings.confidence)} interval {low} to {high}"
                    + (f"; {line['runs']} runs, {least} to {most}." if line["runs"] > 1 else ".")
                    + (f" Ceiling {ceiling}, null {null}." if ceiling != "–" else f" Null {null}.")
                ),
                share=line["value"] / line["ceiling"] if name == "control" else None,
            )
        )
    return tuple(facts)


def comparison_section(
    found: Sequence[Found], rows: Sequence[Row], cohort: Cohort, settings: EvaluationSettings, folder: Path
) -> list[Section]:
    """One row per method; nothing where only one run draws."""
    if not rows:
        return []
    lines = tidy(rows, settings)
    lines.to_csv(folder / "tables" / "comparison_tidy.csv", index=False)
    table = wide(lines)
    table.to_csv(folder / "tables" / "comparison.csv", index=False)
    if sum(len(row.runs) for row in rows) < 2:
        return []
    of = coverage(settings.confidence)
    blocks: list[Table | Picture] = []
    for title, measures in SHOWN:
        known = [name for name in measures if name in table]
        columns = [Column(label="Method", value="method"), Column(label="Runs", value="runs", format="d"), SEEN]
        columns += [
            Column(
                label=f"{MEASURES[name].label} {_arrow(MEASURES[name].better)}".strip(),
                value=name,
                low=f"{name}_low",
                high=f"{name}_high",
                format=MEASURES[name].format,
                help=MEASURES[name].help,
            )
            for name in known
        ]
        columns += [PATIENTS, FEWEST]
        blocks.append(
            Table(
                file="comparison.csv",
                caption=(
                    f"{title}. ↑ more is better, ↓ less is better. Brackets: {of} intervals over patients. The last "
                    "rows are what a column is read beside: the best that could be expected, and what comes out of "
                    "nothing."
                ),
                columns=tuple(columns),
                strong=("method", rows[0].label),
            )
        )
    if len(rows) > 1:
        apart = differences(rows, settings)
        apart.assign(measure=[MEASURES[name].label for name in apart["measure"]]).to_csv(
            folder / "tables" / "comparison_differences.csv", index=False
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
    several = lines[lines["runs"] > 1]
    if len(several):
        several.assign(measure=[MEASURES[name].label for name in several["measure"]]).to_csv(
            folder / "tables" / "comparison_seeds.csv", index=False
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
    first = dict(zip([row.label for row in rows], first_runs(found, rows), strict=True))
    if len(first) > 1 and len({one.subject.split for one in first.values()}) == 1:
        blocks.insert(0, pictures.figure_3_methods(first, cohort, folder / "pictures"))
    same = len({one.subject.split for one in found if one.scores}) == 1
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


def first_runs(found: Sequence[Found], rows: Sequence[Row]) -> list[Found]:
    """One run of each row, the first."""
    by_name = {one.subject.name: one for one in found}
    return [by_name[row.runs[0]] for row in rows]


def _arrow(better: str) -> str:
    return {"higher": "↑", "lower": "↓"}.get(better, "")


def drawing_sections(found: Sequence[Found], tables: Path, summary: dict[str, Any]) -> list[Section]:
    """Realism, diversity, memorisation and usefulness, run by run."""
    settings = summary["settings"]
    sections = []
    if realism := _joined(found, "realism", tables):
        sections.append(_realism_section(realism, settings))
    if diversity := _joined(found, "diversity", tables):
        sections.append(_diversity_section(diversity, settings))
    _joined(found, "memorisation_patients", tables)
    if memorisation := _joined(found, "memorisation", tables):
        sections.append(_memorisation_section(memorisation, settings))
    _joined(found, "usefulness_patients", tables)
    if usefulness := _joined(found, "usefulness", tables):
        sections.append(_usefulness_section(usefulness, settings))
    return sections


def _joined(found: Sequence[Found], name: str, tables: Path) -> str:
    """Write what all runs have of a table; the file's name, or "" where none has any."""
    parts = [getattr(one, name).assign(run=one.subject.name) for one in found if getattr(one, name) is not None]
    if not parts:
        return ""
    pd.concat(parts).to_csv(tables / f"{name}.csv", index=False)
    return f"{name}.csv"


def _realism_section(file: str, settings: dict[str, Any]) -> Section:
    columns = (
        RUN,
        Column(label="Distance", value="distance"),
        Column(label="Of", value="of"),
        Column(label="To held-out real lesions", value="value", low="low", high="high", format=".3f"),
        *((Column(label="Of which bias", value="bias", format=".3f"),) if settings["inception_weights"] else ()),
        PATIENTS,
        IMAGES,
    )
    inception = (
        " inception fid: Frechet distance of Inception features of whole slices, sets cut to one size; of so few "
        "images it is biased upwards, by about as much as stands beside it (what halving the images adds), so read it "
        "beside the ceiling only."
    )
    return Section(
        title="Do drawn lesions look real?",
        text=(
            "Drawn lesions against real lesions of held-out patients. What counts is not the number but where it lies "
            "between two others: real lesions of other patients (the ceiling), and real lesions with their pixels "
            "shuffled (the null)."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    "kid: unbiased squared maximum mean discrepancy under the polynomial kernel, on a fixed network "
                    "with random weights that no method was trained with; around 0 for alike sets, negative by chance. "
                    f"frechet: distance on {settings['frechet_axes']} principal axes of the radiomic features (IBSI), "
                    "the bootstrap's estimate of its bias in small samples taken off. "
                    f"{coverage(settings['confidence'])} intervals over patients."
                    + (inception if settings["inception_weights"] else "")
                ),
                columns=columns,
                strong=("of", "drawn"),
            ),
        ),
    )


def _diversity_section(file: str, settings: dict[str, Any]) -> Section:
    columns = (
        RUN,
        Column(label="What differs", value="differs"),
        Column(label="Spread of", value="measure"),
        Column(label="Drawn", value="drawn", low="low", high="high", format=".2f"),
        Column(label="Real", value="real", low="real_low", high="real_high", format=".2f"),
        Column(label="Drawn / real", value="ratio", low="ratio_low", high="ratio_high", format="%"),
        PATIENTS,
    )
    return Section(
        title="Do the drawings differ?",
        text=(
            "How far apart lesions drawn for one patient are, beside the patient's own slices; and how far apart "
            "patients "
            "are. Near 0 % the generator has collapsed to one lesion."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    "distance: mean between two lesions in the space that KID is taken in; the others: standard "
                    "deviation. "
                    f"Noise alone: {settings['noise_draws']} drawings on one background. Between patients: of drawings "
                    "on one background with one noise, beside all real slices, which differ by more than the patient: "
                    "somewhat below 100 % is as it should be. "
                    f"{coverage(settings['confidence'])} intervals over patients."
                ),
                columns=columns,
                strong=("measure", "distance"),
            ),
        ),
    )


def _memorisation_section(file: str, settings: dict[str, Any]) -> Section:
    columns = (
        RUN,
        Column(label="Distance, drawn", value="drawn", format=".2f"),
        Column(label="Distance, real", value="real", format=".2f"),
        Column(label="Drawn / real", value="ratio", low="ratio_low", high="ratio_high", format=".2f"),
        Column(label="p", value="p_distance", format="p", help="drawn nearer; Wilcoxon over patients"),
        Column(label="Prefers training", value="preference", format="%"),
        Column(label="Chance", value="expected", low="null_low", high="null_high", format="%"),
        Column(label="p", value="p_preference", format="p", help="who is called a training patient, permuted"),
        PATIENTS,
        IMAGES,
    )
    return Section(
        title="Are they copies?",
        text=(
            "The distance of each drawn lesion to its nearest training lesion, beside that of real lesions of held-out "
            "patients; and whether the nearest real lesion of all belongs to a training patient more often than chance."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    "A generator of bland, average lesions lies near to everybody's and shows in the first test "
                    "only; one that "
                    "copies shows in both. A patient's own lesions are left out. Chance: with its "
                    f"{coverage(settings['confidence'])} range."
                ),
                columns=columns,
            ),
        ),
    )


def _usefulness_section(file: str, settings: dict[str, Any]) -> Section:
    columns = (
        RUN,
        Column(label="Dice without", value="without", format=".3f"),
        Column(label="Dice with", value="with", format=".3f"),
        Column(label="Difference", value="difference", low="low", high="high", format=".3f"),
        Column(label="Pairs of networks, least", value="least", format=".3f"),
        Column(label="most", value="most", format=".3f"),
        Column(label="p", value="p", format="p", help="one-sided Wilcoxon over patients, given these networks"),
        Column(label="Steps", value="steps", format="d"),
        Column(label="Networks", value="networks", format="d"),
        Column(label="Drawings", value="drawings", format="d"),
        PATIENTS,
        Column(label="Slices", value="images", format="d"),
    )
    return Section(
        title="Are they of use?",
        text=(
            "A small segmentation network is trained on the training patients' slices, and once more with "
            "lesions added that "
            "were drawn from the same patients' genes; the same steps, the same first weights. Dice on held-out "
            "patients."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    f"Means over patients, {coverage(settings['confidence'])} intervals over patients and networks."
                ),
                columns=columns,
            ),
        ),
    )


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
        table.to_csv(tables / f"{name}.csv", index=False)
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
            "own lesions. Null: patients permuted. On training patients it may be learned by heart; only held-out "
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
            title="What does the code know?",
            text=(
                "Raw genes and the codes that the methods make of them, in two dimensions, and whether what is "
                "seen is there."
            ),
            blocks=(*pictures.figure_4(codes, cohort, folder / "pictures"), clusters, mantel),
        )
    ]
