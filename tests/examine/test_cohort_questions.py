"""Questions that train the plan again, on subjects whose truth is planted."""

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from equipoise.core.estimate import Verdict
from equipoise.core.finding import Finding
from equipoise.core.network_plan import DenseNetwork
from equipoise.core.recipe import Recipe
from equipoise.core.signature import ArrayInput, Signature, Task
from equipoise.examine.ask import ask
from equipoise.examine.data.data_shortage import DataShortage
from equipoise.examine.data.label_noise import LabelNoise
from equipoise.examine.generalisation.bias_variance import BiasVariance
from equipoise.examine.generalisation.sample_efficiency import SampleEfficiency
from equipoise.examine.question import Question
from equipoise.examine.retraining import ON_REQUEST_S
from equipoise.examine.stability.numeric_stability import NumericStability
from equipoise.examine.stability.seed_stability import SeedStability
from equipoise.examine.subject import Subject
from equipoise.networks.heads import ClassHead
from equipoise.stats.metrics import r_squared
from equipoise.testing import (
    best_classifier,
    best_regressor,
    check_question,
    divide,
    make_subject,
    trained,
    with_body,
    with_history,
)

CLASSES = best_classifier(n=800, separation=3.0)
HEALTHY = trained(CLASSES)
VALUES = trained(best_regressor(n=800, noise=0.3))
RETRAINING: tuple[Question, ...] = (
    SeedStability(most=4),
    BiasVariance(most=4),
    DataShortage(),
    SampleEfficiency(),
    LabelNoise(),
)
OVERFIT = Recipe(learning_rate=1e-2, epochs=60, keep="last")


