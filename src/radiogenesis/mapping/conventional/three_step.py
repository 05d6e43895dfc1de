"""The conventional map in three steps (Gevaert et al. 2012, Zhou et al. 2018), with its controls.

Genes -> metagenes; images -> features; every metagene against every feature. Beside the hits stand those of shuffled
genes, those that remain when adjusted for the lesion's size, those that both sides owe to a batch, and those with the
noise of the image, which are the scanner's.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import CohortError, SettingError
from radiogenesis.mapping.conventional import confounding, enrichment
from radiogenesis.mapping.conventional.covariates import covariates_of
from radiogenesis.mapping.conventional.features import LESION, NOISE, FeatureTable, cohort_features, radiomic_table
from radiogenesis.mapping.conventional.plan import Plan, plan_of
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.stats.association import (
    FEWEST,
    LEAST_FREEDOM,
    Associations,
    Held,
    also,
    associate,
    freedom_of,
    permutation,
)
from radiogenesis.stats.metagenes import Metagenes, Stability, choose_clusters

FOUND, CONFOUNDED, INCOHERENT, SCANNER, NOT_FOUND = "found", "confounded", "incoherent", "scanner", "not found"
LEANING = 0.05
"""p below which the feature of a reported link is taken to go with a batch variable; the link is tested again within
it. A batch is looked for at a far stricter level (q over all tests) before it flags a link as confounded."""


@dataclass(frozen=True, eq=False)
class MapInputs:
    """What a conventional map is computed from; patients are the rows throughout.

    Attributes:
        genes: (n, G) z-scores without missing values.
        names: of the G genes.
        features: the features of the same patients.
        batches: batch variables of the same patients, from `usable_batches`.
        size: the feature that is the lesion's size, "" where there is none.
        source: what it is of, in words.
        covariates: (n, C) what every test is adjusted for, complete; None for nothing.
        said: sentences about what was left out.
    """

    genes: NDArray[np.float32]
    names: tuple[str, ...]
    features: FeatureTable
    batches: pd.DataFrame
    size: str
    source: str
    covariates: pd.DataFrame | None = None
    said: tuple[str, ...] = ()

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
        plan: what could be found, said before any test.
        by_metagene, by_gene: all tests.
        links: tidy: metagene, feature, family, effect, z, p, q, p_max, n, test, p_given_size, batch, batch_within,
            effect_within, p_within, verdict.
        gene_links: tidy: gene, feature, family, effect, z, p, q, p_max, n, test, batch, verdict.
        metagene_batches, gene_batches, feature_batches, set_batches: tidy tests against batch variables; of a gene set,
            those of the mean of its genes.
        shuffled: hits of each shuffle of the genes.
        sets: gene sets along the ranked genes of each feature, with batch and verdict; empty without gene sets.
        members: gene sets over-represented in metagenes; empty without gene sets.
    """

    material: MapInputs
    settings: MapSettings
    metagenes: Metagenes
    values: NDArray[np.float32]
    stability: Stability
    coherent: NDArray[np.bool_]
    choice: pd.DataFrame | None
    plan: Plan
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
    set_batches: pd.DataFrame = field(default_factory=pd.DataFrame)


def inputs_of(cohort: Cohort, settings: MapSettings, without: Collection[str] = ()) -> MapInputs:
    """Genes, features and batch variables of the patients who have both slices and expression, and all covariates.

    Args:
        without: patients who are left out.

    Raises:
        CohortError: fewer than 8 of them.
        SettingError: a covariate that is not there, does not vary, or has a cell that is no number.
    """
    usable = cohort.patients[(cohort.patients["n_slices"] > 0) & cohort.patients["has_expression"]]
    patients = [str(patient) for patient in usable.index if str(patient) not in without]
    covariates, said = None, tuple[str, ...]()
    if settings.covariate_names:
        adjusted = covariates_of(cohort.clinical, patients, settings.covariate_names)
        covariates, said = adjusted.values, adjusted.said
        patients = [str(patient) for patient in covariates.index]
    if len(patients) < FEWEST:
        have = "slices, expression and all covariates" if settings.covariates else "both slices and expression"
        raise CohortError(
            f"only {len(patients)} patients have {have}; a map needs at least {FEWEST}",
            path=cohort.path,
            remedy=" ".join(said) or "see `radiogenesis cohort describe` for who is missing what",
        )
    scaler = ExpressionScaler.fit(cohort.expression, patients, ExpressionSettings(missing=settings.missing))
    features = cohort_features(cohort, patients, settings.smallest_group, confounding.batch_columns(cohort.clinical))
    if settings.radiomics:
        features = features.joined(radiomic_table(cohort, patients, settings.radiomics, settings.smallest_group))
    said += tuple(filter(None, [scaler.left_out(cohort.expression)]))
    said += tuple(f"{name}: {why}." for name, why in features.left_out.items())
    size = next((name for name, family in features.family.items() if family == LESION and name.startswith("size")), "")
    return MapInputs(
        scaler.transform(cohort.expression, patients), scaler.genes, features,
        confounding.cohort_batches(cohort, patients), size, f"{len(patients)} patients of {cohort.path.name}",
        covariates, said,
    )  # fmt: skip


