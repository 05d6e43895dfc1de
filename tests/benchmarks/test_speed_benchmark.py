"""Every number that the speed of a method is told by is measured, and stands beside MC-GAN's."""

from __future__ import annotations

import argparse

import pytest

import speed


@pytest.mark.parametrize("case", ["mc-gan", "mc-gan, additions", "fusion-gan, no critic"])
def test_every_number_of_a_tiny_case_is_measured(case: str) -> None:
    given = argparse.Namespace(
        methods=[case], pixels=[32], width=4, batch=4, steps=1, drawn=4, genes=12, patients=4, threads=1, one="eager"
    )
    found = speed.measure(given)
    assert set(found) == set(speed.COLUMNS)
    assert all(number > 0 for number in found.values())
    assert found["loading"] < 1


def test_ratios_are_to_mc_gan(capsys: pytest.CaptureFixture[str]) -> None:
    base = dict.fromkeys(speed.COLUMNS, 4.0)
    speed.print_table(64, {"mc-gan": base, "fusion-gan": dict.fromkeys(speed.COLUMNS, 6.0)})
    _, heading, _, _, line = capsys.readouterr().out.splitlines()
    assert all(f"| {label} |" in heading for label in speed.COLUMNS.values())
    assert line.count("6 (1.50)") == len(speed.COLUMNS) - 1  # a share of loading is no speed
