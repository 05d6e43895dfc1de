"""MC-GAN against the paper: every loss by hand from the networks' own outputs, who moves, what the presets are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage
from scipy.stats import norm
from torch import Tensor, nn

from radiogenesis.methods.mc_gan import MCGAN, PRESETS, MCGANSettings, loss_kl, signed
from radiogenesis.methods.noise import Noise, seeded_normals
from radiogenesis.methods.protocols import Batch, GeneEncoder, Synthesizer

GENES, PIXELS = 10, 32
TINY: dict[str, Any] = {"batch": 4, "width": 2, "discriminator_width": 2, "code": 5, "noise": 3}
NO_WEIGHTS = dict.fromkeys(("weight_i", "weight_is", "weight_isg", "lambda_background", "weight_kl"), 0.0)


def make_gan(**changes: Any) -> MCGAN:
    """In evaluation mode, where normalization is the same at every call, with statistics as after some training."""
    torch.manual_seed(0)
    gan = MCGAN(MCGANSettings(**TINY | changes), genes=GENES, pixels=PIXELS)
    with torch.no_grad():
        for _ in range(20):
            gan.discriminator_loss(gan.prepare(make_batch()))
    return gan.eval()


def make_batch(seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)

    def images() -> Tensor:
        return torch.rand(4, 1, PIXELS, PIXELS, generator=generator) * 2 - 1

    genes = torch.randn(4, GENES, generator=generator)
    return Batch(
        x=images(), m=(images() > 0).float(), g=genes, wrong_m=(images() > 0).float(), wrong_g=genes.flip(0),
        background=images(), patient=torch.arange(4), all_genes=genes,
    )  # fmt: skip


def square(d: Tensor, goal: float) -> float:
    return float(np.mean((d.detach().numpy().astype(float) - goal) ** 2))


def moved(module: nn.Module) -> set[str]:
    """Parameters that got a gradient."""
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


# Losses


def test_kl_is_the_divergence_of_two_gaussians() -> None:
    mean, log_variance = torch.tensor([[0.7, 0.0]]), torch.tensor([[-0.5, 0.0]])
    x = np.linspace(-12, 12, 200_001)
    p, q = norm.pdf(x, 0.7, np.exp(-0.25)), norm.pdf(x)
    by_integral = np.trapezoid(p * np.log(p / q), x)  # the second number is already standard normal: 0
    assert loss_kl(mean, log_variance).item() == pytest.approx(by_integral / 2, rel=1e-5)


def test_discriminator_loss_is_the_papers() -> None:
    gan, b = make_gan(weight_i=8.0, weight_is=1.5, weight_isg=10.0), make_batch()
    d, step = gan.discriminator, gan.prepare(b)
    mean, wrong_mean = gan.part.condition(b.g)[0], gan.part.condition(b.wrong_g)[0]
    x, m = step.drawn.image, 2 * step.drawn.mask - 1  # the paper's masks are from -1 to 1
    real, wrong_m, drawn = d.pair(b.x, 2 * b.m - 1), d.pair(b.x, 2 * b.wrong_m - 1), d.pair(x, m)
    l_di = square(d.d_i(b.x), 1) + square(d.d_i(x), 0)
    l_dis = square(d.d_is(real), 1) + square(d.d_is(wrong_m), 0) + square(d.d_is(drawn), 0)
    l_disg = square(d.d_isg(real, mean), 1) + square(d.d_isg(wrong_m, mean), 0)
    l_disg += square(d.d_isg(real, wrong_mean), 0) + square(d.d_isg(drawn, mean), 0)
    record = gan.discriminator_loss(step)
    assert record.total.item() == pytest.approx(8 * l_di + 1.5 * l_dis + 10 * l_disg, rel=1e-5)
    assert set(record.terms) == {"L_DI", "L_DIS", "L_DISG"}


def test_with_a_real_term_per_pair_real_ones_weigh_as_in_the_authors_code() -> None:
    """There the real, the mismatched mask's and the mismatched condition's pair each add a term to every head."""
    gan, b = make_gan(real_terms="per_pair", weight_i=8.0, weight_is=1.5, weight_isg=10.0), make_batch()
    d, step = gan.discriminator, gan.prepare(b)
    one = MCGAN.discriminator_loss(gan, step).terms["L_DISG"].item()
    d_is = {name: d.d_is(d.pair(b.x, 2 * m - 1)) for name, m in (("real", b.m), ("wrong", b.wrong_m))}
    drawn = d.d_is(d.pair(step.drawn.image, 2 * step.drawn.mask - 1))
    pairs_i = [square(d.d_i(b.x), 1)] * 3 + [square(d.d_i(step.drawn.image), 0)]  # real, wrong condition, wrong mask
    pairs_is = [square(d_is["real"], 1)] * 2 + [square(d_is["wrong"], 0), square(drawn, 0)]  # real, wrong condition
    record = gan.discriminator_loss(step)
    assert record.total.item() == pytest.approx(8 * sum(pairs_i) + 1.5 * sum(pairs_is) + 10 * one, rel=1e-5)
    gan.settings = replace(gan.settings, real_terms="one")
    assert gan.discriminator_loss(step).terms["L_DISG"].item() == one


def test_each_term_of_the_generator_by_hand() -> None:
    gan, b = make_gan(erosion=5), make_batch()
    step = gan.prepare(b)
    d, drawn = gan.discriminator, step.drawn
    pair = d.pair(drawn.image, 2 * drawn.mask - 1)
    image, mask, background = (t.detach()[:, 0].numpy().astype(float) for t in (drawn.image, drawn.mask, b.background))
    outside = [ndimage.binary_erosion(plane < 0.5, np.ones((5, 5)), border_value=1) for plane in mask]
    mean, log_variance = (t.detach().numpy().astype(float) for t in gan.part.condition(b.g))
    expected = {
        "weight_i": square(d.d_i(drawn.image), 1),
        "weight_is": square(d.d_is(pair), 1),
        "weight_isg": square(d.d_isg(pair, gan.part.condition(b.g)[0]), 1),
        "lambda_background": np.abs((image - background) * np.stack(outside)).mean(),
        "weight_kl": (mean**2 + np.exp(log_variance) - 1 - log_variance).mean() / 2,
    }
    assert 0 < np.mean(outside) < 1
    weights = {name: getattr(gan.settings, name) for name in expected}
    record = gan.generator_loss(step)
    assert record.total.item() == pytest.approx(sum(weights[name] * expected[name] for name in expected), rel=1e-5)
    for name, value in expected.items():
        gan.settings = replace(gan.settings, **NO_WEIGHTS | {name: 2.5})
        assert gan.generator_loss(step).total.item() == pytest.approx(2.5 * value, rel=1e-5), name


@pytest.mark.parametrize("negative", ["wrong_m", "wrong_g"])
def test_negatives_reach_their_heads_only(negative: str) -> None:
    gan, b = make_gan(), make_batch()
    step = gan.prepare(b)
    other = replace(step, batch=replace(b, **{negative: getattr(make_batch(seed=2), negative)}))
    before, after = gan.discriminator_loss(step).terms, gan.discriminator_loss(other).terms
    assert before["L_DI"] == after["L_DI"]
    assert (before["L_DIS"] == after["L_DIS"]) == (negative == "wrong_g")
    assert before["L_DISG"] != after["L_DISG"]


def test_masks_are_signed_for_the_networks() -> None:
    torch.testing.assert_close(signed(torch.tensor([0.0, 0.25, 1.0])), torch.tensor([-1.0, -0.5, 1.0]))


# Drawing


def test_the_code_is_drawn_by_reparametrization() -> None:
    gan, b = make_gan(), make_batch()
    mean, log_variance = gan.part.condition(b.g)
    normals = torch.randn(4, 8)
    seen: list[Tensor] = []
    gan.part.generator.start.register_forward_hook(lambda module, given, made: seen.append(given[0]))
    gan.part(b.background, mean, log_variance, Noise(normals, []))
    torch.testing.assert_close(seen[0][:, :5], mean + log_variance.exp().sqrt() * normals[:, :5])
    torch.testing.assert_close(seen[0][:, 5:], normals[:, 5:])


def test_synthesis_obeys_the_seed_in_any_company() -> None:
    gan = make_gan()
    assert isinstance(gan, Synthesizer)
    rng = np.random.default_rng(0)
    backgrounds, genes = rng.uniform(-1000, 300, (131, PIXELS, PIXELS)), rng.normal(size=(131, GENES))
    whole = gan.synthesize(backgrounds, genes, seed=7)
    some = gan.synthesize(backgrounds[:3], genes[:3], seed=7)
    other = gan.synthesize(backgrounds[:3], genes[:3], seed=8)
    np.testing.assert_allclose(whole.image[:3], some.image, atol=0.05)  # HU; other batch sizes, other rounding
    np.testing.assert_array_equal(some.image, gan.synthesize(backgrounds[:3], genes[:3], seed=7).image)
    assert np.abs(some.image - other.image).max() > 1
    np.testing.assert_array_equal(whole.background, backgrounds.astype(np.float32))
    for plane in (whole.image, whole.mask, whole.weight):
        assert plane.shape == (131, PIXELS, PIXELS)
        assert plane.dtype == np.float32
    assert -1000 <= whole.image.min() <= whole.image.max() <= 500
    for plane in (whole.mask, whole.weight):
        assert 0 <= plane.min() <= plane.max() <= 1


def test_noise_of_a_drawing_does_not_repeat_in_the_next_chunk() -> None:
    drawn = make_gan().synthesize(np.full((130, PIXELS, PIXELS), -800), np.zeros((130, GENES)), seed=7)
    assert np.abs(drawn.image[128] - drawn.image[0]).max() > 1


def test_seeded_normals_depend_on_seed_and_number_only() -> None:
    whole = seeded_normals(1000, first=0, count=4, seed=3)
    torch.testing.assert_close(seeded_normals(1000, first=2, count=2, seed=3), whole[2:], rtol=0, atol=0)
    assert not torch.equal(seeded_normals(1000, first=0, count=4, seed=4), whole)
    assert len(torch.unique(whole[:, 0])) == 4
    assert whole.mean().abs().item() < 0.08  # 5 standard errors of 4,000
    assert whole.std().item() == pytest.approx(1, abs=0.06)


def test_genes_change_the_drawing_and_the_background_too() -> None:
    gan = make_gan()
    backgrounds, genes = np.full((2, PIXELS, PIXELS), -800.0), np.random.default_rng(0).normal(size=(2, GENES))
    first = gan.synthesize(backgrounds, genes, seed=1).image
    assert np.abs(first - gan.synthesize(backgrounds, -genes, seed=1).image).max() > 1
    assert np.abs(first - gan.synthesize(backgrounds + 300, genes, seed=1).image).max() > 1


def test_encode_gives_the_mean_of_the_code() -> None:
    gan = make_gan()
    assert isinstance(gan, GeneEncoder)
    genes = np.random.default_rng(0).normal(size=(6, GENES)).astype(np.float32)
    code = gan.encode(genes)
    assert code.shape == (6, 5)
    np.testing.assert_allclose(code, gan.part.condition(torch.from_numpy(genes))[0].detach().numpy())


@pytest.mark.parametrize(("images", "vectors"), [(2, 3), (0, 0)])
def test_synthesis_refuses_what_does_not_pair(images: int, vectors: int) -> None:
    with pytest.raises(ValueError, match=f"{images} backgrounds for {vectors} gene vectors"):
        make_gan().synthesize(np.zeros((images, PIXELS, PIXELS)), np.zeros((vectors, GENES)), seed=0)


# Who moves


def test_discriminator_loss_moves_all_of_the_discriminator_and_nothing_else() -> None:
    gan = make_gan().train()
    gan.discriminator_loss(gan.prepare(make_batch())).total.backward()
    assert not moved(gan.part)
    assert moved(gan.discriminator) == {name for name, _ in gan.discriminator.named_parameters()}


def test_generator_loss_moves_all_of_generator_and_condition() -> None:
    gan = make_gan().train()
    gan.generator_loss(gan.prepare(make_batch())).total.backward()
    assert moved(gan.part) == {name for name, _ in gan.part.named_parameters()}


def test_the_head_that_reads_the_condition_teaches_it_also_directly() -> None:
    """As in the authors' code; KL is off, and the drawing is cut off."""
    gan = make_gan(weight_kl=0.0).train()
    step = gan.prepare(make_batch())
    drawn = replace(step.drawn, image=step.drawn.image.detach(), mask=step.drawn.mask.detach())
    gan.generator_loss(replace(step, drawn=drawn)).total.backward()
    assert moved(gan.part) == {"condition.linear.weight", "condition.linear.bias"}


