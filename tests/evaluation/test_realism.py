"""KID and the Frechet distance against closed forms and torchmetrics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

from radiogenesis.evaluation.descriptions.lesions import Axes, Lesions, Space
from radiogenesis.evaluation.measures import realism as r
from radiogenesis.evaluation.settings import EvaluationSettings


class Plain(Space):
    """The embedding itself, so that its distribution is known."""

    def __init__(self) -> None:
        pass

    def __call__(self, lesions: Lesions) -> np.ndarray:
        return lesions.embedding


def lesions(values: np.ndarray, prefix: str = "p", slices: int = 1) -> Lesions:
    """`slices` consecutive rows of each patient."""
    return Lesions(values, values, np.array([f"{prefix}{k // slices}" for k in range(len(values))]))


def test_with_one_image_per_patient_it_is_torchmetrics_kid() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 7)), rng.normal(0.3, 1.2, size=(40, 7))
    found = r.kid(lesions(x, "x"), lesions(y, "y"), Plain(), draws=3, seed=(0,))
    assert found.value == pytest.approx(float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y))))
    assert (found.images, found.patients) == (40, 40)


def test_kid_of_two_gaussians_is_its_closed_form() -> None:
    """In one dimension k(x, y) = (x y + 1)^3, so MMD^2 = (m3 - m3')^2 + 3 (m2 - m2')^2 + 3 (m1 - m1')^2."""
    mean, deviation = 0.4, 1.2
    moments = np.array([mean, mean**2 + deviation**2, mean**3 + 3 * mean * deviation**2])
    expected = float(np.array([3, 3, 1]) @ (moments - np.array([0, 1, 0])) ** 2)
    found = []
    for trial in range(300):
        rng = np.random.default_rng(trial)
        x, y = rng.normal(mean, deviation, (60, 1)), rng.normal(0, 1, (50, 1))
        found.append(r.kid(lesions(x, "x"), lesions(y, "y"), Plain(), draws=1, seed=(0,)).value)
    assert np.mean(found) == pytest.approx(expected, abs=3 * np.std(found) / np.sqrt(len(found)))


def test_slices_of_one_patient_do_not_pretend_to_be_many() -> None:
    """Two sets from one distribution, slices of a patient all but alike: unbiased only without own pairs."""
    ours, usual = [], []
    for trial in range(200):
        rng = np.random.default_rng(trial)
        x, y = (np.repeat(rng.normal(size=(12, 2)), 5, axis=0) + 0.05 * rng.normal(size=(60, 2)) for _ in range(2))
        ours.append(r.kid(lesions(x, "x", 5), lesions(y, "y", 5), Plain(), draws=1, seed=(0,)).value)
        usual.append(float(poly_mmd(torch.from_numpy(x), torch.from_numpy(y))))
    error = 3 * np.std(ours) / np.sqrt(len(ours))
    assert abs(np.mean(ours)) < error
    assert np.mean(usual) > error


def test_a_patients_own_lesions_are_no_reference() -> None:
    """Drawings that are the patients' own lesions, to the pixel: 0, and not below it as with the own pairs."""
    x = np.random.default_rng(0).normal(size=(30, 4))
    found = r.kid(lesions(x), lesions(x), Plain(), draws=50, seed=(0,), paired=True)
    assert found.value == pytest.approx(0, abs=1e-12)
    assert np.abs(found.draws).max() < 1e-12


def test_the_interval_covers() -> None:
    hits = 0
    for trial in range(60):
        rng = np.random.default_rng([3, trial])
        x, y = rng.normal(1, 1, (40, 1)), rng.normal(0, 1, (40, 1))
        found = r.kid(lesions(x, "x"), lesions(y, "y"), Plain(), draws=200, seed=(trial,))
        low, high = np.quantile(found.draws, [0.025, 0.975])
        hits += low <= 3 + 3 * 1 + 16 <= high  # moments of N(1, 1): 1, 2, 4, against 0, 1, 0
    assert hits >= 48


def test_lesions_that_are_none_are_left_out_and_nothing_is_nan() -> None:
    x = np.random.default_rng(0).normal(size=(10, 3))
    with_gap = np.concatenate([x, np.full((2, 3), np.nan)])
    whole = r.kid(lesions(x, "x"), lesions(x + 1, "y"), Plain(), draws=2, seed=(0,))
    found = r.kid(lesions(with_gap, "x"), lesions(x + 1, "y"), Plain(), draws=2, seed=(0,))
    assert (found.value, found.images) == (whole.value, 10)
    nothing = r.kid(lesions(np.full((4, 3), np.nan)), lesions(x), Plain(), draws=2, seed=(0,))
    assert np.isnan(nothing.value)
    assert nothing.images == 0


def test_frechet_between_gaussians() -> None:
    rng = np.random.default_rng(0)
    m1, m2 = rng.normal(size=(2, 4))
    a, b = rng.normal(size=(2, 4, 4))
    c1, c2 = a @ a.T, b @ b.T
    expected = float(_compute_fid(*(torch.from_numpy(v) for v in (m1, c1, m2, c2))))
    assert float(r.frechet_distance(m1, c1, m2, c2)) == pytest.approx(expected)
    d1, d2 = np.diag([1.0, 4.0, 9.0]), np.diag([4.0, 4.0, 1.0])  # these commute: sum of (root - root)^2
    shift = np.array([0.0, 3.0, 0.0])
    assert float(r.frechet_distance(np.zeros(3), d1, shift, d2)) == pytest.approx(9 + 1 + 0 + 4)


def test_frechet_of_samples_is_that_of_their_moments_and_counts_patients_not_slices() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(400, 2)), rng.normal(1, 2, size=(400, 2))
    identity = Axes(np.zeros(2), np.ones(2), np.inf, np.eye(2))
    found = r.frechet(lesions(x, "x"), lesions(y, "y"), identity, draws=20, seed=(0,))
    expected = r.frechet_distance(x.mean(0), np.cov(x.T, ddof=0), y.mean(0), np.cov(y.T, ddof=0))
    assert found.uncorrected == pytest.approx(float(expected))
    assert found.value == pytest.approx(2 * 1 + 2 * (2 - 1) ** 2, rel=0.25)  # the distributions' own
    assert (found.draws >= 0).all()
    # One patient with as many slices as all others together weighs no more than any other.
    many = Lesions(np.concatenate([x, np.tile(x[:1], (400, 1))]), np.concatenate([x, np.tile(x[:1], (400, 1))]),
                   np.array([f"x{k}" for k in range(400)] + ["x0"] * 400))  # fmt: skip
    assert r.frechet(many, lesions(y, "y"), identity, draws=1, seed=(0,)).uncorrected == pytest.approx(
        found.uncorrected
    )


