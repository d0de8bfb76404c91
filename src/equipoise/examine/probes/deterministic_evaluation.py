"""`deterministic-evaluation`: does evaluating the same samples twice, or in other batches, give the same outputs?"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

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
    """Evaluate the same samples under two seeds, and a part of them alone, by the user's own evaluation or plainly.

    Sampling on purpose is no fault: several passes over the same samples, dropout that stays on while the network is in
    evaluation mode, or noise that is no dropout, as of a variational autoencoder.
    """
    network = running(setup).network
    inputs, _ = sample(setup, _ROWS)
    part = max(len(inputs) // 3, 1)
    if setup.evaluate is not None:
        network.train()
    with _modes(network) as modes:
        first = _evaluate(setup, network, inputs, 1)
        passes = modes.rows / len(inputs)
        second = _evaluate(setup, network, inputs, 2)
        alone = _evaluate(setup, network, inputs[:part], 1)
    spread = float(first.double().std()) or float(first.abs().max()) or 1.0
    noise = float((first - second).abs().max()) / spread
    tied = float((first[:part] - alone).abs().max()) / spread if len(first) == len(inputs) else 0.0
    estimates = {"change between seeds": exact(noise), "change with the batch": exact(tied)}
    where = "loop.evaluate" if setup.evaluate is not None else "loop.forward"
    cure = "Call network.eval() before evaluating."
    if setup.evaluate is None:
        cure = "Give functional dropout training=self.training."
    wrong = sorted(modes.wrong)
    meant = _meant(setup, network, inputs, modes, passes) if noise > _TOLERANCE else ""
    if meant:
        claim = f"Evaluating the same samples twice changes outputs by up to {noise:.2g} of their spread: {meant}."
        return Symptom(name=NAME, verdict=Verdict.PASS, claim=claim, estimates=estimates)
    if noise > _TOLERANCE:
        claim = f"Evaluating the same samples twice changes outputs by up to {noise:.2g} of their spread. {cure}"
        return _found(Verdict.FAIL, claim, where, {"train_eval_mode": 7.0}, estimates)
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


@dataclass(slots=True)
class _Modes:
    """What ran in which mode: modules that depend on it and ran in training mode, and whether the network itself did.

    `rows` counts the samples that the network was given.
    """

    wrong: set[str] = field(default_factory=set)
    outermost: bool = False
    rows: int = 0


def _meant(setup: Setup, network: nn.Module, inputs: Tensor, modes: _Modes, passes: float) -> str:
    """Return why outputs that change from one evaluation to the next are meant to, or nothing."""
    if passes > 1.5:
        return f"it makes {passes:.0f} passes over them, which only makes sense for outputs that are drawn"
    if modes.wrong and not modes.outermost:
        return f"{', '.join(sorted(modes.wrong)[:4])} stayed on while the network was in evaluation mode"
    if modes.wrong:
        return ""
    with _WithoutDropout():
        first, second = (_evaluate(setup, network, inputs, seed) for seed in (1, 2))
    return "" if torch.equal(first, second) else "the network draws numbers of its own, apart from dropout"


class _WithoutDropout(TorchFunctionMode):
    """Makes every dropout that is called as a function pass its input on."""

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Call the function, unless it drops."""
        name = str(getattr(func, "__name__", ""))
        if "dropout" in name and args and isinstance(args[0], Tensor):
            return args[0]
        return func(*args, **(kwargs or {}))


@contextmanager
def _modes(network: nn.Module) -> Iterator[_Modes]:
    """Note which modules that depend on the mode run in training mode."""
    seen = _Modes()

    def outermost(module: nn.Module, arguments: tuple[object, ...]) -> None:
        seen.outermost = seen.outermost or module.training
        given = next((one for one in arguments if isinstance(one, Tensor)), None)
        seen.rows += 0 if given is None or given.dim() == 0 else len(given)

    def hook(name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        def note(module: nn.Module, arguments: tuple[object, ...]) -> None:
            del arguments
            if module.training:
                seen.wrong.add(name or type(module).__name__)

        return note

    handles = [
        module.register_forward_pre_hook(hook(name))
        for name, module in network.named_modules()
        if depends_on_mode(module)
    ]
    handles.append(network.register_forward_pre_hook(outermost))
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
