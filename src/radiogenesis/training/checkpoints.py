"""Checkpoints that a kill or a full disk cannot cost: a new one takes its place whole, and the one before is kept.

RUN/checkpoints/last.ckpt      the newest
RUN/checkpoints/before.ckpt    the one before it, for the case that the newest cannot be read
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import BadZipFile, ZipFile

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from radiogenesis.errors import RunError
from radiogenesis.output import sync, whole_file

LAST, BEFORE = "last.ckpt", "before.ckpt"


class WholeCheckpoints(TorchCheckpointIO):
    """Lightning itself writes to TMPDIR first; where that is another file system, it copies over the last good one."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write beside, keep the one before, take its place."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        content = io.BytesIO()
        torch.save(checkpoint, content)  # to a file torch writes by itself, and a full disk is a RuntimeError
        with whole_file(path) as partial:
            partial.write_bytes(content.getbuffer())
            sync(partial)
            if path.exists():
                path.replace(path.with_name(BEFORE))


def newest(folder: Path) -> tuple[Path | None, int]:
    """The newest checkpoint that is whole, and the step it was saved after; None and 0 where there is none yet. One
    that is passed over is said.

    Raises:
        RunError: there are checkpoints, and none is whole.
    """
    reasons: dict[Path, str] = {}
    for path in (folder / LAST, folder / BEFORE):
        if path.is_file():
            try:
                step = _step_of(path)
                for damaged, why in reasons.items():
                    print(f"{damaged}: cannot be read ({why}); going on from step {step}", file=sys.stderr)
                return path, step
            except (OSError, RuntimeError, EOFError, KeyError, ValueError, UnpicklingError, BadZipFile) as error:
                reasons[path] = (str(error).strip().splitlines() or [type(error).__name__])[0]
    for path, why in reasons.items():
        remedy = "delete the folder with it, and --resume begins at step 0"
        raise RunError(f"cannot be read ({why})", path=path, remedy=remedy)
    return None, 0


def _step_of(path: Path) -> int:
    with ZipFile(path) as archive:
        if damaged := archive.testzip():
            raise ValueError(f"{damaged} is damaged")
    return int(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["state_dict"]["done"])
