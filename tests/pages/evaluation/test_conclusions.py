"""The sentences say what the numbers say, in both directions."""

from __future__ import annotations

import pandas as pd
import pytest

from radiogenesis.evaluation.measures.control import control_conclusion
from radiogenesis.evaluation.measures.diversity import diversity_conclusion
from radiogenesis.evaluation.measures.memorization import memorization_conclusion
from radiogenesis.evaluation.measures.realism import realism_conclusion
from radiogenesis.evaluation.measures.usefulness import usefulness_conclusion
from radiogenesis.pages.evaluation import conclusions as c
from radiogenesis.reporting.wording import coverage, percent


@pytest.mark.parametrize(
    ("more_low", "times", "said"),
    [
        (0.1, 5.0, "are told apart from real ones: KID 0.500"),
        (-0.1, 5.0, "is not shown: KID 0.500"),
        (
            0.1,
            5.0,
            "5.0 times (4.0 to 6.0) the 0.100 (0.050 to 0.150) of real lesions of training patients pasted onto",
        ),
        (0.1, float("nan"), "0.700), beside the 0.100"),
        (0.1, float("inf"), "times (4.0 or more) the 0.100"),
    ],
)
def test_realism_is_judged_by_real_lesions_on_the_same_backgrounds(more_low: float, times: float, said: str) -> None:
    rows = [("drawn", 0.5, 0.3, 0.7), ("same", 0.1, 0.05, 0.15), ("own", 0.01, -0.1, 0.1), ("null", 2, 1, 3)]
    table = pd.DataFrame(rows, columns=["of", "value", "low", "high"]).assign(
        distance="kid",
        times=times,
        times_low=4.0,
        times_high=max(times, 6.0),
        more=0.4,
        more_low=more_low,
        more_high=0.5,
    )
    sentence = realism_conclusion("gan", table, 0.95)
    assert said in sentence
    assert "0.010 (−0.100 to 0.100)" in sentence
    assert "2.000" in sentence


@pytest.mark.parametrize(
    ("one_patient", "patients", "said", "unsaid"),
    [
        (0.1, 0.9, "one lesion only: mode collapse", "the same for everybody"),
        (0.9, 0.1, "the same for everybody", "mode collapse"),
        (0.9, 0.9, "between patients", "It draws"),
    ],
)
def test_collapse_is_named(one_patient: float, patients: float, said: str, unsaid: str) -> None:
    names = ["noise alone", "noise and background", "patients"]
    ratio = [one_patient, one_patient, patients]
    table = pd.DataFrame({"differs": names, "measure": "distance", "ratio": ratio})
    table = table.assign(ratio_low=table["ratio"] - 0.05, ratio_high=table["ratio"] + 0.05)
    sentence = diversity_conclusion("gan", table, 0.95)
    assert said in sentence
    assert unsaid not in sentence


@pytest.mark.parametrize(
    ("low", "high", "p", "said"),
    [(0.01, 0.03, 0.01, "helps a"), (-0.03, -0.01, 0.9, "harms"), (-0.01, 0.03, 0.2, "is not shown")],
)
def test_usefulness_needs_interval_and_test(low: float, high: float, p: float, said: str) -> None:
    row = {"with": 0.82, "without": 0.8, "difference": (low + high) / 2, "low": low, "high": high, "p": p, "steps": 300}
    assert said in usefulness_conclusion("gan", pd.DataFrame([row]), 0.95)


def test_control_where_there_can_be_none_fails_the_measure() -> None:
    rows = [{"feature": "size", "rho": 0.9, "p": 0.001, "q": 0.001}, {"feature": "mean", "rho": 0.9, "p": 0.001}]
    table = pd.DataFrame(rows).assign(reference="own slices", patients=12, share=float("nan"))
    found = table.assign(null_low=-0.2, null_high=0.2)
    deaf = table.assign(rho=0.0, p=1.0, q=1.0)
    said = control_conclusion("in-painting", deaf, 0.95, ignores_genes=True, check=found)
    assert "ρ = 0.90 (null −0.20 to 0.20; both sides, p = 0.002): the measure FAILS" in said
    said = control_conclusion("in-painting", deaf, 0.95, ignores_genes=True, check=found.assign(rho=0.1, p=0.2))
    assert "no control is found where there is none" in said
    said = control_conclusion("in-painting", deaf, 0.95, ignores_genes=True, check=found.assign(rho=-0.4, p=0.999))
    assert "ρ = −0.40 (null −0.20 to 0.20; both sides, p = 0.002): the measure FAILS" in said
    assert "check of the measure" not in control_conclusion("gan", table, 0.95)


