"""MC-GAN with the fusion GAN's additions: each by hand, who moves, and what they are."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
import torch
from gan_inputs import GENES, PIXELS, make_alignment, make_batch
from scipy import ndimage
from torch import Tensor
from torch.nn.utils import parametrize

from radiogenesis.methods import fusion_gan, mc_gan
from radiogenesis.methods.critic_terms import critic_terms
from radiogenesis.methods.fusion_gan import FusionGANSettings
from radiogenesis.methods.images import outside_lung
from radiogenesis.methods.mc_gan import MCGAN, MCGANSettings
from radiogenesis.networks.fusion import Drawing, central_logits
from radiogenesis.networks.mc_gan import MCGANGenerator

TINY: dict[str, Any] = {"batch": 4, "width": 2, "discriminator_width": 2, "code": 5, "noise": 3}


def make_gan(**changes: Any) -> MCGAN:
    settings = MCGANSettings(**mc_gan.ADDITIONS | TINY | changes)
    return MCGAN(settings, genes=GENES, pixels=PIXELS, alignment=make_alignment()).eval()


def test_the_preset_has_the_fusion_gans_additions_with_its_values() -> None:
    """What both have a setting for, and the fusion GAN's own paper preset does without, has the fusion GAN's value."""
    ours, theirs, published = MCGANSettings(**mc_gan.ADDITIONS), FusionGANSettings(), fusion_gan.PAPER
    both = {field.name for field in fields(ours)} & {field.name for field in fields(theirs)}
    added = {name for name in both & set(published) if published[name] != getattr(theirs, name)}
    unlike = {name for name in added if getattr(ours, name) != getattr(theirs, name)}
    assert unlike <= {
        "epochs",
        "batch",
        "width",
        "average",
    }  # how long and how wide, and an average: MC-GAN has its own
    assert {"fill", "compose", "gene_code", "energy", "matching", "residual", "stay_in_lung", "spatial_noise"} <= added
    assert ours.pull == theirs.pull
    assert set(mc_gan.ADDITIONS) <= both


@pytest.mark.parametrize("changes", [{"matching": 1.0}, {"energy": 1.0}, {"gene_code": "aligned"}])
def test_what_needs_an_alignment_says_so(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="need a trained alignment; give one with --alignment RUN"):
        MCGAN(MCGANSettings(**TINY | changes), genes=GENES, pixels=PIXELS)


# Genes


def test_the_generator_starts_from_the_alignments_code_and_noise() -> None:
    gan, b = make_gan(), make_batch()
    assert gan.alignment is not None
    seen: list[Tensor] = []
    gan.part.generator.start.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    step = gan.prepare(b)
    code = gan.alignment.code(b.g)
    torch.testing.assert_close(seen[0][:, :4], code, rtol=0, atol=0)
    assert seen[0].shape == (4, 4 + 3)
    torch.testing.assert_close(step.mean, code, rtol=0, atol=0)
    assert "KL" not in gan.generator_loss(step).terms
    np.testing.assert_array_equal(gan.encode(b.g.numpy()), code.numpy())


def test_the_discriminator_reads_its_own_mapping_of_the_code() -> None:
    gan, b = make_gan(), make_batch()
    d, step = gan.discriminator, gan.prepare(b)
    assert gan.phi_d is not None
    assert gan.alignment is not None
    own, wrong = (gan.phi_d(gan.alignment.code(g)) for g in (b.g, b.wrong_g))
    pairs = [d.pair(b.x, 2 * m - 1) for m in (b.m, b.wrong_m)]
    drawn = d.pair(step.drawn.image, 2 * step.drawn.mask - 1)
    expected = (d.d_isg(pairs[0], own) - 1).square().mean() + d.d_isg(pairs[1], own).square().mean()
    expected = expected + d.d_isg(pairs[0], wrong).square().mean() + d.d_isg(drawn, own).square().mean()
    assert gan.discriminator_loss(step).terms["L_DISG"].item() == pytest.approx(expected.item(), rel=1e-5)
    term = gan.generator_loss(step).terms["D_ISG"].item()
    assert term == pytest.approx(2 * (d.d_isg(drawn, own) - 1).square().mean().item(), rel=1e-5)


def test_the_critics_terms_are_those_of_the_fusion_gan() -> None:
    gan, b = make_gan(), make_batch()
    step = gan.prepare(b)
    assert gan.alignment is not None
    drawn = step.drawn
    weights = {"matching": 0.3, "energy": 10.0, "covariance": 3.0, "pull": 8.0}
    expected = critic_terms(gan.alignment, drawn.image, drawn.mask, b, **weights)
    terms = gan.generator_loss(step).terms
    assert set(expected) == {"match", "energy"}
    assert {name: terms[name].item() for name in expected} == {name: t.item() for name, t in expected.items()}
    gan.settings = replace(gan.settings, energy=0.0)
    assert gan.views == 1
    assert "energy" not in gan.generator_loss(step).terms


def test_everything_moves_but_the_alignment() -> None:
    gan = make_gan().train()
    assert gan.alignment is not None
    assert not gan.alignment.training
    assert gan.views == 2
    step = gan.prepare(make_batch())
    for player in gan.players():
        player.loss(step).total.backward()
    owned = [id(p) for player in gan.players() for p in player.parameters]
    held_still = {id(p) for p in gan.alignment.parameters()}
    assert len(owned) == len(set(owned))
    assert {id(p) for p in gan.parameters()} - held_still == set(owned)
    without = [name for name, p in gan.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert {name.split(".")[0] for name in without} == {"alignment"}
    assert {player.schedule for player in gan.players()} == {"cosine"}


# Drawing


def test_the_lesion_is_laid_into_the_background() -> None:
    gan, background = make_gan(fill=False), make_batch().background
    background[:, :, :16] = 0.5  # a chest wall
    generator = torch.Generator().manual_seed(3)
    image, mask = (torch.rand(4, 1, PIXELS, PIXELS, generator=generator) for _ in range(2))
    weight = torch.rand(4, 1, PIXELS, PIXELS, generator=generator)
    laid = gan.part.laid(Drawing(image, mask, weight), background)
    barred = outside_lung(background)[:, 0].numpy().astype(float)
    assert 0 < barred.mean() < 1
    x, m, b = (t[:, 0].numpy().astype(float) for t in (image, mask, background))
    drawn = np.clip(b + 2 * x, -1, 1)
    m = m * (1 - barred)
    grown = np.stack([ndimage.grey_dilation(plane, size=(7, 7), mode="constant", cval=0) for plane in m])
    through = np.stack([ndimage.uniform_filter(plane, 5, mode="nearest") for plane in grown]) * (1 - barred)
    np.testing.assert_allclose(laid.image[:, 0], b + through * (drawn - b), atol=1e-6)
    np.testing.assert_allclose(laid.mask[:, 0], m, atol=1e-6)
    assert laid.weight is weight


@pytest.mark.parametrize("setting", ["fill", "residual", "compose", "stay_in_lung", "spatial_noise", "central_mask"])
def test_each_addition_changes_the_drawing(setting: str) -> None:
    backgrounds = make_batch().background[:, 0].numpy() * 400 - 500
    backgrounds[:, :12] = 100  # a chest wall
    genes = make_batch().g.numpy()
    drawn, without = (
        make_gan(**{"fill": False, setting: on}).synthesize(backgrounds, genes, seed=1) for on in (True, False)
    )
    changed = np.abs(drawn.image - without.image).max() > 1 or np.abs(drawn.mask - without.mask).max() > 0.01
    assert changed


def test_synthesis_obeys_the_seed_in_any_company() -> None:
    gan, rng = make_gan(), np.random.default_rng(0)
    backgrounds, genes = rng.uniform(-1000, 300, (20, PIXELS, PIXELS)), rng.normal(size=(20, GENES))
    whole = gan.synthesize(backgrounds, genes, seed=7)
    some = gan.synthesize(backgrounds[:3], genes[:3], seed=7)
    np.testing.assert_allclose(whole.image[:3], some.image, atol=0.05)  # HU; other batch sizes, other rounding
    np.testing.assert_array_equal(some.image, gan.synthesize(backgrounds[:3], genes[:3], seed=7).image)
    assert np.abs(some.image - gan.synthesize(backgrounds[:3], genes[:3], seed=8).image).max() > 0.2
    assert np.abs(some.image - gan.synthesize(backgrounds[:3], -genes[:3], seed=7).image).max() > 0.2


def test_a_gradient_reaches_the_genes_through_a_drawing() -> None:
    gan, b = make_gan(), make_batch()
    genes = b.g.clone().requires_grad_(True)
    drawn = gan.drawn(b.background, genes, 0, 1)
    (slope,) = torch.autograd.grad(drawn.image.sum(), genes)
    assert (slope.abs().sum(1) > 0).all()
    images = gan.synthesize(b.background[:, 0].numpy() * 750 - 250, b.g.numpy(), seed=1).image
    np.testing.assert_allclose((drawn.image.detach()[:, 0] + 1) * 750 - 1000, images, atol=0.05)  # the same drawing


# Networks


def test_one_noise_map_enters_every_block_with_a_strength_of_its_own() -> None:
    torch.manual_seed(0)
    generator = MCGANGenerator(pixels=PIXELS, start=4, width=2, spatial_noise=True).eval()
    assert generator.sides == [2, 4, 8, 16]
    background, start = torch.rand(3, 1, PIXELS, PIXELS), torch.randn(3, 4)
    maps = [torch.randn(3, 1, side, side) for side in generator.sides]
    plain = generator(background, start)
    for level in range(4):
        others = [m if k == level else torch.zeros_like(m) for k, m in enumerate(maps)]
        assert not torch.equal(generator(background, start, others).image, plain.image), level
    silent = generator(background, start, [torch.zeros_like(m) for m in maps])
    torch.testing.assert_close(silent.image, plain.image)


def test_the_mask_starts_in_the_middle() -> None:
    torch.manual_seed(0)
    generator = MCGANGenerator(pixels=PIXELS, start=4, central_mask=True).eval()
    with torch.no_grad():
        generator.head.weight.zero_()
    mask = generator(torch.rand(2, 1, PIXELS, PIXELS), torch.randn(2, 4)).mask
    torch.testing.assert_close(mask, torch.sigmoid(central_logits(PIXELS)).expand_as(mask))
    assert mask[0, 0, 16, 16] > 0.5 > mask[0, 0, 0, 0]


def test_convolutions_under_a_spectral_norm_start_orthogonal_too() -> None:
    convolution = make_gan().discriminator.image_encoder.layers[1][0]
    assert parametrize.is_parametrized(convolution, "weight")
    original = convolution.parametrizations.weight.original.detach().flatten(1)
    torch.testing.assert_close(original @ original.T, torch.eye(len(original)), rtol=0, atol=1e-5)
