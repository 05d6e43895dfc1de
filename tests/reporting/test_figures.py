"""Figures: the numbers given are the numbers drawn, and the same numbers give the same file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.image import imread

from radiogenesis.reporting import figures as f

pytestmark = pytest.mark.pictures

CONTROL = pd.DataFrame(
    {
        "feature": ["size", "margin", "mean"],
        "rho": [0.8, 0.1, 0.45],
        "low": [0.6, -0.2, 0.3],
        "high": [0.9, 0.4, 0.6],
        "regression": [0.9, 0.6, 0.75],
        "null_low": [-0.3, -0.3, -0.2],
        "null_high": [0.3, 0.3, 0.2],
    }
)


def test_long_labels_of_rows_are_not_cut(tmp_path: Path) -> None:
    label = "fusion-gan\n(composition_dilation 13,\nerosion 13, WWWW MMMM)"
    f.slice_grid([(label, [np.ones((8, 8))])], tmp_path / "grid.png")
    pixels = imread(tmp_path / "grid.png")[..., :3]
    assert (pixels[:, :8] == pixels[0, 0]).all()  # the margin is empty
    assert (pixels[:, 8:120] != pixels[0, 0]).any()


def test_gray_is_the_window() -> None:
    assert f.gray(np.array([-2000, -1000, -250, 500, 900])).tolist() == [0, 0, 0.5, 1, 1]


@pytest.mark.parametrize("theme", f.THEMES, ids=lambda theme: theme.name)
def test_bars_intervals_regressions_and_nulls_are_where_they_belong(theme: f.Theme) -> None:
    axes = f.control_bars(CONTROL, theme).axes[0]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths[:3] == pytest.approx([0.6, 0.6, 0.4])  # nulls
    assert widths[3:6] == pytest.approx([0.8, 0.1, 0.45])
    assert axes.get_lines()[0].get_xdata() == pytest.approx([0.9, 0.6, 0.75])
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mean", "margin", "size"]


def test_scatter_shows_every_patient_of_every_feature_that_has_one() -> None:
    table = pd.DataFrame(
        {"feature": ["size"] * 3 + ["cavitation"] * 2, "x": [1, 2, 3, np.nan, np.nan], "y": [2, 3, 4, 0, 0]}
    )
    units = {"size": "mm", "cavitation": ""}
    figure = f.scatter_by_feature(
        table, f.LIGHT, x="x", y="y", x_label="planted", y_label="drawn", units=units, notes={"size": "ρ = 1"}
    )
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["size (mm)"]
    assert figure.axes[0].collections[0].get_offsets().tolist() == [[1, 2], [2, 3], [3, 4]]


def test_scatter_without_a_dot_says_so_and_can_be_written(tmp_path: Path) -> None:
    table = pd.DataFrame({"feature": ["size"], "x": [1.0], "y": [np.nan]})
    words = {"x": "x", "y": "y", "x_label": "planted", "y_label": "drawn"}
    light, _ = f.save_both(
        lambda theme: f.scatter_by_feature(table, theme, **words, units={"size": "mm"}, notes={}), tmp_path, "none"
    )
    assert min(imread(tmp_path / light).shape[:2]) > 100
    figure = f.scatter_by_feature(table, f.LIGHT, **words, units={"size": "mm"}, notes={})
    assert "nothing could be measured" in [text.get_text() for text in figure.texts]


def test_curves_leave_out_what_was_never_written() -> None:
    metrics = pd.DataFrame({"step": [1, 2], "images_seen": [32, 64], "a_loss": [2.0, 1.0], "b": [np.nan, np.nan]})
    assert [axes.get_title(loc="left") for axes in f.training_curves(metrics, f.DARK).axes] == ["a loss"]


def test_code_panels_show_every_patient_in_the_color_of_the_cluster() -> None:
    places = pd.DataFrame(
        {
            "space": ["raw"] * 3 + ["code"] * 3,
            "part": ["training", "training", "held out"] * 2,
            "x": [0.0, 1, 2, 3, 4, 5],
            "y": [5.0, 4, 3, 2, 1, 0],
            "cluster": [0, 1, 1] * 2,
        }
    )
    figure = f.code_panels(places, f.LIGHT, hollow="held out", notes={"code": "ρ = 0.5"})
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["raw", "code"]
    assert [axes.get_title(loc="right") for axes in figure.axes] == ["", "ρ = 0.5"]
    dots = [dot for dot in figure.axes[1].collections if len(dot.get_offsets())]
    assert [dot.get_offsets().tolist() for dot in dots] == [[[3, 2]], [[4, 1]], [[5, 0]]]
    assert [to_hex(dot.get_edgecolor()[0]) for dot in dots[2:]] == [f.CLUSTERS[1]]
    assert len(dots[2].get_facecolor()) == 0  # a ring
    assert [to_hex(dot.get_facecolor()[0]) for dot in dots[:2]] == list(f.CLUSTERS[:2])


def test_ranks_are_counted() -> None:
    axes = f.rank_histogram(np.array([1, 1, 2, 5.0]), 5, f.LIGHT).axes[0]
    assert [bar.get_height() for bar in axes.patches] == [2, 1, 0, 0, 1]


def test_a_grid_has_its_images_in_place_and_is_the_same_each_time(tmp_path: Path) -> None:
    white, black = np.ones((16, 16)), np.zeros((16, 16))
    for name in ("one.png", "two.png"):
        f.slice_grid(
            [("a", [white, black]), ("b", [black])], tmp_path / name, columns=("x", "y"), contours={1: [white]}
        )
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "two.png").read_bytes()
    image = imread(tmp_path / "one.png")[..., :3].mean(-1)
    height, width = image.shape
    assert image[int(height * 0.35), int(width * 0.5)] > 0.95  # first row, first column
    assert image[int(height * 0.35), int(width * 0.85)] < 0.05
    assert image[int(height * 0.8), int(width * 0.5)] < 0.05


def test_both_themes_are_saved(tmp_path: Path) -> None:
    light, dark = f.save_both(lambda theme: f.control_bars(CONTROL, theme), tmp_path, "bars")
    assert (light, dark) == ("bars-light.png", "bars-dark.png")
    assert (imread(tmp_path / light)[0, 0, 3], imread(tmp_path / dark)[0, 0, 3]) == (0, 0)  # transparent
