"""A cohort: one Zarr 3 store on disk, written whole or not at all, and checked whenever it is read.

    COHORT/                      a Zarr 3 group; its attributes: schema version, settings, provenance, digests; and
                                 `imaging` where images are no CT of the lung: organ, normalize, and the window that
                                 is mapped onto -1000 to 500 in all images, in HU or z-scores
      slices/                    image (N, P, P) int16 HU, mask (N, P, P) bool, patient (N,) code, offset_mm (N,)
      backgrounds/               image (M, P, P) int16 HU, patient (M,) code, center_mm (M, 3), boundary_mm (M,)
      scans/                     where whole slices are kept: image (W, S, S) int16 HU, tumour and lungs (W, S, S) bool,
                                 patient (W,) code, plane (W,), to_patient (W, 3, 3): pixel -> patient coordinates
      slices/lesion              where all lesions are kept: (N,) which of the patient's, from 1, the largest, on; and
      lesions                    a table with a row for each
      patients, audit            tables, and where there are any: annotations, annotation_codes, clinical
      expression                 AnnData, patients x genes, raw values
      truth/                     factors, gene_effects, modules: planted cohorts only

The tables and the expression are in anndata's format: `anndata.io.read_elem(zarr.open(COHORT)["expression"])` works
without this package. Every part has a digest among the attributes, and no part is handed out that does not match it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import zarr
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort import digest as content
from radiogenesis.cohort import layout, zarr_tables
from radiogenesis.cohort.layout import SCHEMA_VERSION
from radiogenesis.cohort.lesion_slices import LesionSlices, among_largest
from radiogenesis.cohort.scan import Acquisition
from radiogenesis.errors import CohortError
from radiogenesis.imaging import LUNG_CT, Imaging

__all__ = ["SCHEMA_VERSION", "Cohort", "PatientData", "Truth"]

if TYPE_CHECKING:
    from radiogenesis.cohort.sampling.lesions import LesionRows
    from radiogenesis.cohort.sampling.slices import Backgrounds, NoduleSlices
    from radiogenesis.cohort.sampling.whole_slices import WholeSlices

BY_PATIENT = ("patients", "annotations", "clinical", "truth/factors")
"""Tables whose index is the patient."""


@dataclass(frozen=True)
class PatientData:
    """What one patient contributes to a cohort."""

    patient: str
    slices: NoduleSlices | None
    backgrounds: Backgrounds | None
    acquisition: Acquisition
    spacing_mm: tuple[float, float, float]
    """Of the scan, along (z, y, x)."""
    tumor_volume_ml: float
    """Of the outline on the scan's own grid; nan where nothing is outlined."""
    whole: WholeSlices | None = None
    """Where the settings ask for whole slices, and lungs were found."""
    lesions: LesionRows | None = None
    """Where the settings ask for all lesions: which slice shows which."""


@dataclass(frozen=True)
class WholeRows:
    """The whole slices of every scan of a cohort; see `cohort.whole.WholeSlices`.

    Attributes:
        slices: image, tumor, lungs, plane, to_patient, one row per slice.
        patient: (W,) whose scan it is.
        pixel_mm: side of a pixel.
    """

    slices: WholeSlices
    patient: NDArray[np.str_]
    pixel_mm: float


@dataclass(frozen=True)
class Truth:
    """What was planted: phantom and planted cohorts only."""

    factors: pd.DataFrame
    """Patients x factor names: the patient-level values, in physical units."""
    gene_effects: pd.DataFrame
    """Tidy: gene, factor, weight; only those that are not zero."""
    modules: pd.DataFrame
    """gene, module; -1 for a gene outside the modules."""
    settings: dict[str, Any]
    """Settings of the planting, JSON-able."""


