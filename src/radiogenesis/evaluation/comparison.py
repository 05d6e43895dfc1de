"""The comparison: one row per method, the same work for each, seeds of one method together.

Runs belong to one row if method, settings, training and number of steps are the same and only the seed differs. A row
shows the mean over its runs, the interval over patients of that mean (the same resample of patients for every run), and
the range over the runs: two kinds of spread that must not be taken for each other.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from radiogenesis.evaluation.all_measures import NUMBERS
from radiogenesis.evaluation.measures.base import Score
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.stats.resampling import Floats, interval
from radiogenesis.training.registry import METHODS
from radiogenesis.training.settings import TrainSettings

NOT_THE_METHOD = ("seed", "threads", "devices", "nodes", "accelerator", "precision", "checkpoint_every")


@dataclass(frozen=True)
class Row:
    """One method: the names of its runs and their scores.

    Attributes:
        patients: the held-out patients of all its runs; empty where they differ.
        images_seen: in training, by the run that saw fewest.
    """

    label: str
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    scores: tuple[Mapping[str, Score], ...]
    patients: tuple[str, ...]
    images_seen: int


MOST_SETTINGS = 3
"""Settings that a row is named by; a run that differs in more is named by its preset, if it has one."""
OF_LENGTH_AND_SIZE = ("steps", "epochs", "batch", "width", "discriminator_width")


def key(method: str, config: Mapping[str, Any]) -> str:
    """What two runs must share to be one method's seeds, as JSON."""
    training = {k: v for k, v in (config.get("training") or {}).items() if k not in NOT_THE_METHOD}
    kept = {name: config.get(name) for name in ("settings", "alignment", "alignment_method", "expression", "steps")}
    return json.dumps({"method": method, "training": training, **kept}, sort_keys=True, default=str)


def labels(keys: Sequence[str]) -> list[str]:
    """The method's name, and where several rows have it, the settings in which they differ."""
    parsed = [json.loads(settings) for settings in keys]
    names = []
    for settings in parsed:
        namesakes = [other for other in parsed if other["method"] == settings["method"]]
        flat = [_flat(other) for other in namesakes]
        differing = [name for name in _flat(settings) if len({json.dumps(f.get(name)) for f in flat}) > 1]
        if "alignment_method" in differing:  # another kind of alignment has other settings: its name says it
            differing = [name for name in differing if not name.startswith("alignment.")]
        if "steps" in differing:  # however they were asked for
            differing = [name for name in differing if name not in ("settings.steps", "settings.epochs")]
        # What most namesakes share goes unsaid: an ablation is named by what was taken away. So does, where no value
        # has a majority, the default: a run is not named by having its own genes when its null stands beside it.
        default = _defaults(str(settings["method"]))
        said = [
            name
            for name in differing
            if not _usual(_flat(settings)[name], [f.get(name) for f in flat], default.get(name))
        ]
        words = [f"{name.split('.')[-1]} {_flat(settings)[name]}" for name in said]
        if len(said) > MOST_SETTINGS and (preset := _preset(str(settings["method"]), _flat(settings))):
            of_preset = {*METHODS[str(settings["method"])].presets[preset], "alignment_method"}
            rest = [word for name, word in zip(said, words, strict=True) if name.split(".")[-1] not in of_preset]
            words = [f"preset {preset}", *rest]
        text = ", ".join(words)
        names.append(f"{settings['method']} ({text})" if text else str(settings["method"]))
    return names


def _preset(method: str, flat: Mapping[str, Any]) -> str:
    """The preset beside `default` that a run was trained with, whatever its length and size; empty for none."""
    entry = METHODS.get(method)
    for name, preset in (entry.presets if entry else {}).items():
        asked = json.loads(json.dumps({k: v for k, v in preset.items() if k not in OF_LENGTH_AND_SIZE}))
        if asked and all(flat.get(f"settings.{k}", flat.get(f"training.{k}")) == v for k, v in asked.items()):
            return str(name)
    return ""


