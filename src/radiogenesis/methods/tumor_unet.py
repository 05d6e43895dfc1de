"""Stage 1 of Li, Sui et al. 2021: a U-Net finds the tumor in whole CT slices (section III.B; METHODS.md section 3).

The preset `paper` trains what the paper describes: slices that contain tumor, the soft Dice of equation 4 alone, Adam
1e-3, 500 epochs. The preset `default` adds, each as a setting, slices without tumor, cross-entropy, and distortions of
the slices, without which nothing that is learned on one cohort holds in another.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor, nn
from torch.nn import functional as F

from radiogenesis.methods.checks import require
from radiogenesis.methods.images import images_from_hu, with_scanner_noise
from radiogenesis.methods.protocols import LossRecord, Player, SliceBatch
from radiogenesis.networks.unet import UNet

EPSILON = 1e-6
"""Of equation 4."""


@dataclass(frozen=True, kw_only=True)
class TumorUNetSettings:
    """Settings of the tumor U-Net; the defaults are the preset `default`."""

    steps: int = 600
    """Training steps; the paper preset counts epochs instead (500, see `epochs`)."""
    epochs: int = 0
    """If not 0, train this many passes over the training slices instead of `steps` (Li, Sui et al.: 500)."""
    batch: int = 12
    """Slices per step (open in the paper)."""
    widths: tuple[int, int, int, int, int] = (12, 24, 48, 72, 96)
    """Channels of the five encoder blocks, from full to 1/16 of the resolution; the decoder mirrors them (open in the
    paper; the paper preset has those of the first U-Net, Ronneberger et al. 2015)."""
    dropout: float = 0.2
    """Share of channels set to zero in the decoder while training, 0 to 1 (open in the paper)."""
    decoder_norm: bool = True
    """Batch normalization in the decoder as well as in the encoder (beyond the paper; off in its preset)."""
    he_start: bool = True
    """Start the convolutions with the spread of He et al. 2015, without which the deep blocks are not heard (open in
    the paper; its preset has torch's own start)."""
    first_logit: float = -5.0
    """The logit from which training starts. Tumor is one pixel of a whole slice in hundreds; as long as the
    probabilities sum up to far more than that, Dice has hardly a gradient for anything else (beyond the paper; 0 in its
    preset)."""
    empty_share: float = 0.3
    """Share of each batch that shows lung without tumor (0 in the paper preset: slices that contain tumor)."""
    dice_over: Literal["image", "batch"] = "batch"
    """Sum equation 4 over each image, as in the paper, or over the whole batch, where slices without tumor count."""
    cross_entropy: float = 0.5
    """Weight of the pixels' mean binary cross-entropy beside the Dice loss (beyond the paper; 0 in its preset)."""
    turn_degrees: float = 10.0
    """Slices are turned by up to this angle while training (beyond the paper)."""
    resize: float = 0.25
    """Slices are enlarged or reduced by up to this share while training (beyond the paper)."""
    shift: float = 0.1
    """Slices are shifted by up to this share of their side while training (beyond the paper)."""
    gamma: float = 0.25
    """Gray levels, from air at 0 to the window's end at 1, are raised to a power between 1 - this and 1 + this while
    training: dense lungs and aerated ones, fat and muscle (beyond the paper)."""
    scanner_noise_hu: float = 40.0
    """Noise of up to this standard deviation, in HU, is added while training (beyond the paper)."""
    learning_rate: float = 3e-3
    """Of Adam (1e-3 in Li, Sui et al., over 500 epochs, and in the paper preset)."""
    schedule: Literal["constant", "cosine"] = "cosine"
    """Keep the learning rate, as in the paper, or let it fall to zero along a cosine."""
    weight_decay: float = 1e-3
    """Decoupled weight decay (beyond the paper; 0 in the paper preset)."""

    def __post_init__(self) -> None:
        require(self, ("steps", "batch"), "at least 1", lambda v: v >= 1)
        require(self, ("epochs",), "at least 0", lambda v: v >= 0)
        require(self, ("widths",), "five numbers of at least 1", lambda v: len(v) == 5 and min(v) >= 1)
        require(self, ("dropout", "empty_share", "resize", "gamma"), "in [0, 1)", lambda v: 0 <= v < 1)
        require(self, ("learning_rate",), "above 0", lambda v: v > 0)
        beyond = ("cross_entropy", "turn_degrees", "shift", "scanner_noise_hu", "weight_decay")
        require(self, beyond, "at least 0", lambda v: v >= 0)


PAPER: dict[str, Any] = {
    "epochs": 500,
    "widths": (64, 128, 256, 512, 1024),
    "dropout": 0.5,
    "decoder_norm": False,
    "he_start": False,
    "first_logit": 0.0,
    "learning_rate": 1e-3,
    "empty_share": 0.0,
    "dice_over": "image",
    "cross_entropy": 0.0,
    "turn_degrees": 0.0,
    "resize": 0.0,
    "shift": 0.0,
    "gamma": 0.0,
    "scanner_noise_hu": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
}
"""The preset `paper`. The registry adds slices as they are, in epochs."""

PRESETS: dict[str, dict[str, Any]] = {"default": {}, "paper": PAPER}


@dataclass(frozen=True, kw_only=True)
class FindSettings:
    """From the U-Net's probabilities to tumors."""

    threshold: float = 0.5
    """A voxel is tumor from this probability on, 0 to 1."""
    smallest_ml: float = 0.3
    """Smaller pieces are no tumor, in ml (a ball of 8 mm has 0.3 ml)."""
    lung_mm: float = 5.0
    """A piece must touch the lungs or come this near to them, in mm; others lie on the table or in the abdomen."""
    most: int = 5
    """So many pieces are kept at most, those with the largest sum of probabilities."""
    whole_lung_mm2: float = 0.0
    """Slices with at least so much lung are looked at, in square mm; 0: as in the cohort that it was trained on."""

    def __post_init__(self) -> None:
        require(self, ("threshold",), "between 0 and 1", lambda v: 0 < v < 1)
        require(self, ("smallest_ml", "lung_mm", "whole_lung_mm2"), "at least 0", lambda v: v >= 0)
        require(self, ("most",), "at least 1", lambda v: v >= 1)


def soft_dice(p: Tensor, t: Tensor, *, over: Literal["image", "batch"]) -> Tensor:
    """Dice = 2 sum_i p_i t_i / (sum_i p_i + sum_i t_i + epsilon), the mean over images (Li, Sui et al., equation 4).

    Args:
        p: (B, 1, H, W) predicted, in [0, 1].
        t: (B, 1, H, W) true, 0 or 1.
        over: what the sums run over: each image's pixels, or those of the whole batch.
    """
    pixels = (1, 2, 3) if over == "image" else (0, 1, 2, 3)
    both, either = (p * t).sum(pixels), p.sum(pixels) + t.sum(pixels)
    return (2 * both / (either + EPSILON)).mean()


def bent(image: Tensor, gamma: float) -> Tensor:
    """Each image raised to a random power from 1 - gamma to 1 + gamma, its ends kept: (B, 1, H, W) in [-1, 1]."""
    power = 1 + gamma * (2 * torch.rand((len(image), 1, 1, 1), device=image.device) - 1)
    return 2 * ((image + 1) / 2).clamp(0, 1) ** power - 1


class TumorUNet(nn.Module):
    """Finds tumors in whole slices. Implements Trainable, on whole slices.

    Args:
        settings: see TumorUNetSettings.
        pixels: side of the slices.

    Raises:
        ValueError: slices that five poolings do not divide.
    """

    views = 1

    def __init__(self, settings: TumorUNetSettings, *, pixels: int) -> None:
        super().__init__()
        if pixels % 32:
            raise ValueError(f"whole slices of {pixels} pixels: five poolings need a multiple of 32")
        self.settings, self.pixels = settings, pixels
        self.unet = UNet(
            widths=settings.widths,
            dropout=settings.dropout,
            decoder_norm=settings.decoder_norm,
            he_start=settings.he_start,
        )
        nn.init.constant_(self.unet.to_logit.bias, settings.first_logit)  # type: ignore[arg-type]

    def players(self) -> Sequence[Player]:
        s = self.settings
        return (
            Player(
                "unet", list(self.parameters()), self.loss, s.learning_rate, weight_decay=s.weight_decay,
                schedule=s.schedule,
            ),
        )  # fmt: skip

    def prepare(self, batch: SliceBatch) -> SliceBatch:
        """The batch, each slice turned, resized and shifted by chance, its gray levels bent, with noise."""
        s = self.settings
        image, tumor = batch.image, batch.tumor
        if s.turn_degrees or s.resize or s.shift:
            grid = self._distortion(image)
            air = F.grid_sample(image + 1, grid, align_corners=False) - 1  # beyond the slice is air
            image, tumor = air, (F.grid_sample(tumor, grid, align_corners=False) > 0.5).to(tumor.dtype)
        if s.gamma:
            image = bent(image, s.gamma)
        return SliceBatch(with_scanner_noise(image, s.scanner_noise_hu), tumor)

    def _distortion(self, image: Tensor) -> Tensor:
        """Where each pixel is taken from: (B, H, W, 2)."""
        s, device = self.settings, image.device
        angle, size, across, along = (torch.rand(4, len(image), device=device) * 2 - 1).unbind()
        angle, size = angle * math.radians(s.turn_degrees), 1 + size * s.resize
        cosine, sine = angle.cos() / size, angle.sin() / size
        across, along = across * 2 * s.shift, along * 2 * s.shift  # the grid runs from -1 to 1
        rows = [torch.stack([cosine, -sine, across], 1), torch.stack([sine, cosine, along], 1)]
        return F.affine_grid(torch.stack(rows, 1), list(image.shape), align_corners=False)

    def averaged(self) -> nn.Module | None:
        return None

    def loss(self, batch: SliceBatch) -> LossRecord:
        """1 - Dice, and the cross-entropy where it has a weight."""
        s = self.settings
        logits = self.unet(batch.image).float()
        dice = soft_dice(logits.sigmoid(), batch.tumor, over=s.dice_over)
        total, terms = 1 - dice, {"dice": dice.detach()}
        if s.cross_entropy:
            entropy = F.binary_cross_entropy_with_logits(logits, batch.tumor)
            total = total + s.cross_entropy * entropy
            terms["cross_entropy"] = entropy.detach()
        return LossRecord(total, terms)

    @torch.no_grad()
    def probability(self, images: NDArray[np.number]) -> NDArray[np.float32]:
        """Whole slices (N, S, S) in HU -> the probability of tumor (N, S, S).

        Raises:
            ValueError: slices of another size than it was trained on.
        """
        if images.ndim != 3 or images.shape[1:] != (self.pixels, self.pixels):
            raise ValueError(f"whole slices {images.shape}, and it was trained on {self.pixels} x {self.pixels} pixels")
        self.eval()
        device = self.unet.to_logit.weight.device
        found = np.zeros(images.shape, np.float32)
        for start in range(0, len(images), 16):
            x = images_from_hu(images[start : start + 16]).to(device)
            found[start : start + 16] = self.unet(x).float().sigmoid().squeeze(1).cpu().numpy()
        return found


def separate(
    probability: NDArray[np.floating],
    lungs: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    settings: FindSettings,
) -> NDArray[np.int32]:
    """The tumors in a stack of slices: pieces at the lungs that hang together, the most likely first.

    Args:
        probability: (Z, Y, X).
        lungs: (Z, Y, X), found without an outline.
        spacing_mm: between voxels along (z, y, x).
        settings: threshold, smallest size, distance from the lungs, largest number of pieces.

    Returns:
        (Z, Y, X): 0 where there is none, 1 for the piece with the largest sum of probabilities, 2 for the next.
    """
    pieces, count = ndimage.label(probability >= settings.threshold, np.ones((3, 3, 3)))
    ml = np.bincount(pieces.ravel(), minlength=count + 1) * float(np.prod(spacing_mm)) / 1000
    weight = np.bincount(pieces.ravel(), weights=probability.ravel(), minlength=count + 1)
    large = (piece for piece in np.argsort(-weight, kind="stable") if piece and ml[piece] >= settings.smallest_ml)
    boxes = ndimage.find_objects(pieces)
    at_lung = (p for p in large if near(pieces, p, boxes[p - 1], lungs, spacing_mm, settings.lung_mm))
    rank = np.zeros(count + 1, np.int32)
    for place, piece in enumerate(islice(at_lung, settings.most), start=1):
        rank[piece] = place
    return rank[pieces]


def near(
    pieces: NDArray[np.integer[Any]],
    piece: int,
    box: tuple[slice, ...],
    lungs: NDArray[np.bool_],
    spacing_mm: tuple[float, float, float],
    distance_mm: float,
) -> bool:
    """Whether a piece overlaps the lungs, touches them, or comes within `distance_mm` of them.

    Args:
        pieces: (Z, Y, X) numbered pieces.
        piece: the number of one.
        lungs: (Z, Y, X).
        box: around the piece; the distance is measured in its surroundings only, since a whole chest takes seconds.
    """
    reach = [math.floor(distance_mm / step) + 1 for step in spacing_mm]
    around = tuple(slice(max(edge.start - more, 0), edge.stop + more) for edge, more in zip(box, reach, strict=True))
    lung, inside = lungs[around], pieces[around] == piece
    if not lung.any():
        return False
    within = ndimage.distance_transform_edt(~lung, sampling=spacing_mm) <= distance_mm
    return bool((inside & (within | ndimage.binary_dilation(lung))).any())
