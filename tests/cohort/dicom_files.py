"""Small DICOM data sets for the tests, written with pydicom and highdicom only, never with the code under test."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import highdicom
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sr.codedict import codes
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, RTStructureSetStorage, generate_uid
from pydicom.valuerep import DSfloat

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


@dataclass
class Ct:
    """One CT series that the tests bend: `slices` are written in list order as files 000.dcm, 001.dcm, ..."""

    hu: NDArray[np.int16]  # (Z, Y, X)
    spacing: tuple[float, float, float] = (2.0, 0.75, 0.75)  # z, y, x in mm
    origin: tuple[float, float, float] = (-10.0, -20.0, 30.0)
    orientation: tuple[float, ...] = AXIAL
    patient: str = "P1"
    frame_of_reference: str = field(default_factory=generate_uid)
    series_uid: str = field(default_factory=generate_uid)
    study_uid: str = field(default_factory=generate_uid)
    slices: list[Dataset] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.slices = [self._slice(z) for z in range(len(self.hu))]

    @property
    def affine(self) -> NDArray[np.float64]:
        """(4, 4) index (z, y, x, 1) -> LPS mm."""
        x, y = np.array(self.orientation).reshape(2, 3)
        affine = np.eye(4)
        affine[:3, :3] = np.column_stack([np.cross(x, y), y, x]) * self.spacing
        affine[:3, 3] = self.origin
        return affine

    def points(self, zyx: NDArray[np.float64]) -> NDArray[np.float64]:
        return zyx @ self.affine[:3, :3].T + self.affine[:3, 3]

    def _slice(self, z: int) -> Dataset:
        data = Dataset()
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID = self.study_uid, self.series_uid
        data.FrameOfReferenceUID = self.frame_of_reference
        data.PatientID, data.PatientName = self.patient, self.patient + "^"
        data.PatientBirthDate = data.PatientSex = data.AccessionNumber = data.StudyID = data.ReferringPhysicianName = ""
        data.StudyDate, data.StudyTime = "20200102", "101112"
        data.Modality, data.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
        data.Manufacturer, data.ManufacturerModelName, data.ConvolutionKernel = "ACME", "Ring 9", "B30f"
        data.KVP, data.SliceThickness = 120, DSfloat(self.spacing[0], auto_format=True)
        data.InstanceNumber = z + 1
        data.ImageOrientationPatient = [DSfloat(float(value), auto_format=True) for value in self.orientation]
        corner = self.points(np.array([z, 0.0, 0.0]))
        data.ImagePositionPatient = [DSfloat(float(value), auto_format=True) for value in corner]
        data.PixelSpacing = [DSfloat(value, auto_format=True) for value in self.spacing[1:]]
        data.Rows, data.Columns = self.hu.shape[1:]
        data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
        data.BitsAllocated = data.BitsStored = 16
        data.HighBit, data.PixelRepresentation = 15, 1
        data.RescaleSlope, data.RescaleIntercept = 1, -1000
        set_stored(data, self.hu[z].astype(int) + 1000)
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
        data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
        return data

    def write(self, folder: Path, name: Callable[[int], str] = "{:03d}.dcm".format) -> list[Path]:
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / name(index) for index in range(len(self.slices))]
        for path, data in zip(paths, self.slices, strict=True):
            data.save_as(path, enforce_file_format=True)
        return paths


def set_stored(data: Dataset, stored: NDArray[np.int_]) -> None:
    """Set signed 16 bit stored values."""
    data.PixelData = stored.astype("<i2").tobytes()


def example_ct(slices: int = 6, rows: int = 24, **changes: object) -> Ct:
    """A small CT with every voxel different from its neighbors."""
    hu = np.random.default_rng(slices).integers(-1000, 1500, (slices, rows, rows - 4)).astype(np.int16)
    return Ct(hu=hu, **changes)  # type: ignore[arg-type]


def rtstruct(ct: Ct, rois: Mapping[str, Sequence[NDArray[np.float64]]], *, images: bool = True) -> Dataset:
    """An RTSTRUCT on `ct`; contours are (n, 3) LPS mm."""
    data = Dataset()
    data.SOPClassUID, data.SOPInstanceUID, data.Modality = RTStructureSetStorage, generate_uid(), "RTSTRUCT"
    data.PatientID, data.PatientName = ct.patient, ct.patient + "^"
    data.StudyInstanceUID, data.SeriesInstanceUID = ct.study_uid, generate_uid()
    data.StructureSetDate, data.StructureSetTime = "20200103", "120000"
    series = Dataset()
    series.SeriesInstanceUID = ct.series_uid
    series.ContourImageSequence = [_reference(one) for one in ct.slices]
    study = Dataset()
    study.RTReferencedSeriesSequence = [series]
    frame = Dataset()
    frame.FrameOfReferenceUID, frame.RTReferencedStudySequence = ct.frame_of_reference, [study] if images else []
    data.ReferencedFrameOfReferenceSequence = [frame]
    data.StructureSetROISequence, data.ROIContourSequence = [], []
    for number, (name, contours) in enumerate(rois.items(), start=1):
        roi = Dataset()
        roi.ROINumber, roi.ROIName, roi.ReferencedFrameOfReferenceUID = number, name, ct.frame_of_reference
        data.StructureSetROISequence.append(roi)
        drawn = Dataset()
        drawn.ReferencedROINumber, drawn.ContourSequence = number, [_contour(points) for points in contours]
        data.ROIContourSequence.append(drawn)
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return data


def _contour(points: NDArray[np.float64]) -> Dataset:
    contour = Dataset()
    contour.ContourGeometricType, contour.NumberOfContourPoints = "CLOSED_PLANAR", len(points)
    contour.ContourData = [DSfloat(float(value), auto_format=True) for value in points.ravel()]
    return contour


def _reference(image: Dataset) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = image.SOPClassUID, image.SOPInstanceUID
    return item


def circle(ct: Ct, z: float, center_yx: tuple[float, float], radius: float, points: int = 200) -> NDArray[np.float64]:
    """(n, 3) LPS mm of a circle on plane z; center and radius in pixels."""
    angle = np.linspace(0, 2 * np.pi, points, endpoint=False)
    y, x = center_yx[0] + radius * np.sin(angle), center_yx[1] + radius * np.cos(angle)
    return ct.points(np.column_stack([np.full(points, z), y, x]))


def segment(number: int = 1, label: str = "Nodule", *, tumor: bool = True, by: str = "MANUAL") -> Dataset:
    """The description of one segment."""
    algorithm = highdicom.AlgorithmIdentificationSequence("net", codes.DCM.ArtificialIntelligence, "1")
    return highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=label,
        segmented_property_category=codes.SCT.MorphologicallyAbnormalStructure
        if tumor
        else codes.SCT.AnatomicalStructure,
        segmented_property_type=codes.SCT.Neoplasm if tumor else codes.SCT.Lung,
        algorithm_type=by,
        algorithm_identification=None if by == "MANUAL" else algorithm,
    )


def seg(
    ct: Ct, array: NDArray[np.generic], segments: Sequence[Dataset] = (), kind: str = "BINARY", date: str = "20200104"
) -> highdicom.seg.Segmentation:
    """A SEG on `ct`: array (Z, Y, X) or (Z, Y, X, segments)."""
    return highdicom.seg.Segmentation(
        source_images=ct.slices,
        pixel_array=array,
        segmentation_type=kind,
        segment_descriptions=list(segments) or [segment()],
        series_instance_uid=generate_uid(),
        series_number=2,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer="ACME",
        manufacturer_model_name="Outliner",
        software_versions="1",
        device_serial_number="1",
        content_date=date,
        content_time="000000",
    )


def save(data: Dataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data.save_as(path, enforce_file_format=True)
    return path
