"""What is said of a study when it is made: what it holds, what tells drawn from real without readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from radiogenesis.reporting.wording import join, p_text

ALPHA = 0.05


def said_of_study(key: Mapping[str, Any]) -> list[str]:
    """Sentences on what `key` holds."""
    items = pd.DataFrame(list(key["items"].values()))
    said = [_contents(items), *_fewer(items, key["settings"]), *key["warnings"]]
    if not key["copies"]["found"]:
        said.append(key["copies"]["sentence"])
    said += [_network(kind, found) for kind, found in key.get("network", {}).items()]
    said += [_cues(kind, found) for kind, found in key.get("cues", {}).items()]
    return said + _measured(items)


def _contents(items: pd.DataFrame) -> str:
    parts = []
    rated = items[items["task"] == "rate"]
    if len(rated):
        kinds = rated["kind"].value_counts(sort=False)
        parts.append(f"{len(rated)} images to rate ({join(f'{n} {kind}' for kind, n in kinds.items())})")
    for task, what in (("drawn", "pairs of a drawn and a real lesion"), ("high", "pairs that genes make differ")):
        if count := int((items["task"] == task).sum()):
            parts.append(f"{count} {what}")
    patients = {name for names in items["patients"] for name in names}
    return f"{join(parts)}, of {len(patients)} held-out patients: on them depends how far an answer reaches."


def _fewer(items: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    """What was asked for and could not be made."""
    made = items.groupby(["task", "kind"]).size()
    asked = {("rate", "drawn"): "rated", ("rate", "control"): "controls", ("drawn", "pair"): "pairs"}
    short = [
        f"{made.get(what, 0)} of {settings[name]} {name}"
        for what, name in asked.items()
        if name in settings and made.get(what, 0) < settings[name]
    ]
    return [f"Fewer than asked for: {join(short)}: the others touch the chest wall."] if short else []


def _network(kind: str, found: Mapping[str, float]) -> str:
    """The network's AUC: what drawings can be told by at least."""
    low, high = found["low"], found["high"]
    told = "more than chance" if low > 0.5 else "no more than chance with so few"
    return (
        f"A small network that learned from training patients tells drawings from {KINDS[kind]} with an AUC of "
        f"{found['auc']:.2f} (95 % interval over {found['patients']} held-out patients {low:.2f} to {high:.2f}; chance "
        f"0.50): {told}. This is a lower bound: better readers may tell more."
    )


KINDS = {"pasted": "real lesions laid over the same backgrounds", "original": "real lesions as they were scanned"}


def _cues(kind: str, found: Mapping[str, Mapping[str, float]]) -> str:
    """What simple cues tell: where one does, readers may have used it."""
    listed = join(f"{name} {one['auc']:.2f} ({p_text(one['p'])})" for name, one in found.items())
    telling = [name for name, one in found.items() if one["p"] < ALPHA / len(found)]
    verdict = f"{join(telling)} may give drawings away" if telling else "none gives drawings away"
    return f"Cues without a look at the lesion, drawn against {KINDS[kind]}, as AUC: {listed}: {verdict}."


def _measured(items: pd.DataFrame) -> list[str]:
    """How often a measurement, in place of a reader, finds the property where the genes say."""
    if not (items["task"] == "high").any():
        return []
    pairs = items[items["task"] == "high"]
    parts = []
    for control, name in ((False, "the run"), (True, "the run with shuffled genes")):
        known = pairs.loc[pairs["control"].eq(control), "measured"].dropna()
        if len(known):
            parts.append(f"{name} {known.mean():.0%} of {len(known)}")
    return [f"Pairs in which the property, measured, is on the side where the genes say (chance 50 %): {join(parts)}."]
