"""Tables of answers become numbers, and noise is what was put into an image."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from radiogenesis.mapping.conventional.features import CLINICAL, SEMANTIC, from_table, named
from radiogenesis.mapping.conventional.noise import noise_features


def test_numbers_stay_and_common_answers_become_indicators() -> None:
    table = pd.DataFrame(
        {
            "Weight (lbs)": ["150", "Not Collected", *map(str, range(100, 118))],
            "Histology ": ["adeno"] * 12 + ["squamous"] * 8,
            "Margins": ["smooth"] * 9 + ["spiculated; lobulated"] * 6 + ["lobulated"] * 3 + [np.nan] * 2,
            "CT Date": ["1/1/1990"] * 20,
            "Case ID": [f"x{i}" for i in range(20)],
            "Note": [f"text {i}" for i in range(20)],
            "Rare": ["yes"] * 3 + ["no"] * 17,
            "Constant": [1.0] * 20,
        }
    )
    found = from_table(table, CLINICAL, 5)
    assert list(found.values) == [
        "Weight (lbs)", "Histology = squamous", "Margins = lobulated", "Margins = smooth", "Margins = spiculated"
    ]  # fmt: skip
    assert np.isnan(found.values["Weight (lbs)"][1])
    assert found.values["Histology = squamous"].tolist() == [0.0] * 12 + [1.0] * 8
    assert found.values["Margins = lobulated"].iloc[:18].tolist() == [0.0] * 9 + [1.0] * 9
    assert found.values["Margins = lobulated"].iloc[18:].isna().all()
    assert set(found.family.values()) == {CLINICAL}


def test_an_infinite_cell_is_unknown_and_a_column_spoilt_by_one_cell_is_named() -> None:
    marker = [f"{1 + i / 4}" for i in range(20)]
    table = pd.DataFrame(
        {
            "Marker": ["<0.5", *marker[1:]],
            "Weight": [cell.replace(".", ",") for cell in marker],
            "Ratio": [np.inf, *range(19)],
            "Histology": ["adeno"] * 12 + ["squamous"] * 7 + ["8"],
        },
        index=[f"P{i}" for i in range(20)],
    )
    found = from_table(table, CLINICAL, 5)
    assert list(found.values) == ["Ratio", "Histology = adeno", "Histology = squamous"]
    assert np.isnan(found.values["Ratio"].iloc[0])
    assert found.values["Ratio"].iloc[1:].tolist() == [float(i) for i in range(19)]
    assert found.left_out == {
        "Marker": "'<0.5' (patient P0) is not a finite number: the column is left out of the features",
        "Weight": "'1,0' (patient P0) is not a finite number: the column is left out of the features",
        "Ratio": "'inf' (patient P0) is not a finite number: counts as unknown",
    }


def test_tables_are_joined_by_patient_and_names_stay_apart() -> None:
    left = named(pd.DataFrame({"a": [1.0, 2.0]}, index=["p", "q"]), CLINICAL)
    right = named(pd.DataFrame({"b": [5.0]}, index=["q"]), SEMANTIC)
    joined = left.joined(right)
    assert joined.values.loc["q", "b"] == 5.0
    assert np.isnan(joined.values.loc["p", "b"])
    assert joined.family == {"a": CLINICAL, "b": SEMANTIC}
    with pytest.raises(ValueError, match="both tables"):
        left.joined(left)


def test_noise_is_the_standard_deviation_that_was_added_whatever_lies_under_it() -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64]
    lung = -800 + 3.0 * x + 2.0 * y
    image = np.stack([lung + s * rng.standard_normal((64, 64)) for s in (5.0, 20.0)])
    image[:, 20:44, 20:44] += 700  # the lesion, which must not count
    mask = np.zeros((2, 64, 64), bool)
    mask[:, 20:44, 20:44] = True
    noise, _ = noise_features(image, mask).T
    assert noise == pytest.approx([5.0, 20.0], rel=0.08)


def test_grain_is_one_for_white_noise_and_less_after_smoothing() -> None:
    white = 20 * np.random.default_rng(1).standard_normal((1, 96, 96))
    smooth = ndimage.gaussian_filter(white, (0, 1, 1))
    empty = np.zeros((1, 96, 96), bool)
    assert noise_features(white, empty)[0, 1] == pytest.approx(1.0, abs=0.05)
    # A Gaussian filter of sigma 1 leaves the correlation exp(-lag^2 / 4): neighbors differ by less.
    expected = np.sqrt((1 - np.exp(-1 / 4)) / (1 - np.exp(-4 / 4)))
    assert noise_features(smooth, empty)[0, 1] == pytest.approx(expected, abs=0.05)


def test_where_too_little_is_left_there_is_no_number() -> None:
    assert np.isnan(noise_features(np.zeros((1, 16, 16)), np.ones((1, 16, 16)))).all()
