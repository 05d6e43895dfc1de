"""The study: matched images, a page without answers, a key with all of them, and nobody shown who should not be."""

from __future__ import annotations

import base64
import json
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from painters import SMALL, Copier, drawing_with

from radiogenesis.cohort.store import Cohort
from radiogenesis.errors import InputError, OutputError, RunError, SettingError
from radiogenesis.evaluation.copies import Copies
from radiogenesis.readers import material
from radiogenesis.readers.answers import read_key
from radiogenesis.readers.page import render, write_study
from radiogenesis.readers.study import Study, make_study
from radiogenesis.training.run import Run


@pytest.fixture
def unaudited(monkeypatch: pytest.MonkeyPatch) -> None:
    """For studies of which it is not asked whether they copy: the audit takes most of the time."""
    monkeypatch.setattr("radiogenesis.readers.study.copies", lambda *_: Copies(False, "Not asked."))


def items(study: Study, **wanted: object) -> list[tuple[dict, tuple[np.ndarray, ...]]]:
    rows = [({"task": item.task, **item.truth}, item.images) for item in study.items.values()]
    return [row for row in rows if all(row[0].get(name) == value for name, value in wanted.items())]


def test_twins_differ_in_nothing_but_the_lesion(run: Run, cohort: Cohort) -> None:
    under, _ = material.held_out_backgrounds(run, cohort)
    drawn, real = material.twins(run, cohort, run.split.test, under, 8, np.random.default_rng(0))
    assert np.array_equal(drawn.background, real.background)
    away = ~(drawn.mask | real.mask)
    grown = material.ndimage.binary_dilation(~away, np.ones((1, 13, 13)))
    assert np.array_equal(drawn.image[~grown], real.image[~grown])
    ratio = drawn.mask.sum((1, 2)) / real.mask.sum((1, 2))
    assert ratio == pytest.approx(np.ones(8), abs=0.35)
    assert np.abs(material._centers(drawn.mask) - material._centers(real.mask)).max() < 1
    assert set(real.patient) <= set(run.split.test)


def test_where_a_lesion_would_touch_the_wall_nothing_is_laid(run: Run, cohort: Cohort) -> None:
    walled = replace(cohort)
    image = cohort.background_image.copy()
    image[::2, :, :18] = 40  # every other background is half chest wall
    walled.__dict__["background_image"] = image
    drawn, _ = material.twins(run, walled, run.split.test, np.arange(len(image)), 6, np.random.default_rng(0))
    assert len(drawn)
    assert set(drawn.background % 2) == {1}


def test_a_tumor_that_fills_its_image_is_like_no_drawing(cohort: Cohort, run: Run) -> None:
    filled = replace(cohort)
    mask = cohort.slice_mask.copy()
    rows = cohort.lesions(run.split.test).row
    mask[rows[0]] = True
    filled.__dict__["slice_mask"] = mask
    like, _ = _like(cohort)
    chosen = material.originals(filled, run.split.test, like, 4)
    assert rows[0] not in chosen.row
    under, _ = material.held_out_backgrounds(run, filled)
    drawn, real = material.twins(run, filled, run.split.test, under, 4, np.random.default_rng(0))
    assert rows[0] not in real.row
    assert all(np.isfinite(number) for pair in material.cues(drawn, real).values() for number in pair)


def test_shuffled_pixels_are_the_same_pixels(run: Run, cohort: Cohort) -> None:
    own = material.originals(cohort, run.split.test, material.originals(cohort, run.split.test, *_like(cohort)), 4)
    mixed = material.shuffled(own, np.random.default_rng(0))
    assert np.array_equal(np.sort(mixed.image.reshape(len(own), -1)), np.sort(own.image.reshape(len(own), -1)))
    assert np.array_equal(mixed.image[~own.mask], own.image[~own.mask])
    assert not np.array_equal(mixed.image, own.image)


def _like(cohort: Cohort) -> tuple[material.Images, int]:
    lesions = cohort.lesions()
    none = np.full(4, -1)
    return material.Images(lesions.image[:4], lesions.mask[:4], lesions.patient[:4], none, none), 4


