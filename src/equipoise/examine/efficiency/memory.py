"""Asks how much memory answering and training take, and for what."""

import contextlib
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from equipoise.core.estimate import Line, exact
from equipoise.core.figure import Bars, Table
from equipoise.core.finding import Finding
from equipoise.core.recipe import Optimizer, Recipe
from equipoise.examine.conclude import conclude
from equipoise.examine.efficiency.live_bytes import LiveBytes, distinct_bytes, kept_for_backward
from equipoise.examine.efficiency.machine import memory_bytes
from equipoise.examine.question import Card, Context
from equipoise.examine.subject import Subject
from equipoise.examine.wording import percent
from equipoise.examine.workload import seconds_per_sample
from equipoise.fit.feed import WHOLE, targets_on_scale
from equipoise.fit.objectives import build_objective
from equipoise.fit.optimizers import build_stepper
from equipoise.fit.recompute import recomputing
from equipoise.networks.network import Network

_CARD = Card(
    id="memory",
    theme="efficiency",
    title="How much memory does it take, and for what?",
    why=(
        "Memory decides which machine can run or train a network and how large a batch may be, and it is rarely spent "
        "where one thinks: while training, the activations kept for the backward pass often outweigh the weights many "
        "times, and the optimiser's memory of past gradients comes on top."
    ),
    how=(
        "Bytes are measured on a copy, by kind. Parameters and buffers are counted, shared memory once. For answering, "
        "every result of the forward pass is followed from its birth to its release, and the most bytes alive at once "
        "are taken. For a training step with the plan's batch size, loss and optimiser, the memory that autograd keeps "
        "for the backward pass is collected as it is kept, then the gradients and the optimiser's state after one step "
        "are counted. Beside each stands the closed form that a textbook gives: gradients as large as the trainable "
        "parameters, and the optimiser's known multiple of them. These are counts, not samples: they have no interval."
    ),
    verdicts=(
        "pass: a training step takes at most half of the memory that this machine has. warn: more. fail: more than "
        "nine tenths. The number of samples does not matter; the batch size does."
    ),
    may_help=(
        "smaller-batches",
        "sgd",
        "capacity-down",
        "accumulate gradients",
        "checkpoint activations",
        "train in bfloat16",
    ),
    sources=(
        "T. Chen, B. Xu, C. Zhang and C. Guestrin, Training deep nets with sublinear memory cost, arXiv:1604.06174",
        "S. Rajbhandari, J. Rasley, O. Ruwase and Y. He, ZeRO: memory optimizations toward training trillion parameter "
        "models, SC 2020",
    ),
    lines={"share_of_machine": Line(warn=0.5, fail=0.9)},
)

_STATES: dict[Optimizer, int | None] = {
    "gradient-descent": 0,
    "sgd": 0,
    "momentum": 1,
    "nesterov": 1,
    "rmsprop": 1,
    "adam": 2,
    "adamw": 2,
    "lion": 1,
    "muon": None,
    "schedule-free": 2,
}
"""Numbers an optimiser keeps for each parameter; None where it differs between parameters."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Ask how much memory the network takes.

    Attributes:
        batch: Batch size where no plan says one.
    """

    batch: int = 32
    card: Card = field(default=_CARD, init=False)

    def cost_s(self, subject: Subject) -> float:
        """Return about how many seconds the answer takes on two cores."""
        size = subject.plan.recipe.batch_size if subject.plan else self.batch
        return 0.1 + 6 * size * seconds_per_sample(subject)

    def answer(self, subject: Subject, context: Context) -> Finding:
        """Return the finding."""
        recipe = subject.plan.recipe if subject.plan else Recipe(batch_size=self.batch)
        part = subject.part("train")
        size = WHOLE if recipe.optimizer == "gradient-descent" else recipe.batch_size
        index = torch.arange(min(size, len(part)))
        inputs, targets = part.batch(index)
        network = copy.deepcopy(subject.network)
        seed = int(torch.randint(2**62, (), generator=context.generator))
        bytes_of = {
            "parameters": distinct_bytes(network.parameters()),
            "buffers": distinct_bytes(network.buffers()),
            "activations_of_an_answer": forward_peak(network.eval(), inputs[:1]),
            "activations_of_a_batch": forward_peak(network.eval(), inputs),
            **training_bytes(network, recipe, inputs, targets, seed),
        }
        kinds = ("parameters", "buffers", "activations_for_backward", "gradients", "optimiser_state")
        bytes_of["training_step"] = sum(bytes_of[kind] for kind in kinds)
        bytes_of["answering"] = sum(bytes_of[kind] for kind in ("parameters", "buffers", "activations_of_an_answer"))
        estimates = {name: exact(value, unit="bytes") for name, value in bytes_of.items()}
        has = memory_bytes(inputs.device)
        if has:
            estimates["share_of_machine"] = exact(bytes_of["training_step"] / has)
        return conclude(
            _CARD,
            _claim(bytes_of, len(index), recipe, has),
            estimates,
            context.lines,
            figures=(_bars(bytes_of, kinds), _table(bytes_of, closed_form(network, recipe, inputs))),
            assumptions=_assumptions(subject, recipe, len(index)),
        )


def forward_peak(network: Network, inputs: Tensor) -> int:
    """Return the most bytes of results alive at once while a network in evaluation mode answers `inputs` (n, ...)."""
    live = LiveBytes([*network.parameters(), *network.buffers(), inputs])
    with torch.no_grad(), live:
        network.answer(inputs)
    return live.peak


