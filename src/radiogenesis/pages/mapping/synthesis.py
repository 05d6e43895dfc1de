"""How a map by synthesis is laid out on the page, beside the conventional one, and what may be concluded from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd

from radiogenesis.cohort.store import Truth
from radiogenesis.cohort.writer import versions
from radiogenesis.csv_files import write_csv, write_parquet
from radiogenesis.mapping.conventional.three_step import CONFOUNDED, INCOHERENT, ConventionalMap
from radiogenesis.mapping.synthesis import planted_links as known
from radiogenesis.mapping.synthesis.known_answers import BOTH, FOUND, NOT_FOUND
from radiogenesis.mapping.synthesis.known_answers import known_answers as planted_answers
from radiogenesis.mapping.synthesis.known_answers import scores as planted_scores
from radiogenesis.mapping.synthesis.synthesis import BY_SYNTHESIS, CONVENTIONAL, ONLY_DRAWN, SynthesisMap
from radiogenesis.methods.canonical_alignment import LEVEL
from radiogenesis.output import json_text
from radiogenesis.pages.mapping.axes import axes_section
from radiogenesis.pages.mapping.names import names_of, with_names
from radiogenesis.pages.mapping.output import Addition
from radiogenesis.pages.mapping.pictures import precision_recall
from radiogenesis.pages.mapping.synthesis_pictures import (
    agreement,
    both_maps,
    save_traversals,
    set_traversals,
    traversals,
)
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.reporting.figures import save_both
from radiogenesis.reporting.model import Column, Fact, Picture, Section, Table

SHOWN = 40
TRAVERSALS_SHOWN = 3
_R = ".2f"
_LINK_COLUMNS = (
    Column(label="Metagene", value="metagene", help="its id and its three most typical genes"),
    Column(label="Feature", value="feature"),
    Column(label="Effect of a move", value="effect", low="low", high="high", format=".3g",
           help="in the feature's unit, for one standard deviation of the metagene"),
    Column(label="q", value="q", format="p"),
    Column(label="Verdict", value="verdict", help="of the map by synthesis"),
    Column(label="ρ", value="rho", format=_R, help="of the conventional map"),
    Column(label="Found by", value="maps", help="which of the two maps reports it"),
    Column(label="In SD", value="effect_sd", format=_R, help="in standard deviations over the training patients",
           more=True),
    Column(label="z", value="z", format=".1f", more=True,
           help="how far the move goes along the feature's own axis of the gene code, in deviations of its null"),
    Column(label="p", value="p", format="p", help="the larger of random sets' and exchanged patients' p", more=True),
    Column(label="p, all tests", value="p_max", format="p", help="family-wise", more=True),
    Column(label="p, shuffled run", value="p_shuffled", format="p", more=True,
           help="p against a run trained with shuffled genes"),
    Column(label="ρ, trained on", value="rho_trained", format=_R, more=True,
           help="Spearman in the training patients' own lesions; an effect that they do not show is only drawn"),
    Column(label="ρ, held out", value="rho_held_out", format=_R, more=True,
           help="Spearman in the patients the run never saw"),
    Column(label="Shared batch", value="batch", more=True),
)  # fmt: skip


def counts(moved: SynthesisMap) -> dict[str, float]:
    """The numbers that the sentences are made from."""
    table = moved.links
    maps = table["maps"].value_counts()
    both = table[table["maps"] == BOTH]
    same = np.sign(both["effect_sd"]) == np.sign(both["rho"])
    return {
        "tests": int(table["p"].notna().sum()),
        "found": int((table["verdict"] == FOUND).sum()),
        "confounded": int((table["verdict"] == CONFOUNDED).sum()),
        "incoherent": int((table["verdict"] == INCOHERENT).sum()),
        "only_drawn": int((table["verdict"] == ONLY_DRAWN).sum()),
        "familywise": int(((table["verdict"] == FOUND) & (table["p_max"] < 0.05)).sum()),
        "both": int(maps.get(BOTH, 0)),
        "same_direction": int(same.sum()),
        "conventional_only": int(maps.get(CONVENTIONAL, 0)),
        "synthesis_only": int(maps.get(BY_SYNTHESIS, 0)),
        "patients": len(moved.patients),
        "training": moved.training,
        "axes": 0 if moved.axes is None else len(moved.axes),
        "effect_size": _mean_size(moved.links["effect_sd"]),
        "null_axes": max((one.axes for one in moved.null_runs), default=float("nan")),
        "null_effect_size": max((one.size for one in moved.null_runs), default=float("nan")),
        "drawings": len(moved.patients) * len(moved.stage.backgrounds) * 2 * len(moved.sets),
        "agreement_conventional": _median(moved.agreement["conventional"]),
        "agreement_held_out": _median(moved.agreement["held_out"]),
        "agreement_gradient": _median(moved.agreement["gradient"]),
        "agreement_axes": _median(moved.agreement["axes"]),
        "unmeasured": moved.unmeasured,
    }


def _mean_size(effects: pd.Series) -> float:
    return float(effects.abs().mean()) if effects.notna().any() else float("nan")


def _median(values: pd.Series) -> float:
    return float(values.median()) if values.notna().any() else float("nan")


def facts(moved: SynthesisMap) -> tuple[Fact, ...]:
    """One number, beside the conventional map's."""
    n = counts(moved)
    return (
        Fact(
            label="Links of the map by synthesis",
            value=f"{n['found']}",
            beside=f"{n['both']} of them in the conventional map too, which reports {n['conventional_only']} others.",
        ),
    )


