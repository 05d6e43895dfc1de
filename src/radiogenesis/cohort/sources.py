"""What was found in a folder of scans, and the settings by which it is read. Shared by DICOM and NIfTI."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from radiogenesis.errors import SettingError
from radiogenesis.imaging import Normalize

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ReadSettings:
    """How scans and the outlines on them are read."""

    normalize: Normalize = "none"
    """none: CT in HU. zscore: MR, whose intensities have no unit: any are read, of DICOM the MR series in place of the
    CT, and each scan is put on one scale, less its mean and over its standard deviation inside the organ, outlined
    lesions left out."""
    roi: str = "GTV-1"
    """Name of the tumor's ROI in an RTSTRUCT, or a pattern (`GTV*`), case-insensitive; several matches are united.
    `GTV-1` is the primary tumor in NSCLC-Radiomics (Aerts et al. 2014)."""
    segment: str = "*"
    """Label of the tumor's segment in a DICOM SEG, or a pattern, case-insensitive. Where it matches several segments,
    those whose property category is a morphologically abnormal structure (SCT 49755003) are united; without such a
    code the SEG is refused. With `*`, a single segment is refused too where it is coded as anatomy, such as a lung."""
    automatic_outlines: bool = True
    """Use a SEG whose segments were all made by an algorithm (SegmentAlgorithmType AUTOMATIC) where no person outlined
    the tumor; it is recorded. With false, such a scan serves for backgrounds only, which keep away from it."""
    label: str = ""
    """The tumor's label in masks of NIfTI, NRRD or MetaImage: a number, a name (of dataset.json or of 3D Slicer) or a
    pattern, or several with commas; where structures have a file each (TotalSegmentator, BIDS), the file's. Several are
    united, or with `--lesions all` a lesion each. "" takes the only one there is, or those named like a tumor."""
    channel: str = ""
    """Which image of several of a patient: a channel's number or name (nnU-Net, 4-D files), or in BIDS a suffix or
    entity (`T1w`, `ses-01`). "" refuses to choose."""
    organ_label: str = ""
    """Which masks are the organ's, where a folder of `--organ_mask` has one for each structure: a name or a pattern
    (`liver`, `lung_*_lobe_*`), or a number inside one mask. "" takes the lobes of the lung, or `organ`, `lung`, `body`.
    """
    contour_edge: Literal["center", "touched", "centre"] = "center"
    """Which voxels a contour holds: `center` (or `centre`), those whose center lies inside, so that the mask has the
    contour's own volume; `touched`, also those it passes through, as OpenCV, PIL and the tools built on them paint
    it (3 to 5 % more volume for a tumor of 160 to 370 ml, a fifth more for a nodule of 10 mm)."""
    fraction: float = 0.5
    """A voxel of a FRACTIONAL SEG or a mask of probabilities is inside from this probability or occupancy on, 0 to 1.
    """
    spacing_tolerance_mm: float = 0.1
    """How far a slice may lie off the evenly spaced grid, in mm; headers often round positions to 0.1 mm."""
    tilt_tolerance_mm: float = 0.5
    """How far a slice's corner may lie off the straight line along the slice normal, in mm: gantry tilt."""
    plane_tolerance: float = 0.2
    """How far a contour or a SEG pixel may lie off the CT's grid, as a share of the voxel spacing."""

    def __post_init__(self) -> None:
        if self.contour_edge == "centre":  # the same edge has one name in what is recorded
            object.__setattr__(self, "contour_edge", "center")
        if self.normalize not in get_args(Normalize):
            raise ValueError(f"normalize {self.normalize!r}: none (CT in HU) or zscore (MR)")
        if not self.roi or not self.segment:
            raise ValueError("roi and segment: give a name or a pattern, not an empty text")
        if not 0 < self.fraction <= 1:
            raise ValueError(f"fraction {self.fraction}: must be above 0 and at most 1")
        if self.spacing_tolerance_mm <= 0 or self.tilt_tolerance_mm <= 0:
            raise ValueError("spacing_tolerance_mm and tilt_tolerance_mm must be above 0 mm")
        if not 0 < self.plane_tolerance < 0.5:
            raise ValueError(f"plane_tolerance {self.plane_tolerance}: must lie between 0 and 0.5 of the spacing")

    def require_hu(self, verb: str) -> None:
        """Raises SettingError where scans without HU are asked for of a verb that needs them."""
        if self.normalize != "none":
            raise SettingError(
                f"normalize {self.normalize}: {verb} reads CT in HU alone", remedy="leave --normalize out, or give CT"
            )

    @property
    def modality(self) -> str:
        """Of the scans that are read, as DICOM names it."""
        return "CT" if self.normalize == "none" else "MR"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where one patient's scan lies: file names only, cheap to send between processes.

    Attributes:
        patient: patient identifier.
        kind: which reader takes it.
        image_files: the slices of the CT series (DICOM) or the one image (NIfTI).
        outline_files: the RTSTRUCT, SEG or mask that outlines the tumor; empty where nothing is outlined.
        unread_outlines: outlines of this patient that are damaged: where they say that tumor is, is unknown, so that
            no background may be cut. Where no other outline names the tumor, `outline_files` holds the first of them.
        other_outlines: whole outlines on the same CT that were not chosen: other lesions may be in them.
        outline_labels: of each outline file the label that the manifest gives, "" for none.
        label_names: names and numbers of the labels in the masks, as a dataset.json has them.
        structures: whether each outline file was chosen by its name, as a structure of its own.
        channel: which channel of an image with several.
        organ_files: masks of the organ, united; () where the user gives masks and this patient has none, None where the
            organ is to be found in the image.
        chosen_because: the rule that chose this series and outline among several; "" where there was no choice.
    """

    patient: str
    kind: Literal["dicom", "nifti"]
    image_files: tuple[Path, ...]
    outline_files: tuple[Path, ...] = ()
    unread_outlines: tuple[Path, ...] = ()
    other_outlines: tuple[Path, ...] = ()
    outline_labels: tuple[str, ...] = ()
    label_names: tuple[tuple[str, tuple[int, ...]], ...] = ()
    structures: bool = False
    channel: int | None = None
    organ_files: tuple[Path, ...] | None = None
    chosen_because: str = ""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """All that a folder held.

    Attributes:
        sources: one per patient, ordered by patient.
        refused: (patient, reason) for patients that were found and cannot be read.
        skipped: (file, reason) for files that are no scan, or are damaged.
        modalities: number of readable files per modality.
        layout: how the folder was understood, in words.
        columns: what a manifest says of each patient beside files, index patient; None where nothing.
    """

    sources: list[Source] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    skipped: list[tuple[Path, str]] = field(default_factory=list)
    modalities: Counter[str] = field(default_factory=Counter)
    layout: str = ""
    columns: pd.DataFrame | None = None
