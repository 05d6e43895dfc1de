"""Which genes stand behind each axis of a run's alignment."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.methods.canonical_alignment import CanonicalAlignment


def axes_table(alignment: CanonicalAlignment | None, genes: Sequence[str], imaging: Imaging = LUNG_CT) -> pd.DataFrame:
    """Tidy: axis, gene, pattern, weight, with r, chance and p of the axis; largest patterns first. Empty without axes.

    A weight is what the axis adds up: among correlated genes it may be small, or of the other sign, for a gene that
    goes with the axis closely. A pattern is the covariance of the (scaled) gene with the axis (Haufe et al. 2014).
    """
    columns = ["axis", "gene", "pattern", "weight", "r", "chance", "p"]
    if alignment is None or not alignment.used.any():
        return pd.DataFrame(columns=columns)
    parts = []
    for k in np.flatnonzero(alignment.used):
        pattern, weight = (values[:, k].double().cpu().numpy() for values in
                           (alignment.gene_patterns, alignment.gene_weights))  # fmt: skip
        order = np.argsort(-np.abs(pattern), kind="stable")
        about = {name: float(values[k]) for name, values in
                 (("r", alignment.cross_validated), ("chance", alignment.chance), ("p", alignment.p))}  # fmt: skip
        named = np.array(genes, object)[order]
        axis = imaging.name(alignment.settings.axes[k])
        part = {"axis": axis, "gene": named, "pattern": pattern[order], "weight": weight[order]}
        parts.append(pd.DataFrame(part | about))
    return pd.concat(parts, ignore_index=True)[columns]
