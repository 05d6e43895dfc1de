"""The canonical alignment: against explicit regressions, and on patients whose directions are known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest, multivariate_normal
from sklearn.linear_model import Ridge

from radiogenesis.methods.canonical_alignment import (
    LEVEL,
    CanonicalAlignment,
    CanonicalAlignmentSettings,
    by_two_tests,
    canonical_directions,
    directions,
    left_out,
)
from radiogenesis.methods.images import images_from_hu, soften
from radiogenesis.methods.protocols import Critic, GeneEncoder, LesionEncoder
from radiogenesis.networks.lesion_statistics import SIZES

QUICK = CanonicalAlignmentSettings(directions=6, permutations=40)
PIXELS, GENES, PATIENTS = 32, 40, 60


def test_left_out_is_ridge_regression_without_the_patient() -> None:
    rng = np.random.default_rng(0)
    genes, values = rng.normal(size=(12, 30)), rng.normal(size=(12, 3))
    centred = genes - genes.mean(0)
    values -= values.mean(0)
    found = left_out(values, centred @ centred.T / 10, ridge=0.7)
    for i in range(12):
        others = np.arange(12) != i
        expected = Ridge(alpha=7.0).fit(genes[others], values[others]).predict(genes[i : i + 1])[0]
        np.testing.assert_allclose(found[i], expected, atol=1e-9)


def planted(factors: int, *, strength: float = 2.0, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Statistics of 4 slices of each patient, owners and genes; the first `factors` pairs of columns share a factor."""
    rng = np.random.default_rng(seed)
    factor = rng.normal(size=(PATIENTS, factors))
    genes = rng.normal(size=(PATIENTS, GENES))
    for f in range(factors):
        genes[:, 5 * f : 5 * f + 5] += strength * factor[:, f, None]
    owner = np.repeat(np.arange(PATIENTS), 4)
    statistics = rng.normal(size=(len(owner), 20))
    statistics[:, :factors] += strength * factor[owner]
    return statistics, owner, genes


def test_few_patients_differ_in_few_directions_only() -> None:
    """Three patients differ in two; the others would have had a spread of rounding errors, and weights of 1e15."""
    statistics, owner, genes = planted(1)
    few = owner < 3
    found = canonical_directions(statistics[few], owner[few], genes[:3], QUICK)
    coordinates = ((statistics[few] - found["mean"]) / found["deviation"]) @ found["lesion_weights"]
    spread = np.array([coordinates[owner[few] == p].mean(0) for p in range(3)]).std(0)
    assert spread[0] == pytest.approx(1.0)
    assert set(spread.round(6).tolist()) <= {0.0, 1.0}
    assert (spread > 0.5).sum() <= 2
    assert np.abs(found["lesion_weights"]).max() < 100
    assert all(np.isfinite(values).all() for values in found.values())


@pytest.mark.parametrize("factors", [1, 3])
def test_it_finds_as_many_directions_as_were_planted(factors: int) -> None:
    statistics, owner, genes = planted(factors)
    found = canonical_directions(statistics, owner, genes, QUICK)
    assert (found["readability"] > 0).sum() == factors
    assert found["readability"][:factors].min() > 0.8 > found["chance"].max()
    assert np.abs(found["lesion_weights"])[:, :factors].argmax(0).max() < factors  # the planted columns lead
    heavy = np.abs(found["gene_weights"][:, :factors])
    assert heavy[: 5 * factors].mean() > 2 * heavy[5 * factors :].mean()
    assert not found["gene_weights"][:, factors:].any()


def test_shuffled_genes_leave_the_one_direction_that_is_always_kept() -> None:
    statistics, owner, genes = planted(3)
    found = canonical_directions(statistics, owner, np.roll(genes, 11, axis=0), QUICK)
    assert (found["readability"] > found["chance"]).sum() == 0
    assert found["p"][0] > LEVEL
    assert (found["p"][1:] == 1).all()
    assert not found["lesion_weights"][:, 1:].any()


