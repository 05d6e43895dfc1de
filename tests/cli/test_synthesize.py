"""`radiogenesis synthesize`: what it draws by default, tables from outside, and what it refuses in one line."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from radiogenesis.cli.main import main
from radiogenesis.cohort.split import Split
from radiogenesis.cohort.store import Cohort
from radiogenesis.training.run import Run


@pytest.fixture(scope="module")
def cohort(discs: Cohort) -> Cohort:
    return discs


@pytest.fixture(scope="module")
def run(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Run:
    path = tmp_path_factory.mktemp("runs") / "gan"
    small = ["--batch", "4", "--width", "2", "--discriminator_width", "2", "--code", "4", "--hidden", "4"]
    cpu = ["--accelerator", "cpu", "--precision", "float32"]
    few = ["--preset", "paper", "--epochs", "0", "--steps", "2"]
    assert main(["train", "fusion-gan", str(cohort.path), str(path), *few, *small, *cpu]) == 0
    return Run.open(path)


def read(out: Path) -> dict[str, np.ndarray]:
    with np.load(out / "synthesis.npz", allow_pickle=False) as arrays:
        return dict(arrays)


def write_table(cohort: Cohort, path: Path, *, genes: slice = slice(None), extra: bool = False) -> str:
    """The cohort's expression as a table with genes in rows, in reverse order."""
    table = cohort.expression.to_df().iloc[:, genes].T.iloc[::-1]
    if extra:
        table.loc["NOT_IN_THE_MODEL"] = 1.0
    table.to_csv(path, index_label="gene")
    return str(path)


