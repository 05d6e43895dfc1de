"""Which label of a mask is the tumor: by what the user says, by its name, or because there is no other."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiogenesis.errors import ScanError
from radiogenesis.given_files import read_json

Mask = NDArray[np.bool_]
Names = Mapping[str, tuple[int, ...]]
"""Names of labels, with the numbers of each: regions of nnU-Net have several."""

WHOLE = 0.01  # how far a label may lie off a whole number
OVERSHOOT = 1.5  # below lie probabilities: splines overshoot the 1 of a mask that they resample
TUMOR_WORDS = frozenset(
    f"{word}{plural}"
    for word in ("tumor", "tumour", "lesion", "nodule", "gtv", "cancer", "neoplasm", "metastasis", "metastases")
    for plural in ("", "s")
)
_LISTED = 8


def names_tumor(name: str) -> bool:
    """Whether a word of a name is one for a tumor: lung_nodules, GTV-1, T1lesion; not peritumoral."""
    return not TUMOR_WORDS.isdisjoint(re.findall(r"[a-z]+", name.casefold()))


def chosen(names: Iterable[str], wanted: str) -> list[str]:
    """The names that are the tumor's: those that match a pattern or one of several, or are named like one."""
    if not wanted.strip():
        return [name for name in names if names_tumor(name)]
    patterns = [pattern.strip().casefold() for pattern in wanted.split(",")]
    return [name for name in names if any(fnmatchcase(name.casefold(), pattern) for pattern in patterns)]


def parts_of(values: NDArray[np.float32], path: Path, wanted: str, names: Names, fraction: float) -> dict[str, Mask]:
    """The tumor in a mask's values, (Z, Y, X) bool under the name of each label that belongs to it.

    Args:
        values: (Z, Y, X) whole numbers, as near as resampling leaves them, or probabilities.
        path: the file they are from.
        wanted: numbers, names or patterns with commas between them; "" takes the only label there is, or those that
            `names` calls a tumor.
        names: what the numbers are called; may be empty.
        fraction: from which probability on a voxel is inside.

    Raises:
        ScanError: neither labels nor probabilities, several labels of which none is known to be the tumor's, or no
            label as wanted.
    """
    nearest = np.rint(values)
    if np.abs(values - nearest).max() > WHOLE:
        if values.max() < OVERSHOOT:
            return {"tumor": values >= fraction}
        raise ScanError(
            f"the mask's values up to {values.max():g} are neither labels nor probabilities",
            path=path,
            remedy="save it with 1 inside the tumor and 0 elsewhere",
        )
    there = [int(label) for label in np.unique(nearest[nearest >= 1])]
    numbered: dict[str, tuple[int, ...]] = {str(label): (label,) for label in there}
    named = dict(names) or numbered
    if wanted:
        picked = {name: named[name] for name in chosen(named, wanted)}
        picked = picked or {name: numbered[name] for name in chosen(numbered, wanted)}
    else:
        picked = named if len(named) == 1 else {name: named[name] for name in chosen(named, "")}
    if there and not picked:
        raise _undecided(path, wanted, there, names)
    inside = {name: np.isin(nearest, numbers) for name, numbers in picked.items()}
    drawn = {name: mask for name, mask in inside.items() if mask.any()}
    return drawn or {"tumor": np.zeros(values.shape, bool)}


def _undecided(path: Path, wanted: str, there: Sequence[int], names: Names) -> ScanError:
    called = {number: name for name, numbers in names.items() if len(numbers) == 1 for number in numbers}
    shown = [f"{label} {called[label]}" if label in called else str(label) for label in there[:_LISTED]]
    holds = f"the mask holds several labels ({', '.join(shown)})"
    if wanted:
        holds = f"the mask has no label {wanted!r}; it holds {', '.join(shown) or 'none'}"
    return ScanError(
        holds, path=path, remedy="name the tumor's with --label (numbers, names or patterns), or keep it only"
    )


def dataset_names(dataset: Path, key: str) -> dict[str, tuple[int, ...]]:
    """Names and numbers of the labels, or channels, in a dataset.json of nnU-Net or the Medical Segmentation Decathlon.

    nnU-Net writes {"cancer": 1} (regions: [1, 2]) for labels, both write {"0": "CT"} for channels, and the Decathlon
    {"1": "cancer"} for labels. Empty where there is no such file or key; the background, 0, has no name.

    Raises:
        ScanError: the file is not JSON.
    """
    path = dataset / "dataset.json"
    if not path.is_file():
        return {}
    try:
        described = read_json(path).get(key, {})
        pairs = described.items() if isinstance(described, dict) else enumerate(described)
        named: dict[str, tuple[int, ...]] = {}
        for entry, value in pairs:
            name, number = (value, entry) if str(entry).strip().isdigit() else (entry, value)
            numbers = tuple(int(label) for label in (number if isinstance(number, list) else [number]))
            if key != "labels" or any(numbers):
                named[str(name)] = numbers
    except (OSError, ValueError, TypeError, AttributeError) as error:
        problem = " ".join(str(error).split())
        raise ScanError(f"cannot be read ({problem})", path=path, remedy="mend it, or remove it") from error
    return named
