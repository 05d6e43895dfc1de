"""The public Python API: complete, documented, its examples true, and the same as the command line."""

from __future__ import annotations

import doctest
import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, chdir
from pathlib import Path
from types import FunctionType, ModuleType

import numpy as np
import pytest
from anndata import AnnData

import radiogenesis as rg
from radiogenesis import api
from radiogenesis.api.keywords import settings_of
from radiogenesis.cli.main import main
from radiogenesis.cohort.expression import ExpressionSettings
from radiogenesis.evaluation.settings import EvaluationSettings
from radiogenesis.inference.drawing import DrawSettings
from radiogenesis.phantom.dicom import write_dicom
from radiogenesis.phantom.phantom import plan_cohort
from radiogenesis.phantom.settings import PhantomSettings
from radiogenesis.training.settings import TrainSettings

pytestmark = pytest.mark.slow

TINY = {"genes": 60, "modules": 6, "pixels": 32, "slices_per_center": 4}
SMALL = {"steps": 1, "batch": 4, "width": 2, "discriminator_width": 4}
OURS = "radiogenesis.api"
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def place(
    tmp_path_factory: pytest.TempPathFactory,
    blank_pictures: Callable[[], AbstractContextManager[None]],
    one_chest: Callable[[], AbstractContextManager[None]],
) -> Path:
    """The folder that the examples are run in: a cohort, runs, an evaluation, a map, DICOM and a table."""
    folder = tmp_path_factory.mktemp("api")
    with chdir(folder), blank_pictures(), one_chest():
        cohort = rg.make_phantom("phantom.zarr", patients=24, workers=1, **TINY)
        alignment = rg.train("canonical-alignment", cohort, "runs/alignment", permutations=20)
        run = rg.train("fusion-gan", cohort, "runs/gan", alignment=alignment, **SMALL)
        rg.evaluate(
            [alignment, run], "evaluation", backgrounds_per_patient=2, bootstrap=20, permutations=19, gene_shuffles=2
        )
        rg.map(cohort, "map", clusters=6, permutations=100, shuffles=1, prediction_folds=0)
        write_dicom(Path("dicom"), plan_cohort(PhantomSettings(patients=3, **TINY)), 3)
        patients = list(cohort.expression.obs_names)[:12]
        cohort.expression[patients].to_df().to_csv("expression.csv")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def examples() -> Iterator[object]:
    """Every function of the API, and every public method and property of its own classes."""
    for name in api.__all__:
        one = getattr(api, name)
        if isinstance(one, FunctionType):
            yield pytest.param(one, id=name)
        elif inspect.isclass(one) and one.__module__.startswith(OURS):
            for member, value in vars(one).items():
                if not member.startswith("_") and isinstance(value, FunctionType | property):
                    yield pytest.param(value, id=f"{name}.{member}")


@pytest.mark.parametrize("one", [*examples()])
def test_every_docstring_has_an_example_that_is_true(one: object, here: Path) -> None:
    text = inspect.getdoc(one) or ""
    assert ">>> " in text
    test = doctest.DocTestParser().get_doctest(text, {"rg": rg}, str(one), None, None)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(test).failed == 0


def test_all_is_everything_that_is_public_and_nothing_else() -> None:
    public = {
        name for name, one in vars(api).items() if not name.startswith("_") and not isinstance(one, ModuleType | type)
    }
    public |= {name for name, one in vars(api).items() if isinstance(one, type) and one is not Path}
    assert set(api.__all__) == public - {"annotations"}
    assert api.__all__ == sorted(api.__all__)
    assert set(dir(rg)) == {*api.__all__, "__version__"}
    for name in api.__all__:
        assert inspect.getdoc(getattr(rg, name)), name


def test_importing_it_is_quick_and_other_names_are_refused() -> None:
    code = "import sys, radiogenesis as rg; assert 'torch' not in sys.modules; print(rg.__version__)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout.strip()
    with pytest.raises(AttributeError, match=r"has no attribute 'trian'; it has .*train"):
        _ = rg.trian  # type: ignore[attr-defined]


def test_a_setting_that_is_misspelt_is_answered_with_the_nearest() -> None:
    with pytest.raises(rg.SettingError, match="there is no setting 'stepps'; did you mean steps"):
        rg.train("fusion-gan", "nowhere", "run", stepps=3)
    with pytest.raises(rg.SettingError, match="there is no setting 'qqqq'; choose from: backend, formats, per_patient"):
        settings_of([DrawSettings], {"qqqq": 1})
    with pytest.raises(rg.SettingError, match="per_patient 0"):
        settings_of([DrawSettings], {"per_patient": 0})
    assert settings_of([DrawSettings], {"formats": ["png"]})[0].formats == ("png",)
    with pytest.raises(rg.SettingError, match="has no preset 'papers'; choose from: default"):
        rg.train("fusion-gan", "nowhere", "run", preset="papers")


