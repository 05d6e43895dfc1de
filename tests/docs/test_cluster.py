"""The SLURM example of the documentation, as far as it runs without SLURM: up to the script of a job."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import dask
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"


@pytest.fixture
def tls(tmp_path: Path) -> dict[str, str]:
    """The certificate that the page makes, as tls.yaml has it."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl")
    (words,) = re.findall(r"^    (openssl req .*)$", PAGE.read_text(), re.MULTILINE)
    quicker = words.replace("rsa:4096", "rsa:2048").split()
    subprocess.run(quicker, cwd=tmp_path, check=True, capture_output=True)
    return {"cert": str(tmp_path / "dask.pem"), "key": str(tmp_path / "dask.key")}


def test_the_example_makes_jobs_whose_workers_speak_tls(
    tls: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    configure = next(
        code for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL) if "SLURM" in code
    )
    monkeypatch.chdir(tmp_path)
    settings: dict[str, Any] = {"require-encryption": True, "tls.ca-file": tls["cert"]}
    settings |= {f"tls.{who}.{name}": path for who in ("scheduler", "worker", "client") for name, path in tls.items()}
    made: dict[str, Any] = {}
    # Each by itself: the ciphers, which Dask's defaults hold once it was imported, stay.
    with dask.config.set({f"distributed.comm.{name}": value for name, value in settings.items()}):
        exec(configure, made)
        made["cluster"].close()
    script = capsys.readouterr().out
    for line in ("#SBATCH -p cpu", "#SBATCH --cpus-per-task=1", "#SBATCH --mem=8G", "#SBATCH -t 04:00:00"):
        assert f"{line}\n" in script
    (worker,) = (line for line in script.splitlines() if "dask_worker" in line)
    assert "dask_worker tls://" in worker
    for words in ("--protocol tls://", f"--tls-cert {tls['cert']}", "--nthreads 1", "--dashboard-address 127.0.0.1:0"):
        assert words in worker
    assert script.index("export OMP_NUM_THREADS=1") < script.index(worker)
    assert "PRIVATE KEY" not in script
