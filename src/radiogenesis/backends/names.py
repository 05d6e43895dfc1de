"""The names of the backends; apart from what opens them, so that settings need no torch."""

from __future__ import annotations

from typing import Literal

Backend = Literal["torch", "onnx", "openvino"]
