"""Processes side by side: what they make, what a dead one costs, that nobody else reaches them, and that none stays."""

from __future__ import annotations

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from radiogenesis.cohort import processes
from radiogenesis.cohort.processes import Died, in_processes


def test_every_job_is_done_and_a_dead_process_costs_its_own_alone() -> None:
    jobs = ["1 + 1", "__import__('os')._exit(3)", "2 + 2", "__import__('os').kill(__import__('os').getpid(), 9)"]
    made = dict(in_processes(eval, jobs, 2))
    assert made == {0: 2, 1: Died(3), 2: 4, 3: Died(-9)}
    assert [str(made[job]) for job in (1, 3)] == ["ended with exit code 3", "was ended by SIGKILL"]
    assert [made[job].killed for job in (1, 3)] == [False, True]
    assert not multiprocessing.active_children()


def test_what_a_job_raises_is_raised_and_no_process_stays() -> None:
    with pytest.raises(ZeroDivisionError):
        list(in_processes(eval, ["1 / 0"], 1))
    assert not multiprocessing.active_children()


def test_no_port_is_open_while_they_work() -> None:
    """Dask's scheduler listened on one, and unpickled what anybody of the machine sent."""
    this = psutil.Process()
    before = this.net_connections("inet")
    for _ in in_processes(eval, ["1"], 1):
        assert this.net_connections("inet") == before
        assert len(this.children()) >= 1
        for child in this.children():  # the worker, and what multiprocessing keeps account of files with
            assert child.net_connections("inet") == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_none_outlives_the_process_that_started_it(how: signal.Signals) -> None:
    job = "__import__('time').sleep(600)"
    code = f"from radiogenesis.cohort.processes import in_processes; list(in_processes(eval, [{job!r}], 1))"
    first = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    children = _soon(lambda: psutil.Process(first.pid).children())
    os.kill(first.pid, how)
    first.wait()
    assert not psutil.wait_procs(children, timeout=60)[1]


def _soon(ask: object) -> list[psutil.Process]:
    deadline = time.monotonic() + 60
    while not (found := ask()):  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@pytest.mark.parametrize("room", [0, 1])
def test_a_machine_that_lends_few_files(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    """With fewer processes than were asked for; an error, and no wait, where not even one can be started."""
    started, real = [], processes._Worker

    def worker(make: object) -> object:
        if len(started) == room:
            raise OSError(errno.EMFILE, "Too many open files")
        started.append(real(make))  # type: ignore[arg-type]
        return started[-1]

    monkeypatch.setattr(processes, "_Worker", worker)
    if room:
        assert dict(processes.in_processes(abs, [-1, -2, -3], 2)) == {0: 1, 1: 2, 2: 3}
    else:
        with pytest.raises(OSError, match="Too many open files"):
            list(processes.in_processes(abs, [-1, -2, -3], 2))
