"""`radiogenesis demo --framework sui`: its stages in order and their arguments; its page from the parts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from radiogenesis.cli import demo_sui
from radiogenesis.cli.demo_steps import DemoSettings
from radiogenesis.cli.main import main
from radiogenesis.pages.evaluation.li_sui_pictures import figure_5


def test_the_stages_run_in_order_on_one_cohort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[tuple[str, list[str]]] = []
    for verb in ("cohort_phantom", "train", "evaluate", "report"):

        def note(arguments: list[str], verb: str = verb) -> None:
            called.append((verb, arguments))

        monkeypatch.setattr(f"radiogenesis.cli.{verb}.main", note)
    settings = DemoSettings(framework="sui", patients=40, unet_steps=3, autoencoder_steps=4, gan_steps=5, metagenes=7)
    out = demo_sui.main(tmp_path, settings)
    assert out == tmp_path / "evaluation"
    assert [verb for verb, _ in called] == ["cohort_phantom", "train", "train", "train", "evaluate", "report"]
    cohort = str(tmp_path / "cohort.zarr")
    assert {"--patients=40", "--whole_pixels=128", "--seed=0"} <= set(called[0][1])
    trained = {arguments[0]: arguments for verb, arguments in called if verb == "train"}
    assert list(trained) == ["tumor-unet", "gene-autoencoder", "metagene-gan"]
    assert {arguments[1] for arguments in trained.values()} == {cohort}
    assert {"--steps=5", "--metagenes=7"} <= set(trained["metagene-gan"])
    stages = [str(tmp_path / name) for name in ("tumor-unet", "gene-autoencoder", "metagene-gan")]
    assert called[4][1][:4] == [*stages, str(tmp_path / "evaluation")]
    printed = capsys.readouterr().out
    assert [f"[{i}/6]" in printed for i in range(1, 7)] == [True] * 6


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--framework", "sui", "--patients", "35"], "patients 35: at least 36 with framework sui"),
        (["--framework", "other"], "framework"),
        (["--framework", "sui", "--unet_steps", "0"], "unet_steps, autoencoder_steps and metagenes must be at least 1"),
    ],
)
def test_refused_settings_are_one_line(
    arguments: list[str], line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", str(tmp_path / "demo"), *arguments]) == 2
    error = capsys.readouterr().err
    assert line in error
    assert error.count("\n") == 1


@pytest.mark.pictures
def test_figure_5_shows_the_slice_with_most_tumor_and_enlarges_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = np.full((3, 48, 48), -850.0)
    tumor = np.zeros((3, 48, 48), bool)
    tumor[1, 30:40, 2:8] = tumor[2, 30, 4] = True
    image[1][tumor[1]] = 40
    shown: dict[str, Any] = {}
    from radiogenesis.reporting import figures

    real = figures.slice_grid

    def look(rows: Any, path: Path, **options: Any) -> None:
        shown.update(rows=rows, **options)
        real(rows, path, **options)

    monkeypatch.setattr(figures, "slice_grid", look)
    picture = figure_5({"P1": (image, tumor, tumor)}, tmp_path, "unet")
    (_, (whole,)), (_, (part,)), (_, (outlined,)) = shown["rows"]
    np.testing.assert_array_equal(whole, figures.gray(image[1]))
    np.testing.assert_array_equal(part, figures.gray(image[1, 26:42, 0:16]))  # a third of the side around (34.5, 4.5)
    np.testing.assert_array_equal(outlined, part)
    np.testing.assert_array_equal(shown["contours"][0][0], tumor[1])
    np.testing.assert_array_equal(shown["contours"][2][0], tumor[1, 26:42, 0:16])
    with Image.open(tmp_path / picture.file) as written:
        assert written.size[0] > 100
