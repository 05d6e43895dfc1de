"""Damaged and hostile files: every reader gets mutated inputs, and what it says or reads is judged.

    python benchmarks/mutations.py OUT [--trials 1000] [--seed 0] [--readers nifti aim ...]
    python benchmarks/mutations.py OUT --case READER:NUMBER     one case again, with all that it said

Each case damages one file of a small input that is whole, reads it in a process of its own, and has one of these
verdicts (`mutators.py` and `format_mutators.py` damage, `mutation_readers.py` reads, `mutation_inputs.py` has what):

- refused: one line of our own, or the command's exit code 2;
- right: what is read is what is read of the whole input, or less or other than that and a sentence says so;
- by design: other values, nothing said, and nothing by which a reader could know: another plausible voxel or digit;
- silent: other values, nothing said, although a checksum, a length or a limit of what is possible tells; or what is
  read cannot be (a tumor of a litre);
- for all: a file of one patient ended the command for the others, too;
- traceback: an error that is none of ours, or the end of the process by a signal;
- hang: more than 10 s of processor time, or 60 s in all;
- memory: more than 4 GiB of it, or none left;
- outside: something was written, renamed or removed outside of the folder for output and that for temporary files.

Every case is a line of OUT/cases.csv with its number; the table is printed at the end, and the exit code is 1 where any
verdict is one of the last six. Processes are forked from one that has imported everything.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import faulthandler
import gc
import json
import os
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from format_mutators import mutate
from mutation_inputs import Refused
from mutation_readers import READERS, Reader, Values
from mutators import Mutation
from radiogenesis.errors import RadiogenesisError

SECONDS, LONGEST, MEMORY = 10.0, 60.0, 4 * 2**30
RESERVED = 12 * 2**30  # what may be asked for and is never used, such as a buffer as long as a damaged header says
GOOD = ("refused", "right", "by design")
BAD = ("silent", "for all", "traceback", "hang", "memory", "outside")
_PROGRESS = re.compile(r"\d{4}-\d\d-\d\d |.*━")  # how far a command is; it says nothing of the input
_CHANGES = {"os.mkdir", "os.rmdir", "os.remove", "os.rename", "os.link", "os.symlink", "os.truncate", "os.chmod"}


@dataclass(frozen=True)
class Case:
    """What became of one damaged file.

    Attributes:
        number: with the reader's name it says which mutation: `--case READER:NUMBER`.
        must: whether a reader can know.
        said: the last line of the error, or what differs.
        mib: memory of the process at its most.
    """

    reader: str
    number: int
    verdict: str
    file: str
    kind: str
    what: str
    must: bool
    said: str
    seconds: float
    mib: int


@dataclass(frozen=True)
class Heard:
    """What a process said and did.

    Attributes:
        end: "read", "refused", "traceback", "memory", "hang".
        values: what was read.
        said: all that it printed.
        outside: what it changed where it may not.
    """

    end: str
    values: Values
    said: str
    outside: list[str]
    seconds: float = 0.0
    mib: int = 0


def main() -> None:
    """Make the inputs, damage, read, judge, print."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("out", type=Path, help="a folder; inputs that are in it already are used again")
    options.add_argument("--trials", type=int, default=1000, help="in all, the same number for each reader")
    options.add_argument("--seed", type=int, default=0, help="of the numbers of the cases")
    options.add_argument("--readers", nargs="+", choices=list(READERS), default=list(READERS))
    options.add_argument("--case", default="", help="READER:NUMBER, this one alone")
    given = options.parse_args()
    given.out = given.out.resolve()
    given.out.mkdir(parents=True, exist_ok=True)
    if given.case:
        name, number = given.case.split(":")
        print(*vars(Bench(given.out, name).case(int(number), loud=True)).items(), sep="\n")
        return
    cases = run(given.out, given.readers, given.trials, given.seed)
    print_table(cases)
    sys.exit(any(case.verdict in BAD for case in cases))


def run(out: Path, readers: Sequence[str], trials: int, seed: int) -> list[Case]:
    """So many cases, spread over the readers; each becomes a line of OUT/cases.csv as it ends."""
    gc.freeze()  # else each fork that collects garbage copies all that was imported
    try:
        return list(_cases(out, readers, trials, seed))
    finally:
        gc.unfreeze()


def _cases(out: Path, readers: Sequence[str], trials: int, seed: int) -> Iterator[Case]:
    benches = [Bench(out, name) for name in readers]
    with (out / "cases.csv").open("w", newline="") as file:
        log = csv.DictWriter(file, [field.name for field in fields(Case)])
        log.writeheader()
        for trial in range(trials):  # one of each reader after the other: a run that is stopped has some of all
            bench, number = benches[trial % len(benches)], trial // len(benches)
            case = bench.case(100_000 * seed + number)
            log.writerow(asdict(case))
            file.flush()
            if case.verdict in BAD:
                print(case, file=sys.stderr)
            yield case


