"""A run: the folder that training writes, and what can be read from it.

RUN/
  config.yaml            method, its settings, the training settings, the cohort
  split.json             patients: those trained on, those for validation, those held out
  scaler.safetensors     how expression is scaled, fitted on the training patients; genes.json names the genes
  weights.safetensors    the trained method; there only once training has finished
  metrics.csv            one line per checkpoint: losses, images per second, share of time spent loading
  provenance.json        digests of cohort and alignment, seed; versions, device, precision, also of every
                         resumption; digests of settings, split, scaler and weights, compared when it is opened
  samples/               a grid of drawings at each checkpoint
  tensorboard/           the same numbers for TensorBoard
  checkpoints/           for --resume only
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import torch
import yaml
from anndata import AnnData
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import nn

from radiogenesis.cohort.digest import file_digest
from radiogenesis.cohort.expression import ExpressionScaler
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.csv_files import read_csv
from radiogenesis.errors import InputError, RunError, SettingError
from radiogenesis.given_files import read_json, read_yaml
from radiogenesis.methods.protocols import GeneEncoder, LesionEncoder, Synthesizer
from radiogenesis.output import whole_file, write_text
from radiogenesis.training.intact import refuse_scaler, refuse_weights, settings_digest, verify_files
from radiogenesis.training.preparation import genes_as_trained
from radiogenesis.training.registry import METHODS, AnyAlignment, entry
from radiogenesis.training.renamed import settings_now, tensor_now

_MISFITS = (
    SafetensorError, SettingError, OSError, RuntimeError, ValueError, TypeError, KeyError, AttributeError, IndexError,
    OverflowError, AssertionError, ZeroDivisionError,
)  # fmt: skip
"""What torch and the methods raise where weights are not those of the settings."""
WRITTEN = ("split.json", "scaler.safetensors", "genes.json")
"""What a finished run is read from beside its weights; their digests stand in provenance.json."""


@dataclass(frozen=True)
class Run:
    """A finished training run.

    Attributes:
        path: the folder.
        config: what config.yaml holds: method, settings, training, expression, cohort, genes, pixels, pixel_mm; of
            methods on whole slices whole_lung_mm2, the least lung on a slice of the cohort.
        provenance: cohort digest, versions, seed, device.
    """

    path: Path
    config: dict[str, Any]
    provenance: dict[str, Any] = field(repr=False)

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """Open a finished run.

        Raises:
            RunError: nothing there, not a run, training not finished, a file that may not be read, is damaged, or is
                not the one that training wrote.
        """
        path = Path(path)
        closed = [file.name for file in sorted(path.glob("*")) if not os.access(file, os.R_OK)]
        if closed or (path.is_dir() and not os.access(path, os.R_OK | os.X_OK)):
            raise RunError(
                f"{', '.join(closed) or 'the folder'} may not be read (permission denied)", path=path,
                remedy=f"ask its owner for `chmod -R a+rX {path}`",
            )  # fmt: skip
        if not (path / "config.yaml").is_file():
            raise RunError("there is no run here", path=path, remedy="give a folder that `radiogenesis train` wrote")
        if not (path / "weights.safetensors").is_file():
            raise RunError(
                "its training has not finished", path=path, remedy="go on with `radiogenesis train ... --resume`"
            )
        provenance = read_provenance(path)
        verify_files(path, provenance, read_plain_config(path))
        return cls(path, read_config(path), provenance)

    @property
    def method_name(self) -> str:
        """`fusion-gan`, `alignment`, ..."""
        return str(self.config["method"])

    @cached_property
    def split(self) -> Split:
        """Training, validation and test patients."""
        return Split.load(self.path / "split.json")

    @cached_property
    def scaler(self) -> ExpressionScaler:
        """How expression is scaled, fitted on the training patients."""
        return load_scaler(self.path)

    @cached_property
    def metrics(self) -> pd.DataFrame:
        """metrics.csv: a line per checkpoint; empty for a method that is fitted in closed form."""
        file = self.path / "metrics.csv"
        if file.is_file():
            return read_csv(file)
        if self.config.get("steps"):
            raise RunError("is missing", path=file, remedy="copy the whole run again")
        return pd.DataFrame()

    @property
    def samples(self) -> list[Path]:
        """The grids of drawings made while training, in order."""
        return sorted((self.path / "samples").glob("*.png"))

    def open_cohort(self, path: str | Path | None = None) -> Cohort:
        """The cohort it was trained on, from where it was or from `path`.

        Raises:
            RunError: the cohort there is not the one of this run.
            CohortError: there is no readable cohort.
        """
        cohort = Cohort.open(path or self.config["cohort"])
        if cohort.digest != self.provenance["cohort_digest"]:
            raise RunError(
                f"was trained on another cohort than {cohort.path} (digest {cohort.digest[:12]})",
                path=self.path,
                remedy="give the cohort it was trained on",
            )
        return cohort

    @cached_property
    def method(self) -> nn.Module:
        """The trained method, ready for use."""
        try:
            tensors = load_file(self.path / "weights.safetensors")
            weights = {tensor_now(name): tensor for name, tensor in tensors.items()}
            refuse_weights(weights, self.path)
            method = make_method(self.config, alignment=blank_alignment(self.config))
            method.load_state_dict(weights)
        except _MISFITS as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            raise RunError(
                f"its weights do not fit its settings ({first})", path=self.path, remedy="train it again"
            ) from error
        return method.eval()

    def with_method(self, method: nn.Module) -> Run:
        """The same run, but for what draws: its method on another backend."""
        other = replace(self)
        vars(other)["method"] = method  # where `method` keeps what it has read
        return other

    def genes(self, expression: AnnData, patients: Sequence[str]) -> NDArray[np.float32]:
        """Scaled genes (n, G) as the method draws or encodes these patients; see `genes_as_trained`."""
        return genes_as_trained(self.method, self.scaler, self.split, expression, patients)

    def synthesizer(self) -> Synthesizer:
        """The method as something that draws. Raises RunError for a method that does not draw."""
        if not isinstance(self.method, Synthesizer):
            raise RunError(
                f"the method {self.method_name} does not draw",
                path=self.path,
                remedy="give a run of fusion-gan, mc-gan or inpainting-gan",
            )
        return self.method

    def gene_encoder(self) -> GeneEncoder:
        """The method as something that encodes genes. Raises RunError for a method that does not."""
        if not isinstance(self.method, GeneEncoder):
            raise RunError(f"the method {self.method_name} does not encode genes", path=self.path)
        return self.method

    def lesion_encoder(self) -> LesionEncoder:
        """The method as something that encodes lesions beside genes. Raises RunError for a method that does not."""
        if not isinstance(self.method, LesionEncoder):
            raise RunError(
                f"the method {self.method_name} does not encode lesions",
                path=self.path,
                remedy="give a run of canonical-alignment or alignment",
            )
        return self.method


def make_method(config: dict[str, Any], *, alignment: AnyAlignment | None) -> nn.Module:
    """The untrained torch module that a config describes.

    Raises:
        SettingError: settings that do not fit together, or not with the cohort.
    """
    method = entry(config["method"])
    try:
        settings = method.settings(**{**method.before, **_tuples(config["settings"])})
        return method.make(settings, int(config["genes"]), int(config["pixels"]), alignment)
    except ValueError as error:
        raise SettingError(str(error)) from error


def blank_alignment(config: dict[str, Any]) -> AnyAlignment | None:
    """An untrained alignment of the shape that the run's own was; its weights lie among the run's."""
    if config.get("alignment") is None:
        return None
    name = config.get("alignment_method", "alignment")  # older runs know only one
    method = make_method({**config, "method": name, "settings": config["alignment"]}, alignment=None)
    return cast(AnyAlignment, method)


def _tuples(settings: dict[str, Any]) -> dict[str, Any]:
    """YAML knows lists only; the settings' dataclasses hold tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}


