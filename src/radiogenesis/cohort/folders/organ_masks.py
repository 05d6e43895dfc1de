"""Masks of the organ, by any segmentation tool: a folder in which each patient has a file, or a folder of structures.

PATIENT.nii.gz   PATIENT_lungs.nii.gz   PATIENT/lungs.nii.gz   PATIENT/[segmentations/]lung_upper_lobe_left.nii.gz
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from radiogenesis.cohort.folders.totalsegmentator import FOLDER, LOBE
from radiogenesis.cohort.labels import chosen
from radiogenesis.cohort.sources import Findings, ReadSettings
from radiogenesis.cohort.volume_files import is_volume, stem
from radiogenesis.cohort.walk import files_under
from radiogenesis.errors import InputError

_PREFERRED = (("organ", "mask"), ("lung", "lungs"), ("body",))
"""What a folder's masks may be called, the first of these that is there; between the first and the rest the lobes."""


def without_lobes(findings: Findings) -> Findings:
    """The findings without the lobes of the lung that a folder brought: lesions of other organs lie in none."""
    return replace(findings, sources=[replace(source, organ_files=None) for source in findings.sources])


def with_organ_masks(findings: Findings, folder: Path, settings: ReadSettings, organ: str = "lung") -> Findings:
    """The findings with each source's organ masks; a patient without one, in the folder or in a manifest, is said so
    when the scan is read. An image or a tumor's mask is never taken for one.

    Raises:
        InputError: no such folder, or it holds no mask of any of the patients.
    """
    if not folder.is_dir():
        raise InputError("there is no such folder", path=folder, remedy="give the folder with the organ's masks")
    files, _ = files_under(folder)
    taken = {file for source in findings.sources for file in (*source.image_files, *source.outline_files)}
    volumes = [path for path in files if is_volume(path) and path not in taken]
    patients = {source.patient for source in findings.sources}
    by_patient: dict[str, list[Path]] = defaultdict(list)
    for path in volumes:
        if (patient := _patient(path, patients)) is not None:
            by_patient[patient].append(path)
    theirs = {patient: _organ(patient, own, settings, organ) for patient, own in by_patient.items()}
    if not any(theirs.values()):
        names = ", ".join(str(path.relative_to(folder)) for path in volumes[:3]) or "no NIfTI, NRRD or MetaImage"
        raise InputError(
            f"holds no organ mask of any of the {len(patients)} patients (such as {min(patients, default='none')}): "
            f"found {names}",
            path=folder,
            remedy="name them PATIENT.nii.gz or PATIENT/lungs.nii.gz, or the structure with --organ_label",
        )
    sources = [
        replace(source, organ_files=theirs.get(source.patient) or source.organ_files or ())
        for source in findings.sources
    ]
    used = {path for own in theirs.values() for path in own}
    return replace(
        findings, sources=sources, skipped=[entry for entry in findings.skipped if entry[0] not in used],
        layout=f"{findings.layout}; organ masks ({sum(map(bool, theirs.values()))})",
    )  # fmt: skip


def _patient(path: Path, patients: Collection[str]) -> str | None:
    """Whose mask it is: the patient whose id its name is or begins with, or in whose folder it lies."""
    folder = path.parent.parent if path.parent.name == FOLDER else path.parent
    words = (stem(path) or "").removeprefix("sub-").split("_")
    beginnings = ("_".join(words[:count]) for count in range(len(words), 0, -1))
    return next((name for name in (*beginnings, folder.name) if name in patients), None)


def _organ(patient: str, files: Sequence[Path], settings: ReadSettings, organ: str) -> tuple[Path, ...]:
    """Which of a patient's masks are the organ's: by its label, by the patient's name, by the organ's; lobes of a lung
    only where lungs are wanted."""
    named = {path: (stem(path) or "").removeprefix("sub-").removeprefix(f"{patient}_") for path in files}
    wanted = settings.organ_label
    if wanted and not wanted.replace(",", "").isdigit():
        names = set(chosen(named.values(), wanted))
        return tuple(path for path, name in named.items() if name in names)
    whole = [path for path, name in named.items() if name == patient]
    if len(whole) > 1:
        raise InputError(
            f"{whole[0]} and {whole[1]} are both masks of patient {patient}", remedy="name the structure: --organ_label"
        )
    own = [path for path, name in named.items() if name in (organ, f"{organ}s")]
    first, lungs, body = ([path for path, name in named.items() if name in names] for names in _PREFERRED)
    lobes = [path for path, name in named.items() if LOBE.fullmatch(name)]
    of_lungs = [lobes, lungs] if organ == "lung" else []
    return tuple(next(filter(None, [whole, first, own, *of_lungs, body]), ()))
