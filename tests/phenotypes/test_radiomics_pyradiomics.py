"""Our features against PyRadiomics, lesion by lesion."""

import logging
import math

import numpy as np
import pytest
import SimpleITK
import torch
from radiomics import firstorder, glcm, glrlm, glszm, shape2D

from radiogenesis.phenotypes.morphology import blur
from radiogenesis.phenotypes.radiomics import FEATURES, RadiomicsSettings, radiomic_features

logging.getLogger("radiomics").setLevel(logging.ERROR)

CLASSES = {
    "shape": shape2D.RadiomicsShape2D,
    "firstorder": firstorder.RadiomicsFirstOrder,
    "glcm": glcm.RadiomicsGLCM,
    "glrlm": glrlm.RadiomicsGLRLM,
    "glszm": glszm.RadiomicsGLSZM,
}
THEIRS = {
    "shape_mesh_area": "MeshSurface",
    "shape_pixel_area": "PixelSurface",
    "shape_perimeter": "Perimeter",
    "shape_perimeter_to_area": "PerimeterSurfaceRatio",
    "shape_sphericity": "Sphericity",
    "shape_maximum_diameter": "MaximumDiameter",
    "shape_major_axis": "MajorAxisLength",
    "shape_minor_axis": "MinorAxisLength",
    "shape_elongation": "Elongation",
    "firstorder_mean": "Mean",
    "firstorder_variance": "Variance",
    "firstorder_skewness": "Skewness",
    "firstorder_kurtosis": "Kurtosis",
    "firstorder_median": "Median",
    "firstorder_minimum": "Minimum",
    "firstorder_percentile_10": "10Percentile",
    "firstorder_percentile_90": "90Percentile",
    "firstorder_maximum": "Maximum",
    "firstorder_interquartile_range": "InterquartileRange",
    "firstorder_range": "Range",
    "firstorder_mean_absolute_deviation": "MeanAbsoluteDeviation",
    "firstorder_robust_mean_absolute_deviation": "RobustMeanAbsoluteDeviation",
    "firstorder_energy": "Energy",
    "firstorder_root_mean_square": "RootMeanSquared",
    "firstorder_entropy": "Entropy",
    "firstorder_uniformity": "Uniformity",
    "glcm_joint_maximum": "MaximumProbability",
    "glcm_joint_average": "JointAverage",
    "glcm_joint_variance": "SumSquares",
    "glcm_joint_entropy": "JointEntropy",
    "glcm_difference_average": "DifferenceAverage",
    "glcm_difference_variance": "DifferenceVariance",
    "glcm_difference_entropy": "DifferenceEntropy",
    "glcm_sum_average": "SumAverage",
    "glcm_sum_entropy": "SumEntropy",
    "glcm_angular_second_moment": "JointEnergy",
    "glcm_contrast": "Contrast",
    "glcm_inverse_difference": "Id",
    "glcm_normalised_inverse_difference": "Idn",
    "glcm_inverse_difference_moment": "Idm",
    "glcm_normalised_inverse_difference_moment": "Idmn",
    "glcm_inverse_variance": "InverseVariance",
    "glcm_correlation": "Correlation",
    "glcm_autocorrelation": "Autocorrelation",
    "glcm_cluster_tendency": "ClusterTendency",
    "glcm_cluster_shade": "ClusterShade",
    "glcm_cluster_prominence": "ClusterProminence",
    "glcm_information_correlation_1": "Imc1",
    "glcm_information_correlation_2": "Imc2",
    "glrlm_short_runs_emphasis": "ShortRunEmphasis",
    "glrlm_long_runs_emphasis": "LongRunEmphasis",
    "glrlm_low_grey_level_run_emphasis": "LowGrayLevelRunEmphasis",
    "glrlm_high_grey_level_run_emphasis": "HighGrayLevelRunEmphasis",
    "glrlm_short_run_low_grey_level_emphasis": "ShortRunLowGrayLevelEmphasis",
    "glrlm_short_run_high_grey_level_emphasis": "ShortRunHighGrayLevelEmphasis",
    "glrlm_long_run_low_grey_level_emphasis": "LongRunLowGrayLevelEmphasis",
    "glrlm_long_run_high_grey_level_emphasis": "LongRunHighGrayLevelEmphasis",
    "glrlm_grey_level_non_uniformity": "GrayLevelNonUniformity",
    "glrlm_normalised_grey_level_non_uniformity": "GrayLevelNonUniformityNormalized",
    "glrlm_run_length_non_uniformity": "RunLengthNonUniformity",
    "glrlm_normalised_run_length_non_uniformity": "RunLengthNonUniformityNormalized",
    "glrlm_run_percentage": "RunPercentage",
    "glrlm_grey_level_variance": "GrayLevelVariance",
    "glrlm_run_length_variance": "RunVariance",
    "glrlm_run_entropy": "RunEntropy",
    "glszm_small_zone_emphasis": "SmallAreaEmphasis",
    "glszm_large_zone_emphasis": "LargeAreaEmphasis",
    "glszm_low_grey_level_zone_emphasis": "LowGrayLevelZoneEmphasis",
    "glszm_high_grey_level_zone_emphasis": "HighGrayLevelZoneEmphasis",
    "glszm_small_zone_low_grey_level_emphasis": "SmallAreaLowGrayLevelEmphasis",
    "glszm_small_zone_high_grey_level_emphasis": "SmallAreaHighGrayLevelEmphasis",
    "glszm_large_zone_low_grey_level_emphasis": "LargeAreaLowGrayLevelEmphasis",
    "glszm_large_zone_high_grey_level_emphasis": "LargeAreaHighGrayLevelEmphasis",
    "glszm_grey_level_non_uniformity": "GrayLevelNonUniformity",
    "glszm_normalised_grey_level_non_uniformity": "GrayLevelNonUniformityNormalized",
    "glszm_zone_size_non_uniformity": "SizeZoneNonUniformity",
    "glszm_normalised_zone_size_non_uniformity": "SizeZoneNonUniformityNormalized",
    "glszm_zone_percentage": "ZonePercentage",
    "glszm_grey_level_variance": "GrayLevelVariance",
    "glszm_zone_size_variance": "ZoneVariance",
    "glszm_zone_size_entropy": "ZoneEntropy",
}
PIXEL_MM = 0.7


