"""Known answers: how many of the planted gene-feature links does the conventional map recover?

    python benchmarks/map_power.py curve OUT [--cohorts 5]    over effect strengths and cohort sizes, without images
    python benchmarks/map_power.py full COHORT                one phantom with its images: `radiogenesis cohort phantom`

What counts as a link, for each of the six planted properties (see mapping/synthesis/planted_links.py):

    metagene   metagenes of which more than half of the genes belong to the module that drives the property
    module     genes of the module that drives it: they all go with the property; decoys among them drive nothing
    effect     genes with an effect of their own: decoys count as wrong, which no correlation can know

Average precision is the area under precision and recall of all pairs ranked by |z|. Power is the share of planted links
below q = 0.05, `false` the share of those below it that are none (a metagene that holds a single gene of the driving
module goes with the property and is not counted as false). `curve` writes a page as the verbs do (50 metagenes):
tables/power.csv, tables/power_mean.csv, pictures/power_*.png, page.json and report.html.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.writer import versions
from radiogenesis.mapping.conventional.three_step import conventional_map, inputs_of
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.mapping.synthesis.planted_links import average_precision, planted_links, planted_metagenes
from radiogenesis.output import refuse_existing, whole_folder
from radiogenesis.pages.mapping.conventional import known_answers
from radiogenesis.phantom.factors import FACTORS
from radiogenesis.reporting.figures import FONT, Theme, save_both, style_axes
from radiogenesis.reporting.model import Column, Page, Picture, Section, Table
from radiogenesis.reporting.page import write_report
from radiogenesis.stats.association import associate
from radiogenesis.stats.metagenes import Metagenes
from simulated import planted_cohort

PATIENTS = (20, 30, 50, 80, 130, 200, 400)
STRENGTHS = (0.05, 0.1, 0.2, 0.4, 0.9)


def one(patients: int, strength: float, genes: int, seed: int) -> dict[str, float]:
    """Average precision, power and false discoveries of one cohort."""
    cohort = planted_cohort(patients, genes, strength, seed=seed)
    by_gene = associate(cohort.genes, cohort.features, cohort.names, FACTORS)
    metagenes = Metagenes.fit(cohort.genes, cohort.names, clusters=50, seed=seed)
    grouped = associate(metagenes.transform(cohort.genes), cohort.features, metagenes.ids, FACTORS)
    linked = {
        "metagene": (grouped, planted_metagenes(cohort.truth, metagenes, FACTORS)),
        "module": (by_gene, planted_links(cohort.truth, cohort.names, FACTORS, "module")),
        "effect": (by_gene, planted_links(cohort.truth, cohort.names, FACTORS, "effect")),
    }
    row: dict[str, float] = {"patients": patients, "strength": strength, "seed": seed}
    for name, (found, links) in linked.items():
        hit = found.q < 0.05
        if name == "metagene":  # as in the map: clustered noise is never reported
            hit &= metagenes.coherent(cohort.genes, seed=seed)[:, None]
        row[f"ap_{name}"] = average_precision(found.z, links)
        row[f"power_{name}"] = float(hit[links].mean()) if links.any() else np.nan
        if name == "metagene":  # false: without a single gene of the driving module; the mixed ones do go with it
            module = planted_links(cohort.truth, cohort.names, FACTORS, "module")
            links = (np.abs(metagenes.weights).T @ module) > 0
        row[f"false_{name}"] = float((hit & ~links).sum() / max(1, hit.sum()))
        row[f"chance_{name}"] = float(links.mean())
    # A factor is recovered if the metagene that goes with it most is one of its module's.
    top = np.abs(grouped.z).argmax(axis=0)
    row["factors"] = float(np.mean([linked["metagene"][1][k, f] for f, k in enumerate(top)]))
    return row


def curve(out: Path, cohorts: int, genes: int) -> None:
    """All sizes and strengths: a table on the screen, and the page in OUT."""
    refuse_existing(out)
    rows = [one(n, s, genes, seed) for s in STRENGTHS for n in PATIENTS for seed in range(cohorts)]
    table = pd.DataFrame(rows)
    mean = table.groupby(["strength", "patients"]).mean(numeric_only=True)
    shown = ["ap_metagene", "ap_module", "ap_effect", "power_metagene", "power_module", "false_metagene",
             "false_module", "factors"]  # fmt: skip
    with pd.option_context("display.width", 160, "display.max_columns", 20, "display.max_rows", 99):
        print(f"{genes} genes, 50 metagenes, {cohorts} cohorts each")
        print(mean[shown].round(3))
    with whole_folder(out) as partial:
        for folder in ("tables", "pictures"):
            (partial / folder).mkdir()
        page_of(table, mean.reset_index(), genes, cohorts, partial).save(partial)
        write_report(partial)
    print(f"{out / 'report.html'}: written")


def page_of(table: pd.DataFrame, mean: pd.DataFrame, genes: int, cohorts: int, folder: Path) -> Page:
    """Draw both curves, write the tables, and lay out the page."""
    table.to_csv(folder / "tables" / "power.csv", index=False)
    mean.to_csv(folder / "tables" / "power_mean.csv", index=False)
    pictures = []
    for question, what in (("metagene", "metagenes of the driving module"), ("module", "genes of the driving module")):
        grouped = table.groupby(["strength", "patients"])[f"ap_{question}"]
        summary = grouped.agg(["mean", "min", "max"]).reset_index().rename(columns={"min": "low", "max": "high"})
        summary["chance"] = table[f"chance_{question}"].mean()
        light, dark = save_both(
            lambda theme, summary=summary: power_curve(summary, theme), folder / "pictures", f"power_{question}"
        )
        caption = (
            f"Average precision of {what}, over the share of a property's variance that genes explain. Bands: the "
        )
        pictures.append(
            Picture(
                file=light, dark=dark, width=820, alt=f"Average precision against patients, {what}",
                caption=caption + "least and the most of the cohorts.",
            )
        )  # fmt: skip
    labels = {
        "ap_metagene": "Precision, metagenes",
        "ap_module": "Precision, genes",
        "power_metagene": "Power, metagenes",
        "power_module": "Power, genes",
        "false_metagene": "False, metagenes",
        "false_module": "False, genes",
        "factors": "Properties recovered",
    }
    columns = tuple(Column(label=label, value=name, format=".2f") for name, label in labels.items())
    shown = Table(
        file="power_mean.csv",
        caption="Means over the cohorts. Power: planted links below q = 0.05; false: those below it that are none.",
        columns=(
            Column(label="Variance explained", value="strength", format="%"),
            Column(label="Patients", value="patients", format="d"), *columns,
        ),
    )  # fmt: skip
    enough = mean[(mean["strength"] == 0.2) & (mean["ap_metagene"] >= 0.8)]["patients"]
    said = f"{enough.min()} patients are enough" if len(enough) else "no number of patients tried is enough"
    return Page(
        title="How many patients does a map need?",
        subtitle=f"The conventional map of simulated cohorts whose links are known: {genes:,} genes, 50 metagenes.",
        conclusions=(
            f"Where genes explain a fifth of a property, {said} for an average precision of 0.8 (metagenes).",
        ),
        sections=(
            Section(
                title="Known answers, over effect strengths and cohort sizes",
                text=f"{cohorts} cohorts at each point; features as a measurement of lesions would give them.",
                blocks=(*pictures, shown),
            ),
        ),
        provenance=(("Cohorts", f"{cohorts} at each point, seeds 0 to {cohorts - 1}"), *versions().items()),
    )


def full(path: Path) -> None:
    """The whole map of one phantom with images."""
    cohort = Cohort.open(path)
    if cohort.truth is None:
        raise SystemExit(f"{path}: nothing was planted in this cohort")
    settings = MapSettings()
    material = inputs_of(cohort, settings)
    made = conventional_map(material, settings)
    print(f"{path.name}: {material.source}; planted {cohort.truth.settings}"[:400])
    features = material.features.values
    for name in features.columns:
        factor = name.split(" (")[0]
        if factor in FACTORS:
            planted = cohort.truth.factors[factor].reindex(material.patients)
            print(f"measured {factor}: Spearman with the planted {features[name].corr(planted, method='spearman'):.3f}")
    print(known_answers(made, cohort.truth).to_string(index=False))
    print(made.links["verdict"].value_counts().to_string())
    flagged = set(cohort.truth.settings.get("batch_genes", []))
    if flagged:
        mine = made.gene_links[made.gene_links["gene"].isin(flagged) & (made.gene_links["q"] < settings.alpha)]
        print("genes that follow the scanner, below the threshold:")
        print(pd.crosstab(mine["family"], mine["verdict"]).to_string())


def power_curve(table: pd.DataFrame, theme: Theme) -> Figure:
    """Average precision against the number of patients, a line for each effect strength, with its spread over cohorts.

    Args:
        table: columns patients, strength, mean, low, high, chance.
    """
    figure = Figure(figsize=(6.4, 3.4), layout="constrained")
    axes = figure.add_subplot()
    shades = LinearSegmentedColormap.from_list("strength", [theme.mute, theme.accent])
    strengths = sorted(table["strength"].unique())
    for number, strength in enumerate(strengths):
        mine = table[table["strength"] == strength].sort_values("patients")
        color = shades((number + 1) / len(strengths))
        axes.fill_between(mine["patients"], mine["low"], mine["high"], color=color, alpha=0.18, linewidth=0)
        axes.plot(mine["patients"], mine["mean"], color=color, linewidth=1.8, marker="o", markersize=3.5,
                  label=f"{strength:.0%} of the variance")  # fmt: skip
    axes.axhline(float(table["chance"].mean()), color=theme.second, linewidth=1, linestyle="--", label="chance")
    axes.set_ylim(0, 1.02)
    axes.set_xscale("log")
    ticks = sorted(table["patients"].unique())
    axes.set_xticks(ticks, [str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_xlabel("patients", fontsize=8.5, family=FONT)
    axes.set_ylabel("average precision", fontsize=8.5, family=FONT)
    style_axes(axes, theme)
    axes.legend(frameon=False, fontsize=7.5, labelcolor=theme.soft, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def main() -> None:
    """Parse and run."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("what", choices=("curve", "full"))
    options.add_argument("path", type=Path)
    options.add_argument("--cohorts", type=int, default=5)
    options.add_argument("--genes", type=int, default=5172)
    given = options.parse_args()
    if given.what == "curve":
        curve(given.path, given.cohorts, given.genes)
    else:
        full(given.path)


if __name__ == "__main__":
    main()
