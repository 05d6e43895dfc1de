"""The command `radiogenesis`: finds the verb, imports only that verb, and turns user errors into one line.

The table below is all that `radiogenesis --help` needs, so that it answers at once; each verb's module
has a `main(arguments: list[str]) -> None` and makes its heavy imports when it is called.
"""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from radiogenesis.errors import RadiogenesisError

OLD_NAMES = {"find-tumour": "find-tumor", "analyse": "analyze"}
"""What verbs were called before, or are called elsewhere."""
VERBS = {
    "demo": "everything below, on a phantom cohort, in minutes on a laptop CPU",
    "cohort fetch": "NAME RAW: a public cohort: images, outlines, expression and tables, resumable and verified",
    "cohort build": "RAW COHORT: folders of DICOM or NIfTI, and an expression table -> cohort",
    "cohort phantom": "COHORT: a cohort whose gene-image map is known, because it was planted",
    "cohort plant": "CT_FOLDER TABLE COHORT: lesions planted into real lungs, driven by real expression",
    "cohort describe": "COHORT: what is in it, who is not and why, and whether it is intact",
    "cohort radiomics": "RAW OUT: 3-D radiomic features of the outlined tumors (PyRadiomics), for map --radiomics",
    "train": "METHOD COHORT RUN: fit a method (fusion-gan, mc-gan, gene-autoencoder, ...) to a cohort",
    "synthesize": "RUN OUT: draw lesions from genes: PNG, NPZ, NIfTI, DICOM with SEG",
    "find-tumor": "RUN CT_FOLDER OUT: tumors in whole scans: masks, boxes in mm, DICOM SEG, NIfTI",
    "evaluate": "RUN... OUT: fidelity, realism, control and copies, beside what they are read by",
    "map": "COHORT OUT: which genes go with which property of the lesion, and how far to believe it",
    "explore": "RUN OUT.html: one page on which a gene is moved and the drawn lesion follows; opens offline",
    "report": "OUT: one HTML file that opens offline",
    "readers plan": "how many readers and cases a reader study needs",
    "readers make": "RUN OUT.html: a blinded reader study in one page: real or drawn, and does it follow the genes",
    "readers analyze": "CSV... OUT: what readers' answers are worth, readers and cases both random",
    "readers simulate": "KEY OUT: answers of readers who guess, who know, and of a network, to rehearse with",
}


def usage() -> str:
    """The text of `radiogenesis --help`."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {what}" for verb, what in VERBS.items()]
    return "\n".join(
        [
            "usage: radiogenesis COMMAND ...",
            "",
            "Which genes show in a scan, and how would this tumor look if they changed?",
            "",
            "commands, in the order in which they are used:",
            *lines,
            "",
            "`radiogenesis COMMAND --help` shows every setting with its default, unit and source.",
            "Research use only: no clinical claim is made.",
        ]
    )


def find_verb(arguments: Sequence[str]) -> tuple[str, list[str]] | None:
    """The verb at the head of the arguments and what follows it, or None where no verb is named."""
    for words in (2, 1):
        verb = " ".join(OLD_NAMES.get(word, word) for word in arguments[:words])
        if len(arguments) >= words and verb in VERBS:
            return verb, list(arguments[words:])
    return None


def module_of(verb: str) -> str:
    """The module that a verb lives in."""
    return "radiogenesis.cli." + verb.replace(" ", "_").replace("-", "_")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns the exit code: 0 done, 2 an error the user can mend, 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _say_anything()
    try:
        return _run(words)
    except BrokenPipeError:
        # Whoever read, such as `head`, has seen enough. Python would complain once more when it ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141  # as a program that SIGPIPE ends


def _say_anything() -> None:
    """A terminal that lacks a letter gets its number: what was written must not end in an error because it is said."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def _run(words: list[str]) -> int:
    """Run one verb; its exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] == "--version":
        from radiogenesis.version import __version__

        print(f"radiogenesis {__version__}")
        return 0
    command = find_verb(words)
    if command is None:
        group = [verb for verb in VERBS if verb.startswith(words[0] + " ")]
        known = ", ".join(group or VERBS)
        if group and (len(words) == 1 or words[1] in ("-h", "--help")):
            print("\n".join(f"  {verb}  {VERBS[verb]}" for verb in group))
            return 0
        print(f"radiogenesis: there is no command {' '.join(words[:2])!r}; choose from: {known}", file=sys.stderr)
        return 2
    verb, rest = command
    module = importlib.import_module(module_of(verb))
    try:
        with _tidied_up_when_terminated():
            module.main(rest)
            sys.stdout.flush()  # here, where a closed pipe is told from other errors
    except RadiogenesisError as error:
        print(f"radiogenesis {verb}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        raise
    except OSError as error:
        from radiogenesis.output import OF_THE_PLACE, cannot_write

        if "No usable temporary directory" in str(error):
            print(f"radiogenesis {verb}: {error.strerror}; make room there, or set TMPDIR", file=sys.stderr)
            return 2
        if error.errno in (errno.EMFILE, errno.ENFILE):
            print(f"radiogenesis {verb}: {error.strerror}: raise the limit (ulimit -n 1024)", file=sys.stderr)
            return 2
        if error.errno not in OF_THE_PLACE:
            raise
        print(f"radiogenesis {verb}: {cannot_write(error)}", file=sys.stderr)
        return 2
    except MemoryError as error:
        print(f"radiogenesis {verb}: not enough memory{f' ({error})' if str(error) else ''}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"radiogenesis {verb}: {str(stop) or 'interrupted'}", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _tidied_up_when_terminated() -> Iterator[None]:
    """Let SIGTERM end the verb as Ctrl-C does: what was half written goes, and no process stays behind."""

    def stop(*_: object) -> None:
        raise KeyboardInterrupt("terminated")

    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
