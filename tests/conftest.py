"""Fixtures that every room's tests share. One room's own fixtures live in that room's conftest.py."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of real data, its archives unpacked into a temporary folder: ct/, annotations/.

    Absent data is a failure in CI and a skip elsewhere.
    """
    if not SHARED_DATA.is_dir():
        if os.environ.get("CI"):
            pytest.fail(f"{SHARED_DATA} is missing: real-data tests must run in CI")
        pytest.skip(f"{SHARED_DATA} is not here")
    target = tmp_path_factory.mktemp("real")
    subprocess.run([sys.executable, str(SHARED_DATA / "unpack.py"), str(target)], check=True, capture_output=True)
    for folder in ("expression", "clinical", "genesets", "radiomics"):
        (target / folder).symlink_to(SHARED_DATA / folder)
    return target
