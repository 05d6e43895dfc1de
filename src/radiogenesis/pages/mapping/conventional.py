"""How a conventional map is laid out on the page. A map by synthesis adds its own sections beside these."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort, Truth
from radiogenesis.csv_files import write_csv
from radiogenesis.mapping.conventional.three_step import CONFOUNDED, FOUND, ConventionalMap
from radiogenesis.mapping.synthesis import planted_links as known
from radiogenesis.pages.mapping.conclusions import counts
from radiogenesis.pages.mapping.links import EFFECT, N, P, Q, map_section, strongest_section
from radiogenesis.pages.mapping.names import names_of, with_names
from radiogenesis.pages.mapping.pictures import precision_recall
from radiogenesis.pages.mapping.plan import plan_fact, plan_section
from radiogenesis.reporting.figures import save_both
from radiogenesis.reporting.model import Column, Fact, Picture, Section, Table

SHOWN = 40
"""Rows of a table that the page shows; the file has all."""


def facts(conventional: ConventionalMap) -> tuple[Fact, ...]:
    """The numbers that matter, each beside what it must be read beside."""
    n = counts(conventional)
    return (
        Fact(
            label="Associations found",
            value=f"{n['found']}",
            beside=f"of {n['tests']:,} tests. Found after shuffling patients: {n['shuffled_mean']:.1f} on average.",
        ),
        Fact(
            label="Flagged as confounded",
            value=f"{n['confounded']}",
            beside=f"both sides share one of {n['batches']} batch variables; not reported as found.",
        ),
        Fact(
            label="Independent of tumor size",
            value=f"{n['beyond_size']}",
            beside=f"of {n['beyond_size_of']} found with features other than size, both sides adjusted for it.",
        ),
        plan_fact(conventional.plan),
    )


def sections(
    conventional: ConventionalMap, folder: Path, truth: Truth | None = None, cohort: Cohort | None = None
) -> tuple[Section, ...]:
    """Draw the pictures, write the tables that are only shown, and lay out the sections.

    Args:
        cohort: whose CT is shown beside the strongest links.
    """
    made_sections = [strongest_section(conventional, folder, cohort), map_section(conventional, folder)]
    made_sections += [_controls_section(conventional, folder), _batch_section(conventional, folder)]
    made_sections += [plan_section(conventional.plan, folder), _metagene_section(conventional, folder)]
    if len(conventional.sets) or len(conventional.members):
        made_sections.append(_gene_set_section(conventional, folder))
    if truth is not None:
        made_sections.append(_truth_section(conventional, folder, truth))
    return tuple(made_sections)


def _controls_section(conventional: ConventionalMap, folder: Path) -> Section:
    n = counts(conventional)
    size = conventional.material.size
    of_size = conventional.links[
        (conventional.links["feature"] == size) & (conventional.links["q"] < conventional.settings.alpha)
    ]
    rows = [
        ("the map", "found", n["found"]),
        ("the map", "found, also after correction for all tests", n["familywise"]),
        ("patients shuffled", f"mean of {len(conventional.shuffled)} shuffles", n["shuffled_mean"]),
        ("patients shuffled", "the worst shuffle", n["shuffled_max"]),
        ("size alone", "metagenes that go with the size of the lesion", len(of_size)),
        ("size adjusted for", f"of {n['beyond_size_of']} with other features", n["beyond_size"]),
        ("batches", "flagged as confounded, not counted above", n["confounded"]),
        ("within batches", "of the confounded ones", n["inside_batches"]),
        ("within batches", f"of {n['found_within_of']} found whose feature leans to a batch", n["found_within"]),
        ("the scanner", "with the noise of the image, not counted above", n["scanner"]),
        ("weak metagenes", "genes not correlated enough to trust, not counted above", n["incoherent"]),
    ]
    if not size:
        rows = [row for row in rows if not row[0].startswith("size")]
    write_csv(pd.DataFrame(rows, columns=["control", "what", "links"]), folder / "tables" / "controls.csv")
    return Section(
        title="Its controls",
        text="A count of links means something only beside the counts that chance, size and scanners give.",
        blocks=(
            Table(
                file="controls.csv",
                caption=f"Links at a threshold of {conventional.settings.alpha:g}.",
                columns=(
                    Column(label="Control", value="control"), Column(label="What is counted", value="what"),
                    Column(label="Links", value="links", format=".3g"),
                ),
            ),
        ),
    )  # fmt: skip


def _batch_section(conventional: ConventionalMap, folder: Path) -> Section:
    names = list(map(str, conventional.material.batches.columns))
    if not names:
        return Section(
            title="Batches",
            text="No batch variable is known here and varies, so none was tested: read every link with that doubt.",
        )
    tests = pd.concat(
        [conventional.feature_batches.assign(side="feature"), conventional.metagene_batches.assign(side="metagene")]
    )
    shown = tests[tests["q"] < conventional.settings.alpha].sort_values(["side", "p"], kind="stable")
    shown = with_names(shown.groupby("side").head(SHOWN // 2), names_of(conventional.metagenes), "name")
    write_csv(shown, folder / "tables" / "batches_shown.csv")
    blocks = [
        Table(
            file="batches_shown.csv", full="batches.csv",
            caption=(
                f"What goes with a batch variable (q < {conventional.settings.alpha:g}), the strongest of either side; "
                "all are in tables/batches.csv. Effect: rho, or the share of the ranks' variance."
            ),
            columns=(
                Column(label="Side", value="side"), Column(label="Name", value="name"),
                Column(label="Batch variable", value="batch"), EFFECT, Q, P, N,
                Column(label="Test", value="test", more=True),
            ),
        )
    ]  # fmt: skip
    trapped = conventional.links[conventional.links["verdict"] == CONFOUNDED].head(SHOWN)
    if len(trapped):
        trapped = with_names(trapped, names_of(conventional.metagenes), "metagene")
        write_csv(trapped, folder / "tables" / "confounded_shown.csv")
        blocks.append(
            Table(
                file="confounded_shown.csv", full="links.csv",
                caption="Flagged: metagene and feature both correlate with the same batch variable. Within: the "
                "association among patients of the same batch, patients permuted within batches.",
                columns=(
                    Column(label="Metagene", value="metagene"), Column(label="Feature", value="feature"),
                    Column(label="Shared batch", value="batch"), EFFECT, Q,
                    Column(label="Within, effect", value="effect_within", format=".2f"),
                    Column(label="Within, p", value="p_within", format="p"), N,
                ),
            )
        )  # fmt: skip
    n_tests = len(tests)
    n_hits = int((tests["q"] < conventional.settings.alpha).sum())
    return Section(
        title="Batches",
        text=(
            f"Batch variables that vary here: {', '.join(names)}. Every metagene and every feature was tested against "
            f"each: {n_hits} of {n_tests:,} tests at q < {conventional.settings.alpha:g}."
        ),
        blocks=tuple(blocks),
        notes=("A batch that nobody recorded cannot be found by any test.",),
    )


def _metagene_section(conventional: ConventionalMap, folder: Path) -> Section:
    table = metagene_table(conventional)
    write_csv(table.head(SHOWN), folder / "tables" / "metagenes_shown.csv")
    blocks: list[Table | Picture] = [
        Table(
            file="metagenes_shown.csv", full="metagenes.csv",
            caption="Metagenes, the largest first. Homogeneity: mean correlation of two members. Stability: overlap "
            "with the best match when 80 % of the patients are clustered; below 0.6 not to be trusted. "
            "Coherent: correlated enough to trust, more than twice as homogeneous as clusters of independent genes.",
            columns=(
                Column(label="Metagene", value="metagene"), Column(label="Most typical genes", value="genes"),
                Column(label="Coherent", value="coherent"), Column(label="Genes", value="size", format="d"),
                Column(label="Homogeneity", value="homogeneity", format=".2f"),
                Column(label="Stability", value="stability", format=".2f"),
            ),
        )
    ]  # fmt: skip
    text = (
        f"Genes are clustered by their correlation over patients, without a look at any image; a gene that falls where "
        f"the others rise belongs to its metagene turned round. On 80 % of the patients the clustering returns with an "
        f"adjusted Rand index of {conventional.stability.rand.mean():.2f} on average; "
        f"{int((table['stability'] >= 0.6).sum())} of {len(table)} metagenes return with an overlap of 0.6 or more."
    )
    if conventional.choice is not None:
        write_csv(conventional.choice, folder / "tables" / "clusters.csv")
        text += (
            f" The number {len(table)} was chosen: the smallest within one standard error of the highest adjusted Rand "
            "index between halves of the patients."
        )
        blocks.append(
            Table(
                file="clusters.csv", caption="Adjusted Rand index between the clusterings of halves of the patients.",
                columns=(
                    Column(label="Metagenes", value="clusters", format="d"),
                    Column(label="Index", value="rand", format=".3f"),
                    Column(label="Standard error", value="error", format=".3f"),
                ),
                strong=("clusters", str(len(table))),
            )
        )  # fmt: skip
    return Section(title="The metagenes", text=text, blocks=tuple(blocks))


def _gene_set_section(conventional: ConventionalMap, folder: Path) -> Section:
    blocks = []
    if len(conventional.sets):
        write_csv(conventional.sets.head(SHOWN), folder / "tables" / "gene_sets_shown.csv")
        blocks.append(
            Table(
                file="gene_sets_shown.csv", full="gene_sets.csv",
                caption="Gene sets along the genes ranked by their z with a feature. Competitive: genes "
                "permuted (gseapy), which takes genes for independent and is too optimistic. Patient-level: patients "
                "permuted, which keeps the correlation of genes; use this.",
                columns=(
                    Column(label="Feature", value="feature"), Column(label="Set", value="set"),
                    Column(label="NES", value="nes", format=".2f", help="normalized enrichment score"),
                    Column(label="q, patient-level", value="q_patients", format="p"),
                    Column(label="q, competitive", value="q", format="p"),
                    Column(label="Genes", value="size", format="d"), Column(label="Verdict", value="verdict"),
                    Column(label="p, patient-level", value="p_patients", format="p", more=True),
                    Column(label="p, competitive", value="p", format="p", more=True),
                    Column(label="Shared batch", value="batch", more=True),
                ),
                strong=("verdict", FOUND),
            )
        )  # fmt: skip
    if len(conventional.members):
        shown = with_names(conventional.members.head(SHOWN), names_of(conventional.metagenes), "metagene")
        write_csv(shown, folder / "tables" / "over_representation_shown.csv")
        blocks.append(
            Table(
                file="over_representation_shown.csv", full="over_representation.csv",
                caption="Gene sets that fill a metagene more than chance; background: the genes measured.",
                columns=(
                    Column(label="Metagene", value="metagene"), Column(label="Set", value="set"),
                    Column(label="Odds ratio", value="odds_ratio", format=".1f"), Q, P,
                    Column(label="In common", value="overlap", format="d"),
                    Column(label="Metagene's genes", value="metagene_size", format="d", more=True),
                    Column(label="Set's genes", value="set_size", format="d", more=True),
                ),
            )
        )  # fmt: skip
    n = counts(conventional)
    text = (
        f"Of {n['set_tests']:,} pairs of feature and gene set, {n['sets_found']} hold: by the competitive test (q < "
        f"{conventional.settings.alpha:g}) and by the patient-level one (q < {conventional.settings.alpha:g}). "
        f"{n['sets_confounded']} more do so too, but the mean of their genes and the feature share a batch variable."
    )
    return Section(title="Gene sets", text=text, blocks=tuple(blocks))


def _truth_section(conventional: ConventionalMap, folder: Path, truth: Truth) -> Section:
    table = known_answers(conventional, truth)
    write_csv(table, folder / "tables" / "known_answers.csv")
    curves = {
        question: ({"conventional": known.precision_recall(z, linked)}, float(linked.mean()))
        for question, (z, linked) in _ranked(conventional, truth).items()
        if linked.any()
    }
    pictures: tuple[Picture, ...] = ()
    if curves:
        light, dark = save_both(lambda theme: precision_recall(curves, theme), folder / "pictures", "known_answers")
        caption = "Precision and recall of the planted links, pairs ranked by |z|."
        pictures = (Picture(file=light, dark=dark, alt="Precision against recall", caption=caption, width=820),)
    return Section(
        title="Known answers",
        text="The map of this cohort was planted, so that what is found can be compared with what is there.",
        blocks=(
            Table(
                file="known_answers.csv",
                caption="Average precision of all pairs ranked by |z|, over the planted properties. Decoys belong to a "
                "driving module and have no effect of their own: no table of correlations can tell them apart.",
                columns=(
                    Column(label="Question", value="question"), Column(label="Links", value="links", format="d"),
                    Column(label="Pairs", value="pairs", format="d"),
                    Column(label="Average precision", value="average_precision", format=".3f"),
                    Column(label="Chance", value="chance", format="small"),
                ),
            ),
            *pictures,
        ),
    )  # fmt: skip


def known_answers(conventional: ConventionalMap, truth: Truth) -> pd.DataFrame:
    """question, links, pairs, average precision and chance, for metagenes and for genes."""
    rows = [
        (question, int(linked.sum()), linked.size, known.average_precision(z, linked), float(linked.mean()))
        for question, (z, linked) in _ranked(conventional, truth).items()
    ]
    return pd.DataFrame(rows, columns=["question", "links", "pairs", "average_precision", "chance"])


def _ranked(conventional: ConventionalMap, truth: Truth) -> dict[str, tuple[NDArray[np.float64], NDArray[np.bool_]]]:
    """Question -> z of all pairs, and which of them are linked."""
    short = [name.split(" (")[0] for name in conventional.by_gene.features]
    at = [f for f, name in enumerate(short) if name in truth.factors.columns]
    factors, genes = [short[f] for f in at], conventional.by_gene.genes
    by_metagene, by_gene = conventional.by_metagene.z[:, at], conventional.by_gene.z[:, at]
    return {
        "which metagene holds the genes of which property": (
            by_metagene, known.planted_metagenes(truth, conventional.metagenes, factors)
        ),
        "which gene goes with which property": (by_gene, known.planted_links(truth, genes, factors, "module")),
        "which gene has an effect of its own": (by_gene, known.planted_links(truth, genes, factors, "effect")),
    }  # fmt: skip


def metagene_table(conventional: ConventionalMap) -> pd.DataFrame:
    """metagene, size, homogeneity, stability, its most typical genes."""
    return pd.DataFrame(
        {
            "metagene": conventional.metagenes.ids,
            "size": conventional.metagenes.size,
            "homogeneity": conventional.metagenes.homogeneity,
            "stability": conventional.stability.jaccard,
            "coherent": np.where(conventional.coherent, "yes", "no"),
            "genes": list(_first_genes(conventional, 8).values()),
        }
    )


def _first_genes(conventional: ConventionalMap, most: int = 4) -> dict[str, str]:
    return {
        name: " ".join(conventional.metagenes.members(k)[:most]) for k, name in enumerate(conventional.metagenes.ids)
    }
