"""Shapes as (settings, input, expected) cases, and what each part promises."""

from typing import Literal

import pytest
import torch

from radiogenesis.networks.discriminator import PatchEncoder, ThreeHeadDiscriminator
from radiogenesis.networks.fusion import AdaIN, FusionBlock, FusionGenerator
from radiogenesis.networks.lesion_encoder import LesionEncoder
from radiogenesis.networks.lesion_statistics import mask_shape, masked_statistics, rim
from radiogenesis.networks.mapping import GeneEncoder, GeneMapping


@pytest.mark.parametrize(
    ("settings", "batch", "pixels"),
    [
        ({"width": 4}, 2, 32),
        ({"width": 4, "outer_weight": False}, 2, 64),
        ({"width": 4, "spatial_noise": False}, 3, 64),
        ({"width": 2}, 1, 128),
    ],
)
def test_generator_shapes(settings: dict[str, int], batch: int, pixels: int) -> None:
    generator = FusionGenerator(pixels=pixels, style=12, **settings)  # type: ignore[arg-type]
    noise = [torch.randn(batch, 1, side, side) for side in generator.sides]
    drawn = generator.eval()(torch.randn(batch, 1, pixels, pixels), torch.randn(batch, 12), noise)
    for plane in (drawn.image, drawn.mask, drawn.weight):
        assert plane.shape == (batch, 1, pixels, pixels)
    assert drawn.image.abs().max() <= 1
    assert drawn.mask.min() >= 0
    assert drawn.mask.max() <= 1
    assert drawn.weight.min() >= 0
    assert drawn.weight.max() <= 1


@pytest.mark.parametrize("upsampling", ["nearest", "bilinear"])
def test_features_grow_as_the_settings_say(upsampling: Literal["nearest", "bilinear"]) -> None:
    """nearest: each number becomes four; bilinear: torch's own, which has values between."""
    torch.manual_seed(0)
    generator = FusionGenerator(pixels=32, style=4, width=2, upsampling=upsampling)
    seen: list[torch.Tensor] = []
    for block in generator.blocks:
        block.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        block.register_forward_hook(lambda _, given, made: seen.append(made[0]))
    with torch.no_grad():
        generator.eval()(torch.randn(2, 1, 32, 32), torch.randn(2, 4))
    for made, given in zip(seen[1:-1:2], seen[2::2], strict=True):
        repeated = made.repeat_interleave(2, 2).repeat_interleave(2, 3)
        assert torch.equal(given, repeated) == (upsampling == "nearest")
        torch.testing.assert_close(given[..., 0, 0], made[..., 0, 0])  # a corner has no neighbors on one side


def test_generator_refuses_odd_sizes() -> None:
    with pytest.raises(ValueError, match="multiple of 16 and at least 32, not 40"):
        FusionGenerator(pixels=40, style=4)


@pytest.mark.parametrize("pixels", [32, 64, 128])
def test_discriminator_shapes(pixels: int) -> None:
    d = ThreeHeadDiscriminator(pixels=pixels, code=5, width=4)
    x, m, phi = torch.randn(3, 1, pixels, pixels), torch.rand(3, 1, pixels, pixels), torch.randn(3, 5)
    pair = d.pair(x, m)
    assert pair.shape[2:] == (4, 4)
    assert d.d_i(x).shape == d.d_is(pair).shape == d.d_isg(pair, phi).shape == (3,)


@pytest.mark.parametrize("norm", ["spectral", "batch"])
def test_batches_that_pass_together_are_judged_as_one_after_the_other(norm: Literal["spectral", "batch"]) -> None:
    """Also while training: batch normalization keeps the statistics of each batch to itself."""
    torch.manual_seed(0)
    d = ThreeHeadDiscriminator(pixels=16, code=4, width=2, norm=norm)
    x, m = ([torch.rand(3, 1, 16, 16) for _ in range(3)] for _ in range(2))
    phi = [torch.rand(3, 4) for _ in range(3)]
    for _ in range(50):  # the spectral norm is found by iterating: at its fixed point one more step changes nothing
        d.d_isg(d.pair(x[0], m[0]), phi[0])
        d.d_i(x[0])
    pairs = d.each(d.pair, x, m)
    for k in range(3):
        torch.testing.assert_close(pairs[k], d.pair(x[k], m[k]))
        torch.testing.assert_close(d.each(d.d_i, x)[k], d.d_i(x[k]))
        torch.testing.assert_close(d.each(d.d_is, pairs)[k], d.d_is(pairs[k]))
        torch.testing.assert_close(d.each(d.d_isg, pairs, phi)[k], d.d_isg(pairs[k], phi[k]))


