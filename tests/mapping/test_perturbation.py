"""In-silico changes: on a drawer whose map is known in closed form, every way to an effect gives it back."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from drawer import HU, MM, PIXEL_MM, PIXELS, Drawer
from scipy.stats import linregress

from radiogenesis.mapping.synthesis import perturbation_null as null
from radiogenesis.mapping.synthesis.attribution import gene_gradients, set_effects, smooth_features
from radiogenesis.mapping.synthesis.perturbation import (
    AxesResponse,
    DrawnResponse,
    EvaluationSet,
    GeneSets,
    code_axes,
    mean_and_interval,
)
from radiogenesis.methods.images import to_hu
from radiogenesis.phenotypes.lesion import FEATURES
from radiogenesis.stats.metagenes import Metagenes
from radiogenesis.stats.resampling import nanmean, resamples

PATIENTS, GENES = 5, 30
SIZE, ATTENUATION = FEATURES.index("size"), FEATURES.index("attenuation")


def training(count: int = 60, seed: int = 0) -> np.ndarray:
    """Three modules of eight genes (of loading 0.8), six genes alone."""
    rng = np.random.default_rng(seed)
    module = np.repeat([0, 1, 2, 3], [8, 8, 8, 6])
    activity = np.column_stack([rng.standard_normal((count, 3)), np.zeros(count)])
    loading = np.where(module < 3, 0.8, 0.0)
    genes = loading * activity[:, module] + np.sqrt(1 - loading**2) * rng.standard_normal((count, GENES))
    return np.asarray((genes - genes.mean(axis=0)) / genes.std(axis=0))


def weights() -> np.ndarray:
    """Module 0 makes the diameter, module 1 the attenuation, module 2 nothing."""
    made = np.zeros((GENES, 2))
    made[:8, 0] = made[8:16, 1] = 1 / 8
    return made


@pytest.fixture(scope="module")
def stage() -> EvaluationSet:
    genes = training(PATIENTS, seed=1).astype(np.float32)
    rng = np.random.default_rng(2)
    backgrounds = rng.normal(-850, 5, (2, PIXELS, PIXELS)).astype(np.float32)
    return EvaluationSet(Drawer(weights()), genes, backgrounds, PIXEL_MM, seed=3)


def three_sets(genes: np.ndarray) -> GeneSets:
    names = [f"G{g}" for g in range(GENES)]
    lists = {f"module {m}": names[8 * m : 8 * m + 8] for m in range(3)} | {"elsewhere": ["X1"]}
    return GeneSets.of_lists(lists, names, genes)


def test_a_set_goes_up_by_one_standard_deviation_of_its_value() -> None:
    genes = training()
    sets = three_sets(genes)
    assert sets.names == ("module 0", "module 1", "module 2")  # nobody measured X1
    value = genes[:, :8].mean(axis=1)
    assert sets.deviation[0] == pytest.approx(value.std())
    correlation = np.corrcoef(genes[:, :8].T)
    assert sets.coherence[0] == pytest.approx(correlation[~np.eye(8, dtype=bool)].mean())
    moved = genes + sets.shift(0, GENES)
    assert moved[:, :8].mean(axis=1) == pytest.approx(value + value.std(), abs=1e-6)
    assert np.array_equal(moved[:, 8:], genes[:, 8:])


def test_a_metagene_moves_its_members_with_their_signs() -> None:
    genes = training()
    genes[:, 0] *= -1
    names = [f"G{g}" for g in range(GENES)]
    metagenes = Metagenes.fit(genes, names, clusters=5, seed=0)
    sets = GeneSets.of_metagenes(metagenes, names, genes)
    k = metagenes.label[0]
    before, after = (metagenes.transform(genes + shift)[:, k] for shift in (0.0, sets.shift(int(k), GENES)))
    assert after - before == pytest.approx(metagenes.transform(genes)[:, k].std(), abs=1e-5)
    # Genes that the run does not know are left out, and their metagene with them if it holds no other.
    fewer = GeneSets.of_metagenes(metagenes, names[:24], genes[:, :24])
    assert sum(map(len, fewer.members)) == 24


def test_drawn_effects_are_the_closed_form(stage: EvaluationSet) -> None:
    sets = three_sets(training())
    effects = nanmean(DrawnResponse(stage, 1.0).effects(sets), axis=0)
    # Pixels are 0.94 mm wide: the measured diameter of a disc is within a few hundredths of its own.
    assert effects[:, SIZE] == pytest.approx([MM * sets.deviation[0], 0, 0], abs=0.1)
    assert effects[:, ATTENUATION] == pytest.approx([0, HU * sets.deviation[1], 0], abs=2.0)


def test_noise_and_backgrounds_stay_where_they_are(stage: EvaluationSet) -> None:
    nothing = stage.effect(np.zeros(GENES, np.float32), 1.0)
    assert np.nanmax(np.abs(nothing)) == 0
    plain, moved = (stage.draw(shift) for shift in (0.0, 0.5 * three_sets(training()).shift(2, GENES)))
    assert np.array_equal(plain.image, moved.image)  # module 2 makes nothing


def test_axes_of_a_linear_code_give_the_same_effects_for_sets_and_genes(stage: EvaluationSet) -> None:
    genes = training()
    axes = code_axes(stage, genes)
    assert axes is not None
    assert len(axes) == 2
    # One deviation of the code along an axis, and none along the other.
    assert axes.lift.T @ axes.project == pytest.approx(np.eye(2), abs=1e-6)
    assert ((genes - genes.mean(axis=0)) @ axes.project).std(axis=0) == pytest.approx([1, 1], abs=1e-3)
    response = AxesResponse.draw(stage, axes, 0.5)
    sets = three_sets(genes)
    found = nanmean(response.effects(sets), axis=0)
    assert found[:, SIZE] == pytest.approx([MM * sets.deviation[0], 0, 0], abs=0.15)
    assert found[:, ATTENUATION] == pytest.approx([0, HU * sets.deviation[1], 0], abs=2.0)
    single = response.gene_effects()
    assert single[:, ATTENUATION] == pytest.approx(HU * weights()[:, 1], abs=0.5)
    assert single[16:, ATTENUATION] == pytest.approx(0.0, abs=1e-4)  # genes without a weight


def test_a_code_that_is_not_linear_or_not_all_there_is_has_no_axes(stage: EvaluationSet) -> None:
    curved = Drawer(weights(), curved=True)
    assert code_axes(EvaluationSet(curved, stage.genes, stage.backgrounds, PIXEL_MM, 0), training()) is None

    class Sly(Drawer):
        """Draws from a gene that is not in its code."""

        def encode(self, expression: np.ndarray) -> np.ndarray:
            return super().encode(expression)[:, :1]

    sly = Sly(weights())
    assert code_axes(EvaluationSet(sly, stage.genes, stage.backgrounds, PIXEL_MM, 0), training()) is None

    class Mute:
        def synthesize(self, backgrounds: np.ndarray, expression: np.ndarray, *, seed: int) -> object:
            return curved.synthesize(backgrounds, expression, seed=seed)

    assert code_axes(EvaluationSet(Mute(), stage.genes, stage.backgrounds, PIXEL_MM, 0), training()) is None  # type: ignore[arg-type]


def test_gradients_agree_with_finite_differences_of_the_same_features(stage: EvaluationSet) -> None:
    drawer = Drawer(weights())

    def draw(background: torch.Tensor, genes: torch.Tensor, first: int) -> tuple[torch.Tensor, torch.Tensor]:
        return drawer.draw(to_hu(background), genes, first, 3)

    few = EvaluationSet(drawer, stage.genes[:2], stage.backgrounds, PIXEL_MM, 3)
    gradients = gene_gradients(draw, few)
    assert gradients.shape == (2, GENES, len(FEATURES))
    sets = three_sets(training())
    found = nanmean(set_effects(gradients, sets), axis=0)
    # The edge is narrower than two pixels: on their grid the area grows a little unevenly with the radius.
    assert found[:, SIZE] == pytest.approx([MM * sets.deviation[0], 0, 0], rel=0.1, abs=1e-6)
    # A larger disc is a little denser 2 mm inside its outline: some HU that the size owes to the blur of the edge.
    assert found[:, ATTENUATION] == pytest.approx([0, HU * sets.deviation[1], 0], rel=0.01, abs=3.0)

    background = torch.from_numpy(few.backgrounds[:1])[:, None].double()
    genes = torch.from_numpy(few.genes[:1]).double()
    for name in ("size", "attenuation", "spiculation", "cavitation"):
        f, step = FEATURES.index(name), 0.02
        direction = torch.from_numpy(sets.shift(0, GENES) + sets.shift(1, GENES)).double()[None]
        value = [
            smooth_features(*drawer.draw(background, genes + sign * step * direction, 0, 3), PIXEL_MM)[f].item()
            for sign in (1, -1)
        ]
        g = genes.clone().requires_grad_(True)
        (slope,) = torch.autograd.grad(smooth_features(*drawer.draw(background, g, 0, 3), PIXEL_MM)[f], g)
        expected = (value[0] - value[1]) / (2 * step)
        assert (slope * direction).sum().item() == pytest.approx(expected, rel=0.05, abs=2e-3), name


def test_intervals_are_those_of_resampled_patients() -> None:
    rng = np.random.default_rng(0)
    effects = 2 + rng.standard_normal((50, 1, 1))
    mean, low, high = mean_and_interval(effects, resamples(50, 4000, [0]))
    error = effects.std() / np.sqrt(50)
    assert mean[0, 0] == pytest.approx(effects.mean())
    assert [low[0, 0], high[0, 0]] == pytest.approx([mean[0, 0] - 1.96 * error, mean[0, 0] + 1.96 * error], abs=0.05)
    effects[3] = np.nan
    assert np.isfinite(mean_and_interval(effects, resamples(50, 200, [0]))[1]).all()


def test_random_sets_are_as_large_as_coherent_and_unrelated() -> None:
    rng = np.random.default_rng(0)
    module = np.repeat(np.arange(12), 20)
    activity = rng.standard_normal((80, 12))
    genes = 0.8 * activity[:, module] + 0.6 * rng.standard_normal((80, 240))
    genes = (genes - genes.mean(axis=0)) / genes.std(axis=0)
    tight, loose = np.arange(10), np.concatenate([np.arange(20, 25), np.arange(40, 45)])
    sets = GeneSets.of(["tight", "loose"], [tight, loose], [np.ones(10)] * 2, genes)
    matcher = null.Matcher.of(sets, genes)
    drawn = [matcher.draw(rng) for _ in range(40)]
    assert all(len(m) == 10 == len(np.unique(m)) for one in drawn for m in one.members)
    coherence = np.mean([one.coherence for one in drawn], axis=0)
    assert coherence[0] == pytest.approx(sets.coherence[0], abs=0.12)
    assert coherence[1] == pytest.approx(sets.coherence[1], abs=0.15)
    assert not any(np.isin(one.members[0], np.arange(20)).any() for one in drawn)  # the whole module is kept out


def test_p_values_are_uniform_where_nothing_is_linked() -> None:
    # A code without a meaning: random weights of every gene. The set's effect is one more random set's.
    rng = np.random.default_rng(0)
    below = []
    for trial in range(60):
        genes = rng.standard_normal((40, 150))
        names = [f"G{g}" for g in range(150)]
        sets = GeneSets.of_lists({"a": names[:10], "b": names[60:75]}, names, genes)
        project, slopes = rng.standard_normal((150, 3)), rng.standard_normal((3, 6))
        effects, _ = null.random_effects(sets, genes, project, slopes, 100, trial)
        below.append(null.exceeding(sets.through(project) @ slopes, effects) < 0.05)
    # 60 trials of 12 tests with three independent directions each: the standard error is about 0.012.
    assert 0.01 < np.mean(below) < 0.09


def test_exchanged_patients_give_effects_of_sets_and_the_null_of_single_genes() -> None:
    sets = GeneSets(("a",), (np.array([0, 1]),), (np.array([1.0, -1.0]),), np.array([0.5]), np.array([0.3]))
    projections = iter([np.array([[1.0], [3.0], [0.0]]), np.array([[2.0], [0.0], [1.0]])])  # (G, K) = (3, 1), twice
    slopes = np.array([[2.0, -1.0]])  # (K, F)
    observed = np.array([[3.0, 0.1], [1.0, 1.0], [5.0, 0.0]])
    unrelated = np.vstack([np.eye(3), -np.eye(3)])  # six patients: nothing goes with a gene
    (effects,), genes = null.exchanged_effects(projections, slopes, [sets], observed, unrelated)
    assert effects[:, 0] == pytest.approx(np.array([[-2.0, 1.0], [2.0, -1.0]]))  # 0.5 (1 - 3) and 0.5 (2 - 0)
    assert genes.z[:, 1] == pytest.approx(observed[:, 1] / np.sqrt([(1 + 4) / 2, 9 / 2, 1 / 2]))
    # |effects| of the genes on feature 0: 2, 6, 0 and 4, 0, 2.
    assert genes.p[:, 0] == pytest.approx([2 / 3, 2 / 3, 1 / 3])
    assert null.in_deviations(np.array([[4.0, 3.0]]), effects) == pytest.approx(np.array([[2.0, 3.0]]))


def test_a_gene_moves_with_its_companions_as_they_go_with_it() -> None:
    rng = np.random.default_rng(0)
    genes = rng.standard_normal((50, 6)) @ rng.standard_normal((6, 6))
    answers = rng.standard_normal((6, 2))
    made = null.with_companions(genes, answers)
    for g in range(6):
        for k in range(2):
            assert made[g, k] == pytest.approx(linregress(genes[:, g], genes @ answers[:, k]).slope)
    assert null.with_companions(np.vstack([np.eye(3), -np.eye(3)]), np.eye(3)) == pytest.approx(np.eye(3))


def test_p_values_count_by_hand() -> None:
    effects = np.array([[[3.0, 0.1]], [[-1.0, 0.2]], [[0.5, 5.0]], [[0.2, 0.3]]])  # (R, S, F) = (4, 1, 2)
    observed = np.array([[-2.0, 0.25]])
    assert null.exceeding(observed, effects) == pytest.approx(np.array([[2 / 5, 3 / 5]]))
    # The largest of each table: 3, 1, 5, 0.3.
    assert null.exceeding_largest(observed, effects) == pytest.approx(np.array([[3 / 5, 5 / 5]]))
    # One other model with three sets: one of its six effects reaches 2, four reach 0.25.
    table = np.array([[3.0, 0.1], [1.0, 0.3], [0.5, 0.2]])
    assert null.exceeding_table(observed, table) == pytest.approx(np.array([[2 / 7, 5 / 7]]))
    assert np.isnan(null.exceeding(np.array([[np.nan, 1.0]]), effects)[0, 0])
