"""How often questions about units, noise, sensitivity, cost and explanations alarm on healthy networks.

Small networks are trained to a good score on samples of known distributions, one network a seed; whatever warns, fails
or errs on them is a false alarm. Run it with `python benchmarks/false_alarms_questions.py [SEEDS]`; it writes
`benchmarks/records/<date>-false-alarms-questions.json`.
"""

import json
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from equipoise.core.estimate import Verdict
from equipoise.examine.ask import ask
from equipoise.examine.efficiency.latency import Latency
from equipoise.examine.efficiency.memory import Memory
from equipoise.examine.explanation.explanation_faithful import ExplanationFaithful
from equipoise.examine.explanation.feature_use import FeatureUse
from equipoise.examine.learning.dead_units import DeadUnits
from equipoise.examine.learning.saturated_units import SaturatedUnits
from equipoise.examine.noise.corruption import Corruption
from equipoise.examine.noise.input_noise import InputNoise
from equipoise.examine.question import Question
from equipoise.examine.stability.input_sensitivity import InputSensitivity
from equipoise.examine.subject import Subject
from equipoise.fit.execution import machine
from equipoise.stats.intervals import proportion
from equipoise.testing import best_classifier, best_regressor, with_body

QUESTIONS: tuple[Question, ...] = (
    DeadUnits(),
    SaturatedUnits(),
    InputNoise(),
    Corruption(),
    InputSensitivity(),
    Latency(calls=100, seconds=0.3),
    Memory(),
    FeatureUse(),
    ExplanationFaithful(),
)


def _trained(subject: Subject, body: nn.Module, targets: Callable[[Tensor], Tensor]) -> Subject:
    part = subject.part("train")
    inputs, truth = part.batch(torch.arange(len(part)))
    optimizer = torch.optim.Adam(body.parameters(), 1e-2)
    classes = subject.task.classifies
    for _ in range(150):
        optimizer.zero_grad()
        scores = body(inputs)
        loss = functional.cross_entropy(scores, truth) if classes else functional.mse_loss(scores, targets(truth))
        loss.backward()
        optimizer.step()
    return with_body(subject, body)


def _dense(activation: type[nn.Module], outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(8, 32), activation(), nn.Linear(32, 16), activation(), nn.Linear(16, outputs))


class _Recurrent(nn.Module):
    """An LSTM that reads the eight features as four steps of two."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(2, 16, batch_first=True)
        self.readout = nn.Linear(16, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = self.readout(self.layer(inputs.reshape(-1, 4, 2))[0][:, -1])
        return scores


def healthy(seed: int) -> dict[str, Subject]:
    """Return healthy subjects by name, drawn and trained from a seed."""
    torch.manual_seed(seed)
    classes = best_classifier(seed=seed, n=1000, features=8)
    values = best_regressor(seed=seed, n=1000, features=8, noise=0.3)

    def standardised(targets: Tensor) -> Tensor:
        out: Tensor = values.network.head.standardise(targets)
        return out

    return {
        "relu classifier": _trained(classes, _dense(nn.ReLU, 3), lambda t: t),
        "tanh classifier": _trained(classes, _dense(nn.Tanh, 3), lambda t: t),
        "lstm classifier": _trained(classes, _Recurrent(), lambda t: t),
        "gelu regressor": _trained(values, _dense(nn.GELU, 1), standardised),
        "best classifier": classes,
        "best regressor": values,
    }


def main(seeds: int) -> None:
    """Ask every question about healthy subjects of every seed, and write the record."""
    torch.set_num_threads(1)
    counts = {one.card.id: dict.fromkeys([str(v.value) for v in Verdict], 0) for one in QUESTIONS}
    alarms: list[str] = []
    start = time.perf_counter()
    for seed in range(seeds):
        for name, subject in healthy(seed).items():
            for question in QUESTIONS:
                finding = ask(question, subject, seed=seed)
                counts[question.card.id][finding.verdict.value] += 1
                if finding.verdict.severity >= Verdict.WARN.severity:
                    alarms.append(f"seed {seed}, {name}: {finding.verdict.value} {finding.question}: {finding.claim}")
    rates = {name: _rate(count) for name, count in counts.items()}
    record = {
        "what": "share of warn, fail and error verdicts on healthy networks, of those that could be asked",
        "command": f"python benchmarks/false_alarms_questions.py {seeds}",
        "seeds": seeds,
        "subjects_per_seed": 6,
        "machine": machine(),
        "versions": {name: version(name) for name in ("equipoise", "torch", "numpy", "scipy", "captum")}
        | {"python": platform.python_version()},
        "seconds": round(time.perf_counter() - start, 1),
        "verdicts": counts,
        "false_alarm_rate": rates,
        "alarms": alarms,
    }
    path = Path(__file__).with_name("records") / f"{datetime.now(UTC):%Y-%m-%d}-false-alarms-questions.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{path}\n" + "\n".join(f"{name}: {rate}" for name, rate in rates.items()) + "\n")


def _rate(count: dict[str, int]) -> dict[str, float | int]:
    asked = sum(count.values()) - count[Verdict.SKIPPED.value]
    if not asked:
        return {"n": 0}
    share = proportion(sum(count[one.value] for one in (Verdict.WARN, Verdict.FAIL, Verdict.ERROR)), asked)
    return {
        "value": round(share.value, 4),
        "low": round(share.low, 4),
        "high": round(share.high, 4),
        "n": asked,
        "unsure": count[Verdict.UNSURE.value],
    }


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50)
