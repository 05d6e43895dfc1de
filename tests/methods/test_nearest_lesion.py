"""The baseline without a network, on discs whose radius one gene drives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import Tensor

from radiogenesis.methods.nearest_lesion import NearestLesion, NearestLesionSettings
from radiogenesis.methods.protocols import Synthesizer
from radiogenesis.phenotypes.lesion import lesion_features

PATIENTS, GENES, PIXELS, PIXEL_MM = 40, 5, 64, 1.0


@pytest.fixture(scope="module")
def genes() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((PATIENTS, GENES)).astype(np.float32)


def lesions(genes: np.ndarray) -> tuple[Tensor, Tensor]:
    """(n, 1, P, P) HU and masks: a noisy disc of 6 to 14 pixels, the larger the higher the first gene."""
    rng = np.random.default_rng(1)
    line = np.arange(PIXELS) - (PIXELS - 1) / 2
    radius = np.clip(10 + 2 * genes[:, 0], 6, 14)
    mask = np.hypot(line[:, None], line[None, :])[None] <= radius[:, None, None]
    image = np.where(mask, 20, -850) + rng.normal(0, 15, mask.shape)
    return torch.from_numpy(image.astype(np.int16))[:, None], torch.from_numpy(mask)[:, None]


@pytest.fixture(scope="module")
def fitted(genes: np.ndarray) -> NearestLesion:
    made = NearestLesion(NearestLesionSettings(neighbours=3), genes=GENES, pixels=PIXELS)
    made.fit(*lesions(genes), np.arange(PATIENTS), genes, 0, pixel_mm=PIXEL_MM)
    return made


def test_sizes_follow_the_gene_in_patients_not_seen(fitted: NearestLesion) -> None:
    assert isinstance(fitted, Synthesizer)
    unseen = np.random.default_rng(2).standard_normal((30, GENES)).astype(np.float32)
    drawn = fitted.synthesize(np.full((30, PIXELS, PIXELS), -850.0), unseen, seed=0)
    features = lesion_features(torch.from_numpy(drawn.image)[:, None], torch.from_numpy(drawn.mask)[:, None], PIXEL_MM)
    assert spearmanr(features["size"], unseen[:, 0]).statistic > 0.8
    assert features["attenuation"].mean() == pytest.approx(20, abs=10)


def test_what_is_pasted_is_a_turned_training_lesion(fitted: NearestLesion, genes: np.ndarray) -> None:
    background = np.full((4, PIXELS, PIXELS), -700.0)
    drawn = fitted.synthesize(background, genes[:4], seed=3)
    rows, turns = fitted.chosen(torch.from_numpy(genes[:4]), 3)
    for image, mask, row, turn in zip(drawn.image, drawn.mask, rows, turns, strict=True):
        source = np.rot90(fitted.image[row].numpy(), turn % 4)
        source = np.fliplr(source) if turn >= 4 else source
        inside = mask == 1
        assert inside.sum() > 50
        assert image[inside] == pytest.approx(np.clip(source[inside], -1000, 500), abs=1)
    corner = drawn.image[:, :4, :4]
    assert corner == pytest.approx(np.full_like(corner, -700.0), abs=0.1)


def test_the_seed_decides_the_lot(fitted: NearestLesion, genes: np.ndarray) -> None:
    background = np.full((8, PIXELS, PIXELS), -850.0)
    first, again, other = (fitted.synthesize(background, genes[:8], seed=s).image for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_weights_come_back_whatever_the_number_of_lesions(fitted: NearestLesion, genes: np.ndarray) -> None:
    blank = NearestLesion(fitted.settings, genes=GENES, pixels=PIXELS)
    blank.load_state_dict(fitted.state_dict())
    background = np.full((2, PIXELS, PIXELS), -850.0)
    np.testing.assert_array_equal(*(one.synthesize(background, genes[:2], seed=0).image for one in (fitted, blank)))


def test_the_chest_wall_stays_where_that_is_asked_for(fitted: NearestLesion, genes: np.ndarray) -> None:
    background = np.full((1, PIXELS, PIXELS), -850.0)
    background[:, :, :30] = 40.0
    kept = NearestLesion(replace(fitted.settings, stay_in_lung=True), genes=GENES, pixels=PIXELS)
    kept.load_state_dict(fitted.state_dict())
    drawn = kept.synthesize(background, genes[:1], seed=0)
    assert (drawn.image[0, :, :25] > 30).all()
    assert drawn.mask[0, :, :25].max() == 0


def test_only_the_inside_of_a_lesion_darkens_its_background_where_that_is_asked_for(
    fitted: NearestLesion, genes: np.ndarray
) -> None:
    background = np.full((6, PIXELS, PIXELS), -850.0)
    background[:, :, 20:] = 40.0
    keeping = NearestLesion(replace(fitted.settings, keep_denser=True), genes=GENES, pixels=PIXELS)
    keeping.load_state_dict(fitted.state_dict())
    kept, plain = (one.synthesize(background, genes[:6], seed=0) for one in (keeping, fitted))
    around = kept.mask < 0.5
    assert (kept.image >= np.clip(background, -1000, 500) - 0.1)[around].all()
    assert (plain.image < background - 50)[around].any()
    np.testing.assert_array_equal(kept.mask, plain.mask)
