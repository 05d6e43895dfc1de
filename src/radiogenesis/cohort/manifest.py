"""A manifest: a table that names each patient's image and mask, whatever their files are called.

    patient,image,mask,label,site,age
    P1,scans/one.nii.gz,masks/one.nrrd,2,A,61
    P2,dicom/P2,dicom/P2/rt.dcm,GTV-1,B,70

patient and image are needed. Paths count from the manifest's folder; an image is a volume file (NIfTI, NRRD, MetaImage)
or a folder of DICOM, a mask is a volume file or an RTSTRUCT or SEG. `label` says which label, ROI or segment is the
tumor, `series` which DICOM series of the folder (its UID), `channel` which of several channels, `organ_mask` where the
organ lies. Several rows of a patient with one image are several outlines on it. Every further column says something of
the patient (site, scanner, age ...), and goes to the clinical table.

Whatever is wrong is said of all lines at once, before anything is read.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
from rapidfuzz import process
from rapidfuzz.distance import OSA

from radiogenesis.cohort.dicom.folder import find_dicom
from radiogenesis.cohort.sources import Findings, ReadSettings, Source
from radiogenesis.cohort.tables.annotations import plain_columns
from radiogenesis.cohort.tables.reading import read_table
from radiogenesis.cohort.tables.text_files import is_zip, open_text
from radiogenesis.cohort.volume_files import data_of, is_volume
from radiogenesis.errors import InputError, ScanError

NEEDED = ("patient", "image")
KNOWN = (*NEEDED, "mask", "label", "series", "channel", "organ_mask")
_PATHS = ("image", "mask", "organ_mask")
_LIKE = 0.74  # from this likeness on a column is a known one, misspelt (OSA distance: maks is, age is not)
_NEAR = 0.6  # the same, of a file's name
_ALSO_KNOWN_AS = {"img": "image", "scan": "image", "file": "image", "path": "image", "segmentation": "mask",
                  "seg": "mask", "id": "patient", "patient_id": "patient", "patientid": "patient",
                  "subject": "patient", "case": "patient"}  # fmt: skip
_SHOWN = 40  # problems


@dataclass(frozen=True)
class _Row:
    """One line of a manifest: its number, its cells by column, and the files and folders it names."""

    line: int
    cells: dict[str, str]
    paths: dict[str, Path]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


class _Problems(list[tuple[int, str]]):
    """(line, what is wrong there and what to do)."""

    def __init__(self) -> None:
        super().__init__()
        self._names: dict[Path, list[str]] = {}

    def say(self, line: int, problem: str, remedy: str) -> None:
        self.append((line, f"{problem}; {remedy}"))

    def names_in(self, folder: Path) -> list[str]:
        """The names in a folder, listed once for all lines that lead there."""
        if folder not in self._names:
            self._names[folder] = sorted(path.name for path in folder.iterdir())
        return self._names[folder]

    def refuse(self, path: Path) -> None:
        """Raises InputError with all of them, a line each."""
        if not self:
            return
        told = [f"  line {line}: {what}" for line, what in sorted(self)]
        rest = [f"  and {len(told) - _SHOWN} more"] if len(told) > _SHOWN else []
        count = f"{len(told)} problem{'s' * (len(told) > 1)}"
        raise InputError("\n".join([f"{count}, nothing was read", *told[:_SHOWN], *rest]), path=path)


def read_manifest(path: Path, settings: ReadSettings) -> Findings:
    """The sources that a manifest names, one per patient, and the further columns (`Findings.columns`).

    Raises:
        InputError: it cannot be read, or names files that are not there, doubles, or columns that are nearly known
            ones: all of it at once, a line each.
    """
    table = read_table(path, InputError)
    problems = _Problems()
    header, *numbers = _lines(path)
    _check_columns(list(table.columns), header, problems)
    problems.refuse(path)
    table.columns = pd.Index([_known(name) or name for name in table.columns])
    rows = [
        _row(line, dict(zip(table.columns, cells, strict=True)), path.parent, problems)
        for line, cells in zip(numbers, table.itertuples(index=False), strict=False)
    ]
    by_patient: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        by_patient[row["patient"]].append(row)
    by_patient.pop("", None)
    for own in by_patient.values():
        _check_doubles(own, problems)
    _check_shared([row for own in by_patient.values() for row in own], problems)
    further = [name for name in table.columns if name not in KNOWN]
    for own in by_patient.values():
        _check_agree(own, further, problems)
    problems.refuse(path)
    usable = [_source(patient, own, settings, problems) for patient, own in sorted(by_patient.items())]
    problems.refuse(path)
    cells = [own[0].cells for own in by_patient.values()]
    columns = pd.DataFrame(cells, index=list(by_patient), columns=list(table.columns))[further]
    sources = [source for source in usable if source is not None]
    kinds = Counter("DICOM folder" if source.kind == "dicom" else "image file" for source in sources)
    return Findings(
        sources=sources,
        modalities=kinds,
        layout=f"manifest {path.name} ({len(sources)})",
        columns=plain_columns(columns.rename_axis("patient")) if further else None,
    )


def _known(name: str) -> str | None:
    """The known column that a name is, in whatever case."""
    plain = name.strip().casefold()
    return plain if plain in KNOWN else None


def _check_columns(names: Sequence[str], line: int, problems: _Problems) -> None:
    meant = {name: like for name in names if (like := _like(name)) and _known(name) is None}
    for name, like in meant.items():
        problems.say(line, f"column {name!r} is unknown", f"rename it to {like} if it is that, else otherwise")
    known = [name for name in map(_known, names) if name]
    for name in sorted({name for name in known if known.count(name) > 1}):
        problems.say(line, f"two columns {name!r}", "keep one, or rename the other")
    if not all(map(str.strip, names)):
        problems.say(line, "a column without a name", "name it, or remove it")
    for needed in NEEDED:
        if needed not in [*map(_known, names), *meant.values()]:
            problems.say(line, f"no column {needed!r} among {', '.join(names)}", "add it, or rename the one that it is")


def _like(name: str) -> str:
    """The known column that a name is nearly, or is another word for; "" for none."""
    plain = name.strip().casefold().replace(" ", "_")
    nearest = process.extractOne(plain, KNOWN, scorer=OSA.normalized_similarity, score_cutoff=_LIKE)
    return nearest[0] if nearest else _ALSO_KNOWN_AS.get(plain, "")


def _lines(path: Path) -> list[int]:
    """The numbers of a table's lines with content, the header's first."""
    if is_zip(path):
        return list(range(1, len(read_table(path, InputError)) + 2))
    lines = [(number, line) for number, line in enumerate(open_text(path), 1) if line.strip(" \t,;\"'")]
    comments = ("#", "sep=", '"sep=')
    return [number for number, line in lines if not line.lower().startswith(comments)]


def _row(line: int, cells: dict[str, str], folder: Path, problems: _Problems) -> _Row:
    cells = {name: str(cell).strip() for name, cell in cells.items()}
    for needed in NEEDED:
        if not cells[needed]:
            problems.say(line, f"no {needed}", "fill it in, or delete the line")
    paths = {name: folder / cells[name] for name in _PATHS if cells.get(name)}
    for name, path in paths.items():
        if not path.exists():
            problems.say(line, f"{name} {cells[name]!r} is not there", _nearest(path, problems))
        elif path.is_file() and name == "image" and not is_volume(path):
            problems.say(line, f"image {cells[name]!r} is no NIfTI, NRRD or MetaImage", "of DICOM, name the folder")
        elif name == "organ_mask" and not is_volume(path):
            problems.say(line, f"organ_mask {cells[name]!r} is no NIfTI, NRRD or MetaImage", "name such a file")
        elif name == "mask" and is_volume(paths.get("image", path)) and not is_volume(path):
            problems.say(line, f"mask {cells[name]!r} is no NIfTI, NRRD or MetaImage as its image is", "convert it")
    if is_volume(paths.get("image", Path())) and cells.get("channel", "0").strip("0123456789"):
        problems.say(line, f"channel {cells['channel']!r} of a file is no number", "count its channels from 0")
    return _Row(line, cells, paths)


def _nearest(path: Path, problems: _Problems) -> str:
    """What to do about a path that leads nowhere: the name beside it that is most like it."""
    if not path.parent.is_dir():
        return f"paths count from the manifest's folder, and there is no folder {path.parent}"
    like = process.extractOne(
        path.name, problems.names_in(path.parent), scorer=OSA.normalized_similarity, score_cutoff=_NEAR
    )
    return f"nearest there: {like[0]!r}" if like else "correct the name, or delete the line"


def _check_doubles(own: Sequence[_Row], problems: _Problems) -> None:
    """Rows of one patient: several outlines on one image are allowed, and nothing else."""
    first, seen = own[0], dict[tuple[str, str], int]()
    for row in own:
        outline = row["mask"], row["label"]
        if row["image"] != first["image"]:
            problems.say(
                row.line, f"patient {row['patient']!r} has another image in line {first.line}", "keep one of them"
            )
        elif outline in seen:
            problems.say(row.line, f"patient {row['patient']!r} is the same as in line {seen[outline]}", "delete one")
        elif len(own) > 1 and not is_volume(row.paths.get("mask", Path())):
            problems.say(
                row.line, f"patient {row['patient']!r} has several lines, and this one no mask file",
                "of DICOM outlines, keep one line with a pattern in the column label",
            )  # fmt: skip
        seen.setdefault(outline, row.line)


def _check_shared(rows: Sequence[_Row], problems: _Problems) -> None:
    """One image or mask of two patients; a DICOM folder may hold several, told apart by their series."""
    seen: dict[tuple[str, Path, str], _Row] = {}
    for row in rows:
        for name in ("image", "mask"):
            if name not in row.paths:
                continue
            first = seen.setdefault((name, row.paths[name].resolve(), row["series"]), row)
            if first["patient"] != row["patient"]:
                problems.say(
                    row.line, f"{name} {row[name]!r} is that of patient {first['patient']!r} in line {first.line}",
                    "correct one of the lines",
                )  # fmt: skip


def _check_agree(own: Sequence[_Row], columns: Sequence[str], problems: _Problems) -> None:
    for row in own[1:]:
        for name in columns:
            if row[name] != own[0][name]:
                problems.say(
                    row.line, f"{name} {row[name]!r} of patient {row['patient']!r} is {own[0][name]!r} in line "
                    f"{own[0].line}", "write the same in both",
                )  # fmt: skip


def _source(patient: str, own: Sequence[_Row], settings: ReadSettings, problems: _Problems) -> Source | None:
    """One patient's source; None where the DICOM cannot be used, which is said."""
    row, image = own[0], own[0].paths["image"]
    if not image.is_dir():
        channel = row["channel"] or settings.channel
        source = Source(
            patient=patient,
            kind="nifti",
            image_files=tuple(filter(None, [image, data_of(image)])),
            channel=int(channel) if channel.isdigit() else None,
        )
    else:
        try:
            source = replace(_dicom(row, image, settings), patient=patient)
        except ScanError as error:
            problems.say(row.line, f"image {row['image']!r}: {error}", "correct it, or delete the line")
            return None
    masks = [line for line in own if is_volume(line.paths.get("mask", Path()))]
    if masks:
        others = tuple(sorted({*source.outline_files, *source.other_outlines}))
        source = replace(
            source,
            outline_files=tuple(line.paths["mask"] for line in masks),
            outline_labels=tuple(line["label"] for line in masks),
            other_outlines=others,
        )
    organs = tuple(dict.fromkeys(line.paths["organ_mask"] for line in own if "organ_mask" in line.paths))
    given = "organ_mask" in row.cells
    return replace(source, organ_files=organs) if given else source


