"""Peak memory of `cohort build` against the number of patients: it must not grow.

    python benchmarks/build_memory.py CT_FOLDER [--copies 1 4 16]

CT_FOLDER holds one patient's DICOM series. It is copied under so many patient ids (NIfTI, so that ids are file names),
each build runs in a process of its own, and the peak resident memory of that process is printed as a table.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import shutil
import tempfile
import time
from pathlib import Path

from radiogenesis.cohort.build import BuildSettings, build_cohort
from radiogenesis.cohort.dicom.folder import find_dicom, read_dicom
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.cohort.sources import ReadSettings


def write_patients(ct: Path, raw: Path, copies: int) -> None:
    """One scan under so many ids."""
    read = ReadSettings()
    scan = read_dicom(find_dicom(ct, read).sources[0], read)
    write_nifti(raw / "P000_image.nii", scan.hu, scan.affine)
    write_nifti(raw / "P000_mask.nii", scan.tumor_mask, scan.affine)
    for number in range(1, copies):
        for kind in ("image", "mask"):
            shutil.copy(raw / f"P000_{kind}.nii", raw / f"P{number:03d}_{kind}.nii")


def build(raw: Path, out: Path) -> None:
    """What is measured."""
    started = time.perf_counter()
    cohort = build_cohort(raw, out, build=BuildSettings(workers=1))
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{len(cohort.patients):>8} {len(cohort.slice_image):>8} {seconds:>8.1f} {peak:>10.0f}", flush=True)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ct", type=Path)
    parser.add_argument("--copies", type=int, nargs="+", default=[1, 4, 16])
    given = parser.parse_args()
    print(f"{'patients':>8} {'slices':>8} {'seconds':>8} {'peak MiB':>10}")
    spawn = multiprocessing.get_context("spawn")
    for copies in given.copies:
        with tempfile.TemporaryDirectory() as folder:
            raw = Path(folder) / "raw"
            raw.mkdir()
            write_patients(given.ct, raw, copies)
            process = spawn.Process(target=build, args=(raw, Path(folder) / "cohort"))
            process.start()
            process.join()


if __name__ == "__main__":
    main()
