"""The digital phantom of the IBSI and its published values.

Source: reference manual of the Image Biomarker Standardisation Initiative (arXiv 1612.07003), chapter 3, rows "dig.
phantom"; texture "2D, averaged" (BTW3) and "2D, slice-merged" (SUJT), zones "2D" (8QNN). Values are published with
three significant digits.
"""

import pytest
import torch

from radiogenesis.phenotypes.radiomics import FEATURES, RadiomicsSettings, radiomic_features

SLICES = """
1 4 4 1 1    1 4 4 1 1    1 4 4 . .    1 4 4 . .
1 4 6 1 1    1 1 6 1 1    1 1 1 1 1    1 1 1 1 1
4 1 6 4 1    . 1 3 1 1    1 1 . 1 1    1 1 1 1 1
4 4 6 4 1    4 4 6 1 1    1 1 6 1 1    1 1 6 1 1
"""

FIRST_ORDER = {
    "mean": 2.15,
    "variance": 3.05,
    "skewness": 1.08,
    "kurtosis": -0.355,
    "median": 1,
    "minimum": 1,
    "percentile_10": 1,
    "percentile_90": 4,
    "maximum": 6,
    "interquartile_range": 3,
    "range": 5,
    "mean_absolute_deviation": 1.55,
    "robust_mean_absolute_deviation": 1.11,
    "median_absolute_deviation": 1.15,
    "coefficient_of_variation": 0.812,
    "quartile_coefficient_of_dispersion": 0.6,
    "energy": 567,
    "root_mean_square": 2.77,
}
# name: (2D averaged, 2D slice-merged)
GLCM = {
    "joint_maximum": (0.519, 0.512),
    "joint_average": (2.14, 2.14),
    "joint_variance": (2.69, 2.71),
    "joint_entropy": (2.05, 2.24),
    "difference_average": (1.42, 1.40),
    "difference_variance": (2.90, 3.06),
    "difference_entropy": (1.40, 1.49),
    "sum_average": (4.28, 4.29),
    "sum_variance": (5.47, 5.66),
    "sum_entropy": (1.60, 1.79),
    "angular_second_moment": (0.368, 0.352),
    "contrast": (5.28, 5.19),
    "dissimilarity": (1.42, 1.40),
    "inverse_difference": (0.678, 0.683),
    "normalised_inverse_difference": (0.851, 0.854),
    "inverse_difference_moment": (0.619, 0.625),
    "normalised_inverse_difference_moment": (0.899, 0.901),
    "inverse_variance": (0.0567, 0.0553),
    "correlation": (-0.0121, 0.0173),
    "autocorrelation": (5.09, 5.14),
    "cluster_tendency": (5.47, 5.66),
    "cluster_shade": (7.00, 6.98),
    "cluster_prominence": (79.1, 80.4),
    "information_correlation_1": (-0.155, -0.0341),
    "information_correlation_2": (0.487, 0.263),
}
GLRLM = {
    "short_runs_emphasis": (0.641, 0.661),
    "long_runs_emphasis": (3.78, 3.51),
    "low_grey_level_run_emphasis": (0.604, 0.609),
    "high_grey_level_run_emphasis": (9.82, 9.74),
    "short_run_low_grey_level_emphasis": (0.294, 0.311),
    "short_run_high_grey_level_emphasis": (8.57, 8.67),
    "long_run_low_grey_level_emphasis": (3.14, 2.92),
    "long_run_high_grey_level_emphasis": (17.4, 16.1),
    "grey_level_non_uniformity": (5.20, 20.5),
    "normalised_grey_level_non_uniformity": (0.460, 0.456),
    "run_length_non_uniformity": (6.12, 21.6),
    "normalised_run_length_non_uniformity": (0.492, 0.441),
    "run_percentage": (0.627, 0.627),
    "grey_level_variance": (3.35, 3.37),
    "run_length_variance": (0.761, 0.778),
    "run_entropy": (2.17, 2.57),
}
GLSZM = {
    "small_zone_emphasis": 0.363,  # table missing from the edition used; as quoted by Nyxus (tests, test_ibsi_glszm.h)
    "large_zone_emphasis": 43.9,
    "low_grey_level_zone_emphasis": 0.371,
    "high_grey_level_zone_emphasis": 16.4,
    "small_zone_low_grey_level_emphasis": 0.0259,
    "small_zone_high_grey_level_emphasis": 10.3,
    "large_zone_low_grey_level_emphasis": 40.4,
    "large_zone_high_grey_level_emphasis": 113,
    "grey_level_non_uniformity": 1.41,
    "normalised_grey_level_non_uniformity": 0.323,
    "zone_size_non_uniformity": 1.49,
    "normalised_zone_size_non_uniformity": 0.333,
    "zone_percentage": 0.24,
    "grey_level_variance": 3.97,
    "zone_size_variance": 21,
    "zone_size_entropy": 1.93,
}