@pytest.mark.parametrize(("norm", "passes"), [("spectral", 1), ("batch", 3)])
def test_only_without_batch_statistics_do_batches_pass_together(
    norm: Literal["spectral", "batch"], passes: int
) -> None:
    d = ThreeHeadDiscriminator(pixels=16, code=4, width=2, norm=norm)
    seen: list[int] = []
    d.image_encoder.register_forward_hook(lambda module, given, made: seen.append(len(made)))
    d.each(d.d_i, [torch.rand(2, 1, 16, 16)] * 3)
    assert seen == [6 // passes] * passes


def test_patch_encoder_refuses_sizes_that_do_not_halve_to_four() -> None:
    with pytest.raises(ValueError, match="not 48"):
        PatchEncoder(1, pixels=48, width=4)


def test_mapping_shapes_and_unit_length() -> None:
    g = torch.randn(4, 30)
    assert GeneMapping(30, hidden=8, code=6)(g).shape == (4, 6)
    encoded = GeneEncoder(30, hidden=8, embedding=6)(g)
    torch.testing.assert_close(encoded.norm(dim=1), torch.ones(4))


def test_adain_gives_each_channel_the_mean_and_scale_that_the_style_asks_for() -> None:
    torch.manual_seed(0)
    adain = AdaIN(3, 5)
    style = torch.randn(2, 5)
    out = adain(torch.randn(2, 3, 64, 64) * 7 + 2, style)
    gamma, beta = adain.affine(style).chunk(2, dim=1)
    torch.testing.assert_close(out.mean((2, 3)), beta, atol=1e-4, rtol=0)
    torch.testing.assert_close(out.std((2, 3), correction=0), (1 + gamma).abs(), atol=1e-4, rtol=0)


@pytest.mark.parametrize("outer_weight", [True, False])
def test_fusion_block_is_the_equation(outer_weight: bool) -> None:
    torch.manual_seed(0)
    block = FusionBlock(3, 4, 5, outer_weight=outer_weight, spatial_noise=False).eval()
    h, b, style = torch.randn(2, 3, 8, 8), torch.randn(2, 4, 8, 8), torch.randn(2, 5)
    out, w = block(h, b, style, None)
    encoded = block.encode(h)
    expected_w, o = torch.sigmoid(encoded[:, :4]), encoded[:, 4:]
    styled = block.adain(expected_w * o, style)
    expected = (expected_w * styled if outer_weight else styled) + (1 - expected_w) * b
    torch.testing.assert_close(w, expected_w)
    torch.testing.assert_close(out, expected)


def test_masked_statistics_against_plain_ones() -> None:
    features = torch.randn(2, 3, 6, 6, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(2, 1, 6, 6)
    mask[:, :, 1:5, 2:6] = 1
    got = masked_statistics(features, mask)
    inside = features[:, :, 1:5, 2:6].flatten(2)
    torch.testing.assert_close(got[:, :3], inside.mean(2), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(got[:, 3:], inside.std(2, correction=0), atol=1e-3, rtol=1e-3)


def test_statistics_of_an_empty_mask_are_finite() -> None:
    encoder = LesionEncoder(widths=(4, 4, 4, 4), embedding=6).eval()
    out = encoder(torch.randn(2, 1, 32, 32), torch.zeros(2, 1, 32, 32))
    assert out.isfinite().all()


def test_mask_shape_of_a_square() -> None:
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 16:48, 16:48] = 1
    root_area, perimeter, ratio = mask_shape(mask)[0].tolist()
    assert root_area == pytest.approx(4 * 0.5, rel=1e-3)
    assert perimeter == pytest.approx(2.0, rel=0.02)  # four sides of half the image
    assert ratio == pytest.approx(2.0 / (3.545 * 0.5), rel=0.02)


def test_rim_surrounds_the_edge() -> None:
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 10:22, 10:22] = 1
    band = rim(mask, reach=3)[0, 0]
    assert band[16, 8] == 1
    assert band[16, 11] == 1
    assert band[16, 16] == 0
    assert band[16, 5] == 0


def test_lesion_encoder_sees_only_the_lesion_and_its_surroundings() -> None:
    torch.manual_seed(0)
    encoder = LesionEncoder(widths=(4, 4, 4, 4), embedding=6).eval()
    x = torch.randn(1, 1, 64, 64)
    mask = torch.zeros(1, 1, 64, 64)
    mask[..., 28:36, 28:36] = 1
    elsewhere = x.clone()
    elsewhere[..., :2, :] += 5  # beyond the reach of the rim and of the convolutions at all four scales
    assert (encoder.statistics(x, mask) - encoder.statistics(elsewhere, mask)).abs().max() < 1e-5
