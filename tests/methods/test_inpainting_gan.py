"""In-painting: the erased disc, every loss by hand, the lesion that is looked for, who moves, what does not matter."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from radiogenesis.methods.images import disc
from radiogenesis.methods.inpainting_gan import (
    PRESETS,
    InpaintingGAN,
    InpaintingGANSettings,
    find_lesion,
    loss_multi_mask,
)
from radiogenesis.methods.protocols import Batch, GeneEncoder, Synthesizer

GENES, PIXELS = 10, 32
TINY: dict[str, Any] = {"batch": 4, "width": 2, "discriminator_width": 2}
Y, X = np.mgrid[:64, :64] - 31.5


def make_gan(**changes: Any) -> InpaintingGAN:
    """In evaluation mode, where normalization is the same at every call."""
    torch.manual_seed(0)
    return InpaintingGAN(InpaintingGANSettings(**TINY | changes), pixels=PIXELS).eval()


def make_batch(seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def images() -> Tensor:
        return torch.rand(4, 1, PIXELS, PIXELS, generator=generator) * 2 - 1

    genes = torch.randn(4, GENES, generator=generator)
    return Batch(
        x=images(), m=(images() > 0).float(), g=genes, wrong_m=(images() > 0).float(), wrong_g=genes.flip(0),
        background=images(), patient=torch.arange(4), all_genes=genes,
    )  # fmt: skip


def moved(module: nn.Module) -> set[str]:
    """Parameters that got a gradient."""
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


# Erasing


def test_a_disc_by_hand() -> None:
    # Pixel centers are at +-0.5 and +-1.5 from the center: 0.71 is in, 1.58 is not.
    expected = [[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert disc(4, 1.0)[0, 0].tolist() == expected
    assert disc(200, 60.0).sum().item() == pytest.approx(np.pi * 60**2, rel=0.01)


def test_erasing_takes_the_disc_and_nothing_else() -> None:
    gan, x = make_gan(erased=0.25), make_batch().x
    assert gan.erased_radius == 8.0
    y = gan.erase(x)
    inside = torch.from_numpy(np.hypot(*(np.mgrid[:PIXELS, :PIXELS] - 15.5)) <= 8)
    assert (y[:, :, inside] == 0).all()
    assert torch.equal(y[:, :, ~inside], x[:, :, ~inside])


@pytest.mark.parametrize("pixels", [32, 64, 128])
def test_the_erased_radius_is_a_share_of_the_side(pixels: int) -> None:
    gan = InpaintingGAN(InpaintingGANSettings(**TINY), pixels=pixels)
    assert gan.erased_radius == pytest.approx(0.3 * pixels)
    assert 1.5 * gan.erased_radius < pixels / 2  # where METHODS.md measures lies in the image


# Losses


def test_multi_mask_by_hand() -> None:
    x, filled = torch.tensor([[[[1.0, 0.0], [0.5, -1.0]]]]), torch.zeros(1, 1, 2, 2)
    region = torch.tensor([[[[1.0, 1.0], [0.0, 0.0]]]])
    # whole image (1 + 0 + 0.5 + 1) / 4; region (1 + 0) / 4, three times
    assert loss_multi_mask(x, filled, region, 3.0).item() == pytest.approx(0.625 + 3 * 0.25)


def test_losses_by_hand() -> None:
    gan, b = make_gan(erased=0.25, dilation=0.125, lambda_l1=7.0, mask_ratio=3.0), make_batch()
    step = gan.prepare(b)
    d = gan.discriminator
    y = b.x.clone()
    distance = np.hypot(*(np.mgrid[:PIXELS, :PIXELS] - 15.5))
    y[:, :, torch.from_numpy(distance <= 8)] = 0
    torch.testing.assert_close(step.y, y)
    torch.testing.assert_close(step.filled, gan.generator(y))
    real, filled = (d(image, y).detach().numpy().astype(float) for image in (b.x, step.filled))
    assert real.shape == (4, 4, 4)
    record = gan.discriminator_loss(step)
    assert record.total.item() == pytest.approx(((real - 1) ** 2).mean() + (filled**2).mean(), rel=1e-5)
    off = np.abs((b.x - step.filled).detach().numpy().astype(float))
    l1 = off.mean() + 3 * (off * (distance <= 12)).mean()  # 0.125 of 32 pixels: 4 pixels of seam
    record = gan.generator_loss(step)
    assert record.total.item() == pytest.approx(((filled - 1) ** 2).mean() + 7 * l1, rel=1e-5)
    assert set(record.terms) == {"D", "L1"}
    assert sum(record.terms.values()).item() == pytest.approx(record.total.item())


def test_genes_masks_and_backgrounds_are_not_looked_at() -> None:
    gan, b, other = make_gan(), make_batch(), make_batch(seed=2)
    changed = replace(other, x=b.x)
    for player in gan.players():
        assert player.loss(gan.prepare(b)).total.item() == player.loss(gan.prepare(changed)).total.item()


# The lesion that is looked for


def lung(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(-850, 20, (64, 64)).astype(np.float32)


def dice(found: np.ndarray, true: np.ndarray) -> float:
    return float(2 * (found & true).sum() / (found.sum() + true.sum()))


REGION = np.hypot(Y, X) <= 19.2


@pytest.mark.parametrize("hu", [-550.0, -300.0, 50.0])  # ground glass to solid
@pytest.mark.parametrize("radius", [4.0, 8.0, 15.0])
def test_a_drawn_disc_is_found(hu: float, radius: float) -> None:
    true = np.hypot(Y - 1, X + 2) <= radius
    drawn = np.where(true, hu, lung(1)).astype(np.float32)
    assert dice(find_lesion(drawn, lung(2), REGION, contrast=100.0), true) > 0.9


def test_a_cavity_and_a_vessel_below_belong_to_the_lesion() -> None:
    true = np.hypot(Y, X) <= 10
    drawn = np.where(true, 0, lung(1))
    drawn[np.hypot(Y, X) <= 4] = -980
    background = lung(2)
    background[:, 34:37] = 0  # a vessel through the disc
    assert dice(find_lesion(drawn.astype(np.float32), background, REGION, contrast=100.0), true) > 0.9


def test_redrawn_chest_wall_is_not_the_lesion() -> None:
    true = np.hypot(Y, X + 3) <= 5
    drawn = np.where(true, 0, lung(1))
    drawn[:, 44:] = 50  # wall now begins here
    background = lung(2)
    background[:, 48:] = 50  # it began here
    found = find_lesion(drawn.astype(np.float32), background, REGION, contrast=100.0)
    assert dice(found, true) > 0.85


def test_nothing_is_found_where_nothing_was_drawn() -> None:
    assert not find_lesion(lung(1), lung(2), REGION, contrast=100.0).any()
    assert not find_lesion(lung(1), lung(1), REGION, contrast=100.0).any()


def test_what_was_dense_before_is_no_lesion() -> None:
    wall = np.full((64, 64), 40, np.float32)
    assert not find_lesion(wall, wall, REGION, contrast=100.0).any()


# Drawing


def test_a_drawing_is_the_background_outside_the_disc_and_the_generators_inside() -> None:
    gan = make_gan()
    assert isinstance(gan, Synthesizer)
    assert not isinstance(gan, GeneEncoder)
    rng = np.random.default_rng(0)
    backgrounds = rng.uniform(-1000, 500, (131, PIXELS, PIXELS)).astype(np.float32)
    drawn = gan.synthesize(backgrounds, rng.normal(size=(131, GENES)), seed=7)
    inside = np.hypot(*(np.mgrid[:PIXELS, :PIXELS] - 15.5)) <= gan.erased_radius
    np.testing.assert_array_equal(drawn.weight, np.broadcast_to(inside.astype(np.float32), drawn.weight.shape))
    np.testing.assert_allclose(drawn.image[:, ~inside], backgrounds[:, ~inside], atol=1e-3)
    y = torch.from_numpy((backgrounds[:2, None] + 1000) / 750 - 1)
    y[:, :, torch.from_numpy(inside)] = 0
    filled = gan.generator(y).detach().numpy()[:, 0]
    np.testing.assert_allclose(drawn.image[:2][:, inside], (filled[:, inside] + 1) * 750 - 1000, atol=0.05)
    assert np.abs(drawn.image[130] - drawn.image[2])[inside].max() > 0
    for plane in (drawn.image, drawn.mask, drawn.weight, drawn.background):
        assert plane.shape == (131, PIXELS, PIXELS)
        assert plane.dtype == np.float32
    assert 0 <= drawn.mask.min() <= drawn.mask.max() <= 1
    assert not drawn.mask[:, np.hypot(*(np.mgrid[:PIXELS, :PIXELS] - 15.5)) > gan.erased_radius + 2].any()


def test_neither_genes_nor_seed_nor_what_was_erased_change_the_drawing() -> None:
    gan = make_gan()
    rng = np.random.default_rng(0)
    backgrounds, genes = rng.uniform(-1000, 500, (3, PIXELS, PIXELS)), rng.normal(size=(3, GENES))
    first = gan.synthesize(backgrounds, genes, seed=1)
    np.testing.assert_array_equal(first.image, gan.synthesize(backgrounds, -genes, seed=1).image)
    np.testing.assert_array_equal(first.image, gan.synthesize(backgrounds, genes, seed=2).image)
    backgrounds[:, 14:18, 14:18] = 400
    np.testing.assert_array_equal(first.image, gan.synthesize(backgrounds, genes, seed=1).image)


def test_the_mask_is_the_found_lesion_softened() -> None:
    gan = make_gan()
    with torch.no_grad():
        gan.generator.head.weight.zero_()
        gan.generator.head.bias.fill_(np.arctanh(0.5))  # 125 HU all over the disc
    drawn = gan.synthesize(np.full((1, PIXELS, PIXELS), -850.0), np.zeros((1, GENES)), seed=0)
    inside = drawn.weight[0] > 0
    assert drawn.image[0][inside].mean() == pytest.approx(125, abs=0.1)
    found = drawn.mask[0] >= 0.5
    assert dice(found, inside) > 0.97
    assert 0.2 < drawn.mask[0][(drawn.mask[0] > 0) & (drawn.mask[0] < 1)].mean() < 0.8


@pytest.mark.parametrize(("images", "vectors"), [(2, 3), (0, 0)])
def test_synthesis_refuses_what_does_not_pair(images: int, vectors: int) -> None:
    with pytest.raises(ValueError, match=f"{images} backgrounds for {vectors} gene vectors"):
        make_gan().synthesize(np.zeros((images, PIXELS, PIXELS)), np.zeros((vectors, GENES)), seed=0)


# Who moves


def test_each_loss_moves_all_of_its_own_network_and_nothing_else() -> None:
    for mine, other in (("discriminator", "generator"), ("generator", "discriminator")):
        gan = make_gan().train()
        player = next(p for p in gan.players() if p.name == mine)
        step = gan.prepare(make_batch())
        for p in next(p for p in gan.players() if p.name == other).parameters:
            if other == "discriminator":
                p.requires_grad_(False)
        player.loss(step).total.backward()
        assert moved(getattr(gan, mine)) == {name for name, _ in getattr(gan, mine).named_parameters()}
        assert not moved(getattr(gan, other))


def test_players_share_no_parameters_and_leave_none_out() -> None:
    gan = make_gan()
    owned = [id(p) for player in gan.players() for p in player.parameters]
    assert len(owned) == len(set(owned))
    assert {id(p) for p in gan.parameters()} == set(owned)
    assert gan.averaged() is gan.generator


# Settings


def test_what_is_published_holds_in_every_preset() -> None:
    for preset in PRESETS.values():
        s = InpaintingGANSettings(**preset)
        assert (s.lambda_l1, s.mask_ratio, s.average) == (100, 5, 0)
    assert InpaintingGANSettings(**PRESETS["default"]) == InpaintingGANSettings()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch": 1}, "batch must be at least 2, not 1"),
        ({"epochs": -1}, "epochs must be at least 0, not -1"),
        ({"erased": 0.6}, "erased must be between 0.1 and 0.5, not 0.6"),
        ({"average": 1.0}, r"average must be in \[0, 1\), not 1.0"),
        ({"lesion_contrast_hu": 0.0}, "lesion_contrast_hu must be above 0, not 0.0"),
        ({"dilation": -0.1}, "dilation must be at least 0, not -0.1"),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        InpaintingGANSettings(**changes)