def test_the_bias_of_small_samples_is_taken_off() -> None:
    """The same distribution twice: the distance is 0, what 25 patients estimate is far from it."""
    identity = Axes(np.zeros(4), np.ones(4), np.inf, np.eye(4))
    found = []
    for trial in range(40):
        x, y = np.random.default_rng(trial).normal(size=(2, 25, 4))
        found.append(r.frechet(lesions(x, "x"), lesions(y, "y"), identity, draws=100, seed=(trial,)))
    assert np.mean([one.value for one in found]) < 0.35 * np.mean([one.uncorrected for one in found])


def test_worse_drawings_are_farther_and_real_lesions_are_near() -> None:
    rng = np.random.default_rng(2)
    training, held_out, good, pasted = (lesions(rng.normal(size=(120, 6)), p, 4) for p in ("t", "h", "h", "h"))
    bad = lesions(rng.normal(0, 1, (120, 6)) * [1, 1, 3, 1, 1, 0.2], "h", 4)
    worst = lesions(rng.normal(3, 1, (120, 6)), "h", 4)
    settings = EvaluationSettings(bootstrap=100)
    values = [r.realism(one, pasted, training, held_out, worst, settings) for one in (good, bad)]
    for name in (r.KID, r.FRECHET):
        good_one, bad_one = (one.drawn[name].value for one in values)
        assert good_one < bad_one < values[0].null[name].value
        assert max(values[0].pasted[name].value, values[0].own_backgrounds[name].value) < bad_one
        low, high = np.quantile(values[0].drawn[name].draws, [0.025, 0.975])
        assert low <= good_one <= high


def test_how_many_times_as_far_as_pasted_lesions_is_paired() -> None:
    """The drawings are the pasted lesions: 1 time as far, and no farther, in every resample of patients."""
    rng = np.random.default_rng(5)
    training, held_out = (lesions(rng.normal(size=(120, 6)), p, 4) for p in ("t", "h"))
    pasted = lesions(rng.normal(1, 1, (120, 6)), "h", 4)
    found = r.realism(pasted, pasted, training, held_out, training, EvaluationSettings(bootstrap=50))
    assert found.times(r.KID, 0.95) == pytest.approx((1, 1, 1))
    assert found.farther(r.KID) == pytest.approx(0, abs=1e-12)
    near = r.realism(pasted, held_out, training, held_out, training, EvaluationSettings(bootstrap=50))
    assert np.isnan(near.times(r.KID, 0.95)).all()  # nothing is so many times 0
    some = replace(near.pasted[r.KID], value=0.1, draws=np.concatenate([np.full(25, 0.1), np.full(25, -0.1)]))
    half = replace(near, pasted={r.KID: some}).times(r.KID, 0.95)
    assert half[0] == pytest.approx(near.drawn[r.KID].value / 0.1)
    assert np.isfinite(half[1])
    assert np.isinf(half[2])
    assert near.farther(r.KID)[0] > 0


def deaf(rng: np.random.Generator, d: int) -> tuple[Lesions, Lesions]:
    """30 patients for whom the same 12 lesions were drawn, which are as good as real; and 30 real ones."""
    drawn = np.tile(rng.normal(size=(12, d)), (30, 1))
    return replace(lesions(drawn, "h", 12), place=np.tile(np.arange(12), 30)), lesions(rng.normal(size=(30, d)), "h")


def test_backgrounds_that_all_patients_share_do_not_make_a_method_unreal() -> None:
    """The deaf method draws from the real distribution: its KID is 0, though it drew 12 images in all."""
    ours, usual = [], []
    for trial in range(150):
        drawn, held_out = deaf(np.random.default_rng(trial), 2)
        ours.append(r.kid(drawn, held_out, Plain(), draws=1, seed=(0,), paired=True).value)
        usual.append(r.kid(replace(drawn, place=None), held_out, Plain(), draws=1, seed=(0,), paired=True).value)
    error = 3 * np.std(ours) / np.sqrt(len(ours))
    assert abs(np.mean(ours)) < error
    assert np.mean(usual) > error


def test_the_bias_of_few_backgrounds_is_taken_off() -> None:
    identity = Axes(np.zeros(3), np.ones(3), np.inf, np.eye(3))
    ours, usual = [], []
    for trial in range(25):
        drawn, held_out = deaf(np.random.default_rng(trial), 3)
        ours.append(r.frechet(drawn, held_out, identity, draws=100, seed=(trial,), paired=True).value)
        plain = replace(drawn, place=None)
        usual.append(r.frechet(plain, held_out, identity, draws=100, seed=(trial,), paired=True).value)
    assert np.mean(ours) < 0.6 * np.mean(usual)
