"""The plan lane: steps of a feed-forward network laid out ahead, many to a call of a native kernel."""

import threading
import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from equipoise.fit.averaging import Average
from equipoise.fit.job import Job
from equipoise.fit.lanes.layout import BATCH_NORM, DROPOUT, LAYER_NORM, LINEAR, Layer
from equipoise.fit.lanes.native import Chain
from equipoise.fit.lanes.rhythm import Rhythm, order_of, rhythm_of
from equipoise.fit.lanes.signs import Rows, Signs
from equipoise.fit.schedules import multiplier
from equipoise.fit.state import State
from equipoise.fit.step import take_step

CALL_S = 0.04
"""A call takes about so long at most: clock and keyboard are looked at in between."""

FIRST_STEPS = 32
"""Steps of the first call, whose duration is not known yet."""

MASKS = 2**20
"""Most numbers of the dropout masks that are drawn ahead."""

MOMENTS = {"adam": ("exp_avg", "exp_avg_sq"), "sgd": ("momentum_buffer", ""), "plain": ("", "")}
"""Names of an optimiser's tensors for a parameter."""

_GLOBAL = threading.Lock()


@dataclass(frozen=True, slots=True, eq=False)
class Memory:
    """The memory of a chain, as tensors.

    Attributes:
        layers: What it is made of.
        results: What each layer says, (largest batch, outputs).
        masks: Masks of each dropout layer, flat.
        parameters: All parameters in order.
        gradients: Their gradients; None for frozen ones.
        held: Whatever else the chain points to.
    """

    layers: tuple[Layer, ...]
    results: tuple[Tensor, ...]
    masks: tuple[Tensor, ...]
    parameters: tuple[nn.Parameter, ...]
    gradients: tuple[Tensor | None, ...]
    held: tuple[Tensor, ...]


