"""The section of a page that names the genes which drawings follow."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from radiogenesis.evaluation.genes.driving import NAMED
from radiogenesis.evaluation.results import Found
from radiogenesis.reporting.model import Column, Section, Table


def driving_sections(found: Sequence[Found], tables: Path) -> list[Section]:
    """A table of named genes for each run whose drawings depend on them."""
    mine = [one for one in found if one.driving is not None and len(one.driving)]
    if not mine:
        return []
    table = pd.concat([one.driving.assign(run=one.subject.name) for one in mine if one.driving is not None])
    table.to_csv(tables / "driving_genes.csv", index=False)
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
