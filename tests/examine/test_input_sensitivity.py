"""Sensitivity: margins, distances and Jacobians of linear networks are known."""

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import Tensor, nn

from equipoise.core.estimate import Verdict
from equipoise.core.signature import ArrayInput, Signature, Task, TextInput
from equipoise.examine.ask import ask
from equipoise.examine.feature_view import feature_spread, feature_view
from equipoise.examine.stability.input_sensitivity import (
    InputSensitivity,
    jacobian_norms,
    margins,
    margins_and_norms,
)
from equipoise.networks.heads import ClassHead
from equipoise.testing import Part, best_classifier, best_regressor, check_question, divide, make_subject, with_body


def test_a_healthy_classifier_and_regressor_pass():
    assert check_question(InputSensitivity(), best_classifier(n=1200)).verdict is Verdict.PASS
    assert check_question(InputSensitivity(), best_regressor(n=1200)).verdict is Verdict.PASS


@pytest.mark.parametrize("classes", [2, 4])
def test_distances_of_a_linear_classifier_are_exact(classes):
    subject = best_classifier(n=300, classes=classes)
    view, inputs = feature_view(subject), subject.part("test").inputs
    scale = torch.tensor([1.0, 2.0, 0.5, 0.0, 3.0])
    ahead, norms = margins_and_norms(view, inputs, scale)
    weight, bias = subject.network.body.weight.detach(), subject.network.body.bias.detach()
    if classes == 2:
        weight, bias = torch.cat([0 * weight, weight]), torch.cat([0 * bias, bias])
    logits = inputs @ weight.T + bias
    first, second = logits.topk(2, dim=1).indices.unbind(1)
    np.testing.assert_allclose(
        ahead, (logits.gather(1, first[:, None]) - logits.gather(1, second[:, None])).squeeze(1), rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(norms, ((weight[first] - weight[second]) * scale).norm(dim=1), rtol=1e-5)


def test_the_share_of_changed_predictions_is_that_of_the_closed_form():
    subject = best_classifier(n=8000, classes=2, separation=0.6)
    finding = ask(InputSensitivity(push=0.5, samples=2000), subject)
    view = feature_view(subject)
    inputs = subject.part("test").inputs
    scale = feature_spread(subject.part("train").inputs)
    ahead, norms = margins_and_norms(view, inputs, scale)
    expected = norm.cdf(-ahead / (0.5 * norms)).mean()
    share = finding.estimates["changed_share"]
    assert share.low - 0.01 <= expected <= share.high + 0.01


def test_the_jacobian_of_a_linear_regressor_is_its_weights():
    subject = best_regressor(n=300)
    scale = torch.tensor([1.0, 2.0, 0.5, 1.0, 3.0])
    norms = jacobian_norms(feature_view(subject), subject.part("test").inputs, scale)
    np.testing.assert_allclose(norms, float((subject.network.body.weight.detach() * scale).norm()), rtol=1e-5)


class _Ripples(nn.Module):
    """Class changes many times within a standard deviation."""

    def forward(self, inputs: Tensor) -> Tensor:
        waves = torch.sin(200.0 * inputs.sum(1))
        return torch.stack([waves, -waves, -1.0 + 0 * waves], 1)


def test_a_network_of_ripples_fails():
    finding = ask(InputSensitivity(), with_body(best_classifier(n=800), _Ripples()))
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["changed_share"].low > 0.25
    assert finding.estimates["boundary_distance"].high < 0.02
    assert len(finding.worst_samples) == 6


def test_a_steep_regressor_fails():
    subject = best_regressor(n=800)
    finding = ask(InputSensitivity(), with_body(subject, _Waves()))
    assert finding.verdict is Verdict.FAIL


class _Waves(nn.Module):
    def forward(self, inputs: Tensor) -> Tensor:
        return torch.sin(100.0 * inputs[:, :1])


def test_margins_of_labels_and_steps():
    labels = torch.tensor([[2.0, -0.5], [-3.0, 4.0]])
    assert margins(Task(kind="multilabel", classes=("a", "b")), labels).tolist() == [0.5, 3.0]
    steps = torch.zeros(1, 4, 3)
    steps[0, :, 0] = torch.tensor([1.0, 5.0, 3.0, 0.1])
    kept = torch.tensor([[True, True, True, False]])
    assert margins(Task(kind="sequence-labelling", classes=("a", "b", "c")), steps, kept).tolist() == [3.0]


class _Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(12, 4)
        self.readout = nn.Linear(4, 3)

    def forward(self, ids: Tensor) -> Tensor:
        return self.readout(self.table(ids).mean(1))


def test_token_ids_are_differentiated_at_their_vectors():
    ids = torch.randint(2, 12, (200, 5), generator=torch.Generator().manual_seed(0))
    signature = Signature(
        inputs=TextInput(length=5, vocabulary=12, tokenizer=""), task=Task(kind="multiclass", classes=("a", "b", "c"))
    )
    parts = divide(ids, torch.zeros(200, dtype=torch.int64), train=100, validation=50)
    subject = make_subject(_Words(), ClassHead(), signature, *parts)
    view = feature_view(subject)
    vectors = view.features(parts[2].inputs)
    assert vectors.shape == (50, 5, 4)
    torch.testing.assert_close(view.scores(vectors, parts[2].inputs), subject.network.scores(parts[2].inputs))
    ahead, norms = margins_and_norms(view, parts[2].inputs, torch.tensor(1.0))
    weight = subject.network.body.readout.weight.detach()
    logits = subject.network(parts[2].inputs).detach()
    first, second = logits.topk(2, dim=1).indices.unbind(1)
    # Each of five vectors enters with weight 1/5, so the norm is |w_a - w_b| / sqrt(5).
    np.testing.assert_allclose(norms, (weight[first] - weight[second]).norm(dim=1) / 5**0.5, rtol=1e-4)
    assert (ahead >= 0).all()


def test_tasks_without_a_decision_cannot_be_asked():
    inputs = torch.randn(60, 4)
    signature = Signature(inputs=ArrayInput(shape=(4,)), task=Task(kind="reconstruction"))
    part = Part(inputs, torch.empty(60, 0))
    subject = make_subject(nn.Identity(), ClassHead(), signature, part, part, part)
    assert ask(InputSensitivity(), subject).verdict is Verdict.SKIPPED


class _NotANumber(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.full((len(inputs), self.outputs), torch.nan) + 0 * inputs.sum()


@pytest.mark.parametrize(("subject", "outputs"), [(best_classifier(n=200), 3), (best_regressor(n=200), 1)])
def test_answers_that_are_no_numbers_are_a_reason_and_no_error(subject, outputs):
    finding = ask(InputSensitivity(), with_body(subject, _NotANumber(outputs)))
    assert finding.verdict is Verdict.SKIPPED
    assert "answers are not finite for" in finding.claim