def conclusions(conventional: ConventionalMap, moved: SynthesisMap, truth: Truth | None = None) -> list[str]:
    """Sentences; the first says what the drawings allow to be claimed."""
    n, level = counts(moved), conventional.settings.alpha
    who = f"{n['patients']} patients that {moved.run} was not trained on"
    if not n["tests"]:
        said = [
            f"Genes were moved in {who}, but nothing tells this method's effects from chance (it has neither a linear "
            "gene code nor a gradient): the drawings may be looked at, no link may be claimed from them."
        ]
    elif moved.unread:
        said = [
            f"By synthesis: there is no sign that genes predict what lesions look like in patients left out of the "
            f"alignment that {moved.run} draws from. What moved genes change in its drawings may be chance: no link is "
            "claimed."
        ]
    elif n["found"]:
        familywise = f", {n['familywise']} of them family-wise too" if moved.links["p_max"].notna().any() else ""
        said = [
            f"By synthesis: when metagenes are moved in {who} and nothing else changes, {n['found']} of {n['tests']:,} "
            f"effects on the drawn lesion stand out (q < {level:g}, against {_nulls(moved)}){familywise}. The "
            f"conventional map reports {n['both']} of these too, {n['same_direction']} in the same direction; "
            f"{n['conventional_only']} links are in the conventional map only, {n['synthesis_only']} in the map by "
            "synthesis only. They say what the model has learned from its training patients, which is no proof that a "
            "gene causes anything."
        ]
    else:
        said = [
            f"By synthesis: of {n['tests']:,} effects of moved metagenes on lesions drawn for {who}, none stands out "
            f"(q < {level:g}, against {_nulls(moved)}): this model shows no link, which does not show that there is "
            "none."
        ]
    if n["confounded"] or n["incoherent"]:
        said.append(
            f"{n['confounded']} more effects by synthesis stand out whose metagene and property both go with a batch "
            f"variable in the patients, and {n['incoherent']} of metagenes that are clustered noise: a model draws "
            "what it was shown, the scanner's doing too, so they are not reported."
        )
    if n["only_drawn"]:
        said.append(
            f"{n['only_drawn']} more effects stand out in the drawings that the training patients' own lesions do not "
            f"show (p >= {level:g}, uncorrected, or the other way round): they come from the model, and are not "
            "reported."
        )
    if moved.axes is not None:
        said.append(
            f"The model reads the genes as {n['axes']} numbers, sums over all genes: its table of genes by features "
            f"has rank {n['axes']} at most, genes are told apart by those {n['axes']} weights only, and properties "
            "that it draws along the same ones are not told apart."
        )
    if moved.predicted:
        sure = [
            f"{axis} with r {r:.2f} (chance up to {high:.2f})" for axis, r, high, p in moved.predicted if p <= LEVEL
        ]
        unsure = [axis for axis, _, _, p in moved.predicted if p > LEVEL]
        said.append(
            "Drawn effects are as large as lesions differ, which is larger than what genes predict. Cross-validated in "
            f"the training patients, genes predict {', '.join(sure) or 'no axis'}"
            + (f"; no sign that genes predict {', '.join(unsure)}" if unsure else "")
            + " (train with --calibrated true to leave the rest to the noise)."
        )
    weak = moved.agreement[~(moved.agreement["control"] > 1.645 / np.sqrt(max(n["patients"] - 1, 1)))]
    if len(weak):
        said.append(
            "Drawn from the genes of held-out patients, these properties do not follow the patients' own lesions "
            f"(p > 0.05): {', '.join(weak['feature'])}. What the run does not draw it cannot map."
        )
    if moved.unexchanged:
        said.append(
            "Patients could not be exchanged: fitted again to the cohort's slices, the alignment's gene side does not "
            "give its own weights back, so that the permutation null and the family-wise p values are missing."
        )
    for null_run in moved.null_runs:
        said.append(
            f"In {null_run.name}, trained with shuffled genes, a move of a metagene changes a property by "
            f"{null_run.size:.3f} standard deviations on average, in {moved.run} by {n['effect_size']:.3f}; its gene "
            f"code has {null_run.axes or 'no'} linear axes."
        )
    if not moved.nulls:
        said.append("No run with shuffled genes was given (--null_run): that control of the drawings is missing.")
    if truth is not None:
        row = planted_answers(conventional, moved, truth).iloc[0]
        better = "no worse than" if row["by_synthesis"] >= row["conventional"] - 0.02 else "worse than"
        said.append(
            f"Of the planted links between metagenes and properties, the map by synthesis recovers an average "
            f"precision of {row['by_synthesis']:.2f}, {better} the conventional map's {row['conventional']:.2f} "
            f"(chance {row['chance']:.2f}); it saw {n['training']} training patients, the conventional map all "
            f"{len(conventional.material.patients)}."
        )
    return said