def write_config(run: Path, config: dict[str, Any]) -> None:
    """config.yaml."""
    plain = json.loads(json.dumps(config))  # tuples become lists
    write_text(run / "config.yaml", yaml.safe_dump(plain, sort_keys=False))


def read_plain_config(run: Path) -> dict[str, Any]:
    """config.yaml as it stands there. Raises RunError where it is damaged, or a value is of another kind."""
    try:
        config = read_yaml(run / "config.yaml")
        if not isinstance(config, dict) or not {"method", "settings", "training", "cohort"} <= set(config):
            raise ValueError("it lacks the method, its settings or the cohort")
        for name, kinds in _KINDS.items():
            if name in config and (not isinstance(config[name], kinds) or isinstance(config[name], bool)):
                raise ValueError(f"{name} {str(config[name])[:40]!r} is of another kind")
        if config["method"] not in METHODS:
            raise ValueError(f"there is no method {config['method'][:40]!r}")
    except (InputError, OSError, ValueError) as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise RunError(f"config.yaml cannot be read ({first})", path=run, remedy="train it again") from error
    return config


_KINDS: dict[str, tuple[type, ...]] = {
    "method": (str,), "settings": (dict,), "training": (dict,), "expression": (dict,), "cohort": (str,),
    "alignment": (dict, type(None)), "alignment_method": (str, type(None)), "genes": (int,), "pixels": (int,),
    "pixel_mm": (int, float), "steps": (int,),
}  # fmt: skip


