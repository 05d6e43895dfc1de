"""Metagenes against the features that the gene autoencoder's encoder made for itself (Li, Sui et al., figure 6).

The paper clusters the correlations of 192 encoder features with 100 metagenes and declares them strong. But the encoder
was trained to say its training patients' genes: among THEM such correlations are what training asked for, whether or
not anything shows in an image. So the associations are tested on held-out patients only, with metagenes that were
fitted on training patients; beside them stand the hits of shuffled genes, those that remain when adjusted for the
lesion's size, and what both sides owe to a batch (EVIDENCE.md rules 1, 2, 4 and 5). How much stronger the same
correlations are among the training patients is printed as the warning that it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv
from radiogenesis.errors import CohortError
from radiogenesis.evaluation.descriptions.properties import own_features
from radiogenesis.mapping.conventional import confounding
from radiogenesis.mapping.conventional.covariates import covariates_of
from radiogenesis.mapping.conventional.three_step import CONFOUNDED, FOUND, NOT_FOUND, held_batches, strata
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
from radiogenesis.pages.mapping.pictures import clustered_order, diverging_colors
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.reporting.figures import FONT, Theme, save_both
from radiogenesis.reporting.model import Column, Picture, Section, Table
from radiogenesis.stats.association import FEWEST, FREE, Associations, Held, also, associate, permutation
from radiogenesis.stats.metagenes import Metagenes
from radiogenesis.stats.resampling import patient_means

CLUSTERS = 100
"""Metagenes, where the settings leave their number open (Li, Sui et al., section 4)."""
SHOWN = 30
"""Links that the page shows; the file has all."""


@dataclass(frozen=True, eq=False)
class CodeFeatureMap:
    """Metagenes against encoder features, on held-out patients.

    Attributes:
        metagenes: fitted on the training patients.
        held_out: the tests.
        links: tidy: metagene, genes, feature, effect, z, p, q, p_max, n, test, p_given_size, batch, verdict.
        shuffled: hits of each shuffle of the genes between held-out patients.
        mean_held_out, mean_training: mean |rho| over the table, on held-out and on training patients.
        mean_shuffled: the same on held-out patients with shuffled genes.
        patients: how many were held out.
        settings: how it was made.
    """

    metagenes: Metagenes
    held_out: Associations
    links: pd.DataFrame
    shuffled: NDArray[np.int64]
    mean_held_out: float
    mean_training: float
    mean_shuffled: float
    patients: int
    settings: MapSettings


def encoder_features(method: GeneAutoencoder, cohort: Cohort, patients: tuple[str, ...]) -> NDArray[np.float64]:
    """(n, 192) of each patient: the mean over the patient's slices."""
    own = cohort.lesions(patients)
    features = method.image_features(own.image.astype(np.float32), own.mask)
    return np.stack([patient_means(column, own.patient, patients) for column in features.T], axis=1)