def _nulls(moved: SynthesisMap) -> str:
    against = ["random sets of the same size and coherence"] if moved.links["p_random"].notna().any() else []
    against += ["patients' lesions exchanged"] if moved.links["p_exchanged"].notna().any() else []
    against += ["a run with shuffled genes"] if moved.nulls else []
    return " and ".join(against) or "nothing"


def synthesis_addition(
    conventional: ConventionalMap,
    moved: SynthesisMap,
    folder: Path,
    truth: Truth | None = None,
    provenance: Mapping[str, str] | None = None,
) -> Addition:
    """Write the tables of the map by synthesis, and lay out its part of the page.

    tables/synthesis_links.*      metagene x feature, beside the conventional map's numbers (CSV and Parquet)
    tables/synthesis_genes.*      every gene moved with what goes with it (Parquet), the 1,000 largest effects (CSV)
    tables/synthesis_gene_sets.*  the user's gene sets, where given
    synthesis.json                what was run, on what, with which settings and versions
    """
    tables = folder / "tables"
    written = {"synthesis_links": moved.links, "synthesis_genes": moved.genes, "synthesis_gene_sets": moved.gene_sets}
    for name, table in written.items():
        if len(table):
            write_parquet(table, tables / f"{name}.parquet")
            write_csv(table.head(1000) if name == "synthesis_genes" else table, tables / f"{name}.csv")
    about = {
        "Run": f"{moved.run} ({moved.training} training patients, {len(moved.patients)} held out)",
        "Runs with shuffled genes": ", ".join(moved.nulls) or "none",
        "Synthesis settings": ", ".join(f"{name} {v}" for name, v in asdict(moved.settings).items()),
        **(provenance or {}),
    }
    record = about | {"Seed": str(conventional.settings.seed), **versions()}
    (folder / "synthesis.json").write_text(json_text(record), encoding="utf-8")
    return Addition(
        sections=sections(conventional, moved, folder, truth),
        facts=facts(moved),
        conclusions=tuple(conclusions(conventional, moved, truth)),
        about=", beside a map by synthesis",
        numbers={"synthesis": counts(moved)},
        provenance=tuple(about.items()),
    )