def test_draws_for_held_out_patients(
    run: Run, cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "drawings"
    assert main(["synthesize", str(run.path), str(out)]) == 0
    held_out = run.split.test
    assert capsys.readouterr().out == f"{out}: {4 * len(held_out)} lesions drawn for {len(held_out)} patients\n"
    assert {path.name for path in out.iterdir()} == {"grid.png", "synthesis.npz", "synthesis.json"}
    arrays = read(out)
    assert set(arrays["patient"]) == set(held_out)
    assert set(cohort.background_patient[arrays["background_index"]]) <= set(held_out)


def test_the_same_call_draws_the_same_and_a_seed_another(run: Run, tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert main(["synthesize", str(run.path), str(tmp_path / name), "--seed", seed]) == 0
    a, b, c = (read(tmp_path / name)["image"] for name in "abc")
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_chosen_patients_backgrounds_and_number(run: Run, cohort: Cohort, tmp_path: Path) -> None:
    one, two = sorted(cohort.expression.obs_names)[:2]
    chosen = ["--patients", f"[{two},{one}]", "--backgrounds", "[5,9,3]", "--per_patient", "3"]
    assert main(["synthesize", str(run.path), str(tmp_path / "out"), *chosen]) == 0
    arrays = read(tmp_path / "out")
    assert arrays["patient"].tolist() == [two] * 3 + [one] * 3
    assert sorted(arrays["background_index"][:3]) == [3, 5, 9]
    np.testing.assert_array_equal(arrays["background"], cohort.background_image[arrays["background_index"]])


def test_a_table_from_outside_draws_as_the_cohorts_own(run: Run, cohort: Cohort, tmp_path: Path) -> None:
    table = write_table(cohort, tmp_path / "table.csv", extra=True)
    patients = ["--patients", f"[{','.join(run.split.test)}]"]
    assert main(["synthesize", str(run.path), str(tmp_path / "own"), *patients]) == 0
    assert main(["synthesize", str(run.path), str(tmp_path / "table"), "--expression", table, *patients]) == 0
    own, outside = read(tmp_path / "own"), read(tmp_path / "table")
    np.testing.assert_array_equal(own["background_index"], outside["background_index"])
    np.testing.assert_allclose(own["image"], outside["image"], atol=0.05)  # a table's digits
    records = [json.loads((tmp_path / name / "synthesis.json").read_text()) for name in ("own", "table")]
    digest = hashlib.sha256(Path(table).read_bytes()).hexdigest()
    assert [record["expression"] for record in records] == [None, {"table": "table.csv", "sha256": digest}]
    assert {record["backgrounds_of"] for record in records} == {"held-out patients"}


def test_backgrounds_that_were_trained_on_are_told(
    run: Run, cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run whose held-out patient has no background, and that was trained on all others."""
    shutil.copytree(run.path, tmp_path / "run")
    names = tuple(cohort.patients.index)
    Split(names, (), ("GONE",)).save(tmp_path / "run" / "split.json")
    record = json.loads((tmp_path / "run" / "provenance.json").read_text())
    del record["files"]["split.json"]  # as if this were what training wrote
    (tmp_path / "run" / "provenance.json").write_text(json.dumps(record))
    out = tmp_path / "out"
    assert main(["synthesize", str(tmp_path / "run"), str(out), "--patients", f"[{names[0]}]"]) == 0
    told = "4 lesions drawn for 1 patients, on backgrounds of scans that were trained on: no others have any\n"
    assert capsys.readouterr().out == f"{out}: {told}"
    assert "trained on" in json.loads((out / "synthesis.json").read_text())["backgrounds_of"]


def test_patients_that_the_cohort_does_not_know(run: Run, cohort: Cohort, tmp_path: Path) -> None:
    values = cohort.expression.to_df().rename(index=lambda name: f"NEW-{name}")
    values.to_csv(tmp_path / "new.tsv", sep="\t", index_label="patient")
    given = ["--expression", str(tmp_path / "new.tsv"), "--orientation", "patients-in-rows", "--per_patient", "1"]
    assert main(["synthesize", str(run.path), str(tmp_path / "out"), *given]) == 0
    assert read(tmp_path / "out")["patient"].tolist() == list(values.index)


def test_dicom_and_nifti_by_the_command_line(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert main(["synthesize", str(run.path), str(out), "--formats", "[nifti,dicom]", "--per_patient", "1"]) == 0
    names = [each["name"] for each in json.loads((out / "synthesis.json").read_text())["drawings"]]
    assert sorted(path.name for path in (out / "dicom").iterdir()) == sorted(names)
    assert len(list((out / "nifti").iterdir())) == 2 * len(names)


def test_a_cohort_that_has_moved(run: Run, cohort: Cohort, tmp_path: Path) -> None:
    (tmp_path / "moved").symlink_to(cohort.path)
    given = ["--cohort", str(tmp_path / "moved"), "--per_patient", "1"]
    assert main(["synthesize", str(run.path), str(tmp_path / "out"), *given]) == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--patients", "[P-00,NOBODY]"], "no expression for patient NOBODY; choose among the table's patients"),
        (["--backgrounds", "[0,99999]"], "backgrounds must be between 0 and "),
        (["--backgrounds", "[-1]"], "backgrounds must be between 0 and "),
        (["--per_patient", "0"], "per_patient 0"),
        (["--formats", "[]"], "formats must name at least one"),
        (["--formats", "[jpeg]"], "formats"),
        (["--cohort", "nowhere"], "nowhere: does not exist"),
        (["--expression", "nowhere.csv"], "nowhere.csv: there is no such file"),
    ],
)
def test_one_line_and_nothing_left_behind(
    arguments: list[str], line: str, run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["synthesize", str(run.path), str(tmp_path / "out"), *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("radiogenesis synthesize: ")
    assert line in printed.err
    assert printed.err.count("\n") == 1
    assert not printed.out
    assert not list(tmp_path.iterdir())


def test_missing_genes_are_one_line(
    run: Run, cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write_table(cohort, tmp_path / "table.csv", genes=slice(3, None))
    given = ["--expression", table, "--orientation", "genes-in-rows"]
    assert main(["synthesize", str(run.path), str(tmp_path / "out"), *given]) == 2
    error = capsys.readouterr().err
    absent = ", ".join(map(str, cohort.expression.var_names[:3]))
    assert f"3 of the model's {len(run.scaler.genes)} genes are not in the table: {absent}" in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_a_table_of_the_cohorts_patients_needs_no_orientation(run: Run, cohort: Cohort, tmp_path: Path) -> None:
    """The ids of known patients decide which way it lies, as `cohort build` says."""
    table = write_table(cohort, tmp_path / "table.csv")
    assert main(["synthesize", str(run.path), str(tmp_path / "out"), "--expression", table, "--per_patient", "1"]) == 0
    assert set(read(tmp_path / "out")["patient"]) == set(cohort.expression.obs_names)


def test_what_is_there_is_left_alone(run: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    assert main(["synthesize", str(run.path), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    place = tmp_path / "out"
    assert error == f"radiogenesis synthesize: {place}: already exists; choose another name, or delete it first\n"
    assert not list((tmp_path / "out").iterdir())


def test_what_is_no_run_is_refused(cohort: Cohort, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", str(cohort.path), str(tmp_path / "out")]) == 2
    assert "there is no run here; give a folder that `radiogenesis train` wrote" in capsys.readouterr().err


def test_the_run_knows_whether_its_genes_are_on_a_log_scale(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["synthesize", "run", "out", "--log", "true"]) == 2
    assert "log" in capsys.readouterr().err