def test_a_property_that_shows_much_is_found_though_genes_foretell_it_poorly() -> None:
    """Among two hundred statistics of noise some direction of shuffled genes reads as well; none covaries as much."""
    rng = np.random.default_rng(1)
    factor = rng.normal(size=PATIENTS)
    genes = rng.normal(size=(PATIENTS, GENES))
    genes[:, :10] += 0.8 * factor[:, None]
    owner = np.repeat(np.arange(PATIENTS), 4)
    statistics = rng.normal(size=(len(owner), 200))
    statistics[:, :40] += (1.5 * factor + rng.normal(size=PATIENTS))[owner, None]
    found = canonical_directions(statistics, owner, genes, QUICK)
    assert found["readability"][0] < found["chance"][0]
    assert found["p"][0] == pytest.approx(2 / 41)  # above each of 40 shuffles, in the better of two tests
    z = ((statistics - found["mean"]) / found["deviation"]) @ found["lesion_weights"][:, 0]
    assert abs(np.corrcoef(z[owner.argsort(kind="stable")].reshape(PATIENTS, 4).mean(1), factor)[0, 1]) > 0.75


def test_shuffled_genes_pass_for_readable_no_more_often_than_the_level_says() -> None:
    statistics, owner, genes = planted(2, seed=4)
    few = CanonicalAlignmentSettings(directions=2, permutations=40)
    passed = 0
    for seed in range(60):
        others = genes[np.random.default_rng([7, seed]).permutation(PATIENTS)]
        passed += canonical_directions(statistics, owner, others, few, seed)["p"][0] <= LEVEL
    assert binomtest(int(passed), 60, LEVEL, alternative="greater").pvalue > 0.01


def test_the_p_of_a_direction_counts_shuffles_by_hand() -> None:
    """Two rounds: readability against its rank, covariance against the largest once the direction before is out."""
    rng = np.random.default_rng(2)
    means, genes = rng.normal(size=(12, 4)), rng.normal(size=(12, 6))
    means[:, :2] += 3 * genes[:, :2]
    means -= means.mean(0)
    genes -= genes.mean(0)
    kernel, whiten = genes @ genes.T / 12, np.eye(4)
    orders = [np.random.default_rng([9, i]).permutation(12) for i in range(99)]
    found = directions(means, kernel, whiten, 0.3, 3)
    shuffled = [directions(means, kernel[np.ix_(o, o)], whiten, 0.3, 3) for o in orders]
    p = by_two_tests(found, shuffled, means, kernel, whiten, np.random.default_rng(5))

    def largest(values: NDArray[Any], k: NDArray[Any]) -> float:
        """Of v' sym(M^T M') v / n over unit v: the largest eigenvalue, each patient foretold without itself."""
        foretold = np.stack(
            [
                values[others].mean(0) + kr(k, values, i, others)
                for i in range(12)
                for others in [np.arange(12) != i]
            ]
        )  # fmt: skip
        c = values.T @ foretold / 12
        return float(np.linalg.eigvalsh((c + c.T) / 2)[-1])

    def kr(k: NDArray[Any], values: NDArray[Any], i: int, others: NDArray[Any]) -> NDArray[Any]:
        """Kernel ridge regression with an intercept from the other patients, foretelling patient i about their mean."""
        n = int(others.sum())
        middle = np.eye(n) - 1 / n
        inner = middle @ k[np.ix_(others, others)] @ middle
        to_i = (k[i, others] - k[np.ix_(others, others)].mean(0)) @ middle
        return to_i @ np.linalg.solve(inner + 0.3 * np.eye(n), values[others] - values[others].mean(0))

    def count(own: float, null: list[float]) -> float:
        return (1 + sum(v >= own for v in null)) / 100

    assert found.covariance[0] == pytest.approx(largest(means, kernel))
    first = count(largest(means, kernel), [largest(means, kernel[np.ix_(o, o)]) for o in orders])
    read = count(found.readability[0], [one.readability[0] for one in shuffled])
    assert p[0] == pytest.approx(min(first, read))
    again = np.random.default_rng(5)
    after = [again.permutation(12) for _ in range(99)]
    z = (means @ found.weights)[:, :1]
    left = means - z @ np.linalg.lstsq(z, means, rcond=None)[0]
    second = count(largest(left, kernel), [largest(left, kernel[np.ix_(o, o)]) for o in after])
    read = count(found.readability[1], [one.readability[1] for one in shuffled])
    assert p[1] == pytest.approx(min(second, read))


