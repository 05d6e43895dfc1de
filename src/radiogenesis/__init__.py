"""radiogenesis: which genes show in a scan, and how would this tumor look if they changed?

`import radiogenesis as rg`: everything in `radiogenesis.api` is here too, and read when it is first asked for.
"""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from radiogenesis.version import __version__ as __version__

# Threads that wait for each other would else spin: beside other jobs they take the time that the others need
# (benchmarks/busy_machine.py). It must be set before OpenMP is loaded, with torch or another library.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

if TYPE_CHECKING:
    from radiogenesis.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name.startswith("_") and name != "__all__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    api = import_module(f"{__name__}.api")
    if name not in ("__all__", *api.__all__):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(api.__all__)}")
    return getattr(api, name)


def __dir__() -> list[str]:
    return [*import_module(f"{__name__}.api").__all__, "__version__"]
