"""The verb `show`."""

from pathlib import Path

import torch

from equipoise.data.load import load
from equipoise.networks.build import build
from equipoise.networks.layers import layer_text
from equipoise.run.loaded import load as load_run
from equipoise.run.what import resolve


def show_network(
    what: str, *, target: str | None, task: str | None, network: str | None, seed: int | None, trust: bool
) -> str:
    """Return the layer table of a run's trained network, or of the network that a plan would train."""
    path = Path(what)
    if (path / "network.safetensors").is_file() and network is None:
        run = load_run(path, trust=trust)
        inputs, _ = run.splits().test.batch(torch.zeros(1, dtype=torch.int64))
        return layer_text(run.network, inputs)
    resolved = resolve(what, target=target, task=task, network=network, seed=seed)
    plan = resolved.plan
    splits = resolved.splits or load(plan.data, plan.seed)
    made = build(plan.network, splits.signature, splits.preprocessing, plan.seed, trust=trust)
    inputs, _ = splits.test.batch(torch.zeros(1, dtype=torch.int64))
    return layer_text(made, inputs)
