"""The map by synthesis of a trained run, beside the conventional map of the same cohort.

Both ask which metagene goes with which property of the lesion. The conventional map asks the patients: does the
property rise with the metagene? This one asks a model that was trained on some of them: what does it draw for patients
it never saw, when the metagene is moved and nothing else? The model knows its training patients only, but it
answers for one metagene at a time, all others unchanged, and the answer can be looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError
from radiogenesis.evaluation.measures.control import shared_backgrounds
from radiogenesis.mapping.conventional.confounding import test_batches
from radiogenesis.mapping.conventional.features import LESION
from radiogenesis.mapping.conventional.three_step import INCOHERENT, ConventionalMap, batches_of_sets, judged, strata
from radiogenesis.mapping.settings import SynthesisSettings
from radiogenesis.mapping.synthesis import attribution
from radiogenesis.mapping.synthesis import perturbation_null as null
from radiogenesis.mapping.synthesis.axes_genes import axes_table
from radiogenesis.mapping.synthesis.known_answers import BOTH, FOUND, agreement
from radiogenesis.mapping.synthesis.measured import Measured
from radiogenesis.mapping.synthesis.own_axes import own_axes
from radiogenesis.mapping.synthesis.perturbation import (
    AxesResponse,
    CodeAxes,
    DrawnResponse,
    EvaluationSet,
    GeneSets,
    code_axes,
    mean_and_interval,
)  # fmt: skip
from radiogenesis.mapping.synthesis.runs import Trained
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.stats.multiple_testing import false_discovery_rate
from radiogenesis.stats.resampling import Floats, nanmean, resamples, spearman

CONVENTIONAL, BY_SYNTHESIS, NEITHER = "conventional only", "by synthesis only", "neither"
ONLY_DRAWN = "only drawn"
"""The verdict on a drawn effect that the training patients' own lesions do not show: a model that draws one property
along with another moves both with the genes of one."""

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class NullRun:
    """What a run with shuffled genes draws when metagenes are moved.

    Attributes:
        name: of the run.
        axes: of its gene code; 0 where it has no linear one of few dimensions. A run that kept fewer axes than the one
            it stands beside is a weaker null: it has fewer ways to err.
        effects: (S, F) drawn, in standard deviations of the features.
    """

    name: str
    axes: int
    effects: Floats

    @property
    def size(self) -> float:
        """Mean size of an effect, in standard deviations of its feature."""
        return float(nanmean(np.abs(self.effects).ravel(), axis=0))


@dataclass(frozen=True, eq=False)
class SynthesisMap:
    """What the run draws when genes are moved, with what it must be read beside.

    Attributes:
        run, nulls: names of the run, and of the runs with shuffled genes.
        settings: how.
        stage: the held-out patients, the backgrounds, the noise.
        patients, training: held-out patients, and how many it was trained on.
        backgrounds_of: whose lungs are drawn on, in words.
        axes: of the run's gene code; None where it has no linear one of few dimensions.
        sets: the metagenes, in the run's genes.
        spread: (F,) standard deviation of each feature over the training patients: what effects are divided by.
        links: tidy: metagene, feature, effect, low, high, effect_sd, axes_sd, gradient_sd, z, p_random, p_exchanged, p,
            q, p_max, p_shuffled, batch, verdict, rho_trained (of the training patients' own lesions; see ONLY_DRAWN),
            and of the conventional map: rho, q, verdict; rho_held_out; maps. Effects are what is drawn; z and the p
            values are of the part of the move along the feature's own axis of the code (`own_axes`). What the patients'
            own lesions owe to a batch is not found by a model that was trained on them either: a link both of whose
            sides go with a batch variable is confounded here too.
        genes: tidy, see `_genes`; empty without a code or gradient to take them from.
        gene_sets: tidy as links, for gene sets of the user's; without the conventional map.
        agreement: see `known_answers.agreement`.
        coherence: of the metagenes and of their random sets, (S,) each; the second nan without random sets.
        unmeasured: share of drawings without a lesion to measure.
        unexchanged: the run's gene code is a canonical alignment's, but patients could not be exchanged: its weights
            were not found again from its slices.
        unread: the run draws from a canonical alignment none of whose axes is predicted from genes better than by
            chance: nothing is found.
        predicted: see `Trained`: by how much drawn effects are larger than what genes predict.
        axes_genes: the genes behind each axis; see `axes_genes.axes_table`.
        null_runs: what was drawn by each run with shuffled genes.
        lists: the user's gene sets, in the run's genes; None without any.
    """

    run: str
    nulls: tuple[str, ...]
    settings: SynthesisSettings
    stage: EvaluationSet
    patients: tuple[str, ...]
    training: int
    backgrounds_of: str
    axes: CodeAxes | None
    sets: GeneSets
    spread: Floats
    links: pd.DataFrame
    genes: pd.DataFrame
    gene_sets: pd.DataFrame
    agreement: pd.DataFrame
    coherence: tuple[Floats, Floats]
    unmeasured: float
    unexchanged: bool = False
    unread: bool = False
    predicted: tuple[tuple[str, float, float, float], ...] = ()
    null_runs: tuple[NullRun, ...] = ()
    lists: GeneSets | None = None
    axes_genes: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def features(self) -> tuple[str, ...]:
        """The F names of what is measured on lesions."""
        return self.stage.measured.names


def map_by_synthesis(
    trained: Trained,
    cohort: Cohort,
    conventional: ConventionalMap,
    settings: SynthesisSettings,
    *,
    nulls: Sequence[Trained] = (),
    gene_sets: Mapping[str, Sequence[str]] | None = None,
    say: Say = lambda what: None,
) -> SynthesisMap:
    """Move the conventional map's metagenes in the run's held-out patients, and measure what is drawn.

    Args:
        nulls: runs of the same method whose genes were shuffled.
        gene_sets: further sets to move.
        say: told what is being done.

    Raises:
        RunError: the cohort has no backgrounds, or the run holds nobody out.
    """
    seed, alpha = conventional.settings.seed, conventional.settings.alpha
    stage, training, whose = _stage(trained, cohort, settings, seed)
    genes = trained.scaler.genes
    sets = GeneSets.of_metagenes(conventional.metagenes, genes, training)
    lists = GeneSets.of_lists(gene_sets or {}, genes, training)
    groups = [sets, lists] if len(lists) else [sets]
    measured = stage.measured
    lesions = measured.own(cohort, trained.split.train)
    spread = _spread(lesions)
    say("looking for the axes of the gene code")
    answers = _answers(trained, stage, training, spread, settings, say)
    drawn = [_drawn(stage, settings, group, say, "sets") for group in groups]
    blocks = _blocks(conventional, trained.split.train)
    tests, of_genes = _tests(trained, cohort, training, answers, groups, settings, seed, say, blocks)
    null_runs = _shuffled(nulls, cohort, sets, trained, settings, spread, seed, say)
    others = np.concatenate([one.effects for one in null_runs]) if null_runs else None
    batches = [conventional.metagene_batches, batches_of_sets(conventional.material, gene_sets or {})]
    of_features = _feature_batches(conventional, measured, cohort)
    level = 0.0 if trained.unread else alpha
    tables = [
        _told_apart(
            _flagged(
                _links(group, measured.names, moved, test, others, spread, settings, level, seed), of_sets, of_features,
                conventional,
            ),
            group, measured.names, training, lesions, alpha,
        )
        for group, moved, test, of_sets in zip(groups, drawn, tests, batches, strict=False)
    ]  # fmt: skip
    unseen = measured.own(cohort, trained.split.test)
    links = _beside(tables[0], conventional, unseen, stage, trained.scaler)
    as_is = stage.features()
    return SynthesisMap(
        trained.name, tuple(one.name for one in nulls), settings, stage, trained.split.test, len(trained.split.train),
        whose, answers.axes, sets, spread, links,
        _genes(answers, measured.names, of_genes, training, trained, conventional),
        tables[1].rename(columns={"metagene": "set"}) if len(lists) else pd.DataFrame(),
        agreement(links, measured.names, nanmean(as_is, axis=1), unseen),
        (sets.coherence, tests[0].coherence), float(np.isnan(as_is[..., 0]).mean()),
        trained.alignment is not None and of_genes is None, trained.unread, trained.predicted, null_runs,
        lists if len(lists) else None, axes_table(trained.alignment, genes, cohort.imaging),
    )  # fmt: skip


def _stage(
    trained: Trained, cohort: Cohort, settings: SynthesisSettings, seed: int
) -> tuple[EvaluationSet, NDArray[np.float64], str]:
    """The held-out patients on their backgrounds, the training patients' genes, and whose the backgrounds are."""
    if not len(cohort.background_image) or not len(trained.split.test):
        raise RunError(
            "nothing can be drawn: the cohort has no backgrounds, or the run held no patient out", path=cohort.path,
            remedy="build the cohort with backgrounds, train with --test above 0",
        )  # fmt: skip
    index, whose = shared_backgrounds(cohort, trained.split, settings.backgrounds, seed)
    genes = trained.scaler.transform(cohort.expression, list(trained.split.test))
    training = trained.scaler.transform(cohort.expression, list(trained.split.train)).astype(np.float64)
    backgrounds = cohort.background_image[index].astype(np.float32)
    scale = cohort.pixel_mm, seed, trained.alignment, cohort.imaging
    return EvaluationSet(trained.method, genes, backgrounds, *scale), training, whose


def _spread(values: Floats) -> Floats:
    """(F,) standard deviation of each feature (n, F) over patients; 1 for a feature that does not vary."""
    spread = np.sqrt(nanmean((values - nanmean(values, axis=0)) ** 2, axis=0))
    return np.where(spread > 0, spread, 1.0)


@dataclass(frozen=True, eq=False)
class _Answers:
    """How features, in standard deviations, answer to genes to first order: (K, F) along the axes, (n, G, F) gradients;
    None where there is none. And along which way through the code each feature is tested, (K, F); see `own_axes`."""

    axes: CodeAxes | None
    slopes: Floats | None
    gradients: Floats | None
    features: int
    tested: Floats | None = None

    def by_axes(self, sets: GeneSets) -> Floats:
        """(S, F), nan without axes."""
        if self.axes is None or self.slopes is None:
            return np.full((len(sets), self.features), np.nan)
        return np.asarray(sets.through(self.axes.project) @ self.slopes)

    def by_gradient(self, sets: GeneSets) -> Floats:
        """(S, F), nan without a gradient."""
        if self.gradients is None:
            return np.full((len(sets), self.features), np.nan)
        return nanmean(attribution.set_effects(self.gradients, sets), axis=0)

    def linear(self) -> tuple[Floats, Floats] | None:
        """Projection of the genes (G, K), and what features are tested by (K, F): by axes, else by gradient."""
        if self.axes is not None and self.tested is not None:
            return self.axes.project, self.tested
        if self.gradients is not None:
            return np.nan_to_num(nanmean(self.gradients, axis=0)), np.eye(self.features)
        return None


def _answers(
    trained: Trained,
    stage: EvaluationSet,
    training: NDArray[Any],
    spread: Floats,
    settings: SynthesisSettings,
    say: Say,
) -> _Answers:
    axes = code_axes(stage, training)
    slopes = gradients = tested = None
    if axes is not None:
        step = settings.code_step
        response = AxesResponse.draw(stage, axes, step, lambda k, of: say(f"moving axis {k} of {of} of the gene code"))
        slopes = nanmean(response.slopes, axis=0) / spread
        tested = slopes if trained.alignment is None else own_axes(axes, trained.alignment, slopes)
    if settings.gradient and trained.draw is not None:
        of_properties = attribution.gene_gradients(
            trained.draw, stage, lambda k, of: say(f"gradients of {k} of {of} drawings")
        )  # fmt: skip
        missing = np.full(
            (*of_properties.shape[:2], len(spread) - of_properties.shape[2]), np.nan
        )  # of further axes none is taken
        gradients = np.concatenate([of_properties, missing], axis=2) / spread
    return _Answers(axes, slopes, gradients, len(spread), tested)


def _drawn(stage: EvaluationSet, settings: SynthesisSettings, sets: GeneSets, say: Say, what: str) -> Floats:
    """(n, S, F) effects of sets that are moved and drawn."""
    return DrawnResponse(stage, settings.step, lambda k, of: say(f"moving {what}: {k} of {of}")).effects(sets)


@dataclass(frozen=True, eq=False)
class _Tests:
    """(S, F) each, nan where it could not be made; effects in standard deviations of the features.

    z is what is tested in root mean squares of its null: patients exchanged, else random sets. Tested is the part of
    a move that goes along the feature's own axis of the code, where it has one (`own_axes`); else the first-order
    effect.
    """

    by_axes: Floats
    by_gradient: Floats
    z: Floats
    random: Floats
    exchanged: Floats
    largest: Floats
    coherence: Floats


def _tests(
    trained: Trained, cohort: Cohort, training: NDArray[Any], answers: _Answers, groups: Sequence[GeneSets],
    settings: SynthesisSettings, seed: int, say: Say, blocks: NDArray[Any] | None,
) -> tuple[list[_Tests], null.GeneNull | None]:  # fmt: skip
    """Each group of sets, and single genes, against the nulls that this run allows. Like with like: nulls and what they
    are compared with are of first order, along the same axes. Patients are exchanged within `blocks`, if any."""
    swapped: list[Floats] | None = None
    of_genes = None
    if trained.alignment is not None and answers.axes is not None and answers.tested is not None:
        say("exchanging patients")
        patients, count = trained.split.train, settings.random_sets
        projections = null.exchanged_projections(
            trained.alignment, cohort, patients, training, answers.axes, count, seed, least_area=trained.least_area,
            blocks=blocks,
        )  # fmt: skip
        if projections is not None:
            single = null.with_companions(training, answers.axes.project) @ answers.tested
            swapped, of_genes = null.exchanged_effects(projections, answers.tested, groups, single, training)
    linear = answers.linear()
    tests = []
    for number, sets in enumerate(groups):
        say("drawing random gene sets")
        by_axes, by_gradient = answers.by_axes(sets), answers.by_gradient(sets)
        own = by_gradient if linear is None or answers.axes is None else sets.through(linear[0]) @ linear[1]
        z = random = exchanged = largest = np.full(own.shape, np.nan)
        coherence = np.full(len(sets), np.nan)
        if linear is not None:
            effects, alike = null.random_effects(sets, training, *linear, settings.random_sets, seed)
            z, random, coherence = null.in_deviations(own, effects), null.exceeding(own, effects), alike.mean(axis=0)
        if swapped is not None:
            exchanges = swapped[number]
            z, exchanged = null.in_deviations(own, exchanges), null.exceeding(own, exchanges)
            largest = null.exceeding_largest(z, null.in_deviations(exchanges, exchanges))
        tests.append(_Tests(by_axes, by_gradient, z, random, exchanged, largest, coherence))
    return tests, of_genes


def _blocks(conventional: ConventionalMap, patients: Sequence[str]) -> NDArray[Any] | None:
    """The batch of each patient that permutations of the conventional map stay within; None where they are free."""
    blocks = strata(conventional.material.batches, conventional.settings.within)
    if blocks is None:
        return None
    return pd.Series(blocks, conventional.material.patients).reindex(list(patients)).fillna("unknown").to_numpy(object)


def _shuffled(
    nulls: Sequence[Trained], cohort: Cohort, sets: GeneSets, trained: Trained, settings: SynthesisSettings,
    spread: Floats, seed: int, say: Say,
) -> tuple[NullRun, ...]:  # fmt: skip
    """The metagenes moved in each of the runs with shuffled genes."""
    null_runs = []
    for null_run in nulls:
        if null_run.scaler.genes != trained.scaler.genes:
            raise RunError(
                f"the run {null_run.name} has other genes than {trained.name}; train both with the same settings"
            )
        stage, training, _ = _stage(null_run, cohort, settings, seed)
        axes = code_axes(stage, training)
        moved = _drawn(stage, settings, sets, say, f"sets in {null_run.name}")
        null_runs.append(NullRun(null_run.name, 0 if axes is None else len(axes), nanmean(moved, axis=0) / spread))
    return tuple(null_runs)


def _links(
    sets: GeneSets, features: Sequence[str], drawn: Floats, tests: _Tests, others: Floats | None, spread: Floats,
    settings: SynthesisSettings, alpha: float, seed: int,
) -> pd.DataFrame:  # fmt: skip
    """Tidy, the strongest first. p is the larger of the two nulls'; passed is what every null lets through, and the
    drawings show in the direction that was tested."""
    index = resamples(len(drawn), settings.bootstrap, [seed, 5])
    effect, low, high = mean_and_interval(drawn, index)
    shuffled = np.full(effect.shape, np.nan) if others is None else null.exceeding_table(effect / spread, others)
    p = np.fmax(tests.random, tests.exchanged)
    q = false_discovery_rate(p)
    sure = (low > 0) | (high < 0)
    shown = sure & ~(np.sign(effect) * np.sign(tests.z) < 0)
    passed = (q < alpha) & shown & ~(shuffled >= alpha)
    s, f = (axis.ravel() for axis in np.indices(effect.shape))
    numbers = {
        "effect": effect, "low": low, "high": high, "effect_sd": effect / spread, "axes_sd": tests.by_axes,
        "gradient_sd": tests.by_gradient, "z": tests.z, "p_random": tests.random, "p_exchanged": tests.exchanged,
        "p": p, "q": q, "p_max": tests.largest, "p_shuffled": shuffled,
    }  # fmt: skip
    columns: dict[str, Any] = {"metagene": np.array(sets.names, object)[s], "feature": np.array(features, object)[f]}
    columns |= {name: values.ravel() for name, values in numbers.items()}
    columns["passed"] = passed.ravel()
    table = pd.DataFrame(columns)
    order = np.argsort(-table["effect_sd"].abs().fillna(-1.0).to_numpy(), kind="stable")
    return table.iloc[order].reset_index(drop=True)


def _feature_batches(conventional: ConventionalMap, measured: Measured, cohort: Cohort) -> pd.DataFrame:
    """The conventional map's tests of features against batch variables, and those of what only this map measures."""
    if not measured.further:
        return conventional.feature_batches
    values = measured.own(cohort, list(conventional.material.patients))[:, len(FEATURES) :]
    further = test_batches(values, list(measured.further), conventional.material.batches)
    return pd.concat([conventional.feature_batches, further], ignore_index=True)


def _flagged(
    table: pd.DataFrame, of_sets: pd.DataFrame, of_features: pd.DataFrame, conventional: ConventionalMap
) -> pd.DataFrame:
    """The table with batch and verdict, by the rules of the conventional map: a link both of whose sides go with a
    batch is confounded, one of a metagene of clustered noise incoherent."""
    family, alpha = conventional.material.features.family, conventional.settings.alpha
    family = dict.fromkeys(table["feature"], LESION) | dict(family)
    flagged = judged(table, "metagene", of_sets, of_features, family, alpha).drop(columns="family")
    noise = flagged["metagene"].isin(np.array(conventional.metagenes.ids)[~conventional.coherent])
    flagged.loc[noise & (flagged["verdict"] == FOUND), "verdict"] = INCOHERENT
    return flagged


def _told_apart(
    table: pd.DataFrame, sets: GeneSets, features: Sequence[str], training: NDArray[Any], lesions: Floats, alpha: float
) -> pd.DataFrame:
    """The table with rho_trained; what is found, but not at p < alpha, uncorrected, and in the same direction in the
    training patients' own lesions (t, F), is a collateral effect."""
    rho = spearman(_set_values(sets, training).T[:, None], lesions.T[None])  # (S, F)
    count = np.isfinite(lesions).sum(axis=0)  # (F,)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * student.sf(np.abs(rho) * np.sqrt((count - 2) / (1 - rho**2)), np.maximum(count - 2, 1))
    s, f = (axis.ravel() for axis in np.indices(rho.shape))
    names = {"metagene": np.array(sets.names, object)[s], "feature": np.array(features, object)[f]}
    joined = table.merge(pd.DataFrame(names | {"rho_trained": rho.ravel(), "own": p.ravel()}), how="left")
    shown = (joined["own"] < alpha) & (np.sign(joined["rho_trained"]) == np.sign(joined["effect_sd"]))
    joined.loc[(joined["verdict"] == FOUND) & ~shown, "verdict"] = ONLY_DRAWN
    return joined.drop(columns="own")


def _set_values(sets: GeneSets, genes: NDArray[Any]) -> NDArray[Any]:
    """(n, S) signed means of the sets' genes (n, G)."""
    return np.stack([genes[:, m] @ w / len(m) for m, w in zip(sets.members, sets.signs, strict=True)], axis=1)


def _beside(
    table: pd.DataFrame, conventional: ConventionalMap, lesions: Floats, stage: EvaluationSet, scaler: ExpressionScaler
) -> pd.DataFrame:
    """The same links in the conventional map, and in the lesions (n, F) of the patients that the run never saw."""
    keys = ["metagene", "feature"]
    theirs = conventional.links[[*keys, "effect", "z", "q", "verdict"]]
    theirs = theirs.rename(columns={"effect": "rho", "z": "conventional_z", "q": "conventional_q"})
    theirs = theirs.rename(columns={"verdict": "conventional_verdict"})
    sets = GeneSets.of_metagenes(conventional.metagenes, scaler.genes, stage.genes)
    rho = spearman(_set_values(sets, stage.genes).T[:, None], lesions.T[None])  # (S, F)
    s, f = (axis.ravel() for axis in np.indices(rho.shape))
    unseen = pd.DataFrame({"metagene": np.array(sets.names)[s], "feature": np.array(stage.measured.names)[f]})
    joined = table.merge(theirs, on=keys, how="left").merge(
        unseen.assign(rho_held_out=rho.ravel()), on=keys, how="left"
    )
    here, there = joined["verdict"] == FOUND, joined["conventional_verdict"] == FOUND
    joined["maps"] = np.select([here & there, there, here], [BOTH, CONVENTIONAL, BY_SYNTHESIS], NEITHER)
    return joined


def _genes(
    answers: _Answers,
    features: Sequence[str],
    of_genes: null.GeneNull | None,
    training: NDArray[Any],
    trained: Trained,
    conventional: ConventionalMap,
) -> pd.DataFrame:
    """gene, feature, effect_sd (this gene up by one, the others as they go with it), alone_sd (the others held still),
    gradient_sd, z and p of the first along the feature's own axis (patients exchanged), rho and q of the conventional
    map."""
    gradient = None if answers.gradients is None else nanmean(answers.gradients, axis=0)
    alone = gradient
    if answers.axes is not None and answers.slopes is not None:
        alone = answers.axes.project @ answers.slopes
    if alone is None:
        return pd.DataFrame()
    shape = (len(trained.scaler.genes), len(features))
    numbers = {name: np.full(shape, np.nan) for name in ("effect_sd", "alone_sd", "gradient_sd", "z", "p")}
    numbers |= {"effect_sd": null.with_companions(training, alone), "alone_sd": alone}
    if gradient is not None:
        numbers["gradient_sd"] = gradient
    if of_genes is not None:
        numbers |= {"z": of_genes.z, "p": of_genes.p}
    g, f = (axis.ravel() for axis in np.indices(shape))
    names = {"gene": np.array(trained.scaler.genes, object)[g], "feature": np.array(features, object)[f]}
    table = pd.DataFrame(names | {name: values.ravel() for name, values in numbers.items()})
    theirs = conventional.gene_links[["gene", "feature", "effect", "q"]]
    theirs = theirs.rename(columns={"effect": "rho", "q": "conventional_q"})
    joined = table.merge(theirs, on=["gene", "feature"], how="left")
    order = np.argsort(-joined["effect_sd"].abs().fillna(-1.0).to_numpy(), kind="stable")
    return joined.iloc[order].reset_index(drop=True)
