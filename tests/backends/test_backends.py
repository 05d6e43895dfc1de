"""Backends draw what torch draws, or are refused; and every record says which one drew."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import radiogenesis as rg
from radiogenesis.api.maps import mapped
from radiogenesis.backends import opened
from radiogenesis.backends.engines import LIBRARIES, Library
from radiogenesis.backends.names import Backend
from radiogenesis.backends.opened import MOST_DIFFERENT, TORCH, TRIED, DrawnBy, drawn_by, on_backend, on_backends
from radiogenesis.cli.main import main
from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import SettingError
from radiogenesis.mapping.prediction.settings import PredictionSettings
from radiogenesis.mapping.settings import MapSettings, SynthesisSettings
from radiogenesis.mapping.synthesis.runs import open_runs
from radiogenesis.methods.drawing import CHUNK
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.methods.fusion_gan_settings import PRESETS, FusionGANSettings
from radiogenesis.testing import train_toy
from radiogenesis.training.run import Run
from radiogenesis.window import WINDOW_HU

OTHERS: tuple[Backend, ...] = ("onnx", "openvino")
SPANS = {"image": WINDOW_HU[1] - WINDOW_HU[0], "mask": 1.0, "weight": 1.0}
TINY = {"width": 2, "discriminator_width": 2, "code": 4, "hidden": 4}
QUICK = {"backgrounds_per_patient": 2, "bootstrap": 20, "permutations": 19, "gene_shuffles": 2, "noise_draws": 2}


@pytest.fixture(scope="module")
def run(discs: Cohort, alignment: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return train_toy("fusion-gan", discs, tmp_path_factory.mktemp("backends") / "gan", alignment=alignment, steps=1)


@pytest.fixture(scope="module")
def onnx(run: Run) -> Run:
    return on_backend(run, "onnx")


@pytest.mark.parametrize("backend", OTHERS)
def test_what_is_drawn_is_what_torch_draws_in_whole_chunks_and_beyond(
    run: Run, onnx: Run, discs: Cohort, backend: Backend
) -> None:
    rows = np.arange(CHUNK + 2) % len(discs.background_image)
    genes = np.random.default_rng(0).normal(size=(len(rows), len(run.scaler.genes)))
    by_torch = run.synthesizer().synthesize(discs.background_image[rows], genes, seed=3)
    other = onnx if backend == "onnx" else on_backend(run, backend)
    drawn = other.synthesizer().synthesize(discs.background_image[rows], genes, seed=3)
    for name, span in SPANS.items():
        assert np.abs(getattr(drawn, name) - getattr(by_torch, name)).max() <= MOST_DIFFERENT * span
    assert (drawn.image != by_torch.image).any()  # another engine has other last digits
    package = LIBRARIES[backend].package
    found = drawn_by(other.method)
    assert (found.backend, found.library, found.version) == (backend, package, version(package))
    assert 0 < found.difference <= MOST_DIFFERENT
    assert drawn_by(run.method) == DrawnBy("torch", "torch", TORCH, TORCH)  # the run that was given stays torch's


@pytest.mark.parametrize(
    "changes",
    [
        PRESETS["paper"],
        {"fill": False},
        {"mask_output": False, "compose": False, "lambda_weight_map": 0.0},
        {
            "adain": False,
            "weight_map": False,
            "lambda_weight_map": 0.0,
            "upsampling": "nearest",
            "central_mask": False,
        },
    ],
    ids=["paper", "not filled", "no mask", "ablations"],
)
def test_every_way_of_drawing_is_exported(changes: dict[str, Any]) -> None:
    settings = FusionGANSettings(**{**changes, **TINY, "gene_code": "mapping", "matching": 0.0, "energy": 0.0})
    torch.manual_seed(0)
    method = FusionGAN(settings, genes=5, pixels=32).eval()
    model = opened.exported(method)
    for backend in OTHERS:
        assert opened.compared(method, model, backend).drawn_by.difference <= MOST_DIFFERENT


def test_a_backend_that_draws_otherwise_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    right = LIBRARIES["onnx"]

    def brighter(model: bytes, axis: str, size: int, threads: int) -> Any:
        draw = right.compiled(model, axis, size, threads)
        return lambda given: [part + (0.01 if size == 1 else 0) for part in draw(given)]

    monkeypatch.setitem(LIBRARIES, "onnx", Library(right.package, brighter))
    refused = rf"onnxruntime {version('onnxruntime')} draws otherwise than torch .*: 0\.01 .* and 0\.0001 is allowed"
    with pytest.raises(SettingError, match=refused):
        on_backend(run, "onnx")


def test_nothing_that_is_no_number_passes(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "difference", lambda method, engine: float("nan"))
    with pytest.raises(SettingError, match="nan of the range apart"):
        on_backend(run, "onnx")


@pytest.mark.parametrize("package", ["onnx", "openvino"])
def test_a_package_that_is_not_there_is_named_with_the_line_that_installs_it(
    run: Run, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("radiogenesis.backends.graph.find_spec", lambda name: None if name == package else object())
    with pytest.raises(SettingError, match=rf'{package} is not installed; pip install "radiogenesis\[fast\]"'):
        on_backend(run, "openvino")


def test_other_methods_are_told_that_the_backend_serves_the_fusion_gan(run: Run, alignment: Run, discs: Cohort) -> None:
    inpainting = train_toy("inpainting-gan", discs, run.path.parent / "inpainting", steps=1)
    with pytest.raises(SettingError, match="the backend onnx serves the fusion GAN, and this is a run of inpainting"):
        rg.synthesize(inpainting, backend="onnx")
    with pytest.raises(SettingError, match="serves the fusion GAN, and no run is of that method"):
        rg.evaluate([alignment, inpainting], "nowhere", backend="onnx")
    (same, other, drawing), said = on_backends([alignment, inpainting, run], "onnx")
    assert said == "The backend onnx serves the fusion GAN: torch draws inpainting-gan."
    assert (same, other) == (alignment, inpainting)
    assert [drawn_by(one.method).backend for one in (other, drawing)] == ["torch", "onnx"]
    assert on_backends([alignment, run], "onnx")[1] == ""


def test_synthesis_records_what_drew(run: Run, onnx: Run, tmp_path: Path) -> None:
    few = ["--per_patient", "1", "--formats", "npz"]
    for backend in ("torch", "onnx"):
        assert main(["synthesize", str(run.path), str(tmp_path / backend), *few, "--backend", backend]) == 0
    by_torch, by_onnx = (json.loads((tmp_path / name / "synthesis.json").read_text()) for name in ("torch", "onnx"))
    assert by_torch["drawn_by"] == DrawnBy("torch", "torch", TORCH, TORCH).record()
    assert by_onnx["drawn_by"] == drawn_by(onnx.method).record()
    assert by_onnx["settings"]["backend"] == "onnx"
    with pytest.raises(SettingError, match="tensorrt"):
        rg.synthesize(run, backend="tensorrt")


def test_an_evaluation_records_what_drew_each_run(run: Run, onnx: Run, alignment: Run, tmp_path: Path) -> None:
    rg.evaluate([alignment, run], tmp_path / "out", backend="onnx", **QUICK)
    about = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    recorded = {one["name"]: one["drawn_by"] for one in about["runs"]}
    assert recorded == {"alignment": None, "gan": drawn_by(onnx.method).record()}
    assert f"onnxruntime {version('onnxruntime')} (at most" in (tmp_path / "out" / "page.json").read_text()


def test_a_map_draws_with_the_backend_and_takes_gradients_from_torch(run: Run, discs: Cohort) -> None:
    by_torch, _, before = open_runs(run.path, [], discs, 0)
    trained, _, about = open_runs(run.path, [], discs, 0, "onnx")
    assert drawn_by(trained.method).backend == "onnx"
    assert before["Drawn by"] == f"torch {TORCH}"
    assert f"of the range away from torch {TORCH}, in {TRIED} drawings" in about["Drawn by"]
    background, g = torch.full((1, 1, 32, 32), -0.8), torch.zeros(1, len(run.scaler.genes), requires_grad=True)
    slopes = []
    for one in (by_torch, trained):
        assert one.draw is not None
        slopes.append(torch.autograd.grad(one.draw(background, g, 0)[0].sum(), g)[0])
    torch.testing.assert_close(*slopes, rtol=0, atol=0)
    with pytest.raises(SettingError, match="nothing is drawn without a run that draws"):
        mapped(discs, Path("nowhere"), MapSettings(), SynthesisSettings(backend="onnx"), PredictionSettings())


def test_a_page_that_draws_in_the_browser_takes_no_backend(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", str(run.path), "page.html", "--backend", "onnx"]) == 2
    assert "--backend goes with --serve" in capsys.readouterr().err


def test_openvino_tells_nobody_that_it_was_imported() -> None:
    """Its import sends an event to Google Analytics unless it finds no telemetry."""
    program = (
        "import socket, sys, time\n"
        "asked = []\n"
        "socket.getaddrinfo = lambda *given, **more: asked.append(given)\n"
        "from radiogenesis.backends.engines import silent_openvino\n"
        "core = silent_openvino().Core()\n"
        "time.sleep(0.3)\n"
        "print(asked, [name for name in sys.modules if 'openvino_telemetry' in name])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[] []\n"


def test_a_run_keeps_all_else_on_another_backend(run: Run, onnx: Run) -> None:
    assert replace(onnx) == replace(run)
    assert on_backend(run, "torch") is run
    assert isinstance(onnx.method, FusionGAN)
    assert onnx.method.part is run.method.part  # the weights are not read again
