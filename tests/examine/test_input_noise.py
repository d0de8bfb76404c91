"""Noise: against the accuracy of a linear classifier under Gaussian noise, which is known."""

import math

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from equipoise.core.estimate import Verdict
from equipoise.core.signature import ArrayInput, Column, ImageInput, Signature, SoundInput, TableInput, Task, TextInput
from equipoise.examine.ask import ask
from equipoise.examine.change import Yardstick, area_weights, credit, need_skill, score_of, trivial_credits
from equipoise.examine.noise.corruption import Corruption
from equipoise.examine.noise.input_noise import InputNoise
from equipoise.examine.question import InapplicableError
from equipoise.examine.raw_scale import spread, within_range
from equipoise.networks.heads import ClassHead
from equipoise.stats import metrics
from equipoise.testing import Part, best_classifier, best_regressor, check_question, constant, divide, make_subject


def test_a_healthy_classifier_passes_and_the_question_keeps_the_rules():
    finding = check_question(InputNoise(), best_classifier(n=1200))
    assert finding.verdict is Verdict.PASS


def test_accuracy_under_noise_is_that_of_the_closed_form():
    subject = best_classifier(n=6000, classes=2, features=2, separation=1.5)
    finding = ask(InputNoise(samples=4000), subject)
    sigma = subject.part("train").inputs.std(0).numpy()
    weights = subject.network.body.weight.detach().numpy()[0]
    for level in (0.2, 0.5, 1.0):
        # Two unit Gaussians 1.5 from the origin on two axes; noise adds (level * sigma)^2 along the decision's normal.
        reach = 1.5 / math.sqrt(2)
        deviation = math.sqrt(1 + (level * sigma * weights) @ (level * sigma * weights) / (weights @ weights))
        estimate = finding.estimates[f"score_at_{level:g}"]
        assert estimate.value == pytest.approx(norm.cdf(reach / deviation), abs=0.025)


class _Hash(nn.Module):
    """Right on clean inputs, and at the mercy of their third decimal."""

    def forward(self, inputs: Tensor) -> Tensor:
        return 8.0 * nn.functional.one_hot(_hashed(inputs), 10).float()


def _hashed(inputs: Tensor) -> Tensor:
    return (inputs.sum(1) * 1000).round().long() % 10


def _fragile():
    inputs = torch.randn(900, 3, generator=torch.Generator().manual_seed(0))
    task = Task(kind="multiclass", classes=tuple("0123456789"))
    parts = divide(inputs, _hashed(inputs), train=300, validation=200)
    return make_subject(_Hash(), ClassHead(), Signature(inputs=ArrayInput(shape=(3,)), task=task), *parts)


def test_a_network_that_hangs_on_the_last_decimals_fails():
    finding = ask(InputNoise(), _fragile())
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["score_at_0"].value == 1.0
    assert finding.estimates["score_at_0.5"].value == pytest.approx(0.1, abs=0.06)
    assert finding.worst_samples


def test_even_the_best_regressor_loses_what_noise_costs_and_passes():
    finding = ask(InputNoise(), best_regressor(n=4000, noise=0.1))
    assert finding.verdict is Verdict.PASS
    # Noise of level s adds s^2 of the function's variance: the mean of 1 - s^2 over 0..0.5 is 0.917.
    assert finding.estimates["score_kept"].value == pytest.approx(0.917, abs=0.04)


def test_a_network_that_knows_nothing_has_nothing_to_lose():
    finding = ask(InputNoise(), constant(best_regressor(n=400)))
    assert finding.verdict is Verdict.SKIPPED
    assert "nothing that a change could take away" in finding.claim


def test_token_ids_have_no_noise():
    spec = TextInput(length=4, vocabulary=9, tokenizer="")
    finding = ask(InputNoise(), best_classifier(n=40, spec=spec))
    assert finding.verdict is Verdict.SKIPPED


def test_deviations_know_tables_images_sounds_and_sequences():
    table = TableInput(columns=(Column(name="a", kind="numeric"), Column(name="b", kind="category", categories=("x",))))
    values = torch.tensor([[1.0, 0.0], [3.0, 0.0], [float("nan"), 1.0]])
    assert spread(values, table).tolist() == [1.0, 0.0]
    image = torch.randn(50, 2, 3, 4) * torch.tensor([1.0, 5.0])[:, None, None]
    expected = image.double().numpy().std((0, 2, 3))
    found = spread(image, ImageInput(channels=2, height=3, width=4))
    assert found.shape == (2, 1, 1)
    np.testing.assert_allclose(found.flatten().numpy(), expected, rtol=1e-5)
    sound = torch.randn(20, 30)
    assert float(spread(sound, SoundInput(sample_rate=8, samples=30))) == pytest.approx(float(sound.std()), rel=1e-2)
    steps = torch.randn(20, 6, 3) * torch.tensor([1.0, 2.0, 0.0])
    assert spread(steps, ArrayInput(shape=(6, 3), axes="steps,features")).shape == (3,)
    assert float(within_range(torch.tensor([3.0]), SoundInput(sample_rate=8, samples=1))) == 1.0


