"""`radiogenesis evaluate`: what it refuses, its help, and what it prints."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from radiogenesis.cli.evaluate import beside, headline_table
from radiogenesis.cli.main import main
from radiogenesis.pages.evaluation import layout

CONTROL = {"run": "gan", "name": "control", "text": "mean Spearman", "value": 0.7, "low": 0.6, "high": 0.8}
CONTROL |= {"regression": 0.8, "null_low": -0.1, "null_high": 0.1, "share": 0.875}
FIDELITY = {"run": "gan", "name": "fidelity", "text": "PSNR", "value": 43.0, "low": 42.0, "high": 44.0, "null": 12.0}
RETRIEVAL = {"run": "al", "name": "retrieval", "text": "rank", "value": 4.4, "low": 3.0, "high": 6.0}
RETRIEVAL |= {"patients": 40, "chance": 20.5}
AT_90 = {"settings": {"confidence": 0.9}}


def test_every_number_stands_beside_what_it_must_be_read_with() -> None:
    assert beside(CONTROL) == "regression 0.80, null -0.10 to 0.10, 88% of the regression"
    assert beside({**CONTROL, "share": float("nan")}) == "regression 0.80, null -0.10 to 0.10"
    assert beside(FIDELITY) == "another background 12.00; high through a narrow seam"
    assert beside(RETRIEVAL) == "of 40; chance 20.5"
    written = StringIO()
    Console(width=120, file=written).print(headline_table({"headline": [CONTROL, FIDELITY, RETRIEVAL], **AT_90}))
    assert "90 % interval" in written.getvalue()
    assert "0.60 to 0.80" in written.getvalue()


def test_a_new_measure_needs_no_more_than_its_sentence() -> None:
    number = {"run": "gan", "name": "new", "text": "sharpness", "value": 0.5, "low": 0.4, "high": 0.6}
    number["beside"] = "Real lesions 0.7."
    assert beside(number) == "Real lesions 0.7."
    card = layout._fact(number, {"runs": ["gan"], **AT_90})
    assert (card.label, card.value, card.beside) == ("Sharpness", "0.5", "90 % interval 0.4 to 0.6. Real lesions 0.7.")


def test_where_no_lesion_was_drawn_the_number_is_said_to_be_missing() -> None:
    nothing = {**CONTROL, "value": float("nan"), "low": float("nan"), "high": float("nan")}
    written = StringIO()
    Console(width=160, file=written).print(headline_table({"headline": [nothing], **AT_90}))
    assert "not measured" in written.getvalue()
    card = layout._fact(nothing, {"runs": ["gan"]})
    assert card.value == "–"
    assert "nan" not in card.beside


def test_one_line_for_what_a_user_can_mend(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = [
        (["evaluate", str(tmp_path / "run"), str(tmp_path)], "already exists; choose another name"),
        (["evaluate", str(tmp_path / "run"), str(tmp_path / "out")], "there is no run here"),
        (["evaluate", str(tmp_path / "out")], "give at least one RUN"),
        (["evaluate", "a", "b", "--permutations", "0"], "permutations is 0, must be at least 1"),
    ]
    for arguments, line in cases:
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1


def test_the_help_shows_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "--help"])
    text = capsys.readouterr().out
    for option in ("--backgrounds_per_patient", "--bootstrap", "--permutations", "--seed", "--cohort"):
        assert option in text
    for option in ("--threshold", "--smallest_ml", "--lung_mm", "--most"):
        assert option in text
    assert "--whole_lung_mm2" not in text  # what slices there are was settled when the cohort was built
