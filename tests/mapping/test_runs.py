"""Runs that a map is made from are told apart, wherever they lie."""

from __future__ import annotations

from pathlib import Path

from radiogenesis.backends.opened import TORCH
from radiogenesis.cohort.digest import file_digest
from radiogenesis.cohort.store import Cohort
from radiogenesis.mapping.synthesis.runs import names_of, open_runs
from radiogenesis.testing import train_toy


def test_a_null_in_a_folder_of_the_same_name_is_another_run(discs: Cohort, tmp_path: Path) -> None:
    run, null = tmp_path / "real" / "gan", tmp_path / "shuffled" / "gan"
    for path in (run, null):
        path.parent.mkdir()
        train_toy("inpainting-gan", discs, path, steps=1, checkpoint_every=1, shuffle_genes=path == null)
    trained, (shuffled,), digests = open_runs(run, [null], discs, seed=0)
    assert (trained.name, shuffled.name) == ("real/gan", "shuffled/gan")
    of = {path: f"sha256 {file_digest(path / 'weights.safetensors')[:12]}" for path in (run, null)}
    weights = {"Weights of real/gan": of[run], "Weights of shuffled/gan": of[null]}
    assert digests == {**weights, "Drawn by": f"torch {TORCH}"}


def test_names_are_as_short_as_they_can_be() -> None:
    assert names_of([Path("/runs/gan"), Path("/runs/shuffled")]) == ["gan", "shuffled"]
    twice = [Path("/a/x/gan"), Path("/b/x/gan"), Path("/a/x/gan")]
    assert names_of(twice) == ["a/x/gan", "b/x/gan", "a/x/gan (2)"]
