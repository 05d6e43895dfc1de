"""The documentation: it builds without a broken link, asks nothing of the network, and its commands exist."""

from __future__ import annotations

import importlib.util
import re
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@cache
def build() -> ModuleType:
    """docs/build.py as a module."""
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    made = sys.modules["docs_build"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "site"
    build().build(out)
    return out


@pytest.mark.slow
def test_it_builds_and_nothing_comes_from_elsewhere(site: Path) -> None:
    pages = list(site.rglob("*.html"))
    assert {"index.html", "reference/python/index.html", "tutorial/index.html"} <= {
        str(page.relative_to(site)) for page in pages
    }
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]* src="https?:', text), page
        assert not re.findall(r'<link[^>]* rel="(?:stylesheet|preload|preconnect|icon)"[^>]* href="https?:', text), page


@pytest.mark.slow
def test_every_command_and_every_function_has_its_place(site: Path) -> None:
    commands = (site / "reference" / "commands" / "index.html").read_text(encoding="utf-8")
    for name in build().COMMANDS:
        assert f"radiogenesis {name}</code>" in commands
    python = (site / "reference" / "python" / "index.html").read_text(encoding="utf-8")
    from radiogenesis import api

    for name in set(api.__all__) - {"Truth"}:
        assert f".{name}" in python, name


def used() -> list[tuple[str, str]]:
    """Page and command of every call of radiogenesis in the documentation."""
    found = []
    for page in PAGES:
        if "history" in page.parts:
            continue
        text = page.read_text(encoding="utf-8")
        lines = re.findall(r"^    (radiogenesis .*)$", text, re.MULTILINE) + re.findall(
            r"`(radiogenesis [a-z].*?)`", text
        )
        found += [(page.name, line.split("  #")[0]) for line in lines]
    return found


@pytest.mark.parametrize(("page", "line"), used())
def test_every_command_that_is_shown_exists_with_its_options(page: str, line: str) -> None:
    words = line.split()[1:]
    known = [name for name in build().COMMANDS if words[: len(name.split())] == name.split()]
    if not known:  # `radiogenesis train METHOD`, or a command named without its method
        assert any(name.split()[0] == words[0] for name in build().COMMANDS), line
        return
    text = build().help_of(max(known, key=len))
    for word in words:
        if word.startswith("--"):
            assert re.search(rf"{re.escape(word.split('=')[0])}\b", text), f"{page}: {line}"