def conventional_map(
    material: MapInputs,
    settings: MapSettings | None = None,
    gene_sets: enrichment.GeneSets | None = None,
    planned: Callable[[Plan], object] = lambda plan: None,
) -> ConventionalMap:
    """The three steps and the controls.

    Args:
        planned: is called with what could be found, before any gene is tested against any feature.

    Raises:
        SettingError: more metagenes than genes, or a batch variable that is not there.
    """
    settings = settings or MapSettings()
    genes, seed = material.genes, settings.seed
    features = material.features.values.to_numpy(np.float64)
    names = list(map(str, material.features.values.columns))
    held = held_fixed(material, settings)

    clusters, choice = settings.clusters, None
    if not clusters:
        clusters, choice = choose_clusters(genes, seed=seed)
    metagenes = Metagenes.fit(genes, material.names, clusters=clusters, method=settings.method, seed=seed)
    values = metagenes.transform(genes)
    plan = plan_of(material.features, clusters, held, settings.alpha)
    planned(plan)

    times = settings.permutations
    by_metagene = associate(values, features, metagenes.ids, names, permutations=times, seed=seed, **held)
    by_gene = associate(genes, features, material.names, names, permutations=times, seed=seed, **held)

    of_metagenes = confounding.test_batches(values, metagenes.ids, material.batches)
    of_genes = confounding.test_batches(genes, material.names, material.batches)
    of_features = confounding.test_batches(features, names, material.batches)
    links = _passed(by_metagene.table("metagene"), settings)
    family, alpha = material.features.family, settings.alpha
    asked = of_features[~of_features["batch"].isin(held_batches(material.batches, settings))]
    links = judged(links, "metagene", of_metagenes, asked, family, alpha)
    coherent = metagenes.coherent(genes, seed=seed)
    noise = links["metagene"].isin(np.array(metagenes.ids)[~coherent])
    links.loc[noise & (links["verdict"] == FOUND), "verdict"] = INCOHERENT
    links = _given_size(links, material, values, metagenes, held)
    links = _inside_batches(links, asked, material, values, metagenes, settings, held)
    gene_links = _passed(by_gene.table("gene"), settings)
    gene_links = judged(gene_links, "gene", of_genes, asked, family, alpha)

    sets = members = of_sets = pd.DataFrame()
    if gene_sets:
        of_sets = batches_of_sets(material, gene_sets)
        sets = enrichment.ranked_enrichment(
            genes, features, by_gene, gene_sets, permutations=times, alpha=alpha, held=held, seed=seed
        )
        sets = judged(sets.rename(columns={"holds": "passed"}), "set", of_sets, asked, family, alpha)
        members = enrichment.over_representation(metagenes, gene_sets)
    return ConventionalMap(
        material, settings, metagenes, values, metagenes.stability(genes, seed=seed), coherent, choice, plan,
        by_metagene, by_gene, links, gene_links, of_metagenes, of_genes, of_features,
        _shuffled_hits(values, features, held, settings), sets, members, of_sets,
    )  # fmt: skip


def held_fixed(material: MapInputs, settings: MapSettings) -> Held:
    """What every test is adjusted for: the batches of `within`, and the covariates.

    Raises:
        SettingError: so many that too few degrees of freedom are left for any test.
    """
    blocks, n = strata(material.batches, settings.within), len(material.patients)
    covariates = None if material.covariates is None else material.covariates.to_numpy(np.float64)
    held: Held = {"blocks": blocks, "covariates": covariates, "model": "rank" if covariates is None else "linear"}
    freedom = freedom_of(n, held)
    if freedom < LEAST_FREEDOM:
        fixed = " and ".join(name for name in (settings.covariates, settings.within) if name)
        raise SettingError(
            f"{n} patients adjusted for {fixed} leave {freedom} degrees of freedom; a test needs {LEAST_FREEDOM}",
            remedy="adjust for fewer covariates, or for those with fewer levels",
        )
    return held


def held_batches(batches: pd.DataFrame, settings: MapSettings) -> list[str]:
    """Batch variables that no link can owe anything to, since every test holds them fixed: covariates, and `within`
    where its levels are the strata (of a number only quarters are)."""
    within = [settings.within] if settings.within in batches and batches[settings.within].dtype.kind != "f" else []
    return [*within, *settings.covariate_names]


