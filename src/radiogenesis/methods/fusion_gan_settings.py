"""The settings of the fusion GAN, and its presets; see `fusion_gan`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from radiogenesis.methods.checks import require


@dataclass(frozen=True, kw_only=True)
class FusionGANSettings:
    """Settings of the fusion GAN; the defaults are the preset `default`."""

    steps: int = 1000
    """Training steps; the paper preset counts epochs instead (500, see `epochs`)."""
    epochs: int = 0
    """If not 0, train this many passes over the training slices instead of `steps` (500 in METHODS.md section 1)."""
    batch: int = 32
    """Slices per step (16 in the paper preset, METHODS.md section 1)."""
    width: int = 16
    """Generator's channels at full resolution (32 in the paper preset)."""
    discriminator_width: int = 32
    """Discriminator's channels after its first convolution (open in the paper)."""
    discriminator_norm: Literal["batch", "spectral"] = "spectral"
    """Normalization in the discriminator: batch (paper), or spectral, which keeps its gradients of use (beyond it)."""
    code: int = 128
    """Length of the gene code phi(g) (paper, figure 4)."""
    hidden: int = 512
    """Units of the gene mapping's hidden layer (METHODS.md section 1)."""
    noise: int = 16
    """Length of the noise vector n (10 in the paper preset)."""
    outer_weight: bool = True
    """Apply the weight map after AdaIN too; the paper's figure 1b applies it before AdaIN only."""
    use_genes: bool = True
    """False shows every network the same constant in place of the genes (an ablation)."""
    adain: bool = True
    """False lets the style in at the start of the generator only (an ablation)."""
    weight_map: bool = True
    """False adds object and background features without a weight map (an ablation; with lambda_weight_map 0)."""
    decided_weight_map: bool = True
    """Start with weight maps that are nearly decided, and mostly for the background: the batch normalization of their
    logits starts at weight 3 and bias -2, not at 1 and 0 (beyond the paper)."""
    mismatched: bool = True
    """False leaves the mismatched negatives m' and g' out of the discriminator's losses (an ablation)."""
    mask_output: bool = True
    """False lets the generator draw the whole image and no mask (an ablation; with compose false and lambda_weight_map
    0). The discriminator then sees a mask of zeros beside every image, and no mismatched mask; the background counts
    outside a central disc; and the mask that critic and evaluation need is where the drawing differs from it."""
    lesion_radius: float = 0.3
    """Without a mask output: radius of the central disc that the lesion lies in, as a share of the image's side, as
    in-painting's (ours)."""
    lesion_contrast_hu: float = 100.0
    """Without a mask output: least difference from the background, in HU, that counts as lesion, as in-painting's
    (ours)."""
    own_mapping: bool = True
    """The discriminator reads a mapping of its own, of the genes or of the alignment's code, whichever styles the
    lesion; else the generator's phi(g), detached (the authors' code). No effect unless gene_code is mapping: with the
    alignment's code it always has its own."""
    gene_dropout: float = 0.5
    """Share of genes set to zero while training, 0 to 1 (beyond the paper; 0 in the paper preset). No effect with
    gene_code aligned, where no mapping reads the genes themselves."""
    spatial_noise: bool = True
    """One noise map in each fusion block, its strength learned (beyond the paper)."""
    upsampling: Literal["bilinear", "nearest"] = "bilinear"
    """How features grow from one fusion block to the next: bilinear, since nearest leaves a lattice in the texture
    (ours); nearest, as in the code of Park et al. 2018, from which section 2.1 of the paper starts (open in the paper;
    in its preset)."""
    central_mask: bool = True
    """Start from a mask in the middle of the image, where every volume has its tumor (beyond the paper)."""
    fill: bool = True
    """Draw the lesion as air of the background that is filled with tissue: chest wall and vessels, which hold no air,
    stay and the lesion merges with them, and only its inside can be darker than the background (beyond the paper)."""
    residual: bool = True
    """Where fill is off: draw the lesion as a change of the background, so that vessels go on through ground glass
    (beyond the paper)."""
    in_tissue: bool = False
    """With residual: draw the change no finer than a scanner resolves, and none where the background is black, outside
    the body (beyond the paper). On by default for other organs than the lung, which fill is made for."""
    compose: bool = True
    """Lay the drawn image over the background through the softened mask (the authors' code does; open in the paper)."""
    stay_in_lung: bool = True
    """Keep the mask out of chest wall, mediastinum and diaphragm; where fill is off, leave them as the background has
    them, too: else a lesion near the wall darkens it to have lung around itself (beyond the paper)."""
    composition_dilation: int = 7
    """Side of the square, in pixels and odd, by which the mask is dilated before composing (METHODS.md section 1)."""
    composition_smoothing: int = 5
    """Side of the square, in pixels and odd, over which the dilated mask is smoothed (METHODS.md section 1)."""
    matching: float = 0.3
    """Weight of the contrastive matching of drawn lesions with genes; needs a trained alignment (beyond the paper). At
    1, lesions are drawn that match by artifacts (docs/history/MEASURED.md)."""
    energy: float = 10.0
    """Weight of the energy score between drawn and real lesions of a patient, in the statistics that the alignment
    sees (mean over their kinds); needs a trained alignment (beyond the paper)."""
    covariance: float = 3.0
    """Weight of how far drawings vary with the gene code otherwise than it says, axis by axis. No effect without a
    canonical alignment (beyond the paper)."""
    pull: float = 8.0
    """Greatest norm of the gradient that matching, energy and covariance together send into one drawn image, and into
    one drawn mask; 0 for no limit. The discriminator's is about 0.5: statistics are hundreds of times steeper, and
    without a limit the critic's gradients outweigh the discriminator's (beyond the paper)."""
    calibrated: bool = False
    """Train with the code that the other training patients predict for a patient: unexplained variance then goes to the
    noise, and drawings for one patient differ as much as patients with such genes do. Else with the code where
    the patient's own lesions lie, and patients never seen are drawn as far from the mean as lesions are: they follow
    their genes more closely than genes deserve. No effect with a contrastive alignment (beyond the paper)."""
    train_critic: bool = False
    """Train a contrastive alignment on with the GAN, on real pairs; else it stays as it was trained."""
    gene_code: Literal["mapping", "aligned", "both"] = "aligned"
    """What styles the lesion: the paper's mapping phi(g), the alignment's gene embedding, or both side by side."""
    lambda_background: float = 10.0
    """lambda: weight of the background's L1 (METHODS.md section 1; the authors' code: 100)."""
    lambda_weight_map: float = 2.0
    """Weight of the L1 between the weight map and the softened mask: composing would else leave the map without a
    task, and figures 2c and 2g without a meaning (beyond the paper)."""
    weight_i: float = 1.0
    """Weight of the terms of D_I (1 in METHODS.md; the authors' code: 8)."""
    weight_is: float = 1.0
    """Weight of the terms of D_IS (1 in METHODS.md and in the authors' code)."""
    weight_isg: float = 1.0
    """Weight of the terms of D_ISG (1 in METHODS.md; the authors' code: 10)."""
    discriminator_shift: float = 0.0
    """The discriminator sees every image and its mask, real and drawn, moved alike by up to this share of their side,
    so that it cannot learn few patients by their place (differentiable augmentation, Zhao et al. 2020; beyond the
    paper); 0 for none."""
    background_mask: Literal["soft", "binary"] = "soft"
    """What the background's region B is made of. binary: the drawn mask cut at one half, without a gradient, as in the
    code of Park et al. 2018 (the paper, sections 2.1 and 2.3: the inverse of a binary segmentation mask, eroded; in its
    preset). soft: the drawn mask as it is, so that the loss also moves the mask, and rewards a large one (ours)."""
    erosion: int = 7
    """Side of the square, in pixels and odd, by which the inverse of the mask is eroded to B (open in the paper)."""
    learning_rate: float = 2e-3
    """Of the generator's Adam (2e-4 in the paper preset, METHODS.md section 1; the authors' code: 1e-4)."""
    discriminator_learning_rate: float = 4e-4
    """Of the discriminator's Adam (2e-4 in the paper preset, METHODS.md section 1)."""
    learning_rate_schedule: Literal["constant", "cosine"] = "cosine"
    """Of both: constant (paper), or falling to zero along a cosine over the run (beyond it)."""
    beta1: float = 0.5
    """First beta of Adam (METHODS.md section 1); the second is 0.999."""
    average: float = 0.998
    """Decay of the generator's moving average per step, whose images are the ones drawn; 0 for none (METHODS.md section
    1, beyond the paper; 0 in the paper preset)."""

    def __post_init__(self) -> None:
        require(
            self, ("steps", "width", "discriminator_width", "code", "hidden", "noise"), "at least 1", lambda v: v >= 1
        )
        require(self, ("batch",), "at least 2", lambda v: v >= 2)
        require(self, ("epochs",), "at least 0", lambda v: v >= 0)
        odd = ("composition_dilation", "composition_smoothing", "erosion")
        require(self, odd, "odd and at least 1", lambda v: v >= 1 and v % 2 == 1)
        require(self, ("gene_dropout", "beta1", "average"), "in [0, 1)", lambda v: 0 <= v < 1)
        require(self, ("discriminator_shift",), "from 0 to 0.5", lambda v: 0 <= v <= 0.5)
        positive = ("learning_rate", "discriminator_learning_rate", "lesion_radius", "lesion_contrast_hu")
        require(self, positive, "above 0", lambda v: v > 0)
        weights = (
            "matching",
            "energy",
            "covariance",
            "pull",
            "lambda_background",
            "lambda_weight_map",
            "weight_i",
            "weight_is",
            "weight_isg",
        )
        require(self, weights, "at least 0", lambda v: v >= 0)
        if self.lambda_weight_map > 0 and not self.weight_map:
            raise ValueError("without a weight_map there is nothing to guide: lambda_weight_map must be 0")
        if not self.mask_output and (self.compose or self.lambda_weight_map > 0):
            raise ValueError("without a mask_output nothing is composed or guided: compose false, lambda_weight_map 0")
        if self.matching > 0 and not self.use_genes:
            raise ValueError("without genes nobody can be matched with theirs: matching must be 0")
        if self.energy > 0 and self.batch % 2:
            raise ValueError(f"batch must be even for the energy score, which compares pairs, not {self.batch}")

    @property
    def needs_alignment(self) -> bool:
        """Whether a trained alignment must be given."""
        return self.matching > 0 or self.energy > 0 or self.gene_code != "mapping"


