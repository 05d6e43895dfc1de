"""The presets `paper` against the papers, line by line: setting -> (value in the preset, what the paper has and where).

What a paper does not say is "open in the paper", with where the value comes from instead. "no effect" marks a setting
that another value in the same preset switches off. METHODS.md is the project's reading of the papers. The code of Park
et al. 2018 is public (MC_GAN, its model for 128 x 128 pixels); Jin et al. 2018 is known through METHODS.md, section 2.
"""

from __future__ import annotations

from typing import Any

Rows = dict[str, tuple[Any, str]]

# What training has in common (TrainSettings), as far as a preset touches it.

_SHOWN: Rows = {
    "sampling": ("epochs", "open in the paper: how slices are drawn; epochs are counted (METHODS.md section 1)"),
    "least_area": (0.0, "section 3: slices with nodule presence, all of them"),
    "augment": (False, "open in the paper: sections 2.3 and 3 name no augmentation"),
    "quarter_turns": (True, "no effect: nothing is turned or mirrored"),
    "soft_masks": (False, "section 2.3: the segmentation m itself; section 2.1: a binary mask"),
    "validation": (0.05, "open in the paper: all 130 patients are trained on"),
    "test": (0.25, "open in the paper: nobody is held out, here a quarter is so that there is something to measure"),
}

_SHOWN_BY_PARK: Rows = _SHOWN | {
    "sampling": ("epochs", "the code of Park et al.: every image once in an epoch, shuffled"),
    "augment": (True, "the code of Park et al.: image and mask are mirrored by chance; its crops of 3 % are left out"),
    "quarter_turns": (False, "the code of Park et al.: from left to right only"),
    "soft_masks": (False, "the code of Park et al.: masks are cut at one fifth, 0 or 1"),
}

_SHOWN_BY_JIN: Rows = _SHOWN | {
    "least_area": (0.0, "open in the paper: METHODS.md section 2 leaves nothing out"),
    "augment": (False, "open in the paper: METHODS.md section 2 names no augmentation"),
    "soft_masks": (False, "no effect: no mask is looked at"),
    "validation": (0.05, "open in the paper: as the others in the comparison"),
    "test": (0.25, "open in the paper: as the others in the comparison"),
}

_SHOWN_BY_SUI: Rows = {
    "sampling": ("epochs", "section III.C: the model is trained for 4k epochs, section III.D: for 20k"),
    "least_area": (0.0, "section III.B: each CT image which contains a tumor"),
    "augment": (False, "section V: data augmentation is future work"),
    "quarter_turns": (True, "no effect: nothing is turned or mirrored"),
    "soft_masks": (True, "no effect on any network: only the tumor's box is read from the mask (section III.B)"),
    "validation": (0.0, "section III.C: train and validation data only, 8 : 2"),
    "test": (0.2, "section III.C: the ratio of train and validation data is 8 : 2, of different patients"),
}

# The methods' own settings.

