"""Freed memory is kept where the C library knows how, and nothing happens where it does not."""

from __future__ import annotations

import ctypes
import doctest
import platform
from types import SimpleNamespace

import pytest

from radiogenesis.training import allocator
from radiogenesis.training.allocator import keep_freed_memory


def test_freed_memory_is_kept_with_glibc() -> None:
    assert keep_freed_memory() or platform.libc_ver()[0] != "glibc"


def test_its_example_runs() -> None:
    assert doctest.testmod(allocator) == (0, 1)


def test_a_library_without_the_setting_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: SimpleNamespace())
    assert not keep_freed_memory()
