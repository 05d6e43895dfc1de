"""The conventional map in three steps (Gevaert et al. 2012, Zhou et al. 2018), with its controls.

Genes -> metagenes; images -> features; every metagene against every feature. Beside the hits stand those of shuffled
genes, those that remain when the lesion's size is held fixed, and those that both sides owe to a batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings
from radiogenesis.cohort.metagenes import Metagenes, Stability, choose_clusters
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, SettingError
from radiogenesis.mapping import confounding, enrichment
from radiogenesis.mapping.association import FEWEST, Associations, associate, permutation
from radiogenesis.mapping.features import LESION, FeatureTable, cohort_features
from radiogenesis.mapping.settings import MapSettings

FOUND, CONFOUNDED, INCOHERENT, NOT_FOUND = "found", "confounded", "incoherent", "not found"


@dataclass(frozen=True, eq=False)
class Material:
    """What a conventional map is made from; patients are the rows throughout.

    Attributes:
        genes: (n, G) z-scores without missing values.
        names: of the G genes.
        features: the features of the same patients.
        batches: batch variables of the same patients, from `usable_batches`.
        size: the feature that is the lesion's size, "" where there is none.
        source: what it is of, in words.
    """

    genes: NDArray[np.float32]
    names: tuple[str, ...]
    features: FeatureTable
    batches: pd.DataFrame
    size: str
    source: str

    @property
    def patients(self) -> tuple[str, ...]:
        """(n,) ids."""
        return tuple(map(str, self.features.values.index))


@dataclass(frozen=True, eq=False)
class ConventionalMap:
    """A map with its controls.

    Attributes:
        material, settings: what it was made from and how.
        metagenes: fitted on all patients of the map, without a look at any feature.
        values: (n, K) of the metagenes.
        stability: of the metagenes on random parts of the patients.
        coherent: (K,) whether a metagene is more than clustered noise; one that is not is never reported as found.
        choice: how the number of metagenes was chosen; None where it was given.
        by_metagene, by_gene: all tests.
        links: tidy: metagene, feature, family, effect, z, p, q, p_max, n, test, p_given_size, batch, effect_within,
            p_within, verdict.
        gene_links: tidy: gene, feature, family, effect, z, p, q, p_max, n, test, batch, verdict.
        metagene_batches, gene_batches, feature_batches: tidy tests against batch variables.
        shuffled: hits of each shuffle of the genes.
        sets: gene sets along the ranked genes of each feature; empty without gene sets.
        members: gene sets over-represented in metagenes; empty without gene sets.
    """

    material: Material
    settings: MapSettings
    metagenes: Metagenes
    values: NDArray[np.float32]
    stability: Stability
    coherent: NDArray[np.bool_]
    choice: pd.DataFrame | None
    by_metagene: Associations
    by_gene: Associations
    links: pd.DataFrame
    gene_links: pd.DataFrame
    metagene_batches: pd.DataFrame
    gene_batches: pd.DataFrame
    feature_batches: pd.DataFrame
    shuffled: NDArray[np.int64]
    sets: pd.DataFrame = field(default_factory=pd.DataFrame)
    members: pd.DataFrame = field(default_factory=pd.DataFrame)


def material_of(cohort: Cohort, settings: MapSettings) -> Material:
    """Genes, features and batch variables of the patients who have both slices and expression.

    Raises:
        CohortError: fewer than 8 of them.
    """
    usable = cohort.patients[(cohort.patients["n_slices"] > 0) & cohort.patients["has_expression"]]
    patients = [str(patient) for patient in usable.index]
    if len(patients) < FEWEST:
        raise CohortError(
            f"only {len(patients)} patients have both slices and expression; a map needs at least {FEWEST}",
            path=cohort.path,
            remedy="see `radiogenesis cohort describe` for who is missing what",
        )
    scaler = ExpressionScaler.fit(cohort.expression, patients, ExpressionSettings(missing=settings.missing))
    features = cohort_features(cohort, patients, settings.smallest_group, confounding.batch_columns(cohort.clinical))
    size = next((name for name, family in features.family.items() if family == LESION and name.startswith("size")), "")
    return Material(
        scaler.transform(cohort.expression, patients), scaler.genes, features,
        confounding.cohort_batches(cohort, patients), size, f"{len(patients)} patients of {cohort.path.name}",
    )  # fmt: skip


def conventional_map(
    material: Material, settings: MapSettings | None = None, gene_sets: enrichment.GeneSets | None = None
) -> ConventionalMap:
    """The three steps and the controls.

    Raises:
        SettingError: more metagenes than genes, or a batch variable that is not there.
    """
    settings = settings or MapSettings()
    genes, seed = material.genes, settings.seed
    features = material.features.values.to_numpy(np.float64)
    names = list(map(str, material.features.values.columns))
    blocks = strata(material.batches, settings.within)

    clusters, choice = settings.clusters, None
    if not clusters:
        clusters, choice = choose_clusters(genes, seed=seed)
    metagenes = Metagenes.fit(genes, material.names, clusters=clusters, method=settings.method, seed=seed)
    values = metagenes.transform(genes)

    how: dict[str, Any] = {"blocks": blocks, "permutations": settings.permutations, "seed": seed}
    by_metagene = associate(values, features, metagenes.ids, names, **how)
    by_gene = associate(genes, features, material.names, names, **how)

    of_metagenes = confounding.test_batches(values, metagenes.ids, material.batches)
    of_genes = confounding.test_batches(genes, material.names, material.batches)
    of_features = confounding.test_batches(features, names, material.batches)
    links = _judged(by_metagene.table("metagene"), "metagene", of_metagenes, of_features, material, settings)
    coherent = metagenes.coherent(genes, seed=seed)
    noise = links["metagene"].isin(np.array(metagenes.ids)[~coherent])
    links.loc[noise & (links["verdict"] == FOUND), "verdict"] = INCOHERENT
    links = _given_size(links, material, values, metagenes, settings)
    links = _inside_batches(links, material, values, metagenes, settings)
    gene_links = _judged(by_gene.table("gene"), "gene", of_genes, of_features, material, settings)

    sets = members = pd.DataFrame()
    if gene_sets:
        sets = enrichment.ranked_enrichment(
            genes, features, by_gene, gene_sets, permutations=settings.permutations, seed=seed
        )
        members = enrichment.over_representation(metagenes, gene_sets)
    return ConventionalMap(
        material, settings, metagenes, values, metagenes.stability(genes, seed=seed), coherent, choice,
        by_metagene, by_gene, links, gene_links, of_metagenes, of_genes, of_features,
        _shuffled_hits(values, features, blocks, settings), sets, members,
    )  # fmt: skip


def strata(batches: pd.DataFrame, within: str) -> NDArray[Any] | None:
    """Strata of the batch variable that the permutations are to stay within."""
    if not within:
        return None
    if within not in batches:
        known = ", ".join(batches.columns) or "none varies"
        raise SettingError(f"within {within!r}: no batch variable of this cohort", remedy=f"choose from: {known}")
    column = batches[within]
    if column.dtype.kind == "f":
        quarters = pd.qcut(column.rank(method="first"), 4, labels=False)
        return quarters.astype(object).where(column.notna(), "unknown").astype(str).to_numpy(object)
    return column.fillna("unknown").to_numpy(object)


def _judged(
    table: pd.DataFrame,
    left: str,
    of_left: pd.DataFrame,
    of_features: pd.DataFrame,
    material: Material,
    settings: MapSettings,
) -> pd.DataFrame:
    """The table with the family of each feature, the shared batches, and the verdict."""
    shared = confounding.shared_batches(table, left, of_left, of_features, settings.alpha)
    hit = table["q"].to_numpy() < settings.alpha
    confounded = np.array([bool(batches) for batches in shared], bool)
    table.insert(2, "family", table["feature"].map(material.features.family))
    table["batch"] = ["; ".join(batches) for batches in shared]
    table["verdict"] = np.where(hit & confounded, CONFOUNDED, np.where(hit, FOUND, NOT_FOUND))
    return table


def _given_size(
    links: pd.DataFrame, material: Material, values: NDArray[Any], metagenes: Metagenes, settings: MapSettings
) -> pd.DataFrame:
    """p of each link when the ranks of both sides are freed of those of the lesion's size: more than volume?"""
    given: NDArray[Any] = np.full(len(links), np.nan)
    if material.size:
        table = material.features.values
        size = table[material.size].to_numpy(np.float64)
        known = np.isfinite(size)
        found = associate(
            values[known], table.to_numpy(np.float64)[known], metagenes.ids, list(map(str, table.columns)),
            covariates=stats.rankdata(size[known])[:, None],
        )  # fmt: skip
        p = pd.DataFrame(found.p, index=list(metagenes.ids), columns=table.columns).stack(future_stack=True)
        given = p.reindex(pd.MultiIndex.from_frame(links[["metagene", "feature"]])).to_numpy(np.float64)
        given[(links["feature"] == material.size).to_numpy()] = np.nan
    return links.assign(p_given_size=given)


