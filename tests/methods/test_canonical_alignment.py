"""The canonical alignment: on discs whose size and attenuation follow five genes each."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import multivariate_normal
from sklearn.linear_model import Ridge

from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.canonical_fit import LesionSide, cross_predicting, divided
from radiogenesis.methods.images import images_from_hu, soften
from radiogenesis.methods.protocols import Critic, GeneEncoder, LesionEncoder
from radiogenesis.networks.lesion_statistics import SIZES
from radiogenesis.phenotypes.lesion import FEATURES

QUICK = CanonicalAlignmentSettings(directions=2, permutations=60)
PIXELS, GENES, PATIENTS, PIXEL_MM = 32, 40, 60, 1.0
SIZE, ATTENUATION = FEATURES.index("size"), FEATURES.index("attenuation")


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


def fit(settings: CanonicalAlignmentSettings = QUICK, shuffle: bool = False) -> CanonicalAlignment:
    images, masks, owner, genes = lesions()
    alignment = CanonicalAlignment(settings, genes=GENES)
    given = np.roll(genes, 11, axis=0) if shuffle else genes
    outlined = torch.from_numpy(masks)[:, None]
    alignment.fit(images_from_hu(images), outlined, owner, given, seed=0, pixel_mm=PIXEL_MM)
    return alignment


@pytest.fixture(scope="module")
def fitted() -> CanonicalAlignment:
    return fit()


def test_the_first_axes_are_the_properties_of_a_lesion_and_say_which_genes_do_them(fitted: CanonicalAlignment) -> None:
    assert fitted.settings.axes == (*FEATURES, "appearance 1", "appearance 2")
    r, chance, p = (getattr(fitted, name).numpy() for name in ("cross_validated", "chance", "p"))
    for axis, driving in ((SIZE, slice(0, 5)), (ATTENUATION, slice(5, 10))):
        assert r[axis] > 0.6 > chance[axis]
        assert p[axis] == pytest.approx(1 / 61)
        for table in (fitted.gene_weights, fitted.gene_patterns):
            strength = table[:, axis].abs().numpy()
            others = np.delete(strength, np.arange(10))
            assert strength[driving].min() > others.mean()
    assert fitted.p_any < 0.05
    images, masks, _, _ = lesions(80, seed=3)
    seen = fitted.coordinates(
        fitted.standardized(images_from_hu(images), soften(torch.from_numpy(masks)[:, None].float()))
    )
    area, level = masks.sum((1, 2)), images[:, 12:20, 12:20].mean((1, 2))
    assert np.corrcoef(seen[:, SIZE], np.sqrt(area))[0, 1] > 0.95
    assert np.corrcoef(seen[:, ATTENUATION], level)[0, 1] > 0.95


def test_patterns_are_covariances_with_the_scores(fitted: CanonicalAlignment) -> None:
    images, masks, owner, genes = lesions()
    side = lesion_side(fitted, images, masks, owner)
    for axis in (SIZE, ATTENUATION):
        expected = [np.cov(gene, side.scores[:, axis], ddof=0)[0, 1] for gene in genes.T]
        np.testing.assert_allclose(fitted.gene_patterns[:, axis], expected, atol=1e-5)


def test_directions_alone_find_the_same_two() -> None:
    alone = fit(replace(QUICK, properties=False, directions=4))
    assert alone.settings.axes == tuple(f"appearance {k}" for k in range(1, 5))
    assert alone.used.tolist() == [True, True, False, False]
    assert alone.cross_validated[:2].min() > 0.6
    assert alone.p[2:].tolist() == [1.0, 1.0]


def lesion_side(
    alignment: CanonicalAlignment, images: NDArray[Any], masks: NDArray[Any], owner: NDArray[Any]
) -> LesionSide:
    outlined = torch.from_numpy(masks)[:, None]
    return alignment.lesion_side(images_from_hu(images), outlined, owner, pixel_mm=PIXEL_MM)


def test_lesions_of_unseen_patients_find_their_genes(fitted: CanonicalAlignment) -> None:
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
    found = fitted.log_likelihood(fitted.standardized(x, m), g).numpy()
    r = fitted.follows.numpy().clip(max=0.9)
    z = fitted.coordinates(fitted.standardized(x, m)).numpy()
    c = fitted.code(g).numpy()
    for j in range(4):
        density = multivariate_normal(r * c[j], np.diag(1 - r**2)).logpdf(z)
        np.testing.assert_allclose(found[:, j] - found[0, j], density - density[0], rtol=1e-4, atol=1e-4)
    assert found.shape == (8, 4)


def test_it_is_what_the_house_asks_of_an_alignment(fitted: CanonicalAlignment) -> None:
    assert isinstance(fitted, GeneEncoder)
    assert isinstance(fitted, LesionEncoder)
    assert isinstance(fitted, Critic)
    assert fitted.code_length == 8
    assert fitted.players() == ()
    assert fitted.averaged() is None
    images, masks, _, genes = lesions(3)
    statistics = fitted.standardized(images_from_hu(images), torch.from_numpy(masks[:, None].astype(np.float32)))
    assert [kind.shape[1] for kind in fitted.kinds(statistics)] == [*SIZES, sum(SIZES), int(fitted.used.sum())]
    assert fitted.code(torch.from_numpy(genes).float()).shape == (3, 8)
    assert fitted.encode_lesions(images[:0], masks[:0]).shape == (0, 8)


def test_gradients_reach_image_and_mask(fitted: CanonicalAlignment) -> None:
    images, masks, _, genes = lesions(3)
    x = images_from_hu(images).requires_grad_()
    m = soften(torch.from_numpy(masks.astype(np.float32))[:, None]).requires_grad_()
    fitted.log_likelihood(fitted.standardized(x, m), torch.from_numpy(genes).float())[0, 0].backward()
    for tensor in (x, m):
        assert tensor.grad is not None
        assert tensor.grad[0].abs().max() > 0
        assert tensor.grad.isfinite().all()


def test_autocast_does_not_round_the_coordinates(fitted: CanonicalAlignment) -> None:
    images, masks, _, _ = lesions(3)
    x, m = images_from_hu(images), soften(torch.from_numpy(masks.astype(np.float32))[:, None])
    plain = fitted.coordinates(fitted.standardized(x, m))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(fitted.coordinates(fitted.standardized(x, m)), plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"directions": -1}, "directions must be at least 0, not -1"),
        ({"directions": 0, "properties": False}, "directions must be at least 1 where properties is false, not 0"),
        ({"permutations": 5}, "permutations must be at least 20, not 5"),
        ({"lesion_ridge": -0.1}, r"lesion_ridge must be at least 0, not -0.1"),
        ({"gene_ridge": 0.0}, r"gene_ridge must be above 0, not 0.0"),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(QUICK, **changes)


def test_it_says_in_plain_words_what_genes_predict_beside_chance_and_power(fitted: CanonicalAlignment) -> None:
    assert not fitted.unread
    said = fitted.said()
    r, chance = (float(getattr(fitted, name)[SIZE]) for name in ("cross_validated", "chance"))
    assert f"size r {r:.2f} (chance up to {chance:.2f}; p 0.016)" in said
    assert "cross-validated in 60 patients" in said
    assert "no sign of" in said
    # sqrt(n - 3) r is standard normal: 1.645 + 0.842 deviations are found in 80 % of cohorts.
    assert "(a true r of 0.33 would be seen in 80 % of such cohorts)" in said
    chance_alone = fit(shuffle=True)
    assert chance_alone.unread
    assert chance_alone.said().startswith("no sign that genes predict what lesions look like (p 0.")
    vectors = chance_alone.encode(lesions(5, seed=1)[3])
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


def test_the_code_of_a_patient_as_if_unseen_is_what_ridge_regression_on_the_others_predicts(
    fitted: CanonicalAlignment,
) -> None:
    images, masks, owner, genes = lesions()
    side = lesion_side(fitted, images, masks, owner)
    moved = fitted.out_of_sample_genes(torch.from_numpy(genes), side)
    code, used = fitted.code(moved).numpy(), fitted.used
    alpha = 3.2 * ((genes - genes.mean(0)) ** 2).sum() / PATIENTS
    targets, expected = fitted.targets(side)[:, used], np.zeros((PATIENTS, int(used.sum())))
    rng = np.random.default_rng([0, 0xCF])
    for _ in range(5):
        for part, others in divided(PATIENTS, rng):
            model = Ridge(alpha=alpha).fit(genes[others], targets[others])
            expected[part] += model.predict(genes[part]) - targets[others].mean(0)
    np.testing.assert_allclose(code[:, used], expected / expected.std(0), atol=1e-3)
    shift = moved.numpy() - genes  # within what the code reads, and nowhere else
    weights = fitted.gene_weights.double().numpy()[:, used]
    np.testing.assert_allclose(shift, shift @ weights @ np.linalg.pinv(weights), atol=1e-6)


def test_patients_who_were_not_seen_have_a_code_of_variance_one(fitted: CanonicalAlignment) -> None:
    for seed in (7, 8):
        code = fitted.code(torch.from_numpy(lesions(300, seed)[3]).float()).numpy()
        np.testing.assert_allclose(code[:, [SIZE, ATTENUATION]].std(0), 1, atol=0.25)


def test_in_sample_the_code_overfits_and_is_rescaled(fitted: CanonicalAlignment) -> None:
    images, masks, owner, genes = lesions()
    code, used = fitted.code(torch.from_numpy(genes).float()).numpy(), fitted.used
    np.testing.assert_allclose(code.std(0), fitted.in_sample_deviation.numpy(), rtol=1e-3)
    targets = fitted.targets(lesion_side(fitted, images, masks, owner))
    in_sample = np.corrcoef(code[:, SIZE], targets[:, SIZE])[0, 1]
    assert in_sample > fitted.cross_validated[SIZE] + 0.02
    some = fitted.code(fitted.in_sample_genes(torch.from_numpy(genes[:20])).float()).numpy()
    scaled = code / np.where(used, fitted.in_sample_deviation, 1.0)
    np.testing.assert_allclose(some[:, used], scaled[:20][:, used], atol=1e-3)
    predicting = cross_predicting(fitted.gene_side(genes).kernel, 3.2, 5, 0)
    assert np.corrcoef((predicting @ targets)[:, SIZE], targets[:, SIZE])[0, 1] == pytest.approx(
        float(fitted.cross_validated[SIZE]), abs=0.01
    )


@pytest.mark.parametrize(("coarse", "same"), [(32, True), (0, False)])
def test_finer_pixels_of_the_same_lesion_have_the_same_statistics(coarse: int, same: bool) -> None:
    images, masks, _, _ = lesions(patients=4)
    alignment = CanonicalAlignment(replace(QUICK, statistics_pixels=coarse), genes=GENES)
    x, m = images_from_hu(images), torch.from_numpy(masks)[:, None].float()
    fine = alignment.statistics(*(one.repeat_interleave(2, 2).repeat_interleave(2, 3) for one in (x, m)))
    assert torch.allclose(fine, alignment.statistics(x, m), atol=1e-5) == same
