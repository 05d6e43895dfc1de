"""The page in a real browser: it asks for nothing, draws what the method draws, and every control does what it says."""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterator
from html import unescape
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.explorer.conftest import Explored

VENDORED = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm.gz": "bf933930bc90cf4f613f36cdc41616b54cfd2e9930478b574aed6ed4ef9ff8ca",
}


def test_what_is_vendored_is_what_was_published() -> None:
    vendor = files("radiogenesis.explorer") / "static" / "vendor"
    for name, digest in VENDORED.items():
        assert hashlib.sha256((vendor / name).read_bytes()).hexdigest() == digest, name


def test_its_policy_lets_it_load_and_send_nothing(explored: Explored) -> None:
    html = explored.page.path.read_text(encoding="utf-8")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', html)
    rules = dict(rule.strip().split(" ", 1) for rule in unescape(policy).split(";"))
    assert rules["default-src"] == rules["connect-src"] == rules["form-action"] == "'none'"
    assert "unsafe-inline" not in rules["script-src"]
    assert not re.search(r"<(?:link|iframe|img|script)[^>]*(?:src|href)=", html)


@pytest.fixture(scope="module")
def page(browser: Any, explored: Explored) -> Iterator[Any]:
    """The page, opened once, with all that it asked for."""
    context = browser.new_context(viewport={"width": 1200, "height": 900}, accept_downloads=True)
    opened = context.new_page()
    opened.asked = []
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.on("pageerror", lambda error: opened.asked.append(str(error)))
    opened.goto(explored.page.path.as_uri())
    opened.wait_for_selector('html[data-state="ready"]', timeout=60_000)
    yield opened
    context.close()


def settle(page: Any) -> None:
    """Until what was asked for is drawn."""
    page.evaluate(
        "() => new Promise((done) => { const wait = () => explorer.idle() ? done() : setTimeout(wait, 20); wait(); })"
    )


@pytest.mark.slow
def test_it_draws_what_synthesize_draws(page: Any, explored: Explored) -> None:
    run, cohort = explored.run, explored.cohort
    genes = run.genes(cohort.expression, sorted(run.split.test))[:1]
    shown = page.evaluate(
        "async () => (await explorer.draw([{patient: 1, background: 0, noise: 0, amounts: {}}]))"
        ".map((one) => [Array.from(one.hu), Array.from(one.mask), Array.from(one.weight)])"
    )[0]
    row = int(page.evaluate("() => document.getElementById('background').options[0].textContent").split(" ")[1])
    drawn = run.synthesizer().synthesize(cohort.background_image[[row]], genes, seed=0)
    for mine, theirs, span in zip(shown, (drawn.image, drawn.mask, drawn.weight), (1400, 1, 1), strict=True):
        assert np.abs(np.reshape(mine, theirs.shape) - theirs).max() < 1e-4 * span


@pytest.mark.slow
def test_a_slider_moves_by_keyboard_and_the_lesion_follows(page: Any) -> None:
    before = page.evaluate("() => Array.from(explorer.drawings()[0].hu)")
    slider = page.locator("#sliders input").first
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowRight")
    settle(page)
    assert page.locator("#sliders output").first.text_content() == "+0.5 SD"
    assert before != page.evaluate("() => Array.from(explorer.drawings()[0].hu)")
    page.keyboard.press("0")
    settle(page)
    assert before == page.evaluate("() => Array.from(explorer.drawings()[0].hu)")


@pytest.mark.slow
def test_every_view_and_overlay(page: Any) -> None:
    seen = set()
    for number in "1234":
        page.keyboard.press(number)
        settle(page)
        seen.add(page.evaluate("() => document.querySelector('#views canvas').toDataURL()"))
    assert len(seen) >= 2  # where nothing was moved there is no difference from all sliders at 0
    page.keyboard.press("1")
    page.locator("#links button").first.click()
    settle(page)
    captions = page.locator("#views figcaption").all_text_contents()
    assert [caption.split(":")[0] for caption in captions] == ["low", "middle", "high"]
    page.check("input[value=pair]")
    settle(page)
    assert page.locator("#views canvas").count() == 2
    page.check("input[value=shuffled]")
    settle(page)
    assert "trained on shuffled genes" in page.locator("#views figcaption").all_text_contents()[1]
    page.check("input[value=now]")
    settle(page)


@pytest.mark.slow
def test_evidence_stands_beside_every_slider(page: Any) -> None:
    for tab in page.locator("#tabs button").all():
        tab.click()
        kind = "Predicted from genes. " if "Properties" in tab.text_content() else "Above chance. "
        for move in page.locator(".move").all():
            grey = "grey" in str(move.get_attribute("class"))
            told = move.locator(".evidence").text_content()
            assert told.startswith(f"Not {kind.lower()}".replace("not ", "Not ") if grey else kind)
            assert len(told) > 30
    page.fill("#search", "G7")
    assert page.locator(".move .name").first.text_content() == "G7"
    page.fill("#search", "")


@pytest.mark.slow
def test_a_link_brings_another_person_to_the_same_state(page: Any, tmp_path: Path) -> None:
    page.locator("#sliders input").first.fill("1.5")
    page.select_option("#patient", "2")
    settle(page)
    page.click("#link")
    shown = page.evaluate("() => JSON.stringify(explorer.state())")
    address = page.evaluate("() => location.href")
    other = page.context.new_page()
    other.goto(address)
    other.wait_for_selector('html[data-state="ready"]', timeout=60_000)
    assert other.evaluate("() => JSON.stringify(explorer.state())") == shown
    other.close()
    page.fill("#pasted", address)
    settle(page)
    assert page.locator("#views figcaption").first.text_content() == "A"
    page.fill("#pasted", "https://example.org/#s=e30x")
    assert "not a link" in page.locator("#said").text_content()
    with page.expect_download() as picture:
        page.click("#picture")
    with Image.open(picture.value.path()) as saved:
        assert saved.size[1] > 300
    with page.expect_download() as table:
        page.click("#table")
    rows = [*csv.reader(Path(table.value.path()).read_text(encoding="utf-8").splitlines())]
    assert rows[1][2] == "1.5"
    page.keyboard.press("Escape")


@pytest.mark.slow
def test_it_fits_a_phone_and_asked_for_nothing(page: Any, explored: Explored) -> None:
    page.set_viewport_size({"width": 390, "height": 800})
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    page.locator("#sliders input").last.scroll_into_view_if_needed()
    above, below = page.evaluate(
        "() => { const { top, bottom } = document.querySelector('#views canvas').getBoundingClientRect();"
        " return [top, innerHeight - bottom]; }"
    )
    assert above >= 0  # the lesion is seen while a slider far below is moved
    assert below >= 0
    others = [one for one in page.asked if not one.startswith((explored.page.path.as_uri(), "blob:file"))]
    assert others == []
