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
