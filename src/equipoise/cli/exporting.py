"""The verb `export`."""

from pathlib import Path
from typing import Literal

import torch

from equipoise.networks.archive import read_header
from equipoise.run.loaded import load
from equipoise.ship.export import export

ENDINGS = {"onnx": ".onnx", "pt2": ".pt2", "safetensors": ".safetensors"}
MOST_SAMPLES = 2000


def export_run(
    directory: Path, to: Literal["onnx", "pt2", "safetensors"], out: Path | None, *, trust: bool
) -> tuple[str, bool]:
    """Export a run's network and return a sentence on its parity, and whether it agrees."""
    run = load(directory, trust=trust)
    test = run.splits().test
    inputs, _ = test.batch(torch.arange(min(len(test), MOST_SAMPLES)))
    path = out or directory / f"exported{ENDINGS[to]}"
    header = read_header(directory / "network.safetensors")
    parity = export(
        run.network,
        to,
        path,
        inputs,
        run=directory.resolve().name,
        plan=header.plan,
        preprocessing=header.preprocessing,
        trust=trust,
    )
    return parity.sentence(), parity.passed
