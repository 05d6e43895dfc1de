"""How a cohort lies on disk: its arrays, how they grow, and what is said when they cannot be read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from radiogenesis.cohort import digest as content
from radiogenesis.errors import CohortError
from radiogenesis.version import __version__

SCHEMA_VERSION = 3
"""What is written. Older ones are read: 1, and 2 with whole slices, whose digest does not cover how the expression is
meant to be used."""
WITH_LESIONS = 4
"""What is written where all lesions are kept, so that an older radiogenesis does not take them for one."""
DIGEST_OF_SCALE = 3
"""The schema version from which the digest covers the scale of the expression."""
FORMAT = "radiogenesis cohort"
STORED = {"tumor": "tumour"}
"""Fields of whole slices that have another name on disk: names there stay, since the digest covers them."""
DAMAGED = "the cohort is damaged: copy it again from where it came, or build it again"

ROWS = 256  # of an array that are read at a time where all of it is read once
_CHUNK = 32  # images per chunk: 256 KiB of int16 at 64 x 64


def arrays(pixels: int, whole_pixels: int, *, every_lesion: bool = False) -> dict[str, tuple[Any, tuple[int, ...]]]:
    """The arrays of a store: dtype and the shape behind the first axis."""
    square, whole = (pixels, pixels), (whole_pixels, whole_pixels)
    scans: dict[str, tuple[Any, tuple[int, ...]]] = {
        "scans/image": (np.int16, whole),
        "scans/tumour": (np.bool_, whole),
        "scans/lungs": (np.bool_, whole),
        "scans/patient": (np.int32, ()),
        "scans/plane": (np.int32, ()),
        "scans/to_patient": (np.float64, (3, 3)),
    }
    lesions: dict[str, tuple[Any, tuple[int, ...]]] = {"slices/lesion": (np.int32, ())}
    return (
        (scans if whole_pixels else {})
        | (lesions if every_lesion else {})
        | {
            "slices/image": (np.int16, square),
            "slices/mask": (np.bool_, square),
            "slices/patient": (np.int32, ()),
            "slices/offset_mm": (np.float32, ()),
            "backgrounds/image": (np.int16, square),
            "backgrounds/patient": (np.int32, ()),
            "backgrounds/center_mm": (np.float64, (3,)),
            "backgrounds/boundary_mm": (np.float32, ()),
        }
    )


def facts(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """What the digest covers beside the parts: without the field of view the pixels have no size, and without organ
    and scale the numbers no meaning where they are not HU of lungs."""
    whole = ("whole_pixels", "whole_field_mm") if "whole_pixels" in attributes else ()
    imaging = ("imaging",) if "imaging" in attributes else ()
    return {name: attributes[name] for name in ("schema_version", "pixels", "field_of_view_mm", *whole, *imaging)}


def open_group(path: Path) -> tuple[zarr.Group, dict[str, Any]]:
    """The store's group and attributes, or a CohortError that says why there are none."""
    if not path.is_dir():
        what = "is a file, not a cohort" if path.exists() else "does not exist"
        raise CohortError(what, path=path, remedy="give the folder that `cohort build` or `cohort phantom` wrote")
    foreign = "give the folder that `cohort build` or `cohort phantom` wrote"
    if not (path / "zarr.json").is_file():
        raise CohortError("is not a cohort (it has no zarr.json)", path=path, remedy=foreign)
    with Reading(path, "zarr.json"):
        group = zarr.open_group(path, mode="r", zarr_format=3)
        attributes = dict(group.attrs)
    if attributes.get("format") != FORMAT:
        raise CohortError("is a Zarr store of something else, not a cohort", path=path, remedy=foreign)
    version = attributes.get("schema_version")
    if version not in range(1, WITH_LESIONS + 1):
        newer = isinstance(version, int) and version > WITH_LESIONS
        remedy = "upgrade radiogenesis" if newer else "build the cohort again"
        raise CohortError(
            f"has schema version {version}, and this radiogenesis {__version__} reads {WITH_LESIONS}",
            path=path,
            remedy=remedy,
        )
    absent = {"settings", "provenance", "pixels", "field_of_view_mm", "parts", "digest"} - set(attributes)
    if absent:
        raise CohortError(f"its attributes lack {', '.join(sorted(absent))}", path=path, remedy=DAMAGED)
    return group, attributes


class Reading:
    """Turns whatever goes wrong while a part is read (zarr, codecs, JSON, the disk) into one CohortError."""

    def __init__(self, path: Path, part: str) -> None:
        self.path, self.part = path, part

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception) and not isinstance(error, CohortError):
            what = " ".join(str(error).split()) or type(error).__name__
            raise CohortError(f"part {self.part!r} cannot be read ({what})", path=self.path, remedy=DAMAGED) from error


class GrowingArray:
    """A Zarr array that grows along its first axis and hashes what goes in."""

    def __init__(self, group: zarr.Group, name: str, dtype: Any, tail: tuple[int, ...]) -> None:
        self.name, self.dtype, self.tail = name, np.dtype(dtype), tail
        self.hash = content.start_array(self.dtype, tail)
        pixels = int(np.prod(tail))
        # As many large images as weigh as much as _CHUNK of the usual ones.
        chunk = max(1, _CHUNK * 64**2 // max(pixels, 64**2)) if pixels > 9 else 4096
        self._array = group.create_array(
            name,
            shape=(0, *tail),
            chunks=(chunk, *tail),
            dtype=self.dtype,
            compressors=BloscCodec(cname="zstd", clevel=3, shuffle="bitshuffle", typesize=self.dtype.itemsize),
        )

    def append(self, block: NDArray[Any]) -> None:
        if block.shape[1:] != self.tail:
            raise ValueError(f"{self.name}: block of shape {block.shape}, expected (n, {self.tail})")
        plain = block.astype(self.dtype, casting="same_kind", copy=False)
        self._array.append(plain)
        self.hash.update(content.array_bytes(plain))
