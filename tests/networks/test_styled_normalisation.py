"""The style's normalization against torch's own, and the memory layout that makes it quick."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from radiogenesis.networks.fusion import AdaIN, FusionGenerator, _StyledNormalization


def inputs(dtype: torch.dtype, layout: torch.memory_format) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = [(2, 3, 4, 5), (2, 3, 1, 1), (2, 3, 1, 1)]
    o, gamma, beta = (torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes)
    return [t.requires_grad_() for t in ((3 * o + 1).contiguous(memory_format=layout), gamma, beta)]


@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(("dtype", "error"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_it_is_instance_normalization_then_scale_and_shift(
    dtype: torch.dtype, error: float, layout: torch.memory_format
) -> None:
    ours, exact = inputs(dtype, layout), [t.detach().double().requires_grad_() for t in inputs(dtype, layout)]
    drawn, expected = _StyledNormalization.apply(*ours), exact[1] * F.instance_norm(exact[0]) + exact[2]
    torch.testing.assert_close(drawn.double(), expected, atol=error, rtol=error)
    seen = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    found, truth = torch.autograd.grad(drawn, ours, seen), torch.autograd.grad(expected, exact, seen.double())
    for ours_, theirs in zip(found, truth, strict=True):
        assert ours_.dtype == dtype
        torch.testing.assert_close(ours_.double(), theirs, atol=4 * error, rtol=4 * error)


def test_its_gradient_is_that_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(_StyledNormalization.apply, inputs(torch.float64, torch.channels_last))


def test_adain_gives_each_channel_the_styles_mean_and_deviation() -> None:
    adain = AdaIN(3, 4).double()
    o, style = inputs(torch.float64, torch.contiguous_format)[0] * 1e3, torch.randn(2, 4, dtype=torch.float64)
    gamma, beta = adain.affine(style).chunk(2, dim=1)
    styled = adain(o, style)
    torch.testing.assert_close(styled.mean((2, 3)), beta)
    torch.testing.assert_close(styled.std((2, 3), correction=0), (1 + gamma).abs())


def test_the_generator_keeps_channels_last_forward_and_backward() -> None:
    """Where a gradient has another layout than the features, batch normalization takes ten times as long on a CPU."""
    generator = FusionGenerator(pixels=32, style=4, width=4).to(memory_format=torch.channels_last)
    seen: list[bool] = []

    def watch(module: torch.nn.Module, given: tuple[torch.Tensor, ...], features: torch.Tensor) -> None:
        seen.append(features.is_contiguous(memory_format=torch.channels_last))
        features.register_hook(lambda g: seen.append(g.is_contiguous(memory_format=torch.channels_last)))

    normalized = [module for module in generator.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for module in normalized:
        module.register_forward_hook(watch)
    drawn = generator(torch.rand(2, 1, 32, 32), torch.rand(2, 4))
    (drawn.image.sum() + drawn.mask.sum() + drawn.weight.sum()).backward()
    assert len(seen) == 2 * len(normalized)
    assert all(seen)