def test_the_background_region_has_no_gradient() -> None:
    gan = make_gan(**NO_WEIGHTS | {"lambda_background": 1.0})
    step = gan.prepare(make_batch())
    step.drawn.mask.retain_grad()
    gan.generator_loss(step).total.backward()
    assert step.drawn.mask.grad is None or not step.drawn.mask.grad.any()


def test_players_share_no_parameters_and_leave_none_out() -> None:
    gan = make_gan()
    owned = [id(p) for player in gan.players() for p in player.parameters]
    assert len(owned) == len(set(owned))
    assert {id(p) for p in gan.parameters()} == set(owned)
    assert [p.name for p in gan.players()] == ["discriminator", "generator"]
    assert {id(p) for p in gan.averaged().parameters()} == {id(p) for p in gan.players()[1].parameters}


# Settings


def test_what_the_paper_fixes_holds_in_every_preset() -> None:
    for name in ("default", "paper"):
        s = MCGANSettings(**PRESETS[name])
        assert (s.code, s.noise, s.weight_kl, s.lambda_background) == (128, 100, 2, 15)
        assert (s.learning_rate, s.discriminator_learning_rate, s.beta1, s.average) == (2e-4, 2e-4, 0.5, 0.999)
        assert (s.weight_i, s.weight_is, s.weight_isg, s.batch) == (2, 1, 2, 32)
        assert not s.needs_alignment
        assert (s.gene_code, s.discriminator_norm, s.learning_rate_schedule) == ("mapping", "batch", "constant")
        assert not any((s.spatial_noise, s.central_mask, s.residual, s.compose, s.stay_in_lung))
        assert s.real_terms == {"default": "one", "paper": "per_pair"}[name]
    assert MCGANSettings(**PRESETS["default"]) == MCGANSettings()
    assert MCGANSettings(**PRESETS["paper"]).width == MCGANSettings(**PRESETS["paper"]).discriminator_width == 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch": 1}, "batch must be at least 2, not 1"),
        ({"epochs": -1}, "epochs must be at least 0, not -1"),
        ({"erosion": 4}, "erosion must be odd and at least 1, not 4"),
        ({"average": 1.0}, r"average must be in \[0, 1\), not 1.0"),
        ({"noise": 0}, "noise must be at least 1, not 0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, not 0.0"),
        ({"weight_kl": -1.0}, "weight_kl must be at least 0, not -1.0"),
        ({"energy": -1.0}, "energy must be at least 0, not -1.0"),
        ({"composition_dilation": 2}, "composition_dilation must be odd and at least 1, not 2"),
        ({"energy": 1.0, "batch": 7}, "batch must be even for the energy score, which compares pairs, not 7"),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MCGANSettings(**changes)


@pytest.mark.parametrize("pixels", [8, 16, 48])
def test_sizes_that_cannot_be_drawn_are_refused_at_once(pixels: int) -> None:
    with pytest.raises(ValueError, match="pixels"):
        MCGAN(MCGANSettings(**TINY), genes=GENES, pixels=pixels)
