"""A scan as DICOM: one CT series, and a SEG of its tumor. Synthetic data says so in every header."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Sequence
from pathlib import Path

import highdicom
import numpy as np
from highdicom.seg import Segmentation, SegmentDescription
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from radiogenesis.cohort.dicom.headers import lenient, read_dataset
from radiogenesis.cohort.scan import AIR_HU, Scan
from radiogenesis.errors import ScanError
from radiogenesis.output import refuse_existing, whole_file, whole_folder
from radiogenesis.version import __version__

LONG_STRING = 64  # characters in a DICOM LO
_IDENTITY = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_MAY_BE_EMPTY = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyID", "StudyDate", "StudyTime", "AccessionNumber", "ReferringPhysicianName"),
)
NO_DATE = "19700101"  # where the scan has no date; SEG must have one, and today's would make two writings differ
WARNING = "SYNTHETIC IMAGE made by radiogenesis. It shows no patient. Research use only, not for diagnosis."


def write_scan(scan: Scan, folder: Path, *, synthetic: bool, description: str, uid_seed: str) -> None:
    """Write `folder`/ct-0001.dcm ... and, where there is a tumor, `folder`/seg.dcm; all or nothing.

    HU are stored as unsigned 16 bit with slope 1 and intercept -1024, so reading gives them back exactly.

    Args:
        synthetic: whether any voxel was made by a model or a phantom. Such files carry SyntheticData YES, image type
            DERIVED SECONDARY, content qualification RESEARCH, and a comment in words.
        description: series description; `SYNTHETIC` is put before it where that is so. At most 64 characters in all.
        uid_seed: all UIDs derive from it, the patient's id and the series; the same seed gives the same files.

    Raises:
        OutputError: `folder` exists.
        ScanError: HU below -1024; axes that are no right-handed grid; a description that is too long.
    """
    refuse_existing(folder)
    label = f"SYNTHETIC {description}" if synthetic else description
    if len(label) > LONG_STRING:
        raise ScanError(f"series description {label!r} is longer than {LONG_STRING} characters")
    if scan.hu.min() < AIR_HU:
        raise ScanError(f"scan of {scan.patient}: {scan.hu.min()} HU is below air, {AIR_HU} HU")
    with whole_folder(folder) as partial:
        slices = _ct_slices(scan, label, synthetic, uid_seed)
        for data in slices:
            data.save_as(partial / f"ct-{data.InstanceNumber:04d}.dcm", enforce_file_format=True)
        if scan.tumor_mask.any():
            kind = "AUTOMATIC" if synthetic else "SEMIAUTOMATIC"
            _segmentation(scan, slices, label, kind, synthetic, uid_seed).save_as(partial / "seg.dcm")


def write_segmentation(scan: Scan, files: Sequence[Path], path: Path, *, description: str, uid_seed: str) -> None:
    """Write the tumor of a scan as a DICOM SEG that belongs to the CT series it was read from.

    Args:
        scan: its tumor mask was made by an algorithm alone, and the SEG says so.
        files: the slices of the CT series, in any order.
        path: the file to write.
        description: series description, at most 64 characters.
        uid_seed: the SEG's own UIDs derive from it and from the patient's id.

    Raises:
        OutputError: something is at `path`.
        ScanError: the files are not the scan's slices, or lack what a SEG must name; the description is too long.
    """
    refuse_existing(path)
    if len(description) > LONG_STRING:
        raise ScanError(f"series description {description!r} is longer than {LONG_STRING} characters")
    with lenient():
        slices = [_complete(read_dataset(file, pixels=False), file) for file in files]
    normal = scan.affine[:3, 0] / scan.spacing_mm[0]
    slices.sort(key=lambda data: float(np.array(data.ImagePositionPatient, float) @ normal))
    first = np.array(slices[0].ImagePositionPatient, float)
    if len(slices) != len(scan.hu) or not np.allclose(first, scan.affine[:3, 3], atol=0.1):
        raise ScanError(f"{len(slices)} slices are not those of the scan of {scan.patient} ({len(scan.hu)} slices)")
    with warnings.catch_warnings(), whole_file(path) as partial:
        warnings.filterwarnings("ignore", ".*unlikely to represent the intended person name")  # archives' names
        _segmentation(scan, slices, description, "AUTOMATIC", False, uid_seed).save_as(partial)


def _complete(data: Dataset, path: Path) -> Dataset:
    """A slice's header with empty values for what a SEG takes over and DICOM allows to be unknown (type 2).

    Anonymizers delete such fields. What identifies the slice cannot be unknown: raises ScanError without it.
    """
    for keyword in _IDENTITY:
        if not data.get(keyword):
            raise ScanError(f"a SEG cannot belong to a slice without {keyword}", path=path, remedy="use mask.nii.gz")
    for keyword in _MAY_BE_EMPTY:
        if keyword not in data:
            setattr(data, keyword, "")
    return data


def _uid(seed: str, *what: object) -> str:
    """A UID that depends on its arguments only: 2.25 and a name-based UUID, DICOM PS3.5 B.2."""
    name = "\x1f".join([seed, *map(str, what)])
    return f"2.25.{uuid.uuid5(uuid.NAMESPACE_OID, name).int}"


def _ct_slices(scan: Scan, label: str, synthetic: bool, seed: str) -> list[Dataset]:
    """One CT image object per slice, in the order of z."""
    dz, dy, dx = scan.spacing_mm
    along_z, along_y, along_x = (scan.affine[:3, :3] / scan.spacing_mm).T
    if not np.allclose(np.cross(along_x, along_y), along_z, atol=1e-4):
        raise ScanError(f"scan of {scan.patient}: its axes are no right-handed orthogonal grid, z along the normal")
    common = _common(scan, label, synthetic, seed)
    common.SpacingBetweenSlices = _decimal(dz)
    common.PixelSpacing = [_decimal(dy), _decimal(dx)]
    common.ImageOrientationPatient = [_decimal(value) for value in (*along_x, *along_y)]
    slices = []
    for z, hu in enumerate(scan.hu):
        data = Dataset()
        data.update(common)
        corner = scan.affine[:3, 3] + z * scan.affine[:3, 0]
        data.SOPInstanceUID = _uid(seed, scan.patient, "ct", z)
        data.InstanceNumber = z + 1
        data.ImagePositionPatient = [_decimal(value) for value in corner]
        data.SliceLocation = _decimal(float(corner @ along_z))
        data.Rows, data.Columns = hu.shape
        data.PixelData = (hu.astype(np.int32) - AIR_HU).astype("<u2").tobytes()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        slices.append(data)
    return slices


def _common(scan: Scan, label: str, synthetic: bool, seed: str) -> Dataset:
    """What all slices share: patient, study, series, equipment, image type, rescaling."""
    acquisition = scan.acquisition
    data = Dataset()
    data.SpecificCharacterSet = "ISO_IR 192"  # UTF-8
    data.SOPClassUID = CTImageStorage
    data.Modality = "CT"
    data.PatientID, data.PatientName = scan.patient, scan.patient + "^"  # the caret: a name of one component
    data.PatientBirthDate = data.PatientSex = ""
    data.StudyInstanceUID = _uid(seed, scan.patient, "study")
    data.SeriesInstanceUID = _uid(seed, scan.patient, "ct")
    data.FrameOfReferenceUID = _uid(seed, scan.patient, "frame of reference")
    data.StudyDate = acquisition.study_date
    data.StudyTime = data.StudyID = data.AccessionNumber = data.ReferringPhysicianName = ""
    data.PositionReferenceIndicator = data.PatientPosition = ""
    data.SeriesNumber, data.AcquisitionNumber = 1, 1
    data.SeriesDescription = label
    data.Manufacturer = acquisition.manufacturer or "radiogenesis"
    data.ManufacturerModelName = acquisition.model or "radiogenesis"
    data.SoftwareVersions = __version__
    data.ConvolutionKernel = acquisition.kernel
    data.KVP = _decimal(acquisition.kvp) if np.isfinite(acquisition.kvp) else None
    thickness = acquisition.slice_thickness_mm if np.isfinite(acquisition.slice_thickness_mm) else scan.spacing_mm[0]
    data.SliceThickness = _decimal(thickness)
    data.ImageType = ["DERIVED", "SECONDARY" if synthetic else "PRIMARY", "AXIAL"]
    data.BurnedInAnnotation = "NO"
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated, data.BitsStored, data.HighBit, data.PixelRepresentation = 16, 16, 15, 0
    data.RescaleSlope, data.RescaleIntercept, data.RescaleType = 1, AIR_HU, "HU"
    data.WindowCenter, data.WindowWidth = -600, 1500  # lung
    if synthetic:
        _mark_synthetic(data)
    return data


def _mark_synthetic(data: Dataset) -> None:
    data.SyntheticData = "YES"
    data.ImageComments = WARNING
    data.DerivationDescription = WARNING
    data.ContentQualification = "RESEARCH"
    data.QualityControlImage = "YES"
    data.PatientIdentityRemoved = "YES"
    data.DeidentificationMethod = "synthetic: there is no patient"


def _segmentation(
    scan: Scan, slices: list[Dataset], label: str, algorithm_type: str, synthetic: bool, seed: str
) -> Segmentation:
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name="radiogenesis", family=codes.DCM.ArtificialIntelligence, version=__version__
    )
    mask: NDArray[np.bool_] = scan.tumor_mask
    date = scan.acquisition.study_date or NO_DATE
    segmentation = Segmentation(
        source_images=slices,
        pixel_array=mask,
        segmentation_type="BINARY",
        segment_descriptions=[
            SegmentDescription(
                segment_number=1,
                segment_label=scan.tumor or "tumor",
                segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure,
                segmented_property_type=codes.SCT.Neoplasm,
                algorithm_type=algorithm_type,
                algorithm_identification=algorithm,
            )
        ],
        series_instance_uid=_uid(seed, scan.patient, "seg"),
        series_number=2,
        sop_instance_uid=_uid(seed, scan.patient, "seg", 1),
        instance_number=1,
        manufacturer="radiogenesis",
        manufacturer_model_name="radiogenesis",
        software_versions=__version__,
        device_serial_number="0",
        series_description=label,
        content_label="TUMOR",
        content_date=date,
        content_time="000000",
        content_qualification="RESEARCH",
    )
    if synthetic:
        _mark_synthetic(segmentation)
    _make_repeatable(segmentation, seed, scan.patient)
    return segmentation


def _make_repeatable(seg: Segmentation, seed: str, patient: str) -> None:
    """Replace what highdicom draws at random or takes from the clock."""
    del seg.InstanceCreationDate
    del seg.InstanceCreationTime
    organization = _uid(seed, patient, "dimensions")
    for equipment in seg.ContributingEquipmentSequence:
        equipment.pop("ContributionDateTime", None)
    for item in (*seg.DimensionOrganizationSequence, *seg.DimensionIndexSequence):
        item.DimensionOrganizationUID = organization


def _decimal(value: float) -> DSfloat:
    """A decimal string of at most 16 characters."""
    return DSfloat(float(value), auto_format=True)
