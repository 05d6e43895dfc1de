"""Fixtures that every room's tests share. One room's own fixtures live in that room's conftest.py."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from radiogenesis.cohort.store import Cohort
from radiogenesis.reporting import figures

if TYPE_CHECKING:
    from radiogenesis.training.run import Run

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data, as it lies. Absent data is a failure in CI and a skip elsewhere."""
    if not SHARED_DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{SHARED_DATA} is missing: real-data tests must run in CI")
        pytest.skip(f"{SHARED_DATA} is not here")
    return SHARED_DATA


@pytest.fixture(scope="session")
def real_data(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of real data, its archives unpacked into a temporary folder: ct/, annotations/."""
    target = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, str(shared_data / "unpack.py"), str(target)], check=True, capture_output=True)
    for folder in ("expression", "clinical", "genesets", "radiomics"):
        (target / folder).symlink_to(shared_data / folder)
    return target


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """A headless Chromium, driven by Playwright. Where there is none: a failure in CI, and a skip elsewhere."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is missing: the tests of pages in a browser must run in CI")
        pytest.skip("no Chromium is installed here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def discs(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    from radiogenesis.testing import toy_cohort

    return toy_cohort(tmp_path_factory.mktemp("cohort") / "discs.zarr")


@pytest.fixture(scope="session")
def chests(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """Whole slices only: dark lungs with a bright disc in every other slice; no expression."""
    from radiogenesis.cohort.sampling.slices import SamplingSettings
    from radiogenesis.testing import toy_patient, toy_scan, write_cohort

    side, rng = 32, np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    patients = []
    for number in range(8):
        at = rng.integers(10, side - 10, 2)
        disc = np.hypot(y - at[0], x - at[1])[None] < np.array([0, 3, 4, 0])[:, None, None]
        image = np.where(disc, 0, -850) + rng.normal(scale=20, size=disc.shape)
        patients.append(toy_patient(f"C-{number:02d}", whole=toy_scan(image, disc)))
    sampling = SamplingSettings(pixels=32, whole_pixels=side, whole_field_mm=6.0 * side)
    return write_cohort(tmp_path_factory.mktemp("cohort") / "chests.zarr", patients, sampling=sampling)


@pytest.fixture(scope="session")
def alignment(discs: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    from radiogenesis.testing import train_toy

    return train_toy("alignment", discs, tmp_path_factory.mktemp("runs") / "alignment")


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The cohort of tests/evaluation/known_cohort.py. Nobody changes it."""
    from known_cohort import write

    return write(tmp_path_factory.mktemp("known") / "cohort")


@pytest.fixture(scope="session")
def few(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The same with 14 patients: some to train on, and some to hold out."""
    from known_cohort import write

    return write(tmp_path_factory.mktemp("known") / "few", patients=14)


@pytest.fixture(scope="session")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    """The cohort of tests/mapping/linked_cohort.py. Nobody changes it."""
    from linked_cohort import write

    return write(tmp_path_factory.mktemp("map") / "tiny.zarr")


@pytest.fixture(autouse=True)
def _blank_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a test itself writes as a picture is blank: to draw them is a third of the time of an evaluation.

    The pictures that a fixture of a module makes are drawn, and those of tests marked `pictures`.
    """
    if "pictures" not in request.keywords:
        _leave_blank(monkeypatch)


@pytest.fixture(scope="session")
def blank_pictures() -> Callable[[], AbstractContextManager[None]]:
    """For fixtures of a module whose pictures nobody looks at."""

    @contextmanager
    def blank() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            _leave_blank(patch)
            yield

    return blank


@pytest.fixture(scope="session")
def one_chest() -> Callable[[], AbstractContextManager[None]]:
    """For phantoms of whose chests nothing is asked: everybody has the same, from one scanner, and it is drawn once.

    To draw the chest takes most of the time of a patient.
    """
    from radiogenesis.phantom import patient, thorax
    from radiogenesis.phantom.scanner import Scanner

    chest = cache(lambda spacing_mm: thorax.draw_thorax(spacing_mm, np.random.default_rng(0)))

    @contextmanager
    def one() -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(patient, "draw_scanner", lambda kernel, rng: Scanner(kernel, 2.0, 0.94, dose=1.0))
            patch.setattr(patient, "draw_thorax", lambda spacing_mm, rng: chest(spacing_mm))
            yield

    return one


def _leave_blank(patch: pytest.MonkeyPatch) -> None:
    def save(_: object, path: Path, **options: Any) -> None:
        Image.new("L", (8, 8)).save(path, format="png")

    patch.setattr(Figure, "savefig", save)
    patch.setattr(figures, "slice_grid", save)