def test_chance_is_the_readability_of_shuffled_genes_direction_by_direction() -> None:
    statistics, owner, genes = planted(3)
    found = canonical_directions(statistics, owner, genes, QUICK)
    shuffled = [
        canonical_directions(statistics, owner, genes[np.random.default_rng(s).permutation(PATIENTS)], QUICK)
        for s in range(30)
    ]
    readability = np.stack([s["readability"] for s in shuffled])
    assert 0 <= (readability[:, 0] > found["chance"][0]).mean() < 0.2
    assert (readability[:, 1:] > 0).sum() < 3  # hardly ever a second one
    assert found["chance"][0] > found["chance"][-1]


def test_patients_count_alike_however_many_slices_they_have() -> None:
    statistics, owner, genes = planted(2)
    once = canonical_directions(statistics, owner, genes, QUICK)
    again = [np.r_[a, np.tile(a[owner == 7], (5, *[1] * (a.ndim - 1))).reshape(-1, *a.shape[1:])] for a in
             (statistics, owner)]  # fmt: skip
    repeated = canonical_directions(again[0], again[1], genes, QUICK)
    for name, value in once.items():
        np.testing.assert_allclose(repeated[name], value, atol=1e-8, err_msg=name)


def test_the_same_seed_finds_the_same_and_lesions_have_variance_one() -> None:
    statistics, owner, genes = planted(2)
    first, second = (canonical_directions(statistics, owner, genes, QUICK, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first["chance"], second["chance"])
    assert (first["chance"] != canonical_directions(statistics, owner, genes, QUICK, seed=4)["chance"]).all()
    standard = (statistics - first["mean"]) / first["deviation"]
    means = np.stack([(standard @ first["lesion_weights"])[owner == p].mean(0) for p in range(PATIENTS)])
    np.testing.assert_allclose(means.std(0)[:2], 1)


def test_whitened_statistics_have_the_variances_of_a_ridge() -> None:
    """In closed form: v / (v + lambda) for the eigenvalues v of the statistics' correlation."""
    statistics, owner, genes = planted(3)
    found = canonical_directions(statistics, owner, genes, QUICK)
    standard = (statistics - found["mean"]) / found["deviation"]
    v = np.linalg.eigvalsh(np.corrcoef(statistics.T))
    whitened = np.linalg.eigvalsh(np.cov((standard @ found["whitening"]).T, ddof=0))
    np.testing.assert_allclose(whitened, np.sort(v / (v + QUICK.lesion_ridge)), atol=1e-6)


def lesions(patients: int = PATIENTS, seed: int = 0) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Two slices of each patient: images HU, masks, owners and genes. Radius and HU follow five genes each."""
    rng = np.random.default_rng(seed)
    size, level = rng.uniform(-1, 1, size=(2, patients))
    genes = rng.normal(size=(patients, GENES))
    genes[:, :5] += 2 * size[:, None]
    genes[:, 5:10] += 2 * level[:, None]
    owner = np.repeat(np.arange(patients), 2)
    y, x = np.mgrid[:PIXELS, :PIXELS] - (PIXELS - 1) / 2
    masks = np.hypot(y, x) < (8 + 3 * size[owner] + rng.normal(scale=0.4, size=len(owner)))[:, None, None]
    images = np.where(masks, 250 * level[owner, None, None], -850) + rng.normal(scale=20, size=masks.shape)
    return images, masks, owner, genes


@pytest.fixture(scope="module")
def fitted() -> CanonicalAlignment:
    images, masks, owner, genes = lesions()
    alignment = CanonicalAlignment(QUICK, genes=GENES)
    m = soften(torch.from_numpy(masks.astype(np.float32))[:, None])
    alignment.fit(images_from_hu(images), m, owner, genes, seed=0)
    return alignment


def test_lesions_of_unseen_patients_find_their_genes(fitted: CanonicalAlignment) -> None:
    assert (fitted.readability > 0).sum() == 2
    images, masks, owner, genes = lesions(20, seed=5)
    lesion, gene = fitted.encode_lesions(images, masks), fitted.encode(genes)
    for embedded in (lesion, gene):
        assert embedded.dtype == np.float32
        np.testing.assert_allclose(np.linalg.norm(embedded, axis=1), 1, rtol=1e-5)
    similarity = lesion @ gene.T
    own = np.take_along_axis(similarity, owner[:, None], 1)
    assert (1 + (similarity > own).sum(1)).mean() < 5  # of 20; chance is 10.5
    other = np.take_along_axis(similarity, (owner[:, None] + 7) % 20, 1)
    assert (1 + (similarity > other).sum(1)).mean() > 7


def test_the_log_likelihood_is_the_gaussian_density(fitted: CanonicalAlignment) -> None:
    images, masks, _, genes = lesions(4, seed=6)
    x, m = images_from_hu(images), soften(torch.from_numpy(masks.astype(np.float32))[:, None])
    g = torch.from_numpy(genes).float()
    found = fitted.log_likelihood(fitted.standardised(x, m), g).numpy()
    r = fitted.readability.numpy()[:2].clip(max=0.9)
    z = fitted.coordinates(fitted.standardised(x, m)).numpy()[:, :2]
    c = fitted.code(g).numpy()[:, :2]
    for j in range(4):
        density = multivariate_normal(r * c[j], np.diag(1 - r**2)).logpdf(z)
        np.testing.assert_allclose(found[:, j] - found[0, j], density - density[0], rtol=1e-4, atol=1e-4)
    assert found.shape == (8, 4)


def test_it_is_what_the_house_asks_of_an_alignment(fitted: CanonicalAlignment) -> None:
    assert isinstance(fitted, GeneEncoder)
    assert isinstance(fitted, LesionEncoder)
    assert isinstance(fitted, Critic)
    assert fitted.code_length == 6
    assert fitted.players() == ()
    assert fitted.averaged() is None
    images, masks, _, genes = lesions(3)
    statistics = fitted.standardised(images_from_hu(images), torch.from_numpy(masks[:, None].astype(np.float32)))
    assert [kind.shape[1] for kind in fitted.kinds(statistics)] == [*SIZES, sum(SIZES)]
    assert fitted.code(torch.from_numpy(genes).float()).shape == (3, 6)
    assert fitted.encode_lesions(images[:0], masks[:0]).shape == (0, 6)


def test_gradients_reach_image_and_mask(fitted: CanonicalAlignment) -> None:
    images, masks, _, genes = lesions(3)
    x = images_from_hu(images).requires_grad_()
    m = soften(torch.from_numpy(masks.astype(np.float32))[:, None]).requires_grad_()
    fitted.log_likelihood(fitted.standardised(x, m), torch.from_numpy(genes).float())[0, 0].backward()
    for tensor in (x, m):
        assert tensor.grad is not None
        assert tensor.grad[0].abs().max() > 0
        assert tensor.grad.isfinite().all()


def test_autocast_does_not_round_the_coordinates(fitted: CanonicalAlignment) -> None:
    images, masks, _, _ = lesions(3)
    x, m = images_from_hu(images), soften(torch.from_numpy(masks.astype(np.float32))[:, None])
    plain = fitted.coordinates(fitted.standardised(x, m))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fitted.coordinates(fitted.standardised(x, m)), plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"directions": 0}, "directions must be at least 1, not 0"),
        ({"permutations": 5}, "permutations must be at least 20, not 5"),
        ({"lesion_ridge": 0.0}, r"lesion_ridge must be above 0, not 0.0"),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(QUICK, **changes)


def test_it_says_in_plain_words_what_genes_foretell(fitted: CanonicalAlignment) -> None:
    r = fitted.readability[:2].tolist()
    assert not fitted.unread
    said = fitted.said()
    assert said == f"genes foretell 2 directions of what lesions look like (p 0.049); r {r[0]:.2f} {r[1]:.2f}"
    deaf = CanonicalAlignment(QUICK, genes=GENES)
    deaf.p[:] = 1.0
    assert "shuffled genes do not (p 1)" in deaf.said()


def coordinates_of_patients(
    alignment: CanonicalAlignment, images: NDArray[Any], masks: NDArray[Any], owner: NDArray[Any]
) -> NDArray[Any]:
    soft = soften(torch.from_numpy(masks.astype(np.float32))[:, None])
    each = alignment.coordinates(alignment.standardised(images_from_hu(images), soft)).double().numpy()
    return np.stack([each[owner == p].mean(0) for p in range(owner.max() + 1)])


def test_the_code_of_a_patient_as_if_unseen_is_what_ridge_regression_on_the_others_foretells(
    fitted: CanonicalAlignment,
) -> None:
    images, masks, owner, genes = lesions()
    z = coordinates_of_patients(fitted, images, masks, owner)[:, :2]
    moved = fitted.unseen_genes(torch.from_numpy(genes), torch.from_numpy(np.c_[z, np.zeros((PATIENTS, 4))]))
    code = fitted.code(moved).numpy()
    centred = genes - genes.mean(0)
    alpha = float(fitted.ridge) * (centred**2).sum() / PATIENTS
    expected = np.stack(
        [
            Ridge(alpha=alpha).fit(genes[others], z[others]).predict(genes[i : i + 1])[0]
            for i in range(PATIENTS)
            for others in [np.arange(PATIENTS) != i]
        ]
    )
    np.testing.assert_allclose(code[:, :2], expected / expected.std(0), atol=1e-4)
    assert not code[:, 2:].any()
    shift = moved.numpy() - genes  # within what the code reads, and nowhere else
    weights = fitted.gene_weights.double().numpy()[:, :2]
    np.testing.assert_allclose(shift, shift @ weights @ np.linalg.pinv(weights), atol=1e-6)


def test_patients_who_were_not_seen_have_a_code_of_variance_one(fitted: CanonicalAlignment) -> None:
    for seed in (7, 8):
        code = fitted.code(torch.from_numpy(lesions(300, seed)[3]).float()).numpy()
        np.testing.assert_allclose(code[:, :2].std(0), 1, atol=0.2)


def test_with_more_genes_than_patients_those_seen_are_known_by_heart() -> None:
    rng = np.random.default_rng(3)
    factor = rng.normal(size=2 * PATIENTS)
    genes = rng.normal(size=(2 * PATIENTS, 400))
    genes[:, :20] += factor[:, None]
    owner = np.repeat(np.arange(PATIENTS), 4)
    statistics = rng.normal(size=(len(owner), sum(SIZES)))
    statistics[:, :10] += factor[owner, None]
    found = canonical_directions(statistics, owner, genes[:PATIENTS], QUICK)
    alignment = CanonicalAlignment(QUICK, genes=400)
    for name, value in found.items():
        alignment.get_buffer(name).copy_(torch.from_numpy(np.asarray(value)))
    seen, unseen = alignment.code(torch.from_numpy(genes).float()).numpy()[:, 0].reshape(2, PATIENTS)
    z = ((statistics - found["mean"]) / found["deviation"]) @ found["lesion_weights"]
    means = np.stack([z[owner == p].mean(0) for p in range(PATIENTS)])
    assert np.corrcoef(seen, means[:, 0])[0, 1] > 0.95
    assert seen.std() > 1.2
    assert unseen.std() == pytest.approx(1, abs=0.25)
    moved = alignment.unseen_genes(torch.from_numpy(genes[:PATIENTS]), torch.from_numpy(means))
    own = alignment.code(alignment.seen_genes(torch.from_numpy(genes[:20])).float()).numpy()[:, 0]
    np.testing.assert_allclose(own, seen[:20] / seen.std(), atol=1e-4)  # of some of them alone as of all
    as_unseen = alignment.code(moved.float()).numpy()[:, 0]
    assert as_unseen.std() == pytest.approx(1, abs=1e-4)
    assert np.corrcoef(as_unseen, means[:, 0])[0, 1] == pytest.approx(found["readability"][0], abs=0.01)