def training_bytes(network: Network, recipe: Recipe, inputs: Tensor, targets: Tensor, seed: int) -> dict[str, int]:
    """Return the bytes that one training step keeps for the backward pass, as gradients and as optimiser state.

    Args:
        network: A copy; it is trained for one step.
        recipe: Says loss and optimiser.
        inputs: One batch of raw inputs (n, ...).
        targets: Its targets.
        seed: Draws dropout and the like.
    """
    network.train()
    device = inputs.device
    nothing = {"activations_for_backward": 0, "gradients": 0, "optimiser_state": 0}
    trainable = [one for one in network.parameters() if one.requires_grad]
    if not trainable:
        return nothing
    kind = network.signature.task.kind
    with torch.no_grad():
        features: Tensor = network.preprocess(inputs)
    wanted = features if kind in ("reconstruction", "clustering") else targets_on_scale(network)(targets)
    already = [*network.parameters(), *network.buffers(), features, wanted]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        draws = torch.Generator(device).manual_seed(seed)
        again = recomputing(network.body) if recipe.checkpoint_activations else contextlib.nullcontext()
        with again, kept_for_backward(already) as kept:
            loss, _ = build_objective(recipe, kind, network.body, None)(features, wanted, draws)
            loss.backward()
    gradients = distinct_bytes(one.grad for one in trainable if one.grad is not None)
    stepper = build_stepper(recipe, network, device)
    stepper.train()
    stepper.step()
    own = {id(one) for one in trainable}
    states = [
        value
        for part in stepper.parts
        for parameter, state in part.state.items()
        for value in state.values()
        if isinstance(value, Tensor) and value.dim() > 0 and id(value) not in own and value is not parameter
    ]
    return {
        "activations_for_backward": sum(kept.values()),
        "gradients": gradients,
        "optimiser_state": distinct_bytes(states),
    }


def closed_form(network: Network, recipe: Recipe, inputs: Tensor) -> dict[str, int]:
    """Return what a textbook says of each kind, in bytes; kinds without a rule are left out.

    Activations kept for the backward pass: every layer's output once. Gradients: as large as the trainable parameters.
    Optimiser state: 0, 1 or 2 numbers a parameter.

    Args:
        network: A copy that this may hang hooks on; they are removed again.
        recipe: Says the optimiser.
        inputs: One batch of raw inputs (n, ...).
    """
    trainable = sum(one.numel() * one.element_size() for one in network.parameters() if one.requires_grad)
    found = {
        "parameters": sum(one.numel() * one.element_size() for one in network.parameters()),
        "buffers": sum(one.numel() * one.element_size() for one in network.buffers()),
        "activations_for_backward": _layer_outputs(network, inputs),
        "gradients": trainable,
    }
    states = _STATES[recipe.optimizer]
    if states == 1 and recipe.optimizer == "rmsprop" and recipe.momentum:
        states = 2
    return found if states is None else found | {"optimiser_state": states * trainable}


@torch.no_grad()
def _layer_outputs(network: Network, inputs: Tensor) -> int:
    sizes: list[int] = []

    def hook(_: nn.Module, __: object, out: object) -> None:
        outs = out if isinstance(out, tuple) else (out,)
        sizes.extend(one.numel() * one.element_size() for one in outs[:1] if isinstance(one, Tensor))

    leaves = [one for one in network.body.modules() if not list(one.children())]
    handles = [one.register_forward_hook(hook) for one in leaves]
    try:
        network.eval().scores(inputs)
    finally:
        for handle in handles:
            handle.remove()
    return sum(sizes)


def _claim(bytes_of: Mapping[str, int], batch: int, recipe: Recipe, has: int | None) -> str:
    step, kept = bytes_of["training_step"], bytes_of["activations_for_backward"]
    share = f", {percent(step / has, 2)} of this machine's memory" if has else ""
    return (
        f"One answer takes {readable(bytes_of['answering'])} ({readable(bytes_of['parameters'])} of them parameters); "
        f"a training step with {recipe.optimizer} on {batch} samples takes {readable(step)}{share}, "
        f"{percent(kept / max(step, 1), 0)} of it activations kept for the backward pass."
    )


def readable(count: float) -> str:
    """Return a number of bytes with a unit that people read, in powers of 1,000."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def _bars(bytes_of: Mapping[str, int], kinds: tuple[str, ...]) -> Bars:
    return Bars(
        title="Memory of a training step by kind",
        value_label="MB",
        labels=tuple(kind.replace("_", " ") for kind in kinds),
        values=tuple(bytes_of[kind] / 1e6 for kind in kinds),
    )


def _table(bytes_of: Mapping[str, int], textbook: Mapping[str, int]) -> Table:
    rows = tuple(
        (
            kind.replace("_", " "),
            f"{size:,}",
            f"{textbook[kind]:,}" if kind in textbook else "no rule",
            f"{size / textbook[kind]:.2f}" if textbook.get(kind) else "",
        )
        for kind, size in bytes_of.items()
    )
    return Table(
        title="Measured bytes beside the textbook's", columns=("kind", "measured", "textbook", "ratio"), rows=rows
    )


def _assumptions(subject: Subject, recipe: Recipe, batch: int) -> tuple[str, ...]:
    told = [
        "Work space inside kernels, and what the allocator keeps back, do not count.",
        f"The batch has {batch} samples in float32; activations grow in proportion to it.",
    ]
    if subject.plan is None:
        told.append(f"No plan came with the network: {recipe.optimizer} and the task's usual loss are assumed.")
    if recipe.precision != "float32":
        told.append("The plan trains in bfloat16, which keeps about half of these activations.")
    return tuple(told)