@pytest.mark.parametrize(
    "kind", ["binary", "multiclass", "multilabel", "regression", "sequence-labelling", "reconstruction"]
)
def test_credits_add_up_to_the_score_of_the_task(kind):
    rng = np.random.default_rng(0)
    answer = rng.random((60, 3)).astype(np.float32)
    task = Task(kind=kind, classes=("a", "b", "c"))
    truth = {
        "multilabel": (rng.random((60, 3)) > 0.5).astype(np.float32),
        "regression": answer + rng.normal(0, 0.3, (60, 3)).astype(np.float32),
        "reconstruction": answer + rng.normal(0, 0.3, (60, 3)).astype(np.float32),
        "sequence-labelling": rng.integers(0, 3, (60, 4)),
    }.get(kind, rng.integers(0, 3, 60))
    if kind == "sequence-labelling":
        answer = rng.random((60, 4, 3))
        truth[:20, 2:] = -100
    parts = credit(task, truth, answer)
    assert score_of(parts.gained, parts.possible) == pytest.approx(metrics.score(task, truth, answer), rel=1e-6)


def test_area_weights_integrate_a_straight_line():
    levels = (0.0, 0.1, 0.4, 1.0)
    weights = area_weights(levels)
    assert weights.sum() == pytest.approx(1.0)
    assert weights @ np.asarray(levels) == pytest.approx(0.5)


def test_deviations_of_huge_values_are_finite():
    values = torch.randn(200, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([1.0, 1e27])
    values[0, 0] = float("inf")
    table = TableInput(columns=(Column(name="a", kind="numeric"), Column(name="b", kind="numeric")))
    expected = [values[1:, 0].double().std(correction=0), values[:, 1].double().std(correction=0)]
    torch.testing.assert_close(spread(values, table).double(), torch.stack(expected), rtol=1e-5, atol=0)


class _Brittle(nn.Module):
    """Right, but no number as soon as an input is no multiple of 1/8."""

    def forward(self, inputs: Tensor) -> Tensor:
        off = (inputs * 8 != (inputs * 8).round()).any(1, keepdim=True)
        return torch.where(off, torch.nan, torch.cat([inputs[:, :1], -inputs[:, :1]], 1))


def test_answers_that_noise_makes_no_numbers_are_a_reason_and_not_a_score_of_0():
    inputs = (torch.randn(400, 3, generator=torch.Generator().manual_seed(0)) * 8).round() / 8
    signature = Signature(inputs=ArrayInput(shape=(3,)), task=Task(kind="multiclass", classes=("a", "b")))
    parts = divide(inputs, (inputs[:, 0] < 0).long(), train=150, validation=50)
    finding = ask(InputNoise(), make_subject(_Brittle(), ClassHead(), signature, *parts))
    assert finding.verdict is Verdict.SKIPPED
    assert "under noise of 0.1 standard deviations the answers to 600 of 600 inputs are not finite" in finding.claim


@pytest.mark.parametrize("question", [InputNoise(), Corruption()], ids=lambda one: one.card.id)
def test_a_network_at_chance_has_no_skill_to_lose(question):
    train, validation, test = (best_classifier(n=800, classes=2).part(name) for name in ("train", "validation", "test"))
    labels = torch.randint(0, 2, (len(test),), generator=torch.Generator().manual_seed(1))
    subject = best_classifier(n=800, classes=2)
    chance = make_subject(
        subject.network.body, ClassHead(), subject.splits.signature, train, validation, Part(test.inputs, labels)
    )
    finding = ask(question, chance)
    assert finding.verdict is Verdict.SKIPPED
    assert "no skill to lose" in finding.claim


def test_skill_is_what_exceeds_the_best_single_answer():
    rng = np.random.default_rng(0)
    classes = Task(kind="multiclass", classes=("a", "b"))
    truth = (rng.random(300) < 0.1).astype(np.int64)
    against = Yardstick(classes, "accuracy", truth)
    # Nine of ten are of one class: always saying so is right 90 % of the time, and no skill.
    always = credit(classes, truth, np.tile([1.0, 0.0], (300, 1)))
    assert score_of(trivial_credits(against).gained, always.possible) == score_of(always.gained, always.possible)
    with pytest.raises(InapplicableError, match="no skill to lose"):
        need_skill(always, against)
    need_skill(credit(classes, truth, np.eye(2)[truth]), against)
    with pytest.raises(InapplicableError, match="300 of 300 unchanged inputs are not finite"):
        need_skill(credit(classes, truth, np.full((300, 2), np.nan)), against)
    labels = Task(kind="multilabel", classes=("a", "b", "c"))
    marks = (rng.random((300, 3)) < [0.8, 0.5, 0.1]).astype(np.float64)
    best = max(
        metrics.score(labels, marks, np.tile(call, (300, 1)).astype(float)) for call in np.ndindex(2, 2, 2) if any(call)
    )
    trivial = trivial_credits(Yardstick(labels, "micro F1", marks))
    assert score_of(trivial.gained, trivial.possible) == pytest.approx(best)
    with pytest.raises(InapplicableError, match="no skill to lose"):
        need_skill(credit(labels, marks, rng.permutation(marks)), Yardstick(labels, "micro F1", marks))
