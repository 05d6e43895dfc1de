"""Methods on what is no CT of the lung: what is made for lungs is off, refused where asked for, and words follow."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import radiogenesis as rg
from radiogenesis.cli.main import main
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.inference.drawing import DrawSettings, draw, write
from radiogenesis.pages.evaluation.checklist_facts import cohort_facts, radiomic_facts
from radiogenesis.testing import SMALL, toy_patient, train_toy, write_cohort
from radiogenesis.training.registry import own_defaults

MR = Imaging.of("brain", "zscore", None)
OF_BRAINS = SamplingSettings(organ="brain", pixels=32)
OF_LUNGS = re.compile(r"\b(lungs?|HU|air|CT|chest|attenuation)\b", re.IGNORECASE)


@pytest.fixture(scope="module")
def brain(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Bright discs in a gray brain; their size follows the first gene."""
    rng = np.random.default_rng(0)
    names = [f"P-{number:02d}" for number in range(12)]
    genes = pd.DataFrame(rng.normal(size=(12, 20)), names, [f"G{k}" for k in range(20)])
    y, x = np.mgrid[:32, :32] - 16
    made = []
    for name, own in zip(names, genes.to_numpy(), strict=True):
        mask = np.broadcast_to(np.hypot(y, x) < 6 + 2 * np.tanh(own[0]), (3, 32, 32))
        noise = rng.normal(scale=20, size=(2, 3, 32, 32))
        made.append(toy_patient(name, np.where(mask, 200, -440) + noise[0], mask, noise[1] - 440))
    return write_cohort(tmp_path_factory.mktemp("brain") / "brain.zarr", made, genes, imaging=MR, sampling=OF_BRAINS)


def test_what_is_made_for_lungs_is_off_elsewhere() -> None:
    around = 2 * 14 + 1  # 18 mm of swelling around a tumor of the brain, in pixels of 1.25 mm, to either side
    expected = {"fill": False, "stay_in_lung": False, "composition_dilation": around, "erosion": around}
    expected["in_tissue"] = True
    assert own_defaults("fusion-gan", "default", MR, 1.25) == expected
    assert own_defaults("fusion-gan", "default", LUNG_CT, 1.0) == {}
    assert own_defaults("mc-gan", "additions", MR, 1.25)["composition_dilation"] == around
    assert "erosion" not in own_defaults("mc-gan", "default", MR, 1.25)  # which composes nothing
    assert "composition_dilation" not in own_defaults("fusion-gan", "paper", MR, 1.25)
    assert own_defaults("canonical-alignment", "default", MR, 1.25) == {}
    narrow = Imaging(window=(-1350.0, 150.0))  # lungs, but their air is not where the filling looks for it
    assert own_defaults("fusion-gan", "default", narrow, 1.0)["fill"] is False


def test_the_command_draws_around_lesions_also_where_what_is_off_is_said_to_be(brain: Cohort, tmp_path: Path) -> None:
    words = ["--steps", "1", "--batch", "4", "--width", "2", "--discriminator_width", "2", "--accelerator", "cpu"]
    words += [
        "--matching",
        "0",
        "--energy",
        "0",
        "--gene_code",
        "mapping",
        "--fill",
        "false",
        "--stay_in_lung",
        "false",
    ]
    assert main(["train", "fusion-gan", str(brain.path), str(tmp_path / "run"), *words]) == 0
    settings = rg.open_run(tmp_path / "run").config["settings"]
    assert settings["in_tissue"]
    assert settings["composition_dilation"] == own_defaults("fusion-gan", "default", MR, brain.pixel_mm)["erosion"]


def test_and_refused_where_it_is_asked_for(brain: Cohort, tmp_path: Path) -> None:
    with pytest.raises(
        SettingError, match=r"fill draws lesions as air .*shows brain, window z = −3 to 5; --fill false"
    ):
        train_toy("mc-gan", brain, tmp_path / "run", fill=True)


def test_drawings_leave_in_the_unit_of_the_scans_and_not_as_ct(brain: Cohort, tmp_path: Path) -> None:
    quick = {"checkpoint_every": 2, "accelerator": "cpu", "precision": "float32"}
    paper = {"steps": 2, "batch": 4, "matching": 0.0, "energy": 0.0, "gene_code": "mapping"}
    run = rg.train("fusion-gan", brain, tmp_path / "run", **{**SMALL["fusion-gan"], **paper, **quick})
    assert (run.config["settings"]["fill"], run.config["settings"]["residual"]) == (False, True)
    settings = DrawSettings(per_patient=1, formats=("npz",))
    drawn = draw(run, brain, brain.expression, list(run.split.test), settings)
    write(drawn, tmp_path / "out", run, brain, settings)
    with np.load(tmp_path / "out" / "synthesis.npz") as arrays:
        np.testing.assert_allclose(np.median(arrays["background"]), MR.level(-440.0), atol=0.05)
    with pytest.raises(SettingError, match="dicom, which is written of CT alone"):
        write(drawn, tmp_path / "ct", run, brain, DrawSettings(formats=("dicom",)))


def test_what_is_said_of_a_brain_speaks_of_no_lung(brain: Cohort, tmp_path: Path) -> None:
    run = train_toy("canonical-alignment", brain, tmp_path / "run")
    facts = {**cohort_facts(brain), **radiomic_facts(["glcm"], brain.imaging)}
    texts = [
        run.method.said(brain.imaging),
        brain.describe().split("Made by")[0],
        *(fact.text for fact in facts.values()),
    ]  # type: ignore[operator]
    for text in texts:
        assert not OF_LUNGS.search(text.replace(str(brain.path), "")), text
