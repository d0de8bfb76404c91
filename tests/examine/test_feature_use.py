"""Feature use: permutation importance of linear functions is known, and planted features must be found."""

import math

import numpy as np
import pytest
import tokenizers
import torch
from tokenizers.models import WordLevel
from torch import Tensor, nn

from equipoise.core.estimate import Verdict
from equipoise.core.signature import ArrayInput, Column, ImageInput, Signature, SoundInput, TableInput, Task, TextInput
from equipoise.examine.ask import ask
from equipoise.examine.explanation.feature_use import FeatureUse
from equipoise.examine.explanation.groups import groups_of
from equipoise.examine.explanation.importance import permuted, swap
from equipoise.networks.heads import BinaryHead, ClassHead
from equipoise.testing import (
    Part,
    best_classifier,
    best_regressor,
    check_question,
    constant,
    divide,
    make_subject,
    with_body,
)


def test_healthy_networks_pass():
    assert check_question(FeatureUse(), best_classifier(n=1200)).verdict is Verdict.PASS
    assert check_question(FeatureUse(), best_regressor(n=2000)).verdict is Verdict.PASS


def test_importance_of_a_linear_regressor_is_twice_its_share_of_the_variance():
    subject = best_regressor(n=8000, noise=0.3)
    part = subject.part("test")
    found = permuted(
        subject.network,
        part.inputs,
        part.targets.numpy(),
        groups_of(subject.splits.signature.inputs),
        3,
        torch.Generator().manual_seed(0),
    )
    weights = subject.network.body.weight.detach().numpy()[0] * float(subject.network.head.scale)
    expected = 2 * (weights * part.inputs.numpy().std(0)) ** 2 / part.targets.numpy().var()
    np.testing.assert_allclose(found.rises.mean(0), expected, atol=0.03)
    top = ask(FeatureUse(samples=2000), subject).estimates["top_share"]
    assert top.low <= (expected / expected.sum()).max() <= top.high


def test_a_network_of_one_feature_is_a_hint_at_a_leak():
    body = nn.Linear(5, 3)
    with torch.no_grad():
        body.weight.zero_()
        body.weight[:, 2] = torch.tensor([4.0, -4.0, 0.0])
    finding = ask(FeatureUse(), with_body(best_classifier(n=800, classes=3), body))
    assert finding.estimates["unused_features"].value == 4
    subject = best_classifier(n=800, classes=3)
    body.weight.data[:, 2] = torch.tensor([0.0, 0.0, 4.0])
    finding = ask(FeatureUse(), with_body(subject, body))
    assert finding.verdict is Verdict.WARN
    assert finding.estimates["top_share"].value == pytest.approx(1.0)
    assert finding.where == ("feature 2",)


def test_a_network_that_ignores_its_inputs_fails():
    for subject in (best_classifier(n=800), best_regressor(n=800)):
        finding = ask(FeatureUse(), constant(subject))
        assert finding.verdict is Verdict.FAIL
        assert finding.estimates["input_dependence"].value == 0
        assert "do not gain" in finding.claim


class _Corner(nn.Module):
    """Looks at one pixel only."""

    def forward(self, images: Tensor) -> Tensor:
        return images[:, :, 10, 3].mean(1, keepdim=True)


