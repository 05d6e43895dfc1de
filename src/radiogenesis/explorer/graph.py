"""The generator of a run for the explorer: as ONNX, which ONNX Runtime draws from in a browser, without Python."""

from __future__ import annotations

from radiogenesis.backends.graph import exported, require_packages
from radiogenesis.backends.opened import compared
from radiogenesis.errors import RunError
from radiogenesis.methods.fusion_gan import FusionGAN
from radiogenesis.training.run import Run


def drawer_of(run: Run) -> FusionGAN:
    """The method of a run whose generator a page can hold.

    Raises:
        RunError: a run of another method.
    """
    method = run.method
    if not isinstance(method, FusionGAN):
        raise RunError(
            f"the explorer draws with the fusion GAN, and this is a run of {run.method_name}", path=run.path,
            remedy="give a run of `radiogenesis train fusion-gan`",
        )  # fmt: skip
    return method.eval()


def generator_onnx(method: FusionGAN) -> bytes:
    """The generator as an ONNX model, compared with torch before it is handed out.

    Raises:
        SettingError: the packages that export are not installed, or what was exported draws otherwise than torch.
    """
    require_packages(("onnx", "onnxruntime"), "explore")
    model = exported(method)
    compared(method, model, "onnx")
    return model