def _inside_batches(
    links: pd.DataFrame, material: Material, values: NDArray[Any], metagenes: Metagenes, settings: MapSettings
) -> pd.DataFrame:
    """Effect and p of the confounded links inside their batches, patients permuted within these."""
    effect, p = np.full(len(links), np.nan), np.full(len(links), np.nan)
    column = {name: k for k, name in enumerate(metagenes.ids)}
    for row in np.flatnonzero(links["verdict"] == CONFOUNDED):
        link = links.iloc[row]
        effect[row], p[row] = confounding.within_batches(
            values[:, column[str(link["metagene"])]],
            material.features.values[link["feature"]].to_numpy(np.float64),
            material.batches[str(link["batch"]).split("; ")],
            permutations=settings.permutations,
            seed=settings.seed,
        )
    return links.assign(effect_within=effect, p_within=p)


def _shuffled_hits(
    values: NDArray[Any], features: NDArray[Any], blocks: NDArray[Any] | None, settings: MapSettings
) -> NDArray[np.int64]:
    """Associations below alpha when every patient has another patient's genes, shuffle by shuffle."""
    counts = []
    for shuffle in range(settings.shuffles):
        turned = values[permutation(len(values), blocks, settings.seed + 1, shuffle)]
        found = associate(turned, features, range_names(values), range_names(features), blocks=blocks)
        counts.append(int((found.q < settings.alpha).sum()))
    return np.array(counts)


def range_names(values: NDArray[Any]) -> Sequence[str]:
    """Names of columns that nobody will read."""
    return [str(i) for i in range(values.shape[1])]
