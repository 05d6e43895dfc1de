"""Files that are there twice: identical copies, and copies that were cut off on their way."""

from __future__ import annotations

import filecmp
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from radiogenesis.cohort.dicom.headers import Header, Unread
from radiogenesis.cohort.dicom.series import is_whole_slice

COPY, CUT = "a copy of another file", "a truncated copy of another file"


def without_copies(
    headers: Iterable[Header], unread: Iterable[Unread]
) -> tuple[list[Header], list[Unread], list[tuple[Path, str]]]:
    """Drop byte-identical copies of an instance, and truncated ones where a whole one is there.

    Files that share a UID and differ otherwise all stay: stacking refuses them.

    Returns:
        the headers and the unreadable files that are left, and (file, reason) of those dropped.
    """
    groups: dict[str, list[Header]] = defaultdict(list)
    dropped = []
    for header in headers:
        same = groups[header.sop_uid or str(header.path)]  # a blank one names no instance
        if any(filecmp.cmp(one.path, header.path, shallow=False) for one in same):
            dropped.append((header.path, COPY))
        else:
            same.append(header)
    kept: list[Header] = []
    for group in groups.values():
        whole = _whole(group)
        kept += whole
        dropped += [(one.path, CUT) for one in group if one not in whole]
    left = [one for one in unread if not (one.outline and _begins_one_of(one.path, kept))]
    dropped += [(one.path, CUT) for one in unread if one not in left]
    return kept, left, dropped


def _whole(group: Sequence[Header]) -> Sequence[Header]:
    """Those of several files of one instance that are whole; all of them where none is."""
    if len(group) == 1:
        return group
    return [one for one in group if _is_whole(one, group)] or group


def _is_whole(header: Header, group: Sequence[Header]) -> bool:
    if header.is_ct:
        return is_whole_slice(header.path)
    return not _begins_one_of(header.path, [one for one in group if one is not header])


def _begins_one_of(path: Path, others: Iterable[Header]) -> bool:
    """Whether a file is the beginning of another one, up to its SOP instance UID at least."""
    try:
        start = path.read_bytes()
    except OSError:  # a link to nothing, a file that may not be read
        return False
    named = (one for one in others if one.sop_uid and one.sop_uid.encode() in start)
    return any(one.path != path and one.path.read_bytes().startswith(start) for one in named)
