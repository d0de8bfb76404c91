"""`dropout-rate`: how much of the signal does dropout remove?"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Estimate, Line, Verdict, judge
from equipoise.examine.probes.probe import InapplicableError, probe
from equipoise.examine.probes.sampling import sample
from equipoise.examine.probes.setup import Setup, running
from equipoise.stats.intervals import proportion

NAME = "dropout-rate"
_ROWS, _PASSES = 32, 4
_LINE = Line(warn=0.6, fail=0.78)


@probe(NAME)
def dropout_rate(setup: Setup) -> Symptom:
    """Count what dropout, as a module or a plain call, turns to zero in training mode, layer by layer."""
    network = running(setup).network.train()
    inputs, _ = sample(setup, _ROWS)
    rates = _rates(network, inputs)
    if not rates:
        raise InapplicableError("nothing is dropped in training mode")
    worst = max(rates, key=lambda name: rates[name].value)
    rate = rates[worst]
    verdict = judge(rate, _LINE)
    claim = f"Dropout removes {rate.value:.0%} of the values at {worst}, the most of {len(rates)} places."
    estimates = {"dropped": rate}
    if verdict in (Verdict.PASS, Verdict.UNSURE):
        return Symptom(name=NAME, verdict=verdict, claim=claim, estimates=estimates)
    where = tuple(
        f"layer:{name}" for name in sorted(rates, key=lambda name: -rates[name].value) if rates[name].low > 0.6
    )
    weight = 2.0 if verdict == Verdict.WARN else 3.0 + 20 * max(0.0, rate.low - 0.8)
    return Symptom(
        name=NAME,
        verdict=verdict,
        claim=f"{claim} Lower the rate to at most 0.5.",
        where=where,
        suggests={"too_much_dropout": min(weight, 6.0)},
        estimates=estimates,
    )


@torch.no_grad()
def _rates(network: nn.Module, inputs: Tensor) -> dict[str, Estimate]:
    counter = _Counter()
    handles = [
        module.register_forward_pre_hook(counter.entering(name)) for name, module in network.named_modules() if name
    ]
    try:
        with counter:
            for _ in range(_PASSES):
                network(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {name: proportion(dropped, seen) for name, (dropped, seen) in counter.counts.items() if seen and dropped}


class _Counter(TorchFunctionMode):
    """Counts what functions with dropout in their name turn to zero."""

    def __init__(self) -> None:
        super().__init__()
        self.here = "forward"
        self.counts: dict[str, tuple[int, int]] = {}

    def entering(self, name: str) -> Callable[[nn.Module, tuple[object, ...]], None]:
        """Return a hook that notes which module begins."""

        def hook(module: nn.Module, arguments: tuple[object, ...]) -> None:
            del module, arguments
            self.here = name

        return hook

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Call the function, and count what it drops when it is a dropout."""
        options = kwargs or {}
        given = args[0] if args else options.get("input")
        watched = "dropout" in str(getattr(func, "__name__", "")) and isinstance(given, Tensor)
        before = given.detach().clone() if watched and isinstance(given, Tensor) else None
        out = func(*args, **options)
        if before is not None and isinstance(out, Tensor) and out.shape == before.shape:
            told = before != 0
            dropped = int(((out == 0) & told).sum()) if "alpha" not in func.__name__ else _alpha(before, out, told)
            old = self.counts.get(self.here, (0, 0))
            self.counts[self.here] = (old[0] + dropped, old[1] + int(told.sum()))
        return out


def _alpha(before: Tensor, out: Tensor, told: Tensor) -> int:
    """Return how many values alpha dropout replaced: those all get one and the same value."""
    if torch.equal(before, out):
        return 0
    values, counts = out[told].unique(return_counts=True)
    del values
    most = int(counts.max()) if len(counts) else 0
    return most if most > 1 else 0
