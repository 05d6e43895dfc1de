"""Kills, a full disk, a folder that turns read-only: at random moments of every long verb, then the same command again.

    python benchmarks/faults.py OUT [--trials 20] [--verbs build phantom train synthesize evaluate map]
                                    [--faults SIGKILL SIGTERM full read-only] [--seed 0]

Each verb runs undisturbed first, twice: the two results must be the same, byte for byte. Then each fault strikes
`trials` times at a random moment of the verb's time, and the command is given again, as a user would (`train` with
--resume, where there is a run). Asked is:

- the result: byte for byte that of the undisturbed run. Outside are what must differ, each in its own place: the date
  (`made.json`, and `created` in a cohort's root), the speed of a training (two columns of metrics.csv, TensorBoard) and
  how often it was resumed (provenance.json, checkpoints);
- no traceback, and no result that was ended half way in the place of a whole one;
- no process that works on, and nothing left beside the result.

A full disk is a limit on the size of files, set on the running command and all its processes (RLIMIT_FSIZE: what is
written then fails as on a full disk). Read-only are all folders that it writes to; where this runs as root, who may
write everywhere, the command has no capabilities then (Linux). Every trial is a line of OUT/trials.csv with its moment
and what was said; the table is printed at the end. Processes are forked from one that has imported everything, so that
faults strike the work, not the import of torch; `--cold` starts a new interpreter for each.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import ctypes
import hashlib
import importlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from radiogenesis.cli.main import main as command
from radiogenesis.cohort.nifti import write_nifti
from radiogenesis.testing import toy_cohort

FAULTS = ("SIGKILL", "SIGTERM", "full", "read-only")
OUT = "out"  # the name of every result
LONGEST = 300.0  # seconds that a command may take; more is a hang
TIMING = ["images_per_second", "loading_share"]
HEAVY = {"build": "radiogenesis.cohort.build", "phantom": "radiogenesis.phantom.phantom"}  # what a verb imports
OF_A_RUN_ALONE = ("provenance.json", "checkpoints", "tensorboard")
FEW = {
    "map": ["--clusters", "4", "--permutations", "100", "--shuffles", "1", "--prediction_folds", "0"],
    "evaluate": ["--backgrounds_per_patient", "2", "--bootstrap", "20", "--permutations", "19", "--gene_shuffles", "2"],
    "train": ["--steps", "12", "--checkpoint_every", "2", "--batch", "4", "--width", "4", "--discriminator_width", "4",
              "--code", "8", "--hidden", "8", "--accelerator", "cpu", "--precision", "float32"],
    "phantom": ["--patients", "4", "--genes", "60", "--modules", "6", "--pixels", "32"],
    "build": ["--pixels", "16", "--slices_per_center", "4"],
    "synthesize": ["--formats", "png,npz,nifti,dicom", "--per_patient", "2"],
}  # fmt: skip


@dataclass(frozen=True)
class Verb:
    """A command on prepared material.

    Attributes:
        words: the command that writes its result to a path.
        again: the command after a fault.
        contents: the result: name of a part -> its digest.
    """

    words: Callable[[Path], list[str]]
    again: Callable[[Path], list[str]]
    contents: Callable[[Path], dict[str, str]]


@dataclass(frozen=True)
class Trial:
    """What one fault did.

    Attributes:
        after: seconds from the start of the command to the fault.
        code: exit code of the command that it struck; below 0 the signal.
        said: the last line of that command on stderr.
        tracebacks: in both commands.
        code_again: exit code of the command that was given again.
        same: whether the result is that of the undisturbed run.
        left: what was left beside the result, and processes.
    """

    verb: str
    fault: str
    number: int
    after: float
    code: int
    said: str
    tracebacks: int
    code_again: int
    same: bool
    left: str


def main() -> None:
    """Prepare, strike, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path, help="a new folder")
    options.add_argument("--trials", type=int, default=20, help="of each fault, for each verb")
    options.add_argument("--verbs", nargs="+", choices=list(FEW), default=list(FEW))
    options.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    options.add_argument("--seed", type=int, default=0, help="of the moments")
    options.add_argument("--patients", type=int, default=3, help="chests that a cohort is built from")
    options.add_argument("--workers", type=int, default=2, help="processes of build and phantom")
    options.add_argument("--cold", action="store_true", help="a new interpreter for each command")
    given = options.parse_args()
    given.out.mkdir(parents=True)
    material = given.out / "material"
    start = _Cold if given.cold else _Forked
    prepare(material, given.verbs, given.patients)
    for verb in ("build", "phantom"):
        FEW[verb] += ["--workers", str(given.workers)]
    trials = []
    with (given.out / "trials.csv").open("w", newline="") as file:
        log = csv.DictWriter(file, [field.name for field in fields(Trial)])
        log.writeheader()
        for name in given.verbs:
            for trial in strike(name, verbs(material)[name], given.out / name, given, start):
                trials.append(trial)
                log.writerow(asdict(trial))
                file.flush()
                print(trial, file=sys.stderr)
    print_table(trials)
    sys.exit(any(bad(trial) for trial in trials))