FUSION: Rows = _SHOWN | {
    "steps": (1000, "no effect: epochs are counted"),
    "epochs": (500, "open in the paper: METHODS.md section 1"),
    "batch": (16, "open in the paper: METHODS.md section 1"),
    "width": (32, "open in the paper: channels are not given"),
    "discriminator_width": (32, "open in the paper: channels are not given"),
    "discriminator_norm": ("batch", "section 2.3: convolution, batch normalization, and leaky ReLU"),
    "code": (128, "figure 4: the gene code has 128 numbers"),
    "hidden": (512, "section 2.1: two FC layers; their units are open in the paper (METHODS.md section 1)"),
    "noise": (10, "section 2.1: a noise vector n; its length is open in the paper (METHODS.md section 1)"),
    "outer_weight": (False, "figure 1b and section 2.2: the weight map acts before AdaIN"),
    "use_genes": (True, "section 2.1: the raw gene data g"),
    "adain": (True, "section 2.2: an adaptive instance normalization layer"),
    "weight_map": (True, "section 2.2: the first half of the code is a weight map"),
    "decided_weight_map": (False, "section 2.2 names no such start"),
    "mismatched": (True, "section 2.3: mismatched gene code and mismatched segmentation mask"),
    "mask_output": (True, "section 2.1: it also produces a segmentation mask"),
    "lesion_radius": (0.3, "no effect: there is a mask output"),
    "lesion_contrast_hu": (100.0, "no effect: there is a mask output"),
    "own_mapping": (False, "section 2.3: the second encoder's output is combined with the gene code phi(g)"),
    "gene_dropout": (0.0, "section 2.1 names no dropout"),
    "spatial_noise": (False, "section 2.1: the noise is a vector only"),
    "upsampling": (
        "nearest",
        "section 2.2: upsampling; its kind is open in the paper (the code of Park et al.)",
    ),
    "central_mask": (False, "section 2.1 names no such start"),
    "discriminator_shift": (0.0, "section 2.3 names no such thing"),
    "fill": (False, "section 2.1: it generates a synthetic image"),
    "residual": (False, "section 2.1: it generates a synthetic image"),
    "compose": (False, "section 2.2: the two are added in every block, nothing after the last"),
    "in_tissue": (False, "no effect: residual is off"),
    "stay_in_lung": (False, "section 2.2 names no such limit"),
    "composition_dilation": (7, "no effect: nothing is composed"),
    "composition_smoothing": (5, "no effect: nothing is composed"),
    "matching": (0.0, "section 2.3: L_G has no such term"),
    "energy": (0.0, "section 2.3: L_G has no such term"),
    "covariance": (0.0, "section 2.3: L_G has no such term"),
    "pull": (0.0, "no effect: there is neither matching nor energy"),
    "calibrated": (False, "no effect: there is no alignment"),
    "train_critic": (False, "section 2.3: there is no such critic"),
    "gene_code": ("mapping", "section 2.1: phi(g)"),
    "lambda_background": (10.0, "section 2.3: lambda; its value is open in the paper (METHODS.md section 1)"),
    "lambda_weight_map": (0.0, "section 2.3: L_G has no such term"),
    "weight_i": (1.0, "section 2.3: L_DI has no other weight"),
    "weight_is": (1.0, "section 2.3: L_DIS has no other weight"),
    "weight_isg": (1.0, "section 2.3: L_DISG has no other weight"),
    "background_mask": ("binary", "sections 2.1 and 2.3: the inverse of a binary mask, morphologically eroded"),
    "erosion": (7, "section 2.3: eroded; by how much is open in the paper"),
    "learning_rate": (2e-4, "open in the paper: METHODS.md section 1"),
    "discriminator_learning_rate": (2e-4, "open in the paper: METHODS.md section 1"),
    "learning_rate_schedule": ("constant", "open in the paper: section 2.3 names no schedule"),
    "beta1": (0.5, "open in the paper: METHODS.md section 1"),
    "average": (0.0, "section 2.3 names no moving average"),
}

MC_GAN: Rows = _SHOWN_BY_PARK | {
    "discriminator_norm": ("batch", "the code of Park et al."),
    "gene_code": ("mapping", "METHODS.md section 2: conditioning augmentation"),
    "spatial_noise": (False, "METHODS.md section 2: the noise is a vector only"),
    "central_mask": (False, "METHODS.md section 2 names no such start"),
    "fill": (False, "METHODS.md section 2: it generates an image"),
    "residual": (False, "METHODS.md section 2: it generates an image"),
    "compose": (False, "METHODS.md section 2: the two are added in every block, nothing after the last"),
    "in_tissue": (False, "no effect: residual is off"),
    "stay_in_lung": (False, "METHODS.md section 2 names no such limit"),
    "composition_dilation": (7, "no effect: nothing is composed"),
    "composition_smoothing": (5, "no effect: nothing is composed"),
    "matching": (0.0, "METHODS.md section 2 names no such term"),
    "energy": (0.0, "METHODS.md section 2 names no such term"),
    "covariance": (0.0, "METHODS.md section 2 names no such term"),
    "pull": (8.0, "no effect: matching and energy are 0"),
    "real_terms": ("per_pair", "the code of Park et al. adds up a loss for each kind of pair"),
    "learning_rate_schedule": ("constant", "the code of Park et al."),
    "steps": (1000, "no effect: epochs are counted"),
    "epochs": (1500, "the code of Park et al."),
    "batch": (32, "the code of Park et al."),
    "width": (64, "the code of Park et al."),
    "discriminator_width": (64, "the code of Park et al."),
    "code": (128, "METHODS.md section 2; the code of Park et al."),
    "noise": (100, "METHODS.md section 2; the code of Park et al."),
    "weight_kl": (2.0, "METHODS.md section 2; the code of Park et al."),
    "weight_i": (2.0, "the code of Park et al."),
    "weight_is": (1.0, "the code of Park et al."),
    "weight_isg": (2.0, "the code of Park et al."),
    "lambda_background": (15.0, "METHODS.md section 2; the code of Park et al."),
    "erosion": (5, "the code of Park et al."),
    "learning_rate": (2e-4, "METHODS.md section 2; the code of Park et al."),
    "discriminator_learning_rate": (2e-4, "METHODS.md section 2; the code of Park et al."),
    "beta1": (0.5, "the code of Park et al."),
    "average": (0.999, "METHODS.md section 2; the code of Park et al."),
}

