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
from equipoise.examine.change import area_weights, credit, score_of
from equipoise.examine.noise.input_noise import InputNoise
from equipoise.examine.raw_scale import spread, within_range
from equipoise.networks.heads import ClassHead
from equipoise.stats import metrics
from equipoise.testing import best_classifier, best_regressor, check_question, constant, divide, make_subject


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