class Bench:
    """One reader with its whole input, and what is read of that."""

    def __init__(self, out: Path, name: str) -> None:
        self.name, self.reader = name, READERS[name]
        self.folder = out / self.reader.make.__name__  # shared by all readers of this input
        self.given, self.whole, self.out = (self.folder / each for each in ("given", "whole", "out"))
        self.temporary = self.folder / "temporary"
        if not self.whole.is_dir():
            shutil.rmtree(self.folder, ignore_errors=True)
            self._prepare()
            made = listen(lambda: self.reader.make(self.given) or {}, self._places(True), limits=False)
            if made.end != "read":
                raise SystemExit(f"{name}: its input cannot be made:\n{made.said}")
            shutil.copytree(self.given, self.folder / "copy")
            (self.folder / "copy").rename(self.whole)
        self.expected = self._read()
        if self.expected.end != "read" or "doubt" in self.expected.values or self.expected.outside:
            raise SystemExit(f"{name}: the whole input is not read:\n{self.expected}")

    def _prepare(self) -> None:
        """Empty folders, and the whole input in its place: always the same, since parts know it by path and time."""
        for folder in (self.given, self.out, self.temporary):
            shutil.rmtree(folder, ignore_errors=True)
        for folder in (self.out, self.temporary):
            folder.mkdir(parents=True)
        if self.whole.is_dir():
            shutil.copytree(self.whole, self.given)
        else:
            self.given.mkdir()

    def _places(self, goes_on: bool) -> list[Path]:
        return [self.out, self.temporary, self.folder / "secret.txt", *([self.given] if goes_on else [])]

    def _read(self, damage: Callable[[], None] | None = None) -> Heard:
        self._prepare()
        if damage is not None:
            damage()
        before = _state(self.given)
        heard = listen(lambda: self.reader.read(self.given, self.out), self._places(self.reader.goes_on))
        changed = [] if self.reader.goes_on or _state(self.given) == before else ["the input was changed"]
        return Heard(**{**vars(heard), "outside": [*heard.outside, *changed]})

    def case(self, number: int, *, loud: bool = False) -> Case:
        """One mutation, which its number determines."""
        rng = np.random.default_rng([zlib.crc32(self.name.encode()), number])
        files = sorted({path.relative_to(self.whole) for one in self.reader.files for path in self.whole.glob(one)})
        files = [path for path in files if (self.whole / path).is_file()]
        file = files[int(rng.integers(len(files)))]
        done: list[Mutation] = []
        heard = self._read(lambda: done.append(mutate(self.given / file, rng)))
        if loud:
            print(heard.said, heard.values, "whole:", self.expected.values, sep="\n")
        verdict, said = judge(self.reader, str(file), done[0], heard, self.expected)
        return Case(
            self.name, number, verdict, str(file), done[0].kind, done[0].what, done[0].must, said,
            round(heard.seconds, 1), heard.mib,
        )  # fmt: skip


def judge(reader: Reader, file: str, mutation: Mutation, heard: Heard, expected: Heard) -> tuple[str, str]:
    """The verdict, and why."""
    lines = heard.said.strip().splitlines() or [""]
    if heard.outside:
        return "outside", "; ".join(heard.outside)[:300]
    if heard.end in ("traceback", "hang", "memory"):
        return heard.end, " | ".join(lines[-3:])[:400]
    if heard.end == "refused":
        return "for all" if reader.of_one else "refused", lines[-1][:300]
    if "doubt" in heard.values:
        return "silent", heard.values["doubt"]
    changed = {key for key in heard.values | expected.values if heard.values.get(key) != expected.values.get(key)}
    new = _new(heard, expected)
    if not changed - {"said"}:
        return "right", ""
    if new:
        return "right", new
    free = reader.free and mutation.kind.endswith("cell")
    knowable = (mutation.must and not free) or any(fnmatch(file, pattern) for pattern in reader.checked)
    return "silent" if knowable else "by design", "differs: " + ", ".join(sorted(changed))[:200]


def _new(heard: Heard, expected: Heard) -> str:
    """The first line that was not said of the whole input."""
    known = {*expected.said.splitlines(), *expected.values.get("said", "").splitlines()}
    said = [*heard.said.splitlines(), *heard.values.get("said", "").splitlines()]
    return next((line[:200] for line in said if line.strip() and line not in known and not _PROGRESS.match(line)), "")


def _state(folder: Path) -> list[tuple[str, int, int]]:
    """Names, sizes and times of what is in a folder."""
    found = []
    for path in sorted(folder.rglob("*")):
        stat = path.lstat()
        found.append((str(path), stat.st_size, stat.st_mtime_ns))
    return found


