"""`explore --serve`: who is answered, what is drawn, what is read of a scan, and that nothing of it stays."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, get_args

import anyio
import httpx
import nibabel as nib
import numpy as np
import pytest
from dicom_files import Ct
from tests.explorer.conftest import Explored

from radiogenesis.backends.names import Backend
from radiogenesis.backends.opened import MOST_DIFFERENT, on_backend
from radiogenesis.cli.main import main
from radiogenesis.errors import ScanError, SettingError
from radiogenesis.explorer import guard, own_scans, server
from radiogenesis.explorer.content import Content, ExploreSettings, content_of
from radiogenesis.explorer.graph import drawer_of
from radiogenesis.training.run import Run

TOKEN, PORT, MOST = "a secret", 8765, 4 * 2**20
BASE = f"http://127.0.0.1:{PORT}"
KNOWN = {"Authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def content(explored: Explored) -> Content:
    null = Run.open(explored.run.path.parent / "null")
    settings = ExploreSettings(noises=2)
    return content_of(explored.run, explored.cohort, settings, tables=explored.map, null_run=null, exported=False)


@pytest.fixture
def app(explored: Explored, content: Content) -> Any:
    methods = {"own": drawer_of(explored.run), "shuffled": drawer_of(Run.open(explored.run.path.parent / "null"))}
    return server.application(content, methods, explored.cohort, token=TOKEN, port=PORT, upload_bytes=MOST)


def ask(app: Any, method: str, path: str, **options: Any) -> httpx.Response:
    async def answer() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url=options.pop("base", BASE)) as client:
            return await client.request(method, path, **options)

    return run(answer)


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    """In a thread of its own: in this one, Playwright's loop may be running."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(anyio.run, work).result()


def chest() -> np.ndarray:
    """A body with two lungs, (40, 64, 64) voxels of 4 mm, in HU."""
    y, x = np.mgrid[:64, :64] * 4.0
    hu = np.full((40, 64, 64), -1000, np.int16)
    hu[:, ((y - 128) / 110) ** 2 + ((x - 128) / 120) ** 2 < 1] = 40
    for middle in (70, 190):
        hu[4:-4, ((y - 128) / 70) ** 2 + ((x - middle) / 42) ** 2 < 1] = -850
    return hu


def as_nifti(values: np.ndarray) -> bytes:
    return bytes(nib.Nifti1Image(values.transpose(2, 1, 0), np.diag([-4.0, -4.0, 4.0, 1.0])).to_bytes())


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({}, 403, "the address that"),
        ({"params": {"token": "another"}}, 403, "the address that"),
        ({"headers": KNOWN}, 403, "the address that"),  # a page is asked for by its address
        ({"params": {"token": TOKEN}, "headers": {"Host": "rebound.example:8765"}}, 421, "the address that it printed"),
        ({"params": {"token": TOKEN}, "headers": {"Host": "127.0.0.1:9999"}}, 421, "the address that it printed"),
        ({"params": {"token": TOKEN}, "headers": {"Origin": "https://example.org"}}, 403, "other pages"),
    ],
)
def test_nobody_else_is_answered(app: Any, options: dict[str, Any], status: int, said: str) -> None:
    answer = ask(app, "GET", "/", **options)
    assert answer.status_code == status
    assert said in answer.json()["error"]


def test_the_page_is_the_same_page_with_another_engine(app: Any, explored: Explored) -> None:
    answer = ask(app, "GET", "/", params={"token": TOKEN})
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-eval" not in policy
    assert answer.headers["cache-control"] == "no-store"
    written = explored.page.path.read_text(encoding="utf-8")
    body = partial(re.findall, r'<input type="radio" name="view" value="(\w+)"')
    assert body(answer.text) == body(written)
    assert 'id="files"' in answer.text
    assert 'id="files"' not in written
    assert len(answer.text) < len(written) / 10  # neither ONNX Runtime nor a generator nor an image


def drawing(**changes: Any) -> dict[str, Any]:
    return {"background": 0, "noise": 0, "code": [0.0], **changes}


def test_it_draws_what_synthesize_draws(app: Any, explored: Explored, content: Content) -> None:
    trained, cohort = explored.run, explored.cohort
    wanted = [drawing(background=k, code=content.patients[1 + k].tolist()) for k in range(2)]
    answer = ask(app, "POST", "/draw", headers=KNOWN, json={"which": "own", "drawings": wanted})
    assert answer.status_code == 200
    image, mask, weight = np.frombuffer(answer.content, "<f4").reshape(3, 2, *content.backgrounds.shape[1:])
    genes = trained.genes(cohort.expression, sorted(trained.split.test))[:1]
    drawn = trained.synthesizer().synthesize(content.backgrounds[:1].astype(np.float32), genes, seed=0)
    low, high = content.window
    assert np.abs((image[0] + 1) / 2 * (high - low) + low - drawn.image[0]).max() < 1e-4 * (high - low)
    assert np.abs(mask[0] - drawn.mask[0]).max() < 1e-4
    assert np.abs(weight[0] - drawn.weight[0]).max() < 1e-4
    wanted = [drawing(code=content.shuffled.patients[0].tolist())]  # type: ignore[union-attr]
    assert ask(app, "POST", "/draw", headers=KNOWN, json={"which": "shuffled", "drawings": wanted}).status_code == 200


