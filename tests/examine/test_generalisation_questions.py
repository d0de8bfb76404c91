"""Accuracy, overfitting, underfitting and calibration on subjects whose truth is known."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import StandardScaler
from torch import nn

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.signature import ArrayInput, Signature, Task
from equipoise.core.stop import StopReason
from equipoise.examine.ask import ask
from equipoise.examine.generalisation.accuracy import Accuracy
from equipoise.examine.generalisation.baselines import baselines, best_of
from equipoise.examine.generalisation.calibration import Calibration, miscalibration_behind, simulated_errors
from equipoise.examine.generalisation.overfitting import Overfitting
from equipoise.examine.generalisation.underfitting import Underfitting
from equipoise.examine.subject import Subject
from equipoise.networks.heads import ClassHead, MultilabelHead
from equipoise.networks.network import Head
from equipoise.stats.intervals import difference_of_proportions
from equipoise.stats.metrics import expected_calibration_error
from equipoise.testing import (
    best_classifier,
    best_regressor,
    check_question,
    constant,
    divide,
    make_subject,
    memorised,
    with_body,
    with_history,
)

HEALTHY = best_classifier(n=2000, separation=3.0)
BINARY = best_classifier(n=1600, classes=2, separation=3.0)
VALUES = best_regressor(n=2000, mean=100.0, scale=7.0, noise=0.3)
QUESTIONS = (Accuracy(), Overfitting(), Underfitting(), Calibration())


def _normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


def _answer(question: object, subject: Subject) -> Finding:
    finding = ask(question, subject)
    assert finding.verdict is not Verdict.ERROR, (finding.claim, finding.where)
    return finding


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.card.id)
@pytest.mark.parametrize("subject", [HEALTHY, BINARY, VALUES], ids=["classes", "binary", "values"])
def test_healthy_networks_pass_by_the_rules(question: object, subject: Subject) -> None:
    finding = check_question(question, subject)
    assert finding.verdict is Verdict.PASS, finding.claim
    assert finding.figures
    assert finding.treatments == ()


# Accuracy


def _noise(seed: int = 0, n: int = 1600) -> Subject:
    """A network whose answers have nothing to do with labels that have nothing to do with the inputs."""
    generator = torch.Generator().manual_seed(seed)
    inputs, labels = torch.randn(n, 5, generator=generator), torch.randint(0, 2, (n,), generator=generator)
    donor = best_classifier(classes=2, features=5)
    parts = divide(inputs, labels, train=n // 2, validation=n // 8)
    return make_subject(donor.network.body, donor.network.head, donor.network.signature, *parts)


def test_pure_noise_is_called_unlearnable() -> None:
    finding = _answer(Accuracy(), _noise())
    assert finding.verdict is Verdict.FAIL
    assert "unlearnable" in finding.claim
    assert "more data" in finding.treatments


def test_what_a_simple_method_learns_is_not_called_unlearnable() -> None:
    for subject in (constant(HEALTHY), constant(VALUES)):
        finding = _answer(Accuracy(), subject)
        assert finding.verdict is Verdict.FAIL
        assert "the network has not learned it" in finding.claim


def test_scores_are_those_of_sklearn() -> None:
    finding = _answer(Accuracy(), HEALTHY)
    answers = HEALTHY.answers("test")
    assert finding.estimates["score"].value == pytest.approx(accuracy_score(answers.targets, answers.predicted))
    train, test = HEALTHY.part("train"), HEALTHY.part("test")
    scaler = StandardScaler().fit(train.inputs.numpy())
    model = LogisticRegression(C=0.3, max_iter=200, tol=1e-3).fit(scaler.transform(train.inputs), train.targets)
    want = model.score(scaler.transform(test.inputs), test.targets)
    assert finding.estimates["logistic_regression"].value == pytest.approx(want)
    shares = np.bincount(train.targets) / len(train.targets)
    share = float((test.targets.numpy() == shares.argmax()).mean())
    assert finding.estimates["the_commonest_answer"].value == pytest.approx(share)


def test_a_network_far_behind_a_simple_method_fails() -> None:
    body = nn.Linear(5, 3)
    with torch.no_grad():
        body.weight.copy_(
            HEALTHY.network.body.weight + 4 * torch.randn(3, 5, generator=torch.Generator().manual_seed(1))
        )
        body.bias.zero_()
    finding = _answer(Accuracy(), with_body(HEALTHY, body))
    assert finding.estimates["over_best_baseline"].high < -0.15
    assert finding.verdict is Verdict.FAIL


def test_confusions_classes_and_worst_samples_are_shown() -> None:
    finding = _answer(Accuracy(), best_classifier(n=1000, separation=1.5))
    kinds = [figure.kind for figure in finding.figures]
    assert kinds == ["bars", "table", "matrix"]
    matrix = np.array(finding.figures[2].values)
    assert matrix.sum() == 250
    assert np.trace(matrix) / 250 == pytest.approx(finding.estimates["score"].value)
    assert 0 < len(finding.worst_samples) <= 12
    assert finding.worst_samples[0].caption.startswith("is class ")
    assert finding.worst_samples[0].cells


def test_baselines_never_see_the_test_part() -> None:
    poisoned = best_classifier(n=2000, separation=3.0)
    poisoned.part("test").targets.fill_(0)
    clean, dirty = baselines(HEALTHY), baselines(poisoned)
    for one, other in zip(clean, dirty, strict=True):
        assert (one.answer == other.answer).all()
        assert one.validation == other.validation
    assert best_of(clean).name == "logistic regression"


def test_several_targets_are_scored_together() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(600, 4, generator=generator)
    body = nn.Linear(4, 2)
    targets = body(inputs).detach() + 0.1 * torch.randn(600, 2, generator=generator)
    signature = Signature(inputs=ArrayInput(shape=(4,)), task=Task(kind="regression", targets=("a", "b")))
    subject = make_subject(body, Head(), signature, *divide(inputs, targets, train=300, validation=100))
    assert _answer(Accuracy(), subject).verdict is Verdict.PASS
    assert _answer(Calibration(), subject).verdict is Verdict.PASS


def _labels() -> Subject:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(1200, 4, generator=generator)
    body = nn.Linear(4, 3)
    with torch.no_grad():
        body.weight.copy_(4 * torch.eye(3, 4))
        body.bias.zero_()
    targets = torch.bernoulli(body(inputs).sigmoid().detach(), generator=generator)
    signature = Signature(inputs=ArrayInput(shape=(4,)), task=Task(kind="multilabel", classes=("p", "q", "r")))
    return make_subject(body, MultilabelHead(), signature, *divide(inputs, targets, train=600, validation=200))


class _EachStep(nn.Module):
    """Logits of each step from its own first feature."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([-5 * inputs[..., :1], 5 * inputs[..., :1]], dim=-1)