def test_the_key_knows_every_question(study: Study, key: Path) -> None:
    record = json.loads(key.read_text())
    assert record["study"] == study.name
    kinds = Counter((item["task"], item["kind"]) for item in record["items"].values())
    assert kinds == {
        ("rate", "drawn"): 8, ("rate", "pasted"): 8, ("rate", "original"): 8, ("rate", "control"): 4,
        ("drawn", "pair"): 6, ("high", "moved"): 16,
    }  # fmt: skip
    moved = [item for item in record["items"].values() if item["task"] == "high"]
    assert Counter((item["property"], item["control"]) for item in moved) == Counter(
        {(name, control): 4 for name in ("size", "attenuation") for control in (False, True)}
    )
    assert {"settings", "radiogenesis", "weights", "cohort_digest", "page_sha256"} <= set(record)
    assert {item["right"] for item in moved} == {"A", "B"}


def test_the_right_one_has_more_of_it_and_the_control_has_not(study: Study) -> None:
    middle = (slice(14, 18), slice(14, 18))
    for truth, images in items(study, task="high", control=False):
        right = images["AB".index(truth["right"])]
        wrong = images[1 - "AB".index(truth["right"])]
        if truth["property"] == "size":
            assert (right > -500).sum() > (wrong > -500).sum()
        else:
            assert right[middle].mean() > wrong[middle].mean()
        assert truth["measured"] == 1
    for _, (one, other) in items(study, task="high", control=True):
        assert np.array_equal(one, other)


def test_pairs_lie_on_one_background(study: Study) -> None:
    for truth, (one, other) in items(study, task="drawn"):
        assert np.array_equal(one[:3, :3], other[:3, :3])  # a corner: seams reach further than the lesion
        assert not np.array_equal(one, other)
        assert truth["right"] in "AB"


def test_the_network_tells_discs_without_texture(study: Study) -> None:
    """The painter leaves the noise out, which is all that sets its discs apart."""
    assert study.record["network"]["pasted"]["auc"] > 0.8
    assert study.record["cues"]["pasted"]["noise outside"]["p"] > 0.01


def test_the_page_holds_no_answer(study: Study, page: Path) -> None:
    text = page.read_text()
    data = json.loads(re.search(r'<script type="application/json" id="study">(.*?)</script>', text).group(1))  # type: ignore[union-attr]
    assert set(data) == {"study", "pixels", "low", "high", "tasks", "images"}
    for task in data["tasks"]:
        assert set(task) == {"task", "title", "text", "question", "keys", "items"}
        assert all(set(item) == {"item", "images", "question"} for item in task["items"])
    without = text.replace(data["images"], "")
    for word in ("pasted", "original", '"kind"', '"right":', '"control"', "P-0", "P-1", "network", 'patients"'):
        assert word not in without, word
    images = np.frombuffer(base64.b64decode(data["images"]), "<i2").reshape(-1, 32, 32)
    named = [image for name in sorted(study.items) for image in study.items[name].images]
    assert np.array_equal(images, np.stack(named))
    assert images.min() >= -1000
    assert images.max() <= 500


def test_order_says_nothing(study: Study) -> None:
    """Runs of the same kind in the order of the page are as long as chance has them."""
    rated = [
        study.items[name].truth["kind"] == "drawn" for name in sorted(study.items) if study.items[name].task == "rate"
    ]
    changes = np.count_nonzero(np.diff(np.array(rated, int)))
    assert 5 <= changes <= 18  # of 27 places, with 8 of 28: 11.4 expected


def test_the_page_allows_nothing_but_itself(page: Path) -> None:
    text = page.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text).group(1)  # type: ignore[union-attr]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    assert "http" not in text.replace("http-equiv", "")


@pytest.mark.usefixtures("unaudited")
def test_the_same_study_is_the_same_page_and_another_seed_another(run: Run, null_run: Run, study: Study) -> None:
    few = replace(SMALL, rated=2, pairs=2, property_pairs=1, controls=0, network_steps=0)
    one, again, other = (make_study(run, replace(few, seed=seed), null_run=null_run) for seed in (0, 0, 1))
    assert render(one) == render(again)
    assert one.name != other.name
    assert set(one.items).isdisjoint(other.items)