def test_another_backend_draws_what_torch_draws(explored: Explored, content: Content) -> None:
    wanted = [server.Wanted(**drawing(background=k, code=content.patients[1 + k].tolist())) for k in range(2)]
    by_torch, by_onnx = (
        server.Studio(content, {"own": drawer_of(on_backend(explored.run, name))}).draw(
            server.Batch(which="own", drawings=wanted)
        )
        for name in get_args(Backend)[:2]
    )
    apart = np.abs(np.frombuffer(by_torch, "<f4") - np.frombuffer(by_onnx, "<f4")).max()
    assert 0 < apart < 2 * MOST_DIFFERENT


@pytest.mark.parametrize(
    ("wanted", "status", "said"),
    [
        ({"which": "own", "drawings": [drawing(background=99)]}, 400, "no longer there"),
        ({"which": "own", "drawings": [drawing(noise=9)]}, 400, "there are 2 noises"),
        ({"which": "own", "drawings": [drawing()]}, 400, "a gene code of this run has"),
        ({"which": "own", "drawings": [drawing(background=-1)]}, 422, "greater than or equal to 0"),
        ({"which": "own", "drawings": [drawing()] * 99}, 422, "at most 8"),
        ({"which": "own", "drawings": []}, 422, "at least 1"),
        ({"which": "theirs", "drawings": [drawing()]}, 422, "'own' or 'shuffled'"),
        ({"which": "own", "drawings": [drawing(code=[float("nan")])]}, 400, ""),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(app: Any, wanted: dict[str, Any], status: int, said: str) -> None:
    headers = {**KNOWN, "Content-Type": "application/json"}
    answer = ask(app, "POST", "/draw", headers=headers, content=json.dumps(wanted))
    assert answer.status_code == status
    assert said in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_too_much_is_not_read(app: Any) -> None:
    async def sent() -> AsyncIterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.nii"\r\n\r\n'
        for _ in range(MOST // 2**20):
            yield bytes(2**20)

    declared = ask(app, "POST", "/draw", headers=KNOWN, content=bytes(guard.REQUEST_BYTES + 1))
    headers = {**KNOWN, "Content-Type": "multipart/form-data; boundary=x"}
    undeclared = ask(app, "POST", "/scan", headers=headers, content=sent())
    for answer in (declared, undeclared):
        assert answer.status_code == 413
    assert declared.json()["error"] == "more than 1 MB were sent"
    assert undeclared.json()["error"] == "more than 4 MB were sent; --upload_mb allows more"


def test_few_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crowd() -> list[str]:
        queue, told = server.OneAtATime(2), []

        async def one() -> None:
            try:
                told.append(await queue(lambda: "drawn"))
            except server.HTTPException as error:
                told.append(str(error.status_code))

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(one)
        return told

    assert sorted(run(crowd)) == ["503", "503", "503", "drawn", "drawn"]


@pytest.fixture
def private(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary files go."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def dicom(tmp_path: Path) -> list[tuple[str, bytes]]:
    paths = Ct(hu=chest(), spacing=(4.0, 4.0, 4.0)).write(tmp_path / "ct")
    return [("ct.dcm", path.read_bytes()) for path in paths]


def nifti(_: Path) -> list[tuple[str, bytes]]:
    return [("my scan.nii", as_nifti(chest()))]


@pytest.mark.parametrize("given", [nifti, dicom])
def test_a_scan_of_ones_own_becomes_backgrounds_and_nothing_of_it_stays(
    app: Any, explored: Explored, content: Content, private: Path, tmp_path_factory: pytest.TempPathFactory,
    given: Callable[..., Any],
) -> None:  # fmt: skip
    files = [("files", one) for one in given(tmp_path_factory.mktemp("scan"))]
    for _ in range(2):  # a second scan takes the place of the first
        answer = ask(app, "POST", "/scan", headers=KNOWN, files=files)
        assert answer.status_code == 200, answer.text
        told = answer.json()
        assert told["first"] == len(content.backgrounds)
        assert len(told["names"]) == len(content.backgrounds) + own_scans.SHOWN
    assert "a tumor may be on them" in told["said"]
    assert [*private.iterdir()] == []
    wanted = [drawing(background=told["first"], code=content.patients[1].tolist())]
    answer = ask(app, "POST", "/draw", headers=KNOWN, json={"which": "own", "drawings": wanted})
    image, mask, _ = np.frombuffer(answer.content, "<f4").reshape(3, 1, *content.backgrounds.shape[1:])
    own = own_scans.cut_backgrounds([(name, io.BytesIO(held)) for _, (name, held) in files], explored.cohort)
    assert np.median(own.image) == -850
    genes = explored.run.genes(explored.cohort.expression, sorted(explored.run.split.test))[:1]
    drawn = explored.run.synthesizer().synthesize(own.image[:1].astype(np.float32), genes, seed=0)
    low, high = content.window
    assert np.abs((image + 1) / 2 * (high - low) + low - drawn.image).max() < 1e-4 * (high - low)
    assert np.abs(mask - drawn.mask).max() < 1e-4
    assert "own scan, 1" in ask(app, "GET", "/", params={"token": TOKEN}).text


def test_an_outline_keeps_the_tumor_away(explored: Explored) -> None:
    hu, tumor = chest(), np.zeros((40, 64, 64), np.uint8)
    tumor[5:35, 16:48, 40:60] = 1  # all of one lung
    hu[tumor > 0] = 30
    files = [("a.nii", io.BytesIO(as_nifti(hu))), ("a_mask.nii", io.BytesIO(as_nifti(tumor)))]
    found = own_scans.cut_backgrounds(files, explored.cohort)
    assert "Nothing is outlined" not in found.said
    assert np.median(found.image[:, 12:20, 12:20]) < -800


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"note.txt": b"a note"}, "no scan that can be used is in the files"),
        ({"a.nii": b"no NIfTI"}, "NIfTI"),
        ({"a.nii": b"", "b.nii": b"", "c.nii": b""}, "3 volumes among the files"),
        ({"a.nii": as_nifti(np.zeros((8, 16, 16), np.int16))}, "not HU of a chest CT"),
        ({"../../escape.nii": as_nifti(np.zeros((8, 16, 16), np.int16))}, "not HU of a chest CT"),
    ],
)
def test_what_is_no_scan_is_refused_in_one_line(
    explored: Explored, private: Path, files: dict[str, bytes], said: str
) -> None:
    with pytest.raises(ScanError, match=said) as refused:
        own_scans.cut_backgrounds([(name, io.BytesIO(held)) for name, held in files.items()], explored.cohort)
    assert str(private) not in str(refused.value)
    assert [*private.iterdir()] == []


