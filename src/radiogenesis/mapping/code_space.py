"""The code space of a trained run: where its patients lie, whether they fall into groups, and how these look.

All patients of the cohort with expression are encoded: by the generator's phi (or the aligned code that stands in its
place), and by the genes' and the lesions' side of the alignment. Clusters are those of the training patients' codes;
held-out patients join the nearest center. Two questions, for training and held-out patients apart, because a code that
was trained on lesions must tell the lesions of its training patients apart, whether or not it can tell others':

- are there clusters? The silhouette beside its null (`evaluation.genes.code_space`);
- do they look different? Every feature of the patients' own lesions against the cluster (Kruskal-Wallis), and whether
  the clusters are batches.

The layout for the eye is t-SNE; what it shows is no evidence of anything. `scanpy.pp.neighbors(use_rep="X_phi")` and
`scanpy.tl.umap` on the file give a UMAP.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError
from radiogenesis.evaluation.genes.code_space import HELD_OUT, RAW, TRAINING, Codes, Encode, cluster_table, tsne
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.mapping.conventional import confounding
from radiogenesis.mapping.conventional.features import FeatureTable, cohort_features
from radiogenesis.mapping.settings import MapSettings
from radiogenesis.methods.protocols import GeneEncoder, LesionEncoder
from radiogenesis.stats.resampling import Floats
from radiogenesis.training.run import Run

PHI, ALIGNED_GENES, ALIGNED_LESIONS = "X_phi", "X_alignment_genes", "X_alignment_lesions"
VALIDATION, OUTSIDE = "validation", "not in the run"
_IN_WORDS = {PHI: "the generator's code", ALIGNED_GENES: "the alignment, genes"}


@dataclass(frozen=True, eq=False)
class CodeSpace:
    """Codes of all patients, their clusters and what these are.

    Attributes:
        data: patients x scaled genes; obs: part, cluster, batch variables; obsm: the codes, X_tsne, features.
        space: the obsm key that clusters and t-SNE are made of.
        clusters: silhouettes with their null, see `evaluation.genes.code_space.cluster_table`.
        features: tidy: feature, part, effect (share of the ranks' variance between clusters), p, q, n, and the mean of
            each cluster ("cluster 1", ...).
        batches: the same for batch variables, all patients: batch, test, effect, p, q, n.
        typical: (cluster, part) -> patients, the nearest to the cluster's center first.
    """

    data: AnnData
    space: str
    clusters: pd.DataFrame
    features: pd.DataFrame
    batches: pd.DataFrame
    typical: Mapping[tuple[int, str], Sequence[str]]


def code_space(
    run: Run, cohort: Cohort, settings: MapSettings, evaluation: EvaluationSettings | None = None
) -> CodeSpace:
    """Encode all patients with expression, cluster them, and test the clusters.

    Args:
        cohort: the run's own, see `Run.open_cohort`.
        evaluation: number of clusters, shuffles behind the silhouette's null, seed.

    Raises:
        RunError: the run's method encodes no genes, or trained on fewer patients than would fill the clusters twice.
    """
    evaluation = evaluation or EvaluationSettings(seed=settings.seed)
    encoders = gene_encoders(run)
    split = run.split
    if len(split.train) < 2 * evaluation.clusters or len(split.test) < 2:
        raise RunError(
            f"trained on {len(split.train)} and held out {len(split.test)} patients: too few for "
            f"{evaluation.clusters} clusters",
            path=run.path, remedy="train on a larger cohort",
        )  # fmt: skip
    patients = list(map(str, cohort.expression.obs_names))
    genes, given = run.scaler.transform(cohort.expression, patients), run.genes(cohort.expression, patients)
    place = {patient: row for row, patient in enumerate(patients)}
    rows = {part: [place[p] for p in names] for part, names in ((TRAINING, split.train), (HELD_OUT, split.test))}
    codes = {
        name: Codes.of(in_words(name), encode, taken[rows[TRAINING]], taken[rows[HELD_OUT]],
                       evaluation.clusters, evaluation.seed)
        for name, encode, taken in ((RAW, _itself, genes), *((name, one, given) for name, one in encoders.items()))
    }  # fmt: skip
    space = next(iter(encoders))
    leading = codes[space]
    tested = cluster_table(
        list(codes.values()), [_itself, *encoders.values()],
        [taken[rows[TRAINING]] for taken in (genes, *[given] * len(encoders))], genes[rows[HELD_OUT]], leading,
        evaluation,
    )  # fmt: skip
    embedded = {name: np.asarray(encode(given), np.float64) for name, encode in encoders.items()}
    label = np.asarray(leading.clusters.predict(embedded[space]))
    part = _parts(patients, run)
    table = cohort_features(
        cohort, patients, settings.smallest_group, confounding.batch_columns(cohort.clinical)
    )  # fmt: skip
    batches = confounding.cohort_batches(cohort, patients)
    data = AnnData(
        genes, obs=_observations(patients, part, label, batches), var=pd.DataFrame(index=pd.Index(run.scaler.genes))
    )
    for name, values in embedded.items():
        data.obsm[name] = values
    lesions = _lesion_codes(run, cohort, patients)
    if lesions is not None:
        data.obsm[ALIGNED_LESIONS] = lesions
    data.obsm["X_tsne"] = tsne(embedded[space], evaluation.seed)
    # A slash in a name would become a folder inside the file.
    data.obsm["features"] = table.values.rename(columns=lambda name: str(name).replace("/", "∕")).set_axis(
        data.obs_names
    )
    data.uns["run"] = {"method": run.method_name, "cohort_digest": str(run.provenance["cohort_digest"])}
    return CodeSpace(
        data, space, tested, _feature_tests(table, label, part), _batch_tests(label, batches),
        _typical(leading, embedded[space], label, part, patients),
    )  # fmt: skip


def gene_encoders(run: Run) -> dict[str, Encode]:
    """The run's ways from genes to codes by their obsm key, what it draws from first.

    Raises:
        RunError: there is none.
    """
    method = run.method
    encoders: dict[str, Encode] = {}
    if isinstance(method, LesionEncoder):
        encoders[ALIGNED_GENES] = run.gene_encoder().encode
    elif isinstance(method, GeneEncoder):
        encoders[PHI] = method.encode
        alignment = getattr(method, "alignment", None)
        if isinstance(alignment, GeneEncoder):
            encoders[ALIGNED_GENES] = alignment.encode
    if not encoders:
        raise RunError(f"the method {run.method_name} does not encode genes", path=run.path)
    return encoders


def in_words(space: str) -> str:
    """The name of a space for readers."""
    return _IN_WORDS.get(space, space)


def _itself(genes: NDArray[Any]) -> NDArray[Any]:
    return genes


def _lesion_codes(run: Run, cohort: Cohort, patients: Sequence[str]) -> Floats | None:
    """(n, D) mean embedding of each patient's slices, of length 1; nan without slices. None without an alignment."""
    method = run.method if isinstance(run.method, LesionEncoder) else getattr(run.method, "alignment", None)
    if not isinstance(method, LesionEncoder):
        return None
    embedded = method.encode_lesions(cohort.slice_image.astype(np.float32), cohort.slice_mask).astype(np.float64)
    sums = pd.DataFrame(embedded).groupby(cohort.slice_patient).sum().reindex(list(patients)).to_numpy()
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.asarray(sums / np.where(length > 0, length, 1.0))


def _parts(patients: Sequence[str], run: Run) -> NDArray[np.object_]:
    split = run.split
    names = {TRAINING: split.train, VALIDATION: split.validation, HELD_OUT: split.test}
    of = {patient: part for part, some in names.items() for patient in some}
    return np.array([of.get(patient, OUTSIDE) for patient in patients], object)


def _observations(
    patients: Sequence[str], part: NDArray[np.object_], label: NDArray[Any], batches: pd.DataFrame
) -> pd.DataFrame:
    table = pd.DataFrame({"part": pd.Categorical(part), "cluster": pd.Categorical(label + 1)})
    table.index = pd.Index(list(patients), name="patient")
    for name in batches:
        column = batches[name].to_numpy()
        values = column if batches[name].dtype.kind == "f" else pd.Categorical(column)
        table[str(name).replace("/", "∕")] = values
    return table


def _feature_tests(table: FeatureTable, label: NDArray[Any], part: NDArray[np.object_]) -> pd.DataFrame:
    """Every feature against the cluster, training and held-out patients apart; the clusters' means beside it."""
    values, names = table.values.to_numpy(np.float64), list(map(str, table.values.columns))
    by_part = []
    for which in (TRAINING, HELD_OUT):
        mine = part == which
        groups = pd.DataFrame({"cluster": (label[mine] + 1).astype(str)})
        tests = confounding.test_batches(values[mine], names, groups)
        means = pd.DataFrame(values[mine], columns=names).groupby(label[mine] + 1).mean()
        for cluster in range(1, int(label.max()) + 2):
            column = means.loc[cluster] if cluster in means.index else pd.Series(np.nan, names)
            tests[f"cluster {cluster}"] = column.reindex(names).to_numpy()
        tests.insert(1, "part", which)
        by_part.append(tests.drop(columns=["batch", "test"]).rename(columns={"name": "feature"}))
    return pd.concat(by_part, ignore_index=True).sort_values(["part", "p"], ascending=[True, True], kind="stable")


def _batch_tests(label: NDArray[Any], batches: pd.DataFrame) -> pd.DataFrame:
    """Membership of each cluster against every batch variable, all patients."""
    clusters = np.unique(label)
    member = (label[:, None] == clusters).astype(np.float64)
    tests = confounding.test_batches(member, [f"cluster {cluster + 1}" for cluster in clusters], batches)
    return tests.rename(columns={"name": "cluster"})


def _typical(
    leading: Codes, codes: Floats, label: NDArray[Any], part: NDArray[np.object_], patients: Sequence[str]
) -> dict[tuple[int, str], list[str]]:
    distance = leading.clusters.transform(codes)
    typical = {}
    for cluster in range(distance.shape[1]):
        for which in (TRAINING, HELD_OUT):
            mine = np.flatnonzero((label == cluster) & (part == which))
            typical[cluster, which] = [patients[k] for k in mine[np.argsort(distance[mine, cluster], kind="stable")]]
    return typical


def conclusion(codes: CodeSpace, alpha: float) -> str:
    """What may be said of the clusters. Held-out patients decide; training patients' lesions shaped the code."""
    row = codes.clusters[
        (codes.clusters["space"] == in_words(codes.space)) & (codes.clusters["part"] == HELD_OUT)
    ].iloc[0]
    groups = "are tighter groups than shuffled genes give" if row["q"] < alpha else "are not shown to be groups"
    held = codes.features[codes.features["part"] == HELD_OUT]
    different = list(held.loc[held["q"] < alpha, "feature"])
    looks = (
        f"their lesions differ in {', '.join(different[:4])}{' and more' if len(different) > 4 else ''}"
        if different else "no difference between their lesions is shown"
    )  # fmt: skip
    batch = sorted(set(codes.batches.loc[codes.batches["q"] < alpha, "batch"]))
    return (
        f"The {row['clusters']} clusters of {in_words(codes.space)} {groups} on {row['patients']} held-out patients "
        f"(silhouette {row['silhouette']:.2f}, null {row['null_mean']:.2f}), and {looks} (q < {alpha:g})."
        + (f" Clusters go with {', '.join(batch)}: they may be batches." if batch else "")
    )
