"""NRRD and MetaImage, through SimpleITK: an extra, since most people have NIfTI or DICOM."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from radiogenesis.cohort.plausible import refuse_size
from radiogenesis.cohort.volume_files import ITK
from radiogenesis.errors import ScanError
from radiogenesis.given_files import refuse_special

_SEGMENT = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer)")
_SPACES_WITHOUT_PATIENT = ("", "scanner-xyz", "3d-right-handed", "3d-left-handed")


def is_itk(path: Path) -> bool:
    return path.name.lower().endswith(ITK)


def load_itk(path: Path) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Values (I, J, K) or, with several channels, (I, J, K, C), and the affine index (i, j, k, 1) -> LPS mm.

    Raises:
        ScanError: SimpleITK is not installed, the file is damaged, or says nothing of where it lies in the patient.
    """
    image = _read(path)
    values = _channels_last(image)
    affine = np.eye(4)
    affine[:3, :3] = np.array(image.GetDirection()).reshape(image.GetDimension(), -1)[:3, :3]
    affine[:3, :3] *= np.array(image.GetSpacing()[:3])
    affine[:3, 3] = image.GetOrigin()[:3]
    return values, affine


def segment_names(path: Path) -> dict[str, tuple[int, ...]]:
    """Name -> label of the segments of a segmentation that 3D Slicer saved (.seg.nrrd); empty for other files."""
    if not path.name.lower().endswith(".nrrd"):
        return {}
    image = _read(path, header=True)
    about: dict[str, dict[str, str]] = {}
    for key in image.GetMetaDataKeys():
        if segment := _SEGMENT.fullmatch(key):
            about.setdefault(segment[1], {})[segment[2]] = image.GetMetaData(key)
    if any(int(segment.get("Layer", 0)) for segment in about.values()):
        raise ScanError(
            "its segments overlap: they lie in several layers", path=path, remedy="export the tumor's segment alone"
        )
    return {segment.get("Name", number): (int(segment.get("LabelValue", 1)),) for number, segment in about.items()}


def _read(path: Path, *, header: bool = False) -> Any:
    if importlib.util.find_spec("SimpleITK") is None:
        raise ScanError(
            "NRRD and MetaImage need SimpleITK, which is not installed",
            path=path,
            remedy="`pip install SimpleITK`, or save the file as NIfTI",
        )
    import SimpleITK

    refuse_special(path, ScanError)
    SimpleITK.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = SimpleITK.ImageFileReader()
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        refuse_size((*reader.GetSize(), reader.GetNumberOfComponents()), path)
        return reader if header else _placed(SimpleITK.ReadImage(str(path)), path)
    except RuntimeError as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        why = " ".join((lines or ["unknown"])[-1].split())
        raise ScanError(f"cannot be read by SimpleITK: {why}", path=path, remedy="copy it again") from error


def _placed(image: Any, path: Path) -> Any:
    """The image. Raises ScanError where an NRRD says nothing of the patient."""
    if path.name.lower().endswith((".nrrd", ".nhdr")):
        space = image.GetMetaData("NRRD_space") if image.HasMetaDataKey("NRRD_space") else ""
        if space in _SPACES_WITHOUT_PATIENT:
            raise ScanError(
                f"has no orientation (NRRD space {space!r})", path=path, remedy="save it with its space and directions"
            )
    return image


def _channels_last(image: Any) -> NDArray[np.float32]:
    import SimpleITK

    values = SimpleITK.GetArrayFromImage(image).astype(np.float32, copy=False)  # (..., K, J, I) or (K, J, I, C)
    if image.GetNumberOfComponentsPerPixel() > 1:
        return np.asarray(values.transpose(2, 1, 0, 3)) if values.ndim == 4 else values
    return np.asarray(values.transpose())
