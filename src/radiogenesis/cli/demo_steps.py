"""What both demos are made of: their settings, and steps that an interrupted demo does not take twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class DemoSettings:
    """How long the demo takes."""

    framework: Literal["xu", "sui"] = "xu"
    """xu: the fusion GAN and its alignment (Xu et al. 2020); sui: find the tumor, read genes off it, draw it from
    metagenes (Li, Sui et al. 2021)."""
    patients: int = 130
    """Patients of the phantom cohort (Xu et al. 2020: 130)."""
    gan_steps: int = 800
    """Training steps of the fusion GAN (xu), or of the metagene GAN (sui)."""
    unet_steps: int = 300
    """Training steps of the tumor U-Net (sui)."""
    autoencoder_steps: int = 300
    """Training steps of the gene autoencoder (sui)."""
    metagenes: int = 100
    """Clusters of genes (sui; Li, Sui et al.: 100)."""
    seed: int = 0
    """Seed of the phantom, the first weights, the batches and the noise."""

    def __post_init__(self) -> None:
        if self.patients < 12:
            raise ValueError(f"patients {self.patients}: at least 12, to have some to hold out")
        if self.gan_steps < 1:
            raise ValueError("gan_steps must be at least 1")
        if self.unet_steps < 1 or self.autoencoder_steps < 1 or self.metagenes < 1:
            raise ValueError("unet_steps, autoencoder_steps and metagenes must be at least 1")
        if self.framework == "sui" and self.patients < 36:
            raise ValueError(f"patients {self.patients}: at least 36 with framework sui, to hold out 8 for figure 6")


def step(number: int, what: str, steps: int = 7) -> None:
    """Say which of the steps begins."""
    print(f"\n[{number}/{steps}] {what}", flush=True)


def go_on(train: Callable[[list[str]], None], arguments: list[str]) -> None:
    """Train, go on with training, or leave a finished run as it is."""
    run = Path(arguments[2])
    if (run / "weights.safetensors").is_file():
        print(f"{run}: already trained")
        return
    resume = ["--resume"] if run.exists() else []
    try:
        train(arguments + resume)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"{run}: stopped; the same demo command goes on") from None
