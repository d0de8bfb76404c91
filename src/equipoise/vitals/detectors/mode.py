"""Training with the network in evaluation mode."""

from equipoise.core.diagnosis import Symptom
from equipoise.core.estimate import Verdict, exact
from equipoise.vitals.detectors.units import place
from equipoise.vitals.window import Window

WHOLE = ("", "network", "loop.mode", "mode")


class WrongMode:
    """The network was in evaluation mode while it was trained.

    Exact, so without an error rate: the recorder reports it. The whole network at three steps is a failure. Single
    modules are often held in evaluation mode on purpose (frozen normalisation in fine-tuning), so they are `unsure`.
    Source: mode errors, TheDeepChecker, TOSEM 2022; Jiang et al., TrainCheck, OSDI 2025.
    """

    name = "wrong-mode"
    faults = ("train_eval_mode",)

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._said: set[str] = set()

    def observe(self, window: Window) -> tuple[Symptom, ...]:
        """Return one symptom a place whose mode was wrong at three steps."""
        out = []
        for event in window.events:
            if event.kind != "wrong_mode":
                continue
            seen = self._count[event.where] = self._count.get(event.where, 0) + 1
            if seen < 3 or event.where in self._said:
                continue
            self._said.add(event.where)
            whole = event.where in WHOLE
            out.append(
                Symptom(
                    name=self.name,
                    verdict=Verdict.FAIL if whole else Verdict.UNSURE,
                    claim=f"{event.text} (seen {seen} times)",
                    estimates={"times": exact(float(seen), n=seen)},
                    where=("loop.mode",) if whole else ("loop.mode", place(event.where)),
                    suggests={"train_eval_mode": 5.0 if whole else 1.0},
                    step=event.step,
                )
            )
        return tuple(out)
