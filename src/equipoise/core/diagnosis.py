"""What is wrong with a training, where, and how sure that is: symptoms, causes and the verdict on both."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, computed_field

from equipoise.core.estimate import Estimate, Verdict
from equipoise.core.record import Number, Record


class Symptom(Record):
    """What one probe or detector saw.

    Attributes:
        name: Id of the probe or detector, kebab-case.
        verdict: `pass`, `warn`, `fail`, `unsure`, or `skipped` with the reason in the claim.
        claim: One sentence with its numbers in it.
        estimates: Every measured number by name, each with its interval.
        where: Places it concerns, worst first: `inputs`, `targets`, `validation`, `loss`, `optimizer.<field>`,
            `loop.<stage>` or `layer:<name>`.
        suggests: Faults that it speaks for, each with the weight of its evidence in nats (log of how much likelier
            this is seen with the fault than without); by the words of `core.faults.FAULTS`.
        step: Optimiser step at which it was first seen, counted from 1; 0 before the first step.
    """

    name: str
    verdict: Verdict
    claim: str
    estimates: dict[str, Estimate] = Field(default_factory=dict)
    where: tuple[str, ...] = ()
    suggests: dict[str, float] = Field(default_factory=dict)
    step: int = 0


class Cause(Record):
    """One fault that explains what was seen.

    Attributes:
        fault: A word of `core.faults.FAULTS`.
        where: Where it is, in the words of `Symptom.where`.
        confidence: Probability in [0, 1] that this fault is there.
        evidence: What speaks for it, one sentence with numbers each, strongest first.
        treatment: The line of advice that cures it.
    """

    fault: str
    where: str
    confidence: float
    evidence: tuple[str, ...]
    treatment: str


Health = Literal["healthy", "sick", "unsure"]


class Diagnosis(Record):
    """The answer of `equipoise.diagnose`.

    Attributes:
        verdict: `healthy` where no fault was found that is worth a change, `sick` where one was or the training raises,
            and `unsure` where neither the training nor the probes could say.
        reason: Why there is a verdict without a cause: what could not be measured, or what the training raises.
        causes: What is wrong, likeliest first; empty for a healthy training.
        symptoms: Everything that was seen, passes included.
        score: How well the training ends by its own loop, and what was compared with it, by name.
        skipped: Probes and runs that could not be made, each with its reason.
        seconds: Wall-clock time it took.
    """

    verdict: Health
    reason: str = ""
    causes: tuple[Cause, ...] = ()
    symptoms: tuple[Symptom, ...] = ()
    score: dict[str, Number] = Field(default_factory=dict)
    skipped: dict[str, str] = Field(default_factory=dict)
    seconds: float = 0.0

    @computed_field  # type: ignore[prop-decorator]
    @property
    def healthy(self) -> bool:
        """Whether the verdict is `healthy`."""
        return self.verdict == "healthy"

    @classmethod
    def read(cls, values: Mapping[str, Any], *, origin: str = "record") -> Self:
        """Return the diagnosis that plain values describe; see `Record.read`. `healthy` follows from the verdict."""
        return super().read({name: one for name, one in values.items() if name != "healthy"}, origin=origin)

    def __str__(self) -> str:
        """Return the diagnosis as a person reads it."""
        if not self.causes and not self.healthy:
            return f"{self.verdict}: {self.reason}"
        if self.healthy:
            passed = sum(one.verdict is Verdict.PASS for one in self.symptoms)
            return f"healthy: nothing was found that is worth a change, {passed} probes pass ({self.seconds:.1f} s)"
        lines = []
        for rank, cause in enumerate(self.causes, 1):
            lines.append(f"{rank}. {cause.fault} at {cause.where} ({cause.confidence:.0%})")
            lines.extend(f"   {sentence}" for sentence in cause.evidence)
            lines.append(f"   cure: {cause.treatment}")
        return "\n".join(lines)


class Preflight(Record):
    """The answer of `equipoise.preflight`: what the probes before the first step saw.

    Attributes:
        symptoms: One a probe, worst first, passes and skipped ones included.
        seconds: Wall-clock time it took.
    """

    symptoms: tuple[Symptom, ...]
    seconds: float = 0.0

    @property
    def healthy(self) -> bool:
        """Whether no probe failed or warned."""
        return all(one.verdict.severity < Verdict.WARN.severity for one in self.symptoms)

    def __str__(self) -> str:
        """Return one line a probe, worst first."""
        return "\n".join(f"{one.verdict.value:8} {one.name:24} {one.claim}" for one in self.symptoms)
