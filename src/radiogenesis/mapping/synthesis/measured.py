"""What the map by synthesis measures on lesions, drawn or real: the six properties, and, beyond any list, where a
lesion lies along the further axes of the run's alignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from radiogenesis.cohort.lesion_slices import LARGER
from radiogenesis.cohort.store import Cohort
from radiogenesis.evaluation.descriptions.properties import measure
from radiogenesis.imaging import LUNG_CT, Imaging
from radiogenesis.methods.canonical_alignment import CanonicalAlignment
from radiogenesis.methods.images import images_from_hu, soften
from radiogenesis.phenotypes.lesion import labels, units
from radiogenesis.stats.resampling import Floats, patient_means

NAMES = labels(LUNG_CT)
"""The properties as the conventional map of lungs names them."""


@dataclass(frozen=True, eq=False)
class Measured:
    """A way to measure.

    Attributes:
        pixel_mm: side of a pixel.
        alignment: whose further axes are measured too; None for the properties alone.
        imaging: what is shown, for names and units.
    """

    pixel_mm: float
    alignment: CanonicalAlignment | None = None
    imaging: Imaging = LUNG_CT

    @property
    def further(self) -> tuple[str, ...]:
        """The further axes that the alignment uses."""
        return () if self.alignment is None else tuple(self.alignment.settings.axes[k] for k in self._columns())

    def _columns(self) -> NDArray[np.intp]:
        """Their places among all axes."""
        if self.alignment is None:
            return np.zeros(0, np.intp)
        used = np.flatnonzero(self.alignment.used)
        return used[used >= len(self.alignment.settings.named)]

    @property
    def names(self) -> tuple[str, ...]:
        """The F names, in order."""
        return (*labels(self.imaging), *self.further)

    @property
    def units(self) -> dict[str, str]:
        """Name -> unit; coordinates along axes are in standard deviations over the training patients."""
        own = zip(labels(self.imaging), units(self.imaging).values(), strict=True)
        return dict(own) | dict.fromkeys(self.further, "SD")

    def of(self, image: NDArray[Any], mask: NDArray[Any]) -> Floats:
        """Images (B, P, P) as stored and masks (lesion where at least 0.5) -> (B, F); nan where there is no lesion."""
        values = measure(image, mask, self.pixel_mm, self.imaging)
        if not self.further or self.alignment is None:
            return values
        along = np.full((len(image), len(self.further)), np.nan)
        at = self._columns()
        with torch.no_grad():
            for start in range(0, len(image), 256):
                rows = slice(start, start + 256)
                # As critics see it: a real mask is softened; a drawn one, which is soft already, hardened first.
                hard = torch.from_numpy(np.asarray(mask[rows], np.float32) >= 0.5).float()[:, None]
                seen = self.alignment.standardized(images_from_hu(image[rows]), soften(hard))
                along[rows] = self.alignment.coordinates(seen).double().numpy()[:, at]
        along[~np.isfinite(values[:, 0])] = np.nan
        return np.concatenate([values, along], axis=1)

    def own(self, cohort: Cohort, patients: Sequence[str]) -> Floats:
        """(n, F) means over each patient's own slices; see `own_features`."""
        own = cohort.lesions(patients, least_area=LARGER)
        values = self.of(own.image, own.mask)
        return np.stack([patient_means(column, own.patient, patients) for column in values.T], axis=1)
