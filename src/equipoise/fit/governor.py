"""The governor: watches a training, goes back when it breaks, and makes the smallest correction that helps."""

import math
from collections.abc import Sequence
from dataclasses import asdict
from enum import StrEnum
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from equipoise.core.act import Act, Correction
from equipoise.fit.alarms import Alarm, LossWatch, Trouble
from equipoise.fit.averaging import Average
from equipoise.fit.beginning import Beginning
from equipoise.fit.corrections import LADDERS, STILLBORN, THROWN, InForce
from equipoise.fit.episode import Episode
from equipoise.fit.inspector import Inspector
from equipoise.fit.shelf import EVERY, Shelf
from equipoise.fit.snapshots import Balanced, Snapshot
from equipoise.fit.surgery import Surgery
from equipoise.fit.together import Alone, Together

EARLY = (8, 16, 32, 64)
"""Steps at which the first losses are read; afterwards every `EVERY` steps."""

CLOSELY = 16
"""Steps between two readings while something looks wrong, or while a correction is on trial."""

AGAIN = 512
"""Trouble within so many steps of a recovery goes on where the ladder was left; later trouble begins it anew."""

PATIENT = 2
"""From this correction of a ladder on, everything goes back to the older snapshot: the newer may hold the trouble."""

MOST_ACTS = 48
"""After so many acts the governor gives up."""


class Decision(StrEnum):
    """What the loop is told."""

    GO_ON = "go-on"
    ROLLED_BACK = "rolled-back"
    STOP = "stop"


