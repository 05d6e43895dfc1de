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
        taken = {file.path for file in named}
        left = [path for path in left if path not in taken]
        for file in named:
            cases[file.patient.strip()].append(file)
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
    counts = Counter(f"NIfTI {file.role}" for own in cases.values() for file in own)
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
        {file.patient for file in named if file.role in roles} for roles in (("image", "mask"), ("organ",))
    )
    lungs = f", lungs of {len(organs)} by their lobes" if organs else ""
    return [f"{layout.name} ({len(patients)}{lungs})"] if patients else []


def _choose(patient: str, own: Sequence[Named], settings: ReadSettings) -> _Choice:
    """The one image of a patient and the masks of the tumor. Raises ScanError where they cannot be told."""
    images = [file for file in own if file.role == "image"]
    masks = [file for file in own if file.role == "mask"]
    if not images:
        remedy = f"the image is expected as in {PAIRS.expected}"
        raise ScanError("a mask without an image", path=masks[0].path, remedy=remedy)
    image = _one_image(images, settings)
    tumor, structures = _tumor(masks, settings)
    organ = tuple(file.path for file in own if file.role == "organ")
    source = Source(
        patient=patient,
        kind="nifti",
        image_files=tuple(filter(None, [image.path, data_of(image.path)])),
        outline_files=tuple(file.path for file in tumor),
        label_names=tumor[0].names if tumor else (),
        structures=structures,
        channel=_number(image, settings),
        organ_files=organ or None,
    )
    left = [(file.path, OTHER_IMAGE) for file in images if file is not image]
    return _Choice(source, [*left, *((file.path, OTHER_STRUCTURE) for file in masks if file not in tumor)])


def _one_image(images: Sequence[Named], settings: ReadSettings) -> Named:
    """The image itself, or of several the one that `--channel` takes."""
    wanted = settings.channel.strip().casefold()
    candidates = [image for image in images if not image.part or _is_channel(image.part.casefold(), wanted or "*")]
    if len(candidates) == 1:
        return candidates[0]
    if not candidates:
        there = ", ".join(image.part for image in images)
        raise ScanError(f"no image {settings.channel!r} (--channel), only {there}", path=images[0].path)
    parts = [image.part for image in candidates]
    if len(set(parts)) == len(parts) and all(parts):
        problem = f"one of {len(candidates)} images of the patient ({', '.join(parts)})"
        raise ScanError(problem, path=candidates[0].path, remedy="choose with --channel")
    raise ScanError(f"{candidates[0].path} and {candidates[1].path} are of the same patient; keep one")


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
    structures = [file for file in masks if file.part]
    plain = [file for file in masks if not file.part]
    own = plain and not settings.label.strip()  # one's own outline is meant, whatever else a tool segmented
    names = [] if own else chosen([file.part for file in structures], settings.label)
    if names:
        kept = [file for file in structures if file.part in names]
        parts = [file.part for file in kept]
        if twice := next((part for part in parts if parts.count(part) > 1), None):
            first, second, *_ = (file.path for file in kept if file.part == twice)
            raise ScanError(
                f"{first} and {second} are both {twice!r} of the same patient",
                remedy="keep those of one session and one tool, or write a manifest",
            )
        return kept, True
    if settings.label.strip() and structures and not plain:
        there = ", ".join(sorted({file.part for file in structures}))
        raise ScanError(f"no structure {settings.label!r} (--label), only {there}", path=structures[0].path)
    if len(plain) > 1:
        raise ScanError(f"{plain[0].path} and {plain[1].path} are of the same patient; keep one")
    return plain, False