def test_what_it_trains_is_what_the_command_line_trains(here: Path, tmp_path: Path) -> None:
    words = [word for name, value in SMALL.items() for word in (f"--{name}", str(value))]
    train = ["train", "fusion-gan", "phantom.zarr", str(tmp_path / "gan"), "--alignment", "runs/alignment"]
    assert main([*train, *words]) == 0
    by_hand = rg.open_run(tmp_path / "gan").method.state_dict()
    for name, weights in rg.open_run("runs/gan").method.state_dict().items():
        np.testing.assert_array_equal(weights, by_hand[name], err_msg=name)


def test_settings_that_a_folder_brings_stand_in_for_what_is_not_given(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "genes.csv").write_text("x")
    (raw / "cohort.yaml").write_text("pixels: 2\nexpression: genes.csv\nclinical_id: who\n")
    with pytest.raises(rg.SettingError, match="pixels 2: at least 8"):
        rg.build_cohort(raw, tmp_path / "cohort")
    with pytest.raises(rg.InputError, match="holds no scan that can be used"):
        rg.build_cohort(raw, tmp_path / "cohort", pixels=32)


def test_progress_is_told(here: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []

    def note(what: str, done: int, total: int) -> None:
        told.append((what, done, total))

    rg.train("mc-gan", "phantom.zarr", tmp_path / "mc", progress=note, **{**SMALL, "steps": 2})
    assert told == [("train mc-gan", 1, 2), ("train mc-gan", 2, 2)]
    told.clear()
    rg.make_phantom(tmp_path / "two.zarr", patients=2, workers=1, progress=note, **TINY)
    assert told == [("phantom patients", 1, 2), ("phantom patients", 2, 2)]
    told.clear()
    rg.build_cohort("dicom", tmp_path / "built.zarr", expression="expression.csv", workers=1, pixels=32, progress=note)
    assert [one for one in told if one[0] == "patients"] == [("patients", done, 3) for done in (0, 1, 2, 3)]


def test_lesions_can_be_drawn_for_a_table_of_others_and_written(here: Path, tmp_path: Path) -> None:
    cohort = rg.open_cohort("phantom.zarr")
    others = cohort.expression.to_df().iloc[:2].set_axis(["X1", "X2"])
    drawn = rg.synthesize("runs/gan", expression=others, per_patient=1, path=tmp_path / "drawn")
    assert drawn.patient == ("X1", "X2")
    again = rg.synthesize("runs/gan", expression=AnnData(others), per_patient=1)
    np.testing.assert_array_equal(drawn.image, again.image)
    assert (tmp_path / "drawn" / "synthesis.json").is_file()
    named = rg.synthesize("runs/gan", [str(cohort.expression.obs_names[0])], per_patient=1, cohort=cohort)
    assert named.image.shape == (1, 32, 32)


def test_what_is_not_there_is_said_in_one_line(here: Path) -> None:
    for call in (rg.open_cohort, rg.open_run, rg.open_evaluation, rg.open_map, rg.report):
        with pytest.raises(rg.RadiogenesisError) as caught:
            call("nowhere")
        assert "\n" not in str(caught.value)
    with pytest.raises(rg.RunError, match="has no table 'nothing'; choose from: "):
        rg.open_map("map").table("nothing")
    with pytest.raises(rg.SettingError, match="give at least one"):
        rg.evaluate([], "out")
    with pytest.raises(rg.SettingError, match="read beside a run that draws"):
        rg.map("phantom.zarr", "out", null_run="runs/gan")
    assert not os.path.exists("out")


def run_code(text: str, changes: dict[str, str]) -> dict[str, object]:
    """Execute documentation after changes that make it small; each of them must be there to make."""
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    names: dict[str, object] = {}
    exec(compile(text, "documentation", "exec"), names)
    return names


def test_the_python_of_the_readme_runs(here: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    few = "backgrounds_per_patient=2, bootstrap=20, permutations=19, gene_shuffles=2"
    names = run_code(
        block,
        {
            "cohort.zarr": "phantom.zarr", "R01-001": "PH0001", '"runs/': f'"{tmp_path}/',
            "steps=800": "steps=1, batch=4",
            '"evaluation")  #': f'"{tmp_path}/evaluation", {few})  #', 'rg.report("': f'rg.report("{tmp_path}/',
            '"map", run=run)': f'"{tmp_path}/map", clusters=6, permutations=100, shuffles=1, prediction_folds=0)',
        },
    )  # fmt: skip
    assert len(names["links"]) % 6 == 0  # type: ignore[arg-type]
    assert (tmp_path / "evaluation" / "report.html").is_file()


def test_the_tutorial_runs(here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    cells = json.loads((ROOT / "docs" / "tutorial.ipynb").read_text(encoding="utf-8"))["cells"]
    text = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    (made,) = re.findall(r"rg\.make_phantom\(.*\)", text)
    names = run_code(
        text,
        {
            made: 'rg.open_cohort("phantom.zarr")',
            "steps=STEPS)": "steps=1, batch=4)",
            "backgrounds_per_patient=4": "backgrounds_per_patient=2, bootstrap=20, permutations=19, gene_shuffles=2",
            "clusters=40, shuffles=5": "clusters=6, permutations=100, shuffles=1",
        },
    )  # fmt: skip
    drawn = names["steps"]
    assert isinstance(drawn, rg.Synthesis)
    assert drawn.patient == ("5%", "25%", "50%", "75%", "95%")
    assert not (drawn.image[0] == drawn.image[-1]).all()


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        (ExpressionSettings, {"missing": "mean"}, "missing"),
        (TrainSettings, {"shuffle_genes": "yes please"}, "shuffle_genes"),
        (DrawSettings, {"formats": ["pngs"]}, "formats"),
        (PhantomSettings, {"patients": "many"}, "patients"),
        (PhantomSettings, {"size_mm": 5.0}, "size_mm"),
    ],
)
def test_values_are_checked_as_on_the_command_line(kind: type, given: dict[str, object], said: str) -> None:
    with pytest.raises(rg.SettingError, match=said) as caught:
        settings_of([kind], given)
    assert "\n" not in str(caught.value)


def test_numbers_of_numpy_and_paths_are_settings_too() -> None:
    made = settings_of([PhantomSettings], {"patients": np.int64(5), "size_mm": np.array([10.0, 20.0])})[0]
    assert (made.patients, made.size_mm) == (5, (10.0, 20.0))
    assert settings_of([EvaluationSettings], {"inception_weights": Path("w.pth")})[0].inception_weights == "w.pth"


def test_the_split_of_an_alignment_is_not_changed_silently(here: Path, tmp_path: Path) -> None:
    with pytest.raises(rg.SettingError, match=r"test 0.5: the split of the alignment is taken over, made with 0.25"):
        rg.train("fusion-gan", "phantom.zarr", tmp_path / "gan", alignment="runs/alignment", test=0.5)
    with pytest.warns(UserWarning, match="the preset paper is made for another cohort"):
        rg.train("fusion-gan", "phantom.zarr", tmp_path / "paper", preset="paper", **{**SMALL, "epochs": 0})


def test_lesions_are_asked_for_by_any_list_of_patients(here: Path) -> None:
    cohort = rg.open_cohort("phantom.zarr")
    assert len(cohort.lesions(cohort.patients.index)) == len(cohort.lesions(cohort.patients.index.to_numpy())) > 0


def test_a_table_may_have_a_dot_in_its_name(tmp_path: Path) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "gene_prediction-auto.v2.csv").write_text("a\n1\n")
    assert rg.Results(tmp_path).table("gene_prediction-auto.v2")["a"].tolist() == [1]
    assert rg.Results(tmp_path).tables == ["gene_prediction-auto.v2"]


@pytest.mark.parametrize("written", ["memorisation", "memorization"])
def test_a_table_that_was_renamed_opens_by_either_name(tmp_path: Path, written: str) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "evaluation.json").write_text("{}")
    (tmp_path / "tables" / f"{written}_patients.csv").write_text("patient,drawn\nP1,0.5\n")
    for name in ("memorisation_patients", "memorization_patients"):
        assert rg.open_evaluation(tmp_path).table(name)["drawn"].tolist() == [0.5]


@pytest.mark.parametrize(
    "text", ["[]", "{}", '{"conclusions": 5, "headline": "x"}', '{"conclusions": [1], "headline": [2]}']
)
def test_a_damaged_record_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluation.json").write_text('{"conclusions": [], "headline": []}')
    opened = rg.open_evaluation(tmp_path)
    (tmp_path / "evaluation.json").write_text(text)
    for ask in (lambda: opened.conclusions, lambda: opened.headline):
        with pytest.raises(rg.RunError, match=r"evaluation\.json (cannot be read|has no)"):
            ask()
