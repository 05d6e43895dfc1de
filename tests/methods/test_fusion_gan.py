"""The fusion GAN against the paper: every loss by hand from the network's own outputs, who moves, what the presets are.

Losses are compared in evaluation mode, where dropout and normalization are the same at every call.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import torch
from gan_inputs import GENES, PIXELS, make_alignment, make_batch
from scipy import ndimage
from torch import Tensor, nn

from radiogenesis.methods import images
from radiogenesis.methods.canonical_alignment import CanonicalAlignment, CanonicalAlignmentSettings
from radiogenesis.methods.fusion_gan import PRESETS, FusionGAN, FusionGANSettings, Step
from radiogenesis.methods.images import GrownMask
from radiogenesis.methods.losses import loss_covariance, loss_energy
from radiogenesis.methods.protocols import Batch, GeneEncoder, Synthesizer

TINY: dict[str, Any] = {"batch": 4, "width": 2, "discriminator_width": 2, "code": 5, "hidden": 6, "noise": 3}
NO_WEIGHTS: dict[str, Any] = dict.fromkeys(
    ("weight_i", "weight_is", "weight_isg", "lambda_background", "lambda_weight_map", "matching", "energy"), 0.0
)
VARIANTS: list[dict[str, Any]] = [
    {},
    PRESETS["paper"] | {"epochs": 0},
    {"gene_code": "mapping"},
    {"gene_code": "aligned", "own_mapping": False},
]


def make_gan(seed: int = 0, **changes: Any) -> FusionGAN:
    alignment = make_alignment(seed)
    gan = FusionGAN(FusionGANSettings(**(changes | TINY)), genes=GENES, pixels=PIXELS, alignment=alignment)
    return gan.eval()


def d_code(gan: FusionGAN, g: Tensor) -> Tensor:
    """What the discriminator should read: a mapping, of the genes or of the alignment's code for them."""
    mapping = gan.phi_d or gan.part.phi
    assert mapping is not None
    if gan.settings.gene_code == "aligned":
        assert gan.alignment is not None
        g = gan.alignment.code(g)
    return mapping(g)


def square(d: Tensor, goal: float) -> float:
    return float(np.mean((d.detach().numpy().astype(float) - goal) ** 2))


def softened(mask: Tensor, dilation: int = 7, smoothing: int = 5) -> np.ndarray:
    """The composition mask, by scipy: (B, P, P)."""
    planes = mask.detach()[:, 0].numpy()
    grown = [ndimage.grey_dilation(plane, size=(dilation, dilation), mode="constant", cval=0) for plane in planes]
    return np.stack([ndimage.uniform_filter(plane, smoothing, mode="nearest") for plane in grown])


# Losses


@pytest.mark.parametrize("changes", VARIANTS)
def test_discriminator_loss_is_the_papers(changes: dict[str, Any]) -> None:
    gan, b = make_gan(**changes | {"weight_i": 8.0, "weight_is": 1.5, "weight_isg": 10.0}), make_batch()
    d, step = gan.discriminator, gan.prepare(b)
    phi, wrong_phi = d_code(gan, b.g), d_code(gan, b.wrong_g)
    x, m = step.drawn.image, step.drawn.mask
    l_di = square(d.d_i(b.x), 1) + square(d.d_i(x), 0)
    l_dis = square(d.d_is(d.pair(b.x, b.m)), 1) + square(d.d_is(d.pair(b.x, b.wrong_m)), 0)
    l_dis += square(d.d_is(d.pair(x, m)), 0)
    l_disg = square(d.d_isg(d.pair(b.x, b.m), phi), 1) + square(d.d_isg(d.pair(b.x, b.wrong_m), phi), 0)
    l_disg += square(d.d_isg(d.pair(b.x, b.m), wrong_phi), 0) + square(d.d_isg(d.pair(x, m), phi), 0)

    record = gan.discriminator_loss(step)
    assert record.total.item() == pytest.approx(8 * l_di + 1.5 * l_dis + 10 * l_disg, rel=1e-5)
    assert set(record.terms) == {"L_DI", "L_DIS", "L_DISG"}


