"""Radiomic features: batches, frames, degenerate masks, margin, settings."""

import math

import pytest
import torch

from radiogenesis.errors import SettingError
from radiogenesis.phenotypes.morphology import blur
from radiogenesis.phenotypes.radiomics import FAMILIES, FEATURES, RadiomicsSettings, radiomic_features


def lesions(count: int, side: int = 48, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    image = -300 + 400 * blur(torch.randn(count, side, side, generator=generator), 1.0) * 3
    axis = torch.arange(side) - side / 2
    ragged = blur(torch.randn(count, side, side, generator=generator), 2.0) * 20
    radius = torch.hypot(axis[:, None], axis) + ragged
    mask = radius < 3 + torch.rand(count, 1, 1, generator=generator) * side * 0.3
    return image[:, None], mask[:, None]


def disc(radius: float, sigma: float, *, pixel: float = 0.5, side: int = 96) -> tuple[torch.Tensor, torch.Tensor]:
    """A disc of 50 HU in lung of -850 HU, its edge a Gaussian integral; all lengths in mm."""
    axis = (torch.arange(side) - side / 2) * pixel
    depth = torch.hypot(axis[:, None], axis) - radius
    image = -850 + 900 * torch.special.ndtr(-depth / sigma)
    return image[None, None], (depth < 0)[None, None]


def assert_same(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor], **tolerance: float) -> None:
    assert list(found) == list(expected)
    for name, value in found.items():
        torch.testing.assert_close(
            value, expected[name], equal_nan=True, msg=lambda m, n=name: f"{n}: {m}", **tolerance
        )


