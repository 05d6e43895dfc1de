"""The run folder before the first step: written for a new run, compared with what is there for one that goes on."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from radiogenesis.cohort.digest import file_digest
from radiogenesis.cohort.expression import ExpressionScaler, ExpressionSettings
from radiogenesis.cohort.split import Split
from radiogenesis.errors import RunError
from radiogenesis.output import check_place, whole_folder, write_text
from radiogenesis.training.intact import PLACES
from radiogenesis.training.registry import entry
from radiogenesis.training.run import (
    Run,
    load_scaler,
    read_config,
    read_provenance,
    save_scaler,
    write_config,
)
from radiogenesis.training.settings import SPLIT_SETTINGS, TrainSettings

_LIBRARIES = ("radiogenesis", "torch", "lightning", "numpy", "anndata", "zarr")
_OF_COHORT = ("whole_lung_mm2",)  # the cohort's content is compared; earlier runs do not have it
_BY_EFFECT = ("precision", "memory_gib", *SPLIT_SETTINGS)  # what they lead to is compared: precision and patients


@dataclass(frozen=True)
class Beginning:
    """What is known of a run before its first step.

    Attributes:
        config: what config.yaml holds.
        split: training, validation and test patients.
        scaler: how expression is scaled; None for a method without genes.
        origin: digests of the cohort and of the alignment's weights, and the seed.
        machine: versions, device, precision, threads.
    """

    config: dict[str, Any]
    split: Split
    scaler: ExpressionScaler | None
    origin: dict[str, Any]
    machine: dict[str, Any]

    def write(self, path: Path) -> None:
        """Make the run folder, whole or not at all. Raises RunError where something is already there."""
        refuse_run(path)
        with whole_folder(path) as partial:
            write_config(partial, self.config)
            self.split.save(partial / "split.json")
            if self.scaler is not None:
                save_scaler(partial, self.scaler)
            write_text(partial / "provenance.json", json.dumps(self.origin | self.machine, indent=1))

    def check(self, path: Path) -> None:
        """Raises RunError unless the run at `path` began as this one would: else patients that it holds out might be
        trained on, or two trainings be mixed into one."""
        if not (path / "config.yaml").is_file():
            raise RunError("there is no run to resume", path=path, remedy="train without --resume")
        before = read_provenance(path)
        if before["cohort_digest"] != self.origin["cohort_digest"]:
            raise RunError(
                "was started on another cohort", path=path, remedy="resume with the cohort it was started on"
            )
        changed = list(_differences(read_config(path), self.config))
        if changed:
            raise RunError(
                f"was started with other settings: {', '.join(changed)}",
                path=path,
                remedy="resume with the same settings",
            )
        _check_split(path / "split.json", self.split)
        if self.scaler is not None:
            _check_scaler(path, self.scaler)
        if before.get("alignment_weights", self.origin["alignment_weights"]) != self.origin["alignment_weights"]:
            raise RunError(
                f"was started with another alignment than {self.config['alignment_run']}",
                path=path,
                remedy="resume with the alignment it was started with",
            )
        earlier, now = before.get("precision", self.machine["precision"]), self.machine["precision"]
        if earlier != now:
            raise RunError(
                f"was started in {earlier} and would go on in {now}", path=path, remedy=f"add --precision {earlier}"
            )

    def note_resumption(self, path: Path, step: int) -> None:
        """Append to provenance.json where and from which step the run goes on."""
        record = read_provenance(path)
        record["resumed"] = [*record.get("resumed", []), {"step": step, **self.machine}]
        write_text(path / "provenance.json", json.dumps(record, indent=1))


def refuse_run(path: Path) -> None:
    """Raises RunError where something is at the place of a new run, and OutputError where it cannot be written."""
    if path.exists():
        raise RunError("is already there", path=path, remedy="choose another name, delete it, or go on with --resume")
    check_place(path)


def origin_of(cohort_digest: str, settings: TrainSettings, alignment: Run | None) -> dict[str, Any]:
    """What a run is made from: digests of the cohort and of the alignment's weights, and the seed."""
    return {
        "cohort_digest": cohort_digest,
        "alignment_weights": None if alignment is None else file_digest(alignment.path / "weights.safetensors"),
        "seed": settings.seed,
    }


def machine_of(settings: TrainSettings, precision: str) -> dict[str, Any]:
    """Where a training runs: versions, device, precision, threads."""
    return {
        "versions": {name: version(name) for name in _LIBRARIES} | {"python": platform.python_version()},
        "device": device_name(settings),
        "precision": precision,
        "threads": torch.get_num_threads(),
    }


def device_name(settings: TrainSettings) -> str:
    """The GPU's name, or the processor's."""
    if settings.accelerator != "cpu" and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return platform.processor() or platform.machine()


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """The settings that differ, with both values."""
    earlier_settings, settings = (_completed(json.loads(json.dumps(config))) for config in (before, now))
    for key, value in settings.items():
        earlier = earlier_settings.get(key)
        if key in (*PLACES, *_OF_COHORT) or earlier == value:
            continue
        if isinstance(value, dict) and isinstance(earlier, dict):
            yield from (
                f"{name} {earlier.get(name)}, not {value.get(name)}"
                for name in earlier | value
                if name not in _BY_EFFECT and earlier.get(name) != value.get(name)
            )
        elif not isinstance(value, dict) and not isinstance(earlier, dict):  # an alignment or none: its method tells
            yield f"{key} {earlier}, not {value}"


def _completed(config: dict[str, Any]) -> dict[str, Any]:
    """Settings that are newer than a run have their defaults."""
    kinds: dict[str, type[Any]] = {"training": TrainSettings, "expression": ExpressionSettings}
    kinds["settings"] = entry(config["method"]).settings
    if config.get("alignment"):
        kinds["alignment"] = entry(config.get("alignment_method", "alignment")).settings
    defaults = {key: json.loads(json.dumps(asdict(kind()))) for key, kind in kinds.items()}
    return config | {key: default | config[key] for key, default in defaults.items() if key in config}


def _check_split(path: Path, now: Split) -> None:
    """Raises RunError where a patient would change parts."""
    before, after = _parts(Split.load(path)), _parts(now)
    moved = sorted(name for name in before | after if before.get(name) != after.get(name))
    if moved:
        held_out = [name for name in moved if before.get(name) == "held out"]
        name = (held_out or moved)[0]
        raise RunError(
            f"{name} is {before.get(name, 'left out')} in this run and would be {after.get(name, 'left out')} now "
            f"({len(moved)} patients differ)",
            path=path,
            remedy="resume with the alignment and the split (--split_seed, --test, --fold) that it was started with",
        )


def _parts(split: Split) -> dict[str, str]:
    """What each patient is for."""
    named = {"trained on": split.train, "validated on": split.validation, "held out": split.test}
    return {name: part for part, names in named.items() for name in names}


def _check_scaler(path: Path, now: ExpressionScaler) -> None:
    """Raises RunError where genes would be scaled otherwise; the last digits may differ between machines."""
    before, after = load_scaler(path).to_arrays(), now.to_arrays()
    same = all(
        before[name].shape == values.shape and np.allclose(before[name], values, rtol=1e-5, atol=1e-6, equal_nan=True)
        for name, values in after.items()
    )
    if not same:
        raise RunError(
            "expression would now be scaled otherwise than when the run was started",
            path=path / "scaler.safetensors",
            remedy="resume with the cohort and the expression settings it was started with, or train a new run",
        )