def sections(
    conventional: ConventionalMap, moved: SynthesisMap, folder: Path, truth: Truth | None = None
) -> tuple[Section, ...]:
    """Draw the pictures, write the tables that are only shown, and lay out the sections."""
    parts = [
        _map_section(conventional, moved, folder),
        _traversal_section(conventional, moved, folder),
        _agreement_section(moved, folder),
    ]
    parts += [axes_section(moved.axes_genes, folder)] if len(moved.axes_genes) else []
    parts += [_set_section(moved, folder)] if len(moved.gene_sets) else []
    parts += [_truth_section(conventional, moved, folder, truth)] if truth is not None else []
    return tuple(parts)


def _map_section(conventional: ConventionalMap, moved: SynthesisMap, folder: Path) -> Section:
    n = counts(moved)
    wide = {
        name: moved.links.pivot(index="metagene", columns="feature", values=name).loc[
            list(moved.sets.names), list(moved.features)
        ]
        for name in ("rho", "effect_sd", "verdict", "conventional_verdict")
    }
    dots = [(wide[name] == FOUND).to_numpy() for name in ("conventional_verdict", "verdict")]
    light, dark = save_both(
        lambda theme: both_maps(
            moved.features, wide["rho"].to_numpy(float), wide["effect_sd"].to_numpy(float), dots, theme
        ),
        folder / "pictures", "both_maps",
    )  # fmt: skip
    reported = moved.links[(moved.links["maps"] != "neither") | (moved.links["verdict"] != NOT_FOUND)]
    shown = with_names(reported.head(SHOWN), names_of(conventional.metagenes), "metagene")
    write_csv(shown, folder / "tables" / "synthesis_links_shown.csv")
    table = Table(
        file="synthesis_links_shown.csv",
        full="synthesis_links.csv",
        caption=f"The {len(shown)} strongest of {len(reported)} links that either map reports or flags; "
        f"{len(moved.links) - len(reported):,} pairs that neither does are left out here, the file has all. Brackets: "
        "95 % of resamples of the held-out patients.",
        columns=_LINK_COLUMNS,
        strong=("maps", BOTH),
    )
    axes = (
        f" The run reads genes through a linear code with {n['axes']} axes, so single genes and random sets are sums "
        "over moves of the axes; metagenes were moved and drawn one by one."
        if moved.axes is not None
        else " The run has no linear gene code of few dimensions: single genes and random sets go by gradient."
    )
    coherence, random = (float(np.nanmedian(c)) if np.isfinite(c).any() else float("nan") for c in moved.coherence)
    return Section(
        title="The map by synthesis, beside the conventional one",
        text=(
            f"Each metagene is moved up and down by {moved.settings.step:g} standard deviation(s) of its value in the "
            f"{n['patients']} held-out patients of {moved.run}; background and noise stay, the lesion is drawn on "
            f"{len(moved.stage.backgrounds)} background(s) of {moved.backgrounds_of}, and its features are measured: "
            f"{n['drawings']:,} drawings." + axes
        ),
        blocks=(
            Picture(
                file=light, dark=dark, alt="Two heat maps of features against metagenes",
                caption="Both maps, metagenes in the same order. Above: the association over all patients. Below: what "
                "a move of the metagene by one standard deviation does to the drawn lesion. Dots: found.",
            ),
            *((table,) if len(shown) else ()),
        ),
        notes=(
            "p, random sets: sets of as many genes, as coherent as can be had, that do not go with the metagene (mean "
            f"correlation of two members: {coherence:.2f} in the metagenes, {random:.2f} in their random sets, "
            "medians). Random sets share the cohort's few dozen profiles: they are fewer than their number. "
            "p, patients exchanged: the gene side of the alignment fitted again to other patients' lesions, its "
            "directions of appearance found again, their number and the generator left as they are. Both ask how "
            "far the move goes along the feature's own axis of the gene code (without such axes, for the first-order "
            "effect), and pool the null of all metagenes feature by feature. p, shuffled run: how often any metagene "
            "there has an effect as large on any feature. q: Benjamini–Hochberg over the larger of the first two, or "
            "over the one that this run allows. Family-wise: the largest z over all metagenes and features, patients "
            "exchanged. Found: q below the threshold, the interval of the drawn effect free of 0 and in the "
            "direction of z, and, where a run with shuffled genes is given, p below the threshold there; "
            "confounded or incoherent where the conventional map would flag the link as such.",
            f"In {moved.unmeasured:.1%} of the drawings with the genes as they are no lesion could be measured.",
        ),
    )  # fmt: skip


