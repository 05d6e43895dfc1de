"""The answers and their analysis: readers of known skill are found to have it, and files that cannot be are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from radiogenesis.api.readers import ReaderStudy, analyze_readers
from radiogenesis.errors import InputError
from radiogenesis.readers.analysis import AnalysisSettings, analyzed, times
from radiogenesis.readers.answers import read_answers, read_key
from radiogenesis.readers.conclusions import conclusions
from radiogenesis.readers.simulated import Kind, simulate, simulated

STUDY = "0123456789"


def large_key(patients: int = 100) -> dict:
    """A study with one drawn, one real, one control and one of every pair for each patient."""
    rng = np.random.default_rng(0)
    items = {}
    for number in range(patients):
        owner = {"patients": [f"P{number:03d}"], "network": float(rng.normal())}
        for kind in ("drawn", "pasted", *(["control"] if number < 20 else [])):
            items[f"r{kind[0]}{number}"] = {"task": "rate", "kind": kind, **owner}
        side = {"right": "AB"[rng.integers(2)], **owner}
        items[f"d{number}"] = {"task": "drawn", "kind": "pair", **side}
        for control in (False, True):
            measured = float(rng.random() < (0.5 if control else 0.9))
            moved = {"kind": "moved", "property": ("size", "margin")[number % 2], "control": control}
            items[f"h{number}{int(control)}"] = {"task": "high", **moved, "measured": measured, **side}
    return {"study": STUDY, "items": items}


def written(key: dict, folder: Path, kinds: dict[str, Kind]) -> list[Path]:
    paths = []
    for reader, kind in kinds.items():
        simulated(key, kind, reader, 0).to_csv(folder / f"{reader}.csv", index=False)
        paths.append(folder / f"{reader}.csv")
    return paths


@pytest.fixture(scope="module")
def key() -> dict:
    return large_key()


@pytest.fixture(scope="module")
def guessed(key: dict, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return answers_of("guesses", key, tmp_path_factory.mktemp("guesses"))


@pytest.fixture(scope="module")
def known(key: dict, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    return answers_of("knows", key, tmp_path_factory.mktemp("knows"))


def answers_of(kind: Kind, key: dict, folder: Path) -> pd.DataFrame:
    return read_answers(written(key, folder, {f"R{k}": kind for k in range(6)}), key)


def test_of_those_who_guess_nothing_is_found_and_it_meets_the_bar(guessed: pd.DataFrame) -> None:
    found = analyzed(guessed, AnalysisSettings())
    mean = found.ratings["drawn against pasted"][1]
    assert mean.low < 0.5 < mean.high
    assert all(one.low < 0.5 < one.high for _, one in found.pairs.values())
    said = conclusions(found, AnalysisSettings())
    assert "they cannot be told apart, and the same readers told the shuffled controls" in said[0]
    assert "no sign beyond the control that readers see the genes" in said[-1]


def test_five_who_guess_do_not_meet_the_bar(guessed: pd.DataFrame) -> None:
    table = guessed[guessed["reader"] != "R5"]
    said = conclusions(analyzed(table, AnalysisSettings()), AnalysisSettings())
    assert "undecided" in said[0]
    assert "it would have told an AUC from 0.5" in said[0]


def test_without_controls_the_bar_says_nothing(guessed: pd.DataFrame) -> None:
    table = guessed
    blind = table.assign(answer=np.where(table["kind"] == "control", "3", table["answer"]))
    said = conclusions(analyzed(blind, AnalysisSettings()), AnalysisSettings())
    assert "nothing can be concluded: these readers did not tell the shuffled controls" in said[0]
    said = conclusions(analyzed(table[table["kind"] != "control"], AnalysisSettings()), AnalysisSettings())
    assert "nothing can be concluded: no controls were shown" in said[0]


def test_of_those_who_know_everything_is_found(known: pd.DataFrame) -> None:
    found = analyzed(known, AnalysisSettings())
    assert found.ratings["drawn against pasted"][1].value == 1
    assert found.ratings["drawn against pasted"][1].low == pytest.approx(0.025 ** (1 / 100))  # all of 100 right
    assert {name: round(mean.value, 1) for name, (_, mean) in found.pairs.items()} == {
        "which is drawn": 1.0, "follows the genes": 1.0, "follows shuffled genes": 0.5,
    }  # fmt: skip
    assert found.difference is not None
    assert found.difference.low > 0.3
    assert set(found.properties) == {"size", "margin"}
    said = conclusions(found, AnalysisSettings())
    assert "readers can tell them apart" in said[0]
    assert "readers see that the drawings follow the genes" in said[-1]


def test_who_takes_the_drawn_for_real_tells_them_apart_too(known: pd.DataFrame) -> None:
    table = known
    turned = table["answer"].map(lambda said: {"1": "6", "6": "1"}.get(said, said))
    wrong = table.assign(answer=turned.where(table["task"] == "rate", table["answer"]))
    assert (
        "take the drawn ones for the real ones"
        in conclusions(analyzed(wrong, AnalysisSettings()), AnalysisSettings())[0]
    )


def test_each_reader_is_counted_by_hand(guessed: pd.DataFrame) -> None:
    table = guessed[guessed["reader"].isin(["R0", "R1"])]
    found = analyzed(table, AnalysisSettings()).readers.set_index(["comparison", "reader"])
    mine = table[(table["reader"] == "R1") & table["kind"].isin(["drawn", "pasted"]) & (table["task"] == "rate")]
    right = ((mine["answer"].astype(int) >= 4) == (mine["kind"] == "drawn")).sum()
    assert found.loc[("drawn against pasted", "R1"), "right"] == right
    assert found.loc[("drawn against pasted", "R1"), "answers"] == 200
    clock = times(table).set_index(["task", "reader"])
    assert clock.loc[("drawn", "R0"), "median"] == table.query("task == 'drawn' and reader == 'R0'")["seconds"].median()


def test_who_stops_early_is_left_out_and_it_is_said(known: pd.DataFrame) -> None:
    table = known[known["reader"].isin(["R0", "R1", "R2"])]
    early = table[(table["reader"] != "R2") | (table["number"] <= 50)]
    one = analyzed(early, AnalysisSettings()).ratings["drawn against pasted"][0]
    assert one.readers == ("R0", "R1")
    assert "readers R2: too few answers" in one.left_out
    missing = table.drop(table.index[(table["reader"] == "R1") & (table["item"] == "rd7")])
    one = analyzed(missing, AnalysisSettings()).ratings["drawn against pasted"][0]
    assert one.values.shape == (3, 199)
    assert "1 of 200 cases: not answered by all" in one.left_out


def _other(column: str, value: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda table: table.assign(**{column: [value, *table[column].iloc[1:]]})


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_other("study", "another"), "of study another"),
        (_other("reader", "R9"), "answers of 2 readers"),
        (_other("item", "nothing"), "unknown question 'nothing'"),
        (_other("answer", "7"), "the answer '7'"),
        (_other("seconds", "soon"), "seconds 'soon' is not a number"),
        (_other("seconds", "1e308"), "seconds '1e308' cannot be"),
        (_other("zoom", "-1"), "zoom '-1' cannot be"),
        (_other("window_low", "inf"), "window_low 'inf' cannot be"),
        (lambda table: pd.concat([table, table[:1]]), "twice"),
        (lambda table: table.drop(columns="zoom"), "its columns are others"),
        (lambda table: table[:0], "holds no answers"),
    ],
)
def test_answers_that_cannot_be_are_refused(
    key: dict, tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame], reason: str
) -> None:
    change(simulated(key, "knows", "R0", 0).astype(str)).to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(InputError, match=reason) as refused:
        read_answers([tmp_path / "a.csv"], key)
    assert "a.csv" in str(refused.value)


def test_two_files_of_one_reader_and_what_is_no_key_are_refused(key: dict, tmp_path: Path) -> None:
    (path,) = written(key, tmp_path, {"R0": "knows"})
    with pytest.raises(InputError, match="answers of reader R0, as"):
        read_answers([path, path], key)
    with pytest.raises(InputError, match="no such file"):
        read_answers([tmp_path / "b.csv"], key)
    (tmp_path / "key.json").write_text("[]")
    for name, reason in (("key.json", "is not the key"), ("none.json", "there is no key")):
        with pytest.raises(InputError, match=reason):
            read_key(tmp_path / name)


def test_from_a_made_study_to_its_page(key: dict, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text(json.dumps(key | _RECORD))
    files = simulate(tmp_path / "key.json", tmp_path / "rehearsal", readers=2, seed=0)
    assert {path.parent.name for path in files} == {"guesses", "knows", "network"}
    network = [path for path in files if path.parent.name == "network"]
    found = analyze_readers(network, tmp_path / "out", key=tmp_path / "key.json")
    assert isinstance(found, ReaderStudy)
    text = (tmp_path / "out" / "report.html").read_text()
    assert "Does it follow the genes?" in text
    assert found.table("ratings").set_index("comparison").loc["drawn against pasted", "readers"] == 2
    assert {"one_shot", "error", "detectable", "kappa"} <= set(found.table("ratings"))
    record = json.loads((tmp_path / "out" / "readers.json").read_text())
    assert {"study", "settings", "radiogenesis", "conclusions", "key_sha256", "answers"} <= set(record)


_RECORD = {
    "warnings": [], "copies": {"found": False, "sentence": "No sign of copies."}, "settings": {"seed": 0},
    "network": {"pasted": {"auc": 0.6, "low": 0.5, "high": 0.7, "patients": 9}}, "run": "gan", "weights": "00",
    "cues": {"pasted": {"size": {"auc": 0.5, "p": 0.9}}}, "cohort_digest": "00", "radiogenesis": "0",
}  # fmt: skip
