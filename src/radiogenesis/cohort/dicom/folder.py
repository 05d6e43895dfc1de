"""A folder of DICOM, deep or flat, with everything mixed -> one scan per patient.

Nothing is taken from folder or file names, but that a file without any readable byte was an outline. CT series are
grouped by patient and series UID, patients by PatientID of the CT, and outlines find their CT by the UIDs they hold.
Where MR is asked for (`ReadSettings.normalize`), read MR for CT in what follows.
The rules, in their order, each recorded in `Source.chosen_because`:

Which outline of a patient:
    1. one in which the tumor can be told by the settings, before one in which it cannot;
    2. RTSTRUCT, before SEG in which a person had a hand, before SEG made by an algorithm alone;
    3. the latest by content date and time; then SOP instance UID order.
    A damaged outline keeps the patient it names out of the backgrounds or, where that cannot be read or is nobody
    here, everybody in the nearest folder; where no other outline names the tumor, the patient is out. The same holds
    for a whole one that names nobody and no image that is here.
    The others on the same CT are not used, and no background is cut where they lie (see `beside`).
Which CT series an outline belongs to:
    1. the series that holds most of the images it names; 2. a series whose UID it names; 3. a series in its frame of
    reference; 4. where outline or CT have no such UIDs, the only series of the patient. Images come first because
    early SEG writers name them under wrong series, too.
Which CT series, where this leaves several or nothing is outlined:
    HU before other values, CT before secondary captures of it, axial before reformatted, original before derived, most
    slices, thinnest slices, series UID order.
Slices without series UID are one series where they lie in one folder. Localizers are never candidates; a byte-identical
copy of a file counts once, and so does one that was cut off beside a whole one. Patients that share a series UID are
refused.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.dicom.beside import with_others
from radiogenesis.cohort.dicom.copies import without_copies
from radiogenesis.cohort.dicom.headers import (
    DAMAGE,
    RTSTRUCT,
    SECONDARY_CAPTURE,
    SEGMENTATIONS,
    Header,
    Unread,
    in_hounsfield,
    lenient,
    read_headers,
    what,
)
from radiogenesis.cohort.dicom.outlines import Outline, listed, read_outline
from radiogenesis.cohort.dicom.rtstruct import describe_rtstruct, read_rtstruct, tumor_rois
from radiogenesis.cohort.dicom.seg import describe_seg, read_seg, tumor_segments
from radiogenesis.cohort.dicom.series import Series, read_series
from radiogenesis.cohort.scan import Scan
from radiogenesis.cohort.sources import Findings, ReadSettings, Source
from radiogenesis.errors import ScanError

__all__ = ["Findings", "ReadSettings", "Source", "find_dicom", "read_dicom"]

CtSeries = tuple[Header, ...]
"""The slices of one series of CT, or of MR where that is asked for."""

_NOBODYS = "an outline that names no patient, and no image that is here"


def find_dicom(folder: Path, settings: ReadSettings, also: Sequence[Path] = (), series: str = "") -> Findings:
    """Find the patients under `folder`, one CT series each, and the outline drawn on it.

    Only headers are read. A patient without any outline is a source without `outline_files`.

    Args:
        folder: any folder.
        settings: how outlines are told.
        also: outlines that lie elsewhere.
        series: UID of the only series that counts; "" for all.

    Raises:
        ScanError: there is no such folder. All else is reported in the findings.
    """
    if not folder.is_dir():
        raise ScanError("there is no such folder", path=folder)
    headers, unread, copies = without_copies(*read_headers(folder, also))
    if series:
        headers = [one for one in headers if not (one.is_ct or one.is_mr) or one.series_uid == series]
    ct = _series(headers, settings)
    outlines, damaged, left_out = _outlines(headers, settings)
    sources, refused = [], []
    by_patient = _assign(outlines, ct)
    nobodys = [Unread(one.path, _NOBODYS, outline=True) for one, linked in by_patient.pop("", []) if not linked]
    lost = _lost([*damaged, *nobodys, *(one for one in unread if one.outline)], ct, folder)
    lent = {one.path for group in by_patient.values() for one, linked in group if linked}
    # Outlines that lie on a CT belong to that CT's patient, whatever patient their own header names.
    for patient in sorted({header.patient for header in headers if header.path not in lent}):
        own = [one for one in ct if one[0].patient == patient]
        try:
            _refuse_shared(own, ct)
            mine = by_patient.get(patient, [])
            sources.append(_source(patient, own, mine, lost.get(patient, ()), headers, settings))
        except ScanError as error:
            refused.append((patient, str(error)))
    return Findings(
        sources=sources,
        refused=refused,
        skipped=sorted([*((one.path, _why(one)) for one in (*unread, *damaged, *nobodys)), *copies, *left_out]),
        modalities=Counter(header.modality for header in headers),
    )


def read_dicom(source: Source, settings: ReadSettings, *, of_lungs: bool = True) -> Scan:
    """Read the series and the outline of one source.

    Args:
        of_lungs: whether backgrounds are cut from lungs; see `beside.with_others`.

    Raises:
        ScanError: one line that says what is wrong with the series (see `series.read_series`) or with the outline (see
            `rtstruct.read_rtstruct`, `seg.read_seg`).
    """
    series = read_series(source.image_files, settings)
    acquisition = replace(series.acquisition, chosen_because=source.chosen_because)
    scan = Scan(
        patient=source.patient,
        hu=series.hu,
        affine=series.affine,
        acquisition=acquisition,
        remarks=series.remarks,
    )
    for path in source.outline_files:
        if path in source.unread_outlines:
            raise ScanError(f"an outline could not be read: {path}", remedy="copy it again")
        try:
            with lenient():
                name, mask, how, remark, parts = _read_outline(path, series, settings)
        except DAMAGE as error:
            line = " ".join(str(error).split())
            raise ScanError(f"the outline cannot be read: {line}", path=path, remedy="copy it again") from error
        because = "; ".join(filter(None, [scan.acquisition.chosen_because, how]))
        scan = replace(scan, acquisition=replace(scan.acquisition, chosen_because=because))
        scan = replace(scan, remarks=(*scan.remarks, *filter(None, [remark])))
        scan = scan.with_mask(name, mask, tumor=True)
        scan = scan.with_parts(parts) if len(parts) > 1 else scan
    return with_others(scan, source, series, settings, of_lungs=of_lungs)


def _read_outline(
    path: Path, series: Series, settings: ReadSettings
) -> tuple[str, NDArray[np.bool_], str, str, list[tuple[str, NDArray[np.bool_]]]]:
    """Name and mask (Z, Y, X) of the tumor, a remark on how it was read, one on what was assumed, and where it is
    several ROIs or segments, each of these by itself."""
    data = read_outline(path)
    if data.get("SOPClassUID") == RTSTRUCT:
        name, mask, remark = read_rtstruct(data, path, series, settings)
        return name, mask, "", remark, tumor_rois(data, path, series, settings)
    return *read_seg(data, path, series, settings), tumor_segments(data, path, series, settings)


def _series(headers: Iterable[Header], settings: ReadSettings) -> list[CtSeries]:
    """The series of CT, or of MR where that is asked for, each of one patient, without localizers."""
    series: dict[tuple[str, str], list[Header]] = defaultdict(list)
    for header in headers:
        if (header.is_ct if settings.modality == "CT" else header.is_mr) and "LOCALIZER" not in header.image_type:
            series[header.patient, header.series_uid or str(header.path.parent)].append(header)
    return [tuple(slices) for slices in series.values()]


def _refuse_shared(own: Iterable[CtSeries], series: Iterable[CtSeries]) -> None:
    """Raises ScanError where other patients have slices in one of a patient's own series."""
    mine = {one[0].series_uid for one in own} - {""}
    holders: dict[str, set[str]] = defaultdict(set)
    for one in series:
        holders[one[0].series_uid].add(one[0].patient)
    for uid in sorted(mine):
        if len(holders[uid]) > 1:
            raise ScanError(
                f"CT series {uid} holds slices of several patients: {listed(sorted(holders[uid]))}",
                remedy="correct PatientID, or give each patient's series a UID of its own",
            )


