"""`deterministic-evaluation`: does evaluating the same samples twice, or in other batches, give the same outputs?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Verdict, exact
from equipoise.examine.probes.mode import depends_on_mode
from equipoise.examine.probes.probe import probe
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, running
from equipoise.networks.foreign import first_tensor

NAME = "deterministic-evaluation"
_ROWS, _TOLERANCE = 24, 1e-3


@probe(NAME)
def deterministic_evaluation(setup: Setup) -> Symptom:
    """Evaluate the same samples under two seeds, and a part of them alone, by the user's own evaluation or plainly."""
    network = running(setup).network
    inputs, _ = sample(setup, _ROWS)
    part = max(len(inputs) // 3, 1)
    if setup.evaluate is not None:
        network.train()
    with _modes(network) as modes:
        first, second = (_evaluate(setup, network, inputs, seed) for seed in (1, 2))
        alone = _evaluate(setup, network, inputs[:part], 1)
    spread = float(first.double().std()) or float(first.abs().max()) or 1.0
    noise = float((first - second).abs().max()) / spread
    tied = float((first[:part] - alone).abs().max()) / spread if len(first) == len(inputs) else 0.0
    estimates = {"change between seeds": exact(noise), "change with the batch": exact(tied)}
    where = "loop.evaluate" if setup.evaluate is not None else "loop.forward"
    cure = "Call network.eval() before evaluating."
    if setup.evaluate is None:
        cure = "Give functional dropout training=self.training."
    if noise > _TOLERANCE:
        claim = f"Evaluating the same samples twice changes outputs by up to {noise:.2g} of their spread. {cure}"
        return _found(Verdict.FAIL, claim, where, {"train_eval_mode": 7.0}, estimates)
    wrong = sorted(modes)
    if tied > _TOLERANCE and setup.evaluate is not None and wrong:
        claim = f"Evaluating samples in smaller batches changes outputs by up to {tied:.2g} of their spread. {cure}"
        return _found(Verdict.FAIL, claim, where, {"train_eval_mode": 6.0, "batch_mixing": 0.5}, estimates)
    if wrong and setup.evaluate is not None:
        claim = f"{', '.join(wrong[:4])} ran in training mode while evaluating. {cure}"
        return _found(Verdict.FAIL, claim, where, {"train_eval_mode": 5.0}, estimates)
    if tied > _TOLERANCE:
        claim = f"Evaluating samples in smaller batches changes outputs by up to {tied:.2g} of their spread."
        return _found(Verdict.WARN, claim, where, {"batch_mixing": 1.0}, estimates)
    claim = f"Evaluating {len(inputs)} samples twice and in parts gave the same outputs, within {max(noise, tied):.1g}."
    return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)


def _found(
    verdict: Verdict, claim: str, where: str, suggests: dict[str, float], estimates: dict[str, Estimate]
) -> Symptom:
    return Symptom(name=NAME, verdict=verdict, claim=claim, where=(where,), suggests=suggests, estimates=estimates)


@torch.no_grad()
def _evaluate(setup: Setup, network: nn.Module, inputs: Tensor, seed: int) -> Tensor:
    torch.manual_seed(seed)
    if setup.evaluate is not None:
        return first_tensor(setup.evaluate(network, inputs.clone())).detach().clone()
    return first_tensor(network.eval()(inputs)).detach().clone()


@contextmanager
def _modes(network: nn.Module) -> Iterator[set[str]]:
    """Note which modules that depend on the mode run in training mode."""
    wrong: set[str] = set()

    def hook(name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        def note(module: nn.Module, arguments: tuple[object, ...]) -> None:
            del arguments
            if module.training:
                wrong.add(name or type(module).__name__)

        return note

    handles = [
        module.register_forward_pre_hook(hook(name))
        for name, module in network.named_modules()
        if depends_on_mode(module)
    ]
    try:
        yield wrong
    finally:
        for handle in handles:
            handle.remove()
