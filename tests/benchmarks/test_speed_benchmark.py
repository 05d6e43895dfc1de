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


def test_backends_stand_beside_torch_with_their_difference(capsys: pytest.CaptureFixture[str]) -> None:
    given = argparse.Namespace(
        backends=["onnx"], width=4, batch=4, steps=1, drawn=2, genes=12, patients=4, threads=1, methods=["fusion-gan"]
    )
    speed.print_backends(given, 32)
    _, heading, _, *lines = capsys.readouterr().out.splitlines()
    assert "largest difference, HU" in heading
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert [row[:2] for row in cells] == [[name, n] for n in ("1", "16") for name in ("torch", "onnxruntime")]
    assert all(row[3:] == ["1.00", "1.00", "0"] for row in cells[::2])
    assert all(0 < float(row[5]) < 0.15 for row in cells[1::2])