@dataclass(frozen=True, eq=False)
class StoredArray:
    """An array of a cohort on disk.

    Attributes:
        name: such as "slices/image".
        path: of the cohort, for what is said where it cannot be read.
    """

    name: str
    _array: zarr.Array[Any]
    path: Path

    @property
    def shape(self) -> tuple[int, ...]:
        """Of all of it."""
        return tuple(self._array.shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """As it is read."""
        return np.dtype(self._array.dtype)

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    @property
    def block_rows(self) -> int:
        """Rows that lie in one block: to read one of them is to read them all."""
        return int(self._array.chunks[0])

    def block(self, number: int) -> NDArray[Any]:
        """The rows of one block. Raises CohortError where it cannot be read."""
        return self.rows(number * self.block_rows, (number + 1) * self.block_rows)

    def rows(self, start: int, stop: int) -> NDArray[Any]:
        """Some rows. Raises CohortError where they cannot be read."""
        with layout.Reading(self.path, self.name):
            return np.asarray(self._array[start:stop])


def lesion_rows(
    cohort: Cohort,
    patients: Collection[str] | None,
    least_area: float,
    area: Callable[[NDArray[np.intp]], NDArray[Any]],
) -> NDArray[np.intp]:
    """Which of the cohort's slices `Cohort.lesions` gives; see there.

    Args:
        area: rows -> (n,) area of the lesion in these slices.
    """
    every = cohort.slice_patient
    without = set(() if patients is None else map(str, patients)) - set(every)
    if unknown := sorted(without and without - set(cohort.patients.index) - set(cohort.expression.obs_names)):
        raise CohortError(f"knows no patient {', '.join(unknown[:5])}", path=cohort.path)
    rows = np.arange(len(every)) if patients is None else np.flatnonzero(np.isin(every, list(patients)))
    if not least_area:
        return rows
    owner = np.char.add(np.char.add(every[rows], "\0"), cohort.slice_lesion[rows].astype(str))
    return rows[among_largest(area(rows), owner, least_area)]


@dataclass(frozen=True, eq=False)
class Cohort:
    """Patients with slices, masks, backgrounds, expression, annotations and clinical data, on disk.

    Small things are read when they are asked for, and kept; images too, so that training reads the disk once.
    """

    path: Path
    _group: zarr.Group
    _attributes: dict[str, Any]

    @classmethod
    def open(cls, path: str | Path, *, verify: bool = False) -> Cohort:
        """Open a cohort.

        Args:
            path: the folder.
            verify: read everything and compare it with the digests now, rather than part by part when it is used.

        Raises:
            CohortError: nothing there, not a cohort, of another schema version, or damaged.
        """
        path = Path(path)
        group, attributes = layout.open_group(path)
        if content.cohort_digest(layout.facts(attributes), attributes["parts"]) != attributes["digest"]:
            raise CohortError("its attributes are not those it was written with", path=path, remedy=layout.DAMAGED)
        cohort = cls(path, group, attributes)
        if verify:
            cohort.verify()
        return cohort

    @property
    def digest(self) -> str:
        """sha256 over the content, independent of chunks and compression, of settings and provenance."""
        return str(self._attributes["digest"])

    @property
    def settings(self) -> dict[str, Any]:
        """The settings it was made with."""
        return dict(self._attributes["settings"])

    @property
    def provenance(self) -> dict[str, Any]:
        """Versions, time, sources."""
        return dict(self._attributes["provenance"])

    @property
    def simulated(self) -> bool:
        """Whether no image of a real person is in it."""
        return self.provenance.get("source") == "phantom" or self.provenance.get("verb") == "toy"

    @property
    def pixels(self) -> int:
        """Pixels per side of every image."""
        return int(self._attributes["pixels"])

    @property
    def field_of_view_mm(self) -> float:
        """Side of every image in mm."""
        return float(self._attributes["field_of_view_mm"])

    @cached_property
    def imaging(self) -> Imaging:
        """Which organ, and what the numbers of the images mean."""
        found = self._attributes.get("imaging")
        return LUNG_CT if found is None else Imaging.read(found)

    @property
    def pixel_mm(self) -> float:
        """Side of one pixel in mm."""
        return self.field_of_view_mm / self.pixels

    @cached_property
    def patients(self) -> pd.DataFrame:
        """Index patient; counts of slices and backgrounds, has_expression, tumor volume, acquisition, spacing."""
        return self._frame("patients")

    @cached_property
    def audit(self) -> pd.DataFrame:
        """patient, status ("in", "background only", "out"), reason."""
        return self._frame("audit")

    @cached_property
    def annotations(self) -> pd.DataFrame | None:
        """Patients x semantic features, or None."""
        return self._optional("annotations")

    @cached_property
    def annotation_codes(self) -> pd.DataFrame | None:
        """Tidy: the codes (RadLex) behind the labels of `annotations`, or None."""
        return self._optional("annotation_codes")

    @cached_property
    def clinical(self) -> pd.DataFrame | None:
        """Patients x clinical columns, or None."""
        return self._optional("clinical")

    @cached_property
    def expression(self) -> AnnData:
        """Patients x genes, raw values, float32, NaN allowed; may hold patients without images."""
        with self._reading("expression"):
            expression = zarr_tables.read_expression_element(self._group, "expression")
            scale = self._attributes["schema_version"] >= layout.DIGEST_OF_SCALE
            digest = zarr_tables.expression_digest(expression, scale=scale)
        self._check("expression", digest)
        return expression

    @cached_property
    def truth(self) -> Truth | None:
        """What was planted, or None."""
        if "truth/settings" not in self._attributes["parts"]:
            return None
        with self._reading("truth/settings"):
            settings = cast(dict[str, Any], self._group["truth"].attrs["settings"])
        self._check("truth/settings", content.json_digest(settings))
        factors, effects, modules = (self._frame(f"truth/{name}") for name in ("factors", "gene_effects", "modules"))
        return Truth(factors, effects, modules, settings)

    def lesions(self, patients: Collection[str] | None = None, *, least_area: float = 0.0) -> LesionSlices:
        """Slices that show a lesion.

        Args:
            patients: whose, in any order; everybody's by default.
            least_area: leave out slices with less than this share of the area of their lesion's largest slice.

        Raises:
            CohortError: a patient that the cohort does not know; those without a lesion have no slices.
        """
        rows = lesion_rows(self, patients, least_area, lambda rows: self.slice_mask[rows].sum((1, 2)))
        every = self.slice_patient
        return LesionSlices(self.slice_image[rows], self.slice_mask[rows], every[rows], rows, self.slice_lesion[rows])

    def stored(self, name: str) -> StoredArray:
        """An array as it lies on disk, to be read block by block: for images that memory does not hold.

        Args:
            name: such as "slices/image".
        """
        with self._reading(name):
            return StoredArray(name, cast(zarr.Array[Any], self._group[name]), self.path)

    def verified_blocks(self, name: str) -> Iterator[NDArray[Any]]:
        """All of an array, some rows at a time; after the last it is compared with its digest. Raises CohortError."""
        array = self.stored(name)
        digest = content.start_array(array.dtype, array.shape[1:])
        for start in range(0, array.shape[0], layout.ROWS):
            block = array.rows(start, start + layout.ROWS)
            digest.update(content.array_bytes(block))
            yield block
        self._check(name, digest.hexdigest())

    @cached_property
    def slice_image(self) -> NDArray[np.int16]:
        """(N, P, P) HU; of what is no CT of the lung, numbers that `imaging.level` takes back to intensities."""
        return self._array("slices/image")

    @cached_property
    def slice_mask(self) -> NDArray[np.bool_]:
        """(N, P, P), the tumor."""
        return self._array("slices/mask")

    @cached_property
    def slice_offset_mm(self) -> NDArray[np.float32]:
        """(N,) distance of the slice from the tumor's center along the normal."""
        return self._array("slices/offset_mm")

    @cached_property
    def slice_lesion(self) -> NDArray[np.int32]:
        """(N,) which of its patient's lesions a slice shows, 1 the largest; 1 where only that one is kept."""
        if "slices/lesion" not in self._attributes["parts"]:
            return np.ones(len(self.slice_offset_mm), np.int32)
        return self._array("slices/lesion")

    @cached_property
    def lesion_table(self) -> pd.DataFrame:
        """A row for each lesion: patient, lesion (1 the largest), name, volume_ml, x_mm, y_mm, z_mm, n_slices.

        Its genes are its patient's: `expression[lesion_table["patient"]]`. Rows of one patient are not independent.
        """
        if "lesions" in self._attributes["parts"]:
            return self._frame("lesions")
        shown = self.patients[self.patients["n_slices"] > 0].reset_index()
        columns = {"tumour_volume_ml": "volume_ml"} | {f"tumour_{axis}_mm": f"{axis}_mm" for axis in "xyz"}
        table = shown.assign(lesion=1, name="").rename(columns=columns)
        return table[["patient", "lesion", "name", *columns.values(), "n_slices"]]

    @cached_property
    def slice_patient(self) -> NDArray[np.str_]:
        """(N,) whose slice it is."""
        return self._patient_of("slices")

    @cached_property
    def background_image(self) -> NDArray[np.int16]:
        """(M, P, P) HU, lung without tumor."""
        return self._array("backgrounds/image")

    @cached_property
    def background_center_mm(self) -> NDArray[np.float64]:
        """(M, 3) center in the patient's LPS coordinates."""
        return self._array("backgrounds/center_mm")

    @cached_property
    def background_boundary_mm(self) -> NDArray[np.float32]:
        """(M,) distance of the drawn center from the boundary of lung minus tumor."""
        return self._array("backgrounds/boundary_mm")

    @cached_property
    def background_patient(self) -> NDArray[np.str_]:
        """(M,) whose lung it is."""
        return self._patient_of("backgrounds")

    @property
    def whole_pixels(self) -> int:
        """Pixels per side of the whole slices; 0 where none are kept."""
        return int(self._attributes.get("whole_pixels", 0))

    @cached_property
    def whole(self) -> WholeRows | None:
        """The whole slices of every scan, or None where none are kept."""
        from radiogenesis.cohort.sampling.whole_slices import WholeSlices

        if not self.whole_pixels:
            return None
        names = WholeSlices.__dataclass_fields__
        slices = WholeSlices(**{name: self._array(f"scans/{layout.STORED.get(name, name)}") for name in names})
        return WholeRows(slices, self._patient_of("scans"), self._attributes["whole_field_mm"] / self.whole_pixels)

    def describe(self) -> str:
        """Plain text: who is in it, who is not and why, and what it was made with."""
        from radiogenesis.cohort.describe import describe

        return describe(self)

    def verify(self) -> None:
        """Read every part, block by block, and compare it with its digest. Raises CohortError where one differs."""
        every = "lesions" in self._attributes["parts"]
        arrays = layout.arrays(self.pixels, self.whole_pixels, every_lesion=every)
        for name in arrays:
            for _ in self.verified_blocks(name):
                pass
        tables = set(self._attributes["parts"]) - set(arrays) - {"expression", "truth/settings"}
        for name in sorted(tables):
            self._frame(name)
        _ = self.expression, self.truth

    def _array(self, name: str) -> NDArray[Any]:
        with self._reading(name):
            values = np.asarray(cast(zarr.Array[Any], self._group[name])[:])
        self._check(name, content.array_digest(values))
        values.flags.writeable = False  # it is shared by everybody who asks
        return values

    def _patient_of(self, kind: str) -> NDArray[np.str_]:
        return self.patients.index.to_numpy(str)[self._array(f"{kind}/patient")]

    def _frame(self, name: str) -> pd.DataFrame:
        with self._reading(name):
            frame = zarr_tables.read_frame(self._group, name)
        self._check(name, content.frame_digest(frame))
        return frame if name in BY_PATIENT else frame.reset_index(drop=True)

    def _optional(self, name: str) -> pd.DataFrame | None:
        return self._frame(name) if name in self._attributes["parts"] else None

    def _check(self, name: str, digest: str) -> None:
        if digest != self._attributes["parts"].get(name):
            raise CohortError(f"part {name!r} is not what was written", path=self.path, remedy=layout.DAMAGED)

    def _reading(self, name: str) -> layout.Reading:
        return layout.Reading(self.path, name)
