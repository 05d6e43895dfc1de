"""The fusion GAN's settings: the default preset, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from radiogenesis.methods import fusion_gan_settings
from radiogenesis.methods.alignment import Alignment, AlignmentSettings
from radiogenesis.methods.fusion_gan import PRESETS, FusionGAN, FusionGANSettings
from radiogenesis.methods.protocols import Batch
from radiogenesis.networks.fusion import FusionBlock

GENES, PIXELS = 10, 32
TINY: dict[str, Any] = {"batch": 4, "width": 2, "discriminator_width": 2, "code": 5, "hidden": 6, "noise": 3}


def test_the_default_preset_is_the_defaults() -> None:
    assert FusionGANSettings(**PRESETS["default"]) == FusionGANSettings()


def test_paper_preset_is_section_1() -> None:
    s = FusionGANSettings(**PRESETS["paper"])
    assert (s.epochs, s.batch) == (500, 16)
    assert (s.hidden, s.code, s.noise) == (512, 128, 10)
    assert (s.learning_rate, s.discriminator_learning_rate, s.beta1) == (2e-4, 2e-4, 0.5)
    assert (s.weight_i, s.weight_is, s.weight_isg, s.lambda_background) == (1, 1, 1, 10)
    assert s.gene_code == "mapping"
    assert (s.matching, s.energy, s.lambda_weight_map, s.gene_dropout) == (0, 0, 0, 0)
    beyond = ("outer_weight", "compose", "residual", "spatial_noise", "central_mask", "own_mapping", "train_critic")
    beyond += ("stay_in_lung", "decided_weight_map", "average", "fill")
    assert not [name for name in beyond if getattr(s, name)]
    assert not s.needs_alignment

    gan = FusionGAN(replace(s, width=2, discriminator_width=2), genes=GENES, pixels=PIXELS)
    assert gan.alignment is None
    assert gan.part.phi is not None
    layers = [layer for layer in gan.part.phi.layers if not (isinstance(layer, nn.Dropout) and layer.p == 0)]
    assert [type(layer) for layer in layers] == [nn.Linear, nn.LeakyReLU, nn.Linear]
    assert [(layer.in_features, layer.out_features) for layer in layers[::2]] == [(GENES, 512), (512, 128)]
    assert layers[1].negative_slope == 0.2
    assert all(player.betas == (0.5, 0.999) for player in gan.players())
    assert all((player.weight_decay, player.schedule) == (0, "constant") for player in gan.players())
    assert [type(layer) for layer in gan.discriminator.joint] == [nn.Conv2d, nn.BatchNorm2d, nn.LeakyReLU]
    assert not [name for name, _ in gan.discriminator.named_modules() if "parametrizations" in name]


def test_twice_the_pixels_keep_the_squares_in_millimeters() -> None:
    coarse, fine = (FusionGANSettings(**PRESETS[name]) for name in ("default", "pixels-128"))
    for name in ("composition_dilation", "composition_smoothing", "erosion"):
        assert getattr(fine, name) // 2 == 2 * (getattr(coarse, name) // 2), name  # the reach to either side


@pytest.mark.parametrize(("preset", "weight", "bias"), [("paper", 1, 0), ("default", 3, -2)])
def test_the_paper_preset_starts_its_weight_maps_as_any_other_layer(preset: str, weight: float, bias: float) -> None:
    settings = PRESETS[preset] | TINY | {"gene_code": "mapping", "matching": 0, "energy": 0}
    gan = FusionGAN(FusionGANSettings(**settings), genes=GENES, pixels=PIXELS)
    for block in gan.part.generator.blocks:
        assert isinstance(block, FusionBlock)
        split = block.encode[-1]
        assert isinstance(split, nn.BatchNorm2d)
        logits, drawn = split.weight.chunk(2), split.bias.chunk(2)
        assert logits[0].unique().tolist() == [weight]
        assert drawn[0].unique().tolist() == [bias]
        assert logits[1].unique().tolist() == [1]
        assert drawn[1].unique().tolist() == [0]


@pytest.mark.parametrize("background_mask", ["soft", "binary"])
@pytest.mark.parametrize("ablation", [{}, {"mask_output": False}])
def test_the_backgrounds_loss_moves_the_mask_only_where_it_is_soft(
    background_mask: str, ablation: dict[str, Any]
) -> None:
    """A soft mask that grows leaves less background to be reproduced; the paper's is binary and stays where it is."""
    torch.manual_seed(0)
    changes = {"background_mask": background_mask, "weight_i": 0, "weight_is": 0, "weight_isg": 0} | ablation
    gan = FusionGAN(FusionGANSettings(**PRESETS["paper"] | TINY | changes), genes=GENES, pixels=PIXELS)
    x, m, g = torch.rand(4, 1, PIXELS, PIXELS), torch.ones(4, 1, PIXELS, PIXELS), torch.randn(4, GENES)
    step = gan.prepare(Batch(x, m, g, m, g, x, torch.arange(4), g))
    total = gan.generator_loss(step).total
    (of_mask,) = torch.autograd.grad(total, step.drawn.mask, retain_graph=True, allow_unused=True)
    slopes = {0.0} if of_mask is None else set(of_mask.sign().unique().tolist())
    if background_mask == "binary" or ablation:
        assert slopes == {0.0}
    else:
        assert slopes <= {-1.0, 0.0}  # the larger, the less is lost
        assert -1.0 in slopes
    (of_image,) = torch.autograd.grad(total, step.drawn.image)
    assert of_image.abs().sum() > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps must be at least 1, not 0"),
        ({"batch": 1}, "batch must be at least 2, not 1"),
        ({"epochs": -1}, "epochs must be at least 0, not -1"),
        ({"composition_dilation": 4}, "composition_dilation must be odd and at least 1, not 4"),
        ({"composition_smoothing": 2}, "composition_smoothing must be odd and at least 1, not 2"),
        ({"erosion": 6}, "erosion must be odd and at least 1, not 6"),
        ({"gene_dropout": 1.0}, r"gene_dropout must be in \[0, 1\), not 1.0"),
        ({"gene_dropout": -0.1}, r"gene_dropout must be in \[0, 1\), not -0.1"),
        ({"average": 1.0}, r"average must be in \[0, 1\), not 1.0"),
        ({"batch": 7}, "must be even for the energy score, which compares pairs, not 7"),
        ({"noise": 0}, "noise must be at least 1, not 0"),
    ],
)
def test_refused_settings(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FusionGANSettings(**changes)


@pytest.mark.parametrize("name", ["gene_dropout", "own_mapping"])
def test_settings_without_effect_say_so(name: str) -> None:
    """With the aligned code nothing reads the genes themselves, and the discriminator always has its own mapping."""
    text = Path(fusion_gan_settings.__file__).read_text(encoding="utf-8")
    docstring = text[text.index(f"    {name}: ") :].split('"""')[1]
    assert re.search(r"No effect .*gene_code", " ".join(docstring.split()))
    with_critic = {"gene_code": "aligned", "matching": 0, "energy": 0}
    changed = {"gene_dropout": 0.1, "own_mapping": False}[name]
    made = []
    for changes in ({}, {name: changed}):
        torch.manual_seed(0)
        alignment = Alignment(AlignmentSettings(widths=(2, 2, 2, 2), hidden=4, embedding=4), genes=GENES)
        settings = FusionGANSettings(**TINY | with_critic | changes)
        gan = FusionGAN(settings, genes=GENES, pixels=PIXELS, alignment=alignment)
        made.append((gan.state_dict(), [layer.p for layer in gan.modules() if isinstance(layer, nn.Dropout)]))
    assert made[0][1] == made[1][1]
    assert all(torch.equal(made[0][0][key], made[1][0][key]) for key in made[0][0] | made[1][0])


def test_an_odd_batch_is_fine_without_the_energy_score() -> None:
    assert FusionGANSettings(batch=7, energy=0.0).batch == 7


@pytest.mark.parametrize(
    "changes", [{"matching": 1.0}, {"energy": 1.0}, {"gene_code": "aligned"}, {"gene_code": "both"}]
)
def test_an_alignment_is_asked_for_where_it_is_needed(changes: dict[str, Any]) -> None:
    settings = FusionGANSettings(**{"matching": 0.0, "energy": 0.0, "gene_code": "mapping"} | changes)
    with pytest.raises(ValueError, match="need a trained alignment"):
        FusionGAN(settings, genes=GENES, pixels=PIXELS)


@pytest.mark.parametrize("pixels", [32, 64])
def test_sizes_that_draw(pixels: int) -> None:
    gan = FusionGAN(FusionGANSettings(**PRESETS["paper"] | TINY), genes=GENES, pixels=pixels)
    drawn = gan.synthesize(np.zeros((2, pixels, pixels)), np.zeros((2, GENES)), seed=0)
    assert drawn.image.shape == (2, pixels, pixels)


@pytest.mark.parametrize("pixels", [8, 16, 48])
def test_sizes_that_cannot_be_drawn_are_refused_at_once(pixels: int) -> None:
    # 16 pixels leave a single number at 1/16 of the resolution, which instance normalization cannot take.
    with pytest.raises(ValueError, match="pixels"):
        FusionGAN(FusionGANSettings(**PRESETS["paper"] | TINY), genes=GENES, pixels=pixels)


@pytest.mark.parametrize(
    "name",
    ["width", "discriminator_width", "code", "hidden", "learning_rate", "discriminator_learning_rate", "beta1",
     "matching", "energy", "weight_i", "lambda_background", "composition_dilation", "composition_smoothing", "erosion"],
)  # fmt: skip
def test_no_setting_may_be_negative(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        FusionGANSettings(**{name: -1})