def _dicom(row: _Row, folder: Path, settings: ReadSettings) -> Source:
    """The DICOM series of a row with its outline. Raises ScanError where there is none, or more than one patient's."""
    mask = row.paths.get("mask")
    also = [] if mask is None or is_volume(mask) else ([mask] if mask.is_file() else sorted(mask.rglob("*")))
    also = [path for path in also if path.is_file()]
    label = row["label"] if mask is None or not is_volume(mask) else ""
    how = replace(settings, roi=label, segment=label) if label else settings
    findings = find_dicom(folder, how, also=also, series=row["series"])
    if not findings.sources:
        reasons = [reason for _, reason in [*findings.refused, *findings.skipped]]
        raise ScanError(f"holds no DICOM scan that can be used ({reasons[0] if reasons else 'it is empty'})")
    if len(findings.sources) > 1:
        ids = ", ".join(source.patient for source in findings.sources[:3])
        raise ScanError(
            f"holds scans of {len(findings.sources)} patients ({ids})", remedy="name one in the column series"
        )
    source = findings.sources[0]
    if also and source.outline_files != tuple(also) and len(also) == 1:
        others = {*source.outline_files, *source.other_outlines} - set(also)
        source = replace(source, outline_files=tuple(also), other_outlines=tuple(sorted(others)))
    return replace(source, outline_labels=(label,) if label else ())