PAPER: dict[str, Any] = {
    "epochs": 500,
    "batch": 16,
    "width": 32,
    "noise": 10,
    "outer_weight": False,
    "own_mapping": False,
    "gene_dropout": 0.0,
    "spatial_noise": False,
    "upsampling": "nearest",
    "background_mask": "binary",
    "central_mask": False,
    "decided_weight_map": False,
    "fill": False,
    "residual": False,
    "discriminator_norm": "batch",
    "compose": False,
    "stay_in_lung": False,
    "matching": 0.0,
    "energy": 0.0,
    "covariance": 0.0,
    "pull": 0.0,
    "gene_code": "mapping",
    "lambda_weight_map": 0.0,
    "learning_rate_schedule": "constant",
    "learning_rate": 2e-4,
    "discriminator_learning_rate": 2e-4,
    "average": 0.0,
}
"""The preset `paper`: the paper as it is written, what it leaves open as in METHODS.md section 1. The registry adds how
slices are shown and which cohort it is made for."""

PIXELS_128: dict[str, Any] = {
    "steps": 4000,
    "composition_dilation": 13,
    "composition_smoothing": 9,
    "erosion": 13,
}
"""The preset `pixels-128`: the default for cohorts of 128 x 128 pixels, whose squares are the same in millimeters. A
night on a CPU."""

PRESETS: dict[str, dict[str, Any]] = {"default": {}, "paper": PAPER, "pixels-128": PIXELS_128}