def _usual(value: Any, values: Sequence[Any], default: Any) -> bool:
    counts = [sum(other == one for other in values) for one in values]
    if max(counts) > len(values) / 2:
        return sum(other == value for other in values) > len(values) / 2
    return bool(value == default)


def _defaults(method: str) -> dict[str, Any]:
    """Default settings of a method and of training by dotted name."""
    kinds = {"training": TrainSettings} | ({"settings": METHODS[method].settings} if method in METHODS else {})
    return _flat(json.loads(json.dumps({name: asdict(kind()) for name, kind in kinds.items()}, default=str)))


def _flat(config: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by dotted name."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict):
            flat |= {f"{name}.{inner}": v for inner, v in value.items()}
        elif name != "method":
            flat[name] = value
    return flat


@dataclass(frozen=True)
class Compared:
    """A run as the comparison needs it; `images_seen` in training."""

    name: str
    method: str
    config: Mapping[str, Any]
    seed: int
    scores: Mapping[str, Score]
    held_out: tuple[str, ...]
    images_seen: int


def rows(runs: Sequence[Compared]) -> list[Row]:
    """Group runs by method, in the order in which the methods first come.

    Runs that share everything, the seed too, are the same run twice, and are not averaged: each has a row of its own.
    """
    groups: dict[tuple[str, str], list[Compared]] = {}
    for run in runs:
        k = key(run.method, run.config)
        twice = any(run.seed == other.seed for other in groups.get((k, ""), []))
        groups.setdefault((k, run.name if twice else ""), []).append(run)
    plain = [k for k, _ in groups]
    grouped = []
    for label, (k, _), members in zip(labels(plain), groups, groups.values(), strict=True):
        held_out = {member.held_out for member in members}
        grouped.append(
            Row(
                f"{label}: {members[0].name}" if plain.count(k) > 1 else label,
                tuple(member.name for member in members),
                tuple(member.seed for member in members),
                tuple(member.scores for member in members),
                held_out.pop() if len(held_out) == 1 else (),
                min(member.images_seen for member in members),
            )
        )
    return grouped


def tidy(methods: Sequence[Row], settings: EvaluationSettings) -> pd.DataFrame:
    """One line per method and measure.

    Returns:
        columns method, measure, better, value (mean over runs), low, high (over patients), runs, runs_low, runs_high,
        reference, null, patients, images, images_seen (in training).
    """
    lines = []
    for row in methods:
        for name, number in NUMBERS.items():
            scores = [scores[name] for scores in row.scores if name in scores]
            if not scores:
                continue
            values = np.array([score.value for score in scores])
            together = len({len(score.draws) for score in scores}) == 1
            low, high = interval(_draws(scores) if together else np.empty(0), settings.confidence)
            lines.append(
                {
                    "method": row.label, "measure": name, "better": number.better, "value": float(values.mean()),
                    "low": low, "high": high, "runs": len(scores), "runs_low": float(values.min()),
                    "runs_high": float(values.max()), "reference": _mean([score.reference for score in scores]),
                    "null": _mean([score.null for score in scores]), "patients": scores[0].patients,
                    "images": sum(score.images for score in scores), "images_seen": row.images_seen,
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def differences(methods: Sequence[Row], settings: EvaluationSettings) -> pd.DataFrame:
    """Every method against the first, measure by measure, paired: each resample holds the same patients for both.

    Only where both were measured on the same patients is there an interval, and a verdict.

    Returns:
        columns method, against, measure, better, difference, low, high, same_patients, verdict ("better", "worse",
        "not decided", "not compared", or "" where no direction is better).
    """
    lines = []
    for row in methods[1:]:
        same = bool(row.patients) and row.patients == methods[0].patients
        for name, number in NUMBERS.items():
            parts = [[s[name] for s in one.scores if name in s] for one in (row, methods[0])]
            if not all(parts):
                continue
            difference = _mean([s.value for s in parts[0]]) - _mean([s.value for s in parts[1]])
            low, high = interval(_draws(parts[0]) - _draws(parts[1]) if same else np.empty(0), settings.confidence)
            sign = {"higher": 1, "lower": -1}.get(number.better, 0)
            decided = "better" if (low > 0) == (sign > 0) else "worse"
            verdict = (decided if low > 0 or high < 0 else "not decided" if same else "not compared") if sign else ""
            lines.append(
                {
                    "method": row.label, "against": methods[0].label, "measure": name, "better": number.better,
                    "difference": difference, "low": low, "high": high, "same_patients": same, "verdict": verdict,
                }
            )  # fmt: skip
    return pd.DataFrame(lines)


def leaders(methods: Sequence[Row], settings: EvaluationSettings) -> pd.DataFrame:
    """Who is ahead of all others, measure by measure: the method with the best value, if the interval of its paired
    difference to every other leaves out 0.

    Returns:
        columns measure, best (the method with the best value), nearest (the other whose difference is least decided),
        difference (best minus nearest), low, high, within_reach (methods that are not decided against the best, joined
        by "; "), verdict ("ahead", "not decided", "not compared").
    """
    lines = []
    for name, number in NUMBERS.items():
        having = [row for row in methods if any(name in scores for scores in row.scores)]
        if number.better not in ("higher", "lower") or len(having) < 2:
            continue
        sign = 1 if number.better == "higher" else -1
        value = {row.label: sign * _mean([s[name].value for s in row.scores if name in s]) for row in having}
        known = [row for row in having if np.isfinite(value[row.label])]
        if len(known) < 2:
            continue
        best = max(known, key=lambda row: value[row.label])
        others = [row for row in known if row is not best]
        apart = differences([best, *others], settings)
        apart = apart[apart["measure"] == name]
        # From 0 up: not decided; the higher, the less. Below 0 the other is behind.
        reached = apart["high"] if sign > 0 else -apart["low"]
        place = int(np.argmax(reached.fillna(-np.inf).to_numpy()))
        nearest = apart.to_dict("records")[place]
        reach = [str(method) for method in apart.loc[apart["verdict"] != "worse", "method"]]
        lines.append(
            {
                "measure": name, "best": best.label, "nearest": nearest["method"], "difference": -nearest["difference"],
                "low": -nearest["high"], "high": -nearest["low"], "within_reach": "; ".join(reach),
                "verdict": "not compared" if not apart["same_patients"].all() else "not decided" if reach else "ahead",
            }
        )  # fmt: skip
    return pd.DataFrame(lines)


def _draws(scores: Sequence[Score]) -> Floats:
    """(D,) resamples of the mean over runs."""
    return np.asarray(np.mean([score.draws for score in scores], axis=0))


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


# In capitals, since "null" would be read from the CSV file as a missing name.
BESIDE = {"reference": "Reference", "null": "Null"}
SPREAD = ("low", "high", "runs_low", "runs_high", "images")


def wide(lines: pd.DataFrame) -> pd.DataFrame:
    """One row per method: for every measure its value, `_low` and `_high`, `_runs_low` and `_runs_high`, and `_images`
    that it was measured on; `images` are the fewest drawings behind any of them, since those without a lesion drop out.
    Then two rows of what the numbers are read beside, means over the methods: reference and null."""
    table = []
    for method, mine in lines.groupby("method", sort=False):
        row: dict[str, Any] = {"method": method, "runs": int(mine["runs"].max())}
        drawn = mine[[NUMBERS[name].of_drawings for name in mine["measure"]]]
        row |= {name: int(drawn[name].min()) for name in ("images_seen", "patients", "images")}
        for line in mine.to_dict("records"):
            name = line["measure"]
            row |= {name: line["value"]} | {f"{name}_{k}": line[k] for k in SPREAD}
        table.append(row)
    for beside, label in BESIDE.items():
        means = lines.groupby("measure")[beside].mean()
        table.append({"method": label} | {str(name): float(mean) for name, mean in means.items()})
    return pd.DataFrame(table)