def made(inputs: Tensor, labels: Tensor, classes: int, train: int) -> Subject:
    """Return labelled samples as a subject that waits for a network."""
    task = Task(kind="multiclass", classes=tuple(f"class {k}" for k in range(classes)))
    signature = Signature(inputs=ArrayInput(shape=tuple(inputs.shape[1:])), task=task)
    parts = divide(inputs, labels, train=train, validation=(len(inputs) - train) // 3)
    return make_subject(nn.Identity(), ClassHead(), signature, *parts)


def noise(n: int = 360) -> Subject:
    """Return samples whose labels have nothing to do with their inputs."""
    generator = torch.Generator().manual_seed(0)
    inputs, labels = torch.randn(n, 8, generator=generator), torch.randint(0, 3, (n,), generator=generator)
    return made(inputs, labels, 3, n // 2)


def many_numbers(n: int) -> Subject:
    """Return a linear function of 60 numbers, which so many samples cannot pin down."""
    return best_regressor(n=n, features=60, noise=0.3)


def flipped(share: float) -> tuple[Subject, np.ndarray]:
    """Return the healthy data with a share of the training labels moved to the next class, and which those are."""
    train = CLASSES.part("train")
    wrong = np.random.default_rng(0).random(len(train)) < share
    labels = torch.where(torch.from_numpy(wrong), (train.targets + 1) % 3, train.targets)
    splits = dataclasses.replace(CLASSES.splits, train=dataclasses.replace(train, targets=labels))
    return dataclasses.replace(CLASSES, splits=splits, _cache={}, _made={}), wrong


def answered(question: Question, subject: Subject) -> Finding:
    finding = ask(question, subject)
    assert finding.verdict is not Verdict.ERROR, (finding.claim, finding.where)
    return finding


@pytest.mark.parametrize("question", [*RETRAINING, NumericStability()], ids=lambda one: one.card.id)
def test_a_healthy_classifier_passes_by_the_rules(question: Question) -> None:
    # The learning curve of sample-efficiency is that of data-shortage, trained once for both.
    check = answered if isinstance(question, SampleEfficiency) else check_question
    finding = check(question, HEALTHY)
    assert finding.verdict is Verdict.PASS, finding.claim
    assert finding.treatments == ()


@pytest.mark.parametrize("question", [RETRAINING[0], RETRAINING[1], NumericStability()], ids=lambda one: one.card.id)
def test_a_healthy_regressor_passes(question: Question) -> None:
    assert answered(question, VALUES).verdict is Verdict.PASS


@pytest.mark.parametrize("question", RETRAINING, ids=lambda one: one.card.id)
def test_what_cannot_be_trained_again_is_skipped_at_no_cost(question: Question) -> None:
    for subject in (CLASSES, with_history(CLASSES, [1.0] * 8, [1.0] * 4)):
        assert question.cost_s(subject) == 0
        finding = ask(question, subject)
        assert finding.verdict is Verdict.SKIPPED, finding.claim


@pytest.mark.parametrize("question", RETRAINING[:3], ids=lambda one: one.card.id)
def test_no_default_examination_trains_again(question: Question) -> None:
    assert question.cost_s(trained(CLASSES, recipe=Recipe(epochs=1))) >= ON_REQUEST_S > 45


def test_networks_that_learned_noise_by_heart_disagree() -> None:
    sick = trained(noise(), network=DenseNetwork(hidden=(64,)), recipe=OVERFIT)
    finding = answered(SeedStability(most=4), sick)
    assert finding.verdict in (Verdict.WARN, Verdict.FAIL), finding.claim
    assert finding.estimates["churn"].n == 4
    assert finding.worst_samples[0].caption.startswith("is class ")
    assert "deep-ensemble" in finding.treatments


def test_few_samples_of_many_numbers_vary() -> None:
    data = best_regressor(n=80, features=30, noise=0.5)
    finding = answered(BiasVariance(most=5), trained(data, network=DenseNetwork(hidden=(64,)), recipe=OVERFIT))
    assert finding.verdict in (Verdict.WARN, Verdict.FAIL), finding.claim
    parts = finding.estimates
    assert parts["error"].value == pytest.approx(parts["bias"].value + parts["variance"].value)


def test_too_small_a_network_is_wrong_on_average() -> None:
    stiff = trained(
        best_regressor(n=600, noise=0.3), network=DenseNetwork(hidden=(1,), activation="sigmoid", dropout=0.0)
    )
    finding = answered(BiasVariance(most=4), stiff)
    assert finding.estimates["bias"].value > 3 * finding.estimates["variance"].value


def test_planted_flips_are_counted_and_found() -> None:
    subject, wrong = flipped(0.2)
    finding = answered(LabelNoise(), trained(subject))
    noise_share = finding.estimates["noise"]
    assert finding.verdict is Verdict.FAIL
    assert noise_share.low <= wrong.mean() <= noise_share.high
    rows = [int(tile.caption.split()[2]) for tile in finding.worst_samples]
    assert wrong[rows].mean() >= 0.9
    assert finding.where[0].split(" (")[0] in {f"class {(k + 1) % 3} that should be class {k}" for k in range(3)}


def test_a_function_of_many_numbers_starves_and_the_forecast_holds_on_twice_the_data() -> None:
    recipe = Recipe(learning_rate=1e-2, epochs=30)
    sick = trained(many_numbers(400), recipe=recipe)
    shortage = answered(DataShortage(), sick)
    assert shortage.verdict in (Verdict.WARN, Verdict.FAIL), shortage.claim
    assert shortage.figures[0].log_x
    efficiency = answered(SampleEfficiency(), sick)
    assert efficiency.verdict is Verdict.WARN, efficiency.claim
    assert efficiency.estimates["share_needed"].low > 0.5
    twice = [trained(many_numbers(800), recipe=recipe.replace(epochs=15), seed=seed) for seed in range(3)]
    scores = [r_squared(one.answers("test").targets, one.answers("test").answer) for one in twice]
    forecast = shortage.estimates["score_with_twice"]
    assert forecast.low <= np.mean(scores) <= forecast.high


def test_a_curve_needs_samples_to_leave_out() -> None:
    finding = answered(DataShortage(), trained(best_classifier(n=60)))
    assert finding.verdict is Verdict.SKIPPED
    assert "too few" in finding.claim


class _Cancelling(nn.Module):
    """Adds a large number and takes it away again, so that single precision keeps a handful of steps."""

    def __init__(self, body: nn.Module, size: float) -> None:
        super().__init__()
        self.body, self.size = body, size

    def forward(self, inputs: Tensor) -> Tensor:
        scores: Tensor = self.body(inputs)
        return (scores + self.size) - self.size


class _Scaled(nn.Module):
    """Multiplies by a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs * self.factor


@pytest.mark.parametrize(("size", "verdict"), [(1e-3, Verdict.PASS), (1e8, Verdict.FAIL)])
def test_digits_that_cancel_are_seen(size: float, verdict: Verdict) -> None:
    finding = answered(NumericStability(), with_body(CLASSES, _Cancelling(CLASSES.network.body, size)))
    assert finding.verdict is verdict, finding.claim


def test_half_precision_alone_is_told_apart() -> None:
    # Half precision has 8 bits: next to 5,000 it knows steps of 32.
    first = nn.Linear(5, 5)
    with torch.no_grad():
        first.weight.copy_(torch.eye(5))
        first.bias.fill_(5000.0)
    last = nn.Linear(5, 3)
    with torch.no_grad():
        last.weight.copy_(CLASSES.network.body.weight)
        last.bias.copy_(CLASSES.network.body.bias - 5000 * CLASSES.network.body.weight.sum(1))
    finding = answered(NumericStability(), with_body(CLASSES, nn.Sequential(first, last)))
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["float32_error"].high < 0.001 < finding.estimates["bfloat16_error"].low


def test_overflow_in_single_precision_fails() -> None:
    huge = nn.Sequential(_Scaled(1e30), _Scaled(1e30), _Scaled(1e-30), _Scaled(1e-30), CLASSES.network.body)
    finding = answered(NumericStability(), with_body(CLASSES, huge))
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["float32_error"].value == 1
