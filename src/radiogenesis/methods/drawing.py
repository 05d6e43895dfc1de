"""What every `synthesize` shares: as many backgrounds as genes, and drawing in chunks."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

CHUNK = 16
"""Drawings at a time: on a CPU their features still fit into the processor's cache, and no GPU runs out of memory."""


def require_pairs(backgrounds: Sized, expression: Sized) -> None:
    """Refuse what does not pair.

    Raises:
        ValueError: not as many backgrounds as gene vectors, or none.
    """
    if len(backgrounds) != len(expression) or not len(backgrounds):
        raise ValueError(f"{len(backgrounds)} backgrounds for {len(expression)} gene vectors: as many, at least one")


def in_chunks(
    method: nn.Module, count: int, draw: Callable[[slice], Sequence[Tensor]]
) -> Sequence[NDArray[np.float32]]:
    """Draw `count` images chunk by chunk, with `method` in evaluation mode.

    In float32 with channels last, which a CPU convolves fastest. Not in bfloat16: it would be quicker, but its 8 bits
    move the densities inside a lesion, and not every processor has it.

    Args:
        method: what draws.
        count: how many, at least one.
        draw: the drawings of a slice -> tensors (B, 1, P, P).

    Returns:
        what `draw` gives, each (count, P, P) float32.
    """
    method.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    with torch.inference_mode():
        parts = [draw(slice(start, min(start + CHUNK, count))) for start in range(0, count, CHUNK)]
    return [torch.cat(part).squeeze(1).float().cpu().numpy() for part in zip(*parts, strict=True)]


def genes_to(device: torch.device, expression: NDArray[np.floating[Any]]) -> Tensor:
    """Scaled genes (B, G) -> float32 on the device."""
    return torch.from_numpy(np.asarray(expression, np.float32)).to(device)
