"""The settings of MC-GAN, and its presets; see `mc_gan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from radiogenesis.methods.checks import require


@dataclass(frozen=True, kw_only=True)
class MCGANSettings:
    """Settings of MC-GAN; the defaults are the preset `default`: as published, but narrower and shorter."""

    steps: int = 1000
    """Training steps; the paper preset counts epochs instead (see `epochs`)."""
    epochs: int = 0
    """If not 0, train this many passes over the training slices instead of `steps` (1500 in the authors' code)."""
    batch: int = 32
    """Slices per step (the authors' code)."""
    width: int = 16
    """Generator's channels at full resolution (64 in the paper preset, the authors' code)."""
    discriminator_width: int = 32
    """Discriminator's channels after its first convolution (64 in the paper preset, the authors' code)."""
    discriminator_norm: Literal["batch", "spectral"] = "batch"
    """Normalization in the discriminator: batch (the authors' code), or spectral, as the fusion GAN's (beyond the
    paper)."""
    code: int = 128
    """Length of the conditioning code (METHODS.md section 2); of the discriminator's mapping where gene_code is
    aligned."""
    noise: int = 100
    """Length of the noise vector z (METHODS.md section 2; 16 in the preset additions, as the fusion GAN's)."""
    gene_code: Literal["mapping", "aligned"] = "mapping"
    """What the generator starts from beside the noise: the conditioning augmentation of the genes (paper), or in its
    place the code of a trained alignment, which is not drawn and has no KL term; the discriminator then reads a mapping
    of that code of its own, as the fusion GAN's does (beyond the paper)."""
    spatial_noise: bool = False
    """One noise map in each synthesis block, its strength learned (beyond the paper)."""
    central_mask: bool = False
    """Start from a mask in the middle of the image, where every volume has its tumor (beyond the paper)."""
    fill: bool = False
    """Draw the lesion as air of the background that is filled with tissue, as the fusion GAN does (beyond the
    paper)."""
    residual: bool = False
    """Where fill is off: draw the lesion as a change of the background, so that vessels go on through ground glass
    (beyond the paper)."""
    in_tissue: bool = False
    """With residual: draw the change no finer than a scanner resolves, and none where the background is black, outside
    the body (beyond the paper). On by default for other organs than the lung, which fill is made for."""
    compose: bool = False
    """Lay the drawn image over the background through the softened mask, as the fusion GAN does (beyond the paper)."""
    stay_in_lung: bool = False
    """Keep the mask out of chest wall, mediastinum and diaphragm; where fill is off, leave them as the background has
    them, too (beyond the paper)."""
    composition_dilation: int = 7
    """Side of the square, in pixels and odd, by which the mask is dilated before composing, as the fusion GAN's."""
    composition_smoothing: int = 5
    """Side of the square, in pixels and odd, over which the dilated mask is smoothed, as the fusion GAN's."""
    matching: float = 0.0
    """Weight of the contrastive matching of drawn lesions with genes; needs a trained alignment (beyond the paper; 0.3
    in the preset additions, as the fusion GAN's)."""
    energy: float = 0.0
    """Weight of the energy score between drawn and real lesions of a patient, in the statistics that the alignment
    sees; needs a trained alignment (beyond the paper; 10 in the preset additions, as the fusion GAN's)."""
    covariance: float = 0.0
    """Weight of how far drawings vary with the gene code otherwise than it says, axis by axis. No effect without a
    canonical alignment (beyond the paper; 3 in the preset additions, as the fusion GAN's)."""
    pull: float = 8.0
    """Greatest norm of the gradient that matching, energy and covariance together send into one drawn image, and into
    one drawn mask; 0 for no limit. No effect without them (beyond the paper; as the fusion GAN's)."""
    real_terms: Literal["one", "per_pair"] = "one"
    """Real terms of a discriminator's head per step: one each (METHODS.md section 2), or one for each kind of pair it
    judges (the authors' code: D_I sees real images in three kinds of pairs and D_IS real pairs in two, so that they
    weigh three and two times as much; per_pair in the paper preset)."""
    weight_kl: float = 2.0
    """Weight of the divergence of the conditioning code from a standard normal (METHODS.md section 2). No effect with
    gene_code aligned."""
    weight_i: float = 2.0
    """Weight of the terms of D_I (the authors' code)."""
    weight_is: float = 1.0
    """Weight of the terms of D_IS (the authors' code)."""
    weight_isg: float = 2.0
    """Weight of the terms of the head that also reads the condition (the authors' code)."""
    lambda_background: float = 15.0
    """Weight of the background's L1 (METHODS.md section 2)."""
    erosion: int = 5
    """Side, in pixels, of the square that the region outside the drawn mask is eroded by, odd (the authors' code)."""
    learning_rate: float = 2e-4
    """Of the generator's Adam (METHODS.md section 2; 2e-3 in the preset additions, as the fusion GAN's)."""
    discriminator_learning_rate: float = 2e-4
    """Of the discriminator's Adam (METHODS.md section 2; 4e-4 in the preset additions, as the fusion GAN's)."""
    learning_rate_schedule: Literal["constant", "cosine"] = "constant"
    """Of both: constant (paper), or falling to zero along a cosine over the run (beyond it)."""
    beta1: float = 0.5
    """First beta of Adam (the authors' code); the second is 0.999."""
    average: float = 0.999
    """Decay of the generator's moving average per step, whose images are the ones drawn (METHODS.md section 2)."""

    def __post_init__(self) -> None:
        sizes = ("steps", "width", "discriminator_width", "code", "noise")
        require(self, sizes, "at least 1", lambda v: v >= 1)
        require(self, ("batch",), "at least 2", lambda v: v >= 2)
        require(self, ("epochs",), "at least 0", lambda v: v >= 0)
        odd = ("erosion", "composition_dilation", "composition_smoothing")
        require(self, odd, "odd and at least 1", lambda v: v >= 1 and v % 2 == 1)
        require(self, ("beta1", "average"), "in [0, 1)", lambda v: 0 <= v < 1)
        require(self, ("learning_rate", "discriminator_learning_rate"), "above 0", lambda v: v > 0)
        weights = ("weight_kl", "weight_i", "weight_is", "weight_isg", "lambda_background")
        require(self, (*weights, "matching", "energy", "covariance", "pull"), "at least 0", lambda v: v >= 0)
        if self.energy > 0 and self.batch % 2:
            raise ValueError(f"batch must be even for the energy score, which compares pairs, not {self.batch}")

    @property
    def needs_alignment(self) -> bool:
        """Whether a trained alignment must be given."""
        return self.matching > 0 or self.energy > 0 or self.gene_code != "mapping"


PAPER: dict[str, Any] = {"epochs": 1500, "width": 64, "discriminator_width": 64, "real_terms": "per_pair"}
"""The preset `paper`: the authors' configuration for 128 x 128 pixels."""

ADDITIONS: dict[str, Any] = {
    "discriminator_norm": "spectral",
    "noise": 16,
    "gene_code": "aligned",
    "spatial_noise": True,
    "central_mask": True,
    "fill": True,
    "residual": True,
    "compose": True,
    "stay_in_lung": True,
    "matching": 0.3,
    "energy": 10.0,
    "covariance": 3.0,
    "learning_rate": 2e-3,
    "discriminator_learning_rate": 4e-4,
    "learning_rate_schedule": "cosine",
}
"""The preset `additions`: what the fusion GAN's default has beyond its paper, with the same values, but what belongs
to its fusion block (the guided weight map, and how it begins). What then differs is the architecture of Xu et al.
(2020), and what either paper has of its own: first weights, weights of the losses, the background's region."""

PRESETS: dict[str, dict[str, Any]] = {"default": {}, "paper": PAPER, "additions": ADDITIONS}
