"""Lesions darker than what is around them, as metastases of the liver are: the same margin, seen upside down."""

from __future__ import annotations

import torch
from scipy.special import ndtr

from radiogenesis.phenotypes.lesion import FEATURES, lesion_features

SIDE, PIXEL_MM = 64, 1.0


def test_a_dark_lesion_has_the_margin_and_texture_of_its_negative() -> None:
    line = torch.arange(SIDE) - (SIDE - 1) / 2
    distance = torch.hypot(line[:, None], line)
    mask = (distance < 14).float()[None, None]
    noise = 15 * torch.randn(1, 1, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    step = torch.from_numpy(ndtr((14 - distance.numpy()) / 1.8)).float()  # 1.8 mm: 4.6 mm from 10 to 90 %
    bright, dark = -400 + 250 * step + noise, -150 - 250 * step - noise
    of_bright = lesion_features(bright, mask, PIXEL_MM)
    of_dark = lesion_features(dark, mask, PIXEL_MM, darker=True)
    assert abs(of_dark["margin"].item() - 1.8 * 2.5631) < 1.0
    for name in set(FEATURES) - {"attenuation", "cavitation", "heterogeneity"}:
        torch.testing.assert_close(of_dark[name], of_bright[name], rtol=0.05, atol=0.05)
    assert torch.isfinite(of_dark["heterogeneity"]).all()
    assert torch.isnan(lesion_features(dark, mask, PIXEL_MM)["margin"]).all()  # in the lung there are none
    also = lesion_features(bright, mask, PIXEL_MM, darker=True)
    torch.testing.assert_close(also["margin"], of_bright["margin"], rtol=0.02, atol=0.02)