def _traversal_section(conventional: ConventionalMap, moved: SynthesisMap, folder: Path) -> Section:
    drawn = traversals(moved)
    if not drawn:
        return Section(title="From low to high", text="No lesion could be measured in the drawings.")
    save_traversals(drawn, folder / "pictures" / "traversals.png")
    names = names_of(conventional.metagenes)
    return Section(
        title="From low to high",
        text="The same patient, the same background, the same noise: only one metagene moves, in steps of 1.5 standard "
        "deviations of its value. Three deviations are more than all but a few patients have.",
        blocks=(
            Picture(
                file="traversals.png", alt="Traversals of lesions from low to high", width=820,
                caption=f"For each feature the metagene that moves it most, in patient {drawn[0].patient}: "
                f"{'; '.join(dict.fromkeys(names[one.name] for one in drawn))}. Under the feature: its measured value "
                "in the first and in the last picture, and where the map does not report the link, that it does not. "
                f"W{moved.stage.imaging.window_text[1:]}.",
            ),
        ),
    )  # fmt: skip


def _agreement_section(moved: SynthesisMap, folder: Path) -> Section:
    write_csv(moved.agreement, folder / "tables" / "synthesis_agreement.csv")
    imaging = moved.stage.imaging
    light, dark = save_both(
        lambda theme: agreement(moved.links, theme, moved.features[: len(FEATURES)]), folder / "pictures", "agreement"
    )
    return Section(
        title="How far the maps agree",
        text="A run that was trained on most of these patients cannot disagree freely with their map. The last column "
        "is the test: the same metagenes in the patients that the run never saw.",
        blocks=(
            Picture(
                file=light, dark=dark, width=820, alt="Effects by synthesis against rho",
                caption="Every metagene: its association over patients, and the effect of moving it.",
            ),
            Table(
                file="synthesis_agreement.csv",
                caption="Control: Spearman's rho over held-out patients between the feature as drawn from their genes "
                "and as it is; a property that the run does not draw has no map here. The others are over metagenes. "
                "Axes, gradient: Pearson's r of the quick ways with the drawn effects. Conventional, held out: "
                "Spearman's rho of the drawn effects with the associations in all patients, and in the held-out ones "
                "alone.",
                columns=(
                    Column(label="Feature", value="feature"), Column(label="Control", value="control", format=_R),
                    Column(label="Axes", value="axes", format=_R),
                    Column(label="Gradient", value="gradient", format=_R),
                    Column(label="Conventional", value="conventional", format=_R),
                    Column(label="Held out", value="held_out", format=_R),
                    Column(label="Found by both", value="both", format="d"),
                    Column(label="In one direction", value="same_direction", format="d"),
                ),
            ),
        ),
        notes=(
            f"The gradient holds the outline still for {imaging.name('attenuation')}, margin and heterogeneity, and "
            f"takes soft stand-ins for size, spiculation and {imaging.name('cavitation')}; where it does not agree, "
            "believe the drawn effect.",
        ),
    )  # fmt: skip


