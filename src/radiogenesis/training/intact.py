"""Whether a run is what training wrote: by digests where the run has them, and by what no trained run holds."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from radiogenesis.cohort.digest import file_digest, json_digest
from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.errors import RunError

PLACES = ("cohort", "alignment_run")
"""What config.yaml says of places: they may lie elsewhere now."""
_ANEW = "copy the run again, or train it again"


def settings_digest(config: Mapping[str, Any]) -> str:
    """sha256 of what config.yaml says, but for places."""
    return json_digest({name: value for name, value in config.items() if name not in PLACES})


def verify_files(run: Path, provenance: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    """Compare the files of a finished run with the digests that training recorded. A run that is older than these is
    said to be so.

    Args:
        config: config.yaml as it stands there.

    Raises:
        RunError: a file is not as it was written.
    """
    recorded = provenance.get("files")
    if not recorded:
        print(
            f"{run}: trained before digests of a run's files were recorded: a damaged or exchanged file may not show",
            file=sys.stderr,
        )
        return
    if not isinstance(recorded, dict):
        raise RunError("provenance.json holds no digests of files", path=run, remedy=_ANEW)
    for name, known in recorded.items():
        # Only names of its own: what somebody else's run calls a file may lie anywhere.
        own = run / Path(str(name)).name
        if not own.is_file():
            raise RunError(f"{own.name} is missing", path=run, remedy="copy the run again")
        is_same = settings_digest(config) == known if name == "config.yaml" else file_digest(own) == known
        if not is_same:
            raise RunError(f"{name} is not as it was written", path=run, remedy="copy the run again")


def refuse_weights(weights: Mapping[str, Tensor], run: Path) -> None:
    """Raises RunError for weights that no training ends in: values that are not finite, or nothing but zeros."""
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise RunError(
                f"its weights hold values that are not finite ({name})", path=run,
                remedy="train it again with a lower learning rate or another seed, or copy it again if it was sound",
            )  # fmt: skip
    matrices = [tensor for tensor in weights.values() if tensor.is_floating_point() and tensor.ndim > 1]
    if matrices and not any(bool(tensor.any()) for tensor in matrices):
        raise RunError("all of its weights are zero", path=run, remedy=_ANEW)


def refuse_scaler(scaler: ExpressionScaler, run: Path) -> None:
    """Raises RunError for a scaler that no training patients give: lengths that differ, a spread of zero or below,
    values that are not finite."""
    arrays = {"mean": scaler.mean, "scale": scaler.scale, "median": scaler.median}
    problem = ""
    if any(values.shape != (len(scaler.genes),) for values in arrays.values()):
        shapes = ", ".join(f"{name} {values.shape}" for name, values in arrays.items())
        problem = f"{len(scaler.genes)} genes and {shapes}"
    elif not np.isfinite([scaler.mean, scaler.scale]).all() or np.isinf(scaler.median).any():
        problem = "it holds values that are not finite"
    elif (scaler.scale <= 0).any():
        problem = f"the spread of {scaler.genes[int(np.argmax(scaler.scale <= 0))]} is not above 0"
    if problem:
        raise RunError(f"its scaler cannot be read ({problem})", path=run, remedy=_ANEW)
