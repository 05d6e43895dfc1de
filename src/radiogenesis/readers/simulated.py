"""Readers whose skill is known: one who guesses, one who knows, and the network. They rehearse an analysis before
people take time for it, and test it: of those who guess nothing may be found, of those who know everything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from radiogenesis.csv_files import write_csv
from radiogenesis.errors import InputError
from radiogenesis.output import whole_folder
from radiogenesis.readers.answers import COLUMNS, SIDES, read_key

Kind = Literal["guesses", "knows", "network"]
Answer = Callable[[Mapping[str, Any], np.random.Generator], str]


def _guesses(item: Mapping[str, Any], rng: np.random.Generator) -> str:
    if item["task"] == "rate":
        return str(rng.integers(1, 7)) if item["kind"] != "control" else "6"
    return SIDES[rng.integers(2)]


def _knows(item: Mapping[str, Any], rng: np.random.Generator) -> str:
    """Knows all but the control's pairs, in which there is nothing to know."""
    if item["task"] == "rate":
        return "6" if item["kind"] in ("drawn", "control") else "1"
    return SIDES[rng.integers(2)] if item.get("control") else item["right"]


def _network(item: Mapping[str, Any], rng: np.random.Generator) -> str:
    """What the network said of an image, with a reader's noise; of pairs, which it did not see, a guess, and where the
    property was measured, what the measurement says."""
    if item["task"] == "rate":
        return (
            "6"
            if item["kind"] == "control"
            else str(int(np.clip(np.round(3.5 + item["network"] + rng.normal()), 1, 6)))
        )
    if item["task"] == "high" and item["measured"] is not None:
        wrong = SIDES[1 - SIDES.index(item["right"])]
        return item["right"] if rng.random() < item["measured"] else wrong
    return SIDES[rng.integers(2)]


_ANSWERS: Mapping[Kind, Answer] = {"guesses": _guesses, "knows": _knows, "network": _network}


def simulated(key: Mapping[str, Any], kind: Kind, reader: str, seed: int) -> pd.DataFrame:
    """The file of answers of one simulated reader; controls with shuffled pixels are told by all of them."""
    rng = np.random.default_rng([seed, *reader.encode()])
    rows = []
    for number, (name, item) in enumerate(sorted(key["items"].items()), start=1):
        left = "" if item["task"] == "rate" else SIDES[rng.integers(2)]
        said = _ANSWERS[kind](item, rng)
        seconds = round(float(rng.lognormal(1.5, 0.5)), 2)
        rows.append((key["study"], reader, item["task"], name, number, left, said, seconds, -1000, 500, 1))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def simulate(key_path: Path, out: Path, *, readers: int, seed: int) -> list[Path]:
    """Write `readers` files of each kind into a new folder, one folder per kind. The network is left out where the
    study was made without one.

    Raises:
        InputError: no key. OutputError: something is already there.
    """
    if readers < 1:
        raise InputError(f"{readers} readers cannot be simulated", remedy="give at least 1")
    key = read_key(key_path)
    trained = all(item.get("network") is not None for item in key["items"].values() if item["task"] == "rate")
    written = []
    with whole_folder(out) as folder:
        for kind in _ANSWERS:
            if kind == "network" and not trained:
                continue
            (folder / kind).mkdir()
            for number in range(1, readers + 1):
                name = f"{kind}-{number}"
                write_csv(simulated(key, kind, name, seed), folder / kind / f"{name}.csv")
                written.append(out / kind / f"{name}.csv")
    return written
