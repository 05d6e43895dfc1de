"""The in-painting networks: shapes as (settings, input, expected shape) cases, and how far a patch sees."""

from __future__ import annotations

import pytest
import torch

from radiogenesis.networks.inpainting import InpaintingGenerator, PatchDiscriminator


@pytest.mark.parametrize(("width", "batch", "pixels"), [(2, 2, 32), (1, 3, 64), (4, 1, 48), (1, 1, 128)])
def test_generator_shapes(width: int, batch: int, pixels: int) -> None:
    filled = InpaintingGenerator(pixels=pixels, width=width).eval()(torch.randn(batch, 1, pixels, pixels))
    assert filled.shape == (batch, 1, pixels, pixels)
    assert filled.abs().max() <= 1


@pytest.mark.parametrize("pixels", [16, 40])
def test_generator_refuses_sizes(pixels: int) -> None:
    with pytest.raises(ValueError, match=f"multiple of 16 and at least 32, not {pixels}"):
        InpaintingGenerator(pixels=pixels)


@pytest.mark.parametrize(("width", "pixels"), [(2, 32), (3, 64), (1, 128)])
def test_discriminator_judges_patches(width: int, pixels: int) -> None:
    d = PatchDiscriminator(width=width)
    x, y = torch.randn(2, 1, pixels, pixels), torch.randn(2, 1, pixels, pixels)
    assert d(x, y).shape == (2, pixels // 8, pixels // 8)


def test_a_patch_is_38_pixels_wide() -> None:
    torch.manual_seed(0)
    d = PatchDiscriminator(width=4).eval()
    x = torch.randn(1, 1, 128, 128, requires_grad=True)
    d(x, torch.randn(1, 1, 128, 128))[0, 8, 8].backward()
    assert x.grad is not None
    rows = torch.nonzero(x.grad[0, 0].any(1)).flatten()
    assert rows[-1] - rows[0] + 1 == 38


def test_every_skip_reaches_the_output() -> None:
    """The features of every resolution have a say in the picture, and so has every weight."""
    torch.manual_seed(0)
    generator = InpaintingGenerator(pixels=32, width=2)
    kept: list[torch.Tensor] = []

    def keep(module: object, given: object, made: torch.Tensor) -> None:
        made.retain_grad()
        kept.append(made)

    for stage in generator.down:
        stage.register_forward_hook(keep)
    generator(torch.randn(4, 1, 32, 32)).square().mean().backward()
    assert len(kept) == 5
    assert all(features.grad is not None and features.grad.any() for features in kept)
    assert not [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()]


def test_autocast_does_not_round_what_the_heads_say() -> None:
    torch.manual_seed(0)
    generator, discriminator = InpaintingGenerator(pixels=32, width=2), PatchDiscriminator(width=2)
    said: list[torch.dtype] = []
    for head in (generator.head, discriminator.layers[-1]):
        head.register_forward_hook(lambda module, given, made: said.append(made.dtype))
    x = torch.randn(4, 1, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        discriminator(generator(x), x)
    assert said == [torch.float32] * 2
