"""Every error a user can cause. The command line prints it as one line and exits with 2.

RadiogenesisError
├── InputError           something the user gave cannot be used
│   ├── ScanError        a CT series, an outline, a NIfTI pair
│   ├── ExpressionError  an expression table
│   ├── AnnotationError  AIM annotations, the clinical table
│   └── CohortError      a cohort on disk: missing, damaged, foreign, or lacking what a command needs
├── OutputError          an output that is already there, or cannot be written
├── SettingError         a setting outside its range, or settings that exclude each other
├── FetchError           public data that could not be fetched: no answer, not there, not whole
└── RunError             a run folder: missing, damaged, of another cohort, already there
"""

from __future__ import annotations

import errno
from pathlib import Path


class RadiogenesisError(Exception):
    """One line that names the file, what is wrong with which value, and the remedy.

    Args:
        problem: what is wrong, with the value that is wrong.
        path: the file or folder it is about.
        remedy: what the user can do about it.
    """

    def __init__(self, problem: str, *, path: str | Path | None = None, remedy: str | None = None) -> None:
        self.problem, self.path, self.remedy = problem, path, remedy
        line = f"{path}: {problem}" if path is not None else problem
        super().__init__(f"{line}; {remedy}" if remedy else line)

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling, and Dask sends errors between processes.
        return (_rebuild, (type(self), self.problem, self.path, self.remedy))


def _rebuild(
    kind: type[RadiogenesisError], problem: str, path: str | Path | None, remedy: str | None
) -> RadiogenesisError:
    return kind(problem, path=path, remedy=remedy)


class InputError(RadiogenesisError):
    """Something the user gave cannot be used."""


class ScanError(InputError):
    """A CT series, an outline or a NIfTI pair cannot be used."""


class ExpressionError(InputError):
    """An expression table cannot be used."""


class AnnotationError(InputError):
    """An annotation or clinical table cannot be used."""


class CohortError(InputError):
    """A cohort on disk is missing, damaged, foreign, or lacks what a command needs."""


class OutputError(RadiogenesisError):
    """Something is already at the place of an output, or it cannot be written."""


class SettingError(RadiogenesisError):
    """A setting is outside its range, or settings exclude each other."""


class FetchError(RadiogenesisError):
    """Public data could not be fetched: the source does not answer, does not have it, or it did not arrive whole."""


class RunError(RadiogenesisError):
    """A run folder is missing, damaged, of another cohort, or already there."""


_PASSING = frozenset(
    {
        errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE, errno.ENOTCONN, errno.ETIMEDOUT, errno.ECONNRESET,
        errno.ECONNABORTED, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH, errno.EMFILE,
        errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EINTR, errno.ENOSPC, errno.EDQUOT, errno.EROFS,
    }
)  # fmt: skip


def passing_cause(error: BaseException | None) -> MemoryError | OSError | None:
    """Want of memory, or the error of a disk or of a connection, that is behind an error, if there is one: it says
    nothing about the file that was read, and another attempt may go well."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in _PASSING):
            return error
        error = error.__cause__ or error.__context__
    return None


def may_pass(error: BaseException) -> bool:
    """Whether a `passing_cause` is behind an error."""
    return passing_cause(error) is not None
