"""When a trial decides, and what: fixed before anything is trained."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from equipoise.core.estimate import Estimate
from equipoise.core.trial import Outcome
from equipoise.stats.paired import sign_flip_interval
from equipoise.stats.sequential import LOOKS, Look, look

INSIDE = 0.9
"""Level of the interval that must lie inside the margin for `no difference`: two one-sided tests at 5 % each."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The rule of a trial.

    Attributes:
        level: Two-sided error rate of the whole trial, over all its looks.
        margin: Differences of the metric smaller than this do not matter.
        guards: By guard metric: how much it may get worse.
        looks: Numbers of seeds after which the trial is looked at; the last ends it.
    """

    level: float = 0.05
    margin: float = 0.005
    guards: dict[str, float] = field(default_factory=dict)
    looks: tuple[int, ...] = LOOKS

    def said(self) -> str:
        """Return the rule in words."""
        looks = ", ".join(map(str, self.looks))
        guards = "".join(f"; {name} at most {margin:g} worse" for name, margin in self.guards.items())
        return f"exact sign-flip test at {self.level:.3g} over looks at {looks} seeds, margin {self.margin:g}{guards}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the rule says of the pairs so far.

    Attributes:
        outcome: The outcome, or None when the trial goes on.
        effect: Mean difference with its interval.
        guards: The same for the guards.
        look: The test.
        because: How the rule was met or missed.
    """

    outcome: Outcome | None
    effect: Estimate
    guards: dict[str, Estimate]
    look: Look
    because: str


def judge(rule: Rule, differences: Sequence[float], guards: dict[str, Sequence[float]]) -> Judgement:
    """Return what a rule says when a look is due.

    A treatment is adopted when the test rejects, the mean is on its side, and no guard's interval reaches below its
    margin; harmful when the test rejects the other way, or finds a guard below its margin. At the last look it makes
    no difference when its 90 % interval lies inside the margin. Whatever is left is unsure.

    Args:
        rule: The rule.
        differences: Treated minus untreated, one a seed; as many as one of the looks.
        guards: The same for each guard metric; higher is better.

    Raises:
        ValueError: A number of seeds at which no look is planned.
    """
    said = look(differences, rule.level, rule.looks)
    values = np.asarray(differences, dtype=np.float64)
    effect = sign_flip_interval(values)
    guarded = {name: sign_flip_interval(np.asarray(guards[name])) for name in rule.guards}
    broken = [name for name, margin in rule.guards.items() if _falls(rule, np.asarray(guards[name]) + margin)]
    doubtful = [name for name, one in guarded.items() if one.low < -rule.guards[name]]
    last = said.n == rule.looks[-1]
    p = f"p = {said.p_value:.2g} against {said.spent:.2g} at {said.n} seeds"
    outcome: Outcome | None = None
    because = f"{p} does not decide"
    if broken:
        outcome, because = "harmful", f"{broken[0]} got worse by more than {rule.guards[broken[0]]:g}"
    elif said.rejects and effect.value < 0:
        outcome, because = "harmful", f"{p}, and it is worse"
    elif said.rejects and not doubtful:
        outcome, because = "adopted", f"{p}, and it is better"
    elif said.rejects:
        outcome = "unsure" if last else None
        because = f"{p}, and it is better, but {doubtful[0]} may be worse by more than {rule.guards[doubtful[0]]:g}"
    elif last:
        inside = sign_flip_interval(values, level=INSIDE)
        small = -rule.margin <= inside.low and inside.high <= rule.margin
        outcome = "no difference" if small else "unsure"
        because = f"{p}; the {INSIDE:.0%} interval {'lies inside' if small else 'reaches beyond'} the margin"
    return Judgement(outcome, effect, guarded, said, because)


def _falls(rule: Rule, values: np.ndarray) -> bool:
    return float(values.mean()) < 0 and look(values.tolist(), rule.level, rule.looks).rejects
