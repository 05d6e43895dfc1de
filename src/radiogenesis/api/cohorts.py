"""Cohorts: fetch a public one, open one, build one from scans and tables, or make one whose answer is known."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from radiogenesis.api.keywords import settings_of
from radiogenesis.cohort.build import Tables
from radiogenesis.cohort.build import build_cohort as build
from radiogenesis.cohort.expression import TableSettings
from radiogenesis.cohort.fetch import fetch
from radiogenesis.cohort.fetch.catalog import FetchSettings, Services
from radiogenesis.cohort.fetch.fetch import Fetched
from radiogenesis.cohort.fetch.plan import Plan
from radiogenesis.cohort.raw_settings import raw_settings
from radiogenesis.cohort.sampling.slices import SamplingSettings
from radiogenesis.cohort.sources import ReadSettings
from radiogenesis.cohort.store import Cohort
from radiogenesis.cohort.workers import BuildSettings, unprotected
from radiogenesis.phantom import phantom
from radiogenesis.phantom.plant import PlantSettings
from radiogenesis.phantom.plant import plant_cohort as plant
from radiogenesis.phantom.settings import PhantomSettings
from radiogenesis.progress import Progress, silent


def open_cohort(path: str | Path, *, verify: bool = False) -> Cohort:
    """Open a cohort that `build_cohort`, `make_phantom`, `plant_cohort` or the command line wrote.

    What it holds: `cohort.expression` (AnnData, raw values), `cohort.lesions()` (slices in HU with masks and patients),
    `cohort.patients`, `.clinical`, `.annotations`, `.audit` (data frames), `.truth` (of phantoms). Of what is no CT of
    the lung `cohort.imaging.level(lesions.image)` gives HU or z-scores.

    Args:
        path: its folder.
        verify: compare all of it with its digests now, instead of each part when it is used.

    Raises:
        CohortError: no cohort there, or a damaged one.

    Examples:
        >>> cohort = rg.open_cohort("phantom.zarr")
        >>> lesions = cohort.lesions(["PH0001", "PH0002"])
        >>> lesions.image.shape == lesions.mask.shape == (len(lesions), 32, 32) and len(lesions) > 1
        True
        >>> cohort.expression.n_vars
        60
    """
    return Cohort.open(path, verify=verify)


def plan_fetch(name: str, **settings: Any) -> Plan:
    """What `fetch_cohort` would fetch, from the index alone: `radiogenesis cohort fetch --dry_run`.

    Args:
        name: nsclc-radiogenomics, lung3, nsclc-radiomics, tcga-luad, ... (`radiogenesis cohort fetch --help`).
        settings: fields of FetchSettings and Services.

    Returns:
        the plan: `describe()` is text to read, `series` and `patients` say what, `size` how many bytes of images.

    Raises:
        SettingError, InputError: as `fetch_cohort`.

    Examples:
        >>> plan = rg.plan_fetch("lung3", patients=["LUNG3-01", "LUNG3-02"])
        >>> print(plan.describe())
        lung3: 2 patients, 2 series, ...
        >>> plan.patients
        ('LUNG3-01', 'LUNG3-02')
    """
    return fetch.plan_fetch(name, *settings_of([FetchSettings, Services], settings))


def fetch_cohort(
    name: str,
    raw: str | Path,
    *,
    accept_license: bool = False,
    progress: Progress | None = None,
    **settings: Any,
) -> Fetched:
    """Fetch a public cohort into a folder that `build_cohort` reads without further settings: `radiogenesis cohort
    fetch`. Interrupted at any moment, the same call goes on.

    Args:
        name: nsclc-radiogenomics, lung3, nsclc-radiomics, tcga-luad, ... (`radiogenesis cohort fetch --help`).
        raw: the folder; new, empty, or of an earlier call for the same cohort.
        accept_license: that you accept the licenses that `plan_fetch` tells.
        progress: called with ("bytes", done, total).
        settings: fields of FetchSettings and Services.

    Returns:
        its folder, plan, number and bytes of image files, and remarks.

    Raises:
        SettingError: an unknown cohort, patient or setting, or the licenses are not accepted.
        InputError: the extra `fetch` is not installed.
        OutputError: something else is in the folder, or its disk has no room.
        FetchError: something is missing after all tries; it stands in `raw`/failures.csv.

    Examples:
        >>> rg.fetch_cohort("lung3", "LUNG3", patients=["LUNG3-01"])
        Traceback (most recent call last):
            ...
        radiogenesis.errors.SettingError: the licenses of lung3 are not accepted; ...
    """
    how, services = settings_of([FetchSettings, Services], settings)
    plan = fetch.plan_fetch(name, how, services)
    return fetch.fetch_cohort(plan, raw, services, accept_license=accept_license, progress=progress or silent)


def build_cohort(
    raw: str | Path,
    path: str | Path,
    *,
    expression: str | Path | None = None,
    annotations: str | Path | None = None,
    clinical: str | Path | None = None,
    clinical_id: str = "",
    id_map: str | Path | None = None,
    organ_mask: str | Path | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Cohort:
    """Read every scan under a folder and the tables beside it into a cohort: `radiogenesis cohort build`.

    A scan that cannot be used stands in `cohort.audit` with the reason. Look at `path`.previews before training.

    Args:
        raw: folder with DICOM (RTSTRUCT, SEG) or images and masks in a layout that is known, or a manifest
            (CSV); of MR with `normalize="zscore"`.
        path: the cohort to write; must not exist yet, unless the same call was interrupted: then it goes on.
        expression: CSV, TSV, GEO text or series matrix, h5ad.
        annotations: folder of AIM v4 XML files.
        clinical: clinical table, or a GEO series matrix.
        clinical_id: its column of patient ids; found by known ids where empty.
        id_map: table of two columns where ids differ: the id in the tables, the id of the scans.
        organ_mask: folder with masks of the lung, or another organ, in place of the built-in segmentation.
        progress: called with (what, done, total).
        settings: fields of ReadSettings, SamplingSettings, TableSettings and BuildSettings.
            `raw`/cohort.yaml, which `fetch_cohort` writes, gives those that are not given here, tables too.

    Raises:
        InputError, OutputError, SettingError: see `radiogenesis.cohort.build.build_cohort`.

    Examples:
        >>> cohort = rg.build_cohort("dicom", "built.zarr", expression="expression.csv", pixels=32, workers=1)
        >>> list(cohort.patients.index)
        ['PH0001', 'PH0002', 'PH0003']
    """
    brought = raw_settings(raw)
    paths = {"expression": expression, "annotations": annotations, "clinical": clinical, "id_map": id_map}
    for name, value in paths.items():
        own = brought.pop(name, None)
        paths[name] = own if value is None else value
    own_id, own_mask = brought.pop("clinical_id", ""), brought.pop("organ_mask", None)
    clinical_id, organ_mask, settings = clinical_id or own_id, organ_mask or own_mask, brought | settings
    tables, read, sampling, how = settings_of([TableSettings, ReadSettings, SamplingSettings, BuildSettings], settings)
    if warning := unprotected(how.scheduler):
        warnings.warn(warning, stacklevel=2)
    given = Tables(
        **{name: Path(value) for name, value in paths.items() if value is not None},
        clinical_id=clinical_id,
        settings=tables,
    )
    return build(
        raw,
        path,
        given,
        read=read,
        sampling=sampling,
        build=how,
        organ_mask=organ_mask,
        progress=_Told(progress) if progress else None,
    )


def make_phantom(path: str | Path, *, workers: int = 2, progress: Progress | None = None, **settings: Any) -> Cohort:
    """A cohort of simulated patients whose genes drive what their lesions look like: `radiogenesis cohort phantom`.

    Args:
        path: the cohort to write; must not exist yet.
        workers: processes that make patients side by side; the result does not depend on it.
        progress: called with (what, done, total).
        settings: fields of PhantomSettings, which are those of SamplingSettings too.

    Raises:
        OutputError: something is already at `path`.
        SettingError: a setting that is unknown or out of range.

    Examples:
        >>> cohort = rg.make_phantom("two.zarr", patients=2, genes=60, modules=6, pixels=32, workers=1)
        >>> list(cohort.truth.factors)[:2]
        ['size', 'attenuation']
    """
    (how,) = settings_of([PhantomSettings], settings)
    return phantom.make_phantom(path, how, workers=workers, progress=progress or silent)


def plant_cohort(
    ct_folder: str | Path, table: str | Path, path: str | Path, *, progress: Progress | None = None, **settings: Any
) -> Cohort:
    """Plant a lesion, driven by real genes, into a real lung for every patient of a table: `radiogenesis cohort plant`.

    A method that does not find this map will not find a true one either.

    Args:
        ct_folder: chest CT, DICOM or NIfTI; scans are used again and again.
        table: expression, as `build_cohort` reads it.
        path: the cohort to write; must not exist yet.
        progress: called with (what, done, total).
        settings: fields of PlantSettings, SamplingSettings, TableSettings and ReadSettings.

    Examples:
        >>> cohort = rg.plant_cohort("dicom", "expression.csv", "planted.zarr", pixels=32, module_genes=5,
        ...                          orientation="patients-in-rows")
        >>> list(cohort.truth.factors)[:2]
        ['size', 'attenuation']
    """
    planting, sampling, tables, read = settings_of(
        [PlantSettings, SamplingSettings, TableSettings, ReadSettings], settings
    )
    return plant(
        ct_folder, table, path, settings=planting, sampling=sampling, tables=tables, read=read, tell=progress or silent
    )


class _Told:
    """A build's progress as calls of one function."""

    def __init__(self, progress: Progress) -> None:
        self.progress, self.done, self.total = progress, 0, 0

    def say(self, text: str) -> None:
        self.progress(text, self.done, self.total)

    def start(self, total: int, done: int) -> None:
        self.done, self.total = done, total
        self.say("patients")

    def advance(self, outcome: object) -> None:
        self.done += 1
        self.say("patients")
