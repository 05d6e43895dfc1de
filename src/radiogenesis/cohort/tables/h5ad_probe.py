"""Reads all of an HDF5 file, in a process of its own that may die of it: `python h5ad_probe.py FILE MOST_BYTES`.

The HDF5 library itself ends a program where some bytes of a file are changed. Prints what is wrong, in one line, and
nothing where all could be read. It imports nothing of this package, since it is started for every file.
"""

import sys
from typing import Any

import h5py  # type: ignore[import-untyped]
import numpy as np


def _touch(item: Any) -> None:
    for name in item.attrs:
        _ = item.attrs[name]
    if isinstance(item, h5py.Dataset):
        _ = item[()]


def _bytes(file: h5py.File) -> dict[str, int]:
    sizes: dict[str, int] = {}

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            sizes[name] = int(np.prod(item.shape or (), dtype=object)) * item.dtype.itemsize

    file.visititems(add)
    return sizes


def main(path: str, most: int) -> None:
    """Open it, and look at every attribute and value."""
    with h5py.File(path) as file:
        sizes = _bytes(file)
        if sum(sizes.values()) > most:
            largest = max(sizes, key=lambda name: sizes[name])
            print(f"it promises {sum(sizes.values()):,} bytes of values, most of them in {largest}")
            return
        _touch(file)
        file.visititems(lambda _, item: _touch(item))


if __name__ == "__main__":
    try:
        main(sys.argv[1], int(sys.argv[2]))
    except Exception as error:  # h5py raises what HDF5 says of a damaged file
        print(" ".join(f"{error or type(error).__name__}".split())[:200])