@pytest.mark.parametrize("head", ["I", "IS", "ISG"])
def test_each_head_of_the_discriminator_has_its_weight(head: str) -> None:
    gan, b = make_gan(), make_batch()
    step = gan.prepare(b)
    gan.settings = replace(gan.settings, **NO_WEIGHTS | {f"weight_{head.lower()}": 1.0})
    alone = gan.discriminator_loss(step).total.item()
    gan.settings = replace(gan.settings, **NO_WEIGHTS | {f"weight_{head.lower()}": 3.0})
    assert gan.discriminator_loss(step).total.item() == pytest.approx(3 * alone, rel=1e-6)
    assert alone == pytest.approx(gan.discriminator_loss(step).terms[f"L_D{head}"].item(), rel=1e-6)


def hand_energy(ours: np.ndarray, real: np.ndarray) -> float:
    """Energy score of (4, S) statistics, where rows 0 and 2, and 1 and 3, are two slices of one patient."""

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return float(np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2)))

    pairs = [(0, 2), (1, 3)]
    to_real = np.mean([distance(ours[i], real[j]) for pair in pairs for i in pair for j in pair])
    return float(to_real - np.mean([distance(ours[i], ours[j]) for i, j in pairs]) / 2)


def hand_generator_terms(gan: FusionGAN, step: Step) -> dict[str, float]:
    """Setting that weighs a term -> the term before weighting, in numpy from the networks' outputs."""
    b, d, drawn = step.batch, gan.discriminator, step.drawn
    pair = d.pair(drawn.image, drawn.mask)
    image, mask, weight, background = (
        t.detach()[:, 0].numpy().astype(float) for t in (drawn.image, drawn.mask, drawn.weight, b.background)
    )
    size = gan.settings.erosion
    shown = (mask >= 0.5).astype(float) if gan.settings.background_mask == "binary" else mask
    grown = np.stack([ndimage.grey_dilation(plane, size=(size, size), mode="constant", cval=0) for plane in shown])
    lesion = softened(drawn.mask)
    if gan.settings.stay_in_lung and not gan.settings.fill:
        lesion *= 1 - images.outside_lung(b.background)[:, 0].numpy()
    off = np.abs(weight - lesion)
    weight_map = ((off * lesion).sum() / lesion.sum() + (off * (1 - lesion)).sum() / (1 - lesion).sum()) / 2
    terms = {
        "weight_i": square(d.d_i(drawn.image), 1),
        "weight_is": square(d.d_is(pair), 1),
        "weight_isg": square(d.d_isg(pair, d_code(gan, b.g)), 1),
        "lambda_background": np.abs((image - background) * (1 - grown)).mean(),
        "lambda_weight_map": weight_map,
    }
    if gan.alignment is None:
        return terms
    critic = gan.alignment
    lesions, everyone = (
        t.detach().numpy().astype(float) for t in (critic.lesions(drawn.image, drawn.mask), critic.genes(b.all_genes))
    )
    odds = np.exp(lesions @ everyone.T / critic.temperature.item())
    terms["matching"] = -np.log((odds / odds.sum(1, keepdims=True))[np.arange(4), b.patient.numpy()]).mean()
    grouped = getattr(critic.lesions, "grouped", lambda statistics: [statistics])  # kinds of statistics count alike
    ours, real = (grouped(critic.lesions.standardized(x, m)) for x, m in ((drawn.image, drawn.mask), (b.x, b.m)))
    terms["energy"] = np.mean(
        [hand_energy(*(t.detach().numpy() for t in kind)) for kind in zip(ours, real, strict=True)]
    )
    return terms


@pytest.mark.parametrize("changes", VARIANTS)
def test_each_term_of_the_generator_by_hand(changes: dict[str, Any]) -> None:
    gan, b = make_gan(**changes), make_batch()
    step = gan.prepare(b)
    for name, expected in hand_generator_terms(gan, step).items():
        gan.settings = replace(gan.settings, **NO_WEIGHTS | {name: 2.5})
        assert gan.generator_loss(step).total.item() == pytest.approx(2.5 * expected, rel=1e-4), name


@pytest.mark.parametrize("changes", VARIANTS)
def test_generator_loss_is_the_weighted_sum(changes: dict[str, Any]) -> None:
    gan, b = make_gan(**changes), make_batch()
    step = gan.prepare(b)
    weights = {name: getattr(gan.settings, name) for name in NO_WEIGHTS}
    expected = sum(weights[name] * value for name, value in hand_generator_terms(gan, step).items())
    record = gan.generator_loss(step)
    assert record.total.item() == pytest.approx(expected, rel=1e-4)
    assert all(not term.requires_grad and term.isfinite() for term in record.terms.values())


