"""Explanations: on linear networks every method's answer is known, and planted liars must be found out."""

import copy

import numpy as np
import pytest
import tokenizers
import torch
from scipy.stats import spearmanr
from tokenizers.models import WordLevel
from torch import Tensor, nn

from equipoise.core.estimate import Verdict
from equipoise.core.signature import ArrayInput, ImageInput, Signature, Task, TextInput
from equipoise.examine.ask import ask
from equipoise.examine.explanation.attribution import attribute, methods_for
from equipoise.examine.explanation.deletion import course
from equipoise.examine.explanation.explained import Explained, players_of, sheet_of
from equipoise.examine.explanation.explanation_faithful import ExplanationFaithful
from equipoise.examine.explanation.randomise import cascade, rank_correlations
from equipoise.networks.heads import BinaryHead, ClassHead
from equipoise.testing import best_classifier, best_regressor, check_question, constant, divide, make_subject, with_body


def _sheet(subject):
    test, train = subject.part("test"), subject.part("train")
    return sheet_of(subject, subject.network, test.inputs[:40], None, train.inputs)


def test_healthy_networks_pass():
    for subject in (best_classifier(n=1200, features=12, classes=4), best_regressor(n=1200, features=10, noise=0.1)):
        finding = check_question(ExplanationFaithful(), subject)
        assert finding.verdict is Verdict.PASS, finding.claim
        assert "believed: integrated gradients" in finding.where


def test_a_network_that_ignores_its_inputs_fails():
    finding = ask(ExplanationFaithful(), constant(best_classifier(n=600, features=8)))
    assert finding.verdict is Verdict.FAIL
    assert finding.estimates["lead_over_random"].value == pytest.approx(0.0, abs=1e-9)
    assert not any(one.startswith("believed") for one in finding.where)


