"""The bar that the verbs over many scans draw."""

from __future__ import annotations

from types import TracebackType


class Bars:
    """Draws what a build tells: a bar with a rate and an estimate, on stderr."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

        from radiogenesis.progress import Bar

        self._console = Console(stderr=True)
        self._bars = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=self._console,
        )
        self._task = self._bars.add_task("patients", total=None, visible=False, rate="")
        self._done = 0

    def __enter__(self) -> Bars:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bars.live.is_started:
            self._bars.stop()
        if kind is KeyboardInterrupt:
            self.say("What is done is kept: the same command goes on from here.")

    def say(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False, markup=False)

    def start(self, total: int, done: int) -> None:
        if done:
            self.say(f"{done} of {total} patients are there from an earlier run")
        self._bars.start()
        self._bars.reset(self._task, total=total - done, visible=total > done, rate="")

    def advance(self, outcome: object) -> None:
        self._done += 1
        elapsed = self._bars.tasks[0].elapsed or 0
        rate = f"{60 * self._done / elapsed:.1f} patients/min" if elapsed else ""
        self._bars.update(self._task, advance=1, rate=rate)
