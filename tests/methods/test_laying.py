"""How drawings are laid into their backgrounds; `test_images` has the single steps, and the GANs' tests the whole."""

from __future__ import annotations

import torch
from gan_inputs import make_batch

from radiogenesis.methods.fusion_gan import FusionGANSettings
from radiogenesis.methods.laying import changed


def test_only_the_inside_of_a_lesion_is_darker_than_its_background() -> None:
    b = make_batch()
    output = -torch.ones_like(b.background)
    mask = torch.zeros_like(b.background)
    mask[..., 8:24, 8:24] = 1
    image = changed(b.background, output, mask, torch.zeros_like(mask), FusionGANSettings(stay_in_lung=False))
    darker = image < b.background
    assert darker[..., 9:23, 9:23].all()
    darker[..., 9:23, 9:23] = False
    assert not darker.any()


def test_in_tissue_a_change_is_as_smooth_as_a_scan_and_leaves_the_outside_black() -> None:
    settings = FusionGANSettings(fill=False, stay_in_lung=False, in_tissue=True)
    background = torch.full((1, 1, 64, 64), -0.5)
    background[..., 40:] = -1.0  # outside of the head
    nowhere = torch.zeros_like(background)
    even = changed(background, torch.full_like(background, 0.2), nowhere, nowhere, settings)
    torch.testing.assert_close(even[..., :40], torch.full_like(even[..., :40], -0.1))
    assert (even[..., 40:] == -1).all()
    row = torch.arange(64)
    lattice = 0.2 * (-1.0) ** (row[:, None] + row)[None, None]
    change = changed(background, lattice, nowhere, nowhere, settings) - background
    assert change[..., 4:-4, 4:36].abs().max() < 0.1 * 0.4