def test_a_batch_is_its_elements():
    image, mask = lesions(9)
    together = radiomic_features(image, mask, 0.7)
    singles = [radiomic_features(image[i : i + 1], mask[i : i + 1], 0.7) for i in range(9)]
    assert_same(together, {name: torch.cat([s[name] for s in singles]) for name in together}, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("constant", ["BATCH", "MOST_CELLS"])
def test_the_size_of_the_batches_does_not_matter(monkeypatch, constant):
    image, mask = lesions(7)
    together = radiomic_features(image, mask, 0.7)
    monkeypatch.setattr(f"radiogenesis.phenotypes.radiomics.lesions.{constant}", 2)
    assert_same(radiomic_features(image, mask, 0.7), together, rtol=1e-5, atol=1e-5)


def test_a_lesion_may_lie_anywhere():
    """All but the margin, which looks at the surroundings, sees the lesion only."""
    settings = RadiomicsSettings(families=tuple(f for f in FAMILIES if f != "margin"))
    image, mask = lesions(4, side=48)
    moved = torch.full((4, 1, 90, 90), 2000.0), torch.zeros(4, 1, 90, 90, dtype=torch.bool)
    for i, (down, right) in enumerate([(0, 0), (42, 42), (0, 42), (20, 10)]):
        moved[0][i, :, down : down + 48, right : right + 48] = image[i]
        moved[1][i, :, down : down + 48, right : right + 48] = mask[i]
    expected = radiomic_features(image, mask, 0.7, settings)
    assert_same(radiomic_features(*moved, 0.7, settings), expected, rtol=1e-5, atol=1e-5)


def test_quarter_turns_change_nothing():
    settings = RadiomicsSettings(families=tuple(f for f in FAMILIES if f != "margin"))
    image, mask = lesions(3)
    expected = radiomic_features(image, mask, 0.7, settings)
    turned = radiomic_features(image.rot90(1, (2, 3)), mask.rot90(1, (2, 3)), 0.7, settings)
    assert_same(turned, expected, rtol=1e-5, atol=1e-5)


def test_degenerate_masks():
    image = lesions(5)[0]
    mask = torch.zeros(5, 1, 48, 48)
    mask[1, 0, 7, 9] = 1  # a single pixel
    mask[2, 0, :9, :7] = 1  # in the corner
    mask[3] = 1  # everything
    mask[4, 0, 0, 0] = mask[4, 0, 47, 47] = 1  # two pixels far apart
    found = radiomic_features(image, mask, 0.7)
    assert set(found) == set(FEATURES)
    assert all(value.shape == (5,) and value.dtype == torch.float32 for value in found.values())
    assert all(math.isnan(value[0]) for value in found.values())
    for name, feature in FEATURES.items():
        if feature.family == "glcm":
            assert math.isnan(found[name][1]), name
            assert math.isnan(found[name][4]), name
        if feature.family != "margin":
            assert found[name][2].isfinite(), name
            assert found[name][3].isfinite(), name
    one = {name: value[1].item() for name, value in found.items()}
    assert one["firstorder_mean"] == pytest.approx(image[1, 0, 7, 9].item())
    assert one["firstorder_variance"] == one["firstorder_skewness"] == one["firstorder_kurtosis"] == 0
    assert one["shape_mesh_area"] == pytest.approx(0.5 * 0.7**2)
    assert one["glrlm_run_percentage"] == one["glszm_zone_percentage"] == 1
    assert found["shape_maximum_diameter"][4].item() == pytest.approx(0.7 * math.hypot(48, 47), rel=1e-6)
    assert found["glszm_zone_percentage"][4] == 1


def test_no_lesions_at_all():
    found = radiomic_features(torch.zeros(0, 1, 8, 8), torch.zeros(0, 1, 8, 8), 1.0)
    assert list(found) == list(FEATURES)
    assert all(value.shape == (0,) for value in found.values())


def test_pixels_outside_the_range_and_not_finite_are_left_out_of_intensity_only():
    image, mask = torch.full((1, 1, 12, 12), 20.0), torch.zeros(1, 1, 12, 12)
    mask[0, 0, 2:10, 2:10] = 1
    image[0, 0, 3, 3], image[0, 0, 4, 4] = 3000.0, math.nan
    found = radiomic_features(image, mask, 1.0, RadiomicsSettings(range_hu=(-1000.0, 400.0)))
    assert found["shape_pixel_area"] == 64
    assert found["firstorder_maximum"] == 20
    assert found["firstorder_energy"] == 62 * 400
    assert found["glcm_joint_average"] == 41  # (20 + 1000) / 25, rounded down, from 1
    nothing = radiomic_features(image, mask, 1.0, RadiomicsSettings(range_hu=(500.0, 600.0)))
    assert nothing["firstorder_mean"].isnan()
    assert nothing["glrlm_run_percentage"].isnan()
    assert nothing["shape_pixel_area"] == 64


def test_bins_are_as_many_as_asked_for():
    image = torch.tensor([0.0, 1, 2, 3, 4, 5, 6, 8]).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    found = radiomic_features(image, torch.ones(1, 1, 8, 8), 1.0, RadiomicsSettings(bins=4, families=("firstorder",)))
    # floor(4 x / 8) + 1: levels 1 1 2 2 3 3 4 4
    assert found["firstorder_entropy"].item() == pytest.approx(2.0)
    assert found["firstorder_uniformity"].item() == pytest.approx(0.25)


@pytest.mark.parametrize("sigma", [1.2, 2.0, 3.0])
def test_margin_of_a_blurred_disc(sigma):
    found = {name: value.item() for name, value in radiomic_features(*disc(14.0, sigma), 0.5).items()}
    assert found["margin_width"] == pytest.approx(2.5631 * sigma, rel=0.1)
    assert found["margin_contrast"] == pytest.approx(900, rel=0.03)
    assert found["margin_offset"] == pytest.approx(0, abs=0.2)
    assert found["margin_gradient"] == pytest.approx(900 / (sigma * math.sqrt(2 * math.pi)), rel=0.15)
    assert found["margin_aerated_share"] > 0.5


def test_margin_of_a_disc_at_the_chest_wall():
    image, mask = disc(14.0, 1.0)
    free = radiomic_features(image, mask, 0.5)
    image[..., :48] = 40.0
    attached = radiomic_features(image, mask, 0.5)
    assert attached["margin_aerated_share"].item() == pytest.approx(free["margin_aerated_share"].item() / 2, rel=0.05)
    assert attached["margin_gradient_deviation"] > 3 * free["margin_gradient_deviation"]


def test_shape_of_a_disc():
    found = {name: value.item() for name, value in radiomic_features(*disc(15.0, 1.0), 0.5).items()}
    assert found["shape_mesh_area"] == pytest.approx(math.pi * 225, rel=0.01)
    assert found["shape_maximum_diameter"] == pytest.approx(30, rel=0.02)
    assert found["shape_major_axis"] == pytest.approx(30, rel=0.01)  # 4 standard deviations of a disc: its diameter
    assert found["shape_elongation"] == pytest.approx(1, abs=0.01)


def test_first_order_is_differentiable_in_the_image():
    image, mask = lesions(2)
    image.requires_grad_()
    settings = RadiomicsSettings(families=("firstorder",))
    radiomic_features(image, mask, 0.7, settings)["firstorder_mean"].sum().backward()
    assert image.grad is not None
    expected = mask / mask.flatten(1).sum(1)[:, None, None, None]
    torch.testing.assert_close(image.grad, expected)


def test_families_are_chosen():
    found = radiomic_features(*lesions(2), 0.7, RadiomicsSettings(families=("glcm", "shape")))
    assert {FEATURES[name].family for name in found} == {"glcm", "shape"}


def test_the_table_of_features():
    assert all(name.startswith(f"{feature.family}_") for name, feature in FEATURES.items())
    codes = [feature.ibsi for feature in FEATURES.values() if feature.ibsi]
    assert len(set(codes)) == len(codes)
    assert all(len(code) == 4 for code in codes)
    found = radiomic_features(*lesions(3), 0.7)
    for name, feature in FEATURES.items():
        if feature.same_as:
            factor = 2 if name == "glcm_sum_average" else 1
            torch.testing.assert_close(found[name], factor * found[feature.same_as])


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"bin_width_hu": 0.0}, "bin_width_hu"),
        ({"bins": 0}, "bins"),
        ({"range_hu": (400.0, -1000.0)}, "range_hu"),
        ({"directions": "sum"}, "average or merge"),
        ({"families": ("shape", "fractal")}, "fractal"),
    ],
)
def test_settings_out_of_range(wrong, says):
    with pytest.raises(SettingError, match=says):
        RadiomicsSettings(**wrong)


def test_shapes_must_fit():
    with pytest.raises(ValueError, match="must both be"):
        radiomic_features(torch.zeros(2, 1, 8, 8), torch.zeros(2, 8, 8), 1.0)