def listen(read: Callable[[], Values], places: Sequence[Path], *, limits: bool = True) -> Heard:
    """Read in a fork of this process, with limits, and hear what it says."""
    with tempfile.TemporaryDirectory() as folder:
        told, log = Path(folder) / "told.json", Path(folder) / "log"
        began = time.monotonic()
        with warnings.catch_warnings():  # Python 3.12 on: no thread of this process holds a lock
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            try:
                _child(read, [*places, Path(folder)], told, log, limits)
            finally:
                os._exit(1)
        with contextlib.suppress(OSError):
            os.setpgid(pid, pid)  # by whichever of the two comes first
        killed, status, used = _wait(pid, limits)
        seconds, mib = time.monotonic() - began, used.ru_maxrss // 1024
        said = log.read_text(errors="replace") if log.is_file() else ""
        try:
            held = json.loads(told.read_text())
        except (OSError, ValueError):
            held = {"end": "traceback", "values": {}, "outside": []}
            said += f"\nended by signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else "\nended without a word"
        if killed:
            held["end"] = killed
        return Heard(held["end"], held["values"], said, held["outside"], seconds, mib)


def _wait(pid: int, limits: bool) -> tuple[str, int, Any]:
    """Wait for a process and its own; end them all when they take too long or too much, and say which."""
    began, killed = time.monotonic(), ""
    while True:
        ended, status, used = os.wait4(pid, os.WNOHANG)
        if ended:
            break
        busy = memory = 0.0
        with contextlib.suppress(psutil.Error):
            process = psutil.Process(pid)
            times, memory = process.cpu_times(), process.memory_info().rss
            busy = times.user + times.system + times.children_user + times.children_system
        late = busy > SECONDS or time.monotonic() - began > LONGEST
        if limits and not killed and (late or memory > MEMORY):
            killed = "hang" if late else "memory"
            os.killpg(pid, signal.SIGKILL)
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # what it may have left
    return killed, status, used


def _child(read: Callable[[], Values], places: Sequence[Path], told: Path, log: Path, limits: bool) -> None:
    """In the fork: limits, a hook that notes what is written, the work, and what came of it."""
    os.setpgid(0, 0)
    number = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(number, stream)
    sys.stdout, sys.stderr = os.fdopen(1, "w", errors="replace"), os.fdopen(2, "w", buffering=1, errors="replace")
    faulthandler.disable()
    outside: list[str] = []
    values: Values = {}
    warnings.simplefilter("ignore")
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    tempfile.tempdir = os.environ["TMPDIR"] = str(places[1])
    sys.dont_write_bytecode = True
    sys.addaudithook(_noting(places, outside))
    if limits:
        began_with = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (began_with + RESERVED, began_with + RESERVED))
    try:
        values = read()
        end = "read"
    except Refused:
        end = "refused"
    except (RadiogenesisError, SystemExit) as error:
        print(error, file=sys.stderr)
        end = "refused"
    except MemoryError:
        traceback.print_exc()
        end = "memory"
    except BaseException:
        traceback.print_exc()
        end = "traceback"
    sys.stdout.flush()
    if end == "refused" and "ot enough memory" in log.read_text(errors="replace"):
        end = "memory"
    told.write_text(json.dumps({"end": end, "values": values, "outside": outside[:5]}))


def _noting(places: Sequence[Path], outside: list[str]) -> Callable[[str, tuple[Any, ...]], None]:
    """A hook of Python's auditing that notes what is changed outside of some places."""
    allowed = (*map(str, places), "/dev/null", "/dev/tty", "/proc/")

    def note(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = arguments
            if isinstance(path, int) or not flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                return
            paths = [path]
        elif event in _CHANGES:
            numbers = [one for one in arguments[1:] if isinstance(one, int) and one > 2]
            if event != "os.mkdir" and event != "os.chmod" and numbers:
                return  # a name in an open folder: `shutil.rmtree`, whose own folder is removed by its path
            paths = [one for one in arguments[:2] if isinstance(one, str | bytes | os.PathLike)]
            paths = paths[1:] if event in ("os.symlink", "os.link") else paths
        else:
            return
        for path in paths:
            full = os.path.realpath(os.path.dirname(os.path.abspath(os.fsdecode(path))))
            if not f"{full}/{os.path.basename(os.fsdecode(path))}".startswith(allowed):
                outside.append(f"{event} {os.fsdecode(path)}")

    return note


def print_table(cases: Sequence[Case]) -> None:
    """A line per reader, and the sum."""
    verdicts = (*GOOD, *BAD)
    print(f"| reader | cases | {' | '.join(verdicts)} |")
    print("| --- " * (len(verdicts) + 2) + "|")
    for name in [*dict.fromkeys(case.reader for case in cases), "all"]:
        these = [case.verdict for case in cases if name in (case.reader, "all")]
        print(f"| {name} | {len(these)} | {' | '.join(str(these.count(verdict)) for verdict in verdicts)} |")


if __name__ == "__main__":
    main()