class Governor:
    """Keeps a training in balance; a healthy one is only watched, and its bits stay as they are.

    Losses are read a handful at a time. Weights that did well are copied into one of two snapshots. When a loss is not
    finite, stays far above what was usual, climbs for long, was never better than at first although the weights
    moved far, or the network says the same to every sample, everything is
    rolled back to the snapshot before the trouble and the smallest correction that was not yet tried is made; it stays
    in force when it helps, and the next one follows when it does not. All of it is a function of the losses, so the
    same training takes the same course.

    Args:
        network: What is copied and rolled back.
        optimizers: The optimisers that move it.
        parameters: What has gradients; the parameters of the optimisers unless said.
        body: The module whose `forward` the training calls; `network` itself unless said.
        average: The running average of the weights, if any.
        seed: Draws the weights of revived units.
        descends: Whether the loss is meant to fall; else (two networks against each other) it must only be finite.
        together: Where several processes train the network. Its units are not mended then: each sees other samples.
    """

    def __init__(
        self,
        network: nn.Module,
        optimizers: Sequence[torch.optim.Optimizer],
        *,
        parameters: Sequence[nn.Parameter] | None = None,
        body: nn.Module | None = None,
        average: Average | None = None,
        seed: int = 0,
        descends: bool = True,
        together: Together | None = None,
    ) -> None:
        self._descends = descends
        self._mends = together is None or isinstance(together, Alone)
        self._balanced = Balanced(network, tuple(optimizers), average)
        self._parameters = tuple(parameters if parameters is not None else self._balanced.parameters())
        self._shelf = Shelf(self._balanced)
        self._beginning = Beginning(self._shelf)
        self.inspector = Inspector(body if body is not None else network, together or Alone())
        self.surgery = Surgery(body if body is not None else network)
        self._seed = seed
        self._watch = LossWatch()
        self._pending: list[float] = []
        self._norms: list[tuple[int, float]] = []
        self._episode: Episode | None = None
        self._recovered: tuple[int, str, list[Correction], int] = (-AGAIN, "", [], 0)
        self._acts: list[Act] = []
        self.due = EARLY[0]
        self._step = 0
        self._buffers: list[Tensor] = []
        self.in_force = InForce()
        self.trouble: Trouble | None = None
        self._shelf.keep(0, self._notes(), alive_at=0)
        self.inspector.arm()

    @property
    def acts(self) -> tuple[Act, ...]:
        """What was done so far, with its outcome."""
        skips = float(self.in_force.skips)
        return tuple(
            act.replace(numbers={**act.numbers, "skipped": skips}) if act.what == "skip-batches" and skips else act
            for act in self._acts
        )

    @property
    def is_alert(self) -> bool:
        """Whether a raised loss waits for confirmation, a correction is on trial, or the weights are far away."""
        return self._watch.suspicious or self._episode is not None or self._beginning.is_far

    @property
    def is_treating(self) -> bool:
        """Whether a correction is on trial."""
        return self._episode is not None

    @property
    def bytes(self) -> int:
        """Memory that the snapshots take."""
        return self._shelf.bytes

    @property
    def heard_badly(self) -> bool:
        """Whether a loss that is not finite waits to be judged."""
        return not math.isfinite(sum(self._pending))

    def is_due(self, step: int) -> bool:
        """Return whether losses should be handed over and judged after `step` steps."""
        return step >= self.due

    def note_first_step(self) -> None:
        """Measure how far the very first step moved the weights, once; waits for the device."""
        self._beginning.note_first_step()

    def may_step(self, step: int) -> bool:
        """Apply what is in force to the gradients that are there; return whether the next step may be taken.

        Args:
            step: Steps taken so far.
        """
        if not self.in_force.any:
            return True
        gradients = [one.grad for one in self._parameters if one.grad is not None]
        passed = self.in_force.let_through(gradients, step)
        if self.in_force.guard:
            self._guard_buffers(passed)
        return passed

    def hear(self, losses: Sequence[float], norms: Sequence[tuple[int, float]] = ()) -> None:
        """Take in the losses of the steps since the last call, in order, and sampled (step, gradient norm)."""
        self._pending.extend(losses)
        norms = [*self._norms, *norms]
        self._norms = [*norms[:1], *norms[1:][-EVERY:]]  # the very first is kept

    def judge(self, step: int, *, overflowed: bool = False) -> Decision:
        """Judge what was heard up to `step`, act if need be, and say what the loop should do.

        Args:
            step: Steps taken so far.
            overflowed: Whether a validation loss was just not finite, which finite training losses may not show yet.
        """
        losses = list(self._pending)
        self._pending.clear()
        first, self._step = step - len(losses) + 1, step
        left_out = set(self.in_force.skipped)
        heard = [loss for k, loss in enumerate(losses, first) if k not in left_out]
        if self.surgery.units:
            self._amend(units=float(self.surgery.units))
            self.surgery.units = 0
        alarm = self._alarm(heard, first, len(losses))
        if alarm is None and overflowed:
            onset = self._watch.raised_since or step
            alarm = Alarm(Trouble.NOT_FINITE, onset, math.nan, self._watch.usual, self._watch.spread)
        decision = Decision.GO_ON if alarm is None else self._act(alarm)
        if decision is Decision.GO_ON:
            self._keep(step)
        self._plan(step)
        return decision

    def close(self) -> None:
        """Let go of the network."""
        self.inspector.close()
        self.surgery.cancel()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return everything for a checkpoint: tensors by name, and plain values."""
        tensors, snapshots = self._shelf.state()
        values = {
            "snapshots": snapshots,
            "watch": self._watch.state(),
            "inspector": self.inspector.state(),
            "surgery": [self.surgery.pending, self.surgery.units],
            "in_force": asdict(self.in_force),
            "pending": self._pending,
            "norms": self._norms,
            "steps": [self._step, self.due],
            "first_move": self._beginning.first_move,
            "episode": asdict(self._episode) if self._episode else None,
            "recovered": self._recovered,
            "trouble": self.trouble,
            "acts": [act.plain() for act in self._acts],
        }
        return tensors, values

    def load(self, tensors: dict[str, Tensor], values: dict[str, Any]) -> None:
        """Take over what `state` returned; the network holds its weights again already."""
        self._shelf.load(tensors, values["snapshots"])
        self._watch = LossWatch.restored(values["watch"])
        self.inspector.load(values["inspector"])
        self.in_force = InForce(**values["in_force"])
        self._pending = list(values["pending"])
        self._norms = [(step, norm) for step, norm in values["norms"]]
        self._step, self.due = values["steps"]
        self._beginning.first_move = values["first_move"]
        episode: dict[str, Any] | None = values["episode"]
        trouble: str | None = values["trouble"]
        self._episode = Episode(**episode) if episode else None
        self._recovered = tuple(values["recovered"])
        self.trouble = Trouble(trouble) if trouble else None
        self._acts = [Act.read(act, origin="checkpoint") for act in values["acts"]]
        self._buffers = self._copied_buffers()
        self.surgery.cancel()
        pending, units = values["surgery"]
        if pending:
            self._operate(*pending)
        self.surgery.units = units

    def _alarm(self, heard: list[float], first: int, steps: int) -> Alarm | None:
        watch, episode = self._watch, self._episode
        collapsed = self.inspector.collapsed(watch.improved_step, episode.began if episode else None)
        if 2 * len(heard) < steps:  # the guard leaves out most batches: that is no training
            return Alarm(Trouble.NOT_FINITE, first, math.nan, watch.usual, watch.spread)
        alarm = watch.hear(heard, self._step, only_finite=not self._descends)
        if alarm is None and collapsed:
            level = median(heard) if heard else math.nan
            alarm = Alarm(Trouble.COLLAPSE, self.inspector.varied + 1, level, watch.usual, watch.spread)
        if alarm is None and self._descends and self._beginning.is_lost(watch):
            alarm = Alarm(Trouble.DIVERGENCE, 2, median(heard or [math.nan]), watch.birth, 0.0)
        if alarm is None and episode is not None and heard:
            alarm = self._on_trial(heard, episode)
        return alarm

    def _on_trial(self, heard: Sequence[float], episode: Episode) -> Alarm | None:
        """Close an episode when its correction helped; return an alarm when it had its time and did not."""
        good = not (self._watch.suspicious or self.inspector.doubtful)
        episode.good = episode.good + len(heard) if good else 0
        level = median(heard)
        helped = episode.helped(level, self._step, falls=self._watch.falls())
        if helped is None:
            return None
        if not helped:
            return Alarm(Trouble.UNCURED, episode.began, level, episode.usual, episode.spread)
        self._amend("recovered")
        self._recovered = (self._step, episode.trouble, list(episode.ladder), episode.rung)
        self._episode = None
        return None

    def _act(self, alarm: Alarm) -> Decision:
        """Roll back, then make the next correction of the ladder, or stop at its end."""
        episode = self._episode
        self.trouble = episode.trouble if episode else alarm.trouble
        snapshot = self._shelf.before(alarm.onset)
        ladder, rung = self._next_rung(self.trouble, snapshot)
        if episode is not None:
            self._amend("failed")
        if rung >= PATIENT:
            snapshot = self._shelf.snapshots[0]
        why = alarm.said() + f" Everything went back to step {snapshot.step:,}."
        numbers = {"onset": float(alarm.onset), "loss": alarm.loss, "usual_loss": alarm.usual}
        numbers["back_to"] = float(snapshot.step)
        self._roll_back(snapshot)
        if rung >= len(ladder) or len(self._acts) >= MOST_ACTS:
            tried = ", ".join(dict.fromkeys(act.what for act in self._acts)) or "there was no correction for it"
            why = f"{why} Nothing helped ({tried}), so the training was stopped there."
            self._acts.append(Act(step=self._step, what="stop", why=why, numbers=numbers, outcome="stopped"))
            return Decision.STOP
        watch = self._watch
        self._episode = Episode(
            trouble=self.trouble,
            ladder=ladder,
            rung=rung,
            began=self._step,
            usual=watch.usual,
            spread=watch.spread,
            broken=alarm.loss,
            anew=snapshot.step == 0,
        )
        numbers |= self._apply(ladder[rung], snapshot)
        self._acts.append(Act(step=self._step, what=ladder[rung], why=why, numbers=numbers))
        return Decision.ROLLED_BACK

    def _next_rung(self, trouble: Trouble, snapshot: Snapshot) -> tuple[Sequence[Correction], int]:
        """Return the ladder to climb and its next rung that is possible; one beyond its end when there is none."""
        step, last_trouble, last_ladder, last_rung = self._recovered
        if self._episode is not None:
            ladder, rung = self._episode.ladder, self._episode.rung + 1
        elif self._step - step < AGAIN and (trouble == last_trouble or tuple(last_ladder) == THROWN):
            ladder, rung = last_ladder, last_rung + 1
        else:
            ladder, rung = self._ladder(trouble, snapshot), 0
        while rung < len(ladder) and not self._possible(ladder[rung]):
            rung += 1
        return ladder, rung

    def _ladder(self, trouble: Trouble, snapshot: Snapshot) -> Sequence[Correction]:
        if trouble is Trouble.COLLAPSE and self.inspector.stillborn:
            return STILLBORN
        norms = self._finite_norms()
        first = norms[0] if norms else None
        fresh = snapshot.step == 0 and self.in_force.lowered == 0
        return THROWN if fresh and self._beginning.is_thrown(first, self._watch.birth) else LADDERS[trouble]

    def _possible(self, what: Correction) -> bool:
        if what == "lower-step":
            return self.in_force.may_lower
        if what == "clip-gradients":
            return bool(self._finite_norms())
        return self._mends and self.surgery.possible if what in ("revive-units", "scale-units") else True

    def _roll_back(self, snapshot: Snapshot) -> None:
        self._shelf.put_back(snapshot)
        birth = self._watch.birth
        self._watch = LossWatch.restored(snapshot.notes["watch"])
        self._watch.birth, self._watch.improved_step = birth, self._step
        self._norms = [(step, norm) for step, norm in self._norms if step <= max(1, snapshot.step)]
        self.inspector.forget()
        self.surgery.cancel()
        self._buffers = self._copied_buffers()

    def _apply(self, what: Correction, snapshot: Snapshot) -> dict[str, float]:
        """Put a correction in force and return its numbers."""
        force = self.in_force
        norms = self._finite_norms()
        if what == "skip-batches":
            force.guard, force.largest = True, max(norms, default=0.0)
            return {"skipped": 0.0}
        if what == "clip-gradients":
            force.guard, force.limit = True, self._usual_norm(norms, snapshot)
            return {"limit": force.limit}
        force.warm_from = self._step
        if what == "lower-step":
            force.lower(self._beginning.first_move if snapshot.step == 0 and not force.limit else 0.0)
            return {"factor": force.factor}
        self._balanced.forget_moments()
        self._operate(what, self._seed + len(self._acts))
        return {}

    def _finite_norms(self) -> list[float]:
        return [norm for _, norm in self._norms if 0 < norm < math.inf]

    def _operate(self, what: Correction, seed: int) -> None:
        self.surgery.order(what, seed, self.inspector.usual)

    def _usual_norm(self, norms: list[float], snapshot: Snapshot) -> float:
        """Return what nine tenths of the healthy gradients kept to, or else what moves the weights by a hundredth."""
        if snapshot.step > 0:
            return sorted(norms)[9 * (len(norms) - 1) // 10]
        return self._beginning.bearable_norm(norms[0], self.in_force.factor)

    def _keep(self, step: int) -> None:
        """Take a snapshot of weights that do well."""
        quiet = self._episode is None and not self.inspector.doubtful
        if quiet and self._shelf.wants(step) and self._watch.near_best():
            self._shelf.keep(step, self._notes(), alive_at=step + 1 if self.inspector.blind else self.inspector.varied)

    def _plan(self, step: int) -> None:
        """Decide when to read next, and whether to look at the units before."""
        closely = self._episode is not None or self._watch.suspicious or self.inspector.doubtful
        self.due = step + CLOSELY if closely else next((early for early in EARLY if early > step), step + EVERY)
        self.inspector.plan(step, needed=closely or step in EARLY[1:], stale=step - self._watch.improved_step)

    @torch.no_grad()
    def _guard_buffers(self, passed: bool) -> None:
        """Take back what the forward pass of a batch that is left out did to running statistics."""
        if passed:
            self._buffers = self._copied_buffers()
            return
        for buffer, before in zip(self._balanced.network.buffers(), self._buffers, strict=True):
            buffer.copy_(before)

    def _copied_buffers(self) -> list[Tensor]:
        return [buffer.detach().clone() for buffer in self._balanced.network.buffers()]

    def _amend(self, outcome: str | None = None, **numbers: float) -> None:
        act = self._acts[-1]
        self._acts[-1] = act.replace(numbers={**act.numbers, **numbers}, outcome=outcome or act.outcome)

    def _notes(self) -> dict[str, Any]:
        return {"watch": self._watch.state()}