def prepare(folder: Path, names: Sequence[str], count: int) -> None:
    """The smallest material that the verbs work on: chests, a table, a toy cohort with two runs."""
    folder.mkdir()
    patients = [f"P{number}" for number in range(count)]
    for number, patient in enumerate(patients):
        write_chest(folder / "raw", patient, seed=number)
    genes = np.random.default_rng(0).random((len(patients), 5)).round(4)
    pd.DataFrame(genes, pd.Index(patients, name="patient"), list("ABCDE")).to_csv(folder / "genes.csv")
    toy_cohort(folder / "toy.zarr", patients=16)
    for name in names:
        importlib.import_module(HEAVY.get(name, "radiogenesis.api"))
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder / "temporary")  # what was saved from a full disk lies there
    (folder / "temporary").mkdir()
    if {"train", "synthesize", "evaluate"} & set(names):
        train = ["train", "canonical-alignment", str(folder / "toy.zarr"), str(folder / "alignment")]
        _must([*train, "--permutations", "20"])
    if {"synthesize", "evaluate"} & set(names):
        _must(verbs(folder)["train"].words(folder / "gan"))


def _must(words: list[str]) -> None:
    """Run a command in another process, so that this one stays as it is."""
    if (code := _Cold(words, Path(os.devnull)).wait()) != 0:
        raise SystemExit(f"{' '.join(words)}: exit code {code}")


def write_chest(folder: Path, patient: str, *, seed: int) -> None:
    """A NIfTI pair of 4 mm voxels: a body with two lungs, a ball as tumor."""
    spacing, rng = 4.0, np.random.default_rng(seed)
    z, y, x = np.mgrid[:30, :60, :75] * spacing

    def ellipsoid(center: tuple[float, ...], radii: tuple[float, ...]) -> np.ndarray:
        return sum(((at - c) / r) ** 2 for at, c, r in zip((z, y, x), center, radii, strict=True)) < 1

    hu = np.full(z.shape, -1000.0)
    hu[((y - 120) / 105) ** 2 + ((x - 150) / 140) ** 2 < 1] = 40
    hu[ellipsoid((60, 120, 85), (55, 75, 45)) | ellipsoid((60, 120, 215), (55, 75, 45))] = -860
    tumor = ellipsoid((60, 120 + 5 * seed, 85), (10, 10, 10))
    hu[tumor] = 30
    affine = np.array([[0, 0, spacing, -150], [0, spacing, 0, -120], [spacing, 0, 0, 0], [0, 0, 0, 1]], float)
    folder.mkdir(parents=True, exist_ok=True)
    image = (hu + rng.normal(0, 15, hu.shape)).round().astype(np.int16)
    write_nifti(folder / f"{patient}_image.nii.gz", image, affine)
    write_nifti(folder / f"{patient}_mask.nii.gz", tumor, affine)


def verbs(material: Path) -> dict[str, Verb]:
    """The long verbs."""
    toy, gan, alignment = (str(material / name) for name in ("toy.zarr", "gan", "alignment"))
    raw, genes = str(material / "raw"), str(material / "genes.csv")

    def plain(*words: str, contents: Callable[[Path], dict[str, str]] = every_file, more: Sequence[str]) -> Verb:
        def given(out: Path) -> list[str]:
            return [*words, str(out), *more]

        return Verb(given, given, contents)

    def train(out: Path) -> list[str]:
        return ["train", "fusion-gan", toy, str(out), "--alignment", alignment, *FEW["train"]]

    def train_again(out: Path) -> list[str]:
        return [*train(out), *(["--resume"] if out.exists() else [])]

    return {
        "build": plain("cohort", "build", raw, contents=cohort, more=["--expression", genes, *FEW["build"]]),
        "phantom": plain("cohort", "phantom", contents=cohort, more=FEW["phantom"]),
        "train": Verb(train, train_again, run),
        "synthesize": plain("synthesize", gan, more=FEW["synthesize"]),
        "evaluate": plain("evaluate", alignment, gan, more=FEW["evaluate"]),
        "map": plain("map", toy, more=FEW["map"]),
    }