def read_config(run: Path) -> dict[str, Any]:
    """config.yaml, its settings by the names of today. Raises RunError where it is damaged."""
    config = read_plain_config(run)
    for part in ("settings", "alignment"):
        if isinstance(config.get(part), dict):
            config[part] = settings_now(config[part])
    return config


def read_provenance(run: Path) -> dict[str, Any]:
    """provenance.json. Raises RunError where it is damaged."""
    try:
        provenance: dict[str, Any] = read_json(run / "provenance.json")
        provenance["cohort_digest"]
    except (InputError, OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"provenance.json cannot be read ({error})", path=run, remedy="train it again") from error
    return provenance


def save_weights(run: Path, method: nn.Module) -> None:
    """weights.safetensors, whole or not at all, after the digests of what a finished run is read from.

    Raises:
        RunError: the training ended in weights that are not finite.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in method.state_dict().items()}
    refuse_weights(tensors, run)
    weights = save(tensors)
    digests = {name: file_digest(run / name) for name in WRITTEN if (run / name).is_file()}
    digests["config.yaml"] = settings_digest(read_plain_config(run))
    record = read_provenance(run) | {"files": digests | {"weights.safetensors": hashlib.sha256(weights).hexdigest()}}
    write_text(run / "provenance.json", json.dumps(record, indent=1))
    with whole_file(run / "weights.safetensors") as partial:
        partial.write_bytes(weights)  # by save_file only the owner could read it, whatever the umask says


def save_scaler(run: Path, scaler: ExpressionScaler) -> None:
    """scaler.safetensors and genes.json."""
    arrays = scaler.to_arrays()
    numbers = {name: torch.from_numpy(a.copy()) for name, a in arrays.items() if a.dtype.kind in "fiub"}
    texts = {name: a.astype(str).tolist() for name, a in arrays.items() if a.dtype.kind not in "fiub"}
    (run / "scaler.safetensors").write_bytes(save(numbers))
    write_text(run / "genes.json", json.dumps(texts))


def load_scaler(run: Path) -> ExpressionScaler:
    """Raises RunError where it is missing or damaged."""
    try:
        arrays = {name: t.numpy() for name, t in load_file(run / "scaler.safetensors").items()}
        texts = read_json(run / "genes.json")
        texts = {name: np.array(listed, dtype=str) for name, listed in texts.items()}
        scaler = ExpressionScaler.from_arrays({**arrays, **texts})
    except (InputError, OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, SafetensorError) as error:
        raise RunError(f"its scaler cannot be read ({error})", path=run, remedy="train it again") from error
    refuse_scaler(scaler, run)
    return scaler
