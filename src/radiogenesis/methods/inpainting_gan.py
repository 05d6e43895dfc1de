"""In-painting: the center of a slice is erased and filled with a lesion (Jin et al. 2018), here in 2-D.

METHODS.md section 2. The center sphere of the volume becomes a disc of the slice. The generator learns to give a
lesion slice back from its surroundings; to draw, the disc of a background is erased and filled, and outside it the
background stays as it is. Genes have no part in it, and neither has chance: the generator has no noise, so it draws
the same lesion on a background whatever the genes and the seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from skimage.filters import threshold_otsu
from torch import Tensor, nn

from radiogenesis.methods import losses
from radiogenesis.methods.checks import require
from radiogenesis.methods.drawing import in_chunks, require_pairs
from radiogenesis.methods.images import compose, disc, images_from_hu, soften, to_hu
from radiogenesis.methods.protocols import Batch, LossRecord, Player, Synthesis
from radiogenesis.networks.inpainting import InpaintingGenerator, PatchDiscriminator


@dataclass(frozen=True, kw_only=True)
class InpaintingGANSettings:
    """Settings of in-painting; the defaults are the preset `default`."""

    steps: int = 1000
    """Training steps; the paper preset counts epochs instead (see `epochs`)."""
    epochs: int = 0
    """If not 0, train this many passes over the training slices instead of `steps` (open; the paper preset takes the
    500 of METHODS.md section 1)."""
    batch: int = 32
    """Slices per step (open; 16 in the paper preset)."""
    width: int = 16
    """Generator's channels at full resolution (open; 64 in the paper preset, as in pix2pix)."""
    discriminator_width: int = 32
    """Discriminator's channels after its first convolution (open; 64 in the paper preset, as in pix2pix)."""
    erased: float = 0.3
    """Radius of the erased disc, as a share of the image's side, when training and when drawing (open). 0.3 of 60 mm is
    18 mm: nearly every lesion slice fits in, and the ring of 1.5 radii, in which METHODS.md measures, in the image."""
    lambda_l1: float = 100.0
    """Weight of the multi-mask L1 (METHODS.md section 2)."""
    mask_ratio: float = 5.0
    """Weight of the erased region in the multi-mask L1, where the whole image has 1 (a start, METHODS.md section 2)."""
    dilation: float = 0.05
    """How far the erased region is dilated in the multi-mask L1, so that the seam is learned, as a share of the image's
    side (METHODS.md section 2: a few voxels; 0.05 of 64 pixels is 3.2 pixels)."""
    lesion_contrast_hu: float = 100.0
    """Least rise in density, in HU, that counts as lesion when the lesion is looked for in a drawing (ours)."""
    learning_rate: float = 2e-4
    """Of the generator's Adam (open; as in pix2pix)."""
    discriminator_learning_rate: float = 2e-4
    """Of the discriminator's Adam (open; as in pix2pix)."""
    beta1: float = 0.5
    """First beta of Adam (open; as in pix2pix); the second is 0.999."""
    average: float = 0.0
    """Decay of a moving average of the generator per step; 0, as published, for none."""

    def __post_init__(self) -> None:
        require(self, ("steps", "width", "discriminator_width"), "at least 1", lambda v: v >= 1)
        require(self, ("batch",), "at least 2", lambda v: v >= 2)
        require(self, ("epochs",), "at least 0", lambda v: v >= 0)
        require(self, ("erased",), "between 0.1 and 0.5", lambda v: 0.1 <= v <= 0.5)
        require(self, ("beta1", "average"), "in [0, 1)", lambda v: 0 <= v < 1)
        positive = ("learning_rate", "discriminator_learning_rate", "lesion_contrast_hu")
        require(self, positive, "above 0", lambda v: v > 0)
        require(self, ("lambda_l1", "mask_ratio", "dilation"), "at least 0", lambda v: v >= 0)


PAPER: dict[str, Any] = {"epochs": 500, "batch": 16, "width": 64, "discriminator_width": 64}
"""The preset `paper`: as wide as pix2pix. The registry adds how slices are shown and which cohort it is made for."""

PRESETS: dict[str, dict[str, Any]] = {"default": {}, "paper": PAPER}

ERASED_VALUE = 0.0  # the middle of the window, -250 HU: neither lung nor soft tissue, so that the hole is plain (open)


def loss_multi_mask(x: Tensor, filled: Tensor, region: Tensor, ratio: float) -> Tensor:
    """L_1 = E || x - G(y) ||_1 + ratio * E || M * (x - G(y)) ||_1, both means over all pixels (METHODS.md section 2).

    Args:
        x, filled: the slice and G(y), (B, 1, P, P).
        region: M, the erased disc dilated over its seam, (1, 1, P, P).
    """
    off = (x - filled).abs()
    return off.mean() + ratio * (region * off).mean()


VESSEL_SHARE = 0.12  # of the image's side: what is thinner in a background is a vessel, not the chest wall (ours)


