"""Every preset `paper` against its paper, line by line (the tables are in `papers`), and the cohort it is made for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, fields
from typing import Any

import pytest
from papers import COHORTS, TABLES, Rows

from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.training.registry import METHODS, unlike_its_cohort
from radiogenesis.training.run import make_method
from radiogenesis.training.settings import TrainSettings

WITH_A_PAPER = [name for name, entry in METHODS.items() if "paper" in entry.presets]
OF_TRAINING = {field.name for field in fields(TrainSettings)}
TOUCHED = {setting for name in WITH_A_PAPER for setting in METHODS[name].presets["paper"] if setting in OF_TRAINING}
SOURCE = r"(sections? [\dIV]|figure \d|equation \d|open in the paper|the code of Park et al\.|no effect)"


def without_source(rows: Rows) -> list[str]:
    return [name for name, (_, source) in rows.items() if not re.search(SOURCE, source)]


def assert_complete(rows: Rows, settings: Collection[str]) -> None:
    missing, unknown = set(settings) - set(rows), set(rows) - set(settings)
    assert not missing, f"say in tests/training/papers.py what the paper has for {', '.join(sorted(missing))}"
    assert not unknown, f"no such setting: {', '.join(sorted(unknown))}"
    assert not without_source(rows)


def test_every_method_with_a_preset_has_its_tables() -> None:
    assert set(TABLES) == set(COHORTS) == set(WITH_A_PAPER)


@pytest.mark.parametrize("name", WITH_A_PAPER)
def test_the_preset_is_the_paper_line_by_line(name: str) -> None:
    """A setting that is not in the table fails: whoever adds one says what the paper has."""
    entry, rows = METHODS[name], TABLES[name]
    own = [field.name for field in fields(entry.settings)]
    assert_complete(rows, {*own, *TOUCHED})
    preset = asdict(entry.settings()) | {setting: asdict(TrainSettings())[setting] for setting in TOUCHED}
    preset |= entry.presets["paper"]
    assert preset == {setting: value for setting, (value, _) in rows.items()}


@pytest.mark.parametrize("name", WITH_A_PAPER)
def test_the_cohort_of_the_preset_is_the_papers_line_by_line(name: str) -> None:
    rows = COHORTS[name]
    assert_complete(rows, [field.name for field in fields(SamplingSettings)])
    assert METHODS[name].made_for["paper"] == {
        setting: value for setting, (value, _) in rows.items() if value is not None
    }


@pytest.mark.parametrize("name", WITH_A_PAPER)
def test_another_cohort_is_told_in_one_line(name: str) -> None:
    papers = METHODS[name].made_for["paper"]
    assert unlike_its_cohort(name, "paper", asdict(SamplingSettings(**papers))) == ""
    pixels = "whole_pixels" if "whole_pixels" in papers else "pixels"
    half = papers[pixels] // 2
    line = unlike_its_cohort(name, "paper", {**papers, pixels: half})
    assert line == (
        f"{name}: the preset paper is made for another cohort, and this one has {pixels} {half} and not "
        f"{papers[pixels]}: what is trained on it is not what the paper describes; build one with "
        f"--{pixels} {papers[pixels]}"
    )


def test_a_cohort_is_read_as_it_was_stored_and_as_it_was_made() -> None:
    stored = {**METHODS["fusion-gan"].made_for["paper"], "boundary_mm": [5.0, 25.0]}  # JSON knows lists only
    assert unlike_its_cohort("fusion-gan", "paper", stored) == ""
    del stored["middle_in_lung"]  # made before there was a choice
    assert "middle_in_lung true and not false" in unlike_its_cohort("fusion-gan", "paper", stored)
    assert "boundary_mm 3,25 and not 5,25" in unlike_its_cohort(
        "fusion-gan", "paper", stored | {"boundary_mm": [3.0, 25.0]}
    )
    assert unlike_its_cohort("alignment", "paper", {"pixels": 64}) == ""
    assert unlike_its_cohort("fusion-gan", "default", {"pixels": 64}) == ""
    fine = "fusion-gan: the preset pixels-128 is made for another cohort, and this one has pixels 64 and not 128; "
    assert unlike_its_cohort("fusion-gan", "pixels-128", {"pixels": 64}) == fine + "build one with --pixels 128"


BEFORE: dict[str, dict[str, Any]] = {
    "fusion-gan": {"upsampling": "bilinear", "background_mask": "soft", "fill": False},
    "metagene-gan": {"generator_objective": "non_saturating"},
}
"""How methods were trained before these were settings."""


@pytest.mark.parametrize("name", BEFORE)
def test_a_run_without_the_newer_settings_is_what_it_was(name: str) -> None:
    for preset in ("default", "paper"):
        entry = METHODS[name]
        values = asdict(entry.settings()) | {
            setting: value for setting, value in entry.presets[preset].items() if setting not in OF_TRAINING
        }
        small = {"width": 2, "discriminator_width": 2, "metagenes": 3, "hidden": 4, "matching": 0.0, "energy": 0.0}
        small |= {"gene_code": "mapping"}
        values |= {setting: value for setting, value in small.items() if setting in values}
        stored = {setting: value for setting, value in values.items() if setting not in BEFORE[name]}
        made = make_method({"method": name, "settings": stored, "genes": 6, "pixels": 32}, alignment=None)
        settings = asdict(made.settings)  # type: ignore[call-overload]
        assert {setting: settings[setting] for setting in BEFORE[name]} == BEFORE[name]
        if isinstance(made, FusionGAN):
            assert made.part.generator.upsampling == "bilinear"


def test_trainings_and_cohorts_without_the_newer_settings_are_what_they_were() -> None:
    training = TrainSettings()
    assert (training.sampling, training.augment, training.quarter_turns, training.soft_masks) == (
        "patients", True, True, True,
    )  # fmt: skip
    assert SamplingSettings().middle_in_lung
