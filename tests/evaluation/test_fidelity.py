"""Fidelity against closed forms and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import metrics

from radiogenesis.evaluation.measures import fidelity as f
from radiogenesis.evaluation.settings import EvaluationSettings

BACKGROUND = np.random.default_rng(0).normal(-700, 100, (4, 48, 48)).astype(np.float32)


def test_mse_and_psnr_of_a_known_shift() -> None:
    found = f.image_fidelity(BACKGROUND + 150, BACKGROUND)  # a tenth of the window
    inside = f.scaled(BACKGROUND + 150) - f.scaled(BACKGROUND)
    assert found["mse"] == pytest.approx((inside**2).mean((1, 2)))
    assert found["psnr"] == pytest.approx(-10 * np.log10(found["mse"]))
    flat = np.full((1, 32, 32), -500.0)
    assert f.image_fidelity(flat + 150, flat)["mse"] == pytest.approx([0.01])
    assert f.image_fidelity(flat + 150, flat)["psnr"] == pytest.approx([20.0])


def test_ssim_and_psnr_are_scikit_images() -> None:
    image = BACKGROUND + np.random.default_rng(1).normal(0, 80, BACKGROUND.shape)
    found = f.image_fidelity(image, BACKGROUND)
    for k in range(len(image)):
        a, b = f.scaled(image[k]), f.scaled(BACKGROUND[k])
        assert found["psnr"][k] == pytest.approx(metrics.peak_signal_noise_ratio(b, a, data_range=1.0))
        expected = metrics.structural_similarity(
            a, b, data_range=1.0, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        )
        assert found["ssim"][k] == pytest.approx(expected)


def test_an_untouched_background_is_perfect_outside_and_capped() -> None:
    image, mask = BACKGROUND.copy(), np.zeros(BACKGROUND.shape)
    image[:, 20:28, 20:28] = 0
    mask[:, 20:28, 20:28] = 1
    found = f.fidelity_values(image, mask, BACKGROUND, pixel_mm=1.0, outside_mm=3.0)
    assert (found[f.OUTSIDE]["mse"] == 0).all()
    assert (found[f.OUTSIDE]["psnr"] == f.PSNR_CAP_DB).all()
    assert (found[f.WHOLE]["mse"] > 0).all()
    assert (found[f.OTHER]["mse"] > found[f.WHOLE]["mse"]).all()


def test_one_background_has_no_other_to_be_compared_with() -> None:
    """Its null would be its own value."""
    image, mask = BACKGROUND + 100, np.zeros(BACKGROUND.shape)
    mask[:, 20:28, 20:28] = 1
    for which in ([0], [2, 2]):
        alone = f.fidelity_values(image[which], mask[which], BACKGROUND[which], pixel_mm=1.0, outside_mm=3.0)
        assert all(np.isnan(values).all() for values in alone[f.OTHER].values())
        assert np.isfinite(alone[f.WHOLE]["psnr"]).all()
    two = f.fidelity_values(*(a[[0, 0, 1]] for a in (image, mask, BACKGROUND)), pixel_mm=1.0, outside_mm=3.0)
    assert np.isnan(two[f.OTHER]["mse"]).tolist() == [False, True, False]


def test_a_pasted_lesion_differs_from_its_background_by_itself_alone() -> None:
    """A lesion that covers a quarter of the image and is a tenth of the window denser: MSE 0.25 x 0.01."""
    background = np.full((3, 32, 32), -700.0)
    image, mask = np.full((2, 32, 32), 900.0), np.zeros((2, 32, 32))
    mask[0, :16, :16], mask[1, 16:, 16:] = 1, 0.5
    mask[1, 0, 0] = 0.4  # not lesion
    image[0, :16, :16], image[1, 16:, 16:] = -550, -550
    found = f.pasted_values(image, mask, background)
    assert found["mse"] == pytest.approx([0.0025] * 3)
    assert found["psnr"] == pytest.approx(-10 * np.log10(found["mse"]))


def test_the_pasted_slices_are_spread_over_all_of_them() -> None:
    background = np.full((3, 16, 16), -1000.0)
    image = np.stack([np.full((16, 16), -1000.0 + 150 * k) for k in range(5)])
    found = f.pasted_values(image, np.ones((5, 16, 16)), background)
    assert found["mse"] == pytest.approx([0.0, 0.2**2, 0.4**2])  # slices 0, 2 and 4 of 5


def test_outside_begins_beyond_the_reach() -> None:
    mask = np.zeros((2, 21, 21))
    mask[0, 10, 10] = 0.6
    found = f.outside(mask, pixel_mm=2.0, reach_mm=4.0)
    assert not found[0, 10, 12]
    assert found[0, 10, 13]
    assert found[1].all()  # nothing drawn: everything is outside


def test_the_band_lies_on_both_sides_of_the_boundary() -> None:
    mask = np.zeros((2, 30, 30))
    mask[0, 10:20, 10:20] = 1
    found = f.band(mask, pixel_mm=1.0, reach_mm=2.0)
    inside, beyond = np.argwhere(mask[0] == 1), np.argwhere(mask[0] == 0)
    expected = np.zeros((30, 30), bool)
    for here, there in ((inside, beyond), (beyond, inside)):
        near = np.linalg.norm(here[:, None] - there[None], axis=2).min(1) <= 2
        expected[tuple(here[near].T)] = True
    assert np.array_equal(found[0], expected)
    assert not found[1].any()


def test_near_is_one_and_a_half_radii_around_what_was_drawn_or_erased() -> None:
    rows, columns = np.indices((41, 41))
    mask = np.stack([np.hypot(rows - 12, columns - 25) <= 6, np.zeros((41, 41))]).astype(float)
    found = f.near(mask, None)
    radius = np.sqrt(mask[0].sum() / np.pi)
    assert np.array_equal(found[0], np.hypot(rows - 12, columns - 25) <= 1.5 * radius)
    assert not found[1].any()
    erased = f.near(mask, 8.0)
    assert np.array_equal(erased[0], np.hypot(rows - 20, columns - 20) <= 12)
    assert np.array_equal(erased[0], erased[1])


def test_a_seam_shows_in_the_band_and_not_outside() -> None:
    image, mask = BACKGROUND.copy(), np.zeros(BACKGROUND.shape)
    mask[:, 14:34, 14:34] = 1
    image[:, 13, 13:35] += 400
    found = f.fidelity_values(image, mask, BACKGROUND, pixel_mm=1.0, outside_mm=3.0, band_mm=2.0)
    assert (found[f.OUTSIDE]["mse"] == 0).all()
    assert (found[f.BAND]["mse"] > 5 * found[f.WHOLE]["mse"]).all()


def test_the_draws_are_those_of_the_table() -> None:
    values = {name: np.arange(8.0) ** power for power, name in enumerate(f.MEASURES, 1)}
    settings = EvaluationSettings(bootstrap=300)
    patient = np.repeat(["a", "b", "c", "d"], 2)
    line = f.fidelity_table({"whole image": values}, patient, settings).iloc[0]
    draws = f.fidelity_draws(values, patient, settings)["psnr"]
    assert draws[0] == line["psnr"]
    assert np.quantile(draws[1:], [0.025, 0.975]) == pytest.approx([line["psnr_low"], line["psnr_high"]])


def test_the_table_averages_patients_not_images() -> None:
    values = {"whole image": {name: np.array([1.0, 1.0, 1.0, 3.0]) for name in f.MEASURES}}
    table = f.fidelity_table(values, np.array(["a", "a", "a", "b"]), EvaluationSettings(bootstrap=300))
    line = table.iloc[0]
    assert line["mse"] == 2.0
    assert (line["mse_low"], line["mse_high"]) == (1.0, 3.0)
    assert (line["patients"], line["images"]) == (2, 4)


def test_the_published_rows_are_those_of_the_paper() -> None:
    assert f.PUBLISHED[list(f.MEASURES)].to_numpy().tolist() == [
        [0.0121, 0.76, 20.94],
        [0.0065, 0.74, 22.05],
        [0.0044, 0.88, 24.52],
    ]