def test_a_port_that_is_taken_is_named() -> None:
    with server._listening(0) as taken:
        port = taken.getsockname()[1]
        assert taken.getsockname()[0] == "127.0.0.1"
        with pytest.raises(SettingError, match=f"port {port} of 127.0.0.1 is taken"):
            server._listening(port)


@pytest.mark.slow
def test_the_command_serves_a_browser_until_it_is_interrupted(browser: Any, explored: Explored, tmp_path: Path) -> None:
    """The one test that starts it: its address is opened, a slider moved, a scan read, and Ctrl+C ends it."""
    command = [sys.executable, "-m", "radiogenesis.cli.main", "explore", str(explored.run.path), "--serve"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    serving = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        assert serving.stdout is not None
        address = next(line.strip() for line in serving.stdout if line.startswith("http://"))
        context = browser.new_context(viewport={"width": 1200, "height": 900})
        page, asked = context.new_page(), []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_selector('html[data-state="ready"]', timeout=60_000)
        idle = "async () => { while (!explorer.idle()) await new Promise(requestAnimationFrame); }"
        before = page.evaluate("() => Array.from(explorer.drawings()[0].hu)")
        page.locator("#sliders input").first.fill("2")
        page.evaluate(idle)
        assert before != page.evaluate("() => Array.from(explorer.drawings()[0].hu)")
        scan = tmp_path / "scan.nii"
        scan.write_bytes(as_nifti(chest()))
        page.set_input_files("#files", str(scan))
        page.locator("#scan", has_text="were cut").wait_for(timeout=60_000)
        page.evaluate(idle)
        assert page.locator("#background option:checked").text_content() == "own scan, 1"
        page.set_input_files("#files", str(Path(__file__)))
        page.locator("#scan", has_text="no scan").wait_for(timeout=60_000)
        origin = address.split("/?")[0]
        assert all(url.startswith((origin, "blob:")) for url in asked)
        context.close()
    finally:
        serving.send_signal(signal.SIGINT)
        _, said = serving.communicate(timeout=60)
    assert serving.returncode == 0, said
    assert "Traceback" not in said


def test_what_is_missing_is_said(
    explored: Explored, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["explore", str(explored.run.path)]
    for more in ([], ["page.html", "--serve"]):
        assert main([*words, *more]) == 2
        assert "give the HTML file to write, or --serve; one of the two" in capsys.readouterr().err
    monkeypatch.setattr("radiogenesis.api.explorer.find_spec", lambda name: None)
    assert main([*words, "--serve"]) == 2
    assert "fastapi is not installed, which --serve needs; pip install 'radiogenesis[serve]'" in capsys.readouterr().err