def find_lesion(
    drawn: NDArray[np.float32], background: NDArray[np.float32], region: NDArray[np.bool_], *, contrast: float
) -> NDArray[np.bool_]:
    """The lesion in a drawing of a method that draws no mask: where the slice became denser inside the erased disc.

    1. The rise in density over the background without its vessels (gray opening, else a lesion drawn over a vessel had
       a notch there), smoothed (3 x 3).
    2. Cut inside the disc at Otsu's threshold, about half-way between lesion and no rise at all, or at `contrast`
       where that is more. Where nothing rose so much there is no lesion.
    3. Opened (3 x 3). Of the connected parts the one that is largest when each pixel counts as much as it is far from
       the disc's edge: every volume is centered on its tumor, and chest wall that was redrawn lies at the edge.
    4. Its holes filled: cavities belong to the lesion.

    Args:
        drawn, background: (P, P) HU.
        region: (P, P), the erased disc.
        contrast: HU.
    """
    width = 1 + 2 * round(VESSEL_SHARE * len(drawn) / 2)
    rise = ndimage.uniform_filter(np.maximum(drawn - ndimage.grey_opening(background, (width, width)), 0), 3) * region
    cut = max(contrast, float(threshold_otsu(rise))) if rise.any() else contrast
    parts, count = ndimage.label(ndimage.binary_opening(rise > cut, np.ones((3, 3))))
    if not count:
        return np.zeros(region.shape, bool)
    depth = ndimage.distance_transform_edt(region)
    chosen = 1 + int(np.argmax(ndimage.sum_labels(depth, parts, range(1, count + 1))))
    return np.asarray(ndimage.binary_fill_holes(parts == chosen), bool)


@dataclass(frozen=True)
class Step:
    """What discriminator and generator share in one training step.

    Attributes:
        x: the lesion slices (B, 1, P, P).
        y: the same, erased.
        filled: G(y).
    """

    x: Tensor
    y: Tensor
    filled: Tensor


class InpaintingGAN(nn.Module):
    """In-painting with its losses (Jin et al. 2018). Implements Trainable and Synthesizer.

    Args:
        settings: see InpaintingGANSettings.
        pixels: side of the images, a multiple of 16 of at least 32.

    Attributes:
        erased_radius: of the erased disc, in pixels; Xu et al. (2020) measure within 1.5 times this radius.
    """

    erased: Tensor
    seam: Tensor

    def __init__(self, settings: InpaintingGANSettings, *, pixels: int) -> None:
        super().__init__()
        self.settings, self.pixels = settings, pixels
        self.erased_radius = settings.erased * pixels
        self.generator = InpaintingGenerator(pixels=pixels, width=settings.width)
        self.discriminator = PatchDiscriminator(width=settings.discriminator_width)
        self.register_buffer("erased", disc(pixels, self.erased_radius), persistent=False)
        seam = disc(pixels, self.erased_radius + settings.dilation * pixels)
        self.register_buffer("seam", seam, persistent=False)

    # Training

    views = 1

    def averaged(self) -> nn.Module:
        return self.generator

    def players(self) -> Sequence[Player]:
        s = self.settings
        betas = (s.beta1, 0.999)
        d_parameters, g_parameters = list(self.discriminator.parameters()), list(self.generator.parameters())
        return (
            Player("discriminator", d_parameters, self.discriminator_loss, s.discriminator_learning_rate, betas),
            Player("generator", g_parameters, self.generator_loss, s.learning_rate, betas),
        )

    def erase(self, x: Tensor) -> Tensor:
        """y: the slice with its central disc erased."""
        return x + self.erased * (ERASED_VALUE - x)

    def prepare(self, batch: Batch) -> Step:
        """Erase and fill once for both players. Genes, masks and backgrounds are not looked at."""
        y = self.erase(batch.x)
        return Step(batch.x, y, self.generator(y))

    def discriminator_loss(self, step: Step) -> LossRecord:
        """L_D = E (D(x, y) - 1)^2 + E D(G(y), y)^2, over all patches (least squares, as the other two; open)."""
        d = self.discriminator
        total = losses.to_one(d(step.x, step.y)) + losses.to_zero(d(step.filled.detach(), step.y))
        return LossRecord(total, {"L_D": total.detach()})

    def generator_loss(self, step: Step) -> LossRecord:
        """L_G = E (D(G(y), y) - 1)^2 + lambda L_1."""
        s = self.settings
        terms = {
            "D": losses.to_one(self.discriminator(step.filled, step.y)),
            "L1": loss_multi_mask(step.x, step.filled, self.seam, s.mask_ratio) * s.lambda_l1,
        }
        total = torch.stack(list(terms.values())).sum()
        return LossRecord(total, {name: term.detach() for name, term in terms.items()})

    # Use

    def synthesize(
        self, backgrounds: NDArray[np.floating[Any]], expression: NDArray[np.floating[Any]], *, seed: int
    ) -> Synthesis:
        """Backgrounds (B, P, P) in HU and scaled genes (B, G) -> B drawn lesions, whatever the genes and the seed.

        The mask is found in the drawing (see find_lesion) and softened as every real one; the weight map is the erased
        disc, outside which the background stays as it is.
        """
        require_pairs(backgrounds, expression)
        hu = np.asarray(backgrounds, np.float32)

        def draw(rows: slice) -> tuple[Tensor]:
            x_b = images_from_hu(hu[rows]).to(self.erased.device)
            return (to_hu(compose(self.generator(self.erase(x_b)), x_b, self.erased)),)

        (image,) = in_chunks(self, len(hu), draw)
        region = self.erased[0, 0].cpu().numpy()
        contrast = self.settings.lesion_contrast_hu
        found = np.stack([find_lesion(*pair, region > 0, contrast=contrast) for pair in zip(image, hu, strict=True)])
        mask = soften(torch.from_numpy(found.astype(np.float32)).unsqueeze(1)).squeeze(1).numpy()
        weight = np.broadcast_to(region, image.shape).copy()
        return Synthesis(image, mask, weight, hu, seed)