def test_every_method_is_exact_on_a_linear_network():
    subject = best_classifier(n=400, classes=2, features=6)
    sheet = _sheet(subject)
    said = attribute(subject.network, sheet, methods_for(subject.network, sheet))
    assert not said.refused
    weight = subject.network.body.weight.detach().double()[0]
    sign = 2.0 * sheet.decided[:, None].double() - 1.0
    contribution = sign * weight * (sheet.features - sheet.baseline).double()
    for name in ("integrated gradients", "DeepLift", "occlusion"):
        torch.testing.assert_close(said.by_method[name], contribution, atol=1e-4, rtol=1e-4, msg=name)
    torch.testing.assert_close(
        said.by_method["input x gradient"], sign * weight * sheet.features.double(), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(said.by_method["saliency"], weight.abs().expand(40, -1), atol=1e-4, rtol=1e-4)


class _Steps(nn.Module):
    """The signs of the inputs decide: gradients are 0 almost everywhere."""

    def __init__(self) -> None:
        super().__init__()
        self.readout = nn.Linear(8, 3)
        with torch.no_grad():
            self.readout.weight.copy_(torch.randn(3, 8, generator=torch.Generator().manual_seed(3)))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.readout(torch.sign(inputs))


def test_gradients_of_a_network_of_steps_are_not_believed_and_occlusion_is():
    finding = ask(ExplanationFaithful(), with_body(best_classifier(n=800, features=8), _Steps()))
    believed = {one.removeprefix("believed: ") for one in finding.where}
    assert "occlusion" in believed
    assert "saliency" not in believed
    assert "occlusion leads" in finding.claim


class _Spot(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 4, 3, padding=1)
        self.readout = nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        return self.readout(torch.relu(self.second(torch.relu(self.first(images)))).mean((2, 3)))


def _images():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(300, 1, 8, 8, generator=generator)
    task = Task(kind="multiclass", classes=("a", "b"))
    signature = Signature(inputs=ImageInput(channels=1, height=8, width=8, high=1.0), task=task)
    labels = torch.randint(2, (300,), generator=generator)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        body = _Spot()
    return make_subject(body, ClassHead(), signature, *divide(images, labels, train=150, validation=50))


def test_images_get_pixel_maps_and_grad_cam():
    subject = _images()
    finding = check_question(ExplanationFaithful(samples=32), subject)
    gallery = finding.figures[0]
    assert gallery.kind == "gallery"
    assert all(tile.picture and tile.overlay for tile in gallery.tiles)
    assert "correlation_of_Grad-CAM" in finding.estimates


class _Words(nn.Module):
    """The vector of word 5 decides."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(8, 3, padding_idx=0)
        self.readout = nn.Linear(3, 1)
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            self.table.weight.copy_(0.2 * torch.randn(8, 3, generator=generator))
            self.table.weight[5] = torch.tensor([3.0, -3.0, 3.0])
            self.table.weight[0] = 0.0
            self.readout.weight.copy_(torch.tensor([[2.0, -2.0, 2.0]]))
            self.readout.bias.fill_(-3.0)

    def forward(self, ids: Tensor) -> Tensor:
        return self.readout(self.table(ids).sum(1) / 2)


def test_words_are_explained_at_their_vectors_and_padding_never():
    words = ["[PAD]", "[UNK]", "two", "three", "four", "five", "six", "seven"]
    tokenizer = tokenizers.Tokenizer(WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    ids = torch.randint(2, 8, (300, 6), generator=torch.Generator().manual_seed(0))
    ids[:, 4:] = 0
    labels = (ids == 5).any(1).long()
    spec = TextInput(length=6, vocabulary=8, tokenizer=tokenizer.to_str())
    signature = Signature(inputs=spec, task=Task(kind="binary", classes=("no", "yes")))
    subject = make_subject(_Words(), BinaryHead(), signature, *divide(ids, labels, train=100, validation=50))
    sheet = _sheet(subject)
    network = copy.deepcopy(subject.network)
    said = attribute(network, sheet, methods_for(network, sheet)).by_method
    assert set(said) == {"occlusion", "input x gradient", "integrated gradients"}
    with_five = (sheet.features == 5).any(1) & (sheet.decided == 1)
    for name, one in said.items():
        first = sheet.features[with_five].gather(1, one[with_five].argmax(1, keepdim=True))
        assert (first == 5).all(), name
        assert (one[:, 4:] == 0).all(), name
    finding = ask(ExplanationFaithful(), subject)
    assert finding.verdict in (Verdict.PASS, Verdict.WARN), finding.claim
    assert any("embedding" in one for one in finding.assumptions)
    assert finding.figures[0].tiles[0].weights


def test_curves_begin_and_end_where_they_must():
    subject = best_classifier(n=400, features=6)
    sheet = _sheet(subject)
    found = course(subject.network, sheet, torch.rand(40, 6))
    probability = subject.network.answer(sheet.features).detach().gather(1, sheet.decided[:, None]).squeeze(1)
    nothing = subject.network.answer(sheet.baseline).detach().gather(1, sheet.decided[:, None]).squeeze(1)
    for start, end, curve in ((probability, nothing, found.deletion), (nothing, probability, found.insertion)):
        np.testing.assert_allclose(curve[:, 0], start, atol=1e-5)
        np.testing.assert_allclose(curve[:, -1], end, atol=1e-5)


def test_the_best_ranking_of_a_linear_network_beats_all_others():
    subject = best_classifier(n=400, classes=2, features=5)
    sheet = _sheet(subject)
    weight = subject.network.body.weight.detach()[0]
    exact = (2.0 * sheet.decided[:, None] - 1.0) * weight * (sheet.features - sheet.baseline)
    best = course(subject.network, sheet, exact).faithfulness
    for seed in range(10):
        other = torch.rand(exact.shape, generator=torch.Generator().manual_seed(seed))
        assert (best >= course(subject.network, sheet, other).faithfulness - 1e-6).all()


def test_confidence_is_the_log_odds_of_what_was_decided():
    subject = best_classifier(n=100, features=6, classes=4)
    explained, inputs = Explained(subject.network), subject.part("test").inputs
    decided = explained.decide(inputs)
    probability = subject.network.answer(inputs).gather(1, decided[:, None]).squeeze(1)
    torch.testing.assert_close(explained(inputs, decided).sigmoid(), probability)


def test_rank_correlations_are_spearmans():
    generator = torch.Generator().manual_seed(0)
    one, other = torch.randn(5, 9, generator=generator), torch.randn(5, 9, generator=generator)
    other[0, :4] = 0.0
    expected = [spearmanr(a, b).statistic for a, b in zip(one.numpy(), other.numpy(), strict=True)]
    np.testing.assert_allclose(rank_correlations(one, other), expected)
    assert rank_correlations(torch.zeros(1, 4), torch.zeros(1, 4)).tolist() == [1.0]
    assert rank_correlations(torch.zeros(1, 4), torch.arange(4.0)[None]).tolist() == [0.0]


def test_the_cascade_goes_from_the_last_layer_and_leaves_the_network_alone():
    subject = with_body(best_classifier(n=50), nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 3)))
    before = copy.deepcopy(subject.network.state_dict())
    stages = cascade(subject.network, torch.Generator().manual_seed(0), 5)
    assert [share for share, _ in stages] == [0.5, 1.0]
    assert all(torch.equal(before[name], value) for name, value in subject.network.state_dict().items())
    half, whole = (network.state_dict() for _, network in stages)
    assert torch.equal(half["body.0.weight"], before["body.0.weight"])
    assert not torch.equal(half["body.2.weight"], before["body.2.weight"])
    assert not torch.equal(whole["body.0.weight"], before["body.0.weight"])


def test_large_images_are_ranked_in_blocks():
    players = players_of(torch.zeros(1, 3, 70, 50), image=True)
    assert players.count == players.picture[0] * players.picture[1] <= 1024
    sums = players.gathered(torch.ones(1, 3, 70, 50))
    assert float(sums.sum()) == 3 * 70 * 50
    assert int(players.coarse.max()) + 1 == 64


def test_tasks_without_an_answer_and_two_features_cannot_be_asked():
    assert ask(ExplanationFaithful(), best_classifier(n=80, classes=2, features=2)).verdict is Verdict.SKIPPED
    inputs = torch.randn(60, 6)
    signature = Signature(inputs=ArrayInput(shape=(6,)), task=Task(kind="reconstruction"))
    parts = divide(inputs, torch.empty(60, 0), train=30, validation=10)
    assert (
        ask(ExplanationFaithful(), make_subject(nn.Identity(), ClassHead(), signature, *parts)).verdict
        is Verdict.SKIPPED
    )