def every_file(out: Path) -> dict[str, str]:
    """Every file but the date."""
    files = (path for path in sorted(out.rglob("*")) if path.is_file() and path.name != "made.json")
    return {str(path.relative_to(out)): _sha256(path.read_bytes()) for path in files}


def cohort(out: Path) -> dict[str, str]:
    """Every file of a cohort and its previews; the date stands among the attributes of its root."""
    root = json.loads((out / "zarr.json").read_text())
    del root["attributes"]["provenance"]["created"]
    previews = every_file(out.with_name(f"{out.name}.previews"))
    return every_file(out) | {"zarr.json": _sha256(json.dumps(root).encode())} | previews


def run(out: Path) -> dict[str, str]:
    """What a run is read from, and its grids of drawings; of metrics.csv all but the speed."""
    found = {k: v for k, v in every_file(out).items() if k.split(os.sep)[0] not in OF_A_RUN_ALONE}
    metrics = pd.read_csv(out / "metrics.csv", dtype=str).drop(columns=TIMING)
    return found | {"metrics.csv": _sha256(metrics.to_csv().encode())}


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def strike(name: str, verb: Verb, folder: Path, given: argparse.Namespace, start: type[_Command]) -> Iterator[Trial]:
    """One verb: undisturbed twice, then every fault at random moments."""
    expected, seconds = {}, 0.0
    for number in range(2):
        out = _new(folder / f"undisturbed-{number}")
        began = time.perf_counter()
        if (code := start(verb.words(out), out.with_name("log")).wait()) != 0:
            raise SystemExit(f"{name}, undisturbed: exit code {code}: {_last(out.with_name('log'))}")
        seconds = time.perf_counter() - began
        differing = _differing(expected, verb.contents(out)) if expected else []
        expected = verb.contents(out)
        yield Trial(name, "none", number, 0.0, 0, "", 0, 0, not differing, " ".join(differing))
    rng = np.random.default_rng([given.seed, list(FEW).index(name)])
    for fault in given.faults:
        for number in range(given.trials):
            after = float(rng.uniform(0, seconds))
            yield trial(name, verb, _new(folder / f"{fault}-{number}"), fault, number, after, expected, start)


def trial(
    name: str, verb: Verb, out: Path, fault: str, number: int, after: float, expected: dict[str, str],
    start: type[_Command],
) -> Trial:  # fmt: skip
    """Start, wait, strike, give the command again, compare, tidy up."""
    folder, log = out.parent, out.with_name("log")
    began = start(verb.words(out), log, powerless=fault == "read-only")
    family = began.after(after)
    inflict(fault, family, folder)
    code = began.wait()
    _, alive = psutil.wait_procs(family, timeout=20)
    relieve(folder)
    said, tracebacks = _last(log), log.read_text(errors="replace").count("Traceback")
    code_again = 0
    if code or not out.exists():
        code_again = start(verb.again(out), log, powerless=fault == "read-only").wait()
        tracebacks += log.read_text(errors="replace").count("Traceback")
        said += f" | {_last(log)}" if code_again else ""
    same = out.exists() and not _differing(expected, verb.contents(out))
    left = [path.name for path in folder.iterdir() if path.name not in (OUT, f"{OUT}.previews", "log")]
    left += [f"process {process.pid}" for process in alive]
    for process in alive:
        process.kill()
    if same:
        shutil.rmtree(folder)
    return Trial(name, fault, number, round(after, 2), code, said, tracebacks, code_again, same, " ".join(left))


def inflict(fault: str, family: list[psutil.Process], folder: Path) -> None:
    """A signal to the first process; a limit for all of them; folders that may not be written."""
    if fault in ("SIGKILL", "SIGTERM"):
        for process in family[:1]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(signal.Signals[fault])
    elif fault == "full":
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (0, 0))
    else:
        for place, _, _ in os.walk(folder):
            with contextlib.suppress(FileNotFoundError):
                os.chmod(place, 0o555)


def relieve(folder: Path) -> None:
    """Folders may be written again."""
    for place, _, _ in os.walk(folder):
        os.chmod(place, 0o777)


def without_capabilities() -> None:
    """Let this process, and all that it starts, obey the modes of files even as root: capabilities(7)."""
    if os.getuid() == 0:
        system = ctypes.CDLL(None)
        system.prctl(28, 3, 0, 0, 0)  # PR_SET_SECUREBITS: SECBIT_NOROOT, locked
        system.capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())


