"""The page in a real Chromium: every part by keyboard and mouse, offline, kept and loaded again, and nothing sent."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from radiogenesis.readers.answers import COLUMNS, read_answers, read_key
from radiogenesis.readers.study import Study


class Reader:
    """Somebody at the page."""

    def __init__(self, browser: Any, path: Path, width: int = 1100, scheme: str = "light") -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme, offline=True)
        self.page = self.context.new_page()
        self.page.set_default_timeout(10_000)
        self.asked: list[str] = []
        self.wrong: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.goto(path.as_uri())

    def begin(self, code: str) -> None:
        self.page.fill("#reader", code)
        self.page.keyboard.press("Enter")

    def screen(self) -> str:
        return str(self.page.evaluate("state.screen"))

    def item(self) -> dict[str, Any]:
        return dict(self.page.evaluate("(({item, images, left, task}) => ({item, images, left, task: task.task}))"
                                       "(state.order[state.at])"))  # fmt: skip

    def finish(self, *, until: int = 10_000) -> list[dict[str, Any]]:
        """Answer by keyboard: 4, or the left one. Returns what was shown."""
        shown: list[dict[str, Any]] = []
        while self.screen() != "end" and len(shown) < until:
            if self.screen() == "intro":
                self.page.keyboard.press("Enter")
                continue
            shown.append(self.item())
            self.page.keyboard.press("4" if len(shown[-1]["images"]) == 1 else "ArrowLeft")
        return shown

    def save(self, button: str) -> str:
        with self.page.expect_download() as download:
            self.page.click(button)
        return Path(download.value.path()).read_text()


@pytest.fixture
def reader(browser: Any, page: Path) -> Iterator[Reader]:
    made = Reader(browser, page)
    yield made
    made.context.close()
    assert made.asked == [page.as_uri()]
    assert made.wrong == []


def test_by_keyboard_from_the_code_to_a_file_that_is_read(
    reader: Reader, study: Study, key: Path, tmp_path: Path
) -> None:
    reader.begin("R 1")
    assert "code" in reader.page.inner_text("#said")
    reader.begin("R-1")
    shown = reader.finish()
    text = reader.save("#save-end")
    (tmp_path / "R-1.csv").write_text(text)
    answers = read_answers([tmp_path / "R-1.csv"], read_key(key))
    assert tuple(pd.read_csv(io.StringIO(text)).columns) == COLUMNS
    assert len(answers) == len(study.items)
    tasks = [one["task"] for one in shown]
    assert tasks == sorted(tasks, key=["rate", "drawn", "high"].index)  # part by part
    rated = answers[answers["task"] == "rate"]
    assert set(rated["answer"]) == {"4"}
    pairs = answers[answers["task"] != "rate"]
    assert (pairs["answer"] == pairs["left"]).all()  # the left one was picked
    assert set(pairs["left"]) == {"A", "B"}
    assert (answers["seconds"] < 30).all()


def test_it_goes_on_where_it_was_and_takes_a_file(reader: Reader, browser: Any, page: Path, tmp_path: Path) -> None:
    reader.begin("R2")
    first = reader.finish(until=5)
    reader.page.reload()
    reader.asked.pop()
    reader.begin("R2")
    assert reader.page.inner_text("#count").startswith("5 of ")
    rest = reader.finish(until=1)
    assert rest[0]["item"] not in {one["item"] for one in first}
    (tmp_path / "saved.csv").write_text(reader.save("#save"))
    other = Reader(browser, page)
    other.page.set_input_files("#file", tmp_path / "saved.csv")
    other.page.wait_for_selector("#bar:not([hidden])")
    assert other.page.inner_text("#who") == "R2"
    assert other.page.inner_text("#count").startswith("6 of ")
    other.context.close()


def test_what_is_no_file_of_answers_is_said(reader: Reader, tmp_path: Path) -> None:
    for text, said in (
        ("a,b\n1,2\n", "no file of answers"),
        (",".join(COLUMNS) + "\nother" + "," * 10, "another study"),
    ):
        (tmp_path / "wrong.csv").write_text(text)
        reader.page.set_input_files("#file", tmp_path / "wrong.csv")
        reader.page.get_by_text(said).wait_for()
    assert reader.screen() == "start"


def test_order_and_sides_are_the_readers_own(reader: Reader) -> None:
    orders = json.loads(reader.page.evaluate("JSON.stringify(['R1', 'R1', 'R2'].map((one) => orderFor(one)))"))
    names = [[item["item"] for item in order] for order in orders]
    assert names[0] == names[1] != names[2]
    assert sorted(names[0]) == sorted(names[2])
    left = [np.array([item["left"] for item in order]) for order in orders]
    assert 0.2 < np.mean(left[0]) < 0.8
    assert (left[0] != left[2]).any()


def test_undo_takes_the_last_answer_back(reader: Reader) -> None:
    reader.begin("R3")
    shown = reader.finish(until=2)
    reader.page.keyboard.press("Backspace")
    assert reader.item()["item"] == shown[1]["item"]
    reader.page.keyboard.press("6")
    reader.page.click("#undo")
    reader.page.click("#scale button:nth-child(1)")
    assert f",{shown[1]['item']},2,,1," in reader.save("#save")


def shot(reader: Reader) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(reader.page.locator("#left").screenshot())).convert("L"), float)


def test_the_image_is_the_one_of_the_study_and_window_and_zoom_change_it(reader: Reader, study: Study) -> None:
    reader.begin("R4")
    reader.page.keyboard.press("Enter")
    image = study.items[reader.item()["item"]].images[0]
    whole = shot(reader)
    expected = np.clip((image + 1000) / 1500, 0, 1) * 255
    side = len(expected)
    middle = np.linspace(0, len(whole), side, endpoint=False).astype(int) + len(whole) // side // 2
    seen = whole[np.ix_(middle, middle)][2:-2, 2:-2]  # the corners are round
    assert np.corrcoef(seen.ravel(), expected[2:-2, 2:-2].ravel())[0, 1] > 0.95
    assert np.abs(np.median(seen) - np.median(expected)) < 4
    reader.page.keyboard.press("w")
    assert reader.page.inner_text("#window") == "−1000 to 0 HU"
    assert shot(reader).mean() > whole.mean() + 5
    reader.page.click("#presets button:nth-child(1)")
    reader.page.keyboard.press("+")
    reader.page.locator("#left").hover()
    reader.page.mouse.wheel(0, -100)
    assert reader.page.inner_text("#zoom") == "1.5 ×"
    reader.page.mouse.down()
    reader.page.mouse.move(300, 300)
    reader.page.mouse.up()
    assert reader.page.evaluate("view.x") != 0
    reader.page.keyboard.press("2")
    assert reader.save("#save").splitlines()[1].endswith(",-1000,500,1.50")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_it_fits_a_phone_and_both_schemes(browser: Any, page: Path, width: int, scheme: str) -> None:
    made = Reader(browser, page, width, scheme)
    made.begin("R5")
    for task in ("rate", "drawn"):
        while made.screen() == "intro" or made.item()["task"] != task:
            made.finish(until=1)
        assert made.page.evaluate("document.documentElement.scrollWidth") <= width
        paper = made.page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (paper == "rgb(255, 255, 255)") is (scheme == "light")
    made.page.click("#theme")
    assert (made.page.evaluate("getComputedStyle(document.body).backgroundColor") == paper) is False
    made.context.close()
