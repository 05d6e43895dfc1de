"""The sections that compare methods: the one table, realism, diversity, memorisation, usefulness, code space."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import pandas as pd

from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.comparison import MEASURES, Row, differences, leaders, tidy, wide
from radiogenesis.evaluation.descriptions.interiors import FEWEST as FEWEST_INSIDE
from radiogenesis.evaluation.gene_codes import CodeSpace
from radiogenesis.evaluation.measures.memorisation import SHARES
from radiogenesis.evaluation.results import Found
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.pages.evaluation import pictures
from radiogenesis.pages.wording import coverage
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
    ("Fidelity near the lesion, and realism", ("psnr_band", "psnr_near", "kid", "kid_times", "frechet", "empty")),
    (
        "Control, diversity, memorisation, usefulness",
        ("control", "share", "diversity", "copies", "usefulness"),
    ),
)
HEADLINE = ("control", "kid", "psnr_outside")
"""Of each method on the page's top, where methods have several seeds."""
BESIDE = {
    "control": "Ridge regression from the same genes {reference}, other patients' genes {null}.",
    "kid": "Real lesions of training patients on the same backgrounds {reference}, shuffled pixels {null}.",
    "psnr_outside": "Another background {null}. High through a narrow seam, whatever is drawn.",
}
"""What these are read beside, in words."""


def method_facts(rows: Sequence[Row], settings: EvaluationSettings) -> tuple[Fact, ...]:
    """The page's first numbers where methods have several seeds: of each method, not of each run."""
    facts = []
    lines = {(line["method"], line["measure"]): line for line in tidy(rows, settings).to_dict("records")}
    for method, name in product([row.label for row in rows], HEADLINE):
        if (method, name) not in lines:
            continue
        line, measure = lines[method, name], MEASURES[name]
        value, low, high, least, most, reference, null = (
            shown(line[name], measure.format)
            for name in ("value", "low", "high", "runs_low", "runs_high", "reference", "null")
        )
        facts.append(
            Fact(
                label=f"{line['method']}: {measure.label}",
                value=value,
                beside=(
                    f"{coverage(settings.confidence)} interval {low} to {high}"
                    + (f"; {line['runs']} runs, {least} to {most}." if line["runs"] > 1 else ".")
                    + " "
                    + BESIDE[name].format(reference=reference, null=null)
                ),
                share=line["value"] / line["reference"] if name == "control" else None,
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
                    "rows are what a column is read beside: a reference, which the column's heading explains, and what "
                    "comes out of nothing. Which differences between methods are decided stands below."
                ),
                columns=tuple(columns),
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
        if len(rows) > 2:
            blocks.append(_leader_table(rows, settings, folder))
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


def _leader_table(rows: Sequence[Row], settings: EvaluationSettings, folder: Path) -> Table:
    """Who is ahead of all others."""
    best = leaders(rows, settings)
    best.assign(measure=[MEASURES[name].label for name in best["measure"]]).to_csv(
        folder / "tables" / "comparison_leaders.csv", index=False
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
        Column(
            label="Times the same backgrounds",
            value="times",
            low="times_low",
            high="times_high",
            format=".1f",
            help="drawn over real lesions of training patients on the same backgrounds",
        ),
        Column(
            label="Minus the same backgrounds",
            value="more",
            low="more_low",
            high="more_high",
            format=".3f",
            help="drawn minus real lesions of training patients on the same backgrounds, paired by patient",
        ),
        *((Column(label="Of which bias", value="bias", format=".3f"),) if settings["inception_weights"] else ()),
        PATIENTS,
        IMAGES,
    )
    inception = (
        " inception fid: Frechet distance of Inception features of whole slices, sets cut to one size; of so few "
        "images it is biased upwards, by about as much as stands beside it (what halving the images adds), so read it "
        "beside the real lesions only."
    )
    return Section(
        title="Do drawn lesions look real?",
        text=(
            "Drawn lesions against real lesions of held-out patients. What counts is not the number but where it lies "
            "among others: real lesions of training patients pasted onto the same backgrounds, which is what a perfect "
            "method would reach; the same on their own backgrounds, which no drawing can reach, since what surrounds a "
            "lesion counts too; and real lesions with their pixels shuffled (the null)."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    "kid: unbiased squared maximum mean discrepancy under the polynomial kernel, on a fixed network "
                    "with random weights that no method was trained with; around 0 for alike sets, negative by chance. "
                    f"frechet: distance on {settings['frechet_axes']} principal axes of the radiomic features (IBSI), "
                    "the bootstrap's estimate of its bias in small samples taken off. "
                    "On the same backgrounds, lesions are pasted only where they do not reach the chest wall, so that "
                    "smaller slices are among them more often; the frechet distance, which measures size and shape, is "
                    "larger for it. "
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
        Column(label="Lesions", value="of"),
        Column(label="Like a training lesion", value="training", format=".2f", help="correlation of the insides with "
               "those of the training lesion most like it; mean"),
        Column(label="Like one never seen", value="unseen", format=".2f", help="the same with lesions of other "
               "held-out patients"),
        Column(label="Near copies", value="near", low="low", high="high", format="%"),
        Column(label="p", value="p", format="p", help="more near copies than real lesions never trained on have"),
        *(
            Column(label=f"Seen, were {100 * share:.0f} % copies", value=f"seen_{100 * share:.0f}", format="%",
                   help="how often, in resamples of patients, the test would see it")
            for share in SHARES
        ),
        Column(label="False alarms", value="false_alarms", format="%", help="how often the test finds copies among "
               "real lesions never trained on"),
        PATIENTS,
        IMAGES,
    )  # fmt: skip
    return Section(
        title="Are they copies?",
        text=(
            "The inside of each drawn lesion is compared, pixel by pixel and in all eight turns, with that of every "
            "real lesion of other patients: is it nearer to one of training than lesions are that nobody was trained "
            "on? Two controls are measured beside: copies, for which training lesions were pasted onto the same "
            "backgrounds; and real lesions of held-out patients, pasted likewise."
        ),
        blocks=(
            Table(
                file=file,
                caption=(
                    "Near copies: how much more alike a lesion is to the nearest training lesion than to the nearest "
                    "one never trained on exceeds what 99 of 100 real lesions never trained on reach. p: more near "
                    "copies among a patient's drawings than among the patient's own slices. Seen: had so many of the "
                    "drawings been copies, how often the test would have seen it; a test that sees little says little "
                    "by its silence. A copy here is a lesion with the same pixels, turned, moved, somewhat blurred or "
                    f"enlarged. {coverage(settings['confidence'])} intervals over patients. Lesions with fewer than "
                    f"{FEWEST_INSIDE} pixels inside are left out."
                ),
                columns=columns,
                strong=("of", "drawn"),
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