def test_the_papers_generator_has_no_terms_beyond_the_paper() -> None:
    gan = make_gan(**PRESETS["paper"])
    assert set(gan.generator_loss(gan.prepare(make_batch())).terms) == {"D_I", "D_IS", "D_ISG", "background"}


@pytest.mark.parametrize("negative", ["wrong_m", "wrong_g"])
def test_negatives_reach_their_heads_only(negative: str) -> None:
    gan, b = make_gan(), make_batch()
    step = gan.prepare(b)
    other = replace(step, batch=replace(b, **{negative: getattr(make_batch(seed=2), negative)}))
    before, after = gan.discriminator_loss(step).terms, gan.discriminator_loss(other).terms
    assert before["L_DI"] == after["L_DI"]
    assert (before["L_DIS"] == after["L_DIS"]) == (negative == "wrong_g")
    assert before["L_DISG"] != after["L_DISG"]


def test_the_weight_map_is_pulled_to_the_mask_and_not_the_mask_to_it() -> None:
    gan = make_gan()
    gan.settings = replace(gan.settings, **NO_WEIGHTS | {"lambda_weight_map": 1.0})
    step = gan.prepare(make_batch())
    step.drawn.mask.retain_grad()
    step.drawn.weight.retain_grad()
    gan.generator_loss(step).total.backward()
    assert step.drawn.weight.grad is not None
    assert step.drawn.weight.grad.abs().sum() > 0
    assert step.drawn.mask.grad is None or not step.drawn.mask.grad.any()


# Drawing


def test_the_weight_map_is_the_last_blocks_averaged_over_channels() -> None:
    gan = make_gan()
    seen: list[Tensor] = []
    gan.part.generator.blocks[-1].register_forward_hook(lambda module, given, made: seen.append(made[1]))
    drawn = gan.prepare(make_batch()).drawn
    assert seen[0].shape[1] == TINY["width"]
    torch.testing.assert_close(drawn.weight, seen[0].mean(1, keepdim=True))
    assert 0 <= drawn.weight.min() <= drawn.weight.max() <= 1


def test_composing_leaves_the_background_exactly_outside_the_softened_mask() -> None:
    gan, b = make_gan(composition_dilation=5, composition_smoothing=3), make_batch()
    b = replace(b, background=b.background.clamp(-1, 1) * 0.3 - 0.6)  # air everywhere, so that everything can change
    assert gan.part.generator.mask_bias is not None
    bias = torch.full((1, 1, PIXELS, PIXELS), -300.0)  # so low that the mask is exactly 0 away from the middle
    bias[..., 12:20, 12:20] = 300
    gan.part.generator.mask_bias.data = bias
    drawn = gan.prepare(b).drawn
    reach = np.zeros((PIXELS, PIXELS), bool)
    reach[12:20, 12:20] = True
    reach = ndimage.binary_dilation(reach, np.ones((7, 7)))  # 2 by dilation, 1 by smoothing, on every side
    outside, inside = torch.from_numpy(~reach), torch.from_numpy(softened(drawn.mask, 5, 3)[0] == 1)
    assert torch.equal(drawn.image[:, 0, outside], b.background[:, 0, outside])
    assert (drawn.image[:, 0, inside] != b.background[:, 0, inside]).any()
    through = torch.from_numpy(softened(drawn.mask, 5, 3))[:, None]
    gan.part.settings = replace(gan.part.settings, compose=False)
    noise = gan.seeded_noise(0, 4, 5, torch.device("cpu"))
    plain = gan.part(b.background, gan.part.code(b.g, gan.aligned(b.g)), noise)
    gan.part.settings = replace(gan.part.settings, compose=True)
    composed = gan.part(b.background, gan.part.code(b.g, gan.aligned(b.g)), noise)
    torch.testing.assert_close(composed.image, through * plain.image + (1 - through) * b.background)


