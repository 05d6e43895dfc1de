"""Batches before biology: what went with the scanner, the date or the site before it went with the genes.

EVIDENCE.md rule 5. Every metagene and every feature is tested against every batch variable. An association both sides
of which share a batch variable is flagged as confounded and not reported as found; whether anything of it is left
inside the batches is tested with patients permuted within them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.cohort.store import Cohort
from radiogenesis.mapping.conventional.features import known_text, noise_label, numbers
from radiogenesis.mapping.conventional.noise import patient_noise
from radiogenesis.stats.association import FEWEST, FREE, Held, also, associate
from radiogenesis.stats.multiple_testing import false_discovery_rate

SMALLEST_BATCH = 5
"""Patients that a batch must have; smaller ones are taken together as "other"."""
MOST_CODES = 8
"""So many different numbers may be codes (site 1, 2, 3), whose order means nothing: they are taken as categories."""
_ACQUISITION = ("manufacturer", "model", "kernel", "slice_thickness_mm", "kvp", "spacing_z_mm", "spacing_xy_mm")
_CLINICAL = re.compile(
    r"gender|\bsex\b|affiliation|\bsite\b|institution|hospital|cent(er|re)\b|scanner|manufacturer|kernel|thickness"
    r"|\b(ct|scan|study|acquisition) date\b",
    re.IGNORECASE,
)


def batch_columns(clinical: pd.DataFrame | None) -> list[str]:
    """Clinical columns that are batch variables by their name: sex, site, scanner, date of the scan."""
    return [] if clinical is None else [str(name) for name in clinical.columns if _CLINICAL.search(str(name))]


def cohort_batches(cohort: Cohort, patients: Sequence[str]) -> pd.DataFrame:
    """Patients x batch variables that vary: scanner, kernel, thickness, date, order, site, sex, where known; and what a
    scanner leaves in the image whether or not anybody recorded it, noise and grain outside the lesion."""
    index = pd.Index(list(patients), name="patient")
    rows = cohort.patients.reindex(index)
    batches = rows[[name for name in _ACQUISITION if name in rows]].copy()
    batches["study_date"] = rows["study_date"]
    if cohort.clinical is not None:
        batches = batches.join(cohort.clinical.reindex(index)[batch_columns(cohort.clinical)])
    noise = patient_noise(cohort, patients).set_axis(index)
    return usable_batches(batches.join(noise.rename(columns=lambda name: noise_label(name, cohort.imaging))))


def usable_batches(table: pd.DataFrame) -> pd.DataFrame:
    """Batch variables as numbers or as text, those that vary; dates as days, ids as a number (order) and a prefix.

    Order: the number in the patient's id, where ids have one; centers count patients as they come. Site: the id's part
    before the number, where there are several.
    """
    ids = table.index.astype(str)
    candidates = {" ".join(str(name).split()): table[name] for name in table.columns}
    candidates["enrollment order (from the patient id)"] = pd.Series(
        ids.str.extract(r"(\d+)\D*$")[0].to_numpy(), table.index
    )
    candidates["site (prefix of the id)"] = pd.Series(ids.str.extract(r"^(.*?)\d*\D*$")[0].to_numpy(), table.index)
    variables = {name: _variable(column, name) for name, column in candidates.items()}
    return pd.DataFrame({name: column for name, column in variables.items() if column is not None}, index=table.index)


def test_batches(values: NDArray[Any], names: Sequence[str], batches: pd.DataFrame) -> pd.DataFrame:
    """Every column against every batch variable: Kruskal-Wallis, or Spearman where the variable is a number.

    Args:
        values: (n, K), NaN where missing.
        names: of the K columns.
        batches: n rows, from `usable_batches`.

    Returns:
        tidy: name, batch, test, effect (share of the ranks' variance that the batch explains, or rho), p, q over all
        rows, n. A column is not tested against the batch variable of its own name.
    """
    data = np.asarray(values, np.float64)
    parts = []
    for batch in batches.columns:
        known = batches[batch].notna().to_numpy()
        if batches[batch].dtype.kind == "f":
            associations = associate(batches[[batch]].to_numpy()[known], data[known], [batch], names)
            effect = associations.z[0] / np.sqrt(np.maximum(associations.n - 1, 1))
            test, p, n = "Spearman", associations.p[0], associations.n
        else:
            test = "Kruskal-Wallis"
            effect, p, n = _kruskal(data[known], batches[batch].to_numpy(object)[known])
        parts.append(pd.DataFrame({"name": names, "batch": batch, "test": test, "effect": effect, "p": p, "n": n}))
    columns = ["name", "batch", "test", "effect", "p", "q", "n"]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=columns)
    table = table[table["name"] != table["batch"]].reset_index(drop=True)
    table["q"] = false_discovery_rate(table["p"].to_numpy(np.float64))
    return table[columns]


test_batches.__test__ = False  # type: ignore[attr-defined]  # a test of batches, not of pytest


def shared_batches(
    associations: pd.DataFrame, left: str, of_genes: pd.DataFrame, of_features: pd.DataFrame, alpha: float
) -> list[tuple[str, ...]]:
    """For each row of a tidy association table: the batch variables that both of its sides go with (q below alpha)."""
    mine, theirs = (
        table[table["q"] < alpha].groupby("name")["batch"].agg(set).to_dict() for table in (of_genes, of_features)
    )
    nothing: set[str] = set()
    return [
        tuple(sorted(mine.get(gene, nothing) & theirs.get(feature, nothing)))
        for gene, feature in zip(associations[left], associations["feature"], strict=True)
    ]


def leaning(of_features: pd.DataFrame, level: float) -> dict[str, tuple[str, ...]]:
    """Name -> the batch variables that it goes with at p below `level`, each test taken alone."""
    mine = of_features[of_features["p"] < level].groupby("name")["batch"].agg(list)
    return {str(name): tuple(sorted(batches)) for name, batches in mine.items()}


def within_batches(
    gene: NDArray[Any],
    feature: NDArray[Any],
    batches: pd.DataFrame,
    *,
    permutations: int,
    seed: int,
    held: Held = FREE,
) -> tuple[float, float]:
    """Effect and p of one association inside the batches: numbers as covariates, categories as strata.

    Patients are permuted within strata; a patient whose batch is unknown is left out. nan where nobody is left to
    compare.

    Args:
        held: what is adjusted for beside them.
    """
    known = batches.notna().all(axis=1).to_numpy() & np.isfinite(np.asarray(feature, np.float64))
    if known.sum() < FEWEST:
        return float("nan"), float("nan")
    rows = batches[known]
    numeric = [name for name in rows if rows[name].dtype.kind == "f"]
    texts = [rows[name].astype(str).to_numpy(object) for name in rows if name not in numeric]
    fixed = also(held, stats.rankdata(rows[numeric].to_numpy(), axis=0), known)
    texts += [] if fixed["blocks"] is None else [np.asarray(fixed["blocks"]).astype(str)]
    fixed["blocks"] = np.array(["|".join(map(str, row)) for row in zip(*texts, strict=True)]) if texts else None
    if fixed["covariates"] is not None and not fixed["covariates"].shape[1]:
        fixed["covariates"] = None
    associations = associate(
        np.asarray(gene, np.float64)[known, None], np.asarray(feature, np.float64)[known, None], ["gene"], ["feature"],
        permutations=permutations, each=True, seed=seed, **fixed,
    )  # fmt: skip
    return float(associations.effect[0, 0]), float(associations.p_permuted[0, 0])


def _variable(column: pd.Series, name: str) -> pd.Series | None:
    """A batch variable as float or text, or None where it does not vary or is unknown."""
    dated = "date" in name.lower()
    values = days(column) if dated else numbers(column)
    if values is not None:
        different, known = values.nunique(), values.notna().sum()
        codes = not dated and different <= MOST_CODES and known >= different * SMALLEST_BATCH
        if different > 2 and not codes:
            return values if known >= 2 * SMALLEST_BATCH else None
        column = values.map(lambda number: f"{number:.12g}", na_action="ignore")
    text = known_text(column)
    counts = text.value_counts()
    rare = counts.index[counts < SMALLEST_BATCH]
    text = text.where(~text.isin(rare), "other")
    counts = text.value_counts()
    return text if (counts >= SMALLEST_BATCH).sum() > 1 else None


def days(column: pd.Series) -> pd.Series | None:
    """Dates in days: as DICOM writes them (20100131, a number or not), as a table does, or counted in days already;
    None where there are none."""
    text, known = known_text(column), numbers(column)
    if known is not None:
        text = known.map("{:.0f}".format, na_action="ignore").where(known.notna())
    compact = text.astype(str).str.fullmatch(r"\d{8}")
    dates = pd.to_datetime(text.where(compact), format="%Y%m%d", errors="coerce")
    if known is not None:
        if dates.notna().sum() < known.notna().sum():
            return known  # days since something: tables without names often count so
    else:
        dates = dates.fillna(pd.to_datetime(text.where(~compact), format="mixed", errors="coerce"))
    days = (dates - pd.Timestamp(1970, 1, 1)) / pd.Timedelta(days=1)
    return days.astype(np.float64) if days.notna().any() else None


def _kruskal(data: NDArray[np.float64], groups: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Share of variance, p and n of Kruskal and Wallis' test of each column; with ranks, H = (n - 1) times the share
    of the variance between groups, ties included."""
    effect, p = np.full(data.shape[1], np.nan), np.full(data.shape[1], np.nan)
    n = np.isfinite(data).sum(axis=0)
    for k in range(data.shape[1]):
        has = np.isfinite(data[:, k])
        codes, levels = pd.factorize(groups[has])
        if len(levels) < 2:
            continue
        ranks = stats.rankdata(data[has, k])
        ranks -= ranks.mean()
        total = float(ranks @ ranks)
        if total == 0:
            continue
        sums = np.bincount(codes, ranks)
        effect[k] = float((sums**2 / np.bincount(codes)).sum() / total)
        p[k] = stats.chi2.sf((len(ranks) - 1) * effect[k], len(levels) - 1)
    return effect, p, n
