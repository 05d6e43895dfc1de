"""Each part of the fusion GAN that can be taken away for the comparison: that it is gone, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from radiogenesis.methods.fusion_gan import FusionGAN, FusionGANSettings
from radiogenesis.methods.protocols import Batch
from radiogenesis.networks.fusion import FusionBlock

GENES, PIXELS = 6, 32
ALONE: dict[str, Any] = {
    "batch": 4, "width": 2, "discriminator_width": 2, "code": 5, "hidden": 6, "noise": 3, "matching": 0.0,
    "energy": 0.0, "gene_code": "mapping", "gene_dropout": 0.0,
}  # fmt: skip


def make(**changes: Any) -> FusionGAN:
    torch.manual_seed(0)
    return FusionGAN(FusionGANSettings(**(ALONE | changes)), genes=GENES, pixels=PIXELS).eval()


def make_batch() -> Batch:
    generator = torch.Generator().manual_seed(1)

    def images() -> Tensor:
        return torch.rand(4, 1, PIXELS, PIXELS, generator=generator) * 2 - 1

    genes = torch.randn(4, GENES, generator=generator)
    return Batch(
        x=images(), m=(images() > 0).float(), g=genes, wrong_m=(images() > 0).float(), wrong_g=genes.roll(1, 0),
        background=images(), patient=torch.arange(4), all_genes=genes,
    )  # fmt: skip


def drawings(gan: FusionGAN, shift: float) -> np.ndarray:
    genes = np.random.default_rng(0).normal(size=(3, GENES)) + shift
    backgrounds = np.random.default_rng(1).uniform(-1000, 200, size=(3, PIXELS, PIXELS))
    return gan.synthesize(backgrounds, genes, seed=0).image


def test_without_genes_every_patient_is_the_same() -> None:
    assert not np.allclose(drawings(make(), 0.0), drawings(make(), 3.0), atol=1e-4)
    blind = make(use_genes=False)
    np.testing.assert_array_equal(drawings(blind, 0.0), drawings(blind, 3.0))
    step = blind.prepare(make_batch())
    assert not step.batch.g.any()
    assert not step.batch.wrong_g.any()
    codes = blind.encode(np.random.default_rng(0).normal(size=(3, GENES)))
    np.testing.assert_array_equal(codes, codes[[0, 0, 0]])


def test_without_adain_the_style_enters_at_the_start_only() -> None:
    gan = make(adain=False)
    readers = [name for name, p in gan.part.generator.named_parameters() if p.ndim == 2]  # fully connected
    assert readers == ["start.weight"]
    assert len([name for name, p in make().part.generator.named_parameters() if p.ndim == 2]) == 6
    assert not np.allclose(drawings(gan, 0.0), drawings(gan, 3.0), atol=1e-4)


def test_without_a_weight_map_features_are_added() -> None:
    torch.manual_seed(0)
    block = FusionBlock(3, 2, 4, outer_weight=True, spatial_noise=False, weight_map=False).eval()
    h, b, style = torch.randn(2, 3, 8, 8), torch.randn(2, 2, 8, 8), torch.randn(2, 4)
    out, w = block(h, b, style, None)
    torch.testing.assert_close(out, block.adain(block.encode(h), style) + b)
    assert not w.any()
    genes = np.zeros((1, GENES))
    drawn = make(weight_map=False, lambda_weight_map=0.0).synthesize(np.zeros((1, PIXELS, PIXELS)), genes, seed=0)
    assert not drawn.weight.any()


def test_without_mismatched_negatives_only_pairs_and_drawings_are_judged() -> None:
    gan, b = make(), make_batch()
    step = gan.prepare(b)
    gan.settings = replace(gan.settings, mismatched=False)
    d, x, m = gan.discriminator, step.drawn.image, step.drawn.mask
    assert gan.phi_d is not None
    phi = gan.phi_d(b.g)

    def square(judged: Tensor, goal: float) -> float:
        return (judged - goal).square().mean().item()

    expected = square(d.d_is(d.pair(b.x, b.m)), 1) + square(d.d_is(d.pair(x, m)), 0)
    assert gan.discriminator_loss(step).terms["L_DIS"].item() == pytest.approx(expected, rel=1e-5)
    expected = square(d.d_isg(d.pair(b.x, b.m), phi), 1) + square(d.d_isg(d.pair(x, m), phi), 0)
    assert gan.discriminator_loss(step).terms["L_DISG"].item() == pytest.approx(expected, rel=1e-5)


def test_without_mismatched_negatives_none_is_encoded() -> None:
    gan, b, seen = make(mismatched=False), make_batch(), []
    step = gan.prepare(b)
    gan.discriminator.pair_encoder.register_forward_hook(lambda module, given, made: seen.append(len(made)))
    gan.discriminator_loss(step)
    assert sum(seen) == 2 * len(b.x)


NO_MASK: dict[str, Any] = {"mask_output": False, "compose": False, "lambda_weight_map": 0.0}


def test_without_a_mask_output_the_lesion_is_where_the_drawing_left_its_background() -> None:
    gan = make(**NO_MASK, lesion_radius=0.25, lesion_contrast_hu=50.0, stay_in_lung=False, fill=False)
    assert gan.part.generator.head.out_channels == 1
    b, raw = make_batch(), []
    gan.part.generator.register_forward_hook(lambda module, given, made: raw.append(made.image))
    drawn = gan.prepare(b).drawn
    torch.testing.assert_close(drawn.image, (b.background + 2 * raw[0]).clamp(-1, 1))  # the whole image, not composed
    off = np.abs((drawn.image - b.background).detach().numpy()[:, 0]) * 750  # HU
    mean = np.stack([[[plane[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean() for j in range(PIXELS)]
                      for i in range(PIXELS)] for plane in off])  # fmt: skip
    line = np.arange(PIXELS) - 15.5
    middle = np.hypot(line[:, None], line[None]) <= 8
    expected = middle / (1 + np.exp(-(mean - 50) / 12.5))
    np.testing.assert_allclose(drawn.mask.detach().numpy()[:, 0], expected, atol=1e-4)


def test_without_a_mask_output_the_discriminator_sees_no_mask() -> None:
    gan, b, seen = make(**NO_MASK), make_batch(), []
    step = gan.prepare(b)
    gan.discriminator.pair_encoder.register_forward_hook(lambda module, given, made: seen.append(given[0][:, 1]))
    terms = gan.discriminator_loss(step).terms
    gan.generator_loss(step)
    assert sum(map(len, seen)) == 3 * len(b.x)  # real and drawn, then drawn
    assert not any(mask.any() for mask in seen)
    d, x, zeros = gan.discriminator, step.drawn.image, torch.zeros_like(b.m)
    assert gan.phi_d is not None
    phi, wrong_phi = gan.phi_d(b.g), gan.phi_d(b.wrong_g)
    real, drawn = d.pair(b.x, zeros), d.pair(x, zeros)
    is_, isg = (d.d_is(real) - 1).square().mean() + d.d_is(drawn).square().mean(), [
        (d.d_isg(real, phi) - 1), d.d_isg(real, wrong_phi), d.d_isg(drawn, phi)
    ]  # fmt: skip
    assert terms["L_DIS"].item() == pytest.approx(is_.item(), rel=1e-5)
    assert terms["L_DISG"].item() == pytest.approx(sum(part.square().mean().item() for part in isg), rel=1e-5)


def test_without_a_mask_output_the_background_counts_outside_the_middle() -> None:
    gan, b = make(**NO_MASK, lesion_radius=0.25, erosion=1), make_batch()
    step = gan.prepare(b)
    line = torch.arange(PIXELS) - 15.5
    outside = torch.hypot(line[:, None], line[None]) > 8
    expected = ((step.drawn.image - b.background).abs() * outside).mean().item() * gan.settings.lambda_background
    assert gan.generator_loss(step).terms["background"].item() == pytest.approx(expected, rel=1e-5)


def test_without_a_mask_output_there_is_a_mask_to_evaluate_and_a_gradient_for_the_critic() -> None:
    gan = make(**NO_MASK)
    drawn = gan.synthesize(np.zeros((2, PIXELS, PIXELS)), np.zeros((2, GENES)), seed=0)
    assert drawn.mask.shape == drawn.image.shape
    assert 0 <= drawn.mask.min() <= drawn.mask.max() <= 1
    gan.prepare(make_batch()).drawn.mask.sum().backward()
    assert gan.part.generator.head.weight.grad is not None
    assert gan.part.generator.head.weight.grad.any()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight_map": False}, "lambda_weight_map must be 0"),
        ({"use_genes": False, "matching": 1.0}, "matching must be 0"),
        ({"mask_output": False, "compose": True, "lambda_weight_map": 0.0}, "nothing is composed or guided"),
        ({"mask_output": False, "compose": False, "lambda_weight_map": 1.0}, "nothing is composed or guided"),
    ],
)
def test_ablations_that_leave_a_term_without_meaning_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FusionGANSettings(**(ALONE | changes))
