"""What tensors and settings of runs from before 2026-11-27 are called now, so that such runs open and go on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {
    "readability": "cross_validated", "seen": "in_sample_deviation", "centred_decoder": "centered_decoder",
    "standardise": "standardize",
}  # fmt: skip


def settings_now(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by the names of today."""
    return {RENAMED.get(name, name): value for name, value in settings.items()}


def tensor_now(tensor: str) -> str:
    """ "alignment.seen" -> "alignment.in_sample_deviation"; all other names stay."""
    return ".".join(RENAMED.get(part, part) for part in tensor.split("."))
