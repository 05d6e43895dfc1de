"""The section of the page that shows which genes stand behind each axis of a run's alignment."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from radiogenesis.csv_files import write_csv, write_parquet
from radiogenesis.methods.canonical_alignment import LEVEL
from radiogenesis.reporting.model import Column, Section, Table

GENES_SHOWN = 10


def axes_section(table: pd.DataFrame, folder: Path) -> Section:
    """The genes of each axis, and whether the axis is predicted from genes at all."""
    write_parquet(table, folder / "tables" / "synthesis_axes.parquet")
    shown = table.groupby("axis", sort=False).head(GENES_SHOWN)
    write_csv(shown, folder / "tables" / "synthesis_axes_shown.csv")
    unsure = list(dict.fromkeys(table.loc[table["p"] > LEVEL, "axis"]))
    note = (
        f"Nothing shows that genes predict {', '.join(unsure)} in patients left out (p > {LEVEL:g}): the genes listed "
        "for it may be chance."
    )
    return Section(
        title="Which genes stand behind each axis",
        text="The model reads genes as one number for each axis: the properties of a lesion, and directions of its "
        "appearance that no property holds.",
        blocks=(
            Table(
                file="synthesis_axes_shown.csv",
                caption=f"The {GENES_SHOWN} genes with the largest pattern on each axis; all are in "
                "tables/synthesis_axes.parquet. r: cross-validated correlation of the axis with what genes predict; "
                "chance: its 95th percentile for permuted patients.",
                columns=(
                    Column(label="Axis", value="axis"), Column(label="Gene", value="gene"),
                    Column(label="Pattern", value="pattern", format=".2f",
                           help="covariance of the scaled gene with the axis over the training patients"),
                    Column(label="Weight", value="weight", format=".3f",
                           help="what the axis adds up; misleading among correlated genes"),
                    Column(label="r of the axis", value="r", format=".2f"),
                    Column(label="chance", value="chance", format=".2f"), Column(label="p", value="p", format="p"),
                ),
            ),
        ),
        notes=(note,) if unsure else (),
    )  # fmt: skip