def with_wall(b: Batch) -> Batch:
    """The batch on backgrounds of lung with a chest wall in their lower half, from the middle of the lesion on."""
    background = torch.full_like(b.background, -0.8)
    background[:, :, PIXELS // 2 :] = 0.4
    return replace(b, background=background)


@pytest.mark.parametrize("fill", [True, False])
@pytest.mark.parametrize("ablation", [{}, {"mask_output": False, "compose": False, "lambda_weight_map": 0.0}])
def test_lesions_stay_in_the_lung(ablation: dict[str, Any], fill: bool) -> None:
    b = with_wall(make_batch())
    wall = b.background > 0
    drawn = make_gan(**ablation, fill=fill).prepare(b).drawn
    assert torch.equal(drawn.image[wall], b.background[wall])
    assert (drawn.mask[wall] < 0.5).all()  # softened where a lesion is filled in, hard where it is cut
    assert fill or not drawn.mask[wall].any()
    assert (drawn.image[~wall] != b.background[~wall]).any()
    free = make_gan(**ablation, fill=fill, stay_in_lung=False).prepare(b).drawn
    assert (free.image[wall] != b.background[wall]).any()


def test_a_dilation_is_computed_once_for_composing_and_for_the_losses() -> None:
    gan, b = make_gan(stay_in_lung=False), make_batch()
    with patch("radiogenesis.methods.images.dilate", wraps=images.dilate) as dilate:
        step = gan.prepare(b)
        gan.generator_loss(step)
        assert dilate.call_count == 1  # composition_dilation and erosion are both 7
        gan.settings = replace(gan.settings, erosion=5)
        gan.generator_loss(step)
        assert dilate.call_count == 2


def test_the_papers_image_is_the_generators_own() -> None:
    gan, b = make_gan(**PRESETS["paper"]), make_batch()
    noise = gan.seeded_noise(0, 4, 5, torch.device("cpu"))
    assert not noise.maps
    code = gan.part.code(b.g, None)
    drawn = gan.part(b.background, code, noise)
    own = gan.part.generator(b.background, torch.cat([code, noise.vector], 1))
    torch.testing.assert_close(drawn.image, own.image)


@pytest.mark.parametrize(("gene_code", "length"), [("mapping", 5), ("aligned", 4), ("both", 9)])
def test_gene_code(gene_code: str, length: int) -> None:
    gan = make_gan(gene_code=gene_code)
    genes = np.random.default_rng(0).normal(size=(6, GENES)).astype(np.float32)
    code = gan.encode(genes)
    assert code.shape == (6, length)
    parts = []
    if gene_code != "aligned":
        assert gan.part.phi is not None
        parts.append(gan.part.phi(torch.from_numpy(genes)).detach().numpy())
    if gene_code != "mapping":
        assert gan.alignment is not None
        parts.append(gan.alignment.encode(genes) * math.sqrt(4))  # unit vectors of 4 numbers -> unit variance
    np.testing.assert_allclose(code, np.concatenate(parts, 1), rtol=1e-5, atol=1e-6)
    assert (gan.part.phi is None) == (gene_code == "aligned")


@pytest.mark.parametrize("gene_code", ["mapping", "aligned", "both"])
def test_genes_change_the_drawing(gene_code: str) -> None:
    gan = make_gan(gene_code=gene_code)
    backgrounds = np.full((2, PIXELS, PIXELS), -800)
    genes = np.random.default_rng(0).normal(size=(2, GENES))
    first = gan.synthesize(backgrounds, genes, seed=1)
    other = gan.synthesize(backgrounds, -genes, seed=1)
    assert np.abs(first.image - other.image).max() > 1e-3


def test_gan_draws_and_encodes() -> None:
    assert isinstance(make_gan(), Synthesizer)
    assert isinstance(make_gan(), GeneEncoder)


def test_synthesis_obeys_the_seed_and_not_the_chunks() -> None:
    gan = make_gan().train()
    rng = np.random.default_rng(0)
    backgrounds, genes = rng.integers(-1000, 300, (130, PIXELS, PIXELS)), rng.normal(size=(130, GENES))
    torch.manual_seed(1)
    whole = gan.synthesize(backgrounds, genes, seed=7)
    torch.manual_seed(2)  # torch's own stream has no say
    again = gan.synthesize(backgrounds, genes, seed=7)
    first = gan.synthesize(backgrounds[:128], genes[:128], seed=7)
    other = gan.synthesize(backgrounds, genes, seed=8)
    for name in ("image", "mask", "weight"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(again, name))
        np.testing.assert_allclose(getattr(whole, name)[:128], getattr(first, name), rtol=1e-5, atol=1e-3)
        assert getattr(whole, name).shape == (130, PIXELS, PIXELS)
        assert getattr(whole, name).dtype == np.float32
    assert np.abs(whole.image - other.image).max() > 1e-3
    assert np.abs(whole.image[128:] - whole.image[:2]).max() > 1e-3
    np.testing.assert_array_equal(whole.background, backgrounds)
    assert whole.seed == 7
    assert whole.image.min() >= -1000
    assert whole.image.max() <= 500


def test_noise_of_a_drawing_does_not_repeat_in_the_next_chunk() -> None:
    gan = make_gan()
    backgrounds, genes = np.full((130, PIXELS, PIXELS), -800), np.zeros((130, GENES))
    drawn = gan.synthesize(backgrounds, genes, seed=7)
    assert np.abs(drawn.image[128] - drawn.image[0]).max() > 1e-3


@pytest.mark.parametrize(("images", "vectors"), [(2, 3), (0, 0)])
def test_synthesis_refuses_what_does_not_pair(images: int, vectors: int) -> None:
    with pytest.raises(ValueError, match=f"{images} backgrounds for {vectors} gene vectors"):
        make_gan().synthesize(np.zeros((images, PIXELS, PIXELS)), np.zeros((vectors, GENES)), seed=0)


# Who moves


def moved(module: nn.Module) -> set[str]:
    """Parameters that got a gradient."""
    return {name for name, p in module.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}


@pytest.mark.parametrize("changes", VARIANTS)
def test_discriminator_loss_moves_the_discriminator_only(changes: dict[str, Any]) -> None:
    gan = make_gan(**changes).train()
    gan.discriminator_loss(gan.prepare(make_batch())).total.backward()
    assert not moved(gan.part)
    assert gan.alignment is None or not moved(gan.alignment)
    assert any(name.startswith("image_encoder") for name in moved(gan.discriminator))
    assert any(name.startswith("pair_encoder") for name in moved(gan.discriminator))
    assert gan.phi_d is None or moved(gan.phi_d)


def test_the_discriminator_reads_its_own_mapping_or_the_generators() -> None:
    assert make_gan(own_mapping=True).phi_d is not None
    paper = make_gan(**PRESETS["paper"])
    assert paper.phi_d is None
    assert paper.part.phi is not None
    b = make_batch()
    torch.testing.assert_close(paper.d_code(b.g), paper.part.phi(b.g))
    assert not paper.d_code(b.g).requires_grad
    # Where the generator has no phi(g) to lend, the discriminator has its own.
    aligned = make_gan(gene_code="aligned", own_mapping=False)
    assert aligned.phi_d is not None
    assert aligned.alignment is not None
    # It reads what the generator reads.
    torch.testing.assert_close(aligned.d_code(b.g), aligned.phi_d(aligned.alignment.code(b.g)))


def test_generator_loss_reaches_genes_through_the_drawing_only() -> None:
    for changes in VARIANTS:
        gan = make_gan(**changes).train()
        step = gan.prepare(make_batch())
        drawn = replace(
            step.drawn, **{name: getattr(step.drawn, name).detach() for name in ("image", "mask", "weight")}
        )
        drawn = replace(drawn, grown=GrownMask(drawn.mask))
        gan.generator_loss(replace(step, drawn=drawn)).total.backward()
        assert not moved(gan.part)
        assert gan.phi_d is None or not moved(gan.phi_d)


def test_generator_loss_moves_mapping_and_generator() -> None:
    gan = make_gan(gene_code="both").train()
    gan.generator_loss(gan.prepare(make_batch())).total.backward()
    assert any(name.startswith("phi") for name in moved(gan.part))
    assert any(name.startswith("generator") for name in moved(gan.part))


def test_a_canonical_alignment_is_code_and_critic() -> None:
    """The style is its coordinates; the terms are the cross-entropy of its likelihood, and energy in its statistics."""
    torch.manual_seed(0)
    alignment = CanonicalAlignment(CanonicalAlignmentSettings(properties=False, directions=2), genes=GENES)
    for name in ("mean", "lesion_weights", "gene_mean", "gene_weights"):
        alignment.get_buffer(name).normal_(std=0.1)
    alignment.deviation.fill_(1.0)
    alignment.follows.copy_(torch.tensor([0.8, 0.5]))
    settings = FusionGANSettings(**(TINY | {"gene_dropout": 0.0}))
    gan = FusionGAN(settings, genes=GENES, pixels=PIXELS, alignment=alignment).eval()
    batch = make_batch()
    step = gan.prepare(batch)
    torch.testing.assert_close(step.code, alignment.code(batch.g))
    record = gan.generator_loss(step)
    ours = alignment.standardized(step.drawn.image, step.drawn.mask)
    likelihood = alignment.log_likelihood(ours, batch.all_genes).log_softmax(1)
    expected = -likelihood[torch.arange(4), batch.patient].mean()
    assert record.terms["match"].item() == pytest.approx(settings.matching * expected.item(), rel=1e-5)
    pairs = zip(alignment.kinds(ours), alignment.kinds(alignment.standardized(batch.x, batch.m)), strict=True)
    energies = [loss_energy(a.reshape(2, 2, -1), b.reshape(2, 2, -1)).item() for a, b in pairs]
    assert record.terms["energy"].item() == pytest.approx(settings.energy * np.mean(energies), rel=1e-5)
    expected_at = torch.tensor([0.8, 0.5]) * step.code
    apart = loss_covariance(alignment.coordinates(ours), expected_at, step.code).item()
    assert apart > 0
    assert record.terms["covariance"].item() == pytest.approx(settings.covariance * apart, rel=1e-4)
    record.total.backward()
    assert any(name.startswith("generator") for name in moved(gan.part))
    with pytest.raises(ValueError, match="train_critic needs a contrastive alignment"):
        FusionGAN(replace(settings, train_critic=True), genes=GENES, pixels=PIXELS, alignment=alignment)


def test_a_frozen_critic_stays_as_it_was_trained() -> None:
    gan = make_gan(train_critic=False).train()
    assert gan.alignment is not None
    assert gan.training
    assert not any(module.training for module in gan.alignment.modules())
    assert [p.name for p in gan.players()] == ["discriminator", "generator"]
    before = {name: t.clone() for name, t in gan.alignment.state_dict().items()}
    step = gan.prepare(make_batch())
    for player in gan.players():
        player.loss(step)
    for name, tensor in gan.alignment.state_dict().items():  # BatchNorm's statistics too
        assert torch.equal(tensor, before[name]), name


def test_a_frozen_critic_gets_no_gradient() -> None:
    gan = make_gan(train_critic=False).train()
    assert gan.alignment is not None
    gan.generator_loss(gan.prepare(make_batch())).total.backward()
    assert not moved(gan.alignment)


def test_train_critic_moves_it() -> None:
    gan = make_gan(train_critic=True).train()
    assert gan.alignment is not None
    assert not gan.alignment.training  # it judges as it was trained; only its own loss is in training mode
    player = gan.players()[-1]
    assert player.name == "critic"
    assert {id(p) for p in player.parameters} == {id(p) for p in gan.alignment.parameters()}
    before = [p.detach().clone() for p in gan.alignment.parameters()]
    optimizer = torch.optim.AdamW(player.parameters, lr=player.learning_rate, weight_decay=0)
    player.loss(gan.prepare(make_batch())).total.backward()
    optimizer.step()
    changed = [not torch.equal(a, b) for a, b in zip(before, gan.alignment.parameters(), strict=True)]
    assert np.mean(changed) > 0.9
    assert not moved(gan.part)


def test_a_critic_that_is_trained_on_learns_from_real_lesions_only() -> None:
    """Drawings must not move its normalization, nor be judged by the statistics of their own batch."""
    gan = make_gan(train_critic=True).train()
    assert gan.alignment is not None
    step = gan.prepare(make_batch())
    before = {name: t.clone() for name, t in gan.alignment.named_buffers()}
    gan.generator_loss(step)
    for name, tensor in gan.alignment.named_buffers():
        assert torch.equal(tensor, before[name]), name


def test_players_share_no_parameters_and_leave_none_out() -> None:
    for changes in [*VARIANTS, {"train_critic": True}]:
        gan = make_gan(**changes)
        owned = [id(p) for player in gan.players() for p in player.parameters]
        assert len(owned) == len(set(owned))
        critic = {id(p) for p in gan.alignment.parameters()} if gan.alignment is not None else set()
        assert {id(p) for p in gan.parameters()} - critic == set(owned) - critic


def test_the_energy_score_asks_for_two_slices_of_each_patient() -> None:
    assert make_gan(energy=1.0).views == 2
    assert make_gan(energy=0.0).views == 1
