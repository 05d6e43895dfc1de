"""The metagene GAN: losses by hand, the metagene layer, what is drawn, the mask's rule, what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from radiogenesis.methods.metagene_gan import (
    PRESETS,
    MetageneGAN,
    MetageneGANSettings,
    channels,
    lesion_in_the_middle,
    loss_d,
    loss_g,
    loss_g_minimax,
    loss_not_real,
)
from radiogenesis.methods.protocols import Batch, GeneEncoder, Synthesizer
from radiogenesis.networks.metagene_gan import MetageneLayer, Region

GENES, PIXELS = 12, 24
TINY: dict[str, Any] = {
    "region_pixels": 16,
    "metagenes": 3,
    "noise": 5,
    "width": 2,
    "discriminator_width": 2,
    "batch": 4,
}


def made(**changes: Any) -> MetageneGAN:
    torch.manual_seed(0)
    return MetageneGAN(MetageneGANSettings(**TINY | changes), genes=GENES, pixels=PIXELS)


def batch(count: int = 4) -> Batch:
    rng = torch.Generator().manual_seed(1)
    x, m = torch.full((count, 1, PIXELS, PIXELS), -0.8), torch.zeros(count, 1, PIXELS, PIXELS)
    m[:, :, 8:16, 8:16] = 1
    x = torch.where(m > 0, 0.4, x)
    g, wrong_g = torch.randn(count, GENES, generator=rng), torch.randn(count, GENES, generator=rng)
    return Batch(x, m, g, m, wrong_g, x, torch.arange(count), g)


# Losses


def test_equation_2_by_hand() -> None:
    real, drawn = torch.tensor([0.0, math.log(3)]), torch.tensor([math.log(3), 0.0])  # D: 1/2, 3/4 and 3/4, 1/2
    expected = -(math.log(1 / 2) + math.log(3 / 4)) / 2 - (math.log(1 / 4) + math.log(1 / 2)) / 2
    assert loss_d(real, drawn).item() == pytest.approx(expected)
    assert loss_g(drawn).item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 2)) / 2)
    assert loss_g_minimax(drawn).item() == pytest.approx((math.log(1 / 4) + math.log(1 / 2)) / 2)
    assert loss_not_real(drawn).item() == pytest.approx(-(math.log(1 / 4) + math.log(1 / 2)) / 2)


def test_the_players_losses_are_made_of_them() -> None:
    gan = made(mismatch=0.5).eval()
    step = gan.prepare(batch())
    d = gan.discriminator
    with torch.no_grad():
        real, drawn, wrong = d(step.real, step.y), d(step.drawn, step.y), d(step.real, step.wrong_y)
    record = gan.discriminator_loss(step)
    assert record.total.item() == pytest.approx((loss_d(real, drawn) + 0.5 * loss_not_real(wrong)).item(), rel=1e-5)
    assert gan.generator_loss(step).total.item() == pytest.approx(loss_g(drawn).item(), rel=1e-5)


def test_the_generator_minimizes_what_its_objective_says() -> None:
    """Both fall as D takes the drawing for real; where D is sure that it is not, only one has a gradient left."""
    for objective, loss, slope in (("non_saturating", loss_g, -1.0), ("minimax", loss_g_minimax, 0.0)):
        gan = made(generator_objective=objective).eval()
        step = gan.prepare(batch())
        with torch.no_grad():
            drawn = gan.discriminator(step.drawn, step.y)
        assert gan.generator_loss(step).total.item() == pytest.approx(loss(drawn).item(), rel=1e-5)
        logit = torch.tensor([-20.0], requires_grad=True)
        loss(logit).backward()
        assert logit.grad is not None
        assert logit.grad.item() == pytest.approx(slope, abs=1e-6)
    assert MetageneGANSettings(**PRESETS["paper"]).generator_objective == "minimax"


def test_each_player_moves_its_own() -> None:
    gan = made()
    discriminator, generator = gan.players()
    step = gan.prepare(batch())
    discriminator.loss(step).total.backward()
    assert all(p.grad is None for p in generator.parameters)
    assert all(p.grad is not None for p in discriminator.parameters)
    generator.loss(step).total.backward()
    assert all(p.grad is not None for p in generator.parameters)
    mine = {id(p) for player in (discriminator, generator) for p in player.parameters}
    assert mine == {id(p) for p in gan.parameters()}


def test_without_mismatch_the_paper_has_two_terms() -> None:
    gan = made(**PRESETS["paper"] | {"width": 2, "discriminator_width": 2, "region_pixels": 16})
    record = gan.discriminator_loss(gan.prepare(batch()))
    assert set(record.terms) == {"L_D"}
    assert gan.prepare(batch()).real.shape == (4, 1, 16, 16)  # an image, no mask


# Metagenes


def test_metagenes_by_hand() -> None:
    layer = MetageneLayer(4, 2)
    layer.label.copy_(torch.tensor([0, 1, 0, 1]))
    layer.sign.copy_(torch.tensor([1.0, 1.0, -1.0, 1.0]))
    layer.mean.copy_(torch.tensor([0.5, 1.0]))
    layer.deviation.copy_(torch.tensor([2.0, 0.5]))
    # (3 - 1) / 2 = 1, (2 + 4) / 2 = 3; then (1 - 0.5) / 2 and (3 - 1) / 0.5
    assert layer(torch.tensor([[3.0, 2.0, 1.0, 4.0]])).tolist() == [[0.25, 4.0]]


def test_nothing_of_the_metagenes_is_learned_but_all_is_saved() -> None:
    gan = made()
    assert not list(gan.metagenes.parameters())
    assert {"metagenes.label", "metagenes.sign", "metagenes.mean", "metagenes.deviation"} <= set(gan.state_dict())


# Drawing


@pytest.mark.parametrize("mask", ["drawn", "threshold"])
def test_what_is_drawn(mask: Any) -> None:
    gan = made(mask=mask)
    assert isinstance(gan, Synthesizer)
    assert isinstance(gan, GeneEncoder)
    genes = np.random.default_rng(0).normal(size=(3, GENES))
    drawn = gan.synthesize(np.zeros((3, PIXELS, PIXELS)), genes, seed=1)
    assert drawn.image.shape == drawn.mask.shape == (3, PIXELS, PIXELS)
    assert drawn.image.min() >= -1000
    assert drawn.image.max() <= 500
    assert 0 <= drawn.mask.min() <= drawn.mask.max() <= 1
    assert (drawn.weight == 1).all()
    assert not gan.keeps_background
    assert gan.encode(genes).shape == (3, 3)


def test_a_drawing_follows_seed_place_and_genes_and_nothing_else() -> None:
    gan = made()
    genes = np.random.default_rng(0).normal(size=(3, GENES))
    first = gan.regions(genes, seed=1)[0]
    np.testing.assert_array_equal(gan.regions(genes, seed=1)[0], first)
    np.testing.assert_allclose(gan.regions(genes[:2], seed=1)[0], first[:2], atol=1e-2)
    assert not np.allclose(gan.regions(genes, seed=2)[0], first, atol=1)
    assert not np.allclose(gan.regions(genes[::-1].copy(), seed=1)[0], first, atol=1)
    given = gan.synthesize(np.full((3, PIXELS, PIXELS), 300.0), genes, seed=1)
    np.testing.assert_array_equal(given.image, first)  # whatever the background


def test_spatial_noise_counts_by_its_learned_strength() -> None:
    gan, genes = made(spatial_noise=True), np.random.default_rng(0).normal(size=(3, GENES))
    first = gan.regions(genes, seed=1)[0]
    strengths = list(gan.generator.noise_strengths)
    assert len(strengths) == len(gan.noise_sides) == 2
    with torch.no_grad():
        for strength in strengths:
            strength.zero_()
    without = gan.regions(genes, seed=1)[0]
    assert not np.allclose(without, first, atol=1)
    code, noise = gan.metagenes(torch.from_numpy(genes).float()), torch.randn(3, 5)
    maps = [torch.randn(3, 1, side, side) for side in gan.noise_sides]
    more = gan.generator(noise, code, [10 * one for one in maps]).image
    torch.testing.assert_close(more, gan.generator(noise, code, maps).image, rtol=0, atol=0)


def test_the_paper_has_no_spatial_noise() -> None:
    gan = made(spatial_noise=PRESETS["paper"]["spatial_noise"])
    assert not gan.noise_sides
    assert not list(gan.generator.noise_strengths)


def test_backgrounds_and_genes_must_be_as_many() -> None:
    with pytest.raises(ValueError, match="2 backgrounds for 3 gene vectors"):
        made().synthesize(np.zeros((2, PIXELS, PIXELS)), np.zeros((3, GENES)), seed=0)


def test_the_discriminator_reads_the_mask_in_the_images_scale() -> None:
    image, mask = torch.zeros(1, 1, 2, 2), torch.tensor([[[[0.0, 1.0], [0.5, 1.0]]]])
    assert channels(Region(image, mask))[:, 1].tolist() == [[[-1.0, 1.0], [0.0, 1.0]]]
    assert channels(Region(image, None)) is image


# The mask's rule


def region(*discs: tuple[float, float, float, float], side: int = 64) -> Tensor:
    """Lung of -850 HU with discs (row, column, radius, HU)."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    hu = torch.full((side, side), -850.0)
    for row, column, radius, level in discs:
        hu[torch.hypot(y - row, x - column) < radius] = level
    return hu[None]