def _outlines(
    headers: Iterable[Header], settings: ReadSettings
) -> tuple[list[Outline], list[Unread], list[tuple[Path, str]]]:
    """The outlines that are whole, those that are damaged, and (file, reason) of those that may not be the tumor's."""
    outlines, damaged, left_out = [], [], []
    for header in headers:
        if header.sop_class not in (RTSTRUCT, *SEGMENTATIONS):
            continue
        describe = describe_rtstruct if header.sop_class == RTSTRUCT else describe_seg
        try:
            with lenient():
                outline = describe(read_outline(header.path), header.path, settings)
        except DAMAGE as error:
            damaged.append(Unread(header.path, what(error), header.patient, outline=True))
            continue
        outlines.append(outline)
        if outline.automatic and not settings.automatic_outlines:
            left_out.append((header.path, "outlined by an algorithm alone; left out by automatic_outlines"))
    return outlines, damaged, left_out


def _why(unread: Unread) -> str:
    return f"an outline that cannot be read: {unread.reason}" if unread.outline else unread.reason


def _lost(damaged: Iterable[Unread], series: Sequence[CtSeries], root: Path) -> Mapping[str, list[Unread]]:
    """Patients, and the damaged outlines that may be theirs."""
    lost: dict[str, list[Unread]] = defaultdict(list)
    for one in sorted(damaged, key=lambda one: one.path):
        for patient in _may_belong_to(one, series, root):
            lost[patient].append(one)
    return lost