def _steps() -> Subject:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(300, 6, 2, generator=generator)
    targets = torch.bernoulli((10 * inputs[..., 0]).sigmoid(), generator=generator).long()
    targets[:, 5:] = -100
    signature = Signature(
        inputs=ArrayInput(shape=(6, 2), axes="steps,features"), task=Task(kind="sequence-labelling", classes=("n", "y"))
    )
    return make_subject(_EachStep(), ClassHead(), signature, *divide(inputs, targets, train=150, validation=50))


@pytest.mark.parametrize("subject", [_labels(), _steps()], ids=["labels", "steps"])
@pytest.mark.parametrize("question", QUESTIONS, ids=lambda one: one.card.id)
def test_labels_and_sequences_pass_too(question: object, subject: Subject) -> None:
    finding = check_question(question, subject)
    assert finding.verdict in (Verdict.PASS, Verdict.UNSURE), finding.claim


class _Halves(nn.Module):
    """Keeps the first three features and forgets the rest: an autoencoder of a kind."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return torch.cat([inputs[:, :3], torch.zeros_like(inputs[:, 3:])], dim=1)


def test_reconstruction_is_compared_with_principal_components() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(800, 6, generator=generator) * torch.tensor([3.0, 3.0, 3.0, 0.2, 0.2, 0.2])
    signature = Signature(inputs=ArrayInput(shape=(6,)), task=Task(kind="reconstruction"))
    parts = divide(inputs, torch.zeros(800, 0), train=400, validation=100)
    good = make_subject(_Halves(), Head(), signature, *parts)
    finding = _answer(Accuracy(), good)
    want = 1 - (good.part("test").inputs[:, 3:] ** 2).sum() / good.part("test").inputs.var(0, correction=0).sum() / 300
    assert finding.estimates["score"].value == pytest.approx(float(want), abs=1e-3)
    assert "PCA with" in finding.claim
    bad = with_body(good, nn.Linear(6, 6))
    assert _answer(Accuracy(), bad).verdict is Verdict.FAIL
    assert _answer(Overfitting(), good).verdict is Verdict.PASS
    assert _answer(Calibration(), good).verdict is Verdict.SKIPPED


class _Assign(Head):
    def answer(self, scores: torch.Tensor) -> torch.Tensor:
        return torch.stack([-scores[:, 0], scores[:, 0]], dim=1).softmax(1)


def test_clusters_are_compared_with_k_means() -> None:
    donor = best_classifier(n=600, classes=2, separation=8.0)
    signature = Signature(inputs=ArrayInput(shape=(5,)), task=Task(kind="clustering", clusters=2))
    body = donor.network.body
    subject = make_subject(body, _Assign(), signature, *(donor.part(name) for name in ("train", "validation", "test")))
    finding = _answer(Accuracy(), subject)
    assert finding.verdict is Verdict.PASS
    assert finding.estimates["agreement_with_labels"].value > 0.95
    blind = nn.Linear(5, 1)
    with torch.no_grad():
        blind.weight.copy_(torch.tensor([[0.0, 0.0, 1.0, 0.0, 0.0]]))
    assert _answer(Accuracy(), with_body(subject, blind)).verdict is Verdict.FAIL


class _Generator(nn.Module):
    def __init__(self, shift: float) -> None:
        super().__init__()
        self.shift = shift

    def generate(self, n: int, generator: torch.Generator) -> torch.Tensor:
        return self.shift + torch.randn(n, 4, generator=generator)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, :1]


def test_generated_samples_are_told_from_real_ones_or_not() -> None:
    inputs = torch.randn(800, 4, generator=torch.Generator().manual_seed(3))
    signature = Signature(inputs=ArrayInput(shape=(4,)), task=Task(kind="generation"))
    parts = divide(inputs, torch.zeros(800, 0), train=400, validation=100)
    assert _answer(Accuracy(), make_subject(_Generator(0.0), Head(), signature, *parts)).verdict is Verdict.PASS
    far = make_subject(_Generator(9.0), Head(), signature, *parts)
    assert _answer(Accuracy(), far).verdict is Verdict.FAIL
    assert _answer(Overfitting(), far).verdict is Verdict.SKIPPED
    assert _answer(Underfitting(), far).verdict is Verdict.SKIPPED


def test_answers_that_are_not_finite_are_skipped_with_the_reason() -> None:
    body = nn.Linear(5, 3)
    with torch.no_grad():
        body.weight.fill_(float("nan"))
    broken = with_body(HEALTHY, body)
    for question in QUESTIONS:
        finding = _answer(question, broken)
        assert finding.verdict is Verdict.SKIPPED
        assert "not finite" in finding.claim


# Overfitting and underfitting


def test_a_memory_overfits_and_a_constant_does_not() -> None:
    hard = best_classifier(n=1000, separation=1.0)
    finding = _answer(Overfitting(), memorised(hard))
    assert finding.verdict is Verdict.FAIL
    assert finding.where
    train, test = (memorised(hard).answers(part) for part in ("train", "test"))
    hits = [int((one.predicted == one.targets).sum()) for one in (train, test)]
    want = difference_of_proportions(hits[0], len(train.targets), hits[1], len(test.targets))
    got = finding.estimates["gap"]
    assert (got.value, got.low, got.high) == pytest.approx((want.value, want.low, want.high))
    assert finding.estimates["loss_gap"].low > 0
    assert _answer(Overfitting(), constant(VALUES)).verdict is Verdict.PASS


def test_a_constant_underfits_and_a_memory_does_not() -> None:
    assert _answer(Underfitting(), constant(HEALTHY)).verdict is Verdict.FAIL
    assert _answer(Underfitting(), constant(VALUES)).verdict is Verdict.FAIL
    assert _answer(Underfitting(), memorised(HEALTHY)).verdict is Verdict.PASS


def _history(rate: float, epochs: int = 24) -> tuple[list[float], list[float]]:
    validation = [2.0 * np.exp(-rate * k) for k in range(epochs)]
    return [2.0 * np.exp(-rate * k / 10) for k in range(10 * epochs)], validation


@pytest.mark.parametrize(
    ("rate", "stopped", "verdict"),
    [
        (0.5, StopReason.FINISHED, Verdict.PASS),
        (0.03, StopReason.FINISHED, Verdict.WARN),
        (0.03, StopReason.NO_IMPROVEMENT, Verdict.PASS),
        (0.03, StopReason.TIME_BUDGET, Verdict.WARN),
    ],
)
def test_a_loss_that_still_falls_underfits_unless_it_stopped_by_itself(
    rate: float, stopped: StopReason, verdict: Verdict
) -> None:
    finding = _answer(Underfitting(), with_history(HEALTHY, *_history(rate), stopped=stopped))
    assert finding.verdict is verdict
    assert ("still_falling" in finding.estimates) == (stopped is not StopReason.NO_IMPROVEMENT)


def test_still_falling_is_the_fall_of_a_straight_line() -> None:
    train = list(np.linspace(2.0, 1.0, 400))
    finding = _answer(Underfitting(), with_history(HEALTHY, train, [2.0, 1.5]))
    # A quarter of a line from 2 to 1 falls by 0.25, which is an eighth of its start.
    assert finding.estimates["still_falling"].value == pytest.approx(0.125, abs=1e-3)


# Calibration


def test_the_bias_of_the_error_is_that_of_brute_force() -> None:
    rng = np.random.default_rng(0)
    confidence = rng.beta(5, 2, 170)
    brute = [expected_calibration_error(confidence, rng.random(170) < confidence, bins=8) for _ in range(3000)]
    fast = simulated_errors(confidence, 8, 3000, np.random.default_rng(1))
    assert fast.mean() == pytest.approx(np.mean(brute), rel=0.03)
    assert np.quantile(fast, 0.95) == pytest.approx(np.quantile(brute, 0.95), rel=0.05)


@pytest.mark.parametrize("distance", [0.0, 0.02, 0.1])
def test_the_bias_is_inverted_near_perfection_and_far_from_it(distance: float) -> None:
    rng = np.random.default_rng(2)
    confidence = np.full(600, 0.8)
    seen = [expected_calibration_error(confidence, rng.random(600) < 0.8 - distance, bins=15) for _ in range(2000)]
    noise = np.full(15, np.sqrt(0.8 * 0.2 / 40))
    assert miscalibration_behind(float(np.mean(seen)), noise) == pytest.approx(distance, abs=0.006)


def _stubborn(confidence: float, accuracy: float, n: int = 16000) -> Subject:
    """Always says class 0 with one confidence, and is right as often as told: the error is their distance."""
    labels = (torch.rand(n, generator=torch.Generator().manual_seed(0)) >= accuracy).long()
    signature = Signature(inputs=ArrayInput(shape=(2,)), task=Task(kind="multiclass", classes=("a", "b", "c")))
    logits = torch.tensor([confidence, (1 - confidence) / 2, (1 - confidence) / 2]).log()

    class Body(nn.Module):
        def forward(self, inputs: torch.Tensor) -> torch.Tensor:
            return logits.expand(len(inputs), -1)

    parts = divide(
        torch.randn(n, 2, generator=torch.Generator().manual_seed(1)), labels, train=n // 4, validation=n // 4
    )
    return make_subject(Body(), ClassHead(), signature, *parts)


@pytest.mark.parametrize(
    ("confidence", "accuracy", "verdict"),
    [(0.9, 0.9, Verdict.PASS), (0.9, 0.8, Verdict.WARN), (0.9, 0.7, Verdict.FAIL), (0.6, 0.85, Verdict.FAIL)],
)
def test_the_excess_is_the_distance_of_confidence_and_accuracy(
    confidence: float, accuracy: float, verdict: Verdict
) -> None:
    finding = _answer(Calibration(), _stubborn(confidence, accuracy))
    assert finding.verdict is verdict
    assert finding.estimates["excess_error"].value == pytest.approx(abs(confidence - accuracy), abs=0.025)
    assert finding.estimates["overconfidence"].value == pytest.approx(confidence - accuracy, abs=0.025)


def test_the_temperature_that_was_planted_is_found() -> None:
    finding = _answer(Calibration(), best_classifier(n=4000, separation=1.5, sharpness=3.0))
    assert finding.verdict is Verdict.WARN
    assert finding.estimates["best_temperature"].value == pytest.approx(3.0, rel=0.15)
    assert "temperature of" in finding.claim
    assert finding.estimates["consistency_p"].value < 0.002


def test_bold_and_biased_values_fail() -> None:
    body = nn.Linear(5, 1)
    with torch.no_grad():
        body.weight.copy_(3 * VALUES.network.body.weight)
        body.bias.fill_(1.0)
    finding = _answer(Calibration(), with_body(VALUES, body))
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["slope"].value == pytest.approx(1 / 3, abs=0.02)
    assert finding.estimates["bias"].value == pytest.approx(1.0, abs=0.25)
    assert "too bold" in finding.claim
    assert _answer(Calibration(), constant(VALUES)).verdict is Verdict.SKIPPED


def test_fits_of_simple_methods_leave_the_number_of_threads_alone() -> None:
    from threadpoolctl import threadpool_info

    before = [one["num_threads"] for one in threadpool_info()], torch.get_num_threads()
    baselines(best_classifier(seed=9, n=200))
    assert ([one["num_threads"] for one in threadpool_info()], torch.get_num_threads()) == before