class PlanLane:
    """Takes the steps of a chain natively, on torch's own weights and optimiser state.

    Two ways lead through a step. Ordinarily many steps are one call. A step that Python has a part in (the first one,
    which makes the optimiser's state; the first of an average; those that the governor corrects) computes loss and
    gradients natively and goes on as in the eager lane. What the governor's inspector looks at is read from the
    chain's memory, so that a healthy training has the same bits with and without a governor. Nothing is drawn from
    torch's global generator: chains in different threads do not disturb each other.

    Args:
        chain: The network, laid out.
        memory: Its memory.
        moments: Names of the optimiser's tensors for a parameter; empty for none.
        weights: Class weights, which the chain points to.
        signs: Measures vital signs, if the recipe asks for them.

    Attributes:
        most: Steps of the next call at most.
    """

    def __init__(
        self, chain: Chain, memory: Memory, moments: tuple[str, str], weights: Tensor | None, signs: Signs | None
    ) -> None:
        self._chain = chain
        self._signs = signs
        self._memory = memory
        self._weights = weights
        self._moments = moments
        self._noise = torch.Generator()
        self._rhythms: dict[int, Rhythm] = {}
        self.most = FIRST_STEPS
        self._linear = {layer.name: memory.results[k] for k, layer in enumerate(memory.layers) if layer.kind == LINEAR}
        self._widths = tuple((layer.outputs, layer.value) for layer in memory.layers if layer.kind == DROPOUT)

    @property
    def noise(self) -> torch.Generator:
        """See `Lane`."""
        return self._noise

    @property
    def independent(self) -> bool:
        """See `Lane`."""
        return True

    @property
    def measures(self) -> bool:
        """See `Lane`."""
        return True

    def advance(self, job: Job, state: State, epochs: int) -> Iterator[None]:
        """See `Lane`."""
        if epochs not in self._rhythms:
            self._rhythms[epochs] = rhythm_of(job.feed, epochs)
        rhythm = self._rhythms[epochs]
        order = order_of(job.feed, state.round, epochs, masked=bool(self._widths))
        while state.batch < rhythm.batches:
            count = self._count(job, state, rhythm)
            if count:
                self._take_steps(job, state, rhythm, order, count)
            else:
                self._take_one(job, state, rhythm, order)
            yield

    def _count(self, job: Job, state: State, rhythm: Rhythm) -> int:
        """Return how many steps the next call may take; 0 when Python has a part in the next step."""
        governor, average, recorder = state.governor, state.average, state.recorder
        count = min(self.most, recorder.room, rhythm.steps - rhythm.step_of[state.batch])
        if recorder.step == 0:
            return 0
        if governor is not None:
            if governor.in_force.any or governor.surgery.pending is not None:
                return 0
            count = 1 if governor.inspector.looker.armed else min(count, max(1, governor.due - recorder.step))
        if average is not None and not average.values:
            count = min(count, max(0, average.start - recorder.step))
        if self._widths:
            rows = self._memory.masks[0].numel() // self._widths[0][0]
            count = min(count, rows // (rhythm.largest * job.feed.accumulate))
        return count if self._knows_moments(state.stepper.parts[0]) else 0

    def _knows_moments(self, optimizer: torch.optim.Optimizer) -> bool:
        wanted = [name for name in self._moments if name]
        trained = self._trained()
        return all(isinstance(optimizer.state.get(one, {}).get(name), Tensor) for one in trained for name in wanted)

    def _trained(self) -> list[nn.Parameter]:
        pairs = zip(self._memory.parameters, self._memory.gradients, strict=True)
        return [parameter for parameter, gradient in pairs if gradient is not None]

    def _take_steps(self, job: Job, state: State, rhythm: Rhythm, order: Tensor, count: int) -> None:
        recorder, stepper, average = state.recorder, state.stepper, state.average
        began = time.perf_counter()
        step, optimizer = recorder.step, stepper.parts[0]
        stop = rhythm.ends[rhythm.step_of[state.batch] + count - 1]
        rates = self._rates(job, state, count)
        norms = torch.empty(len(range(-step % job.sample_every, count, job.sample_every)))
        averaged = average.count if average is not None and average.values else 0
        counters = [optimizer.state[one]["step"] for one in self._trained()] if self._moments[1] else []
        moved = int(counters[0]) if counters else 0
        rows = None if self._signs is None else self._signs.rows(step, count)
        self._call(job, state, rhythm, order, stop, rates, norms, (moved, averaged), rows, only_gradients=False)
        self._record(state, rows, rates)
        for counter in counters:
            counter.add_(count)
        if average is not None and averaged:
            average.count += count
        if rates[-1] != stepper.rate:
            stepper.set_rate(rates[-1])
        self._show(job, state, rhythm, order, stop)
        state.batch = stop
        recorder.close_steps(count, norms, rates, job.sample_every)
        if count >= FIRST_STEPS // 2:
            self.most = max(1, int(CALL_S * count / max(time.perf_counter() - began, 1e-6)))

    def _take_one(self, job: Job, state: State, rhythm: Rhythm, order: Tensor) -> None:
        governor = state.governor
        stop = rhythm.ends[rhythm.step_of[state.batch]]
        if governor is not None and governor.surgery.pending is not None:
            features, _ = job.feed.part.take(order[rhythm.starts[state.batch] : rhythm.starts[state.batch + 1]])
            with _GLOBAL, torch.random.fork_rng(devices=[]):
                torch.default_generator.set_state(self._noise.get_state())
                governor.surgery.operate(features)
        rows = None if self._signs is None else self._signs.rows(state.recorder.step, 1)
        self._call(job, state, rhythm, order, stop, array("d"), None, (0, 0), rows, only_gradients=True)
        self._show(job, state, rhythm, order, stop)
        state.batch = stop
        for parameter, gradient in zip(self._memory.parameters, self._memory.gradients, strict=True):
            parameter.grad = gradient
        if rows is None:
            take_step(job, state)
            return
        self._chain.remember()
        loss = state.recorder.places[:1].clone()
        take_step(job, state)
        self._chain.note(rows.parameters.ctypes.data, len(rows.steps) > 0)
        self._record(state, rows, array("d", [state.stepper.rate]), loss)

    def _record(self, state: State, rows: Rows | None, rates: "array[float]", losses: Tensor | None = None) -> None:
        """Put what was measured during a call into the history; losses are those that wait to be closed."""
        if rows is None or self._signs is None or not len(rows.steps):
            return
        recorder, every = state.recorder, self._signs.every
        losses = recorder.places[: len(rates)] if losses is None else losses
        first = 0 if len(rates) == 1 else -recorder.step % every
        window = self._signs.window(
            rows, losses.double().numpy()[first::every], np.asarray(rates, dtype=np.float64)[first::every]
        )
        recorder.history.record_window(window, whole=False)

    def _call(
        self,
        job: Job,
        state: State,
        rhythm: Rhythm,
        order: Tensor,
        stop: int,
        rates: "array[float]",
        norms: Tensor | None,
        counts: tuple[int, int],
        rows: Rows | None,
        *,
        only_gradients: bool,
    ) -> None:
        """Run the batches from `state.batch` up to `stop`."""
        start, part, places = state.batch, job.feed.part, state.recorder.places
        features, targets = part.features, part.targets
        if features is None or targets is None:
            raise RuntimeError("got samples that are not in memory; expected kept features. Use the eager lane.")
        self._draw_masks(rhythm, start, stop)
        self._chain.train(
            self._addresses(state.stepper.parts[0], state.average),
            tuple(mask.data_ptr() for mask in self._memory.masks),
            features.data_ptr(),
            targets.data_ptr(),
            order.data_ptr() + 8 * rhythm.starts[start],
            rhythm.sizes.data_ptr() + 8 * start,
            rhythm.shares.data_ptr() + 8 * start,
            rhythm.finishes.data_ptr() + start,
            rates.buffer_info()[0],
            places.data_ptr(),
            0 if norms is None else norms.data_ptr(),
            stop - start,
            state.recorder.step,
            *counts,
            job.sample_every,
            only_gradients,
            *((0, 0, 0) if rows is None else rows.addresses),
        )

    def _draw_masks(self, rhythm: Rhythm, start: int, stop: int) -> None:
        """Draw the masks of each batch, layer after layer, as the dropout modules would."""
        if not self._widths:
            return
        taken = [0] * len(self._widths)
        for batch in range(start, stop):
            rows = rhythm.starts[batch + 1] - rhythm.starts[batch]
            for k, (width, keep) in enumerate(self._widths):
                end = taken[k] + rows * width
                self._memory.masks[k][taken[k] : end].bernoulli_(keep, generator=self._noise)
                taken[k] = end

    def _show(self, job: Job, state: State, rhythm: Rhythm, order: Tensor, stop: int) -> None:
        """Let the inspector see the last batch, if it looks."""
        governor = state.governor
        if governor is None or not governor.inspector.looker.armed:
            return
        rows = order[rhythm.starts[stop - 1] : rhythm.starts[stop]]
        features, _ = job.feed.part.take(rows)
        layers = {name: result[: len(rows)] for name, result in self._linear.items()}
        governor.inspector.looker.see(features, layers, self._memory.results[-1][: len(rows)])

    def _addresses(self, optimizer: torch.optim.Optimizer, average: Average | None) -> bytes:
        """Return where value, moments and average of each parameter are now."""
        found = array("q")
        averages = dict(zip(average.parameters, average.values, strict=False)) if average is not None else {}
        for parameter in self._memory.parameters:
            held: dict[str, Any] = optimizer.state.get(parameter, {})
            own = averages.get(parameter)
            found.append(parameter.data_ptr())
            found.extend(_address(held.get(name)) for name in self._moments)
            found.append(_address(own))
        return found.tobytes()

    def _rates(self, job: Job, state: State, count: int) -> "array[float]":
        """Return the learning rate of each step."""
        recipe, step = job.recipe, state.recorder.step

        def rate(at: int) -> float:
            factor = multiplier(recipe, at, job.total_steps, job.feed.steps_per_epoch, state.plateau)
            return recipe.learning_rate * factor

        first, last = rate(step), rate(step + count - 1)
        if first == last and recipe.schedule in ("constant", "plateau"):
            return array("d", [first]) * count
        return array("d", map(rate, range(step, step + count)))


def memory_of(layers: tuple[Layer, ...], largest: int, masked: int) -> Memory:
    """Return the memory of a chain for batches of up to `largest` samples, `masked` of them with masks at once."""
    parameters = tuple(one for layer in layers for one in layer.module.parameters())
    rows = max(masked, MASKS // max([layer.outputs for layer in layers if layer.kind == DROPOUT], default=1))
    return Memory(
        layers=layers,
        results=tuple(torch.zeros(largest, layer.outputs) for layer in layers),
        masks=tuple(torch.zeros(rows * layer.outputs) for layer in layers if layer.kind == DROPOUT),
        parameters=parameters,
        gradients=tuple(torch.zeros_like(one) if one.requires_grad else None for one in parameters),
        held=tuple(
            torch.zeros(largest * layer.outputs + max(largest, layer.outputs))
            for layer in layers
            if layer.kind in (BATCH_NORM, LAYER_NORM)
        ),
    )


def layer_numbers(memory: Memory) -> tuple[tuple[float, ...], ...]:
    """Return the layers as the kernel takes them; see `Layer` in `native/chain.h`."""
    places = {id(parameter): k for k, parameter in enumerate(memory.parameters)}
    held = iter(memory.held)
    rows: list[tuple[float, ...]] = []
    for layer, result in zip(memory.layers, memory.results, strict=True):
        module = layer.module
        tensors = [places.get(id(getattr(module, name, None)), -1) for name in ("weight", "bias")]
        running = [_address(getattr(module, f"running_{name}", None)) for name in ("mean", "var")]
        scratch = next(held) if layer.kind in (BATCH_NORM, LAYER_NORM) else None
        start = _address(scratch)
        beside = start + 4 * result.numel() if start else 0
        counted = _address(getattr(module, "num_batches_tracked", None))
        momentum = float(getattr(module, "momentum", 0.0) or 0.0)
        shape = (layer.kind, layer.function, layer.inputs, layer.outputs, layer.value, momentum)
        rows.append((*shape, *tensors, result.data_ptr(), *running, counted, start, beside))
    return tuple(rows)


def _address(value: object) -> int:
    return value.data_ptr() if isinstance(value, Tensor) else 0
