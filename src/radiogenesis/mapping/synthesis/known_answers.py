"""What the effects by synthesis are compared with: each other's ways, the conventional map, and what was planted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radiogenesis.cohort.store import Truth
from radiogenesis.mapping.conventional.three_step import ConventionalMap
from radiogenesis.mapping.synthesis import planted_links
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.stats.resampling import Floats, spearman

if TYPE_CHECKING:
    from radiogenesis.mapping.synthesis.synthesis import SynthesisMap

FOUND, NOT_FOUND, BOTH = "found", "not found", "both"
GENE_QUESTIONS: dict[str, planted_links.Question] = {
    "genes of the driving module": "module",
    "genes with an effect of their own": "effect",
}


def agreement(table: pd.DataFrame, names: Sequence[str], drawn: Floats, own: Floats) -> pd.DataFrame:
    """How far the ways to an effect agree, and the two maps, feature by feature, over the sets.

    Args:
        table: links of the metagenes.
        names: of the F features.
        drawn, own: (n, F) features of held-out patients, as drawn from their genes and as they are.

    Returns:
        feature; control (Spearman of drawn with own over held-out patients: whether the run draws this property from
        genes at all); axes, gradient (Pearson of these effects with the drawn ones); conventional, held_out (Spearman
        of the drawn effects with rho in all patients, and in the held-out ones); both, same_direction (links).
    """
    rows = []
    for f, feature in enumerate(names):
        mine = table[table["feature"] == feature]
        effect = mine["effect_sd"].to_numpy()
        strong = (mine["maps"] == BOTH).to_numpy()
        same = np.sign(effect[strong]) == np.sign(mine["rho"].to_numpy()[strong])
        rows.append(
            {
                "feature": feature,
                "control": float(spearman(drawn[:, f], own[:, f])),
                "axes": pearson(effect, mine["axes_sd"].to_numpy()),
                "gradient": pearson(effect, mine["gradient_sd"].to_numpy()),
                "conventional": float(spearman(effect, mine["rho"].to_numpy())),
                "held_out": float(spearman(effect, mine["rho_held_out"].to_numpy())),
                "both": int(strong.sum()),
                "same_direction": int(same.sum()),
            }
        )
    return pd.DataFrame(rows)


def pearson(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Pearson's r of the pairs that are known; nan where fewer than three are, or one side does not vary."""
    known = np.isfinite(a) & np.isfinite(b)
    if known.sum() < 3 or np.ptp(a[known]) == 0 or np.ptp(b[known]) == 0:
        return float("nan")
    return float(np.corrcoef(a[known], b[known])[0, 1])


def known_answers(conventional: ConventionalMap, moved: SynthesisMap, truth: Truth) -> pd.DataFrame:
    """question, links, pairs, chance, and the average precision on the same pairs: conventional, by_synthesis (ranked
    by z), by_effect (ranked by the effect in standard deviations), alone (single genes, all others held still)."""
    rows = []
    for question, (ranked, linked) in scores(conventional, moved, truth).items():
        ap = {name: planted_links.average_precision(score, linked) for name, score in ranked.items()}
        facts = {"question": question, "links": int(linked.sum()), "pairs": linked.size}
        rows.append({**facts, "chance": float(linked.mean()), **ap})
    columns = ["question", "links", "pairs", "chance", "conventional", "by_synthesis", "by_effect", "alone"]
    return pd.DataFrame(rows).reindex(columns=columns)


def scores(
    conventional: ConventionalMap, moved: SynthesisMap, truth: Truth
) -> dict[str, tuple[dict[str, Floats], NDArray[np.bool_]]]:
    """Question -> the rankings of `known_answers`, each (pairs), and what is planted, on the same pairs."""
    at = [f for f, name in enumerate(FEATURES) if name in truth.factors.columns]
    factors, names = [FEATURES[f] for f in at], [moved.features[f] for f in at]
    columns = [conventional.by_metagene.features.index(name) for name in names]
    row = {name: k for k, name in enumerate(conventional.metagenes.ids)}
    mine = [row[name] for name in moved.sets.names]
    by = _rankings(moved.links, "metagene", moved.sets.names, names)
    ranked = {"conventional": conventional.by_metagene.z[np.ix_(mine, columns)], **by}
    by_question = {"metagenes": (ranked, planted_links.planted_metagenes(truth, conventional.metagenes, factors)[mine])}
    if len(moved.genes):
        by = _rankings(moved.genes, "gene", conventional.by_gene.genes, names)
        ranked = {"conventional": conventional.by_gene.z[:, columns], **by}
        for name, question in GENE_QUESTIONS.items():
            by_question[name] = (
                ranked,
                planted_links.planted_links(truth, conventional.by_gene.genes, factors, question),
            )
    return by_question


def _rankings(table: pd.DataFrame, left: str, rows: tuple[str, ...], columns: list[str]) -> dict[str, Floats]:
    """The scores of a tidy table as (rows, columns); z is the effect itself where no null could be made."""
    asked = {"by_synthesis": "z", "by_effect": "effect_sd", "alone": "alone_sd"}
    rankings = {
        name: table.pivot(index=left, columns="feature", values=column)
        .reindex(index=list(rows), columns=columns)
        .to_numpy(np.float64)
        for name, column in asked.items()
        if column in table
    }
    if not np.isfinite(rankings["by_synthesis"]).any():
        rankings["by_synthesis"] = rankings["by_effect"]
    return rankings
