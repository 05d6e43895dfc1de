"""What a release ships: the archives hold the whole package, and a tag that is not the version is refused."""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from radiogenesis.version import __version__

ROOT = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE")


def script(name: str) -> ModuleType:
    """A script of .ci as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the sources, since building writes beside them, and the folder of its archives."""
    copy = tmp_path_factory.mktemp("sources")
    for name in SOURCES:
        shutil.copy(ROOT / name, copy / name)
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(copy / "dist"), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    return copy, copy / "dist"


def test_the_archives_hold_every_file_of_the_package(built: tuple[Path, Path]) -> None:
    sources, dist = built
    assert script("check_dist").missing(dist, sources) == []
    (wheel,) = dist.glob(f"radiogenesis-{__version__}-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for name in ("py.typed", "reporting/checklists.csv", "reporting/templates/report.html.j2"):
        assert f"radiogenesis/{name}" in names


def test_a_file_that_is_left_out_is_named(built: tuple[Path, Path]) -> None:
    sources, dist = built
    extra = sources / "src" / "radiogenesis" / "reporting" / "forgotten.dat"
    extra.touch()
    lacking = script("check_dist").missing(dist, sources)
    extra.unlink()
    assert len(lacking) == 2
    assert all(name.endswith("radiogenesis/reporting/forgotten.dat") for name in lacking)


def repository(folder: Path, *, cited: str = "1.2.3", heading: str = "## [1.2.3] - 2026-01-31") -> Path:
    (folder / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1.2.3"\n')
    (folder / "CITATION.cff").write_text(f"cff-version: 1.2.0\nversion: {cited}\n")
    (folder / "CHANGELOG.md").write_text(
        f"# C\n\n## [Unreleased]\n\nnew\n\n{heading}\n\n- old\n\n## [1.2.2] - 2025-01-01\n"
    )
    return folder


def test_a_tag_that_is_the_version_gives_the_notes(tmp_path: Path) -> None:
    assert script("check_version").main("v1.2.3", repository(tmp_path)) == "- old"


@pytest.mark.parametrize(
    ("tag", "changed", "line"),
    [
        ("v1.2.4", {}, "the tag is v1.2.4, but pyproject.toml has 1.2.3, CITATION.cff has 1.2.3"),
        ("v1.2.3", {"cited": "1.2.2"}, "CITATION.cff has 1.2.2"),
        ("v1.2.3", {"heading": "## [1.2.3]"}, "no section '## [1.2.3] - YYYY-MM-DD'"),
    ],
)
def test_a_tag_that_is_not_the_version_is_refused(tmp_path: Path, tag: str, changed: dict[str, str], line: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(line)):
        script("check_version").main(tag, repository(tmp_path, **changed))


def test_the_changelog_has_a_place_for_what_is_not_released() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert "## [Unreleased]\n" in text
    kinds = set(re.findall(r"^### (.*)$", text, re.MULTILINE))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}


def test_the_workflow_runs_the_commands_that_a_person_runs() -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "release.yml").read_text(encoding="utf-8"))["jobs"]
    commands = "\n".join(step.get("run", "") for step in jobs["build"]["steps"])
    targets = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)$", commands, re.MULTILINE):
        assert re.search(rf"^{target}:", targets, re.MULTILINE)
    assert {"make test", "make dist"} <= set(commands.splitlines())
    assert " ".join(script("check_dist").PHANTOM) in commands
    assert jobs["publish"]["needs"] == "build"
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
