"""Our features against PyRadiomics, lesion by lesion."""

import logging
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
import torch
from radiomics import firstorder, glcm, glrlm, glszm, shape2D

from pyradiomics_names import PYRADIOMICS
from radiogenesis.phenotypes.morphology import blur
from radiogenesis.phenotypes.radiomics import FEATURES, RadiomicsSettings, radiomic_features

logging.getLogger("radiomics").setLevel(logging.ERROR)

CLASSES = {
    "shape2D": shape2D.RadiomicsShape2D,
    "firstorder": firstorder.RadiomicsFirstOrder,
    "glcm": glcm.RadiomicsGLCM,
    "glrlm": glrlm.RadiomicsGLRLM,
    "glszm": glszm.RadiomicsGLSZM,
}
PIXEL_MM = 0.7


def lesions(count: int, side: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Lesions with smooth texture and noise, ragged outlines, some with a hole, some cut by the border."""
    generator = torch.Generator().manual_seed(seed)
    smooth = [blur(torch.randn(count, side, side, generator=generator), 1.5) * 5 for _ in range(2)]
    image = 40 + 60 * smooth[0] + 15 * torch.randn(count, side, side, generator=generator)
    axis = torch.arange(side)
    center = side / 2 + torch.randn(count, 2, 1, 1, generator=generator) * 6
    radius = torch.hypot(axis[:, None] - center[:, 0], axis[None] - center[:, 1])
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
    values = table[PYRADIOMICS[name]]
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
    for name in PYRADIOMICS:
        np.testing.assert_allclose(found[name].numpy(), expected(table, name), rtol=1e-4, atol=1e-6, err_msg=name)


def test_thin_and_uniform_lesions_as_in_pyradiomics():
    image, mask = torch.full((2, 1, 12, 12), 37.0), torch.zeros(2, 1, 12, 12, dtype=torch.bool)
    mask[0, 0, 3:9, 4:9] = True  # uniform
    mask[1, 0, 5, 2:10] = True
    mask[1, 0, 6, 4] = True
    image[1, 0, 5, 2:10] = torch.tensor([0.0, 30, 30, 60, 60, 60, 90, 0])
    found, table = radiomic_features(image, mask, PIXEL_MM), theirs(image, mask, binWidth=25)
    for name in PYRADIOMICS:
        compared = slice(1, 2) if name == "firstorder_kurtosis" else slice(2)  # by the IBSI 0 where the variance is 0
        np.testing.assert_allclose(
            found[name][compared], expected(table, name)[compared], rtol=1e-4, atol=1e-6, err_msg=name
        )
    assert found["firstorder_kurtosis"][0] == 0


@pytest.mark.real_data
def test_features_of_real_texture_are_those_of_pyradiomics(real_data: Path) -> None:
    """Random outlines on a real CT slice: lung, vessels, wall and bone within one lesion, up to 80 grey levels."""
    slices = sorted((real_data / "ct" / "AMC-001").glob("*.dcm"))
    header = pydicom.dcmread(slices[len(slices) // 2])
    ct = torch.from_numpy(header.pixel_array * float(header.RescaleSlope) + float(header.RescaleIntercept)).float()
    _, mask = lesions(8, seed=3)
    corners = torch.randint(100, 370, (8, 2), generator=torch.Generator().manual_seed(0)).tolist()
    image = torch.stack([ct[y : y + 40, x : x + 40] for y, x in corners])[:, None]
    found, table = radiomic_features(image, mask, PIXEL_MM), theirs(image, mask, binWidth=25)
    assert (found["firstorder_range"] / 25).max() > 40
    for name in PYRADIOMICS:
        np.testing.assert_allclose(found[name].numpy(), expected(table, name), rtol=1e-4, atol=1e-6, err_msg=name)


def test_only_these_have_no_counterpart():
    without = {name for name, feature in FEATURES.items() if feature.family != "margin"} - set(PYRADIOMICS)
    assert without == {
        "firstorder_median_absolute_deviation",
        "firstorder_coefficient_of_variation",
        "firstorder_quartile_coefficient_of_dispersion",
        "glcm_sum_variance",  # the cluster tendency
        "glcm_dissimilarity",  # the difference average
    }