def phantom() -> tuple[torch.Tensor, torch.Tensor]:
    """(4, 1, 5, 5) each: the 4 slices of 5 x 4 pixels, with an empty row below."""
    rows = [line.split() for line in SLICES.split("\n") if line]
    slices = [[row[5 * s : 5 * s + 5] for row in rows] + [["."] * 5] for s in range(4)]
    image = torch.tensor([[[0.0 if v == "." else float(v) for v in row] for row in s] for s in slices])
    return image[:, None], (image > 0)[:, None]


def measured(directions: str) -> dict[str, float]:
    """Mean over the slices."""
    settings = RadiomicsSettings(bin_width_hu=1.0, directions=directions, families=("glcm", "glrlm", "glszm"))
    return {name: value.mean().item() for name, value in radiomic_features(*phantom(), 2.0, settings).items()}


def three_digits(expected: float) -> object:
    """Within half a unit of the third significant digit."""
    return pytest.approx(expected, rel=5e-3, abs=0)


def test_first_order_of_all_voxels_of_the_phantom():
    image, mask = phantom()
    flat = torch.zeros(1, 1, 10, 10)  # first order does not care where a voxel lies
    inside = torch.zeros(1, 1, 10, 10, dtype=torch.bool)
    inside.view(-1)[:74] = True
    flat.view(-1)[:74] = image[mask]
    settings = RadiomicsSettings(bin_width_hu=1.0, families=("firstorder",))
    found = radiomic_features(flat, inside, 2.0, settings)
    for name, expected in FIRST_ORDER.items():
        assert found[f"firstorder_{name}"].item() == three_digits(expected), name


@pytest.mark.parametrize(("column", "directions"), [(0, "average"), (1, "merge")])
@pytest.mark.parametrize(("family", "table"), [("glcm", GLCM), ("glrlm", GLRLM)])
def test_texture_in_four_directions(family, table, column, directions):
    found = measured(directions)
    for name, expected in table.items():
        assert found[f"{family}_{name}"] == three_digits(expected[column]), name


def test_zones():
    found = measured("average")
    for name, expected in GLSZM.items():
        assert found[f"glszm_{name}"] == three_digits(expected), name


def test_every_texture_feature_has_its_published_value():
    tables = {"glcm": GLCM, "glrlm": GLRLM, "glszm": GLSZM}
    checked = {f"{family}_{name}" for family, table in tables.items() for name in table}
    texture = {name for name, feature in FEATURES.items() if feature.family in tables}
    assert checked == texture


def test_a_range_from_the_first_level_on_changes_nothing():
    image, mask = phantom()
    plain = radiomic_features(image, mask, 2.0, RadiomicsSettings(bin_width_hu=1.0))
    ranged = radiomic_features(image, torch.ones_like(mask), 2.0, RadiomicsSettings(bin_width_hu=1.0, range_hu=(1, 6)))
    for name, feature in FEATURES.items():
        if feature.family not in ("shape", "margin"):
            torch.testing.assert_close(ranged[name], plain[name], equal_nan=True, msg=name)
