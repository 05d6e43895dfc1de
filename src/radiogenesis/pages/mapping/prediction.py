"""How prediction, retrieval, the shuffled voxels and the code space are laid out on a map's page.

Each function writes its tables and pictures into the page's folder and returns what to show: see `write_map`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from radiogenesis.cohort.expression import ExpressionSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import write_csv, write_parquet
from radiogenesis.errors import RunError, SettingError
from radiogenesis.evaluation.genes.code_space import HELD_OUT
from radiogenesis.mapping.code_space import CodeSpace, code_space, in_words
from radiogenesis.mapping.code_space import conclusion as code_space_conclusion
from radiogenesis.mapping.conventional import controls
from radiogenesis.mapping.conventional.features import CLINICAL, RADIOMIC
from radiogenesis.mapping.conventional.three_step import ConventionalMap, held_fixed, strata
from radiogenesis.mapping.prediction.left_out_retrieval import LeftOutRetrieval, left_out_retrieval
from radiogenesis.mapping.prediction.prediction import (
    BASELINES,
    BATCH,
    CLINIC,
    FEWEST_LEFT_OUT,
    SIZE,
    gene_values,
    prediction_table,
    questions_of,
    single_genes,
)
from radiogenesis.mapping.prediction.settings import PredictionSettings
from radiogenesis.mapping.prediction.tautology import tautologies
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.methods.gene_autoencoder import GeneAutoencoder
from radiogenesis.pages.evaluation.pictures import largest_slice
from radiogenesis.pages.mapping.figure_6 import code_feature_map, code_section
from radiogenesis.pages.mapping.figure_6 import conclusion as code_feature_conclusion
from radiogenesis.pages.mapping.names import in_text, names_of, signed, with_names
from radiogenesis.pages.mapping.output import Addition
from radiogenesis.pages.mapping.prediction_pictures import forest, shuffle_scatter
from radiogenesis.reporting import figures
from radiogenesis.reporting.figures import code_panels, rank_histogram, save_both
from radiogenesis.reporting.model import Column, Fact, Picture, Section, Table
from radiogenesis.training.run import Run

SHOWN = 40
_TITLE = "Prediction on patients left out"
_P = Column(label="p", value="p", format="p")
_Q = Column(label="q", value="q", format="p")
_N = Column(label="n", value="n", format="d", help="patients")


def prediction_addition(
    table: pd.DataFrame,
    settings: PredictionSettings,
    alpha: float,
    folder: Path,
    *,
    names: Mapping[str, str] | None = None,
    family: Mapping[str, str] | None = None,
) -> Addition:
    """The section of `prediction_table`.

    Args:
        names: id of a metagene -> what it is called.
        family: feature -> where it comes from; with it, predictions of a property from itself are set apart.
    """
    if not len(table):
        return _nothing_said(prediction_sentence(table, alpha))
    table = with_names(table, names or {}, "target")
    table = table.assign(itself=tautologies(table, family or {}))
    table = table.iloc[np.argsort(table["itself"].to_numpy(), kind="stable")].reset_index(drop=True)
    write_csv(table, folder / "tables" / "predictions.csv")
    write_parquet(table, folder / "tables" / "predictions.parquet")
    write_csv(table.head(SHOWN), folder / "tables" / "predictions_shown.csv")
    blocks: list[Table | Picture] = []
    for score in ("AUC", "R2"):
        mine = table[(table["score"] == score) & ~table["itself"]]
        if not len(mine):
            continue
        baselines = [name for name in BASELINES if mine[name].notna().any()]
        light, dark = save_both(
            lambda theme, mine=mine, score=score, baselines=baselines: forest(mine, score, baselines, theme),
            folder / "pictures", f"prediction_{score.lower()}",
        )  # fmt: skip
        blocks.append(
            Picture(
                file=light, dark=dark, width=980, alt=f"{score} of predictions beside their baselines",
                caption=f"{'Two-valued targets' if score == 'AUC' else 'Targets that are numbers'}, the "
                f"{min(len(mine), 24)} of lowest p of {len(mine)}: what is predicted ← from what (patients). "
                "Lines: 95 % intervals over patients. A dot that does not lie right of the marks says no "
                "more than they do.",
            )
        )  # fmt: skip
    blocks.append(
        Table(
            file="predictions_shown.csv",
            full="predictions.csv",
            caption=f"The {min(SHOWN, len(table))} of lowest p of {len(table)}. Gain: over the best baseline (size, "
            "clinical data or batches alone) on the same patients and folds. A property predicted from a source that "
            "holds it under another name comes last and is not counted.",
            columns=(
                Column(label="Predicted", value="target"), Column(label="From", value="source"),
                Column(label="Score", value="score"),
                Column(label="Value", value="value", low="low", high="high", format=".2f"), _Q,
                Column(label="Gain", value="gain", low="gain_low", high="gain_high", format=".2f"), _N,
                Column(label="p", value="p", format="p", more=True),
                Column(label="ρ", value="rho", format=".2f", help="Spearman, prediction and truth", more=True),
                Column(label="Null", value="null_mean", format=".2f", help="permuted targets, mean", more=True),
                Column(label="Size only", value=SIZE, format=".2f", more=True),
                Column(label="Clinical only", value=CLINIC, format=".2f", more=True),
                Column(label="Batches only", value=BATCH, format=".2f", more=True),
                Column(label="Cases", value="cases", format="d", more=True),
            ),
        )
    )  # fmt: skip
    counted = _counted(table)
    sure = counted[counted["q"] < alpha]
    beyond = sure[sure["gain_low"] > 0]
    screen = (
        f"the {settings.prediction_screen} columns that go most with the target" if settings.prediction_screen else ""
    )
    section = Section(
        title=_TITLE,
        text=prediction_sentence(table, alpha),
        blocks=tuple(blocks),
        notes=(
            f"{settings.prediction_folds} folds, {settings.prediction_repeats} divisions; ridge regression; missing "
            f"values, scaling, {screen}and the penalty are fitted to the training patients of "
            f"each fold. p: all of it again on {settings.prediction_permutations} permutations of the target, so that "
            f"none is below {1 / (settings.prediction_permutations + 1):.3f}. AUC counts pairs left out in the same "
            "fold; R² is 0 for the training patients' mean.",
        ),
    )
    fact = Fact(
        label="Predicted on patients left out",
        value=f"{len(sure)}",
        beside=f"of {len(counted)} targets and sources; {len(beyond)} better than size, clinical data and batches "
        "alone.",
    )
    return Addition(sections=(section,), facts=(fact,), conclusions=(prediction_sentence(table, alpha),))


def _nothing_said(why: str, title: str = _TITLE) -> Addition:
    return Addition(sections=(Section(title=title, text=why),), conclusions=(why,))


def prediction_sentence(table: pd.DataFrame, alpha: float) -> str:
    """What may be said of the predictions."""
    if not len(table):
        return "Prediction: no target has patients enough to leave some out."
    counted = _counted(table)
    sure = counted[counted["q"] < alpha]
    apart = len(table) - len(counted)
    aside = f" {apart} of a property from a source that holds it under another name are not counted." if apart else ""
    if not len(sure):
        return (
            f"Prediction on patients left out: of {len(counted)} targets none is predicted better than permuted "
            f"targets are (q < {alpha:g}).{aside}"
        )
    beyond = sure[sure["gain_low"] > 0].sort_values("gain", ascending=False, kind="stable")
    text = (
        f"Prediction on patients left out: {len(sure)} of {len(counted)} targets are predicted above chance "
        f"(q < {alpha:g}), {len(beyond)} of them also better than by the lesion's size, clinical data or batch "
        "variables alone (interval of the gain above 0)"
    )
    if not len(beyond):
        return f"{text}.{aside}"
    said = [
        f"{in_text(row['target'])} from {row['source']} ({_score(row['score'])} {signed(row['value'])} against "
        f"{row['best_baseline']} {signed(row['value'] - row['gain'])}, permuted targets {signed(row['null_mean'])})"
        for _, row in beyond.head(3).iterrows()
    ]
    return f"{text}: {'; '.join(said)}{'; and others' if len(beyond) > 3 else ''}.{aside}"


def _counted(table: pd.DataFrame) -> pd.DataFrame:
    """The predictions that are no tautologies."""
    return table[~table["itself"]] if "itself" in table else table


def _score(name: str) -> str:
    return "R²" if name == "R2" else name


def retrieval_addition(retrieval: LeftOutRetrieval, folder: Path) -> Addition:
    """The section of `left_out_retrieval`."""
    write_csv(retrieval.table, folder / "tables" / "left_out_retrieval.csv")
    ranks = pd.DataFrame({"patient": retrieval.patients, "rank": retrieval.ranks, "among": retrieval.among})
    write_csv(ranks, folder / "tables" / "left_out_ranks.csv")
    among = int(retrieval.among.max())
    light, dark = save_both(
        lambda theme: rank_histogram(retrieval.ranks, among, theme), folder / "pictures", "left_out_ranks"
    )
    section = Section(
        title="Whose lesion is this?",
        text=retrieval_sentence(retrieval),
        blocks=(
            Picture(
                file=light, dark=dark, width=820, alt="Histogram of the rank of each patient's own genes",
                caption=f"The rank of each patient's own genes among those left out together ({retrieval.among.min()} "
                f"to {among} patients), by their likeness to the patient's lesions.",
            ),
            Table(
                file="left_out_retrieval.csv",
                caption="Null: genes exchanged between the patients left out. Trained on shuffled genes: the whole "
                "procedure once more, each training patient with another's genes. Size only: the lesion is known by "
                "its diameter alone; clinical only: the clinical table in place of the genes. Gain: over the better of "
                "these, on the same folds; positive is better.",
                columns=(
                    Column(label="Measure", value="measure"),
                    Column(label="Value", value="value", low="low", high="high", format=".2f"),
                    Column(label="Chance", value="chance", format=".2f"),
                    Column(label="Null", value="null_mean", low="null_low", high="null_high", format=".2f"),
                    _P, Column(label="Gain", value="gain", low="gain_low", high="gain_high", format=".2f"),
                    Column(label="n", value="patients", format="d", help="patients"),
                    Column(label="Trained on shuffled genes", value="retrained", format=".2f", more=True),
                    Column(label="Size only", value=SIZE, format=".2f", more=True),
                    Column(label="Clinical only", value=CLINIC, format=".2f", more=True),
                ),
            ),
        ),
        notes=(
            "Scaler and canonical alignment are fitted anew in every fold; "
            f"{_components(retrieval.directions)}. Likenesses that are equal share a rank.",
        ),
    )  # fmt: skip
    return Addition(sections=(section,), conclusions=(retrieval_sentence(retrieval),))


def _components(kept: Sequence[int]) -> str:
    """How many components the alignment kept, in words."""
    if len(set(kept)) > 1:
        return f"it kept {', '.join(map(str, kept))} further components in the folds"
    return f"it kept {kept[0]} further component{'' if kept[0] == 1 else 's'} in every fold"


def retrieval_sentence(retrieval: LeftOutRetrieval) -> str:
    """What may be said of the retrieval."""
    row = retrieval.table.set_index("measure").loc["mean rank"]
    about = "is" if row["p"] < 0.05 else "is not shown to be"
    return (
        f"A lesion {about} recognized as its own patient's by a gene-image model (canonical correlation) that never "
        "saw the patient: mean "
        f"rank {row['value']:.1f} [{row['low']:.1f}, {row['high']:.1f}] among about {retrieval.among.mean():.0f} "
        f"(chance {row['chance']:.1f}; trained on shuffled genes {row['retrained']:.1f}; {row['best_baseline']} "
        f"{row[row['best_baseline']]:.1f}; {len(retrieval.patients)} patients)."
    )


def shuffled_addition(
    shuffled: controls.ShuffledVoxels, folder: Path, names: Mapping[str, str] | None = None
) -> Addition:
    """The section of `shuffled_voxel_map`; `names` says what metagenes are called."""
    write_csv(shuffled.links, folder / "tables" / "shuffled_voxels.csv")
    write_csv(shuffled.families, folder / "tables" / "shuffled_voxels_by_family.csv")
    groups = {"first order, shape": ("firstorder", "shape"), "margin": ("margin",), "texture": controls.TEXTURE}
    light, dark = save_both(
        lambda theme: shuffle_scatter(shuffled.links, groups, theme), folder / "pictures", "shuffled"
    )
    texture = shuffled.links[shuffled.links["family"].isin(controls.TEXTURE) & shuffled.links["found"]]
    texture = with_names(texture, names or {}, "metagene")
    write_csv(texture.head(SHOWN), folder / "tables" / "shuffled_voxels_shown.csv")
    blocks: list[Table | Picture] = [
        Table(
            file="shuffled_voxels_by_family.csv",
            caption="Associations of metagenes with radiomic features (IBSI), and those that are still there in the "
            "same direction when the voxels inside every outline are shuffled. Shape and first order cannot change.",
            columns=(
                Column(label="Family", value="family"), Column(label="Tests", value="tests", format="d"),
                Column(label="Found", value="found", format="d"),
                Column(label="Remain without texture", value="survive", format="d"),
                Column(label="Share", value="share", format="%"),
                Column(label="Not explained by the histogram", value="beyond_histogram", format="d",
                       help="p below alpha given the same feature of the shuffled lesion"),
            ),
        ),
        Picture(
            file=light, dark=dark, width=820, alt="Effects with and without shuffled voxels",
            caption="Every pair of metagene and feature: its ρ with the lesions as they are, and with their voxels "
            "shuffled. Orange: found, and remains; teal: found, and gone. On the dashed line nothing changes.",
        ),
    ]  # fmt: skip
    if len(texture):
        blocks.append(
            Table(
                file="shuffled_voxels_shown.csv",
                full="shuffled_voxels.csv",
                caption=f"The {min(SHOWN, len(texture))} strongest associations with texture.",
                columns=(
                    Column(label="Metagene", value="metagene"), Column(label="Feature", value="feature"),
                    Column(label="ρ", value="effect", format=".2f"), _Q, _N,
                    Column(label="ρ, shuffled", value="effect_shuffled", format=".2f"),
                    Column(label="Survives", value="survives"),
                    Column(label="q, shuffled", value="q_shuffled", format="p", more=True),
                    Column(label="p given the shuffled", value="p_given_shuffled", format="p", more=True),
                    Column(label="p given size", value="p_given_size", format="p", more=True),
                ),
            )
        )  # fmt: skip
    section = Section(
        title="Lesions with shuffled voxels",
        text=controls.conclusion(shuffled),
        blocks=tuple(blocks),
        notes=(
            f"{shuffled.patients} patients, {len(controls.DISTINCT)} features, q over the whole table of each map. p "
            "given the shuffled, p given size: Spearman's partial correlation.",
        ),
    )
    return Addition(sections=(section,), conclusions=(controls.conclusion(shuffled),))


def code_space_addition(codes: CodeSpace, cohort: Cohort, alpha: float, folder: Path) -> Addition:
    """The section of `code_space`; writes codes.h5ad."""
    codes.data.write_h5ad(folder / "codes.h5ad")
    write_csv(codes.clusters, folder / "tables" / "code_clusters.csv")
    write_csv(codes.features, folder / "tables" / "code_cluster_features.csv")
    write_csv(codes.batches, folder / "tables" / "code_cluster_batches.csv")
    shown = codes.features.groupby("part", sort=False).head(SHOWN // 4)
    write_csv(shown, folder / "tables" / "code_cluster_features_shown.csv")
    light, dark = save_both(lambda theme: code_panels(_places(codes), theme, hollow=HELD_OUT, notes={}, columns=2),
                            folder / "pictures", "code_space")  # fmt: skip
    rows, shades = [], []
    for cluster, part in codes.typical:
        lesions = [figures.gray(cohort.slice_image[k]) for k in _largest(cohort, codes.typical[cluster, part])]
        if lesions:
            rows.append((f"cluster {cluster + 1}\n{part}", lesions))
            shades.append(figures.CLUSTERS[cluster % len(figures.CLUSTERS)])
    figures.slice_grid(rows, folder / "pictures" / "code_clusters.png", colors=shades)
    clusters = [name for name in codes.features if str(name).startswith("cluster ")]
    section = Section(
        title="The code space",
        text=code_space_conclusion(codes, alpha),
        blocks=(
            Picture(
                file=light, dark=dark, width=640, alt="t-SNE of gene codes, patients colored by cluster",
                caption="t-SNE of all patients, in the colors of the clusters; rings: held-out patients. t-SNE shows "
                "groups in anything: the table says whether there are any.",
            ),
            Table(
                file="code_clusters.csv",
                caption="Silhouettes of the clusters beside the null: each gene shuffled between patients by itself. "
                "A gradient that many genes share is tighter than this null, too, without any groups.",
                columns=(
                    Column(label="Space", value="space"), Column(label="Patients", value="part"),
                    Column(label="Silhouette", value="silhouette", format=".2f"),
                    Column(label="Null", value="null_mean", low="null_low", high="null_high", format=".2f"), _P, _Q,
                    Column(label="n", value="patients", format="d"),
                ),
                strong=("part", HELD_OUT),
            ),
            Picture(
                file="code_clusters.png", alt="Lesions of each cluster",
                caption="The largest slice of the patients nearest to each cluster's center, training and held-out "
                "patients apart. If only the training rows look different, the code has learned its patients.",
            ),
            Table(
                file="code_cluster_features_shown.csv",
                caption="What differs between clusters, the lowest p of training and of held-out patients (Kruskal-"
                "Wallis): the features of the patients' own lesions, and what else is known of them.",
                columns=(
                    Column(label="Feature", value="feature"), Column(label="Patients", value="part"),
                    Column(label="Share of variance", value="effect", format=".2f", help="of the ranks"), _P, _Q,
                    *(Column(label=str(name).capitalize(), value=str(name), format=".2f") for name in clusters),
                    Column(label="n", value="n", format="d"),
                ),
                strong=("part", HELD_OUT),
            ),
        ),
        notes=(
            "The codes lie in codes.h5ad (AnnData): obsm " + ", ".join(map(str, codes.data.obsm)) + "; obs has part "
            "and cluster. The training patients' lesions took part in making the code, so that only the held-out rows "
            "say whether clusters differ in what a lesion looks like.",
        ),
    )  # fmt: skip
    return Addition(sections=(section,), conclusions=(code_space_conclusion(codes, alpha),))


def code_feature_addition(
    method: GeneAutoencoder, run: Run, cohort: Cohort, settings: MapSettings, folder: Path
) -> Addition:
    """The section of `code_feature_map`, of a run that reads genes in lesions and draws nothing."""
    code_map = code_feature_map(method, cohort, run.split, run.scaler, settings)
    return Addition(sections=(code_section(code_map, folder),), conclusions=(code_feature_conclusion(code_map),))


def _of_family(conventional: ConventionalMap, family: str) -> list[str]:
    return [name for name, one in conventional.material.features.family.items() if one == family]


def _places(codes: CodeSpace) -> pd.DataFrame:
    """The t-SNE as `code_panels` draws it: a panel colored by cluster."""
    xy = np.asarray(codes.data.obsm["X_tsne"], np.float64)
    part = codes.data.obs["part"].astype(str).to_numpy()
    cluster = codes.data.obs["cluster"].to_numpy(int) - 1
    return pd.DataFrame(
        {"space": in_words(codes.space), "part": part, "x": xy[:, 0], "y": xy[:, 1], "cluster": cluster}
    )


def _largest(cohort: Cohort, patients: Sequence[str]) -> list[int]:
    """The largest slice of the first eight of the patients who have any."""
    imaged = set(map(str, cohort.slice_patient))
    return [largest_slice(cohort, patient) for patient in patients if patient in imaged][:8]


def additions(
    conventional: ConventionalMap, cohort: Cohort, settings: PredictionSettings, run: Run | None = None
) -> list[Callable[[Path], Addition]]:
    """What a map of a cohort adds beside its associations; each is computed when the page is written.

    Shuffled voxels; with `prediction_folds`, prediction and retrieval on patients left out; with a run, its code space,
    or what its encoder sees in lesions beside metagenes where it reads genes instead of drawing.

    Raises:
        SettingError: more folds than half the patients, or a gene to predict that the cohort lacks.
    """
    patients, map_settings = conventional.material.patients, conventional.settings
    single = single_genes(cohort.expression, patients, settings.asked_genes)
    blocks = strata(conventional.material.batches, map_settings.within)
    if FEWEST_LEFT_OUT <= len(patients) < 2 * settings.prediction_folds:
        raise SettingError(
            f"prediction_folds {settings.prediction_folds} of {len(patients)} patients", remedy="ask for fewer folds"
        )

    def shuffled(folder: Path) -> Addition:
        shuffled_map = controls.shuffled_voxel_map(
            conventional.values, conventional.metagenes.ids, cohort, patients,
            held=held_fixed(conventional.material, map_settings), alpha=map_settings.alpha, seed=map_settings.seed,
        )  # fmt: skip
        return shuffled_addition(shuffled_map, folder, names_of(conventional.metagenes))

    def predicted(folder: Path) -> Addition:
        genes = gene_values(cohort.expression, patients, map_settings.missing)
        metagenes = pd.DataFrame(conventional.values, columns=list(conventional.metagenes.ids))
        given = _of_family(conventional, RADIOMIC)  # not asked for
        asked = questions_of(conventional.material, genes, metagenes, single, skip=given)
        table = prediction_table(asked, settings, seed=map_settings.seed, blocks=blocks)
        return prediction_addition(
            table, settings, map_settings.alpha, folder,
            names=names_of(conventional.metagenes), family=conventional.material.features.family,
        )  # fmt: skip

    def retrieved(folder: Path) -> Addition:
        retrieval = left_out_retrieval(
            cohort, patients, settings, expression=ExpressionSettings(missing=map_settings.missing),
            clinical=conventional.material.features.values[_of_family(conventional, CLINICAL)], blocks=blocks,
            seed=map_settings.seed,
        )  # fmt: skip
        return retrieval_addition(retrieval, folder)

    def coded(folder: Path) -> Addition:
        assert run is not None
        if isinstance(run.method, GeneAutoencoder):
            return code_feature_addition(run.method, run, cohort, map_settings, folder)
        try:
            space = code_space(run, cohort, map_settings)
        except RunError as why:  # the maps are made by now, and worth more than this section
            return _nothing_said(f"The code space is left out: {why}.", "The code space")
        return code_space_addition(space, cohort, map_settings.alpha, folder)

    def too_few(folder: Path) -> Addition:
        return _nothing_said(
            f"Prediction: {len(patients)} patients are too few to leave some out; {FEWEST_LEFT_OUT} are needed."
        )

    tried: list[Callable[[Path], Addition]] = []
    if settings.prediction_folds:
        tried = [predicted, retrieved] if len(patients) >= FEWEST_LEFT_OUT else [too_few]
    return [shuffled, *tried, *([coded] if run is not None else [])]
