"""Image and mask files under a folder, in whatever layout: one source per patient.

Each layout takes the files that it recognizes, and the next one is asked for the rest, so that layouts may be mixed.
Nothing is read but names, and the dataset.json of nnU-Net and the Decathlon.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from radiogenesis.cohort.folders.bids import BIDS
from radiogenesis.cohort.folders.datasets import DECATHLON, NNUNET
from radiogenesis.cohort.folders.named import Layout, Named
from radiogenesis.cohort.folders.pairs import PAIRS
from radiogenesis.cohort.folders.totalsegmentator import TOTALSEGMENTATOR
from radiogenesis.cohort.labels import chosen
from radiogenesis.cohort.sources import Findings, ReadSettings, Source
from radiogenesis.cohort.volume_files import data_of, is_volume
from radiogenesis.cohort.walk import files_under
from radiogenesis.errors import ScanError

LAYOUTS = (NNUNET, DECATHLON, BIDS, TOTALSEGMENTATOR, PAIRS)
UNRECOGNIZED = "its name is of no layout that is known: PATIENT_image, PATIENT_mask, PATIENT/image, PATIENT/mask, ..."
OTHER_STRUCTURE = "a structure that is not the tumor; --label names another"
OTHER_IMAGE = "another image of the patient than --channel takes"
MANIFEST_LINES = ("patient,image,mask", "P1,scans/one.nii.gz,masks/one.nii.gz")


@dataclass(frozen=True)
class _Choice:
    """What was chosen for one patient, and what was left."""

    source: Source
    left: list[tuple[Path, str]]


def find_volumes(folder: Path, settings: ReadSettings) -> Findings:
    """Find images with their masks under `folder`.

    Raises:
        ScanError: there is no such folder, or a dataset.json cannot be read.
    """
    if not folder.is_dir():
        raise ScanError("there is no such folder", path=folder)
    files, passed_over = files_under(folder)
    left = [path for path in files if is_volume(path)]
    skipped = [entry for entry in passed_over if is_volume(entry[0])]
    cases: dict[str, list[Named]] = defaultdict(list)
    told: list[str] = []
    for layout in LAYOUTS:
        named = layout.claim(left)
        taken = {one.path for one in named}
        left = [path for path in left if path not in taken]
        for one in named:
            cases[one.patient.strip()].append(one)
        told += _told(layout, named)
    sources, refused = [], []
    for patient, own in sorted(cases.items()):
        try:
            choice = _choose(patient, own, settings)
        except ScanError as error:
            refused.append((patient, str(error)))
        else:
            sources.append(choice.source)
            skipped += choice.left
    counts = Counter(f"NIfTI {one.role}" for own in cases.values() for one in own)
    skipped += [(path, UNRECOGNIZED) for path in left]
    return Findings(sources=sources, refused=refused, skipped=skipped, modalities=counts, layout="; ".join(told))


def names_expected(files: Iterable[Path]) -> str:
    """What is said where nothing is recognized: three of the names that are there, those expected, the manifest."""
    there = [str(path) for path in files][:3]
    layouts = "; ".join(f"{layout.name}: {layout.expected}" for layout in reversed(LAYOUTS))
    manifest = " / ".join(MANIFEST_LINES)
    return (
        f"found {', '.join(there) or 'no file'}; expected DICOM, or {layouts}; or name any files in a manifest, "
        f"--manifest scans.csv, with the lines {manifest}"
    )


def _told(layout: Layout, named: Sequence[Named]) -> list[str]:
    """Which layout was recognized, and for how many patients; and for how many the organ is there with it."""
    patients, organs = (
        {one.patient for one in named if one.role in roles} for roles in (("image", "mask"), ("organ",))
    )
    lungs = f", lungs of {len(organs)} by their lobes" if organs else ""
    return [f"{layout.name} ({len(patients)}{lungs})"] if patients else []


def _choose(patient: str, own: Sequence[Named], settings: ReadSettings) -> _Choice:
    """The one image of a patient and the masks of the tumor. Raises ScanError where they cannot be told."""
    images = [one for one in own if one.role == "image"]
    masks = [one for one in own if one.role == "mask"]
    if not images:
        remedy = f"the image is expected as in {PAIRS.expected}"
        raise ScanError("a mask without an image", path=masks[0].path, remedy=remedy)
    image = _one_image(images, settings)
    tumor, structures = _tumor(masks, settings)
    organ = tuple(one.path for one in own if one.role == "organ")
    source = Source(
        patient=patient,
        kind="nifti",
        image_files=tuple(filter(None, [image.path, data_of(image.path)])),
        outline_files=tuple(one.path for one in tumor),
        label_names=tumor[0].names if tumor else (),
        structures=structures,
        channel=_number(image, settings),
        organ_files=organ or None,
    )
    left = [(one.path, OTHER_IMAGE) for one in images if one is not image]
    return _Choice(source, [*left, *((one.path, OTHER_STRUCTURE) for one in masks if one not in tumor)])


def _one_image(images: Sequence[Named], settings: ReadSettings) -> Named:
    """The image itself, or of several the one that `--channel` takes."""
    wanted = settings.channel.strip().casefold()
    found = [one for one in images if wanted and one.part and _is_channel(one.part.casefold(), wanted)]
    found = found or list(images)
    if len(found) == 1:
        return found[0]
    parts = [one.part for one in found]
    if len(set(parts)) == len(parts) and all(parts):
        problem = f"one of {len(found)} images of the patient ({', '.join(parts)})"
        raise ScanError(problem, path=found[0].path, remedy="choose with --channel")
    raise ScanError(f"{found[0].path} and {found[1].path} are of the same patient; keep one")


def _is_channel(part: str, wanted: str) -> bool:
    """Whether a name such as 0001_FLAIR or ses-01_T1w is the one that is wanted: all of it, a word, a number."""
    words = [part, *part.split("_")]
    return any(fnmatchcase(word, wanted) or (word.isdigit() and word == wanted.zfill(len(word))) for word in words)


def _number(image: Named, settings: ReadSettings) -> int | None:
    """Which channel within the file: the number that is given, or that of the name in dataset.json."""
    wanted = settings.channel.strip()
    if wanted.isdigit() and not image.part:
        return int(wanted)
    return next((numbers[0] for name, numbers in image.channels if name.casefold() == wanted.casefold()), None)


def _tumor(masks: Sequence[Named], settings: ReadSettings) -> tuple[list[Named], bool]:
    """The tumor's masks, and whether they were chosen by name. A mask that is named for no structure is the tumor's."""
    structures = [one for one in masks if one.part]
    plain = [one for one in masks if not one.part]
    names = chosen([one.part for one in structures], settings.label)
    if names:
        return [one for one in structures if one.part in names], True
    if len(plain) > 1:
        raise ScanError(f"{plain[0].path} and {plain[1].path} are of the same patient; keep one")
    return plain, False
