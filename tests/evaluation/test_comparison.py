"""The comparison: which runs share a row, how seeds and patients spread, and who is ahead."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from radiogenesis.evaluation.comparison import Compared, differences, key, labels, leaders, rows, tidy, wide
from radiogenesis.evaluation.measures.base import Score
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.pages.evaluation.comparison import method_facts
from radiogenesis.pages.evaluation.conclusions import comparison_conclusions, leader_conclusions
from radiogenesis.training.registry import METHODS
from radiogenesis.training.settings import TrainSettings

SETTINGS = EvaluationSettings()
TEST = ("a", "b", "c")


def run(
    name: str,
    method: str = "gan",
    seed: int = 0,
    value: float = 1.0,
    test: tuple[str, ...] = TEST,
    steps: int = 9,
    **settings: Any,
) -> Compared:
    draws = value + np.linspace(-1, 1, 201)
    scores = {"control": Score(value, draws, 0.9, 0.01, 48, 3), "kid": Score(value / 10, draws / 10, 0.02, 1.0, 48, 3)}
    config = {"settings": settings, "training": {"seed": seed}, "steps": steps}
    return Compared(name, method, config, seed, scores, test, 32 * steps)


def test_seeds_of_one_method_share_a_row_and_settings_do_not() -> None:
    found = rows([run("a", seed=0, x=1), run("b", seed=1, x=1), run("c", seed=0, x=2), run("d", method="other")])
    assert [row.runs for row in found] == [("a", "b"), ("c",), ("d",)]
    assert found[0].seeds == (0, 1)
    assert found[2].label == "other"


def test_an_ablation_is_named_by_what_differs() -> None:
    full = {"adain": True, "mask": True}
    runs = [run("a", **full), run("b", adain=False, mask=True), run("c", adain=True, mask=False)]
    assert [row.label for row in rows(runs)] == ["gan", "gan (adain False)", "gan (mask False)"]


def test_a_run_beside_its_null_keeps_its_plain_name() -> None:
    """Neither has a majority: before, the run was called `gan (shuffle_genes False)`."""
    own, null = run("a", method="fusion-gan", energy=10.0), run("b", method="fusion-gan", energy=0.0)
    own.config["training"].update(shuffle_genes=False)  # type: ignore[attr-defined]
    null.config["training"].update(shuffle_genes=True)  # type: ignore[attr-defined]
    assert [row.label for row in rows([own, null])] == ["fusion-gan", "fusion-gan (energy 0.0, shuffle_genes True)"]


def test_what_is_not_the_method_does_not_part_seeds_but_shuffled_genes_do() -> None:
    one, other, null = run("a"), run("b", seed=1), run("c", seed=2)
    other.config["training"].update(threads=3, checkpoint_every=7)  # type: ignore[attr-defined]
    null.config["training"].update(shuffle_genes=True)  # type: ignore[attr-defined]
    assert [row.runs for row in rows([one, other, null])] == [("a", "b"), ("c",)]


def test_a_row_of_a_preset_is_named_by_it_and_not_by_a_dozen_settings() -> None:
    entry = METHODS["mc-gan"]
    configs = [
        {
            "settings": asdict(entry.settings(**settings)),
            "alignment_method": alignment,
            "training": asdict(TrainSettings()),
        }
        for settings, alignment in (({}, None), ({**entry.presets["additions"], "steps": 9}, "canonical-alignment"))
    ]
    assert labels([key("mc-gan", one) for one in configs]) == ["mc-gan", "mc-gan (preset additions, steps 9)"]
    configs[1]["settings"]["energy"] = 5.0  # type: ignore[index]
    assert "energy 5.0, fill True" in labels([key("mc-gan", one) for one in configs])[1]


def test_the_same_run_twice_is_not_averaged_with_itself() -> None:
    found = rows([run("a"), run("again")])
    assert [row.runs for row in found] == [("a",), ("again",)]
    assert len({row.label for row in found}) == 2


def test_the_mean_over_seeds_with_its_interval_and_the_range_over_seeds() -> None:
    line = tidy(rows([run("a", value=1.0), run("b", seed=1, value=3.0)]), SETTINGS).set_index("measure").loc["control"]
    assert (line["value"], line["runs_low"], line["runs_high"], line["runs"]) == (2.0, 1.0, 3.0, 2)
    assert (line["low"], line["high"]) == pytest.approx((2 - 0.95, 2 + 0.95))
    assert (line["reference"], line["null"]) == (0.9, 0.01)
    assert (line["patients"], line["images"]) == (3, 96)


def test_the_wide_table_ends_with_reference_and_null() -> None:
    table = wide(tidy(rows([run("a"), run("b", method="other", value=5.0)]), SETTINGS)).set_index("method")
    assert list(table.index) == ["gan", "other", "Reference", "Null"]
    assert table.loc["other", "control"] == 5.0
    assert table.loc["Reference", "kid"] == 0.02
    assert table.loc["Null", "kid"] == 1.0
    assert np.isnan(table.loc["Reference", "control_low"])


def test_a_row_says_how_few_images_are_behind_its_numbers() -> None:
    """Drawings without a lesion drop out of the distances; how many were drawn would hide it."""
    one = run("a")
    one.scores["kid"] = Score(0.1, np.zeros(201), images=5, patients=2)  # type: ignore[index]
    one.scores["usefulness"] = Score(0.1, np.zeros(201), images=1, patients=3)  # type: ignore[index]
    line = wide(tidy(rows([one]), SETTINGS)).iloc[0]
    assert (line["images"], line["patients"]) == (5, 2)
    assert (line["control_images"], line["kid_images"], line["usefulness_images"]) == (48, 5, 1)


def test_runs_that_saw_fewer_images_are_told_apart() -> None:
    runs = [run("a", steps=9, batch=32), run("b", steps=99, batch=32), run("c", method="other", steps=3)]
    for one in runs:
        one.config["settings"]["steps"] = one.config["steps"]  # as training writes it
    found = rows(runs)
    assert [row.label for row in found] == ["gan (steps 9)", "gan (steps 99)", "other"]
    assert wide(tidy(found, SETTINGS))["images_seen"].tolist()[:3] == [288, 3168, 96]


def test_differences_are_paired() -> None:
    """The draws of both move together: their difference has no spread, whatever their own."""
    table = differences(rows([run("a"), run("b", method="worse", value=0.5)]), SETTINGS).set_index("measure")
    assert table.loc["control", ["difference", "low", "high"]].tolist() == pytest.approx([-0.5] * 3)
    assert table["verdict"].to_dict() == {"kid": "better", "control": "worse"}
    sentence = comparison_conclusions(table.reset_index(), 0.95)
    assert sentence == [
        "gan against worse, on the same patients: ahead in control; behind in realism (KID) (95 % intervals of the "
        "paired differences)."
    ]


def test_other_patients_decide_nothing() -> None:
    table = differences(rows([run("a"), run("b", method="other", value=9.0, test=("x", "y", "z"))]), SETTINGS)
    assert (table["verdict"] == "not compared").all()
    assert table["low"].isna().all()
    assert comparison_conclusions(table, 0.95) == ["gan and other held out different patients: not compared."]


def test_another_kind_of_alignment_is_another_row_named_by_its_kind() -> None:
    runs = [run("a"), run("b"), run("c")]
    for one, kind in zip(runs, ("canonical-alignment", "canonical-alignment", "alignment"), strict=True):
        settings = {"directions": 12} if kind == "canonical-alignment" else {"dropout": 0.5, "widths": [16, 32]}
        one.config.update(alignment=settings, alignment_method=kind)  # type: ignore[attr-defined]
    runs[1].config["settings"]["width"] = 8
    assert [row.label for row in rows(runs)] == ["gan", "gan (width 8)", "gan (alignment_method alignment)"]


def test_the_pages_first_numbers_are_of_methods_not_of_runs() -> None:
    found = method_facts(rows([run("a", value=0.5), run("b", seed=1, value=0.7), run("c", method="other")]), SETTINGS)
    assert [fact.label for fact in found] == ["gan: Control, ρ", "gan: KID", "other: Control, ρ", "other: KID"]
    first = found[0]
    assert first.value == "0.60"
    assert first.beside == (
        "95 % interval −0.35 to 1.55; 2 runs, 0.50 to 0.70. Ridge regression from the same genes 0.90, other patients' "
        "genes 0.01."
    )
    assert first.share == pytest.approx(0.6 / 0.9)
    assert found[1].share is None
    assert found[2].beside.startswith("95 % interval 0.05 to 1.95. Ridge regression")


def test_what_no_interval_decides_is_said_so_with_the_interval() -> None:
    one, other = run("a"), run("b", method="other", value=1.1)
    other.scores["control"] = Score(1.1, one.scores["control"].draws[::-1] + 0.1, 0.9, 0.01, 48, 3)  # type: ignore[index]
    table = differences(rows([one, other]), SETTINGS)
    assert table.set_index("measure").loc["control", "verdict"] == "not decided"
    (said,) = comparison_conclusions(table, 0.95)
    assert "ahead in realism (KID); behind in nothing; not decided in control (−0.10, −2.00 to 1.80)" in said


def test_ahead_of_all_others_is_who_is_decided_against_each() -> None:
    """`near` is undecided against the best in control; in KID, where less is better, all differences are decided."""
    best, near, far = run("a", value=1.0), run("b", method="near", value=0.9), run("c", method="far", value=0.5)
    near.scores["control"] = Score(0.9, best.scores["control"].draws[::-1] - 0.1)  # type: ignore[index]
    table = leaders(rows([far, best, near]), SETTINGS).set_index("measure")
    assert table.loc["kid", ["best", "nearest", "verdict"]].tolist() == ["far", "near", "ahead"]
    assert table.loc["kid", ["difference", "low", "high"]].tolist() == pytest.approx([-0.04] * 3)
    line = table.loc["control"]
    assert (line["best"], line["nearest"], line["within_reach"], line["verdict"]) == (
        "gan",
        "near",
        "near",
        "not decided",
    )
    assert (line["difference"], line["low"], line["high"]) == pytest.approx((0.1, -1.8, 2.0))
    (said,) = leader_conclusions(table.reset_index(), 0.95)
    assert said.startswith(
        "Ahead of all other methods: far in realism (KID). Not decided: control (0.10, −1.80 to 2.00) "
    )
    assert "between gan and near" in said
