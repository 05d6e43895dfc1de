"""Images that stay in the cohort's store: the blocks in which they lie are read when they are asked for, and the last
ones are kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from radiogenesis.cohort.store import StoredArray

Made = TypeVar("Made")


@dataclass(eq=False)
class Blocks:
    """The blocks that were asked for last, of all images together.

    Attributes:
        limit: bytes that they may take.
        read: how many blocks have been read from the store.
    """

    limit: int
    read: int = 0
    _kept: OrderedDict[tuple[str, int], NDArray[Any]] = field(default_factory=OrderedDict)
    _bytes: int = 0
    _lock: Any = field(default_factory=Lock)

    def block(self, array: StoredArray, number: int) -> NDArray[Any]:
        """A block of an array; the one that nobody asked for longest makes room."""
        with self._lock:
            key = (array.name, number)
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
            found = array.block(number)
            self.read += 1
            self._kept[key] = found
            self._bytes += found.nbytes
            while self._bytes > self.limit and len(self._kept) > 1:
                self._bytes -= self._kept.popitem(last=False)[1].nbytes
            return found


@dataclass(frozen=True, eq=False)
class StoredImages:
    """Some of an array's images, indexed as a tensor (N, 1, P, P) of them is, by rows or by a slice.

    Attributes:
        array: on disk.
        rows: (N,) which of its images.
        blocks: what is kept of it.
        device: where they are put.
    """

    array: StoredArray
    rows: NDArray[np.intp]
    blocks: Blocks
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Tensor | slice) -> Tensor:
        rows = self.rows[at if isinstance(at, slice) else at.cpu().numpy()]
        images = np.empty((len(rows), *self.array.shape[1:]), self.array.dtype)
        block = rows // self.array.block_rows
        for number in np.unique(block):
            mine = block == number
            images[mine] = self.blocks.block(self.array, int(number))[rows[mine] - number * self.array.block_rows]
        return torch.from_numpy(images).unsqueeze(1).to(self.device)

    def to(self, device: torch.device) -> StoredImages:
        """The same images, put on another device."""
        return replace(self, device=device)


class ReadAhead(Generic[Made]):
    """Makes what the next step needs in a thread of its own while this step is computed.

    Args:
        make: step -> what it needs: a function of the step alone, so that it does not matter who calls it.
        last: the number of steps; nothing is made for one beyond.
        device: where it is made, "cpu" or "cuda".
    """

    def __init__(self, make: Callable[[int], Made], last: int, device: str = "cpu") -> None:
        self.make, self.last, self.device = make, last, device
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read ahead")
        self._next: dict[int, Future[Made]] = {}

    def __call__(self, step: int) -> Made:
        waiting = self._next.pop(step, None)
        made = self.make(step) if waiting is None else waiting.result()
        if step + 1 < self.last:
            on, kind = torch.is_autocast_enabled(self.device), torch.get_autocast_dtype(self.device)
            self._next = {step + 1: self._thread.submit(self._like_here, step + 1, on, kind)}
        return made

    def _like_here(self, step: int, autocast: bool, kind: torch.dtype) -> Made:
        """In the precision of the thread that asks: that is a thread's own."""
        with torch.autocast(self.device, kind, enabled=autocast):
            return self.make(step)

    def close(self) -> None:
        """Stop, whatever was begun."""
        self._thread.shutdown(wait=False, cancel_futures=True)