INPAINTING: Rows = _SHOWN_BY_JIN | {
    "steps": (1000, "no effect: epochs are counted"),
    "epochs": (500, "open in the paper: as Xu et al. in METHODS.md section 1"),
    "batch": (16, "open in the paper: as Xu et al. in METHODS.md section 1"),
    "width": (64, "open in the paper: as in pix2pix"),
    "discriminator_width": (64, "open in the paper: as in pix2pix"),
    "erased": (0.3, "METHODS.md section 2: the center sphere is erased; its radius is open in the paper"),
    "lambda_l1": (100.0, "METHODS.md section 2: L1 weight 100"),
    "mask_ratio": (5.0, "METHODS.md section 2: the ratio of the masks is open in the paper, 5 is a start"),
    "dilation": (0.05, "METHODS.md section 2: dilated by a few voxels"),
    "lesion_contrast_hu": (100.0, "no effect on training: how the lesion is found in a drawing"),
    "learning_rate": (2e-4, "open in the paper: as in pix2pix"),
    "discriminator_learning_rate": (2e-4, "open in the paper: as in pix2pix"),
    "beta1": (0.5, "open in the paper: as in pix2pix"),
    "average": (0.0, "METHODS.md section 2 names no moving average"),
}

AUTOENCODER: Rows = _SHOWN_BY_SUI | {
    "steps": (400, "no effect: epochs are counted"),
    "epochs": (4000, "section III.C: 4k epochs"),
    "batch": (16, "open in the paper"),
    "ltr_pixels": (128, "section III.B: the TR at size of (128, 128), the TTR resized to (64, 64)"),
    "ltr_share": (1.0, "section III.B: the crop is the whole slice of a cohort of 90 mm"),
    "widths": ((32, 64, 128), "section IV: 192 features of the first two blocks; their shares are open in the paper"),
    "head": ("grid", "section III.C: a padding operator smooths the difference between encoder's output and gene"),
    "code": (64, "no effect: there is no dense head"),
    "components": (8, "no effect: there is no components head"),
    "gene_scale": ("together", "section III.C: the padded gene is scaled to [0, 1]"),
    "centered_decoder": (False, "equation 5: the decoder is given the genes"),
    "hidden": (256, "no effect: the head is the grid"),
    "dropout": (0.0, "figure 3 and section III.C name no dropout"),
    "turns": (1, "equation 5: one prediction of a slice"),
    "shrink": (1.0, "equation 5: the prediction as it is"),
    "scanner_noise_hu": (0.0, "section III.C names no noise"),
    "start_from_mean": (False, "section III.C names no such start"),
    "true_genes": (0.0, "equation 9 has no such term"),
    "perceptual": ("vgg16", "equation 6: VGG16 pre-trained on ImageNet, block5 conv3"),
    "vgg16_weights": ("", "no effect: where the file lies"),
    "learning_rate": (1e-3, "section III.C: 0.001"),
    "weight_decay": (0.0, "section III.C: Adam, and no decay is named"),
}

METAGENE: Rows = _SHOWN_BY_SUI | {
    "steps": (1500, "no effect: epochs are counted"),
    "epochs": (20000, "section III.D: 20k epochs"),
    "batch": (32, "open in the paper"),
    "region_pixels": (128, "section III.B: the LTR at size of (128, 128)"),
    "metagenes": (100, "figure 4 and section IV: 100 metagenes"),
    "clustering": ("kmeans", "section IV: clustered like Gevaert et al.; how is open in the paper"),
    "noise": (100, "figure 4: noise with length 100"),
    "spatial_noise": (False, "figure 4: the noise is a vector only"),
    "mask": ("threshold", "figure 4: the output is an image, no mask"),
    "width": (32, "open in the paper: channels are not given"),
    "discriminator_width": (64, "open in the paper: channels are not given"),
    "discriminator_norm": ("batch", "open in the paper: as published networks of that time"),
    "mismatch": (0.0, "equation 2 has no such term"),
    "generator_objective": ("minimax", "equation 2: the generator minimizes E log(1 - D)"),
    "metagene_dropout": (0.0, "section III.D names no dropout"),
    "learning_rate": (1e-3, "section III.D: 0.001"),
    "discriminator_learning_rate": (1e-3, "section III.D: 0.001"),
    "beta1": (0.9, "section III.D: Adam, whose own is 0.9"),
    "average": (0.0, "section III.D names no moving average"),
}