def _may_belong_to(unread: Unread, series: Sequence[CtSeries], root: Path) -> set[str]:
    """The patient it names; where that is nobody with CT, everybody with CT in the nearest folder."""
    if unread.patient and any(slices[0].patient == unread.patient for slices in series):
        return {unread.patient}
    for folder in unread.path.parents:
        near = {slices[0].patient for slices in series if any(folder in slice.path.parents for slice in slices)}
        if near or folder == root:
            return near
    return set()


def _assign(outlines: Iterable[Outline], series: Sequence[CtSeries]) -> dict[str, list[tuple[Outline, list[CtSeries]]]]:
    """Outlines with the CT series they may lie on, by the patient of that CT: an outline's own PatientID may differ."""
    by_patient: dict[str, list[tuple[Outline, list[CtSeries]]]] = defaultdict(list)
    for outline in outlines:
        linked = _linked(outline, series)
        patient = linked[0][0].patient if linked else outline.patient
        by_patient[patient].append((outline, linked))
    return by_patient


def _linked(outline: Outline, series: Sequence[CtSeries]) -> list[CtSeries]:
    """The CT series an outline belongs to, by the strongest reference that leads to one."""
    held = [sum(slice.sop_uid in outline.image_uids for slice in one) for one in series]
    by_image = [one for one, count in zip(series, held, strict=True) if count == max(held) > 0]
    by_series = [one for one in series if one[0].series_uid in outline.series_uids]
    by_frame = [one for one in series if one[0].frame_of_reference in outline.frames_of_reference]
    return by_image or by_series or by_frame or _only_one(outline, series)


def _only_one(outline: Outline, series: Sequence[CtSeries]) -> list[CtSeries]:
    """The only CT series of the outline's patient, where one of the two has no UIDs by which they could be compared."""
    own = [one for one in series if one[0].patient == outline.patient != ""]
    if len(own) != 1:
        return []
    bare_outline = not (outline.image_uids or outline.series_uids or outline.frames_of_reference)
    bare_series = not (own[0][0].series_uid or own[0][0].sop_uid or own[0][0].frame_of_reference)
    return own if bare_outline or bare_series else []


def _source(
    patient: str,
    series: list[CtSeries],
    outlines: list[tuple[Outline, list[CtSeries]]],
    lost: Sequence[Unread],
    headers: Iterable[Header],
    settings: ReadSettings,
) -> Source:
    """One patient's source, or a ScanError that says why there is none."""
    if not patient:
        raise ScanError("files without PatientID and PatientName", remedy="set PatientID")
    if not series:
        counts = Counter(header.modality for header in headers if header.patient == patient)
        raise ScanError(
            f"no {settings.modality} series, only " + ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items()))
        )
    allowed = [one for one in outlines if settings.automatic_outlines or not one[0].automatic]
    linked = [(outline, candidates) for outline, candidates in allowed if candidates]
    if allowed and not linked:
        outline = allowed[0][0]
        raise ScanError(
            f"the outline refers to another frame of reference ({listed(sorted(outline.frames_of_reference))}) and to "
            f"series that are not here ({listed(sorted(outline.series_uids))})",
            path=outline.path,
            remedy=f"give the {settings.modality} it was drawn on",
        )
    linked.sort(key=lambda pair: _outline_preference(pair[0]))
    if not linked or (lost and not linked[0][0].chosen):
        if lost and lost[0].reason == _NOBODYS:
            raise ScanError(f"may be the patient of {_NOBODYS}", path=lost[0].path, remedy="set its PatientID")
        chosen = min(series, key=_preference)
        files = tuple(one.path for one in lost[:1])
        return _made(patient, chosen, files, [_choice(chosen, series)], lost, outlines)
    outline, candidates = linked[0]
    chosen = min(candidates, key=_preference)
    why = [_link(outline, chosen, series), _choice(chosen, candidates), _outline_choice(outline, linked)]
    return _made(patient, chosen, (outline.path,), why, lost, outlines)