def code_feature_map(
    method: GeneAutoencoder, cohort: Cohort, split: Split, scaler: ExpressionScaler, settings: MapSettings
) -> CodeFeatureMap:
    """Test every metagene against every encoder feature.

    Args:
        settings: `clusters` 0 means 100, as in the paper, or a third of the genes where there are fewer than 300.

    Raises:
        CohortError: fewer than 8 patients were held out, or have all covariates.
        SettingError: a batch variable or covariate that is not there.
    """
    asked, held = _held(cohort, split, settings)
    if len(asked) < FEWEST:
        known = " whose covariates are known" if settings.covariates else ""
        raise CohortError(
            f"only {len(asked)} held-out patients{known}; figure 6 needs at least {FEWEST}",
            path=cohort.path,
            remedy="train with a larger test fraction",
        )
    genes = scaler.transform(cohort.expression, list(split.train))
    clusters = settings.clusters or min(CLUSTERS, max(1, len(scaler.genes) // 3))
    metagenes = Metagenes.fit(genes, scaler.genes, clusters=clusters, method=settings.method, seed=settings.seed)
    names = method.feature_names
    x = metagenes.transform(scaler.transform(cohort.expression, list(asked)))
    y = encoder_features(method, cohort, asked)
    held_out = associate(x, y, metagenes.ids, names, permutations=settings.permutations, seed=settings.seed, **held)
    training = associate(
        metagenes.transform(genes), encoder_features(method, cohort, split.train), metagenes.ids, names
    )
    orders = [permutation(len(x), held["blocks"], settings.seed + 1, number) for number in range(settings.shuffles)]
    shuffles = [associate(x[order], y, metagenes.ids, names, **held) for order in orders]
    return CodeFeatureMap(
        metagenes, held_out, _links(held_out, x, y, metagenes, cohort, asked, held, settings),
        np.array([int((one.q < settings.alpha).sum()) for one in shuffles]), _strength(held_out), _strength(training),
        float(np.mean([_strength(one) for one in shuffles])), len(asked), settings,
    )  # fmt: skip


def _held(cohort: Cohort, split: Split, settings: MapSettings) -> tuple[tuple[str, ...], Held]:
    """The held-out patients whose covariates are known, and what the tests hold fixed among them."""
    asked, held = tuple(split.test), FREE
    if settings.covariate_names:
        known = covariates_of(cohort.clinical, asked, settings.covariate_names).values
        asked = tuple(map(str, known.index))
        held = {"blocks": None, "covariates": known.to_numpy(np.float64), "model": "linear"}
    if settings.within:
        batches = confounding.cohort_batches(cohort, [*split.train, *split.test])
        blocks = pd.Series(strata(batches, settings.within), batches.index)
        held = {**held, "blocks": blocks.loc[list(asked)].to_numpy(object)}
    return asked, held


def _strength(associations: Associations) -> float:
    """Mean |rho|, nan left out."""
    return float(np.nanmean(np.abs(associations.effect)))


def _links(
    associations: Associations, x: NDArray[Any], y: NDArray[Any], metagenes: Metagenes, cohort: Cohort,
    patients: tuple[str, ...], held: Held, settings: MapSettings,
) -> pd.DataFrame:  # fmt: skip
    """All tests with the p given size, the batches that both sides share, and the verdict."""
    links = associations.table("metagene")
    members = {name: ", ".join(metagenes.members(k)[:3]) for k, name in enumerate(metagenes.ids)}
    links.insert(1, "genes", links["metagene"].map(members))
    size = own_features(cohort, patients)[:, FEATURES.index("size")]
    known = np.isfinite(size)
    given = associate(
        x[known], y[known], associations.genes, associations.features, **also(held, stats.rankdata(size[known]), known)
    )
    p = pd.DataFrame(given.p, index=list(associations.genes), columns=list(associations.features)).stack(
        future_stack=True
    )
    links["p_given_size"] = p.reindex(pd.MultiIndex.from_frame(links[["metagene", "feature"]])).to_numpy(np.float64)
    batches = confounding.cohort_batches(cohort, patients)
    of_metagenes, of_features = (
        confounding.test_batches(values, names, batches)
        for values, names in ((x, associations.genes), (y, associations.features))
    )
    of_features = of_features[~of_features["batch"].isin(held_batches(batches, settings))]
    shared = confounding.shared_batches(links, "metagene", of_metagenes, of_features, settings.alpha)
    links["batch"] = ["; ".join(one) for one in shared]
    hit = links["q"].to_numpy() < settings.alpha
    links["verdict"] = np.where(hit & (links["batch"] != ""), CONFOUNDED, np.where(hit, FOUND, NOT_FOUND))
    return links


def figure_6(code_map: CodeFeatureMap, theme: Theme) -> Figure:
    """Encoder features (rows) x metagenes (columns), both in the order of their clustering, colored by rho."""
    rho = np.nan_to_num(code_map.held_out.effect)
    rows, columns = clustered_order(rho.T), clustered_order(rho)
    values = np.ma.masked_invalid(code_map.held_out.effect.T[np.ix_(rows, columns)])
    height = float(np.clip(0.066 * values.shape[0] + 1.2, 3.0, 14.0))
    width = float(np.clip(0.082 * values.shape[1] + 2.6, 5.0, 12.0))
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(values, cmap=diverging_colors(theme), vmin=-1, vmax=1, aspect="auto", interpolation="none")
    hit = (code_map.held_out.p_max < code_map.settings.alpha).T[np.ix_(rows, columns)]
    y, x = np.nonzero(hit)
    axes.scatter(x, y, s=3, color=theme.ink, linewidths=0)
    axes.set_yticks(range(len(rows)), [code_map.held_out.features[i] for i in rows], family=FONT)
    axes.set_xticks(range(len(columns)), [code_map.held_out.genes[i] for i in columns], rotation=90, family=FONT)
    axes.tick_params(colors=theme.soft, labelsize=3.6, length=0, pad=1)
    for side in axes.spines.values():
        side.set_visible(False)
    bar = figure.colorbar(image, ax=axes, shrink=0.25, aspect=14, pad=0.01)
    bar.set_label("Spearman's ρ, held-out patients", fontsize=6.5, color=theme.soft, family=FONT)
    bar.ax.tick_params(colors=theme.soft, labelsize=5.5, length=0)
    bar.outline.set_visible(False)
    return figure


def conclusion(code_map: CodeFeatureMap) -> str:
    """What may be said of it. No test passed, no claim."""
    found, trapped = ((code_map.links["verdict"] == what).sum() for what in (FOUND, CONFOUNDED))
    beyond = int(
        ((code_map.links["verdict"] == FOUND) & (code_map.links["p_given_size"] < code_map.settings.alpha)).sum()
    )
    chance = f"with genes shuffled between patients {code_map.shuffled.mean():.1f} on average"
    text = (
        f"Metagenes and encoder features: {found} of {code_map.held_out.tests:,} associations found on "
        f"{code_map.patients} held-out patients (q < {code_map.settings.alpha:g}; {chance}), {beyond} of them with p < "
        f"{code_map.settings.alpha:g} given the lesion's size, {trapped} flagged as confounded."
    )
    if not found:
        text = (
            f"Metagenes and encoder features: none of {code_map.held_out.tests:,} associations is found on "
            f"{code_map.patients} held-out patients (q < {code_map.settings.alpha:g}; {chance}; {trapped} flagged as "
            "confounded)."
        )
    return text


def code_section(code_map: CodeFeatureMap, folder: Path) -> Section:
    """Draw figure 6, write the tables, and lay out the section.

    Args:
        folder: of the page: pictures/ and tables/ are in it.
    """
    light, dark = save_both(lambda theme: figure_6(code_map, theme), folder / "pictures", "figure6")
    write_csv(code_map.links, folder / "tables" / "code_features.csv")
    write_csv(code_map.metagenes.table(), folder / "tables" / "code_metagenes.csv")
    write_csv(code_map.links.head(SHOWN), folder / "tables" / "code_features_shown.csv")
    blocks = (
        Picture(
            file=light, dark=dark, alt="Clustered heat map of encoder features against metagenes",
            caption=f"As figure 6 of Li, Sui et al., but on {code_map.patients} patients whom the encoder never saw: "
            f"{len(code_map.held_out.features)} features of its first two blocks (rows: region, block, channel) "
            f"against {len(code_map.metagenes)} metagenes of the training patients, both in the order of their "
            "clustering, which shows blocks in any table. Dots: family-wise p < "
            f"{code_map.settings.alpha:g} over the whole table.",
        ),
        Table(
            file="code_features_shown.csv",
            caption=f"The {min(SHOWN, len(code_map.links))} strongest; all are in tables/code_features.csv. p given "
            "size: both sides adjusted for the rank of the lesion's size.",
            columns=(
                Column(label="Metagene", value="metagene"), Column(label="Most typical genes", value="genes"),
                Column(label="Feature", value="feature"), Column(label="ρ", value="effect", format=".2f"),
                Column(label="p", value="p", format="p"), Column(label="q", value="q", format="p"),
                Column(label="p, family-wise", value="p_max", format="p"),
                Column(label="p given size", value="p_given_size", format="p"),
                Column(label="Patients", value="n", format="d"), Column(label="Verdict", value="verdict"),
                Column(label="Shared batch", value="batch"),
            ),
            strong=("verdict", FOUND),
        ),
    )  # fmt: skip
    return Section(
        title="Metagenes and the encoder's own features",
        text=(
            "What the encoder's first two blocks see, against metagenes. The encoder was trained to say the training "
            "patients' genes, so that correlations among them prove nothing; the tests are on held-out patients. "
            + conclusion(code_map)
        ),
        blocks=blocks,
        notes=(
            f"Mean |ρ| over the table: {code_map.mean_held_out:.3f} on held-out patients, {code_map.mean_shuffled:.3f} "
            f"with their genes shuffled, {code_map.mean_training:.3f} on the patients that the encoder was trained on "
            "(more patients, so that chance alone would give less). "
            f"{code_map.settings.permutations:,} permutations of patients; {code_map.settings.shuffles} shuffles.",
        ),
    )