UNET: Rows = _SHOWN_BY_SUI | {
    "sampling": ("epochs", "section III.B: trained for 500 epochs"),
    "validation": (0.05, "open in the paper: 2332 images for training and testing"),
    "test": (0.25, "open in the paper: 2332 images for training and testing"),
    "soft_masks": (True, "no effect: whole slices are never softened (equation 4: t_i is 0 or 1)"),
    "steps": (600, "no effect: epochs are counted"),
    "epochs": (500, "section III.B: 500 epochs"),
    "batch": (12, "open in the paper"),
    "widths": (
        (64, 128, 256, 512, 1024),
        "section III.B: five blocks; channels are open in the paper",
    ),
    "dropout": (0.5, "section III.B: a dropout layer; its share is open in the paper"),
    "decoder_norm": (False, "section III.B: batch normalization in the encoder's blocks only"),
    "he_start": (False, "section III.B names no such start"),
    "first_logit": (0.0, "section III.B names no such start"),
    "empty_share": (0.0, "section III.B: each CT image which contains a tumor"),
    "dice_over": ("image", "equation 4: N is the number of pixels in an image"),
    "cross_entropy": (0.0, "section III.B: Dice loss"),
    "turn_degrees": (0.0, "section V: data augmentation is future work"),
    "resize": (0.0, "section V: data augmentation is future work"),
    "shift": (0.0, "section V: data augmentation is future work"),
    "gamma": (0.0, "section V: data augmentation is future work"),
    "scanner_noise_hu": (0.0, "section V: data augmentation is future work"),
    "learning_rate": (1e-3, "section III.B: 0.001"),
    "schedule": ("constant", "section III.B names no schedule"),
    "weight_decay": (0.0, "section III.B: Adam, and no decay is named"),
}

TABLES: dict[str, Rows] = {
    "fusion-gan": FUSION,
    "mc-gan": MC_GAN,
    "inpainting-gan": INPAINTING,
    "gene-autoencoder": AUTOENCODER,
    "metagene-gan": METAGENE,
    "tumor-unet": UNET,
}

# The cohort that each preset is made for (SamplingSettings); None where any will do.

_WHOLE_SLICES: Rows = {
    "whole_pixels": (None, "no effect: whole slices are not trained on"),
    "whole_field_mm": (None, "no effect: whole slices are not trained on"),
    "whole_every_mm": (None, "no effect: whole slices are not trained on"),
    "whole_lung_mm2": (None, "no effect: whole slices are not trained on"),
}

_OF_ALL: Rows = {
    "organ": (None, "open in the paper: lungs, which is the default"),
    "window": (None, "open in the paper: that of the organ"),
    "lesions": (None, "open in the paper: one tumor a patient, which is the default"),
    "least_lesion_ml": (None, "no effect: of several lesions only"),
}

_OF_XU: Rows = (
    _WHOLE_SLICES
    | _OF_ALL
    | {
        "pixels": (128, "open in the paper: METHODS.md section 1"),
        "field_of_view_mm": (60.0, "section 3: 60 x 60 x 60 mm"),
        "boundary_mm": ((5.0, 25.0), "section 3: 5 to 25 mm from the mask boundary"),
        "middle_in_lung": (False, "section 3: the distance is the center's, slices are any of the volume"),
        "background_centers": (None, "open in the paper: how many centers a scan has"),
        "slices_per_center": (20, "section 3: 20 random slices of each volume"),
        "min_area_mm2": (0.0, "section 3: slices with nodule presence"),
        "seed": (None, "open in the paper"),
    }
)

_REGIONS: Rows = (
    _WHOLE_SLICES
    | _OF_ALL
    | {
        "pixels": (128, "section III.B: the TR at size of (128, 128)"),
        "field_of_view_mm": (90.0, "section III.B: 128 pixels of the scan; about 0.7 mm each"),
        "boundary_mm": (None, "no effect: backgrounds are not trained on"),
        "middle_in_lung": (None, "no effect: backgrounds are not trained on"),
        "background_centers": (None, "no effect: backgrounds are not trained on"),
        "slices_per_center": (None, "no effect: backgrounds are not trained on"),
        "min_area_mm2": (None, "open in the paper: how small a tumor counts"),
        "seed": (None, "no effect: it draws the backgrounds"),
    }
)

_WHOLE: Rows = dict.fromkeys(_REGIONS, (None, "no effect: whole slices only are trained on")) | {
    "whole_pixels": (512, "open in the paper: the CT's own, which have 512"),
    "whole_field_mm": (None, "open in the paper: the scan's own"),
    "whole_every_mm": (None, "open in the paper: 2332 images"),
    "whole_lung_mm2": (None, "section III.B: images which contain lung; how much is open in the paper"),
}

COHORTS: dict[str, Rows] = {
    "fusion-gan": _OF_XU,
    "mc-gan": _OF_XU,
    "inpainting-gan": _OF_XU,
    "gene-autoencoder": _REGIONS,
    "metagene-gan": _REGIONS,
    "tumor-unet": _WHOLE,
}