def batches_of_sets(material: MapInputs, gene_sets: enrichment.GeneSets) -> pd.DataFrame:
    """The mean of each gene set's measured genes against every batch variable."""
    means = enrichment.set_means(material.genes, material.names, gene_sets)
    return confounding.test_batches(means, list(gene_sets), material.batches)


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


def _passed(table: pd.DataFrame, settings: MapSettings) -> pd.DataFrame:
    return table.assign(passed=table["q"].to_numpy() < settings.alpha)


def judged(
    table: pd.DataFrame, left: str, of_left: pd.DataFrame, of_features: pd.DataFrame, family: Mapping[str, str],
    alpha: float,
) -> pd.DataFrame:  # fmt: skip
    """The table with the family of each feature, the batches that both sides share, and the verdict.

    Args:
        table: tidy: `left`, feature, and what passed the tests; this column is replaced by the verdict.
        of_left, of_features: tests of both sides against batch variables.
        family: of each feature.
        alpha: false discovery rate below which a side goes with a batch.
    """
    shared = confounding.shared_batches(table, left, of_left, of_features, alpha)
    of_family = table["feature"].map(family)
    reasons = [
        ~table["passed"].to_numpy(bool),
        (of_family == NOISE).to_numpy(),
        np.array([bool(b) for b in shared], bool),
    ]
    links = table.drop(columns="passed")
    links.insert(2, "family", of_family)
    links["batch"] = ["; ".join(batches) for batches in shared]
    links["verdict"] = np.select(reasons, [NOT_FOUND, SCANNER, CONFOUNDED], FOUND)
    return links


def _given_size(
    links: pd.DataFrame, material: MapInputs, values: NDArray[Any], metagenes: Metagenes, held: Held
) -> pd.DataFrame:
    """p of each link adjusted for the rank of the lesion's size: is it more than volume?"""
    given: NDArray[Any] = np.full(len(links), np.nan)
    if material.size:
        table = material.features.values
        size = table[material.size].to_numpy(np.float64)
        known = np.isfinite(size)
        associations = associate(
            values[known], table.to_numpy(np.float64)[known], metagenes.ids, list(map(str, table.columns)),
            **also(held, stats.rankdata(size[known]), known),
        )  # fmt: skip
        p = pd.DataFrame(associations.p, index=list(metagenes.ids), columns=table.columns).stack(future_stack=True)
        given = p.reindex(pd.MultiIndex.from_frame(links[["metagene", "feature"]])).to_numpy(np.float64)
        given[(links["feature"] == material.size).to_numpy()] = np.nan
    return links.assign(p_given_size=given)


def _inside_batches(
    links: pd.DataFrame, of_features: pd.DataFrame, material: MapInputs, values: NDArray[Any], metagenes: Metagenes,
    settings: MapSettings, held: Held,
) -> pd.DataFrame:  # fmt: skip
    """Effect and p of links inside batches, patients permuted within these: of a confounded link inside those that it
    shares, of a found one inside those that its feature leans to."""
    effect, p = np.full(len(links), np.nan), np.full(len(links), np.nan)
    column = {name: k for k, name in enumerate(metagenes.ids)}
    leaning = confounding.leaning(of_features, LEANING)
    inside = [""] * len(links)
    for row in np.flatnonzero(links["verdict"].isin([CONFOUNDED, FOUND])):
        link = links.iloc[row]
        shared = str(link["batch"]).split("; ") if link["verdict"] == CONFOUNDED else leaning.get(link["feature"], ())
        if not shared:
            continue
        inside[row] = "; ".join(shared)
        effect[row], p[row] = confounding.within_batches(
            values[:, column[str(link["metagene"])]],
            material.features.values[link["feature"]].to_numpy(np.float64),
            material.batches[list(shared)],
            permutations=settings.permutations,
            seed=settings.seed,
            held=held,
        )
    return links.assign(batch_within=inside, effect_within=effect, p_within=p)


def _shuffled_hits(
    values: NDArray[Any], features: NDArray[Any], held: Held, settings: MapSettings
) -> NDArray[np.int64]:
    """Associations below alpha when every patient has another patient's genes, shuffle by shuffle."""
    counts = []
    for shuffle in range(settings.shuffles):
        turned = values[permutation(len(values), held["blocks"], settings.seed + 1, shuffle)]
        associations = associate(turned, features, range_names(values), range_names(features), **held)
        counts.append(int((associations.q < settings.alpha).sum()))
    return np.array(counts)


def range_names(values: NDArray[Any]) -> Sequence[str]:
    """Names of columns that nobody will read."""
    return [str(i) for i in range(values.shape[1])]