def test_drawings_without_a_lesion_say_nothing_about_control() -> None:
    nothing = {"rho": float("nan"), "p": float("nan"), "q": float("nan"), "share": float("nan")}
    table = pd.DataFrame([{"feature": name, **nothing} for name in ("size", "mean")])
    table = table.assign(reference="own slices", patients=12)
    for deaf in (False, True):
        said = control_conclusion("gan", table, 0.95, ignores_genes=deaf)
        assert "no lesion could be measured" in said
        assert "FAILS" not in said


def test_what_was_not_found_is_said_with_what_would_have_been() -> None:
    table = pd.DataFrame([{"feature": name, "rho": 0.1, "p": 0.4, "q": 0.4, "share": float("nan")} for name in "ab"])
    table = pd.concat([table, table.iloc[:1].assign(feature="mean", null_high=0.31)])
    said = control_conclusion("gan", table.assign(reference="own slices", patients=12), 0.95)
    assert "no property" in said
    assert said.endswith("A mean rank correlation above 0.31 would have stood out.")


def test_a_negative_share_has_a_minus_sign() -> None:
    assert percent(-0.571) == "−57 %"
    assert percent(-0.001) == "0 %"


@pytest.mark.parametrize(("confidence", "text"), [(0.95, "95 %"), (0.995, "99.5 %"), (0.8, "80 %"), (0.58, "58 %")])
def test_intervals_are_called_by_their_coverage(confidence: float, text: str) -> None:
    assert coverage(confidence) == text


def test_held_out_patients_in_scans_that_were_trained_on_are_told() -> None:
    series = pd.Series({"a": "1.2", "b": "1.3", "c": "1.2", "d": "1.4", "e": "", "f": ""})
    said = c.shared_scans(series, ["c", "d"], ["a", "b"])
    assert said.startswith("1 of 2 held-out patients lie in scans that training patients lie in too (2 scans)")
    assert not c.shared_scans(series, ["d", "f"], ["a", "b", "e"])


def memorization_table(**drawn: float) -> pd.DataFrame:
    row = {"near": 0.02, "low": 0.0, "high": 0.04, "p": 0.3, "seen_5": 0.4, "seen_100": 1.0} | drawn
    return pd.DataFrame([row, {"near": 0.99}, {"near": 0.01, "false_alarms": 0.04}])


@pytest.mark.parametrize(
    ("drawn", "said", "unsaid"),
    [
        ({"p": 0.001, "near": 0.9, "low": 0.8}, "drawn lesions are copies of training lesions: 90 %", "no sign"),
        (
            {"p": 0.01, "near": 0.07, "low": 0.03},
            "some drawn lesions may be copies of training lesions: 7 %",
            "are copies",
        ),
        ({}, "no sign that training lesions were copied: 2 %", "drawn lesions are copies"),
        (
            {},
            "copies, the test would have seen it in 40 % of resamples of patients; had 100 %, in 100 %.",
            "cannot be said",
        ),
        (
            {"seen_100": 0.5},
            "cannot be said: had all drawings been copies, the test would have seen it in 50 %",
            "no sign",
        ),
        ({"p": float("nan")}, "could not be tested for", "no sign"),
    ],
)
def test_that_there_is_no_sign_of_copies_is_said_with_its_power(
    drawn: dict[str, float], said: str, unsaid: str
) -> None:
    sentence = memorization_conclusion("gan", memorization_table(**drawn), 0.95)
    assert said in sentence
    assert unsaid not in sentence
    assert "by design" not in sentence
    assert "pastes training lesions by design" in memorization_conclusion(
        "nearest", memorization_table(**drawn), 0.95, by_design=True
    )