@pytest.mark.parametrize(("radius", "level"), [(6, 30.0), (14, -300.0), (22, 60.0)])
def test_the_mask_is_the_lesion_in_the_middle(radius: float, level: float) -> None:
    hu = region((31.5, 31.5, radius, level), (8, 8, 5, 40.0))  # and a vessel that is not part of it
    found, true = lesion_in_the_middle(hu)[0] > 0.5, region((31.5, 31.5, radius, level))[0] > -800
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.97


def test_a_cavity_beside_the_middle_belongs_to_the_lesion() -> None:
    hu = region((31.5, 31.5, 16, 30.0), (31, 40, 4, -950.0))
    assert (lesion_in_the_middle(hu)[0] > 0.5).sum() == pytest.approx(math.pi * 16**2, rel=0.05)


def test_a_lesion_dark_in_its_middle_is_found_by_its_wall() -> None:
    hu = region((31.5, 31.5, 16, 30.0), (31.5, 31.5, 5, -950.0))
    assert (lesion_in_the_middle(hu)[0] > 0.5).sum() == pytest.approx(math.pi * 16**2, rel=0.05)


def test_vessels_and_the_chest_wall_that_touch_the_lesion_come_off() -> None:
    hu = region((31.5, 31.5, 12, 40.0))
    hu[0, 30:33, 40:] = 40.0  # a vessel of three pixels that runs from the lesion to the wall
    hu[0, :, 60:] = 40.0
    found, true = lesion_in_the_middle(hu)[0] > 0.5, region((31.5, 31.5, 12, 40.0))[0] > -800
    assert 2 * (found & true).sum() / (found.sum() + true.sum()) > 0.95
    assert not found[:, 52:].any()


def test_no_lesion_no_mask() -> None:
    assert lesion_in_the_middle(torch.full((1, 32, 32), -850.0)).sum() == 0


# Settings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"region_pixels": 48}, "region_pixels must be a power of two of at least 16, not 48"),
        ({"batch": 1}, "batch must be at least 2, not 1"),
        ({"metagene_dropout": 1.0}, r"metagene_dropout must be in \[0, 1\), not 1.0"),
        ({"mismatch": -1.0}, "mismatch must be at least 0, not -1.0"),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MetageneGANSettings(**changes)


def test_more_metagenes_than_genes_are_refused() -> None:
    with pytest.raises(ValueError, match="metagenes must be at most the number of genes, 12, not 13"):
        made(metagenes=13)


def test_presets() -> None:
    paper = MetageneGANSettings(**PRESETS["paper"])
    assert (paper.epochs, paper.noise, paper.metagenes, paper.region_pixels) == (20000, 100, 100, 128)
    assert (paper.learning_rate, paper.discriminator_learning_rate) == (1e-3, 1e-3)
    assert MetageneGANSettings(**PRESETS["default"]) == MetageneGANSettings()