def _made(
    patient: str,
    series: CtSeries,
    chosen: tuple[Path, ...],
    why: Iterable[str],
    lost: Iterable[Unread],
    outlines: Iterable[tuple[Outline, list[CtSeries]]],
) -> Source:
    frame = series[0].frame_of_reference
    others = {
        outline.path
        for outline, candidates in outlines
        if series in candidates or (frame and frame in outline.frames_of_reference)
    }
    if not series[0].series_uid:
        why = [*why, "its slices have no SeriesInstanceUID: those of one folder are taken for a series"]
    return Source(
        patient=patient,
        kind="dicom",
        image_files=tuple(slice.path for slice in series),
        outline_files=chosen,
        unread_outlines=tuple(one.path for one in lost),
        other_outlines=tuple(sorted(others - set(chosen))),
        chosen_because="; ".join(filter(None, why)),
    )


def _preference(series: CtSeries) -> tuple[bool, bool, bool, bool, int, float, str]:
    """Sorts the best series first."""
    first = series[0]
    thickness = first.thickness_mm if math.isfinite(first.thickness_mm) else math.inf
    least = not in_hounsfield(first.rescale_type), first.sop_class == SECONDARY_CAPTURE
    return *least, not _is_axial(first), "DERIVED" in first.image_type, -len(series), thickness, first.series_uid


def _is_axial(header: Header) -> bool:
    """Whether the slice normal lies within 45 degrees of the body's long axis; False where it is unknown."""
    if len(header.orientation) != 6:
        return False
    x1, y1, _, x2, y2, _ = header.orientation
    return abs(x1 * y2 - y1 * x2) > math.cos(math.radians(45))


def _outline_preference(outline: Outline) -> tuple[bool, int, str, str]:
    """Sorts the best outline first."""
    rank = 0 if outline.kind == "RTSTRUCT" else 2 if outline.automatic else 1
    latest_first = "".join(chr(0x10FFFF - ord(letter)) for letter in outline.made) + chr(0x10FFFF)
    return not outline.chosen, rank, latest_first, outline.uid


def _link(outline: Outline, chosen: CtSeries, series: Sequence[CtSeries]) -> str:
    if not any(slice.sop_uid in outline.image_uids for slice in chosen) and (
        chosen[0].series_uid not in outline.series_uids
    ):
        if outline.frames_of_reference and chosen[0].frame_of_reference:
            return f"series in the frame of reference of {outline.path.name}; the series it refers to is not here"
        return f"only series of the patient that {outline.path.name} names; there are no UIDs to compare"
    return (
        f"series that {outline.kind} {outline.path.name} refers to, of {len(series)} {chosen[0].scan} series"
        if len(series) > 1
        else ""
    )


def _choice(chosen: CtSeries, candidates: Sequence[CtSeries]) -> str:
    if len(candidates) < 2:
        return ""
    return (
        f"best of {len(candidates)} {chosen[0].scan} series by axial, original, most slices ({len(chosen)}), thinnest "
        f"({chosen[0].thickness_mm:g} mm), UID"
    )


def _outline_choice(outline: Outline, linked: Sequence[tuple[Outline, list[CtSeries]]]) -> str:
    why = []
    if len(linked) > 1:
        why.append(f"{outline.kind} {outline.path.name} of {len(linked)} outlines by RTSTRUCT, person, latest, UID")
    if len(outline.chosen) > 1:
        why.append(f"united {listed(outline.chosen)}")
    why.append(outline.coded)
    if outline.automatic:
        why.append("outlined by an algorithm alone")
    return "; ".join(filter(None, why))
