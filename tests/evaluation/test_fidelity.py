"""Fidelity against closed forms and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import metrics

from radiogenesis.evaluation import fidelity as f
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


def test_outside_begins_beyond_the_reach() -> None:
    mask = np.zeros((2, 21, 21))
    mask[0, 10, 10] = 0.6
    found = f.outside(mask, pixel_mm=2.0, reach_mm=4.0)
    assert not found[0, 10, 12]
    assert found[0, 10, 13]
    assert found[1].all()  # nothing drawn: everything is outside


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
