"""MC-GAN's networks: shapes as (settings, input, expected shape) cases, the block's equation, what the paper fixes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from radiogenesis.networks.discriminator import ThreeHeadDiscriminator
from radiogenesis.networks.mc_gan import GLU, ConditioningAugmentation, MCGANGenerator, SynthesisBlock, initialize


@pytest.mark.parametrize(
    ("width", "batch", "pixels"), [(1, 2, 32), (2, 3, 32), (1, 2, 64), (2, 1, 64), (1, 1, 128)]
)  # fmt: skip
def test_generator_shapes(width: int, batch: int, pixels: int) -> None:
    generator = MCGANGenerator(pixels=pixels, start=7, width=width).eval()
    drawn = generator(torch.randn(batch, 1, pixels, pixels), torch.randn(batch, 7))
    for plane in (drawn.image, drawn.mask, drawn.weight):
        assert plane.shape == (batch, 1, pixels, pixels)
    assert drawn.image.abs().max() <= 1
    for plane in (drawn.mask, drawn.weight):
        assert 0 <= plane.min() <= plane.max() <= 1


@pytest.mark.parametrize("pixels", [16, 40])
def test_generator_refuses_sizes(pixels: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 16 and at least 32, not {pixels}"):
        MCGANGenerator(pixels=pixels, start=4)


def test_image_and_mask_are_the_tanh_of_the_last_convolution() -> None:
    torch.manual_seed(0)
    generator = MCGANGenerator(pixels=32, start=3, width=2).eval()
    seen: list[torch.Tensor] = []
    generator.head.register_forward_hook(lambda module, given, made: seen.append(made))
    drawn = generator(torch.randn(2, 1, 32, 32), torch.randn(2, 3))
    torch.testing.assert_close(drawn.image, torch.tanh(seen[0][:, :1]))
    torch.testing.assert_close(2 * drawn.mask - 1, torch.tanh(seen[0][:, 1:]), atol=1e-6, rtol=0)


def test_the_weight_map_is_what_the_finest_gate_holds_back() -> None:
    torch.manual_seed(0)
    generator = MCGANGenerator(pixels=32, start=3, width=2).eval()
    gates: list[torch.Tensor] = []
    generator.blocks[-1].register_forward_hook(lambda module, given, made: gates.append(made[1]))
    weight = generator(torch.randn(1, 1, 32, 32), torch.randn(1, 3)).weight
    held_back = 1 - gates[0][0].mean(0)
    assert held_back.shape == (16, 16)  # half the resolution
    # Bilinear, pixel centers aligned: an inner pixel is 9/16, 3/16, 3/16 and 1/16 of its four neighbors.
    expected = (
        9 * held_back[..., 3, 5] + 3 * held_back[..., 3, 4] + 3 * held_back[..., 2, 5] + held_back[..., 2, 4]
    ) / 16
    torch.testing.assert_close(weight[0, 0, 6, 10], expected)


def test_synthesis_block_is_the_equation() -> None:
    """out = new + background * sigmoid(logits): the foreground is not gated."""
    torch.manual_seed(0)
    block = SynthesisBlock(3).eval()
    foreground, background = torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)
    encoded = block.encode(foreground)
    assert encoded.shape == (2, 6, 8, 8)
    out, gate = block(foreground, background)
    torch.testing.assert_close(gate, 1 / (1 + torch.exp(-encoded[:, 3:])))
    torch.testing.assert_close(out, encoded[:, :3] + background * gate)


def test_the_base_image_passes_four_convolutions_of_stride_two() -> None:
    generator = MCGANGenerator(pixels=64, start=3, width=2)
    convolutions = [m for m in generator.background.modules() if isinstance(m, nn.Conv2d)]
    assert [(c.in_channels, c.out_channels, c.stride) for c in convolutions] == [
        (1, 4, (2, 2)), (4, 8, (2, 2)), (8, 16, (2, 2)), (16, 32, (2, 2)),
    ]  # fmt: skip
    assert len(generator.blocks) == len(generator.up) == 4
    # Linear, batch normalization, GLU -> 16 times the width at 1/16 of the resolution.
    assert [type(m) for m in generator.start] == [nn.Linear, nn.BatchNorm1d, nn.GLU]
    assert generator.start(torch.randn(5, 3)).shape == (5, 32 * 4 * 4)


def test_conditioning_augmentation_is_one_linear_layer_with_glu() -> None:
    torch.manual_seed(0)
    augmentation = ConditioningAugmentation(6, 4)
    g = torch.randn(3, 6)
    mean, log_variance = augmentation(g)
    a = g @ augmentation.linear.weight.T + augmentation.linear.bias
    expected = a[:, :8] / (1 + torch.exp(-a[:, 8:]))
    torch.testing.assert_close(torch.cat([mean, log_variance], 1), expected)
    assert mean.shape == log_variance.shape == (3, 4)


@pytest.mark.parametrize(("pixels", "side", "channels"), [(32, 2, 32), (64, 4, 32), (128, 8, 32)])
def test_the_authors_discriminator_looks_at_a_sixteenth_with_eight_times_the_width(
    pixels: int, side: int, channels: int
) -> None:
    d = ThreeHeadDiscriminator(pixels=pixels, code=5, width=4, growth=8, side=side)
    x, m, phi = torch.randn(3, 1, pixels, pixels), torch.rand(3, 1, pixels, pixels), torch.randn(3, 5)
    pair = d.pair(x, m)
    assert pair.shape == (3, channels, side, side)
    assert d.d_i(x).shape == d.d_is(pair).shape == d.d_isg(pair, phi).shape == (3,)


def test_initial_weights_are_orthogonal() -> None:
    torch.manual_seed(0)
    generator = MCGANGenerator(pixels=32, start=3, width=2)
    initialize(generator)
    weight = generator.start[0].weight  # (numbers, 3): orthonormal columns
    torch.testing.assert_close(weight.T @ weight, torch.eye(3), atol=1e-5, rtol=0)
    kernel = generator.up[0][1].weight.flatten(1)  # fewer rows than columns: orthonormal rows
    torch.testing.assert_close(kernel @ kernel.T, torch.eye(len(kernel)), atol=1e-5, rtol=0)
    scales = torch.cat([m.weight for m in generator.modules() if isinstance(m, nn.BatchNorm2d)])
    assert scales.mean().item() == pytest.approx(1, abs=0.01)
    assert scales.std().item() == pytest.approx(0.02, rel=0.2)


def test_every_part_gets_a_gradient() -> None:
    torch.manual_seed(0)
    generator = MCGANGenerator(pixels=32, start=3, width=2)
    drawn = generator(torch.randn(4, 1, 32, 32), torch.randn(4, 3))
    (drawn.image.square().mean() + drawn.mask.mean()).backward()
    assert not [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()]


def test_autocast_does_not_round_what_heads_and_condition_say() -> None:
    torch.manual_seed(0)
    generator = MCGANGenerator(pixels=32, start=3, width=2)
    condition = ConditioningAugmentation(50, 4)
    d = ThreeHeadDiscriminator(pixels=32, code=4, width=4)
    said: list[torch.dtype] = []
    for head in (generator.head, condition.linear, d.head_i, d.head_is, d.head_isg):
        head.register_forward_hook(lambda module, given, made: said.append(made.dtype))
    x, g = torch.randn(4, 1, 32, 32), torch.randn(4, 50)
    with torch.autocast("cpu", torch.bfloat16):
        drawn = generator(x, torch.randn(4, 3))
        mean, _ = condition(g)
        pair = d.pair(drawn.image, drawn.mask)
        judged = (d.d_i(drawn.image), d.d_is(pair), d.d_isg(pair, mean))
    assert pair.dtype == torch.bfloat16  # the rest of the network is faster for it
    assert said == [torch.float32] * 5
    assert {one.dtype for one in (drawn.image, mean, *judged)} == {torch.float32}


def test_glu_is_torchs_and_keeps_the_layout() -> None:
    x = torch.randn(2, 6, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    seen = torch.randn(2, 3, 4, 4)
    made, expected = GLU()(x), nn.functional.glu(x, dim=1)
    torch.testing.assert_close(made, expected)
    ours, theirs = (torch.autograd.grad(one, x, seen)[0] for one in (made, expected))
    torch.testing.assert_close(ours, theirs)


def test_the_generator_keeps_channels_last_forward_and_backward() -> None:
    """Where a gradient has another layout than the features, batch normalization takes ten times as long on a CPU."""
    generator = MCGANGenerator(pixels=32, start=4, width=2).to(memory_format=torch.channels_last)
    seen: list[bool] = []

    def watch(module: nn.Module, given: tuple[torch.Tensor, ...], features: torch.Tensor) -> None:
        seen.append(features.is_contiguous(memory_format=torch.channels_last))
        features.register_hook(lambda g: seen.append(g.is_contiguous(memory_format=torch.channels_last)))

    normalized = [module for module in generator.modules() if isinstance(module, nn.BatchNorm2d)]
    for module in normalized:
        module.register_forward_hook(watch)
    drawn = generator(torch.rand(2, 1, 32, 32), torch.rand(2, 4))
    (drawn.image.sum() + drawn.mask.sum()).backward()
    assert len(seen) == 2 * len(normalized)
    assert all(seen)