def test_nothing_is_overwritten(study: Study, page: Path, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="already exists"):
        write_study(study, page)
    (tmp_path / "a.key.json").write_text("{}")
    with pytest.raises(OutputError, match="already exists"):
        write_study(study, tmp_path / "a.html")
    assert not (tmp_path / "a.html").exists()


@pytest.mark.usefixtures("unaudited")
def test_real_patients_are_shown_with_permission_only(run: Run, cohort: Cohort) -> None:
    hospital = replace(cohort, _attributes={**cohort._attributes, "provenance": {"verb": "cohort build"}})
    hospital_run = drawing_with(run, run.method)
    hospital_run.__dict__["open_cohort"] = lambda path=None: hospital
    few = replace(SMALL, rated=2, pairs=0, property_pairs=0, controls=0, network_steps=0)
    with pytest.raises(SettingError, match=r"real patients.*--real_patients true"):
        make_study(hospital_run, few)
    made = make_study(hospital_run, replace(few, real_patients=True))
    assert "real patients" in render(made)


def test_copies_are_refused(cohort: Cohort, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = cohort.lesions(run.split.train)
    copying = drawing_with(run, Copier(seen.image, seen.mask))
    few = replace(SMALL, rated=2, pairs=0, property_pairs=0, controls=0, network_steps=0)
    with pytest.raises(RunError, match=r"drawn lesions are copies of training lesions.*--anyway true"):
        make_study(copying, few)
    monkeypatch.setattr("radiogenesis.readers.study.copies", lambda *_: Copies(True, "They are."))
    said = render(make_study(copying, replace(few, anyway=True)))
    assert "Made although copies were found (--anyway). They are." in said


def test_the_null_run_must_be_one(run: Run) -> None:
    with pytest.raises(RunError, match="own genes of patients"):
        make_study(run, SMALL, null_run=run)


def test_what_cannot_be_asked_is_refused(run: Run) -> None:
    with pytest.raises(ValueError, match="at least 2"):
        replace(SMALL, rated=1)
    with pytest.raises(ValueError, match="controls"):
        replace(SMALL, rated=0)
    with pytest.raises(SettingError, match="no gene set 'MYC'"):
        make_study(run, replace(SMALL, pathways=("MYC",)))
    with pytest.raises(SettingError, match=r"margin can be measured in 0 training patients.*--properties"):
        make_study(run, replace(SMALL, properties=("margin",)))  # the discs of the cohort have no margin
    nothing = replace(SMALL, rated=0, controls=0, pairs=0, property_pairs=0)
    with pytest.raises(SettingError, match="nothing is asked"):
        make_study(run, nothing)


@pytest.mark.usefixtures("unaudited")
def test_a_pathway_is_asked_by_what_goes_with_it(run: Run, null_run: Run) -> None:
    settings = replace(SMALL, rated=0, pairs=0, controls=0, properties=(), pathways=("GROWTH",), property_pairs=3)
    made = make_study(run, settings, null_run=null_run, gene_sets={"GROWTH": ("G0",)})
    asked = {item.question for item in made.items.values()}
    assert len(asked) == 1
    assert "In which of the two is GROWTH higher?" in asked.pop()
    for truth, images in items(made, control=False):
        larger = "AB"[int((images[1] > -500).sum() > (images[0] > -500).sum())]
        assert larger == truth["right"]


def test_a_key_that_was_changed_is_refused(key: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.key.json"
    for old, new in (('"right": "A"', '"right": "B"'), ('"auc": ', '"aux": '), ('"digest": "', '"digest": "0')):
        text = key.read_text()
        assert old in text
        changed.write_text(text.replace(old, new, 1))
        with pytest.raises(InputError, match=r"changed\.key\.json: was changed or damaged since it was written"):
            read_key(changed)
    record = json.loads(key.read_text())
    del record["digest"]  # as of before
    changed.write_text(json.dumps(record))
    assert read_key(changed) == read_key(key)
