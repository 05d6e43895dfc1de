"""ONNX Runtime and OpenVINO behind one call: arrays in, arrays out, on the CPU in float32."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[np.float32]]
Compiled = Callable[[Arrays], Sequence[NDArray[np.float32]]]
"""Inputs by name, as many drawings as it was compiled for -> the outputs, in the graph's order."""


@dataclass(frozen=True)
class Library:
    """What runs a graph.

    Attributes:
        package: that it comes in.
        compiled: graph, its batch axis by name, drawings at a time, threads -> what draws so many.
    """

    package: str
    compiled: Callable[[bytes, str, int, int], Compiled]


@dataclass(frozen=True, eq=False)
class Engine:
    """A graph that takes any number of drawings.

    It is compiled for `chunk` drawings and for one: with every size known both libraries are quicker than for an open
    number, and one drawing at a time is about as quick as many.
    """

    library: Library
    model: bytes
    batch_axis: str
    chunk: int
    threads: int
    _compiled: dict[int, Compiled] = field(default_factory=dict)

    def __call__(self, given: Arrays) -> list[NDArray[np.float32]]:
        """Inputs by name, (B, ...) each -> the outputs, (B, ...) each."""
        count, start, parts = len(next(iter(given.values()))), 0, []
        while start < count:
            size = self.chunk if count - start >= self.chunk else 1
            rows = slice(start, start + size)
            parts.append(self._of(size)({name: array[rows] for name, array in given.items()}))
            start += size
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    def _of(self, size: int) -> Compiled:
        if size not in self._compiled:
            self._compiled[size] = self.library.compiled(self.model, self.batch_axis, size, self.threads)
        return self._compiled[size]


def _onnxruntime(model: bytes, batch_axis: str, size: int, threads: int) -> Compiled:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_free_dimension_override_by_name(batch_axis, size)
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    return lambda given: session.run(None, dict(given))


def _openvino(model: bytes, batch_axis: str, size: int, threads: int) -> Compiled:
    openvino = silent_openvino()
    core = openvino.Core()
    read = core.read_model(model)
    read.reshape({one.any_name: [size, *list(one.partial_shape)[1:]] for one in read.inputs})
    # Where a CPU has bfloat16 OpenVINO draws in it unless told otherwise; pinned threads of two processes share a core.
    settings = {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }  # fmt: skip
    compiled = core.compile_model(read, "CPU", settings)
    return lambda given: list(compiled(dict(given)).values())


def silent_openvino() -> Any:
    """The package openvino, imported without its telemetry: its import alone tells Google Analytics of itself, and
    radiogenesis promises to open no connection. Whoever has imported it before has done so as they liked."""
    missing = object()
    held = sys.modules.get("openvino_telemetry", missing)
    if "openvino" not in sys.modules:
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # it then takes its own stub
    try:
        import openvino
    finally:
        if held is missing:
            sys.modules.pop("openvino_telemetry", None)
        else:
            sys.modules["openvino_telemetry"] = held  # type: ignore[assignment]
    return openvino


LIBRARIES = {"onnx": Library("onnxruntime", _onnxruntime), "openvino": Library("openvino", _openvino)}
"""Backend -> what runs it."""
