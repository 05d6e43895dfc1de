"""Two cohorts as one: patients of another cohort, beside those of a run's own that the run was trained on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.tables.identity import alike
from radiogenesis.errors import CohortError


@dataclass(frozen=True, eq=False)
class JoinedCohort(Cohort):
    """Another cohort with some patients of a run's own cohort in it; in memory, nothing is written.

    Path, digest, settings, truth and tables are the other cohort's. Make one by `joined`.

    Attributes:
        other: the other cohort.
        own: the run's own cohort.
        of_own: its patients that are here.
        left_out: patients of the other cohort that are not here.
        together: expression of both.
    """

    other: Cohort = field(kw_only=True)
    own: Cohort = field(kw_only=True)
    of_own: frozenset[str] = field(kw_only=True)
    left_out: frozenset[str] = field(kw_only=True)
    together: AnnData = field(kw_only=True)

    @cached_property
    def patients(self) -> pd.DataFrame:
        mine, theirs = self.other.patients, self.own.patients
        return pd.concat([mine[~mine.index.isin(self.left_out)], theirs[theirs.index.isin(self.of_own)]])

    @cached_property
    def expression(self) -> AnnData:
        return self.together

    @cached_property
    def slice_patient(self) -> NDArray[np.str_]:
        return self._both("slice_patient", "slice_patient")

    @cached_property
    def slice_image(self) -> NDArray[np.int16]:
        return self._both("slice_image", "slice_patient")

    @cached_property
    def slice_mask(self) -> NDArray[np.bool_]:
        return self._both("slice_mask", "slice_patient")

    @cached_property
    def slice_offset_mm(self) -> NDArray[np.float32]:
        return self._both("slice_offset_mm", "slice_patient")

    @cached_property
    def slice_lesion(self) -> NDArray[np.int32]:
        return self._both("slice_lesion", "slice_patient")

    @cached_property
    def background_patient(self) -> NDArray[np.str_]:
        return self._both("background_patient", "background_patient")

    @cached_property
    def background_image(self) -> NDArray[np.int16]:
        return self._both("background_image", "background_patient")

    @cached_property
    def background_center_mm(self) -> NDArray[np.float64]:
        return self._both("background_center_mm", "background_patient")

    @cached_property
    def background_boundary_mm(self) -> NDArray[np.float32]:
        return self._both("background_boundary_mm", "background_patient")

    def _both(self, name: str, of: str) -> NDArray[Any]:
        """Rows of both cohorts, the other's first, of those patients who are here."""
        mine = ~np.isin(getattr(self.other, of), list(self.left_out))
        theirs = np.isin(getattr(self.own, of), list(self.of_own))
        made = np.concatenate([getattr(self.other, name)[mine], getattr(self.own, name)[theirs]])
        made.flags.writeable = False
        return made


def also_in(cohort: Cohort, other: Cohort, patients: Collection[str] | None = None) -> NDArray[np.bool_]:
    """(n,) which patients of a cohort have the name, however it is written, or the scan of one of another's.

    Args:
        patients: of the other; all of them by default.
    """
    theirs = other.patients if patients is None else other.patients[other.patients.index.isin(patients)]
    scans = set(theirs["series_uid"]) - {""}
    names = theirs.index if patients is None else patients
    return alike(cohort.patients.index, names) | cohort.patients["series_uid"].isin(scans).to_numpy()


def joined(
    other: Cohort, own: Cohort, of_own: Collection[str], left_out: Collection[str], expression: AnnData
) -> JoinedCohort:
    """Join them.

    Args:
        of_own: patients of the run's own cohort; none of them may have the name of one of the other's that stays.
        left_out: patients of the other cohort.
        expression: of both.

    Raises:
        CohortError: their images are not of one size, organ and scale.
    """
    if other.imaging != own.imaging:
        raise CohortError(
            f"shows {other.imaging.text}, and the run was trained on {own.imaging.text}",
            path=other.path,
            remedy="build it with the same --organ, --normalize and --window",
        )
    if (other.pixels, other.field_of_view_mm) != (own.pixels, own.field_of_view_mm):
        raise CohortError(
            f"images of {other.pixels} pixels over {other.field_of_view_mm:g} mm, and the run was trained on "
            f"{own.pixels} over {own.field_of_view_mm:g} mm",
            path=other.path,
            remedy=f"build it with --pixels {own.pixels} --field_of_view_mm {own.field_of_view_mm:g}",
        )
    return JoinedCohort(
        other.path, other._group, other._attributes, other=other, own=own, of_own=frozenset(map(str, of_own)),
        left_out=frozenset(map(str, left_out)), together=expression,
    )  # fmt: skip