class _Command:
    """A command as a process; what it prints goes to a pipe that is copied to `log`, which no limit reaches."""

    pid: int

    def __init__(self, words: list[str], log: Path, *, powerless: bool = False) -> None:
        raise NotImplementedError

    def _ended(self, seconds: float) -> int | None:
        """Its exit code, once it has ended; None where it has not within so many seconds."""
        raise NotImplementedError

    def after(self, seconds: float) -> list[psutil.Process]:
        """The process and all that it started, so many seconds after its start or when it ends."""
        if self._ended(seconds) is not None:
            return []
        first = psutil.Process(self.pid)
        return [first, *first.children(recursive=True)]

    def wait(self) -> int:
        """Its exit code. A command that hangs is killed."""
        code = self._ended(LONGEST)
        if code is None:
            os.kill(self.pid, signal.SIGKILL)
            print(f"process {self.pid} hung for {LONGEST:g} s", file=sys.stderr)
            return self._ended(LONGEST) or -signal.SIGKILL
        return code


class _Cold(_Command):
    """A new interpreter."""

    def __init__(self, words: list[str], log: Path, *, powerless: bool = False) -> None:
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}
        with log.open("wb") as file:  # a pipe through `cat`: a limit on files would keep the command from speaking
            self.cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
        words = [sys.executable, "-m", "radiogenesis.cli.main", *words]
        self.process = subprocess.Popen(
            words,
            stdout=self.cat.stdin,
            stderr=self.cat.stdin,
            env=environment,
            preexec_fn=without_capabilities if powerless else None,
        )
        assert self.cat.stdin is not None
        self.cat.stdin.close()
        self.pid = self.process.pid

    def _ended(self, seconds: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            code = self.process.wait(seconds)
            self.cat.wait(20)
            return code
        return None


class _Forked(_Command):
    """A fork of this process, which has imported everything and computed nothing."""

    def __init__(self, words: list[str], log: Path, *, powerless: bool = False) -> None:
        with log.open("wb") as file:
            self.cat = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=file)
        assert self.cat.stdin is not None
        self.code: int | None = None
        with warnings.catch_warnings():
            # Python 3.12 on: threads of this process might hold locks. They do nothing while it waits for the command.
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                os.dup2(self.cat.stdin.fileno(), 1)
                os.dup2(self.cat.stdin.fileno(), 2)
                self.cat.stdin.close()
                sys.stdout, sys.stderr = os.fdopen(1, "w"), os.fdopen(2, "w", buffering=1)
                sys.dont_write_bytecode = True
                os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
                if powerless:
                    without_capabilities()
                code = _run(words)
            finally:
                sys.stdout.flush()
                os._exit(code)
        self.cat.stdin.close()

    def _ended(self, seconds: float) -> int | None:
        deadline = time.monotonic() + seconds
        while self.code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.code = os.waitstatus_to_exitcode(status)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    self.cat.wait(20)
            elif time.monotonic() > deadline:
                return None
            else:
                time.sleep(0.01)
        return self.code


def _run(words: list[str]) -> int:
    """The command as the interpreter runs it: what it does not catch is a traceback and 1."""
    import traceback

    try:
        return command(words)
    except SystemExit as stop:
        return int(stop.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1


def _new(folder: Path) -> Path:
    """The place of a result in a new folder, which everybody may write."""
    folder.mkdir(parents=True)
    folder.chmod(0o777)
    return folder / OUT


def _differing(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """The parts that differ, or that only one of them has."""
    return sorted(name for name in expected | found if expected.get(name) != found.get(name))


def _last(log: Path) -> str:
    """The last line of a log."""
    return (log.read_text(errors="replace").strip().splitlines() or [""])[-1].strip()[:300]


def bad(trial: Trial) -> bool:
    """Whether anything is not as it should be."""
    return bool(not trial.same or trial.tracebacks or trial.code_again or trial.left)


def print_table(trials: Sequence[Trial]) -> None:
    """A line per verb and fault."""
    print("| verb | fault | trials | struck while it worked | same result | tracebacks | something left |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for verb, fault in dict.fromkeys((one.verb, one.fault) for one in trials):
        these = [one for one in trials if (one.verb, one.fault) == (verb, fault)]
        counts = [len(these), sum(one.code != 0 for one in these), sum(one.same for one in these)]
        counts += [sum(one.tracebacks for one in these), sum(bool(one.left) for one in these)]
        print(f"| {verb} | {fault} | " + " | ".join(map(str, counts)) + " |")


if __name__ == "__main__":
    main()
