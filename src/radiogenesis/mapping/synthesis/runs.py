"""The runs that a map by synthesis is made from: the run itself, and those with shuffled genes beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from radiogenesis.backends.names import Backend
from radiogenesis.backends.opened import drawn_by, on_backend
from radiogenesis.cohort.digest import file_digest
from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import RunError
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.mapping.synthesis import attribution
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.protocols import Synthesizer
from radiogenesis.training.run import Run
from radiogenesis.training.settings import TrainSettings


@dataclass(frozen=True)
class Trained:
    """A trained method, and whom it was trained on.

    Attributes:
        name: of the run.
        method: what draws.
        split, scaler: of the run.
        alignment: the canonical alignment whose code it draws from, if it does.
        draw: the method with a gradient, if it has one.
        least_area: of the slices it was trained on; see `TrainSettings`.
    """

    name: str
    method: Synthesizer
    split: Split
    scaler: ExpressionScaler
    alignment: CanonicalAlignment | None = None
    draw: attribution.Draw | None = None
    least_area: float = TrainSettings.least_area
    imaging: Imaging = LUNG_CT

    @property
    def unread(self) -> bool:
        """Whether it draws from an alignment none of whose axes is predicted from genes better than by chance."""
        return self.alignment is not None and self.alignment.unread

    @property
    def predicted(self) -> tuple[tuple[str, float, float, float], ...]:
        """Axis, cross-validated r, its 95th percentile by chance, and p, of each axis along which it draws patients as
        far from the mean as lesions are, however little of that their genes predict; empty where it leaves the rest to
        noise, or has no such code."""
        settings = getattr(self.method, "settings", None)
        if self.alignment is None or getattr(settings, "calibrated", False):
            return ()
        a = self.alignment
        return tuple(
            (self.imaging.name(a.settings.axes[k]), float(a.cross_validated[k]), float(a.chance[k]), float(a.p[k]))
            for k in np.flatnonzero(a.used)
        )

    @classmethod
    def of(cls, run: Run, seed: int, imaging: Imaging = LUNG_CT) -> Trained:
        """A finished run. Raises RunError for a method that does not draw."""
        method = run.synthesizer()
        alignment = getattr(method, "alignment", None)
        alignment = alignment if isinstance(alignment, CanonicalAlignment) else None
        return cls(
            run.path.resolve().name,
            method,
            run.split,
            run.scaler,
            alignment,
            attribution.differentiable(method, seed),
            run.config["training"].get("least_area", 0.0),  # runs older than the setting took every slice
            imaging,
        )


def open_runs(
    run: str | Path, nulls: Sequence[str | Path], cohort: Cohort, seed: int, backend: Backend = "torch"
) -> tuple[Trained, list[Trained], dict[str, str]]:
    """The run, those with shuffled genes, and the digests of their weights and what draws.

    Raises:
        RunError: a run that is not there, not finished, of another cohort or a method that does not draw; one that is
            given as a null and was trained with the patients' own genes, or the other way round; or a null that differs
            from the run in more than the shuffle, the seed and its own alignment.
    """
    opened = [Run.open(path) for path in (run, *nulls)]
    require_nulls(opened[0], opened[1:], cohort)
    opened = [on_backend(one, backend) for one in opened]
    names = names_of([one.path for one in opened])
    trained, *shuffled_ones = [
        replace(Trained.of(one, seed, cohort.imaging), name=name) for one, name in zip(opened, names, strict=True)
    ]
    digests = {
        f"Weights of {name}": f"sha256 {file_digest(one.path / 'weights.safetensors')[:12]}"
        for one, name in zip(opened, names, strict=True)
    }
    digests["Drawn by"] = drawn_by(opened[0].method).words
    return trained, shuffled_ones, digests


def names_of(folders: Sequence[Path]) -> list[str]:
    """Names that tell run folders apart: their own, with as many of the folders above as it takes.

    A folder that is given twice has a number behind its name the second time.

    Examples:
        >>> names_of([Path("/runs/gan"), Path("/runs/shuffled")])
        ['gan', 'shuffled']
        >>> names_of([Path("/real/fold-0/gan"), Path("/shuffled/fold-0/gan"), Path("/real/fold-0/gan")])
        ['real/fold-0/gan', 'shuffled/fold-0/gan', 'real/fold-0/gan (2)']
    """
    parts = [path.resolve().parts for path in folders]
    different = len(set(parts))
    depth = next(k for k in range(1, 1 + max(map(len, parts))) if len({part[-k:] for part in parts}) == different)
    names = ["/".join(part[-depth:]) for part in parts]
    before = [names[:k].count(name) for k, name in enumerate(names)]
    return [f"{name} ({count + 1})" if count else name for name, count in zip(names, before, strict=True)]


def require_nulls(run: Run, nulls: Sequence[Run], cohort: Cohort) -> None:
    """Raises RunError where they are not of the cohort, the run was trained with shuffled genes, or a null was not, or
    differs from the run in more than the shuffle, the seed and its own alignment."""
    for number, opened in enumerate((run, *nulls)):
        opened.open_cohort(cohort.path)
        shuffled = bool((opened.config.get("training") or {}).get("shuffle_genes", False))
        if shuffled != (number > 0):
            raise RunError(
                f"was trained with {'shuffled genes' if shuffled else 'the own genes of patients'}", path=opened.path,
                remedy="--run takes a run with the patients' own genes, --null_run runs with --shuffle_genes true",
            )  # fmt: skip
    for null in nulls:
        _require_alike(run, null)


def _require_alike(run: Run, other: Run) -> None:
    """Raises RunError where a null run says something about other settings than the run's. Settings that one of the
    two does not know, of an older version, do not count, nor does who made the alignment, or on what machine."""
    known = {name: value for name, value in run.config.items() if isinstance(value, dict)}
    training = known.get("training", {})  # seed, threads, devices and the like may differ
    known["training"] = {name: training[name] for name in ("sampling", "augment", "least_area") if name in training}
    known |= {name: {name: run.config.get(name)} for name in ("method", "alignment_method", "pixels", "genes")}
    for name, mine in known.items():
        theirs = other.config.get(name)
        theirs = theirs if isinstance(theirs, dict) else {name: theirs}
        different = sorted(key for key in set(mine) & set(theirs) if mine[key] != theirs[key])
        if different:
            key = different[0]
            raise RunError(
                f"was trained with {key} {theirs[key]}, {run.path.resolve().name} with {mine[key]}", path=other.path,
                remedy="train the null run with the same method and settings, and --shuffle_genes true",
            )  # fmt: skip
    if set(run.split.train) != set(other.split.train):
        raise RunError(
            f"was trained on other patients than {run.path.resolve().name}", path=other.path,
            remedy="train the null run with the same --split_seed, --test and --validation",
        )  # fmt: skip
