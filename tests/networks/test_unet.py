"""The U-Net: shapes, its blocks as the paper counts them, and what it refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from radiogenesis.networks.unet import UNet


@pytest.mark.parametrize(
    ("widths", "shape"),
    [((2, 3, 4, 5, 6), (2, 1, 64, 96)), ((4, 4, 4, 4, 4), (1, 1, 32, 32)), ((3, 5), (1, 1, 12, 8))],
)
def test_shapes(widths: tuple[int, ...], shape: tuple[int, ...]) -> None:
    assert UNet(widths=widths, dropout=0.1)(torch.zeros(shape)).shape == shape


def test_it_has_the_papers_layers() -> None:
    net = UNet(widths=(2, 2, 2, 2, 2), dropout=0.5)
    kinds = [type(layer) for layer in net.modules()]
    assert kinds.count(nn.Conv2d) == 5 * 2 + 5 * 2 + 1
    assert kinds.count(nn.BatchNorm2d) == 5
    assert kinds.count(nn.Dropout2d) == 5


def test_signals_keep_their_size_from_the_start() -> None:
    torch.manual_seed(0)
    net = UNet(widths=(8, 8, 8, 8, 8), dropout=0.0)
    seen: list[float] = []
    for block in net.decoder:
        block.register_forward_hook(lambda module, given, made: seen.append(made.detach().square().mean().item()))
    net(torch.randn(2, 1, 64, 64))
    assert len(seen) == 5
    assert min(seen) > 0.2  # with torch's own start 0.01 and less
    assert max(seen) < 5


def test_normalization_in_the_decoder_is_a_choice() -> None:
    kinds = [type(layer) for layer in UNet(widths=(2, 2, 2), dropout=0.5, decoder_norm=True).modules()]
    assert kinds.count(nn.BatchNorm2d) == 3 + 3


def test_a_pixel_sees_far_and_the_fine_detail_comes_through() -> None:
    net = UNet(widths=(2, 3, 4, 5, 6), dropout=0.0).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.abs_()  # so that no ReLU cuts a path off
    image = torch.ones(1, 1, 128, 128, requires_grad=True)
    net(image)[0, 0, 64, 64].backward()
    assert image.grad is not None
    seen = image.grad[0, 0].abs() > 0
    assert seen[64, 64]
    assert seen.any(1).sum() > 64


@pytest.mark.parametrize("shape", [(1, 1, 48, 64), (1, 2, 64, 64), (1, 64, 64)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="multiples of 32"):
        UNet(widths=(2, 2, 2, 2, 2), dropout=0.0)(torch.zeros(shape))
