"""Are the built archives whole, and does the wheel's command run? Its dependencies are those of this interpreter.

python .ci/check_dist.py dist
"""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PHANTOM = ["cohort", "phantom", "tiny.zarr", "--patients", "3", "--genes", "200", "--modules", "8", "--pixels", "32"]
"""A command that needs no input."""


def missing(dist: Path, root: Path = ROOT) -> list[str]:
    """Files of the package, and the license, that the only wheel or the only sdist in `dist` lacks."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    package = [path for path in (root / "src" / "radiogenesis").rglob("*") if path.is_file()]
    sources = [path.relative_to(root / "src").as_posix() for path in package if "__pycache__" not in path.parts]
    in_wheel = set(zipfile.ZipFile(wheel).namelist())
    with tarfile.open(sdist) as archive:
        in_sdist = {name.partition("/")[2] for name in archive.getnames()}
    about = wheel.name.rsplit("-", 3)[0] + ".dist-info"
    wanted = [*sources, f"{about}/licenses/LICENSE", f"{about}/entry_points.txt"]
    lacking = [f"{wheel.name}: {name}" for name in wanted if name not in in_wheel]
    wanted = [f"src/{name}" for name in sources] + ["LICENSE", "README.md", "pyproject.toml"]
    return lacking + [f"{sdist.name}: {name}" for name in wanted if name not in in_sdist]


def try_wheel(dist: Path) -> None:
    """Install the wheel beside, without its dependencies, and run its command from there."""
    (wheel,) = dist.resolve().glob("*.whl")
    with tempfile.TemporaryDirectory() as folder:
        beside = Path(folder) / "installed"
        install = ["install", "--quiet", "--no-deps", "--no-index", "--no-compile", "--target", str(beside), str(wheel)]
        subprocess.run([sys.executable, "-m", "pip", *install], check=True)
        environment = os.environ | {"PYTHONPATH": str(beside)}
        for arguments in (["--help"], PHANTOM):
            command = [sys.executable, str(beside / "bin" / "radiogenesis"), *arguments]
            subprocess.run(command, check=True, cwd=folder, env=environment)


if __name__ == "__main__":
    built = Path(sys.argv[1])
    if lacking := missing(built):
        sys.exit("left out of the archives:\n" + "\n".join(lacking))
    try_wheel(built)