def _set_section(moved: SynthesisMap, folder: Path) -> Section:
    write_csv(moved.gene_sets.head(SHOWN), folder / "tables" / "synthesis_gene_sets_shown.csv")
    columns = (Column(label="Set", value="set"), *(c for c in _LINK_COLUMNS if c.value in moved.gene_sets.columns))
    traversals = set_traversals(moved)
    pictures: tuple[Picture, ...] = ()
    if traversals:
        save_traversals(traversals[:TRAVERSALS_SHOWN], folder / "pictures" / "set_traversals.png")
        (folder / "pictures" / "gene_sets").mkdir()
        for traversal in traversals:
            save_traversals([traversal], folder / "pictures" / "gene_sets" / f"{quote(traversal.name, safe=' ')}.png")
        pictures = (
            Picture(
                file="set_traversals.png", alt="Lesions while a gene set goes from low to high", width=820,
                caption=f"The gene sets that are found, or else the strongest, each with the feature that it moves "
                f"most, in patient {traversals[0].patient}, as above. pictures/gene_sets has a traversal of each of "
                f"the {len(traversals)} first.",
            ),
        )  # fmt: skip
    return Section(
        title="Gene sets, moved",
        text="All genes of a set go up together, by the standard deviation of their mean.",
        blocks=(
            *pictures,
            Table(
                file="synthesis_gene_sets_shown.csv",
                caption="The strongest; all are in tables/synthesis_gene_sets.csv.",
                columns=columns,
                strong=("verdict", FOUND),
            ),
        ),
    )


def _truth_section(conventional: ConventionalMap, moved: SynthesisMap, folder: Path, truth: Truth) -> Section:
    table = planted_answers(conventional, moved, truth)
    write_csv(table, folder / "tables" / "known_answers_both.csv")
    curves = {
        question: (
            {
                "conventional": known.precision_recall(ranked["conventional"], linked),
                "by synthesis": known.precision_recall(ranked["by_synthesis"], linked),
            },
            float(linked.mean()),
        )
        for question, (ranked, linked) in planted_scores(conventional, moved, truth).items()
        if linked.any()
    }
    blocks: list[Table | Picture] = [
        Table(
            file="known_answers_both.csv",
            caption="Average precision on the same pairs, both maps ranked by |z|, the effect in deviations of its "
            "null. By effect: ranked by the effect in deviations of the feature. A single gene is moved with the genes "
            "that go with it; alone: all others are held still, ranked by effect.",
            columns=(
                Column(label="Question", value="question"), Column(label="Links", value="links", format="d"),
                Column(label="Pairs", value="pairs", format="d"),
                Column(label="Conventional", value="conventional", format=".3f"),
                Column(label="By synthesis", value="by_synthesis", format=".3f"),
                Column(label="By effect", value="by_effect", format=".3f"),
                Column(label="Alone", value="alone", format=".3f"),
                Column(label="Chance", value="chance", format="small"),
            ),
        )
    ]  # fmt: skip
    if curves:
        light, dark = save_both(lambda theme: precision_recall(curves, theme), folder / "pictures", "precision_recall")
        blocks.append(
            Picture(
                file=light, dark=dark, width=820, alt="Precision against recall of both maps",
                caption="Precision against recall of the planted links.",
            )
        )  # fmt: skip
    return Section(
        title="Known answers, both maps",
        text="The same planted links, asked of both maps.",
        blocks=tuple(blocks),
        notes=(
            f"The run saw {moved.training} patients, the conventional map all {len(conventional.material.patients)}. A "
            "single gene moved alone changes the run's code by its weight there: a ridge regression spreads what a "
            "module knows over its genes, and chance correlations over all others. So single genes are moved with the "
            "genes that go with them, which is how patients differ.",
        ),
    )