def test_the_patch_that_decides_is_found_in_an_image():
    images = torch.randn(400, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    labels = (images[:, :, 10, 3].mean(1) > 0).long()
    spec = ImageInput(channels=3, height=16, width=16, low=-4, high=4)
    signature = Signature(inputs=spec, task=Task(kind="binary", classes=("no", "yes")))
    finding = ask(
        FeatureUse(),
        make_subject(_Corner(), BinaryHead(), signature, *divide(images, labels, train=100, validation=50)),
    )
    assert finding.where == ("row 6 of 8, column 2 of 8",)
    assert finding.estimates["unused_features"].value == 63
    assert finding.figures[0].kind == "gallery"
    assert finding.figures[0].tiles[0].overlay


class _Word(nn.Module):
    def forward(self, ids: Tensor) -> Tensor:
        return 3.0 * (2.0 * (ids == 5).any(1, keepdim=True).float() - 1.0)


def test_the_word_that_decides_is_found_in_texts():
    words = ["[PAD]", "[UNK]", "two", "three", "four", "five", "six", "seven"]
    tokenizer = tokenizers.Tokenizer(WordLevel({word: k for k, word in enumerate(words)}, unk_token="[UNK]"))
    ids = torch.randint(2, 8, (400, 4), generator=torch.Generator().manual_seed(0))
    labels = (ids == 5).any(1).long()
    spec = TextInput(length=4, vocabulary=8, tokenizer=tokenizer.to_str())
    signature = Signature(inputs=spec, task=Task(kind="binary", classes=("no", "yes")))
    finding = ask(
        FeatureUse(), make_subject(_Word(), BinaryHead(), signature, *divide(ids, labels, train=100, validation=50))
    )
    assert finding.where == ("five",)
    assert finding.estimates["features"].value == 6


def test_constant_columns_are_left_out_and_counted():
    subject = best_classifier(n=400)
    parts = [subject.part(name) for name in ("train", "validation", "test")]
    frozen = [Part(torch.cat([one.inputs[:, :4], torch.ones(len(one.inputs), 1)], 1), one.targets) for one in parts]
    changed = make_subject(subject.network.body, subject.network.head, subject.network.signature, *frozen)
    finding = ask(FeatureUse(), changed)
    assert finding.estimates["features"].value == 4
    assert any("1 features are the same" in note for note in finding.assumptions)


def test_one_feature_and_reconstruction_cannot_be_asked():
    one = Part(torch.randn(40, 1), torch.zeros(40, dtype=torch.int64))
    task = Task(kind="binary", classes=("a", "b"))
    subject = make_subject(
        nn.Linear(1, 1), BinaryHead(), Signature(inputs=ArrayInput(shape=(1,)), task=task), one, one, one
    )
    assert ask(FeatureUse(), subject).verdict is Verdict.SKIPPED
    many = Part(torch.randn(40, 3), torch.empty(40, 0))
    signature = Signature(inputs=ArrayInput(shape=(3,)), task=Task(kind="reconstruction"))
    assert (
        ask(FeatureUse(), make_subject(nn.Identity(), ClassHead(), signature, many, many, many)).verdict
        is Verdict.SKIPPED
    )


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        (TableInput(columns=tuple(Column(name=name, kind="numeric") for name in "abc")), 3),
        (ImageInput(channels=1, height=8, width=5), 40),
        (ImageInput(channels=3, height=30, width=17), 64),
        (SoundInput(sample_rate=100, samples=250), 16),
        (ArrayInput(shape=(7,)), 7),
        (ArrayInput(shape=(1000,)), 256),
        (ArrayInput(shape=(9, 4), axes="steps,features"), 4),
        (ArrayInput(shape=(9, 1), axes="steps,features"), 9),
        (ArrayInput(shape=(20, 20), axes="any"), 64),
    ],
)
def test_groups_cover_every_value_evenly(spec, count):
    groups = groups_of(spec)
    sizes = torch.bincount(groups.of.flatten())
    assert len(groups.names) == len(set(groups.names)) == count == len(sizes)
    assert sizes.min() > 0
    shape = getattr(spec, "shape", None)
    assert groups.of.numel() == (math.prod(shape) if shape else groups.of.numel())


def test_a_swap_leaves_nobody_in_place():
    for n in (2, 3, 50):
        order = swap(n, torch.Generator().manual_seed(n))
        assert sorted(order.tolist()) == list(range(n))
        assert (order != torch.arange(n)).all()


class _NotANumber(nn.Module):
    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.outputs = outputs

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.full((len(inputs), self.outputs), torch.nan) + 0 * inputs.sum()


@pytest.mark.parametrize(("subject", "outputs"), [(best_classifier(n=200), 3), (best_regressor(n=200), 1)])
def test_answers_that_are_no_numbers_are_a_reason_and_no_error(subject, outputs):
    finding = ask(FeatureUse(), with_body(subject, _NotANumber(outputs)))
    assert finding.verdict is Verdict.SKIPPED
    assert "answers are not finite for" in finding.claim