def lesions(count: int, side: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Lesions with smooth texture and noise, ragged outlines, some with a hole, some cut by the border."""
    generator = torch.Generator().manual_seed(seed)
    smooth = [blur(torch.randn(count, side, side, generator=generator), 1.5) * 5 for _ in range(2)]
    image = 40 + 60 * smooth[0] + 15 * torch.randn(count, side, side, generator=generator)
    axis = torch.arange(side)
    centre = side / 2 + torch.randn(count, 2, 1, 1, generator=generator) * 6
    radius = torch.hypot(axis[:, None] - centre[:, 0], axis[None] - centre[:, 1])
    size = 3 + torch.rand(count, 1, 1, generator=generator) * side * 0.35
    mask = (radius + 2 * smooth[1] < size) & ~((radius < 2) & (torch.arange(count) % 3 == 0)[:, None, None])
    return image[:, None], mask[:, None]


def theirs(image: torch.Tensor, mask: torch.Tensor, **settings: object) -> dict[str, np.ndarray]:
    rows = []
    for picture, outline in zip(image[:, 0], mask[:, 0], strict=True):
        hu = SimpleITK.GetImageFromArray(picture.numpy().astype(np.float64))
        hu.SetSpacing((PIXEL_MM, PIXEL_MM))
        label = SimpleITK.GetImageFromArray(outline.numpy().astype(np.uint8))
        label.CopyInformation(hu)
        row: dict[str, float] = {}
        for family, kind in CLASSES.items():
            extractor = kind(hu, label, label=1, **settings)
            extractor.enableAllFeatures()
            row |= {f"{family}_{name}": float(value) for name, value in extractor.execute().items()}
        rows.append(row)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def expected(table: dict[str, np.ndarray], name: str) -> np.ndarray:
    values = table[f"{FEATURES[name].family}_{THEIRS[name]}"]
    return values - 3 if name == "firstorder_kurtosis" else values  # IBSI: excess kurtosis


@pytest.mark.parametrize(
    ("ours", "their_settings"),
    [
        (RadiomicsSettings(), {"binWidth": 25}),
        (RadiomicsSettings(bin_width_hu=10.0), {"binWidth": 10}),
        (RadiomicsSettings(bins=16), {"binCount": 16}),
    ],
)
def test_features_are_those_of_pyradiomics(ours, their_settings):
    image, mask = lesions(12)
    found = radiomic_features(image, mask, PIXEL_MM, ours)
    table = theirs(image, mask, **their_settings)
    for name in THEIRS:
        np.testing.assert_allclose(found[name].numpy(), expected(table, name), rtol=1e-4, atol=1e-6, err_msg=name)


def test_thin_and_uniform_lesions_as_in_pyradiomics():
    image, mask = torch.full((2, 1, 12, 12), 37.0), torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    mask[0, 0, 3:9, 4:9] = True  # uniform
    mask[1, 0, 5, 2:10] = True
    mask[1, 0, 6, 4] = True
    image[1, 0, 5, 2:10] = torch.tensor([0.0, 30, 30, 60, 60, 60, 90, 0])
    found, table = radiomic_features(image, mask, PIXEL_MM), theirs(image, mask, binWidth=25)
    for name in THEIRS:
        if name != "firstorder_kurtosis" or math.isnan(found[name][0]):
            np.testing.assert_allclose(found[name][1:], expected(table, name)[1:], rtol=1e-4, atol=1e-6, err_msg=name)
    for name in set(THEIRS) - {"firstorder_kurtosis"}:  # 0 by the IBSI where the variance is 0
        np.testing.assert_allclose(found[name][0], expected(table, name)[0], rtol=1e-4, atol=1e-6, err_msg=name)


def test_only_these_have_no_counterpart():
    without = {name for name, feature in FEATURES.items() if feature.family != "margin"} - set(THEIRS)
    assert without == {
        "firstorder_median_absolute_deviation",
        "firstorder_coefficient_of_variation",
        "firstorder_quartile_coefficient_of_dispersion",
        "glcm_sum_variance",  # the cluster tendency
        "glcm_dissimilarity",  # the difference average
    }
