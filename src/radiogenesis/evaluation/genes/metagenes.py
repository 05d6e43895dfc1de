"""Metagenes on a page: how many genes each has, how well it hangs together, and whether other patients give it back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from numpy.typing import NDArray

from radiogenesis.csv_files import write_csv
from radiogenesis.reporting.model import Column, Table
from radiogenesis.stats.metagenes import Metagenes, Stability

SHOWN = 15
"""Metagenes that a page shows; the file has all."""
NAMED = 5
"""Genes by which a metagene is told."""
CALLED = {"kmeans": "k-means", "hierarchical": "hierarchical clustering"}


@dataclass(frozen=True)
class MetageneTable:
    """The table that a page shows, and the sentence that belongs to it."""

    table: Table
    note: str


def metagene_table(metagenes: Metagenes, genes: NDArray[Any], tables: Path, name: str, *, seed: int) -> MetageneTable:
    """Cluster parts of the training patients again, and write what comes of it.

    Writes NAME.csv, a row per gene with its metagene, sign and strength; NAME_stability.csv, a row per metagene.

    Args:
        metagenes: fitted on `genes`.
        genes: (n, G) z-scores of the training patients.
        tables: the folder.
        name: of the files.
        seed: of the parts.
    """
    stability = metagenes.stability(genes, seed=seed)
    write_csv(metagenes.table(), tables / f"{name}.csv")
    by_metagene = stability_table(metagenes, stability)
    write_csv(by_metagene, tables / f"{name}_stability.csv")
    write_csv(by_metagene.head(SHOWN), tables / f"{name}_shown.csv")
    table = Table(
        file=f"{name}_shown.csv",
        caption=f"The {min(SHOWN, len(metagenes))} largest of {len(metagenes)} metagenes; all are in "
        f"tables/{name}_stability.csv, their genes in tables/{name}.csv. Jaccard: overlap with the best match when "
        "four fifths of the training patients are clustered alike; below 0.6 a metagene is not to be trusted.",
        columns=(
            Column(label="Metagene", value="metagene"),
            Column(label="Most typical genes", value="typical"),
            Column(label="Genes", value="genes", format="d"),
            Column(label="Mean r of members", value="homogeneity", format=".2f"),
            Column(label="Jaccard", value="jaccard", format=".2f"),
        ),
    )
    kept = int((stability.jaccard >= 0.6).sum())
    note = (
        f"Metagenes by {CALLED[metagenes.method]}: {kept} of {len(metagenes)} return in other parts of the training "
        f"patients (Jaccard of at least 0.6); adjusted Rand index of the clusterings {stability.rand.mean():.2f} "
        f"({stability.rand.min():.2f} to {stability.rand.max():.2f} over {len(stability.rand)} parts)."
    )
    return MetageneTable(table, note)


def stability_table(metagenes: Metagenes, stability: Stability) -> pd.DataFrame:
    """A row per metagene: metagene, typical (names of genes), genes (how many), homogeneity, jaccard."""
    return pd.DataFrame(
        {
            "metagene": metagenes.ids,
            "typical": [", ".join(metagenes.members(k)[:NAMED]) for k in range(len(metagenes))],
            "genes": metagenes.size,
            "homogeneity": metagenes.homogeneity,
            "jaccard": stability.jaccard,
        }
    )
