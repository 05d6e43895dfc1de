"""3-D radiomics through PyRadiomics."""

import sys

import numpy as np
import pytest

from radiogenesis.errors import ScanError, SettingError
from radiogenesis.phenotypes.volumes import VolumeSettings, volume_features


def box() -> tuple[np.ndarray, np.ndarray]:
    """A tumor of 4 x 6 x 8 voxels, HU from a fixed seed."""
    mask = np.zeros((8, 12, 12), bool)
    mask[2:6, 3:9, 2:10] = True
    return np.random.default_rng(0).integers(-50, 90, mask.shape).astype(np.int16), mask


def test_volume_and_intensity_of_a_box():
    hu, mask = box()
    found = volume_features(hu, mask, (3.0, 0.5, 0.5))
    assert found["original_shape_VoxelVolume"] == pytest.approx(4 * 6 * 8 * 3 * 0.25)
    assert found["original_firstorder_Mean"] == pytest.approx(hu[mask].mean())
    assert found["original_firstorder_Maximum"] == hu[mask].max()
    assert found["original_shape_Maximum3DDiameter"] > 4 * 2 * 0.5  # x is the last axis
    assert all(isinstance(value, float) for value in found.values())
    assert len(found) == 107


def test_pixels_outside_the_range_are_left_out():
    hu, mask = box()
    found = volume_features(hu, mask, (1.0, 1.0, 1.0), VolumeSettings(range_hu=(0.0, 50.0)))
    within = hu[mask & (hu >= 0) & (hu <= 50)]
    assert found["original_firstorder_Mean"] == pytest.approx(within.mean())


def test_what_cannot_be_measured():
    hu, mask = box()
    with pytest.raises(ScanError, match="nothing is outlined"):
        volume_features(hu, np.zeros_like(mask), (1.0, 1.0, 1.0))
    one = np.zeros_like(mask)
    one[4, 4, 4] = True
    with pytest.raises(ScanError, match=r"cannot measure the tumor \(1 voxels\)"):
        volume_features(hu, one, (1.0, 1.0, 1.0))
    with pytest.raises(SettingError, match="filters has 'Sobel'"):
        volume_features(hu, mask, (1.0, 1.0, 1.0), VolumeSettings(filters=("Sobel",)))
    with pytest.raises(SettingError, match="voxel_mm"):
        VolumeSettings(voxel_mm=0.0)


def test_without_pyradiomics(monkeypatch):
    monkeypatch.setitem(sys.modules, "radiomics.featureextractor", None)
    with pytest.raises(SettingError, match=r"radiogenesis\[radiomics\]"):
        volume_features(*box(), (1.0, 1.0, 1.0))
