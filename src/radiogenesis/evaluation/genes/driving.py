"""The genes that drawings follow, by name: which genes rise and fall with what is drawn over the held-out patients.

Spearman's rho between each gene and each drawn property, beside what the largest of all genes reaches by chance and
beside the same gene's rho with the patients' own lesions. It says what the model follows, not what is true of tumors:
genes that are correlated share a rho, and only the last column is about real lesions.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.csv_files import write_csv
from radiogenesis.evaluation.measures.base import Measure, Result, Work, together
from radiogenesis.evaluation.measures.control import Measured
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.reporting.model import Column, Section, Table
from radiogenesis.stats.resampling import Floats, permutations

if TYPE_CHECKING:
    from radiogenesis.evaluation.results import RunResults

NAMED = 5
"""Genes that are named for each property."""
FEWEST = 8
"""Held-out patients with a drawn value that a property must have."""
_COLUMNS = ["feature", "gene", "rho", "chance", "p", "own", "n"]


def driving_genes(
    genes: NDArray[Any], names: Sequence[str], measured: Measured, settings: EvaluationSettings
) -> pd.DataFrame:
    """The genes that go most with each drawn property.

    Args:
        genes: (n, G) of the held-out patients of `measured`.
        names: of the G genes.

    Returns:
        tidy: feature, gene, rho, chance (95th percentile of the largest |rho| of all genes with patients exchanged),
        p (how often that largest reaches this rho), own (rho with the patients' own lesions), n.
    """
    rows = []
    for f, feature in enumerate(measured.features):
        known = np.isfinite(measured.drawn[:, f]) & np.isfinite(measured.own[:, f])
        drawn, own = measured.drawn[known, f], measured.own[known, f]
        if known.sum() < FEWEST or np.ptp(drawn) == 0:
            continue
        left, right = _unit(genes[known]), _unit(drawn[:, None])[:, 0]
        rho, of_own = left.T @ right, left.T @ _unit(own[:, None])[:, 0]
        orders = permutations(len(right), settings.permutations, [settings.seed, 31])
        largest = np.array([np.abs(left.T @ right[order]).max() for order in orders])
        chance = float(np.quantile(largest, 0.95))
        for g in np.argsort(-np.abs(rho), kind="stable")[:NAMED]:
            p = (1 + int((largest >= abs(rho[g]) - 1e-9).sum())) / (1 + len(largest))
            rows.append((feature, str(names[g]), float(rho[g]), chance, p, float(of_own[g]), int(known.sum())))
    return pd.DataFrame(rows, columns=_COLUMNS)


def _unit(values: NDArray[Any]) -> Floats:
    """(n, K) ranks of length 1 without their mean; 0 throughout where nothing varies."""
    ranks = stats.rankdata(values, axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.linalg.norm(ranks, axis=0)
    return np.asarray(ranks / np.where(length > 0, length, 1.0))


class DrivingGenes(Measure):
    """The genes that drawings follow."""

    table = "driving_genes"

    def measure(self, work: Work) -> Result:
        names = work.subject.scaler.genes
        return Result({self.table: driving_genes(work.genes, names, work.patients, work.settings)})

    def sections(self, runs: Sequence[RunResults], tables: Path, settings: EvaluationSettings) -> list[Section]:
        return driving_sections(runs, tables)


def driving_sections(runs: Sequence[RunResults], tables: Path) -> list[Section]:
    """A table of named genes for each run whose drawings depend on them."""
    mine = [run for run in runs if len(run.tables["driving_genes"])]
    if not mine:
        return []
    table = together(mine, "driving_genes")
    write_csv(table, tables / "driving_genes.csv")
    several = [Column(label="Run", value="run")] if len(mine) > 1 else []
    sure = table[table["p"] < 0.05].drop_duplicates(["run", "feature"])
    said = "; ".join(f"{row['feature']} with {row['gene']}" for _, row in sure.head(6).iterrows())
    return [
        Section(
            title="Which genes do the drawings follow?",
            text=(
                f"Drawn properties and the gene they follow most: {said}." if said else
                "No drawn property follows a single gene more closely than the largest of all genes does by chance."
            ),
            blocks=(
                Table(
                    file="driving_genes.csv",
                    caption=f"The {NAMED} genes that go most with each drawn property over the held-out patients. "
                    "Chance: 95th percentile of the largest |ρ| of all genes where patients are exchanged; p: against "
                    "that largest. Own lesions: ρ of the same gene with the patients' real lesions.",
                    columns=(
                        *several, Column(label="Drawn property", value="feature"), Column(label="Gene", value="gene"),
                        Column(label="ρ", value="rho", format=".2f", help="Spearman, gene and drawn property"),
                        Column(label="Chance", value="chance", format=".2f"), Column(label="p", value="p", format="p"),
                        Column(label="ρ, own lesions", value="own", format=".2f"),
                        Column(label="n", value="n", format="d", help="patients"),
                    ),
                ),
            ),
            notes=("Genes that are correlated with each other go with a drawing alike: a gene named here need not be "
                   "the one that matters.",),
        )
    ]  # fmt: skip
